package restjson_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/fault"
	"coffer/internal/wire/restjson"
	"coffer/internal/wire/wiretest"
)

// sameHeaders compares all headers but the content type.
func sameHeaders(t *testing.T, got, want http.Header) {
	t.Helper()
	for k := range want {
		if k != "Content-Type" && got.Get(k) != want.Get(k) {
			t.Errorf("%s: %q, want %q", k, got.Get(k), want.Get(k))
		}
	}
	for k := range got {
		if k != "Content-Type" && want[k] == nil {
			t.Errorf("%s: %q is not in the golden file", k, got.Get(k))
		}
	}
}

// sameTarget compares paths and queries by meaning. Parameters that op does not
// have are of a newer model.
func sameTarget(t *testing.T, op *api.Operation, got, want string) {
	t.Helper()
	g, err := url.Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := url.Parse(want)
	if err != nil {
		t.Fatal(err)
	}
	_, literals, _ := strings.Cut(op.URI, "?")
	query := w.Query()
	for k := range query {
		isMember := func(m api.Member) bool { return m.Location == "querystring" && m.Wire == k || m.Name == k }
		if !strings.Contains(literals, k+"=") && !slices.ContainsFunc(op.Input.Members, isMember) {
			query.Del(k)
		}
	}
	if g.Path != w.Path || g.Query().Encode() != query.Encode() {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// body is the shape of what stands in the body.
func body(sh *api.Shape) *api.Shape {
	for i := range sh.Members {
		if sh.Members[i].Name == sh.Payload {
			return sh.Members[i].Shape
		}
	}
	return sh
}

// streaming answers with an event stream, of which the SDK has no golden files.
var streaming = lambdaapi.InvokeWithResponseStream.Operation

func TestSDKRequests(t *testing.T) {
	svc := lambdaapi.Service
	rt := newRouter(t)
	seen := map[string]bool{}
	for _, s := range wiretest.Snapshots(t, svc, "request_snapshot/*.snap") {
		if wiretest.Operation(svc, s.Name) == nil {
			t.Logf("not in our model: %s", s.File)
			continue
		}
		seen[s.Name] = true
		t.Run(s.Name, func(t *testing.T) {
			r := &http.Request{Header: s.Header}
			r.Method, r.RequestURI, _ = strings.Cut(s.First, " ")
			op, labels, ok := rt.Match(r)
			if !ok || op.Name != s.Name {
				t.Fatalf("%s is %v", s.First, op)
			}
			in := op.NewInput()
			if err := restjson.Decode(r, &labels, s.Body, in); err != nil {
				t.Fatal(err)
			}
			again, sent, ok := requestOf(op, in)
			if !ok {
				t.Fatal("a label is missing")
			}
			sameTarget(t, op, again.RequestURI, r.RequestURI)
			sameHeaders(t, again.Header, s.Header)
			if s.Header.Get("Content-Type") == "application/json" {
				wiretest.SameJSON(t, body(op.Input), sent, s.Body)
			} else if len(s.Body) > 0 && string(sent) != string(s.Body) {
				t.Errorf("got  %s\nwant %s", sent, s.Body)
			}
		})
	}
	for _, op := range svc.Operations {
		if !seen[op.Name] && op != streaming {
			t.Errorf("no golden request of %s", op.Name)
		}
	}
}

// The golden answers have the status 200 whatever the model says; sdk_test.go
// holds the statuses.
func TestSDKResponses(t *testing.T) {
	svc := lambdaapi.Service
	seen := map[string]bool{}
	for _, s := range wiretest.Snapshots(t, svc, "response_snapshot/*.response.snap") {
		op := wiretest.Operation(svc, s.Name)
		if op == nil {
			continue
		}
		seen[s.Name] = true
		t.Run(op.Name, func(t *testing.T) {
			out := op.NewOutput()
			// What an input has in headers and body, an output has there too.
			if err := restjson.Decode(&http.Request{Header: s.Header}, &restjson.Labels{}, s.Body, out); err != nil {
				t.Fatal(err)
			}
			h := http.Header{}
			answer, _ := restjson.Append(nil, h, op, out)
			sameHeaders(t, h, s.Header)
			switch {
			case s.Header.Get("Content-Type") == "application/octet-stream":
				if string(answer) != string(s.Body) {
					t.Errorf("got  %s\nwant %s", answer, s.Body)
				}
			case len(answer) == 0:
				// The SDK's generator writes the status into the body too.
				for i := range op.Output.Members {
					if m := &op.Output.Members[i]; m.Location == "" {
						t.Errorf("no body, but a member %s", m.Name)
					}
				}
			default:
				wiretest.SameJSON(t, body(op.Output), answer, s.Body)
			}
		})
	}
	for _, op := range svc.Operations {
		if !seen[op.Name] && op != streaming {
			t.Errorf("no golden response of %s", op.Name)
		}
	}
}

func TestSDKErrors(t *testing.T) {
	svc := lambdaapi.Service
	seen := map[string]bool{}
	for _, s := range wiretest.Snapshots(t, svc, "response_snapshot/*.error.snap") {
		shape := svc.Error(s.Name)
		if shape == nil {
			t.Logf("not in our model: %s", s.File)
			continue
		}
		seen[s.Name] = true
		t.Run(s.Name, func(t *testing.T) {
			var want map[string]any
			if err := json.Unmarshal(s.Body, &want); err != nil {
				t.Fatal(err)
			}
			h := http.Header{}
			body, status := restjson.AppendError(nil, h, svc, fault.New(shape.Kind, s.Name, "__Message__"))
			var got map[string]any
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatal(err)
			}
			if got["Type"] != "User" && got["Type"] != "Server" || (got["Type"] == "Server") != (status >= 500) {
				t.Errorf("type %v, status %d", got["Type"], status)
			}
			if strconv.Itoa(status) != s.First {
				t.Errorf("status %d, want %s", status, s.First)
			}
			if h.Get("x-amzn-ErrorType") != want["__type"] {
				t.Errorf("code %s, want %v", h.Get("x-amzn-ErrorType"), want["__type"])
			}
			for _, key := range []string{"Message", "message"} {
				if got[key] != want[key] {
					t.Errorf("%s is %v, want %v", key, got[key], want[key])
				}
			}
		})
	}
	for _, e := range svc.Errors {
		if !seen[e.Code] {
			t.Errorf("no golden error %s", e.Code)
		}
	}
}
