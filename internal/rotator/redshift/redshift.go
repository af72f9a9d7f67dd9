// Package redshift changes the passwords of Amazon Redshift's users. Redshift speaks
// PostgreSQL's protocol, and a SQL of its own that went other ways at PostgreSQL 8.0:
// users are no roles, and one cannot be a member of another, so a clone is
// granted one by one what the user has.
package redshift

import (
	"context"
	"strings"
	"unicode"

	"coffer/internal/rotator"
	"coffer/internal/rotator/postgres"
)

// Engine is Redshift, clusters and serverless.
type Engine struct{}

// Kind is what is fixed about Redshift.
func (Engine) Kind() rotator.Kind {
	return rotator.Kind{
		Name: "Redshift", Engines: []string{"redshift"}, Port: 5439, Database: "dev", Exclude: `/@"'\:`,
		Suffix: "_clone", MaxUser: 127, UserLength: func(s string) int { return len(s) },
	}
}

// Login opens a session.
func (Engine) Login(ctx context.Context, l rotator.Login) (rotator.UserSession, error) {
	c, err := postgres.Connect(ctx, l)
	if err != nil {
		return nil, err
	}
	return &session{c}, nil
}

type session struct{ *postgres.Conn }

// conn runs statements.
type conn interface {
	Exec(ctx context.Context, statement string) error
	Query(ctx context.Context, statement string, args ...string) ([][]string, error)
}

// Check asks for a number.
func (s *session) Check(ctx context.Context) error {
	_, err := s.Query(ctx, "SELECT 1")
	return err
}

// SetPassword changes the password of the session's user.
func (s *session) SetPassword(ctx context.Context, password rotator.Password) error {
	return setPassword(ctx, s, s.Login().User, password)
}

// Clone makes pending.User with the grants of the user of current, or if it exists gives it
// its password, in one transaction.
func (s *session) Clone(ctx context.Context, current rotator.UserSession, pending rotator.Login) error {
	return clone(ctx, s, s.Login(), current.Login().User, pending)
}

// setPassword changes a user's password.
func setPassword(ctx context.Context, c conn, user string, password rotator.Password) error {
	p, err := literal(password)
	if err != nil {
		return err
	}
	return within(ctx, c, func() error {
		return c.Exec(ctx, "ALTER USER "+postgres.Ident(user)+" PASSWORD "+p)
	})
}

// within runs f in a transaction, in which names mean those of the system whatever the
// user or the database has set.
func within(ctx context.Context, c conn, f func() error) error {
	for _, statement := range []string{"SET search_path TO pg_catalog", "BEGIN"} {
		if err := c.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return err // the session ends, and the transaction with it
	}
	return c.Exec(ctx, "COMMIT")
}

// literal quotes a password that Redshift takes: 8 to 64 characters, an upper and a lower
// case letter and a digit among them, none that would need more than quotes.
// https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_USER.html
func literal(p rotator.Password) (string, error) {
	var upper, lower, digit bool
	for _, r := range string(p) {
		if r <= ' ' || r > '~' || strings.ContainsRune(`'"\/@`, r) {
			return "", rotator.ValueErrorf(`Redshift takes no password with spaces, ', ", \, / or @, or other than ASCII characters: see EXCLUDE_CHARACTERS`)
		}
		upper, lower, digit = upper || unicode.IsUpper(r), lower || unicode.IsLower(r), digit || unicode.IsDigit(r)
	}
	if len(p) < 8 || len(p) > 64 || !upper || !lower || !digit {
		return "", rotator.ValueErrorf("Redshift wants passwords of 8 to 64 characters with upper case, lower case and digits: see PASSWORD_LENGTH and REQUIRE_EACH_INCLUDED_TYPE")
	}
	return "'" + string(p) + "'", nil
}
