package kms_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	kmsapi "coffer/internal/api/kms"
	"coffer/internal/kms"
	"coffer/internal/policy"
	"coffer/internal/table"
)

func TestDefaultKeyPolicy(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	out := must(c, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: m.KeyId})
	if *out.PolicyName != "default" {
		t.Errorf("name %s", *out.PolicyName)
	}
	want := `{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`
	if got := compact(t, *out.Policy); got != compact(t, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	names := must(c, kmsapi.ListKeyPolicies, &kmsapi.ListKeyPoliciesInput{KeyId: m.KeyId})
	if !slices.Equal(names.PolicyNames, []string{"default"}) || *names.Truncated || names.NextMarker != nil {
		t.Errorf("%+v", names)
	}
	cn := newWorld(t).in(ours, "cn-north-1")
	k := must(cn, kmsapi.CreateKey, &kmsapi.CreateKeyInput{BypassPolicyLockoutSafetyCheck: new(true)}).KeyMetadata
	if !strings.HasPrefix(*k.Arn, "arn:aws-cn:kms:cn-north-1:") {
		t.Errorf("ARN %s", *k.Arn)
	}
}

// compact sorts and strips a JSON text.
func compact(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func TestKeyPolicyRules(t *testing.T) {
	const open = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`
	malformed := "MalformedPolicyDocumentException"
	const lockout = "The new key policy will not allow you to update the key policy in the future."
	const principal = "Policy contains a statement with one or more invalid principals."
	for _, tc := range []struct {
		name, policy string
		bypass       bool
		code, text   string // none: accepted
	}{
		{"open", open, false, "", ""},
		{"spaces are kept", "  " + open + "\n", false, "", ""},
		{"not JSON", "not a policy", false, malformed, ""},
		{"cut", open[:40], false, malformed, ""},
		{"no statement", `{"Version":"2012-10-17"}`, false, malformed, ""},
		{"unknown element", strings.Replace(open, `"Effect"`, `"Color":"red","Effect"`, 1), false, malformed, ""},
		{"no principal", `{"Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`, false, malformed, ""},
		{"broken even if bypassed", "{", true, malformed, ""},
		{"impossible principal", strings.Replace(open, "111122223333:root", "1:root", 1), false, malformed, principal},
		{"impossible service", strings.Replace(open, `"AWS":"arn:aws:iam::111122223333:root"`, `"Service":"secrets manager"`, 1), false, malformed, principal},
		{"other account", strings.ReplaceAll(open, ours, theirs), false, malformed, lockout},
		{"other account, bypassed", strings.ReplaceAll(open, ours, theirs), true, "", ""},
		{"use only", strings.Replace(open, "kms:*", "kms:Decrypt", 1), false, malformed, lockout},
		{"denied", strings.Replace(open, `"Allow"`, `"Deny"`, 1), false, malformed, lockout},
		{"put alone is enough", strings.Replace(open, "kms:*", "kms:PutKeyPolicy", 1), false, "", ""},
		{"resource may be left out", strings.Replace(open, `,"Resource":"*"`, "", 1), false, "", ""},
		{"at the quota", pad(open, policy.MaxKeyPolicy), false, "", ""},
		{"over the quota", pad(open, policy.MaxKeyPolicy+1), false, "LimitExceededException", "The key policy is longer than 32768 characters."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newWorld(t).in(ours, eu)
			m := c.createKey()
			before := *must(c, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: m.KeyId}).Policy
			put := &kmsapi.PutKeyPolicyInput{KeyId: m.KeyId, Policy: &tc.policy, BypassPolicyLockoutSafetyCheck: &tc.bypass}
			create := &kmsapi.CreateKeyInput{Policy: &tc.policy, BypassPolicyLockoutSafetyCheck: &tc.bypass}
			if tc.code != "" {
				refuse(c, kmsapi.PutKeyPolicy, put, tc.code, tc.text)
				refuse(c, kmsapi.CreateKey, create, tc.code, tc.text)
				if got := *must(c, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: m.KeyId}).Policy; got != before {
					t.Errorf("the policy became %s", got)
				}
				return
			}
			must(c, kmsapi.PutKeyPolicy, put)
			created := must(c, kmsapi.CreateKey, create).KeyMetadata
			for _, id := range []*string{m.KeyId, created.KeyId} {
				if got := c.storedPolicy(*id); got != tc.policy {
					t.Errorf("stored %q", got)
				}
			}
		})
	}
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	refuse(c, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: m.KeyId, PolicyName: new("other")}, "NotFoundException", "No such policy exists")
	refuse(c, kmsapi.PutKeyPolicy, &kmsapi.PutKeyPolicyInput{KeyId: m.KeyId, PolicyName: new("other"), Policy: new(open)}, "NotFoundException", "No such policy exists")
}

// storedPolicy reads a key's policy past what it allows.
func (c client) storedPolicy(id string) (text string) {
	c.Helper()
	err := c.db.View(context.Background(), func(tx *table.Tx) error {
		p, err := kms.Policies.Get(tx, table.K(c.account, c.region, id))
		if err == nil {
			text = p.Text
		}
		return err
	})
	if err != nil {
		c.Fatal(err)
	}
	return text
}

// pad makes a policy n characters long.
func pad(text string, n int) string {
	sid := strings.Repeat("s", n-len(text)-len(`"Sid":"",`))
	return strings.Replace(text, `"Effect"`, `"Sid":"`+sid+`","Effect"`, 1)
}
