package cloudwatchlogs

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"coffer/internal/filterpattern"
	"coffer/internal/table"
)

// maxTime is beyond every event: the end of the year 9999.
const maxTime table.Millis = 253_402_300_799_999

// place is where an event stands among all of its group: by its time, its arrival, its stream and
// its order in that, which is the number of the call that put it and, in the lower orderBits, its
// number in the call. A place need not have an event: pages begin at one or end before it.
type place struct {
	time, ingested table.Millis
	stream         string // id
	order          uint64
}

const orderBits = 16 // more than maxBatch needs

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.time, o.time), cmp.Compare(p.ingested, o.ingested), strings.Compare(p.stream, o.stream), cmp.Compare(p.order, o.order))
}

func (p place) before(o place) bool { return p.compare(o) < 0 }

// after is the next place: no event stands between.
func (p place) after() place {
	p.order++
	return p
}

// String is a place as the position of a token.
func (p place) String() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.time))
	b = binary.BigEndian.AppendUint64(b, uint64(p.ingested))
	b = binary.BigEndian.AppendUint64(b, p.order)
	return string(b) + p.stream
}

func parsePlace(s string) (p place, err error) {
	if len(s) < 24 {
		return p, invalid(textBadToken)
	}
	b := []byte(s[:24])
	p = place{
		time: table.Millis(binary.BigEndian.Uint64(b)), ingested: table.Millis(binary.BigEndian.Uint64(b[8:])),
		order: binary.BigEndian.Uint64(b[16:]), stream: s[24:],
	}
	// A token can be forged, though to no use: what follows must not overflow.
	if p.time < 0 || p.time > maxTime+1 || p.ingested < 0 {
		return p, invalid(textBadToken)
	}
	return p, nil
}

// digits is a place in 56 decimal digits, as AWS's event ids and sequence tokens have them. Events
// of a stream have ids in their order; those of two streams differ in the last ten digits.
func digits(p place) string {
	n, err := strconv.ParseUint(p.stream[:min(len(p.stream), 16)], 16, 64)
	if err != nil {
		n = 0 // there is no such stream
	}
	return fmt.Sprintf("%013d%013d%020d%010d", p.time, p.ingested, p.order, n%1e10)
}

// found is an event that a page shows.
type found struct {
	place
	name    string // of the stream
	message string
}

// The size of a page, as AWS counts it ("up to 1 MB (up to 10,000 log events)").
const (
	maxPage      = 10_000
	maxPageBytes = 1 << 20
)

// reading collects the events of a page: of a group, or of some of its streams, from start and before
// end. The chunks of each class come in the order of their first events, so what is collected
// is complete up to where the next one begins.
type reading struct {
	tx         *table.Tx
	group      *Group
	streams    []*Stream // nil: all of the group
	start, end table.Millis
	limit      int
	pattern    *filterpattern.Pattern // nil: every event
	wanted     func(name string) bool // of the group's streams; nil: all
	work       int                    // what may be done yet; see Config.Work

	backward bool
	found    []found // a heap until the page is done: the first to leave it is on top
	bytes    int
	cut      *place          // the nearest event that had to leave
	alive    map[string]bool // of streams met in the group, by id: whether they are wanted and there
}

// What a page costs beside the pattern, in nanoseconds or so: to open a chunk's row, and each
// byte in it; and to pass over one.
const (
	workChunk = 10_000
	workByte  = 5
	workSkip  = 5_000
)

// unlimited is work for readings that end by themselves.
const unlimited = math.MaxInt

// ahead collects the first events at or behind from. The next page begins at next; nil: there is
// nothing more.
func (p *reading) ahead(ctx context.Context, from place) (next *place, err error) {
	if s := (place{time: p.start}); from.before(s) {
		from = s
	}
	upto := place{time: p.end}
	m := p.merge(from.time, func(h *head) place { return h.first })
	for {
		h, err := m.next(ctx)
		if err != nil {
			return nil, err
		}
		if h == nil || !h.first.before(upto) || p.cut != nil && !h.first.before(*p.cut) {
			break
		}
		// What begins before from was paid for by an earlier page: it must not keep this
		// one from getting on.
		fresh := !h.first.before(from)
		if fresh && p.work <= 0 {
			p.found = slices.DeleteFunc(p.found, func(f found) bool { return !f.before(h.first) })
			p.sort()
			return &h.first, nil
		}
		if err := p.take(h, from, upto, fresh); err != nil {
			return nil, err
		}
	}
	p.sort()
	if p.cut == nil || len(p.found) == 0 {
		return nil, nil
	}
	after := p.found[len(p.found)-1].after()
	return &after, nil
}

