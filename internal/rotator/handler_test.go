package rotator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/rotator"
)

// describing is a Secrets Manager that only describes.
type describing struct {
	rotator.Client
	enabled *bool
	stages  map[string][]string
	moved   *secretsmanager.UpdateSecretVersionStageInput
}

func (d *describing) DescribeSecret(context.Context, *secretsmanager.DescribeSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error) {
	return &secretsmanager.DescribeSecretOutput{RotationEnabled: d.enabled, VersionIdsToStages: d.stages}, nil
}

func (d *describing) UpdateSecretVersionStage(_ context.Context, in *secretsmanager.UpdateSecretVersionStageInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.UpdateSecretVersionStageOutput, error) {
	d.moved = in
	return &secretsmanager.UpdateSecretVersionStageOutput{}, nil
}

// steps notes what is called of a rotation, and ends as it says.
type steps struct {
	called string
	end    func() error
}

func (s *steps) step(name string) error {
	s.called += name
	if s.end == nil {
		return nil
	}
	return s.end()
}

func (s *steps) Create(context.Context, *rotator.Job) error { return s.step("create") }
func (s *steps) Set(context.Context, *rotator.Job) error    { return s.step("set") }
func (s *steps) Test(context.Context, *rotator.Job) error   { return s.step("test") }

func none(string) (string, bool) { return "", false }

// TestChecks are those that AWS's templates make, with their texts.
func TestChecks(t *testing.T) {
	pending := map[string][]string{"old": {"AWSCURRENT"}, "new": {"AWSPENDING"}}
	tests := []struct {
		name, event string
		disabled    bool
		stages      map[string][]string
		called      string
		kind, want  string
	}{
		{name: "createSecret", event: `{"Step":"createSecret","SecretId":"s","ClientRequestToken":"new"}`, stages: pending, called: "create"},
		{name: "setSecret", event: `{"Step":"setSecret","SecretId":"s","ClientRequestToken":"new","More":1}`, stages: pending, called: "set"},
		{name: "testSecret", event: `{"Step":"testSecret","SecretId":"s","ClientRequestToken":"new"}`, stages: pending, called: "test"},
		{name: "current already", event: `{"Step":"setSecret","SecretId":"s","ClientRequestToken":"old"}`, stages: pending},
		{name: "disabled", event: `{"Step":"setSecret","SecretId":"s","ClientRequestToken":"new"}`, disabled: true, stages: pending, kind: "ValueError", want: "Secret s is not enabled for rotation"},
		{name: "no stage", event: `{"Step":"setSecret","SecretId":"s","ClientRequestToken":"x"}`, stages: pending, kind: "ValueError", want: "Secret version x has no stage for rotation of secret s."},
		{name: "another stage", event: `{"Step":"setSecret","SecretId":"s","ClientRequestToken":"x"}`, stages: map[string][]string{"x": {"blue"}}, kind: "ValueError", want: "Secret version x not set as AWSPENDING for rotation of secret s."},
		{name: "an unknown step", event: `{"Step":"dropSecret","SecretId":"s","ClientRequestToken":"new"}`, stages: pending, kind: "ValueError", want: "Invalid step parameter dropSecret for secret s"},
		{name: "no step", event: `{"SecretId":"s","ClientRequestToken":"new"}`, stages: pending, kind: "KeyError", want: "Step is missing from the event"},
		{name: "no token", event: `{"Step":"setSecret","SecretId":"s"}`, stages: pending, kind: "KeyError", want: "ClientRequestToken is missing from the event"},
		{name: "no secret", event: `{"Step":"setSecret","ClientRequestToken":"new"}`, stages: pending, kind: "KeyError", want: "SecretId is missing from the event"},
		{name: "no JSON", event: `x`, stages: pending, kind: "ValueError", want: "The event is not that of a rotation: not a JSON object of strings"},
		{name: "a list", event: `["createSecret"]`, stages: pending, kind: "ValueError", want: "The event is not that of a rotation: not a JSON object of strings"},
		{name: "a number", event: `{"Step":1}`, stages: pending, kind: "ValueError", want: "The event is not that of a rotation: not a JSON object of strings"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &steps{}
			h := &rotator.Handler{Rotation: r, Client: &describing{enabled: aws.Bool(!tt.disabled), stages: tt.stages}, LookupEnv: none, Log: io.Discard}
			f := h.Handle(t.Context(), "id", []byte(tt.event))
			if r.called != tt.called {
				t.Errorf("called %q, want %q", r.called, tt.called)
			}
			if (f == nil) != (tt.want == "") || f != nil && (f.Type != tt.kind || f.Message != tt.want) {
				t.Errorf("%+v, want %s %q", f, tt.kind, tt.want)
			}
		})
	}
}

