package restjson_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/wire/awsjson"
	"coffer/internal/wire/restjson"
	"coffer/internal/wire/text"
)

// odd has the bindings that Lambda lacks and the protocol has.
type odd struct {
	Key   *string             // the rest of the path
	On    *time.Time          // a time in the path
	Times []time.Time         // a list of times in the query
	Query map[string][]string // the whole query
	Flag  *bool               // a header
	At    *time.Time          // a time in a header
	Token api.Sensitive       // a secret header
	Meta  map[string]string   // all headers of a prefix
	Text  *string             // the body
}

var (
	str      = api.Shape{Name: "Str", Kind: api.String}
	stamp    = api.Shape{Name: "Stamp", Kind: api.Timestamp}
	strs     = api.Shape{Name: "Strs", Kind: api.List, Elem: &str}
	strMap   = api.Shape{Name: "StrMap", Kind: api.Map, Key: &str, Value: &str}
	oddShape = api.Shape{Name: "Odd", Kind: api.Structure, Payload: "Text", Members: []api.Member{
		{Name: "Key", Shape: &str, Location: "uri"},
		{Name: "On", Shape: &stamp, Location: "uri", Wire: "day"},
		{Name: "Times", Shape: &api.Shape{Kind: api.List, Elem: &stamp}, Location: "querystring", Wire: "t"},
		{Name: "Query", Shape: &api.Shape{Kind: api.Map, Key: &str, Value: &strs}, Location: "querystring"},
		{Name: "Flag", Shape: &api.Shape{Kind: api.Boolean}, Location: "header", Wire: "x-amz-flag"},
		{Name: "At", Shape: &stamp, Location: "header", Wire: "X-Amz-At"},
		{Name: "Token", Shape: &api.Shape{Kind: api.String, Sensitive: true}, Location: "header", Wire: "X-Amz-Token"},
		{Name: "Meta", Shape: &strMap, Location: "headers", Wire: "x-amz-meta-"},
		{Name: "Text", Shape: &str},
	}}
)

func (*odd) Shape() *api.Shape { return &oddShape }

func (v *odd) Field(i int) any {
	return [...]any{
		&v.Key, &v.On, (*api.ListOf[time.Time])(&v.Times), (*api.MapOf[[]string])(&v.Query),
		&v.Flag, &v.At, &v.Token, &v.Meta, &v.Text,
	}[i]
}

// oddOutput has what only headers and raw bodies of answers have.
var oddOutput = api.Shape{Name: "OddOutput", Kind: api.Structure, Payload: "Text", Members: []api.Member{
	{Name: "Flag", Shape: &api.Shape{Kind: api.Boolean}, Location: "header", Wire: "x-amz-flag"},
	{Name: "At", Shape: &stamp, Location: "header", Wire: "X-Amz-At"},
	{Name: "Meta", Shape: &strMap, Location: "headers", Wire: "x-amz-meta-"},
	{Name: "Text", Shape: &str},
}}

type oddAnswer struct{ odd }

func (*oddAnswer) Shape() *api.Shape { return &oddOutput }

func (v *oddAnswer) Field(i int) any { return [...]any{&v.Flag, &v.At, &v.Meta, &v.Text}[i] }

func oddOperation(name, method, uri string) *api.Operation {
	return &api.Operation{
		Name: name, Method: method, URI: uri, Input: &oddShape, Output: &oddOutput,
		NewInput: func() api.Struct { return new(odd) }, NewOutput: func() api.Struct { return new(oddAnswer) },
	}
}

var oddService = api.NewService(api.Service{Name: "odd", ActionPrefix: "odd", Operations: []*api.Operation{
	oddOperation("Put", "PUT", "/odd/{day}/keys/{Key+}"),
	oddOperation("PutACL", "PUT", "/odd/{day}/keys/{Key+}/acl"),
	oddOperation("Copy", "PUT", "/odd/{day}/keys/{Key+}?copy&from=a-b"),
	oddOperation("PutLiteral", "PUT", "/odd/today/{day}/{Key}"),
}})

func newRouter(t testing.TB) *restjson.Router {
	rt, err := restjson.NewRouter(lambdaapi.Service, oddService)
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

// escape encodes all that is no letter or digit, a dot too: ".." stays a value.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; '0' <= c && c <= '9' || 'a' <= c|' ' && c|' ' <= 'z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// requestOf writes a request as an SDK does. It is false for what cannot be
// sent: an empty label.
func requestOf(op *api.Operation, in api.Struct) (r *http.Request, body []byte, ok bool) {
	r = &http.Request{Method: op.Method, Header: http.Header{}}
	path, rawQuery, _ := strings.Cut(op.URI, "?")
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		panic(err)
	}
	sh := in.Shape()
	body = awsjson.Append(nil, in)
	if sh.Payload != "" {
		body = nil
	}
	for i := range sh.Members {
		m := &sh.Members[i]
		f := in.Field(i)
		if api.Absent(f) {
			if m.Location == "uri" {
				return nil, nil, false
			}
			continue
		}
		name := m.Name
		if m.Wire != "" {
			name = m.Wire
		}
		plain := func(sh *api.Shape, f any, times string) string { return string(text.Append(nil, sh, f, times)) }
		switch m.Location {
		case "uri":
			value := plain(m.Shape, f, "iso8601")
			if value == "" {
				return nil, nil, false
			}
			path = strings.NewReplacer("{"+name+"}", escape(value), "{"+name+"+}", escape(value)).Replace(path)
		case "querystring":
			switch p := f.(type) {
			case *[]string:
				query[name] = append(query[name], *p...)
			case api.ListField:
				for i := range p.Len() {
					query.Add(name, plain(m.Shape.Elem, p.At(i), "iso8601"))
				}
			case api.MapField: // has what the others have too
				for _, k := range p.Keys() {
					query[k] = *p.At(k).(*[]string)
				}
			default:
				query.Add(name, plain(m.Shape, f, "iso8601"))
			}
		case "header":
			r.Header.Set(name, plain(m.Shape, f, "rfc822"))
		case "headers":
			for k, v := range *f.(*map[string]string) {
				r.Header.Set(name+k, v)
			}
		case "":
			if m.Name != sh.Payload {
				continue
			}
			switch p := f.(type) {
			case *[]byte:
				body = *p
			case *api.Sensitive:
				body = *p
			case **string:
				body = []byte(**p)
			case api.StructField:
				body = awsjson.Append(nil, p.Get())
			}
		}
	}
	r.RequestURI = path
	if len(query) > 0 {
		r.RequestURI += "?" + query.Encode()
	}
	return r, bytes.Clone(body), true
}
