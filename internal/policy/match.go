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
// The work is at most len(s) for each wildcard of p, and len(p) besides.
func glob(p, s string, star, one byte) bool {
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
	// at tells where in s a match of what was read of p may end. To try p at each
	// place of s would take len(p) times len(s), and the value of a policy
	// variable can make both as long as a header.
	at, next := make([]bool, len(s)+1), make([]bool, len(s)+1)
	for j := range at {
		at[j] = true
	}
	for p != "" {
		clear(next)
		if p[0] == one {
			p = p[1:]
			for j := 0; j < len(s); {
				_, size := utf8.DecodeRuneInString(s[j:])
				next[j+size] = at[j]
				j += size
			}
		} else {
			n := strings.IndexByte(p, one)
			if n < 0 {
				n = len(p)
			}
			run := p[:n]
			p = p[n:]
			occurrences(run, s, func(end int) { next[end] = at[end-len(run)] })
		}
		at, next = next, at
	}
	for end, ok := range at {
		if ok {
			return end
		}
	}
	return -1
}

// occurrences visits the ends of all places where run stands in s, also those
// that overlap, in time linear in both (Knuth, Morris, Pratt).
func occurrences(run, s string, visit func(end int)) {
	border := make([]int, len(run)+1) // of each prefix: its longest proper prefix that is its suffix
	k := 0
	for i := 1; i < len(run); i++ {
		for k > 0 && run[k] != run[i] {
			k = border[k]
		}
		if run[k] == run[i] {
			k++
		}
		border[i+1] = k
	}
	k = 0
	for j := range len(s) {
		for k > 0 && (k == len(run) || run[k] != s[j]) {
			k = border[k]
		}
		if run[k] == s[j] {
			k++
		}
		if k == len(run) {
			visit(j + 1)
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
