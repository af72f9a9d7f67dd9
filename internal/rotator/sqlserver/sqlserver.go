// Package sqlserver changes the passwords of Microsoft SQL Server's users: logins of the
// server, or users of a contained database, which have passwords of their own.
package sqlserver

import (
	"context"
	"crypto/tls"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"

	"coffer/internal/rotator"
)

// Engine is SQL Server, from 2012 on, and Azure SQL.
type Engine struct{}

// Kind is what is fixed about SQL Server. Names have 128 UTF-16 units.
func (Engine) Kind() rotator.Kind {
	return rotator.Kind{
		Name: "SQL Server", Engines: []string{"sqlserver"}, Port: 1433, Database: "master", Exclude: `/@"'\`,
		Suffix: "_clone", MaxUser: 128, UserLength: func(s string) int { return len(utf16.Encode([]rune(s))) },
	}
}

func unverified(host string) *tls.Config {
	return &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
}

// conn runs statements.
type conn interface {
	Exec(ctx context.Context, statement string) error
	Query(ctx context.Context, statement string, args ...string) ([][]string, error)
}

// Check asks for the time.
func (s *session) Check(ctx context.Context) error {
	_, err := s.Query(ctx, "SELECT CONVERT(nvarchar(30), SYSDATETIME(), 126)")
	return err
}

// SetPassword changes the password of the session's user, who has to give the old one.
func (s *session) SetPassword(ctx context.Context, password rotator.Password) error {
	return setPassword(ctx, s, s.Login(), password)
}

// Clone makes the login pending.User with what the login of current may do, or the user if
// current is one of a contained database, and gives it its password last.
func (s *session) Clone(ctx context.Context, current rotator.UserSession, pending rotator.Login) error {
	user, ok := current.(*session)
	if !ok {
		return rotator.ValueErrorf("the current user is not logged in to SQL Server")
	}
	return clone(ctx, s, s.Login(), user, user.Login(), pending)
}

// subject is whom a statement is about.
type subject struct {
	kind string // LOGIN or USER
	name string
}

func (s subject) String() string { return s.kind + " " + ident(s.name) }

// self is who the session is: the server decides by its own rules which name was meant.
// authenticating_database_id is that of a contained database, or of master for logins.
func self(ctx context.Context, c conn) (subject, error) {
	rows, err := c.Query(ctx, `SELECT CASE WHEN authenticating_database_id > 1 THEN N'USER' ELSE N'LOGIN' END,
		CASE WHEN authenticating_database_id > 1 THEN USER_NAME() ELSE ORIGINAL_LOGIN() END
		FROM sys.dm_exec_sessions WHERE session_id = @@SPID`)
	if err != nil {
		return subject{}, err
	}
	if len(rows) != 1 || rows[0][1] == "" {
		return subject{}, rotator.DatabaseErrorf("the server does not tell who is logged in")
	}
	return subject{rows[0][0], rows[0][1]}, nil
}

func setPassword(ctx context.Context, c conn, l rotator.Login, password rotator.Password) error {
	next, err := literal(password)
	if err != nil {
		return err
	}
	last, err := literal(l.Password)
	if err != nil {
		return err
	}
	me, err := self(ctx, c)
	if err != nil {
		return err
	}
	return c.Exec(ctx, "ALTER "+me.String()+" WITH PASSWORD = "+next+" OLD_PASSWORD = "+last)
}

// ident quotes a name.
func ident(name string) string { return "[" + strings.ReplaceAll(name, "]", "]]") + "]" }

// text quotes a string.
func text(s string) string { return "N'" + strings.ReplaceAll(s, "'", "''") + "'" }

// literal quotes a password. A backslash before a line break would join lines.
func literal(p rotator.Password) (string, error) {
	if strings.ContainsFunc(string(p), unicode.IsControl) {
		return "", rotator.ValueErrorf("SQL Server takes no password with control characters")
	}
	if len(utf16.Encode([]rune(string(p)))) > 128 {
		return "", rotator.ValueErrorf("SQL Server takes no password longer than 128 characters: see PASSWORD_LENGTH")
	}
	return text(string(p)), nil
}

// may turns the server's refusal into what to do about it.
func may(super rotator.Login, err error, what, permission string) error {
	if slices.Contains([]int{errNoPermission, errCannotAlter, errPermission, errPermissionDB, errPermissionVerb}, rotator.ErrorNumber(err)) {
		return rotator.DatabaseErrorf("the superuser of secret %s may not %s (%v): it needs %s", super.Secret, what, err, permission)
	}
	return err
}
