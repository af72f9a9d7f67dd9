package awsquery

import (
	"strconv"

	"coffer/internal/api"
	"coffer/internal/wire/text"
)

// Decode fills v, whose members must be absent, from the parameters of f. Others, such as
// Action and Version, are ignored. Errors are *fault.Error of code
// SerializationException.
func Decode(f Form, v api.Struct) error { return structure(f.parameters, 0, v) }

// The functions below take the parameters that belong to one value. All their
// names agree up to byte end, where the name of the value ends; the parameter
// of just this name comes first.

// next returns how many parameters at the start of ps have the same segment at
// byte start of their names, and where it ends.
func next(ps []parameter, start int) (n, end int) {
	name := ps[0].name
	end = start + len(segment(name[start:]))
	for n = 1; n < len(ps); n++ {
		other := ps[n].name
		if len(other) < end || string(other[start:end]) != string(name[start:end]) || len(other) > end && other[end] != '.' {
			break
		}
	}
	return n, end
}

// structure reads the members of v, whose names start at byte start.
func structure(ps []parameter, start int, v api.Struct) error {
	members := v.Shape().Members
	for len(ps) > 0 {
		n, end := next(ps, start)
		for i := range members {
			if memberName(&members[i]) == string(ps[0].name[start:end]) {
				if err := value(members[i].Shape, v.Field(i), ps[:n], end); err != nil {
					return err
				}
				break
			}
		}
		ps = ps[n:]
	}
	return nil
}

// memberName is what a member is called on the wire, in both directions. A
// flattened list whose elements have a name of their own goes by that.
func memberName(m *api.Member) string {
	switch {
	case m.Shape.Kind == api.List && m.Shape.Flattened && m.Shape.ElemName != "":
		return m.Shape.ElemName
	case m.Wire != "":
		return m.Wire
	}
	return m.Name
}

func nameOr(name, usual string) string {
	if name == "" {
		return usual
	}
	return name
}

// empty reports whether a value that should be a list, map or structure is
// given as one empty parameter, as SDKs do when it has no elements. Any other
// text in its place is an error.
func empty(ps []parameter, end int, what string) (bool, error) {
	if len(ps[0].name) > end {
		return false, nil
	}
	if len(ps) > 1 || len(ps[0].value) > 0 {
		return false, api.SerializationException("Unexpected " + what + " element termination")
	}
	return true, nil
}

func value(sh *api.Shape, f any, ps []parameter, end int) error {
	switch p := f.(type) {
	case api.StructField:
		return complexValue(p.New(), ps, end)
	case api.Struct:
		return complexValue(p, ps, end)
	case *[]string:
		return list(sh, (*api.ListOf[string])(p), ps, end)
	case api.ListField:
		return list(sh, p, ps, end)
	case *map[string]string:
		return entries(sh, (*api.MapOf[string])(p), ps, end)
	case api.MapField:
		return entries(sh, p, ps, end)
	}
	if len(ps) > 1 || len(ps[0].name) > end {
		return api.SerializationException("Start of list found where not expected")
	}
	return text.Set(sh, f, ps[0].value)
}

func complexValue(v api.Struct, ps []parameter, end int) error {
	if none, err := empty(ps, end, "complex"); none || err != nil {
		return err
	}
	return structure(ps, end+1, v)
}

func list(sh *api.Shape, l api.ListField, ps []parameter, end int) error {
	l.Clear(0)
	return elements(sh, nameOr(sh.ElemName, "member"), "list", ps, end, func(ps []parameter, end int) error {
		return value(sh.Elem, l.Append(), ps, end)
	})
}

func entries(sh *api.Shape, m api.MapField, ps []parameter, end int) error {
	m.Clear()
	return elements(sh, "entry", "map", ps, end, func(ps []parameter, end int) error {
		return entry(sh, m, ps, end)
	})
}

// elements calls each for every element of a list or map, in the order of their
// indices. wrap is the segment before the index, unless sh is flattened.
func elements(sh *api.Shape, wrap, what string, ps []parameter, end int, each func(ps []parameter, end int) error) error {
	if none, err := empty(ps, end, what); none || err != nil {
		return err
	}
	if !sh.Flattened {
		n, inner := next(ps, end+1)
		if n < len(ps) || string(ps[0].name[end+1:inner]) != wrap {
			return api.SerializationException("Unexpected element in a " + what)
		}
		end = inner
		if none, err := empty(ps, end, what); none || err != nil {
			return err
		}
	}
	for start := end + 1; len(ps) > 0; {
		n, end := next(ps, start)
		if !isIndex(ps[0].name[start:end]) {
			return api.SerializationException("Elements of a " + what + " must be numbered from 1 to " + strconv.Itoa(maxParameters))
		}
		if err := each(ps[:n], end); err != nil {
			return err
		}
		ps = ps[n:]
	}
	return nil
}

// isIndex refuses a leading zero too: 01 and 1 would be one element or two.
func isIndex(s []byte) bool {
	if !isNumber(s) || s[0] == '0' || len(s) > len("10000") {
		return false
	}
	n, err := strconv.Atoi(string(s))
	return err == nil && n <= maxParameters
}

// entry reads one key and value of a map.
func entry(sh *api.Shape, m api.MapField, ps []parameter, end int) error {
	var key, val []parameter
	var keyEnd, valEnd int
	if len(ps[0].name) == end {
		return api.SerializationException("Unexpected map element termination")
	}
	for rest := ps; len(rest) > 0; {
		n, e := next(rest, end+1)
		switch string(rest[0].name[end+1 : e]) {
		case nameOr(sh.KeyName, "key"):
			key, keyEnd = rest[:n], e
		case nameOr(sh.ValueName, "value"):
			val, valEnd = rest[:n], e
		default:
			return api.SerializationException("Unexpected element in a map")
		}
		rest = rest[n:]
	}
	if key == nil || val == nil {
		return api.SerializationException("An entry of a map needs a key and a value")
	}
	var k string
	if err := value(sh.Key, &k, key, keyEnd); err != nil {
		return err
	}
	before := m.Len()
	if err := m.Put(k, func(f any) error { return value(sh.Value, f, val, valEnd) }); err != nil {
		return err
	}
	if m.Len() == before {
		return api.SerializationException("A key of a map is given more than once")
	}
	return nil
}
