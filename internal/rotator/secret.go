package rotator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Secret is the JSON object that a secret's value is. Keys keep their order, and
// values that are not changed keep their text: what a function does not know survives it.
type Secret struct {
	keys   []string
	values map[string]json.RawMessage
}

// ParseSecret reads the value of the secret arn. Its errors quote nothing of it.
func ParseSecret(arn, text string) (*Secret, error) {
	s := &Secret{values: map[string]json.RawMessage{}}
	wrong := ValueErrorf("The value of secret %s is not a JSON object", arn)
	d := json.NewDecoder(strings.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, wrong
	}
	for d.More() {
		token, err := d.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return nil, wrong
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil, wrong
		}
		s.set(key, value)
	}
	if _, err := d.Token(); err != nil {
		return nil, wrong
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, wrong
	}
	return s, nil
}

func (s *Secret) set(key string, value json.RawMessage) {
	if _, ok := s.values[key]; !ok {
		s.keys = append(s.keys, key)
	}
	s.values[key] = value
}

// Keys are the keys in their order. The caller must not change them.
func (s *Secret) Keys() []string { return s.keys }

// Has tells whether there is a key, be its value null.
func (s *Secret) Has(key string) bool { _, ok := s.values[key]; return ok }

// Text is the value of a key that holds a string. Absent or null is "", false;
// anything else is an error.
func (s *Secret) Text(key string) (string, bool, error) {
	raw, ok := s.values[key]
	if !ok || string(raw) == "null" {
		return "", false, nil
	}
	var text string
	if raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		return "", false, ValueErrorf("%s must be a string in secret JSON", key)
	}
	if strings.ContainsRune(text, 0) {
		return "", false, ValueErrorf("%s must not hold a zero byte in secret JSON", key)
	}
	return text, true, nil
}

// Required is the value of a key that must be there.
func (s *Secret) Required(key string) (string, error) {
	if !s.Has(key) {
		return "", KeyErrorf("%s key is missing from secret JSON", key)
	}
	text, _, err := s.Text(key)
	if err == nil && text == "" {
		err = ValueErrorf("%s must not be empty in secret JSON", key)
	}
	return text, err
}

// Raw is the JSON of a key's value, nil if absent.
func (s *Secret) Raw(key string) json.RawMessage { return s.values[key] }

// SetText gives a key a string.
func (s *Secret) SetText(key, value string) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // people read secrets
	if err := e.Encode(value); err != nil {
		panic("rotator: a string that is no JSON") // cannot be: every string is
	}
	s.set(key, bytes.TrimSpace(b.Bytes()))
}

// Clone is a copy that can be changed.
func (s *Secret) Clone() *Secret {
	c := &Secret{keys: slices.Clone(s.keys), values: make(map[string]json.RawMessage, len(s.values))}
	for k, v := range s.values {
		c.values[k] = v
	}
	return c
}

// JSON is the whole object, as it goes into a secret.
func (s *Secret) JSON() string {
	var b strings.Builder
	b.WriteByte('{')
	for i, k := range s.keys {
		if i > 0 {
			b.WriteString(", ")
		}
		key := &Secret{values: map[string]json.RawMessage{}}
		key.SetText(k, k)
		b.Write(key.values[k])
		b.WriteString(": ")
		b.Write(s.values[k])
	}
	b.WriteByte('}')
	return b.String()
}

// Format implements fmt.Formatter: a secret prints as a placeholder.
func (*Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, placeholder) }
