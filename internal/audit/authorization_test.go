package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"coffer/internal/audit"
	"coffer/internal/policy"
)

// denied is a decision on a request that came close to a statement with long names.
func denied(t *testing.T, long string) *policy.Decided {
	t.Helper()
	d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Sid":"Red","Effect":"Allow","Action":"kms:*","Resource":["*"],
		"Condition":{"StringEquals":{"aws:PrincipalTag/`+long[:min(len(long), 100)]+`":"hush"},"Null":{"aws:SourceVpce":"false"}}}]}`), policy.Identity)
	if err != nil {
		t.Fatal(err)
	}
	const alice = "arn:aws:iam::111122223333:user/alice"
	out := &policy.Decided{Request: policy.Request{
		Caller: policy.Caller{Type: policy.IAMUser, ARN: alice, Entity: alice, ID: "AIDAALICE", Account: "111122223333"},
		Action: "kms:ListKeys", Resource: "*", ResourceAccount: "111122223333",
	}}
	p := policy.Policies{
		Identity:       policy.NewSet(policy.Attachment{Document: d, Source: "user/alice:" + long}),
		ServiceControl: []*policy.Set{policy.NewLevel("ou-1", policy.Attachment{Document: d, Source: "p-" + long}), policy.NewLevel("111122223333")},
	}
	out.Decision = policy.Evaluate(&out.Request, &p)
	out.Missed = policy.Miss(&out.Request, &p, &out.Decision)
	return out
}

func decisions(t *testing.T, list ...*policy.Decided) (audit.Record, []audit.Authorization) {
	t.Helper()
	rec, err := audit.ParseRecord((&audit.Record{Authorization: list}).AppendJSON(nil))
	if err != nil {
		t.Fatal(err)
	}
	got, reason, err := rec.Decisions()
	if err != nil || reason != "" {
		t.Fatal(reason, err)
	}
	return rec, got
}

func TestMissedIsRecorded(t *testing.T) {
	rec, got := decisions(t, denied(t, "team"))
	const want = `[{service control policy ou-1 [p-team]} {service control policy 111122223333 []} {identity-based policy  [user/alice:team]}]`
	if len(got) != 1 || fmt.Sprint(got[0].Lacking) != want {
		t.Errorf("%+v", got)
	}
	for i, of := range []string{"p-team", "user/alice:team"} {
		n := got[0].Near[i]
		if n.Policy != of || n.Sid != "Red" || *n.Statement.Statement != 0 || n.OtherPrincipal || n.OtherResource != "" ||
			fmt.Sprint(n.Conditions) != "[{StringEquals aws:PrincipalTag/team true} {Null aws:SourceVpce true}]" {
			t.Errorf("%+v", n)
		}
	}
	if strings.Contains(string(rec.AdditionalEventData), "hush") {
		t.Error("the values of conditions are in the record")
	}
}

// TestMissedGivesWay: what was missed never costs the record of the decision.
func TestMissedGivesWay(t *testing.T) {
	d := denied(t, strings.Repeat("t", 1000))
	_, got := decisions(t, d, d, d, d, d, d, d, d)
	if len(got) != 8 || got[7].Action != "kms:ListKeys" || got[0].Lacking != nil || got[0].Near != nil {
		t.Errorf("%+v", got)
	}
}

func TestReasonIsRecorded(t *testing.T) {
	for _, list := range [][]*policy.Decided{nil, {denied(t, "team")}} {
		rec, err := audit.ParseRecord((&audit.Record{Reason: "Statement[1].Effect: \"allow\"\n", Authorization: list}).AppendJSON(nil))
		if err != nil {
			t.Fatal(err)
		}
		got, reason, err := rec.Decisions()
		if err != nil || reason != "Statement[1].Effect: \"allow\"\n" || len(got) != len(list) {
			t.Errorf("%v %q %v", got, reason, err)
		}
	}
}
