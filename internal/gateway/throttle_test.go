package gateway_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	kmsapi "coffer/internal/api/kms"
	smapi "coffer/internal/api/secretsmanager"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/audit"
	"coffer/internal/gateway"
	"coffer/internal/iam"
	"coffer/internal/table"
)

var services = []*api.Service{smapi.Service, kmsapi.Service, iamapi.Service, stsapi.Service}

// The quotas are those of AWS's documents; operations of a group share one.
func TestQuotas(t *testing.T) {
	t.Parallel()
	quota, err := gateway.Quotas(gateway.Throttle{}, services)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		op    *api.Operation
		value string
		group string
		rate  float64
	}{
		{smapi.GetSecretValue.Operation, "", "GetSecretValue", 10_000},
		{smapi.DescribeSecret.Operation, "", "GetSecretValue", 10_000},
		{smapi.BatchGetSecretValue.Operation, "", "BatchGetSecretValue", 100},
		{smapi.ListSecretVersionIds.Operation, "", "ListSecrets", 100},
		{smapi.CreateSecret.Operation, "", "CreateSecret", 50},
		{smapi.DeleteSecret.Operation, "", "DeleteSecret", 50},
		{smapi.UpdateSecretVersionStage.Operation, "", "PutSecretValue", 50},
		{smapi.ValidateResourcePolicy.Operation, "", "PutResourcePolicy", 50},
		{smapi.UntagResource.Operation, "", "TagResource", 50},
		{kmsapi.GenerateDataKey.Operation, "", "symmetric", 10_000},
		{kmsapi.Encrypt.Operation, "", "symmetric", 10_000},
		{kmsapi.Decrypt.Operation, "SYMMETRIC_DEFAULT", "symmetric", 10_000},
		{kmsapi.Decrypt.Operation, "RSAES_OAEP_SHA_256", "RSA", 1000},
		{kmsapi.Encrypt.Operation, "SM2PKE", "ECC", 1000},
		{kmsapi.ReEncrypt.Operation, "RSAES_OAEP_SHA_1", "RSA", 1000},
		{kmsapi.Sign.Operation, "RSASSA_PSS_SHA_256", "RSA", 1000},
		{kmsapi.Sign.Operation, "ECDSA_SHA_256", "ECC", 1000},
		{kmsapi.Verify.Operation, "ED25519_SHA_512", "ECC", 1000},
		{kmsapi.Verify.Operation, "ML_DSA_SHAKE_256", "ML-DSA", 1000},
		{kmsapi.DeriveSharedSecret.Operation, "", "ECC", 1000},
		{kmsapi.GenerateDataKeyPair.Operation, "RSA_4096", "GenerateDataKeyPair/RSA_4096", 1},
		{kmsapi.GenerateDataKeyPairWithoutPlaintext.Operation, "RSA_4096", "GenerateDataKeyPair/RSA_4096", 1},
		{kmsapi.GenerateDataKeyPair.Operation, "no such spec", "symmetric", 10_000},
		{kmsapi.CreateKey.Operation, "", "CreateKey", 5},
		{kmsapi.EnableKey.Operation, "", "EnableKey", 5},
		{kmsapi.EnableKeyRotation.Operation, "", "EnableKeyRotation", 15},
		{kmsapi.CreateGrant.Operation, "", "CreateGrant", 50},
		{kmsapi.DescribeKey.Operation, "", "DescribeKey", 2000},
		{kmsapi.ListKeys.Operation, "", "ListKeys", 500},
		{kmsapi.ListGrants.Operation, "", "ListGrants", 100},
		{iamapi.GetUser.Operation, "", "reads", 100},
		{iamapi.SimulatePrincipalPolicy.Operation, "", "reads", 100},
		{iamapi.CreateUser.Operation, "", "changes", 20},
		{stsapi.GetCallerIdentity.Operation, "", "AssumeRole", 600},
		{stsapi.AssumeRoleWithSAML.Operation, "", "AssumeRoleWithWebIdentity", 100},
	} {
		if group, rate := quota(tc.op, tc.value); group != tc.group || rate != tc.rate {
			t.Errorf("%s %s: %v a second in group %s, want %v in %s", tc.op.Action(), tc.value, rate, group, tc.rate, tc.group)
		}
	}
}

