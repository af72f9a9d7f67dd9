package audit

import (
	"errors"
	"syscall"
)

const (
	errHandleDiskFull = syscall.Errno(39)
	errDiskFull       = syscall.Errno(112)
)

// diskFull tells whether an error goes away when space is made.
func diskFull(err error) bool {
	return errors.Is(err, errDiskFull) || errors.Is(err, errHandleDiskFull)
}

// syncDir does nothing: Windows has no sync of a directory, and NTFS journals
// its names.
func syncDir(string) error { return nil }
