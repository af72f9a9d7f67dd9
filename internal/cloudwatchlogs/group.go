package cloudwatchlogs

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"

	"coffer/internal/policy"
	"coffer/internal/table"
)

// Group is a log group.
type Group struct {
	Account   string       `cbor:"1,keyasint"`
	Region    string       `cbor:"2,keyasint"`
	Name      string       `cbor:"3,keyasint"`
	UID       string       `cbor:"4,keyasint"` // names the rows of this group and no other, ever
	Created   table.Millis `cbor:"5,keyasint"`
	Class     string       `cbor:"6,keyasint"`
	Retention int          `cbor:"7,keyasint,omitempty"` // days; 0: events are kept for ever
	Protected bool         `cbor:"8,keyasint,omitempty"` // from deletion
	Tags      []Tag        `cbor:"9,keyasint,omitempty"` // by key
}

// Tag is a tag of a group.
type Tag = policy.Tag

// Size is a part of the bytes in a group: of the streams whose id begins with Shard. One
// number would make all writers of a group wait for each other.
type Size struct {
	Account string `cbor:"1,keyasint"`
	Region  string `cbor:"2,keyasint"`
	Group   string `cbor:"3,keyasint"`
	Shard   string `cbor:"4,keyasint"` // a hexadecimal digit
	Bytes   int64  `cbor:"5,keyasint"` // as AWS counts: those of messages, and 26 for each event
}

// The collections. Only this package writes them.
var (
	Groups = table.Collection[Group]{
		Name: "logs.group",
		Key:  func(g *Group) table.Key { return table.K(g.Account, g.Region, g.Name) },
		Clone: func(g *Group) *Group {
			c := *g
			c.Tags = slices.Clone(g.Tags)
			return &c
		},
	}
	Sizes = table.Collection[Size]{
		Name: "logs.size",
		Key:  func(s *Size) table.Key { return table.K(s.Account, s.Region, s.Group, s.Shard) },
		Clone: func(s *Size) *Size {
			c := *s
			return &c
		},
	}
)

// newUID draws an id that no other group or stream has.
func newUID() string {
	b := make([]byte, 12)
	rand.Read(b) // never fails (Go 1.24)
	return hex.EncodeToString(b)
}

// part is the beginning of the keys of what belongs to the group.
func (g *Group) part(more ...string) table.Key {
	return table.K(append([]string{g.Account, g.Region, g.UID}, more...)...)
}

// horizon is the time that events must not be older than to be seen.
func (g *Group) horizon(now table.Millis) table.Millis {
	if g.Retention == 0 {
		return 0
	}
	return now - table.Millis(g.Retention)*day
}

const (
	hour table.Millis = 3_600_000
	day               = 24 * hour
)

// size is how many bytes the group holds.
func (g *Group) size(tx *table.Tx) (n int64, err error) {
	for e, err := range Sizes.Scan(tx, table.Range{Prefix: g.part()}) {
		if err != nil {
			return 0, err
		}
		n += e.Value.Bytes
	}
	return n, nil
}

// grow counts bytes that a stream of a group gets, or loses. Of a group that is gone, nothing
// is counted any more.
func grow(tx *table.Tx, account, region, group, stream string, bytes int64) error {
	shard := stream[:1]
	s, err := Sizes.Edit(tx, table.K(account, region, group, shard))
	switch {
	case errors.Is(err, table.ErrNotFound) && bytes <= 0:
		return nil
	case errors.Is(err, table.ErrNotFound):
		s = &Size{Account: account, Region: region, Group: group, Shard: shard}
	case err != nil:
		return err
	}
	s.Bytes += bytes
	return Sizes.Put(tx, s)
}
