// Package e2e_test tests Coffer from the outside, as its users meet it: AWS
// SDKs, the AWS CLI, raw HTTP, the command line, kill -9 and damaged files.
//
// What holds for every call is checked for every call of every test, by what
// start puts around the server (see harness_test.go):
//
//   - the error code is one that the model lists for the operation, or one of
//     AWS's framework;
//   - no answer is a 5xx, and each has a request id and a date;
//   - each call has exactly one audit record, with its request id and error, and with
//     decisions that go with it;
//   - no secret that a test sent or received is anywhere in the log, the audit
//     log, the store or the rest of the data directory.
//
// External clients (aws, boto3) are used when found. With CI=true in the
// environment their absence is a failure, because CI installs them.
package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"coffer/internal/cli"
)

var crashRounds = flag.Int("crash-rounds", 3, "rounds of kill -9 in TestKill")

// asCoffer makes the test binary behave as coffer: the real program, without a
// second build that could differ from what is tested. What a server starts it as, to run a
// function, is known by its command line: functions inherit no environment.
const asCoffer = "COFFER_E2E_REEXEC"

func TestMain(m *testing.M) {
	// The server starts functions with an environment of their own; a word as the first
	// argument is a command of coffer, go test passes flags.
	if os.Getenv(asCoffer) != "" || len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		os.Unsetenv(asCoffer)
		os.Exit(cli.Main(os.Args[1:], cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}))
	}
	flag.Parse()
	// What the developer's shell has set must not decide what is tested.
	for _, v := range []string{"COFFER_DATA_DIR", "COFFER_DEV_URL", "COFFER_PASSPHRASE", "COFFER_ROOT_KEY_FILE", "COFFER_LISTEN", "COFFER_CONFIG"} {
		os.Unsetenv(v)
	}
	if err := raiseFileLimit(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: file limit:", err)
	}
	os.Exit(m.Run())
}

// coffer is the command `coffer args...`.
func coffer(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), asCoffer+"=1")
	return cmd
}

// external skips a test that needs a program which is not there, except in CI.
func external(t *testing.T, missing string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s: CI must have it", missing)
	}
	t.Skip(missing)
}
