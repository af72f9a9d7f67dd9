package policy_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"coffer/internal/policy"
)

// Cases of testdata/requests are blocks of lines:
//
//	What the case shows
//	caller: one of callers
//	on: one of resources ("secret" when left out)
//	action: when it is not the usual one on the resource
//	context: key=value ..., as in conditions.txt
//	identity, boundary, session, resource, endpoint: statements of such a policy
//	scp, rcp: statements of a control policy; a line for each level from the root down
//	grant: to PRINCIPAL of ACTION, ... [equals|subset KEY=VALUE ...]; a line for each
//	encryption: KEY=VALUE ..., the encryption context of the request
//	unbound: yes, when the policies know no unique ids
//	open: yes, for an operation that no policy can refuse
//	=> allow, or the denial
//
// What is left out is not there. A denial is given in full ("User: ...") or by
// its reason, in which "it" stands for the action; "refused" in its place means
// that the policy is no policy. Statements are JSON or
//
//	Allow|Deny [ACTION] [to [all but] PRINCIPAL, ...] [on ARN] [if CONDITION]
//
// joined by " + "; "silent" stands for one about something else, and "none" for
// an empty list of policies. Principals are those of principals.

// Everybody who calls.
var callers = map[string]policy.Caller{
	"alice":       {Type: policy.IAMUser, ARN: alice, Entity: alice, ID: "AIDAALICEALICEALICE00", Account: own},
	"alice-again": {Type: policy.IAMUser, ARN: alice, Entity: alice, ID: "AIDAALICEALICEALICE99", Account: own},   // made anew under the same name
	"alice-moved": {Type: policy.IAMUser, ARN: alicia, Entity: alicia, ID: "AIDAALICEALICEALICE00", Account: own}, // renamed
	"root":        rootOf(own),
	"app":         {Type: policy.AssumedRole, ARN: pod1, Entity: app, ID: "AROAAPPAPPAPPAPPAPP00", Account: own},
	"app-again":   {Type: policy.AssumedRole, ARN: pod1, Entity: app, ID: "AROAAPPAPPAPPAPPAPP99", Account: own},
	"fed":         {Type: policy.FederatedSession, ARN: fed, Entity: alice, ID: "AIDAALICEALICEALICE00", Account: own},
	"bob":         {Type: policy.IAMUser, ARN: bob, Entity: bob, ID: "AIDABOBBOBBOBBOBBOB00", Account: other},
	"visitor":     {Type: policy.AssumedRole, ARN: visitor1, Entity: visitor, ID: "AROAVISITORVISITOR000", Account: other},
	"other-root":  rootOf(other),
	"lambda":      {Type: policy.AWSService, Service: "lambda.amazonaws.com"},
	"oidc":        {Type: policy.WebIdentity, Provider: oidc},
	"saml":        {Type: policy.SAMLIdentity, Provider: saml},
	"anonymous":   {},
}

const (
	own      = "111122223333"
	other    = "444455556666"
	alice    = "arn:aws:iam::111122223333:user/staff/alice"
	alicia   = "arn:aws:iam::111122223333:user/lead/alicia"
	app      = "arn:aws:iam::111122223333:role/svc/app"
	pod1     = "arn:aws:sts::111122223333:assumed-role/app/pod-1"
	fed      = "arn:aws:sts::111122223333:federated-user/fed"
	bob      = "arn:aws:iam::444455556666:user/bob"
	visitor  = "arn:aws:iam::444455556666:role/visitor"
	visitor1 = "arn:aws:sts::444455556666:assumed-role/visitor/visitor-1"
	oidc     = "arn:aws:iam::111122223333:oidc-provider/oidc.example.com/id/X"
	saml     = "arn:aws:iam::111122223333:saml-provider/idp"
)

// The unique ids of those who are there when policies are written.
var ids = map[string]string{
	alice: "AIDAALICEALICEALICE00", app: "AROAAPPAPPAPPAPPAPP00", bob: "AIDABOBBOBBOBBOBBOB00", visitor: "AROAVISITORVISITOR000",
}

// Everybody who is named: kind and name.
var principals = map[string][2]string{
	"everybody": {"AWS", "*"}, "account": {"AWS", own}, "other-account": {"AWS", "arn:aws:iam::444455556666:root"},
	"alice": {"AWS", alice}, "app": {"AWS", app}, "pod-1": {"AWS", pod1}, "fed": {"AWS", fed},
	"pod-2": {"AWS", "arn:aws:sts::111122223333:assumed-role/app/pod-2"},
	"bob":   {"AWS", bob}, "visitor": {"AWS", visitor}, "visitor-1": {"AWS", visitor1},
	"service lambda": {"Service", "lambda.amazonaws.com"}, "service ecs": {"Service", "ecs-tasks.amazonaws.com"},
	"federated oidc": {"Federated", oidc}, "federated saml": {"Federated", saml},
}

