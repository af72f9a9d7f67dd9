package lambda_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"coffer/internal/api"
	"coffer/internal/coffertest"
	"coffer/internal/lambda"
	"coffer/internal/server"
)

// runner stands for the processes that functions run in: the outermost edge. It takes what
// a process would be started with, and answers by the handler's name.
type runner struct {
	mu    sync.Mutex
	runs  []ran
	then  func(lambda.Event) (*lambda.Answer, error) // nil: the payload comes back
	ended chan struct{}
}

// ran is one event that reached it.
type ran struct {
	f     lambda.Executable
	event lambda.Event
	env   map[string]string
	creds lambda.Credentials
	code  int
}

func (r *runner) Run(ctx context.Context, f *lambda.Executable, e lambda.Event) (*lambda.Answer, error) {
	n := ran{f: *f, event: e, env: make(map[string]string)}
	if f.Code != nil {
		p, err := f.Code.Open(ctx)
		if err != nil {
			return nil, err
		}
		defer p.Close()
		b, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		n.code = len(b)
	}
	env, creds, err := f.Start(ctx)
	if err != nil {
		return nil, err
	}
	for k, v := range env {
		n.env[k] = string(v)
	}
	n.creds = creds
	r.mu.Lock()
	r.runs = append(r.runs, n)
	then := r.then
	r.mu.Unlock()
	if r.ended != nil {
		defer func() { r.ended <- struct{}{} }()
	}
	if then != nil {
		return then(e)
	}
	return &lambda.Answer{Payload: e.Payload, Log: []byte("START RequestId: " + e.RequestID)}, nil
}

func (r *runner) answer(then func(lambda.Event) (*lambda.Answer, error)) {
	r.mu.Lock()
	r.then = then
	r.mu.Unlock()
}

func (r *runner) last(t testing.TB) ran {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.runs) == 0 {
		t.Fatal("nothing ran")
	}
	return r.runs[len(r.runs)-1]
}

// front is a whole server with a role that Lambda may assume.
type front struct {
	*testing.T
	*coffertest.Server
	*sdk.Client
	runner *runner
	role   string
}

const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

func newFront(t *testing.T, opts ...coffertest.Option) *front {
	t.Helper()
	f := &front{T: t, runner: &runner{}}
	f.Server = coffertest.Start(t, append([]coffertest.Option{coffertest.InMemory(), coffertest.With(func(c *server.Config) { c.Runner = f.runner })}, opts...)...)
	f.Client = f.Lambda(t)
	f.role = f.newRole("runs", trust)
	return f
}

func (f *front) newRole(name, trust string) string {
	f.Helper()
	out, err := f.IAM(f).CreateRole(f.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	if err != nil {
		f.Fatal(err)
	}
	return *out.Role.Arn
}

// newUser makes a user with a policy.
func (f *front) newUser(name, policy string) *sdk.Client {
	f.Helper()
	return sdk.NewFromConfig(f.ConfigFor("eu-west-1", f.newKeys(name, policy)))
}

func (f *front) newKeys(name, policy string) server.Credentials {
	f.Helper()
	c := f.IAM(f)
	if _, err := c.CreateUser(f.Context(), &iam.CreateUserInput{UserName: &name}); err != nil {
		f.Fatal(err)
	}
	if _, err := c.PutUserPolicy(f.Context(), &iam.PutUserPolicyInput{UserName: &name, PolicyName: new("p"), PolicyDocument: &policy}); err != nil {
		f.Fatal(err)
	}
	key, err := c.CreateAccessKey(f.Context(), &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		f.Fatal(err)
	}
	return server.Credentials{Account: f.Credentials.Account, AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey}
}

func (f *front) input(name string) *sdk.CreateFunctionInput {
	return &sdk.CreateFunctionInput{
		FunctionName: &name, Role: &f.role, Runtime: types.RuntimePython312, Handler: new("f.handler"),
		Code: &types.FunctionCode{ZipFile: archive(f, "f.py", "def handler(e, c): return e")},
	}
}

func (f *front) create(name string, set ...func(*sdk.CreateFunctionInput)) *sdk.CreateFunctionOutput {
	f.Helper()
	in := f.input(name)
	for _, s := range set {
		s(in)
	}
	out, err := f.CreateFunction(f.Context(), in)
	if err != nil {
		f.Fatal(err)
	}
	return out
}

// failed checks the code of an error, and that its text has a part.
func (f *front) failed(err error, code, text string) {
	f.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), text) {
		f.Errorf("\n got %v\nwant %s: %s", err, code, text)
	}
}

func (f *front) arn(name string) string {
	return "arn:aws:lambda:eu-west-1:" + f.Credentials.Account + ":function:" + name
}

