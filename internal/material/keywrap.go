package material

import (
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
)

// unwrapPadded opens AES key wrap with padding (RFC 5649): ErrInvalidCiphertext
// if kek (16, 24 or 32 bytes) did not wrap this.
func unwrapPadded(kek, wrapped []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil || len(wrapped) < 16 || len(wrapped)%8 != 0 {
		return nil, ErrInvalidCiphertext
	}
	// One buffer: A, then R[1] to R[n] (RFC 3394, 2.2.2, in place).
	b := append([]byte(nil), wrapped...)
	a, r := b[:8], b[8:]
	n := len(r) / 8
	if n == 1 {
		block.Decrypt(b, b)
	} else {
		var x [aes.BlockSize]byte
		defer clear(x[:])
		for t := 6 * n; t >= 1; t-- {
			ri := r[(t-1)%n*8:][:8]
			binary.BigEndian.PutUint64(x[:], binary.BigEndian.Uint64(a)^uint64(t))
			copy(x[8:], ri)
			block.Decrypt(x[:], x[:])
			copy(a, x[:])
			copy(ri, x[8:])
		}
	}
	// All checks are made before any is looked at: which of them fails is
	// nobody's business.
	size := binary.BigEndian.Uint32(a[4:])
	padding := uint32(len(r)) - size
	ok := subtle.ConstantTimeCompare(a[:4], []byte{0xa6, 0x59, 0x59, 0xa6})
	if padding > 7 { // size is too large, or more than 7 short
		ok, padding = 0, 0
	}
	var bad byte
	for _, p := range r[uint32(len(r))-padding:] {
		bad |= p
	}
	if ok&subtle.ConstantTimeByteEq(bad, 0) != 1 || size == 0 {
		clear(b)
		return nil, ErrInvalidCiphertext
	}
	return r[:size], nil
}
