package iam_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"coffer/internal/coffertest/check"
)

// Whoever has a path to look after manages what is below it, by whatever name it goes
// there, and nothing else.
func TestPathsDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("in"), Path: new("/team/")})
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("out")})
	check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("in"), Path: new("/team/")})
	check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("out")})
	for _, n := range []string{"in", "out"} {
		path := map[string]string{"in": "/team/", "out": "/"}[n]
		check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: &n, Path: &path, AssumeRolePolicyDocument: new(trust(w.account))})
		check.Must(t, w.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: &n, Path: &path})
	}
	ana := w.user(t, "ana", allow("iam:*", w.arn("*/team/*")))
	no := func(action, on string) string {
		return "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:" + action + " on resource: " + on + " because no identity-based policy allows the iam:" + action + " action"
	}
	path := new("/team/")
	in, out := new("in"), new("out")
	check.Run(t, []check.Rule{
		{"create", check.Try(ana.CreateUser, &iam.CreateUserInput{UserName: new("x"), Path: path}), "ok"},
		{"create elsewhere", check.Try(ana.CreateUser, &iam.CreateUserInput{UserName: new("y")}), no("CreateUser", w.arn("user/y"))},
		{"create beside", check.Try(ana.CreateUser, &iam.CreateUserInput{UserName: new("y"), Path: new("/teams/")}), no("CreateUser", w.arn("user/teams/y"))},
		{"read", check.Try(ana.GetUser, &iam.GetUserInput{UserName: in}), "ok"},
		{"in another case", check.Try(ana.GetUser, &iam.GetUserInput{UserName: new("IN")}), "ok"},
		{"read elsewhere", check.Try(ana.GetUser, &iam.GetUserInput{UserName: out}), no("GetUser", "user out")},
		{"read nobody: not even whether there is one", check.Try(ana.GetUser, &iam.GetUserInput{UserName: new("nobody")}), no("GetUser", "user nobody")},
		{"list", check.Try(ana.ListUsers, &iam.ListUsersInput{PathPrefix: path}), "ok"},
		{"list all", check.Try(ana.ListUsers, &iam.ListUsersInput{}), no("ListUsers", w.arn("user/"))},
		{"move within", check.Try(ana.UpdateUser, &iam.UpdateUserInput{UserName: in, NewPath: new("/team/lead/")}), "ok"},
		{"move out", check.Try(ana.UpdateUser, &iam.UpdateUserInput{UserName: in, NewPath: new("/")}), no("UpdateUser", w.arn("user/in"))},
		{"move in", check.Try(ana.UpdateUser, &iam.UpdateUserInput{UserName: out, NewPath: path}), no("UpdateUser", "user out")},
		{"keys", check.Try(ana.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: in}), "ok"},
		{"keys elsewhere", check.Try(ana.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: out}), no("CreateAccessKey", "user out")},
		{"one's own keys", check.Try(ana.ListAccessKeys, &iam.ListAccessKeysInput{}), no("ListAccessKeys", "user ana")},

		{"group", check.Try(ana.GetGroup, &iam.GetGroupInput{GroupName: in}), "ok"},
		{"group elsewhere", check.Try(ana.GetGroup, &iam.GetGroupInput{GroupName: out}), no("GetGroup", "group out")},
		{"a member from elsewhere: the group decides", check.Try(ana.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: in, UserName: out}), "ok"},
		{"into a group elsewhere", check.Try(ana.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: out, UserName: in}), no("AddUserToGroup", "group out")},
		{"move a group out", check.Try(ana.UpdateGroup, &iam.UpdateGroupInput{GroupName: in, NewPath: new("/")}), no("UpdateGroup", w.arn("group/in"))},
		{"list groups", check.Try(ana.ListGroups, &iam.ListGroupsInput{PathPrefix: path}), "ok"},
		{"list all groups", check.Try(ana.ListGroups, &iam.ListGroupsInput{}), no("ListGroups", w.arn("group/"))},

		{"role", check.Try(ana.GetRole, &iam.GetRoleInput{RoleName: in}), "ok"},
		{"role elsewhere", check.Try(ana.GetRole, &iam.GetRoleInput{RoleName: out}), no("GetRole", "role out")},
		{"trust elsewhere", check.Try(ana.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: out, PolicyDocument: new(trust(w.account))}), no("UpdateAssumeRolePolicy", "role out")},
		{"list all roles", check.Try(ana.ListRoles, &iam.ListRolesInput{}), no("ListRoles", w.arn("role/"))},
		{"profiles of a role elsewhere", check.Try(ana.ListInstanceProfilesForRole, &iam.ListInstanceProfilesForRoleInput{RoleName: out}), no("ListInstanceProfilesForRole", "role out")},

		{"profile", check.Try(ana.GetInstanceProfile, &iam.GetInstanceProfileInput{InstanceProfileName: in}), "ok"},
		{"profile elsewhere", check.Try(ana.GetInstanceProfile, &iam.GetInstanceProfileInput{InstanceProfileName: out}), no("GetInstanceProfile", "instance profile out")},
		{"a role into a profile elsewhere", check.Try(ana.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: out, RoleName: in}), no("AddRoleToInstanceProfile", "instance profile out")},
		{"a role from elsewhere", check.Try(ana.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: in, RoleName: out}), no("PassRole", w.arn("role/out"))},

		{"device", check.Try(ana.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("d"), Path: path}), "ok"},
		{"device elsewhere", check.Try(ana.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("d")}), no("CreateVirtualMFADevice", w.arn("mfa/d"))},
		{"tag a device", check.Try(ana.TagMFADevice, &iam.TagMFADeviceInput{SerialNumber: new(w.arn("mfa/team/d")), Tags: tags("a=1")}), "ok"},
		{"delete a device elsewhere", check.Try(ana.DeleteVirtualMFADevice, &iam.DeleteVirtualMFADeviceInput{SerialNumber: new(w.arn("mfa/d"))}), no("DeleteVirtualMFADevice", w.arn("mfa/d"))},
		{"a device in another partition's words", check.Try(ana.DeleteVirtualMFADevice, &iam.DeleteVirtualMFADeviceInput{SerialNumber: new("arn:aws-cn:iam::" + w.account + ":mfa/team/d")}), "NoSuchEntity: VirtualMFADevice with serial number arn:aws-cn:iam::" + w.account + ":mfa/team/d does not exist."},

		{"the account", check.Try(ana.GetAccountSummary, &iam.GetAccountSummaryInput{}), no("GetAccountSummary", "*")},
	})
}

