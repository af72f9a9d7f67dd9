package api

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Bounds of validation messages, where AWS has none: a request of 1 MiB must
// not be answered by more than that.
const (
	maxShown    = 256 // bytes of a value in a message; then "..."
	maxFailures = 20  // failures described; all are counted
)

// Validate checks in against all constraints of its model: required members,
// length, range, pattern and enumeration, at any depth. The error is a
// ValidationException that lists the failures as AWS writes them:
//
//	2 validation errors detected: Value 'x' at 'secretId' failed to satisfy constraint: Member must ...; Value at ...
//
// Strings are measured in Unicode code points, blobs in bytes. The constraints
// of a list's plain elements are reported of the list, as AWS does; those of
// structures in a list under a path like tags.1.member.key. Values of sensitive
// members never appear.
func Validate(in Struct) error {
	v := validators.Get().(*validator)
	defer func() {
		*v = validator{path: v.path[:0]}
		validators.Put(v)
	}()
	v.structure(in)
	if v.count == 0 {
		return nil
	}
	plural := "s"
	if v.count == 1 {
		plural = ""
	}
	return ValidationException(strconv.Itoa(v.count) + " validation error" + plural + " detected: " + strings.Join(v.failures, "; "))
}

// validators are pooled because Validate is on the way of every call, and almost
// always finds nothing.
var validators = sync.Pool{New: func() any { return &validator{path: make([]step, 0, 8)} }}

// step is a part of a path: a member, its index if it is an element (from 1),
// its key if it is a map's value.
type step struct {
	name  string
	index int
	key   string
}

type validator struct {
	path     []step
	count    int
	failures []string
}

func (v *validator) structure(s Struct) {
	members := s.Shape().Members
	for i := range members {
		m := &members[i]
		f := s.Field(i)
		if Absent(f) {
			if m.Required {
				v.path = append(v.path, step{name: m.Path})
				v.fail(m.Shape, nil, "Member must not be null")
				v.path = v.path[:len(v.path)-1]
			}
			continue
		}
		if !m.Shape.constrained() {
			continue
		}
		v.path = append(v.path, step{name: m.Path})
		v.value(m.Shape, f)
		v.path = v.path[:len(v.path)-1]
	}
}

// constrained reports whether values of the shape can fail. Structures are
// taken to: asking them might not end.
func (s *Shape) constrained() bool {
	switch s.Kind {
	case Structure:
		return true
	case List:
		return s.HasMin || s.HasMax || s.Elem.constrained()
	case Map:
		return s.HasMin || s.HasMax || s.Key.constrained() || s.Value.constrained()
	}
	return s.HasMin || s.HasMax || s.Pattern != nil || s.Enum != nil
}

// value checks a present value and what is in it.
func (v *validator) value(sh *Shape, f any) {
	switch sh.Kind {
	case Structure:
		switch p := f.(type) {
		case StructField:
			v.structure(p.Get())
		case Struct:
			v.structure(p)
		}
	case List:
		v.list(sh, f)
	case Map:
		v.entries(sh, f)
	default:
		v.leaf(sh, f)
	}
}

func (v *validator) leaf(sh *Shape, f any) {
	for c := atLeast; c <= inEnum; c++ {
		if sh.breaks(c, f) {
			v.fail(sh, f, sh.text(c))
		}
	}
}

func (v *validator) list(sh *Shape, f any) {
	l, ok := f.(ListField)
	if !ok {
		l = (*ListOf[string])(f.(*[]string))
	}
	v.size(sh, f, int64(l.Len()))
	switch e := sh.Elem; {
	case !e.constrained():
	case e.Kind == Structure || e.Kind == List || e.Kind == Map:
		top := &v.path[len(v.path)-1]
		outer := *top
		for i := range l.Len() {
			v.path[len(v.path)-1].index = i + 1
			if e.Kind != Structure {
				// A list in a list: its own step, without a name.
				v.path = append(v.path, step{})
			}
			v.value(e, l.At(i))
			if e.Kind != Structure {
				v.path = v.path[:len(v.path)-1]
			}
		}
		v.path[len(v.path)-1] = outer
	default:
		for i := range l.Len() {
			if e.fails(l.At(i)) {
				v.fail(sh, f, "Member must satisfy constraint: ["+e.all()+"]")
				break
			}
		}
	}
}

