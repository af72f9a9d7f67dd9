package kms_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/fault"
)

func TestEncryptAndDecrypt(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	c.createAlias("alias/app", *m.KeyId)
	for _, id := range []string{*m.KeyId, *m.Arn, "alias/app", c.arn("alias/app")} {
		for _, n := range []int{1, 32, 4096} {
			text := strings.Repeat("p", n)
			e := must(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: &id, Plaintext: api.Sensitive(text), EncryptionContext: map[string]string{"a": "1", "b": ""}})
			if *e.KeyId != *m.Arn || *e.EncryptionAlgorithm != "SYMMETRIC_DEFAULT" || len(e.CiphertextBlob) > 6144 || bytes.Contains(e.CiphertextBlob, []byte(eu)) || bytes.Contains(e.CiphertextBlob, []byte(ours)) {
				t.Errorf("encrypt by %s: %+v", id, e)
			}
			for _, key := range []*string{nil, &id} {
				d := must(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: key, CiphertextBlob: e.CiphertextBlob, EncryptionContext: map[string]string{"b": "", "a": "1"}})
				if string(d.Plaintext) != text || *d.KeyId != *m.Arn || *d.EncryptionAlgorithm != "SYMMETRIC_DEFAULT" || *d.KeyMaterialId != *m.CurrentKeyMaterialId || d.CiphertextForRecipient != nil {
					t.Errorf("decrypt of %d bytes by %v: %+v", n, key, d)
				}
			}
		}
	}
	refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: make(api.Sensitive, 4097)}, "ValidationException",
		"1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096")
	refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: api.Sensitive{}}, "ValidationException",
		"1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1")
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: m.KeyId}, "ValidationException",
		"1 validation error detected: Value at 'ciphertextBlob' failed to satisfy constraint: Member must not be null")
	refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: api.Sensitive("x"), EncryptionAlgorithm: new("RSAES_OAEP_SHA_256")},
		"InvalidKeyUsageException", "Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT.")
	blob := c.encrypt(*m.KeyId, "x")
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionAlgorithm: new("RSAES_OAEP_SHA_1")},
		"InvalidKeyUsageException", "Algorithm RSAES_OAEP_SHA_1 is incompatible with key spec SYMMETRIC_DEFAULT.")
	must(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionAlgorithm: new("SYMMETRIC_DEFAULT")})
}

