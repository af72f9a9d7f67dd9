package secretsmanager_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
	"coffer/internal/secretsmanager"
)

// list gathers all pages.
func (c caller) list(in smapi.ListSecretsInput) (names []string) {
	c.t.Helper()
	for pages := 0; ; pages++ {
		out, err := call(c, smapi.ListSecrets, &in)
		if err != nil {
			c.t.Fatalf("ListSecrets: %v", err)
		}
		if out.SecretList == nil {
			c.t.Error("SecretList is absent")
		}
		for _, s := range out.SecretList {
			names = append(names, *s.Name)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return names
		}
		if pages > 10000 {
			c.t.Fatal("the listing does not end")
		}
	}
}

func filter(key string, values ...string) smapi.Filter {
	return smapi.Filter{Key: &key, Values: values}
}

func TestListSecretsSorting(t *testing.T) {
	w := newWorld(t)
	c := w.root()
	for _, n := range []string{"b", "d", "a", "c"} {
		c.create(n, "1")
		c.pass(time.Second)
	}
	c.put("d", "v2", "2")
	c.pass(day)
	for _, n := range []string{"c", "a"} {
		if _, err := c.get(n, "", ""); err != nil {
			t.Fatal(err)
		}
	}
	w.work("secretsmanager.accessed")
	c.pass(day)
	if _, err := c.get("b", "", ""); err != nil {
		t.Fatal(err)
	}
	w.work("secretsmanager.accessed")
	w.as(other).create("foreign", "1")
	w.in("us-east-1").create("elsewhere", "1")
	for _, tc := range []struct{ by, order, want string }{
		{"", "", "b d a c"},
		{"", "desc", "c a d b"},
		{"created-date", "asc", "b d a c"},
		{"name", "", "a b c d"},
		{"name", "desc", "d c b a"},
		{"last-changed-date", "asc", "b a c d"},
		{"last-changed-date", "desc", "d c a b"},
		{"last-accessed-date", "asc", "d a c b"},
		{"last-accessed-date", "desc", "b c a d"},
	} {
		for page := range int64(5) {
			for _, f := range [][]smapi.Filter{nil, {filter("name", "a", "b", "c", "d")}, {filter("name", "!x")}} {
				in := smapi.ListSecretsInput{MaxResults: new(page + 1), Filters: f}
				if tc.by != "" {
					in.SortBy = &tc.by
				}
				if tc.order != "" {
					in.SortOrder = &tc.order
				}
				if got := strings.Join(c.list(in), " "); got != tc.want {
					t.Errorf("by %s %s, pages of %d, filters %v: %s, want %s", tc.by, tc.order, page+1, f != nil, got, tc.want)
				}
			}
		}
	}
}

func TestListSecretsEntry(t *testing.T) {
	c := newWorld(t).root()
	key := c.kms.add(account, "k1")
	created := c.time()
	_, err := call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: new("s"), KmsKeyId: &key, Description: new("d"), ClientRequestToken: token("v1"), SecretString: api.Sensitive("x"),
		Tags: []smapi.Tag{{Key: new("k"), Value: new("v")}}})
	if err != nil {
		t.Fatal(err)
	}
	c.pass(time.Hour)
	c.put("s", "v2", "y")
	out, err := call(c, smapi.ListSecrets, &smapi.ListSecretsInput{})
	if err != nil || len(out.SecretList) != 1 || out.NextToken != nil {
		t.Fatalf("%v", err)
	}
	e := out.SecretList[0]
	d := c.describe("s")
	if *e.ARN != *d.ARN || *e.Description != "d" || *e.KmsKeyId != key || !e.CreatedDate.Equal(created) || !e.LastChangedDate.Equal(c.time()) ||
		*e.Tags[0].Key != "k" || *e.Tags[0].Value != "v" || e.SecretVersionsToStages[*token("v2")][0] != "AWSCURRENT" || e.RotationEnabled != nil || e.PrimaryRegion != nil {
		t.Errorf("%+v", e)
	}
	if got, err := call(c, smapi.ListSecrets, &smapi.ListSecretsInput{Filters: []smapi.Filter{filter("name", "none")}}); err != nil || got.SecretList == nil || len(got.SecretList) != 0 {
		t.Errorf("%v", err)
	}
}