// behind collects the last events before upto.
func (p *reading) behind(ctx context.Context, upto place) error {
	p.backward = true
	if e := (place{time: p.end}); e.before(upto) {
		upto = e
	}
	from := place{time: p.start}
	// By the latest that an event of a chunk can be.
	m := p.merge(upto.time, func(h *head) place { return place{time: h.first.time + h.span + 1} })
	for {
		h, err := m.next(ctx)
		if err != nil {
			return err
		}
		if h == nil {
			break
		}
		latest := h.first.time + h.span
		if latest < p.start || p.cut != nil && latest < p.cut.time {
			break
		}
		if err := p.take(h, from, upto, false); err != nil {
			return err
		}
	}
	p.sort()
	return nil
}

// sort ends the collecting.
func (p *reading) sort() {
	slices.SortFunc(p.found, func(a, b found) int { return a.compare(b.place) })
}

// take collects the events of a chunk that are asked for, from the one place on and before the other. paid:
// it counts as work.
func (p *reading) take(h *head, from, upto place, paid bool) error {
	spend := func(n int) {
		if paid {
			p.work -= n
		}
	}
	if ok, known := p.alive[h.first.stream]; known && !ok {
		spend(workSkip)
		return nil
	}
	c := h.chunk
	if c == nil {
		var err error
		if c, err = Chunks.Load(p.tx, h.record); err != nil {
			return err
		}
	}
	if c.Last < from.time || c.First > upto.time {
		spend(workChunk)
		return nil
	}
	if ok, err := p.shows(c); !ok || err != nil {
		spend(workChunk)
		return err
	}
	events, err := c.events()
	if err != nil {
		return err
	}
	cost := workByte
	if p.pattern != nil {
		cost += p.pattern.Cost()
	}
	spend(workChunk + cost*int(c.Size))
	at := h.first
	for i := range events {
		e := &events[i]
		at.time, at.order = e.time, c.Order+uint64(i)
		if at.before(from) || !at.before(upto) || p.cut != nil && !p.nearer(at, *p.cut) {
			continue
		}
		if p.pattern == nil || p.pattern.Match(e.message) {
			p.add(found{at, c.Name, e.message})
		}
	}
	return nil
}

// shows reports whether the stream of a chunk is asked for, and is there: what was in a deleted stream
// may not be removed yet.
func (p *reading) shows(c *Chunk) (bool, error) {
	if p.streams != nil {
		return true, nil
	}
	if ok, known := p.alive[c.Stream]; known {
		return ok, nil
	}
	ok := p.wanted == nil || p.wanted(c.Name)
	if ok {
		s, err := p.group.stream(p.tx, c.Name)
		if err != nil {
			return false, err
		}
		ok = s != nil && s.UID == c.Stream
	}
	if p.alive == nil {
		p.alive = make(map[string]bool)
	}
	p.alive[c.Stream] = ok
	return ok, nil
}

// nearer reports whether a comes before b in the direction of reading.
func (p *reading) nearer(a, b place) bool {
	if p.backward {
		return b.before(a)
	}
	return a.before(b)
}

