package oracle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	ora "github.com/sijms/go-ora/v2"
	"github.com/sijms/go-ora/v2/network"

	"coffer/internal/rotator"
	"coffer/internal/rotator/sqlsession"
)

// session is a connection that is logged in.
type session struct{ *sqlsession.Session }

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
	s, err := sqlsession.Open(ctx, connector, l, serverError)
	if err != nil {
		if e := failure(); e != nil {
			return nil, e
		}
		return nil, loginError(err, l)
	}
	return &session{s}, nil
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

// serverError is what the server said, without what quotes statements.
func serverError(err error) *rotator.ServerError {
	var server *network.OracleError
	if !errors.As(err, &server) {
		return nil
	}
	return &rotator.ServerError{Number: server.ErrCode, Text: serverText(server)}
}

// serverText is the first line of what the server said.
func serverText(e *network.OracleError) string {
	text, _, _ := strings.Cut(e.ErrMsg, "\n")
	if strings.TrimSpace(text) == "" {
		return fmt.Sprintf("ORA-%05d", e.ErrCode)
	}
	return strings.TrimSpace(text)
}
