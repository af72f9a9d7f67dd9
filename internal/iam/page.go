package iam

import (
	"encoding/base64"
	"sort"

	"coffer/internal/api"
	"coffer/internal/table"
)

const (
	defaultItems = 100
	maxItems     = 1000
)

// page is a part of a listing that follows an index or a sorted list.
type page struct {
	limit int
	after table.Key // where the last page ended; empty: the first page
}

// newPage reads Marker and MaxItems. A marker is the key of the last row shown:
// it only says where to go on, so a forged one shows nothing that the listing
// would not.
func newPage(marker *string, items *int64) (page, error) {
	p := page{limit: defaultItems}
	if items != nil {
		p.limit = int(min(*items, maxItems))
	}
	if marker == nil {
		return p, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(*marker)
	if err != nil || len(b) == 0 || b[0] != 0 {
		return p, api.ValidationException("Invalid Marker.")
	}
	p.after = table.Key(b)
	return p, nil
}

// marker is the Marker of the page that starts behind a row.
func marker(last table.Key) *string {
	return new(base64.RawURLEncoding.EncodeToString([]byte(last)))
}

// list walks an index from the page's start and gives each record to add, until the page is
// full. next is the Marker of the next page, nil after the last one.
func list[T any](r *api.Request, c *table.Collection[T], index string, rows table.Range, p page, add func(*T) error) (next *string, err error) {
	rows.After = p.after
	n := 0
	var last table.Key
	for e, err := range c.ScanIndex(r.Tx, index, rows) {
		if err != nil {
			return nil, err
		}
		if n == p.limit {
			return marker(last), nil
		}
		v, err := c.Get(r.Tx, e.Record)
		if err != nil {
			return nil, err
		}
		if err := add(v); err != nil {
			return nil, err
		}
		n, last = n+1, e.Key
	}
	return nil, nil
}

// part is one page of a list that is sorted by key, for what one row holds.
func part[T any](all []T, key func(*T) table.Key, from *string, items *int64) (rows []T, next *string, err error) {
	p, err := newPage(from, items)
	if err != nil {
		return nil, nil, err
	}
	all = all[sort.Search(len(all), func(i int) bool { return p.after == "" || key(&all[i]) > p.after }):]
	if len(all) <= p.limit {
		return all, nil, nil
	}
	return all[:p.limit], marker(key(&all[p.limit-1])), nil
}
