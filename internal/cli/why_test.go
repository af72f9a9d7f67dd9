package cli

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"coffer/internal/audit"
	"coffer/internal/gateway"
	"coffer/internal/iam"
	"coffer/internal/server"
)

// evil is what a caller could name a thing: it clears the screen, in seven bits and in eight, begins a
// line and a column, and turns the direction of writing.
const evil = "a\x1b[2J\u009b2J\r\nforged\tallowed\u202e\xff\U000e0001"

func plain(t *testing.T, what, s string) {
	t.Helper()
	for _, r := range s {
		if r != '\n' && !strconv.IsPrint(r) {
			t.Errorf("%s has %U: %q", what, r, s)
		}
	}
	if strings.Contains(s, "\nforged") {
		t.Errorf("%s has a forged line: %q", what, s)
	}
}

// What callers chose cannot steer the terminal of who looks into what they did.
func TestCallersCannotSteerTheTerminal(t *testing.T) {
	var b strings.Builder
	statement := 1
	call := server.ExplainedCall{
		Time: evil, Action: evil, Region: evil, Principal: evil, AccessKeyID: evil, Through: evil + evil, SourceIP: evil, ErrorCode: evil, ErrorMessage: evil,
		Decisions: []audit.Authorization{{Action: evil, Resource: evil, PolicyType: evil, By: []audit.Statement{
			{PolicyType: evil, Policy: evil, Sid: evil}, {PolicyType: evil, Policy: evil, Statement: &statement}}}},
	}
	printCall(&b, call, nil)
	plain(t, "explain", b.String())
	if rows := strings.Count(b.String(), "\n"); rows != 10 {
		t.Errorf("explain has %d rows: %s", rows, b.String())
	}

	b.Reset()
	ref := iam.StatementRef{Action: evil, PolicyType: evil, Policy: evil, Sid: evil, Conditions: []string{evil}}
	answer := gateway.Answer{Action: evil, Resource: evil, Found: []iam.Finding{
		{Principal: evil, If: []iam.StatementRef{ref}, Unless: []iam.StatementRef{ref}, Through: []iam.StatementRef{ref}}}}
	printWhoCan(&b, answer)
	plain(t, "who-can", b.String())

	b.Reset()
	printOrganization(&b, &server.OrganizationInfo{Root: &iam.OrganizationNode{Name: evil, Policies: []string{evil}}})
	plain(t, "account org", b.String())

	b.Reset()
	if err := printJSON(&b, call); err != nil {
		t.Fatal(err)
	}
	plain(t, "explain --json", b.String())
	var again server.ExplainedCall
	if err := json.Unmarshal([]byte(b.String()), &again); err != nil || again.Principal != strings.ToValidUTF8(evil, "\uFFFD") {
		t.Errorf("read again: %q, %v", again.Principal, err)
	}
}

func TestVisible(t *testing.T) {
	for s, want := range map[string]string{
		"":                       "",
		"role/app, é €":          "role/app, é €",
		"a\\n":                   "a\\n",
		"\x1b]0;x\a":             `\x1b]0;x\a`,
		"a\nb\t\u007f\u0085\xfe": `a\nb\t\x7f\u0085\xfe`,
	} {
		if got := visible(s); got != want {
			t.Errorf("visible(%q) = %q, want %q", s, got, want)
		}
	}
	if got := visibleLines("a\x1b\nb\r\n"); got != "a\\x1b\nb\\r\n" {
		t.Errorf("lines: %q", got)
	}
}
