package material_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	stdx509 "crypto/x509"
	"encoding/asn1"
	"errors"
	"hash"
	"slices"
	"sync"
	"testing"

	"filippo.io/mldsa"
	"filippo.io/mldsa/x509"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k1ecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"coffer/internal/envelope"
	"coffer/internal/material"
)

// Materials are costly to make, so tests share one of each spec.
var (
	sharedRoot = envelope.NewMemoryKey()
	sharedMu   sync.Mutex
	shared     = map[string]material.Wrapped{}
)

// mustShared returns material of spec for the key uuid, wrapped by sharedRoot.
func mustShared(t testing.TB, spec string) material.Wrapped {
	t.Helper()
	sharedMu.Lock()
	defer sharedMu.Unlock()
	w, ok := shared[spec]
	if !ok {
		var err error
		if w, err = mustStore(t, sharedRoot, 0).Generate(t.Context(), uuid, spec); err != nil {
			t.Fatal(err)
		}
		shared[spec] = w
	}
	return w
}

// parsePublic reads a SubjectPublicKeyInfo with other code than wrote it.
func parsePublic(t testing.TB, der []byte) any {
	t.Helper()
	if k, err := x509.ParsePKIXPublicKey(der); err == nil {
		return k
	}
	var info struct {
		Algorithm struct{ Kind, Curve asn1.ObjectIdentifier }
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil || info.Algorithm.Curve.String() != "1.3.132.0.10" {
		t.Fatalf("public key %x: %v", der, err)
	}
	k, err := secp256k1.ParsePubKey(info.Key.RightAlign())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestEverySpecHasItsMaterial(t *testing.T) {
	s := mustStore(t, sharedRoot, 0)
	specs := material.Specs()
	if len(specs) != 16 {
		t.Errorf("%d specs: %v", len(specs), specs)
	}
	for _, spec := range specs {
		w := mustShared(t, spec)
		if err := s.Check(t.Context(), uuid, spec, w); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
		for _, other := range specs {
			if err := s.Check(t.Context(), uuid, other, w); (err == nil) != (other == spec) || err != nil && !errors.Is(err, envelope.ErrCorrupt) {
				t.Errorf("%s as %s: %v", spec, other, err)
			}
		}
		if err := s.Check(t.Context(), uuid2, spec, w); !errors.Is(err, envelope.ErrCorrupt) {
			t.Errorf("%s of another key: %v", spec, err)
		}
		wrong := w
		wrong.Public = append(bytes.Clone(w.Public), 0)
		if err := s.Check(t.Context(), uuid, spec, wrong); !errors.Is(err, envelope.ErrCorrupt) {
			t.Errorf("%s with another public key: %v", spec, err)
		}
		if symmetric := spec == "SYMMETRIC_DEFAULT" || spec[:4] == "HMAC"; symmetric != (w.Public == nil) {
			t.Errorf("%s: public key of %d bytes", spec, len(w.Public))
		}
		if len(w.Blob) > 4096 {
			t.Errorf("%s: %d bytes wrapped, more than a root key elsewhere takes", spec, len(w.Blob))
		}
	}
	if material.Known("SM2") || !material.Known("RSA_2048") || material.Slow("ECC_NIST_P256") || !material.Slow("RSA_4096") || material.Slow("SM2") {
		t.Error("Known or Slow")
	}
	if _, err := s.Generate(t.Context(), uuid, "SM2"); !errors.Is(err, material.ErrKind) {
		t.Errorf("Generate of SM2: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 { // the first may find a free place
		if _, err := s.Generate(gone, uuid, "RSA_2048"); err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("given up: %v", err)
			}
			break
		}
	}
}

// signing is every signing algorithm with the specs it is for.
var signing = []struct {
	algorithm string
	specs     []string
	types     []string
}{
	{"RSASSA_PSS_SHA_256", rsaSpecs, hashed}, {"RSASSA_PSS_SHA_384", rsaSpecs, hashed}, {"RSASSA_PSS_SHA_512", rsaSpecs, hashed},
	{"RSASSA_PKCS1_V1_5_SHA_256", rsaSpecs, hashed}, {"RSASSA_PKCS1_V1_5_SHA_384", rsaSpecs, hashed}, {"RSASSA_PKCS1_V1_5_SHA_512", rsaSpecs, hashed},
	{"ECDSA_SHA_256", []string{"ECC_NIST_P256", "ECC_SECG_P256K1"}, hashed},
	{"ECDSA_SHA_384", []string{"ECC_NIST_P384"}, hashed},
	{"ECDSA_SHA_512", []string{"ECC_NIST_P521"}, hashed},
	{"ED25519_SHA_512", []string{"ECC_NIST_EDWARDS25519"}, []string{"RAW"}},
	{"ED25519_PH_SHA_512", []string{"ECC_NIST_EDWARDS25519"}, []string{"DIGEST"}},
	{"ML_DSA_SHAKE_256", []string{"ML_DSA_44", "ML_DSA_65", "ML_DSA_87"}, []string{"RAW", "EXTERNAL_MU"}},
}

var (
	rsaSpecs = []string{"RSA_2048", "RSA_3072", "RSA_4096"}
	hashed   = []string{"RAW", "DIGEST"}
)

// hashOf is the hash that an algorithm's name ends in; zero for ML-DSA.
func hashOf(algorithm string) crypto.Hash {
	switch algorithm[len(algorithm)-3:] {
	case "512":
		return crypto.SHA512
	case "384":
		return crypto.SHA384
	}
	if algorithm == "ML_DSA_SHAKE_256" {
		return 0
	}
	return crypto.SHA256
}

// verifyElsewhere checks a signature with the public key alone. message is what
// was signed before any hashing by KMS; digested says that KMS was given its hash.
func verifyElsewhere(t testing.TB, public any, algorithm string, message, signature []byte) bool {
	t.Helper()
	h := hashOf(algorithm)
	var digest []byte
	if h != 0 {
		d := h.New()
		d.Write(message)
		digest = d.Sum(nil)
	}
	switch k := public.(type) {
	case *rsa.PublicKey:
		if algorithm[:10] == "RSASSA_PSS" {
			return rsa.VerifyPSS(k, h, digest, signature, &rsa.PSSOptions{SaltLength: h.Size()}) == nil
		}
		return rsa.VerifyPKCS1v15(k, h, digest, signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, digest, signature)
	case *secp256k1.PublicKey:
		s, err := k1ecdsa.ParseDERSignature(signature)
		return err == nil && s.Verify(digest, k)
	case ed25519.PublicKey:
		if algorithm == "ED25519_SHA_512" {
			return ed25519.Verify(k, message, signature)
		}
		twice := sha512.Sum512(digest) // KMS hashes the digest that it is given
		return ed25519.VerifyWithOptions(k, twice[:], signature, &ed25519.Options{Hash: crypto.SHA512}) == nil
	case *mldsa.PublicKey:
		return mldsa.Verify(k, message, signature, nil) == nil
	}
	t.Fatalf("%T", public)
	return false
}

func TestSignaturesVerifyHereAndElsewhere(t *testing.T) {
	s := mustStore(t, sharedRoot, 0)
	sign, verify := mustAllow(t, "kms:Sign", uuid), mustAllow(t, "kms:Verify", uuid)
	message := []byte("to be signed")
	for _, a := range signing {
		for _, spec := range a.specs {
			w := mustShared(t, spec)
			public := parsePublic(t, w.Public)
			for _, form := range a.types {
				given := message
				switch form {
				case "DIGEST":
					h := hashOf(a.algorithm).New()
					h.Write(message)
					given = h.Sum(nil)
				case "EXTERNAL_MU":
					given = externalMu(t, public.(*mldsa.PublicKey), message)
				}
				signature, err := s.Sign(t.Context(), sign, uuid, w, a.algorithm, form, given)
				if err != nil {
					t.Errorf("%s %s %s: %v", spec, a.algorithm, form, err)
					continue
				}
				if !verifyElsewhere(t, public, a.algorithm, message, signature) {
					t.Errorf("%s %s %s: does not verify elsewhere", spec, a.algorithm, form)
				}
				if form == "EXTERNAL_MU" {
					if err := s.Verify(t.Context(), verify, uuid, w, a.algorithm, form, given, signature); !errors.Is(err, material.ErrUnverifiable) {
						t.Errorf("%s %s: %v", spec, form, err)
					}
					form, given = "RAW", message
				}
				if err := s.Verify(t.Context(), verify, uuid, w, a.algorithm, form, given, signature); err != nil {
					t.Errorf("%s %s %s: %v", spec, a.algorithm, form, err)
				}
				changed := bytes.Clone(given)
				changed[0] ^= 1
				if err := s.Verify(t.Context(), verify, uuid, w, a.algorithm, form, changed, signature); err != material.ErrInvalidSignature {
					t.Errorf("%s %s %s of another message: %v", spec, a.algorithm, form, err)
				}
				for _, bad := range [][]byte{nil, {0}, signature[:len(signature)-1], append(bytes.Clone(signature), 0), flip(signature, 0), flip(signature, len(signature)/2), flip(signature, len(signature)-1)} {
					if err := s.Verify(t.Context(), verify, uuid, w, a.algorithm, form, given, bad); err != material.ErrInvalidSignature {
						t.Errorf("%s %s %s, another signature: %v", spec, a.algorithm, form, err)
					}
				}
			}
		}
	}
}

func flip(b []byte, i int) []byte {
	c := bytes.Clone(b)
	c[i] ^= 1
	return c
}

// externalMu is the message representative of FIPS 204, algorithm 7, line 6.
func externalMu(t testing.TB, k *mldsa.PublicKey, message []byte) []byte {
	t.Helper()
	shake := func(n int, parts ...[]byte) []byte {
		out := make([]byte, n)
		h := newShake()
		for _, p := range parts {
			h.Write(p)
		}
		h.Read(out)
		return out
	}
	return shake(64, shake(64, k.Bytes()), []byte{0, 0}, message)
}

// Whatever does not fit is refused for what it is, by every spec.
func TestWhatDoesNotFitTheKey(t *testing.T) {
	s := mustStore(t, sharedRoot, 0)
	sign, verify := mustAllow(t, "kms:Sign", uuid), mustAllow(t, "kms:Verify", uuid)
	try := func(spec, algorithm, form string, n int, want error) {
		t.Helper()
		w := mustShared(t, spec)
		if _, err := s.Sign(t.Context(), sign, uuid, w, algorithm, form, make([]byte, n)); !errors.Is(err, want) {
			t.Errorf("Sign with %s by %s of %s: %v", spec, algorithm, form, err)
		}
		if err := s.Verify(t.Context(), verify, uuid, w, algorithm, form, make([]byte, n), []byte{1}); !errors.Is(err, want) {
			t.Errorf("Verify with %s by %s of %s: %v", spec, algorithm, form, err)
		}
	}
	for _, spec := range material.Specs() {
		for _, a := range signing {
			switch {
			case spec == "SYMMETRIC_DEFAULT" || spec[:4] == "HMAC":
				try(spec, a.algorithm, "RAW", 1, material.ErrKind)
			case !slices.Contains(a.specs, spec):
				try(spec, a.algorithm, a.types[0], 1, material.ErrAlgorithm)
			default:
				for _, form := range []string{"RAW", "DIGEST", "EXTERNAL_MU", "raw", ""} {
					if !slices.Contains(a.types, form) {
						try(spec, a.algorithm, form, 64, material.ErrMessageType)
					} else if form != "RAW" {
						try(spec, a.algorithm, form, 63, material.ErrDigestSize)
						try(spec, a.algorithm, form, 65, material.ErrDigestSize)
					}
				}
			}
		}
	}
}

// A PSS signature with a salt of another length than the hash's is none.
func TestSaltIsAsLongAsTheHash(t *testing.T) {
	s := mustStore(t, sharedRoot, 0)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := stdx509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	w := mustImport(t, s, "RSA_2048", der)
	digest := sha256.Sum256([]byte("m"))
	for _, salt := range []int{0, 20, 31, 32, 33, 64} {
		signature, err := rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt})
		if salt == 0 {
			continue // means "as long as can be"
		}
		if err != nil {
			t.Fatal(err)
		}
		err = s.Verify(t.Context(), mustAllow(t, "kms:Verify", uuid), uuid, w, "RSASSA_PSS_SHA_256", "RAW", []byte("m"), signature)
		if (err == nil) != (salt == 32) {
			t.Errorf("salt of %d bytes: %v", salt, err)
		}
	}
}

