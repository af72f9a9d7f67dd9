package envelope_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"coffer/internal/envelope"
)

// secretBytes are recognizable in every rendering that a leak could take.
var secretBytes = bytes.Repeat([]byte("Leak"), 8)

func leaks(s string) bool {
	low := strings.ToLower(s)
	for _, mark := range []string{"leak", "4c65616b", "76 101 97 107", "76, 101, 97, 107", "0x4c", "tgvha"} {
		if strings.Contains(low, mark) {
			return true
		}
	}
	return false
}

type holder struct {
	Exported envelope.Key
	hidden   envelope.Key // fmt cannot call methods here
}

func TestKeyPlaceholders(t *testing.T) {
	k := mustKey(t, secretBytes)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%t", "%08.3f"} {
		if got := fmt.Sprintf(verb, k); got != "[KEY]" {
			t.Errorf("%s of a key is %q", verb, got)
		}
		for _, v := range []any{&k, holder{k, k}, &holder{k, k}, []envelope.Key{k}, map[string]envelope.Key{"k": k}} {
			if got := fmt.Sprintf(verb, v); leaks(got) {
				t.Errorf("%s of %T leaks: %q", verb, v, got)
			}
		}
	}
	if got := fmt.Sprintf("%p", k); leaks(got) { // %p asks no Formatter
		t.Errorf("%%p of a key is %q", got)
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("m", "key", k, "pointer", &k, "holder", holder{k, k}, slog.Group("g", "key", k))
	}
	if leaks(log.String()) || strings.Count(log.String(), "[KEY]") < 6 {
		t.Errorf("logged: %s", log.String())
	}
	b, err := json.Marshal(map[string]any{"k": k, "p": &k, "h": holder{k, k}})
	if err != nil || leaks(string(b)) || strings.Count(string(b), "[KEY]") != 3 {
		t.Errorf("json: %s, %v", b, err)
	}
	if b, err := xml.Marshal(holder{k, k}); err != nil || leaks(string(b)) {
		t.Errorf("xml: %s, %v", b, err)
	}
	if err := gob.NewEncoder(&log).Encode(k); err == nil {
		t.Error("gob encoded a key")
	}
	// The things that hold keys.
	ring, _, err := envelope.NewKeyring(t.Context(), envelope.NewMemoryKey())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{mustSealer(t, k), *mustSealer(t, k), *ring} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
			if got := fmt.Sprintf(verb, v); leaks(got) {
				t.Errorf("%s of %T leaks", verb, v)
			}
		}
	}
}

func TestKeyDestroyAndZero(t *testing.T) {
	k := mustKey(t, secretBytes)
	alias := k
	live := envelope.KeyBytes(k)
	if !k.Equal(alias) || k.IsZero() {
		t.Fatal("a copy differs from its key")
	}
	alias.Destroy()
	if !bytes.Equal(live, make([]byte, envelope.KeySize)) || !k.IsZero() || k.Equal(alias) {
		t.Error("Destroy left the key in place")
	}
	for _, zero := range []envelope.Key{{}, k} {
		if _, err := envelope.NewSealer(zero); !errors.Is(err, envelope.ErrNoKey) {
			t.Errorf("NewSealer of a zero key: %v", err)
		}
		if _, err := envelope.NewRunKeys(zero, "l", 1); !errors.Is(err, envelope.ErrNoKey) {
			t.Errorf("NewRunKeys of a zero key: %v", err)
		}
		mustPanic(t, "NewMAC of a zero key", func() { zero.NewMAC() })
		zero.Destroy()
	}
	for _, b := range [][]byte{nil, make([]byte, 31), make([]byte, 33), make([]byte, 32)} {
		if _, err := envelope.KeyFrom(b); !errors.Is(err, envelope.ErrNoKey) {
			t.Errorf("KeyFrom %d zero bytes: %v", len(b), err)
		}
	}
	if envelope.NewKey().Equal(envelope.NewKey()) {
		t.Error("two new keys are equal")
	}
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s does not panic", what)
		}
	}()
	f()
}
