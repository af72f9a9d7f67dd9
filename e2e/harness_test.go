package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	kmsapi "coffer/internal/api/kms"
	smapi "coffer/internal/api/secretsmanager"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/audit"
	"coffer/internal/cli"
	"coffer/internal/coffertest"
	"coffer/internal/lambda"
	"coffer/internal/server"
)

var ctx = context.Background()

// marker is in every sensitive value that a test makes, so that finding it
// anywhere is finding a leak.
const marker = "MARKER-5ecre7"

// drivers are the stores that the behaviour tests run on. The behaviour must not differ.
var drivers = []struct {
	name string
	opts []coffertest.Option
}{
	{"memory", []coffertest.Option{coffertest.InMemory()}},
	{"embedded", nil},
}

// eachDriver runs a test on every driver.
func eachDriver(t *testing.T, test func(*testing.T, *host)) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t, d.opts...))
		})
	}
}

// host is a running server with everything around it that watches.
type host struct {
	*coffertest.Server
	log     *syncBuffer
	watch   *watcher
	mu      sync.Mutex
	needles map[string]string // what must appear nowhere -> what it is
}

// start starts a server. When the test ends, the server is stopped and what its
// calls left behind is checked.
func start(t testing.TB, opts ...coffertest.Option) *host {
	t.Helper()
	h := &host{log: &syncBuffer{}, needles: map[string]string{marker: "a sensitive value"}}
	h.watch = &watcher{t: t}
	embedded := false
	dir := server.Dir(t.TempDir()) // made first, hence removed last
	// Before coffertest's own clean-up is registered, hence after it has run.
	t.Cleanup(func() {
		if h.Server == nil || t.Failed() {
			return
		}
		h.checkLeaks(t, dir)
		h.checkAudit(t, dir)
		if embedded {
			checkDir(t, dir)
		}
	})
	opts = append([]coffertest.Option{coffertest.InDir(dir), coffertest.With(func(c *server.Config) {
		c.Logger = slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})}, opts...)
	opts = append(opts, coffertest.With(func(c *server.Config) { embedded, dir = c.Store == nil && !c.Dev, c.Dir }))
	opts = append(opts, coffertest.With(func(c *server.Config) {
		c.BuiltIns = []lambda.BuiltIn{{Name: "Rotator", Timeout: 30 * time.Second, Memory: 128}}
	}))
	h.Server = coffertest.Start(t, opts...)
	h.watch.next = h.HTTP.Transport
	h.HTTP.Transport = h.watch
	// An open HTTP/2 connection makes a graceful stop wait for a second.
	t.Cleanup(h.HTTP.CloseIdleConnections)
	h.secret(h.Credentials.SecretAccessKey, "the root secret access key")
	return h
}