// A function is created, run, updated, published and deleted, as an SDK sees it.
func TestFunction(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	ctx := t.Context()
	made := f.create("one", func(in *sdk.CreateFunctionInput) {
		in.Description, in.Timeout, in.MemorySize = new("first"), new(int32(30)), new(int32(256))
		in.Environment = &types.Environment{Variables: map[string]string{"MODE": "fast", "PASSWORD": "hunter2"}}
		in.Tags = map[string]string{"team": "db"}
	})
	if *made.FunctionArn != f.arn("one") || *made.Version != "$LATEST" || made.State != types.StateActive || made.Environment.Variables["MODE"] != "fast" {
		t.Errorf("made %+v", made)
	}
	out, err := f.Invoke(ctx, &sdk.InvokeInput{FunctionName: new("one"), Payload: []byte(`{"a":1}`), LogType: types.LogTypeTail})
	if err != nil {
		t.Fatal(err)
	}
	log, err := base64.StdEncoding.DecodeString(*out.LogResult)
	if err != nil || !strings.HasPrefix(string(log), "START RequestId: ") {
		t.Errorf("log %q, %v", log, err)
	}
	if string(out.Payload) != `{"a":1}` || out.StatusCode != 200 || *out.ExecutedVersion != "$LATEST" || out.FunctionError != nil {
		t.Errorf("invoked: %s, %d, %s, %v", out.Payload, out.StatusCode, *out.ExecutedVersion, out.FunctionError)
	}
	ran := f.runner.last(t)
	if ran.env["PASSWORD"] != "hunter2" || len(ran.env) != 2 || ran.code != int(made.CodeSize) {
		t.Errorf("ran with %d variables and %d bytes of code", len(ran.env), ran.code)
	}
	if ran.f.Timeout.Seconds() != 30 || ran.f.Memory != 256 || ran.f.Storage != 512 || ran.f.LogGroup != "/aws/lambda/one" || ran.event.InvokedARN != f.arn("one") {
		t.Errorf("ran as %+v", ran.event)
	}

	updated, err := f.UpdateFunctionConfiguration(ctx, &sdk.UpdateFunctionConfigurationInput{FunctionName: new("one"), Timeout: new(int32(60))})
	if err != nil {
		t.Fatal(err)
	}
	if *updated.Timeout != 60 || *updated.MemorySize != 256 || *updated.RevisionId == *made.RevisionId || updated.Environment.Variables["MODE"] != "fast" {
		t.Errorf("updated: %+v", updated)
	}
	if _, err := f.UpdateFunctionConfiguration(ctx, &sdk.UpdateFunctionConfigurationInput{FunctionName: new("one"), Timeout: new(int32(61)), RevisionId: made.RevisionId}); err == nil {
		t.Error("an old revision was updated")
	} else {
		f.failed(err, "PreconditionFailedException", "does not match the latest Revision Id")
	}
	v1, err := f.PublishVersion(ctx, &sdk.PublishVersionInput{FunctionName: new("one"), Description: new("v1"), CodeSha256: made.CodeSha256})
	if err != nil {
		t.Fatal(err)
	}
	if *v1.Version != "1" || *v1.FunctionArn != f.arn("one:1") || *v1.Description != "v1" {
		t.Errorf("published %s as %s", *v1.Version, *v1.FunctionArn)
	}
	if again, err := f.PublishVersion(ctx, &sdk.PublishVersionInput{FunctionName: new("one")}); err != nil || *again.Version != "1" {
		t.Errorf("published without a change: %v, %v", again, err)
	}
	code, err := f.UpdateFunctionCode(ctx, &sdk.UpdateFunctionCodeInput{FunctionName: new("one"), ZipFile: archive(t, "f.py", "other"), Publish: true})
	if err != nil {
		t.Fatal(err)
	}
	if *code.Version != "2" || *code.CodeSha256 == *made.CodeSha256 {
		t.Errorf("code: version %s", *code.Version)
	}
	for _, q := range []struct{ qualifier, sum string }{{"1", *made.CodeSha256}, {"2", *code.CodeSha256}, {"$LATEST", *code.CodeSha256}} {
		got, err := f.GetFunction(ctx, &sdk.GetFunctionInput{FunctionName: new("one"), Qualifier: &q.qualifier})
		if err != nil || *got.Configuration.CodeSha256 != q.sum || *got.Configuration.FunctionArn != f.arn("one:"+q.qualifier) || got.Tags["team"] != "db" {
			t.Errorf("version %s: %+v, %v", q.qualifier, got, err)
		}
		c, err := f.GetFunctionConfiguration(ctx, &sdk.GetFunctionConfigurationInput{FunctionName: new(f.arn("one:" + q.qualifier))})
		if err != nil || *c.CodeSha256 != q.sum {
			t.Errorf("configuration of %s: %v", q.qualifier, err)
		}
	}
	if out, err := f.Invoke(ctx, &sdk.InvokeInput{FunctionName: new("one:1")}); err != nil || *out.ExecutedVersion != "1" || string(out.Payload) != "{}" {
		t.Errorf("version 1: %v, %v", out, err)
	}
	if ran := f.runner.last(t); ran.event.InvokedARN != f.arn("one:1") || ran.f.Version != "1" || ran.code != int(made.CodeSize) {
		t.Errorf("version 1 ran as %s", ran.event.InvokedARN)
	}

	if _, err := f.DeleteFunction(ctx, &sdk.DeleteFunctionInput{FunctionName: new("one"), Qualifier: new("1")}); err != nil {
		t.Fatal(err)
	}
	versions, err := f.ListVersionsByFunction(ctx, &sdk.ListVersionsByFunctionInput{FunctionName: new("one")})
	if err != nil || len(versions.Versions) != 2 || *versions.Versions[1].Version != "2" {
		t.Errorf("versions %v, %v", versions, err)
	}
	if _, err := f.DeleteFunction(ctx, &sdk.DeleteFunctionInput{FunctionName: new("one")}); err != nil {
		t.Fatal(err)
	}
	_, err = f.GetFunction(ctx, &sdk.GetFunctionInput{FunctionName: new("one")})
	f.failed(err, "ResourceNotFoundException", "Function not found: "+f.arn("one"))
	_, err = f.Invoke(ctx, &sdk.InvokeInput{FunctionName: new("one")})
	f.failed(err, "ResourceNotFoundException", "Function not found: "+f.arn("one"))
}

