package lambda_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"coffer/internal/api"
	"coffer/internal/lambda"
)

// A name means what it says, in each of its forms.
func TestNames(t *testing.T) {
	t.Parallel()
	r := &api.Request{Account: ours, Region: here}
	for name, want := range map[string]string{
		"f":                           here + " " + ours + " f ",
		"f:1":                         here + " " + ours + " f 1",
		"f:$LATEST":                   here + " " + ours + " f $LATEST",
		"function:f":                  here + " " + ours + " f ",
		ours + ":function:f":          here + " " + ours + " f ",
		theirs + ":f":                 here + " " + theirs + " f ",
		here + ":" + theirs + ":f:v":  here + " " + theirs + " f v",
		prefix + "function:f":         here + " " + ours + " f ",
		prefix + "function:f:$LATEST": here + " " + ours + " f $LATEST",
		prefix + "function:f:prod":    here + " " + ours + " f prod",
	} {
		region, account, f, qualifier, err := lambda.ParseName(r, name)
		if got := strings.Join([]string{region, account, f, qualifier}, " "); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"arn:aws:s3:::f", "f:1:2", elsewhere + ":" + ours + ":f", "arn:aws-cn:lambda:" + here + ":" + ours + ":function:f", strings.Repeat("f", 65)} {
		if _, _, _, _, err := lambda.ParseName(r, name); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"f", "f:$LATEST", prefix + "function:f:1", "function:", ":::", "arn:", "arn:aws:lambda:"} {
		f.Add(s)
	}
	r := &api.Request{Account: ours, Region: here}
	f.Fuzz(func(t *testing.T, s string) {
		region, _, name, qualifier, err := lambda.ParseName(r, s)
		if err == nil && (region != here || name == "" || strings.Contains(name+qualifier, ":")) {
			t.Errorf("%q is %q and %q in %q", s, name, qualifier, region)
		}
	})
}

// entry is a file of a package that is made on purpose.
type entry struct {
	name, content string
	mode          fs.FileMode
}

func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.mode | 0o644)
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = io.WriteString(f, e.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Packages that would be unpacked elsewhere than where they belong are refused.
func TestArchives(t *testing.T) {
	t.Parallel()
	link := func(name, to string) entry { return entry{name, to, fs.ModeSymlink} }
	file := func(name string) entry { return entry{name: name, content: "x"} }
	for _, tc := range []struct {
		rule string
		b    []byte
		ok   bool
	}{
		{"a file", pack(t, file("f.py")), true},
		{"a folder", pack(t, file("lib/f.py"), file("lib/g/h.py")), true},
		{"a link within", pack(t, file("lib/f.py"), link("f.py", "lib/f.py")), true},
		{"a link up and down", pack(t, file("a/f"), link("b/f", "../a/f")), true},
		{"nothing", pack(t), false},
		{"up", pack(t, file("../f")), false},
		{"up in the middle", pack(t, file("a/../../f")), false},
		{"from the root", pack(t, file("/f")), false},
		{"as Windows has it", pack(t, file(`..\f`)), false},
		{"a link out", pack(t, link("f", "../f")), false},
		{"a link to the root", pack(t, link("f", "/etc/passwd")), false},
		{"links out together", pack(t, file("a/b/x"), link("l", "a/b"), link("m", "l/../../../x")), false},
		{"below a link", pack(t, link("l", "a"), file("l/f"), file("a/g")), false},
		{"links in a circle", pack(t, link("a", "b"), link("b", "a")), false},
		{"a file and a link of one name", pack(t, link("a", "b"), file("a"), file("b")), false},
		{"a pipe", pack(t, entry{"p", "", fs.ModeNamedPipe}), false},
		{"half of one", pack(t, file("f.py"))[:40], false},
		{"text", []byte("hello"), false},
	} {
		if _, err := lambda.CheckArchive(tc.b); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.rule, err)
		}
	}
}

// Links that lead through one another twice would take twice the time for each, and
// names of nothing but folders the square of their length: such packages are
// refused, not followed to the end.
func TestArchiveThatTakesTooLongToFollow(t *testing.T) {
	t.Parallel()
	var links, folders []entry
	for i := range 38 {
		links = append(links, entry{fmt.Sprintf("l%d", i), fmt.Sprintf("l%d/../l%d", i+1, i+1), fs.ModeSymlink})
	}
	links = append(links, entry{name: "l38/x", content: "x"})
	for i := range 8 {
		folders = append(folders, entry{name: strings.Repeat("a/", 30_000) + strconv.Itoa(i), content: "x"})
	}
	for rule, b := range map[string][]byte{"links": pack(t, links...), "folders": pack(t, folders...)} {
		if _, err := lambda.CheckArchive(b); !strings.Contains(fmt.Sprint(err), "Could not unzip uploaded file") {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

// What is taken unpacks below the folder that it is unpacked into.
func FuzzArchive(f *testing.F) {
	f.Add(pack(f, entry{name: "a/f.py", content: "x"}, entry{"l", "a/f.py", fs.ModeSymlink}))
	f.Add(pack(f, entry{"l", "..", fs.ModeSymlink}, entry{name: "l/x", content: "x"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		unpacked, err := lambda.CheckArchive(b)
		if err != nil {
			return
		}
		if unpacked < 0 || unpacked >= lambda.MaxUnpacked {
			t.Fatalf("it unpacks to %d bytes", unpacked)
		}
		r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range r.File {
			if !filepath.IsLocal(filepath.FromSlash(strings.TrimSuffix(e.Name, "/"))) || e.Mode()&(os.ModeDevice|os.ModeNamedPipe|os.ModeSocket) != 0 {
				t.Errorf("it has the entry %q", e.Name)
			}
		}
	})
}
