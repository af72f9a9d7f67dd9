// Package occ is the transaction half of a driver: it turns an [Engine], a
// single-writer ordered map with snapshots, into a [kv.Store].
//
// The drivers share it so that versions, validation, limits, hooks and errors
// are the same in all of them by construction and not by care.
//
// # How a commit goes
//
//	closure runs on a snapshot, its writes gather in an overlay
//	lock commit
//	  was any key or range it read written after its start?  -> run again
//	  engine.Apply(version)     in the engine's order, not yet synced
//	  OnCommit hooks            caches drop what changed
//	  publish version           from here transactions can see it
//	unlock
//	wait for the sync           shared with everyone else who waits
//	durable = max(durable, version)
//
// Validation looks in the log of recent commits, kept in memory back to the
// start of the oldest Update under way (and to the last durable commit). When
// that log grows past its bound the oldest entries go, and an Update older
// than them is run again: it can no longer prove itself.
//
// A transaction starts without a snapshot, because most reads are answered
// from caches: version is one atomic load. The first Get or Scan takes the
// snapshot. If the store has moved on by then and the closure has already been
// told the old version (by Version or Observe), the closure runs again with
// the snapshot taken first; a closure that was told nothing just sees the
// newer version.
//
// # What it does not promise
//
// A transaction inside another one's closure works, except an Update inside
// an Update: after several lost attempts the outer one runs under the commit
// lock, and the inner one would wait for it.
package occ

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"coffer/internal/kv"
)

// Engine is what a driver implements. Store calls Snapshot, Apply and Close
// one at a time.
type Engine interface {
	// Snapshot returns a snapshot of everything applied.
	Snapshot() (Snapshot, error)

	// Apply applies writes, sorted by key, atomically. They are seen by the
	// snapshots that follow. It returns what to wait on for stable storage,
	// nil if there is nothing to wait for. durable is a version known to be
	// on stable storage. An error stops the store for good.
	Apply(version, durable uint64, writes []Write) (Pending, error)

	// Close releases the engine. cause is not nil if the store has stopped.
	Close(cause error) error
}

// Pending is an applied commit that is not yet known to be durable.
type Pending interface {
	// SyncWait returns when the commit and all commits applied before it are
	// on stable storage.
	SyncWait() error
	// Close releases it, after SyncWait.
	Close() error
}

// Snapshot is an unchanging state of the store, for concurrent use.
type Snapshot interface {
	// Get returns the value of key or kv.ErrNotFound. The value may live in
	// the arena, never in memory that the engine uses again.
	Get(key []byte, a *Arena) ([]byte, error)
	// Scan returns a cursor over start <= key < end, end nil for no bound.
	Scan(start, end []byte, reverse bool, a *Arena) (Cursor, error)
	Close() error
}

// Cursor walks rows in the order of its Scan.
type Cursor interface {
	// Next returns the next row, or one with a nil key at the end.
	Next() (kv.Row, error)
	Close() error
}

// Write is one change of a commit.
type Write struct {
	Key, Value []byte
	Delete     bool
}

// Arena hands out bytes that live until the transaction ends. Full chunks are
// left to the garbage collector, so a long scan whose rows are not kept costs
// one chunk.
type Arena struct{ buf []byte }

const arenaChunk = 8 << 10

// Alloc returns n bytes to write to.
func (a *Arena) Alloc(n int) []byte {
	if n > arenaChunk/4 {
		return make([]byte, n)
	}
	if cap(a.buf)-len(a.buf) < n {
		a.buf = make([]byte, 0, arenaChunk)
	}
	l := len(a.buf)
	a.buf = a.buf[:l+n]
	return a.buf[l : l+n : l+n]
}

// Copy returns a copy of b.
func (a *Arena) Copy(b []byte) []byte {
	c := a.Alloc(len(b))
	copy(c, b)
	return c
}

// firstVersion is what a transaction sees before any commit; 0 stays free for
// callers to mean nothing.
const firstVersion = 1

// maxLogKeys bounds the log of recent commits.
const maxLogKeys = 1 << 17

// attempts is how often an Update is tried against others before it takes the
// commit lock for its whole run.
const attempts = 6

// Stats counts since Open.
type Stats struct {
	Version, Durable uint64
	Commits          uint64 // commits with writes
	Conflicts        uint64 // commits refused because another changed what they read
	Reruns           uint64 // closures run again, for a conflict or a snapshot that came late
	Exclusive        uint64 // Updates that ended up under the commit lock
}

