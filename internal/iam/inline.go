package iam

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// How long all inline policies of an owner can be together, in characters
// without white space ("IAM and AWS STS quotas").
const (
	maxUserInline  = 2048
	maxGroupInline = 5120
	maxRoleInline  = 10240
)

func (s *Service) inlineOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.PutUserPolicy, resolvePutUserPolicy, putUserPolicy),
		api.Bind(iamapi.PutGroupPolicy, resolvePutGroupPolicy, putGroupPolicy),
		api.Bind(iamapi.PutRolePolicy, resolvePutRolePolicy, putRolePolicy),
		api.Bind(iamapi.GetUserPolicy, resolveGetUserPolicy, getUserPolicy),
		api.Bind(iamapi.GetGroupPolicy, resolveGetGroupPolicy, getGroupPolicy),
		api.Bind(iamapi.GetRolePolicy, resolveGetRolePolicy, getRolePolicy),
		api.Bind(iamapi.DeleteUserPolicy, resolveDeleteUserPolicy, deleteUserPolicy),
		api.Bind(iamapi.DeleteGroupPolicy, resolveDeleteGroupPolicy, deleteGroupPolicy),
		api.Bind(iamapi.DeleteRolePolicy, resolveDeleteRolePolicy, deleteRolePolicy),
		api.Bind(iamapi.ListUserPolicies, resolveListUserPolicies, listUserPolicies),
		api.Bind(iamapi.ListGroupPolicies, resolveListGroupPolicies, listGroupPolicies),
		api.Bind(iamapi.ListRolePolicies, resolveListRolePolicies, listRolePolicies),
	}
}

// inlineOf returns the inline policies of a user, group or role, shared.
func inlineOf(tx *table.Tx, owner string) ([]*InlinePolicy, error) {
	in, err := Inlines.Get(tx, table.K(owner))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return in.Policies, nil
}

func findInline(ps []*InlinePolicy, name string) (int, bool) {
	return slices.BinarySearchFunc(ps, name, func(p *InlinePolicy, name string) int { return strings.Compare(p.Name, name) })
}

// putInline adds a policy to the entity's, or replaces the one of this name, as far as they
// are no longer than limit together.
func (e *entity) putInline(owner, name, text string, limit int) error {
	if _, err := parseDocument(text, policy.Identity); err != nil {
		return err
	}
	ps, err := inlineOf(e.r.Tx, owner)
	if err != nil {
		return err
	}
	p := &InlinePolicy{Name: name, Text: text}
	ps = slices.Clone(ps)
	if i, ok := findInline(ps, name); ok {
		ps[i] = p
	} else {
		ps = slices.Insert(ps, i, p)
	}
	length := 0
	for _, p := range ps {
		length += policy.Length([]byte(p.Text))
	}
	if length > limit {
		return iamapi.LimitExceededException(fmt.Sprintf("Maximum policy size of %d bytes exceeded for %s %s", limit, e.kind, e.name))
	}
	if err := Inlines.Put(e.r.Tx, &Inline{Owner: owner, Policies: ps}); err != nil {
		return err
	}
	return changed(e.r.Tx, e.r.Account)
}

func (e *entity) noSuchInline(name string) error {
	return iamapi.NoSuchEntityException("The " + e.kind + " policy with name " + name + " cannot be found.")
}

// inline finds a policy of the entity by name, which has case.
func (e *entity) inline(owner, name string) (*InlinePolicy, error) {
	ps, err := inlineOf(e.r.Tx, owner)
	if err != nil {
		return nil, err
	}
	i, ok := findInline(ps, name)
	if !ok {
		return nil, e.noSuchInline(name)
	}
	return ps[i], nil
}

