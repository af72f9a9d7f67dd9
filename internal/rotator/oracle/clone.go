package oracle

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"

	"coffer/internal/rotator"
)

// clone is Session.Clone over connections.
func clone(ctx context.Context, c conn, super rotator.Login, user conn, current, pending rotator.Login) error {
	password, err := literal(pending.Password)
	if err != nil {
		return err
	}
	from, err := self(ctx, user)
	if err != nil {
		return err
	}
	j := &job{c: c, super: super, from: from, to: pending.User}
	if from != current.User && from == strings.ToUpper(current.User) {
		j.to = strings.ToUpper(pending.User) // as the server will take it when it logs in
	}
	if j.toIdent, err = ident(j.to); err != nil {
		return err
	}
	exists, err := c.Query(ctx, "SELECT USERNAME FROM DBA_USERS WHERE USERNAME = :1", j.to)
	if err != nil {
		return j.may(err, "read DBA_USERS", "SELECT_CATALOG_ROLE")
	}
	if len(exists) == 0 {
		if err := j.create(ctx); err != nil {
			return err
		}
	}
	for _, k := range kinds {
		if err := j.copy(ctx, k, len(exists) > 0); err != nil {
			return err
		}
	}
	if err := j.defaultRoles(ctx); err != nil {
		return err
	}
	return j.may(c.Exec(ctx, "ALTER USER "+j.toIdent+" IDENTIFIED BY "+password), "change the password of "+j.to, "ALTER USER")
}

// job is one cloning.
type job struct {
	c                 conn
	super             rotator.Login
	from, to, toIdent string
}

func (j *job) may(err error, what, privilege string) error { return may(j.super, err, what, privilege) }

// create makes a user that nobody knows the password of.
func (j *job) create(ctx context.Context) error {
	rows, err := j.c.Query(ctx, "SELECT DEFAULT_TABLESPACE, TEMPORARY_TABLESPACE, PROFILE FROM DBA_USERS WHERE USERNAME = :1", j.from)
	if err != nil {
		return j.may(err, "read DBA_USERS", "SELECT_CATALOG_ROLE")
	}
	if len(rows) != 1 {
		return rotator.DatabaseErrorf("there is no user %s to clone", j.from)
	}
	// It begins with a letter, meets the usual rules on passwords and has 30 bytes.
	statement := "CREATE USER " + j.toIdent + ` IDENTIFIED BY "x` + rand.Text() + `_1A"`
	for i, clause := range []string{" DEFAULT TABLESPACE ", " TEMPORARY TABLESPACE ", " PROFILE "} {
		name, err := ident(rows[0][i])
		if err != nil {
			return err
		}
		statement += clause + name
	}
	return j.may(j.c.Exec(ctx, statement), "create user "+j.to, "CREATE USER")
}

// kind is something that a user can have been given.
type kind struct {
	what, query string
	free        bool // more of it makes nobody more powerful
	// statement gives it to a user, from a row in which all but words are quoted; words are
	// the columns that are keywords.
	words     []int
	statement func(row []string, to string) string
	needs     string
}

