package iam

import (
	"errors"
	"slices"
	"strings"

	"coffer/internal/policy"
	"coffer/internal/table"
)

// Organization groups accounts under control policies. The words are those of
// AWS Organizations: a root, under it units, in them the accounts.
type Organization struct {
	ID         string       `cbor:"1,keyasint"` // o-...
	Management string       `cbor:"2,keyasint"` // the account that made it; control policies do not restrict it
	Root       string       `cbor:"3,keyasint"` // r-...
	Created    table.Millis `cbor:"4,keyasint"`
}

// Organizations holds them by id.
var Organizations = table.Collection[Organization]{
	Name: "iam.org",
	Key:  func(o *Organization) table.Key { return table.K(o.ID) },
}

// Unit is an organizational unit.
type Unit struct {
	ID           string `cbor:"1,keyasint"` // ou-...
	Organization string `cbor:"2,keyasint"`
	Parent       string `cbor:"3,keyasint"` // a unit, or the root
	Name         string `cbor:"4,keyasint"`
}

// Units holds the units by id.
var Units = table.Collection[Unit]{
	Name:    "iam.ou",
	Key:     func(u *Unit) table.Key { return table.K(u.ID) },
	Indexes: []table.Index[Unit]{{Name: unitByParent, Keys: func(u *Unit) []table.Key { return []table.Key{table.K(u.Parent, u.Name)} }}},
}

const unitByParent = "iam.ou.parent"

// Member is an account's place in its organisation.
type Member struct {
	Account      string       `cbor:"1,keyasint"`
	Organization string       `cbor:"2,keyasint"`
	Parent       string       `cbor:"3,keyasint"` // a unit, or the root
	Joined       table.Millis `cbor:"4,keyasint"`
}

// Members holds them by account: an account is in one organisation at most.
var Members = table.Collection[Member]{
	Name: "iam.member",
	Key:  func(m *Member) table.Key { return table.K(m.Account) },
	Indexes: []table.Index[Member]{
		{Name: memberByParent, Keys: func(m *Member) []table.Key { return []table.Key{table.K(m.Parent, m.Account)} }},
		{Name: memberByOrganization, Keys: func(m *Member) []table.Key { return []table.Key{table.K(m.Organization, m.Account)} }},
	},
}

const (
	memberByParent       = "iam.member.parent"
	memberByOrganization = "iam.member.org"
)

// ControlPolicy is a service or resource control policy of an organisation.
type ControlPolicy struct {
	ID           string `cbor:"1,keyasint"` // p-...
	Organization string `cbor:"2,keyasint"`
	Resource     bool   `cbor:"3,keyasint,omitempty"` // a resource control policy, else a service control policy
	Name         string `cbor:"4,keyasint"`
	Description  string `cbor:"5,keyasint,omitempty"`
	Text         string `cbor:"6,keyasint"`

	compiled policy.Compiled
}

// ControlPolicies holds them by id.
var ControlPolicies = table.Collection[ControlPolicy]{
	Name:    "iam.controlpolicy",
	Key:     func(p *ControlPolicy) table.Key { return table.K(p.ID) },
	Indexes: []table.Index[ControlPolicy]{{Name: controlByName, Keys: func(p *ControlPolicy) []table.Key { return []table.Key{table.K(p.Organization, p.Name)} }}},
}

const controlByName = "iam.controlpolicy.name"

// fullAccess is AWS's control policy that restricts nothing. It is attached to
// every root, unit and account until somebody detaches it.
const fullAccess = "p-FullAWSAccess"

var fullAccessSet = func() *policy.Set {
	d, err := policy.Parse([]byte(fullAccessText), policy.Identity)
	if err != nil {
		panic(err) // a wrong literal
	}
	return policy.NewSet(policy.Attachment{Document: d, Source: fullAccess})
}()

