package iam_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"coffer/internal/envelope"
	"coffer/internal/iam"
	"coffer/internal/kv/memory"
	"coffer/internal/table"
)

// estate is tables, without a cache that would spare operations, with accounts main, shop and lab, and an organisation that main manages.
type estate struct {
	*table.DB
	t   *testing.T
	org *iam.Organization
	ids map[string]string // of accounts, by name
}

func newEstate(t *testing.T) *estate {
	t.Helper()
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	ring, _, err := envelope.NewKeyring(context.Background(), envelope.NewMemoryKey())
	if err != nil {
		t.Fatal(err)
	}
	e := &estate{DB: table.New(table.Config{Store: store, Sealer: ring.Sealer(), CacheBytes: -1}), t: t, ids: make(map[string]string)}
	e.must(func(tx *table.Tx) error {
		for _, name := range []string{"main", "shop", "lab"} {
			a, _, err := iam.CreateAccount(tx, name, "aws", time.Now())
			if err != nil {
				return err
			}
			e.ids[name] = a.ID
		}
		e.org, err = iam.CreateOrganization(tx, "main", time.Now())
		return err
	})
	return e
}

func (e *estate) do(f func(tx *table.Tx) error) error { return e.Update(context.Background(), f) }

func (e *estate) must(f func(tx *table.Tx) error) {
	e.t.Helper()
	if err := e.do(f); err != nil {
		e.t.Fatal(err)
	}
}

// problems is what fsck finds.
func (e *estate) problems() (found []string) {
	e.t.Helper()
	err := e.View(context.Background(), func(tx *table.Tx) error {
		return iam.CheckOrganizations(context.Background(), tx, func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) })
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return found
}

// tree is the organisation in a line: unit(what is in it), account[policies].
func (e *estate) tree() (line string) {
	e.t.Helper()
	var write func(n *iam.OrganizationNode) string
	write = func(n *iam.OrganizationNode) string {
		s := n.Name
		if got := strings.Join(n.Policies, " "); got != "FullAWSAccess" {
			s += "[" + got + "]"
		}
		var in []string
		for _, c := range n.In {
			in = append(in, write(c))
		}
		slices.Sort(in)
		if n.Type != "account" {
			s += "(" + strings.Join(in, " ") + ")"
		}
		return s
	}
	if err := e.View(context.Background(), func(tx *table.Tx) error {
		root, err := e.org.Describe(tx)
		if err == nil {
			line = write(root)
		}
		return err
	}); err != nil {
		e.t.Fatal(err)
	}
	return line
}

// step is a change in words: "unit /prod", "add shop /prod", "put NAME TYPE DOCUMENT".
func (e *estate) step(words string) error {
	f := strings.SplitN(words, " ", 4)
	arg := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	o := e.org
	return e.do(func(tx *table.Tx) (err error) {
		switch f[0] {
		case "org":
			_, err = iam.CreateOrganization(tx, arg(1), time.Now())
		case "end":
			err = o.Delete(tx)
		case "unit":
			_, err = o.CreateUnit(tx, arg(1))
		case "rename":
			_, err = o.RenameUnit(tx, arg(1), arg(2))
		case "moveunit":
			_, err = o.MoveUnit(tx, arg(1), arg(2))
		case "rmunit":
			err = o.DeleteUnit(tx, arg(1))
		case "add":
			_, err = o.AddAccount(tx, arg(1), arg(2), time.Now())
		case "move":
			_, err = o.MoveAccount(tx, arg(1), arg(2))
		case "remove":
			_, err = o.RemoveAccount(tx, arg(1))
		case "put":
			_, _, err = o.PutControlPolicy(tx, arg(1), arg(2), "", arg(3))
		case "attach":
			_, err = o.AttachControlPolicy(tx, arg(1), arg(2))
		case "detach":
			_, err = o.DetachControlPolicy(tx, arg(1), arg(2))
		case "rmpolicy":
			err = o.DeleteControlPolicy(tx, arg(1))
		default:
			e.t.Fatalf("no step %q", words)
		}
		return err
	})
}

const (
	scp = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"kms:*","Resource":"*"}}`
	rcp = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*"}}`
)

