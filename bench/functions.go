package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"coffer/internal/builtin"
	"coffer/internal/sigv4"
)

// functionsOptions say how functions are measured.
type functionsOptions struct {
	n, cold  int
	runtimes string
}

func (o *functionsOptions) flags(fs *flag.FlagSet) {
	fs.IntVar(&o.n, "n", 2000, "warm invocations of each function, one at a time")
	fs.IntVar(&o.cold, "cold", 5, "cold starts of each function")
	fs.StringVar(&o.runtimes, "runtimes", "provided.al2023,python3.11,nodejs20.x", "runtimes of users' functions that are measured, separated by commas")
}

// runtimeAPIVariable tells a program that it is a function, and where its events are.
const runtimeAPIVariable = "AWS_LAMBDA_RUNTIME_API"

// serveEvents makes this program a function that answers each event with itself: the
// bootstrap of runtime provided.
func serveEvents(api string) error {
	base := "http://" + api + "/2018-06-01/runtime/invocation/"
	for {
		resp, err := http.Get(base + "next")
		if err != nil {
			return err
		}
		event, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		if resp, err = http.Post(base+resp.Header.Get("Lambda-Runtime-Aws-Request-Id")+"/response", "application/json", bytes.NewReader(event)); err != nil {
			return err
		}
		io.Copy(io.Discard, resp.Body) // so that the connection is used again
		resp.Body.Close()
	}
}

// lambdaClient calls the Lambda API, which is REST with headers that the load
// generator's own client does not read. One goroutine uses it, on one connection.
type lambdaClient struct {
	base   string
	signer sigv4.Signer
	http   http.Client
}

func newLambdaClient(c *coffer, creds credentials) *lambdaClient {
	return &lambdaClient{
		base:   "http://" + c.endpoint.addr,
		signer: sigv4.Signer{AccessKeyID: creds.AccessKeyID, SecretAccessKey: sigv4.Secret(creds.SecretAccessKey)},
		http:   http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 2 * stuck},
	}
}

// call sends one request and wants a status below 300.
func (l *lambdaClient) call(ctx context.Context, path string, header http.Header, body []byte) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header = header.Clone()
	if err := sigv4.Sign(req, body, l.signer, region, "lambda", time.Now()); err != nil {
		return nil, nil, err
	}
	resp, err := l.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s: status %d: %.300s", path, resp.StatusCode, answer)
	}
	return resp.Header, answer, err
}

// create makes a function.
func (l *lambdaClient) create(ctx context.Context, name, runtime, role, code string) error {
	body, err := json.Marshal(map[string]any{
		"FunctionName": name, "Runtime": runtime, "Handler": "function.handler", "Role": role, "Timeout": 10, "Code": map[string]string{"ZipFile": code},
	})
	if err != nil {
		return err
	}
	_, _, err = l.call(ctx, "/2015-03-31/functions", http.Header{"Content-Type": {"application/json"}}, body)
	return err
}

// invocation is how long one took: for who called, for the function by its REPORT
// line, and for the start of its process by the same, zero if one was there.
type invocation struct {
	latency, function, init time.Duration
}

// own is Coffer's own part of a warm one; the client's is in it.
func (i invocation) own() time.Duration { return i.latency - i.function }

var (
	reportDuration = regexp.MustCompile(`(?m)^REPORT .*\tDuration: ([0-9.]+) ms\t`)
	reportInit     = regexp.MustCompile(`(?m)^REPORT .*\tInit Duration: ([0-9.]+) ms`)
)

// invoke invokes a function and wants this answer, or with an empty one an error of the
// function's own.
func (l *lambdaClient) invoke(ctx context.Context, name, event, want string) (i invocation, err error) {
	start := time.Now()
	header, answer, err := l.call(ctx, "/2015-03-31/functions/"+url.PathEscape(name)+"/invocations",
		http.Header{"X-Amz-Log-Type": {"Tail"}}, []byte(event))
	i.latency = time.Since(start)
	if err != nil {
		return i, err
	}
	switch failed := header.Get("X-Amz-Function-Error") != ""; {
	case want == "" && !failed, want != "" && (failed || string(answer) != want):
		return i, fmt.Errorf("%s answered %.300s", name, answer)
	}
	log, err := base64.StdEncoding.DecodeString(header.Get("X-Amz-Log-Result"))
	if err != nil {
		return i, err
	}
	if i.function, err = reported(reportDuration, log); err != nil || i.function == 0 {
		return i, errors.Join(err, fmt.Errorf("%s: no REPORT line in %.300q", name, log))
	}
	i.init, err = reported(reportInit, log)
	return i, err
}