// secret makes a value one that must appear nowhere.
func (h *host) secret(v, what string) {
	if len(v) < 8 {
		return // too short to be found by accident only
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.needles[v] = what
}

// sm and kms are clients of the first account's root.
func (h *host) sm(region string) *secretsmanager.Client {
	return secretsmanager.NewFromConfig(h.Config(region))
}

func (h *host) kms(region string) *kms.Client { return kms.NewFromConfig(h.Config(region)) }

// smAs and kmsAs are clients with other keys.
func (h *host) smAs(region string, c server.Credentials) *secretsmanager.Client {
	return secretsmanager.NewFromConfig(h.ConfigFor(region, c))
}

func (h *host) kmsAs(region string, c server.Credentials) *kms.Client {
	return kms.NewFromConfig(h.ConfigFor(region, c))
}

// account makes a further account, as an operator does.
func (h *host) account(t testing.TB, name string) server.Credentials {
	t.Helper()
	out := run(t, 0, "account", "create", name, "--json", "--data-dir", string(h.Dir))
	var k server.AccountKeys
	if err := json.Unmarshal([]byte(out), &k); err != nil {
		t.Fatal(err)
	}
	h.secret(k.SecretAccessKey, "the secret access key of account "+name)
	return server.Credentials{Account: k.ID, AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey}
}

// run runs a coffer command in this process, checks its exit code and returns
// what it printed: standard output for success and findings, else standard error.
func run(t testing.TB, code int, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	got := cli.Main(args, cli.Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr})
	if got != code {
		t.Fatalf("coffer %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, stdout.String(), stderr.String())
	}
	if code == 1 || code == 2 {
		return stderr.String()
	}
	return stdout.String()
}

// checkDir verifies a data directory as an operator would.
func checkDir(t testing.TB, dir server.Dir, flags ...string) {
	t.Helper()
	run(t, 0, append([]string{"fsck", string(dir)}, flags...)...)
	run(t, 0, append([]string{"audit", "verify", "--data-dir", string(dir)}, flags...)...)
}

// mayHold names the files of a data directory whose purpose is to hold a secret.
var mayHold = map[string]string{"credentials.json": "the root secret access key"}

// checkLeaks searches the log and every file for what must not be there, as it
// is and as the encodings that a log or a file might hold it in.
func (h *host) checkLeaks(t testing.TB, dir server.Dir) {
	t.Helper()
	var patterns []needle
	for v, what := range h.needles {
		patterns = append(patterns, encodings(v, what)...)
	}
	search := func(where string, b []byte) {
		for _, p := range patterns {
			if mayHold[filepath.Base(where)] == p.what {
				continue
			}
			if i := bytes.Index(b, p.bytes); i >= 0 {
				t.Errorf("%s holds %s (%s) at byte %d", where, p.what, p.form, i)
			}
		}
	}
	search("the server's log", h.log.Bytes())
	if dir == "" {
		return
	}
	err := filepath.WalkDir(string(dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		search(path, b)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

type needle struct {
	bytes      []byte
	what, form string
}

func encodings(v, what string) []needle {
	ns := []needle{{[]byte(v), what, "in clear"}, {[]byte(hex.EncodeToString([]byte(v))), what, "in hexadecimal"}}
	// In base64 a part of a value looks different at each of three places; the
	// characters at its ends depend on its neighbours.
	for shift := range 3 {
		padded := append(make([]byte, shift), v...)
		enc := base64.StdEncoding.EncodeToString(padded)
		if from, to := (shift*8+5)/6, len(padded)*8/6; to-from >= 8 {
			ns = append(ns, needle{[]byte(enc[from:to]), what, "in base64"})
		}
	}
	return ns
}

// checkAudit matches every call that was seen with the audit log.
func (h *host) checkAudit(t testing.TB, dir server.Dir) {
	t.Helper()
	if dir == "" {
		return
	}
	byID := make(map[string][]auditRecord)
	for _, r := range auditRecords(t, dir) {
		if r.EventType == "AwsApiCall" && r.UserIdentity.InvokedBy == "" {
			byID[r.RequestID] = append(byID[r.RequestID], r)
		}
	}
	for _, a := range h.watch.answers() {
		var own []auditRecord
		for _, r := range byID[a.id] {
			// A Query request names its operation in the body, which nobody reads before its
			// sender is known.
			if a.op == "" || r.EventName == a.op || r.EventName == "" && slices.Contains(strange, a.code) {
				own = append(own, r)
			}
		}
		switch {
		case len(own) != 1:
			t.Errorf("%s %s has %d audit records, want 1", a.op, a.id, len(own))
		case own[0].ErrorCode != a.code || own[0].ErrorMessage != a.message:
			t.Errorf("%s %s: the audit record says %q %q, the answer said %q %q", a.op, a.id, own[0].ErrorCode, own[0].ErrorMessage, a.code, a.message)
		case a.op != "":
			if problem := own[0].judge(); problem != "" {
				t.Errorf("%s %s %q: %s in %+v", a.op, a.id, a.message, problem, own[0].AdditionalEventData.Authorization)
			}
		}
	}
}

var denial = regexp.MustCompile(`is not authorized to perform: (\S+)(?: on resource: .+)? (?:because no (.+) allows the (\S+) action|with an explicit deny in (?:an?|the) (.+))$`)

// judge says what is wrong with the decisions in the record of a call: each call that
// succeeds was allowed, and by something; a denial tells what the decision was.
func (r *auditRecord) judge() string {
	decisions := r.AdditionalEventData.Authorization
	switch m := denial.FindStringSubmatch(r.ErrorMessage); {
	case r.ErrorCode == "":
		if len(decisions) == 0 {
			return "a success without a decision"
		}
		for _, d := range decisions {
			if !d.Allowed || len(d.By) == 0 && !slices.Contains(open, d.Action) {
				return "a success that was not allowed"
			}
		}
	case m != nil:
		if len(decisions) == 0 {
			return "a denial without a decision"
		}
		d, byResource := decisions[len(decisions)-1], m[2] == "resource-based policy"
		foreign := !strings.Contains(d.Resource, ":"+r.UserIdentity.AccountID+":")
		switch {
		case d.Allowed || d.Action != m[1]:
			return "a denial that was none"
		case d.Explicit != (len(d.By) == 1):
			return "a Deny that has no statement, or a statement without a Deny"
		case byResource && foreign: // no more than that is told
		case d.Explicit != (m[4] != "") || d.PolicyType != m[2]+m[4]:
			return "another denial than was told"
		}
	}
	return ""
}

// strange are the codes of Query requests whose sender is not known.
var strange = []string{"InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken", "MissingAuthenticationToken", "IncompleteSignature"}

// open are the actions that no policy refuses.
var open = []string{"sts:GetCallerIdentity", "sts:GetSessionToken"}

// auditRecord is what the tests look at in a record.
type auditRecord struct {
	EventVersion       string
	EventType          string
	EventSource        string
	EventName          string
	EventID            string
	RequestID          string
	AWSRegion          string
	RecipientAccountID string
	SourceIPAddress    string
	UserAgent          string
	ErrorCode          string
	ErrorMessage       string
	ReadOnly           bool
	UserIdentity       struct{ Type, ARN, AccountID, AccessKeyID, InvokedBy string }
	RequestParameters  map[string]any
	ResponseElements   map[string]any
	Resources          []struct{ ARN, Type string }

	AdditionalEventData struct {
		Authorization []audit.Authorization
		SecretID      string

		// Of what is done over the control socket.
		UID, Name, AccessKeyID, Document, To string
	}
}

// auditRecords reads all records of a data directory, in order.
func auditRecords(t testing.TB, dir server.Dir) (all []auditRecord) {
	t.Helper()
	for _, file := range segments(t, dir) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(bytes.NewReader(b))
		for {
			line, err := lines.ReadBytes('\n')
			if err == io.EOF {
				break // without a line end: still being written
			}
			var l struct{ Record *auditRecord }
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if l.Record != nil { // else it is the header
				all = append(all, *l.Record)
			}
		}
	}
	return all
}

func segments(t testing.TB, dir server.Dir) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir.Audit(), "audit-*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no audit log in %s (%v)", dir, err)
	}
	slices.Sort(files)
	return files
}

