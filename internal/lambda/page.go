package lambda

import (
	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/page"
)

// maxPage is the most items of a page, and how many it has if nobody says.
const maxPage = 50

// newPage is the page of a list that a request asks for; narrowed is what narrows the list,
// such as the function.
func newPage(r *api.Request, limit *int64, marker *string, narrowed ...string) (*page.Page, error) {
	n := maxPage
	if limit != nil {
		n = min(int(*limit), maxPage)
	}
	if marker != nil && *marker == "" {
		marker = nil
	}
	p, ok := page.New(r, n, marker, narrowed...)
	if !ok {
		return nil, lambdaapi.InvalidParameterValueException("The marker is not valid.")
	}
	return p, nil
}
