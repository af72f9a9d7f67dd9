package postgres

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"coffer/internal/rotator"
)

// Conn is a connection that speaks PostgreSQL's protocol.
type Conn struct {
	c *pgconn.PgConn
	l rotator.Login
}

// base is a configuration that owes nothing to its surroundings; every word of it is
// replaced. The driver wants configurations that it has parsed.
const base = "postgres://nobody:none@host.invalid:1/none?sslmode=disable"

// Connect logs in. Its errors are *rotator.LoginError.
func Connect(ctx context.Context, l rotator.Login) (*Conn, error) {
	cfg, err := pgconn.ParseConfig(base)
	if err != nil {
		return nil, &rotator.LoginError{Reason: rotator.Unreachable, Text: "a variable PG... of the environment cannot be read"}
	}
	cfg.Host, cfg.Port, cfg.Database, cfg.User, cfg.Password = l.Host, uint16(l.Port), l.Database, l.User, string(l.Password)
	cfg.TLSConfig, cfg.SSLNegotiation, cfg.SSLCertMode, cfg.ChannelBinding = l.TLS, "", "", ""
	cfg.Fallbacks, cfg.ValidateConnect, cfg.AfterConnect = nil, nil, nil
	cfg.KerberosSrvName, cfg.KerberosSpn = "", ""
	cfg.MinProtocolVersion, cfg.MaxProtocolVersion = "3.0", "3.0"
	cfg.RuntimeParams = map[string]string{"client_encoding": "UTF8", "application_name": "coffer rotation"}
	cfg.ConnectTimeout = rotator.ConnectTime
	cfg.DialFunc = (&net.Dialer{Timeout: rotator.ConnectTime}).DialContext
	cfg.MaxProtocolMessageBodyLen = 16 << 20
	// A server that lets everybody in (trust) proves nothing, and one that asks for the
	// password in clear gets it over TLS only. Tickets of the process are not the user's.
	cfg.RequireAuth = "!none,!gss,!sspi,!oauth"
	if l.TLS == nil {
		cfg.RequireAuth += ",!password"
	}
	c, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, loginError(err, l)
	}
	return &Conn{c, l}, nil
}

// loginError sorts the reasons why a login failed.
func loginError(err error, l rotator.Login) error {
	var server *pgconn.PgError
	switch text := err.Error(); {
	case errors.As(err, &server):
		e := &rotator.LoginError{Reason: rotator.Refused, Text: serverText(server)}
		switch {
		case server.Code == "28000" && l.TLS == nil && noEncryption(server.Message):
			e.Reason = rotator.TLSRequired
		case server.Code == "28000" && l.TLS != nil && strings.Contains(server.Message, "no pg_hba.conf entry"):
			e.Reason = rotator.NoTLS // perhaps there is one for connections without
		case strings.HasPrefix(server.Code, "57P"), strings.HasPrefix(server.Code, "53"), strings.HasPrefix(server.Code, "08"):
			e.Reason = rotator.Unreachable // starting up, shutting down, no connection free
		}
		return e
	case strings.Contains(text, "server refused TLS connection"):
		return &rotator.LoginError{Reason: rotator.NoTLS, Text: "the server refused it"}
	case strings.Contains(text, "server did not complete authentication"):
		return &rotator.LoginError{Reason: rotator.Unsafe, Text: "the server lets the user in without asking for the password (trust in pg_hba.conf): a rotation would change nothing"}
	case strings.Contains(text, "server requested password authentication"):
		return &rotator.LoginError{Reason: rotator.TLSRequired, Text: "the server asks for the password in clear, without TLS (password in pg_hba.conf)"}
	case strings.Contains(text, "authentication method requirement"):
		return &rotator.LoginError{Reason: rotator.Unsafe, Text: "the server asks for something else than a password"}
	}
	return rotator.NetworkError(err)
}

// noEncryption recognizes "no pg_hba.conf entry for host ..., no encryption", in older
// servers "SSL off".
func noEncryption(message string) bool {
	return strings.Contains(message, "no encryption") || strings.Contains(message, "SSL off")
}

// Login is what the connection was opened with.
func (c *Conn) Login() rotator.Login { return c.l }

// Close ends the connection.
func (c *Conn) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.c.Close(ctx) // a connection that is broken is closed as well
}

// Exec runs one statement.
func (c *Conn) Exec(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, rotator.StatementTime)
	defer cancel()
	_, err := c.c.Exec(ctx, statement).ReadAll()
	return statementError(err)
}

// Query runs one statement with parameters $1, $2, ... and returns its rows as text, NULL
// as "".
func (c *Conn) Query(ctx context.Context, statement string, args ...string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, rotator.StatementTime)
	defer cancel()
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	r := c.c.ExecParams(ctx, statement, values, nil, nil, nil).Read()
	if r.Err != nil {
		return nil, statementError(r.Err)
	}
	rows := make([][]string, len(r.Rows))
	for i, row := range r.Rows {
		for _, v := range row {
			rows[i] = append(rows[i], string(v))
		}
	}
	return rows, nil
}

// ServerError is an error that the server reported, without what quotes statements.
type ServerError struct{ State, Text string }

// Error returns the text with its state.
func (e *ServerError) Error() string { return e.Text }

// As lets a ServerError pass as a rotator.DatabaseError.
func (e *ServerError) As(target any) bool {
	d, ok := target.(*rotator.DatabaseError)
	if ok {
		*d = rotator.DatabaseError(e.Text)
	}
	return ok
}

// code is the SQLSTATE of err, or "".
func code(err error) string {
	var e *ServerError
	if errors.As(err, &e) {
		return e.State
	}
	return ""
}

func statementError(err error) error {
	var server *pgconn.PgError
	var tooLong *pgproto3.ExceededMaxBodyLenErr
	switch {
	case err == nil:
		return nil
	case errors.As(err, &server):
		return &ServerError{server.Code, serverText(server)}
	case errors.As(err, &tooLong):
		return rotator.DatabaseErrorf("the server's answer is too long")
	}
	return rotator.Lost(err)
}

// serverText is what the server said. Syntax errors quote the statement, and what
// stands in detail, hint and context may as well.
func serverText(e *pgconn.PgError) string {
	if strings.HasPrefix(e.Code, "42601") {
		return "the server does not understand the statement (SQLSTATE 42601)"
	}
	return e.Message + " (SQLSTATE " + e.Code + ")"
}

// Ident quotes an identifier.
func Ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Literal quotes a string. With a backslash in it the form is one that means the
// same whatever standard_conforming_strings is.
func Literal(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
