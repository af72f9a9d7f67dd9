package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"coffer/internal/lambda"
	"coffer/internal/runner"
)

// TestEverywhere runs a function of each kind in each layout.
func TestEverywhere(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	need(t, "node")
	need(t, "curl")
	eachLayout(t, func(t *testing.T, change func(*runner.Config)) {
		b := start(t, change)
		b.works(built("echo"), `{"a":1}`, `{"a":1}`)
		b.works(python(t, "def lambda_handler(event, context):\n    return event\n"), `{"a":1}`, `{"a": 1}`)
		b.works(node(t, "exports.handler = async (event) => event;"), `{"a":1}`, `{"a":1}`)
		b.works(provided(t, shell), `{"a":1}`, `{"echo":{"a":1}}`)
		b.fails(built("exit"), `{}`, "Runtime.ExitError")
	})
}

// shell is AWS's tutorial of a custom runtime ("Building a custom runtime for AWS Lambda").
const shell = `#!/bin/sh
set -eu
while true; do
  headers="$(mktemp)"
  event=$(curl -sS -LD "$headers" "http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/next")
  id=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$headers" | tr -d '[:space:]' | cut -d: -f2)
  curl -sS "http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/$id/response" -d "{\"echo\":$event}" >/dev/null
done
`

func provided(t testing.TB, script string) *lambda.Executable {
	return function("provided.al2023", "any", zipped(t, map[string]string{"bootstrap*": script}))
}

// wrong is how a function is at fault.
type wrong struct {
	name      string
	code      string // of the handler's file
	errorType string
	message   string // begins so; %s is the request id
	trace     string // is in the stack trace
	log       string // is in the log
}

func (w wrong) check(t *testing.T, b *bench, f *lambda.Executable) {
	t.Helper()
	e := event(`{"user":"app"}`)
	a, err := b.Run(context.Background(), f, e)
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		ErrorType, ErrorMessage string
		StackTrace, Trace       []string
	}
	if err := json.Unmarshal(a.Payload, &o); err != nil {
		t.Fatalf("%v: %s", err, a.Payload)
	}
	message := strings.ReplaceAll(w.message, "%s", e.RequestID)
	if !a.Failed || o.ErrorType != w.errorType || !strings.HasPrefix(o.ErrorMessage, message) {
		t.Errorf("answer %s (failed: %v), want type %q and message %q", a.Payload, a.Failed, w.errorType, message)
	}
	if trace := strings.Join(append(o.StackTrace, o.Trace...), "\n"); !strings.Contains(trace, w.trace) {
		t.Errorf("stack trace %q, want %q in it", trace, w.trace)
	}
	log := string(a.Log)
	if !strings.Contains(log, w.log) || !strings.Contains(log, "START RequestId: "+e.RequestID) || !strings.Contains(log, "REPORT RequestId: "+e.RequestID) {
		t.Errorf("log %q, want %q between START and REPORT", log, w.log)
	}
}

