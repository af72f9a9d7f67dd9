package audit_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"coffer/internal/audit"
)

// A disk that is really full: in the middle of a segment, and when the next one
// is to be made.
func TestFullDisk(t *testing.T) {
	for name, segment := range map[string]int64{"write": 1 << 30, "rotation": 8 << 10} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
				t.Skipf("cannot mount a small tmpfs (needs root): %v", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(dir, 0); err != nil {
					t.Error(err)
				}
			})
			filler := filepath.Join(dir, "filler")
			if err := os.WriteFile(filler, make([]byte, 128<<10), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := config(filepath.Join(dir, "audit"), &memAnchors{})
			cfg.SegmentBytes = segment
			l := MustOpen(t, cfg)
			n := 0
			fill := func() error {
				for {
					r := audit.Record{EventID: "x", ErrorMessage: strings.Repeat("x", 100+n*37%1500)}
					if err := l.Append(r.AppendJSON(nil), r.AppendJSON(nil)); err != nil {
						return err
					}
					n += 2
				}
			}
			if err := fill(); !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			if n < 20 || l.Head().Seq != uint64(n) {
				t.Fatal(n, l.Head())
			}
			if s, _ := verify(t, cfg); s.Unfinished != 0 {
				t.Errorf("%d bytes of a half-written batch were left", s.Unfinished)
			}
			MustVerify(t, cfg, uint64(n))
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			time.Sleep(120 * time.Millisecond)
			before := n
			if err := fill(); !errors.Is(err, syscall.ENOSPC) || n < before+20 {
				t.Fatal(n, err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			MustVerify(t, cfg, uint64(n))
			var out bytes.Buffer
			for _, s := range segments(t, cfg.Dir) {
				b, _ := os.ReadFile(s)
				out.Write(b)
			}
			if got := bytes.Count(out.Bytes(), []byte(`"record":`)); got != n {
				t.Errorf("%d records in the files, %d acknowledged", got, n)
			}
		})
	}
}
