package httpapikey_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"coffer/internal/rotator"
	"coffer/internal/rotator/httpapikey"
	"coffer/internal/rotator/rotatortest"
)

// service is an HTTP service with keys, two at most, such as many are.
type service struct {
	*httptest.Server
	mu      sync.Mutex
	keys    map[string]string // id -> key
	made    int
	names   []string
	answers func(w http.ResponseWriter, r *http.Request) bool // instead, if it returns true
}

func newService(t *testing.T) *service {
	s := &service{keys: map[string]string{"k0": "marker-0"}}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers != nil && s.answers(w, r) {
		return
	}
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	known := false
	for _, k := range s.keys {
		known = known || k == key
	}
	id, isKey := strings.CutPrefix(r.URL.Path, "/keys/")
	switch {
	case !known:
		http.Error(w, "who are you, "+key, http.StatusUnauthorized)
	case r.Method == "POST" && r.URL.Path == "/keys":
		if len(s.keys) >= 2 {
			http.Error(w, "two keys are enough", http.StatusConflict)
			return
		}
		var in struct{ Name string }
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			http.Error(w, "no JSON", http.StatusBadRequest)
			return
		}
		s.names = append(s.names, in.Name)
		s.made++
		id := fmt.Sprint("k", s.made)
		s.keys[id] = fmt.Sprint("marker-", s.made)
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"a/b": []any{map[string]any{"key": s.keys[id]}}, "id": id}})
	case r.Method == "DELETE" && isKey:
		if _, ok := s.keys[id]; !ok {
			http.NotFound(w, r)
			return
		}
		delete(s.keys, id)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == "GET" && r.URL.Path == "/me":
		io.WriteString(w, "{}")
	default:
		http.NotFound(w, r)
	}
}

