package kms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"slices"
	"testing"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	kmsapi "coffer/internal/api/kms"
)

// create makes a key of a spec and usage.
func (c client) create(spec, usage string) *kmsapi.KeyMetadata {
	c.Helper()
	return must(c, kmsapi.CreateKey, &kmsapi.CreateKeyInput{KeySpec: &spec, KeyUsage: &usage}).KeyMetadata
}

// everySpec is what each kind of key can do and says of itself.
var everySpec = []struct {
	spec, usage string
	algorithms  []string
}{
	{"RSA_2048", "ENCRYPT_DECRYPT", []string{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}},
	{"RSA_3072", "SIGN_VERIFY", []string{"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512", "RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512"}},
	{"RSA_4096", "SIGN_VERIFY", []string{"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512", "RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512"}},
	{"ECC_NIST_P256", "SIGN_VERIFY", []string{"ECDSA_SHA_256"}},
	{"ECC_NIST_P384", "SIGN_VERIFY", []string{"ECDSA_SHA_384"}},
	{"ECC_NIST_P521", "SIGN_VERIFY", []string{"ECDSA_SHA_512"}},
	{"ECC_SECG_P256K1", "SIGN_VERIFY", []string{"ECDSA_SHA_256"}},
	{"ECC_NIST_P256", "KEY_AGREEMENT", []string{"ECDH"}},
	{"ECC_NIST_P384", "KEY_AGREEMENT", []string{"ECDH"}},
	{"ECC_NIST_P521", "KEY_AGREEMENT", []string{"ECDH"}},
	{"ECC_NIST_EDWARDS25519", "SIGN_VERIFY", []string{"ED25519_PH_SHA_512", "ED25519_SHA_512"}},
	{"ML_DSA_44", "SIGN_VERIFY", []string{"ML_DSA_SHAKE_256"}},
	{"ML_DSA_65", "SIGN_VERIFY", []string{"ML_DSA_SHAKE_256"}},
	{"ML_DSA_87", "SIGN_VERIFY", []string{"ML_DSA_SHAKE_256"}},
	{"HMAC_224", "GENERATE_VERIFY_MAC", []string{"HMAC_SHA_224"}},
	{"HMAC_256", "GENERATE_VERIFY_MAC", []string{"HMAC_SHA_256"}},
	{"HMAC_384", "GENERATE_VERIFY_MAC", []string{"HMAC_SHA_384"}},
	{"HMAC_512", "GENERATE_VERIFY_MAC", []string{"HMAC_SHA_512"}},
}

func TestMetadataOfEverySpec(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	for _, tc := range everySpec {
		m := c.create(tc.spec, tc.usage)
		lists := map[string][]string{
			"ENCRYPT_DECRYPT": m.EncryptionAlgorithms, "SIGN_VERIFY": m.SigningAlgorithms,
			"GENERATE_VERIFY_MAC": m.MacAlgorithms, "KEY_AGREEMENT": m.KeyAgreementAlgorithms,
		}
		for usage, list := range lists {
			want := []string(nil)
			if usage == tc.usage {
				want = tc.algorithms
			}
			if !slices.Equal(list, want) {
				t.Errorf("%s %s: algorithms to %s: %v", tc.spec, tc.usage, usage, list)
			}
		}
		if *m.KeySpec != tc.spec || *m.CustomerMasterKeySpec != tc.spec || *m.KeyUsage != tc.usage || m.CurrentKeyMaterialId != nil || *m.KeyState != "Enabled" || *m.Origin != "AWS_KMS" || m.ExpirationModel != nil {
			t.Errorf("%s %s: %+v", tc.spec, tc.usage, m)
		}
		if tc.usage == "GENERATE_VERIFY_MAC" {
			refuse(c, kmsapi.GetPublicKey, &kmsapi.GetPublicKeyInput{KeyId: m.KeyId}, "UnsupportedOperationException", *m.Arn+" key spec is "+tc.spec+" which is not valid for this operation.")
			continue
		}
		p := must(c, kmsapi.GetPublicKey, &kmsapi.GetPublicKeyInput{KeyId: m.KeyId})
		if *p.KeyId != *m.Arn || *p.KeySpec != tc.spec || *p.CustomerMasterKeySpec != tc.spec || *p.KeyUsage != tc.usage || len(p.PublicKey) == 0 ||
			!slices.Equal(p.EncryptionAlgorithms, m.EncryptionAlgorithms) || !slices.Equal(p.SigningAlgorithms, m.SigningAlgorithms) || !slices.Equal(p.KeyAgreementAlgorithms, m.KeyAgreementAlgorithms) {
			t.Errorf("%s %s: public key %+v", tc.spec, tc.usage, p)
		}
	}
	m := c.createKey()
	refuse(c, kmsapi.GetPublicKey, &kmsapi.GetPublicKeyInput{KeyId: m.KeyId}, "UnsupportedOperationException", *m.Arn+" key spec is SYMMETRIC_DEFAULT which is not valid for this operation.")
}

