package cloudwatchlogs

import (
	"context"
	"errors"
	"fmt"

	"coffer/internal/table"
)

// Check is the service's part of fsck: every chunk can be read and belongs to a stream that is
// there or is being removed, every stream to such a group, and what is counted is what is there. report
// gets one sentence per finding. The error is of the store, and ends the check. tx must be a View's.
func Check(ctx context.Context, tx *table.Tx, report func(format string, args ...any)) error {
	c := checker{Fsck: &table.Fsck{Ctx: ctx, Tx: tx, Report: report}, groups: make(map[table.Key]*Group)}
	return errors.Join(
		table.Each(c.Fsck, &Groups, c.group),
		table.Each(c.Fsck, &Expiries, c.expiry),
		table.Each(c.Fsck, &Streams, c.stream),
		table.Each(c.Fsck, &Chunks, c.chunk),
		table.Each(c.Fsck, &Sizes, c.size),
	)
}

type checker struct {
	*table.Fsck
	groups map[table.Key]*Group // those that are there, by account, region and id
}

func (c checker) group(g *Group) error {
	what := fmt.Sprintf("log group %s/%s/%s", g.Account, g.Region, g.Name)
	if old := c.groups[g.part()]; old != nil {
		c.Report("%s: has the id of %s", what, old.Name)
	}
	c.groups[g.part()] = g
	_, err := Expiries.Load(c.Tx, Groups.Key(g))
	switch {
	case errors.Is(err, table.ErrNotFound):
		if g.Retention > 0 {
			c.Report("%s: has a retention policy that nothing carries out", what)
		}
	case err != nil:
		return err
	case g.Retention == 0:
		c.Report("%s: is swept without a retention policy", what)
	}
	// Its bytes are counted where its chunks are.
	counted, err := g.size(c.Tx)
	if err != nil {
		return err
	}
	var held int64
	for e, err := range Chunks.Scan(c.Tx, table.Range{Prefix: g.part()}) {
		if errors.Is(err, table.ErrDamaged) {
			return nil // told of with its row
		}
		if err != nil {
			return err
		}
		held += e.Value.Size
	}
	if counted != held {
		c.Report("%s: counts %d bytes and holds %d", what, counted, held)
	}
	return nil
}

func (c checker) expiry(e *Expiry) error {
	_, err := Groups.Load(c.Tx, Expiries.Key(e))
	if errors.Is(err, table.ErrNotFound) {
		c.Report("retention of log group %s/%s/%s: there is no such group", e.Account, e.Region, e.Name)
		return nil
	}
	return err
}

// gone reports whether what belongs to a group, or to a stream of it, is being removed.
func (c checker) gone(account, region, group, stream string) (bool, error) {
	_, err := Purges.Load(c.Tx, table.K(account, region, group, stream))
	if errors.Is(err, table.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (c checker) stream(s *Stream) error {
	if c.groups[table.K(s.Account, s.Region, s.Group)] != nil {
		return nil
	}
	gone, err := c.gone(s.Account, s.Region, s.Group, "")
	if err == nil && !gone {
		c.Report("log stream %s of group %s/%s/%s: there is no such group", s.Name, s.Account, s.Region, s.Group)
	}
	return err
}

func (c checker) size(s *Size) error {
	if c.groups[table.K(s.Account, s.Region, s.Group)] != nil {
		return nil
	}
	gone, err := c.gone(s.Account, s.Region, s.Group, "")
	if err == nil && !gone {
		c.Report("size of log group %s/%s/%s: there is no such group", s.Account, s.Region, s.Group)
	}
	return err
}

func (c checker) chunk(k *Chunk) error {
	what := fmt.Sprintf("events of stream %s of group %s/%s/%s", k.Name, k.Account, k.Region, k.Group)
	events, err := k.events()
	if err != nil {
		c.Report("%s: %v", what, err)
	} else {
		var size int64
		for i := range events {
			size += int64(len(events[i].message)) + eventOverhead
		}
		if size != k.Size {
			c.Report("%s: count %d bytes and are %d", what, k.Size, size)
		}
	}
	if c.groups[table.K(k.Account, k.Region, k.Group)] != nil {
		s, err := Streams.Load(c.Tx, table.K(k.Account, k.Region, k.Group, k.Name))
		switch {
		case err == nil && s.UID == k.Stream:
			if k.First < s.First || k.Last > s.Last || k.Order>>orderBits >= uint64(s.Puts) {
				c.Report("%s: the stream does not know them", what)
			}
			return nil
		case err != nil && !errors.Is(err, table.ErrNotFound):
			return err
		}
		if gone, err := c.gone(k.Account, k.Region, k.Group, k.Stream); gone || err != nil {
			return err
		}
	} else if gone, err := c.gone(k.Account, k.Region, k.Group, ""); gone || err != nil {
		return err
	}
	c.Report("%s: there is no such stream", what)
	return nil
}
