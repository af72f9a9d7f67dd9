package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"coffer/internal/policy"
)

// An answer about a request that nobody has made is right for all that could be made: what may be
// allowed is found, and what is allowed for sure always is.
func TestUnknownAgainstEveryRequest(t *testing.T) {
	t.Parallel()
	const secret = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/a-Xy12Zw"
	pick := func(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }
	statement := func(r *rand.Rand) string {
		condition := ""
		if r.IntN(3) > 0 {
			condition = fmt.Sprintf(`,"Condition":{%q:{%q:[%q]}}`, pick(r, "StringEquals", "StringNotEquals", "StringEqualsIfExists", "ForAnyValue:StringLike", "ForAllValues:StringEquals"),
				pick(r, "x:one", "x:two", "aws:known"), pick(r, "a", "b", "${x:one}", "${aws:known}", "${x:two, 'a'}"))
		}
		return fmt.Sprintf(`{"Effect":%q,"Action":"*",%q:%q%s}`, pick(r, "Allow", "Allow", "Deny"), pick(r, "Resource", "Resource", "Resource", "NotResource"),
			pick(r, "*", secret, "arn:aws:secretsmanager:*:*:secret:app/${x:one}-*", "arn:aws:secretsmanager:*:*:secret:${x:two}", "arn:aws:secretsmanager:*:*:secret:${aws:known}/*", "arn:aws:${x:one}:*:*:*", "arn:aws:s3:::b"), condition)
	}
	values := [][]string{nil, {"a"}, {"b"}, {"app/a-Xy12Zw"}, {"secretsmanager"}}
	seen := map[string]int{}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		set := func() *policy.Set {
			var all []string
			for range 1 + r.IntN(3) {
				all = append(all, statement(r))
			}
			text := `{"Version":"2012-10-17","Statement":[` + strings.Join(all, ",") + `]}`
			return policy.NewSet(policy.Attachment{Document: mustParse(t, text, policy.Identity), Source: text})
		}
		p := policy.Policies{Identity: set()}
		if r.IntN(2) == 0 {
			p.Boundary = set()
		}
		ask := rootRequest()
		ask.Caller, ask.Resource = callers["alice"], secret
		known := facts{"aws:known": {"app"}}

		may, always := false, true
		for _, one := range values {
			for _, two := range values {
				real := ask
				real.Context = facts{"aws:known": known["aws:known"], "x:one": one, "x:two": two}
				d := policy.Evaluate(&real, &p)
				may, always = may || d.Allowed.Valid(), always && d.Allowed.Valid()
			}
		}
		unless := false
		ask.Context = known
		ask.Unknown = func(key string) bool { return strings.HasPrefix(key, "x:") }
		ask.Trace = func(m policy.Matched) { unless = unless || m.Assumed && m.Effect == policy.Deny }
		sure := policy.Evaluate(&ask, &p)
		ask.Hopeful = true
		hopeful := policy.Evaluate(&ask, &p)
		switch {
		case may && !hopeful.Allowed.Valid():
			t.Errorf("seed %d: allowed for some request, and not found: %v %v", seed, sources(p.Identity), sources(p.Boundary))
		case sure.Allowed.Valid() && !unless && !always:
			t.Errorf("seed %d: allowed for sure, and not for some request: %v %v", seed, sources(p.Identity), sources(p.Boundary))
		case sure.Allowed.Valid() && !hopeful.Allowed.Valid():
			t.Errorf("seed %d: hope is worse than certainty", seed)
		}
		seen[fmt.Sprint(may, always, sure.Allowed.Valid(), hopeful.Allowed.Valid(), unless)]++
	}
	if len(seen) < 8 {
		t.Errorf("only these outcomes: %v", seen)
	}
}

func sources(s *policy.Set) (texts []string) {
	for _, a := range s.Attachments() {
		texts = append(texts, a.Source)
	}
	return texts
}

// What of a statement is open is shown, and nothing else.
func TestOpen(t *testing.T) {
	d := mustParse(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":["*","arn:aws:s3:::${x:one}/*","arn:aws:s3:::${aws:known}/*"],
		"Condition":{"StringEquals":{"x:two":"a"},"StringLike":{"aws:known":["${x:one}","b"]},"Bool":{"aws:sure":"true"}}}}`, policy.Identity)
	got := d.Statements[0].Open(func(key string) bool { return strings.HasPrefix(key, "x:") })
	slices.Sort(got)
	if want := []string{"Resource arn:aws:s3:::${x:one}/*", "StringEquals x:two a", "StringLike aws:known ${x:one} or b"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
