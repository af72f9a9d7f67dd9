package secretsmanager

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
	"unicode"

	"coffer/internal/fault"
)

// Filters of ListSecrets and BatchGetSecretValue. The rules are those of "Find
// secrets in AWS Secrets Manager" and of the public tests that were run against
// the service; spec secretsmanager.md §5.9 lists them. testdata/search.txt has
// them as cases.
//
// Filters are AND-ed. The values of one filter are OR-ed. A value that starts
// with "!" holds exactly where the rest of it does not.

// searchFilter is one filter of a request.
type searchFilter struct {
	Key    string
	Values []string
}

// searchTag is a tag as filters see it.
type searchTag = Tag

// searchSubject is a secret as filters see it.
type searchSubject struct {
	Name          string
	Description   string
	Tags          []searchTag
	PrimaryRegion string // empty when not replicated
	OwningService string // empty when owned by a user
}

// matcher is a compiled list of filters. The zero matcher matches everything.
// It has scratch space in it: not for concurrent use.
type matcher struct {
	prefixes []prefixFilter
	words    *lexicon // nil without filters by words
	work     int      // of all matches so far, see workUnit
}

// prefixFilter is a filter whose values are prefixes.
type prefixFilter struct {
	key    string
	values []prefixValue
}

type prefixValue struct {
	negated bool
	prefix  string // without "!"
}

// maxFilterValue is the model's limit on a value; it bounds the work of a
// match on every secret of a listing.
const maxFilterValue = 512

// compileFilters checks and compiles filters. The model makes neither Key nor
// Values required, so their absence is found here.
func compileFilters(filters []searchFilter) (matcher, error) {
	var m matcher
	for _, f := range filters {
		byWords := false
		switch f.Key {
		case "name", "tag-key", "tag-value", "primary-region", "owning-service":
		case "description", "all":
			byWords = true
		default:
			return matcher{}, fault.New(fault.Invalid, "InvalidParameterException", "Invalid filter key")
		}
		if len(f.Values) == 0 || slices.ContainsFunc(f.Values, func(v string) bool { return len(v) > maxFilterValue }) {
			return matcher{}, fault.New(fault.Invalid, "InvalidParameterException", "Invalid filter values for key: "+f.Key)
		}
		if byWords {
			if m.words == nil {
				m.words = new(lexicon)
			}
			m.words.add(f)
			continue
		}
		c := prefixFilter{key: f.Key, values: make([]prefixValue, len(f.Values))}
		for i, v := range f.Values {
			c.values[i].prefix, c.values[i].negated = strings.CutPrefix(v, "!")
		}
		m.prefixes = append(m.prefixes, c)
	}
	if m.words != nil {
		m.words.compile()
	}
	return m, nil
}

// searchWords splits a value into the words that must be found. A word that is
// a prefix of another is found with it and left out, so that of a set of words
// at most one can be a prefix of a given word: finding each once finds all.
func searchWords(text string) []string {
	var words []string
	for w := range eachWord(text) {
		words = append(words, strings.ToLower(w))
	}
	slices.Sort(words)
	kept := words[:0]
	for i, w := range words {
		if i+1 < len(words) && strings.HasPrefix(words[i+1], w) {
			continue
		}
		kept = append(kept, w)
	}
	return kept
}

// workUnit is what work is counted in: about a nanosecond, or less. It is counted, not
// measured, so that the same listing has the same pages every time.
const (
	workSecret = 32 // deciding on a secret at all
	workPrefix = 4  // testing one prefix, and one for every 16 bytes of it
	workText   = 8  // parting a byte of text into words
	workWord   = 16 // looking a word up
	workFound  = 2  // noting a value that has the word
)

// match reports whether s passes every filter. It allocates nothing: a listing
// may run it over a million secrets.
func (m *matcher) match(s *searchSubject) bool {
	m.work += workSecret
	for i := range m.prefixes {
		if !m.prefix(&m.prefixes[i], s) {
			return false
		}
	}
	if m.words == nil {
		return true
	}
	ok := m.words.match(s)
	m.work += m.words.work
	return ok
}

func (m *matcher) prefix(f *prefixFilter, s *searchSubject) bool {
	for i := range f.values {
		v := &f.values[i]
		cost := workPrefix + len(v.prefix)/16
		if f.key == "tag-key" || f.key == "tag-value" {
			cost *= len(s.Tags)
		}
		m.work += cost
		if v.holds(f.key, s) != v.negated {
			return true
		}
	}
	return false
}

