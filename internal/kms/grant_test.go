package kms_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"coffer/internal/api/apitest"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/iam"
	"coffer/internal/kms"
	"coffer/internal/table"
)

// arnOf makes the user, and returns its ARN.
func (c client) arnOf(user string) string { return c.as(user).userPrincipal().ARN }

// role makes a role without policies, and returns its ARN.
func (c client) role(path, name string) string {
	c.Helper()
	r := &iam.Role{ID: "AROA" + c.account + strings.ToUpper(name), Account: c.account, Name: name, Path: path}
	if err := c.db.Update(context.Background(), func(tx *table.Tx) error { return iam.Roles.Put(tx, r) }); err != nil {
		c.Fatal(err)
	}
	return r.ARN("aws")
}

// grant makes a grant and returns its id.
func (c client) grant(key, grantee string, operations ...string) string {
	c.Helper()
	return *must(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: &key, GranteePrincipal: &grantee, Operations: operations}).GrantId
}

func (c client) grants(in kmsapi.ListGrantsInput) []kmsapi.GrantListEntry {
	c.Helper()
	return must(c, kmsapi.ListGrants, &in).Grants
}

func ids(grants []kmsapi.GrantListEntry) (out []string) {
	for _, g := range grants {
		out = append(out, *g.GrantId)
	}
	slices.Sort(out)
	return out
}

func TestCreateGrant(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	alice, bob := c.arnOf("alice"), c.arnOf("bob")
	pairs := map[string]string{"Department": "IT"}
	in := &kmsapi.CreateGrantInput{
		KeyId: m.KeyId, GranteePrincipal: &alice, RetiringPrincipal: &bob, Name: new("mine"),
		Operations: []string{"GenerateDataKey", "Decrypt", "Decrypt", "RetireGrant"}, Constraints: &kmsapi.GrantConstraints{EncryptionContextSubset: pairs},
	}
	made := must(c, kmsapi.CreateGrant, in)
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(*made.GrantId) || !regexp.MustCompile(`^[A-Za-z0-9_-]{100,}$`).MatchString(*made.GrantToken) {
		t.Fatalf("%s, %s", *made.GrantId, *made.GrantToken)
	}
	g := c.grants(kmsapi.ListGrantsInput{KeyId: m.Arn})[0]
	got := fmt.Sprintln(*g.KeyId, *g.GrantId == *made.GrantId, *g.Name, g.CreationDate.Equal(c.now), *g.GranteePrincipal, *g.RetiringPrincipal, *g.IssuingAccount, g.Operations,
		g.Constraints.EncryptionContextSubset, g.Constraints.EncryptionContextEquals == nil)
	if want := fmt.Sprintln(*m.Arn, true, "mine", true, alice, bob, "arn:aws:iam::111122223333:root", []string{"GenerateDataKey", "Decrypt", "RetireGrant"}, pairs, true); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}

	// The same again is no new grant; anything else is.
	again := must(c, kmsapi.CreateGrant, in)
	in.Operations = []string{"RetireGrant", "Decrypt", "GenerateDataKey"}
	sorted := must(c, kmsapi.CreateGrant, in)
	if *again.GrantId != *made.GrantId || *sorted.GrantId != *made.GrantId || *again.GrantToken == *made.GrantToken {
		t.Errorf("a repeated request: %s, %s, %s", *made.GrantId, *again.GrantId, *sorted.GrantId)
	}
	seen := map[string]bool{*made.GrantId: true}
	for what, change := range map[string]func(*kmsapi.CreateGrantInput){
		"another name":     func(in *kmsapi.CreateGrantInput) { in.Name = new("other") },
		"no name":          func(in *kmsapi.CreateGrantInput) { in.Name = nil },
		"no name, again":   func(in *kmsapi.CreateGrantInput) { in.Name = nil },
		"another grantee":  func(in *kmsapi.CreateGrantInput) { in.GranteePrincipal = &bob },
		"another retirer":  func(in *kmsapi.CreateGrantInput) { in.RetiringPrincipal = &alice },
		"no retirer":       func(in *kmsapi.CreateGrantInput) { in.RetiringPrincipal = nil },
		"fewer operations": func(in *kmsapi.CreateGrantInput) { in.Operations = []string{"Decrypt"} },
		"another constraint": func(in *kmsapi.CreateGrantInput) {
			in.Constraints = &kmsapi.GrantConstraints{EncryptionContextEquals: pairs}
		},
		"other pairs": func(in *kmsapi.CreateGrantInput) {
			in.Constraints = &kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{"Department": "HR"}}
		},
		"no constraint": func(in *kmsapi.CreateGrantInput) { in.Constraints = nil },
	} {
		other := *in
		change(&other)
		id := *must(c, kmsapi.CreateGrant, &other).GrantId
		if seen[id] {
			t.Errorf("%s: the same grant", what)
		}
		seen[id] = true
	}
	if n := len(c.grants(kmsapi.ListGrantsInput{KeyId: m.KeyId})); n != len(seen) {
		t.Errorf("%d grants, want %d", n, len(seen))
	}

	// A grant without name has an empty one, and no constraint is none.
	plain := c.grants(kmsapi.ListGrantsInput{KeyId: m.KeyId, GrantId: new(c.grant(*m.KeyId, alice, "Decrypt"))})[0]
	if *plain.Name != "" || plain.RetiringPrincipal != nil || plain.Constraints != nil {
		t.Errorf("%+v", plain)
	}
	// An empty constraint is one: exactly no encryption context.
	id := must(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: m.KeyId, GranteePrincipal: &alice, Operations: []string{"Decrypt"},
		Constraints: &kmsapi.GrantConstraints{EncryptionContextEquals: map[string]string{}}}).GrantId
	if e := c.grants(kmsapi.ListGrantsInput{KeyId: m.KeyId, GrantId: id})[0]; e.Constraints == nil || e.Constraints.EncryptionContextEquals == nil {
		t.Errorf("%+v", e)
	}

	dry := *in
	dry.Name, dry.DryRun = nil, new(true)
	refuse(c, kmsapi.CreateGrant, &dry, "DryRunOperationException", dryRunText)
}

