package pebble_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"coffer/internal/kv/pebble"
)

const nobody = 65534

// TestNoPermission opens stores as somebody who may not do all of it. Open
// used to wait for ever for a flush that had met the first forbidden write.
func TestNoPermission(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become nobody")
	}
	place, err := os.MkdirTemp("", "coffer-pebble-") // nobody must get there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(place) })
	exe, _ := os.Executable()
	binary, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(place, 0o755), os.WriteFile(place+"/test", binary, 0o755)); err != nil {
		t.Fatal(err)
	}
	base, _ := fill(t, 50, true)
	one := func(dir, pattern string) string {
		names, _ := filepath.Glob(dir + "/" + pattern)
		return names[len(names)-1]
	}
	take := func(name string) error { return errors.Join(os.Chown(name, 0, 0), os.Chmod(name, 0o400)) }
	for name, c := range map[string]struct {
		prepare func(dir string) error
		want    string // with DIR for the directory; "" if it may work
	}{
		"directory":      {func(dir string) error { return os.Chmod(dir, 0o500) }, "store directory DIR cannot be written: permission denied; make it writable for the user that runs coffer"},
		"without a lock": {func(dir string) error { return errors.Join(os.Remove(dir+"/LOCK"), os.Chmod(dir, 0o500)) }, "store directory DIR cannot be written: permission denied; make it writable for the user that runs coffer"},
		"lock":           {func(dir string) error { return take(dir + "/LOCK") }, "DIR/LOCK: permission denied"},
		"manifest":       {func(dir string) error { return take(one(dir, "MANIFEST-*")) }, "/MANIFEST-"},
		"log":            {func(dir string) error { return take(one(dir, "*.log")) }, ".log: "},
		"files of another in a shared directory": {func(dir string) error {
			files, _ := filepath.Glob(dir + "/*")
			for _, f := range append(files, dir) {
				if err := os.Chown(f, 0, 0); err != nil {
					return err
				}
			}
			return errors.Join(os.Chown(dir+"/LOCK", nobody, nobody), os.Chmod(dir, 0o777|fs.ModeSticky))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(place, strings.ReplaceAll(name, " ", "-"))
			if err := os.Rename(copyDir(t, base), dir); err != nil {
				t.Fatal(err)
			}
			files, _ := filepath.Glob(dir + "/*")
			for _, f := range append(files, dir) {
				if err := os.Chown(f, nobody, nobody); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.prepare(dir); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(place + "/test")
			cmd.Dir, cmd.Env = "/", append(os.Environ(), childEnv+"=open\t"+dir)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Skip(err)
			}
			slow := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
			err := cmd.Wait()
			if !slow.Stop() {
				t.Fatal("Open hangs")
			}
			text := out.String()
			if c.want == "" && err == nil {
				return
			}
			if err != nil || !strings.Contains(text, strings.ReplaceAll(c.want, "DIR", dir)) || !strings.Contains(text, "permission denied") && !strings.Contains(text, "operation not permitted") || !strings.Contains(text, dir) {
				t.Errorf("%v, %q, want %q", err, text, c.want)
			}
			checkLine(t, strings.TrimSuffix(text, "\n"))
			t.Log(text)
		})
	}
}

// TestOpenOnFullDisk opens a crashed store where there is room for some of the
// files that a start makes, and not for the next.
func TestOpenOnFullDisk(t *testing.T) {
	base, acked := fill(t, 300, true)
	files, _ := os.ReadDir(base)
	failed, worked := 0, 0
	open := func(name, options string, free int) {
		mount := t.TempDir()
		if err := syscall.Mount("coffer-test", mount, "tmpfs", 0, options); err != nil {
			t.Skipf("mounting a tmpfs needs root: %v", err)
		}
		defer syscall.Unmount(mount, syscall.MNT_DETACH)
		if err := os.CopyFS(mount, os.DirFS(base)); err != nil {
			t.Fatal(err)
		}
		if free >= 0 {
			var st syscall.Statfs_t
			if err := syscall.Statfs(mount, &st); err != nil {
				t.Fatal(err)
			}
			if n := int(st.Bavail)*int(st.Bsize) - free; n > 0 {
				if err := os.WriteFile(mount+"/ballast", make([]byte, n), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		done := make(chan error, 1)
		go func() {
			s, err := pebble.Open(config(mount))
			if err == nil {
				checkPairs(t, s, acked)
				if err := s.Err(); err == nil {
					s.Close()
				}
			}
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil {
				worked++
				return
			}
			failed++
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), mount) {
				t.Errorf("%s: %v", name, err)
			}
			checkLine(t, err.Error())
			t.Logf("%s: %v", name, err)
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: Open hangs", name)
		}
		// Nothing is lost: with room again, all is there.
		checkPairs(t, mustOpen(t, copyDir(t, mount)), acked)
	}
	for n := range 10 {
		open(fmt.Sprint(n, " inodes"), fmt.Sprintf("size=8m,nr_inodes=%d", len(files)+1+n), -1)
	}
	for _, kib := range []int{0, 4, 8, 16, 64, 200, 400, 1000} {
		open(fmt.Sprint(kib, " KiB"), "size=4m", kib<<10)
	}
	if failed < 6 || worked < 2 {
		t.Errorf("%d failed and %d worked", failed, worked)
	}
}
