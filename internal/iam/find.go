package iam

import (
	"errors"
	"strings"

	"coffer/internal/arn"
	"coffer/internal/table"
)

// first is the record of an index row, table.ErrNotFound if there is none.
func first[T any](tx *table.Tx, c *table.Collection[T], index string, key table.Key) (*T, error) {
	for e, err := range c.ScanIndex(tx, index, table.Range{Prefix: key, Exact: true}) {
		if err != nil {
			return nil, err
		}
		return c.Get(tx, e.Record)
	}
	return nil, table.ErrNotFound
}

// findUser and the like find by name, in any case. The record is shared: not to
// be changed.
func findUser(tx *table.Tx, account, name string) (*User, error) {
	return first(tx, &Users, userByName, table.K(account, fold(name)))
}

func findGroup(tx *table.Tx, account, name string) (*Group, error) {
	return first(tx, &Groups, groupByName, table.K(account, fold(name)))
}

func findRole(tx *table.Tx, account, name string) (*Role, error) {
	return first(tx, &Roles, roleByName, table.K(account, fold(name)))
}

// findPolicy finds a customer managed policy by its ARN, which has case.
func findPolicy(tx *table.Tx, text string) (*ManagedPolicy, error) {
	a, err := arn.Parse(text)
	if err != nil || a.Service != "iam" || a.Region != "" {
		return nil, table.ErrNotFound
	}
	kind, path, name := splitResource(a.Resource)
	if kind != "policy" {
		return nil, table.ErrNotFound
	}
	p, err := first(tx, &ManagedPolicies, policyByName, table.K(a.Account, fold(name)))
	if err == nil && (p.Path != path || p.Name != name) {
		return nil, table.ErrNotFound
	}
	return p, err
}

// FindRole finds a role by its ARN in a partition, in which path and name have case;
// table.ErrNotFound if there is none. The record is shared: not to be changed.
func FindRole(tx *table.Tx, partition, text string) (*Role, error) {
	a, err := arn.Parse(text)
	if err != nil || a.Service != "iam" || a.Region != "" || a.Partition != partition {
		return nil, table.ErrNotFound
	}
	kind, path, name := splitResource(a.Resource)
	if kind != "role" {
		return nil, table.ErrNotFound
	}
	r, err := findRole(tx, a.Account, name)
	if err == nil && (r.Path != path || r.Name != name) {
		return nil, table.ErrNotFound
	}
	return r, err
}

// HasPolicy reports whether text is the ARN of a managed policy that an account
// can use: one of its own, or one of AWS's.
func HasPolicy(tx *table.Tx, account, partition, text string) (bool, error) {
	if p := awsManaged(text); p != nil {
		return p.ARN(partition) == text, nil
	}
	p, err := findPolicy(tx, text)
	if errors.Is(err, table.ErrNotFound) {
		return false, nil
	}
	return err == nil && p.Account == account && p.ARN(partition) == text, err
}

// splitResource takes "role/ci/deploy" apart: "role", "/ci/", "deploy".
func splitResource(s string) (kind, path, name string) {
	kind, rest, ok := strings.Cut(s, "/")
	if !ok {
		return s, "", ""
	}
	i := strings.LastIndexByte(rest, '/')
	return kind, "/" + rest[:i+1], rest[i+1:]
}
