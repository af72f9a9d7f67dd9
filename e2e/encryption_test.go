package e2e_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/coffertest/check"
)

// TestEncryption: what the state of a KMS key means for secrets (spec §5.3, §5.6, §14).
func TestEncryption(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm, k := smCalls{h.sm("eu-west-1")}, h.kms("eu-west-1")
		one := must(k.CreateKey(ctx, &kms.CreateKeyInput{}))(t).KeyMetadata
		two := must(k.CreateKey(ctx, &kms.CreateKeyInput{}))(t).KeyMetadata
		must(k.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/one"), TargetKeyId: one.KeyId}))(t)
		id := new("s")
		const cannot = "Secrets Manager can't decrypt the protected secret text using the provided KMS key."
		reads := func(what, stage, want string) {
			t.Helper()
			got := must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: id, VersionStage: &stage}))(t)
			check.Equal(t, what, *got.SecretString, *value(want))
		}
		keys := func() string {
			var all []string
			for _, v := range must(sm.ListSecretVersionIds(ctx, &secretsmanager.ListSecretVersionIdsInput{SecretId: id, IncludeDeprecated: new(true)}))(t).Versions {
				all = append(all, strings.TrimRight(*v.VersionId, "-")+" "+v.KmsKeyIds[len(v.KmsKeyIds)-1])
			}
			return strings.NewReplacer(*one.Arn, "one", *two.Arn, "two", "DefaultEncryptionKey", "default").Replace(strings.Join(all, ", "))
		}

		// An identifier in any form; a key that cannot be used is noticed even
		// when there is no value to encrypt.
		refuses(t, []rule{
			{"no such key", sm.create(secretsmanager.CreateSecretInput{Name: id, KmsKeyId: new("alias/nobody")}), "InvalidParameterException", "*"},
			{"by alias", sm.create(secretsmanager.CreateSecretInput{Name: id, SecretString: value("v1"), KmsKeyId: new("alias/one"), ClientRequestToken: token("v1")}), "", ""},
			{"v2", sm.put(secretsmanager.PutSecretValueInput{SecretId: id, SecretString: value("v2"), ClientRequestToken: token("v2")}), "", ""},
			{"v3", sm.put(secretsmanager.PutSecretValueInput{SecretId: id, SecretString: value("v3"), ClientRequestToken: token("v3"), VersionStages: []string{"AWSPENDING"}}), "", ""},
			{"v4", sm.put(secretsmanager.PutSecretValueInput{SecretId: id, SecretString: value("v4"), ClientRequestToken: token("v4"), VersionStages: []string{"mine"}}), "", ""},
		})
		d := must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: id}))(t)
		check.Equal(t, "KmsKeyId", strings.HasSuffix(*d.KmsKeyId, "alias/one"), true)
		check.Equal(t, "all under one", keys(), "v1 one, v2 one, v3 one, v4 one")

		// New material; what is under the old one stays readable.
		must(k.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: one.KeyId}))(t)
		reads("under the old material", "AWSCURRENT", "v2")
		must(sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: id, SecretString: value("v5"), ClientRequestToken: token("v5")}))(t)
		reads("under the new material", "AWSCURRENT", "v5")
		reads("still", "AWSPREVIOUS", "v2")

		must(k.DisableKey(ctx, &kms.DisableKeyInput{KeyId: one.KeyId}))(t)
		refuses(t, []rule{
			{"read, disabled", sm.get("s"), "DecryptionFailure", cannot},
			{"write, disabled", sm.put(secretsmanager.PutSecretValueInput{SecretId: id, SecretString: value("v6")}), "EncryptionFailure", "*"},
			{"describe, disabled", func() error {
				_, err := sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: id})
				return err
			}(), "", ""},
		})
		batch := must(sm.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{"s"}}))(t)
		check.Equal(t, "batch, disabled", *batch.Errors[0].ErrorCode+": "+*batch.Errors[0].Message, "DecryptionFailure: "+cannot)
		must(k.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: one.KeyId}))(t)
		refuses(t, []rule{
			{"read, pending deletion", sm.get("s"), "DecryptionFailure", cannot},
			{"write, pending deletion", sm.put(secretsmanager.PutSecretValueInput{SecretId: id, SecretString: value("v6")}), "EncryptionFailure", "*"},
		})
		must(k.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: one.KeyId}))(t)
		must(k.EnableKey(ctx, &kms.EnableKeyInput{KeyId: one.KeyId}))(t)
		reads("enabled again", "AWSCURRENT", "v5")

		// Re-encryption: the service's own labels move to the new key, others stay
		// with the old one, and no version appears.
		changed := must(sm.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: id, KmsKeyId: two.Arn}))(t)
		check.Equal(t, "no new version", changed.VersionId == nil, true)
		// AWSPENDING went from v3 when v5 became current (spec §4), so v3 is deprecated and stays.
		check.Equal(t, "keys after the change", keys(), "v1 one, v2 two, v3 one, v4 one, v5 two")
		must(k.DisableKey(ctx, &kms.DisableKeyInput{KeyId: one.KeyId}))(t)
		reads("without the old key", "AWSCURRENT", "v5")
		reads("without the old key", "AWSPREVIOUS", "v2")
		refuses(t, []rule{
			{"a custom label without the old key", sm.version("s", nil, new("mine")), "DecryptionFailure", cannot},
			{"back to the default", sm.update(secretsmanager.UpdateSecretInput{SecretId: id, KmsKeyId: new("")}), "", ""},
		})
		check.Equal(t, "keys after going back", keys(), "v1 one, v2 default, v3 one, v4 one, v5 default")
		must(k.DisableKey(ctx, &kms.DisableKeyInput{KeyId: two.KeyId}))(t)
		reads("under the default key", "AWSCURRENT", "v5")
		d = must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: id}))(t)
		check.Equal(t, "KmsKeyId absent", d.KmsKeyId == nil, true)

		// The default key is AWS's: its owner cannot change it, nor decrypt past the service's context.
		managed := must(k.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: new("alias/aws/secretsmanager")}))(t).KeyMetadata
		check.Equal(t, "KeyManager", string(managed.KeyManager), "AWS")
		for what, err := range map[string]error{
			"disable": func() error { _, err := k.DisableKey(ctx, &kms.DisableKeyInput{KeyId: managed.KeyId}); return err }(),
			"schedule": func() error {
				_, err := k.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: managed.KeyId})
				return err
			}(),
		} {
			if err == nil {
				t.Errorf("%s of the AWS managed key succeeded", what)
			}
		}
		reads("after that", "AWSCURRENT", "v5")
	})
}
