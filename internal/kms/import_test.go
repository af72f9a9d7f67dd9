package kms_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/iam/iamtest"
	"coffer/internal/material"
	"coffer/internal/policy"
)

const (
	oaep    = "RSAES_OAEP_SHA_256"
	isNew   = "NEW_KEY_MATERIAL"
	isOld   = "EXISTING_KEY_MATERIAL"
	forever = "KEY_MATERIAL_DOES_NOT_EXPIRE"
	expires = "KEY_MATERIAL_EXPIRES"
)

// external makes a key without material.
func (c client) external(spec, usage string, multiRegion bool) *kmsapi.KeyMetadata {
	c.Helper()
	m := must(c, kmsapi.CreateKey, &kmsapi.CreateKeyInput{KeySpec: &spec, KeyUsage: &usage, Origin: new("EXTERNAL"), MultiRegion: &multiRegion}).KeyMetadata
	if *m.KeyState != "PendingImport" || *m.Enabled || *m.Origin != "EXTERNAL" || m.CurrentKeyMaterialId != nil || m.ExpirationModel != nil || m.ValidTo != nil {
		c.Errorf("a new key without material: %+v", m)
	}
	return m
}

// wrapped is material on its way: what ImportKeyMaterial takes of it.
func (c client) wrapped(key string, plain []byte) kmsapi.ImportKeyMaterialInput {
	c.Helper()
	p := must(c, kmsapi.GetParametersForImport, &kmsapi.GetParametersForImportInput{KeyId: &key, WrappingAlgorithm: new(oaep), WrappingKeySpec: new("RSA_2048")})
	k, err := x509.ParsePKIXPublicKey(p.PublicKey)
	if err != nil {
		c.Fatal(err)
	}
	if !p.ParametersValidTo.Equal(c.now.Add(24*time.Hour)) || *p.KeyId != c.arn("key/"+key) || len(p.ImportToken) > 6144 {
		c.Errorf("parameters: %+v", p)
	}
	b, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, k.(*rsa.PublicKey), plain, nil)
	if err != nil {
		c.Fatal(err)
	}
	return kmsapi.ImportKeyMaterialInput{KeyId: &key, ImportToken: p.ImportToken, EncryptedKeyMaterial: b, ExpirationModel: new(forever)}
}

// bring imports material that does not expire and returns its id.
func (c client) bring(key string, plain []byte, importType string) string {
	c.Helper()
	in := c.wrapped(key, plain)
	if importType != "" {
		in.ImportType = &importType
	}
	out := must(c, kmsapi.ImportKeyMaterial, &in)
	if *out.KeyId != c.arn("key/"+key) {
		c.Errorf("imported into %s", *out.KeyId)
	}
	if out.KeyMaterialId == nil {
		return ""
	}
	return *out.KeyMaterialId
}

func secretOf(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// list is the key's materials in words: "state import rotation".
func (c client) list(key string) (list []string) {
	c.Helper()
	for _, e := range c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &key, IncludeKeyMaterial: new("ALL_KEY_MATERIAL")}) {
		rotation := ""
		if e.RotationType != nil {
			rotation = " " + *e.RotationType
		}
		list = append(list, *e.KeyMaterialState+" "+*e.ImportState+rotation)
	}
	return list
}

func (c client) wantList(key string, want ...string) {
	c.Helper()
	if got := c.list(key); fmt.Sprint(got) != fmt.Sprint(want) {
		c.Errorf("materials %q, want %q", got, want)
	}
}

func (c client) wantState(key, state string) {
	c.Helper()
	if m := c.describe(key); *m.KeyState != state || *m.Enabled != (state == "Enabled") {
		c.Errorf("the key is %s, enabled %v; want %s", *m.KeyState, *m.Enabled, state)
	}
}

