package envelope_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"coffer/internal/envelope"
)

func checksum(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:4]
}

func mustNames(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestCreateKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "root.key")
	k, err := envelope.CreateKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := k.Wrap(t.Context(), []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustNames(t, dir); got != "root.key" {
		t.Errorf("the directory holds %s", got)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(before, []byte("coffer-root-key-v1:")) || len(before) != envelope.KeyFileSize {
		t.Errorf("the file has another form than documented")
	}
	again := mustOpenKeyFile(t, path)
	if got, err := again.Unwrap(t.Context(), blob, nil); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
	if d := again.Describe(); d != k.Describe() || !strings.HasPrefix(d, "key file "+path+" (id ") || strings.Contains(d, string(before[19:30])) {
		t.Errorf("described as %s", d)
	}

	if _, err := envelope.CreateKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created over a key: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the key was replaced")
	}
	if _, err := envelope.CreateKeyFile(filepath.Join(dir, "none", "root.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("created in a missing directory: %v", err)
	}
	_, err = envelope.OpenKeyFile(filepath.Join(dir, "other.key"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("missing: %v", err)
	}
	// A dangling link is something, and must not be written through.
	link := filepath.Join(dir, "link.key")
	if err := os.Symlink(filepath.Join(dir, "target.key"), link); err == nil {
		if _, err := envelope.CreateKeyFile(link); !errors.Is(err, fs.ErrExist) {
			t.Errorf("created through a dangling link: %v", err)
		}
	}
}

// TestCreateKeyFileOnce lets many create the same key: one wins, and the file
// is its key.
func TestCreateKeyFileOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "root.key")
	var mu sync.Mutex
	var won []*envelope.LocalKey
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			k, err := envelope.CreateKeyFile(path)
			if err != nil {
				if !errors.Is(err, fs.ErrExist) {
					t.Error(err)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			won = append(won, k)
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d creators won", len(won))
	}
	if got := mustOpenKeyFile(t, path).Describe(); got != won[0].Describe() {
		t.Errorf("the file is %s, the winner has %s", got, won[0].Describe())
	}
	if got := mustNames(t, dir); got != "root.key" {
		t.Errorf("the directory holds %s", got)
	}
}

// TestKeyFileAfterCrash sets up what a crash at each step of creation leaves.
func TestKeyFileAfterCrash(t *testing.T) {
	line := mustVectors(t).KeyFile.Line
	for name, content := range map[string]string{"before writing": "", "in the middle": line[:30], "before linking": line} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "root.key")
			if err := os.WriteFile(path+".new-1234", []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := envelope.OpenKeyFile(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("opened what was never linked: %v", err)
			}
			if _, err := envelope.CreateKeyFile(path); err != nil {
				t.Fatal(err)
			}
			if got := mustNames(t, dir); got != "root.key" {
				t.Errorf("left behind: %s", got)
			}
		})
	}
	t.Run("before unlinking", func(t *testing.T) {
		path := mustKeyFile(t, line, 0o600)
		if err := os.Link(path, path+".new-1234"); err != nil {
			t.Skip(err)
		}
		mustOpenKeyFile(t, path)
		if got := mustNames(t, filepath.Dir(path)); got != "root.key" {
			t.Errorf("left behind: %s", got)
		}
	})
}

func TestKeyFileContent(t *testing.T) {
	line := mustVectors(t).KeyFile.Line
	zero := append(make([]byte, 32), checksum(append([]byte("coffer-root-key-v1:"), make([]byte, 32)...))...)
	for name, content := range map[string]string{
		"empty":            "",
		"no newline":       strings.TrimSuffix(line, "\n"),
		"two newlines":     line + "\n",
		"CRLF":             strings.TrimSuffix(line, "\n") + "\r\n",
		"another line":     line + line,
		"cut":              line[:40] + "\n",
		"next version":     strings.Replace(line, "v1", "v2", 1),
		"no tag":           line[19:],
		"upper-case tag":   strings.ToUpper(line[:18]) + line[18:],
		"leading space":    " " + line,
		"one letter":       line[:25] + swap(line[25]) + line[26:],
		"last letter":      line[:66] + swap(line[66]) + line[67:],
		"not base64":       line[:25] + "*" + line[26:],
		"newline inside":   line[:25] + "\n" + line[26:],
		"NUL":              line[:25] + "\x00" + line[26:],
		"zero key":         "coffer-root-key-v1:" + base64.StdEncoding.EncodeToString(zero) + "\n",
		"a megabyte":       strings.Repeat("x", 1<<20),
		"URL-safe letters": "coffer-root-key-v1:" + strings.Repeat("-_", 24) + "\n",
	} {
		path := mustKeyFile(t, content, 0o600)
		k, err := envelope.OpenKeyFile(path)
		if !errors.Is(err, envelope.ErrCorrupt) || k != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), line[25:40]) || strings.Contains(err.Error(), "illegal base64") {
			t.Errorf("%s: the text names no path, or content: %v", name, err)
		}
	}
}

func swap(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

func FuzzKeyFile(f *testing.F) {
	line := mustVectors(f).KeyFile.Line
	f.Add([]byte(line))
	f.Add([]byte(strings.TrimSpace(line)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := envelope.ParseKeyFile(b)
		if err != nil {
			if !errors.Is(err, envelope.ErrCorrupt) || !k.IsZero() {
				t.Fatalf("%v, %v", k.IsZero(), err)
			}
		} else if !bytes.Equal(envelope.FormatKeyFile(k), b) {
			t.Fatal("accepted a line that it would not write")
		}
		// As a key.
		sum := sha256.Sum256(b)
		back, err := envelope.ParseKeyFile(envelope.FormatKeyFile(mustKey(t, sum[:])))
		if err != nil || !back.Equal(mustKey(t, sum[:])) {
			t.Fatalf("round trip: %v", err)
		}
	})
}
