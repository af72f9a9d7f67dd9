package policy_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/policy"
)

// The time a decision takes grows as what is made larger does, whatever an author of
// policies or a caller thinks out. Eight times the size may take up to 32
// times as long, the fastest of several runs; work that grows with the square takes 64 times.
func TestTimeIsLinear(t *testing.T) {
	conditions := func(operator string, values ...string) string {
		b, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		return `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"` + operator + `":{"aws:UserAgent":` + string(b) + `}}}`
	}
	const header = 60 << 10 // the longest that the server takes, about
	for _, tc := range []struct {
		name  string
		small int
		// make returns the statements and the value of aws:UserAgent for a size; that of
		// aws:Referer is a quarter of it.
		make func(n int) (statements []string, agent string)
	}{
		{"stars between letters", 500, func(n int) ([]string, string) {
			return []string{conditions("StringLike", strings.Repeat("*a", n)+"*b")}, strings.Repeat("a", header)
		}},
		{"question marks between letters", 50, func(n int) ([]string, string) {
			return []string{conditions("StringLike", "*"+strings.Repeat("a?", n)+"b*")}, strings.Repeat("a", 8<<10)
		}},
		{"a long text after a star, and a long value", 2000, func(n int) ([]string, string) {
			return []string{conditions("StringLike", "*"+strings.Repeat("a", n)+"b*")}, strings.Repeat("a", 4*n)
		}},
		{"a value looked for in another", 2000, func(n int) ([]string, string) {
			return []string{conditions("StringLike", "*${aws:Referer}b*")}, strings.Repeat("a", 4*n)
		}},
		{"the value many times over", 20, func(n int) ([]string, string) {
			return []string{conditions("StringLike", strings.Repeat("${aws:UserAgent}", n)+"b")}, strings.Repeat("a", header)
		}},
		{"the value, ignoring case", 2000, func(n int) ([]string, string) {
			return []string{conditions("StringEqualsIgnoreCase", "${aws:UserAgent}b")}, strings.Repeat("é", n)
		}},
		{"the value in a resource", 50, func(n int) ([]string, string) {
			return []string{`{"Effect":"Allow","Action":"*","Resource":"arn:aws:secretsmanager:*:*:*` + strings.Repeat("${aws:UserAgent}*", n) + `b"}`}, strings.Repeat("a", header)
		}},
		{"many values", 250, func(n int) ([]string, string) {
			return []string{conditions("StringLike", repeat("*b*", n)...)}, "aaaa"
		}},
		{"many statements", 50, func(n int) ([]string, string) {
			return repeat(conditions("StringLike", "*b*"), n), "aaaa"
		}},
	} {
		took := func(n int) time.Duration {
			statements, agent := tc.make(n)
			d := mustParse(t, `{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`, policy.Identity)
			return fastest(t, policy.Policies{Identity: policy.NewSet(policy.Attachment{Document: d})}, facts{"aws:useragent": {agent}, "aws:referer": {agent[:len(agent)/4]}})
		}
		linear(t, tc.name, took(tc.small), took(8*tc.small))
	}

	document := mustParse(t, `{"Version":"2012-10-17","Statement":[`+conditions("StringLike", "*b*")+`]}`, policy.Identity)
	request := facts{"aws:useragent": {"aaaa"}}
	linear(t, "many documents",
		fastest(t, policy.Policies{Identity: policy.NewSet(repeat(policy.Attachment{Document: document}, 100)...)}, request),
		fastest(t, policy.Policies{Identity: policy.NewSet(repeat(policy.Attachment{Document: document}, 800)...)}, request))
	set := policy.NewSet(policy.Attachment{Document: document})
	linear(t, "many levels",
		fastest(t, policy.Policies{ServiceControl: repeat(set, 100)}, request),
		fastest(t, policy.Policies{ServiceControl: repeat(set, 800)}, request))
	tags := mustParse(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ForAnyValue:StringLike":{"aws:TagKeys":"*b*"}}}]}`, policy.Identity)
	several := policy.Policies{Identity: policy.NewSet(policy.Attachment{Document: tags})}
	linear(t, "many values of the request",
		fastest(t, several, facts{"aws:tagkeys": repeat("aaaa", 200)}), fastest(t, several, facts{"aws:tagkeys": repeat("aaaa", 1600)}))
}

// Policies and requests, each of a size that AWS takes, that have to be compared with each
// other more often than there is time for: there is no decision, even if one that could allow came first.
func TestDecisionsAreBounded(t *testing.T) {
	const allow = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	deny := func(operator, key string, values ...string) *policy.Document {
		b, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		text := `{"Version":"2012-10-17","Statement":[` + allow + `,{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"` + operator + `":{"` + key + `":` + string(b) + `}}}]}`
		return mustParse(t, text, policy.Identity)
	}
	most := func(d *policy.Document) []policy.Attachment { // ten policies of the user and of each of ten groups
		return repeat(policy.Attachment{Document: d}, 110)
	}
	names := repeat("b", 1400)
	for _, tc := range []struct {
		name     string
		policies []policy.Attachment
		request  facts
		over     bool
	}{
		{"a long text and question marks, as many as AWS takes", most(deny("StringLike", "kms:EncryptionContext:a", "*"+strings.Repeat("?a", 2900)+"b*")),
			facts{"kms:encryptioncontext:a": {strings.Repeat("a", 8000)}}, true},
		{"the same in one policy", most(deny("StringLike", "kms:EncryptionContext:a", "*"+strings.Repeat("?a", 2900)+"b*"))[:10],
			facts{"kms:encryptioncontext:a": {strings.Repeat("a", 8000)}}, false},
		{"any of many names among many", most(deny("ForAnyValue:StringLike", "kms:EncryptionContextKeys", names...)), facts{"kms:encryptioncontextkeys": repeat("aa", 1600)}, true},
		{"all of many names among many", most(deny("ForAllValues:StringNotEquals", "kms:EncryptionContextKeys", names...)), facts{"kms:encryptioncontextkeys": repeat("aa", 1600)}, true},
		{"many numbers", most(deny("ForAnyValue:NumericEquals", "kms:EncryptionContextKeys", repeat("1", 1400)...)), facts{"kms:encryptioncontextkeys": repeat("2", 1600)}, true},
		{"many names, fifty tags", most(deny("ForAnyValue:StringLike", "aws:TagKeys", repeat("b", 100)...)), facts{"aws:tagkeys": repeat("aa", 50)}, false},
		{"a header in another, many times", most(deny("StringLike", "aws:UserAgent", repeat("*${aws:Referer}?b*", 200)...)),
			facts{"aws:useragent": {strings.Repeat("a", 60<<10)}, "aws:referer": {strings.Repeat("a", 15<<10)}}, true},
	} {
		r := rootRequest()
		r.Caller, r.Context = callers["alice"], tc.request
		d := policy.Evaluate(&r, &policy.Policies{Identity: policy.NewSet(tc.policies...)})
		if d.Exhausted != tc.over || d.Allowed.Valid() == tc.over || tc.over && (d.Explicit || len(d.Deciding()) > 0) {
			t.Errorf("%s: exhausted %v, allowed %v, by %v", tc.name, d.Exhausted, d.Allowed.Valid(), d.Deciding())
		}
		// To whom another account's resource is closed, it is just that.
		r.Resource, r.ResourceAccount = strings.Replace(r.Resource, r.ResourceAccount, "999988887777", 1), "999988887777"
		if d := policy.Evaluate(&r, &policy.Policies{Identity: policy.NewSet(tc.policies...)}); d.Exhausted || !d.Uninvited || d.Allowed.Valid() {
			t.Errorf("%s, on another account's resource: exhausted %v, uninvited %v, allowed %v", tc.name, d.Exhausted, d.Uninvited, d.Allowed.Valid())
		}
	}
}

func repeat[T any](v T, n int) (out []T) {
	for range n {
		out = append(out, v)
	}
	return out
}

// fastest is how long a decision takes that nothing allows, once the set knows the action.
func fastest(t *testing.T, p policy.Policies, f facts) time.Duration {
	t.Helper()
	r := rootRequest()
	r.Caller, r.Context = callers["alice"], f
	least := time.Duration(math.MaxInt64)
	for range 7 {
		start := time.Now()
		d := policy.Evaluate(&r, &p)
		least = min(least, time.Since(start))
		if d.Allowed.Valid() {
			t.Fatal("allowed")
		}
	}
	return least
}

func linear(t *testing.T, name string, small, large time.Duration) {
	t.Helper()
	// Below some microseconds it is the clock that is measured.
	if limit := 32 * max(small, 5*time.Microsecond); large > limit {
		t.Errorf("%s: %v, and eight times the size %v", name, small, large)
	}
}

// A value that is longer than what it is compared with is not even copied.
func TestLongValuesAreNotCopied(t *testing.T) {
	d := mustParse(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"arn:aws:secretsmanager:*:*:`+
		strings.Repeat("${aws:UserAgent}", 5000)+`"}]}`, policy.Identity)
	p := policy.Policies{Identity: policy.NewSet(policy.Attachment{Document: d})}
	r := rootRequest()
	r.Caller, r.Context = callers["alice"], facts{"aws:useragent": {strings.Repeat("a", 60<<10)}}
	if n := testing.AllocsPerRun(10, func() { policy.Evaluate(&r, &p) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is not UTF-8 must not pass for a wildcard: patterns keep those as bytes that are not.
func TestBrokenValuesAreNoWildcards(t *testing.T) {
	for _, tc := range []struct{ operator, value, inserted, given string }{
		{"StringLike", "${aws:username}", "\xff", "anything"}, {"StringLike", "${aws:username}", "\xfe", "a"},
		{"StringLike", "a${aws:username}", "\xff", "abc"}, {"StringEquals", "${aws:username}", "\xff", "*"},
		{"ArnLike", "arn:aws:iam::1:${aws:username}", "\xff", "arn:aws:iam::1:role/r"},
		{"ArnLike", "${aws:username}", "arn:aws:iam::1:\xff", "arn:aws:iam::1:role/r"},
		{"ArnLike", "*${aws:username}", "arn:aws:iam::1:r", "\xffarn:aws:iam::1:r"},
		{"ArnLike", "arn:aws:iam::1*", "", "arn:aws:iam::1\xff"},
	} {
		d := mustParse(t, fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{%q:{"aws:x":%q}}}]}`, tc.operator, tc.value), policy.Identity)
		r := rootRequest()
		r.Caller, r.Context = callers["alice"], facts{"aws:username": {tc.inserted}, "aws:x": {tc.given}}
		if d := decide(t, &r, &policy.Policies{Identity: policy.NewSet(policy.Attachment{Document: d})}); d.Allowed.Valid() {
			t.Errorf("%+v matches", tc)
		}
	}
}

// Trace is told of all that matches, also after a Deny, in each set.
func TestTraceIsComplete(t *testing.T) {
	u := used{}
	set := func(line string, kind policy.Kind) *policy.Set { return setOf(t, u, line, kind, true) }
	p := policy.Policies{
		ServiceControl: []*policy.Set{set("Deny + Allow", policy.Identity), set("Allow", policy.Identity)}, ResourceControl: []*policy.Set{set("Deny to everybody", policy.Resource)},
		Endpoint: set("Allow to account + Deny to bob", policy.Resource), Identity: set("Deny + Allow + Deny + Allow kms:*", policy.Identity),
		Resource: set("Allow to everybody + Allow to account + Deny to app", policy.Resource), Boundary: set("Deny + Allow", policy.Identity),
		Session: set("Allow + Deny + Allow", policy.Identity),
	}
	r := rootRequest()
	r.Caller = callers["app"]
	var got []string
	r.Trace = func(m policy.Matched) { got = append(got, fmt.Sprintf("%v %v %d", m.Type, m.Effect, m.Index)) }
	d := policy.Evaluate(&r, &p)
	want := []string{
		"service control policy Deny 0", "service control policy Allow 1", "service control policy Allow 0", "resource control policy Deny 0", "VPC endpoint policy Allow 0",
		"identity-based policy Deny 0", "identity-based policy Allow 1", "identity-based policy Deny 2",
		"resource-based policy Allow 0", "resource-based policy Allow 1", "resource-based policy Deny 2",
		"permissions boundary Deny 0", "permissions boundary Allow 1", "session policy Allow 0", "session policy Deny 1", "session policy Allow 2",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if by := d.Deciding(); d.Type != policy.ServiceControlPolicy || !d.Explicit || len(by) != 1 || by[0].Index != 0 || by[0].Source != "Deny + Allow" {
		t.Errorf("decided by %+v", by)
	}
}

// Deciding names an Allow of all that had to allow, and nothing else.
func TestDeciding(t *testing.T) {
	u := used{}
	set := func(line string, kind policy.Kind) *policy.Set { return setOf(t, u, line, kind, true) }
	levels := func(line string, kind policy.Kind) (sets []*policy.Set) {
		for range 7 {
			sets = append(sets, set(line, kind))
		}
		return sets
	}
	deep := policy.Policies{ServiceControl: levels("Allow", policy.Identity), ResourceControl: levels("Allow to everybody", policy.Resource),
		Endpoint: set("Allow to everybody", policy.Resource), Identity: set("silent + Allow", policy.Identity), Resource: set("Allow to bob", policy.Resource),
		Boundary: set("Allow", policy.Identity), Session: set("Allow", policy.Identity)}
	alike := deep
	alike.ServiceControl, alike.ResourceControl = repeat(set("Allow", policy.Identity), 7), repeat(set("Allow to everybody", policy.Resource), 7)
	bobs := rootRequest()
	bobs.Caller = callers["bob"]
	roots := rootRequest()
	grants := []*policy.Grant{grantOf(t, u, "g-1", "to alice of kms:Decrypt")}
	keys := rootRequest()
	keys.Caller, keys.Action, keys.Resource = callers["alice"], "kms:Decrypt", key
	service := keys
	service.Caller = policy.Caller{Type: policy.AWSService, Service: "ec2.amazonaws.com"}
	given := func(g *policy.Grant) func() []*policy.Grant {
		return func() []*policy.Grant { return []*policy.Grant{g} }
	}
	toService := func(name string) func() []*policy.Grant {
		return given(&policy.Grant{ID: "g-2", Service: name, Actions: []string{"kms:Decrypt"}})
	}
	for _, tc := range []struct {
		rule string
		r    policy.Request
		p    policy.Policies
		want string
	}{
		{"across accounts in a deep organisation", bobs, deep, strings.Repeat("service control policy Allow/0, ", 7) + strings.Repeat("resource control policy Allow to everybody/0, ", 7) +
			"VPC endpoint policy Allow to everybody/0, resource-based policy Allow to bob/0, identity-based policy silent + Allow/1, permissions boundary Allow/0, session policy Allow/0, "},
		{"with the same policy on all levels", bobs, alike, "service control policy Allow/0, resource control policy Allow to everybody/0, " +
			"VPC endpoint policy Allow to everybody/0, resource-based policy Allow to bob/0, identity-based policy silent + Allow/1, permissions boundary Allow/0, session policy Allow/0, "},
		{"the root", roots, policy.Policies{}, "identity-based policy account root/0, "},
		{"a grant", keys, policy.Policies{Resource: set("Allow to account", policy.Key), Governs: true, ServiceControl: []*policy.Set{set("Allow", policy.Identity)},
			Grants: func() []*policy.Grant { return grants }}, "service control policy Allow/0, grant g-1/0, "},
		{"a grant to the account", keys, policy.Policies{Resource: set("silent", policy.Key), Governs: true, Identity: set("Allow", policy.Identity),
			Grants: given(grantOf(t, u, "g-3", "to account of kms:Decrypt"))}, "grant g-3/0, identity-based policy Allow/0, "},
		{"a grant to a service", service, policy.Policies{Resource: set("Allow to account", policy.Key), Governs: true, Grants: toService("ec2.amazonaws.com")}, "grant g-2/0, "},
		{"a grant to another service", service, policy.Policies{Resource: set("Allow to account", policy.Key), Governs: true, Grants: toService("sns.amazonaws.com")}, ""},
		{"a grant to a service, and a user", keys, policy.Policies{Resource: set("silent", policy.Key), Governs: true, Grants: toService("ec2.amazonaws.com")}, ""},
		{"the resource policy alone", keys, policy.Policies{Resource: set("Allow to account + Allow to alice", policy.Key), Governs: true, Identity: set("Allow", policy.Identity)},
			"resource-based policy Allow to account + Allow to alice/1, "},
		{"nobody", bobs, policy.Policies{}, ""},
	} {
		d := decide(t, &tc.r, &tc.p)
		got := ""
		for _, m := range d.Deciding() {
			got += fmt.Sprintf("%v %s/%d, ", m.Type, m.Source, m.Index)
		}
		if got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.rule, got, tc.want)
		}
	}
}

// Grants are looked up in a store: only where the policies do not allow, and nothing denies.
func TestGrantsAreAskedLast(t *testing.T) {
	u := used{}
	r := rootRequest()
	r.Caller, r.Action, r.Resource = callers["alice"], "kms:Decrypt", key
	for line, want := range map[string]int{"Allow to alice": 0, "Deny to alice": 0, "Allow to app": 1, "none": 1, "Allow to account": 1} {
		asked := 0
		p := policy.Policies{Resource: setOf(t, u, line, policy.Key, true), Governs: true, Grants: func() []*policy.Grant { asked++; return nil }}
		if policy.Evaluate(&r, &p); asked != want {
			t.Errorf("%s: asked %d times, want %d", line, asked, want)
		}
	}
}

// Many at once with more actions than a set remembers: to be run with the race detector.
func TestSetsAreShared(t *testing.T) {
	u := used{}
	set := setOf(t, u, `{"Effect":"Allow","Action":"x:Odd*","Resource":"*"} + {"Effect":"Deny","NotAction":"x:*","Resource":"*"} + Allow if {"StringEquals":{"aws:username":"bob"}}`, policy.Identity, true)
	p := policy.Policies{Identity: set, Boundary: set, Session: set}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			r := rootRequest()
			r.Caller, r.Context = callers["alice"], facts{"aws:username": {"alice"}}
			for i := range 600 {
				n := (i*7 + worker) % 300
				r.Action = fmt.Sprint(map[bool]string{true: "x:Odd", false: "x:Even"}[n%2 == 1], n)
				if d := policy.Evaluate(&r, &p); d.Allowed.Valid() != (n%2 == 1) || d.Explicit {
					t.Errorf("%s: %+v", r.Action, d)
					return
				}
			}
			r.Action = "y:Odd1"
			if d := policy.Evaluate(&r, &p); !d.Explicit {
				t.Errorf("%s: %+v", r.Action, d)
			}
		})
	}
	wg.Wait()
}

// What a set remembers is bounded, whatever is asked.
func TestSetsForgetNothingAndGrowNoFurther(t *testing.T) {
	p := policy.Policies{Identity: policy.NewSet()}
	r := rootRequest()
	r.Caller = callers["alice"]
	n := 0
	ask := func() {
		n++
		r.Action = fmt.Sprint("x:A", n)
		policy.Evaluate(&r, &p)
	}
	for range 500 {
		ask()
	}
	// To remember one more action is to copy them all.
	if allocs := testing.AllocsPerRun(100, ask); allocs > 3 {
		t.Errorf("%v allocations for an action never asked about", allocs)
	}
}

// A context that says that it does not know a key is believed.
func TestAbsentKeysHaveNoValues(t *testing.T) {
	u := used{}
	r := rootRequest()
	r.Caller, r.Context = callers["alice"], ignorant{}
	for _, line := range []string{`Allow if {"StringLike":{"aws:username":"*"}}`, "Allow on arn:aws:secretsmanager:*:*:secret:${aws:username}/*"} {
		if d := decide(t, &r, &policy.Policies{Identity: setOf(t, u, line, policy.Identity, true)}); d.Allowed.Valid() {
			t.Errorf("%s: allowed", line)
		}
	}
}

// ignorant gives values of keys that it does not have.
type ignorant struct{}

func (ignorant) Values(dst []string, _ string) ([]string, bool) { return append(dst, "app"), false }

// A decision with few conditions makes no garbage.
func TestDecisionsDoNotAllocate(t *testing.T) {
	r := benchSession()
	p := policy.Policies{Identity: benchPolicies(t), Resource: benchSecret(t)}
	if d := policy.Evaluate(&r, &p); !d.Allowed.Valid() {
		t.Fatal(r.Denial(&d))
	}
	if n := testing.AllocsPerRun(100, func() { policy.Evaluate(&r, &p) }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
