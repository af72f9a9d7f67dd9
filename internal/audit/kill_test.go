package audit_test

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/audit"
)

// fileAnchors keeps the anchor in a file, for a store that outlives a process.
type fileAnchors string

func (f fileAnchors) Save(a audit.Anchor) error {
	b, err := a.MarshalBinary()
	if err != nil {
		return err
	}
	if err := os.WriteFile(string(f)+".new", []byte(hex.EncodeToString(b)), 0o600); err != nil {
		return err
	}
	return os.Rename(string(f)+".new", string(f))
}

func (f fileAnchors) Load() (a audit.Anchor, ok bool, err error) {
	text, err := os.ReadFile(string(f))
	if os.IsNotExist(err) {
		return a, false, nil
	}
	if err != nil {
		return a, false, err
	}
	b, err := hex.DecodeString(string(text))
	if err != nil {
		return a, false, err
	}
	return a, true, a.UnmarshalBinary(b)
}

func killConfig(dir string) audit.Config {
	cfg := config(filepath.Join(dir, "audit"), fileAnchors(filepath.Join(dir, "anchor")))
	cfg.SegmentBytes = 200 << 10
	cfg.SyncEvery = 5 * time.Millisecond
	return cfg
}

func TestMain(m *testing.M) {
	if dir := os.Getenv("COFFER_AUDIT_CHILD"); dir != "" {
		appendForEver(dir, os.Getenv("COFFER_AUDIT_ROUND"))
	}
	os.Exit(m.Run())
}

// started is the child's first line: the time to the kill counts from it, however
// long the machine took to start the process.
const started = "started"

// appendForEver appends pairs until it is killed and prints the id of each pair
// whose Append has returned.
func appendForEver(dir, round string) {
	fmt.Println(started)
	l, err := audit.Open(killConfig(dir))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			pad := strings.Repeat("x", 900)
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", round, w, i)
				a := audit.Record{EventID: id + "-a", ErrorMessage: pad}
				b := audit.Record{EventID: id + "-b", ErrorMessage: pad}
				if err := l.Append(a.AppendJSON(nil), b.AppendJSON(nil)); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				fmt.Fprintf(os.Stdout, "%s\n", id) // one write(2)
			}
		})
	}
	wg.Wait()
}

func TestKill(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var acknowledged []string
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "COFFER_AUDIT_CHILD="+dir, fmt.Sprintf("COFFER_AUDIT_ROUND=%d", round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != started {
			t.Fatalf("the child began with %q: %v", lines.Text(), lines.Err())
		}
		timer := time.AfterFunc(time.Duration(20+rand.IntN(120))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "error") {
				t.Fatal(lines.Text())
			}
			acknowledged = append(acknowledged, lines.Text())
		}
		_ = cmd.Wait() // killed
		timer.Stop()

		if _, err := os.Stat(killConfig(dir).Dir); errors.Is(err, fs.ErrNotExist) && len(acknowledged) == 0 {
			continue // killed before it had made anything
		}
		// Verify sees it as the kill left it; a read-only look needs no recovery.
		_, findings := verify(t, killConfig(dir))
		for _, f := range findings {
			t.Error(f)
		}
	}
	if len(acknowledged) == 0 {
		t.Fatal("no child got to work")
	}
	cfg := killConfig(dir)
	l := MustOpen(t, cfg)
	seen := make(map[string]uint64)
	n := uint64(0)
	for e, err := range l.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		id := audit.EventID(e.Record)
		if seen[id] != 0 {
			t.Fatalf("%s at %d and %d", id, seen[id], e.Seq)
		}
		seen[id] = e.Seq
		n++
	}
	for _, id := range acknowledged {
		if a, b := seen[id+"-a"], seen[id+"-b"]; a == 0 || b != a+1 {
			t.Fatalf("%s acknowledged, in the log at %d and %d", id, a, b)
		}
	}
	MustClose(t, l)
	MustVerify(t, cfg, n)
	t.Logf("%d rounds, %d appends acknowledged, %d records, %d segments", rounds, len(acknowledged), n, len(segments(t, cfg.Dir)))
}
