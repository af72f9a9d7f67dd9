package envelope_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"coffer/internal/envelope"
)

// cheap keeps tests quick; the floor of what is accepted.
var cheap = envelope.PassphraseParams{Time: 1, Memory: 8 << 10, Threads: 1}

var passphrase = []byte("correct horse battery")

func mustPassphrase(t testing.TB) (*envelope.LocalKey, []byte) {
	t.Helper()
	k, header, err := envelope.NewPassphrase(passphrase, cheap)
	if err != nil {
		t.Fatal(err)
	}
	return k, header
}

func TestRootKeys(t *testing.T) {
	ctx := context.Background()
	pass, _ := mustPassphrase(t)
	file, err := envelope.CreateKeyFile(t.TempDir() + "/root.key")
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range []*envelope.LocalKey{pass, file, envelope.NewMemoryKey()} {
		t.Run(strings.Fields(root.Describe())[0], func(t *testing.T) {
			blob, err := root.Wrap(ctx, []byte("material"), []byte("aad"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := root.Unwrap(ctx, blob, []byte("aad")); err != nil || string(got) != "material" {
				t.Fatalf("%q, %v", got, err)
			}
			if _, err := root.Unwrap(ctx, blob, []byte("aae")); !errors.Is(err, envelope.ErrCorrupt) {
				t.Errorf("wrong aad: %v", err)
			}
			_, err = envelope.NewMemoryKey().Unwrap(ctx, blob, []byte("aad"))
			if !errors.Is(err, envelope.ErrWrongKey) || errors.Is(err, envelope.ErrCorrupt) {
				t.Errorf("wrong root key: %v", err)
			}
			for i := range blob {
				b := bytes.Clone(blob)
				b[i] ^= 0x40
				want := envelope.ErrCorrupt
				if 1 <= i && i < 9 {
					want = envelope.ErrWrongKey // the bytes that name the key
				}
				if got, err := root.Unwrap(ctx, b, []byte("aad")); !errors.Is(err, want) || got != nil {
					t.Errorf("byte %d flipped: %v, want %v", i, err, want)
				}
				if _, err := root.Unwrap(ctx, blob[:i], []byte("aad")); err == nil {
					t.Errorf("cut to %d bytes: no error", i)
				}
			}
			root.Destroy()
			if _, err := root.Unwrap(ctx, blob, []byte("aad")); !errors.Is(err, envelope.ErrNoKey) {
				t.Errorf("destroyed: %v", err)
			}
			if _, err := root.Wrap(ctx, []byte("x"), nil); !errors.Is(err, envelope.ErrNoKey) {
				t.Errorf("destroyed: %v", err)
			}
		})
	}
}

func TestKeyring(t *testing.T) {
	ctx := context.Background()
	root := envelope.NewMemoryKey()
	ring, blob, err := envelope.NewKeyring(ctx, root)
	if err != nil {
		t.Fatal(err)
	}
	row := ring.Sealer().Seal(nil, []byte("v1"), []byte("row"))
	mac := ring.Derive("audit")

	mustOpen := func(root envelope.RootKey, blob []byte) *envelope.Keyring {
		t.Helper()
		r, err := envelope.OpenKeyring(ctx, root, blob)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Sealer().Open(nil, row, []byte("row")); err != nil || string(got) != "v1" {
			t.Errorf("row: %q, %v", got, err)
		}
		if !r.Derive("audit").Equal(mac) || r.Derive("audit ").Equal(mac) {
			t.Error("derived keys changed or do not depend on the label")
		}
		return r
	}
	again := mustOpen(root, blob)

	rotated, blob2, err := again.Rotate(ctx, root)
	if err != nil {
		t.Fatal(err)
	}
	row2 := rotated.Sealer().Seal(nil, []byte("v2"), []byte("row"))
	if bytes.Equal(row2[:9], row[:9]) {
		t.Error("rotation did not change the sealing key")
	}
	if _, err := ring.Sealer().Open(nil, row2, []byte("row")); !errors.Is(err, envelope.ErrCorrupt) {
		t.Errorf("an older keyring opens a newer row: %v", err)
	}
	r := mustOpen(root, blob2)
	if got, err := r.Sealer().Open(nil, row2, []byte("row")); err != nil || string(got) != "v2" {
		t.Errorf("new row: %q, %v", got, err)
	}

	// Another root key for the same keyring.
	other := envelope.NewMemoryKey()
	blob3, err := r.Wrap(ctx, other)
	if err != nil {
		t.Fatal(err)
	}
	mustOpen(other, blob3)
	if _, err := envelope.OpenKeyring(ctx, root, blob3); !errors.Is(err, envelope.ErrWrongKey) {
		t.Errorf("wrong root key: %v", err)
	}

	for i := range blob {
		b := bytes.Clone(blob)
		b[i] ^= 1
		if _, err := envelope.OpenKeyring(ctx, root, b); !errors.Is(err, envelope.ErrCorrupt) && !errors.Is(err, envelope.ErrWrongKey) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
		if _, err := envelope.OpenKeyring(ctx, root, blob[:i]); !errors.Is(err, envelope.ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	// Wrapped by the right root key and still not a keyring.
	for _, n := range []int{0, 32, 63, 65, 66 * 32} {
		b, err := root.Wrap(ctx, bytes.Repeat([]byte{1}, n), []byte("coffer/envelope/v1/keyring"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := envelope.OpenKeyring(ctx, root, append([]byte{1}, b...)); !errors.Is(err, envelope.ErrCorrupt) {
			t.Errorf("keyring of %d bytes: %v", n, err)
		}
	}
	b, _ := root.Wrap(ctx, make([]byte, 64), []byte("coffer/envelope/v1/keyring"))
	if _, err := envelope.OpenKeyring(ctx, root, append([]byte{1}, b...)); !errors.Is(err, envelope.ErrCorrupt) {
		t.Errorf("keyring of zero keys: %v", err)
	}

	ring.Destroy()
	mustPanic(t, "Derive on a destroyed keyring", func() { ring.Derive("audit") })
	mustPanic(t, "Derive without a label", func() { r.Derive("") })
	if _, err := ring.Wrap(ctx, root); !errors.Is(err, envelope.ErrNoKey) {
		t.Errorf("Wrap of a destroyed keyring: %v", err)
	}
	if _, _, err := ring.Rotate(ctx, root); !errors.Is(err, envelope.ErrNoKey) {
		t.Errorf("Rotate of a destroyed keyring: %v", err)
	}
	// The others have bytes of their own.
	if _, err := rotated.Sealer().Open(nil, row, []byte("row")); err != nil {
		t.Errorf("destroying one keyring broke another: %v", err)
	}
}

func TestKeyringLimit(t *testing.T) {
	ctx := context.Background()
	root := envelope.NewMemoryKey()
	ring, blob, err := envelope.NewKeyring(ctx, root)
	for n := 1; err == nil && n < 100; n++ {
		if _, e := envelope.OpenKeyring(ctx, root, blob); e != nil {
			t.Fatalf("%d store keys: %v", n, e)
		}
		if len(blob) > 4096 {
			t.Fatalf("%d store keys: blob of %d bytes", n, len(blob))
		}
		if ring, blob, err = ring.Rotate(ctx, root); err != nil && n != 64 {
			t.Errorf("no room for more than %d store keys", n)
		}
	}
	if err == nil {
		t.Error("the keyring grows without end")
	}
}

func TestPassphrase(t *testing.T) {
	ctx := context.Background()
	key, header := mustPassphrase(t)
	blob, err := key.Wrap(ctx, []byte("material"), nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := envelope.OpenPassphrase(passphrase, header)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Unwrap(ctx, blob, nil); err != nil || string(got) != "material" {
		t.Errorf("%q, %v", got, err)
	}
	for _, wrong := range []string{"correct horse batterz", "correct horse battery ", "Correct horse battery", "x"} {
		_, err := envelope.OpenPassphrase([]byte(wrong), header)
		if !errors.Is(err, envelope.ErrWrongKey) || errors.Is(err, envelope.ErrCorrupt) || strings.Contains(err.Error(), wrong+" ") {
			t.Errorf("wrong passphrase: %v", err)
		}
	}
	for i := range header {
		b := bytes.Clone(header)
		b[i] ^= 1
		if _, err := envelope.OpenPassphrase(passphrase, b); !errors.Is(err, envelope.ErrCorrupt) {
			t.Errorf("byte %d of the header flipped: %v", i, err)
		}
		if _, err := envelope.OpenPassphrase(passphrase, header[:i]); !errors.Is(err, envelope.ErrCorrupt) {
			t.Errorf("header cut to %d bytes: %v", i, err)
		}
	}
	other, header2 := mustPassphrase(t)
	if bytes.Equal(header, header2) {
		t.Error("two headers share their salt")
	}
	if _, err := other.Unwrap(ctx, blob, nil); !errors.Is(err, envelope.ErrWrongKey) {
		t.Errorf("same passphrase, other salt: %v", err)
	}
}

// TestPassphraseForgedHeader alters a header as someone who knows the format
// can, checksum included.
func TestPassphraseForgedHeader(t *testing.T) {
	_, header := mustPassphrase(t)
	forge := func(change func([]byte)) error {
		b := bytes.Clone(header)
		change(b)
		copy(b[58:], checksum(b[:58]))
		_, err := envelope.OpenPassphrase(passphrase, b)
		return err
	}
	for name, change := range map[string]func([]byte){
		"time":    func(b []byte) { b[4]++ },
		"memory":  func(b []byte) { b[8]++ },
		"threads": func(b []byte) { b[9]++ },
		"salt":    func(b []byte) { b[10]++ },
		"check":   func(b []byte) { b[26]++ },
	} {
		if err := forge(change); !errors.Is(err, envelope.ErrWrongKey) {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	// Refused before any memory is taken: else the last one would ask for 4 TiB.
	for name, change := range map[string]func([]byte){
		"no passes":       func(b []byte) { b[4] = 0 },
		"17 passes":       func(b []byte) { b[4] = 17 },
		"no lanes":        func(b []byte) { b[9] = 0 },
		"17 lanes":        func(b []byte) { b[9] = 17 },
		"little memory":   func(b []byte) { copy(b[5:9], []byte{0, 0, 0x1f, 0xff}) },
		"over 1 GiB":      func(b []byte) { copy(b[5:9], []byte{0, 0x10, 0, 1}) },
		"all the memory":  func(b []byte) { copy(b[5:9], []byte{0xff, 0xff, 0xff, 0xff}) },
		"another version": func(b []byte) { b[0] = 2 },
	} {
		if err := forge(change); !errors.Is(err, envelope.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPassphraseRange(t *testing.T) {
	for _, p := range []envelope.PassphraseParams{
		{Time: 0, Memory: 65536, Threads: 4}, {Time: 17, Memory: 65536, Threads: 4},
		{Time: 3, Memory: 8191, Threads: 4}, {Time: 3, Memory: 1<<20 + 1, Threads: 4},
		{Time: 3, Memory: 65536, Threads: 0}, {Time: 3, Memory: 65536, Threads: 17},
	} {
		if _, _, err := envelope.NewPassphrase(passphrase, p); !errors.Is(err, envelope.ErrPassphrase) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	for _, n := range []int{0, envelope.MinPassphrase - 1, envelope.MaxPassphrase + 1} {
		if _, _, err := envelope.NewPassphrase(bytes.Repeat([]byte("p"), n), cheap); !errors.Is(err, envelope.ErrPassphrase) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	_, header := mustPassphrase(t)
	for _, n := range []int{0, envelope.MaxPassphrase + 1} {
		if _, err := envelope.OpenPassphrase(bytes.Repeat([]byte("p"), n), header); !errors.Is(err, envelope.ErrPassphrase) {
			t.Errorf("open with %d bytes: %v", n, err)
		}
	}
	if testing.Short() {
		return
	}
	_, header, err := envelope.NewPassphrase(passphrase, envelope.PassphraseParams{})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := envelope.ParsePassphraseHeader(header); err != nil || p != envelope.DefaultPassphraseParams {
		t.Errorf("the zero parameters gave %+v, %v", p, err)
	}
}

func FuzzPassphraseHeader(f *testing.F) {
	v := mustVectors(f)
	f.Add([]byte(v.Passphrase.Header))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, header []byte) {
		check := func(b []byte) {
			p, err := envelope.ParsePassphraseHeader(b)
			if err != nil {
				if !errors.Is(err, envelope.ErrCorrupt) || p != (envelope.PassphraseParams{}) {
					t.Fatalf("%+v, %v", p, err)
				}
				return
			}
			if len(b) != envelope.PassphraseHeaderSize || p.Memory > 1<<20 || p.Memory < 8<<10 || p.Time-1 > 15 || p.Threads-1 > 15 {
				t.Fatalf("accepted %+v", p)
			}
		}
		check(header)
		if len(header) == envelope.PassphraseHeaderSize { // past the checksum
			b := bytes.Clone(header)
			copy(b[58:], checksum(b[:58]))
			check(b)
		}
	})
}

func BenchmarkPassphrase(b *testing.B) {
	_, header, err := envelope.NewPassphrase(passphrase, envelope.PassphraseParams{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := envelope.OpenPassphrase(passphrase, header); err != nil {
			b.Fatal(err)
		}
	}
}
