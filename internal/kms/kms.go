// Package kms is AWS Key Management Service: keys, their aliases, policies,
// tags, rotation and deletion, imported material, multi-Region sets, and the
// cryptography of symmetric, asymmetric and HMAC keys.
//
// # Promises
//
//   - Whether a key exists is said only to those who may use or see it: what an
//     identifier names is looked up before authorization, and told after it.
//   - Key material stays in package material; plaintexts travel in
//     api.Sensitive members only, and copies made here are cleared.
//   - A ciphertext decrypts as long as its key exists, however often the key
//     was rotated since.
//   - A key whose waiting period is over is gone at that instant, and so is
//     imported material at its ValidTo; PurgeDue and ExpireDue remove what is left
//     soon after.
//   - The keys of a multi-Region set have the same material at every instant,
//     except for imported material, which is imported into each.
//   - A change of a key policy and a grant, made or withdrawn, is in force for the next call.
//   - A decision about a key without grants reads nothing about grants; about one with
//     grants, the at most 500 to each name the caller has, and only when policies do not
//     allow the call.
//
// Who may do what is decided outside: here it is said of a key what its policy, its grants and
// its condition keys are (target.access). In an operation that has no cross-account use
// in AWS, the key of another account has neither policy nor grants.
//
// # What it does not promise
//
// Custom key stores are refused in words. Grant tokens are checked for their form and
// otherwise needed for nothing but RetireGrant.
//
// # Rows
//
//	kms.key     account, region, key id      Key, with all its wrapped material
//	kms.alias   account, region, alias name  Alias
//	kms.policy  account, region, key id      Policy; apart because it is large
//	                                         and not needed to encrypt
//	kms.grant   account, region, key id, grantee, grant id  Grant
//
//	kms.alias.key   account, region, key id, alias name   the aliases of a key
//	kms.due.delete  time, account, region, key id         end of waiting periods
//	kms.due.rotate  time, account, region, key id         automatic rotations
//	kms.due.expire  time, account, region, key id         imported material
//	kms.grant.id        account, region, key id, grant id
//	kms.grant.retiring  principal, region, account, key id, grant id  who may retire it
//	kms.grant.same      account, region, key id, digest   grants with a name, by what they say
//
// Each key of a multi-Region set has rows of its own in its region, with the
// same key id (multiregion.go), and grants of its own.
package kms

import (
	"time"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/fault"
	"coffer/internal/material"
)

// Config says what the service works with.
type Config struct {
	Material *material.Store // required
}

// Service holds no state but its configuration. Safe for concurrent use.
type Service struct {
	material *material.Store
}

// New returns the service.
func New(cfg Config) *Service { return &Service{material: cfg.Material} }

