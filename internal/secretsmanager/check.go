package secretsmanager

import (
	"context"
	"errors"
	"fmt"

	"coffer/internal/policy"
	"coffer/internal/table"
)

// Check is the service's part of fsck: it follows every reference between
// rows, in both directions, and holds every secret against the rules on labels.
// It opens no values: those are under KMS keys. report gets one sentence per
// finding. The error is of the store, and ends the check. tx must be a View's.
func (s *Service) Check(ctx context.Context, tx *table.Tx, report func(format string, args ...any)) error {
	c := checker{&table.Fsck{Ctx: ctx, Tx: tx, Report: report}}
	return errors.Join(
		table.Each(c.Fsck, &Secrets, c.secret),
		table.Each(c.Fsck, &DeprecatedVersions, c.deprecated),
		table.Each(c.Fsck, &Values, c.value),
		table.Each(c.Fsck, &Policies, c.policy),
		table.Each(c.Fsck, &Runs, c.run),
		table.Each(c.Fsck, &Histories, c.history),
	)
}

type checker struct {
	*table.Fsck
}

func (c checker) deprecated(d *Deprecated) error {
	what := fmt.Sprintf("deprecated version %s of %s/%s/%s", d.Version.ID, d.Account, d.Region, d.Name)
	owner, err := ownerOf(c.Tx, d.Account, d.Region, d.Name, d.UID)
	if err != nil {
		return err
	}
	switch {
	case owner == nil:
		if _, err := Purges.Load(c.Tx, table.K(d.Account, d.Region, d.UID)); errors.Is(err, table.ErrNotFound) {
			c.Report("%s: its secret does not exist", what)
		} else if err != nil {
			return err
		}
	case owner.labelled(d.Version.ID) != nil:
		c.Report("%s: the secret has a version of that id with labels", what)
	}
	if len(d.Version.Stages) > 0 {
		c.Report("%s: has labels", what)
	}
	return c.stored(what, d.Account, d.Region, d.UID, &d.Version)
}

func (c checker) policy(p *Policy) error {
	owner, err := ownerOf(c.Tx, p.Account, p.Region, p.Name, p.UID)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("resource policy of %s/%s/%s", p.Account, p.Region, p.Name)
	if owner == nil || !owner.HasPolicy {
		c.Report("%s: no secret has it", what)
	}
	if _, err := policy.Parse([]byte(p.Text), policy.Resource); err != nil {
		c.Report("%s: %v", what, err)
	}
	return nil
}

func (c checker) secret(s *Secret) error {
	what := s.arn()
	ids, labels := map[string]bool{}, map[string]bool{}
	hasValue := s.Deprecated > 0
	for i := range s.Versions {
		v := &s.Versions[i]
		if ids[v.ID] {
			c.Report("%s: two versions have the id %s", what, v.ID)
		}
		ids[v.ID] = true
		if len(v.Stages) == 0 {
			c.Report("%s: version %s has no labels and is not deprecated", what, v.ID)
		}
		for _, l := range v.Stages {
			if labels[l] {
				c.Report("%s: label %s is on two versions", what, l)
			}
			labels[l] = true
		}
		hasValue = hasValue || v.Kind != noValue
		if err := c.stored(what+": version "+v.ID, s.Account, s.Region, s.UID, v); err != nil {
			return err
		}
	}
	if hasValue && !labels[current] {
		c.Report("%s: has values and no AWSCURRENT", what)
	}
	if len(labels) > maxLabels {
		c.Report("%s: %d labels", what, len(labels))
	}
	if r := s.Rotation; r != nil && r.Running != "" {
		if _, err := Runs.Load(c.Tx, s.part()); errors.Is(err, table.ErrNotFound) {
			c.Report("%s: its rotation to version %s is missing", what, r.Running)
		} else if err != nil {
			return err
		}
	}
	n := 0
	for _, err := range DeprecatedVersions.ScanIndex(c.Tx, byDeprecatedCreated, table.Range{Prefix: s.part()}) {
		if err != nil {
			return err
		}
		n++
	}
	if n != s.Deprecated {
		c.Report("%s: counts %d deprecated versions and has %d", what, s.Deprecated, n)
	}
	if s.HasPolicy {
		if _, err := Policies.Load(c.Tx, s.part()); errors.Is(err, table.ErrNotFound) {
			c.Report("%s: its resource policy is missing", what)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (c checker) run(u *Run) error {
	owner, err := ownerOf(c.Tx, u.Account, u.Region, u.Name, u.UID)
	if err != nil {
		return err
	}
	what := "rotation of " + u.ARN
	switch {
	case owner == nil:
		c.Report("%s: its secret does not exist", what)
	case owner.Rotation == nil || owner.Rotation.Running != u.Version:
		c.Report("%s: the secret knows nothing of its version %s", what, u.Version)
	case owner.labelled(u.Version) == nil:
		c.Report("%s: its version %s has no label", what, u.Version)
	}
	if u.Step < 0 || u.Step >= len(Steps) || u.Test && u.Step != testStep {
		c.Report("%s: it is at step %d", what, u.Step)
	}
	return nil
}

func (c checker) history(h *History) error {
	owner, err := ownerOf(c.Tx, h.Account, h.Region, h.Name, h.UID)
	if err == nil && (owner == nil || owner.Rotation == nil) {
		c.Report("history of rotations of %s/%s/%s: no secret has it", h.Account, h.Region, h.Name)
	}
	return err
}

// stored checks that a version has all it needs to give its value.
func (c checker) stored(what, account, region, uid string, v *Version) error {
	if v.Kind == noValue {
		return nil
	}
	if len(v.DataKey) == 0 {
		c.Report("%s: has no data key", what)
	}
	if len(v.Value) > 0 {
		return nil
	}
	_, err := Values.Load(c.Tx, table.K(account, region, uid, v.ID))
	if errors.Is(err, table.ErrNotFound) {
		c.Report("%s: its value is missing", what)
		return nil
	}
	return err
}

func (c checker) value(v *Value) error {
	what := fmt.Sprintf("value of version %s of %s/%s/%s", v.Version, v.Account, v.Region, v.Name)
	d, err := DeprecatedVersions.Load(c.Tx, table.K(v.Account, v.Region, v.UID, v.Version))
	var owned *Version
	switch {
	case err == nil:
		owned = &d.Version
	case !errors.Is(err, table.ErrNotFound):
		return err
	default:
		owner, err := ownerOf(c.Tx, v.Account, v.Region, v.Name, v.UID)
		if err != nil {
			return err
		}
		if owner != nil {
			owned = owner.labelled(v.Version)
		}
	}
	switch {
	case owned == nil:
		c.Report("%s: no version has it", what)
	case len(owned.Value) > 0:
		c.Report("%s: the version has its value in its own row", what)
	}
	return nil
}

// ownerOf is the secret that rows with these marks belong to; nil if it is gone.
func ownerOf(tx *table.Tx, account, region, name, uid string) (*Secret, error) {
	s, err := Secrets.Load(tx, table.K(account, region, name))
	if errors.Is(err, table.ErrNotFound) || err == nil && s.UID != uid {
		return nil, nil
	}
	return s, err
}
