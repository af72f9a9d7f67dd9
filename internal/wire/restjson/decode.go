package restjson

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"coffer/internal/api"
	"coffer/internal/sigv4"
	"coffer/internal/wire/awsjson"
	"coffer/internal/wire/text"
)

// Decode fills v, the input of the operation that Match found with these labels,
// whose members must be absent. body is all of the request's body. Errors are
// *fault.Error of code SerializationException.
func Decode(r *http.Request, labels *Labels, body []byte, v api.Struct) error {
	members := v.Shape().Members
	asked, inBody := false, false
	for i := range members {
		var err error
		switch m := &members[i]; m.Location {
		case "":
			inBody = true
		case "uri":
			err = decodeLabel(labels, m, v.Field(i))
		case "querystring":
			asked = true
		case "header":
			err = decodeHeader(r.Header.Values(wireName(m)), m.Shape, v.Field(i))
		case "headers":
			err = decodeHeaders(r.Header, m, v.Field(i))
		}
		if err != nil {
			return err
		}
	}
	if asked {
		_, query := sigv4.Target(r)
		if err := decodeQuery(query, v); err != nil {
			return err
		}
	}
	switch {
	case !inBody:
		return nil
	case v.Shape().Payload == "":
		return awsjson.Decode(body, v)
	}
	return decodePayload(body, v)
}

func notUTF8(where string) error {
	return api.SerializationException("The " + where + " is not valid UTF-8.")
}

func twice(what string) error {
	return api.SerializationException("A " + what + " is given more than once.")
}

// unescaped decodes percent escapes with one of net/url's functions, whose error
// would repeat the value.
func unescaped(s, where string, unescape func(string) (string, error)) (string, error) {
	s, err := unescape(s)
	if err != nil {
		return "", api.SerializationException("The " + where + " has a percent sign without two hexadecimal digits.")
	}
	if !utf8.ValidString(s) {
		return "", notUTF8(where)
	}
	return s, nil
}

func decodeLabel(labels *Labels, m *api.Member, f any) error {
	for i, name := range labels.names {
		if name != wireName(m) {
			continue
		}
		s, err := unescaped(labels.values[i], "path", url.PathUnescape)
		if err != nil {
			return err
		}
		return text.Set(m.Shape, f, s)
	}
	return nil
}

// decodeHeader takes an empty header for none, as SDKs never send one.
func decodeHeader(values []string, sh *api.Shape, f any) error {
	switch {
	case len(values) > 1:
		return twice("header")
	case len(values) == 0 || values[0] == "":
		return nil
	case !utf8.ValidString(values[0]):
		return notUTF8("value of a header")
	}
	return text.Set(sh, f, values[0])
}

// decodeHeaders fills a map from the headers that begin with the member's name
// on the wire. Keys are in lower case: the spelling of headers does not count.
func decodeHeaders(h http.Header, m *api.Member, f any) error {
	prefix := wireName(m)
	entries := mapField(f)
	for name, values := range h {
		if len(name) <= len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) {
			continue
		}
		if entries.Nil() {
			entries.Clear()
		}
		key := strings.ToLower(name[len(prefix):])
		if err := entries.Put(key, func(f any) error { return decodeHeader(values, m.Shape.Value, f) }); err != nil {
			return err
		}
	}
	return nil
}

// decodeQuery fills the members bound to parameters. A map takes all parameters
// but those of a presigned request, which are nobody's input.
func decodeQuery(query string, v api.Struct) error {
	members := v.Shape().Members
	for rawName, rawValue := range parameters(query) {
		name, err := unescaped(rawName, "query", url.QueryUnescape)
		if err != nil {
			return err
		}
		for i := range members {
			m := &members[i]
			if m.Location != "querystring" || m.Shape.Kind != api.Map && name != wireName(m) || m.Shape.Kind == api.Map && strings.HasPrefix(name, "X-Amz-") {
				continue
			}
			value, err := unescaped(rawValue, "query", url.QueryUnescape)
			if err != nil {
				return err
			}
			if err := setParameter(m.Shape, v.Field(i), name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// setParameter adds one parameter to a list or map, or makes it the value.
func setParameter(sh *api.Shape, f any, name, value string) error {
	switch sh.Kind {
	case api.List:
		l := listField(f)
		if l.Nil() {
			l.Clear(0)
		}
		return text.Set(sh.Elem, l.Append(), value)
	case api.Map:
		m := mapField(f)
		if m.Nil() {
			m.Clear()
		}
		before, old := m.Len(), m.At(name)
		err := m.Put(name, func(f any) error {
			if l, ok := f.(*[]string); ok {
				*l = append(*old.(*[]string), value)
				return nil
			}
			return text.Set(sh.Value, f, value)
		})
		if sh.Value.Kind != api.List && m.Len() == before {
			return twice("parameter")
		}
		return err
	}
	if !api.Absent(f) {
		return twice("parameter")
	}
	return text.Set(sh, f, value)
}

func listField(f any) api.ListField {
	if l, ok := f.(*[]string); ok {
		return (*api.ListOf[string])(l)
	}
	return f.(api.ListField)
}

func mapField(f any) api.MapField {
	if m, ok := f.(*map[string]string); ok {
		return (*api.MapOf[string])(m)
	}
	return f.(api.MapField)
}

// decodePayload fills the one member that the body is.
func decodePayload(body []byte, v api.Struct) error {
	sh := v.Shape()
	for i := range sh.Members {
		m := &sh.Members[i]
		if m.Name != sh.Payload || len(body) == 0 {
			continue
		}
		if m.Shape.Kind == api.String && !utf8.Valid(body) {
			return notUTF8("request body")
		}
		switch p := v.Field(i).(type) {
		case api.StructField:
			if len(bytes.TrimSpace(body)) > 0 {
				return awsjson.Decode(body, p.New())
			}
		case *[]byte:
			*p = bytes.Clone(body)
		case *api.Sensitive:
			*p = bytes.Clone(body)
		case **string:
			*p = new(string(body))
		}
	}
	return nil
}
