package iam_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"coffer/internal/coffertest/check"
)

// attachable is a user, group or role, as far as policies are attached to it.
type attachable struct {
	kind           string
	attach, detach func(name, arn string) func() string
	list           func(t *testing.T, name, path string, size int32) string // names of policies, pages joined
	made           func(t *testing.T, name string)
}

func attachables(w *world) []attachable {
	join := func(names *[]string, name *string) { *names = append(*names, *name) }
	return []attachable{
		{
			kind: "user",
			made: func(t *testing.T, name string) { check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: &name}) },
			attach: func(name, arn string) func() string {
				return check.Try(w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: &name, PolicyArn: &arn})
			},
			detach: func(name, arn string) func() string {
				return check.Try(w.DetachUserPolicy, &iam.DetachUserPolicyInput{UserName: &name, PolicyArn: &arn})
			},
			list: func(t *testing.T, name, path string, size int32) string {
				var names []string
				in := &iam.ListAttachedUserPoliciesInput{UserName: &name, PathPrefix: &path, MaxItems: &size}
				for {
					page := check.Must(t, w.ListAttachedUserPolicies, in)
					for _, p := range page.AttachedPolicies {
						join(&names, p.PolicyName)
					}
					if in.Marker = page.Marker; !page.IsTruncated {
						return strings.Join(names, " ")
					}
				}
			},
		},
		{
			kind: "group",
			made: func(t *testing.T, name string) { check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: &name}) },
			attach: func(name, arn string) func() string {
				return check.Try(w.AttachGroupPolicy, &iam.AttachGroupPolicyInput{GroupName: &name, PolicyArn: &arn})
			},
			detach: func(name, arn string) func() string {
				return check.Try(w.DetachGroupPolicy, &iam.DetachGroupPolicyInput{GroupName: &name, PolicyArn: &arn})
			},
			list: func(t *testing.T, name, path string, size int32) string {
				var names []string
				in := &iam.ListAttachedGroupPoliciesInput{GroupName: &name, PathPrefix: &path, MaxItems: &size}
				for {
					page := check.Must(t, w.ListAttachedGroupPolicies, in)
					for _, p := range page.AttachedPolicies {
						join(&names, p.PolicyName)
					}
					if in.Marker = page.Marker; !page.IsTruncated {
						return strings.Join(names, " ")
					}
				}
			},
		},
		{
			kind: "role",
			made: func(t *testing.T, name string) {
				check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: new(trust(w.account))})
			},
			attach: func(name, arn string) func() string {
				return check.Try(w.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: &name, PolicyArn: &arn})
			},
			detach: func(name, arn string) func() string {
				return check.Try(w.DetachRolePolicy, &iam.DetachRolePolicyInput{RoleName: &name, PolicyArn: &arn})
			},
			list: func(t *testing.T, name, path string, size int32) string {
				var names []string
				in := &iam.ListAttachedRolePoliciesInput{RoleName: &name, PathPrefix: &path, MaxItems: &size}
				for {
					page := check.Must(t, w.ListAttachedRolePolicies, in)
					for _, p := range page.AttachedPolicies {
						join(&names, p.PolicyName)
					}
					if in.Marker = page.Marker; !page.IsTruncated {
						return strings.Join(names, " ")
					}
				}
			},
		},
	}
}

