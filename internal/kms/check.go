package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Check is the service's part of fsck: it follows every reference between rows
// and opens every material. report gets one sentence per finding, naming the
// row. The error is of the store, and ends the check. tx must be a View's.
func (s *Service) Check(ctx context.Context, tx *table.Tx, report func(format string, args ...any)) error {
	c := &table.Fsck{Ctx: ctx, Tx: tx, Report: report}
	counting := &table.Fsck{Ctx: ctx, Tx: tx, Report: report} // of what is counted
	grants := make(map[string]int)                            // that keys say they have, less those they have, by ARN
	err := errors.Join(
		table.Each(counting, &Keys, func(k *Key) error {
			if k.Grants != 0 {
				grants[k.ARN] = k.Grants
			}
			return s.checkKey(ctx, tx, k, func(format string, args ...any) {
				report("kms.key %v: "+format, append([]any{k.ARN}, args...)...)
			})
		}),
		table.Each(c, &Aliases, func(a *Alias) error {
			if !isAliasName(a.Name) {
				report("kms.alias %q of %s in %s: no alias can have that name", a.Name, a.Account, a.Region)
			}
			if err := exists(Keys.Load(tx, table.K(a.Account, a.Region, a.KeyID))); err != nil {
				report("kms.alias %s of %s in %s: its key %s: %v", a.Name, a.Account, a.Region, a.KeyID, err)
			}
			return nil
		}),
		table.Each(c, &Policies, func(p *Policy) error {
			if err := exists(Keys.Load(tx, Policies.Key(p))); err != nil {
				report("kms.policy of key %s of %s in %s: the key: %v", p.KeyID, p.Account, p.Region, err)
			}
			if _, err := policy.Parse([]byte(p.Text), policy.Key); err != nil {
				report("kms.policy of key %s of %s in %s: %v", p.KeyID, p.Account, p.Region, err)
			}
			return nil
		}),
		table.Each(counting, &Grants, func(g *Grant) error {
			k, err := Keys.Get(tx, table.K(g.Account, g.Region, g.KeyID))
			if err != nil {
				report("kms.grant %s on key %s of %s in %s: the key: %v", g.ID, g.KeyID, g.Account, g.Region, err)
				return nil
			}
			grants[k.ARN]--
			if fault := g.check(k); fault != "" {
				report("kms.grant %s on %s: %s", g.ID, k.ARN, fault)
			}
			return nil
		}),
	)
	if err != nil {
		return err
	}
	if counting.Incomplete {
		report("kms.grant: how many grants keys have is not checked, because not all can be read")
		return nil
	}
	for arn, n := range grants {
		if n != 0 {
			report("kms.key %s: has %d grants fewer than it counts", arn, n)
		}
	}
	return nil
}

// check says what is wrong with a grant on k.
func (g *Grant) check(k *Key) string {
	if len(g.ID) != 64 || !isHex(g.ID) {
		return "its id is none"
	}
	for _, p := range []*Party{&g.Grantee, g.Retiring} {
		if p == nil {
			continue
		}
		if _, ok := policy.ParsePrincipal(p.Name); p.ID == "" || !ok && p.ID != p.Name {
			return fmt.Sprintf("%q cannot be one of its principals", p.Name)
		}
	}
	if _, err := k.grantOperations(g.Operations); err != nil {
		return fmt.Sprintf("its operations %v are not for the key", g.Operations)
	}
	if g.Constraint != "" && (g.Constraint != contextEquals && g.Constraint != contextSubset || k.Spec != symmetricSpec) || g.Constraint == "" && g.Pairs != nil {
		return fmt.Sprintf("its constraint %q is not for the key", g.Constraint)
	}
	return ""
}

func exists[T any](_ *T, err error) error { return err }

func (s *Service) checkKey(ctx context.Context, tx *table.Tx, k *Key, report func(format string, args ...any)) error {
	if specs[keySpec{k.Spec, k.Usage}] == nil || k.Origin != kmsapi.OriginTypeAwsKms && !k.external() {
		report("is of a kind that there is not: %s, %s, %s", k.Spec, k.Usage, k.Origin)
	}
	at := api.Request{Region: k.Region}
	if !isKeyID(k.ID) || k.ARN != keyARN(&at, k.Account, k.ID) {
		report("its ARN does not fit %s in %s of %s", k.ID, k.Region, k.Account)
	}
	k.checkState(report)
	if (k.Period == 0) != (k.From == 0) || k.Period < 0 {
		report("its rotation period of %d days does not fit its start", k.Period)
	}
	if len(k.Tags) > maxTags {
		report("has %d tags", len(k.Tags))
	}
	if err := exists(Policies.Load(tx, keyKey(k))); err != nil {
		report("its policy: %v", err)
	}
	if k.Service != "" {
		name := reservedPrefix + k.Service
		a, err := Aliases.Load(tx, table.K(k.Account, k.Region, name))
		if err == nil && a.KeyID != k.ID {
			err = fmt.Errorf("names key %s", a.KeyID)
		}
		if err != nil {
			report("its alias %s: %v", name, err)
		}
	}
	if err := k.checkSet(tx, report); err != nil {
		return err
	}
	return s.checkMaterials(ctx, k, report)
}

