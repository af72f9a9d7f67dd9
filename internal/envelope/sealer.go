package envelope

import (
	"bytes"
	"fmt"
)

const (
	blobVersion = 1
	headerSize  = 1 + len(keyID{})

	// Overhead is what a Sealer adds to a plaintext, in bytes.
	Overhead = headerSize + RunOverhead

	labelSeal = "coffer/envelope/v1/seal"

	// sealerRuns is how many runs, that is mostly process starts, a store's
	// rows may come from before opening them slows down by a key derivation.
	sealerRuns = 256
)

// header of a sealed or wrapped blob: version and key id.
type header [headerSize]byte

func newHeader(k Key) (h header, err error) {
	id, err := k.id()
	h[0] = blobVersion
	copy(h[1:], id[:])
	return h, err
}

// Sealer seals values under the newest of its keys and opens them under any.
// All methods may be called concurrently. The zero Sealer does not work.
type Sealer struct {
	keys []sealerKey // newest last; never empty
}

type sealerKey struct {
	header header
	runs   *RunKeys
}

// NewSealer returns a Sealer that seals under the last of keys and opens under
// all of them. It keeps copies. ErrNoKey if there is none or one is zero.
func NewSealer(keys ...Key) (*Sealer, error) {
	if len(keys) == 0 {
		return nil, ErrNoKey
	}
	s := &Sealer{keys: make([]sealerKey, len(keys))}
	for i, k := range keys {
		h, err := newHeader(k)
		if err != nil {
			return nil, err
		}
		runs, err := NewRunKeys(k, labelSeal, sealerRuns)
		if err != nil {
			return nil, err
		}
		s.keys[i] = sealerKey{h, runs}
	}
	return s, nil
}

// Seal appends the sealed plaintext, len(plaintext)+Overhead bytes, to dst. aad
// is authenticated and not stored: it should name the place the blob belongs
// in, such as table and key. dst must not overlap plaintext. Seal panics on a
// zero or destroyed Sealer, because writing plaintext or nothing would be worse.
func (s *Sealer) Seal(dst, plaintext, aad []byte) []byte {
	if s == nil || len(s.keys) == 0 {
		panic(ErrNoKey)
	}
	k := &s.keys[len(s.keys)-1]
	out, err := k.runs.Seal(dst, k.header[:], plaintext, aad)
	if err != nil {
		panic(err)
	}
	return out
}

// Open appends the plaintext of blob to dst; dst must not overlap blob and may
// be overwritten up to its capacity. Anything but an unaltered blob of one of
// the keys with the same aad is ErrCorrupt; ErrNoKey on a zero or destroyed
// Sealer.
func (s *Sealer) Open(dst, blob, aad []byte) ([]byte, error) {
	if s == nil || len(s.keys) == 0 {
		return nil, ErrNoKey
	}
	if len(blob) < Overhead {
		return nil, ErrCorrupt
	}
	for i := len(s.keys) - 1; i >= 0; i-- {
		if k := &s.keys[i]; bytes.Equal(k.header[:], blob[:headerSize]) {
			return k.runs.Open(dst, blob, headerSize, aad)
		}
	}
	if blob[0] != blobVersion {
		return nil, fmt.Errorf("%w: version byte %d is unknown", ErrCorrupt, blob[0])
	}
	return nil, fmt.Errorf("%w: sealed under store key %x, which is not in the keyring", ErrCorrupt, blob[1:headerSize])
}

// Destroy zeroes the Sealer's keys.
func (s *Sealer) Destroy() {
	for i := range s.keys {
		s.keys[i].runs.Destroy()
	}
}
