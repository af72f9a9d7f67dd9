package e2e_test

import (
	"errors"
	"strings"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// TestExplainRotation: the one text of AWS's for all reasons why a function cannot rotate a
// secret says none of them; `coffer explain` does.
func TestExplainRotation(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	const builtIn, function = "SecretsManagerRotationTemplate", ":function:"
	secret := v.create(t, "app", map[string]any{"password": marker + "-first"})
	v.rotate(t, secret, builtIn) // newVault wants something in functions' logs
	v.deploy(t, "closed")
	must(lambda.NewFromConfig(v.config()).RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: new("closed"), StatementId: new("rotation")}))(t)
	for _, tt := range []struct{ function, why, principal, action, resource string }{
		{"arn:aws:lambda:us-east-1:" + v.creds.Account + function + builtIn, "reason      the function is in us-east-1, the secret in eu-west-1",
			"arn:aws:iam::" + v.creds.Account + ":root", "secretsmanager:RotateSecret", secret},
		{"arn:aws:lambda:eu-west-1:111122223333" + function + builtIn, "reason      the function is of account 111122223333, the secret of " + v.creds.Account,
			"arn:aws:iam::" + v.creds.Account + ":root", "lambda:InvokeFunction", "arn:aws:lambda:eu-west-1:111122223333" + function + builtIn},
		{secret, "reason      " + secret + " is not the ARN of a Lambda function",
			"arn:aws:iam::" + v.creds.Account + ":root", "secretsmanager:RotateSecret", secret},
		{"closed", "principal  secretsmanager.amazonaws.com",
			"secretsmanager.amazonaws.com", "lambda:InvokeFunction", *v.function("closed")},
	} {
		_, err := v.sm.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: &secret, RotationLambdaARN: &tt.function})
		if err == nil || !strings.Contains(err.Error(), "cannot invoke the specified Lambda function") {
			t.Fatalf("%s: %v", tt.function, err)
		}
		var answered *awshttp.ResponseError
		errors.As(err, &answered)
		why := run(t, 0, "explain", answered.ServiceRequestID(), "--data-dir", string(v.dir))
		if !strings.Contains(why, tt.why) || !strings.HasPrefix(why, "call        secretsmanager.amazonaws.com RotateSecret") {
			t.Errorf("%s:\n%s", tt.function, why)
		}
		last := strings.Join(strings.Fields(run(t, 0, "explain", "--last", "1", "--data-dir", string(v.dir))), " ")
		if want := answered.ServiceRequestID() + " " + tt.principal + " " + tt.action + " " + tt.resource + " "; !strings.Contains(last, want) {
			t.Errorf("%s: %s\nwant %s", tt.function, last, want)
		}
	}
}