func TestRefusedGrants(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, eu)
	alice := c.arnOf("alice")
	key := func(spec, usage string) *kmsapi.KeyMetadata {
		return must(c, kmsapi.CreateKey, &kmsapi.CreateKeyInput{KeySpec: &spec, KeyUsage: &usage}).KeyMetadata
	}
	symmetric, mac := c.createKey(), key("HMAC_256", "GENERATE_VERIFY_MAC")
	signing, agreement := key("ECC_NIST_P256", "SIGN_VERIFY"), key("ECC_NIST_P256", "KEY_AGREEMENT")
	rsa := key("RSA_2048", "ENCRYPT_DECRYPT")
	always := []string{"CreateGrant", "RetireGrant", "DescribeKey"}
	for _, tc := range []struct {
		key *kmsapi.KeyMetadata
		own []string
	}{
		{symmetric, []string{"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"}},
		{rsa, []string{"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GetPublicKey"}},
		{signing, []string{"Sign", "Verify", "GetPublicKey"}},
		{agreement, []string{"DeriveSharedSecret", "GetPublicKey"}},
		{mac, []string{"GenerateMac", "VerifyMac"}},
	} {
		for _, op := range []string{"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo", "Sign", "Verify", "GetPublicKey",
			"CreateGrant", "RetireGrant", "DescribeKey", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateMac", "VerifyMac", "DeriveSharedSecret"} {
			in := &kmsapi.CreateGrantInput{KeyId: tc.key.KeyId, GranteePrincipal: &alice, Operations: []string{"DescribeKey", op}}
			if slices.Contains(tc.own, op) || slices.Contains(always, op) {
				must(c, kmsapi.CreateGrant, in)
			} else {
				refuse(c, kmsapi.CreateGrant, in, "ValidationException", "The operation "+op+" cannot be granted on a key of spec "+*tc.key.KeySpec+" and usage "+*tc.key.KeyUsage+": "+*tc.key.Arn)
			}
		}
	}

	many := map[string]string{}
	for i := range 9 {
		many[fmt.Sprint(i)] = ""
	}
	long := strings.Repeat("ä", 385)
	const path = "1 validation error detected: Value at 'constraints.encryptionContextSubset' failed to satisfy constraint: "
	for _, tc := range []struct {
		name       string
		key        *kmsapi.KeyMetadata
		operations []string
		constraint *kmsapi.GrantConstraints
		text       string
	}{
		{"no operation", symmetric, []string{}, nil, "Grants must contain at least one operation."},
		{"CreateGrant alone", symmetric, []string{"CreateGrant", "CreateGrant"}, nil, "Grants must not contain only the CreateGrant operation."},
		{"both constraints", symmetric, []string{"Decrypt"}, &kmsapi.GrantConstraints{EncryptionContextEquals: map[string]string{}, EncryptionContextSubset: map[string]string{"a": "b"}}, "More than one constraint supplied"},
		{"RSA with a constraint", rsa, []string{"Decrypt"}, &kmsapi.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "b"}}, "Encryption context constraints are for symmetric encryption keys only: " + *rsa.Arn},
		{"too many pairs", symmetric, []string{"Decrypt"}, &kmsapi.GrantConstraints{EncryptionContextSubset: many}, path + "Member must have length less than or equal to 8"},
		{"a long value", symmetric, []string{"Decrypt"}, &kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{"a": long}}, path + "Map value must satisfy constraint: [Member must have length less than or equal to 384]"},
		{"a long key", symmetric, []string{"Decrypt"}, &kmsapi.GrantConstraints{EncryptionContextSubset: map[string]string{long: "a"}}, path + "Map keys must satisfy constraint: [Member must have length less than or equal to 384]"},
	} {
		_, err := call(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: tc.key.KeyId, GranteePrincipal: &alice, Operations: tc.operations, Constraints: tc.constraint})
		apitest.Refused(t, tc.name, err, "ValidationException", tc.text)
	}
	longest := map[string]string{long[2:]: long[2:]}
	must(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: symmetric.KeyId, GranteePrincipal: &alice, Operations: []string{"Decrypt"}, Constraints: &kmsapi.GrantConstraints{EncryptionContextSubset: longest}})
	must(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: rsa.KeyId, GranteePrincipal: &alice, Operations: []string{"Decrypt"}, Constraints: &kmsapi.GrantConstraints{}})

	// States of the key.
	in := &kmsapi.CreateGrantInput{KeyId: symmetric.KeyId, GranteePrincipal: &alice, Operations: []string{"Decrypt"}}
	id := must(c, kmsapi.CreateGrant, in).GrantId
	must(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: symmetric.KeyId})
	refuse(c, kmsapi.CreateGrant, in, "DisabledException", *symmetric.Arn+" is disabled.")
	must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: symmetric.KeyId})
	refuse(c, kmsapi.CreateGrant, in, "KMSInvalidStateException", *symmetric.Arn+" is pending deletion.")
	must(c, kmsapi.RevokeGrant, &kmsapi.RevokeGrantInput{KeyId: symmetric.KeyId, GrantId: id})
	refuse(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: new("alias/app"), GranteePrincipal: &alice, Operations: []string{"Decrypt"}}, "NotFoundException", "Invalid keyId 'alias/app'")
}

