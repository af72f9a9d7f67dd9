package pebble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// walFS stands between Pebble and the file system, to stop the store at the
// first failed write of a log, and to take the haste out of retries.
//
// Pebble changes logs with its mutex unlocked under a deferred Unlock, and
// panics there on any error: the runtime then kills the process for unlocking
// an unlocked mutex, which nothing can recover. So in those places the error
// is not returned: the store is stopped and the goroutine, which is the
// applier's or closeDB's and nobody's request, waits for ever. Errors of writes and syncs do
// return; Pebble gives them to those who wait for the sync.
type walFS struct {
	vfs.FS
	e *engine
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// own tells whether a file is the store's own. Those of a checkpoint are nothing that
// the store depends on.
func (f *walFS) own(name string) bool { return filepath.Dir(name) == f.e.dir }

// Unwrap implements vfs.FS.
func (f *walFS) Unwrap() vfs.FS { return f.FS }

// stopHere stops the store and does not return, once the store is open.
func (f *walFS) stopHere(err error) {
	if err == nil || !f.e.armed.Load() {
		return
	}
	f.e.fail(err)
	select {}
}

// Create implements vfs.FS. When Open has given up, or the store has stopped,
// flushes and compactions stay here: they would be tried again for ever, and
// nothing of what they do counts before the next start.
func (f *walFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if f.own(name) && filepath.Ext(name) == ".sst" && (f.e.givenUp.Load() || f.e.store.Err() != nil) {
		select {}
	}
	file, err := f.FS.Create(name, c)
	if err != nil {
		f.missed(name, err)
		return nil, err
	}
	return f.wrap(name, file), nil
}

// ReuseForWrite implements vfs.FS.
func (f *walFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(from, to, c)
	if err != nil {
		f.missed(to, err)
		return nil, err
	}
	return f.wrap(to, file), nil
}

// missed is called for a file that could not be made.
func (f *walFS) missed(name string, err error) {
	switch {
	case !f.own(name):
	case isLog(name):
		f.stopHere(err)
	default:
		f.pause(err)
	}
}

// OpenDir implements vfs.FS.
func (f *walFS) OpenDir(name string) (vfs.File, error) {
	d, err := f.FS.OpenDir(name)
	if err != nil || name != f.e.dir {
		return d, err
	}
	return &dirFile{d, f}, nil
}

func (f *walFS) wrap(name string, file vfs.File) vfs.File {
	switch {
	case isLog(name) && f.own(name):
		return &logFile{file, f}
	case isManifest(name):
		return &manifestFile{File: file, name: name}
	case filepath.Ext(name) == ".sst" && f.own(name):
		return &tableFile{file, f}
	}
	return file
}

// pause slows a retry on a full disk; Pebble's flush retries without any.
func (f *walFS) pause(err error) {
	if vfs.IsNoSpaceError(err) && f.e.armed.Load() {
		time.Sleep(100 * time.Millisecond)
	}
}

// fail stops the store for a failed write.
func (e *engine) fail(err error) {
	if !e.armed.Load() {
		e.giveUp(err) // Open returns it; it needs no log line as well
		e.store.Stop(err)
		return
	}
	err = explain(e.dir, "write to", err)
	e.log.Error("store: writing has stopped", "dir", e.dir, "err", line(err))
	e.store.Stop(err)
}

// logFile is a write-ahead log. It stops the store before Pebble sees the
// error, so that no further commit gets near the broken log.
type logFile struct {
	vfs.File
	f *walFS
}

func (l *logFile) note(err error) error {
	if err != nil && l.f.e.armed.Load() {
		l.f.e.fail(err)
	}
	return err
}

// Write implements vfs.File.
func (l *logFile) Write(p []byte) (int, error) {
	n, err := l.File.Write(p)
	return n, l.note(err)
}

// Sync implements vfs.File.
func (l *logFile) Sync() error {
	l.f.e.syncs.Add(1)
	return l.note(l.File.Sync())
}

// SyncData implements vfs.File.
func (l *logFile) SyncData() error {
	l.f.e.syncs.Add(1)
	return l.note(l.File.SyncData())
}

// Close implements vfs.File. An earlier error would make Pebble panic just
// after this.
func (l *logFile) Close() error {
	err := l.File.Close()
	l.f.stopHere(err)
	l.f.stopHere(l.f.e.store.Err())
	return err
}

func isManifest(name string) bool { return strings.HasPrefix(filepath.Base(name), "MANIFEST-") }

// manifestFile is a manifest. After each sync it notes its name and length in
// the file SYNCED, because a manifest cut short reads as a good, older one,
// with which Pebble would open the store and delete what it does not know. So
// does one with zeros at its end. The note is synced after the manifest, so
// that at most one of the two is torn by a power loss; no commit waits for it.
type manifestFile struct {
	vfs.File
	name string
	size uint64
}

// Write implements vfs.File.
func (m *manifestFile) Write(p []byte) (int, error) {
	n, err := m.File.Write(p)
	m.size += uint64(n)
	return n, err
}

// Sync implements vfs.File.
func (m *manifestFile) Sync() error {
	size := m.size
	if err := m.File.Sync(); err != nil {
		return err
	}
	noteSynced(m.name, size)
	return nil
}

// tableFile is a table being written.
type tableFile struct {
	vfs.File
	f *walFS
}

// Write implements vfs.File.
func (t *tableFile) Write(p []byte) (int, error) {
	n, err := t.File.Write(p)
	t.f.pause(err)
	return n, err
}

// dirFile is an open directory; a sync of it makes new files last.
type dirFile struct {
	vfs.File
	f *walFS
}

// Sync implements vfs.File.
func (d *dirFile) Sync() error {
	err := d.File.Sync()
	d.f.stopHere(err)
	return err
}

// privateFS makes files that only their owner may read. Pebble's own are 0666
// less the umask, which says more of secrets' names than the directory's mode
// keeps back once a copy of a file is elsewhere.
type privateFS struct{ vfs.FS }

// Unwrap implements vfs.FS.
func (f privateFS) Unwrap() vfs.FS { return f.FS }

// Create implements vfs.FS: a new file, in place of any there is. The file has
// its mode from the start, so that there is no moment to open it.
func (f privateFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	for {
		err := makePrivate(name)
		if err == nil {
			return f.FS.OpenReadWrite(name, c)
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err := f.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// OpenReadWrite implements vfs.FS.
func (f privateFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	if err := makePrivate(name); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return f.FS.OpenReadWrite(name, c, o...)
}

// MkdirAll implements vfs.FS.
func (f privateFS) MkdirAll(dir string, _ os.FileMode) error { return f.FS.MkdirAll(dir, 0o700) }

// Lock implements vfs.FS. A file that is there is not touched: closing it
// would end a lock that this process has on it.
func (f privateFS) Lock(name string) (io.Closer, error) {
	if err := makePrivate(name); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return f.FS.Lock(name)
}

// makePrivate makes an empty file that is not there yet.
func makePrivate(name string) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// logger gives Pebble's messages to slog.
type logger struct{ e *engine }

// Infof implements pebble.Logger.
func (l logger) Infof(format string, args ...any) {
	if l.e.log.Enabled(context.Background(), slog.LevelDebug) {
		l.e.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

// Errorf implements pebble.Logger.
func (l logger) Errorf(format string, args ...any) {
	l.e.log.Error("pebble: " + plainf(l.e.dir, format, args))
}

// plainf formats a message of Pebble on one line, with damage in our words.
func plainf(dir, format string, args []any) string {
	plain := make([]any, len(args))
	for i, a := range args {
		if err, ok := a.(error); ok {
			a = line(corrupt(dir, err, false))
		}
		plain[i] = a
	}
	return oneLine(fmt.Sprintf(format, plain...))
}

// fatal is what Fatalf panics with.
type fatal struct{ error }

// Fatalf implements pebble.Logger. Pebble expects that it does not return. On
// a goroutine that came from our code it panics, and Open or the applier
// recovers. On Pebble's own it ends the goroutine: deferred unlocks run, so
// reads go on, but the manifest stays locked, and with it everything that
// deletes files that the failed manifest write may or may not name.
func (l logger) Fatalf(format string, args ...any) {
	p := &problem{text: plainf(l.e.dir, format, args)}
	for _, a := range args {
		if e, ok := a.(error); ok {
			p.causes = append(p.causes, e)
		}
	}
	err := fatal{p}
	l.e.fail(p)
	if ours() {
		panic(err)
	}
	runtime.Goexit()
}

// ours reports whether a function of this package, other than the logger, is
// on the stack.
func ours() bool {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if strings.HasPrefix(f.Function, "coffer/internal/kv/pebble.") {
			return true
		}
		if !more {
			return false
		}
	}
}