// What can be done to an organisation, and what is refused with which words. Each story
// is told on an organisation of its own; a refused step changes nothing.
func TestOrganizationRules(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][][2]string{ // a step and its error; in the end the tree
		"units": {
			{"unit /prod", ""}, {"unit prod/eu", ""}, {"unit /prod/us", ""}, {"unit /lab/", ""},
			{"unit /prod", "in the same place already"},
			{"unit /nope/eu", `no such unit in organisation`},
			{"unit /", `unit name ""`},
			{"unit /a\tb", "must be 1 to 128"},
			{"unit /" + strings.Repeat("x", 129), "must be 1 to 128"},
			{"rename /lab test", ""}, {"rename /test prod", "in the same place already"}, {"rename / x", "the root of an organisation cannot"},
			{"rename /lab x", "no such unit"}, {"rename /prod a/b", "must be 1 to 128"},
			{"/(main prod(eu() us()) test())", ""},
		},
		"depth": {
			{"unit /1", ""}, {"unit /1/2", ""}, {"unit /1/2/3", ""}, {"unit /1/2/3/4", ""}, {"unit /1/2/3/4/5", ""},
			{"unit /1/2/3/4/5/6", "5 levels deep at most"}, {"unit /1/2/3/4/5/6/7", "no such unit"},
			{"unit /a", ""}, {"unit /a/b", ""}, {"moveunit /a /1/2/3", ""}, {"moveunit /1/2/3/a /1/2/3/4", "5 levels deep at most"},
			{"moveunit /1 /1/2/3", "into itself"}, {"moveunit /1 /1", "into itself"}, {"moveunit /1 /", "there already"}, {"moveunit / /1", "the root"},
			{"moveunit /1/2/3/4 /", ""}, {"moveunit /4 /1/2/3", ""}, {"moveunit /1/2/3/4/5 /1/2", ""},
			{"/(1(2(3(4() a(b())) 5())) main)", ""},
		},
		"deleting units": {
			{"unit /a", ""}, {"unit /a/b", ""}, {"add shop /a/b", ""},
			{"rmunit /a", "there are units in"}, {"rmunit /a/b", "is in \"b\"; move the accounts first"}, {"rmunit /", "the root"},
			{"move shop /", ""}, {"rmunit /a/b", ""}, {"rmunit /a", ""}, {"rmunit /a", "no such unit"},
			{"/(main shop)", ""},
		},
		"accounts": {
			{"unit /prod", ""}, {"add shop prod", ""}, {"add shop /", "in the organisation already"}, {"add nobody /", `"nobody" does not exist`}, {"add lab /nope", "no such unit"},
			{"move shop /prod", "there already"}, {"move lab /prod", "is not in organisation"}, {"move shop /nope", "no such unit"}, {"move main /prod", ""},
			{"remove lab", "is not in organisation"}, {"remove main", "is the management account"}, {"remove shop", ""}, {"remove shop", "is not in organisation"},
			{"org main", "an account is in one at most"}, {"org nobody", "does not exist"}, {"org lab", ""}, {"add lab /", "take it out there first"},
			{"/(prod(main))", ""},
		},
		"policies": {
			{"put p scp " + scp, ""}, {"put r rcp " + rcp, ""}, {"put p rcp " + rcp, "cannot become one of another type"}, {"put q other " + scp, "is neither scp"},
			{"put p  " + rcp, "should not specify a principal"}, {"put FullAWSAccess scp " + scp, "AWS's own policy"}, {"put RCPFullAWSAccess rcp " + rcp, "AWS's own policy"},
			{"put p-x scp " + scp, "not with p-"}, {"put " + strings.Repeat("x", 129) + " scp " + scp, "must be 1 to 128"}, {"put q scp {", "this is no service control policy"},
			{"unit /shop", ""}, {"add shop /shop", ""}, {"attach p shop", "is a unit and an account; write /shop for the unit"},
			{"attach p /shop", ""}, {"attach p /shop", "is attached to"}, {"attach r /", ""}, {"attach nope /", `no control policy "nope"`}, {"attach p lab", "is not in organisation"},
			{"attach p nowhere", "has no unit or account"}, {"rmpolicy p", "detach it first"}, {"rmpolicy FullAWSAccess", "AWS's own policy"}, {"rmpolicy nope", "no control policy"},
			{"detach FullAWSAccess /shop", ""}, {"detach p /shop", "is the last service control policy"}, {"detach p /", "is not attached to"}, {"detach FullAWSAccess /", "is the last"},
			{"detach r /", ""}, {"rmpolicy r", ""}, {"attach FullAWSAccess /shop", ""},
			{"/(main shop[FullAWSAccess p](shop))", ""},
		},
		"what hangs on what goes": {
			{"unit /a", ""}, {"add shop /a", ""}, {"put p scp " + scp, ""}, {"attach p shop", ""}, {"attach p /a", ""}, {"remove shop", ""}, {"rmunit /a", ""}, {"rmpolicy p", ""},
			{"add shop /", ""}, {"/(main shop)", ""},
		},
		"the end": {
			{"unit /a", ""}, {"put p scp " + scp, ""}, {"add shop /", ""},
			{"end", "take its accounts out first"}, {"remove shop", ""}, {"end", "still has units"}, {"rmunit /a", ""}, {"end", "still has control policies"}, {"rmpolicy p", ""},
			{"move main /", "there already"}, {"/(main)", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEstate(t)
			for _, s := range steps[:len(steps)-1] {
				before := e.tree()
				err := e.step(s[0])
				switch {
				case s[1] == "" && err != nil:
					t.Fatalf("%s: %v", s[0], err)
				case s[1] != "" && (err == nil || !strings.Contains(err.Error(), s[1])):
					t.Errorf("%s: %v, want %q", s[0], err, s[1])
				case s[1] != "" && e.tree() != before:
					t.Errorf("%s: refused, and %s is now %s", s[0], before, e.tree())
				}
				if found := e.problems(); len(found) > 0 {
					t.Fatalf("after %s: %q", s[0], found)
				}
			}
			if got, want := e.tree(), steps[len(steps)-1][0]; got != want {
				t.Errorf("in the end %s, want %s", got, want)
			}
		})
	}
}