// NameOf is the name that people know a control policy, unit or account by; empty for what is
// not there, and for what has none.
func NameOf(tx *table.Tx, id string) (string, error) {
	switch {
	case strings.HasPrefix(id, "p-"):
		p, err := ControlPolicies.Get(tx, table.K(id))
		if err == nil {
			return p.Name, nil
		}
		return "", unlessAbsent(err)
	case strings.HasPrefix(id, "ou-"):
		u, err := Units.Get(tx, table.K(id))
		if err == nil {
			return u.Name, nil
		}
		return "", unlessAbsent(err)
	case strings.HasPrefix(id, "r-"):
		return "Root", nil
	case IsAccountID(id):
		a, err := Accounts.Get(tx, table.K(id))
		if err == nil {
			return a.Name, nil
		}
		return "", unlessAbsent(err)
	}
	return "", nil
}

// Target is a root, unit or account with the control policies attached to it.
type Target struct {
	ID           string   `cbor:"1,keyasint"`
	Organization string   `cbor:"2,keyasint"`
	Policies     []string `cbor:"3,keyasint,omitempty"` // ids
}

// Targets holds them by id.
var Targets = table.Collection[Target]{
	Name: "iam.target",
	Key:  func(t *Target) table.Key { return table.K(t.ID) },
	Indexes: []table.Index[Target]{{Name: targetByPolicy, Keys: func(t *Target) (ks []table.Key) {
		for _, p := range t.Policies {
			ks = append(ks, table.K(p, t.ID))
		}
		return ks
	}}},
}

const targetByPolicy = "iam.target.policy"

// maxUnitDepth is AWS's: five levels of units below the root.
const maxUnitDepth = 5

// place is where an account stands: what its organisation says of it.
type place struct {
	organization string // id; empty: none
	path         string // o-.../r-.../ou-.../, aws:PrincipalOrgPaths
	management   bool
	service      []*policy.Set // control policies, a set for each level from the root down
	resource     []*policy.Set
}

// loadPlace reads an account's place.
func loadPlace(tx *table.Tx, account string) (*place, error) {
	m, err := Members.Get(tx, table.K(account))
	if errors.Is(err, table.ErrNotFound) {
		return &place{}, nil
	}
	if err != nil {
		return nil, err
	}
	org, err := Organizations.Get(tx, table.K(m.Organization))
	if err != nil {
		return nil, err
	}
	levels := []string{account}
	for at := m.Parent; ; {
		levels = append(levels, at)
		if at == org.Root {
			break
		}
		if len(levels) > 2+maxUnitDepth {
			return nil, errors.New("iam: units of " + org.ID + " nested too deep")
		}
		u, err := Units.Get(tx, table.K(at))
		if err != nil {
			return nil, err
		}
		at = u.Parent
	}
	slices.Reverse(levels)
	p := &place{organization: org.ID, management: org.Management == account}
	p.path = org.ID + "/" + strings.Join(levels[:len(levels)-1], "/") + "/"
	for _, level := range levels {
		service, resource, err := loadTarget(tx, level)
		if err != nil {
			return nil, err
		}
		p.service = append(p.service, service)
		p.resource = append(p.resource, resource)
	}
	return p, nil
}

// loadTarget reads the control policies of one level. Resource control policies
// always come with AWS's own that restricts nothing ("RCPFullAWSAccess").
func loadTarget(tx *table.Tx, id string) (service, resource *policy.Set, err error) {
	t, err := Targets.Get(tx, table.K(id))
	if err != nil && !errors.Is(err, table.ErrNotFound) {
		return nil, nil, err
	}
	var services []policy.Attachment
	resources := slices.Clone(fullAccessSet.Attachments())
	if err == nil {
		for _, id := range t.Policies {
			if id == fullAccess {
				services = append(services, fullAccessSet.Attachments()...)
				continue
			}
			p, err := ControlPolicies.Get(tx, table.K(id))
			if err != nil {
				return nil, nil, err
			}
			kind := policy.Identity
			if p.Resource {
				kind = policy.Resource
			}
			set, err := p.compiled.Set(p.Text, kind, nil, p.ID)
			if err != nil {
				return nil, nil, err
			}
			if p.Resource {
				resources = append(resources, set.Attachments()...)
			} else {
				services = append(services, set.Attachments()...)
			}
		}
	}
	return policy.NewLevel(id, services...), policy.NewLevel(id, resources...), nil
}
