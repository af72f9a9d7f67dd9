package e2e_test

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/coffertest/check"
	"coffer/internal/rotator/rotatortest"
	sm "coffer/internal/secretsmanager"
)

//go:embed rotation_function.py
var pythonFunction []byte

// deploy makes a Python function, which secrets may be rotated with, of the handlers in
// rotation_function.py. It returns a way to choose among them.
func (v *vault) deploy(t *testing.T, name string) (use func(handler string, timeout int32)) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		external(t, "python3 is not there")
	}
	var code bytes.Buffer
	w := zip.NewWriter(&code)
	f := must(w.Create("index.py"))(t)
	must(f.Write(pythonFunction))(t)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	roles := iam.NewFromConfig(v.config())
	role := must(roles.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)}))(t)
	must(roles.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("rotate"), PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*"}]}`)}))(t)
	functions := lambda.NewFromConfig(v.config())
	must(functions.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: &name, Role: role.Role.Arn, Runtime: types.RuntimePython311, Handler: aws.String("index.rotate"),
		Code: &types.FunctionCode{ZipFile: code.Bytes()},
	}))(t)
	must(functions.AddPermission(ctx, &lambda.AddPermissionInput{
		FunctionName: &name, StatementId: aws.String("rotation"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("secretsmanager.amazonaws.com"),
	}))(t)
	return func(handler string, timeout int32) {
		t.Helper()
		must(functions.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &name, Handler: aws.String("index." + handler), Timeout: &timeout}))(t)
	}
}

// wantFailure waits until the first attempt of a rotation that was just asked for has
// failed in a step, and wants the secret to be as it was and the status to tell all.
func (v *vault) wantFailure(t testing.TB, secret, step, said, logged, advice string) {
	t.Helper()
	var last sm.OutcomeSummary
	eventually(t, "an attempt has ended", func() bool {
		st := v.status(t, secret)
		if len(st.Ended) == 0 {
			return false
		}
		last = st.Ended[0]
		if st.Running == nil || st.Running.Due == nil || st.Running.Attempt != 2 {
			t.Errorf("it is not tried again by itself: %+v", st.Running)
		}
		return true
	})
	if last.Result != sm.Failed || last.Step != step || !strings.Contains(last.Message, said) || !strings.Contains(last.Log, logged) || !strings.Contains(last.Advice, advice) {
		t.Errorf("it ended so:\n%+v\nwant step %s, message %q, log %q, advice %q", last, step, said, logged, advice)
	}
	text := v.run(t, 0, "rotation", "status", secret)
	for _, want := range []string{"  rotation failed in " + step + ", attempt 1\n  said    ", "\n  advice  " + last.Advice, "\n  log\n", "\nunder way  version ", "attempt 2 of 5: tried again as a whole at "} {
		if !strings.Contains(text, want) {
			t.Errorf("coffer rotation status lacks %q:\n%s", want, text)
		}
	}
}

// TestRotationFunctions: functions that misbehave in every way fail the attempt, in the
// step where they did; AWSCURRENT stays, and with a function that works the same
// rotation succeeds.
func TestRotationFunctions(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	use := v.deploy(t, "mine")
	for _, tt := range []struct {
		handler                    string
		timeout                    int32
		step, said, logged, advice string
	}{
		{"hangs", 1, "setSecret", "Task timed out after 1.00 seconds", "about to hang", "took longer than its timeout"},
		{"talks", 10, "createSecret", "Function.ResponseSizeTooLarge: Response payload size exceeded maximum allowed payload size (6291556 bytes).", "about to talk", "could not be made or stored"},
		{"exits", 10, "testSecret", "Runtime.ExitError", "about to exit", "process died"},
		{"raises", 10, "finishSecret", "ValueError: the label is stuck", "about to raise", "only the label could not be moved"},
		{"forgets", 10, "finishSecret", "the function finished without moving AWSCURRENT to the new version", "about to forget", "Have finishSecret call UpdateSecretVersionStage"},
		{"idles", 10, "finishSecret", "the version has no value: createSecret did not store one", "about to idle", "Have createSecret call PutSecretValue"},
		{"rotates", 10, "setSecret", "A previous rotation isn't complete. That rotation will be reattempted.", "about to rotate", "What setSecret is to do was not done"},
		{"is_not_there", 10, "createSecret", "Runtime.HandlerNotFound: Handler 'is_not_there' missing on module 'index'", "", "could not be made or stored"},
	} {
		t.Run(tt.handler, func(t *testing.T) {
			arn := v.create(t, tt.handler, map[string]any{"password": marker + "-first"})
			use(tt.handler, tt.timeout)
			version := *must(v.sm.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: &arn, RotationLambdaARN: v.function("mine")}))(t).VersionId
			v.wantFailure(t, arn, tt.step, tt.said, tt.logged, tt.advice)
			check.Equal(t, "the current password", v.value(t, arn, "AWSCURRENT")["password"], marker+"-first")
			check.Equal(t, "AWSPENDING", v.labels(t, arn)["AWSPENDING"], version)

			use("rotate", 10)
			out := v.run(t, 0, "rotation", "run", "--wait", arn)
			check.Equal(t, "coffer rotation run", out, tt.handler+" has rotated to version "+version+"\n")
			check.Equal(t, "the new version", v.value(t, arn, "AWSCURRENT")["version"], version)
			v.wantEvents(t, arn, "RotationStarted", "RotationSucceeded")
		})
	}
}

