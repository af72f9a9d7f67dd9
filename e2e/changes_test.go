package e2e_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/coffertest/check"
)

// TestChanges: every change of what decides is in force for the next call, be it of a user's
// or of a session that goes on.
func TestChanges(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		key := a.makesKey()
		s := a.makesUnder(key, "s")
		ana := a.user("ana", allow("kms:*", "*"))
		role := a.role("app", ana.arn, allow("kms:*", "*"))
		job := ana.assume(role, "job")
		read := a.managed("read", allow("secretsmanager:*", "*"))
		must(a.iam.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: &read, PolicyDocument: new(document(allow("s3:*", "*")))}))(t)
		must(a.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("team")}))(t)
		user, roleName, team := new("ana"), new("app"), new("team")

		// grants gives statements, or takes them; both the user and the session try.
		grants := func(kind, name string, statements ...string) string { a.grants(kind, name, statements...); return ok }
		reads := func() string { return ana.gets("s") }
		works := func() string { return job.gets("s") }
		no, noJob := ana.no(getSecret, "s", noIdentity), job.no(getSecret, "s", noIdentity)
		noBound, noJobBound := ana.no(getSecret, "s", noBoundary), job.no(getSecret, "s", noBoundary)
		version := func(id string) string {
			return check.Now(a.iam.SetDefaultPolicyVersion, &iam.SetDefaultPolicyVersionInput{PolicyArn: &read, VersionId: &id})
		}
		limit := new("arn:aws:iam::aws:policy/CloudWatchLogsFullAccess")
		hold(t, []fact{
			{"nothing", reads(), no}, {"nothing", works(), noJob},
			{"an inline policy", grants("user", "ana", allow("*", "*")), ok}, {"reads", reads(), ok},
			{"another", grants("user", "ana", allow("s3:*", "*")), ok}, {"does not", reads(), no},
			{"of the role", grants("role", "app", allow("*", "*")), ok}, {"its session reads", works(), ok},
			{"taken away", grants("role", "app"), ok}, {"and does not", works(), noJob},
			{"attached", check.Now(a.iam.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: user, PolicyArn: &read}), ok},
			{"and to the role", check.Now(a.iam.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: roleName, PolicyArn: &read}), ok},
			{"the user may use the key again", grants("user", "ana", allow("kms:*", "*")), ok}, {"and the role", grants("role", "app", allow("kms:*", "*")), ok},
			{"reads", reads(), ok}, {"reads", works(), ok},
			{"another version", version("v2"), ok}, {"does not", reads(), no}, {"does not", works(), noJob},
			{"the first again", version("v1"), ok}, {"reads", reads(), ok}, {"reads", works(), ok},
			{"bounded", check.Now(a.iam.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: user, PermissionsBoundary: limit}), ok},
			{"and the role", check.Now(a.iam.PutRolePermissionsBoundary, &iam.PutRolePermissionsBoundaryInput{RoleName: roleName, PermissionsBoundary: limit}), ok},
			{"does not", reads(), noBound}, {"does not", works(), noJobBound},
			{"no more", check.Now(a.iam.DeleteUserPermissionsBoundary, &iam.DeleteUserPermissionsBoundaryInput{UserName: user}), ok},
			{"nor the role", check.Now(a.iam.DeleteRolePermissionsBoundary, &iam.DeleteRolePermissionsBoundaryInput{RoleName: roleName}), ok},
			{"reads", reads(), ok}, {"reads", works(), ok},
			{"detached", check.Now(a.iam.DetachUserPolicy, &iam.DetachUserPolicyInput{UserName: user, PolicyArn: &read}), ok}, {"does not", reads(), no},
			{"from the role", check.Now(a.iam.DetachRolePolicy, &iam.DetachRolePolicyInput{RoleName: roleName, PolicyArn: &read}), ok}, {"does not", works(), noJob},

			{"a group", grants("group", "team", allow(getSecret, "*")), ok},
			{"that the user is in", check.Now(a.iam.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: team, UserName: user}), ok}, {"reads", reads(), ok},
			{"its policy changes", grants("group", "team", allow(describe, "*")), ok}, {"does not", reads(), no},
			{"one is attached", check.Now(a.iam.AttachGroupPolicy, &iam.AttachGroupPolicyInput{GroupName: team, PolicyArn: &read}), ok}, {"reads", reads(), ok},
			{"without the user", check.Now(a.iam.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: team, UserName: user}), ok}, {"does not", reads(), no},

			{"the secret's policy", a.shares(s, allowTo(ana.arn+" "+role, getSecret)), ok}, {"reads", reads(), ok}, {"reads", works(), ok},
			{"another", a.shares(s, allowTo(ana.arn, describe)), ok}, {"does not", reads(), no},
			{"none", a.unshares(s), ok}, {"does not", ana.describes("s"), ana.no(describe, "s", noIdentity)},
			{"all of it again", a.shares(s, allowTo(ana.arn+" "+role, "secretsmanager:*")), ok},

			{"the key's policy", a.locks(key, allowTo(a.id, "kms:*"), denyTo(ana.arn, "kms:Decrypt")), ok}, {"does not", reads(), noKMS}, {"but the role", works(), ok},
			{"without the account", a.locks(key, allowTo(a.arn, "kms:*", when("ArnEquals", "aws:PrincipalArn", a.arn)), allowTo(a.arn, "kms:PutKeyPolicy")), ok}, {"does not", works(), noKMS},
			{"as it was", a.locks(key, allowTo(a.id, "kms:*")), ok}, {"reads", reads() + works(), ok + ok},
			{"the key is disabled", check.Now(a.kms.DisableKey, &kms.DisableKeyInput{KeyId: &key}), ok},
			{"cannot be read", works(), "DecryptionFailure: Secrets Manager can't decrypt the protected secret text using the provided KMS key."},
			{"and enabled", check.Now(a.kms.EnableKey, &kms.EnableKeyInput{KeyId: &key}), ok}, {"reads", works(), ok},

			{"no key by policies any more", grants("user", "ana", allow(getSecret, "*")), ok}, {"does not", reads(), noKMS},
		})
		grant := a.lends(key, ana.arn, kmstypes.GrantOperationDecrypt)
		hold(t, []fact{{"a grant", reads(), ok}, {"revoked", a.takesBack(key, grant), ok}, {"does not", reads(), noKMS}, {"and again", grants("user", "ana", allow("*", "*")), ok}, {"reads", reads(), ok}})
	})
}