func TestImportedKeyLife(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", false)
	id := *m.KeyId
	pending := *m.Arn + " is pending import."
	refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: &id, Plaintext: api.Sensitive("x")}, "KMSInvalidStateException", pending)
	c.wantList(id)

	material := c.bring(id, secretOf(1), "")
	d := c.describe(id)
	if *d.KeyState != "Enabled" || *d.CurrentKeyMaterialId != material || *d.ExpirationModel != forever || d.ValidTo != nil {
		t.Errorf("imported: %+v", d)
	}
	blob := c.encrypt(id, "text", "k", "v")
	c.wantList(id, "CURRENT IMPORTED")

	// Deleted and imported again it is the same key; other material is refused.
	deleted := must(c, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id})
	if *deleted.KeyId != *m.Arn || *deleted.KeyMaterialId != material {
		t.Errorf("deleted: %+v", deleted)
	}
	c.wantState(id, "PendingImport")
	c.wantList(id, "CURRENT PENDING_IMPORT")
	if d := c.describe(id); d.ExpirationModel != nil || *d.CurrentKeyMaterialId != material {
		t.Errorf("deleted: %+v", d)
	}
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionContext: pairs([]string{"k", "v"})}, "KMSInvalidStateException", pending)
	must(c, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id}) // nothing to do
	in := c.wrapped(id, secretOf(2))
	refuse(c, kmsapi.ImportKeyMaterial, &in, "IncorrectKeyMaterialException", "The key material is not the one previously imported into the key: "+*m.Arn)
	if again := c.bring(id, secretOf(1), isOld); again != material {
		t.Errorf("material id %s, was %s", again, material)
	}
	c.wantState(id, "Enabled")
	if c.decrypt(blob, "k", "v") != "text" {
		t.Error("the ciphertext does not decrypt")
	}
	// The same material in another key is another material.
	other := c.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", false)
	if c.bring(*other.KeyId, secretOf(1), "") == material {
		t.Error("one id for two keys")
	}
}

func TestImportedMaterialExpires(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", false)
	id := *m.KeyId
	end := c.now.Add(10 * dayLength)
	expiring := func() {
		t.Helper()
		in := c.wrapped(id, secretOf(1))
		in.ExpirationModel, in.ValidTo = nil, &end // expiring is the default
		must(c, kmsapi.ImportKeyMaterial, &in)
	}
	expiring()
	d := c.describe(id)
	if *d.ExpirationModel != expires || !d.ValidTo.Equal(end) {
		t.Errorf("imported: %+v", d)
	}
	e := c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id, IncludeKeyMaterial: new("ALL_KEY_MATERIAL")})[0]
	if *e.ExpirationModel != expires || !e.ValidTo.Equal(end) || *e.ImportState != "IMPORTED" {
		t.Errorf("listed: %+v", e)
	}
	blob := c.encrypt(id, "text")
	c.now = end.Add(-time.Millisecond)
	if c.decrypt(blob) != "text" {
		t.Error("a millisecond early")
	}
	c.task(c.service.ExpireDue)
	c.wantState(id, "Enabled")

	// At the instant it is gone, whether or not the worker has been there.
	c.now = end
	gone := func() {
		t.Helper()
		c.wantState(id, "PendingImport")
		c.wantList(id, "CURRENT PENDING_IMPORT")
		if d := c.describe(id); d.ExpirationModel != nil || d.ValidTo != nil {
			t.Errorf("expired: %+v", d)
		}
		refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob}, "KMSInvalidStateException", *m.Arn+" is pending import.")
		refuse(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: &id}, "KMSInvalidStateException", *m.Arn+" is pending import.")
	}
	gone()
	must(c, kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: &id, Tags: tagList("a", "b")}) // stores what is left
	gone()
	count := func() (n int) {
		for _, e := range c.events {
			if e.Name == "DeleteExpiredKeyMaterial" && e.Data["keyId"] == *m.Arn && e.Data["keyMaterialId"] == *d.CurrentKeyMaterialId && e.Account == ours && e.Region == eu {
				n++
			}
		}
		return n
	}
	for range 2 {
		c.task(c.service.ExpireDue)
		gone()
		if n := count(); n != 1 {
			t.Errorf("%d events, want 1", n)
		}
	}
	// Imported again it lasts to its new end, or without one.
	end = c.now.Add(365 * dayLength)
	expiring()
	if c.decrypt(blob) != "text" {
		t.Error("imported again, the ciphertext does not decrypt")
	}
	c.bring(id, secretOf(1), "")
	if d := c.describe(id); *d.ExpirationModel != forever || d.ValidTo != nil {
		t.Errorf("expiry lifted: %+v", d)
	}
	c.now = end
	c.task(c.service.ExpireDue)
	c.wantState(id, "Enabled")
}

