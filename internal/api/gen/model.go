package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// model is a service model in botocore's format, without documentation.
type model struct {
	Metadata struct {
		APIVersion          string `json:"apiVersion"`
		EndpointPrefix      string `json:"endpointPrefix"`
		JSONVersion         string `json:"jsonVersion"`
		Protocol            string
		Protocols           []string
		ServiceID           string `json:"serviceId"`
		ServiceFullName     string `json:"serviceFullName"`
		ServiceAbbreviation string `json:"serviceAbbreviation"`
		SigningName         string `json:"signingName"`
		TargetPrefix        string `json:"targetPrefix"`
		XMLNamespace        string `json:"xmlNamespace"`
	}
	Operations map[string]*operation
	Shapes     map[string]*shape

	name string // of the file, without .json
}

type operation struct {
	Name string
	HTTP struct {
		Method       string
		RequestURI   string `json:"requestUri"`
		ResponseCode int    `json:"responseCode"`
	}
	Input, Output *ref
	Errors        []*ref
	AuthType      string `json:"authtype"` // "none": the request need not be signed
}

// ref is a use of a shape: as a member, an element, an input, an error.
type ref struct {
	Shape            string
	Location         string
	LocationName     string
	QueryName        string `json:"queryName"`
	Flattened        bool
	IdempotencyToken bool
	EventPayload     bool
	Streaming        bool
	TimestampFormat  string
	ResultWrapper    string
}

type shape struct {
	Type            string
	Members         members
	Required        []string
	Member          *ref // of a list
	Key, Value      *ref // of a map
	Min, Max        *float64
	Pattern         string
	Enum            []string
	Sensitive       bool
	Flattened       bool
	Streaming       bool
	Union           bool
	Event           bool
	EventStream     bool
	Payload         string
	XMLOrder        []string `json:"xmlOrder"`
	TimestampFormat string
	Exception       bool
	Fault           bool
	Error           *struct {
		Code           string
		HTTPStatusCode int `json:"httpStatusCode"`
		SenderFault    bool
	}

	name string
}

// member is a member of a structure.
type member struct {
	name string
	ref
}

// members keeps the order of the model, which messages and records follow.
type members []member

func (ms *members) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		m := member{name: t.(string)}
		if err := d.Decode(&m.ref); err != nil {
			return err
		}
		*ms = append(*ms, m)
	}
	return nil
}

func parseModel(name string, b []byte) (*model, error) {
	m := &model{name: name}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for n, s := range m.Shapes {
		s.name = n
		for _, b := range []*float64{s.Min, s.Max} {
			if b != nil && *b != math.Trunc(*b) {
				return nil, fmt.Errorf("%s: %s: limit %v is no whole number", name, n, *b)
			}
		}
	}
	for _, n := range sortedKeys(m.Shapes) {
		s := m.Shapes[n]
		for _, r := range s.refs() {
			if m.Shapes[r.Shape] == nil {
				return nil, fmt.Errorf("%s: %s refers to unknown shape %s", name, n, r.Shape)
			}
		}
	}
	for _, n := range alsoSensitive[name] {
		if m.Shapes[n] == nil {
			return nil, fmt.Errorf("%s: no shape %s to be sensitive", name, n)
		}
		m.Shapes[n].Sensitive = true
	}
	if err := m.hideMembers(); err != nil {
		return nil, err
	}
	m.spreadSensitive()
	return m, nil
}

// alsoSensitive are shapes that hold credentials and that AWS's model does not
// mark: session tokens, and the codes of second factors. Log events hold whatever programs
// print; the list of those that are put is hidden whole, for it would fill the audit log.
var alsoSensitive = map[string][]string{
	"sts":  {"tokenType", "tokenCodeType"},
	"iam":  {"authenticationCodeType"},
	"logs": {"EventMessage", "InputLogEvents"},
}

