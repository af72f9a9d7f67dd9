package e2e_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest"
	"coffer/internal/coffertest/check"
	"coffer/internal/server"
)

// TestTagsDecide: by the tags that a secret has, that a request gives, and that the caller has.
func TestTagsDecide(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		for name, team := range map[string]string{"blue": "blue", "red": "red"} {
			hold(t, []fact{{name, a.creates(name, "Team="+team, "stage=test"), ok}})
		}
		a.makes("plain")
		ana := a.user("ana", allow(getSecret, "*", when("StringEquals", "aws:ResourceTag/Team", "blue")))
		own := a.user("own", allow(getSecret, "*", when("StringEquals", "secretsmanager:ResourceTag/team", "blue")))
		notRed := a.user("not-red", allow("secretsmanager:*", "*"), deny(getSecret, "*", when("StringEquals", "aws:ResourceTag/Team", "red")))
		maker := a.user("maker",
			allow(create, "*", `"Condition":{"StringEquals":{"aws:RequestTag/Team":"blue"},"ForAllValues:StringEquals":{"aws:TagKeys":["Team","stage"]}}`),
			allow(tag, "*", `"Condition":{"StringEquals":{"aws:ResourceTag/Team":"blue","aws:RequestTag/stage":["test","prod"]},"ForAllValues:StringEquals":{"aws:TagKeys":["stage"]}}`),
			allow(tag, "*", `"Condition":{"Null":{"aws:ResourceTag/Team":"true"},"StringEquals":{"aws:RequestTag/Team":"blue"}}`),
			allow(untag, "*", when("ForAllValues:StringEquals", "aws:TagKeys", "stage")))
		member := a.user("member", allow(getSecret, "*", when("StringEquals", "aws:ResourceTag/Team", "${aws:PrincipalTag/Team}")))
		hold(t, []fact{
			{"the tag", ana.gets("blue"), ok},
			{"another value", ana.gets("red"), ana.no(getSecret, "red", noIdentity)},
			{"no tag", ana.gets("plain"), ana.no(getSecret, "plain", noIdentity)},
			{"the service's own key, in any case", own.gets("blue"), ok},
			{"and another value", own.gets("red"), own.no(getSecret, "red", noIdentity)},
			{"a Deny", notRed.gets("red"), notRed.no(getSecret, "red", denyIdentity)},
			{"of others", notRed.gets("blue") + notRed.gets("plain"), ok + ok},

			{"made with the tag", maker.creates("made", "Team=blue", "stage=test"), ok},
			{"with another", maker.creates("other", "Team=red"), maker.no(create, "other", noIdentity)},
			{"with one too many", maker.creates("other", "Team=blue", "cost=1"), maker.no(create, "other", noIdentity)},
			{"with none", maker.creates("other"), maker.no(create, "other", noIdentity)},
			{"tagged", maker.tags("blue", "stage=prod"), ok},
			{"with another value", maker.tags("blue", "stage=x"), maker.no(tag, "blue", noIdentity)},
			{"with another key", maker.tags("blue", "stage=prod", "Team=red"), maker.no(tag, "blue", noIdentity)},
			{"another's", maker.tags("red", "stage=prod"), maker.no(tag, "red", noIdentity)},
			{"untagged", maker.untags("blue", "stage"), ok},
			{"of what may not be", maker.untags("blue", "Team"), maker.no(untag, "blue", noIdentity)},
			{"of both", maker.untags("blue", "stage", "Team"), maker.no(untag, "blue", noIdentity)},

			{"the caller has no tag", member.gets("blue"), member.no(getSecret, "blue", noIdentity)},
			{"it gets one", a.tagsUser("member", "Team", "blue"), ok},
			{"as the secret", member.gets("blue"), ok},
			{"other than the secret", member.gets("red"), member.no(getSecret, "red", noIdentity)},
			{"it moves", a.tagsUser("member", "Team", "red"), ok},
			{"to the other", member.gets("red"), ok},
		})

		// Who would lose the secret with its tag does not take it off: "the operation fails".
		owner := a.user("owner", allow("secretsmanager:*", "*", when("StringEquals", "aws:ResourceTag/Team", "blue")))
		hold(t, []fact{
			{"takes the tag off", owner.untags("blue", "Team"), owner.no(untag, "blue", noIdentity)},
			{"gives another", owner.tags("blue", "Team=red"), owner.no(tag, "blue", noIdentity)},
			{"a tag more", owner.tags("blue", "cost=1"), ok},
			{"it is as it was", owner.gets("blue"), ok},
			{"who may all the same", a.untags("blue", "Team"), ok},
			{"and now it is not the owner's", owner.gets("blue"), owner.no(getSecret, "blue", noIdentity)},
		})
	})
}