// Many expire at once in bounded transactions.
func TestExpireDueIsBounded(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, eu)
	end := c.now.Add(dayLength)
	var ids []string
	for range 20 {
		id := *c.external("HMAC_256", "GENERATE_VERIFY_MAC", false).KeyId
		in := c.wrapped(id, secretOf(3))
		in.ExpirationModel, in.ValidTo = new(expires), &end
		must(c, kmsapi.ImportKeyMaterial, &in)
		ids = append(ids, id)
	}
	w.now = end
	c = w.in(ours, eu)
	if turns := w.task(w.service.ExpireDue); turns != 2 {
		t.Errorf("%d turns, want 2", turns)
	}
	for _, id := range ids {
		c.wantState(id, "PendingImport")
	}
}

func TestImportRefusals(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, eu)
	m, other, own := c.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", false), c.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", false), c.createKey()
	mac := c.external("HMAC_256", "GENERATE_VERIFY_MAC", false)
	good := c.wrapped(*m.KeyId, secretOf(1))
	goodMAC := c.wrapped(*mac.KeyId, secretOf(1))
	foreign := c.wrapped(*other.KeyId, secretOf(1))
	short := c.wrapped(*m.KeyId, secretOf(1)[1:])
	const invalid = "ValidationException"
	for _, tc := range []struct {
		name, code, message string
		change              func(*kmsapi.ImportKeyMaterialInput)
	}{
		{"no date", invalid, "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES", func(in *kmsapi.ImportKeyMaterialInput) { in.ExpirationModel = new(expires) }},
		{"no model, no date", invalid, "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES", func(in *kmsapi.ImportKeyMaterialInput) { in.ExpirationModel = nil }},
		{"a date for ever", invalid, "A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE", func(in *kmsapi.ImportKeyMaterialInput) { in.ValidTo = new(c.now.Add(time.Hour)) }},
		{"now", invalid, "The validTo date must be in the future, and at most 365 days from now.", func(in *kmsapi.ImportKeyMaterialInput) { in.ExpirationModel, in.ValidTo = nil, new(c.now) }},
		{"in 366 days", invalid, "The validTo date must be in the future, and at most 365 days from now.", func(in *kmsapi.ImportKeyMaterialInput) {
			in.ExpirationModel, in.ValidTo = nil, new(c.now.Add(366*dayLength))
		}},
		{"existing, of a key that has none", "IncorrectKeyMaterialException", "The key material is not the one previously imported into the key: " + *m.Arn, func(in *kmsapi.ImportKeyMaterialInput) { in.ImportType = new(isOld) }},
		{"new with an id", invalid, "KeyMaterialId cannot be used with ImportType NEW_KEY_MATERIAL.", func(in *kmsapi.ImportKeyMaterialInput) {
			in.ImportType, in.KeyMaterialId = new(isNew), own.CurrentKeyMaterialId
		}},
		{"no token", "InvalidImportTokenException", "The import token is not valid for the key: " + *m.Arn, func(in *kmsapi.ImportKeyMaterialInput) { in.ImportToken = []byte("token") }},
		{"token of another key", "InvalidImportTokenException", "The import token is not valid for the key: " + *m.Arn, func(in *kmsapi.ImportKeyMaterialInput) { in.ImportToken = foreign.ImportToken }},
		{"wrapped for another token", "InvalidCiphertextException", "", func(in *kmsapi.ImportKeyMaterialInput) { in.EncryptedKeyMaterial = foreign.EncryptedKeyMaterial }},
		{"31 bytes", "IncorrectKeyMaterialException", "The key material is not valid for key spec SYMMETRIC_DEFAULT.", func(in *kmsapi.ImportKeyMaterialInput) {
			in.ImportToken, in.EncryptedKeyMaterial = short.ImportToken, short.EncryptedKeyMaterial
		}},
		{"origin AWS_KMS", "UnsupportedOperationException", *own.Arn + " origin is AWS_KMS which is not valid for this operation.", func(in *kmsapi.ImportKeyMaterialInput) { in.KeyId = own.KeyId }},
		{"type of an HMAC key", invalid, "ImportType, KeyMaterialId and KeyMaterialDescription can be used with symmetric encryption KMS keys only.", func(in *kmsapi.ImportKeyMaterialInput) {
			*in = goodMAC
			in.ImportType = new(isNew)
		}},
		{"description of an HMAC key", invalid, "ImportType, KeyMaterialId and KeyMaterialDescription can be used with symmetric encryption KMS keys only.", func(in *kmsapi.ImportKeyMaterialInput) {
			*in = goodMAC
			in.KeyMaterialDescription = new("d")
		}},
		{"alias", "NotFoundException", "Invalid keyId 'alias/a'", func(in *kmsapi.ImportKeyMaterialInput) { in.KeyId = new("alias/a") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := good
			tc.change(&in)
			refuse(c.with(t), kmsapi.ImportKeyMaterial, &in, tc.code, tc.message)
		})
	}
	// A token lasts a day, and in that day as often as wanted.
	c.now = c.now.Add(24*time.Hour - time.Millisecond)
	must(c, kmsapi.ImportKeyMaterial, &good)
	must(c, kmsapi.ImportKeyMaterial, &good)
	c.now = c.now.Add(time.Millisecond)
	refuse(c, kmsapi.ImportKeyMaterial, &good, "ExpiredImportTokenException", "The import token has expired.")

	parameters := func(key, algorithm, spec string) error {
		_, err := call(c, kmsapi.GetParametersForImport, &kmsapi.GetParametersForImportInput{KeyId: &key, WrappingAlgorithm: &algorithm, WrappingKeySpec: &spec})
		return err
	}
	const unsupported = "UnsupportedOperationException"
	apitest.Refused(t, "own key", parameters(*own.KeyId, oaep, "RSA_2048"), unsupported, *own.Arn+" origin is AWS_KMS which is not valid for this operation.")
	apitest.Refused(t, "PKCS #1 1.5", parameters(*m.KeyId, "RSAES_PKCS1_V1_5", "RSA_2048"), unsupported, "Wrapping algorithm RSAES_PKCS1_V1_5 is not supported any more.")
	apitest.Refused(t, "SM2", parameters(*m.KeyId, "SM2PKE", "SM2"), unsupported, "SM2 is available in China Regions only.")
	apitest.Refused(t, "key wrap of a symmetric key", parameters(*m.KeyId, "RSA_AES_KEY_WRAP_SHA_256", "RSA_2048"), unsupported, "Wrapping algorithm RSA_AES_KEY_WRAP_SHA_256 with wrapping key spec RSA_2048 cannot wrap key material of key spec SYMMETRIC_DEFAULT.")
	p521 := c.external("ECC_NIST_P521", "SIGN_VERIFY", false)
	apitest.Refused(t, "P-521 in 2048 bits", parameters(*p521.KeyId, oaep, "RSA_2048"), unsupported, "Wrapping algorithm RSAES_OAEP_SHA_256 with wrapping key spec RSA_2048 cannot wrap key material of key spec ECC_NIST_P521.")
	apitest.Refused(t, "no key", parameters("fake", oaep, "RSA_2048"), "NotFoundException", "Invalid keyId 'fake'")
	must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: m.KeyId})
	apitest.Refused(t, "pending deletion", parameters(*m.KeyId, oaep, "RSA_2048"), "KMSInvalidStateException", *m.Arn+" is pending deletion.")
	refuse(c, kmsapi.ImportKeyMaterial, &good, "KMSInvalidStateException", *m.Arn+" is pending deletion.")
	refuse(c, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: own.KeyId}, unsupported, *own.Arn+" origin is AWS_KMS which is not valid for this operation.")
	refuse(c, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: m.KeyId, KeyMaterialId: own.CurrentKeyMaterialId}, "NotFoundException", "Key material "+*own.CurrentKeyMaterialId+" is not associated with the key: "+*m.Arn)
}