// TestRotationThatRestartsItself: a function that calls RotateSecret in each of its steps, the
// last one behind the move of AWSCURRENT, is refused; its rotation ends, and none follows.
func TestRotationThatRestartsItself(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	use := v.deploy(t, "mine")
	use("restarts", 10)
	arn := v.create(t, "app", map[string]any{"password": marker + "-first"})
	v.rotate(t, arn, "mine")
	v.wantEvents(t, arn, "RotationStarted", "RotationSucceeded")
	if st := v.status(t, arn); st.Running != nil || len(st.Ended) != 1 || len(st.Ended[0].Done) != 4 {
		t.Errorf("status %+v", st)
	}
	logs := cloudwatchlogs.NewFromConfig(v.config())
	eventually(t, "each call was refused", func() bool {
		out := must(logs.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String("/aws/lambda/mine"), FilterPattern: aws.String(`"refused: InvalidRequestException A previous rotation isn't complete."`),
		}))(t)
		return len(out.Events) == 4
	})
}

// TestRotationWhileDown: a database that is down fails the step that needs it. When it is
// back, the rotation goes on with the same version.
func TestRotationWhileDown(t *testing.T) {
	if testing.Short() {
		t.Skip("many steps in processes of their own")
	}
	t.Parallel()
	db, v := rotatortest.MustStartPostgres(t), newVault(t)
	db.Exec(t, `CREATE ROLE app LOGIN PASSWORD '`+marker+`-first'`)
	arn := v.create(t, "app", map[string]any{"engine": "postgres", "host": rotatortest.Host, "port": db.Port, "username": "app", "password": marker + "-first"})
	db.Stop()
	version := *must(v.sm.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: &arn, RotationLambdaARN: v.function(postgresSingle)}))(t).VersionId
	v.wantFailure(t, arn, "setSecret", "Unable to log into database", "[ERROR]", "dial: connect: connection refused. Nothing listens there")
	check.Equal(t, "the current password", v.value(t, arn, "AWSCURRENT")["password"], marker+"-first")

	out := v.run(t, 1, "rotation", "run", "--wait", arn)
	for _, want := range []string{"createSecret  done  ", "  rotation failed in setSecret, attempt 1\n", "It is tried again as a whole at ", "coffer: the rotation failed: the current value of app is what it was\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("coffer rotation run lacks %q:\n%s", want, out)
		}
	}
	db.Start(t)
	out = v.run(t, 0, "rotation", "run", "--wait", arn)
	check.Equal(t, "coffer rotation run", out, "app has rotated to version "+version+"\n")
	if _, err := db.As("app", v.value(t, arn, "AWSCURRENT")["password"], "postgres", "SELECT 1"); err != nil {
		t.Error(err)
	}
}

// TestRotationOfBadSecrets: what is wrong with a secret's value is told, and once it is
// right the secret can be rotated.
func TestRotationOfBadSecrets(t *testing.T) {
	if testing.Short() {
		t.Skip("many steps in processes of their own")
	}
	t.Parallel()
	db, v := rotatortest.MustStartPostgres(t), newVault(t)
	good := map[string]any{"engine": "postgres", "host": rotatortest.Host, "port": db.Port, "username": "app", "password": marker + "-first"}
	db.Exec(t, `CREATE ROLE app LOGIN PASSWORD '`+marker+`-first'`)
	for _, tt := range []struct{ name, value, said string }{
		{"no-json", marker + " is no JSON", "JSON"},
		{"no-object", `["` + marker + `"]`, "JSON"},
		{"no-username", `{"engine":"postgres","host":"127.0.0.1","password":"` + marker + `"}`, "username key is missing from secret JSON"},
		{"no-host", `{"engine":"postgres","username":"app","password":"` + marker + `"}`, "host key is missing from secret JSON"},
		{"another-engine", `{"engine":"mysql","host":"127.0.0.1","username":"app","password":"` + marker + `"}`, "Database engine must be set to 'postgres' in order to use this rotation lambda"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			arn := *must(v.sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &tt.name, SecretString: &tt.value}))(t).ARN
			must(v.sm.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: &arn, RotationLambdaARN: v.function(postgresSingle)}))(t)
			v.wantFailure(t, arn, "createSecret", tt.said, "[ERROR]", "The message tells why")
			got := must(v.sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn}))(t)
			check.Equal(t, "AWSCURRENT is what it was", *got.SecretString == tt.value, true)

			text := string(must(json.Marshal(good))(t))
			must(v.sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &arn, SecretString: &text}))(t)
			value := v.rotate(t, arn, "")
			if _, err := db.As("app", value["password"], "postgres", "SELECT 1"); err != nil {
				t.Error(err)
			}
			good["password"] = value["password"]
			v.wantEvents(t, arn, "RotationStarted", "RotationAbandoned", "RotationStarted", "RotationSucceeded")
		})
	}
}
