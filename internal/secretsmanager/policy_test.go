package secretsmanager_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
)

const (
	policySyntax    = "This resource policy contains a syntax error."
	policyPrincipal = "This resource policy contains an unsupported principal."
	policyService   = "This resource policy contains an unsupported service principal."
	policyPublic    = "You can't attach a resource-based policy that allows broad access to the secret."
	policyLockout   = "Your requested changes will not allow you to manage this secret in the future."
)

func statement(effect, principal, action, more string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"` + action + `","Resource":"*"` + more + `}]}`
}

// The checks of spec §8, for PutResourcePolicy and ValidateResourcePolicy alike.
func TestResourcePolicyChecks(t *testing.T) {
	for _, tc := range []struct {
		rule, policy string
		block        bool
		code, text   string // of PutResourcePolicy
		check        string // of ValidateResourcePolicy; empty: passed
		said         string
	}{
		{rule: "an account", policy: statement("Allow", `{"AWS":"444455556666"}`, "secretsmanager:GetSecretValue", "")},
		{rule: "everybody, not blocked", policy: statement("Allow", `"*"`, "secretsmanager:GetSecretValue", ""), check: "PUBLIC_POLICY_CHECK", said: policyPublic},
		{rule: "everybody, blocked", policy: statement("Allow", `"*"`, "secretsmanager:GetSecretValue", ""), block: true,
			code: "PublicPolicyException", text: policyPublic, check: "PUBLIC_POLICY_CHECK", said: policyPublic},
		{rule: "everybody of one organization", policy: statement("Allow", `"*"`, "secretsmanager:GetSecretValue", `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-abcdefghij"}}`), block: true},
		{rule: "not JSON", policy: `{`, code: "MalformedPolicyDocumentException", text: policySyntax, check: "SYNTAX_CHECK", said: policySyntax},
		{rule: "a wrong effect", policy: statement("Maybe", `"*"`, "secretsmanager:*", ""), code: "MalformedPolicyDocumentException", text: policySyntax, check: "SYNTAX_CHECK", said: policySyntax},
		{rule: "no principal", policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
			code: "MalformedPolicyDocumentException", text: policySyntax, check: "SYNTAX_CHECK", said: policySyntax},
		{rule: "a principal that cannot be", policy: statement("Allow", `{"AWS":"arn:aws:iam::1:user/x"}`, "secretsmanager:*", ""),
			code: "MalformedPolicyDocumentException", text: policyPrincipal, check: "SYNTAX_CHECK", said: policyPrincipal},
		{rule: "a service that cannot be", policy: statement("Allow", `{"Service":"nothing"}`, "secretsmanager:*", ""),
			code: "MalformedPolicyDocumentException", text: policyService, check: "SYNTAX_CHECK", said: policyService},
		{rule: "locks its author out", policy: statement("Deny", `"*"`, "secretsmanager:*", ""),
			code: "InvalidRequestException", text: policyLockout, check: "LOCKOUT_CHECK", said: policyLockout},
		{rule: "denies what is no management", policy: statement("Deny", `"*"`, "secretsmanager:GetSecretValue", "")},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			c := newWorld(t).root()
			arn := *c.create("s", "").ARN
			c.pass(time.Second)
			in := &smapi.PutResourcePolicyInput{SecretId: new("s"), ResourcePolicy: &tc.policy}
			if tc.block {
				in.BlockPublicPolicy = new(true)
			}
			out, err := call(c, smapi.PutResourcePolicy, in)
			if tc.code != "" {
				wantFault(t, out, err, tc.code, tc.text)
			} else if err != nil || *out.ARN != arn || *out.Name != "s" {
				t.Errorf("PutResourcePolicy: %v", err)
			}
			for _, id := range []*string{new("s"), nil} {
				v, err := call(c, smapi.ValidateResourcePolicy, &smapi.ValidateResourcePolicyInput{SecretId: id, ResourcePolicy: &tc.policy})
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case *v.PolicyValidationPassed != (tc.check == ""), v.ValidationErrors == nil:
					t.Errorf("ValidateResourcePolicy: passed %v", *v.PolicyValidationPassed)
				case tc.check != "" && (len(v.ValidationErrors) != 1 || *v.ValidationErrors[0].CheckName != tc.check || *v.ValidationErrors[0].ErrorMessage != tc.said):
					t.Errorf("ValidateResourcePolicy: %s", *v.ValidationErrors[0].CheckName)
				}
			}
		})
	}
}