// TestCredentialsThatEnd: keys that are switched off or deleted, users and roles that go.
func TestCredentialsThatEnd(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		a.makes("s")
		all := allow("*", "*")
		ana := a.user("ana", all)
		id := a.keyIDs("ana")[0]
		session, fed := ana.session(), ana.federate("fay", all)
		role := a.role("app", ana.arn, all)
		job := ana.assume(role, "job")
		chained := job.assume(a.role("next", role, all), "s2")
		status := func(s iamtypes.StatusType) string {
			return check.Now(a.iam.UpdateAccessKey, &iam.UpdateAccessKeyInput{UserName: new("ana"), AccessKeyId: &id, Status: s})
		}
		all4 := func() string {
			return strings.Join([]string{ana.gets("s"), session.gets("s"), fed.gets("s"), job.gets("s"), chained.gets("s")}, ", ")
		}
		hold(t, []fact{
			{"all are good", all4(), "ok, ok, ok, ok, ok"},
			{"the key is switched off", status(iamtypes.StatusTypeInactive), ok},
			{"what came from it ends, but for the role's", all4(), strings.Join([]string{noUser, noUser, noUser, ok, ok}, ", ")},
			{"and on", status(iamtypes.StatusTypeActive), ok},
			{"all are good", all4(), "ok, ok, ok, ok, ok"},
			{"the role goes", a.removes("role", "app"), ok},
			{"with its sessions, and not with those that came from them", all4(), strings.Join([]string{ok, ok, ok, noUser, ok}, ", ")},
			{"the key goes", check.Now(a.iam.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: new("ana"), AccessKeyId: &id}), ok},
			{"what came from it is gone", all4(), strings.Join([]string{noUser, noUser, noUser, noUser, ok}, ", ")},
		})
		// Another key brings nothing back; nor does another user of the name.
		a.key("ana")
		hold(t, []fact{
			{"another key", session.gets("s"), noUser},
			{"the user goes", a.removes("user", "ana"), ok},
		})
		a.user("ana", all)
		hold(t, []fact{{"another of the name", fed.gets("s") + session.gets("s"), noUser + noUser}})
	})
}

func (a *account) keyIDs(user string) (ids []string) {
	a.w.t.Helper()
	for _, k := range must(a.iam.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: &user}))(a.w.t).AccessKeyMetadata {
		ids = append(ids, *k.AccessKeyId)
	}
	return ids
}

