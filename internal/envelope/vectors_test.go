package envelope_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"coffer/internal/envelope"
)

// hexBytes is bytes that JSON holds as hex digits.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) error {
	d, err := hex.DecodeString(string(b))
	*h = d
	return err
}

type sealVector struct{ Key, AAD, Plaintext, Blob hexBytes }

type wrapVector struct {
	Line, Passphrase string
	Time, Memory     uint32
	Threads          uint8
	Header           hexBytes
	Plaintext        hexBytes `json:"wrapped_plaintext"`
	AAD              hexBytes `json:"wrapped_aad"`
	Wrapped          hexBytes
}

type vectors struct {
	Seal       []sealVector
	KeyFile    wrapVector `json:"key_file"`
	Passphrase wrapVector
	Keyring    struct {
		Blob   hexBytes
		OldRow hexBytes `json:"old_row"`
		NewRow hexBytes `json:"new_row"`
		Label  string   `json:"derive_label"`
		MAC    hexBytes `json:"derived_mac_of_abc"`
	}
}

// mustVectors reads what testdata/vectors.py wrote from the package doc.
func mustVectors(t testing.TB) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Seal) == 0 || v.KeyFile.Line == "" || len(v.Passphrase.Header) == 0 || len(v.Keyring.Blob) == 0 {
		t.Fatal("testdata/vectors.json is empty")
	}
	return v
}

func mustKeyFile(t testing.TB, line string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root.key")
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpenKeyFile(t testing.TB, path string) *envelope.LocalKey {
	t.Helper()
	k, err := envelope.OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustSealer(t testing.TB, keys ...envelope.Key) *envelope.Sealer {
	t.Helper()
	s, err := envelope.NewSealer(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustKey(t testing.TB, b []byte) envelope.Key {
	t.Helper()
	k, err := envelope.KeyFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVectors(t *testing.T) {
	ctx := context.Background()
	v := mustVectors(t)
	for i, c := range v.Seal {
		got, err := mustSealer(t, mustKey(t, c.Key)).Open(nil, c.Blob, c.AAD)
		if err != nil || string(got) != string(c.Plaintext) {
			t.Errorf("seal vector %d: %x, %v", i, got, err)
		}
	}

	root := mustOpenKeyFile(t, mustKeyFile(t, v.KeyFile.Line, 0o600))
	if got, err := root.Unwrap(ctx, v.KeyFile.Wrapped, v.KeyFile.AAD); err != nil || string(got) != string(v.KeyFile.Plaintext) {
		t.Errorf("key file vector: %x, %v", got, err)
	}

	params, err := envelope.ParsePassphraseHeader(v.Passphrase.Header)
	if want := (envelope.PassphraseParams{Time: v.Passphrase.Time, Memory: v.Passphrase.Memory, Threads: v.Passphrase.Threads}); err != nil || params != want {
		t.Errorf("passphrase vector: %v, %v", params, err)
	}
	pass, err := envelope.OpenPassphrase([]byte(v.Passphrase.Passphrase), v.Passphrase.Header)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := pass.Unwrap(ctx, v.Passphrase.Wrapped, v.Passphrase.AAD); err != nil || string(got) != string(v.Passphrase.Plaintext) {
		t.Errorf("passphrase vector: %x, %v", got, err)
	}

	ring, err := envelope.OpenKeyring(ctx, root, v.Keyring.Blob)
	if err != nil {
		t.Fatal(err)
	}
	for row, want := range map[string]string{string(v.Keyring.OldRow): "old", string(v.Keyring.NewRow): "new"} {
		if got, err := ring.Sealer().Open(nil, []byte(row), []byte("row")); err != nil || string(got) != want {
			t.Errorf("keyring vector: %q, %v, want %q", got, err, want)
		}
	}
	mac := ring.Derive(v.Keyring.Label).NewMAC()
	mac.Write([]byte("abc"))
	if got := mac.Sum(nil); string(got) != string(v.Keyring.MAC) {
		t.Errorf("derived MAC %x, want %x", got, v.Keyring.MAC)
	}
	// What we write is named as the vector's writer names it.
	if sealed := ring.Sealer().Seal(nil, []byte("x"), nil); string(sealed[:9]) != string(v.Keyring.NewRow[:9]) {
		t.Errorf("sealed under %x, want the newest key %x", sealed[:9], v.Keyring.NewRow[:9])
	}
}
