package material

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // RSAES_OAEP_SHA_1, where its weakness does not matter
	"crypto/sha256"
	"crypto/x509"
	"hash"

	"coffer/internal/policy"
)

// rsaKey is an RSA_* key. Go has no way to zero it; the collector takes it when
// the cache has dropped it.
type rsaKey struct{ private *rsa.PrivateKey }

func (*rsaKey) destroy() {}

// minExponent is the least public exponent of FIPS 186-5.
const minExponent = 65537

func rsaPairs(code byte, bits int) *kind {
	// Any PKCS#8 that Go takes, in Go's own encoding: two primes, exactly bits.
	parse := func(der []byte) (*rsa.PrivateKey, []byte, bool) {
		k, err := x509.ParsePKCS8PrivateKey(der) // checks that the numbers belong together
		if err != nil {
			return nil, nil, false
		}
		private, ok := k.(*rsa.PrivateKey)
		if !ok || len(private.Primes) != 2 || private.N.BitLen() != bits || private.E < minExponent {
			return nil, nil, false
		}
		stored, err := x509.MarshalPKCS8PrivateKey(private)
		return private, stored, err == nil
	}
	return &kind{
		code: code,
		slow: true,
		generate: func() ([]byte, error) {
			private, err := rsa.GenerateKey(rand.Reader, bits)
			if err != nil {
				return nil, err
			}
			return x509.MarshalPKCS8PrivateKey(private)
		},
		open: func(stored []byte) (secret, []byte, error) {
			private, again, ok := parse(stored)
			clear(again)
			if !ok {
				return nil, nil, errStored
			}
			public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
			return &rsaKey{private}, public, err
		},
		parse: func(imported []byte) ([]byte, error) {
			_, stored, ok := parse(imported)
			if !ok {
				return nil, ErrMaterial
			}
			return stored, nil
		},
	}
}

// oaepHash is the hash of an RSAES_OAEP_* algorithm, for message and mask alike.
func oaepHash(algorithm string) (func() hash.Hash, error) {
	switch algorithm {
	case "RSAES_OAEP_SHA_1":
		return sha1.New, nil
	case "RSAES_OAEP_SHA_256":
		return sha256.New, nil
	}
	return nil, ErrAlgorithm
}

// MaxOAEP is the longest plaintext, in bytes, that an RSA key of so many bits
// takes under an RSAES_OAEP_* algorithm (RFC 8017, 7.1.1); 0 for another algorithm.
func MaxOAEP(algorithm string, bits int) int {
	h, err := oaepHash(algorithm)
	if err != nil {
		return 0
	}
	return bits/8 - 2*h().Size() - 2
}

// rsaSignature is what an RSASSA_* algorithm consists of.
type rsaSignature struct {
	pss  bool
	hash crypto.Hash
}

var rsaSignatures = map[string]rsaSignature{
	"RSASSA_PSS_SHA_256":        {true, crypto.SHA256},
	"RSASSA_PSS_SHA_384":        {true, crypto.SHA384},
	"RSASSA_PSS_SHA_512":        {true, crypto.SHA512},
	"RSASSA_PKCS1_V1_5_SHA_256": {false, crypto.SHA256},
	"RSASSA_PKCS1_V1_5_SHA_384": {false, crypto.SHA384},
	"RSASSA_PKCS1_V1_5_SHA_512": {false, crypto.SHA512},
}

// The salt is as long as the hash, and no other length is taken.
func (s *rsaSignature) options() *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash}
}

func (k *rsaKey) sign(algorithm, messageType string, message []byte) ([]byte, error) {
	a, ok := rsaSignatures[algorithm]
	if !ok {
		return nil, ErrAlgorithm
	}
	digest, err := digest(a.hash, messageType, message)
	if err != nil {
		return nil, err
	}
	if a.pss {
		return rsa.SignPSS(rand.Reader, k.private, a.hash, digest, a.options())
	}
	return rsa.SignPKCS1v15(nil, k.private, a.hash, digest)
}

func (k *rsaKey) verify(algorithm, messageType string, message, signature []byte) error {
	a, ok := rsaSignatures[algorithm]
	if !ok {
		return ErrAlgorithm
	}
	digest, err := digest(a.hash, messageType, message)
	if err != nil {
		return err
	}
	if a.pss {
		err = rsa.VerifyPSS(&k.private.PublicKey, a.hash, digest, signature, a.options())
	} else {
		err = rsa.VerifyPKCS1v15(&k.private.PublicKey, a.hash, digest, signature)
	}
	if err != nil {
		return ErrInvalidSignature
	}
	return nil
}

// EncryptRSA encrypts plaintext with the public half of w, which is of an RSA_*
// key (else ErrKind), by an RSAES_OAEP_* algorithm (else ErrAlgorithm) without
// a label: 1 to MaxOAEP bytes, else ErrSize. The result is plain RSA, as others
// make it with the public key. allowed as for Encrypt.
func (s *Store) EncryptRSA(ctx context.Context, allowed policy.Allowed, keyID string, w Wrapped, algorithm string, plaintext []byte) (blob []byte, err error) {
	if !allows(allowed, keyID, encryptActions[:]) {
		return nil, ErrNotAllowed
	}
	h, err := oaepHash(algorithm)
	if err != nil {
		return nil, err
	}
	err = s.use(ctx, keyID, w, func(e *entry) error {
		k, ok := e.secret.(*rsaKey)
		if !ok {
			return ErrKind
		}
		if len(plaintext) < 1 || len(plaintext) > MaxOAEP(algorithm, k.private.N.BitLen()) {
			return ErrSize
		}
		blob, err = rsa.EncryptOAEP(h(), rand.Reader, &k.private.PublicKey, plaintext, nil)
		return err
	})
	return blob, err
}

// DecryptRSA reverses EncryptRSA. Whatever is wrong with blob is
// ErrInvalidCiphertext; other errors and allowed as for Decrypt. The caller
// clears the plaintext after use.
func (s *Store) DecryptRSA(ctx context.Context, allowed policy.Allowed, keyID string, w Wrapped, algorithm string, blob []byte) (plaintext []byte, err error) {
	if !allows(allowed, keyID, decryptActions[:]) {
		return nil, ErrNotAllowed
	}
	h, err := oaepHash(algorithm)
	if err != nil {
		return nil, err
	}
	err = s.use(ctx, keyID, w, func(e *entry) error {
		k, ok := e.secret.(*rsaKey)
		if !ok {
			return ErrKind
		}
		plaintext, err = decryptOAEP(h, k.private, blob)
		return err
	})
	return plaintext, err
}

// decryptOAEP is RFC 8017, 7.1.2. Go's own takes ciphertexts without their leading zeros.
func decryptOAEP(h func() hash.Hash, private *rsa.PrivateKey, blob []byte) ([]byte, error) {
	if len(blob) != private.Size() {
		return nil, ErrInvalidCiphertext
	}
	plaintext, err := rsa.DecryptOAEP(h(), nil, private, blob, nil)
	if err != nil {
		return nil, ErrInvalidCiphertext
	}
	return plaintext, nil
}