func TestRSAEncryption(t *testing.T) {
	s := mustStore(t, sharedRoot, 0)
	encrypt, decrypt := mustAllow(t, "kms:Encrypt", uuid), mustAllow(t, "kms:Decrypt", uuid)
	limits := map[string][2]int{"RSA_2048": {214, 190}, "RSA_3072": {342, 318}, "RSA_4096": {470, 446}}
	for spec, sizes := range limits {
		w := mustShared(t, spec)
		public := parsePublic(t, w.Public).(*rsa.PublicKey)
		for i, algorithm := range []string{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"} {
			if n := material.MaxOAEP(algorithm, public.N.BitLen()); n != sizes[i] {
				t.Errorf("%s by %s takes %d bytes, want %d", spec, algorithm, n, sizes[i])
			}
			longest := bytes.Repeat([]byte{7}, sizes[i])
			for _, plain := range [][]byte{{1}, longest} {
				blob, err := s.EncryptRSA(t.Context(), encrypt, uuid, w, algorithm, plain)
				if err != nil || len(blob) != public.Size() {
					t.Fatalf("%s by %s: %d bytes, %v", spec, algorithm, len(blob), err)
				}
				if got, err := s.DecryptRSA(t.Context(), decrypt, uuid, w, algorithm, blob); err != nil || !bytes.Equal(got, plain) {
					t.Errorf("%s by %s: %v", spec, algorithm, err)
				}
				var h hash.Hash = sha1.New()
				if i == 1 {
					h = sha256.New()
				}
				if blob, err = rsa.EncryptOAEP(h, rand.Reader, public, plain, nil); err != nil {
					t.Fatal(err)
				}
				if got, err := s.DecryptRSA(t.Context(), decrypt, uuid, w, algorithm, blob); err != nil || !bytes.Equal(got, plain) {
					t.Errorf("%s by %s, made elsewhere: %v", spec, algorithm, err)
				}
				for blob[0] != 0 && len(plain) == 1 { // a leading zero is part of it
					if blob, err = s.EncryptRSA(t.Context(), encrypt, uuid, w, algorithm, plain); err != nil {
						t.Fatal(err)
					}
				}
				for _, bad := range [][]byte{nil, {1}, blob[1:], append([]byte{0}, blob...), flip(blob, 0), flip(blob, len(blob)-1), make([]byte, 6144)} {
					if got, err := s.DecryptRSA(t.Context(), decrypt, uuid, w, algorithm, bad); err != material.ErrInvalidCiphertext || got != nil {
						t.Errorf("%s by %s of %d bytes: %v", spec, algorithm, len(bad), err)
					}
				}
				other := []string{"RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_1"}[i]
				if _, err := s.DecryptRSA(t.Context(), decrypt, uuid, w, other, blob); err != material.ErrInvalidCiphertext {
					t.Errorf("%s by the other algorithm: %v", spec, err)
				}
			}
			for _, n := range []int{0, sizes[i] + 1, 4096} {
				if _, err := s.EncryptRSA(t.Context(), encrypt, uuid, w, algorithm, make([]byte, n)); !errors.Is(err, material.ErrSize) {
					t.Errorf("%s by %s of %d bytes: %v", spec, algorithm, n, err)
				}
			}
		}
		if _, err := s.EncryptRSA(t.Context(), encrypt, uuid, w, "RSAES_PKCS1_V1_5", []byte{1}); !errors.Is(err, material.ErrAlgorithm) {
			t.Errorf("PKCS #1 1.5: %v", err)
		}
		if _, err := s.Encrypt(t.Context(), encrypt, uuid, w, []byte{1}, nil); !errors.Is(err, material.ErrKind) {
			t.Errorf("symmetric encryption under %s: %v", spec, err)
		}
	}
	if material.MaxOAEP("SYMMETRIC_DEFAULT", 2048) != 0 {
		t.Error("MaxOAEP of no RSA algorithm")
	}
	if _, err := s.EncryptRSA(t.Context(), encrypt, uuid, mustShared(t, "ECC_NIST_P256"), "RSAES_OAEP_SHA_1", []byte{1}); !errors.Is(err, material.ErrKind) {
		t.Errorf("RSA encryption under an ECC key: %v", err)
	}
}