func TestListFunctions(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	var want []string
	for i := range 5 {
		name := fmt.Sprint("f", i)
		f.create(name, func(in *sdk.CreateFunctionInput) { in.Publish = i%2 == 0 })
		want = append(want, f.arn(name)+":$LATEST")
		if i%2 == 0 {
			want = append(want, f.arn(name)+":1")
		}
	}
	for size := int32(1); size <= 9; size++ {
		var got []string
		pages := sdk.NewListFunctionsPaginator(f, &sdk.ListFunctionsInput{MaxItems: &size, FunctionVersion: types.FunctionVersionAll})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Functions) > int(size) {
				t.Errorf("a page of %d has %d", size, len(page.Functions))
			}
			for _, c := range page.Functions {
				got = append(got, *c.FunctionArn)
			}
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("pages of %d:\n%s", size, strings.Join(got, "\n"))
		}
	}
	out, err := f.ListFunctions(t.Context(), &sdk.ListFunctionsInput{})
	if err != nil || len(out.Functions) != 5 || *out.Functions[0].FunctionArn != f.arn("f0") {
		t.Errorf("functions: %v, %v", out, err)
	}
	_, err = f.ListFunctions(t.Context(), &sdk.ListFunctionsInput{Marker: new("bm9uZQ")})
	f.failed(err, "InvalidParameterValueException", "The marker is not valid.")
}

// What is wrong with a function is said as AWS does.
func TestCreateFunctionRefuses(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	untrusting := f.newRole("untrusting", strings.Replace(trust, "lambda", "ec2", 1))
	f.create("taken")
	for _, tc := range []struct {
		rule       string
		set        func(*sdk.CreateFunctionInput)
		code, text string
	}{
		{"a name that is taken", func(in *sdk.CreateFunctionInput) { in.FunctionName = new("taken") }, "ResourceConflictException", "Function already exist: taken"},
		{"no handler", func(in *sdk.CreateFunctionInput) { in.Handler = nil }, "InvalidParameterValueException", "Runtime and Handler are mandatory parameters for functions created with deployment packages."},
		{"an image", func(in *sdk.CreateFunctionInput) { in.PackageType = types.PackageTypeImage }, "InvalidParameterValueException", "does not run container images"},
		{"a handler with a zero byte", func(in *sdk.CreateFunctionInput) { in.Handler = new("f.handler\x00--bind\x00/\x00/h") }, "ValidationException", "at 'handler' failed to satisfy constraint"},
		{"S3", func(in *sdk.CreateFunctionInput) {
			in.Code = &types.FunctionCode{S3Bucket: new("bucket"), S3Key: new("key")}
		}, "InvalidParameterValueException", "Coffer has no S3"},
		{"no code", func(in *sdk.CreateFunctionInput) { in.Code = &types.FunctionCode{} }, "InvalidParameterValueException", "Please provide a source for function code."},
		{"no zip file", func(in *sdk.CreateFunctionInput) { in.Code.ZipFile = []byte("PK not at all") }, "InvalidParameterValueException", "Could not unzip uploaded file."},
		{"a way out of the package", func(in *sdk.CreateFunctionInput) { in.Code.ZipFile = archive(t, "../f.py", "") }, "InvalidParameterValueException", "Could not unzip uploaded file."},
		{"a role that does not trust Lambda", func(in *sdk.CreateFunctionInput) { in.Role = &untrusting }, "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda."},
		{"no such role", func(in *sdk.CreateFunctionInput) { in.Role = new(f.role + "x") }, "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda."},
		{"a role of another account", func(in *sdk.CreateFunctionInput) { in.Role = new("arn:aws:iam::999999999999:role/r") }, "AccessDeniedException", "Cross-account pass role is not allowed."},
		{"a timeout", func(in *sdk.CreateFunctionInput) { in.Timeout = new(int32(901)) }, "ValidationException", "Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900"},
		{"too much memory", func(in *sdk.CreateFunctionInput) { in.MemorySize = new(int32(10241)) }, "InvalidParameterValueException", "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to 10240"},
		{"a runtime", func(in *sdk.CreateFunctionInput) { in.Runtime = types.RuntimeJava21 }, "InvalidParameterValueException", "java21 is not one that Coffer runs"},
		{"a reserved variable", func(in *sdk.CreateFunctionInput) {
			in.Environment = &types.Environment{Variables: map[string]string{"AWS_REGION": "x", "ANY": "y"}}
		}, "InvalidParameterValueException", "Reserved keys used in this request: AWS_REGION"},
		{"too large variables", func(in *sdk.CreateFunctionInput) {
			in.Environment = &types.Environment{Variables: map[string]string{"BIG": strings.Repeat("x", 4096)}}
		}, "InvalidParameterValueException", "exceeded the 4KB limit."},
		{"a key that is not there", func(in *sdk.CreateFunctionInput) {
			in.Environment = &types.Environment{Variables: map[string]string{"ANY": "y"}}
			in.KMSKeyArn = new("arn:aws:kms:eu-west-1:" + f.Credentials.Account + ":key/0c1d2e3f-0000-4000-8000-000000000000")
		}, "InvalidParameterValueException", "KMS Exception: NotFoundException"},
		{"a long name", func(in *sdk.CreateFunctionInput) { in.FunctionName = new(strings.Repeat("n", 65)) }, "ValidationException", "Member must have length less than or equal to 64"},
		{"a qualified name", func(in *sdk.CreateFunctionInput) { in.FunctionName = new("f:1") }, "InvalidParameterValueException", "permitted on Lambda functions only"},
		{"another region", func(in *sdk.CreateFunctionInput) {
			in.FunctionName = new(strings.Replace(f.arn("f"), "eu-west-1", "us-east-1", 1))
		}, "ResourceNotFoundException", "Functions from 'us-east-1' are not reachable in this region ('eu-west-1')"},
		{"a dead-letter queue", func(in *sdk.CreateFunctionInput) {
			in.DeadLetterConfig = &types.DeadLetterConfig{TargetArn: new("arn:aws:sqs:eu-west-1:111122223333:q")}
		}, "InvalidParameterValueException", "dead-letter queues"},
		{"tags of AWS", func(in *sdk.CreateFunctionInput) { in.Tags = map[string]string{"aws:x": "y"} }, "InvalidParameterValueException", "aws:"},
	} {
		in := f.input("new")
		tc.set(in)
		_, err := f.CreateFunction(t.Context(), in)
		t.Run(tc.rule, func(t *testing.T) { (&front{T: t}).failed(err, tc.code, tc.text) })
	}
	out, err := f.ListFunctions(t.Context(), &sdk.ListFunctionsInput{})
	if err != nil || len(out.Functions) != 1 {
		t.Errorf("functions afterwards: %v, %v", out, err)
	}
}

