package e2e_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"coffer/internal/coffertest/check"
)

// TestRegions: every region is a name space of its own in one process.
func TestRegions(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		arns := make(map[string]string)
		for _, region := range []string{"eu-west-1", "us-east-1", "ap-northeast-3", "xx-newplace-9"} {
			out := must(h.sm(region).CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: value(region), ClientRequestToken: token("t")}))(t)
			arns[region] = *out.ARN
			if !strings.Contains(*out.ARN, ":secretsmanager:"+region+":") {
				t.Errorf("ARN %s does not name %s", *out.ARN, region)
			}
		}
		for region, arn := range arns {
			got := must(h.sm(region).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("s")}))(t)
			check.Equal(t, "value in "+region, *got.SecretString, *value(region))
			list := must(h.sm(region).ListSecrets(ctx, &secretsmanager.ListSecretsInput{}))(t)
			check.Equal(t, "secrets in "+region, len(list.SecretList) == 1 && *list.SecretList[0].ARN == arn, true)
			_, err := h.sm("us-west-2").GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
			fails(t, "ARN from elsewhere", err, "ResourceNotFoundException", textNoSecret)
		}
		must(h.sm("eu-west-1").DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: new("s"), ForceDeleteWithoutRecovery: new(true)}))(t)
		must(h.sm("us-east-1").GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("s")}))(t)

		key := must(h.kms("eu-west-1").CreateKey(ctx, &kms.CreateKeyInput{}))(t)
		_, err := h.kms("us-east-1").DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.KeyMetadata.Arn})
		fails(t, "key ARN from elsewhere", err, "NotFoundException", "Invalid arn eu-west-1")
		_, err = h.kms("us-east-1").DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.KeyMetadata.KeyId})
		fails(t, "key id from elsewhere", err, "NotFoundException", "Key 'arn:aws:kms:us-east-1:"+h.Credentials.Account+":key/"+*key.KeyMetadata.KeyId+"' does not exist")
	})
}

