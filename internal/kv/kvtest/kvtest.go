// Package kvtest is the one suite every kv driver passes, and wrappers that
// make a store as unkind as the contract allows.
//
// It promises that each rule of package kv has a subtest here. What only a
// driver can show (durability over a kill, damage, a full disk) is in the
// driver's own tests.
package kvtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"coffer/internal/kv"
)

// Run runs the suite. open returns an empty store; Run closes it.
func Run(t *testing.T, open func(t *testing.T) kv.Store) {
	for _, test := range suite {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			test.run(t, s)
		})
	}
}

var suite = []struct {
	name string
	run  func(*testing.T, kv.Store)
}{
	{"ReadYourWrites", readYourWrites},
	{"FailedClosureWritesNothing", failedClosure},
	{"EmptyValueAndBinaryKeys", binaryKeys},
	{"SnapshotIsolation", snapshotIsolation},
	{"LostUpdate", lostUpdate},
	{"WriteSkew", writeSkew},
	{"Phantom", phantom},
	{"ScanValidatesOnlyWhatWasVisited", visitedOnly},
	{"RandomHistory", randomHistory},
	{"OneKeyTenThousandTimes", oneKey},
	{"ExactlyOneCreates", oneCreates},
	{"Twice", func(t *testing.T, s kv.Store) { randomHistory(t, Twice(s)) }},
	{"Flaky", flakyHistory},
	{"Limits", limits},
	{"ReadOnly", readOnly},
	{"ScanEdges", scanEdges},
	{"ScanAgainstModel", scanModel},
	{"VersionsAndHooks", versionsAndHooks},
	{"ObserveConflicts", observeConflicts},
	{"ObserveInViewAfterMoving", observeMoved},
	{"CacheModel", cacheModel},
	{"Context", contexts},
	{"Panic", panics},
	{"Close", closes},
}

func ctx(t *testing.T) context.Context { return t.Context() }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error %v, want %v", err, target)
	}
}

func put(t *testing.T, s kv.Store, pairs ...string) {
	t.Helper()
	must(t, s.Update(context.Background(), func(tx kv.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put([]byte(pairs[i]), []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	}))
}

func get(tx kv.Tx, key string) string {
	v, err := tx.Get([]byte(key))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return "-"
	case err != nil:
		return err.Error()
	}
	return string(v)
}

func number(tx kv.Tx, key []byte) (int64, error) {
	v, err := tx.Get(key)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(v)), nil
}

func putNumber(tx kv.Tx, key []byte, n int64) error {
	return tx.Put(bytes.Clone(key), binary.BigEndian.AppendUint64(nil, uint64(n)))
}

func scan(tx kv.Tx, start, end []byte, reverse bool) (keys []string, err error) {
	for row, err := range tx.Scan(start, end, reverse) {
		if err != nil {
			return keys, err
		}
		keys = append(keys, string(row.Key)+"="+string(row.Value))
	}
	return keys, nil
}

func readYourWrites(t *testing.T, s kv.Store) {
	put(t, s, "a", "1", "b", "2")
	must(t, s.Update(ctx(t), func(tx kv.Tx) error {
		check := func(key, want string) {
			t.Helper()
			if got := get(tx, key); got != want {
				t.Errorf("Get(%q) = %q, want %q", key, got, want)
			}
		}
		check("a", "1")
		must(t, tx.Put([]byte("a"), []byte("1a")))
		check("a", "1a")
		must(t, tx.Put([]byte("a"), []byte("1b")))
		check("a", "1b")
		must(t, tx.Delete([]byte("a")))
		check("a", "-")
		must(t, tx.Delete([]byte("absent")))
		must(t, tx.Put([]byte("c"), []byte("3")))
		check("c", "3")
		must(t, tx.Delete([]byte("b")))
		must(t, tx.Put([]byte("b"), []byte("2b")))
		check("b", "2b")
		return nil
	}))
	must(t, s.View(ctx(t), func(tx kv.Tx) error {
		rows, err := scan(tx, nil, nil, false)
		if want := []string{"b=2b", "c=3"}; !slices.Equal(rows, want) {
			t.Errorf("rows %q, want %q", rows, want)
		}
		return err
	}))
}

func failedClosure(t *testing.T, s kv.Store) {
	mine := errors.New("mine")
	err := s.Update(ctx(t), func(tx kv.Tx) error {
		must(t, tx.Put([]byte("a"), []byte("1")))
		return mine
	})
	if err != mine {
		t.Errorf("Update returned %v, want the closure's error as it is", err)
	}
	err = s.View(ctx(t), func(tx kv.Tx) error {
		if got := get(tx, "a"); got != "-" {
			t.Errorf("a = %q after a failed Update", got)
		}
		return mine
	})
	if err != mine {
		t.Errorf("View returned %v, want the closure's error as it is", err)
	}
}

