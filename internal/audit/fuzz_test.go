package audit_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"coffer/internal/audit"
)

// FuzzLine gives the parsers of the stored format anything at all.
func FuzzLine(f *testing.F) {
	_, _, names := logFiles(f)
	for _, l := range readLines(f, names[0])[:3] {
		f.Add(bytes.TrimSuffix(l, []byte("\n")))
	}
	f.Add([]byte(`{"seq":18446744073709551616,"chain":"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		seq, rec, err := audit.ParseLine(b)
		if err == nil && (len(rec) < 2 || rec[0] != '{' || len(rec) > len(b)) {
			t.Fatal(seq, rec)
		}
		_ = audit.ParseHeader(b)
		id := audit.EventID(b)
		if id != "" && json.Valid(b) {
			var v map[string]any
			if json.Unmarshal(b, &v) != nil {
				t.Fatalf("an id %q in what is no object", id)
			}
		}
	})
}

// FuzzVerify gives Verify, Open and Read a segment with any bytes in it. They may
// find what they like, but not panic, and a segment that is not as it was written
// must not pass.
func FuzzVerify(f *testing.F) {
	cfg, anchors, names := logFiles(f)
	whole, err := os.ReadFile(names[1])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte{})
	f.Add(whole[:len(whole)-1])
	f.Add(append(bytes.Clone(whole), whole...))
	f.Add(bytes.ReplaceAll(whole, []byte(`"seq":1`), []byte(`"seq":3`)))
	a, _ := anchors.get()
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		for i, n := range names {
			text := b
			if i != 1 {
				if text, err = os.ReadFile(n); err != nil {
					t.Fatal(err)
				}
			}
			writeFile(t, filepath.Join(dir, filepath.Base(n)), text)
		}
		c := cfg
		c.Dir, c.Anchors = dir, &memAnchors{a: a, ok: true}
		_, fs := verify(t, c)
		if (len(fs) == 0) != bytes.Equal(b, whole) {
			t.Fatalf("%d findings", len(fs))
		}
		l, err := audit.Open(c)
		if err != nil {
			return
		}
		defer l.Close()
		for _, err := range l.Read(t.Context(), 10) {
			if err != nil {
				break
			}
		}
	})
}
