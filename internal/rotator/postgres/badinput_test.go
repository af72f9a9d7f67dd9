package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"coffer/internal/rotator"
	"coffer/internal/rotator/rotatortest"
)

type bench struct {
	*rotatortest.Postgres
	*rotatortest.Vault
	master string
}

func newBench(t *testing.T) *bench {
	b := &bench{Postgres: rotatortest.MustStartPostgres(t), Vault: rotatortest.NewVault(t)}
	b.master = b.Create("master", b.secret("postgres", b.Password))
	return b
}

func (b *bench) log() string { return b.Vault.Log() }

func (b *bench) secret(user, password string) map[string]any {
	return map[string]any{"engine": "postgres", "host": rotatortest.Host, "port": b.Port, "username": user, "password": password}
}

func (b *bench) withMaster(user, password string) map[string]any {
	s := b.secret(user, password)
	s["masterarn"] = b.master
	return s
}

func (b *bench) works(user, password string) bool {
	_, err := b.As(user, password, "postgres", "SELECT 1")
	return err == nil
}

func (b *bench) role(t *testing.T, name, password string) {
	b.Exec(t, `CREATE ROLE "`+strings.ReplaceAll(name, `"`, `""`)+`" LOGIN PASSWORD '`+strings.ReplaceAll(password, `'`, `''`)+`'`)
}

var strategies = map[string]rotator.Rotation{"single": single, "alternating": alternating}

// TestDown stops the server before setSecret. The rotation goes on with the same version when it is back.
func TestDown(t *testing.T) {
	b := newBench(t)
	for name, r := range strategies {
		b.role(t, name, "marker-first")
		arn, token := b.Create(name, b.withMaster(name, "marker-first")), rotatortest.NewToken()
		b.Stop()
		f := b.Rotate(r, arn, token)
		if f == nil || f.Type != "ValueError" || !strings.Contains(f.Message, "Unable to log into database") {
			t.Errorf("%s: %+v", name, f)
		}
		b.Start(t)
		if f := b.Rotate(r, arn, token); f != nil {
			t.Errorf("%s: %s", name, f.Message)
		}
	}
	rotatortest.WantNone(t, "the log", b.log(), "marker")
}

// TestDropped breaks the connection around the statements that change the password. The
// next try ends well, whether they took effect or not.
func TestDropped(t *testing.T) {
	b := newBench(t)
	cut := rotatortest.NewCut(t, b.Port)
	master := b.secret("postgres", b.Password)
	master["port"], master["ssl"] = cut.Port, false
	arnOfMaster := b.Create("master-cut", master)
	for name, r := range strategies {
		for i, word := range []string{"BEGIN", "PASSWORD", "COMMIT"} {
			for when, set := range map[string]func(string){"before": cut.Before, "after": cut.After} {
				user := fmt.Sprint(name, i, when)
				b.role(t, user, "marker-first")
				s := b.withMaster(user, "marker-first")
				s["masterarn"], s["port"], s["ssl"] = arnOfMaster, cut.Port, false
				arn, token := b.Create(user, s), rotatortest.NewToken()
				set(word)
				f := b.Rotate(r, arn, token)
				if f == nil || f.Type != "DatabaseError" || !strings.Contains(f.Message, "the connection to the server was lost") {
					t.Errorf("%s: %+v", user, f)
				}
				if !cut.Done() {
					t.Errorf("%s: nothing was broken", user)
				}
				if b.Vault.Value(arn, "")["password"] != "marker-first" {
					t.Errorf("%s: AWSCURRENT moved", user)
				}
				if f := b.Rotate(r, arn, token); f != nil {
					t.Errorf("%s: %s", user, f.Message)
					continue
				}
				v := b.Vault.Value(arn, "")
				if !b.works(v["username"].(string), v["password"].(string)) {
					t.Errorf("%s: the password does not work", user)
				}
			}
		}
	}
	rotatortest.WantNone(t, "the log", b.log(), "marker")
}