func binaryKeys(t *testing.T, s kv.Store) {
	put(t, s, "\x00", "", "\x00\x00", "x", "\xff", "y", "\xff\xff", "z", "a", "")
	must(t, s.View(ctx(t), func(tx kv.Tx) error {
		v, err := tx.Get([]byte("\x00"))
		if err != nil || len(v) != 0 {
			t.Errorf("empty value: %q, %v", v, err)
		}
		rows, err := scan(tx, nil, nil, false)
		if want := []string{"\x00=", "\x00\x00=x", "a=", "\xff=y", "\xff\xff=z"}; !slices.Equal(rows, want) {
			t.Errorf("rows %q, want %q", rows, want)
		}
		return err
	}))
}

// between runs f in a transaction, and other, in between, in its first run.
func between(t *testing.T, s kv.Store, before func(kv.Tx) error, other func(), after func(kv.Tx) error) (runs int) {
	t.Helper()
	must(t, s.Update(ctx(t), func(tx kv.Tx) error {
		runs++
		if err := before(tx); err != nil {
			return err
		}
		if runs == 1 {
			other()
		}
		return after(tx)
	}))
	return runs
}

func snapshotIsolation(t *testing.T, s kv.Store) {
	put(t, s, "a", "1", "b", "1")
	must(t, s.View(ctx(t), func(tx kv.Tx) error {
		first := get(tx, "a")
		v := tx.Version()
		put(t, s, "a", first+"x", "b", first+"x", "c", "new")
		if got := get(tx, "b"); got != first {
			t.Errorf("b = %q in a snapshot where a = %q", got, first)
		}
		if got := get(tx, "a"); got != first {
			t.Errorf("a = %q at second sight, %q at first", got, first)
		}
		rows, err := scan(tx, []byte("c"), nil, false)
		if len(rows) != 0 || err != nil {
			t.Errorf("a later row in the snapshot: %q %v", rows, err)
		}
		if tx.Version() != v {
			t.Error("Version moved inside a transaction")
		}
		return nil
	}))
}

func lostUpdate(t *testing.T, s kv.Store) {
	put(t, s, "n", "1")
	var seen string
	runs := between(t, s,
		func(tx kv.Tx) error { seen = get(tx, "n"); return nil },
		func() { put(t, s, "n", "2") },
		func(tx kv.Tx) error { return tx.Put([]byte("n"), []byte(seen+"+")) })
	if runs != 2 || seen != "2" {
		t.Errorf("%d runs, last saw %q; want 2 runs and 2", runs, seen)
	}
	// A blind write reads nothing and so loses to nobody.
	runs = between(t, s, func(kv.Tx) error { return nil }, func() { put(t, s, "n", "3") },
		func(tx kv.Tx) error { return tx.Put([]byte("n"), []byte("4")) })
	if runs != 1 {
		t.Errorf("a blind write ran %d times", runs)
	}
	// The absence of a key is a read as well.
	runs = between(t, s, func(tx kv.Tx) error { get(tx, "absent"); return nil }, func() { put(t, s, "absent", "now there") },
		func(tx kv.Tx) error { return tx.Put([]byte("m"), nil) })
	if runs != 2 {
		t.Errorf("creation of a key read as absent: %d runs, want 2", runs)
	}
	// Others' keys do not matter.
	runs = between(t, s, func(tx kv.Tx) error { get(tx, "n"); return nil }, func() { put(t, s, "elsewhere", "1") },
		func(tx kv.Tx) error { return tx.Put([]byte("m"), nil) })
	if runs != 1 {
		t.Errorf("a write elsewhere: %d runs, want 1", runs)
	}
}

func writeSkew(t *testing.T, s kv.Store) {
	put(t, s, "x", "on", "y", "on")
	off := func(mine, other string) func(kv.Tx) error {
		return func(tx kv.Tx) error {
			if get(tx, other) == "on" {
				return tx.Put([]byte(mine), []byte("off"))
			}
			return nil
		}
	}
	between(t, s, off("x", "y"), func() { must(t, s.Update(context.Background(), off("y", "x"))) }, func(kv.Tx) error { return nil })
	must(t, s.View(ctx(t), func(tx kv.Tx) error {
		if get(tx, "x") == "off" && get(tx, "y") == "off" {
			t.Error("write skew: both are off")
		}
		return nil
	}))
}

