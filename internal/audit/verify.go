package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// Kind says what is wrong.
type Kind string

const (
	Altered        Kind = "altered"         // a line's bytes are not those that were written
	Removed        Kind = "removed"         // records are missing
	Reordered      Kind = "reordered"       // a true record in the wrong place
	Repeated       Kind = "repeated"        // a record a second time
	Inserted       Kind = "inserted"        // a line that does not belong there
	Malformed      Kind = "malformed"       // a line that is no record line
	Torn           Kind = "torn"            // an unfinished line
	Header         Kind = "header"          // a segment's first line is wrong
	MissingSegment Kind = "missing segment" //
	Truncated      Kind = "truncated"       // the log ends before its anchor
	AnchorMismatch Kind = "rewritten"       // the anchor's record is not in the log
	Gap            Kind = "gap"             // a header tells of a loss that was repaired
	Unreadable     Kind = "unreadable"      // the system cannot read a file
)

// ErrTampered is what every Finding is, for errors.Is.
var ErrTampered = errors.New("audit: log is damaged or was tampered with")

// Finding is one thing wrong with the log. It is an error too. It never holds
// bytes of a record.
type Finding struct {
	Kind    Kind
	File    string // without the directory
	Offset  int64  // of the line, or where one is missing
	Seq     uint64 // first record concerned
	LastSeq uint64 // last record concerned
	Detail  string

	beyond bool // after the anchor, so a power failure can explain it
}

func (f Finding) Error() string {
	seq := fmt.Sprintf("seq %d", f.Seq)
	if f.LastSeq > f.Seq {
		seq = fmt.Sprintf("seq %d to %d", f.Seq, f.LastSeq)
	}
	return fmt.Sprintf("%s at byte %d, %s: %s: %s", f.File, f.Offset, seq, f.Kind, f.Detail)
}

// Is makes every finding an ErrTampered.
func (f Finding) Is(target error) bool { return target == ErrTampered }

// Summary is what Verify went through.
type Summary struct {
	Segments   int
	Records    uint64 // record lines
	Bytes      int64
	Findings   int
	Unfinished int64  // bytes of a last line that is being written or that a crash cut short
	Last       uint64 // highest seq
	Anchored   bool   // there was an anchor to compare with
}

// Verify reads a whole log and reports what is wrong with it, going on after each
// finding. It changes nothing and may run on a log that is open; one that is open
// in this process is better verified by its own [Log.Verify]. The error is about
// the work, not about the log: an unreadable directory, a lost anchor store, ctx.
//
// An unfinished line at the very end, after the anchor, is no finding: every kill
// leaves one.
func Verify(ctx context.Context, cfg Config, report func(Finding)) (Summary, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Summary{}, err
	}
	var a Anchor
	var anchored bool
	if cfg.Anchors != nil {
		// Before the files: what is anchored now is in them.
		if a, anchored, err = cfg.Anchors.Load(); err != nil {
			return Summary{}, fmt.Errorf("audit: verify: load anchor: %w", err)
		}
	}
	segs, err := listSegments(cfg.Dir)
	if err != nil {
		return Summary{}, fmt.Errorf("audit: verify: %w", err)
	}
	v := verifier{dir: cfg.Dir, chain: newChain(cfg.Key), report: report, anchor: a, anchored: anchored}
	err = v.run(ctx, segs)
	if cfg.Anchors != nil && !anchored && v.sum.Records > 0 {
		v.found(Finding{Kind: AnchorMismatch, File: v.file, Seq: 1, LastSeq: v.sum.Last, Detail: "the store has no anchor for this log"})
	}
	return v.sum, err
}

// Verify is [Verify] for a log that is open. The head in memory is its anchor, so
// that even the last second is covered.
func (l *Log) Verify(ctx context.Context, report func(Finding)) (Summary, error) {
	segs, head := l.extent()
	v := verifier{dir: l.cfg.Dir, chain: newChain(l.cfg.Key), report: report, anchor: head, anchored: true, end: &head}
	err := v.run(ctx, segs)
	return v.sum, err
}

