package lambda

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/table"
)

// A marker says where a page ended, by name and not by number, so that a list
// neither repeats nor skips what was there all along while others come and go:
//
//	base64url of: 1 (version) | check (8) | position
//	check = SHA-256(operation 00 account 00 region 00 filter 00 position)[:8]
//
// The check binds it to the list it came from. It is no secret: a forged
// position shows no more than the first page would.
const (
	markerVersion = 1
	checkSize     = 8

	// maxPage is the most items of a page, and how many it has if nobody says.
	maxPage = 50
)

// page is one page of a list.
type page struct {
	r      *api.Request
	limit  int
	filter string // what narrows the list, such as the function
	after  string // position of the last page's end; empty: from the start
}

func newPage(r *api.Request, limit *int64, marker *string, filter string) (*page, error) {
	p := &page{r: r, limit: maxPage, filter: filter}
	if limit != nil {
		p.limit = min(int(*limit), maxPage)
	}
	if marker != nil && *marker != "" {
		b, err := base64.RawURLEncoding.Strict().DecodeString(*marker)
		if err != nil || len(b) <= 1+checkSize || b[0] != markerVersion {
			return nil, invalidMarker()
		}
		p.after = string(b[1+checkSize:])
		if !bytes.Equal(b[1:1+checkSize], p.check(p.after)) {
			return nil, invalidMarker()
		}
	}
	return p, nil
}

func invalidMarker() error {
	return lambdaapi.InvalidParameterValueException("The marker is not valid.")
}

func (p *page) check(position string) []byte {
	sum := sha256.Sum256([]byte(strings.Join([]string{p.r.Op.Name, p.r.Account, p.r.Region, p.filter, position}, "\x00")))
	return sum[:checkSize]
}

// next returns the marker of a page that ends at position.
func (p *page) next(position string) *string {
	b := append([]byte{markerVersion}, p.check(position)...)
	return new(base64.RawURLEncoding.EncodeToString(append(b, position...)))
}

// rows is the range of the page's rows whose keys are prefix and the position.
func (p *page) rows(prefix table.Key) table.Range {
	r := table.Range{Prefix: prefix}
	if p.after != "" {
		r.After = prefix + table.K(p.after)
	}
	return r
}
