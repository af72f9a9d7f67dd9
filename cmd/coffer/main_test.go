package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
	"github.com/rogpeppe/go-internal/testscript"

	"coffer/internal/cli"
	"coffer/internal/server"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		// The command line itself, in the test binary re-executed.
		"coffer": func() {
			os.Exit(cli.Main(os.Args[1:], cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}))
		},
	})
}

// TestScripts runs testdata/*.txtar. Beside testscript's own, there are the commands
//
//	ready DIR                    waits until the server of a data directory serves
//	readydev DIR                 waits until a server started with --dev serves, and sets $DEVURL; DIR is
//	                             $XDG_RUNTIME_DIR
//	put DIR NAME VALUE           makes a secret as the first account's root
//	get DIR NAME VALUE           wants that value
//	refused DIR CREDENTIALS CODE wants an error code for a call with the keys of a file, and sets
//	                             $REQUEST to the call's id
//	user DIR NAME POLICY         makes a user with a policy from a file, and writes its keys to NAME.json
//	badpolicy DIR POLICY         wants a policy from a file refused, and sets $REQUEST to the call's id
//	exits N COMMAND ARGS...      wants an exit code
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir+"/home")
			e.Setenv("XDG_DATA_HOME", e.WorkDir+"/share")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready":   ready,
			"put":     put,
			"get":     get,
			"refused": refused,
			"user":    user,

			"badpolicy": badPolicy,
			"readydev":  readyDev,
			"exits":     exits,
		},
	})
}

// exits runs a command and wants its exit code: exits N coffer ARGS...
// Standard output and error are then for stdout and stderr as usual.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args[0]) != 1 {
		ts.Fatalf("usage: exits N command args...")
	}
	want := int(args[0][0] - '0')
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s ended with exit code %d, want %d", args[1], got, want)
	}
}

func ready(ts *testscript.TestScript, _ bool, args []string) {
	dir := server.Dir(ts.MkAbs(args[0]))
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if run, err := server.ReadJSON[server.Running](dir.Running()); err == nil && run.URL != "" {
			return
		}
	}
	ts.Fatalf("no server on %s after 20 s", dir)
}

func readyDev(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		found, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "coffer-dev-*", "server.json"))
		ts.Check(err)
		if len(found) != 1 {
			continue
		}
		if run, err := server.ReadJSON[server.Running](found[0]); err == nil && run.URL != "" {
			ts.Setenv("DEVURL", run.URL)
			return
		}
	}
	ts.Fatalf("no server started with --dev after 20 s")
}

func client(ts *testscript.TestScript, dir, credentialsFile string) *secretsmanager.Client {
	return secretsmanager.NewFromConfig(config(ts, dir, credentialsFile))
}

func config(ts *testscript.TestScript, dir, credentialsFile string) aws.Config {
	d := server.Dir(ts.MkAbs(dir))
	if credentialsFile == "" {
		credentialsFile = d.Credentials()
	}
	creds, err := server.ReadJSON[server.Credentials](credentialsFile)
	ts.Check(err)
	run, err := server.ReadJSON[server.Running](d.Running())
	ts.Check(err)
	pem, err := os.ReadFile(d.CA())
	ts.Check(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: &run.URL,
		Credentials:  credentials.NewStaticCredentialsProvider(creds.AccessKeyID, creds.SecretAccessKey, ""),
		HTTPClient:   &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}},
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
}

func put(ts *testscript.TestScript, _ bool, args []string) {
	_, err := client(ts, args[0], "").CreateSecret(context.Background(), &secretsmanager.CreateSecretInput{Name: &args[1], SecretString: &args[2]})
	ts.Check(err)
}

func get(ts *testscript.TestScript, _ bool, args []string) {
	out, err := client(ts, args[0], "").GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{SecretId: &args[1]})
	ts.Check(err)
	if *out.SecretString != args[2] {
		ts.Fatalf("%s has another value", args[1])
	}
}

func refused(ts *testscript.TestScript, _ bool, args []string) {
	_, err := client(ts, args[0], ts.MkAbs(args[1])).ListSecrets(context.Background(), &secretsmanager.ListSecretsInput{})
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != args[2] {
		ts.Fatalf("got %v, want %s", err, args[2])
	}
	remember(ts, err)
}

// remember sets $REQUEST to the id of the call that an error answered.
func remember(ts *testscript.TestScript, err error) {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		ts.Setenv("REQUEST", answer.ServiceRequestID())
	}
}

func badPolicy(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[1])
	_, err := iam.NewFromConfig(config(ts, args[0], "")).CreatePolicy(context.Background(), &iam.CreatePolicyInput{PolicyName: aws.String("bad"), PolicyDocument: &text})
	if err == nil {
		ts.Fatalf("the policy of %s is good", args[1])
	}
	remember(ts, err)
}

func user(ts *testscript.TestScript, _ bool, args []string) {
	dir, name := args[0], args[1]
	c, ctx := iam.NewFromConfig(config(ts, dir, "")), context.Background()
	_, err := c.CreateUser(ctx, &iam.CreateUserInput{UserName: &name})
	ts.Check(err)
	text := ts.ReadFile(args[2])
	_, err = c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("own"), PolicyDocument: &text})
	ts.Check(err)
	k, err := c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	ts.Check(err)
	ts.Check(server.WriteJSON(ts.MkAbs(name+".json"), server.Credentials{AccessKeyID: *k.AccessKey.AccessKeyId, SecretAccessKey: *k.AccessKey.SecretAccessKey}))
}