func (s *service) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id := range s.keys {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// secret describes the service.
func (s *service) secret() map[string]any {
	bearer := map[string]any{"Authorization": "Bearer {apiKey}"}
	return map[string]any{
		"apiKey": "marker-0", "apiKeyId": "k0", "note": "stays",
		"create": map[string]any{"method": "POST", "url": s.URL + "/keys", "headers": bearer,
			"body": map[string]any{"name": `"{note}" {versionId}`}, "apiKey": "/data/a~1b/0/key", "apiKeyId": "/data/id"},
		"test":   map[string]any{"url": s.URL + "/me", "headers": bearer},
		"revoke": map[string]any{"method": "DELETE", "url": s.URL + "/keys/{oldApiKeyId}", "headers": bearer},
	}
}

func newVault(t *testing.T, s *service) *rotatortest.Vault {
	v := rotatortest.NewVault(t)
	v.Variables["DATABASE_CA_BUNDLE"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	v.Variables[httpapikey.AllowLoopback] = "true"
	return v
}

// TestRotation rotates against a service that has at most two keys: the one before the
// current one is revoked when the next is made.
func TestRotation(t *testing.T) {
	s := newService(t)
	v := newVault(t, s)
	arn := v.Create("api", s.secret())
	for i, want := range []string{"k0 k1", "k1 k2", "k2 k3"} {
		value := v.MustRotate(httpapikey.Rotation{}, arn)
		if got := strings.Join(s.ids(), " "); got != want {
			t.Errorf("after rotation %d the keys are %s, want %s", i, got, want)
		}
		if id := fmt.Sprint("k", i+1); value["apiKeyId"] != id || value["apiKey"] != s.keys[id] || value["note"] != "stays" {
			t.Errorf("the value is for %v, want %s", value["apiKeyId"], id)
		}
	}
	if len(s.names) != 3 || !strings.HasPrefix(s.names[0], `"stays" `) || s.names[0] == s.names[1] {
		t.Errorf("names are %q", s.names)
	}
	rotatortest.WantNone(t, "the log", v.Log(), "marker")
}

// TestAgain repeats steps: one key is made, one revoked.
func TestAgain(t *testing.T) {
	s := newService(t)
	v := newVault(t, s)
	arn := v.Create("api", s.secret())
	v.MustRotate(httpapikey.Rotation{}, arn)
	token := rotatortest.NewToken()
	for _, step := range []string{rotator.CreateSecret, rotator.SetSecret, rotator.TestSecret} {
		for range 2 {
			if f := v.Step(httpapikey.Rotation{}, step, arn, token); f != nil {
				t.Fatal(f.Message)
			}
		}
	}
	if got := strings.Join(s.ids(), " "); got != "k1 k2" {
		t.Errorf("the keys are %s", got)
	}
	// One that is revoked already does not stop the next.
	s.mu.Lock()
	delete(s.keys, "k1")
	s.mu.Unlock()
	if f := v.Step(httpapikey.Rotation{}, rotator.FinishSecret, arn, token); f != nil {
		t.Fatal(f.Message)
	}
	v.MustRotate(httpapikey.Rotation{}, arn)
}

// TestEdited changes the secret by hand in something else than the key: the key that is
// in use is not revoked.
func TestEdited(t *testing.T) {
	s := newService(t)
	v := newVault(t, s)
	arn := v.Create("api", s.secret())
	edited := s.secret()
	edited["note"] = "edited"
	v.Put(arn, edited)
	v.MustRotate(httpapikey.Rotation{}, arn)
	if got := strings.Join(s.ids(), " "); got != "k0 k1" {
		t.Errorf("the keys are %s", got)
	}
}

// TestElsewhere sends no key of an earlier version to where only a later one points.
func TestElsewhere(t *testing.T) {
	s, other := newService(t), newService(t)
	v := newVault(t, s)
	arn := v.Create("api", s.secret())
	v.MustRotate(httpapikey.Rotation{}, arn)
	seen := ""
	other.answers = func(_ http.ResponseWriter, r *http.Request) bool {
		b, _ := io.ReadAll(r.Body)
		seen += fmt.Sprint(r.URL, r.Header, string(b))
		return false
	}
	edited := other.secret()
	edited["apiKey"], edited["apiKeyId"] = "attacker", "x"
	edited["revoke"] = map[string]any{"method": "POST", "url": other.URL + "/?k={oldApiKey}"}
	v.Put(arn, edited)
	if f := v.Rotate(httpapikey.Rotation{}, arn, rotatortest.NewToken()); f == nil {
		t.Error("the other service knew the key")
	}
	rotatortest.WantNone(t, "the other service", seen, "marker-0", "marker-1")
	if !strings.Contains(v.Log(), "is not revoked: its secret knows no request to "+other.URL) {
		t.Error(v.Log())
	}
}

// TestOtherRequest sends no key of an earlier version in a request that it does not know, to the
// same host either: what is sent there may be for its sender to read, as in a note or a gist.
func TestOtherRequest(t *testing.T) {
	s := newService(t)
	v := newVault(t, s)
	arn := v.Create("api", s.secret())
	v.MustRotate(httpapikey.Rotation{}, arn)
	seen := ""
	s.answers = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/notes" {
			b, _ := io.ReadAll(r.Body)
			seen += fmt.Sprint(r.URL, r.Header, string(b))
		}
		return false
	}
	edited := s.secret()
	edited["apiKey"], edited["apiKeyId"] = "attacker", "x"
	edited["revoke"] = map[string]any{"method": "POST", "url": s.URL + "/notes", "body": map[string]any{"text": "{oldApiKey}"}}
	v.Put(arn, edited)
	v.Rotate(httpapikey.Rotation{}, arn, rotatortest.NewToken()) // that key makes no other
	rotatortest.WantNone(t, "the note", seen, "marker-0", "marker-1")
	if !strings.Contains(v.Log(), "is not revoked: its secret has another request for that") {
		t.Error(v.Log())
	}
}