func TestSignAndVerify(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	message := []byte("a message")
	digests := map[string][]byte{}
	for name, h := range map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512} {
		d := h.New()
		d.Write(message)
		digests[name] = d.Sum(nil)
	}
	for _, tc := range everySpec {
		if tc.usage != "SIGN_VERIFY" {
			continue
		}
		m := c.create(tc.spec, tc.usage)
		c.createAlias("alias/"+tc.spec, *m.KeyId)
		for _, algorithm := range tc.algorithms {
			raw, digested := []byte(nil), []byte(nil)
			sign := func(form *string, message []byte) []byte {
				t.Helper()
				out := must(c, kmsapi.Sign, &kmsapi.SignInput{KeyId: new("alias/" + tc.spec), Message: message, MessageType: form, SigningAlgorithm: &algorithm})
				if *out.KeyId != *m.Arn || *out.SigningAlgorithm != algorithm {
					t.Errorf("%s: %+v", algorithm, out)
				}
				return out.Signature
			}
			if algorithm != "ED25519_PH_SHA_512" {
				raw = sign(nil, message)
			}
			digest := digests[algorithm[len(algorithm)-3:]]
			if algorithm != "ED25519_SHA_512" && algorithm != "ML_DSA_SHAKE_256" {
				digested = sign(new("DIGEST"), digest)
			}
			verify := func(form string, message, signature []byte) error {
				out, err := call(c, kmsapi.Verify, &kmsapi.VerifyInput{KeyId: m.Arn, Message: message, MessageType: &form, Signature: signature, SigningAlgorithm: &algorithm})
				if err == nil && (*out.KeyId != *m.Arn || !*out.SignatureValid || *out.SigningAlgorithm != algorithm) {
					t.Errorf("%s: %+v", algorithm, out)
				}
				return err
			}
			// How a message was given does not show in its signature.
			for form, given := range map[string][]byte{"RAW": message, "DIGEST": digest} {
				if form == "RAW" && raw == nil || form == "DIGEST" && digested == nil {
					continue
				}
				for _, signature := range [][]byte{raw, digested} {
					if signature == nil {
						continue
					}
					if err := verify(form, given, signature); err != nil {
						t.Errorf("%s as %s: %v", algorithm, form, err)
					}
					bad := bytes.Clone(signature)
					bad[len(bad)-1] ^= 1
					apitest.Refused(t, algorithm, verify(form, given, bad), "KMSInvalidSignatureException", "")
					apitest.Refused(t, algorithm, verify(form, append([]byte{given[0] ^ 1}, given[1:]...), signature), "KMSInvalidSignatureException", "")
				}
			}
		}
	}
}

