package envelope

import (
	"bytes"
	"context"
	"fmt"
)

const (
	labelWrap = "coffer/envelope/v1/wrap"
	rootRuns  = 64
)

// RootKey wraps the few keys that everything else hangs on: the keyring and
// each KMS key's material. Implementations must be safe for concurrent use.
// Callers cache what they unwrap, so a provider may be slow (an external KMS,
// an HSM) but not chatty. They wrap at most 4,096 bytes at a time, which is
// what such providers take.
//
// The interface is exported, against the habit, because its implementations
// and users (table, material, server) are in different packages.
type RootKey interface {
	// Wrap encrypts plaintext and authenticates aad, which is not stored. The
	// blob starts with a version byte and names the root key.
	Wrap(ctx context.Context, plaintext, aad []byte) (blob []byte, err error)
	// Unwrap reverses Wrap; the caller clears the result after use.
	// ErrWrongKey if the blob names another root key, ErrCorrupt if it is
	// damaged or aad differs; any other error means try again later.
	Unwrap(ctx context.Context, blob, aad []byte) ([]byte, error)
	// Describe names kind and id for logs, such as
	// "key file /var/lib/coffer/root.key (id 0123456789abcdef)"; no secrets.
	Describe() string
}

// LocalKey is a RootKey held in this process: from a key file, a passphrase,
// or drawn for a store that lives in memory. Safe for concurrent use.
type LocalKey struct {
	name   string
	header header
	runs   *RunKeys
}

var _ RootKey = (*LocalKey)(nil)

func newLocalKey(name string, k Key) (*LocalKey, error) {
	h, err := newHeader(k)
	if err != nil {
		return nil, err
	}
	runs, err := NewRunKeys(k, labelWrap, rootRuns)
	if err != nil {
		return nil, err
	}
	return &LocalKey{name, h, runs}, nil
}

// NewMemoryKey draws a root key that ends with the process, for a store that
// does too.
func NewMemoryKey() *LocalKey {
	k := NewKey()
	defer k.Destroy()
	l, err := newLocalKey("memory", k)
	if err != nil {
		panic(err) // the key is not zero
	}
	return l
}

// Wrap implements RootKey.
func (l *LocalKey) Wrap(_ context.Context, plaintext, aad []byte) ([]byte, error) {
	return l.runs.Seal(nil, l.header[:], plaintext, aad)
}

// Unwrap implements RootKey.
func (l *LocalKey) Unwrap(_ context.Context, blob, aad []byte) ([]byte, error) {
	if len(blob) < Overhead || blob[0] != blobVersion {
		return nil, fmt.Errorf("%w: not a key wrapped by a local root key", ErrCorrupt)
	}
	// The id is public, so it need not be compared in constant time. Damage
	// to just these bytes looks like a wrong key; the text gives both ids.
	if !bytes.Equal(blob[:headerSize], l.header[:]) {
		return nil, fmt.Errorf("%w: this was wrapped by root key %x, and %s was given", ErrWrongKey, blob[1:headerSize], l.Describe())
	}
	return l.runs.Open(nil, blob, headerSize, aad)
}

// Describe implements RootKey.
func (l *LocalKey) Describe() string {
	return fmt.Sprintf("%s (id %x)", l.name, l.header[1:])
}

// Destroy zeroes the key.
func (l *LocalKey) Destroy() { l.runs.Destroy() }
