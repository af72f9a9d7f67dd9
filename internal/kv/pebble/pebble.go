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
//   - A failed write stops writing for good: that Update and every later one
//     fails with the cause, views of durable data go on, the process lives.
//     What to do is to free space or replace the disk and to start again. The
//     Update that met the failure may or may not have happened; an
//     acknowledged one is there after the restart.
//   - Close of a healthy store leaves empty logs.
//
// # What Pebble would do, and what is done here
//
// Pebble ends the process on a failed manifest write, panics on a failed log
// write, and dies with "unlock of unlocked mutex" when the log cannot be
// changed on a full disk. So commits are applied by one goroutine of ours that
// a failure may cost (apply.go), log files are wrapped so that an error stops
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
	"strings"
	"sync"
	"sync/atomic"

	crdb "github.com/cockroachdb/errors"
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
	lock, err := pebble.LockDirectory(dir, vfs.Default)
	if err != nil {
		if vfs.IsNoSpaceError(err) || errors.Is(err, fs.ErrPermission) && !canWrite(dir) {
			return nil, explain(dir, "open", err)
		}
		return nil, fmt.Errorf("%w: %s is held by a running server; stop it or choose another directory (%v)", kv.ErrLocked, c.Dir, err)
	}
	if err := checkLogs(dir); err != nil {
		lock.Close()
		return nil, err
	}

	e := &engine{dir: dir, log: c.Logger, lock: lock, batches: make(chan *pebble.Batch), applied: make(chan error)}
	s := &Store{Store: occ.New(e), e: e}
	e.store = s.Store
	e.db, err = openDB(dir, e.options(c))
	if err != nil {
		lock.Close()
		return nil, explain(dir, "open", err)
	}
	e.armed.Store(true)
	e.applier.Go(e.applyLoop)
	return s, nil
}

// openDB is pebble.Open, with a Fatalf on the way turned into an error.
func openDB(dir string, o *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fatal:
			db, err = nil, r.error
		default:
			// Pebble panics on some damaged input. Let no file crash the server.
			db, err = nil, fmt.Errorf("%w: %v", kv.ErrCorrupt, r)
		}
	}()
	return pebble.Open(dir, o)
}

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

func canWrite(dir string) bool {
	f, err := os.CreateTemp(dir, "writable*.dbtmp")
	if err != nil {
		return false
	}
	f.Close()
	return os.Remove(f.Name()) == nil
}

// explain adds the directory and what to do.
func explain(dir, what string, err error) error {
	var hint string
	switch {
	case vfs.IsNoSpaceError(err):
		hint = "the disk is full; nothing acknowledged is lost; free space and start again"
	case errors.Is(err, fs.ErrPermission):
		hint = "no permission to read and write there; change its owner or mode, or run as its owner"
	case strings.Contains(err.Error(), "unknown format major version"):
		hint = "a newer version of coffer wrote it; use that version"
	default:
		err = corrupt(err, what == "open")
		if errors.Is(err, kv.ErrCorrupt) {
			hint = "restore a backup, or the damaged file from one"
		}
	}
	if hint == "" {
		return fmt.Errorf("pebble: cannot %s %s: %w", what, dir, err)
	}
	return fmt.Errorf("pebble: cannot %s %s: %w (%s)", what, dir, err, hint)
}

// corrupt marks damage with kv.ErrCorrupt and the file.
func corrupt(err error, opening bool) error {
	if err == nil || errors.Is(err, kv.ErrCorrupt) {
		return err
	}
	damaged := pebble.IsCorruptionError(err)
	if opening && !damaged {
		// Not marked by Pebble: a table gone, or shorter than it was.
		damaged = strings.Contains(err.Error(), "object size mismatch") || errors.Is(err, fs.ErrNotExist)
	}
	if !damaged {
		return err
	}
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		return fmt.Errorf("%w: %s: %w", kv.ErrCorrupt, info.Path, err)
	}
	for _, detail := range crdb.GetAllDetails(err) {
		if rest, ok := strings.CutPrefix(detail, "replaying wal "); ok {
			return fmt.Errorf("%w: %w (log %s)", kv.ErrCorrupt, err, rest)
		}
	}
	return fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
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
}

func (e *engine) options(c Config) *pebble.Options {
	o := &pebble.Options{
		Lock:               e.lock,
		FS:                 &walFS{FS: vfs.Default, e: e},
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
		BackgroundError: func(err error) {
			e.log.Error("store: background work failed and is tried again", "dir", e.dir, "err", err)
			if e.stalled.Load() && vfs.IsNoSpaceError(err) {
				e.store.Stop(explain(e.dir, "write to", err))
			}
		},
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			e.log.Error("store: damage on disk", "file", i.Path, "err", i.Details)
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
			err = fmt.Errorf("%v", r)
		}
	}()
	return e.db.ApplyNoSyncWait(b, pebble.Sync)
}

// Snapshot implements occ.Engine.
func (e *engine) Snapshot() (occ.Snapshot, error) { return snapshot{e.db.NewSnapshot()}, nil }

// Close implements occ.Engine.
func (e *engine) Close(cause error) error {
	if cause != nil {
		// Locks inside Pebble may be held for good, and its background work
		// must not go on in a directory that someone else has opened: leave
		// it, locked, to the end of the process.
		e.log.Error("store: closed after a failed write; its directory stays locked until the process ends", "dir", e.dir, "err", cause)
		return nil
	}
	close(e.batches)
	e.applier.Wait()
	// Empty logs cannot be damaged, and the next start has nothing to replay.
	ferr := e.db.Flush()
	e.armed.Store(false)
	err := errors.Join(ferr, e.db.Close(), e.lock.Close())
	if err != nil {
		return explain(e.dir, "close", err)
	}
	return nil
}

type snapshot struct{ *pebble.Snapshot }

// Get implements occ.Snapshot.
func (s snapshot) Get(key []byte, a *occ.Arena) ([]byte, error) {
	v, c, err := s.Snapshot.Get(key)
	if err != nil {
		if err == pebble.ErrNotFound {
			return nil, kv.ErrNotFound
		}
		return nil, corrupt(err, false)
	}
	v = a.Copy(v)
	if err := c.Close(); err != nil {
		return nil, corrupt(err, false)
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
		return nil, corrupt(err, false)
	}
	return &cursor{it: it, reverse: reverse, arena: a}, nil
}

type cursor struct {
	it               *pebble.Iterator
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
		return kv.Row{}, corrupt(c.it.Error(), false)
	}
	v, err := c.it.ValueAndErr()
	if err != nil {
		return kv.Row{}, corrupt(err, false)
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
			report(name, err.Error())
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
		report(e.dir, err.Error())
	}
	return nil
}

func verifyTable(ctx context.Context, name string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", kv.ErrCorrupt, r)
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