// Deletion of a key and of its material, in either order.
func TestDeletionOfImportedKeys(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", false)
	id := *m.KeyId
	c.bring(id, secretOf(1), "")
	must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &id})
	must(c, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id})
	c.wantState(id, "PendingDeletion")
	must(c, kmsapi.CancelKeyDeletion, &kmsapi.CancelKeyDeletionInput{KeyId: &id})
	c.wantState(id, "PendingImport")
	c.bring(id, secretOf(1), "")
	c.wantState(id, "Enabled")
	// Whoever disables a key finds it disabled after an import too.
	must(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: &id})
	c.bring(id, secretOf(1), "")
	c.wantState(id, "Disabled")
	must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &id})
	must(c, kmsapi.CancelKeyDeletion, &kmsapi.CancelKeyDeletionInput{KeyId: &id})
	c.wantState(id, "Disabled")
	must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: new(int64(7))})
	c.now = c.now.Add(7 * dayLength)
	c.task(c.service.PurgeDue)
	refuse(c, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: &id}, "NotFoundException", "Key '"+*m.Arn+"' does not exist")
}

// What can be done to a key that waits for its material.
func TestPendingImport(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", false)
	id := m.KeyId
	pending := *m.Arn + " is pending import."
	origin := *m.Arn + " origin is EXTERNAL which is not valid for this operation."
	c.createAlias("alias/a", *id)
	must(c, kmsapi.UpdateKeyDescription, &kmsapi.UpdateKeyDescriptionInput{KeyId: id, Description: new("d")})
	must(c, kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: id, Tags: tagList("a", "b")})
	must(c, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: id})
	c.wantRotationOff(*id)
	refuse(c, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: id}, "KMSInvalidStateException", pending)
	refuse(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: id}, "KMSInvalidStateException", pending)
	refuse(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: id, KeySpec: new("AES_256")}, "KMSInvalidStateException", pending)
	refuse(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: id}, "KMSInvalidStateException", pending)
	refuse(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: id}, "UnsupportedOperationException", origin)
	refuse(c, kmsapi.DisableKeyRotation, &kmsapi.DisableKeyRotationInput{KeyId: id}, "UnsupportedOperationException", origin)
	refuse(c, kmsapi.CancelKeyDeletion, &kmsapi.CancelKeyDeletionInput{KeyId: id}, "KMSInvalidStateException", *m.Arn+" is not pending deletion.")
	out := must(c, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: id})
	if *out.KeyId != *m.Arn || out.KeyMaterialId != nil {
		t.Errorf("deleted nothing: %+v", out)
	}
	ec := c.external("ECC_NIST_P256", "SIGN_VERIFY", false)
	refuse(c, kmsapi.GetPublicKey, &kmsapi.GetPublicKeyInput{KeyId: ec.KeyId}, "KMSInvalidStateException", *ec.Arn+" is pending import.")
	refuse(c, kmsapi.Sign, &kmsapi.SignInput{KeyId: ec.KeyId, Message: api.Sensitive("m"), SigningAlgorithm: new("ECDSA_SHA_256")}, "KMSInvalidStateException", *ec.Arn+" is pending import.")
	must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: id})
}

