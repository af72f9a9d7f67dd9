package awsjson

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"coffer/internal/api"
)

// maxDepth bounds nesting, and so the stack.
const maxDepth = 100

// Decode reads the JSON object body into v, whose members must be absent.
// Errors are *fault.Error of code SerializationException.
func Decode(body []byte, v api.Struct) error {
	d := decoder{b: body}
	if d.blank(); d.i == len(d.b) {
		return nil
	}
	if err := d.structure(v); err != nil {
		return err
	}
	if d.blank(); d.i < len(d.b) {
		return d.malformed()
	}
	return nil
}

type decoder struct {
	b     []byte
	i     int
	depth int
}

// malformed is the error for what is not JSON. AWS says nothing; the place
// helps and reveals nothing.
func (d *decoder) malformed() error {
	if d.i >= len(d.b) {
		return api.SerializationException("The request body is not valid JSON: it ends too early.")
	}
	return api.SerializationException("The request body is not valid JSON at byte " + strconv.Itoa(d.i+1) + ".")
}

func (d *decoder) blank() {
	for d.i < len(d.b) {
		switch d.b[d.i] {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return
		}
	}
}

// peek skips blanks and returns the next byte, 0 at the end.
func (d *decoder) peek() byte {
	d.blank()
	if d.i == len(d.b) {
		return 0
	}
	return d.b[d.i]
}

// accept consumes c if it comes next.
func (d *decoder) accept(c byte) bool {
	if d.peek() != c {
		return false
	}
	d.i++
	return true
}

func (d *decoder) literal(s string) error {
	if len(d.b)-d.i < len(s) || string(d.b[d.i:d.i+len(s)]) != s {
		// Point at the byte that differs.
		for j := 0; d.i < len(d.b) && j < len(s) && d.b[d.i] == s[j]; j++ {
			d.i++
		}
		return d.malformed()
	}
	d.i += len(s)
	return nil
}

func (d *decoder) enter() error {
	if d.depth++; d.depth > maxDepth {
		return api.SerializationException("The request body is nested too deeply.")
	}
	return nil
}

// found names the value that comes next, a plain one; for others it
// returns the error.
func (d *decoder) found() (string, error) {
	switch c := d.peek(); {
	case c == '"':
		return "STRING_VALUE", nil
	case isNumber(c):
		return "NUMBER_VALUE", nil
	case c == 't':
		return "TRUE_VALUE", nil
	case c == 'f':
		return "FALSE_VALUE", nil
	case c == 'n':
		return "", api.SerializationException("Null found where not expected.")
	case c == '{':
		return "", api.SerializationException("Start of structure or map found where not expected.")
	case c == '[':
		return "", api.SerializationException("Start of list found where not expected.")
	}
	return "", d.malformed()
}

// mismatch is the error for a value of another type than wanted.
func (d *decoder) mismatch(want string) error {
	got, err := d.found()
	if err != nil {
		return err
	}
	return api.SerializationException(got + " can not be converted to " + want)
}

// expected is the error where a structure, map or list must stand.
func (d *decoder) expected(what string) error {
	if _, err := d.found(); err != nil {
		return err
	}
	return api.SerializationException("Expected " + what + " or null")
}

func (d *decoder) structure(v api.Struct) error {
	if d.peek() != '{' {
		return d.expected("structure")
	}
	members := v.Shape().Members
	return d.object(func(key []byte) error {
		for i := range members {
			if string(key) == members[i].Name && members[i].Location == "" {
				f := v.Field(i)
				if d.peek() == 'n' {
					unset(f)
					return d.literal("null")
				}
				return d.value(members[i].Shape, f)
			}
		}
		return d.skip()
	})
}

// object reads an object and calls member for each key, with the decoder at the value.
func (d *decoder) object(member func(key []byte) error) error {
	if err := d.enter(); err != nil {
		return err
	}
	d.i++ // the brace
	if d.accept('}') {
		d.depth--
		return nil
	}
	for {
		if d.peek() != '"' {
			return d.malformed()
		}
		key, escaped, err := d.text()
		if err != nil {
			return err
		}
		if escaped {
			if key, err = unescape(make([]byte, 0, len(key)), key); err != nil {
				return err
			}
		}
		if !d.accept(':') {
			return d.malformed()
		}
		if err := member(key); err != nil {
			return err
		}
		if d.accept(',') {
			continue
		}
		if d.accept('}') {
			d.depth--
			return nil
		}
		return d.malformed()
	}
}

