package runner_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/lambda"
	"coffer/internal/runner"
)

func TestWarmReuse(t *testing.T) {
	t.Parallel()
	b := start(t)
	f := built("nonce")
	first := string(b.invoke(f, `{}`).Payload)
	for range 5 {
		b.works(f, `{}`, first)
	}
	changed := *f
	changed.Revision = "2"
	second := string(b.invoke(&changed, `{}`).Payload)
	if second == first {
		t.Error("a process served another revision")
	}
	b.works(&changed, `{}`, second)
	published := changed
	published.Version = "1"
	if third := string(b.invoke(&published, `{}`).Payload); third == second {
		t.Error("a process served another version")
	}
	b.works(&changed, `{}`, second) // versions live side by side
}

// A process is not used beyond the end of its role's credentials.
func TestCredentialsEnd(t *testing.T) {
	t.Parallel()
	b := start(t)
	started := 0
	with := func(left time.Duration) *lambda.Executable {
		f := built("environment")
		f.Timeout = 10 * time.Second
		f.Start = func(context.Context) (lambda.Environment, lambda.Credentials, error) {
			started++
			return lambda.Environment{"MINE": api.Sensitive("1")}, lambda.Credentials{
				AccessKeyID: fmt.Sprintf("ASIA%d", started), SecretAccessKey: api.Sensitive("s"), SessionToken: api.Sensitive("t"), Expires: time.Now().Add(left),
			}, nil
		}
		return f
	}
	for _, rule := range []struct {
		left   time.Duration
		starts int
	}{{time.Hour, 1}, {5 * time.Second, 3}} {
		started = 0
		f := with(rule.left)
		for i := range 3 {
			var env []string
			if err := json.Unmarshal(b.invoke(f, `{}`).Payload, &env); err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("AWS_ACCESS_KEY_ID=ASIA%d", min(i+1, rule.starts))
			if !slices.Contains(env, want) || !slices.Contains(env, "MINE=1") {
				t.Errorf("credentials for %v, event %d: %q, want %s", rule.left, i, env, want)
			}
		}
		if started != rule.starts {
			t.Errorf("credentials for %v: %d processes, want %d", rule.left, started, rule.starts)
		}
	}
	refused := errors.New("the role is gone")
	f := built("echo")
	f.Start = func(context.Context) (lambda.Environment, lambda.Credentials, error) {
		return nil, lambda.Credentials{}, refused
	}
	f.Concurrency = 1
	for range 2 { // the second time: the place is free again
		if _, err := b.Run(context.Background(), f, event(`{}`)); !errors.Is(err, refused) {
			t.Errorf("no credentials: %v, want %v", err, refused)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *runner.Config) {
		c.Endpoint, c.CA = "https://127.0.0.1:8443", []byte("-----BEGIN CERTIFICATE-----\n")
	})
	f := built("environment")
	f.Start = func(context.Context) (lambda.Environment, lambda.Credentials, error) {
		env := make(lambda.Environment)
		for name, value := range map[string]string{"DB": "orders", "AWS_REGION": "mars", "_HANDLER": "x", "AWS_SESSION_TOKEN": "x", "A=B": "x", "NUL": "a\x00b", "AWS_ENDPOINT_URL": "https://proxy"} {
			env[name] = api.Sensitive(value)
		}
		return env, lambda.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: api.Sensitive("secret-key"), SessionToken: api.Sensitive("session-token")}, nil
	}
	var list []string
	if err := json.Unmarshal(b.invoke(f, `{}`).Payload, &list); err != nil {
		t.Fatal(err)
	}
	env := make(map[string]string)
	for _, v := range list {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	for name, want := range map[string]string{
		"_HANDLER": "environment", "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "DB": "orders",
		"AWS_ACCESS_KEY_ID": "ASIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret-key", "AWS_SESSION_TOKEN": "session-token",
		"AWS_ENDPOINT_URL": "https://proxy", "SECRETS_MANAGER_ENDPOINT": "https://127.0.0.1:8443",
		"AWS_LAMBDA_FUNCTION_NAME": f.Name, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
		"AWS_LAMBDA_LOG_GROUP_NAME": f.LogGroup, "TZ": ":UTC", "A": "", "NUL": "", "COFFER_ROOT_PASSPHRASE": "", "HOME": cmp.Or(env["TMPDIR"], "/tmp"),
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	for _, name := range []string{"AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"} {
		if !filepath.IsAbs(env[name]) {
			t.Errorf("%s is %q, want a path", name, env[name])
		}
	}
}

// holder answers the functions "hold": they wait until let go.
type holder struct {
	t       *testing.T
	l       net.Listener
	arrived chan net.Conn
}

func newHolder(t *testing.T) *holder {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &holder{t, l, make(chan net.Conn, 16)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.arrived <- c
		}
	}()
	return h
}

