package kms_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	kmsapi "coffer/internal/api/kms"
)

// Served operations are exactly those on the committed list.
func TestEveryListedOperationIsBound(t *testing.T) {
	w := newWorld(t)
	for _, op := range kmsapi.Service.Operations {
		if (op.Mode != api.Unserved) != (w.bound[op] != nil) {
			t.Errorf("%s: mode %d, bound %v", op.Name, op.Mode, w.bound[op] != nil)
		}
	}
	if n := len(w.service.Operations()); n != len(w.bound) {
		t.Errorf("%d operations are bound, %d of them distinct", n, len(w.bound))
	}
}

func TestCreateKeyRecordsWhatAWSRecords(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	if len(*m.KeyId) != 36 || len(*m.CurrentKeyMaterialId) != 64 {
		t.Fatalf("key id %q, material id %q", *m.KeyId, *m.CurrentKeyMaterialId)
	}
	want := &kmsapi.KeyMetadata{
		AWSAccountId: new(ours), Arn: new(c.arn("key/" + *m.KeyId)), CreationDate: new(c.now),
		CurrentKeyMaterialId: m.CurrentKeyMaterialId, CustomerMasterKeySpec: new("SYMMETRIC_DEFAULT"), Description: new(""),
		Enabled: new(true), EncryptionAlgorithms: []string{"SYMMETRIC_DEFAULT"}, KeyId: m.KeyId, KeyManager: new("CUSTOMER"),
		KeySpec: new("SYMMETRIC_DEFAULT"), KeyState: new("Enabled"), KeyUsage: new("ENCRYPT_DECRYPT"), MultiRegion: new(false), Origin: new("AWS_KMS"),
	}
	if !reflect.DeepEqual(m, want) {
		got, _ := json.Marshal(m)
		exp, _ := json.Marshal(want)
		t.Errorf("created\n%s\nwant\n%s", got, exp)
	}
	for _, id := range []string{*m.KeyId, *m.Arn} {
		if d := c.describe(id); !reflect.DeepEqual(d, want) {
			t.Errorf("described by %s: %+v", id, d)
		}
	}
}

