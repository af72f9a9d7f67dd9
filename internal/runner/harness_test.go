package runner_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/lambda"
	"coffer/internal/runner"
)

// The test binary stands in for coffer: it is the supervisor, and the functions that are
// built in.
func TestMain(m *testing.M) {
	if code, yes := runner.Supervise(os.Args[1:]); yes {
		os.Exit(code)
	}
	if len(os.Args) == 3 && os.Args[1] == "function" {
		os.Exit(builtIn(os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == "victim" {
		os.Exit(victim(os.Args[2]))
	}
	os.Exit(m.Run())
}

// builtIn is a client of the Runtime API in Go.
func builtIn(name string) int {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/"
	for {
		response, err := http.Get(base + "invocation/next")
		if err != nil {
			return 1
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		id := response.Header.Get("Lambda-Runtime-Aws-Request-Id")
		answer := "response"
		switch name {
		case "echo":
		case "environment":
			body, _ = json.Marshal(os.Environ())
		case "fail":
			answer, body = "error", []byte(`{"errorType":"Broken","errorMessage":"as told"}`)
		case "exit":
			return 3
		default:
			return 2
		}
		response, err = http.Post(base+"invocation/"+id+"/"+answer, "application/json", bytes.NewReader(body))
		if err != nil {
			return 1
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
}

// layouts are the layers that tests run in: each as the best that a machine has.
var layouts = []struct {
	name    string
	without []string
}{
	{"bubblewrap", nil},
	{"landlock", []string{runner.LayerBubblewrap}},
	{"user", []string{runner.LayerBubblewrap, runner.LayerLandlock, runner.LayerSeccomp}},
}

// eachLayout runs a test in each layout that this machine and user have.
func eachLayout(t *testing.T, test func(t *testing.T, change func(*runner.Config))) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			if l.name == "user" && os.Geteuid() != 0 {
				t.Skip("users can be dropped by root only")
			}
			if _, err := exec.LookPath("bwrap"); l.name == "bubblewrap" && err != nil {
				missing(t, "bubblewrap is not installed")
			}
			test(t, func(c *runner.Config) { c.Without = append(c.Without, l.without...) })
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
	mu     sync.Mutex
	events map[string][]runner.LogEvent // by stream
	block  chan struct{}                // Write waits for it to be closed
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
	l.events[stream] = append(l.events[stream], events...)
	return nil
}

func (l *recorder) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, events := range l.events {
		for _, e := range events {
			b.WriteString(e.Message)
		}
	}
	return b.String()
}

func (l *recorder) all() (events []runner.LogEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		events = append(events, e...)
	}
	return events
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
