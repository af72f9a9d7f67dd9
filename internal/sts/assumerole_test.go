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

func tags(pairs ...string) (out []types.Tag) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return out
}

func tagged(pairs ...string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.Tags = tags(pairs...) }
}

func transitive(keys ...string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.TransitiveTagKeys = keys }
}

func source(identity string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.SourceIdentity = &identity }
}

func lasting(d time.Duration) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.DurationSeconds = new(int32(d / time.Second)) }
}

func TestAssumeRoleAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana")
	check.Must(t, w.main.CreateRole, &iam.CreateRoleInput{RoleName: new("deploy"), Path: new("/ci/"), AssumeRolePolicyDocument: new(document(trust(principal(w.main.arn("user/ana")), assume)))})
	check.Must(t, w.main.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: new("deploy"), PolicyName: new("p"), PolicyDocument: new(document(allow("secretsmanager:GetRandomPassword", "*")))})
	role := check.Must(t, w.main.GetRole, &iam.GetRoleInput{RoleName: new("deploy")}).Role

	before := w.Now().Truncate(time.Second)
	out := check.Must(t, w.sts(ana).AssumeRole, asking(*role.Arn, "ana@work"))
	session := "arn:aws:sts::" + w.main.id + ":assumed-role/deploy/ana@work"
	check.Equal(t, "Arn", *out.AssumedRoleUser.Arn, session)
	check.Equal(t, "AssumedRoleId", *out.AssumedRoleUser.AssumedRoleId, *role.RoleId+":ana@work")
	check.Equal(t, "PackedPolicySize", out.PackedPolicySize == nil, true)
	check.Equal(t, "SourceIdentity", out.SourceIdentity == nil, true)
	c := out.Credentials
	check.Equal(t, "AccessKeyId", strings.HasPrefix(*c.AccessKeyId, "ASIA") && len(*c.AccessKeyId) == 20, true)
	check.Equal(t, "SecretAccessKey", len(*c.SecretAccessKey), 40)
	if life := c.Expiration.Sub(before); life < time.Hour || life > time.Hour+5*time.Second {
		t.Errorf("a session of %v", life)
	}
	l := temporary(c)
	id := check.Must(t, w.sts(l).GetCallerIdentity, &sts.GetCallerIdentityInput{})
	check.Equal(t, "caller", *id.Arn+" "+*id.UserId+" "+*id.Account, session+" "+*role.RoleId+":ana@work "+w.main.id)
	check.Run(t, []check.Rule{
		{"what the role may", check.Try(w.sm(l).GetRandomPassword, &secretsmanager.GetRandomPasswordInput{}), "ok"},
		{"what it may not", check.Try(w.sm(l).ListSecrets, &secretsmanager.ListSecretsInput{}),
			"AccessDeniedException: User: " + session + " is not authorized to perform: secretsmanager:ListSecrets because no identity-based policy allows the secretsmanager:ListSecrets action"},
	})
	second := check.Must(t, w.sts(ana).AssumeRole, asking(*role.Arn, "ana@work"))
	check.Equal(t, "two sessions share a key", *second.Credentials.AccessKeyId == *c.AccessKeyId || *second.Credentials.SecretAccessKey == *c.SecretAccessKey, false)

	w.advance(time.Hour - 10*time.Second)
	check.Equal(t, "just before its end", w.who(l), session)
	w.advance(10 * time.Second)
	check.Equal(t, "at its end", w.who(l), "ExpiredToken: The security token included in the request is expired")

	records, log := w.records(t, "AssumeRole")
	check.Equal(t, "records", len(records), 2)
	r := records[0]
	check.Equal(t, "record", fmt.Sprint(r.UserIdentity.ARN, r.ReadOnly, r.RecipientAccountID, r.RequestParameters["roleArn"], r.Resources),
		fmt.Sprint(w.main.arn("user/ana"), true, w.main.id, *role.Arn, []struct{ ARN, Type string }{{*role.Arn, "AWS::IAM::Role"}}))
	issued, _ := r.ResponseElements["credentials"].(map[string]any)
	check.Equal(t, "the key in the record", fmt.Sprint(issued["accessKeyId"]), *c.AccessKeyId)
	for _, secret := range []string{*c.SecretAccessKey, *c.SessionToken, ana.secret} {
		check.Equal(t, "a secret in the log", strings.Contains(log, secret), false)
	}
}

