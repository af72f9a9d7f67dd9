package iam_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"coffer/internal/coffertest/check"
)

func TestUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	boundary := w.managed(t, "limit", allow("*", "*"))
	made := check.Must(t, w.CreateUser, &iam.CreateUserInput{
		UserName: new("Ana"), Path: new("/dev/db/"), PermissionsBoundary: &boundary,
		Tags: []types.Tag{{Key: new("team"), Value: new("blue")}, {Key: new("Cost Center"), Value: new("")}},
	}).User
	check.Equal(t, "ARN", *made.Arn, w.arn("user/dev/db/Ana"))
	check.Equal(t, "id", strings.HasPrefix(*made.UserId, "AIDA") && len(*made.UserId) == 21, true)
	got := check.Must(t, w.GetUser, &iam.GetUserInput{UserName: new("ana")}).User // names are found in any case
	check.Equal(t, "name", *got.UserName, "Ana")
	check.Equal(t, "id again", *got.UserId, *made.UserId)
	check.Equal(t, "path", *got.Path, "/dev/db/")
	check.Equal(t, "boundary", *got.PermissionsBoundary.PermissionsBoundaryArn, boundary)
	check.Equal(t, "boundary type", got.PermissionsBoundary.PermissionsBoundaryType, types.PermissionsBoundaryAttachmentTypePolicy)
	check.Equal(t, "tags", len(got.Tags), 2)
	check.Equal(t, "created", got.CreateDate.Equal(*made.CreateDate), true)
	check.Equal(t, "password", got.PasswordLastUsed == nil, true)

	listed := check.Must(t, w.ListUsers, &iam.ListUsersInput{}).Users
	check.Equal(t, "listed", len(listed), 1)
	check.Equal(t, "listed without tags and boundary", listed[0].Tags == nil && listed[0].PermissionsBoundary == nil, true)
}

func TestUserRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nobody := "NoSuchEntity: The user with name nobody cannot be found."
	missing := w.arn("policy/missing")
	check.Run(t, []check.Rule{
		{"create", check.Try(w.CreateUser, &iam.CreateUserInput{UserName: new("ana")}), "ok"},
		{"the name is taken", check.Try(w.CreateUser, &iam.CreateUserInput{UserName: new("ana")}), "EntityAlreadyExists: User with name ana already exists."},
		{"in any case, on any path", check.Try(w.CreateUser, &iam.CreateUserInput{UserName: new("ANA"), Path: new("/x/")}), "EntityAlreadyExists: User with name ANA already exists."},
		{"a name with a blank", check.Try(w.CreateUser, &iam.CreateUserInput{UserName: new("a b")}), `ValidationError: 1 validation error detected: Value 'a b' at 'userName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]+`},
		{"64 characters", check.Try(w.CreateUser, &iam.CreateUserInput{UserName: new(strings.Repeat("x", 64))}), "ok"},
		{"65 characters", check.Try(w.CreateUser, &iam.CreateUserInput{UserName: new(strings.Repeat("x", 65))}), "ValidationError: 1 validation error detected: Value '" + strings.Repeat("x", 65) + "' at 'userName' failed to satisfy constraint: Member must have length less than or equal to 64"},
		{"a path without slash", check.Try(w.CreateUser, &iam.CreateUserInput{UserName: new("b"), Path: new("/x")}), `ValidationError: 1 validation error detected: Value '/x' at 'path' failed to satisfy constraint: Member must satisfy regular expression pattern: (\u002F)|(\u002F[\u0021-\u007E]+\u002F)`},
		{"no such boundary", check.Try(w.CreateUser, &iam.CreateUserInput{UserName: new("b"), PermissionsBoundary: &missing}), "NoSuchEntity: Scope ARN: " + missing + " does not exist or is not attachable."},
		{"a boundary that is no ARN", check.Try(w.CreateUser, &iam.CreateUserInput{UserName: new("b"), PermissionsBoundary: new("policy/limit-of-all-users")}), "InvalidInput: ARN policy/limit-of-all-users is not valid."},
		{"AWS's policy as boundary", check.Try(w.CreateUser, &iam.CreateUserInput{UserName: new("b"), PermissionsBoundary: new("arn:aws:iam::aws:policy/AdministratorAccess")}), "ok"},
		{"get nobody", check.Try(w.GetUser, &iam.GetUserInput{UserName: new("nobody")}), nobody},
		{"update nobody", check.Try(w.UpdateUser, &iam.UpdateUserInput{UserName: new("nobody"), NewUserName: new("somebody")}), nobody},
		{"delete nobody", check.Try(w.DeleteUser, &iam.DeleteUserInput{UserName: new("nobody")}), nobody},
		{"rename to a name that is taken", check.Try(w.UpdateUser, &iam.UpdateUserInput{UserName: new("ana"), NewUserName: new("B")}), "EntityAlreadyExists: User with name B already exists."},
		{"rename to the same in another case", check.Try(w.UpdateUser, &iam.UpdateUserInput{UserName: new("ana"), NewUserName: new("Ana")}), "ok"},
		{"delete", check.Try(w.DeleteUser, &iam.DeleteUserInput{UserName: new("b")}), "ok"},
		{"delete again", check.Try(w.DeleteUser, &iam.DeleteUserInput{UserName: new("b")}), "NoSuchEntity: The user with name b cannot be found."},
		{"the name is free", check.Try(w.CreateUser, &iam.CreateUserInput{UserName: new("b")}), "ok"},
		{"an invalid marker", check.Try(w.ListUsers, &iam.ListUsersInput{Marker: new("x")}), "ValidationError: Invalid Marker."},
	})
}