// Who can be a grantee or retire, how they are shown, and that their namesakes are others.
func TestPrincipalsOfGrants(t *testing.T) {
	w := newWorld(t)
	c, foreign := w.in(ours, eu), w.in(theirs, eu)
	m := c.createKey()
	role := c.role("/svc/", "app")
	for _, principal := range []string{
		c.arnOf("alice"), role, foreign.arnOf("bob"), "arn:aws:sts::" + ours + ":assumed-role/app/job-1", "arn:aws:sts::" + ours + ":federated-user/carol",
		"arn:aws:iam::" + ours + ":root", "arn:aws:iam::" + theirs + ":root", "dynamodb.eu-west-1.amazonaws.com",
	} {
		id := must(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: m.KeyId, GranteePrincipal: &principal, RetiringPrincipal: &principal, Operations: []string{"Decrypt"}}).GrantId
		of := c.grants(kmsapi.ListGrantsInput{KeyId: m.KeyId, GranteePrincipal: &principal})
		if len(of) != 1 || *of[0].GrantId != *id || *of[0].GranteePrincipal != principal || *of[0].RetiringPrincipal != principal {
			t.Errorf("%s: listed %v", principal, of)
		}
	}
	for _, principal := range []string{
		"alice", "111122223333", "AIDA111122223333ALICE", "arn:aws:iam::" + ours + ":user/nobody", "arn:aws:iam::" + ours + ":user/path/alice", "arn:aws:iam::" + ours + ":role/app",
		"arn:aws:sts::" + ours + ":assumed-role/none/job", "arn:aws:sts::" + ours + ":assumed-role/svc/app/job", "arn:aws:iam::" + ours + ":group/all", "arn:aws-cn:iam::" + ours + ":root", "arn:aws:iam::1:root", "amazonaws.com",
	} {
		const invalid = "ARN does not refer to a valid principal: "
		refuse(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: m.KeyId, GranteePrincipal: &principal, Operations: []string{"Decrypt"}}, "InvalidArnException", invalid+principal)
		refuse(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: m.KeyId, GranteePrincipal: &role, RetiringPrincipal: &principal, Operations: []string{"Decrypt"}}, "InvalidArnException", invalid+principal)
		if !strings.HasPrefix(principal, "AIDA") {
			refuse(c, kmsapi.ListGrants, &kmsapi.ListGrantsInput{KeyId: m.KeyId, GranteePrincipal: &principal}, "InvalidArnException", invalid+principal)
		}
	}

	// The role goes and another comes under its name: the grants stay with the first.
	gone := "AROA" + ours + "APP"
	if err := w.db.Update(context.Background(), func(tx *table.Tx) error {
		if err := iam.Roles.Delete(tx, table.K(gone)); err != nil {
			return err
		}
		return iam.Roles.Put(tx, &iam.Role{ID: gone + "2", Account: ours, Name: "app", Path: "/svc/"})
	}); err != nil {
		t.Fatal(err)
	}
	if of := c.grants(kmsapi.ListGrantsInput{KeyId: m.KeyId, GranteePrincipal: &role}); len(of) != 0 {
		t.Errorf("the namesake has %v", of)
	}
	for _, shown := range []string{gone, gone + ":job-1"} {
		if of := c.grants(kmsapi.ListGrantsInput{KeyId: m.KeyId, GranteePrincipal: &shown}); len(of) != 1 || *of[0].GranteePrincipal != shown {
			t.Errorf("%s: %v", shown, of)
		}
	}
}

