// Package sqlsession is the session of a user with a server that has a driver for database/sql:
// one connection, one statement at a time, each with a time.
package sqlsession

import (
	"context"
	"database/sql"
	"database/sql/driver"

	"coffer/internal/rotator"
)

// Session is a connection that is logged in. One goroutine uses it.
type Session struct {
	db     *sql.DB
	c      *sql.Conn
	login  rotator.Login
	server func(error) *rotator.ServerError
}

// Open logs in. server is what the server said, by the driver's error; nil if it said nothing.
// The error is the driver's own.
func Open(ctx context.Context, connector driver.Connector, l rotator.Login, server func(error) *rotator.ServerError) (*Session, error) {
	s := &Session{db: sql.OpenDB(connector), login: l, server: server}
	var err error
	if s.c, err = s.db.Conn(ctx); err != nil {
		s.db.Close()
		return nil, err
	}
	return s, nil
}

func (s *Session) failure(err error) error {
	if err == nil {
		return nil
	}
	if e := s.server(err); e != nil {
		return e
	}
	return rotator.Lost(err)
}

// Exec runs one statement. Its error is a rotator.DatabaseError.
func (s *Session) Exec(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, rotator.StatementTime)
	defer cancel()
	_, err := s.c.ExecContext(ctx, statement)
	return s.failure(err)
}

// Query runs one statement, with arguments for its parameters, and returns its rows as text, NULL
// as "". Its error is a rotator.DatabaseError.
func (s *Session) Query(ctx context.Context, statement string, args ...string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, rotator.StatementTime)
	defer cancel()
	values := make([]any, len(args))
	for i, a := range args {
		values[i] = a
	}
	rows, err := s.c.QueryContext(ctx, statement, values...)
	if err != nil {
		return nil, s.failure(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, s.failure(err)
	}
	var out [][]string
	for rows.Next() {
		texts := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range texts {
			into[i] = &texts[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, rotator.DatabaseErrorf("the server's answer cannot be read") // the error could quote it
		}
		row := make([]string, len(columns))
		for i, v := range texts {
			row[i] = v.String
		}
		out = append(out, row)
	}
	return out, s.failure(rows.Err())
}

// Login is what the session was opened with.
func (s *Session) Login() rotator.Login { return s.login }

// Close ends the session.
func (s *Session) Close() {
	s.c.Close() // a broken one is closed as well
	s.db.Close()
}
