// Package pebble is the kv driver on disk, on the Pebble LSM tree.
//
// # Promises
//
//   - Update returns nil only after its write-ahead log record is synced;
//     concurrent Updates share syncs. There is no way to switch that off.
//   - One process per directory: a second Open fails with kv.ErrLocked.
//   - Every block, log record and manifest record has a checksum that is
//     verified when it is read; damage is reported as kv.ErrCorrupt with the
//     file, and never served.
//   - Files are 0600 and directories 0700, those of checkpoints too.
//   - Open fails at once, and with what to do, when the directory may not be
//     written or the disk is full. Errors and log lines are of one line, with
//     file and place, and name no key.
//   - A failed write stops writing for good: that Update and every later one
//     fails with the cause, views of durable data go on, the process lives.
//     What to do is to free space or replace the disk and to start again. The
//     Update that met the failure may or may not have happened; an
//     acknowledged one is there after the restart.
//   - Close of a healthy store leaves empty logs, where the disk has room for
//     that. On a full disk it ends too, maybe with an error, and the next
//     start reads the log.
//
// # What Pebble would do, and what is done here
//
// Pebble ends the process on a failed manifest write, panics on a failed log
// write, and dies with "unlock of unlocked mutex" when the log cannot be
// changed on a full disk. So commits are applied by one goroutine of ours that
// a failure may cost (applyLoop), log files are wrapped so that an error stops
// the store before Pebble sees it (fs.go), and Logger.Fatalf stops the store
// and ends only the goroutine it is called on. A goroutine ended so keeps
// Pebble's manifest lock: the directory is not changed any more, which is what
// keeps it good. Close then cannot close Pebble; the directory stays locked
// until the process ends.
//
// On a full disk a flush or compaction that fails is no loss, it is tried
// again (at most ten times a second) and works when there is space. Only when
// writers must wait for such a flush the store stops.
//
// Open of Pebble waits for ever for a flush that ended so or that fails again
// and again. Ours waits for Pebble's on the side, and returns at the first such
// failure; then too the directory may stay locked until the process ends.
//
// Pebble takes damage in the last, unclosed log, and in the manifest, for the
// end of the file, which after a crash it mostly is; what was acknowledged
// behind that place would be gone without a word. Open therefore reads these
// files first (walcheck.go) and refuses with kv.ErrCorrupt where there is
// proof that more was durable.
//
// # What it does not promise
//
// When the damage is at the very end of an unclosed log, takes more than one
// bit, and nothing durable follows it, it looks like the torn write of a
// crash and is dropped as one. Likewise a log cut short by something other
// than a crash. A hole in a file system is beyond any single copy: keep
// backups.
//
// # Stored format
//
// Keys and values are Pebble's keys and values as they are; no key is
// reserved. Each batch begins with a log-only record:
//
//	'c' | version uint64 LE | newest version known durable uint64 LE
package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"coffer/internal/kv"
	"coffer/internal/kv/occ"
)

// Config says where a store is. The zero value of all but Dir is usable.
type Config struct {
	Dir           string
	CacheBytes    int64        // block cache, taken as needed; 64 MiB if 0
	MemTableBytes uint64       // newest writes in memory, grows up to this; 8 MiB if 0
	Logger        *slog.Logger // slog.Default if nil
}

// Store is a kv.Store on disk. Stopped and Err tell of a failed write.
type Store struct {
	*occ.Store
	e *engine
}

