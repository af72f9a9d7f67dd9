package sqlserver

import (
	"context"
	"crypto/rand"

	"coffer/internal/rotator"
)

// clone is Session.Clone over connections. There are statements about logins that no transaction
// takes, so the password comes last.
func clone(ctx context.Context, c conn, super rotator.Login, user conn, current, pending rotator.Login) error {
	password, err := literal(pending.Password)
	if err != nil {
		return err
	}
	from, err := self(ctx, user)
	if err != nil {
		return err
	}
	to := subject{from.kind, pending.User}
	j := &job{c: c, super: super, from: from, to: to, database: current.Database, warnf: pending.Warnf}
	if from.kind == "USER" {
		if err := c.Exec(ctx, "USE "+ident(current.Database)); err != nil {
			return j.may(err, "enter database "+current.Database, "a user in it")
		}
	}
	exists, err := j.exists(ctx)
	if err != nil {
		return err
	}
	if !exists {
		// It meets the usual policies on passwords, and nobody knows it.
		random := text(rand.Text() + "-aA1")
		if err := c.Exec(ctx, "CREATE "+to.String()+" WITH PASSWORD = "+random+j.defaults(ctx)); err != nil {
			return j.may(err, "create "+to.String(), "ALTER ANY "+to.kind)
		}
	}
	if from.kind == "LOGIN" {
		if err := j.server(ctx, exists); err != nil {
			return err
		}
	}
	if err := j.inDatabase(ctx, exists); err != nil {
		return err
	}
	err = c.Exec(ctx, "ALTER "+to.String()+" WITH PASSWORD = "+password)
	return j.may(err, "change the password of "+to.String(), "ALTER ANY "+to.kind)
}

// job is one cloning.
type job struct {
	c        conn
	super    rotator.Login
	from, to subject
	database string
	warnf    func(string, ...any)
}

func (j *job) may(err error, what, permission string) error {
	return may(j.super, err, what, permission)
}

func (j *job) exists(ctx context.Context) (bool, error) {
	table := "sys.server_principals"
	if j.to.kind == "USER" {
		table = "sys.database_principals"
	}
	rows, err := j.c.Query(ctx, "SELECT name, type FROM "+table+" WHERE name = @p1", j.to.name)
	if err != nil || len(rows) == 0 {
		return false, err
	}
	if rows[0][1] != "S" {
		return false, rotator.DatabaseErrorf("%s is taken by something that has no password", j.to.name)
	}
	return true, nil
}

// defaults is the default database and language of the login.
func (j *job) defaults(ctx context.Context) string {
	if j.from.kind == "USER" {
		return ""
	}
	rows, err := j.c.Query(ctx, "SELECT default_database_name, default_language_name FROM sys.server_principals WHERE name = @p1", j.from.name)
	if err != nil || len(rows) == 0 || rows[0][0] == "" {
		j.warnf("The default database of login %s cannot be read: its clone has master.", j.from.name)
		return ""
	}
	options := ", DEFAULT_DATABASE = " + ident(rows[0][0])
	if rows[0][1] != "" {
		options += ", DEFAULT_LANGUAGE = " + ident(rows[0][1])
	}
	return options
}

const (
	serverRoles = `SELECT r.name FROM sys.server_role_members m
		JOIN sys.server_principals r ON r.principal_id = m.role_principal_id
		JOIN sys.server_principals p ON p.principal_id = m.member_principal_id WHERE p.name = @p1 ORDER BY r.name`
	serverPermissions = `SELECT s.state, s.permission_name FROM sys.server_permissions s
		JOIN sys.server_principals p ON p.principal_id = s.grantee_principal_id
		WHERE p.name = @p1 AND s.class = 100 AND s.permission_name <> N'CONNECT SQL' ORDER BY s.permission_name`
	mapped        = `SELECT u.name, ISNULL(u.default_schema_name, N'') FROM sys.database_principals u WHERE u.sid = SUSER_SID(@p1) AND u.type = 'S'`
	contained     = `SELECT u.name, ISNULL(u.default_schema_name, N'') FROM sys.database_principals u WHERE u.name = @p1 AND u.type = 'S'`
	databaseRoles = `SELECT r.name FROM sys.database_role_members m
		JOIN sys.database_principals r ON r.principal_id = m.role_principal_id
		JOIN sys.database_principals p ON p.principal_id = m.member_principal_id WHERE p.name = @p1 ORDER BY r.name`
	databasePermissions = `SELECT d.state, d.permission_name, d.class_desc,
		ISNULL(CASE d.class WHEN 1 THEN OBJECT_SCHEMA_NAME(d.major_id) WHEN 3 THEN SCHEMA_NAME(d.major_id)
			WHEN 6 THEN (SELECT SCHEMA_NAME(t.schema_id) FROM sys.types t WHERE t.user_type_id = d.major_id) END, N''),
		ISNULL(CASE d.class WHEN 1 THEN OBJECT_NAME(d.major_id) WHEN 6 THEN TYPE_NAME(d.major_id) END, N''),
		ISNULL(CASE WHEN d.class = 1 AND d.minor_id > 0 THEN COL_NAME(d.major_id, d.minor_id) END, N'')
		FROM sys.database_permissions d JOIN sys.database_principals p ON p.principal_id = d.grantee_principal_id
		WHERE p.name = @p1 AND NOT (d.class = 0 AND d.permission_name = N'CONNECT') ORDER BY d.class, d.permission_name, d.major_id, d.minor_id`
)

