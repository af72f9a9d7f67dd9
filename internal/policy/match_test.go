package policy_test

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"coffer/internal/policy"
)

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "a:/b", true}, {"?", "", false}, {"?", "a", true}, {"?", "ab", false},
		{"a*", "a", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"a*b*c", "a1b2b3c", true}, {"a*b*c", "a1b2b3", false},
		{"a**b", "ab", true}, {"a*?b", "ab", false}, {"a*?b", "axb", true}, {"*?*", "", false}, {"*ab", "aab", true}, {"*aab", "aaaab", true},
		{"A", "a", false}, {"?", "é", true}, {"??", "é", false}, {"*??", "€", false}, {"*?", "€", true}, {"*€", "x€", true},
		{"secretsmanager:Get*", "secretsmanager:GetSecretValue", true},
		{"name-??????", "name-Xy12Zw", true}, {"name-??????", "name-x-Xy12Zw", false}, {"name-*", "name-x-Xy12Zw", true},
	} {
		if got := policy.Match(tc.pattern, tc.text); got != tc.want {
			t.Errorf("Match(%q, %q) = %v", tc.pattern, tc.text, got)
		}
	}
	if !policy.MatchAction("SecretsManager:get*", "secretsmanager:GetSecretValue") || policy.MatchAction("secretsmanager:Get*", "secretsmanager:PutSecretValue") {
		t.Error("MatchAction")
	}
}

func TestMatchARN(t *testing.T) {
	const secret = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-Xy12Zw"
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", secret, true}, {"*", "", true}, {secret, secret, true},
		{"arn:aws:secretsmanager:*:111122223333:secret:*", secret, true},
		{"arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-??????", secret, true},
		{"arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/d-*", secret, false},
		{"arn:aws:secretsmanager:eu-west-1:111122223333:*", secret, true},
		{"arn:*:*:*:*:*", secret, true}, {"arn:aws:*", secret, false}, {"arn:aws:secretsmanager:*:secret:*:*", secret, false},
		{"arn:aws:secretsmanager:*:app/db-Xy12Zw", secret, false},
		{"arn:aws:s3:::b/*", "arn:aws:s3:::b/x:y", true}, {"arn:aws:s3:*:*:b", "arn:aws:s3:::b", true},
		{"arn:aws:secretsmanager:eu-west-1:111122223333:SECRET:*", secret, false},
		{"**", secret, false},
	} {
		if got := policy.MatchARN(tc.pattern, tc.text); got != tc.want {
			t.Errorf("MatchARN(%q, %q) = %v", tc.pattern, tc.text, got)
		}
	}
}

// naiveMatch is the definition. It is exponential, so its inputs are short.
func naiveMatch(p, s []rune) bool {
	if len(p) == 0 {
		return len(s) == 0
	}
	switch p[0] {
	case '*':
		return naiveMatch(p[1:], s) || len(s) > 0 && naiveMatch(p, s[1:])
	case '?':
		return len(s) > 0 && naiveMatch(p[1:], s[1:])
	}
	return len(s) > 0 && p[0] == s[0] && naiveMatch(p[1:], s[1:])
}

func FuzzMatch(f *testing.F) {
	f.Add("a*b?c", "aabbc")
	f.Add("*??€*", "a€€")
	f.Add("a*a*a*b", "aaaaaaaa")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 12 || len(text) > 16 || !utf8.ValidString(pattern) || !utf8.ValidString(text) {
			policy.Match(pattern, text)
			policy.MatchARN(pattern, text)
			return
		}
		want := naiveMatch([]rune(pattern), []rune(text))
		if got := policy.Match(pattern, text); got != want {
			t.Errorf("Match(%q, %q) = %v", pattern, text, got)
		}
		if want && !policy.MatchAction(pattern, strings.ToUpper(strings.ToLower(text))) && isASCII(text) {
			t.Errorf("MatchAction(%q, %q) minds the case", pattern, text)
		}
		if p, s := strings.Split(pattern, ":"), strings.Split(text, ":"); len(p) == 6 && len(s) == 6 {
			all := true
			for i := range p {
				all = all && naiveMatch([]rune(p[i]), []rune(s[i]))
			}
			if got := policy.MatchARN(pattern, text); got != all {
				t.Errorf("MatchARN(%q, %q) = %v", pattern, text, got)
			}
		}
	})
}