// Every operation has a quota, every name in the table is an operation, and every
// algorithm and key spec of the models belongs to the group of its kind.
func TestQuotasAreComplete(t *testing.T) {
	t.Parallel()
	quota, err := gateway.Quotas(gateway.Throttle{}, services)
	if err != nil {
		t.Fatal(err)
	}
	patterns := gateway.QuotaPatterns()
	for _, s := range services {
		for _, op := range s.Operations {
			if group, rate := quota(op, ""); group == "other" || rate == 0 {
				t.Errorf("%s has no quota", op.Action())
			}
			member := gateway.Member(op)
			for _, m := range op.Input.Members {
				if m.Name != member || m.Shape == nil {
					continue
				}
				for _, value := range m.Shape.Enum {
					group, _ := quota(op, value)
					switch {
					case member == "KeyPairSpec" && group != "GenerateDataKeyPair/"+value,
						member != "KeyPairSpec" && (group == "symmetric") != (value == "SYMMETRIC_DEFAULT"):
						t.Errorf("%s of %s is in group %s", op.Action(), value, group)
					}
				}
				member = ""
			}
			if member != "" {
				t.Errorf("%s has no member %s", op.Action(), member)
			}
		}
		for _, line := range patterns[s.Name] {
			for _, p := range strings.Fields(line) {
				if !slices.ContainsFunc(s.Operations, func(op *api.Operation) bool { ok, err := path.Match(p, op.Name); return ok && err == nil }) {
					t.Errorf("%s has no operation %s", s.Name, p)
				}
			}
		}
	}
}

// What a deployment says of rates, and what it cannot say.
func TestThrottleSettings(t *testing.T) {
	t.Parallel()
	get, create := smapi.GetSecretValue.Operation, kmsapi.CreateKey.Operation
	for _, tc := range []struct {
		words       []string
		get, create float64
		wrong       string
	}{
		{nil, 10_000, 5, ""},
		{[]string{"off"}, 0, 0, ""},
		{[]string{"secretsmanager:GetSecretValue=20000"}, 20_000, 5, ""},
		{[]string{"secretsmanager:DescribeSecret=7"}, 7, 5, ""}, // any operation names its group
		{[]string{"off", "kms:CreateKey=0.5"}, 0, 0.5, ""},      // only what is named
		{[]string{"kms:CreateKey=100, secretsmanager:GetSecretValue=1"}, 1, 100, ""},
		{[]string{"kms:GenerateDataKeyPair/RSA_4096=2", "kms:RSA=5", "other=9"}, 10_000, 5, ""},
		{[]string{"on"}, 0, 0, "write off, or SERVICE:OPERATION=RATE"},
		{[]string{"kms:CreateKey=0"}, 0, 0, "write off"},
		{[]string{"kms:CreateKey=-1"}, 0, 0, "write off"},
		{[]string{"kms:CreateKey=NaN"}, 0, 0, "write off"},
		{[]string{"kms:CreateKey=1e9"}, 0, 0, "write off"},
		{[]string{"kms:CreateKey"}, 0, 0, "write off"},
		{[]string{"kms:CreateKeys=5"}, 0, 0, `no operation or group "kms:CreateKeys"`},
		{[]string{"kms:Sign=5"}, 0, 0, `no operation or group "kms:Sign" that has a quota of its own`}, // it depends on the key
	} {
		var cfg gateway.Throttle
		var err error
		for _, w := range tc.words {
			if err = cfg.Set(w); err != nil {
				break
			}
		}
		if err == nil {
			err = cfg.Validate(services)
		}
		if tc.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), tc.wrong) {
				t.Errorf("%q: %v, want an error with %q", tc.words, err, tc.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tc.words, err)
			continue
		}
		quota, err := gateway.Quotas(cfg, services)
		if err != nil {
			t.Fatal(err)
		}
		_, g := quota(get, "")
		_, c := quota(create, "")
		if g != tc.get || c != tc.create {
			t.Errorf("%q: GetSecretValue %v, CreateKey %v; want %v and %v", tc.words, g, c, tc.get, tc.create)
		}
	}
}

