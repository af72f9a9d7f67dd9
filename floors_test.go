// Package coffer_test holds the rules that concern the tree as a whole.
package coffer_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// floors names every package of ours from the ground up. A package imports lower
// floors only, plus what its extra list names. docs/architecture.md tells why.
var floors = []struct {
	floor int
	name  string // below coffer/internal/; a trailing slash covers what is below
	plus  []string
}{
	{0, "arn", nil},
	{0, "builtin", nil},
	{0, "fault", nil},
	{0, "filterpattern", nil},
	{0, "policy", []string{"arn"}},
	{0, "schedule", nil},
	{0, "sigv4", nil},
	{1, "kv", nil},
	{1, "kv/", []string{"kv", "kv/"}},
	{1, "envelope", nil},
	{1, "table", []string{"kv"}},
	{1, "material", []string{"envelope"}},
	{1, "session", []string{"envelope"}},
	{1, "jwt", nil},
	{1, "saml", nil},
	{2, "api", nil},
	{2, "api/secretsmanager", []string{"api"}},
	{2, "api/kms", []string{"api"}},
	{2, "api/iam", []string{"api"}},
	{2, "api/sts", []string{"api"}},
	{2, "api/lambda", []string{"api"}},
	{2, "api/logs", []string{"api"}},
	{2, "audit", nil},
	{2, "page", []string{"api"}},
	{3, "iam", nil},
	{3, "sts", []string{"iam"}},
	{3, "secretsmanager", nil},
	{3, "kms", nil},
	{3, "lambda", nil},
	{3, "cloudwatchlogs", nil},
	{4, "scheduler", nil},
	{4, "rotation", []string{"scheduler"}},
	{4, "dispatch", []string{"scheduler"}},
	{4, "oidc", nil},
	{4, "runner", nil},
	{5, "wire/", []string{"wire/"}},
	{5, "gateway", []string{"wire/"}},
	{6, "backup", nil},
	{6, "server", []string{"backup"}},
	{7, "rotator", nil},
	{7, "rotator/", []string{"rotator", "rotator/"}},
	{7, "rotator/rotatortest", []string{"rotator", "coffertest"}},
	{7, "cli", []string{"rotator/"}},
	{7, "coffertest", nil},
	{7, "coffertest/check", nil},
	{7, "iam/iamtest", nil},
	{7, "jwt/jwttest", nil},
	{7, "saml/samltest", nil},
	{7, "wire/wiretest", nil},
}

// Packages that floors 0 to 3 must not reach themselves: they have no network,
// no processes and no goroutines of their own. (sigv4 takes an *http.Request.)
var forbidden = map[string][]string{
	"net/http": {"arn", "fault", "policy", "schedule", "kv", "envelope", "table", "material", "jwt", "saml", "api", "iam", "sts", "secretsmanager", "kms", "lambda", "cloudwatchlogs", "filterpattern"},
	"os/exec":  {"arn", "fault", "policy", "schedule", "sigv4", "kv", "envelope", "table", "material", "api", "iam", "secretsmanager", "kms", "lambda", "cloudwatchlogs", "filterpattern"},
	"reflect":  {"api", "gateway", "secretsmanager", "kms", "lambda", "cloudwatchlogs", "filterpattern"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		var e *exec.ExitError
		if errors.As(err, &e) {
			t.Fatalf("go list: %v\n%s", err, e.Stderr)
		}
		t.Fatal(err)
	}
	var ps []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	if len(ps) < len(floors) {
		t.Fatalf("go list found %d packages, fewer than the rules name", len(ps))
	}
	return ps
}

// rule finds the line for a package: its own, or the one of a folder above it.
func rule(name string) (int, bool) {
	for i, f := range floors {
		if f.name == name {
			return i, true
		}
	}
	for i, f := range floors {
		if strings.HasSuffix(f.name, "/") && strings.HasPrefix(name, f.name) {
			return i, true
		}
	}
	return 0, false
}

func TestFloors(t *testing.T) {
	for _, p := range list(t) {
		name, ours := strings.CutPrefix(p.ImportPath, "coffer/internal/")
		if !ours || name == "api/gen" || name == "api/apitest" {
			continue // commands, benchmarks, tests and the generator stand above all floors
		}
		i, ok := rule(name)
		if !ok {
			t.Errorf("%s stands on no floor: give it a line here and in docs/architecture.md", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			in, ours := strings.CutPrefix(imp, "coffer/internal/")
			if !ours {
				continue
			}
			j, ok := rule(in)
			if !ok {
				t.Errorf("%s imports %s, which stands on no floor", name, in)
				continue
			}
			if floors[j].floor < floors[i].floor || slices.Contains(floors[i].plus, floors[j].name) || slices.Contains(floors[i].plus, in) {
				continue
			}
			t.Errorf("%s (floor %d) must not import %s (floor %d)", name, floors[i].floor, in, floors[j].floor)
		}
		for _, imp := range p.Imports {
			if slices.Contains(forbidden[imp], name) {
				t.Errorf("%s must not import %s", name, imp)
			}
		}
	}
}
