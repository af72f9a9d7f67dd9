package table_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/envelope"
	"coffer/internal/kv"
	"coffer/internal/kv/memory"
	"coffer/internal/table"
)

type pet struct {
	Name  string   `cbor:"1,keyasint"`
	Kind  string   `cbor:"2,keyasint"`
	Born  int      `cbor:"3,keyasint,omitempty"`
	Toys  []string `cbor:"4,keyasint,omitempty"`
	Count int      `cbor:"5,keyasint,omitempty"`
}

var pets = table.Collection[pet]{
	Name: "test.pet",
	Key:  func(p *pet) table.Key { return table.K(p.Name) },
	Indexes: []table.Index[pet]{
		{Name: "test.pet.kind", Keys: func(p *pet) []table.Key { return []table.Key{table.K(p.Kind, p.Name)} }},
		{Name: "test.pet.toy", Keys: func(p *pet) (ks []table.Key) {
			for _, t := range p.Toys {
				ks = append(ks, table.K(t, p.Name))
			}
			return ks
		}},
	},
}

func open(t *testing.T) (*table.DB, kv.Store) {
	t.Helper()
	ring, _, err := envelope.NewKeyring(context.Background(), envelope.NewMemoryKey())
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	return table.New(table.Config{Store: store, Sealer: ring.Sealer()}), store
}

