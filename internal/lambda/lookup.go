package lambda

import (
	"errors"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/policy"
	"coffer/internal/table"
)

const (
	textNoFunction = "Function not found: "
	textNoResource = "The resource you requested does not exist."
)

// target is what a FunctionName and a qualifier were found to name. It answers for the
// condition keys of its request.
type target struct {
	reference
	r        *api.Request
	tx       *table.Tx // that it was looked up in
	arn      string    // that access is decided on
	function *Function // nil: there is none
	builtIn  *BuiltIn  // in its stead, if it is called like one of ours
	version  *Version  // that the qualifier means, or $LATEST; nil: there is none
	alias    *Alias    // if the qualifier means one
	failed   error     // met while answering for a condition key
}

// read looks a function up for an operation that changes nothing of it: it is shared.
func (s *Service) read(r *api.Request, tx *table.Tx, ref reference) (*target, error) {
	return s.find(r, tx, ref, Functions.Get)
}

// write looks a function up to be changed.
func (s *Service) write(r *api.Request, ref reference) (*target, error) {
	return s.find(r, r.Tx, ref, Functions.Edit)
}

func (s *Service) find(r *api.Request, tx *table.Tx, ref reference, get func(*table.Tx, table.Key) (*Function, error)) (*target, error) {
	t := &target{reference: ref, r: r, tx: tx, arn: functionARN(ref.region, ref.account, ref.name)}
	f, err := get(tx, table.K(ref.account, ref.region, ref.name))
	if errors.Is(err, table.ErrNotFound) {
		if t.builtIn = s.builtIns[ref.name]; t.builtIn != nil && (ref.qualifier == "" || ref.qualifier == latest) {
			t.version = t.builtIn.in(ref.account, ref.region, s.builtInRoleARN)
		}
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	t.function = f
	return t, t.qualify(tx)
}

// qualify finds what the qualifier means.
func (t *target) qualify(tx *table.Tx) (err error) {
	n, isNumber := number(t.qualifier)
	switch {
	case t.qualifier == "" || t.qualifier == latest:
		t.version = &t.function.Latest
	case isNumber:
		t.version, err = t.function.published(tx, n)
	default:
		if t.alias, err = t.function.alias(tx, t.qualifier); t.alias != nil && err == nil {
			t.version, err = t.function.published(tx, t.alias.Version)
		}
	}
	return err
}

// published is a version by its number, 0 for $LATEST; nil if there is none.
func (f *Function) published(tx *table.Tx, n int) (*Version, error) {
	if n == 0 {
		return &f.Latest, nil
	}
	p, err := Versions.Get(tx, f.part(numberPart(n)))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &p.Version, nil
}

// qualified makes the qualifier part of what access is decided on, as AWS does for
// invocations and permissions ("Resources and conditions for Lambda actions").
func (t *target) qualified() { t.arn = t.reference.arn() }

// access is what the caller must be allowed to do.
func (t *target) access() (api.Access, error) {
	a := api.Access{Resource: t.arn, Account: t.account, Named: t.arn, Keys: t}
	if t.function != nil {
		a.Tags = t.function.Tags
	}
	if t.account == t.r.Principal.Account || crossAccount[t.r.Op] {
		var err error
		if a.Policy, err = t.policy(); err != nil {
			return a, err
		}
	}
	return a, nil
}

// policy is the resource policy of what is decided on: of the function, or of one
// version or alias, which has one of its own. nil for none.
func (t *target) policy() (*policy.Set, error) {
	qualified := t.arn != functionARN(t.region, t.account, t.name)
	switch {
	case t.builtIn != nil && !qualified:
		return t.builtIn.policy()
	case t.function == nil:
		return nil, nil
	case !qualified && t.function.HasPolicy:
		return t.function.policy(t.tx, "")
	case qualified && t.alias != nil && t.alias.HasPolicy,
		qualified && t.alias == nil && t.version != nil && t.version.Number != 0 && t.version.HasPolicy:
		return t.function.policy(t.tx, t.qualifier)
	}
	return nil, nil
}

// crossAccount are the operations that a policy can allow to callers of other
// accounts ("Granting Lambda function access to other accounts").
var crossAccount = map[*api.Operation]bool{
	lambdaapi.CreateAlias.Operation: true, lambdaapi.DeleteAlias.Operation: true, lambdaapi.DeleteFunction.Operation: true,
	lambdaapi.DeleteFunctionConcurrency.Operation: true, lambdaapi.GetAlias.Operation: true, lambdaapi.GetFunction.Operation: true,
	lambdaapi.GetFunctionConcurrency.Operation: true, lambdaapi.GetFunctionConfiguration.Operation: true, lambdaapi.GetPolicy.Operation: true,
	lambdaapi.Invoke.Operation: true, lambdaapi.ListAliases.Operation: true, lambdaapi.ListTags.Operation: true,
	lambdaapi.ListVersionsByFunction.Operation: true, lambdaapi.PublishVersion.Operation: true, lambdaapi.PutFunctionConcurrency.Operation: true,
	lambdaapi.TagResource.Operation: true, lambdaapi.UntagResource.Operation: true, lambdaapi.UpdateAlias.Operation: true,
	lambdaapi.UpdateFunctionCode.Operation: true,
}

// existing is the function, for operations on what users have made.
func (t *target) existing() (*Function, error) {
	switch {
	case t.function != nil:
		return t.function, nil
	case t.builtIn != nil:
		return nil, t.builtIn.fixed()
	}
	return nil, lambdaapi.ResourceNotFoundException(textNoFunction + functionARN(t.region, t.account, t.name))
}

// found is the version that was named: of a function, or of a built-in one, for
// which there is no Function.
func (t *target) found() (*Function, *Version, error) {
	if t.version == nil {
		return nil, nil, lambdaapi.ResourceNotFoundException(textNoFunction + t.reference.arn())
	}
	return t.function, t.version, nil
}

// everything is the access of operations that are about no resource.
func everything(r *api.Request) api.Access {
	return api.Access{Account: r.Account, Named: "*", Keys: &target{r: r}}
}

// onFunction resolves operations on a whole function that change nothing.
func (s *Service) onFunction(r *api.Request, name *string) (*target, api.Access, error) {
	return s.resolve(r, name, func(ref reference) (*target, error) { return s.read(r, r.Tx, ref) })
}

// changeFunction resolves operations that change a function.
func (s *Service) changeFunction(r *api.Request, name *string) (*target, api.Access, error) {
	return s.resolve(r, name, func(ref reference) (*target, error) { return s.write(r, ref) })
}

func (s *Service) resolve(r *api.Request, name *string, find func(reference) (*target, error)) (*target, api.Access, error) {
	ref, err := parseUnqualified(r, api.Value(name))
	if err != nil {
		return nil, api.Access{}, err
	}
	t, err := find(ref)
	if err != nil {
		return nil, api.Access{}, err
	}
	a, err := t.access()
	return t, a, err
}

// onVersion resolves operations on a function or one of its versions and aliases that
// change nothing. Access is decided on the function.
func (s *Service) onVersion(r *api.Request, name, qualifier *string) (*target, api.Access, error) {
	ref, err := parseQualified(r, api.Value(name), qualifier)
	if err != nil {
		return nil, api.Access{}, err
	}
	t, err := s.read(r, r.Tx, ref)
	if err != nil {
		return nil, api.Access{}, err
	}
	a, err := t.access()
	return t, a, err
}
