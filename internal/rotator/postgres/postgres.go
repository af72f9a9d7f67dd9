// Package postgres changes the passwords of PostgreSQL's users.
package postgres

import (
	"context"
	"fmt"

	"coffer/internal/rotator"
)

// Engine is PostgreSQL 10 and later, and what is like it.
type Engine struct{}

// Kind is what is fixed about PostgreSQL. Names have 63 bytes; the server would cut
// longer ones.
func (Engine) Kind() rotator.Kind {
	return rotator.Kind{
		Name: "PostgreSQL", Engines: []string{"postgres", "aurora-postgresql"},
		Port: 5432, Database: "postgres", Exclude: `:/@"'\`,
		Suffix: "_clone", MaxUser: 63, UserLength: func(s string) int { return len(s) },
	}
}

// Login opens a session.
func (Engine) Login(ctx context.Context, l rotator.Login) (rotator.UserSession, error) {
	c, err := Connect(ctx, l)
	if err != nil {
		return nil, err
	}
	return &session{c}, nil
}

type session struct{ *Conn }

// Check asks for the time.
func (s *session) Check(ctx context.Context) error {
	_, err := s.Query(ctx, "SELECT pg_catalog.now()")
	return err
}

// settle makes the transaction's session mean what it says, whatever the user, the database or the
// server has set. A database's owner decides its search_path, and a superuser
// who looks up pg_roles there must not find the owner's. A user may have a role that it takes on
// when it logs in; that role must not change the user's password, and may not.
var settle = []string{
	"SET LOCAL search_path = pg_catalog",
	"SET LOCAL ROLE NONE",
	"SET LOCAL standard_conforming_strings = on",
	"SET LOCAL DateStyle = ISO",
	"SET LOCAL TimeZone = UTC",
	"SET LOCAL lock_timeout = '8s'",
	"SET LOCAL statement_timeout = '8s'",
}

// within runs f in a transaction.
func (s *session) within(ctx context.Context, f func() error) error {
	if err := s.Exec(ctx, "BEGIN READ WRITE"); err != nil {
		return err
	}
	for _, statement := range settle {
		if err := s.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return err // the session ends, and the transaction with it
	}
	return s.Exec(ctx, "COMMIT")
}

// SetPassword changes the password of the session's user.
func (s *session) SetPassword(ctx context.Context, password rotator.Password) error {
	return s.within(ctx, func() error { return s.setPassword(ctx, s.Login().User, password) })
}

func (s *session) setPassword(ctx context.Context, user string, password rotator.Password) error {
	p, err := s.password(ctx, user, password)
	if err != nil {
		return err
	}
	return s.Exec(ctx, "ALTER ROLE "+Ident(user)+" PASSWORD "+p)
}

// password is the literal of a password as the server will keep it: hashed here, so that
// neither a log of statements nor an activity view of the server shows it.
func (s *session) password(ctx context.Context, user string, password rotator.Password) (string, error) {
	rows, err := s.Query(ctx, "SELECT pg_catalog.current_setting('password_encryption'), pg_catalog.current_setting('scram_iterations', true)")
	if err != nil {
		return "", err
	}
	switch kind := rows[0][0]; {
	case !isASCII(string(password)):
		// The server prepares such passwords by rules (RFC 4013) that it knows best.
		return Literal(string(password)), nil
	case kind == "scram-sha-256":
		return Literal(scramVerifier(string(password), iterations(rows[0][1]))), nil
	case kind == "md5", kind == "on":
		return Literal(md5Verifier(user, string(password))), nil
	}
	return "", rotator.DatabaseErrorf("the server's password_encryption %s is not known", rows[0][0])
}

// may turns the server's refusal into what to do about it.
func (s *session) may(err error, what, remedy string) error {
	if code(err) != "42501" {
		return err
	}
	return rotator.DatabaseError(fmt.Sprintf("the superuser of secret %s may not %s (%v): %s", s.Login().Secret, what, err, remedy))
}
