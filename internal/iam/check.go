package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coffer/internal/policy"
	"coffer/internal/table"
)

// Check is the service's part of fsck: it follows the references between rows and
// counts what is counted. report gets one sentence per finding. The error is of
// the store, and ends the check. tx must be a View's.
func (s *Service) Check(ctx context.Context, tx *table.Tx, report func(format string, args ...any)) error {
	c := &checker{Fsck: &table.Fsck{Ctx: ctx, Tx: tx, Report: report}, counts: map[Count]int{}, uses: map[[2]string]PolicyUse{}}
	err := errors.Join(
		table.Each(c.Fsck, &Users, c.user),
		table.Each(c.Fsck, &Groups, c.group),
		table.Each(c.Fsck, &Roles, c.role),
		table.Each(c.Fsck, &ManagedPolicies, c.policy),
		table.Each(c.Fsck, &PolicyDocuments, c.document),
		table.Each(c.Fsck, &Inlines, c.inline),
		table.Each(c.Fsck, &AccessKeys, c.key),
		table.Each(c.Fsck, &LastUses, c.lastUse),
		table.Each(c.Fsck, &InstanceProfiles, c.profile),
		table.Each(c.Fsck, &MFADevices, c.device),
		table.Each(c.Fsck, &SAMLProviders, c.samlProvider),
		table.Each(c.Fsck, &SAMLMetadatas, c.samlMetadata),
		table.Each(c.Fsck, &ReportParts, c.reportPart),
	)
	if err != nil || c.Incomplete {
		return err // what was counted is not all there is
	}
	return errors.Join(
		table.Each(c.Fsck, &PolicyUses, c.use),
		table.Each(c.Fsck, &Counts, c.count),
		c.uncounted(),
	)
}

// checker is a check under way. What it counts on the way is compared at the end.
type checker struct {
	*table.Fsck

	counts map[Count]int           // of things by account and kind; N is 0
	uses   map[[2]string]PolicyUse // by account and ARN
}

// found looks for the record that another refers to.
func found[T any](c *checker, rows *table.Collection[T], k table.Key) (*T, error) {
	v, err := rows.Load(c.Tx, k)
	if errors.Is(err, table.ErrNotFound) || errors.Is(err, table.ErrDamaged) { // a damaged one is reported by itself
		return nil, nil
	}
	return v, err
}

func (c *checker) counted(account string, k counter) {
	c.counts[Count{Account: account, Kind: k.kind}]++
}

// attached counts the managed policies of an entity, and looks whether they are there.
func (c *checker) attached(what, account string, arns []string, boundary string) error {
	for i, a := range arns {
		if slices.Contains(arns[:i], a) {
			c.Report("%s: policy %s is attached twice", what, a)
		}
		u := c.uses[[2]string{account, a}]
		u.Attached++
		c.uses[[2]string{account, a}] = u
	}
	if boundary != "" {
		u := c.uses[[2]string{account, boundary}]
		u.Boundaries++
		c.uses[[2]string{account, boundary}] = u
		arns = append(slices.Clone(arns), boundary)
	}
	for _, a := range arns {
		if _, err := managedSet(c.Tx, a); errors.Is(err, table.ErrNotFound) {
			c.Report("%s: policy %s does not exist", what, a)
		} else if err != nil && !errors.Is(err, table.ErrDamaged) {
			c.Report("%s: policy %s: %v", what, a, err)
		}
	}
	return nil
}

func (c *checker) user(u *User) error {
	what := fmt.Sprintf("user %s of %s", u.Name, u.Account)
	c.counted(u.Account, userCounter)
	for i, id := range u.Groups {
		g, err := found(c, &Groups, table.K(id))
		if err != nil {
			return err
		}
		if g == nil || g.Account != u.Account {
			c.Report("%s: its group %s does not exist", what, id)
		}
		if slices.Contains(u.Groups[:i], id) {
			c.Report("%s: is in group %s twice", what, id)
		}
	}
	for _, name := range u.MFA {
		d, err := found(c, &MFADevices, table.K(u.Account, name))
		if err != nil {
			return err
		}
		if d == nil || d.User != u.ID {
			c.Report("%s: MFA device %s is not its own", what, name)
		}
		c.counted(u.Account, inUseCounter)
	}
	return c.attached(what, u.Account, u.Attached, u.Boundary)
}

func (c *checker) group(g *Group) error {
	c.counted(g.Account, groupCounter)
	return c.attached(fmt.Sprintf("group %s of %s", g.Name, g.Account), g.Account, g.Attached, "")
}

func (c *checker) role(r *Role) error {
	what := fmt.Sprintf("role %s of %s", r.Name, r.Account)
	c.counted(r.Account, roleCounter)
	if _, err := policy.Parse([]byte(r.Trust), policy.Trust); err != nil {
		c.Report("%s: trust policy: %v", what, err)
	}
	return c.attached(what, r.Account, r.Attached, r.Boundary)
}

func (c *checker) policy(p *ManagedPolicy) error {
	what := fmt.Sprintf("policy %s of %s", p.Name, p.Account)
	c.counted(p.Account, policyCounter)
	inForce := false
	for _, v := range p.Versions {
		c.counted(p.Account, versionCounter)
		inForce = inForce || v.Number == p.Default
		d, err := found(c, &PolicyDocuments, documentKey(p.ID, v.Number))
		if err != nil {
			return err
		}
		if d == nil {
			c.Report("%s: the document of version %s is missing", what, versionID(v.Number))
		}
	}
	if !inForce {
		c.Report("%s: its default version %s does not exist", what, versionID(p.Default))
	}
	return nil
}

