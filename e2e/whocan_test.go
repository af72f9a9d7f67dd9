package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"coffer/internal/coffertest/check"
	"coffer/internal/gateway"
	"coffer/internal/server"
)

// whoCan is what `coffer who-can --json` says, a line for each principal: who, if and unless what, and
// through which policies. names are the short forms of what policies are found at, in pairs.
func (w *realm) whoCan(action, resource string, names ...string) string {
	w.t.Helper()
	out := run(w.t, 0, "who-can", action, resource, "--json", "--region", "eu-west-1", "--data-dir", string(w.Dir))
	var a gateway.Answer
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		w.t.Fatal(err)
	}
	for _, of := range []*account{w.theirs, w.ours} {
		name := map[bool]string{true: "ours:", false: "theirs:"}[of == w.ours]
		names = append(names, "arn:aws:iam::"+of.id+":", name, "arn:aws:sts::"+of.id+":", name)
	}
	short := strings.NewReplacer(names...)
	var lines []string
	for _, f := range a.Found {
		line := f.Principal
		for _, s := range f.If {
			line += fmt.Sprint(" if ", s.Conditions)
		}
		for _, s := range f.Unless {
			line += fmt.Sprint(" unless ", s.Conditions)
		}
		for i, s := range f.Through {
			line += []string{": ", ", "}[min(i, 1)] + s.Policy
			if s.Action != a.Action {
				line += " (" + s.Action + ")"
			}
		}
		lines = append(lines, short.Replace(line))
	}
	slices.Sort(lines)
	return "\n" + strings.Join(lines, "\n")
}

func (w *realm) found(t *testing.T, what, got string, want ...string) {
	t.Helper()
	slices.Sort(want)
	check.Equal(t, what, got, "\n"+strings.Join(want, "\n"))
}

