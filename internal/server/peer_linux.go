package server

import (
	"net"
	"syscall"
)

// peer is the user at the other end of a Unix socket, as the kernel saw it connect
// (unix(7), SO_PEERCRED).
func peer(c net.Conn) (uid int, ok bool) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, false
	}
	var cred *syscall.Ucred
	err = raw.Control(func(fd uintptr) {
		if got, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			cred = got
		}
	})
	if err != nil || cred == nil {
		return 0, false
	}
	return int(cred.Uid), true
}