// list reads a list and calls elem for each element, with the decoder at it.
func (d *decoder) list(elem func() error) error {
	if d.peek() != '[' {
		return d.expected("list")
	}
	if err := d.enter(); err != nil {
		return err
	}
	d.i++
	if d.accept(']') {
		d.depth--
		return nil
	}
	for {
		if err := elem(); err != nil {
			return err
		}
		if d.accept(',') {
			continue
		}
		if d.accept(']') {
			d.depth--
			return nil
		}
		return d.malformed()
	}
}

// skip passes over a value of an unknown member.
func (d *decoder) skip() error {
	switch c := d.peek(); {
	case c == '{':
		return d.object(func([]byte) error { return d.skip() })
	case c == '[':
		return d.list(d.skip)
	case c == '"':
		_, _, err := d.text()
		return err
	case c == 't':
		return d.literal("true")
	case c == 'f':
		return d.literal("false")
	case c == 'n':
		return d.literal("null")
	case isNumber(c):
		_, _, err := d.number()
		return err
	}
	return d.malformed()
}

// value reads a value other than null into a member or element.
func (d *decoder) value(sh *api.Shape, f any) error {
	switch p := f.(type) {
	case **string:
		s, err := d.str()
		if err != nil {
			return err
		}
		*p = &s
		return nil
	case *string:
		s, err := d.str()
		*p = s
		return err
	case *api.Sensitive:
		if sh.Kind == api.Blob {
			b, err := d.blob()
			*p = b
			return err
		}
		b, err := d.bytes()
		*p = b
		return err
	case *[]byte:
		b, err := d.blob()
		*p = b
		return err
	case **bool:
		b, err := d.boolean()
		if err != nil {
			return err
		}
		*p = &b
		return nil
	case *bool:
		b, err := d.boolean()
		*p = b
		return err
	case **int64:
		n, err := d.integer(sh.Kind)
		if err != nil {
			return err
		}
		*p = &n
		return nil
	case *int64:
		n, err := d.integer(sh.Kind)
		*p = n
		return err
	case **float64:
		x, err := d.float(sh.Kind)
		if err != nil {
			return err
		}
		*p = &x
		return nil
	case *float64:
		x, err := d.float(sh.Kind)
		*p = x
		return err
	case **time.Time:
		t, err := d.time()
		if err != nil {
			return err
		}
		*p = &t
		return nil
	case *time.Time:
		t, err := d.time()
		*p = t
		return err
	case *[]string:
		l := []string{}
		err := d.list(func() error {
			s, err := d.str()
			l = append(l, s)
			return err
		})
		*p = l
		return err
	case *map[string]string:
		m := map[string]string{}
		*p = m
		return d.entries(func(key []byte) error {
			s, err := d.str()
			m[string(key)] = s
			return err
		})
	case api.ListField:
		p.Clear(0)
		return d.list(func() error { return d.value(sh.Elem, p.Append()) })
	case api.MapField:
		p.Clear()
		return d.entries(func(key []byte) error {
			return p.Put(string(key), func(e any) error { return d.value(sh.Value, e) })
		})
	case api.StructField:
		return d.structure(p.New())
	case api.Struct:
		return d.structure(p)
	}
	panic("awsjson: unknown form of " + sh.Name)
}

func (d *decoder) entries(entry func(key []byte) error) error {
	if d.peek() != '{' {
		return d.expected("map")
	}
	return d.object(entry)
}

// unset makes a member absent: an earlier value of the same key may have set it.
func unset(f any) {
	switch p := f.(type) {
	case **string:
		*p = nil
	case **bool:
		*p = nil
	case **int64:
		*p = nil
	case **float64:
		*p = nil
	case **time.Time:
		*p = nil
	case *[]byte:
		*p = nil
	case *api.Sensitive:
		*p = nil
	case *[]string:
		*p = nil
	case *map[string]string:
		*p = nil
	case api.ListField:
		p.Unset()
	case api.MapField:
		p.Unset()
	case api.StructField:
		p.Unset()
	}
}

