package lambda

import (
	"strings"

	"coffer/internal/api"
	"coffer/internal/arn"
)

// Needs implements api.Needs. What a function does is its role's business; setting one
// up takes iam:PassRole on a role that the question does not name.
func (s *Service) Needs(r *api.Request, resource string) (api.Access, []api.Further, error) {
	if resource == "" {
		return everything(r), nil, nil
	}
	if a, err := arn.Parse(resource); err == nil && strings.HasPrefix(a.Resource, "layer:") {
		ref, ok := parseLayer(resource)
		if !ok {
			return api.Access{}, nil, noSuchName(resource)
		}
		_, access, err := findLayer(r, ref)
		return access, nil, err
	}
	ref, err := parseName(r, resource)
	if err != nil {
		return api.Access{}, nil, err
	}
	t, err := s.read(r, r.Tx, ref)
	if err != nil {
		return api.Access{}, nil, err
	}
	t.qualified()
	access, err := t.access()
	return access, nil, err
}
