package lambda

import (
	"errors"
	"fmt"
	"strings"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/table"
)

const (
	textDeleteLatest  = "$LATEST version cannot be deleted without deleting the function."
	textDeleteAlias   = "Aliases are deleted by DeleteAlias: give the number of a version as Qualifier."
	textDeleteAliased = "Unable to delete version because the following aliases reference it: [%s]"

	// What one transaction of the purge removes. A version refers to up to six packages.
	purgeVersions = 3
	purgeRows     = 20
)

// resolveDeleteFunction: of one version, it is that version which access is decided on.
func (s *Service) resolveDeleteFunction(r *api.Request, in *lambdaapi.DeleteFunctionInput) (*target, api.Access, error) {
	ref, err := parseQualified(r, *in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, api.Access{}, err
	}
	t, err := s.write(r, ref)
	if err != nil {
		return nil, api.Access{}, err
	}
	a, err := t.access()
	return t, a, err
}

func (s *Service) deleteFunction(r *api.Request, _ *lambdaapi.DeleteFunctionInput, t *target) (*lambdaapi.DeleteFunctionOutput, error) {
	f, err := t.existing()
	if err != nil {
		return nil, err
	}
	out := &lambdaapi.DeleteFunctionOutput{StatusCode: new(int64(204))}
	n, isNumber := number(t.qualifier)
	switch {
	case t.qualifier == "":
		return out, s.deleteWhole(r, f)
	case t.qualifier == latest:
		return nil, lambdaapi.InvalidParameterValueException(textDeleteLatest)
	case !isNumber:
		return nil, lambdaapi.InvalidParameterValueException(textDeleteAlias)
	case t.version == nil:
		_, _, err := t.found()
		return nil, err
	}
	if err := f.unreferenced(r.Tx, n); err != nil {
		return nil, err
	}
	a, err := account(r.Tx, f.Account, f.Region)
	if err != nil {
		return nil, err
	}
	if err := f.deleteVersion(r, a, t.version); err != nil {
		return nil, err
	}
	return out, Accounts.Put(r.Tx, a)
}

// unreferenced checks that no alias stands for a version.
func (f *Function) unreferenced(tx *table.Tx, n int) error {
	by, err := f.aliasesOf(tx, n)
	if err != nil {
		return err
	}
	if len(by) > 0 {
		return lambdaapi.ResourceConflictException(fmt.Sprintf(textDeleteAliased, strings.Join(by, ", ")))
	}
	return nil
}

// deleteVersion removes a published version with its policy. The account is the caller's
// to put.
func (f *Function) deleteVersion(r *api.Request, a *Account, v *Version) error {
	if err := drop(r, a, v); err != nil {
		return err
	}
	if err := errors.Join(Policies.Delete(r.Tx, f.part(v.name())), EventConfigs.Delete(r.Tx, f.part(v.name()))); err != nil {
		return err
	}
	return Versions.Delete(r.Tx, f.part(numberPart(v.Number)))
}

// deleteWhole removes a function. Its versions, aliases and policies can be many: they
// are removed later. Nothing finds them any more, as no other function ever has its UID.
func (s *Service) deleteWhole(r *api.Request, f *Function) error {
	a, err := account(r.Tx, f.Account, f.Region)
	if err != nil {
		return err
	}
	a.Functions--
	if f.Reserved != nil {
		a.Reserved -= *f.Reserved
	}
	if err := drop(r, a, &f.Latest); err != nil {
		return err
	}
	if err := Accounts.Put(r.Tx, a); err != nil {
		return err
	}
	if err := Functions.Delete(r.Tx, f.key()); err != nil {
		return err
	}
	return Purges.Put(r.Tx, &Purge{Account: f.Account, Region: f.Region, UID: f.UID})
}

// purge removes some of what a deleted function had.
func (s *Service) purge(r *api.Request) (more bool, err error) {
	for e, err := range Purges.Scan(r.Tx, table.Range{}) {
		if err != nil {
			return false, err
		}
		return true, purgeSome(r, e.Value)
	}
	return false, nil
}

func purgeSome(r *api.Request, p *Purge) error {
	f := &Function{Account: p.Account, Region: p.Region, UID: p.UID}
	rest := table.Range{Prefix: f.part()}
	r.Region = p.Region // packages are found by it
	a, err := account(r.Tx, p.Account, p.Region)
	if err != nil {
		return err
	}
	n := 0
	for e, err := range Versions.Scan(r.Tx, rest) {
		if err != nil {
			return err
		}
		if n++; n > purgeVersions {
			break
		}
		if err := f.deleteVersion(r, a, &e.Value.Version); err != nil {
			return err
		}
	}
	if n > 0 {
		return Accounts.Put(r.Tx, a)
	}
	if done, err := purgeOf(r.Tx, &Aliases, rest); !done || err != nil {
		return err
	}
	if done, err := purgeOf(r.Tx, &Policies, rest); !done || err != nil {
		return err
	}
	if done, err := purgeOf(r.Tx, &EventConfigs, rest); !done || err != nil {
		return err
	}
	return Purges.Delete(r.Tx, table.K(p.Account, p.Region, p.UID))
}

// purgeOf removes some rows of a collection, and reports whether there were none.
func purgeOf[T any](tx *table.Tx, c *table.Collection[T], rng table.Range) (done bool, err error) {
	var keys []table.Key
	for e, err := range c.Scan(tx, rng) {
		if err != nil {
			return false, err
		}
		if keys = append(keys, e.Key); len(keys) == purgeRows {
			break
		}
	}
	for _, k := range keys {
		err = errors.Join(err, c.Delete(tx, k))
	}
	return len(keys) == 0, err
}
