package sts_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest/check"
)

// TestRevokeOlderSessions is what the console does: a Deny for sessions that were
// issued before now ("Revoke IAM role temporary security credentials").
func TestRevokeOlderSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana")
	role := w.main.role(t, "r", []string{trust(principal(w.main.arn("user/ana")), assume)}, allow("secretsmanager:*", "*"))
	password := func(l login) func() string {
		return check.Try(w.sm(l).GetRandomPassword, &secretsmanager.GetRandomPasswordInput{})
	}
	old := w.assume(t, ana, role, "old")
	w.advance(10 * time.Second)
	check.Must(t, w.main.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: new("r"), PolicyName: new("AWSRevokeOlderSessions"), PolicyDocument: new(document(
		`{"Effect":"Deny","Action":"*","Resource":"*",` + condition("DateLessThan", "aws:TokenIssueTime", w.Now().UTC().Format(time.RFC3339)) + `}`))})
	w.advance(10 * time.Second)
	fresh := w.assume(t, ana, role, "new")
	check.Run(t, []check.Rule{
		{"an older session", password(old), "AccessDeniedException: User: arn:aws:sts::" + w.main.id + ":assumed-role/r/old is not authorized to perform: secretsmanager:GetRandomPassword with an explicit deny in an identity-based policy"},
		{"a newer one", password(fresh), "ok"},
		{"who it is, it may always ask", func() string { return w.who(old) }, "arn:aws:sts::" + w.main.id + ":assumed-role/r/old"},
	})
}

// TestDeletedRole: a role made anew under the name of a deleted one is another.
func TestDeletedRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana")
	let := []string{trust(principal(w.main.arn("user/ana")), assume)}
	role := w.main.role(t, "r", let)
	old := w.assume(t, ana, role, "s1")
	const invalid = "UnrecognizedClientException: The security token included in the request is invalid."
	password := func(l login) func() string {
		return check.Try(w.sm(l).GetRandomPassword, &secretsmanager.GetRandomPasswordInput{})
	}
	check.Must(t, w.main.DeleteRole, &iam.DeleteRoleInput{RoleName: new("r")})
	check.Run(t, []check.Rule{{"the role is gone", password(old), invalid}, {"also for STS", func() string { return w.who(old) }, gone}})
	w.main.role(t, "r", let, allow("*", "*"))
	check.Run(t, []check.Rule{
		{"the new role is another", password(old), invalid},
		{"its sessions are good", password(w.assume(t, ana, role, "s1")), "ok"},
	})
}

// TestBadSessionTokens are tokens that are not what they seem. Each is told the
// same, whatever is wrong with it, and recorded.
func TestBadSessionTokens(t *testing.T) {
	t.Parallel()
	w, elsewhere := newWorld(t), newWorld(t)
	let := func(w *world) login {
		ana := w.main.user(t, "ana")
		return w.assume(t, ana, w.main.role(t, "r", []string{trust(principal(w.main.arn("user/ana")), assume)}), "s1")
	}
	good, foreign := let(w), let(elsewhere)
	other := temporary(check.Must(t, w.sts(w.main.user(t, "bo")).GetSessionToken, &sts.GetSessionTokenInput{}).Credentials)
	session := "arn:aws:sts::" + w.main.id + ":assumed-role/r/s1"
	with := func(token string) login { return login{good.id, good.secret, token} }
	flipped := []byte(good.token)
	flipped[len(flipped)/2] ^= 1
	const wrong = "SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	rules := []check.Rule{
		{"genuine", func() string { return w.who(good) }, session},
		{"another secret", func() string { return w.who(login{good.id, other.secret, good.token}) }, wrong},
	}
	for name, l := range map[string]login{
		"of another deployment":   foreign,
		"a bit changed":           with(string(flipped)),
		"truncated":               with(good.token[:len(good.token)-10]),
		"a character only":        with("x"),
		"lengthened":              with(good.token + "AAAA"),
		"forged":                  with(strings.Repeat("A", len(good.token))),
		"another session's":       with(other.token),
		"with another's key id":   {other.id, good.secret, good.token},
		"with a long-term key id": {w.main.root().id, w.main.root().secret, good.token},
		"no token":                with(""),
		"too long":                with(strings.Repeat("A", 40<<10)),
	} {
		rules = append(rules, check.Rule{name, func() string { return w.who(l) }, gone})
	}
	check.Run(t, rules)
	w.advance(time.Hour)
	check.Run(t, []check.Rule{{"expired", func() string { return w.who(good) }, "ExpiredToken: The security token included in the request is expired"}})
	w.advance(-2 * time.Hour)
	check.Run(t, []check.Rule{{"a clock that was set back", func() string { return w.who(good) }, session}})

	_, log := w.records(t, "GetCallerIdentity")
	check.Equal(t, "a token in the log", strings.Contains(log, good.token[:40]) || strings.Contains(log, good.secret), false)
	for code, want := range map[string]int{`"errorCode":"InvalidClientTokenId"`: 11, `"errorCode":"SignatureDoesNotMatch"`: 1, `"errorCode":"ExpiredToken"`: 1} {
		check.Equal(t, "records of "+code, strings.Count(log, code), want)
	}
}
