package runner_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/lambda"
	"coffer/internal/runner"
)

// The test binary stands in for coffer: it is the supervisor, the functions that are built
// in, and a server that is killed. A mark before that tells whose processes they are.
func TestMain(m *testing.M) {
	args := os.Args[1:]
	if len(args) > 0 && strings.HasPrefix(args[0], markPrefix) {
		args = args[1:]
	}
	if code, yes := runner.Supervise(args); yes {
		os.Exit(code)
	}
	if len(args) == 2 && args[0] == "function" {
		os.Exit(builtIn(args[1]))
	}
	if len(args) == 3 && args[0] == "victim" {
		os.Exit(victim(args[1], args[2]))
	}
	os.Setenv("COFFER_ROOT_PASSPHRASE", "of-the-server") // no function may see it
	os.Exit(m.Run())
}

const markPrefix = "mark-"

// lambdaClient is a client of the Runtime API in Go.
type lambdaClient struct {
	base string
	id   string // of the event under way
}

func (c *lambdaClient) get(path string) (int, []byte, error) {
	response, err := http.Get(c.base + path)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if id := response.Header.Get("Lambda-Runtime-Aws-Request-Id"); id != "" {
		c.id = id
	}
	return response.StatusCode, body, err
}

func (c *lambdaClient) post(path string, body []byte) (int, []byte, error) {
	response, err := http.Post(c.base+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// builtIn is the functions of this binary.
func builtIn(name string) int {
	address := os.Getenv("AWS_LAMBDA_RUNTIME_API")
	c := &lambdaClient{base: "http://" + address + "/2018-06-01/runtime/"}
	nonce := make([]byte, 8)
	rand.Read(nonce)
	switch name {
	case "absent":
		return 2
	case "init-error":
		c.post("init/error", []byte(`{"errorType":"Unready","errorMessage":"no database"}`))
		return 1
	case "init-hangs":
		select {}
	}
	for {
		status, body, err := c.get("invocation/next")
		if err != nil || status != 200 {
			return 1
		}
		answer := "response"
		switch name {
		case "echo":
		case "nonce":
			body = fmt.Appendf(nil, "%q", nonce)
		case "environment":
			body, _ = json.Marshal(os.Environ())
		case "hold": // until the test closes the connection
			if conn, err := net.Dial("tcp", strings.Trim(string(body), `"`)); err == nil {
				fmt.Fprintf(conn, "%x\n", nonce)
				io.Copy(io.Discard, conn)
			}
		case "fail":
			answer, body = "error", []byte(`{"errorType":"Broken","errorMessage":"as told"}`)
		case "fail-badly":
			answer, body = "error", []byte("no \xff JSON")
		case "exit":
			return 3
		case "twice":
			path := "invocation/" + c.id + "/response"
			c.post(path, body)
			status, _, _ := c.post(path, []byte(`"a second answer"`))
			fmt.Println("second answer:", status)
			continue
		case "then-hold":
			c.post("invocation/"+c.id+"/response", fmt.Appendf(nil, "\"%x\"", nonce))
			if conn, err := net.Dial("tcp", strings.Trim(string(body), `"`)); err == nil {
				fmt.Fprintf(conn, "%x\n", nonce)
				io.Copy(io.Discard, conn)
			}
			continue
		case "then-exit":
			c.post("invocation/"+c.id+"/response", body)
			return 0
		case "nonsense":
			body, _ = json.Marshal(nonsense(c, address))
		default:
			return 2
		}
		if _, _, err := c.post("invocation/"+c.id+"/"+answer, body); err != nil {
			return 1
		}
	}
}

// nonsense says what is no part of the Runtime API, and returns what it was told.
func nonsense(c *lambdaClient, address string) (statuses []int) {
	say := func(status int, _ []byte, _ error) { statuses = append(statuses, status) }
	say(c.get("invocation/next"))
	say(c.get("nothing"))
	say(c.post("invocation/other/response", []byte("{}")))
	say(c.post("invocation/"+c.id+"/nothing", nil))
	say(c.post("init/error", []byte("{}")))
	for _, raw := range []string{
		"\x00\x01\x02\x03\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "POST /2018-06-01/runtime/invocation/" + c.id + "/response HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ncut",
		"GET /" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		io.WriteString(conn, raw)
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, conn)
		conn.Close()
	}
	return statuses
}

// layouts are the layers that tests run in: each as the best that a machine has.
var layouts = []layout{
	{"bubblewrap", nil},
	{"landlock", []string{runner.LayerBubblewrap}},
	{"user", []string{runner.LayerBubblewrap, runner.LayerLandlock, runner.LayerSeccomp}},
	{"bubblewrap-alone", []string{runner.LayerUser}},
	{"landlock-alone", []string{runner.LayerUser, runner.LayerBubblewrap}},
}

type layout struct {
	name    string
	without []string
}

// check skips a test whose layers this machine or user does not have.
func (l layout) check(t *testing.T) {
	t.Helper()
	if testing.Short() && l.name != "bubblewrap" && l.name != "landlock" {
		t.Skip("the layers, which are most of the time, are other programs'")
	}
	if l.name == "user" && os.Geteuid() != 0 {
		t.Skip("users can be dropped by root only")
	}
	if _, err := exec.LookPath("bwrap"); strings.HasPrefix(l.name, "bubblewrap") && err != nil {
		missing(t, "bubblewrap is not installed")
	}
	if runtime.GOOS != "linux" && l.name != "bubblewrap" {
		t.Skip("layers are Linux's")
	}
}

// eachLayout runs a test in each layout that this machine and user have.
func eachLayout(t *testing.T, test func(t *testing.T, change func(*runner.Config))) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			l.check(t)
			test(t, func(c *runner.Config) {
				c.Without = append(c.Without, l.without...)
				if l.name == "user" { // which does not keep functions from each other
					c.Mode = runner.ModeUnconfined
				}
			})
		})
	}
}