// removes deletes a user or role with all that hangs on it.
func (a *account) removes(kind, name string) string {
	a.w.t.Helper()
	a.grants(kind, name)
	if kind == "role" {
		return check.Now(a.iam.DeleteRole, &iam.DeleteRoleInput{RoleName: &name})
	}
	for _, id := range a.keyIDs(name) {
		if got := check.Now(a.iam.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: &name, AccessKeyId: &id}); got != ok {
			return got
		}
	}
	return check.Now(a.iam.DeleteUser, &iam.DeleteUserInput{UserName: &name})
}

// TestNamesakes: policies mean individuals. Who is made anew under the name of a deleted user
// or role has nothing of what was given to that, and policies show whom they mean.
func TestNamesakes(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		unbound := a.makesKey()
		key := a.makesKey(allowTo(a.id, "kms:*"))
		maker := a.user("maker", allow("sts:AssumeRole", "*"))
		ana := a.user("ana")
		role := a.role("app", maker.arn)
		hold(t, []fact{{"the key", a.locks(key, allowTo(a.id, "kms:*"), allowTo(ana.arn+" "+role, "kms:Encrypt")), ok}})
		a.makes("s", allowTo(ana.arn+" "+role, getSecret))
		target := a.trusting("target", trust(ana.arn))
		a.lends(unbound, ana.arn, kmstypes.GrantOperationEncrypt)
		a.lends(unbound, role, kmstypes.GrantOperationEncrypt)
		job := maker.assume(role, "job")
		ids := []string{*must(a.iam.GetUser(ctx, &iam.GetUserInput{UserName: new("ana")}))(t).User.UserId, *must(a.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: new("app")}))(t).Role.RoleId}
		shown := func(what string, got string, want ...string) {
			t.Helper()
			for _, id := range want {
				if !strings.Contains(got, `"`+id+`"`) {
					t.Errorf("%s does not show %s: %s", what, id, got)
				}
			}
		}
		policy := func() string {
			return *must(a.sm.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: new("s")}))(t).ResourcePolicy
		}
		keyPolicy := func() string {
			return *must(a.kms.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &key}))(t).Policy
		}
		hold(t, []fact{
			{"the user", ana.gets("s") + ana.encrypts(key) + ana.encrypts(unbound) + ana.mayAssume(target, "s1"), ok + ok + ok + ok},
			{"the role", job.gets("s") + job.encrypts(key) + job.encrypts(unbound), ok + ok + ok},
		})
		shown("the secret", policy(), ana.arn, role)
		shown("the key", keyPolicy(), ana.arn, role)
		hold(t, []fact{{"the user goes", a.removes("user", "ana"), ok}, {"the role goes", a.removes("role", "app"), ok}})
		shown("the secret, now", policy(), ids...)
		shown("the key, now", keyPolicy(), ids...)

		ana = a.user("ana")
		again := maker.assume(a.role("app", maker.arn), "job")
		hold(t, []fact{
			{"a new user: the secret", ana.gets("s"), ana.no(getSecret, "s", noIdentity)},
			{"the key", ana.encrypts(key), ana.no("kms:Encrypt", key, noIdentity)},
			{"the grant", ana.encrypts(unbound), ana.no("kms:Encrypt", unbound, noIdentity)},
			{"the role that trusted the old one", ana.mayAssume(target, "s1"), ana.no("sts:AssumeRole", target, noReason)},
			{"a new role: the secret", again.gets("s"), again.no(getSecret, "s", noIdentity)},
			{"the key", again.encrypts(key), again.no("kms:Encrypt", key, noIdentity)},
			{"the grant", again.encrypts(unbound), again.no("kms:Encrypt", unbound, noIdentity)},
			{"a session of the old", job.gets("s"), noUser},
		})
		shown("the secret, still", policy(), ids...)
		hold(t, []fact{
			{"what is shown cannot be put again, as on AWS", check.Now(a.sm.PutResourcePolicy, &secretsmanager.PutResourcePolicyInput{SecretId: new("s"), ResourcePolicy: new(policy())}), "MalformedPolicyDocumentException: This resource policy contains an unsupported principal."},
			{"the new ones are named anew", a.shares("s", allowTo(ana.arn+" "+role, getSecret)), ok},
			{"and read", ana.gets("s") + again.gets("s"), ok + ok},
			{"a user is renamed", check.Now(a.iam.UpdateUser, &iam.UpdateUserInput{UserName: new("ana"), NewUserName: new("anna"), NewPath: new("/team/")}), ok},
			{"and is the same", ana.gets("s"), ok},
		})
		shown("the secret, of the renamed", policy(), a.entity("user/team/anna"))
	})
}