var kinds = []kind{
	{
		what: "the role", query: "SELECT GRANTED_ROLE, ADMIN_OPTION FROM DBA_ROLE_PRIVS WHERE GRANTEE = :1 ORDER BY 1", words: []int{1},
		statement: func(r []string, to string) string {
			return "GRANT " + r[0] + " TO " + to + option(r[1], " WITH ADMIN OPTION")
		},
		needs: "that role WITH ADMIN OPTION, or GRANT ANY ROLE",
	},
	{
		what: "the privilege", query: "SELECT PRIVILEGE, ADMIN_OPTION FROM DBA_SYS_PRIVS WHERE GRANTEE = :1 ORDER BY 1", words: []int{0, 1},
		statement: func(r []string, to string) string {
			return "GRANT " + r[0] + " TO " + to + option(r[1], " WITH ADMIN OPTION")
		},
		needs: "that privilege WITH ADMIN OPTION, or GRANT ANY PRIVILEGE",
	},
	{
		what: "the privilege", query: "SELECT PRIVILEGE, OWNER, TABLE_NAME, GRANTABLE, TYPE FROM DBA_TAB_PRIVS WHERE GRANTEE = :1 AND TYPE <> 'USER' ORDER BY 2, 3, 1", words: []int{0, 3, 4},
		statement: func(r []string, to string) string {
			on := r[1] + "." + r[2]
			if r[4] == "DIRECTORY" {
				on = "DIRECTORY " + r[2] // which belong to SYS and take no owner
			}
			return "GRANT " + r[0] + " ON " + on + " TO " + to + option(r[3], " WITH GRANT OPTION")
		},
		needs: "that privilege WITH GRANT OPTION, or GRANT ANY OBJECT PRIVILEGE",
	},
	{
		what: "the privilege", query: "SELECT PRIVILEGE, COLUMN_NAME, OWNER, TABLE_NAME, GRANTABLE FROM DBA_COL_PRIVS WHERE GRANTEE = :1 ORDER BY 3, 4, 2, 1", words: []int{0, 4},
		statement: func(r []string, to string) string {
			return "GRANT " + r[0] + " (" + r[1] + ") ON " + r[2] + "." + r[3] + " TO " + to + option(r[4], " WITH GRANT OPTION")
		},
		needs: "that privilege WITH GRANT OPTION, or GRANT ANY OBJECT PRIVILEGE",
	},
	{
		what: "the quota", query: "SELECT TABLESPACE_NAME, CASE WHEN MAX_BYTES < 0 THEN 'UNLIMITED' ELSE TO_CHAR(MAX_BYTES) END FROM DBA_TS_QUOTAS WHERE USERNAME = :1 AND DROPPED = 'NO' ORDER BY 1", words: []int{1}, free: true,
		statement: func(r []string, to string) string {
			return "ALTER USER " + to + " QUOTA " + r[1] + " ON " + r[0]
		},
		needs: "ALTER USER",
	},
}

func option(is, text string) string {
	if is == "YES" {
		return text
	}
	return ""
}

// copy gives the clone what from has and it has not. What it has and from has not makes it
// somebody else than a clone.
func (j *job) copy(ctx context.Context, k kind, exists bool) error {
	has, err := j.c.Query(ctx, k.query, j.from)
	if err != nil {
		return j.may(err, "read what "+j.from+" has", "SELECT_CATALOG_ROLE")
	}
	there, err := j.c.Query(ctx, k.query, j.to)
	if err != nil {
		return j.may(err, "read what "+j.to+" has", "SELECT_CATALOG_ROLE")
	}
	in := func(row []string, rows [][]string) bool {
		return slices.ContainsFunc(rows, func(r []string) bool { return slices.Equal(r, row) })
	}
	for _, r := range there {
		if exists && !k.free && !in(r, has) {
			return rotator.DatabaseErrorf("user %s exists and has %s %s, which %s has not: it is not taken for its clone", j.to, k.what, r[0], j.from)
		}
	}
	for _, r := range has {
		if in(r, there) {
			continue
		}
		quoted := slices.Clone(r)
		for i := range r {
			if slices.Contains(k.words, i) {
				if strings.ContainsAny(r[i], `"';()`) {
					return rotator.DatabaseErrorf("what the server says about %s cannot be read", j.from)
				}
			} else if quoted[i], err = ident(r[i]); err != nil {
				return err
			}
		}
		if err := j.c.Exec(ctx, k.statement(quoted, j.toIdent)); err != nil {
			return j.may(err, "give "+j.to+" "+k.what+" "+r[0], k.needs)
		}
	}
	return nil
}

// defaultRoles makes the same roles active after a login.
func (j *job) defaultRoles(ctx context.Context) error {
	rows, err := j.c.Query(ctx, "SELECT GRANTED_ROLE, DEFAULT_ROLE FROM DBA_ROLE_PRIVS WHERE GRANTEE = :1 ORDER BY 1", j.from)
	if err != nil {
		return j.may(err, "read DBA_ROLE_PRIVS", "SELECT_CATALOG_ROLE")
	}
	var roles []string
	all := true
	for _, r := range rows {
		if r[1] != "YES" {
			all = false
			continue
		}
		name, err := ident(r[0])
		if err != nil {
			return err
		}
		roles = append(roles, name)
	}
	switch {
	case all:
		return nil // as it is unless somebody says otherwise
	case len(roles) == 0:
		roles = []string{"NONE"}
	}
	return j.may(j.c.Exec(ctx, "ALTER USER "+j.toIdent+" DEFAULT ROLE "+strings.Join(roles, ", ")), "set the default roles of "+j.to, "ALTER USER")
}