func (h *holder) payload() string { return strconv.Quote(h.l.Addr().String()) }

// next is the connection of the next function that waits, and what it says it is.
func (h *holder) next() (net.Conn, string) {
	h.t.Helper()
	select {
	case c := <-h.arrived:
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			h.t.Fatal(err)
		}
		return c, line
	case <-time.After(20 * time.Second):
		h.t.Fatal("no function came")
		return nil, ""
	}
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *runner.Config) { c.MaxProcesses = 6 })
	h := newHolder(t)
	f, g := built("hold"), built("hold")
	f.Concurrency = 2
	done := make(chan error, 8)
	run := func(f *lambda.Executable) {
		go func() {
			a, err := b.Run(context.Background(), f, event(h.payload()))
			if err == nil && a.Failed {
				err = errors.New(string(a.Payload))
			}
			done <- err
		}()
	}
	throttled := func(why string, f *lambda.Executable) {
		t.Helper()
		if _, err := b.Run(context.Background(), f, event(h.payload())); !errors.Is(err, lambda.ErrThrottled) {
			t.Errorf("%s: %v, want %v", why, err, lambda.ErrThrottled)
		}
	}
	run(f)
	run(f)
	one, nonceOne := h.next()
	two, nonceTwo := h.next()
	if nonceOne == nonceTwo {
		t.Error("one process serves two events at once")
	}
	throttled("beyond the function's own limit", f)
	run(g)
	three, _ := h.next()
	throttled("beyond the limit of all", built("echo"))
	three.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// g's process is idle now, and makes room.
	b.works(built("echo"), `1`, `1`)
	one.Close()
	two.Close()
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	run(f)
	warm, nonce := h.next()
	if nonce != nonceOne && nonce != nonceTwo {
		t.Error("neither of the idle processes served the next event")
	}
	warm.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Many callers of many functions at once: every answer is the caller's own.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *runner.Config) { c.MaxProcesses = 8 })
	fs := []*lambda.Executable{built("echo"), built("echo"), built("fail"), built("then-exit"), built("exit")}
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			for i := range 20 {
				f := fs[(caller+i)%len(fs)]
				payload := fmt.Sprintf(`"%d-%d"`, caller, i)
				a, err := b.Run(context.Background(), f, event(payload))
				switch {
				case errors.Is(err, lambda.ErrThrottled):
				case err != nil:
					t.Error(err)
				case a.Failed != (f.Handler == "fail" || f.Handler == "exit"):
					t.Errorf("%s: %s", f.Handler, a.Payload)
				case !a.Failed && string(a.Payload) != payload:
					t.Errorf("%s was answered with %s", payload, a.Payload)
				}
			}
		})
	}
	wg.Wait()
}

// A caller that goes away does not end the function.
func TestCallerGoesAway(t *testing.T) {
	t.Parallel()
	b := start(t)
	h := newHolder(t)
	f := built("hold")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := b.Run(ctx, f, event(h.payload()))
		done <- err
	}()
	held, nonce := h.next()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want %v", err, context.Canceled)
	}
	held.Close()
	b.text(f) // to its report
	go b.Run(context.Background(), f, event(h.payload()))
	again, second := h.next()
	defer again.Close()
	if second != nonce {
		t.Error("the process was not kept")
	}
}

// What a process does after its answer holds up neither the answer nor the next event, and
// the process serves again when it is done.
func TestGoesOnAfterAnswer(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *runner.Config) { c.MaxProcesses = 4 })
	b.SetAfterAnswer(time.Millisecond)
	h := newHolder(t)
	f := built("then-hold")
	f.Concurrency = 1
	first := string(b.invoke(f, h.payload()).Payload)
	one, _ := h.next()
	second := string(b.invoke(f, h.payload()).Payload)
	two, _ := h.next()
	defer two.Close()
	if first == second {
		t.Fatal("a process served an event while it was busy")
	}
	if _, err := b.Run(context.Background(), f, event(h.payload())); !errors.Is(err, lambda.ErrThrottled) {
		t.Errorf("both processes are busy: %v, want %v", err, lambda.ErrThrottled)
	}
	one.Close()
	var third string
	eventually(t, "the first process is free", func() bool {
		a, err := b.Run(context.Background(), f, event(h.payload()))
		if err == nil {
			third = string(a.Payload)
		}
		return err == nil
	})
	if third != first {
		t.Errorf("%s served the third event, want %s", third, first)
	}
	three, _ := h.next()
	three.Close()
}