func update(t *testing.T, db *table.DB, f func(*table.Tx) error) {
	t.Helper()
	if err := db.Update(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, db *table.DB, f func(*table.Tx) error) {
	t.Helper()
	if err := db.View(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

func byIndex(t *testing.T, db *table.DB, index string, r table.Range) (names []string) {
	t.Helper()
	view(t, db, func(tx *table.Tx) error {
		names = nil
		for e, err := range pets.ScanIndex(tx, index, r) {
			if err != nil {
				return err
			}
			names = append(names, e.Record.Parts()[0])
		}
		return nil
	})
	return names
}

func TestPutGetDelete(t *testing.T) {
	db, _ := open(t)
	rex := pet{Name: "rex", Kind: "dog", Toys: []string{"ball", "rope"}}
	update(t, db, func(tx *table.Tx) error {
		if err := pets.Put(tx, &rex); err != nil {
			return err
		}
		got, err := pets.Get(tx, table.K("rex")) // sees its own write
		if err != nil || got.Kind != "dog" {
			t.Errorf("Get in the writing transaction = %+v, %v", got, err)
		}
		return nil
	})
	if got := byIndex(t, db, "test.pet.toy", table.Range{Prefix: table.K("rope")}); !slices.Equal(got, []string{"rex"}) {
		t.Errorf("by toy: %v", got)
	}
	update(t, db, func(tx *table.Tx) error {
		p, err := pets.Load(tx, table.K("rex"))
		if err != nil {
			return err
		}
		p.Kind, p.Toys = "wolf", []string{"rope"}
		return pets.Put(tx, p)
	})
	for index, want := range map[string]string{"test.pet.kind dog": "", "test.pet.kind wolf": "rex", "test.pet.toy ball": "", "test.pet.toy rope": "rex"} {
		name, key, _ := strings.Cut(index, " ")
		if got := strings.Join(byIndex(t, db, name, table.Range{Prefix: table.K(key)}), ","); got != want {
			t.Errorf("%s: %q, want %q", index, got, want)
		}
	}
	update(t, db, func(tx *table.Tx) error { return pets.Delete(tx, table.K("rex")) })
	view(t, db, func(tx *table.Tx) error {
		if _, err := pets.Get(tx, table.K("rex")); !errors.Is(err, table.ErrNotFound) {
			t.Errorf("Get after Delete: %v", err)
		}
		return nil
	})
	if got := byIndex(t, db, "test.pet.kind", table.Range{}); len(got) != 0 {
		t.Errorf("index rows left: %v", got)
	}
}

// Find finds what Get finds under the key made of the same parts, and nothing else.
func TestFind(t *testing.T) {
	places := table.Collection[pet]{Name: "test.place", Key: func(p *pet) table.Key { return table.K(p.Kind, p.Name) }}
	db, _ := open(t)
	look := func(tx *table.Tx) error {
		for _, parts := range [][]string{{"dog", "rex"}, {"dog"}, {"dog", "rex", ""}, {"dogrex"}, {"dog\x00rex"}, {"", "rex"}, {"dog", ""}, {}} {
			want, wantErr := places.Get(tx, table.K(parts...))
			got, err := places.Find(tx, parts...)
			if got != want || !errors.Is(err, wantErr) || (err == nil) != (len(parts) == 2 && parts[1] == "rex" && parts[0] == "dog") {
				t.Errorf("Find(%q) = %v, %v; Get %v, %v", parts, got, err, want, wantErr)
			}
		}
		return nil
	}
	update(t, db, func(tx *table.Tx) error {
		if err := places.Put(tx, &pet{Name: "rex", Kind: "dog"}); err != nil {
			return err
		}
		return look(tx)
	})
	update(t, db, look)
	view(t, db, look)
}

func TestRanges(t *testing.T) {
	db, _ := open(t)
	update(t, db, func(tx *table.Tx) error {
		for _, n := range []string{"a", "ab", "abc", "b", "ba"} {
			if err := pets.Put(tx, &pet{Name: n, Kind: "k"}); err != nil {
				return err
			}
		}
		return nil
	})
	for name, tc := range map[string]struct {
		r    table.Range
		want string
	}{
		"all":                       {table.Range{}, "a ab abc b ba"},
		"reverse":                   {table.Range{Reverse: true}, "ba b abc ab a"},
		"partial":                   {table.Range{Prefix: table.K("ab"), Partial: true}, "ab abc"},
		"exact":                     {table.Range{Prefix: table.K("ab"), Exact: true}, "ab"},
		"after":                     {table.Range{After: table.K("ab")}, "abc b ba"},
		"after, reverse":            {table.Range{After: table.K("ab"), Reverse: true}, "a"},
		"after within partial":      {table.Range{Prefix: table.K("a"), Partial: true, After: table.K("ab")}, "abc"},
		"after before the range":    {table.Range{Prefix: table.K("b"), Partial: true, After: table.K("a")}, "b ba"},
		"after behind it, reversed": {table.Range{Prefix: table.K("a"), Partial: true, After: table.K("z"), Reverse: true}, "abc ab a"},
	} {
		var got []string
		view(t, db, func(tx *table.Tx) error {
			got = nil
			for e, err := range pets.Scan(tx, tc.r) {
				if err != nil {
					return err
				}
				got = append(got, e.Value.Name)
			}
			return nil
		})
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %v, want %s", name, got, tc.want)
		}
	}
}

// A zero byte in a part would let one tuple pass for another.
func TestZeroByteInKey(t *testing.T) {
	db, _ := open(t)
	err := db.Update(context.Background(), func(tx *table.Tx) error { return pets.Put(tx, &pet{Name: "a\x00b", Kind: "k"}) })
	if err == nil {
		t.Error("a key part with a zero byte was stored")
	}
	view(t, db, func(tx *table.Tx) error {
		if _, err := pets.Get(tx, table.K("a\x00b")); !errors.Is(err, table.ErrNotFound) {
			t.Errorf("Get = %v", err)
		}
		return nil
	})
}

// Rows moved, altered or copied on disk do not open, and Check tells of each.
func TestTampering(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(tx kv.Tx) error
		want []string // substrings, one problem each
	}{
		"nothing": {func(tx kv.Tx) error { return nil }, nil},
		"a row under another key": {func(tx kv.Tx) error {
			v, err := tx.Get([]byte("test.pet\x00rex"))
			if err != nil {
				return err
			}
			return tx.Put([]byte("test.pet\x00tom"), v)
		}, []string{"damaged"}},
		"two rows swapped": {func(tx kv.Tx) error {
			a, _ := tx.Get([]byte("test.pet\x00rex"))
			b, err := tx.Get([]byte("test.pet\x00kim"))
			if err != nil {
				return err
			}
			return errors.Join(tx.Put([]byte("test.pet\x00rex"), b), tx.Put([]byte("test.pet\x00kim"), a))
		}, []string{"damaged", "damaged"}},
		"a flipped bit": {func(tx kv.Tx) error {
			v, err := tx.Get([]byte("test.pet\x00rex"))
			if err != nil {
				return err
			}
			v = slices.Clone(v)
			v[len(v)-1] ^= 1
			return tx.Put([]byte("test.pet\x00rex"), v)
		}, []string{"damaged"}},
		"a removed index row": {func(tx kv.Tx) error { return tx.Delete([]byte("test.pet.kind\x00dog\x00rex")) },
			[]string{"index test.pet.kind lacks its row"}},
		"a removed record": {func(tx kv.Tx) error { return tx.Delete([]byte("test.pet\x00rex")) },
			[]string{"which does not exist"}},
		"a row of nobody": {func(tx kv.Tx) error { return tx.Put([]byte("else\x00where"), []byte("x")) },
			[]string{"belongs to no known collection"}},
	} {
		t.Run(name, func(t *testing.T) {
			db, store := open(t)
			update(t, db, func(tx *table.Tx) error {
				return errors.Join(pets.Put(tx, &pet{Name: "rex", Kind: "dog"}), pets.Put(tx, &pet{Name: "kim", Kind: "cat"}))
			})
			if err := store.Update(context.Background(), tc.do); err != nil {
				t.Fatal(err)
			}
			var got []string
			view(t, db, func(tx *table.Tx) error {
				got = nil
				_, err := table.Check(tx, []table.Checker{&pets}, nil, func(row, problem string) { got = append(got, row+": "+problem) })
				return err
			})
			if len(got) != len(tc.want) {
				t.Fatalf("problems: %q, want %d", got, len(tc.want))
			}
			for i, want := range tc.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("problem %q does not say %q", got[i], want)
				}
			}
		})
	}
}