func (a *account) tagsUser(name, key, value string) string {
	return check.Now(a.iam.TagUser, &iam.TagUserInput{UserName: &name, Tags: []iamtypes.Tag{{Key: &key, Value: &value}}})
}

// TestSessions: what a role's session is assumed with, and what that lets it do.
func TestSessions(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		a.makes("app/db")
		a.makes("prod/db")
		hold(t, []fact{{"tagged", a.tags("app/db", "Team=blue"), ok}})
		ana := a.user("ana")
		app := a.role("app", ana.arn, allow("secretsmanager:*", a.secretARN("app/*")))
		readers := a.managed("readers", allow(getSecret, "*"))
		whole := ana.assume(app, "whole")
		inline := ana.assume(app, "inline", only(allow("secretsmanager:Describe*", "*")))
		byARN := ana.assume(app, "arns", onlyManaged(readers, "arn:aws:iam::aws:policy/SecurityAudit"))
		beyond := ana.assume(app, "beyond", only(allow("*", "*")))
		refused := ana.assume(app, "refused", only(allow("*", "*"), deny(getSecret, "*")))
		hold(t, []fact{
			{"all of the role's", whole.gets("app/db") + whole.describes("app/db"), ok + ok},
			{"within the session policy", inline.describes("app/db"), ok},
			{"outside of it", inline.gets("app/db"), inline.no(getSecret, "app/db", noSession)},
			{"managed ones", byARN.gets("app/db") + byARN.describes("app/db"), ok + ok},
			{"outside of them", byARN.puts("app/db"), byARN.no(putSecret, "app/db", noSession)},
			{"it gives nothing", beyond.gets("prod/db"), beyond.no(getSecret, "prod/db", noIdentity)},
			{"a Deny in it", refused.gets("app/db"), refused.no(getSecret, "app/db", denySession)},
			{"of something else", refused.describes("app/db"), ok},
		})

		// Session tags and source identity, in policies of the role.
		team := a.role("team", ana.arn,
			allow(getSecret, "*", when("StringEquals", "aws:ResourceTag/Team", "${aws:PrincipalTag/Team}")),
			allow(describe, a.secretARN("${aws:PrincipalTag/Path}/*")),
			allow(listSecrets, "*", when("StringLike", "aws:SourceIdentity", "ana@*")))
		blue := ana.assume(team, "blue", tagged("Team", "blue"), tagged("Path", "prod"), source("ana@example.com"))
		red := ana.assume(team, "red", tagged("Team", "red"), source("bob@example.com"))
		plain := ana.assume(team, "plain")
		hold(t, []fact{
			{"the session's tag", blue.gets("app/db"), ok},
			{"another", red.gets("app/db"), red.no(getSecret, "app/db", noIdentity)},
			{"none", plain.gets("app/db"), plain.no(getSecret, "app/db", noIdentity)},
			{"in the resource", blue.describes("prod/db"), ok},
			{"of another path", blue.describes("app/db"), blue.no(describe, "app/db", noIdentity)},
			{"a variable without value is no resource", plain.describes("prod/db"), plain.no(describe, "prod/db", noIdentity)},
			{"the source identity", blue.lists(), "app/db prod/db"},
			{"another one", red.lists(), red.no(listSecrets, "", noIdentity)},
			{"the role's own tag", check.Now(a.iam.TagRole, &iam.TagRoleInput{RoleName: new("team"), Tags: []iamtypes.Tag{{Key: new("team"), Value: new("blue")}}}), ok},
			{"serves a session without", plain.gets("app/db"), ok},
			{"and not one with another", red.gets("app/db"), red.no(getSecret, "app/db", noIdentity)},
		})

		// Trust policies ask for what comes with the request. STS never says why not.
		partner := a.trusting("partner", trust(w.theirs.id, when("StringEquals", "sts:ExternalId", "id-42")))
		visitor := w.theirs.user("visitor", allow("sts:AssumeRole", partner))
		stranger := w.theirs.user("stranger")
		audited := a.trusting("audited", trust(ana.arn, when("StringEquals", "sts:SourceIdentity", "ana")))
		tagging := a.trusting("tagging", trust(ana.arn, when("StringEquals", "aws:RequestTag/Team", "blue")))
		unknown := a.entity("role/nobody")
		hold(t, []fact{
			{"the external id", visitor.mayAssume(partner, "s1", externalID("id-42")), ok},
			{"another", visitor.mayAssume(partner, "s1", externalID("id-43")), visitor.no("sts:AssumeRole", partner, noReason)},
			{"none", visitor.mayAssume(partner, "s1"), visitor.no("sts:AssumeRole", partner, noReason)},
			{"not allowed by their account", stranger.mayAssume(partner, "s1", externalID("id-42")), stranger.no("sts:AssumeRole", partner, noReason)},
			{"no such role", visitor.mayAssume(unknown, "s1"), visitor.no("sts:AssumeRole", unknown, noReason)},
			{"the source identity", ana.mayAssume(audited, "s1", source("ana")), ok},
			{"another one", ana.mayAssume(audited, "s1", source("bob")), ana.no("sts:AssumeRole", audited, noReason)},
			{"it stays what it is", blue.mayAssume(a.role("next", team), "s2", source("root@example.com")), blue.no("sts:SetSourceIdentity", a.entity("role/next"), noReason)},
			{"the tag", ana.mayAssume(tagging, "s1", tagged("Team", "blue")), ok},
			{"another tag", ana.mayAssume(tagging, "s1", tagged("Team", "red")), ana.no("sts:AssumeRole", tagging, noReason)},
		})
	})
}

