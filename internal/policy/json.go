package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A JSON reader of our own, because encoding/json keeps the last of two equal
// keys, replaces broken UTF-8, and loses positions. Two readers that disagree
// on a duplicate "Effect" would disagree on who may read a secret.

// maxDepth is what the grammar can use (document, statement list, statement,
// Condition, operator, value list) plus the same again, so that a deep text is
// refused for its depth rather than for its first unknown element.
const maxDepth = 12

type jsonKind uint8

const (
	jsonNull jsonKind = iota
	jsonBool
	jsonNumber
	jsonString
	jsonArray
	jsonObject
)

func (k jsonKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

type node struct {
	kind       jsonKind
	text       string // string content; literal text of numbers and booleans
	start, end int    // bytes of the value in the source
	keys       []string
	items      []node // of a list, or the values to keys
}

func (n *node) member(key string) *node {
	for i, k := range n.keys {
		if k == key {
			return &n.items[i]
		}
	}
	return nil
}

type reader struct {
	src   string
	pos   int
	depth int
}

func (r *reader) fail(format string, args ...any) error {
	return &SyntaxError{Path: "byte " + strconv.Itoa(r.pos), Reason: "not JSON: " + fmt.Sprintf(format, args...)}
}

func readJSON(src string) (node, error) {
	r := &reader{src: src}
	n, err := r.value()
	if err != nil {
		return node{}, err
	}
	r.space()
	if r.pos != len(src) {
		return node{}, r.fail("text after the end")
	}
	return n, nil
}

func (r *reader) space() {
	for r.pos < len(r.src) && isSpace(r.src[r.pos]) {
		r.pos++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func (r *reader) peek() byte {
	if r.pos < len(r.src) {
		return r.src[r.pos]
	}
	return 0
}

func (r *reader) value() (n node, err error) {
	r.space()
	n.start = r.pos
	switch c := r.peek(); {
	case c == '{' || c == '[':
		if r.depth++; r.depth > maxDepth {
			return n, r.fail("nested deeper than %d", maxDepth)
		}
		if c == '{' {
			err = r.object(&n)
		} else {
			err = r.array(&n)
		}
		r.depth--
	case c == '"':
		n.kind = jsonString
		n.text, err = r.str()
	case c == '-' || c >= '0' && c <= '9':
		n.kind = jsonNumber
		n.text, err = r.number()
	default:
		for _, w := range []struct {
			word string
			kind jsonKind
		}{{"true", jsonBool}, {"false", jsonBool}, {"null", jsonNull}} {
			if strings.HasPrefix(r.src[r.pos:], w.word) {
				r.pos += len(w.word)
				n.kind, n.text, n.end = w.kind, w.word, r.pos
				return n, nil
			}
		}
		err = r.fail("no value here")
	}
	n.end = r.pos
	return n, err
}

func (r *reader) object(n *node) error {
	n.kind = jsonObject
	r.pos++
	var seen map[string]struct{} // nil while few keys: a scan is cheaper
	for r.space(); ; r.space() {
		if r.peek() == '}' && len(n.keys) == 0 {
			r.pos++
			return nil
		}
		if r.peek() != '"' {
			return r.fail("no key here")
		}
		key, err := r.str()
		if err != nil {
			return err
		}
		switch {
		case len(n.keys) < 8:
			if n.member(key) != nil {
				return r.fail("key %.64q twice", key)
			}
		case seen == nil:
			seen = make(map[string]struct{}, 32)
			for _, k := range n.keys {
				seen[k] = struct{}{}
			}
			fallthrough
		default:
			if _, dup := seen[key]; dup {
				return r.fail("key %.64q twice", key)
			}
			seen[key] = struct{}{}
		}
		r.space()
		if r.peek() != ':' {
			return r.fail("no colon after a key")
		}
		r.pos++
		v, err := r.value()
		if err != nil {
			return err
		}
		n.keys = append(n.keys, key)
		n.items = append(n.items, v)
		r.space()
		switch r.peek() {
		case ',':
			r.pos++
		case '}':
			r.pos++
			return nil
		default:
			return r.fail("neither comma nor end of object")
		}
	}
}

func (r *reader) array(n *node) error {
	n.kind = jsonArray
	r.pos++
	r.space()
	if r.peek() == ']' {
		r.pos++
		return nil
	}
	for {
		v, err := r.value()
		if err != nil {
			return err
		}
		n.items = append(n.items, v)
		r.space()
		switch r.peek() {
		case ',':
			r.pos++
		case ']':
			r.pos++
			return nil
		default:
			return r.fail("neither comma nor end of list")
		}
	}
}

// number reads a JSON number and keeps its text: condition values are compared
// as text or as decimals, never as floats that the reader rounded.
func (r *reader) number() (string, error) {
	start := r.pos
	digits := func() bool {
		from := r.pos
		for c := r.peek(); c >= '0' && c <= '9'; c = r.peek() {
			r.pos++
		}
		return r.pos > from
	}
	if r.peek() == '-' {
		r.pos++
	}
	lead := r.pos
	if !digits() || r.src[lead] == '0' && r.pos > lead+1 {
		return "", r.fail("a number without proper digits")
	}
	if r.peek() == '.' {
		r.pos++
		if !digits() {
			return "", r.fail("a number without proper digits")
		}
	}
	if c := r.peek(); c == 'e' || c == 'E' {
		r.pos++
		if c := r.peek(); c == '+' || c == '-' {
			r.pos++
		}
		if !digits() {
			return "", r.fail("a number without proper digits")
		}
	}
	return r.src[start:r.pos], nil
}

// str reads a string. Control characters other than tab, line feed and return
// are refused even when escaped: IAM's own pattern for policy documents has
// none, and a NUL in a key or value only ever serves to confuse a log.
func (r *reader) str() (string, error) {
	r.pos++
	start := r.pos
	for r.pos < len(r.src) && r.src[r.pos] != '"' && r.src[r.pos] != '\\' && r.src[r.pos] >= 0x20 && r.src[r.pos] < utf8.RuneSelf {
		r.pos++
	}
	if r.peek() == '"' { // the common case: no escape, no copy
		s := r.src[start:r.pos]
		r.pos++
		return s, nil
	}
	b := []byte(r.src[start:r.pos])
	for r.pos < len(r.src) {
		c := r.src[r.pos]
		switch {
		case c == '"':
			r.pos++
			return string(b), nil
		case c < 0x20:
			return "", r.fail("a bare control character in a string")
		case c == '\\':
			ru, err := r.escape()
			if err != nil {
				return "", err
			}
			if ru < 0x20 && ru != '\t' && ru != '\n' && ru != '\r' {
				return "", r.fail("a control character in a string")
			}
			b = utf8.AppendRune(b, ru)
		default:
			ru, size := utf8.DecodeRuneInString(r.src[r.pos:])
			if ru == utf8.RuneError && size == 1 {
				return "", r.fail("broken UTF-8")
			}
			b = append(b, r.src[r.pos:r.pos+size]...)
			r.pos += size
		}
	}
	return "", r.fail("a string without end")
}

func (r *reader) escape() (rune, error) {
	r.pos++
	c := r.peek()
	r.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		hi, ok := r.hex4()
		if !ok {
			return 0, r.fail("a bad \\u escape")
		}
		if !utf16.IsSurrogate(hi) {
			return hi, nil
		}
		if strings.HasPrefix(r.src[r.pos:], `\u`) {
			r.pos += 2
			if lo, ok := r.hex4(); ok {
				if ru := utf16.DecodeRune(hi, lo); ru != utf8.RuneError {
					return ru, nil
				}
			}
		}
		return 0, r.fail("half a surrogate pair")
	}
	return 0, r.fail("an unknown escape")
}

func (r *reader) hex4() (rune, bool) {
	if r.pos+4 > len(r.src) {
		return 0, false
	}
	var v rune
	for _, c := range []byte(r.src[r.pos : r.pos+4]) {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			v = v<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	r.pos += 4
	return v, true
}
