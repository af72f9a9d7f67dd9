//go:build unix

package envelope_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"coffer/internal/envelope"
)

func TestKeyFileMode(t *testing.T) {
	line := mustVectors(t).KeyFile.Line
	for mode, ok := range map[os.FileMode]bool{
		0o600: true, 0o400: true,
		0o640: false, 0o644: false, 0o660: false, 0o666: false, 0o604: false, 0o602: false, 0o610: false, 0o700: false, 0o440: false, 0o777: false,
	} {
		path := mustKeyFile(t, line, mode)
		_, err := envelope.OpenKeyFile(path)
		switch {
		case ok && err != nil:
			t.Errorf("mode %o: %v", mode, err)
		case !ok && (!errors.Is(err, envelope.ErrKeyFile) || !strings.Contains(err.Error(), "chmod 600 "+path)):
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestKeyFileCreatedUnderAnyUmask(t *testing.T) {
	for _, mask := range []int{0, 0o077, 0o777} {
		dir := t.TempDir()
		old := syscall.Umask(mask)
		_, err := envelope.CreateKeyFile(filepath.Join(dir, "root.key"))
		syscall.Umask(old)
		if err != nil {
			t.Fatalf("umask %o: %v", mask, err)
		}
		if info, err := os.Stat(filepath.Join(dir, "root.key")); err != nil || info.Mode() != 0o600 {
			t.Errorf("umask %o: %v, %v", mask, info.Mode(), err)
		}
	}
}

// TestMain lets the test binary be the process that TestCreateKeyFileKilled kills.
func TestMain(m *testing.M) {
	if path := os.Getenv("COFFER_TEST_CREATE_KEY_FILE"); path != "" {
		os.Stdout.WriteString("go\n")
		if _, err := envelope.CreateKeyFile(path); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestCreateKeyFileKilled kills creators at random moments: the path holds a
// whole key or nothing, and the next start cleans up.
func TestCreateKeyFileKilled(t *testing.T) {
	var absent, whole int
	for i := range 40 {
		dir := t.TempDir()
		path := filepath.Join(dir, "root.key")
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "COFFER_TEST_CREATE_KEY_FILE="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); time.Since(start) < time.Duration(i)*80*time.Microsecond; { // a sleep is too coarse
		}
		cmd.Process.Kill()
		cmd.Wait()

		_, err = envelope.OpenKeyFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			absent++
			_, err = envelope.CreateKeyFile(path)
		} else {
			whole++
		}
		if err != nil {
			t.Fatalf("after a kill: %v", err)
		}
		if got := mustNames(t, dir); got != "root.key" {
			t.Errorf("left behind: %s", got)
		}
	}
	t.Logf("killed before the key was there: %d, after: %d", absent, whole)
}

func TestKeyFileKind(t *testing.T) {
	line := mustVectors(t).KeyFile.Line
	path := mustKeyFile(t, line, 0o600)
	dir := filepath.Dir(path)

	link := filepath.Join(dir, "link.key") // as in a Kubernetes secret volume
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	mustOpenKeyFile(t, link)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.OpenKeyFile(link); !errors.Is(err, envelope.ErrKeyFile) {
		t.Errorf("link to a readable file: %v", err)
	}
	if _, err := envelope.OpenKeyFile(dir); !errors.Is(err, envelope.ErrKeyFile) {
		t.Errorf("directory: %v", err)
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.OpenKeyFile(loop); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("loop: %v", err)
	}

	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip(err)
	}
	done := make(chan error, 1)
	go func() { _, err := envelope.OpenKeyFile(fifo); done <- err }()
	select {
	case err := <-done:
		if !errors.Is(err, envelope.ErrKeyFile) {
			t.Errorf("fifo: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a FIFO in the key's place hangs the start")
	}
}

func TestKeyFileOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	line := mustVectors(t).KeyFile.Line
	path := mustKeyFile(t, line, 0o600)
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(link, 12345, 12345); err != nil {
		t.Skip(err)
	}
	if _, err := envelope.OpenKeyFile(link); !errors.Is(err, envelope.ErrKeyFile) || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("another user's link: %v", err)
	}
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.OpenKeyFile(path); !errors.Is(err, envelope.ErrKeyFile) || !strings.Contains(err.Error(), "chown") {
		t.Errorf("another user's file: %v", err)
	}
}

func TestCreateKeyFileUnwritable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write anywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "root.key")
	if _, err := envelope.CreateKeyFile(path); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), path) {
		t.Errorf("unwritable directory: %v", err)
	}
}
