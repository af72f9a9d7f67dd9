package lambda

import (
	"errors"
	"fmt"
	"slices"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
)

const (
	textPrincipal     = "The provided principal was invalid. Please check the principal and try again."
	textSourceARN     = "The provided source ARN was invalid. Please check the source ARN and try again."
	textLatestPolicy  = "We currently do not support adding policies for $LATEST."
	textSID           = "The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement."
	textPolicySize    = "The final policy size (%d) is bigger than the limit (%d)."
	textNoStatement   = "Statement %s is not found in resource policy."
	textURLAuth       = "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"
	textPolicyRevised = "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id"
)

func (s *Service) policyOperations() []api.Bound {
	return []api.Bound{
		api.Bind(lambdaapi.AddPermission, s.resolveAddPermission, addPermission),
		api.Bind(lambdaapi.GetPolicy, s.resolveGetPolicy, getPolicy),
		api.Bind(lambdaapi.RemovePermission, s.resolveRemovePermission, removePermission),
	}
}

// onPolicy resolves operations on the policy of a function, version or alias.
func (s *Service) onPolicy(r *api.Request, name, qualifier *string, find func(reference) (*target, error)) (*target, api.Access, error) {
	ref, err := parseQualified(r, api.Value(name), qualifier)
	if err != nil {
		return nil, api.Access{}, err
	}
	t, err := find(ref)
	if err != nil {
		return nil, api.Access{}, err
	}
	t.qualified()
	a, err := t.access()
	return t, a, err
}

func (s *Service) resolveAddPermission(r *api.Request, in *lambdaapi.AddPermissionInput) (*target, api.Access, error) {
	return s.onPolicy(r, in.FunctionName, in.Qualifier, func(ref reference) (*target, error) { return s.write(r, ref) })
}

func (s *Service) resolveRemovePermission(r *api.Request, in *lambdaapi.RemovePermissionInput) (*target, api.Access, error) {
	return s.onPolicy(r, in.FunctionName, in.Qualifier, func(ref reference) (*target, error) { return s.write(r, ref) })
}

func (s *Service) resolveGetPolicy(r *api.Request, in *lambdaapi.GetPolicyInput) (*target, api.Access, error) {
	return s.onPolicy(r, in.FunctionName, in.Qualifier, func(ref reference) (*target, error) { return s.read(r, r.Tx, ref) })
}

// holder is the function whose policy, or whose version's or alias's, is meant.
func (t *target) holder() (*Function, error) {
	f, err := t.existing()
	if err == nil {
		_, _, err = t.found()
	}
	return f, err
}

func addPermission(r *api.Request, in *lambdaapi.AddPermissionInput, t *target) (*lambdaapi.AddPermissionOutput, error) {
	if t.reference.qualifier == latest {
		return nil, lambdaapi.InvalidParameterValueException(textLatestPolicy)
	}
	f, err := t.holder()
	if err != nil {
		return nil, err
	}
	p := &Permissions{Account: f.Account, Region: f.Region, UID: f.UID, Qualifier: t.qualifier}
	if old, err := f.permissions(r.Tx, t.qualifier); err != nil {
		return nil, err
	} else if old != nil {
		p.Statements = slices.Clone(old.Statements)
	}
	if err := t.unrevised(in.RevisionId); err != nil {
		return nil, err
	}
	if p.index(*in.StatementId) >= 0 {
		return nil, lambdaapi.ResourceConflictException(fmt.Sprintf(textSID, *in.StatementId))
	}
	shown, err := p.add(r, t.arn, in)
	if err != nil {
		return nil, err
	}
	if err := Policies.Put(r.Tx, p); err != nil {
		return nil, err
	}
	return &lambdaapi.AddPermissionOutput{Statement: &shown}, t.revise(r, true)
}

// add adds the statement that a request describes.
func (p *Permissions) add(r *api.Request, resource string, in *lambdaapi.AddPermissionInput) (shown string, err error) {
	if in.FunctionUrlAuthType != nil && *in.Action != "lambda:InvokeFunctionUrl" {
		return "", lambdaapi.InvalidParameterValueException(textURLAuth)
	}
	s, shown, err := asked(in, resource).statement(r)
	switch {
	case errors.Is(err, errPrincipal):
		return "", lambdaapi.InvalidParameterValueException(textPrincipal).Because(err)
	case errors.Is(err, errStatement):
		return "", lambdaapi.InvalidParameterValueException(textSourceARN).Because(err)
	case err != nil:
		return "", err
	}
	p.Statements = append(p.Statements, s)
	return shown, fits(p.Statements)
}

