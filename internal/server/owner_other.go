//go:build !unix

package server

import "io/fs"

// ownedByUs: directories for temporary files are each user's own.
func ownedByUs(fs.FileInfo) bool { return true }
