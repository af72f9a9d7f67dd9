package postgres

import (
	"context"
	"fmt"
	"strings"

	"coffer/internal/rotator"
)

// role is a row of pg_roles.
type role struct {
	oid, name                                          string
	super, creates, makesDatabases, replicates, unseen bool // unseen: BYPASSRLS
	logsIn                                             bool
	connections, until                                 string
}

func (s *session) role(ctx context.Context, name string) (role, bool, error) {
	rows, err := s.Query(ctx, `SELECT oid, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolcanlogin, rolconnlimit, rolvaliduntil
		FROM pg_catalog.pg_roles WHERE rolname = $1`, name)
	if err != nil || len(rows) == 0 {
		return role{}, false, err
	}
	r := rows[0]
	return role{
		oid: r[0], name: name, super: r[1] == "t", creates: r[2] == "t", makesDatabases: r[3] == "t", replicates: r[4] == "t",
		unseen: r[5] == "t", logsIn: r[6] == "t", connections: r[7], until: r[8],
	}, true, nil
}

// Clone makes pending.User a member of the user of current, or if it exists gives it
// its password, in one transaction.
func (s *session) Clone(ctx context.Context, current rotator.UserSession, pending rotator.Login) error {
	return s.within(ctx, func() error {
		from, ok, err := s.role(ctx, current.Login().User)
		if err != nil {
			return err
		}
		if !ok {
			return rotator.DatabaseErrorf("there is no role %s to clone", current.Login().User)
		}
		to, exists, err := s.role(ctx, pending.User)
		if err != nil {
			return err
		}
		if !exists {
			return s.create(ctx, from, pending)
		}
		if err := s.fit(ctx, from, to); err != nil {
			return err
		}
		err = s.setPassword(ctx, pending.User, pending.Password)
		return s.may(err, "change the password of "+pending.User,
			fmt.Sprintf("make it a superuser, or give it CREATEROLE and, from PostgreSQL 16 on, GRANT %s TO it WITH ADMIN OPTION", Ident(pending.User)))
	})
}

// create makes the clone: a member of the role from, which it becomes when it logs in. So
// what it creates belongs to from, and both users go on owning everything together.
func (s *session) create(ctx context.Context, from role, pending rotator.Login) error {
	self, ok, err := s.role(ctx, s.Login().User)
	if err != nil {
		return err
	}
	l := s.Login()
	if ok && !self.super && !self.creates {
		return rotator.DatabaseErrorf("the superuser of secret %s may not create roles: ALTER ROLE it CREATEROLE, or use another one", l.Secret)
	}
	password, err := s.password(ctx, pending.User, pending.Password)
	if err != nil {
		return err
	}
	options := " LOGIN INHERIT PASSWORD " + password
	if from.connections != "-1" {
		options += " CONNECTION LIMIT " + from.connections
	}
	if from.until != "" {
		options += " VALID UNTIL " + Literal(from.until)
	}
	if from.replicates {
		options += " REPLICATION" // decided before a session takes on a role
	}
	err = s.Exec(ctx, "CREATE ROLE "+Ident(pending.User)+options)
	if err := s.may(err, "create role "+pending.User, "ALTER ROLE it CREATEROLE, or use another one"); err != nil {
		return err
	}
	err = s.Exec(ctx, "GRANT "+Ident(from.name)+" TO "+Ident(pending.User))
	if err := s.may(err, "grant role "+from.name, fmt.Sprintf("GRANT %s TO it WITH ADMIN OPTION", Ident(from.name))); err != nil {
		return err
	}
	err = s.Exec(ctx, "COMMENT ON ROLE "+Ident(pending.User)+" IS "+Literal(mark(from)))
	if err := s.may(err, "comment on role "+pending.User, "ALTER ROLE it CREATEROLE, or use another one"); err != nil {
		return err
	}
	return s.copySettings(ctx, from, pending.User)
}

// fit refuses a user that is not the alternate of from in anything but name: the name alone
// does not make it one that from's password opens. A role of which from is a member is no more
// than from can be. Any other one, a member of from too (up to PostgreSQL 14 every role could
// grant itself), may be no administrator, have no roles that from has not, and unless
// Coffer made it, neither own nor be granted anything itself.
func (s *session) fit(ctx context.Context, from, to role) error {
	rows, err := s.Query(ctx, `SELECT pg_catalog.pg_has_role($1::oid, $2::oid, 'MEMBER'),
		(SELECT pg_catalog.string_agg(DISTINCT m.roleid::pg_catalog.regrole::text, ', ') FROM pg_catalog.pg_auth_members m
		 WHERE m.member = $2::oid AND NOT pg_catalog.pg_has_role($1::oid, m.roleid, CASE WHEN m.admin_option THEN 'MEMBER WITH ADMIN OPTION' ELSE 'MEMBER' END))`, from.oid, to.oid)
	if err != nil {
		return err
	}
	isFrom, more := rows[0][0] == "t", rows[0][1]
	switch {
	case !to.logsIn:
		return rotator.DatabaseErrorf("role %s cannot log in (NOLOGIN), so it is not the alternate of %s", to.name, from.name)
	case isFrom:
		return nil
	case to.super && !from.super, to.creates && !from.creates, to.makesDatabases && !from.makesDatabases, to.replicates && !from.replicates, to.unseen && !from.unseen:
		return rotator.DatabaseErrorf("role %s exists and has attributes that %s has not (SUPERUSER, CREATEROLE, CREATEDB, REPLICATION or BYPASSRLS): it is not taken for its clone", to.name, from.name)
	case more != "":
		return rotator.DatabaseErrorf("role %s exists and is a member of %s, which %s is not, or not with ADMIN OPTION: it is not taken for its clone; REVOKE that from %s, or GRANT it to %s", to.name, more, from.name, Ident(to.name), Ident(from.name))
	}
	return s.ownsNothing(ctx, from, to)
}

