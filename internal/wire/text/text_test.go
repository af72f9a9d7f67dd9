package text_test

import (
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/fault"
	"coffer/internal/wire/text"
)

// What is written in a format is read again, whatever the model says of it.
func TestTimes(t *testing.T) {
	at := time.Date(2026, 1, 31, 10, 20, 30, 0, time.UTC)
	for format, want := range map[string]string{
		"iso8601":       "2026-01-31T10:20:30Z",
		"rfc822":        "Sat, 31 Jan 2026 10:20:30 GMT",
		"unixTimestamp": "1769854830",
	} {
		sh := &api.Shape{Kind: api.Timestamp}
		if got := string(text.Append(nil, sh, &at, format)); got != want {
			t.Errorf("%s: %s, want %s", format, got, want)
		}
		sh.TimeFormat = format
		if got := string(text.Append(nil, sh, &at, "other")); got != want {
			t.Errorf("%s in the model: %s, want %s", format, got, want)
		}
		var read time.Time
		if err := text.Set(&api.Shape{Kind: api.Timestamp}, &read, want); err != nil || !read.Equal(at) {
			t.Errorf("%s is read as %v, %v", want, read, err)
		}
	}
}

// Values come back from their texts; what was read does not refer to them.
func TestSet(t *testing.T) {
	var (
		s    *string
		n    int64
		on   *bool
		f    float64
		raw  []byte
		pass api.Sensitive
		key  api.Sensitive
	)
	for _, tt := range []struct {
		kind  api.Kind
		field any
		text  string
	}{
		{api.String, &s, " a=ü "}, {api.Integer, &n, "-2147483648"}, {api.Boolean, &on, "false"}, {api.Double, &f, "-Infinity"},
		{api.Blob, &raw, "//8="}, {api.String, &pass, "p"}, {api.Blob, &key, "AAA="},
	} {
		sh := &api.Shape{Kind: tt.kind}
		b := []byte(tt.text)
		if err := text.Set(sh, tt.field, b); err != nil {
			t.Errorf("%s: %v", tt.text, err)
		}
		clear(b)
		if got := string(text.Append(nil, sh, tt.field, "")); got != tt.text {
			t.Errorf("%s comes back as %s", tt.text, got)
		}
	}
	for _, tt := range []struct {
		kind  api.Kind
		field any
		text  string
	}{
		{api.Integer, &n, "2147483648"}, {api.Long, &n, ""}, {api.Boolean, &on, "True"}, {api.Float, &f, "1e39"}, {api.Blob, &raw, "//9="}, {api.Blob, &key, "AA\nA="},
	} {
		if err := text.Set(&api.Shape{Kind: tt.kind}, tt.field, tt.text); fault.Code(err) != "SerializationException" {
			t.Errorf("%s: %v", tt.text, err)
		}
	}
}
