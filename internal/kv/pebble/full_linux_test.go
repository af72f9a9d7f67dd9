package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"coffer/internal/kv"
	"coffer/internal/kv/pebble"
)

// TestFullDisk fills a small file system under eight writers.
func TestFullDisk(t *testing.T) {
	fills := 3 // at different moments
	if testing.Short() {
		fills = 1
	}
	for ballast := range fills {
		t.Run(fmt.Sprint(ballast), func(t *testing.T) { fullDisk(t, ballast) })
	}
}

func fullDisk(t *testing.T, ballast int) {
	mount := t.TempDir()
	if err := syscall.Mount("coffer-test", mount, "tmpfs", 0, "size=12m"); err != nil {
		t.Skipf("mounting a tmpfs needs root: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(mount, syscall.MNT_DETACH) })
	if err := os.WriteFile(mount+"/ballast", make([]byte, ballast*700<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config(mount + "/store")
	c.MemTableBytes = 1 << 20
	s, err := pebble.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var mu sync.Mutex
	acked := map[string]bool{}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := range 10_000 {
				id := fmt.Sprintf("%d/%05d", w, n)
				err := updatePair(s, id)
				if err != nil {
					if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), mount) {
						t.Errorf("Update on a full disk: %v", err)
					}
					return
				}
				mu.Lock()
				acked[id] = true
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("writers hang on a full disk")
	}
	if s.Err() == nil {
		t.Fatal("the store took it all")
	}
	t.Logf("%d acknowledged, then: %v", len(acked), s.Err())

	if err := updatePair(s, "later"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a later Update: %v", err)
	}
	for id := range acked {
		err := s.View(context.Background(), func(tx kv.Tx) error { _, err := tx.Get([]byte("a/" + id)); return err })
		if err != nil {
			t.Fatalf("View of an acknowledged row: %v", err)
		}
	}

	// What a restart finds, with more room: everything acknowledged.
	checkPairs(t, mustOpen(t, copyDir(t, mount+"/store")), acked)

	// A start on the full disk says so. (This process holds the lock, so on a
	// copy of the state to a full one.)
	full := t.TempDir()
	if err := syscall.Mount("coffer-test", full, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { syscall.Unmount(full, syscall.MNT_DETACH) })
	if err := os.WriteFile(full+"/rest", make([]byte, 60<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	s2, err := pebble.Open(config(full + "/store"))
	if err == nil {
		err = updatePair(s2, "x")
		defer s2.Close()
	}
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), full) {
		t.Errorf("Open on a full disk: %v", err)
	}
}

// TestCloseOnFullDisk closes a store that has never failed, on a disk without
// room for the files that Close makes when there is.
func TestCloseOnFullDisk(t *testing.T) {
	for _, c := range []struct {
		name          string
		written       int
		inodes, bytes int // left free when Close begins; -1 for plenty
	}{
		{"no inode, nothing written", 0, 0, -1},
		{"no inode", 100, 0, -1},
		{"one inode", 100, 1, -1},
		{"two inodes", 100, 2, -1},
		{"no space", 100, -1, 0},
		{"one page", 100, -1, 4 << 10},
		{"room for the log alone", 100, -1, 40 << 10},
		{"plenty", 100, -1, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			mount := t.TempDir()
			if err := syscall.Mount("coffer-test", mount, "tmpfs", 0, "size=8m,nr_inodes=100"); err != nil {
				t.Skipf("mounting a tmpfs needs root: %v", err)
			}
			t.Cleanup(func() { syscall.Unmount(mount, syscall.MNT_DETACH) })
			s, err := pebble.Open(config(mount + "/store"))
			if err != nil {
				t.Fatal(err)
			}
			acked := map[string]bool{}
			for n := range c.written {
				id := fmt.Sprintf("%05d", n)
				if err := updatePair(s, id); err != nil {
					t.Fatal(err)
				}
				acked[id] = true
			}
			var st syscall.Statfs_t
			if err := syscall.Statfs(mount, &st); err != nil {
				t.Fatal(err)
			}
			if c.bytes >= 0 {
				if err := os.WriteFile(mount+"/ballast", make([]byte, int(st.Bavail)*int(st.Bsize)-c.bytes), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.inodes >= 0 {
				for n := range int(st.Ffree) - c.inodes {
					if err := os.WriteFile(fmt.Sprint(mount, "/ballast", n), nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			closeFull(t, s)
			checkPairs(t, mustOpen(t, copyDir(t, mount+"/store")), acked)
		})
	}
}

// TestCloseOnFullDiskWhileMemoryIsFull closes a store that has more in memory than it may,
// none of which can be flushed: the log has taken the room.
func TestCloseOnFullDiskWhileMemoryIsFull(t *testing.T) {
	mount := t.TempDir()
	if err := syscall.Mount("coffer-test", mount, "tmpfs", 0, "size=2300k"); err != nil {
		t.Skipf("mounting a tmpfs needs root: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(mount, syscall.MNT_DETACH) })
	c := config(mount + "/store")
	c.MemTableBytes = 256 << 10
	s, err := pebble.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(context.Background(), func(tx kv.Tx) error {
		for n := range 22 {
			if err := tx.Put(fmt.Appendf(nil, "%02d", n), make([]byte, 60<<10)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	closeFull(t, s)
	again := mustOpen(t, copyDir(t, mount+"/store"))
	err = again.View(context.Background(), func(tx kv.Tx) error { _, err := tx.Get([]byte("21")); return err })
	if err != nil {
		t.Errorf("what was written: %v", err)
	}
}

// closeFull closes a store on a full disk, which may be an error and may not take long.
func closeFull(t *testing.T, s *pebble.Store) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Close() }()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Close: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Close hangs")
	}
}

// TestCheckpointOnFullDisk writes checkpoints where there is no room for them: the store
// itself goes on.
func TestCheckpointOnFullDisk(t *testing.T) {
	for _, kib := range []int{4, 100, 300} {
		mount := t.TempDir()
		if err := syscall.Mount("coffer-test", mount, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
			t.Skipf("mounting a tmpfs needs root: %v", err)
		}
		t.Cleanup(func() { syscall.Unmount(mount, syscall.MNT_DETACH) })
		s := mustOpen(t, t.TempDir())
		for n := range 1000 {
			if err := updatePair(s, fmt.Sprint(n)); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error, 1)
		go func() { done <- s.Checkpoint(mount + "/copy") }()
		select {
		case err := <-done:
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%d KiB: %v", kib, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%d KiB: Checkpoint hangs", kib)
		}
		if err := updatePair(s, "later"); err != nil {
			t.Errorf("%d KiB: the store: %v", kib, err)
		}
	}
}
