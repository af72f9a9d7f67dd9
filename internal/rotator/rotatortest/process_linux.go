package rotatortest

import (
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// unprivileged is who servers run as when the tests run as root: PostgreSQL refuses root.
func unprivileged(t testing.TB) *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// give lets the servers' user own what is to be theirs.
func give(t testing.TB, paths ...string) {
	c := unprivileged(t)
	if c == nil {
		return
	}
	for _, p := range paths {
		if err := os.Chown(p, int(c.Uid), int(c.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// run runs a command to its end as the servers' user.
func run(t testing.TB, cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: unprivileged(t)}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd.Path, err, out)
	}
}

// process is a server's process.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// start starts a server. It dies with the test, however that ends: the kernel sends the
// signal when the thread that started it is gone.
func start(t testing.TB, cmd *exec.Cmd) *process {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: unprivileged(t), Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait() // killed, as a rule
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	return p
}

// stop ends the server at once, as a crash would.
func (p *process) stop() {
	if p == nil {
		return
	}
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// quit has the server end itself and its children at once; it has ten seconds.
func (p *process) quit() {
	p.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.stop()
	}
}

// ended is how the process has ended, "" while it runs.
func (p *process) ended() string {
	select {
	case <-p.done:
		return p.cmd.ProcessState.String()
	default:
		return ""
	}
}
