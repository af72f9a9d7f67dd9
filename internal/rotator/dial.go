package rotator

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// Dial connects to where l says, and makes the TLS handshake if l wants TLS, all within
// ConnectTime: for engines whose drivers would try again and again, or tell little of why
// it failed. A server that does not know what to do with a handshake closes the
// connection or waits for more; both are NoTLS.
func Dial(ctx context.Context, l Login) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, ConnectTime)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr())
	if err != nil {
		return nil, NetworkError(err)
	}
	if l.TLS == nil {
		return c, nil
	}
	t := tls.Client(c, l.TLS)
	err = t.HandshakeContext(ctx)
	if err == nil {
		return t, nil
	}
	c.Close()
	if e := NetworkError(err); e.Reason == Untrusted {
		return nil, e
	}
	var alert tls.AlertError
	if errors.As(err, &alert) {
		return nil, &LoginError{BadTLS, "the TLS handshake failed"}
	}
	return nil, &LoginError{NoTLS, "no answer to a TLS handshake"}
}
