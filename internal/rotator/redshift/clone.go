package redshift

import (
	"context"
	"strings"

	"coffer/internal/rotator"
	"coffer/internal/rotator/postgres"
)

// user is a row of pg_user.
type user struct {
	name                  string
	makesDatabases, super bool
}

func find(ctx context.Context, c conn, name string) (user, bool, error) {
	rows, err := c.Query(ctx, "SELECT usecreatedb, usesuper FROM pg_catalog.pg_user WHERE usename = $1", name)
	if err != nil || len(rows) == 0 {
		return user{}, false, err
	}
	return user{name, rows[0][0] == "t", rows[0][1] == "t"}, true, nil
}

func clone(ctx context.Context, c conn, super rotator.Login, current string, pending rotator.Login) error {
	password, err := literal(pending.Password)
	if err != nil {
		return err
	}
	return within(ctx, c, func() error {
		from, ok, err := find(ctx, c, current)
		if err != nil {
			return err
		}
		if !ok {
			return rotator.DatabaseErrorf("there is no user %s to clone", current)
		}
		self, ok, err := find(ctx, c, super.User)
		if err != nil {
			return err
		}
		if ok && !self.super {
			return rotator.DatabaseErrorf("the superuser %s of secret %s is none: ALTER USER %s CREATEUSER, or use another one", super.User, super.Secret, postgres.Ident(super.User))
		}
		to, exists, err := find(ctx, c, pending.User)
		if err != nil {
			return err
		}
		if exists {
			if to.super && !from.super || to.makesDatabases && !from.makesDatabases {
				return rotator.DatabaseErrorf("user %s exists and is a superuser or may create databases, unlike %s: it is not taken for its clone", to.name, from.name)
			}
			return c.Exec(ctx, "ALTER USER "+postgres.Ident(pending.User)+" PASSWORD "+password)
		}
		options := ""
		if from.makesDatabases {
			options += " CREATEDB"
		}
		if from.super {
			options += " CREATEUSER"
		}
		if err := c.Exec(ctx, "CREATE USER "+postgres.Ident(pending.User)+" PASSWORD "+password+options); err != nil {
			return err
		}
		return grant(ctx, c, from.name, pending.User)
	})
}

// system is a condition that leaves out schemas that nobody is granted anything in.
const system = `nspname NOT LIKE 'pg!_%' ESCAPE '!' AND nspname <> 'information_schema'`

// kinds is what can be granted on what. Each query gives the names of the objects on
// which the user $1 has the privilege $2.
var kinds = []struct {
	on         string
	privileges []string
	query      string
}{
	{"DATABASE", []string{"CREATE", "TEMPORARY"}, `SELECT datname FROM pg_catalog.pg_database WHERE has_database_privilege($1, datname, $2) AND datname NOT IN ('template0', 'template1', 'padb_harvest') ORDER BY 1`},
	{"SCHEMA", []string{"USAGE", "CREATE"}, `SELECT nspname FROM pg_catalog.pg_namespace WHERE ` + system + ` AND has_schema_privilege($1, nspname, $2) ORDER BY 1`},
	{"TABLE", []string{"SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES"}, `SELECT n.nspname, c.relname FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n
		WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'v') AND ` + system + ` AND has_table_privilege($1, c.oid, $2) ORDER BY 1, 2`},
}

// batch is how many objects stand in one GRANT.
const batch = 200

// grant gives the user to what the user from has: privileges on databases, schemas,
// tables and views; groups; roles.
func grant(ctx context.Context, c conn, from, to string) error {
	for _, k := range kinds {
		for _, privilege := range k.privileges {
			rows, err := c.Query(ctx, k.query, from, privilege)
			if err != nil {
				return err
			}
			var names []string
			for _, r := range rows {
				for i := range r {
					r[i] = postgres.Ident(r[i])
				}
				names = append(names, strings.Join(r, "."))
			}
			for len(names) > 0 {
				n := min(batch, len(names))
				if err := c.Exec(ctx, "GRANT "+privilege+" ON "+k.on+" "+strings.Join(names[:n], ", ")+" TO "+postgres.Ident(to)); err != nil {
					return err
				}
				names = names[n:]
			}
		}
	}
	groups, err := c.Query(ctx, `SELECT g.groname FROM pg_catalog.pg_group g, pg_catalog.pg_user u WHERE u.usename = $1 AND u.usesysid = ANY(g.grolist) ORDER BY 1`, from)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if err := c.Exec(ctx, "ALTER GROUP "+postgres.Ident(g[0])+" ADD USER "+postgres.Ident(to)); err != nil {
			return err
		}
	}
	roles, err := c.Query(ctx, `SELECT role_name, admin_option FROM pg_catalog.svv_user_grants WHERE user_name = $1 ORDER BY 1`, from)
	if err != nil {
		return err
	}
	for _, r := range roles {
		statement := "GRANT ROLE " + postgres.Ident(r[0]) + " TO " + postgres.Ident(to)
		if r[1] == "t" || r[1] == "true" {
			statement += " WITH ADMIN OPTION"
		}
		if err := c.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
