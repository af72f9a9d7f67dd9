package iam

import (
	"cmp"
	"slices"
	"strings"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/arn"
	"coffer/internal/table"
)

// maxAttached is how many managed policies a user, group or role can have ("IAM and
// AWS STS quotas"; AWS raises it on request).
const maxAttached = 10

func (s *Service) attachmentOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.AttachUserPolicy, resolveAttachUserPolicy, attachUserPolicy),
		api.Bind(iamapi.AttachGroupPolicy, resolveAttachGroupPolicy, attachGroupPolicy),
		api.Bind(iamapi.AttachRolePolicy, resolveAttachRolePolicy, attachRolePolicy),
		api.Bind(iamapi.DetachUserPolicy, resolveDetachUserPolicy, detachUserPolicy),
		api.Bind(iamapi.DetachGroupPolicy, resolveDetachGroupPolicy, detachGroupPolicy),
		api.Bind(iamapi.DetachRolePolicy, resolveDetachRolePolicy, detachRolePolicy),
		api.Bind(iamapi.ListAttachedUserPolicies, resolveListAttachedUserPolicies, listAttachedUserPolicies),
		api.Bind(iamapi.ListAttachedGroupPolicies, resolveListAttachedGroupPolicies, listAttachedGroupPolicies),
		api.Bind(iamapi.ListAttachedRolePolicies, resolveListAttachedRolePolicies, listAttachedRolePolicies),
	}
}

// withPolicy completes the access of an operation that attaches or detaches:
// iam:PolicyARN.
func withPolicy[T any](t *T, e *entity, policyARN string) (*T, api.Access, error) {
	if _, _, err := parseARN(policyARN, "policy"); err != nil {
		return nil, api.Access{}, err
	}
	e.policy = policyARN
	return t, e.access(), nil
}

func userWithPolicy(r *api.Request, name, policyARN string) (*userTarget, api.Access, error) {
	t, err := locateUser(r, name)
	if err != nil {
		return nil, api.Access{}, err
	}
	return withPolicy(t, &t.entity, policyARN)
}

func groupWithPolicy(r *api.Request, name, policyARN string) (*groupTarget, api.Access, error) {
	t, err := locateGroup(r, name)
	if err != nil {
		return nil, api.Access{}, err
	}
	return withPolicy(t, &t.entity, policyARN)
}

func roleWithPolicy(r *api.Request, name, policyARN string) (*roleTarget, api.Access, error) {
	t, err := locateRole(r, name)
	if err != nil {
		return nil, api.Access{}, err
	}
	return withPolicy(t, &t.entity, policyARN)
}

// attach returns the policies attached to an entity with one more; quota is AWS's name of
// the limit. One that is attached stays as it is.
func attach(r *api.Request, attached []string, policyARN, quota string) ([]string, error) {
	ok, err := usable(r, policyARN)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, iamapi.NoSuchEntityException("Policy " + policyARN + " does not exist or is not attachable.")
	case slices.Contains(attached, policyARN):
		return attached, nil
	case len(attached) >= maxAttached:
		return nil, quotaExceeded(quota, maxAttached)
	}
	return append(attached, policyARN), countUse(r.Tx, r.Account, policyARN, func(u *PolicyUse) { u.Attached++ })
}

// detach returns the policies attached to an entity without one.
func detach(r *api.Request, attached []string, policyARN string) ([]string, error) {
	i := slices.Index(attached, policyARN)
	if i < 0 {
		return nil, noSuchPolicy(policyARN)
	}
	return slices.Delete(attached, i, i+1), countUse(r.Tx, r.Account, policyARN, func(u *PolicyUse) { u.Attached-- })
}

func resolveAttachUserPolicy(r *api.Request, in *iamapi.AttachUserPolicyInput) (*userTarget, api.Access, error) {
	return userWithPolicy(r, *in.UserName, *in.PolicyArn)
}

func attachUserPolicy(r *api.Request, in *iamapi.AttachUserPolicyInput, t *userTarget) (*iamapi.AttachUserPolicyOutput, error) {
	u, err := t.edit()
	if err != nil {
		return nil, err
	}
	if u.Attached, err = attach(r, u.Attached, *in.PolicyArn, "PoliciesPerUser"); err != nil {
		return nil, err
	}
	return &iamapi.AttachUserPolicyOutput{}, t.put(u)
}

func resolveAttachGroupPolicy(r *api.Request, in *iamapi.AttachGroupPolicyInput) (*groupTarget, api.Access, error) {
	return groupWithPolicy(r, *in.GroupName, *in.PolicyArn)
}

func attachGroupPolicy(r *api.Request, in *iamapi.AttachGroupPolicyInput, t *groupTarget) (*iamapi.AttachGroupPolicyOutput, error) {
	g, err := t.edit()
	if err != nil {
		return nil, err
	}
	if g.Attached, err = attach(r, g.Attached, *in.PolicyArn, "PoliciesPerGroup"); err != nil {
		return nil, err
	}
	return &iamapi.AttachGroupPolicyOutput{}, t.put(g)
}

func resolveAttachRolePolicy(r *api.Request, in *iamapi.AttachRolePolicyInput) (*roleTarget, api.Access, error) {
	return roleWithPolicy(r, *in.RoleName, *in.PolicyArn)
}

func attachRolePolicy(r *api.Request, in *iamapi.AttachRolePolicyInput, t *roleTarget) (*iamapi.AttachRolePolicyOutput, error) {
	role, err := t.edit()
	if err != nil {
		return nil, err
	}
	if role.Attached, err = attach(r, role.Attached, *in.PolicyArn, "PoliciesPerRole"); err != nil {
		return nil, err
	}
	return &iamapi.AttachRolePolicyOutput{}, t.put(role)
}

