package iam_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"coffer/internal/coffertest/check"
)

func TestInstanceProfiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, n := range []string{"web", "db"} {
		check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: &n, AssumeRolePolicyDocument: new(trust(w.account))})
	}
	made := check.Must(t, w.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: new("Web"), Path: new("/eu/"), Tags: tags("a=1")}).InstanceProfile
	check.Equal(t, "ARN", *made.Arn, w.arn("instance-profile/eu/Web"))
	check.Equal(t, "id", strings.HasPrefix(*made.InstanceProfileId, "AIPA") && len(*made.InstanceProfileId) == 21, true)
	check.Equal(t, "roles", len(made.Roles), 0)
	add := func(profile, role string) func() string {
		return check.Try(w.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &profile, RoleName: &role})
	}
	remove := func(profile, role string) func() string {
		return check.Try(w.RemoveRoleFromInstanceProfile, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: &profile, RoleName: &role})
	}
	del := check.Try(w.DeleteInstanceProfile, &iam.DeleteInstanceProfileInput{InstanceProfileName: new("web")})
	noProfile, noRole := "NoSuchEntity: Instance Profile nowhere cannot be found.", "NoSuchEntity: The role with name nobody cannot be found."
	check.Run(t, []check.Rule{
		{"taken in any case", check.Try(w.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: new("WEB")}), "EntityAlreadyExists: Instance Profile WEB already exists."},
		{"get none", check.Try(w.GetInstanceProfile, &iam.GetInstanceProfileInput{InstanceProfileName: new("nowhere")}), noProfile},
		{"delete none", check.Try(w.DeleteInstanceProfile, &iam.DeleteInstanceProfileInput{InstanceProfileName: new("nowhere")}), noProfile},
		{"add to none", add("nowhere", "web"), noProfile},
		{"add none", add("web", "nobody"), noRole},
		{"remove from none", remove("nowhere", "web"), noProfile},
		{"remove none", remove("web", "nobody"), noRole},
		{"profiles of no role", check.Try(w.ListInstanceProfilesForRole, &iam.ListInstanceProfilesForRoleInput{RoleName: new("nobody")}), noRole},
		{"add", add("web", "web"), "ok"},
		{"a second", add("web", "db"), "LimitExceeded: Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"},
		{"the same again", add("web", "web"), "LimitExceeded: Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"},
		{"remove another", remove("web", "db"), "NoSuchEntity: The role with name db cannot be found."},
		{"delete with role", del, "DeleteConflict: Cannot delete entity, must remove roles from instance profile first."},
	})
	got := check.Must(t, w.GetInstanceProfile, &iam.GetInstanceProfileInput{InstanceProfileName: new("web")}).InstanceProfile
	check.Equal(t, "its role", *got.Roles[0].Arn, w.arn("role/web"))
	check.Equal(t, "the role's trust policy", trustOf(t, &got.Roles[0]), trust(w.arn("root")))
	check.Equal(t, "its tags", texts(got.Tags), "a=1")
	check.Must(t, w.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: new("web2")})
	check.Equal(t, "another with the role", add("web2", "web")(), "ok")
	page := check.Must(t, w.ListInstanceProfilesForRole, &iam.ListInstanceProfilesForRoleInput{RoleName: new("web"), MaxItems: new(int32(1))})
	check.Equal(t, "the first", *page.InstanceProfiles[0].InstanceProfileName, "web2") // by path
	page = check.Must(t, w.ListInstanceProfilesForRole, &iam.ListInstanceProfilesForRoleInput{RoleName: new("web"), Marker: page.Marker})
	check.Equal(t, "the second", *page.InstanceProfiles[0].InstanceProfileName, "Web")
	check.Equal(t, "no more", page.IsTruncated, false)
	listed := check.Must(t, w.ListInstanceProfiles, &iam.ListInstanceProfilesInput{PathPrefix: new("/eu/")}).InstanceProfiles
	check.Equal(t, "below a path", len(listed), 1)
	check.Equal(t, "listed with its role", *listed[0].Roles[0].RoleName, "web")
	check.Run(t, []check.Rule{
		{"remove", remove("web", "WEB"), "ok"},
		{"delete", del, "ok"},
		{"remove the other", remove("web2", "web"), "ok"},
	})
}

// Who puts a role into an instance profile gives it to machines.
func TestPassRoleToInstanceProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, n := range []string{"web", "admin"} {
		check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: &n, AssumeRolePolicyDocument: new(trust(w.account))})
		check.Must(t, w.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: &n})
	}
	ana := w.user(t, "ana", allow("iam:AddRoleToInstanceProfile", "*"),
		allow("iam:PassRole", w.arn("role/web"), `"Condition":{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}`),
		allow("iam:PassRole", w.arn("role/admin"), `"Condition":{"StringEquals":{"iam:PassedToService":"lambda.amazonaws.com"}}`))
	check.Run(t, []check.Rule{
		{"may be passed", check.Try(ana.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: new("web"), RoleName: new("web")}), "ok"},
		{"may be passed elsewhere", check.Try(ana.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: new("admin"), RoleName: new("admin")}),
			"AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:PassRole on resource: " + w.arn("role/admin") + " because no identity-based policy allows the iam:PassRole action"},
	})
}