// Material for a rotation is imported first and turned to later.
func TestRotationOfImportedMaterial(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", false)
	id := *m.KeyId
	first := c.bring(id, secretOf(1), "")
	old := c.encrypt(id, "old")
	none := "No available key material pending rotation for the key: " + *m.Arn
	refuse(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id}, "KMSInvalidStateException", none)

	in := c.wrapped(id, secretOf(1))
	in.ImportType = new(isNew)
	refuse(c, kmsapi.ImportKeyMaterial, &in, "IncorrectKeyMaterialException", "The key material is already associated with the key: "+*m.Arn)
	in = c.wrapped(id, secretOf(2))
	in.ImportType, in.KeyMaterialDescription = new(isNew), new("the second")
	second := *must(c, kmsapi.ImportKeyMaterial, &in).KeyMaterialId
	c.wantList(id, "CURRENT IMPORTED", "PENDING_ROTATION IMPORTED")
	if d := c.describe(id); *d.CurrentKeyMaterialId != first {
		t.Errorf("current before the rotation: %s", *d.CurrentKeyMaterialId)
	}
	if n := len(c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id})); n != 0 {
		t.Errorf("%d rotations before the first", n)
	}
	third := c.wrapped(id, secretOf(3))
	third.ImportType = new(isNew)
	refuse(c, kmsapi.ImportKeyMaterial, &third, "KMSInvalidStateException", "There is key material pending rotation already for the key: "+*m.Arn)

	// Pending material can be deleted, which does not touch the key, and another
	// take its place.
	must(c, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id, KeyMaterialId: &second})
	c.wantList(id, "CURRENT IMPORTED")
	c.wantState(id, "Enabled")
	must(c, kmsapi.ImportKeyMaterial, &third)
	must(c, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id, KeyMaterialId: c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id, IncludeKeyMaterial: new("ALL_KEY_MATERIAL")})[1].KeyMaterialId})
	must(c, kmsapi.ImportKeyMaterial, &in)

	c.now = c.now.Add(time.Hour)
	must(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id})
	c.wantList(id, "NON_CURRENT IMPORTED", "CURRENT IMPORTED ON_DEMAND")
	if d := c.describe(id); *d.CurrentKeyMaterialId != second {
		t.Errorf("current after the rotation: %s", *d.CurrentKeyMaterialId)
	}
	refuse(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id}, "KMSInvalidStateException", none)
	r := c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id})
	if len(r) != 1 || *r[0].KeyMaterialDescription != "the second" || !r[0].RotationDate.Equal(c.now) || *r[0].KeyMaterialId != second {
		t.Errorf("rotations %+v", r)
	}
	fresh := c.encrypt(id, "fresh")
	if c.decrypt(old) != "old" || c.decrypt(fresh) != "fresh" {
		t.Error("ciphertexts do not decrypt after the rotation")
	}
	if e := c.events[len(c.events)-1]; e.Name != "RotateKey" || e.Data["currentKeyMaterialId"] != second {
		t.Errorf("event %+v", e)
	}

	// Without the oldest material the key waits, and any missing one can come back.
	must(c, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id, KeyMaterialId: &first})
	c.wantState(id, "PendingImport")
	must(c, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id})
	c.wantList(id, "NON_CURRENT PENDING_IMPORT", "CURRENT PENDING_IMPORT ON_DEMAND")
	again := c.wrapped(id, secretOf(2))
	again.KeyMaterialId = &first
	refuse(c, kmsapi.ImportKeyMaterial, &again, "IncorrectKeyMaterialException", "The key material does not have the key material ID "+first+".")
	again.KeyMaterialId = &second
	must(c, kmsapi.ImportKeyMaterial, &again)
	c.wantState(id, "PendingImport")
	c.bring(id, secretOf(1), "")
	c.wantState(id, "Enabled")
	if c.decrypt(old) != "old" || c.decrypt(fresh) != "fresh" {
		t.Error("ciphertexts do not decrypt after all was imported again")
	}
	if r := c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id}); *r[0].KeyMaterialDescription != "the second" {
		t.Errorf("description %v", r[0].KeyMaterialDescription)
	}
}