func TestListSecretsFilters(t *testing.T) {
	c := newWorld(t).root()
	for _, s := range []struct{ name, description, key, value string }{
		{"app/one", "the first database", "env", "prod"},
		{"app/two", "the second database", "env", "dev"},
		{"other", "", "team", "one"},
	} {
		in := &smapi.CreateSecretInput{Name: &s.name, Description: &s.description, Tags: []smapi.Tag{{Key: &s.key, Value: &s.value}}}
		if _, err := call(c, smapi.CreateSecret, in); err != nil {
			t.Fatal(err)
		}
		c.pass(time.Second)
	}
	for _, tc := range []struct {
		want    string
		filters []smapi.Filter
	}{
		{"app/one app/two", []smapi.Filter{filter("name", "app/")}},
		{"other", []smapi.Filter{filter("name", "!app/")}},
		{"app/one other", []smapi.Filter{filter("name", "app/o", "oth")}},
		{"app/one", []smapi.Filter{filter("name", "app/", "x"), filter("tag-value", "prod")}},
		{"app/one app/two", []smapi.Filter{filter("tag-key", "en")}},
		{"app/two", []smapi.Filter{filter("description", "SECOND")}},
		{"app/one other", []smapi.Filter{filter("all", "one")}},
		{"", []smapi.Filter{filter("primary-region", "eu")}},
		{"", []smapi.Filter{filter("name", "a"), filter("name", "o")}},
	} {
		if got := strings.Join(c.list(smapi.ListSecretsInput{Filters: tc.filters}), " "); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
		if got := strings.Join(c.list(smapi.ListSecretsInput{Filters: tc.filters, SortBy: new("name"), MaxResults: new(int64(1))}), " "); got != tc.want {
			t.Errorf("by name: %q, want %q", got, tc.want)
		}
	}
	out, err := call(c, smapi.ListSecrets, &smapi.ListSecretsInput{Filters: []smapi.Filter{{Key: new("name")}}})
	if fault.Code(err) != "InvalidParameterException" || out != nil {
		t.Errorf("a filter without values: %v", err)
	}
}

// A token is good for the question it was given for, from who got it.
func TestListSecretsTokens(t *testing.T) {
	w := newWorld(t)
	c := w.root()
	for _, c := range []caller{c, w.as(other), w.in("us-east-1")} {
		for i := range 5 {
			c.create(fmt.Sprint("s", i), "")
		}
	}
	base := smapi.ListSecretsInput{MaxResults: new(int64(2)), Filters: []smapi.Filter{filter("name", "s")}}
	first, err := call(c, smapi.ListSecrets, &base)
	if err != nil || first.NextToken == nil {
		t.Fatal(err)
	}
	try := func(c caller, change func(in *smapi.ListSecretsInput)) error {
		in := base
		in.NextToken = first.NextToken
		change(&in)
		_, err := call(c, smapi.ListSecrets, &in)
		return err
	}
	if err := try(c, func(in *smapi.ListSecretsInput) { in.MaxResults = new(int64(1)) }); err != nil {
		t.Errorf("another page size: %v", err)
	}
	bad := func(rule string, c caller, change func(in *smapi.ListSecretsInput)) {
		t.Helper()
		err := try(c, change)
		if fault.Code(err) != "InvalidNextTokenException" {
			t.Errorf("%s: %v", rule, err)
		}
	}
	same := func(*smapi.ListSecretsInput) {}
	bad("another account", w.as(other), same)
	bad("another region", w.in("us-east-1"), same)
	bad("no filters", c, func(in *smapi.ListSecretsInput) { in.Filters = nil })
	bad("another filter", c, func(in *smapi.ListSecretsInput) { in.Filters = []smapi.Filter{filter("name", "s1")} })
	bad("values regrouped", c, func(in *smapi.ListSecretsInput) {
		in.Filters = []smapi.Filter{filter("name", "s"), filter("name", "s")}
	})
	grouped := base
	grouped.Filters = []smapi.Filter{filter("name", "s", "name", "s")}
	if out, err := call(c, smapi.ListSecrets, &grouped); err != nil || out.NextToken == nil {
		t.Error(err)
	} else if _, err := call(c, smapi.ListSecrets, &smapi.ListSecretsInput{Filters: []smapi.Filter{filter("name", "s"), filter("name", "s")}, NextToken: out.NextToken}); fault.Code(err) != "InvalidNextTokenException" {
		t.Errorf("filters parted elsewhere: %v", err)
	}
	bad("another order", c, func(in *smapi.ListSecretsInput) { in.SortOrder = new("desc") })
	bad("another sort key", c, func(in *smapi.ListSecretsInput) { in.SortBy = new("name") })
	bad("marked ones included", c, func(in *smapi.ListSecretsInput) { in.IncludePlannedDeletion = new(true) })
	raw, _ := base64.RawURLEncoding.DecodeString(*first.NextToken)
	for i := range raw {
		mangled := slices.Clone(raw)
		mangled[i] ^= 1
		bad(fmt.Sprint("bit flipped in byte ", i), c, func(in *smapi.ListSecretsInput) {
			in.NextToken = new(base64.RawURLEncoding.EncodeToString(mangled))
		})
	}
	for _, s := range []string{"x", "!!!!", "AA", *first.NextToken + "A", *first.NextToken + "\n", (*first.NextToken)[1:], strings.Repeat("A", 4096)} {
		bad("garbage", c, func(in *smapi.ListSecretsInput) { in.NextToken = &s })
	}
	// Another process, another key.
	if _, _, err := secretsmanager.New(secretsmanager.Config{}).OpenToken([]string{"p"}, w.service.SealToken([]string{"p"}, "a", "b")); err == nil {
		t.Error("a token of another process is accepted")
	}
	batch, err := call(c, smapi.BatchGetSecretValue, &smapi.BatchGetSecretValueInput{Filters: base.Filters, NextToken: first.NextToken})
	wantFault(t, batch, err, "InvalidNextTokenException", "The NextToken value is invalid.")
}

