package iam

import (
	"slices"
	"strconv"

	"coffer/internal/arn"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// ManagedPolicy is a customer managed policy. Those of AWS are in awsmanaged.go.
type ManagedPolicy struct {
	ID          string          `cbor:"1,keyasint"` // ANPA...
	Account     string          `cbor:"2,keyasint"`
	Name        string          `cbor:"3,keyasint"`
	Path        string          `cbor:"4,keyasint"`
	Description string          `cbor:"5,keyasint,omitempty"`
	Created     table.Millis    `cbor:"6,keyasint"`
	Updated     table.Millis    `cbor:"7,keyasint"`
	Default     int             `cbor:"8,keyasint"`  // number of the version in force
	Next        int             `cbor:"9,keyasint"`  // number of the next version: numbers are not used twice
	Versions    []PolicyVersion `cbor:"10,keyasint"` // oldest first, at most five
	Tags        []policy.Tag    `cbor:"11,keyasint,omitempty"`
}

// PolicyVersion is a version of a managed policy, without its document.
type PolicyVersion struct {
	Number  int          `cbor:"1,keyasint"`
	Created table.Millis `cbor:"2,keyasint"`
}

// ManagedPolicies holds the customer managed policies by id.
var ManagedPolicies = table.Collection[ManagedPolicy]{
	Name:  "iam.policy",
	Key:   func(p *ManagedPolicy) table.Key { return table.K(p.ID) },
	Clone: (*ManagedPolicy).clone,
	Indexes: []table.Index[ManagedPolicy]{
		{Name: policyByName, Keys: func(p *ManagedPolicy) []table.Key { return []table.Key{table.K(p.Account, fold(p.Name))} }},
		{Name: policyByPath, Keys: func(p *ManagedPolicy) []table.Key { return []table.Key{table.K(p.Account, p.Path, fold(p.Name))} }},
	},
}

const (
	policyByName = "iam.policy.name"
	policyByPath = "iam.policy.path"
)

func (p *ManagedPolicy) clone() *ManagedPolicy {
	c := *p
	c.Versions, c.Tags = slices.Clone(p.Versions), slices.Clone(p.Tags)
	return &c
}

// ARN is the policy's ARN in a partition.
func (p *ManagedPolicy) ARN(partition string) string {
	return arnOf(partition, p.Account, "policy", p.Path, p.Name)
}

// PolicyDocument is the text of one version of a customer managed policy.
type PolicyDocument struct {
	PolicyID string `cbor:"1,keyasint"`
	Number   int    `cbor:"2,keyasint"`
	Text     string `cbor:"3,keyasint"` // as it was given

	compiled policy.Compiled
}

// PolicyDocuments holds them by policy id and version.
var PolicyDocuments = table.Collection[PolicyDocument]{
	Name: "iam.policydocument",
	Key:  func(d *PolicyDocument) table.Key { return documentKey(d.PolicyID, d.Number) },
}

func documentKey(policyID string, number int) table.Key {
	return table.K(policyID, versionID(number))
}

// versionID is how AWS names a version: "v3".
func versionID(number int) string { return "v" + strconv.Itoa(number) }

// PolicyUse counts the users, groups and roles that a managed policy is attached
// to in an account, and those it is the boundary of. It is apart from the policy
// because AWS's own policies are used in every account, and are no rows.
type PolicyUse struct {
	Account    string `cbor:"1,keyasint"`
	ARN        string `cbor:"2,keyasint"`
	Attached   int    `cbor:"3,keyasint,omitempty"`
	Boundaries int    `cbor:"4,keyasint,omitempty"`
}

// PolicyUses holds the counts by account and ARN; those of the account's own policies also
// by path and name, so that a listing of what is used need not look at what is not.
var PolicyUses = table.Collection[PolicyUse]{
	Name: "iam.policyuse",
	Key:  func(u *PolicyUse) table.Key { return table.K(u.Account, u.ARN) },
	Indexes: []table.Index[PolicyUse]{
		{Name: useAttached, Keys: func(u *PolicyUse) []table.Key { return u.keys(u.Attached) }},
		{Name: useBoundary, Keys: func(u *PolicyUse) []table.Key { return u.keys(u.Boundaries) }},
	},
}

const (
	useAttached = "iam.policyuse.attached"
	useBoundary = "iam.policyuse.boundary"
)

func (u *PolicyUse) keys(n int) []table.Key {
	a, err := arn.Parse(u.ARN)
	if n == 0 || err != nil || a.Account != u.Account {
		return nil
	}
	_, path, name := splitResource(a.Resource)
	return []table.Key{table.K(u.Account, path, fold(name))}
}

// Inline is the inline policies of a user, group or role.
type Inline struct {
	Owner    string          `cbor:"1,keyasint"` // unique id
	Policies []*InlinePolicy `cbor:"2,keyasint"` // by name
}

// InlinePolicy is one of them.
type InlinePolicy struct {
	Name string `cbor:"1,keyasint"`
	Text string `cbor:"2,keyasint"` // as it was given

	compiled policy.Compiled
}

// Inlines holds them by the owner's id. An owner without has no row.
var Inlines = table.Collection[Inline]{
	Name: "iam.inline",
	Key:  func(i *Inline) table.Key { return table.K(i.Owner) },
}
