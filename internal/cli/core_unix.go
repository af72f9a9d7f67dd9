//go:build unix

package cli

import "golang.org/x/sys/unix"

// noCoreDumps keeps the kernel from writing our memory, which holds keys, to disk.
func noCoreDumps() error {
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}
