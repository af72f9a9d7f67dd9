package material

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"sync"

	"coffer/internal/envelope"
	"coffer/internal/policy"
)

// macHashes has the hash of each MacAlgorithm. A key is as long as its hash
// ("Key spec reference", KMS developer guide).
var macHashes = map[string]func() hash.Hash{
	"HMAC_SHA_224": sha256.New224,
	"HMAC_SHA_256": sha256.New,
	"HMAC_SHA_384": sha512.New384,
	"HMAC_SHA_512": sha512.New,
}

// macKey is an HMAC_* key.
type macKey struct {
	algorithm string // the only one it can be used with

	mu  sync.RWMutex // read: use key; write: destroy it
	key []byte       // nil once destroyed
}

func (k *macKey) destroy() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.key)
	k.key = nil
}

func (k *macKey) sum(algorithm string, message []byte) ([]byte, error) {
	if algorithm != k.algorithm {
		return nil, ErrAlgorithm
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.key == nil {
		return nil, envelope.ErrNoKey
	}
	h := hmac.New(macHashes[algorithm], k.key)
	h.Write(message)
	return h.Sum(nil), nil
}

func macs(code byte, algorithm string) *kind {
	size := macHashes[algorithm]().Size()
	return &kind{
		code: code,
		generate: func() ([]byte, error) {
			b := make([]byte, size)
			rand.Read(b) // never fails
			return b, nil
		},
		open: func(stored []byte) (secret, []byte, error) {
			if len(stored) != size {
				return nil, nil, errStored
			}
			return &macKey{algorithm: algorithm, key: append([]byte(nil), stored...)}, nil, nil
		},
		parse: func(b []byte) ([]byte, error) {
			if len(b) != size {
				return nil, ErrMaterial
			}
			return append([]byte(nil), b...), nil
		},
	}
}

// MAC returns the HMAC of message under w, which is of an HMAC_* key. ErrKind if
// it is not, ErrAlgorithm if algorithm (a MacAlgorithm of KMS) is not the key's.
// allowed must be for kms:GenerateMac on this key's ARN: else ErrNotAllowed.
func (s *Store) MAC(ctx context.Context, allowed policy.Allowed, keyID string, w Wrapped, algorithm string, message []byte) ([]byte, error) {
	return s.mac(ctx, allowed, generateMacActions[:], keyID, w, algorithm, message)
}

// VerifyMAC compares mac with the HMAC of message, in constant time:
// ErrInvalidMAC if they differ. allowed must be for kms:VerifyMac; other errors
// as for MAC.
func (s *Store) VerifyMAC(ctx context.Context, allowed policy.Allowed, keyID string, w Wrapped, algorithm string, message, mac []byte) error {
	sum, err := s.mac(ctx, allowed, verifyMacActions[:], keyID, w, algorithm, message)
	if err != nil {
		return err
	}
	if !hmac.Equal(sum, mac) {
		return ErrInvalidMAC
	}
	return nil
}

func (s *Store) mac(ctx context.Context, allowed policy.Allowed, actions []string, keyID string, w Wrapped, algorithm string, message []byte) (sum []byte, err error) {
	if !allows(allowed, keyID, actions) {
		return nil, ErrNotAllowed
	}
	err = s.use(ctx, keyID, w, func(e *entry) error {
		k, ok := e.secret.(*macKey)
		if !ok {
			return ErrKind
		}
		sum, err = k.sum(algorithm, message)
		return err
	})
	return sum, err
}
