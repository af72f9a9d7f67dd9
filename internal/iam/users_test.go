package iam_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func TestUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	boundary := w.managed(t, "limit", allow("*", "*"))
	made := must(t, w.CreateUser, &iam.CreateUserInput{
		UserName: new("Ana"), Path: new("/dev/db/"), PermissionsBoundary: &boundary,
		Tags: []types.Tag{{Key: new("team"), Value: new("blue")}, {Key: new("Cost Center"), Value: new("")}},
	}).User
	equal(t, "ARN", *made.Arn, w.arn("user/dev/db/Ana"))
	equal(t, "id", strings.HasPrefix(*made.UserId, "AIDA") && len(*made.UserId) == 21, true)
	got := must(t, w.GetUser, &iam.GetUserInput{UserName: new("ana")}).User // names are found in any case
	equal(t, "name", *got.UserName, "Ana")
	equal(t, "id again", *got.UserId, *made.UserId)
	equal(t, "path", *got.Path, "/dev/db/")
	equal(t, "boundary", *got.PermissionsBoundary.PermissionsBoundaryArn, boundary)
	equal(t, "boundary type", got.PermissionsBoundary.PermissionsBoundaryType, types.PermissionsBoundaryAttachmentTypePolicy)
	equal(t, "tags", len(got.Tags), 2)
	equal(t, "created", got.CreateDate.Equal(*made.CreateDate), true)
	equal(t, "password", got.PasswordLastUsed == nil, true)

	listed := must(t, w.ListUsers, &iam.ListUsersInput{}).Users
	equal(t, "listed", len(listed), 1)
	equal(t, "listed without tags and boundary", listed[0].Tags == nil && listed[0].PermissionsBoundary == nil, true)
}

func TestUserRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nobody := "NoSuchEntity: The user with name nobody cannot be found."
	missing := w.arn("policy/missing")
	run(t, []rule{
		{"create", try(w.CreateUser, &iam.CreateUserInput{UserName: new("ana")}), "ok"},
		{"the name is taken", try(w.CreateUser, &iam.CreateUserInput{UserName: new("ana")}), "EntityAlreadyExists: User with name ana already exists."},
		{"in any case, on any path", try(w.CreateUser, &iam.CreateUserInput{UserName: new("ANA"), Path: new("/x/")}), "EntityAlreadyExists: User with name ANA already exists."},
		{"a name with a blank", try(w.CreateUser, &iam.CreateUserInput{UserName: new("a b")}), `ValidationError: 1 validation error detected: Value 'a b' at 'userName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]+`},
		{"64 characters", try(w.CreateUser, &iam.CreateUserInput{UserName: new(strings.Repeat("x", 64))}), "ok"},
		{"65 characters", try(w.CreateUser, &iam.CreateUserInput{UserName: new(strings.Repeat("x", 65))}), "ValidationError: 1 validation error detected: Value '" + strings.Repeat("x", 65) + "' at 'userName' failed to satisfy constraint: Member must have length less than or equal to 64"},
		{"a path without slash", try(w.CreateUser, &iam.CreateUserInput{UserName: new("b"), Path: new("/x")}), `ValidationError: 1 validation error detected: Value '/x' at 'path' failed to satisfy constraint: Member must satisfy regular expression pattern: (\u002F)|(\u002F[\u0021-\u007E]+\u002F)`},
		{"no such boundary", try(w.CreateUser, &iam.CreateUserInput{UserName: new("b"), PermissionsBoundary: &missing}), "NoSuchEntity: Scope ARN: " + missing + " does not exist or is not attachable."},
		{"a boundary that is no ARN", try(w.CreateUser, &iam.CreateUserInput{UserName: new("b"), PermissionsBoundary: new("policy/limit-of-all-users")}), "InvalidInput: ARN policy/limit-of-all-users is not valid."},
		{"AWS's policy as boundary", try(w.CreateUser, &iam.CreateUserInput{UserName: new("b"), PermissionsBoundary: new("arn:aws:iam::aws:policy/AdministratorAccess")}), "ok"},
		{"get nobody", try(w.GetUser, &iam.GetUserInput{UserName: new("nobody")}), nobody},
		{"update nobody", try(w.UpdateUser, &iam.UpdateUserInput{UserName: new("nobody"), NewUserName: new("somebody")}), nobody},
		{"delete nobody", try(w.DeleteUser, &iam.DeleteUserInput{UserName: new("nobody")}), nobody},
		{"rename to a name that is taken", try(w.UpdateUser, &iam.UpdateUserInput{UserName: new("ana"), NewUserName: new("B")}), "EntityAlreadyExists: User with name B already exists."},
		{"rename to the same in another case", try(w.UpdateUser, &iam.UpdateUserInput{UserName: new("ana"), NewUserName: new("Ana")}), "ok"},
		{"delete", try(w.DeleteUser, &iam.DeleteUserInput{UserName: new("b")}), "ok"},
		{"delete again", try(w.DeleteUser, &iam.DeleteUserInput{UserName: new("b")}), "NoSuchEntity: The user with name b cannot be found."},
		{"the name is free", try(w.CreateUser, &iam.CreateUserInput{UserName: new("b")}), "ok"},
		{"an invalid marker", try(w.ListUsers, &iam.ListUsersInput{Marker: new("x")}), "ValidationError: Invalid Marker."},
	})
}

