package audit_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coffer/internal/audit"
)

// logFiles makes a closed log of three or more segments.
func logFiles(t testing.TB) (audit.Config, *memAnchors, []string) {
	t.Helper()
	anchors := &memAnchors{}
	cfg := config(t.TempDir(), anchors)
	cfg.SegmentBytes = 5000
	l := MustOpen(t, cfg)
	MustAppend(t, l, 1, 35)
	MustClose(t, l)
	MustVerify(t, cfg, 35)
	names := segments(t, cfg.Dir)
	if len(names) < 3 {
		t.Fatalf("%d segments", len(names))
	}
	return cfg, anchors, names
}

func readLines(t testing.TB, name string) [][]byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(b, []byte("\n"))
	return lines[:len(lines)-1]
}

func writeFile(t testing.TB, name string, lines ...[]byte) {
	t.Helper()
	if err := os.WriteFile(name, bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

func offset(lines [][]byte, n int) (off int64) {
	for _, l := range lines[:n] {
		off += int64(len(l))
	}
	return off
}

func TestTamper(t *testing.T) {
	type want struct {
		kind audit.Kind
		line int // whose offset, -1 if another file or place
	}
	clone := func(l []byte) []byte { return bytes.Clone(l) }
	join := func(parts ...[][]byte) (out [][]byte) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	// Each case edits the lines of the second segment. Line 0 is the header.
	for name, c := range map[string]struct {
		edit func(l [][]byte) [][]byte
		want []want
	}{
		"removed":       {func(l [][]byte) [][]byte { return join(l[:5], l[6:]) }, []want{{audit.Removed, 5}}},
		"three removed": {func(l [][]byte) [][]byte { return join(l[:5], l[8:]) }, []want{{audit.Removed, 5}}},
		"first removed": {func(l [][]byte) [][]byte { return join(l[:1], l[2:]) }, []want{{audit.Removed, 1}}},
		"last removed":  {func(l [][]byte) [][]byte { return l[:len(l)-1] }, []want{{audit.Removed, -1}}},
		"altered": {func(l [][]byte) [][]byte {
			l[5] = bytes.Replace(l[5], []byte("GetSecretValue"), []byte("PutSecretValue"), 1)
			return l
		}, []want{{audit.Altered, 5}}},
		"altered in length": {func(l [][]byte) [][]byte {
			l[5] = bytes.Replace(l[5], []byte("GetSecretValue"), []byte("ListSecrets"), 1)
			return l
		}, []want{{audit.Altered, 5}}},
		"two altered": {func(l [][]byte) [][]byte {
			for _, i := range []int{4, 7} {
				l[i] = bytes.Replace(l[i], []byte("GetSecretValue"), []byte("PutSecretValue"), 1)
			}
			return l
		}, []want{{audit.Altered, 4}, {audit.Altered, 7}}},
		"seq altered": {func(l [][]byte) [][]byte {
			l[5] = bytes.Replace(l[5], []byte(`{"seq":1`), []byte(`{"seq":9`), 1)
			return l
		}, []want{{audit.Altered, 5}}},
		"chain altered": {func(l [][]byte) [][]byte {
			i := bytes.Index(l[5], []byte(`"chain":"`)) + 12
			l[5][i] = hexOther(l[5][i])
			return l
		}, []want{{audit.Altered, 5}}},
		"chain of the last altered": {func(l [][]byte) [][]byte {
			n := len(l) - 1
			i := bytes.Index(l[n], []byte(`"chain":"`)) + 12
			l[n][i] = hexOther(l[n][i])
			return l
		}, []want{{audit.Altered, 11}}},
		"swapped": {func(l [][]byte) [][]byte { l[5], l[6] = l[6], l[5]; return l }, []want{{audit.Reordered, 5}}},
		"moved back": {func(l [][]byte) [][]byte { return join(l[:4], l[5:9], l[4:5], l[9:]) },
			[]want{{audit.Reordered, 8}}},
		"moved forward": {func(l [][]byte) [][]byte { return join(l[:4], l[8:9], l[4:8], l[9:]) },
			[]want{{audit.Inserted, 4}, {audit.Removed, 9}}},
		"duplicated": {func(l [][]byte) [][]byte { return join(l[:6], l[5:]) }, []want{{audit.Repeated, 6}}},
		"old one again": {func(l [][]byte) [][]byte { return join(l[:8], l[3:4], l[8:]) },
			[]want{{audit.Inserted, 8}}},
		"inserted": {func(l [][]byte) [][]byte {
			return join(l[:5], [][]byte{bytes.Replace(clone(l[5]), []byte("Get"), []byte("Put"), 1)}, l[5:])
		}, []want{{audit.Inserted, 5}}},
		"inserted far number": {func(l [][]byte) [][]byte {
			return join(l[:5], [][]byte{bytes.Replace(clone(l[3]), []byte(`{"seq":1`), []byte(`{"seq":77`), 1)}, l[5:])
		}, []want{{audit.Inserted, 5}}},
		"repeated under a far number": {func(l [][]byte) [][]byte {
			return join(l[:5], [][]byte{bytes.Replace(clone(l[5]), []byte(`{"seq":1`), []byte(`{"seq":77`), 1)}, l[5:])
		}, []want{{audit.Altered, 5}, {audit.Repeated, 6}}},
		"inserted junk": {func(l [][]byte) [][]byte {
			return join(l[:5], [][]byte{[]byte("hello\n")}, l[5:])
		}, []want{{audit.Malformed, 5}}},
		"spoiled": {func(l [][]byte) [][]byte {
			l[5] = []byte(strings.Repeat("\x00", len(l[5])-1) + "\n")
			return l
		}, []want{{audit.Malformed, 5}}},
		"long line": {func(l [][]byte) [][]byte {
			l[5] = []byte(strings.Repeat("y", 2*audit.MaxRecord) + "\n")
			return l
		}, []want{{audit.Malformed, 5}}},
		"line end lost": {func(l [][]byte) [][]byte {
			l[5] = l[5][:len(l[5])-1]
			return l
		}, nil},
		"torn": {func(l [][]byte) [][]byte {
			n := len(l) - 1
			l[n] = l[n][:20]
			return l
		}, []want{{audit.Torn, 11}, {audit.Removed, -1}}},
		"header altered": {func(l [][]byte) [][]byte {
			l[0] = bytes.Replace(l[0], []byte(`"created":"2`), []byte(`"created":"1`), 1)
			return l
		}, []want{{audit.Header, 0}}},
		"header removed": {func(l [][]byte) [][]byte { return l[1:] }, []want{{audit.Header, 0}}},
		"header only":    {func(l [][]byte) [][]byte { return l[:1] }, []want{{audit.Removed, -1}}},
		"emptied":        {func([][]byte) [][]byte { return nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _, names := logFiles(t)
			before := readLines(t, names[1])
			if len(before) != 12 {
				t.Fatalf("%d lines", len(before))
			}
			after := c.edit(readLines(t, names[1]))
			writeFile(t, names[1], after...)
			_, fs := verify(t, cfg)
			for _, f := range fs {
				t.Log(f)
				if !errors.Is(f, audit.ErrTampered) {
					t.Error("not ErrTampered")
				}
			}
			if len(fs) == 0 {
				t.Fatal("nothing found")
			}
			if c.want != nil && len(fs) != len(c.want) {
				t.Errorf("%d findings, want %d", len(fs), len(c.want))
			}
			for i, w := range c.want[:min(len(fs), len(c.want))] {
				f := fs[i]
				if f.Kind != w.kind {
					t.Errorf("finding %d is %q, want %q", i, f.Kind, w.kind)
				}
				if w.line >= 0 && (f.File != filepath.Base(names[1]) || f.Offset != offset(after, w.line)) {
					t.Errorf("finding %d at %s:%d, want offset %d", i, f.File, f.Offset, offset(after, w.line))
				}
			}
		})
	}
}

func hexOther(c byte) byte {
	if c == '0' {
		return '1'
	}
	return '0'
}

func TestTamperSegments(t *testing.T) {
	has := func(t *testing.T, cfg audit.Config, kinds ...audit.Kind) {
		t.Helper()
		_, fs := verify(t, cfg)
		for _, f := range fs {
			t.Log(f)
		}
		for _, k := range kinds {
			found := false
			for _, f := range fs {
				found = found || f.Kind == k
			}
			if !found {
				t.Errorf("no finding %q", k)
			}
		}
		if len(fs) > len(kinds)+2 {
			t.Errorf("%d findings", len(fs))
		}
	}
	t.Run("first removed", func(t *testing.T) {
		cfg, _, names := logFiles(t)
		os.Remove(names[0])
		has(t, cfg, audit.MissingSegment)
	})
	t.Run("middle removed", func(t *testing.T) {
		cfg, _, names := logFiles(t)
		os.Remove(names[1])
		has(t, cfg, audit.MissingSegment)
	})
	t.Run("last removed", func(t *testing.T) {
		cfg, _, names := logFiles(t)
		os.Remove(names[len(names)-1])
		has(t, cfg, audit.Truncated)
		if _, err := audit.Open(cfg); !errors.Is(err, audit.ErrTampered) {
			t.Error(err)
		}
	})
	t.Run("all removed", func(t *testing.T) {
		cfg, _, names := logFiles(t)
		for _, n := range names {
			os.Remove(n)
		}
		has(t, cfg, audit.Truncated)
		var f audit.Finding
		if _, err := audit.Open(cfg); !errors.As(err, &f) || f.Kind != audit.Truncated {
			t.Error(err)
		}
	})
	t.Run("swapped", func(t *testing.T) {
		cfg, _, names := logFiles(t)
		a, b := readLines(t, names[0]), readLines(t, names[1])
		writeFile(t, names[0], b...)
		writeFile(t, names[1], a...)
		has(t, cfg, audit.Reordered, audit.Reordered)
	})
	t.Run("copied", func(t *testing.T) {
		cfg, _, names := logFiles(t)
		writeFile(t, filepath.Join(cfg.Dir, "audit-00000009-00000000000000000099.jsonl"), readLines(t, names[1])...)
		has(t, cfg, audit.Reordered, audit.Repeated)
	})
	t.Run("tail cut", func(t *testing.T) {
		cfg, _, names := logFiles(t)
		last := names[len(names)-1]
		lines := readLines(t, last)
		writeFile(t, last, lines[:len(lines)-1]...)
		has(t, cfg, audit.Truncated)
		var f audit.Finding
		if _, err := audit.Open(cfg); !errors.As(err, &f) || f.Kind != audit.Truncated || f.File != filepath.Base(last) || f.Offset != offset(lines, len(lines)-1) {
			t.Error(err)
		}
		writeFile(t, last, append(lines[:len(lines)-1:len(lines)-1], lines[len(lines)-1][:30])...)
		has(t, cfg, audit.Torn, audit.Truncated)
		if _, err := audit.Open(cfg); !errors.As(err, &f) || f.Kind != audit.Truncated {
			t.Error(err)
		}
	})
	t.Run("other key", func(t *testing.T) {
		cfg, _, _ := logFiles(t)
		cfg.Key = bytes.Repeat([]byte{8}, 32)
		var f audit.Finding
		if _, err := audit.Open(cfg); !errors.As(err, &f) || f.Kind != audit.Header || !strings.Contains(f.Detail, "written under key") {
			t.Error(err)
		}
		_, fs := verify(t, cfg)
		if len(fs) == 0 || fs[0].Kind != audit.Header {
			t.Error(fs)
		}
	})
	// Who can write the files but has no key makes the best chain there can be:
	// the log's own code, without a key or with another.
	for name, k := range map[string][]byte{"rebuilt without key": nil, "rebuilt with another key": bytes.Repeat([]byte{9}, 32)} {
		t.Run(name, func(t *testing.T) {
			cfg, _, names := logFiles(t)
			for _, n := range names {
				os.Remove(n)
			}
			forged := cfg
			forged.Key, forged.Anchors = k, nil
			l := MustOpen(t, forged)
			MustAppend(t, l, 2, 36)
			MustClose(t, l)
			_, fs := verify(t, cfg)
			for _, f := range fs {
				t.Log(f)
			}
			if len(fs) < 3 || len(fs) > 12 || fs[0].Kind != audit.Header || fs[1].Kind != audit.Altered || fs[1].Seq != 1 || fs[1].LastSeq < 5 {
				t.Error("not found")
			}
			if _, err := audit.Open(cfg); !errors.Is(err, audit.ErrTampered) {
				t.Error(err)
			}
		})
	}
	// With the key and without the anchor it is a perfect log: only the anchor tells.
	t.Run("rebuilt with the key", func(t *testing.T) {
		cfg, _, names := logFiles(t)
		for _, n := range names {
			os.Remove(n)
		}
		forged := cfg
		forged.Anchors = nil
		l := MustOpen(t, forged)
		MustAppend(t, l, 2, 36)
		MustClose(t, l)
		has(t, cfg, audit.AnchorMismatch)
		var f audit.Finding
		if _, err := audit.Open(cfg); !errors.As(err, &f) || f.Kind != audit.AnchorMismatch {
			t.Error(err)
		}
	})
	t.Run("anchor removed", func(t *testing.T) {
		cfg, _, _ := logFiles(t)
		cfg.Anchors = &memAnchors{}
		has(t, cfg, audit.AnchorMismatch)
		if _, err := audit.Open(cfg); !errors.Is(err, audit.ErrNoAnchor) {
			t.Error(err)
		}
	})
}

// Every bit of a log counts; every fifth byte is tried, each time another bit.
func TestBitFlips(t *testing.T) {
	cfg, _, names := logFiles(t)
	name := names[1]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(b); i += 5 {
		b[i] ^= 1 << (i % 8)
		writeFile(t, name, b)
		_, fs := verify(t, cfg)
		if len(fs) == 0 {
			t.Errorf("bit %d of byte %d: nothing found", i%8, i)
		}
		if len(fs) > 3 {
			t.Errorf("bit %d of byte %d: %d findings: %v", i%8, i, len(fs), fs)
		}
		b[i] ^= 1 << (i % 8)
	}
}

// openTail makes a log whose anchor is at record 10 and that goes on to 20.
func openTail(t testing.TB) (audit.Config, string) {
	t.Helper()
	anchors := &memAnchors{}
	cfg := config(t.TempDir(), anchors)
	l := MustOpen(t, cfg)
	MustAppend(t, l, 1, 10)
	MustClose(t, l)
	a, _ := anchors.get()
	l = MustOpen(t, cfg)
	MustAppend(t, l, 11, 20)
	MustClose(t, l)
	anchors.a = a
	return cfg, segments(t, cfg.Dir)[0]
}

func TestTornTail(t *testing.T) {
	cfg, name := openTail(t)
	lines := readLines(t, name)
	for _, keep := range []int{1, 50, len(lines[20]) - 1} {
		writeFile(t, name, bytes.Join(lines[:20], nil), lines[20][:keep])
		s, fs := verify(t, cfg)
		if len(fs) != 0 || s.Unfinished != int64(keep) || s.Records != 19 {
			t.Error(s, fs)
		}
		c := cfg
		a, _ := cfg.Anchors.(*memAnchors).get()
		c.Anchors = &memAnchors{a: a, ok: true}
		l := MustOpen(t, c)
		if l.Head().Seq != 19 || l.Durable().Seq != 19 {
			t.Error(l.Head())
		}
		if saved, _ := c.Anchors.(*memAnchors).get(); saved != l.Head() {
			t.Error("what recovery kept is not anchored")
		}
		MustAppend(t, l, 20, 21)
		MustClose(t, l)
		MustVerify(t, c, 21)
	}
}

// Whole lines after the anchor that do not check out are kept aside, and the gap
// is told for good.
func TestDamagedTail(t *testing.T) {
	cfg, name := openTail(t)
	lines := readLines(t, name)
	lines[15] = []byte(strings.Repeat("\x00", len(lines[15])-1) + "\n")
	writeFile(t, name, lines...)
	l := MustOpen(t, cfg)
	if l.Head().Seq != 14 {
		t.Error(l.Head())
	}
	MustAppend(t, l, 115, 120)
	if got := ids(t, l, 12); len(got) != 8 || got[2] != "id-115" {
		t.Error(got)
	}
	MustClose(t, l)
	_, fs := verify(t, cfg)
	if len(fs) != 1 || fs[0].Kind != audit.Gap {
		t.Error(fs)
	}
	kept, err := filepath.Glob(name + ".cut-*")
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	if b, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(b, bytes.Join(lines[15:], nil)) {
		t.Error("what was cut off is not what was kept", err)
	}
	// Hiding the gap is tampering like any other.
	last := segments(t, cfg.Dir)[1]
	b, _ := os.ReadFile(last)
	i, j := bytes.Index(b, []byte(`,"gap"`)), bytes.Index(b, []byte(`,"chain"`))
	writeFile(t, last, b[:i], b[j:])
	if _, fs := verify(t, cfg); len(fs) == 0 || fs[0].Kind != audit.Header {
		t.Error(fs)
	}
}

// Damage at or before the anchor is refused, repaired only on demand, and then
// never hidden.
func TestRepair(t *testing.T) {
	for name, spoil := range map[string]func(lines [][]byte) [][]byte{
		"cut":     func(l [][]byte) [][]byte { return l[:6] },
		"torn":    func(l [][]byte) [][]byte { l[6] = l[6][:9]; return l[:7] },
		"altered": func(l [][]byte) [][]byte { l[10][len(l[10])/8] ^= 1; return l },
		"gone":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			cfg, file := openTail(t)
			if spoil == nil {
				os.Remove(file)
			} else {
				writeFile(t, file, spoil(readLines(t, file))...)
			}
			_, err := audit.Open(cfg)
			var f audit.Finding
			if !errors.As(err, &f) || !errors.Is(err, audit.ErrTampered) || f.File == "" {
				t.Fatal(err)
			}
			t.Log(err)
			cfg.Repair = true
			l := MustOpen(t, cfg)
			start := l.Head().Seq
			if start < 10 {
				t.Errorf("numbers up to 10 were anchored, the log goes on after %d", start)
			}
			MustAppend(t, l, 101, 105)
			if got := ids(t, l, start); len(got) != 5 || got[0] != "id-101" {
				t.Error(got)
			}
			MustClose(t, l)
			cfg.Repair = false
			l = MustOpen(t, cfg)
			MustAppend(t, l, 106, 106)
			MustClose(t, l)
			_, fs := verify(t, cfg)
			gap := false
			for _, f := range fs {
				t.Log(f)
				gap = gap || f.Kind == audit.Gap
			}
			if !gap {
				t.Error("the gap is not reported")
			}
		})
	}
}

