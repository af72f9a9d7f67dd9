package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coffer/internal/kv"
	"coffer/internal/kv/pebble"
)

// fill writes n pairs and returns what is on disk then: a crashed store, with
// a log that was not closed, or a closed one.
func fill(t *testing.T, n int, crashed bool) (dir string, acked map[string]bool) {
	t.Helper()
	dir, acked = t.TempDir(), map[string]bool{}
	s, err := pebble.Open(config(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range n {
		id := fmt.Sprintf("%05d", i)
		writePair(t, s, id)
		acked[id] = true
	}
	if crashed {
		return copyDir(t, dir), acked
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, acked
}

func largest(t *testing.T, dir, pattern string) string {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, pattern))
	var best string
	var size int64 = -1
	for _, n := range names {
		if info, err := os.Stat(n); err == nil && info.Size() > size {
			best, size = n, info.Size()
		}
	}
	if best == "" {
		t.Fatalf("no %s in %s", pattern, dir)
	}
	return best
}

// outcome opens a damaged store and reads everything: the damage must be
// reported, with the file, or do no harm.
func outcome(t *testing.T, dir, file string, acked map[string]bool) (reported bool) {
	t.Helper()
	told := func(err error, where string) bool {
		if !errors.Is(err, kv.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Base(file)) && !strings.Contains(err.Error(), strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))) {
			t.Errorf("%s: %v: not ErrCorrupt with the name of %s", where, err, filepath.Base(file))
		}
		return true
	}
	s, err := pebble.Open(config(dir))
	if err != nil {
		return told(err, "Open")
	}
	defer s.Close()
	missing := 0
	err = s.View(context.Background(), func(tx kv.Tx) error {
		for id := range acked {
			for _, side := range []string{"a/", "z/"} {
				v, err := tx.Get([]byte(side + id))
				switch {
				case errors.Is(err, kv.ErrNotFound):
					missing++
				case err != nil:
					return err
				case !strings.HasPrefix(string(v), id+"..") || len(v) != len(id)+500:
					t.Errorf("a damaged value was served for %s", id)
				}
			}
		}
		return nil
	})
	if err != nil {
		verified := false
		if err := s.Verify(context.Background(), func(f, problem string) {
			verified = verified || strings.HasSuffix(f, filepath.Base(file))
		}); err != nil || !verified {
			t.Errorf("Verify (%v) does not name %s", err, file)
		}
		return told(err, "Get")
	}
	if missing > 0 {
		t.Errorf("%d acknowledged rows gone without a word", missing)
	}
	return false
}

func flip(t *testing.T, file string, at int64, bit int) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << bit
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

func TestBitFlips(t *testing.T) {
	for _, test := range []struct {
		name, pattern string
		crashed       bool
		least         int // of 40 flips, at least so many must be reported
	}{
		{"table", "*.sst", false, 36}, // some bytes of a footer say nothing
		{"log", "*.log", true, 40},
		{"manifest", "MANIFEST-*", false, 40},
	} {
		t.Run(test.name, func(t *testing.T) {
			base, acked := fill(t, 300, test.crashed)
			r := rand.New(rand.NewPCG(1, 2))
			reported := 0
			for range 40 {
				dir := copyDir(t, base)
				file := largest(t, dir, test.pattern)
				info, err := os.Stat(file)
				if err != nil {
					t.Fatal(err)
				}
				at, bit := r.Int64N(info.Size()), r.IntN(8)
				flip(t, file, at, bit)
				if outcome(t, dir, file, acked) {
					reported++
				} else {
					t.Logf("no harm from bit %d of byte %d of %d in %s", bit, at, info.Size(), filepath.Base(file))
				}
				if t.Failed() {
					t.Fatalf("bit %d of byte %d of %d in %s", bit, at, info.Size(), file)
				}
			}
			if reported < test.least {
				t.Errorf("%d of 40 flips were reported", reported)
			}
		})
	}
}

// TestHoles zeroes 512 bytes, as a lost sector: in a log all but the last,
// unfollowed write must be reported.
func TestHoles(t *testing.T) {
	base, acked := fill(t, 300, true)
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		dir := copyDir(t, base)
		file := largest(t, dir, "*.log")
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		at := r.Int64N(info.Size() - 8<<10)
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 512), at); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if !outcome(t, dir, file, acked) {
			t.Errorf("a hole at %d of %d did no harm", at, info.Size())
		}
	}
}

func TestTruncated(t *testing.T) {
	for name, cut := range map[string]int64{"one byte": 1, "a part": 3000} {
		t.Run("table, "+name, func(t *testing.T) {
			dir, acked := fill(t, 300, false)
			file := largest(t, dir, "*.sst")
			info, _ := os.Stat(file)
			if err := os.Truncate(file, info.Size()-cut); err != nil {
				t.Fatal(err)
			}
			if !outcome(t, dir, file, acked) {
				t.Error("not reported")
			}
		})
	}
	t.Run("table gone", func(t *testing.T) {
		dir, acked := fill(t, 300, false)
		file := largest(t, dir, "*.sst")
		os.Remove(file)
		if !outcome(t, dir, file, acked) {
			t.Error("not reported")
		}
	})
	// A torn write: what comes before it is kept. Nothing can tell a log cut
	// short from one that a crash tore, so what was in the part is gone.
	t.Run("log", func(t *testing.T) {
		dir, acked := fill(t, 300, true)
		names, _ := filepath.Glob(dir + "/*.log")
		slices.Sort(names)
		file := names[len(names)-1]
		info, _ := os.Stat(file)
		if err := os.Truncate(file, info.Size()-100); err != nil {
			t.Fatal(err)
		}
		delete(acked, "00299")
		if outcome(t, dir, file, acked) {
			t.Error("a torn tail was called damage")
		}
	})
	t.Run("closed log", func(t *testing.T) {
		dir, acked := fill(t, 300, true)
		file := largest(t, dir, "*.log") // the first of two
		info, _ := os.Stat(file)
		if err := os.Truncate(file, info.Size()-100); err != nil {
			t.Fatal(err)
		}
		if !outcome(t, dir, file, acked) {
			t.Error("not reported")
		}
	})
	t.Run("manifest", func(t *testing.T) {
		dir, acked := fill(t, 300, false)
		file := largest(t, dir, "MANIFEST-*")
		info, _ := os.Stat(file)
		if err := os.Truncate(file, info.Size()-10); err != nil {
			t.Fatal(err)
		}
		if !outcome(t, dir, file, acked) {
			t.Error("not reported")
		}
	})
}
