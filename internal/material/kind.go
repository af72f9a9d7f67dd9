package material

import (
	"errors"
	"fmt"

	"coffer/internal/envelope"
)

// kind is one KeySpec of KMS.
type kind struct {
	code byte // in the stored form; see the package doc
	slow bool // takes long to generate

	generate func() (stored []byte, err error)
	// open makes stored material ready for use, and refuses what generate and
	// parse would not have made. public is nil for symmetric kinds.
	open func(stored []byte) (s secret, public []byte, err error)
	// parse makes the stored form of what a customer imports, which may be
	// anything at all.
	parse func(imported []byte) (stored []byte, err error)
}

// secret is material ready for use. What it can do beyond this, its kind says:
// see symmetricKey, macKey, rsaKey, signer and agreer.
type secret interface {
	// destroy zeroes what can be zeroed. Calls under way finish; later ones
	// return envelope.ErrNoKey if they need what is gone.
	destroy()
}

// signer makes and checks signatures. The words are those of KMS Sign.
type signer interface {
	sign(algorithm, messageType string, message []byte) ([]byte, error)
	verify(algorithm, messageType string, message, signature []byte) error
}

// kinds has the kinds by KeySpec. SM2 is not among them: KMS has it in China only.
var kinds = map[string]*kind{
	"SYMMETRIC_DEFAULT":     symmetric(1),
	"HMAC_224":              macs(2, "HMAC_SHA_224"),
	"HMAC_256":              macs(3, "HMAC_SHA_256"),
	"HMAC_384":              macs(4, "HMAC_SHA_384"),
	"HMAC_512":              macs(5, "HMAC_SHA_512"),
	"RSA_2048":              rsaPairs(6, 2048),
	"RSA_3072":              rsaPairs(7, 3072),
	"RSA_4096":              rsaPairs(8, 4096),
	"ECC_NIST_P256":         nistPairs(9, "P-256"),
	"ECC_NIST_P384":         nistPairs(10, "P-384"),
	"ECC_NIST_P521":         nistPairs(11, "P-521"),
	"ECC_SECG_P256K1":       koblitzPairs(12),
	"ECC_NIST_EDWARDS25519": edwardsPairs(13),
	"ML_DSA_44":             mldsaPairs(14, "ML-DSA-44"),
	"ML_DSA_65":             mldsaPairs(15, "ML-DSA-65"),
	"ML_DSA_87":             mldsaPairs(16, "ML-DSA-87"),
}

// byCode has the kinds by the byte in the stored form.
var byCode = func() (m [17]*kind) {
	for _, k := range kinds {
		m[k.code] = k
	}
	return m
}()

// Known reports whether there is material for the KeySpec.
func Known(spec string) bool { return kinds[spec] != nil }

// Slow reports whether making material for the KeySpec can take seconds, which
// a transaction should not.
func Slow(spec string) bool { return kinds[spec] != nil && kinds[spec].slow }

func kindOf(spec string) (*kind, error) {
	if k := kinds[spec]; k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrKind, spec)
}

// publicKey returns what open does of the public key.
func (k *kind) publicKey(stored []byte) ([]byte, error) {
	opened, public, err := k.open(stored)
	if err != nil {
		return nil, err
	}
	opened.destroy()
	return public, nil
}

// errStored is what open says of bytes that are not of its kind. They were
// authenticated by the root key, so it is not for callers to tell apart.
var errStored = errors.New("stored material is not of its kind")

// symmetricKey is a SYMMETRIC_DEFAULT key.
type symmetricKey struct{ runs *envelope.RunKeys }

func (k *symmetricKey) destroy() { k.runs.Destroy() }

func symmetric(code byte) *kind {
	parse := func(b []byte) ([]byte, error) {
		key, err := envelope.KeyFrom(b) // refuses other lengths, and zeros
		if err != nil {
			return nil, ErrMaterial
		}
		defer key.Destroy()
		return key.Bytes(), nil
	}
	return &kind{
		code: code,
		generate: func() ([]byte, error) {
			key := envelope.NewKey()
			defer key.Destroy()
			return key.Bytes(), nil
		},
		open: func(stored []byte) (secret, []byte, error) {
			key, err := envelope.KeyFrom(stored)
			if err != nil {
				return nil, nil, errStored
			}
			defer key.Destroy()
			runs, err := envelope.NewRunKeys(key, labelEncrypt, runsPerMaterial)
			if err != nil {
				return nil, nil, err
			}
			return &symmetricKey{runs}, nil, nil
		},
		parse: parse,
	}
}
