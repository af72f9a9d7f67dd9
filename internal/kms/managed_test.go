package kms_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/policy"
	"coffer/internal/table"
)

const managedAlias = "alias/aws/secretsmanager"

func generate(c client) (*kmsapi.GenerateDataKeyOutput, error) {
	return call(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: new(managedAlias), KeySpec: new("AES_256"), EncryptionContext: map[string]string{"SecretARN": "a", "SecretVersionId": "v"}})
}

func TestManagedKeyAppearsOnFirstUse(t *testing.T) {
	w := newWorld(t)
	root := w.in(ours, eu)
	sm := root.through(throughSM)
	absent := "Alias " + root.arn(managedAlias) + " is not found."

	// Nobody but the service makes it, and the service only when it may write.
	_, err := generate(root)
	apitest.Refused(t, "direct", err, "NotFoundException", absent)
	_, err = generate(root.through("ssm.amazonaws.com"))
	apitest.Refused(t, "another service", err, "NotFoundException", absent)
	reading := sm
	reading.writing = false
	_, err = generate(reading)
	apitest.Refused(t, "in a read", err, "NotFoundException", absent)
	refuse(sm, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: new(managedAlias)}, "NotFoundException", absent)
	refuse(sm, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: new("alias/aws/ssm"), KeySpec: new("AES_256")}, "NotFoundException", "Alias "+root.arn("alias/aws/ssm")+" is not found.")
	refuse(w.in(theirs, eu).through(throughSM), kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: new(root.arn(managedAlias)), KeySpec: new("AES_256")},
		"AccessDeniedException", "User: arn:aws:iam::"+theirs+":root is not authorized to perform: kms:GenerateDataKey on resource: "+
			root.arn(managedAlias)+" because no resource-based policy allows the kms:GenerateDataKey action")
	if n := len(must(root, kmsapi.ListKeys, &kmsapi.ListKeysInput{}).Keys); n != 0 {
		t.Fatalf("%d keys before first use", n)
	}

	first, err := generate(sm)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		again, err := generate(sm)
		if err != nil || *again.KeyId != *first.KeyId {
			t.Fatalf("second use: %v, %v", again, err)
		}
	}
	out := must(sm, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: first.CiphertextBlob, EncryptionContext: map[string]string{"SecretARN": "a", "SecretVersionId": "v"}})
	if string(out.Plaintext) != string(first.Plaintext) {
		t.Error("the data key does not decrypt")
	}

	// What it looks like.
	d := root.describe(managedAlias)
	if *d.KeyManager != "AWS" || *d.Arn != *first.KeyId || *d.KeyState != "Enabled" || *d.Description != "Default key that protects my Secrets Manager data when no other key is defined" {
		t.Errorf("%+v", d)
	}
	root.wantRotation(*d.KeyId, 365, w.now.Add(365*dayLength))
	if names := root.aliases(kmsapi.ListAliasesInput{KeyId: d.KeyId}); len(names) != 1 || names[0] != managedAlias {
		t.Errorf("aliases %v", names)
	}
	text := *must(root, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: d.KeyId}).Policy
	doc, err := policy.Parse([]byte(text), policy.Key)
	if err != nil || doc.ID != "auto-secretsmanager-1" || len(doc.Statements) != 2 || !strings.Contains(text, "secretsmanager.eu-west-1.amazonaws.com") || !strings.Contains(text, ours) {
		t.Errorf("policy %s: %v", text, err)
	}

	// One per account and region.
	for _, c := range []client{w.in(ours, us), w.in(theirs, eu)} {
		other, err := generate(c.through(throughSM))
		if err != nil || *other.KeyId == *first.KeyId || !strings.HasPrefix(*other.KeyId, c.arn("key/")) {
			t.Errorf("%s %s: %v, %v", c.account, c.region, other, err)
		}
	}

	// It rotates yearly like any other.
	w.now = w.now.Add(365 * dayLength)
	w.task(w.service.RotateDue)
	if n := len(root.rotations(kmsapi.ListKeyRotationsInput{KeyId: d.KeyId})); n != 1 {
		t.Errorf("%d rotations after a year, want 1", n)
	}
	must(sm, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: first.CiphertextBlob, EncryptionContext: map[string]string{"SecretARN": "a", "SecretVersionId": "v"}})
}

