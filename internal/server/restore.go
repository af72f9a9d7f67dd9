package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"coffer/internal/backup"
	"coffer/internal/envelope"
	"coffer/internal/kv"
	"coffer/internal/kv/pebble"
)

// backupSource is all of a running server but its root key.
func (s *Server) backupSource() backup.Source {
	d := s.cfg.Dir
	passphrase, _ := os.ReadFile(d.Passphrase()) // missing with a root key file
	return backup.Source{
		Store: s.store, Keyring: s.keyring, KeyringRow: keyringRow, Passphrase: passphrase, Now: s.cfg.Now(),
		Files: map[string]string{
			"credentials.json": d.Credentials(),
		},
		Dirs: map[string]string{"audit": d.Audit(), "tls": d.TLS()},
	}
}

// Restored is what a restore put in place.
type Restored struct {
	Created     string `json:"created"` // of the backup
	Rows, Files int
}

// Restore writes a backup into a directory that does not exist yet. Nothing
// appears under that name unless the whole backup was read and was genuine.
func Restore(ctx context.Context, file string, d Dir, key RootKeyConfig) (out Restored, err error) {
	if there, err := exists(string(d)); err != nil || there {
		return out, errors.Join(err, fmt.Errorf("%s exists already; restore into a new directory", d))
	}
	f, err := os.Open(file)
	if err != nil {
		return out, err
	}
	defer f.Close()
	r, err := backup.Open(f)
	if err != nil {
		return out, fmt.Errorf("%s: %w", file, err)
	}
	out.Created = r.Header.Created.Format("2006-01-02T15:04:05Z")
	root, err := restoreKey(r.Header, key)
	if err != nil {
		return out, err
	}
	if err := r.Unlock(ctx, root); err != nil {
		return out, fmt.Errorf("%s: %w", file, err)
	}
	abs, err := filepath.Abs(string(d))
	if err != nil {
		return out, err
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o700); err != nil {
		return out, err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(abs), ".coffer-restore-") // 0700
	if err != nil {
		return out, err
	}
	defer os.RemoveAll(tmp)
	part := Dir(tmp)
	store, err := pebble.Open(pebble.Config{Dir: part.Store()})
	if err != nil {
		return out, err
	}
	w := rowWriter{ctx: ctx, store: store}
	err = r.Entries(
		func(key, value []byte) error { out.Rows++; return w.put(key, value) },
		func(name string, content io.Reader) error { out.Files++; return restoreFile(part, name, content) },
	)
	if err == nil {
		err = w.flush()
	}
	if err = errors.Join(err, store.Close()); err != nil {
		return out, fmt.Errorf("%s: %w", file, err)
	}
	if len(r.Header.Passphrase) > 0 {
		if err := writeFile(part.Passphrase(), r.Header.Passphrase); err != nil {
			return out, err
		}
	}
	if err := os.Rename(tmp, abs); err != nil {
		return out, err
	}
	return out, syncDir(filepath.Dir(abs))
}

// restoreKey opens the root key that a backup was made under.
func restoreKey(h backup.Header, cfg RootKeyConfig) (envelope.RootKey, error) {
	if len(h.Passphrase) > 0 {
		if cfg.Passphrase == nil {
			return nil, errors.New("this backup was made with a passphrase; give it with --passphrase-file or COFFER_PASSPHRASE")
		}
		pass, err := cfg.Passphrase()
		if err != nil {
			return nil, err
		}
		defer clear(pass)
		return envelope.OpenPassphrase(pass, h.Passphrase)
	}
	if cfg.File == "" {
		return nil, errors.New("the root key is not in a backup; name the key file it was made under with --root-key-file")
	}
	return envelope.OpenKeyFile(cfg.File)
}

func restoreFile(d Dir, name string, content io.Reader) error {
	path := d.path(filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Sync(), f.Close())
}

// rowWriter gathers rows into transactions as large as the contract allows.
type rowWriter struct {
	ctx   context.Context
	store kv.Store
	rows  []kv.Row
	bytes int
}

func (w *rowWriter) put(key, value []byte) error {
	if n := len(key) + len(value); len(w.rows) == kv.MaxOps || w.bytes+n > kv.MaxTxBytes {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.rows = append(w.rows, kv.Row{Key: key, Value: value})
	w.bytes += len(key) + len(value)
	return nil
}

func (w *rowWriter) flush() error {
	err := w.store.Update(w.ctx, func(tx kv.Tx) error {
		for _, r := range w.rows {
			if err := tx.Put(r.Key, r.Value); err != nil {
				return err
			}
		}
		return nil
	})
	w.rows, w.bytes = w.rows[:0], 0
	return err
}