func (v *validator) entries(sh *Shape, f any) {
	m, ok := f.(MapField)
	if !ok {
		m = (*MapOf[string])(f.(*map[string]string))
	}
	v.size(sh, f, int64(m.Len()))
	if !sh.Key.constrained() && !sh.Value.constrained() {
		return // spares an encryption context the sorting of its keys
	}
	keys := m.Keys()
	if sh.Key.constrained() && slices.ContainsFunc(keys, func(k string) bool { return sh.Key.fails(&k) }) {
		v.fail(sh, f, "Map keys must satisfy constraint: ["+sh.Key.all()+"]")
	}
	switch e := sh.Value; {
	case !e.constrained():
	case e.Kind == Structure || e.Kind == List || e.Kind == Map:
		outer := v.path[len(v.path)-1]
		for _, k := range keys {
			v.path[len(v.path)-1].key = k
			if e.Kind != Structure {
				v.path = append(v.path, step{})
			}
			v.value(e, m.At(k))
			if e.Kind != Structure {
				v.path = v.path[:len(v.path)-1]
			}
		}
		v.path[len(v.path)-1] = outer
	default:
		for _, k := range keys {
			if e.fails(m.At(k)) {
				v.fail(sh, f, "Map value must satisfy constraint: ["+e.all()+"]")
				break
			}
		}
	}
}

func (v *validator) size(sh *Shape, f any, n int64) {
	if sh.HasMin && n < sh.Min {
		v.fail(sh, f, sh.text(atLeast))
	}
	if sh.HasMax && n > sh.Max {
		v.fail(sh, f, sh.text(atMost))
	}
}

// constraint is one of the checks of a plain value, in the order of messages.
type constraint uint8

const (
	atLeast constraint = iota
	atMost
	matches
	inEnum
)

func (s *Shape) fails(f any) bool {
	for c := atLeast; c <= inEnum; c++ {
		if s.breaks(c, f) {
			return true
		}
	}
	return false
}

// breaks reports whether a plain value breaks constraint c.
func (s *Shape) breaks(c constraint, f any) bool {
	switch c {
	case atLeast:
		if !s.HasMin {
			return false
		}
	case atMost:
		if !s.HasMax {
			return false
		}
	case matches:
		if s.Pattern == nil {
			return false
		}
	case inEnum:
		if s.Enum == nil {
			return false
		}
	}
	switch p := f.(type) {
	case **string:
		return s.breaksText(c, **p)
	case *string:
		return s.breaksText(c, *p)
	case *Sensitive:
		if s.Kind == Blob {
			return s.breaksSize(c, int64(len(*p)))
		}
		if c == atLeast || c == atMost {
			return breaksLength(s, c, len(*p), func() int { return utf8.RuneCount(*p) })
		}
		return s.breaksText(c, string(*p))
	case *[]byte:
		return s.breaksSize(c, int64(len(*p)))
	case **int64:
		return s.breaksSize(c, **p)
	case *int64:
		return s.breaksSize(c, *p)
	case **float64:
		return s.breaksFloat(c, **p)
	case *float64:
		return s.breaksFloat(c, *p)
	}
	return false
}

func (s *Shape) breaksText(c constraint, t string) bool {
	switch c {
	case matches:
		return !s.Pattern.Matches(t)
	case inEnum:
		return !slices.Contains(s.Enum, t)
	}
	return breaksLength(s, c, len(t), func() int { return utf8.RuneCountInString(t) })
}

// breaksLength counts characters only if the bytes leave it open: a
// character has one to four.
func breaksLength(s *Shape, c constraint, bytes int, characters func() int) bool {
	n := int64(bytes)
	if c == atLeast {
		return n < s.Min || (n+3)/4 < s.Min && int64(characters()) < s.Min
	}
	return n > s.Max && int64(characters()) > s.Max
}

func (s *Shape) breaksSize(c constraint, n int64) bool {
	return c == atLeast && n < s.Min || c == atMost && n > s.Max
}

func (s *Shape) breaksFloat(c constraint, f float64) bool {
	// Written so that NaN breaks both.
	return c == atLeast && !(f >= float64(s.Min)) || c == atMost && !(f <= float64(s.Max))
}

// text is what AWS writes of a constraint.
func (s *Shape) text(c constraint) string {
	what := "length"
	switch s.Kind {
	case Integer, Long, Float, Double:
		what = "value"
	}
	switch c {
	case atLeast:
		return "Member must have " + what + " greater than or equal to " + strconv.FormatInt(s.Min, 10)
	case atMost:
		return "Member must have " + what + " less than or equal to " + strconv.FormatInt(s.Max, 10)
	case matches:
		return "Member must satisfy regular expression pattern: " + s.Pattern.Source
	default:
		return "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"
	}
}