// server gives the login the other's roles and permissions on the server.
func (j *job) server(ctx context.Context, exists bool) error {
	roles, err := j.difference(ctx, serverRoles, j.from.name, j.to.name, exists, "server role")
	if err != nil {
		return err
	}
	for _, r := range roles {
		if err := j.c.Exec(ctx, "ALTER SERVER ROLE "+ident(r[0])+" ADD MEMBER "+ident(j.to.name)); err != nil {
			return j.may(err, "add a member to server role "+r[0], "membership in that role")
		}
	}
	permissions, err := j.difference(ctx, serverPermissions, j.from.name, j.to.name, exists, "server permission")
	if err != nil {
		return err
	}
	return j.grant(ctx, permissions, j.to.name)
}

// inDatabase gives the user of the clone what the other has in the secret's database.
func (j *job) inDatabase(ctx context.Context, exists bool) error {
	if j.from.kind == "LOGIN" {
		if err := j.c.Exec(ctx, "USE "+ident(j.database)); err != nil {
			return j.may(err, "enter database "+j.database, "a user in it")
		}
	}
	find := contained
	if j.from.kind == "LOGIN" {
		find = mapped
	}
	from, err := j.c.Query(ctx, find, j.from.name)
	if err != nil || len(from) == 0 {
		return err // a login that comes in as a guest, or by its role on the server
	}
	name, schema := j.to.name, from[0][1]
	if j.from.kind == "LOGIN" {
		to, err := j.c.Query(ctx, mapped, j.to.name)
		if err != nil {
			return err
		}
		if len(to) > 0 {
			name = to[0][0]
		} else if err := j.c.Exec(ctx, "CREATE USER "+ident(name)+" FOR LOGIN "+ident(j.to.name)); err != nil {
			return j.may(err, "create a user in database "+j.database, "ALTER ANY USER")
		}
	}
	if name == "dbo" && from[0][0] != "dbo" {
		return rotator.DatabaseErrorf("login %s owns database %s, unlike %s: it is not taken for its clone", j.to.name, j.database, j.from.name)
	}
	if name == "dbo" {
		return nil
	}
	if schema != "" {
		if err := j.c.Exec(ctx, "ALTER USER "+ident(name)+" WITH DEFAULT_SCHEMA = "+ident(schema)); err != nil {
			return j.may(err, "alter user "+name, "ALTER ANY USER")
		}
	}
	if from[0][0] == "dbo" { // which is no member of anything and may do all
		return j.may(j.c.Exec(ctx, "ALTER ROLE [db_owner] ADD MEMBER "+ident(name)), "add a member to role db_owner", "db_owner")
	}
	roles, err := j.difference(ctx, databaseRoles, from[0][0], name, exists, "role")
	if err != nil {
		return err
	}
	for _, r := range roles {
		if err := j.c.Exec(ctx, "ALTER ROLE "+ident(r[0])+" ADD MEMBER "+ident(name)); err != nil {
			return j.may(err, "add a member to role "+r[0], "ALTER ANY ROLE, or db_owner")
		}
	}
	permissions, err := j.difference(ctx, databasePermissions, from[0][0], name, exists, "permission")
	if err != nil {
		return err
	}
	return j.grant(ctx, permissions, name)
}

// difference is what from has and to has not. What to has and from has not makes it somebody
// else than its clone, unless it is a denial.
func (j *job) difference(ctx context.Context, query, from, to string, exists bool, what string) ([][]string, error) {
	has, err := j.c.Query(ctx, query, from)
	if err != nil {
		return nil, err
	}
	there, err := j.c.Query(ctx, query, to)
	if err != nil {
		return nil, err
	}
	key := func(r []string) (k string) {
		for _, v := range r {
			k += v + "\x00"
		}
		return k
	}
	mine, theirs := map[string]bool{}, map[string]bool{}
	for _, r := range has {
		mine[key(r)] = true
	}
	for _, r := range there {
		theirs[key(r)] = true
		if exists && !mine[key(r)] && (len(r) == 1 || r[0] != "D") {
			return nil, rotator.DatabaseErrorf("%s exists and has the %s %s, which %s has not: it is not taken for its clone", to, what, r[min(1, len(r)-1)], from)
		}
	}
	var missing [][]string
	for _, r := range has {
		if !theirs[key(r)] {
			missing = append(missing, r)
		}
	}
	return missing, nil
}

// grant grants or denies: rows of state, permission and, in a database, class, schema,
// object and column.
func (j *job) grant(ctx context.Context, permissions [][]string, to string) error {
	for _, p := range permissions {
		verb := map[string]string{"G": "GRANT ", "W": "GRANT ", "D": "DENY "}[p[0]]
		on := ""
		if len(p) > 2 {
			schema, object, column := ident(p[3]), ident(p[4]), p[5]
			switch p[2] {
			case "DATABASE":
			case "SCHEMA":
				on = " ON SCHEMA::" + schema
			case "OBJECT_OR_COLUMN":
				on = " ON OBJECT::" + schema + "." + object
				if column != "" {
					on += " (" + ident(column) + ")"
				}
			case "TYPE":
				on = " ON TYPE::" + schema + "." + object
			default:
				verb = ""
			}
			if p[2] != "DATABASE" && p[3] == "" {
				verb = "" // the name is not for this superuser to see
			}
		}
		if verb == "" {
			j.warnf("The permission %s of %s is not copied to %s: give it by hand", p[1], j.from.name, to)
			continue
		}
		statement := verb + p[1] + on + " TO " + ident(to)
		if p[0] == "W" {
			statement += " WITH GRANT OPTION"
		}
		if err := j.c.Exec(ctx, statement); err != nil {
			return j.may(err, "grant "+p[1], "that permission WITH GRANT OPTION, or CONTROL")
		}
	}
	return nil
}
