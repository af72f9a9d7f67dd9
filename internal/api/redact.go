package api

import (
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Bounds of what one record says of a request or an answer. AWS's own limits
// on members stay well below; only requests that fail can go over.
const (
	maxRedacted       = 64 << 10 // after this many bytes nothing more is added
	maxRedactedString = 24 << 10 // longer texts are cut; a resource policy has up to 20 KiB
)

// AppendRedacted appends v as the JSON object of a CloudTrail record's
// requestParameters or responseElements: lower camel case keys, only members
// that are present, dates as CloudTrail writes them. Left out are sensitive
// members and, as in CloudTrail, all blobs. What is cut short for its size ends in "...",
// and an object with members left out for its size has a member "...".
func AppendRedacted(dst []byte, v Struct) []byte {
	r := redactor{start: len(dst)}
	return r.structure(dst, v)
}

// Format writes v for a log or a test: its name and what AppendRedacted shows.
//
// Generated structures format themselves with it because Sensitive alone does
// not suffice: for a pointer inside a structure and a verb that pointers do not have,
// such as %s, package fmt prints what it points to with all methods switched off.
func Format(f fmt.State, v Struct) {
	fmt.Fprintf(f, "%s%s", v.Shape().Name, AppendRedacted(nil, v))
}

type redactor struct{ start int }

func (r *redactor) full(dst []byte) bool { return len(dst)-r.start > maxRedacted }

func (r *redactor) structure(dst []byte, v Struct) []byte {
	dst = append(dst, '{')
	open := len(dst)
	members := v.Shape().Members
	for i := range members {
		m := &members[i]
		if hidden(m.Shape) {
			continue
		}
		f := v.Field(i)
		if Absent(f) {
			continue
		}
		if len(dst) > open {
			dst = append(dst, ',')
		}
		if r.full(dst) {
			return append(dst, `"...":true}`...)
		}
		dst = append(dst, '"')
		dst = append(dst, m.Path...)
		dst = append(dst, '"', ':')
		dst = r.value(dst, f)
	}
	return append(dst, '}')
}

// hidden reports whether values of the shape are not shown anywhere.
func hidden(s *Shape) bool {
	if s.Sensitive || s.Kind == Blob {
		return true
	}
	switch s.Kind {
	case List:
		return hidden(s.Elem)
	case Map:
		return hidden(s.Key) || hidden(s.Value)
	}
	return false
}

func (r *redactor) value(dst []byte, f any) []byte {
	switch p := f.(type) {
	case **string:
		return r.text(dst, **p)
	case *string:
		return r.text(dst, *p)
	case **bool:
		return strconv.AppendBool(dst, **p)
	case *bool:
		return strconv.AppendBool(dst, *p)
	case **int64:
		return strconv.AppendInt(dst, **p, 10)
	case *int64:
		return strconv.AppendInt(dst, *p, 10)
	case **float64:
		return AppendJSONFloat(dst, **p)
	case *float64:
		return AppendJSONFloat(dst, *p)
	case **time.Time:
		return appendDate(dst, **p)
	case *time.Time:
		return appendDate(dst, *p)
	case *[]string:
		dst = append(dst, '[')
		for i, s := range *p {
			if i > 0 {
				dst = append(dst, ',')
			}
			if r.full(dst) {
				dst = append(dst, `"..."`...)
				break
			}
			dst = r.text(dst, s)
		}
		return append(dst, ']')
	case *map[string]string:
		return r.texts(dst, *p)
	case ListField:
		dst = append(dst, '[')
		for i := range p.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			if r.full(dst) {
				dst = append(dst, `"..."`...)
				break
			}
			dst = r.value(dst, p.At(i))
		}
		return append(dst, ']')
	case MapField:
		return r.entries(dst, p)
	case StructField:
		return r.structure(dst, p.Get())
	case Struct:
		return r.structure(dst, p)
	}
	// Blobs and sensitive values do not come here; if one did, it stays out.
	return append(dst, "null"...)
}

func (r *redactor) entries(dst []byte, m MapField) []byte {
	dst = append(dst, '{')
	for i, k := range m.Keys() {
		if i > 0 {
			dst = append(dst, ',')
		}
		if r.full(dst) {
			return append(dst, `"...":true}`...)
		}
		dst = r.text(dst, k)
		dst = append(dst, ':')
		dst = r.value(dst, m.At(k))
	}
	return append(dst, '}')
}

// texts is entries for a map of strings. An encryption context is on the way of
// every read of a secret: through MapField it costs nine allocations.
func (r *redactor) texts(dst []byte, m map[string]string) []byte {
	var few [8]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		if r.full(dst) {
			return append(dst, `"...":true}`...)
		}
		dst = r.text(dst, k)
		dst = append(dst, ':')
		dst = r.text(dst, m[k])
	}
	return append(dst, '}')
}

func (r *redactor) text(dst []byte, s string) []byte {
	if len(s) <= maxRedactedString {
		return AppendJSONString(dst, s)
	}
	dst = AppendJSONString(dst, cut(s, maxRedactedString))
	return append(dst[:len(dst)-1], `..."`...)
}

// cut returns at most n bytes of s without splitting a character.
func cut(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// appendDate writes a date as CloudTrail does, in the manner of Java: "May 3, 2018 5:51:02 PM".
func appendDate(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, "Jan 2, 2006 3:04:05 PM")
	return append(dst, '"')
}

// Absent reports whether a member, in a form that Struct.Field gives, is not present.
func Absent(f any) bool {
	switch p := f.(type) {
	case **string:
		return *p == nil
	case **bool:
		return *p == nil
	case **int64:
		return *p == nil
	case **float64:
		return *p == nil
	case **time.Time:
		return *p == nil
	case *[]byte:
		return *p == nil
	case *Sensitive:
		return *p == nil
	case *[]string:
		return *p == nil
	case *map[string]string:
		return *p == nil
	case ListField:
		return p.Nil()
	case MapField:
		return p.Nil()
	case StructField:
		return p.Get() == nil
	}
	return true
}
