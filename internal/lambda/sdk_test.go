package lambda_test

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"coffer/internal/coffertest"
)

// sdk is a server with a role for functions, and the AWS SDK's client for Lambda.
type sdk struct {
	*coffertest.Server
	*lambda.Client
	role string
}

func newSDK(t *testing.T) *sdk {
	t.Helper()
	s := coffertest.Start(t, coffertest.InMemory())
	made, err := s.IAM(t).CreateRole(context.Background(), &iam.CreateRoleInput{
		RoleName:                 aws.String("runs"),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &sdk{s, lambda.NewFromConfig(s.Config(here)), *made.Role.Arn}
}

// function creates a function and gives its ARN.
func (s *sdk) function(t *testing.T, name string, layers ...string) string {
	t.Helper()
	out, err := s.CreateFunction(context.Background(), &lambda.CreateFunctionInput{
		FunctionName: &name, Role: &s.role, Runtime: types.RuntimePython312, Handler: aws.String("f.handler"), Layers: layers,
		Code: &types.FunctionCode{ZipFile: archive(t, "f.py", name)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return *out.FunctionArn
}

// wantError checks the code and text that the SDK found in an answer.
func wantError(t *testing.T, err error, code, text string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || e.ErrorMessage() != text {
		t.Errorf("\n got %v\nwant %s: %s", err, code, text)
	}
}

// Secrets Manager refuses to rotate with a function that does not let it.
func TestRotationNeedsPermission(t *testing.T) {
	t.Parallel()
	ctx, s := context.Background(), newSDK(t)
	function := s.function(t, "rotates")
	sm := s.SecretsManager(t)
	secret, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("db"), SecretString: aws.String("one")})
	if err != nil {
		t.Fatal(err)
	}
	rotate := func() error {
		_, err := sm.RotateSecret(ctx, &secretsmanager.RotateSecretInput{
			SecretId: secret.ARN, RotationLambdaARN: &function, RotateImmediately: aws.Bool(false), ClientRequestToken: aws.String("00000000-0000-0000-0000-000000000001"),
		})
		return err
	}
	const refused = "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com."
	wantError(t, rotate(), "AccessDeniedException", refused)
	add := func(sid, source string) {
		t.Helper()
		_, err := s.AddPermission(ctx, &lambda.AddPermissionInput{
			FunctionName: &function, StatementId: &sid, Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("secretsmanager.amazonaws.com"), SourceArn: &source,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	add("other", *secret.ARN+"x")
	wantError(t, rotate(), "AccessDeniedException", refused)
	add("this", *secret.ARN)
	if err := rotate(); err != nil {
		t.Error(err)
	}
	if _, err := s.RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: &function, StatementId: aws.String("this")}); err != nil {
		t.Fatal(err)
	}
	got, err := s.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: &function})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"other","Effect":"Allow","Principal":{"Service":"secretsmanager.amazonaws.com"},` +
		`"Action":"lambda:InvokeFunction","Resource":"` + function + `","Condition":{"ArnLike":{"AWS:SourceArn":"` + *secret.ARN + `x"}}}]}`
	if *got.Policy != want {
		t.Errorf("policy\n got %s\nwant %s", *got.Policy, want)
	}
}