// What others do with the public key is what we do.
func TestInteroperation(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	public := func(m *kmsapi.KeyMetadata) any {
		t.Helper()
		k, err := x509.ParsePKIXPublicKey(must(c, kmsapi.GetPublicKey, &kmsapi.GetPublicKeyInput{KeyId: m.KeyId}).PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	digest := sha256.Sum256([]byte("m"))

	m := c.create("ECC_NIST_P256", "SIGN_VERIFY")
	s := must(c, kmsapi.Sign, &kmsapi.SignInput{KeyId: m.KeyId, Message: api.Sensitive("m"), SigningAlgorithm: new("ECDSA_SHA_256")}).Signature
	if !ecdsa.VerifyASN1(public(m).(*ecdsa.PublicKey), digest[:], s) {
		t.Error("ECDSA does not verify elsewhere")
	}

	m = c.create("RSA_2048", "SIGN_VERIFY")
	s = must(c, kmsapi.Sign, &kmsapi.SignInput{KeyId: m.KeyId, Message: digest[:], MessageType: new("DIGEST"), SigningAlgorithm: new("RSASSA_PSS_SHA_256")}).Signature
	if err := rsa.VerifyPSS(public(m).(*rsa.PublicKey), crypto.SHA256, digest[:], s, &rsa.PSSOptions{SaltLength: 32}); err != nil {
		t.Errorf("PSS does not verify elsewhere: %v", err)
	}

	m = c.create("RSA_2048", "ENCRYPT_DECRYPT")
	blob, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public(m).(*rsa.PublicKey), []byte("made elsewhere"), nil)
	if err != nil {
		t.Fatal(err)
	}
	d := must(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: m.KeyId, CiphertextBlob: blob, EncryptionAlgorithm: new("RSAES_OAEP_SHA_256")})
	if string(d.Plaintext) != "made elsewhere" || *d.KeyId != *m.Arn || *d.EncryptionAlgorithm != "RSAES_OAEP_SHA_256" || d.KeyMaterialId != nil {
		t.Errorf("decrypted %+v", d)
	}

	m = c.create("ECC_NIST_P384", "KEY_AGREEMENT")
	theirs, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := x509.MarshalPKIXPublicKey(theirs.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	out := must(c, kmsapi.DeriveSharedSecret, &kmsapi.DeriveSharedSecretInput{KeyId: m.KeyId, KeyAgreementAlgorithm: new("ECDH"), PublicKey: peer})
	point, err := public(m).(*ecdsa.PublicKey).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	want, err := theirs.ECDH(point)
	if err != nil || !bytes.Equal(out.SharedSecret, want) || *out.KeyId != *m.Arn || *out.KeyOrigin != "AWS_KMS" || *out.KeyAgreementAlgorithm != "ECDH" || out.CiphertextForRecipient != nil {
		t.Errorf("shared secret: %+v, %v", out, err)
	}
}

func TestSigningRefusals(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	key := map[string]*kmsapi.KeyMetadata{
		"P256": c.create("ECC_NIST_P256", "SIGN_VERIFY"), "ED": c.create("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"), "ML": c.create("ML_DSA_44", "SIGN_VERIFY"),
		"RSA": c.create("RSA_2048", "SIGN_VERIFY"), "SYM": c.createKey(), "MAC": c.create("HMAC_256", "GENERATE_VERIFY_MAC"), "DH": c.create("ECC_NIST_P256", "KEY_AGREEMENT"),
	}
	for _, tc := range []struct {
		key, algorithm, form string
		size                 int
		code, message        string
	}{
		{"P256", "ECDSA_SHA_256", "DIGEST", 31, "ValidationException", "Digest is invalid length for algorithm ECDSA_SHA_256."},
		{"P256", "ECDSA_SHA_256", "DIGEST", 33, "ValidationException", "Digest is invalid length for algorithm ECDSA_SHA_256."},
		{"RSA", "RSASSA_PSS_SHA_512", "DIGEST", 32, "ValidationException", "Digest is invalid length for algorithm RSASSA_PSS_SHA_512."},
		{"ED", "ED25519_PH_SHA_512", "DIGEST", 32, "ValidationException", "Digest is invalid length for algorithm ED25519_PH_SHA_512."},
		{"ML", "ML_DSA_SHAKE_256", "EXTERNAL_MU", 63, "ValidationException", "Digest is invalid length for algorithm ML_DSA_SHAKE_256."},
		{"P256", "ECDSA_SHA_256", "EXTERNAL_MU", 64, "ValidationException", "MessageType EXTERNAL_MU is incompatible with algorithm ECDSA_SHA_256."},
		{"ED", "ED25519_SHA_512", "DIGEST", 64, "ValidationException", "MessageType DIGEST is incompatible with algorithm ED25519_SHA_512."},
		{"ED", "ED25519_PH_SHA_512", "RAW", 64, "ValidationException", "MessageType RAW is incompatible with algorithm ED25519_PH_SHA_512."},
		{"ML", "ML_DSA_SHAKE_256", "DIGEST", 64, "ValidationException", "MessageType DIGEST is incompatible with algorithm ML_DSA_SHAKE_256."},
		{"P256", "ECDSA_SHA_384", "RAW", 1, "InvalidKeyUsageException", "Algorithm ECDSA_SHA_384 is incompatible with key spec ECC_NIST_P256."},
		{"RSA", "ECDSA_SHA_256", "RAW", 1, "InvalidKeyUsageException", "Algorithm ECDSA_SHA_256 is incompatible with key spec RSA_2048."},
		{"P256", "SM2DSA", "RAW", 1, "InvalidKeyUsageException", "Algorithm SM2DSA is incompatible with key spec ECC_NIST_P256."},
		{"SYM", "ECDSA_SHA_256", "RAW", 1, "InvalidKeyUsageException", " key usage is ENCRYPT_DECRYPT which is not valid for "},
		{"MAC", "ECDSA_SHA_256", "RAW", 1, "InvalidKeyUsageException", " key usage is GENERATE_VERIFY_MAC which is not valid for "},
		{"DH", "ECDSA_SHA_256", "RAW", 1, "InvalidKeyUsageException", " key usage is KEY_AGREEMENT which is not valid for "},
		{"P256", "ECDSA_SHA_256", "RAW", 4097, "ValidationException", "1 validation error detected: Value at 'message' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		{"P256", "ECDSA_SHA_256", "RAW", 0, "ValidationException", "1 validation error detected: Value at 'message' failed to satisfy constraint: Member must have length greater than or equal to 1"},
	} {
		m := key[tc.key]
		text := func(op string) string {
			if tc.message[0] == ' ' {
				return *m.Arn + tc.message + op + "."
			}
			return tc.message
		}
		message := make(api.Sensitive, tc.size)
		refuse(c, kmsapi.Sign, &kmsapi.SignInput{KeyId: m.KeyId, Message: message, MessageType: &tc.form, SigningAlgorithm: &tc.algorithm}, tc.code, text("Sign"))
		refuse(c, kmsapi.Verify, &kmsapi.VerifyInput{KeyId: m.KeyId, Message: message, MessageType: &tc.form, SigningAlgorithm: &tc.algorithm, Signature: []byte{1}}, tc.code, text("Verify"))
	}
	refuse(c, kmsapi.Verify, &kmsapi.VerifyInput{KeyId: key["ML"].KeyId, Message: make(api.Sensitive, 64), MessageType: new("EXTERNAL_MU"), SigningAlgorithm: new("ML_DSA_SHAKE_256"), Signature: []byte{1}},
		"UnsupportedOperationException", "Verify does not take MessageType EXTERNAL_MU: give the message itself as RAW.")
	// A dry run goes as far as the answer.
	sign := kmsapi.SignInput{KeyId: key["P256"].KeyId, Message: api.Sensitive("m"), SigningAlgorithm: new("ECDSA_SHA_256")}
	signature := must(c, kmsapi.Sign, &sign).Signature
	sign.DryRun = new(true)
	refuse(c, kmsapi.Sign, &sign, "DryRunOperationException", dryRunText)
	refuse(c, kmsapi.Verify, &kmsapi.VerifyInput{KeyId: sign.KeyId, Message: sign.Message, SigningAlgorithm: sign.SigningAlgorithm, Signature: signature, DryRun: new(true)}, "DryRunOperationException", dryRunText)
}

func TestRSAEncryption(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, eu)
	m, sym, signing := c.create("RSA_2048", "ENCRYPT_DECRYPT"), c.createKey(), c.create("RSA_2048", "SIGN_VERIFY")
	const oaep1, oaep256 = "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"
	encrypt := func(algorithm string, n int) []byte {
		t.Helper()
		out := must(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: bytes.Repeat([]byte{7}, n), EncryptionAlgorithm: &algorithm})
		if *out.KeyId != *m.Arn || *out.EncryptionAlgorithm != algorithm || len(out.CiphertextBlob) != 256 {
			t.Errorf("encrypted: %+v", out)
		}
		return out.CiphertextBlob
	}
	decrypt := func(algorithm *string, blob []byte) error {
		out, err := call(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: m.KeyId, CiphertextBlob: blob, EncryptionAlgorithm: algorithm})
		if err == nil && (*out.KeyId != *m.Arn || *out.EncryptionAlgorithm != *algorithm || out.KeyMaterialId != nil || !bytes.Equal(bytes.Trim(out.Plaintext, "\x07"), nil)) {
			t.Errorf("decrypted: %+v", out)
		}
		return err
	}
	for algorithm, most := range map[string]int{oaep1: 214, oaep256: 190} {
		for _, n := range []int{1, most} {
			if err := decrypt(&algorithm, encrypt(algorithm, n)); err != nil {
				t.Error(err)
			}
		}
		text := map[string]string{oaep1: "Algorithm RSAES_OAEP_SHA_1 and key spec RSA_2048 cannot encrypt data larger than 214 bytes.", oaep256: "Algorithm RSAES_OAEP_SHA_256 and key spec RSA_2048 cannot encrypt data larger than 190 bytes."}
		refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: make(api.Sensitive, most+1), EncryptionAlgorithm: &algorithm}, "ValidationException", text[algorithm])
	}
	blob := encrypt(oaep256, 10)
	apitest.Refused(t, "the other algorithm", decrypt(new(oaep1), blob), "InvalidCiphertextException", "")
	apitest.Refused(t, "cut", decrypt(new(oaep256), blob[1:]), "InvalidCiphertextException", "")
	apitest.Refused(t, "of a symmetric key", decrypt(new(oaep256), c.encrypt(*sym.KeyId, "x")), "InvalidCiphertextException", "")
	const incompatible = "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048."
	apitest.Refused(t, "no algorithm", decrypt(nil, blob), "InvalidKeyUsageException", incompatible)
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionAlgorithm: new(oaep256)}, "InvalidCiphertextException", "") // no KeyId
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: sym.KeyId, CiphertextBlob: blob}, "InvalidCiphertextException", "")
	refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: api.Sensitive("x")}, "InvalidKeyUsageException", incompatible)
	refuse(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: m.KeyId, KeySpec: new("AES_256")}, "InvalidKeyUsageException", incompatible)
	refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: signing.KeyId, Plaintext: api.Sensitive("x"), EncryptionAlgorithm: new(oaep256)}, "InvalidKeyUsageException", *signing.Arn+" key usage is SIGN_VERIFY which is not valid for Encrypt.")
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: signing.KeyId, CiphertextBlob: blob, EncryptionAlgorithm: new(oaep256)}, "InvalidKeyUsageException", *signing.Arn+" key usage is SIGN_VERIFY which is not valid for Decrypt.")
	refuse(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: signing.KeyId, KeySpec: new("AES_256")}, "InvalidKeyUsageException", *signing.Arn+" key usage is SIGN_VERIFY which is not valid for GenerateDataKey.")
	context := map[string]string{"a": "b"}
	const noContext = "An encryption context can be used with symmetric encryption KMS keys only."
	refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: api.Sensitive("x"), EncryptionAlgorithm: new(oaep256), EncryptionContext: context}, "ValidationException", noContext)
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: m.KeyId, CiphertextBlob: blob, EncryptionAlgorithm: new(oaep256), EncryptionContext: context}, "ValidationException", noContext)
	refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: api.Sensitive("x"), EncryptionAlgorithm: new(oaep256), DryRun: new(true)}, "DryRunOperationException", dryRunText)

	// To and from.
	to := must(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: c.encrypt(*sym.KeyId, "text", "k", "v"), SourceEncryptionContext: map[string]string{"k": "v"}, DestinationKeyId: m.KeyId, DestinationEncryptionAlgorithm: new(oaep1)})
	if *to.SourceEncryptionAlgorithm != "SYMMETRIC_DEFAULT" || *to.DestinationEncryptionAlgorithm != oaep1 || to.SourceKeyMaterialId == nil || to.DestinationKeyMaterialId != nil {
		t.Errorf("to RSA: %+v", to)
	}
	from := must(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: to.CiphertextBlob, SourceKeyId: m.KeyId, SourceEncryptionAlgorithm: new(oaep1), DestinationKeyId: sym.KeyId})
	if *from.SourceEncryptionAlgorithm != oaep1 || from.SourceKeyMaterialId != nil || *from.DestinationKeyMaterialId != *sym.CurrentKeyMaterialId || c.decrypt(from.CiphertextBlob) != "text" {
		t.Errorf("from RSA: %+v", from)
	}
	refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: c.encrypt(*sym.KeyId, "x"), DestinationKeyId: signing.KeyId, DestinationEncryptionAlgorithm: new(oaep1)}, "InvalidKeyUsageException", *signing.Arn+" key usage is SIGN_VERIFY which is not valid for ReEncrypt.")
	long := must(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: sym.KeyId, Plaintext: make(api.Sensitive, 300)}).CiphertextBlob
	refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: long, DestinationKeyId: m.KeyId, DestinationEncryptionAlgorithm: new(oaep256)}, "ValidationException", "Algorithm RSAES_OAEP_SHA_256 and key spec RSA_2048 cannot encrypt data larger than 190 bytes.")
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: m.KeyId, EncryptionAlgorithm: new(oaep1), DryRun: new(true), DryRunModifiers: []string{"IGNORE_CIPHERTEXT"}}, "DryRunOperationException", dryRunText)
}

