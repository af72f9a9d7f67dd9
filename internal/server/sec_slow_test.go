package server_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"coffer/internal/coffertest"
)

// One request of less than 1 MiB keeps a processor busy for a minute: the encryption
// context is compared with the key's policy before its length is looked at.
func TestSecSlowKeyPolicy(t *testing.T) {
	s := coffertest.Start(t, coffertest.InMemory())
	ctx := context.Background()
	c := kms.NewFromConfig(s.Config("eu-west-1"))
	k, err := c.CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + s.Credentials.Account + `"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"StringLike":{"kms:EncryptionContext:a":"*` + strings.Repeat("?a", 2000) + `b*"}}}]}`
	if _, err := c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: k.KeyMetadata.KeyId, Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err = c.Encrypt(ctx, &kms.EncryptInput{KeyId: k.KeyMetadata.KeyId, Plaintext: []byte("x"), EncryptionContext: map[string]string{"a": strings.Repeat("a", 1_000_000)}})
	took := time.Since(start)
	t.Logf("4,000 of the 32,768 characters that a policy may have: %v, %v", took, err)
	if took > time.Second {
		t.Errorf("one Encrypt took %v", took)
	}
	_ = aws.String
}