// TestWhoMayAssume: the trust policy decides, with the caller's policies where it names the
// account, and always across accounts.
func TestWhoMayAssume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	any := allow("sts:AssumeRole", "*")
	plain, free := w.main.user(t, "plain"), w.main.user(t, "free", any)
	foreign, foreignFree := w.other.user(t, "foreign"), w.other.user(t, "free", any)
	refused := w.main.user(t, "refused", any, `{"Effect":"Deny","Action":"sts:*","Resource":"*"}`)

	plainARN := w.main.arn("user/plain")
	names := w.main.role(t, "names", []string{trust(principal(plainARN), assume), trust(principal(w.other.arn("user/foreign")), assume), trust(principal(w.main.arn("user/refused")), assume)})
	account := w.main.role(t, "account", []string{trust(principal(w.main.arn("root")), assume)})
	both := w.main.role(t, "both", []string{trust(principal(w.other.id), assume)})
	everybody := w.main.role(t, "everybody", []string{trust(`"AWS":"*"`, assume)})
	nobody := w.main.role(t, "nobody", []string{trust(`"Service":"ec2.amazonaws.com"`, assume)})
	except := w.main.role(t, "except", []string{trust(`"AWS":"*"`, assume), `{"Effect":"Deny","Principal":{"AWS":"` + plainARN + `"},"Action":"sts:*"}`})
	linked := *check.Must(t, w.main.CreateServiceLinkedRole, &iam.CreateServiceLinkedRoleInput{AWSServiceName: new("autoscaling.amazonaws.com")}).Role.Arn
	check.Must(t, w.main.CreateRole, &iam.CreateRoleInput{RoleName: new("deep"), Path: new("/a/"), AssumeRolePolicyDocument: new(document(trust(principal(plainARN), assume)))})

	as := func(l login, role string) func() string {
		return check.Try(w.sts(l).AssumeRole, asking(role, "session"))
	}
	no := func(who, role string) string { return denied(who, "sts:AssumeRole", role) }
	session := w.assume(t, plain, names, "one")
	sessionARN := w.who(session)
	check.Run(t, []check.Rule{
		{"named", as(plain, names), "ok"},
		{"not named", as(free, names), no(w.main.arn("user/free"), names)},
		{"the account, without policy", as(plain, account), no(plainARN, account)},
		{"the account, with policy", as(free, account), "ok"},
		{"another account's user, named but without policy", as(foreign, names), no(w.other.arn("user/foreign"), names)},
		{"another account, with policy", as(foreignFree, both), "ok"},
		{"another account, without policy", as(foreign, both), no(w.other.arn("user/foreign"), both)},
		{"everybody, same account", as(plain, everybody), "ok"},
		{"everybody, another account without policy", as(foreign, everybody), no(w.other.arn("user/foreign"), everybody)},
		{"everybody, another account with policy", as(foreignFree, everybody), "ok"},
		{"a service's role", as(free, nobody), no(w.main.arn("user/free"), nobody)},
		{"a deny in the trust policy", as(plain, except), no(plainARN, except)},
		{"a deny in the caller's policy", as(refused, names), no(w.main.arn("user/refused"), names)},
		{"a service-linked role", as(free, linked), no(w.main.arn("user/free"), linked)},
		{"a role that does not exist", as(free, w.main.arn("role/none")), no(w.main.arn("user/free"), w.main.arn("role/none"))},
		{"of an account that does not exist", as(free, "arn:aws:iam::999999999999:role/none"), no(w.main.arn("user/free"), "arn:aws:iam::999999999999:role/none")},
		{"without its path", as(plain, w.main.arn("role/deep")), no(plainARN, w.main.arn("role/deep"))},
		{"with its path", as(plain, w.main.arn("role/a/deep")), "ok"},
		{"in another case", as(plain, w.main.arn("role/NAMES")), no(plainARN, w.main.arn("role/NAMES"))},
		{"in another partition", as(plain, strings.Replace(names, "arn:aws:", "arn:aws-cn:", 1)), no(plainARN, strings.Replace(names, "arn:aws:", "arn:aws-cn:", 1))},
		{"a session that nobody lets in", as(session, account), no(sessionARN, account)},
		{"a session, everybody", as(session, everybody), "ok"},
		{"the root", as(w.main.root(), everybody), "AccessDenied: Roles may not be assumed by root accounts."},
		{"nobody", as(login{}, everybody), "MissingAuthenticationToken: Request is missing Authentication Token"},
	})

	// The records give the reasons that the denials withhold.
	_, log := w.records(t, "AssumeRole")
	for _, reason := range []string{
		`"allowed":false,"explicit":false,"policyType":"role trust policy"`, `"allowed":false,"explicit":true,"policyType":"role trust policy"`,
		`"allowed":false,"explicit":false,"policyType":"identity-based policy"`, `"allowed":false,"explicit":true,"policyType":"identity-based policy"`,
	} {
		check.Equal(t, "recorded: "+reason, strings.Contains(log, reason), true)
	}

	// The user of that name is an individual: one made anew is not let in.
	for _, k := range check.Must(t, w.main.ListAccessKeys, &iam.ListAccessKeysInput{UserName: new("plain")}).AccessKeyMetadata {
		check.Must(t, w.main.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: new("plain"), AccessKeyId: k.AccessKeyId})
	}
	check.Must(t, w.main.DeleteUser, &iam.DeleteUserInput{UserName: new("plain")})
	again := w.main.user(t, "plain")
	check.Run(t, []check.Rule{{"a user made anew under the name", as(again, names), no(plainARN, names)}})
}