func phantom(t *testing.T, s kv.Store) {
	put(t, s, "p1", "", "p2", "", "p9", "")
	for _, reverse := range []bool{false, true} {
		for name, change := range map[string]func(kv.Tx) error{
			"insert": func(tx kv.Tx) error { return tx.Put([]byte("p5"), nil) },
			"delete": func(tx kv.Tx) error { return tx.Delete([]byte("p2")) },
			"change": func(tx kv.Tx) error { return tx.Put([]byte("p1"), []byte("new")) },
		} {
			runs := between(t, s,
				func(tx kv.Tx) error { _, err := scan(tx, []byte("p"), []byte("q"), reverse); return err },
				func() { must(t, s.Update(context.Background(), change)) },
				func(tx kv.Tx) error { return tx.Put([]byte("count"), nil) })
			if runs != 2 {
				t.Errorf("%s in a scanned range (reverse %v): %d runs, want 2", name, reverse, runs)
			}
			put(t, s, "p1", "", "p2", "", "p9", "")
			must(t, s.Update(ctx(t), func(tx kv.Tx) error { return tx.Delete([]byte("p5")) }))
		}
	}
	runs := between(t, s,
		func(tx kv.Tx) error { _, err := scan(tx, []byte("empty/"), []byte("empty0"), false); return err },
		func() { put(t, s, "empty/1", "") },
		func(tx kv.Tx) error { return tx.Put([]byte("count"), nil) })
	if runs != 2 {
		t.Errorf("insert in an empty range: %d runs, want 2", runs)
	}
	for _, key := range []string{"o", "q"} {
		runs := between(t, s,
			func(tx kv.Tx) error { _, err := scan(tx, []byte("p"), []byte("q"), false); return err },
			func() { put(t, s, key, "") },
			func(tx kv.Tx) error { return tx.Put([]byte("count"), nil) })
		if runs != 1 {
			t.Errorf("insert of %q outside the range: %d runs, want 1", key, runs)
		}
	}
}

func visitedOnly(t *testing.T, s kv.Store) {
	put(t, s, "a", "", "c", "", "e", "")
	for _, test := range []struct {
		reverse bool
		write   string
		runs    int
	}{
		{false, "b", 2}, {false, "c", 2}, {false, "d", 1}, {false, "e", 1}, {false, "a", 2},
		{true, "d", 2}, {true, "c", 2}, {true, "b", 1}, {true, "a", 1}, {true, "e", 2}, {true, "z", 2},
	} {
		runs := between(t, s, func(tx kv.Tx) error {
			n := 0
			for _, err := range tx.Scan(nil, nil, test.reverse) {
				if err != nil {
					return err
				}
				if n++; n == 2 { // a, c or e, c
					break
				}
			}
			return nil
		}, func() { put(t, s, test.write, "") }, func(tx kv.Tx) error { return tx.Put([]byte("\x00out"), nil) })
		if runs != test.runs {
			t.Errorf("stopped at c (reverse %v), wrote %q: %d runs, want %d", test.reverse, test.write, runs, test.runs)
		}
		must(t, s.Update(ctx(t), func(tx kv.Tx) error {
			for _, k := range []string{"b", "d", "z", "\x00out"} {
				must(t, tx.Delete([]byte(k)))
			}
			return nil
		}))
	}
}

const accounts = 12

func account(i int) []byte { return fmt.Appendf(nil, "account/%02d", i) }

