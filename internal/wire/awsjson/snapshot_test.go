package awsjson_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
	"coffer/internal/wire/awsjson"
)

var services = []*api.Service{smapi.Service, kmsapi.Service}

// snapshot is a golden request or response of the AWS SDK for Go.
type snapshot struct {
	file   string
	first  string // "POST /" or the status
	header map[string]string
	body   []byte
}

// mustSnapshots reads the golden files that the SDK's module ships.
func mustSnapshots(t *testing.T, svc *api.Service, pattern string) []snapshot {
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
	var all []snapshot
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s := snapshot{file: filepath.Base(f), header: map[string]string{}}
		head, body, _ := strings.Cut(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n{")
		s.body = []byte("{" + body)
		if body == "" {
			s.body = nil
		}
		lines := strings.Split(head, "\n")
		s.first = lines[0]
		for _, l := range lines[1:] {
			if k, v, ok := strings.Cut(l, ": "); ok {
				s.header[k] = v
			}
		}
		all = append(all, s)
	}
	return all
}

func operation(svc *api.Service, s snapshot) *api.Operation {
	name := strings.TrimPrefix(s.header["X-Amz-Target"], svc.TargetPrefix+".")
	for _, o := range svc.Operations {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// newer are members of the SDK's model that ours, which is older, does not
// have; a newer model in models/ empties this list.
var newer = map[string]bool{
	"EncapsulationAlgorithms":  true,
	"GranteeServicePrincipal":  true,
	"RetiringServicePrincipal": true,
	"SourceArn":                true,
}

func withoutNewer(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if newer[k] {
				delete(v, k)
			} else {
				v[k] = withoutNewer(e)
			}
		}
	case []any:
		for i, e := range v {
			v[i] = withoutNewer(e)
		}
	}
	return v
}

// otherStatus are errors that the Smithy model of the SDK gives another HTTP
// status. The API reference and recordings of KMS have 400 for all of them, 500 for
// DependencyTimeoutException, and SDKs go by the code.
var otherStatus = map[string]string{
	"AlreadyExistsException":     "409",
	"ConflictException":          "409",
	"DependencyTimeoutException": "503",
	"DisabledException":          "409",
	"DryRunOperationException":   "412",
	"KMSInvalidStateException":   "409",
	"NotFoundException":          "404",
}

// sameJSON compares two documents by meaning.
func sameJSON(t *testing.T, got, want []byte) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := json.Unmarshal(want, &w); err != nil {
		t.Fatalf("%v in %s", err, want)
	}
	if w = withoutNewer(w); !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSDKRequests(t *testing.T) {
	for _, svc := range services {
		seen := map[string]bool{}
		for _, s := range mustSnapshots(t, svc, "request_snapshot/*.snap") {
			op := operation(svc, s)
			if op == nil {
				t.Logf("%s: not in our model: %s", svc.Name, s.file)
				continue
			}
			t.Run(svc.Name+"/"+op.Name, func(t *testing.T) {
				if s.header["Content-Type"] != "application/x-amz-json-"+svc.JSONVersion {
					t.Errorf("content type %q", s.header["Content-Type"])
				}
				in := op.NewInput()
				if err := awsjson.Decode(s.body, in); err != nil {
					t.Fatal(err)
				}
				sameJSON(t, awsjson.Append(nil, in), s.body)
			})
			seen[op.Name] = true
		}
		for _, op := range svc.Operations {
			if !seen[op.Name] {
				t.Errorf("%s: no golden request of %s", svc.Name, op.Name)
			}
		}
	}
}

func TestSDKResponses(t *testing.T) {
	for _, svc := range services {
		seen := map[string]bool{}
		for _, s := range mustSnapshots(t, svc, "response_snapshot/*.response.snap") {
			op := operation(svc, s)
			if op == nil {
				continue
			}
			t.Run(svc.Name+"/"+op.Name, func(t *testing.T) {
				out := op.NewOutput()
				if err := awsjson.Decode(s.body, out); err != nil {
					t.Fatal(err)
				}
				want := s.body
				if want == nil {
					want = []byte("{}")
				}
				sameJSON(t, awsjson.Append(nil, out), want)
			})
			seen[op.Name] = true
		}
		for _, op := range svc.Operations {
			if !seen[op.Name] {
				t.Errorf("%s: no golden response of %s", svc.Name, op.Name)
			}
		}
	}
}

func TestSDKErrors(t *testing.T) {
	for _, svc := range services {
		seen := map[string]bool{}
		for _, s := range mustSnapshots(t, svc, "response_snapshot/*.error.snap") {
			code, _, _ := strings.Cut(s.file, ".")
			shape := svc.Error(code)
			if shape == nil {
				t.Logf("%s: not in our model: %s", svc.Name, s.file)
				continue
			}
			t.Run(svc.Name+"/"+code, func(t *testing.T) {
				e := fault.New(shape.Kind, code, "__Message__")
				sameJSON(t, awsjson.AppendError(nil, svc, e), s.body)
				if got := strconv.Itoa(awsjson.Status(svc, e)); got != s.first && (svc != kmsapi.Service || otherStatus[code] != s.first) {
					t.Errorf("status %s, want %s", got, s.first)
				}
			})
			seen[code] = true
		}
		for _, e := range svc.Errors {
			if !seen[e.Code] {
				t.Errorf("%s: no golden error %s", svc.Name, e.Code)
			}
		}
	}
}
