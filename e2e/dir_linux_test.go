package e2e_test

import (
	"bytes"
	"context"
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

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"coffer/internal/server"
)

const nobody = 65534

// TestNoWritePermission starts the server as somebody who may not write the
// data directory. Root may write everything, so as root the server runs as nobody.
func TestNoWritePermission(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	exe := must(os.Executable())(t)
	if os.Geteuid() == 0 {
		// Nobody must be able to reach both, which t.TempDir is not made for.
		place := must(os.MkdirTemp("", "coffer-e2e-"))(t)
		t.Cleanup(func() { os.RemoveAll(place) })
		chmod(t, place, 0o755)
		copyFile(t, filepath.Join(place, "coffer"), exe, 0o755)
		exe = filepath.Join(place, "coffer")
		moved := filepath.Join(place, "data")
		if err := os.Rename(string(dir), moved); err != nil {
			t.Fatal(err)
		}
		dir = server.Dir(moved)
		err := filepath.WalkDir(moved, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, nobody, nobody))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	as := func(dir server.Dir) (string, int) {
		// One that does start is stopped, and fails the test by its exit code.
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		cmd := exec.CommandContext(limited, exe, "server", "--data-dir", string(dir), "--listen", "127.0.0.1:0", "--admin-listen", "off", "--throttle", "off")
		cmd.Env = append(os.Environ(), asCoffer+"=1")
		cmd.Dir = "/"
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Skipf("cannot run the server as nobody: %v", err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	refuses := func(what string, dir server.Dir, want string) {
		t.Helper()
		out, code := as(dir)
		if code != 1 || !strings.Contains(out, want) || !strings.Contains(out, "permission denied") || strings.Contains(out, marker) {
			t.Errorf("%s: exit code %d, output:\n%s\nwant 1 and: %s", what, code, out, want)
		}
	}
	chmod(t, string(dir), 0o500)
	refuses("directory", dir, "cannot be written")
	if os.Geteuid() == 0 {
		refuses("a new one", server.Dir("/coffer-e2e-nobody-may-make-this"), "cannot be made")
	}
	chmod(t, string(dir), 0o700)
	chmod(t, dir.Store(), 0o500)
	refuses("the store", dir, dir.Store())
	chmod(t, dir.Store(), 0o700)
	if os.Geteuid() == 0 {
		return // as root, fsck would leave files of root's behind; nobody could not start again
	}
	intact(t, dir)
	checkDir(t, dir)
}

// TestFullDisk fills the disk under a running server, and starts one on a full disk.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=32m,mode=0700"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(mount, syscall.MNT_DETACH) })
	dir := server.Dir(filepath.Join(mount, "data"))
	p := spawn(t, dir)
	if p.ended() {
		t.Fatalf("the server does not start:\n%s", p.output.Bytes())
	}
	sm := smCalls{secretsmanager.NewFromConfig(p.config())}
	must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("kept"), SecretString: value("kept")}))(t)
	filler := filepath.Join(mount, "filler")
	fill := func() {
		f := must(os.Create(filler))(t)
		defer f.Close()
		for chunk := make([]byte, 4096); ; {
			if _, err := f.Write(chunk); err != nil {
				return
			}
		}
	}
	fill()

	// Writes are acknowledged only while they are durable; then they fail, with
	// the server's own error and no detail.
	acked := map[string]bool{}
	refused := 0
	for i := 0; refused < 3 && i < 5000; i++ {
		name := fmt.Sprint("full-", i)
		_, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: value(strings.Repeat("x", 4000))})
		var e smithy.APIError
		switch {
		case err == nil:
			acked[name] = true
		case errors.As(err, &e):
			if e.ErrorCode() != "InternalServiceError" && e.ErrorCode() != "ServiceUnavailableException" || strings.Contains(e.ErrorMessage(), marker) || strings.Contains(e.ErrorMessage(), mount) {
				t.Errorf("on a full disk: %v", err)
			}
			refused++
		case p.ended(): // a server that ends itself must say why; what it acknowledged is checked below
			refused = 3
		default:
			t.Fatalf("on a full disk: %v", err)
		}
	}
	if refused == 0 {
		t.Fatal("the disk never got full")
	}
	if out := p.output.Bytes(); !bytes.Contains(out, []byte("no space left on device")) {
		t.Errorf("the log does not say why:\n%s", out)
	}
	if bytes.Contains(p.output.Bytes(), []byte(marker)) {
		t.Error("the log holds a secret")
	}
	p.kill()

	// A start on the full disk.
	spawn(t, server.Dir(filepath.Join(mount, "new"))).refused(t, 1, "no space left on device")

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	p = spawn(t, dir)
	if p.ended() {
		t.Fatalf("with room again the server does not start:\n%s", p.output.Bytes())
	}
	sm = smCalls{secretsmanager.NewFromConfig(p.config())}
	acked["kept"] = true
	for name := range acked {
		if err := sm.get(name); err != nil {
			t.Errorf("acknowledged %s: %v", name, err)
		}
	}
	must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("after"), SecretString: value("after")}))(t)
	p.stop(t)
	checkDir(t, dir)
}