func TestEncryptionContext(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	pair := map[string]string{"SecretARN": "arn:x", "SecretVersionId": "v1"}
	for _, tc := range []struct {
		name     string
		with, by map[string]string
		ok       bool
	}{
		{"none, none", nil, nil, true},
		{"none, empty", nil, map[string]string{}, true},
		{"empty, none", map[string]string{}, nil, true},
		{"equal", pair, maps.Clone(pair), true},
		{"missing", pair, nil, false},
		{"extra", nil, pair, false},
		{"part", pair, map[string]string{"SecretARN": "arn:x"}, false},
		{"key's case", pair, map[string]string{"secretARN": "arn:x", "SecretVersionId": "v1"}, false},
		{"value's case", pair, map[string]string{"SecretARN": "arn:X", "SecretVersionId": "v1"}, false},
		{"swapped", pair, map[string]string{"SecretARN": "v1", "SecretVersionId": "arn:x"}, false},
		{"moved bound", map[string]string{"ab": "c"}, map[string]string{"a": "bc"}, false},
		{"empty value is not absent", map[string]string{"a": ""}, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			blob := must(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: api.Sensitive("x"), EncryptionContext: tc.with}).CiphertextBlob
			_, err := call(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionContext: tc.by})
			if tc.ok && err != nil {
				t.Error(err)
			} else if !tc.ok {
				apitest.Refused(t, "Decrypt", err, "InvalidCiphertextException", "")
			}
		})
	}
	const tooLong = "1 validation error detected: Value at 'encryptionContext' failed to satisfy constraint: Member must have length less than or equal to 8192"
	big := map[string]string{"k": strings.Repeat("v", 8200)}
	refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: api.Sensitive("x"), EncryptionContext: big}, "ValidationException", tooLong)
	refuse(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: m.KeyId, KeySpec: new("AES_256"), EncryptionContext: big}, "ValidationException", tooLong)
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: c.encrypt(*m.KeyId, "x"), EncryptionContext: big}, "ValidationException", tooLong)
	// It is told before it is compared with any policy, of which the caller has none.
	nobody := c
	nobody.user = "ana"
	refuse(nobody, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: api.Sensitive("x"), EncryptionContext: big}, "ValidationException", tooLong)
	refuse(nobody, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: []byte("x"), EncryptionContext: big}, "ValidationException", tooLong)
	refuse(nobody, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: m.KeyId, KeySpec: new("AES_256"), EncryptionContext: big}, "ValidationException", tooLong)
	refuse(nobody, kmsapi.GenerateDataKeyWithoutPlaintext, &kmsapi.GenerateDataKeyWithoutPlaintextInput{KeyId: m.KeyId, KeySpec: new("AES_256"), EncryptionContext: big}, "ValidationException", tooLong)
	refuse(nobody, kmsapi.GenerateDataKeyPair, &kmsapi.GenerateDataKeyPairInput{KeyId: m.KeyId, KeyPairSpec: new("ECC_NIST_P256"), EncryptionContext: big}, "ValidationException", tooLong)
	refuse(nobody, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: []byte("x"), DestinationKeyId: m.KeyId, SourceEncryptionContext: big}, "ValidationException",
		strings.Replace(tooLong, "encryptionContext", "sourceEncryptionContext", 1))
	fits := map[string]string{"k": strings.Repeat("v", 8000)}
	blob := must(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: api.Sensitive("x"), EncryptionContext: fits}).CiphertextBlob
	must(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionContext: fits})
}

const noCiphertextKey = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."

// isNoKey reports whether a ciphertext was refused because there is no key of the id in it.
func isNoKey(err error) bool {
	fe, ok := fault.As(err)
	return ok && fe.Code == "AccessDeniedException" && fe.Message == noCiphertextKey
}

// Whichever bit of a blob is changed, wherever it is cut, whatever is added:
// without KeyId nothing is said but that it is invalid, or of a key that is not there.
func TestTamperedCiphertexts(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	must(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: m.KeyId})
	blob := c.encrypt(*m.KeyId, "a secret", "k", "v")
	try := func(what string, b []byte) {
		t.Helper()
		_, err := call(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: b, EncryptionContext: map[string]string{"k": "v"}})
		if !isNoKey(err) {
			apitest.Refused(t, what, err, "InvalidCiphertextException", "")
		}
		_, err = call(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: m.KeyId, CiphertextBlob: b, EncryptionContext: map[string]string{"k": "v"}})
		if err == nil || err.Error() != "InvalidCiphertextException" && err.Error() != "IncorrectKeyException: "+incorrect {
			t.Errorf("%s with KeyId: %v", what, err)
		}
	}
	for i := range blob {
		for _, bit := range []byte{0x01, 0x80} {
			b := bytes.Clone(blob)
			b[i] ^= bit
			try(fmt.Sprintf("byte %d", i), b)
		}
	}
	for n := 1; n < len(blob); n++ {
		try(fmt.Sprintf("cut to %d", n), blob[:n])
	}
	try("one more", append(bytes.Clone(blob), 0))
	try("garbage", []byte("garbage"))
	try("longest", make([]byte, 6144))
	if got := c.decrypt(blob, "k", "v"); got != "a secret" {
		t.Errorf("the blob itself gives %q", got)
	}
}

