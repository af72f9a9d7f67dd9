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