// reported is a duration of a log's REPORT line, zero if that has none.
func reported(what *regexp.Regexp, log []byte) (time.Duration, error) {
	m := what.FindSubmatch(log)
	if m == nil {
		return 0, nil
	}
	return time.ParseDuration(string(m[1]) + "ms")
}

// archived is a package with one file, in base64.
func archived(name string, content []byte) (string, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(content); err != nil {
		return "", err
	}
	err = z.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes()), err
}

// trivial is a runtime's function that answers an event with itself, packed.
func trivial(runtime string) (string, error) {
	switch {
	case strings.HasPrefix(runtime, "python"):
		return archived("function.py", []byte("def handler(event, context):\n    return event\n"))
	case strings.HasPrefix(runtime, "nodejs"):
		return archived("function.js", []byte("exports.handler = async (event) => event;\n"))
	}
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	program, err := os.ReadFile(exe)
	if err != nil {
		return "", err
	}
	return archived("bootstrap", program)
}

// measuredFunction is what functions of one kind took.
type measuredFunction struct {
	name       string
	cold, warm []invocation
}

// measureFunctions measures invocations through the API.
func measureFunctions(ctx context.Context, env *environment, o functionsOptions) (*report, error) {
	env.progress("starting Coffer")
	c, err := startCoffer(ctx, env.coffer, env.path("functions"), true)
	if err != nil {
		return nil, err
	}
	defer c.kill()
	if err := c.waitReady(ctx); err != nil {
		return nil, err
	}
	cn, err := dial(ctx, c.endpoint)
	if err != nil {
		return nil, err
	}
	defer cn.Close()
	admin, err := newAdministrator(cn, c.creds, c.endpoint.addr)
	if err != nil {
		return nil, err
	}
	role, err := admin.query(admin.iam, "CreateRole", "RoleName", "function",
		"AssumeRolePolicyDocument", document(`{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}`))
	arn, err := made(role, err, "Arn")
	if err != nil {
		return nil, err
	}
	l := newLambdaClient(c, admin.creds)
	var all []measuredFunction
	for _, runtime := range strings.Split(o.runtimes, ",") {
		if runtime == "" {
			continue
		}
		f, err := measureRuntime(ctx, env, l, runtime, arn, o)
		if err != nil {
			return nil, c.explain(err)
		}
		all = append(all, f)
	}
	env.progress("built-in rotators")
	built, err := measureBuiltIn(ctx, c)
	if err != nil {
		return nil, c.explain(err)
	}
	r := functionsReport(all, o)
	builtInReport(r, built)
	return r, nil
}

