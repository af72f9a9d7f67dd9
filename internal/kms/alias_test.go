package kms_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kmsapi "coffer/internal/api/kms"
)

func (c client) aliases(in kmsapi.ListAliasesInput) (names []string) {
	c.Helper()
	for {
		out := must(c, kmsapi.ListAliases, &in)
		for _, a := range out.Aliases {
			names = append(names, *a.AliasName)
		}
		if *out.Truncated != (out.NextMarker != nil) {
			c.Fatalf("truncated %v, marker %v", *out.Truncated, out.NextMarker)
		}
		if in.Marker = out.NextMarker; in.Marker == nil {
			return names
		}
	}
}

func TestAliasNames(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	const prefix = `Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`
	const pattern = "' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"
	for _, tc := range []struct{ name, code, message string }{
		{"app", "ValidationException", prefix},
		{"Alias/app", "ValidationException", prefix},
		{"alias/", "ValidationException", prefix},
		{"alias", "ValidationException", prefix},
		{c.arn("alias/app"), "ValidationException", prefix},
		{"alias/a:b", "ValidationException", "alias/a:b contains invalid characters for an alias"},
		{"alias/a b", "ValidationException", "1 validation error detected: Value 'alias/a b" + pattern},
		{"alias/aws/secretsmanager", "NotAuthorizedException", ""},
		{"alias/aws/anything", "NotAuthorizedException", ""},
	} {
		refuse(c, kmsapi.CreateAlias, &kmsapi.CreateAliasInput{AliasName: &tc.name, TargetKeyId: m.KeyId}, tc.code, tc.message)
		refuse(c, kmsapi.UpdateAlias, &kmsapi.UpdateAliasInput{AliasName: &tc.name, TargetKeyId: m.KeyId}, tc.code, tc.message)
		refuse(c, kmsapi.DeleteAlias, &kmsapi.DeleteAliasInput{AliasName: &tc.name}, tc.code, tc.message)
	}
	for _, name := range []string{"alias/a", "alias/a/b", "alias/A_b-9", "alias/awsome", "alias/" + strings.Repeat("a", 250)} {
		c.createAlias(name, *m.Arn)
	}
}

func TestAliasLife(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	a, b := c.createKey(), c.createKey()
	c.createAlias("alias/app", *a.KeyId)
	old := c.encrypt("alias/app", "old")
	created := c.now
	refuse(c, kmsapi.CreateAlias, &kmsapi.CreateAliasInput{AliasName: new("alias/app"), TargetKeyId: b.KeyId}, "AlreadyExistsException",
		"An alias with the name "+c.arn("alias/app")+" already exists")

	// An alias moves; what was encrypted by it stays with its key.
	c.now = c.now.Add(time.Hour)
	must(c, kmsapi.UpdateAlias, &kmsapi.UpdateAliasInput{AliasName: new("alias/app"), TargetKeyId: b.Arn})
	if d := c.describe("alias/app"); *d.KeyId != *b.KeyId {
		t.Errorf("alias/app is %s", *d.KeyId)
	}
	if c.decrypt(old) != "old" {
		t.Error("an old ciphertext does not decrypt after the alias moved")
	}
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: new("alias/app"), CiphertextBlob: old}, "IncorrectKeyException", incorrect)
	e := must(c, kmsapi.ListAliases, &kmsapi.ListAliasesInput{}).Aliases[0]
	if *e.AliasName != "alias/app" || *e.AliasArn != c.arn("alias/app") || *e.TargetKeyId != *b.KeyId || !e.CreationDate.Equal(created) || !e.LastUpdatedDate.Equal(c.now) {
		t.Errorf("listed as %+v", e)
	}
	if n := c.aliases(kmsapi.ListAliasesInput{KeyId: a.KeyId}); n != nil {
		t.Errorf("the old key has %v", n)
	}
	if n := c.aliases(kmsapi.ListAliasesInput{KeyId: b.Arn}); !slices.Equal(n, []string{"alias/app"}) {
		t.Errorf("the new key has %v", n)
	}

	must(c, kmsapi.DeleteAlias, &kmsapi.DeleteAliasInput{AliasName: new("alias/app")})
	gone := "Alias " + c.arn("alias/app") + " is not found."
	refuse(c, kmsapi.DeleteAlias, &kmsapi.DeleteAliasInput{AliasName: new("alias/app")}, "NotFoundException", gone)
	refuse(c, kmsapi.UpdateAlias, &kmsapi.UpdateAliasInput{AliasName: new("alias/app"), TargetKeyId: a.KeyId}, "NotFoundException", gone)
	refuse(c, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: new("alias/app")}, "NotFoundException", gone)

	const missing = "0c1d2e3f-0000-4000-8000-000000000000"
	refuse(c, kmsapi.CreateAlias, &kmsapi.CreateAliasInput{AliasName: new("alias/app"), TargetKeyId: new(missing)}, "NotFoundException", "Key '"+c.arn("key/"+missing)+"' does not exist")
	c.createAlias("alias/other", *a.KeyId)
	refuse(c, kmsapi.CreateAlias, &kmsapi.CreateAliasInput{AliasName: new("alias/app"), TargetKeyId: new("alias/other")}, "NotFoundException", "Invalid keyId 'alias/other'")
	foreign := "arn:aws:kms:eu-west-1:" + theirs + ":key/" + missing
	refuse(c, kmsapi.CreateAlias, &kmsapi.CreateAliasInput{AliasName: new("alias/app"), TargetKeyId: &foreign}, "AccessDeniedException",
		"User: arn:aws:iam::111122223333:root is not authorized to perform: kms:CreateAlias on resource: "+foreign+" because no resource-based policy allows the kms:CreateAlias action")
}

