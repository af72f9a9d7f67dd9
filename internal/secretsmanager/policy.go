package secretsmanager

import (
	"errors"
	"fmt"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Texts of the documentation, and of public logs (spec §8).
const (
	textPolicySyntax    = "This resource policy contains a syntax error."
	textPolicyPrincipal = "This resource policy contains an unsupported principal."
	textPolicyService   = "This resource policy contains an unsupported service principal."
	textPolicyPublic    = "You can't attach a resource-based policy that allows broad access to the secret."
	textPolicyLockout   = "Your requested changes will not allow you to manage this secret in the future."
)

// The names of ValidateResourcePolicy's checks are ours: no answer of AWS with
// one is on record.
const (
	checkSyntax  = "SYNTAX_CHECK"
	checkPublic  = "PUBLIC_POLICY_CHECK"
	checkLockout = "LOCKOUT_CHECK"
)

// policy is the secret's resource policy, nil if it has none.
func (s *Secret) policy(tx *table.Tx) (*policy.Set, error) {
	if !s.HasPolicy {
		return nil, nil
	}
	p, err := Policies.Get(tx, s.part())
	if err != nil {
		return nil, fmt.Errorf("policy of %s: %w", s.arn(), err)
	}
	if set := p.compiled.Kept(); set != nil {
		return set, nil
	}
	set, err := p.compiled.Set(p.Text, policy.Resource, p.Principals, s.arn())
	if err != nil {
		return nil, fmt.Errorf("policy of %s: %w", s.arn(), err)
	}
	return set, nil
}

func resolveGetResourcePolicy(r *api.Request, in *smapi.GetResourcePolicyInput) (*target, api.Access, error) {
	return read(r, in.SecretId)
}

func getResourcePolicy(r *api.Request, _ *smapi.GetResourcePolicyInput, t *target) (*smapi.GetResourcePolicyOutput, error) {
	s, err := t.live()
	if err != nil {
		return nil, err
	}
	out := &smapi.GetResourcePolicyOutput{ARN: new(s.arn()), Name: new(s.Name)}
	if !s.HasPolicy {
		return out, nil
	}
	p, err := Policies.Get(r.Tx, s.part())
	if err != nil {
		return nil, fmt.Errorf("policy of %s: %w", s.arn(), err)
	}
	text, err := r.ShowPolicy(r.Tx, p.Text, p.Principals)
	if err != nil {
		return nil, err
	}
	out.ResourcePolicy = &text
	return out, nil
}

func resolvePutResourcePolicy(r *api.Request, in *smapi.PutResourcePolicyInput) (*target, api.Access, error) {
	return write(r, in.SecretId)
}

func putResourcePolicy(r *api.Request, in *smapi.PutResourcePolicyInput, t *target) (*smapi.PutResourcePolicyOutput, error) {
	s, err := t.live()
	if err != nil {
		return nil, err
	}
	doc, ids, err := parsePolicy(r, *in.ResourcePolicy)
	if err != nil {
		return nil, err
	}
	if _, public := doc.Public(); public && api.Value(in.BlockPublicPolicy) {
		return nil, smapi.PublicPolicyException(textPolicyPublic)
	}
	if doc.LocksOut(about(r, s.arn())) {
		return nil, smapi.InvalidRequestException(textPolicyLockout)
	}
	err = Policies.Put(r.Tx, &Policy{
		Account: s.Account, Region: s.Region, UID: s.UID, Name: s.Name, Text: *in.ResourcePolicy, Principals: ids,
	})
	if err != nil {
		return nil, err
	}
	s.HasPolicy = true
	return &smapi.PutResourcePolicyOutput{ARN: new(s.arn()), Name: new(s.Name)}, save(r, s)
}

// parsePolicy checks the grammar, and that the principals exist: it binds them
// and returns their unique ids. What exactly is wrong stays in the log: the
// service has one fixed text for each kind of fault.
func parsePolicy(r *api.Request, text string) (*policy.Document, map[string]string, error) {
	doc, err := policy.Parse([]byte(text), policy.Resource)
	if err != nil {
		what := textPolicySyntax
		if se, ok := errors.AsType[*policy.SyntaxError](err); ok {
			switch se.Fault {
			case policy.FaultPrincipal:
				what = textPolicyPrincipal
			case policy.FaultService:
				what = textPolicyService
			}
		}
		return nil, nil, smapi.MalformedPolicyDocumentException(what).Because(err)
	}
	found, err := r.FindPrincipals(doc)
	if err != nil {
		return nil, nil, err
	}
	if found.Unknown != "" {
		return nil, nil, smapi.MalformedPolicyDocumentException(textPolicyPrincipal).Because(fault.Reason("no such principal: " + found.Unknown))
	}
	doc.Bind(found.IDs)
	return doc, found.IDs, nil
}

// about is the question whether the caller could still manage the secret.
func about(r *api.Request, resource string) *policy.Request {
	return &policy.Request{Caller: r.Principal.Caller, Resource: resource}
}

func resolveDeleteResourcePolicy(r *api.Request, in *smapi.DeleteResourcePolicyInput) (*target, api.Access, error) {
	return write(r, in.SecretId)
}

// deleteResourcePolicy succeeds without a policy, too: deleting is idempotent.
func deleteResourcePolicy(r *api.Request, _ *smapi.DeleteResourcePolicyInput, t *target) (*smapi.DeleteResourcePolicyOutput, error) {
	s, err := t.live()
	if err != nil {
		return nil, err
	}
	out := &smapi.DeleteResourcePolicyOutput{ARN: new(s.arn()), Name: new(s.Name)}
	if !s.HasPolicy {
		return out, nil
	}
	if err := Policies.Delete(r.Tx, s.part()); err != nil {
		return nil, err
	}
	s.HasPolicy = false
	return out, save(r, s)
}

// resolveValidateResourcePolicy: the caller needs the permission to put the
// policy as well as to validate it (API reference of ValidateResourcePolicy).
func resolveValidateResourcePolicy(r *api.Request, in *smapi.ValidateResourcePolicyInput) (*target, api.Access, error) {
	var t *target
	access := everything(r)
	if in.SecretId != nil {
		var err error
		if t, access, err = read(r, in.SecretId); err != nil {
			return t, access, err
		}
	}
	put := access
	put.Action = smapi.PutResourcePolicy.Action()
	access.Also = []api.Access{put}
	return t, access, nil
}

func validateResourcePolicy(r *api.Request, in *smapi.ValidateResourcePolicyInput, t *target) (*smapi.ValidateResourcePolicyOutput, error) {
	resource := "*"
	if in.SecretId != nil {
		s, err := t.live()
		if err != nil {
			return nil, err
		}
		resource = s.arn()
	}
	out := &smapi.ValidateResourcePolicyOutput{ValidationErrors: []smapi.ValidationErrorsEntry{}}
	fail := func(check, text string) {
		out.ValidationErrors = append(out.ValidationErrors, smapi.ValidationErrorsEntry{CheckName: &check, ErrorMessage: &text})
	}
	doc, _, err := parsePolicy(r, *in.ResourcePolicy)
	if err != nil {
		f, ok := fault.As(err)
		if !ok {
			return nil, err
		}
		fail(checkSyntax, f.Message)
	} else {
		if _, public := doc.Public(); public {
			fail(checkPublic, textPolicyPublic)
		}
		if doc.LocksOut(about(r, resource)) {
			fail(checkLockout, textPolicyLockout)
		}
	}
	out.PolicyValidationPassed = new(len(out.ValidationErrors) == 0)
	return out, nil
}
