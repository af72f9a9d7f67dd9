package cli

import (
	"bytes"
	"strings"
	"testing"
)

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
