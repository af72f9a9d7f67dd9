package pebble_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"coffer/internal/kv"
	"coffer/internal/kv/pebble"
)

// checkLine checks that text is for people: one line, nothing of Go.
func checkLine(t *testing.T, text string) {
	t.Helper()
	for _, bad := range []string{"\n", `\n`, ".go:", "goroutine", "corruption detail", "a/00", "z/00", "error types"} {
		if strings.Contains(text, bad) {
			t.Errorf("holds %q: %s", bad, text)
		}
	}
	if len(text) > 600 {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

// TestManifestZeros zeroes a manifest from every place to its end, or a part
// of it. Pebble would open what comes before: an older store, or an empty one.
func TestManifestZeros(t *testing.T) {
	base, acked := fill(t, 300, false)
	name := filepath.Base(largest(t, base, "MANIFEST-*"))
	good, err := os.ReadFile(filepath.Join(base, name))
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, b []byte, note, want bool) {
		t.Helper()
		dir := copyDir(t, base)
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if !note {
			os.Remove(filepath.Join(dir, "SYNCED"))
		}
		if got := outcome(t, dir, name, acked); got != want {
			t.Errorf("%s: reported: %v", what, got)
		}
		if !want {
			return
		}
		_, err := pebble.Open(config(dir))
		if !errors.Is(err, kv.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Join(dir, name)+": damaged at byte ") {
			t.Errorf("%s: %v", what, err)
		}
		checkLine(t, fmt.Sprint(err))
	}
	step := max(1, len(good)/50)
	for at := 0; at < len(good); at += step {
		b := bytes.Clone(good)
		clear(b[at:])
		if bytes.Equal(b, good) {
			continue
		}
		try(fmt.Sprint("zeros from ", at), b, true, true)
		if at%(4*step) == 0 {
			try(fmt.Sprint("zeros from ", at, ", no note"), b, false, true)
		}
		b = bytes.Clone(good)
		clear(b[at:min(at+16, len(b))])
		if !bytes.Equal(b, good) {
			try(fmt.Sprint("16 zeros at ", at), b, true, true)
		}
	}
	// What a power loss leaves of a record that had not been synced.
	try("zeros behind the end", append(bytes.Clone(good), make([]byte, 4096)...), true, false)
	try("a torn record behind the end", append(bytes.Clone(good), 9, 9, 9, 9, 40, 0, 1, 7, 7), true, false)
	try("no note, whole manifest", good, false, false)
}

// TestDamageText damages tables, and looks at all that is said of it.
func TestDamageText(t *testing.T) {
	base, acked := fill(t, 300, false)
	for _, at := range []int64{10, 3000, -20, -3, -400} {
		dir := copyDir(t, base)
		file := largest(t, dir, "*.sst")
		info, _ := os.Stat(file)
		flip(t, file, (at+info.Size())%info.Size(), 3)
		var log bytes.Buffer
		c := config(dir)
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		said := func(err error) {
			t.Helper()
			checkLine(t, fmt.Sprintf("%+v", err))
			if !errors.Is(err, kv.ErrCorrupt) || !strings.Contains(err.Error(), file+": ") {
				t.Errorf("%v", err)
			}
		}
		s, err := pebble.Open(c)
		if err != nil {
			said(err)
			continue
		}
		err = s.View(context.Background(), func(tx kv.Tx) error {
			for id := range acked {
				if _, err := tx.Get([]byte("a/" + id)); err != nil {
					return err
				}
			}
			for _, err := range tx.Scan(nil, nil, false) {
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			said(err)
		}
		if at == 10 && (err == nil || !strings.HasSuffix(err.Error(), "bytes) is damaged: checksum mismatch") || !strings.Contains(err.Error(), ": the block at byte 0 (")) {
			t.Errorf("%v", err)
		}
		problems := 0
		if err := s.Verify(t.Context(), func(f, problem string) {
			problems++
			checkLine(t, problem)
			if f != file || !strings.HasPrefix(problem, file+": ") {
				t.Errorf("Verify: %s: %s", f, problem)
			}
			t.Logf("byte %d: %s", at, problem)
		}); err != nil || problems == 0 && err == nil && at == 10 {
			t.Errorf("Verify: %d problems, %v", problems, err)
		}
		s.Close()
		for l := range strings.Lines(log.String()) {
			checkLine(t, strings.TrimSuffix(l, "\n"))
		}
		if at == 10 && !strings.Contains(log.String(), "damage on disk") {
			t.Errorf("the log says nothing: %s", log.String())
		}
	}
}

// TestModes looks at every file and directory of a store and a checkpoint.
func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	dir := filepath.Join(t.TempDir(), "store")
	c := config(dir)
	c.MemTableBytes = 256 << 10 // logs are changed and reused
	s, err := pebble.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1500 {
		writePair(t, s, fmt.Sprintf("%05d", i))
	}
	copied := filepath.Join(t.TempDir(), "copies", "one")
	if err := s.Checkpoint(copied); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Dir(copied)} {
		n := 0
		err := filepath.WalkDir(d, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil // compacted away
			}
			if err != nil {
				return err
			}
			n++
			if want := fs.FileMode(0o600); !e.IsDir() && info.Mode() != want || e.IsDir() && info.Mode().Perm() != 0o700 {
				t.Errorf("%s is %v", path, info.Mode())
			}
			return nil
		})
		if err != nil || n < 5 {
			t.Errorf("%s: %d files, %v", d, n, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, copied} {
		again := mustOpen(t, d)
		if err := again.Verify(t.Context(), func(f, p string) { t.Errorf("%s: %s", f, p) }); err != nil {
			t.Error(err)
		}
	}
}