func TestCreateKeyParameters(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := must(c, kmsapi.CreateKey, &kmsapi.CreateKeyInput{
		Description: new("payroll"), KeyUsage: new("ENCRYPT_DECRYPT"), KeySpec: new("SYMMETRIC_DEFAULT"), Origin: new("AWS_KMS"), MultiRegion: new(false),
		Tags: []kmsapi.Tag{{TagKey: new("b"), TagValue: new("2")}, {TagKey: new("a"), TagValue: new("")}},
	}).KeyMetadata
	if *m.Description != "payroll" {
		t.Errorf("description %q", *m.Description)
	}
	tags := must(c, kmsapi.ListResourceTags, &kmsapi.ListResourceTagsInput{KeyId: m.KeyId})
	if len(tags.Tags) != 2 || *tags.Tags[0].TagKey != "a" || *tags.Tags[1].TagValue != "2" || *tags.Truncated {
		t.Errorf("tags %v", tags)
	}
	if d := must(c, kmsapi.CreateKey, &kmsapi.CreateKeyInput{CustomerMasterKeySpec: new("SYMMETRIC_DEFAULT")}); *d.KeyMetadata.KeySpec != "SYMMETRIC_DEFAULT" {
		t.Errorf("old name of KeySpec: %+v", d.KeyMetadata)
	}
	must(c, kmsapi.UpdateKeyDescription, &kmsapi.UpdateKeyDescriptionInput{KeyId: m.KeyId, Description: new("")})
	if d := c.describe(*m.KeyId); *d.Description != "" {
		t.Errorf("description %q", *d.Description)
	}

	const usage = "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
	for _, tc := range []struct {
		name, code, message string
		in                  kmsapi.CreateKeyInput
	}{
		{"RSA without usage", "ValidationException", usage, kmsapi.CreateKeyInput{KeySpec: new("RSA_2048")}},
		{"HMAC without usage", "ValidationException", usage, kmsapi.CreateKeyInput{KeySpec: new("HMAC_256")}},
		{"old name without usage", "ValidationException", usage, kmsapi.CreateKeyInput{CustomerMasterKeySpec: new("ECC_NIST_P256")}},
		{"usage of another spec", "ValidationException", "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048",
			kmsapi.CreateKeyInput{KeySpec: new("RSA_2048"), KeyUsage: new("KEY_AGREEMENT")}},
		{"usage of asymmetric keys", "ValidationException", "KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT",
			kmsapi.CreateKeyInput{KeyUsage: new("SIGN_VERIFY")}},
		{"both spec names", "ValidationException", "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.",
			kmsapi.CreateKeyInput{KeySpec: new("SYMMETRIC_DEFAULT"), CustomerMasterKeySpec: new("SYMMETRIC_DEFAULT")}},
		{"reserved tag", "TagException", "Tags beginning with aws: are reserved",
			kmsapi.CreateKeyInput{KeySpec: new("RSA_2048"), KeyUsage: new("SIGN_VERIFY"), Tags: []kmsapi.Tag{{TagKey: new("AwS:x"), TagValue: new("")}}}},
		{"SM2", "UnsupportedOperationException", "Keys of spec SM2 are available in China Regions only.", kmsapi.CreateKeyInput{KeySpec: new("SM2"), KeyUsage: new("SIGN_VERIFY")}},
		{"external key store", "UnsupportedOperationException", "Keys of origin EXTERNAL_KEY_STORE are not served yet.", kmsapi.CreateKeyInput{Origin: new("EXTERNAL_KEY_STORE"), XksKeyId: new("x")}},
		{"CloudHSM", "UnsupportedOperationException", "Keys of origin AWS_CLOUDHSM are not served yet.", kmsapi.CreateKeyInput{Origin: new("AWS_CLOUDHSM"), CustomKeyStoreId: new("cks-1")}},
		{"key store", "UnsupportedOperationException", "Custom key stores are not served yet.", kmsapi.CreateKeyInput{CustomKeyStoreId: new("cks-1")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			refuse(c.with(t), kmsapi.CreateKey, &tc.in, tc.code, tc.message)
		})
	}
	if n := len(must(c, kmsapi.ListKeys, &kmsapi.ListKeysInput{}).Keys); n != 2 {
		t.Errorf("%d keys after refusals, want 2", n)
	}
}

// Every spec of the model has its usages, and no usage is made up.
func TestSpecsAndUsagesOfTheModel(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	shape := func(name string) *api.Shape {
		for _, m := range kmsapi.CreateKey.Input.Members {
			if m.Name == name {
				return m.Shape
			}
		}
		t.Fatal(name)
		return nil
	}
	for _, spec := range shape("KeySpec").Enum {
		fits := 0
		for _, usage := range shape("KeyUsage").Enum {
			out, err := call(c, kmsapi.CreateKey, &kmsapi.CreateKeyInput{KeySpec: new(spec), KeyUsage: new(usage)})
			if err == nil && *out.KeyMetadata.KeySpec != spec {
				t.Errorf("%s gave %s", spec, *out.KeyMetadata.KeySpec)
			}
			if err == nil || !strings.Contains(err.Error(), "is not compatible with") {
				fits++
			}
		}
		if fits == 0 {
			t.Errorf("%s fits no usage", spec)
		}
	}
}