// alsoHidden are members that can hold what a function was told or printed, and whose
// shape others share: by service, structure and member. They take the shape that the
// model has for sensitive texts.
var alsoHidden = map[string][][2]string{
	"lambda": {{"InvocationRequest", "ClientContext"}, {"InvocationResponse", "LogResult"}},
}

const hiddenText = "SensitiveString"

func (m *model) hideMembers() error {
	for _, h := range alsoHidden[m.name] {
		s := m.Shapes[h[0]]
		if s == nil || m.Shapes[hiddenText] == nil || !m.Shapes[hiddenText].Sensitive {
			return fmt.Errorf("%s: no structure %s, or no shape %s, to hide a member", m.name, h[0], hiddenText)
		}
		i := slices.IndexFunc(s.Members, func(of member) bool { return of.name == h[1] })
		if i < 0 {
			return fmt.Errorf("%s: no member %s of %s to hide", m.name, h[1], h[0])
		}
		s.Members[i].Shape = hiddenText
	}
	return nil
}

// openEnums are enumerations that the service checks itself, since AWS's answers to
// other values are the service's own.
var openEnums = map[string][]string{"lambda": {"Runtime"}}

// refs returns the uses of other shapes in s, for reading and rewriting.
func (s *shape) refs() []*ref {
	var rs []*ref
	for i := range s.Members {
		rs = append(rs, &s.Members[i].ref)
	}
	for _, r := range []*ref{s.Member, s.Key, s.Value} {
		if r != nil {
			rs = append(rs, r)
		}
	}
	return rs
}

// spreadSensitive makes everything inside a sensitive list, map or structure
// sensitive. Shapes that are also used elsewhere are cloned for it, so
// that the rest of the model keeps its types.
func (m *model) spreadSensitive() {
	var sensitive func(name string) string
	sensitive = func(name string) string {
		s := m.Shapes[name]
		if s.Sensitive && s.refs() == nil {
			return name
		}
		clone := name + "Sensitive"
		if m.Shapes[clone] != nil {
			return clone
		}
		c := *s
		c.name, c.Sensitive = clone, true
		c.Members = slices.Clone(s.Members)
		for _, p := range []**ref{&c.Member, &c.Key, &c.Value} {
			if *p != nil {
				r := **p
				*p = &r
			}
		}
		m.Shapes[clone] = &c
		for _, r := range c.refs() {
			if r != c.Key { // keys name things; maps with sensitive keys do not occur
				r.Shape = sensitive(r.Shape)
			}
		}
		return clone
	}
	for _, n := range sortedKeys(m.Shapes) {
		s := m.Shapes[n]
		if !s.Sensitive || strings.HasSuffix(n, "Sensitive") && m.Shapes[strings.TrimSuffix(n, "Sensitive")] != nil {
			continue
		}
		for _, r := range s.refs() {
			if r != s.Key {
				r.Shape = sensitive(r.Shape)
			}
		}
	}
}

// cycles returns the groups of shapes that refer to each other in a circle.
// Go refuses such package variables, so they are made by a function.
func (m *model) cycles(names []string) [][]string {
	index, low := map[string]int{}, map[string]int{}
	on := map[string]bool{}
	var stack []string
	var found [][]string
	var visit func(n string)
	visit = func(n string) {
		index[n] = len(index) + 1
		low[n] = index[n]
		stack = append(stack, n)
		on[n] = true
		self := false
		for _, r := range m.Shapes[n].refs() {
			self = self || r.Shape == n
			if index[r.Shape] == 0 {
				visit(r.Shape)
				low[n] = min(low[n], low[r.Shape])
			} else if on[r.Shape] {
				low[n] = min(low[n], index[r.Shape])
			}
		}
		if low[n] != index[n] {
			return
		}
		var group []string
		for {
			top := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			on[top] = false
			group = append(group, top)
			if top == n {
				break
			}
		}
		if len(group) > 1 || self {
			slices.Sort(group)
			found = append(found, group)
		}
	}
	for _, n := range names {
		if index[n] == 0 {
			visit(n)
		}
	}
	return found
}