// answer is one call as its caller saw it.
type answer struct{ op, id, code, message string }

// watcher looks at every answer that clients get.
type watcher struct {
	t    testing.TB
	next http.RoundTripper
	mu   sync.Mutex
	all  []answer
	ok   map[string]bool // operations that have succeeded, by target
}

func (w *watcher) RoundTrip(r *http.Request) (*http.Response, error) {
	r, target, op := asked(r)
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return resp, nil // the client gets the error when it reads
	}
	a := answer{id: resp.Header.Get("X-Amzn-Requestid")}
	if op != nil {
		a.op = op.Name
	}
	if resp.StatusCode != http.StatusOK {
		a.code, a.message = errorOf(body)
	}
	if problem := judge(op, resp, a.code); problem != "" {
		w.t.Errorf("%s %s: %s", r.Method, target, problem)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, a)
	if resp.StatusCode == http.StatusOK {
		if w.ok == nil {
			w.ok = make(map[string]bool)
		}
		w.ok[target] = true
	}
	return resp, nil
}

// CloseIdleConnections is for http.Client's.
func (w *watcher) CloseIdleConnections() {
	if c, ok := w.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (w *watcher) answers() []answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.all)
}

// judge says what is wrong with an answer that may not be, whatever was asked.
func judge(op *api.Operation, resp *http.Response, code string) string {
	switch {
	case resp.StatusCode >= 500:
		return fmt.Sprintf("status %d, code %s: a client's mistake must not look like the server's", resp.StatusCode, code)
	case resp.Header.Get("X-Amzn-Requestid") == "":
		return "no request id"
	case resp.Header.Get("Date") == "":
		return "no Date header, which SDKs correct their clocks by"
	case resp.StatusCode == http.StatusOK:
		return ""
	case code == "":
		return fmt.Sprintf("status %d without an error code", resp.StatusCode)
	case slices.Contains(framework, code):
		return ""
	case op == nil:
		return code + " is not an error of AWS's framework"
	case !slices.ContainsFunc(op.Errors, func(e *api.ErrorShape) bool { return e.Code == code || e.QueryCode == code }):
		return code + " is not an error that the model lists for " + op.Name
	}
	return ""
}

