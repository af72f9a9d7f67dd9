//go:build !unix

package envelope

import (
	"io/fs"
	"os"
)

const isWindows = true // or another system without Unix modes and owners

func openNonblock(path string) (*os.File, error) { return os.Open(path) }

func checkOwner(string, fs.FileInfo) error { return nil }

// syncDir does nothing: a directory cannot be synced here.
func syncDir(string) error { return nil }