// TestAnswers are those of services that do not do what is asked.
func TestAnswers(t *testing.T) {
	elsewhere := newService(t)
	called := false
	elsewhere.answers = func(http.ResponseWriter, *http.Request) bool { called = true; return false }
	say := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			io.WriteString(w, body)
			return true
		}
	}
	tests := []struct {
		name    string
		answers func(http.ResponseWriter, *http.Request) bool
		want    string
	}{
		{"forbidden", say(403, `marker-0`), "answers 403 Forbidden"},
		{"an odd status", say(599, ``), "answers 599"},
		{"no JSON", say(200, `marker-0`), `The answer to create has no key at "/data/a~1b/0/key": it is no JSON`},
		{"more than JSON", say(200, `{} marker-0`), "it is no JSON"},
		{"other JSON", say(200, `{"data":{"a/b":[]}}`), "there is nothing"},
		{"a null", say(200, `{"data":{"a/b":[{"key":null}]}}`), "neither a string nor a number"},
		{"an empty key", say(200, `{"data":{"a/b":[{"key":""}]}}`), "it is empty"},
		{"the same key", say(200, `{"data":{"a/b":[{"key":"marker-0"}],"id":"k0"}}`), "has the current key"},
		{"no id", say(200, `{"data":{"a/b":[{"key":"marker-9"}]}}`), "has no key id at"},
		{"too much", say(200, strings.Repeat("x", 1<<20+1)), "longer than 1048576 bytes"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, elsewhere.URL+"/keys?k=marker-0", http.StatusTemporaryRedirect)
			return true
		}, "answers 307: redirects are not followed"},
		{"a broken connection", func(w http.ResponseWriter, r *http.Request) bool { panic(http.ErrAbortHandler) }, "does not answer"},
		{"half an answer", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "marker-0")
			return true
		}, "broke off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t)
			v := newVault(t, s)
			arn := v.Create("api", s.secret())
			s.answers = tt.answers
			f := v.Rotate(httpapikey.Rotation{}, arn, rotatortest.NewToken())
			if f == nil || !strings.Contains(f.Message, tt.want) {
				t.Errorf("%+v, want %q", f, tt.want)
			}
			rotatortest.WantNone(t, "the log", v.Log(), "marker")
			if f != nil {
				rotatortest.WantNone(t, "the error", f.Message, "marker")
			}
			if v.Value(arn, "")["apiKey"] != "marker-0" {
				t.Error("the current value changed")
			}
		})
	}
	if called {
		t.Error("a redirect was followed")
	}
}

