package secretsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/secretsmanager"
	"coffer/internal/table"
)

// rotations lists all rotations, page after page.
func (c caller) rotations(failing bool) (list []secretsmanager.RotationSummary, pages int) {
	c.t.Helper()
	for after := ""; ; pages++ {
		var page []secretsmanager.RotationSummary
		err := c.db.View(context.Background(), func(tx *table.Tx) (err error) {
			page, after, err = secretsmanager.RotationsOf(tx, account, region, after, failing)
			return err
		})
		if err != nil {
			c.t.Fatal(err)
		}
		if list = append(list, page...); after == "" {
			return list, pages + 1
		}
	}
}

// How the rotation of a secret stands, in a word, from its configuration to the end of all attempts
// and to the one that works.
func TestRotationsOf(t *testing.T) {
	c, f := rotating(t, nil)
	c.create("other", "1") // does not rotate
	works := f.run
	expect := func(when, state, step string, failing bool) {
		t.Helper()
		list, _ := c.rotations(false)
		if len(list) != 1 {
			t.Fatalf("%s: %d rotations", when, len(list))
		}
		got := list[0]
		bad, _ := c.rotations(true)
		if got.Name != "s" || string(got.State) != state || got.Step != step || got.Failing() != failing || len(bad) == 1 != failing {
			t.Errorf("%s: %+v, among the failing %v; want %s %s, failing %v", when, got, bad, state, step, failing)
		}
	}
	f.run = func(step string, u secretsmanager.Run) error {
		if step == "setSecret" {
			return errors.New("down")
		}
		return works(step, u)
	}
	c.mustRotate(nil)
	expect("asked for", "underWay", "", false)
	c.rotate()
	expect("after an attempt", "retrying", "setSecret", true)
	for range 4 {
		c.pass(10 * time.Minute)
		c.rotate()
	}
	expect("after the last attempt", "givenUp", "setSecret", true)
	f.run = works
	if _, err := c.startRotate(func(in *smapi.RotateSecretInput) { in.ClientRequestToken = token("r2") }); err == nil {
		t.Fatal("another rotation began")
	}
	c.rotate()
	expect("at the end", "succeeded", "", false)

	f.run = func(string, secretsmanager.Run) error { return errors.New("down") }
	c.mustRotate(func(in *smapi.RotateSecretInput) { later(in); in.ClientRequestToken = token("r3") })
	c.rotate()
	expect("a test", "failed", "testSecret", true)
	if _, err := call(c, smapi.CancelRotateSecret, &smapi.CancelRotateSecretInput{SecretId: new("s")}); err != nil {
		t.Fatal(err)
	}
	expect("cancelled", "failed", "testSecret", false)

	c.mustRotate(func(in *smapi.RotateSecretInput) { in.ClientRequestToken = token("r4") })
	c.rotate()
	if _, err := call(c, smapi.CancelRotateSecret, &smapi.CancelRotateSecretInput{SecretId: new("s")}); err != nil {
		t.Fatal(err)
	}
	expect("cancelled, which leaves AWSPENDING", "blocked", "", true)
}

// A page looks at a bounded number of secrets; together they have all, once and in order.
func TestRotationsOfManySecrets(t *testing.T) {
	c, _ := rotating(t, everyDay)
	for n := range 2100 {
		c.create(fmt.Sprintf("no/%04d", n), "1")
	}
	c.create("z", "1")
	c.mustRotate(func(in *smapi.RotateSecretInput) { in.SecretId = new("z") })
	list, pages := c.rotations(false)
	var names []string
	for _, r := range list {
		names = append(names, r.Name)
	}
	if pages != 3 || !slices.Equal(names, []string{"s", "z"}) {
		t.Errorf("%d pages with %v", pages, names)
	}
}
