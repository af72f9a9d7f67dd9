package mysql_test

import (
	"strings"
	"testing"

	"coffer/internal/rotator"
	"coffer/internal/rotator/mysql"
	"coffer/internal/rotator/rotatortest"
)

var (
	single      = rotator.SingleUser(mysql.MariaDB{})
	alternating = rotator.AlternatingUsers(mysql.MariaDB{})
)

// bench is a server and a Secrets Manager.
type bench struct {
	*rotatortest.MariaDB
	*rotatortest.Vault
	master string
}

func newBench(t *testing.T, args ...string) *bench {
	b := &bench{MariaDB: rotatortest.MustStartMariaDB(t, args...), Vault: rotatortest.NewVault(t)}
	b.master = b.Create("master", b.secret("super", b.Password))
	return b
}

func (b *bench) secret(user, password string) map[string]any {
	return map[string]any{"engine": "mariadb", "host": rotatortest.Host, "port": b.Port, "username": user, "password": password}
}

func (b *bench) alternating(user, password string) map[string]any {
	s := b.secret(user, password)
	s["masterarn"] = b.master
	return s
}

// TestRotation runs both strategies against a server.
func TestRotation(t *testing.T) {
	b := newBench(t)
	b.Exec(t, `CREATE DATABASE orders; CREATE TABLE orders.t (n int, secret int); INSERT INTO orders.t VALUES (7, 8)`)

	t.Run("single user", func(t *testing.T) {
		b.Exec(t, `CREATE USER single IDENTIFIED BY 'first marker'`)
		arn := b.Create("single", b.secret("single", "first marker"))
		value := b.MustRotate(single, arn)
		if _, err := b.As("single", value["password"].(string), "", "SELECT 1", nil); err != nil {
			t.Error(err)
		}
		if _, err := b.As("single", "first marker", "", "SELECT 1", nil); err == nil {
			t.Error("the old password works")
		}
	})

	t.Run("alternating users", func(t *testing.T) {
		b.Exec(t, `CREATE ROLE reader; GRANT SELECT ON orders.* TO reader;
			CREATE USER app IDENTIFIED BY 'first marker' REQUIRE NONE WITH MAX_USER_CONNECTIONS 5;
			GRANT reader TO app; SET DEFAULT ROLE reader FOR app;
			GRANT UPDATE (n), INSERT ON orders.t TO app WITH GRANT OPTION`)
		arn := b.Create("app", b.alternating("app", "first marker"))
		passwords := []string{"first marker", b.Password}
		for _, want := range []string{"app_clone", "app", "app_clone"} {
			value := b.MustRotate(alternating, arn)
			password := value["password"].(string)
			passwords = append(passwords, password)
			if value["username"] != want {
				t.Errorf("the user is %v, want %s", value["username"], want)
			}
			if got, err := b.As(want, password, "orders", "SELECT n FROM t", nil); err != nil || got != "7" {
				t.Errorf("%s reads %q, %v", want, got, err)
			}
		}
		wantGrants(t, b, "app", "app_clone")
		rotatortest.WantNone(t, "the function's log", b.Log(), passwords...)
	})
}

// wantGrants wants both accounts at '%' to have the same grants.
func wantGrants(t *testing.T, b *bench, one, other string) {
	t.Helper()
	grants := func(user string) string {
		text := b.Query(t, "SHOW GRANTS FOR "+quote(user)+"@'%'")
		var lines []string
		for _, l := range strings.Split(text, "\n") {
			l, _, _ = strings.Cut(l, " IDENTIFIED BY ")
			lines = append(lines, strings.ReplaceAll(l, "`"+strings.ReplaceAll(user, "`", "``")+"`@", "U@"))
		}
		return strings.Join(lines, "\n")
	}
	if a, b := grants(one), grants(other); a != b {
		t.Errorf("%s has\n%s\n%s has\n%s", one, a, other, b)
	}
}

func quote(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }
