package iam

import (
	"context"
	"errors"

	"coffer/internal/table"
)

// CheckOrganizations is the part of fsck that knows what organisations promise:
// every account and unit hangs from its organisation's root, at most five units deep,
// and has a row for its control policies, which exist, can be read, and are as many as
// may be.
func CheckOrganizations(ctx context.Context, tx *table.Tx, report func(format string, args ...any)) error {
	c := &organizationCheck{tx: tx, report: report}
	for _, step := range []func() error{c.organizations, c.units, c.members, c.policies, c.targets} {
		if err := step(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

type organizationCheck struct {
	tx     *table.Tx
	report func(format string, args ...any)
}

// organization returns one that a row names; nil if there is none, which is reported.
func (c *organizationCheck) organization(of, id string) (*Organization, error) {
	o, err := Organizations.Get(c.tx, table.K(id))
	if errors.Is(err, table.ErrNotFound) {
		c.report("%s is in organisation %s, which does not exist", of, id)
		return nil, nil
	}
	return o, err
}

// target reports a root, unit or account without a row of control policies.
func (c *organizationCheck) target(id, organization string) error {
	t, err := Targets.Get(c.tx, table.K(id))
	switch {
	case errors.Is(err, table.ErrNotFound):
		c.report("%s has no control policies", id)
		return nil
	case err == nil && t.Organization != organization:
		c.report("the control policies of %s are those of organisation %s, and it is in %s", id, t.Organization, organization)
	}
	return err
}

func (c *organizationCheck) organizations() error {
	for e, err := range Organizations.Scan(c.tx, table.Range{}) {
		if err != nil {
			return err
		}
		o := e.Value
		if err := c.target(o.Root, o.ID); err != nil {
			return err
		}
		m, err := Members.Get(c.tx, table.K(o.Management))
		if err != nil && !errors.Is(err, table.ErrNotFound) {
			return err
		}
		if err != nil || m.Organization != o.ID {
			c.report("the management account %s of organisation %s is not in it", o.Management, o.ID)
		}
	}
	return nil
}

// hangs follows a parent to the root, as decisions do.
func (c *organizationCheck) hangs(of, parent string, units int, o *Organization) error {
	for ; parent != o.Root; units++ {
		if units >= maxUnitDepth {
			c.report("%s is more than %d units deep, or in a circle of them", of, maxUnitDepth)
			return nil
		}
		u, err := Units.Get(c.tx, table.K(parent))
		if errors.Is(err, table.ErrNotFound) {
			c.report("%s is in unit %s, which does not exist", of, parent)
			return nil
		}
		if err != nil {
			return err
		}
		if u.Organization != o.ID {
			c.report("%s of organisation %s is in unit %s of %s", of, o.ID, u.ID, u.Organization)
			return nil
		}
		parent = u.Parent
	}
	return nil
}

func (c *organizationCheck) units() error {
	for e, err := range Units.Scan(c.tx, table.Range{}) {
		if err != nil {
			return err
		}
		u := e.Value
		o, err := c.organization("unit "+u.ID, u.Organization)
		if err != nil {
			return err
		}
		if o == nil {
			continue
		}
		if err := c.hangs("unit "+u.ID, u.Parent, 1, o); err != nil {
			return err
		}
		if err := c.target(u.ID, o.ID); err != nil {
			return err
		}
	}
	return nil
}

func (c *organizationCheck) members() error {
	for e, err := range Members.Scan(c.tx, table.Range{}) {
		if err != nil {
			return err
		}
		m := e.Value
		if _, err := Accounts.Get(c.tx, table.K(m.Account)); errors.Is(err, table.ErrNotFound) {
			c.report("account %s is in organisation %s and does not exist", m.Account, m.Organization)
		} else if err != nil {
			return err
		}
		o, err := c.organization("account "+m.Account, m.Organization)
		if err != nil {
			return err
		}
		if o == nil {
			continue
		}
		if err := c.hangs("account "+m.Account, m.Parent, 0, o); err != nil {
			return err
		}
		if err := c.target(m.Account, o.ID); err != nil {
			return err
		}
	}
	return nil
}

func (c *organizationCheck) policies() error {
	for e, err := range ControlPolicies.Scan(c.tx, table.Range{}) {
		if err != nil {
			return err
		}
		p := e.Value
		if _, err := c.organization("control policy "+p.ID, p.Organization); err != nil {
			return err
		}
		if err := checkControlPolicy(p.Text, p.Resource); err != nil {
			c.report("control policy %s: %v", p.ID, err)
		}
	}
	return nil
}

// targets looks at what is attached, and that it is attached to something.
func (c *organizationCheck) targets() error {
	for e, err := range Targets.Scan(c.tx, table.Range{}) {
		if err != nil {
			return err
		}
		t := e.Value
		there, err := c.exists(t)
		if err != nil {
			return err
		}
		if !there {
			c.report("control policies are attached to %s, which is not in organisation %s", t.ID, t.Organization)
		}
		service, resource := 0, 0
		seen := make(map[string]bool)
		for _, id := range t.Policies {
			if seen[id] {
				c.report("control policy %s is attached to %s twice", id, t.ID)
			}
			seen[id] = true
			if id == fullAccess {
				service++
				continue
			}
			p, err := ControlPolicies.Get(c.tx, table.K(id))
			switch {
			case errors.Is(err, table.ErrNotFound):
				c.report("control policy %s, attached to %s, does not exist", id, t.ID)
			case err != nil:
				return err
			case p.Organization != t.Organization:
				c.report("control policy %s of organisation %s is attached to %s of %s", id, p.Organization, t.ID, t.Organization)
			case p.Resource:
				resource++
			default:
				service++
			}
		}
		if service < 1 || service > maxServiceAttached || resource > maxResourceAttached {
			c.report("%s has %d service control policies and %d resource control policies", t.ID, service, resource)
		}
	}
	return nil
}

// exists reports whether a target is a root, unit or account of its organisation.
func (c *organizationCheck) exists(t *Target) (bool, error) {
	o, err := c.organization("target "+t.ID, t.Organization)
	if err != nil || o == nil {
		return false, err
	}
	if t.ID == o.Root {
		return true, nil
	}
	if u, err := Units.Get(c.tx, table.K(t.ID)); err == nil {
		return u.Organization == o.ID, nil
	} else if !errors.Is(err, table.ErrNotFound) {
		return false, err
	}
	m, err := Members.Get(c.tx, table.K(t.ID))
	if errors.Is(err, table.ErrNotFound) {
		return false, nil
	}
	return err == nil && m.Organization == o.ID, err
}