func TestListGrants(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, eu)
	m, other := c.createKey(), c.createKey()
	alice, bob := c.arnOf("alice"), c.arnOf("bob")
	var all, alices []string
	for i := range 7 {
		to := []string{alice, bob}[i%2]
		id := c.grant(*m.KeyId, to, "Decrypt")
		all = append(all, id)
		if to == alice {
			alices = append(alices, id)
		}
	}
	slices.Sort(all)
	slices.Sort(alices)
	foreign := c.grant(*other.KeyId, alice, "Decrypt")
	pages := func(grantee *string, limit int64) (got []string) {
		in := &kmsapi.ListGrantsInput{KeyId: m.KeyId, GranteePrincipal: grantee, Limit: &limit}
		for {
			out := must(c, kmsapi.ListGrants, in)
			if len(out.Grants) > int(limit) || *out.Truncated != (out.NextMarker != nil) {
				t.Errorf("page %+v", out)
			}
			for _, g := range out.Grants {
				got = append(got, *g.GrantId)
			}
			if in.Marker = out.NextMarker; in.Marker == nil {
				return got
			}
		}
	}
	for limit := int64(1); limit <= 8; limit++ {
		if got := pages(nil, limit); !slices.Equal(got, all) {
			t.Errorf("pages of %d: %v, want %v", limit, got, all)
		}
		if got := pages(&alice, limit); !slices.Equal(got, alices) {
			t.Errorf("pages of %d of alice's: %v, want %v", limit, got, alices)
		}
	}
	first := must(c, kmsapi.ListGrants, &kmsapi.ListGrantsInput{KeyId: m.KeyId, Limit: new(int64(1))})
	refuse(c, kmsapi.ListGrants, &kmsapi.ListGrantsInput{KeyId: m.KeyId, GranteePrincipal: &alice, Marker: first.NextMarker}, "InvalidMarkerException", "The marker is not valid.")
	refuse(c, kmsapi.ListGrants, &kmsapi.ListGrantsInput{KeyId: other.KeyId, Marker: first.NextMarker}, "InvalidMarkerException", "The marker is not valid.")

	if got := c.grants(kmsapi.ListGrantsInput{KeyId: m.KeyId, GrantId: &alices[0], GranteePrincipal: &bob}); len(got) != 0 {
		t.Errorf("of alice, and bob's: %v", got)
	}
	if got := c.grants(kmsapi.ListGrantsInput{KeyId: m.KeyId, GrantId: &alices[0], GranteePrincipal: &alice}); len(got) != 1 {
		t.Errorf("of alice: %v", got)
	}
	refuse(c, kmsapi.ListGrants, &kmsapi.ListGrantsInput{KeyId: m.KeyId, GrantId: &foreign}, "NotFoundException", "Grant "+foreign+" does not exist on the key: "+*m.Arn)
	refuse(c, kmsapi.ListGrants, &kmsapi.ListGrantsInput{KeyId: m.KeyId, GrantId: new("x")}, "InvalidGrantIdException", "The grant ID x is not valid.")
	if got := c.grants(kmsapi.ListGrantsInput{KeyId: c.createKey().KeyId}); got == nil || len(got) != 0 {
		t.Errorf("of a key without: %v", got)
	}
}

