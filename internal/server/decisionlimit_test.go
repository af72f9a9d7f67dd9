package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
)

// A key policy and an encryption context of sizes that AWS takes, that would have to be compared
// millions of times: the call gets no decision and no answer, and others are served.
func TestEndlessDecisionsAreGivenUp(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newKeyholders(t)
	values := `["` + strings.Join(slices.Repeat([]string{"b"}, 6000), `","`) + `"]`
	key := w.key(w.accountMay(), `{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"ForAnyValue:StringLike":{"kms:EncryptionContextKeys":`+values+`}}}`)
	encrypt := func(pairs int) error {
		in := &kms.EncryptInput{KeyId: &key, Plaintext: []byte("x"), EncryptionContext: map[string]string{}}
		for i := range pairs {
			in.EncryptionContext[fmt.Sprint(i)] = ""
		}
		_, err := w.root.kms.Encrypt(ctx, in, func(o *kms.Options) { o.RetryMaxAttempts = 1 })
		return err
	}
	var e smithy.APIError
	if err := encrypt(1000); !errors.As(err, &e) || e.ErrorCode() != "KMSInternalException" {
		t.Errorf("a thousand names against six thousand: %v", err)
	}
	if err := encrypt(100); err != nil {
		t.Errorf("a hundred: %v", err)
	}
}

// What UpdatePrimaryRegion needs on the replica, it needs in the replica's region.
func TestPrimaryRegionIsRequested(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	key := w.key(w.accountMay())
	for region, denied := range map[string]bool{"eu-west-1": true, "us-east-1": false} {
		by := w.user(w.ours, "of-"+region, allow("kms:*", "*"),
			`{"Effect":"Deny","Action":"kms:*","Resource":"arn:aws:kms:us-east-1:*:*","Condition":{"StringNotEquals":{"aws:RequestedRegion":"`+region+`"}}}`)
		_, err := by.kms.UpdatePrimaryRegion(context.Background(), &kms.UpdatePrimaryRegionInput{KeyId: &key, PrimaryRegion: aws.String("us-east-1")})
		var e smithy.APIError
		if !errors.As(err, &e) || (e.ErrorCode() == "AccessDeniedException") != denied {
			t.Errorf("who may in %s: %v", region, err)
		}
	}
}

// Names of pairs have no case in condition keys, in a context of many as of few.
func TestPairsHaveNoCase(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	key := w.key(w.accountMay(), `{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:Größe":"no"}}}`)
	for _, others := range []int{0, 7, 8, 100} {
		for value, denied := range map[string]bool{"no": true, "yes": false} {
			in := &kms.EncryptInput{KeyId: &key, Plaintext: []byte("x"), EncryptionContext: map[string]string{"gRÖßE": value}}
			for i := range others {
				in.EncryptionContext[fmt.Sprint(i)] = "no"
			}
			_, err := w.root.kms.Encrypt(context.Background(), in)
			var e smithy.APIError
			if (err != nil) != denied || denied && (!errors.As(err, &e) || e.ErrorCode() != "AccessDeniedException") {
				t.Errorf("%q and %d other pairs: %v", value, others, err)
			}
		}
	}
}