func (e *entity) deleteInline(owner, name string) error {
	ps, err := inlineOf(e.r.Tx, owner)
	if err != nil {
		return err
	}
	i, ok := findInline(ps, name)
	if !ok {
		return e.noSuchInline(name)
	}
	if ps = slices.Delete(slices.Clone(ps), i, i+1); len(ps) == 0 {
		err = Inlines.Delete(e.r.Tx, table.K(owner))
	} else {
		err = Inlines.Put(e.r.Tx, &Inline{Owner: owner, Policies: ps})
	}
	if err != nil {
		return err
	}
	return changed(e.r.Tx, e.r.Account)
}

// inlinePage is one page of the names of an owner's policies.
func inlinePage(tx *table.Tx, owner string, from *string, items *int64) (names []string, next *string, err error) {
	ps, err := inlineOf(tx, owner)
	if err != nil {
		return nil, nil, err
	}
	some, next, err := part(ps, func(p **InlinePolicy) table.Key { return table.K((*p).Name) }, from, items)
	names = []string{}
	for _, p := range some {
		names = append(names, p.Name)
	}
	return names, next, err
}

func resolvePutUserPolicy(r *api.Request, in *iamapi.PutUserPolicyInput) (*userTarget, api.Access, error) {
	return onUser(r, in.UserName)
}

func putUserPolicy(_ *api.Request, in *iamapi.PutUserPolicyInput, t *userTarget) (*iamapi.PutUserPolicyOutput, error) {
	u, err := t.found()
	if err != nil {
		return nil, err
	}
	return &iamapi.PutUserPolicyOutput{}, t.putInline(u.ID, *in.PolicyName, *in.PolicyDocument, maxUserInline)
}

func resolvePutGroupPolicy(r *api.Request, in *iamapi.PutGroupPolicyInput) (*groupTarget, api.Access, error) {
	return onGroup(r, in.GroupName)
}

func putGroupPolicy(_ *api.Request, in *iamapi.PutGroupPolicyInput, t *groupTarget) (*iamapi.PutGroupPolicyOutput, error) {
	g, err := t.found()
	if err != nil {
		return nil, err
	}
	return &iamapi.PutGroupPolicyOutput{}, t.putInline(g.ID, *in.PolicyName, *in.PolicyDocument, maxGroupInline)
}

