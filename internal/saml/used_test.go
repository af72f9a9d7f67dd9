package saml_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"coffer/internal/saml"
)

const ours, theirs = "111122223333", "444455556666"

func TestUsed(t *testing.T) {
	var u saml.Used
	a, b := &saml.Assertion{Issuer: "i", ID: "1"}, &saml.Assertion{Issuer: "i", ID: "2"}
	for _, c := range []struct {
		what    string
		a       *saml.Assertion
		purpose string
		after   time.Duration
		want    error
	}{
		{"first", a, "r", 0, nil},
		{"again", a, "r", 0, saml.ErrUsed},
		{"for something else", a, "s", 0, nil},
		{"another", b, "r", 0, nil},
		{"just before its end", a, "r", time.Minute - 1, saml.ErrUsed},
		{"once it ended", a, "r", time.Minute, nil},
	} {
		if err := u.Take(ours, c.a, c.purpose, now.Add(c.after).Add(time.Minute), now.Add(c.after)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
}

func TestUsedIsBounded(t *testing.T) {
	var u saml.Used
	for i := range 1 << 16 {
		if err := u.Take(ours, &saml.Assertion{ID: strconv.Itoa(i)}, "", now.Add(time.Minute), now); err != nil {
			t.Fatal(err)
		}
	}
	one := &saml.Assertion{ID: "one more"}
	if err := u.Take(ours, one, "", now.Add(time.Hour), now); !errors.Is(err, saml.ErrFull) {
		t.Errorf("beyond the bound: %v", err)
	}
	if err := u.Take(theirs, one, "", now.Add(time.Hour), now); err != nil {
		t.Errorf("one account's assertions keep out another's: %v", err)
	}
	if err := u.Take(ours, one, "", now.Add(time.Hour), now.Add(time.Minute)); err != nil {
		t.Errorf("when the others ended: %v", err)
	}
}
