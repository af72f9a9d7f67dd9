package api

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendJSONString appends s as a JSON string. It escapes what JSON requires
// and nothing else: AWS does not escape HTML. Bytes that are not UTF-8 become
// U+FFFD; they cannot come from a request, which the codecs refuse then.
func AppendJSONString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for len(s) > 0 {
		n := PlainJSON(s)
		dst = append(dst, s[:n]...)
		if s = s[n:]; len(s) == 0 {
			break
		}
		switch c := s[0]; {
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)])) // no allocation
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, "\uFFFD"...)
			} else {
				dst = append(dst, s[:size]...)
			}
			s = s[size:]
			continue
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		s = s[1:]
	}
	return append(dst, '"')
}

const hexDigits = "0123456789abcdef"

// PlainJSON returns how many bytes at the start of s are ASCII that stands
// for itself in a JSON string. Values are up to 64 KiB, so it looks at eight
// bytes at a time.
func PlainJSON[T string | []byte](s T) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		x := load64(s, i)
		// A byte's top bit is set in one of the terms if it is below ' ', a
		// quote, a backslash, or not ASCII. Borrows can only come from such bytes.
		if (x|(x-ones*' ')|((x^ones*'"')-ones)|((x^ones*'\\')-ones))&tops != 0 {
			break
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}

func load64[T string | []byte](s T, i int) uint64 {
	var b [8]byte
	copy(b[:], s[i:i+8])
	return binary.LittleEndian.Uint64(b[:])
}

// AppendJSONFloat appends f as a JSON number, or as a string where JSON has
// no number, as AWS's protocols do.
func AppendJSONFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 64)
}