// TestWhoCan: everybody who can read a secret, by whatever lets them, and nobody else.
func TestWhoCan(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a, b := w.ours, w.theirs
		key := a.makesKey(allowTo(a.id, "kms:*"), allowTo(b.id, "kms:Decrypt"))
		use := allow("kms:Decrypt", "*")
		user := func(name string, statements ...string) string { return a.user(name, statements...).arn }
		inline := user("inline", allow(getSecret, a.secretARN("app/*")), use)
		user("keyless", allow(getSecret, "*"))
		user("nobody")
		user("denied", allow("*", "*"), deny(getSecret, "*"))
		user("elsewhere", allow(getSecret, a.secretARN("prod/*")), use)
		user("office", allow(getSecret, "*", when("IpAddress", "aws:SourceIp", "203.0.113.0/24")), use)
		user("careful", allow("*", "*"), deny(getSecret, "*", when("BoolIfExists", "aws:MultiFactorAuthPresent", "false")))
		user("attached")
		must(a.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("attached"), PolicyArn: new(a.managed("readers", allow("secretsmanager:Get*", "*"), use))}))(t)
		user("member")
		must(a.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("team")}))(t)
		a.grants("group", "team", allow(getSecret+" kms:Decrypt", "*"))
		must(a.iam.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("team"), UserName: new("member")}))(t)
		user("bounded", allow("*", "*"))
		must(a.iam.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: new("bounded"), PermissionsBoundary: new("arn:aws:iam::aws:policy/CloudWatchLogsFullAccess")}))(t)
		grant := a.lends(key, user("lent", allow(getSecret, "*")), kmstypes.GrantOperationDecrypt)
		// Sessions of app can have tags, those of worker cannot.
		a.role("app", inline, allow(getSecret, "*", when("StringEquals", "aws:PrincipalTag/team", "blue")), use)
		worker := a.trusting("worker", statement("Allow", `"Principal":{"AWS":`+list(inline)+`},"Action":"sts:AssumeRole"`, nil))
		a.grants("role", "worker", use)
		visitor := b.user("visitor", allow(getSecret, "*"), use).arn
		b.user("stranger", allow("*", "*"))
		secret := a.makesUnder(key, "app/db", allowTo(visitor, getSecret), allowTo("arn:aws:sts::"+a.id+":assumed-role/worker/job", "secretsmanager:*"))

		names := []string{secret, "the secret", key, "the key", grant, "a grant"}
		readers := []string{
			"ours:root: account root, the key (kms:Decrypt), account root (kms:Decrypt)",
			"ours:user/inline: user/inline:own, the key (kms:Decrypt), user/inline:own (kms:Decrypt)",
			"ours:user/attached: ours:policy/readers, the key (kms:Decrypt), ours:policy/readers (kms:Decrypt)",
			"ours:user/member: group/team:own, the key (kms:Decrypt), group/team:own (kms:Decrypt)",
			"ours:user/lent: user/lent:own, a grant (kms:Decrypt)",
			"ours:user/careful unless [BoolIfExists aws:MultiFactorAuthPresent false]: user/careful:own, the key (kms:Decrypt), user/careful:own (kms:Decrypt)",
			"ours:user/office if [IpAddress aws:SourceIp 203.0.113.0/24]: user/office:own, the key (kms:Decrypt), user/office:own (kms:Decrypt)",
			"ours:role/app if [StringEquals aws:PrincipalTag/team blue]: role/app:own, the key (kms:Decrypt), role/app:own (kms:Decrypt)",
			"ours:assumed-role/worker/job: the secret, the key (kms:Decrypt), role/worker:own (kms:Decrypt)",
			"theirs:user/visitor: the secret, user/visitor:own, the key (kms:Decrypt), user/visitor:own (kms:Decrypt)",
		}
		w.found(t, "by name", w.whoCan(getSecret, "app/db", names...), readers...)
		w.found(t, "by ARN", w.whoCan(getSecret, secret, names...), readers...)
		w.found(t, "in any case", w.whoCan(strings.ToLower(getSecret), "app/db", names...), readers...)

		a.makes("closed", denyTo("*", getSecret))
		w.found(t, "nobody", w.whoCan(getSecret, "closed"), "")
		w.found(t, "a list", w.whoCan(listSecrets, "*"), "ours:root: account root", "ours:user/denied: user/denied:own", "ours:user/careful: user/careful:own")
		w.found(t, "what is to be made", w.whoCan(create, "app/new"), "ours:root: account root", "ours:user/denied: user/denied:own", "ours:user/careful: user/careful:own")
		w.found(t, "a key", w.whoCan("kms:Encrypt", key, names...), "ours:root: the key, account root", "ours:user/denied: the key, user/denied:own", "ours:user/careful: the key, user/careful:own")
		w.found(t, "a role", w.whoCan("sts:AssumeRole", worker, names...), "ours:user/inline: role/worker")
		w.found(t, "a user", w.whoCan("iam:CreateAccessKey", inline), "ours:root: account root", "ours:user/denied: user/denied:own", "ours:user/careful: user/careful:own")
		w.found(t, "users", w.whoCan("iam:ListUsers", "*"), "ours:root: account root", "ours:user/denied: user/denied:own", "ours:user/careful: user/careful:own")
		a.tagsUser("inline", "team", "blue")
		a.grants("user", "nobody", allow("iam:DeleteUser", "*", when("StringEquals", "aws:ResourceTag/team", "blue")))
		w.found(t, "a user with a tag", w.whoCan("iam:DeleteUser", inline), "ours:root: account root", "ours:user/denied: user/denied:own", "ours:user/careful: user/careful:own", "ours:user/nobody: user/nobody:own")
		for _, bad := range []struct{ action, resource, want string }{
			{"secretsmanager:Nothing", "app/db", `"secretsmanager:Nothing" is no action of a service that is served here`},
			{getSecret, "app/none", textNoSecret},
			{getSecret, "a b", textInvalidName},
			{"kms:Encrypt", "alias/none", "is not found"},
			{"sts:AssumeRole", a.entity("role/none"), "there is no " + a.entity("role/none")},
			{"sts:AssumeRole", "worker", `sts:AssumeRole is about a role: "worker" is not the ARN of one`},
			{"sts:AssumeRoleWithSAML", worker, "is said by the role's trust policy"},
			{"iam:DeleteUser", "*", "iam:DeleteUser is about a user: give its ARN"},
			{"secretsmanager:ReplicateSecretToRegions", "app/db", "is not served here"},
		} {
			out := run(t, 1, "who-can", bad.action, bad.resource, "--region", "eu-west-1", "--data-dir", string(w.Dir))
			check.Equal(t, bad.action+" on "+bad.resource+": "+out, strings.Contains(out, bad.want), true)
		}
	})
}

