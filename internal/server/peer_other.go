//go:build !linux

package server

import "net"

// peer is known on Linux only. The socket is open to the server's own user, and to root.
func peer(net.Conn) (uid int, ok bool) { return 0, false }