// Open opens the store in c.Dir, which it makes (0700) if it is not there.
func Open(c Config) (*Store, error) {
	if c.CacheBytes == 0 {
		c.CacheBytes = 64 << 20
	}
	if c.MemTableBytes == 0 {
		c.MemTableBytes = 8 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	dir, err := prepare(c.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := pebble.LockDirectory(dir, privateFS{vfs.Default})
	if err != nil {
		// Locking fails with "permission denied" too, when another process has
		// the lock. A file that cannot be opened has its name in the error.
		var path *fs.PathError
		switch {
		case isNoSpace(err):
			return nil, explain(dir, "open", err)
		case errors.As(err, &path) && filepath.Base(path.Path) == "LOCK":
			if exists(path.Path) {
				return nil, explain(path.Path, "open", path.Err)
			}
			return nil, unwritable(dir, err)
		}
		return nil, &problem{fmt.Sprintf("%v: %s is held by a running server; stop it or choose another directory (%s)", kv.ErrLocked, c.Dir, line(err)), []error{kv.ErrLocked, err}}
	}
	if err := probe(dir); err != nil {
		lock.Close()
		return nil, err
	}
	if err := checkLogs(dir); err != nil {
		lock.Close()
		return nil, err
	}

	e := &engine{dir: dir, log: c.Logger, lock: lock, batches: make(chan *pebble.Batch), applied: make(chan error), failed: make(chan error, 1)}
	s := &Store{Store: occ.New(e), e: e}
	e.store = s.Store
	e.db, err = e.openDB(e.options(c))
	if err != nil {
		lock.Close()
		return nil, explain(dir, "open", err)
	}
	e.armed.Store(true)
	e.applier.Go(e.applyLoop)
	return s, nil
}

// openDB is pebble.Open, with a failure on the way turned into an error.
//
// Open waits for flushes on goroutines of Pebble, and goes on waiting when one
// has ended in Fatalf, or is tried again for ever on a full disk. So it runs on
// a goroutine that may be lost, and its failures are told through e.failed. A
// lost Open keeps the directory locked until the process ends, because nobody
// can say what it would still do there; the caller gets its error at once.
func (e *engine) openDB(o *pebble.Options) (*pebble.DB, error) {
	type result struct {
		db  *pebble.DB
		err error
	}
	done := make(chan result, 1)
	go func() {
		db, err := openHere(e.dir, o)
		done <- result{db, err}
	}()
	var r result
	select {
	case r = <-done:
		select {
		case err := <-e.failed:
			r.err = err // of background work that Open did not wait for
		default:
		}
		return r.db, r.err
	case err := <-e.failed:
		// Mostly Open ends by itself, and then the lock is free again.
		select {
		case <-done:
		case <-time.After(grace):
		}
		return nil, err
	}
}

// grace is how long a failed Open may take to return.
const grace = 250 * time.Millisecond

func openHere(dir string, o *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fatal:
			db, err = nil, r.error
		default:
			db, err = nil, recovered(dir, r)
		}
	}()
	return pebble.Open(dir, o)
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func isNoSpace(err error) bool { return vfs.IsNoSpaceError(err) || errors.Is(err, syscall.ENOSPC) }

// prepare makes the directory and returns its one true name, since Pebble's
// lock inside a process goes by name.
func prepare(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("pebble: no directory given")
	}
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", explain(dir, "make", err)
		}
	case err != nil:
		return "", explain(dir, "open", err)
	case !info.IsDir():
		return "", fmt.Errorf("pebble: %s is a file, not a directory; choose another path", dir)
	}
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return "", explain(dir, "open", err)
	}
	return abs, nil
}

// probe makes and removes a file. Pebble meets a directory that may not be
// written only in the middle of its work, where the message is about a file
// nobody has heard of. Call it with the lock held. Should the process die in
// between, Pebble removes the file, by its extension, at the next start.
func probe(dir string) error {
	name := filepath.Join(dir, "000000.dbtmp")
	err := os.Remove(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		var f *os.File
		if f, err = os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
			err = errors.Join(f.Close(), os.Remove(name))
		}
	}
	return unwritable(dir, err)
}

// unwritable says what to do about err, from making a file in dir.
func unwritable(dir string, err error) error {
	if err == nil {
		return nil
	}
	if isNoSpace(err) {
		return explain(dir, "open", err)
	}
	reason := err
	var path *fs.PathError
	if errors.As(err, &path) {
		reason = path.Err // the name of the file helps nobody
	}
	hint := "make it writable for the user that runs coffer"
	if !errors.Is(err, fs.ErrPermission) {
		hint = "check its disk and how that is mounted"
	}
	return &problem{fmt.Sprintf("store directory %s cannot be written: %s; %s", dir, line(reason), hint), []error{err}}
}

// engine implements occ.Engine.
type engine struct {
	dir   string
	db    *pebble.DB
	lock  *pebble.Lock
	log   *slog.Logger
	store *occ.Store

	batches chan *pebble.Batch // to the applier
	applied chan error         // from it
	applier sync.WaitGroup
	armed   atomic.Bool // log files fail as fs.go says; off while Pebble opens and closes
	stalled atomic.Bool // Pebble makes writers wait for a flush
	syncs   atomic.Uint64

	closing  atomic.Bool  // Close waits for a flush
	failed   chan error   // why Open or the flush of Close cannot succeed, at most one
	givenUp  atomic.Bool  // set with it
	flushErr atomic.Value // string: of the last flush that failed
}

// giveUp makes Open return err, and keeps background work from going on.
func (e *engine) giveUp(err error) {
	e.givenUp.Store(true)
	select {
	case e.failed <- err:
	default:
	}
}

func (e *engine) options(c Config) *pebble.Options {
	o := &pebble.Options{
		Lock:               e.lock,
		FS:                 &walFS{FS: privateFS{vfs.Default}, e: e},
		Logger:             logger{e},
		EventListener:      e.listener(),
		FormatMajorVersion: pebble.FormatNewest, // FormatWALSyncChunks and after
		CacheSize:          c.CacheBytes,
		MemTableSize:       c.MemTableBytes,
		// Four memtables ride out a slow flush; L0 is compacted at four files
		// for cheap reads and stops writers only far beyond.
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       40,
		MaxOpenFiles:                512,
		// Background writes trickle to disk, so that a log sync does not queue
		// behind a whole table.
		BytesPerSync: 512 << 10,
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		// Values are sealed, so they look random.
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	return o
}

// listener passes on what an operator should see.
func (e *engine) listener() *pebble.EventListener {
	return &pebble.EventListener{
		// A flush that fails tells FlushEnd, then BackgroundError. Open waits
		// for flushes, and not for other work.
		FlushEnd: func(i pebble.FlushInfo) {
			if i.Err != nil {
				e.flushErr.Store(i.Err.Error())
			}
		},
		BackgroundError: func(err error) {
			flush := e.flushErr.Load() == err.Error()
			switch {
			case flush && e.closing.Load():
				if e.stalled.Load() { // closeDB waits for a flush before it can ask for one
					e.store.Stop(explain(e.dir, "write to", err))
					return
				}
				select {
				case e.failed <- err: // to closeDB, which goes on without
				default:
				}
				return
			case flush && !e.armed.Load(): // it is Open that waits
				e.giveUp(err)
				return
			}
			e.log.Error("store: background work failed and is tried again", "dir", e.dir, "err", line(corrupt(e.dir, err, false)))
			if e.stalled.Load() && isNoSpace(err) {
				e.store.Stop(explain(e.dir, "write to", err))
			}
		},
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			e.log.Error("store: damage on disk", "file", i.Path, "err", what(i.Details))
		},
		WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
			e.stalled.Store(true)
			e.log.Warn("store: writers wait", "reason", i.Reason)
		},
		WriteStallEnd: func() { e.stalled.Store(false) },
	}
}

// markerLen is the length of the log-only record that begins each batch.
const markerLen = 1 + 8 + 8

// Apply implements occ.Engine.
func (e *engine) Apply(version, durable uint64, writes []occ.Write) (occ.Pending, error) {
	size := 64
	for _, w := range writes {
		size += len(w.Key) + len(w.Value) + 12
	}
	b := e.db.NewBatchWithSize(size)
	var m [markerLen]byte
	m[0] = 'c'
	binary.LittleEndian.PutUint64(m[1:], version)
	binary.LittleEndian.PutUint64(m[9:], durable)
	err := b.LogData(m[:], nil)
	for _, w := range writes {
		if err != nil {
			break
		}
		if w.Delete {
			err = b.Delete(w.Key, nil)
		} else {
			err = b.Set(w.Key, w.Value, nil)
		}
	}
	if err != nil {
		return nil, err
	}
	select {
	case e.batches <- b:
	case <-e.store.Stopped():
		return nil, e.store.Err()
	}
	select {
	case err = <-e.applied:
	case <-e.store.Stopped():
		// The applier may be stuck for good; if not, it ends by itself.
		err = e.store.Err()
	}
	if err != nil {
		return nil, explain(e.dir, "write to", err)
	}
	return b, nil
}

// applyLoop hands batches to Pebble, on a goroutine that may be lost: in
// Pebble's commit a failing disk ends in a panic or, in fs.go, in a wait
// without end. The caller of Update must not be the one to wait.
func (e *engine) applyLoop() {
	for b := range e.batches {
		err := e.applyOne(b)
		if err != nil {
			e.store.Stop(explain(e.dir, "write to", err))
		}
		select {
		case e.applied <- err:
		case <-e.store.Stopped():
			return
		}
	}
}

