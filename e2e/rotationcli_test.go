package e2e_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"coffer/internal/coffertest/check"
)

// TestRotationCommands: what `coffer rotation` says beside a rotation that goes well.
func TestRotationCommands(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	const function = "SecretsManagerRotationTemplate"
	arn := v.create(t, "app", map[string]any{"password": marker + "-first"})
	has := func(out, want string) {
		t.Helper()
		if !strings.Contains(out, want) {
			t.Errorf("got:\n%s\nwant in it: %s", out, want)
		}
	}
	has(v.run(t, 1, "rotation", "status", "none"), "coffer: there is no secret none in eu-west-1 of account "+v.creds.Account+"; --account and --region look in others")
	has(v.run(t, 1, "rotation", "run", "none"), "coffer: ResourceNotFoundException: ")
	has(v.run(t, 0, "rotation", "status", "app"), "was never configured; RotateSecret with a RotationLambdaARN does that\n")
	has(v.run(t, 1, "rotation", "run", "app"), "coffer: InvalidRequestException: ")
	has(v.run(t, 1, "rotation", "run", "--wait", "app"), "coffer: InvalidRequestException: ")

	check.Equal(t, "a list of nothing", v.run(t, 0, "rotation", "list", "--json"), "[]\n")
	v.rotate(t, arn, function)
	var started struct{ ARN, Version string }
	if err := json.Unmarshal([]byte(v.run(t, 0, "rotation", "run", "--json", "app")), &started); err != nil {
		t.Fatal(err)
	}
	check.Equal(t, "arn", started.ARN, arn)
	v.await(t, arn, started.Version)
	out := v.run(t, 0, "rotation", "run", "app")
	has(out, "app is rotating to version ")
	has(out, " rotation status app\n")
	version, _, _ := strings.Cut(strings.TrimPrefix(out, "app is rotating to version "), ";")
	v.await(t, arn, version)

	days := int64(30)
	must(v.sm.RotateSecret(ctx, &secretsmanager.RotateSecretInput{
		SecretId: &arn, RotateImmediately: new(false), RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: &days},
	}))(t)
	v.wantEvents(t, arn, "RotationStarted", "RotationSucceeded", "RotationStarted", "RotationSucceeded", "RotationStarted", "RotationSucceeded",
		"TestRotationStarted", "TestRotationSucceeded")
	out = v.run(t, 0, "rotation", "status", "app")
	has(out, "  test succeeded\n")
	has(out, "next window   ")
	out = v.run(t, 0, "rotation", "list", "--account", v.creds.Account, "--region", "eu-west-1")
	if want := regexp.MustCompile(`^SECRET +FUNCTION +NEXT +LAST\napp +` + function + ` +20\S+ \S+Z +test succeeded\n$`); !want.MatchString(out) {
		t.Errorf("coffer rotation list:\n%s", out)
	}
	check.Equal(t, "those that fail", v.run(t, 0, "rotation", "list", "--failing", "--json"), "[]\n")
	must(v.sm.CancelRotateSecret(ctx, &secretsmanager.CancelRotateSecretInput{SecretId: &arn}))(t)
	has(v.run(t, 0, "rotation", "status", arn), "off: it was cancelled\n")
}
