package pebble_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/kv"
	"coffer/internal/kv/pebble"
)

var killRounds = flag.Int("kill-rounds", 20, "rounds of kill -9 under 16 writers")

// childEnv makes the test binary a child: what to do, and in which directory.
const childEnv = "COFFER_PEBBLE_TEST_CHILD"

func TestMain(m *testing.M) {
	if what, dir, ok := strings.Cut(os.Getenv(childEnv), "\t"); ok {
		switch what {
		case "write":
			childWrites(dir)
		case "open":
			_, err := pebble.Open(config(dir))
			fmt.Println(err)
			if errors.Is(err, kv.ErrLocked) {
				os.Exit(3)
			}
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = append(os.Environ(), childEnv+"="+what+"\t"+dir)
	return c
}

const writers = 16

// childWrites writes until it is killed. Transaction n of writer w sets two
// keys to the same value, of a size that fills memtables soon; a line on
// stdout acknowledges it.
func childWrites(dir string) {
	c := config(dir)
	c.MemTableBytes = 256 << 10 // many flushes, log changes and compactions
	s, err := pebble.Open(c)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	round := os.Getenv("COFFER_PEBBLE_TEST_ROUND")
	var out sync.Mutex
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%s/%02d/%06d", round, w, n)
				value := append([]byte(id), bytes.Repeat([]byte{byte(n)}, (n*131)%3000)...)
				err := s.Update(context.Background(), func(tx kv.Tx) error {
					if err := tx.Put([]byte("a/"+id), value); err != nil {
						return err
					}
					return tx.Put([]byte("z/"+id), value)
				})
				out.Lock()
				if err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				fmt.Println("ok", id)
				out.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestKill(t *testing.T) {
	dir := t.TempDir()
	rounds := *killRounds
	if testing.Short() {
		rounds = min(rounds, 5)
	}
	acked, total := map[string]bool{}, 0
	for round := range rounds {
		if round%25 == 0 && round > 0 { // all is read each round, so begin anew now and then
			dir, total = t.TempDir(), total+len(acked)
			clear(acked)
		}
		c := child(t, "write", dir)
		c.Env = append(c.Env, fmt.Sprintf("COFFER_PEBBLE_TEST_ROUND=%04d", round))
		c.Stderr = os.Stderr
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		// Killed after a random number of acknowledgements and a random,
		// short time more, so that it meets any point of a commit.
		after, more := 1+rand.IntN(1500), time.Duration(rand.IntN(3000))*time.Microsecond
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			what, id, _ := strings.Cut(lines.Text(), " ")
			if what != "ok" {
				t.Fatalf("round %d: child: %s", round, lines.Text())
			}
			acked[id] = true
			if n == after {
				time.AfterFunc(more, func() { c.Process.Kill() })
			}
		}
		_ = c.Wait()

		s, err := pebble.Open(config(dir))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		checkPairs(t, s, acked)
		if err := s.Verify(t.Context(), func(file, problem string) { t.Errorf("round %d: %s: %s", round, file, problem) }); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("after round %d", round)
		}
	}
	t.Logf("%d rounds, %d acknowledged transactions", rounds, total+len(acked))
}

// checkPairs checks that all acked transactions are there and none is torn.
func checkPairs(t *testing.T, s kv.Store, acked map[string]bool) {
	t.Helper()
	err := s.View(context.Background(), func(tx kv.Tx) error {
		a, z := map[string]string{}, map[string]string{}
		for row, err := range tx.Scan(nil, nil, false) {
			if err != nil {
				return err
			}
			side, id, _ := strings.Cut(string(row.Key), "/")
			map[string]map[string]string{"a": a, "z": z}[side][id] = string(row.Value)
		}
		for id, v := range a {
			if z[id] != v {
				t.Errorf("torn transaction %s", id)
			}
			if !strings.HasPrefix(v, id) {
				t.Errorf("%s has another's value", id)
			}
		}
		if len(a) != len(z) {
			t.Errorf("torn: %d and %d rows", len(a), len(z))
		}
		for id := range acked {
			if _, ok := a[id]; !ok {
				t.Errorf("acknowledged %s is gone", id)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]bool{}
	for round := range 3 {
		s := mustOpen(t, dir)
		for n := range 50 {
			id := fmt.Sprintf("%d/%d", round, n)
			writePair(t, s, id)
			acked[id] = true
		}
		checkPairs(t, s, acked)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	checkPairs(t, mustOpen(t, dir), acked)
}

func writePair(t testing.TB, s kv.Store, id string) {
	t.Helper()
	if err := updatePair(s, id); err != nil {
		t.Fatal(err)
	}
}

func updatePair(s kv.Store, id string) error {
	value := []byte(id + strings.Repeat(".", 500))
	return s.Update(context.Background(), func(tx kv.Tx) error {
		if err := tx.Put([]byte("a/"+id), value); err != nil {
			return err
		}
		return tx.Put([]byte("z/"+id), value)
	})
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	_, err := pebble.Open(config(dir))
	if !errors.Is(err, kv.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second Open: %v", err)
	}
	// Another name of the same directory.
	other := t.TempDir() + "/link"
	if err := os.Symlink(dir, other); err == nil {
		if _, err := pebble.Open(config(other)); !errors.Is(err, kv.ErrLocked) {
			t.Errorf("second Open through a link: %v", err)
		}
	}
	out, err := child(t, "open", dir).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(string(out), dir) {
		t.Errorf("Open in another process: %v: %s", err, out)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir) // free again
}

func TestCheckpoint(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	acked := map[string]bool{}
	for n := range 200 {
		id := fmt.Sprint(n)
		writePair(t, s, id)
		acked[id] = true
	}
	stop, done := make(chan struct{}), make(chan error)
	go func() { // writers go on meanwhile
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := updatePair(s, fmt.Sprintf("during/%d", n)); err != nil {
				done <- err
				return
			}
		}
	}()
	dir := t.TempDir() + "/copy"
	err := s.Checkpoint(dir)
	close(stop)
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("checkpoint onto an existing directory: %v", err)
	}
	checkPairs(t, mustOpen(t, dir), acked)
}

func TestOpenErrors(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"a file": file, "below a file": file + "/dir", "no name": ""} {
		if _, err := pebble.Open(config(dir)); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Run("no permission", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may write anywhere")
		}
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		if _, err := pebble.Open(config(dir)); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%v", err)
		}
	})
	t.Run("newer format", func(t *testing.T) {
		dir := t.TempDir()
		s := mustOpen(t, dir)
		s.Close()
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "marker.format-version.") {
				os.Rename(dir+"/"+e.Name(), dir+"/marker.format-version.000999.999")
			}
		}
		if _, err := pebble.Open(config(dir)); err == nil || !strings.Contains(err.Error(), "newer version") {
			t.Errorf("%v", err)
		}
	})
}

// copyDir copies a store, also one in use.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		in, err := os.Open(from + "/" + e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // a table that a failed flush of the store still open has removed
		}
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(to + "/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(out, in); err != nil {
			t.Fatal(err)
		}
		in.Close()
		out.Close()
	}
	return to
}
