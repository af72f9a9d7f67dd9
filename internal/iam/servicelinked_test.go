package iam_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func TestServiceLinkedRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	policy := w.managed(t, "p", allow("*", "*"))
	made := must(t, w.CreateServiceLinkedRole, &iam.CreateServiceLinkedRoleInput{AWSServiceName: new("autoscaling.amazonaws.com"), Description: new("scales")}).Role
	name := made.RoleName
	equal(t, "ARN", *made.Arn, w.arn("role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"))
	equal(t, "trust policy", trustOf(t, made), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["autoscaling.amazonaws.com"]},"Action":["sts:AssumeRole"]}]}`)
	create := func(service string, suffix *string) func() string {
		return try(w.CreateServiceLinkedRole, &iam.CreateServiceLinkedRoleInput{AWSServiceName: &service, CustomSuffix: suffix})
	}
	protected := "UnmodifiableEntity: Cannot perform the operation on the protected role 'AWSServiceRoleForAutoScaling' - this role is only modifiable by AWS"
	must(t, w.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: new("x")})
	must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: new("ordinary"), AssumeRolePolicyDocument: new(trust(w.account))})
	run(t, []rule{
		{"again", create("autoscaling.amazonaws.com", nil), "InvalidInput: Service role name AWSServiceRoleForAutoScaling has been taken in this account, please try a different suffix."},
		{"with a suffix", create("autoscaling.amazonaws.com", new("blue")), "ok"},
		{"where there is none", create("ecs.amazonaws.com", new("blue")), "InvalidInput: Custom suffix is not allowed for ecs.amazonaws.com"},
		{"an unknown service", create("nothing.amazonaws.com", nil), "InvalidInput: Coffer knows of no service-linked roles of nothing.amazonaws.com."},
		{"too long a suffix", create("autoscaling.amazonaws.com", new(strings.Repeat("x", 40))), "InvalidInput: The role name AWSServiceRoleForAutoScaling_" + strings.Repeat("x", 40) + " has more than 64 characters."},

		{"delete", try(w.DeleteRole, &iam.DeleteRoleInput{RoleName: name}), protected},
		{"trust", try(w.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: new(trust(w.account))}), protected},
		{"duration", try(w.UpdateRole, &iam.UpdateRoleInput{RoleName: name, MaxSessionDuration: new(int32(3600))}), protected},
		{"boundary", try(w.PutRolePermissionsBoundary, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: &policy}), protected},
		{"no boundary", try(w.DeleteRolePermissionsBoundary, &iam.DeleteRolePermissionsBoundaryInput{RoleName: name}), protected},
		{"attach", try(w.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: &policy}), protected},
		{"inline", try(w.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: name, PolicyName: new("p"), PolicyDocument: new(document(allow("*", "*")))}), protected},
		{"to a machine", try(w.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{RoleName: name, InstanceProfileName: new("x")}), protected},
		{"description", try(w.UpdateRole, &iam.UpdateRoleInput{RoleName: name, Description: new("other")}), "ok"},
		{"description, the old way", try(w.UpdateRoleDescription, &iam.UpdateRoleDescriptionInput{RoleName: name, Description: new("other")}), "ok"},
		{"tag", try(w.TagRole, &iam.TagRoleInput{RoleName: name, Tags: tags("a=1")}), "ok"},

		{"delete an ordinary role", try(w.DeleteServiceLinkedRole, &iam.DeleteServiceLinkedRoleInput{RoleName: new("ordinary")}), "NoSuchEntity: The role with name ordinary cannot be found."},
		{"delete none", try(w.DeleteServiceLinkedRole, &iam.DeleteServiceLinkedRoleInput{RoleName: new("none")}), "NoSuchEntity: The role with name none cannot be found."},
	})
	task := must(t, w.DeleteServiceLinkedRole, &iam.DeleteServiceLinkedRoleInput{RoleName: name}).DeletionTaskId
	equal(t, "task", strings.HasPrefix(*task, "task/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling/"), true)
	equal(t, "status", must(t, w.GetServiceLinkedRoleDeletionStatus, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task}).Status, types.DeletionTaskStatusTypeSucceeded)
	other := (*task)[:len(*task)-1] + "x"
	ana := w.user(t, "ana", allow("iam:GetServiceLinkedRoleDeletionStatus", w.arn("role/aws-service-role/autoscaling.amazonaws.com/*")),
		allow("iam:CreateServiceLinkedRole", "*", `"Condition":{"StringEquals":{"iam:AWSServiceName":"ecs.amazonaws.com"}}`))
	run(t, []rule{
		{"gone", try(w.GetRole, &iam.GetRoleInput{RoleName: name}), "NoSuchEntity: The role with name AWSServiceRoleForAutoScaling cannot be found."},
		{"another task", try(w.GetServiceLinkedRoleDeletionStatus, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: &other}), "NoSuchEntity: Deletion Task Id cannot be found: " + other},
		{"no task", try(w.GetServiceLinkedRoleDeletionStatus, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: new("task/x")}), "InvalidInput: The deletion task id task/x is not valid."},
		{"who may ask for the role", try(ana.GetServiceLinkedRoleDeletionStatus, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task}), "ok"},
		{"the service that policies name", try(ana.CreateServiceLinkedRole, &iam.CreateServiceLinkedRoleInput{AWSServiceName: new("ecs.amazonaws.com")}), "ok"},
		{"another", try(ana.CreateServiceLinkedRole, &iam.CreateServiceLinkedRoleInput{AWSServiceName: new("rds.amazonaws.com")}),
			"AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:CreateServiceLinkedRole on resource: " + w.arn("role/aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS") + " because no identity-based policy allows the iam:CreateServiceLinkedRole action"},
	})
}