// Pending material that expires keeps its place, and cannot be turned to.
func TestPendingMaterialExpires(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", false)
	id := *m.KeyId
	c.bring(id, secretOf(1), "")
	end := c.now.Add(time.Hour)
	in := c.wrapped(id, secretOf(2))
	in.ImportType, in.ExpirationModel, in.ValidTo = new(isNew), new(expires), &end
	must(c, kmsapi.ImportKeyMaterial, &in)
	if d := c.describe(id); *d.ExpirationModel != forever || d.ValidTo != nil {
		t.Errorf("metadata tells of pending material: %+v", d)
	}
	c.now = end
	for range 2 {
		c.wantList(id, "CURRENT IMPORTED", "PENDING_ROTATION PENDING_IMPORT")
		c.wantState(id, "Enabled")
		refuse(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id}, "KMSInvalidStateException", "No available key material pending rotation for the key: "+*m.Arn)
		c.task(c.service.ExpireDue)
	}
	// A blob that claims to be of it is answered like any forged one.
	forged := c.encrypt(id, "x")
	pending, err := hex.DecodeString(*c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id, IncludeKeyMaterial: new("ALL_KEY_MATERIAL")})[1].KeyMaterialId)
	if err != nil {
		t.Fatal(err)
	}
	copy(forged[19:], pending)
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: forged}, "InvalidCiphertextException", "")
	c.bring(id, secretOf(2), "")
	must(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id})
	c.wantList(id, "NON_CURRENT IMPORTED", "CURRENT IMPORTED ON_DEMAND")
}