// TestSecrets are those that are not as they must be.
func TestSecrets(t *testing.T) {
	s := newService(t)
	edit := func(name string, f func(map[string]any)) func(map[string]any) {
		return func(v map[string]any) { f(v[name].(map[string]any)) }
	}
	tests := []struct {
		name string
		edit func(map[string]any)
		want string
	}{
		{"no key", func(v map[string]any) { delete(v, "apiKey") }, "apiKey key is missing from secret JSON"},
		{"no create", func(v map[string]any) { delete(v, "create") }, "create key is missing from secret JSON"},
		{"no test", func(v map[string]any) { delete(v, "test") }, "test key is missing from secret JSON"},
		{"create is a string", func(v map[string]any) { v["create"] = "marker-0" }, "create must be an object of"},
		{"a misspelt member", edit("create", func(r map[string]any) { r["header"] = "marker-0" }), "create must be an object of"},
		{"no url", edit("create", func(r map[string]any) { delete(r, "url") }), "create.url key is missing"},
		{"no pointer", edit("create", func(r map[string]any) { delete(r, "apiKey") }), "create.apiKey key is missing"},
		{"a pointer that is none", edit("create", func(r map[string]any) { r["apiKey"] = "data" }), "must be JSON pointers"},
		{"http", edit("create", func(r map[string]any) { r["url"] = "http://127.0.0.1/marker-0" }), "create.url must begin with https://"},
		{"a file", edit("create", func(r map[string]any) { r["url"] = "file:///etc/passwd" }), "create.url must begin with https://"},
		{"no host", edit("create", func(r map[string]any) { r["url"] = "https:///keys" }), "create.url must name a host"},
		{"a user", edit("create", func(r map[string]any) { r["url"] = "https://u:marker-0@h/" }), "create.url must name a host"},
		{"a placeholder for a host", edit("create", func(r map[string]any) { r["url"] = "https://{apiKey}.example.com/" }), "create.url must name a host"},
		{"an unknown placeholder", edit("create", func(r map[string]any) { r["url"] = s.URL + "/{nothing}" }), "nothing key is missing from secret JSON: create.url has {nothing}"},
		{"dots", func(v map[string]any) {
			v["note"] = ".."
			v["create"].(map[string]any)["url"] = s.URL + "/keys/{note}"
		}, "note must not be . or .."},
		{"a line break in a header", func(v map[string]any) { v["apiKey"] = "a\r\nX: b" }, "create.headers has one that cannot be sent"},
		{"a method that is none", edit("create", func(r map[string]any) { r["method"] = "GET /marker-0" }), "create.method or create.url cannot be used"},
		{"a metadata service", edit("create", func(r map[string]any) { r["url"] = "https://169.254.169.254/latest" }), "link-local addresses are not reached"},
		{"nobody there", edit("create", func(r map[string]any) { r["url"] = "https://127.0.0.1:1/" }), "does not answer: dial: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVault(t, s)
			value := s.secret()
			tt.edit(value)
			arn := v.Create("api", value)
			f := v.Rotate(httpapikey.Rotation{}, arn, rotatortest.NewToken())
			if f == nil || !strings.Contains(f.Message, tt.want) {
				t.Errorf("%+v, want %q", f, tt.want)
			}
			if f != nil {
				rotatortest.WantNone(t, "the error", f.Message+v.Log(), "marker")
			}
		})
	}
	if got := strings.Join(s.ids(), " "); got != "k0" {
		t.Errorf("the keys are %s", got)
	}
}

// TestForm sends values as a form and in a URL, in which they cannot leave their place.
func TestForm(t *testing.T) {
	s := newService(t)
	v := newVault(t, s)
	const odd = `a&b=c/../%2e"é {x}`
	s.answers = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/me" {
			return false
		}
		if r.URL.EscapedPath() != "/keys/a&b=c%2F..%2F%252e%22%C3%A9%20%7Bx%7D" || r.URL.Query().Get("q") != odd || r.FormValue("f") != odd {
			t.Errorf("got %s", r.URL)
		}
		s.keys["7"] = "12345"
		io.WriteString(w, `{"k": 12345}`)
		return true
	}
	value := s.secret()
	value["odd"] = odd
	value["create"] = map[string]any{"url": s.URL + "/keys/{odd}?q={odd}", "form": map[string]any{"f": "{odd}"}, "apiKey": "/k"}
	if got := v.MustRotate(httpapikey.Rotation{}, v.Create("api", value)); got["apiKey"] != "12345" {
		t.Error("a number is no key")
	}
}

// TestTransport reaches services by certificates that are known, and by http: only if the
// secret says so.
func TestTransport(t *testing.T) {
	s := newService(t)
	v := newVault(t, s)
	delete(v.Variables, "DATABASE_CA_BUNDLE")
	f := v.Rotate(httpapikey.Rotation{}, v.Create("unknown", s.secret()), rotatortest.NewToken())
	if f == nil || !strings.Contains(f.Message, "signed by an unknown authority") {
		t.Errorf("%+v", f)
	}
	plain := &service{keys: map[string]string{"k0": "marker-0"}}
	plain.Server = httptest.NewServer(plain)
	t.Cleanup(plain.Close)
	value := plain.secret()
	value["ssl"] = false
	v.MustRotate(httpapikey.Rotation{}, v.Create("plain", value))
	value["ssl"] = true
	if f := v.Rotate(httpapikey.Rotation{}, v.Create("not-plain", value), rotatortest.NewToken()); f == nil {
		t.Error("a key goes out without TLS")
	}
}