func resolvePutRolePolicy(r *api.Request, in *iamapi.PutRolePolicyInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func putRolePolicy(_ *api.Request, in *iamapi.PutRolePolicyInput, t *roleTarget) (*iamapi.PutRolePolicyOutput, error) {
	role, err := t.modifiable()
	if err != nil {
		return nil, err
	}
	return &iamapi.PutRolePolicyOutput{}, t.putInline(role.ID, *in.PolicyName, *in.PolicyDocument, maxRoleInline)
}

func resolveGetUserPolicy(r *api.Request, in *iamapi.GetUserPolicyInput) (*userTarget, api.Access, error) {
	return onUser(r, in.UserName)
}

func getUserPolicy(_ *api.Request, in *iamapi.GetUserPolicyInput, t *userTarget) (*iamapi.GetUserPolicyOutput, error) {
	u, err := t.found()
	if err != nil {
		return nil, err
	}
	p, err := t.inline(u.ID, *in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetUserPolicyOutput{UserName: &u.Name, PolicyName: &p.Name, PolicyDocument: encodeDocument(p.Text)}, nil
}

func resolveGetGroupPolicy(r *api.Request, in *iamapi.GetGroupPolicyInput) (*groupTarget, api.Access, error) {
	return onGroup(r, in.GroupName)
}

func getGroupPolicy(_ *api.Request, in *iamapi.GetGroupPolicyInput, t *groupTarget) (*iamapi.GetGroupPolicyOutput, error) {
	g, err := t.found()
	if err != nil {
		return nil, err
	}
	p, err := t.inline(g.ID, *in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetGroupPolicyOutput{GroupName: &g.Name, PolicyName: &p.Name, PolicyDocument: encodeDocument(p.Text)}, nil
}

func resolveGetRolePolicy(r *api.Request, in *iamapi.GetRolePolicyInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func getRolePolicy(_ *api.Request, in *iamapi.GetRolePolicyInput, t *roleTarget) (*iamapi.GetRolePolicyOutput, error) {
	role, err := t.found()
	if err != nil {
		return nil, err
	}
	p, err := t.inline(role.ID, *in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetRolePolicyOutput{RoleName: &role.Name, PolicyName: &p.Name, PolicyDocument: encodeDocument(p.Text)}, nil
}

func resolveDeleteUserPolicy(r *api.Request, in *iamapi.DeleteUserPolicyInput) (*userTarget, api.Access, error) {
	return onUser(r, in.UserName)
}

func deleteUserPolicy(_ *api.Request, in *iamapi.DeleteUserPolicyInput, t *userTarget) (*iamapi.DeleteUserPolicyOutput, error) {
	u, err := t.found()
	if err != nil {
		return nil, err
	}
	return &iamapi.DeleteUserPolicyOutput{}, t.deleteInline(u.ID, *in.PolicyName)
}

func resolveDeleteGroupPolicy(r *api.Request, in *iamapi.DeleteGroupPolicyInput) (*groupTarget, api.Access, error) {
	return onGroup(r, in.GroupName)
}

func deleteGroupPolicy(_ *api.Request, in *iamapi.DeleteGroupPolicyInput, t *groupTarget) (*iamapi.DeleteGroupPolicyOutput, error) {
	g, err := t.found()
	if err != nil {
		return nil, err
	}
	return &iamapi.DeleteGroupPolicyOutput{}, t.deleteInline(g.ID, *in.PolicyName)
}

func resolveDeleteRolePolicy(r *api.Request, in *iamapi.DeleteRolePolicyInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func deleteRolePolicy(_ *api.Request, in *iamapi.DeleteRolePolicyInput, t *roleTarget) (*iamapi.DeleteRolePolicyOutput, error) {
	role, err := t.modifiable()
	if err != nil {
		return nil, err
	}
	return &iamapi.DeleteRolePolicyOutput{}, t.deleteInline(role.ID, *in.PolicyName)
}

func resolveListUserPolicies(r *api.Request, in *iamapi.ListUserPoliciesInput) (*userTarget, api.Access, error) {
	return onUser(r, in.UserName)
}

func listUserPolicies(r *api.Request, in *iamapi.ListUserPoliciesInput, t *userTarget) (*iamapi.ListUserPoliciesOutput, error) {
	u, err := t.found()
	if err != nil {
		return nil, err
	}
	names, next, err := inlinePage(r.Tx, u.ID, in.Marker, in.MaxItems)
	return &iamapi.ListUserPoliciesOutput{PolicyNames: names, Marker: next, IsTruncated: new(next != nil)}, err
}

func resolveListGroupPolicies(r *api.Request, in *iamapi.ListGroupPoliciesInput) (*groupTarget, api.Access, error) {
	return onGroup(r, in.GroupName)
}

func listGroupPolicies(r *api.Request, in *iamapi.ListGroupPoliciesInput, t *groupTarget) (*iamapi.ListGroupPoliciesOutput, error) {
	g, err := t.found()
	if err != nil {
		return nil, err
	}
	names, next, err := inlinePage(r.Tx, g.ID, in.Marker, in.MaxItems)
	return &iamapi.ListGroupPoliciesOutput{PolicyNames: names, Marker: next, IsTruncated: new(next != nil)}, err
}

func resolveListRolePolicies(r *api.Request, in *iamapi.ListRolePoliciesInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func listRolePolicies(r *api.Request, in *iamapi.ListRolePoliciesInput, t *roleTarget) (*iamapi.ListRolePoliciesOutput, error) {
	role, err := t.found()
	if err != nil {
		return nil, err
	}
	names, next, err := inlinePage(r.Tx, role.ID, in.Marker, in.MaxItems)
	return &iamapi.ListRolePoliciesOutput{PolicyNames: names, Marker: next, IsTruncated: new(next != nil)}, err
}
