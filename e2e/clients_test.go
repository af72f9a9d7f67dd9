package e2e_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// TestAWSCLI runs cli_walk.sh.
func TestAWSCLI(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some eighty processes")
	}
	t.Parallel()
	if _, err := exec.LookPath("aws"); err != nil {
		external(t, "the AWS CLI is not on PATH")
	}
	p := spawn(t, newDir(t))
	cmd := exec.Command("sh", "cli_walk.sh")
	exe := must(os.Executable())(t)
	cmd.Env = append(os.Environ(), "COFFER="+exe, "DATA_DIR="+string(p.dir), asCoffer+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	p.stop(t)
	checkDir(t, p.dir)
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
	cmd.Env = append(os.Environ(), "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
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