// Store implements kv.Store on an Engine.
type Store struct {
	engine Engine

	version atomic.Uint64 // newest published commit
	durable atomic.Uint64 // newest commit on stable storage

	commit  chan struct{} // holds a token while a commit is decided and applied
	applyMu sync.Mutex    // held from Apply to publish: outside it, the engine is exactly at version
	hooks   []func(uint64, [][]byte)
	keys    [][]byte // scratch for hooks, under commit

	snapMu sync.Mutex
	snap   *snapshot // the newest version's, shared by the transactions that read at it

	log log

	waitMu  sync.Mutex
	waiters chan struct{} // closed when durable moves; nil if nobody waits

	stopOnce sync.Once
	stop     chan struct{} // closed when the store is stopped by a failed write
	cause    error         // why, set before stop is closed

	closed atomic.Bool
	active atomic.Int64
	idle   chan struct{}

	commits, conflicts, reruns, exclusive atomic.Uint64
}

var _ kv.Store = (*Store)(nil)

// New returns a store on e.
func New(e Engine) *Store {
	s := &Store{
		engine: e,
		commit: make(chan struct{}, 1),
		stop:   make(chan struct{}),
		idle:   make(chan struct{}, 1),
	}
	s.version.Store(firstVersion)
	s.durable.Store(firstVersion)
	s.log.init(firstVersion)
	return s
}

// Stop poisons the store: this and every later Update fails with cause.
func (s *Store) Stop(cause error) {
	s.stopOnce.Do(func() {
		s.cause = fmt.Errorf("kv: writing has stopped until a restart: %w", cause)
		close(s.stop)
	})
}

// Stopped is closed when the store has been stopped.
func (s *Store) Stopped() <-chan struct{} { return s.stop }

// Err returns why the store has stopped, or nil.
func (s *Store) Err() error {
	select {
	case <-s.stop:
		return s.cause
	default:
		return nil
	}
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	return Stats{
		Version: s.version.Load(), Durable: s.durable.Load(),
		Commits: s.commits.Load(), Conflicts: s.conflicts.Load(),
		Reruns: s.reruns.Load(), Exclusive: s.exclusive.Load(),
	}
}

// OnCommit implements kv.Store.
func (s *Store) OnCommit(f func(uint64, [][]byte)) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	s.hooks = append(s.hooks, f)
}

// Enter counts a caller in, so that Close waits for it; ErrClosed after Close.
func (s *Store) Enter() error {
	s.active.Add(1)
	if s.closed.Load() {
		s.Leave()
		return kv.ErrClosed
	}
	return nil
}

// Leave ends what Enter began.
func (s *Store) Leave() {
	if s.active.Add(-1) == 0 && s.closed.Load() {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}

// Close implements kv.Store. A second Close does nothing.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	for s.active.Load() != 0 {
		<-s.idle
	}
	s.snapMu.Lock()
	old := s.snap
	s.snap = nil
	s.snapMu.Unlock()
	err := old.release()
	return errors.Join(err, s.engine.Close(s.Err()))
}

// View implements kv.Store.
func (s *Store) View(ctx context.Context, f func(kv.Tx) error) error {
	if err := s.Enter(); err != nil {
		return err
	}
	defer s.Leave()
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	t := getTx(s, false)
	defer t.free()
	for {
		t.begin()
		err := f(t)
		if t.late {
			// It saw one version and reads another: nothing it returned counts.
			s.reruns.Add(1)
			t.reset()
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			if err := t.takeSnapshot(); err != nil {
				return err
			}
			continue
		}
		if t.wait > s.durable.Load() {
			// Even a refusal tells what was read, so an error waits too.
			if werr := s.awaitDurable(ctx, t.wait); werr != nil {
				return werr
			}
		}
		return err
	}
}

// Update implements kv.Store.
func (s *Store) Update(ctx context.Context, f func(kv.Tx) error) error {
	if err := s.Enter(); err != nil {
		return err
	}
	defer s.Leave()
	t := getTx(s, true)
	defer t.free()
	conflicts, late := 0, 0
	for {
		if err := s.Err(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			if conflicts > 0 {
				return fmt.Errorf("%w: %w", kv.ErrConflict, context.Cause(ctx))
			}
			return context.Cause(ctx)
		}
		exclusive := conflicts >= attempts || late >= attempts
		pending, version, again, err := t.attempt(ctx, f, exclusive, late > 0)
		switch {
		case again == againLate:
			late++
			s.reruns.Add(1)
			continue
		case again == againConflict:
			conflicts++
			s.reruns.Add(1)
			s.conflicts.Add(1)
			// The first retry is at once: the winner is gone by now. After
			// that each waits a little, at random, so that equals part.
			if conflicts > 1 {
				backoff(ctx, s.stop, conflicts)
			}
			continue
		case pending == nil:
			// Read only, failed, or durable at once.
			if version > 0 {
				s.publishDurable(version)
			} else if t.wait > s.durable.Load() {
				if werr := s.awaitDurable(ctx, t.wait); werr != nil {
					return werr
				}
			}
			return err
		}
		if err := pending.SyncWait(); err != nil {
			s.Stop(err)
			return s.Err()
		}
		s.publishDurable(version)
		pending.Close()
		return nil
	}
}

