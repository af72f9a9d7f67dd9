package runner_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"coffer/internal/lambda"
	"coffer/internal/runner"
)

// Whatever a process sends, its API answers, and the event is answered by a response or error
// for it and by nothing else.
func FuzzRuntimeAPI(f *testing.F) {
	const id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
	for _, seed := range []string{
		"POST /2018-06-01/runtime/invocation/" + id + "/response HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
		"POST /2018-06-01/runtime/invocation/" + id + "/error HTTP/1.1\r\nHost: x\r\nLambda-Runtime-Function-Error-Type: A\r\nContent-Length: 17\r\n\r\n{\"errorType\":\"B\"}",
		"POST /2018-06-01/runtime/invocation/" + id + "/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /2018-06-01/runtime/invocation/" + id + "/response HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nshort",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return // net/http's own affair
		}
		api, err := runner.NewRuntimeAPI()
		if err != nil {
			t.Fatal(err)
		}
		defer api.Close()
		answered, result := api.Give(lambda.Event{RequestID: id, Payload: []byte(`{}`)})
		next := httptest.NewRecorder()
		api.Handler.ServeHTTP(next, httptest.NewRequest("GET", "/2018-06-01/runtime/invocation/next", nil))
		if next.Code != 200 || next.Header().Get("Lambda-Runtime-Aws-Request-Id") != id {
			t.Fatalf("the event: %d, %v", next.Code, next.Header())
		}
		w := httptest.NewRecorder()
		api.Handler.ServeHTTP(w, request)
		switch w.Code {
		case 200, 202, 301, 307, 308, 400, 403, 404, 405, 413:
		default:
			t.Fatalf("status %d", w.Code)
		}
		path := request.URL.Path
		mine := request.Method == "POST" && (path == "/2018-06-01/runtime/invocation/"+id+"/response" || path == "/2018-06-01/runtime/invocation/"+id+"/error")
		select {
		case <-answered:
			payload, failed := result()
			if !mine || w.Code != 202 && !failed {
				t.Fatalf("%s %s answered the event, with status %d", request.Method, path, w.Code)
			}
			if failed && !json.Valid(payload) {
				t.Fatalf("an error that is no JSON: %q", payload)
			}
		default:
			if w.Code == 202 {
				t.Fatalf("%s %s was accepted, and nothing is answered", request.Method, path)
			}
		}
	})
}

func TestRuntimeAPI(t *testing.T) {
	t.Parallel()
	api, err := runner.NewRuntimeAPI()
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	call := func(method, path, body string) *http.Response {
		w := httptest.NewRecorder()
		api.Handler.ServeHTTP(w, httptest.NewRequest(method, "/2018-06-01/runtime/"+path, strings.NewReader(body)))
		return w.Result()
	}
	said := func(r *http.Response) (o struct{ ErrorType, ErrorMessage string }) {
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			t.Error(err)
		}
		return o
	}
	answered, result := api.Give(lambda.Event{RequestID: "one", InvokedARN: "arn:f:live", Payload: []byte(`{"a":1}`), ClientContext: "{\n}"})
	r := call("GET", "invocation/next", "")
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode != 200 || string(body) != `{"a":1}` {
		t.Fatalf("%d %s", r.StatusCode, body)
	}
	for name, want := range map[string]string{
		"Lambda-Runtime-Aws-Request-Id": "one", "Lambda-Runtime-Invoked-Function-Arn": "arn:f:live", "Lambda-Runtime-Client-Context": "{ }", "Content-Type": "application/json",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if deadline := r.Header.Get("Lambda-Runtime-Deadline-Ms"); len(deadline) != 13 {
		t.Errorf("deadline %q", deadline)
	}
	if trace := r.Header.Get("Lambda-Runtime-Trace-Id"); !strings.HasPrefix(trace, "Root=1-") || !strings.HasSuffix(trace, ";Sampled=0") {
		t.Errorf("trace %q", trace)
	}
	for _, rule := range []struct {
		method, path, body string
		status             int
		errorType          string
	}{
		{"GET", "invocation/next", "", 403, "InvalidStateTransition"},
		{"POST", "invocation/two/response", "{}", 400, "InvalidRequestID"},
		{"POST", "invocation/two/error", "{}", 400, "InvalidRequestID"},
		{"POST", "init/error", "{}", 403, "InvalidStateTransition"},
		{"POST", "restore/error", "{}", 404, "NotFound"},
		{"POST", "invocation/one/response", strings.Repeat("x", 7_000_000), 413, "RequestEntityTooLarge"},
		{"POST", "invocation/one/response", "{}", 400, "InvalidRequestID"}, // it is answered
	} {
		r := call(rule.method, rule.path, rule.body)
		if o := said(r); r.StatusCode != rule.status || o.ErrorType != rule.errorType || o.ErrorMessage == "" {
			t.Errorf("%s %s: %d %+v, want %d %s", rule.method, rule.path, r.StatusCode, o, rule.status, rule.errorType)
		}
	}
	select {
	case <-answered:
	case <-time.After(time.Minute):
		t.Fatal("not answered")
	}
	if payload, failed := result(); !failed || !strings.Contains(string(payload), "Function.ResponseSizeTooLarge") {
		t.Errorf("answer %s", payload)
	}
	for status, size := range map[int]int{202: 6_291_556, 413: 6_291_557} {
		api.Give(lambda.Event{RequestID: "three"})
		call("GET", "invocation/next", "")
		if r := call("POST", "invocation/three/response", strings.Repeat("x", size)); r.StatusCode != status {
			t.Errorf("%d bytes: %d, want %d", size, r.StatusCode, status)
		}
	}
	streamed, result := api.Give(lambda.Event{RequestID: "four"})
	call("GET", "invocation/next", "")
	request := httptest.NewRequest("POST", "/2018-06-01/runtime/invocation/four/response", strings.NewReader("x"))
	request.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
	api.Handler.ServeHTTP(httptest.NewRecorder(), request)
	<-streamed
	if payload, failed := result(); !failed || !strings.Contains(string(payload), "Runtime.InvalidResponseModeHeader") {
		t.Errorf("a streamed answer: %s", payload)
	}
}