func TestDecryptWithAnotherKey(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, eu)
	a, b := c.createKey(), c.createKey()
	c.createAlias("alias/b", *b.KeyId)
	blob := c.encrypt(*a.KeyId, "x")
	for _, id := range []string{*b.KeyId, *b.Arn, "alias/b"} {
		refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: &id, CiphertextBlob: blob}, "IncorrectKeyException", incorrect)
		refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{SourceKeyId: &id, CiphertextBlob: blob, DestinationKeyId: &id}, "IncorrectKeyException", incorrect)
	}
	foreign := w.in(theirs, eu)
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: b.KeyId, CiphertextBlob: foreign.encrypt(*foreign.createKey().KeyId, "x")}, "IncorrectKeyException", incorrect)
}

func TestGenerateDataKey(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	for _, tc := range []struct {
		spec  *string
		bytes *int64
		want  int
	}{
		{new("AES_256"), nil, 32}, {new("AES_128"), nil, 16}, {nil, new(int64(1)), 1}, {nil, new(int64(64)), 64}, {nil, new(int64(1024)), 1024},
	} {
		out := must(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: m.KeyId, KeySpec: tc.spec, NumberOfBytes: tc.bytes, EncryptionContext: map[string]string{"a": "b"}})
		if len(out.Plaintext) != tc.want || *out.KeyId != *m.Arn || *out.KeyMaterialId != *m.CurrentKeyMaterialId || c.decrypt(out.CiphertextBlob, "a", "b") != string(out.Plaintext) {
			t.Errorf("want %d bytes: %+v", tc.want, out)
		}
		bare := must(c, kmsapi.GenerateDataKeyWithoutPlaintext, &kmsapi.GenerateDataKeyWithoutPlaintextInput{KeyId: m.KeyId, KeySpec: tc.spec, NumberOfBytes: tc.bytes})
		if p := c.decrypt(bare.CiphertextBlob); len(p) != tc.want || *bare.KeyId != *m.Arn || p == strings.Repeat("\x00", tc.want) && tc.want > 1 {
			t.Errorf("without plaintext, want %d bytes: %+v", tc.want, bare)
		}
	}
	const either = "Please specify either number of bytes or key spec."
	for _, in := range []kmsapi.GenerateDataKeyInput{
		{KeyId: m.KeyId},
		{KeyId: m.KeyId, KeySpec: new("AES_256"), NumberOfBytes: new(int64(32))},
	} {
		refuse(c, kmsapi.GenerateDataKey, &in, "ValidationException", either)
		refuse(c, kmsapi.GenerateDataKeyWithoutPlaintext, &kmsapi.GenerateDataKeyWithoutPlaintextInput{KeyId: in.KeyId, KeySpec: in.KeySpec, NumberOfBytes: in.NumberOfBytes}, "ValidationException", either)
	}
	refuse(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: m.KeyId, NumberOfBytes: new(int64(1025))}, "ValidationException",
		"1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024")
	refuse(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: m.KeyId, NumberOfBytes: new(int64(0))}, "ValidationException",
		"1 validation error detected: Value '0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1")
}

