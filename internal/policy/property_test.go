package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"coffer/internal/policy"
)

// gen makes policies and requests that often just match or just miss each other.
type gen struct{ *rand.Rand }

func newGen(seed uint64) gen { return gen{rand.New(rand.NewPCG(seed, 1))} }

func pick[T any](g gen, from ...T) T { return from[g.IntN(len(from))] }

func (g gen) odds(percent int) bool { return g.IntN(100) < percent }

// some picks one to most, with repetitions.
func some[T any](g gen, most int, from ...T) (out []T) {
	for range 1 + g.IntN(most) {
		out = append(out, pick(g, from...))
	}
	return out
}

func (g gen) caller() policy.Caller {
	names := keysOf(callers)
	slices.Sort(names)
	return callers[pick(g, names...)]
}

func (g gen) principals(kind policy.Kind) []string {
	if kind == policy.Identity {
		return nil
	}
	return some(g, 3, "everybody", "account", "account", "other-account", "alice", "app", "app", "pod-1", "pod-2", "fed", "bob", "visitor", "visitor-1",
		"service lambda", "service ecs", "federated oidc", "federated saml")
}

var genResources = []string{
	"*", "*", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-Xy12Zw", "arn:aws:secretsmanager:*:*:secret:app/*",
	"arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-??????", "arn:aws:*:*:111122223333:*", "arn:*:*:*:????????????:*",
	"arn:aws:kms:eu-west-1:111122223333:key/*", "arn:aws:secretsmanager:*:secret:*:*", "arn:*:*:*:secret:app/*", "arn:aws:secretsmanager:*:secret:app/*", "arn:aws:secretsmanager:*:*:secret:*?*-*12*",
	"arn:aws:secretsmanager:*:*:secret:${aws:username}/*", "arn:aws:secretsmanager:*:${aws:PrincipalTag/team}:*",
	"arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team, 'app'}/d${*}*", "arn:aws:iam::*:role/svc/*", "arn:aws:secretsmanager:*:*:*${aws:TagKeys}*",
	"arn:aws:secretsmanager:*:*:*:${aws:username}?d*-??????",
}

func (g gen) condition() refCondition {
	family := pick(g, "String", "String", "Numeric", "Date", "Bool", "Binary", "Ip", "Arn", "Null")
	c := refCondition{}
	texts := []string{"app", "App", "a*", "?pp", "", "*", "a${*}p", "${aws:PrincipalTag/team}", "${aws:username, 'app'}", "${aws:PrincipalTag/team}*", "é*", "${aws:TagKeys}", "*${aws:username}?"}
	var values []string
	switch family {
	case "String":
		c.operator = pick(g, "StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike")
		c.key = pick(g, "aws:username", "aws:PrincipalTag/team", "aws:TagKeys", "AWS:PrincipalTag/Team")
		values = texts
	case "Numeric":
		c.operator = "Numeric" + pick(g, "Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
		c.key, values = "s3:max-keys", genNumbers
	case "Date":
		c.operator = "Date" + pick(g, "Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
		c.key, values = "aws:CurrentTime", genDates
	case "Bool":
		c.operator, c.key, values = "Bool", "aws:SecureTransport", []string{"true", "false", "True"}
	case "Binary":
		c.operator, c.key, values = "BinaryEquals", "aws:b", []string{"AAAA", "AAAB", "QmluYXJ5"}
	case "Ip":
		c.operator, c.key = pick(g, "IpAddress", "NotIpAddress"), "aws:SourceIp"
		values = []string{"203.0.113.0/24", "203.0.113.7", "0.0.0.0/0", "2001:db8::/32", "2001:db8::1", "::/0"}
	case "Arn":
		c.operator, c.key = "Arn"+pick(g, "Equals", "NotEquals", "Like", "NotLike"), "aws:SourceArn"
		values = append([]string{"${aws:SourceArn}", "${aws:PrincipalTag/team}", "arn:aws:${aws:username}", "app", "arn:aws:*"}, genResources...)
	default:
		c.operator, c.key, values = "Null", pick(g, "aws:username", "aws:TagKeys", "aws:SourceIp"), []string{"true", "false"}
	}
	if c.operator != "Null" {
		c.operator = pick(g, "", "", "", "ForAllValues:", "ForAnyValue:") + c.operator + pick(g, "", "", "IfExists")
	}
	if c.values = some(g, 3, values...); g.odds(4) {
		c.values = []string{}
	}
	return c
}

var (
	genNumbers = []string{"10", "10.0", "1e1", "-10", "9.99", "9007199254740993", "9007199254740992.0", "0", "-0.0", "12345678901234567890123", "100e-1", "0.001"}
	genDates   = []string{"2026-01-01T00:00:00Z", "2026-01-01", "1767225600", "2026-01-01T01:00:00+01:00", "2025-12-31T23:59:59.9Z", "2027-01-01T00:00:00Z"}
)

func (g gen) facts() facts {
	f := facts{}
	set := func(key string, odds int, values ...string) {
		if !g.odds(odds) {
			return
		}
		f[key] = some(g, 1, values...)
		if g.odds(15) {
			f[key] = some(g, 3, values...)
		}
		if g.odds(3) {
			f[key] = []string{}
		}
	}
	names := []string{"app", "App", "apple", "a*p", "", "*", "111122223333", "secret:app", "éa", "x", "arn:aws:iam::111122223333:role/svc/app"}
	set("aws:username", 60, names...)
	set("aws:principaltag/team", 60, names...)
	set("aws:tagkeys", 60, names...)
	set("s3:max-keys", 70, append(genNumbers, "ten", "", "0x10", "1_0")...)
	set("aws:currenttime", 70, append(genDates, "soon", "2026-13-01")...)
	set("aws:securetransport", 70, "true", "false", "TRUE", "1", "")
	set("aws:b", 70, "AAAA", "AAAB", "QmluYXJ5", "?")
	set("aws:sourceip", 70, "203.0.113.7", "203.0.113.8", "2001:db8::1", "::ffff:203.0.113.7", "host", "198.51.100.1")
	set("aws:sourcearn", 70, append(names, resources["secret"].arn, resources["key"].arn, resources["role"].arn)...)
	return f
}

func (g gen) statement(kind policy.Kind, allow int) refStatement {
	s := refStatement{effect: "Deny", principals: g.principals(kind)}
	if g.odds(allow) {
		s.effect = "Allow"
	}
	s.notPrincipal = s.principals != nil && g.odds(8)
	s.actions = some(g, 2, "*", "*", "secretsmanager:*", "SecretsManager:get*", "kms:*", "kms:Decrypt", "sts:AssumeRole*", "s3:*", "secretsmanager:?etSecret*", "secretsmanager:PutSecretValue")
	s.notAction = g.odds(10)
	if kind != policy.Trust {
		s.resources, s.notResource = some(g, 2, genResources...), g.odds(12)
	}
	if g.odds(40) {
		for range 1 + g.IntN(2) {
			c := g.condition()
			// The same operator and key twice is no policy.
			if !slices.ContainsFunc(s.conditions, func(d refCondition) bool { return d.operator == c.operator && d.key == c.key }) {
				s.conditions = append(s.conditions, c)
			}
		}
	}
	return s
}

func (g gen) documents(kind policy.Kind, allow int) []refDocument {
	ds := []refDocument{}
	for range 1 + g.IntN(2) {
		d := refDocument{version: pick(g, "2012-10-17", "2012-10-17", "2012-10-17", "2008-10-17")}
		for range 1 + g.IntN(3) {
			d.statements = append(d.statements, g.statement(kind, allow))
		}
		ds = append(ds, d)
	}
	if g.odds(3) {
		return ds[:0]
	}
	return ds
}

func (g gen) request() (policy.Request, string) {
	on := pick(g, "secret", "secret", "secret", "other-secret", "key", "role", "*")
	what := resources[on]
	r := policy.Request{Caller: g.caller(), Action: what.action, Resource: what.arn, ResourceAccount: what.account, Named: what.named, Context: g.facts()}
	if g.odds(10) {
		r.Action = pick(g, "secretsmanager:PutSecretValue", "secretsmanager:GETSECRETVALUE")
	}
	return r, on
}

func (g gen) policies(on string) refPolicies {
	kind := resources[on].kind
	p := refPolicies{governs: kind == policy.Key || kind == policy.Trust, open: g.odds(1)}
	maybe := func(odds, allow int, kind policy.Kind) []refDocument {
		if !g.odds(odds) {
			return nil
		}
		return g.documents(kind, allow)
	}
	p.identity = maybe(85, 90, policy.Identity)
	p.boundary = maybe(25, 90, policy.Identity)
	p.session = maybe(30, 90, policy.Identity)
	p.endpoint = maybe(10, 95, policy.Resource)
	if on != "*" {
		p.resource = maybe(75, 85, kind)
	}
	p.trust = kind == policy.Trust && len(p.resource) > 0
	for g.odds(15) && len(p.scp) < 4 {
		p.scp = append(p.scp, g.documents(policy.Identity, 85))
	}
	for g.odds(10) && len(p.rcp) < 4 {
		p.rcp = append(p.rcp, g.documents(policy.Resource, 85))
	}
	if on == "key" && g.odds(50) {
		for range 1 + g.IntN(2) {
			grant := refGrant{grantee: pick(g, "alice", "app", "pod-1", "bob", "visitor", "visitor-1", "account"), actions: some(g, 2, "kms:Decrypt", "kms:Encrypt")}
			pairs := map[string]string{"a": pick(g, "1", "2")}
			switch g.IntN(3) {
			case 0:
				grant.equals = pairs
			case 1:
				grant.subset = pairs
			}
			p.grants = append(p.grants, grant)
		}
		switch g.IntN(3) {
		case 0:
			p.encryption = map[string]string{}
		case 1:
			p.encryption = map[string]string{"a": "1"}
		}
		if g.odds(20) && p.encryption != nil {
			p.encryption["b"] = "2"
		}
	}
	return p
}

// text writes a document, its members and statements in the order given by g.
func (d *refDocument) text(g gen) string {
	statements := []string{}
	for _, s := range d.statements {
		members := []string{member("Effect", s.effect), member(not(s.notAction, "Action"), s.actions)}
		if s.resources != nil {
			members = append(members, member(not(s.notResource, "Resource"), s.resources))
		}
		if s.principals != nil {
			byKind := map[string][]string{}
			for _, name := range s.principals {
				kind, text := principals[name][0], principals[name][1]
				byKind[kind] = append(byKind[kind], text)
			}
			members = append(members, member(not(s.notPrincipal, "Principal"), byKind))
		}
		if s.conditions != nil {
			byOperator := map[string]map[string][]string{}
			for _, c := range s.conditions {
				if byOperator[c.operator] == nil {
					byOperator[c.operator] = map[string][]string{}
				}
				byOperator[c.operator][c.key] = c.values
			}
			members = append(members, member("Condition", byOperator))
		}
		g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		statements = append(statements, "{"+strings.Join(members, ",")+"}")
	}
	members := []string{member("Version", d.version), `"Statement":[` + strings.Join(statements, ",") + "]"}
	if g.odds(50) {
		slices.Reverse(members)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func not(n bool, element string) string {
	if n {
		return "Not" + element
	}
	return element
}

func member(name string, value any) string {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%q:%s", name, b)
}

// compile makes a set of what the reference reads.
func compile(t testing.TB, g gen, ds []refDocument, kind policy.Kind) *policy.Set {
	t.Helper()
	if ds == nil {
		return nil
	}
	var as []policy.Attachment
	for i := range ds {
		d := mustParse(t, ds[i].text(g), kind)
		d.Bind(ids)
		as = append(as, policy.Attachment{Document: d, Source: fmt.Sprint(i)})
	}
	return policy.NewSet(as...)
}

func compileAll(t testing.TB, g gen, p *refPolicies, kind policy.Kind) *policy.Policies {
	t.Helper()
	out := &policy.Policies{
		Identity: compile(t, g, p.identity, policy.Identity), Boundary: compile(t, g, p.boundary, policy.Identity),
		Session: compile(t, g, p.session, policy.Identity), Endpoint: compile(t, g, p.endpoint, policy.Resource),
		Resource: compile(t, g, p.resource, kind), Governs: p.governs, Open: p.open, EncryptionContext: p.encryption,
	}
	for _, level := range p.scp {
		out.ServiceControl = append(out.ServiceControl, compile(t, g, level, policy.Identity))
	}
	for _, level := range p.rcp {
		out.ResourceControl = append(out.ResourceControl, compile(t, g, level, policy.Resource))
	}
	if p.grants != nil {
		var grants []*policy.Grant
		for _, rg := range p.grants {
			d := refDocument{"2012-10-17", []refStatement{{effect: "Allow", principals: []string{rg.grantee}, actions: []string{"*"}, resources: []string{"*"}}}}
			doc := mustParse(t, d.text(g), policy.Key)
			doc.Bind(ids)
			grants = append(grants, &policy.Grant{ID: "g", Grantee: doc.Statements[0].Principals.AWS[0], Actions: rg.actions, ContextEquals: rg.equals, ContextSubset: rg.subset})
		}
		out.Grants = func() []*policy.Grant { return grants }
	}
	return out
}

// property checks all that is true of any request and policies.
func property(t testing.TB, seed uint64) (outcome string) {
	t.Helper()
	g := newGen(seed)
	r, on := g.request()
	p := g.policies(on)
	kind := resources[on].kind
	real := compileAll(t, g, &p, kind)
	d := decide(t, &r, real)
	outcome = verdict(&r, &d)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: %s\n%+v\n%+v", seed, outcome, r, p)
		}
	}()
	if want := refDecide(&r, &p); outcome != want {
		t.Errorf("got  %s\nwant %s", outcome, want)
	}

	// Neither the order of anything nor how statements are spread over documents matters.
	shuffled := p
	for _, ds := range []*[]refDocument{&shuffled.identity, &shuffled.boundary, &shuffled.session, &shuffled.endpoint, &shuffled.resource} {
		*ds = g.shuffle(*ds)
	}
	shuffled.grants = slices.Clone(p.grants)
	slices.Reverse(shuffled.grants)
	r2 := r
	r2.Context = g.shuffleFacts(r.Context.(facts))
	again := policy.Evaluate(&r2, compileAll(t, g, &shuffled, kind))
	if got := verdict(&r2, &again); got != outcome {
		t.Errorf("in another order: %s", got)
	}

	// What only restricts never lets in.
	if outcome == "allow" || p.open {
		return outcome
	}
	more := p
	change := ""
	switch g.IntN(9) {
	case 0:
		change, more.identity = "a Deny for the caller", g.withDeny(p.identity, policy.Identity)
	case 1:
		change, more.resource = "a Deny on the resource", g.withDeny(p.resource, kind)
		more.trust = kind == policy.Trust
	case 2:
		change, more.boundary = "a Deny in the boundary", g.withDeny(p.boundary, policy.Identity)
	case 3:
		change, more.session = "a Deny in the session policy", g.withDeny(p.session, policy.Identity)
		if p.session == nil && r.Caller.Type == policy.FederatedSession {
			return outcome // a session policy is what such a session has its permissions from
		}
	case 4:
		change, more.scp = "a level of service control", append(slices.Clone(p.scp), g.documents(policy.Identity, 90))
	case 5:
		change, more.rcp = "a level of resource control", append([][]refDocument{g.documents(policy.Resource, 90)}, p.rcp...)
	case 6:
		if p.endpoint == nil {
			change, more.endpoint = "an endpoint policy", g.documents(policy.Resource, 90)
		}
	case 7:
		if p.boundary == nil {
			change, more.boundary = "a boundary", g.documents(policy.Identity, 90)
		}
	case 8:
		if p.session == nil && r.Caller.Type != policy.FederatedSession {
			change, more.session = "a session policy", g.documents(policy.Identity, 90)
		}
	}
	if restricted := decide(t, &r, compileAll(t, g, &more, kind)); restricted.Allowed.Valid() {
		t.Errorf("%s lets in", change)
	}
	return outcome
}

// withDeny adds a Deny somewhere. Where there was no policy, the new one allows all else, so
// that it restricts by its Deny only.
func (g gen) withDeny(ds []refDocument, kind policy.Kind) []refDocument {
	deny := g.statement(kind, 0)
	if len(ds) == 0 {
		return append(slices.Clone(ds), refDocument{"2012-10-17", []refStatement{deny}})
	}
	ds = slices.Clone(ds)
	i := g.IntN(len(ds))
	ds[i].statements = slices.Insert(slices.Clone(ds[i].statements), g.IntN(len(ds[i].statements)+1), deny)
	return ds
}

// shuffle deals the statements of each language version out to documents anew.
func (g gen) shuffle(ds []refDocument) []refDocument {
	if len(ds) == 0 {
		return ds
	}
	var out []refDocument
	for _, version := range []string{"2012-10-17", "2008-10-17"} {
		var statements []refStatement
		for _, d := range ds {
			if d.version == version {
				statements = append(statements, d.statements...)
			}
		}
		g.Shuffle(len(statements), func(i, j int) { statements[i], statements[j] = statements[j], statements[i] })
		for len(statements) > 0 {
			n := 1 + g.IntN(len(statements))
			out = append(out, refDocument{version, statements[:n]})
			statements = statements[n:]
		}
	}
	g.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	for i := range out {
		out[i].statements = slices.Clone(out[i].statements)
		for j := range out[i].statements {
			s := &out[i].statements[j]
			s.actions, s.resources, s.principals, s.conditions = g.dealt(s.actions), g.dealt(s.resources), g.dealt(s.principals), slices.Clone(s.conditions)
			for k := range s.conditions {
				s.conditions[k].values = g.dealt(s.conditions[k].values)
			}
		}
	}
	return out
}

func (g gen) dealt(list []string) []string {
	list = slices.Clone(list)
	g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func (g gen) shuffleFacts(f facts) facts {
	out := facts{}
	for k, values := range f {
		if out[k] = g.dealt(values); values != nil && out[k] == nil {
			out[k] = []string{}
		}
	}
	return out
}

// TestAgainstReference compares with the reference, and checks properties, on cases
// of which each outcome has to be among. The seed of a failure is printed.
func TestAgainstReference(t *testing.T) {
	t.Parallel()
	cases := 5000
	if testing.Short() {
		cases = 500
	}
	start := rand.Uint64()
	t.Logf("seeds from %d", start)
	outcomes := map[string]int{}
	for i := range cases {
		outcome := property(t, start+uint64(i))
		outcome, _, _ = strings.Cut(outcome, " allows ")
		outcomes[outcome]++
		if t.Failed() {
			t.FailNow()
		}
	}
	if testing.Short() {
		return
	}
	for _, outcome := range []string{"allow", "because no service control policy", "because no resource control policy", "because no VPC endpoint policy",
		"because no identity-based policy", "because no resource-based policy", "because no role trust policy", "because no permissions boundary", "because no session policy",
		"with an explicit deny in an identity-based policy", "with an explicit deny in a resource-based policy", "with an explicit deny in the role trust policy",
		"with an explicit deny in a permissions boundary", "with an explicit deny in a session policy", "with an explicit deny in a service control policy",
		"with an explicit deny in a resource control policy", "with an explicit deny in a VPC endpoint policy"} {
		if outcomes[outcome] == 0 {
			t.Errorf("no case came out as %q: %v", outcome, outcomes)
		}
	}
}

func FuzzEvaluate(f *testing.F) {
	for seed := range uint64(32) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { property(t, seed) })
}

// FuzzEvaluateAnything: whatever is accepted as a policy, of whatever kind, in whatever place,
// and whatever the request's facts are, there is a decision, and the same one again.
func FuzzEvaluateAnything(f *testing.F) {
	for _, row := range table(f, "parse.txt", 4, 120) {
		f.Add(expand(row[2], kindOf(f, row[1])), uint8(kindOf(f, row[1])), uint8(1), "AIDAALICE", "a*b", "x")
	}
	for i, row := range table(f, "conditions.txt", 4, 295) {
		text := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":` + row[2] + `}]}`
		f.Add(text, uint8(policy.Identity), uint8(i), "blue", "\xff\xfe:*", strings.Repeat("a", i*7))
	}
	names := keysOf(callers)
	slices.Sort(names)
	f.Fuzz(func(t *testing.T, text string, k, who uint8, a, b, c string) {
		kind := policy.Kind(k % 4)
		doc, err := policy.Parse([]byte(text), kind)
		if err != nil {
			return
		}
		set := policy.NewSet(policy.Attachment{Document: doc, Source: text})
		r := policy.Request{Caller: callers[names[int(who)%len(names)]], ResourceAccount: own, Named: a, Context: anything{a, b, c}}
		for _, on := range []string{"secret", "key", "role", "*"} {
			r.Action, r.Resource = resources[on].action, resources[on].arn
			for _, p := range []policy.Policies{
				{Identity: set}, {Resource: set}, {Resource: set, Governs: true}, {Identity: set, Boundary: set, Session: set},
				{ServiceControl: []*policy.Set{set, set}, Resource: set, Endpoint: set}, {ResourceControl: []*policy.Set{set}, Identity: set, Resource: set},
			} {
				d := decide(t, &r, &p)
				if d.Explicit && !slices.ContainsFunc(doc.Statements, func(s policy.Statement) bool { return s.Effect == policy.Deny }) {
					t.Fatal("denied without a Deny")
				}
				if d.Allowed.Valid() && r.Caller.Type != policy.Root && !slices.ContainsFunc(doc.Statements, func(s policy.Statement) bool { return s.Effect == policy.Allow }) {
					t.Fatal("allowed without an Allow")
				}
				if !d.Allowed.Valid() {
					r.Denial(&d)
				}
			}
		}
		// A resource and an action that are no such thing are denied, and nothing worse.
		r.Action, r.Resource = a, b
		policy.Evaluate(&r, &policy.Policies{Identity: set, Resource: set})
		doc.LocksOut(&r)
	})
}

// anything knows every key: some have a value, some several, some none, by the length of the key.
type anything []string

func (a anything) Values(dst []string, key string) ([]string, bool) {
	switch n := len(key) % 8; {
	case n < 4:
		return append(dst, a[n%3]), true
	case n < 6:
		return append(append(dst, a...), a...), true
	case n == 6:
		return dst, true
	}
	return dst, false
}