// asked is the statement that a request describes.
func asked(in *lambdaapi.AddPermissionInput, resource string) *permission {
	p := &permission{sid: *in.StatementId, principal: *in.Principal, action: *in.Action, resource: resource}
	when := func(operator, key string, value *string) {
		if value != nil {
			p.conditions = append(p.conditions, condition{operator, key, *value})
		}
	}
	when("StringEquals", "AWS:SourceAccount", in.SourceAccount)
	when("StringEquals", "aws:PrincipalOrgID", in.PrincipalOrgID)
	when("StringEquals", "lambda:EventSourceToken", in.EventSourceToken)
	when("StringEquals", "lambda:FunctionUrlAuthType", in.FunctionUrlAuthType)
	if api.Value(in.InvokedViaFunctionUrl) {
		when("Bool", "lambda:InvokedViaFunctionUrl", new("true"))
	}
	when("ArnLike", "AWS:SourceArn", in.SourceArn)
	return p
}

// fits refuses policies that are too long.
func fits(statements []Statement) error {
	if n := len(document(statements)); n > maxPolicy {
		return lambdaapi.PolicyLengthExceededException(fmt.Sprintf(textPolicySize, n, maxPolicy))
	}
	return nil
}

func removePermission(r *api.Request, in *lambdaapi.RemovePermissionInput, t *target) (*lambdaapi.RemovePermissionOutput, error) {
	f, err := t.holder()
	if err != nil {
		return nil, err
	}
	old, err := f.permissions(r.Tx, t.qualifier)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, lambdaapi.ResourceNotFoundException(textNoResource)
	}
	at := old.index(*in.StatementId)
	if at < 0 {
		return nil, lambdaapi.ResourceNotFoundException(fmt.Sprintf(textNoStatement, *in.StatementId))
	}
	if err := t.unrevised(in.RevisionId); err != nil {
		return nil, err
	}
	left := slices.Delete(slices.Clone(old.Statements), at, at+1)
	if len(left) == 0 {
		err = Policies.Delete(r.Tx, f.part(t.qualifier))
	} else {
		err = Policies.Put(r.Tx, &Permissions{Account: f.Account, Region: f.Region, UID: f.UID, Qualifier: t.qualifier, Statements: left})
	}
	if err != nil {
		return nil, err
	}
	return &lambdaapi.RemovePermissionOutput{}, t.revise(r, len(left) > 0)
}

func getPolicy(r *api.Request, _ *lambdaapi.GetPolicyInput, t *target) (*lambdaapi.GetPolicyOutput, error) {
	switch {
	case t.builtIn != nil && t.qualifier == "":
		return &lambdaapi.GetPolicyOutput{Policy: new(builtInPolicy), RevisionId: new(t.revision())}, nil
	case t.builtIn != nil:
		return nil, lambdaapi.ResourceNotFoundException(textNoResource)
	}
	f, err := t.holder()
	if err != nil {
		return nil, err
	}
	p, err := f.permissions(r.Tx, t.qualifier)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, lambdaapi.ResourceNotFoundException(textNoResource)
	}
	text, err := r.ShowPolicy(r.Tx, document(p.Statements), nil)
	if err != nil {
		return nil, err
	}
	return &lambdaapi.GetPolicyOutput{Policy: &text, RevisionId: new(t.revision())}, nil
}

// revision is the RevisionId of what is named, which moves with its policy as well.
func (t *target) revision() string {
	if t.alias != nil {
		return t.alias.Revision
	}
	return t.version.Revision
}

// unrevised refuses a change that was made for another revision.
func (t *target) unrevised(revision *string) error {
	if revision != nil && *revision != t.revision() {
		return lambdaapi.PreconditionFailedException(textPolicyRevised)
	}
	return nil
}

// revise gives what is named another revision, and has it know whether it has a policy.
func (t *target) revise(r *api.Request, has bool) error {
	f, revision := t.function, api.NewID()
	switch {
	case t.alias != nil:
		a, err := Aliases.Load(r.Tx, f.part(t.alias.Name))
		if err != nil {
			return err
		}
		a.HasPolicy, a.Revision = has, revision
		return Aliases.Put(r.Tx, a)
	case t.version.Number != 0:
		return t.reviseVersion(r, revision, has)
	}
	f.HasPolicy, f.Latest.Revision = has, revision
	return Functions.Put(r.Tx, f)
}

func (t *target) reviseVersion(r *api.Request, revision string, has bool) error {
	p, err := Versions.Load(r.Tx, t.function.part(numberPart(t.version.Number)))
	if err != nil {
		return err
	}
	p.Version.HasPolicy, p.Version.Revision = has, revision
	return Versions.Put(r.Tx, p)
}