func TestReEncrypt(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	a, b := c.createKey(), c.createKey()
	c.createAlias("alias/b", *b.KeyId)
	blob := c.encrypt(*a.KeyId, "text", "from", "a")
	for _, source := range []*string{nil, a.KeyId, a.Arn} {
		out := must(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{
			CiphertextBlob: blob, SourceKeyId: source, SourceEncryptionContext: map[string]string{"from": "a"},
			DestinationKeyId: new("alias/b"), DestinationEncryptionContext: map[string]string{"to": "b"},
		})
		if *out.SourceKeyId != *a.Arn || *out.KeyId != *b.Arn || *out.SourceEncryptionAlgorithm != "SYMMETRIC_DEFAULT" || *out.DestinationEncryptionAlgorithm != "SYMMETRIC_DEFAULT" ||
			*out.SourceKeyMaterialId != *a.CurrentKeyMaterialId || *out.DestinationKeyMaterialId != *b.CurrentKeyMaterialId {
			t.Errorf("%+v", out)
		}
		if got := c.decrypt(out.CiphertextBlob, "to", "b"); got != "text" {
			t.Errorf("got %q", got)
		}
	}
	// Onto itself: that is how old ciphertexts come under new material.
	must(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: a.KeyId})
	out := must(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: blob, SourceEncryptionContext: map[string]string{"from": "a"}, DestinationKeyId: a.KeyId})
	if *out.SourceKeyMaterialId != *a.CurrentKeyMaterialId || *out.DestinationKeyMaterialId == *a.CurrentKeyMaterialId {
		t.Errorf("material from %s to %s", *out.SourceKeyMaterialId, *out.DestinationKeyMaterialId)
	}

	dest := "alias/b"
	refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: &dest}, "InvalidCiphertextException", "")
	refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: []byte("x"), DestinationKeyId: &dest}, "InvalidCiphertextException", "")
	refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{DestinationKeyId: &dest}, "ValidationException",
		"1 validation error detected: Value at 'ciphertextBlob' failed to satisfy constraint: Member must not be null")
	refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: new("alias/none")}, "NotFoundException", "Alias "+c.arn("alias/none")+" is not found.")
	refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: blob, SourceEncryptionContext: map[string]string{"from": "a"}, DestinationKeyId: &dest, DestinationEncryptionAlgorithm: new("RSAES_OAEP_SHA_1")},
		"InvalidKeyUsageException", "Algorithm RSAES_OAEP_SHA_1 is incompatible with key spec SYMMETRIC_DEFAULT.")
	refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: blob, SourceEncryptionContext: map[string]string{"from": "a"}, DestinationKeyId: &dest, DestinationEncryptionContext: map[string]string{"k": strings.Repeat("v", 9000)}},
		"ValidationException", "1 validation error detected: Value at 'destinationEncryptionContext' failed to satisfy constraint: Member must have length less than or equal to 8192")
	user := c
	user.user = "ana"
	refuse(user, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: &dest}, "AccessDeniedException",
		"The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
	refuse(user, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: blob, SourceKeyId: a.Arn, DestinationKeyId: &dest}, "AccessDeniedException",
		"User: arn:aws:iam::111122223333:user/ana is not authorized to perform: kms:ReEncryptFrom on resource: "+*a.Arn+" because no identity-based policy allows the kms:ReEncryptFrom action")
	foreign := "arn:aws:kms:eu-west-1:" + theirs + ":key/" + *b.KeyId
	refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: &foreign}, "AccessDeniedException",
		"User: arn:aws:iam::111122223333:root is not authorized to perform: kms:ReEncryptTo on resource: "+foreign+" because no resource-based policy allows the kms:ReEncryptTo action")
}