func TestPythonFaults(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	b := start(t)
	for _, w := range []wrong{
		{"raises", "def lambda_handler(event, context):\n    raise ValueError('no user ' + event['user'])\n",
			"ValueError", "no user app", `lambda_function.py", line 2, in lambda_handler`, "[ERROR] ValueError: no user app\nTraceback (most recent call last):\n"},
		{"raises its own class", "class Locked(Exception):\n    pass\ndef lambda_handler(event, context):\n    raise Locked('é\\ud800')\n",
			"Locked", "é", "in lambda_handler", "[ERROR] Locked: é"},
		{"imports what is not there", "import nothere\n",
			"Runtime.ImportModuleError", "Unable to import module 'lambda_function': No module named 'nothere'", "", "[ERROR] Runtime.ImportModuleError"},
		{"fails at import", "raise KeyError('DB_HOST')\n", "KeyError", "'DB_HOST'", `lambda_function.py", line 1`, "[ERROR] KeyError"},
		{"lacks its handler", "x = 1\n",
			"Runtime.HandlerNotFound", "Handler 'lambda_handler' missing on module 'lambda_function'", "", "Runtime.HandlerNotFound"},
		{"has a syntax error", "def lambda_handler(event, context)\n",
			"Runtime.UserCodeSyntaxError", "Syntax error in module 'lambda_function': ", `lambda_function.py" Line 1`, "Syntax error"},
		{"returns what is no JSON", "def lambda_handler(event, context):\n    return {1, 2}\n",
			"Runtime.MarshalError", "Unable to marshal response: Object of type set is not JSON serializable", "", "Runtime.MarshalError"},
		{"exits", "import sys\ndef lambda_handler(event, context):\n    sys.exit(3)\n",
			"Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: exit status 3", "", "Runtime exited with error: exit status 3"},
		{"exits well", "import os\ndef lambda_handler(event, context):\n    os._exit(0)\n",
			"Runtime.ExitError", "RequestId: %s Error: Runtime exited without providing a reason", "", "Runtime exited without providing a reason"},
		{"exits at import", "import os\nos._exit(4)\n",
			"Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: exit status 4", "", "exit status 4"},
		{"crashes", "import os\ndef lambda_handler(event, context):\n    os.kill(os.getpid(), 11)\n",
			"Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: signal: segmentation fault", "", "signal: segmentation fault"},
		{"hangs", "import time\ndef lambda_handler(event, context):\n    print('going')\n    time.sleep(600)\n",
			"Sandbox.Timedout", "RequestId: %s Error: Task timed out after 1.00 seconds", "", "going\n"},
		{"returns 7 MB", "def lambda_handler(event, context):\n    return 'x' * 7_000_000\n",
			"Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (6291556 bytes).", "", "START"},
		{"takes too much memory", "def lambda_handler(event, context):\n    x = []\n    while True:\n        x.append(bytearray(1 << 20))\n",
			"Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: signal: killed", "", "more memory is in use than the 128 MB"},
		{"writes too much", "import os\ndef lambda_handler(event, context):\n    d = os.environ.get('TMPDIR', '/tmp')\n    for i in range(9):\n        open(d + '/%d' % i, 'wb').write(bytes(1 << 20))\n    while True:\n        pass\n",
			"OSError", "[Errno 28] No space left on device", "", ""},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			f := python(t, w.code)
			f.Memory = 128
			if w.errorType == "Sandbox.Timedout" {
				f.Timeout = time.Second
			}
			if w.name == "writes too much" {
				f.Storage = 4
				if !b.wrapped() {
					w.errorType, w.message, w.log = "Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: signal: killed", "more than the 4 MB that the function may write"
				}
			}
			w.check(t, b, f)
		})
	}
}

// wrapped reports whether the runner uses bubblewrap.
func (b *bench) wrapped() bool {
	for _, l := range b.Report(context.Background()).Layers {
		if l.Name == runner.LayerBubblewrap {
			return l.Used
		}
	}
	return false
}

func TestHandlerNames(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	need(t, "node")
	b := start(t)
	py := zipped(t, map[string]string{"pkg/__init__.py": "", "pkg/mod.py": "def go(event, context):\n    return 'packaged'\n"})
	for _, handler := range []string{"pkg.mod.go", "pkg/mod.go"} {
		b.works(function("python3.12", handler, py), `{}`, `"packaged"`)
	}
	message, _ := b.fails(function("python3.12", "nodot", py), `{}`, "Runtime.MalformedHandlerName")
	if want := "Bad handler 'nodot': not enough values to unpack (expected 2, got 1)"; message != want {
		t.Errorf("message %q, want %q", message, want)
	}
	b.fails(function("python3.12", "sys.exit", py), `{}`, "Runtime.BuiltInModuleConflict")

	js := zipped(t, map[string]string{"src/app.js": "exports.a = { b: (e, c, done) => done(null, 'nested') };", "m.mjs": "export const handler = async () => 'module';"})
	b.works(function("nodejs22.x", "src/app.a.b", js), `{}`, `"nested"`)
	b.works(function("nodejs22.x", "m.handler", js), `{}`, `"module"`)
	b.fails(function("nodejs22.x", "../x.handler", js), `{}`, "Runtime.MalformedHandlerName")
}