func TestResourcePolicyLifeCycle(t *testing.T) {
	c := newWorld(t).root()
	arn := *c.create("s", "").ARN
	get := func() string {
		t.Helper()
		out, err := call(c, smapi.GetResourcePolicy, &smapi.GetResourcePolicyInput{SecretId: new("s")})
		if err != nil || *out.ARN != arn || *out.Name != "s" {
			t.Fatal(err)
		}
		if out.ResourcePolicy == nil {
			return ""
		}
		return *out.ResourcePolicy
	}
	put := func(p string) {
		t.Helper()
		if _, err := call(c, smapi.PutResourcePolicy, &smapi.PutResourcePolicyInput{SecretId: new("s"), ResourcePolicy: &p}); err != nil {
			t.Fatal(err)
		}
	}
	if got := get(); got != "" {
		t.Error(got)
	}
	put(statement("Allow", `{"AWS":"444455556666"}`, "secretsmanager:GetSecretValue", ""))
	// A bare account comes back as its root.
	if got, want := get(), statement("Allow", `{"AWS":"arn:aws:iam::444455556666:root"}`, "secretsmanager:GetSecretValue", ""); got != want {
		t.Error(got)
	}
	second := statement("Allow", `{"AWS":"arn:aws:sts::444455556666:federated-user/s"}`, "secretsmanager:*", "")
	put(second)
	if got := get(); got != second {
		t.Errorf("not replaced: %s", got)
	}
	for range 2 {
		if out, err := call(c, smapi.DeleteResourcePolicy, &smapi.DeleteResourcePolicyInput{SecretId: new("s")}); err != nil || *out.ARN != arn {
			t.Fatal(err)
		}
		if got := get(); got != "" {
			t.Error(got)
		}
	}
	// A policy does not outlive its secret.
	put(second)
	if _, err := c.delete("s", 0, new(true)); err != nil {
		t.Fatal(err)
	}
	arn = *c.create("s", "").ARN
	if got := get(); got != "" {
		t.Error("the new secret has the old one's policy")
	}
}

