package cloudwatchlogs

import (
	"errors"

	"coffer/internal/api"
	"coffer/internal/table"
)

// Purge says that a stream or a group is gone and has rows that are to be removed.
type Purge struct {
	Account string `cbor:"1,keyasint"`
	Region  string `cbor:"2,keyasint"`
	Group   string `cbor:"3,keyasint"`           // its id
	Stream  string `cbor:"4,keyasint,omitempty"` // its id; empty: the whole group
}

// Purges are what PurgeDue has to do.
var Purges = table.Collection[Purge]{
	Name:    "logs.purge",
	NoCache: true,
	Key:     func(p *Purge) table.Key { return table.K(p.Account, p.Region, p.Group, p.Stream) },
}

const (
	// purgeAtOnce bounds one transaction of PurgeDue: a chunk or a stream takes three operations of the 128
	// there are.
	purgeAtOnce = 30
	// maxDamaged is how many purges are tried to find one that can be done.
	maxDamaged = 16
)

// PurgeDue removes some of what a deleted stream or group has left.
func (s *Service) PurgeDue(r *api.Request) (more bool, err error) {
	var due []*Purge
	for e, err := range Purges.Scan(r.Tx, table.Range{}) {
		if err != nil {
			return false, err
		}
		if due = append(due, e.Value); len(due) == maxDamaged {
			break
		}
	}
	for i, p := range due {
		done, err := p.step(r)
		if errors.Is(err, table.ErrDamaged) {
			continue // fsck tells of it; the others must not wait for that
		}
		if err != nil {
			return false, err
		}
		if done {
			err = Purges.Delete(r.Tx, Purges.Key(p))
		}
		return !done || i+1 < len(due), err
	}
	return false, nil
}

// step removes chunks, then what else a group has; done: there is nothing left.
func (p *Purge) step(r *api.Request) (done bool, err error) {
	if p.Stream != "" {
		return p.streamChunks(r)
	}
	part := table.K(p.Account, p.Region, p.Group)
	if left, err := remove(r, &Chunks, part); left || err != nil {
		return false, err
	}
	if left, err := remove(r, &Streams, part); left || err != nil {
		return false, err
	}
	left, err := remove(r, &Sizes, part)
	return !left, err
}

// remove deletes up to purgeAtOnce records of a range; left: there may be more.
func remove[T any](r *api.Request, rows *table.Collection[T], part table.Key) (left bool, err error) {
	var keys []table.Key
	for e, err := range rows.Scan(r.Tx, table.Range{Prefix: part}) {
		if err != nil {
			return false, err
		}
		if keys = append(keys, e.Key); len(keys) == purgeAtOnce {
			break
		}
	}
	for _, k := range keys {
		if err := rows.Delete(r.Tx, k); err != nil {
			return false, err
		}
	}
	return len(keys) > 0, nil
}

// streamChunks removes chunks of one stream of a group that may live on.
func (p *Purge) streamChunks(r *api.Request) (done bool, err error) {
	var gone []*Chunk
	for e, err := range Chunks.ScanIndex(r.Tx, streamIndex, table.Range{Prefix: table.K(p.Account, p.Region, p.Group, p.Stream)}) {
		if err != nil {
			return false, err
		}
		c, err := Chunks.Load(r.Tx, e.Record)
		if err != nil {
			return false, err
		}
		if gone = append(gone, c); len(gone) == purgeAtOnce {
			break
		}
	}
	return len(gone) < purgeAtOnce, removeChunks(r.Tx, gone)
}