// mark is the comment on a role that Coffer made to be the clone of from. Only who administers a
// role can comment on it. The OID is of this from, not of another one that has its name later.
func mark(from role) string { return "coffer: clone of role " + from.oid }

// ownsNothing refuses a role that has something of its own in any database (pg_shdepend is of the
// whole server: what it owns, what it is granted, policies that name it), unless Coffer marked it.
// What is granted on objects that from may act as the owner of is no more than from has.
func (s *session) ownsNothing(ctx context.Context, from, to role) error {
	rows, err := s.Query(ctx, `SELECT pg_catalog.shobj_description($2::oid, 'pg_authid'), EXISTS (
		SELECT FROM pg_catalog.pg_shdepend d WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.refobjid = $2::oid
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_shdepend o WHERE o.dbid = d.dbid AND o.classid = d.classid AND o.objid = d.objid
			AND o.refclassid = d.refclassid AND o.deptype = 'o' AND pg_catalog.pg_has_role($1::oid, o.refobjid, 'MEMBER')))`, from.oid, to.oid)
	if err != nil {
		return err
	}
	if comment, has := rows[0][0], rows[0][1] == "t"; has && comment != mark(from) {
		return rotator.DatabaseErrorf("role %s exists, was not made by Coffer, and owns objects or is granted privileges itself, which %s may not have: it is not taken for its clone; "+
			"if it is, GRANT %s TO %s, or as a superuser COMMENT ON ROLE %s IS %s", to.name, from.name, Ident(to.name), Ident(from.name), Ident(to.name), Literal(mark(from)))
	}
	return nil
}

// copySettings gives the clone the settings that from has when it logs in (ALTER ROLE ... SET),
// everywhere and by database, and the role from itself unless one is set.
func (s *session) copySettings(ctx context.Context, from role, to string) error {
	rows, err := s.Query(ctx, `SELECT coalesce(d.datname, ''), c.setting FROM pg_catalog.pg_db_role_setting s
		LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase, LATERAL pg_catalog.unnest(s.setconfig) WITH ORDINALITY AS c(setting, n)
		WHERE s.setrole = $1::oid ORDER BY 1, c.n`, from.oid)
	if err != nil {
		return err
	}
	hasRole := false
	for _, r := range rows {
		database, setting := r[0], r[1]
		name, value, _ := strings.Cut(setting, "=")
		hasRole = hasRole || name == "role" && database == ""
		if err := s.setOn(ctx, to, database, name, value); err != nil {
			return s.may(err, fmt.Sprintf("copy the setting %s of role %s", name, from.name), "use a superuser, or create "+to+" by hand")
		}
	}
	if hasRole {
		return nil
	}
	return s.setOn(ctx, to, "", "role", from.name)
}

func (s *session) setOn(ctx context.Context, user, database, name, value string) error {
	statement := "ALTER ROLE " + Ident(user)
	if database != "" {
		statement += " IN DATABASE " + Ident(database)
	}
	values := []string{Literal(value)}
	if lists[strings.ToLower(name)] {
		values = splitList(value)
	}
	return s.Exec(ctx, statement+" SET "+settingName(name)+" = "+strings.Join(values, ", "))
}

// settingName quotes the parts of a name such as myapp.tenant.
func settingName(name string) string {
	parts := strings.Split(name, ".")
	for i := range parts {
		parts[i] = Ident(parts[i])
	}
	return strings.Join(parts, ".")
}

// lists are the settings that hold lists of names, which are kept with their quotes
// (GUC_LIST_QUOTE in PostgreSQL's sources; pg_dump has the same list).
var lists = map[string]bool{
	"local_preload_libraries": true, "search_path": true, "session_preload_libraries": true,
	"shared_preload_libraries": true, "temp_tablespaces": true, "unix_socket_directories": true,
}

// splitList makes literals of the names of a list: "$user", public.
func splitList(value string) []string {
	var names []string
	for rest := strings.TrimSpace(value); rest != ""; {
		var name string
		if rest[0] == '"' {
			var b strings.Builder
			i := 1
			for ; i < len(rest); i++ {
				if rest[i] == '"' {
					if i+1 >= len(rest) || rest[i+1] != '"' {
						break
					}
					i++
				}
				b.WriteByte(rest[i])
			}
			name, rest = b.String(), rest[min(i+1, len(rest)):]
			_, rest, _ = strings.Cut(rest, ",")
		} else {
			name, rest, _ = strings.Cut(rest, ",")
			name = strings.TrimSpace(name)
		}
		names = append(names, Literal(name))
		rest = strings.TrimSpace(rest)
	}
	if len(names) == 0 {
		return []string{"''"}
	}
	return names
}