// maxMissing bounds how many holes are remembered for records that turn up later.
const maxMissing = 1024

// verifier walks the lines with an expectation: the next seq and the chain value
// before it. A line that does not meet it is suspect, and is held until the next
// line tells which of the two was out of place.
type verifier struct {
	dir      string
	chain    *chain
	report   func(Finding)
	sum      Summary
	anchor   Anchor
	anchored bool
	end      *Anchor // do not read beyond, nil if the files are all there is

	seen    bool // the anchor's chain value, in its place
	segment uint64
	next    uint64
	prev    [sha256.Size]byte
	other   *[sha256.Size]byte // what prev would be if only the chain field was changed
	linked  bool               // prev is known
	junk    uint64             // malformed lines since the last record line
	suspect *suspect
	missing []hole
	row     *Finding // altered lines in a row, not reported yet
	lastOff int64
	file    string
}

// suspect is a line that did not follow, with the expectation before it.
type suspect struct {
	finding Finding
	line    line
	next    uint64
	prev    [sha256.Size]byte
	linked  bool
	hole    *hole
}

// hole is a run of missing records and what is needed to know them again.
type hole struct {
	from, to uint64
	prev     [sha256.Size]byte
	linked   bool
	file     string
	off      int64
}

func (v *verifier) found(f Finding) {
	f.LastSeq = max(f.Seq, f.LastSeq)
	v.sum.Findings++
	if v.report != nil {
		v.report(f)
	}
}

func (v *verifier) run(ctx context.Context, segs []segment) error {
	v.next, v.linked, v.file = 1, true, v.dir
	v.sum.Anchored = v.anchored
	for _, p := range v.pieces(segs) {
		if err := v.segmentFile(ctx, p, p.seg == segs[len(segs)-1]); err != nil {
			return fmt.Errorf("audit: verify: %w", err)
		}
	}
	v.settle()
	v.flush()
	v.holes(0)
	v.sum.Last = v.next - 1
	if !v.anchored {
		return nil
	}
	if last := v.next - 1; last < v.anchor.Seq {
		v.found(Finding{Kind: Truncated, File: v.file, Offset: v.lastOff, Seq: v.next, LastSeq: v.anchor.Seq,
			Detail: fmt.Sprintf("the log ends with record %d, the anchor says %d", last, v.anchor.Seq)})
	} else if !v.seen {
		v.found(Finding{Kind: AnchorMismatch, File: v.file, Offset: v.anchor.Offset, Seq: v.anchor.Seq,
			Detail: fmt.Sprintf("record %d in segment %d is not the one that was anchored", v.anchor.Seq, v.anchor.Segment)})
	}
	return nil
}

// piece is a segment with the header it turned out to have.
type piece struct {
	seg    segment
	header header
	ok     bool // the header is true
	why    string
}

// pieces reads the headers and puts the segments in the order of those that are
// true: files whose names were swapped are then two findings and not thousands.
func (v *verifier) pieces(segs []segment) []piece {
	ps := make([]piece, 0, len(segs))
	moved := false
	for _, s := range segs {
		p := piece{seg: s}
		if err := v.readHeader(&p); err != nil {
			p.why = err.Error()
		} else if p.ok = true; p.header.Segment != s.number || p.header.First != s.first {
			moved = true
			v.found(Finding{Kind: Reordered, File: s.name, Seq: p.header.First,
				Detail: fmt.Sprintf("holds segment %d with first record %d", p.header.Segment, p.header.First)})
		}
		ps = append(ps, p)
	}
	if moved {
		number := func(p piece) uint64 {
			if p.ok {
				return p.header.Segment
			}
			return p.seg.number
		}
		// Stable insertion: few segments, and almost in order.
		for i := range ps {
			for j := i; j > 0 && number(ps[j]) < number(ps[j-1]); j-- {
				ps[j], ps[j-1] = ps[j-1], ps[j]
			}
		}
	}
	return ps
}