// add takes an event into the page. Beyond its limits the farthest ones leave, and nothing as far
// comes in again: so the page holds what is nearest, whatever the order it is met in.
func (p *reading) add(f found) {
	heap.Push(p, f)
	p.bytes += len(f.message) + eventOverhead
	for len(p.found) > p.limit || p.bytes > maxPageBytes && len(p.found) > 1 {
		gone := heap.Pop(p).(found)
		p.bytes -= len(gone.message) + eventOverhead
		p.cut = &gone.place
	}
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (p *reading) Len() int           { return len(p.found) }
func (p *reading) Less(i, j int) bool { return p.nearer(p.found[j].place, p.found[i].place) }
func (p *reading) Swap(i, j int)      { p.found[i], p.found[j] = p.found[j], p.found[i] }
func (p *reading) Push(x any)         { p.found = append(p.found, x.(found)) }
func (p *reading) Pop() any {
	f := p.found[len(p.found)-1]
	p.found = p.found[:len(p.found)-1]
	return f
}

// head is what a chunk's key tells.
type head struct {
	first  place        // of its first event
	span   table.Millis // its events are no later than that behind the first
	record table.Key
	chunk  *Chunk // if it was read along
}

// merged gives the chunks of several ranges in one order.
type merged struct {
	cursors  []*cursor
	by       func(*head) place
	backward bool
}

// cursor is a range of chunks in the order of their first events, read a few at a time.
type cursor struct {
	read  func(after table.Key, n int) (heads []*head, last table.Key, err error)
	heads []*head
	after table.Key
	n     int
	done  bool
}

// maxAhead is how many chunks are read ahead in one range. It begins with one: most pages
// need few.
const maxAhead = 16

func (c *cursor) peek() (*head, error) {
	if len(c.heads) == 0 && !c.done {
		var err error
		c.n = min(max(1, 2*c.n), maxAhead)
		if c.heads, c.after, err = c.read(c.after, c.n); err != nil {
			return nil, err
		}
		c.done = len(c.heads) < c.n
	}
	if len(c.heads) == 0 {
		return nil, nil
	}
	return c.heads[0], nil
}

// next gives the next chunk, nil at the end.
func (m *merged) next(ctx context.Context) (*head, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // the store does not look while rows come in
	}
	var best *cursor
	for _, c := range m.cursors {
		h, err := c.peek()
		if err != nil {
			return nil, err
		}
		if h == nil {
			continue
		}
		if best == nil {
			best = c
			continue
		}
		order := m.by(h).compare(m.by(best.heads[0]))
		if order < 0 != m.backward && order != 0 {
			best = c
		}
	}
	if best == nil {
		return nil, nil
	}
	h := best.heads[0]
	best.heads = best.heads[1:]
	return h, nil
}

// merge gives the chunks that can have events at time t or behind it, or before it when reading backward.
func (p *reading) merge(t table.Millis, by func(*head) place) *merged {
	m := &merged{by: by, backward: p.backward}
	for class, span := range spans {
		from := max(t-span, 0) // the earliest that a chunk with an event at t can begin
		if p.backward {
			from = t + 1 // one that begins later has none before
		}
		if p.streams == nil {
			m.cursors = append(m.cursors, p.rows(p.group.part(classPart(class)), from, span))
			continue
		}
		for _, s := range p.streams {
			m.cursors = append(m.cursors, p.index(p.group.part(s.UID, classPart(class)), s.UID, from, span))
		}
	}
	return m
}

// rows reads chunks of all streams.
func (p *reading) rows(prefix table.Key, from, span table.Millis) *cursor {
	return &cursor{after: prefix + table.K(from.Part()), read: func(after table.Key, n int) (heads []*head, last table.Key, err error) {
		for e, err := range Chunks.Scan(p.tx, table.Range{Prefix: prefix, After: after, Reverse: p.backward}) {
			if err != nil {
				return nil, "", err
			}
			c := e.Value
			heads, last = append(heads, &head{place{c.First, c.Ingested, c.Stream, c.Order}, span, e.Key, c}), e.Key
			if len(heads) == n {
				break
			}
		}
		return heads, last, nil
	}}
}

// index reads the keys of a stream's chunks.
func (p *reading) index(prefix table.Key, stream string, from, span table.Millis) *cursor {
	return &cursor{after: prefix + table.K(from.Part()), read: func(after table.Key, n int) (heads []*head, last table.Key, err error) {
		for e, err := range Chunks.ScanIndex(p.tx, streamIndex, table.Range{Prefix: prefix, After: after, Reverse: p.backward}) {
			if err != nil {
				return nil, "", err
			}
			h, err := parseHead(e, stream, span)
			if err != nil {
				return nil, "", err
			}
			heads, last = append(heads, h), e.Key
			if len(heads) == n {
				break
			}
		}
		return heads, last, nil
	}}
}

// parseHead reads a key of streamIndex.
func parseHead(e table.IndexEntry, stream string, span table.Millis) (*head, error) {
	parts := e.Key.Parts()
	if len(parts) != 8 {
		return nil, fmt.Errorf("%w: a key of %s", table.ErrDamaged, streamIndex)
	}
	var n [3]uint64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseUint(parts[5+i], 16, 64); err != nil {
			return nil, errors.Join(fmt.Errorf("%w: a key of %s", table.ErrDamaged, streamIndex), err)
		}
	}
	return &head{place{table.Millis(n[0]), table.Millis(n[1]), stream, n[2]}, span, e.Record, nil}, nil
}
