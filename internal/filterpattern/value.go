package filterpattern

import (
	"regexp"
	"strings"
)

// value is what something is compared with: a text with a star at the beginning, at the end, at both or at
// neither; a number; or a regular expression. A star elsewhere is a star.
type value struct {
	text        string
	open, close bool // any text may stand before it, and behind it
	number      *number
	regexp      *regexp.Regexp
}

// wild makes a value of a text whose first and last characters are wildcards or not.
func wild(text string, first, last bool) value {
	switch {
	case first && text == "*":
		return value{open: true, close: true}
	case first && last:
		return value{text: text[1 : len(text)-1], open: true, close: true}
	case first:
		return value{text: text[1:], open: true}
	case last:
		return value{text: text[:len(text)-1], close: true}
	}
	return value{text: text}
}

func (v *value) like(s string) bool {
	switch {
	case v.regexp != nil:
		return v.regexp.MatchString(s)
	case v.open && v.close:
		return strings.Contains(s, v.text)
	case v.open:
		return strings.HasSuffix(s, v.text)
	case v.close:
		return strings.HasPrefix(s, v.text)
	}
	return s == v.text
}

// value reads one: in quotes, between percent signs, or bare.
func (l *lexer) value() (v value, err error) {
	l.blanks()
	switch {
	case l.end():
		return v, invalid()
	case l.peek() == '"':
		return l.quoted()
	case l.peek() == '%':
		v.regexp, err = l.regexp()
		return v, err
	}
	text := l.word(".*-+")
	if text == "" {
		return v, l.unexpected()
	}
	v = wild(text, text[0] == '*', text[len(text)-1] == '*')
	if n, ok := parseNumber(text); ok {
		v.number = &n
	}
	return v, nil
}

// operators, the longer ones first.
var operators = []struct {
	sign  string
	order func(c int) bool // of the comparison of numbers
}{
	{"!=", func(c int) bool { return c != 0 }},
	{"<=", func(c int) bool { return c <= 0 }},
	{">=", func(c int) bool { return c >= 0 }},
	{"=", func(c int) bool { return c == 0 }},
	{"<", func(c int) bool { return c < 0 }},
	{">", func(c int) bool { return c > 0 }},
}

// operand is one side of a comparison: a text, and a number if it is one.
type operand struct {
	text   string
	number number
	is     bool // a number
}

// comparison reads an operator and a value.
func (l *lexer) comparison() (func(operand) bool, error) {
	for _, op := range operators {
		if !l.eat(op.sign) {
			continue
		}
		v, err := l.value()
		if err != nil {
			return nil, err
		}
		equality := op.sign == "=" || op.sign == "!="
		if !equality && v.number == nil {
			return nil, invalid() // texts have no order
		}
		return func(o operand) bool {
			if v.number != nil && o.is {
				return op.order(o.number.compare(*v.number))
			}
			return equality && v.like(o.text) == (op.sign == "=")
		}, nil
	}
	return nil, l.unexpected()
}