func (c *checker) document(d *PolicyDocument) error {
	what := fmt.Sprintf("document %s of policy %s", versionID(d.Number), d.PolicyID)
	p, err := found(c, &ManagedPolicies, table.K(d.PolicyID))
	if err != nil {
		return err
	}
	if p == nil || !slices.ContainsFunc(p.Versions, func(v PolicyVersion) bool { return v.Number == d.Number }) {
		c.Report("%s: no policy has it", what)
	}
	if _, err := policy.Parse([]byte(d.Text), policy.Identity); err != nil {
		c.Report("%s: %v", what, err)
	}
	return nil
}

func (c *checker) inline(in *Inline) error {
	what := "inline policies of " + in.Owner
	owned, err := c.owner(in.Owner)
	if err != nil {
		return err
	}
	if !owned {
		c.Report("%s: their owner does not exist", what)
	}
	if len(in.Policies) == 0 {
		c.Report("%s: there are none", what)
	}
	for _, p := range in.Policies {
		if _, err := policy.Parse([]byte(p.Text), policy.Identity); err != nil {
			c.Report("%s: %s: %v", what, p.Name, err)
		}
	}
	return nil
}

// owner reports whether there is a user, group or role of this unique id.
func (c *checker) owner(id string) (bool, error) {
	u, err := found(c, &Users, table.K(id))
	if err != nil || u != nil {
		return true, err
	}
	g, err := found(c, &Groups, table.K(id))
	if err != nil || g != nil {
		return true, err
	}
	r, err := found(c, &Roles, table.K(id))
	return r != nil, err
}

func (c *checker) key(k *AccessKey) error {
	if k.User == "" {
		return nil // a root's; with --dev its account need not be made
	}
	u, err := found(c, &Users, table.K(k.User))
	if err != nil {
		return err
	}
	if u == nil || u.Account != k.Account {
		c.Report("access key %s: its user does not exist", k.ID)
	}
	return nil
}

func (c *checker) lastUse(u *LastUse) error {
	there, err := exists(c.Tx, u.ID)
	if errors.Is(err, table.ErrDamaged) {
		return nil
	}
	if err == nil && !there {
		c.Report("last use of %s: no access key or role has this id", u.ID)
	}
	return err
}

func (c *checker) profile(p *InstanceProfile) error {
	c.counted(p.Account, profileCounter)
	if p.Role == "" {
		return nil
	}
	r, err := found(c, &Roles, table.K(p.Role))
	if err == nil && (r == nil || r.Account != p.Account) {
		c.Report("instance profile %s of %s: its role does not exist", p.Name, p.Account)
	}
	return err
}

func (c *checker) device(d *MFADevice) error {
	c.counted(d.Account, deviceCounter)
	if d.User == "" {
		return nil
	}
	u, err := found(c, &Users, table.K(d.User))
	if err == nil && (u == nil || !slices.Contains(u.MFA, d.Path+d.Name)) {
		c.Report("MFA device %s%s of %s: its user does not have it", d.Path, d.Name, d.Account)
	}
	return err
}

func (c *checker) use(u *PolicyUse) error {
	k := [2]string{u.Account, u.ARN}
	if n := c.uses[k]; n.Attached != u.Attached || n.Boundaries != u.Boundaries {
		c.Report("policy %s in %s: counts %d attachments and %d boundaries and has %d and %d", u.ARN, u.Account, u.Attached, u.Boundaries, n.Attached, n.Boundaries)
	}
	delete(c.uses, k)
	return nil
}

func (c *checker) count(n *Count) error {
	k := Count{Account: n.Account, Kind: n.Kind}
	if have := c.counts[k]; have != n.N {
		c.Report("account %s: counts %d of %s and has %d", n.Account, n.N, n.Kind, have)
	}
	delete(c.counts, k)
	return nil
}

// uncounted reports what has no count at all.
func (c *checker) uncounted() error {
	for k, n := range c.uses {
		c.Report("policy %s in %s: counts no uses and has %d attachments and %d boundaries", k[1], k[0], n.Attached, n.Boundaries)
	}
	for k, n := range c.counts {
		c.Report("account %s: counts no %s and has %d", k.Account, k.Kind, n)
	}
	return nil
}

func (c *checker) samlProvider(p *SAMLProvider) error {
	what := fmt.Sprintf("SAML provider %s of %s", p.Name, p.Account)
	if _, err := p.SigningCertificates(); err != nil {
		c.Report("%s: %v", what, err)
	}
	m, err := found(c, &SAMLMetadatas, table.K(p.Account, p.Name))
	if err == nil && m == nil {
		c.Report("%s: its metadata is missing", what)
	}
	return err
}

func (c *checker) samlMetadata(m *SAMLMetadata) error {
	p, err := found(c, &SAMLProviders, table.K(m.Account, m.Name))
	if err == nil && p == nil {
		c.Report("SAML metadata %s of %s: no provider has it", m.Name, m.Account)
	}
	return err
}

func (c *checker) reportPart(p *ReportPart) error {
	r, err := found(c, &CredentialReports, table.K(p.Account))
	if err == nil && (r == nil || p.Number >= r.Parts+r.Left) {
		c.Report("part %d of the credential report of %s: the report does not have it", p.Number, p.Account)
	}
	return err
}
