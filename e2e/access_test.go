package e2e_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/coffertest/check"
)

// TestIdentityPolicies: what users, members of groups and sessions of roles may by their own
// policies (spec: iam.md §4, §6, secretsmanager.md §12).
func TestIdentityPolicies(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		for _, name := range []string{"app/db", "app/db-replica", "prod/db"} {
			a.makes(name)
		}
		apps := a.secretARN("app/*")
		ana := a.user("ana", allow("secretsmanager:Get* secretsmanager:DescribeSecret", apps))
		bob := a.user("bob")
		exact := a.user("exact", allow("secretsmanager:*", a.secretARN("app/db-??????")))
		careful := a.user("careful", allow("secretsmanager:*", "*"), deny("secretsmanager:*", a.secretARN("prod/db-??????")))
		cem := a.user("cem")
		must(a.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("readers")}))(t)
		a.grants("group", "readers", allow(getSecret, apps))
		must(a.iam.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: new("readers"), UserName: new("cem")}))(t)
		job := bob.assume(a.role("app", bob.arn, allow(getSecret, apps)), "job")
		hold(t, []fact{
			{"allowed", ana.gets("app/db"), ok},
			{"by ARN", ana.gets(a.secretARN("app/db")), ok},
			{"another action", ana.puts("app/db"), ana.no(putSecret, "app/db", noIdentity)},
			{"another secret", ana.gets("prod/db"), ana.no(getSecret, "prod/db", noIdentity)},
			{"as it was asked for", ana.gets(a.secretARN("prod/db")), ana.no(getSecret, a.secretARN("prod/db"), noIdentity)},
			{"a secret that is not there, among one's own", ana.gets("app/none"), noSecret},
			{"among others: there or not is not told", ana.gets("prod/none"), ana.no(getSecret, "prod/none", noIdentity)},
			{"no resource", ana.lists(), ana.no(listSecrets, "", noIdentity)},
			{"nothing", bob.gets("app/db"), bob.no(getSecret, "app/db", noIdentity)},
			{"nothing, whatever is there", bob.gets("none"), bob.no(getSecret, "none", noIdentity)},
			{"of a group", cem.gets("app/db"), ok},
			{"not of the group", cem.describes("app/db"), cem.no(describe, "app/db", noIdentity)},
			{"of a role", job.gets("app/db"), ok},
			{"not of the role", job.gets("prod/db"), job.no(getSecret, "prod/db", noIdentity)},
			{"of a role, no resource", job.lists(), job.no(listSecrets, "", noIdentity)},

			{"six characters behind the name", exact.gets("app/db"), ok},
			{"and no longer name", exact.gets("app/db-replica"), exact.no(getSecret, "app/db-replica", noIdentity)},
			{"a Deny", careful.gets("prod/db"), careful.no(getSecret, "prod/db", denyIdentity)},
			{"a Deny of another", careful.gets("app/db"), ok},
			{"what is gone is denied as what is there", a.deletes("prod/db"), ok},
			{"so that nothing is told", careful.gets("prod/db"), careful.no(getSecret, "prod/db", denyIdentity)},
			{"one's own that is not there", careful.gets("prod/other"), noSecret},
		})
	})
}

// TestCreateSecretAccess: CreateSecret is decided on the ARN that the secret will have.
func TestCreateSecretAccess(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		ana := a.user("ana", allow(create, a.secretARN("app/*")))
		exact := a.user("exact", allow(create, a.secretARN("db-??????")))
		short := a.user("short", allow(create, a.secretARN("db")))
		not := a.user("not", allow(create, "*"), deny(create, a.secretARN("prod/*")))
		named := a.user("named", allow(create, "*", when("StringLike", "secretsmanager:Name", "team-*")))
		hold(t, []fact{
			{"under the prefix", ana.creates("app/db"), ok},
			{"beside it", ana.creates("apps/db"), ana.no(create, "apps/db", noIdentity)},
			{"name and six characters", exact.creates("db"), ok},
			{"a longer name", exact.creates("db-x"), exact.no(create, "db-x", noIdentity)},
			{"a shorter pattern is of no secret", short.creates("db"), short.no(create, "db", noIdentity)},
			{"denied", not.creates("prod/db"), not.no(create, "prod/db", denyIdentity)},
			{"not denied", not.creates("lab/db"), ok},
			{"by a condition on the name", named.creates("team-a"), ok},
			{"by another name", named.creates("a-team"), named.no(create, "a-team", noIdentity)},
			{"a name that is taken, whose is not one's to know", ana.creates("lab/db"), ana.no(create, "lab/db", noIdentity)},
		})
	})
}

