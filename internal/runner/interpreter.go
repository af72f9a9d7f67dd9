package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Interpreter is a program of this machine that runs functions of a language.
type Interpreter struct {
	Language string `json:"language"` // "python" or "nodejs"
	Path     string `json:"path"`
	Version  string `json:"version,omitempty"` // "3.11.2"
	AWS      bool   `json:"aws"`               // finds AWS's SDK: boto3, or @aws-sdk
	SDK      string `json:"sdk,omitempty"`     // version of that, if its metadata tell
	Problem  string `json:"problem,omitempty"` // why it cannot be used

	Runtimes []string `json:"runtimes,omitempty"` // of Lambda's, those of its version
	InPlace  []string `json:"inPlace,omitempty"`  // those that it runs with a warning, as the machine lacks their version

	roots []string // directories that it reads
}

// language is one that functions can be written in.
type language struct {
	name    string
	program string   // "python3", "node"
	probe   []string // arguments that have it print a JSON object: path, version, roots, aws, sdk

	versions []string // of Lambda's runtimes, the newest first
	suffix   string   // of the runtimes' names
}

func (l language) runtime(version string) string { return l.name + version + l.suffix }

var languages = []language{
	{"python", "python3", []string{"-I", "-c", `
import importlib.metadata, importlib.util, json, sys
try: sdk = importlib.metadata.version("boto3")
except importlib.metadata.PackageNotFoundError: sdk = ""
print(json.dumps({
    "path": sys.executable,
    "version": ".".join(map(str, sys.version_info[:3])),
    "roots": sorted({sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}),
    "sdk": sdk, "aws": importlib.util.find_spec("boto3") is not None}))`},
		[]string{"3.14", "3.13", "3.12", "3.11", "3.10", "3.9", "3.8"}, ""},
	{"nodejs", "node", []string{"-e", `
const path = require("path");
const at = {paths: [...(require("module").globalPaths || []), "/usr/lib/node_modules", "/usr/local/lib/node_modules"]}, client = "@aws-sdk/client-secrets-manager";
let aws = true, sdk = "";
try { require.resolve(client, at); } catch { aws = false; }
try { sdk = JSON.parse(require("fs").readFileSync(require.resolve(client + "/package.json", at), "utf8")).version || ""; } catch {}
console.log(JSON.stringify({path: process.execPath, version: process.versions.node,
  roots: [path.dirname(path.dirname(process.execPath))], aws, sdk}))`},
		[]string{"24", "22", "20", "18"}, ".x"},
}

// languageOf splits "python3.12" and "nodejs20.x" into language and version.
func languageOf(runtime string) (l language, version string, ok bool) {
	if v, ok := strings.CutPrefix(runtime, "python"); ok && strings.HasPrefix(v, "3.") {
		return languages[0], v, true
	}
	if v, ok := strings.CutPrefix(runtime, "nodejs"); ok {
		return languages[1], strings.TrimSuffix(v, ".x"), true
	}
	return language{}, "", false
}

// serves reports whether an interpreter's version is the one that a runtime names.
func serves(version, want string) bool {
	return version == want || strings.HasPrefix(version, want+".")
}

// interpreters finds and remembers interpreters. Safe for concurrent use.
type interpreters struct {
	path []string                        // directories to look in
	run  func(*exec.Cmd) ([]byte, error) // as a function would be run
	shut func() []string                 // directories that no function may see

	mu   sync.Mutex
	seen map[string]probed // by path
}

type probed struct {
	Interpreter
	at time.Time
}

// Problems may be solved while the server runs; what works goes on working.
const probeAgain = 10 * time.Second

// programPath is where interpreters are looked for: where the server's user would
// find them, then the usual places.
func programPath() []string {
	return append(filepath.SplitList(os.Getenv("PATH")), "/usr/local/bin", "/usr/bin", "/bin", "/opt/homebrew/bin")
}

// find returns the interpreter for a runtime: the first of its very version, else
// the first at all.
func (i *interpreters) find(ctx context.Context, l language, version string) (Interpreter, error) {
	var any, bad []Interpreter
	for _, path := range i.candidates(l.program+strings.TrimPrefix(version, "3"), l.program) {
		in := i.probe(ctx, l, path)
		switch {
		case in.Problem != "":
			bad = append(bad, in)
		case serves(in.Version, version):
			return in, nil
		default:
			any = append(any, in)
		}
	}
	if len(any) > 0 {
		return any[0], nil
	}
	text := fmt.Sprintf("no %s was found on this machine in %s: install it", l.program, strings.Join(i.path, ":"))
	for _, in := range bad {
		text += fmt.Sprintf("; %s cannot be used: %s", in.Path, in.Problem)
	}
	return Interpreter{}, errors.New(text)
}

