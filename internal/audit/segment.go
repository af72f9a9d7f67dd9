package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	formatName    = "audit log"
	formatVersion = 1

	// MaxRecord is the largest record that Append takes. What AppendJSON writes
	// is smaller.
	MaxRecord = 512 << 10

	maxLine    = MaxRecord + 256 // record and envelope with its line end; headers are shorter
	chainTail  = len(`,"chain":""}`) + 2*sha256.Size
	lineMiddle = `","record":`
)

// chain computes the values that tie each line to all before it.
type chain struct {
	mac hash.Hash
	in  [1 + sha256.Size + 8]byte
	key string // check value of the key, as headers carry it
}

func newChain(key []byte) *chain {
	if len(key) == 0 {
		return &chain{mac: sha256.New(), key: "none"}
	}
	c := &chain{mac: hmac.New(sha256.New, key)}
	c.mac.Write([]byte("coffer audit log key"))
	c.key = hex.EncodeToString(c.mac.Sum(nil)[:4])
	return c
}

func (c *chain) next(kind byte, prev [sha256.Size]byte, seq uint64, body []byte) (v [sha256.Size]byte) {
	c.mac.Reset()
	c.in[0] = kind
	copy(c.in[1:], prev[:])
	binary.BigEndian.PutUint64(c.in[1+sha256.Size:], seq)
	c.mac.Write(c.in[:])
	c.mac.Write(body)
	// Sum into the input buffer: a local array would escape through the interface.
	copy(v[:], c.mac.Sum(c.in[:0]))
	return v
}

func (c *chain) record(prev [sha256.Size]byte, seq uint64, record []byte) [sha256.Size]byte {
	return c.next('R', prev, seq, record)
}

func (c *chain) header(h *header) [sha256.Size]byte {
	return c.next('H', h.prev, h.First, h.body)
}

// appendLine appends the line of one record and returns its chain value.
func (c *chain) appendLine(dst []byte, prev [sha256.Size]byte, seq uint64, record []byte) ([]byte, [sha256.Size]byte) {
	v := c.record(prev, seq, record)
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"chain":"`...)
	dst = hex.AppendEncode(dst, v[:])
	dst = append(dst, lineMiddle...)
	dst = append(dst, record...)
	return append(dst, '}', '\n'), v
}

// line is one record as it stands in a segment.
type line struct {
	seq    uint64
	chain  [sha256.Size]byte
	record []byte
}

var errLine = errors.New("not a record line")

// parseLine takes a line without its line end apart. It accepts only what
// appendLine writes.
func parseLine(b []byte) (l line, err error) {
	b, ok := bytes.CutPrefix(b, []byte(`{"seq":`))
	if !ok {
		return l, errLine
	}
	digits := bytes.IndexByte(b, ',')
	if digits < 1 || digits > 20 || b[0] == '0' {
		return l, errLine
	}
	for _, c := range b[:digits] {
		if c < '0' || c > '9' {
			return l, errLine
		}
		d := uint64(c - '0')
		if l.seq > (1<<64-1-d)/10 {
			return l, errLine
		}
		l.seq = l.seq*10 + d
	}
	b, ok = bytes.CutPrefix(b[digits:], []byte(`,"chain":"`))
	if !ok || len(b) < 2*sha256.Size || !decodeHex(&l.chain, b[:2*sha256.Size]) {
		return l, errLine
	}
	b, ok = bytes.CutPrefix(b[2*sha256.Size:], []byte(lineMiddle))
	if !ok || len(b) < 3 || b[0] != '{' || b[len(b)-2] != '}' || b[len(b)-1] != '}' {
		return l, errLine
	}
	l.record = b[:len(b)-1]
	return l, nil
}

// decodeHex takes lower case only: a value has one spelling, so that a changed
// letter is a changed file.
func decodeHex(dst *[sha256.Size]byte, b []byte) bool {
	for i := range dst {
		hi := strings.IndexByte(hexDigits, b[2*i])
		lo := strings.IndexByte(hexDigits, b[2*i+1])
		if hi < 0 || lo < 0 {
			return false
		}
		dst[i] = byte(hi<<4 | lo)
	}
	return true
}

// header is the first line of a segment. The order of the members is the format.
type header struct {
	Coffer  string `json:"coffer"`
	Version int    `json:"version"`
	Segment uint64 `json:"segment"`
	First   uint64 `json:"first"` // seq of the first record
	Created string `json:"created"`
	Key     string `json:"key"`
	Prev    string `json:"prev"`
	Gap     *gap   `json:"gap,omitempty"`

	prev  [sha256.Size]byte
	chain [sha256.Size]byte
	body  []byte // the line before ,"chain"
}

