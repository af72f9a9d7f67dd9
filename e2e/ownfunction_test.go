package e2e_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"io"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// TestBuiltInAsOwnFunction: this program in a package, as docs/rotation.md has it, is a function
// with variables and a role of the user's own.
func TestBuiltInAsOwnFunction(t *testing.T) {
	if testing.Short() {
		t.Skip("many steps in processes of their own")
	}
	t.Parallel()
	if out, err := coffer(t, "doctor").CombinedOutput(); err != nil {
		external(t, "functions of users do not run on this machine:\n"+string(out))
	}
	v := newVault(t)
	secret := v.create(t, "app", map[string]any{"password": marker + "-first"})
	var code bytes.Buffer
	w := zip.NewWriter(&code)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return flate.NewWriter(out, flate.BestSpeed) })
	add := func(name string, content io.Reader) {
		t.Helper()
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(0o755)
		must(io.Copy(must(w.CreateHeader(h))(t), content))(t)
	}
	program := must(os.Open(must(os.Executable())(t)))(t)
	defer program.Close()
	add("coffer", program)
	add("bootstrap", bytes.NewReader([]byte("#!/bin/sh\nexec ./coffer function \"$_HANDLER\"\n")))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	roles, name := iam.NewFromConfig(v.config()), "own"
	role := must(roles.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: new(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)}))(t).Role.Arn
	must(roles.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: new("rotate"), PolicyDocument: new(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Resource":"` + secret + `","Action":["secretsmanager:DescribeSecret","secretsmanager:GetSecretValue","secretsmanager:PutSecretValue","secretsmanager:UpdateSecretVersionStage"]},
		{"Effect":"Allow","Resource":"*","Action":["secretsmanager:GetRandomPassword","logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"]}]}`)}))(t)
	functions := lambda.NewFromConfig(v.config())
	must(functions.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: &name, Role: role, Runtime: types.RuntimeProvidedal2023, Handler: new("SecretsManagerRotationTemplate"),
		Code: &types.FunctionCode{ZipFile: code.Bytes()}, Timeout: new(int32(60)), MemorySize: new(int32(512)),
		Environment: &types.Environment{Variables: map[string]string{"PASSWORD_LENGTH": "40"}},
	}))(t)
	must(functions.AddPermission(ctx, &lambda.AddPermissionInput{
		FunctionName: &name, StatementId: new("rotation"), Action: new("lambda:InvokeFunction"), Principal: new("secretsmanager.amazonaws.com"), SourceAccount: &v.creds.Account,
	}))(t)
	if password := v.rotate(t, secret, name)["password"]; len(password) != 40 {
		t.Errorf("a password of %d characters, though the function's variable says 40", len(password))
	}
}
