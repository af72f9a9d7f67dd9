package runner_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coffer/internal/lambda"
	"coffer/internal/runner"
)

// entry is one member of a zip. A mode of 0 is 0644.
type entry struct {
	name, content string
	mode          fs.FileMode
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.mode == 0 {
			e.mode = 0o644
		}
		h.SetMode(e.mode)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const link = fs.ModeSymlink | 0o777

// bomb is a zip of one file with n zeros. claim is what its header says of the size, if it
// is not 0.
func bomb(t testing.TB, n int64, claim uint64) []byte {
	t.Helper()
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for left := n; left > 0; left -= int64(len(zeros)) {
		w.Write(zeros[:min(left, int64(len(zeros)))])
	}
	w.Close()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: "zeros", Method: zip.Deflate, CompressedSize64: uint64(packed.Len()), UncompressedSize64: uint64(n)}
	if claim != 0 {
		h.UncompressedSize64 = claim
	}
	raw, err := z.CreateRaw(h)
	if err != nil {
		t.Fatal(err)
	}
	raw.Write(packed.Bytes())
	z.Close()
	return b.Bytes()
}

func TestUnzipRefuses(t *testing.T) {
	t.Parallel()
	encrypted := archive(t, entry{name: "a", content: "x"})
	for _, signature := range []string{"PK\x03\x04", "PK\x01\x02"} {
		at := bytes.Index(encrypted, []byte(signature)) + 6
		if signature == "PK\x01\x02" {
			at += 2
		}
		encrypted[at] |= 1
	}
	damaged := archive(t, entry{name: "a", content: strings.Repeat("content ", 100)})
	damaged[45] ^= 0xff
	type refusal struct {
		name string
		zips [][]byte
		want string // is in the error
	}
	refusals := []refusal{
		{"nothing", [][]byte{nil}, "Could not unzip uploaded file"},
		{"no zip", [][]byte{[]byte("def lambda_handler(event, context): pass")}, "Could not unzip uploaded file"},
		{"path traversal", [][]byte{archive(t, entry{name: "../../etc/passwd"})}, "does not lead into the package"},
		{"path traversal within", [][]byte{archive(t, entry{name: "a/../../b"})}, "does not lead into the package"},
		{"an absolute path", [][]byte{archive(t, entry{name: "/etc/passwd"})}, "is absolute"},
		{"a Windows path", [][]byte{archive(t, entry{name: `a\b.py`})}, "has backslashes"},
		{"an empty part", [][]byte{archive(t, entry{name: "a//b"})}, "does not lead into the package"},
		{"a NUL", [][]byte{archive(t, entry{name: "a\x00b"})}, "does not lead into the package"},
		{"a file named as the directory", [][]byte{archive(t, entry{name: "."})}, "does not lead into the package"},
		{"a long path", [][]byte{archive(t, entry{name: strings.Repeat("a/", 600) + "b"})}, "1024 are allowed"},
		{"a long name", [][]byte{archive(t, entry{name: strings.Repeat("a", 300)})}, "file name too long"},
		{"a deep path", [][]byte{archive(t, entry{name: strings.Repeat("a/", 102) + "b"})}, "more than 100 directories"},
		{"the same twice", [][]byte{archive(t, entry{name: "a"}, entry{name: "a"})}, "more than once"},
		{"a file as directory", [][]byte{archive(t, entry{name: "a"}, entry{name: "a/b"})}, "a directory here and something else there"},
		{"a directory as file", [][]byte{archive(t, entry{name: "a/b"}, entry{name: "a"})}, "a directory here and something else there"},
		{"a device", [][]byte{archive(t, entry{name: "null", mode: fs.ModeDevice | fs.ModeCharDevice | 0o666})}, "neither file, directory nor symbolic link"},
		{"a fifo", [][]byte{archive(t, entry{name: "pipe", mode: fs.ModeNamedPipe | 0o666})}, "neither file, directory nor symbolic link"},
		{"a link to an absolute path", [][]byte{archive(t, entry{"a", "/etc/passwd", link})}, "is absolute"},
		{"a link out", [][]byte{archive(t, entry{"a/b", "../../x", link})}, "leads out of the package"},
		{"a link to nowhere", [][]byte{archive(t, entry{"a", "", link})}, "to nowhere"},
		{"a long link", [][]byte{archive(t, entry{"a", strings.Repeat("b/", 600), link})}, "to nowhere"},
		{"a file through a link", [][]byte{archive(t, entry{"a", "b", link}, entry{name: "a/c"}, entry{name: "b/d"})}, "a directory here and something else there"},
		{"a circle", [][]byte{archive(t, entry{"a", "b", link}, entry{"b", "a", link})}, "in a circle"},
		{"out through two links", [][]byte{archive(t, entry{name: "d/e/f"}, entry{"up", "d/e", link}, entry{"out", "up/../../..", link})}, "leads out of the package"},
		{"out through a link of a layer below", [][]byte{
			archive(t, entry{name: "d/x"}, entry{"l", "d", link}), archive(t, entry{"d/up", "..", link}, entry{"m", "l/up/..", link}),
		}, "leads out of the package"},
		{"a layer's file through a link of the one below", [][]byte{
			archive(t, entry{name: "d/x"}, entry{"l", "d", link}), archive(t, entry{name: "l/y"}),
		}, "a directory here and something else there"},
		{"an encrypted file", [][]byte{encrypted}, "is encrypted"},
		{"a damaged file", [][]byte{damaged}, "damaged"},
		{"a large table of contents", [][]byte{tableOf(t, 14<<20)}, ""},
	}
	if !testing.Short() { // slow under the race detector
		many := make([]entry, 0, 66_000)
		for i := range 66_000 {
			many = append(many, entry{name: fmt.Sprint(i)})
		}
		refusals = append(refusals, []refusal{
			{"a zip bomb", [][]byte{bomb(t, 300<<20, 0)}, "Unzipped size must be smaller than 262144000 bytes"},
			{"a zip bomb that says it is small", [][]byte{bomb(t, 300<<20, 100)}, ""},
			{"layers too large together", [][]byte{bomb(t, 200<<20, 0), bomb(t, 200<<20, 0)}, "Unzipped size must be smaller"},
			{"many files", [][]byte{archive(t, many...)}, "more than 65536 files"},
		}...)
	}
	for _, rule := range refusals {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			around := t.TempDir()
			dir := filepath.Join(around, "in")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			_, _, err := runner.Unpack(dir, rule.zips...)
			var code *lambda.CodeError
			if !errors.As(err, &code) || !strings.Contains(code.Text, rule.want) {
				t.Errorf("%v, want a CodeError with %q", err, rule.want)
			}
			if len(fmt.Sprint(err)) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if entries, _ := os.ReadDir(around); len(entries) != 1 {
				t.Errorf("something was made outside: %v", entries)
			}
		})
	}
}

