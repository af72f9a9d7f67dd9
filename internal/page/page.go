// Package page cuts lists into pages. A marker, which some services call a token, says
// where a page ended by name or place and not by number, so that a list neither repeats
// nor skips what was there all along while others come and go.
//
// A marker is base64url of
//
//	1 (version) | check (8) | position
//	check = SHA-256(lengths and texts of: operation, account, region, position, what narrows the list)[:8]
//
// The check binds it to the list it came from. It is no secret: a forged position shows no
// more than the first page would.
package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"coffer/internal/api"
	"coffer/internal/table"
)

const (
	version   = 1
	checkSize = 8
)

// Page is one page of a list.
type Page struct {
	Limit int    // the most items it has
	After string // position of the last page's end; empty: from the start

	r        *api.Request
	narrowed []string
}

// New is the page that marker names, the first one if it is nil. narrowed is what narrows
// the list, such as a key or a filter. ok is false if the marker is none of this list's.
func New(r *api.Request, limit int, marker *string, narrowed ...string) (p *Page, ok bool) {
	p = &Page{Limit: limit, r: r, narrowed: narrowed}
	if marker == nil {
		return p, true
	}
	p.After, ok = Open(r, narrowed, *marker)
	return p, ok
}

// Next returns the marker of a page that ends at position, which is not empty.
func (p *Page) Next(position string) *string { return new(Seal(p.r, p.narrowed, position)) }

// Rows is the range of the page's rows whose keys are prefix and the position.
func (p *Page) Rows(prefix table.Key) table.Range {
	rows := table.Range{Prefix: prefix}
	if p.After != "" {
		rows.After = prefix + table.K(p.After)
	}
	return rows
}

// Seal returns the marker of a position in a list.
func Seal(r *api.Request, narrowed []string, position string) string {
	b := append([]byte{version}, check(r, narrowed, position)...)
	return base64.RawURLEncoding.EncodeToString(append(b, position...))
}

// Open returns the position of a marker. ok is false if it is none of this list's.
func Open(r *api.Request, narrowed []string, marker string) (position string, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(marker)
	if err != nil || strings.ContainsAny(marker, "\r\n") || len(b) <= 1+checkSize || b[0] != version {
		return "", false // the decoder would skip line ends
	}
	position = string(b[1+checkSize:])
	return position, bytes.Equal(b[1:1+checkSize], check(r, narrowed, position))
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
