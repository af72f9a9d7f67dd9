// Package iamtest lets the tests of services decide as the gateway does,
// without a gateway.
package iamtest

import (
	"context"
	"errors"

	"coffer/internal/api"
	"coffer/internal/arn"
	"coffer/internal/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Directory is api.Directory over tables in which every account exists.
type Directory struct {
	*iam.Directory
	Keys func(tx *table.Tx, account, region, alias string) (string, error) // of package kms; nil: no alias exists
}

// NewDirectory returns a Directory without keys.
func NewDirectory() Directory {
	return Directory{Directory: iam.NewDirectory(iam.DirectoryConfig{AnyAccount: true})}
}

// KeyARN implements api.Directory.
func (d Directory) KeyARN(tx *table.Tx, account, region, alias string) (string, error) {
	if d.Keys == nil {
		return "", nil
	}
	return d.Keys(tx, account, region, alias)
}

// Root is the root of an account, as it calls a region.
func Root(account, region string) api.Principal {
	root := "arn:" + arn.Partition(region) + ":iam::" + account + ":root"
	return api.Principal{Caller: policy.Caller{Type: policy.Root, ARN: root, Account: account, Entity: root, ID: account}}
}

// Reader is api.Request.Read over db.
func Reader(db *table.DB) func(func(*table.Tx) error) error {
	return func(f func(*table.Tx) error) error { return db.View(context.Background(), f) }
}

// Authorize decides one access as the gateway does.
func (d Directory) Authorize(r *api.Request, a *api.Access) (policy.Allowed, error) {
	var out iam.Verdict
	standing, err := d.Load(r.Tx, &r.Principal)
	if err == nil {
		err = d.Directory.Authorize(r, a, standing, &out)
	}
	if err == nil && !out.Allowed.Valid() {
		err = iam.Denied(a, &out)
	}
	return out.Allowed, err
}

// Decider decides an access and all that hang on it, and leaves the proofs in r.
func (d Directory) Decider(r *api.Request) func(*api.Access) error {
	return func(a *api.Access) error {
		own, err := d.Authorize(r, a)
		if err != nil {
			return err
		}
		var also []policy.Allowed
		for i := range a.Also {
			p, err := d.Authorize(r, &a.Also[i])
			if err != nil {
				return err
			}
			also = append(also, p)
		}
		r.Allowed, r.AlsoAllowed = own, also
		return nil
	}
}

// Count counts things that a test puts into an account itself, one of each kind ("user",
// "role", "policy"), so that fsck finds as many as are counted.
func Count(tx *table.Tx, account string, kinds ...string) error {
	for _, kind := range kinds {
		c, err := iam.Counts.Load(tx, table.K(account, kind))
		if errors.Is(err, table.ErrNotFound) {
			c, err = &iam.Count{Account: account, Kind: kind}, nil
		}
		if err != nil {
			return err
		}
		c.N++
		if err := iam.Counts.Put(tx, c); err != nil {
			return err
		}
	}
	return nil
}