// text reads a string and returns what stands between its quotes, in place.
// The result is UTF-8 and its escapes are well-formed.
func (d *decoder) text() (raw []byte, escaped bool, err error) {
	d.i++ // the quote
	start := d.i
	ascii := true
	for {
		d.i += api.PlainJSON(d.b[d.i:])
		if d.i == len(d.b) {
			return nil, false, d.malformed()
		}
		switch c := d.b[d.i]; {
		case c == '"':
			raw = d.b[start:d.i]
			if !ascii && !utf8.Valid(raw) {
				return nil, false, api.SerializationException("The request body is not valid UTF-8.")
			}
			d.i++
			return raw, escaped, nil
		case c == '\\':
			escaped = true
			if d.i++; d.i == len(d.b) {
				return nil, false, d.malformed()
			}
			switch d.b[d.i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				d.i++
			case 'u':
				for range 4 {
					if d.i++; d.i == len(d.b) || unhex(d.b[d.i]) > 15 {
						return nil, false, d.malformed()
					}
				}
				d.i++
			default:
				return nil, false, d.malformed()
			}
		case c < ' ':
			return nil, false, d.malformed()
		default:
			ascii = false
			for d.i < len(d.b) && d.b[d.i] >= utf8.RuneSelf {
				d.i++
			}
		}
	}
}

func unhex(c byte) uint16 {
	switch {
	case '0' <= c && c <= '9':
		return uint16(c - '0')
	case 'a' <= c && c <= 'f':
		return uint16(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return uint16(c-'A') + 10
	}
	return 16
}

// unescape appends raw, well-formed, without its escapes. Half a surrogate
// pair is refused: it has no UTF-8, and a replacement would change a secret.
func unescape(dst, raw []byte) ([]byte, error) {
	for {
		n := bytes.IndexByte(raw, '\\')
		if n < 0 {
			return append(dst, raw...), nil
		}
		dst = append(dst, raw[:n]...)
		c := raw[n+1]
		raw = raw[n+2:]
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := rune4(raw)
			raw = raw[4:]
			if utf16.IsSurrogate(r) {
				if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
					return nil, errSurrogate()
				}
				if r = utf16.DecodeRune(r, rune4(raw[2:])); r == utf8.RuneError {
					return nil, errSurrogate()
				}
				raw = raw[6:]
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
	}
}

func errSurrogate() error {
	return api.SerializationException("The request body has an unpaired surrogate in a string.")
}

func rune4(b []byte) rune {
	return rune(unhex(b[0])<<12 | unhex(b[1])<<8 | unhex(b[2])<<4 | unhex(b[3]))
}

// str reads a string.
func (d *decoder) str() (string, error) {
	if d.peek() != '"' {
		return "", d.mismatch("a String")
	}
	raw, escaped, err := d.text()
	if err != nil {
		return "", err
	}
	if escaped {
		raw, err = unescape(make([]byte, 0, len(raw)), raw)
	}
	return string(raw), err
}

// bytes reads a string into memory of its own, copied once: sensitive
// values are large, and each copy is one more to wipe.
func (d *decoder) bytes() ([]byte, error) {
	if d.peek() != '"' {
		return nil, d.mismatch("a String")
	}
	raw, escaped, err := d.text()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(raw))
	if escaped {
		return unescape(b, raw)
	}
	return append(b, raw...), nil
}

// strict refuses stray bits in the last digit. Line breaks it would ignore;
// blob refuses them itself.
var strict = base64.StdEncoding.Strict()

func (d *decoder) blob() ([]byte, error) {
	if d.peek() != '"' {
		return nil, d.mismatch("a Blob")
	}
	raw, escaped, err := d.text()
	if err != nil {
		return nil, err
	}
	if escaped { // some encoders escape the slash
		if raw, err = unescape(make([]byte, 0, len(raw)), raw); err != nil {
			return nil, err
		}
	}
	b := make([]byte, strict.DecodedLen(len(raw)))
	n, err := strict.Decode(b, raw)
	if err != nil || escaped && bytes.ContainsAny(raw, "\r\n") {
		// The decoder's error would name a byte of the value.
		return nil, api.SerializationException("A blob is not valid base64.")
	}
	return b[:n], nil
}

