package material

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"coffer/internal/envelope"
)

const (
	blobVersion = 1

	formUUID        = 0
	formMultiRegion = 1

	multiRegionPrefix = "mrk-"

	idSize     = 32
	headerSize = 1 + 1 + 1 + 16 + idSize

	// BlobOverhead is what Encrypt adds to a plaintext, in bytes.
	BlobOverhead = headerSize + envelope.RunOverhead
)

// Parse reads from a ciphertext blob the key id and the material id (64 hex
// digits) that it names, so that the caller can find the key and the Wrapped to
// decrypt it with. It needs no key and proves nothing: until Decrypt succeeds
// both are the claim of whoever made the blob. ErrInvalidCiphertext if it is
// not of a form that Encrypt writes.
func Parse(blob []byte) (keyID, materialID string, err error) {
	if len(blob) <= BlobOverhead || len(blob) > MaxBlob || blob[0] != blobVersion || blob[1] != 0 {
		return "", "", ErrInvalidCiphertext
	}
	var ids [36 + 2*idSize]byte // both, so that they are one allocation
	id, raw := ids[:36], blob[3:19]
	switch blob[2] {
	case formUUID:
		hex.Encode(id[0:], raw[0:4])
		hex.Encode(id[9:], raw[4:6])
		hex.Encode(id[14:], raw[6:8])
		hex.Encode(id[19:], raw[8:10])
		hex.Encode(id[24:], raw[10:16])
		id[8], id[13], id[18], id[23] = '-', '-', '-', '-'
	case formMultiRegion:
		copy(id, multiRegionPrefix)
		hex.Encode(id[len(multiRegionPrefix):], raw)
	default:
		return "", "", ErrInvalidCiphertext
	}
	hex.Encode(ids[36:], blob[19:headerSize])
	both := string(ids[:])
	return both[:36], both[36:], nil
}

// newHeader builds what every blob of one material starts with.
func newHeader(keyID string, materialID *[idSize]byte) (h [headerSize]byte, err error) {
	h[0] = blobVersion
	digits, ok := strings.CutPrefix(keyID, multiRegionPrefix)
	if ok {
		h[2] = formMultiRegion
	} else {
		h[2] = formUUID
		if len(keyID) != 36 || keyID[8] != '-' || keyID[13] != '-' || keyID[18] != '-' || keyID[23] != '-' {
			return h, ErrKeyID
		}
		digits = keyID[:8] + keyID[9:13] + keyID[14:18] + keyID[19:23] + keyID[24:]
	}
	if !decodeHex(h[3:19], digits) {
		return h, ErrKeyID
	}
	copy(h[19:], materialID[:])
	return h, nil
}

// decodeHex fills dst from exactly as many lower-case digits. Upper case would
// be a second spelling of one id.
func decodeHex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) || strings.ContainsAny(s, "ABCDEF") {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

// CheckContext returns ErrContextTooLarge for an encryption context that has more than
// MaxContext bytes in canonical form.
func CheckContext(context map[string]string) error {
	size := 2
	for k, v := range context {
		size += 4 + len(k) + len(v)
		if size > MaxContext {
			return ErrContextTooLarge
		}
	}
	return nil
}

// appendContext appends the canonical form of an encryption context to dst.
func appendContext(dst []byte, context map[string]string) ([]byte, error) {
	if len(context) == 0 {
		return dst, nil
	}
	// Size first: it bounds count and lengths to what two bytes hold.
	if err := CheckContext(context); err != nil {
		return nil, err
	}
	var few [8]string // so that the usual context needs no allocation
	keys := few[:0]
	for k := range context {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(keys)))
	for _, k := range keys {
		v := context[k]
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(k)))
		dst = append(dst, k...)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(v)))
		dst = append(dst, v...)
	}
	return dst, nil
}