// While secrets come and go, each one that is there throughout is listed
// exactly once, whatever the page size, filter and sort key.
func TestListingIsStable(t *testing.T) {
	rounds := 24
	if testing.Short() {
		rounds = 6
	}
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 2))
		w := newWorld(t)
		w.twice = false
		c := w.root()
		var stay []string
		for i := range 60 {
			name := fmt.Sprintf("%c/stay%d", 'a'+rng.IntN(6), i)
			stay = append(stay, name)
			c.create(name, "")
			if rng.IntN(2) == 0 {
				c.pass(time.Duration(rng.IntN(3)) * time.Millisecond)
			}
		}
		in := smapi.ListSecretsInput{MaxResults: new(int64(1 + rng.IntN(9)))}
		in.SortBy = new([]string{"name", "created-date", "last-accessed-date", "last-changed-date"}[seed%4])
		in.SortOrder = new([]string{"asc", "desc"}[rng.IntN(2)])
		if rng.IntN(2) == 0 {
			in.Filters = []smapi.Filter{filter("name", "a", "b", "c", "d", "e", "f/")}
		}
		var come []string
		seen := map[string]int{}
		for n := 0; ; n++ {
			out, err := call(c, smapi.ListSecrets, &in)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range out.SecretList {
				seen[*s.Name]++
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
			for range rng.IntN(4) {
				if len(come) > 0 && rng.IntN(2) == 0 {
					i := rng.IntN(len(come))
					if _, err := c.delete(come[i], 0, new(true)); err != nil {
						t.Fatal(err)
					}
					come = slices.Delete(come, i, i+1)
					continue
				}
				name := fmt.Sprintf("%c/come%d-%d", 'a'+rng.IntN(6), n, rng.IntN(1000))
				if _, err := call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: &name}); err == nil {
					come = append(come, name)
				}
			}
		}
		for _, name := range stay {
			if seen[name] != 1 {
				t.Errorf("seed %d by %s %s: %s listed %d times", seed, *in.SortBy, *in.SortOrder, name, seen[name])
			}
		}
	}
}

