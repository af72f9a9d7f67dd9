package envelope

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"log/slog"
)

// KeySize is the length of every symmetric key here, in bytes.
const KeySize = 32

const (
	labelKeyID = "coffer/envelope/v1/key-id"
	redacted   = "[KEY]"
)

// Key is a 256-bit secret. Copies share the same bytes, so that Destroy reaches
// all of them. It prints, logs and marshals as a placeholder. fmt cannot call
// methods of unexported fields, so a struct that hides a Key and is printed
// would show what the Key points to: with one pointer only for a verb that does
// not fit (%s), with two for none.
//
// The zero Key refuses to work. All methods but Destroy may be called
// concurrently; Destroy must not run beside them.
type Key struct {
	p **[KeySize]byte
}

func newKey() Key {
	b := new([KeySize]byte)
	return Key{&b}
}

// bytes returns the key's own bytes, nil for the zero Key.
func (k Key) bytes() []byte {
	if k.p == nil {
		return nil
	}
	return (*k.p)[:]
}

// NewKey draws a random key.
func NewKey() Key {
	k := newKey()
	rand.Read(k.bytes()) // never fails: the runtime ends the process instead
	return k
}

// KeyFrom copies b, which must be KeySize bytes and not all zero (the mark of
// a buffer that nobody filled or somebody cleared): otherwise ErrNoKey.
func KeyFrom(b []byte) (Key, error) {
	if len(b) != KeySize {
		return Key{}, fmt.Errorf("%w: %d bytes, want %d", ErrNoKey, len(b), KeySize)
	}
	k := newKey()
	copy(k.bytes(), b)
	if k.IsZero() {
		return Key{}, ErrNoKey
	}
	return k, nil
}

// IsZero reports whether the key is the zero value or was destroyed.
func (k Key) IsZero() bool {
	var zero [KeySize]byte
	return k.p == nil || subtle.ConstantTimeCompare(k.bytes(), zero[:]) == 1
}

// Equal compares in constant time. A zero key equals nothing.
func (k Key) Equal(o Key) bool {
	return !k.IsZero() && !o.IsZero() && subtle.ConstantTimeCompare(k.bytes(), o.bytes()) == 1
}

// NewMAC returns HMAC-SHA-256 under the key. It panics on a zero key, under
// which anyone could compute the same MAC.
func (k Key) NewMAC() hash.Hash {
	if k.IsZero() {
		panic(ErrNoKey)
	}
	return hmac.New(sha256.New, k.bytes())
}

// Destroy zeroes the key in all its copies.
func (k Key) Destroy() {
	clear(k.bytes())
}

// derive returns n bytes of HKDF-SHA-256 (RFC 5869) of the key.
func (k Key) derive(salt []byte, info string, n int) ([]byte, error) {
	if k.IsZero() {
		return nil, ErrNoKey
	}
	return hkdf.Key(sha256.New, k.bytes(), salt, info, n)
}

func (k Key) clone() Key {
	c := newKey()
	copy(c.bytes(), k.bytes())
	return c
}

// keyID names a key without giving it away.
type keyID [8]byte

func (k Key) id() (id keyID, err error) {
	b, err := k.derive(nil, labelKeyID, len(id))
	copy(id[:], b)
	return id, err
}

// Format implements fmt.Formatter for every verb.
func (Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String returns the placeholder.
func (Key) String() string { return redacted }

// GoString returns the placeholder.
func (Key) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText gives the placeholder to encoding/json, encoding/xml and flag.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON gives the placeholder.
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalBinary refuses, so that encoding/gob and the like cannot carry a key.
func (Key) MarshalBinary() ([]byte, error) {
	return nil, errors.New("envelope: a key cannot be marshalled")
}

// Bytes returns a copy of the key, for primitives that take bytes; the caller
// clears it when it can. It panics on a zero key.
func (k Key) Bytes() []byte {
	if k.IsZero() {
		panic(ErrNoKey)
	}
	return append([]byte(nil), k.bytes()...)
}
