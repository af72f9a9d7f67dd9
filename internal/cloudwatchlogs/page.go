package cloudwatchlogs

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"coffer/internal/api"
	"coffer/internal/table"
)

// A token says where a page ended, by name or place and not by number, so that a list neither
// repeats nor skips what was there all along while others come and go:
//
//	base64url of: 1 (version) | check (8) | position
//	check = SHA-256(lengths and texts of: operation, account, region, what narrows the list, position)[:8]
//
// The check binds it to the list it came from. It is no secret: a forged position shows no
// more than the first page would.
const (
	tokenVersion = 1
	checkSize    = 8

	textBadToken = "The specified nextToken is invalid."
)

func seal(r *api.Request, narrowed []string, position string) string {
	b := append([]byte{tokenVersion}, check(r, narrowed, position)...)
	return base64.RawURLEncoding.EncodeToString(append(b, position...))
}

func open(r *api.Request, narrowed []string, token string) (position string, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || strings.ContainsAny(token, "\r\n") || len(b) <= 1+checkSize || b[0] != tokenVersion {
		return "", invalid(textBadToken) // the decoder would skip line ends
	}
	position = string(b[1+checkSize:])
	if !bytes.Equal(b[1:1+checkSize], check(r, narrowed, position)) {
		return "", invalid(textBadToken)
	}
	return position, nil
}

func check(r *api.Request, narrowed []string, position string) []byte {
	h := sha256.New()
	var n [4]byte
	for _, text := range append([]string{r.Op.Name, r.Account, r.Region, position}, narrowed...) {
		binary.BigEndian.PutUint32(n[:], uint32(len(text)))
		h.Write(n[:])
		h.Write([]byte(text))
	}
	return h.Sum(nil)[:checkSize]
}

// page is one page of a list of names.
type page struct {
	r        *api.Request
	limit    int
	narrowed []string // what narrows the list
	after    string   // position of the last page's end; empty: from the start
}

func newPage(r *api.Request, limit *int64, token *string, usual int, narrowed ...string) (p *page, err error) {
	p = &page{r: r, limit: usual, narrowed: narrowed}
	if limit != nil {
		p.limit = int(*limit)
	}
	if token != nil {
		p.after, err = open(r, narrowed, *token)
	}
	return p, err
}

// next returns the token of a page that ends at position.
func (p *page) next(position string) *string { return new(seal(p.r, p.narrowed, position)) }

// groups gives a page of the account's groups to show, and the token of the next. A page may be
// short, or empty: one call looks at a bounded number of groups.
func (p *page) groups(prefix string, wanted func(*Group) bool, show func(*Group) error) (*string, error) {
	rng := table.Range{Prefix: table.K(p.r.Account, p.r.Region, prefix), Partial: true}
	if p.after != "" {
		rng.After = table.K(p.r.Account, p.r.Region, p.after)
	}
	shown, looked, last := 0, 0, ""
	for e, err := range Groups.Scan(p.r.Tx, rng) {
		if err != nil {
			return nil, err
		}
		if looked == groupsLooked {
			return p.next(last), nil
		}
		looked++
		if wanted(e.Value) {
			if shown == p.limit {
				return p.next(last), nil
			}
			if err := show(e.Value); err != nil {
				return nil, err
			}
			shown++
		}
		last = e.Value.Name
	}
	return nil, p.r.Context.Err()
}
