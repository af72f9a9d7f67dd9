// Package oracle changes the passwords of Oracle Database's users.
//
// Statements about users take effect one by one: none of them can be rolled back.
package oracle

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"coffer/internal/rotator"
)

// Engine is Oracle Database, from 12.1 on.
type Engine struct{}

// Kind is what is fixed about Oracle. Names and passwords have 30 bytes at most in
// servers before 12.2, and passwords in most of those after it.
func (Engine) Kind() rotator.Kind {
	return rotator.Kind{
		Name: "Oracle", Engines: []string{"oracle"}, Port: 1521, DatabaseRequired: true, Exclude: `/@"'\`,
		Suffix: "_CLONE", MaxUser: 30, UserLength: func(s string) int { return len(s) }, PasswordLength: 30,
	}
}

// conn runs statements.
type conn interface {
	Exec(ctx context.Context, statement string) error
	Query(ctx context.Context, statement string, args ...string) ([][]string, error)
}

// Check asks for the time.
func (s *session) Check(ctx context.Context) error {
	_, err := s.Query(ctx, "SELECT TO_CHAR(SYSDATE, 'YYYY-MM-DD') FROM DUAL")
	return err
}

// SetPassword changes the password of the session's user.
func (s *session) SetPassword(ctx context.Context, password rotator.Password) error {
	return setPassword(ctx, s, s.Login(), password)
}

// Clone makes pending.User with the roles, privileges and quotas of the user of current, and
// gives it its password last.
func (s *session) Clone(ctx context.Context, current rotator.UserSession, pending rotator.Login) error {
	user, ok := current.(*session)
	if !ok {
		return rotator.ValueErrorf("the current user is not logged in to Oracle")
	}
	return clone(ctx, s, s.Login(), user, user.Login(), pending)
}

// self is the name of the session's user as the server has it: without quotes, names are
// upper case whatever the secret says.
func self(ctx context.Context, c conn) (string, error) {
	rows, err := c.Query(ctx, "SELECT SYS_CONTEXT('USERENV', 'SESSION_USER') FROM DUAL")
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || rows[0][0] == "" {
		return "", rotator.DatabaseErrorf("the server does not tell who is logged in")
	}
	return rows[0][0], nil
}

func setPassword(ctx context.Context, c conn, l rotator.Login, password rotator.Password) error {
	next, err := literal(password)
	if err != nil {
		return err
	}
	me, err := self(ctx, c)
	if err != nil {
		return err
	}
	name, err := ident(me)
	if err != nil {
		return err
	}
	statement := "ALTER USER " + name + " IDENTIFIED BY " + next
	// Functions that check passwords want the old one. One with a quote cannot be written.
	if last, err := literal(l.Password); err == nil {
		statement += " REPLACE " + last
	}
	return c.Exec(ctx, statement)
}

// ident quotes a name. There is no way to write a quote in one.
func ident(name string) (string, error) {
	if strings.Contains(name, `"`) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", rotator.ValueErrorf("Oracle takes no name with a double quote or control characters: %q", name)
	}
	return `"` + name + `"`, nil
}

// literal quotes a password. It stands in quotes like a name.
func literal(p rotator.Password) (string, error) {
	if strings.Contains(string(p), `"`) || strings.ContainsFunc(string(p), unicode.IsControl) {
		return "", rotator.ValueErrorf("Oracle takes no password with a double quote or control characters: see EXCLUDE_CHARACTERS")
	}
	return `"` + string(p) + `"`, nil
}

// Codes: https://docs.oracle.com/en/error-help/db/
const (
	errNoTable    = 942 // or none that the user may see
	errPrivileges = 1031
	errNotGranted = 1924 // role not granted or does not exist
	errNoAdmin    = 1932 // ADMIN option not granted for role
	errNoOption   = 1720 // grant option does not exist
)

// may turns the server's refusal into what to do about it.
func may(super rotator.Login, err error, what, privilege string) error {
	if slices.Contains([]int{errNoTable, errPrivileges, errNotGranted, errNoAdmin, errNoOption}, rotator.ErrorNumber(err)) {
		return rotator.DatabaseErrorf("the superuser of secret %s may not %s (%v): it needs %s", super.Secret, what, err, privilege)
	}
	return err
}