func (c caller) tag(id string, pairs ...string) error {
	in := &smapi.TagResourceInput{SecretId: &id, Tags: []smapi.Tag{}}
	for i := 0; i < len(pairs); i += 2 {
		in.Tags = append(in.Tags, smapi.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	_, err := call(c, smapi.TagResource, in)
	return err
}

func (c caller) tags(id string) string {
	d := c.describe(id)
	if d.Tags == nil {
		return "absent"
	}
	var b strings.Builder
	for _, t := range d.Tags {
		fmt.Fprintf(&b, "%s=%s ", *t.Key, *t.Value)
	}
	return strings.TrimSpace(b.String())
}

func TestTags(t *testing.T) {
	c := newWorld(t).root()
	c.create("s", "")
	untag := func(keys ...string) {
		t.Helper()
		if _, err := call(c, smapi.UntagResource, &smapi.UntagResourceInput{SecretId: new("s"), TagKeys: keys}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		if got := c.tags("s"); got != want {
			t.Errorf("tags %q, want %q", got, want)
		}
	}
	expect("absent")
	untag("none")
	expect("absent")
	for _, step := range []struct {
		pairs []string
		want  string
	}{
		{[]string{"a", "1", "b", ""}, "a=1 b="},
		{[]string{"b", "2", "A", "3"}, "a=1 b=2 A=3"}, // overwritten in place; keys have case
		{[]string{"é x_.:/=+-@9", "ü"}, "a=1 b=2 A=3 é x_.:/=+-@9=ü"},
	} {
		if err := c.tag("s", step.pairs...); err != nil {
			t.Fatal(err)
		}
		expect(step.want)
	}
	untag("a", "none", "é x_.:/=+-@9")
	expect("b=2 A=3")
	untag("A", "b")
	expect("") // an empty list, not absence: recorded
	if c.describe("s").Tags == nil {
		t.Error("absent after the last tag went")
	}
	for _, tc := range []struct {
		pairs []string
		text  string
	}{
		{[]string{"aws:x", "1"}, "aws: prefixed tag key names are not allowed for external use."},
		{[]string{"AwS:x", "1"}, "aws: prefixed tag key names are not allowed for external use."},
		{[]string{"x", "1", "x", "2"}, "You can't use the same tag key twice in one request."},
		{[]string{"a*b", "1"}, "Tag keys and values can contain letters, numbers, spaces, and any of the following: _.:/=+-@"},
		{[]string{"a", "1\n"}, "Tag keys and values can contain letters, numbers, spaces, and any of the following: _.:/=+-@"},
	} {
		wantFault[int](t, nil, c.tag("s", tc.pairs...), "InvalidParameterException", tc.text)
		expect("")
	}
	for i := range 50 {
		if err := c.tag("s", fmt.Sprint("k", i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	const many = "You can't add more than 50 tags to a secret."
	wantFault[int](t, nil, c.tag("s", "k50", "v"), "InvalidParameterException", many)
	if err := c.tag("s", "k49", "w"); err != nil {
		t.Errorf("overwriting at the quota: %v", err)
	}
	in := &smapi.CreateSecretInput{Name: new("t")}
	for i := range 51 {
		in.Tags = append(in.Tags, smapi.Tag{Key: new(fmt.Sprint("k", i))})
	}
	_, err := call(c, smapi.CreateSecret, in)
	wantFault[int](t, nil, err, "InvalidParameterException", many)
	// It is told before anything is decided or looked up.
	_, err = call(c, smapi.TagResource, &smapi.TagResourceInput{SecretId: new("absent"), Tags: in.Tags})
	wantFault[int](t, nil, err, "InvalidParameterException", many)
	_, err = call(c, smapi.UntagResource, &smapi.UntagResourceInput{SecretId: new("absent"), TagKeys: slices.Repeat([]string{"k"}, 51)})
	wantFault[int](t, nil, err, "InvalidParameterException", "You can't remove more than 50 tags from a secret.")
}

// Once resource policies let others in: the default key stays closed to them,
// and key identifiers keep meaning the owner's keys.
func TestAcrossAccounts(t *testing.T) {
	w := newWorld(t)
	w.open = true
	c, guest := w.root(), w.as(other)
	const foreign = "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key."
	arn := *c.create("s", "1").ARN
	_, err := guest.get(arn, "", "")
	wantFault[int](t, nil, err, "InvalidRequestException", foreign)
	_, err = guest.get(arn, "v9", "") // the version comes before the key
	wantFault[int](t, nil, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: "+*token("v9"))
	put := &smapi.PutSecretValueInput{SecretId: &arn, ClientRequestToken: token("g"), SecretString: api.Sensitive("2")}
	out, err := call(guest, smapi.PutSecretValue, put)
	wantFault(t, out, err, "InvalidRequestException", foreign)
	up, err := call(guest, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: &arn, ClientRequestToken: token("g"), SecretString: api.Sensitive("2")})
	wantFault(t, up, err, "InvalidRequestException", foreign)

	w.kms.add(other, "k1") // the guest's key of the same id is not meant
	key := w.kms.add(account, "k1")
	if _, err := call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: &arn, KmsKeyId: new("k1")}); err != nil {
		t.Fatal(err)
	}
	if v, err := guest.get(arn, "", ""); err != nil || v != "1" {
		t.Error(err)
	}
	if _, err := call(guest, smapi.PutSecretValue, put); err != nil {
		t.Fatal(err)
	}
	list, err := call(guest, smapi.ListSecretVersionIds, &smapi.ListSecretVersionIdsInput{SecretId: &arn})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list.Versions {
		if short(*v.VersionId) == "g" && v.KmsKeyIds[0] != key {
			t.Errorf("sealed under %s", v.KmsKeyIds[0])
		}
	}
	up, err = call(guest, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: &arn, KmsKeyId: new("")})
	wantFault(t, up, err, "InvalidRequestException", foreign)
	if n := len(guest.list(smapi.ListSecretsInput{})); n != 0 {
		t.Error("ListSecrets shows another account's secret")
	}
}

// Writers of one secret at once: every version is stored, the labels stay in order.
func TestConcurrentWriters(t *testing.T) {
	w := newWorld(t)
	w.twice = false
	c := w.root()
	c.create("s", "0")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 10 {
				id := fmt.Sprintf("g%dn%d", g, i)
				if _, err := call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{SecretId: new("s"), ClientRequestToken: token(id), SecretString: api.Sensitive(id)}); err != nil {
					t.Errorf("%s: %v", id, err)
				}
				if got, err := c.get("s", id, ""); err != nil || got != id {
					t.Errorf("%s does not give its value: %v", id, err)
				}
				if _, err := c.get("s", "", ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(strings.Fields(c.labels("s"))); n != 81 {
		t.Errorf("%d versions, want 81", n)
	}
	if d := c.describe("s"); len(d.VersionIdsToStages) != 2 {
		t.Errorf("%d versions have labels", len(d.VersionIdsToStages))
	}
	w.work("secretsmanager.accessed")
}