func TestListRetirableGrants(t *testing.T) {
	w := newWorld(t)
	c, foreign := w.in(ours, eu), w.in(theirs, eu)
	alice := c.arnOf("alice")
	keys := []*kmsapi.KeyMetadata{c.createKey(), c.createKey()}
	theirKey := foreign.createKey()
	var want []string
	retirable := func(by client, key *string) {
		want = append(want, *must(by, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: key, GranteePrincipal: new(c.arnOf("bob")), RetiringPrincipal: &alice, Operations: []string{"Decrypt"}}).GrantId)
	}
	for range 2 {
		for _, k := range keys {
			retirable(c, k.KeyId)
		}
		retirable(foreign, theirKey.KeyId)
	}
	c.grant(*keys[0].KeyId, alice, "Decrypt")                   // to alice, and not hers to retire
	retirable(w.in(ours, us), w.in(ours, us).createKey().KeyId) // in another region
	want = want[:6]
	slices.Sort(want)
	for limit := int64(1); limit <= 7; limit += 2 {
		var got []kmsapi.GrantListEntry
		in := &kmsapi.ListRetirableGrantsInput{RetiringPrincipal: &alice, Limit: &limit}
		for {
			out := must(c, kmsapi.ListRetirableGrants, in)
			got = append(got, out.Grants...)
			if in.Marker = out.NextMarker; !*out.Truncated {
				break
			}
		}
		if !slices.Equal(ids(got), want) {
			t.Errorf("pages of %d: %v, want %v", limit, ids(got), want)
		}
	}
	// A principal of one's own account.
	refuse(foreign, kmsapi.ListRetirableGrants, &kmsapi.ListRetirableGrantsInput{RetiringPrincipal: &alice}, "InvalidArnException", "ARN does not refer to a valid principal: "+alice)
	refuse(c, kmsapi.ListRetirableGrants, &kmsapi.ListRetirableGrantsInput{RetiringPrincipal: new("ec2.amazonaws.com")}, "InvalidArnException", "ARN does not refer to a valid principal: ec2.amazonaws.com")
	// It takes an identity policy, whoever asks about whom.
	refuse(c.as("alice"), kmsapi.ListRetirableGrants, &kmsapi.ListRetirableGrantsInput{RetiringPrincipal: &alice}, "AccessDeniedException",
		"User: "+alice+" is not authorized to perform: kms:ListRetirableGrants because no identity-based policy allows the kms:ListRetirableGrants action")
	// What waits for PurgeDue is gone.
	must(foreign, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: theirKey.KeyId, PendingWindowInDays: new(int64(7))})
	w.now = w.now.Add(7 * dayLength)
	if n := len(must(w.in(ours, eu), kmsapi.ListRetirableGrants, &kmsapi.ListRetirableGrantsInput{RetiringPrincipal: &alice}).Grants); n != 4 {
		t.Errorf("%d grants of living keys, want 4", n)
	}
}

