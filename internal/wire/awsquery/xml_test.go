package awsquery_test

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"coffer/internal/api"
)

// element is a piece of a document: text, or other elements.
type element struct {
	name     string
	text     string
	children []*element
}

// parseXML reads a whole document without regard to shapes. Blanks around elements do not count.
func parseXML(b []byte) (*element, error) {
	d := xml.NewDecoder(strings.NewReader(string(b)))
	top := &element{}
	stack := []*element{top}
	for {
		tok, err := d.Token()
		if err == io.EOF {
			if len(top.children) != 1 {
				return nil, fmt.Errorf("%d documents", len(top.children))
			}
			return top.children[0], nil
		}
		if err != nil {
			return nil, err
		}
		at := stack[len(stack)-1]
		switch tok := tok.(type) {
		case xml.StartElement:
			e := &element{name: tok.Name.Local}
			at.children = append(at.children, e)
			stack = append(stack, e)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			at.text += string(tok)
		}
	}
}

func (e *element) child(name string) *element {
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// read fills v from e as a client would. Members that unknown accepts are
// passed over; any other that the shape does not have is an error.
func (e *element) read(v api.Struct, unknown func(name string) bool) error {
	members := v.Shape().Members
next:
	for _, c := range e.children {
		for i := range members {
			m := &members[i]
			name := m.Name
			if m.Wire != "" {
				name = m.Wire
			}
			if m.Shape.Kind == api.List && m.Shape.Flattened && m.Shape.ElemName != "" {
				name = m.Shape.ElemName
			}
			if c.name == name {
				if err := c.readValue(m.Shape, v.Field(i), unknown); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				continue next
			}
		}
		if !unknown(c.name) {
			return fmt.Errorf("%s has no member %s", v.Shape().Name, c.name)
		}
	}
	return nil
}

func (e *element) readValue(sh *api.Shape, f any, unknown func(string) bool) (err error) {
	switch p := f.(type) {
	case api.StructField:
		s := p.Get()
		if s == nil {
			s = p.New()
		}
		return e.read(s, unknown)
	case api.Struct:
		return e.read(p, unknown)
	case *[]string:
		return e.readValue(sh, (*api.ListOf[string])(p), unknown)
	case *map[string]string:
		return e.readValue(sh, (*api.MapOf[string])(p), unknown)
	case api.ListField:
		if sh.Flattened {
			return e.readValue(sh.Elem, p.Append(), unknown)
		}
		p.Clear(0)
		for _, c := range e.children {
			if c.name != or(sh.ElemName, "member") {
				return fmt.Errorf("a list has %s", c.name)
			}
			if err := c.readValue(sh.Elem, p.Append(), unknown); err != nil {
				return err
			}
		}
		return nil
	case api.MapField:
		entries := []*element{e}
		if !sh.Flattened {
			p.Clear()
			entries = e.children
		}
		for _, c := range entries {
			key, value := c.child(or(sh.KeyName, "key")), c.child(or(sh.ValueName, "value"))
			if key == nil || value == nil || len(c.children) != 2 || !sh.Flattened && c.name != "entry" {
				return fmt.Errorf("a map has %s", c.name)
			}
			if err := p.Put(key.text, func(f any) error { return value.readValue(sh.Value, f, unknown) }); err != nil {
				return err
			}
		}
		return nil
	}
	if len(e.children) > 0 {
		return fmt.Errorf("%s has elements", e.name)
	}
	switch p := f.(type) {
	case **string:
		*p = new(e.text)
	case *string:
		*p = e.text
	case *api.Sensitive:
		*p = []byte(e.text)
		if sh.Kind == api.Blob {
			*p, err = base64.StdEncoding.DecodeString(e.text)
		}
	case *[]byte:
		*p, err = base64.StdEncoding.DecodeString(e.text)
	case **bool:
		*p = new(bool)
		**p, err = strconv.ParseBool(e.text)
	case *bool:
		*p, err = strconv.ParseBool(e.text)
	case **int64:
		*p = new(int64)
		**p, err = strconv.ParseInt(e.text, 10, 64)
	case *int64:
		*p, err = strconv.ParseInt(e.text, 10, 64)
	case **float64:
		*p = new(float64)
		**p, err = strconv.ParseFloat(e.text, 64)
	case *float64:
		*p, err = strconv.ParseFloat(e.text, 64)
	case **time.Time:
		*p = new(time.Time)
		**p, err = readTime(sh, e.text)
	case *time.Time:
		*p, err = readTime(sh, e.text)
	default:
		err = fmt.Errorf("unknown form of %s", sh.Name)
	}
	return err
}

func readTime(sh *api.Shape, text string) (time.Time, error) {
	switch sh.TimeFormat {
	case "unixTimestamp":
		x, err := strconv.ParseFloat(text, 64)
		return time.UnixMilli(int64(math.Round(x * 1000))).UTC(), err
	case "rfc822":
		return time.Parse(time.RFC1123, text)
	}
	return time.Parse(time.RFC3339, text)
}
