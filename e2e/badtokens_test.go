package e2e_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest/check"
)

// keys are the credentials that p calls with.
func (p *party) keys() aws.Credentials {
	p.w.t.Helper()
	return must(p.cfg.Credentials.Retrieve(ctx))(p.w.t)
}

// listsKeys is a call of KMS.
func (p *party) listsKeys() string { return check.Now(p.kms.ListKeys, &kms.ListKeysInput{}) }

// TestBadSessionTokens: tokens that are not what they seem are told the same, whatever is
// wrong with them, by every service.
func TestBadSessionTokens(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		elsewhere := newRealm(t, drivers[0].opts...)
		session := func(w *realm) *party {
			ana := w.ours.user("ana")
			return ana.assume(w.ours.role("app", ana.arn, allow("*", "*")), "job")
		}
		job, foreign := session(w), session(elsewhere)
		bo := w.ours.user("bo", allow("*", "*"))
		other := bo.session()
		good, theirs, of, long := job.keys(), foreign.keys(), other.keys(), bo.keys()
		flipped := []byte(good.SessionToken)
		flipped[len(flipped)/3] ^= 1
		const (
			wrong   = "InvalidSignatureException: The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
			expired = "ExpiredTokenException: The security token included in the request is expired"
		)
		both := func(p *party) string { return p.lists() + "|" + p.listsKeys() }
		twice := func(s string) string { return s + "|" + s }
		hold(t, []fact{{"genuine", both(job), "|" + ok}})
		for _, bad := range []struct{ what, id, secret, token, want string }{
			{"another secret", good.AccessKeyID, of.SecretAccessKey, good.SessionToken, wrong},
			{"of another deployment", theirs.AccessKeyID, theirs.SecretAccessKey, theirs.SessionToken, noUser},
			{"a bit changed", good.AccessKeyID, good.SecretAccessKey, string(flipped), noUser},
			{"truncated", good.AccessKeyID, good.SecretAccessKey, good.SessionToken[:len(good.SessionToken)/2], noUser},
			{"the last character less", good.AccessKeyID, good.SecretAccessKey, good.SessionToken[:len(good.SessionToken)-1], noUser},
			{"lengthened", good.AccessKeyID, good.SecretAccessKey, good.SessionToken + "AAAA", noUser},
			{"forged", good.AccessKeyID, good.SecretAccessKey, strings.Repeat("A", len(good.SessionToken)), noUser},
			{"no base64", good.AccessKeyID, good.SecretAccessKey, "%%%", noUser},
			{"far too long", good.AccessKeyID, good.SecretAccessKey, strings.Repeat("A", 50<<10), noUser},
			{"none", good.AccessKeyID, good.SecretAccessKey, "", noUser},
			{"another session's", good.AccessKeyID, good.SecretAccessKey, of.SessionToken, noUser},
			{"with another's key", of.AccessKeyID, of.SecretAccessKey, good.SessionToken, noUser},
			{"with a long-term key", long.AccessKeyID, long.SecretAccessKey, good.SessionToken, noUser},
		} {
			hold(t, []fact{{bad.what, both(w.with(job.arn, bad.id, bad.secret, bad.token)), twice(bad.want)}})
		}
		w.advance(time.Hour)
		hold(t, []fact{{"expired", both(job), twice(expired)}})
		w.advance(-time.Hour)
		hold(t, []fact{{"of a role", both(job), "|" + ok}, {"which goes", w.ours.removes("role", "app"), ok}, {"and comes anew", w.ours.role("app", bo.arn, allow("*", "*")), w.ours.entity("role/app")}, {"again", both(job), twice(noUser)}})
	})
}

// TestClockSteps: a clock that is set while sessions are under way ends them early or late, and
// breaks nothing.
func TestClockSteps(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		a.makes("s")
		ana := a.user("ana")
		serial, code := a.device("ana")
		role := a.role("app", ana.arn, allow("secretsmanager:*", "*", when("NumericLessThan", "aws:MultiFactorAuthAge", "600")), allow("sts:*", "*"))
		self := a.role("self", ana.arn, allow("secretsmanager:*", "*"))
		with := ana.session(factor(serial, code()))
		job := ana.assume(self, "job")
		chained := with.assume(role, "with")
		const expired = "ExpiredTokenException: The security token included in the request is expired"
		all := func() string {
			return job.gets("s") + "," + check.Now(chained.sts.GetCallerIdentity, &sts.GetCallerIdentityInput{})
		}
		hold(t, []fact{{"now", all(), "ok,ok"}})
		for _, step := range []struct {
			by   time.Duration
			want string
		}{
			{59 * time.Minute, "ok,ok"}, {-3 * time.Hour, "ok,ok"}, {4 * time.Hour, expired + ",ExpiredToken: The security token included in the request is expired"},
			{-4 * time.Hour, "ok,ok"}, {-10 * 365 * 24 * time.Hour, "ok,ok"}, {10*365*24*time.Hour + 2*time.Hour + time.Minute, "ok,ok"},
		} {
			w.advance(step.by)
			hold(t, []fact{{fmt.Sprint("a step of ", step.by), all(), step.want}})
			hold(t, []fact{{"a session of this time", ana.assume(self, "new").gets("s"), ok}})
		}
		// A second factor from the future is fresh, not of a negative age.
		w.advance(-time.Hour)
		hold(t, []fact{
			{"a condition on its age", with.mayAssume(a.trusting("fresh", trust(ana.arn, when("NumericGreaterThanEquals", "aws:MultiFactorAuthAge", "0"))), "s1"), ok},
		})
	})
}

// TestAThousandRefusals: attempts to get from one role to the next, of which none gets
// anywhere, learns anything, or is lost from the log.
func TestAThousandRefusals(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand calls")
	}
	t.Parallel()
	w := newRealm(t, drivers[0].opts...)
	a := w.ours
	ana := a.user("ana")
	job := ana.assume(a.role("app", ana.arn, allow("sts:AssumeRole", a.entity("role/next*"))), "job")
	for i := range 10 {
		a.trusting(fmt.Sprint("next", i), trust(ana.arn)) // but not the role
		w.theirs.trusting(fmt.Sprint("next", i), trust(w.theirs.arn))
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 250 {
				at := []*account{a, w.theirs}[worker%2]
				role := at.entity(fmt.Sprint("role/next", i%20)) // half of them are not there
				hold(t, []fact{{role, job.mayAssume(role, fmt.Sprint("s", i)), job.no("sts:AssumeRole", role, noReason)}})
			}
		})
	}
	wg.Wait()
	out := must(a.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: new("next0")}))(t)
	check.Equal(t, "the role was never used", out.Role.RoleLastUsed == nil || out.Role.RoleLastUsed.LastUsedDate == nil, true)
}