func TestBucket(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	took := func(b *gateway.Bucket, at time.Duration, asked int) (n int) {
		for range asked {
			if b.Take(start.Add(at)) {
				n++
			}
		}
		return n
	}
	b := gateway.NewBucket(5, 10)
	for _, tc := range []struct {
		at   time.Duration
		want int
		why  string
	}{
		{0, 10, "a new bucket is full"},
		{0, 0, "and then empty"},
		{199 * time.Millisecond, 0, "a token takes a fifth of a second"},
		{200 * time.Millisecond, 1, "which has gone by"},
		{time.Second + time.Millisecond, 4, "five a second"},
		{time.Hour, 10, "it holds no more than its size"},
		{-time.Hour, 0, "a clock set back gives nothing"},
		{-time.Hour + time.Second, 5, "and takes nothing: it fills as always"},
	} {
		if n := took(b, tc.at, 1000); n != tc.want {
			t.Errorf("%v: %d tokens, want %d: %s", tc.at, n, tc.want, tc.why)
		}
	}
	slow := gateway.NewBucket(0.001, 1)
	if n := took(slow, 0, 5) + took(slow, 999*time.Second, 5) + took(slow, 1000*time.Second, 5); n != 2 {
		t.Errorf("one in a thousand seconds: %d in that time, want 2", n)
	}
}

