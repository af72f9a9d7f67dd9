package rotatortest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/coffertest"
	"coffer/internal/rotator"
)

// Vault is a Secrets Manager with secrets that functions rotate, step by step.
type Vault struct {
	rotator.Client
	SM        *secretsmanager.Client
	Variables map[string]string // of the functions

	t     testing.TB
	mu    sync.Mutex
	lines bytes.Buffer
}

// NewVault starts a server.
func NewVault(t testing.TB) *Vault {
	t.Helper()
	sm := coffertest.Start(t, coffertest.InMemory()).SecretsManager(t)
	return &Vault{Client: sm, SM: sm, Variables: map[string]string{}, t: t}
}

// Create makes a secret and returns its ARN.
func (v *Vault) Create(name string, value map[string]any) string {
	v.t.Helper()
	out, err := v.SM.CreateSecret(context.Background(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String(text(v.t, value))})
	if err != nil {
		v.t.Fatal(err)
	}
	return *out.ARN
}

// Put gives a secret another current value.
func (v *Vault) Put(arn string, value map[string]any) {
	v.t.Helper()
	_, err := v.SM.PutSecretValue(context.Background(), &secretsmanager.PutSecretValueInput{SecretId: &arn, SecretString: aws.String(text(v.t, value))})
	if err != nil {
		v.t.Fatal(err)
	}
}

// PutPending gives a version a value under AWSPENDING, as createSecret would.
func (v *Vault) PutPending(arn, token string, value map[string]any) {
	v.t.Helper()
	_, err := v.SM.PutSecretValue(context.Background(), &secretsmanager.PutSecretValueInput{
		SecretId: &arn, ClientRequestToken: &token, SecretString: aws.String(text(v.t, value)), VersionStages: []string{rotator.Pending},
	})
	if err != nil {
		v.t.Fatal(err)
	}
}

func text(t testing.TB, value map[string]any) string {
	t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Text is the current value.
func (v *Vault) Text(arn string) string {
	v.t.Helper()
	out, err := v.SM.GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{SecretId: &arn})
	if err != nil {
		v.t.Fatal(err)
	}
	return *out.SecretString
}

// Value is the current value, or of the version if token is not "".
func (v *Vault) Value(arn, token string) map[string]any {
	v.t.Helper()
	in := &secretsmanager.GetSecretValueInput{SecretId: &arn}
	if token != "" {
		in.VersionId = &token
	}
	out, err := v.SM.GetSecretValue(context.Background(), in)
	if err != nil {
		v.t.Fatal(err)
	}
	var value map[string]any
	if err := json.Unmarshal([]byte(*out.SecretString), &value); err != nil {
		v.t.Fatal(err)
	}
	return value
}

// NewToken is the id of a version to be.
func NewToken() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// DescribeSecret tells what it would if RotateSecret had been called: that the secret is
// rotated, and a version that is not there yet as pending.
func (v *Vault) DescribeSecret(ctx context.Context, in *secretsmanager.DescribeSecretInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error) {
	out, err := v.Client.DescribeSecret(ctx, in, opts...)
	if err != nil {
		return nil, err
	}
	out.RotationEnabled = aws.Bool(true)
	if token, ok := ctx.Value(reserved{}).(string); ok && out.VersionIdsToStages[token] == nil {
		out.VersionIdsToStages = maps.Clone(out.VersionIdsToStages)
		out.VersionIdsToStages[token] = []string{rotator.Pending}
	}
	return out, nil
}

type reserved struct{}

// Step runs one step of a rotation.
func (v *Vault) Step(r rotator.Rotation, step, arn, token string) *rotator.Failure {
	return v.StepAs(v, r, step, arn, token)
}

// StepAs is Step with another client.
func (v *Vault) StepAs(c rotator.Client, r rotator.Rotation, step, arn, token string) *rotator.Failure {
	event, err := json.Marshal(rotator.Event{Step: step, SecretId: arn, ClientRequestToken: token})
	if err != nil {
		return &rotator.Failure{Message: err.Error()}
	}
	h := &rotator.Handler{Rotation: r, Client: c, Log: v, LookupEnv: func(name string) (string, bool) {
		s, ok := v.Variables[name]
		return s, ok
	}}
	return h.Handle(context.WithValue(context.Background(), reserved{}, token), "request-1", event)
}

// Rotate runs all steps.
func (v *Vault) Rotate(r rotator.Rotation, arn, token string) *rotator.Failure {
	for _, step := range []string{rotator.CreateSecret, rotator.SetSecret, rotator.TestSecret, rotator.FinishSecret} {
		if f := v.Step(r, step, arn, token); f != nil {
			return f
		}
	}
	return nil
}

// MustRotate is Rotate that has to succeed, and returns the value that is then current.
func (v *Vault) MustRotate(r rotator.Rotation, arn string) map[string]any {
	v.t.Helper()
	if f := v.Rotate(r, arn, NewToken()); f != nil {
		v.t.Fatalf("%s: %s\n%s", f.Type, f.Message, v.Log())
	}
	return v.Value(arn, "")
}

// Write keeps log lines.
func (v *Vault) Write(b []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.lines.Write(b)
}

// Log is all log lines so far.
func (v *Vault) Log() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.lines.String()
}

// WantNone fails the test if one of the secrets stands in texts.
func WantNone(t testing.TB, where, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if s != "" && strings.Contains(text, s) {
			t.Errorf("%s shows a password", where)
		}
	}
}
