package cli

import (
	"strings"
	"testing"

	"coffer/internal/runner"
)

// TestPrintInterpreters: one line for what cannot be used, and what runs each runtime.
func TestPrintInterpreters(t *testing.T) {
	all := []runner.Interpreter{
		{Language: "python", Path: "/shims/python3", Problem: "permission denied"},
		{Language: "python", Path: "/usr/bin/python3", Version: "3.11.2", AWS: true, SDK: "1.26.27", Runtimes: []string{"python3.11"}, InPlace: []string{"python3.13", "python3.12"}},
		{Language: "python", Path: "/shims/python3.12", Problem: "permission denied"},
		{Language: "nodejs", Path: "/opt/node", Problem: "it does not say what it is"},
		{Language: "nodejs", Path: "/usr/bin/node", Version: "21.1.0", InPlace: []string{"nodejs22.x"}},
	}
	for verbose, want := range map[bool]string{
		false: `python no /shims/python3: permission denied
(1 more program that cannot be used; --verbose lists them)
python 3.11.2 /usr/bin/python3, with boto3 1.26.27
(runs python3.11; with a warning, in place of their own versions, also python3.13, python3.12)
nodejs no /opt/node: it does not say what it is
nodejs 21.1.0 /usr/bin/node, without the AWS SDK: functions bring it along
(runs with a warning, in place of their own versions, nodejs22.x)
`,
		true: `python no /shims/python3: permission denied
python 3.11.2 /usr/bin/python3, with boto3 1.26.27
(runs python3.11; with a warning, in place of their own versions, also python3.13, python3.12)
python no /shims/python3.12: permission denied
nodejs no /opt/node: it does not say what it is
nodejs 21.1.0 /usr/bin/node, without the AWS SDK: functions bring it along
(runs with a warning, in place of their own versions, nodejs22.x)
`,
	} {
		var b strings.Builder
		printInterpreters(&b, all, verbose)
		got := ""
		for line := range strings.Lines(b.String()) {
			got += strings.Join(strings.Fields(line), " ") + "\n"
		}
		if got != want {
			t.Errorf("verbose %v:\n%s\nwant\n%s", verbose, got, want)
		}
	}
}
