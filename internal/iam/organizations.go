package iam

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"coffer/internal/table"
)

// What operators do with organisations. Every change counts in the epoch of
// organisations and is in force for the next call. The errors are for people.

// unitName is what a unit may be called: AWS takes any characters, here a slash
// separates the units of a path.
var unitName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 _+=,.@-]{0,127}$`)

// maxMoved is how many units can move together: all of them are looked at in one
// transaction, to see that none gets too deep.
const maxMoved = 50

// randomName returns n characters of those that the ids of Organizations have.
func randomName(n int) string { return strings.ToLower(randomID(n)) }

// CreateOrganization makes an organisation that an account, named by id or name,
// is the management account of.
func CreateOrganization(tx *table.Tx, account string, now time.Time) (*Organization, error) {
	a, err := FindAccount(tx, account)
	if err != nil {
		return nil, err
	}
	switch m, err := Members.Get(tx, table.K(a.ID)); {
	case err == nil:
		return nil, fmt.Errorf("account %s is in organisation %s; an account is in one at most: take it out with `coffer account org remove %s`, or delete that organisation", a.ID, m.Organization, a.ID)
	case !errors.Is(err, table.ErrNotFound):
		return nil, err
	}
	o := &Organization{ID: "o-" + randomName(10), Management: a.ID, Root: "r-" + randomName(8), Created: table.At(now)}
	if err := Organizations.Insert(tx, o); err != nil {
		return nil, err
	}
	if err := o.newTarget(tx, o.Root); err != nil {
		return nil, err
	}
	return o, o.join(tx, a.ID, o.Root, now)
}

// newTarget makes a root, unit or account one that control policies can be attached to.
func (o *Organization) newTarget(tx *table.Tx, id string) error {
	return Targets.Insert(tx, &Target{ID: id, Organization: o.ID, Policies: []string{fullAccess}})
}

func (o *Organization) join(tx *table.Tx, account, parent string, now time.Time) error {
	if err := Members.Insert(tx, &Member{Account: account, Organization: o.ID, Parent: parent, Joined: table.At(now)}); err != nil {
		return err
	}
	if err := o.newTarget(tx, account); err != nil {
		return err
	}
	return changed(tx, organizationEpoch)
}

// FindOrganization returns the organisation whose id is ref, or whose management
// account is: empty is the only one there is.
func FindOrganization(tx *table.Tx, ref string) (*Organization, error) {
	all, err := ListOrganizations(tx)
	if err != nil {
		return nil, err
	}
	switch {
	case len(all) == 0:
		return nil, errors.New("there is no organisation; make one with `coffer account org create ACCOUNT`")
	case ref == "" && len(all) == 1:
		return all[0], nil
	case ref == "":
		var ids []string
		for _, o := range all {
			ids = append(ids, o.ID)
		}
		return nil, fmt.Errorf("there are several organisations; name one with --org: %s", strings.Join(ids, ", "))
	}
	for _, o := range all {
		if o.ID == ref {
			return o, nil
		}
	}
	if a, err := FindAccount(tx, ref); err == nil {
		for _, o := range all {
			if o.Management == a.ID {
				return o, nil
			}
		}
	} else if !errors.Is(err, ErrAccount) {
		return nil, err
	}
	return nil, fmt.Errorf("there is no organisation %q; `coffer account org show` lists them", ref)
}

// ListOrganizations returns all organisations by id.
func ListOrganizations(tx *table.Tx) (all []*Organization, err error) {
	for e, err := range Organizations.Scan(tx, table.Range{}) {
		if err != nil {
			return nil, err
		}
		all = append(all, e.Value)
	}
	return all, nil
}

// Delete deletes the organisation, which must have nothing left but its
// management account.
func (o *Organization) Delete(tx *table.Tx) error {
	for e, err := range Members.ScanIndex(tx, memberByOrganization, table.Range{Prefix: table.K(o.ID)}) {
		if err != nil {
			return err
		}
		if account := e.Record.Parts()[0]; account != o.Management {
			return fmt.Errorf("account %s is still in organisation %s; take its accounts out first, with `coffer account org remove ACCOUNT`", account, o.ID)
		}
	}
	for _, err := range Units.ScanIndex(tx, unitByParent, table.Range{Prefix: table.K(o.Root)}) {
		if err != nil {
			return err
		}
		return fmt.Errorf("organisation %s still has units; delete them first, with `coffer account org unit delete UNIT`", o.ID)
	}
	for _, err := range ControlPolicies.ScanIndex(tx, controlByName, table.Range{Prefix: table.K(o.ID)}) {
		if err != nil {
			return err
		}
		return fmt.Errorf("organisation %s still has control policies; delete them first, with `coffer account org policy delete NAME`", o.ID)
	}
	for _, err := range []error{
		Members.Delete(tx, table.K(o.Management)), Targets.Delete(tx, table.K(o.Management)),
		Targets.Delete(tx, table.K(o.Root)), Organizations.Delete(tx, table.K(o.ID)),
	} {
		if err != nil {
			return err
		}
	}
	return changed(tx, organizationEpoch)
}

// unit finds a unit by its id, or by the names on the way to it from the root:
// "/prod/payments". The root is "/".
func (o *Organization) unit(tx *table.Tx, ref string) (id string, err error) {
	switch {
	case ref == "/" || ref == o.Root:
		return o.Root, nil
	case strings.HasPrefix(ref, "ou-"):
		u, err := Units.Get(tx, table.K(ref))
		if errors.Is(err, table.ErrNotFound) || err == nil && u.Organization != o.ID {
			return "", o.noUnit(ref)
		}
		return ref, err
	}
	id = o.Root
	names := strings.Split(strings.Trim(ref, "/"), "/")
	if len(names) > maxUnitDepth {
		return "", o.noUnit(ref)
	}
	for _, name := range names {
		u, err := first(tx, &Units, unitByParent, table.K(id, name))
		if errors.Is(err, table.ErrNotFound) {
			return "", o.noUnit(ref)
		}
		if err != nil {
			return "", err
		}
		id = u.ID
	}
	return id, nil
}

// errNoUnit is in errors about units that do not exist.
var errNoUnit = errors.New("no such unit")

func (o *Organization) noUnit(ref string) error {
	return fmt.Errorf("%w in organisation %s: %q; `coffer account org show` lists them; / is the root, /prod a unit in it", errNoUnit, o.ID, ref)
}

// depth is how many units are above, and with, a unit: 0 for the root.
func (o *Organization) depth(tx *table.Tx, id string) (n int, err error) {
	for ; id != o.Root; n++ {
		if n > maxUnitDepth {
			return n, errors.New("iam: units of " + o.ID + " nested too deep")
		}
		u, err := Units.Get(tx, table.K(id))
		if err != nil {
			return n, err
		}
		id = u.Parent
	}
	return n, nil
}

// vacant makes sure that a parent can take a unit of this name.
func (o *Organization) vacant(tx *table.Tx, parent, name string) error {
	if !unitName.MatchString(name) {
		return fmt.Errorf("unit name %q must be 1 to 128 letters, digits, blanks or _+=,.@- and start with a letter or digit", name)
	}
	switch _, err := first(tx, &Units, unitByParent, table.K(parent, name)); {
	case err == nil:
		return fmt.Errorf("there is a unit %q in the same place already", name)
	case !errors.Is(err, table.ErrNotFound):
		return err
	}
	return nil
}

// tooDeep is the error about a unit that would be below five others.
func tooDeep() error { return fmt.Errorf("units go %d levels deep at most", maxUnitDepth) }

// CreateUnit makes the unit that a path ends in: "/prod/payments" is payments in
// prod, which must exist.
func (o *Organization) CreateUnit(tx *table.Tx, path string) (*Unit, error) {
	path = strings.TrimRight(path, "/")
	at := strings.LastIndexByte(path, '/')
	in, name := path[:max(at, 0)], path[at+1:]
	if in == "" {
		in = "/"
	}
	parent, err := o.unit(tx, in)
	if err != nil {
		return nil, err
	}
	if err := o.vacant(tx, parent, name); err != nil {
		return nil, err
	}
	n, err := o.depth(tx, parent)
	if err != nil {
		return nil, err
	}
	if n >= maxUnitDepth {
		return nil, tooDeep()
	}
	u := &Unit{ID: "ou-" + o.Root[len("r-"):] + "-" + randomName(8), Organization: o.ID, Parent: parent, Name: name}
	if err := Units.Insert(tx, u); err != nil {
		return nil, err
	}
	if err := o.newTarget(tx, u.ID); err != nil {
		return nil, err
	}
	return u, changed(tx, organizationEpoch)
}

// edit returns a private copy of a unit, which is not the root.
func (o *Organization) edit(tx *table.Tx, ref string) (*Unit, error) {
	id, err := o.unit(tx, ref)
	if err != nil {
		return nil, err
	}
	if id == o.Root {
		return nil, errors.New("the root of an organisation cannot be renamed, moved or deleted")
	}
	return Units.Load(tx, table.K(id))
}

// RenameUnit gives a unit another name in the same place.
func (o *Organization) RenameUnit(tx *table.Tx, ref, name string) (*Unit, error) {
	u, err := o.edit(tx, ref)
	if err != nil {
		return nil, err
	}
	if err := o.vacant(tx, u.Parent, name); err != nil {
		return nil, err
	}
	u.Name = name
	if err := Units.Put(tx, u); err != nil {
		return nil, err
	}
	return u, changed(tx, organizationEpoch)
}

// MoveUnit puts a unit, with all that is in it, into another one or the root.
func (o *Organization) MoveUnit(tx *table.Tx, ref, to string) (*Unit, error) {
	u, err := o.edit(tx, ref)
	if err != nil {
		return nil, err
	}
	parent, err := o.unit(tx, to)
	if err != nil {
		return nil, err
	}
	if parent == u.Parent {
		return nil, fmt.Errorf("unit %q is there already", u.Name)
	}
	if err := o.vacant(tx, parent, u.Name); err != nil {
		return nil, err
	}
	levels, err := o.below(tx, u.ID, parent)
	if err != nil {
		return nil, err
	}
	above, err := o.depth(tx, parent)
	if err != nil {
		return nil, err
	}
	if above+levels > maxUnitDepth {
		return nil, tooDeep()
	}
	u.Parent = parent
	if err := Units.Put(tx, u); err != nil {
		return nil, err
	}
	return u, changed(tx, organizationEpoch)
}

// below counts the levels of a unit and the units in it, among which another must
// not be.
func (o *Organization) below(tx *table.Tx, id, not string) (levels int, err error) {
	seen := 0
	for level := []string{id}; len(level) > 0; levels++ {
		var next []string
		for _, id := range level {
			if id == not {
				return 0, errors.New("a unit cannot be moved into itself")
			}
			if seen++; seen > maxMoved {
				return 0, fmt.Errorf("more than %d units would move together; move those below first", maxMoved)
			}
			for e, err := range Units.ScanIndex(tx, unitByParent, table.Range{Prefix: table.K(id)}) {
				if err != nil {
					return 0, err
				}
				next = append(next, e.Record.Parts()[0])
			}
		}
		level = next
	}
	return levels, nil
}

// DeleteUnit deletes a unit that nothing is in.
func (o *Organization) DeleteUnit(tx *table.Tx, ref string) error {
	u, err := o.edit(tx, ref)
	if err != nil {
		return err
	}
	for _, err := range Units.ScanIndex(tx, unitByParent, table.Range{Prefix: table.K(u.ID)}) {
		if err != nil {
			return err
		}
		return fmt.Errorf("there are units in %q; delete or move them first", u.Name)
	}
	for e, err := range Members.ScanIndex(tx, memberByParent, table.Range{Prefix: table.K(u.ID)}) {
		if err != nil {
			return err
		}
		return fmt.Errorf("account %s is in %q; move the accounts first, with `coffer account org move ACCOUNT UNIT`", e.Record.Parts()[0], u.Name)
	}
	if err := Units.Delete(tx, table.K(u.ID)); err != nil {
		return err
	}
	if err := Targets.Delete(tx, table.K(u.ID)); err != nil {
		return err
	}
	return changed(tx, organizationEpoch)
}

// AddAccount takes an account into the organisation, in a unit or the root.
func (o *Organization) AddAccount(tx *table.Tx, account, unit string, now time.Time) (*Account, error) {
	a, err := FindAccount(tx, account)
	if err != nil {
		return nil, err
	}
	switch m, err := Members.Get(tx, table.K(a.ID)); {
	case err == nil && m.Organization == o.ID:
		return nil, fmt.Errorf("account %s is in the organisation already; `coffer account org move %s UNIT` puts it elsewhere", a.ID, a.ID)
	case err == nil:
		return nil, fmt.Errorf("account %s is in organisation %s; take it out there first, with `coffer account org remove %s --org %s`", a.ID, m.Organization, a.ID, m.Organization)
	case !errors.Is(err, table.ErrNotFound):
		return nil, err
	}
	parent, err := o.unit(tx, unit)
	if err != nil {
		return nil, err
	}
	return a, o.join(tx, a.ID, parent, now)
}

// member returns a private copy of an account's place.
func (o *Organization) member(tx *table.Tx, account string) (*Account, *Member, error) {
	a, err := FindAccount(tx, account)
	if err != nil {
		return nil, nil, err
	}
	m, err := Members.Load(tx, table.K(a.ID))
	if errors.Is(err, table.ErrNotFound) || err == nil && m.Organization != o.ID {
		return nil, nil, fmt.Errorf("account %s is not in organisation %s; `coffer account org add %s` takes it in", a.ID, o.ID, a.ID)
	}
	return a, m, err
}

// MoveAccount puts an account of the organisation into another unit, or the root.
func (o *Organization) MoveAccount(tx *table.Tx, account, unit string) (*Account, error) {
	a, m, err := o.member(tx, account)
	if err != nil {
		return nil, err
	}
	parent, err := o.unit(tx, unit)
	if err != nil {
		return nil, err
	}
	if m.Parent == parent {
		return nil, fmt.Errorf("account %s is there already", a.ID)
	}
	m.Parent = parent
	if err := Members.Put(tx, m); err != nil {
		return nil, err
	}
	return a, changed(tx, organizationEpoch)
}

// RemoveAccount takes an account out of the organisation: control policies do not
// restrict it any more.
func (o *Organization) RemoveAccount(tx *table.Tx, account string) (*Account, error) {
	a, _, err := o.member(tx, account)
	if err != nil {
		return nil, err
	}
	if a.ID == o.Management {
		return nil, fmt.Errorf("account %s is the management account, which stays as long as organisation %s does; `coffer account org delete` deletes that", a.ID, o.ID)
	}
	if err := Members.Delete(tx, table.K(a.ID)); err != nil {
		return nil, err
	}
	if err := Targets.Delete(tx, table.K(a.ID)); err != nil {
		return nil, err
	}
	return a, changed(tx, organizationEpoch)
}

// OrganizationNode is a root, unit or account as it is shown.
type OrganizationNode struct {
	Type       string              `json:"type"` // "root", "unit" or "account"
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	Management bool                `json:"management,omitempty"`
	Policies   []string            `json:"policies"` // names of the control policies attached to it
	In         []*OrganizationNode `json:"in,omitempty"`
}

// Describe returns the organisation as a tree: in each unit the units by name, then
// the accounts by id.
func (o *Organization) Describe(tx *table.Tx) (*OrganizationNode, error) {
	return o.describe(tx, &OrganizationNode{Type: "root", ID: o.Root, Name: "/"}, 0)
}

func (o *Organization) describe(tx *table.Tx, n *OrganizationNode, depth int) (*OrganizationNode, error) {
	if depth > maxUnitDepth {
		return nil, errors.New("iam: units of " + o.ID + " nested too deep")
	}
	var err error
	if n.Policies, err = attachedNames(tx, n.ID); err != nil {
		return nil, err
	}
	for e, err := range Units.ScanIndex(tx, unitByParent, table.Range{Prefix: table.K(n.ID)}) {
		if err != nil {
			return nil, err
		}
		unit := &OrganizationNode{Type: "unit", ID: e.Record.Parts()[0], Name: e.Key.Parts()[1]}
		if unit, err = o.describe(tx, unit, depth+1); err != nil {
			return nil, err
		}
		n.In = append(n.In, unit)
	}
	for e, err := range Members.ScanIndex(tx, memberByParent, table.Range{Prefix: table.K(n.ID)}) {
		if err != nil {
			return nil, err
		}
		account := &OrganizationNode{Type: "account", ID: e.Record.Parts()[0]}
		a, err := Accounts.Get(tx, table.K(account.ID))
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", account.ID, err)
		}
		account.Name, account.Management = a.Name, a.ID == o.Management
		if account.Policies, err = attachedNames(tx, account.ID); err != nil {
			return nil, err
		}
		n.In = append(n.In, account)
	}
	return n, nil
}

// attachedNames are the names of the control policies attached to a target, AWS's
// own first.
func attachedNames(tx *table.Tx, id string) ([]string, error) {
	t, err := Targets.Get(tx, table.K(id))
	if err != nil {
		return nil, fmt.Errorf("control policies of %s: %w", id, err)
	}
	names := []string{}
	for _, id := range t.Policies {
		if id == fullAccess {
			names = slices.Insert(names, 0, fullAccessName)
			continue
		}
		p, err := ControlPolicies.Get(tx, table.K(id))
		if err != nil {
			return nil, fmt.Errorf("control policy %s: %w", id, err)
		}
		names = append(names, p.Name)
	}
	return names, nil
}
