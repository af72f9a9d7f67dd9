package backup_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"coffer/internal/backup"
	"coffer/internal/envelope"
	"coffer/internal/kv"
	"coffer/internal/kv/memory"
)

var keyringRow = []byte("keyring")

// source is a store with rows of many sizes, and files beside it.
func source(t testing.TB) (backup.Source, *envelope.LocalKey, map[string]string) {
	t.Helper()
	ctx := context.Background()
	root := envelope.NewMemoryKey()
	ring, blob, err := envelope.NewKeyring(ctx, root)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"row " + string(keyringRow): string(blob)}
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	put := func(k, v []byte) {
		if err := store.Update(ctx, func(tx kv.Tx) error { return tx.Put(k, v) }); err != nil {
			t.Fatal(err)
		}
	}
	put(keyringRow, blob)
	for i, size := range []int{0, 1, 100, 64<<10 - 1, 64 << 10, 64<<10 + 1, 200 << 10} {
		k, v := fmt.Sprintf("key%d", i), bytes.Repeat([]byte{byte(i)}, size)
		put([]byte(k), v)
		want["row "+k] = string(v)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"a": "", "b": "hello", "c": string(bytes.Repeat([]byte("x"), 100<<10))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		want["file audit/"+name] = content
	}
	want["file single"] = "hello"
	return backup.Source{
		Store: store, Keyring: ring, KeyringRow: keyringRow, Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Files: map[string]string{"single": filepath.Join(dir, "b"), "missing": filepath.Join(dir, "nope")},
		Dirs:  map[string]string{"audit": dir, "none": filepath.Join(dir, "nowhere")},
	}, root, want
}

func read(r io.Reader, root envelope.RootKey) (map[string]string, error) {
	b, err := backup.Open(r)
	if err != nil {
		return nil, err
	}
	if err := b.Unlock(context.Background(), root); err != nil {
		return nil, err
	}
	got := map[string]string{}
	err = b.Entries(
		func(k, v []byte) error { got["row "+string(k)] = string(v); return nil },
		func(name string, content io.Reader) error {
			c, err := io.ReadAll(content)
			got["file "+name] = string(c)
			return err
		})
	return got, err
}

func TestRoundTrip(t *testing.T) {
	src, root, want := source(t)
	var file bytes.Buffer
	if err := backup.Write(context.Background(), &file, src); err != nil {
		t.Fatal(err)
	}
	got, err := read(&file, root)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%d entries, want %d", len(got), len(want))
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s differs", k)
		}
	}
}

// Nothing of the rows is readable, under another root key nothing opens.
func TestSealed(t *testing.T) {
	src, _, _ := source(t)
	var file bytes.Buffer
	if err := backup.Write(context.Background(), &file, src); err != nil {
		t.Fatal(err)
	}
	for _, readable := range []string{"key3", "hello", "audit/"} {
		if bytes.Contains(file.Bytes(), []byte(readable)) {
			t.Errorf("%q is readable in the backup", readable)
		}
	}
	if _, err := read(bytes.NewReader(file.Bytes()), envelope.NewMemoryKey()); err == nil {
		t.Error("the backup opens under another root key")
	}
}

// A backup that was altered or cut anywhere is refused as a whole.
func TestDamage(t *testing.T) {
	src, root, _ := source(t)
	var file bytes.Buffer
	if err := backup.Write(context.Background(), &file, src); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		b := bytes.Clone(whole)
		at := rng.IntN(len(b))
		b[at] ^= 1 << rng.IntN(8)
		if _, err := read(bytes.NewReader(b), root); err == nil {
			t.Fatalf("a flipped bit at byte %d of %d goes unnoticed", at, len(b))
		}
		cut := rng.IntN(len(whole))
		if _, err := read(bytes.NewReader(whole[:cut]), root); err == nil {
			t.Fatalf("a cut at byte %d of %d goes unnoticed", cut, len(whole))
		}
	}
	if _, err := read(bytes.NewReader(append(bytes.Clone(whole), 0)), root); err == nil {
		t.Error("bytes behind the end go unnoticed")
	}
	// As many bytes as a chunk has, dropped at any place.
	const chunk = 64<<10 + 16
	for start := 1000; start+2*chunk < len(whole); start += chunk {
		b := append(bytes.Clone(whole[:start]), whole[start+chunk:]...)
		if _, err := read(bytes.NewReader(b), root); err == nil {
			t.Errorf("%d bytes less at %d go unnoticed", chunk, start)
		}
	}
}

func FuzzOpen(f *testing.F) {
	src, root, _ := source(f)
	var file bytes.Buffer
	if err := backup.Write(context.Background(), &file, src); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte("coffer-backup\x01\x00\x00\x00\x02{}"))
	f.Add([]byte{})
	whole := file.Bytes()
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := read(bytes.NewReader(b), root); err == nil && !bytes.Equal(b, whole) {
			t.Error("a backup that Write did not write was read to its end")
		}
	})
}
