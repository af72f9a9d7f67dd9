package functions_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/coffertest"
	"coffer/internal/rotator/functions"
)

// TestRun runs a function as its process does: from an environment, between a Runtime API
// and a server. RotateSecret has not been called there, and the function says so.
func TestRun(t *testing.T) {
	server := coffertest.Start(t, coffertest.InMemory())
	secret, err := server.SecretsManager(t).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("marker")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	taken, answer := false, ""
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == "POST":
			b, _ := io.ReadAll(r.Body)
			answer = r.URL.Path + " " + string(b)
			w.WriteHeader(http.StatusAccepted)
		case taken:
			cancel()
		default:
			taken = true
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "id-1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
			fmt.Fprintf(w, `{"Step":"createSecret","SecretId":%q,"ClientRequestToken":"t"}`, *secret.ARN)
		}
	}))
	defer api.Close()
	env := map[string]string{
		"AWS_LAMBDA_RUNTIME_API": strings.TrimPrefix(api.URL, "http://"), "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": server.URL(), "AWS_CA_BUNDLE": server.Dir.CA(),
		"AWS_ACCESS_KEY_ID": server.Credentials.AccessKeyID, "AWS_SECRET_ACCESS_KEY": server.Credentials.SecretAccessKey,
	}
	var log bytes.Buffer
	if err := functions.Run(ctx, "SecretsManagerRotationTemplate", lookup(env), &log); err != nil {
		t.Fatal(err)
	}
	want := `/2018-06-01/runtime/invocation/id-1/error {"errorType":"ValueError","errorMessage":"Secret ` + *secret.ARN + ` is not enabled for rotation","stackTrace":[]}`
	if answer != want {
		t.Errorf("answered %s, want %s", answer, want)
	}
	if !strings.Contains(log.String(), "[ERROR]\t") || strings.Contains(log.String(), "marker") || strings.Contains(log.String(), server.Credentials.SecretAccessKey) {
		t.Errorf("the log is %s", log.String())
	}
}

// TestEnvironment is what a function cannot start in.
func TestEnvironment(t *testing.T) {
	whole := map[string]string{"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "marker"}
	for _, tt := range []struct{ name, value, want string }{
		{"AWS_REGION", "", "AWS_REGION is not set"},
		{"AWS_SECRET_ACCESS_KEY", "", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"},
		{"AWS_CA_BUNDLE", filepath.Join(t.TempDir(), "none"), "AWS_CA_BUNDLE: open "},
		{"AWS_LAMBDA_RUNTIME_API", "", "finds no AWS_LAMBDA_RUNTIME_API"},
		{"AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1", "the Runtime API does not answer"},
	} {
		env := map[string]string{tt.name: tt.value}
		err := functions.Run(t.Context(), "SecretsManagerRotationTemplate", func(name string) (string, bool) {
			if v, ok := env[name]; ok {
				return v, true
			}
			return lookup(whole)(name)
		}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "marker") {
			t.Errorf("%s=%s: %v, want %s", tt.name, tt.value, err, tt.want)
		}
	}
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}
