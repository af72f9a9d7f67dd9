package redshift

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
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
			return rotator.DatabaseErrorf("the superuser of secret %s is none: ALTER USER it CREATEUSER, or use another one", super.Secret)
		}
		to, exists, err := find(ctx, c, pending.User)
		if err != nil {
			return err
		}
		if exists {
			if to.super && !from.super || to.makesDatabases && !from.makesDatabases {
				return rotator.DatabaseErrorf("user %s exists and is a superuser or may create databases, unlike %s: it is not taken for its clone", to.name, from.name)
			}
			if err := fit(ctx, c, from, to); err != nil {
				return err
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
		if err := grant(ctx, c, from.name, pending.User); err != nil {
			return err
		}
		return pair(ctx, c, from.name, pending.User)
	})
}

// pairs begins the names of groups that mark two users as alternates of each other. Comments on
// users there are none; only superusers make groups.
const pairs = "coffer_pair_"

const groupsOf = `SELECT g.groname FROM pg_catalog.pg_group g, pg_catalog.pg_user u WHERE u.usename = $1 AND u.usesysid = ANY(g.grolist) ORDER BY 1`

// pair marks a user that was made, and the one that it was made of.
func pair(ctx context.Context, c conn, from, to string) error {
	return c.Exec(ctx, "CREATE GROUP "+postgres.Ident(pairs+strings.ToLower(rand.Text()))+" WITH USER "+postgres.Ident(from)+", "+postgres.Ident(to))
}

// fit refuses a user that is not the alternate of from in anything but name, unless Coffer
// marked the two: it must have nothing, in this database, that from has not.
func fit(ctx context.Context, c conn, from, to user) error {
	if from.super {
		return nil
	}
	groups, err := names(ctx, c, groupsOf, from.name)
	if err != nil {
		return err
	}
	others, err := names(ctx, c, groupsOf, to.name)
	if err != nil {
		return err
	}
	for _, g := range others {
		if strings.HasPrefix(g, postgres.Ident(pairs)[:len(pairs)+1]) && slices.Contains(groups, g) {
			return nil
		}
	}
	more := first(others, groups)
	for _, k := range kinds {
		for _, privilege := range append([]string{""}, k.privileges...) {
			query, args := k.query, []string{privilege}
			if privilege == "" {
				query, args = k.owned, nil
			}
			of, err := names(ctx, c, query, append([]string{from.name}, args...)...)
			if err != nil {
				return err
			}
			has, err := names(ctx, c, query, append([]string{to.name}, args...)...)
			if err != nil {
				return err
			}
			more = cmp.Or(more, first(has, of))
		}
	}
	const roles = `SELECT role_name, admin_option FROM pg_catalog.svv_user_grants WHERE user_name = $1 ORDER BY 1`
	of, err := names(ctx, c, roles, from.name)
	if err != nil {
		return err
	}
	has, err := names(ctx, c, roles, to.name)
	if err != nil {
		return err
	}
	if more = cmp.Or(more, first(has, of)); more != "" {
		return rotator.DatabaseErrorf("user %s exists, was not made by Coffer, and has privileges on, owns or is in %s, unlike %s: it is not taken for its clone; "+
			"if it is, CREATE GROUP %s1 WITH USER %s, %s", to.name, more, from.name, pairs, postgres.Ident(from.name), postgres.Ident(to.name))
	}
	return nil
}

// first is one of these that is none of those, or "".
func first(these, those []string) string {
	for _, name := range these {
		if !slices.Contains(those, name) {
			return name
		}
	}
	return ""
}

// names is what a query finds, as quoted names.
func names(ctx context.Context, c conn, query string, args ...string) ([]string, error) {
	rows, err := c.Query(ctx, query, args...)
	var all []string
	for _, r := range rows {
		quoted := make([]string, len(r))
		for i := range r {
			quoted[i] = postgres.Ident(r[i])
		}
		all = append(all, strings.Join(quoted, "."))
	}
	return all, err
}

// system is a condition that leaves out schemas that nobody is granted anything in.
const system = `nspname NOT LIKE 'pg!_%' ESCAPE '!' AND nspname <> 'information_schema'`

// kinds is what can be granted on what. Each query gives the names of the objects on
// which the user $1 has the privilege $2, or which it owns.
var kinds = []struct {
	on         string
	privileges []string
	query      string
	owned      string
}{
	{"DATABASE", []string{"CREATE", "TEMPORARY"}, `SELECT datname FROM pg_catalog.pg_database WHERE has_database_privilege($1, datname, $2) AND datname NOT IN ('template0', 'template1', 'padb_harvest') ORDER BY 1`,
		`SELECT datname FROM pg_catalog.pg_database, pg_catalog.pg_user WHERE datdba = usesysid AND usename = $1`},
	{"SCHEMA", []string{"USAGE", "CREATE"}, `SELECT nspname FROM pg_catalog.pg_namespace WHERE ` + system + ` AND has_schema_privilege($1, nspname, $2) ORDER BY 1`,
		`SELECT nspname FROM pg_catalog.pg_namespace, pg_catalog.pg_user WHERE nspowner = usesysid AND usename = $1`},
	{"TABLE", []string{"SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES"}, `SELECT n.nspname, c.relname FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n
		WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'v') AND ` + system + ` AND has_table_privilege($1, c.oid, $2) ORDER BY 1, 2`,
		`SELECT n.nspname, c.relname FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n, pg_catalog.pg_user u WHERE c.relnamespace = n.oid AND c.relowner = u.usesysid AND u.usename = $1`},
}

// batch is how many objects stand in one GRANT.
const batch = 200

// grant gives the user to what the user from has: privileges on databases, schemas,
// tables and views; groups; roles.
func grant(ctx context.Context, c conn, from, to string) error {
	for _, k := range kinds {
		for _, privilege := range k.privileges {
			objects, err := names(ctx, c, k.query, from, privilege)
			if err != nil {
				return err
			}
			for len(objects) > 0 {
				n := min(batch, len(objects))
				if err := c.Exec(ctx, "GRANT "+privilege+" ON "+k.on+" "+strings.Join(objects[:n], ", ")+" TO "+postgres.Ident(to)); err != nil {
					return err
				}
				objects = objects[n:]
			}
		}
	}
	groups, err := c.Query(ctx, groupsOf, from)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if strings.HasPrefix(g[0], pairs) {
			continue
		}
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