// TestRefusals are secrets and superusers with which a rotation cannot be.
func TestRefusals(t *testing.T) {
	b := newBench(t)
	b.role(t, "app", "marker-first")
	b.role(t, "weak", "marker-weak")
	b.Exec(t, `CREATE ROLE postgres_clone LOGIN PASSWORD 'marker-own'; CREATE ROLE rich LOGIN PASSWORD 'marker-rich'; CREATE ROLE rich_clone LOGIN SUPERUSER PASSWORD 'marker-rich2'; CREATE ROLE off_clone NOLOGIN; CREATE ROLE off LOGIN PASSWORD 'marker-off'`)
	weak := b.Create("weak", b.secret("weak", "marker-weak"))
	wrong := b.Create("wrong", b.secret("postgres", "marker-wrong"))
	text := b.Create("text", map[string]any{"engine": "postgres"})
	edit := func(s map[string]any, key string, value any) map[string]any { s[key] = value; return s }
	tests := []struct {
		name, kind string
		value      map[string]any
		want       string
	}{
		{"a wrong password", "single", b.secret("app", "marker-x"), "Unable to log into database with previous, current, or pending secret of secret arn"},
		{"a wrong password", "alternating", b.withMaster("app", "marker-x"), "Unable to log into database using current credentials for secret"},
		{"no masterarn", "alternating", b.secret("app", "marker-first"), "masterarn key is missing from secret JSON"},
		{"a masterarn of nothing", "alternating", edit(b.secret("app", "marker-first"), "masterarn", "arn:aws:secretsmanager:eu-west-1:000000000000:secret:none-a1B2c3"), "none-a1B2c3 cannot be used"},
		{"a master secret without keys", "alternating", edit(b.secret("app", "marker-first"), "masterarn", text), text + " cannot be used"},
		{"a master secret with a wrong password", "alternating", edit(b.secret("app", "marker-first"), "masterarn", wrong), wrong + " cannot be used"},
		{"a superuser who is none", "alternating", edit(b.secret("app", "marker-first"), "masterarn", weak), "may not create roles: ALTER ROLE it CREATEROLE"},
		{"the superuser's own secret", "alternating", b.withMaster("postgres_clone", "marker-own"), b.master + " cannot be used"},
		{"a clone that is a superuser", "alternating", b.withMaster("rich", "marker-rich"), "it is not taken for its clone"},
		{"a clone that cannot log in", "alternating", b.withMaster("off", "marker-off"), "cannot log in (NOLOGIN)"},
		{"another engine", "single", edit(b.secret("app", "marker-first"), "engine", "mysql"), "Database engine must be set to 'postgres' in order to use this rotation lambda"},
		{"a socket", "single", edit(b.secret("app", "marker-first"), "host", "/var/run/postgresql"), "host must be a host name or an IP address"},
		{"options for a host", "single", edit(b.secret("app", "marker-first"), "host", "h?sslmode=disable"), "host must be a host name or an IP address"},
		{"a port that is none", "single", edit(b.secret("app", "marker-first"), "port", "70000"), "port must be a number from 1 to 65535"},
		{"a user that is a number", "single", edit(b.secret("app", "marker-first"), "username", 7), "username must be a string"},
		{"a zero byte", "single", edit(b.secret("app", "marker-first"), "password", "a\x00b"), "must not hold a zero byte"},
		{"a name that is too long", "alternating", b.withMaster(strings.Repeat("a", 58), "marker-first"), "username length with _clone appended would exceed 63 characters"},
		{"an unknown database", "single", edit(b.secret("app", "marker-first"), "dbname", "nowhere"), "Unable to log into database"},
		{"TLS that cannot be verified", "single", edit(b.secret("app", "marker-first"), "ssl", "True"), "Unable to log into database"},
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
	rotatortest.WantNone(t, "the log", b.log(), "marker", b.Password)
}

// odd is what SQL, URLs, formats and encodings have to quote.
var odd = []string{`quo'te"s`, `100%s%n`, `back\slash\'`, `ünïcødé☃`, `$1 $$ ;--`, `a b/c@d:e?f#g`, ` lead and trail `}

// TestOdd rotates users with such names and passwords to such passwords.
func TestOdd(t *testing.T) {
	b := newBench(t)
	for name, r := range strategies {
		for i, o := range odd {
			user, first := name+o, o+"-marker-first"
			b.role(t, user, first)
			arn := b.Create(fmt.Sprint(name, i), b.withMaster(user, first))
			next := user
			if name == "alternating" {
				next += "_clone"
			}
			token := rotatortest.NewToken()
			b.PutPending(arn, token, b.withMaster(next, o+"-marker-next"))
			if f := b.Rotate(r, arn, token); f != nil {
				t.Errorf("%s %q: %s", name, o, f.Message)
			} else if !b.works(next, o+"-marker-next") {
				t.Errorf("%s %q: the password does not work", name, o)
			}
		}
	}
	rotatortest.WantNone(t, "the log", b.log(), "-marker-")
}

// TestReader logs in all the time during 50 rotations. With alternating users no login
// fails; with a single user those do whose password was read before setSecret changed it,
// up to finishSecret.
func TestReader(t *testing.T) {
	b := newBench(t)
	for name, r := range strategies {
		t.Run(name, func(t *testing.T) {
			b.role(t, name, "marker-first")
			arn := b.Create(name, b.withMaster(name, "marker-first"))
			reader := b.Read(arn, func(v map[string]any) error {
				_, err := b.As(v["username"].(string), v["password"].(string), "postgres", "SELECT 1")
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