// transfers moves money between accounts from many goroutines, with audits in
// between. Each Update that returns nil adds one to a counter row of its
// goroutine, so that lost and doubled commits show.
func transfers(t *testing.T, s kv.Store, rounds int, tolerate error) {
	setup := func(tx kv.Tx) error {
		for i := range accounts {
			must(t, putNumber(tx, account(i), 100))
		}
		return nil
	}
	err := s.Update(context.Background(), setup)
	for tolerate != nil && errors.Is(err, tolerate) {
		err = s.Update(context.Background(), setup)
	}
	must(t, err)
	sum := func(tx kv.Tx, reverse bool) (total int64, n int, err error) {
		for row, err := range tx.Scan([]byte("account/"), []byte("account0"), reverse) {
			if err != nil {
				return 0, 0, err
			}
			total += int64(binary.BigEndian.Uint64(row.Value))
			n++
		}
		return total, n, nil
	}
	var wg sync.WaitGroup
	const workers = 8
	var ok, maybe [workers]int64
	for w := range workers {
		r := rand.New(rand.NewPCG(uint64(w), 1))
		counter := fmt.Appendf(nil, "counter/%d", w)
		wg.Go(func() {
			for range rounds {
				a, b, amount := r.IntN(accounts), r.IntN(accounts), r.Int64N(20)
				move := r.IntN(4) == 0
				reverse := r.IntN(2) == 0
				err := s.Update(context.Background(), func(tx kv.Tx) error {
					x, err := number(tx, account(a))
					if err != nil {
						return err
					}
					if err := putNumber(tx, account(a), x-amount); err != nil {
						return err
					}
					y, err := number(tx, account(b))
					if err != nil {
						return err
					}
					if err := putNumber(tx, account(b), y+amount); err != nil {
						return err
					}
					if move { // an audit inside, over its own writes
						total, n, err := sum(tx, reverse)
						if err != nil {
							return err
						}
						if total != 100*accounts || n != accounts {
							t.Errorf("sum %d of %d accounts inside Update", total, n)
						}
					}
					c, err := number(tx, counter)
					if err != nil {
						return err
					}
					return putNumber(tx, counter, c+1)
				})
				switch {
				case err == nil:
					ok[w]++
				case tolerate != nil && errors.Is(err, tolerate):
					maybe[w]++
				default:
					t.Error(err)
					return
				}
				err = s.View(context.Background(), func(tx kv.Tx) error {
					total, n, err := sum(tx, reverse)
					if err == nil && (total != 100*accounts || n != accounts) {
						t.Errorf("sum %d of %d accounts in View", total, n)
					}
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	must(t, s.View(context.Background(), func(tx kv.Tx) error {
		for w := range workers {
			c, err := number(tx, fmt.Appendf(nil, "counter/%d", w))
			if err != nil {
				return err
			}
			if c < ok[w] || c > ok[w]+maybe[w] {
				t.Errorf("worker %d: %d commits, %d acknowledged, %d unclear", w, c, ok[w], maybe[w])
			}
		}
		return nil
	}))
}

func rounds(n int) int {
	if testing.Short() {
		return n / 4
	}
	return n
}

func randomHistory(t *testing.T, s kv.Store) { transfers(t, s, rounds(200), nil) }

func flakyHistory(t *testing.T, s kv.Store) {
	transfers(t, Flaky(s, Faults{Seed: 1, Conflict: 0.2, Refuse: 0.1, Lose: 0.1}), rounds(100), ErrInjected)
	n := 0
	f := Flaky(s, Faults{Refuse: 1})
	want(t, f.Update(ctx(t), func(tx kv.Tx) error { n++; return tx.Put([]byte("refused"), nil) }), ErrInjected)
	must(t, s.View(ctx(t), func(tx kv.Tx) error {
		if get(tx, "refused") != "-" || n != 1 {
			t.Errorf("a refused Update wrote, or ran %d times", n)
		}
		return nil
	}))
}

func oneKey(t *testing.T, s kv.Store) {
	n := rounds(10_000)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			err := s.Update(context.Background(), func(tx kv.Tx) error {
				c, err := number(tx, []byte("n"))
				if err != nil {
					return err
				}
				return putNumber(tx, []byte("n"), c+1)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	must(t, s.View(ctx(t), func(tx kv.Tx) error {
		c, err := number(tx, []byte("n"))
		if c != int64(n) {
			t.Errorf("counter is %d after %d Updates", c, n)
		}
		return err
	}))
}

func oneCreates(t *testing.T, s kv.Store) {
	exists := errors.New("exists")
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	n := rounds(2000)
	for range n {
		wg.Go(func() {
			err := s.Update(context.Background(), func(tx kv.Tx) error {
				if _, err := tx.Get([]byte("name")); !errors.Is(err, kv.ErrNotFound) {
					return errors.Join(exists, err)
				}
				return tx.Put([]byte("name"), nil)
			})
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, exists):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != int64(n-1) {
		t.Errorf("%d created, %d lost, of %d", won.Load(), lost.Load(), n)
	}
}

func limits(t *testing.T, s kv.Store) {
	update := func(f func(kv.Tx) error) error { return s.Update(ctx(t), f) }
	for _, test := range []struct {
		name       string
		key, value int
		err        error
	}{
		{"no key", 0, 0, kv.ErrTooLarge},
		{"shortest key", 1, 0, nil},
		{"longest key", kv.MaxKey, 0, nil},
		{"key too long", kv.MaxKey + 1, 0, kv.ErrTooLarge},
		{"longest value", 1, kv.MaxValue, nil},
		{"value too long", 1, kv.MaxValue + 1, kv.ErrTooLarge},
	} {
		key, value := bytes.Repeat([]byte("k"), test.key), bytes.Repeat([]byte("v"), test.value)
		if err := update(func(tx kv.Tx) error { return tx.Put(key, value) }); !errors.Is(err, test.err) {
			t.Errorf("%s: Put: %v, want %v", test.name, err, test.err)
		}
		if err := update(func(tx kv.Tx) error {
			if err := tx.Put([]byte("partial"), nil); err != nil {
				return err
			}
			_ = tx.Put(key, value) // overlooked
			return nil
		}); !errors.Is(err, test.err) {
			t.Errorf("%s: overlooked: %v, want %v", test.name, err, test.err)
		}
		err := s.View(ctx(t), func(tx kv.Tx) error {
			v, err := tx.Get(key)
			if test.err == nil && !bytes.Equal(v, value) {
				t.Errorf("%s: read back %d bytes", test.name, len(v))
			}
			return err
		})
		if test.value <= kv.MaxValue && !errors.Is(err, test.err) { // else an older value
			t.Errorf("%s: Get: %v, want %v", test.name, err, test.err)
		}
		if test.key == 0 || test.key > kv.MaxKey {
			want(t, update(func(tx kv.Tx) error { return tx.Delete(key) }), kv.ErrTooLarge)
		}
	}
	ops := func(n int, op func(tx kv.Tx, i int) error) error {
		return update(func(tx kv.Tx) error {
			for i := range n {
				if err := op(tx, i); err != nil && !errors.Is(err, kv.ErrNotFound) {
					return err
				}
			}
			return nil
		})
	}
	for name, op := range map[string]func(tx kv.Tx, i int) error{
		"Get":    func(tx kv.Tx, i int) error { _, err := tx.Get([]byte{1}); return err },
		"Put":    func(tx kv.Tx, i int) error { return tx.Put([]byte{byte(i + 1)}, nil) },
		"Delete": func(tx kv.Tx, i int) error { return tx.Delete([]byte{byte(i + 1)}) },
		"Scan":   func(tx kv.Tx, i int) error { _, err := scan(tx, []byte{1}, []byte{2}, false); return err },
	} {
		must(t, ops(kv.MaxOps-1, op))
		must(t, ops(kv.MaxOps, op))
		if err := ops(kv.MaxOps+1, op); !errors.Is(err, kv.ErrTooLarge) {
			t.Errorf("%s, one too many: %v", name, err)
		}
	}
	must(t, s.View(ctx(t), func(tx kv.Tx) error { // a View is not bounded
		for range kv.MaxOps + 1 {
			if _, err := tx.Get([]byte{1}); err != nil && !errors.Is(err, kv.ErrNotFound) {
				return err
			}
		}
		return nil
	}))

	big := bytes.Repeat([]byte("v"), kv.MaxTxBytes/2-1)
	for extra, target := range []error{nil, kv.ErrTooLarge} {
		err := update(func(tx kv.Tx) error {
			if err := tx.Put([]byte("1"), big); err != nil {
				return err
			}
			if err := tx.Put([]byte("2"), big); err != nil { // in full now
				return err
			}
			if err := tx.Put([]byte("2"), big); err != nil { // again: counts once
				return err
			}
			if extra > 0 {
				return tx.Delete([]byte("3"))
			}
			return nil
		})
		if !errors.Is(err, target) {
			t.Errorf("%d bytes beyond MaxTxBytes: %v", extra, err)
		}
	}

	for i := 0; i < kv.MaxUpdateScan+1; i += 100 {
		must(t, update(func(tx kv.Tx) error {
			for j := i; j < min(i+100, kv.MaxUpdateScan+1); j++ {
				if err := tx.Put(fmt.Appendf(nil, "scan/%05d", j), nil); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for _, reverse := range []bool{false, true} {
		count := func(tx kv.Tx, n int) (int, error) {
			rows, err := scan(tx, []byte("scan/"), fmt.Appendf(nil, "scan/%05d", n), reverse)
			return len(rows), err
		}
		must(t, update(func(tx kv.Tx) error {
			n, err := count(tx, kv.MaxUpdateScan)
			if n != kv.MaxUpdateScan {
				t.Errorf("%d rows at the limit", n)
			}
			return err
		}))
		want(t, update(func(tx kv.Tx) error {
			n, err := count(tx, kv.MaxUpdateScan+1)
			if n != kv.MaxUpdateScan {
				t.Errorf("%d rows beyond the limit", n)
			}
			return err
		}), kv.ErrTooLarge)
		must(t, s.View(ctx(t), func(tx kv.Tx) error {
			n, err := count(tx, kv.MaxUpdateScan+1)
			if n != kv.MaxUpdateScan+1 {
				t.Errorf("%d rows in View", n)
			}
			return err
		}))
	}
}

func readOnly(t *testing.T, s kv.Store) {
	must(t, s.View(ctx(t), func(tx kv.Tx) error {
		want(t, tx.Put([]byte("a"), nil), kv.ErrReadOnly)
		want(t, tx.Delete([]byte("a")), kv.ErrReadOnly)
		return nil
	}))
}

func scanEdges(t *testing.T, s kv.Store) {
	put(t, s, "b", "1", "c", "2", "d", "3", "f", "4")
	type scanCase struct {
		start, end []byte
		want       []string
	}
	run := func(f func(func(kv.Tx) error) error, cases ...scanCase) {
		t.Helper()
		must(t, f(func(tx kv.Tx) error {
			for _, c := range cases {
				for _, reverse := range []bool{false, true} {
					w := slices.Clone(c.want)
					if reverse {
						slices.Reverse(w)
					}
					rows, err := scan(tx, c.start, c.end, reverse)
					if err != nil || !slices.Equal(rows, w) {
						t.Errorf("Scan(%q, %q, %v) = %q, %v; want %q", c.start, c.end, reverse, rows, err, w)
					}
				}
			}
			return nil
		}))
	}
	view := func(f func(kv.Tx) error) error { return s.View(ctx(t), f) }
	b := func(s string) []byte { return []byte(s) }
	all := []string{"b=1", "c=2", "d=3", "f=4"}
	run(view,
		scanCase{nil, nil, all},
		scanCase{b(""), nil, all},
		scanCase{b("b"), b("f"), all[:3]},
		scanCase{b("b"), b("f\x00"), all},
		scanCase{b("b\x00"), b("d"), all[1:2]},
		scanCase{b("e"), b("f"), nil},
		scanCase{b("c"), b("c"), nil},
		scanCase{b("d"), b("b"), nil},
		scanCase{nil, b(""), nil},
		scanCase{b("g"), nil, nil},
		scanCase{nil, b("b"), nil})

	over := errors.New("over")
	err := s.Update(ctx(t), func(tx kv.Tx) error {
		must(t, tx.Put(b("a"), b("new")))
		must(t, tx.Delete(b("c")))
		must(t, tx.Put(b("d"), b("changed")))
		must(t, tx.Put(b("e"), b("new")))
		must(t, tx.Delete(b("absent")))
		must(t, tx.Put(b("z"), b("new")))
		must(t, tx.Delete(b("z")))
		run(func(f func(kv.Tx) error) error { return f(tx) },
			scanCase{nil, nil, []string{"a=new", "b=1", "d=changed", "e=new", "f=4"}},
			scanCase{b("c"), b("e"), []string{"d=changed"}},
			scanCase{b("d\x00"), b("f"), []string{"e=new"}},
			scanCase{b("c"), b("d"), nil})
		// Writes made after the call are not seen by it.
		seq := tx.Scan(b("d"), nil, false)
		var rows []string
		for row, err := range seq {
			must(t, err)
			rows = append(rows, string(row.Key))
			must(t, tx.Put(append(bytes.Clone(row.Key), 'x'), nil))
			must(t, tx.Delete(b("f")))
		}
		if want := []string{"d", "e", "f"}; !slices.Equal(rows, want) {
			t.Errorf("rows %q while writing, want %q", rows, want)
		}
		return over
	})
	want(t, err, over)
	must(t, s.View(ctx(t), func(tx kv.Tx) error { // slices stay good to the end
		var keep []kv.Row
		for row, err := range tx.Scan(nil, nil, false) {
			must(t, err)
			keep = append(keep, row)
		}
		v, _ := tx.Get(b("f"))
		for i, row := range keep {
			if got := string(row.Key) + "=" + string(row.Value); got != all[i] {
				t.Errorf("row %d is %q after the scan", i, got)
			}
		}
		if string(v) != "4" {
			t.Errorf("value %q", v)
		}
		return nil
	}))
}

// scanModel compares scans with a sorted slice, on random overlays.
func scanModel(t *testing.T, s kv.Store) {
	r := rand.New(rand.NewPCG(7, 7))
	model := map[string]string{}
	undo := errors.New("undo")
	for round := range rounds(200) {
		next := map[string]string{}
		for k, v := range model {
			next[k] = v
		}
		commit := r.IntN(2) == 0
		err := s.Update(ctx(t), func(tx kv.Tx) error {
			for range r.IntN(20) {
				k := fmt.Sprintf("%02d", r.IntN(40))
				if r.IntN(3) == 0 {
					delete(next, k)
					must(t, tx.Delete([]byte(k)))
				} else {
					next[k] = fmt.Sprint(round)
					must(t, tx.Put([]byte(k), []byte(next[k])))
				}
			}
			for range 5 {
				lo, hi, reverse, stop := fmt.Sprintf("%02d", r.IntN(41)), fmt.Sprintf("%02d", r.IntN(41)), r.IntN(2) == 0, r.IntN(50)
				var want, got []string
				for k, v := range next {
					if lo <= k && k < hi {
						want = append(want, k+"="+v)
					}
				}
				slices.Sort(want)
				if reverse {
					slices.Reverse(want)
				}
				want = want[:min(stop, len(want))]
				if stop > 0 {
					for row, err := range tx.Scan([]byte(lo), []byte(hi), reverse) {
						must(t, err)
						got = append(got, string(row.Key)+"="+string(row.Value))
						if len(got) == stop {
							break
						}
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("Scan(%s, %s, %v) = %q, want %q", lo, hi, reverse, got, want)
				}
			}
			if !commit {
				return undo
			}
			return nil
		})
		if commit {
			must(t, err)
			model = next
		} else {
			want(t, err, undo)
		}
	}
}

func versionsAndHooks(t *testing.T, s kv.Store) {
	type commit struct {
		version uint64
		keys    []string
	}
	var mu sync.Mutex
	var commits []commit
	var newest atomic.Uint64
	s.OnCommit(func(v uint64, keys [][]byte) {
		c := commit{version: v}
		for _, k := range keys {
			c.keys = append(c.keys, string(k))
		}
		mu.Lock()
		commits = append(commits, c)
		mu.Unlock()
		newest.Store(v)
	})
	put(t, s, "b", "1", "a", "2")
	must(t, s.Update(ctx(t), func(tx kv.Tx) error { return tx.Delete([]byte("a")) }))
	must(t, s.Update(ctx(t), func(tx kv.Tx) error { get(tx, "b"); return nil })) // writes nothing
	_ = s.Update(ctx(t), func(tx kv.Tx) error { must(t, tx.Put([]byte("a"), nil)); return errDiscard })
	if len(commits) != 2 || !slices.Equal(commits[0].keys, []string{"a", "b"}) || !slices.Equal(commits[1].keys, []string{"a"}) {
		t.Fatalf("hooks saw %v", commits)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for range rounds(100) {
				var before uint64
				err := s.Update(context.Background(), func(tx kv.Tx) error {
					before = tx.Version()
					return tx.Put([]byte{'w', byte('0' + w)}, nil)
				})
				if err != nil {
					t.Error(err)
				}
				err = s.View(context.Background(), func(tx kv.Tx) error {
					v := tx.Version()
					if v <= before {
						t.Errorf("View at %d after a commit begun at %d", v, before)
					}
					// The hook of a commit has run before anyone sees it.
					if n := newest.Load(); n < v {
						t.Errorf("View at %d, hooks are at %d", v, n)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := 1; i < len(commits); i++ {
		if commits[i].version <= commits[i-1].version {
			t.Fatalf("hooks out of order: %d after %d", commits[i].version, commits[i-1].version)
		}
	}
}

func observeConflicts(t *testing.T, s kv.Store) {
	put(t, s, "a", "1")
	for _, test := range []struct {
		write string
		runs  int
	}{{"a", 2}, {"elsewhere", 1}} {
		runs := between(t, s,
			func(tx kv.Tx) error { tx.Observe([]byte("a"), tx.Version()); return nil },
			func() { put(t, s, test.write, "2") },
			func(tx kv.Tx) error { return tx.Put([]byte("b"), nil) })
		if runs != test.runs {
			t.Errorf("observed a, %s written: %d runs, want %d", test.write, runs, test.runs)
		}
	}
}

// observeMoved: who has been told a version and then reads must read at that
// version, in View as in Update.
func observeMoved(t *testing.T, s kv.Store) {
	put(t, s, "a", "0", "b", "0")
	for name, tell := range map[string]func(kv.Tx){
		"Version": func(tx kv.Tx) { tx.Version() },
		"Observe": func(tx kv.Tx) { tx.Observe([]byte("a"), tx.Version()) },
	} {
		for kind, run := range map[string]func(context.Context, func(kv.Tx) error) error{"View": s.View, "Update": s.Update} {
			runs, told, read := 0, uint64(0), ""
			must(t, run(ctx(t), func(tx kv.Tx) error {
				runs++
				tell(tx)
				told = tx.Version()
				if runs == 1 {
					put(t, s, "b", name+kind)
				}
				v, err := tx.Get([]byte("b"))
				read = string(v)
				if err == nil && tx.Version() != told {
					t.Errorf("%s, %s: version moved from %d to %d", name, kind, told, tx.Version())
				}
				return nil // the error overlooked on purpose
			}))
			if read != name+kind {
				t.Errorf("%s, %s: %d runs, read %q", name, kind, runs, read)
			}
		}
	}
}

// cacheModel keeps a cache as package table does: an entry filled by a
// transaction that saw version v serves every transaction that sees v or
// later, until a commit of the key drops it. Two rows written together must
// always be seen equal, whichever mix of cache and store they come from.
func cacheModel(t *testing.T, s kv.Store) {
	type entry struct {
		value   string
		version uint64
	}
	var mu sync.Mutex
	cache, dropped := map[string]entry{}, map[string]uint64{}
	s.OnCommit(func(version uint64, keys [][]byte) {
		mu.Lock()
		defer mu.Unlock()
		for _, k := range keys {
			delete(cache, string(k))
			dropped[string(k)] = version
		}
	})
	var hits, misses atomic.Int64
	read := func(tx kv.Tx, key string) (string, error) {
		mu.Lock()
		e, ok := cache[key]
		mu.Unlock()
		if ok && e.version <= tx.Version() {
			hits.Add(1)
			tx.Observe([]byte(key), e.version)
			return e.value, nil
		}
		misses.Add(1)
		v, err := tx.Get([]byte(key))
		if err != nil {
			return "", err
		}
		mu.Lock()
		defer mu.Unlock()
		if version := tx.Version(); dropped[key] <= version {
			cache[key] = entry{string(v), version}
		}
		return string(v), nil
	}
	put(t, s, "x", "0", "y", "0", "n", "0")
	var wg sync.WaitGroup
	for w := range 6 {
		r := rand.New(rand.NewPCG(uint64(w), 3))
		wg.Go(func() {
			for range rounds(400) {
				var x, y string
				f := func(tx kv.Tx) (err error) {
					if x, err = read(tx, "x"); err != nil {
						return err
					}
					y, err = read(tx, "y")
					return err
				}
				var err error
				if r.IntN(4) == 0 {
					err = s.Update(context.Background(), func(tx kv.Tx) error {
						if err := f(tx); err != nil {
							return err
						}
						next := fmt.Appendf(nil, "%s%d", x[max(0, len(x)-8):], w)
						if err := tx.Put([]byte("x"), next); err != nil {
							return err
						}
						return tx.Put([]byte("y"), next)
					})
				} else {
					err = s.View(context.Background(), f)
				}
				if err != nil {
					t.Error(err)
				}
				if x != y {
					t.Errorf("x = %q, y = %q in one transaction", x, y)
				}
			}
		})
	}
	wg.Wait()
	if hits.Load() == 0 || misses.Load() == 0 {
		t.Errorf("%d hits, %d misses: this tests nothing", hits.Load(), misses.Load())
	}
}

func contexts(t *testing.T, s kv.Store) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	nothing := func(kv.Tx) error { t.Error("the closure ran"); return nil }
	want(t, s.View(gone, nothing), context.Canceled)
	want(t, s.Update(gone, nothing), context.Canceled)

	// Cancelled while it keeps losing: ErrConflict, and nothing written.
	c, cancel := context.WithCancel(context.Background())
	runs := 0
	err := s.Update(c, func(tx kv.Tx) error {
		runs++
		get(tx, "n")
		if runs < 3 {
			put(t, s, "n", fmt.Sprint(runs))
		} else {
			cancel()
			put(t, s, "n", "3")
		}
		return tx.Put([]byte("lost"), nil)
	})
	want(t, err, kv.ErrConflict)
	want(t, err, context.Canceled)
	must(t, s.View(ctx(t), func(tx kv.Tx) error {
		if get(tx, "lost") != "-" {
			t.Error("a cancelled Update wrote")
		}
		return nil
	}))
}

func panics(t *testing.T, s kv.Store) {
	for _, run := range []func(context.Context, func(kv.Tx) error) error{s.View, s.Update} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = run(ctx(t), func(tx kv.Tx) error { get(tx, "a"); panic("closure") })
		}()
	}
	put(t, s, "a", "1") // nothing is left locked
}

func closes(t *testing.T, s kv.Store) {
	put(t, s, "a", "1")
	inside, done := make(chan struct{}), make(chan error)
	var finished atomic.Bool
	go func() {
		done <- s.View(context.Background(), func(tx kv.Tx) error {
			get(tx, "a")
			close(inside)
			// Close has begun when others are refused; this one goes on.
			for s.View(context.Background(), func(kv.Tx) error { return nil }) == nil {
			}
			if got := get(tx, "a"); got != "1" {
				t.Errorf("a = %q while closing", got)
			}
			finished.Store(true)
			return nil
		})
	}()
	<-inside
	must(t, s.Close())
	if !finished.Load() {
		t.Error("Close did not wait for a View under way")
	}
	must(t, <-done)
	want(t, s.View(ctx(t), func(kv.Tx) error { return nil }), kv.ErrClosed)
	want(t, s.Update(ctx(t), func(kv.Tx) error { return nil }), kv.ErrClosed)
	must(t, s.Close())
}
