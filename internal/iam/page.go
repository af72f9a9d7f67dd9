package iam

import (
	"crypto/sha256"
	"encoding/base64"
	"iter"
	"sort"
	"strings"

	"coffer/internal/api"
	"coffer/internal/table"
)

const (
	defaultItems = 100
	maxItems     = 1000

	// What one page may cost beside its items: rows that are looked at and not shown,
	// and bytes of documents. A page that would cost more is short, which AWS says can
	// happen: "IAM might return fewer than the MaxItems number of results".
	maxLooked = 2000
	maxBytes  = 1 << 20
)

// page is a part of a listing.
type page struct {
	limit int
	after table.Key // where the last page ended, within the listing; empty: the first page
	whole digest    // of the key of which after is only the beginning; zero: after is all
}

// digest tells long keys apart. It is no secret: a forged one only leads to
// another place of the same listing.
type digest [8]byte

func digestOf(k table.Key) (d digest) {
	sum := sha256.Sum256([]byte(k))
	copy(d[:], sum[:])
	return d
}

// maxMarker is the longest key that is a marker by itself, in bytes: the model allows
// 320 characters, which are base64 here. A path alone can be longer.
const maxMarker = 230

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
	if err == nil && len(b) > 1+len(p.whole) && b[0] == 1 {
		copy(p.whole[:], b[1:])
		b = b[1+len(p.whole):]
	}
	if err != nil || len(b) == 0 || b[0] != 0 {
		return p, api.ValidationException("Invalid Marker.")
	}
	p.after = table.Key(b)
	return p, nil
}

// marker is the Marker of the page that starts behind a row.
func marker(last table.Key) *string {
	b := []byte(last)
	if len(b) > maxMarker {
		d := digestOf(last)
		b = append(append([]byte{1}, d[:]...), b[:maxMarker]...)
	}
	return new(base64.RawURLEncoding.EncodeToString(b))
}

// section is one of the orderings that a listing goes through one after the other. Keys
// are relative to it.
type section struct {
	name string // what markers call it
	rows func(after table.Key) iter.Seq2[table.IndexEntry, error]
	// show adds a row to the answer: shown is false for one that does not
	// belong there, and bytes is how much of documents it has.
	show func(table.IndexEntry) (shown bool, bytes int, err error)
}

// sectionOf is the rows of an index as a section.
func sectionOf[T any](r *api.Request, name string, c *table.Collection[T], index string, rows table.Range, show func(*T) (shown bool, bytes int, err error)) section {
	base := rows.Prefix
	if rows.Partial {
		base = base[:strings.LastIndexByte(string(base), 0)]
	}
	return section{
		name: name,
		rows: func(after table.Key) iter.Seq2[table.IndexEntry, error] {
			rows := rows
			if after != "" {
				rows.After = base + after
			}
			return func(yield func(table.IndexEntry, error) bool) {
				for e, err := range c.ScanIndex(r.Tx, index, rows) {
					if err == nil {
						e.Key = e.Key[len(base):]
					}
					if !yield(e, err) {
						return
					}
				}
			}
		},
		show: func(e table.IndexEntry) (bool, int, error) {
			v, err := c.Get(r.Tx, e.Record)
			if err != nil {
				return false, 0, err
			}
			return show(v)
		},
	}
}

// walk goes through the sections from where the page starts until it is full.
// next is the Marker of the next page, nil after the last one.
func walk(p page, sections ...section) (next *string, err error) {
	var last table.Key
	shown, looked, bytes := 0, 0, 0
	for _, s := range sections {
		name := table.K(s.name)
		from := table.Key("")
		if p.after != "" {
			rest, here := strings.CutPrefix(string(p.after), string(name)+"\x00")
			if !here {
				continue
			}
			if from, err = p.start(s, name, table.Key("\x00"+rest)); err != nil {
				return nil, err
			}
			p.after = ""
		}
		for e, err := range s.rows(from) {
			if err != nil {
				return nil, err
			}
			if shown == p.limit || looked == maxLooked || bytes >= maxBytes {
				return marker(last), nil
			}
			ok, size, err := s.show(e)
			if err != nil {
				return nil, err
			}
			if ok {
				shown++
			}
			looked, bytes, last = looked+1, bytes+size, name+e.Key
		}
	}
	if p.after != "" {
		return nil, api.ValidationException("Invalid Marker.")
	}
	return nil, nil
}

// start finds the row that the page starts behind. A marker that was too long has
// only its beginning and a digest: the row is searched among those that begin so; if it
// is gone, they are all shown again rather than left out.
func (p *page) start(s section, name, after table.Key) (table.Key, error) {
	if p.whole == (digest{}) {
		return after, nil
	}
	for e, err := range s.rows(after) {
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(string(e.Key), string(after)) {
			break
		}
		if digestOf(name+e.Key) == p.whole {
			return e.Key, nil
		}
	}
	return after, nil
}

// list walks an index from the page's start and gives each record to add, until the page is
// full. next is the Marker of the next page, nil after the last one.
func list[T any](r *api.Request, c *table.Collection[T], index string, rows table.Range, p page, add func(*T) error) (next *string, err error) {
	return walk(p, sectionOf(r, "", c, index, rows, func(v *T) (bool, int, error) { return true, 0, add(v) }))
}

// part is one page of a list that is sorted by key, for what one row holds.
func part[T any](all []T, key func(*T) table.Key, from *string, items *int64) (some []T, next *string, err error) {
	p, err := newPage(from, items)
	if err != nil {
		return nil, nil, err
	}
	next, err = walk(p, section{
		rows: func(after table.Key) iter.Seq2[table.IndexEntry, error] {
			at := sort.Search(len(all), func(i int) bool { return after == "" || key(&all[i]) > after })
			return func(yield func(table.IndexEntry, error) bool) {
				for i := at; i < len(all); i++ {
					if !yield(table.IndexEntry{Key: key(&all[i])}, nil) {
						return
					}
				}
			}
		},
		show: func(e table.IndexEntry) (bool, int, error) {
			at := sort.Search(len(all), func(i int) bool { return key(&all[i]) >= e.Key })
			some = append(some, all[at])
			return true, 0, nil
		},
	})
	return some, next, err
}
