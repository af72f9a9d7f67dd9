package kms

import (
	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/page"
)

// newPage is the page of a list that a request asks for; usual is how many items it has if
// the request does not say, filter what narrows the list, such as the key.
func newPage(r *api.Request, limit *int64, marker *string, usual int, filter string) (*page.Page, error) {
	if limit != nil {
		usual = int(*limit)
	}
	p, ok := page.New(r, usual, marker, filter)
	if !ok {
		return nil, invalidMarker()
	}
	return p, nil
}

func invalidMarker() error { return kmsapi.InvalidMarkerException("The marker is not valid.") }
