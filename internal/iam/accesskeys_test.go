package iam_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest/check"
	"coffer/internal/server"
)

func TestAccessKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := new("ana")
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: ana})
	k := check.Must(t, w.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: ana}).AccessKey
	check.Equal(t, "key's user", *k.UserName, "ana")
	check.Equal(t, "key id", strings.HasPrefix(*k.AccessKeyId, "AKIA") && len(*k.AccessKeyId) == 20, true)
	check.Equal(t, "secret", len(*k.SecretAccessKey), 40)
	check.Equal(t, "status", k.Status, types.StatusTypeActive)
	own := server.Credentials{Account: w.account, AccessKeyID: *k.AccessKeyId, SecretAccessKey: *k.SecretAccessKey}
	as := iam.NewFromConfig(w.ConfigFor("us-east-1", own))
	check.Equal(t, "the caller", w.who(t, own), w.arn("user/ana"))

	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("bo")})
	unknown := "InvalidClientTokenId: The security token included in the request is invalid."
	status := func(s types.StatusType) func() string {
		return check.Try(w.UpdateAccessKey, &iam.UpdateAccessKeyInput{UserName: ana, AccessKeyId: k.AccessKeyId, Status: s})
	}
	denied := "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:GetUser on resource: user ana because no identity-based policy allows the iam:GetUser action"
	check.Run(t, []check.Rule{
		{"the user has no policy", check.Try(as.GetUser, &iam.GetUserInput{}), denied},
		{"a second key", check.Try(w.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: ana}), "ok"},
		{"a third", check.Try(w.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: ana}), "LimitExceeded: Cannot exceed quota for AccessKeysPerUser: 2"},
		{"a status nobody can set", status("Expired"), "InvalidInput: An access key cannot be given the status Expired."},
		{"a status that is none", status("Off"), "ValidationError: 1 validation error detected: Value 'Off' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive, Expired]"},
		{"switch off", status(types.StatusTypeInactive), "ok"},
		{"it is unknown at once", check.Try(as.GetUser, &iam.GetUserInput{}), unknown},
		{"switch on", status(types.StatusTypeActive), "ok"},
		{"it is known at once", check.Try(as.GetUser, &iam.GetUserInput{}), denied},
		{"of another user", check.Try(w.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: new("bo"), AccessKeyId: k.AccessKeyId}), "NoSuchEntity: The Access Key with id " + *k.AccessKeyId + " cannot be found."},
		{"of the root", check.Try(w.DeleteAccessKey, &iam.DeleteAccessKeyInput{AccessKeyId: k.AccessKeyId}), "NoSuchEntity: The Access Key with id " + *k.AccessKeyId + " cannot be found."},
		{"of nobody", check.Try(w.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: new("nobody")}), "NoSuchEntity: The user with name nobody cannot be found."},
		{"list nobody's", check.Try(w.ListAccessKeys, &iam.ListAccessKeysInput{UserName: new("nobody")}), "NoSuchEntity: The user with name nobody cannot be found."},
		{"delete", check.Try(w.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: ana, AccessKeyId: k.AccessKeyId}), "ok"},
		{"and it is gone", check.Try(as.GetUser, &iam.GetUserInput{}), unknown},
		{"delete again", check.Try(w.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: ana, AccessKeyId: k.AccessKeyId}), "NoSuchEntity: The Access Key with id " + *k.AccessKeyId + " cannot be found."},
	})
	keys := check.Must(t, w.ListAccessKeys, &iam.ListAccessKeysInput{UserName: ana})
	check.Equal(t, "keys left", len(keys.AccessKeyMetadata), 1)
}

// A caller without a user name means itself, be it the root.
func TestOwnAccessKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine := check.Must(t, w.ListAccessKeys, &iam.ListAccessKeysInput{}).AccessKeyMetadata
	check.Equal(t, "root keys", len(mine), 1)
	check.Equal(t, "the key of this call", *mine[0].AccessKeyId, w.Credentials.AccessKeyID)
	check.Equal(t, "root has no user name", mine[0].UserName == nil, true)
	second := check.Must(t, w.CreateAccessKey, &iam.CreateAccessKeyInput{}).AccessKey
	fresh := server.Credentials{Account: w.account, AccessKeyID: *second.AccessKeyId, SecretAccessKey: *second.SecretAccessKey}
	check.Equal(t, "the new key's holder", w.who(t, fresh), w.arn("root"))
	as := iam.NewFromConfig(w.ConfigFor("us-east-1", fresh))
	check.Run(t, []check.Rule{
		{"a third", check.Try(w.CreateAccessKey, &iam.CreateAccessKeyInput{}), "LimitExceeded: Cannot exceed quota for AccessKeysPerUser: 2"},
		{"the new key deletes the old", check.Try(as.DeleteAccessKey, &iam.DeleteAccessKeyInput{AccessKeyId: mine[0].AccessKeyId}), "ok"},
		{"which is unknown then", check.Try(w.ListAccessKeys, &iam.ListAccessKeysInput{}), "InvalidClientTokenId: The security token included in the request is invalid."},
	})
}

func TestOwnAccessKeysOfUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, "ana", allow("iam:*AccessKey*", w.arn("user/${aws:username}")))
	keys := check.Must(t, ana.ListAccessKeys, &iam.ListAccessKeysInput{}).AccessKeyMetadata
	check.Equal(t, "own keys", len(keys), 1)
	check.Equal(t, "whose", *keys[0].UserName, "ana")
	w.user(t, "bo")
	bo := check.Must(t, w.ListAccessKeys, &iam.ListAccessKeysInput{UserName: new("bo")}).AccessKeyMetadata[0].AccessKeyId
	no := func(action, named string) string {
		return "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:" + action + " on resource: " + named + " because no identity-based policy allows the iam:" + action + " action"
	}
	check.Run(t, []check.Rule{
		{"rotate: another", check.Try(ana.CreateAccessKey, &iam.CreateAccessKeyInput{}), "ok"},
		{"somebody else's", check.Try(ana.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: new("bo")}), no("CreateAccessKey", "user bo")},
		{"use of one's own", check.Try(ana.GetAccessKeyLastUsed, &iam.GetAccessKeyLastUsedInput{AccessKeyId: keys[0].AccessKeyId}), "ok"},
		{"use of somebody else's: who has it is not told", check.Try(ana.GetAccessKeyLastUsed, &iam.GetAccessKeyLastUsedInput{AccessKeyId: bo}), no("GetAccessKeyLastUsed", "access key "+*bo)},
		{"use of an unknown key: nor whether there is one", check.Try(ana.GetAccessKeyLastUsed, &iam.GetAccessKeyLastUsedInput{AccessKeyId: new("AKIAAAAAAAAAAAAAAAAA")}), no("GetAccessKeyLastUsed", "access key AKIAAAAAAAAAAAAAAAAA")},
		{"unknown to the root", check.Try(w.GetAccessKeyLastUsed, &iam.GetAccessKeyLastUsedInput{AccessKeyId: new("AKIAAAAAAAAAAAAAAAAA")}), "AccessDenied: User: " + w.arn("root") + " is not authorized to perform: iam:GetAccessKeyLastUsed on resource: access key AKIAAAAAAAAAAAAAAAAA"},
	})
}

func TestAccessKeyLastUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")})
	own := w.keys(t, "ana")
	last := func(id string) string {
		out := check.Must(t, w.GetAccessKeyLastUsed, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &id})
		text, user := "never", "root"
		if out.AccessKeyLastUsed.LastUsedDate != nil {
			text = "used"
		}
		if out.UserName != nil {
			user = *out.UserName
		}
		return user + " " + text + " " + *out.AccessKeyLastUsed.ServiceName + " " + *out.AccessKeyLastUsed.Region
	}
	check.Equal(t, "fresh", last(own.AccessKeyID), "ana never N/A N/A")
	w.who(t, own)
	check.Equal(t, "used", last(own.AccessKeyID), "ana used sts us-east-1")
	// A call that is denied is a use as well, and IAM is in one region for everybody.
	check.Try(iam.NewFromConfig(w.ConfigFor("eu-west-1", own)).ListUsers, &iam.ListUsersInput{})()
	check.Equal(t, "denied", last(own.AccessKeyID), "ana used iam us-east-1")
	wrong := own
	wrong.SecretAccessKey = strings.Repeat("x", 40)
	check.Try(sts.NewFromConfig(w.ConfigFor("us-east-1", wrong)).GetCallerIdentity, &sts.GetCallerIdentityInput{})()
	check.Equal(t, "a wrong signature is none", last(own.AccessKeyID), "ana used iam us-east-1")
	check.Equal(t, "the root's own", last(w.Credentials.AccessKeyID), "root used iam us-east-1")
}