func TestIdentifiers(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	c.createAlias("alias/app", *m.KeyId)
	const missing = "0c1d2e3f-0000-4000-8000-000000000000"
	notFound := "NotFoundException"
	for _, tc := range []struct {
		id      string
		aliases string // message where aliases are taken; "" means it is found
		plain   string // message where they are not
	}{
		{*m.KeyId, "", ""},
		{*m.Arn, "", ""},
		{"alias/app", "", "Invalid keyId 'alias/app'"},
		{c.arn("alias/app"), "", "Invalid keyId '" + c.arn("alias/app") + "'"},
		{missing, "Key '" + c.arn("key/"+missing) + "' does not exist", "Key '" + c.arn("key/"+missing) + "' does not exist"},
		{c.arn("key/" + missing), "Key '" + c.arn("key/"+missing) + "' does not exist", "Key '" + c.arn("key/"+missing) + "' does not exist"},
		{strings.ToUpper(missing), "Key '" + c.arn("key/"+strings.ToUpper(missing)) + "' does not exist", "Key '" + c.arn("key/"+strings.ToUpper(missing)) + "' does not exist"},
		{"mrk-0123456789abcdef0123456789abcdef", "Key '" + c.arn("key/mrk-0123456789abcdef0123456789abcdef") + "' does not exist", "Key '" + c.arn("key/mrk-0123456789abcdef0123456789abcdef") + "' does not exist"},
		{"mrk-fake", "Invalid keyId 'mrk-fake'", "Invalid keyId 'mrk-fake'"},
		{"fake", "Invalid keyId 'fake'", "Invalid keyId 'fake'"},
		{strings.ReplaceAll(*m.KeyId, "-", ""), "Invalid keyId '" + strings.ReplaceAll(*m.KeyId, "-", "") + "'", "Invalid keyId '" + strings.ReplaceAll(*m.KeyId, "-", "") + "'"},
		{*m.KeyId + " ", "Invalid keyId '" + *m.KeyId + " '", "Invalid keyId '" + *m.KeyId + " '"},
		{"alias/none", "Alias " + c.arn("alias/none") + " is not found.", "Invalid keyId 'alias/none'"},
		{"alias/none\x00x", "Invalid keyId 'alias/none\x00x'", "Invalid keyId 'alias/none\x00x'"},
		{"alias/", "Invalid keyId 'alias/'", "Invalid keyId 'alias/'"},
		{c.arn("alias/none"), "Alias " + c.arn("alias/none") + " is not found.", "Invalid keyId '" + c.arn("alias/none") + "'"},
		{"arn:aws:kms:us-west-2:" + ours + ":key/" + missing, "Invalid arn us-west-2", "Invalid arn us-west-2"},
		{"arn:aws:kms:us-west-2:" + theirs + ":key/" + missing, "Invalid arn us-west-2", "Invalid arn us-west-2"},
		{"arn:aws:kms:us-west-2:" + ours + ":alias/app", "Invalid arn us-west-2", "Invalid arn us-west-2"},
		{"arn:aws-cn:kms:eu-west-1:" + ours + ":key/" + missing, "Invalid keyId 'arn:aws-cn:kms:eu-west-1:" + ours + ":key/" + missing + "'", "Invalid keyId 'arn:aws-cn:kms:eu-west-1:" + ours + ":key/" + missing + "'"},
		{"arn:aws:s3:eu-west-1:" + ours + ":key/" + missing, "Invalid keyId 'arn:aws:s3:eu-west-1:" + ours + ":key/" + missing + "'", "Invalid keyId 'arn:aws:s3:eu-west-1:" + ours + ":key/" + missing + "'"},
		{"arn:aws:kms:eu-west-1::key/" + missing, "Invalid keyId 'arn:aws:kms:eu-west-1::key/" + missing + "'", "Invalid keyId 'arn:aws:kms:eu-west-1::key/" + missing + "'"},
		{c.arn(missing), "Invalid keyId '" + c.arn(missing) + "'", "Invalid keyId '" + c.arn(missing) + "'"},
		{c.arn("key/alias/app"), "Invalid keyId '" + c.arn("key/alias/app") + "'", "Invalid keyId '" + c.arn("key/alias/app") + "'"},
		{"arn:aws:kms", "Invalid keyId 'arn:aws:kms'", "Invalid keyId 'arn:aws:kms'"},
	} {
		try := func(what string, err error, message string) {
			t.Helper()
			if message == "" && err != nil {
				t.Errorf("%s of %q: %v", what, tc.id, err)
			} else if message != "" {
				apitest.Refused(t, what+" of "+tc.id, err, notFound, message)
			}
		}
		_, err := call(c, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: &tc.id})
		try("DescribeKey", err, tc.aliases)
		_, err = call(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: &tc.id, Plaintext: api.Sensitive("x")})
		try("Encrypt", err, tc.aliases)
		_, err = call(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: &tc.id, KeySpec: new("AES_256")})
		try("GenerateDataKey", err, tc.aliases)
		_, err = call(c, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: &tc.id})
		try("GetKeyPolicy", err, tc.plain)
		_, err = call(c, kmsapi.GetKeyRotationStatus, &kmsapi.GetKeyRotationStatusInput{KeyId: &tc.id})
		try("GetKeyRotationStatus", err, tc.plain)
		_, err = call(c, kmsapi.ListResourceTags, &kmsapi.ListResourceTagsInput{KeyId: &tc.id})
		try("ListResourceTags", err, tc.plain)
		_, err = call(c, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: &tc.id})
		try("EnableKey", err, tc.plain)
		_, err = call(c, kmsapi.ListAliases, &kmsapi.ListAliasesInput{KeyId: &tc.id})
		try("ListAliases", err, tc.plain)
	}
}