// Everything that is asked for.
var resources = map[string]struct {
	arn, account, named, action string
	kind                        policy.Kind
}{
	"secret":       {"arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-Xy12Zw", own, "app/db", "secretsmanager:GetSecretValue", policy.Resource},
	"other-secret": {"arn:aws:secretsmanager:eu-west-1:444455556666:secret:app/db-Xy12Zw", other, "app/db", "secretsmanager:GetSecretValue", policy.Resource},
	"key":          {key, own, key, "kms:Decrypt", policy.Key},
	"role":         {"arn:aws:iam::111122223333:role/svc/target", own, "arn:aws:iam::111122223333:role/svc/target", "sts:AssumeRole", policy.Trust},
	"*":            {"*", own, "", "secretsmanager:ListSecrets", policy.Resource},
}

const key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// facts is what a request knows, by key in lower case.
type facts map[string][]string

func (f facts) Values(dst []string, key string) ([]string, bool) {
	values, ok := f[key]
	return append(dst, values...), ok
}

func readFacts(text string) facts {
	f := facts{}
	for _, pair := range strings.Fields(text) {
		if pair == "-" {
			continue
		}
		k, v, ok := strings.Cut(pair, "=")
		k = strings.ToLower(k)
		if f[k] = f[k][:len(f[k]):len(f[k])]; ok {
			f[k] = append(f[k], strings.ReplaceAll(v, "%20", " "))
		} else if f[k] == nil {
			f[k] = []string{}
		}
	}
	return f
}

// used tells which fixtures a test has needed, to find those that it has not.
type used map[string]bool

func (u used) all(t *testing.T, what string, names []string) {
	t.Helper()
	for _, name := range names {
		if !u[what+" "+name] {
			t.Errorf("no case needs the %s %q", what, name)
		}
	}
}