// TestPolicyGuards: PutResourcePolicy and its kin hold their callers back from mistakes.
func TestPolicyGuards(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		a.makes("s")
		ana := a.user("ana", allow("secretsmanager:*", "*"))
		cautious := a.user("cautious", allow("secretsmanager:*ResourcePolicy", "*", when("Bool", "secretsmanager:BlockPublicPolicy", "true")), allow("secretsmanager:ValidateResourcePolicy", "*"))
		reader := a.user("reader", allow("secretsmanager:GetResourcePolicy secretsmanager:ValidateResourcePolicy", "*"))
		put := func(p *party, block bool, statements ...string) string {
			return check.Now(p.sm.PutResourcePolicy, &secretsmanager.PutResourcePolicyInput{SecretId: new("s"), ResourcePolicy: new(document(statements...)), BlockPublicPolicy: &block})
		}
		validate := func(p *party, statements ...string) string {
			out, err := p.sm.ValidateResourcePolicy(ctx, &secretsmanager.ValidateResourcePolicyInput{SecretId: new("s"), ResourcePolicy: new(document(statements...))})
			if err != nil {
				return check.Outcome(err)
			}
			text := ""
			for _, e := range out.ValidationErrors {
				text += *e.CheckName + ": " + *e.ErrorMessage
			}
			return text
		}
		const (
			lockout = "Your requested changes will not allow you to manage this secret in the future."
			public  = "You can't attach a resource-based policy that allows broad access to the secret."
			action  = "secretsmanager:PutResourcePolicy"
		)
		everybody := allowTo("*", getSecret)
		pinned := allowTo("*", getSecret, when("StringEquals", "aws:PrincipalAccount", w.theirs.id))
		manage := "secretsmanager:PutResourcePolicy secretsmanager:DeleteResourcePolicy"
		gone := allowTo(a.entity("user/nobody"), getSecret)
		hold(t, []fact{
			{"public", put(ana, true, everybody), "PublicPolicyException: " + public},
			{"found beforehand", validate(ana, everybody), "PUBLIC_POLICY_CHECK: " + public},
			{"pinned to an account", put(ana, true, pinned) + validate(ana, pinned), ok},
			{"public, unblocked", put(ana, false, everybody), ok},
			{"only blocked", put(cautious, false, everybody), cautious.no(action, "s", noIdentity)},
			{"is refused", put(cautious, true, everybody), "PublicPolicyException: " + public},
			{"or accepted", put(cautious, true, pinned), ok},
			{"to validate takes the right to put", validate(reader, pinned), reader.no(action, "s", noIdentity)},
			{"a lock-out", put(ana, true, denyTo(ana.arn, manage)), "InvalidRequestException: " + lockout},
			{"of the account", put(ana, true, denyTo(a.id, "secretsmanager:*")), "InvalidRequestException: " + lockout},
			{"found beforehand", validate(ana, denyTo(a.id, "secretsmanager:*")), "LOCKOUT_CHECK: " + lockout},
			{"of somebody else", put(ana, true, denyTo(cautious.arn, manage)), ok},
			{"who is locked out then", put(cautious, true, pinned), cautious.no(action, "s", denyResource)},
			{"nobody", put(ana, true, gone), "MalformedPolicyDocumentException: This resource policy contains an unsupported principal."},
			{"found beforehand", validate(ana, gone), "SYNTAX_CHECK: This resource policy contains an unsupported principal."},
			{"what was refused changed nothing", put(cautious, true, pinned), cautious.no(action, "s", denyResource)},
			{"a key policy without a way back", a.locks(a.makesKey(), allowTo(ana.arn, "kms:*")), "MalformedPolicyDocumentException: The new key policy will not allow you to update the key policy in the future."},
			{"for nobody", a.locks(a.makesKey(), allowTo(a.id, "kms:*"), allowTo(a.entity("role/nobody"), "kms:*")), "MalformedPolicyDocumentException: Policy contains a statement with one or more invalid principals."},
			{"a trust policy for nobody", check.Now(a.iam.CreateRole, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: new(document(trust(a.entity("user/nobody"))))}), `MalformedPolicyDocument: Invalid principal in policy: "AWS":"` + a.entity("user/nobody") + `"`},
		})
	})
}
