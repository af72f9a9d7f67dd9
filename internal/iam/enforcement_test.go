package iam_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/coffertest/check"
	"coffer/internal/fault"
	"coffer/internal/policy"
	"coffer/internal/session"
	"coffer/internal/table"
)

// What is done to policies in IAM decides the next call of Secrets Manager and
// KMS, made with the user's own access key.
func TestPoliciesAreInForceAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.SecretsManager(t)
	secret := check.Must(t, root.CreateSecret, &secretsmanager.CreateSecretInput{Name: new("app/db"), SecretString: new("one")})
	other := check.Must(t, root.CreateSecret, &secretsmanager.CreateSecretInput{Name: new("other"), SecretString: new("two")})
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")})
	check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("readers")})
	sm := secretsmanager.NewFromConfig(w.ConfigFor("eu-west-1", w.keys(t, "ana")))

	read := check.Try(sm.GetSecretValue, &secretsmanager.GetSecretValueInput{SecretId: secret.Name})
	readOther := check.Try(sm.GetSecretValue, &secretsmanager.GetSecretValueInput{SecretId: other.Name})
	list := check.Try(sm.ListSecrets, &secretsmanager.ListSecretsInput{})
	refusal := func(action, resource, why string) string {
		on := ""
		if resource != "" {
			on = " on resource: " + resource
		}
		return "AccessDeniedException: User: " + w.arn("user/ana") + " is not authorized to perform: secretsmanager:" + action + on + " " + why
	}
	none := refusal("GetSecretValue", "app/db", "because no identity-based policy allows the secretsmanager:GetSecretValue action")
	noOther := refusal("GetSecretValue", "other", "because no identity-based policy allows the secretsmanager:GetSecretValue action")
	explicit := refusal("GetSecretValue", "app/db", "with an explicit deny in an identity-based policy")
	bounded := refusal("GetSecretValue", "app/db", "because no permissions boundary allows the secretsmanager:GetSecretValue action")

	get, all := "secretsmanager:GetSecretValue", "*"
	put := func(document string) func() string {
		return check.Try(w.PutUserPolicy, &iam.PutUserPolicyInput{UserName: new("ana"), PolicyName: new("own"), PolicyDocument: &document})
	}
	attach := func(arn string) func() string {
		return check.Try(w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: &arn})
	}
	detach := func(arn string) func() string {
		return check.Try(w.DetachUserPolicy, &iam.DetachUserPolicyInput{UserName: new("ana"), PolicyArn: &arn})
	}
	readers := w.managed(t, "readers", allow(get, *secret.ARN))
	check.Must(t, w.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: &readers, PolicyDocument: new(document(allow("secretsmanager:ListSecrets", all)))})
	version := func(id string) func() string {
		return check.Try(w.SetDefaultPolicyVersion, &iam.SetDefaultPolicyVersionInput{PolicyArn: &readers, VersionId: &id})
	}
	groupAttach := check.Try(w.AttachGroupPolicy, &iam.AttachGroupPolicyInput{GroupName: new("readers"), PolicyArn: &readers})
	groupDetach := check.Try(w.DetachGroupPolicy, &iam.DetachGroupPolicyInput{GroupName: new("readers"), PolicyArn: &readers})
	join := check.Try(w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new("readers"), UserName: new("ana")})
	leave := check.Try(w.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: new("readers"), UserName: new("ana")})
	groupPut := func(document string) func() string {
		return check.Try(w.PutGroupPolicy, &iam.PutGroupPolicyInput{GroupName: new("readers"), PolicyName: new("deny"), PolicyDocument: &document})
	}
	bound := func(arn string) func() string {
		return check.Try(w.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: new("ana"), PermissionsBoundary: &arn})
	}
	check.Run(t, []check.Rule{
		{"nothing", read, none},
		{"an inline policy", put(document(allow(get, *secret.ARN))), "ok"}, {"reads", read, "ok"}, {"and no other", readOther, noOther},
		{"changed", put(document(allow(get, *other.ARN))), "ok"}, {"reads no more", read, none}, {"but the other", readOther, "ok"},
		{"deleted", check.Try(w.DeleteUserPolicy, &iam.DeleteUserPolicyInput{UserName: new("ana"), PolicyName: new("own")}), "ok"}, {"reads none", readOther, noOther},

		{"a managed policy", attach(readers), "ok"}, {"reads", read, "ok"}, {"does not list", list, refusal("ListSecrets", "", "because no identity-based policy allows the secretsmanager:ListSecrets action")},
		{"another version", version("v2"), "ok"}, {"lists", list, "ok"}, {"does not read", read, none},
		{"the first again", version("v1"), "ok"}, {"reads", read, "ok"},
		{"detached", detach(readers), "ok"}, {"does not read", read, none},

		{"of a group", groupAttach, "ok"}, {"without the user", read, none},
		{"with it", join, "ok"}, {"reads", read, "ok"},
		{"a Deny of the group", groupPut(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"secretsmanager:Get*","Resource":"*"}}`), "ok"}, {"does not read", read, explicit},
		{"an Allow of its own does not help", attach(administrator), "ok"}, {"does not read", read, explicit}, {"lists", list, "ok"},
		{"out of the group", leave, "ok"}, {"reads", read, "ok"}, {"all", readOther, "ok"},

		{"a boundary", bound(readOnly), "ok"}, {"limits", read, bounded}, {"allows", list, "ok"},
		{"another", bound(administrator), "ok"}, {"allows", read, "ok"},
		{"deleted", check.Try(w.DeleteUserPermissionsBoundary, &iam.DeleteUserPermissionsBoundaryInput{UserName: new("ana")}), "ok"}, {"allows", read, "ok"},
		{"AWS's policy detached", detach(administrator), "ok"}, {"does not read", read, none},

		{"the group has nothing any more", groupDetach, "ok"}, {"it is empty", read, none},
	})

	// What decides with conditions on tags of user and secret.
	check.Must(t, w.TagUser, &iam.TagUserInput{UserName: new("ana"), Tags: tags("team=blue")})
	teams := put(document(allow(get, all, `"Condition":{"StringEquals":{"secretsmanager:ResourceTag/team":"${aws:PrincipalTag/team}"}}`)))
	retag := func(value string) func() string {
		return check.Try(w.TagUser, &iam.TagUserInput{UserName: new("ana"), Tags: tags("team=" + value)})
	}
	check.Run(t, []check.Rule{
		{"of the own team only", teams, "ok"}, {"the secret has no team", read, none},
		{"tagged", check.Try(root.TagResource, &secretsmanager.TagResourceInput{SecretId: secret.Name, Tags: []smtypes.Tag{{Key: new("team"), Value: new("blue")}}}), "ok"}, {"reads", read, "ok"},
		{"the user moves", retag("red"), "ok"}, {"does not read", read, none},
		{"and back", retag("blue"), "ok"}, {"reads", read, "ok"},
	})
}

// KMS asks IAM as far as the key policy says so.
func TestPoliciesOnKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.KMS(t)
	key := check.Must(t, root.CreateKey, &kms.CreateKeyInput{}).KeyMetadata
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")})
	keys := kms.NewFromConfig(w.ConfigFor("eu-west-1", w.keys(t, "ana")))
	encrypt := func(context map[string]string) func() string {
		return check.Try(keys.Encrypt, &kms.EncryptInput{KeyId: key.Arn, Plaintext: []byte("x"), EncryptionContext: context})
	}
	none := "AccessDeniedException: User: " + w.arn("user/ana") + " is not authorized to perform: kms:Encrypt on resource: " + *key.Arn + " because no identity-based policy allows the kms:Encrypt action"
	put := func(document string) func() string {
		return check.Try(w.PutUserPolicy, &iam.PutUserPolicyInput{UserName: new("ana"), PolicyName: new("own"), PolicyDocument: &document})
	}
	check.Run(t, []check.Rule{
		{"nothing", encrypt(nil), none},
		{"allowed", put(document(allow("kms:Encrypt", *key.Arn))), "ok"}, {"encrypts", encrypt(nil), "ok"},
		{"with an encryption context only", put(document(allow("kms:Encrypt", *key.Arn, `"Condition":{"StringEquals":{"kms:EncryptionContext:app":"x"}}`))), "ok"},
		{"without", encrypt(nil), none}, {"with", encrypt(map[string]string{"app": "x"}), "ok"}, {"with another", encrypt(map[string]string{"app": "y"}), none},
		{"AWS's policy for KMS", check.Try(w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: new("arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser")}), "ok"},
		{"lists", check.Try(keys.ListKeys, &kms.ListKeysInput{}), "ok"},
		{"does not decrypt", check.Try(keys.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: key.Arn}), "AccessDeniedException: User: " + w.arn("user/ana") + " is not authorized to perform: kms:ScheduleKeyDeletion on resource: " + *key.Arn + " because no identity-based policy allows the kms:ScheduleKeyDeletion action"},
	})
}

// Long policies decide like short ones.
func TestLongestPolicyDecides(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check.Must(t, w.SecretsManager(t).CreateSecret, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: new("x")})
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")})
	sm := secretsmanager.NewFromConfig(w.ConfigFor("eu-west-1", w.keys(t, "ana")))
	arn := *check.Must(t, w.CreatePolicy, &iam.CreatePolicyInput{PolicyName: new("long"), PolicyDocument: new(ofLength(6144))}).Policy.Arn
	check.Must(t, w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: &arn})
	check.Equal(t, "reads", check.Try(sm.GetSecretValue, &secretsmanager.GetSecretValueInput{SecretId: new("s")})(), "ok")
}

// AWS's own policies do what their names say.
func TestAWSManagedPoliciesDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check.Must(t, w.SecretsManager(t).CreateSecret, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: new("x")})
	const yes, no = "ok", "AccessDenied"
	for i, tc := range []struct{ name, read, describe, create, users, newUser string }{
		{"AdministratorAccess", yes, yes, yes, yes, yes},
		{"PowerUserAccess", yes, yes, yes, no, no},
		{"ReadOnlyAccess", no, yes, no, yes, no},
		{"SecurityAudit", no, yes, no, yes, no},
		{"SecretsManagerReadWrite", yes, yes, yes, no, no},
		{"AWSKeyManagementServicePowerUser", no, no, no, yes, no},
		{"CloudWatchLogsFullAccess", no, no, no, no, no},
		{"service-role/AWSLambdaBasicExecutionRole", no, no, no, no, no},
		{"service-role/AWSLambdaVPCAccessExecutionRole", no, no, no, no, no},
	} {
		user := fmt.Sprintf("user-%d", i)
		check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: &user})
		check.Must(t, w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: &user, PolicyArn: new("arn:aws:iam::aws:policy/" + tc.name)})
		key := w.keys(t, user)
		sm, own := secretsmanager.NewFromConfig(w.ConfigFor("eu-west-1", key)), iam.NewFromConfig(w.ConfigFor("us-east-1", key))
		for _, call := range []struct {
			name, want string
			call       func() string
		}{
			{"GetSecretValue", tc.read, check.Try(sm.GetSecretValue, &secretsmanager.GetSecretValueInput{SecretId: new("s")})},
			{"DescribeSecret", tc.describe, check.Try(sm.DescribeSecret, &secretsmanager.DescribeSecretInput{SecretId: new("s")})},
			{"CreateSecret", tc.create, check.Try(sm.CreateSecret, &secretsmanager.CreateSecretInput{Name: &user, SecretString: new("x")})},
			{"ListUsers", tc.users, check.Try(own.ListUsers, &iam.ListUsersInput{})},
			{"CreateUser", tc.newUser, check.Try(own.CreateUser, &iam.CreateUserInput{UserName: new(user + "2")})},
		} {
			got := call.call()
			if len(got) > len(no) {
				got = got[:len(no)]
			}
			check.Equal(t, call.name+" with "+tc.name, got, call.want)
		}
	}
}

// asRole is ListUsers, called by a session of the role: "ok" or the error. (Package sts
// tests that roles are assumed.)
func (b *bench) asRole(name, id string) func() string {
	role := arnOfBench("role/" + name)
	return func() string {
		r := &api.Request{
			Context: context.Background(), Time: b.now, Op: iamapi.ListUsers.Operation, Input: &iamapi.ListUsersInput{}, Account: benchAccount, Region: "us-east-1", Directory: b.dir,
			Principal: api.Principal{Name: name, Session: &session.Session{Type: policy.AssumedRole, EntityID: id, Name: "s"}, Caller: policy.Caller{
				Type: policy.AssumedRole, Account: benchAccount, Entity: role, ID: id, ARN: "arn:aws:sts::" + benchAccount + ":assumed-role/" + name + "/s",
			}},
		}
		err := b.db.View(r.Context, func(tx *table.Tx) error {
			r.Tx = tx
			_, err := b.bound[r.Op].Run(r, r.Input, b.dir.Decider(r))
			return err
		})
		if e, ok := fault.As(err); ok {
			return e.Message
		}
		if err != nil {
			return err.Error()
		}
		return "ok"
	}
}

func arnOfBench(resource string) string { return "arn:aws:iam::" + benchAccount + ":" + resource }

func TestRolePoliciesAreInForceAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	role := new("deploy")
	made := calls(b, iamapi.CreateRole, &iamapi.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: new(trust(benchAccount))}).Role
	list := b.asRole(*role, *made.RoleId)
	arn := calls(b, iamapi.CreatePolicy, &iamapi.CreatePolicyInput{PolicyName: new("lists"), PolicyDocument: new(document(allow("iam:List*", "*")))}).Policy.Arn
	calls(b, iamapi.CreatePolicyVersion, &iamapi.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: new(document(allow("s3:*", "*")))})
	then := func(f func()) func() string {
		return func() string { f(); return "ok" }
	}
	put := func(statements ...string) func() string {
		return then(func() {
			calls(b, iamapi.PutRolePolicy, &iamapi.PutRolePolicyInput{RoleName: role, PolicyName: new("own"), PolicyDocument: new(document(statements...))})
		})
	}
	version := func(id string) func() string {
		return then(func() {
			calls(b, iamapi.SetDefaultPolicyVersion, &iamapi.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: &id})
		})
	}
	who := "User: arn:aws:sts::" + benchAccount + ":assumed-role/deploy/s is not authorized to perform: iam:ListUsers on resource: " + arnOfBench("user/") + " "
	none, explicit := who+"because no identity-based policy allows the iam:ListUsers action", who+"with an explicit deny in an identity-based policy"
	check.Run(t, []check.Rule{
		{"nothing", list, none},
		{"inline", put(allow("iam:ListUsers", "*")), "ok"}, {"lists", list, "ok"},
		{"another", put(allow("iam:ListRoles", "*")), "ok"}, {"does not", list, none},
		{"attached", then(func() {
			calls(b, iamapi.AttachRolePolicy, &iamapi.AttachRolePolicyInput{RoleName: role, PolicyArn: arn})
		}), "ok"}, {"lists", list, "ok"},
		{"another version", version("v2"), "ok"}, {"does not", list, none},
		{"and back", version("v1"), "ok"}, {"lists", list, "ok"},
		{"denied", put(deny("iam:*", "*")), "ok"}, {"does not", list, explicit},
		{"no more", then(func() {
			calls(b, iamapi.DeleteRolePolicy, &iamapi.DeleteRolePolicyInput{RoleName: role, PolicyName: new("own")})
		}), "ok"}, {"lists", list, "ok"},
		{"detached", then(func() {
			calls(b, iamapi.DetachRolePolicy, &iamapi.DetachRolePolicyInput{RoleName: role, PolicyArn: arn})
		}), "ok"}, {"does not", list, none},
	})
}
