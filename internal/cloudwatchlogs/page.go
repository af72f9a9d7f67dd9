package cloudwatchlogs

import (
	"coffer/internal/api"
	"coffer/internal/page"
	"coffer/internal/table"
)

const textBadToken = "The specified nextToken is invalid."

// newPage is the page of a list that a request asks for; usual is how many items it has if
// the request does not say, narrowed what narrows the list.
func newPage(r *api.Request, limit *int64, token *string, usual int, narrowed ...string) (*page.Page, error) {
	if limit != nil {
		usual = int(*limit)
	}
	p, ok := page.New(r, usual, token, narrowed...)
	if !ok {
		return nil, invalid(textBadToken)
	}
	return p, nil
}

// listGroups gives a page of the account's groups to show, and the token of the next. A page may be
// short, or empty: one call looks at a bounded number of groups.
func listGroups(r *api.Request, p *page.Page, prefix string, wanted func(*Group) bool, show func(*Group) error) (*string, error) {
	rng := table.Range{Prefix: table.K(r.Account, r.Region, prefix), Partial: true}
	if p.After != "" {
		rng.After = table.K(r.Account, r.Region, p.After)
	}
	shown, looked, last := 0, 0, ""
	for e, err := range Groups.Scan(r.Tx, rng) {
		if err != nil {
			return nil, err
		}
		if looked == groupsLooked {
			return p.Next(last), nil
		}
		looked++
		if wanted(e.Value) {
			if shown == p.Limit {
				return p.Next(last), nil
			}
			if err := show(e.Value); err != nil {
				return nil, err
			}
			shown++
		}
		last = e.Value.Name
	}
	return nil, r.Context.Err()
}