func TestIdleProcessesEnd(t *testing.T) {
	t.Parallel()
	mark := newMark()
	b := start(t, mark.config, func(c *runner.Config) { c.IdleTime = 50 * time.Millisecond })
	b.works(built("echo"), `1`, `1`)
	eventually(t, "the idle process ends", func() bool { return len(mark.left(t)) == 0 })
	b.works(built("echo"), `2`, `2`)
}

// mark finds the processes of one runner: it is in all their command lines.
type mark string

func newMark() mark {
	b := make([]byte, 8)
	rand.Read(b)
	return mark(fmt.Sprintf("%s%x", markPrefix, b))
}

func (m mark) config(c *runner.Config) { c.Self = append(c.Self, string(m)) }

// left lists the processes that have the mark in their command line.
func (m mark) left(t testing.TB) (lines []string) {
	t.Helper()
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		out, err := exec.Command("ps", "-axww", "-o", "command").Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, string(m)) && !strings.Contains(line, " victim ") {
				lines = append(lines, line)
			}
		}
		return lines
	}
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		b, err := os.ReadFile(file)
		line := strings.ReplaceAll(string(b), "\x00", " ")
		if err == nil && strings.Contains(line, string(m)) && !strings.Contains(line, " victim ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// forks leaves processes behind that belong to nobody: forked twice, in sessions of their
// own, deaf to signals. %s is a mark.
const forks = `
import os, signal, sys, time
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.execvp("python3", ["python3", "-c", "import time; time.sleep(600)", "%s"])
        os._exit(0)
def lambda_handler(event, context):
    for i in range(3):
        daemon()
    time.sleep(0.05)
    if event == "exit":
        os._exit(1)
    if event == "hang":
        time.sleep(600)
    return "forked"
`

// However a function ends, nothing of it is left.
func TestForkedProcessesEnd(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	eachLayout(t, func(t *testing.T, change func(*runner.Config)) {
		mark := newMark()
		b := start(t, mark.config, change)
		f := python(t, fmt.Sprintf(forks, mark))
		f.Timeout = 2 * time.Second
		b.works(f, `"go"`, `"forked"`)
		eventually(t, "the function forks", func() bool { return len(mark.left(t)) >= 4 })
		b.fails(f, `"exit"`, "Runtime.ExitError")
		eventually(t, "all ends with the process", func() bool { return len(mark.left(t)) == 0 })
		b.fails(f, `"hang"`, "Sandbox.Timedout")
		eventually(t, "all ends with the time", func() bool { return len(mark.left(t)) == 0 })
		b.works(f, `"go"`, `"forked"`)
		if err := b.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if left := mark.left(t); len(left) > 0 {
			t.Errorf("after Close there are %q", left)
		}
	})
}

// A function that does nothing but fork is ended all the same.
func TestForkBomb(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	eachLayout(t, func(t *testing.T, change func(*runner.Config)) {
		if testing.Short() {
			t.Skip("heavy")
		}
		mark := newMark()
		b := start(t, mark.config, change)
		f := python(t, fmt.Sprintf(`
import os, time
def lambda_handler(event, context):
    for i in range(6):
        try:
            os.fork()
        except OSError:
            pass
    time.sleep(600)
# %s
`, mark))
		f.Timeout = time.Second
		a := b.invoke(f, `{}`)
		if !a.Failed {
			t.Errorf("answer %s", a.Payload)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if left := mark.left(t); len(left) > 0 {
			t.Errorf("there are %q", left)
		}
	})
}

// Close gives events time until its context ends, and leaves no process.
func TestClose(t *testing.T) {
	t.Parallel()
	mark := newMark()
	b := start(t, mark.config)
	h := newHolder(t)
	done := make(chan *lambda.Answer, 2)
	for range 2 {
		go func() {
			a, err := b.Run(context.Background(), built("hold"), event(h.payload()))
			if err != nil {
				t.Error(err)
			}
			done <- a
		}()
	}
	one, _ := h.next()
	two, _ := h.next()
	defer two.Close()
	ctx, cancel := context.WithCancel(context.Background())
	closed := make(chan error, 1)
	go func() { closed <- b.Close(ctx) }()
	one.Close()
	if a := <-done; a == nil || a.Failed {
		t.Errorf("an event under way when Close began: %+v", a)
	}
	cancel()
	if a := <-done; a == nil || !a.Failed || !strings.Contains(string(a.Payload), "Runtime.ExitError") {
		t.Errorf("an event under way when Close ended: %+v", a)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if left := mark.left(t); len(left) > 0 {
		t.Errorf("after Close there are %q", left)
	}
	if _, err := b.Run(context.Background(), built("echo"), event(`{}`)); err == nil {
		t.Error("a function ran after Close")
	}
	if entries, err := os.ReadDir(filepath.Join(b.dir, "functions", "run")); err != nil || len(entries) > 0 {
		t.Errorf("private directories are left: %v, %v", entries, err)
	}
}

// victim is a server that is killed: it holds a function under way, an idle one, and what
// they forked.
func victim(dir, without string) int {
	mark := mark(os.Args[1])
	t := &testing.T{}
	cfg := runner.Config{Dir: dir, Self: []string{os.Args[0]}, Without: strings.Fields(without), Mode: runner.ModeUnconfined}
	mark.config(&cfg)
	r, err := runner.New(cfg)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if a, err := r.Run(context.Background(), built("echo"), event(`1`)); err != nil || a.Failed {
		fmt.Println(err)
		return 1
	}
	if a, err := r.Run(context.Background(), python(t, fmt.Sprintf(forks, mark)), event(`"go"`)); err != nil || a.Failed {
		fmt.Println(err)
		return 1
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1
	}
	go r.Run(context.Background(), built("hold"), event(strconv.Quote(l.Addr().String())))
	if _, err := l.Accept(); err != nil {
		return 1
	}
	fmt.Println("ready")
	select {}
}

// After kill -9 of the server nothing of any function is left, and the next server removes
// what they wrote.
func TestServerIsKilled(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			l.check(t)
			mark := newMark()
			dir := filepath.Join(directory(t), "functions")
			server := exec.Command(self(t), string(mark), "victim", dir, strings.Join(l.without, " "))
			server.Stderr = os.Stderr
			out, err := server.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			line, _ := bufio.NewReader(out).ReadString('\n')
			defer server.Process.Kill() // if what follows fails
			if line != "ready\n" {
				t.Fatalf("the server said %q", line)
			}
			eventually(t, "the server has processes", func() bool { return len(mark.left(t)) >= 8 })
			server.Process.Signal(syscall.SIGKILL)
			io.Copy(io.Discard, out)
			server.Wait()
			eventually(t, "all processes end", func() bool { return len(mark.left(t)) == 0 })
			b := start(t, func(c *runner.Config) { c.Dir, c.Without = dir, l.without })
			b.works(built("echo"), `1`, `1`)
			entries, err := os.ReadDir(filepath.Join(dir, "run"))
			if err != nil || len(entries) != 1 {
				t.Errorf("private directories: %v, %v; want that of the process that is idle", entries, err)
			}
		})
	}
}

