package occ

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"coffer/internal/kv"
)

// errLate ends a run whose snapshot came too late. View and Update run the
// closure again, so it is seen only inside a closure.
var errLate = fmt.Errorf("%w: the store moved on, the transaction runs again", kv.ErrConflict)

var errDone = errors.New("kv: transaction used after its closure returned")

// tx is one transaction. It is pooled: with the arena kept, a Get of a small
// row allocates nothing here.
type tx struct {
	s       *Store
	update  bool
	live    bool
	told    bool   // the closure knows version
	late    bool   // it must run again with the snapshot taken first
	started bool   // registered in the log at start
	start   uint64 // an Update's version when it began
	version uint64 // what it sees: start, or newer if the snapshot is
	wait    uint64 // must be durable before the outcome is told
	ops     int
	bytes   int
	snap    *snapshot
	refused error
	writes  []Write // sorted by key
	reads   [][]byte
	ranges  []span
	arena   Arena

	committed func(uint64) // set by the closure
}

var pool = sync.Pool{New: func() any { return new(tx) }}

func getTx(s *Store, update bool) *tx {
	t := pool.Get().(*tx)
	t.s, t.update = s, update
	return t
}

func (t *tx) free() {
	t.end()
	t.s = nil
	pool.Put(t)
}

// begin starts a run of the closure. A View's snapshot taken before stays.
func (t *tx) begin() {
	t.live, t.wait = true, 0
	if t.update {
		t.start = t.s.log.register(&t.s.version)
		t.version, t.started = t.start, true
	} else if t.snap == nil {
		t.version = t.s.version.Load()
	}
}

// Committed implements kv.Tx.
func (t *tx) Committed(f func(uint64)) { t.committed = f }

// end ends a run; wait stays for the caller.
func (t *tx) end() {
	if t.started {
		t.started = false
		t.s.log.unregister(t.start)
	}
	t.reset()
}

func (t *tx) reset() {
	t.live, t.told, t.late = false, false, false
	t.ops, t.bytes, t.refused = 0, 0, nil
	t.committed = nil
	t.snap.release()
	t.snap = nil
	clear(t.writes)
	clear(t.reads)
	clear(t.ranges)
	t.writes, t.reads, t.ranges = t.writes[:0], t.reads[:0], t.ranges[:0]
	t.arena.buf = t.arena.buf[:0]
}

func (t *tx) takeSnapshot() error {
	n, err := t.s.acquire()
	if err != nil {
		return err
	}
	// An Update stays registered at start, which is older: the log only
	// reaches back further than it must.
	t.snap, t.version = n, n.version
	return nil
}

// reading makes sure that there is a snapshot.
func (t *tx) reading() error {
	switch {
	case !t.live:
		return errDone
	case t.late:
		return errLate
	case t.snap != nil:
		return nil
	}
	n, err := t.s.acquire()
	if err != nil {
		return err
	}
	if t.told && n.version != t.version {
		n.release()
		t.late = true
		return errLate
	}
	t.snap, t.version = n, n.version
	return nil
}

func (t *tx) op() error {
	if !t.live {
		return errDone
	}
	if !t.update {
		return nil
	}
	if t.ops++; t.ops > kv.MaxOps {
		return t.refuse(fmt.Errorf("%w: more than %d operations in one transaction", kv.ErrTooLarge, kv.MaxOps))
	}
	return nil
}

func (t *tx) refuse(err error) error {
	if t.update && t.refused == nil {
		t.refused = err
	}
	return err
}

func (t *tx) checkKey(key []byte) error {
	if len(key) < 1 || len(key) > kv.MaxKey {
		return t.refuse(fmt.Errorf("%w: key of %d bytes, not 1 to %d", kv.ErrTooLarge, len(key), kv.MaxKey))
	}
	return nil
}

// Get implements kv.Tx.
func (t *tx) Get(key []byte) ([]byte, error) {
	if err := t.op(); err != nil {
		return nil, err
	}
	if err := t.checkKey(key); err != nil {
		return nil, err
	}
	if len(t.writes) > 0 {
		if i, ok := slices.BinarySearchFunc(t.writes, key, compareKey); ok {
			if t.writes[i].Delete {
				return nil, kv.ErrNotFound
			}
			return t.writes[i].Value, nil
		}
	}
	if err := t.reading(); err != nil {
		return nil, err
	}
	if t.update {
		t.reads = append(t.reads, t.arena.Copy(key))
	}
	if d := t.s.durable.Load(); t.version > d || t.s.Err() != nil {
		if v := t.s.log.unsynced(key, t.version); v > d {
			t.wait = max(t.wait, v)
		}
	}
	return t.snap.Get(key, &t.arena)
}

// Put implements kv.Tx.
func (t *tx) Put(key, value []byte) error {
	if len(value) > kv.MaxValue {
		return t.refuse(fmt.Errorf("%w: value of %d bytes, more than %d", kv.ErrTooLarge, len(value), kv.MaxValue))
	}
	return t.write(Write{Key: key, Value: value})
}

