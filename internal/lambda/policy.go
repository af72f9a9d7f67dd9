package lambda

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"coffer/internal/api"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Permissions are the resource policy of a function, or of one of its versions or aliases.
// It goes with the last statement. Its revision is that of what it belongs to.
type Permissions struct {
	Account    string      `cbor:"1,keyasint"`
	Region     string      `cbor:"2,keyasint"`
	UID        string      `cbor:"3,keyasint"`           // of the function
	Qualifier  string      `cbor:"4,keyasint,omitempty"` // empty: of the function itself
	Statements []Statement `cbor:"5,keyasint"`

	compiled policy.Compiled
}

// Statement is what one call of AddPermission or AddLayerVersionPermission has added.
type Statement struct {
	SID       string `cbor:"1,keyasint"`
	Principal string `cbor:"2,keyasint"` // as it was given

	// Text is the statement as a JSON object. It names users and roles by their unique
	// ids, so that one made later under the same name is not meant.
	Text string `cbor:"3,keyasint"`
}

// Policies are the resource policies of all functions.
var Policies = table.Collection[Permissions]{
	Name: "lambda.policy",
	Key:  func(p *Permissions) table.Key { return table.K(p.Account, p.Region, p.UID, p.Qualifier) },
}

// maxPolicy is the longest resource policy, in bytes ("Lambda quotas": 20 KB).
const maxPolicy = 20480

// permissions is a resource policy of the function, shared; nil if there is none.
func (f *Function) permissions(tx *table.Tx, qualifier string) (*Permissions, error) {
	p, err := Policies.Get(tx, f.part(qualifier))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	return p, err
}

// policy is a resource policy of the function, to decide by.
func (f *Function) policy(tx *table.Tx, qualifier string) (*policy.Set, error) {
	p, err := f.permissions(tx, qualifier)
	if err != nil || p == nil {
		return nil, err
	}
	if set := p.compiled.Kept(); set != nil {
		return set, nil
	}
	set, err := p.compiled.Set(document(p.Statements), policy.Resource, nil, f.arn())
	if err != nil {
		return nil, fmt.Errorf("lambda: policy of %s: %w", f.arn(), err)
	}
	return set, nil
}

func (p *Permissions) index(sid string) int { return indexOf(p.Statements, sid) }

func indexOf(statements []Statement, sid string) int {
	return slices.IndexFunc(statements, func(s Statement) bool { return s.SID == sid })
}

// document is the policy that statements make up, as AWS writes it.
func document(statements []Statement) string {
	var b strings.Builder
	b.WriteString(`{"Version":"2012-10-17","Id":"default","Statement":[`)
	for i := range statements {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(statements[i].Text)
	}
	b.WriteString(`]}`)
	return b.String()
}

// condition is one key of a statement's Condition.
type condition struct{ operator, key, value string }

// permission is a statement to be added.
type permission struct {
	sid, principal, action, resource string
	conditions                       []condition // those of one operator together
}

// json is the statement as AWS prints it, about the principal that is given: a JSON value.
func (p *permission) json(principal []byte) string {
	b := []byte(`{"Sid":`)
	b = api.AppendJSONString(b, p.sid)
	b = append(append(b, `,"Effect":"Allow","Principal":`...), principal...)
	b = api.AppendJSONString(append(b, `,"Action":`...), p.action)
	b = api.AppendJSONString(append(b, `,"Resource":`...), p.resource)
	for i, c := range p.conditions {
		switch {
		case i == 0:
			b = append(b, `,"Condition":{`...)
		case c.operator != p.conditions[i-1].operator:
			b = append(b, `},`...)
		default:
			b = append(b, ',')
		}
		if i == 0 || c.operator != p.conditions[i-1].operator {
			b = append(api.AppendJSONString(b, c.operator), `:{`...)
		}
		b = append(api.AppendJSONString(b, c.key), ':')
		b = api.AppendJSONString(b, c.value)
	}
	if len(p.conditions) > 0 {
		b = append(b, `}}`...)
	}
	return string(append(b, '}'))
}

// Why a statement is refused, for an operation that words it.
var (
	errPrincipal = errors.New("no such principal")
	errStatement = errors.New("a condition that cannot be compared")
)

// statement makes the statement, and the text that the answer shows: there users and
// roles have their ARNs.
func (p *permission) statement(r *api.Request) (s Statement, shown string, err error) {
	if p.principal != "*" && !policy.IsService(p.principal) {
		if of, ok := policy.ParsePrincipal(p.principal); !ok || of.Type == policy.UniqueID {
			return s, "", errPrincipal
		}
	}
	name := p.principal
	shown = p.json(p.value(r, name))
	doc, err := policy.Parse([]byte(document([]Statement{{Text: shown}})), policy.Resource)
	if err != nil {
		if syntax, ok := errors.AsType[*policy.SyntaxError](err); ok && syntax.Fault != policy.FaultSyntax {
			return s, "", errPrincipal
		}
		return s, "", fmt.Errorf("%w: %w", errStatement, err)
	}
	found, err := r.FindPrincipals(doc)
	if err != nil {
		return s, "", err
	}
	if found.Unknown != "" {
		return s, "", errPrincipal
	}
	if id := found.IDs[name]; id != "" {
		name = id
	}
	return Statement{SID: p.sid, Principal: p.principal, Text: p.json(p.value(r, name))}, shown, nil
}

// value is a principal as a JSON value.
func (p *permission) value(r *api.Request, name string) []byte {
	kind := "AWS"
	switch {
	case name == "*":
		return []byte(`"*"`)
	case policy.IsService(name):
		kind = "Service"
	case isAccount(name):
		name = policy.RootARN(r.Partition(), name)
	}
	b := append(api.AppendJSONString([]byte{'{'}, kind), ':')
	return append(api.AppendJSONString(b, name), '}')
}