// A large package is stored in pieces and given back whole; one beyond the limit is refused.
func TestLargePackage(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	big := make([]byte, 3<<20)
	for i := range big {
		big[i] = byte(i * i >> 7) // does not compress to nothing
	}
	out := f.create("big", func(in *sdk.CreateFunctionInput) { in.Code.ZipFile = stored(t, "f.py", big) })
	if out.CodeSize < 3<<20 {
		t.Fatalf("it has %d bytes", out.CodeSize)
	}
	if _, err := f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: new("big")}); err != nil {
		t.Fatal(err)
	}
	if n := f.runner.last(t).code; n != int(out.CodeSize) {
		t.Errorf("%d of %d bytes came back", n, out.CodeSize)
	}
	in := f.input("toobig")
	in.Code.ZipFile = make([]byte, 60<<20)
	_, err := f.CreateFunction(t.Context(), in)
	f.failed(err, "RequestEntityTooLargeException", "Request must be smaller than 69905067 bytes for the CreateFunction operation")
}

// iam:PassRole is needed for the role, and can be bound to the service.
func TestPassRole(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	const may = `{"Effect":"Allow","Action":"lambda:*","Resource":"*"}`
	pass := func(service string) string {
		return `{"Effect":"Allow","Action":"iam:PassRole","Resource":"` + f.role + `","Condition":{"StringEquals":{"iam:PassedToService":"` + service + `"}}}`
	}
	for _, tc := range []struct {
		user, statements string
		allowed          bool
	}{
		{"without", may, false},
		{"elsewhere", may + "," + pass("ec2.amazonaws.com"), false},
		{"with", may + "," + pass("lambda.amazonaws.com"), true},
	} {
		c := f.newUser(tc.user, `{"Version":"2012-10-17","Statement":[`+tc.statements+`]}`)
		_, err := c.CreateFunction(t.Context(), f.input("by-"+tc.user))
		if tc.allowed != (err == nil) {
			t.Errorf("%s: %v", tc.user, err)
		}
		if !tc.allowed {
			f.failed(err, "AccessDeniedException", "is not authorized to perform: iam:PassRole on resource: "+f.role)
		}
		// What does not touch the role does not need it.
		f.create("of-" + tc.user)
		if _, err := c.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{FunctionName: new("of-" + tc.user), Timeout: new(int32(9))}); err != nil {
			t.Errorf("%s: %v", tc.user, err)
		}
	}
}

// Variables are under a KMS key: who may not use it does not see them, and a role that
// may not cannot run with them.
func TestVariables(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	ctx := t.Context()
	key, err := f.KMS(t).CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	f.create("sealed", func(in *sdk.CreateFunctionInput) {
		in.Environment = &types.Environment{Variables: map[string]string{"PASSWORD": "hunter2"}}
		in.KMSKeyArn = key.KeyMetadata.Arn
	})
	reader := f.newUser("reader", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:GetFunction*","Resource":"*"}]}`)
	got, err := reader.GetFunctionConfiguration(ctx, &sdk.GetFunctionConfigurationInput{FunctionName: new("sealed")})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Environment.Variables) != 0 || got.Environment.Error == nil || *got.Environment.Error.ErrorCode != "AccessDeniedException" {
		t.Errorf("a reader sees %d variables and the error %v", len(got.Environment.Variables), got.Environment.Error)
	}
	_, err = f.Invoke(ctx, &sdk.InvokeInput{FunctionName: new("sealed")})
	f.failed(err, "KMSAccessDeniedException", "Lambda was unable to decrypt the environment variables because KMS access was denied.")
	_, err = f.IAM(t).PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("runs"), PolicyName: new("p"), PolicyDocument: new(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Decrypt","Resource":"` + *key.KeyMetadata.Arn +
			`","Condition":{"StringEquals":{"kms:EncryptionContext:aws:lambda:FunctionArn":"` + f.arn("sealed") + `","kms:ViaService":"lambda.eu-west-1.amazonaws.com"}}}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Invoke(ctx, &sdk.InvokeInput{FunctionName: new("sealed")}); err != nil {
		t.Fatal(err)
	}
	if f.runner.last(t).env["PASSWORD"] != "hunter2" {
		t.Error("the function did not get its variable")
	}
	// Another key, the same variables; then none.
	if _, err := f.UpdateFunctionConfiguration(ctx, &sdk.UpdateFunctionConfigurationInput{FunctionName: new("sealed"), KMSKeyArn: new("")}); err != nil {
		t.Fatal(err)
	}
	if got, err := reader.GetFunctionConfiguration(ctx, &sdk.GetFunctionConfigurationInput{FunctionName: new("sealed")}); err != nil || got.Environment.Variables["PASSWORD"] != "hunter2" || got.KMSKeyArn != nil {
		t.Errorf("under the default key: %v, %v", got, err)
	}
	out, err := f.UpdateFunctionConfiguration(ctx, &sdk.UpdateFunctionConfigurationInput{FunctionName: new("sealed"), Environment: &types.Environment{Variables: map[string]string{}}})
	if err != nil || out.Environment != nil {
		t.Errorf("without variables: %v, %v", out, err)
	}
}