// Deleted and expired material leaves the memory too.
func TestDeletedMaterialIsForgotten(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", false)
	id := *m.KeyId
	allowed := policy.Evaluate(&policy.Request{
		Caller: iamtest.Root(ours, eu).Caller, Action: "kms:Encrypt", Resource: *m.Arn, ResourceAccount: ours,
	}, &policy.Policies{}).Allowed
	// Of material in memory its wrapped form is not looked at.
	inMemory := func(materialID string) bool {
		_, err := c.material.Encrypt(t.Context(), allowed, id, material.Wrapped{ID: materialID}, []byte("x"), nil)
		return err == nil
	}
	w := c.wrapped(id, secretOf(1))
	w.ExpirationModel, w.ValidTo = new(expires), new(c.now.Add(time.Hour))
	first := *must(c, kmsapi.ImportKeyMaterial, &w).KeyMaterialId
	for _, end := range []func(){
		func() {
			must(c, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id})
		},
		func() {
			c.now = c.now.Add(time.Hour)
			c.task(c.service.ExpireDue)
		},
	} {
		must(c, kmsapi.ImportKeyMaterial, &w)
		c.encrypt(id, "x")
		if !inMemory(first) {
			t.Error("not in memory after it was used")
		}
		if end(); inMemory(first) {
			t.Error("still in memory")
		}
	}
}

// A pair that is brought along signs as it did before.
func TestImportedPairs(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	m := c.external("ECC_NIST_P256", "SIGN_VERIFY", false)
	if id := c.bring(*m.KeyId, der, ""); id != "" {
		t.Errorf("a pair has no key material id: %s", id)
	}
	c.wantState(*m.KeyId, "Enabled")
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if p := must(c, kmsapi.GetPublicKey, &kmsapi.GetPublicKeyInput{KeyId: m.KeyId}); !bytes.Equal(p.PublicKey, public) {
		t.Error("the public key is another's")
	}
	digest := sha256.Sum256([]byte("m"))
	s := must(c, kmsapi.Sign, &kmsapi.SignInput{KeyId: m.KeyId, Message: api.Sensitive("m"), SigningAlgorithm: new("ECDSA_SHA_256")})
	if !ecdsa.VerifyASN1(&private.PublicKey, digest[:], s.Signature) {
		t.Error("the signature does not verify")
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if der, err = x509.MarshalPKCS8PrivateKey(other); err != nil {
		t.Fatal(err)
	}
	in := c.wrapped(*m.KeyId, der)
	refuse(c, kmsapi.ImportKeyMaterial, &in, "IncorrectKeyMaterialException", "The key material is not the one previously imported into the key: "+*m.Arn)
	must(c, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: m.KeyId})
	refuse(c, kmsapi.ImportKeyMaterial, &in, "IncorrectKeyMaterialException", "The key material is not the one previously imported into the key: "+*m.Arn)

	mac := c.external("HMAC_512", "GENERATE_VERIFY_MAC", false)
	in = c.wrapped(*mac.KeyId, secretOf(1))
	refuse(c, kmsapi.ImportKeyMaterial, &in, "IncorrectKeyMaterialException", "The key material is not valid for key spec HMAC_512.")
	c.bring(*mac.KeyId, bytes.Repeat([]byte{1}, 64), "")
	must(c, kmsapi.GenerateMac, &kmsapi.GenerateMacInput{KeyId: mac.KeyId, Message: api.Sensitive("m"), MacAlgorithm: new("HMAC_SHA_512")})
}
