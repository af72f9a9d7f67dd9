package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"coffer/internal/coffertest"
	"coffer/internal/coffertest/check"
)

// TestOneName: of many who create one name at the same time exactly one wins,
// and the others hear why not.
func TestOneName(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 500
	}
	h := start(t)
	sm := h.sm("eu-west-1")
	// All are in flight at once: 200 each on as many HTTP/2 connections as that
	// takes, opened before, since thousands of handshakes are not the race.
	f := &fan{}
	for range (n + 199) / 200 {
		f.each = append(f.each, h.watch.next.(*http.Transport).Clone())
	}
	h.watch.next = f
	for range f.each {
		must(sm.ListSecrets(ctx, &secretsmanager.ListSecretsInput{}))(t)
	}
	var won, lost, unanswered atomic.Int64
	var winner atomic.Pointer[string]
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			mine := value(fmt.Sprint("mine ", i))
			_, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("one"), SecretString: mine})
			var e smithy.APIError
			switch {
			case err == nil:
				won.Add(1)
				winner.Store(mine)
			case errors.As(err, &e) && e.ErrorCode() == "ResourceExistsException" && e.ErrorMessage() == "The operation failed because the secret one already exists.":
				lost.Add(1)
			case !errors.As(err, &e):
				unanswered.Add(1) // its connection was lost, in the kernel's hands: it may have won
			default:
				t.Errorf("%v", err)
			}
		})
	}
	close(begin)
	wg.Wait()
	if won.Load() > 1 || won.Load() == 0 && unanswered.Load() == 0 || won.Load()+lost.Load()+unanswered.Load() != int64(n) || unanswered.Load() > 200 {
		t.Fatalf("%d won, %d lost and %d had no answer, of %d", won.Load(), lost.Load(), unanswered.Load(), n)
	}
	got := must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("one")}))(t)
	if w := winner.Load(); w != nil {
		check.Equal(t, "the winner's value", *got.SecretString, *w)
	}
}

// fan spreads requests over connections in turn.
type fan struct {
	each []*http.Transport
	n    atomic.Int64
}

func (f *fan) RoundTrip(r *http.Request) (*http.Response, error) {
	return f.each[int(f.n.Add(1))%len(f.each)].RoundTrip(r)
}

func (f *fan) CloseIdleConnections() {
	for _, t := range f.each {
		t.CloseIdleConnections()
	}
}

// TestOneSecret: concurrent new versions of one secret leave AWSCURRENT and
// AWSPREVIOUS on one version each.
func TestOneSecret(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := h.sm("eu-west-1")
		must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: value("0")}))(t)
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				if _, err := sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: new("s"), SecretString: value(fmt.Sprint(i))}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		labels := make(map[string]int)
		for _, stages := range must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: new("s")}))(t).VersionIdsToStages {
			for _, l := range stages {
				labels[l]++
			}
		}
		check.Equal(t, "labels", fmt.Sprint(labels), "map[AWSCURRENT:1 AWSPREVIOUS:1]")
		all := must(sm.ListSecretVersionIds(ctx, &secretsmanager.ListSecretVersionIdsInput{SecretId: new("s"), IncludeDeprecated: new(true)}))(t)
		check.Equal(t, "versions", len(all.Versions), 33)
	})
}

// TestRestart: everything is there after a stop and a start on the same directory.
func TestRestart(t *testing.T) {
	h := start(t)
	b := h.account(t, "b")
	sm, k := h.sm("eu-west-1"), h.kms("eu-west-1")
	key := must(k.CreateKey(ctx, &kms.CreateKeyInput{}))(t).KeyMetadata
	must(k.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/mine"), TargetKeyId: key.KeyId}))(t)
	blob := must(k.Encrypt(ctx, &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte(marker)}))(t).CiphertextBlob
	made := must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: value("one"), KmsKeyId: new("alias/mine"), Description: new("d"), ClientRequestToken: token("v1")}))(t)
	must(sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: new("s"), SecretString: value("two"), ClientRequestToken: token("v2")}))(t)
	must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("marked"), SecretString: value("m")}))(t)
	gone := must(sm.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: new("marked")}))(t)
	must(h.smAs("us-east-1", b).CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("of-b"), SecretString: value("b")}))(t)
	big := must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("big"), SecretBinary: make([]byte, 65536)}))(t)
	page := must(sm.ListSecrets(ctx, &secretsmanager.ListSecretsInput{MaxResults: new(int32(1))}))(t)
	h.HTTP.CloseIdleConnections()
	h.Stop(t)

	again := start(t, coffertest.InDir(h.Dir))
	check.Equal(t, "credentials", again.Credentials, h.Credentials)
	sm, k = again.sm("eu-west-1"), again.kms("eu-west-1")
	for id, want := range map[string]string{"v1": "one", "v2": "two"} {
		got := must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: made.ARN, VersionId: token(id)}))(t)
		check.Equal(t, id, *got.SecretString, *value(want))
	}
	d := must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: new("s")}))(t)
	check.Equal(t, "labels", stages(d.VersionIdsToStages), "v1[AWSPREVIOUS] v2[AWSCURRENT]")
	check.Equal(t, "description", *d.Description, "d")
	marked := must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: new("marked")}))(t)
	check.Equal(t, "DeletedDate", marked.DeletedDate.Equal(*gone.DeletionDate), true)
	check.Equal(t, "decrypted", string(must(k.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob}))(t).Plaintext), marker)
	must(k.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: new("alias/mine")}))(t)
	got := must(again.smAs("us-east-1", b).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("of-b")}))(t)
	check.Equal(t, "B's secret", *got.SecretString, *value("b"))
	check.Equal(t, "big", len(must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: big.ARN}))(t).SecretBinary), 65536)
	// A client half-way through a listing goes on.
	rest := listAll(t, sm, secretsmanager.ListSecretsInput{NextToken: page.NextToken, MaxResults: new(int32(1))}, func() {})
	check.Equal(t, "the rest of the listing", fmt.Sprint(rest), "[big]")
}
