package iam_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"coffer/internal/coffertest/check"
)

func TestServiceLinkedRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	policy := w.managed(t, "p", allow("*", "*"))
	made := check.Must(t, w.CreateServiceLinkedRole, &iam.CreateServiceLinkedRoleInput{AWSServiceName: new("autoscaling.amazonaws.com"), Description: new("scales")}).Role
	name := made.RoleName
	check.Equal(t, "ARN", *made.Arn, w.arn("role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"))
	check.Equal(t, "trust policy", trustOf(t, made), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["autoscaling.amazonaws.com"]},"Action":["sts:AssumeRole"]}]}`)
	create := func(service string, suffix *string) func() string {
		return check.Try(w.CreateServiceLinkedRole, &iam.CreateServiceLinkedRoleInput{AWSServiceName: &service, CustomSuffix: suffix})
	}
	protected := "UnmodifiableEntity: Cannot perform the operation on the protected role 'AWSServiceRoleForAutoScaling' - this role is only modifiable by AWS"
	check.Must(t, w.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: new("x")})
	check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: new("ordinary"), AssumeRolePolicyDocument: new(trust(w.account))})
	check.Run(t, []check.Rule{
		{"again", create("autoscaling.amazonaws.com", nil), "InvalidInput: Service role name AWSServiceRoleForAutoScaling has been taken in this account, please try a different suffix."},
		{"with a suffix", create("autoscaling.amazonaws.com", new("blue")), "ok"},
		{"where there is none", create("ecs.amazonaws.com", new("blue")), "InvalidInput: Custom suffix is not allowed for ecs.amazonaws.com"},
		{"an unknown service", create("nothing.amazonaws.com", nil), "InvalidInput: Coffer knows of no service-linked roles of nothing.amazonaws.com."},
		{"too long a suffix", create("autoscaling.amazonaws.com", new(strings.Repeat("x", 40))), "InvalidInput: The role name AWSServiceRoleForAutoScaling_" + strings.Repeat("x", 40) + " has more than 64 characters."},

		{"delete", check.Try(w.DeleteRole, &iam.DeleteRoleInput{RoleName: name}), protected},
		{"trust", check.Try(w.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: new(trust(w.account))}), protected},
		{"duration", check.Try(w.UpdateRole, &iam.UpdateRoleInput{RoleName: name, MaxSessionDuration: new(int32(3600))}), protected},
		{"boundary", check.Try(w.PutRolePermissionsBoundary, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: &policy}), protected},
		{"no boundary", check.Try(w.DeleteRolePermissionsBoundary, &iam.DeleteRolePermissionsBoundaryInput{RoleName: name}), protected},
		{"attach", check.Try(w.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: &policy}), protected},
		{"inline", check.Try(w.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: name, PolicyName: new("p"), PolicyDocument: new(document(allow("*", "*")))}), protected},
		{"to a machine", check.Try(w.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{RoleName: name, InstanceProfileName: new("x")}), protected},
		{"description", check.Try(w.UpdateRole, &iam.UpdateRoleInput{RoleName: name, Description: new("other")}), "ok"},
		{"description, the old way", check.Try(w.UpdateRoleDescription, &iam.UpdateRoleDescriptionInput{RoleName: name, Description: new("other")}), "ok"},
		{"tag", check.Try(w.TagRole, &iam.TagRoleInput{RoleName: name, Tags: tags("a=1")}), "ok"},

		{"delete an ordinary role", check.Try(w.DeleteServiceLinkedRole, &iam.DeleteServiceLinkedRoleInput{RoleName: new("ordinary")}), "NoSuchEntity: The role with name ordinary cannot be found."},
		{"delete none", check.Try(w.DeleteServiceLinkedRole, &iam.DeleteServiceLinkedRoleInput{RoleName: new("none")}), "NoSuchEntity: The role with name none cannot be found."},
	})
	task := check.Must(t, w.DeleteServiceLinkedRole, &iam.DeleteServiceLinkedRoleInput{RoleName: name}).DeletionTaskId
	check.Equal(t, "task", strings.HasPrefix(*task, "task/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling/"), true)
	check.Equal(t, "status", check.Must(t, w.GetServiceLinkedRoleDeletionStatus, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task}).Status, types.DeletionTaskStatusTypeSucceeded)
	other := (*task)[:len(*task)-1] + "x"
	ana := w.user(t, "ana", allow("iam:GetServiceLinkedRoleDeletionStatus", w.arn("role/aws-service-role/autoscaling.amazonaws.com/*")),
		allow("iam:CreateServiceLinkedRole", "*", `"Condition":{"StringEquals":{"iam:AWSServiceName":"ecs.amazonaws.com"}}`))
	check.Run(t, []check.Rule{
		{"gone", check.Try(w.GetRole, &iam.GetRoleInput{RoleName: name}), "NoSuchEntity: The role with name AWSServiceRoleForAutoScaling cannot be found."},
		{"another task", check.Try(w.GetServiceLinkedRoleDeletionStatus, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: &other}), "NoSuchEntity: Deletion Task Id cannot be found: " + other},
		{"no task", check.Try(w.GetServiceLinkedRoleDeletionStatus, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: new("task/x")}), "InvalidInput: The deletion task id task/x is not valid."},
		{"who may ask for the role", check.Try(ana.GetServiceLinkedRoleDeletionStatus, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task}), "ok"},
		{"the service that policies name", check.Try(ana.CreateServiceLinkedRole, &iam.CreateServiceLinkedRoleInput{AWSServiceName: new("ecs.amazonaws.com")}), "ok"},
		{"another", check.Try(ana.CreateServiceLinkedRole, &iam.CreateServiceLinkedRoleInput{AWSServiceName: new("rds.amazonaws.com")}),
			"AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:CreateServiceLinkedRole on resource: " + w.arn("role/aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS") + " because no identity-based policy allows the iam:CreateServiceLinkedRole action"},
	})
}