func TestRevokeAndRetire(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, eu)
	m, other := c.createKey(), c.createKey()
	alice := c.arnOf("alice")
	left := func(want int) {
		t.Helper()
		if n := len(c.grants(kmsapi.ListGrantsInput{KeyId: m.KeyId})); n != want {
			t.Errorf("%d grants, want %d", n, want)
		}
	}
	a := must(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: m.KeyId, GranteePrincipal: &alice, Operations: []string{"Decrypt"}})
	b, d := c.grant(*m.KeyId, alice, "Decrypt"), c.grant(*m.KeyId, alice, "Decrypt")
	absent := strings.Repeat("0", 64)
	for _, id := range []string{absent, b} {
		refuse(c, kmsapi.RevokeGrant, &kmsapi.RevokeGrantInput{KeyId: other.KeyId, GrantId: &id}, "NotFoundException", "Grant "+id+" does not exist on the key: "+*other.Arn)
		refuse(c, kmsapi.RetireGrant, &kmsapi.RetireGrantInput{KeyId: other.Arn, GrantId: &id}, "NotFoundException", "Grant "+id+" does not exist on the key: "+*other.Arn)
	}
	refuse(c, kmsapi.RevokeGrant, &kmsapi.RevokeGrantInput{KeyId: m.KeyId, GrantId: new("none")}, "InvalidGrantIdException", "The grant ID none is not valid.")
	refuse(c, kmsapi.RetireGrant, &kmsapi.RetireGrantInput{KeyId: m.KeyId, GrantId: new("none\x00")}, "InvalidGrantIdException", "The grant ID none\x00 is not valid.")
	for _, in := range []kmsapi.RetireGrantInput{{}, {KeyId: m.KeyId}, {GrantId: &b}, {GrantToken: a.GrantToken, KeyId: m.KeyId}, {GrantToken: a.GrantToken, KeyId: m.KeyId, GrantId: a.GrantId}} {
		refuse(c, kmsapi.RetireGrant, &in, "ValidationException", "Specify either a grant token, or a key ID and a grant ID.")
	}
	for _, token := range []string{"x", *a.GrantToken + "A", (*a.GrantToken)[:40], "AQ" + strings.Repeat("A", 60)} {
		refuse(c, kmsapi.RetireGrant, &kmsapi.RetireGrantInput{GrantToken: &token}, "InvalidGrantTokenException", "The grant token is not valid.")
	}
	refuse(w.in(ours, us), kmsapi.RetireGrant, &kmsapi.RetireGrantInput{GrantToken: a.GrantToken}, "InvalidGrantTokenException", "The grant token is not valid.")

	refuse(c, kmsapi.RetireGrant, &kmsapi.RetireGrantInput{GrantToken: a.GrantToken, DryRun: new(true)}, "DryRunOperationException", dryRunText)
	refuse(c, kmsapi.RevokeGrant, &kmsapi.RevokeGrantInput{KeyId: m.KeyId, GrantId: &b, DryRun: new(true)}, "DryRunOperationException", dryRunText)
	left(3)
	must(c, kmsapi.RetireGrant, &kmsapi.RetireGrantInput{GrantToken: a.GrantToken})
	left(2)
	refuse(c, kmsapi.RetireGrant, &kmsapi.RetireGrantInput{GrantToken: a.GrantToken}, "NotFoundException", "Grant "+*a.GrantId+" does not exist on the key: "+*m.Arn)
	must(c, kmsapi.RevokeGrant, &kmsapi.RevokeGrantInput{KeyId: m.Arn, GrantId: &b})
	left(1)
	must(c, kmsapi.RetireGrant, &kmsapi.RetireGrantInput{KeyId: m.KeyId, GrantId: &d})
	left(0)
	refuse(c, kmsapi.RetireGrant, &kmsapi.RetireGrantInput{KeyId: new("0c1d2e3f-0000-4000-8000-000000000000"), GrantId: &d}, "NotFoundException",
		"Key '"+c.arn("key/0c1d2e3f-0000-4000-8000-000000000000")+"' does not exist")
}

// Tokens of grants that were made here are accepted and needed for nothing, whatever became of
// the grant.
func TestGrantTokens(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	alice := c.arnOf("alice")
	token := *must(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: m.KeyId, GranteePrincipal: &alice, Operations: []string{"Decrypt"}}).GrantToken
	blob := c.encrypt(*m.KeyId, "x")
	must(c.as("alice"), kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob})
	must(c.as("alice"), kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, GrantTokens: []string{token}})
	must(c, kmsapi.RetireGrant, &kmsapi.RetireGrantInput{GrantToken: &token})
	tokens, wrong := []string{token}, []string{token, "x"}
	const code, text = "InvalidGrantTokenException", "The grant token is not valid."
	must(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, GrantTokens: tokens})
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, GrantTokens: wrong}, code, text)
	refuse(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: m.KeyId, GranteePrincipal: &alice, Operations: []string{"Decrypt"}, GrantTokens: wrong}, code, text)
	must(c, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: m.KeyId, GrantTokens: wrong}) // which has no such error
	refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: []byte("x"), GrantTokens: wrong}, code, text)
	refuse(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: m.KeyId, KeySpec: new("AES_256"), GrantTokens: wrong}, code, text)
	refuse(c, kmsapi.GenerateDataKeyWithoutPlaintext, &kmsapi.GenerateDataKeyWithoutPlaintextInput{KeyId: m.KeyId, KeySpec: new("AES_256"), GrantTokens: wrong}, code, text)
	refuse(c, kmsapi.GenerateDataKeyPair, &kmsapi.GenerateDataKeyPairInput{KeyId: m.KeyId, KeyPairSpec: new("ECC_NIST_P256"), GrantTokens: wrong}, code, text)
	refuse(c, kmsapi.GenerateDataKeyPairWithoutPlaintext, &kmsapi.GenerateDataKeyPairWithoutPlaintextInput{KeyId: m.KeyId, KeyPairSpec: new("ECC_NIST_P256"), GrantTokens: wrong}, code, text)
	refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: m.KeyId, GrantTokens: wrong}, code, text)
	refuse(c, kmsapi.GetPublicKey, &kmsapi.GetPublicKeyInput{KeyId: m.KeyId, GrantTokens: wrong}, code, text)
	refuse(c, kmsapi.Sign, &kmsapi.SignInput{KeyId: m.KeyId, Message: []byte("x"), SigningAlgorithm: new("ECDSA_SHA_256"), GrantTokens: wrong}, code, text)
	refuse(c, kmsapi.Verify, &kmsapi.VerifyInput{KeyId: m.KeyId, Message: []byte("x"), Signature: []byte("x"), SigningAlgorithm: new("ECDSA_SHA_256"), GrantTokens: wrong}, code, text)
	refuse(c, kmsapi.GenerateMac, &kmsapi.GenerateMacInput{KeyId: m.KeyId, Message: []byte("x"), MacAlgorithm: new("HMAC_SHA_256"), GrantTokens: wrong}, code, text)
	refuse(c, kmsapi.VerifyMac, &kmsapi.VerifyMacInput{KeyId: m.KeyId, Message: []byte("x"), Mac: []byte("x"), MacAlgorithm: new("HMAC_SHA_256"), GrantTokens: wrong}, code, text)
	refuse(c, kmsapi.DeriveSharedSecret, &kmsapi.DeriveSharedSecretInput{KeyId: m.KeyId, KeyAgreementAlgorithm: new("ECDH"), PublicKey: []byte("x"), GrantTokens: wrong}, code, text)
}