func TestBatchGetSecretValue(t *testing.T) {
	w := newWorld(t)
	c := w.root()
	arn := *c.create("a", "of a").ARN
	c.create("b", "of b")
	c.create("empty", "")
	c.create("marked", "x")
	if _, err := c.delete("marked", 0, nil); err != nil {
		t.Fatal(err)
	}
	broken := w.kms.add(account, "k1")
	if _, err := call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: new("denied"), KmsKeyId: &broken, ClientRequestToken: token("v1"), SecretString: api.Sensitive("x")}); err != nil {
		t.Fatal(err)
	}
	w.kms.deny("Decrypt", broken)
	foreign := "arn:aws:secretsmanager:eu-west-1:444455556666:secret:x"
	w.records = nil
	out, err := call(c, smapi.BatchGetSecretValue, &smapi.BatchGetSecretValueInput{SecretIdList: []string{"b", "none", arn, "marked", "empty", "denied", foreign, "a b"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.SecretValues) != 2 || *out.SecretValues[0].Name != "b" || *out.SecretValues[1].Name != "a" || string(out.SecretValues[1].SecretString) != "of a" ||
		*out.SecretValues[1].VersionId != *token("v1") || out.SecretValues[1].VersionStages[0] != "AWSCURRENT" || *out.SecretValues[1].ARN != arn {
		t.Errorf("%d values", len(out.SecretValues))
	}
	var got []string
	for _, e := range out.Errors {
		got = append(got, *e.SecretId+" "+*e.ErrorCode)
		if *e.Message == "" {
			t.Errorf("%s: no message", *e.SecretId)
		}
	}
	want := []string{"none ResourceNotFoundException", "marked InvalidRequestException", "empty ResourceNotFoundException", "denied AccessDeniedException", foreign + " AccessDeniedException", "a b ValidationException"}
	if !slices.Equal(got, want) {
		t.Errorf("errors\n%q, want\n%q", got, want)
	}
	n := 0
	for _, r := range w.records {
		if strings.HasPrefix(r, "GetSecretValue") {
			n++
		}
	}
	if n != 8 {
		t.Errorf("%d records of GetSecretValue, want one for each item: %q", n, w.records)
	}
	// Trouble on our side fails the whole call, and then no read counts.
	own := w.kms.add(account, "k2")
	if _, err := call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: new("own"), KmsKeyId: &own, ClientRequestToken: token("v1"), SecretString: api.Sensitive("x")}); err != nil {
		t.Fatal(err)
	}
	w.kms.keys[keyARN(account, "managed")].state = fault.New(fault.Internal, "KMSInternalException", "")
	_, err = call(c, smapi.BatchGetSecretValue, &smapi.BatchGetSecretValueInput{SecretIdList: []string{"none", "own", "a"}})
	if fault.Code(err) != "InternalServiceError" {
		t.Errorf("%v", err)
	}
	w.kms.keys[keyARN(account, "managed")].state = nil
	w.work("secretsmanager.accessed")
	if c.describe("own").LastAccessedDate != nil {
		t.Error("a read counts that was not answered")
	}

	const either = "Either 'SecretIdList' or 'Filters' must be provided, but not both."
	for _, tc := range []struct {
		in   smapi.BatchGetSecretValueInput
		text string
	}{
		{smapi.BatchGetSecretValueInput{}, either},
		{smapi.BatchGetSecretValueInput{SecretIdList: []string{"a"}, Filters: []smapi.Filter{filter("name", "a")}}, either},
		{smapi.BatchGetSecretValueInput{SecretIdList: []string{"a"}, MaxResults: new(int64(3))}, "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided."},
		{smapi.BatchGetSecretValueInput{MaxResults: new(int64(3))}, "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided."},
	} {
		out, err := call(c, smapi.BatchGetSecretValue, &tc.in)
		wantFault(t, out, err, "InvalidParameterException", tc.text)
	}
}

func TestBatchGetSecretValueByFilters(t *testing.T) {
	c := newWorld(t).root()
	for i := range 25 {
		c.create(fmt.Sprintf("s%02d", i), fmt.Sprint("of ", i))
		c.pass(time.Millisecond)
	}
	for _, page := range []int64{0, 1, 7, 20} {
		in := &smapi.BatchGetSecretValueInput{Filters: []smapi.Filter{filter("name", "s0", "s1")}}
		want := 20
		if page > 0 {
			in.MaxResults = &page
			want = int(page)
		}
		n := 0
		for {
			out, err := call(c, smapi.BatchGetSecretValue, in)
			if err != nil {
				t.Fatal(err)
			}
			if out.Errors == nil || out.SecretValues == nil || len(out.Errors) > 0 || len(out.SecretValues) > want {
				t.Fatalf("%d values, %d errors", len(out.SecretValues), len(out.Errors))
			}
			for _, v := range out.SecretValues {
				if string(v.SecretString) != fmt.Sprint("of ", n) {
					t.Errorf("value %d is another's", n)
				}
				n++
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
		if n != 20 {
			t.Errorf("%d values in pages of %d", n, page)
		}
	}
}

func FuzzToken(f *testing.F) {
	s := secretsmanager.New(secretsmanager.Config{TokenKey: []byte("0123456789abcdef0123456789abcdef")})
	purpose := []string{"op", "a"}
	good := s.SealToken(purpose, "0000000000000001", "name")
	f.Add(good, "part", "name")
	f.Add("", "", "")
	f.Add(good+"=", "\xff", "é")
	f.Fuzz(func(t *testing.T, token, part, name string) {
		if _, _, err := s.OpenToken(purpose, token); err == nil && token != good {
			t.Fatalf("%q is accepted", token)
		} else if err != nil && fault.Code(err) != "InvalidNextTokenException" {
			t.Fatal(err)
		}
		if strings.Contains(part, "\x00") {
			return // sort keys are hexadecimal
		}
		p, n, err := s.OpenToken(purpose, s.SealToken(purpose, part, name))
		if err != nil || p != part || n != name {
			t.Fatalf("%q %q came back as %q %q, %v", part, name, p, n, err)
		}
		if _, _, err := s.OpenToken([]string{"op", "ab"}, s.SealToken([]string{"opa", "b"}, part, name)); err == nil {
			t.Fatal("good for another purpose")
		}
	})
}
