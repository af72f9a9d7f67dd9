package redis_test

import (
	"strings"
	"testing"

	"coffer/internal/rotator"
	"coffer/internal/rotator/redis"
	"coffer/internal/rotator/rotatortest"
)

var rotation = rotator.TwoPasswords(redis.Engine{})

type bench struct {
	*rotatortest.Redis
	*rotatortest.Vault
	master string
}

func newBench(t *testing.T) *bench {
	b := &bench{Redis: rotatortest.MustStartRedis(t), Vault: rotatortest.NewVault(t)}
	b.master = b.Create("master", b.secret("super", b.Password))
	return b
}

func (b *bench) secret(user, password string) map[string]any {
	return map[string]any{"engine": "redis", "host": rotatortest.Host, "port": b.Port, "username": user, "password": password, "ssl": false}
}

func (b *bench) withMaster(user, password string) map[string]any {
	s := b.secret(user, password)
	s["masterarn"] = b.master
	return s
}

func (b *bench) works(user, password string) bool {
	_, err := b.As(user, password, "GET", "k")
	return err == nil
}

// TestRotation has two passwords valid at any time, and no third; what else the user may
// stays.
func TestRotation(t *testing.T) {
	b := newBench(t)
	b.Do(t, "ACL", "SETUSER", "app", "on", ">marker-0", ">marker-stale", "~app:*", "~k", "+get", "+set")
	arn := b.Create("app", b.withMaster("app", "marker-0"))
	passwords := []string{"marker-0"}
	for range 3 {
		token := rotatortest.NewToken()
		for _, step := range []string{rotator.CreateSecret, rotator.SetSecret, rotator.SetSecret, rotator.TestSecret} {
			if f := b.Step(rotation, step, arn, token); f != nil {
				t.Fatalf("%s: %s: %s", step, f.Type, f.Message)
			}
		}
		passwords = append(passwords, b.Value(arn, token)["password"].(string))
		n := len(passwords)
		if !b.works("app", passwords[n-2]) || !b.works("app", passwords[n-1]) {
			t.Error("between setSecret and finishSecret one of the passwords does not work")
		}
		if b.works("app", "marker-stale") || n > 2 && b.works("app", passwords[n-3]) {
			t.Error("an earlier password works")
		}
		if f := b.Step(rotation, rotator.FinishSecret, arn, token); f != nil {
			t.Fatal(f.Message)
		}
	}
	if acl := b.ACL(t, "app"); !strings.Contains(acl, "~app:*") || !strings.Contains(acl, "+get") || strings.Count(acl, "#") != 2 {
		t.Error(acl)
	}
	b.Stop()
	b.Start(t)
	if !b.works("app", passwords[3]) {
		t.Error("the server forgot the password when it restarted")
	}
	rotatortest.WantNone(t, "the log", b.Log(), append(passwords, b.Password)...)
}

// TestItself is a user who may change itself.
func TestItself(t *testing.T) {
	b := newBench(t)
	b.Do(t, "ACL", "SETUSER", "app", "on", ">marker-0", "~*", "+get", "+acl|setuser", "+acl|getuser", "+acl|save")
	arn := b.Create("app", b.secret("app", "marker-0"))
	value := b.MustRotate(rotation, arn)
	if !b.works("app", value["password"].(string)) {
		t.Error("the new password does not work")
	}

	// One with as little may do it for another.
	b.Do(t, "ACL", "SETUSER", "rotator", "on", ">marker-rotator", "+acl|setuser", "+acl|getuser", "+acl|save")
	b.Do(t, "ACL", "SETUSER", "other", "on", ">marker-1", "~*", "+get")
	s := b.secret("other", "marker-1")
	s["masterarn"] = b.Create("least", b.secret("rotator", "marker-rotator"))
	value = b.MustRotate(rotation, b.Create("other", s))
	if !b.works("other", value["password"].(string)) {
		t.Error("the new password does not work")
	}
}

// TestTLS verifies the server by the variable's certificates, and sends no password
// without TLS unless the secret says so.
func TestTLS(t *testing.T) {
	b := newBench(t)
	b.Do(t, "ACL", "SETUSER", "app", "on", ">marker-0", "~*", "+@all")
	secret := b.secret("app", "marker-0")
	secret["ssl"], secret["port"] = true, b.TLSPort
	arn := b.Create("tls", secret)
	f := b.Rotate(rotation, arn, rotatortest.NewToken())
	if f == nil || !strings.Contains(b.Log(), "signed by an unknown authority") {
		t.Errorf("%+v\n%s", f, b.Log())
	}
	b.Variables["DATABASE_CA_BUNDLE"] = b.CA.PEM
	b.MustRotate(rotation, arn)

	delete(b.Variables, "DATABASE_CA_BUNDLE")
	plain := b.secret("app", "marker-0")
	delete(plain, "ssl")
	f = b.Rotate(rotation, b.Create("plain", plain), rotatortest.NewToken())
	if f == nil || !strings.Contains(b.Log(), `only with "ssl": false in the secret`) {
		t.Errorf("%+v\n%s", f, b.Log())
	}
}