func (e *engine) applyOne(b *pebble.Batch) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = r
		default:
			err = errors.New(oneLine(fmt.Sprint(r)))
		}
	}()
	return e.db.ApplyNoSyncWait(b, pebble.Sync)
}

// Snapshot implements occ.Engine.
func (e *engine) Snapshot() (occ.Snapshot, error) { return snapshot{e.db.NewSnapshot(), e.dir}, nil }

// Close implements occ.Engine. On a full disk the newest writes stay in the
// log, where the next start finds them.
func (e *engine) Close(cause error) error {
	if cause != nil {
		e.abandon(cause)
		return nil
	}
	close(e.batches)
	e.applier.Wait()
	// On the side, as in openDB: a goroutine that meets a failure of a log or
	// of the manifest stays there.
	done := make(chan error, 1)
	go func() { done <- e.closeDB() }()
	select {
	case err := <-done:
		return e.closed(err)
	case <-e.store.Stopped():
	}
	select {
	case err := <-done: // it was only late
		return e.closed(err)
	case <-time.After(grace):
	}
	cause = e.store.Err()
	e.abandon(cause)
	if isNoSpace(cause) {
		return nil // all is in the log
	}
	return cause
}

func (e *engine) closed(err error) error {
	if err != nil {
		return explain(e.dir, "close", err)
	}
	return nil
}

// abandon leaves Pebble open after a failed write: its locks may be held for
// good, and its background work must not go on in a directory that someone
// else has opened. So the directory stays locked to the end of the process,
// or until a closeDB that was too slow for Close has closed Pebble after all.
func (e *engine) abandon(cause error) {
	e.log.Error("store: closed after a failed write; its directory stays locked until the process ends", "dir", e.dir, "err", cause)
}

// closeDB flushes what is in memory and closes Pebble. Empty logs cannot be
// damaged, and the next start has nothing to replay. A flush that fails is not
// waited for again: all is in the log too.
func (e *engine) closeDB() (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fatal:
			err = r.error
			e.abandon(err)
		default:
			err = recovered(e.dir, r)
			e.abandon(err)
		}
	}()
	e.closing.Store(true)
	flushed, err := e.db.AsyncFlush()
	if err == nil {
		select {
		case <-flushed:
		case err = <-e.failed:
			if isNoSpace(err) {
				e.log.Warn("store: closed without a flush; the next start reads the log", "dir", e.dir, "err", line(err))
				err = nil
			}
		}
	}
	e.armed.Store(false)
	return errors.Join(err, e.db.Close(), e.lock.Close())
}

type snapshot struct {
	*pebble.Snapshot
	dir string
}

// Get implements occ.Snapshot.
func (s snapshot) Get(key []byte, a *occ.Arena) ([]byte, error) {
	v, c, err := s.Snapshot.Get(key)
	if err != nil {
		if err == pebble.ErrNotFound {
			return nil, kv.ErrNotFound
		}
		return nil, corrupt(s.dir, err, false)
	}
	v = a.Copy(v)
	if err := c.Close(); err != nil {
		return nil, corrupt(s.dir, err, false)
	}
	return v, nil
}

// Scan implements occ.Snapshot.
func (s snapshot) Scan(start, end []byte, reverse bool, a *occ.Arena) (occ.Cursor, error) {
	if len(start) == 0 {
		start = nil // an empty bound that is not nil trips Pebble's checks under the race detector
	}
	it, err := s.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return nil, corrupt(s.dir, err, false)
	}
	return &cursor{it: it, dir: s.dir, reverse: reverse, arena: a}, nil
}

type cursor struct {
	it               *pebble.Iterator
	dir              string
	arena            *occ.Arena
	reverse, started bool
}

// Next implements occ.Cursor.
func (c *cursor) Next() (kv.Row, error) {
	var ok bool
	switch {
	case !c.started && c.reverse:
		ok = c.it.Last()
	case !c.started:
		ok = c.it.First()
	case c.reverse:
		ok = c.it.Prev()
	default:
		ok = c.it.Next()
	}
	c.started = true
	if !ok {
		return kv.Row{}, corrupt(c.dir, c.it.Error(), false)
	}
	v, err := c.it.ValueAndErr()
	if err != nil {
		return kv.Row{}, corrupt(c.dir, err, false)
	}
	return kv.Row{Key: c.arena.Copy(c.it.Key()), Value: c.arena.Copy(v)}, nil
}

