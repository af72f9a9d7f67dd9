package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"coffer/internal/kv"
)

// Logs and manifest are sequences of chunks in blocks of 32 KiB:
//
//	manifest  crc uint32 | length uint16 | type 1-4                          | payload
//	log       crc uint32 | length uint16 | type 9-12 | log uint32 | sync uint64 | payload
//	old log   crc uint32 | length uint16 | type 5-8  | log uint32               | payload
//
// Pebble writes the first log of a new store in the old form, because it makes
// a store in its oldest format and raises that a moment later.
//
// The crc is over everything from type on. A log that was closed ends with a
// trailer that bears the number of the log plus one. A recycled file has
// chunks of an older log behind its end.
//
// Reading stops at the first chunk that is not valid. Normally that is the
// end: a crash tears the last write. It is damage if one of these holds:
//
//   - Flipping one bit makes the chunk valid. By chance: once in a million.
//   - A later chunk says that the place had been synced: by the offset in its
//     header (which Pebble counts low, leaving out what filled a block, and
//     looks at from the next block on only), or by our own marker, when the
//     newest durable version it names is beyond the last one read.
//   - The trailer of a closed log follows.
//   - In the manifest, which is synced after each record: any later chunk; and
//     a place before the length that the file SYNCED notes. Pebble does not
//     preallocate manifests, so zeros at the end are what a power loss left of
//     the last record, or damage; only the note tells which.
const (
	blockSize      = 32 << 10
	manifestHeader = 7
	oldLogHeader   = 11
	logHeader      = 19
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// logProblem is damage in a log or manifest.
type logProblem struct {
	file   string
	offset int
	why    string
}

func (p *logProblem) Error() string {
	return fmt.Sprintf("%s: damaged at byte %d: %s", p.file, p.offset, p.why)
}

func (p *logProblem) Unwrap() error { return kv.ErrCorrupt }

// checkLogs checks the current manifest and all logs in dir.
func checkLogs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return explain(dir, "read", err)
	}
	manifest, newest := "", -1
	for _, e := range entries {
		name := e.Name()
		// marker.manifest.<iteration>.<file>: the highest iteration counts.
		if rest, ok := strings.CutPrefix(name, "marker.manifest."); ok {
			n, file, _ := strings.Cut(rest, ".")
			if i, err := strconv.Atoi(n); err == nil && i > newest {
				newest, manifest = i, file
			}
		}
		num, ok := strings.CutSuffix(name, ".log")
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(num, 10, 64)
		if err != nil {
			continue
		}
		if err := checkFile(filepath.Join(dir, name), logHeader, uint32(n)); err != nil {
			return err
		}
	}
	if manifest == "" {
		return nil
	}
	return checkManifest(filepath.Join(dir, manifest))
}

func checkManifest(name string) error {
	size, known := readSynced(name) // first, as the manifest may grow
	buf, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return damage(name, err)
	}
	if err != nil {
		return explain(name, "read", err)
	}
	off, why := checkChunks(buf, manifestHeader, 0)
	if why != "" {
		return &logProblem{name, off, why}
	}
	end := records(buf)
	switch {
	case uint64(end) < size && end == len(buf):
		return &logProblem{name, end, fmt.Sprintf("cut short, it had %d bytes", size)}
	case uint64(end) < size:
		return &logProblem{name, end, fmt.Sprintf("unreadable from here on, and %d bytes had been written and synced", size)}
	case !known && end < len(buf):
		// The note is synced after each record, so that a power loss can
		// damage one of the two, not both.
		return &logProblem{name, end, fmt.Sprintf("unreadable from here on, and %s, which tells how much had been written, is gone or damaged", syncedName)}
	}
	return nil
}