// Who is asked about nobody is who asks.
func TestGetUserSelf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := must(t, w.GetUser, &iam.GetUserInput{}).User
	equal(t, "root's ARN", *root.Arn, w.arn("root"))
	equal(t, "root's id", *root.UserId, w.account)
	equal(t, "root's name and path", root.UserName == nil && root.Path == nil, true)
	equal(t, "root's date", root.CreateDate.IsZero(), false)

	ana := w.user(t, "ana", allow("iam:GetUser", w.arn("user/${aws:username}")))
	equal(t, "the user", *must(t, ana.GetUser, &iam.GetUserInput{}).User.UserName, "ana")
	run(t, []rule{
		{"another user", try(ana.GetUser, &iam.GetUserInput{UserName: new("bo")}),
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
	must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("devs")})
	must(t, w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new("devs"), UserName: new("ana")})
	must(t, w.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: new("ana"), PermissionsBoundary: &boundary})
	must(t, w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: &attached})
	must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: new(trust(w.arn("user/ana")))})

	must(t, w.UpdateUser, &iam.UpdateUserInput{UserName: new("ANA"), NewUserName: new("Berta"), NewPath: new("/lead/")})
	equal(t, "the keys' user", w.who(t, own), w.arn("user/lead/Berta"))
	as := iam.NewFromConfig(w.ConfigFor("us-east-1", own))
	users := must(t, as.ListUsers, &iam.ListUsersInput{PathPrefix: new("/lead/")}).Users // the attached policy
	equal(t, "users below the new path", len(users), 1)
	equal(t, "users below the old path", len(must(t, as.ListUsers, &iam.ListUsersInput{PathPrefix: new("/dev")}).Users), 0)
	equal(t, "groups", *must(t, as.ListGroupsForUser, &iam.ListGroupsForUserInput{UserName: new("berta")}).Groups[0].GroupName, "devs")
	equal(t, "members", *must(t, w.GetGroup, &iam.GetGroupInput{GroupName: new("devs")}).Users[0].UserName, "Berta")
	equal(t, "keys", *must(t, as.ListAccessKeys, &iam.ListAccessKeysInput{}).AccessKeyMetadata[0].UserName, "Berta")
	equal(t, "boundary", *must(t, w.GetUser, &iam.GetUserInput{UserName: new("Berta")}).User.PermissionsBoundary.PermissionsBoundaryArn, boundary)
	equal(t, "the trust policy", trustOf(t, must(t, w.GetRole, &iam.GetRoleInput{RoleName: new("r")}).Role), trust(w.arn("user/lead/Berta")))
	equal(t, "the old name", try(w.GetUser, &iam.GetUserInput{UserName: new("ana")})(), "NoSuchEntity: The user with name ana cannot be found.")
}

// Each thing that is left has its own refusal.
func TestDeleteUserConflicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := new("ana")
	policy := w.managed(t, "p", allow("*", "*"))
	del := try(w.DeleteUser, &iam.DeleteUserInput{UserName: ana})
	w.user(t, "ana", allow("*", "*"))
	key := *must(t, w.ListAccessKeys, &iam.ListAccessKeysInput{UserName: ana}).AccessKeyMetadata[0].AccessKeyId
	must(t, w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: ana, PolicyArn: &policy})
	must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("g")})
	must(t, w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new("g"), UserName: ana})
	must(t, w.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: ana, PermissionsBoundary: &policy})
	run(t, []rule{
		{"attached", del, "DeleteConflict: Cannot delete entity, must detach all policies first."},
		{"detach", try(w.DetachUserPolicy, &iam.DetachUserPolicyInput{UserName: ana, PolicyArn: &policy}), "ok"},
		{"in a group", del, "DeleteConflict: Cannot delete entity, must remove users from group first."},
		{"leave", try(w.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{UserName: ana, GroupName: new("g")}), "ok"},
		{"inline", del, "DeleteConflict: Cannot delete entity, must delete policies first."},
		{"delete policy", try(w.DeleteUserPolicy, &iam.DeleteUserPolicyInput{UserName: ana, PolicyName: new("own")}), "ok"},
		{"keys", del, "DeleteConflict: Cannot delete entity, must delete access keys first."},
		{"delete key", try(w.DeleteAccessKey, &iam.DeleteAccessKeyInput{UserName: ana, AccessKeyId: &key}), "ok"},
		{"the boundary goes with the user", del, "ok"},
		{"and counts no more", try(w.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: &policy}), "ok"},
	})
}

func TestListUsersPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/", "/a/", "/a/b/", "/ab/"} {
		for _, name := range []string{"x", "y", "z"} {
			must(t, w.CreateUser, &iam.CreateUserInput{UserName: new(name + strings.ReplaceAll(path, "/", "-")), Path: &path})
		}
	}
	for prefix, want := range map[string]int{"": 12, "/": 12, "/a": 9, "/a/": 6, "/a/b/": 3, "/c/": 0} {
		in := &iam.ListUsersInput{MaxItems: new(int32(2))}
		if prefix != "" {
			in.PathPrefix = &prefix
		}
		seen := map[string]bool{}
		for {
			out := must(t, w.ListUsers, in)
			for _, u := range out.Users {
				seen[*u.UserName] = true
			}
			equal(t, prefix+": a marker if and only if there is more", out.Marker != nil, out.IsTruncated)
			if len(out.Users) > 2 {
				t.Errorf("%s: a page of %d", prefix, len(out.Users))
			}
			if in.Marker = out.Marker; in.Marker == nil {
				break
			}
		}
		equal(t, "users below "+prefix, len(seen), want)
	}
}
