package postgres_test

import (
	"strings"
	"testing"

	"coffer/internal/rotator"
	"coffer/internal/rotator/postgres"
	"coffer/internal/rotator/rotatortest"
)

var (
	single      = rotator.SingleUser(postgres.Engine{})
	alternating = rotator.AlternatingUsers(postgres.Engine{})
)

// TestRotation runs both strategies against a server.
func TestRotation(t *testing.T) {
	db := rotatortest.MustStartPostgres(t)
	v := rotatortest.NewVault(t)
	db.Exec(t, `CREATE DATABASE orders`)
	secret := func(user, password string) map[string]any {
		return map[string]any{"engine": "postgres", "host": rotatortest.Host, "port": db.Port, "username": user, "password": password, "dbname": "orders"}
	}
	master := v.Create("master", map[string]any{"engine": "postgres", "host": rotatortest.Host, "port": db.Port, "username": "postgres", "password": db.Password})

	t.Run("single user", func(t *testing.T) {
		db.Exec(t, `CREATE ROLE single LOGIN PASSWORD 'first marker'`)
		arn := v.Create("single", secret("single", "first marker"))
		value := v.MustRotate(single, arn)
		if value["username"] != "single" || value["password"] == "first marker" {
			t.Errorf("the value is for user %v", value["username"])
		}
		if _, err := db.As("single", value["password"].(string), "orders", "SELECT 1"); err != nil {
			t.Error(err)
		}
		if _, err := db.As("single", "first marker", "orders", "SELECT 1"); err == nil {
			t.Error("the old password works")
		}
	})

	t.Run("alternating users", func(t *testing.T) {
		db.Exec(t, `CREATE ROLE app LOGIN PASSWORD 'first marker'`)
		db.ExecIn(t, "orders", `CREATE SCHEMA app AUTHORIZATION app; CREATE TABLE app.t (n int); ALTER TABLE app.t OWNER TO app; INSERT INTO app.t VALUES (7)`)
		s := secret("app", "first marker")
		s["masterarn"] = master
		arn := v.Create("app", s)
		passwords := []string{"first marker", db.Password}
		for _, want := range []string{"app_clone", "app", "app_clone"} {
			value := v.MustRotate(alternating, arn)
			passwords = append(passwords, value["password"].(string))
			if value["username"] != want {
				t.Errorf("the user is %v, want %s", value["username"], want)
			}
			if got, err := db.As(want, value["password"].(string), "orders", "SELECT n FROM t"); err != nil || got != "7" {
				t.Errorf("%s reads %q, %v", want, got, err)
			}
		}
		rotatortest.WantNone(t, "the function's log", v.Log(), passwords...)
		rotatortest.WantNone(t, "the server's log", db.Log(t), passwords[2:]...)
		if !strings.Contains(v.Log(), "setSecret: Successfully set password for app_clone in PostgreSQL DB for secret arn "+arn) {
			t.Error(v.Log())
		}
	})
}
