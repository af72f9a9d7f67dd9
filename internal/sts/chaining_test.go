//lint:file-ignore SA1019 the model has PackedPolicySize and not its successor, SessionTokenUtilization

package sts_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest/check"
)

// TestChaining follows a session from role to role and to another account.
func TestChaining(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana")
	me := principal(w.main.arn("user/ana"))
	one := w.main.role(t, "one", []string{trust(me, setting)}, allow("sts:*", "*"))
	two := w.other.role(t, "two", []string{trust(principal(one), setting)}, allow("sts:*", "*"),
		allow("secretsmanager:GetRandomPassword", "*", condition("StringEquals", "aws:PrincipalTag/star", "1")),
		allow("secretsmanager:ListSecrets", "*", condition("StringEquals", "aws:SourceIdentity", "ana")))
	three := w.main.role(t, "three", []string{trust(principal(two), setting)}, allow("sts:*", "*"))
	plain := w.other.role(t, "plain", []string{trust(principal(one), assume)})
	check.Must(t, w.other.TagRole, &iam.TagRoleInput{RoleName: new("two"), Tags: []iamtypes.Tag{{Key: new("star"), Value: new("2")}}})

	first := w.assume(t, ana, one, "s1", tagged("star", "1", "moon", "1"), transitive("star"), source("ana"))
	out := check.Must(t, w.sts(first).AssumeRole, asking(two, "s2", tagged("sun", "2")))
	check.Equal(t, "SourceIdentity", *out.SourceIdentity, "ana")
	if out.PackedPolicySize == nil {
		t.Error("inherited tags take no room")
	}
	second := temporary(out.Credentials)
	as := func(l login, role string, edit ...func(*sts.AssumeRoleInput)) func() string {
		return check.Try(w.sts(l).AssumeRole, asking(role, "s3", edit...))
	}
	session := func(account account, name string) string {
		return "arn:aws:sts::" + account.id + ":assumed-role/" + name
	}
	const conflict = "InvalidParameterValue: One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session."
	check.Run(t, []check.Rule{
		{"the inherited tag wins over the role's", check.Try(w.sm(second).GetRandomPassword, &secretsmanager.GetRandomPasswordInput{}), "ok"},
		{"the source identity is kept", check.Try(w.sm(second).ListSecrets, &secretsmanager.ListSecretsInput{}), "ok"},
		{"the same source identity", as(second, three, source("ana")), "ok"},
		{"another source identity", as(second, three, source("root")), denied(session(w.other, "two/s2"), "sts:SetSourceIdentity", three)},
		{"an inherited tag set anew", as(second, three, tagged("STAR", "3"), transitive("STAR")), conflict},
		{"also when not transitive", as(second, three, tagged("star", "1")), conflict},
		{"a tag that was not transitive", as(second, three, tagged("moon", "3")), "ok"},
		{"tags that may not be inherited", as(first, plain), denied(session(w.main, "one/s1"), "sts:TagSession", plain)},
		{"an hour", as(second, three, lasting(time.Hour)), "ok"},
		{"more than an hour", as(second, three, lasting(time.Hour+time.Second)), "ValidationError: The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."},
	})
	check.Equal(t, "not chained: hours", as(ana, one, lasting(3*time.Hour))(), "ok")

	// What was not transitive is gone, and the rest goes on.
	third := w.assume(t, second, three, "s3")
	back := w.main.role(t, "back", []string{trust(principal(three), setting, `"Condition":{"Null":{"aws:PrincipalTag/sun":"true","aws:PrincipalTag/moon":"true"},`+
		`"StringEquals":{"aws:PrincipalTag/star":"1","aws:SourceIdentity":"ana","sts:SourceIdentity":"ana"},"ForAnyValue:StringEquals":{"sts:TransitiveTagKeys":"star"}}`)})
	check.Equal(t, "the third session", as(third, back)(), "ok")
}

// TestAThousandLinks: a role that may assume itself, a thousand times over. No link is longer,
// larger or freer than the one before.
func TestAThousandLinks(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand calls")
	}
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana")
	self := w.main.arn("role/self")
	role := w.main.role(t, "self", []string{trust(principal(w.main.arn("user/ana")), setting)}, allow("sts:*", self))
	check.Must(t, w.main.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: new("self"), PolicyDocument: new(document(
		trust(principal(w.main.arn("user/ana")), setting), trust(principal(self), setting)))})
	l := w.assume(t, ana, role, "link", tagged("a", "1"), transitive("a"), source("ana"), func(in *sts.AssumeRoleInput) {
		in.Policy = new(document(allow("sts:*", self)))
	})
	var second int
	for i := range 1000 {
		next := w.assume(t, l, role, fmt.Sprintf("link%d", i%10))
		if i == 1 {
			second = len(next.token)
		}
		l = next
	}
	if grown := len(l.token) - second; grown > 8 {
		t.Errorf("the token grew by %d characters", grown)
	}
	check.Run(t, []check.Rule{
		{"still an hour at most", check.Try(w.sts(l).AssumeRole, asking(role, "s1", lasting(2*time.Hour))), "ValidationError: The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."},
		{"still the source identity", check.Try(w.sts(l).AssumeRole, asking(role, "s1", source("bo"))), denied("arn:aws:sts::"+w.main.id+":assumed-role/self/link9", "sts:SetSourceIdentity", role)},
	})
	records, _ := w.records(t, "AssumeRole")
	check.Equal(t, "records", len(records), 1003)
}
