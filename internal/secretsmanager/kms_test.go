package secretsmanager_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/secretsmanager"
	"coffer/internal/table"
)

const (
	cannotDecrypt = "Secrets Manager can't decrypt the protected secret text using the provided KMS key."
	cannotEncrypt = "Secrets Manager can't encrypt the protected secret text using the provided KMS key. Check that the KMS key is available, enabled, and not in an invalid state."
	kmsDenied     = "Access to KMS is not allowed"
)

// Which calls of KMS each operation makes (spec §14), with which version in
// the encryption context.
func TestKMSCalls(t *testing.T) {
	w := newWorld(t)
	w.twice = false
	c := w.root()
	k1, k2 := w.kms.add(account, "k1"), w.kms.add(account, "k2")
	update := func(in smapi.UpdateSecretInput) {
		in.SecretId = new("own")
		if _, err := call(c, smapi.UpdateSecret, &in); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []struct {
		what string
		do   func()
		want string
	}{
		{"create under the default key", func() { c.create("s", "1") }, "GenerateDataKey managed v1"},
		{"create without a value", func() { c.create("empty", "") }, ""},
		{"create under a key, without a value", func() {
			if _, err := call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: new("own"), KmsKeyId: &k1}); err != nil {
				t.Fatal(err)
			}
		}, "GenerateDataKey k1 RequestToValidateKeyAccess, Decrypt k1 RequestToValidateKeyAccess"},
		{"put", func() { c.put("own", "v1", "1") }, "GenerateDataKey k1 v1"},
		{"put again", func() { c.put("own", "v1", "1") }, "Decrypt k1 v1"},
		{"get", func() { c.get("own", "", "") }, "Decrypt k1 v1"},
		{"describe", func() { c.describe("own") }, ""},
		{"update the description", func() { update(smapi.UpdateSecretInput{Description: new("d")}) }, ""},
		{"update the value", func() {
			update(smapi.UpdateSecretInput{ClientRequestToken: token("v2"), SecretString: api.Sensitive("2")})
		}, "GenerateDataKey k1 v2"},
		{"labels", func() { c.put("own", "v3", "3", "x") }, "GenerateDataKey k1 v3"},
		{"another key: AWSCURRENT and AWSPREVIOUS move, custom labels do not", func() { update(smapi.UpdateSecretInput{KmsKeyId: &k2}) },
			"GenerateDataKey k2 RequestToValidateKeyAccess, Decrypt k2 RequestToValidateKeyAccess, Decrypt k1 v1, Encrypt k2 v1, Decrypt k1 v2, Encrypt k2 v2"},
		{"the same key again", func() { update(smapi.UpdateSecretInput{KmsKeyId: &k2}) },
			"GenerateDataKey k2 RequestToValidateKeyAccess, Decrypt k2 RequestToValidateKeyAccess"},
		{"read what moved", func() { c.get("own", "v2", "") }, "Decrypt k2 v2"},
		{"read what did not", func() { c.get("own", "v3", "") }, "Decrypt k1 v3"},
		{"key and value at once", func() {
			update(smapi.UpdateSecretInput{KmsKeyId: &k1, ClientRequestToken: token("v4"), SecretString: api.Sensitive("4")})
		}, "GenerateDataKey k1 RequestToValidateKeyAccess, Decrypt k1 RequestToValidateKeyAccess, Decrypt k2 v1, Encrypt k1 v1, Decrypt k2 v2, Encrypt k1 v2, GenerateDataKey k1 v4"},
	} {
		s.do()
		if got := w.kms.since(); got != s.want {
			t.Errorf("%s\ngot  %s\nwant %s", s.what, got, s.want)
		}
	}
	for id, want := range map[string]string{"v1": "1", "v2": "2", "v3": "3", "v4": "4"} {
		if got, err := c.get("own", id, ""); err != nil || got != want {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// What DescribeSecret shows of the key.
func TestKmsKeyID(t *testing.T) {
	w := newWorld(t)
	c := w.root()
	k1 := w.kms.add(account, "k1")
	alias := "arn:aws:kms:" + region + ":" + account + ":alias/mine"
	w.kms.alias[alias] = k1
	for i, tc := range []struct{ given, shown string }{
		{"", ""},
		{"alias/aws/secretsmanager", ""},
		{"arn:aws:kms:" + region + ":" + account + ":alias/aws/secretsmanager", ""},
		{k1, k1},
		{"k1", "k1"},
		{"alias/mine", "alias/mine"},
		{alias, alias},
	} {
		name := fmt.Sprint("s", i)
		if _, err := call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: &name, KmsKeyId: &tc.given, ClientRequestToken: token("v1"), SecretString: api.Sensitive("x")}); err != nil {
			t.Errorf("%q: %v", tc.given, err)
			continue
		}
		got := ""
		if d := c.describe(name); d.KmsKeyId != nil {
			got = *d.KmsKeyId
		}
		if got != tc.shown {
			t.Errorf("%q: shown as %q", tc.given, got)
		}
		out, err := call(c, smapi.ListSecretVersionIds, &smapi.ListSecretVersionIdsInput{SecretId: &name})
		want := k1
		if tc.shown == "" {
			want = "DefaultEncryptionKey"
		}
		if err != nil || out.Versions[0].KmsKeyIds[0] != want {
			t.Errorf("%q: version under %v, %v", tc.given, out.Versions[0].KmsKeyIds, err)
		}
		// Back to the default key.
		if _, err := call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: &name, KmsKeyId: new("")}); err != nil {
			t.Fatal(err)
		}
		if d := c.describe(name); d.KmsKeyId != nil {
			t.Errorf("still under %s", *d.KmsKeyId)
		}
		if v, err := c.get(name, "", ""); err != nil || v != "x" {
			t.Errorf("%q: %v", tc.given, err)
		}
	}
}

