package cloudwatchlogs

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"coffer/internal/api"
	"coffer/internal/table"
)

// Chunk is some of the events that one call put into a stream, in the order of their times. It never changes.
type Chunk struct {
	Account  string       `cbor:"1,keyasint"`
	Region   string       `cbor:"2,keyasint"`
	Group    string       `cbor:"3,keyasint"`
	Stream   string       `cbor:"4,keyasint"` // its id
	Name     string       `cbor:"5,keyasint"` // of the stream
	First    table.Millis `cbor:"6,keyasint"` // of its events
	Last     table.Millis `cbor:"7,keyasint"`
	Ingested table.Millis `cbor:"8,keyasint"`
	Order    uint64       `cbor:"9,keyasint"`  // of its first event among those of the stream; see place
	Count    int          `cbor:"10,keyasint"` // of events
	Size     int64        `cbor:"11,keyasint"` // as AWS counts: bytes of messages, and 26 for each event
	Body     []byte       `cbor:"12,keyasint"` // see pack
}

const streamIndex = "logs.events.stream"

// Chunks hold all events. They are read once, so the cache is not for them.
var Chunks = table.Collection[Chunk]{
	Name:    "logs.events",
	NoCache: true,
	Key: func(c *Chunk) table.Key {
		return table.K(c.Account, c.Region, c.Group, c.class(), c.First.Part(), c.Ingested.Part(), c.Stream, orderPart(c.Order))
	},
	Indexes: []table.Index[Chunk]{{Name: streamIndex, Keys: func(c *Chunk) []table.Key {
		return []table.Key{table.K(c.Account, c.Region, c.Group, c.Stream, c.class(), c.First.Part(), c.Ingested.Part(), orderPart(c.Order))}
	}}},
}

// spans are the classes of chunks by how much time they cover, each sixteen times the one before: a
// second to a day and a half. Stored in keys; append only.
var spans = [...]table.Millis{1 << 10, 1 << 14, 1 << 18, 1 << 22, 1 << 27}

func (c *Chunk) class() string {
	for class, span := range spans {
		if c.Last-c.First <= span {
			return classPart(class)
		}
	}
	return "" // no key has it: append refuses such a chunk
}

func classPart(class int) string { return strconv.Itoa(class) }

func orderPart(order uint64) string { return fmt.Sprintf("%016x", order) }

// What AWS counts for an event beside its message, and how large events and calls may be.
const (
	eventOverhead = 26
	maxEventSize  = 1 << 20
	maxBatchSize  = 1 << 20
	maxBatch      = 10_000 // events
	maxBatchSpan  = day

	chunkSize = 64 << 10 // what chunks are filled up to; a larger event has one of its own
)

// Event is an event to be put. It prints without its message.
type Event struct {
	Time    table.Millis  // when it happened, as its writer says
	Message api.Sensitive // UTF-8, not empty
}

// Format implements fmt.Formatter; see api.Sensitive.
func (e Event) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "event of %d", e.Time) }

func (e *Event) size() int64 { return int64(len(e.Message)) + eventOverhead }

// chunks packs sorted events.
func (s *Stream) chunks(events []Event, now table.Millis) []*Chunk {
	var all []*Chunk
	for from := 0; from < len(events); {
		size := events[from].size()
		to := from + 1
		for to < len(events) && size+events[to].size() <= chunkSize {
			size += events[to].size()
			to++
		}
		all = append(all, &Chunk{
			Account: s.Account, Region: s.Region, Group: s.Group, Stream: s.UID, Name: s.Name,
			First: events[from].Time, Last: events[to-1].Time, Ingested: now,
			Order: uint64(s.Puts)<<orderBits | uint64(from), Count: to - from, Size: size, Body: pack(events[from:to]),
		})
		from = to
	}
	return all
}

// A chunk's body:
//
//	0        1
//	+--------+----------------------------------------------------------+
//	| 1      | events: time since the one before | length | message ... |   numbers as unsigned varints
//	| 2      | length of what follows when inflated (uvarint) | DEFLATE |
//	+--------+----------------------------------------------------------+
//
// Logs say the same again and again: deflated they are a fifth. It is done before sealing, since
// what is sealed cannot be made smaller. Any text that UTF-8 can carry, of the largest
// size there is, so stays below what a row can hold.
const (
	bodyPlain    = 1
	bodyDeflated = 2

	maxBody = maxEventSize + chunkSize // inflated
)

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