// missing skips a test, but fails it in CI, which installs everything.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		missing(t, program+" is not installed")
	}
}

// directory is one that functions' users can reach; t.TempDir's cannot be.
func directory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "coffer-runner-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		filepath.WalkDir(dir, func(path string, e fs.DirEntry, _ error) error {
			if e != nil && e.IsDir() {
				os.Chmod(path, 0o700)
			}
			return nil
		})
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// bench is a runner in a test, with what it logged.
type bench struct {
	*runner.Runner
	t    testing.TB
	dir  string
	logs *recorder
}

func start(t testing.TB, change ...func(*runner.Config)) *bench {
	t.Helper()
	b := &bench{t: t, dir: directory(t), logs: &recorder{}}
	cfg := runner.Config{
		Dir: filepath.Join(b.dir, "functions"), Self: []string{self(t)}, Logs: b.logs,
		Endpoint: "http://127.0.0.1:9", MaxProcesses: 8,
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	for _, c := range change {
		c(&cfg)
	}
	r, err := runner.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.Runner = r
	r.SetAfterAnswer(5 * time.Second)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

// recorder keeps what functions log.
type recorder struct {
	mu      sync.Mutex
	events  map[string][]runner.LogEvent // by ARN
	batches [][]runner.LogEvent
	block   chan struct{} // Write waits for it to be closed
}

func (l *recorder) Write(ctx context.Context, f *lambda.Executable, stream string, events []runner.LogEvent) error {
	if l.block != nil {
		select {
		case <-l.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.events == nil {
		l.events = make(map[string][]runner.LogEvent)
	}
	l.events[f.ARN] = append(l.events[f.ARN], events...)
	l.batches = append(l.batches, events)
	return nil
}

func (l *recorder) eventsOf(f *lambda.Executable) []runner.LogEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events[f.ARN])
}

func (l *recorder) of(f *lambda.Executable) string {
	var b strings.Builder
	for _, e := range l.eventsOf(f) {
		b.WriteString(e.Message)
	}
	return b.String()
}

// eventually waits for something that another process or goroutine does.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// files makes a zip. Names that end in * are executable.
func zipped(t testing.TB, files map[string]string) *lambda.Package {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		h := &zip.FileHeader{Name: strings.TrimSuffix(name, "*"), Method: zip.Deflate}
		h.SetMode(0o644)
		if strings.HasSuffix(name, "*") {
			h.SetMode(0o755)
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, files[name])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return pack(b.Bytes())
}

func pack(b []byte) *lambda.Package {
	return &lambda.Package{Digest: sha256.Sum256(b), Size: int64(len(b)), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}

var made struct {
	sync.Mutex
	n int
}

// function is an executable of a runtime, with a name and a revision of its own.
func function(runtime, handler string, code *lambda.Package) *lambda.Executable {
	made.Lock()
	defer made.Unlock()
	made.n++
	name := fmt.Sprintf("f%d", made.n)
	return &lambda.Executable{
		ARN: "arn:aws:lambda:eu-west-1:111122223333:function:" + name, Account: "111122223333", Region: "eu-west-1",
		Name: name, Version: "$LATEST", Revision: "1",
		Runtime: runtime, Handler: handler, Code: code,
		Timeout: 10 * time.Second, Memory: 256, Storage: 512, LogGroup: "/aws/lambda/" + name,
		Start: func(context.Context) (lambda.Environment, lambda.Credentials, error) {
			return nil, lambda.Credentials{
				AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: api.Sensitive("secret-key"), SessionToken: api.Sensitive("session-token"),
				Expires: time.Now().Add(time.Hour),
			}, nil
		},
	}
}

func python(t testing.TB, code string) *lambda.Executable {
	return function("python3.11", "lambda_function.lambda_handler", zipped(t, map[string]string{"lambda_function.py": code}))
}

func node(t testing.TB, code string) *lambda.Executable {
	return function("nodejs20.x", "index.handler", zipped(t, map[string]string{"index.js": code}))
}

func built(name string) *lambda.Executable {
	f := function("", name, nil)
	f.BuiltIn = true
	return f
}

var requests struct {
	sync.Mutex
	n int
}

func event(payload string) lambda.Event {
	requests.Lock()
	defer requests.Unlock()
	requests.n++
	return lambda.Event{
		RequestID:  fmt.Sprintf("00000000-0000-4000-8000-%012d", requests.n),
		InvokedARN: "arn:aws:lambda:eu-west-1:111122223333:function:f:live", Payload: []byte(payload),
	}
}

// invoke runs f and fails the test unless it got the event.
func (b *bench) invoke(f *lambda.Executable, payload string) *lambda.Answer {
	b.t.Helper()
	a, err := b.Run(context.Background(), f, event(payload))
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// works runs f and fails the test unless it succeeds with want.
func (b *bench) works(f *lambda.Executable, payload, want string) *lambda.Answer {
	b.t.Helper()
	a := b.invoke(f, payload)
	if a.Failed || string(a.Payload) != want {
		b.t.Fatalf("answer %s (failed: %v), want %s; log:\n%s", a.Payload, a.Failed, want, a.Log)
	}
	return a
}

// fails runs f and fails the test unless it fails with an error of this type.
func (b *bench) fails(f *lambda.Executable, payload, errorType string) (message string, answer *lambda.Answer) {
	b.t.Helper()
	a := b.invoke(f, payload)
	var o struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal(a.Payload, &o); err != nil || !a.Failed || o.ErrorType != errorType {
		b.t.Fatalf("answer %s (failed: %v, %v), want an error %s; log:\n%s", a.Payload, a.Failed, err, errorType, a.Log)
	}
	return o.ErrorMessage, a
}
