package material

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"coffer/internal/envelope"
	"coffer/internal/policy"
)

const (
	tokenVersion = 1
	labelImport  = "coffer/material/v1/import"
	kekSize      = 32 // bytes of the AES key of RSA_AES_KEY_WRAP_*
)

// Parameters is what a customer needs to bring material along.
type Parameters struct {
	PublicKey []byte // RSA, SubjectPublicKeyInfo: wraps the material
	Token     []byte // goes with what was wrapped; see the package doc
}

// wrapping is a WrappingAlgorithm of KMS.
type wrapping struct {
	code byte   // in tokens; append-only
	oaep string // how the RSA key is used
	aes  bool   // it wraps an AES key, which wraps the material (RFC 5649)
}

var wrappings = map[string]wrapping{
	"RSAES_OAEP_SHA_1":         {1, "RSAES_OAEP_SHA_1", false},
	"RSAES_OAEP_SHA_256":       {2, "RSAES_OAEP_SHA_256", false},
	"RSA_AES_KEY_WRAP_SHA_1":   {3, "RSAES_OAEP_SHA_1", true},
	"RSA_AES_KEY_WRAP_SHA_256": {4, "RSAES_OAEP_SHA_256", true},
}

var wrappingSpecs = []string{"RSA_2048", "RSA_3072", "RSA_4096"}

// NewParameters makes a wrapping key of spec (an RSA_* KeySpec, else ErrKind)
// for material that is to be wrapped by algorithm (a WrappingAlgorithm of KMS,
// else ErrAlgorithm) and imported into the key named keyARN before expires.
// Nothing is kept here: the private key is in the token.
func (s *Store) NewParameters(ctx context.Context, keyARN, spec, algorithm string, expires time.Time) (Parameters, error) {
	w, ok := wrappings[algorithm]
	if !ok {
		return Parameters{}, ErrAlgorithm
	}
	if !slices.Contains(wrappingSpecs, spec) {
		return Parameters{}, fmt.Errorf("%w: %s wraps nothing", ErrKind, spec)
	}
	private, public, err := s.GeneratePair(ctx, spec)
	if err != nil {
		return Parameters{}, err
	}
	defer clear(private)
	inner := make([]byte, 9, 9+len(private))
	binary.BigEndian.PutUint64(inner, uint64(expires.UnixMilli()))
	inner[8] = w.code
	inner = append(inner, private...)
	defer clear(inner)
	blob, err := s.root.Wrap(ctx, inner, importAAD(keyARN))
	if err != nil {
		return Parameters{}, fmt.Errorf("material: wrap an import token of %s: %w", keyARN, err)
	}
	return Parameters{PublicKey: public, Token: append([]byte{tokenVersion}, blob...)}, nil
}

func importAAD(keyARN string) []byte { return append([]byte(labelImport), keyARN...) }

func rsaKeyOf(pkcs8 []byte) (*rsa.PrivateKey, bool) {
	k, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, false
	}
	private, ok := k.(*rsa.PrivateKey)
	return private, ok
}

// Import opens a token of NewParameters and what was wrapped with its public
// key, and returns it as material of keyID. ErrToken if the token is not one of
// ours for the ARN that was authorized, ErrTokenExpired at and after its end,
// ErrInvalidCiphertext if wrapped was not made with its public key and
// algorithm, ErrMaterial if what was wrapped is not material of spec. allowed
// must be for kms:ImportKeyMaterial on this key's ARN: else ErrNotAllowed.
func (s *Store) Import(ctx context.Context, allowed policy.Allowed, keyID, spec string, token, wrapped []byte, now time.Time) (Wrapped, error) {
	if !allows(allowed, keyID, importActions[:]) {
		return Wrapped{}, ErrNotAllowed
	}
	k, err := kindOf(spec)
	if err != nil {
		return Wrapped{}, err
	}
	imported, err := s.unwrap(ctx, allowed.Resource(), token, wrapped, now)
	if err != nil {
		return Wrapped{}, err
	}
	defer clear(imported)
	stored, err := k.parse(imported)
	if err != nil {
		return Wrapped{}, err
	}
	defer clear(stored)
	return s.wrap(ctx, keyID, k, stored)
}

func (s *Store) unwrap(ctx context.Context, keyARN string, token, wrapped []byte, now time.Time) ([]byte, error) {
	if len(token) == 0 || token[0] != tokenVersion {
		return nil, ErrToken
	}
	inner, err := s.root.Unwrap(ctx, token[1:], importAAD(keyARN))
	switch {
	case errors.Is(err, envelope.ErrCorrupt), errors.Is(err, envelope.ErrWrongKey):
		return nil, ErrToken
	case err != nil:
		return nil, fmt.Errorf("material: unwrap an import token of %s: %w", keyARN, err)
	}
	defer clear(inner)
	if len(inner) < 9 {
		return nil, ErrToken
	}
	if now.UnixMilli() >= int64(binary.BigEndian.Uint64(inner)) {
		return nil, ErrTokenExpired
	}
	var w wrapping
	for _, each := range wrappings {
		if each.code == inner[8] {
			w = each
		}
	}
	private, ok := rsaKeyOf(inner[9:])
	if !ok || w.code == 0 {
		return nil, ErrToken
	}
	return w.open(private, wrapped)
}

func (w wrapping) open(private *rsa.PrivateKey, wrapped []byte) ([]byte, error) {
	h, err := oaepHash(w.oaep)
	if err != nil {
		return nil, err
	}
	first, rest := wrapped, []byte(nil)
	if w.aes {
		size := private.Size()
		if len(wrapped) < size {
			return nil, ErrInvalidCiphertext
		}
		first, rest = wrapped[:size], wrapped[size:]
	}
	b, err := decryptOAEP(h, private, first)
	if err != nil || !w.aes {
		return b, err
	}
	defer clear(b)
	if len(b) != kekSize {
		return nil, ErrInvalidCiphertext
	}
	return unwrapPadded(b, rest)
}

// Wraps reports whether material of spec may be wrapped by algorithm with a
// wrapping key of wrappingSpec ("Select a wrapping algorithm", KMS developer
// guide): OAEP takes what fits, and RSA private keys do not; key wrap is for
// private keys.
func Wraps(spec, wrappingSpec, algorithm string) bool {
	w, ok := wrappings[algorithm]
	k := kinds[spec]
	if !ok || k == nil || !slices.Contains(wrappingSpecs, wrappingSpec) {
		return false
	}
	symmetric := k.code <= kinds["HMAC_512"].code
	if w.aes {
		return !symmetric
	}
	return !k.slow && !(spec == "ECC_NIST_P521" && wrappingSpec == "RSA_2048")
}