func TestAttachments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arns := make([]string, 12)
	for i := range arns {
		path := []string{"/", "/x/", "/x/y/"}[i%3]
		arns[i] = *check.Must(t, w.CreatePolicy, &iam.CreatePolicyInput{PolicyName: new(fmt.Sprintf("p%02d", i)), Path: &path, PolicyDocument: new(document(allow("s3:*", "*")))}).Policy.Arn
	}
	missing := w.arn("policy/missing")
	for _, a := range attachables(w) {
		t.Run(a.kind, func(t *testing.T) {
			a.made(t, "ana")
			titled := strings.ToUpper(a.kind[:1]) + a.kind[1:]
			nobody := "NoSuchEntity: The " + a.kind + " with name nobody cannot be found."
			check.Run(t, []check.Rule{
				{"attach", a.attach("ana", arns[0]), "ok"},
				{"attach again", a.attach("ana", arns[0]), "ok"},
				{"names have no case", a.attach("ANA", arns[0]), "ok"},
				{"a policy of AWS", a.attach("ana", lambdaBasic), "ok"},
				{"that is not there", a.attach("ana", missing), "NoSuchEntity: Policy " + missing + " does not exist or is not attachable."},
				{"of AWS, not there", a.attach("ana", "arn:aws:iam::aws:policy/Nonsense"), "NoSuchEntity: Policy arn:aws:iam::aws:policy/Nonsense does not exist or is not attachable."},
				{"of another account", a.attach("ana", "arn:aws:iam::999999999999:policy/p00"), "NoSuchEntity: Policy arn:aws:iam::999999999999:policy/p00 does not exist or is not attachable."},
				{"in another partition", a.attach("ana", "arn:aws-cn:iam::aws:policy/ReadOnlyAccess"), "NoSuchEntity: Policy arn:aws-cn:iam::aws:policy/ReadOnlyAccess does not exist or is not attachable."},
				{"no ARN", a.attach("ana", "policy/p00-is-not-an-arn"), "ValidationError: Invalid ARN:  Could not be parsed!"},
				{"a group", a.attach("ana", w.arn("group/somebody")), "InvalidInput: ARN " + w.arn("group/somebody") + " is not valid."},
				{"to nobody", a.attach("nobody", arns[0]), nobody},
				{"detach from nobody", a.detach("nobody", arns[0]), nobody},
				{"detach what is not attached", a.detach("ana", arns[1]), "NoSuchEntity: Policy " + arns[1] + " was not found."},
				{"detach what is not there", a.detach("ana", missing), "NoSuchEntity: Policy " + missing + " was not found."},
				{"detach", a.detach("ana", arns[0]), "ok"},
				{"detach again", a.detach("ana", arns[0]), "NoSuchEntity: Policy " + arns[0] + " was not found."},
			})
			for _, arn := range arns[2:11] {
				check.Run(t, []check.Rule{{"attach " + arn, a.attach("ana", arn), "ok"}})
			}
			check.Run(t, []check.Rule{
				{"the eleventh", a.attach("ana", arns[11]), "LimitExceeded: Cannot exceed quota for PoliciesPer" + titled + ": 10"},
				{"one that is attached", a.attach("ana", arns[5]), "ok"},
			})
			const all = "AWSLambdaBasicExecutionRole p02 p03 p04 p05 p06 p07 p08 p09 p10"
			for _, size := range []int32{1, 3, 100} {
				check.Equal(t, "attached", a.list(t, "ana", "/", size), all)
				check.Equal(t, "under a path", a.list(t, "ana", "/x/", size), "p02 p04 p05 p07 p08 p10")
				check.Equal(t, "under a deeper path", a.list(t, "ana", "/x/y/", size), "p02 p05 p08")
				check.Equal(t, "AWS's", a.list(t, "ana", "/service-role/", size), "AWSLambdaBasicExecutionRole")
			}
		})
	}
	// Each of the three has the policy once.
	check.Equal(t, "count", *check.Must(t, w.GetPolicy, &iam.GetPolicyInput{PolicyArn: &arns[3]}).Policy.AttachmentCount, 3)
	check.Equal(t, "count of AWS's", *check.Must(t, w.GetPolicy, &iam.GetPolicyInput{PolicyArn: new(lambdaBasic)}).Policy.AttachmentCount, 3)
	check.Equal(t, "count of what is detached", *check.Must(t, w.GetPolicy, &iam.GetPolicyInput{PolicyArn: &arns[0]}).Policy.AttachmentCount, 0)
}

func TestServiceLinkedRolesAreProtected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := check.Must(t, w.CreateServiceLinkedRole, &iam.CreateServiceLinkedRoleInput{AWSServiceName: new("autoscaling.amazonaws.com")}).Role.RoleName
	protected := "UnmodifiableEntity: Cannot perform the operation on the protected role '" + *role + "' - this role is only modifiable by AWS"
	some := document(allow("s3:*", "*"))
	check.Run(t, []check.Rule{
		{"attach", check.Try(w.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: new(readOnly)}), protected},
		{"detach", check.Try(w.DetachRolePolicy, &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: new(readOnly)}), protected},
		{"put", check.Try(w.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: role, PolicyName: new("p"), PolicyDocument: &some}), protected},
		{"delete", check.Try(w.DeleteRolePolicy, &iam.DeleteRolePolicyInput{RoleName: role, PolicyName: new("p")}), protected},
		{"list", check.Try(w.ListRolePolicies, &iam.ListRolePoliciesInput{RoleName: role}), "ok"},
	})
}