// A process gets a session of the role, named like the function.
func TestCredentials(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.create("who")
	if _, err := f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: new("who")}); err != nil {
		t.Fatal(err)
	}
	c := f.runner.last(t).creds
	cfg := f.ConfigFor("eu-west-1", server.Credentials{})
	cfg.Credentials = session{c}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || *who.Arn != "arn:aws:sts::"+f.Credentials.Account+":assumed-role/runs/who" {
		t.Errorf("it is %v, %v", who, err)
	}
}

func TestInvoke(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	ctx := t.Context()
	f.create("f")
	invoke := func(set func(*sdk.InvokeInput)) (*sdk.InvokeOutput, error) {
		in := &sdk.InvokeInput{FunctionName: new("f")}
		set(in)
		return f.Invoke(ctx, in)
	}
	dry, err := invoke(func(in *sdk.InvokeInput) { in.InvocationType = types.InvocationTypeDryRun })
	if err != nil || dry.StatusCode != 204 || len(f.runner.runs) != 0 {
		t.Errorf("a dry run: %v, %v, and %d ran", dry, err, len(f.runner.runs))
	}
	for _, tc := range []struct {
		rule       string
		then       error
		set        func(*sdk.InvokeInput)
		code, text string
	}{
		{"no JSON", nil, func(in *sdk.InvokeInput) { in.Payload = []byte("{") }, "InvalidRequestContentException", "Could not parse request body into json"},
		{"too large", nil, func(in *sdk.InvokeInput) { in.Payload = make([]byte, 6<<20+1) }, "RequestTooLargeException", "Request must be smaller than 6291456 bytes for the InvokeFunction operation"},
		{"too large to queue", nil, func(in *sdk.InvokeInput) {
			in.InvocationType, in.Payload = types.InvocationTypeEvent, []byte(`"`+strings.Repeat("x", 256<<10)+`"`)
		}, "RequestTooLargeException", "262146 byte payload is too large for the Event invocation type (limit 262144 bytes)"},
		{"a context that is none", nil, func(in *sdk.InvokeInput) { in.ClientContext = new("%") }, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object."},
		{"no such version", nil, func(in *sdk.InvokeInput) { in.Qualifier = new("7") }, "ResourceNotFoundException", "Function not found: " + f.arn("f:7")},
		{"two qualifiers", nil, func(in *sdk.InvokeInput) { in.FunctionName, in.Qualifier = new("f:1"), new("2") }, "InvalidParameterValueException", "does not match the specified qualifier"},
		{"busy", lambda.ErrThrottled, func(*sdk.InvokeInput) {}, "TooManyRequestsException", "Rate Exceeded."},
		{"off", fmt.Errorf("%w: as configured", lambda.ErrOff), func(*sdk.InvokeInput) {}, "InvalidParameterValueException", "Functions are switched off"},
		{"code that cannot be unpacked", &lambda.CodeError{Text: "a bomb"}, func(*sdk.InvokeInput) {}, "InvalidZipFileException", "a bomb"},
		{"a machine without the runtime", &lambda.RuntimeError{Text: "no Python"}, func(*sdk.InvokeInput) {}, "InvalidRuntimeException", "no Python"},
	} {
		f.runner.answer(func(lambda.Event) (*lambda.Answer, error) { return nil, tc.then })
		_, err := invoke(tc.set)
		t.Run(tc.rule, func(t *testing.T) { (&front{T: t}).failed(err, tc.code, tc.text) })
	}
	f.runner.answer(func(lambda.Event) (*lambda.Answer, error) {
		return &lambda.Answer{Failed: true, Payload: []byte(`{"errorMessage":"no"}`)}, nil
	})
	out, err := invoke(func(*sdk.InvokeInput) {})
	if err != nil || out.StatusCode != 200 || *out.FunctionError != "Unhandled" || string(out.Payload) != `{"errorMessage":"no"}` {
		t.Errorf("a function that fails: %v, %v", out, err)
	}
	f.runner.answer(nil)
	if _, err := invoke(func(in *sdk.InvokeInput) {
		in.ClientContext = new(base64.StdEncoding.EncodeToString([]byte(`{"a":1}`)))
	}); err != nil || f.runner.last(t).event.ClientContext != `{"a":1}` {
		t.Errorf("a client context: %v", err)
	}
	if _, err := f.PutFunctionConcurrency(ctx, &sdk.PutFunctionConcurrencyInput{FunctionName: new("f"), ReservedConcurrentExecutions: new(int32(0))}); err != nil {
		t.Fatal(err)
	}
	_, err = invoke(func(*sdk.InvokeInput) {})
	busy, ok := errors.AsType[*types.TooManyRequestsException](err)
	if !ok || busy.Reason != types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded {
		t.Errorf("switched off by its owner: %v", err)
	}
}

// Events are delivered later, and again if the function fails.
func TestEvents(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.runner.ended = make(chan struct{}, 8)
	f.create("f")
	out, err := f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: new("f"), InvocationType: types.InvocationTypeEvent, Payload: []byte(`{"n":1}`)})
	if err != nil || out.StatusCode != 202 || len(out.Payload) != 0 {
		t.Fatalf("%v, %v", out, err)
	}
	<-f.runner.ended
	if ran := f.runner.last(t); string(ran.event.Payload) != `{"n":1}` || ran.event.InvokedARN != f.arn("f") {
		t.Errorf("it got %s", ran.event.Payload)
	}
}

