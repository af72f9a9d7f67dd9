package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"coffer/internal/lambda"
	"coffer/internal/runner"
)

// intruder tries what a function must not be able to do, and tells for each attempt what
// came of it: "done", or the name of the error. What it must be able to do is there too.
const intruder = `
import ctypes, errno, os, resource, signal, socket, subprocess, tempfile

libc = ctypes.CDLL(None, use_errno=True)

def call(*args):
    if libc.syscall(*args) == -1:
        raise OSError(ctypes.get_errno(), "")

def connect(family, address):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.connect(address)

def connect_of_pair(address):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.connect(address)
    a.send(b"x")

def read(path):
    with open(path, "rb") as f:
        if not f.read(1):
            raise OSError(errno.ENODATA, "")

def write(path):
    with open(path, "wb") as f:
        f.write(b"x")

def signal_supervisor():
    parent = os.getppid()
    if open("/proc/%d/cmdline" % parent).read().find("function-init") < 0:
        raise OSError(errno.ESRCH, "")   # it is bwrap's own first process
    os.kill(parent, 0)

def lambda_handler(event, context):
    server = event["server"]
    outcome = {}
    status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
    def attempt(name, do, *args):
        try:
            do(*args)
            outcome[name] = "done"
        except OSError as e:
            outcome[name] = errno.errorcode.get(e.errno, str(e))
        except ValueError as e:
            outcome[name] = str(e)
    attempt("read the data", read, event["data"])
    attempt("list the data directory", os.listdir, os.path.dirname(event["data"]))
    attempt("write to the data directory", write, os.path.dirname(event["data"]) + "/new")
    attempt("read what everybody may read of a service", read, event["configuration"])
    attempt("connect to the control socket", connect, socket.AF_UNIX, event["control"])
    attempt("connect to an abstract socket of the server", connect, socket.AF_UNIX, event["abstract"])
    attempt("send a datagram to a socket of the server", connect_of_pair, event["datagrams"])
    attempt("send a datagram to an abstract socket of the server", connect_of_pair, event["abstract"] + "-datagrams")
    attempt("read the server's environment", read, "/proc/%d/environ" % server)
    attempt("follow the server's descriptors", lambda: [os.readlink("/proc/%d/fd/%s" % (server, n)) for n in os.listdir("/proc/%d/fd" % server)])
    attempt("open the data to others", os.chmod, event["data"], 0o644)
    attempt("give the data away", os.chown, event["data"], os.getuid(), os.getgid())
    attempt("cut the data", os.truncate, event["data"], 0)
    attempt("put a note on the data", os.setxattr, event["data"], "user.x", b"y")
    attempt("remove the data", os.remove, event["data"])
    attempt("rename the data directory", os.rename, os.path.dirname(event["data"]), os.path.dirname(event["data"]) + "-new")
    attempt("link to the data", os.link, event["data"], tempfile.gettempdir() + "/link")
    attempt("limit the server", resource.prlimit, server, resource.RLIMIT_NOFILE, (1, 1024))
    attempt("lower the server's priority", os.setpriority, os.PRIO_PROCESS, server, 19)
    attempt("lower the priority of all that the user runs", os.setpriority, os.PRIO_USER, 0, 19) if os.getuid() == event["uid"] and os.path.exists("/proc/%d" % server) else None
    attempt("have the server wait for everybody", os.sched_setscheduler, server, os.SCHED_IDLE, os.sched_param(0))
    attempt("choose the server's processors", os.sched_setaffinity, server, [0])
    attempt("lower the server's priority at disks", call, event["ioprio_set"], 1, server, 3 << 13)
    attempt("read the server's memory", read, "/proc/%d/mem" % server)
    attempt("go through the server's root", os.listdir, "/proc/%d/root/" % server)
    attempt("signal the server", os.kill, server, 0)
    attempt("signal its supervisor", signal_supervisor)
    attempt("trace the server", lambda: libc.ptrace(0x4206, server, 0, 0) == 0 or call(-1))
    attempt("read the code of others", os.listdir, event["packages"])
    attempt("read what others write", os.listdir, event["run"])
    attempt("write to its code", write, os.environ["LAMBDA_TASK_ROOT"] + "/new")
    attempt("change its code", write, os.environ["LAMBDA_TASK_ROOT"] + "/lambda_function.py")
    attempt("make its code writable", os.chmod, os.environ["LAMBDA_TASK_ROOT"] + "/lambda_function.py", 0o777)
    attempt("write to the runtime clients", write, os.environ["LAMBDA_RUNTIME_DIR"] + "/new")
    attempt("write to the root", write, "/new")
    attempt("write to /etc", write, "/etc/new")
    attempt("become root", os.setuid, 0) if os.getuid() != 0 else None
    attempt("mount", call, event["mount"], b"none", b"/tmp", b"tmpfs", 0, 0)
    attempt("make a user namespace", call, event["unshare"], 0x10000000)
    attempt("load a program into the kernel", call, event["bpf"], 0, 0, 0)
    attempt("make a ring", call, event["io_uring_setup"], 1, 0)
    attempt("make a key", call, event["add_key"], b"user", b"x", b"y", 1, -1)
    attempt("listen to all packets", socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 3)
    attempt("raise its limit of files", resource.setrlimit, resource.RLIMIT_NOFILE, (4096, 4096))
    attempt("write to its temporary directory", write, tempfile.gettempdir() + "/new")
    attempt("use a socket pair", socket.socketpair)
    attempt("start a program", subprocess.check_call, ["true"])
    attempt("resolve a name", socket.getaddrinfo, "localhost", 80)
    attempt("connect to the network", connect, socket.AF_INET, tuple(event["network"]))
    return {
        "outcome": outcome,
        "descriptors": sorted(os.readlink("/proc/self/fd/" + n).split(":")[0] for n in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + n)),
        "environment": dict(os.environ),
        "uid": os.getuid(),
        "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16) | int(status["CapBnd"], 16) * (os.getuid() == 0),
        "no_new_privs": status["NoNewPrivs"], "seccomp": status["Seccomp"],
        "files": resource.getrlimit(resource.RLIMIT_NOFILE), "core": resource.getrlimit(resource.RLIMIT_CORE),
        "processes": resource.getrlimit(resource.RLIMIT_NPROC)[1] > 0, "size": resource.getrlimit(resource.RLIMIT_FSIZE)[1],
        "data": resource.getrlimit(resource.RLIMIT_DATA)[1],
        "session": os.getsid(0), "pid": os.getpid(),
    }
`

