package iam_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"coffer/internal/coffertest/check"
)

// trustOf is the trust policy of an answer, which is percent-encoded.
func trustOf(t *testing.T, r *types.Role) string {
	t.Helper()
	text, err := url.PathUnescape(*r.AssumeRolePolicyDocument)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	boundary := w.managed(t, "limit", allow("*", "*"))
	made := check.Must(t, w.CreateRole, &iam.CreateRoleInput{
		RoleName: new("Deploy"), Path: new("/ci/"), AssumeRolePolicyDocument: new(trust(w.account)), Description: new("deploys"),
		MaxSessionDuration: new(int32(7200)), PermissionsBoundary: &boundary, Tags: []types.Tag{{Key: new("team"), Value: new("blue")}},
	}).Role
	check.Equal(t, "ARN", *made.Arn, w.arn("role/ci/Deploy"))
	check.Equal(t, "id", strings.HasPrefix(*made.RoleId, "AROA") && len(*made.RoleId) == 21, true)
	got := check.Must(t, w.GetRole, &iam.GetRoleInput{RoleName: new("deploy")}).Role
	check.Equal(t, "description", *got.Description, "deploys")
	check.Equal(t, "duration", *got.MaxSessionDuration, 7200)
	check.Equal(t, "boundary", *got.PermissionsBoundary.PermissionsBoundaryArn, boundary)
	check.Equal(t, "tag", *got.Tags[0].Value, "blue")
	check.Equal(t, "last use", got.RoleLastUsed != nil && got.RoleLastUsed.LastUsedDate == nil && got.RoleLastUsed.Region == nil, true)
	// A bare account is shown as its root, and everything that is not unreserved encoded.
	shown := trust(w.arn("root"))
	check.Equal(t, "trust policy", trustOf(t, got), shown)
	check.Equal(t, "encoded", *got.AssumeRolePolicyDocument, strings.ReplaceAll(url.QueryEscape(shown), "+", "%20"))
	check.Equal(t, "trust policy of the answer", trustOf(t, made), shown)

	check.Must(t, w.UpdateRole, &iam.UpdateRoleInput{RoleName: new("deploy"), MaxSessionDuration: new(int32(3600))})
	updated := check.Must(t, w.UpdateRoleDescription, &iam.UpdateRoleDescriptionInput{RoleName: new("deploy"), Description: new("other")}).Role
	check.Equal(t, "updated", fmt.Sprint(*updated.MaxSessionDuration)+" "+*updated.Description, "3600 other")
	check.Must(t, w.UpdateRole, &iam.UpdateRoleInput{RoleName: new("deploy"), Description: new("")})
	listed := check.Must(t, w.ListRoles, &iam.ListRolesInput{PathPrefix: new("/ci/")}).Roles
	check.Equal(t, "listed", len(listed), 1)
	check.Equal(t, "listed with the trust policy", trustOf(t, &listed[0]), shown)
	check.Equal(t, "listed without", listed[0].Tags == nil && listed[0].PermissionsBoundary == nil && listed[0].RoleLastUsed == nil && listed[0].Description == nil, true)
	check.Equal(t, "elsewhere", len(check.Must(t, w.ListRoles, &iam.ListRolesInput{PathPrefix: new("/cd/")}).Roles), 0)
}

func TestTrustPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana"), Path: new("/dev/")})
	check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: new(trust(w.account))})
	statement := func(members string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` + members + `}]}`
	}
	malformed := func(text string) string { return "MalformedPolicyDocument: " + text }
	me := `"Principal":{"AWS":"` + w.account + `"},`
	for _, c := range []struct{ name, document, want string }{
		{"a user", trust(w.arn("user/dev/ana")), "ok"},
		{"a role", trust(w.arn("role/r")), "ok"},
		{"a session", trust("arn:aws:sts::" + w.account + ":assumed-role/r/s"), "ok"},
		{"everybody", trust("*"), "ok"},
		{"a service", statement(`"Principal":{"Service":["ec2.amazonaws.com","lambda.amazonaws.com"]},"Action":["sts:AssumeRole","sts:TagSession"]`), "ok"},
		{"a provider", statement(`"Principal":{"Federated":"arn:aws:iam::` + w.account + `:oidc-provider/id.example.com"},"Action":"sts:AssumeRoleWithWebIdentity"`), "ok"},
		{"a user that is not there", trust(w.arn("user/ana")), malformed(`Invalid principal in policy: "AWS":"` + w.arn("user/ana") + `"`)},
		{"a role that is not there", trust(w.arn("role/nobody")), malformed(`Invalid principal in policy: "AWS":"` + w.arn("role/nobody") + `"`)},
		{"an id that is not there", trust("AIDAAAAAAAAAAAAAAAAAA"), malformed(`Invalid principal in policy: "AWS":"AIDAAAAAAAAAAAAAAAAAA"`)},
		{"an account that is not there", trust("111122223333"), malformed(`Invalid principal in policy: "AWS":"111122223333"`)},
		{"its root", trust("arn:aws:iam::111122223333:root"), malformed(`Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:root"`)},
		{"a group", trust(w.arn("group/g")), malformed(`Invalid principal in policy: "AWS":"` + w.arn("group/g") + `"`)},
		{"part of a name", trust(w.arn("role/*")), malformed(`Invalid principal in policy: "AWS":"` + w.arn("role/*") + `"`)},
		{"what is no service", statement(`"Principal":{"Service":"example.com"},"Action":"sts:AssumeRole"`), malformed(`Invalid principal in policy: "SERVICE":"example.com"`)},
		{"what is no provider", statement(`"Principal":{"Federated":"nobody"},"Action":"sts:AssumeRole"`), malformed(`Invalid principal in policy: "FEDERATED":"nobody"`)},
		{"no JSON", "{", malformed("This policy contains invalid Json")},
		{"no statement", "{}", malformed("Missing required field Statement")},
		{"no principal", statement(`"Action":"sts:AssumeRole"`), malformed("Missing required field Principal")},
		{"no action", statement(strings.TrimSuffix(me, ",")), malformed("Missing required field Action")},
		{"a resource", statement(me + `"Action":"sts:AssumeRole","Resource":"*"`), malformed("Has prohibited field Resource")},
		{"all but somebody", statement(`"NotPrincipal":{"AWS":"` + w.account + `"},"Action":"sts:AssumeRole"`), malformed("Has prohibited field NotPrincipal")},
		{"another action", statement(me + `"Action":["sts:AssumeRole","s3:GetObject"]`), malformed("AssumeRole policy may only specify STS AssumeRole actions.")},
		{"every action", statement(me + `"Action":"*"`), malformed("AssumeRole policy may only specify STS AssumeRole actions.")},
		{"all but an action", statement(me + `"NotAction":"sts:GetCallerIdentity"`), malformed("AssumeRole policy may only specify STS AssumeRole actions.")},
		{"an unknown element", statement(me + `"Action":"sts:AssumeRole","Comment":"x"`), malformed("Syntax errors in policy.")},
		{"2048 characters", statement(me + `"Action":"sts:AssumeRole","Sid":"` + strings.Repeat("x", 2048-len(statement(me+`"Action":"sts:AssumeRole","Sid":""`))) + `"`), "ok"},
		{"one more", statement(me + `"Action":"sts:AssumeRole","Sid":"` + strings.Repeat("x", 2049-len(statement(me+`"Action":"sts:AssumeRole","Sid":""`))) + `"`), "LimitExceeded: Cannot exceed quota for ACLSizePerRole: 2048"},
	} {
		update := check.Try(w.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: new("r"), PolicyDocument: &c.document})()
		check.Equal(t, c.name, update, c.want)
		create := check.Try(w.CreateRole, &iam.CreateRoleInput{RoleName: new("other"), AssumeRolePolicyDocument: &c.document})()
		check.Equal(t, c.name+" on creation", create, c.want)
		if create == "ok" {
			check.Must(t, w.DeleteRole, &iam.DeleteRoleInput{RoleName: new("other")})
		}
	}
}

// A trust policy means the individual: who is gone is shown by unique id, and a
// namesake is somebody else.
func TestTrustedIndividuals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := *check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")}).User.UserId
	check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: new(trust(w.arn("user/ana")))})
	shown := func() string { return trustOf(t, check.Must(t, w.GetRole, &iam.GetRoleInput{RoleName: new("r")}).Role) }
	check.Equal(t, "there", shown(), trust(w.arn("user/ana")))
	check.Must(t, w.DeleteUser, &iam.DeleteUserInput{UserName: new("ana")})
	check.Equal(t, "gone", shown(), trust(id))
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")})
	check.Equal(t, "made anew", shown(), trust(id))
	check.Run(t, []check.Rule{
		{"what is shown cannot be put back", check.Try(w.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: new("r"), PolicyDocument: new(shown())}),
			`MalformedPolicyDocument: Invalid principal in policy: "AWS":"` + id + `"`},
	})
}

func TestRoleRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	policy := w.managed(t, "p", allow("*", "*"))
	r := new("r")
	create := func(change func(*iam.CreateRoleInput)) func() string {
		in := &iam.CreateRoleInput{RoleName: r, AssumeRolePolicyDocument: new(trust(w.account))}
		change(in)
		return check.Try(w.CreateRole, in)
	}
	del := check.Try(w.DeleteRole, &iam.DeleteRoleInput{RoleName: r})
	nobody := "NoSuchEntity: The role with name nobody cannot be found."
	reserved := "InvalidInput: The path /aws-service-role/ and role names that begin with AWSServiceRoleFor are reserved for service-linked roles."
	check.Run(t, []check.Rule{
		{"create", create(func(*iam.CreateRoleInput) {}), "ok"},
		{"taken in any case", create(func(in *iam.CreateRoleInput) { in.RoleName = new("R") }), "EntityAlreadyExists: Role with name R already exists."},
		{"59 minutes", create(func(in *iam.CreateRoleInput) { in.MaxSessionDuration = new(int32(3599)) }), "ValidationError: 1 validation error detected: Value '3599' at 'maxSessionDuration' failed to satisfy constraint: Member must have value greater than or equal to 3600"},
		{"over 12 hours", create(func(in *iam.CreateRoleInput) { in.MaxSessionDuration = new(int32(43201)) }), "ValidationError: 1 validation error detected: Value '43201' at 'maxSessionDuration' failed to satisfy constraint: Member must have value less than or equal to 43200"},
		{"a description in Greek", create(func(in *iam.CreateRoleInput) { in.Description = new("Ω") }), `ValidationError: 1 validation error detected: Value 'Ω' at 'description' failed to satisfy constraint: Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*`},
		{"a service's path", create(func(in *iam.CreateRoleInput) { in.Path, in.RoleName = new("/aws-service-role/x/"), new("x") }), reserved},
		{"a service's name", create(func(in *iam.CreateRoleInput) { in.RoleName = new("AWSServiceRoleForX") }), reserved},
		{"no such boundary", create(func(in *iam.CreateRoleInput) { in.RoleName, in.PermissionsBoundary = new("x"), new(w.arn("policy/q")) }), "NoSuchEntity: Scope ARN: " + w.arn("policy/q") + " does not exist or is not attachable."},
		{"get", check.Try(w.GetRole, &iam.GetRoleInput{RoleName: new("nobody")}), nobody},
		{"update", check.Try(w.UpdateRole, &iam.UpdateRoleInput{RoleName: new("nobody")}), nobody},
		{"describe", check.Try(w.UpdateRoleDescription, &iam.UpdateRoleDescriptionInput{RoleName: new("nobody"), Description: new("")}), nobody},
		{"trust", check.Try(w.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: new("nobody"), PolicyDocument: new(trust(w.account))}), nobody},
		{"delete", check.Try(w.DeleteRole, &iam.DeleteRoleInput{RoleName: new("nobody")}), nobody},

		{"attach", check.Try(w.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: r, PolicyArn: &policy}), "ok"},
		{"put", check.Try(w.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: r, PolicyName: new("own"), PolicyDocument: new(document(allow("*", "*")))}), "ok"},
		{"a profile", check.Try(w.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: r}), "ok"},
		{"in a profile", check.Try(w.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: r, RoleName: r}), "ok"},
		{"delete with attached policy", del, "DeleteConflict: Cannot delete entity, must detach all policies first."},
		{"detach", check.Try(w.DetachRolePolicy, &iam.DetachRolePolicyInput{RoleName: r, PolicyArn: &policy}), "ok"},
		{"delete with inline policy", del, "DeleteConflict: Cannot delete entity, must delete policies first."},
		{"delete policy", check.Try(w.DeleteRolePolicy, &iam.DeleteRolePolicyInput{RoleName: r, PolicyName: new("own")}), "ok"},
		{"delete with profile", del, "DeleteConflict: Cannot delete entity, must remove roles from instance profile first."},
		{"out of the profile", check.Try(w.RemoveRoleFromInstanceProfile, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: r, RoleName: r}), "ok"},
		{"delete at last", del, "ok"},
	})
}
