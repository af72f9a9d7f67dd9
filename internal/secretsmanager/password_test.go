package secretsmanager

import (
	"bytes"
	"strings"
	"testing"

	"coffer/internal/fault"
)

const passwordAll = passwordLower + passwordUpper + passwordDigits + passwordPunctuation

func mustPassword(t testing.TB, spec passwordSpec) []byte {
	t.Helper()
	p, err := randomPassword(spec)
	if err != nil {
		t.Fatalf("randomPassword(%+v): %v", spec, err)
	}
	if len(p) != spec.Length {
		t.Fatalf("randomPassword(%+v) has %d characters", spec, len(p))
	}
	return p
}

func TestPasswordClassesAreTheDocumentedOnes(t *testing.T) {
	if n := len(passwordPunctuation); n != 32 {
		t.Errorf("%d punctuation characters, want 32", n)
	}
	seen := map[rune]bool{}
	for _, c := range passwordAll {
		if seen[c] || c <= ' ' || c > '~' {
			t.Errorf("%q twice or not printable", c)
		}
		seen[c] = true
	}
	if len(seen) != 94 {
		t.Errorf("%d characters, want all 94 printable ones", len(seen))
	}
}

func TestPassword(t *testing.T) {
	for _, tc := range []struct {
		rule string
		spec passwordSpec
		from string   // only these characters
		each []string // at least one of each of these, every time
	}{
		{"all classes by default", passwordSpec{RequireEachType: true},
			passwordAll, []string{passwordLower, passwordUpper, passwordDigits, passwordPunctuation}},
		{"no numbers", passwordSpec{ExcludeNumbers: true, RequireEachType: true},
			passwordLower + passwordUpper + passwordPunctuation, []string{passwordLower, passwordUpper, passwordPunctuation}},
		{"no punctuation", passwordSpec{ExcludePunctuation: true, RequireEachType: true},
			passwordLower + passwordUpper + passwordDigits, []string{passwordLower, passwordUpper, passwordDigits}},
		{"no capitals", passwordSpec{ExcludeUppercase: true, RequireEachType: true},
			passwordLower + passwordDigits + passwordPunctuation, []string{passwordLower, passwordDigits, passwordPunctuation}},
		{"no small letters", passwordSpec{ExcludeLowercase: true, RequireEachType: true},
			passwordUpper + passwordDigits + passwordPunctuation, []string{passwordUpper, passwordDigits, passwordPunctuation}},
		{"digits only", passwordSpec{ExcludeLowercase: true, ExcludeUppercase: true, ExcludePunctuation: true, RequireEachType: true},
			passwordDigits, []string{passwordDigits}},
		{"a blank is a class of its own", passwordSpec{IncludeSpace: true, RequireEachType: true},
			passwordAll + " ", []string{" ", passwordLower, passwordUpper, passwordDigits, passwordPunctuation}},
		{"blanks only", passwordSpec{IncludeSpace: true, ExcludeLowercase: true, ExcludeUppercase: true, ExcludePunctuation: true, ExcludeNumbers: true, RequireEachType: true},
			" ", []string{" "}},
		{"an included blank that is excluded by name", passwordSpec{IncludeSpace: true, ExcludeCharacters: " ", RequireEachType: true},
			passwordAll, []string{passwordLower}},
		{"excluded characters", passwordSpec{ExcludeCharacters: `"@/\`, RequireEachType: true},
			strings.NewReplacer(`"`, "", "@", "", "/", "", `\`, "").Replace(passwordAll), nil},
		{"excluded characters that are in no class", passwordSpec{ExcludeCharacters: "äöü\x00€", RequireEachType: true},
			passwordAll, []string{passwordLower}},
		{"a class excluded by its characters is not required", passwordSpec{ExcludeCharacters: passwordDigits, RequireEachType: true},
			passwordLower + passwordUpper + passwordPunctuation, []string{passwordLower, passwordUpper, passwordPunctuation}},
		{"one character left", passwordSpec{ExcludeCharacters: passwordAll[1:], RequireEachType: true},
			"a", []string{"a"}},
		{"nothing required", passwordSpec{}, passwordAll, nil},
	} {
		for _, n := range []int{5, 6, 32, 4096} {
			tc.spec.Length = n
			for range 50 {
				p := mustPassword(t, tc.spec)
				if bad := bytes.Trim(p, tc.from); len(bad) > 0 {
					t.Errorf("%s: has %q", tc.rule, bad)
				}
				for _, class := range tc.each {
					if !bytes.ContainsAny(p, class) {
						t.Errorf("%s: nothing of %q in %q", tc.rule, class, p)
					}
				}
			}
		}
	}
}

func TestPasswordLengthEdges(t *testing.T) {
	const short = "Password length is too short based on the required types."
	for _, tc := range []struct {
		rule string
		spec passwordSpec
		text string // of the error; empty for success
	}{
		{"one character when nothing is required", passwordSpec{Length: 1}, ""},
		{"the longest", passwordSpec{Length: 4096, RequireEachType: true}, ""},
		{"as long as there are classes", passwordSpec{Length: 4, RequireEachType: true}, ""},
		{"one shorter than the classes", passwordSpec{Length: 3, RequireEachType: true}, short},
		{"the blank counts as a class", passwordSpec{Length: 4, IncludeSpace: true, RequireEachType: true}, short},
		{"a class excluded by its characters does not count", passwordSpec{Length: 3, ExcludeCharacters: passwordUpper, RequireEachType: true}, ""},
		{"an excluded class does not count", passwordSpec{Length: 1, ExcludeLowercase: true, ExcludeUppercase: true, ExcludePunctuation: true, RequireEachType: true}, ""},
		{"every class excluded", passwordSpec{Length: 8, ExcludeLowercase: true, ExcludeUppercase: true, ExcludePunctuation: true, ExcludeNumbers: true, RequireEachType: true}, errPasswordEmpty.Message},
		{"every character excluded", passwordSpec{Length: 8, ExcludeCharacters: passwordAll}, errPasswordEmpty.Message},
		{"zero", passwordSpec{}, errPasswordLength.Message},
		{"negative", passwordSpec{Length: -1}, errPasswordLength.Message},
		{"too long", passwordSpec{Length: 4097}, errPasswordLength.Message},
	} {
		p, err := randomPassword(tc.spec)
		if tc.text == "" {
			if err != nil || len(p) != tc.spec.Length {
				t.Errorf("%s: %d characters, %v", tc.rule, len(p), err)
			}
			continue
		}
		f, ok := fault.As(err)
		if !ok || p != nil || f.Code != "InvalidParameterException" || f.Kind != fault.Invalid || f.Message != tc.text {
			t.Errorf("%s: %q, %v; want the error %q", tc.rule, p, err, tc.text)
		}
	}
}

// chiSquare of observed counts against a uniform distribution.
func chiSquare(counts []int, total int) float64 {
	want := float64(total) / float64(len(counts))
	var sum float64
	for _, n := range counts {
		d := float64(n) - want
		sum += d * d / want
	}
	return sum
}

// With 93 degrees of freedom the statistic exceeds 250 with a probability below
// 1e-15: a failure is a bias, not chance.
func TestPasswordCharactersAreEquallyLikely(t *testing.T) {
	counts := make([]int, len(passwordAll))
	total := 0
	for range 200 {
		for _, c := range mustPassword(t, passwordSpec{Length: 4096}) {
			counts[strings.IndexByte(passwordAll, c)]++
			total++
		}
	}
	if x := chiSquare(counts, total); x > 250 {
		t.Errorf("chi-square %.0f over 94 characters", x)
	}
}

// A required character must not betray its place: with 4 classes and length 4,
// the digit stands at each place equally often. 3 degrees of freedom: 80 is
// beyond 1e-16.
func TestPasswordPlacesAreEquallyLikely(t *testing.T) {
	counts := make([]int, 4)
	const total = 40000
	for range total {
		p := mustPassword(t, passwordSpec{Length: 4, RequireEachType: true})
		counts[bytes.IndexAny(p, passwordDigits)]++
	}
	if x := chiSquare(counts, total); x > 80 {
		t.Errorf("chi-square %.0f: digit places %v", x, counts)
	}
}

func TestPasswordDrawsBelowAreUnbiased(t *testing.T) {
	var r randomBytes
	for _, n := range []int{1, 2, 3, 94, 40000, 65536} {
		low := 0
		const draws = 20000
		for range draws {
			v := r.below(n)
			if v < 0 || v >= n {
				t.Fatalf("below(%d) = %d", n, v)
			}
			if v < n/2 {
				low++
			}
		}
		// With modulo bias, 40000 would have 82% below its middle.
		want := float64(n/2) / float64(n) * draws
		if d := float64(low) - want; d*d > 100*draws/4 && n > 1 { // ten standard deviations
			t.Errorf("below(%d): %d of %d in the lower half", n, low, draws)
		}
	}
}

func TestPasswordsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		p := string(mustPassword(t, passwordSpec{Length: defaultPasswordLength, RequireEachType: true}))
		if seen[p] {
			t.Fatal("the same password twice")
		}
		seen[p] = true
	}
}

func BenchmarkRandomPassword(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		mustPassword(b, passwordSpec{Length: 32, RequireEachType: true})
	}
}