func backoff(ctx context.Context, stop <-chan struct{}, n int) {
	max := 20 * time.Microsecond << n
	timer := time.NewTimer(rand.N(max) + max/8)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-stop:
	}
}

const (
	againNo = iota
	againLate
	againConflict
)

// attempt runs f once and tries to commit.
func (t *tx) attempt(ctx context.Context, f func(kv.Tx) error, exclusive, eager bool) (p Pending, version uint64, again int, err error) {
	s := t.s
	if exclusive {
		if err := s.lockCommit(ctx); err != nil {
			return nil, 0, againNo, err
		}
		defer s.unlockCommit()
		s.exclusive.Add(1)
	}
	t.begin()
	defer t.end()
	if eager {
		if err := t.takeSnapshot(); err != nil {
			return nil, 0, againNo, err
		}
	}
	err = f(t)
	switch {
	case t.late:
		return nil, 0, againLate, nil
	case err != nil:
		return nil, 0, againNo, err
	case t.refused != nil:
		// A closure that overlooks a refused Put must not commit the rest.
		return nil, 0, againNo, t.refused
	case len(t.writes) == 0:
		return nil, 0, againNo, nil
	}
	if !exclusive {
		if err := s.lockCommit(ctx); err != nil {
			return nil, 0, againNo, err
		}
		defer s.unlockCommit()
	}
	if err := s.Err(); err != nil {
		return nil, 0, againNo, err
	}
	if s.log.changed(t) {
		return nil, 0, againConflict, nil
	}
	p, version, err = s.apply(t.writes, t.committed)
	return p, version, againNo, err
}

func (s *Store) lockCommit(ctx context.Context) error {
	select {
	case s.commit <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.commit <- struct{}{}:
		return nil
	case <-s.stop:
		return s.cause
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", kv.ErrConflict, context.Cause(ctx))
	}
}

func (s *Store) unlockCommit() { <-s.commit }

func (s *Store) apply(writes []Write, committed func(uint64)) (Pending, uint64, error) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	version := s.version.Load() + 1
	p, err := s.engine.Apply(version, s.durable.Load(), writes)
	if err != nil {
		s.Stop(err)
		s.log.addUnknown(version, s.durable.Load(), writes)
		return nil, 0, s.Err()
	}
	s.log.add(version, s.durable.Load(), writes)
	if len(s.hooks) > 0 {
		s.keys = s.keys[:0]
		for _, w := range writes {
			s.keys = append(s.keys, w.Key)
		}
		for _, h := range s.hooks {
			h(version, s.keys)
		}
		clear(s.keys)
	}
	if committed != nil {
		committed(version)
	}
	s.version.Store(version)
	s.snapMu.Lock()
	old := s.snap
	s.snap = nil
	s.snapMu.Unlock()
	old.release()
	s.commits.Add(1)
	return p, version, nil
}

func (s *Store) publishDurable(v uint64) {
	for {
		d := s.durable.Load()
		if d >= v {
			return
		}
		if s.durable.CompareAndSwap(d, v) {
			break
		}
	}
	s.waitMu.Lock()
	if s.waiters != nil {
		close(s.waiters)
		s.waiters = nil
	}
	s.waitMu.Unlock()
}

