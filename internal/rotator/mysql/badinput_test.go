package mysql_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"coffer/internal/rotator"
	"coffer/internal/rotator/rotatortest"
)

var strategies = map[string]rotator.Rotation{"single": single, "alternating": alternating}

func (b *bench) works(user, password string) bool {
	_, err := b.As(user, password, "", "SELECT 1", nil)
	return err == nil
}

func (b *bench) user(t *testing.T, name, password string) {
	t.Helper()
	b.Exec(t, "CREATE USER "+quote(name)+"@'%' IDENTIFIED BY "+quote(password))
}

// TestDown stops the server before setSecret. The rotation goes on with the same version when it is back.
func TestDown(t *testing.T) {
	b := newBench(t)
	for name, r := range strategies {
		b.user(t, name, "marker-first")
		arn, token := b.Create(name, b.alternating(name, "marker-first")), rotatortest.NewToken()
		b.MariaDB.Stop()
		f := b.Rotate(r, arn, token)
		if f == nil || f.Type != "ValueError" || !strings.Contains(f.Message, "Unable to log into database") {
			t.Errorf("%s: %+v", name, f)
		}
		b.MariaDB.Start(t)
		if f := b.Rotate(r, arn, token); f != nil {
			t.Errorf("%s: %s", name, f.Message)
		}
	}
	rotatortest.WantNone(t, "the log", b.Log(), "marker")
}

// TestDropped breaks the connection around each statement. The next try ends well, whether
// they took effect or not.
func TestDropped(t *testing.T) {
	b := newBench(t)
	cut := rotatortest.NewCut(t, b.Port)
	super := b.secret("super", b.Password)
	super["port"], super["ssl"] = cut.Port, false
	master := b.Create("master-cut", super)
	b.Exec(t, "CREATE DATABASE orders")
	words := map[string][]string{
		"single":      {"SET PASSWORD = "},
		"alternating": {"CREATE USER", "GRANT SELECT", "ALTER USER", "SET PASSWORD FOR"},
	}
	for name, r := range strategies {
		for i, word := range words[name] {
			for when, set := range map[string]func(string){"before": cut.Before, "after": cut.After} {
				user := fmt.Sprint(name, i, when)
				b.user(t, user, "marker-first")
				b.Exec(t, "GRANT SELECT ON orders.* TO "+quote(user)+"@'%'")
				s := b.secret(user, "marker-first")
				s["masterarn"], s["port"], s["ssl"] = master, cut.Port, false
				arn, token := b.Create(user, s), rotatortest.NewToken()
				set(word)
				f := b.Rotate(r, arn, token)
				if f == nil || f.Type != "DatabaseError" || !strings.Contains(f.Message, "the connection to the server was lost") {
					t.Errorf("%s: %+v", user, f)
				}
				if !cut.Done() {
					t.Errorf("%s: nothing was broken", user)
				}
				if b.Value(arn, "")["password"] != "marker-first" {
					t.Errorf("%s: AWSCURRENT moved", user)
				}
				if f := b.Rotate(r, arn, token); f != nil {
					t.Errorf("%s: %s", user, f.Message)
					continue
				}
				v := b.Value(arn, "")
				if !b.works(v["username"].(string), v["password"].(string)) {
					t.Errorf("%s: the password does not work", user)
				}
				if name == "alternating" {
					wantGrants(t, b, user, v["username"].(string))
				}
			}
		}
	}
	rotatortest.WantNone(t, "the log", b.Log(), "marker")
}

