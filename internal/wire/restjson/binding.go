package restjson

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"coffer/internal/api"
)

// wireName is what a member is called outside the body.
func wireName(m *api.Member) string { return cmp.Or(m.Wire, m.Name) }

// bound checks that Decode and Append can carry all members of an operation whose
// template has these labels, so that they need not expect others.
func bound(op *api.Operation, labels []string) error {
	if len(labels) > maxLabels {
		return fmt.Errorf("%s has more than %d labels", op.URI, maxLabels)
	}
	free := slices.Clone(labels)
	for i := range op.Input.Members {
		m := &op.Input.Members[i]
		ok := false
		switch k := m.Shape.Kind; m.Location {
		case "":
			ok = inBody(op, op.Input, m)
		case "uri":
			at := slices.Index(free, wireName(m))
			if ok = plain(m.Shape) && at >= 0; ok {
				free = slices.Delete(free, at, at+1)
			}
		case "querystring":
			ok = plain(m.Shape) || k == api.List && plain(m.Shape.Elem) ||
				k == api.Map && (m.Shape.Value.Kind == api.String || m.Shape.Value.Kind == api.List && m.Shape.Value.Elem.Kind == api.String)
		case "header":
			ok = plain(m.Shape) && signed(m)
		case "headers":
			ok = stringMap(m.Shape) && signed(m)
		}
		if !ok {
			return fmt.Errorf("its input's member %s is bound in a way that is not known", m.Name)
		}
	}
	if len(free) > 0 {
		return fmt.Errorf("no member is for the labels %v", free)
	}
	for i := range op.Output.Members {
		m := &op.Output.Members[i]
		ok := false
		switch m.Location {
		case "":
			ok = inBody(op, op.Output, m)
		case "statusCode":
			ok = m.Shape.Kind == api.Integer
		case "header":
			ok = plain(m.Shape)
		case "headers":
			ok = stringMap(m.Shape)
		}
		if !ok {
			return fmt.Errorf("its output's member %s is bound in a way that is not known", m.Name)
		}
	}
	return nil
}

// signed reports whether a header is one that sigv4 wants signed if it is there.
// Any other could be changed on the way.
func signed(m *api.Member) bool { return strings.HasPrefix(strings.ToLower(wireName(m)), "x-amz-") }

func plain(sh *api.Shape) bool {
	return sh.Kind != api.Structure && sh.Kind != api.List && sh.Kind != api.Map
}

func stringMap(sh *api.Shape) bool {
	return sh.Kind == api.Map && sh.Value.Kind == api.String && !sh.Value.Sensitive
}

func inBody(op *api.Operation, in *api.Shape, m *api.Member) bool {
	if in.Payload == "" {
		return m.Wire == "" && sameInJSON(m.Shape, map[*api.Shape]bool{})
	}
	switch {
	case m.Name != in.Payload:
		return false // beside the payload there is no body
	case m.Shape.EventStream:
		return op.Mode == api.Unserved
	case m.Shape.Kind == api.Structure:
		return sameInJSON(m.Shape, map[*api.Shape]bool{})
	}
	return m.Shape.Kind == api.String || m.Shape.Kind == api.Blob
}

// sameInJSON reports whether package awsjson reads and writes values of the
// shape as REST-JSON does.
func sameInJSON(sh *api.Shape, seen map[*api.Shape]bool) bool {
	if sh == nil || seen[sh] {
		return true
	}
	seen[sh] = true
	for i := range sh.Members {
		m := &sh.Members[i]
		if m.Location != "" || m.Wire != "" || !sameInJSON(m.Shape, seen) {
			return false
		}
	}
	return (sh.TimeFormat == "" || sh.TimeFormat == "unixTimestamp") && sameInJSON(sh.Elem, seen) && sameInJSON(sh.Value, seen)
}
