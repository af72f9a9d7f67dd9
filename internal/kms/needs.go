package kms

import "coffer/internal/api"

// Needs implements api.Needs.
func Needs(r *api.Request, resource string) (api.Access, []api.Further, error) {
	if resource == "" {
		return api.Access{Account: r.Account, Keys: &target{r: r}}, nil, nil
	}
	t, err := locate(r, resource, true)
	if err != nil {
		return api.Access{}, nil, err
	}
	_, err = t.found(r, "")
	return t.access(r.Op.Action()), nil, err
}