// However many ask at once, a bucket gives what it holds.
func TestBucketIsShared(t *testing.T) {
	t.Parallel()
	b, now := gateway.NewBucket(1, 1000), time.Now()
	var got atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				if b.Take(now) {
					got.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got.Load() != 1000 {
		t.Errorf("%d tokens of 1000", got.Load())
	}
}

// throttled is a gate with few calls a second, and a clock that the test moves.
func throttled(t *testing.T, rates map[string]float64) (g *gate, pass func(time.Duration)) {
	t.Helper()
	now := time.Now()
	g = newGate(t, described, restored, func(cfg *gateway.Config) {
		cfg.Throttle = gateway.Throttle{Rates: rates}
		cfg.Now = func() time.Time { return now }
	})
	return g, func(d time.Duration) { now = now.Add(d) }
}

// allowed sends calls and counts those that are not throttled.
func allowed(t *testing.T, n int, call func() *httptest.ResponseRecorder) (ok int) {
	t.Helper()
	for range n {
		switch w := call(); {
		case w.Code == 200:
			ok++
		default:
			wantError(t, w, 400, "ThrottlingException")
			if !strings.Contains(w.Body.String(), `"message":"Rate exceeded"`) {
				t.Errorf("answered %s", w.Body)
			}
		}
	}
	return ok
}

// A quota is of an account, a region and a group of operations.
func TestThrottle(t *testing.T) {
	t.Parallel()
	g, pass := throttled(t, map[string]float64{"secretsmanager:DescribeSecret": 2, "secretsmanager:RestoreSecret": 2})
	var second *iam.AccessKey
	if err := g.db.Update(context.Background(), func(tx *table.Tx) (err error) {
		_, second, err = iam.CreateAccount(tx, "second", "aws", time.Now())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	in := func(region string, key *iam.AccessKey, target string) func() *httptest.ResponseRecorder {
		return func() *httptest.ResponseRecorder { return g.callIn(t, region, key, target, onX) }
	}
	for _, tc := range []struct {
		who  string
		call func() *httptest.ResponseRecorder
		want int
	}{
		{"the first calls", in("eu-west-1", g.key, reads), 10},
		{"the next", in("eu-west-1", g.key, reads), 0},
		{"another operation", in("eu-west-1", g.key, writes), 10},
		{"another region", in("eu-west-2", g.key, reads), 10},
		{"another account", in("eu-west-1", second, reads), 10},
	} {
		if n := allowed(t, 15, tc.call); n != tc.want {
			t.Errorf("%s: %d of 15 went through, want %d", tc.who, n, tc.want)
		}
	}
	pass(2 * time.Second)
	if n := allowed(t, 15, in("eu-west-1", g.key, reads)); n != 4 {
		t.Errorf("after two seconds: %d calls went through, want 4", n)
	}
}

// Calls that are wrong count as well, and so do those that name no operation: nobody
// gets unlimited refusals by being wrong.
func TestWrongCallsCount(t *testing.T) {
	t.Parallel()
	g, _ := throttled(t, map[string]float64{"secretsmanager:DescribeSecret": 1, "other": 1})
	for name, tc := range map[string]struct{ target, body, code string }{
		"no JSON":               {reads, "{", "SerializationException"},
		"an unknown operation":  {"secretsmanager.FetchSecret", "{}", "UnknownOperationException"},
		"an operation unserved": {"secretsmanager.DescribeSecret", `{"SecretId":""}`, ""},
	} {
		last := g.call(t, tc.target, tc.body)
		for range 30 {
			last = g.call(t, tc.target, tc.body)
		}
		if wantError(t, last, 400, "ThrottlingException"); t.Failed() {
			t.Fatal(name)
		}
	}
}

// Regions are names that the caller makes up: new ones give no new buckets for ever.
func TestMadeUpRegions(t *testing.T) {
	t.Parallel()
	g, _ := throttled(t, map[string]float64{"secretsmanager:DescribeSecret": 0.001})
	total := 0
	for i := range 80 {
		region := fmt.Sprintf("eu-%c%c-1", 'a'+i/26, 'a'+i%26)
		total += allowed(t, 11, func() *httptest.ResponseRecorder { return g.callIn(t, region, g.key, reads, onX) })
	}
	if want := (64 + 1) * 10; total != want {
		t.Errorf("%d calls went through in 80 regions, want %d", total, want)
	}
}

// Throttled calls are recorded singly up to a rate and counted beyond it: together
// the records account for every call, and do not fill the disk.
func TestThrottledFlood(t *testing.T) {
	t.Parallel()
	g, _ := throttled(t, map[string]float64{"secretsmanager:DescribeSecret": 0.001})
	const sent = 500
	ok := allowed(t, sent, func() *httptest.ResponseRecorder { return g.call(t, reads, onX) })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g.Run(ctx) // the last count
	singly, counted := 0, 0
	for e, err := range g.log.Read(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := audit.ParseRecord(e.Record)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case rec.EventName == "ThrottledRequests":
			text := strings.TrimSuffix(strings.TrimPrefix(string(rec.AdditionalEventData), `{"requests":`), "}")
			n, err := strconv.Atoi(text)
			if err != nil || rec.RecipientAccountID != g.key.Account {
				t.Errorf("record %+v", rec)
			}
			counted += n
		case rec.ErrorCode == "ThrottlingException":
			singly++
			if rec.EventName != "DescribeSecret" || rec.UserIdentity.AccountID != g.key.Account || rec.ErrorMessage != "Rate exceeded" || len(rec.RequestParameters) > 0 {
				t.Errorf("record %+v", rec)
			}
		}
	}
	if ok != 10 || ok+singly+counted != sent || singly != 100 {
		t.Errorf("%d went through, %d were recorded singly and %d counted, of %d", ok, singly, counted, sent)
	}
}

// Who has no account is counted by address; of IPv6 everybody has many.
func TestNetwork(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"198.51.100.7": "198.51.100.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::9": "2001:db8:1:2::/64",
		"2001:db8:1:3::9": "2001:db8:1:3::/64", "fe80::1%eth0": "fe80::/64", "": "", "somewhere": "somewhere",
	} {
		if got := gateway.Network(ip); got != want {
			t.Errorf("%q is counted as %q, want %q", ip, got, want)
		}
	}
}

// What a take costs a call.
func BenchmarkThrottle(b *testing.B) {
	take := gateway.Taker(gateway.Throttle{Rates: map[string]float64{"secretsmanager:GetSecretValue": 1_000_000}}, services, smapi.GetSecretValue.Operation)
	var accounts [64]string
	for i := range accounts {
		accounts[i] = fmt.Sprintf("1111222233%02d", i)
	}
	b.Run("an account", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			take(accounts[0], "eu-west-1", time.Now())
		}
	})
	b.Run("an account, in parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				take(accounts[0], "eu-west-1", time.Now())
			}
		})
	})
	b.Run("accounts in parallel", func(b *testing.B) {
		b.ReportAllocs()
		var next atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			own := accounts[next.Add(1)%64]
			for pb.Next() {
				take(own, "eu-west-1", time.Now())
			}
		})
	})
}