// An account has half of the processes, so that none keeps the others out, and users' functions
// leave some to those that are built in.
func TestShareOfAnAccount(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	b := start(t, func(c *runner.Config) { c.MaxProcesses = 16 })
	h := newHolder(t)
	users := python(t, `
import socket
def lambda_handler(event, context):
    host, port = event.split(":")
    s = socket.create_connection((host, int(port)))
    s.sendall(b"00\n")
    s.recv(1)
`)
	in := built("hold")
	other := *in
	other.Account, other.ARN = "222222222222", other.ARN+"-other"
	take := func(f *lambda.Executable) {
		t.Helper()
		done := make(chan error, 1)
		go func() {
			_, err := b.Run(context.Background(), f, event(h.payload()))
			done <- err
		}()
		conn, _ := h.next()
		t.Cleanup(func() {
			conn.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	refused := func(f *lambda.Executable) {
		t.Helper()
		if _, err := b.Run(context.Background(), f, event(h.payload())); !errors.Is(err, lambda.ErrThrottled) {
			t.Fatalf("%v, want %v", err, lambda.ErrThrottled)
		}
	}
	for range 7 {
		take(users)
	}
	refused(users)
	take(in)
	refused(in)
	take(&other)
}

// A directory that somebody removes while the server runs is made again for the next process.
func TestDirectoryIsRemoved(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	eachLayout(t, func(t *testing.T, change func(*runner.Config)) {
		b := start(t, change)
		f := python(t, "def lambda_handler(event, context):\n    return event\n")
		b.works(f, "1", "1")
		dir := b.Report(context.Background()).Directory
		filepath.WalkDir(dir, func(path string, e fs.DirEntry, _ error) error {
			if e != nil && e.IsDir() {
				os.Chmod(path, 0o700)
			}
			return nil
		})
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		next := *f
		next.Revision = "2"
		b.works(&next, "2", "2")
		b.works(python(t, "def lambda_handler(event, context):\n    return 3\n"), "2", "3")
		b.works(built("echo"), "4", "4")
	})
}