func TestDryRun(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m, off := c.createKey(), c.createKey()
	must(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: off.KeyId})
	blob := c.encrypt(*m.KeyId, "x")
	dry, code := new(true), "DryRunOperationException"
	refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: api.Sensitive("x"), DryRun: dry}, code, dryRunText)
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, DryRun: dry}, code, dryRunText)
	refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: m.KeyId, DryRun: dry}, code, dryRunText)
	refuse(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: m.KeyId, KeySpec: new("AES_256"), DryRun: dry}, code, dryRunText)
	refuse(c, kmsapi.GenerateDataKeyWithoutPlaintext, &kmsapi.GenerateDataKeyWithoutPlaintextInput{KeyId: m.KeyId, KeySpec: new("AES_256"), DryRun: dry}, code, dryRunText)
	must(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, DryRun: new(false)})

	// After all other checks.
	refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: off.KeyId, Plaintext: api.Sensitive("x"), DryRun: dry}, "DisabledException", *off.Arn+" is disabled.")
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"a": "b"}, DryRun: dry}, "InvalidCiphertextException", "")
	refuse(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: m.KeyId, DryRun: dry}, "ValidationException", "Please specify either number of bytes or key spec.")

	// IGNORE_CIPHERTEXT needs no ciphertext, but a dry run and a key.
	ignore := []string{"IGNORE_CIPHERTEXT"}
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: m.KeyId, DryRun: dry, DryRunModifiers: ignore}, code, dryRunText)
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: m.KeyId, CiphertextBlob: []byte("x"), DryRun: dry, DryRunModifiers: ignore}, code, dryRunText)
	refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{SourceKeyId: m.KeyId, DestinationKeyId: m.KeyId, DryRun: dry, DryRunModifiers: ignore}, code, dryRunText)
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: off.KeyId, DryRun: dry, DryRunModifiers: ignore}, "DisabledException", *off.Arn+" is disabled.")
	refuse(c, kmsapi.ReEncrypt, &kmsapi.ReEncryptInput{SourceKeyId: m.KeyId, DestinationKeyId: off.KeyId, DryRun: dry, DryRunModifiers: ignore}, "DisabledException", *off.Arn+" is disabled.")
	const null = "1 validation error detected: Value at 'ciphertextBlob' failed to satisfy constraint: Member must not be null"
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{DryRun: dry, DryRunModifiers: ignore}, "ValidationException", null)
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{KeyId: m.KeyId, DryRunModifiers: ignore}, "ValidationException", null)
}

func TestEnclavesAreNotServed(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	const text = "Recipient is not served: there are no enclaves here to attest."
	rec := &kmsapi.RecipientInfo{}
	refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: c.encrypt(*m.KeyId, "x"), Recipient: rec}, "UnsupportedOperationException", text)
	refuse(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: m.KeyId, KeySpec: new("AES_256"), Recipient: rec}, "UnsupportedOperationException", text)
	refuse(c, kmsapi.GenerateRandom, &kmsapi.GenerateRandomInput{NumberOfBytes: new(int64(1)), Recipient: rec}, "UnsupportedOperationException", text)
}

func TestGenerateRandom(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	for _, n := range []int64{1, 32, 1024} {
		a := must(c, kmsapi.GenerateRandom, &kmsapi.GenerateRandomInput{NumberOfBytes: &n})
		b := must(c, kmsapi.GenerateRandom, &kmsapi.GenerateRandomInput{NumberOfBytes: &n})
		if int64(len(a.Plaintext)) != n || n > 8 && bytes.Equal(a.Plaintext, b.Plaintext) {
			t.Errorf("%d bytes: got %d", n, len(a.Plaintext))
		}
	}
	refuse(c, kmsapi.GenerateRandom, &kmsapi.GenerateRandomInput{}, "ValidationException", "NumberOfBytes is required.")
	refuse(c, kmsapi.GenerateRandom, &kmsapi.GenerateRandomInput{NumberOfBytes: new(int64(1025))}, "ValidationException",
		"1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024")
	refuse(c, kmsapi.GenerateRandom, &kmsapi.GenerateRandomInput{NumberOfBytes: new(int64(8)), CustomKeyStoreId: new("cks-1")}, "CustomKeyStoreNotFoundException", "Custom key store 'cks-1' is not found.")
}

// No error text and no formatted answer has the plaintext.
func TestPlaintextStaysOutOfSight(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	const text = "correct horse battery staple"
	in := &kmsapi.EncryptInput{KeyId: m.KeyId, Plaintext: api.Sensitive(text)}
	out := must(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: must(c, kmsapi.Encrypt, in).CiphertextBlob})
	in.DryRun = new(true)
	_, err := call(c, kmsapi.Encrypt, in)
	for _, s := range []string{fmt.Sprintf("%v %+v %#v", *out, *out, *out), fmt.Sprintf("%v %+v %#v", *in, *in, *in), fmt.Sprint(err)} {
		if strings.Contains(s, text) || strings.Contains(s, fmt.Sprintf("%x", text)) {
			t.Errorf("plaintext in %s", s)
		}
	}
}