// records returns where the last whole record of a manifest ends.
func records(buf []byte) (end int) {
	for off := 0; off < len(buf); {
		block := off / blockSize * blockSize
		if rest := buf[off:min(block+blockSize, len(buf))]; block+blockSize-off < manifestHeader && allZero(rest) {
			off += len(rest)
			continue
		}
		c, ok := parse(buf, off, manifestHeader, 0)
		if !ok {
			break
		}
		off = c.end
		if c.kind == 1 || c.kind == 4 {
			end = off
		}
	}
	return end
}

// The file SYNCED is: crc uint32 | length uint64 | name of the manifest.
const syncedName = "SYNCED"

func noteSynced(manifest string, size uint64) {
	b := make([]byte, 4, 64)
	b = binary.LittleEndian.AppendUint64(b, size)
	b = append(b, filepath.Base(manifest)...)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	// Without it Open checks less; that is no reason to fail. It is written in
	// place, less than a sector, so that a crash leaves the old one or the new.
	f, err := os.OpenFile(filepath.Join(filepath.Dir(manifest), syncedName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	if _, err := f.WriteAt(b, 0); err == nil && f.Truncate(int64(len(b))) == nil {
		_ = f.Sync()
	}
	_ = f.Close()
}

// readSynced returns the length manifest had at its last known sync, and
// whether the note tells of it. A note of a newer manifest counts as one that
// says 0: when a crash comes before Pebble changes over to the newer one, the
// older is current again, with the end that an earlier crash gave it.
func readSynced(manifest string) (size uint64, known bool) {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(manifest), syncedName))
	if err != nil || len(b) < 12 || binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return 0, false
	}
	noted, base := manifestNumber(string(b[12:])), manifestNumber(manifest)
	if noted != base {
		return 0, noted > base
	}
	return binary.LittleEndian.Uint64(b[4:]), true
}

func manifestNumber(name string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimPrefix(filepath.Base(name), "MANIFEST-"), 10, 64)
	return n
}

func checkFile(name string, header int, num uint32) error {
	buf, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil // recycled or deleted since; Pebble tells if it needs it
	}
	if err != nil {
		return explain(name, "read", err)
	}
	if off, why := checkChunks(buf, header, num); why != "" {
		return &logProblem{name, off, why}
	}
	return nil
}

// chunk is one valid chunk.
type chunk struct {
	end     int
	kind    byte // 1 full, 2 first, 3 middle, 4 last
	payload []byte
	synced  uint64
}

// parse returns the chunk at off if it is valid and of this log.
func parse(buf []byte, off, header int, num uint32) (c chunk, ok bool) {
	limit := min(off/blockSize*blockSize+blockSize, len(buf))
	if off+manifestHeader > limit {
		return c, false
	}
	h := buf[off:limit]
	c.kind = h[6]
	switch {
	case header == manifestHeader:
		if c.kind < 1 || c.kind > 4 {
			return c, false
		}
	case c.kind >= 9 && c.kind <= 12 && len(h) >= logHeader:
		c.kind -= 8
		c.synced = binary.LittleEndian.Uint64(h[11:])
	case c.kind >= 5 && c.kind <= 8 && len(h) >= oldLogHeader:
		c.kind -= 4
		header = oldLogHeader
	default:
		return c, false
	}
	if header != manifestHeader && binary.LittleEndian.Uint32(h[7:]) != num {
		return c, false
	}
	c.end = off + header + int(binary.LittleEndian.Uint16(h[4:]))
	if c.end > limit {
		return c, false
	}
	c.payload = buf[off+header : c.end]
	return c, mask(crc32.Checksum(buf[off+6:c.end], castagnoli)) == binary.LittleEndian.Uint32(h)
}

// mask is how checksums are stored.
func mask(c uint32) uint32   { return (c>>15 | c<<17) + 0xa282ead8 }
func unmask(m uint32) uint32 { m -= 0xa282ead8; return m<<15 | m>>17 }

