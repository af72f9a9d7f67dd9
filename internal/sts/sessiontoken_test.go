//lint:file-ignore SA1019 the model has PackedPolicySize and not its successor, SessionTokenUtilization

package sts_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"coffer/internal/coffertest/check"
)

const gone = "InvalidClientTokenId: The security token included in the request is invalid."

func TestGetSessionToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana", allow("*", "*"), `{"Effect":"Deny","Action":"sts:GetSessionToken","Resource":"*"}`)
	serial, code := w.main.device(t, "ana")
	token := func(l login, in sts.GetSessionTokenInput) *types.Credentials {
		t.Helper()
		return check.Must(t, w.sts(l).GetSessionToken, &in).Credentials
	}
	life := func(c *types.Credentials) time.Duration { return c.Expiration.Sub(w.Now()).Round(time.Minute) }
	c := token(ana, sts.GetSessionTokenInput{}) // which no policy can refuse
	check.Equal(t, "usual life", life(c), 12*time.Hour)
	check.Equal(t, "longest life", life(token(ana, sts.GetSessionTokenInput{DurationSeconds: new(int32(129600))})), 36*time.Hour)
	root := token(w.main.root(), sts.GetSessionTokenInput{DurationSeconds: new(int32(129600))})
	check.Equal(t, "longest life of the root's", life(root), time.Hour)

	l, ofRoot := temporary(c), temporary(root)
	w.advance(time.Minute)
	strong := temporary(token(ana, sts.GetSessionTokenInput{SerialNumber: &serial, TokenCode: new(code(w.Now()))}))
	check.Equal(t, "caller", w.who(l), w.main.arn("user/ana"))
	check.Equal(t, "caller of the root's", w.who(ofRoot), w.main.arn("root"))
	again := check.Try(w.sts(l).GetSessionToken, &sts.GetSessionTokenInput{})
	role := w.main.role(t, "r", []string{trust(principal(w.main.arn("user/ana")), assume)}, allow("*", "*"))
	ofRole := w.assume(t, ana, role, "session")
	info := func(l login) func() string {
		return check.Try(w.sts(l).GetAccessKeyInfo, &sts.GetAccessKeyInfoInput{AccessKeyId: &ana.id})
	}
	check.Run(t, []check.Rule{
		{"what the user may", check.Try(w.sm(l).ListSecrets, &secretsmanager.ListSecretsInput{}), "ok"},
		{"what the root may", check.Try(w.sm(ofRoot).ListSecrets, &secretsmanager.ListSecretsInput{}), "ok"},
		{"a session from a session", again, "AccessDenied: Cannot call GetSessionToken with session credentials"},
		{"a session from a role", check.Try(w.sts(ofRole).GetSessionToken, &sts.GetSessionTokenInput{}), "AccessDenied: Cannot call GetSessionToken with session credentials"},
		{"a federated user from a session", check.Try(w.sts(l).GetFederationToken, &sts.GetFederationTokenInput{Name: new("bo")}), "AccessDenied: Cannot call GetFederationToken with session credentials"},
		{"a federated user from a role", check.Try(w.sts(ofRole).GetFederationToken, &sts.GetFederationTokenInput{Name: new("bo")}), "AccessDenied: Cannot call GetFederationToken with session credentials"},
		{"a role", check.Try(w.sts(l).AssumeRole, asking(role, "session")), "ok"},
		{"a role by the root's", check.Try(w.sts(ofRoot).AssumeRole, asking(role, "session")), "AccessDenied: Roles may not be assumed by root accounts."},
		{"other operations of STS", info(l), "AccessDenied: Cannot call GetAccessKeyInfo with session credentials"},
		{"the same with a long-term key", info(ana), "ok"},
		{"the same as a role", info(ofRole), "ok"},
		{"IAM", check.Try(w.iam(l).ListUsers, &iam.ListUsersInput{}), gone},
		{"IAM as the root's", check.Try(w.iam(ofRoot).ListUsers, &iam.ListUsersInput{}), gone},
		{"IAM with a second factor", check.Try(w.iam(strong).ListUsers, &iam.ListUsersInput{}), "ok"},
		{"IAM as a role", check.Try(w.iam(ofRole).ListUsers, &iam.ListUsersInput{}), "ok"},
		{"a wrong code", check.Try(w.sts(ana).GetSessionToken, &sts.GetSessionTokenInput{SerialNumber: &serial, TokenCode: new("123456")}), "AccessDenied: MultiFactorAuthentication failed with invalid MFA one time pass code."},
		{"no code", check.Try(w.sts(ana).GetSessionToken, &sts.GetSessionTokenInput{SerialNumber: &serial}), "AccessDenied: MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."},
		{"a minute", check.Try(w.sts(ana).GetSessionToken, &sts.GetSessionTokenInput{DurationSeconds: new(int32(60))}), "ValidationError: 1 validation error detected: Value '60' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900"},
	})
	_, log := w.records(t, "GetSessionToken")
	for _, secret := range []string{l.secret, l.token, strong.token} {
		check.Equal(t, "a secret in the log", strings.Contains(log, secret), false)
	}
}