// What the caller is told when KMS refuses.
func TestKMSErrors(t *testing.T) {
	disabled := kmsapi.DisabledException("arn is disabled.")
	for _, tc := range []struct {
		rule string
		do   func(w *world, key string) // what happens to the key
		read [2]string                  // code and text of GetSecretValue
		put  [2]string                  // and of PutSecretValue
		make [2]string                  // and of CreateSecret under that key
	}{
		{"the caller may not decrypt", func(w *world, key string) { w.kms.deny("Decrypt", key) },
			[2]string{"AccessDeniedException", kmsDenied}, [2]string{}, [2]string{"AccessDeniedException", kmsDenied}},
		{"the caller may not encrypt", func(w *world, key string) { w.kms.deny("GenerateDataKey", key) },
			[2]string{}, [2]string{"AccessDeniedException", kmsDenied}, [2]string{"AccessDeniedException", kmsDenied}},
		{"the key is disabled", func(w *world, key string) { w.kms.keys[key].state = disabled },
			[2]string{"DecryptionFailure", cannotDecrypt}, [2]string{"EncryptionFailure", cannotEncrypt}, [2]string{"EncryptionFailure", cannotEncrypt}},
		{"the key is pending deletion", func(w *world, key string) {
			w.kms.keys[key].state = kmsapi.KMSInvalidStateException(key + " is pending deletion.")
		},
			[2]string{"DecryptionFailure", cannotDecrypt}, [2]string{"EncryptionFailure", cannotEncrypt}, [2]string{"EncryptionFailure", cannotEncrypt}},
		{"the key is asymmetric", func(w *world, key string) {
			w.kms.keys[key].state = kmsapi.InvalidKeyUsageException("")
		},
			[2]string{"DecryptionFailure", cannotDecrypt}, [2]string{"EncryptionFailure", cannotEncrypt}, [2]string{"EncryptionFailure", cannotEncrypt}},
		{"the key is gone", func(w *world, key string) { delete(w.kms.keys, key) },
			[2]string{"DecryptionFailure", cannotDecrypt}, [2]string{"InvalidParameterException", "Secrets Manager can't find the specified KMS key."}, [2]string{"InvalidParameterException", "Secrets Manager can't find the specified KMS key."}},
		{"KMS fails", func(w *world, key string) { w.kms.keys[key].state = kmsapi.KMSInternalException("disk") },
			[2]string{"InternalServiceError", "An error occurred on the server side."}, [2]string{"InternalServiceError", "An error occurred on the server side."}, [2]string{"InternalServiceError", "An error occurred on the server side."}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			w := newWorld(t)
			c := w.root()
			key := w.kms.add(account, "k1")
			if _, err := call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: new("s"), KmsKeyId: &key, ClientRequestToken: token("v1"), SecretString: api.Sensitive("x")}); err != nil {
				t.Fatal(err)
			}
			tc.do(w, key)
			check := func(op string, want [2]string, err error) {
				t.Helper()
				if want[0] != "" {
					wantFault[int](t, nil, err, want[0], want[1])
				} else if err != nil {
					t.Errorf("%s: %v", op, err)
				}
			}
			_, err := c.get("s", "", "")
			check("GetSecretValue", tc.read, err)
			_, err = call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{SecretId: new("s"), ClientRequestToken: token("v2"), SecretString: api.Sensitive("y")})
			check("PutSecretValue", tc.put, err)
			_, err = call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: new("t"), KmsKeyId: &key})
			check("CreateSecret", tc.make, err)
			_, err = call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: new("s"), KmsKeyId: &key})
			check("UpdateSecret", tc.make, err)
			// A secret whose key is in trouble can be given another.
			if tc.rule != "KMS fails" {
				if _, err = call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: new("s"), KmsKeyId: new("")}); err != nil {
					t.Errorf("back to the default key: %v", err)
				}
			}
		})
	}
}

