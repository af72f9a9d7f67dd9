package filterpattern

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// lexer is a place in a pattern.
type lexer struct {
	s       string
	i       int
	regexps int  // met so far
	cost    *int // of the pattern
}

func (l *lexer) end() bool { return l.i == len(l.s) }

// peek is the character here, utf8.RuneError at the end.
func (l *lexer) peek() rune {
	c, _ := utf8.DecodeRuneInString(l.s[l.i:])
	return c
}

func (l *lexer) blanks() {
	l.i += len(l.s[l.i:]) - len(strings.TrimLeftFunc(l.s[l.i:], unicode.IsSpace))
}

// eat moves over s if it stands here, behind blanks or not.
func (l *lexer) eat(s string) bool {
	l.blanks()
	if !strings.HasPrefix(l.s[l.i:], s) {
		return false
	}
	l.i += len(s)
	return true
}

// word moves over letters, digits, underscores and the characters in also.
func (l *lexer) word(also string) string {
	rest := l.s[l.i:]
	n := strings.IndexFunc(rest, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && c != '_' && !strings.ContainsRune(also, c)
	})
	if n < 0 {
		n = len(rest)
	}
	l.i += n
	return rest[:n]
}

// unexpected is the error for the character that stands here.
func (l *lexer) unexpected() error {
	if l.end() {
		return invalid()
	}
	return badCharacter(string(l.peek()))
}

// quoted reads a text in double quotes, of which the first stands here. \" and \\ stand for the
// second character; so does \* , a star that is no wildcard.
func (l *lexer) quoted() (v value, err error) {
	var b strings.Builder
	first, last := false, false // whether an unescaped star stands at the beginning, and at the end
	for l.i++; !l.end(); l.i++ {
		c := l.s[l.i]
		star := c == '*'
		switch {
		case c == '"':
			l.i++
			return wild(b.String(), first, last), nil
		case c == '\\' && l.i+1 < len(l.s) && strings.IndexByte(`"\*`, l.s[l.i+1]) >= 0:
			l.i++
			c = l.s[l.i]
		}
		if b.Len() == 0 {
			first = star
		}
		last = star
		b.WriteByte(c)
	}
	return v, invalid() // no closing quote
}

// maxRegexps is AWS's limit for one pattern.
const maxRegexps = 2

// regexp reads a regular expression between percent signs, of which the first stands here.
func (l *lexer) regexp() (*regexp.Regexp, error) {
	start := l.i + 1
	for l.i++; !l.end(); l.i++ {
		switch l.s[l.i] {
		case '\\':
			l.i++ // whatever follows is no end
			if l.end() {
				return nil, invalid()
			}
		case '%':
			l.i++
			if l.regexps++; l.regexps > maxRegexps {
				return nil, &Error{"A filter pattern can have at most 2 regular expressions"}
			}
			re, size, err := compile(l.s[start : l.i-1])
			*l.cost += 20 + 10*size
			return re, err
		}
	}
	return nil, invalid()
}

// parse reads alternatives of conjunctions of conditions, with parentheses: && binds closer than ||.
func parse[T any](l *lexer, condition func(*lexer) (func(T) bool, error)) (func(T) bool, error) {
	f, err := parseAnd(l, condition)
	for err == nil && l.eat("||") {
		left := f
		var right func(T) bool
		right, err = parseAnd(l, condition)
		f = func(v T) bool { return left(v) || right(v) }
	}
	return f, err
}

func parseAnd[T any](l *lexer, condition func(*lexer) (func(T) bool, error)) (func(T) bool, error) {
	f, err := parseOne(l, condition)
	for err == nil && l.eat("&&") {
		left := f
		var right func(T) bool
		right, err = parseOne(l, condition)
		f = func(v T) bool { return left(v) && right(v) }
	}
	return f, err
}

func parseOne[T any](l *lexer, condition func(*lexer) (func(T) bool, error)) (func(T) bool, error) {
	if !l.eat("(") {
		*l.cost++
		return condition(l)
	}
	f, err := parse(l, condition)
	if err == nil && !l.eat(")") {
		err = l.unexpected()
	}
	return f, err
}