// Whether something exists, in one's own account or another, changes nothing
// in what the denied read.
func TestDenialsDoNotRevealExistence(t *testing.T) {
	w := newWorld(t)
	us1 := w.in(ours, eu)
	m := us1.createKey()
	us1.createAlias("alias/app", *m.KeyId)
	blob := us1.encrypt(*m.KeyId, "x")
	const missing = "0c1d2e3f-0000-4000-8000-000000000000"
	user := us1
	user.user = "mallory"
	for _, who := range []client{w.in(theirs, eu), user} {
		why := "resource-based"
		if who.user != "" {
			why = "identity-based"
		}
		arn := who.request().Principal.ARN
		denial := func(action, resource string) string {
			return "User: " + arn + " is not authorized to perform: " + action + " on resource: " + resource + " because no " + why + " policy allows the " + action + " action"
		}
		for _, resource := range []string{"key/" + *m.KeyId, "key/" + missing, "alias/app", "alias/none"} {
			id := us1.arn(resource)
			refuse(who, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: &id}, "AccessDeniedException", denial("kms:DescribeKey", id))
			refuse(who, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: &id, KeySpec: new("AES_256")}, "AccessDeniedException", denial("kms:GenerateDataKey", id))
			refuse(who, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: &id, CiphertextBlob: blob}, "AccessDeniedException", denial("kms:Decrypt", id))
			refuse(who, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: &id, CiphertextBlob: []byte("garbage")}, "AccessDeniedException", denial("kms:Decrypt", id))
			if strings.HasPrefix(resource, "key/") {
				refuse(who, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &id}, "AccessDeniedException", denial("kms:ScheduleKeyDeletion", id))
				refuse(who, kmsapi.PutKeyPolicy, &kmsapi.PutKeyPolicyInput{KeyId: &id, Policy: new("{")}, "AccessDeniedException", denial("kms:PutKeyPolicy", id))
			}
		}
	}
	for _, name := range []string{"alias/app", "alias/none"} {
		refuse(user, kmsapi.DeleteAlias, &kmsapi.DeleteAliasInput{AliasName: &name}, "AccessDeniedException",
			"User: arn:aws:iam::111122223333:user/mallory is not authorized to perform: kms:DeleteAlias on resource: "+us1.arn(name)+" because no identity-based policy allows the kms:DeleteAlias action")
	}
}

