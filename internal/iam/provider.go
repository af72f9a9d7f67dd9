package iam

import (
	"errors"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// providerKind is a kind of identity providers, stored by account and name.
type providerKind[T any] struct {
	resource string // in their ARNs
	absent   string // what the answer says before the ARN of one that there is not
	rows     *table.Collection[T]
	tags     func(*T) []policy.Tag
}

// providerTarget is the provider that an operation names.
type providerTarget[T any] struct {
	kind          *providerKind[T]
	arn           string
	account, name string
	provider      *T // shared; nil: there is none
}

func (k *providerKind[T]) locate(r *api.Request, text string) (t providerTarget[T], access api.Access, err error) {
	a, name, err := parseARN(text, k.resource)
	if err != nil {
		return t, access, err
	}
	t = providerTarget[T]{kind: k, arn: text, account: a.Account, name: name}
	p, err := k.rows.Get(r.Tx, table.K(t.account, t.name))
	if err != nil && !errors.Is(err, table.ErrNotFound) {
		return t, access, err
	}
	var tags []policy.Tag
	if err == nil && a.Partition == r.Partition() {
		t.provider, tags = p, k.tags(p)
	}
	return t, named(r, text, a, tags), nil
}

// onProvider resolves operations on the provider whose ARN get returns.
func onProvider[I, T any](k *providerKind[T], get func(*I) *string) func(*api.Request, *I) (providerTarget[T], api.Access, error) {
	return func(r *api.Request, in *I) (providerTarget[T], api.Access, error) { return k.locate(r, *get(in)) }
}

// found returns the provider, shared, to a caller whose action was authorized.
func (t *providerTarget[T]) found() (*T, error) {
	if t.provider == nil {
		return nil, iamapi.NoSuchEntityException(t.kind.absent + t.arn)
	}
	return t.provider, nil
}

// change puts the provider as edit makes it.
func (t *providerTarget[T]) change(r *api.Request, edit func(*T) error) error {
	if _, err := t.found(); err != nil {
		return err
	}
	p, err := t.kind.rows.Edit(r.Tx, table.K(t.account, t.name))
	if err != nil {
		return err
	}
	if err := edit(p); err != nil {
		return err
	}
	return t.kind.rows.Put(r.Tx, p)
}