// marker returns the versions at the start of a batch of ours.
func marker(payload []byte) (version, durable uint64, ok bool) {
	const at = 12 // sequence number and count
	if len(payload) < at+2+markerLen || payload[at] != 3 || payload[at+1] != markerLen || payload[at+2] != 'c' {
		return 0, 0, false
	}
	m := payload[at+2:]
	return binary.LittleEndian.Uint64(m[1:]), binary.LittleEndian.Uint64(m[9:]), true
}

func trailer(num uint32) []byte {
	t := make([]byte, 11)
	t[6] = 5
	binary.LittleEndian.PutUint32(t[7:], num+1)
	return t
}

// checkChunks returns where and why buf is damaged; why is empty if it is not.
func checkChunks(buf []byte, header int, num uint32) (int, string) {
	off := 0
	var reading, version uint64 // of the record being read, of the last whole one
	end := trailer(num)
	for off < len(buf) {
		block := off / blockSize * blockSize
		if rest := buf[off:min(block+blockSize, len(buf))]; block+blockSize-off < header && allZero(rest) {
			off += len(rest) // the writer fills what is too short for a chunk
			continue
		}
		c, ok := parse(buf, off, header, num)
		if !ok {
			break
		}
		if c.kind <= 2 {
			reading, _, _ = marker(c.payload)
		}
		if c.kind == 1 || c.kind == 4 {
			version = reading
		}
		off = c.end
	}
	if off >= len(buf) || header == logHeader && bytes.HasPrefix(buf[off:], end) {
		return 0, ""
	}
	if oneBit(buf, off, header, num) {
		return off, "one flipped bit"
	}
	for p := off + 1; p < len(buf); p++ {
		c, ok := parse(buf, p, header, num)
		switch {
		case !ok:
		case header == manifestHeader:
			return off, fmt.Sprintf("a good record follows at byte %d", p)
		case c.synced > uint64(off):
			return off, fmt.Sprintf("the record at byte %d was written when this place had been synced", p)
		case c.kind <= 2 && version > 0:
			if _, durable, ok := marker(c.payload); ok && durable > version {
				return off, fmt.Sprintf("commits %d to %d are lost, and the record at byte %d names them durable", version+1, durable, p)
			}
		}
	}
	if header == logHeader && bytes.Contains(buf[off:], end) {
		return off, "the log was closed in order, behind this place"
	}
	return 0, ""
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// oneBit reports whether one flipped bit makes a valid chunk at off.
func oneBit(buf []byte, off, header int, num uint32) bool {
	limit := min(off/blockSize*blockSize+blockSize, len(buf))
	if off+manifestHeader > limit {
		return false
	}
	b := buf[off:limit]
	at := off % blockSize
	// parse knows blocks by offset: put the copy at its place in one.
	padded := append(make([]byte, at), b...)
	valid := func(i int, bit byte) bool {
		padded[at+i] ^= 1 << bit
		_, ok := parse(padded, at, header, num)
		padded[at+i] ^= 1 << bit
		return ok
	}
	for i := range min(header, len(b)) {
		for bit := range byte(8) {
			if valid(i, bit) {
				return true
			}
		}
	}
	// In the payload the crc tells the place: it is linear, so the difference
	// between stored and computed is that of the flipped bit alone.
	if header == logHeader && b[6] < 9 {
		header = oldLogHeader
	}
	n := header + int(binary.LittleEndian.Uint16(b[4:]))
	if n > len(b) {
		return false
	}
	diff := unmask(binary.LittleEndian.Uint32(b)) ^ crc32.Checksum(b[6:n], castagnoli)
	var s [8]uint32 // difference made by each bit of the byte at i
	for bit := range s {
		s[bit] = castagnoli[1<<bit]
	}
	for i := n - 1; i >= header; i-- {
		for bit := range s {
			if s[bit] == diff && valid(i, byte(bit)) {
				return true
			}
			s[bit] = castagnoli[byte(s[bit])] ^ s[bit]>>8
		}
	}
	return false
}
