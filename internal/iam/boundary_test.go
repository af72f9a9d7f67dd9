package iam_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"coffer/internal/coffertest/check"
)

func TestBoundaries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limit, other := w.managed(t, "limit", allow("iam:Get*", "*")), w.managed(t, "other", allow("*", "*"))
	ana := w.user(t, "ana", allow("iam:*", "*"))
	check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: new(trust(w.account))})
	user := func(arn string) func() string {
		return check.Try(w.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: new("ana"), PermissionsBoundary: &arn})
	}
	role := func(arn string) func() string {
		return check.Try(w.PutRolePermissionsBoundary, &iam.PutRolePermissionsBoundaryInput{RoleName: new("r"), PermissionsBoundary: &arn})
	}
	uses := func() string {
		p := check.Must(t, w.GetPolicy, &iam.GetPolicyInput{PolicyArn: &limit}).Policy
		return strings.Repeat("u", int(*p.PermissionsBoundaryUsageCount)) + strings.Repeat("a", int(*p.AttachmentCount))
	}
	del := check.Try(w.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: &limit})
	check.Run(t, []check.Rule{
		{"without", check.Try(ana.ListUsers, &iam.ListUsersInput{}), "ok"},
		{"set", user(limit), "ok"},
		{"within", check.Try(ana.GetUser, &iam.GetUserInput{}), "ok"},
		{"beyond", check.Try(ana.ListUsers, &iam.ListUsersInput{}), "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:ListUsers on resource: " + w.arn("user/") + " because no permissions boundary allows the iam:ListUsers action"},
		{"set again", user(limit), "ok"},
		{"used once", uses, "u"},
		{"of a role", role(limit), "ok"},
		{"used twice", uses, "uu"},
		{"a policy in use stays", del, "DeleteConflict: Cannot delete a policy attached to entities."},
		{"another", user(other), "ok"},
		{"used once again", uses, "u"},
		{"AWS's", role("arn:aws:iam::aws:policy/AdministratorAccess"), "ok"},
		{"used no more", uses, ""},
		{"take it away", check.Try(w.DeleteUserPermissionsBoundary, &iam.DeleteUserPermissionsBoundaryInput{UserName: new("ana")}), "ok"},
		{"there is none", check.Try(w.DeleteUserPermissionsBoundary, &iam.DeleteUserPermissionsBoundaryInput{UserName: new("ana")}), "ok"},
		{"without again", check.Try(ana.ListUsers, &iam.ListUsersInput{}), "ok"},
		{"take it away from a role", check.Try(w.DeleteRolePermissionsBoundary, &iam.DeleteRolePermissionsBoundaryInput{RoleName: new("r")}), "ok"},
		{"no such policy", user(w.arn("policy/q")), "NoSuchEntity: Scope ARN: " + w.arn("policy/q") + " does not exist or is not attachable."},
		{"in another path", role(w.arn("policy/x/limit")), "NoSuchEntity: Scope ARN: " + w.arn("policy/x/limit") + " does not exist or is not attachable."},
		{"of another account", role("arn:aws:iam::111122223333:policy/limit"), "NoSuchEntity: Scope ARN: arn:aws:iam::111122223333:policy/limit does not exist or is not attachable."},
		{"no ARN", user("limit-of-this-and-that"), "InvalidInput: ARN limit-of-this-and-that is not valid."},
		{"of nobody", check.Try(w.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: new("nobody"), PermissionsBoundary: &limit}), "NoSuchEntity: The user with name nobody cannot be found."},
		{"of no role", check.Try(w.PutRolePermissionsBoundary, &iam.PutRolePermissionsBoundaryInput{RoleName: new("nobody"), PermissionsBoundary: &limit}), "NoSuchEntity: The role with name nobody cannot be found."},
		{"unused, it goes", del, "ok"},
	})
	u := check.Must(t, w.GetUser, &iam.GetUserInput{UserName: new("ana")}).User
	check.Equal(t, "no boundary is shown", u.PermissionsBoundary == nil, true)
}

