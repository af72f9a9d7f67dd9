package material_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"coffer/internal/envelope"
	"coffer/internal/material"
	"coffer/internal/policy"
)

const (
	uuid  = "1234abcd-12ab-34cd-56ef-1234567890ab"
	uuid2 = "1234abcd-12ab-34cd-56ef-1234567890ac"
	mrk   = "mrk-1234abcd12ab34cd56ef1234567890ab"
)

var secretContext = map[string]string{
	"SecretARN":       "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf",
	"SecretVersionId": "0c1d2e3f-0000-4000-8000-000000000001",
}

func mustAllow(t testing.TB, action, keyID string) policy.Allowed {
	t.Helper()
	const root = "arn:aws:iam::111122223333:root"
	d := policy.Evaluate(&policy.Request{
		Caller: policy.Caller{Type: policy.Root, ARN: root, Account: "111122223333", Entity: root, ID: "111122223333"},
		Action: action, Resource: "arn:aws:kms:eu-west-1:111122223333:key/" + keyID, ResourceAccount: "111122223333",
	}, &policy.Policies{})
	if !d.Allowed.Valid() {
		t.Fatal("not allowed")
	}
	return d.Allowed
}

func mustStore(t testing.TB, root envelope.RootKey, size int) *material.Store {
	t.Helper()
	s, err := material.New(material.Config{Root: root, CacheSize: size})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func mustGenerate(t testing.TB, s *material.Store, keyID string) material.Wrapped {
	t.Helper()
	w, err := s.Generate(context.Background(), keyID, "SYMMETRIC_DEFAULT")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func mustEncrypt(t testing.TB, s *material.Store, keyID string, w material.Wrapped, plain string, ec map[string]string) []byte {
	t.Helper()
	blob, err := s.Encrypt(context.Background(), mustAllow(t, "kms:Encrypt", keyID), keyID, w, []byte(plain), ec)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

// decrypt is Decrypt for those with the permission.
func decrypt(t testing.TB, s *material.Store, keyID string, w material.Wrapped, blob []byte, ec map[string]string) (string, error) {
	t.Helper()
	plain, err := s.Decrypt(context.Background(), mustAllow(t, "kms:Decrypt", keyID), keyID, w, blob, ec)
	if err != nil && plain != nil {
		t.Errorf("plaintext beside the error %v", err)
	}
	return string(plain), err
}

func TestRoundTrip(t *testing.T) {
	root := envelope.NewMemoryKey()
	s, other := mustStore(t, root, 0), mustStore(t, root, 0)
	for _, keyID := range []string{uuid, mrk} {
		w := mustGenerate(t, s, keyID)
		if !regexp.MustCompile("^[0-9a-f]{64}$").MatchString(w.ID) {
			t.Errorf("material id %q", w.ID)
		}
		for _, ec := range []map[string]string{nil, {}, secretContext, {"": ""}, {"k": "\x00\xff"}} {
			for _, n := range []int{1, 32, material.MaxPlaintext} {
				plain := strings.Repeat("p", n)
				blob := mustEncrypt(t, s, keyID, w, plain, ec)
				if len(blob) != n+material.BlobOverhead || len(blob) > 6144 || (n > 16 && bytes.Contains(blob, []byte(plain))) {
					t.Errorf("%d bytes became %d", n, len(blob))
				}
				if k, m, err := material.Parse(blob); k != keyID || m != w.ID || err != nil {
					t.Errorf("Parse: %s, %s, %v", k, m, err)
				}
				for _, s := range []*material.Store{s, other} { // with and without what was cached
					if got, err := decrypt(t, s, keyID, w, blob, maps.Clone(ec)); got != plain || err != nil {
						t.Errorf("decrypted %d bytes: %v", len(got), err)
					}
				}
			}
		}
	}
	if _, err := material.New(material.Config{}); err == nil {
		t.Error("a store without a root key")
	}
}

func TestEmptyContextIsAbsent(t *testing.T) {
	s := mustStore(t, envelope.NewMemoryKey(), 0)
	w := mustGenerate(t, s, uuid)
	if _, err := decrypt(t, s, uuid, w, mustEncrypt(t, s, uuid, w, "x", nil), map[string]string{}); err != nil {
		t.Error(err)
	}
	if _, err := decrypt(t, s, uuid, w, mustEncrypt(t, s, uuid, w, "x", map[string]string{}), nil); err != nil {
		t.Error(err)
	}
}

func TestDecryptRefusesChanges(t *testing.T) {
	s := mustStore(t, envelope.NewMemoryKey(), 0)
	w := mustGenerate(t, s, uuid)
	blob := mustEncrypt(t, s, uuid, w, "data key", secretContext)
	refused := func(what string, b []byte) {
		t.Helper()
		if _, err := decrypt(t, s, uuid, w, b, secretContext); err != material.ErrInvalidCiphertext {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range blob {
		for bit := range 8 {
			b := bytes.Clone(blob)
			b[i] ^= 1 << bit
			refused(fmt.Sprintf("bit %d of byte %d flipped", bit, i), b)
		}
	}
	for n := range blob {
		refused(fmt.Sprintf("cut to %d bytes", n), blob[:n])
	}
	refused("one byte more", append(bytes.Clone(blob), 0))
	refused("a megabyte", make([]byte, 1<<20))
	// Blobs that are whole, and of another material or key.
	w2 := mustGenerate(t, s, uuid)
	refused("the material after rotation", mustEncrypt(t, s, uuid, w2, "data key", secretContext))
	refused("another key", mustEncrypt(t, s, uuid2, mustGenerate(t, s, uuid2), "data key", secretContext))
	if got, err := decrypt(t, s, uuid, w2, mustEncrypt(t, s, uuid, w2, "new", nil), nil); got != "new" || err != nil {
		t.Errorf("rotated: %q, %v", got, err)
	}
	if got, err := decrypt(t, s, uuid, w, blob, secretContext); got != "data key" || err != nil {
		t.Errorf("old blob after rotation: %q, %v", got, err)
	}
}

func TestContextIsBound(t *testing.T) {
	s := mustStore(t, envelope.NewMemoryKey(), 0)
	w := mustGenerate(t, s, uuid)
	blob := mustEncrypt(t, s, uuid, w, "x", map[string]string{"ab": "cd", "e": "f"})
	for i, ec := range []map[string]string{
		nil,
		{"ab": "cd"},
		{"e": "f"},
		{"cd": "ab", "f": "e"},         // keys and values swapped
		{"ab": "f", "e": "cd"},         // values swapped
		{"a": "bcd", "e": "f"},         // boundaries moved
		{"abc": "d", "e": "f"},         //
		{"ab": "cde", "": "f"},         //
		{"ab": "cd", "e": "f", "": ""}, // more
		{"ab": "cd", "e": "F"},         // case
		{"AB": "cd", "e": "f"},         //
		{"ab": "cd\x00", "e": "f"},     //
		{"ab": "cd\x00\x01e\x00\x01f"}, // one pair that spells two
		{"ab\x00\x02cd\x00\x01e": "f"}, //
		{"ab": "cd", "e": "f", "SecretARN": "x"},
	} {
		if _, err := decrypt(t, s, uuid, w, blob, ec); err != material.ErrInvalidCiphertext {
			t.Errorf("context %d: %v", i, err)
		}
	}
}

func TestContextLimit(t *testing.T) {
	s := mustStore(t, envelope.NewMemoryKey(), 0)
	w := mustGenerate(t, s, uuid)
	full := map[string]string{"k": strings.Repeat("v", material.MaxContext-7)}
	blob := mustEncrypt(t, s, uuid, w, "x", full)
	if _, err := decrypt(t, s, uuid, w, blob, full); err != nil {
		t.Error(err)
	}
	many := map[string]string{}
	for i := range 2000 {
		many[fmt.Sprint(i)] = ""
	}
	for _, ec := range []map[string]string{{"k": full["k"] + "v"}, {strings.Repeat("k", 1<<20): ""}, {"": strings.Repeat("v", 1<<17)}, many} {
		if _, err := s.Encrypt(t.Context(), mustAllow(t, "kms:Encrypt", uuid), uuid, w, []byte("x"), ec); !errors.Is(err, material.ErrContextTooLarge) {
			t.Errorf("encrypt: %v", err)
		}
		if _, err := decrypt(t, s, uuid, w, blob, ec); !errors.Is(err, material.ErrContextTooLarge) {
			t.Errorf("decrypt: %v", err)
		}
	}
}

// TestContextCanonical: two contexts are equal exactly if their canonical
// forms are.
func TestContextCanonical(t *testing.T) {
	pieces := []string{"", "a", "b", "ab", "\x00", "\x00\x01", "\x00\x01a", "a\x00\x01b"}
	seen := map[string]map[string]string{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		ec := map[string]string{}
		for range r.IntN(4) {
			ec[pieces[r.IntN(len(pieces))]] = pieces[r.IntN(len(pieces))]
		}
		form, err := material.AppendContext(nil, ec)
		if err != nil {
			t.Fatal(err)
		}
		if old, ok := seen[string(form)]; ok && !maps.Equal(old, ec) {
			t.Fatalf("%q and %q have the same form", old, ec)
		}
		seen[string(form)] = ec
		if again, _ := material.AppendContext(nil, maps.Clone(ec)); !bytes.Equal(form, again) {
			t.Fatalf("%q has two forms", ec)
		}
	}
	if len(seen) < 1000 {
		t.Fatalf("only %d contexts tried", len(seen))
	}
}

func TestSizes(t *testing.T) {
	ctx := t.Context()
	s := mustStore(t, envelope.NewMemoryKey(), 0)
	w := mustGenerate(t, s, uuid)
	for _, n := range []int{0, material.MaxPlaintext + 1} {
		if _, err := s.Encrypt(ctx, mustAllow(t, "kms:Encrypt", uuid), uuid, w, make([]byte, n), nil); !errors.Is(err, material.ErrSize) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	allowed := mustAllow(t, "kms:GenerateDataKey", uuid)
	for _, n := range []int{-1, 0, material.MaxDataKey + 1} {
		if _, _, err := s.GenerateDataKey(ctx, allowed, uuid, w, n, nil); !errors.Is(err, material.ErrSize) {
			t.Errorf("data key of %d bytes: %v", n, err)
		}
	}
	for _, n := range []int{1, 16, 32, material.MaxDataKey} {
		plain, blob, err := s.GenerateDataKey(ctx, allowed, uuid, w, n, secretContext)
		if err != nil || len(plain) != n {
			t.Fatalf("data key of %d bytes: %d, %v", n, len(plain), err)
		}
		if got, err := decrypt(t, s, uuid, w, blob, secretContext); got != string(plain) || err != nil {
			t.Errorf("data key of %d bytes does not decrypt: %v", n, err)
		}
	}
}

func TestKeyIDs(t *testing.T) {
	s := mustStore(t, envelope.NewMemoryKey(), 0)
	w := mustGenerate(t, s, uuid)
	for _, id := range []string{
		"", "x", strings.ToUpper(uuid), uuid + "0", uuid[:35], "1234abcd012ab-34cd-56ef-1234567890ab", "1234abcd12ab34cd56ef1234567890ab",
		"mrk-", "mrk-fake", "MRK-" + mrk[4:], mrk + "0", mrk[:35], strings.ToUpper(mrk[4:]), "mrk-" + uuid, uuid[:35] + "g",
		"arn:aws:kms:eu-west-1:111122223333:key/" + uuid, "alias/x",
	} {
		if _, err := s.Generate(t.Context(), id, "SYMMETRIC_DEFAULT"); !errors.Is(err, material.ErrKeyID) {
			t.Errorf("Generate for %q: %v", id, err)
		}
		// Without a key id there is nothing to be authorized for.
		if _, err := s.Encrypt(t.Context(), mustAllow(t, "kms:Encrypt", uuid), id, w, []byte("x"), nil); err == nil {
			t.Errorf("Encrypt for %q", id)
		}
	}
}

func TestAuthorization(t *testing.T) {
	ctx := t.Context()
	s := mustStore(t, envelope.NewMemoryKey(), 0)
	w := mustGenerate(t, s, uuid)
	blob := mustEncrypt(t, s, uuid, w, "x", nil)
	encrypt := map[string]bool{"kms:Encrypt": true, "kms:GenerateDataKey": true, "kms:GenerateDataKeyWithoutPlaintext": true,
		"kms:GenerateDataKeyPair": true, "kms:GenerateDataKeyPairWithoutPlaintext": true, "kms:ReEncryptTo": true}
	decrypts := map[string]bool{"kms:Decrypt": true, "kms:ReEncryptFrom": true}
	for _, action := range []string{"kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext",
		"kms:GenerateDataKeyPair", "kms:GenerateDataKeyPairWithoutPlaintext", "kms:ReEncryptTo", "kms:ReEncryptFrom",
		"kms:DescribeKey", "kms:Sign", "kms:*", "secretsmanager:GetSecretValue"} {
		a := mustAllow(t, action, uuid)
		_, err := s.Encrypt(ctx, a, uuid, w, []byte("x"), nil)
		if (err == nil) != encrypt[action] || (err != nil && err != material.ErrNotAllowed) {
			t.Errorf("Encrypt with %s: %v", action, err)
		}
		_, _, err = s.GenerateDataKey(ctx, a, uuid, w, 32, nil)
		if (err == nil) != encrypt[action] || (err != nil && err != material.ErrNotAllowed) {
			t.Errorf("GenerateDataKey with %s: %v", action, err)
		}
		_, err = s.Decrypt(ctx, a, uuid, w, blob, nil)
		if (err == nil) != decrypts[action] || (err != nil && err != material.ErrNotAllowed) {
			t.Errorf("Decrypt with %s: %v", action, err)
		}
	}
	for name, a := range map[string]policy.Allowed{
		"nothing":                     {},
		"another key":                 mustAllow(t, "kms:Decrypt", uuid2),
		"an id that ends in this one": mustAllow(t, "kms:Decrypt", "x"+uuid),
	} {
		if _, err := s.Decrypt(ctx, a, uuid, w, blob, nil); err != material.ErrNotAllowed {
			t.Errorf("Decrypt with %s: %v", name, err)
		}
	}
	if _, err := s.Decrypt(ctx, policy.Allowed{}, "", w, blob, nil); err != material.ErrNotAllowed {
		t.Errorf("Decrypt of nothing: %v", err)
	}
}

func TestWrappedIsBound(t *testing.T) {
	root := envelope.NewMemoryKey()
	w := mustGenerate(t, mustStore(t, root, 0), uuid)
	w2 := mustGenerate(t, mustStore(t, root, 0), uuid)
	try := func(root envelope.RootKey, keyID string, w material.Wrapped) error {
		t.Helper()
		_, err := mustStore(t, root, 0).Encrypt(t.Context(), mustAllow(t, "kms:Encrypt", keyID), keyID, w, []byte("x"), nil)
		return err
	}
	if err := try(root, uuid, w); err != nil {
		t.Fatal(err)
	}
	if err := try(envelope.NewMemoryKey(), uuid, w); !errors.Is(err, envelope.ErrWrongKey) {
		t.Errorf("wrong root key: %v", err)
	}
	for name, err := range map[string]error{
		"another key id":     try(root, uuid2, w),
		"ids swapped":        try(root, uuid, material.Wrapped{ID: w.ID, Blob: w2.Blob}),
		"upper-case id":      try(root, uuid, material.Wrapped{ID: strings.ToUpper(w.ID), Blob: w.Blob}),
		"no id":              try(root, uuid, material.Wrapped{Blob: w.Blob}),
		"no blob":            try(root, uuid, material.Wrapped{ID: w.ID}),
		"the version only":   try(root, uuid, material.Wrapped{ID: w.ID, Blob: w.Blob[:1]}),
		"the next version":   try(root, uuid, material.Wrapped{ID: w.ID, Blob: append([]byte{2}, w.Blob[1:]...)}),
		"the last byte gone": try(root, uuid, material.Wrapped{ID: w.ID, Blob: w.Blob[:len(w.Blob)-1]}),
	} {
		if !errors.Is(err, envelope.ErrCorrupt) || errors.Is(err, material.ErrInvalidCiphertext) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range w.Blob {
		b := bytes.Clone(w.Blob)
		b[i] ^= 1
		if err := try(root, uuid, material.Wrapped{ID: w.ID, Blob: b}); !errors.Is(err, envelope.ErrCorrupt) && !errors.Is(err, envelope.ErrWrongKey) {
			t.Errorf("byte %d of the wrapped material flipped: %v", i, err)
		}
	}
	// A cached material is still of its own key only.
	s := mustStore(t, root, 0)
	mustEncrypt(t, s, uuid, w, "x", nil)
	if _, err := s.Encrypt(t.Context(), mustAllow(t, "kms:Encrypt", uuid2), uuid2, w, []byte("x"), nil); !errors.Is(err, envelope.ErrCorrupt) {
		t.Errorf("cached material used for another key: %v", err)
	}
	// A kind that this version does not know, wrapped by the right root key.
	loose := &looseRoot{inner: append([]byte{17}, bytes.Repeat([]byte{7}, 32)...)}
	if err := try(loose, uuid, w); !errors.Is(err, envelope.ErrCorrupt) {
		t.Errorf("unknown kind: %v", err)
	}
	// A root key that ignores associated data: the id gives it away.
	loose.inner[0] = 1
	if err := try(loose, uuid, w); !errors.Is(err, envelope.ErrCorrupt) {
		t.Errorf("material of another id: %v", err)
	}
}

// looseRoot unwraps everything to inner.
type looseRoot struct {
	inner []byte
	calls atomic.Int64
	root  envelope.RootKey
}

func (l *looseRoot) Wrap(ctx context.Context, p, aad []byte) ([]byte, error) {
	return l.root.Wrap(ctx, p, aad)
}

func (l *looseRoot) Unwrap(ctx context.Context, b, aad []byte) ([]byte, error) {
	l.calls.Add(1)
	if l.root != nil {
		return l.root.Unwrap(ctx, b, aad)
	}
	return bytes.Clone(l.inner), nil
}

func (l *looseRoot) Describe() string { return "test" }

func TestCache(t *testing.T) {
	root := &looseRoot{root: envelope.NewMemoryKey()}
	s := mustStore(t, root, 4)
	id := func(i int) string { return fmt.Sprintf("%08x-12ab-34cd-56ef-1234567890ab", i) }
	var ws []material.Wrapped
	var blobs [][]byte
	for i := range 12 {
		ws = append(ws, mustGenerate(t, s, id(i)))
		blobs = append(blobs, mustEncrypt(t, s, id(i), ws[i], "x", nil))
		if n := material.Cached(s); n != min(i+1, 4) {
			t.Errorf("%d materials cached after %d", n, i+1)
		}
	}
	if n := root.calls.Load(); n != 12 {
		t.Errorf("%d unwraps for 12 materials", n)
	}
	for range 100 {
		if _, err := decrypt(t, s, id(11), ws[11], blobs[11], nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := root.calls.Load(); n != 12 {
		t.Errorf("hits unwrap: %d", n)
	}
	for i, w := range ws {
		if _, err := decrypt(t, s, id(i), w, blobs[i], nil); err != nil {
			t.Errorf("after eviction: %v", err)
		}
		// The one in use stays while others pass through.
		if _, err := decrypt(t, s, id(11), ws[11], blobs[11], nil); err != nil {
			t.Fatal(err)
		}
	}
	before := material.Cached(s)
	s.Forget(id(11))
	s.Forget(id(11))
	if n := material.Cached(s); n != before-1 {
		t.Errorf("%d cached after Forget, %d before", n, before)
	}
	calls := root.calls.Load()
	if _, err := decrypt(t, s, id(11), ws[11], blobs[11], nil); err != nil || root.calls.Load() != calls+1 {
		t.Errorf("after Forget: %v", err)
	}
	s.Close()
	if n := material.Cached(s); n != 0 {
		t.Errorf("%d cached after Close", n)
	}
	if _, err := decrypt(t, s, id(0), ws[0], blobs[0], nil); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

// TestConcurrent keeps a cache of two under eviction, Forget and Close while
// twelve keys are used: zeroing must not be seen by a call under way.
func TestConcurrent(t *testing.T) {
	s := mustStore(t, envelope.NewMemoryKey(), 2)
	const keys = 12
	var ids [keys]string
	var ws [keys]material.Wrapped
	var blobs [keys][]byte
	var allowed [keys]policy.Allowed
	for i := range keys {
		ids[i] = fmt.Sprintf("mrk-%032x", i)
		ws[i] = mustGenerate(t, s, ids[i])
		blobs[i] = mustEncrypt(t, s, ids[i], ws[i], ids[i], secretContext)
		allowed[i] = mustAllow(t, "kms:Decrypt", ids[i])
	}
	encrypt := mustAllow(t, "kms:Encrypt", ids[0])
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 400 {
				i := (n*7 + g) % keys
				got, err := s.Decrypt(context.Background(), allowed[i], ids[i], ws[i], blobs[i], secretContext)
				if err != nil || string(got) != ids[i] {
					t.Errorf("key %d: %q, %v", i, got, err)
				}
				if _, err := s.Encrypt(context.Background(), encrypt, ids[0], ws[0], []byte("x"), nil); err != nil {
					t.Error(err)
				}
				switch n % 16 {
				case 3:
					s.Forget(ids[i])
				case 9:
					s.Close()
				}
			}
		})
	}
	wg.Wait()
	if n := material.Cached(s); n < 0 || n > 2 {
		t.Errorf("%d cached", n)
	}
}

// TestNothingShows prints what holds material.
func TestNothingShows(t *testing.T) {
	root := &looseRoot{root: envelope.NewMemoryKey()}
	s := mustStore(t, root, 0)
	w := mustGenerate(t, s, uuid)
	mustEncrypt(t, s, uuid, w, "x", nil)
	id, _ := hex.DecodeString(w.ID)
	aad := append([]byte("coffer/material/v1/wrap\x00\x24"+uuid), id...)
	inner, err := root.Unwrap(t.Context(), w.Blob[1:], aad)
	if err != nil {
		t.Fatal(err)
	}
	secret := inner[1:]
	// The other kinds hang in the same place.
	other := mustStore(t, sharedRoot, 0)
	mustWork := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = other.MAC(t.Context(), mustAllow(t, "kms:GenerateMac", uuid), uuid, mustImport(t, other, "HMAC_256", bytes.Repeat([]byte{0xab}, 32)), "HMAC_SHA_256", nil)
	mustWork(err)
	_, err = other.Sign(t.Context(), mustAllow(t, "kms:Sign", uuid), uuid, mustImport(t, other, "ECC_SECG_P256K1", koblitzPKCS8(t, bytes.Repeat([]byte{0xab}, 32))), "ECDSA_SHA_256", "RAW", []byte("m"))
	mustWork(err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		out := fmt.Sprintf(verb, other)
		for _, shape := range []string{"\xab\xab\xab", "abababab", `\xab\xab`, "171 171", "0xab, 0xab"} {
			if strings.Contains(out, shape) {
				t.Errorf("%s of a store with other kinds shows material", verb)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		out := fmt.Sprintf(verb, s) + fmt.Sprintf(verb, w)
		for _, shape := range []string{string(secret), hex.EncodeToString(secret[:8]), strings.Trim(fmt.Sprint(secret[:8]), "[]")} {
			if strings.Contains(out, shape) {
				t.Errorf("%s of a store shows material", verb)
			}
		}
	}
}

type vectorFile struct {
	KeyFile string `json:"key_file"`
	Vectors []struct {
		KeyID      string `json:"key_id"`
		MaterialID string `json:"material_id"`
		Wrapped    string
		Context    map[string]string
		Plaintext  string
		Blob       string
	}
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// mustVectors reads what testdata/vectors.py wrote from the package doc, and
// the root key of it.
func mustVectors(t testing.TB) (vectorFile, envelope.RootKey) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectorFile
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Vectors) == 0 {
		t.Fatal("testdata/vectors.json is empty")
	}
	path := filepath.Join(t.TempDir(), "root.key")
	if err := os.WriteFile(path, []byte(v.KeyFile), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := envelope.OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return v, root
}

func TestVectors(t *testing.T) {
	v, root := mustVectors(t)
	s := mustStore(t, root, 0)
	for i, c := range v.Vectors {
		blob := mustHex(t, c.Blob)
		if k, m, err := material.Parse(blob); k != c.KeyID || m != c.MaterialID || err != nil {
			t.Errorf("vector %d: Parse: %s, %s, %v", i, k, m, err)
		}
		w := material.Wrapped{ID: c.MaterialID, Blob: mustHex(t, c.Wrapped)}
		got, err := decrypt(t, s, c.KeyID, w, blob, c.Context)
		if err != nil || got != string(mustHex(t, c.Plaintext)) {
			t.Errorf("vector %d: %x, %v", i, got, err)
		}
		if again := mustEncrypt(t, s, c.KeyID, w, "x", nil); !bytes.Equal(again[:51], blob[:51]) {
			t.Errorf("vector %d: we write the header %x, not %x", i, again[:51], blob[:51])
		}
	}
}

func FuzzParseBlob(f *testing.F) {
	v, root := mustVectors(f)
	s := mustStore(f, root, 0)
	known := map[string]bool{}
	for _, c := range v.Vectors {
		f.Add(mustHex(f, c.Blob))
		known[string(mustHex(f, c.Blob))] = true
	}
	f.Add([]byte{1, 0, 0})
	w := material.Wrapped{ID: v.Vectors[0].MaterialID, Blob: mustHex(f, v.Vectors[0].Wrapped)}
	keyID := v.Vectors[0].KeyID
	f.Fuzz(func(t *testing.T, blob []byte) {
		k, m, err := material.Parse(blob)
		if err != nil {
			if err != material.ErrInvalidCiphertext || k != "" || m != "" {
				t.Fatalf("%q, %q, %v", k, m, err)
			}
		} else {
			// What Parse names is an id that we would write in the same bytes.
			if len(blob) > 6144 || len(m) != 64 || hex.EncodeToString(blob[19:51]) != m {
				t.Fatalf("parsed %d bytes as %s, %s", len(blob), k, m)
			}
			if fresh := mustEncrypt(t, s, k, mustGenerate(t, s, k), "x", nil); !bytes.Equal(fresh[:19], blob[:19]) {
				t.Fatalf("%s is written as %x, not %x", k, fresh[:19], blob[:19])
			}
		}
		if _, err := decrypt(t, s, keyID, w, blob, nil); err != material.ErrInvalidCiphertext && !known[string(blob)] {
			t.Fatalf("forged blob: %v", err)
		}
	})
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("counts differ under the race detector")
	}
	s := mustStore(t, envelope.NewMemoryKey(), 0)
	w := mustGenerate(t, s, uuid)
	buf := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() { material.AppendContext(buf, secretContext) }); n > 0 {
		t.Errorf("the canonical context allocates %v times", n)
	}
	blob := mustEncrypt(t, s, uuid, w, strings.Repeat("k", 32), secretContext)
	a := mustAllow(t, "kms:Decrypt", uuid)
	if n := testing.AllocsPerRun(100, func() { s.Decrypt(context.Background(), a, uuid, w, blob, secretContext) }); n > 1 {
		t.Errorf("Decrypt allocates %v times, more than its result", n)
	}
}

func BenchmarkDecryptDataKey(b *testing.B) {
	s := mustStore(b, envelope.NewMemoryKey(), 0)
	w := mustGenerate(b, s, uuid)
	blob := mustEncrypt(b, s, uuid, w, strings.Repeat("k", 32), secretContext)
	a := mustAllow(b, "kms:Decrypt", uuid)
	ctx := context.Background()
	b.Run("1", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Decrypt(ctx, a, uuid, w, blob, secretContext); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.Decrypt(ctx, a, uuid, w, blob, secretContext); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkGenerateDataKey(b *testing.B) {
	s := mustStore(b, envelope.NewMemoryKey(), 0)
	w := mustGenerate(b, s, uuid)
	a := mustAllow(b, "kms:GenerateDataKey", uuid)
	for b.Loop() {
		if _, _, err := s.GenerateDataKey(context.Background(), a, uuid, w, 32, secretContext); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	s := mustStore(b, envelope.NewMemoryKey(), 0)
	blob := mustEncrypt(b, s, uuid, mustGenerate(b, s, uuid), "x", nil)
	for b.Loop() {
		if _, _, err := material.Parse(blob); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) { // what a miss of the cache costs with a local root key
	s := mustStore(b, envelope.NewMemoryKey(), 0)
	w := mustGenerate(b, s, uuid)
	blob := mustEncrypt(b, s, uuid, w, "x", nil)
	a := mustAllow(b, "kms:Decrypt", uuid)
	for b.Loop() {
		s.Forget(uuid)
		if _, err := s.Decrypt(context.Background(), a, uuid, w, blob, nil); err != nil {
			b.Fatal(err)
		}
	}
}
