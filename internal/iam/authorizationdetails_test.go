package iam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"coffer/internal/coffertest/check"
)

func TestAccountAuthorizationDetails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arn := w.managed(t, "p", allow("s3:*", "*"))
	check.Must(t, w.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: &arn, PolicyDocument: new(document(allow("ec2:*", "*"))), SetAsDefault: true})
	own := document(allow("s3:Get*", "arn:aws:s3:::a b/*"))
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana"), Path: new("/dev/"), Tags: tags("team=blue"), PermissionsBoundary: new(readOnly)})
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ben")})
	check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("g")})
	check.Must(t, w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new("g"), UserName: new("ana")})
	check.Must(t, w.PutUserPolicy, &iam.PutUserPolicyInput{UserName: new("ana"), PolicyName: new("own"), PolicyDocument: &own})
	check.Must(t, w.PutGroupPolicy, &iam.PutGroupPolicyInput{GroupName: new("g"), PolicyName: new("own"), PolicyDocument: &own})
	check.Must(t, w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: &arn})
	check.Must(t, w.AttachGroupPolicy, &iam.AttachGroupPolicyInput{GroupName: new("g"), PolicyArn: new(lambdaBasic)})
	check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: new("app"), AssumeRolePolicyDocument: new(trust(w.account)), PermissionsBoundary: &arn, Tags: tags("a=b")})
	check.Must(t, w.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: new("app"), PolicyName: new("own"), PolicyDocument: &own})
	check.Must(t, w.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: new("machine")})
	check.Must(t, w.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: new("machine"), RoleName: new("app")})

	all := check.Must(t, w.GetAccountAuthorizationDetails, &iam.GetAccountAuthorizationDetailsInput{})
	if len(all.UserDetailList) != 2 || len(all.GroupDetailList) != 1 || len(all.RoleDetailList) != 1 || len(all.Policies) != 3 || all.IsTruncated {
		t.Fatalf("%d users, %d groups, %d roles, %d policies, truncated %v", len(all.UserDetailList), len(all.GroupDetailList), len(all.RoleDetailList), len(all.Policies), all.IsTruncated)
	}
	ana := all.UserDetailList[1] // ben is on the path before
	check.Equal(t, "user", *ana.Arn, w.arn("user/dev/ana"))
	check.Equal(t, "groups", strings.Join(ana.GroupList, " "), "g")
	check.Equal(t, "inline policy", *ana.UserPolicyList[0].PolicyName+plain(t, ana.UserPolicyList[0].PolicyDocument), "own"+own)
	check.Equal(t, "attached", *ana.AttachedManagedPolicies[0].PolicyArn+*ana.AttachedManagedPolicies[0].PolicyName, arn+"p")
	check.Equal(t, "boundary", *ana.PermissionsBoundary.PermissionsBoundaryArn, readOnly)
	check.Equal(t, "tags", texts(ana.Tags), "team=blue")
	g := all.GroupDetailList[0]
	check.Equal(t, "group", *g.Arn+plain(t, g.GroupPolicyList[0].PolicyDocument)+*g.AttachedManagedPolicies[0].PolicyName, w.arn("group/g")+own+"AWSLambdaBasicExecutionRole")
	r := all.RoleDetailList[0]
	check.Equal(t, "role", *r.Arn+plain(t, r.RolePolicyList[0].PolicyDocument)+texts(r.Tags), w.arn("role/app")+own+"a=b")
	check.Equal(t, "trust", strings.Contains(plain(t, r.AssumeRolePolicyDocument), "sts:AssumeRole"), true)
	check.Equal(t, "profile", *r.InstanceProfileList[0].InstanceProfileName+*r.InstanceProfileList[0].Roles[0].RoleName, "machineapp")
	check.Equal(t, "role's boundary", *r.PermissionsBoundary.PermissionsBoundaryArn, arn)
	p := all.Policies[0]
	check.Equal(t, "policy", fmt.Sprint(*p.PolicyName, *p.DefaultVersionId, *p.AttachmentCount, *p.PermissionsBoundaryUsageCount), "pv21 1")
	check.Equal(t, "versions", *p.PolicyVersionList[0].VersionId+plain(t, p.PolicyVersionList[0].Document)+*p.PolicyVersionList[1].VersionId, "v2"+document(allow("ec2:*", "*"))+"v1")
	check.Equal(t, "AWS's that are used", *all.Policies[1].PolicyName+" "+*all.Policies[2].PolicyName, "AWSLambdaBasicExecutionRole ReadOnlyAccess")

	for _, tc := range []struct{ filter, want string }{
		{"", "u:ben u:ana g:g r:app p:p p:AWSLambdaBasicExecutionRole p:ReadOnlyAccess"},
		{"User", "u:ben u:ana"}, {"Group", "g:g"}, {"Role", "r:app"}, {"LocalManagedPolicy", "p:p"},
		{"AWSManagedPolicy", "p:AWSLambdaBasicExecutionRole p:ReadOnlyAccess"},
		{"Role User", "u:ben u:ana r:app"},
	} {
		for _, size := range []int32{1, 2, 3, 100} {
			names, _ := allDetails(t, w, tc.filter, size)
			check.Equal(t, fmt.Sprintf("%q by %d", tc.filter, size), strings.Join(names, " "), tc.want)
		}
	}
}

// allDetails lists in pages and returns what is in them, in order, and how many pages there were.
func allDetails(t *testing.T, w *world, filter string, size int32) (names []string, pages int) {
	t.Helper()
	in := &iam.GetAccountAuthorizationDetailsInput{MaxItems: &size}
	for f := range strings.FieldsSeq(filter) {
		in.Filter = append(in.Filter, types.EntityType(f))
	}
	for {
		page := check.Must(t, w.GetAccountAuthorizationDetails, in)
		before := len(names)
		for _, u := range page.UserDetailList {
			names = append(names, "u:"+*u.UserName)
		}
		for _, g := range page.GroupDetailList {
			names = append(names, "g:"+*g.GroupName)
		}
		for _, r := range page.RoleDetailList {
			names = append(names, "r:"+*r.RoleName)
		}
		for _, p := range page.Policies {
			names = append(names, "p:"+*p.PolicyName)
		}
		pages++
		if n := len(names) - before; n > int(size) || page.IsTruncated && n == 0 {
			t.Fatalf("a page of %d", n)
		}
		if in.Marker = page.Marker; !page.IsTruncated {
			return names, pages
		}
	}
}

// A page has no more of documents than fits into an answer; the rest comes with the next.
func TestAuthorizationDetailsOfLongPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want []string
	for i := range 60 {
		arn := *check.Must(t, w.CreatePolicy, &iam.CreatePolicyInput{PolicyName: new(fmt.Sprintf("p%02d", i)), PolicyDocument: new(ofLength(6144))}).Policy.Arn
		want = append(want, fmt.Sprintf("p:p%02d", i))
		for range 4 {
			check.Must(t, w.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: &arn, PolicyDocument: new(ofLength(6144))})
		}
	}
	names, pages := allDetails(t, w, "", 1000)
	check.Equal(t, "all of them", slices.Equal(names, want), true)
	check.Equal(t, "in several pages", pages > 1 && pages < 10, true)
}
