package policy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"coffer/internal/policy"
)

// table reads testdata/name: lines of columns separated by " | ".
func table(t testing.TB, name string, columns, least int) [][]string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.Split(line, " | ")
		if len(row) == columns-1 && strings.Contains(line, " | | ") { // an empty column
			row = strings.Split(strings.Replace(line, " | | ", " |  | ", 1), " | ")
		}
		if len(row) != columns {
			t.Fatalf("%s:%d: %d columns, want %d", name, i+1, len(row), columns)
		}
		rows = append(rows, append(row, fmt.Sprintf("%s:%d: %s", name, i+1, row[columns-1])))
	}
	if len(rows) < least {
		t.Fatalf("%s: only %d cases", name, len(rows))
	}
	return rows
}

func mustParse(t testing.TB, text string, kind policy.Kind) *policy.Document {
	t.Helper()
	d, err := policy.Parse([]byte(text), kind)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return d
}

func kindOf(t testing.TB, name string) policy.Kind {
	t.Helper()
	for _, k := range []policy.Kind{policy.Identity, policy.Resource, policy.Key, policy.Trust} {
		if k.String() == name {
			return k
		}
	}
	t.Fatalf("no kind %q", name)
	return 0
}

func expand(text string, kind policy.Kind) string {
	a := `"Effect":"Allow","Action":"secretsmanager:GetSecretValue"`
	if kind != policy.Identity {
		a += `,"Principal":{"AWS":"111122223333"}`
	}
	if kind != policy.Trust {
		a += `,"Resource":"*"`
	}
	return strings.ReplaceAll(text, "{A}", a)
}

func TestParse(t *testing.T) {
	faults := map[policy.Fault]string{policy.FaultSyntax: "syntax", policy.FaultPrincipal: "principal", policy.FaultService: "service"}
	for _, row := range table(t, "parse.txt", 4, 196) {
		kind := kindOf(t, row[1])
		// {A} within braces: a statement's own members.
		text := expand(row[2], kind)
		d, err := policy.Parse([]byte(text), kind)
		if row[0] == "ok" {
			if err != nil || d == nil {
				t.Errorf("%s: %v", row[4], err)
			}
			continue
		}
		var e *policy.SyntaxError
		if !errors.As(err, &e) || d != nil {
			t.Errorf("%s: accepted", row[4])
			continue
		}
		if faults[e.Fault] != row[0] || e.Path == "" || e.Reason == "" {
			t.Errorf("%s: %s (%v), want %s", row[4], faults[e.Fault], err, row[0])
		}
	}
}

func TestParseKeepsWhatWasWritten(t *testing.T) {
	d := mustParse(t, `{"Version":"2012-10-17","Id":"i","Statement":[{"Sid":"s","Effect":"Deny",
		"NotPrincipal":{"AWS":["111122223333","arn:aws:iam::111122223333:role/p/r"],"Service":"x.amazonaws.com"},
		"NotAction":["a:B*"],"NotResource":"arn:aws:s3:::${aws:username}/*",
		"Condition":{"ForAnyValue:StringNotLikeIfExists":{"aws:TagKeys":["x*",7,false]}}}]}`, policy.Resource)
	s := d.Statements[0]
	if d.Version != policy.Version2012 || d.ID != "i" || s.Sid != "s" || s.Effect != policy.Deny || s.Effect.String() != "Deny" ||
		!s.NotPrincipal || !s.NotAction || !s.NotResource || s.Actions[0] != "a:B*" || !s.Resources[0].Variables() || !s.Resources[0].Wildcards() {
		t.Errorf("%+v", d)
	}
	if p := s.Principals; p.Any || p.AWS[0].Type != policy.Account || p.AWS[1].Type != policy.Role || p.AWS[1].Name != "p/r" || p.Service[0] != "x.amazonaws.com" {
		t.Errorf("%+v", s.Principals)
	}
	c := s.Conditions[0]
	want := policy.Operator{Set: policy.ForAnyValue, Name: "StringNotLike", Family: policy.StringFamily, Negated: true, IfExists: true}
	if c.Operator != want || c.Key != "aws:TagKeys" || c.Values[1].Text != "7" || c.Values[2].Text != "false" {
		t.Errorf("%+v", c)
	}
	if d := mustParse(t, expand(`{"Statement":[{{A}}]}`, policy.Key), policy.Key); d.Version != policy.Version2008 {
		t.Errorf("default version %q", d.Version)
	}
}