func (v *verifier) readHeader(p *piece) error {
	f, err := os.Open(p.seg.path(v.dir))
	if err != nil {
		return errors.New("cannot be opened")
	}
	defer f.Close()
	b, err := newLineReader(f, 0, maxLine).next()
	if err != nil {
		return errors.New("no segment header")
	}
	if p.header, err = parseHeader(b); err != nil {
		return err
	}
	p.header.body = bytes.Clone(p.header.body)
	if p.header.Key != v.chain.key {
		return fmt.Errorf("written under key %.16q, the log's key is %q", p.header.Key, v.chain.key)
	}
	if v.chain.header(&p.header) != p.header.chain {
		return errors.New("chain value of the header does not match")
	}
	return nil
}

func (v *verifier) segmentFile(ctx context.Context, p piece, last bool) error {
	v.sum.Segments++
	f, err := os.Open(p.seg.path(v.dir))
	if err != nil {
		v.found(Finding{Kind: Unreadable, File: p.seg.name, Seq: v.next, Detail: "cannot be opened"})
		return nil
	}
	defer f.Close()
	end, err := size(f)
	if err != nil {
		return err
	}
	if v.end != nil && p.seg.number == v.end.Segment {
		end = min(end, v.end.Offset)
	}
	v.sum.Bytes += end
	v.settle()
	v.flush()
	before, beforeOff := v.file, v.lastOff
	v.file, v.lastOff = p.seg.name, 0

	r := newLineReader(f, 0, end)
	if p.ok {
		h := &p.header
		switch {
		case h.Gap != nil:
			v.found(Finding{Kind: Gap, File: p.seg.name, Seq: h.Gap.After + 1, LastSeq: max(h.Gap.After+1, h.First) - 1, Detail: h.Gap.Reason})
			// Lost numbers are what the gap says; they are not lost twice.
		case h.Segment > v.segment+1:
			v.found(Finding{Kind: MissingSegment, File: p.seg.name, Seq: v.next, LastSeq: max(h.First, 1) - 1,
				Detail: fmt.Sprintf("segment %d follows segment %d", h.Segment, v.segment)})
		case h.Segment <= v.segment:
			v.found(Finding{Kind: Repeated, File: p.seg.name, Seq: h.First, Detail: fmt.Sprintf("segment %d again", h.Segment)})
		case h.First > v.next:
			v.found(Finding{Kind: Removed, File: before, Offset: beforeOff, Seq: v.next, LastSeq: h.First - 1,
				Detail: "records at the end of the segment are missing"})
		case h.First < v.next:
			v.found(Finding{Kind: Header, File: p.seg.name, Seq: h.First, Detail: fmt.Sprintf("begins with record %d, the segment before ended with %d", h.First, v.next-1)})
		case v.linked && h.prev != v.prev && (v.other == nil || h.prev != *v.other):
			v.found(Finding{Kind: Header, File: p.seg.name, Seq: h.First, Detail: "does not continue the chain of the segment before"})
		}
		v.segment = max(v.segment, h.Segment)
		v.next, v.prev, v.other, v.linked, v.junk = h.First, h.chain, nil, true, 0
		if v.anchor.Seq+1 == h.First && v.anchor.Segment == h.Segment && v.anchor.Hash == h.chain {
			v.seen = true
		}
		_, _ = r.next() // read before
		v.lastOff = r.off
	} else {
		v.found(Finding{Kind: Header, File: p.seg.name, Seq: p.seg.first, Detail: p.why})
		if p.seg.number > v.segment+1 {
			v.found(Finding{Kind: MissingSegment, File: p.seg.name, Seq: v.next, LastSeq: max(p.seg.first, 1) - 1,
				Detail: fmt.Sprintf("segment %d follows segment %d", p.seg.number, v.segment)})
			v.next = p.seg.first
		}
		v.segment = max(v.segment, p.seg.number)
		v.linked, v.other, v.junk = false, nil, 0
		// Pass over the first line only if it is a header, though a wrong one:
		// if the header is gone, the first line is a record.
		b, err := r.next()
		if err == nil {
			v.lastOff = r.off
			if h, err := parseHeader(b); err == nil {
				// Its stated value is what the next line was chained to, if the
				// header's own text is what was changed.
				v.prev, v.linked = h.chain, true
			} else if _, err := parseLine(b); err == nil {
				r, v.lastOff = newLineReader(f, 0, end), 0
			}
		} else if !errors.Is(err, errLongLine) {
			return nil // nothing in it, and that is reported
		}
	}

	for n := 0; ; n++ {
		if n%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		at := r.off
		b, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			v.settle()
			v.flush()
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			v.settle()
			v.flush()
			if last && v.end == nil && (!v.anchored || v.next > v.anchor.Seq) {
				v.sum.Unfinished = r.unread
			} else {
				v.found(Finding{Kind: Torn, File: v.file, Offset: at, Seq: v.next, Detail: fmt.Sprintf("unfinished line of %d bytes", r.unread)})
			}
			return nil
		case errors.Is(err, errLongLine):
			v.malformed(at, err)
		case err != nil:
			v.found(Finding{Kind: Unreadable, File: v.file, Offset: at, Seq: v.next, Detail: "the system cannot read on: " + err.Error()})
			return nil
		default:
			if ln, err := parseLine(b); err != nil {
				v.malformed(at, err)
			} else {
				v.sum.Records++
				v.line(at, ln)
			}
		}
		v.lastOff = r.off
	}
}