// Every operation is refused to a user without a policy, and does nothing.
func TestNobodyMayAnything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, "ana")
	n := new("ana")
	serial := new(w.arn("mfa/ana"))
	key := check.Must(t, w.ListAccessKeys, &iam.ListAccessKeysInput{UserName: n}).AccessKeyMetadata[0].AccessKeyId
	doc := new(trust(w.account))
	for action, call := range map[string]func() string{
		"CreateUser":                         check.Try(ana.CreateUser, &iam.CreateUserInput{UserName: new("x")}),
		"GetUser":                            check.Try(ana.GetUser, &iam.GetUserInput{}),
		"ListUsers":                          check.Try(ana.ListUsers, &iam.ListUsersInput{}),
		"UpdateUser":                         check.Try(ana.UpdateUser, &iam.UpdateUserInput{UserName: n, NewUserName: new("x")}),
		"DeleteUser":                         check.Try(ana.DeleteUser, &iam.DeleteUserInput{UserName: n}),
		"CreateAccessKey":                    check.Try(ana.CreateAccessKey, &iam.CreateAccessKeyInput{}),
		"ListAccessKeys":                     check.Try(ana.ListAccessKeys, &iam.ListAccessKeysInput{}),
		"UpdateAccessKey":                    check.Try(ana.UpdateAccessKey, &iam.UpdateAccessKeyInput{AccessKeyId: key, Status: types.StatusTypeInactive}),
		"DeleteAccessKey":                    check.Try(ana.DeleteAccessKey, &iam.DeleteAccessKeyInput{AccessKeyId: key}),
		"GetAccessKeyLastUsed":               check.Try(ana.GetAccessKeyLastUsed, &iam.GetAccessKeyLastUsedInput{AccessKeyId: key}),
		"CreateGroup":                        check.Try(ana.CreateGroup, &iam.CreateGroupInput{GroupName: n}),
		"GetGroup":                           check.Try(ana.GetGroup, &iam.GetGroupInput{GroupName: n}),
		"ListGroups":                         check.Try(ana.ListGroups, &iam.ListGroupsInput{}),
		"UpdateGroup":                        check.Try(ana.UpdateGroup, &iam.UpdateGroupInput{GroupName: n}),
		"DeleteGroup":                        check.Try(ana.DeleteGroup, &iam.DeleteGroupInput{GroupName: n}),
		"AddUserToGroup":                     check.Try(ana.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: n, UserName: n}),
		"RemoveUserFromGroup":                check.Try(ana.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: n, UserName: n}),
		"ListGroupsForUser":                  check.Try(ana.ListGroupsForUser, &iam.ListGroupsForUserInput{UserName: n}),
		"CreateRole":                         check.Try(ana.CreateRole, &iam.CreateRoleInput{RoleName: n, AssumeRolePolicyDocument: doc}),
		"GetRole":                            check.Try(ana.GetRole, &iam.GetRoleInput{RoleName: n}),
		"ListRoles":                          check.Try(ana.ListRoles, &iam.ListRolesInput{}),
		"UpdateRole":                         check.Try(ana.UpdateRole, &iam.UpdateRoleInput{RoleName: n}),
		"UpdateRoleDescription":              check.Try(ana.UpdateRoleDescription, &iam.UpdateRoleDescriptionInput{RoleName: n, Description: n}),
		"UpdateAssumeRolePolicy":             check.Try(ana.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: n, PolicyDocument: doc}),
		"DeleteRole":                         check.Try(ana.DeleteRole, &iam.DeleteRoleInput{RoleName: n}),
		"TagUser":                            check.Try(ana.TagUser, &iam.TagUserInput{UserName: n, Tags: tags("a=1")}),
		"UntagUser":                          check.Try(ana.UntagUser, &iam.UntagUserInput{UserName: n, TagKeys: []string{"a"}}),
		"ListUserTags":                       check.Try(ana.ListUserTags, &iam.ListUserTagsInput{UserName: n}),
		"TagRole":                            check.Try(ana.TagRole, &iam.TagRoleInput{RoleName: n, Tags: tags("a=1")}),
		"UntagRole":                          check.Try(ana.UntagRole, &iam.UntagRoleInput{RoleName: n, TagKeys: []string{"a"}}),
		"ListRoleTags":                       check.Try(ana.ListRoleTags, &iam.ListRoleTagsInput{RoleName: n}),
		"TagInstanceProfile":                 check.Try(ana.TagInstanceProfile, &iam.TagInstanceProfileInput{InstanceProfileName: n, Tags: tags("a=1")}),
		"UntagInstanceProfile":               check.Try(ana.UntagInstanceProfile, &iam.UntagInstanceProfileInput{InstanceProfileName: n, TagKeys: []string{"a"}}),
		"ListInstanceProfileTags":            check.Try(ana.ListInstanceProfileTags, &iam.ListInstanceProfileTagsInput{InstanceProfileName: n}),
		"TagMFADevice":                       check.Try(ana.TagMFADevice, &iam.TagMFADeviceInput{SerialNumber: serial, Tags: tags("a=1")}),
		"UntagMFADevice":                     check.Try(ana.UntagMFADevice, &iam.UntagMFADeviceInput{SerialNumber: serial, TagKeys: []string{"a"}}),
		"ListMFADeviceTags":                  check.Try(ana.ListMFADeviceTags, &iam.ListMFADeviceTagsInput{SerialNumber: serial}),
		"PutUserPermissionsBoundary":         check.Try(ana.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: n, PermissionsBoundary: new(w.arn("policy/p"))}),
		"DeleteUserPermissionsBoundary":      check.Try(ana.DeleteUserPermissionsBoundary, &iam.DeleteUserPermissionsBoundaryInput{UserName: n}),
		"PutRolePermissionsBoundary":         check.Try(ana.PutRolePermissionsBoundary, &iam.PutRolePermissionsBoundaryInput{RoleName: n, PermissionsBoundary: new(w.arn("policy/p"))}),
		"DeleteRolePermissionsBoundary":      check.Try(ana.DeleteRolePermissionsBoundary, &iam.DeleteRolePermissionsBoundaryInput{RoleName: n}),
		"CreateInstanceProfile":              check.Try(ana.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: n}),
		"GetInstanceProfile":                 check.Try(ana.GetInstanceProfile, &iam.GetInstanceProfileInput{InstanceProfileName: n}),
		"ListInstanceProfiles":               check.Try(ana.ListInstanceProfiles, &iam.ListInstanceProfilesInput{}),
		"DeleteInstanceProfile":              check.Try(ana.DeleteInstanceProfile, &iam.DeleteInstanceProfileInput{InstanceProfileName: n}),
		"AddRoleToInstanceProfile":           check.Try(ana.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: n, RoleName: n}),
		"RemoveRoleFromInstanceProfile":      check.Try(ana.RemoveRoleFromInstanceProfile, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: n, RoleName: n}),
		"ListInstanceProfilesForRole":        check.Try(ana.ListInstanceProfilesForRole, &iam.ListInstanceProfilesForRoleInput{RoleName: n}),
		"CreateServiceLinkedRole":            check.Try(ana.CreateServiceLinkedRole, &iam.CreateServiceLinkedRoleInput{AWSServiceName: new("ecs.amazonaws.com")}),
		"DeleteServiceLinkedRole":            check.Try(ana.DeleteServiceLinkedRole, &iam.DeleteServiceLinkedRoleInput{RoleName: n}),
		"GetServiceLinkedRoleDeletionStatus": check.Try(ana.GetServiceLinkedRoleDeletionStatus, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: new("task/aws-service-role/ecs.amazonaws.com/r/1")}),
		"CreateVirtualMFADevice":             check.Try(ana.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: n}),
		"EnableMFADevice":                    check.Try(ana.EnableMFADevice, &iam.EnableMFADeviceInput{UserName: n, SerialNumber: serial, AuthenticationCode1: new("000000"), AuthenticationCode2: new("000000")}),
		"DeactivateMFADevice":                check.Try(ana.DeactivateMFADevice, &iam.DeactivateMFADeviceInput{SerialNumber: serial}),
		"DeleteVirtualMFADevice":             check.Try(ana.DeleteVirtualMFADevice, &iam.DeleteVirtualMFADeviceInput{SerialNumber: serial}),
		"ListMFADevices":                     check.Try(ana.ListMFADevices, &iam.ListMFADevicesInput{}),
		"ListVirtualMFADevices":              check.Try(ana.ListVirtualMFADevices, &iam.ListVirtualMFADevicesInput{}),
		"ResyncMFADevice":                    check.Try(ana.ResyncMFADevice, &iam.ResyncMFADeviceInput{UserName: n, SerialNumber: serial, AuthenticationCode1: new("000000"), AuthenticationCode2: new("000000")}),
		"GetMFADevice":                       check.Try(ana.GetMFADevice, &iam.GetMFADeviceInput{SerialNumber: serial}),
		"GetAccountSummary":                  check.Try(ana.GetAccountSummary, &iam.GetAccountSummaryInput{}),
		"CreateAccountAlias":                 check.Try(ana.CreateAccountAlias, &iam.CreateAccountAliasInput{AccountAlias: new("alias")}),
		"ListAccountAliases":                 check.Try(ana.ListAccountAliases, &iam.ListAccountAliasesInput{}),
		"DeleteAccountAlias":                 check.Try(ana.DeleteAccountAlias, &iam.DeleteAccountAliasInput{AccountAlias: new("alias")}),
		"GetAccountPasswordPolicy":           check.Try(ana.GetAccountPasswordPolicy, &iam.GetAccountPasswordPolicyInput{}),
		"UpdateAccountPasswordPolicy":        check.Try(ana.UpdateAccountPasswordPolicy, &iam.UpdateAccountPasswordPolicyInput{}),
		"DeleteAccountPasswordPolicy":        check.Try(ana.DeleteAccountPasswordPolicy, &iam.DeleteAccountPasswordPolicyInput{}),
	} {
		want := "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:" + action + " on resource: "
		got := call()
		if len(got) < len(want) || got[:len(want)] != want {
			t.Errorf("%s: %s", action, got)
		}
	}
	check.Equal(t, "users", len(check.Must(t, w.ListUsers, &iam.ListUsersInput{}).Users), 1)
	check.Equal(t, "the key works", check.Try(ana.GetUser, &iam.GetUserInput{})() != "ok", true)
}
