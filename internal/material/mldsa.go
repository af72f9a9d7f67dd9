package material

import (
	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
	"filippo.io/mldsa/x509"
)

// mldsaKey is an ML_DSA_* key.
type mldsaKey struct{ private *mldsa.PrivateKey }

func (*mldsaKey) destroy() {}

const (
	mldsaAlgorithm = "ML_DSA_SHAKE_256"
	muSize         = 64 // bytes of a message representative (FIPS 204, 6.2)
)

func mldsaPairs(code byte, name string) *kind {
	var params mldsa.Parameters
	for _, p := range []mldsa.Parameters{mldsa.MLDSA44(), mldsa.MLDSA65(), mldsa.MLDSA87()} {
		if p.String() == name {
			params = p
		}
	}
	// PKCS#8 with the seed, the one form that holds all there is to know (RFC 9881).
	parse := func(der []byte) (*mldsa.PrivateKey, []byte, bool) {
		k, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return nil, nil, false
		}
		private, ok := k.(*mldsa.PrivateKey)
		if !ok || private.PublicKey().Parameters() != params {
			return nil, nil, false
		}
		stored, err := x509.MarshalPKCS8PrivateKey(private)
		return private, stored, err == nil
	}
	return &kind{
		code: code,
		generate: func() ([]byte, error) {
			private, err := mldsa.GenerateKey(params)
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
			public, err := x509.MarshalPKIXPublicKey(private.PublicKey())
			return &mldsaKey{private}, public, err
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

func (k *mldsaKey) sign(algorithm, messageType string, message []byte) ([]byte, error) {
	switch {
	case algorithm != mldsaAlgorithm:
		return nil, ErrAlgorithm
	case messageType == messageRaw:
		return k.private.Sign(nil, message, &mldsa.Options{})
	case messageType != messageExternalMu:
		return nil, ErrMessageType
	case len(message) != muSize:
		return nil, ErrDigestSize
	}
	return k.private.Sign(nil, message, mldsacrypto.MLDSAMu)
}

// verify cannot start from a representative: no implementation offers it.
func (k *mldsaKey) verify(algorithm, messageType string, message, signature []byte) error {
	switch {
	case algorithm != mldsaAlgorithm:
		return ErrAlgorithm
	case messageType == messageExternalMu && len(message) != muSize:
		return ErrDigestSize
	case messageType == messageExternalMu:
		return ErrUnverifiable
	case messageType != messageRaw:
		return ErrMessageType
	}
	if mldsa.Verify(k.private.PublicKey(), message, signature, nil) != nil {
		return ErrInvalidSignature
	}
	return nil
}