// Deleted, an organisation leaves nothing, and its account can make another.
func TestOrganizationDelete(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	for _, s := range []string{"end", "org main"} {
		if err := e.step(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if found := e.problems(); len(found) > 0 {
		t.Error(found)
	}
	e.must(func(tx *table.Tx) error {
		all, err := iam.ListOrganizations(tx)
		if len(all) != 1 || all[0].ID == e.org.ID {
			t.Errorf("organisations %v", all)
		}
		return err
	})
}

// As many control policies as AWS attaches to one place: ten, and five of which one
// is AWS's own.
func TestAttachmentLimits(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	for i := range 12 {
		for _, s := range []string{fmt.Sprintf("put s%d scp %s", i, scp), fmt.Sprintf("put r%d rcp %s", i, rcp)} {
			if err := e.step(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	attached := map[string]int{}
	for i := range 12 {
		for _, kind := range []string{"s", "r"} {
			switch err := e.step(fmt.Sprintf("attach %s%d /", kind, i)); {
			case err == nil:
				attached[kind]++
			case !strings.Contains(err.Error(), "merge some, or detach one first"):
				t.Error(err)
			}
		}
	}
	if attached["s"] != 9 || attached["r"] != 4 { // beside FullAWSAccess, and RCPFullAWSAccess
		t.Errorf("attached %v", attached)
	}
	if found := e.problems(); len(found) > 0 {
		t.Error(found)
	}
}

// Organisations are named by id and by their management account, and need no name
// while there is one.
func TestFindOrganization(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	find := func(ref, want, wrong string) {
		t.Helper()
		e.must(func(tx *table.Tx) error {
			o, err := iam.FindOrganization(tx, ref)
			if wrong == "" && (err != nil || o.ID != want) || wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)) {
				t.Errorf("%q: %v, %v; want %s %s", ref, o, err, want, wrong)
			}
			return nil
		})
	}
	find("", e.org.ID, "")
	find(e.org.ID, e.org.ID, "")
	find("main", e.org.ID, "")
	find(e.ids["main"], e.org.ID, "")
	find("shop", "", `no organisation "shop"`)
	find("o-nope", "", `no organisation "o-nope"`)
	if err := e.step("org shop"); err != nil {
		t.Fatal(err)
	}
	find("", "", "several organisations; name one with --org: o-")
	find("main", e.org.ID, "")
	// Units and policies of one are unknown to the other.
	if err := e.step("unit /a"); err != nil {
		t.Fatal(err)
	}
	if err := e.step("put p scp " + scp); err != nil {
		t.Fatal(err)
	}
	var unit, policy string
	e.must(func(tx *table.Tx) error {
		root, err := e.org.Describe(tx)
		if err != nil {
			return err
		}
		unit = root.In[0].ID
		p, err := e.org.FindControlPolicy(tx, "p")
		if err == nil {
			policy = p.ID
		}
		return err
	})
	if err := e.do(func(tx *table.Tx) (err error) { e.org, err = iam.FindOrganization(tx, "shop"); return err }); err != nil {
		t.Fatal(err)
	}
	for step, want := range map[string]string{
		"unit " + unit + "/b": "no such unit", "rmunit " + unit: "no such unit", "attach " + policy + " /": "no control policy",
		"attach FullAWSAccess " + unit: "no unit or account", "detach FullAWSAccess main": "is not in organisation", "rmpolicy " + policy: "no control policy",
	} {
		if err := e.step(step); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", step, err, want)
		}
	}
}

// The grammar of control policies.
func TestControlPolicyGrammar(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	pad := func(text string, n int) string { return text + strings.Repeat(" ", n-len(text)) }
	statement := func(s string) string { return `{"Version":"2012-10-17","Statement":{` + s + `}}` }
	for name, tc := range map[string]struct{ kind, text, wrong string }{
		"scp: an Allow with conditions, NotAction and ARNs": {"scp", statement(`"Effect":"Allow","NotAction":"iam:*Role","Resource":"arn:aws:kms:*:*:key/*","Condition":{"Bool":{"aws:SecureTransport":"true"}}`), ""},
		"scp: NotResource":                {"scp", statement(`"Effect":"Deny","Action":"*","NotResource":"arn:aws:kms:*:*:key/*"`), ""},
		"scp: a principal":                {"scp", statement(`"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"`), "should not specify a principal"},
		"scp: no resource":                {"scp", statement(`"Effect":"Deny","Action":"*"`), "Resource: missing"},
		"scp: no version":                 {"scp", `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`, `must have "Version": "2012-10-17"`},
		"scp: the old version":            {"scp", strings.Replace(scp, "2012-10-17", "2008-10-17", 1), `must have "Version"`},
		"scp: as long as may be":          {"scp", pad(scp, 10240), ""},
		"scp: longer, white space counts": {"scp", pad(scp, 10241), "at most 10240 characters, white space included; this one has 10241, of which 86 would be left"},
		"rcp: a Deny":                     {"rcp", rcp, ""},
		"rcp: NotResource, a condition":   {"rcp", statement(`"Effect":"Deny","Principal":{"AWS":"*"},"Action":["secretsmanager:Get*","s3:*"],"NotResource":"arn:aws:secretsmanager:*:*:secret:public-*","Condition":{"Null":{"aws:PrincipalOrgID":"true"}}`), ""},
		"rcp: an Allow":                   {"rcp", statement(`"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"`), `statement 1 of the resource control policy: its Effect must be "Deny"`},
		"rcp: no principal":               {"rcp", scp, "Principal: missing"},
		"rcp: an account":                 {"rcp", statement(`"Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"`), `Principal must be "*"`},
		"rcp: everybody and a service":    {"rcp", statement(`"Effect":"Deny","Principal":{"AWS":"*","Service":"kms.amazonaws.com"},"Action":"kms:*","Resource":"*"`), `Principal must be "*"`},
		"rcp: NotPrincipal":               {"rcp", statement(`"Effect":"Deny","NotPrincipal":"*","Action":"kms:*","Resource":"*"`), `Principal must be "*"`},
		"rcp: NotAction":                  {"rcp", statement(`"Effect":"Deny","Principal":"*","NotAction":"kms:*","Resource":"*"`), "it cannot use NotAction"},
		"rcp: every action":               {"rcp", statement(`"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"`), `Action cannot be "*"; name the service`},
		"rcp: IAM":                        {"rcp", statement(`"Effect":"Deny","Principal":"*","Action":"IAM:*","Resource":"*"`), "do not cover iam"},
		"rcp: no version":                 {"rcp", `{"Statement":{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*"}}`, "must have"},
		"rcp: as long as may be":          {"rcp", pad(rcp, 5120), ""},
		"rcp: longer":                     {"rcp", pad(rcp, 5121), "a resource control policy has at most 5120 characters"},
		"no JSON":                         {"scp", "deny everything", "this is no service control policy: policy: "},
		"nothing":                         {"scp", "", "this is no service control policy"},
	} {
		err := e.do(func(tx *table.Tx) error {
			_, fresh, err := e.org.PutControlPolicy(tx, "p "+strings.ReplaceAll(strings.ReplaceAll(name, ":", ""), "'", ""), tc.kind, "", tc.text)
			if err == nil && !fresh {
				t.Errorf("%s: it was there already", name)
			}
			return err
		})
		if tc.wrong == "" && err != nil || tc.wrong != "" && (err == nil || !strings.Contains(err.Error(), tc.wrong)) {
			t.Errorf("%s: %v, want %q", name, err, tc.wrong)
		}
	}
	if found := e.problems(); len(found) > 0 {
		t.Error(found)
	}
}

// A document changes in place: name, id and attachments stay, and a description that is not
// given again.
func TestControlPolicyUpdate(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	var ids []string
	for _, put := range []struct{ kind, description, text string }{{"", "guards keys", scp}, {"scp", "", strings.Replace(scp, "kms", "sts", 1)}} {
		e.must(func(tx *table.Tx) error {
			p, _, err := e.org.PutControlPolicy(tx, "p", put.kind, put.description, put.text)
			if err == nil {
				ids = append(ids, p.ID)
			}
			return err
		})
	}
	e.must(func(tx *table.Tx) error {
		p, err := e.org.FindControlPolicy(tx, ids[0])
		if err == nil && (ids[0] != ids[1] || p.Description != "guards keys" || !strings.Contains(p.Text, "sts:*")) {
			t.Errorf("%v: %+v", ids, p)
		}
		return err
	})
}

// fsck finds what no operation makes.
func TestCheckOrganizations(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		damage func(e *estate, tx *table.Tx) error
		want   string
	}{
		"a member of nothing": {func(e *estate, tx *table.Tx) error {
			return iam.Members.Put(tx, &iam.Member{Account: e.ids["lab"], Organization: "o-gone", Parent: "r-gone"})
		}, "is in organisation o-gone, which does not exist"},
		"an account that is none": {func(e *estate, tx *table.Tx) error {
			return iam.Members.Put(tx, &iam.Member{Account: "000000000001", Organization: e.org.ID, Parent: e.org.Root})
		}, "account 000000000001 is in organisation"},
		"a member in no unit": {func(e *estate, tx *table.Tx) error {
			return iam.Members.Put(tx, &iam.Member{Account: e.ids["shop"], Organization: e.org.ID, Parent: "ou-gone"})
		}, "is in unit ou-gone, which does not exist"},
		"a circle": {func(e *estate, tx *table.Tx) error {
			for _, u := range []iam.Unit{{ID: "ou-1", Parent: "ou-2"}, {ID: "ou-2", Parent: "ou-1"}} {
				u.Organization, u.Name = e.org.ID, u.ID
				if err := iam.Units.Put(tx, &u); err != nil {
					return err
				}
			}
			return nil
		}, "unit ou-1 is more than 5 units deep, or in a circle of them"},
		"no row of policies": {func(e *estate, tx *table.Tx) error { return iam.Targets.Delete(tx, table.K(e.ids["shop"])) }, "has no control policies"},
		"no policy at all": {func(e *estate, tx *table.Tx) error {
			return iam.Targets.Put(tx, &iam.Target{ID: e.ids["shop"], Organization: e.org.ID})
		}, "has 0 service control policies"},
		"a policy that is gone": {func(e *estate, tx *table.Tx) error {
			return iam.Targets.Put(tx, &iam.Target{ID: e.org.Root, Organization: e.org.ID, Policies: []string{"p-FullAWSAccess", "p-gone"}})
		}, "control policy p-gone, attached to r-"},
		"a policy twice": {func(e *estate, tx *table.Tx) error {
			return iam.Targets.Put(tx, &iam.Target{ID: e.org.Root, Organization: e.org.ID, Policies: []string{"p-FullAWSAccess", "p-FullAWSAccess"}})
		}, "twice"},
		"a target that is gone": {func(e *estate, tx *table.Tx) error {
			return iam.Targets.Put(tx, &iam.Target{ID: "ou-gone", Organization: e.org.ID, Policies: []string{"p-FullAWSAccess"}})
		}, "attached to ou-gone, which is not in organisation"},
		"a policy that is none": {func(e *estate, tx *table.Tx) error {
			return iam.ControlPolicies.Put(tx, &iam.ControlPolicy{ID: "p-1", Organization: e.org.ID, Name: "x", Text: "{"})
		}, "control policy p-1: this is no service control policy"},
		"a management account elsewhere": {func(e *estate, tx *table.Tx) error {
			if err := iam.Targets.Delete(tx, table.K(e.ids["main"])); err != nil {
				return err
			}
			return iam.Members.Delete(tx, table.K(e.ids["main"]))
		}, "the management account"},
		"a unit of another": {func(e *estate, tx *table.Tx) error {
			other, err := iam.CreateOrganization(tx, "lab", time.Now())
			if err != nil {
				return err
			}
			u, err := other.CreateUnit(tx, "/x")
			if err != nil {
				return err
			}
			return iam.Members.Put(tx, &iam.Member{Account: e.ids["shop"], Organization: e.org.ID, Parent: u.ID})
		}, "is in unit ou-"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEstate(t)
			if err := e.step("add shop /"); err != nil {
				t.Fatal(err)
			}
			if found := e.problems(); len(found) > 0 {
				t.Fatal(found)
			}
			e.must(func(tx *table.Tx) error { return tc.damage(e, tx) })
			if found := strings.Join(e.problems(), "\n"); !strings.Contains(found, tc.want) {
				t.Errorf("found %q, want %q", found, tc.want)
			}
		})
	}
}