// Who is asked about nobody is who asks.
func TestGetUserSelf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := check.Must(t, w.GetUser, &iam.GetUserInput{}).User
	check.Equal(t, "root's ARN", *root.Arn, w.arn("root"))
	check.Equal(t, "root's id", *root.UserId, w.account)
	check.Equal(t, "root's name and path", root.UserName == nil && root.Path == nil, true)
	check.Equal(t, "root's date", root.CreateDate.IsZero(), false)

	ana := w.user(t, "ana", allow("iam:GetUser", w.arn("user/${aws:username}")))
	check.Equal(t, "the user", *check.Must(t, ana.GetUser, &iam.GetUserInput{}).User.UserName, "ana")
	check.Run(t, []check.Rule{
		{"another user", check.Try(ana.GetUser, &iam.GetUserInput{UserName: new("bo")}),
			"AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:GetUser on resource: user bo because no identity-based policy allows the iam:GetUser action"},
	})
}

// What refers to a user refers to the person.
func TestRenamedUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	boundary, attached := w.managed(t, "limit", allow("*", "*")), w.managed(t, "all", allow("iam:List*", "*"))
	w.user(t, "ana")
	own := w.keys(t, "ana")
	check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("devs")})
	check.Must(t, w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new("devs"), UserName: new("ana")})
	check.Must(t, w.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: new("ana"), PermissionsBoundary: &boundary})
	check.Must(t, w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: &attached})
	check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: new(trust(w.arn("user/ana")))})

	check.Must(t, w.UpdateUser, &iam.UpdateUserInput{UserName: new("ANA"), NewUserName: new("Berta"), NewPath: new("/lead/")})
	check.Equal(t, "the keys' user", w.who(t, own), w.arn("user/lead/Berta"))
	as := iam.NewFromConfig(w.ConfigFor("us-east-1", own))
	users := check.Must(t, as.ListUsers, &iam.ListUsersInput{PathPrefix: new("/lead/")}).Users // the attached policy
	check.Equal(t, "users below the new path", len(users), 1)
	check.Equal(t, "users below the old path", len(check.Must(t, as.ListUsers, &iam.ListUsersInput{PathPrefix: new("/dev")}).Users), 0)
	check.Equal(t, "groups", *check.Must(t, as.ListGroupsForUser, &iam.ListGroupsForUserInput{UserName: new("berta")}).Groups[0].GroupName, "devs")
	check.Equal(t, "members", *check.Must(t, w.GetGroup, &iam.GetGroupInput{GroupName: new("devs")}).Users[0].UserName, "Berta")
	check.Equal(t, "keys", *check.Must(t, as.ListAccessKeys, &iam.ListAccessKeysInput{}).AccessKeyMetadata[0].UserName, "Berta")
	check.Equal(t, "boundary", *check.Must(t, w.GetUser, &iam.GetUserInput{UserName: new("Berta")}).User.PermissionsBoundary.PermissionsBoundaryArn, boundary)
	check.Equal(t, "the trust policy", trustOf(t, check.Must(t, w.GetRole, &iam.GetRoleInput{RoleName: new("r")}).Role), trust(w.arn("user/lead/Berta")))
	check.Equal(t, "the old name", check.Try(w.GetUser, &iam.GetUserInput{UserName: new("ana")})(), "NoSuchEntity: The user with name ana cannot be found.")
}

