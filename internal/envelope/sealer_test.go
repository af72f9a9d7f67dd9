package envelope_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"coffer/internal/envelope"
)

func TestSealRoundTrip(t *testing.T) {
	s := mustSealer(t, envelope.NewKey())
	for _, n := range []int{0, 1, 15, 16, 17, 1024, 1 << 20} {
		plain := bytes.Repeat([]byte{'p'}, n)
		blob := s.Seal([]byte("before"), plain, []byte("aad"))
		if len(blob) != len("before")+n+envelope.Overhead || string(blob[:6]) != "before" {
			t.Fatalf("sealed %d bytes to %d", n, len(blob))
		}
		if n > 16 && bytes.Contains(blob, plain) {
			t.Error("the plaintext shows")
		}
		got, err := s.Open([]byte("before"), blob[6:], []byte("aad"))
		if err != nil || !bytes.Equal(got, append([]byte("before"), plain...)) {
			t.Errorf("opened %d bytes: %v", n, err)
		}
	}
	if bytes.Equal(s.Seal(nil, []byte("x"), nil), s.Seal(nil, []byte("x"), nil)) {
		t.Error("two seals are alike")
	}
}

// TestOpenRefusesChanges changes each bit of a blob, its length and its
// associated data.
func TestOpenRefusesChanges(t *testing.T) {
	s := mustSealer(t, envelope.NewKey(), envelope.NewKey())
	aad := []byte("table\x00row")
	blob := s.Seal(nil, []byte("value"), aad)
	refused := func(what string, b, a []byte) {
		t.Helper()
		if got, err := s.Open(nil, b, a); !errors.Is(err, envelope.ErrCorrupt) || got != nil {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	for i := range blob {
		for bit := range 8 {
			b := bytes.Clone(blob)
			b[i] ^= 1 << bit
			refused(fmt.Sprintf("bit %d of byte %d flipped", bit, i), b, aad)
		}
	}
	for n := range blob {
		refused(fmt.Sprintf("cut to %d bytes", n), blob[:n], aad)
	}
	refused("one byte more", append(bytes.Clone(blob), 0), aad)
	for _, a := range []string{"", "table", "table\x00rox", "table\x00row\x00", "\x00row", "tablerow"} {
		refused(fmt.Sprintf("aad %q", a), blob, []byte(a))
	}
	// The run id and the caller's aad are neighbours in what is authenticated:
	// moving a byte between them must not pass.
	refused("last byte of the run id moved into the aad", append(bytes.Clone(blob[:24]), blob[25:]...), append([]byte{blob[24]}, aad...))
	other := mustSealer(t, envelope.NewKey())
	if _, err := other.Open(nil, blob, aad); !errors.Is(err, envelope.ErrCorrupt) {
		t.Errorf("opened under another key: %v", err)
	}
}

func TestSealersShareNothingButTheKey(t *testing.T) {
	key := envelope.NewKey()
	a, b := mustSealer(t, key), mustSealer(t, key)
	blob := a.Seal(nil, []byte("x"), nil)
	if bytes.Equal(blob[:25], b.Seal(nil, []byte("x"), nil)[:25]) {
		t.Error("two sealers have the same run id")
	}
	if _, err := b.Open(nil, blob, nil); err != nil {
		t.Errorf("a sealer of the same key does not open: %v", err)
	}
	// A label is a purpose: the same key under another one opens nothing.
	r, err := envelope.NewRunKeys(key, "other purpose", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(nil, blob, 9, nil); !errors.Is(err, envelope.ErrCorrupt) {
		t.Errorf("opened under another label: %v", err)
	}
}

// TestHeaderBoundary moves a byte from associated data into a longer header.
func TestHeaderBoundary(t *testing.T) {
	r, err := envelope.NewRunKeys(envelope.NewKey(), "l", 1)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := r.Seal(nil, []byte("h"), []byte("x"), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(nil, blob, 1, []byte("aad")); err != nil {
		t.Fatal(err)
	}
	for headerLen := range len(blob) + 1 {
		if headerLen == 1 {
			continue
		}
		if _, err := r.Open(nil, blob, headerLen, []byte("aad")); !errors.Is(err, envelope.ErrCorrupt) {
			t.Errorf("header of %d bytes: %v", headerLen, err)
		}
	}
}

func TestRunEndsAfterItsSeals(t *testing.T) {
	s := mustSealer(t, envelope.NewKey())
	run := func() string { return string(s.Seal(nil, nil, nil)[9:25]) }
	first := run()
	envelope.SpendRun(s, 2)
	for range 2 {
		if run() != first {
			t.Error("the run ended early")
		}
	}
	second := run()
	if second == first {
		t.Error("the run goes on past its seals")
	}
	if run() != second {
		t.Error("the new run did not last")
	}
}

// TestRunCacheBound opens blobs of more runs than are kept, then sees that
// forged run ids are not kept at all.
func TestRunCacheBound(t *testing.T) {
	key := envelope.NewKey()
	s := mustSealer(t, key)
	var blobs [][]byte
	for i := range 600 {
		b := mustSealer(t, key).Seal(nil, fmt.Append(nil, i), nil)
		blobs = append(blobs, b)
	}
	for range 2 {
		for i, b := range blobs {
			if got, err := s.Open(nil, b, nil); err != nil || string(got) != fmt.Sprint(i) {
				t.Fatalf("run %d: %q, %v", i, got, err)
			}
		}
	}
	if n := envelope.CachedRuns(s); n < 128 || n > 256 {
		t.Errorf("%d runs are kept, want at most 256 and most of them", n)
	}
	s = mustSealer(t, key)
	for i := range 100 {
		b := bytes.Clone(blobs[0])
		b[10] ^= byte(i + 1)
		if _, err := s.Open(nil, b, nil); err == nil {
			t.Fatal("opened a forged run id")
		}
	}
	if n := envelope.CachedRuns(s); n != 0 {
		t.Errorf("%d forged runs are kept", n)
	}
}

func TestSealerZeroAndDestroyed(t *testing.T) {
	s := mustSealer(t, envelope.NewKey())
	blob := s.Seal(nil, []byte("x"), nil)
	s.Destroy()
	for name, s := range map[string]*envelope.Sealer{"nil": nil, "zero": {}, "destroyed": s} {
		if _, err := s.Open(nil, blob, nil); !errors.Is(err, envelope.ErrNoKey) {
			t.Errorf("Open on a %s sealer: %v", name, err)
		}
		mustPanic(t, "Seal on a "+name+" sealer", func() { s.Seal(nil, []byte("x"), nil) })
	}
	if _, err := envelope.NewSealer(); !errors.Is(err, envelope.ErrNoKey) {
		t.Errorf("a sealer without keys: %v", err)
	}
	var r envelope.RunKeys
	if _, err := r.Seal(nil, nil, nil, nil); !errors.Is(err, envelope.ErrNoKey) {
		t.Errorf("Seal of zero RunKeys: %v", err)
	}
	if _, err := r.Open(nil, blob, 9, nil); !errors.Is(err, envelope.ErrNoKey) {
		t.Errorf("Open of zero RunKeys: %v", err)
	}
}

// TestSealerConcurrent is for the race detector: sealing across the end of a
// run, opening with a growing cache, and Destroy in the middle.
func TestSealerConcurrent(t *testing.T) {
	key := envelope.NewKey()
	s := mustSealer(t, key)
	s.Seal(nil, nil, nil)
	envelope.SpendRun(s, 500)
	var old [][]byte
	for range 64 {
		old = append(old, mustSealer(t, key).Seal(nil, []byte("old"), nil))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 300 {
				blob := s.Seal(nil, []byte("new"), nil)
				for _, b := range [][]byte{blob, old[i%len(old)]} {
					if _, err := s.Open(nil, b, nil); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for range 4 {
		wg.Go(func() {
			for i := range 300 {
				if _, err := s.Open(nil, old[i%len(old)], nil); err != nil && !errors.Is(err, envelope.ErrNoKey) {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(s.Destroy)
	wg.Wait()
}

func TestOpenAllocations(t *testing.T) {
	s := mustSealer(t, envelope.NewKey())
	aad := []byte("table\x00row")
	blob := s.Seal(nil, make([]byte, 1024), aad)
	dst := make([]byte, 0, 2048)
	if n := testing.AllocsPerRun(100, func() { s.Open(dst, blob, aad) }); n > 0 && !raceEnabled {
		t.Errorf("Open with room in dst allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { s.Seal(dst, aad, aad) }); n > 0 && !raceEnabled {
		t.Errorf("Seal with room in dst allocates %v times", n)
	}
}

func FuzzOpen(f *testing.F) {
	v := mustVectors(f)
	sealer := mustSealer(f, mustKey(f, v.Seal[0].Key))
	known := map[string]string{} // blob and aad -> plaintext
	for _, c := range v.Seal {
		f.Add([]byte(c.Blob), []byte(c.AAD))
		known[string(c.Blob)+"|"+string(c.AAD)] = string(c.Plaintext)
	}
	f.Fuzz(func(t *testing.T, blob, aad []byte) {
		got, err := sealer.Open(nil, blob, aad)
		if want, ok := known[string(blob)+"|"+string(aad)]; ok {
			if err != nil || string(got) != want {
				t.Fatalf("a known blob gives %x, %v", got, err)
			}
			return
		}
		// The fuzzer does not have the key: nothing else may open.
		if !errors.Is(err, envelope.ErrCorrupt) || got != nil {
			t.Fatalf("forged blob: %x, %v", got, err)
		}
		// As plaintext and as aad, anything goes.
		back, err := sealer.Open(nil, sealer.Seal(nil, blob, aad), aad)
		if err != nil || !bytes.Equal(back, blob) {
			t.Fatalf("round trip: %v", err)
		}
	})
}

func BenchmarkSeal1K(b *testing.B) {
	s := mustSealer(b, envelope.NewKey())
	plain, aad, dst := make([]byte, 1024), []byte("secret/111122223333/eu-west-1/db"), make([]byte, 0, 2048)
	b.SetBytes(1024)
	for b.Loop() {
		s.Seal(dst, plain, aad)
	}
}

func BenchmarkOpen1K(b *testing.B) {
	s := mustSealer(b, envelope.NewKey())
	aad, dst := []byte("secret/111122223333/eu-west-1/db"), make([]byte, 0, 2048)
	blob := s.Seal(nil, make([]byte, 1024), aad)
	b.SetBytes(1024)
	for b.Loop() {
		if _, err := s.Open(dst, blob, aad); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen1KNew(b *testing.B) { // nothing in dst: the result is allocated
	s := mustSealer(b, envelope.NewKey())
	aad := []byte("secret/111122223333/eu-west-1/db")
	blob := s.Seal(nil, make([]byte, 1024), aad)
	b.SetBytes(1024)
	for b.Loop() {
		if _, err := s.Open(nil, blob, aad); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenUnknownRun(b *testing.B) { // what a miss of the run cache costs
	s := mustSealer(b, envelope.NewKey())
	blob := s.Seal(nil, make([]byte, 32), nil)
	blob[10] ^= 1
	for b.Loop() {
		if _, err := s.Open(nil, blob, nil); err == nil {
			b.Fatal("opened")
		}
	}
}