// session is the credentials of a process, for an SDK.
type session struct{ c lambda.Credentials }

// RotateSecret succeeds exactly when Secrets Manager may invoke the function and its
// caller may, too.
func TestRotateSecretChecksTheFunction(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	ctx := t.Context()
	f.create("rotate")
	sm := f.SecretsManager(t)
	secret, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: new("v")})
	if err != nil {
		t.Fatal(err)
	}
	in := func(function string) *secretsmanager.RotateSecretInput {
		return &secretsmanager.RotateSecretInput{SecretId: secret.ARN, RotationLambdaARN: &function, RotateImmediately: new(false)}
	}
	const text = "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com."
	_, err = sm.RotateSecret(ctx, in(f.arn("none")))
	f.failed(err, "AccessDeniedException", text)
	_, err = sm.RotateSecret(ctx, in(f.arn("rotate")))
	f.failed(err, "AccessDeniedException", text)
	allow := func(account string, id string) {
		t.Helper()
		_, err := f.AddPermission(ctx, &sdk.AddPermissionInput{
			FunctionName: new("rotate"), StatementId: &id, Action: new("lambda:InvokeFunction"), Principal: new("secretsmanager.amazonaws.com"), SourceAccount: &account,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	allow("999999999999", "others")
	_, err = sm.RotateSecret(ctx, in(f.arn("rotate")))
	f.failed(err, "AccessDeniedException", text)
	allow(f.Credentials.Account, "ours")
	const rotate = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["secretsmanager:*"%s],"Resource":"*"}]}`
	cannot := secretsmanager.NewFromConfig(f.ConfigFor("eu-west-1", f.newKeys("cannot", fmt.Sprintf(rotate, ""))))
	_, err = cannot.RotateSecret(ctx, in(f.arn("rotate")))
	f.failed(err, "AccessDeniedException", text)
	can := secretsmanager.NewFromConfig(f.ConfigFor("eu-west-1", f.newKeys("can", fmt.Sprintf(rotate, `,"lambda:InvokeFunction"`))))
	if _, err := can.RotateSecret(ctx, in(f.arn("rotate"))); err != nil {
		t.Error(err)
	}
	// A qualifier takes a permission of its own.
	if _, err := f.PublishVersion(ctx, &sdk.PublishVersionInput{FunctionName: new("rotate")}); err != nil {
		t.Fatal(err)
	}
	// Of another secret: the first may still be at work on what it was asked.
	if secret, err = sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s2"), SecretString: new("v")}); err != nil {
		t.Fatal(err)
	}
	_, err = can.RotateSecret(ctx, in(f.arn("rotate:1")))
	f.failed(err, "AccessDeniedException", text)
}

// The system writes the logs of functions. Who chooses the group must be allowed to write
// there, but for the function's own.
func TestLogGroupIsOneThatTheCallerMayWriteTo(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	const may = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["lambda:*","iam:PassRole"],"Resource":"*"}%s]}`
	group := "arn:aws:logs:eu-west-1:" + f.Credentials.Account + ":log-group:/audit:"
	writes := func(on, action string) string {
		return fmt.Sprintf(`,{"Effect":"Allow","Action":"logs:%s","Resource":"%s"}`, action, on)
	}
	stream, events := writes(group+"*", "CreateLogStream"), writes(group+"log-stream:*", "PutLogEvents")
	to := func(group string) *types.LoggingConfig { return &types.LoggingConfig{LogGroup: &group} }
	for i, tc := range []struct {
		rule, policy, group, refused string
	}{
		{"its own", "", "", ""},
		{"without permission", "", "/audit", "logs:CreateLogStream"},
		{"streams only", stream, "/audit", "logs:PutLogEvents"},
		{"both", stream + events, "/audit", ""},
		{"another group", stream + events, "/audit2", "logs:CreateLogStream"},
	} {
		name := fmt.Sprintf("f%d", i)
		if tc.group == "" {
			tc.group = "/aws/lambda/" + name
		}
		c := sdk.NewFromConfig(f.ConfigFor("eu-west-1", f.newKeys("dev"+name, fmt.Sprintf(may, tc.policy))))
		in := f.input(name)
		in.LoggingConfig = to(tc.group)
		_, created := c.CreateFunction(t.Context(), in)
		if created != nil {
			f.create(name)
		}
		_, updated := c.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{FunctionName: &name, LoggingConfig: to(tc.group)})
		for _, err := range []error{created, updated} {
			if tc.refused == "" {
				if err != nil {
					t.Errorf("%s: %v", tc.rule, err)
				}
				continue
			}
			f.failed(err, "AccessDeniedException", "is not authorized to perform: "+tc.refused)
		}
	}
}

