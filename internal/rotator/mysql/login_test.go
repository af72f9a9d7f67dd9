package mysql_test

import (
	"fmt"
	"strings"
	"testing"

	"coffer/internal/rotator/rotatortest"
)

// TestTLS reaches the server as the key ssl says.
func TestTLS(t *testing.T) {
	b := newBench(t)
	for i, tt := range []struct {
		name    string
		ssl     any
		bundle  bool
		require string
		how     string
	}{
		{"no word", nil, false, "NONE", "unverified SSL/TLS"},
		{"no word, and certificates", nil, true, "NONE", "established SSL/TLS"},
		{"true, and certificates", "true", true, "SSL", "established SSL/TLS"},
		{"true, but nobody knows the certificate", true, false, "NONE", ""},
		{"false", false, false, "NONE", "non SSL/TLS"},
		{"false where TLS is wanted", false, false, "SSL", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			user := fmt.Sprint("u", i)
			b.user(t, user, "marker-first")
			b.Exec(t, "ALTER USER "+user+"@'%' REQUIRE "+tt.require)
			s := b.secret(user, "marker-first")
			if tt.ssl != nil {
				s["ssl"] = tt.ssl
			}
			delete(b.Variables, "DATABASE_CA_BUNDLE")
			if tt.bundle {
				b.Variables["DATABASE_CA_BUNDLE"] = b.CA.PEM
			}
			before := len(b.Log())
			f := b.Rotate(single, b.Create(user, s), rotatortest.NewToken())
			log := b.Log()[before:]
			if tt.how == "" {
				if f == nil {
					t.Errorf("it rotates:\n%s", log)
				}
			} else if f != nil || !strings.Contains(log, tt.how+" connection as user") {
				t.Errorf("%+v\n%s", f, log)
			}
		})
	}
	rotatortest.WantNone(t, "the log", b.Log(), "marker")
}

// TestLeast is a superuser that is none, with what docs/rotation.md says it needs.
func TestLeast(t *testing.T) {
	b := newBench(t)
	b.user(t, "app", "marker-first")
	b.user(t, "rotator", "marker-rotator")
	b.Exec(t, `CREATE DATABASE orders; GRANT SELECT, INSERT ON orders.* TO app;
		GRANT CREATE USER ON *.* TO rotator; GRANT SELECT ON mysql.* TO rotator; GRANT SELECT, INSERT ON orders.* TO rotator WITH GRANT OPTION`)
	s := b.secret("app", "marker-first")
	s["masterarn"] = b.Create("least", b.secret("rotator", "marker-rotator"))
	arn := b.Create("app", s)
	for range 3 {
		v := b.MustRotate(alternating, arn)
		if !b.works(v["username"].(string), v["password"].(string)) {
			t.Errorf("%v cannot log in", v["username"])
		}
	}
	wantGrants(t, b, "app", "app_clone")
}
