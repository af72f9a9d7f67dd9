package e2e_test

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	kmsapi "coffer/internal/api/kms"
	"coffer/internal/coffertest/check"
)

// TestKMS walks through every served operation and looks at the answers.
func TestKMS(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		c := h.kms("eu-west-1")
		account := h.Credentials.Account
		plain := []byte(marker)

		meta := must(c.CreateKey(ctx, &kms.CreateKeyInput{Description: new("mine"), Tags: []types.Tag{{TagKey: new("a"), TagValue: new("b")}}}))(t).KeyMetadata
		id, arn := meta.KeyId, *meta.Arn
		check.Equal(t, "Arn", arn, "arn:aws:kms:eu-west-1:"+account+":key/"+*id)
		check.Equal(t, "AWSAccountId", *meta.AWSAccountId, account)
		check.Equal(t, "Description", *meta.Description, "mine")
		check.Equal(t, "Enabled", meta.Enabled, true)
		check.Equal(t, "states", fmt.Sprintln(meta.KeyState, meta.KeyManager, meta.KeyUsage, meta.KeySpec, meta.Origin, meta.EncryptionAlgorithms, *meta.MultiRegion),
			"Enabled CUSTOMER ENCRYPT_DECRYPT SYMMETRIC_DEFAULT AWS_KMS [SYMMETRIC_DEFAULT] false\n")
		check.Equal(t, "CurrentKeyMaterialId", regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(*meta.CurrentKeyMaterialId), true)
		check.Equal(t, "DeletionDate", meta.DeletionDate == nil, true)

		// Aliases: every form of key identifier names the same key.
		must(c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/app"), TargetKeyId: id}))(t)
		for _, form := range []string{*id, arn, "alias/app", "arn:aws:kms:eu-west-1:" + account + ":alias/app"} {
			d := must(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &form}))(t)
			check.Equal(t, "key found by "+form, *d.KeyMetadata.Arn, arn)
			enc := must(c.Encrypt(ctx, &kms.EncryptInput{KeyId: &form, Plaintext: plain}))(t)
			check.Equal(t, "KeyId is the ARN whatever was asked", *enc.KeyId, arn)
			dec := must(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: enc.CiphertextBlob, KeyId: &form}))(t)
			check.Equal(t, "decrypted", bytes.Equal(dec.Plaintext, plain), true)
			check.Equal(t, "Decrypt", fmt.Sprint(*dec.KeyId, dec.EncryptionAlgorithm, *dec.KeyMaterialId), fmt.Sprint(arn, "SYMMETRIC_DEFAULT", *meta.CurrentKeyMaterialId))
		}

		context := map[string]string{"a": "1", "b": "2"}
		for _, in := range []kms.GenerateDataKeyInput{{KeySpec: types.DataKeySpecAes256}, {KeySpec: types.DataKeySpecAes128}, {NumberOfBytes: new(int32(1024))}} {
			in.KeyId, in.EncryptionContext = id, context
			out := must(c.GenerateDataKey(ctx, &in))(t)
			h.secret(string(out.Plaintext), "a data key")
			dec := must(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob, EncryptionContext: context}))(t)
			check.Equal(t, "data key", bytes.Equal(dec.Plaintext, out.Plaintext), true)
		}
		without := must(c.GenerateDataKeyWithoutPlaintext(ctx, &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: id, KeySpec: types.DataKeySpecAes256}))(t)
		key := must(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: without.CiphertextBlob}))(t)
		h.secret(string(key.Plaintext), "a data key")
		check.Equal(t, "its size", len(key.Plaintext), 32)
		random := must(c.GenerateRandom(ctx, &kms.GenerateRandomInput{NumberOfBytes: new(int32(32))}))(t)
		h.secret(string(random.Plaintext), "random bytes")

		other := must(c.CreateKey(ctx, &kms.CreateKeyInput{}))(t).KeyMetadata
		blob := must(c.Encrypt(ctx, &kms.EncryptInput{KeyId: id, Plaintext: plain, EncryptionContext: context}))(t).CiphertextBlob
		re := must(c.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: blob, SourceEncryptionContext: context, DestinationKeyId: other.KeyId}))(t)
		check.Equal(t, "ReEncrypt", fmt.Sprintln(*re.SourceKeyId, *re.KeyId, re.SourceEncryptionAlgorithm, re.DestinationEncryptionAlgorithm), fmt.Sprintln(arn, *other.Arn, "SYMMETRIC_DEFAULT SYMMETRIC_DEFAULT"))
		check.Equal(t, "re-encrypted", bytes.Equal(must(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: re.CiphertextBlob}))(t).Plaintext, plain), true)

		// Rotation: old ciphertexts keep decrypting, with the old material.
		must(c.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: id, RotationPeriodInDays: new(int32(90))}))(t)
		status := must(c.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: id}))(t)
		check.Equal(t, "rotation status", status.KeyRotationEnabled && *status.RotationPeriodInDays == 90, true)
		if in := time.Until(*status.NextRotationDate); in < 89*24*time.Hour || in > 90*24*time.Hour {
			t.Errorf("NextRotationDate in %s", in)
		}
		must(c.DisableKeyRotation(ctx, &kms.DisableKeyRotationInput{KeyId: id}))(t)
		status = must(c.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: id}))(t)
		check.Equal(t, "rotation off", !status.KeyRotationEnabled && status.NextRotationDate == nil && status.RotationPeriodInDays == nil, true)
		rotated := must(c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: id}))(t)
		check.Equal(t, "RotateKeyOnDemand KeyId", *rotated.KeyId, arn)
		now := must(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: id}))(t).KeyMetadata
		check.Equal(t, "the material changed", *now.CurrentKeyMaterialId != *meta.CurrentKeyMaterialId, true)
		old := must(c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: context}))(t)
		check.Equal(t, "the old ciphertext, the old material", bytes.Equal(old.Plaintext, plain) && *old.KeyMaterialId == *meta.CurrentKeyMaterialId, true)
		rotations := must(c.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{KeyId: id}))(t).Rotations
		check.Equal(t, "rotations", len(rotations) == 1 && rotations[0].RotationType == types.RotationTypeOnDemand, true)

		must(c.UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: new("alias/app"), TargetKeyId: other.KeyId}))(t)
		aliases := must(c.ListAliases(ctx, &kms.ListAliasesInput{KeyId: other.KeyId}))(t).Aliases
		check.Equal(t, "alias moved", len(aliases) == 1 && *aliases[0].AliasName == "alias/app" && *aliases[0].TargetKeyId == *other.KeyId && *aliases[0].AliasArn == "arn:aws:kms:eu-west-1:"+account+":alias/app", true)
		must(c.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: new("alias/app")}))(t)

		must(c.TagResource(ctx, &kms.TagResourceInput{KeyId: id, Tags: []types.Tag{{TagKey: new("c"), TagValue: new("d")}}}))(t)
		must(c.UntagResource(ctx, &kms.UntagResourceInput{KeyId: id, TagKeys: []string{"a", "never there"}}))(t)
		tags := must(c.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: id}))(t).Tags
		check.Equal(t, "tags", len(tags) == 1 && *tags[0].TagKey == "c" && *tags[0].TagValue == "d", true)
		must(c.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionInput{KeyId: id, Description: new("changed")}))(t)
		check.Equal(t, "description", *must(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: id}))(t).KeyMetadata.Description, "changed")

		policy := must(c.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: id}))(t)
		for _, part := range []string{"key-default-1", "Enable IAM User Permissions", "arn:aws:iam::" + account + ":root", "kms:*"} {
			check.Equal(t, "default policy has "+part, strings.Contains(*policy.Policy, part), true)
		}
		must(c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: id, Policy: new(strings.Replace(*policy.Policy, "key-default-1", "mine", 1)), PolicyName: new("default")}))(t)
		check.Equal(t, "policy", strings.Contains(*must(c.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: id}))(t).Policy, "mine"), true)
		check.Equal(t, "policy names", strings.Join(must(c.ListKeyPolicies(ctx, &kms.ListKeyPoliciesInput{KeyId: id}))(t).PolicyNames, ","), "default")

		// Keys a page at a time.
		var keys []string
		in := &kms.ListKeysInput{Limit: new(int32(1))}
		for {
			page := must(c.ListKeys(ctx, in))(t)
			for _, k := range page.Keys {
				keys = append(keys, *k.KeyArn)
			}
			if !page.Truncated {
				break
			}
			in.Marker = page.NextMarker
		}
		want := []string{arn, *other.Arn}
		slices.Sort(want)
		slices.Sort(keys)
		check.Equal(t, "keys", strings.Join(keys, " "), strings.Join(want, " "))

		must(c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: id}))(t)
		check.Equal(t, "disabled", must(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: id}))(t).KeyMetadata.KeyState, types.KeyStateDisabled)
		must(c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: id}))(t)
		going := must(c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: id, PendingWindowInDays: new(int32(7))}))(t)
		check.Equal(t, "ScheduleKeyDeletion", fmt.Sprintln(*going.KeyId, going.KeyState, *going.PendingWindowInDays), arn+" PendingDeletion 7\n")
		d := must(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: id}))(t).KeyMetadata
		check.Equal(t, "pending", d.KeyState == types.KeyStatePendingDeletion && d.DeletionDate.Equal(*going.DeletionDate) && !d.Enabled, true)
		back := must(c.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: id}))(t)
		check.Equal(t, "CancelKeyDeletion KeyId", *back.KeyId, arn)
		check.Equal(t, "back, but disabled", must(c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: id}))(t).KeyMetadata.KeyState, types.KeyStateDisabled)

		walkGrants(t, h)
		walkKeyKinds(t, h)
		h.allServed(t, kmsapi.Service)
	})
}