// TestMFAInPolicies: aws:MultiFactorAuthPresent is absent with long-term keys.
func TestMFAInPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana",
		allow("secretsmanager:ListSecrets", "*", condition("Bool", "aws:MultiFactorAuthPresent", "true")),
		allow("secretsmanager:GetRandomPassword", "*", condition("BoolIfExists", "aws:MultiFactorAuthPresent", "true")))
	serial, code := w.main.device(t, "ana")
	strong := temporary(check.Must(t, w.sts(ana).GetSessionToken, &sts.GetSessionTokenInput{SerialNumber: &serial, TokenCode: new(code(w.Now()))}).Credentials)
	weak := temporary(check.Must(t, w.sts(ana).GetSessionToken, &sts.GetSessionTokenInput{}).Credentials)
	list := func(l login) bool {
		return check.Try(w.sm(l).ListSecrets, &secretsmanager.ListSecretsInput{})() == "ok"
	}
	password := func(l login) bool {
		return check.Try(w.sm(l).GetRandomPassword, &secretsmanager.GetRandomPasswordInput{})() == "ok"
	}
	for _, c := range []struct {
		name           string
		l              login
		list, password bool
	}{{"long-term", ana, false, true}, {"with", strong, true, true}, {"without", weak, false, false}} {
		check.Equal(t, c.name, fmt.Sprint(list(c.l), password(c.l)), fmt.Sprint(c.list, c.password))
	}
}

func TestGetFederationToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana", allow("secretsmanager:*", "*"), allow("iam:*", "*"), allow("sts:GetFederationToken", "*"),
		allow("sts:TagSession", "arn:aws:sts::"+w.main.id+":federated-user/bo", condition("StringEquals", "aws:RequestTag/team", "blue")))
	bo := "arn:aws:sts::" + w.main.id + ":federated-user/bo"
	secret := check.Must(t, w.sm(ana).CreateSecret, &secretsmanager.CreateSecretInput{Name: new("for-bo"), SecretString: new("v")})
	check.Must(t, w.sm(ana).PutResourcePolicy, &secretsmanager.PutResourcePolicyInput{SecretId: secret.ARN, ResourcePolicy: new(document(
		fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":%q},"Action":"secretsmanager:DescribeSecret","Resource":"*"}`, bo)))})
	ask := func(in sts.GetFederationTokenInput) sts.GetFederationTokenInput { in.Name = new("bo"); return in }
	get := func(as login, in sts.GetFederationTokenInput) *sts.GetFederationTokenOutput {
		t.Helper()
		return check.Must(t, w.sts(as).GetFederationToken, new(ask(in)))
	}
	out := get(ana, sts.GetFederationTokenInput{})
	check.Equal(t, "user", *out.FederatedUser.Arn+" "+*out.FederatedUser.FederatedUserId, bo+" "+w.main.id+":bo")
	check.Equal(t, "packed size", *out.PackedPolicySize, 0)
	check.Equal(t, "life", out.Credentials.Expiration.Sub(w.Now()).Round(time.Minute), 12*time.Hour)
	bare := temporary(out.Credentials)
	some := temporary(get(ana, sts.GetFederationTokenInput{Policy: new(document(allow("secretsmanager:ListSecrets", "*"), allow("kms:*", "*"), allow("iam:*", "*")))}).Credentials)
	tagged := get(ana, sts.GetFederationTokenInput{Tags: tags("team", "blue")})
	check.Equal(t, "packed size of a tag", *tagged.PackedPolicySize > 0, true)
	rootOut := get(w.main.root(), sts.GetFederationTokenInput{Policy: new(document(allow("secretsmanager:ListSecrets", "*"))), DurationSeconds: new(int32(129600))})
	check.Equal(t, "life of the root's", rootOut.Credentials.Expiration.Sub(w.Now()).Round(time.Minute), time.Hour)
	ofRoot := temporary(rootOut.Credentials)

	list := func(l login) func() string { return check.Try(w.sm(l).ListSecrets, &secretsmanager.ListSecretsInput{}) }
	describe := func(l login) func() string {
		return check.Try(w.sm(l).DescribeSecret, &secretsmanager.DescribeSecretInput{SecretId: secret.ARN})
	}
	no := func(action, on string) string {
		return "AccessDeniedException: User: " + bo + " is not authorized to perform: " + action + on + " because no session policy allows the " + action + " action"
	}
	role := w.main.role(t, "r", []string{trust(principal(w.main.arn("root")), assume)})
	fails := func(in sts.GetFederationTokenInput) func() string {
		return check.Try(w.sts(ana).GetFederationToken, new(ask(in)))
	}
	check.Run(t, []check.Rule{
		{"without a policy nothing", list(bare), no("secretsmanager:ListSecrets", "")},
		{"but what a resource policy gives", describe(bare), "ok"},
		{"the policy", list(some), "ok"},
		{"of both policies the least", check.Try(w.sm(some).GetRandomPassword, &secretsmanager.GetRandomPasswordInput{}), no("secretsmanager:GetRandomPassword", "")},
		{"by the root", list(ofRoot), "ok"},
		{"by the root, more than its policy", check.Try(w.sm(ofRoot).GetRandomPassword, &secretsmanager.GetRandomPasswordInput{}), no("secretsmanager:GetRandomPassword", "")},
		{"who am I", func() string { return w.who(some) }, bo},
		{"IAM", check.Try(w.iam(some).ListUsers, &iam.ListUsersInput{}), gone},
		{"a role", check.Try(w.sts(some).AssumeRole, asking(role, "s1")), "AccessDenied: Cannot call AssumeRole with session credentials"},
		{"a session", check.Try(w.sts(some).GetSessionToken, &sts.GetSessionTokenInput{}), "AccessDenied: Cannot call GetSessionToken with session credentials"},
		{"another tag", fails(sts.GetFederationTokenInput{Tags: tags("team", "red")}), "AccessDenied: User: " + w.main.arn("user/ana") + " is not authorized to perform: sts:TagSession on resource: " + bo + " because no identity-based policy allows the sts:TagSession action"},
		{"a bad policy", fails(sts.GetFederationTokenInput{Policy: new("{}")}), "MalformedPolicyDocument: Syntax errors in policy."},
		{"a name too short", check.Try(w.sts(ana).GetFederationToken, &sts.GetFederationTokenInput{Name: new("b")}), "ValidationError: 1 validation error detected: Value 'b' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 2"},
		{"without permission", check.Try(w.sts(w.main.user(t, "plain")).GetFederationToken, &sts.GetFederationTokenInput{Name: new("bo")}), "AccessDenied: User: " + w.main.arn("user/plain") + " is not authorized to perform: sts:GetFederationToken on resource: " + bo + " because no identity-based policy allows the sts:GetFederationToken action"},
	})
}

// TestSessionsEndWithTheirKey: deactivating the access key stops the sessions it
// made, activating starts them again, and deleting ends them.
func TestSessionsEndWithTheirKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana", allow("*", "*"))
	session := temporary(check.Must(t, w.sts(ana).GetSessionToken, &sts.GetSessionTokenInput{}).Credentials)
	federated := temporary(check.Must(t, w.sts(ana).GetFederationToken, &sts.GetFederationTokenInput{Name: new("bo")}).Credentials)
	role := w.main.role(t, "r", []string{trust(principal(w.main.arn("user/ana")), assume)})
	ofRole := w.assume(t, ana, role, "s1")
	want := func(what, one, two string) {
		t.Helper()
		check.Equal(t, what+": session", w.who(session), one)
		check.Equal(t, what+": federated user", w.who(federated), two)
	}
	user, bo := w.main.arn("user/ana"), "arn:aws:sts::"+w.main.id+":federated-user/bo"
	status := func(s iamtypes.StatusType) {
		t.Helper()
		check.Must(t, w.main.UpdateAccessKey, &iam.UpdateAccessKeyInput{UserName: new("ana"), AccessKeyId: &ana.id, Status: s})
	}
	want("at first", user, bo)
	status("Inactive")
	want("inactive", gone, gone)
	status("Active")
	want("active again", user, bo)
	check.Must(t, w.main.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: new("ana")})
	check.Must(t, w.main.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: new("ana"), AccessKeyId: &ana.id})
	want("deleted", gone, gone)
	check.Equal(t, "a role's session is its own", w.who(ofRole), "arn:aws:sts::"+w.main.id+":assumed-role/r/s1")
}

