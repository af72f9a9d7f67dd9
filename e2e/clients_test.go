package e2e_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// functions is what tells the walks whether this machine runs functions of users.
func functions(t *testing.T) string {
	t.Helper()
	if out, err := coffer(t, "doctor").CombinedOutput(); err != nil {
		t.Logf("functions of users do not run on this machine:\n%s", out)
		return "FUNCTIONS=off"
	}
	return "FUNCTIONS=on"
}

// TestAWSCLI runs cli_walk.sh, whose parts know nothing of each other.
func TestAWSCLI(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some three hundred processes")
	}
	t.Parallel()
	if _, err := exec.LookPath("aws"); err != nil {
		external(t, "the AWS CLI is not on PATH")
	}
	for _, part := range []string{"secrets", "access", "functions"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			p := spawn(t, newDir(t))
			cmd := exec.Command("sh", "cli_walk.sh", part)
			exe := must(os.Executable())(t)
			cmd.Env = append(os.Environ(), "COFFER="+exe, "DATA_DIR="+string(p.dir), asCoffer+"=1", functions(t))
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Error(err)
			}
			p.stop(t)
			checkDir(t, p.dir)
		})
	}
}

// TestBoto3 runs boto3_walk.py.
func TestBoto3(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python")
	}
	t.Parallel()
	python := ""
	for _, p := range []string{"python3", "/usr/bin/python3"} { // the second is where Debian's package puts boto3
		if exec.Command(p, "-c", "import boto3").Run() == nil {
			python = p
			break
		}
	}
	if python == "" {
		external(t, "python3 with boto3 is not there")
	}
	p := spawn(t, newDir(t))
	var env map[string]string
	if err := json.Unmarshal([]byte(run(t, 0, "env", "--json", "--data-dir", string(p.dir))), &env); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "boto3_walk.py")
	cmd.Env = append(os.Environ(), "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", functions(t))
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	if bytes.Contains(out, []byte(env["AWS_SECRET_ACCESS_KEY"])) {
		t.Error("a secret access key was printed")
	}
	p.stop(t)
	checkDir(t, p.dir)
}

// TestExampleFunctions deploys the functions of examples/rotation with the AWS CLI, as
// their README says, and rotates a secret with each.
func TestExampleFunctions(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts functions")
	}
	t.Parallel()
	for _, tool := range []string{"bash", "aws", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			external(t, tool+" is not on PATH")
		}
	}
	if out, err := coffer(t, "doctor").CombinedOutput(); err != nil {
		external(t, "functions of users do not run on this machine:\n"+string(out))
	}
	p := spawn(t, newDir(t))
	var env map[string]string
	if err := json.Unmarshal([]byte(run(t, 0, "env", "--json", "--data-dir", string(p.dir))), &env); err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		language, missing string
		there             *exec.Cmd
	}{
		{"python", "python3 without boto3", exec.Command("/usr/bin/python3", "-c", "import boto3")},
		{"node", "no npm", exec.Command("npm", "--version")},
		{"go", "no go", exec.Command("go", "version")},
	} {
		t.Run(f.language, func(t *testing.T) {
			if f.there.Run() != nil {
				external(t, f.missing)
			}
			cmd := exec.Command("bash", "../examples/rotation/run.sh", f.language)
			cmd.Env = append(os.Environ(), "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
			for k, v := range env {
				cmd.Env = append(cmd.Env, k+"="+v)
			}
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil || bytes.Contains(out, []byte("not taken down")) {
				t.Error(err)
			}
		})
	}
	p.stop(t)
	checkDir(t, p.dir)
}