// Accounts and regions are name spaces of their own.
func TestAccountsAndRegionsAreIsolated(t *testing.T) {
	w := newWorld(t)
	home := w.in(ours, eu)
	m := home.createKey()
	home.createAlias("alias/app", *m.KeyId)
	blob := home.encrypt("alias/app", "x")
	for _, c := range []client{w.in(theirs, eu), w.in(ours, us)} {
		refuse(c, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: m.KeyId}, "NotFoundException", "Key '"+c.arn("key/"+*m.KeyId)+"' does not exist")
		refuse(c, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: new("alias/app")}, "NotFoundException", "Alias "+c.arn("alias/app")+" is not found.")
		refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob}, "AccessDeniedException", noCiphertextKey)
		if out := must(c, kmsapi.ListKeys, &kmsapi.ListKeysInput{}); len(out.Keys) != 0 {
			t.Errorf("%s %s lists %d keys", c.account, c.region, len(out.Keys))
		}
		if out := must(c, kmsapi.ListAliases, &kmsapi.ListAliasesInput{}); len(out.Aliases) != 0 {
			t.Errorf("%s %s lists %d aliases", c.account, c.region, len(out.Aliases))
		}
		own := c.createKey()
		c.createAlias("alias/app", *own.KeyId)
		if d := c.describe("alias/app"); *d.Arn != *own.Arn {
			t.Errorf("alias/app is %s, want %s", *d.Arn, *own.Arn)
		}
	}
	// A list that needs no permission on a key says nothing about foreign ones.
	refuse(w.in(theirs, eu), kmsapi.ListAliases, &kmsapi.ListAliasesInput{KeyId: m.Arn}, "NotFoundException", "Key '"+*m.Arn+"' does not exist")
	if d := home.describe("alias/app"); *d.Arn != *m.Arn {
		t.Errorf("alias/app is %s, want %s", *d.Arn, *m.Arn)
	}
}