func TestNodeFaults(t *testing.T) {
	t.Parallel()
	need(t, "node")
	b := start(t)
	for _, w := range []wrong{
		{"throws", "exports.handler = async (event) => { throw new TypeError('no user ' + event.user); };",
			"TypeError", "no user app", "index.js:1", "Invoke Error"},
		{"calls back with an error", "exports.handler = (event, context, callback) => callback(new Error('refused'));",
			"Error", "refused", "index.js:1", "Invoke Error"},
		{"throws a text", "exports.handler = async () => { throw 'text'; };", "string", "text", "", "Invoke Error"},
		{"requires what is not there", "require('nothere');",
			"Runtime.ImportModuleError", "Error: Cannot find module 'nothere'", "Require stack", "Runtime.ImportModuleError"},
		{"lacks its handler", "exports.other = 1;", "Runtime.HandlerNotFound", "index.handler is undefined or not exported", "", "HandlerNotFound"},
		{"has a syntax error", "exports.handler = async ( => 1;", "Runtime.UserCodeSyntaxError", "SyntaxError: ", "index.js:1", "UserCodeSyntaxError"},
		{"fails at import", "throw new RangeError('early');", "RangeError", "early", "index.js:1", "Init Error"},
		{"never settles", "exports.handler = () => new Promise(() => {});", "Runtime.NodeJsExit", "The Lambda runtime client detected an unexpected Node.js exit code.", "", "Invoke Error"},
		{"lets a rejection go", "exports.handler = () => { Promise.reject(new Error('lost')); return new Promise((r) => setTimeout(r, 600000)); };",
			"Runtime.UnhandledPromiseRejection", "Error: lost", "index.js:1", "Unhandled Promise Rejection"},
		{"throws behind its back", "exports.handler = () => { setTimeout(() => { throw new Error('late'); }, 1); return new Promise((r) => setTimeout(r, 600000)); };",
			"Error", "late", "index.js:1", "Uncaught Exception"},
		{"exits", "exports.handler = async () => process.exit(5);",
			"Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: exit status 5", "", "exit status 5"},
		{"returns what is no JSON", "exports.handler = async () => { const a = {}; a.a = a; return a; };",
			"Runtime.MarshalError", "Unable to stringify response body", "", ""},
		{"hangs", "exports.handler = async () => { for (;;); };",
			"Sandbox.Timedout", "RequestId: %s Error: Task timed out after 1.00 seconds", "", "Task timed out after 1.00 seconds"},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			f := node(t, w.code)
			if w.errorType == "Sandbox.Timedout" {
				f.Timeout = time.Second
			}
			w.check(t, b, f)
		})
	}
}

func TestProvidedFaults(t *testing.T) {
	t.Parallel()
	b := start(t)
	none := function("provided.al2023", "any", zipped(t, map[string]string{"main*": "#!/bin/sh\n"}))
	closed := function("provided.al2023", "any", zipped(t, map[string]string{"bootstrap": "#!/bin/sh\n"}))
	for _, w := range []struct {
		f *lambda.Executable
		wrong
	}{
		{none, wrong{"", "", "Runtime.InvalidEntrypoint", "RequestId: %s Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]", "", "Runtime.InvalidEntrypoint"}},
		{closed, wrong{"", "", "Runtime.InvalidEntrypoint", "RequestId: %s Error: fork/exec ", "", "permission denied"}},
		{provided(t, "#!/bin/sh\necho cannot go on\nexit 7\n"), wrong{"", "", "Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: exit status 7", "", "exit status 7"}},
		{built("init-error"), wrong{"", "", "Unready", "no database", "", "Error Type: Unready"}},
		{built("fail"), wrong{"", "", "Broken", "as told", "", "Status: error\tError Type: Broken"}},
		{built("fail-badly"), wrong{"", "", "", "no \uFFFD JSON", "", "Status: error"}},
		{built("absent"), wrong{"", "", "Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: exit status 2", "", ""}},
	} {
		w.check(t, b, w.f)
	}
	var wrongRuntime *lambda.RuntimeError
	if _, err := b.Run(context.Background(), function("ruby3.3", "a.b", zipped(t, nil)), event(`{}`)); !errors.As(err, &wrongRuntime) {
		t.Errorf("a runtime that there is not: %v", err)
	}
}

