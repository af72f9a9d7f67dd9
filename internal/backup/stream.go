package backup

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The sealed stream is the STREAM construction (Hoang, Reyhanitabar, Rogaway,
// Vizár, 2015): chunks under a key of their own, the nonce counts the chunks and
// its last byte marks the final one. Chunks cannot be reordered, dropped
// or repeated, and a stream that was cut off has no final chunk.

const chunkSize = 64 << 10

var errCut = errors.New("the backup is damaged or cut off, or was made under another root key")

// streamAEAD derives the stream's key. The header is bound into it: a backup with an altered
// header does not open.
func streamAEAD(key, salt, header []byte) (cipher.AEAD, error) {
	sum := sha256.Sum256(header)
	k, err := hkdf.Key(sha256.New, key, salt, "coffer backup v1 "+string(sum[:]), 32)
	if err != nil {
		return nil, err
	}
	defer clear(k)
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func streamNonce(n uint64, last bool) []byte {
	nonce := make([]byte, 12) // 3 zero bytes, the counter, the mark
	binary.BigEndian.PutUint64(nonce[3:11], n)
	if last {
		nonce[11] = 1
	}
	return nonce
}

// sealer is an io.Writer whose Close writes the final chunk.
type sealer struct {
	w    io.Writer
	aead cipher.AEAD
	buf  []byte
	out  []byte
	n    uint64
}

func newSealer(w io.Writer, aead cipher.AEAD) *sealer {
	return &sealer{w: w, aead: aead, buf: make([]byte, 0, chunkSize)}
}

func (s *sealer) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		if len(s.buf) == chunkSize {
			if err := s.flush(false); err != nil {
				return 0, err
			}
		}
		n := copy(s.buf[len(s.buf):chunkSize], p)
		s.buf = s.buf[:len(s.buf)+n]
		p = p[n:]
	}
	return written, nil
}

func (s *sealer) flush(last bool) error {
	s.out = s.aead.Seal(s.out[:0], streamNonce(s.n, last), s.buf, nil)
	s.n++
	s.buf = s.buf[:0]
	_, err := s.w.Write(s.out)
	return err
}

func (s *sealer) Close() error { return s.flush(true) }

// opener reads what sealer wrote. It returns io.EOF only behind a final chunk
// that nothing follows.
type opener struct {
	r    io.Reader
	aead cipher.AEAD
	in   []byte
	rest []byte
	n    uint64
	done bool
}

func newOpener(r io.Reader, aead cipher.AEAD) *opener {
	return &opener{r: r, aead: aead, in: make([]byte, chunkSize+aead.Overhead())}
}

func (o *opener) Read(p []byte) (int, error) {
	for len(o.rest) == 0 {
		if o.done {
			return 0, io.EOF
		}
		if err := o.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	return n, nil
}

func (o *opener) next() error {
	n, err := io.ReadFull(o.r, o.in)
	last := false
	switch {
	case err == nil:
	case errors.Is(err, io.ErrUnexpectedEOF):
		last = true
	case errors.Is(err, io.EOF):
		return errCut
	default:
		return err
	}
	// A full chunk may be the final one too.
	plain, err := o.aead.Open(nil, streamNonce(o.n, last), o.in[:n], nil)
	if err != nil && !last {
		last = true
		plain, err = o.aead.Open(nil, streamNonce(o.n, true), o.in[:n], nil)
	}
	if err != nil {
		return fmt.Errorf("%w (chunk %d)", errCut, o.n)
	}
	if last {
		var one [1]byte
		if n, err := o.r.Read(one[:]); n > 0 || err != io.EOF {
			return fmt.Errorf("%w (bytes behind the end)", errCut)
		}
		o.done = true
	}
	o.n++
	o.rest = plain
	return nil
}
