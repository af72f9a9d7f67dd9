package e2e_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/coffertest/check"
)

// walkKeyKinds is TestKMS for keys that are not symmetric, imported ones, and
// those of several regions.
func walkKeyKinds(t *testing.T, h *host) {
	c := h.kms("eu-west-1")
	message := []byte(marker)
	create := func(spec types.KeySpec, usage types.KeyUsageType) *types.KeyMetadata {
		t.Helper()
		return must(c.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage}))(t).KeyMetadata
	}
	public := func(id *string) any {
		t.Helper()
		return must(x509.ParsePKIXPublicKey(must(c.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: id}))(t).PublicKey))(t)
	}

	// Signatures, verified here and with the public key.
	signer := create(types.KeySpecRsa2048, types.KeyUsageTypeSignVerify)
	must(c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/signer"), TargetKeyId: signer.KeyId}))(t)
	signed := must(c.Sign(ctx, &kms.SignInput{KeyId: new("alias/signer"), Message: message, SigningAlgorithm: types.SigningAlgorithmSpecRsassaPssSha256}))(t)
	check.Equal(t, "Sign KeyId", *signed.KeyId, *signer.Arn)
	digest := sha256.Sum256(message)
	if err := rsa.VerifyPSS(public(signer.KeyId).(*rsa.PublicKey), crypto.SHA256, digest[:], signed.Signature, nil); err != nil {
		t.Errorf("the signature does not verify elsewhere: %v", err)
	}
	verified := must(c.Verify(ctx, &kms.VerifyInput{KeyId: signer.KeyId, Message: digest[:], MessageType: types.MessageTypeDigest, Signature: signed.Signature, SigningAlgorithm: types.SigningAlgorithmSpecRsassaPssSha256}))(t)
	check.Equal(t, "SignatureValid", verified.SignatureValid, true)
	_, err := c.Verify(ctx, &kms.VerifyInput{KeyId: signer.KeyId, Message: []byte("x"), Signature: signed.Signature, SigningAlgorithm: types.SigningAlgorithmSpecRsassaPssSha256})
	fails(t, "another message", err, "KMSInvalidSignatureException", "")
	_, err = c.Encrypt(ctx, &kms.EncryptInput{KeyId: signer.KeyId, Plaintext: message, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256})
	fails(t, "a signing key encrypts", err, "InvalidKeyUsageException", *signer.Arn+" key usage is SIGN_VERIFY which is not valid for Encrypt.")

	_, err = h.sm("eu-west-1").CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("under-a-signing-key"), SecretString: new(marker), KmsKeyId: signer.Arn})
	fails(t, "a secret under a signing key", err, "EncryptionFailure", "*")

	// Encryption with the public key, decryption here.
	pair := create(types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt)
	blob := must(rsa.EncryptOAEP(sha256.New(), rand.Reader, public(pair.KeyId).(*rsa.PublicKey), message, nil))(t)
	dec := must(c.Decrypt(ctx, &kms.DecryptInput{KeyId: pair.KeyId, CiphertextBlob: blob, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256}))(t)
	check.Equal(t, "decrypted with RSA", bytes.Equal(dec.Plaintext, message) && dec.KeyMaterialId == nil, true)

	mac := create(types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac)
	sum := must(c.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: mac.KeyId, Message: message, MacAlgorithm: types.MacAlgorithmSpecHmacSha256}))(t)
	check.Equal(t, "MacValid", must(c.VerifyMac(ctx, &kms.VerifyMacInput{KeyId: mac.KeyId, Message: message, Mac: sum.Mac, MacAlgorithm: types.MacAlgorithmSpecHmacSha256}))(t).MacValid, true)

	agreement := create(types.KeySpecEccNistP256, types.KeyUsageTypeKeyAgreement)
	ours := must(ecdh.P256().GenerateKey(rand.Reader))(t)
	peer := must(x509.MarshalPKIXPublicKey(ours.PublicKey()))(t)
	derived := must(c.DeriveSharedSecret(ctx, &kms.DeriveSharedSecretInput{KeyId: agreement.KeyId, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh, PublicKey: peer}))(t)
	h.secret(string(derived.SharedSecret), "a shared secret")
	point := must(public(agreement.KeyId).(interface {
		ECDH() (*ecdh.PublicKey, error)
	}).ECDH())(t)
	check.Equal(t, "shared secret", bytes.Equal(derived.SharedSecret, must(ours.ECDH(point))(t)), true)

	sym := must(c.CreateKey(ctx, &kms.CreateKeyInput{}))(t).KeyMetadata
	for _, spec := range []types.DataKeyPairSpec{types.DataKeyPairSpecEccNistP384, types.DataKeyPairSpecRsa4096} {
		p := must(c.GenerateDataKeyPair(ctx, &kms.GenerateDataKeyPairInput{KeyId: sym.KeyId, KeyPairSpec: spec}))(t)
		h.secret(string(p.PrivateKeyPlaintext), "a private key")
		opened := must(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: p.PrivateKeyCiphertextBlob}))(t)
		check.Equal(t, "private key", bytes.Equal(opened.Plaintext, p.PrivateKeyPlaintext), true)
		private := must(x509.ParsePKCS8PrivateKey(p.PrivateKeyPlaintext))(t).(crypto.Signer)
		check.Equal(t, "public key", bytes.Equal(must(x509.MarshalPKIXPublicKey(private.Public()))(t), p.PublicKey), true)
	}
	bare := must(c.GenerateDataKeyPairWithoutPlaintext(ctx, &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: sym.KeyId, KeyPairSpec: types.DataKeyPairSpecEccNistP256}))(t)
	h.secret(string(must(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: bare.PrivateKeyCiphertextBlob}))(t).Plaintext), "a private key")

	walkImport(t, h)
	walkRegions(t, h)
}