// holds reports whether the value without its "!" matches. An attribute that a
// secret does not have matches no value, not even the empty one.
func (v *prefixValue) holds(key string, s *searchSubject) bool {
	switch key {
	case "name":
		return strings.HasPrefix(s.Name, v.prefix)
	case "tag-key":
		for i := range s.Tags {
			if strings.HasPrefix(s.Tags[i].Key, v.prefix) {
				return true
			}
		}
	case "tag-value":
		for i := range s.Tags {
			if strings.HasPrefix(s.Tags[i].Value, v.prefix) {
				return true
			}
		}
	case "primary-region":
		return s.PrimaryRegion != "" && strings.HasPrefix(s.PrimaryRegion, v.prefix)
	case "owning-service":
		// The documentation contradicts itself on case; service ids are
		// lower case, so nothing is lost by ignoring it.
		return s.OwningService != "" && len(s.OwningService) >= len(v.prefix) &&
			strings.EqualFold(s.OwningService[:len(v.prefix)], v.prefix)
	}
	return false
}

// lexicon holds the words of all filters by words, sorted, so that one pass
// over a secret's attributes decides all values of all filters: a hundred
// values over fifty tags would otherwise part and search the same text a
// hundred times, 45 ms for each secret.
//
// A value is found in an attribute when every word of it is a prefix of some
// word there. A value without words is found nowhere.
type lexicon struct {
	words   []lexiconWord
	first   [256]struct{ from, to int32 } // of words, by first byte
	values  []wordValue
	filters []wordFilter
	lookup  int // work of looking a word up
	all     int // filters with the key "all"

	// Of the secret at hand: filters without a positive value that was found.
	open, openAll int
	attribute     int // the number of the attribute at hand, ever growing
	work          int
}

// lexiconWord is a word that values ask for, in lower case. Of the words that
// are prefixes of a given text, each but the longest is the parent of another.
type lexiconWord struct {
	text   string
	parent int32   // the longest other word that is a prefix of this one, or -1
	values []int32 // that need it
	in     int     // the attribute it was last found in
}

type wordValue struct {
	filter  int32
	negated bool
	all     bool
	words   int

	in      int  // the attribute that missing is about
	missing int  // words not found in it yet
	found   bool // in the secret at hand
}

type wordFilter struct {
	all      bool
	positive int // values
	negated  int

	holds bool // one of the positive values was found in the secret at hand
	found int  // negated values that were
}

// add takes in a filter; compile is to be called after the last one.
func (x *lexicon) add(f searchFilter) {
	filter := wordFilter{all: f.Key == "all"}
	for _, v := range f.Values {
		text, negated := strings.CutPrefix(v, "!")
		words := searchWords(text)
		for _, w := range words {
			x.words = append(x.words, lexiconWord{text: w, values: []int32{int32(len(x.values))}})
		}
		x.values = append(x.values, wordValue{filter: int32(len(x.filters)), negated: negated, all: filter.all, words: len(words)})
		if negated {
			filter.negated++
		} else {
			filter.positive++
		}
	}
	if filter.all {
		x.all++
	}
	x.filters = append(x.filters, filter)
}

func (x *lexicon) compile() {
	slices.SortFunc(x.words, func(a, b lexiconWord) int {
		return cmp.Or(strings.Compare(a.text, b.text), cmp.Compare(a.values[0], b.values[0]))
	})
	kept := x.words[:0]
	for _, w := range x.words {
		if n := len(kept); n > 0 && kept[n-1].text == w.text {
			kept[n-1].values = append(kept[n-1].values, w.values...)
		} else {
			kept = append(kept, w)
		}
	}
	x.words = kept
	for i := range x.words {
		w := &x.words[i]
		// What sorts between a prefix of w and w has that prefix, too.
		w.parent = int32(i) - 1
		for w.parent >= 0 && !strings.HasPrefix(w.text, x.words[w.parent].text) {
			w.parent = x.words[w.parent].parent
		}
		f := &x.first[w.text[0]]
		if f.to == 0 {
			f.from = int32(i)
		}
		f.to = int32(i) + 1
	}
	x.lookup = workWord + 6*bits.Len(uint(len(x.words)))
}