func TestParseLimits(t *testing.T) {
	long := expand(`{"Statement":[{{A},"Sid":"`+strings.Repeat("a", 131072)+`"}]}`, policy.Resource)
	if _, err := policy.Parse([]byte(long), policy.Resource); err == nil {
		t.Error("a text longer than any policy is accepted")
	}
	if _, err := policy.Parse([]byte(strings.Repeat("[", 100000)), policy.Resource); err == nil {
		t.Error("deep nesting is accepted")
	}
	for _, bad := range []string{"\xff", "{\"a\xff\":1}", "\ufeff{}", "{\"a\x01\":1}"} {
		if _, err := policy.Parse([]byte(bad), policy.Resource); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	// As many keys as fit, twice the last one: found without a quadratic search.
	var b strings.Builder
	for i := range 8000 {
		fmt.Fprintf(&b, `"aws:k%d":"",`, i)
	}
	many := expand(`{"Statement":[{{A},"Condition":{"StringEquals":{`+b.String()+`"aws:k%s":""}}}]}`, policy.Resource)
	if _, err := policy.Parse([]byte(strings.Replace(many, "%s", "8000", 1)), policy.Resource); err != nil {
		t.Error(err)
	}
	if _, err := policy.Parse([]byte(strings.Replace(many, "%s", "7999", 1)), policy.Resource); err == nil {
		t.Error("a duplicate among many keys is accepted")
	}
}

func TestLength(t *testing.T) {
	for text, want := range map[string]int{
		``: 0, `{ }`: 2, "{\n\t\"a b\" : 1 }": 9, `"\" "`: 5, `"é"`: 3, `"a\\" `: 5,
	} {
		if got := policy.Length([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// normalize spells account ids out, as services do when they give policies back.
func normalize(text, partition string) string {
	return policy.RewritePrincipals(text, func(p string) string { return policy.RootARN(partition, p) })
}

func TestRewritePrincipals(t *testing.T) {
	for in, want := range map[string]string{
		`{"Statement":{"Principal":{"AWS":"111122223333"}}}`:                                              `{"Statement":{"Principal":{"AWS":"arn:aws:iam::111122223333:root"}}}`,
		`{"Statement":[{ "NotPrincipal" : {"AWS":["111122223333", "444455556666"]}}, {"Principal":"*"}]}`: `{"Statement":[{ "NotPrincipal" : {"AWS":["arn:aws:iam::111122223333:root", "arn:aws:iam::444455556666:root"]}}, {"Principal":"*"}]}`,
		// Elsewhere an account id is just a text.
		`{"Id":"111122223333","Statement":{"Principal":{"AWS":"*","Service":"111122223333"},"Condition":{"StringEquals":{"aws:SourceAccount":"111122223333"}}}}`: ``,
		`not json`:                     ``,
		`{"Statement":"111122223333"}`: ``,
	} {
		if want == "" {
			want = in
		}
		if got := normalize(in, "aws"); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
	if got := normalize(`{"Statement":{"Principal":{"AWS":"111122223333"}}}`, "aws-cn"); !strings.Contains(got, "arn:aws-cn:iam::") {
		t.Errorf("partition: %s", got)
	}
}

func publicCase(version, elements string) string {
	for _, add := range []struct{ name, text string }{
		{`"Effect"`, `"Effect":"Allow"`}, {`Action"`, `"Action":"secretsmanager:GetSecretValue"`}, {`"Resource"`, `"Resource":"*"`},
	} {
		if !strings.Contains(elements, add.name) {
			elements += "," + add.text
		}
	}
	return `{"Version":"` + version + `-10-17","Statement":[{` + elements + `}]}`
}

func TestPublic(t *testing.T) {
	closed := mustParse(t, expand(`{"Statement":[{{A}}]}`, policy.Resource), policy.Resource).Statements[0]
	deny := mustParse(t, publicCase("2012", `"Effect":"Deny","Principal":"*"`), policy.Resource).Statements[0]
	for _, row := range table(t, "public.txt", 4, 107) {
		d := mustParse(t, publicCase(row[1], row[2]), policy.Resource)
		_, got := d.Public()
		if want := row[0] == "public"; got != want || row[0] != "public" && row[0] != "closed" {
			t.Errorf("%s: public %v, want %s", row[4], got, row[0])
		}
		// No statement before or after makes a public policy private.
		for _, more := range []policy.Statement{closed, deny} {
			both := &policy.Document{Kind: d.Kind, Version: d.Version, Statements: []policy.Statement{more, d.Statements[0], more}}
			if i, now := both.Public(); now != got || now && i != 1 {
				t.Errorf("%s: public %v at %d with more statements", row[4], now, i)
			}
		}
	}
}

// Any two cases together are public when one of them is.
func TestPublicIsMonotonic(t *testing.T) {
	rows := table(t, "public.txt", 4, 60)
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		a, b := rows[r.IntN(len(rows))], rows[r.IntN(len(rows))]
		if a[1] != b[1] {
			continue
		}
		d := mustParse(t, publicCase(a[1], a[2]), policy.Resource)
		d.Statements = append(d.Statements, mustParse(t, publicCase(b[1], b[2]), policy.Resource).Statements...)
		if _, got := d.Public(); got != (a[0] == "public" || b[0] == "public") {
			t.Errorf("%s with %s: public %v", a[4], b[4], got)
		}
	}
}

func TestLocksOut(t *testing.T) {
	authors := map[string]policy.Request{
		"root": {Caller: rootOf("111122223333")},
		"role": {Caller: policy.Caller{Type: policy.AssumedRole, ARN: "arn:aws:sts::111122223333:assumed-role/deploy/job1", Account: "111122223333",
			Entity: "arn:aws:iam::111122223333:role/ci/deploy", ID: "AROAEXAMPLEEXAMPLE111"}},
		"other": {Caller: rootOf("444455556666")},
	}
	for _, row := range table(t, "lockout.txt", 5, 66) {
		r, ok := authors[row[2]]
		if !ok {
			r = policy.Request{Caller: find(t, used{}, "caller", callers, row[2])}
		}
		kind := kindOf(t, row[1])
		r.Resource = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-Xy12Zw"
		if kind == policy.Key {
			r.Resource = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
		}
		d := mustParse(t, `{"Version":"2012-10-17","Statement":[`+row[3]+`]}`, kind)
		if got := d.LocksOut(&r); got != (row[0] == "out") {
			t.Errorf("%s: %v, want %s", row[5], got, row[0])
		}
	}
	for _, kind := range []policy.Kind{policy.Identity, policy.Trust} {
		d := mustParse(t, strings.Replace(expand(`{"Statement":[{{A}}]}`, kind), "Allow", "Deny", 1), kind)
		r := authors["root"]
		if d.LocksOut(&r) {
			t.Errorf("a %v policy locks out", kind)
		}
	}
}

func rootOf(account string) policy.Caller {
	arn := "arn:aws:iam::" + account + ":root"
	return policy.Caller{Type: policy.Root, ARN: arn, Account: account, Entity: arn, ID: account}
}

func rootRequest() policy.Request {
	return policy.Request{
		Caller:          rootOf("111122223333"),
		Action:          "secretsmanager:GetSecretValue",
		Resource:        "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-Xy12Zw",
		ResourceAccount: "111122223333", Named: "app/db",
	}
}

// Who and what is asked about must fit together, whatever the policies say.
func TestEvaluateFailsClosed(t *testing.T) {
	const identity = " because no identity-based policy allows the secretsmanager:GetSecretValue action"
	const resource = " because no resource-based policy allows the secretsmanager:GetSecretValue action"
	const root = "User: arn:aws:iam::111122223333:root is not authorized to perform: secretsmanager:GetSecretValue"
	everything := policy.NewSet(policy.Attachment{Document: mustParse(t, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, policy.Identity)})
	arn := func(r *policy.Request, arn string) { r.Caller.ARN, r.Caller.Entity = arn, arn }
	for _, tc := range []struct {
		rule   string
		change func(*policy.Request)
		text   string // of the denial; empty when allowed
	}{
		{"root on its own account", func(*policy.Request) {}, ""},
		{"root, any resource", func(r *policy.Request) { r.Resource, r.Named = "*", "" }, ""},
		{"root of another partition", func(r *policy.Request) {
			arn(r, "arn:aws-cn:iam::111122223333:root")
			r.Resource = strings.Replace(r.Resource, "arn:aws:", "arn:aws-cn:", 1)
		}, ""},
		{"a policy of AWS", func(r *policy.Request) { r.Resource = "arn:aws:iam::aws:policy/ReadOnlyAccess" }, ""},
		{"another account's secret", func(r *policy.Request) {
			r.Resource, r.ResourceAccount = strings.Replace(r.Resource, "111122223333", "444455556666", 1), "444455556666"
			r.Named = r.Resource
		}, root + " on resource: arn:aws:secretsmanager:eu-west-1:444455556666:secret:app/db-Xy12Zw" + resource},
		{"another account's list", func(r *policy.Request) { r.Resource, r.Named, r.ResourceAccount = "*", "", "444455556666" }, root + resource},
		{"no resource", func(r *policy.Request) { r.Resource, r.Named = "", "" }, root + resource},
		{"no resource account", func(r *policy.Request) { r.ResourceAccount = "" }, root + " on resource: app/db" + resource},
		{"an ARN of another account than stated", func(r *policy.Request) { r.Resource = strings.Replace(r.Resource, "111122223333", "444455556666", 1) }, root + " on resource: app/db" + resource},
		{"an ARN of another partition", func(r *policy.Request) { r.Resource = strings.Replace(r.Resource, "arn:aws:", "arn:aws-cn:", 1) }, root + " on resource: app/db" + resource},
		{"an ARN of a shorter partition", func(r *policy.Request) { arn(r, "arn:aws-cn:iam::111122223333:root") }, "User: arn:aws-cn:iam::111122223333:root is not authorized to perform: secretsmanager:GetSecretValue on resource: app/db" + resource},
		{"an ARN without partition", func(r *policy.Request) { r.Resource = "arn::x::111122223333:y" }, root + " on resource: app/db" + resource},
		{"not an ARN", func(r *policy.Request) { r.Resource = "app/db" }, root + " on resource: app/db" + resource},
		{"a cut ARN", func(r *policy.Request) { r.Resource = "arn:aws:x:y:111122223333" }, root + " on resource: app/db" + resource},
		{"a user who claims to be root", func(r *policy.Request) { arn(r, "arn:aws:iam::111122223333:user/root") }, "User: arn:aws:iam::111122223333:user/root is not authorized to perform: secretsmanager:GetSecretValue on resource: app/db" + identity},
		{"root of another account than stated", func(r *policy.Request) { arn(r, "arn:aws:iam::444455556666:root") }, "User: arn:aws:iam::444455556666:root is not authorized to perform: secretsmanager:GetSecretValue on resource: app/db" + identity},
		{"not an ARN as principal", func(r *policy.Request) { arn(r, "111122223333:root") }, "User: 111122223333:root is not authorized to perform: secretsmanager:GetSecretValue on resource: app/db" + identity},
		{"nobody", func(r *policy.Request) { r.Caller = policy.Caller{} }, "User: anonymous is not authorized to perform: secretsmanager:GetSecretValue on resource: app/db" + resource},
		{"somebody nameless", func(r *policy.Request) { r.Caller.ARN = "" }, "User: anonymous is not authorized to perform: secretsmanager:GetSecretValue on resource: app/db" + identity},
		{"a service of an account", func(r *policy.Request) {
			r.Caller = policy.Caller{Type: policy.AWSService, Service: "x.amazonaws.com", Account: own}
		}, "User: x.amazonaws.com is not authorized to perform: secretsmanager:GetSecretValue on resource: app/db" + identity},
		{"a service without name", func(r *policy.Request) { r.Caller = policy.Caller{Type: policy.AWSService} }, "User: anonymous is not authorized to perform: secretsmanager:GetSecretValue on resource: app/db" + identity},
		{"nobody of an account", func(r *policy.Request) { r.Caller = policy.Caller{Account: own} }, "User: anonymous is not authorized to perform: secretsmanager:GetSecretValue on resource: app/db" + identity},
		{"a token of no provider", func(r *policy.Request) { r.Caller = policy.Caller{Type: policy.WebIdentity} }, "User: anonymous is not authorized to perform: secretsmanager:GetSecretValue on resource: app/db" + identity},
		{"a caller of no known type", func(r *policy.Request) { r.Caller.Type = 99 }, root + " on resource: app/db" + identity},
		{"a session without role", func(r *policy.Request) { r.Caller.Type, r.Caller.Entity = policy.AssumedRole, "" }, root + " on resource: app/db" + identity},
		{"a user without unique id", func(r *policy.Request) { r.Caller.Type, r.Caller.ID = policy.IAMUser, "" }, root + " on resource: app/db" + identity},
		{"accounts that are no accounts", func(r *policy.Request) {
			arn(r, "arn:aws:iam:::root")
			r.Caller.Account, r.ResourceAccount, r.Resource = "", "", "arn:aws:x:::y"
		}, "User: arn:aws:iam:::root is not authorized to perform: secretsmanager:GetSecretValue on resource: app/db" + identity},
	} {
		r := rootRequest()
		tc.change(&r)
		d := policy.Evaluate(&r, &policy.Policies{Identity: everything})
		if a := d.Allowed; tc.text == "" {
			if !a.Valid() || a.Action() != r.Action || a.Resource() != r.Resource || !a.Allows(strings.ToUpper(r.Action), r.Resource) {
				t.Errorf("%s: %+v", tc.rule, a)
			}
			continue
		}
		if d.Allowed != (policy.Allowed{}) {
			t.Errorf("%s: allowed", tc.rule)
			continue
		}
		if got := r.Denial(&d); got != tc.text {
			t.Errorf("%s:\n got %s\nwant %s", tc.rule, got, tc.text)
		}
	}
	if d := policy.Evaluate(&policy.Request{}, &policy.Policies{}); d.Allowed.Valid() {
		t.Error("the zero request is allowed")
	}
	r := rootRequest()
	r.Action = ""
	if d := policy.Evaluate(&r, &policy.Policies{Identity: everything}); d.Allowed.Valid() {
		t.Error("a request without action is allowed")
	}
}

func TestIndividuals(t *testing.T) {
	d := mustParse(t, `{"Statement":[
		{"Effect":"Allow","Action":"*","Resource":"*","Principal":{"AWS":["`+alice+`","`+app+`","`+pod1+`","`+fed+`","111122223333","AIDABOBBOBBOBBOBBOB00"],"Service":"x.amazonaws.com"}},
		{"Effect":"Deny","Action":"*","Resource":"*","NotPrincipal":{"AWS":["`+visitor+`","`+app+`"]}},
		{"Effect":"Deny","Action":"*","Resource":"*","Principal":"*"}]}`, policy.Resource)
	if got, want := fmt.Sprint(d.Individuals()), fmt.Sprint([]string{alice, app, pod1, "AIDABOBBOBBOBBOBBOB00", visitor}); got != want {
		t.Errorf("individuals %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(d.AccountsNamed()), fmt.Sprint([]string{own, other}); got != want {
		t.Errorf("accounts %s, want %s", got, want)
	}
	d.Bind(nil)
	d.Bind(map[string]string{app: "AROAAPPAPPAPPAPPAPP00", pod1: "AROAAPPAPPAPPAPPAPP00", fed: "x", own: "x"})
	for i, want := range []string{"", "AROAAPPAPPAPPAPPAPP00", "AROAAPPAPPAPPAPPAPP00", "", "", ""} {
		if got := d.Statements[0].Principals.AWS[i]; got.ID != want {
			t.Errorf("%s bound to %q, want %q", got.Text, got.ID, want)
		}
	}
}

func TestZeroAllowedProvesNothing(t *testing.T) {
	var a policy.Allowed
	if a.Valid() || a.Allows("", "") || a.Action() != "" || a.Resource() != "" {
		t.Errorf("%+v", a)
	}
	r := rootRequest()
	a = policy.Evaluate(&r, &policy.Policies{}).Allowed
	if !a.Allows(r.Action, r.Resource) || a.Allows(r.Action, r.Resource+"x") || a.Allows("secretsmanager:DeleteSecret", r.Resource) {
		t.Error("proves another action or resource, or not its own")
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte(`{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/app"},"Action":"secretsmanager:GetSecretValue","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpce":"vpce-1a2b3c4d"}}}]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Parse(text, policy.Resource); err != nil {
			b.Fatal(err)
		}
	}
}