// framework lists the codes that every operation may answer without its model
// saying so (spec: wire.md §2 and §6, secretsmanager.md §13, kms.md §13).
var framework = []string{
	"UnknownOperationException", "SerializationException", "ValidationException", "AccessDeniedException",
	"ThrottlingException", "RequestEntityTooLargeException", "RequestTimeoutException",
	"MissingAuthenticationTokenException", "IncompleteSignatureException", "UnrecognizedClientException",
	"ExpiredTokenException", "InvalidSignatureException", "NotAuthorizedException",
	// The same in the Query protocol (wire.md §6), and what STS sends without listing it (iam.md §9).
	"AccessDenied", "ValidationError", "InvalidClientTokenId", "MissingAuthenticationToken", "SignatureDoesNotMatch", "ExpiredToken", "InvalidAction",
	"InvalidParameterValue",
}

// asked tells which operation a request is for: by its target, or, in the Query
// protocol, by its form, which is then put back.
func asked(r *http.Request) (_ *http.Request, target string, op *api.Operation) {
	if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		target = r.Header.Get("X-Amz-Target")
		return r, target, operation(target)
	}
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
	form, _ := url.ParseQuery(string(body))
	for _, s := range []*api.Service{iamapi.Service, stsapi.Service} {
		for _, o := range s.Operations {
			if s.APIVersion == form.Get("Version") && o.Name == form.Get("Action") {
				op = o
			}
		}
	}
	return r, form.Get("Action"), op
}

// failing is the end of a body that could not be read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

// operation finds an operation by its target, nil if there is none.
func operation(target string) *api.Operation {
	prefix, name, _ := strings.Cut(target, ".")
	for _, s := range []*api.Service{smapi.Service, kmsapi.Service} {
		if s.TargetPrefix != prefix {
			continue
		}
		for _, op := range s.Operations {
			if op.Name == name {
				return op
			}
		}
	}
	return nil
}

// errorOf reads the body of an error.
func errorOf(body []byte) (code, message string) {
	var q struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	if bytes.HasPrefix(body, []byte("<Error>")) { // of S3, without an envelope
		body = slices.Concat([]byte("<ErrorResponse>"), body, []byte("</ErrorResponse>"))
	}
	if bytes.HasPrefix(body, []byte("<")) && xml.Unmarshal(body, &q) == nil {
		return q.Code, q.Message
	}
	var e struct {
		Type    string `json:"__type"`
		Message string // matches "message" too
	}
	if json.Unmarshal(body, &e) != nil {
		return "", ""
	}
	return e.Type, e.Message
}

// allServed fails unless every served operation of s has succeeded once.
func (h *host) allServed(t *testing.T, s *api.Service) {
	t.Helper()
	h.watch.mu.Lock()
	defer h.watch.mu.Unlock()
	for _, op := range s.Operations {
		if op.Mode != api.Unserved && !h.watch.ok[s.TargetPrefix+"."+op.Name] {
			t.Errorf("%s was never called with success: the walk must cover it", op.Action())
		}
	}
}

// fails checks that err is the API error given. An empty code wants success. A
// message that ends in an asterisk is a prefix: for texts that the spec leaves open.
func fails(t testing.TB, what string, err error, code, message string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	var e smithy.APIError
	if !errors.As(err, &e) {
		t.Errorf("%s: got %v, want %s", what, err, code)
		return
	}
	got := e.ErrorMessage()
	prefix, open := strings.CutSuffix(message, "*")
	if e.ErrorCode() != code || got != message && !(open && strings.HasPrefix(got, prefix)) {
		t.Errorf("%s:\n got %s: %s\nwant %s: %s", what, e.ErrorCode(), got, code, message)
	}
}

// must returns v, and ends the test on an error.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// eventually waits for a condition, without guessing how long it takes.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so after 20 s: %s", what)
		}
	}
}

// syncBuffer takes the server's log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) Bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.b.Bytes())
}
