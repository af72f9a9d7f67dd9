package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"coffer/internal/rotator/rotatortest"
)

// TestTLS reaches the server as the key ssl and the server's pg_hba.conf say.
func TestTLS(t *testing.T) {
	b := newBench(t)
	const both = "host all all 127.0.0.1/32 scram-sha-256"
	tests := []struct {
		name   string
		ssl    any // nil: no such key
		bundle bool
		hba    string
		how    string // of the log, "" if the rotation fails
	}{
		{"no word", nil, false, both, "unverified SSL/TLS"},
		{"no word, and certificates", nil, true, both, "established SSL/TLS"},
		{"true, and certificates", true, true, both, "established SSL/TLS"},
		{"true as a text", "TRUE", true, both, "established SSL/TLS"},
		{"true, but nobody knows the certificate", true, false, both, ""},
		{"false", false, false, both, "non SSL/TLS"},
		{"no word where TLS is wanted", nil, false, "hostssl all all 127.0.0.1/32 scram-sha-256", "unverified SSL/TLS"},
		{"false where TLS is wanted", false, false, "hostssl all all 127.0.0.1/32 scram-sha-256", ""},
		{"no word where TLS is unwanted", nil, false, "hostnossl all all 127.0.0.1/32 scram-sha-256", "non SSL/TLS"},
		{"true where TLS is unwanted", true, true, "hostnossl all all 127.0.0.1/32 scram-sha-256", ""},
		{"a server that asks for nothing", nil, false, "host all all 127.0.0.1/32 trust", ""},
		{"a server that asks for the password in clear, with TLS", nil, false, "hostssl all all 127.0.0.1/32 password", "unverified SSL/TLS"},
		{"a server that asks for the password in clear, without", nil, false, "hostnossl all all 127.0.0.1/32 password", ""},
		{"MD5", nil, false, "host all all 127.0.0.1/32 md5", "unverified SSL/TLS"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			user := fmt.Sprint("u", i)
			b.role(t, user, "marker-first")
			b.Admit(t, tt.hba)
			s := b.secret(user, "marker-first")
			if tt.ssl != nil {
				s["ssl"] = tt.ssl
			}
			delete(b.Variables, "DATABASE_CA_BUNDLE")
			if tt.bundle {
				b.Variables["DATABASE_CA_BUNDLE"] = b.CA.PEM
			}
			before := len(b.log())
			f := b.Rotate(single, b.Create(user, s), rotatortest.NewToken())
			log := b.log()[before:]
			if tt.how == "" {
				if f == nil {
					t.Errorf("it rotates:\n%s", log)
				}
			} else if f != nil || !strings.Contains(log, tt.how+" connection as user") {
				t.Errorf("%+v\n%s", f, log)
			}
		})
	}
	rotatortest.WantNone(t, "the log", b.log(), "marker")
}

// TestLeast is a superuser that is none, with what docs/rotation.md says it needs.
func TestLeast(t *testing.T) {
	b := newBench(t)
	b.Exec(t, "CREATE ROLE rotator LOGIN CREATEROLE PASSWORD 'marker-rotator'")
	b.role(t, "app", "marker-first")
	if b.Query(t, "SELECT current_setting('server_version_num')::int >= 160000") == "t" {
		b.Exec(t, "GRANT app TO rotator WITH ADMIN OPTION")
	}
	s := b.secret("app", "marker-first")
	s["masterarn"] = b.Create("least", b.secret("rotator", "marker-rotator"))
	arn := b.Create("app", s)
	for range 3 {
		v := b.MustRotate(alternating, arn)
		if !b.works(v["username"].(string), v["password"].(string)) {
			t.Errorf("%v cannot log in", v["username"])
		}
	}
}
