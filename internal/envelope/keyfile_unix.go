//go:build unix

package envelope

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

const isWindows = false

// openNonblock opens for reading without waiting: a FIFO in the key's place
// would otherwise hang the start.
func openNonblock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// checkOwner admits this process's user and root, who can read it anyway.
func checkOwner(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if uid := os.Geteuid(); st.Uid != 0 && int(st.Uid) != uid {
		return fmt.Errorf("%w: %s belongs to user %d, who can read or replace it; run: chown %d %s", ErrKeyFile, path, st.Uid, uid, path)
	}
	return nil
}

// syncDir makes a new name in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
