package iam

import (
	"maps"
	"slices"

	"coffer/internal/policy"
	"coffer/internal/table"
)

// Role is an IAM role.
type Role struct {
	ID          string            `cbor:"1,keyasint"` // AROA...
	Account     string            `cbor:"2,keyasint"`
	Name        string            `cbor:"3,keyasint"`
	Path        string            `cbor:"4,keyasint"`
	Created     table.Millis      `cbor:"5,keyasint"`
	Trust       string            `cbor:"6,keyasint"`           // the trust policy, as it was given
	Trusted     map[string]string `cbor:"7,keyasint,omitempty"` // unique ids of the users and roles it names, by ARN
	Description string            `cbor:"8,keyasint,omitempty"`
	MaxSession  int               `cbor:"9,keyasint"` // seconds, 3600 to 43200
	Tags        []policy.Tag      `cbor:"10,keyasint,omitempty"`
	Attached    []string          `cbor:"11,keyasint,omitempty"`
	Boundary    string            `cbor:"12,keyasint,omitempty"`
	Service     string            `cbor:"13,keyasint,omitempty"` // of a service-linked role: "autoscaling.amazonaws.com"

	trust policy.Compiled
}

// Roles holds the roles by id.
var Roles = table.Collection[Role]{
	Name:  "iam.role",
	Key:   func(r *Role) table.Key { return table.K(r.ID) },
	Clone: (*Role).clone,
	Indexes: []table.Index[Role]{
		{Name: roleByName, Keys: func(r *Role) []table.Key { return []table.Key{table.K(r.Account, fold(r.Name))} }},
		{Name: roleByPath, Keys: func(r *Role) []table.Key { return []table.Key{table.K(r.Account, r.Path, fold(r.Name))} }},
		{Name: roleByPolicy, Keys: func(r *Role) []table.Key { return attachments(r.Account, r.Attached, r.Path, r.Name) }},
		{Name: roleByBoundary, Keys: func(r *Role) []table.Key { return boundaries(r.Account, r.Boundary, r.Path, r.Name) }},
	},
}

const (
	roleByName     = "iam.role.name"
	roleByPath     = "iam.role.path"
	roleByPolicy   = "iam.role.policy"
	roleByBoundary = "iam.role.boundary"
)

func (r *Role) clone() *Role {
	return &Role{
		ID: r.ID, Account: r.Account, Name: r.Name, Path: r.Path, Created: r.Created, Trust: r.Trust, Trusted: maps.Clone(r.Trusted),
		Description: r.Description, MaxSession: r.MaxSession, Tags: slices.Clone(r.Tags), Attached: slices.Clone(r.Attached),
		Boundary: r.Boundary, Service: r.Service,
	}
}

// ARN is the role's ARN in a partition.
func (r *Role) ARN(partition string) string {
	return arnOf(partition, r.Account, "role", r.Path, r.Name)
}

// TrustPolicy is the role's trust policy, ready to decide.
func (r *Role) TrustPolicy() (*policy.Set, error) {
	return r.trust.Set(r.Trust, policy.Trust, r.Trusted, "role"+r.Path+r.Name)
}
