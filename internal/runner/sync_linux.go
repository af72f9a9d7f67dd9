package runner

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncTree waits until the file system that holds dir is on the disk: one call for
// thousands of small files.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
