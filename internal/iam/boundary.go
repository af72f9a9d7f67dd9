package iam

import (
	"errors"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/arn"
	"coffer/internal/table"
)

func (s *Service) boundaryOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.PutUserPermissionsBoundary, resolvePutUserBoundary, putUserBoundary),
		api.Bind(iamapi.DeleteUserPermissionsBoundary, resolveDeleteUserBoundary, deleteUserBoundary),
		api.Bind(iamapi.PutRolePermissionsBoundary, resolvePutRoleBoundary, putRoleBoundary),
		api.Bind(iamapi.DeleteRolePermissionsBoundary, resolveDeleteRoleBoundary, deleteRoleBoundary),
	}
}

// usable reports whether text is the ARN of a managed policy that the account can
// attach: one of its own, or one of AWS's.
func usable(r *api.Request, text string) (bool, error) {
	return HasPolicy(r.Tx, r.Account, r.Partition(), text)
}

// countUse changes the counts of a managed policy's uses in an account.
func countUse(tx *table.Tx, account, arn string, change func(*PolicyUse)) error {
	u := PolicyUse{Account: account, ARN: arn}
	was, err := PolicyUses.Get(tx, table.K(account, arn))
	switch {
	case err == nil:
		u = *was
	case !errors.Is(err, table.ErrNotFound):
		return err
	}
	change(&u)
	if u.Attached < 0 || u.Boundaries < 0 {
		return errors.New("iam: policy " + arn + " is used less often than never")
	}
	if u.Attached == 0 && u.Boundaries == 0 {
		return PolicyUses.Delete(tx, table.K(account, arn))
	}
	return PolicyUses.Put(tx, &u)
}

// checkBoundary refuses what cannot be a boundary.
func checkBoundary(r *api.Request, text string) error {
	if _, err := arn.Parse(text); err != nil {
		return iamapi.InvalidInputException("ARN " + text + " is not valid.")
	}
	ok, err := usable(r, text)
	if err == nil && !ok {
		err = iamapi.NoSuchEntityException("Scope ARN: " + text + " does not exist or is not attachable.")
	}
	return err
}

// rebound checks that the entity may have the boundary to in place of from, and
// counts the change. Either may be empty.
func (e *entity) rebound(from, to string) error {
	if to != "" {
		if err := checkBoundary(e.r, to); err != nil {
			return err
		}
	}
	if from == to {
		return nil
	}
	if from != "" {
		if err := countUse(e.r.Tx, e.r.Account, from, func(u *PolicyUse) { u.Boundaries-- }); err != nil {
			return err
		}
	}
	if to != "" {
		return countUse(e.r.Tx, e.r.Account, to, func(u *PolicyUse) { u.Boundaries++ })
	}
	return nil
}

// shownBoundary is a boundary as answers show it; nil for none.
func shownBoundary(arn string) *iamapi.AttachedPermissionsBoundary {
	if arn == "" {
		return nil
	}
	return &iamapi.AttachedPermissionsBoundary{PermissionsBoundaryArn: &arn, PermissionsBoundaryType: new("PermissionsBoundaryPolicy")}
}

func resolvePutUserBoundary(r *api.Request, in *iamapi.PutUserPermissionsBoundaryInput) (*userTarget, api.Access, error) {
	return onUser(r, in.UserName)
}

func putUserBoundary(r *api.Request, in *iamapi.PutUserPermissionsBoundaryInput, t *userTarget) (*iamapi.PutUserPermissionsBoundaryOutput, error) {
	return &iamapi.PutUserPermissionsBoundaryOutput{}, t.bound(*in.PermissionsBoundary)
}

func resolveDeleteUserBoundary(r *api.Request, in *iamapi.DeleteUserPermissionsBoundaryInput) (*userTarget, api.Access, error) {
	return onUser(r, in.UserName)
}

func deleteUserBoundary(r *api.Request, _ *iamapi.DeleteUserPermissionsBoundaryInput, t *userTarget) (*iamapi.DeleteUserPermissionsBoundaryOutput, error) {
	return &iamapi.DeleteUserPermissionsBoundaryOutput{}, t.bound("")
}

func resolvePutRoleBoundary(r *api.Request, in *iamapi.PutRolePermissionsBoundaryInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func putRoleBoundary(r *api.Request, in *iamapi.PutRolePermissionsBoundaryInput, t *roleTarget) (*iamapi.PutRolePermissionsBoundaryOutput, error) {
	return &iamapi.PutRolePermissionsBoundaryOutput{}, t.bound(*in.PermissionsBoundary)
}

func resolveDeleteRoleBoundary(r *api.Request, in *iamapi.DeleteRolePermissionsBoundaryInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func deleteRoleBoundary(r *api.Request, _ *iamapi.DeleteRolePermissionsBoundaryInput, t *roleTarget) (*iamapi.DeleteRolePermissionsBoundaryOutput, error) {
	return &iamapi.DeleteRolePermissionsBoundaryOutput{}, t.bound("")
}

// bound gives the user another boundary, or none.
func (t *userTarget) bound(boundary string) error {
	u, err := t.edit()
	if err != nil {
		return err
	}
	if err := t.rebound(u.Boundary, boundary); err != nil {
		return err
	}
	u.Boundary = boundary
	return t.put(u)
}

// bound gives the role another boundary, or none.
func (t *roleTarget) bound(boundary string) error {
	role, err := t.edit()
	if err != nil {
		return err
	}
	if err := t.rebound(role.Boundary, boundary); err != nil {
		return err
	}
	role.Boundary = boundary
	return t.put(role)
}
