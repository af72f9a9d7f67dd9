package dispatch_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"coffer/internal/coffertest"
	"coffer/internal/lambda"
	"coffer/internal/server"
)

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
	ctx := t.Context()
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
	role, err := s.IAM(t).CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("runs"), AssumeRolePolicyDocument: new(
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
	_, err = s.Lambda(t).CreateFunction(ctx, &sdk.CreateFunctionInput{
		FunctionName: new("f"), Role: role.Role.Arn, Runtime: types.RuntimePython312, Handler: new("f.handler"), Code: &types.FunctionCode{ZipFile: b.Bytes()},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		_, err := s.Lambda(t).Invoke(ctx, &sdk.InvokeInput{FunctionName: new("f"), InvocationType: types.InvocationTypeEvent, Payload: fmt.Append(nil, i)})
		if err != nil {
			t.Fatal(err)
		}
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
