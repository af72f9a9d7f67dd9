package material_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/mldsa"
	"filippo.io/mldsa/x509"

	"coffer/internal/envelope"
	"coffer/internal/material"
)

var now = time.Date(2026, 1, 31, 10, 20, 30, 0, time.UTC)

func arnOf(keyID string) string { return "arn:aws:kms:eu-west-1:111122223333:key/" + keyID }

func newShake() io.ReadWriter { return sha3.NewSHAKE256() }

// Wrapping keys are costly, so tests share their parameters.
var sharedParameters = map[string]material.Parameters{}

func mustParameters(t testing.TB, s *material.Store, keyID, algorithm string) material.Parameters {
	t.Helper()
	sharedMu.Lock()
	defer sharedMu.Unlock()
	p, ok := sharedParameters[keyID+algorithm]
	if !ok {
		var err error
		if p, err = s.NewParameters(t.Context(), arnOf(keyID), "RSA_2048", algorithm, now.Add(24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		sharedParameters[keyID+algorithm] = p
	}
	return p
}

// wrapElsewhere does what a customer does with the public key.
func wrapElsewhere(t testing.TB, p material.Parameters, algorithm string, plain []byte) []byte {
	t.Helper()
	k, err := x509.ParsePKIXPublicKey(p.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	var h hash.Hash = sha256.New()
	if strings.HasSuffix(algorithm, "SHA_1") {
		h = sha1.New()
	}
	oaep := func(plain []byte) []byte {
		out, err := rsa.EncryptOAEP(h, rand.Reader, k.(*rsa.PublicKey), plain, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if !strings.HasPrefix(algorithm, "RSA_AES") {
		return oaep(plain)
	}
	kek := make([]byte, 32)
	rand.Read(kek)
	return append(oaep(kek), wrapPadded(t, kek, plain)...)
}

// wrapPadded is RFC 5649, section 4.1.
func wrapPadded(t testing.TB, kek, plain []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(kek)
	if err != nil {
		t.Fatal(err)
	}
	a := binary.BigEndian.AppendUint32([]byte{0xa6, 0x59, 0x59, 0xa6}, uint32(len(plain)))
	r := append(bytes.Clone(plain), make([]byte, -len(plain)&7)...)
	if len(r) == 8 {
		out := append(a, r...)
		block.Encrypt(out, out)
		return out
	}
	n := uint64(len(r) / 8)
	b := make([]byte, 16)
	for j := range uint64(6) {
		for i := uint64(1); i <= n; i++ {
			copy(b, a)
			copy(b[8:], r[(i-1)*8:])
			block.Encrypt(b, b)
			binary.BigEndian.PutUint64(a, binary.BigEndian.Uint64(b)^(n*j+i))
			copy(r[(i-1)*8:i*8], b[8:])
		}
	}
	return append(a, r...)
}

// mustImport imports material into the key uuid.
func mustImport(t testing.TB, s *material.Store, spec string, plain []byte) material.Wrapped {
	t.Helper()
	const algorithm = "RSA_AES_KEY_WRAP_SHA_256" // takes any length
	p := mustParameters(t, s, uuid, algorithm)
	w, err := s.Import(t.Context(), mustAllow(t, "kms:ImportKeyMaterial", uuid), uuid, spec, p.Token, wrapElsewhere(t, p, algorithm, plain), now)
	if err != nil {
		t.Fatalf("import of %s: %v", spec, err)
	}
	return w
}

func TestKeyWrapOfRFC5649(t *testing.T) {
	kek := mustHex(t, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
	for _, v := range []struct{ plain, wrapped string }{
		{"c37b7e6492584340bed12207808941155068f738", "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
		{"466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"},
	} {
		plain, wrapped := mustHex(t, v.plain), mustHex(t, v.wrapped)
		if got, err := material.UnwrapPadded(kek, wrapped); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("unwrapped %x, %v", got, err)
		}
		if got := wrapPadded(t, kek, plain); !bytes.Equal(got, wrapped) {
			t.Errorf("the test wraps %x", got)
		}
		for i := range wrapped {
			if got, err := material.UnwrapPadded(kek, flip(wrapped, i)); err != material.ErrInvalidCiphertext || got != nil {
				t.Errorf("byte %d flipped: %x, %v", i, got, err)
			}
		}
		for n := range wrapped {
			if _, err := material.UnwrapPadded(kek, wrapped[:n]); err != material.ErrInvalidCiphertext {
				t.Errorf("cut to %d: %v", n, err)
			}
		}
	}
	for n := 1; n <= 70; n++ {
		plain := bytes.Repeat([]byte{0xaa}, n)
		if got, err := material.UnwrapPadded(kek, wrapPadded(t, kek, plain)); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for _, bad := range []int{0, 8, 31, 33} {
		if _, err := material.UnwrapPadded(make([]byte, bad), make([]byte, 24)); err != material.ErrInvalidCiphertext {
			t.Errorf("key of %d bytes: %v", bad, err)
		}
	}
	// What is wrapped by the right key and is not of the right form: a length
	// of zero, one too long, one too short, padding that is not zero.
	block, err := aes.NewCipher(kek)
	if err != nil {
		t.Fatal(err)
	}
	for _, inner := range []string{"a65959a6000000000000000000000000", "a65959a6000000090102030405060708", "a65959a600000007010203040506ff08", "a65959a7000000080102030405060708"} {
		b := mustHex(t, inner)
		block.Encrypt(b, b)
		if _, err := material.UnwrapPadded(kek, b); err != material.ErrInvalidCiphertext {
			t.Errorf("%s: %v", inner, err)
		}
	}
}

// RFC 4231, with keys filled up to the length that KMS wants: HMAC fills up with
// zeros too, so the answers are the same.
func TestMACsOfRFC4231(t *testing.T) {
	s := mustStore(t, sharedRoot, 0)
	generate, verify := mustAllow(t, "kms:GenerateMac", uuid), mustAllow(t, "kms:VerifyMac", uuid)
	for _, v := range []struct {
		key, message string
		macs         [4]string
	}{
		{strings.Repeat("\x0b", 20), "Hi There", [4]string{
			"896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22",
			"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
			"afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
			"87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"}},
		{"Jefe", "what do ya want for nothing?", [4]string{
			"a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
			"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
			"af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
			"164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"}},
	} {
		for i, spec := range []string{"HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"} {
			size := []int{28, 32, 48, 64}[i]
			algorithm := "HMAC_SHA_" + spec[5:]
			w := mustImport(t, s, spec, append([]byte(v.key), make([]byte, size-len(v.key))...))
			want := mustHex(t, v.macs[i])
			got, err := s.MAC(t.Context(), generate, uuid, w, algorithm, []byte(v.message))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %x, %v", spec, got, err)
			}
			if err := s.VerifyMAC(t.Context(), verify, uuid, w, algorithm, []byte(v.message), want); err != nil {
				t.Errorf("%s: %v", spec, err)
			}
			for _, bad := range [][]byte{nil, want[1:], append(bytes.Clone(want), 0), flip(want, 0), flip(want, size-1)} {
				if err := s.VerifyMAC(t.Context(), verify, uuid, w, algorithm, []byte(v.message), bad); err != material.ErrInvalidMAC {
					t.Errorf("%s, another MAC: %v", spec, err)
				}
			}
			if _, err := s.MAC(t.Context(), generate, uuid, w, "HMAC_SHA_1", nil); err != material.ErrAlgorithm {
				t.Errorf("%s: %v", spec, err)
			}
		}
	}
	if _, err := s.MAC(t.Context(), generate, uuid, mustShared(t, "SYMMETRIC_DEFAULT"), "HMAC_SHA_256", nil); err != material.ErrKind {
		t.Errorf("MAC under a symmetric key: %v", err)
	}
}

func TestImport(t *testing.T) {
	s := mustStore(t, sharedRoot, 0)
	for _, tc := range []struct{ spec, algorithm string }{
		{"RSA_2048", "RSAES_OAEP_SHA_1"}, {"RSA_2048", "RSAES_OAEP_SHA_256"}, {"RSA_2048", "RSA_AES_KEY_WRAP_SHA_1"},
		{"RSA_3072", "RSAES_OAEP_SHA_256"}, {"RSA_4096", "RSA_AES_KEY_WRAP_SHA_256"},
	} {
		p, err := s.NewParameters(t.Context(), arnOf(uuid), tc.spec, tc.algorithm, now.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Token) > 6144 || len(p.PublicKey) > 4096 {
			t.Errorf("token of %d and key of %d bytes", len(p.Token), len(p.PublicKey))
		}
		plain := bytes.Repeat([]byte{9}, 32)
		w, err := s.Import(t.Context(), mustAllow(t, "kms:ImportKeyMaterial", uuid), uuid, "SYMMETRIC_DEFAULT", p.Token, wrapElsewhere(t, p, tc.algorithm, plain), now)
		if err != nil {
			t.Fatalf("%+v: %v", tc, err)
		}
		if again := mustImport(t, s, "SYMMETRIC_DEFAULT", plain); again.ID != w.ID {
			t.Errorf("the same material has another id")
		}
	}
	if _, err := s.NewParameters(t.Context(), arnOf(uuid), "RSA_2048", "RSAES_PKCS1_V1_5", now); !errors.Is(err, material.ErrAlgorithm) {
		t.Errorf("PKCS #1 1.5: %v", err)
	}
	for _, spec := range []string{"ECC_NIST_P256", "SYMMETRIC_DEFAULT", "SM2", ""} {
		if _, err := s.NewParameters(t.Context(), arnOf(uuid), spec, "RSAES_OAEP_SHA_256", now); !errors.Is(err, material.ErrKind) {
			t.Errorf("wrapping key %q: %v", spec, err)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	const oaep, aesWrap = "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_256"
	s := mustStore(t, sharedRoot, 0)
	allow := mustAllow(t, "kms:ImportKeyMaterial", uuid)
	p, q := mustParameters(t, s, uuid, oaep), mustParameters(t, s, uuid, aesWrap)
	elsewhere, err := s.NewParameters(t.Context(), strings.Replace(arnOf(uuid), "eu-west-1", "us-east-1", 1), "RSA_2048", oaep, now.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	plain := bytes.Repeat([]byte{1}, 32)
	good := wrapElsewhere(t, p, oaep, plain)
	for _, tc := range []struct {
		name           string
		token, wrapped []byte
		at             time.Time
		want           error
	}{
		{"nothing wrong", p.Token, good, now.Add(24*time.Hour - time.Millisecond), nil},
		{"at its end", p.Token, good, now.Add(24 * time.Hour), material.ErrTokenExpired},
		{"no token", nil, good, now, material.ErrToken},
		{"another version", append([]byte{2}, p.Token[1:]...), good, now, material.ErrToken},
		{"cut", p.Token[:len(p.Token)-1], good, now, material.ErrToken},
		{"changed", flip(p.Token, len(p.Token)/2), good, now, material.ErrToken},
		{"of another root key", flip(p.Token, 3), good, now, material.ErrToken},
		{"wrapped material is no token", mustShared(t, "RSA_2048").Blob, good, now, material.ErrToken},
		{"token of another key", mustParameters(t, s, uuid2, oaep).Token, good, now, material.ErrToken},
		{"token of another region", elsewhere.Token, wrapElsewhere(t, elsewhere, oaep, plain), now, material.ErrToken},
		{"wrapped for another token", q.Token, good, now, material.ErrInvalidCiphertext},
		{"the other algorithm", p.Token, wrapElsewhere(t, p, aesWrap, plain), now, material.ErrInvalidCiphertext},
		{"OAEP for key wrap", q.Token, wrapElsewhere(t, q, oaep, plain), now, material.ErrInvalidCiphertext},
		{"another hash", p.Token, wrapElsewhere(t, p, "RSAES_OAEP_SHA_1", plain), now, material.ErrInvalidCiphertext},
		{"damaged", p.Token, flip(good, 0), now, material.ErrInvalidCiphertext},
		{"nothing", p.Token, nil, now, material.ErrInvalidCiphertext},
		{"key wrap of nothing", q.Token, wrapElsewhere(t, q, aesWrap, plain)[:256], now, material.ErrInvalidCiphertext},
		{"less than a key", q.Token, []byte{1}, now, material.ErrInvalidCiphertext},
		{"31 bytes", p.Token, wrapElsewhere(t, p, oaep, plain[1:]), now, material.ErrMaterial},
		{"33 bytes", p.Token, wrapElsewhere(t, p, oaep, append(plain, 1)), now, material.ErrMaterial},
		{"zeros", p.Token, wrapElsewhere(t, p, oaep, make([]byte, 32)), now, material.ErrMaterial},
	} {
		_, err := s.Import(t.Context(), allow, uuid, "SYMMETRIC_DEFAULT", tc.token, tc.wrapped, tc.at)
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := s.Import(t.Context(), allow, uuid, "SM2", p.Token, good, now); !errors.Is(err, material.ErrKind) {
		t.Errorf("SM2: %v", err)
	}
	// A root key that cannot be reached now is not the customer's doing.
	away := mustStore(t, awayRoot{}, 0)
	if _, err := away.Import(t.Context(), allow, uuid, "SYMMETRIC_DEFAULT", p.Token, good, now); !errors.Is(err, errAway) || errors.Is(err, material.ErrToken) {
		t.Errorf("root key away: %v", err)
	}
	// One that ignores associated data still does not make material of a token.
	if _, err := mustStore(t, &looseRoot{inner: []byte("short")}, 0).Import(t.Context(), allow, uuid, "SYMMETRIC_DEFAULT", p.Token, good, now); !errors.Is(err, material.ErrToken) {
		t.Errorf("short token: %v", err)
	}
	if _, err := mustStore(t, &looseRoot{inner: append(bytes.Repeat([]byte{0x7f}, 9), "no key"...)}, 0).Import(t.Context(), allow, uuid, "SYMMETRIC_DEFAULT", p.Token, good, now); !errors.Is(err, material.ErrToken) {
		t.Errorf("token without a key: %v", err)
	}
}

type awayRoot struct{}

var errAway = errors.New("away")

func (awayRoot) Wrap(context.Context, []byte, []byte) ([]byte, error)   { return nil, errAway }
func (awayRoot) Unwrap(context.Context, []byte, []byte) ([]byte, error) { return nil, errAway }
func (awayRoot) Describe() string                                       { return "away" }

// Private keys come in many encodings; each is taken or refused for itself.
func TestImportedPrivateKeys(t *testing.T) {
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
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string][]byte{
		"RSA_2048":              pkcs8(rsa2048, nil),
		"ECC_NIST_P256":         pkcs8(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"ECC_NIST_P384":         pkcs8(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"ECC_NIST_P521":         pkcs8(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		"ECC_SECG_P256K1":       koblitzPKCS8(t, bytes.Repeat([]byte{3}, 32)),
		"ECC_NIST_EDWARDS25519": pkcs8(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{4}, 32)), nil),
		"ML_DSA_44":             pkcs8(mldsa.GenerateKey(mldsa.MLDSA44())),
		"ML_DSA_65":             pkcs8(mldsa.GenerateKey(mldsa.MLDSA65())),
		"ML_DSA_87":             pkcs8(mldsa.GenerateKey(mldsa.MLDSA87())),
	}
	for spec, der := range keys {
		stored, err := material.ParseImported(spec, der)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		if again, err := material.ParseImported(spec, stored); err != nil || !bytes.Equal(again, stored) {
			t.Errorf("%s: stored form is not its own: %v", spec, err)
		}
		for other := range keys {
			if other == spec {
				continue
			}
			if _, err := material.ParseImported(other, der); err != material.ErrMaterial {
				t.Errorf("%s as %s: %v", spec, other, err)
			}
		}
		for _, bad := range [][]byte{nil, {0x30}, der[:len(der)-1], der[1:], bytes.Repeat([]byte{0xff}, len(der))} {
			if _, err := material.ParseImported(spec, bad); err != material.ErrMaterial {
				t.Errorf("%s of %d bytes: %v", spec, len(bad), err)
			}
		}
	}
	for _, spec := range []string{"RSA_3072", "RSA_4096"} {
		if _, err := material.ParseImported(spec, keys["RSA_2048"]); err != material.ErrMaterial {
			t.Errorf("RSA_2048 as %s: %v", spec, err)
		}
	}
	order := mustHex(t, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
	one := append(make([]byte, 31), 1)
	for name, der := range map[string][]byte{
		"zero":                koblitzPKCS8(t, make([]byte, 32)),
		"the order":           koblitzPKCS8(t, order),
		"all ones":            koblitzPKCS8(t, bytes.Repeat([]byte{0xff}, 32)),
		"something behind it": append(koblitzPKCS8(t, one), 0),
	} {
		if _, err := material.ParseImported("ECC_SECG_P256K1", der); err != material.ErrMaterial {
			t.Errorf("secp256k1, %s: %v", name, err)
		}
	}
	less := slices.Concat(order[:31], []byte{0x40})
	if _, err := material.ParseImported("ECC_SECG_P256K1", koblitzPKCS8(t, less)); err != nil {
		t.Errorf("secp256k1, the order less one: %v", err)
	}
	// Another exponent than FIPS 186-5 takes.
	small := *rsa2048
	small.E = 3
	if der, err := x509.MarshalPKCS8PrivateKey(&small); err == nil {
		if _, err := material.ParseImported("RSA_2048", der); err != material.ErrMaterial {
			t.Errorf("exponent 3: %v", err)
		}
	}
}

// The same private key in another encoding is the same material.
func TestEncodingDoesNotMatter(t *testing.T) {
	s := mustStore(t, sharedRoot, 0)
	one := append(make([]byte, 31), 1)
	bare := mustImport(t, s, "ECC_SECG_P256K1", koblitzPKCS8(t, one))
	stored, err := material.ParseImported("ECC_SECG_P256K1", koblitzPKCS8(t, one)) // with the public key
	if err != nil || bytes.Equal(stored, koblitzPKCS8(t, one)) {
		t.Fatalf("stored as it came: %v", err)
	}
	if full := mustImport(t, s, "ECC_SECG_P256K1", stored); full.ID != bare.ID || !bytes.Equal(full.Public, bare.Public) {
		t.Error("another encoding has another id")
	}
	for i := range stored {
		if k, err := material.ParseImported("ECC_SECG_P256K1", flip(stored, i)); err == nil && i >= len(stored)-64 {
			t.Errorf("byte %d of the public key changed, and nobody minds: %x", i, k)
		}
	}
}

func TestWraps(t *testing.T) {
	const oaep, aesWrap = "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1"
	for _, tc := range []struct {
		spec, wrapping, algorithm string
		want                      bool
	}{
		{"SYMMETRIC_DEFAULT", "RSA_2048", oaep, true}, {"SYMMETRIC_DEFAULT", "RSA_4096", aesWrap, false},
		{"HMAC_512", "RSA_2048", oaep, true}, {"HMAC_512", "RSA_4096", aesWrap, false},
		{"RSA_2048", "RSA_4096", oaep, false}, {"RSA_4096", "RSA_2048", aesWrap, true},
		{"ECC_NIST_P256", "RSA_2048", oaep, true}, {"ECC_NIST_P256", "RSA_2048", aesWrap, true},
		{"ECC_NIST_P521", "RSA_2048", oaep, false}, {"ECC_NIST_P521", "RSA_3072", oaep, true}, {"ECC_NIST_P521", "RSA_2048", aesWrap, true},
		{"ML_DSA_87", "RSA_2048", oaep, true}, {"SYMMETRIC_DEFAULT", "SM2", oaep, false}, {"SM2", "RSA_2048", oaep, false},
		{"SYMMETRIC_DEFAULT", "RSA_2048", "RSAES_PKCS1_V1_5", false}, {"SYMMETRIC_DEFAULT", "RSA_2048", "", false},
	} {
		if got := material.Wraps(tc.spec, tc.wrapping, tc.algorithm); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	// What can be wrapped fits.
	s := mustStore(t, sharedRoot, 0)
	for _, spec := range material.Specs() {
		if !material.Wraps(spec, "RSA_2048", oaep) || spec == "SYMMETRIC_DEFAULT" || spec[:4] == "HMAC" {
			continue
		}
		private, _, err := s.GeneratePair(t.Context(), spec)
		if err != nil || len(private) > material.MaxOAEP(oaep, 2048) {
			t.Errorf("%s: %d bytes, %v", spec, len(private), err)
		}
	}
}

// FuzzImportedMaterial: nothing that a customer wraps does harm, and what is
// taken opens and is its own stored form.
func FuzzImportedMaterial(f *testing.F) {
	specs := material.Specs()
	s := mustStore(f, sharedRoot, 0)
	for i, spec := range specs {
		if spec == "SYMMETRIC_DEFAULT" || spec[:4] == "HMAC" {
			f.Add(uint8(i), bytes.Repeat([]byte{1}, 32))
			continue
		}
		if material.Slow(spec) && spec != "RSA_2048" {
			continue
		}
		private, _, err := s.GeneratePair(f.Context(), spec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), private)
	}
	f.Fuzz(func(t *testing.T, which uint8, imported []byte) {
		if len(imported) > 6144 {
			return
		}
		spec := specs[int(which)%len(specs)]
		stored, err := material.ParseImported(spec, imported)
		if err != nil {
			if err != material.ErrMaterial {
				t.Fatal(err)
			}
			return
		}
		if again, err := material.ParseImported(spec, stored); err != nil || !bytes.Equal(again, stored) {
			t.Fatalf("%s: stored form is not its own: %v", spec, err)
		}
		if err := material.OpenStored(spec, stored); err != nil {
			t.Fatalf("%s: taken, and does not open: %v", spec, err)
		}
	})
}

// FuzzImportToken: only the token that was given opens, and only with what was
// wrapped for it.
func FuzzImportToken(f *testing.F) {
	const algorithm = "RSA_AES_KEY_WRAP_SHA_256"
	s := mustStore(f, envelope.NewMemoryKey(), 0)
	p, err := s.NewParameters(f.Context(), arnOf(uuid), "RSA_2048", algorithm, now.Add(time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	wrapped := wrapElsewhere(f, p, algorithm, bytes.Repeat([]byte{1}, 32))
	allow := mustAllow(f, "kms:ImportKeyMaterial", uuid)
	f.Add(p.Token, wrapped)
	f.Add(p.Token[:20], wrapped)
	f.Add([]byte{1}, []byte{})
	f.Fuzz(func(t *testing.T, token, b []byte) {
		_, err := s.Import(t.Context(), allow, uuid, "SYMMETRIC_DEFAULT", token, b, now)
		switch {
		case err == nil && bytes.Equal(token, p.Token) && bytes.Equal(b, wrapped):
		case err == material.ErrInvalidCiphertext && bytes.Equal(token, p.Token):
		case err == material.ErrToken && !bytes.Equal(token, p.Token):
		default:
			t.Fatalf("token of %d bytes, %d wrapped: %v", len(token), len(b), err)
		}
	})
}

// FuzzKeyWrap: what unwraps is what was wrapped.
func FuzzKeyWrap(f *testing.F) {
	kek := bytes.Repeat([]byte{7}, 32)
	f.Add(wrapPadded(f, kek, []byte("x")))
	f.Add(wrapPadded(f, kek, make([]byte, 100)))
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := material.UnwrapPadded(kek, b)
		if err != nil {
			if err != material.ErrInvalidCiphertext {
				t.Fatal(err)
			}
			return
		}
		if again := wrapPadded(t, kek, plain); !bytes.Equal(again, b) {
			t.Fatalf("%x unwraps to what is wrapped as %x", b, again)
		}
	})
}

// FuzzPeer: a peer's public key is a point on the curve or is refused.
func FuzzPeer(f *testing.F) {
	s := mustStore(f, sharedRoot, 0)
	w := mustShared(f, "ECC_NIST_P256")
	a := mustAllow(f, "kms:DeriveSharedSecret", uuid)
	f.Add(w.Public)
	f.Add(mustShared(f, "ECC_NIST_P384").Public)
	f.Add(mustShared(f, "RSA_2048").Public)
	f.Fuzz(func(t *testing.T, peer []byte) {
		secret, err := s.DeriveSharedSecret(t.Context(), a, uuid, w, peer)
		if err == nil && len(secret) != 32 || err != nil && err != material.ErrPublicKey {
			t.Fatalf("%x: %d bytes, %v", peer, len(secret), err)
		}
	})
}