// The limits: of one grantee on a key, and of a key.
func TestGrantLimits(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, eu)
	m := c.createKey()
	alice, bob := c.arnOf("alice"), c.arnOf("bob")
	w.makeGrants(*m.KeyId, "AIDA"+ours+"ALICE", alice, 500)
	in := &kmsapi.CreateGrantInput{KeyId: m.KeyId, GranteePrincipal: &alice, Operations: []string{"Decrypt"}}
	refuse(c, kmsapi.CreateGrant, in, "LimitExceededException", "The limit of 500 grants to one principal has been reached for the key: "+*m.Arn)
	c.grant(*m.KeyId, bob, "Decrypt", "GenerateDataKey")

	// A decision that reads all of them fits in a transaction that writes.
	blob := c.encrypt(*m.KeyId, "x")
	writing := c.as("alice")
	writing.writing = true
	must(writing, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob})

	// Of 50,000 grants, only the number is made.
	count := func(n int) {
		t.Helper()
		if err := w.db.Update(t.Context(), func(tx *table.Tx) error {
			k, err := kms.Keys.Load(tx, table.K(ours, eu, *m.KeyId))
			if err != nil {
				return err
			}
			k.Grants = n
			return kms.Keys.Put(tx, k)
		}); err != nil {
			t.Fatal(err)
		}
	}
	count(50_000)
	in.GranteePrincipal = &bob
	refuse(c, kmsapi.CreateGrant, in, "LimitExceededException", "The limit of 50000 grants has been reached for the key: "+*m.Arn)
	count(501)
	must(c, kmsapi.CreateGrant, in)
}

// makeGrants stores grants as CreateGrant would, many at once.
func (w *world) makeGrants(key, grantee, name string, n int) {
	w.Helper()
	for made := 0; made < n; {
		err := w.db.Update(context.Background(), func(tx *table.Tx) error {
			k, err := kms.Keys.Load(tx, table.K(ours, eu, key))
			if err != nil {
				return err
			}
			for range min(25, n-made) {
				k.Grants++
				to := kms.Party{Name: name, ID: grantee}
				g := &kms.Grant{Account: ours, Region: eu, KeyID: key, ID: fmt.Sprintf("%064x", k.Grants), Name: fmt.Sprint(k.Grants), Issuer: ours, Grantee: to, Retiring: &to, Operations: []string{"DescribeKey", "Decrypt"}}
				if err := kms.Grants.Insert(tx, g); err != nil {
					return err
				}
			}
			return kms.Keys.Put(tx, k)
		})
		if err != nil {
			w.Fatal(err)
		}
		made += min(25, n-made)
	}
}

