package pebble_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	raw "github.com/cockroachdb/pebble/v2"

	"coffer/internal/kv"
	"coffer/internal/kv/pebble"
)

var benchRows = flag.Int("bench-rows", 20_000, "rows in the store that BenchmarkGet reads; 1000000 for the figures")

const rowBytes = 800

func rowKey(i int) []byte { return binary.BigEndian.AppendUint64([]byte("row/"), uint64(i)) }

func rowValue() []byte {
	v := make([]byte, rowBytes)
	for i := range v {
		v[i] = byte(rand.Uint32())
	}
	return v
}

func BenchmarkGet(b *testing.B) {
	dir := b.TempDir()
	s, err := pebble.Open(config(dir))
	if err != nil {
		b.Fatal(err)
	}
	v := rowValue()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w * 100; i < *benchRows; i += 800 {
				err := s.Update(context.Background(), func(tx kv.Tx) error {
					for j := i; j < min(i+100, *benchRows); j++ {
						if err := tx.Put(rowKey(j), v); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	s = mustOpen(b, dir)
	opened := time.Since(start)
	b.Logf("open of %d rows: %v", *benchRows, opened)
	get := func(b *testing.B, next func() int) {
		b.ReportAllocs()
		for b.Loop() {
			key := rowKey(next())
			err := s.View(context.Background(), func(tx kv.Tx) error { _, err := tx.Get(key); return err })
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("hot", func(b *testing.B) { get(b, func() int { return 7 }) })
	b.Run("any", func(b *testing.B) { get(b, func() int { return rand.IntN(*benchRows) }) })
}

func BenchmarkViewObserve(b *testing.B) {
	s := mustOpen(b, b.TempDir())
	writePair(b, s, "1")
	key := []byte("a/1")
	b.ReportAllocs()
	for b.Loop() {
		err := s.View(context.Background(), func(tx kv.Tx) error { tx.Observe(key, tx.Version()); return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWrite compares Updates with synced commits of bare Pebble of the
// same bytes.
func BenchmarkWrite(b *testing.B) {
	v := rowValue()
	parallel := func(b *testing.B, writers int, write func(i int) error) {
		b.ReportAllocs()
		var n atomic.Int64
		var wg sync.WaitGroup
		b.ResetTimer()
		for range writers {
			wg.Go(func() {
				for {
					i := int(n.Add(1))
					if i > b.N {
						return
					}
					if err := write(i); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	}
	for _, writers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("bare/%d", writers), func(b *testing.B) {
			db, err := raw.Open(b.TempDir(), &raw.Options{Logger: quiet{}, FormatMajorVersion: raw.FormatNewest, MemTableSize: 8 << 20})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			parallel(b, writers, func(i int) error { return db.Set(rowKey(i), v, raw.Sync) })
		})
		b.Run(fmt.Sprintf("update/%d", writers), func(b *testing.B) {
			s := mustOpen(b, b.TempDir())
			parallel(b, writers, func(i int) error {
				return s.Update(context.Background(), func(tx kv.Tx) error {
					key := rowKey(i)
					if _, err := tx.Get(key); err != nil && err != kv.ErrNotFound {
						return err
					}
					return tx.Put(key, v)
				})
			})
			m := s.Metrics()
			b.ReportMetric(float64(m.Commits)/float64(max(1, m.Syncs)), "commits/sync")
		})
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