func TestTrustConditions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana")
	me := principal(w.main.arn("user/ana"))
	serial, code := w.main.device(t, "ana")
	external := w.main.role(t, "external", []string{trust(me, assume, condition("StringEquals", "sts:ExternalId", "secret-42"))})
	named := w.main.role(t, "named", []string{trust(me, assume, condition("StringLike", "sts:RoleSessionName", "${aws:username}"))})
	factor := w.main.role(t, "factor", []string{trust(me, assume, condition("Bool", "aws:MultiFactorAuthPresent", "true"))})
	fresh := w.main.role(t, "fresh", []string{trust(me, assume, condition("NumericLessThan", "aws:MultiFactorAuthAge", "3600"))})
	who := w.main.role(t, "who", []string{trust(me, setting, condition("StringEquals", "sts:SourceIdentity", "ana"))})
	team := w.main.role(t, "team", []string{
		trust(me, assume),
		trust(me, []string{"sts:TagSession"}, `"Condition":{"StringEquals":{"aws:RequestTag/team":"blue"},"ForAllValues:StringEquals":{"aws:TagKeys":["team","cost"],"sts:TransitiveTagKeys":["team"]}}`),
	})
	check.Must(t, w.main.TagRole, &iam.TagRoleInput{RoleName: new("named"), Tags: []iamtypes.Tag{{Key: new("stage"), Value: new("test")}}})
	staged := w.main.user(t, "staged", allow("sts:AssumeRole", "*", condition("StringEquals", "aws:ResourceTag/stage", "test")), allow("sts:TagSession", "*"))
	check.Must(t, w.main.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: new("named"), PolicyDocument: new(document(
		trust(me, assume, condition("StringLike", "sts:RoleSessionName", "${aws:username}")), trust(principal(w.main.arn("root")), assume, condition("StringEquals", "sts:RoleSessionName", "staged"))))})

	as := func(l login, role, name string, edit ...func(*sts.AssumeRoleInput)) func() string {
		return func() string { return check.Try(w.sts(l).AssumeRole, asking(role, name, edit...))() }
	}
	no := func(action, role string) string { return denied(w.main.arn("user/ana"), action, role) }
	with := func(id string) func(*sts.AssumeRoleInput) {
		return func(in *sts.AssumeRoleInput) { in.ExternalId = &id }
	}
	mfa := func(serial, code *string) func(*sts.AssumeRoleInput) {
		return func(in *sts.AssumeRoleInput) { in.SerialNumber, in.TokenCode = serial, code }
	}
	right := func(in *sts.AssumeRoleInput) {
		w.advance(30 * time.Second) // the next code
		in.SerialNumber, in.TokenCode = &serial, new(code(w.Now()))
	}
	check.Run(t, []check.Rule{
		{"no external id", as(ana, external, "s1"), no("sts:AssumeRole", external)},
		{"another external id", as(ana, external, "s1", with("secret-43")), no("sts:AssumeRole", external)},
		{"the external id", as(ana, external, "s1", with("secret-42")), "ok"},
		{"another's name", as(ana, named, "bo"), no("sts:AssumeRole", named)},
		{"the own name", as(ana, named, "ana"), "ok"},
		{"a role by its tag", as(staged, named, "staged"), "ok"},
		{"a role without the tag", as(staged, external, "staged"), denied(w.main.arn("user/staged"), "sts:AssumeRole", external)},
		{"no second factor", as(ana, factor, "s1"), no("sts:AssumeRole", factor)},
		{"a second factor", as(ana, factor, "s1", right), "ok"},
		{"a fresh one", as(ana, fresh, "s1", right), "ok"},
		{"none that is fresh", as(ana, fresh, "s1"), no("sts:AssumeRole", fresh)},
		{"a wrong code", as(ana, factor, "s1", mfa(&serial, new("000000"))), "AccessDenied: MultiFactorAuthentication failed with invalid MFA one time pass code."},
		{"a code without device", as(ana, factor, "s1", mfa(nil, new("000000"))), "AccessDenied: MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."},
		{"another's device", as(staged, factor, "s1", right), "AccessDenied: MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user."},
		{"another source identity", as(ana, who, "s1", source("bo")), no("sts:AssumeRole", who)},
		{"the source identity", as(ana, who, "s1", source("ana")), "ok"},
		{"a source identity that may not be set", as(ana, external, "s1", with("secret-42"), source("ana")), no("sts:SetSourceIdentity", external)},
		{"no tags", as(ana, team, "s1"), "ok"},
		{"the tags", as(ana, team, "s1", tagged("team", "blue", "cost", "1"), transitive("team")), "ok"},
		{"another value", as(ana, team, "s1", tagged("team", "red")), no("sts:TagSession", team)},
		{"another key", as(ana, team, "s1", tagged("team", "blue", "x", "y")), no("sts:TagSession", team)},
		{"transitive that may not be", as(ana, team, "s1", tagged("team", "blue", "cost", "1"), transitive("cost")), no("sts:TagSession", team)},
		{"tags where none may be set", as(ana, external, "s1", with("secret-42"), tagged("a", "b")), no("sts:TagSession", external)},
	})

	// A code is good once, also when the decision went against its user.
	w.advance(30 * time.Second)
	once := code(w.Now())
	check.Run(t, []check.Rule{
		{"a code", as(ana, factor, "s1", mfa(&serial, &once)), "ok"},
		{"the same again", as(ana, factor, "s1", mfa(&serial, &once)), "AccessDenied: MultiFactorAuthentication failed with invalid MFA one time pass code."},
	})

	// GetSessionToken with a code does as well, until it is too old.
	w.advance(30 * time.Second)
	l := temporary(check.Must(t, w.sts(ana).GetSessionToken, &sts.GetSessionTokenInput{SerialNumber: &serial, TokenCode: new(code(w.Now()))}).Credentials)
	without := temporary(check.Must(t, w.sts(ana).GetSessionToken, &sts.GetSessionTokenInput{}).Credentials)
	check.Run(t, []check.Rule{
		{"a session with a second factor", as(l, factor, "s1"), "ok"},
		{"that is fresh", as(l, fresh, "s1"), "ok"},
		{"a session without", as(without, factor, "s1"), no("sts:AssumeRole", factor)},
	})
	w.advance(time.Hour)
	check.Run(t, []check.Rule{
		{"still there", as(l, factor, "s1"), "ok"},
		{"no longer fresh", as(l, fresh, "s1"), no("sts:AssumeRole", fresh)},
	})
}