func (s *Store) awaitDurable(ctx context.Context, v uint64) error {
	for {
		s.waitMu.Lock()
		if s.durable.Load() >= v {
			s.waitMu.Unlock()
			return nil
		}
		if s.waiters == nil {
			s.waiters = make(chan struct{})
		}
		c := s.waiters
		s.waitMu.Unlock()
		select {
		case <-c:
		case <-s.stop:
			if s.durable.Load() >= v {
				return nil
			}
			return s.cause
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// snapshot is an engine snapshot shared by transactions.
type snapshot struct {
	Snapshot
	version uint64
	refs    atomic.Int64
}

func (n *snapshot) release() error {
	if n == nil || n.refs.Add(-1) != 0 {
		return nil
	}
	return n.Close()
}

func (s *Store) acquire() (*snapshot, error) {
	if n := s.cached(); n != nil {
		return n, nil
	}
	// Waits for the commit that is being applied, if any.
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if n := s.cached(); n != nil {
		return n, nil
	}
	e, err := s.engine.Snapshot()
	if err != nil {
		return nil, err
	}
	n := &snapshot{Snapshot: e, version: s.version.Load()}
	n.refs.Store(2) // the caller's and the store's
	s.snapMu.Lock()
	s.snap = n
	s.snapMu.Unlock()
	return n, nil
}

func (s *Store) cached() *snapshot {
	s.snapMu.Lock()
	defer s.snapMu.Unlock()
	if n := s.snap; n != nil && n.version == s.version.Load() {
		n.refs.Add(1)
		return n
	}
	return nil
}

// log is the recent commits: which version last wrote a key, and the keys of
// each commit in order, for ranges.
type log struct {
	mu      sync.Mutex
	floor   uint64 // commits up to this one are forgotten
	commits []logged
	head    int // commits[:head] are forgotten
	keys    int
	last    map[string]uint64
	unknown bool // the newest commit failed half way

	// Updates under way, in the order they began, which is version order.
	// starts[i] is a version and how many run from it.
	starts []starting
}

type logged struct {
	version uint64
	keys    []string
}

type starting struct {
	version uint64
	n       int
}

func (l *log) init(v uint64) {
	l.floor = v
	l.last = make(map[string]uint64)
}

// register notes that an Update starts at the version now.
func (l *log) register(version *atomic.Uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := version.Load()
	if n := len(l.starts); n > 0 && l.starts[n-1].version == v {
		l.starts[n-1].n++
	} else {
		l.starts = append(l.starts, starting{v, 1})
	}
	return v
}

func (l *log) unregister(v uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := slices.BinarySearchFunc(l.starts, v, func(s starting, v uint64) int { return cmp.Compare(s.version, v) })
	if !ok {
		panic("occ: unregister of an unknown start")
	}
	l.starts[i].n--
	i = 0
	for i < len(l.starts) && l.starts[i].n == 0 {
		i++
	}
	l.starts = slices.Delete(l.starts, 0, i)
}

func (l *log) add(version, durable uint64, writes []Write) {
	keys := make([]string, len(writes))
	for i, w := range writes {
		keys[i] = string(w.Key)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		l.last[k] = version
	}
	l.commits = append(l.commits, logged{version, keys})
	l.keys += len(keys)

	keep := durable
	if len(l.starts) > 0 {
		keep = min(keep, l.starts[0].version)
	}
	for l.head < len(l.commits) {
		c := &l.commits[l.head]
		// Entries that are not durable stay whatever their number: they tell
		// readers what to wait for.
		if c.version > keep && (l.keys <= maxLogKeys || c.version > durable) {
			break
		}
		for _, k := range c.keys {
			if l.last[k] == c.version {
				delete(l.last, k)
			}
		}
		l.keys -= len(c.keys)
		l.floor = c.version
		*c = logged{}
		l.head++
	}
	if l.head > 64 && l.head > len(l.commits)/2 {
		n := copy(l.commits, l.commits[l.head:])
		clear(l.commits[n:])
		l.commits, l.head = l.commits[:n], 0
	}
}

// addUnknown adds the commit that stopped the store. It may be in the engine
// or not, so whoever reads what it wrote is told of the failure.
func (l *log) addUnknown(version, durable uint64, writes []Write) {
	l.add(version, durable, writes)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unknown = true
}

// after returns the commits newer than v.
func (l *log) after(v uint64) []logged {
	live := l.commits[l.head:]
	i, _ := slices.BinarySearchFunc(live, v+1, func(c logged, v uint64) int { return cmp.Compare(c.version, v) })
	return live[i:]
}

// changed reports whether anything t read was written since it began.
func (l *log) changed(t *tx) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.version == t.s.version.Load() {
		return false
	}
	if t.version < l.floor {
		return len(t.reads) > 0 || len(t.ranges) > 0
	}
	for _, k := range t.reads {
		if l.last[string(k)] > t.version {
			return true
		}
	}
	if len(t.ranges) == 0 {
		return false
	}
	for _, c := range l.after(t.version) {
		for _, k := range c.keys {
			for i := range t.ranges {
				if t.ranges[i].has(k) {
					return true
				}
			}
		}
	}
	return false
}

// unsynced returns the newest commit that is not durable, wrote key and may be
// seen at version; 0 if none.
func (l *log) unsynced(key []byte, version uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.last[string(key)]
	if l.unknown {
		return last
	}
	return min(last, version)
}

func (l *log) unsyncedRange(r span, durable, version uint64) (v uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.after(durable) {
		if c.version > version && !l.unknown {
			break
		}
		for _, k := range c.keys {
			if r.has(k) {
				v = c.version
				break
			}
		}
	}
	return v
}

// span is start <= key < end, or <= end if closed; a nil end is no bound.
type span struct {
	start, end []byte
	closed     bool
}

func (r *span) has(k string) bool {
	if string(r.start) > k {
		return false
	}
	if r.end == nil {
		return true
	}
	return k < string(r.end) || r.closed && k == string(r.end)
}

func compareKey(w Write, k []byte) int { return bytes.Compare(w.Key, k) }
