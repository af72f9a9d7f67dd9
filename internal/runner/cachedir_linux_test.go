package runner_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coffer/internal/lambda"
	"coffer/internal/runner"
)

// The directory of functions whose users cannot get into the data directory is another one. It
// waits for the next start, with the code in it, and goes when the data directory has gone.
func TestDirectoryElsewhere(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("functions have no users of their own")
	}
	need(t, "python3")
	opened := 0
	private := func() (data string) {
		data = filepath.Join(directory(t), "data")
		if err := os.Mkdir(data, 0o700); err != nil {
			t.Fatal(err)
		}
		return data
	}
	run := func(data string) (elsewhere string) {
		t.Helper()
		b := start(t, func(c *runner.Config) { c.Dir = filepath.Join(data, "functions") })
		f := python(t, "def lambda_handler(event, context):\n    return event\n")
		f.Code = &lambda.Package{Digest: f.Code.Digest, Size: f.Code.Size, Open: func(ctx context.Context) (io.ReadCloser, error) {
			opened++
			return python(t, "def lambda_handler(event, context):\n    return event\n").Code.Open(ctx)
		}}
		b.works(f, `1`, `1`)
		elsewhere = b.Report(t.Context()).Directory
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		return elsewhere
	}
	one, two := private(), private()
	dir := run(one)
	if !strings.HasPrefix(dir, "/var/cache/coffer-functions/") {
		t.Fatalf("functions are in %s", dir)
	}
	if again := run(one); again != dir || opened != 1 {
		t.Errorf("the next start has %s and read the code %d times, want %s and once", again, opened, dir)
	}
	other := run(two)
	if _, err := os.Stat(dir); err != nil || other == dir {
		t.Errorf("another server's start, with %s, takes %s away: %v", other, dir, err)
	}
	for _, data := range []string{one, two} {
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
	}
	last := private()
	left := run(last)
	t.Cleanup(func() { os.RemoveAll(left) })
	for _, dir := range []string{dir, other} {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the data directory has gone, and %s stays: %v", dir, err)
		}
	}
}
