package rotator_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/rotator"
	"coffer/internal/rotator/rotatortest"
)

// TestGenerated renews a value, or a key of it, and nothing else.
func TestGenerated(t *testing.T) {
	v := rotatortest.NewVault(t)
	create := func(name, value string) string {
		t.Helper()
		out, err := v.SM.CreateSecret(context.Background(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
		if err != nil {
			t.Fatal(err)
		}
		return *out.ARN
	}
	rotate := func(arn string) string {
		t.Helper()
		if f := v.Rotate(rotator.Generated(), arn, rotatortest.NewToken()); f != nil {
			t.Fatalf("%s: %s", f.Type, f.Message)
		}
		return v.Text(arn)
	}

	for name, value := range map[string]string{"text": "marker-text", "brace": "{marker", "array": `["marker"]`} {
		got := rotate(create(name, value))
		if len(got) != 32 || strings.Contains(got, "marker") {
			t.Errorf("%s became a value of %d characters", value, len(got))
		}
	}

	arn := create("object", `{"user": "a\u00e9<b", "password":"marker-object", "n": 1.50}`)
	var object map[string]json.RawMessage
	got := rotate(arn)
	if err := json.Unmarshal([]byte(got), &object); err != nil {
		t.Fatal(err)
	}
	if string(object["user"]) != `"a\u00e9<b"` || string(object["n"]) != "1.50" || len(object["password"]) != 34 {
		t.Error("the other keys did not keep their text")
	}

	v.Variables["SECRET_KEY"], v.Variables["PASSWORD_LENGTH"] = "token", "64"
	value := v.MustRotate(rotator.Generated(), create("key", `{"password": "stays", "token": "marker-token"}`))
	if value["password"] != "stays" || len(value["token"].(string)) != 64 {
		t.Error("SECRET_KEY does not say which key is renewed")
	}
	arn = create("no-key", `{"other": "marker"}`)
	f := v.Rotate(rotator.Generated(), arn, rotatortest.NewToken())
	if f == nil || f.Type != "KeyError" || f.Message != "token key is missing from secret JSON" {
		t.Errorf("an object without the key: %+v", f)
	}
	rotatortest.WantNone(t, "the log", v.Log(), "marker")
}

// TestGeneratedAgain repeats every step: the value is made once.
func TestGeneratedAgain(t *testing.T) {
	v := rotatortest.NewVault(t)
	arn := v.Create("s", map[string]any{"password": "marker"})
	token := rotatortest.NewToken()
	var first string
	for _, step := range []string{rotator.CreateSecret, rotator.SetSecret, rotator.TestSecret} {
		for range 2 {
			if f := v.Step(rotator.Generated(), step, arn, token); f != nil {
				t.Fatal(f.Message)
			}
		}
		got := v.Value(arn, token)["password"].(string)
		if first == "" {
			first = got
		}
		if got != first {
			t.Error("the pending value changed")
		}
	}
	if v.Value(arn, "")["password"] != "marker" {
		t.Error("the current value changed before finishSecret")
	}
	// A copy of the current value is what is tested when rotation is set up for later. One
	// that lacks the key is none.
	for value, want := range map[string]string{`{"password": "marker"}`: "", `{"other": "marker"}`: "password key is missing from secret JSON", `marker`: "The value of secret " + arn + " is not a JSON object"} {
		token = rotatortest.NewToken()
		if _, err := v.SM.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &arn, ClientRequestToken: &token, SecretString: &value, VersionStages: []string{rotator.Pending}}); err != nil {
			t.Fatal(err)
		}
		if f := v.Step(rotator.Generated(), rotator.TestSecret, arn, token); (f == nil) != (want == "") || f != nil && f.Message != want {
			t.Errorf("%s: %+v", value, f)
		}
	}
}

// TestBinary leaves a binary value alone.
func TestBinary(t *testing.T) {
	v := rotatortest.NewVault(t)
	out, err := v.SM.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("b"), SecretBinary: []byte("marker")})
	if err != nil {
		t.Fatal(err)
	}
	f := v.Rotate(rotator.Generated(), *out.ARN, rotatortest.NewToken())
	if f == nil || !strings.HasSuffix(f.Message, "is binary, not text") {
		t.Errorf("%+v", f)
	}
}
