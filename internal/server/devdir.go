package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// DevDir is where a server started with --dev that listens on addr, a HOST:PORT, has its control
// socket: a directory of the user's for temporary files, gone with the server.
func DevDir(addr string) (Dir, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("%q is not the address of a server started with --dev; one is: http://127.0.0.1:4566", addr)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	base := os.Getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(base) {
		base = os.TempDir()
	}
	name := strings.NewReplacer(":", ".", "/", ".", "\\", ".", "%", ".").Replace(host + "-" + port)
	return Dir(filepath.Join(base, fmt.Sprintf("coffer-dev-%d-%s", os.Getuid(), name))), nil
}

// Private refuses a directory that others could have made: everybody can guess its name, and in
// place of our server somebody else's could answer.
func (d Dir) Private() error {
	info, err := os.Lstat(string(d))
	if err != nil {
		return err
	}
	if !info.IsDir() || !ownedByUs(info) {
		return fmt.Errorf("%s is not a directory of yours that is closed to others", d)
	}
	return nil
}

// listenDev opens the control socket of a server started with --dev. It serves without, where there
// is no place for one.
func (s *Server) listenDev() {
	dir, err := DevDir(s.Addr())
	if err == nil {
		if err = os.Mkdir(string(dir), 0o700); errors.Is(err, fs.ErrExist) {
			err = dir.Private() // of a killed one
		}
	}
	if err == nil {
		s.cfg.Dir = dir
		s.closers = append(s.closers, func() error { return os.RemoveAll(string(dir)) })
		err = s.listenControl()
	}
	if err != nil {
		s.controlListener = nil
		s.cfg.Logger.Warn("no control socket: who-can, explain and account cannot ask this server", "error", err)
	}
}
