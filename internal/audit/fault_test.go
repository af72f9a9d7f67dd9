package audit_test

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"coffer/internal/audit"
)

func TestWriteFails(t *testing.T) {
	cfg := config(t.TempDir(), &memAnchors{})
	l := MustOpen(t, cfg)
	var broken atomic.Bool
	audit.SetFaults(l, func(f *os.File, b []byte, off int64) (int, error) {
		if broken.Load() {
			n, _ := f.WriteAt(b[:10], off)
			return n, syscall.EIO
		}
		return f.WriteAt(b, off)
	}, nil)
	MustAppend(t, l, 1, 5)
	broken.Store(true)
	err := l.Append(record(6))
	if !errors.Is(err, audit.ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	broken.Store(false)
	for range 3 {
		if again := l.Append(record(7)); !errors.Is(again, syscall.EIO) {
			t.Error(again)
		}
	}
	if !errors.Is(l.Err(), syscall.EIO) || !errors.Is(l.Stats().Failed, syscall.EIO) {
		t.Error(l.Err())
	}
	if err := l.Wait(t.Context(), 5); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	if got := ids(t, l, 0); len(got) != 5 {
		t.Error(got)
	}
	if err := l.Close(); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	if s, fs := verify(t, cfg); len(fs) != 0 || s.Unfinished != 0 || s.Records != 5 {
		t.Error("the torn line was not cut back", s, fs)
	}
	l = MustOpen(t, cfg)
	MustAppend(t, l, 6, 7)
	MustClose(t, l)
	MustVerify(t, cfg, 7)
}

// After a failed fsync the kernel may call the next one a success though the
// pages are gone. The error must never pass as a full disk either.
func TestSyncFails(t *testing.T) {
	for _, every := range []time.Duration{time.Hour, -1} {
		cfg := config(t.TempDir(), &memAnchors{})
		cfg.SyncEvery = every
		l := MustOpen(t, cfg)
		fail := true
		audit.SetFaults(l, nil, func(f *os.File) error {
			if fail {
				fail = false
				return syscall.ENOSPC
			}
			return f.Sync()
		})
		err := l.Append(record(1))
		if every > 0 {
			if err != nil {
				t.Fatal(err)
			}
			err = l.Sync()
		}
		if !errors.Is(err, audit.ErrFailed) {
			t.Fatal(err)
		}
		time.Sleep(110 * time.Millisecond)
		if err := l.Append(record(2)); !errors.Is(err, audit.ErrFailed) {
			t.Error(err)
		}
		if err := l.Sync(); !errors.Is(err, audit.ErrFailed) {
			t.Error(err)
		}
		if l.Durable().Seq != 0 {
			t.Error("durable", l.Durable())
		}
		if err := l.Close(); !errors.Is(err, audit.ErrFailed) {
			t.Error(err)
		}
	}
}

func TestDiskFullHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(t.TempDir(), &memAnchors{})
		l := MustOpen(t, cfg)
		full, tries := false, 0
		audit.SetFaults(l, func(f *os.File, b []byte, off int64) (int, error) {
			if full {
				tries++
				n, _ := f.WriteAt(b[:len(b)/2], off)
				return n, syscall.ENOSPC
			}
			return f.WriteAt(b, off)
		}, nil)
		MustAppend(t, l, 1, 3)
		full = true
		for range 50 {
			if err := l.Append(record(4), record(5)); !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, audit.ErrFailed) {
				t.Fatal(err)
			}
		}
		if tries != 1 {
			t.Errorf("%d tries at once", tries)
		}
		time.Sleep(150 * time.Millisecond)
		if err := l.Append(record(4)); err == nil || tries != 2 {
			t.Error(err, tries)
		}
		full = false
		time.Sleep(150 * time.Millisecond)
		if l.Err() == nil {
			t.Error("healed by itself")
		}
		MustAppend(t, l, 4, 6)
		if l.Err() != nil {
			t.Error(l.Err())
		}
		MustClose(t, l)
		MustVerify(t, cfg, 6)
	})
}

// A failure with many callers in line: every one of them gets an answer, and what
// was answered with nil is in the log.
func TestFailsUnderLoad(t *testing.T) {
	cfg := config(t.TempDir(), &memAnchors{})
	l := MustOpen(t, cfg)
	var writes atomic.Int64
	audit.SetFaults(l, func(f *os.File, b []byte, off int64) (int, error) {
		if writes.Add(1) == 20 {
			n, _ := f.WriteAt(b[:len(b)/2], off)
			return n, syscall.EIO
		}
		return f.WriteAt(b, off)
	}, nil)
	var ok, failed atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := range 50 {
				if l.Append(record(i)) == nil {
					ok.Add(1)
				} else {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if ok.Load()+failed.Load() != 32*50 || failed.Load() == 0 {
		t.Error(ok.Load(), failed.Load())
	}
	if l.Close() == nil {
		t.Error("Close is silent")
	}
	MustVerify(t, cfg, uint64(ok.Load()))
}

func TestDirectoryNotWritable(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(config(file, nil)); err == nil {
		t.Error("opened a file as a directory")
	}
}
