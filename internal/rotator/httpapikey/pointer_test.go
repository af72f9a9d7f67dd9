package httpapikey

import "testing"

// FuzzPointer wants no document and pointer to panic, or to give what is no key.
func FuzzPointer(f *testing.F) {
	f.Add([]byte(`{"a/b": [{"k~": "v"}]}`), "/a~1b/0/k~0")
	f.Add([]byte(`[1, null]`), "/1")
	f.Add([]byte(``), "/")
	f.Fuzz(func(t *testing.T, document []byte, pointer string) {
		if s, err := text(document, pointer); err == nil && (s == "" || len(s) > maxKey) {
			t.Errorf("%q", s)
		}
	})
}

// TestPointer are RFC 6901's own examples.
func TestPointer(t *testing.T) {
	const document = `{"foo": ["bar", "baz"], "": "0", "a/b": "1", "c%d": "2", "e^f": "3", "g|h": "4", "i\\j": "5", "k\"l": "6", " ": "7", "m~n": "8", "~1": "9"}`
	for pointer, want := range map[string]string{
		"/foo/0": "bar", "/": "0", "/a~1b": "1", "/c%d": "2", "/e^f": "3", "/g|h": "4", `/i\j`: "5", `/k"l`: "6", "/ ": "7", "/m~0n": "8", "/~01": "9",
		"/foo/00": "", "/foo/-": "", "/foo/2": "", "/foo/-1": "", "/foo": "", "/foo/0/x": "", "/nothing": "",
	} {
		got, err := text([]byte(document), pointer)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s points to %q, %v; want %q", pointer, got, err, want)
		}
	}
}