// TestAccounts: another account's root sees nothing, not even what exists.
func TestAccounts(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		a, b := h.sm("eu-west-1"), h.account(t, "b")
		smB, kmsB := h.smAs("eu-west-1", b), h.kmsAs("eu-west-1", b)
		made := must(a.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: value("of a")}))(t)
		must(smB.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: value("of b")}))(t)
		for _, c := range []struct {
			sm   *secretsmanager.Client
			want string
		}{{a, "of a"}, {smB, "of b"}} {
			got := must(c.sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("s")}))(t)
			check.Equal(t, "a bare name is the caller's own", *got.SecretString, *value(c.want))
			list := must(c.sm.ListSecrets(ctx, &secretsmanager.ListSecretsInput{}))(t)
			check.Equal(t, "secrets listed "+c.want, len(list.SecretList), 1)
		}

		// A's existing full ARN, one with another suffix, an existing partial ARN and
		// a missing one: B must not be able to tell them apart.
		full := *made.ARN
		partial := full[:len(full)-len("-abcdef")]
		policy := `{"Version":"2012-10-17","Statement":[]}`
		for _, id := range []string{full, full[:len(full)-6] + "zzzzzz", partial, partial + "-missing"} {
			denied := func(action string) string {
				return "User: arn:aws:iam::" + b.Account + ":root is not authorized to perform: secretsmanager:" + action + " on resource: " + id +
					" because no resource-based policy allows the secretsmanager:" + action + " action"
			}
			for action, call := range map[string]func() error{
				"GetSecretValue": func() error { return smCalls{smB}.get(id) },
				"DescribeSecret": func() error {
					_, err := smB.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &id})
					return err
				},
				"PutSecretValue": func() error {
					return smCalls{smB}.put(secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: value("x")})
				},
				"UpdateSecret": func() error {
					return smCalls{smB}.update(secretsmanager.UpdateSecretInput{SecretId: &id, Description: new("x")})
				},
				"DeleteSecret": func() error {
					_, err := smB.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &id, ForceDeleteWithoutRecovery: new(true)})
					return err
				},
				"RestoreSecret": func() error {
					_, err := smB.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: &id})
					return err
				},
				"ListSecretVersionIds": func() error {
					_, err := smB.ListSecretVersionIds(ctx, &secretsmanager.ListSecretVersionIdsInput{SecretId: &id})
					return err
				},
				"UpdateSecretVersionStage": func() error {
					_, err := smB.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{SecretId: &id, VersionStage: new("x"), MoveToVersionId: made.VersionId})
					return err
				},
				"GetResourcePolicy": func() error {
					_, err := smB.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: &id})
					return err
				},
				"PutResourcePolicy": func() error {
					_, err := smB.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: &id, ResourcePolicy: &policy})
					return err
				},
				"DeleteResourcePolicy": func() error {
					_, err := smB.DeleteResourcePolicy(ctx, &secretsmanager.DeleteResourcePolicyInput{SecretId: &id})
					return err
				},
				"ValidateResourcePolicy": func() error {
					_, err := smB.ValidateResourcePolicy(ctx, &secretsmanager.ValidateResourcePolicyInput{SecretId: &id, ResourcePolicy: &policy})
					return err
				},
				"TagResource": func() error {
					_, err := smB.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: &id, Tags: []types.Tag{{Key: new("a"), Value: new("b")}}})
					return err
				},
				"UntagResource": func() error {
					_, err := smB.UntagResource(ctx, &secretsmanager.UntagResourceInput{SecretId: &id, TagKeys: []string{"a"}})
					return err
				},
			} {
				fails(t, action+" on "+id, call(), "AccessDeniedException", denied(action))
			}
			batch := must(smB.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{id}}))(t)
			if len(batch.Errors) != 1 || *batch.Errors[0].ErrorCode != "AccessDeniedException" || *batch.Errors[0].Message != denied("GetSecretValue") {
				t.Errorf("batch on %s: %v", id, batch.Errors)
			}
		}

		// KMS: the same, for keys and aliases.
		key := must(h.kms("eu-west-1").CreateKey(ctx, &kms.CreateKeyInput{}))(t).KeyMetadata
		must(h.kms("eu-west-1").CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/a"), TargetKeyId: key.KeyId}))(t)
		blob := must(h.kms("eu-west-1").Encrypt(ctx, &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte(marker)}))(t)
		keyARN := *key.Arn
		for _, id := range []string{keyARN, keyARN[:len(keyARN)-12] + "000000000000"} {
			for action, call := range map[string]func() error{
				"DescribeKey": func() error { _, err := kmsB.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id}); return err },
				"Encrypt": func() error {
					_, err := kmsB.Encrypt(ctx, &kms.EncryptInput{KeyId: &id, Plaintext: []byte(marker)})
					return err
				},
				"GetKeyPolicy": func() error { _, err := kmsB.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &id}); return err },
				"DisableKey":   func() error { _, err := kmsB.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &id}); return err },
			} {
				fails(t, action+" on "+id, call(), "AccessDeniedException", "User: arn:aws:iam::"+b.Account+":root is not authorized to perform: kms:"+action+" on resource: "+id+
					" because no resource-based policy allows the kms:"+action+" action")
			}
		}
		_, err := kmsB.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob.CiphertextBlob})
		// As for a blob of a key that does not exist (kms.md §4): it tells nothing of whether the key exists.
		const text = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."
		fails(t, "decrypt another's blob", err, "AccessDeniedException", text)
		_, err = h.kms("eu-west-2").Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob.CiphertextBlob})
		fails(t, "decrypt a blob of elsewhere", err, "AccessDeniedException", text)
		// A secret of B's under A's key.
		err = smCalls{smB}.create(secretsmanager.CreateSecretInput{Name: new("t"), SecretString: value("t"), KmsKeyId: key.Arn})
		fails(t, "another's key", err, "AccessDeniedException", "Access to KMS is not allowed")
	})
}
