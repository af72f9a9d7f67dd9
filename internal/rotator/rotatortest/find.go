package rotatortest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// program finds a server's program on the path or where Debian puts it.
func program(t testing.TB, debian, name string, places ...string) string {
	t.Helper()
	for _, pattern := range places {
		found, err := filepath.Glob(filepath.Join(pattern, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			slices.Sort(found)
			return found[len(found)-1]
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	text := name + " is not installed: apt-get install " + debian
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

// directory is one that the servers' user can reach, which t.TempDir's are not.
func directory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "coffer-db-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	give(t, dir)
	return dir
}

// freePort is a port that was free a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// await calls ready until it is nil, for at most 60 s, and as long as the process lives.
func await(t testing.TB, what string, logFile string, p *process, ready func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = ready(); err == nil {
			return
		}
		if state := p.ended(); state != "" {
			err = fmt.Errorf("it has ended: %s", state)
			break
		}
	}
	p.stop()
	log, _ := os.ReadFile(logFile)
	t.Fatalf("%s does not start: %v\n%s", what, err, log)
}
