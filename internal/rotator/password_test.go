package rotator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"coffer/internal/rotator"
)

// leak is a rotation whose server quotes what it was sent.
type leak struct {
	password rotator.Password
	text     string
}

func (l leak) Create(_ context.Context, j *rotator.Job) error {
	j.Conceal(l.password)
	j.Warnf("the server says %s", j.Foreign(l.text))
	return rotator.DatabaseErrorf("near %s", l.text)
}
func (l leak) Set(context.Context, *rotator.Job) error  { return nil }
func (l leak) Test(context.Context, *rotator.Job) error { return nil }

// TestConceal takes passwords out of what others wrote, however they quote them.
func TestConceal(t *testing.T) {
	for _, tt := range []struct{ password, text string }{
		{"marker-1", "syntax error at marker-1 and marker-1"},
		{"marker'2", "at 'marker''2'"},
		{`marker\3`, `at E'marker\\3'`},
		{`marker"4`, `at "marker""4"`},
		{"abc", "at abc"},
		{"%smarker%d", "at %smarker%d"},
		{"mark\ner5", "at mark\ner5"},
	} {
		var log bytes.Buffer
		d := &describing{enabled: aws.Bool(true), stages: map[string][]string{"t": {"AWSPENDING"}}}
		h := &rotator.Handler{Rotation: leak{rotator.Password(tt.password), tt.text}, Client: d, LookupEnv: none, Log: &log}
		f := h.Handle(t.Context(), "id", []byte(`{"Step":"createSecret","SecretId":"s","ClientRequestToken":"t"}`))
		if f == nil || f.Type != "DatabaseError" {
			t.Fatalf("%+v", f)
		}
		for _, shown := range []string{log.String(), f.Message} {
			if strings.Contains(shown, "mark") || strings.Contains(shown, "abc") {
				t.Errorf("%q shows %q", shown, tt.password)
			}
		}
	}
	p := rotator.Password("marker")
	b, err := json.Marshal(map[string]any{"p": p})
	if text := fmt.Sprintf("%v %s %q %x %#v %+v %d %s", p, p, p, p, p, struct{ P rotator.Password }{p}, p, b); err != nil || strings.Contains(text, "marker") || strings.Contains(text, fmt.Sprintf("%x", "marker")) {
		t.Errorf("it prints as %s", text)
	}
}