// TestFederatedUsers: a federated user has what both its user and its session policy allow.
func TestFederatedUsers(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		a.makes("app/db")
		a.makes("prod/db")
		broker := a.user("broker", allow("sts:GetFederationToken", "*"), allow("secretsmanager:*", a.secretARN("app/*")))
		named := broker.federate("fay", allow("secretsmanager:*", "*"))
		less := broker.federate("fred", allow(describe, "*"))
		none := broker.federate("finn")
		plain := a.user("plain")
		of := a.federate("of-root", allow(getSecret, "*"))
		hold(t, []fact{
			{"both allow", named.gets("app/db"), ok},
			{"the user does not", named.gets("prod/db"), named.no(getSecret, "prod/db", noIdentity)},
			{"the policy does not", less.gets("app/db"), less.no(getSecret, "app/db", noSession)},
			{"no policy", none.gets("app/db"), none.no(getSecret, "app/db", noSession)},
			{"of the root", of.gets("prod/db"), ok},
			{"and no more than its policy", of.describes("prod/db"), of.no(describe, "prod/db", noSession)},
			{"who may not", plain.mayFederate("fay"), plain.no("sts:GetFederationToken", "arn:aws:sts::"+a.id+":federated-user/fay", noIdentity)},
		})
	})
}

func (p *party) mayFederate(name string) string {
	return check.Now(p.sts.GetFederationToken, &sts.GetFederationTokenInput{Name: &name})
}

// TestBoundaries: a boundary gives nothing and takes all that it does not name.
func TestBoundaries(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		a.makes("app/db")
		a.makes("prod/db")
		limit := a.managed("limit", allow("secretsmanager:Get* secretsmanager:List*", a.secretARN("app/*")+" *", when("Null", "aws:username", "false")), deny(getSecret, a.secretARN("prod/*")))
		bound := func(user string) { // the root is not limited
			must(a.iam.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: &user, PermissionsBoundary: &limit}))(t)
		}
		ana, bob := a.user("ana", allow("secretsmanager:*", "*")), a.user("bob")
		bound("ana")
		bound("bob")
		role := a.role("fenced", ana.arn, allow("secretsmanager:*", "*"))
		must(a.iam.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: new("fenced"), PermissionsBoundary: &limit}))(t)
		job := ana.assume(role, "job")
		hold(t, []fact{
			{"within", ana.gets("app/db"), ok},
			{"a list within", ana.lists(), "app/db prod/db"},
			{"outside", ana.puts("app/db"), ana.no(putSecret, "app/db", noBoundary)},
			{"denied", ana.gets("prod/db"), ana.no(getSecret, "prod/db", denyBoundary)},
			{"it gives nothing", bob.gets("app/db"), bob.no(getSecret, "app/db", noIdentity)},
			{"of a role, with a condition that its sessions do not meet", job.gets("app/db"), job.no(getSecret, "app/db", noBoundary)},
		})
	})
}