// Operations is what the gateway serves.
func (s *Service) Operations() []api.Bound {
	return []api.Bound{
		// Keys.
		api.Preparing(api.Bind(kmsapi.CreateKey, resolveCreateKey, s.createKey), s.prepareCreateKey),
		api.Bind(kmsapi.DescribeKey, onKeyOrAlias(func(in *kmsapi.DescribeKeyInput) *string { return in.KeyId }), describeKey),
		api.Bind(kmsapi.ListKeys, onNothing[kmsapi.ListKeysInput], listKeys),
		api.Bind(kmsapi.EnableKey, onKey(func(in *kmsapi.EnableKeyInput) *string { return in.KeyId }), enableKey),
		api.Bind(kmsapi.DisableKey, onKey(func(in *kmsapi.DisableKeyInput) *string { return in.KeyId }), disableKey),
		api.Bind(kmsapi.UpdateKeyDescription, onKey(func(in *kmsapi.UpdateKeyDescriptionInput) *string { return in.KeyId }), updateKeyDescription),
		api.Bind(kmsapi.ScheduleKeyDeletion, onKey(func(in *kmsapi.ScheduleKeyDeletionInput) *string { return in.KeyId }), scheduleKeyDeletion),
		api.Bind(kmsapi.CancelKeyDeletion, onKey(func(in *kmsapi.CancelKeyDeletionInput) *string { return in.KeyId }), cancelKeyDeletion),

		// Cryptography.
		api.Bind(kmsapi.Encrypt, resolveEncrypt, s.encrypt),
		api.Bind(kmsapi.Decrypt, resolveDecrypt, s.decrypt),
		api.Bind(kmsapi.ReEncrypt, resolveReEncrypt, s.reEncrypt),
		api.Bind(kmsapi.GenerateDataKey, resolveGenerateDataKey, s.generateDataKey),
		api.Bind(kmsapi.GenerateDataKeyWithoutPlaintext, resolveGenerateDataKeyWithoutPlaintext, s.generateDataKeyWithoutPlaintext),
		api.Bind(kmsapi.GenerateRandom, resolveGenerateRandom, generateRandom),
		api.Preparing(api.Bind(kmsapi.GenerateDataKeyPair, resolveGenerateDataKeyPair, s.generateDataKeyPair),
			func(r *api.Request, in *kmsapi.GenerateDataKeyPairInput) error {
				return s.preparePair(r, *in.KeyPairSpec)
			}),
		api.Preparing(api.Bind(kmsapi.GenerateDataKeyPairWithoutPlaintext, resolveGenerateDataKeyPairWithoutPlaintext, s.generateDataKeyPairWithoutPlaintext),
			func(r *api.Request, in *kmsapi.GenerateDataKeyPairWithoutPlaintextInput) error {
				return s.preparePair(r, *in.KeyPairSpec)
			}),

		// Asymmetric and HMAC keys.
		api.Bind(kmsapi.GetPublicKey, onKeyOrAlias(func(in *kmsapi.GetPublicKeyInput) *string { return in.KeyId }), getPublicKey),
		api.Bind(kmsapi.Sign, onKeyOrAlias(func(in *kmsapi.SignInput) *string { return in.KeyId }), s.sign),
		api.Bind(kmsapi.Verify, onKeyOrAlias(func(in *kmsapi.VerifyInput) *string { return in.KeyId }), s.verify),
		api.Bind(kmsapi.DeriveSharedSecret, resolveDeriveSharedSecret, s.deriveSharedSecret),
		api.Bind(kmsapi.GenerateMac, onKeyOrAlias(func(in *kmsapi.GenerateMacInput) *string { return in.KeyId }), s.generateMac),
		api.Bind(kmsapi.VerifyMac, onKeyOrAlias(func(in *kmsapi.VerifyMacInput) *string { return in.KeyId }), s.verifyMac),

		// Imported material.
		api.Preparing(api.Bind(kmsapi.GetParametersForImport, onKey(func(in *kmsapi.GetParametersForImportInput) *string { return in.KeyId }), s.getParametersForImport), s.prepareParameters),
		api.Bind(kmsapi.ImportKeyMaterial, onKey(func(in *kmsapi.ImportKeyMaterialInput) *string { return in.KeyId }), s.importKeyMaterial),
		api.Bind(kmsapi.DeleteImportedKeyMaterial, onKey(func(in *kmsapi.DeleteImportedKeyMaterialInput) *string { return in.KeyId }), s.deleteImportedKeyMaterial),

		// Multi-Region keys.
		api.Bind(kmsapi.ReplicateKey, resolveReplicateKey, s.replicateKey),
		api.Bind(kmsapi.UpdatePrimaryRegion, resolveUpdatePrimaryRegion, updatePrimaryRegion),

		// Aliases.
		api.Bind(kmsapi.CreateAlias, resolveCreateAlias, createAlias),
		api.Bind(kmsapi.UpdateAlias, resolveUpdateAlias, updateAlias),
		api.Bind(kmsapi.DeleteAlias, resolveDeleteAlias, deleteAlias),
		api.Bind(kmsapi.ListAliases, onNothing[kmsapi.ListAliasesInput], listAliases),

		// Grants.
		api.Bind(kmsapi.CreateGrant, resolveCreateGrant, createGrant),
		api.Bind(kmsapi.ListGrants, onKey(func(in *kmsapi.ListGrantsInput) *string { return in.KeyId }), listGrants),
		api.Bind(kmsapi.ListRetirableGrants, onNothing[kmsapi.ListRetirableGrantsInput], listRetirableGrants),
		api.Bind(kmsapi.RetireGrant, resolveRetireGrant, retireGrant),
		api.Bind(kmsapi.RevokeGrant, onKey(func(in *kmsapi.RevokeGrantInput) *string { return in.KeyId }), revokeGrant),

		// Policies.
		api.Bind(kmsapi.GetKeyPolicy, onKey(func(in *kmsapi.GetKeyPolicyInput) *string { return in.KeyId }), getKeyPolicy),
		api.Bind(kmsapi.PutKeyPolicy, onKey(func(in *kmsapi.PutKeyPolicyInput) *string { return in.KeyId }), putKeyPolicy),
		api.Bind(kmsapi.ListKeyPolicies, onKey(func(in *kmsapi.ListKeyPoliciesInput) *string { return in.KeyId }), listKeyPolicies),

		// Rotation.
		api.Bind(kmsapi.EnableKeyRotation, onKey(func(in *kmsapi.EnableKeyRotationInput) *string { return in.KeyId }), enableKeyRotation),
		api.Bind(kmsapi.DisableKeyRotation, onKey(func(in *kmsapi.DisableKeyRotationInput) *string { return in.KeyId }), disableKeyRotation),
		api.Bind(kmsapi.GetKeyRotationStatus, onKey(func(in *kmsapi.GetKeyRotationStatusInput) *string { return in.KeyId }), getKeyRotationStatus),
		api.Bind(kmsapi.RotateKeyOnDemand, onKey(func(in *kmsapi.RotateKeyOnDemandInput) *string { return in.KeyId }), s.rotateKeyOnDemand),
		api.Bind(kmsapi.ListKeyRotations, onKey(func(in *kmsapi.ListKeyRotationsInput) *string { return in.KeyId }), listKeyRotations),

		// Tags.
		api.Bind(kmsapi.TagResource, resolveTagResource, tagResource),
		api.Bind(kmsapi.UntagResource, resolveUntagResource, untagResource),
		api.Bind(kmsapi.ListResourceTags, onKey(func(in *kmsapi.ListResourceTagsInput) *string { return in.KeyId }), listResourceTags),
	}
}

// Tasks is the work that time brings.
func (s *Service) Tasks() []api.Task {
	return []api.Task{
		{Name: "kms.rotate", Service: kmsapi.Service, Every: 10 * time.Minute, Run: s.RotateDue},
		{Name: "kms.expire", Service: kmsapi.Service, Every: time.Minute, Run: s.ExpireDue},
		{Name: "kms.purge", Service: kmsapi.Service, Every: 10 * time.Minute, Run: s.PurgeDue},
	}
}

// onNothing resolves operations that are about no key.
func onNothing[I any](r *api.Request, _ *I) (struct{}, api.Access, error) {
	return struct{}{}, api.Access{Account: r.Account}, nil
}

// constraint is a failure in the grammar of the model's own constraints
// (wire.md, section 2), for limits that the model does not have.
func constraint(subject, failure string) error {
	return api.ValidationException("1 validation error detected: Value " + subject + " failed to satisfy constraint: Member must " + failure)
}

// notAuthorized is what reserved aliases answer. It stands in no model, and
// AWS sends it without a text.
func notAuthorized() error { return fault.New(fault.Denied, "NotAuthorizedException", "") }