func TestAliasQuota(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m, other := c.createKey(), c.createKey()
	for i := range 50 {
		c.createAlias(fmt.Sprintf("alias/%02d", i), *m.KeyId)
	}
	full := "The limit of 50 aliases per key has been reached for the key: " + *m.Arn
	refuse(c, kmsapi.CreateAlias, &kmsapi.CreateAliasInput{AliasName: new("alias/50"), TargetKeyId: m.KeyId}, "LimitExceededException", full)
	c.createAlias("alias/50", *other.KeyId)
	refuse(c, kmsapi.UpdateAlias, &kmsapi.UpdateAliasInput{AliasName: new("alias/50"), TargetKeyId: m.KeyId}, "LimitExceededException", full)
	must(c, kmsapi.UpdateAlias, &kmsapi.UpdateAliasInput{AliasName: new("alias/07"), TargetKeyId: m.KeyId})
}

// Pages neither repeat nor skip what was there all along.
func TestPages(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, eu)
	m := c.createKey()
	var want []string
	for i := range 40 {
		want = append(want, fmt.Sprintf("alias/%02d", i))
		c.createAlias(want[i], *m.KeyId)
	}
	for _, key := range []*string{nil, m.KeyId} {
		for limit := range int64(42) {
			in := kmsapi.ListAliasesInput{KeyId: key, Limit: new(limit + 1)}
			if got := c.aliases(in); !slices.Equal(got, want) {
				t.Errorf("limit %d: %v", limit+1, got)
			}
		}
	}
	first := must(c, kmsapi.ListAliases, &kmsapi.ListAliasesInput{Limit: new(int64(10))})
	must(c, kmsapi.DeleteAlias, &kmsapi.DeleteAliasInput{AliasName: new("alias/09")}) // where the page ended
	c.createAlias("alias/05a", *m.KeyId)
	c.createAlias("alias/39a", *m.KeyId)
	rest := c.aliases(kmsapi.ListAliasesInput{Marker: first.NextMarker})
	if !slices.Equal(rest, append(slices.Clone(want[10:]), "alias/39a")) {
		t.Errorf("after changes: %v", rest)
	}

	var keys []string
	for range 7 {
		keys = append(keys, *c.createKey().KeyId)
	}
	keys = append(keys, *m.KeyId)
	slices.Sort(keys)
	for limit := range int64(9) {
		var got []string
		in := kmsapi.ListKeysInput{Limit: new(limit + 1)}
		for {
			out := must(c, kmsapi.ListKeys, &in)
			for _, k := range out.Keys {
				got = append(got, *k.KeyId)
				if *k.KeyArn != c.arn("key/"+*k.KeyId) {
					t.Errorf("ARN %s", *k.KeyArn)
				}
			}
			if in.Marker = out.NextMarker; in.Marker == nil {
				break
			}
		}
		if !slices.Equal(got, keys) {
			t.Errorf("limit %d: %v", limit+1, got)
		}
	}

	// A marker is of one list only.
	const code, text = "InvalidMarkerException", "The marker is not valid."
	marker := first.NextMarker
	refuse(c, kmsapi.ListKeys, &kmsapi.ListKeysInput{Marker: marker}, code, text)
	refuse(c, kmsapi.ListAliases, &kmsapi.ListAliasesInput{Marker: marker, KeyId: m.KeyId}, code, text)
	refuse(w.in(theirs, eu), kmsapi.ListAliases, &kmsapi.ListAliasesInput{Marker: marker}, code, text)
	refuse(w.in(ours, us), kmsapi.ListAliases, &kmsapi.ListAliasesInput{Marker: marker}, code, text)
	for _, bad := range []string{"x", "AQ", "not base64!", (*marker)[1:], *marker + "A", "AQAAAAAAAAAA", "Ag" + (*marker)[2:]} {
		refuse(c, kmsapi.ListAliases, &kmsapi.ListAliasesInput{Marker: &bad}, code, text)
		refuse(c, kmsapi.ListKeyRotations, &kmsapi.ListKeyRotationsInput{KeyId: m.KeyId, Marker: &bad}, code, text)
		refuse(c, kmsapi.ListResourceTags, &kmsapi.ListResourceTagsInput{KeyId: m.KeyId, Marker: &bad}, code, text)
	}
	refuse(c, kmsapi.ListKeys, &kmsapi.ListKeysInput{Limit: new(int64(1001))}, "ValidationException",
		"1 validation error detected: Value '1001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 1000")
}