func TestSharedSecretsAgree(t *testing.T) {
	s := mustStore(t, sharedRoot, 0)
	a := mustAllow(t, "kms:DeriveSharedSecret", uuid)
	curves := map[string]ecdh.Curve{"ECC_NIST_P256": ecdh.P256(), "ECC_NIST_P384": ecdh.P384(), "ECC_NIST_P521": ecdh.P521()}
	for spec, curve := range curves {
		w := mustShared(t, spec)
		theirs, err := curve.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		peer, err := stdx509.MarshalPKIXPublicKey(theirs.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.DeriveSharedSecret(t.Context(), a, uuid, w, peer)
		if err != nil {
			t.Fatal(err)
		}
		point, err := parsePublic(t, w.Public).(*ecdsa.PublicKey).ECDH()
		if err != nil {
			t.Fatal(err)
		}
		want, err := theirs.ECDH(point)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: secrets differ: %v", spec, err)
		}
		for other := range curves {
			if other == spec {
				continue
			}
			if _, err := s.DeriveSharedSecret(t.Context(), a, uuid, mustShared(t, other), peer); err != material.ErrPublicKey {
				t.Errorf("%s with a peer on %s: %v", other, spec, err)
			}
		}
		for _, bad := range [][]byte{nil, {0x30}, peer[:len(peer)-1], append(bytes.Clone(peer), 0), flip(peer, len(peer)-1), mustShared(t, "RSA_2048").Public, mustShared(t, "ECC_NIST_EDWARDS25519").Public, mustShared(t, "ECC_SECG_P256K1").Public} {
			if _, err := s.DeriveSharedSecret(t.Context(), a, uuid, w, bad); err != material.ErrPublicKey {
				t.Errorf("%s with a bad peer of %d bytes: %v", spec, len(bad), err)
			}
		}
		if _, err := s.DeriveSharedSecret(t.Context(), a, uuid, mustShared(t, "ECC_SECG_P256K1"), peer); err != material.ErrKind {
			t.Errorf("secp256k1: %v", err)
		}
	}
}