// TestRefusals are secrets and superusers with which a rotation cannot be.
func TestRefusals(t *testing.T) {
	b := newBench(t)
	b.user(t, "app", "marker-first")
	b.user(t, "weak", "marker-weak")
	b.user(t, "rich", "marker-rich")
	b.user(t, "rich_clone", "marker-rich2")
	b.user(t, "super_clone", "marker-own")
	b.Exec(t, "GRANT ALL PRIVILEGES ON *.* TO rich_clone WITH GRANT OPTION")
	weak := b.Create("weak", b.secret("weak", "marker-weak"))
	wrong := b.Create("wrong", b.secret("super", "marker-wrong"))
	edit := func(s map[string]any, key string, value any) map[string]any { s[key] = value; return s }
	tests := []struct {
		name, kind string
		value      map[string]any
		want       string
	}{
		{"a wrong password", "single", b.secret("app", "marker-x"), "Unable to log into database with previous, current, or pending secret of secret arn"},
		{"a wrong password", "alternating", b.alternating("app", "marker-x"), "Unable to log into database using current credentials for secret"},
		{"no masterarn", "alternating", b.secret("app", "marker-first"), "masterarn key is missing from secret JSON"},
		{"a master secret with a wrong password", "alternating", edit(b.secret("app", "marker-first"), "masterarn", wrong), wrong + " cannot be used"},
		{"a superuser who is none", "alternating", edit(b.secret("app", "marker-first"), "masterarn", weak), "the superuser of secret " + weak + " may not read mysql.user"},
		{"the superuser's own secret", "alternating", b.alternating("super_clone", "marker-own"), b.master + " cannot be used"},
		{"a clone that is a superuser", "alternating", b.alternating("rich", "marker-rich"), "it is not taken for its clone"},
		{"another engine", "single", edit(b.secret("app", "marker-first"), "engine", "postgres"), "Database engine must be set to 'mariadb' in order to use this rotation lambda"},
		{"a socket", "single", edit(b.secret("app", "marker-first"), "host", "/run/mysqld.sock"), "host must be a host name or an IP address"},
		{"a name that is too long", "alternating", b.alternating(strings.Repeat("a", 75), "marker-first"), "username length with _clone appended would exceed 80 characters"},
		{"an unknown database", "single", edit(b.secret("app", "marker-first"), "dbname", "nowhere"), "Unable to log into database"},
		{"TLS that cannot be verified", "single", edit(b.secret("app", "marker-first"), "ssl", true), "Unable to log into database"},
	}
	for i, tt := range tests {
		t.Run(tt.kind+" "+tt.name, func(t *testing.T) {
			arn := b.Create(fmt.Sprint("s", i), tt.value)
			f := b.Rotate(strategies[tt.kind], arn, rotatortest.NewToken())
			if f == nil || !strings.Contains(f.Message, tt.want) {
				t.Errorf("%+v, want %q", f, tt.want)
			}
			if f != nil {
				rotatortest.WantNone(t, "the error", f.Message, "marker", b.Password)
			}
		})
	}
	if !b.works("app", "marker-first") {
		t.Error("the password changed")
	}
	rotatortest.WantNone(t, "the log", b.Log(), "marker", b.Password)
}

// TestOdd rotates users with such names and passwords to such passwords.
func TestOdd(t *testing.T) {
	b := newBench(t)
	for name, r := range strategies {
		for i, o := range []string{`quo'te"s`, `100%s%n`, `back\slash\'`, `ünïcødé`, "`tick`s", `$1 $$ ;-- x`, `a b/c@d:e?f#g`} {
			user, first := name+o, o+"-marker-first"
			b.user(t, user, first)
			arn := b.Create(fmt.Sprint(name, i), b.alternating(user, first))
			next := user
			if name == "alternating" {
				next += "_clone"
			}
			token := rotatortest.NewToken()
			b.PutPending(arn, token, b.alternating(next, o+"-marker-next"))
			if f := b.Rotate(r, arn, token); f != nil {
				t.Errorf("%s %q: %s", name, o, f.Message)
			} else if !b.works(next, o+"-marker-next") {
				t.Errorf("%s %q: the password does not work", name, o)
			}
		}
	}
	rotatortest.WantNone(t, "the log", b.Log(), "-marker-")
}

// TestReader logs in all the time during 50 rotations. With alternating users no login
// fails; with a single user those do whose password was read before setSecret changed it,
// up to finishSecret.
func TestReader(t *testing.T) {
	b := newBench(t)
	for name, r := range strategies {
		t.Run(name, func(t *testing.T) {
			b.user(t, name, "marker-first")
			arn := b.Create(name, b.alternating(name, "marker-first"))
			reader := b.Read(arn, func(v map[string]any) error {
				_, err := b.As(v["username"].(string), v["password"].(string), "", "SELECT 1", nil)
				return err
			})
			var from, to []time.Time
			for range rotatortest.Rotations() {
				token := rotatortest.NewToken()
				for _, step := range []string{rotator.CreateSecret, rotator.SetSecret, rotator.TestSecret, rotator.FinishSecret} {
					if step == rotator.SetSecret {
						from = append(from, time.Now())
					}
					if f := b.Step(r, step, arn, token); f != nil {
						t.Fatalf("%s: %s", step, f.Message)
					}
				}
				to = append(to, time.Now())
				reader.Await()
			}
			logins, failures := reader.Stop()
			rotatortest.WantFailures(t, logins, failures, from, to, name == "single")
		})
	}
}