// All first uses at once make one key.
func TestManagedKeyIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	sm := w.in(ours, eu).through(throughSM)
	var wg sync.WaitGroup
	ids := make([]string, 32)
	for i := range ids {
		wg.Go(func() {
			r := sm.request()
			err := w.db.Update(r.Context, func(tx *table.Tx) error {
				r.Tx, r.Allowed = tx, policy.Allowed{}
				out, err := gate{w}.run(r, kmsapi.GenerateDataKey.Operation, &kmsapi.GenerateDataKeyInput{KeyId: new(managedAlias), KeySpec: new("AES_256")})
				if err == nil {
					ids[i] = *out.(*kmsapi.GenerateDataKeyOutput).KeyId
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("%s and %s", id, ids[0])
		}
	}
	if n := len(must(w.in(ours, eu), kmsapi.ListKeys, &kmsapi.ListKeysInput{}).Keys); n != 1 {
		t.Errorf("%d keys, want 1", n)
	}
}

// The key and what it encrypted can be used within one transaction.
func TestManagedKeyInItsFirstTransaction(t *testing.T) {
	w := newWorld(t)
	r := w.in(ours, eu).through(throughSM).request()
	err := w.db.Update(r.Context, func(tx *table.Tx) error {
		r.Tx = tx
		out, err := gate{w}.run(r, kmsapi.GenerateDataKey.Operation, &kmsapi.GenerateDataKeyInput{KeyId: new(managedAlias), KeySpec: new("AES_256")})
		if err != nil {
			return err
		}
		dk := out.(*kmsapi.GenerateDataKeyOutput)
		out, err = gate{w}.run(r, kmsapi.Decrypt.Operation, &kmsapi.DecryptInput{CiphertextBlob: dk.CiphertextBlob})
		if err != nil {
			return err
		}
		if string(out.(*kmsapi.DecryptOutput).Plaintext) != string(dk.Plaintext) {
			return errors.New("the data key does not decrypt")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The key policy of an AWS managed key lets its account look and its service use.
func TestManagedKeyIsUsedThroughItsServiceOnly(t *testing.T) {
	w := newWorld(t)
	root := w.in(ours, eu)
	sm := root.through(throughSM)
	dk, err := generate(sm)
	if err != nil {
		t.Fatal(err)
	}
	d := root.describe(managedAlias)
	own := root.createKey()
	context := map[string]string{"SecretARN": "a", "SecretVersionId": "v"}
	deniedOn := func(arn, action string, err error) {
		t.Helper()
		apitest.Refused(t, action, err, "AccessDeniedException", "User: arn:aws:iam::111122223333:root is not authorized to perform: "+action+" on resource: "+arn+
			" because no resource-based policy allows the "+action+" action")
	}
	denied := func(_ client, action string, err error) {
		t.Helper()
		deniedOn(*d.Arn, action, err)
	}
	const hidden = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."
	for _, c := range []client{root, root.through("ssm.amazonaws.com")} {
		_, err = call(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: dk.CiphertextBlob, EncryptionContext: context})
		apitest.Refused(t, "kms:Decrypt", err, "AccessDeniedException", hidden)
		_, err = call(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: dk.CiphertextBlob, EncryptionContext: context, KeyId: d.KeyId})
		denied(c, "kms:Decrypt", err)
		_, err = call(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: new(managedAlias), Plaintext: api.Sensitive("x")})
		deniedOn(root.arn(managedAlias), "kms:Encrypt", err)
		_, err = generate(c)
		deniedOn(root.arn(managedAlias), "kms:GenerateDataKey", err)
		_, err = call(c, kmsapi.GenerateDataKeyWithoutPlaintext, &kmsapi.GenerateDataKeyWithoutPlaintextInput{KeyId: d.KeyId, KeySpec: new("AES_256")})
		denied(c, "kms:GenerateDataKeyWithoutPlaintext", err)
		_, err = call(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: dk.CiphertextBlob, SourceEncryptionContext: context, DestinationKeyId: own.KeyId})
		apitest.Refused(t, "kms:ReEncryptFrom", err, "AccessDeniedException", hidden)
		_, err = call(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: root.encrypt(*own.KeyId, "x"), DestinationKeyId: d.KeyId})
		denied(c, "kms:ReEncryptTo", err)
	}
	for _, c := range []client{root, sm} {
		_, err = call(c, kmsapi.PutKeyPolicy, &kmsapi.PutKeyPolicyInput{KeyId: d.KeyId, Policy: must(root, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: d.KeyId}).Policy})
		denied(c, "kms:PutKeyPolicy", err)
		_, err = call(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: d.KeyId})
		denied(c, "kms:EnableKeyRotation", err)
		_, err = call(c, kmsapi.DisableKeyRotation, &kmsapi.DisableKeyRotationInput{KeyId: d.KeyId})
		denied(c, "kms:DisableKeyRotation", err)
		_, err = call(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: d.KeyId})
		denied(c, "kms:RotateKeyOnDemand", err)
		_, err = call(c, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: d.KeyId})
		denied(c, "kms:EnableKey", err)
		_, err = call(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: d.KeyId})
		denied(c, "kms:DisableKey", err)
		_, err = call(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: d.KeyId})
		denied(c, "kms:ScheduleKeyDeletion", err)
		_, err = call(c, kmsapi.CancelKeyDeletion, &kmsapi.CancelKeyDeletionInput{KeyId: d.KeyId})
		denied(c, "kms:CancelKeyDeletion", err)
		_, err = call(c, kmsapi.UpdateKeyDescription, &kmsapi.UpdateKeyDescriptionInput{KeyId: d.KeyId, Description: new("mine")})
		denied(c, "kms:UpdateKeyDescription", err)
		_, err = call(c, kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: d.KeyId, Tags: tagList("a", "b")})
		denied(c, "kms:TagResource", err)
		_, err = call(c, kmsapi.UntagResource, &kmsapi.UntagResourceInput{KeyId: d.KeyId, TagKeys: []string{"a"}})
		denied(c, "kms:UntagResource", err)
		_, err = call(c, kmsapi.CreateAlias, &kmsapi.CreateAliasInput{AliasName: new("alias/mine"), TargetKeyId: d.KeyId})
		denied(c, "kms:CreateAlias", err)
	}
	root.createAlias("alias/own", *own.KeyId)
	_, err = call(root, kmsapi.UpdateAlias, &kmsapi.UpdateAliasInput{AliasName: new("alias/own"), TargetKeyId: d.KeyId})
	denied(root, "kms:UpdateAlias", err)
	refuse(root, kmsapi.DeleteAlias, &kmsapi.DeleteAliasInput{AliasName: new(managedAlias)}, "NotAuthorizedException", "")
	refuse(root, kmsapi.UpdateAlias, &kmsapi.UpdateAliasInput{AliasName: new(managedAlias), TargetKeyId: own.KeyId}, "NotAuthorizedException", "")

	must(root, kmsapi.ListResourceTags, &kmsapi.ListResourceTagsInput{KeyId: d.KeyId})
	must(root, kmsapi.ListKeyPolicies, &kmsapi.ListKeyPoliciesInput{KeyId: d.KeyId})
	must(root, kmsapi.GetKeyRotationStatus, &kmsapi.GetKeyRotationStatusInput{KeyId: d.KeyId})
	if n := len(must(root, kmsapi.ListKeys, &kmsapi.ListKeysInput{}).Keys); n != 2 {
		t.Errorf("%d keys, want 2", n)
	}
	must(sm, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: new(managedAlias), CiphertextBlob: dk.CiphertextBlob, EncryptionContext: context})
}
