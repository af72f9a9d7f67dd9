package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"coffer/internal/lambda"
)

// command is how a function is started.
type command struct {
	argv    []string
	env     map[string]string
	bin     string   // directory of the interpreter, first in PATH
	roots   []string // what it reads beside the system and the function's own
	version string   // of the runtime, for INIT_START
	notes   []string // for the function's log
}

// clients are the names of our runtime clients in the runtime directory.
const (
	pythonClient = "bootstrap.py"
	nodeClient   = "bootstrap.mjs"
)

// command says how f is started with its code at code and opt on this machine, and at p
// as it sees itself. A *failure is the function's own: it has no bootstrap.
func (r *Runner) command(ctx context.Context, f *lambda.Executable, code, opt string, p places) (*command, *failure, error) {
	if f.BuiltIn {
		path, err := r.program()
		if err != nil {
			return nil, nil, err
		}
		argv := append(append([]string{path}, r.cfg.Self[1:]...), "function", f.Handler)
		return &command{argv: argv, roots: []string{path}, version: "coffer"}, nil, nil
	}
	if strings.HasPrefix(f.Runtime, "provided") {
		return bootstrap(f, code, opt, p)
	}
	l, version, ok := languageOf(f.Runtime)
	if !ok {
		return nil, nil, &lambda.RuntimeError{Text: fmt.Sprintf("The runtime %s is not supported: there are python3.x, nodejs, provided.al2 and provided.al2023.", f.Runtime)}
	}
	in, err := r.interpreters.find(ctx, l, version)
	if err != nil {
		return nil, nil, &lambda.RuntimeError{Text: fmt.Sprintf("The runtime %s cannot be used: %v.", f.Runtime, err)}
	}
	c := &command{bin: filepath.Dir(in.Path), roots: in.roots, version: l.name + ":" + in.Version}
	if !serves(in.Version, version) {
		c.notes = append(c.notes, fmt.Sprintf("[WARNING] %s was asked for; this machine runs it with %s %s (%s)", f.Runtime, l.name, in.Version, in.Path))
	}
	if l.name == "python" {
		minor := in.Version[:strings.LastIndexByte(in.Version, '.')]
		c.argv = []string{in.Path, "-u", "-s", filepath.Join(p.runtime, pythonClient)}
		paths := []string{p.layer("python", "lib", "python"+minor, "site-packages"), p.layer("python")}
		if minor != version {
			// Pure Python of a layer made for the version asked for most often works.
			paths = append(paths, p.layer("python", "lib", "python"+version, "site-packages"))
		}
		c.env = map[string]string{"PYTHONPATH": join(append([]string{p.task}, paths...)...)}
		return c, nil, nil
	}
	// Node collects garbage when it must, and asks the machine how much memory there
	// is: here it is the function's.
	c.argv = []string{in.Path, fmt.Sprintf("--max-old-space-size=%d", max(64, f.Memory*9/10)), filepath.Join(p.runtime, nodeClient)}
	major, _, _ := strings.Cut(in.Version, ".")
	c.env = map[string]string{"NODE_PATH": join(p.layer("nodejs", "node"+major, "node_modules"), p.layer("nodejs", "node_modules"), filepath.Join(p.runtime, "node_modules"), p.runtime, p.task)}
	return c, nil, nil
}

// bootstrap finds the program of a provided runtime: in the code, else in a layer.
func bootstrap(f *lambda.Executable, code, opt string, p places) (*command, *failure, error) {
	for _, at := range [][2]string{{code, p.task}, {opt, p.opt}} {
		if at[0] == "" {
			continue
		}
		info, err := os.Stat(filepath.Join(at[0], "bootstrap"))
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		path := filepath.Join(at[1], "bootstrap")
		if info.Mode().Perm()&0o111 == 0 {
			return nil, &failure{"Runtime.InvalidEntrypoint", fmt.Sprintf("fork/exec %s: permission denied: make it executable (chmod 755) before it is put into the zip", path)}, nil
		}
		return &command{argv: []string{path}, version: f.Runtime}, nil, nil
	}
	return nil, &failure{"Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"}, nil
}