// Delete implements kv.Tx.
func (t *tx) Delete(key []byte) error { return t.write(Write{Key: key, Delete: true}) }

func (t *tx) write(w Write) error {
	if t.live && !t.update {
		return kv.ErrReadOnly
	}
	if err := t.op(); err != nil {
		return err
	}
	if err := t.checkKey(w.Key); err != nil {
		return err
	}
	i, ok := slices.BinarySearchFunc(t.writes, w.Key, compareKey)
	grow := len(w.Key) + len(w.Value)
	if ok {
		grow -= len(t.writes[i].Key) + len(t.writes[i].Value)
	}
	if t.bytes+grow > kv.MaxTxBytes {
		return t.refuse(fmt.Errorf("%w: more than %d bytes written in one transaction", kv.ErrTooLarge, kv.MaxTxBytes))
	}
	t.bytes += grow
	if ok {
		t.writes[i] = w
	} else {
		t.writes = slices.Insert(t.writes, i, w)
	}
	return nil
}

// Version implements kv.Tx.
func (t *tx) Version() uint64 {
	t.told = true
	return t.version
}

// Observe implements kv.Tx.
func (t *tx) Observe(key []byte, version uint64) {
	if !t.live {
		return
	}
	t.told = true
	if t.update {
		t.reads = append(t.reads, t.arena.Copy(key))
	}
	if d := t.s.durable.Load(); version > d {
		if v := t.s.log.unsynced(key, version); v > d {
			t.wait = max(t.wait, v)
		}
	}
}

// Scan implements kv.Tx.
func (t *tx) Scan(start, end []byte, reverse bool) iter.Seq2[kv.Row, error] {
	if err := t.op(); err != nil {
		return failed(err)
	}
	// "The transaction's own writes made before the call": a copy, since the
	// loop's body may write.
	var own []Write
	if len(t.writes) > 0 {
		lo, _ := slices.BinarySearchFunc(t.writes, start, compareKey)
		hi := len(t.writes)
		if end != nil {
			hi, _ = slices.BinarySearchFunc(t.writes, end, compareKey)
		}
		if lo < hi {
			own = slices.Clone(t.writes[lo:hi])
			if reverse {
				slices.Reverse(own)
			}
		}
	}
	start = t.arena.Copy(start)
	if end != nil {
		end = t.arena.Copy(end)
		if len(end) == 0 {
			end = []byte{}
		}
	}
	return func(yield func(kv.Row, error) bool) {
		if end != nil && bytes.Compare(start, end) >= 0 {
			return
		}
		if err := t.reading(); err != nil {
			yield(kv.Row{}, err)
			return
		}
		visited := span{start: start, end: end}
		defer func() {
			if t.live {
				t.visited(visited)
			}
		}()
		c, err := t.snap.Scan(start, end, reverse, &t.arena)
		if err != nil {
			yield(kv.Row{}, err)
			return
		}
		defer c.Close()
		row, err := c.Next()
		rows, own := 0, own
		for {
			if err != nil {
				yield(kv.Row{}, err)
				return
			}
			if row.Key == nil && len(own) == 0 {
				return
			}
			if rows++; t.update && rows > kv.MaxUpdateScan {
				yield(kv.Row{}, t.refuse(fmt.Errorf("%w: a scan of more than %d rows in one transaction", kv.ErrTooLarge, kv.MaxUpdateScan)))
				return
			}
			out, hidden := row, false
			switch order := pick(row.Key, own, reverse); {
			case order < 0:
				row, err = c.Next()
			default:
				out, hidden = kv.Row{Key: own[0].Key, Value: own[0].Value}, own[0].Delete
				own = own[1:]
				if order == 0 {
					row, err = c.Next()
				}
			}
			if hidden {
				continue
			}
			if !yield(out, nil) {
				if reverse {
					visited.start = t.arena.Copy(out.Key)
				} else {
					visited.end, visited.closed = t.arena.Copy(out.Key), true
				}
				return
			}
			if !t.live {
				yield(kv.Row{}, errDone)
				return
			}
		}
	}
}

// pick says whether the stored row comes first (<0), the own write (>0), or
// both are for one key (0), where the own write hides the stored row.
func pick(stored []byte, own []Write, reverse bool) int {
	switch {
	case len(own) == 0:
		return -1
	case stored == nil:
		return 1
	}
	c := bytes.Compare(stored, own[0].Key)
	if reverse {
		return -c
	}
	return c
}

func (t *tx) visited(r span) {
	if t.update {
		t.ranges = append(t.ranges, r)
	}
	if d := t.s.durable.Load(); t.version > d || t.s.Err() != nil {
		t.wait = max(t.wait, t.s.log.unsyncedRange(r, d, t.version))
	}
}

func failed(err error) iter.Seq2[kv.Row, error] {
	return func(yield func(kv.Row, error) bool) { yield(kv.Row{}, err) }
}