// TestBatchAccess: a batch is decided secret by secret.
func TestBatchAccess(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		a.makes("app/a")
		a.makes("app/b")
		a.makes("prod/c")
		ana := a.user("ana", allow("secretsmanager:BatchGetSecretValue", "*"), allow(getSecret, a.secretARN("app/*")))
		bob := a.user("bob", allow(getSecret, "*"))
		filter := a.user("filter", allow("secretsmanager:BatchGetSecretValue secretsmanager:ListSecrets", "*"))
		foreign := w.theirs.makes("theirs")
		lines := func(l ...string) string { return strings.Join(l, "\n") }
		hold(t, []fact{
			{"some", ana.batch("app/a", "prod/c", "app/none", "prod/none", foreign, "app/b"), lines("app/a ok", "app/b ok",
				"prod/c "+ana.no(getSecret, "prod/c", noIdentity), "app/none "+noSecret, "prod/none "+ana.no(getSecret, "prod/none", noIdentity),
				foreign+" "+ana.no(getSecret, foreign, noResource))},
			{"not at all", bob.batch("app/a"), bob.no("secretsmanager:BatchGetSecretValue", "", noIdentity)},
			{"none", filter.batch("app/a"), "app/a " + filter.no(getSecret, "app/a", noIdentity)},
		})
	})
}

// TestResourcePolicies: what a secret's policy gives within the account, to whom it names
// how (spec: iam.md §4, the table).
func TestResourcePolicies(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a := w.ours
		limit := a.managed("limit", allow("s3:*", "*"))
		ana, bob := a.user("ana"), a.user("bob")
		bounded := a.user("bounded")
		must(a.iam.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: new("bounded"), PermissionsBoundary: &limit}))(t)
		free, fenced := a.role("free", ana.arn), a.role("fenced", ana.arn)
		must(a.iam.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: new("fenced"), PermissionsBoundary: &limit}))(t)
		session, other := ana.assume(free, "one"), ana.assume(free, "two")
		small, inFence := ana.assume(free, "small", only(allow("s3:*", "*"))), ana.assume(fenced, "one")
		may := a.user("may", allow("sts:GetFederationToken", "*"), allow(getSecret, "*"))
		fed, limitedFed := may.federate("fay"), may.federate("fred", allow("s3:*", "*"))
		wide := may.federate("wide", allow("secretsmanager:*", "*"))

		for _, policy := range []struct {
			names, arn, id string
			facts          func(id string) []fact
		}{
			{"a user", ana.arn, "user", func(id string) []fact {
				return []fact{
					{"who is named", ana.gets(id), ok},
					{"another", bob.gets(id), bob.no(getSecret, id, noIdentity)},
					{"for something else", ana.describes(id), ana.no(describe, id, noIdentity)},
					{"what is the user's role is not the user", session.gets(id), session.no(getSecret, id, noIdentity)},
				}
			}},
			{"a user with a boundary", bounded.arn, "bounded", func(id string) []fact {
				return []fact{{"is not limited by it", bounded.gets(id), ok}}
			}},
			{"a role", free, "role", func(id string) []fact {
				return []fact{
					{"every session", session.gets(id) + other.gets(id), ok + ok},
					{"within its session policy", small.gets(id), small.no(getSecret, id, noSession)},
					{"of another role", inFence.gets(id), inFence.no(getSecret, id, noIdentity)},
				}
			}},
			{"a role with a boundary", fenced, "fenced", func(id string) []fact {
				return []fact{{"is limited by it", inFence.gets(id), inFence.no(getSecret, id, noBoundary)}}
			}},
			{"a session", session.arn, "session", func(id string) []fact {
				return []fact{
					{"which is named", session.gets(id), ok},
					{"another of the role", other.gets(id), other.no(getSecret, id, noIdentity)},
				}
			}},
			{"sessions with policy and boundary", small.arn + " " + inFence.arn, "sessions", func(id string) []fact {
				return []fact{
					{"are not limited by a session policy", small.gets(id), ok},
					{"nor by a boundary", inFence.gets(id), ok},
				}
			}},
			{"a federated user", fed.arn, "federated", func(id string) []fact {
				return []fact{
					{"that is named", fed.gets(id), ok},
					{"another", limitedFed.gets(id), limitedFed.no(getSecret, id, noSession)},
				}
			}},
			{"the account", a.id, "account", func(id string) []fact {
				return []fact{
					{"leaves it to identity policies", ana.gets(id), ana.no(getSecret, id, noIdentity)},
					{"which allow", may.gets(id), ok},
					{"the root", a.gets(id), ok},
					{"a federated user without a policy", fed.gets(id), fed.no(getSecret, id, noSession)},
					{"with one", wide.gets(id), ok},
				}
			}},
			{"everybody", "*", "everybody", func(id string) []fact {
				return []fact{
					{"a user", bob.gets(id), ok},
					{"a session", session.gets(id), ok},
					{"also of another account, but not to the default key", w.theirs.gets(id), noForeign},
				}
			}},
		} {
			arn := a.makes(policy.id, allowTo(policy.arn, getSecret))
			for _, f := range policy.facts(arn) {
				f.what = policy.names + ": " + f.what
				hold(t, []fact{f})
			}
		}
		check.Equal(t, "what others list", w.theirs.lists(), "")
	})
}