func (v *verifier) malformed(at int64, why error) {
	v.settle()
	v.flush()
	v.found(Finding{Kind: Malformed, File: v.file, Offset: at, Seq: v.next + v.junk, Detail: why.Error()})
	v.junk++
}

// fits tells whether a line is the one that belongs after prev.
func (v *verifier) fits(ln line, next uint64, prev [sha256.Size]byte) bool {
	return ln.seq == next && v.chain.record(prev, next, ln.record) == ln.chain
}

// accept goes on from a line.
func (v *verifier) accept(seq uint64, value [sha256.Size]byte) {
	v.next, v.prev, v.other, v.linked, v.junk = seq+1, value, nil, true, 0
	if v.anchored && seq == v.anchor.Seq && value == v.anchor.Hash {
		v.seen = true
	}
}

func (v *verifier) line(at int64, ln line) {
	if v.linked && v.fits(ln, v.next, v.prev) {
		v.settle()
		v.flush()
		v.accept(ln.seq, ln.chain)
		return
	}
	if s := v.suspect; s != nil {
		if v.other != nil && v.fits(ln, v.next, *v.other) {
			// It is chained to what the suspect's value should be: only that
			// value was changed.
			s.finding.Detail = "its chain value was changed, the record was not"
			v.settle()
			v.flush()
			v.accept(ln.seq, ln.chain)
			return
		}
		if s.linked && v.fits(ln, s.next, s.prev) {
			// This line follows the one before the suspect: the suspect does not
			// belong there.
			f := s.finding
			v.suspect = nil
			v.flush()
			v.accept(ln.seq, ln.chain)
			f.Seq, f.LastSeq = s.line.seq, s.line.seq
			if v.fits(s.line, v.next, v.prev) {
				f.Kind, f.Detail = Reordered, fmt.Sprintf("record %d stands before record %d", s.line.seq, ln.seq)
				v.accept(s.line.seq, s.line.chain)
			} else {
				f.Kind, f.Detail = Inserted, fmt.Sprintf("a line with seq %d stands before record %d", s.line.seq, ln.seq)
			}
			v.found(f)
			return
		}
		v.settle()
	}
	f := Finding{File: v.file, Offset: at, Seq: ln.seq}
	switch {
	case ln.seq < v.next:
		v.flush()
		v.late(f, ln)
		return
	case v.linked && v.chain.record(v.prev, v.next, ln.record) == ln.chain:
		v.flush()
		f.Kind, f.Seq, f.Detail = Altered, v.next, fmt.Sprintf("its seq was changed to %d", ln.seq)
		v.found(f)
		v.accept(v.next, ln.chain)
		return
	}
	s := &suspect{line: ln, next: v.next, prev: v.prev, linked: v.linked}
	s.line.record = bytes.Clone(ln.record)
	var other *[sha256.Size]byte
	if ln.seq <= v.next+v.junk {
		// In its place (counting lines that were spoiled beyond recognition), but
		// not what was written. If what came before is not known, it may well be.
		if v.junk > 0 && ln.seq > v.next || !v.linked {
			v.flush()
			v.accept(ln.seq, ln.chain)
			return
		}
		f.Kind, f.Detail = Altered, "the record does not match its chain value"
		m := v.chain.record(v.prev, v.next, ln.record)
		other = &m
	} else {
		f.Kind = Removed
		s.hole = &hole{from: v.next + v.junk, to: ln.seq - 1, prev: v.prev, linked: v.linked && v.junk == 0, file: v.file, off: at}
	}
	s.finding = f
	if f.Kind != Altered {
		v.flush()
	}
	v.suspect = s
	v.accept(ln.seq, ln.chain)
	v.other = other
}

