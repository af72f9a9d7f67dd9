package iam_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// Whoever has a path to look after manages what is below it, by whatever name it goes
// there, and nothing else.
func TestPathsDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("in"), Path: new("/team/")})
	must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("out")})
	must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("in"), Path: new("/team/")})
	must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("out")})
	for _, n := range []string{"in", "out"} {
		path := map[string]string{"in": "/team/", "out": "/"}[n]
		must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: &n, Path: &path, AssumeRolePolicyDocument: new(trust(w.account))})
		must(t, w.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: &n, Path: &path})
	}
	ana := w.user(t, "ana", allow("iam:*", w.arn("*/team/*")))
	no := func(action, on string) string {
		return "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:" + action + " on resource: " + on + " because no identity-based policy allows the iam:" + action + " action"
	}
	path := new("/team/")
	in, out := new("in"), new("out")
	run(t, []rule{
		{"create", try(ana.CreateUser, &iam.CreateUserInput{UserName: new("x"), Path: path}), "ok"},
		{"create elsewhere", try(ana.CreateUser, &iam.CreateUserInput{UserName: new("y")}), no("CreateUser", w.arn("user/y"))},
		{"create beside", try(ana.CreateUser, &iam.CreateUserInput{UserName: new("y"), Path: new("/teams/")}), no("CreateUser", w.arn("user/teams/y"))},
		{"read", try(ana.GetUser, &iam.GetUserInput{UserName: in}), "ok"},
		{"in another case", try(ana.GetUser, &iam.GetUserInput{UserName: new("IN")}), "ok"},
		{"read elsewhere", try(ana.GetUser, &iam.GetUserInput{UserName: out}), no("GetUser", "user out")},
		{"read nobody: not even whether there is one", try(ana.GetUser, &iam.GetUserInput{UserName: new("nobody")}), no("GetUser", "user nobody")},
		{"list", try(ana.ListUsers, &iam.ListUsersInput{PathPrefix: path}), "ok"},
		{"list all", try(ana.ListUsers, &iam.ListUsersInput{}), no("ListUsers", w.arn("user/"))},
		{"move within", try(ana.UpdateUser, &iam.UpdateUserInput{UserName: in, NewPath: new("/team/lead/")}), "ok"},
		{"move out", try(ana.UpdateUser, &iam.UpdateUserInput{UserName: in, NewPath: new("/")}), no("UpdateUser", w.arn("user/in"))},
		{"move in", try(ana.UpdateUser, &iam.UpdateUserInput{UserName: out, NewPath: path}), no("UpdateUser", "user out")},
		{"keys", try(ana.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: in}), "ok"},
		{"keys elsewhere", try(ana.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: out}), no("CreateAccessKey", "user out")},
		{"one's own keys", try(ana.ListAccessKeys, &iam.ListAccessKeysInput{}), no("ListAccessKeys", "user ana")},

		{"group", try(ana.GetGroup, &iam.GetGroupInput{GroupName: in}), "ok"},
		{"group elsewhere", try(ana.GetGroup, &iam.GetGroupInput{GroupName: out}), no("GetGroup", "group out")},
		{"a member from elsewhere: the group decides", try(ana.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: in, UserName: out}), "ok"},
		{"into a group elsewhere", try(ana.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: out, UserName: in}), no("AddUserToGroup", "group out")},
		{"move a group out", try(ana.UpdateGroup, &iam.UpdateGroupInput{GroupName: in, NewPath: new("/")}), no("UpdateGroup", w.arn("group/in"))},
		{"list groups", try(ana.ListGroups, &iam.ListGroupsInput{PathPrefix: path}), "ok"},
		{"list all groups", try(ana.ListGroups, &iam.ListGroupsInput{}), no("ListGroups", w.arn("group/"))},

		{"role", try(ana.GetRole, &iam.GetRoleInput{RoleName: in}), "ok"},
		{"role elsewhere", try(ana.GetRole, &iam.GetRoleInput{RoleName: out}), no("GetRole", "role out")},
		{"trust elsewhere", try(ana.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: out, PolicyDocument: new(trust(w.account))}), no("UpdateAssumeRolePolicy", "role out")},
		{"list all roles", try(ana.ListRoles, &iam.ListRolesInput{}), no("ListRoles", w.arn("role/"))},
		{"profiles of a role elsewhere", try(ana.ListInstanceProfilesForRole, &iam.ListInstanceProfilesForRoleInput{RoleName: out}), no("ListInstanceProfilesForRole", "role out")},

		{"profile", try(ana.GetInstanceProfile, &iam.GetInstanceProfileInput{InstanceProfileName: in}), "ok"},
		{"profile elsewhere", try(ana.GetInstanceProfile, &iam.GetInstanceProfileInput{InstanceProfileName: out}), no("GetInstanceProfile", "instance profile out")},
		{"a role into a profile elsewhere", try(ana.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: out, RoleName: in}), no("AddRoleToInstanceProfile", "instance profile out")},
		{"a role from elsewhere", try(ana.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: in, RoleName: out}), no("PassRole", w.arn("role/out"))},

		{"device", try(ana.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("d"), Path: path}), "ok"},
		{"device elsewhere", try(ana.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("d")}), no("CreateVirtualMFADevice", w.arn("mfa/d"))},
		{"tag a device", try(ana.TagMFADevice, &iam.TagMFADeviceInput{SerialNumber: new(w.arn("mfa/team/d")), Tags: tags("a=1")}), "ok"},
		{"delete a device elsewhere", try(ana.DeleteVirtualMFADevice, &iam.DeleteVirtualMFADeviceInput{SerialNumber: new(w.arn("mfa/d"))}), no("DeleteVirtualMFADevice", w.arn("mfa/d"))},
		{"a device in another partition's words", try(ana.DeleteVirtualMFADevice, &iam.DeleteVirtualMFADeviceInput{SerialNumber: new("arn:aws-cn:iam::" + w.account + ":mfa/team/d")}), "NoSuchEntity: VirtualMFADevice with serial number arn:aws-cn:iam::" + w.account + ":mfa/team/d does not exist."},

		{"the account", try(ana.GetAccountSummary, &iam.GetAccountSummaryInput{}), no("GetAccountSummary", "*")},
	})
}