func walkGrants(t *testing.T, h *host) {
	c := h.kms("eu-west-1")
	root := "arn:aws:iam::" + h.Credentials.Account + ":root"
	b := h.account(t, "grantee")
	theirs, grantee := h.kmsAs("eu-west-1", b), "arn:aws:iam::"+b.Account+":root"
	key := must(c.CreateKey(ctx, &kms.CreateKeyInput{}))(t).KeyMetadata
	made := make([]*kms.CreateGrantOutput, 3)
	for i := range made {
		made[i] = must(c.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: key.KeyId, GranteePrincipal: &grantee, RetiringPrincipal: &root, Name: new(fmt.Sprint("walk", i)),
			Operations: []types.GrantOperation{types.GrantOperationEncrypt, types.GrantOperationDecrypt}, Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1"}}}))(t)
	}
	enc := must(theirs.Encrypt(ctx, &kms.EncryptInput{KeyId: key.Arn, Plaintext: []byte(marker), EncryptionContext: map[string]string{"a": "1"}, GrantTokens: []string{*made[0].GrantToken}}))(t)
	dec := must(theirs.Decrypt(ctx, &kms.DecryptInput{KeyId: key.Arn, CiphertextBlob: enc.CiphertextBlob, EncryptionContext: map[string]string{"a": "1"}}))(t)
	check.Equal(t, "decrypted by a grant", string(dec.Plaintext), marker)
	_, err := theirs.Encrypt(ctx, &kms.EncryptInput{KeyId: key.Arn, Plaintext: []byte(marker)})
	fails(t, "without the encryption context", err, "AccessDeniedException", "User: "+grantee+" is not authorized to perform: kms:Encrypt on resource: "+*key.Arn+" because no resource-based policy allows the kms:Encrypt action")

	var listed []types.GrantListEntry
	for in := (&kms.ListGrantsInput{KeyId: key.KeyId, Limit: new(int32(2))}); ; {
		page := must(c.ListGrants(ctx, in))(t)
		listed = append(listed, page.Grants...)
		if in.Marker = page.NextMarker; !page.Truncated {
			break
		}
	}
	check.Equal(t, "grants", len(listed), len(made))
	g := listed[0]
	check.Equal(t, "a grant", fmt.Sprintln(*g.KeyId, *g.GranteePrincipal, *g.RetiringPrincipal, *g.IssuingAccount, g.Operations, g.Constraints.EncryptionContextSubset, strings.HasPrefix(*g.Name, "walk")),
		fmt.Sprintln(*key.Arn, grantee, root, root, []string{"Encrypt", "Decrypt"}, map[string]string{"a": "1"}, true))
	check.Equal(t, "of the grantee", len(must(c.ListGrants(ctx, &kms.ListGrantsInput{KeyId: key.KeyId, GranteePrincipal: &grantee, GrantId: made[1].GrantId}))(t).Grants), 1)
	check.Equal(t, "retirable", len(must(c.ListRetirableGrants(ctx, &kms.ListRetirableGrantsInput{RetiringPrincipal: &root}))(t).Grants), len(made))
	_, err = c.RetireGrant(ctx, &kms.RetireGrantInput{GrantToken: made[0].GrantToken, DryRun: new(true)})
	fails(t, "dry run", err, "DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
	must(c.RetireGrant(ctx, &kms.RetireGrantInput{GrantToken: made[0].GrantToken}))(t)
	must(c.RetireGrant(ctx, &kms.RetireGrantInput{KeyId: key.Arn, GrantId: made[1].GrantId}))(t)
	must(c.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: key.KeyId, GrantId: made[2].GrantId}))(t)
	_, err = theirs.Encrypt(ctx, &kms.EncryptInput{KeyId: key.Arn, Plaintext: []byte(marker), EncryptionContext: map[string]string{"a": "1"}})
	fails(t, "without a grant", err, "AccessDeniedException", "User: "+grantee+" is not authorized to perform: kms:Encrypt on resource: "+*key.Arn+" because no resource-based policy allows the kms:Encrypt action")
	_, err = c.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: key.KeyId, GrantId: made[2].GrantId})
	fails(t, "revoked twice", err, "NotFoundException", "*")
}