// Each thing that is left has its own refusal.
func TestDeleteUserConflicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := new("ana")
	policy := w.managed(t, "p", allow("*", "*"))
	del := check.Try(w.DeleteUser, &iam.DeleteUserInput{UserName: ana})
	w.user(t, "ana", allow("*", "*"))
	key := *check.Must(t, w.ListAccessKeys, &iam.ListAccessKeysInput{UserName: ana}).AccessKeyMetadata[0].AccessKeyId
	check.Must(t, w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: ana, PolicyArn: &policy})
	check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("g")})
	check.Must(t, w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new("g"), UserName: ana})
	check.Must(t, w.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: ana, PermissionsBoundary: &policy})
	check.Run(t, []check.Rule{
		{"attached", del, "DeleteConflict: Cannot delete entity, must detach all policies first."},
		{"detach", check.Try(w.DetachUserPolicy, &iam.DetachUserPolicyInput{UserName: ana, PolicyArn: &policy}), "ok"},
		{"in a group", del, "DeleteConflict: Cannot delete entity, must remove users from group first."},
		{"leave", check.Try(w.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{UserName: ana, GroupName: new("g")}), "ok"},
		{"inline", del, "DeleteConflict: Cannot delete entity, must delete policies first."},
		{"delete policy", check.Try(w.DeleteUserPolicy, &iam.DeleteUserPolicyInput{UserName: ana, PolicyName: new("own")}), "ok"},
		{"keys", del, "DeleteConflict: Cannot delete entity, must delete access keys first."},
		{"delete key", check.Try(w.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: ana, AccessKeyId: &key}), "ok"},
		{"the boundary goes with the user", del, "ok"},
		{"and counts no more", check.Try(w.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: &policy}), "ok"},
	})
}

func TestListUsersPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/", "/a/", "/a/b/", "/ab/"} {
		for _, name := range []string{"x", "y", "z"} {
			check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new(name + strings.ReplaceAll(path, "/", "-")), Path: &path})
		}
	}
	for prefix, want := range map[string]int{"": 12, "/": 12, "/a": 9, "/a/": 6, "/a/b/": 3, "/c/": 0} {
		in := &iam.ListUsersInput{MaxItems: new(int32(2))}
		if prefix != "" {
			in.PathPrefix = &prefix
		}
		seen := map[string]bool{}
		for {
			out := check.Must(t, w.ListUsers, in)
			for _, u := range out.Users {
				seen[*u.UserName] = true
			}
			check.Equal(t, prefix+": a marker if and only if there is more", out.Marker != nil, out.IsTruncated)
			if len(out.Users) > 2 {
				t.Errorf("%s: a page of %d", prefix, len(out.Users))
			}
			if in.Marker = out.Marker; in.Marker == nil {
				break
			}
		}
		check.Equal(t, "users below "+prefix, len(seen), want)
	}
}