// TestKMSRules: the refusals of kms.md.
func TestKMSRules(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		c := h.kms("eu-west-1")
		account := h.Credentials.Account
		key := must(c.CreateKey(ctx, &kms.CreateKeyInput{}))(t).KeyMetadata
		other := must(c.CreateKey(ctx, &kms.CreateKeyInput{}))(t).KeyMetadata
		id, arn := key.KeyId, *key.Arn
		plain := []byte(marker)
		blob := must(c.Encrypt(ctx, &kms.EncryptInput{KeyId: id, Plaintext: plain, EncryptionContext: map[string]string{"a": "1"}}))(t).CiphertextBlob
		right := map[string]string{"a": "1"}

		describe := func(id string) error {
			_, err := c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id})
			return err
		}
		create := func(in kms.CreateKeyInput) error { _, err := c.CreateKey(ctx, &in); return err }
		encrypt := func(in kms.EncryptInput) error { in.KeyId = id; _, err := c.Encrypt(ctx, &in); return err }
		decrypt := func(in kms.DecryptInput) error { _, err := c.Decrypt(ctx, &in); return err }
		dataKey := func(in kms.GenerateDataKeyInput) error {
			in.KeyId = id
			out, err := c.GenerateDataKey(ctx, &in)
			if err == nil {
				h.secret(string(out.Plaintext), "a data key")
			}
			return err
		}
		alias := func(name, key string) error {
			_, err := c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &key})
			return err
		}
		enable := func(k string) error { _, err := c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &k}); return err }
		disable := func(k string) error { _, err := c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &k}); return err }
		schedule := func(days int32) error {
			_, err := c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: id, PendingWindowInDays: &days})
			return err
		}
		cancel := func() error {
			_, err := c.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: id})
			return err
		}
		rotate := func() error {
			_, err := c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: id})
			return err
		}
		tag := func(kv ...string) error {
			in := &kms.TagResourceInput{KeyId: id}
			for i := 0; i < len(kv); i += 2 {
				in.Tags = append(in.Tags, types.Tag{TagKey: &kv[i], TagValue: &kv[i+1]})
			}
			_, err := c.TagResource(ctx, in)
			return err
		}
		policy := func(doc, name string, bypass bool) error {
			_, err := c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: id, Policy: &doc, PolicyName: &name, BypassPolicyLockoutSafetyCheck: bypass})
			return err
		}
		damaged := slices.Clone(blob)
		damaged[len(damaged)-1] ^= 1
		const (
			notFound, invalid = "NotFoundException", "ValidationException"
			ciphertext        = "InvalidCiphertextException"
			state             = "KMSInvalidStateException"
			prefix            = `Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`
		)
		refuses(t, []rule{
			// Identifiers (§2).
			{"no such key", describe("00000000-0000-0000-0000-000000000000"), notFound, "Key 'arn:aws:kms:eu-west-1:" + account + ":key/00000000-0000-0000-0000-000000000000' does not exist"},
			{"no id", describe("fake"), notFound, "Invalid keyId 'fake'"},
			{"UUID without dashes", describe(strings.ReplaceAll(*id, "-", "")), notFound, "Invalid keyId '" + strings.ReplaceAll(*id, "-", "") + "'"},
			{"mrk-fake", describe("mrk-fake"), notFound, "Invalid keyId 'mrk-fake'"},
			{"another region", describe(strings.Replace(arn, "eu-west-1", "us-east-1", 1)), notFound, "Invalid arn us-east-1"},
			{"no such alias", describe("alias/nobody"), notFound, "Alias arn:aws:kms:eu-west-1:" + account + ":alias/nobody is not found."},
			{"no alias in management", enable("alias/nobody"), notFound, "Invalid keyId 'alias/nobody'"},
			// Kinds of key (§3).
			{"RSA without usage", create(kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048}), invalid, "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."},
			{"RSA for agreement", create(kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeKeyAgreement}), invalid, "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048"},
			{"unknown spec", create(kms.CreateKeyInput{KeySpec: "ROT13"}), invalid, "1 validation error detected: Value 'ROT13' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: *"},
			{"aws: tag", create(kms.CreateKeyInput{Tags: []types.Tag{{TagKey: new("AWS:x"), TagValue: new("")}}}), "TagException", "Tags beginning with aws: are reserved"},
			// Cryptography (§4).
			{"4096 bytes", encrypt(kms.EncryptInput{Plaintext: bytes.Repeat([]byte("x"), 4096)}), "", ""},
			{"4097 bytes", encrypt(kms.EncryptInput{Plaintext: bytes.Repeat([]byte("x"), 4097)}), invalid,
				"1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
			{"dry run", encrypt(kms.EncryptInput{Plaintext: plain, DryRun: new(true)}), "DryRunOperationException", "The request would have succeeded, but the DryRun option is set."},
			{"right context", decrypt(kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: right}), "", ""},
			{"wrong context", decrypt(kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"a": "2"}}), ciphertext, ""},
			{"context in other letters", decrypt(kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"A": "1"}}), ciphertext, ""},
			{"no context", decrypt(kms.DecryptInput{CiphertextBlob: blob}), ciphertext, ""},
			{"damaged", decrypt(kms.DecryptInput{CiphertextBlob: damaged, EncryptionContext: right}), ciphertext, ""},
			{"cut", decrypt(kms.DecryptInput{CiphertextBlob: blob[:20], EncryptionContext: right}), ciphertext, ""},
			{"foreign", decrypt(kms.DecryptInput{CiphertextBlob: []byte("not ours"), EncryptionContext: right}), ciphertext, ""},
			{"another key", decrypt(kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: right, KeyId: other.KeyId}), "IncorrectKeyException",
				"The key ID in the request does not identify a CMK that can perform this operation."},
			{"data key of neither", dataKey(kms.GenerateDataKeyInput{}), invalid, "Please specify either number of bytes or key spec."},
			{"data key of both", dataKey(kms.GenerateDataKeyInput{KeySpec: types.DataKeySpecAes256, NumberOfBytes: new(int32(1))}), invalid, "Please specify either number of bytes or key spec."},
			{"data key of 1025", dataKey(kms.GenerateDataKeyInput{NumberOfBytes: new(int32(1025))}), invalid, "1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024"},
			{"random of nothing", func() error { _, err := c.GenerateRandom(ctx, &kms.GenerateRandomInput{}); return err }(), invalid, "NumberOfBytes is required."},
			// Aliases (§5).
			{"no prefix", alias("app", *id), invalid, prefix},
			{"reserved", alias("alias/aws/mine", *id), "NotAuthorizedException", "UnknownError"}, // what the SDK makes of an empty message,
			{"alias", alias("alias/app", *id), "", ""},
			{"alias twice", alias("alias/app", *other.KeyId), "AlreadyExistsException", "An alias with the name arn:aws:kms:eu-west-1:" + account + ":alias/app already exists"},
			{"alias of 257", alias("alias/"+strings.Repeat("a", 251), *id), invalid, "1 validation error detected: *"},
			{"delete unknown alias", func() error {
				_, err := c.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: new("alias/nobody")})
				return err
			}(), notFound, "Alias arn:aws:kms:eu-west-1:" + account + ":alias/nobody is not found."},
			// Policies (§6).
			{"other policy name", policy(`{}`, "other", false), notFound, "No such policy exists"},
			{"lock-out", policy(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+account+`:root"},"Action":"kms:Encrypt","Resource":"*"}]}`, "default", false),
				"MalformedPolicyDocumentException", "The new key policy will not allow you to update the key policy in the future."},
			// Tags (§11).
			{"aws:", tag("aws:a", "b"), "TagException", "Tags beginning with aws: are reserved"},
			{"twice", tag("a", "1", "a", "2"), "TagException", "Duplicate tag keys"},
			{"key of 129", tag(strings.Repeat("a", 129), ""), invalid,
				violation(strings.Repeat("a", 129), "tags.1.member.tagKey", "have length less than or equal to 128")},
			// Pages (§12).
			{"marker", func() error { _, err := c.ListKeys(ctx, &kms.ListKeysInput{Marker: new("made up")}); return err }(), "InvalidMarkerException", "*"},
			{"limit", func() error { _, err := c.ListKeys(ctx, &kms.ListKeysInput{Limit: new(int32(1001))}); return err }(), invalid,
				"1 validation error detected: Value '1001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 1000"},
			// States (§3), in order.
			{"not pending", cancel(), state, arn + " is not pending deletion."},
			{"disable", disable(*id), "", ""},
			{"disable again", disable(*id), "", ""},
			{"encrypt when disabled", encrypt(kms.EncryptInput{Plaintext: plain}), "DisabledException", arn + " is disabled."},
			{"decrypt when disabled", decrypt(kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: right}), "DisabledException", arn + " is disabled."},
			{"rotate when disabled", rotate(), "DisabledException", arn + " is disabled."},
			{"describe when disabled", describe(*id), "", ""},
			{"6 days", schedule(6), invalid, "*"},
			{"31 days", schedule(31), invalid, "*"},
			{"30 days", schedule(30), "", ""},
			{"schedule again", schedule(30), state, arn + " is pending deletion."},
			{"encrypt when pending", encrypt(kms.EncryptInput{Plaintext: plain}), state, arn + " is pending deletion."},
			{"data key when pending", dataKey(kms.GenerateDataKeyInput{KeySpec: types.DataKeySpecAes256}), state, arn + " is pending deletion."},
			{"enable when pending", enable(*id), state, arn + " is pending deletion."},
			{"disable when pending", disable(*id), state, arn + " is pending deletion."},
			{"rotate when pending", rotate(), state, arn + " is pending deletion."},
			{"alias when pending", alias("alias/late", *id), state, arn + " is pending deletion."},
			{"describe when pending", describe(*id), "", ""},
			{"cancel", cancel(), "", ""},
			{"disabled after cancel", encrypt(kms.EncryptInput{Plaintext: plain}), "DisabledException", arn + " is disabled."},
			{"enable", enable(*id), "", ""},
			{"decrypt again", decrypt(kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: right}), "", ""},
		})
	})
}