// TestWhereFrom: the address of the client, and the endpoint that it comes through.
func TestWhereFrom(t *testing.T) {
	t.Parallel()
	const vpce, vpc = "vpce-0123456789abcdef0", "vpc-0fedcba9876543210"
	file := filepath.Join(t.TempDir(), "endpoint.json")
	write(t, file, `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"secretsmanager:Get*","Resource":"*"},{"Effect":"Allow","Principal":"*","Action":"sts:*","Resource":"*"},
		{"Effect":"Deny","Principal":"*","Action":"secretsmanager:GetRandomPassword","Resource":"*"}]}`)
	w := newRealm(t, coffertest.InMemory(), coffertest.With(func(c *server.Config) {
		c.Proxies = server.Proxies{netip.MustParsePrefix("127.0.0.1/32")}
		c.Endpoints = server.Endpoints{{ID: vpce, VPC: vpc, Listen: "127.0.0.1:0", Policy: file}}
	}))
	a := w.ours
	a.makes("s")
	a.makes("inside", denyTo("*", getSecret, when("StringNotEquals", "aws:SourceVpce", vpce)))
	office := a.user("office", allow("secretsmanager:*", "*", when("IpAddress", "aws:SourceIp", "203.0.113.0/24", "2001:db8::/32")))
	elsewhere := `"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}`
	block := a.user("block", allow("secretsmanager:*", "*"), deny("*", "*", `"Condition":{`+elsewhere+`,"Bool":{"aws:ViaAWSService":"false"}}`))
	blunt := a.user("blunt", allow("secretsmanager:*", "*"), deny("*", "*", `"Condition":{`+elsewhere+`}`))
	cloud := a.user("cloud", allow("secretsmanager:*", "*", when("StringEquals", "aws:SourceVpc", vpc)))
	here := w.EndpointURL(vpce)
	hold(t, []fact{
		{"from the office", office.from("203.0.113.7").gets("s"), ok},
		{"by IPv6", office.from("2001:db8::9").gets("s"), ok},
		{"from elsewhere", office.from("203.0.114.7").gets("s"), office.no(getSecret, "s", noIdentity)},
		{"what the client says before the proxy does", office.from("203.0.113.7, 198.51.100.9").gets("s"), office.no(getSecret, "s", noIdentity)},
		{"no proxy's word", office.gets("s"), office.no(getSecret, "s", noIdentity)},
		{"a Deny for elsewhere", block.from("198.51.100.9").gets("s"), block.no(getSecret, "s", denyIdentity)},
		{"and none here", block.from("203.0.113.7").gets("s"), ok},
		{"the service calls KMS from no address: that is elsewhere", blunt.from("203.0.113.7").gets("s"), noKMS},

		{"not through the endpoint", cloud.gets("s"), cloud.no(getSecret, "s", noIdentity)},
		{"through it", cloud.through(here).gets("s"), ok},
		{"from no address then", office.through(here).from("203.0.113.7").gets("s"), office.no(getSecret, "s", noIdentity)},
		{"for the endpoint only", a.gets("inside"), a.no(getSecret, "inside", denyResource)},
		{"through it", a.through(here).gets("inside"), ok},
		{"what the endpoint does not allow", cloud.through(here).puts("s"), cloud.no(putSecret, "s", noEndpoint)},
		{"the root neither", a.through(here).lists(), a.no(listSecrets, "", noEndpoint)},
		{"what it denies", a.through(here).randomPassword(), a.no("secretsmanager:GetRandomPassword", "", denyEndpoint)},
	})
}

func (p *party) randomPassword() string {
	out, err := p.sm.GetRandomPassword(ctx, nil)
	if err == nil {
		p.w.secret(*out.RandomPassword, "a random password")
	}
	return check.Outcome(err)
}