func TestSharedSecretRefusals(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m, signing := c.create("ECC_NIST_P256", "KEY_AGREEMENT"), c.create("ECC_NIST_P256", "SIGN_VERIFY")
	public := func(m *kmsapi.KeyMetadata) []byte {
		return must(c, kmsapi.GetPublicKey, &kmsapi.GetPublicKeyInput{KeyId: m.KeyId}).PublicKey
	}
	in := kmsapi.DeriveSharedSecretInput{KeyId: m.KeyId, KeyAgreementAlgorithm: new("ECDH")}
	for _, peer := range [][]byte{[]byte("no key"), public(c.create("ECC_NIST_P384", "KEY_AGREEMENT")), public(c.create("RSA_2048", "SIGN_VERIFY"))} {
		in.PublicKey = peer
		refuse(c, kmsapi.DeriveSharedSecret, &in, "ValidationException", "PublicKey is not a DER-encoded public key on the curve of key spec ECC_NIST_P256.")
	}
	in.PublicKey = public(signing)
	must(c, kmsapi.DeriveSharedSecret, &in)
	in.DryRun = new(true)
	refuse(c, kmsapi.DeriveSharedSecret, &in, "DryRunOperationException", dryRunText)
	in.KeyId = signing.KeyId
	refuse(c, kmsapi.DeriveSharedSecret, &in, "InvalidKeyUsageException", *signing.Arn+" key usage is SIGN_VERIFY which is not valid for DeriveSharedSecret.")
	in.Recipient = &kmsapi.RecipientInfo{}
	refuse(c, kmsapi.DeriveSharedSecret, &in, "UnsupportedOperationException", "Recipient is not served: there are no enclaves here to attest.")
}