// match reports whether s passes every filter by words. Of a filter "all",
// each attribute counts alone: the published test says that it finds a secret
// with any field that meets the value.
func (x *lexicon) match(s *searchSubject) bool {
	for i := range x.values {
		x.values[i].found = false
	}
	for i := range x.filters {
		x.filters[i].holds, x.filters[i].found = false, 0
	}
	x.open, x.openAll = len(x.filters), x.all
	x.work = workFound * (len(x.values) + len(x.filters))
	decided := x.all > 0 && x.search(s.Name, false) || x.search(s.Description, true)
	if !decided {
		for i := range x.filters {
			// What the description does not have, nothing else can have.
			if f := &x.filters[i]; !f.all && !f.passes() {
				return false
			}
		}
		for i := range s.Tags {
			if decided || x.openAll == 0 {
				break
			}
			decided = x.search(s.Tags[i].Key, false) || x.search(s.Tags[i].Value, false)
		}
	}
	for i := range x.filters {
		if !x.filters[i].passes() {
			return false
		}
	}
	return true
}

// passes is the filter's verdict by what was found.
func (f *wordFilter) passes() bool { return f.holds || f.found < f.negated }

// search notes the values that are found in an attribute. It reports whether
// nothing that is found elsewhere can change the verdict.
func (x *lexicon) search(text string, description bool) (decided bool) {
	x.attribute++
	x.work += workText * len(text)
	for word := range eachWord(text) {
		x.work += x.lookup
		// Where a word was found before, so were its parents.
		for i := x.longest(word); i >= 0 && x.words[i].in != x.attribute; i = x.words[i].parent {
			w := &x.words[i]
			w.in = x.attribute
			x.work += workFound * (1 + len(w.values))
			for _, n := range w.values {
				v := &x.values[n]
				if v.found || !v.all && !description {
					continue
				}
				if v.in != x.attribute {
					v.in, v.missing = x.attribute, v.words
				}
				if v.missing--; v.missing == 0 && x.found(v) {
					return true
				}
			}
		}
	}
	return false
}

// found notes that a value is found in the secret. It reports whether that
// settles the verdict: every filter holds, or one cannot hold any more.
func (x *lexicon) found(v *wordValue) bool {
	v.found = true
	f := &x.filters[v.filter]
	switch {
	case v.negated:
		f.found++
		return f.positive == 0 && f.found == f.negated
	case !f.holds:
		f.holds = true
		if x.open--; f.all {
			x.openAll--
		}
	}
	return x.open == 0
}

// longest finds the longest word that is a prefix of text, -1 if none is.
func (x *lexicon) longest(text string) int32 {
	first := x.first[lowerASCII(text[0])]
	from, to := first.from, first.to
	// The last word that does not sort behind text. Any word that is a prefix
	// of text is a prefix of that one, or is that one.
	for from < to {
		at := int32(uint32(from+to) / 2)
		if compareFold(x.words[at].text, text) <= 0 {
			from = at + 1
		} else {
			to = at
		}
	}
	i := from - 1
	if i < first.from {
		return -1
	}
	x.work += len(text)
	same := commonFold(x.words[i].text, text)
	for i >= 0 && len(x.words[i].text) > same {
		i = x.words[i].parent
		x.work++
	}
	return i
}

// compareFold compares a lower-case word with text of any case. Only ASCII
// letters fold: the model allows no others in filter values.
func compareFold(word, text string) int {
	for i := 0; i < len(word) && i < len(text); i++ {
		if c := lowerASCII(text[i]); word[i] != c {
			return int(word[i]) - int(c)
		}
	}
	return len(word) - len(text)
}

// commonFold is the length of what a lower-case word and a text begin with.
func commonFold(word, text string) int {
	for i := 0; i < len(word) && i < len(text); i++ {
		if word[i] != lowerASCII(text[i]) {
			return i
		}
	}
	return min(len(word), len(text))
}

func lowerASCII(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// eachWord yields the words of a text, in order and in their own case:
//
//   - blanks part chunks;
//   - a chunk is parted at its separators / _ + = . @ -, unless it has two
//     different ones: then it is one word, unparted by case, too
//     (prod-AppBeta/x);
//   - the rest is parted where case changes: before a capital that follows a
//     small letter (App|Beta), and before the last of a run of capitals that
//     goes on in small letters (COMPAN|Ythings);
//   - and between a letter and a following digit (app|2), but not between a
//     digit and a following letter.
//
// The observations are about attributes without blanks. That blanks part
// before the two-separators rule is our reading: were a blank one of the two,
// no description with a hyphen could be searched.
func eachWord(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for text != "" {
			var chunk string
			if i := strings.IndexAny(text, " \t\r\n"); i >= 0 {
				chunk, text = text[:i], text[i+1:]
			} else {
				chunk, text = text, ""
			}
			if !chunkWords(chunk, yield) {
				return
			}
		}
	}
}

