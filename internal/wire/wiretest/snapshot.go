// Package wiretest has what the tests of the codecs share: the golden files of
// the AWS SDK for Go, its clients, and the comparison of its structures with ours.
package wiretest

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"coffer/internal/api"
)

// Snapshot is a golden request or answer of the SDK.
type Snapshot struct {
	File   string
	Name   string // of the operation or error
	First  string // "POST /path?query", or the status
	Header http.Header
	Body   []byte // nil if empty
}

var header = regexp.MustCompile(`^[A-Z][A-Za-z0-9-]*: `)

// Snapshots reads the golden files that the SDK's module of svc ships.
func Snapshots(t *testing.T, svc *api.Service, pattern string) []Snapshot {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/"+svc.Name).Output()
	if err != nil {
		t.Fatalf("the SDK module of %s: %v", svc.Name, err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no golden files %s for %s", pattern, svc.Name)
	}
	var all []Snapshot
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s := Snapshot{File: filepath.Base(f), Header: http.Header{}}
		s.Name, _, _ = strings.Cut(s.File, ".")
		// The first line, in requests an empty one, headers, an empty line, the body.
		first, rest, _ := strings.Cut(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
		s.First = first
		rest = strings.TrimLeft(rest, "\n")
		for header.MatchString(rest) {
			var line string
			line, rest, _ = strings.Cut(rest, "\n")
			k, v, _ := strings.Cut(line, ": ")
			s.Header.Add(k, v)
		}
		if rest = strings.TrimPrefix(rest, "\n"); rest != "" {
			s.Body = []byte(rest)
		}
		all = append(all, s)
	}
	return all
}

// Operation returns the operation of svc with this name, nil if there is none.
func Operation(svc *api.Service, name string) *api.Operation {
	for _, o := range svc.Operations {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// SameJSON compares two documents of a shape by meaning. The SDK's model may be
// newer than ours: members of want that the shape does not have in the body are
// passed over. Without a shape, all count.
func SameJSON(t *testing.T, sh *api.Shape, got, want []byte) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := json.Unmarshal(want, &w); err != nil {
		t.Fatalf("%v in %s", err, want)
	}
	if sh != nil {
		w = known(sh, w)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func known(sh *api.Shape, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			member := sh.Value
			for i := range sh.Members {
				if m := &sh.Members[i]; m.Name == k && m.Location == "" {
					member = m.Shape
				}
			}
			if member == nil {
				delete(v, k)
			} else {
				v[k] = known(member, e)
			}
		}
	case []any:
		for i, e := range v {
			v[i] = known(sh.Elem, e)
		}
	}
	return v
}
