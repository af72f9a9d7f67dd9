package secretsmanager

import (
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
type searchTag struct{ Key, Value string }

// searchSubject is a secret as filters see it.
type searchSubject struct {
	Name          string
	Description   string
	Tags          []searchTag
	PrimaryRegion string // empty when not replicated
	OwningService string // empty when owned by a user
}

// matcher is a compiled list of filters. The zero matcher matches everything.
type matcher struct{ filters []compiledFilter }

type compiledFilter struct {
	key    string
	values []compiledValue
}

type compiledValue struct {
	negated bool
	prefix  string   // for prefix keys, without "!"
	words   []string // for word keys: lower case, sorted, none a prefix of another
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
		if len(f.Values) == 0 {
			return matcher{}, fault.New(fault.Invalid, "InvalidParameterException", "Invalid filter values for key: "+f.Key)
		}
		c := compiledFilter{key: f.Key, values: make([]compiledValue, len(f.Values))}
		for i, v := range f.Values {
			if len(v) > maxFilterValue {
				return matcher{}, fault.New(fault.Invalid, "InvalidParameterException", "Invalid filter values for key: "+f.Key)
			}
			text, negated := strings.CutPrefix(v, "!")
			c.values[i].negated = negated
			if byWords {
				c.values[i].words = searchWords(text)
			} else {
				c.values[i].prefix = text
			}
		}
		m.filters = append(m.filters, c)
	}
	return m, nil
}

// searchWords splits a value into the words that must be found. A word that is
// a prefix of another is found with it and left out, so that of a set of words
// at most one can be a prefix of a given word (see compiledValue.missing).
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

// match reports whether s passes every filter. It allocates nothing: a listing
// may run it over a million secrets.
func (m *matcher) match(s *searchSubject) bool {
	for i := range m.filters {
		if !m.filters[i].match(s) {
			return false
		}
	}
	return true
}

func (f *compiledFilter) match(s *searchSubject) bool {
	for i := range f.values {
		if v := &f.values[i]; v.holds(f.key, s) != v.negated {
			return true
		}
	}
	return false
}

// holds reports whether the value without its "!" matches. An attribute that a
// secret does not have matches no value, not even the empty one.
func (v *compiledValue) holds(key string, s *searchSubject) bool {
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
	case "description":
		return v.found(s.Description)
	case "all":
		// Each attribute alone: the published test says the filter finds a
		// secret with any field that meets the value.
		if v.found(s.Name) || v.found(s.Description) {
			return true
		}
		for i := range s.Tags {
			if v.found(s.Tags[i].Key) || v.found(s.Tags[i].Value) {
				return true
			}
		}
	}
	return false
}

// found reports whether every word of the value is a prefix of some word of
// text. A value without words finds nothing.
//
// It goes through text once and looks each word up, instead of looking for
// each word in turn: a value of 500 characters over a description of 2,048
// would otherwise be a quarter of a million comparisons for each secret. The
// look-up is right because the words are sorted and none is a prefix of
// another: whatever sorts between a prefix of w and w has that prefix.
func (v *compiledValue) found(text string) bool {
	if len(v.words) == 0 {
		return false
	}
	var seen [maxFilterValue / 64]uint64
	missing := len(v.words)
	for w := range eachWord(text) {
		i, exact := slices.BinarySearchFunc(v.words, w, compareFold)
		if !exact {
			i--
		}
		if i < 0 || !hasPrefixFold(w, v.words[i]) || seen[i/64]&(1<<(i%64)) != 0 {
			continue
		}
		seen[i/64] |= 1 << (i % 64)
		if missing--; missing == 0 {
			return true
		}
	}
	return false
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

func hasPrefixFold(text, lower string) bool {
	if len(text) < len(lower) {
		return false
	}
	for i := range len(lower) {
		if lowerASCII(text[i]) != lower[i] {
			return false
		}
	}
	return true
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
	var before, last rune // the two characters before position i
	lastAt := 0           // where last stands
	for i, c := range part {
		switch {
		case i == 0:
		case unicode.IsUpper(c) && unicode.IsLower(last), unicode.IsDigit(c) && unicode.IsLetter(last):
			if !yield(part[start:i]) {
				return false
			}
			start = i
		case unicode.IsLower(c) && unicode.IsUpper(last) && unicode.IsUpper(before):
			if !yield(part[start:lastAt]) {
				return false
			}
			start = lastAt
		}
		before, last, lastAt = last, c, i
	}
	return start == len(part) || yield(part[start:])
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
	for i := range m.filters {
		f := &m.filters[i]
		if f.key != "name" || slices.ContainsFunc(f.values, func(v compiledValue) bool { return v.negated }) {
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
