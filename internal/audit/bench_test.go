package audit_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"coffer/internal/audit"
)

var benchRecord = []byte(`{"eventVersion":"1.11","pad":"` + string(bytes.Repeat([]byte("x"), 900-33)) + `"}`)

func BenchmarkAppend(b *testing.B) {
	for _, workers := range []int{1, 4, 32} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			l, err := audit.Open(audit.Config{Dir: b.TempDir(), Key: bytes.Repeat([]byte{1}, 32), Logger: quiet, SyncEvery: time.Hour, SegmentBytes: 1 << 40})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			b.ReportAllocs()
			b.SetBytes(int64(2 * len(benchRecord)))
			cpu := cpuTime()
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for range b.N/workers + min(1, max(0, b.N%workers-w)) {
						if err := l.Append(benchRecord, benchRecord); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
			s := l.Stats()
			b.ReportMetric(float64(s.Records)/2/float64(s.Writes), "appends/write")
		})
	}
}

// BenchmarkFloor is what no log of this kind gets under: the hash of two records,
// and writing them with nobody to share the call.
func BenchmarkFloor(b *testing.B) {
	b.Run("hash", func(b *testing.B) {
		h := hmac.New(sha256.New, bytes.Repeat([]byte{1}, 32))
		var sum [32]byte
		for b.Loop() {
			for range 2 {
				h.Reset()
				h.Write(benchRecord[:41])
				h.Write(benchRecord)
				h.Sum(sum[:0])
			}
		}
	})
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprintf("write=%d", n), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "f"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			buf := bytes.Repeat([]byte("x"), 2000*n)
			cpu := cpuTime()
			i := 0
			for b.Loop() {
				if i++; i%n == 0 {
					if _, err := f.Write(buf); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkOpen opens a log that was killed with 20,000 records after its anchor,
// about what a second of full load leaves.
func BenchmarkOpen(b *testing.B) {
	anchors := &memAnchors{}
	cfg := config(b.TempDir(), anchors)
	l := MustOpen(b, cfg)
	for range 10000 {
		if err := l.Append(benchRecord, benchRecord); err != nil {
			b.Fatal(err)
		}
	}
	first, _ := anchors.get()
	MustClose(b, l)
	for b.Loop() {
		cfg.Anchors = &memAnchors{a: first, ok: true}
		MustClose(b, MustOpen(b, cfg))
	}
}

func BenchmarkVerify(b *testing.B) {
	cfg := config(b.TempDir(), &memAnchors{})
	l := MustOpen(b, cfg)
	for range 10000 {
		if err := l.Append(benchRecord, benchRecord); err != nil {
			b.Fatal(err)
		}
	}
	MustClose(b, l)
	for b.Loop() {
		MustVerify(b, cfg, 20000)
	}
	b.SetBytes(int64(20000 * len(benchRecord)))
}

// BenchmarkReadFrom finds a place in a log of 20 MB and reads one record there.
func BenchmarkReadFrom(b *testing.B) {
	l := MustOpen(b, config(b.TempDir(), nil))
	defer MustClose(b, l)
	for range 10000 {
		if err := l.Append(benchRecord, benchRecord); err != nil {
			b.Fatal(err)
		}
	}
	for i := uint64(0); b.Loop(); i += 7919 {
		for _, err := range l.Read(b.Context(), i%20000) {
			if err != nil {
				b.Fatal(err)
			}
			break
		}
	}
}
