package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
)

// Dir is a data directory. Everything in it is 0600, directories 0700:
//
//	root.key          the root key, unless it is kept elsewhere or a passphrase is used
//	passphrase        salt and cost of the passphrase, if one is used (not secret)
//	store/            the sealed rows
//	audit/            the audit log
//	tls/              CA and server certificate made on first start
//	credentials.json  root access keys of the first account
//	server.json       where the running server listens
//	admin.sock        the running server's control socket
type Dir string

func (d Dir) path(name ...string) string {
	return filepath.Join(append([]string{string(d)}, name...)...)
}

func (d Dir) RootKey() string     { return d.path("root.key") }
func (d Dir) Passphrase() string  { return d.path("passphrase") }
func (d Dir) Store() string       { return d.path("store") }
func (d Dir) Audit() string       { return d.path("audit") }
func (d Dir) TLS() string         { return d.path("tls") }
func (d Dir) CA() string          { return d.path("tls", "ca.pem") }
func (d Dir) Credentials() string { return d.path("credentials.json") }
func (d Dir) Running() string     { return d.path("server.json") }

// DefaultDir is where data goes when nobody says: $XDG_DATA_HOME/coffer,
// ~/.local/share/coffer, or the platform's counterpart.
func DefaultDir() (Dir, error) {
	if d := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return Dir(filepath.Join(d, "coffer")), nil
	}
	if runtime.GOOS == "windows" {
		if d := os.Getenv("LocalAppData"); d != "" {
			return Dir(filepath.Join(d, "coffer")), nil
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no place for the data directory: %w; name one with --data-dir", err)
	}
	if runtime.GOOS == "darwin" {
		return Dir(filepath.Join(home, "Library", "Application Support", "coffer")), nil
	}
	return Dir(filepath.Join(home, ".local", "share", "coffer")), nil
}

// make creates the directory if need be and closes it to others: names of secrets
// are readable in it. Files are 0600 whatever the directory is.
func (d Dir) make(logger *slog.Logger) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("data directory %s cannot be made: %w; name another with --data-dir", d, err)
	}
	info, err := os.Stat(string(d))
	if err != nil {
		return fmt.Errorf("data directory %s: %w", d, err)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		if err := os.Chmod(string(d), 0o700); err != nil {
			return fmt.Errorf("data directory %s is open to others (mode %04o) and cannot be closed: %w; run: chmod 700 %s", d, mode, err, d)
		}
		logger.Info("the data directory was open to others and is not any more", "directory", string(d), "mode", fmt.Sprintf("%04o", mode))
	}
	probe, err := os.CreateTemp(string(d), ".probe-")
	if err != nil {
		return fmt.Errorf("data directory %s cannot be written: %w", d, err)
	}
	probe.Close()
	return os.Remove(probe.Name())
}

// Credentials are the root access keys of one account, as `coffer env` reads them.
type Credentials struct {
	Account         string `json:"account"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

// Running says where the server of a data directory listens.
type Running struct {
	PID     int    `json:"pid"`
	URL     string `json:"url"`
	Admin   string `json:"admin,omitempty"` // host:port of health and metrics
	Control string `json:"control"`         // path of the control socket
	CA      string `json:"caBundle,omitempty"`
	Region  string `json:"region"`

	Endpoints map[string]string `json:"endpoints,omitempty"` // their URLs by id
}

// ReadJSON reads one of the directory's small files.
func ReadJSON[T any](path string) (T, error) {
	var v T
	b, err := os.ReadFile(path)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return v, nil
}

// WriteJSON replaces a small file: whole or not at all, mode 0600, synced.
func WriteJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(b, '\n'))
}

func writeFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in dir survive a power cut. Windows has no such call.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
