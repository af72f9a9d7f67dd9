package kms

import (
	"errors"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
)

// Needs implements api.Needs.
func Needs(r *api.Request, resource string) (api.Access, []api.Further, error) {
	if resource == "" {
		return api.Access{Account: r.Account, Keys: &target{r: r}}, nil, nil
	}
	if r.Op == kmsapi.RetireGrant.Operation {
		return api.Access{}, nil, errors.New("who can retire a grant is said by the grant: ListGrants shows its retiring principal, and its grantee can if RetireGrant is among its operations")
	}
	t, err := locate(r, resource, true)
	if err != nil {
		return api.Access{}, nil, err
	}
	_, err = t.found(r, "")
	return t.access(r.Op.Action()), nil, err
}