func TestAssumeRoleValidation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana")
	role := w.main.role(t, "r", []string{trust(principal(w.main.arn("user/ana")), setting)})
	check.Must(t, w.main.UpdateRole, &iam.UpdateRoleInput{RoleName: new("r"), MaxSessionDuration: new(int32(7200))})
	policy := *check.Must(t, w.main.CreatePolicy, &iam.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: new(document(allow("s3:*", "*")))}).Policy.Arn
	foreign := *check.Must(t, w.other.CreatePolicy, &iam.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: new(document(allow("s3:*", "*")))}).Policy.Arn

	as := func(name string, edit ...func(*sts.AssumeRoleInput)) func() string {
		return check.Try(w.sts(ana).AssumeRole, asking(role, name, edit...))
	}
	on := func(arn string) func() string { return check.Try(w.sts(ana).AssumeRole, asking(arn, "s1")) }
	text := func(p string) func(*sts.AssumeRoleInput) { return func(in *sts.AssumeRoleInput) { in.Policy = &p } }
	arns := func(list ...string) func(*sts.AssumeRoleInput) {
		return func(in *sts.AssumeRoleInput) {
			for _, a := range list {
				in.PolicyArns = append(in.PolicyArns, types.PolicyDescriptorType{Arn: &a})
			}
		}
	}
	rules := []check.Rule{
		{"session name", as("Session1:2"), `ValidationError: 1 validation error detected: Value 'Session1:2' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`},
		{"duplicate tag keys", as("s1", tagged("a", "1", "A", "2")), "InvalidParameterValue: Duplicate tag keys found. Please note that Tag keys are case insensitive."},
		{"a reserved tag key", as("s1", tagged("AWS:x", "1")), "InvalidParameterValue: Tag keys beginning with aws: are reserved for system use."},
		{"a transitive key that is no tag", as("s1", tagged("a", "1"), transitive("b")), "InvalidParameterValue: The specified transitive tag key must be included in the requested tags."},
		{"a transitive key in another case", as("s1", tagged("a", "1"), transitive("A", "a")), "ok"},
		{"a day", as("s1", lasting(12*time.Hour)), "ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		{"two hours", as("s1", lasting(2*time.Hour)), "ok"},
		{"beyond a day", as("s1", lasting(13*time.Hour)), "ValidationError: 1 validation error detected: Value '46800' at 'durationSeconds' failed to satisfy constraint: Member must have value less than or equal to 43200"},
		{"a minute", as("s1", lasting(time.Minute)), "ValidationError: 1 validation error detected: Value '60' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900"},
		{"a policy that is not JSON", as("s1", text("{")), "MalformedPolicyDocument: This policy contains invalid Json"},
		{"a policy with a principal", as("s1", text(document(trust(`"AWS":"*"`, assume)))), "MalformedPolicyDocument: Policy document should not specify a principal."},
		{"a policy without resources", as("s1", text(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*"}]}`)), "MalformedPolicyDocument: Policy statement must contain resources."},
		{"a policy that is too long", as("s1", text(document(allow("s3:*", "arn:aws:s3:::"+strings.Repeat("x", 2000))))), "ValidationError: 1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to 2048"},
		{"an own policy", as("s1", arns(policy, "arn:aws:iam::aws:policy/AdministratorAccess")), "ok"},
		{"a policy that is not there", as("s1", arns(w.main.arn("policy/none"))), "ValidationError: The policy " + w.main.arn("policy/none") + " does not exist or is not attachable."},
		{"another account's policy", as("s1", arns(foreign)), "ValidationError: The policy " + foreign + " does not exist or is not attachable."},
		{"eleven policies", as("s1", arns(strings.Split(strings.Repeat(policy+" ", 11)[:11*len(policy)+10], " ")...)), "ValidationError: 1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to 10"},
		{"provided contexts", as("s1", func(in *sts.AssumeRoleInput) {
			in.ProvidedContexts = []types.ProvidedContext{{ProviderArn: new("arn:aws:iam::aws:contextProvider/IdentityCenter"), ContextAssertion: new("abcd")}}
		}), "ValidationError: Coffer does not take ProvidedContexts."},
	}
	for _, bad := range []string{
		"arn:aws:iam::12345:role/example", w.main.arn("user/ana"), w.main.arn("role/"), w.main.arn("role"), "arn:aws:sts::" + w.main.id + ":role/x",
		"arn:aws:iam:eu-west-1:" + w.main.id + ":role/x", "this-is-not-an-arn-at-all", w.main.arn("role/a b"),
	} {
		rules = append(rules, check.Rule{bad, on(bad), "ValidationError: " + bad + " is invalid"})
	}
	check.Run(t, rules)
}

func TestPackedPolicySize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana")
	role := w.main.role(t, "r", []string{trust(principal(w.main.arn("user/ana")), setting)})
	out := check.Must(t, w.sts(ana).AssumeRole, asking(role, "s1", tagged("team", "blue")))
	if out.PackedPolicySize == nil || *out.PackedPolicySize < 1 || *out.PackedPolicySize > 5 {
		t.Errorf("a small tag takes %v percent", out.PackedPolicySize)
	}
	var much []string
	for i := range 50 {
		much = append(much, fmt.Sprintf("key%d", i), noise(i, 250))
	}
	_, err := w.sts(ana).AssumeRole(ctx, asking(role, "s1", tagged(much...)))
	got := check.Outcome(err)
	if !strings.HasPrefix(got, "PackedPolicyTooLarge: Packed policy consumes ") || !strings.HasSuffix(got, "% of allotted space, please use smaller policy.") {
		t.Error(got)
	}
}

// noise is text that compresses badly.
func noise(seed, n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-=._:/@"
	x := uint32(seed*2654435761 + 1)
	b := make([]byte, n)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = letters[x%uint32(len(letters))]
	}
	return string(b)
}

func TestSessionPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.main.user(t, "ana")
	role := w.main.role(t, "r", []string{trust(principal(w.main.arn("user/ana")), setting)}, allow("secretsmanager:*", "*"))
	list := *check.Must(t, w.main.CreatePolicy, &iam.CreatePolicyInput{PolicyName: new("list"), PolicyDocument: new(document(allow("secretsmanager:ListSecrets", "*")))}).Policy.Arn
	whole := w.assume(t, ana, role, "whole")
	less := w.assume(t, ana, role, "less", func(in *sts.AssumeRoleInput) {
		in.Policy = new(document(allow("secretsmanager:GetRandomPassword", "*"), allow("kms:*", "*")))
	})
	managed := w.assume(t, ana, role, "managed", func(in *sts.AssumeRoleInput) { in.PolicyArns = []types.PolicyDescriptorType{{Arn: &list}} })
	no := func(session, action string) string {
		return "AccessDeniedException: User: arn:aws:sts::" + w.main.id + ":assumed-role/r/" + session + " is not authorized to perform: " + action + " because no session policy allows the " + action + " action"
	}
	password := func(l login) func() string {
		return check.Try(w.sm(l).GetRandomPassword, &secretsmanager.GetRandomPasswordInput{})
	}
	listing := func(l login) func() string { return check.Try(w.sm(l).ListSecrets, &secretsmanager.ListSecretsInput{}) }
	check.Run(t, []check.Rule{
		{"all of the role", password(whole), "ok"},
		{"all of the role, the other", listing(whole), "ok"},
		{"the session policy", password(less), "ok"},
		{"not in the session policy", listing(less), no("less", "secretsmanager:ListSecrets")},
		{"a managed one", listing(managed), "ok"},
		{"not in it", password(managed), no("managed", "secretsmanager:GetRandomPassword")},
	})
	check.Must(t, w.main.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: &list})
	check.Run(t, []check.Rule{{"a policy that was deleted allows nothing", listing(managed), no("managed", "secretsmanager:ListSecrets")}})
}