// TestFinish moves the label from where it is.
func TestFinish(t *testing.T) {
	d := &describing{enabled: aws.Bool(true), stages: map[string][]string{"old": {"x", "AWSCURRENT"}, "new": {"AWSPENDING"}}}
	h := &rotator.Handler{Rotation: &steps{}, Client: d, LookupEnv: none, Log: io.Discard}
	if f := h.Handle(t.Context(), "id", []byte(`{"Step":"finishSecret","SecretId":"s","ClientRequestToken":"new"}`)); f != nil {
		t.Fatal(f.Message)
	}
	if d.moved == nil || *d.moved.MoveToVersionId != "new" || *d.moved.RemoveFromVersionId != "old" || *d.moved.VersionStage != "AWSCURRENT" {
		t.Errorf("%+v", d.moved)
	}
}

// TestEnds are ways in which a step can end. A panic tells where, not what.
func TestEnds(t *testing.T) {
	for _, tt := range []struct {
		name       string
		end        func() error
		kind, want string
	}{
		{"a ValueError", func() error { return rotator.ValueErrorf("no") }, "ValueError", "no"},
		{"one that is wrapped", func() error { return fmt.Errorf("x: %w", rotator.KeyErrorf("k")) }, "KeyError", "x: k"},
		{"another error", func() error { return errors.New("odd") }, "Exception", "odd"},
		{"a panic", func() error { panic("marker") }, "Exception", "the function panicked; its log tells where"},
		{"a panic of the runtime", func() error { m := map[string][]int{"marker": nil}; return rotator.ValueErrorf("%d", m["marker"][0]) }, "Exception", "the function panicked; its log tells where"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			d := &describing{enabled: aws.Bool(true), stages: map[string][]string{"new": {"AWSPENDING"}}}
			h := &rotator.Handler{Rotation: &steps{end: tt.end}, Client: d, LookupEnv: none, Log: &log}
			f := h.Handle(t.Context(), "id-1", []byte(`{"Step":"setSecret","SecretId":"s\nx","ClientRequestToken":"new"}`))
			if f == nil || f.Type != tt.kind || f.Message != tt.want || f.Stack == nil {
				t.Errorf("%+v", f)
			}
			if strings.Contains(log.String(), "marker") || strings.Contains(log.String(), "s\nx") || !strings.Contains(log.String(), "\tid-1\tsetSecret: ") {
				t.Errorf("the log is %q", log.String())
			}
		})
	}
}

// TestServe takes invocations from a Runtime API and answers them.
func TestServe(t *testing.T) {
	type answer struct{ path, kind, body string }
	var answers []answer
	events := []string{`{"Step":"testSecret","SecretId":"s","ClientRequestToken":"new"}`, `{"Step":"testSecret","SecretId":"s","ClientRequestToken":"x"}`}
	ctx, cancel := context.WithCancel(t.Context())
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/invocation/next") {
			if len(events) == 0 {
				cancel()
				return
			}
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", fmt.Sprint("id-", len(events)))
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
			io.WriteString(w, events[0])
			events = events[1:]
			return
		}
		b, _ := io.ReadAll(r.Body)
		answers = append(answers, answer{r.URL.Path, r.Header.Get("Lambda-Runtime-Function-Error-Type"), string(b)})
		w.WriteHeader(http.StatusAccepted)
	}))
	defer api.Close()
	d := &describing{enabled: aws.Bool(true), stages: map[string][]string{"new": {"AWSPENDING"}}}
	h := &rotator.Handler{Rotation: &steps{}, Client: d, LookupEnv: none, Log: io.Discard}
	if err := rotator.Serve(ctx, strings.TrimPrefix(api.URL, "http://"), h); err != nil {
		t.Fatal(err)
	}
	const base = "/2018-06-01/runtime/invocation/"
	if len(answers) != 2 || answers[0] != (answer{base + "id-2/response", "", "null"}) || answers[1].path != base+"id-1/error" || answers[1].kind != "ValueError" {
		t.Fatalf("%+v", answers)
	}
	var f rotator.Failure
	if err := json.Unmarshal([]byte(answers[1].body), &f); err != nil || f.Message != "Secret version x has no stage for rotation of secret s." {
		t.Error(answers[1].body)
	}
}

// TestServeEnds when the Runtime API is gone or speaks otherwise.
func TestServeEnds(t *testing.T) {
	for name, say := range map[string]http.HandlerFunc{
		"an error":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"no request id": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") },
		"too much": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "x")
			w.Write(make([]byte, 6<<20+1))
		},
	} {
		api := httptest.NewServer(say)
		if err := rotator.Serve(t.Context(), strings.TrimPrefix(api.URL, "http://"), &rotator.Handler{}); err == nil {
			t.Errorf("%s: no error", name)
		}
		api.Close()
	}
}
