package iam_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"coffer/internal/coffertest"
	"coffer/internal/server"
)

// world is a server and the root of its first account. When the test ends, fsck
// must find nothing.
type world struct {
	*iam.Client
	*coffertest.Server
	account string
}

func newWorld(t *testing.T, opts ...coffertest.Option) *world {
	t.Helper()
	s := coffertest.Start(t, append([]coffertest.Option{coffertest.InMemory()}, opts...)...)
	return &world{s.IAM(t), s, s.Credentials.Account}
}

// arn is the ARN of something of the account: "user/ana".
func (w *world) arn(resource string) string { return "arn:aws:iam::" + w.account + ":" + resource }

// user makes a user with these statements as its inline policy, and a client that calls as
// the user. Without statements it has no policy.
func (w *world) user(t *testing.T, name string, statements ...string) *iam.Client {
	t.Helper()
	must(t, w.CreateUser, &iam.CreateUserInput{UserName: &name})
	if len(statements) > 0 {
		must(t, w.PutUserPolicy, &iam.PutUserPolicyInput{UserName: &name, PolicyName: new("own"), PolicyDocument: new(document(statements...))})
	}
	return iam.NewFromConfig(w.ConfigFor("us-east-1", w.keys(t, name)))
}

// keys makes an access key of a user.
func (w *world) keys(t *testing.T, name string) server.Credentials {
	t.Helper()
	k := must(t, w.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: &name}).AccessKey
	return server.Credentials{Account: w.account, AccessKeyID: *k.AccessKeyId, SecretAccessKey: *k.SecretAccessKey}
}

// who is the ARN of whom the keys belong to.
func (w *world) who(t *testing.T, c server.Credentials) string {
	t.Helper()
	return *must(t, sts.NewFromConfig(w.ConfigFor("us-east-1", c)).GetCallerIdentity, &sts.GetCallerIdentityInput{}).Arn
}

// managed makes a managed policy of these statements and returns its ARN.
func (w *world) managed(t *testing.T, name string, statements ...string) string {
	t.Helper()
	return *must(t, w.CreatePolicy, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: new(document(statements...))}).Policy.Arn
}

// document is a policy of these statements.
func document(statements ...string) string {
	text := ""
	for i, s := range statements {
		if i > 0 {
			text += ","
		}
		text += s
	}
	return `{"Version":"2012-10-17","Statement":[` + text + `]}`
}

// allow is a statement; more are members in JSON, such as a condition.
func allow(action, resource string, more ...string) string {
	s := fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":%q`, action, resource)
	for _, m := range more {
		s += "," + m
	}
	return s + "}"
}

// trust is a trust policy for one AWS principal.
func trust(principal string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole"}]}`
}

// must is one call that has to succeed.
func must[I, O, F any](t *testing.T, call func(context.Context, *I, ...F) (*O, error), in *I) *O {
	t.Helper()
	out, err := call(context.Background(), in)
	if err != nil {
		t.Fatalf("%T: %v", in, err)
	}
	return out
}

// try is a call as a case of a table: outcome is "ok", or code and text of the error.
func try[I, O, F any](call func(context.Context, *I, ...F) (*O, error), in *I) func() string {
	return func() string {
		_, err := call(context.Background(), in)
		return outcome(err)
	}
}

func outcome(err error) string {
	var e smithy.APIError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &e):
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return err.Error()
}

// rule is a case: what a call comes to.
type rule struct {
	name string
	call func() string
	want string
}

// run goes through cases in their order: each may depend on those before.
func run(t *testing.T, rules []rule) {
	t.Helper()
	for _, r := range rules {
		if got := r.call(); got != r.want {
			t.Errorf("%s:\n got %s\nwant %s", r.name, got, r.want)
		}
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
