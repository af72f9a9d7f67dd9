package kms

import (
	"context"
	"errors"
	"fmt"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Check is the service's part of fsck: it follows every reference between rows
// and opens every material. report gets one sentence per finding, naming the
// row. The error is of the store, and ends the check. tx must be a View's.
func (s *Service) Check(ctx context.Context, tx *table.Tx, report func(format string, args ...any)) error {
	for e, err := range Keys.Scan(tx, table.Range{}) {
		if errors.Is(err, table.ErrDamaged) {
			report("kms.key: %v; the keys behind it are not checked", err)
			break
		}
		if err != nil {
			return err
		}
		if err := s.checkKey(ctx, tx, e.Value, func(format string, args ...any) {
			report("kms.key %v: "+format, append([]any{e.Value.ARN}, args...)...)
		}); err != nil {
			return err
		}
	}
	for e, err := range Aliases.Scan(tx, table.Range{}) {
		if errors.Is(err, table.ErrDamaged) {
			report("kms.alias: %v; the aliases behind it are not checked", err)
			break
		}
		if err != nil {
			return err
		}
		a := e.Value
		if !isAliasName(a.Name) {
			report("kms.alias %q of %s in %s: no alias can have that name", a.Name, a.Account, a.Region)
		}
		if err := exists(Keys.Load(tx, table.K(a.Account, a.Region, a.KeyID))); err != nil {
			report("kms.alias %s of %s in %s: its key %s: %v", a.Name, a.Account, a.Region, a.KeyID, err)
		}
	}
	for e, err := range Policies.Scan(tx, table.Range{}) {
		if errors.Is(err, table.ErrDamaged) {
			report("kms.policy: %v; the policies behind it are not checked", err)
			break
		}
		if err != nil {
			return err
		}
		p := e.Value
		if err := exists(Keys.Load(tx, e.Key)); err != nil {
			report("kms.policy of key %s of %s in %s: the key: %v", p.KeyID, p.Account, p.Region, err)
		}
		if _, err := policy.Parse([]byte(p.Text), policy.Key); err != nil {
			report("kms.policy of key %s of %s in %s: %v", p.KeyID, p.Account, p.Region, err)
		}
	}
	return nil
}

func exists[T any](_ *T, err error) error { return err }

func (s *Service) checkKey(ctx context.Context, tx *table.Tx, k *Key, report func(format string, args ...any)) error {
	at := api.Request{Region: k.Region}
	if !isKeyID(k.ID) || k.ARN != keyARN(&at, k.Account, k.ID) {
		report("its ARN does not fit %s in %s of %s", k.ID, k.Region, k.Account)
	}
	switch k.State {
	case enabled, disabled:
		if k.Deletion != 0 {
			report("has a deletion date, but its state is %s", k.State)
		}
	case pendingDeletion:
		if k.Deletion == 0 {
			report("waits for deletion without a date")
		}
	default:
		report("has state %q", k.State)
	}
	if k.Spec != kmsapi.KeySpecSymmetricDefault || k.Usage != kmsapi.KeyUsageTypeEncryptDecrypt || k.Origin != kmsapi.OriginTypeAwsKms {
		report("is of a kind that does not exist yet: %s, %s, %s", k.Spec, k.Usage, k.Origin)
	}
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
	if len(k.Materials) == 0 {
		report("has no material")
	}
	// Whoever runs fsck holds the root key and the store; the decision stands
	// for the key's owner.
	root := "arn:" + at.Partition() + ":iam::" + k.Account + ":root"
	decision := policy.Evaluate(&policy.Request{
		Caller: policy.Caller{Type: policy.Root, ARN: root, Account: k.Account, Entity: root, ID: k.Account},
		Action: "kms:Encrypt", Resource: k.ARN, ResourceAccount: k.Account,
	}, &policy.Policies{})
	seen := make(map[string]bool, len(k.Materials))
	for i := range k.Materials {
		m := &k.Materials[i]
		if seen[m.ID] {
			report("has material %s twice", m.ID)
		}
		seen[m.ID] = true
		// Material cannot be looked at from here; what encrypts is sound.
		if _, err := s.material.Encrypt(ctx, decision.Allowed, k.ID, m.wrapped(), []byte{0}, nil); err != nil {
			report("material %s: %v", m.ID, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