func TestBootstrapThatIsNoProgram(t *testing.T) {
	t.Parallel()
	eachLayout(t, func(t *testing.T, change func(*runner.Config)) {
		b := start(t, change)
		want := "Runtime.InvalidEntrypoint"
		if b.wrapped() {
			want = "Runtime.ExitError" // it is bwrap that finds out
		}
		for _, program := range []string{"\x00\x01\x02", "#!/nothing/sh\n"} {
			message, a := b.fails(provided(t, program), `{}`, want)
			if text := strings.ToLower(message + string(a.Log)); !strings.Contains(text, "exec format error") && !strings.Contains(text, "no such file") && !strings.Contains(text, "not found") {
				t.Errorf("%q: message %q, log %q", program, message, a.Log)
			}
		}
	})
}

// A process that does not come to its first event is started anew, once, and has the
// function's own time then.
func TestHangsAtInit(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.SetInitTimeout(200 * time.Millisecond)
	f := built("init-hangs")
	f.Timeout = time.Second
	message, a := b.fails(f, `{}`, "Sandbox.Timedout")
	if !strings.HasSuffix(message, "Error: Task timed out after 1.00 seconds") {
		t.Errorf("message %q", message)
	}
	for _, want := range []string{"Phase: init\tStatus: timeout", "Phase: invoke\tStatus: timeout"} {
		if strings.Count(b.text(f), want) != 1 {
			t.Errorf("log %q, want %q once", b.text(f), want)
		}
	}
	if !strings.Contains(string(a.Log), "Task timed out") {
		t.Errorf("tail %q", a.Log)
	}
}

// text is the log of f when all of it has arrived.
func (b *bench) text(f *lambda.Executable) string {
	b.t.Helper()
	eventually(b.t, "the end of the log", func() bool { return strings.Contains(b.logs.of(f), "REPORT RequestId") })
	return b.logs.of(f)
}

func TestAnswersTwice(t *testing.T) {
	t.Parallel()
	b := start(t)
	f := built("twice")
	for i := range 3 {
		want := fmt.Sprint(i)
		b.works(f, want, want)
	}
	eventually(t, "the second answers are refused", func() bool { return strings.Count(b.logs.of(f), "second answer: 400\n") >= 2 })
	if strings.Contains(b.logs.of(f), "second answer: 202") {
		t.Error("a second answer was accepted")
	}
}

func TestNonsenseToTheRuntimeAPI(t *testing.T) {
	t.Parallel()
	b := start(t)
	f := built("nonsense")
	for range 2 {
		b.works(f, `{}`, `[403,404,400,404,403]`)
	}
}

// A process that leaves after its answer answered.
func TestExitsAfterAnswer(t *testing.T) {
	t.Parallel()
	b := start(t)
	f := built("then-exit")
	for range 3 {
		b.works(f, `1`, `1`)
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	need(t, "node")
	b := start(t)
	py := python(t, `
def lambda_handler(event, context):
    left = context.get_remaining_time_in_millis()
    return [context.function_name, context.function_version, context.memory_limit_in_mb, context.invoked_function_arn,
        context.aws_request_id, context.log_group_name, context.log_stream_name.startswith("20"), 5000 < left <= 10000,
        context.client_context.custom["k"], context.client_context.client.app_title, context.identity.cognito_identity_id]
`)
	js := node(t, `exports.handler = async (event, context) => [context.functionName, context.functionVersion, context.memoryLimitInMB, context.invokedFunctionArn,
  context.awsRequestId, context.logGroupName, context.logStreamName.startsWith("20"), context.getRemainingTimeInMillis() > 5000,
  context.clientContext.custom.k, context.clientContext.client.app_title, context.identity ?? null];`)
	for _, f := range []*lambda.Executable{py, js} {
		e := event(`{}`)
		e.ClientContext = "{\"custom\":{\"k\":\"ü\"},\n\"client\":{\"app_title\":\"t\"}}"
		a, err := b.Run(context.Background(), f, e)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`[%q,"$LATEST","256",%q,%q,%q,true,true,"ü","t",null]`, f.Name, e.InvokedARN, e.RequestID, f.LogGroup)
		if got := strings.ReplaceAll(string(a.Payload), `", "`, `","`); strings.ReplaceAll(got, ", ", ",") != want {
			t.Errorf("%s: %s, want %s", f.Runtime, a.Payload, want)
		}
	}
}