func walkImport(t *testing.T, h *host) {
	c := h.kms("eu-west-1")
	key := must(c.CreateKey(ctx, &kms.CreateKeyInput{Origin: types.OriginTypeExternal}))(t).KeyMetadata
	check.Equal(t, "state of a key without material", key.KeyState, types.KeyStatePendingImport)
	material := make([]byte, 32)
	rand.Read(material)
	h.secret(string(material), "imported material")
	bring := func(in kms.ImportKeyMaterialInput) *kms.ImportKeyMaterialOutput {
		t.Helper()
		p := must(c.GetParametersForImport(ctx, &kms.GetParametersForImportInput{KeyId: key.KeyId, WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048}))(t)
		wrapping := must(x509.ParsePKIXPublicKey(p.PublicKey))(t).(*rsa.PublicKey)
		in.KeyId, in.ImportToken = key.KeyId, p.ImportToken
		in.EncryptedKeyMaterial = must(rsa.EncryptOAEP(sha256.New(), rand.Reader, wrapping, material, nil))(t)
		return must(c.ImportKeyMaterial(ctx, &in))(t)
	}
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	first := bring(kms.ImportKeyMaterialInput{ValidTo: &until})
	meta := must(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.KeyId}))(t).KeyMetadata
	check.Equal(t, "imported", fmt.Sprintln(meta.KeyState, meta.ExpirationModel, meta.ValidTo.Equal(until), *meta.CurrentKeyMaterialId == *first.KeyMaterialId), "Enabled KEY_MATERIAL_EXPIRES true true\n")
	blob := must(c.Encrypt(ctx, &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte(marker)}))(t).CiphertextBlob
	deleted := must(c.DeleteImportedKeyMaterial(ctx, &kms.DeleteImportedKeyMaterialInput{KeyId: key.KeyId}))(t)
	check.Equal(t, "deleted", *deleted.KeyMaterialId, *first.KeyMaterialId)
	_, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob})
	fails(t, "without its material", err, "KMSInvalidStateException", *key.Arn+" is pending import.")
	again := bring(kms.ImportKeyMaterialInput{ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire})
	check.Equal(t, "material id", *again.KeyMaterialId, *first.KeyMaterialId)
	check.Equal(t, "decrypted", string(must(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob}))(t).Plaintext), marker)
	rotations := must(c.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{KeyId: key.KeyId, IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial}))(t).Rotations
	check.Equal(t, "materials", len(rotations) == 1 && rotations[0].ImportState == types.ImportStateImported && rotations[0].KeyMaterialState == types.KeyMaterialStateCurrent, true)
}

func walkRegions(t *testing.T, h *host) {
	here, there := h.kms("eu-west-1"), h.kms("us-east-1")
	key := must(here.CreateKey(ctx, &kms.CreateKeyInput{MultiRegion: new(true)}))(t).KeyMetadata
	id := key.KeyId
	replica := must(here.ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: id, ReplicaRegion: new("us-east-1"), Tags: []types.Tag{{TagKey: new("a"), TagValue: new("b")}}}))(t)
	check.Equal(t, "replica", fmt.Sprintln(*replica.ReplicaKeyMetadata.KeyId, replica.ReplicaKeyMetadata.KeyState, len(replica.ReplicaTags), *replica.ReplicaPolicy != ""), *id+" Creating 1 true\n")
	blob := must(here.Encrypt(ctx, &kms.EncryptInput{KeyId: id, Plaintext: []byte(marker)}))(t).CiphertextBlob
	check.Equal(t, "decrypted in the other region", string(must(there.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob}))(t).Plaintext), marker)
	must(here.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: id}))(t)
	blob = must(there.Encrypt(ctx, &kms.EncryptInput{KeyId: id, Plaintext: []byte(marker)}))(t).CiphertextBlob
	check.Equal(t, "decrypted after the rotation", string(must(here.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob}))(t).Plaintext), marker)
	must(here.UpdatePrimaryRegion(ctx, &kms.UpdatePrimaryRegionInput{KeyId: id, PrimaryRegion: new("us-east-1")}))(t)
	set := must(here.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: id}))(t).KeyMetadata.MultiRegionConfiguration
	check.Equal(t, "set", fmt.Sprintln(set.MultiRegionKeyType, *set.PrimaryKey.Region, *set.ReplicaKeys[0].Arn), "REPLICA us-east-1 "+*key.Arn+"\n")
	out := must(there.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: id}))(t)
	check.Equal(t, "primary key", out.KeyState == types.KeyStatePendingReplicaDeletion && out.DeletionDate == nil, true)
}