func (k *Key) checkState(report func(format string, args ...any)) {
	if (k.State == pendingDeletion) != (k.Deletion != 0) {
		if k.Deletion == 0 {
			report("waits for deletion without a date")
		} else {
			report("has a deletion date, but its state is %s", k.State)
		}
	}
	if (k.State == pendingReplicaDeletion) != (k.Window != 0) {
		report("has a waiting period of %d days for its replicas, but its state is %s", k.Window, k.State)
	}
	switch k.State {
	case enabled, disabled, pendingDeletion, pendingImport:
	case pendingReplicaDeletion:
		if k.replica() || len(k.Replicas) == 0 {
			report("waits for replicas that it does not have")
		}
	default:
		report("has state %q", k.State)
	}
	// What the state is to be is said in one place; it is right if it stays.
	if k.external() {
		c := *k
		if c.settle(); c.State != k.State {
			report("has state %s, and its imported material asks for %s", k.State, c.State)
		}
	} else if k.State == pendingImport {
		report("waits for an import, but its origin is %s", k.Origin)
	}
}

// checkSet compares k with the other keys of its multi-Region set.
func (k *Key) checkSet(tx *table.Tx, report func(format string, args ...any)) error {
	if k.multiRegion() != strings.HasPrefix(k.ID, multiRegionPrefix) || !k.multiRegion() && len(k.Replicas) > 0 {
		report("its id does not fit a primary region %q and replicas %v", k.Primary, k.Replicas)
		return nil
	}
	if !k.multiRegion() {
		return nil
	}
	if slices.Contains(k.Replicas, k.Primary) || k.replica() && !slices.Contains(k.Replicas, k.Region) || !slices.IsSorted(k.Replicas) {
		report("its set has no place for it: primary region %s, replicas %v", k.Primary, k.Replicas)
	}
	for _, region := range append([]string{k.Primary}, k.Replicas...) {
		other, err := Keys.Load(tx, table.K(k.Account, region, k.ID))
		switch {
		case err != nil && !errors.Is(err, table.ErrNotFound) && !errors.Is(err, table.ErrDamaged):
			return err
		case err != nil:
			report("its set: the key in %s: %v", region, err)
		case other.Primary != k.Primary || !slices.Equal(other.Replicas, k.Replicas):
			report("its set: the key in %s has primary region %s and replicas %v, not %s and %v", region, other.Primary, other.Replicas, k.Primary, k.Replicas)
		case other.Spec != k.Spec || other.Usage != k.Usage || other.Origin != k.Origin || other.Period != k.Period || other.From != k.From:
			report("its set: the key in %s is of another kind or rotation", region)
		case !slices.EqualFunc(other.Materials, k.Materials, func(a, b Material) bool {
			return a.ID == b.ID && a.Pending == b.Pending && a.Rotation == b.Rotation
		}):
			report("its set: the key in %s has other material", region)
		}
	}
	return nil
}

func (s *Service) checkMaterials(ctx context.Context, k *Key, report func(format string, args ...any)) error {
	if len(k.Materials) == 0 && !k.external() {
		report("has no material")
	}
	if len(k.Materials) > 1 && k.Spec != symmetricSpec {
		report("is %s and has %d materials", k.Spec, len(k.Materials))
	}
	seen := make(map[string]bool, len(k.Materials))
	for i := range k.Materials {
		m := &k.Materials[i]
		if seen[m.ID] {
			report("has material %s twice", m.ID)
		}
		seen[m.ID] = true
		if m.Pending && (i == 0 || i < len(k.Materials)-1) {
			report("material %s waits for a rotation, out of its turn", m.ID)
		}
		if !k.external() && (m.Pending || m.Expires != 0 || m.Description != "") {
			report("material %s is as if it were imported", m.ID)
		}
		if m.Wrapped == nil && k.external() {
			continue // to be imported
		}
		if err := s.material.Check(ctx, k.ID, k.Spec, m.wrapped()); err != nil {
			report("material %s: %v", m.ID, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
