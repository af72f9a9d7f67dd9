package rotator_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"coffer/internal/rotator"
)

// TestSecretKeeps keeps what it does not know, in its order and text.
func TestSecretKeeps(t *testing.T) {
	s, err := rotator.ParseSecret("arn", ` {"z": 1.50, "password": "old", "a": {"b":[1, 2]}, "é": "\u00e9"} `)
	if err != nil {
		t.Fatal(err)
	}
	s.SetText("password", `new<>&"\`+"\u2028é")
	if got, want := s.JSON(), `{"z": 1.50, "password": "new<>&\"\\\u2028é", "a": {"b":[1, 2]}, "é": "\u00e9"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := fmt.Sprintf("%v %+v %s %#v", s, s, s, s); strings.Contains(got, "new") {
		t.Errorf("it prints as %s", got)
	}
}

// FuzzSecret wants to keep any object, and nothing of it in an error.
func FuzzSecret(f *testing.F) {
	f.Add(`{"a": 1, "a": "b", "c": [{}], "d": null}`)
	f.Add(`{"a": 1} {}`)
	f.Add(`["a"]`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := rotator.ParseSecret("arn", text)
		if err != nil {
			if err.Error() != "The value of secret arn is not a JSON object" {
				t.Fatal(err)
			}
			return
		}
		var before, after map[string]any
		if json.Unmarshal([]byte(text), &before) != nil {
			return // UTF-8 that is none
		}
		if err := json.Unmarshal([]byte(s.JSON()), &after); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("%q became %q", text, s.JSON())
		}
	})
}