func TestLayers(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	need(t, "node")
	b := start(t)
	below := zipped(t, map[string]string{"python/shared.py": "level = 'below'\n", "python/other.py": "level = 'below'\n", "nodejs/node_modules/shared/index.js": "exports.level = 'below';", "bin/tool*": "#!/bin/sh\necho tool\n"})
	above := zipped(t, map[string]string{"python/shared.py": "level = 'above'\n"})
	py := python(t, "import shared, other, subprocess\ndef lambda_handler(event, context):\n    return [shared.level, other.level, subprocess.check_output(['tool'], text=True)]\n")
	py.Layers = []*lambda.Package{below, above}
	b.works(py, `{}`, `["above", "below", "tool\n"]`)
	js := node(t, "exports.handler = async () => require('shared').level;")
	js.Layers = []*lambda.Package{below}
	b.works(js, `{}`, `"below"`)
	sh := function("provided.al2", "any", zipped(t, map[string]string{"data": "x"}))
	sh.Layers = []*lambda.Package{zipped(t, map[string]string{"bootstrap*": shell})}
	b.works(sh, `1`, `{"echo":1}`)
}

var reportLine = regexp.MustCompile(`^REPORT RequestId: (\S+)\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 256 MB\tMax Memory Used: [1-9]\d* MB\t(Init Duration: \d+\.\d\d ms\t)?\n$`)

func TestLog(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	b := start(t)
	f := python(t, `
import logging
logging.getLogger().setLevel("INFO")
print("at import")
def lambda_handler(event, context):
    print("plain")
    logging.info("info of %s", event)
    try:
        1 / 0
    except ZeroDivisionError:
        logging.exception("caught")
    print("no newline", end="")
`)
	cold := b.works(f, `7`, `null`)
	warm := b.works(f, `8`, `null`)
	eventually(t, "two reports", func() bool { return strings.Count(b.logs.of(f), "REPORT") == 2 })
	events := b.logs.eventsOf(f)
	var lines []string
	for _, e := range events {
		lines = append(lines, e.Message)
		if time.Since(e.Time) > time.Minute {
			t.Errorf("time of %q is %v", e.Message, e.Time)
		}
	}
	want := []string{
		`^INIT_START Runtime Version: python:3\.\S+\n$`, `^(\[WARNING\] python3.11 was asked for.*\n)?$`, `^at import\n$`,
	}
	for _, id := range []string{"7", "8"} {
		want = append(want, `^START RequestId: \S+ Version: \$LATEST\n$`, `^plain\n$`,
			`^\[INFO\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t\S+\tinfo of `+id+`\n$`,
			`^\[ERROR\]\t\S+\t\S+\tcaught\nTraceback \(most recent call last\):\n.*line 9.*\n(.*\n)*ZeroDivisionError: division by zero\n$`,
			`^no newline\n$`, `^END RequestId: \S+\n$`, reportLine.String())
	}
	if len(lines) > 1 && !strings.HasPrefix(lines[1], "[WARNING]") {
		lines = append(lines[:1], append([]string{""}, lines[1:]...)...)
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d: %q", len(lines), len(want), lines)
	}
	for i, line := range lines {
		if !regexp.MustCompile(want[i]).MatchString(line) {
			t.Errorf("line %d is %q, want %s", i, line, want[i])
		}
	}
	// The tail is of the one invocation, and whole here.
	if got, want := string(cold.Log), strings.Join(lines[3:10], ""); got != want {
		t.Errorf("tail of the cold invocation %q, want %q", got, want)
	}
	if got, want := string(warm.Log), strings.Join(lines[10:], ""); got != want {
		t.Errorf("tail of the warm invocation %q, want %q", got, want)
	}
	if !strings.Contains(lines[9], "Init Duration") || strings.Contains(lines[16], "Init Duration") {
		t.Errorf("reports %q and %q: only the first has an Init Duration", lines[9], lines[16])
	}
}

