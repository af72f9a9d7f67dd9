package material

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"coffer/internal/envelope"
	"coffer/internal/policy"
)

const (
	wrappedVersion = 1

	labelWrap    = "coffer/material/v1/wrap"
	labelID      = "coffer/material/v1/material-id"
	labelEncrypt = "coffer/material/v1/encrypt"

	// runsPerMaterial bounds the derived keys kept per material: 64 KiB of
	// memory for a key in constant use through 64 restarts, 1 KiB usually.
	runsPerMaterial = 64
)

// Wrapped is key material as rows keep it: encrypted by the root key.
type Wrapped struct {
	ID   string // KMS's KeyMaterialId: 64 hex digits
	Blob []byte // see the package doc

	// Public is the SubjectPublicKeyInfo of an asymmetric key, for rows to keep
	// beside. It is set by those who make material; those who use it do not look.
	Public []byte
}

// Config is what a Store needs.
type Config struct {
	Root      envelope.RootKey // required
	CacheSize int              // materials kept unwrapped; 0 means 1,024
}

// Store uses key material. All methods may be called concurrently.
type Store struct {
	root  envelope.RootKey
	cache cache
	slow  chan struct{} // holds one for each slow generation under way
}

// New returns a Store. An error if there is no root key.
func New(c Config) (*Store, error) {
	if c.Root == nil {
		return nil, errors.New("material: Config.Root is missing")
	}
	if c.CacheSize <= 0 {
		c.CacheSize = 1024
	}
	// RSA keys are made on half of the processors at most: they can be asked
	// for by anyone who can sign a request, before anything is authorized.
	slow := max(1, runtime.GOMAXPROCS(0)/2)
	return &Store{root: c.Root, cache: newCache(c.CacheSize), slow: make(chan struct{}, slow)}, nil
}

// Generate draws material of a KeySpec (ErrKind) for a key, for its creation or
// rotation. keyID is the UUID or "mrk-" id (ErrKeyID): the material works for it
// alone. It can take seconds if Slow says so, and then waits for its turn, until
// ctx ends.
func (s *Store) Generate(ctx context.Context, keyID, spec string) (Wrapped, error) {
	k, err := kindOf(spec)
	if err != nil {
		return Wrapped{}, err
	}
	if _, err := newHeader(keyID, new([idSize]byte)); err != nil {
		return Wrapped{}, err // before the work
	}
	stored, err := s.draw(ctx, k)
	if err != nil {
		return Wrapped{}, err
	}
	defer clear(stored)
	return s.wrap(ctx, keyID, k, stored)
}

// GeneratePair draws a key pair of an asymmetric KeySpec (else ErrKind) for use
// elsewhere: the private key as PKCS #8, the public one as SubjectPublicKeyInfo,
// both in DER. It takes as long as Generate. The caller clears the private key
// after use.
func (s *Store) GeneratePair(ctx context.Context, spec string) (private, public []byte, err error) {
	k, err := kindOf(spec)
	if err != nil {
		return nil, nil, err
	}
	if private, err = s.draw(ctx, k); err != nil {
		return nil, nil, err
	}
	public, err = k.publicKey(private)
	if err == nil && public == nil {
		err = fmt.Errorf("%w: %s has no pairs", ErrKind, spec)
	}
	if err != nil {
		clear(private)
		return nil, nil, err
	}
	return private, public, nil
}

