package mysql

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/go-sql-driver/mysql"

	"coffer/internal/rotator"
	"coffer/internal/rotator/sqlsession"
)

// session is a connection that is logged in.
type session struct {
	*sqlsession.Session
	server server
	self   account // as which the server let the user in
}

// begin makes the session mean what it says, whatever the server is set to.
var begin = []string{
	// Quotes are doubled in what we send and in what SHOW GRANTS answers; names stand in backticks.
	"SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'",
	"SET SESSION sql_quote_show_create = 1",
	"SET SESSION lock_wait_timeout = 8",
}

// noKey is the name of a public key that nobody has the other half of. Without TLS, servers offer
// a key of theirs to send the password under, and so can anyone who stands between.
const noKey = "none"

var registerNoKey = sync.OnceValue(func() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err == nil {
		mysql.RegisterServerPubKey(noKey, &key.PublicKey)
	}
	return err
})

func login(ctx context.Context, l rotator.Login) (rotator.UserSession, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = l.User, string(l.Password), "tcp", l.Addr(), l.Database
	cfg.TLS = l.TLS
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = rotator.ConnectTime, rotator.StatementTime, rotator.StatementTime
	cfg.DialFunc = (&net.Dialer{Timeout: rotator.ConnectTime}).DialContext
	cfg.Logger = &mysql.NopLogger{}
	cfg.MaxAllowedPacket = 16 << 20
	if l.TLS == nil {
		if err := registerNoKey(); err != nil {
			return nil, &rotator.LoginError{Reason: rotator.Unsafe, Text: "no key can be made"}
		}
		cfg.ServerPubKey = noKey
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, &rotator.LoginError{Reason: rotator.Unsafe, Text: "the driver does not take the secret's values"}
	}
	opened, err := sqlsession.Open(ctx, connector, l, serverError)
	if err != nil {
		return nil, loginError(err, l)
	}
	s := &session{Session: opened}
	if err := s.begin(ctx); err != nil {
		s.Close()
		return nil, &rotator.LoginError{Reason: rotator.Unreachable, Text: err.Error()}
	}
	return s, nil
}

func (s *session) begin(ctx context.Context) error {
	for _, statement := range begin {
		if err := s.Exec(ctx, statement); err != nil {
			return err
		}
	}
	rows, err := s.Query(ctx, "SELECT VERSION(), CURRENT_USER()")
	if err != nil {
		return err
	}
	s.server.version = rows[0][0]
	at := strings.LastIndexByte(rows[0][1], '@')
	if at < 0 {
		return rotator.DatabaseErrorf("the server does not tell as whom the user is logged in")
	}
	s.self = account{rows[0][1][:at], rows[0][1][at+1:]}
	return nil
}

// Numbers of errors: https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
const (
	errTooManyConnections     = 1040
	errDatabaseDenied         = 1044
	errAccessDenied           = 1045
	errServerShutdown         = 1053
	errSyntax                 = 1064
	errHostIsBlocked          = 1129
	errTableDenied            = 1142
	errColumnDenied           = 1143
	errUserLimit              = 1203
	errSpecificDenied         = 1227
	errRoutineDenied          = 1370
	errSecureTransport        = 3159
	errCurrentPasswordMissing = 3892
)

// loginError sorts the reasons why a login failed.
func loginError(err error, l rotator.Login) error {
	var server *mysql.MySQLError
	switch {
	case errors.As(err, &server):
		e := &rotator.LoginError{Reason: rotator.Refused, Text: serverText(server)}
		switch server.Number {
		case errTooManyConnections, errServerShutdown, errHostIsBlocked, errUserLimit:
			e.Reason = rotator.Unreachable
		case errSecureTransport:
			e.Reason = rotator.TLSRequired
		case errAccessDenied:
			if l.TLS == nil {
				e.Text += "; without TLS, users with caching_sha2_password, sha256_password or REQUIRE SSL cannot log in"
			}
		}
		return e
	case errors.Is(err, mysql.ErrNoTLS):
		return &rotator.LoginError{Reason: rotator.NoTLS, Text: "the server has none"}
	case errors.Is(err, mysql.ErrCleartextPassword), errors.Is(err, mysql.ErrOldPassword):
		return &rotator.LoginError{Reason: rotator.Unsafe, Text: "the server asks for the password in clear or nearly so"}
	case errors.Is(err, mysql.ErrUnknownPlugin), errors.Is(err, mysql.ErrNativePassword):
		return &rotator.LoginError{Reason: rotator.Refused, Text: "the user authenticates by a plugin that is not supported"}
	case errors.Is(err, mysql.ErrMalformPkt), errors.Is(err, mysql.ErrOldProtocol):
		return &rotator.LoginError{Reason: rotator.Unreachable, Text: "what answers is no MySQL or MariaDB server of today"}
	}
	return rotator.NetworkError(err)
}

// serverError is what the server said, without what quotes statements.
func serverError(err error) *rotator.ServerError {
	var server *mysql.MySQLError
	if !errors.As(err, &server) {
		return nil
	}
	return &rotator.ServerError{Number: int(server.Number), Text: serverText(server)}
}

// serverText is what the server said. Syntax errors quote the statement.
func serverText(e *mysql.MySQLError) string {
	if e.Number == errSyntax {
		return "the server does not understand the statement (error 1064)"
	}
	return fmt.Sprintf("%s (error %d)", e.Message, e.Number)
}