// Functions that come with Coffer are there and run, with a role of their own.
func TestBuiltIn(t *testing.T) {
	t.Parallel()
	f := newFront(t, coffertest.With(func(c *server.Config) {
		c.BuiltIns = []lambda.BuiltIn{{Name: "Rotator", Description: "rotates", Timeout: 30e9, Memory: 128, Modified: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
		c.BuiltInPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:GetRandomPassword","Resource":"*"}]}`
	}))
	ctx := t.Context()
	got, err := f.GetFunction(ctx, &sdk.GetFunctionInput{FunctionName: new("Rotator")})
	if err != nil || *got.Configuration.FunctionArn != f.arn("Rotator") || *got.Configuration.Timeout != 30 {
		t.Errorf("it is %v, %v", got, err)
	}
	if !strings.HasSuffix(*got.Configuration.Role, ":role/aws-service-role/lambda.amazonaws.com/AWSServiceRoleForCofferRotation") || !strings.HasPrefix(*got.Configuration.LastModified, "2026-01-02T") {
		t.Errorf("role %s, modified %s", *got.Configuration.Role, *got.Configuration.LastModified)
	}
	if out, err := f.ListFunctions(ctx, &sdk.ListFunctionsInput{}); err != nil || len(out.Functions) != 0 {
		t.Errorf("it is listed: %v, %v", out, err)
	}
	_, err = f.UpdateFunctionConfiguration(ctx, &sdk.UpdateFunctionConfigurationInput{FunctionName: new("Rotator"), Timeout: new(int32(3))})
	f.failed(err, "InvalidParameterValueException", "comes with Coffer and cannot be changed")
	_, err = f.Invoke(ctx, &sdk.InvokeInput{FunctionName: new("Rotator")})
	f.failed(err, "InvalidParameterValueException", "invoked by Secrets Manager only: call RotateSecret")
	invoked := make(chan struct{}, 16)
	f.runner.answer(func(lambda.Event) (*lambda.Answer, error) {
		invoked <- struct{}{}
		return &lambda.Answer{Failed: true, Payload: []byte("{}")}, nil
	})
	for _, name := range []string{"r1", "r2"} { // the role is made once
		if _, err := f.SecretsManager(t).CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: new("v")}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.SecretsManager(t).RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: &name, RotationLambdaARN: new(f.arn("Rotator"))}); err != nil {
			t.Fatal(err)
		}
		<-invoked
	}
	ran := f.runner.last(t)
	if !ran.f.BuiltIn || ran.f.Handler != "Rotator" || ran.f.Code != nil || ran.f.Timeout.Seconds() != 30 {
		t.Errorf("it ran as %+v", ran.f)
	}
	cfg := f.ConfigFor("eu-west-1", server.Credentials{})
	cfg.Credentials = session{ran.creds}
	if _, err := secretsmanager.NewFromConfig(cfg).GetRandomPassword(ctx, &secretsmanager.GetRandomPasswordInput{}); err != nil {
		t.Errorf("its role: %v", err)
	}
	if _, err := secretsmanager.NewFromConfig(cfg).ListSecrets(ctx, &secretsmanager.ListSecretsInput{}); err == nil {
		t.Error("its role allows more than its policy")
	}
	// Nobody else can take that role.
	_, err = f.CreateFunction(ctx, func() *sdk.CreateFunctionInput {
		in := f.input("thief")
		in.Role = new("arn:aws:iam::" + f.Credentials.Account + ":role/aws-service-role/lambda.amazonaws.com/AWSServiceRoleForCofferRotation")
		return in
	}())
	f.failed(err, "InvalidParameterValueException", "cannot be assumed by Lambda")
	sm := f.SecretsManager(t)
	secret, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: new("v")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sm.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: secret.ARN, RotationLambdaARN: new(f.arn("Rotator")), RotateImmediately: new(false)}); err != nil {
		t.Errorf("a secret cannot rotate by it: %v", err)
	}
	// Nobody can take its name, and with that the rotations of others.
	_, err = f.CreateFunction(ctx, f.input("Rotator"))
	f.failed(err, "ResourceConflictException", "Function already exist: Rotator")
}

// Who may make roles cannot have the policy of the built-in functions' role put on one of
// theirs: names of roles are the same in any case.
func TestBuiltInRoleIsNobodysOwn(t *testing.T) {
	t.Parallel()
	f := newFront(t, coffertest.With(func(c *server.Config) {
		c.BuiltIns = []lambda.BuiltIn{{Name: "Rotator", Description: "rotates", Timeout: 30e9, Memory: 128}}
		c.BuiltInPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*"}]}`
	}))
	ctx := t.Context()
	keys := f.newKeys("mallory", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:CreateRole","Resource":"*"}]}`)
	user := "arn:aws:iam::" + f.Credentials.Account + ":user/mallory"
	_, err := iam.NewFromConfig(f.ConfigFor("eu-west-1", keys)).CreateRole(ctx, &iam.CreateRoleInput{
		RoleName:                 new("awsServiceRoleForCofferRotation"),
		AssumeRolePolicyDocument: new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + user + `","Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`),
	})
	f.failed(err, "InvalidInput", "reserved for service-linked roles")

	invoked := make(chan struct{}, 16)
	f.runner.answer(func(lambda.Event) (*lambda.Answer, error) {
		invoked <- struct{}{}
		return &lambda.Answer{Failed: true, Payload: []byte("{}")}, nil
	})
	sm := f.SecretsManager(t)
	if _, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: new("hidden")}); err != nil {
		t.Fatal(err)
	}
	if _, err := sm.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: new("s"), RotationLambdaARN: new(f.arn("Rotator"))}); err != nil {
		t.Fatal(err)
	}
	<-invoked
	taken, err := sts.NewFromConfig(f.ConfigFor("eu-west-1", keys)).AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn: new("arn:aws:iam::" + f.Credentials.Account + ":role/awsServiceRoleForCofferRotation"), RoleSessionName: new("mallory"),
	})
	if err != nil {
		return
	}
	cfg := f.ConfigFor("eu-west-1", server.Credentials{})
	cfg.Credentials = session{lambda.Credentials{
		AccessKeyID: *taken.Credentials.AccessKeyId, SecretAccessKey: api.Sensitive(*taken.Credentials.SecretAccessKey), SessionToken: api.Sensitive(*taken.Credentials.SessionToken),
	}}
	v, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("s")})
	t.Errorf("mallory took the role; a secret: %v (%v)", v != nil && *v.SecretString == "hidden", err)
}