// What an asymmetric key does in each state, and what cannot be done to it.
func TestStatesOfAsymmetricKeys(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	errOf := func(_ any, err error) error { return err }
	m, dh, mac := c.create("ECC_NIST_P256", "SIGN_VERIFY"), c.create("ECC_NIST_P256", "KEY_AGREEMENT"), c.create("HMAC_256", "GENERATE_VERIFY_MAC")
	signature := must(c, kmsapi.Sign, &kmsapi.SignInput{KeyId: m.KeyId, Message: api.Sensitive("m"), SigningAlgorithm: new("ECDSA_SHA_256")}).Signature
	sum := must(c, kmsapi.GenerateMac, &kmsapi.GenerateMacInput{KeyId: mac.KeyId, Message: api.Sensitive("m"), MacAlgorithm: new("HMAC_SHA_256")}).Mac
	peer := must(c, kmsapi.GetPublicKey, &kmsapi.GetPublicKeyInput{KeyId: dh.KeyId}).PublicKey
	uses := map[string]func() (*kmsapi.KeyMetadata, error){
		"Sign": func() (*kmsapi.KeyMetadata, error) {
			return m, errOf(call(c, kmsapi.Sign, &kmsapi.SignInput{KeyId: m.KeyId, Message: api.Sensitive("m"), SigningAlgorithm: new("ECDSA_SHA_256")}))
		},
		"Verify": func() (*kmsapi.KeyMetadata, error) {
			return m, errOf(call(c, kmsapi.Verify, &kmsapi.VerifyInput{KeyId: m.KeyId, Message: api.Sensitive("m"), SigningAlgorithm: new("ECDSA_SHA_256"), Signature: signature}))
		},
		"GetPublicKey": func() (*kmsapi.KeyMetadata, error) {
			return m, errOf(call(c, kmsapi.GetPublicKey, &kmsapi.GetPublicKeyInput{KeyId: m.KeyId}))
		},
		"DeriveSharedSecret": func() (*kmsapi.KeyMetadata, error) {
			return dh, errOf(call(c, kmsapi.DeriveSharedSecret, &kmsapi.DeriveSharedSecretInput{KeyId: dh.KeyId, KeyAgreementAlgorithm: new("ECDH"), PublicKey: peer}))
		},
		"GenerateMac": func() (*kmsapi.KeyMetadata, error) {
			return mac, errOf(call(c, kmsapi.GenerateMac, &kmsapi.GenerateMacInput{KeyId: mac.KeyId, Message: api.Sensitive("m"), MacAlgorithm: new("HMAC_SHA_256")}))
		},
		"VerifyMac": func() (*kmsapi.KeyMetadata, error) {
			return mac, errOf(call(c, kmsapi.VerifyMac, &kmsapi.VerifyMacInput{KeyId: mac.KeyId, Message: api.Sensitive("m"), MacAlgorithm: new("HMAC_SHA_256"), Mac: sum}))
		},
	}
	try := func(code, text string) {
		t.Helper()
		for name, use := range uses {
			k, err := use()
			if code == "" && err != nil {
				t.Errorf("%s: %v", name, err)
			} else if code != "" {
				apitest.Refused(t, name, err, code, *k.Arn+text)
			}
		}
	}
	keys := []*kmsapi.KeyMetadata{m, dh, mac}
	try("", "")
	for _, k := range keys {
		must(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: k.KeyId})
	}
	try("DisabledException", " is disabled.")
	for _, k := range keys {
		must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: k.KeyId})
	}
	try("KMSInvalidStateException", " is pending deletion.")
	for _, k := range keys {
		must(c, kmsapi.CancelKeyDeletion, &kmsapi.CancelKeyDeletionInput{KeyId: k.KeyId})
		must(c, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: k.KeyId})
		c.wantRotationOff(*k.KeyId)
		refuse(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: k.KeyId}, "UnsupportedOperationException", "")
		refuse(c, kmsapi.DisableKeyRotation, &kmsapi.DisableKeyRotationInput{KeyId: k.KeyId}, "UnsupportedOperationException", "")
		refuse(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: k.KeyId}, "UnsupportedOperationException", "")
		refuse(c, kmsapi.ListKeyRotations, &kmsapi.ListKeyRotationsInput{KeyId: k.KeyId}, "UnsupportedOperationException", "")
		refuse(c, kmsapi.GetParametersForImport, &kmsapi.GetParametersForImportInput{KeyId: k.KeyId, WrappingAlgorithm: new("RSAES_OAEP_SHA_256"), WrappingKeySpec: new("RSA_2048")},
			"UnsupportedOperationException", *k.Arn+" origin is AWS_KMS which is not valid for this operation.")
	}
	try("", "")
}

