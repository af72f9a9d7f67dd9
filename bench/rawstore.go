package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// kindRaw is a Pebble store and nothing else.
const kindRaw = "raw"

// batchShape is what one request writes to the store.
type batchShape struct {
	Sets, Deletes int
	Key, Value    int // mean bytes of a key, and of a value
}

func (s batchShape) bytes() int { return s.Sets*(s.Key+s.Value) + s.Deletes*s.Key }

// shapeOfLogs reads a running store's write-ahead logs and returns the mean per
// request of everything in them. A request's batch is told from background work
// (taking the audit outbox's rows away, saving the audit log's anchor) by having
// two rows or more; the background's rows are counted in, for the raw store
// shall write as much.
func shapeOfLogs(dir string) (batchShape, error) {
	var sum struct{ requests, sets, deletes, key, value int }
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return batchShape{}, err
	}
	for _, name := range names {
		err := eachBatch(name, func(r batchrepr.Reader) error {
			sets := 0
			for {
				kind, key, value, ok, err := r.Next()
				if err != nil || !ok {
					if sets >= 2 {
						sum.requests++
					}
					return err
				}
				switch kind {
				case pebble.InternalKeyKindSet:
					sets++
					sum.sets++
				case pebble.InternalKeyKindDelete:
					sum.deletes++
				default:
					continue // the marker that begins a batch
				}
				sum.key += len(key)
				sum.value += len(value)
			}
		})
		if err != nil {
			return batchShape{}, err
		}
	}
	if sum.requests == 0 {
		return batchShape{}, errors.New("no request's batch found in the logs of " + dir)
	}
	mean := func(n, of int) int { return (n + of/2) / of }
	s := batchShape{Sets: mean(sum.sets, sum.requests), Deletes: mean(sum.deletes, sum.requests)}
	s.Key = mean(sum.key, sum.sets+sum.deletes)
	// Rounding the number of rows must not change the number of bytes.
	s.Value = mean((sum.key+sum.value)/sum.requests-(s.Sets+s.Deletes)*s.Key, s.Sets)
	return s, nil
}

// eachBatch reads a log as far as it is whole: it is being written.
func eachBatch(name string, f func(batchrepr.Reader) error) error {
	number, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(name), ".log"), 10, 64)
	if err != nil {
		return nil // not a log of Pebble's
	}
	file, err := os.Open(name)
	if err != nil {
		return nil // gone meanwhile
	}
	defer file.Close()
	for r := logReader(record.NewReader, bufio.NewReaderSize(file, 256<<10), number); ; {
		next, err := r.Next()
		if err != nil {
			return nil
		}
		b, err := io.ReadAll(next)
		if err != nil || len(b) < batchrepr.HeaderLen {
			return nil
		}
		if err := f(batchrepr.Read(b)); err != nil {
			return err
		}
	}
}

// logReader calls record.NewReader, whose second parameter has a type that cannot
// be named here.
func logReader[N ~uint64](open func(io.Reader, N) *record.Reader, r io.Reader, number uint64) *record.Reader {
	return open(r, N(number))
}

// rawTask is one measurement of the raw store.
type rawTask struct {
	Writers int
	Time    time.Duration
	Shape   batchShape
}

// rawResult is its answer.
type rawResult struct {
	Commits uint64
	Elapsed time.Duration
	P50     time.Duration
	P99     time.Duration
	Error   string
}

// serveRaw opens a store with the options of internal/kv/pebble and commits as
// told, until its input ends.
func serveRaw(in *bufio.Reader, out io.Writer) error {
	var dir string
	if err := readLine(in, &dir); err != nil {
		return err
	}
	db, err := pebble.Open(dir, rawOptions())
	if err != nil {
		return err
	}
	defer db.Close()
	answer := json.NewEncoder(out)
	if err := answer.Encode("ready"); err != nil {
		return err
	}
	for {
		var t rawTask
		if err := readLine(in, &t); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := answer.Encode(commitFor(db, t)); err != nil {
			return err
		}
	}
}

// rawOptions are those that internal/kv/pebble opens its store with.
func rawOptions() *pebble.Options {
	o := &pebble.Options{
		Logger:                      quiet{},
		FormatMajorVersion:          pebble.FormatNewest,
		CacheSize:                   64 << 20,
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       40,
		MaxOpenFiles:                512,
		BytesPerSync:                512 << 10,
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	return o
}

// quiet drops Pebble's messages but the last words.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

func (quiet) Fatalf(format string, args ...any) { pebble.DefaultLogger.Fatalf(format, args...) }

// commitFor commits synced batches for a time with a number of writers.
func commitFor(db *pebble.DB, t rawTask) rawResult {
	random := make([]byte, 1<<20) // sealed values look random
	rng := newRand(0)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	hists := make([]histogram, t.Writers)
	errs := make([]error, t.Writers)
	start := time.Now()
	end := start.Add(t.Time)
	var wg sync.WaitGroup
	for i := range t.Writers {
		wg.Go(func() { errs[i] = commitUntil(db, t.Shape, random, &hists[i], end) })
	}
	wg.Wait()
	r := rawResult{Elapsed: time.Since(start)}
	var sum histogram
	for i := range hists {
		sum.add(&hists[i])
	}
	r.Commits, r.P50, r.P99 = sum.n, sum.quantile(0.50), sum.quantile(0.99)
	if err := errors.Join(errs...); err != nil {
		r.Error = err.Error()
	}
	return r
}

func commitUntil(db *pebble.DB, s batchShape, random []byte, h *histogram, end time.Time) error {
	rng := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	key := make([]byte, max(s.Key, 8))
	draw := func() []byte {
		// A million keys: some rows are new, some replace others, as in Coffer.
		strconv.AppendUint(key[:0], 10_000_000+rng.Uint64N(1_000_000), 10) // in place
		return key
	}
	for now := time.Now(); now.Before(end); {
		b := db.NewBatchWithSize(s.bytes() + 64 + 12*(s.Sets+s.Deletes))
		var err error
		for range s.Sets {
			at := rng.IntN(len(random) - s.Value)
			err = errors.Join(err, b.Set(draw(), random[at:at+s.Value], nil))
		}
		for range s.Deletes {
			err = errors.Join(err, b.Delete(draw(), nil))
		}
		if err == nil {
			err = db.ApplyNoSyncWait(b, pebble.Sync)
		}
		if err == nil {
			err = errors.Join(b.SyncWait(), b.Close())
		}
		if err != nil {
			return err
		}
		done := time.Now()
		h.record(done.Sub(now))
		now = done
	}
	return nil
}

// rawStore is a raw store's process.
type rawStore struct{ *helper }

// run has the store commit and measures it as a server.
func (r rawStore) run(t rawTask) (rate, cpuPer float64, res rawResult, err error) {
	before, err := r.cpu()
	if err != nil {
		return 0, 0, res, err
	}
	if err = r.ask(t, &res); err != nil {
		return 0, 0, res, r.explain(err)
	}
	after, err := r.cpu()
	if err == nil && res.Error != "" {
		err = errors.New("raw store: " + res.Error)
	}
	commits := float64(max(res.Commits, 1))
	return float64(res.Commits) / res.Elapsed.Seconds(), float64((after - before).Microseconds()) / commits, res, err
}