// tableOf is a zip whose table of contents has n bytes.
func tableOf(t testing.TB, n int) []byte {
	comment := strings.Repeat("c", 60_000)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := range n / 60_000 {
		if _, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprint(i), Comment: comment}); err != nil {
			t.Fatal(err)
		}
	}
	z.Close()
	return b.Bytes()
}

func TestUnzip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	below := archive(t, entry{name: "./"}, entry{name: "d/", mode: fs.ModeDir | 0o755}, entry{name: "d/f", content: "below"}, entry{"run", "#!/bin/sh\n", 0o4755}, entry{"l", "d/f", link}, entry{"k", "f", link})
	above := archive(t, entry{name: "d/f", content: "above"}, entry{name: "k", content: "a file now"}, entry{"d/up", "../run", link}, entry{"nowhere", "not/there", link})
	bytes, files, err := runner.Unpack(dir, below, above)
	if err != nil {
		t.Fatal(err)
	}
	if bytes != int64(len("below"+"#!/bin/sh\n"+"above"+"a file now")) || files < 8 {
		t.Errorf("it took %d bytes and %d files", bytes, files)
	}
	for name, want := range map[string]string{"d/f": "above", "run": "#!/bin/sh\n", "l": "above", "k": "a file now", "d/up": "#!/bin/sh\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]fs.FileMode{"d/f": 0o444, "run": 0o555} { // no setuid either
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s is %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
}

