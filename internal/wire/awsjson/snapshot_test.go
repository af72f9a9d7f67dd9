package awsjson_test

import (
	"strconv"
	"strings"
	"testing"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
	"coffer/internal/wire/awsjson"
	"coffer/internal/wire/wiretest"
)

var services = []*api.Service{smapi.Service, kmsapi.Service}

// operation returns the operation whose golden file s is.
func operation(svc *api.Service, s wiretest.Snapshot) *api.Operation {
	return wiretest.Operation(svc, strings.TrimPrefix(s.Header.Get("X-Amz-Target"), svc.TargetPrefix+"."))
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

func TestSDKRequests(t *testing.T) {
	for _, svc := range services {
		seen := map[string]bool{}
		for _, s := range wiretest.Snapshots(t, svc, "request_snapshot/*.snap") {
			op := operation(svc, s)
			if op == nil {
				t.Logf("%s: not in our model: %s", svc.Name, s.File)
				continue
			}
			t.Run(svc.Name+"/"+op.Name, func(t *testing.T) {
				if s.Header.Get("Content-Type") != "application/x-amz-json-"+svc.JSONVersion {
					t.Errorf("content type %q", s.Header.Get("Content-Type"))
				}
				in := op.NewInput()
				if err := awsjson.Decode(s.Body, in); err != nil {
					t.Fatal(err)
				}
				wiretest.SameJSON(t, op.Input, awsjson.Append(nil, in), s.Body)
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
		for _, s := range wiretest.Snapshots(t, svc, "response_snapshot/*.response.snap") {
			op := operation(svc, s)
			if op == nil {
				continue
			}
			t.Run(svc.Name+"/"+op.Name, func(t *testing.T) {
				out := op.NewOutput()
				if err := awsjson.Decode(s.Body, out); err != nil {
					t.Fatal(err)
				}
				want := s.Body
				if want == nil {
					want = []byte("{}")
				}
				wiretest.SameJSON(t, op.Output, awsjson.Append(nil, out), want)
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
		for _, s := range wiretest.Snapshots(t, svc, "response_snapshot/*.error.snap") {
			code := s.Name
			shape := svc.Error(code)
			if shape == nil {
				t.Logf("%s: not in our model: %s", svc.Name, s.File)
				continue
			}
			t.Run(svc.Name+"/"+code, func(t *testing.T) {
				e := fault.New(shape.Kind, code, "__Message__")
				wiretest.SameJSON(t, nil, awsjson.AppendError(nil, svc, e), s.Body)
				if got := strconv.Itoa(awsjson.Status(svc, e)); got != s.First && (svc != kmsapi.Service || otherStatus[code] != s.First) {
					t.Errorf("status %s, want %s", got, s.First)
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
