package kms

import (
	"errors"
	"fmt"
	"slices"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/material"
)

// keySpec is what KMS says of a spec and a usage that fit each other ("Key spec
// reference", KMS developer guide).
type keySpec struct{ spec, usage string }

var (
	rsaEncryption = []string{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}
	rsaSignatures = []string{
		"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
		"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
	}
	ecdh  = []string{"ECDH"}
	mldsa = []string{"ML_DSA_SHAKE_256"}
)

// specs lists the algorithms of every spec with every usage it can have.
var specs = map[keySpec][]string{
	{"SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"}: {"SYMMETRIC_DEFAULT"},
	{"RSA_2048", "ENCRYPT_DECRYPT"}:          rsaEncryption,
	{"RSA_3072", "ENCRYPT_DECRYPT"}:          rsaEncryption,
	{"RSA_4096", "ENCRYPT_DECRYPT"}:          rsaEncryption,
	{"RSA_2048", "SIGN_VERIFY"}:              rsaSignatures,
	{"RSA_3072", "SIGN_VERIFY"}:              rsaSignatures,
	{"RSA_4096", "SIGN_VERIFY"}:              rsaSignatures,
	{"ECC_NIST_P256", "SIGN_VERIFY"}:         {"ECDSA_SHA_256"},
	{"ECC_NIST_P384", "SIGN_VERIFY"}:         {"ECDSA_SHA_384"},
	{"ECC_NIST_P521", "SIGN_VERIFY"}:         {"ECDSA_SHA_512"},
	{"ECC_NIST_P256", "KEY_AGREEMENT"}:       ecdh,
	{"ECC_NIST_P384", "KEY_AGREEMENT"}:       ecdh,
	{"ECC_NIST_P521", "KEY_AGREEMENT"}:       ecdh,
	{"ECC_SECG_P256K1", "SIGN_VERIFY"}:       {"ECDSA_SHA_256"},
	{"ECC_NIST_EDWARDS25519", "SIGN_VERIFY"}: {"ED25519_PH_SHA_512", "ED25519_SHA_512"},
	{"ML_DSA_44", "SIGN_VERIFY"}:             mldsa,
	{"ML_DSA_65", "SIGN_VERIFY"}:             mldsa,
	{"ML_DSA_87", "SIGN_VERIFY"}:             mldsa,
	{"HMAC_224", "GENERATE_VERIFY_MAC"}:      {"HMAC_SHA_224"},
	{"HMAC_256", "GENERATE_VERIFY_MAC"}:      {"HMAC_SHA_256"},
	{"HMAC_384", "GENERATE_VERIFY_MAC"}:      {"HMAC_SHA_384"},
	{"HMAC_512", "GENERATE_VERIFY_MAC"}:      {"HMAC_SHA_512"},
	{"SM2", "ENCRYPT_DECRYPT"}:               {"SM2PKE"},
	{"SM2", "SIGN_VERIFY"}:                   {"SM2DSA"},
	{"SM2", "KEY_AGREEMENT"}:                 ecdh,
}

// algorithms are those of a key if it is of the usage that is asked for.
func algorithms(spec, usage, asked string) []string {
	if usage != asked {
		return nil
	}
	return specs[keySpec{spec, usage}]
}