// TestAcrossAccounts: a secret of ours, read by theirs. Ours must let them in, to the secret and
// to its key, and they must be allowed to by their own account.
func TestAcrossAccounts(t *testing.T) {
	eachRealm(t, func(t *testing.T, w *realm) {
		a, b := w.ours, w.theirs
		both := []string{allow(getSecret, "*"), allow("kms:Decrypt", "*")}
		full := b.user("full", both...)
		keyless := b.user("keyless", allow(getSecret, "*"))
		secretless := b.user("secretless", allow("kms:Decrypt", "*"))
		job := full.assume(b.role("app", full.arn, both...), "job")
		denied := b.user("denied", append(both, deny(getSecret, "*"))...)

		delegating := allowTo(a.id, "kms:*")
		open := a.makesKey(delegating, allowTo(b.id, "kms:Decrypt"))
		closed := a.makesKey(delegating)
		shared := allowTo(b.id, getSecret)
		s := a.makesUnder(open, "shared", shared)
		mine := a.makesUnder(open, "mine")
		locked := a.makesUnder(closed, "locked", shared)
		usual := a.makes("usual", shared)
		personal := a.makesUnder(open, "personal", allowTo(full.arn+" "+job.arn, getSecret))
		b.makes("shared") // another one, of the same name
		partial := s[:len(s)-len("-??????")]
		hold(t, []fact{
			{"all that it takes", full.gets(s), ok},
			{"as a role", job.gets(s), ok},
			{"the root", b.gets(s), ok},
			{"an ARN without its suffix", full.gets(partial), ok},
			{"a bare name is one's own account's", full.gets("mine"), noSecret},
			{"also where it is shared", full.equals("shared", *value("shared")), ok},
			{"nothing but what is shared", full.describes(s), full.no(describe, s, noResource)},
			{"not shared", full.gets(mine), full.no(getSecret, mine, noResource)},
			{"not there", full.gets(partial + "-nobody"), full.no(getSecret, partial+"-nobody", noResource)},
			{"not allowed by their account", secretless.gets(s), secretless.no(getSecret, s, noIdentity)},
			{"denied by it", denied.gets(s), denied.no(getSecret, s, denyIdentity)},
			{"not allowed the key by their account", keyless.gets(s), noKMS},
			{"not let in by the key", full.gets(locked), noKMS},
			{"under the default key", full.gets(usual), noForeign},
			{"named one by one", full.gets(personal), ok},
			{"a session by name", job.gets(personal), ok},
			{"not the root", b.gets(personal), b.no(getSecret, personal, noResource)},
			{"lists show one's own only", b.lists(), "shared"},
		})

		// A grant does what the key policy does not, for whom it names.
		unshared := a.makesUnder(closed, "unshared")
		grant := a.lends(closed, full.arn, kmstypes.GrantOperationDecrypt)
		hold(t, []fact{
			{"with a grant", full.gets(locked), ok},
			{"to somebody else", job.gets(locked), noKMS},
			{"the secret must be shared all the same", full.gets(unshared), full.no(getSecret, unshared, noResource)},
		})
		hold(t, []fact{
			{"it is revoked", a.takesBack(closed, grant), ok},
			{"without", full.gets(locked), noKMS},
		})

		// Who is not let in learns nothing of what is there, whatever policies he writes himself.
		spy := b.user("spy", allow("*", "*"), deny("*", "*", when("StringLike", "aws:ResourceTag/team", "*")))
		a.makes("tagged", denyTo("*", getSecret, when("StringNotEquals", "aws:SourceVpce", "vpce-0123456789abcdef0")))
		hold(t, []fact{{"a tag", a.tags("tagged", "team=blue"), ok}})
		for _, name := range []string{"tagged", "mine", "none"} {
			id := a.secretARN(name)
			hold(t, []fact{
				{"a spy reads " + name, spy.gets(id), spy.no(getSecret, id, noResource)},
				{"a spy looks at " + name, spy.describes(id), spy.no(describe, id, noResource)},
			})
		}
	})
}

// equals reads a secret and compares it.
func (p *party) equals(id, want string) string {
	out, err := p.sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err == nil && *out.SecretString != want {
		return "another value"
	}
	return check.Outcome(err)
}