func (c client) wantRotationOff(key string) {
	c.Helper()
	if s := c.rotationStatus(key); *s.KeyRotationEnabled || s.NextRotationDate != nil {
		c.Errorf("rotation of %s is on", key)
	}
}

// An alias moves among keys of one type and usage only.
func TestAliasKeepsTypeAndUsage(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	keys := []*kmsapi.KeyMetadata{
		c.createKey(), c.createKey(), c.create("RSA_2048", "ENCRYPT_DECRYPT"), c.create("RSA_2048", "SIGN_VERIFY"),
		c.create("ECC_NIST_P256", "SIGN_VERIFY"), c.create("ECC_NIST_P256", "KEY_AGREEMENT"), c.create("HMAC_256", "GENERATE_VERIFY_MAC"), c.create("HMAC_512", "GENERATE_VERIFY_MAC"),
	}
	same := map[[2]int]bool{{0, 1}: true, {3, 4}: true, {6, 7}: true}
	for i, from := range keys {
		for j, to := range keys {
			must(c, kmsapi.CreateAlias, &kmsapi.CreateAliasInput{AliasName: new("alias/a"), TargetKeyId: from.KeyId})
			in := &kmsapi.UpdateAliasInput{AliasName: new("alias/a"), TargetKeyId: to.KeyId}
			if i == j || same[[2]int{i, j}] || same[[2]int{j, i}] {
				must(c, kmsapi.UpdateAlias, in)
			} else {
				refuse(c, kmsapi.UpdateAlias, in, "ValidationException", "Alias "+c.arn("alias/a")+" can be associated only with a key of the type and usage of its present key.")
			}
			must(c, kmsapi.DeleteAlias, &kmsapi.DeleteAliasInput{AliasName: new("alias/a")})
		}
	}
}

