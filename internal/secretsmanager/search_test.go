package secretsmanager

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"coffer/internal/fault"
)

func mustCompileFilters(t testing.TB, filters ...searchFilter) matcher {
	t.Helper()
	m, err := compileFilters(filters)
	if err != nil {
		t.Fatalf("compileFilters(%v): %v", filters, err)
	}
	return m
}

func TestSearchRules(t *testing.T) {
	text, err := os.ReadFile("testdata/search.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		col := strings.Split(line, " | ")
		if len(col) != 4 {
			t.Fatalf("line %d: %d columns", i+1, len(col))
		}
		var rows [][]string
		var secret struct {
			N, D, R, O string
			T          [][2]string
		}
		if err := json.Unmarshal([]byte(col[1]), &rows); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		if err := json.Unmarshal([]byte(col[2]), &secret); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		var filters []searchFilter
		for _, r := range rows {
			filters = append(filters, searchFilter{Key: r[0], Values: r[1:]})
		}
		s := searchSubject{Name: secret.N, Description: secret.D, PrimaryRegion: secret.R, OwningService: secret.O}
		for _, kv := range secret.T {
			s.Tags = append(s.Tags, searchTag{Key: kv[0], Value: kv[1]})
		}
		m := mustCompileFilters(t, filters...)
		if got := m.match(&s); got != (col[0] == "yes") {
			t.Errorf("line %d: %v, but %s: %s", i+1, got, col[0], col[3])
		}
		if prefixes, ok := m.namePrefixes(); ok && m.match(&s) && !hasAnyPrefix(s.Name, prefixes) {
			t.Errorf("line %d: %q matches but is outside the scan %q", i+1, s.Name, prefixes)
		}
		cases++
	}
	if cases < 80 {
		t.Errorf("only %d cases", cases)
	}
}