func TestGetAccessKeyInfo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana", allow("sts:*", "*"))
	plain := w.main.user(t, "plain")
	foreign := w.other.user(t, "foreign")
	info := func(id string) string {
		out, err := w.sts(ana).GetAccessKeyInfo(ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: &id})
		if err != nil {
			return check.Outcome(err)
		}
		return *out.Account
	}
	const unknown = "ValidationError: The access key ID is not one of a long-term access key of this deployment."
	check.Equal(t, "own", info(ana.id), w.main.id)
	check.Equal(t, "another account's", info(foreign.id), w.other.id)
	check.Equal(t, "the other root's", info(w.other.root().id), w.other.id)
	check.Equal(t, "nobody's", info("AKIAIOSFODNN7EXAMPLE"), unknown)
	check.Run(t, []check.Rule{
		{"without permission", check.Try(w.sts(plain).GetAccessKeyInfo, &sts.GetAccessKeyInfoInput{AccessKeyId: &ana.id}), "AccessDenied: User: " + w.main.arn("user/plain") + " is not authorized to perform: sts:GetAccessKeyInfo because no identity-based policy allows the sts:GetAccessKeyInfo action"},
		{"a message", check.Try(w.sts(ana).DecodeAuthorizationMessage, &sts.DecodeAuthorizationMessageInput{EncodedMessage: new("abc")}), "InvalidAuthorizationMessageException: Message is not valid"},
		{"a message, without permission", check.Try(w.sts(plain).DecodeAuthorizationMessage, &sts.DecodeAuthorizationMessageInput{EncodedMessage: new("abc")}), "AccessDenied: User: " + w.main.arn("user/plain") + " is not authorized to perform: sts:DecodeAuthorizationMessage because no identity-based policy allows the sts:DecodeAuthorizationMessage action"},
	})
}