func resolveDetachUserPolicy(r *api.Request, in *iamapi.DetachUserPolicyInput) (*userTarget, api.Access, error) {
	return userWithPolicy(r, *in.UserName, *in.PolicyArn)
}

func detachUserPolicy(r *api.Request, in *iamapi.DetachUserPolicyInput, t *userTarget) (*iamapi.DetachUserPolicyOutput, error) {
	u, err := t.edit()
	if err != nil {
		return nil, err
	}
	if u.Attached, err = detach(r, u.Attached, *in.PolicyArn); err != nil {
		return nil, err
	}
	return &iamapi.DetachUserPolicyOutput{}, t.put(u)
}

func resolveDetachGroupPolicy(r *api.Request, in *iamapi.DetachGroupPolicyInput) (*groupTarget, api.Access, error) {
	return groupWithPolicy(r, *in.GroupName, *in.PolicyArn)
}

func detachGroupPolicy(r *api.Request, in *iamapi.DetachGroupPolicyInput, t *groupTarget) (*iamapi.DetachGroupPolicyOutput, error) {
	g, err := t.edit()
	if err != nil {
		return nil, err
	}
	if g.Attached, err = detach(r, g.Attached, *in.PolicyArn); err != nil {
		return nil, err
	}
	return &iamapi.DetachGroupPolicyOutput{}, t.put(g)
}

func resolveDetachRolePolicy(r *api.Request, in *iamapi.DetachRolePolicyInput) (*roleTarget, api.Access, error) {
	return roleWithPolicy(r, *in.RoleName, *in.PolicyArn)
}

func detachRolePolicy(r *api.Request, in *iamapi.DetachRolePolicyInput, t *roleTarget) (*iamapi.DetachRolePolicyOutput, error) {
	role, err := t.edit()
	if err != nil {
		return nil, err
	}
	if role.Attached, err = detach(r, role.Attached, *in.PolicyArn); err != nil {
		return nil, err
	}
	return &iamapi.DetachRolePolicyOutput{}, t.put(role)
}

// attachedPolicies are policies as listings of what is attached show them.
func attachedPolicies(arns []string) []iamapi.AttachedPolicy {
	out := make([]iamapi.AttachedPolicy, 0, len(arns))
	for i := range arns {
		name := arns[i][strings.LastIndexByte(arns[i], '/')+1:]
		out = append(out, iamapi.AttachedPolicy{PolicyArn: &arns[i], PolicyName: &name})
	}
	return out
}

// attachedPage is one page of the policies attached to an entity, by path and name.
func attachedPage(attached []string, pathPrefix, from *string, items *int64) (shown []iamapi.AttachedPolicy, next *string, err error) {
	prefix := pathOf(pathPrefix)
	var under []string
	for _, text := range attached {
		a, err := arn.Parse(text)
		if err != nil {
			return nil, nil, err
		}
		if _, path, _ := splitResource(a.Resource); strings.HasPrefix(path, prefix) {
			under = append(under, text)
		}
	}
	slices.SortFunc(under, func(a, b string) int { return cmp.Compare(attachedKey(&a), attachedKey(&b)) })
	some, next, err := part(under, attachedKey, from, items)
	return attachedPolicies(some), next, err
}

func attachedKey(text *string) table.Key {
	i := strings.LastIndexByte(*text, '/')
	return table.K((*text)[i+1:], (*text)[:i])
}

func resolveListAttachedUserPolicies(r *api.Request, in *iamapi.ListAttachedUserPoliciesInput) (*userTarget, api.Access, error) {
	return onUser(r, in.UserName)
}

func listAttachedUserPolicies(_ *api.Request, in *iamapi.ListAttachedUserPoliciesInput, t *userTarget) (*iamapi.ListAttachedUserPoliciesOutput, error) {
	u, err := t.found()
	if err != nil {
		return nil, err
	}
	shown, next, err := attachedPage(u.Attached, in.PathPrefix, in.Marker, in.MaxItems)
	return &iamapi.ListAttachedUserPoliciesOutput{AttachedPolicies: shown, Marker: next, IsTruncated: new(next != nil)}, err
}

func resolveListAttachedGroupPolicies(r *api.Request, in *iamapi.ListAttachedGroupPoliciesInput) (*groupTarget, api.Access, error) {
	return onGroup(r, in.GroupName)
}

func listAttachedGroupPolicies(_ *api.Request, in *iamapi.ListAttachedGroupPoliciesInput, t *groupTarget) (*iamapi.ListAttachedGroupPoliciesOutput, error) {
	g, err := t.found()
	if err != nil {
		return nil, err
	}
	shown, next, err := attachedPage(g.Attached, in.PathPrefix, in.Marker, in.MaxItems)
	return &iamapi.ListAttachedGroupPoliciesOutput{AttachedPolicies: shown, Marker: next, IsTruncated: new(next != nil)}, err
}

func resolveListAttachedRolePolicies(r *api.Request, in *iamapi.ListAttachedRolePoliciesInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func listAttachedRolePolicies(_ *api.Request, in *iamapi.ListAttachedRolePoliciesInput, t *roleTarget) (*iamapi.ListAttachedRolePoliciesOutput, error) {
	role, err := t.found()
	if err != nil {
		return nil, err
	}
	shown, next, err := attachedPage(role.Attached, in.PathPrefix, in.Marker, in.MaxItems)
	return &iamapi.ListAttachedRolePoliciesOutput{AttachedPolicies: shown, Marker: next, IsTruncated: new(next != nil)}, err
}
