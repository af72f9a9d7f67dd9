package material

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/asn1"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// koblitzKey is an ECC_SECG_P256K1 key, on the curve that Go does not have. Like
// Go's own keys it is left to the collector, because calls under way share it.
type koblitzKey struct {
	private secp256k1.ModNScalar
	public  *secp256k1.PublicKey
}

func (*koblitzKey) destroy() {}

const koblitzAlgorithm = "ECDSA_SHA_256"

func koblitzPairs(code byte) *kind {
	return &kind{
		code: code,
		generate: func() ([]byte, error) {
			d := randomScalar()
			defer d.Zero()
			return marshalKoblitz(&d)
		},
		open: func(stored []byte) (secret, []byte, error) {
			k, ok := parseKoblitz(stored)
			if !ok {
				return nil, nil, errStored
			}
			public, err := asn1.Marshal(subjectPublicKeyInfo{
				Algorithm: koblitzAlgorithmID,
				PublicKey: bits(k.public.SerializeUncompressed()),
			})
			return k, public, err
		},
		parse: func(imported []byte) ([]byte, error) {
			k, ok := parseKoblitz(imported)
			if !ok {
				return nil, ErrMaterial
			}
			defer k.private.Zero()
			return marshalKoblitz(&k.private)
		},
	}
}

func (k *koblitzKey) digest(algorithm, messageType string, message []byte) ([]byte, error) {
	if algorithm != koblitzAlgorithm {
		return nil, ErrAlgorithm
	}
	return digest(crypto.SHA256, messageType, message)
}

// sign is ECDSA (FIPS 186-5, 6.4.1) with the lower of the two possible s, which
// those who use this curve insist on. The library's own Sign takes a time that depends on its secrets, and the
// same secrets each time for the same message; here every step that is not constant in
// time works on numbers blinded anew.
func (k *koblitzKey) sign(algorithm, messageType string, message []byte) ([]byte, error) {
	d, err := k.digest(algorithm, messageType, message)
	if err != nil {
		return nil, err
	}
	var e secp256k1.ModNScalar
	e.SetByteSlice(d) // modulo the order, as it should be
	for {
		nonce, blind := randomScalar(), randomScalar()
		x := baseMult(&nonce).X()
		var r, s secp256k1.ModNScalar
		r.SetByteSlice(x.Bytes())
		// s = (e + r·private) / nonce, with 1/nonce = blind · 1/(nonce·blind)
		s.Mul2(&nonce, &blind).InverseNonConst().Mul(&blind)
		nonce.Zero()
		s.Mul(new(secp256k1.ModNScalar).Mul2(&r, &k.private).Add(&e))
		if r.IsZero() || s.IsZero() { // never seen
			continue
		}
		if s.IsOverHalfOrder() {
			s.Negate()
		}
		return ecdsa.NewSignature(&r, &s).Serialize(), nil
	}
}

// verify takes the higher s too, as other implementations make it.
func (k *koblitzKey) verify(algorithm, messageType string, message, signature []byte) error {
	d, err := k.digest(algorithm, messageType, message)
	if err != nil {
		return err
	}
	s, err := ecdsa.ParseDERSignature(signature)
	if err != nil || !s.Verify(d, k.public) {
		return ErrInvalidSignature
	}
	return nil
}

// randomScalar draws from 1 to the order less one.
func randomScalar() (s secp256k1.ModNScalar) {
	var b [32]byte
	defer clear(b[:])
	for {
		rand.Read(b[:]) // never fails
		if overflow := s.SetBytes(&b); overflow == 0 && !s.IsZero() {
			return s
		}
	}
}

// baseMult returns the public key of d, as (d-b)G + bG with a random b: what the
// library does takes a time that depends on the factor.
func baseMult(d *secp256k1.ModNScalar) *secp256k1.PublicKey {
	b := randomScalar()
	rest := new(secp256k1.ModNScalar).NegateVal(&b).Add(d)
	var p, q, sum secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(rest, &p)
	secp256k1.ScalarBaseMultNonConst(&b, &q)
	secp256k1.AddNonConst(&p, &q, &sum)
	sum.ToAffine()
	return secp256k1.NewPublicKey(&sum.X, &sum.Y)
}

// The encodings, which crypto/x509 has for its own curves only: RFC 5958 (PKCS
// #8), RFC 5915 (ECPrivateKey) and RFC 5480 (SubjectPublicKeyInfo).
type (
	algorithmID struct {
		Algorithm asn1.ObjectIdentifier
		Curve     asn1.ObjectIdentifier
	}
	privateKeyInfo struct {
		Version    int
		Algorithm  algorithmID
		PrivateKey []byte
	}
	ecPrivateKey struct {
		Version    int
		PrivateKey []byte
		Curve      asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
		PublicKey  asn1.BitString        `asn1:"optional,explicit,tag:1"`
	}
	subjectPublicKeyInfo struct {
		Algorithm algorithmID
		PublicKey asn1.BitString
	}
)

var koblitzAlgorithmID = algorithmID{
	Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, // id-ecPublicKey
	Curve:     asn1.ObjectIdentifier{1, 3, 132, 0, 10},       // secp256k1
}

func bits(b []byte) asn1.BitString { return asn1.BitString{Bytes: b, BitLength: 8 * len(b)} }

func marshalKoblitz(d *secp256k1.ModNScalar) ([]byte, error) {
	b := d.Bytes()
	defer clear(b[:])
	inner, err := asn1.Marshal(ecPrivateKey{Version: 1, PrivateKey: b[:], PublicKey: bits(baseMult(d).SerializeUncompressed())})
	if err != nil {
		return nil, err
	}
	defer clear(inner)
	return asn1.Marshal(privateKeyInfo{Algorithm: koblitzAlgorithmID, PrivateKey: inner})
}

// parseKoblitz reads PKCS #8. A public key within must be the private key's.
func parseKoblitz(der []byte) (*koblitzKey, bool) {
	var outer privateKeyInfo
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || outer.Version > 1 ||
		!outer.Algorithm.Algorithm.Equal(koblitzAlgorithmID.Algorithm) || !outer.Algorithm.Curve.Equal(koblitzAlgorithmID.Curve) {
		return nil, false
	}
	defer clear(outer.PrivateKey)
	var inner ecPrivateKey
	if rest, err := asn1.Unmarshal(outer.PrivateKey, &inner); err != nil || len(rest) > 0 || inner.Version != 1 || len(inner.PrivateKey) != 32 ||
		inner.Curve != nil && !inner.Curve.Equal(koblitzAlgorithmID.Curve) {
		return nil, false
	}
	defer clear(inner.PrivateKey)
	k := new(koblitzKey)
	if overflow := k.private.SetByteSlice(inner.PrivateKey); overflow || k.private.IsZero() {
		return nil, false
	}
	k.public = baseMult(&k.private)
	if p := inner.PublicKey.Bytes; len(p) > 0 && !bytes.Equal(p, k.public.SerializeUncompressed()) && !bytes.Equal(p, k.public.SerializeCompressed()) {
		return nil, false
	}
	return k, true
}