var inflaters = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}

func pack(events []Event) []byte {
	size := 1
	for i := range events {
		size += len(events[i].Message) + 2*binary.MaxVarintLen32
	}
	plain := append(make([]byte, 0, size), bodyPlain)
	last := events[0].Time
	for i := range events {
		e := &events[i]
		plain = binary.AppendUvarint(plain, uint64(e.Time-last))
		plain = binary.AppendUvarint(plain, uint64(len(e.Message)))
		plain = append(plain, e.Message...)
		last = e.Time
	}
	var b bytes.Buffer
	b.WriteByte(bodyDeflated)
	b.Write(binary.AppendUvarint(nil, uint64(len(plain)-1)))
	w := deflaters.Get().(*flate.Writer)
	w.Reset(&b)
	w.Write(plain[1:]) // into memory: it does not fail
	w.Close()
	deflaters.Put(w)
	if b.Len() < len(plain) {
		return b.Bytes()
	}
	return plain
}

var errBody = errors.New("its events cannot be read")

// stored is an event of a chunk.
type stored struct {
	time    table.Millis
	message string
}

// events unpacks a chunk. It trusts nothing: the chunk may be damaged, or made by a later Coffer.
func (c *Chunk) events() ([]stored, error) {
	text, err := c.inflate()
	if err != nil {
		return nil, fmt.Errorf("%w: chunk %s of stream %s: %w", table.ErrDamaged, orderPart(c.Order), c.Stream, err)
	}
	all := make([]stored, 0, min(c.Count, maxBatch))
	for t := c.First; text != ""; {
		since, rest, ok := uvarint(text)
		length, rest, ok2 := uvarint(rest)
		if !ok || !ok2 || length > uint64(len(rest)) || since > uint64(maxTime-t) {
			return nil, fmt.Errorf("%w: chunk %s of stream %s: %w", table.ErrDamaged, orderPart(c.Order), c.Stream, errBody)
		}
		t += table.Millis(since)
		all = append(all, stored{t, rest[:length]})
		text = rest[length:]
	}
	if len(all) != c.Count || len(all) == 0 || all[len(all)-1].time != c.Last {
		return nil, fmt.Errorf("%w: chunk %s of stream %s: %w", table.ErrDamaged, orderPart(c.Order), c.Stream, errBody)
	}
	return all, nil
}

func (c *Chunk) inflate() (string, error) {
	if len(c.Body) == 0 {
		return "", errBody
	}
	switch body := c.Body[1:]; c.Body[0] {
	case bodyPlain:
		return string(body), nil
	case bodyDeflated:
		size, n := binary.Uvarint(body)
		if n <= 0 || size > maxBody {
			return "", errBody
		}
		inflater := inflaters.Get().(io.Reader)
		defer inflaters.Put(inflater)
		if err := inflater.(flate.Resetter).Reset(bytes.NewReader(body[n:]), nil); err != nil {
			return "", err
		}
		var text strings.Builder
		text.Grow(int(size))
		written, err := io.Copy(&text, io.LimitReader(inflater, int64(size)+1))
		if err != nil || uint64(written) != size {
			return "", errors.Join(errBody, err)
		}
		return text.String(), nil
	}
	return "", errBody
}

func uvarint(s string) (n uint64, rest string, ok bool) {
	for i := range min(len(s), binary.MaxVarintLen64) {
		n |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return n, s[i+1:], true
		}
	}
	return 0, s, false
}

// removeChunks deletes chunks and takes their bytes off what their groups hold.
func removeChunks(tx *table.Tx, gone []*Chunk) error {
	lost := make(map[string]int64) // by shard
	for _, c := range gone {
		if err := Chunks.Delete(tx, Chunks.Key(c)); err != nil {
			return err
		}
		lost[c.Stream[:1]] += c.Size
	}
	for shard, n := range lost {
		if err := grow(tx, gone[0].Account, gone[0].Region, gone[0].Group, shard, -n); err != nil {
			return err
		}
	}
	return nil
}