// draw makes new material in its stored form.
func (s *Store) draw(ctx context.Context, k *kind) ([]byte, error) {
	if k.slow {
		select {
		case s.slow <- struct{}{}:
			defer func() { <-s.slow }()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return k.generate()
}

// wrap makes stored material of kind k what rows keep of it.
func (s *Store) wrap(ctx context.Context, keyID string, k *kind, stored []byte) (Wrapped, error) {
	public, err := k.publicKey(stored)
	if err != nil {
		return Wrapped{}, err
	}
	inner := append([]byte{k.code}, stored...)
	defer clear(inner)
	id, err := materialID(keyID, inner, public)
	if err != nil {
		return Wrapped{}, err
	}
	if _, err := newHeader(keyID, &id); err != nil {
		return Wrapped{}, err
	}
	blob, err := s.root.Wrap(ctx, inner, wrapAAD(keyID, &id))
	if err != nil {
		return Wrapped{}, fmt.Errorf("material: wrap for key %s: %w", keyID, err)
	}
	return Wrapped{ID: hex.EncodeToString(id[:]), Blob: append([]byte{wrappedVersion}, blob...), Public: public}, nil
}

// Check opens w and reports what is wrong with it: whether it is keyID's, of
// spec, what its id says, and whether w.Public is its public key. For fsck; it
// reveals nothing, so it needs no authorization.
func (s *Store) Check(ctx context.Context, keyID, spec string, w Wrapped) error {
	e, err := s.load(ctx, keyID, w)
	if err != nil {
		return err
	}
	defer e.secret.destroy()
	if e.kind != kinds[spec] {
		return fmt.Errorf("material: %w: material %s is not of %s", envelope.ErrCorrupt, w.ID, spec)
	}
	if !bytes.Equal(e.public, w.Public) {
		return fmt.Errorf("material: %w: the public key beside material %s is another's", envelope.ErrCorrupt, w.ID)
	}
	return nil
}

// Encrypt encrypts 1 to MaxPlaintext bytes (ErrSize) under w, which Generate
// made for keyID, and binds the encryption context (ErrContextTooLarge).
//
// allowed must be the decision for this key's ARN and one of the actions that
// encrypt under a key (kms:Encrypt, kms:ReEncryptTo, kms:GenerateDataKey and its
// variants): else ErrNotAllowed. Errors of the root key come wrapped:
// envelope.ErrWrongKey, or envelope.ErrCorrupt if w is damaged or of another key.
func (s *Store) Encrypt(ctx context.Context, allowed policy.Allowed, keyID string, w Wrapped, plaintext []byte, context map[string]string) ([]byte, error) {
	if !allows(allowed, keyID, encryptActions[:]) {
		return nil, ErrNotAllowed
	}
	if len(plaintext) < 1 || len(plaintext) > MaxPlaintext {
		return nil, ErrSize
	}
	var buf [512]byte
	bound, err := appendContext(buf[:0], context)
	if err != nil {
		return nil, err
	}
	var blob []byte
	err = s.use(ctx, keyID, w, func(e *entry) (err error) {
		k, ok := e.secret.(*symmetricKey)
		if !ok {
			return ErrKind
		}
		blob, err = k.runs.Seal(nil, e.header[:], plaintext, bound)
		return err
	})
	return blob, err
}

// Decrypt reverses Encrypt with the same keyID, w and context. Whatever is
// wrong with blob or context is ErrInvalidCiphertext (or ErrContextTooLarge);
// what is wrong with w is reported as by Encrypt, because that is not the
// caller's fault. allowed must be for kms:Decrypt or kms:ReEncryptFrom on this
// key's ARN: else ErrNotAllowed. The caller clears the plaintext after use.
func (s *Store) Decrypt(ctx context.Context, allowed policy.Allowed, keyID string, w Wrapped, blob []byte, context map[string]string) ([]byte, error) {
	if !allows(allowed, keyID, decryptActions[:]) {
		return nil, ErrNotAllowed
	}
	if len(blob) <= BlobOverhead || len(blob) > MaxBlob {
		return nil, ErrInvalidCiphertext
	}
	var buf [512]byte
	bound, err := appendContext(buf[:0], context)
	if err != nil {
		return nil, err
	}
	var plaintext []byte
	err = s.use(ctx, keyID, w, func(e *entry) (err error) {
		k, ok := e.secret.(*symmetricKey)
		if !ok {
			return ErrKind
		}
		// All that is fixed for the material is compared at once: version,
		// flags, key id and material id.
		if [headerSize]byte(blob) != e.header {
			return ErrInvalidCiphertext
		}
		plaintext, err = k.runs.Open(nil, blob, headerSize, bound)
		if errors.Is(err, envelope.ErrCorrupt) {
			return ErrInvalidCiphertext
		}
		return err
	})
	return plaintext, err
}

// GenerateDataKey draws n random bytes, 1 to MaxDataKey (ErrSize), and returns
// them in plain and as Encrypt returns them. The caller clears the plaintext
// after use. allowed and other errors as for Encrypt.
func (s *Store) GenerateDataKey(ctx context.Context, allowed policy.Allowed, keyID string, w Wrapped, n int, context map[string]string) (plaintext, blob []byte, err error) {
	if n < 1 || n > MaxDataKey {
		return nil, nil, ErrSize
	}
	plaintext = make([]byte, n)
	rand.Read(plaintext)
	blob, err = s.Encrypt(ctx, allowed, keyID, w, plaintext, context)
	if err != nil {
		clear(plaintext)
		return nil, nil, err
	}
	return plaintext, blob, nil
}

// Forget drops and zeroes all cached material of a key: to be called after the
// commit that deletes the key or its imported material.
func (s *Store) Forget(keyID string) { s.cache.forget(func(e *entry) bool { return e.keyID == keyID }) }

// Close drops and zeroes all cached material. The Store still works and fills
// its cache anew.
func (s *Store) Close() { s.cache.forget(func(*entry) bool { return true }) }

// use runs f with the unwrapped material. f may run twice.
func (s *Store) use(ctx context.Context, keyID string, w Wrapped, f func(*entry) error) error {
	e := s.cache.get(w.ID)
	if e == nil {
		drops := s.cache.drops.Load()
		fresh, err := s.load(ctx, keyID, w)
		if err != nil {
			return err
		}
		var kept bool
		if e, kept = s.cache.put(fresh, drops); !kept {
			defer e.secret.destroy()
		}
	}
	// A hit does not look at w.Blob: the material was checked against its id
	// when it was loaded, and only this key's may be used for this key.
	if e.keyID != keyID {
		return fmt.Errorf("material: %w: material %s is not of key %s", envelope.ErrCorrupt, w.ID, keyID)
	}
	err := f(e)
	if !errors.Is(err, envelope.ErrNoKey) {
		return err
	}
	// Evicted and zeroed between get and f. This time the entry is our own, so
	// it cannot happen again however busy the cache is.
	if e, err = s.load(ctx, keyID, w); err != nil {
		return err
	}
	defer e.secret.destroy()
	return f(e)
}

// load unwraps w and checks that it is what its id says.
func (s *Store) load(ctx context.Context, keyID string, w Wrapped) (*entry, error) {
	e := &entry{keyID: keyID, materialID: w.ID}
	var id [idSize]byte
	if !decodeHex(id[:], w.ID) {
		return nil, fmt.Errorf("material: %w: malformed material id of key %s", envelope.ErrCorrupt, keyID)
	}
	var err error
	if e.header, err = newHeader(keyID, &id); err != nil {
		return nil, err
	}
	if len(w.Blob) == 0 || w.Blob[0] != wrappedVersion {
		return nil, fmt.Errorf("material: %w: material %s is not of version %d", envelope.ErrCorrupt, w.ID, wrappedVersion)
	}
	inner, err := s.root.Unwrap(ctx, w.Blob[1:], wrapAAD(keyID, &id))
	if err != nil {
		return nil, fmt.Errorf("material: unwrap %s of key %s: %w", w.ID, keyID, err)
	}
	defer clear(inner)
	if len(inner) == 0 || int(inner[0]) >= len(byCode) || byCode[inner[0]] == nil {
		return nil, fmt.Errorf("material: %w: material %s is of no known kind", envelope.ErrCorrupt, w.ID)
	}
	e.kind = byCode[inner[0]]
	if e.secret, e.public, err = e.kind.open(inner[1:]); err != nil {
		return nil, fmt.Errorf("material: %w: material %s: %w", envelope.ErrCorrupt, w.ID, err)
	}
	// The root key vouches for the pair already; a provider that ignores aad
	// does not get away with it.
	if got, err := materialID(keyID, inner, e.public); err != nil || got != id {
		e.secret.destroy()
		return nil, fmt.Errorf("material: %w: material does not match its id %s", envelope.ErrCorrupt, w.ID)
	}
	return e, nil
}

// The actions that come down to one use of a key each.
var (
	encryptActions = [...]string{
		"kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext",
		"kms:GenerateDataKeyPair", "kms:GenerateDataKeyPairWithoutPlaintext", "kms:ReEncryptTo",
	}
	decryptActions     = [...]string{"kms:Decrypt", "kms:ReEncryptFrom"}
	signActions        = [...]string{"kms:Sign"}
	verifyActions      = [...]string{"kms:Verify"}
	generateMacActions = [...]string{"kms:GenerateMac"}
	verifyMacActions   = [...]string{"kms:VerifyMac"}
	deriveActions      = [...]string{"kms:DeriveSharedSecret"}
	importActions      = [...]string{"kms:ImportKeyMaterial"}
)

// allows reports whether a is the decision for one of actions on this key. It
// catches a handler that uses a key other than the one it was authorized for,
// or decrypts on the strength of DescribeKey.
func allows(a policy.Allowed, keyID string, actions []string) bool {
	rest, ok := strings.CutSuffix(a.Resource(), keyID)
	if !ok || keyID == "" || !strings.HasSuffix(rest, ":key/") {
		return false
	}
	for _, action := range actions {
		if a.Allows(action, a.Resource()) {
			return true
		}
	}
	return false
}

// materialID commits to a key and its material. inner is the kind and the stored
// form. An asymmetric pair is as well known by its public key, of which there
// is one encoding only: so a private key that comes again in another encoding
// is the same material.
func materialID(keyID string, inner, public []byte) (id [idSize]byte, err error) {
	if public != nil {
		inner = append([]byte{inner[0]}, public...)
	}
	b, err := hkdf.Key(sha256.New, inner, []byte(keyID), labelID, idSize)
	copy(id[:], b)
	return id, err
}

func wrapAAD(keyID string, id *[idSize]byte) []byte {
	b := []byte(labelWrap)
	b = binary.BigEndian.AppendUint16(b, uint16(len(keyID)))
	b = append(b, keyID...)
	return append(b, id[:]...)
}