// able is what a function can do of what the intruder tries; everything else it must not.
var able = []string{"write to its temporary directory", "use a socket pair", "start a program", "resolve a name", "connect to the network"}

// unlayered is what only a layer that a layout leaves out would keep functions from. Each has a reason.
var unlayered = map[string][]string{
	// Without seccomp the kernel's own checks remain: without a capability none of these does
	// harm by itself, but they are ways to the kernel's bugs. Others' configuration that
	// everybody may read is theirs to read, as for any user of the machine.
	"user": {"send a datagram to an abstract socket of the server", "read what everybody may read of a service", "make a user namespace", "make a ring", "make a key", "mount", "connect to an abstract socket of the server"},
}

func TestIsolation(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	eachLayout(t, func(t *testing.T, change func(*runner.Config)) {
		b := start(t, change)
		secret := filepath.Join(b.dir, "data")
		control := filepath.Join(secret, "control.sock")
		configuration := filepath.Join(b.dir, "service.conf")
		for _, err := range []error{
			os.Mkdir(secret, 0o700), os.WriteFile(filepath.Join(secret, "root.key"), []byte("key"), 0o600),
			os.WriteFile(configuration, []byte("password"), 0o644),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		abstract := fmt.Sprintf("coffer-test-%d-%s", os.Getpid(), filepath.Base(b.dir))
		for _, address := range []string{control, "@" + abstract} {
			l, err := net.Listen("unix", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}
		datagrams := filepath.Join(secret, "datagrams.sock")
		for _, address := range []string{datagrams, "@" + abstract + "-datagrams"} {
			l, err := net.ListenPacket("unixgram", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}
		network, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { network.Close() })
		port := network.Addr().(*net.TCPAddr).Port
		in, err := json.Marshal(map[string]any{
			"server": os.Getpid(), "data": filepath.Join(secret, "root.key"), "control": control, "configuration": configuration,
			"datagrams": datagrams, "uid": os.Geteuid(), "ioprio_set": unix.SYS_IOPRIO_SET,
			"abstract": "\x00" + abstract, "network": []any{"127.0.0.1", port},
			"packages": filepath.Join(b.dir, "functions", "packages"), "run": filepath.Join(b.dir, "functions", "run"),
			"mount": unix.SYS_MOUNT, "unshare": unix.SYS_UNSHARE, "bpf": unix.SYS_BPF, "io_uring_setup": unix.SYS_IO_URING_SETUP, "add_key": unix.SYS_ADD_KEY,
		})
		if err != nil {
			t.Fatal(err)
		}
		f := python(t, intruder)
		a := b.invoke(f, string(in))
		var out struct {
			Outcome      map[string]string
			Descriptors  []string
			Environment  map[string]string
			UID          int
			Capabilities int64
			NoNewPrivs   string `json:"no_new_privs"`
			Seccomp      string
			Files, Core  []int64
			Processes    bool
			Size, Data   int64
			Session, PID int
		}
		if err := json.Unmarshal(a.Payload, &out); err != nil || a.Failed {
			t.Fatalf("%v: %s\n%s", err, a.Payload, a.Log)
		}
		_, name, _ := strings.Cut(t.Name(), "/")
		excused := unlayered[name]
		for what, came := range out.Outcome {
			switch can := slices.Contains(able, what); {
			case can && came != "done":
				t.Errorf("it cannot %s: %s", what, came)
			case !can && came == "done" && !slices.Contains(excused, what):
				t.Errorf("it can %s", what)
			}
		}
		if len(out.Outcome) < 44 {
			t.Errorf("%d attempts only", len(out.Outcome))
		}
		for _, d := range out.Descriptors {
			if d != "/dev/null" && d != "pipe" && d != "socket" && !strings.HasPrefix(d, "/proc/") {
				t.Errorf("it has %q open", d)
			}
		}
		for name, value := range out.Environment {
			if strings.HasPrefix(name, "COFFER_") || value == "of-the-server" {
				t.Errorf("it has the server's variable %s", name)
			}
		}
		if users := name == "bubblewrap" || name == "landlock" || name == "user"; os.Geteuid() == 0 && users && out.UID < 60_000 {
			t.Errorf("it runs as user %d", out.UID)
		}
		if out.Capabilities != 0 {
			t.Errorf("it has the capabilities %x", out.Capabilities)
		}
		if out.NoNewPrivs != "1" {
			t.Errorf("no_new_privs is %s", out.NoNewPrivs)
		}
		if want := map[bool]string{true: "2", false: "0"}[name != "user"]; out.Seccomp != want && out.Seccomp != "2" {
			t.Errorf("seccomp is %s, want %s", out.Seccomp, want)
		}
		if out.Files[1] != 1024 || out.Core[1] != 1 || !out.Processes || out.Size != 512<<20 || out.Data != 256<<21+512<<20 {
			t.Errorf("limits: files %v, core %v, processes %v, size %d, data %d", out.Files, out.Core, out.Processes, out.Size, out.Data)
		}
		t.Logf("%v", out.Outcome)
	})
}

// Only the process itself may use its Runtime API: not others on the machine, and not
// other functions.
func TestRuntimeAPIOfAnother(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	eachLayout(t, func(t *testing.T, change func(*runner.Config)) {
		b := start(t, change)
		f := python(t, `
import os, socket
def lambda_handler(event, context):
    host, port = (event or os.environ["AWS_LAMBDA_RUNTIME_API"]).split(":")
    s = socket.create_connection((host, int(port)))
    try:
        s.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
        return [host + ":" + port, s.recv(1000).decode().split("\r\n")[0]]
    except OSError:
        return [host + ":" + port, ""]
`)
		var own []string
		if err := json.Unmarshal(b.invoke(f, `null`).Payload, &own); err != nil || own[1] != "HTTP/1.1 403 Forbidden" {
			t.Fatalf("its own: %v, %q", err, own)
		}
		conn, err := net.Dial("tcp", own[0])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
		if answer, _ := io.ReadAll(conn); len(answer) > 0 {
			t.Errorf("we were answered: %q", answer)
		}
		other := *f
		other.ARN += "-other"
		b.works(&other, fmt.Sprintf("%q", own[0]), fmt.Sprintf(`["%s", ""]`, own[0]))
	})
}

// TestAsOrdinaryUser runs what is about isolation again, as a user who is not root.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("we are one")
	}
	if testing.Short() {
		t.Skip("runs a dozen tests again")
	}
	need(t, "python3")
	const uid = 1_999_999_999
	dir := directory(t)
	program := filepath.Join(dir, "runner.test")
	b, err := os.ReadFile(self(t))
	if err != nil {
		t.Fatal(err)
	}
	temp := filepath.Join(dir, "tmp")
	if err := errors.Join(os.WriteFile(program, b, 0o755), os.Mkdir(temp, 0o700), os.Chown(temp, uid, uid)); err != nil {
		t.Fatal(err)
	}
	tests := []string{"TestEverywhere", "TestIsolation", "TestRuntimeAPIOfAnother", "TestForkedProcessesEnd", "TestServerIsKilled", "TestClose", "TestManyAtOnce"}
	cmd := exec.Command(program, "-test.v", "-test.run", "^("+strings.Join(tests, "|")+")$")
	cmd.Dir = temp
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + temp, "CI=" + os.Getenv("CI")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, name := range tests {
		if !strings.Contains(string(out), "--- PASS: "+name+" (") {
			t.Errorf("%s did not pass", name)
		}
	}
}

