package filterpattern

import (
	"strings"
	"unicode"
)

// splitting is about what it takes to split a byte of a line; see Pattern.Cost.
const splitting = 10

// fields are the conditions on the words of a line: nil for a word that may be any.
type fields struct {
	head, tail []func(operand) bool // before the ellipsis, and behind it
	ellipsis   bool
}

// parseFields reads what stands between brackets.
func parseFields(l *lexer) (func(string) bool, error) {
	*l.cost += splitting
	var fs fields
	if l.blanks(); l.end() {
		return nil, invalid()
	}
	for {
		if l.eat("...") {
			if fs.ellipsis {
				return nil, invalid()
			}
			fs.ellipsis = true
		} else {
			f, err := l.field()
			if err != nil {
				return nil, err
			}
			if fs.ellipsis {
				fs.tail = append(fs.tail, f)
			} else {
				fs.head = append(fs.head, f)
			}
		}
		if l.blanks(); l.end() {
			return fs.match, nil
		}
		if !l.eat(",") {
			return nil, l.unexpected()
		}
	}
}

// field reads a name, or conditions on it, or nothing.
func (l *lexer) field() (func(operand) bool, error) {
	l.blanks()
	start := l.i
	l.word("-")
	if l.blanks(); l.end() || l.peek() == ',' {
		return nil, nil
	}
	l.i = start
	var own string
	return parse(l, func(l *lexer) (func(operand) bool, error) {
		l.blanks()
		name := l.word("-")
		switch {
		case name == "":
			return nil, l.unexpected()
		case own == "":
			own = name
		case !strings.EqualFold(own, name):
			return nil, invalid() // a condition on another word
		}
		return l.comparison()
	})
}

func (fs *fields) match(line string) bool {
	words := splitter{rest: line}
	for _, f := range fs.head {
		w, ok := words.next()
		if !ok || !holds(f, w) {
			return false
		}
	}
	if !fs.ellipsis {
		_, more := words.next()
		return !more
	}
	var last []string // as many as there are conditions behind the ellipsis
	for w, ok := words.next(); ok; w, ok = words.next() {
		if last = append(last, w); len(last) > len(fs.tail) {
			last = last[1:]
		}
	}
	if len(last) < len(fs.tail) {
		return false
	}
	for i, f := range fs.tail {
		if !holds(f, last[i]) {
			return false
		}
	}
	return true
}

func holds(f func(operand) bool, word string) bool {
	if f == nil {
		return true
	}
	n, is := parseNumber(word)
	return f(operand{word, n, is})
}

// splitter takes words off a line. What stands in brackets or double quotes is one word.
type splitter struct {
	rest               string
	noBracket, noQuote bool // none is left: looking again and again would take quadratic time
}

func (s *splitter) next() (word string, ok bool) {
	s.rest = strings.TrimLeftFunc(s.rest, unicode.IsSpace)
	if s.rest == "" {
		return "", false
	}
	switch {
	case s.rest[0] == '[' && !s.noBracket:
		if word, ok = s.until(']'); ok {
			return word, true
		}
		s.noBracket = true
	case s.rest[0] == '"' && !s.noQuote:
		if word, ok = s.until('"'); ok {
			return word, true
		}
		s.noQuote = true
	}
	n := strings.IndexFunc(s.rest, unicode.IsSpace)
	if n < 0 {
		n = len(s.rest)
	}
	word, s.rest = s.rest[:n], s.rest[n:]
	return word, true
}

func (s *splitter) until(close byte) (word string, ok bool) {
	n := strings.IndexByte(s.rest[1:], close)
	if n < 0 {
		return "", false
	}
	word, s.rest = s.rest[1:n+1], s.rest[n+2:]
	return word, true
}
