package iam

import (
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

// splitResource takes "role/ci/deploy" apart: "role", "/ci/", "deploy".
func splitResource(s string) (kind, path, name string) {
	kind, rest, ok := strings.Cut(s, "/")
	if !ok {
		return s, "", ""
	}
	i := strings.LastIndexByte(rest, '/')
	return kind, "/" + rest[:i+1], rest[i+1:]
}