// TestWhen: windows of time, and sessions older than a moment.
func TestWhen(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		a.makes("s")
		at := func(d time.Duration) string { return w.Now().Add(d).UTC().Format(time.RFC3339) }
		ana := a.user("ana", allow(getSecret, "*", `"Condition":{"DateGreaterThan":{"aws:CurrentTime":"`+at(time.Hour)+`"},"DateLessThan":{"aws:CurrentTime":"`+at(2*time.Hour)+`"}}`))
		no := ana.no(getSecret, "s", noIdentity)
		hold(t, []fact{{"too early", ana.gets("s"), no}})
		w.advance(90 * time.Minute)
		hold(t, []fact{{"in time", ana.gets("s"), ok}})
		w.advance(time.Hour)
		hold(t, []fact{{"too late", ana.gets("s"), no}})
		w.advance(-time.Hour)
		hold(t, []fact{{"a clock that goes back", ana.gets("s"), ok}})

		role := a.role("app", ana.arn, allow("secretsmanager:*", "*"))
		old := ana.assume(role, "old")
		w.advance(time.Minute)
		a.grants("role", "app", allow("secretsmanager:*", "*"), deny("*", "*", when("DateLessThan", "aws:TokenIssueTime", at(0))))
		w.advance(time.Minute)
		fresh := ana.assume(role, "fresh")
		hold(t, []fact{
			{"an older session is revoked", old.gets("s"), old.no(getSecret, "s", denyIdentity)},
			{"a newer one is not", fresh.gets("s"), ok},
		})
		w.advance(time.Hour)
		hold(t, []fact{{"until it ends", fresh.gets("s"), "ExpiredTokenException: The security token included in the request is expired"}})
	})
}

// TestSecondFactor: policies ask for a second factor.
func TestSecondFactor(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		a.makes("s")
		ana := a.user("ana", allow(getSecret, "*", when("Bool", "aws:MultiFactorAuthPresent", "true")), allow(describe, "*", when("NumericLessThan", "aws:MultiFactorAuthAge", "600")))
		lax := a.user("lax", allow("secretsmanager:*", "*"), deny("secretsmanager:*", "*", when("Bool", "aws:MultiFactorAuthPresent", "false")))
		strict := a.user("strict", allow("secretsmanager:*", "*"), deny("secretsmanager:*", "*", when("BoolIfExists", "aws:MultiFactorAuthPresent", "false")))
		guarded := a.trusting("guarded", trust(ana.arn, when("Bool", "aws:MultiFactorAuthPresent", "true")))
		serial, code := a.device("ana")
		with := ana.session(factor(serial, code()))
		without := ana.session()
		hold(t, []fact{
			{"a long-term key", ana.gets("s"), ana.no(getSecret, "s", noIdentity)},
			{"a session without", without.gets("s"), ana.no(getSecret, "s", noIdentity)},
			{"a session with", with.gets("s") + with.describes("s"), ok + ok},
			{"with long-term keys there is nothing that could be false", lax.gets("s"), ok},
			{"unless it may be missing", strict.gets("s"), strict.no(getSecret, "s", denyIdentity)},
			{"sessions have it", lax.session().gets("s"), lax.no(getSecret, "s", denyIdentity)},
			{"a role without", ana.mayAssume(guarded, "s1"), ana.no("sts:AssumeRole", guarded, noReason)},
			{"a role with a code", ana.mayAssume(guarded, "s1", factor(serial, code())), ok},
			{"a role by the session", with.mayAssume(guarded, "s1"), ok},
			{"a wrong code", ana.mayAssume(guarded, "s1", factor(serial, "000000")), "AccessDenied: MultiFactorAuthentication failed with invalid MFA one time pass code."},
		})
		w.advance(11 * time.Minute)
		hold(t, []fact{
			{"still there", with.gets("s"), ok},
			{"too old", with.describes("s"), ana.no(describe, "s", noIdentity)},
		})
	})
}

// session is p with credentials of GetSessionToken; p's ARN stays.
func (p *party) session(edit ...func(*sts.AssumeRoleInput)) *party {
	t := p.w.t
	t.Helper()
	from := assuming("", "", edit...) // the same second factor
	out := must(p.sts.GetSessionToken(ctx, &sts.GetSessionTokenInput{SerialNumber: from.SerialNumber, TokenCode: from.TokenCode}))(t)
	return p.w.temporary(p.arn, out.Credentials)
}

