package material

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"

	"coffer/internal/policy"
)

// nistKey is an ECC_NIST_P* key, for signatures or for key agreement.
type nistKey struct{ private *ecdsa.PrivateKey }

func (*nistKey) destroy() {}

// nistCurve is a curve and the one signature algorithm that KMS has on it.
type nistCurve struct {
	elliptic.Curve
	algorithm string
	hash      crypto.Hash
}

var nistCurves = map[string]*nistCurve{
	"P-256": {elliptic.P256(), "ECDSA_SHA_256", crypto.SHA256},
	"P-384": {elliptic.P384(), "ECDSA_SHA_384", crypto.SHA384},
	"P-521": {elliptic.P521(), "ECDSA_SHA_512", crypto.SHA512},
}

func nistPairs(code byte, name string) *kind {
	curve := nistCurves[name]
	parse := func(der []byte) (*ecdsa.PrivateKey, []byte, bool) {
		k, err := x509.ParsePKCS8PrivateKey(der) // derives the public key
		if err != nil {
			return nil, nil, false
		}
		private, ok := k.(*ecdsa.PrivateKey)
		if !ok || private.Curve != curve.Curve {
			return nil, nil, false
		}
		stored, err := x509.MarshalPKCS8PrivateKey(private)
		return private, stored, err == nil
	}
	return &kind{
		code: code,
		generate: func() ([]byte, error) {
			private, err := ecdsa.GenerateKey(curve.Curve, rand.Reader)
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
			return &nistKey{private}, public, err
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

func (k *nistKey) digest(algorithm, messageType string, message []byte) ([]byte, error) {
	c := nistCurves[k.private.Params().Name]
	if algorithm != c.algorithm {
		return nil, ErrAlgorithm
	}
	return digest(c.hash, messageType, message)
}

func (k *nistKey) sign(algorithm, messageType string, message []byte) ([]byte, error) {
	d, err := k.digest(algorithm, messageType, message)
	if err != nil {
		return nil, err
	}
	return ecdsa.SignASN1(rand.Reader, k.private, d)
}

func (k *nistKey) verify(algorithm, messageType string, message, signature []byte) error {
	d, err := k.digest(algorithm, messageType, message)
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(&k.private.PublicKey, d, signature) {
		return ErrInvalidSignature
	}
	return nil
}

// DeriveSharedSecret is ECDH between w, which is of an ECC_NIST_P* key (else
// ErrKind), and peer, a SubjectPublicKeyInfo on the same curve (else
// ErrPublicKey): the x coordinate of the product, as SP 800-56A 5.7.1.2 has it.
// allowed must be for kms:DeriveSharedSecret on this key's ARN: else
// ErrNotAllowed. The caller clears the secret after use.
func (s *Store) DeriveSharedSecret(ctx context.Context, allowed policy.Allowed, keyID string, w Wrapped, peer []byte) (shared []byte, err error) {
	if !allows(allowed, keyID, deriveActions[:]) {
		return nil, ErrNotAllowed
	}
	public, err := x509.ParsePKIXPublicKey(peer) // refuses points that are not on their curve
	if err != nil {
		return nil, ErrPublicKey
	}
	point, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return nil, ErrPublicKey
	}
	err = s.use(ctx, keyID, w, func(e *entry) error {
		k, ok := e.secret.(*nistKey)
		if !ok {
			return ErrKind
		}
		if point.Curve != k.private.Curve {
			return ErrPublicKey
		}
		theirs, err := point.ECDH()
		if err != nil {
			return ErrPublicKey
		}
		ours, err := k.private.ECDH()
		if err != nil {
			return err
		}
		shared, err = ours.ECDH(theirs)
		return err
	})
	return shared, err
}