// gap is the lasting mark of a damaged or lost end that the log went on from.
type gap struct {
	After  uint64 `json:"after"` // last seq that was still whole
	Reason string `json:"reason"`
}

func (c *chain) appendHeader(dst []byte, segment, first uint64, prev [sha256.Size]byte, created time.Time, g *gap) ([]byte, [sha256.Size]byte, error) {
	h := header{
		Coffer: formatName, Version: formatVersion,
		Segment: segment, First: first,
		Created: created.UTC().Format(time.RFC3339),
		Key:     c.key,
		Prev:    hex.EncodeToString(prev[:]),
		Gap:     g,
		prev:    prev,
	}
	body, err := json.Marshal(&h)
	if err != nil {
		return nil, h.chain, err
	}
	h.body = body[:len(body)-1]
	v := c.header(&h)
	dst = append(dst, h.body...)
	dst = append(dst, `,"chain":"`...)
	dst = hex.AppendEncode(dst, v[:])
	return append(dst, '"', '}', '\n'), v, nil
}

// parseHeader takes a header line without its line end apart. It does not check
// the chain value.
func parseHeader(b []byte) (h header, err error) {
	if len(b) <= chainTail {
		return h, errors.New("not a segment header")
	}
	body, tail := b[:len(b)-chainTail], b[len(b)-chainTail:]
	if tail, ok := bytes.CutPrefix(tail, []byte(`,"chain":"`)); !ok || !bytes.HasSuffix(tail, []byte(`"}`)) || !decodeHex(&h.chain, tail) {
		return h, errors.New("not a segment header")
	}
	dec := json.NewDecoder(io.MultiReader(bytes.NewReader(body), strings.NewReader("}")))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&h); err != nil || dec.InputOffset() != int64(len(body))+1 {
		return h, errors.New("not a segment header")
	}
	if h.Coffer != formatName || h.Version != formatVersion {
		return h, fmt.Errorf("format %q version %d; this program knows %q version %d", h.Coffer, h.Version, formatName, formatVersion)
	}
	if len(h.Prev) != 2*sha256.Size || !decodeHex(&h.prev, []byte(h.Prev)) || h.Segment == 0 || h.First == 0 {
		return h, errors.New("not a segment header")
	}
	h.body = body
	return h, nil
}

// segment is a file of the log as its name tells.
type segment struct {
	number, first uint64
	name          string // without the directory
}

func newSegment(number, first uint64) segment {
	return segment{number, first, fmt.Sprintf("audit-%08d-%020d.jsonl", number, first)}
}

func (s segment) path(dir string) string { return filepath.Join(dir, s.name) }

// listSegments returns the segments of a directory by number. Files with other
// names are nobody's business: a log has no say over what lies next to it.
func listSegments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var segs []segment
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), "audit-")
		if !ok {
			continue
		}
		rest, ok = strings.CutSuffix(rest, ".jsonl")
		if !ok {
			continue
		}
		number, first, _ := strings.Cut(rest, "-")
		n, err1 := strconv.ParseUint(number, 10, 64)
		f, err2 := strconv.ParseUint(first, 10, 64)
		if s := newSegment(n, f); err1 == nil && err2 == nil && s.name == e.Name() {
			segs = append(segs, s)
		}
	}
	slices.SortFunc(segs, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.first, b.first))
	})
	return segs, nil
}

// lineReader reads lines and knows where it stands.
type lineReader struct {
	r      *bufio.Reader
	off    int64 // of the next line
	long   []byte
	unread int64 // bytes of an unfinished last line
}

var errLongLine = errors.New("line longer than any record")

// newLineReader reads the bytes of f from off up to end.
func newLineReader(f io.ReaderAt, off, end int64) *lineReader {
	return newLineReaderSize(f, off, end, 64<<10)
}

func newLineReaderSize(f io.ReaderAt, off, end int64, buffer int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(io.NewSectionReader(f, off, end-off), buffer), off: off}
}

// next returns the next line without its end, valid until the next call. A line
// too long is passed over and comes back as errLongLine; an unfinished one at the
// end is io.ErrUnexpectedEOF and its length in unread. Either way the start of
// the line is the off from before.
func (l *lineReader) next() ([]byte, error) {
	l.long = l.long[:0]
	var size int64
	for {
		part, err := l.r.ReadSlice('\n')
		size += int64(len(part))
		if err == nil && len(l.long) == 0 && size <= maxLine {
			l.off += size
			return part[:len(part)-1], nil
		}
		if size <= maxLine {
			l.long = append(l.long, part...)
		}
		switch {
		case err == nil:
			l.off += size
			if size > maxLine {
				return nil, errLongLine
			}
			return l.long[:len(l.long)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			if size == 0 {
				return nil, io.EOF
			}
			l.unread = size
			return l.long, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}
