package lambda

import (
	"errors"
	"fmt"
	"slices"

	"coffer/internal/api"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Permissions are the resource policy of a function, or of one of its versions or aliases.
type Permissions struct {
	Account    string      `cbor:"1,keyasint"`
	Region     string      `cbor:"2,keyasint"`
	UID        string      `cbor:"3,keyasint"`           // of the function
	Qualifier  string      `cbor:"4,keyasint,omitempty"` // empty: of the function itself
	Statements []Statement `cbor:"5,keyasint"`
	Revision   string      `cbor:"6,keyasint"`

	compiled policy.Compiled
}

// Statement is what one AddPermission has added.
type Statement struct {
	SID       string `cbor:"1,keyasint"`
	Principal string `cbor:"2,keyasint"`
	Text      string `cbor:"3,keyasint"` // the statement as a JSON object
}

// Policies are the resource policies of all functions.
var Policies = table.Collection[Permissions]{
	Name: "lambda.policy",
	Key:  func(p *Permissions) table.Key { return table.K(p.Account, p.Region, p.UID, p.Qualifier) },
}

// permissions is a resource policy of the function, shared; nil if there is none.
func (f *Function) permissions(tx *table.Tx, qualifier string) (*Permissions, error) {
	p, err := Policies.Get(tx, f.part(qualifier))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	return p, err
}

func (p *Permissions) index(sid string) int {
	return slices.IndexFunc(p.Statements, func(s Statement) bool { return s.SID == sid })
}

// policy is a resource policy of the function, to decide by.
func (f *Function) policy(r *api.Request, qualifier string) (*policy.Set, error) {
	p, err := f.permissions(r.Tx, qualifier)
	if err != nil || p == nil {
		return nil, err
	}
	return nil, fmt.Errorf("lambda: policies are not decided by yet")
}

func (s *Service) policyOperations() []api.Bound { return nil }
