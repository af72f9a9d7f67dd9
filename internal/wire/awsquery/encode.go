package awsquery

import (
	"unicode/utf8"

	"coffer/internal/api"
	"coffer/internal/wire/text"
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
		if sh.Kind != api.Blob {
			return appendText(dst, []byte(*p))
		}
	}
	return text.Append(dst, sh, f, "iso8601")
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