// TestExplain: why a call was allowed or denied, by the id that its caller got.
func TestExplain(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		key := a.makesKey()
		s := a.makesUnder(key, "s")
		ana := a.user("ana", allow(getSecret, "*", `"Sid":"Read"`), allow("kms:Decrypt", "*"), deny(describe, "*"))
		hold(t, []fact{
			{"allowed", ana.gets("s"), ok},
			{"no Allow", ana.puts("s"), ana.no(putSecret, "s", noIdentity)},
			{"a Deny", ana.describes("s"), ana.no(describe, "s", denyIdentity)},
			{"by the key", a.locks(key, allowTo(a.id, "kms:*"), denyTo(ana.arn, "kms:Decrypt")), ok},
			{"denied", ana.gets("s"), noKMS},
			{"a forged signature", w.with(ana.arn, ana.keys().AccessKeyID, strings.Repeat("x", 40), "").gets("s"), "InvalidSignatureException: The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."},
		})
		answers := w.watch.answers()
		explain := func(back int) server.Explanation {
			t.Helper()
			var x server.Explanation
			out := run(t, 0, "explain", answers[len(answers)-back].id, "--json", "--data-dir", string(w.Dir))
			if err := json.Unmarshal([]byte(out), &x); err != nil {
				t.Fatal(err)
			}
			return x
		}
		short := strings.NewReplacer(s, "the secret", key, "the key", ana.arn, "ana", a.arn, "root")
		told := func(back int) string {
			t.Helper()
			text := ""
			for _, c := range explain(back).Calls {
				text += strings.TrimPrefix(c.Action, "secretsmanager.amazonaws.com ") + " by " + c.Principal + " " + c.ErrorCode
				for _, d := range c.Decisions {
					text += fmt.Sprintf("; %s on %s: %v, explicit %v, %s", d.Action, d.Resource, d.Allowed, d.Explicit, d.PolicyType)
					for _, by := range d.By {
						text += " by " + by.Policy + " " + by.Sid
						if by.Statement != nil {
							text += fmt.Sprint(*by.Statement)
						}
					}
				}
				text += "\n"
			}
			return short.Replace(text)
		}
		check.Equal(t, "allowed", told(6), "GetSecretValue by ana ; secretsmanager:GetSecretValue on the secret: true, explicit false,  by user/ana:own Read0\n"+
			"kms.amazonaws.com Decrypt by ana ; kms:Decrypt on the key: true, explicit false,  by the key Enable IAM User Permissions0 by user/ana:own 1\n")
		check.Equal(t, "no Allow", told(5), "PutSecretValue by ana AccessDeniedException; secretsmanager:PutSecretValue on the secret: false, explicit false, identity-based policy\n")
		check.Equal(t, "a Deny", told(4), "DescribeSecret by ana AccessDeniedException; secretsmanager:DescribeSecret on the secret: false, explicit true, identity-based policy by user/ana:own 2\n")
		check.Equal(t, "denied the key", told(2), "GetSecretValue by ana AccessDeniedException; secretsmanager:GetSecretValue on the secret: true, explicit false,  by user/ana:own Read0\n"+
			"kms.amazonaws.com Decrypt by ana AccessDeniedException; kms:Decrypt on the key: false, explicit true, resource-based policy by the key 1\n")
		check.Equal(t, "before anything was decided", told(1), "GetSecretValue by  InvalidSignatureException\n")
		for id, want := range map[string]string{
			"00000000-0000-4000-8000-000000000000": "the audit log has no record of request 00000000-0000-4000-8000-000000000000",
			"nonsense":                             `"nonsense" is no request id`,
		} {
			out := run(t, 1, "explain", id, "--data-dir", string(w.Dir))
			check.Equal(t, id+": "+out, strings.Contains(out, want), true)
		}
		text := run(t, 0, "explain", answers[len(answers)-4].id, "--data-dir", string(w.Dir))
		for _, want := range []string{"call        secretsmanager.amazonaws.com DescribeSecret in eu-west-1\n", "principal   " + ana.arn + "\n", "explicitly denied: secretsmanager:DescribeSecret on " + s + "\n", "by        identity-based policy user/ana:own, statement 3\n"} {
			check.Equal(t, want+" in "+text, strings.Contains(text, want), true)
		}
	})
}
