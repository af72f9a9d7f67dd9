package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// plain tells which bytes stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// plainPrefix returns how many bytes at the start of s stand for themselves. A
// record is mostly such strings, so it looks at eight bytes at a time.
func plainPrefix[T string | []byte](s T) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		var b [8]byte
		copy(b[:], s[i:i+8])
		x := binary.LittleEndian.Uint64(b[:])
		// A byte's top bit is set in one of the terms if it is below ' ', a
		// quote, a backslash, or not ASCII. Borrows can only come from such bytes.
		if (x|(x-ones*' ')|((x^ones*'"')-ones)|((x^ones*'\\')-ones))&tops != 0 {
			break
		}
	}
	for i < len(s) && plain[s[i]] {
		i++
	}
	return i
}

// appendString appends s as a JSON string of at most limit bytes between the
// quotes, cut before the first character that would pass the limit. The limit
// counts rendered bytes, because escaping makes up to six out of one and it is
// the size of the record that has to stay bounded.
func appendString(dst []byte, s string, limit int) []byte {
	dst = append(dst, '"')
	if len(s) <= limit && plainPrefix(s) == len(s) {
		dst = append(dst, s...)
		return append(dst, '"')
	}
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			if limit--; limit < 0 {
				break
			}
			dst = append(dst, c)
			i++
			continue
		}
		if c < utf8.RuneSelf {
			n := 2
			var short byte
			switch c {
			case '"', '\\':
				short = c
			case '\n':
				short = 'n'
			case '\r':
				short = 'r'
			case '\t':
				short = 't'
			default:
				n = 6
			}
			if limit -= n; limit < 0 {
				break
			}
			if n == 2 {
				dst = append(dst, '\\', short)
			} else {
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			if limit -= 6; limit >= 0 {
				dst = append(dst, `\ufffd`...)
			}
		default:
			if limit -= size; limit >= 0 {
				dst = append(dst, s[i:i+size]...)
			}
		}
		if limit < 0 {
			break
		}
		i += size
	}
	return append(dst, '"')
}

// appendRaw appends JSON that the caller made, on one line. What is larger than
// limit is left out, as CloudTrail does, but with a mark in its place, so that it
// is not taken for a call without parameters. What is not JSON is left out too:
// a slip of the caller must not let a value reach into the fields around it.
func appendRaw(dst []byte, name string, raw []byte, limit int) []byte {
	if len(raw) == 0 {
		return append(dst, "null"...)
	}
	if len(raw) <= limit {
		s := scanner{b: raw}
		if s.value(0) && s.i == len(raw) && !s.spaced && utf8.Valid(raw) {
			return append(dst, raw...)
		}
		// A copy, for the slow way only: package json would make raw, and with it
		// all that a Record points to, escape to the heap on every call. (For the
		// same reason the scanner calls no functions that it is given.)
		raw = bytes.Clone(raw)
		if !json.Valid(raw) {
			return appendMark(dst, name, "Invalid")
		}
		var b bytes.Buffer
		if json.Compact(&b, raw) != nil {
			return appendMark(dst, name, "Invalid")
		}
		// Replacing a bad byte by three can pass the limit.
		raw = bytes.ToValidUTF8(b.Bytes(), []byte("\uFFFD"))
		if len(raw) <= limit {
			return append(dst, raw...)
		}
	}
	return appendMark(dst, name, "Omitted")
}

func appendMark(dst []byte, name, what string) []byte {
	dst = append(dst, `{"`...)
	dst = append(dst, name...)
	dst = append(dst, what...)
	return append(dst, `":true}`...)
}

// maxDepth bounds the scanner's recursion; deeper input takes the slow way.
const maxDepth = 100

// scanner walks JSON text without building anything: to check what callers hand
// over and to find a record's event id. It is strict about tokens. It exists
// because encoding/json costs several microseconds for the same on every call.
type scanner struct {
	b      []byte
	i      int
	spaced bool // met white space between tokens
	found  bool // stopped at the member looked for
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\r', '\n':
			s.spaced = true
			s.i++
		default:
			return
		}
	}
}

func (s *scanner) byte(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i >= len(w) && string(s.b[s.i:s.i+len(w)]) == w {
		s.i += len(w)
		return true
	}
	return false
}

// value passes one value and the white space around it.
func (s *scanner) value(depth int) bool {
	s.space()
	if s.i >= len(s.b) || depth > maxDepth {
		return false
	}
	ok := false
	switch s.b[s.i] {
	case '{':
		ok = s.object(depth, "")
	case '[':
		ok = s.array(depth)
	case '"':
		_, ok = s.string()
	case 't':
		ok = s.word("true")
	case 'f':
		ok = s.word("false")
	case 'n':
		ok = s.word("null")
	default:
		ok = s.number()
	}
	s.space()
	return ok
}

// object passes an object, but stops before the value of the member find, if that
// is not empty and there is one, and sets found.
func (s *scanner) object(depth int, find string) bool {
	if !s.byte('{') {
		return false
	}
	s.space()
	if s.byte('}') {
		return true
	}
	for {
		s.space()
		key, ok := s.string()
		if !ok {
			return false
		}
		s.space()
		if !s.byte(':') {
			return false
		}
		if find != "" && string(key) == find {
			s.found = true
			return true
		}
		if !s.value(depth + 1) {
			return false
		}
		if s.byte('}') {
			return true
		}
		if !s.byte(',') {
			return false
		}
	}
}

func (s *scanner) array(depth int) bool {
	s.i++
	s.space()
	if s.byte(']') {
		return true
	}
	for {
		if !s.value(depth + 1) {
			return false
		}
		if s.byte(']') {
			return true
		}
		if !s.byte(',') {
			return false
		}
	}
}

// string passes a string and returns what is between its quotes, still escaped.
func (s *scanner) string() ([]byte, bool) {
	if !s.byte('"') {
		return nil, false
	}
	start := s.i
	for s.i < len(s.b) {
		if s.i += plainPrefix(s.b[s.i:]); s.i == len(s.b) {
			break
		}
		c := s.b[s.i]
		switch {
		case c == '"':
			s.i++
			return s.b[start : s.i-1], true
		case c < 0x20:
			return nil, false
		case c != '\\':
			s.i++
		default:
			if s.i++; s.i >= len(s.b) {
				return nil, false
			}
			switch s.b[s.i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				s.i++
			case 'u':
				for range 4 {
					if s.i++; s.i >= len(s.b) || !isHex(s.b[s.i]) {
						return nil, false
					}
				}
				s.i++
			default:
				return nil, false
			}
		}
	}
	return nil, false
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

func (s *scanner) number() bool {
	s.byte('-')
	if !s.byte('0') && !s.digits() {
		return false
	}
	if s.byte('.') && !s.digits() {
		return false
	}
	if s.i < len(s.b) && (s.b[s.i] == 'e' || s.b[s.i] == 'E') {
		s.i++
		if !s.byte('+') {
			s.byte('-')
		}
		return s.digits()
	}
	return true
}

// eventID returns the eventID of a record, "" if it has none. It looks at the
// record's own members only: a caller who names a parameter eventID must not be
// able to pass one record off as another.
func eventID(record []byte) string {
	s := scanner{b: record}
	s.space()
	if s.object(0, "eventID"); !s.found {
		return ""
	}
	s.space()
	start := s.i
	v, ok := s.string()
	if !ok {
		return ""
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return string(v)
	}
	var id string
	if json.Unmarshal(record[start:s.i], &id) != nil {
		return ""
	}
	return id
}