// Close implements occ.Cursor.
func (c *cursor) Close() error { return c.it.Close() }

// Checkpoint writes a consistent copy of the store to dir, which must not
// exist, while the store is in use. Tables are hard links where dir is on the
// same file system. Everything acknowledged before the call is in it.
func (s *Store) Checkpoint(dir string) error {
	if err := s.Enter(); err != nil {
		return err
	}
	defer s.Leave()
	if err := s.Err(); err != nil {
		return err
	}
	if err := s.e.db.Checkpoint(dir); err != nil {
		return explain(dir, "write a checkpoint to", err)
	}
	return nil
}

// Verify reads every block of every table and every log from disk, past the
// cache, and checks the order of keys across tables. report gets each problem;
// the error is only about Verify itself, such as the end of ctx.
func (s *Store) Verify(ctx context.Context, report func(file, problem string)) error {
	if err := s.Enter(); err != nil {
		return err
	}
	defer s.Leave()
	e := s.e
	tables := func() (map[string]bool, error) {
		levels, err := e.db.SSTables()
		if err != nil {
			return nil, err
		}
		names := make(map[string]bool)
		for _, l := range levels {
			for _, t := range l {
				names[filepath.Join(e.dir, fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum)))] = true
			}
		}
		return names, nil
	}
	live, err := tables()
	if err != nil {
		return err
	}
	damaged := false
	for name := range live {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := verifyTable(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			// A compaction may have replaced it since.
			if now, terr := tables(); terr == nil && !now[name] {
				continue
			}
		}
		if err != nil {
			damaged = true
			report(name, line(err))
		}
	}
	if err := checkLogs(e.dir); err != nil {
		// Files grow while they are read; only what is found twice is real.
		if err := checkLogs(e.dir); err != nil {
			var p *logProblem
			if !errors.As(err, &p) {
				return err
			}
			report(p.file, p.Error())
		}
	}
	if damaged {
		return nil
	}
	if err := e.db.CheckLevels(nil); err != nil {
		report(disorder(e.dir, err))
	}
	return nil
}

func verifyTable(ctx context.Context, name string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = recovered(name, r)
		}
		if err != nil && !errors.Is(err, kv.ErrCorrupt) {
			err = damage(name, err)
		}
	}()
	f, err := vfs.Default.Open(name)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	o := pebble.Options{}
	o.EnsureDefaults()
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	r, err := sstable.NewReader(ctx, readable, o.MakeReaderOptions())
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(r.ValidateBlockChecksums(), r.Close())
}

// Metrics are the store's figures since Open, for /metrics.
type Metrics struct {
	Version, Durable       uint64 // newest commit, newest on stable storage
	Commits                uint64
	Conflicts              uint64 // commits refused because another changed what they read
	Reruns                 uint64 // closures run again
	Exclusive              uint64 // Updates that had to lock everyone else out
	Syncs                  uint64 // of the log; fewer than Commits when writers share
	DiskBytes              uint64
	CacheBytes             int64
	CacheHits, CacheMisses int64
	MemTableBytes          uint64
	WALBytes               uint64 // live, on disk
	L0Files                int64
	Compactions            int64
}

// Metrics returns the figures.
func (s *Store) Metrics() Metrics {
	st := s.Stats()
	m := s.e.db.Metrics()
	out := Metrics{
		Version: st.Version, Durable: st.Durable, Commits: st.Commits,
		Conflicts: st.Conflicts, Reruns: st.Reruns, Exclusive: st.Exclusive,
		Syncs:      s.e.syncs.Load(),
		DiskBytes:  m.DiskSpaceUsage(),
		CacheBytes: m.BlockCache.Size, CacheHits: m.BlockCache.Hits, CacheMisses: m.BlockCache.Misses,
		MemTableBytes: m.MemTable.Size,
		WALBytes:      m.WAL.PhysicalSize,
		L0Files:       m.Levels[0].TablesCount,
		Compactions:   m.Compact.Count,
	}
	return out
}
