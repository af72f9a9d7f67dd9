package redshift_test

import (
	"testing"

	"coffer/internal/rotator"
	"coffer/internal/rotator/redshift"
	"coffer/internal/rotator/rotatortest"
)

// TestOnPostgreSQL runs what the two have in common on PostgreSQL: the login, the catalog's
// queries but for Redshift's own roles, and statements about users, schemas and tables.
// It is no test against Redshift.
func TestOnPostgreSQL(t *testing.T) {
	db := rotatortest.MustStartPostgres(t)
	v := rotatortest.NewVault(t)
	db.Exec(t, `SET allow_system_table_mods = on; CREATE VIEW pg_catalog.svv_user_grants AS SELECT ''::text AS user_name, ''::text AS role_name, false AS admin_option WHERE false`)
	db.Exec(t, `CREATE ROLE app LOGIN PASSWORD 'Marker1-first'; CREATE ROLE readers;
		CREATE SCHEMA "a""b"; CREATE TABLE "a""b".t (n int); INSERT INTO "a""b".t VALUES (7);
		GRANT USAGE ON SCHEMA "a""b" TO app; GRANT SELECT ON "a""b".t TO app; GRANT readers TO app`)
	secret := func(user, password string) map[string]any {
		return map[string]any{"engine": "redshift", "host": rotatortest.Host, "port": db.Port, "username": user, "password": password, "dbname": "postgres"}
	}
	master := v.Create("master", secret("postgres", db.Password))
	s := secret("app", "Marker1-first")
	passwords := []string{"Marker1-first", db.Password}

	arn := v.Create("single", s)
	value := v.MustRotate(rotator.SingleUser(redshift.Engine{}), arn)
	passwords = append(passwords, value["password"].(string))

	s["masterarn"], s["password"] = master, value["password"]
	arn = v.Create("app", s)
	for _, want := range []string{"app_clone", "app", "app_clone"} {
		value := v.MustRotate(rotator.AlternatingUsers(redshift.Engine{}), arn)
		passwords = append(passwords, value["password"].(string))
		if value["username"] != want {
			t.Errorf("the user is %v, want %s", value["username"], want)
		}
		if got, err := db.As(want, value["password"].(string), "postgres", `SELECT n FROM "a""b".t`); err != nil || got != "7" {
			t.Errorf("%s reads %q, %v", want, got, err)
		}
	}
	if got := db.Query(t, `SELECT pg_has_role('app_clone', 'readers', 'MEMBER')`); got != "t" {
		t.Error("app_clone is not in the group")
	}
	rotatortest.WantNone(t, "the function's log", v.Log(), passwords...)
}
