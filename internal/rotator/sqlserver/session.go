package sqlserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"coffer/internal/rotator"
)

// session is a connection that is logged in.
type session struct {
	db *sql.DB
	c  *sql.Conn
	l  rotator.Login
}

// Login opens a session. The protocol hides the password from nobody, so without TLS it
// goes out only if the secret says so, and even then is the login itself encrypted with
// a server that can.
func (Engine) Login(ctx context.Context, l rotator.Login) (rotator.UserSession, error) {
	cfg := msdsn.Config{
		Host: l.Host, Port: uint64(l.Port), User: l.User, Password: string(l.Password), Database: l.Database,
		AppName: "coffer rotation", Workstation: "coffer", Protocols: []string{"tcp"}, ProtocolParameters: map[string]any{}, Parameters: map[string]string{},
		DisableRetry: true, DialTimeout: rotator.ConnectTime, ConnTimeout: rotator.StatementTime, PacketSize: 4096, NoTraceID: true,
		Encoding: msdsn.EncodeParameters{Timezone: time.UTC},
	}
	failure := func() *rotator.LoginError { return nil }
	switch {
	case l.TLS != nil:
		cfg.Encryption = msdsn.EncryptionRequired
		cfg.TLSConfig, failure = rotator.Verifying(l.TLS)
		cfg.HostInCertificateProvided = true
	case l.WantsPlain():
		cfg.Encryption = msdsn.EncryptionOff // encrypts the login
		cfg.TLSConfig = unverified(l.Host)
	default:
		return nil, &rotator.LoginError{Reason: rotator.Unsafe, Text: `SQL Server is sent passwords as they are: without TLS that is done only with "ssl": false in the secret`}
	}
	connector := mssql.NewConnectorConfig(cfg)
	connector.Dialer = &net.Dialer{Timeout: rotator.ConnectTime}
	s := &session{db: sql.OpenDB(connector), l: l}
	var err error
	if s.c, err = s.db.Conn(ctx); err != nil {
		s.db.Close()
		if e := failure(); e != nil {
			return nil, e
		}
		return nil, loginError(err)
	}
	return s, nil
}

// Numbers of errors: https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors
const (
	errNoPermission   = 15247
	errCannotAlter    = 15151 // or there is none, which is the same to whoever may not know
	errPermission     = 229
	errPermissionDB   = 262
	errPermissionVerb = 300
)

// loginError sorts the reasons why a login failed.
func loginError(err error) error {
	var server mssql.Error
	switch text := err.Error(); {
	case errors.As(err, &server):
		e := &rotator.LoginError{Reason: rotator.Refused, Text: serverText(server)}
		switch server.Number {
		case 17142, 17189, 17197, 17809, 17810, 6005, 40197, 40501, 40613: // paused, shutting down, no connection free
			e.Reason = rotator.Unreachable
		}
		return e
	case strings.Contains(text, "server does not support encryption"):
		return &rotator.LoginError{Reason: rotator.NoTLS, Text: "the server has none"}
	case strings.Contains(text, "TLS Handshake failed"):
		return &rotator.LoginError{Reason: rotator.BadTLS, Text: "the TLS handshake failed"}
	}
	return rotator.NetworkError(err)
}

// serverError is an error that the server reported, without what quotes statements.
type serverError struct {
	number int32
	text   string
}

// Error returns the text.
func (e *serverError) Error() string { return e.text }

// As lets it pass as a rotator.DatabaseError.
func (e *serverError) As(target any) bool {
	d, ok := target.(*rotator.DatabaseError)
	if ok {
		*d = rotator.DatabaseError(e.text)
	}
	return ok
}

func statementError(err error) error {
	var server mssql.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &server):
		return &serverError{server.Number, serverText(server)}
	}
	return rotator.DatabaseErrorf("the connection to the server was lost: %s", rotator.NetworkError(err).Text)
}

// serverText is what the server said. Syntax errors quote the statement.
func serverText(e mssql.Error) string {
	switch e.Number {
	case 102, 103, 105, 156, 170:
		return fmt.Sprintf("the server does not understand the statement (error %d)", e.Number)
	}
	return fmt.Sprintf("%s (error %d)", e.Message, e.Number)
}

// Exec runs one statement.
func (s *session) exec(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, rotator.StatementTime)
	defer cancel()
	_, err := s.c.ExecContext(ctx, statement)
	return statementError(err)
}

// query runs one statement with parameters @p1, @p2, ... and returns its rows as text, NULL as "".
func (s *session) query(ctx context.Context, statement string, args ...string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, rotator.StatementTime)
	defer cancel()
	values := make([]any, len(args))
	for i, a := range args {
		values[i] = a
	}
	rows, err := s.c.QueryContext(ctx, statement, values...)
	if err != nil {
		return nil, statementError(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, statementError(err)
	}
	var out [][]string
	for rows.Next() {
		texts := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range texts {
			into[i] = &texts[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, rotator.DatabaseErrorf("the server's answer cannot be read")
		}
		row := make([]string, len(columns))
		for i, v := range texts {
			row[i] = v.String
		}
		out = append(out, row)
	}
	return out, statementError(rows.Err())
}

// Login is what the session was opened with.
func (s *session) Login() rotator.Login { return s.l }

// Close ends the session.
func (s *session) Close() {
	s.c.Close() // a broken one is closed as well
	s.db.Close()
}
