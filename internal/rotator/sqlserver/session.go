package sqlserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"coffer/internal/rotator"
	"coffer/internal/rotator/sqlsession"
)

// session is a connection that is logged in.
type session struct{ *sqlsession.Session }

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
	s, err := sqlsession.Open(ctx, connector, l, serverError)
	if err != nil {
		if e := failure(); e != nil {
			return nil, e
		}
		return nil, loginError(err)
	}
	return &session{s}, nil
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

// serverError is what the server said, without what quotes statements.
func serverError(err error) *rotator.ServerError {
	var server mssql.Error
	if !errors.As(err, &server) {
		return nil
	}
	return &rotator.ServerError{Number: int(server.Number), Text: serverText(server)}
}

// serverText is what the server said. Syntax errors quote the statement.
func serverText(e mssql.Error) string {
	switch e.Number {
	case 102, 103, 105, 156, 170:
		return fmt.Sprintf("the server does not understand the statement (error %d)", e.Number)
	}
	return fmt.Sprintf("%s (error %d)", e.Message, e.Number)
}