// An administrator lets others make users and give them permissions, within a
// boundary that they cannot take off ("Delegating responsibility to others using
// permissions boundaries").
func TestDelegationUnderBoundary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limit, wide := w.managed(t, "limit", allow("secretsmanager:*", "*")), w.managed(t, "wide", allow("*", "*"))
	under := `"Condition":{"StringEquals":{"iam:PermissionsBoundary":"` + limit + `"}}`
	dee := w.user(t, "dee",
		`{"Effect":"Allow","Action":["iam:CreateUser","iam:CreateRole","iam:PutUserPolicy","iam:DeleteUserPolicy","iam:AttachUserPolicy","iam:DetachUserPolicy","iam:PutUserPermissionsBoundary","iam:PutRolePermissionsBoundary","iam:PutRolePolicy","iam:AttachRolePolicy","iam:DetachRolePolicy","iam:DeleteRolePolicy"],"Resource":"*",`+under+`}`,
		`{"Effect":"Deny","Action":["iam:DeleteUserPermissionsBoundary","iam:DeleteRolePermissionsBoundary"],"Resource":"*",`+under+`}`,
		allow("iam:Delete*PermissionsBoundary", "*"),
	)
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("free")})
	check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: new("open"), AssumeRolePolicyDocument: new(trust(w.account))})
	no := func(action, on string) string {
		return "AccessDenied: User: " + w.arn("user/dee") + " is not authorized to perform: iam:" + action + " on resource: " + on + " because no identity-based policy allows the iam:" + action + " action"
	}
	own := new(document(allow("*", "*")))
	check.Run(t, []check.Rule{
		{"a user without boundary", check.Try(dee.CreateUser, &iam.CreateUserInput{UserName: new("x")}), no("CreateUser", w.arn("user/x"))},
		{"a user with another", check.Try(dee.CreateUser, &iam.CreateUserInput{UserName: new("x"), PermissionsBoundary: &wide}), no("CreateUser", w.arn("user/x"))},
		{"a user with it", check.Try(dee.CreateUser, &iam.CreateUserInput{UserName: new("x"), PermissionsBoundary: &limit}), "ok"},
		{"a role without boundary", check.Try(dee.CreateRole, &iam.CreateRoleInput{RoleName: new("y"), AssumeRolePolicyDocument: new(trust(w.account))}), no("CreateRole", w.arn("role/y"))},
		{"a role with it", check.Try(dee.CreateRole, &iam.CreateRoleInput{RoleName: new("y"), AssumeRolePolicyDocument: new(trust(w.account)), PermissionsBoundary: &limit}), "ok"},

		{"inline for the bounded", check.Try(dee.PutUserPolicy, &iam.PutUserPolicyInput{UserName: new("x"), PolicyName: new("p"), PolicyDocument: own}), "ok"},
		{"inline for the free", check.Try(dee.PutUserPolicy, &iam.PutUserPolicyInput{UserName: new("free"), PolicyName: new("p"), PolicyDocument: own}), no("PutUserPolicy", "user free")},
		{"delete of the bounded", check.Try(dee.DeleteUserPolicy, &iam.DeleteUserPolicyInput{UserName: new("x"), PolicyName: new("p")}), "ok"},
		{"delete of the free", check.Try(dee.DeleteUserPolicy, &iam.DeleteUserPolicyInput{UserName: new("free"), PolicyName: new("p")}), no("DeleteUserPolicy", "user free")},
		{"attach to the bounded", check.Try(dee.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("x"), PolicyArn: &wide}), "ok"},
		{"attach to the free", check.Try(dee.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("free"), PolicyArn: &wide}), no("AttachUserPolicy", "user free")},
		{"detach from the bounded", check.Try(dee.DetachUserPolicy, &iam.DetachUserPolicyInput{UserName: new("x"), PolicyArn: &wide}), "ok"},
		{"role: inline", check.Try(dee.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: new("y"), PolicyName: new("p"), PolicyDocument: own}), "ok"},
		{"role: inline for the open", check.Try(dee.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: new("open"), PolicyName: new("p"), PolicyDocument: own}), no("PutRolePolicy", "role open")},
		{"role: attach", check.Try(dee.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: new("y"), PolicyArn: &wide}), "ok"},
		{"role: attach to the open", check.Try(dee.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: new("open"), PolicyArn: &wide}), no("AttachRolePolicy", "role open")},

		{"the boundary to the free", check.Try(dee.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: new("free"), PermissionsBoundary: &limit}), "ok"},
		{"another to the bounded", check.Try(dee.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: new("x"), PermissionsBoundary: &wide}), no("PutUserPermissionsBoundary", "user x")},
		{"take it off", check.Try(dee.DeleteUserPermissionsBoundary, &iam.DeleteUserPermissionsBoundaryInput{UserName: new("x")}),
			"AccessDenied: User: " + w.arn("user/dee") + " is not authorized to perform: iam:DeleteUserPermissionsBoundary on resource: user x with an explicit deny in an identity-based policy"},
		{"take it off a role", check.Try(dee.DeleteRolePermissionsBoundary, &iam.DeleteRolePermissionsBoundaryInput{RoleName: new("y")}),
			"AccessDenied: User: " + w.arn("user/dee") + " is not authorized to perform: iam:DeleteRolePermissionsBoundary on resource: role y with an explicit deny in an identity-based policy"},
		{"take another off", check.Try(dee.DeleteRolePermissionsBoundary, &iam.DeleteRolePermissionsBoundaryInput{RoleName: new("open")}), "ok"},
	})
}