// measureBuiltIn has each built-in rotator begin a rotation, the one way to have it invoked.
// The answers to their first events are timed by the server: from the invocation of
// createSecret, for which the process is started, to its answer. That is an error for those
// that have a secret of theirs to expect, for the secret here is none; it was read by then.
func measureBuiltIn(ctx context.Context, c *coffer) (all []time.Duration, err error) {
	const first = `{step="createSecret"}`
	before, err := c.metrics(ctx)
	if err != nil {
		return nil, err
	}
	err = c.each(ctx, 1, len(builtin.Functions), func(cn *conn, s *signer, i int) error {
		cn.SetDeadline(time.Now().Add(stuck))
		if _, err := cn.call(s, "CreateSecret", fmt.Appendf(nil, `{"Name":%q,"ClientRequestToken":%q,"SecretString":"{}"}`, secretName(i), versionID(i, 0))); err != nil {
			return err
		}
		if _, err := cn.call(s, "RotateSecret", fmt.Appendf(nil, `{"SecretId":%q,"ClientRequestToken":%q,"RotationLambdaARN":"arn:aws:lambda:%s:%s:function:%s"}`,
			secretName(i), versionID(i, 1), region, c.creds.Account, builtin.Functions[i].Name)); err != nil {
			return err
		}
		for {
			after, err := c.metrics(ctx)
			if err != nil {
				return err
			}
			switch n := after["coffer_rotation_step_seconds_count"+first] - before["coffer_rotation_step_seconds_count"+first]; {
			case n > 1:
				return fmt.Errorf("%s was invoked %g times", builtin.Functions[i].Name, n)
			case n == 1:
				all = append(all, time.Duration((after["coffer_rotation_step_seconds_sum"+first]-before["coffer_rotation_step_seconds_sum"+first])*float64(time.Second)))
				before = after
				_, err := cn.call(s, "CancelRotateSecret", fmt.Appendf(nil, `{"SecretId":%q}`, secretName(i)))
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return all, err
}

// builtInReport adds what measureBuiltIn measured.
func builtInReport(r *report, all []time.Duration) {
	slices.Sort(all)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	median := ms(all[len(all)/2])
	t := table{Title: "Cold, built-in rotators", Head: []string{"starts", "createSecret answered, median ms", "fastest ms", "slowest ms"}}
	t.add(strconv.Itoa(len(all)), figure(median), figure(ms(all[0])), figure(ms(all[len(all)-1])))
	r.Tables = append(r.Tables, t)
	r.Goals = append(r.Goals, goal{Name: "cold start of a built-in rotator to its answer, median", Measured: median, Limit: 100, Unit: "ms"})
}

// measureRuntime makes functions of a runtime, invokes each once and the last many times.
func measureRuntime(ctx context.Context, env *environment, l *lambdaClient, runtime, role string, o functionsOptions) (m measuredFunction, err error) {
	env.progress("%s", runtime)
	m.name = runtime
	code, err := trivial(runtime)
	if err != nil {
		return m, err
	}
	const event = "1" // everybody writes it alike
	base, name := "trivial-"+regexp.MustCompile(`[^a-z0-9]`).ReplaceAllString(runtime, "-")+"-", ""
	for i := range max(o.cold, 1) {
		name = base + strconv.Itoa(i)
		if err := l.create(ctx, name, runtime, role, code); err != nil {
			return m, err
		}
		one, err := l.invoke(ctx, name, event, event)
		if err != nil {
			return m, err
		}
		m.cold = append(m.cold, one)
	}
	m.warm, err = l.warm(ctx, name, event, event, o.n)
	return m, err
}

// warm invokes a function that has a process n times.
func (l *lambdaClient) warm(ctx context.Context, name, event, want string, n int) (all []invocation, err error) {
	for range n {
		i, err := l.invoke(ctx, name, event, want)
		if err != nil {
			return nil, err
		}
		if i.init != 0 {
			continue // its process had to be started again: not a warm one
		}
		all = append(all, i)
	}
	if len(all) < (n+1)/2 {
		return nil, fmt.Errorf("%s: %d of %d invocations were cold starts", name, n-len(all), n)
	}
	return all, nil
}

// quantile is one of a figure of invocations.
func quantile(all []invocation, of func(invocation) time.Duration, q float64) time.Duration {
	var ds []time.Duration
	for _, i := range all {
		ds = append(ds, of(i))
	}
	slices.Sort(ds)
	if len(ds) == 0 {
		return 0
	}
	return ds[min(int(q*float64(len(ds))), len(ds)-1)]
}

func functionsReport(all []measuredFunction, o functionsOptions) *report {
	r := &report{
		Name: "functions", Title: "Functions",
		Setup: fmt.Sprintf("Invoke through the API over HTTP, one at a time, with the log's tail; functions answer an event with itself. "+
			"%d warm invocations of each; Coffer's own time is what the caller waited less the Duration of the REPORT line, the client's work included.", o.n),
	}
	latency, function, initial := func(i invocation) time.Duration { return i.latency }, func(i invocation) time.Duration { return i.function }, func(i invocation) time.Duration { return i.init }
	warm := table{Title: "Warm", Head: []string{"function", "own time p50 ms", "own p99 ms", "latency p50 ms", "p99 ms", "Duration p50 ms"}}
	cold := table{Title: "Cold", Head: []string{"function", "starts", "first answer, median ms", "slowest ms", "Init Duration, median ms", "slowest ms"}}
	ms := func(all []invocation, of func(invocation) time.Duration, q float64) string {
		return figure(float64(quantile(all, of, q)) / float64(time.Millisecond))
	}
	for _, f := range all {
		warm.add(f.name, ms(f.warm, invocation.own, 0.50), ms(f.warm, invocation.own, 0.99), ms(f.warm, latency, 0.50), ms(f.warm, latency, 0.99), ms(f.warm, function, 0.50))
		cold.add(f.name, strconv.Itoa(len(f.cold)), ms(f.cold, latency, 0.50), ms(f.cold, latency, 1), ms(f.cold, initial, 0.50), ms(f.cold, initial, 1))
		r.Goals = append(r.Goals, goal{Name: "warm Invoke, Coffer's own time, p50: " + f.name, Measured: float64(quantile(f.warm, invocation.own, 0.50)) / float64(time.Millisecond), Limit: 3, Unit: "ms"})
	}
	r.Tables = []table{warm, cold}
	return r
}
