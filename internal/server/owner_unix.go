//go:build unix

package server

import (
	"io/fs"
	"os"
	"syscall"
)

// ownedByUs reports whether a file is this user's and closed to others.
func ownedByUs(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Getuid() && info.Mode().Perm()&0o077 == 0
}