func TestMACs(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	for size, spec := range map[int]string{28: "HMAC_224", 32: "HMAC_256", 48: "HMAC_384", 64: "HMAC_512"} {
		m := c.create(spec, "GENERATE_VERIFY_MAC")
		c.createAlias("alias/"+spec, *m.KeyId)
		algorithm := "HMAC_SHA_" + spec[5:]
		out := must(c, kmsapi.GenerateMac, &kmsapi.GenerateMacInput{KeyId: new("alias/" + spec), Message: api.Sensitive("m"), MacAlgorithm: &algorithm})
		if *out.KeyId != *m.Arn || *out.MacAlgorithm != algorithm || len(out.Mac) != size {
			t.Errorf("%s: %+v", spec, out)
		}
		verify := func(message string, mac []byte) (*kmsapi.VerifyMacOutput, error) {
			return call(c, kmsapi.VerifyMac, &kmsapi.VerifyMacInput{KeyId: m.Arn, Message: api.Sensitive(message), MacAlgorithm: &algorithm, Mac: mac})
		}
		if v, err := verify("m", out.Mac); err != nil || !*v.MacValid || *v.KeyId != *m.Arn || *v.MacAlgorithm != algorithm {
			t.Errorf("%s: %+v, %v", spec, v, err)
		}
		for _, bad := range [][]byte{out.Mac[1:], append(bytes.Clone(out.Mac), 0), {1}} {
			_, err := verify("m", bad)
			apitest.Refused(t, spec, err, "KMSInvalidMacException", "")
		}
		_, err := verify("M", out.Mac)
		apitest.Refused(t, spec, err, "KMSInvalidMacException", "")
		refuse(c, kmsapi.GenerateMac, &kmsapi.GenerateMacInput{KeyId: m.KeyId, Message: api.Sensitive("m"), MacAlgorithm: &algorithm, DryRun: new(true)}, "DryRunOperationException", dryRunText)
		refuse(c, kmsapi.VerifyMac, &kmsapi.VerifyMacInput{KeyId: m.KeyId, Message: api.Sensitive("m"), MacAlgorithm: &algorithm, Mac: out.Mac, DryRun: new(true)}, "DryRunOperationException", dryRunText)
		other := map[string]string{"HMAC_SHA_512": "HMAC_SHA_256"}[algorithm]
		if other == "" {
			other = "HMAC_SHA_512"
		}
		text := "Algorithm " + other + " is incompatible with key spec " + spec + "."
		refuse(c, kmsapi.GenerateMac, &kmsapi.GenerateMacInput{KeyId: m.KeyId, Message: api.Sensitive("m"), MacAlgorithm: &other}, "InvalidKeyUsageException", text)
		refuse(c, kmsapi.VerifyMac, &kmsapi.VerifyMacInput{KeyId: m.KeyId, Message: api.Sensitive("m"), MacAlgorithm: &other, Mac: out.Mac}, "InvalidKeyUsageException", text)
		refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: api.Sensitive("m")}, "InvalidKeyUsageException", *m.Arn+" key usage is GENERATE_VERIFY_MAC which is not valid for Encrypt.")
	}
	sym := c.createKey()
	refuse(c, kmsapi.GenerateMac, &kmsapi.GenerateMacInput{KeyId: sym.KeyId, Message: api.Sensitive("m"), MacAlgorithm: new("HMAC_SHA_256")}, "InvalidKeyUsageException", *sym.Arn+" key usage is ENCRYPT_DECRYPT which is not valid for GenerateMac.")
}