// late deals with a line whose number has passed.
func (v *verifier) late(f Finding, ln line) {
	for i := range v.missing {
		h := &v.missing[i]
		if ln.seq < h.from || ln.seq > h.to {
			continue
		}
		if ln.seq == h.from && h.linked && !v.fits(ln, h.from, h.prev) {
			break
		}
		f.Kind, f.Detail = Reordered, fmt.Sprintf("record %d stands after record %d", ln.seq, v.next-1)
		v.found(f)
		if ln.seq < h.to {
			v.missing = append(v.missing, hole{from: ln.seq + 1, to: h.to, prev: ln.chain, linked: true, file: h.file, off: h.off})
			h = &v.missing[i]
		}
		h.to = ln.seq - 1
		return
	}
	if ln.seq == v.next-1 && ln.chain == v.prev {
		f.Kind, f.Detail = Repeated, fmt.Sprintf("record %d stands here again", ln.seq)
	} else {
		f.Kind, f.Detail = Inserted, fmt.Sprintf("a line with seq %d stands after record %d: a repeated or a made-up record", ln.seq, v.next-1)
	}
	v.found(f)
}

// settle takes the suspect for what it looked like.
func (v *verifier) settle() {
	s := v.suspect
	if s == nil {
		return
	}
	v.suspect = nil
	if v.other != nil && v.anchored && s.line.seq == v.anchor.Seq && *v.other == v.anchor.Hash {
		v.seen = true
	}
	if s.hole != nil {
		v.flush()
		v.holes(maxMissing - 1)
		v.missing = append(v.missing, *s.hole)
		return
	}
	if r := v.row; r != nil && r.File == s.finding.File && r.LastSeq+1 == s.finding.Seq {
		r.LastSeq = s.finding.Seq
		r.Detail = "the records do not match their chain values: rewritten without the key?"
		return
	}
	v.flush()
	f := s.finding
	f.LastSeq = f.Seq
	v.row = &f
}

// flush reports the altered lines that stood in a row as one finding.
func (v *verifier) flush() {
	if v.row != nil {
		v.found(*v.row)
		v.row = nil
	}
}

// holes reports missing records until at most keep holes are remembered.
func (v *verifier) holes(keep int) {
	n := max(0, len(v.missing)-keep)
	for _, h := range v.missing[:n] {
		if h.to >= h.from {
			detail := "one record is missing here"
			if h.to > h.from {
				detail = fmt.Sprintf("%d records are missing here", h.to-h.from+1)
			}
			v.found(Finding{Kind: Removed, File: h.file, Offset: h.off, Seq: h.from, LastSeq: h.to, Detail: detail})
		}
	}
	v.missing = v.missing[n:]
}