func hasAnyPrefix(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

func TestSearchWordSplitting(t *testing.T) {
	for text, want := range map[string][]string{
		"":                         nil,
		"   ":                      nil,
		"-":                        nil,
		"test":                     {"test"},
		"my secret":                {"my", "secret"},
		"my/secret":                {"my", "secret"},
		"/my//secret/":             {"my", "secret"},
		"my/secret-two":            {"my/secret-two"},
		"a/b c-d e/f-g":            {"a", "b", "c", "d", "e/f-g"},
		"AppBeta":                  {"App", "Beta"},
		"appBeta":                  {"app", "Beta"},
		"sTest":                    {"s", "Test"},
		"COMPANYthings":            {"COMPAN", "Ythings"},
		"COMPANY":                  {"COMPANY"},
		"aBCd":                     {"a", "B", "Cd"},
		"Ab":                       {"Ab"},
		"A":                        {"A"},
		"app2":                     {"app", "2"},
		"app2fast":                 {"app", "2fast"},
		"APP2":                     {"APP", "2"},
		"v2Beta":                   {"v", "2Beta"},
		"prod_AppBeta_COMPANYx_12": {"prod", "App", "Beta", "COMPAN", "Yx", "12"},
		"tab\tline\nend":           {"tab", "line", "end"},
		"größeÄnderung":            {"größe", "Änderung"},
		"\xff\xfe":                 {"\xff\xfe"},
	} {
		got := slices.Collect(eachWord(text))
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestSearchBadFilters(t *testing.T) {
	for _, tc := range []struct {
		filter searchFilter
		text   string
	}{
		{searchFilter{Values: []string{"x"}}, "Invalid filter key"},
		{searchFilter{Key: "Name", Values: []string{"x"}}, "Invalid filter key"},
		{searchFilter{Key: "description"}, "Invalid filter values for key: description"},
		{searchFilter{Key: "all", Values: []string{strings.Repeat("x", 513)}}, "Invalid filter values for key: all"},
	} {
		_, err := compileFilters([]searchFilter{tc.filter})
		if f, ok := fault.As(err); !ok || f.Code != "InvalidParameterException" || f.Message != tc.text {
			t.Errorf("%v: %v, want %q", tc.filter, err, tc.text)
		}
	}
}

func TestNamePrefixes(t *testing.T) {
	name := func(values ...string) searchFilter { return searchFilter{"name", values} }
	for _, tc := range []struct {
		rule    string
		filters []searchFilter
		want    []string
		ok      bool
	}{
		{"no filter", nil, nil, false},
		{"no name filter", []searchFilter{{"all", []string{"a"}}}, nil, false},
		{"one prefix", []searchFilter{name("app/")}, []string{"app/"}, true},
		{"sorted", []searchFilter{name("b", "a")}, []string{"a", "b"}, true},
		{"no range inside another", []searchFilter{name("app/x", "app", "apple", "b")}, []string{"app", "b"}, true},
		{"the same twice", []searchFilter{name("a", "a")}, []string{"a"}, true},
		{"a negated value admits other names", []searchFilter{name("a", "!b")}, nil, false},
		{"a negated filter next to a positive one", []searchFilter{name("!b"), name("a")}, []string{"a"}, true},
		{"the empty prefix bounds nothing", []searchFilter{name("", "a")}, nil, false},
		{"an empty prefix next to another filter", []searchFilter{name(""), name("a")}, []string{"a"}, true},
		{"other filters do not matter", []searchFilter{{"all", []string{"x"}}, name("a")}, []string{"a"}, true},
		{"two filters: the longer of each pair", []searchFilter{name("app", "b"), name("app/x", "app/y", "bc")}, []string{"app/x", "app/y", "bc"}, true},
		{"two filters that exclude each other", []searchFilter{name("a"), name("b")}, nil, true},
		{"three filters", []searchFilter{name("a"), name("ab", "c"), name("abc", "a")}, []string{"ab"}, true},
	} {
		m := mustCompileFilters(t, tc.filters...)
		got, ok := m.namePrefixes()
		if ok != tc.ok || len(got) != len(tc.want) || len(got) > 0 && !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %q, %v; want %q, %v", tc.rule, got, ok, tc.want, tc.ok)
		}
	}
}

// searchLetters, randomFilters and randomSubject draw from few letters, so that matches and
// near misses are frequent.
func searchLetters(r *rand.Rand, alphabet string, most int) string {
	b := make([]byte, r.IntN(most+1))
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

func randomFilters(r *rand.Rand) []searchFilter {
	keys := []string{"name", "name", "name", "description", "all", "tag-key", "tag-value", "owning-service", "primary-region"}
	var out []searchFilter
	for range r.IntN(4) {
		f := searchFilter{Key: keys[r.IntN(len(keys))]}
		for range 1 + r.IntN(3) {
			f.Values = append(f.Values, searchLetters(r, "!", 1)+searchLetters(r, "aB1-/ ", 4))
		}
		out = append(out, f)
	}
	return out
}

func randomSubject(r *rand.Rand) searchSubject {
	s := searchSubject{Name: "a" + searchLetters(r, "aB1-/", 5), Description: searchLetters(r, "aB1-/ ", 12), OwningService: searchLetters(r, "aB", 2), PrimaryRegion: searchLetters(r, "a1-", 3)}
	if r.IntN(4) == 0 {
		s.Name = s.Name[1:] + "B"
	}
	for range r.IntN(3) {
		s.Tags = append(s.Tags, searchTag{Key: searchLetters(r, "aB1-", 4), Value: searchLetters(r, "aB1- ", 4)})
	}
	return s
}

// plainFound is the definition, word by word: what found does in one pass.
func plainFound(value, text string) bool {
	words := slices.Collect(eachWord(value))
	for _, w := range words {
		ok := false
		for have := range eachWord(text) {
			ok = ok || strings.HasPrefix(strings.ToLower(have), strings.ToLower(w))
		}
		if !ok {
			return false
		}
	}
	return len(words) > 0
}

// found asks a matcher whether a value is found in a text, by the value's
// negation: so it may begin with "!".
func found(t testing.TB, value, text string) bool {
	m := mustCompileFilters(t, searchFilter{"description", []string{"!" + value}})
	return !m.match(&searchSubject{Description: text})
}

// plainMatch is the definition of filters by words.
func plainMatch(f searchFilter, s *searchSubject) bool {
	for _, v := range f.Values {
		text, negated := strings.CutPrefix(v, "!")
		any := plainFound(text, s.Description)
		if f.Key == "all" {
			any = any || plainFound(text, s.Name)
			for _, tag := range s.Tags {
				any = any || plainFound(text, tag.Key) || plainFound(text, tag.Value)
			}
		}
		if any != negated {
			return true
		}
	}
	return false
}

func TestSearchProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	matched, bounded := 0, 0
	for range 100000 {
		filters, s := randomFilters(r), randomSubject(r)
		m := mustCompileFilters(t, filters...)
		got := m.match(&s)
		if got {
			matched++
		}
		// AND over filters, OR over values, each value inverted by its mark.
		want := true
		for _, f := range filters {
			any := false
			for _, v := range f.Values {
				one := mustCompileFilters(t, searchFilter{f.Key, []string{v}})
				alone := one.match(&s)
				if rest, negated := strings.CutPrefix(v, "!"); negated && !strings.HasPrefix(rest, "!") {
					positive := mustCompileFilters(t, searchFilter{f.Key, []string{rest}})
					if positive.match(&s) == alone {
						t.Fatalf("%q and its negation agree on %+v", v, s)
					}
				}
				any = any || alone
			}
			want = want && any
			if (f.Key == "all" || f.Key == "description") && any != plainMatch(f, &s) {
				t.Fatalf("%v on %+v: %v", f, s, any)
			}
		}
		// A matcher that has matched others before decides the same.
		others := randomSubject(r)
		m.match(&others)
		if m.match(&s) != got {
			t.Fatalf("%v on %+v after %+v: %v", filters, s, others, !got)
		}
		if got != want {
			t.Fatalf("%v on %+v: %v, piece by piece %v", filters, s, got, want)
		}
		// Whatever matches lies in exactly one range of the scan.
		if prefixes, ok := m.namePrefixes(); ok {
			bounded++
			in := 0
			for _, p := range prefixes {
				if strings.HasPrefix(s.Name, p) {
					in++
				}
			}
			if got && in != 1 || in > 1 || !slices.IsSorted(prefixes) {
				t.Fatalf("%v: name %q in %d of the ranges %q", filters, s.Name, in, prefixes)
			}
		}
		// The one-pass search of words agrees with the definition.
		value := searchLetters(r, "aAbB12-/ ", 8)
		if got := found(t, value, s.Description); got != plainFound(value, s.Description) {
			t.Fatalf("%q in %q: %v", value, s.Description, got)
		}
	}
	if matched < 1000 || bounded < 1000 {
		t.Errorf("only %d matches, %d bounded scans: the draw tests nothing", matched, bounded)
	}
}

func FuzzSearchWords(f *testing.F) {
	f.Add("COMPANY things", "prod-AppBeta/x one2two")
	f.Add("a1a1a1", "größe\xff-X")
	f.Fuzz(func(t *testing.T, value, text string) {
		if len(value) >= maxFilterValue || strings.ContainsFunc(value, func(r rune) bool { return r >= 0x80 }) {
			return // not a filter value
		}
		for w := range eachWord(text) {
			if w == "" || !strings.Contains(text, w) {
				t.Fatalf("word %q of %q", w, text)
			}
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 }) {
			found(t, value, text)
			return // ToLower folds more than ASCII, e.g. the Kelvin sign
		}
		if got, want := found(t, value, text), plainFound(value, text); got != want {
			t.Fatalf("%q in %q: %v, want %v", value, text, got, want)
		}
	})
}

func TestMatchDoesNotAllocate(t *testing.T) {
	m, s := benchSearch(t)
	if n := testing.AllocsPerRun(100, func() { m.match(&s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func benchSearch(t testing.TB) (matcher, searchSubject) {
	m := mustCompileFilters(t, searchFilter{"name", []string{"prod/"}}, searchFilter{"all", []string{"billing db", "!nothing"}}, searchFilter{"tag-key", []string{"team"}})
	return m, searchSubject{Name: "prod/BillingService/db", Description: "Password of the billing database, rotated by us", Tags: []searchTag{{Key: "env", Value: "prod"}, {Key: "team", Value: "billing"}}}
}

func BenchmarkMatch(b *testing.B) {
	m, s := benchSearch(b)
	b.ReportAllocs()
	for b.Loop() {
		m.match(&s)
	}
}

// heavySubject has fifty tags of the largest size.
func heavySubject(word string) searchSubject {
	fill := func(n int) string { return strings.ToValidUTF8(strings.Repeat(word, n/len(word)+1)[:n], "") }
	s := searchSubject{Name: fill(256), Description: fill(2048)}
	for i := range 50 {
		s.Tags = append(s.Tags, searchTag{Key: fmt.Sprintf("%02d", i) + fill(126), Value: fill(256)})
	}
	return s
}

// heavyFilters are as many and as large as the model allows, and none holds.
func heavyFilters(key string, value func(n int) string) (fs []searchFilter) {
	for i := range 10 {
		f := searchFilter{Key: key}
		for j := range 10 {
			f.Values = append(f.Values, value(10*i+j))
		}
		fs = append(fs, f)
	}
	// One filter alone would decide, and the others would never be looked at.
	for i := range fs[:9] {
		fs[i].Values[9] = "!none"
	}
	return fs
}

func heavyCases() map[string]struct {
	filters []searchFilter
	subject searchSubject
} {
	letters := func(n int) string {
		var b strings.Builder
		for i := range 250 {
			fmt.Fprintf(&b, "%c ", 'a'+(i+n)%26)
		}
		return b.String() + fmt.Sprint("z", n)
	}
	pairs := func(n int) string {
		var b strings.Builder
		for i := range 165 {
			k := (i*37 + n*13) % 676
			fmt.Fprintf(&b, "%c%c ", 'a'+k/26, 'a'+k%26)
		}
		return b.String() + fmt.Sprint("zz", n)
	}
	chain := func(n int) string { return strings.Repeat("a", n+1) + "x b" }
	long := func(n int) string { return strings.Repeat("a", 250) + fmt.Sprintf("b%c%c", 'a'+n/10, 'a'+n%10) }
	prefix := func(n int) string { return strings.Repeat("a", 250) + fmt.Sprintf("b%d", n) }
	type c = struct {
		filters []searchFilter
		subject searchSubject
	}
	return map[string]c{
		"letters":  {heavyFilters("all", letters), heavySubject("a b c d e f g h i j k l m n o p q r s t u v w x y ")},
		"pairs":    {heavyFilters("all", pairs), heavySubject("aa bb cc dd ee ff gg hh ab cd ef gh ij kl mn ")},
		"pairsin1": {heavyFilters("all", pairs), heavySubject("a b ")},
		"chain":    {heavyFilters("all", chain), heavySubject("aaaaaaaaaaaaaaab ab ")},
		"long":     {heavyFilters("all", long), heavySubject("a")},
		"nonascii": {heavyFilters("all", letters), heavySubject("漢字")},
		"greek":    {heavyFilters("all", letters), heavySubject("αΒγΔ")},
		"words":    {heavyFilters("all", func(n int) string { return fmt.Sprint("billing database", n) }), heavySubject("password of the BillingService database ")},
		"tagvalue": {heavyFilters("tag-value", prefix), heavySubject("a")},
	}
}

func BenchmarkMatchHeavy(b *testing.B) {
	for name, c := range heavyCases() {
		b.Run(name, func(b *testing.B) {
			m := mustCompileFilters(b, c.filters...)
			b.ReportAllocs()
			for b.Loop() {
				m.match(&c.subject)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(m.work), "ns/work")
		})
	}
}
