package awsquery

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"coffer/internal/fault"
)

// Bounds of a form. The largest request of AWS's own making has some hundred
// parameters; names grow with nesting only.
const (
	maxParameters = 10_000
	maxName       = 512 // bytes
)

// Form is the parameters of one request. The zero value has none. It is not
// changed by reading and may be shared; after Wipe it must not be used.
type Form struct {
	text       []byte // what all names and values are slices of
	parameters []parameter
}

// parameter is one name and its value. Names are dotted paths.
type parameter struct{ name, value []byte }

// ParseForm reads a body of type application/x-www-form-urlencoded, or a query
// string. Errors are *fault.Error of code MalformedQueryString.
//
// The form does not refer to body.
func ParseForm(body []byte) (Form, error) {
	// Unescaping never makes longer, so this is never moved.
	f := Form{text: make([]byte, 0, len(body))}
	f.parameters = make([]parameter, 0, min(bytes.Count(body, []byte{'&'})+1, maxParameters))
	for at := 0; at < len(body); {
		pair := body[at:]
		if n := bytes.IndexByte(pair, '&'); n >= 0 {
			pair = pair[:n]
		}
		if err := f.add(pair, at); err != nil {
			f.Wipe()
			return Form{}, err
		}
		at += len(pair) + 1
	}
	if err := f.sort(); err != nil {
		f.Wipe()
		return Form{}, err
	}
	return f, nil
}

// add reads one parameter, which stands at byte at of the form.
func (f *Form) add(pair []byte, at int) error {
	if len(pair) == 0 {
		return nil
	}
	if len(f.parameters) == maxParameters {
		return malformedQueryString("it has more than " + strconv.Itoa(maxParameters) + " parameters")
	}
	rawName, rawValue, _ := bytes.Cut(pair, []byte{'='})
	name, err := f.unescape(rawName, at)
	if err != nil {
		return err
	}
	if len(name) > maxName {
		return malformedQueryString("the name of a parameter is longer than " + strconv.Itoa(maxName) + " bytes")
	}
	value, err := f.unescape(rawValue, at+len(rawName)+1)
	if err != nil {
		return err
	}
	f.parameters = append(f.parameters, parameter{name, value})
	return nil
}

// unescape appends raw, which stands at byte at of the form, to the text.
func (f *Form) unescape(raw []byte, at int) ([]byte, error) {
	start := len(f.text)
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if len(raw)-i < 3 || unhex(raw[i+1]) > 15 || unhex(raw[i+2]) > 15 {
				return nil, malformedQueryString("a percent sign without two hexadecimal digits stands at byte " + strconv.Itoa(at+i+1))
			}
			c = unhex(raw[i+1])<<4 | unhex(raw[i+2])
			i += 2
		}
		f.text = append(f.text, c)
	}
	s := f.text[start:len(f.text):len(f.text)]
	if !utf8.Valid(s) {
		return nil, malformedQueryString("it is not valid UTF-8")
	}
	return s, nil
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}

// sort brings together what belongs to one member, elements in the order of
// their indices, so that Decode needs one pass. SDKs send them nearly so.
func (f *Form) sort() error {
	byName := func(a, b parameter) int { return compareNames(a.name, b.name) }
	if !slices.IsSortedFunc(f.parameters, byName) {
		slices.SortFunc(f.parameters, byName)
	}
	for i := 1; i < len(f.parameters); i++ {
		if bytes.Equal(f.parameters[i].name, f.parameters[i-1].name) {
			return malformedQueryString("a parameter is given more than once")
		}
	}
	return nil
}

// compareNames orders names by their segments: a name before those that
// continue it, numbers by size and before words. What the names have in common is
// passed over bytewise: strangers may send ten thousand names of dots.
func compareNames(a, b []byte) int {
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	start := bytes.LastIndexByte(a[:same], '.') + 1
	if c := compareSegments(segment(a[start:]), segment(b[start:])); c != 0 {
		return c
	}
	return cmp.Compare(len(a), len(b)) // one continues the other
}

func compareSegments(a, b []byte) int {
	na, nb := isNumber(a), isNumber(b)
	switch {
	case na && nb && len(a) != len(b):
		return cmp.Compare(len(a), len(b))
	case na != nb && na:
		return -1
	case na != nb:
		return 1
	}
	return bytes.Compare(a, b)
}

// segment returns what stands before the first dot.
func segment(name []byte) []byte {
	if n := bytes.IndexByte(name, '.'); n >= 0 {
		return name[:n]
	}
	return name
}

func isNumber(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0
}

// Get returns the value of a parameter that is no list, such as Action or
// Version, or "" if it is absent.
func (f Form) Get(name string) string {
	for i := range f.parameters {
		if string(f.parameters[i].name) == name {
			return string(f.parameters[i].value)
		}
	}
	return ""
}

// Len returns how many parameters there are.
func (f Form) Len() int { return len(f.parameters) }

// Wipe overwrites names and values, which may have held a password.
func (f Form) Wipe() { clear(f.text) }

// Format implements [fmt.Formatter] for every verb: a form may hold a password.
func (f Form) Format(s fmt.State, _ rune) {
	io.WriteString(s, "[form of "+strconv.Itoa(len(f.parameters))+" parameters]")
}

// malformedQueryString is the error for what is no form ("Common errors" in the
// API references of Query services). AWS says no more than the first sentence.
func malformedQueryString(why string) *fault.Error {
	return fault.New(fault.Invalid, "MalformedQueryString", "The query string contains a syntax error: "+why+".")
}