func TestDataKeyPairs(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	context := []string{"k", "v"}
	for _, spec := range []string{"RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"} {
		out := must(c, kmsapi.GenerateDataKeyPair, &kmsapi.GenerateDataKeyPairInput{KeyId: m.KeyId, KeyPairSpec: &spec, EncryptionContext: pairs(context)})
		if *out.KeyId != *m.Arn || *out.KeyPairSpec != spec || *out.KeyMaterialId != *m.CurrentKeyMaterialId || len(out.PublicKey) == 0 || len(out.PrivateKeyCiphertextBlob) > 6144 {
			t.Errorf("%s: %+v", spec, out)
		}
		if c.decrypt(out.PrivateKeyCiphertextBlob, context...) != string(out.PrivateKeyPlaintext) {
			t.Errorf("%s: the ciphertext is not of the plaintext", spec)
		}
		if spec != "ECC_SECG_P256K1" {
			k, err := x509.ParsePKCS8PrivateKey(out.PrivateKeyPlaintext)
			if err != nil {
				t.Fatalf("%s: %v", spec, err)
			}
			if der, err := x509.MarshalPKIXPublicKey(k.(crypto.Signer).Public()); err != nil || !bytes.Equal(der, out.PublicKey) {
				t.Errorf("%s: the public key is another's: %v", spec, err)
			}
		}
		if spec == "RSA_3072" || spec == "RSA_4096" {
			continue // slow, and the same
		}
		bare := must(c, kmsapi.GenerateDataKeyPairWithoutPlaintext, &kmsapi.GenerateDataKeyPairWithoutPlaintextInput{KeyId: m.KeyId, KeyPairSpec: &spec})
		if *bare.KeyId != *m.Arn || *bare.KeyPairSpec != spec || bytes.Equal(bare.PublicKey, out.PublicKey) || *bare.KeyMaterialId != *m.CurrentKeyMaterialId {
			t.Errorf("%s without plaintext: %+v", spec, bare)
		}
		if p := c.decrypt(bare.PrivateKeyCiphertextBlob); len(p) < 32 || p == string(make([]byte, len(p))) {
			t.Errorf("%s without plaintext: nothing in the ciphertext", spec)
		}
	}
	rsaKey := c.create("RSA_2048", "ENCRYPT_DECRYPT")
	for _, spec := range []string{"ECC_NIST_P256", "RSA_2048"} { // made before the transaction, and in it
		in := kmsapi.GenerateDataKeyPairInput{KeyId: m.KeyId, KeyPairSpec: &spec}
		in.DryRun = new(true)
		refuse(c, kmsapi.GenerateDataKeyPair, &in, "DryRunOperationException", dryRunText)
		in.KeyId = rsaKey.KeyId
		refuse(c, kmsapi.GenerateDataKeyPair, &in, "InvalidKeyUsageException", "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.")
		refuse(c, kmsapi.GenerateDataKeyPairWithoutPlaintext, &kmsapi.GenerateDataKeyPairWithoutPlaintextInput{KeyId: new("alias/none"), KeyPairSpec: &spec}, "NotFoundException", "Alias "+c.arn("alias/none")+" is not found.")
	}
	refuse(c, kmsapi.GenerateDataKeyPair, &kmsapi.GenerateDataKeyPairInput{KeyId: m.KeyId, KeyPairSpec: new("SM2")}, "UnsupportedOperationException", "Key pairs of spec SM2 are available in China Regions only.")
	refuse(c, kmsapi.GenerateDataKeyPairWithoutPlaintext, &kmsapi.GenerateDataKeyPairWithoutPlaintextInput{KeyId: m.KeyId, KeyPairSpec: new("SM2")}, "UnsupportedOperationException", "Key pairs of spec SM2 are available in China Regions only.")
	refuse(c, kmsapi.GenerateDataKeyPair, &kmsapi.GenerateDataKeyPairInput{KeyId: m.KeyId, KeyPairSpec: new("ECC_NIST_P256"), Recipient: &kmsapi.RecipientInfo{}}, "UnsupportedOperationException", "Recipient is not served: there are no enclaves here to attest.")
}

// Ed25519ph hashes once more what it is given, as KMS says it does.
func TestEd25519phHashesTheDigest(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.create("ECC_NIST_EDWARDS25519", "SIGN_VERIFY")
	digest := sha512.Sum512([]byte("m"))
	s := must(c, kmsapi.Sign, &kmsapi.SignInput{KeyId: m.KeyId, Message: digest[:], MessageType: new("DIGEST"), SigningAlgorithm: new("ED25519_PH_SHA_512")}).Signature
	public, err := x509.ParsePKIXPublicKey(must(c, kmsapi.GetPublicKey, &kmsapi.GetPublicKeyInput{KeyId: m.KeyId}).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	twice := sha512.Sum512(digest[:])
	if err := verifyPH(public, twice[:], s); err != nil {
		t.Error(err)
	}
	if verifyPH(public, digest[:], s) == nil {
		t.Error("the digest was not hashed")
	}
}

func verifyPH(public any, digest, signature []byte) error {
	return ed25519.VerifyWithOptions(public.(ed25519.PublicKey), digest, signature, &ed25519.Options{Hash: crypto.SHA512})
}
