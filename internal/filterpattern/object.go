package filterpattern

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
)

// decoding is about what it takes to read a byte of JSON; see Pattern.Cost.
const decoding = 30

// maxWildcards is AWS's limit on the selectors of a pattern that have one.
const maxWildcards = 3

// parseObject reads what stands between braces: conditions on members of a JSON object.
func parseObject(l *lexer) (func(string) bool, error) {
	*l.cost += decoding
	wildcards := 0
	f, err := parse(l, func(l *lexer) (func(map[string]any) bool, error) {
		s, err := l.selector()
		if err != nil {
			return nil, err
		}
		if s.wild() {
			wildcards++
		}
		if wildcards > maxWildcards {
			return nil, &Error{"A filter pattern can have at most 3 wildcard selectors"}
		}
		return l.member(s)
	})
	if err != nil {
		return nil, err
	}
	if l.blanks(); !l.end() {
		return nil, l.unexpected()
	}
	return func(message string) bool {
		object, ok := decode(message)
		return ok && f(object)
	}, nil
}

// decode reads a message that is a JSON object and nothing else.
func decode(message string) (object map[string]any, ok bool) {
	if !strings.HasPrefix(strings.TrimLeft(message, " \t\r\n"), "{") {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(message))
	d.UseNumber()
	if err := d.Decode(&object); err != nil {
		return nil, false
	}
	_, err := d.Token()
	return object, err == io.EOF
}

// member reads the rest of a condition: a comparison, IS NULL, IS TRUE, IS FALSE or NOT EXISTS.
func (l *lexer) member(s selector) (func(map[string]any) bool, error) {
	l.blanks()
	start := l.i
	switch word := strings.ToUpper(l.word("")); word {
	case "NOT":
		if l.blanks(); !strings.EqualFold(l.word(""), "EXISTS") {
			return nil, invalid()
		}
		return func(o map[string]any) bool { return !s.some(o, func(any) bool { return true }) }, nil
	case "IS":
		l.blanks()
		var want any
		switch strings.ToUpper(l.word("")) {
		case "NULL":
		case "TRUE":
			want = true
		case "FALSE":
			want = false
		default:
			return nil, invalid()
		}
		return func(o map[string]any) bool {
			return s.some(o, func(v any) bool {
				switch v.(type) {
				case nil, bool:
					return v == want
				}
				return false
			})
		}, nil
	}
	l.i = start
	compare, err := l.comparison()
	if err != nil {
		return nil, err
	}
	return func(o map[string]any) bool {
		return s.some(o, func(v any) bool {
			switch v := v.(type) {
			case string:
				return compare(operand{text: v})
			case json.Number:
				n, ok := parseNumber(v.String())
				return compare(operand{v.String(), n, ok})
			case bool:
				return compare(operand{text: strconv.FormatBool(v)})
			}
			// What is null, an object or an array is neither equal to anything nor different from it.
			return false
		})
	}, nil
}

// step is one step of a selector: to a member, to an element, or to each of either.
type step struct {
	name  string
	index int
	kind  stepKind
}

type stepKind uint8

const (
	toMember stepKind = iota
	toElement
	toEachMember
	toEachElement
)

type selector []step

func (s selector) wild() bool {
	for _, st := range s {
		if st.kind >= toEachMember {
			return true
		}
	}
	return false
}

// selector reads $.a.b[0].c, with at most one * in place of a name or an index.
func (l *lexer) selector() (s selector, err error) {
	if !l.eat("$") {
		return nil, l.unexpected()
	}
	for !l.end() {
		var st step
		switch l.peek() {
		case '.':
			l.i++
			st, err = l.name()
		case '[':
			if len(s) == 0 { // elements follow a member
				return nil, badCharacter("$[")
			}
			l.i++
			st, err = l.element()
		default:
			if len(s) == 0 {
				return nil, badCharacter("$" + string(l.peek()))
			}
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		if st.kind >= toEachMember && s.wild() {
			return nil, &Error{"A selector can have at most one wildcard"}
		}
		s = append(s, st)
	}
	return s, nil
}

func (l *lexer) name() (step, error) {
	if !l.end() && l.peek() == '*' {
		l.i++
		return step{kind: toEachMember}, nil
	}
	name := l.word("-")
	if name == "" {
		if l.end() {
			return step{}, invalid()
		}
		return step{}, badCharacter("$." + string(l.peek()))
	}
	return step{name: name}, nil
}

func (l *lexer) element() (st step, err error) {
	if l.eat("*") {
		st.kind = toEachElement
	} else {
		l.blanks()
		ds, _ := digits(l.s[l.i:])
		l.i += len(ds)
		if ds == "" {
			return st, l.unexpected()
		}
		if st.index, err = strconv.Atoi(ds); err != nil {
			return st, invalid()
		}
		st.kind = toElement
	}
	if !l.eat("]") {
		return st, l.unexpected()
	}
	return st, nil
}

// some reports whether f holds for something that the selector leads to.
func (s selector) some(v any, f func(any) bool) bool {
	if len(s) == 0 {
		return f(v)
	}
	switch v := v.(type) {
	case map[string]any:
		switch s[0].kind {
		case toMember:
			m, ok := v[s[0].name]
			return ok && s[1:].some(m, f)
		case toEachMember:
			for _, m := range v {
				if s[1:].some(m, f) {
					return true
				}
			}
		}
	case []any:
		switch s[0].kind {
		case toElement:
			return s[0].index < len(v) && s[1:].some(v[s[0].index], f)
		case toEachElement:
			for _, e := range v {
				if s[1:].some(e, f) {
					return true
				}
			}
		}
	}
	return false
}
