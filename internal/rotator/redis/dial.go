package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"coffer/internal/rotator"
)

// dial connects, and ends the TLS handshake while the context lasts.
func dial(ctx context.Context, l rotator.Login, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, rotator.ConnectTime)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil || l.TLS == nil {
		return c, err
	}
	t := tls.Client(c, l.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		if ctx.Err() != nil {
			return nil, errNoTLS // a server without waits for the end of a line
		}
		return nil, err
	}
	return t, nil
}

var errNoTLS = errors.New("no answer to a TLS handshake")
