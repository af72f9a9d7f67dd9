// Package apitest fills generated structures for tests that must hold for
// every type of every service.
package apitest

import (
	"time"

	"coffer/internal/api"
)

// Time is the value of every timestamp that Fill sets.
var Time = time.UnixMilli(1525369862123).UTC()

// maxDepth ends structures that contain themselves.
const maxDepth = 6

// Filler gives the texts that Fill sets.
type Filler struct {
	// Text is the value of a string or blob; nil gives the shape's name, or the
	// first value of its enumeration.
	Text func(*api.Shape) []byte
	// Secret is the value of a sensitive string or blob.
	Secret []byte
	// Elements is how many elements lists and maps get.
	Elements int
}

// Fill sets every member of v, at any depth.
func (f Filler) Fill(v api.Struct) { f.structure(v, 0) }

func (f Filler) structure(v api.Struct, depth int) {
	for i, m := range v.Shape().Members {
		f.value(m.Shape, v.Field(i), depth)
	}
}

func (f Filler) text(sh *api.Shape) []byte {
	switch {
	case sh.Sensitive:
		return f.Secret
	case f.Text != nil:
		return f.Text(sh)
	case len(sh.Enum) > 0:
		return []byte(sh.Enum[0])
	}
	return []byte(sh.Name)
}

func (f Filler) value(sh *api.Shape, field any, depth int) {
	if depth > maxDepth {
		return
	}
	switch p := field.(type) {
	case **string:
		*p = new(string(f.text(sh)))
	case *string:
		*p = string(f.text(sh))
	case **bool:
		*p = new(true)
	case *bool:
		*p = true
	case **int64:
		*p = new(int64(7))
	case *int64:
		*p = 7
	case **float64:
		*p = new(1.5)
	case *float64:
		*p = 1.5
	case **time.Time:
		*p = new(Time)
	case *time.Time:
		*p = Time
	case *[]byte:
		*p = f.text(sh)
	case *api.Sensitive:
		*p = f.text(sh)
	case *[]string:
		f.list(sh, (*api.ListOf[string])(p), depth)
	case *map[string]string:
		f.entries(sh, (*api.MapOf[string])(p), depth)
	case api.ListField:
		f.list(sh, p, depth)
	case api.MapField:
		f.entries(sh, p, depth)
	case api.StructField:
		f.structure(p.New(), depth+1)
	case api.Struct:
		f.structure(p, depth+1)
	default:
		panic("apitest: unknown form of " + sh.Name)
	}
}

func (f Filler) list(sh *api.Shape, l api.ListField, depth int) {
	l.Clear(f.Elements)
	for range f.Elements {
		f.value(sh.Elem, l.Append(), depth+1)
	}
}

func (f Filler) entries(sh *api.Shape, m api.MapField, depth int) {
	m.Clear()
	for i := range f.Elements {
		key := string(f.text(sh.Key)) + string(rune('a'+i))
		m.Put(key, func(v any) error {
			f.value(sh.Value, v, depth+1)
			return nil
		})
	}
}