// Without an anchor only an unfinished line is taken for a crash.
func TestNoAnchorStore(t *testing.T) {
	cfg, file := openTail(t)
	cfg.Anchors = nil
	lines := readLines(t, file)
	writeFile(t, file, bytes.Join(lines[:15], nil), lines[15][:40])
	l := MustOpen(t, cfg)
	if l.Head().Seq != 14 {
		t.Error(l.Head())
	}
	MustClose(t, l)
	lines[12][len(lines[12])-9] ^= 1
	writeFile(t, file, lines...)
	var f audit.Finding
	if _, err := audit.Open(cfg); !errors.As(err, &f) || f.Offset != offset(lines, 12) {
		t.Error(err)
	}
}

// A crash between the parts of a rotation.
func TestRotationCrash(t *testing.T) {
	cfg, anchors, _ := logFiles(t)
	// The anchor still in an earlier segment.
	l := MustOpen(t, cfg)
	MustClose(t, l)
	end, _ := anchors.get()
	first := &memAnchors{}
	c := config(t.TempDir(), first)
	c.SegmentBytes, c.Now = cfg.SegmentBytes, time.Now
	l = MustOpen(t, c)
	MustAppend(t, l, 1, 3)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	early := l.Durable()
	MustAppend(t, l, 4, 35)
	MustClose(t, l)
	first.a = early
	// A segment that has not got its name yet.
	unnamed := filepath.Join(c.Dir, "audit-00000009-00000000000000000099.jsonl.new")
	writeFile(t, unnamed, []byte(`{"coffer`))
	l = MustOpen(t, c)
	if l.Head().Seq != end.Seq {
		t.Error(l.Head())
	}
	MustClose(t, l)
	if _, err := os.Stat(unnamed); !os.IsNotExist(err) {
		t.Error("left behind")
	}
	MustVerify(t, c, 35)
}