// Every operation is refused to a user without a policy, and does nothing.
func TestNobodyMayAnything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, "ana")
	n := new("ana")
	serial := new(w.arn("mfa/ana"))
	key := must(t, w.ListAccessKeys, &iam.ListAccessKeysInput{UserName: n}).AccessKeyMetadata[0].AccessKeyId
	doc := new(trust(w.account))
	for action, call := range map[string]func() string{
		"CreateUser":                         try(ana.CreateUser, &iam.CreateUserInput{UserName: new("x")}),
		"GetUser":                            try(ana.GetUser, &iam.GetUserInput{}),
		"ListUsers":                          try(ana.ListUsers, &iam.ListUsersInput{}),
		"UpdateUser":                         try(ana.UpdateUser, &iam.UpdateUserInput{UserName: n, NewUserName: new("x")}),
		"DeleteUser":                         try(ana.DeleteUser, &iam.DeleteUserInput{UserName: n}),
		"CreateAccessKey":                    try(ana.CreateAccessKey, &iam.CreateAccessKeyInput{}),
		"ListAccessKeys":                     try(ana.ListAccessKeys, &iam.ListAccessKeysInput{}),
		"UpdateAccessKey":                    try(ana.UpdateAccessKey, &iam.UpdateAccessKeyInput{AccessKeyId: key, Status: types.StatusTypeInactive}),
		"DeleteAccessKey":                    try(ana.DeleteAccessKey, &iam.DeleteAccessKeyInput{AccessKeyId: key}),
		"GetAccessKeyLastUsed":               try(ana.GetAccessKeyLastUsed, &iam.GetAccessKeyLastUsedInput{AccessKeyId: key}),
		"CreateGroup":                        try(ana.CreateGroup, &iam.CreateGroupInput{GroupName: n}),
		"GetGroup":                           try(ana.GetGroup, &iam.GetGroupInput{GroupName: n}),
		"ListGroups":                         try(ana.ListGroups, &iam.ListGroupsInput{}),
		"UpdateGroup":                        try(ana.UpdateGroup, &iam.UpdateGroupInput{GroupName: n}),
		"DeleteGroup":                        try(ana.DeleteGroup, &iam.DeleteGroupInput{GroupName: n}),
		"AddUserToGroup":                     try(ana.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: n, UserName: n}),
		"RemoveUserFromGroup":                try(ana.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: n, UserName: n}),
		"ListGroupsForUser":                  try(ana.ListGroupsForUser, &iam.ListGroupsForUserInput{UserName: n}),
		"CreateRole":                         try(ana.CreateRole, &iam.CreateRoleInput{RoleName: n, AssumeRolePolicyDocument: doc}),
		"GetRole":                            try(ana.GetRole, &iam.GetRoleInput{RoleName: n}),
		"ListRoles":                          try(ana.ListRoles, &iam.ListRolesInput{}),
		"UpdateRole":                         try(ana.UpdateRole, &iam.UpdateRoleInput{RoleName: n}),
		"UpdateRoleDescription":              try(ana.UpdateRoleDescription, &iam.UpdateRoleDescriptionInput{RoleName: n, Description: n}),
		"UpdateAssumeRolePolicy":             try(ana.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: n, PolicyDocument: doc}),
		"DeleteRole":                         try(ana.DeleteRole, &iam.DeleteRoleInput{RoleName: n}),
		"TagUser":                            try(ana.TagUser, &iam.TagUserInput{UserName: n, Tags: tags("a=1")}),
		"UntagUser":                          try(ana.UntagUser, &iam.UntagUserInput{UserName: n, TagKeys: []string{"a"}}),
		"ListUserTags":                       try(ana.ListUserTags, &iam.ListUserTagsInput{UserName: n}),
		"TagRole":                            try(ana.TagRole, &iam.TagRoleInput{RoleName: n, Tags: tags("a=1")}),
		"UntagRole":                          try(ana.UntagRole, &iam.UntagRoleInput{RoleName: n, TagKeys: []string{"a"}}),
		"ListRoleTags":                       try(ana.ListRoleTags, &iam.ListRoleTagsInput{RoleName: n}),
		"TagInstanceProfile":                 try(ana.TagInstanceProfile, &iam.TagInstanceProfileInput{InstanceProfileName: n, Tags: tags("a=1")}),
		"UntagInstanceProfile":               try(ana.UntagInstanceProfile, &iam.UntagInstanceProfileInput{InstanceProfileName: n, TagKeys: []string{"a"}}),
		"ListInstanceProfileTags":            try(ana.ListInstanceProfileTags, &iam.ListInstanceProfileTagsInput{InstanceProfileName: n}),
		"TagMFADevice":                       try(ana.TagMFADevice, &iam.TagMFADeviceInput{SerialNumber: serial, Tags: tags("a=1")}),
		"UntagMFADevice":                     try(ana.UntagMFADevice, &iam.UntagMFADeviceInput{SerialNumber: serial, TagKeys: []string{"a"}}),
		"ListMFADeviceTags":                  try(ana.ListMFADeviceTags, &iam.ListMFADeviceTagsInput{SerialNumber: serial}),
		"PutUserPermissionsBoundary":         try(ana.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: n, PermissionsBoundary: new(w.arn("policy/p"))}),
		"DeleteUserPermissionsBoundary":      try(ana.DeleteUserPermissionsBoundary, &iam.DeleteUserPermissionsBoundaryInput{UserName: n}),
		"PutRolePermissionsBoundary":         try(ana.PutRolePermissionsBoundary, &iam.PutRolePermissionsBoundaryInput{RoleName: n, PermissionsBoundary: new(w.arn("policy/p"))}),
		"DeleteRolePermissionsBoundary":      try(ana.DeleteRolePermissionsBoundary, &iam.DeleteRolePermissionsBoundaryInput{RoleName: n}),
		"CreateInstanceProfile":              try(ana.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: n}),
		"GetInstanceProfile":                 try(ana.GetInstanceProfile, &iam.GetInstanceProfileInput{InstanceProfileName: n}),
		"ListInstanceProfiles":               try(ana.ListInstanceProfiles, &iam.ListInstanceProfilesInput{}),
		"DeleteInstanceProfile":              try(ana.DeleteInstanceProfile, &iam.DeleteInstanceProfileInput{InstanceProfileName: n}),
		"AddRoleToInstanceProfile":           try(ana.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: n, RoleName: n}),
		"RemoveRoleFromInstanceProfile":      try(ana.RemoveRoleFromInstanceProfile, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: n, RoleName: n}),
		"ListInstanceProfilesForRole":        try(ana.ListInstanceProfilesForRole, &iam.ListInstanceProfilesForRoleInput{RoleName: n}),
		"CreateServiceLinkedRole":            try(ana.CreateServiceLinkedRole, &iam.CreateServiceLinkedRoleInput{AWSServiceName: new("ecs.amazonaws.com")}),
		"DeleteServiceLinkedRole":            try(ana.DeleteServiceLinkedRole, &iam.DeleteServiceLinkedRoleInput{RoleName: n}),
		"GetServiceLinkedRoleDeletionStatus": try(ana.GetServiceLinkedRoleDeletionStatus, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: new("task/aws-service-role/ecs.amazonaws.com/r/1")}),
		"CreateVirtualMFADevice":             try(ana.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: n}),
		"EnableMFADevice":                    try(ana.EnableMFADevice, &iam.EnableMFADeviceInput{UserName: n, SerialNumber: serial, AuthenticationCode1: new("000000"), AuthenticationCode2: new("000000")}),
		"DeactivateMFADevice":                try(ana.DeactivateMFADevice, &iam.DeactivateMFADeviceInput{SerialNumber: serial}),
		"DeleteVirtualMFADevice":             try(ana.DeleteVirtualMFADevice, &iam.DeleteVirtualMFADeviceInput{SerialNumber: serial}),
		"ListMFADevices":                     try(ana.ListMFADevices, &iam.ListMFADevicesInput{}),
		"ListVirtualMFADevices":              try(ana.ListVirtualMFADevices, &iam.ListVirtualMFADevicesInput{}),
		"ResyncMFADevice":                    try(ana.ResyncMFADevice, &iam.ResyncMFADeviceInput{UserName: n, SerialNumber: serial, AuthenticationCode1: new("000000"), AuthenticationCode2: new("000000")}),
		"GetMFADevice":                       try(ana.GetMFADevice, &iam.GetMFADeviceInput{SerialNumber: serial}),
		"GetAccountSummary":                  try(ana.GetAccountSummary, &iam.GetAccountSummaryInput{}),
		"CreateAccountAlias":                 try(ana.CreateAccountAlias, &iam.CreateAccountAliasInput{AccountAlias: new("alias")}),
		"ListAccountAliases":                 try(ana.ListAccountAliases, &iam.ListAccountAliasesInput{}),
		"DeleteAccountAlias":                 try(ana.DeleteAccountAlias, &iam.DeleteAccountAliasInput{AccountAlias: new("alias")}),
		"GetAccountPasswordPolicy":           try(ana.GetAccountPasswordPolicy, &iam.GetAccountPasswordPolicyInput{}),
		"UpdateAccountPasswordPolicy":        try(ana.UpdateAccountPasswordPolicy, &iam.UpdateAccountPasswordPolicyInput{}),
		"DeleteAccountPasswordPolicy":        try(ana.DeleteAccountPasswordPolicy, &iam.DeleteAccountPasswordPolicyInput{}),
	} {
		want := "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:" + action + " on resource: "
		got := call()
		if len(got) < len(want) || got[:len(want)] != want {
			t.Errorf("%s: %s", action, got)
		}
	}
	equal(t, "users", len(must(t, w.ListUsers, &iam.ListUsersInput{}).Users), 1)
	equal(t, "the key works", try(ana.GetUser, &iam.GetUserInput{})() != "ok", true)
}