// all lists the interpreters of this machine.
func (i *interpreters) all(ctx context.Context) []Interpreter {
	var list []Interpreter
	seen := make(map[string]bool)
	for _, l := range languages {
		names := []string{l.program}
		for _, v := range l.versions {
			if l.name == "python" {
				names = append(names, l.name+v)
			}
		}
		for _, path := range i.candidates(names...) {
			in := i.probe(ctx, l, path)
			if !seen[in.Path] {
				seen[in.Path] = true
				list = append(list, in)
			}
		}
		i.assign(ctx, l, list)
	}
	return list
}

// assign says of the interpreters in list which runtimes of a language they run.
func (i *interpreters) assign(ctx context.Context, l language, list []Interpreter) {
	for _, v := range l.versions {
		used, err := i.find(ctx, l, v)
		if err != nil {
			return // then none runs any
		}
		for n := range list {
			switch in := &list[n]; {
			case !sameFile(in.Path, used.Path):
			case serves(used.Version, v):
				in.Runtimes = append(in.Runtimes, l.runtime(v))
			default:
				in.InPlace = append(in.InPlace, l.runtime(v))
			}
		}
	}
}

// sameFile reports whether two paths lead to one program.
func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// candidates are the files that have one of the names, the first name first.
func (i *interpreters) candidates(names ...string) []string {
	var list []string
	seen := make(map[string]bool)
	for _, name := range names {
		for _, dir := range i.path {
			path := filepath.Join(dir, name)
			real, err := filepath.EvalSymlinks(path)
			if err != nil || !filepath.IsAbs(path) {
				continue
			}
			key := real
			if !strings.HasPrefix(filepath.Base(real), name) {
				key = path // one program behind many names, which acts by its name
			}
			if !seen[key] {
				seen[key] = true
				list = append(list, path)
			}
		}
	}
	return list
}

// readable are the roots as they are really called, which a function is going to see with all
// that is below. What was installed with the prefix ~/.local or ~ would show it the data
// directory or a home.
func (i *interpreters) readable(roots []string) (real []string, problem string) {
	for _, root := range roots {
		path, err := filepath.EvalSymlinks(root)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || !filepath.IsAbs(path) {
			return nil, fmt.Sprintf("it reads %q, which cannot be looked at", root)
		}
		for _, dir := range i.shut() {
			if below(dir, path) {
				return nil, fmt.Sprintf("functions would have to be shown %s, where it is installed, and so %s: install it elsewhere", path, dir)
			}
		}
		real = append(real, path, filepath.Clean(root))
	}
	slices.Sort(real)
	return slices.Compact(real), ""
}

// below reports whether path is dir or in it.
func below(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

func (i *interpreters) probe(ctx context.Context, l language, path string) Interpreter {
	i.mu.Lock()
	defer i.mu.Unlock()
	if p, ok := i.seen[path]; ok && (p.Problem == "" || time.Since(p.at) < probeAgain) {
		return p.Interpreter
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	in := Interpreter{Language: l.name, Path: path}
	cmd := exec.CommandContext(ctx, path, l.probe...)
	cmd.Dir = "/"
	// PATH and HOME are for those that are scripts.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LANG=C.UTF-8"}
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := i.run(cmd)
	var said struct {
		Path, Version string
		Roots         []string
		AWS           bool
		SDK           string
	}
	switch {
	case err != nil:
		in.Problem = err.Error()
		if started, ok := errors.AsType[*fs.PathError](err); ok {
			in.Problem = started.Err.Error() // the path is beside it
		}
		if text := strings.TrimSpace(stderr.String()); text != "" {
			in.Problem += ": " + text[:min(len(text), 200)]
		}
	case json.Unmarshal(out, &said) != nil || !filepath.IsAbs(said.Path):
		in.Problem = "it does not say what it is"
	default:
		in.Path, in.Version, in.AWS, in.SDK = said.Path, said.Version, said.AWS, said.SDK
		in.roots, in.Problem = i.readable(append(said.Roots, filepath.Dir(said.Path)))
	}
	if i.seen == nil {
		i.seen = make(map[string]probed)
	}
	i.seen[path] = probed{in, time.Now()}
	return in
}
