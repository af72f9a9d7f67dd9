package awsquery

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"coffer/internal/api"
)

// ContentType is what Query answers carry.
const ContentType = "text/xml"

// Append appends the answer of op: present members of out in the order of the
// model, map entries by key.
func Append(dst []byte, op *api.Operation, out api.Struct, requestID string) []byte {
	dst = append(dst, '<')
	dst = append(dst, op.Name...)
	dst = append(dst, `Response xmlns="`...)
	dst = append(dst, op.Service.XMLNamespace...)
	dst = append(dst, `">`...)
	if op.Wrapper != "" {
		dst = appendElement(dst, op.Wrapper, op.Output, out)
	}
	dst = append(dst, "<ResponseMetadata><RequestId>"...)
	dst = appendText(dst, requestID)
	dst = append(dst, "</RequestId></ResponseMetadata></"...)
	dst = append(dst, op.Name...)
	return append(dst, "Response>"...)
}

// appendElement appends a present value as an element, or as several if it is a
// flattened list or map.
func appendElement(dst []byte, name string, sh *api.Shape, f any) []byte {
	switch p := f.(type) {
	case *[]string:
		return appendList(dst, name, sh, (*api.ListOf[string])(p))
	case api.ListField:
		return appendList(dst, name, sh, p)
	case *map[string]string:
		return appendMap(dst, name, sh, (*api.MapOf[string])(p))
	case api.MapField:
		return appendMap(dst, name, sh, p)
	}
	dst = appendStart(dst, name)
	content := len(dst)
	switch p := f.(type) {
	case api.StructField:
		dst = appendMembers(dst, p.Get())
	case api.Struct:
		dst = appendMembers(dst, p)
	default:
		dst = appendPlain(dst, sh, f)
	}
	return appendEnd(dst, name, content)
}

func appendMembers(dst []byte, v api.Struct) []byte {
	members := v.Shape().Members
	for i := range members {
		if f := v.Field(i); !api.Absent(f) {
			dst = appendElement(dst, memberName(&members[i]), members[i].Shape, f)
		}
	}
	return dst
}

func appendList(dst []byte, name string, sh *api.Shape, l api.ListField) []byte {
	if sh.Flattened {
		for i := range l.Len() {
			dst = appendElement(dst, name, sh.Elem, l.At(i))
		}
		return dst
	}
	dst = appendStart(dst, name)
	content := len(dst)
	for i := range l.Len() {
		dst = appendElement(dst, nameOr(sh.ElemName, "member"), sh.Elem, l.At(i))
	}
	return appendEnd(dst, name, content)
}

func appendMap(dst []byte, name string, sh *api.Shape, m api.MapField) []byte {
	if sh.Flattened {
		return appendEntries(dst, name, sh, m)
	}
	dst = appendStart(dst, name)
	content := len(dst)
	dst = appendEntries(dst, "entry", sh, m)
	return appendEnd(dst, name, content)
}

func appendEntries(dst []byte, name string, sh *api.Shape, m api.MapField) []byte {
	for _, k := range m.Keys() {
		dst = appendStart(dst, name)
		dst = appendElement(dst, nameOr(sh.KeyName, "key"), sh.Key, &k)
		dst = appendElement(dst, nameOr(sh.ValueName, "value"), sh.Value, m.At(k))
		dst = append(dst, "</"...)
		dst = append(dst, name...)
		dst = append(dst, '>')
	}
	return dst
}

func appendStart(dst []byte, name string) []byte {
	dst = append(dst, '<')
	dst = append(dst, name...)
	return append(dst, '>')
}

// appendEnd closes an element whose content starts at byte content. Without
// content it becomes <name/>.
func appendEnd(dst []byte, name string, content int) []byte {
	if len(dst) == content {
		return append(dst[:content-1], "/>"...)
	}
	dst = append(dst, "</"...)
	dst = append(dst, name...)
	return append(dst, '>')
}

// appendPlain appends a value that is no list, map or structure.
func appendPlain(dst []byte, sh *api.Shape, f any) []byte {
	switch p := f.(type) {
	case **string:
		return appendText(dst, **p)
	case *string:
		return appendText(dst, *p)
	case *api.Sensitive:
		if sh.Kind == api.Blob {
			return base64.StdEncoding.AppendEncode(dst, *p)
		}
		return appendText(dst, []byte(*p))
	case *[]byte:
		return base64.StdEncoding.AppendEncode(dst, *p)
	case **bool:
		return strconv.AppendBool(dst, **p)
	case *bool:
		return strconv.AppendBool(dst, *p)
	case **int64:
		return strconv.AppendInt(dst, **p, 10)
	case *int64:
		return strconv.AppendInt(dst, *p, 10)
	case **float64:
		return appendFloat(dst, **p)
	case *float64:
		return appendFloat(dst, *p)
	case **time.Time:
		return appendTime(dst, sh, **p)
	case *time.Time:
		return appendTime(dst, sh, *p)
	}
	panic("awsquery: unknown form of " + sh.Name)
}

func appendFloat(dst []byte, x float64) []byte {
	switch {
	case math.IsNaN(x):
		return append(dst, "NaN"...)
	case math.IsInf(x, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(x, -1):
		return append(dst, "-Infinity"...)
	}
	return api.AppendJSONFloat(dst, x)
}

func appendTime(dst []byte, sh *api.Shape, t time.Time) []byte {
	t = t.UTC()
	switch sh.TimeFormat {
	case "unixTimestamp":
		return strconv.AppendInt(dst, t.Unix(), 10)
	case "rfc822":
		return t.AppendFormat(dst, "Mon, 02 Jan 2006 15:04:05 GMT")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05Z")
}

// appendText appends s as the text of an element. A reader would make a line
// feed of a carriage return, so that is escaped; what XML 1.0 has no way to
// write (most control characters, bytes that are not UTF-8) becomes U+FFFD.
func appendText[T string | []byte](dst []byte, s T) []byte {
	for len(s) > 0 {
		n := 0
		for n < len(s) && stands[s[n]] {
			n++
		}
		dst = append(dst, s[:n]...)
		if s = s[n:]; len(s) == 0 {
			break
		}
		size := 1
		switch c := s[0]; {
		case c >= utf8.RuneSelf:
			var r rune
			r, size = utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)])) // no allocation
			if r == utf8.RuneError || r == 0xFFFE || r == 0xFFFF {
				r = utf8.RuneError
			}
			dst = utf8.AppendRune(dst, r)
		case c == '&':
			dst = append(dst, "&amp;"...)
		case c == '<':
			dst = append(dst, "&lt;"...)
		case c == '>':
			dst = append(dst, "&gt;"...)
		case c == '\r':
			dst = append(dst, "&#13;"...)
		default:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		}
		s = s[size:]
	}
	return dst
}

// stands are the ASCII characters that stand for themselves in XML text.
var stands = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '&' && c != '<' && c != '>'
	}
	t['\t'], t['\n'] = true, true
	return t
}()
