package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	runIDSize = 16
	nonceSize = 12
	tagSize   = 16

	// RunOverhead is what RunKeys adds to header and plaintext, in bytes.
	RunOverhead = runIDSize + nonceSize + tagSize

	// sealsPerRun keeps the chance of a repeated nonce at 2^-37 a run, with
	// room to the 2^32 of SP 800-38D 8.3 for calls that race past the mark.
	sealsPerRun = 1 << 30
)

// RunKeys seals under keys derived per run from one long-lived key, as the
// package doc explains. It is the one place where AES-GCM is called; Sealer,
// the root keys and package material build their formats on it by giving their
// own header. All methods may be called concurrently.
type RunKeys struct {
	label string
	max   int // most derived keys kept

	mu  sync.RWMutex // read: derive from key; write: change table, draw a run, destroy
	key Key          // a copy of our own; zero once destroyed

	sealing atomic.Pointer[run]
	table   atomic.Pointer[runTable]
	victim  uint8
}

// run is one run id and its AEAD. The AEAD draws its own nonces and puts them
// before the ciphertext: cipher.NewGCMWithRandomNonce is also the only AES-GCM
// that Go's FIPS 140-3 mode admits.
type run struct {
	id    [runIDSize]byte
	aead  cipher.AEAD
	seals atomic.Uint64
}

// runTable is a set-associative cache: run ids are random, so their first
// bytes pick the set. Reading it takes no lock.
type runTable struct {
	sets [][4]atomic.Pointer[run] // a power of two of them
}

func (t *runTable) set(id *[runIDSize]byte) *[4]atomic.Pointer[run] {
	return &t.sets[binary.LittleEndian.Uint32(id[:])&uint32(len(t.sets)-1)]
}

// NewRunKeys copies key and seals under it for the purpose that label names; a
// label must not be used for two purposes under one key. At most about runs
// derived keys (1 KiB each; 4 at least, rounded up to 4 times a power of two)
// are kept; a further one costs 2 to 3 microseconds per Open. ErrNoKey for a
// zero key.
func NewRunKeys(key Key, label string, runs int) (*RunKeys, error) {
	if key.IsZero() {
		return nil, ErrNoKey
	}
	sets := 1
	if runs > 4 {
		sets = 1 << bits.Len(uint((runs-1)/4))
	}
	return &RunKeys{label: label, max: sets, key: key.clone()}, nil
}

// Seal appends to dst: header, run id, nonce, ciphertext and tag. header and
// aad are authenticated, the plaintext is encrypted and authenticated too. dst
// must not overlap plaintext. ErrNoKey after Destroy.
func (r *RunKeys) Seal(dst, header, plaintext, aad []byte) ([]byte, error) {
	s, err := r.sealingRun()
	if err != nil {
		return nil, err
	}
	dst = slices.Grow(dst, len(header)+len(plaintext)+RunOverhead)
	dst = append(dst, header...)
	dst = append(dst, s.id[:]...)
	ad := bindings.Get().(*[]byte)
	*ad = bind((*ad)[:0], header, s.id[:], aad)
	dst = s.aead.Seal(dst, nil, plaintext, *ad)
	release(ad)
	return dst, nil
}

// Open appends to dst the plaintext of a blob made by Seal with a header of
// headerLen bytes; what the header says is the caller's to check. dst must not
// overlap blob. ErrCorrupt for anything Seal did not make with this key and
// label, header and aad; ErrNoKey after Destroy.
func (r *RunKeys) Open(dst, blob []byte, headerLen int, aad []byte) ([]byte, error) {
	if len(blob) < headerLen+RunOverhead {
		return nil, ErrCorrupt
	}
	header, rest := blob[:headerLen], blob[headerLen:]
	id := (*[runIDSize]byte)(rest)
	s := r.lookup(id)
	known := s != nil
	if !known {
		var err error
		if s, err = r.derive(id); err != nil {
			return nil, err
		}
	}
	ad := bindings.Get().(*[]byte)
	*ad = bind((*ad)[:0], header, id[:], aad)
	out, err := s.aead.Open(dst, nil, rest[runIDSize:], *ad)
	release(ad)
	if err != nil {
		return nil, ErrCorrupt
	}
	if !known {
		// Only now: run ids come from disk and, through KMS Decrypt, from
		// clients. One that has not authenticated a message must not push out
		// those in use.
		r.remember(s)
	}
	return out, nil
}

// Destroy zeroes the key and drops what was derived from it. Calls under way
// finish; later ones return ErrNoKey.
func (r *RunKeys) Destroy() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.key.Destroy()
	r.sealing.Store(nil)
	r.table.Store(nil)
}

func (r *RunKeys) sealingRun() (*run, error) {
	if s := r.sealing.Load(); s != nil && s.seals.Add(1) <= sealsPerRun {
		return s, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sealing.Load(); s != nil && s.seals.Add(1) <= sealsPerRun {
		return s, nil
	}
	var id [runIDSize]byte
	rand.Read(id[:])
	s, err := r.deriveLocked(&id)
	if err != nil {
		return nil, err
	}
	s.seals.Store(1)
	r.sealing.Store(s)
	r.rememberLocked(s)
	return s, nil
}

func (r *RunKeys) derive(id *[runIDSize]byte) (*run, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.deriveLocked(id)
}

func (r *RunKeys) deriveLocked(id *[runIDSize]byte) (*run, error) {
	key, err := r.key.derive(id[:], r.label, KeySize)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &run{id: *id, aead: aead}, nil
}

func (r *RunKeys) lookup(id *[runIDSize]byte) *run {
	t := r.table.Load()
	if t == nil {
		return nil
	}
	set := t.set(id)
	for i := range set {
		if s := set[i].Load(); s != nil && s.id == *id {
			return s
		}
	}
	return nil
}

func (r *RunKeys) remember(s *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.key.IsZero() {
		r.rememberLocked(s)
	}
}

// rememberLocked keeps s. The table starts with one set, because there may be
// thousands of RunKeys with one run each, and doubles while a set is full and
// the limit allows.
func (r *RunKeys) rememberLocked(s *run) {
	if r.lookup(&s.id) != nil {
		return // another Open was first
	}
	t := r.table.Load()
	if t == nil {
		t = &runTable{make([][4]atomic.Pointer[run], 1)}
		r.table.Store(t)
	}
	for !t.put(s) {
		if len(t.sets) >= r.max {
			r.victim++
			t.set(&s.id)[r.victim%4].Store(s)
			return
		}
		// At twice the size the runs of one set spread over two, so all fit.
		grown := &runTable{make([][4]atomic.Pointer[run], 2*len(t.sets))}
		for i := range t.sets {
			for j := range t.sets[i] {
				if old := t.sets[i][j].Load(); old != nil {
					grown.put(old)
				}
			}
		}
		t = grown
		r.table.Store(t)
	}
}

func (t *runTable) put(s *run) bool {
	set := t.set(&s.id)
	for i := range set {
		if set[i].Load() == nil {
			set[i].Store(s)
			return true
		}
	}
	return false
}

// bind appends the associated data of a blob. The header's length goes first:
// without it, bytes moved from the caller's associated data into a longer
// header would authenticate all the same.
func bind(dst, header, runID, aad []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(header)))
	dst = append(dst, header...)
	dst = append(dst, runID...)
	return append(dst, aad...)
}

// bindings recycles the buffers of bind: they reach the AEAD through an
// interface, so each would be an allocation on the hottest path.
var bindings = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

func release(b *[]byte) {
	if cap(*b) <= 64<<10 {
		bindings.Put(b)
	}
}
