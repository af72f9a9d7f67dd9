package api

import "cmp"

// NewService returns s with its operations pointing back to it. Generated
// packages need it because Go refuses package variables that refer to each other.
func NewService(s Service) *Service {
	for _, o := range s.Operations {
		o.Service = &s
		o.action = s.ActionPrefix + ":" + cmp.Or(o.ActionName, o.Name)
	}
	return &s
}