// What users upload does not run where nothing would keep it from our data, unless that is
// asked for; what is built in does.
func TestModes(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	everything := []string{runner.LayerUser, runner.LayerLandlock, runner.LayerSeccomp, runner.LayerBubblewrap}
	for _, rule := range []struct {
		mode           string
		without        []string
		functions      string
		users, builtIn bool
	}{
		{runner.ModeAuto, nil, runner.FunctionsConfined, true, true},
		{runner.ModeAuto, everything, runner.FunctionsRefused, false, true},
		{runner.ModeAuto, []string{runner.LayerUser, runner.LayerBubblewrap, runner.LayerSeccomp}, runner.FunctionsRefused, false, true},
		{runner.ModeAuto, []string{runner.LayerBubblewrap, runner.LayerLandlock}, runner.FunctionsRefused, false, true},
		{runner.ModeUnconfined, everything, runner.FunctionsUnconfined, true, true},
		{runner.ModeUnconfined, nil, runner.FunctionsConfined, true, true},
		{runner.ModeOff, nil, runner.FunctionsOff, false, false},
	} {
		t.Run(fmt.Sprintf("%s without %v", rule.mode, rule.without), func(t *testing.T) {
			t.Parallel()
			b := start(t, func(c *runner.Config) { c.Mode, c.Without = rule.mode, rule.without })
			if got := b.Report(context.Background()); got.Functions != rule.functions || got.BuiltIn != rule.builtIn {
				t.Errorf("report: %s, built-in %v; want %s, %v", got.Functions, got.BuiltIn, rule.functions, rule.builtIn)
			}
			for f, runs := range map[*lambda.Executable]bool{
				built("echo"): rule.builtIn,
				python(t, "def lambda_handler(event, context):\n    return event\n"): rule.users,
			} {
				a, err := b.Run(context.Background(), f, event(`1`))
				switch {
				case runs && (err != nil || string(a.Payload) != "1"):
					t.Errorf("%s: %v, %+v", f.Handler, err, a)
				case !runs && !errors.Is(err, lambda.ErrOff):
					t.Errorf("%s: %v, want %v", f.Handler, err, lambda.ErrOff)
				}
			}
		})
	}
}

