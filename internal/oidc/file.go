package oidc

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"coffer/internal/jwt"
)

// looked is how often a file is looked at for changes.
const looked = 10 * time.Second

// file is a JSON Web Key Set in a file, taken up again when it changes.
type file struct {
	name   string
	logger *slog.Logger

	mu       sync.Mutex
	keys     *jwt.Keys
	looked   time.Time
	modified time.Time
	size     int64
}

// get returns the keys. A file that was replaced by something that is no key set
// leaves the keys it had: an edit in the middle of the night should not lock everybody out.
func (f *file) get() (*jwt.Keys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys != nil && time.Since(f.looked) < looked {
		return f.keys, nil
	}
	f.looked = time.Now()
	err := f.load()
	if err != nil && f.keys != nil {
		f.logger.Warn("a file of OpenID Connect keys cannot be taken up; the keys it had stay", "file", f.name, "error", err)
		return f.keys, nil
	}
	return f.keys, err
}

func (f *file) load() error {
	r, err := os.Open(f.name)
	if err != nil {
		return err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return err
	}
	if f.keys != nil && info.ModTime().Equal(f.modified) && info.Size() == f.size {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return err
	}
	if len(b) > maxAnswer {
		return fmt.Errorf("%s is larger than %d bytes", f.name, maxAnswer)
	}
	keys, err := jwt.ParseKeys(b)
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	f.keys, f.modified, f.size = keys, info.ModTime(), info.Size()
	return nil
}
