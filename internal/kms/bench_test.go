package kms_test

import (
	"testing"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/table"
)

var benchContext = map[string]string{
	"SecretARN":       "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/database-AbCdEf",
	"SecretVersionId": "7b1c3f0e-5d5a-4d0c-9b1e-2f6a8c9d0e1f",
}

// benchmark is resolve, authorize and handle of one operation in a transaction that
// is open already, as a service's inner call is.
func benchmark(b *testing.B, op *api.Operation, in func(c client, keyID string) api.Struct) {
	c := newWorld(b).in(ours, eu)
	key := *c.createKey().KeyId
	benchmarkAs(b, c, op, in(c, key))
}

func benchmarkAs(b *testing.B, c client, op *api.Operation, input api.Struct) {
	r := c.request()
	r.Op = op
	bound := c.bound[op]
	authorize := directory.Decider(r)
	err := c.db.View(r.Context, func(tx *table.Tx) error {
		r.Tx = tx
		b.ReportAllocs()
		for b.Loop() {
			if _, err := bound.Run(r, input, authorize); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

func dataKeyOf(c client, key string) []byte {
	return must(c, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: &key, KeySpec: new("AES_256"), EncryptionContext: benchContext}).CiphertextBlob
}

func BenchmarkDecrypt(b *testing.B) {
	benchmark(b, kmsapi.Decrypt.Operation, func(c client, key string) api.Struct {
		return &kmsapi.DecryptInput{CiphertextBlob: dataKeyOf(c, key), EncryptionContext: benchContext}
	})
}

// BenchmarkDecryptByGrant is Decrypt by a grantee whom no policy allows it.
func BenchmarkDecryptByGrant(b *testing.B) {
	c := newWorld(b).in(ours, eu)
	key := *c.createKey().KeyId
	c.grant(key, c.arnOf("alice"), "Decrypt")
	benchmarkAs(b, c.as("alice"), kmsapi.Decrypt.Operation, &kmsapi.DecryptInput{CiphertextBlob: dataKeyOf(c, key), EncryptionContext: benchContext})
}

// BenchmarkDecryptBesideGrants is Decrypt by the root, under a key with grants to others.
func BenchmarkDecryptBesideGrants(b *testing.B) {
	c := newWorld(b).in(ours, eu)
	key := *c.createKey().KeyId
	c.grant(key, c.arnOf("alice"), "Decrypt")
	benchmarkAs(b, c, kmsapi.Decrypt.Operation, &kmsapi.DecryptInput{CiphertextBlob: dataKeyOf(c, key), EncryptionContext: benchContext})
}

func BenchmarkDecryptByARN(b *testing.B) {
	benchmark(b, kmsapi.Decrypt.Operation, func(c client, key string) api.Struct {
		return &kmsapi.DecryptInput{KeyId: new(c.arn("key/" + key)), CiphertextBlob: dataKeyOf(c, key), EncryptionContext: benchContext}
	})
}

func BenchmarkGenerateDataKey(b *testing.B) {
	benchmark(b, kmsapi.GenerateDataKey.Operation, func(_ client, key string) api.Struct {
		return &kmsapi.GenerateDataKeyInput{KeyId: &key, KeySpec: new("AES_256"), EncryptionContext: benchContext}
	})
}

func BenchmarkGenerateDataKeyByAlias(b *testing.B) {
	benchmark(b, kmsapi.GenerateDataKey.Operation, func(c client, key string) api.Struct {
		c.createAlias("alias/app", key)
		return &kmsapi.GenerateDataKeyInput{KeyId: new("alias/app"), KeySpec: new("AES_256"), EncryptionContext: benchContext}
	})
}
