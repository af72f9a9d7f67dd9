package envelope

import (
	"context"
	"fmt"
)

const (
	keyringVersion = 1
	maxStoreKeys   = 64 // 65 keys are 2,080 bytes: within what an external KMS wraps in one call
	labelDerive    = "coffer/envelope/v1/derive/"
)

var keyringAAD = []byte("coffer/envelope/v1/keyring")

// Keyring is the store keys, of which the newest seals and all open, and a
// derivation secret for keys of other purposes. The secret is apart so that a
// new store key does not change what was derived: the audit log's MAC must
// verify across rotations. All methods but Destroy may be called concurrently.
type Keyring struct {
	secret Key
	stores []Key // oldest first
	sealer *Sealer
}

// NewKeyring draws a keyring with one store key and returns it with the blob
// to store, wrapped by root. Store the blob before anything sealed.
func NewKeyring(ctx context.Context, root RootKey) (*Keyring, []byte, error) {
	r, err := newKeyring(NewKey(), []Key{NewKey()})
	if err != nil {
		return nil, nil, err
	}
	blob, err := r.Wrap(ctx, root)
	if err != nil {
		return nil, nil, err
	}
	return r, blob, nil
}

// OpenKeyring unwraps a blob of NewKeyring, Rotate or Wrap. ErrWrongKey if
// another root key wrapped it, ErrCorrupt if it is damaged.
func OpenKeyring(ctx context.Context, root RootKey, blob []byte) (*Keyring, error) {
	if len(blob) == 0 || blob[0] != keyringVersion {
		return nil, fmt.Errorf("%w: not a keyring of version %d", ErrCorrupt, keyringVersion)
	}
	b, err := root.Unwrap(ctx, blob[1:], keyringAAD)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	defer clear(b)
	if len(b)%KeySize != 0 || len(b) < 2*KeySize || len(b) > (1+maxStoreKeys)*KeySize {
		return nil, fmt.Errorf("%w: keyring of %d bytes", ErrCorrupt, len(b))
	}
	keys := make([]Key, 0, len(b)/KeySize)
	for ; len(b) > 0; b = b[KeySize:] {
		k, err := KeyFrom(b[:KeySize])
		if err != nil {
			return nil, fmt.Errorf("%w: keyring holds a zero key", ErrCorrupt)
		}
		keys = append(keys, k)
	}
	return newKeyring(keys[0], keys[1:])
}

func newKeyring(secret Key, stores []Key) (*Keyring, error) {
	sealer, err := NewSealer(stores...)
	if err != nil {
		return nil, err
	}
	return &Keyring{secret, stores, sealer}, nil
}

// Wrap returns the keyring's blob under root, which may be another root key
// than before: that is how a root key is replaced.
func (r *Keyring) Wrap(ctx context.Context, root RootKey) ([]byte, error) {
	b := make([]byte, 0, (1+len(r.stores))*KeySize)
	defer func() { clear(b) }()
	for _, k := range append([]Key{r.secret}, r.stores...) {
		if k.IsZero() {
			return nil, ErrNoKey
		}
		b = append(b, k.bytes()...)
	}
	blob, err := root.Wrap(ctx, b, keyringAAD)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	return append([]byte{keyringVersion}, blob...), nil
}

// Rotate returns a keyring with one more store key, which seals from then on,
// and its blob. The receiver still works; store the blob before using the new
// keyring, or what it sealed is lost with the process. An error at 64 keys.
func (r *Keyring) Rotate(ctx context.Context, root RootKey) (*Keyring, []byte, error) {
	if len(r.stores) >= maxStoreKeys {
		return nil, nil, fmt.Errorf("envelope: a keyring holds at most %d store keys", maxStoreKeys)
	}
	if r.secret.IsZero() {
		return nil, nil, ErrNoKey
	}
	stores := make([]Key, 0, len(r.stores)+1)
	for _, k := range r.stores {
		stores = append(stores, k.clone())
	}
	n, err := newKeyring(r.secret.clone(), append(stores, NewKey()))
	if err != nil {
		return nil, nil, err
	}
	blob, err := n.Wrap(ctx, root)
	if err != nil {
		return nil, nil, err
	}
	return n, blob, nil
}

// Sealer returns the sealer of the store keys, always the same one.
func (r *Keyring) Sealer() *Sealer { return r.sealer }

// Derive returns the subkey of a purpose: HKDF-SHA-256 of the derivation
// secret. The same label gives the same key for the life of the store. It
// panics on an empty label or a destroyed keyring.
func (r *Keyring) Derive(label string) Key {
	if label == "" {
		panic("envelope: Derive without a label")
	}
	b, err := r.secret.derive(nil, labelDerive+label, KeySize)
	if err != nil {
		panic(err)
	}
	defer clear(b)
	k, err := KeyFrom(b)
	if err != nil {
		panic(err)
	}
	return k
}

// Destroy zeroes the keys of the keyring and of its Sealer. Derived keys live on.
func (r *Keyring) Destroy() {
	r.secret.Destroy()
	for _, k := range r.stores {
		k.Destroy()
	}
	r.sealer.Destroy()
}