// Without kms:Encrypt on the new key the versions keep the old one.
func TestKeyChangeWithoutEncrypt(t *testing.T) {
	w := newWorld(t)
	c := w.root()
	key := w.kms.add(account, "k1")
	w.kms.deny("Encrypt", key)
	c.create("s", "1")
	if _, err := call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: new("s"), KmsKeyId: &key}); err != nil {
		t.Fatal(err)
	}
	if *c.describe("s").KmsKeyId != key {
		t.Error("the secret has not got the new key")
	}
	out, err := call(c, smapi.ListSecretVersionIds, &smapi.ListSecretVersionIdsInput{SecretId: new("s")})
	if err != nil || fmt.Sprint(out.Versions[0].KmsKeyIds) != "[DefaultEncryptionKey]" {
		t.Errorf("%v %v", out.Versions[0].KmsKeyIds, err)
	}
	if v, err := c.get("s", "", ""); err != nil || v != "1" {
		t.Error(err)
	}
}

// A sealed value opens only where it was sealed: as that version, of that
// secret, of that kind.
func TestValueIsTiedToItsPlace(t *testing.T) {
	w := newWorld(t)
	c := w.root()
	c.create("a", "of a")
	c.create("b", "of b")
	change := func(f func(a, b *secretsmanager.Secret)) {
		t.Helper()
		err := w.db.Update(context.Background(), func(tx *table.Tx) error {
			a, err := secretsmanager.Secrets.Load(tx, table.K(account, region, "a"))
			if err != nil {
				return err
			}
			b, err := secretsmanager.Secrets.Load(tx, table.K(account, region, "b"))
			if err != nil {
				return err
			}
			f(a, b)
			return secretsmanager.Secrets.Put(tx, a)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var good secretsmanager.Version
	change(func(a, _ *secretsmanager.Secret) { good = a.Versions[0] })
	for rule, f := range map[string]func(v *secretsmanager.Version, b *secretsmanager.Secret){
		"another secret's value": func(v *secretsmanager.Version, b *secretsmanager.Secret) { v.Value = b.Versions[0].Value },
		"another secret's value and key": func(v *secretsmanager.Version, b *secretsmanager.Secret) {
			v.Value, v.DataKey = b.Versions[0].Value, b.Versions[0].DataKey
		},
		"another kind": func(v *secretsmanager.Version, _ *secretsmanager.Secret) { v.Kind = 2 },
		"a flipped bit": func(v *secretsmanager.Version, _ *secretsmanager.Secret) {
			v.Value = append([]byte{}, v.Value...)
			v.Value[len(v.Value)-1] ^= 1
		},
		"another version byte": func(v *secretsmanager.Version, _ *secretsmanager.Secret) { v.Value = append([]byte{2}, v.Value[1:]...) },
		"a cut value":          func(v *secretsmanager.Version, _ *secretsmanager.Secret) { v.Value = v.Value[:20] },
		"a broken data key":    func(v *secretsmanager.Version, _ *secretsmanager.Secret) { v.DataKey = []byte("x") },
	} {
		change(func(a, b *secretsmanager.Secret) {
			a.Versions[0] = good
			f(&a.Versions[0], b)
		})
		_, err := c.get("a", "", "")
		t.Log(rule)
		wantFault[int](t, nil, err, "DecryptionFailure", cannotDecrypt)
		if err != nil && (strings.Contains(err.Error(), "of a") || strings.Contains(err.Error(), "of b")) {
			t.Error("the error shows a value")
		}
	}
	change(func(a, _ *secretsmanager.Secret) { a.Versions[0] = good })
	if _, err := c.get("a", "", ""); err != nil {
		t.Error(err)
	}
}

// Nothing readable of a value rests in a row, before the store's own seal.
func TestRowsHoldNoPlaintext(t *testing.T) {
	w := newWorld(t)
	c := w.root()
	const marker = "correct-horse-battery"
	c.create("s", marker)
	c.put("s", "large", strings.Repeat(marker, 1000))
	c.put("s", "last", marker)
	err := w.db.View(context.Background(), func(tx *table.Tx) error {
		for e, err := range secretsmanager.Secrets.Scan(tx, table.Range{}) {
			if err != nil {
				return err
			}
			if strings.Contains(dump(e.Value), marker) {
				t.Error("plaintext in sm.secret")
			}
		}
		for e, err := range secretsmanager.Values.Scan(tx, table.Range{}) {
			if err != nil {
				return err
			}
			if strings.Contains(dump(e.Value), marker) {
				t.Error("plaintext in sm.value")
			}
		}
		for e, err := range secretsmanager.DeprecatedVersions.Scan(tx, table.Range{}) {
			if err != nil {
				return err
			}
			if strings.Contains(dump(e.Value), marker) {
				t.Error("plaintext in sm.deprecated")
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// dump prints a record with its byte strings as text.
func dump(v any) string { return fmt.Sprintf("%s", v) }
