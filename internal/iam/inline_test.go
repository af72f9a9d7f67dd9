package iam_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"coffer/internal/coffertest/check"
)

// inliner is a user, group or role, as far as it has inline policies.
type inliner struct {
	kind      string
	limit     int
	put       func(name, policy, document string) func() string
	get, drop func(name, policy string) func() string
	list      func(t *testing.T, name string, size int32) string
	document  func(t *testing.T, name, policy string) (owner, text string)
	made      func(t *testing.T, name string)
}

func inliners(w *world) []inliner {
	return []inliner{
		{
			kind: "user", limit: 2048,
			made: func(t *testing.T, name string) { check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: &name}) },
			put: func(name, policy, document string) func() string {
				return check.Try(w.PutUserPolicy, &iam.PutUserPolicyInput{UserName: &name, PolicyName: &policy, PolicyDocument: &document})
			},
			get: func(name, policy string) func() string {
				return check.Try(w.GetUserPolicy, &iam.GetUserPolicyInput{UserName: &name, PolicyName: &policy})
			},
			drop: func(name, policy string) func() string {
				return check.Try(w.DeleteUserPolicy, &iam.DeleteUserPolicyInput{UserName: &name, PolicyName: &policy})
			},
			document: func(t *testing.T, name, policy string) (string, string) {
				out := check.Must(t, w.GetUserPolicy, &iam.GetUserPolicyInput{UserName: &name, PolicyName: &policy})
				return *out.UserName, plain(t, out.PolicyDocument)
			},
			list: func(t *testing.T, name string, size int32) string {
				var names []string
				in := &iam.ListUserPoliciesInput{UserName: &name, MaxItems: &size}
				for {
					page := check.Must(t, w.ListUserPolicies, in)
					names = append(names, page.PolicyNames...)
					if in.Marker = page.Marker; !page.IsTruncated {
						return strings.Join(names, " ")
					}
				}
			},
		},
		{
			kind: "group", limit: 5120,
			made: func(t *testing.T, name string) { check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: &name}) },
			put: func(name, policy, document string) func() string {
				return check.Try(w.PutGroupPolicy, &iam.PutGroupPolicyInput{GroupName: &name, PolicyName: &policy, PolicyDocument: &document})
			},
			get: func(name, policy string) func() string {
				return check.Try(w.GetGroupPolicy, &iam.GetGroupPolicyInput{GroupName: &name, PolicyName: &policy})
			},
			drop: func(name, policy string) func() string {
				return check.Try(w.DeleteGroupPolicy, &iam.DeleteGroupPolicyInput{GroupName: &name, PolicyName: &policy})
			},
			document: func(t *testing.T, name, policy string) (string, string) {
				out := check.Must(t, w.GetGroupPolicy, &iam.GetGroupPolicyInput{GroupName: &name, PolicyName: &policy})
				return *out.GroupName, plain(t, out.PolicyDocument)
			},
			list: func(t *testing.T, name string, size int32) string {
				var names []string
				in := &iam.ListGroupPoliciesInput{GroupName: &name, MaxItems: &size}
				for {
					page := check.Must(t, w.ListGroupPolicies, in)
					names = append(names, page.PolicyNames...)
					if in.Marker = page.Marker; !page.IsTruncated {
						return strings.Join(names, " ")
					}
				}
			},
		},
		{
			kind: "role", limit: 10240,
			made: func(t *testing.T, name string) {
				check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: new(trust(w.account))})
			},
			put: func(name, policy, document string) func() string {
				return check.Try(w.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: &policy, PolicyDocument: &document})
			},
			get: func(name, policy string) func() string {
				return check.Try(w.GetRolePolicy, &iam.GetRolePolicyInput{RoleName: &name, PolicyName: &policy})
			},
			drop: func(name, policy string) func() string {
				return check.Try(w.DeleteRolePolicy, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &policy})
			},
			document: func(t *testing.T, name, policy string) (string, string) {
				out := check.Must(t, w.GetRolePolicy, &iam.GetRolePolicyInput{RoleName: &name, PolicyName: &policy})
				return *out.RoleName, plain(t, out.PolicyDocument)
			},
			list: func(t *testing.T, name string, size int32) string {
				var names []string
				in := &iam.ListRolePoliciesInput{RoleName: &name, MaxItems: &size}
				for {
					page := check.Must(t, w.ListRolePolicies, in)
					names = append(names, page.PolicyNames...)
					if in.Marker = page.Marker; !page.IsTruncated {
						return strings.Join(names, " ")
					}
				}
			},
		},
	}
}

func TestInlinePolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	some, other := document(allow("s3:*", "*")), " "+document(allow("ec2:*", "*"))+"\n"
	for _, a := range inliners(w) {
		t.Run(a.kind, func(t *testing.T) {
			a.made(t, "ana")
			nobody := "NoSuchEntity: The " + a.kind + " with name nobody cannot be found."
			missing := "NoSuchEntity: The " + a.kind + " policy with name none cannot be found."
			tooLong := fmt.Sprintf("LimitExceeded: Maximum policy size of %d bytes exceeded for %s ana", a.limit, a.kind)
			check.Run(t, []check.Rule{
				{"put", a.put("ana", "b", some), "ok"},
				{"another", a.put("ANA", "a", other), "ok"},
				{"in place of it", a.put("ana", "b", other), "ok"},
				{"malformed", a.put("ana", "c", `{"Version":"2012-10-17"}`), "MalformedPolicyDocument: Syntax errors in policy."},
				{"with a principal", a.put("ana", "c", document(allow("s3:*", "*", `"Principal":"*"`))), "MalformedPolicyDocument: Policy document should not specify a principal."},
				{"a name with a slash", a.put("ana", "a/b", some), `ValidationError: 1 validation error detected: Value 'a/b' at 'policyName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]+`},
				{"to nobody", a.put("nobody", "a", some), nobody},
				{"get", a.get("ana", "a"), "ok"},
				{"get none", a.get("ana", "none"), missing},
				{"get of nobody", a.get("nobody", "a"), nobody},
				{"delete none", a.drop("ana", "none"), missing},
				{"delete of nobody", a.drop("nobody", "a"), nobody},
			})
			owner, text := a.document(t, "Ana", "b")
			check.Equal(t, "owner", owner, "ana")
			check.Equal(t, "document as it was put", text, other)
			check.Equal(t, "names", a.list(t, "ana", 1), "a b")
			check.Equal(t, "names at once", a.list(t, "ana", 100), "a b")
			check.Run(t, []check.Rule{
				{"delete", a.drop("ana", "a"), "ok"},
				{"delete the last", a.drop("ana", "b"), "ok"},
				{"none are left", a.get("ana", "b"), "NoSuchEntity: The " + a.kind + " policy with name b cannot be found."},
				{"half of what they can be together", a.put("ana", "a", ofLength(a.limit/2)), "ok"},
				{"the other half", a.put("ana", "b", "\n\n"+ofLength(a.limit/2)), "ok"},
				{"one character more", a.put("ana", "b", ofLength(a.limit/2+1)), tooLong},
				{"a third", a.put("ana", "c", some), tooLong},
				{"less", a.put("ana", "a", some), "ok"},
				{"then there is room", a.put("ana", "c", some), "ok"},
			})
			check.Equal(t, "names", a.list(t, "ana", 2), "a b c")
		})
	}
}
