package dispatch_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"coffer/internal/cli"
	"coffer/internal/coffertest"
	"coffer/internal/dispatch"
	"coffer/internal/lambda"
	"coffer/internal/server"
)

// create makes a function f in an account, and returns how to give it an event.
func create(t *testing.T, s *coffertest.Server, c server.Credentials) (invoke func(payload string)) {
	t.Helper()
	cfg := s.ConfigFor("eu-west-1", c)
	role, err := iam.NewFromConfig(cfg).CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: new("runs"), AssumeRolePolicyDocument: new(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if _, err := w.Create("f.py"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	functions := sdk.NewFromConfig(cfg)
	_, err = functions.CreateFunction(t.Context(), &sdk.CreateFunctionInput{
		FunctionName: new("f"), Role: role.Role.Arn, Runtime: types.RuntimePython312, Handler: new("f.handler"), Code: &types.FunctionCode{ZipFile: b.Bytes()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(payload string) {
		t.Helper()
		_, err := functions.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: new("f"), InvocationType: types.InvocationTypeEvent, Payload: []byte(payload)})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// runner stands for the processes that functions run in.
type runner struct {
	got   chan string // payloads
	stuck bool        // it does not answer before it is given up
}

func (r *runner) Run(ctx context.Context, f *lambda.Executable, e lambda.Event) (*lambda.Answer, error) {
	r.got <- string(e.Payload)
	if r.stuck {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &lambda.Answer{Payload: []byte("null")}, nil
}

// What was under way when a server stopped, and what waited, is delivered by the next one.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := server.Dir(t.TempDir())
	if err := os.Chmod(string(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	start := func(r *runner) *coffertest.Server {
		return coffertest.Start(t, coffertest.InDir(dir), coffertest.With(func(c *server.Config) { c.Runner = r }))
	}
	const events = 12 // more than are delivered at once
	stuck := &runner{got: make(chan string, events), stuck: true}
	s := start(stuck)
	invoke := create(t, s, s.Credentials)
	for i := range events {
		invoke(fmt.Sprint(i))
	}
	<-stuck.got
	s.Stop(t)

	works := &runner{got: make(chan string, events)}
	start(works)
	got := make(map[string]bool)
	for range events {
		got[<-works.got] = true
	}
	if len(got) != events {
		t.Errorf("%d of %d events were delivered", len(got), events)
	}
}

// shared is a runner whose functions of one account do not answer until they are let.
type shared struct {
	slow     string // account
	let      chan struct{}
	begun    chan string // accounts
	answered chan struct{}
}

func (r *shared) Run(ctx context.Context, f *lambda.Executable, _ lambda.Event) (*lambda.Answer, error) {
	r.begun <- f.Account
	if f.Account == r.slow {
		select {
		case <-r.let:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		r.answered <- struct{}{}
	}
	return &lambda.Answer{Payload: []byte("null")}, nil
}

// One account has half of the events at once, however many wait: those of others pass them.
func TestShareOfAnAccount(t *testing.T) {
	t.Parallel()
	const waiting = 510 // more than one claim looks at
	r := &shared{let: make(chan struct{}), begun: make(chan string, 2*waiting), answered: make(chan struct{}, waiting)}
	s := coffertest.Start(t, coffertest.InMemory(), coffertest.With(func(c *server.Config) { c.Runner = r }))
	r.slow = s.Credentials.Account
	var stdout, stderr bytes.Buffer
	if code := cli.Main([]string{"account", "create", "other", "--json", "--data-dir", string(s.Dir)}, cli.Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr}); code != 0 {
		t.Fatal(stderr.String())
	}
	var other server.AccountKeys
	if err := json.Unmarshal(stdout.Bytes(), &other); err != nil {
		t.Fatal(err)
	}
	slow := create(t, s, s.Credentials)
	fast := create(t, s, server.Credentials{Account: other.ID, AccessKeyID: other.AccessKeyID, SecretAccessKey: other.SecretAccessKey})
	for range waiting {
		slow("1")
	}
	const share = dispatch.DefaultAtOnce / 2
	for range share {
		if got := <-r.begun; got != r.slow {
			t.Fatalf("an event of %s, which has none", got)
		}
	}
	// All of them are behind those that wait, and each finds room.
	for range dispatch.DefaultAtOnce {
		fast("2")
		if got := <-r.begun; got != other.ID {
			t.Fatal("more than its share of one account is under way")
		}
	}
	// Who ends makes room for another of the account.
	r.let <- struct{}{}
	<-r.answered
	if got := <-r.begun; got != r.slow {
		t.Fatalf("an event of %s, which has none", got)
	}
	close(r.let)
	for range waiting - share - 1 {
		<-r.begun
	}
	select {
	case <-r.begun:
		t.Error("an event was delivered twice")
	default:
	}
}
