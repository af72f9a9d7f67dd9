package material

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
)

// edwardsKey is an ECC_NIST_EDWARDS25519 key. It is a value of Go's, whose
// bytes are shared by calls under way, so it is left to the collector like the
// other key types.
type edwardsKey struct{ private ed25519.PrivateKey }

func (*edwardsKey) destroy() {}

func edwardsPairs(code byte) *kind {
	parse := func(der []byte) (ed25519.PrivateKey, []byte, bool) {
		k, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return nil, nil, false
		}
		private, ok := k.(ed25519.PrivateKey)
		if !ok {
			return nil, nil, false
		}
		stored, err := x509.MarshalPKCS8PrivateKey(private)
		return private, stored, err == nil
	}
	return &kind{
		code: code,
		generate: func() ([]byte, error) {
			_, private, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return nil, err
			}
			defer clear(private)
			return x509.MarshalPKCS8PrivateKey(private)
		},
		open: func(stored []byte) (secret, []byte, error) {
			private, again, ok := parse(stored)
			clear(again)
			if !ok {
				return nil, nil, errStored
			}
			public, err := x509.MarshalPKIXPublicKey(private.Public())
			return &edwardsKey{private}, public, err
		},
		parse: func(imported []byte) ([]byte, error) {
			private, stored, ok := parse(imported)
			clear(private)
			if !ok {
				return nil, ErrMaterial
			}
			return stored, nil
		},
	}
}

// message returns what is signed and how. KMS ties the algorithms to message
// types: Ed25519 signs the message itself, and Ed25519ph hashes what it is
// given once more, although that is a digest already ("Sign", KMS API reference).
func (*edwardsKey) message(algorithm, messageType string, message []byte) ([]byte, *ed25519.Options, error) {
	switch {
	case algorithm == "ED25519_SHA_512" && messageType == messageRaw:
		return message, &ed25519.Options{}, nil
	case algorithm == "ED25519_PH_SHA_512" && messageType == messageDigest:
		if len(message) != sha512.Size {
			return nil, nil, ErrDigestSize
		}
		d := sha512.Sum512(message)
		return d[:], &ed25519.Options{Hash: crypto.SHA512}, nil
	case algorithm == "ED25519_SHA_512" || algorithm == "ED25519_PH_SHA_512":
		return nil, nil, ErrMessageType
	}
	return nil, nil, ErrAlgorithm
}

func (k *edwardsKey) sign(algorithm, messageType string, message []byte) ([]byte, error) {
	m, o, err := k.message(algorithm, messageType, message)
	if err != nil {
		return nil, err
	}
	return k.private.Sign(nil, m, o)
}

func (k *edwardsKey) verify(algorithm, messageType string, message, signature []byte) error {
	m, o, err := k.message(algorithm, messageType, message)
	if err != nil {
		return err
	}
	if ed25519.VerifyWithOptions(k.private.Public().(ed25519.PublicKey), m, signature, o) != nil {
		return ErrInvalidSignature
	}
	return nil
}
