package lambda_test

import (
	"context"
	"strings"
	"testing"

	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/lambda"
	"coffer/internal/table"
)

// What does not fit together is found.
func TestCheck(t *testing.T) {
	t.Parallel()
	row := func(tx *table.Tx) (f *lambda.Function, err error) {
		return lambda.Functions.Load(tx, table.K(ours, here, "f"))
	}
	alias := func(tx *table.Tx, change func(*lambda.Alias)) error {
		f, err := row(tx)
		if err != nil {
			return err
		}
		a, err := lambda.Aliases.Load(tx, table.K(ours, here, f.UID, "live"))
		if err != nil {
			return err
		}
		change(a)
		return lambda.Aliases.Put(tx, a)
	}
	for _, tc := range []struct {
		rule   string
		damage func(*table.Tx) error
		want   string
	}{
		{"nothing", func(*table.Tx) error { return nil }, ""},
		{"an alias of no version", func(tx *table.Tx) error { return alias(tx, func(a *lambda.Alias) { a.Version = 9 }) }, "version 9 does not exist"},
		{"an alias of no other version", func(tx *table.Tx) error {
			return alias(tx, func(a *lambda.Alias) { a.Also = &lambda.Route{Version: 8} })
		}, "version 8 does not exist"},
		{"an alias of no function", func(tx *table.Tx) error {
			return alias(tx, func(a *lambda.Alias) { a.UID, a.Version = "none", 0 })
		}, "alias live of none: its function does not exist"},
		{"an alias without its policy", func(tx *table.Tx) error { return alias(tx, func(a *lambda.Alias) { a.HasPolicy = true }) }, "alias live"},
		{"a policy that its version does not know", func(tx *table.Tx) error {
			f, err := row(tx)
			if err != nil {
				return err
			}
			return lambda.Policies.Put(tx, &lambda.Permissions{Account: ours, Region: here, UID: f.UID, Qualifier: "1"})
		}, "version 1 of f: it says it has a policy or has none, and it is not so"},
		{"a layer that counts wrong", func(tx *table.Tx) error {
			l, err := lambda.Layers.Load(tx, table.K(ours, here, "l"))
			if err != nil {
				return err
			}
			l.Versions = 2
			return lambda.Layers.Put(tx, l)
		}, "layer l of " + ours + " in " + here + ": it counts 2 versions and has 1"},
		{"a version of no layer", func(tx *table.Tx) error { return lambda.Layers.Delete(tx, table.K(ours, here, "l")) }, "does not exist and has versions"},
		{"a reservation that is not counted", func(tx *table.Tx) error {
			f, err := row(tx)
			if err != nil {
				return err
			}
			f.Reserved = new(5)
			return lambda.Functions.Put(tx, f)
		}, "0 reserved, and has"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			c := versions(t, lambda.Config{}, 1)
			c.layer("l", "1")
			must(c, lambdaapi.CreateAlias, &lambdaapi.CreateAliasInput{FunctionName: new("f"), Name: new("live"), FunctionVersion: new("1")})
			if err := c.db.Update(context.Background(), tc.damage); err != nil {
				t.Fatal(err)
			}
			c.damaged = tc.want != ""
			found := c.check()
			if len(found) == 0 != (tc.want == "") || len(found) > 0 && !strings.Contains(strings.Join(found, "; "), tc.want) {
				t.Errorf("found %q, want %q", found, tc.want)
			}
		})
	}
}