func (d *decoder) boolean() (bool, error) {
	switch d.peek() {
	case 't':
		return true, d.literal("true")
	case 'f':
		return false, d.literal("false")
	}
	return false, d.mismatch("a Boolean")
}

// number reads a number and reports whether it has neither fraction nor exponent.
func (d *decoder) number() (raw []byte, whole bool, err error) {
	start := d.i
	digits := func() error {
		if d.i == len(d.b) || d.b[d.i] < '0' || d.b[d.i] > '9' {
			return d.malformed()
		}
		for d.i < len(d.b) && '0' <= d.b[d.i] && d.b[d.i] <= '9' {
			d.i++
		}
		return nil
	}
	if d.b[d.i] == '-' {
		d.i++
	}
	if d.i < len(d.b) && d.b[d.i] == '0' {
		d.i++
	} else if err := digits(); err != nil {
		return nil, false, err
	}
	whole = true
	if d.i < len(d.b) && d.b[d.i] == '.' {
		whole = false
		d.i++
		if err := digits(); err != nil {
			return nil, false, err
		}
	}
	if d.i < len(d.b) && (d.b[d.i] == 'e' || d.b[d.i] == 'E') {
		whole = false
		d.i++
		if d.i < len(d.b) && (d.b[d.i] == '+' || d.b[d.i] == '-') {
			d.i++
		}
		if err := digits(); err != nil {
			return nil, false, err
		}
	}
	return d.b[start:d.i], whole, nil
}

func isNumber(c byte) bool { return c == '-' || '0' <= c && c <= '9' }

// integer reads an integer. 5.0 and 5e0 are integers; 5.5 is not, although AWS
// is said to cut it off: a silently changed number is worse than an error.
func (d *decoder) integer(kind api.Kind) (int64, error) {
	want := "a Long"
	if kind == api.Integer {
		want = "an Integer"
	}
	if !isNumber(d.peek()) {
		return 0, d.mismatch(want)
	}
	raw, whole, err := d.number()
	if err != nil {
		return 0, err
	}
	var n int64
	ok := false
	if whole {
		n, err = strconv.ParseInt(string(raw), 10, 64)
		ok = err == nil
	} else if f, err := strconv.ParseFloat(string(raw), 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		n, ok = int64(f), true
	}
	if kind == api.Integer && n != int64(int32(n)) {
		ok = false
	}
	if !ok {
		return 0, api.SerializationException("NUMBER_VALUE can not be converted to " + want)
	}
	return n, nil
}

func (d *decoder) float(kind api.Kind) (float64, error) {
	want := "a Double"
	if kind == api.Float {
		want = "a Float"
	}
	c := d.peek()
	if c == '"' {
		at := d.i
		raw, _, err := d.text()
		if err != nil {
			return 0, err
		}
		switch string(raw) {
		case "NaN":
			return math.NaN(), nil
		case "Infinity":
			return math.Inf(1), nil
		case "-Infinity":
			return math.Inf(-1), nil
		}
		d.i = at
	}
	if !isNumber(c) {
		return 0, d.mismatch(want)
	}
	raw, _, err := d.number()
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || kind == api.Float && math.Abs(f) > math.MaxFloat32 {
		return 0, api.SerializationException("NUMBER_VALUE can not be converted to " + want)
	}
	return f, nil
}

// maxSeconds is the end of the year 9999, beyond which dates cannot be written.
const maxSeconds = 253402300799

// time reads seconds since the epoch, with milliseconds.
func (d *decoder) time() (time.Time, error) {
	const want = "milliseconds since epoch" // AWS's words
	if !isNumber(d.peek()) {
		return time.Time{}, d.mismatch(want)
	}
	raw, _, err := d.number()
	if err != nil {
		return time.Time{}, err
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.Abs(f) > maxSeconds {
		return time.Time{}, api.SerializationException("NUMBER_VALUE can not be converted to " + want)
	}
	return time.UnixMilli(int64(math.Round(f * 1000))).UTC(), nil
}