// TestControlPolicies: what an organisation says is above what its accounts say.
func TestControlPolicies(t *testing.T) {
	t.Parallel()
	w := newRealm(t, coffertest.InMemory())
	a, b := w.ours, w.theirs
	open := b.makesKey(allowTo(b.id, "kms:*"), allowTo(a.id, "kms:*"))
	s := b.makesUnder(open, "s", allowTo(a.id, "secretsmanager:*"))
	admin := b.user("admin", allow("*", "*"))
	visitor := a.user("visitor", allow("*", "*"))
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	org := func(args ...string) {
		t.Helper()
		run(t, 0, append(append([]string{"account", "org"}, args...), "--data-dir", string(w.Dir))...)
	}
	org("create", "main")
	org("unit", "create", "/prod")
	org("add", "theirs", "--unit", "/prod")
	hold(t, []fact{{"as before", admin.gets("s"), ok}})
	org("policy", "put", "no-writing", file("scp", document(deny(putSecret, "*"))))
	org("policy", "attach", "no-writing", "/prod")
	org("policy", "put", "ours", file("rcp", document(`{"Effect":"Deny","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*",`+when("StringNotEquals", "aws:PrincipalAccount", b.id)+`}`)), "--type", "rcp")
	org("policy", "attach", "ours", "/prod")
	hold(t, []fact{
		{"denied to an administrator", admin.puts("s"), admin.no(putSecret, "s", denySCP)},
		{"to the root", b.puts("s"), b.no(putSecret, "s", denySCP)},
		{"not to those of other accounts", visitor.puts(s), ok},
		{"by a resource control policy to them", visitor.gets(s), visitor.no(getSecret, s, denyRCP)},
		{"and not to its own", admin.gets("s"), ok},
	})
	org("policy", "put", "only-reading", file("allow", document(allow(getSecret+" kms:*", "*"))))
	org("policy", "attach", "only-reading", "/prod")
	org("policy", "detach", "FullAWSAccess", "/prod")
	hold(t, []fact{
		{"what every level allows", admin.gets("s"), ok},
		{"and what one does not", admin.describes("s"), admin.no(describe, "s", noSCP)},
		{"who one is can always be asked", check.Now(admin.sts.GetCallerIdentity, &sts.GetCallerIdentityInput{}), ok},
	})
}

// TestDenyWins: whatever allows, a Deny anywhere wins.
func TestDenyWins(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		refusing := a.managed("refusing", allow("*", "*"), deny(getSecret, "*"))
		ana := a.user("ana", allow("*", "*"))
		role := a.role("app", ana.arn, allow("*", "*"))
		session := ana.assume(role, "s1")
		limited := ana.assume(role, "s2", only(allow("*", "*"), deny(getSecret, "*")))
		bounded := a.user("bounded", allow("*", "*"))
		must(a.iam.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: new("bounded"), PermissionsBoundary: &refusing}))(t)
		denied := a.user("denied", allow("*", "*"), deny(getSecret, "*"))
		attached := a.user("attached", allow("*", "*"))
		must(a.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("attached"), PolicyArn: &refusing}))(t)
		all := allowTo("*", "secretsmanager:*")
		a.makes("open", all, allowTo(limited.arn+" "+bounded.arn+" "+denied.arn+" "+attached.arn, getSecret))
		a.makes("closed", all, denyTo(a.id, getSecret))
		a.makes("to-role", all, denyTo(role, getSecret))
		a.makes("to-others", all, statement("Deny", `"NotPrincipal":{"AWS":`+list(ana.arn)+`},"Action":"secretsmanager:GetSecretValue","Resource":"*"`, nil))
		hold(t, []fact{
			{"nothing denies", ana.gets("open"), ok},
			{"inline", denied.gets("open"), denied.no(getSecret, "open", denyIdentity)},
			{"managed", attached.gets("open"), attached.no(getSecret, "open", denyIdentity)},
			{"boundary", bounded.gets("open"), bounded.no(getSecret, "open", denyBoundary)},
			{"session policy", limited.gets("open"), limited.no(getSecret, "open", denySession)},
			{"resource policy, to the account", ana.gets("closed"), ana.no(getSecret, "closed", denyResource)},
			{"to its root", a.gets("closed"), a.no(getSecret, "closed", denyResource)},
			{"to a role", session.gets("to-role"), session.no(getSecret, "to-role", denyResource)},
			{"not to others", ana.gets("to-role"), ok},
			{"to all others", session.gets("to-others"), session.no(getSecret, "to-others", denyResource)},
			{"the root among them", a.gets("to-others"), a.no(getSecret, "to-others", denyResource)},
			{"not to who is left out", ana.gets("to-others"), ok},
			{"identity before resource", denied.gets("closed"), denied.no(getSecret, "closed", denyIdentity)},
		})
	})
}
