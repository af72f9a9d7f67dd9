package api

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ListField is a list member other than *[]string.
type ListField interface {
	Len() int
	Nil() bool      // the member is absent
	Clear(size int) // makes it present and empty, with room for size
	Unset()         // makes it absent
	At(i int) any   // the i-th element, in the form of an element
	Append() any    // appends a zero element and returns it; valid until the next Append
	Truncate(n int) // keeps the first n elements
}

// MapField is a map member other than *map[string]string.
type MapField interface {
	Len() int
	Nil() bool
	Clear()
	Unset()
	Keys() []string    // sorted, so that what is written is reproducible
	At(key string) any // a copy of the value, in the form of an element
	// Put stores a zero value that fill has filled in, unless fill fails.
	Put(key string, fill func(any) error) error
}

// StructField is a member that is a structure.
type StructField interface {
	Get() Struct // nil if absent
	New() Struct // makes it present and empty
	Unset()
}

// ListOf is []T as a [ListField].
type ListOf[T any] []T

// Len returns the number of elements.
func (l *ListOf[T]) Len() int { return len(*l) }

// Nil reports whether the list is absent.
func (l *ListOf[T]) Nil() bool { return *l == nil }

// Clear makes the list present and empty.
func (l *ListOf[T]) Clear(size int) { *l = make([]T, 0, size) }

// Unset makes the list absent.
func (l *ListOf[T]) Unset() { *l = nil }

// At returns a pointer to element i.
func (l *ListOf[T]) At(i int) any { return &(*l)[i] }

// Append adds a zero element and returns a pointer to it.
func (l *ListOf[T]) Append() any {
	var zero T
	*l = append(*l, zero)
	return &(*l)[len(*l)-1]
}

// Truncate keeps the first n elements.
func (l *ListOf[T]) Truncate(n int) { *l = (*l)[:n] }

// MapOf is map[string]T as a [MapField].
type MapOf[T any] map[string]T

// Len returns the number of entries.
func (m *MapOf[T]) Len() int { return len(*m) }

// Nil reports whether the map is absent.
func (m *MapOf[T]) Nil() bool { return *m == nil }

// Clear makes the map present and empty.
func (m *MapOf[T]) Clear() { *m = map[string]T{} }

// Unset makes the map absent.
func (m *MapOf[T]) Unset() { *m = nil }

// Keys returns the keys in order.
func (m *MapOf[T]) Keys() []string { return slices.Sorted(maps.Keys(*m)) }

// At returns a pointer to a copy of the value of key.
func (m *MapOf[T]) At(key string) any {
	v := (*m)[key]
	return &v
}

// Put stores under key what fill makes of a zero value.
func (m *MapOf[T]) Put(key string, fill func(any) error) error {
	var v T
	if err := fill(&v); err != nil {
		return err
	}
	if *m == nil {
		*m = map[string]T{}
	}
	(*m)[key] = v
	return nil
}

// StructOf is a pointer to a *T member as a [StructField]. It holds one
// pointer, so that making an interface of it does not allocate.
type StructOf[T any, PT interface {
	*T
	Struct
}] struct{ P *PT }

// Get returns the structure, nil if absent.
func (s StructOf[T, PT]) Get() Struct {
	if *s.P == nil {
		return nil
	}
	return *s.P
}

// New makes the structure present and empty.
func (s StructOf[T, PT]) New() Struct {
	*s.P = new(T)
	return *s.P
}

// Unset makes the structure absent.
func (s StructOf[T, PT]) Unset() { *s.P = nil }

// MemberText is the value of a plain member of v as a policy condition compares
// it. The name's case does not count. ok is false if the member is absent.
func MemberText(v Struct, name string) (text string, ok bool) {
	if v == nil { // a request that nobody has made
		return "", false
	}
	for i, m := range v.Shape().Members {
		if !strings.EqualFold(m.Name, name) {
			continue
		}
		switch f := v.Field(i).(type) {
		case **string:
			if *f != nil {
				return **f, true
			}
		case **bool:
			if *f != nil {
				return strconv.FormatBool(**f), true
			}
		case **int64:
			if *f != nil {
				return strconv.FormatInt(**f, 10), true
			}
		case **time.Time:
			if *f != nil {
				return (*f).UTC().Format(time.RFC3339), true
			}
		}
	}
	return "", false
}