// Two servers on one machine give their functions different users: a function of one must
// not be able to reach those of the other, nor one server end the other's.
func TestUsersOfTwoServers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("functions have no users of their own")
	}
	need(t, "python3")
	code := "import os\ndef lambda_handler(event, context):\n    return os.getuid()\n"
	without := func(c *runner.Config) { c.Without = []string{runner.LayerBubblewrap} }
	one, two := start(t, without), start(t, without)
	f := python(t, code)
	first := string(one.invoke(f, `1`).Payload)
	if second := string(two.invoke(f, `1`).Payload); first == second {
		t.Errorf("functions of both run as %s", first)
	}
	one.works(f, `1`, first)
}

// A user that is configured is the one of all functions.
func TestConfiguredUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		if r, err := runner.New(runner.Config{Dir: directory(t), Self: []string{self(t)}, User: "nobody"}); err == nil {
			defer r.Close(context.Background())
			if _, err := r.Run(context.Background(), built("echo"), event(`1`)); err == nil {
				t.Error("an ordinary user's server started functions as another user")
			}
		}
		return
	}
	need(t, "python3")
	eachLayout(t, func(t *testing.T, change func(*runner.Config)) {
		b := start(t, change, func(c *runner.Config) {
			c.User = "65534"
			c.Without = slices.DeleteFunc(slices.Clone(c.Without), func(l string) bool { return l == runner.LayerUser })
		})
		b.works(python(t, "import os\ndef lambda_handler(event, context):\n    return os.getuid()\n"), `1`, `65534`)
		b.works(built("echo"), `1`, `1`)
	})
	for _, name := range []string{"root", "0", "there is no such user"} {
		b := start(t, func(c *runner.Config) { c.User = name })
		if _, err := b.Run(context.Background(), built("echo"), event(`1`)); err == nil {
			t.Errorf("functions run as %q", name)
		}
	}
}
