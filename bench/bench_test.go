package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"coffer/internal/sigv4"
)

// TestMain makes the test binary a child server, or a function, when it is started as one.
func TestMain(m *testing.M) {
	if api := os.Getenv(runtimeAPIVariable); api != "" {
		fmt.Fprintln(os.Stderr, serveEvents(api))
		os.Exit(1)
	}
	if os.Getenv(childEnv) != "" {
		if err := runChild(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestHistogram(t *testing.T) {
	for d := time.Duration(1); d < 100*time.Hour; d += d/7 + 1 {
		i := bucket(d)
		if up := upper(i); up < d || float64(up) > float64(d)*1.016+1 {
			t.Fatalf("%d ns is in bucket %d, which ends at %d", d, i, up)
		}
		if i > 0 && upper(i-1) >= d {
			t.Fatalf("%d ns is in bucket %d and not above the one before", d, i)
		}
	}
	var h, other histogram
	if h.quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	var all []time.Duration
	rng := newRand(1)
	for i := range 10_000 {
		d := time.Duration(rng.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		if i%2 == 0 {
			h.record(d)
		} else {
			other.record(d)
		}
	}
	h.add(&other)
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
		want := all[max(int(q*float64(len(all))), 1)-1]
		if got := h.quantile(q); got < want || float64(got) > 1.016*float64(want)+1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

const answers = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Amzn-RequestId: id-1\r\ncontent-length:  5\r\n\r\nhello" +
	"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"

func TestResponses(t *testing.T) {
	long := "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 20000)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole":       func(r io.Reader) io.Reader { return r },
		"byte wise":   iotest.OneByteReader,
		"with an end": iotest.DataErrReader,
	} {
		r := newResponseReader(wrap(strings.NewReader(answers + long + answers)))
		for _, want := range []struct {
			status   int
			id, body string
		}{{200, "id-1", "hello"}, {400, "", ""}, {200, "", strings.Repeat("x", 20000)}, {200, "id-1", "hello"}, {400, "", ""}} {
			got, err := r.next()
			if err != nil || got.status != want.status || string(got.requestID) != want.id || string(got.body) != want.body {
				t.Fatalf("%s: %d %q %.20q %v, want %d %q %.20q", name, got.status, got.requestID, got.body, err, want.status, want.id, want.body)
			}
		}
		if _, err := r.next(); err != io.ErrUnexpectedEOF {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
	for _, bad := range []string{
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
		"HTTP/1.1 2xx OK\r\nContent-Length: 0\r\n\r\n",
		strings.Repeat("x", 100_000),
	} {
		if r, err := newResponseReader(strings.NewReader(bad)).next(); err == nil {
			t.Errorf("%.60q was read as status %d, %q", bad, r.status, r.body)
		}
	}
	if (response{status: 500, body: []byte("ok")}).check([]byte("ok")) == nil || (response{status: 200, body: []byte("no")}).check([]byte("ok")) == nil {
		t.Error("a wrong answer passes")
	}
}

func TestPace(t *testing.T) {
	p := pace{time.Unix(0, 0), 4000}
	for i, want := range map[int]time.Duration{0: 0, 1: 250 * time.Microsecond, 4000: time.Second} {
		if got := p.due(i).Sub(p.start); got != want {
			t.Errorf("request %d is due after %v, want %v", i, got, want)
		}
	}
}

// stall answers each request, but is silent for 200 ms in the middle.
func stall(t *testing.T) *conn {
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close(); server.Close() })
	go func() {
		buf := make([]byte, 16)
		for n := 0; ; n++ {
			if _, err := server.Read(buf); err != nil {
				return
			}
			if n == 20 {
				time.Sleep(200 * time.Millisecond)
			}
			if _, err := io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
				return
			}
		}
	}()
	return &conn{Conn: client, answers: newResponseReader(client)}
}

type constant struct{}

func (constant) next(int) (call, error) { return call{[]byte("request"), []byte("ok")}, nil }

func noCPU() (time.Duration, error) { return 0, nil }

// A stall of 200 ms keeps forty requests of a paced load waiting, and all of
// them must show; in a closed loop it is one slow request.
func TestCoordinatedOmission(t *testing.T) {
	r, err := openLoop(t.Context(), []*conn{stall(t)}, constant{}, noCPU, 200, 500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.hist.n; n != 100 {
		t.Errorf("%d requests, want 100", n)
	}
	if late := r.hist.quantile(0.75); late < 20*time.Millisecond {
		t.Errorf("three quarters were answered within %v", late)
	}
}

func TestWrongAnswerFails(t *testing.T) {
	for name, run := range map[string]func() (*result, error){
		"closed": func() (*result, error) {
			return closedLoop(t.Context(), []*conn{stall(t)}, wrongWant{}, noCPU, time.Second)
		},
		"open": func() (*result, error) {
			return openLoop(t.Context(), []*conn{stall(t)}, wrongWant{}, noCPU, 100, time.Second)
		},
	} {
		if _, err := run(); err == nil || !strings.Contains(err.Error(), "does not contain") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type wrongWant struct{}

func (wrongWant) next(int) (call, error) { return call{[]byte("request"), []byte("other")}, nil }

func TestPutsAreUnique(t *testing.T) {
	c := &coffer{endpoint: endpoint{addr: "127.0.0.1:1"}}
	p := newPuts(c, writeOptions{conns: 3, secrets: 10, value: 20})
	seen := map[string]bool{}
	for range 3 * putsPerSecret {
		for conn := range 3 {
			next, err := p.next(conn)
			if err != nil {
				t.Fatal(err)
			}
			if seen[string(next.want)] || !bytes.Contains(next.request, next.want) {
				t.Fatalf("%s: used before, or not in its request", next.want)
			}
			seen[string(next.want)] = true
		}
	}
	if _, err := p.next(0); err == nil {
		t.Error("secrets take versions without end")
	}
}

// What goes over the wire is signed as a whole, for each service and with a session token.
func TestRequestsAreSigned(t *testing.T) {
	c := credentials{AccessKeyID: "ASIABENCHBENCHBENCHX", SecretAccessKey: "secret", SessionToken: "token"}
	for _, tc := range []struct {
		to              service
		body, want      string
		target, session bool
	}{
		{secretsManager, `{"SecretId":"a"}`, `{"SecretId":"a"}`, true, false},
		{kmsService, `{}`, `{}`, true, true},
		{iamService, "UserName=a", "Action=Do&Version=2010-05-08&UserName=a", false, false},
		{stsService, "", "Action=Do&Version=2011-06-15&", false, true},
	} {
		of := c
		if !tc.session {
			of.SessionToken = ""
		}
		b, err := newSigner(of, "127.0.0.1:8443").of(tc.to).append(nil, "Do", []byte(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != tc.want || (r.Header.Get("X-Amz-Target") == tc.to.target+"Do") != tc.target {
			t.Errorf("%s: body %q, target %q, %v", tc.to.name, body, r.Header.Get("X-Amz-Target"), err)
		}
		claim, err := sigv4.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		key := sigv4.Key{SecretAccessKey: "secret", SessionToken: sigv4.Secret(of.SessionToken)}
		if err := sigv4.New(sigv4.Config{}).Verify(r, body, &claim, &key, time.Now(), tc.to.name, nil); err != nil {
			t.Errorf("%s: %v", tc.to.name, err)
		}
	}
}

func TestElement(t *testing.T) {
	answer := []byte("<R><User><Arn>arn:1</Arn><UserId>id</UserId></User><Arn>arn:2</Arn></R>")
	for name, want := range map[string]string{"Arn": "arn:1", "UserId": "id", "Id": "", "User": "<Arn>arn:1</Arn><UserId>id</UserId>"} {
		if got := element(answer, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, err := made(response{body: answer}, nil, "AccessKeyId"); err == nil {
		t.Error("an answer without a key passes")
	}
}

// The checks of the crash test must be able to fail.
func TestSettle(t *testing.T) {
	value := func(v string) response {
		return response{status: 200, body: fmt.Appendf(nil, `{"SecretString":%q}`, v)}
	}
	missing := response{status: 400, body: []byte("ResourceNotFoundException")}
	for _, test := range []struct {
		name            string
		acked, underWay string
		read            response
		wrong           int
		after           string
	}{
		{"the acknowledged value", "a", "", value("a"), 0, "a"},
		{"the one under way", "a", "b", value("b"), 0, "b"},
		{"not the one under way", "a", "b", value("a"), 0, "a"},
		{"an older one", "a", "b", value("x"), 1, "a"},
		{"gone", "a", "", missing, 1, "a"},
		{"never acknowledged", "", "b", missing, 0, ""},
		{"never acknowledged, and there", "", "b", value("b"), 0, "b"},
		{"never acknowledged, another value", "", "b", value("c"), 1, ""},
		{"an internal error", "", "b", response{status: 500}, 1, ""},
	} {
		var wrong violations
		s := crashSecret{acked: test.acked, underWay: test.underWay}
		s.settle(test.read, &wrong)
		if wrong.n != test.wrong || s.acked != test.after || s.underWay != "" {
			t.Errorf("%s: %d violations, then %q", test.name, wrong.n, s.acked)
		}
	}
}

func TestAuditReader(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "audit"), 0o700); err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(dir, "audit", "audit-00000001-00000000000000000001.jsonl")
	write := func(text string) {
		t.Helper()
		f, err := os.OpenFile(segment, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	line := func(id byte, source string) string {
		return fmt.Sprintf(`{"seq":1,"chain":"","record":{"eventSource":"%s.amazonaws.com","requestID":%q}}`+"\n", source, requestID{id})
	}
	a := newAuditReader(dir)
	read := func(want int) {
		t.Helper()
		var wrong violations
		if err := a.read(&wrong); err != nil || wrong.n != want {
			t.Errorf("%d violations (%v), want %d: %v", wrong.n, err, want, wrong.texts)
		}
	}
	half := line(3, "secretsmanager")
	write(`{"coffer":"audit log","version":1}` + "\n" + line(1, "kms") + line(1, "secretsmanager") + line(2, "secretsmanager") + half[:20])
	a.expect([]requestID{idOf([]byte(requestID{1}.String())), {2}})
	read(0)
	write(half[20:])
	a.expect([]requestID{{3}})
	read(0)
	a.expect([]requestID{{4}})
	read(1) // missing
	write(line(3, "secretsmanager"))
	read(1) // twice
}

// TestShapeOfLogs writes batches of a known shape and reads them back, in use.
func TestShapeOfLogs(t *testing.T) {
	var ready string
	dir := t.TempDir()
	h, err := startHelper(t.Context(), kindRaw, dir, &ready)
	if err != nil {
		t.Fatal(err)
	}
	defer h.kill()
	want := batchShape{Sets: 3, Deletes: 2, Key: 40, Value: 500}
	rate, _, res, err := rawStore{h}.run(rawTask{Writers: 4, Time: 100 * time.Millisecond, Shape: want})
	if err != nil || rate == 0 || res.P99 < res.P50 {
		t.Fatalf("%v commits a second, %+v: %v", rate, res, err)
	}
	got, err := shapeOfLogs(dir)
	if err != nil || got != want {
		t.Errorf("%+v (%v), want %+v", got, err, want)
	}
}

func TestMetrics(t *testing.T) {
	m, err := parseMetrics(strings.NewReader("# HELP x y\nx 3\ncalls{code=\"OK\"} 1.5e1\ncalls{code=\"No\"} 1\n"))
	if err != nil || m["x"] != 3 || m["calls"] != 16 || m[`calls{code="OK"}`] != 15 {
		t.Errorf("%v, %v", m, err)
	}
}

func TestReport(t *testing.T) {
	r := &report{Title: "T", Tables: []table{{Title: "A", Head: []string{"x", "y"}, Rows: [][]string{{"1", "2"}}}},
		Goals: []goal{{Name: "low", Measured: 1, Limit: 2}, {Name: "high", Measured: 0.5, Limit: 0.85, AtLeast: true, Unit: "s"}}}
	for form, want := range map[output]string{
		{}:               "high    0.50 s    at least 0.85 s  missed",
		{markdown: true}: "| low | 1 | at most 2 | met |",
		{json: true}:     `"measured": 0.5`,
	} {
		var b bytes.Buffer
		form.w = &b
		if err := form.print(r); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%v: no %q in\n%s", err, want, b.String())
		}
	}
	if s := (values{3, 1, 2, 10}).String(); s != "2.50 (1–10)" {
		t.Error(s)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"help"}, {"--help"}, {"help", "read"}, {"crash", "-h"}} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out, io.Discard); err != nil || !strings.Contains(out.String(), "usage: go run ./bench") {
			t.Errorf("%v: %v: %s", args, err, out.String())
		}
	}
	for _, args := range [][]string{{"nothing"}, {"read", "--nothing"}, {"read", "more"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%v passes", args)
		}
	}
}

// TestSmoke runs every measurement, briefly, so that none rots. Its figures mean
// nothing.
func TestSmoke(t *testing.T) {
	brief := []string{"--rounds", "1", "--conns", "2", "--slot", "200ms"}
	with := func(args ...string) []string { return append(args, brief...) }
	runs := [][]string{with("read", "--coffer=false", "--secrets", "20")}
	var exe string
	if !testing.Short() {
		var err error
		if exe, err = buildCoffer(t.Context(), t.TempDir()); err != nil {
			t.Fatal(err)
		}
		kept := filepath.Join(t.TempDir(), "kept")
		runs = append(runs,
			with("read", "--secrets", "20", "--exe", exe),
			with("write", "--secrets", "200", "--exe", exe),
			with("scale", "-n", "300", "--small", "100", "--data", kept, "--exe", exe),
			with("scale", "-n", "300", "--small", "100", "--data", kept, "--exe", exe),
			[]string{"start", "--rounds", "1", "--idle", "10ms", "--exe", exe},
			with("access", "--secrets", "20", "--exe", exe, "--baseline-binary", exe),
			with("iam", "--users", "20", "--roles", "5", "--policies", "10", "--readers", "5", "--tours", "2", "--secrets", "20", "--exe", exe),
			[]string{"functions", "--n", "5", "--cold", "1", "--runtimes", "provided.al2023", "--exe", exe},
			[]string{"crash", "--rounds", "2", "--check-every", "2", "--latest", "200ms", "--exe", exe},
		)
	}
	if _, err := postgresProgram("initdb"); err == nil && !testing.Short() {
		runs = append(runs, []string{"rotation", "--n", "3", "--scheduled", "50", "--rate", "50", "--before", "200ms", "--slot", "200ms", "--idle", "100ms", "--looks", "5", "--exe", exe})
	} else if !testing.Short() && os.Getenv("CI") == "true" {
		t.Error(err)
	}
	for _, args := range runs {
		var out bytes.Buffer
		progress := &tail{}
		if err := run(t.Context(), append(args, "--markdown", "--tmp", t.TempDir()), &out, progress); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, progress)
		}
		if text := out.String(); !strings.Contains(text, "\n## ") || strings.Contains(text, "NaN") || strings.Contains(text, os.TempDir()) {
			t.Errorf("%v: no report, or one that makes no sense:\n%s", args, text)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s := newSigner(credentials{AccessKeyID: "AKIABENCHBENCHBENCHX", SecretAccessKey: "secret"}, "127.0.0.1:8443")
	rng := rand.New(rand.NewPCG(1, 1))
	body := []byte(secretValue(rng, 300))
	var buf []byte
	for b.Loop() {
		var err error
		if buf, err = s.append(buf[:0], "PutSecretValue", body); err != nil {
			b.Fatal(err)
		}
	}
}