func TestPairsForUseElsewhere(t *testing.T) {
	s := mustStore(t, sharedRoot, 0)
	for _, spec := range material.Specs() {
		if spec == "RSA_3072" {
			continue // like the others, and slow
		}
		private, public, err := s.GeneratePair(t.Context(), spec)
		if spec == "SYMMETRIC_DEFAULT" || spec[:4] == "HMAC" {
			if !errors.Is(err, material.ErrKind) || private != nil {
				t.Errorf("%s: %v", spec, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(private) > material.MaxPlaintext {
			t.Errorf("%s: %d bytes, more than can be encrypted", spec, len(private))
		}
		// What is made for elsewhere can be imported, and is then known by its public key.
		w := mustImport(t, s, spec, private)
		if !bytes.Equal(w.Public, public) {
			t.Errorf("%s: the pair does not fit", spec)
		}
		if spec == "ECC_SECG_P256K1" {
			parsePublic(t, public)
			continue
		}
		k, err := x509.ParsePKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		if der, err := x509.MarshalPKIXPublicKey(k.(crypto.Signer).Public()); err != nil || !bytes.Equal(der, public) {
			t.Errorf("%s: public key differs: %v", spec, err)
		}
	}
}

// Every use of a key needs the decision for its own action and key.
func TestAuthorizationOfEveryUse(t *testing.T) {
	ctx := t.Context()
	s := mustStore(t, sharedRoot, 0)
	rsaKey, ec, mac := mustShared(t, "RSA_2048"), mustShared(t, "ECC_NIST_P256"), mustShared(t, "HMAC_256")
	p := mustParameters(t, s, uuid, "RSAES_OAEP_SHA_256")
	uses := []struct {
		actions []string
		use     func(action, keyID string) error
	}{
		{[]string{"kms:Sign"}, func(a, id string) error {
			_, err := s.Sign(ctx, mustAllow(t, a, id), uuid, ec, "ECDSA_SHA_256", "RAW", []byte("m"))
			return err
		}},
		{[]string{"kms:Verify"}, func(a, id string) error {
			err := s.Verify(ctx, mustAllow(t, a, id), uuid, ec, "ECDSA_SHA_256", "RAW", []byte("m"), nil)
			if err == material.ErrInvalidSignature {
				return nil
			}
			return err
		}},
		{[]string{"kms:GenerateMac"}, func(a, id string) error {
			_, err := s.MAC(ctx, mustAllow(t, a, id), uuid, mac, "HMAC_SHA_256", []byte("m"))
			return err
		}},
		{[]string{"kms:VerifyMac"}, func(a, id string) error {
			err := s.VerifyMAC(ctx, mustAllow(t, a, id), uuid, mac, "HMAC_SHA_256", []byte("m"), nil)
			if err == material.ErrInvalidMAC {
				return nil
			}
			return err
		}},
		{[]string{"kms:DeriveSharedSecret"}, func(a, id string) error {
			_, err := s.DeriveSharedSecret(ctx, mustAllow(t, a, id), uuid, ec, ec.Public)
			return err
		}},
		{[]string{"kms:Encrypt", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:GenerateDataKeyPair", "kms:GenerateDataKeyPairWithoutPlaintext"}, func(a, id string) error {
			_, err := s.EncryptRSA(ctx, mustAllow(t, a, id), uuid, rsaKey, "RSAES_OAEP_SHA_1", []byte("m"))
			return err
		}},
		{[]string{"kms:Decrypt", "kms:ReEncryptFrom"}, func(a, id string) error {
			_, err := s.DecryptRSA(ctx, mustAllow(t, a, id), uuid, rsaKey, "RSAES_OAEP_SHA_1", []byte("m"))
			if err == material.ErrInvalidCiphertext {
				return nil
			}
			return err
		}},
		{[]string{"kms:ImportKeyMaterial"}, func(a, id string) error {
			_, err := s.Import(ctx, mustAllow(t, a, id), uuid, "SYMMETRIC_DEFAULT", p.Token, []byte("m"), now)
			if err == material.ErrInvalidCiphertext {
				return nil
			}
			return err
		}},
	}
	var all []string
	for _, u := range uses {
		all = append(all, u.actions...)
	}
	for _, u := range uses {
		for _, action := range append(all, "kms:GetPublicKey", "kms:GetParametersForImport", "kms:DescribeKey", "kms:*") {
			want := error(material.ErrNotAllowed)
			if slices.Contains(u.actions, action) {
				want = nil
			}
			if err := u.use(action, uuid); err != want {
				t.Errorf("what %s allows, with %s: %v", u.actions[0], action, err)
			}
		}
		if err := u.use(u.actions[0], uuid2); err != material.ErrNotAllowed {
			t.Errorf("%s of another key: %v", u.actions[0], err)
		}
	}
}

// Known answers, checked against what others publish.
func TestPublishedSignatures(t *testing.T) {
	s := mustStore(t, sharedRoot, 0)
	verify := mustAllow(t, "kms:Verify", uuid)
	pkcs8 := func(k any, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	der := func(r, s string) []byte {
		t.Helper()
		b, err := asn1.Marshal([]asn1.RawValue{integer(mustHex(t, r)), integer(mustHex(t, s))})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, v := range []struct {
		name, spec, algorithm, message string
		key, signature                 []byte
	}{
		{"RFC 6979 A.2.5", "ECC_NIST_P256", "ECDSA_SHA_256", "sample",
			pkcs8(ecdsa.ParseRawPrivateKey(elliptic.P256(), mustHex(t, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"))),
			der("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716", "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8")},
		{"RFC 6979 A.2.6", "ECC_NIST_P384", "ECDSA_SHA_384", "sample",
			pkcs8(ecdsa.ParseRawPrivateKey(elliptic.P384(), mustHex(t, "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5"))),
			der("94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46", "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8")},
		{"secp256k1 with the key 1", "ECC_SECG_P256K1", "ECDSA_SHA_256", "Satoshi Nakamoto",
			koblitzPKCS8(t, append(make([]byte, 31), 1)),
			der("934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8", "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5")},
		{"RFC 8032 7.1, test 3", "ECC_NIST_EDWARDS25519", "ED25519_SHA_512", "\xaf\x82",
			pkcs8(ed25519.NewKeyFromSeed(mustHex(t, "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")), nil),
			mustHex(t, "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a")},
	} {
		w := mustImport(t, s, v.spec, v.key)
		if err := s.Verify(t.Context(), verify, uuid, w, v.algorithm, "RAW", []byte(v.message), v.signature); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
		if v.spec == "ECC_NIST_EDWARDS25519" { // the one that is deterministic
			got, err := s.Sign(t.Context(), mustAllow(t, "kms:Sign", uuid), uuid, w, v.algorithm, "RAW", []byte(v.message))
			if err != nil || !bytes.Equal(got, v.signature) {
				t.Errorf("%s: signed %x, %v", v.name, got, err)
			}
		}
	}
}

// integer is an ASN.1 INTEGER of big-endian bytes.
func integer(b []byte) asn1.RawValue {
	b = bytes.TrimLeft(b, "\x00")
	if b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	return asn1.RawValue{Tag: asn1.TagInteger, Bytes: b}
}

// koblitzPKCS8 encodes a secp256k1 key as OpenSSL does.
func koblitzPKCS8(t testing.TB, d []byte) []byte {
	t.Helper()
	return slices.Concat(mustHex(t, "303e020100301006072a8648ce3d020106052b8104000a042730250201010420"), d)
}

// secp256k1 signatures have the lower s, and ones with the higher verify too.
func TestLowerS(t *testing.T) {
	s := mustStore(t, sharedRoot, 0)
	w := mustShared(t, "ECC_SECG_P256K1")
	sign, verify := mustAllow(t, "kms:Sign", uuid), mustAllow(t, "kms:Verify", uuid)
	seen := map[string]bool{}
	for range 40 {
		signature, err := s.Sign(t.Context(), sign, uuid, w, "ECDSA_SHA_256", "RAW", []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		seen[string(signature)] = true
		parsed, err := k1ecdsa.ParseDERSignature(signature)
		if err != nil {
			t.Fatal(err)
		}
		r, low := parsed.R(), parsed.S()
		if low.IsOverHalfOrder() {
			t.Error("the higher s")
		}
		low.Negate()
		rb, sb := r.Bytes(), low.Bytes()
		der, err := asn1.Marshal([]asn1.RawValue{integer(rb[:]), integer(sb[:])})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(t.Context(), verify, uuid, w, "ECDSA_SHA_256", "RAW", []byte("m"), der); err != nil {
			t.Errorf("the higher s: %v", err)
		}
	}
	if len(seen) != 40 {
		t.Errorf("%d different signatures of 40: the nonce is not random", len(seen))
	}
}

// BenchmarkSign shows what keeping the parsed key is worth.
func BenchmarkSign(b *testing.B) {
	for _, spec := range []string{"RSA_2048", "RSA_4096", "ECC_NIST_P256", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519", "ML_DSA_65"} {
		algorithm := ""
		for _, a := range signing {
			if slices.Contains(a.specs, spec) && a.types[0] == "RAW" && algorithm == "" {
				algorithm = a.algorithm
			}
		}
		s := mustStore(b, sharedRoot, 0)
		w := mustShared(b, spec)
		a := mustAllow(b, "kms:Sign", uuid)
		for _, mode := range []string{"kept", "parsed anew"} {
			b.Run(spec+"/"+mode, func(b *testing.B) {
				for b.Loop() {
					if mode != "kept" {
						s.Forget(uuid)
					}
					if _, err := s.Sign(context.Background(), a, uuid, w, algorithm, "RAW", []byte("m")); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// TestConcurrentUse is TestConcurrent for the other kinds: zeroing an HMAC key must
// not be seen by a call under way, and a key let go must finish what it began.
func TestConcurrentUse(t *testing.T) {
	s := mustStore(t, sharedRoot, 1)
	mac, ec := mustShared(t, "HMAC_256"), mustShared(t, "ECC_NIST_P256")
	generate, sign := mustAllow(t, "kms:GenerateMac", uuid), mustAllow(t, "kms:Sign", uuid)
	want, err := s.MAC(t.Context(), generate, uuid, mac, "HMAC_SHA_256", []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	public := parsePublic(t, ec.Public)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := range 200 {
				if got, err := s.MAC(context.Background(), generate, uuid, mac, "HMAC_SHA_256", []byte("m")); err != nil || !bytes.Equal(got, want) {
					t.Errorf("MAC %x, %v", got, err)
				}
				if n%8 == g {
					signature, err := s.Sign(context.Background(), sign, uuid, ec, "ECDSA_SHA_256", "RAW", []byte("m"))
					if err != nil || !verifyElsewhere(t, public, "ECDSA_SHA_256", []byte("m"), signature) {
						t.Errorf("signature: %v", err)
					}
				}
				if n%16 == 3 {
					s.Forget(uuid)
				}
			}
		})
	}
	wg.Wait()
}