// Short texts of few characters, so that all ways to match and to miss come up.
func TestMatchAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	text := func(most int, alphabet ...string) string {
		var b strings.Builder
		for range r.IntN(most + 1) {
			b.WriteString(alphabet[r.IntN(len(alphabet))])
		}
		return b.String()
	}
	for range 200_000 {
		p, s := text(9, "a", "a", "b", "?", "*", "é", "€"), text(9, "a", "a", "a", "b", "é", "€")
		if want := naiveMatch([]rune(p), []rune(s)); policy.Match(p, s) != want {
			t.Fatalf("Match(%q, %q) = %v", p, s, !want)
		}
	}
	// Texts that repeat themselves between stars.
	for range 100_000 {
		p, s := "*"+text(7, "a", "a", "b", "ab")+"?"+text(7, "a", "a", "b")+"*", text(30, "a", "a", "a", "b", "ab")
		if want := naiveMatch([]rune(p), []rune(s)); policy.Match(p, s) != want {
			t.Fatalf("Match(%q, %q) = %v", p, s, !want)
		}
	}
}

// Patterns longer than a machine word, against another matcher.
func TestMatchLongPatterns(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	matched := 0
	for range 2000 {
		var text, pattern strings.Builder
		for i := range 150 + r.IntN(100) {
			c := []string{"a", "b", "é", "€"}[r.IntN(4)]
			text.WriteString(c)
			switch {
			case i < 10 || i > 140: // not part of the pattern
			case r.IntN(40) == 0:
				pattern.WriteString("*")
			case r.IntN(300) == 0:
				pattern.WriteString("ab")
			case r.IntN(4) == 0:
				pattern.WriteString("?")
			default:
				pattern.WriteString(c)
			}
		}
		p, s := "*"+pattern.String()+"*", text.String()
		want := regexp.MustCompile(`^(?s:` + strings.NewReplacer("*", ".*", "?", ".").Replace(p) + `)$`).MatchString(s)
		if policy.Match(p, s) != want {
			t.Fatalf("Match(%q, %q) = %v", p, s, !want)
		}
		if want {
			matched++
		}
	}
	if matched < 200 || matched > 1800 {
		t.Errorf("%d of 2000 match, which shows little", matched)
	}
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// The patterns that blow up recursive and backtracking matchers.
func TestMatchCannotBlowUp(t *testing.T) {
	start := time.Now()
	text := strings.Repeat("a", 2048)
	for _, p := range []string{strings.Repeat("a*", 5000) + "b", strings.Repeat("*a", 1000) + "*b", strings.Repeat("*?", 1000) + "b", strings.Repeat("*", 20000) + "b"} {
		if policy.Match(p, text) {
			t.Errorf("%.10q matches", p)
		}
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func FuzzParse(f *testing.F) {
	for _, row := range table(f, "parse.txt", 4, 120) {
		f.Add([]byte(expand(row[2], kindOf(f, row[1]))), uint8(kindOf(f, row[1])))
	}
	for _, row := range table(f, "public.txt", 4, 60) {
		f.Add([]byte(publicCase(row[1], row[2])), uint8(policy.Resource))
	}
	anybody := mustParse(f, publicCase("2012", `"Principal":"*"`), policy.Resource).Statements[0]
	deny := mustParse(f, publicCase("2012", `"Effect":"Deny","Principal":"*"`), policy.Resource).Statements[0]
	f.Fuzz(func(t *testing.T, text []byte, k uint8) {
		kind := policy.Kind(k % 4)
		d, err := policy.Parse(text, kind)
		if err != nil {
			if d != nil {
				t.Fatal("a document with an error")
			}
			return
		}
		r := policy.Request{Caller: rootOf("111122223333"),
			Resource: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:x-Xy12Zw"}
		_, public := d.Public()
		out := d.LocksOut(&r)

		// What was accepted stays accepted, and means the same, when account
		// ids are spelt out; doing so twice changes nothing.
		once := normalize(string(text), "aws")
		if len(once) <= 131072 {
			again, err := policy.Parse([]byte(once), kind)
			if err != nil {
				t.Fatalf("%s\nnormalised to\n%s\n%v", text, once, err)
			}
			if _, p := again.Public(); p != public || again.LocksOut(&r) != out || normalize(once, "aws") != once {
				t.Fatalf("%s\nmeans something else as\n%s", text, once)
			}
		}

		// More statements never make a policy private; a Deny never lets in.
		more := *d
		more.Statements = append(append([]policy.Statement{}, d.Statements...), deny)
		if _, p := more.Public(); p != public {
			t.Fatalf("a Deny changes public from %v to %v: %s", public, p, text)
		}
		if out && !more.LocksOut(&r) {
			t.Fatalf("a Deny lets in: %s", text)
		}
		more.Statements = append(more.Statements, anybody)
		if _, p := more.Public(); !p {
			t.Fatalf("public for anybody, and yet not: %s", text)
		}
	})
}
