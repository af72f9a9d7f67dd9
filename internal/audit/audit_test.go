package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"coffer/internal/audit"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	key   = bytes.Repeat([]byte{7}, 32)
)

// memAnchors stands for the kv store.
type memAnchors struct {
	mu    sync.Mutex
	a     audit.Anchor
	ok    bool
	saves int
	err   error
}

func (m *memAnchors) Save(a audit.Anchor) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	if a.Seq < m.a.Seq {
		panic("anchor goes back")
	}
	m.a, m.ok = a, true
	m.saves++
	return nil
}

func (m *memAnchors) Load() (audit.Anchor, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.a, m.ok, m.err
}

func (m *memAnchors) get() (audit.Anchor, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.a, m.saves
}

func config(dir string, a audit.AnchorStore) audit.Config {
	return audit.Config{Dir: dir, Key: key, Anchors: a, Logger: quiet, SyncEvery: time.Hour}
}

func MustOpen(t testing.TB, cfg audit.Config) *audit.Log {
	t.Helper()
	l, err := audit.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func MustClose(t testing.TB, l *audit.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func record(i int) []byte {
	r := audit.Record{EventID: fmt.Sprintf("id-%d", i), EventName: "GetSecretValue", EventTime: time.Unix(1e9, 0)}
	return r.AppendJSON(nil)
}

func MustAppend(t testing.TB, l *audit.Log, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if err := l.Append(record(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func verify(t testing.TB, cfg audit.Config) (audit.Summary, []audit.Finding) {
	t.Helper()
	var fs []audit.Finding
	s, err := audit.Verify(t.Context(), cfg, func(f audit.Finding) { fs = append(fs, f) })
	if err != nil {
		t.Fatal(err)
	}
	if s.Findings != len(fs) {
		t.Fatalf("summary says %d findings, %d reported", s.Findings, len(fs))
	}
	return s, fs
}

func MustVerify(t testing.TB, cfg audit.Config, records uint64) {
	t.Helper()
	s, fs := verify(t, cfg)
	for _, f := range fs {
		t.Error(f)
	}
	if s.Records != records {
		t.Errorf("%d records, want %d", s.Records, records)
	}
}

func ids(t testing.TB, l *audit.Log, after uint64) []string {
	t.Helper()
	var out []string
	for e, err := range l.Read(context.Background(), after) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := audit.ParseRecord(e.Record)
		if err != nil {
			t.Fatal(err)
		}
		if want := after + uint64(len(out)) + 1; e.Seq != want {
			t.Fatalf("seq %d, want %d", e.Seq, want)
		}
		out = append(out, r.EventID)
	}
	return out
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestAppendReopenRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	anchors := &memAnchors{}
	cfg := config(dir, anchors)
	cfg.SegmentBytes = 4000
	for round := range 5 {
		l := MustOpen(t, cfg)
		MustAppend(t, l, round*20+1, round*20+20)
		if got := l.Head().Seq; got != uint64(round*20+20) {
			t.Fatalf("head %d", got)
		}
		s, err := l.Verify(t.Context(), func(f audit.Finding) { t.Error(f) })
		if err != nil || s.Records != uint64(round*20+20) {
			t.Fatal(s, err)
		}
		if round == 4 {
			for after := range uint64(101) {
				got := ids(t, l, after)
				if len(got) != int(100-after) || len(got) > 0 && got[0] != fmt.Sprintf("id-%d", after+1) {
					t.Fatalf("after %d: %d records from %v", after, len(got), got)
				}
			}
		}
		head := l.Head()
		MustClose(t, l)
		if a, _ := anchors.get(); a != head {
			t.Fatalf("anchor %+v, head %+v", a, head)
		}
		MustVerify(t, cfg, uint64(round*20+20))
	}
	if n := len(segments(t, dir)); n < 5 {
		t.Errorf("%d segments", n)
	}
	info, err := os.Stat(segments(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	if os.PathSeparator == '/' && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// A place in a large segment is found by bisection; every seq must be.
func TestReadSeeks(t *testing.T) {
	l := MustOpen(t, config(t.TempDir(), nil))
	defer MustClose(t, l)
	const n = 3000
	for i := 1; i <= n; i++ {
		r := audit.Record{EventID: fmt.Sprintf("id-%d", i), ErrorMessage: strings.Repeat("x", i*7%1900)}
		if err := l.Append(r.AppendJSON(nil)); err != nil {
			t.Fatal(err)
		}
	}
	for after := uint64(0); after < n; after += 1 + after%7 {
		for e, err := range l.Read(t.Context(), after) {
			if err != nil || e.Seq != after+1 {
				t.Fatal(after, e.Seq, err)
			}
			break
		}
	}
	got, err := l.RecentIDs(t.Context(), 3)
	if err != nil || !slices.Equal(got, []string{"id-2998", "id-2999", "id-3000"}) {
		t.Fatal(got, err)
	}
}

func TestAppendRefuses(t *testing.T) {
	l := MustOpen(t, config(t.TempDir(), nil))
	if err := l.Append(); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "{", "x", `{"a":1}` + "\n", "{\n}", "[1]"} {
		if err := l.Append(record(1), []byte(bad)); !errors.Is(err, audit.ErrRecord) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	big := []byte(`{"a":"` + strings.Repeat("x", audit.MaxRecord-8) + `"}`)
	if err := l.Append(big); err != nil {
		t.Error(err)
	}
	if err := l.Append(append(big[:len(big)-1], ' ', '}')); !errors.Is(err, audit.ErrTooLarge) {
		t.Error(err)
	}
	if l.Head().Seq != 1 {
		t.Error("a refused Append left something")
	}
	MustClose(t, l)
	if err := l.Append(record(1)); !errors.Is(err, audit.ErrClosed) {
		t.Error(err)
	}
	if err := l.Sync(); !errors.Is(err, audit.ErrClosed) {
		t.Error(err)
	}
	if err := l.Close(); !errors.Is(err, audit.ErrClosed) {
		t.Error(err)
	}
	if err := l.Wait(t.Context(), 1); !errors.Is(err, audit.ErrClosed) {
		t.Error(err)
	}
}

// Many writers, a follower and the syncer at once: nothing lost, nothing twice,
// the records of one Append side by side.
func TestConcurrent(t *testing.T) {
	for _, every := range []time.Duration{time.Millisecond, -1} {
		t.Run(every.String(), func(t *testing.T) {
			dir := t.TempDir()
			anchors := &memAnchors{}
			cfg := config(dir, anchors)
			cfg.SyncEvery = every
			cfg.SegmentBytes = 100 << 10
			l := MustOpen(t, cfg)
			const workers, each = 16, 60
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for i := range each {
						n := (w*each + i) * 2
						if err := l.Append(record(n), record(n+1)); err != nil {
							t.Error(err)
							return
						}
						if every < 0 && l.Durable().Seq < 2 {
							t.Error("not synced")
						}
						if i%20 == 0 {
							if err := l.Sync(); err != nil {
								t.Error(err)
							}
						}
					}
				})
			}
			seen := make(map[string]uint64)
			wg.Go(func() {
				seq := uint64(0)
				for seq < workers*each*2 {
					if err := l.Wait(t.Context(), seq); err != nil {
						t.Error(err)
						return
					}
					for e, err := range l.Read(t.Context(), seq) {
						if err != nil {
							t.Error(err)
							return
						}
						r, _ := audit.ParseRecord(e.Record)
						seen[r.EventID] = e.Seq
						seq = e.Seq
					}
				}
			})
			wg.Wait()
			for n := 0; n < workers*each*2; n += 2 {
				a, b := seen[fmt.Sprintf("id-%d", n)], seen[fmt.Sprintf("id-%d", n+1)]
				if a == 0 || b != a+1 {
					t.Fatalf("records %d and %d at %d and %d", n, n+1, a, b)
				}
			}
			MustClose(t, l)
			MustVerify(t, cfg, workers*each*2)
			s := l.Stats()
			t.Logf("%d records in %d writes, %d syncs, %d segments", s.Records, s.Writes, s.Syncs, s.Segments)
		})
	}
}

func TestSyncEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		anchors := &memAnchors{}
		cfg := config(t.TempDir(), anchors)
		cfg.SyncEvery = 0 // 1 s
		l := MustOpen(t, cfg)
		_, first := anchors.get()
		MustAppend(t, l, 1, 10)
		time.Sleep(900 * time.Millisecond)
		synctest.Wait()
		if l.Durable().Seq != 0 || l.Stats().Syncs != 0 {
			t.Error("synced too early")
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if a, n := anchors.get(); l.Durable().Seq != 10 || a.Seq != 10 || n != first+1 {
			t.Errorf("durable %d, anchor %d, %d saves", l.Durable().Seq, a.Seq, n-first)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if _, n := anchors.get(); l.Stats().Syncs != 1 || n != first+1 {
			t.Errorf("idle log: %d syncs, %d saves", l.Stats().Syncs, n-first)
		}
		anchors.mu.Lock()
		anchors.err = errors.New("store closed")
		anchors.mu.Unlock()
		MustAppend(t, l, 11, 11)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if l.Err() != nil || l.Stats().AnchorError == nil {
			t.Error("an unsaved anchor must show and must not stop the log")
		}
		anchors.mu.Lock()
		anchors.err = nil
		anchors.mu.Unlock()
		MustClose(t, l)
		if a, _ := anchors.get(); a.Seq != 11 {
			t.Errorf("anchor %d after Close", a.Seq)
		}
	})
}

func TestContains(t *testing.T) {
	cfg := config(t.TempDir(), &memAnchors{})
	cfg.SegmentBytes = 2000
	l := MustOpen(t, cfg)
	MustAppend(t, l, 1, 20)
	// A parameter of that name is not the event's id.
	trap := audit.Record{EventID: "real", RequestParameters: []byte(`{"eventID":"forged"}`)}
	if err := l.Append(trap.AppendJSON(nil)); err != nil {
		t.Fatal(err)
	}
	MustClose(t, l)
	l = MustOpen(t, cfg)
	defer MustClose(t, l)
	got, err := l.Contains(t.Context(), 5, "id-5", "id-6", "id-20", "id-21", "real", "forged")
	want := map[string]bool{"id-5": false, "id-6": true, "id-20": true, "id-21": false, "real": true, "forged": false}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatal(got, err)
	}
}

func TestAnchorBinary(t *testing.T) {
	a := audit.Anchor{Seq: 5, Hash: [32]byte{1, 2}, Segment: 3, Offset: 1 << 40}
	b, err := a.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var c audit.Anchor
	if err := c.UnmarshalBinary(b); err != nil || a != c {
		t.Fatal(c, err)
	}
	b[0] = 9
	if c.UnmarshalBinary(b) == nil || c.UnmarshalBinary(b[:10]) == nil || c.UnmarshalBinary(nil) == nil {
		t.Error("accepted")
	}
}

func TestConfig(t *testing.T) {
	if _, err := audit.Open(audit.Config{}); err == nil {
		t.Error("no directory")
	}
	if _, err := audit.Open(audit.Config{Dir: t.TempDir(), Key: []byte("short")}); err == nil {
		t.Error("short key")
	}
}