// Readers with a cache never see a state that no commit made: writers keep two
// records equal, readers must find them equal, and never older than what an
// earlier read of the same goroutine saw.
func TestCacheIsASnapshot(t *testing.T) {
	db, _ := open(t)
	set := func(tx *table.Tx, n int) error {
		return errors.Join(pets.Put(tx, &pet{Name: "left", Kind: "k", Count: n}), pets.Put(tx, &pet{Name: "right", Kind: "k", Count: n}))
	}
	update(t, db, func(tx *table.Tx) error { return set(tx, 0) })
	deadline := time.Now().Add(time.Second)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for time.Now().Before(deadline) {
				err := db.Update(context.Background(), func(tx *table.Tx) error {
					p, err := pets.Get(tx, table.K("left")) // from the cache: must be validated at commit
					if err != nil {
						return err
					}
					return set(tx, p.Count+1)
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 4 {
		wg.Go(func() {
			last := 0
			for time.Now().Before(deadline) {
				var l, r int
				err := db.View(context.Background(), func(tx *table.Tx) error {
					names := []string{"left", "right"}
					if rand.N(2) == 0 {
						slices.Reverse(names)
					}
					for _, n := range names {
						p, err := pets.Get(tx, table.K(n))
						if err != nil {
							return err
						}
						if n == "left" {
							l = p.Count
						} else {
							r = p.Count
						}
					}
					return nil
				})
				if err != nil || l != r || l < last {
					t.Errorf("left %d, right %d, last %d, error %v", l, r, last, err)
					return
				}
				last = l
			}
		})
	}
	wg.Wait()
	if hits, _, _ := db.CacheStats(); hits == 0 {
		t.Error("the cache was never hit: the test shows nothing")
	}
}

// That a record is not there is as true of a snapshot as the records are.
func TestCacheAbsentIsASnapshot(t *testing.T) {
	ghosts := pets
	ghosts.Name, ghosts.Indexes, ghosts.CacheAbsent = "test.ghost", nil, true
	db, _ := open(t)
	ctx := context.Background()
	// Exactly one of the two is there, and which one changes.
	flip := func(tx *table.Tx) error {
		_, err := ghosts.Get(tx, table.K("left"))
		if err == nil {
			return errors.Join(ghosts.Delete(tx, table.K("left")), ghosts.Put(tx, &pet{Name: "right"}))
		}
		if !errors.Is(err, table.ErrNotFound) {
			return err
		}
		return errors.Join(ghosts.Delete(tx, table.K("right")), ghosts.Put(tx, &pet{Name: "left"}))
	}
	update(t, db, flip)
	deadline := time.Now().Add(time.Second)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for time.Now().Before(deadline) {
				if err := db.Update(ctx, flip); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 4 {
		wg.Go(func() {
			for time.Now().Before(deadline) {
				there := 0
				err := db.View(ctx, func(tx *table.Tx) error {
					there = 0
					for _, name := range []string{"left", "right", "left"} {
						_, err := ghosts.Get(tx, table.K(name))
						switch {
						case err == nil && name == "left":
							there++
						case err == nil:
							there += 2
						case !errors.Is(err, table.ErrNotFound):
							return err
						}
					}
					return nil
				})
				if err != nil || there != 2 {
					t.Errorf("%d, %v", there, err)
					return
				}
			}
		})
	}
	wg.Wait()
	before, _, _ := db.CacheStats()
	view(t, db, func(tx *table.Tx) error {
		for range 2 {
			if _, err := ghosts.Get(tx, table.K("nobody")); !errors.Is(err, table.ErrNotFound) {
				return fmt.Errorf("found nobody: %v", err)
			}
		}
		return nil
	})
	if after, _, _ := db.CacheStats(); after != before+1 {
		t.Errorf("%d hits, want 1: absence is not remembered", after-before)
	}
}

// The cache stays within its bound however many records pass through it.
func TestCacheBound(t *testing.T) {
	ring, _, err := envelope.NewKeyring(context.Background(), envelope.NewMemoryKey())
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New()
	defer store.Close()
	const bound = 1 << 20
	db := table.New(table.Config{Store: store, Sealer: ring.Sealer(), CacheBytes: bound})
	const n = 5000
	for i := 0; i < n; i += 25 {
		update(t, db, func(tx *table.Tx) error {
			for j := i; j < i+25; j++ {
				if err := pets.Put(tx, &pet{Name: fmt.Sprint("pet", j), Kind: strings.Repeat("x", 200)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for i := range n {
		view(t, db, func(tx *table.Tx) error { _, err := pets.Get(tx, table.K(fmt.Sprint("pet", i))); return err })
	}
	if _, _, bytes := db.CacheStats(); bytes == 0 || bytes > bound {
		t.Errorf("cache holds %d bytes, bound %d", bytes, bound)
	}
}

func TestMillis(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)
	m := table.At(at)
	if got := m.Time(); !got.Equal(at.Truncate(time.Millisecond)) {
		t.Errorf("Time = %v", got)
	}
	if table.At(time.Time{}) != 0 || !table.Millis(0).Time().IsZero() || table.Millis(0).Ptr() != nil {
		t.Error("the zero time does not stay zero")
	}
	if a, b := table.At(at).Part(), table.At(at.Add(time.Millisecond)).Part(); a >= b || len(a) != 16 {
		t.Errorf("parts %q, %q do not order", a, b)
	}
}

func BenchmarkGetCached(b *testing.B) {
	ring, _, err := envelope.NewKeyring(context.Background(), envelope.NewMemoryKey())
	if err != nil {
		b.Fatal(err)
	}
	store := memory.New()
	defer store.Close()
	db := table.New(table.Config{Store: store, Sealer: ring.Sealer()})
	ctx := context.Background()
	if err := db.Update(ctx, func(tx *table.Tx) error { return pets.Put(tx, &pet{Name: "rex", Kind: "dog"}) }); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := db.View(ctx, func(tx *table.Tx) error { _, err := pets.Get(tx, table.K("rex")); return err }); err != nil {
			b.Fatal(err)
		}
	}
}