func isSeparator(c byte) bool {
	switch c {
	case '/', '_', '+', '=', '.', '@', '-':
		return true
	}
	return false
}

func chunkWords(chunk string, yield func(string) bool) bool {
	var separator byte
	for i := range len(chunk) {
		if c := chunk[i]; isSeparator(c) {
			if separator != 0 && separator != c {
				return yield(chunk)
			}
			separator = c
		}
	}
	for chunk != "" {
		part := chunk
		if i := strings.IndexByte(chunk, separator); separator != 0 && i >= 0 {
			part, chunk = chunk[:i], chunk[i+1:]
		} else {
			chunk = ""
		}
		if !caseWords(part, yield) {
			return false
		}
	}
	return true
}

func caseWords(part string, yield func(string) bool) bool {
	start := 0
	var before, last letterCase // of the two characters before position i
	var lastRune rune
	lastAt := 0 // where last stands
	for i, c := range part {
		is := caseOf(c)
		switch {
		case i == 0:
		case is == upperCase && last == lowerCase,
			is == digit && (last == upperCase || last == lowerCase || last == otherCase && unicode.IsLetter(lastRune)):
			if !yield(part[start:i]) {
				return false
			}
			start = i
		case is == lowerCase && last == upperCase && before == upperCase:
			if !yield(part[start:lastAt]) {
				return false
			}
			start = lastAt
		}
		before, last, lastRune, lastAt = last, is, c, i
	}
	return start == len(part) || yield(part[start:])
}

type letterCase uint8

const (
	otherCase letterCase = iota // a letter without case, or no letter
	upperCase
	lowerCase
	digit
)

// caseOf looks a character up once: the tables of unicode take long.
func caseOf(c rune) letterCase {
	switch {
	case c >= 'a' && c <= 'z':
		return lowerCase
	case c >= 'A' && c <= 'Z':
		return upperCase
	case c >= '0' && c <= '9':
		return digit
	case c < 0x80:
		return otherCase
	case unicode.IsLower(c):
		return lowerCase
	case unicode.IsUpper(c):
		return upperCase
	case unicode.IsDigit(c):
		return digit
	}
	return otherCase
}

// namePrefixes returns the prefixes that the name of any match must start
// with, when the filters say so: the prefixes are sorted, and none is a prefix
// of another, so scanning the name index over each in turn visits every
// candidate once, in order of name. ok is false when the filters do not bound
// the name, and then everything must be visited. An empty list with ok true
// means that nothing can match.
//
// Only name filters whose values are all positive bound the name; one negated
// value admits names of any kind. Several such filters are intersected. The
// prefixes only narrow the scan: match decides.
func (m *matcher) namePrefixes() (prefixes []string, ok bool) {
	for i := range m.prefixes {
		f := &m.prefixes[i]
		if f.key != "name" || slices.ContainsFunc(f.values, func(v prefixValue) bool { return v.negated }) {
			continue
		}
		var own []string
		for j := range f.values {
			own = append(own, f.values[j].prefix)
		}
		own = minimalPrefixes(own)
		if own[0] == "" {
			continue // bounds nothing
		}
		if !ok {
			prefixes, ok = own, true
			continue
		}
		var both []string
		for _, a := range prefixes {
			for _, b := range own {
				// Names with both prefixes exist only if one extends the other.
				if strings.HasPrefix(a, b) {
					both = append(both, a)
				} else if strings.HasPrefix(b, a) {
					both = append(both, b)
				}
			}
		}
		prefixes = minimalPrefixes(both)
	}
	return prefixes, ok
}

// minimalPrefixes sorts and drops what another prefix covers.
func minimalPrefixes(in []string) []string {
	slices.Sort(in)
	out := in[:0]
	for _, p := range in {
		if len(out) == 0 || !strings.HasPrefix(p, out[len(out)-1]) {
			out = append(out, p)
		}
	}
	return out
}
