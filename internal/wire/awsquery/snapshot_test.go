package awsquery_test

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"coffer/internal/fault"
	"coffer/internal/wire/awsquery"
	"coffer/internal/wire/wiretest"
)

// newer are members of the SDK's model that ours, which is older, does not
// have; a newer model in models/ empties this list.
var newer = map[string]bool{
	"MinimumSessionTokenSize":            true,
	"OrderedOrganizationPolicyInputList": true,
	"PolicyExclusionList":                true,
	"SessionTokenSize":                   true,
	"SessionTokenUtilization":            true,
	"SourceRoleTemplate":                 true,
}

// sameForm compares forms but for newer members.
func sameForm(t *testing.T, got, want url.Values) {
	t.Helper()
	index := regexp.MustCompile(`\.(member|entry)\.[0-9]+`)
	for k, v := range want {
		if slices.ContainsFunc(strings.Split(index.ReplaceAllString(k, ""), "."), func(s string) bool { return newer[s] }) {
			continue
		}
		if len(v) != 1 || len(got[k]) != 1 || got.Get(k) != v[0] {
			t.Errorf("%s is %q, want %q", k, got[k], v)
		}
		got.Del(k)
	}
	for k := range got {
		t.Errorf("unexpected %s", k)
	}
}

func TestSDKRequests(t *testing.T) {
	for _, svc := range services {
		seen := map[string]bool{}
		for _, s := range wiretest.Snapshots(t, svc, "request_snapshot/*.snap") {
			op := wiretest.Operation(svc, s.Name)
			if op == nil {
				t.Logf("%s: not in our model: %s", svc.Name, s.Name)
				continue
			}
			seen[op.Name] = true
			t.Run(svc.Name+"/"+op.Name, func(t *testing.T) {
				f, err := awsquery.ParseForm(s.Body)
				if err != nil {
					t.Fatal(err)
				}
				if f.Get("Action") != op.Name || f.Get("Version") != svc.APIVersion {
					t.Errorf("%s, %s", f.Get("Action"), f.Get("Version"))
				}
				in := op.NewInput()
				if err := awsquery.Decode(f, in); err != nil {
					t.Fatal(err)
				}
				got := formOf(in)
				got.Set("Action", op.Name)
				got.Set("Version", svc.APIVersion)
				want, err := url.ParseQuery(string(s.Body))
				if err != nil {
					t.Fatal(err)
				}
				sameForm(t, got, want)
			})
		}
		for _, op := range svc.Operations {
			if !seen[op.Name] {
				t.Errorf("%s: no golden request of %s", svc.Name, op.Name)
			}
		}
	}
}

// flat lists the texts of a document by path, in order, without what golden
// files leave out. Order of members is that of each model.
func flat(e *element, path string) []string {
	if newer[e.name] || e.name == "ResponseMetadata" {
		return nil
	}
	path += "/" + e.name
	var all []string
	for i, c := range e.children {
		at := path
		if c.name == "member" || c.name == "entry" {
			at += "[" + strconv.Itoa(i) + "]"
		}
		all = append(all, flat(c, at)...)
	}
	if len(e.children) == 0 {
		all = append(all, fmt.Sprintf("%s=%q", path, e.text))
	}
	slices.Sort(all)
	return all
}

func TestSDKResponses(t *testing.T) {
	for _, svc := range services {
		seen := map[string]bool{}
		for _, s := range wiretest.Snapshots(t, svc, "response_snapshot/*.response.snap") {
			op := wiretest.Operation(svc, s.Name)
			if op == nil {
				continue
			}
			seen[op.Name] = true
			t.Run(svc.Name+"/"+op.Name, func(t *testing.T) {
				want, err := parseXML(s.Body)
				if err != nil {
					t.Fatal(err)
				}
				result := want.child(op.Name + "Result")
				if want.name != op.Name+"Response" || result == nil {
					t.Fatalf("unexpected golden file %s", string(s.Body))
				}
				out := op.NewOutput()
				if err := result.read(out, func(name string) bool { return newer[name] }); err != nil {
					t.Fatal(err)
				}
				got, err := parseXML(awsquery.Append(nil, op, out, "id"))
				if err != nil {
					t.Fatal(err)
				}
				g, w := flat(got, ""), flat(want, "")
				if op.Wrapper == "" {
					// The SDK's generator writes an empty result where AWS sends none.
					w = slices.DeleteFunc(w, func(s string) bool { return s == "/"+op.Name+"Response/"+op.Name+`Result=""` })
				}
				if !slices.Equal(g, w) {
					t.Errorf("got  %s\nwant %s", g, w)
				}
				if id := got.child("ResponseMetadata").child("RequestId"); id == nil || id.text != "id" {
					t.Error("no request id")
				}
			})
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
			want, err := parseXML(s.Body)
			if err != nil {
				t.Fatal(err)
			}
			code := want.child("Error").child("Code").text
			shape := svc.Error(code)
			if shape == nil {
				t.Logf("%s: not in our model: %s", svc.Name, s.Name)
				continue
			}
			seen[code] = true
			t.Run(svc.Name+"/"+code, func(t *testing.T) {
				e := fault.New(shape.Kind, code, "__Message__")
				got, err := parseXML(awsquery.AppendError(nil, svc, e, "id"))
				if err != nil {
					t.Fatal(err)
				}
				party := "Sender"
				if s.First >= "500" {
					party = "Receiver"
				}
				// The golden files spell Message as the model does; AWS has one spelling.
				if got.name != want.name || got.child("Error").child("Code").text != code ||
					got.child("Error").child("Message").text != "__Message__" || got.child("Error").child("Type").text != party {
					t.Errorf("%+v", got)
				}
				if status := strconv.Itoa(awsquery.Status(svc, e)); status != s.First {
					t.Errorf("status %s, want %s", status, s.First)
				}
			})
		}
		for _, e := range svc.Errors {
			if !seen[e.QueryCode] {
				t.Errorf("%s: no golden error %s", svc.Name, e.QueryCode)
			}
		}
	}
}
