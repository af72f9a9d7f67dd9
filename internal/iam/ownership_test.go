package iam_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// use decides on an action on something of an account, whose own policy allows everybody.
func (e *estate) use(d *iam.Directory, tx *table.Tx, p api.Principal, action, account string) error {
	doc, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`), policy.Resource)
	if err != nil {
		return err
	}
	service, _, _ := strings.Cut(action, ":")
	r := &api.Request{Time: time.Now(), Principal: p, Account: p.Account, Region: "eu-west-1", Tx: tx, Directory: nil,
		Read: func(f func(*table.Tx) error) error { return e.View(context.Background(), f) }}
	a := &api.Access{Action: action, Resource: "arn:aws:" + service + ":eu-west-1:" + account + ":thing", Account: account, Policy: policy.NewSet(policy.Attachment{Document: doc})}
	standing, err := d.Load(tx, &p)
	if err != nil {
		return err
	}
	var out iam.Verdict
	if err := d.Authorize(r, a, standing, &out); err != nil {
		return err
	}
	if !out.Allowed.Valid() {
		return iam.Denied(a, &out)
	}
	return nil
}

// Resource control policies are about everybody who uses what an account owns: those
// without an account, too, whom no other policy of ours is about. Only the right to retire a
// grant is nobody's to take.
func TestResourceControlIsAboutEverybody(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	d := iam.NewDirectory(iam.DirectoryConfig{})
	root := func(account string) api.Principal {
		arn := "arn:aws:iam::" + account + ":root"
		return api.Principal{Caller: policy.Caller{Type: policy.Root, ARN: arn, Account: account, Entity: arn, ID: account}}
	}
	everybody := map[string]api.Principal{
		"a web identity": {Caller: policy.Caller{Type: policy.WebIdentity, Provider: "accounts.google.com"}},
		"a service":      {Caller: policy.Caller{Type: policy.AWSService, Service: "secretsmanager.amazonaws.com"}},
		"its owner":      root(e.ids["shop"]),
		"a stranger":     root(e.ids["lab"]),
		"the management": root(e.ids["main"]),
	}
	for _, s := range []string{"add shop /", `put r rcp {"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":["sts:*","kms:*"],"Resource":"*"}}`} {
		if err := e.step(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, attached := range []bool{false, true} {
		if attached {
			if err := e.step("attach r /"); err != nil {
				t.Fatal(err)
			}
		}
		for _, view := range []bool{true, false} {
			for who, p := range everybody {
				for action, stopped := range map[string]bool{"sts:AssumeRole": true, "kms:Decrypt": true, "kms:RetireGrant": false, "secretsmanager:GetSecretValue": false} {
					run := func(f func(*table.Tx) error) error { return e.Update(context.Background(), f) }
					if view {
						run = func(f func(*table.Tx) error) error { return e.View(context.Background(), f) }
					}
					err := run(func(tx *table.Tx) error { return e.use(d, tx, p, action, e.ids["shop"]) })
					if errors.Is(err, iam.ErrChanged) && !view {
						t.Fatalf("%s: not loaded before", who)
					}
					if denied := err != nil; denied != (attached && stopped) || denied && !strings.Contains(err.Error(), "resource control policy") {
						t.Errorf("%s, %s, attached %v, view %v: %v", who, action, attached, view, err)
					}
				}
			}
		}
		if err := e.View(context.Background(), func(tx *table.Tx) error { return e.use(d, tx, everybody["its owner"], "kms:Decrypt", e.ids["main"]) }); err != nil {
			t.Errorf("what the management account owns: %v", err)
		}
	}
}

// In the deepest organisation, with all the policies that can be attached, a
// transaction that writes still decides about another account: it has room for 128
// operations, and there are as many records.
func TestDeepestOwner(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	steps := []string{"put s scp " + scp, "put r rcp " + rcp}
	path := ""
	places := []string{"/"}
	for i := range 5 {
		path += fmt.Sprintf("/%d", i)
		steps, places = append(steps, "unit "+path), append(places, path)
	}
	steps, places = append(steps, "add shop "+path), append(places, "shop")
	for i := range 9 {
		steps = append(steps, fmt.Sprintf("put s%d scp %s", i, strings.Replace(scp, "kms:*", fmt.Sprintf("sts:No%d", i), 1)))
		for _, at := range places {
			steps = append(steps, fmt.Sprintf("attach s%d %s", i, at))
		}
	}
	for i := range 4 {
		steps = append(steps, fmt.Sprintf("put r%d rcp %s", i, strings.Replace(rcp, "kms:*", fmt.Sprintf("sts:No%d", i), 1)))
		for _, at := range places {
			steps = append(steps, fmt.Sprintf("attach r%d %s", i, at))
		}
	}
	for _, s := range steps {
		if err := e.step(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	arn := "arn:aws:iam::" + e.ids["lab"] + ":root"
	lab := api.Principal{Caller: policy.Caller{Type: policy.Root, ARN: arn, Account: e.ids["lab"], Entity: arn, ID: e.ids["lab"]}}
	d := iam.NewDirectory(iam.DirectoryConfig{})
	if err := e.View(context.Background(), func(tx *table.Tx) error { _, err := d.Load(tx, &lab); return err }); err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]string{"sts:AssumeRole": "", "sts:No3": "with an explicit deny in a resource control policy"} {
		err := e.do(func(tx *table.Tx) error {
			if err := e.use(d, tx, lab, action, e.ids["shop"]); err != nil {
				return err
			}
			for i := range 100 { // what a handler may need itself
				if _, err := iam.Accounts.Load(tx, table.K(fmt.Sprintf("%012d", i))); !errors.Is(err, table.ErrNotFound) {
					return err
				}
			}
			return nil
		})
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasSuffix(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", action, err, want)
		}
	}
}
