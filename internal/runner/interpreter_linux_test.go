package runner_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"coffer/internal/runner"
)

// An interpreter that was installed with a prefix above the data directory, ~/.local or ~, is
// passed over: what it reads is shown to functions with all that is below.
func TestInterpreterAboveTheData(t *testing.T) {
	need(t, "node")
	path, err := exec.LookPath("node")
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	home := directory(t)
	data := filepath.Join(home, ".local", "share", "coffer")
	bin := filepath.Join(home, ".local", "bin")
	key := filepath.Join(data, "root.key")
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for _, dir := range []string{data, bin} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(key, []byte("the root key"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(filepath.Join(bin, "node"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	for _, l := range layouts[3:] { // as for a server that is not root
		t.Run(l.name, func(t *testing.T) {
			l.check(t)
			b := start(t, func(c *runner.Config) {
				c.Without = append(c.Without, l.without...)
				c.Dir = filepath.Join(data, "functions")
			})
			told := false
			for _, i := range b.Report(context.Background()).Interpreters {
				told = told || i.Path == filepath.Join(bin, "node") && strings.Contains(i.Problem, "elsewhere")
			}
			if !told {
				t.Error("the report does not say that it is passed over")
			}
			f := node(t, `exports.handler = async (e) => require("fs").readFileSync(e, "utf8");`)
			q, err := json.Marshal(key)
			if err != nil {
				t.Fatal(err)
			}
			a, err := b.Run(context.Background(), f, event(string(q)))
			if err == nil && (!a.Failed || strings.Contains(string(a.Payload), "the root key")) {
				t.Errorf("a function reads the root key: %s", a.Payload)
			}
		})
	}
}

// The report says which interpreter runs each runtime, and that it is of another version.
func TestReportedRuntimes(t *testing.T) {
	runs := map[string]int{}
	for _, in := range start(t).Report(context.Background()).Interpreters {
		for _, name := range in.Runtimes {
			runs[in.Language]++
			if v := strings.TrimSuffix(strings.TrimPrefix(name, in.Language), ".x"); !strings.HasPrefix(in.Version, v+".") {
				t.Errorf("%s %s runs %s", in.Path, in.Version, name)
			}
		}
		for _, name := range in.InPlace {
			runs[in.Language]++
			if v := strings.TrimSuffix(strings.TrimPrefix(name, in.Language), ".x"); strings.HasPrefix(in.Version, v+".") {
				t.Errorf("%s %s is said not to be of the version of %s", in.Path, in.Version, name)
			}
		}
		if in.Problem != "" && len(in.Runtimes)+len(in.InPlace) > 0 {
			t.Errorf("%s cannot be used (%s) and runs %v %v", in.Path, in.Problem, in.Runtimes, in.InPlace)
		}
	}
	for language, n := range runs {
		if want := map[string]int{"python": 7, "nodejs": 4}[language]; n != want {
			t.Errorf("%d runtimes of %s, want %d", n, language, want)
		}
	}
}