// The grants of a key go with it, and those of its replicas with them.
func TestGrantsDieWithTheirKey(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, eu)
	m, stays := c.createKey(), c.createKey()
	alice := c.arnOf("alice")
	w.makeGrants(*m.KeyId, "AIDA"+ours+"ALICE", alice, 95)
	c.createAlias("alias/app", *m.KeyId)
	must(c, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: m.KeyId, GranteePrincipal: &alice, RetiringPrincipal: &alice, Name: new("named"), Operations: []string{"Decrypt"}})
	c.grant(*stays.KeyId, alice, "Decrypt")
	must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: m.KeyId, PendingWindowInDays: new(int64(7))})
	w.now = w.now.Add(7 * dayLength)
	if turns := w.task(w.service.PurgeDue); turns != 6 {
		t.Errorf("%d turns, want 6", turns)
	}
	rows := 0
	for _, err := range scanAll(t, w) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if rows != 1 {
		t.Errorf("%d grants left, want 1", rows)
	}

	// Each key of a set has its own.
	u := w.in(ours, us)
	id := u.primary(eu)
	u.grant(id, alice, "Decrypt")
	if of := w.in(ours, eu).grants(kmsapi.ListGrantsInput{KeyId: &id}); len(of) != 0 {
		t.Errorf("the replica has %v", of)
	}
	blob := u.encrypt(id, "x")
	must(u.as("alice"), kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob})
	if _, err := call(w.in(ours, eu).as("alice"), kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob}); err == nil {
		t.Error("a grant on the primary key serves on its replica")
	}
}

func scanAll(t *testing.T, w *world) (out map[string]error) {
	out = map[string]error{}
	err := w.db.View(t.Context(), func(tx *table.Tx) error {
		for e, err := range kms.Grants.Scan(tx, table.Range{}) {
			out[string(e.Key)] = err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// fsck follows grants to their keys and counts them.
func TestCheckOfGrants(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		damage     func(tx *table.Tx, k *kms.Key, g *kms.Grant) error
	}{
		{"a count too high", "has 1 grants fewer than it counts", func(tx *table.Tx, k *kms.Key, _ *kms.Grant) error {
			k.Grants++
			return kms.Keys.Put(tx, k)
		}},
		{"a count of none", "has -1 grants fewer than it counts", func(tx *table.Tx, k *kms.Key, _ *kms.Grant) error {
			k.Grants = 0
			return kms.Keys.Put(tx, k)
		}},
		{"an orphan", "the key: kv: not found", func(tx *table.Tx, _ *kms.Key, g *kms.Grant) error {
			g.KeyID = "0c1d2e3f-0000-4000-8000-000000000000"
			return kms.Grants.Put(tx, g)
		}},
		{"another id", "its id is none", func(tx *table.Tx, _ *kms.Key, g *kms.Grant) error {
			g.ID = "x"
			return kms.Grants.Put(tx, g)
		}},
		{"no grantee", `"nobody" cannot be one of its principals`, func(tx *table.Tx, _ *kms.Key, g *kms.Grant) error {
			g.Grantee.Name = "nobody"
			return kms.Grants.Put(tx, g)
		}},
		{"operations of another key", "its operations [Sign] are not for the key", func(tx *table.Tx, _ *kms.Key, g *kms.Grant) error {
			g.Operations = []string{"Sign"}
			return kms.Grants.Put(tx, g)
		}},
		{"a constraint that there is not", `its constraint "Maybe" is not for the key`, func(tx *table.Tx, _ *kms.Key, g *kms.Grant) error {
			g.Constraint = "Maybe"
			return kms.Grants.Put(tx, g)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.in(ours, eu)
			m := c.createKey()
			c.grant(*m.KeyId, c.arnOf("alice"), "Decrypt")
			if f := w.check(); f != nil {
				t.Fatalf("sound, but: %v", f)
			}
			var before kms.Key
			var grant kms.Grant
			var damaged []table.Key
			update := func(f func(tx *table.Tx) error) {
				t.Helper()
				if err := w.db.Update(t.Context(), f); err != nil {
					t.Fatal(err)
				}
			}
			update(func(tx *table.Tx) error {
				k, err := kms.Keys.Load(tx, table.K(ours, eu, *m.KeyId))
				if err != nil {
					return err
				}
				before = *k
				for e, err := range kms.Grants.Scan(tx, table.Range{}) {
					if err != nil {
						return err
					}
					grant = *e.Value
				}
				g := grant
				return tc.damage(tx, k, &g)
			})
			if found := strings.Join(w.check(), "\n"); !strings.Contains(found, tc.want) {
				t.Errorf("found %q, want %q", found, tc.want)
			}
			for key := range scanAll(t, w) { // sound again for the check on clean-up
				damaged = append(damaged, table.Key(key))
			}
			update(func(tx *table.Tx) error {
				for _, key := range damaged {
					if err := kms.Grants.Delete(tx, key); err != nil {
						return err
					}
				}
				if err := kms.Grants.Put(tx, &grant); err != nil {
					return err
				}
				return kms.Keys.Put(tx, &before)
			})
		})
	}
}