// all lists the constraints of elements, in AWS's order.
func (s *Shape) all() string {
	var all []string
	if s.HasMax {
		all = append(all, s.text(atMost))
	}
	if s.HasMin {
		all = append(all, s.text(atLeast))
	}
	if s.Pattern != nil {
		all = append(all, s.text(matches))
	}
	if s.Enum != nil {
		all = append(all, s.text(inEnum))
	}
	return strings.Join(append(all, "Member must not be null"), ", ")
}

// fail notes a failure at the current path; f is nil for a value that is absent.
func (v *validator) fail(sh *Shape, f any, constraint string) {
	v.count++
	if v.count > maxFailures {
		return
	}
	var b strings.Builder
	b.WriteString("Value ")
	if f != nil && !secret(sh) {
		b.WriteByte('\'')
		shown := appendShown(nil, sh, f)
		if len(shown) > maxShown {
			shown = append([]byte(cut(string(shown), maxShown)), "..."...)
		}
		b.Write(shown)
		b.WriteString("' ")
	}
	b.WriteString("at '")
	for i, s := range v.path {
		if i > 0 && s.name != "" {
			b.WriteByte('.')
		}
		b.WriteString(s.name)
		switch {
		case s.index > 0:
			fmt.Fprintf(&b, ".%d.member", s.index)
		case s.key != "":
			k := s.key
			if len(k) > maxShown {
				k = cut(k, maxShown) + "..."
			}
			fmt.Fprintf(&b, ".%s.member", k)
		}
	}
	b.WriteString("' failed to satisfy constraint: ")
	b.WriteString(constraint)
	v.failures = append(v.failures, b.String())
}

// secret reports whether a value of the shape is sensitive as a whole.
func secret(s *Shape) bool {
	return s.Sensitive || s.Kind == List && secret(s.Elem) || s.Kind == Map && (secret(s.Key) || secret(s.Value))
}

// appendShown writes a value as it appears in messages, in the manner of
// Java, and stops soon after maxShown bytes. Sensitive members stay out.
func appendShown(dst []byte, sh *Shape, f any) []byte {
	if secret(sh) {
		return append(dst, "..."...)
	}
	switch p := f.(type) {
	case **string:
		return append(dst, head(**p)...)
	case *string:
		return append(dst, head(*p)...)
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
		return (**p).UTC().AppendFormat(dst, time.UnixDate)
	case *time.Time:
		return p.UTC().AppendFormat(dst, time.UnixDate)
	case *[]byte:
		return fmt.Appendf(dst, "java.nio.HeapByteBuffer[pos=0 lim=%d cap=%d]", len(*p), len(*p))
	case *[]string:
		return appendShown(dst, sh, (*ListOf[string])(p))
	case *map[string]string:
		return appendShown(dst, sh, (*MapOf[string])(p))
	case ListField:
		dst = append(dst, '[')
		for i := 0; i < p.Len() && len(dst) <= maxShown; i++ {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendShown(dst, sh.Elem, p.At(i))
		}
		return append(dst, ']')
	case MapField:
		dst = append(dst, '{')
		for i, k := range p.Keys() {
			if len(dst) > maxShown {
				break
			}
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(append(dst, head(k)...), '=')
			dst = appendShown(dst, sh.Value, p.At(k))
		}
		return append(dst, '}')
	case StructField:
		return appendShown(dst, sh, p.Get())
	case Struct:
		dst = append(append(dst, sh.Name...), '(')
		first := true
		for i := range sh.Members {
			m := &sh.Members[i]
			f := p.Field(i)
			if Absent(f) || secret(m.Shape) || len(dst) > maxShown {
				continue
			}
			if !first {
				dst = append(dst, ", "...)
			}
			first = false
			dst = append(append(dst, m.Path...), '=')
			dst = appendShown(dst, m.Shape, f)
		}
		return append(dst, ')')
	}
	return append(dst, "..."...)
}

// head keeps one character more than is shown, so that the cut is seen.
func head(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return cut(s, maxShown) + "..."
}

func appendFloat(dst []byte, f float64) []byte {
	if f == math.Trunc(f) && math.Abs(f) < 1e7 {
		return strconv.AppendFloat(dst, f, 'f', 1, 64) // Java writes 5.0
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}