// What is wrong with a package is an error of every invocation, and leaves nothing behind.
func TestWrongPackage(t *testing.T) {
	t.Parallel()
	b := start(t)
	for name, code := range map[string]*lambda.Package{
		"no zip":    pack([]byte("text")),
		"traversal": pack(archive(t, entry{name: "../x"})),
		"link":      pack(archive(t, entry{"a", "/etc/passwd", link})),
	} {
		f := function("provided.al2023", "any", code)
		f.Concurrency = 1
		for range 2 {
			var wrong *lambda.CodeError
			if _, err := b.Run(context.Background(), f, event(`1`)); !errors.As(err, &wrong) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	swapped := pack(archive(t, entry{name: "bootstrap"}))
	swapped.Digest = sha256.Sum256(nil)
	if _, err := b.Run(context.Background(), function("provided.al2023", "any", swapped), event(`1`)); err == nil || !strings.Contains(err.Error(), "not what its digest says") {
		t.Errorf("code that is not what its digest says: %v", err)
	}
	entries, err := os.ReadDir(filepath.Join(b.dir, "functions", "packages"))
	if err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// The cache of unpacked code keeps within its bound, survives a restart and gives up the
// least used.
func TestPackageCache(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	dir := filepath.Join(directory(t), "functions")
	opened := 0
	script := func(n int) *lambda.Executable {
		f := provided(t, shell+"# "+strings.Repeat("x", 100)+fmt.Sprint(n))
		open := f.Code.Open
		f.Code.Open = func(ctx context.Context) (io.ReadCloser, error) {
			opened++
			return open(ctx)
		}
		return f
	}
	one, two, three := script(1), script(2), script(3)
	bound := func(c *runner.Config) { c.Dir, c.CacheBytes, c.MaxProcesses = dir, 12_000, 1 }
	b := start(t, bound)
	for _, rule := range []struct {
		f      *lambda.Executable
		opened int
	}{{one, 1}, {one, 1}, {two, 2}, {one, 2}, {three, 3}, {one, 3}, {two, 4}} {
		// The one process may still be on its way to the next event.
		eventually(t, "there is room for the function", func() bool {
			a, err := b.Run(context.Background(), rule.f, event(`1`))
			if err != nil && !errors.Is(err, lambda.ErrThrottled) || err == nil && string(a.Payload) != `{"echo":1}` {
				t.Fatalf("%v, %+v", err, a)
			}
			return err == nil
		})
		if opened != rule.opened {
			t.Fatalf("the code was read %d times, want %d", opened, rule.opened)
		}
	}
	if err := b.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	junk := filepath.Join(dir, "packages", ".new-123")
	if err := os.Mkdir(junk, 0o700); err != nil {
		t.Fatal(err)
	}
	b = start(t, bound)
	b.works(two, `1`, `{"echo":1}`)
	if opened != 4 {
		t.Error("after a restart the code was read again")
	}
	if _, err := os.Stat(junk); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a crash left is there: %v", err)
	}
}

func FuzzUnzip(f *testing.F) {
	f.Add(archive(f, entry{name: "d/f", content: "content"}, entry{"l", "d/f", link}))
	f.Add(archive(f, entry{name: "../x"}, entry{"l", "/", link}))
	f.Add(archive(f, entry{"a", "b", link}, entry{"b", "a", link}, entry{"c/d", "..", link}))
	f.Add(bomb(f, 1<<20, 10))
	f.Add(binary.LittleEndian.AppendUint32([]byte("PK\x05\x06"), 1<<31))
	f.Fuzz(func(t *testing.T, b []byte) {
		around := t.TempDir()
		dir := filepath.Join(around, "in")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_, _, err := runner.Unpack(dir, b)
		var code *lambda.CodeError
		if err != nil && !errors.As(err, &code) {
			t.Fatalf("%v is no CodeError", err)
		}
		if entries, _ := os.ReadDir(around); len(entries) != 1 {
			t.Fatalf("something was made outside: %v", entries)
		}
		if err != nil {
			return
		}
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if to, err := filepath.EvalSymlinks(path); err == nil && to != real && !strings.HasPrefix(to, real+"/") {
				t.Fatalf("%s leads to %s", path, to)
			}
			if info, err := e.Info(); err == nil && e.Type().IsRegular() && info.Mode()&^0o555 != 0 {
				t.Fatalf("%s is %v", path, info.Mode())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
