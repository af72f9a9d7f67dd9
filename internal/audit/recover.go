package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

func indexNewline(b []byte) int { return bytes.IndexByte(b, '\n') }

// ErrNoAnchor is returned by Open for a log with records but no anchor: either
// the store that keeps it was replaced, or somebody took the anchor away so that
// a shorter log could be put in place.
var ErrNoAnchor = errors.New("audit: the log has records but the store has no anchor for it")

// Open opens the log in cfg.Dir, or starts one. It checks everything after the
// last anchor, cuts off what a crash left unfinished there, and syncs what it
// kept. A log that is not at least what the anchor says is refused with a
// [Finding]: somebody cut or changed it, and going on would hide that.
func Open(cfg Config) (*Log, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{
		cfg:      cfg,
		chain:    newChain(cfg.Key),
		rotated:  make(chan struct{}, 1),
		done:     make(chan struct{}),
		writeAt:  (*os.File).WriteAt,
		syncFile: (*os.File).Sync,
	}
	l.idle.L = &l.mu
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: open: %w", err)
	}
	if err := l.restore(); err != nil {
		if l.file != nil {
			_ = l.file.Close()
		}
		return nil, fmt.Errorf("audit: open: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	go l.run(ctx)
	return l, nil
}

// restore finds the end of the log and opens it for writing.
func (l *Log) restore() error {
	if err := removeUnnamed(l.cfg.Dir); err != nil {
		return err
	}
	var err error
	if l.segs, err = listSegments(l.cfg.Dir); err != nil {
		return err
	}
	var from Anchor
	anchored := false
	if l.cfg.Anchors != nil {
		if from, anchored, err = l.cfg.Anchors.Load(); err != nil {
			return fmt.Errorf("load anchor: %w", err)
		}
		l.anchored = from
	}
	end, bad := l.findEnd(from, anchored)
	if bad == nil {
		return l.resume(end)
	}
	var f Finding
	place := errors.As(bad, &f) && end.Segment > 0 && end.Segment == l.segs[len(l.segs)-1].number
	switch {
	case place && (f.Kind == Torn || f.beyond && anchored):
		// The end of the last segment, after the anchor: what a crash leaves. An
		// unfinished line is the usual case and nobody was told of it. A whole
		// line that does not check out is what a power failure can leave, when
		// the kernel had written later pages first; but it could be a hand, so it
		// is kept, and the next header says that something was there.
		return l.cut(end, f)
	case !l.cfg.Repair:
		return bad
	}
	return l.goOn(end, from, bad.Error())
}

// removeUnnamed removes segments that a crash kept from getting their name.
func removeUnnamed(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "audit-") && strings.HasSuffix(e.Name(), ".jsonl.new") {
			if err := os.Remove(dir + string(os.PathSeparator) + e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// findEnd checks the log from the anchor on (without one, the last segment) and
// returns how far it is whole, and what is wrong there.
func (l *Log) findEnd(from Anchor, anchored bool) (end Anchor, bad error) {
	if len(l.segs) == 0 {
		if anchored {
			return end, Finding{Kind: Truncated, File: l.cfg.Dir, Seq: 1, LastSeq: from.Seq,
				Detail: fmt.Sprintf("no segment is left, the anchor says %d records in %d segments", from.Seq, from.Segment)}
		}
		return end, nil
	}
	i := len(l.segs) - 1
	if anchored {
		for i = 0; i < len(l.segs) && l.segs[i].number != from.Segment; i++ {
		}
		if i == len(l.segs) {
			last := l.segs[i-1]
			return end, Finding{Kind: Truncated, File: last.name, Seq: last.first, LastSeq: from.Seq,
				Detail: fmt.Sprintf("segment %d, in which the anchor says the log ends, is missing", from.Segment)}
		}
	} else if l.cfg.Anchors != nil && (i > 0 || l.segs[0].first > 1) {
		return end, ErrNoAnchor
	}
	for first := true; i < len(l.segs); i++ {
		if end, bad = l.scan(l.segs[i], end, from, anchored, first); bad != nil {
			return end, bad
		}
		first = false
	}
	if !anchored && l.cfg.Anchors != nil && end.Seq > 0 {
		return end, ErrNoAnchor
	}
	return end, nil
}

// scan checks one segment on from the end of the one before, or the first one
// from the anchor.
func (l *Log) scan(seg segment, prev, from Anchor, anchored, first bool) (end Anchor, bad error) {
	f, err := os.Open(seg.path(l.cfg.Dir))
	if err != nil {
		return prev, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return prev, err
	}
	end = prev
	finding := func(k Kind, off int64, format string, args ...any) Finding {
		return Finding{Kind: k, File: seg.name, Offset: off, Seq: end.Seq + 1, LastSeq: end.Seq + 1, Detail: fmt.Sprintf(format, args...)}
	}
	r := newLineReader(f, 0, info.Size())
	b, err := r.next()
	if err != nil {
		return prev, finding(Header, 0, "no segment header: %v", err)
	}
	h, err := parseHeader(b)
	if err != nil {
		return prev, finding(Header, 0, "%v", err)
	}
	if h.Key != l.chain.key {
		return prev, finding(Header, 0, "written under key %s, this log's key is %s", h.Key, l.chain.key)
	}
	if l.chain.header(&h) != h.chain {
		return prev, finding(Header, 0, "chain value of the header does not match")
	}
	if h.Segment != seg.number || h.First != seg.first {
		return prev, finding(Header, 0, "the header is of segment %d, first record %d", h.Segment, h.First)
	}
	headerEnd := Anchor{Seq: h.First - 1, Hash: h.chain, Segment: seg.number, Offset: r.off}
	switch {
	case !first:
		if h.Gap == nil && (h.prev != prev.Hash || h.First != prev.Seq+1 || seg.number != prev.Segment+1) {
			return prev, finding(Header, 0, "does not continue segment %d", prev.Segment)
		}
		end = headerEnd
	case anchored:
		if err := checkAnchor(f, info.Size(), from, headerEnd); err != nil {
			var at Finding
			if errors.As(err, &at) {
				at.File = seg.name
				err = at
			}
			return headerEnd, err
		}
		end = from
	default:
		end = headerEnd
	}
	r = newLineReader(f, end.Offset, info.Size())
	for {
		b, err := r.next()
		var f Finding
		switch {
		case errors.Is(err, io.EOF):
			return end, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return end, finding(Torn, r.off, "unfinished line of %d bytes", r.unread)
		case errors.Is(err, errLongLine):
			f = finding(Malformed, end.Offset, "%v", err)
			f.beyond = true
			return end, f
		case err != nil:
			return end, err
		}
		ln, err := parseLine(b)
		switch {
		case err != nil:
			f = finding(Malformed, end.Offset, "%v", err)
		case ln.seq != end.Seq+1:
			f = finding(Altered, end.Offset, "seq %d where %d belongs", ln.seq, end.Seq+1)
		case l.chain.record(end.Hash, ln.seq, ln.record) != ln.chain:
			f = finding(Altered, end.Offset, "chain value does not match the record")
		default:
			end = Anchor{Seq: ln.seq, Hash: ln.chain, Segment: seg.number, Offset: r.off}
			continue
		}
		f.beyond = true
		return end, f
	}
}

// checkAnchor checks that a segment reaches to the anchor and has there the line
// that the anchor names.
func checkAnchor(f io.ReaderAt, size int64, a, header Anchor) error {
	if size < a.Offset {
		return Finding{Kind: Truncated, Offset: size, Seq: a.Seq, LastSeq: a.Seq,
			Detail: fmt.Sprintf("the segment has %d bytes, the anchor says that record %d ended at byte %d", size, a.Seq, a.Offset)}
	}
	changed := Finding{Kind: AnchorMismatch, Offset: a.Offset, Seq: a.Seq, LastSeq: a.Seq,
		Detail: fmt.Sprintf("record %d, which the anchor says ends here, is not here: the log was rewritten", a.Seq)}
	if a.Offset <= header.Offset {
		if a != header {
			return changed
		}
		return nil
	}
	start := max(header.Offset, a.Offset-int64(maxLine))
	buf := make([]byte, a.Offset-start)
	if _, err := f.ReadAt(buf, start); err != nil {
		return err
	}
	n := len(buf) - 1
	if buf[n] != '\n' {
		return changed
	}
	ln, err := parseLine(buf[bytes.LastIndexByte(buf[:n], '\n')+1 : n])
	if err != nil || ln.seq != a.Seq || ln.chain != a.Hash {
		return changed
	}
	return nil
}

// resume opens the last segment at its end, or the first one of a new log.
func (l *Log) resume(end Anchor) error {
	if len(l.segs) == 0 {
		return l.start(1, 1, [sha256.Size]byte{}, nil)
	}
	f, err := os.OpenFile(l.segs[len(l.segs)-1].path(l.cfg.Dir), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	l.file = f
	return l.settle(end)
}

// settle makes the end that was found durable and anchors it. The sync matters:
// what a killed process wrote may be in the kernel only, and the outbox deletes
// rows because it finds them here.
func (l *Log) settle(end Anchor) error {
	l.head, l.durable = end, end
	if end == l.anchored {
		return nil
	}
	if err := l.syncFile(l.file); err != nil {
		return err
	}
	l.saveAnchor()
	return l.stats.AnchorError
}

// start begins a segment at the end of the list.
func (l *Log) start(number, first uint64, prev [sha256.Size]byte, g *gap) error {
	f, seg, head, err := createSegment(l.cfg, l.chain, number, first, prev, g)
	if err != nil {
		return err
	}
	l.file = f
	l.segs = append(l.segs, seg)
	l.stats.Bytes += uint64(head.Offset)
	return l.settle(head)
}

// cut takes off what follows the end of the last segment.
func (l *Log) cut(end Anchor, why Finding) error {
	seg := l.segs[len(l.segs)-1]
	f, err := os.OpenFile(seg.path(l.cfg.Dir), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	l.file = f
	info, err := f.Stat()
	if err != nil {
		return err
	}
	lost := info.Size() - end.Offset
	if why.Kind != Torn {
		if err := l.keep(f, seg, end.Offset, lost); err != nil {
			return err
		}
	}
	if err := f.Truncate(end.Offset); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if why.Kind == Torn {
		l.cfg.Logger.Warn("audit log: cut off an unfinished line after a crash", "file", seg.name, "offset", end.Offset, "bytes", lost)
		return l.settle(end)
	}
	l.cfg.Logger.Error("audit log: damaged after the last anchor; kept aside, going on in a new segment",
		"file", seg.name, "offset", why.Offset, "bytes", lost, "error", why)
	if err := f.Close(); err != nil {
		return err
	}
	l.file = nil
	return l.start(seg.number+1, end.Seq+1, end.Hash, &gap{After: end.Seq,
		Reason: fmt.Sprintf("%d bytes after the last anchor were damaged and cut off: %v", lost, why)})
}

// keep copies the end of a segment to a file of its own.
func (l *Log) keep(f io.ReaderAt, seg segment, off, n int64) error {
	out, err := os.OpenFile(seg.path(l.cfg.Dir)+".cut-"+strconv.FormatInt(off, 10), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(f, off, n))
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close(), syncDir(l.cfg.Dir))
}

// goOn starts a segment after whatever is there, for Config.Repair. The files
// stay as they are: they are the evidence.
func (l *Log) goOn(end, from Anchor, reason string) error {
	g := &gap{After: end.Seq, Reason: reason}
	number, seq, prev := end.Segment, end.Seq, end.Hash
	if from.Seq >= seq && from.Segment > 0 {
		number, seq, prev = from.Segment, from.Seq, from.Hash
	}
	// Numbers are never given twice, not even those of records that are lost.
	for _, s := range l.segs {
		number = max(number, s.number)
		last, err := lastSeq(s, l.cfg.Dir)
		if err != nil {
			return err
		}
		seq = max(seq, last)
	}
	l.cfg.Logger.Error("audit log: going on in spite of damage, as configured", "error", reason)
	return l.start(number+1, seq+1, prev, g)
}

// lastSeq returns the highest seq that stands in a segment, true or not.
func lastSeq(s segment, dir string) (uint64, error) {
	last := s.first - min(s.first, 1)
	f, err := os.Open(s.path(dir))
	if err != nil {
		return last, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return last, err
	}
	r := newLineReader(f, 0, info.Size())
	for {
		b, err := r.next()
		if errors.Is(err, errLongLine) {
			continue
		}
		if err != nil {
			return last, nil
		}
		// A forged number must not use up the number space.
		if ln, err := parseLine(b); err == nil && ln.seq > last && ln.seq < last+1<<32 {
			last = ln.seq
		}
	}
}