// rsaBits is the length of an RSA key.
var rsaBits = map[string]int{"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}

// asymmetric reports whether the key is a pair.
func (k *Key) asymmetric() bool {
	return k.Spec != symmetricSpec && k.Usage != kmsapi.KeyUsageTypeGenerateVerifyMac
}

// fits refuses a usage that is not the key's, and an algorithm that is not for
// its spec.
func (k *Key) fits(r *api.Request, usage, algorithm string) error {
	if k.Usage != usage {
		return kmsapi.InvalidKeyUsageException(k.ARN + " key usage is " + k.Usage + " which is not valid for " + r.Op.Name + ".")
	}
	if !slices.Contains(specs[keySpec{k.Spec, k.Usage}], algorithm) {
		return kmsapi.InvalidKeyUsageException("Algorithm " + algorithm + " is incompatible with key spec " + k.Spec + ".")
	}
	return nil
}

// forAlgorithm is found for operations that use a key by an algorithm.
func (t *target) forAlgorithm(r *api.Request, usage, algorithm string) (*Key, error) {
	k, err := t.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	if err := k.usable(); err != nil {
		return nil, err
	}
	return k, k.fits(r, usage, algorithm)
}

// translateSigning is translate for signatures and the like.
func translateSigning(err error, algorithm, messageType string) error {
	switch {
	case errors.Is(err, material.ErrDigestSize):
		return api.ValidationException("Digest is invalid length for algorithm " + algorithm + ".")
	case errors.Is(err, material.ErrMessageType):
		return api.ValidationException("MessageType " + messageType + " is incompatible with algorithm " + algorithm + ".")
	case errors.Is(err, material.ErrInvalidSignature):
		return kmsapi.KMSInvalidSignatureException("")
	case errors.Is(err, material.ErrUnverifiable):
		return kmsapi.UnsupportedOperationException("Verify does not take MessageType " + messageType + ": give the message itself as RAW.")
	}
	return err
}

// messageType is RAW if it is not given.
func messageType(given *string) string {
	if given == nil {
		return kmsapi.MessageTypeRaw
	}
	return *given
}

func (s *Service) sign(r *api.Request, in *kmsapi.SignInput, t target) (*kmsapi.SignOutput, error) {
	k, err := t.forAlgorithm(r, kmsapi.KeyUsageTypeSignVerify, *in.SigningAlgorithm)
	if err != nil {
		return nil, err
	}
	form := messageType(in.MessageType)
	signature, err := s.material.Sign(r.Context, r.Allowed, k.ID, k.current().wrapped(), *in.SigningAlgorithm, form, in.Message)
	if err != nil {
		return nil, translateSigning(err, *in.SigningAlgorithm, form)
	}
	if dryRun(in.DryRun) {
		return nil, wouldHaveSucceeded()
	}
	return &kmsapi.SignOutput{KeyId: new(k.ARN), Signature: signature, SigningAlgorithm: in.SigningAlgorithm}, nil
}

func (s *Service) verify(r *api.Request, in *kmsapi.VerifyInput, t target) (*kmsapi.VerifyOutput, error) {
	k, err := t.forAlgorithm(r, kmsapi.KeyUsageTypeSignVerify, *in.SigningAlgorithm)
	if err != nil {
		return nil, err
	}
	form := messageType(in.MessageType)
	if err := s.material.Verify(r.Context, r.Allowed, k.ID, k.current().wrapped(), *in.SigningAlgorithm, form, in.Message, in.Signature); err != nil {
		return nil, translateSigning(err, *in.SigningAlgorithm, form)
	}
	if dryRun(in.DryRun) {
		return nil, wouldHaveSucceeded()
	}
	return &kmsapi.VerifyOutput{KeyId: new(k.ARN), SignatureValid: new(true), SigningAlgorithm: in.SigningAlgorithm}, nil
}

// getPublicKey needs no key material: the public key rests beside it.
func getPublicKey(r *api.Request, _ *kmsapi.GetPublicKeyInput, t target) (*kmsapi.GetPublicKeyOutput, error) {
	k, err := t.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	if !k.asymmetric() {
		return nil, kmsapi.UnsupportedOperationException(k.ARN + " key spec is " + k.Spec + " which is not valid for this operation.")
	}
	if err := k.usable(); err != nil {
		return nil, err
	}
	return &kmsapi.GetPublicKeyOutput{
		KeyId:                  new(k.ARN),
		PublicKey:              k.current().Public,
		CustomerMasterKeySpec:  new(k.Spec),
		KeySpec:                new(k.Spec),
		KeyUsage:               new(k.Usage),
		EncryptionAlgorithms:   algorithms(k.Spec, k.Usage, kmsapi.KeyUsageTypeEncryptDecrypt),
		SigningAlgorithms:      algorithms(k.Spec, k.Usage, kmsapi.KeyUsageTypeSignVerify),
		KeyAgreementAlgorithms: algorithms(k.Spec, k.Usage, kmsapi.KeyUsageTypeKeyAgreement),
	}, nil
}

func resolveDeriveSharedSecret(r *api.Request, in *kmsapi.DeriveSharedSecretInput) (target, api.Access, error) {
	if err := noEnclaves(in.Recipient); err != nil {
		return target{}, api.Access{}, err
	}
	t, err := locate(r, *in.KeyId, true)
	return t, t.access(""), err
}

func (s *Service) deriveSharedSecret(r *api.Request, in *kmsapi.DeriveSharedSecretInput, t target) (*kmsapi.DeriveSharedSecretOutput, error) {
	k, err := t.forAlgorithm(r, kmsapi.KeyUsageTypeKeyAgreement, *in.KeyAgreementAlgorithm)
	if err != nil {
		return nil, err
	}
	secret, err := s.material.DeriveSharedSecret(r.Context, r.Allowed, k.ID, k.current().wrapped(), in.PublicKey)
	if errors.Is(err, material.ErrPublicKey) {
		return nil, api.ValidationException("PublicKey is not a DER-encoded public key on the curve of key spec " + k.Spec + ".")
	}
	if err != nil {
		return nil, err
	}
	if dryRun(in.DryRun) {
		clear(secret)
		return nil, wouldHaveSucceeded()
	}
	return &kmsapi.DeriveSharedSecretOutput{
		KeyId: new(k.ARN), SharedSecret: secret, KeyAgreementAlgorithm: in.KeyAgreementAlgorithm, KeyOrigin: new(k.Origin),
	}, nil
}

// noContext refuses an encryption context, which RSA has no place for.
func noContext(context map[string]string) error {
	if len(context) > 0 {
		return api.ValidationException("An encryption context can be used with symmetric encryption KMS keys only.")
	}
	return nil
}

// encryptRSA is what Encrypt and ReEncrypt do with an RSA key. The algorithm
// fits the key.
func (s *Service) encryptRSA(r *api.Request, u use, plaintext []byte, context map[string]string) ([]byte, error) {
	if err := noContext(context); err != nil {
		return nil, err
	}
	most := material.MaxOAEP(u.algorithm, rsaBits[u.key.Spec])
	if len(plaintext) > most {
		return nil, api.ValidationException(fmt.Sprintf("Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", u.algorithm, u.key.Spec, most))
	}
	blob, err := s.material.EncryptRSA(r.Context, u.allowed, u.key.ID, u.key.current().wrapped(), u.algorithm, plaintext)
	return blob, translate(err, "")
}

func (s *Service) decryptRSA(r *api.Request, u use, blob []byte, context map[string]string) ([]byte, error) {
	if err := noContext(context); err != nil {
		return nil, err
	}
	plaintext, err := s.material.DecryptRSA(r.Context, u.allowed, u.key.ID, u.key.current().wrapped(), u.algorithm, blob)
	return plaintext, translate(err, "")
}