// What is kept of a log is bounded for each process and for each account. What Lambda itself
// says is kept, and so is the tail of the answer.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	const line, process, account = 1000, 20_000, 50_000
	b := start(t)
	b.SetLogs(process, account)
	f := python(t, `
def lambda_handler(event, context):
    for i in range(100):
        print("%04d %s" % (i, "x" * 994))
`)
	kept := func(f *lambda.Executable) (n int) { return strings.Count(b.logs.of(f), "xxxx\n") }
	n := 0
	flood := func(f *lambda.Executable, revision string, least, most int) {
		t.Helper()
		now := *f // a process keeps the one it was started with
		now.Revision, f = revision, &now
		before := kept(f)
		if a := b.works(f, `{}`, `null`); !strings.Contains(string(a.Log), "0099 x") {
			t.Errorf("tail %q", a.Log)
		}
		n++
		eventually(t, "the invocation's last line", func() bool { return strings.Count(b.logs.of(f), "REPORT RequestId") == n })
		if got := kept(f) - before; got < least || got > most {
			t.Errorf("process %s: %d lines were kept, want %d to %d", revision, got, least, most)
		}
	}
	const each, all = process / (line + 26), account / (line + 26)
	flood(f, "1", each, each+1) // some comes back while it runs
	flood(f, "1", 0, 1)
	flood(f, "2", each, each+1)
	flood(f, "3", all-2*each-2, all-2*each+2)
	flood(f, "4", 0, 2)
	eventually(t, "a note of what was dropped", func() bool { return strings.Contains(b.logs.of(f), "lines of the log were dropped here") })
	others := *f
	others.ARN, others.Account, n = strings.Replace(f.ARN, f.Account, "444455556666", 1), "444455556666", 0
	flood(&others, "1", each, each+1)
}

func TestFloodsItsLog(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	block := make(chan struct{})
	logs := &recorder{block: block}
	b := start(t, func(c *runner.Config) { c.Logs = logs })
	f := python(t, `
import sys
def lambda_handler(event, context):
    for i in range(20):
        sys.stdout.write("%d %s\n" % (i, "x" * (1 << 20)))   # lines beyond an event's size
    for i in range(50000):
        sys.stdout.write("line %d\n" % i)
    sys.stdout.write("\xff\n")
    return "done"
`)
	a := b.works(f, `{}`, `"done"`)
	close(block)
	if len(a.Log) > 4<<10 || len(a.Log) < 4000 || !strings.Contains(string(a.Log), "line 49999\n") || !strings.Contains(string(a.Log), "REPORT RequestId") {
		t.Errorf("tail of %d bytes: %q", len(a.Log), a.Log)
	}
	eventually(t, "a note of what was dropped", func() bool { return strings.Contains(logs.of(f), "lines of the log were dropped here") })
	logs.mu.Lock()
	defer logs.mu.Unlock()
	for _, batch := range logs.batches {
		size := 0
		for _, e := range batch {
			size += len(e.Message) + 26
			if len(e.Message) > 256<<10 {
				t.Errorf("an event of %d bytes", len(e.Message))
			}
		}
		if size > 1<<20 || len(batch) > 10_000 {
			t.Errorf("a batch of %d events and %d bytes", len(batch), size)
		}
	}
}

// A function whose botocore does not read AWS_ENDPOINT_URL calls Coffer all the same, and
// whatever endpoint it names itself is its own affair.
func TestOldSDK(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	b := start(t)
	const session = `
class Model:
    service_id = "Secrets Manager"

class Session:
    def get_service_model(self, name):
        return Model()

    def create_client(self, service_name, region_name=None, api_version=None, use_ssl=True, verify=None, endpoint_url=None, **more):
        return endpoint_url or "amazon"
`
	const handler = `
import os
from botocore.session import Session

def lambda_handler(event, context):
    s = Session()
    os.environ.pop("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", None)
    ours = os.environ["AWS_ENDPOINT_URL"]
    got = [s.create_client("secretsmanager") == ours, s.create_client("secretsmanager", "eu-west-1", endpoint_url="own"), s.create_client("secretsmanager", None, None, True, None, "own")]
    os.environ["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = "for this service"
    got.append(s.create_client("secretsmanager"))
    os.environ["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true"
    got.append(s.create_client("secretsmanager"))
    del os.environ["AWS_ENDPOINT_URL_SECRETS_MANAGER"]
    return got
`
	for version, want := range map[string]string{
		"1.29.27": `[true, "own", "own", "for this service", "amazon"]`,
		"1.31.0":  `[false, "own", "own", "amazon", "amazon"]`, // it knows by itself
	} {
		f := function("python3.12", "lambda_function.lambda_handler", zipped(t, map[string]string{
			"botocore/__init__.py": `__version__ = "` + version + `"`, "botocore/session.py": session, "lambda_function.py": handler,
		}))
		b.works(f, `1`, want)
		b.works(f, `1`, want)
	}
}