// A function that was there before Coffer had a built-in one of its name stays what it was.
func TestBuiltInTakesNoName(t *testing.T) {
	t.Parallel()
	dir := server.Dir(t.TempDir())
	if err := os.Chmod(string(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	having := func(name string) coffertest.Option {
		return coffertest.With(func(c *server.Config) {
			c.Store, c.Dir = nil, dir
			c.BuiltIns = []lambda.BuiltIn{{Name: name, Description: "rotates", Timeout: 30e9, Memory: 128}}
		})
	}
	old := newFront(t, having("Other"))
	old.create("Rotator")
	old.Stop(t)
	f := &front{T: t, runner: &runner{}, role: old.role}
	f.Server = coffertest.Start(t, having("Rotator"), coffertest.With(func(c *server.Config) { c.Runner = f.runner }))
	f.Client = f.Lambda(t)
	ctx := t.Context()
	if _, err := f.Invoke(ctx, &sdk.InvokeInput{FunctionName: new("Rotator")}); err != nil || f.runner.last(t).f.BuiltIn {
		t.Errorf("the user's function did not run: %v", err)
	}
	if _, err := f.UpdateFunctionConfiguration(ctx, &sdk.UpdateFunctionConfigurationInput{FunctionName: new("Rotator"), Timeout: new(int32(9))}); err != nil {
		t.Errorf("it cannot be changed: %v", err)
	}
	if _, err := f.DeleteFunction(ctx, &sdk.DeleteFunctionInput{FunctionName: new("Rotator")}); err != nil {
		t.Fatal(err)
	}
	if got, err := f.GetFunction(ctx, &sdk.GetFunctionInput{FunctionName: new("Rotator")}); err != nil || *got.Configuration.Description != "rotates" {
		t.Errorf("after it is deleted: %v, %v", got, err)
	}
}

// Retrieve implements aws.CredentialsProvider.
func (s session) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: s.c.AccessKeyID, SecretAccessKey: string(s.c.SecretAccessKey), SessionToken: string(s.c.SessionToken)}, nil
}

// stored is a package of one file that is not compressed.
func stored(t testing.TB, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	if err == nil {
		_, err = f.Write(content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A rotation reaches the function as Secrets Manager's worker invokes it.
func TestRotationInvokes(t *testing.T) {
	t.Parallel()
	f := newFront(t, coffertest.With(func(c *server.Config) {
		c.BuiltIns = []lambda.BuiltIn{{Name: "Rotator", Timeout: 30e9, Memory: 128}}
		c.BuiltInPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*"}]}`
	}))
	ctx := t.Context()
	sm := f.SecretsManager(t)
	secret, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: new("old")})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	f.runner.answer(func(e lambda.Event) (*lambda.Answer, error) {
		var step struct{ Step, SecretId, ClientRequestToken string }
		if err := json.Unmarshal(e.Payload, &step); err != nil {
			t.Error(err)
		}
		cfg := f.ConfigFor("eu-west-1", server.Credentials{})
		cfg.Credentials = session{f.runner.last(t).creds}
		own := secretsmanager.NewFromConfig(cfg)
		var err error
		switch step.Step {
		case "createSecret":
			_, err = own.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &step.SecretId, ClientRequestToken: &step.ClientRequestToken, SecretString: new("fresh"), VersionStages: []string{"AWSPENDING"}})
		case "finishSecret":
			defer close(done)
			_, err = own.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{SecretId: &step.SecretId, VersionStage: new("AWSCURRENT"), MoveToVersionId: &step.ClientRequestToken, RemoveFromVersionId: secret.VersionId})
		}
		if err != nil {
			t.Errorf("%s: %v", step.Step, err)
		}
		return &lambda.Answer{Payload: []byte("null")}, nil
	})
	if _, err := sm.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: secret.ARN, RotationLambdaARN: new(f.arn("Rotator"))}); err != nil {
		t.Fatal(err)
	}
	<-done
	got, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: secret.ARN})
	if err != nil || *got.SecretString != "fresh" {
		t.Errorf("after the rotation: %v, %v", got, err)
	}
	if n := len(f.runner.runs); n != 4 {
		t.Errorf("%d steps", n)
	}
}

// BenchmarkInvoke is Coffer's own part of a warm invocation.
func BenchmarkInvoke(b *testing.B) {
	s := coffertest.Start(b, coffertest.InMemory(), coffertest.With(func(c *server.Config) {
		c.Runner = warm{}
	}))
	c := s.Lambda(b)
	role, err := s.IAM(b).CreateRole(b.Context(), &iam.CreateRoleInput{RoleName: new("runs"), AssumeRolePolicyDocument: new(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)})
	if err != nil {
		b.Fatal(err)
	}
	_, err = c.CreateFunction(b.Context(), &sdk.CreateFunctionInput{
		FunctionName: new("f"), Role: role.Role.Arn, Runtime: types.RuntimePython312, Handler: new("f.handler"),
		Code: &types.FunctionCode{ZipFile: stored(b, "f.py", nil)},
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Invoke(b.Context(), &sdk.InvokeInput{FunctionName: new("f"), Payload: []byte("{}")}); err != nil {
			b.Fatal(err)
		}
	}
}

// warm is a runner whose processes are all there.
type warm struct{}

func (warm) Run(_ context.Context, _ *lambda.Executable, e lambda.Event) (*lambda.Answer, error) {
	return &lambda.Answer{Payload: e.Payload}, nil
}
