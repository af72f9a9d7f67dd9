package cli

import (
	"bytes"
	"strings"
	"testing"
)

// runCommand runs a command line and wants it to end with code.
func runCommand(t *testing.T, code int, args ...string) (out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if got := Main(args, Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr}); got != code {
		t.Errorf("%q ended with %d, want %d: %s%s", args, got, code, &stdout, &stderr)
	}
	return stdout.String(), stderr.String()
}

// Words that begin commands and are no command say which there are.
func TestUnknownSubcommands(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"rotation", `"rotation" is not a command by itself; there are: list, run, status`},
		{"rotation --json", `"rotation" is not a command by itself; there are: list, run, status`},
		{"rotation statsu x", `there is no "rotation statsu"; there are: list, run, status`},
		{"audit verfiy", `there is no "audit verfiy"; there are: verify`},
		{"account", `"account" is not a command by itself; there are: create, keys, list, org`},
		{"account lst", `there is no "account lst"; there are: create, keys, list, org`},
		{"account org nothing", `there is no "account org nothing"; there are: `},
		{"nothing", "unknown command \"nothing\"; `coffer help` lists them"},
	} {
		if _, got := runCommand(t, 2, strings.Fields(tt.line)...); !strings.HasPrefix(got, "coffer: "+tt.want) {
			t.Errorf("coffer %s says %q, want %q", tt.line, got, tt.want)
		}
	}
}

// Help on a function is about that function.
func TestFunctionHelp(t *testing.T) {
	const name = "SecretsManagerRDSPostgreSQLRotationMultiUser"
	for _, line := range []string{"function " + name + " --help", "function --help " + name, "help function " + name} {
		out, _ := runCommand(t, 0, strings.Fields(line)...)
		for _, want := range []string{name + " alternates between", ":function:" + name + "\n", `"engine": "postgres"`, `"username": "postgres"`} {
			if !strings.Contains(out, want) {
				t.Errorf("coffer %s lacks %q:\n%s", line, want, out)
			}
		}
	}
	if out, _ := runCommand(t, 0, "function", "none", "--help"); !strings.HasPrefix(out, "usage: coffer function [flags] NAME\n") {
		t.Errorf("help on a function that is not there:\n%s", out)
	}
	out, _ := runCommand(t, 0, "function", "list", name)
	if !strings.Contains(out, "\n"+name+" (30s)\n  secret: ") || strings.Contains(out, "MariaDB") {
		t.Errorf("coffer function list %s:\n%s", name, out)
	}
	if _, got := runCommand(t, 1, "function", "list", "none"); !strings.Contains(got, `there is no built-in function "none"`) {
		t.Errorf("coffer function list none: %s", got)
	}
	if out, _ := runCommand(t, 0, "function", "list", "--json", name); strings.Count(out, `"Name": "SecretsManager`) != 1 {
		t.Errorf("coffer function list --json %s:\n%s", name, out)
	}
}

// TestTypedWins: what is typed wins over the environment, also where that names a server by
// another flag; two that are on a par do not go together.
func TestTypedWins(t *testing.T) {
	dir, url := t.TempDir(), "http://127.0.0.1:1"
	for _, tt := range []struct {
		environment, line string
		code              int
		want              string
	}{
		{"COFFER_DATA_DIR=" + dir, "server --dev --listen nowhere", 1, "nowhere"},
		{"COFFER_DATA_DIR=" + dir, "server --dev --data-dir /x", 2, "does not go with --data-dir"},
		{"COFFER_DATA_DIR=" + dir + " COFFER_DEV=true", "server", 2, "--dev keeps nothing and speaks plain HTTP: it does not go with --data-dir (COFFER_DATA_DIR in the environment)"},
		{"COFFER_DATA_DIR=" + dir, "env --dev=false", 1, "no server is running on " + dir},
		{"COFFER_DATA_DIR=" + dir, "account list --dev-url " + url, 1, "no server is running at " + url},
		{"COFFER_DEV_URL=" + url, "account list --data-dir=" + dir, 1, "no server is running on " + dir},
		{"COFFER_DEV_URL=" + url + " COFFER_DATA_DIR=" + dir, "account list", 2, "COFFER_DATA_DIR and COFFER_DEV_URL"},
		{"COFFER_DATA_DIR=" + dir, "env --dev", 0, "unset AWS_PROFILE AWS_SESSION_TOKEN COFFER_DATA_DIR "},
	} {
		t.Run(tt.environment+" coffer "+tt.line, func(t *testing.T) {
			t.Setenv("COFFER_DATA_DIR", "")
			t.Setenv("COFFER_DEV_URL", "")
			for v := range strings.FieldsSeq(tt.environment) {
				name, value, _ := strings.Cut(v, "=")
				t.Setenv(name, value)
			}
			var out bytes.Buffer
			if code := Main(strings.Fields(tt.line), Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out}); code != tt.code || !strings.Contains(out.String(), tt.want) {
				t.Errorf("exit code %d, want %d:\n%s\nwant in it: %s", code, tt.code, out.String(), tt.want)
			}
		})
	}
}