// stateCases is the table of §3: what each operation answers in each state.
// "" is success, D is disabled, P is pending deletion, N is not pending.
func TestKeyStates(t *testing.T) {
	type try = func(c client, key string, blob []byte) error
	errOf := func(_ any, err error) error { return err }
	crypto := [3]string{"", "D", "P"}
	reads := [3]string{"", "", ""}
	change := [3]string{"", "", "P"}
	rotation := [3]string{"", "D", "P"}
	for _, tc := range []struct {
		name string
		want [3]string // Enabled, Disabled, PendingDeletion
		try  try
	}{
		{"Encrypt", crypto, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: &k, Plaintext: api.Sensitive("x")}))
		}},
		{"Decrypt", crypto, func(c client, k string, b []byte) error {
			return errOf(call(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: b}))
		}},
		{"Decrypt with KeyId", crypto, func(c client, k string, b []byte) error {
			return errOf(call(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: &k, CiphertextBlob: b}))
		}},
		{"ReEncrypt from", crypto, func(c client, k string, b []byte) error {
			return errOf(call(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: b, DestinationKeyId: c.createKey().KeyId}))
		}},
		{"ReEncrypt to", crypto, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: c.encrypt(*c.createKey().KeyId, "x"), DestinationKeyId: &k}))
		}},
		{"GenerateDataKey", crypto, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: &k, KeySpec: new("AES_256")}))
		}},
		{"GenerateDataKeyWithoutPlaintext", crypto, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.GenerateDataKeyWithoutPlaintext, &kmsapi.GenerateDataKeyWithoutPlaintextInput{KeyId: &k, KeySpec: new("AES_256")}))
		}},
		{"DescribeKey", reads, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: &k}))
		}},
		{"ListAliases", reads, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.ListAliases, &kmsapi.ListAliasesInput{KeyId: &k}))
		}},
		{"ListKeyPolicies", reads, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.ListKeyPolicies, &kmsapi.ListKeyPoliciesInput{KeyId: &k}))
		}},
		{"ListKeyRotations", reads, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.ListKeyRotations, &kmsapi.ListKeyRotationsInput{KeyId: &k}))
		}},
		{"ListResourceTags", reads, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.ListResourceTags, &kmsapi.ListResourceTagsInput{KeyId: &k}))
		}},
		{"GetKeyPolicy", reads, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: &k}))
		}},
		{"GetKeyRotationStatus", reads, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.GetKeyRotationStatus, &kmsapi.GetKeyRotationStatusInput{KeyId: &k}))
		}},
		{"PutKeyPolicy", change, func(c client, k string, _ []byte) error {
			p := *must(c, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: &k}).Policy
			return errOf(call(c, kmsapi.PutKeyPolicy, &kmsapi.PutKeyPolicyInput{KeyId: &k, Policy: &p}))
		}},
		{"TagResource", change, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: &k, Tags: []kmsapi.Tag{{TagKey: new("k"), TagValue: new("v")}}}))
		}},
		{"UntagResource", change, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.UntagResource, &kmsapi.UntagResourceInput{KeyId: &k, TagKeys: []string{"k"}}))
		}},
		{"UpdateKeyDescription", change, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.UpdateKeyDescription, &kmsapi.UpdateKeyDescriptionInput{KeyId: &k, Description: new("d")}))
		}},
		{"EnableKey", change, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: &k}))
		}},
		{"DisableKey", change, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: &k}))
		}},
		{"CreateAlias", change, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.CreateAlias, &kmsapi.CreateAliasInput{AliasName: new("alias/new"), TargetKeyId: &k}))
		}},
		{"UpdateAlias to", change, func(c client, k string, _ []byte) error {
			c.createAlias("alias/moving", *c.createKey().KeyId)
			return errOf(call(c, kmsapi.UpdateAlias, &kmsapi.UpdateAliasInput{AliasName: new("alias/moving"), TargetKeyId: &k}))
		}},
		{"UpdateAlias from", reads, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.UpdateAlias, &kmsapi.UpdateAliasInput{AliasName: new("alias/old"), TargetKeyId: c.createKey().KeyId}))
		}},
		{"DeleteAlias", reads, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.DeleteAlias, &kmsapi.DeleteAliasInput{AliasName: new("alias/old")}))
		}},
		{"EnableKeyRotation", rotation, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &k}))
		}},
		{"DisableKeyRotation", rotation, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.DisableKeyRotation, &kmsapi.DisableKeyRotationInput{KeyId: &k}))
		}},
		{"RotateKeyOnDemand", rotation, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &k}))
		}},
		{"ScheduleKeyDeletion", change, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &k}))
		}},
		{"CancelKeyDeletion", [3]string{"N", "N", ""}, func(c client, k string, _ []byte) error {
			return errOf(call(c, kmsapi.CancelKeyDeletion, &kmsapi.CancelKeyDeletionInput{KeyId: &k}))
		}},
	} {
		for i, state := range []string{"Enabled", "Disabled", "PendingDeletion"} {
			t.Run(tc.name+"/"+state, func(t *testing.T) {
				c := newWorld(t).in(ours, eu)
				m := c.createKey()
				c.createAlias("alias/old", *m.KeyId)
				blob := c.encrypt(*m.KeyId, "x")
				switch state {
				case "Disabled":
					must(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: m.KeyId})
				case "PendingDeletion":
					must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: m.KeyId})
				}
				if d := c.describe(*m.KeyId); *d.KeyState != state || *d.Enabled != (state == "Enabled") {
					t.Fatalf("the key is %s, enabled %v", *d.KeyState, *d.Enabled)
				}
				err := tc.try(c, *m.KeyId, blob)
				switch tc.want[i] {
				case "":
					if err != nil {
						t.Error(err)
					}
				case "D":
					apitest.Refused(t, tc.name, err, "DisabledException", *m.Arn+" is disabled.")
				case "P":
					apitest.Refused(t, tc.name, err, "KMSInvalidStateException", *m.Arn+" is pending deletion.")
				case "N":
					apitest.Refused(t, tc.name, err, "KMSInvalidStateException", *m.Arn+" is not pending deletion.")
				}
			})
		}
	}
}
