package iam_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest"
	"coffer/internal/coffertest/check"
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
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: &name})
	if len(statements) > 0 {
		check.Must(t, w.PutUserPolicy, &iam.PutUserPolicyInput{UserName: &name, PolicyName: new("own"), PolicyDocument: new(document(statements...))})
	}
	return iam.NewFromConfig(w.ConfigFor("us-east-1", w.keys(t, name)))
}

// keys makes an access key of a user.
func (w *world) keys(t *testing.T, name string) server.Credentials {
	t.Helper()
	k := check.Must(t, w.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: &name}).AccessKey
	return server.Credentials{Account: w.account, AccessKeyID: *k.AccessKeyId, SecretAccessKey: *k.SecretAccessKey}
}

// who is the ARN of whom the keys belong to.
func (w *world) who(t *testing.T, c server.Credentials) string {
	t.Helper()
	return *check.Must(t, sts.NewFromConfig(w.ConfigFor("us-east-1", c)).GetCallerIdentity, &sts.GetCallerIdentityInput{}).Arn
}

// managed makes a managed policy of these statements and returns its ARN.
func (w *world) managed(t *testing.T, name string, statements ...string) string {
	t.Helper()
	return *check.Must(t, w.CreatePolicy, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: new(document(statements...))}).Policy.Arn
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
