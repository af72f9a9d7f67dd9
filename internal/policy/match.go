package policy

import (
	"strings"
	"unicode/utf8"
)

// Match reports whether text matches pattern, in which "*" stands for any run
// of characters and "?" for exactly one. Case matters.
func Match(pattern, text string) bool { return glob(pattern, text, '*', '?') }

// MatchAction is Match without regard to ASCII case, as action names are
// compared ("IAM JSON policy elements: Action").
func MatchAction(pattern, action string) bool {
	return glob(lowerASCII(pattern), lowerASCII(action), '*', '?')
}

// MatchARN matches an ARN part by part: a wildcard in partition, service,
// region or account does not reach into the next part; the resource part may
// contain colons. The pattern "*" matches everything.
func MatchARN(pattern, arn string) bool {
	return pattern == "*" || globARN(pattern, arn, colonsBeforeResource, '*', '?')
}

// colonsBeforeResource is how many colons of an ARN separate its parts.
const colonsBeforeResource = 5

// globARN matches what is left of an ARN when so many of the separating colons
// are still to come.
func globARN(pattern, text string, colons int, star, one byte) bool {
	for range colons {
		p, prest, pok := strings.Cut(pattern, ":")
		t, trest, tok := strings.Cut(text, ":")
		if !pok || !tok || !glob(p, t, star, one) {
			return false
		}
		pattern, text = prest, trest
	}
	return glob(pattern, text, star, one)
}

// glob matches with the bytes star and one as wildcards. What stands between
// two stars is looked for at its first place: if the rest of the pattern fits
// after a later one, it fits after the first as well, so there is never a way
// back. The recursive textbook matcher is exponential in the number of stars,
// which an author of policies could use to stop the gate.
//
// The work is at most len(p) and len(s), and for what stands between two stars and has
// wildcards of the other kind a 64th of the two multiplied: see find.
func glob(p, s string, star, one byte) bool {
	if len(p) > len(s) && len(p)-strings.Count(p, string([]byte{star})) > len(s) {
		return false // all but stars takes a byte at least
	}
	i := strings.IndexByte(p, star)
	if i < 0 {
		n := prefix(p, s, one)
		return n == len(s)
	}
	n := prefix(p[:i], s, one)
	if n < 0 {
		return false
	}
	for {
		p, s = p[i+1:], s[n:]
		if i = strings.IndexByte(p, star); i < 0 {
			return suffix(p, s, one)
		}
		if n = find(p[:i], s, one); n < 0 {
			return false
		}
	}
}

// prefix returns how much of s the pattern p without stars takes from the
// start, or -1.
func prefix(p, s string, one byte) int {
	n := 0
	for i := range len(p) {
		switch {
		case n == len(s):
			return -1
		case p[i] == one: // a character, not a byte: "?" matches one "é"
			_, size := utf8.DecodeRuneInString(s[n:])
			n += size
		case p[i] == s[n]:
			n++
		default:
			return -1
		}
	}
	return n
}

// suffix reports whether s ends with what the pattern p without stars matches.
func suffix(p, s string, one byte) bool {
	for i := len(p) - 1; i >= 0; i-- {
		switch {
		case s == "":
			return false
		case p[i] == one:
			_, size := utf8.DecodeLastRuneInString(s)
			s = s[:len(s)-size]
		case p[i] == s[len(s)-1]:
			s = s[:len(s)-1]
		default:
			return false
		}
	}
	return true
}

// find returns where the first match of the pattern p without stars ends in s,
// or -1.
func find(p, s string, one byte) int {
	if strings.IndexByte(p, one) < 0 {
		if i := strings.Index(s, p); i >= 0 {
			return i + len(p)
		}
		return -1
	}
	if len(p) > len(s) {
		return -1
	}
	return newFinder(p, one).find(s)
}

// finder looks for a pattern with one-character wildcards at all places of a text at once
// ("shift-and", Baeza-Yates and Gonnet 1992): to try each place in turn would take len(p)
// times len(s), and the value of a policy variable can make both long.
type finder struct {
	// sets has sets of places in the pattern, each of words words: of wildcards, of nothing, and
	// of each byte that the pattern has; of tells which.
	sets  []uint64
	words int
	of    [256]uint16
	last  int // place in the pattern
}

func newFinder(p string, one byte) *finder {
	f := &finder{words: (len(p) + 63) / 64, last: len(p) - 1}
	f.sets = make([]uint64, 2*f.words)
	for b := range f.of {
		f.of[b] = 1
	}
	for i := range len(p) {
		n := 0
		if p[i] != one {
			if f.of[p[i]] == 1 {
				f.of[p[i]] = uint16(len(f.sets) / f.words)
				f.sets = append(f.sets, make([]uint64, f.words)...)
			}
			n = int(f.of[p[i]])
		}
		f.sets[n*f.words+i/64] |= 1 << (i % 64)
	}
	return f
}

// find returns where the first match ends in s, or -1.
func (f *finder) find(s string) int {
	at := make([]uint64, f.words) // the places up to which the pattern fits what was read
	for j := 0; j < len(s); {
		_, size := utf8.DecodeRuneInString(s[j:])
		for k := range size {
			f.step(at, s[j+k], k == 0)
		}
		if j += size; at[f.last/64]>>(f.last%64)&1 != 0 {
			return j
		}
	}
	return -1
}

// step reads a byte of the text. A wildcard takes a character, not a byte: its first byte, and
// then stays where it is for the others.
func (f *finder) step(at []uint64, b byte, first bool) {
	n := int(f.of[b]) * f.words
	byteAt, oneAt := f.sets[n:n+len(at)], f.sets[:len(at)]
	carry := uint64(1) // a match can start anywhere
	for w, was := range at {
		next := was<<1 | carry
		carry = was >> 63
		if first {
			at[w] = next & (byteAt[w] | oneAt[w])
		} else {
			at[w] = next&byteAt[w] | was&oneAt[w]
		}
	}
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = lower(b[i])
	}
	return string(b)
}

func equalFold(a, b string) bool { return a == b || strings.EqualFold(a, b) }