// TestRefusals are users and servers with which a rotation cannot be.
func TestRefusals(t *testing.T) {
	b := newBench(t)
	b.Do(t, "ACL", "SETUSER", "weak", "on", ">marker-w", "~*", "+get", "+ping")
	b.Do(t, "ACL", "SETUSER", "open", "on", "nopass", "~*", "+get")
	weak := b.Create("weak-master", b.secret("weak", "marker-w"))
	tests := []struct {
		name  string
		value map[string]any
		want  string
	}{
		{"a wrong password", b.withMaster("weak", "marker-x"), "Unable to log into database using current credentials"},
		{"an unknown user", b.withMaster("nobody", "marker-x"), "Unable to log into database using current credentials"},
		{"any password", b.withMaster("open", "marker-x"), "gets in with any password (nopass)"},
		{"itself without permission", b.secret("weak", "marker-w"), "ACL SETUSER weak +acl|getuser +acl|setuser"},
		{"a superuser that is none", func() map[string]any {
			b.Do(t, "ACL", "SETUSER", "app", "on", ">marker-0", "~*", "+get")
			s := b.withMaster("app", "marker-0")
			s["masterarn"] = weak
			return s
		}(), "user weak may not change users"},
		{"the superuser itself", b.withMaster("super", b.Password), "cannot be used: it must be one"},
		{"another engine", func() map[string]any { s := b.withMaster("app", "marker-0"); s["engine"] = "mysql"; return s }(), "Database engine must be set to 'redis'"},
		{"another host", func() map[string]any { s := b.withMaster("app", "marker-0"); s["host"] = "localhost"; return s }(), "cannot be used: it must be one"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			arn := b.Create("s"+string(rune('a'+i)), tt.value)
			f := b.Rotate(rotation, arn, rotatortest.NewToken())
			if f == nil || !strings.Contains(f.Message, tt.want) {
				t.Errorf("%+v, want %q", f, tt.want)
			}
			if f != nil {
				rotatortest.WantNone(t, "the error", f.Message, "marker")
			}
		})
	}
	rotatortest.WantNone(t, "the log", b.Log(), "marker")
	b.Stop()
	if f := b.Rotate(rotation, b.Create("down", b.withMaster("app", "marker-0")), rotatortest.NewToken()); f == nil {
		t.Error("a server that is down rotates")
	}
	b.Start(t)
}

// TestOddPasswords are those that other protocols would have to quote.
func TestOddPasswords(t *testing.T) {
	b := newBench(t)
	for i, password := range []string{`a'b"c\d%s`, "with space", "ünïcødé ☃", "line\nbreak", ">#!<nopass"} {
		user := "ü%s'\"\\" + string(rune('a'+i))
		b.Do(t, "ACL", "SETUSER", user, "on", ">"+password, "~*", "+get", "+ping")
		arn := b.Create("odd"+string(rune('a'+i)), b.withMaster(user, password))
		token := rotatortest.NewToken()
		pending := b.withMaster(user, password+"new")
		b.PutPending(arn, token, pending)
		if f := b.Rotate(rotation, arn, token); f != nil {
			t.Errorf("%q: %s", password, f.Message)
		} else if !b.works(user, password+"new") || !b.works(user, password) {
			t.Errorf("%q does not work", password)
		}
	}
}

// TestReader logs in all the time with what the secret holds: it is never refused.
func TestReader(t *testing.T) {
	b := newBench(t)
	b.Do(t, "ACL", "SETUSER", "app", "on", ">marker-0", "~*", "+get")
	arn := b.Create("app", b.withMaster("app", "marker-0"))
	r := b.Read(arn, func(v map[string]any) error {
		_, err := b.As(v["username"].(string), v["password"].(string), "GET", "k")
		return err
	})
	for range rotatortest.Rotations() {
		b.MustRotate(rotation, arn)
		r.Await()
	}
	logins, failures := r.Stop()
	rotatortest.WantFailures(t, logins, failures, nil, nil, false)
}