func keysOf[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

func find[V any](t testing.TB, u used, what string, m map[string]V, name string) V {
	t.Helper()
	v, ok := m[name]
	if !ok {
		t.Fatalf("no %s %q", what, name)
	}
	u[what+" "+name] = true
	return v
}

var statementForm = regexp.MustCompile(`^(Allow|Deny)(?: (\*|[a-z0-9-]+:[A-Za-z*]+))?(?: to (all but )?([^{}]+?))?(?: on (\S+))?(?: if (\{.*\}))?$`)

// policyText writes the policy that a line describes.
func policyText(t testing.TB, u used, line string, kind policy.Kind) string {
	t.Helper()
	var out []string
	for _, s := range strings.Split(line, " + ") {
		if s == "silent" {
			if s = "Allow s3:ListBucket"; kind != policy.Identity {
				s += " to everybody"
			}
		}
		if strings.HasPrefix(s, "{") {
			out = append(out, s)
			continue
		}
		m := statementForm.FindStringSubmatch(s)
		if m == nil {
			t.Fatalf("not a statement: %q", s)
		}
		if m[2] == "" {
			m[2] = "*"
		}
		if m[5] == "" {
			m[5] = "*"
		}
		text := fmt.Sprintf(`{"Effect":%q,"Action":%q`, m[1], m[2])
		if kind != policy.Trust {
			text += fmt.Sprintf(`,"Resource":%q`, m[5])
		}
		if m[4] != "" {
			element, byKind := "Principal", map[string][]string{}
			if m[3] != "" {
				element = "NotPrincipal"
			}
			for _, name := range strings.Split(m[4], ", ") {
				p := find(t, u, "principal", principals, name)
				byKind[p[0]] = append(byKind[p[0]], fmt.Sprintf("%q", p[1]))
			}
			var kinds []string
			for k, names := range byKind {
				kinds = append(kinds, fmt.Sprintf("%q:[%s]", k, strings.Join(names, ",")))
			}
			text += fmt.Sprintf(`,%q:{%s}`, element, strings.Join(kinds, ","))
		}
		if m[6] != "" {
			text += `,"Condition":` + m[6]
		}
		out = append(out, text+"}")
	}
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(out, ",") + `]}`
}

// setOf makes the set that a line describes; nil if it is "".
func setOf(t testing.TB, u used, line string, kind policy.Kind, bound bool) *policy.Set {
	t.Helper()
	switch line {
	case "", "missing":
		return nil
	case "none":
		return policy.NewSet()
	}
	d := mustParse(t, policyText(t, u, line, kind), kind)
	if bound {
		d.Bind(ids)
	}
	return policy.NewSet(policy.Attachment{Document: d, Source: line})
}

// decide evaluates, and holds the decision against what is true of all decisions.
func decide(t testing.TB, r *policy.Request, p *policy.Policies) policy.Decision {
	t.Helper()
	d := policy.Evaluate(r, p)
	traced := *r
	var seen []policy.Matched
	traced.Trace = func(m policy.Matched) { seen = append(seen, m) }
	if again := policy.Evaluate(&traced, p); again != d {
		t.Errorf("with Trace %+v, without %+v", again, d)
	}
	if again := policy.Evaluate(r, p); again != d {
		t.Errorf("first %+v, then %+v", d, again)
	}
	deciding := d.Deciding()
	switch {
	case d.Allowed.Valid():
		if d.Explicit || d.Type != policy.NoPolicy || !d.Allowed.Allows(r.Action, r.Resource) || len(deciding) == 0 && !p.Open {
			t.Errorf("allowed by %+v", d)
		}
	case d.Explicit:
		if len(deciding) != 1 || deciding[0].Type != d.Type {
			t.Errorf("denied by %+v", deciding)
		}
	case len(deciding) != 0:
		t.Errorf("denied for want of an Allow, and yet decided by %+v", deciding)
	}
	for _, m := range deciding {
		want := policy.Allow
		if d.Explicit {
			want = policy.Deny
		}
		if m.Effect != want || m.Statement == nil && m.Type != policy.KeyGrant && m.Source != "account root" {
			t.Errorf("decided by %+v", m)
		}
		if m.Statement != nil && (m.Statement.Effect != want || &m.Document.Statements[m.Index] != m.Statement || !slices.Contains(seen, m)) {
			t.Errorf("decided by %+v, which does not match", m)
		}
	}
	return d
}

// verdict is what a decision comes to: "allow" or the reason of the denial.
func verdict(r *policy.Request, d *policy.Decision) string {
	if d.Allowed.Valid() {
		return "allow"
	}
	text := r.Denial(d)
	for _, begin := range []string{" because ", " with "} {
		if _, reason, ok := strings.Cut(text, begin); ok {
			return begin[1:] + reason
		}
	}
	return text
}

func TestConditions(t *testing.T) {
	for _, row := range table(t, "conditions.txt", 4, 295) {
		r := rootRequest()
		r.Caller, r.Context = callers["alice"], readFacts(row[1])
		matches := func(effect, more string) policy.Decision {
			text := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":%q,"Action":"*","Resource":"*","Condition":%s}%s]}`, effect, row[2], more)
			set := policy.NewSet(policy.Attachment{Document: mustParse(t, text, policy.Identity)})
			return decide(t, &r, &policy.Policies{Identity: set})
		}
		allow := matches("Allow", "")
		deny := matches("Deny", `,{"Effect":"Allow","Action":"*","Resource":"*"}`)
		compare(t, row, allow.Allowed.Valid(), deny.Explicit, deny.Allowed.Valid(), map[string]bool{"holds": true, "fails": false})
	}
}

// compare holds what an Allow and a Deny do against the verdict of a row.
func compare(t *testing.T, row []string, allows, denies, spares bool, verdicts map[string]bool) {
	t.Helper()
	want, known := verdicts[row[0]]
	if row[0] == "deny" {
		if allows || !denies {
			t.Errorf("%s: an Allow applies: %v, a Deny: %v; want only the Deny", row[len(row)-1], allows, denies)
		}
		return
	}
	if !known {
		t.Fatalf("%s: verdict %q", row[len(row)-1], row[0])
	}
	if allows != want || denies != want || denies == spares {
		t.Errorf("%s: an Allow applies: %v, a Deny: %v; want %s", row[len(row)-1], allows, denies, row[0])
	}
}

func TestPatterns(t *testing.T) {
	for _, row := range table(t, "patterns.txt", 6, 91) {
		element, version := row[1], "2012-10-17"
		if e, old := strings.CutSuffix(element, "/2008"); old {
			element, version = e, "2008-10-17"
		}
		r := rootRequest()
		r.Caller, r.Context = callers["alice"], readFacts(row[2])
		elements := map[string]string{"Action": `"*"`, "Resource": `"*"`}
		delete(elements, strings.TrimPrefix(element, "Not"))
		// The comma of a default is followed by a blank.
		elements[element] = `["` + strings.ReplaceAll(strings.ReplaceAll(row[3], ",", `","`), `"," '`, ", '") + `"]`
		switch {
		case strings.HasSuffix(element, "Action"):
			r.Action = row[4]
		case row[4] == "*":
			r.Resource, r.Named = "*", ""
		default:
			r.Resource = "arn:aws:" + row[4]
		}
		var members []string
		for _, name := range []string{"Action", "NotAction", "Resource", "NotResource"} {
			if v, ok := elements[name]; ok {
				members = append(members, fmt.Sprintf("%q:%s", name, v))
			}
		}
		matches := func(effect, more string) policy.Decision {
			text := fmt.Sprintf(`{"Version":%q,"Statement":[{"Effect":%q,%s}%s]}`, version, effect, strings.Join(members, ","), more)
			set := policy.NewSet(policy.Attachment{Document: mustParse(t, text, policy.Identity)})
			return decide(t, &r, &policy.Policies{Identity: set})
		}
		allow := matches("Allow", "")
		deny := matches("Deny", `,{"Effect":"Allow","Action":"*","Resource":"*"}`)
		compare(t, row, allow.Allowed.Valid(), deny.Explicit, deny.Allowed.Valid(), map[string]bool{"yes": true, "no": false})
	}
}

func TestMatrix(t *testing.T) {
	u := used{}
	lines := map[string]string{"-": "", "allow": "Allow", "deny": "Deny + Allow", "silent": "silent"}
	for _, row := range table(t, "matrix.txt", 8, 194) {
		on := find(t, u, "resource", resources, row[1])
		r := policy.Request{Caller: find(t, u, "caller", callers, row[0]), Action: on.action, Resource: on.arn, ResourceAccount: on.account, Named: on.named}
		p := policy.Policies{
			Resource: setOf(t, u, strings.TrimPrefix(row[2], "-"), on.kind, true),
			Identity: setOf(t, u, find(t, u, "policy", lines, row[3]), policy.Identity, true),
			Boundary: setOf(t, u, find(t, u, "policy", lines, row[4]), policy.Identity, true),
			Session:  setOf(t, u, find(t, u, "policy", lines, row[5]), policy.Identity, true),
			Governs:  on.kind == policy.Key || on.kind == policy.Trust,
		}
		want := row[6]
		switch {
		case strings.HasPrefix(want, "no "):
			want = "because " + want + " allows the " + r.Action + " action"
		case strings.HasPrefix(want, "deny in "):
			want = "with an explicit " + want
		case want != "allow":
			t.Fatalf("%s: outcome %q", row[8], want)
		}
		d := decide(t, &r, &p)
		if got := verdict(&r, &d); got != want {
			t.Errorf("%s:\n got %s\nwant %s", row[8], got, want)
		}
	}
	u.all(t, "policy", keysOf(lines))
	u.all(t, "principal", keysOf(principals))
	for _, not := range []string{"alice-again", "alice-moved", "app-again", "*"} { // of requests only
		u["caller "+not], u["resource "+not] = true, true
	}
	u.all(t, "caller", keysOf(callers))
	u.all(t, "resource", keysOf(resources))
}

// The number of cases in each file: none gets lost.
var requestFiles = map[string]int{"principals.txt": 48, "organization.txt": 37, "keys.txt": 41, "context.txt": 31, "denials.txt": 37}

func TestRequests(t *testing.T) {
	entries, err := os.ReadDir("testdata/requests")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(requestFiles) {
		t.Errorf("%d files, want %d", len(entries), len(requestFiles))
	}
	u := used{}
	for name, least := range requestFiles {
		text, err := os.ReadFile("testdata/requests/" + name)
		if err != nil {
			t.Fatal(err)
		}
		cases := 0
		for _, block := range strings.Split(string(text), "\n\n") {
			var lines []string
			for _, line := range strings.Split(strings.TrimSpace(block), "\n") {
				if line != "" && !strings.HasPrefix(line, "#") {
					lines = append(lines, line)
				}
			}
			if len(lines) == 0 {
				continue
			}
			cases++
			t.Run(strings.TrimSuffix(name, ".txt")+"/"+lines[0], func(t *testing.T) { request(t, u, lines[1:]) })
		}
		if cases < least {
			t.Errorf("%s: only %d cases", name, cases)
		}
	}
	u.all(t, "caller", []string{"alice-again", "alice-moved", "app-again"})
	u.all(t, "resource", []string{"secret", "key", "role", "*"})
}

// request runs a case: its lines but the first.
func request(t *testing.T, u used, lines []string) {
	fields := map[string][]string{}
	for _, line := range lines[:len(lines)-1] {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			t.Fatalf("not a field: %q", line)
		}
		fields[name] = append(fields[name], value)
	}
	take := func(name, standard string) string {
		values := fields[name]
		delete(fields, name)
		switch len(values) {
		case 0:
			return standard
		case 1:
			return values[0]
		}
		t.Fatalf("%s twice", name)
		return ""
	}
	on := find(t, u, "resource", resources, take("on", "secret"))
	r := policy.Request{Caller: find(t, u, "caller", callers, take("caller", "")), Action: take("action", on.action),
		Resource: on.arn, ResourceAccount: on.account, Named: on.named, Context: readFacts(take("context", ""))}
	want, bound := lines[len(lines)-1], take("unbound", "no") == "no"
	document := take("resource", "")
	if want == "refused" {
		if d, err := policy.Parse([]byte(policyText(t, u, document, on.kind)), on.kind); err == nil {
			t.Errorf("accepted: %+v", d)
		}
		return
	}
	p := policy.Policies{
		Resource: setOf(t, u, document, on.kind, bound),
		Identity: setOf(t, u, take("identity", ""), policy.Identity, bound),
		Boundary: setOf(t, u, take("boundary", ""), policy.Identity, bound),
		Session:  setOf(t, u, take("session", ""), policy.Identity, bound),
		Endpoint: setOf(t, u, take("endpoint", ""), policy.Resource, bound),
		Governs:  on.kind == policy.Key || on.kind == policy.Trust && strings.HasPrefix(r.Action, "sts:"),
		Open:     take("open", "no") == "yes",
	}
	for _, line := range fields["scp"] {
		p.ServiceControl = append(p.ServiceControl, setOf(t, u, line, policy.Identity, bound))
	}
	for _, line := range fields["rcp"] {
		p.ResourceControl = append(p.ResourceControl, setOf(t, u, line, policy.Resource, bound))
	}
	if text := take("encryption", ""); text != "" {
		p.EncryptionContext = pairs(t, text)
	}
	if lines := fields["grant"]; lines != nil {
		var grants []*policy.Grant
		for i, line := range lines {
			grants = append(grants, grantOf(t, u, fmt.Sprint("grant ", i), line))
		}
		p.Grants = func() []*policy.Grant { return grants }
	}
	for _, several := range []string{"scp", "rcp", "grant"} {
		delete(fields, several)
	}
	for name := range fields {
		t.Errorf("unknown field %q", name)
	}

	d := decide(t, &r, &p)
	got := verdict(&r, &d)
	want, ok := strings.CutPrefix(want, "=> ")
	if !ok {
		t.Fatalf("no outcome: %q", want)
	}
	if strings.HasPrefix(want, "User: ") {
		got = r.Denial(&d)
	}
	if reason, ok := strings.CutSuffix(want, " allows it"); ok {
		want = reason + " allows the " + r.Action + " action"
	}
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

var grantForm = regexp.MustCompile(`^to (\S+) of ([A-Za-z:]+(?:, [A-Za-z:]+)*)(?: (equals|subset) (.+))?$`)

func grantOf(t *testing.T, u used, id, line string) *policy.Grant {
	t.Helper()
	m := grantForm.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("not a grant: %q", line)
	}
	d := mustParse(t, policyText(t, u, "Allow to "+m[1], policy.Key), policy.Key)
	d.Bind(ids)
	g := &policy.Grant{ID: id, Grantee: d.Statements[0].Principals.AWS[0], Actions: strings.Split(m[2], ", ")}
	switch m[3] {
	case "equals":
		g.ContextEquals = pairs(t, m[4])
	case "subset":
		g.ContextSubset = pairs(t, m[4])
	}
	return g
}

// pairs reads KEY=VALUE ..., "-" for none.
func pairs(t *testing.T, text string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pair := range strings.Fields(strings.TrimPrefix(text, "-")) {
		k, v, ok := strings.Cut(pair, "=")
		if !ok {
			t.Fatalf("not a pair: %q", pair)
		}
		out[k] = v
	}
	return out
}
