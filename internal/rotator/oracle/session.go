package oracle

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	ora "github.com/sijms/go-ora/v2"
	"github.com/sijms/go-ora/v2/network"

	"coffer/internal/rotator"
)

// session is a connection that is logged in.
type session struct {
	db *sql.DB
	c  *sql.Conn
	l  rotator.Login
}

// service is what a name of a service may be. The driver puts it between parentheses
// that also name the host to go to.
var service = regexp.MustCompile(`^[A-Za-z0-9_.$#-]{1,128}$`)

// Login opens a session. The password proves itself by a challenge (O5LOGON) and is not
// shown.
func (Engine) Login(ctx context.Context, l rotator.Login) (rotator.UserSession, error) {
	if !service.MatchString(l.Database) {
		return nil, &rotator.LoginError{Reason: rotator.Unsafe, Text: "dbname in the secret is no name of a service"}
	}
	options := url.Values{
		"CONNECT TIMEOUT": {fmt.Sprint(int(rotator.ConnectTime.Seconds()))}, "TIMEOUT": {fmt.Sprint(int(rotator.StatementTime.Seconds()))},
		"PROGRAM": {"coffer rotation"}, "OS USER": {"coffer"},
	}
	if l.TLS != nil {
		options.Set("SSL", "true")
	}
	dsn := url.URL{Scheme: "oracle", User: url.UserPassword(l.User, string(l.Password)), Host: l.Addr(), Path: "/" + l.Database, RawQuery: options.Encode()}
	connector, ok := ora.NewConnector(dsn.String()).(*ora.OracleConnector)
	if !ok {
		return nil, &rotator.LoginError{Reason: rotator.Unsafe, Text: "the driver is another one"}
	}
	connector.Dialer(&net.Dialer{Timeout: rotator.ConnectTime})
	failure := func() *rotator.LoginError { return nil }
	if l.TLS != nil {
		config, f := rotator.Verifying(l.TLS)
		connector.WithTLSConfig(config)
		failure = f
	}
	s := &session{db: sql.OpenDB(connector), l: l}
	var err error
	if s.c, err = s.db.Conn(ctx); err != nil {
		s.db.Close()
		if e := failure(); e != nil {
			return nil, e
		}
		return nil, loginError(err, l)
	}
	return s, nil
}

// loginError sorts the reasons why a login failed.
// Codes: https://docs.oracle.com/en/error-help/db/
func loginError(err error, l rotator.Login) error {
	var server *network.OracleError
	if !errors.As(err, &server) {
		e := rotator.NetworkError(err)
		if e.Reason == rotator.Unreachable && l.TLS != nil && !isNetwork(err) {
			// A listener without TLS closes the connection.
			return &rotator.LoginError{Reason: rotator.NoTLS, Text: "no answer to a TLS handshake"}
		}
		return e
	}
	e := &rotator.LoginError{Reason: rotator.Refused, Text: serverText(server)}
	switch server.ErrCode {
	case 1033, 1034, 1089, 12514, 12516, 12518, 12519, 12520, 12528, 12541, 12564: // starting up, shutting down, no connection free
		e.Reason = rotator.Unreachable
	}
	return e
}

func isNetwork(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, context.DeadlineExceeded)
}

// serverError is an error that the server reported, without what quotes statements.
type serverError struct {
	code int
	text string
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
	var server *network.OracleError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &server):
		return &serverError{server.ErrCode, serverText(server)}
	}
	return rotator.DatabaseErrorf("the connection to the server was lost: %s", rotator.NetworkError(err).Text)
}

// serverText is the first line of what the server said.
func serverText(e *network.OracleError) string {
	text, _, _ := strings.Cut(e.ErrMsg, "\n")
	if strings.TrimSpace(text) == "" {
		return fmt.Sprintf("ORA-%05d", e.ErrCode)
	}
	return strings.TrimSpace(text)
}

// exec runs one statement.
func (s *session) exec(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, rotator.StatementTime)
	defer cancel()
	_, err := s.c.ExecContext(ctx, statement)
	return statementError(err)
}

// query runs one statement with parameters :1, :2, ... and returns its rows as text, NULL as "".
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
