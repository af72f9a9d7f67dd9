package server_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"coffer/internal/coffertest"
	"coffer/internal/gateway"
	"coffer/internal/server"
)

// rates limits what it names and nothing else.
func rates(of map[string]float64) coffertest.Option {
	return coffertest.With(func(c *server.Config) { c.Throttle = gateway.Throttle{Off: true, Rates: of} })
}

func wantThrottled(t *testing.T, err error, code string) {
	t.Helper()
	var e smithy.APIError
	var status *smithyhttp.ResponseError
	if !errors.As(err, &e) || !errors.As(err, &status) || e.ErrorCode() != code || e.ErrorMessage() != "Rate exceeded" || status.HTTPStatusCode() != 400 {
		t.Errorf("got %v, want %s (400): Rate exceeded", err, code)
	}
}

// A throttled call is answered in the words of its protocol, which SDKs repeat,
// and shown in the metrics.
func TestThrottledCalls(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := coffertest.Start(t, coffertest.InMemory(), rates(map[string]float64{"secretsmanager:ListSecrets": 0.001, "iam:reads": 0.001}))
	sm, users := s.SecretsManager(t), s.IAM(t)
	for i := range 12 {
		_, err := sm.ListSecrets(ctx, &secretsmanager.ListSecretsInput{})
		_, err2 := users.ListUsers(ctx, &iam.ListUsersInput{})
		if i < 10 {
			if err != nil || err2 != nil {
				t.Fatalf("call %d: %v, %v", i, err, err2)
			}
			continue
		}
		wantThrottled(t, err, "ThrottlingException")
		wantThrottled(t, err2, "Throttling")
		standard := retry.NewStandard()
		if !standard.IsErrorRetryable(err) || !standard.IsErrorRetryable(err2) {
			t.Errorf("the SDK does not repeat %v, %v", err, err2)
		}
	}
	resp, err := http.Get("http://" + s.AdminAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`coffer_calls_throttled_total{group="ListSecrets",service="secretsmanager"} 2`,
		`coffer_calls_throttled_total{group="reads",service="iam"} 2`,
	} {
		if !strings.Contains(string(page), line) {
			t.Errorf("the metrics have no line %s", line)
		}
	}
}

// What Secrets Manager asks of KMS for a caller does not count; what the caller
// asks itself does.
func TestInnerCallsDoNotCount(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := coffertest.Start(t, coffertest.InMemory(), rates(map[string]float64{"kms:symmetric": 0.001}))
	sm := s.SecretsManager(t)
	if _, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("v")}); err != nil {
		t.Fatal(err)
	}
	for range 15 {
		if _, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("s")}); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for range 11 {
		_, err = s.KMS(t).GenerateRandom(ctx, &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(8)})
	}
	wantThrottled(t, err, "ThrottlingException")
}
