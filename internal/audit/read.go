package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// Entry is one record of the log.
type Entry struct {
	Seq    uint64
	Record []byte // JSON, valid until the next step of the iterator
}

// Read yields the records after a sequence number, 0 being before the first, in
// order, and ends when it has caught up with the head. It runs while others
// append. Every record is checked against the chain before it is handed out; what
// does not check out is yielded as a [Finding] and ends the walk, and so does the
// end of ctx. Finding the place takes a search in one segment, not a scan.
func (l *Log) Read(ctx context.Context, after uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		r := reader{chain: newChain(l.cfg.Key), dir: l.cfg.Dir, seq: after}
		defer r.close()
		for {
			segs, head := l.extent()
			if r.seq >= head.Seq {
				return
			}
			more, err := r.read(ctx, segs, head, yield)
			if err != nil {
				yield(Entry{}, fmt.Errorf("audit: read: %w", err))
				return
			}
			if !more {
				return
			}
		}
	}
}

// extent returns what there is to read. The slice only ever grows behind what is
// returned here.
func (l *Log) extent() ([]segment, Anchor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segs[:len(l.segs):len(l.segs)], l.head
}

// Wait returns nil when there are records after a sequence number, or why there
// will be none: the end of ctx, a failed log, ErrClosed.
func (l *Log) Wait(ctx context.Context, after uint64) error {
	for {
		l.mu.Lock()
		if l.head.Seq > after {
			l.mu.Unlock()
			return nil
		}
		err := l.failed
		if err == nil && l.closed {
			err = ErrClosed
		}
		if err != nil {
			l.mu.Unlock()
			return err
		}
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Contains tells which of the event ids are among the records after a sequence
// number. It reads all of them, so it is for a start, not for every call: see the
// package comment on the outbox.
func (l *Log) Contains(ctx context.Context, after uint64, ids ...string) (map[string]bool, error) {
	head := l.Head().Seq
	found := make(map[string]bool, len(ids))
	for _, id := range ids {
		found[id] = false
	}
	missing := len(found)
	for e, err := range l.Read(ctx, after) {
		if err != nil {
			return nil, err
		}
		if missing == 0 || e.Seq > head {
			break
		}
		id := eventID(e.Record)
		if in, asked := found[id]; asked && !in && id != "" {
			found[id] = true
			missing--
		}
	}
	return found, nil
}

// RecentIDs returns the event ids of the last n records, oldest first.
func (l *Log) RecentIDs(ctx context.Context, n int) ([]string, error) {
	head := l.Head().Seq
	var ids []string
	for e, err := range l.Read(ctx, head-min(head, uint64(max(n, 0)))) {
		if err != nil {
			return nil, err
		}
		if e.Seq > head {
			break
		}
		ids = append(ids, eventID(e.Record))
	}
	return ids, nil
}

// reader walks segments. It keeps its place between calls of read.
type reader struct {
	chain *chain
	dir   string
	seq   uint64 // last record dealt with

	file *os.File
	seg  segment
	off  int64             // of the next line
	prev [sha256.Size]byte // chain value before it
}

func (r *reader) close() {
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
}

// read yields the records up to head. more is false when the consumer stopped.
func (r *reader) read(ctx context.Context, segs []segment, head Anchor, yield func(Entry, error) bool) (more bool, err error) {
	i := 0
	for j, s := range segs {
		if r.file != nil && s == r.seg || r.file == nil && s.first <= r.seq+1 {
			i = j
		}
	}
	for ; i < len(segs); i++ {
		if r.file == nil || r.seg != segs[i] {
			if err := r.open(segs[i], head); err != nil {
				if r.repaired(segs, i, err) {
					continue
				}
				return false, err
			}
		}
		end := head.Offset
		if r.seg.number != head.Segment {
			if end, err = size(r.file); err != nil {
				return false, err
			}
		}
		lines := newLineReader(r.file, r.off, end)
		for {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			b, err := lines.next()
			if errors.Is(err, io.EOF) {
				break
			}
			var ln line
			if err == nil {
				ln, err = parseLine(b)
			} else if !errors.Is(err, errLongLine) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, err
			}
			if err != nil {
				err = r.finding(Malformed, "%v", err)
			} else if r.chain.record(r.prev, ln.seq, ln.record) != ln.chain {
				err = r.finding(Altered, "chain value does not match the record")
			}
			if err != nil {
				if r.repaired(segs, i, err) {
					break
				}
				return false, err
			}
			r.prev, r.off = ln.chain, lines.off
			if ln.seq <= r.seq {
				continue
			}
			r.seq = ln.seq
			if !yield(Entry{ln.seq, ln.record}, nil) {
				return false, nil
			}
		}
	}
	return true, nil
}

// repaired tells whether damage in segment i is what the next segment's header
// confesses as a gap: then the reader goes on behind it instead of standing there
// for ever.
func (r *reader) repaired(segs []segment, i int, err error) bool {
	if i+1 >= len(segs) || !errors.Is(err, ErrTampered) {
		return false
	}
	f, err := os.Open(segs[i+1].path(r.dir))
	if err != nil {
		return false
	}
	defer f.Close()
	b, err := newLineReader(f, 0, maxLine).next()
	if err != nil {
		return false
	}
	h, err := parseHeader(b)
	return err == nil && h.Gap != nil && r.chain.header(&h) == h.chain
}

func (r *reader) finding(k Kind, format string, args ...any) Finding {
	return Finding{Kind: k, File: r.seg.name, Offset: r.off, Seq: r.seq + 1, LastSeq: r.seq + 1, Detail: fmt.Sprintf(format, args...)}
}

func size(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// open opens a segment and stands before the record after r.seq in it.
func (r *reader) open(seg segment, head Anchor) error {
	carried, prev := r.file != nil, r.prev
	r.close()
	f, err := os.Open(seg.path(r.dir))
	if err != nil {
		return err
	}
	r.file, r.seg, r.off = f, seg, 0
	end := head.Offset
	if seg.number != head.Segment {
		if end, err = size(f); err != nil {
			return err
		}
	}
	lines := newLineReader(f, 0, end)
	b, err := lines.next()
	if err != nil {
		return r.finding(Header, "no segment header: %v", err)
	}
	h, err := parseHeader(b)
	if err != nil {
		return r.finding(Header, "%v", err)
	}
	if r.chain.header(&h) != h.chain {
		return r.finding(Header, "chain value of the header does not match")
	}
	if h.Gap == nil && carried && h.prev != prev || h.Segment != seg.number || h.First != seg.first {
		return r.finding(Header, "does not continue the segment before")
	}
	r.off, r.prev = lines.off, h.chain
	if r.seq >= h.First {
		return r.seek(end)
	}
	return nil
}

// seek moves behind the line of record r.seq by bisection over byte offsets: a
// follower that starts anew must not read 64 MiB to find its place. The chain
// value found there is taken on trust; the next line proves it.
func (r *reader) seek(end int64) error {
	lo, hi := r.off, end // the wanted line begins in [lo, hi)
	for hi-lo > 64<<10 {
		mid := lo + (hi-lo)/2
		at, ln, next, err := lineFrom(r.file, mid, end)
		if err != nil || at >= hi {
			// No line starts in the upper half, or nothing to go by: a scan of
			// what is left says the rest.
			if err != nil {
				break
			}
			hi = mid + 1 // a line that begins at mid itself was passed over
			continue
		}
		switch {
		case ln.seq == r.seq:
			r.off, r.prev = next, ln.chain
			return nil
		case ln.seq < r.seq:
			lo = next
		default:
			hi = at
		}
	}
	lines := newLineReader(r.file, lo, end)
	for {
		at := lines.off
		b, err := lines.next()
		if errors.Is(err, io.EOF) {
			// Nothing after r.seq here: the next segment has it.
			r.off = end
			return nil
		}
		var ln line
		if err == nil {
			ln, err = parseLine(b)
		}
		if err != nil {
			r.off = at
			return r.finding(Malformed, "%v", err)
		}
		if ln.seq == r.seq {
			r.off, r.prev = lines.off, ln.chain
			return nil
		}
		if ln.seq > r.seq {
			r.off = at
			return r.finding(Removed, "record %d is not in its place", r.seq)
		}
	}
}

// lineFrom returns the first line that begins after off and before end. at is end
// if there is none.
func lineFrom(f io.ReaderAt, off, end int64) (at int64, ln line, next int64, err error) {
	r := newLineReaderSize(f, off, end, 8<<10)
	if _, err = r.next(); err != nil { // the rest of the line that off is in
		return end, ln, end, nil
	}
	at = r.off
	b, err := r.next()
	if errors.Is(err, io.EOF) {
		return end, ln, end, nil
	}
	if err != nil {
		return at, ln, at, err
	}
	if ln, err = parseLine(b); err != nil {
		return at, ln, at, err
	}
	ln.record = nil
	return at, ln, r.off, nil
}
