package iam_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"coffer/internal/coffertest/check"
	"coffer/internal/policy"
)

const (
	administrator = "arn:aws:iam::aws:policy/AdministratorAccess"
	readOnly      = "arn:aws:iam::aws:policy/ReadOnlyAccess"
	lambdaBasic   = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
)

// plain takes the percent-encoding off a document of an answer.
func plain(t *testing.T, document *string) string {
	t.Helper()
	text, err := url.PathUnescape(*document) // a plus sign stays: RFC 3986
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := "{ \"Version\": \"2012-10-17\",\n\t\"Statement\": [" + allow("s3:Get*", "arn:aws:s3:::b+u/c k?t/*", `"Sid":"A1"`) + "] }"
	made := check.Must(t, w.CreatePolicy, &iam.CreatePolicyInput{
		PolicyName: new("Read.It"), Path: new("/team/db/"), Description: new("reads it"), PolicyDocument: &text,
		Tags: []types.Tag{{Key: new("team"), Value: new("blue")}},
	}).Policy
	check.Equal(t, "ARN", *made.Arn, w.arn("policy/team/db/Read.It"))
	check.Equal(t, "id", strings.HasPrefix(*made.PolicyId, "ANPA") && len(*made.PolicyId) == 21, true)
	got := check.Must(t, w.GetPolicy, &iam.GetPolicyInput{PolicyArn: made.Arn}).Policy
	check.Equal(t, "name", *got.PolicyName, "Read.It")
	check.Equal(t, "path", *got.Path, "/team/db/")
	check.Equal(t, "description", *got.Description, "reads it")
	check.Equal(t, "default version", *got.DefaultVersionId, "v1")
	check.Equal(t, "attachments", *got.AttachmentCount+*got.PermissionsBoundaryUsageCount, 0)
	check.Equal(t, "attachable", got.IsAttachable, true)
	check.Equal(t, "created", got.CreateDate.Equal(*made.CreateDate) && got.UpdateDate.Equal(*made.CreateDate), true)
	check.Equal(t, "tags", *got.Tags[0].Key+*got.Tags[0].Value, "teamblue")
	version := check.Must(t, w.GetPolicyVersion, &iam.GetPolicyVersionInput{PolicyArn: made.Arn, VersionId: new("v1")}).PolicyVersion
	check.Equal(t, "document", plain(t, version.Document), text)
	check.Equal(t, "percent-encoded", strings.Trim(*version.Document, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%"), "")
	listed := check.Must(t, w.ListPolicies, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal}).Policies
	check.Equal(t, "listed", len(listed) == 1 && *listed[0].Arn == *made.Arn, true)
	check.Equal(t, "listed without description and tags", listed[0].Description == nil && listed[0].Tags == nil, true)
}

// ofLength is a policy of n characters without white space.
func ofLength(n int) string {
	const head, tail = `{"Version": "2012-10-17", "Statement": {"Sid": "`, `", "Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}}`
	return head + strings.Repeat("x", n-policy.Length([]byte(head+tail))) + tail
}

func TestPolicyRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	create := func(name, path, document string) func() string {
		return check.Try(w.CreatePolicy, &iam.CreatePolicyInput{PolicyName: &name, Path: &path, PolicyDocument: &document})
	}
	some := document(allow("s3:*", "*"))
	arn, missing := w.arn("policy/a"), w.arn("policy/missing")
	version := func(document string, asDefault bool) func() string {
		return check.Try(w.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: &arn, PolicyDocument: &document, SetAsDefault: asDefault})
	}
	get := func(arn string) func() string { return check.Try(w.GetPolicy, &iam.GetPolicyInput{PolicyArn: &arn}) }
	getVersion := func(arn, id string) func() string {
		return check.Try(w.GetPolicyVersion, &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: &id})
	}
	setDefault := func(arn, id string) func() string {
		return check.Try(w.SetDefaultPolicyVersion, &iam.SetDefaultPolicyVersionInput{PolicyArn: &arn, VersionId: &id})
	}
	dropVersion := func(arn, id string) func() string {
		return check.Try(w.DeletePolicyVersion, &iam.DeletePolicyVersionInput{PolicyArn: &arn, VersionId: &id})
	}
	drop := func(arn string) func() string {
		return check.Try(w.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: &arn})
	}
	denied := func(action string) string {
		return "AccessDenied: User: " + w.arn("root") + " is not authorized to perform: iam:" + action + " on resource: policy " + administrator
	}
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")})
	check.Run(t, []check.Rule{
		{"create", create("a", "/", some), "ok"},
		{"the name is taken", create("a", "/", some), "EntityAlreadyExists: A policy called a already exists. Duplicate names are not allowed."},
		{"in any case, on any path", create("A", "/x/", some), "EntityAlreadyExists: A policy called A already exists. Duplicate names are not allowed."},
		{"a path that does not end with a slash", create("b", "/x", some), `ValidationError: 1 validation error detected: Value '/x' at 'path' failed to satisfy constraint: Member must satisfy regular expression pattern: ((/[A-Za-z0-9\.,\+@=_-]+)*)/`},
		{"6,144 characters", create("long", "/", ofLength(6144)), "ok"},
		{"6,145 characters", create("longer", "/", ofLength(6145)), "LimitExceeded: Cannot exceed quota for PolicySize: 6144"},
		{"white space does not count", create("wide", "/", strings.Repeat(" \n", 5000)+ofLength(6144)), "ok"},

		{"get a policy that is not there", get(missing), "NoSuchEntity: Policy " + missing + " was not found."},
		{"an ARN has case", get(w.arn("policy/Long")), "NoSuchEntity: Policy " + w.arn("policy/Long") + " was not found."},
		{"and a path", get(w.arn("policy/x/long")), "NoSuchEntity: Policy " + w.arn("policy/x/long") + " was not found."},
		{"no ARN", get("policy/a-policy-without-arn"), "ValidationError: Invalid ARN:  Could not be parsed!"},
		{"an ARN of something else", get(w.arn("user/somebody")), "InvalidInput: ARN " + w.arn("user/somebody") + " is not valid."},
		{"a policy of another account", get("arn:aws:iam::999999999999:policy/a"), "AccessDenied: User: " + w.arn("root") + " is not authorized to perform: iam:GetPolicy on resource: policy arn:aws:iam::999999999999:policy/a because no resource-based policy allows the iam:GetPolicy action"},
		{"a policy of AWS that is not there", get("arn:aws:iam::aws:policy/Nonsense"), "NoSuchEntity: Policy arn:aws:iam::aws:policy/Nonsense was not found."},

		{"a second version", version(some, false), "ok"},
		{"it is not in force", getVersion(arn, "v2"), "ok"},
		{"a version that is not there", getVersion(arn, "v3"), "NoSuchEntity: Policy " + arn + " version v3 does not exist or is not attachable."},
		{"of a policy that is not there", getVersion(missing, "v1"), "NoSuchEntity: Policy " + missing + " was not found."},
		{"a malformed version", version("{", true), "MalformedPolicyDocument: This policy contains invalid Json"},
		{"a version that is too long", version(ofLength(6145), true), "LimitExceeded: Cannot exceed quota for PolicySize: 6144"},
		{"third", version(some, true), "ok"}, {"fourth", version(some, false), "ok"}, {"fifth", version(some, false), "ok"},
		{"a sixth version", version(some, false), "LimitExceeded: A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version."},
		{"delete the default version", dropVersion(arn, "v3"), "DeleteConflict: Cannot delete the default version of a policy."},
		{"another default", setDefault(arn, "v1"), "ok"},
		{"the same again", setDefault(arn, "v1"), "ok"},
		{"a default that is not there", setDefault(arn, "v9"), "NoSuchEntity: Policy " + arn + " version v9 does not exist or is not attachable."},
		{"delete it now", dropVersion(arn, "v3"), "ok"},
		{"delete it again", dropVersion(arn, "v3"), "NoSuchEntity: Policy " + arn + " version v3 does not exist or is not attachable."},
		{"numbers are not used twice", version(some, true), "ok"},
		{"so it is the sixth", setDefault(arn, "v6"), "ok"},

		{"delete with versions", drop(arn), "DeleteConflict: This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy."},
		{"attach", check.Try(w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: &arn}), "ok"},
		{"delete what is attached", drop(arn), "DeleteConflict: Cannot delete a policy attached to entities."},
		{"detach", check.Try(w.DetachUserPolicy, &iam.DetachUserPolicyInput{UserName: new("ana"), PolicyArn: &arn}), "ok"},
		{"as boundary", check.Try(w.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: new("ana"), PermissionsBoundary: &arn}), "ok"},
		{"delete what is a boundary", drop(arn), "DeleteConflict: Cannot delete a policy attached to entities."},
		{"no more", check.Try(w.DeleteUserPermissionsBoundary, &iam.DeleteUserPermissionsBoundaryInput{UserName: new("ana")}), "ok"},
		{"v1", dropVersion(arn, "v1"), "ok"}, {"v2", dropVersion(arn, "v2"), "ok"}, {"v4", dropVersion(arn, "v4"), "ok"}, {"v5", dropVersion(arn, "v5"), "ok"},
		{"delete", drop(arn), "ok"},
		{"delete again", drop(arn), "NoSuchEntity: Policy " + arn + " was not found."},
		{"the name is free", create("A", "/x/", some), "ok"},
		{"versions begin anew", getVersion(w.arn("policy/x/A"), "v1"), "ok"},

		{"AWS's policies cannot be deleted", drop(administrator), denied("DeletePolicy")},
		{"or changed", check.Try(w.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: new(administrator), PolicyDocument: &some}), denied("CreatePolicyVersion")},
		{"in any way", setDefault(administrator, "v1"), denied("SetDefaultPolicyVersion")},
		{"at all", dropVersion(administrator, "v1"), denied("DeletePolicyVersion")},
		{"or tagged", check.Try(w.TagPolicy, &iam.TagPolicyInput{PolicyArn: new(administrator), Tags: []types.Tag{{Key: new("a"), Value: new("b")}}}), denied("TagPolicy")},
		{"they have one version", getVersion(administrator, "v1"), "ok"},
		{"and no other", getVersion(administrator, "v2"), "NoSuchEntity: Policy " + administrator + " version v2 does not exist or is not attachable."},
	})
}

// What is wrong with a document is told in AWS's words.
func TestMalformedPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const (
		syntax = "Syntax errors in policy."
		vendor = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
	)
	with := func(members string) string { return `{"Version":"2012-10-17","Statement":[{` + members + `}]}` }
	for _, tc := range []struct{ document, want string }{
		{`x`, "This policy contains invalid Json"},
		{`{"Statement":[}`, "This policy contains invalid Json"},
		{`[]`, syntax},
		{`{}`, syntax},
		{`{"Version":"2012-10-18","Statement":[]}`, "The policy must contain a valid version string."},
		{`{"Version":"2012-10-17","Statement":[]}`, syntax},
		{`{"Version":"2012-10-17","Statement":[{}],"Extra":1}`, syntax},
		{with(`"Effect":"allow","Action":"s3:*","Resource":"*"`), syntax},
		{with(`"Action":"s3:*","Resource":"*"`), syntax},
		{with(`"Effect":"Allow","Resource":"*"`), "Policy statement must contain actions."},
		{with(`"Effect":"Allow","Action":[],"Resource":"*"`), "Policy statement must contain actions."},
		{with(`"Effect":"Allow","Action":"s3:*"`), "Policy statement must contain resources."},
		{with(`"Effect":"Allow","Action":"s3:*","Resource":[]`), "Policy statement must contain resources."},
		{with(`"Effect":"Allow","Action":"s3:*","NotResource":[]`), "Policy statement must contain resources."},
		{with(`"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*"`), "Policy document should not specify a principal."},
		{with(`"Effect":"Allow","Action":"s3:*","Resource":"*","NotPrincipal":{"AWS":"*"}`), "Policy document should not specify a principal."},
		{with(`"Effect":"Allow","Action":"s3:*","Resource":"bucket"`), `Resource bucket must be in ARN format or "*".`},
		{with(`"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:bucket"`), "The policy failed legacy parsing"},
		{with(`"Effect":"Allow","Action":"ListBuckets","Resource":"*"`), vendor},
		{with(`"Effect":"Allow","NotAction":":Get","Resource":"*"`), vendor},
		{with(`"Effect":"Allow","Action":"s3:a:b","Resource":"*"`), "Actions/Condition can contain only one colon."},
		{with(`"Effect":"Allow","Action":"s*:Get","Resource":"*"`), "Vendor s* is not valid"},
		{with(`"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"username":"a"}}`), vendor},
		{with(`"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringIs":{"aws:username":"a"}}`), syntax},
		{with(`"Sid":"a b","Effect":"Allow","Action":"s3:*","Resource":"*"`), "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"},
		{document(allow("s3:*", "*", `"Sid":"A"`), allow("s3:*", "*", `"Sid":"A"`)), "Statement IDs (SID) in a single policy must be unique."},
	} {
		want := "MalformedPolicyDocument: " + tc.want
		if got := check.Try(w.CreatePolicy, &iam.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: &tc.document})(); got != want {
			t.Errorf("%s:\n got %s\nwant %s", tc.document, got, want)
		}
	}
}

func TestPolicyVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arn := w.managed(t, "p", allow("s3:*", "*"))
	for i := range 3 {
		v := check.Must(t, w.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: &arn, PolicyDocument: new(document(allow("ec2:*", "*"))), SetAsDefault: i == 1}).PolicyVersion
		check.Equal(t, "id", *v.VersionId, fmt.Sprintf("v%d", i+2))
		check.Equal(t, "default", v.IsDefaultVersion, i == 1)
	}
	var ids []string
	in := &iam.ListPolicyVersionsInput{PolicyArn: &arn, MaxItems: new(int32(3))}
	for {
		page := check.Must(t, w.ListPolicyVersions, in)
		for _, v := range page.Versions {
			ids = append(ids, *v.VersionId)
			check.Equal(t, "default "+*v.VersionId, v.IsDefaultVersion, *v.VersionId == "v3")
			check.Equal(t, "without document", v.Document == nil, true)
		}
		if !page.IsTruncated {
			break
		}
		in.Marker = page.Marker
	}
	check.Equal(t, "newest first", strings.Join(ids, " "), "v4 v3 v2 v1")
	aws := check.Must(t, w.ListPolicyVersions, &iam.ListPolicyVersionsInput{PolicyArn: new(readOnly)}).Versions
	check.Equal(t, "of AWS", len(aws) == 1 && aws[0].IsDefaultVersion, true)
}

// allPolicies lists in pages of size and returns the names, and how many pages there were.
func allPolicies(t *testing.T, w *world, in iam.ListPoliciesInput, size int32) (names []string, pages int) {
	t.Helper()
	in.MaxItems = &size
	for {
		page := check.Must(t, w.ListPolicies, &in)
		pages++
		if len(page.Policies) > int(size) || page.IsTruncated != (page.Marker != nil) {
			t.Fatalf("a page of %d, truncated %v, marker %v", len(page.Policies), page.IsTruncated, page.Marker)
		}
		for _, p := range page.Policies {
			names = append(names, *p.PolicyName)
		}
		if !page.IsTruncated {
			return names, pages
		}
		in.Marker = page.Marker
	}
}

func TestListPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")})
	check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: new("app"), AssumeRolePolicyDocument: new(trust(w.account))})
	long := "/" + strings.Repeat(strings.Repeat("p", 99)+"/", 5) // a marker of it would be longer than AWS allows
	for i, path := range []string{"/", "/a/", "/a/b/", "/b/", long, long, long} {
		check.Must(t, w.CreatePolicy, &iam.CreatePolicyInput{PolicyName: new(fmt.Sprintf("p%d", i)), Path: &path, PolicyDocument: new(document(allow("s3:*", "*")))})
	}
	for _, arn := range []string{w.arn("policy/p0"), w.arn("policy/a/b/p2"), lambdaBasic, w.arn("policy" + long + "p4"), w.arn("policy" + long + "p6")} {
		check.Must(t, w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: &arn})
	}
	check.Must(t, w.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: new("ana"), PermissionsBoundary: new(w.arn("policy/p0"))})
	check.Must(t, w.PutRolePermissionsBoundary, &iam.PutRolePermissionsBoundaryInput{RoleName: new("app"), PermissionsBoundary: new(readOnly)})

	const (
		aws = "AWSKeyManagementServicePowerUser AdministratorAccess CloudWatchLogsFullAccess PowerUserAccess ReadOnlyAccess SecretsManagerReadWrite SecurityAudit AWSLambdaBasicExecutionRole AWSLambdaVPCAccessExecutionRole"
		own = "p0 p1 p2 p3 p4 p5 p6"
	)
	for _, tc := range []struct {
		rule string
		in   iam.ListPoliciesInput
		want string
	}{
		{"everything", iam.ListPoliciesInput{}, aws + " " + own},
		{"all", iam.ListPoliciesInput{Scope: types.PolicyScopeTypeAll}, aws + " " + own},
		{"of AWS", iam.ListPoliciesInput{Scope: types.PolicyScopeTypeAws}, aws},
		{"own", iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal}, own},
		{"under a path", iam.ListPoliciesInput{PathPrefix: new("/a/")}, "p1 p2"},
		{"under a path of AWS", iam.ListPoliciesInput{PathPrefix: new("/service-role/")}, "AWSLambdaBasicExecutionRole AWSLambdaVPCAccessExecutionRole"},
		{"attached", iam.ListPoliciesInput{OnlyAttached: true}, "AWSLambdaBasicExecutionRole p0 p2 p4 p6"},
		{"attached, own", iam.ListPoliciesInput{OnlyAttached: true, Scope: types.PolicyScopeTypeLocal}, "p0 p2 p4 p6"},
		{"attached, under a path", iam.ListPoliciesInput{OnlyAttached: true, PathPrefix: new("/a/")}, "p2"},
		{"used for permissions", iam.ListPoliciesInput{PolicyUsageFilter: types.PolicyUsageTypePermissionsPolicy}, "AWSLambdaBasicExecutionRole p0 p2 p4 p6"},
		{"used as boundaries", iam.ListPoliciesInput{PolicyUsageFilter: types.PolicyUsageTypePermissionsBoundary}, "ReadOnlyAccess p0"},
		{"boundaries of AWS", iam.ListPoliciesInput{PolicyUsageFilter: types.PolicyUsageTypePermissionsBoundary, Scope: types.PolicyScopeTypeAws}, "ReadOnlyAccess"},
		{"nothing", iam.ListPoliciesInput{PathPrefix: new("/nobody/")}, ""},
	} {
		for _, size := range []int32{1, 2, 9, 1000} {
			names, pages := allPolicies(t, w, tc.in, size)
			check.Equal(t, fmt.Sprintf("%s by %d", tc.rule, size), strings.Join(names, " "), tc.want)
			check.Equal(t, fmt.Sprintf("pages of %s by %d", tc.rule, size), pages, max(1, (len(names)+int(size)-1)/int(size)))
		}
	}
	counts := check.Must(t, w.GetPolicy, &iam.GetPolicyInput{PolicyArn: new(w.arn("policy/p0"))}).Policy
	check.Equal(t, "counts", fmt.Sprint(*counts.AttachmentCount, *counts.PermissionsBoundaryUsageCount), "1 1")

	// A row that is gone between two pages takes none of the others with it.
	first := check.Must(t, w.ListPolicies, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal, MaxItems: new(int32(6))})
	check.Equal(t, "last of the first page", *first.Policies[5].PolicyName, "p5")
	check.Equal(t, "length of a marker", len(*first.Marker) <= 320, true)
	check.Must(t, w.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: first.Policies[5].Arn})
	second := check.Must(t, w.ListPolicies, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal, Marker: first.Marker})
	check.Equal(t, "p6 on the second page", slices.ContainsFunc(second.Policies, func(p types.Policy) bool { return *p.PolicyName == "p6" }), true)
	check.Run(t, []check.Rule{
		{"a marker of something else", check.Try(w.ListPolicies, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeAws, Marker: first.Marker}), "ValidationError: Invalid Marker."},
		{"no marker", check.Try(w.ListPolicies, &iam.ListPoliciesInput{Marker: new("AGxvY2Fs!")}), "ValidationError: Invalid Marker."},
	})
}

func TestListEntitiesForPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arn := w.managed(t, "p", allow("s3:*", "*"))
	for _, name := range []string{"u1", "u2", "u3"} {
		check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: &name, Path: new("/" + name[:1] + "/")})
		check.Must(t, w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: &name, PolicyArn: &arn})
	}
	for _, name := range []string{"u2", "u4"} { // u2 both ways
		if name == "u4" {
			check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: &name})
		}
		check.Must(t, w.PutUserPermissionsBoundary, &iam.PutUserPermissionsBoundaryInput{UserName: &name, PermissionsBoundary: &arn})
	}
	check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("g1")})
	check.Must(t, w.AttachGroupPolicy, &iam.AttachGroupPolicyInput{GroupName: new("g1"), PolicyArn: &arn})
	check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: new("r1"), Path: new("/u/"), AssumeRolePolicyDocument: new(trust(w.account)), PermissionsBoundary: &arn})
	check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: new("r2"), AssumeRolePolicyDocument: new(trust(w.account))})
	check.Must(t, w.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: new("r2"), PolicyArn: &arn})
	for _, tc := range []struct {
		rule string
		in   iam.ListEntitiesForPolicyInput
		want string
	}{
		{"all", iam.ListEntitiesForPolicyInput{}, "g1 u1 u2 u3 u4 r1 r2"},
		{"users", iam.ListEntitiesForPolicyInput{EntityFilter: types.EntityTypeUser}, "u1 u2 u3 u4"},
		{"groups", iam.ListEntitiesForPolicyInput{EntityFilter: types.EntityTypeGroup}, "g1"},
		{"roles", iam.ListEntitiesForPolicyInput{EntityFilter: types.EntityTypeRole}, "r1 r2"},
		{"policies", iam.ListEntitiesForPolicyInput{EntityFilter: types.EntityTypeLocalManagedPolicy}, ""},
		{"under a path", iam.ListEntitiesForPolicyInput{PathPrefix: new("/u/")}, "u1 u2 u3 r1"},
		{"attached", iam.ListEntitiesForPolicyInput{PolicyUsageFilter: types.PolicyUsageTypePermissionsPolicy}, "g1 u1 u2 u3 r2"},
		{"bounded", iam.ListEntitiesForPolicyInput{PolicyUsageFilter: types.PolicyUsageTypePermissionsBoundary}, "u4 u2 r1"}, // by path first
		{"bounded users under a path", iam.ListEntitiesForPolicyInput{PolicyUsageFilter: types.PolicyUsageTypePermissionsBoundary, EntityFilter: types.EntityTypeUser, PathPrefix: new("/u/")}, "u2"},
	} {
		for _, size := range []int32{1, 2, 100} {
			var groups, users, roles []string
			tc.in.PolicyArn, tc.in.MaxItems, tc.in.Marker = &arn, &size, nil
			for {
				page := check.Must(t, w.ListEntitiesForPolicy, &tc.in)
				for _, g := range page.PolicyGroups {
					groups = append(groups, *g.GroupName)
				}
				for _, u := range page.PolicyUsers {
					users = append(users, *u.UserName)
				}
				for _, r := range page.PolicyRoles {
					roles = append(roles, *r.RoleName)
				}
				if !page.IsTruncated {
					break
				}
				tc.in.Marker = page.Marker
			}
			slices.Sort(roles) // bounded ones come last
			check.Equal(t, fmt.Sprintf("%s by %d", tc.rule, size), strings.Join(slices.Concat(groups, users, roles), " "), tc.want)
		}
	}
	check.Run(t, []check.Rule{
		{"of AWS's policy", check.Try(w.ListEntitiesForPolicy, &iam.ListEntitiesForPolicyInput{PolicyArn: new(administrator)}), "ok"},
		{"of none", check.Try(w.ListEntitiesForPolicy, &iam.ListEntitiesForPolicyInput{PolicyArn: new(w.arn("policy/none"))}), "NoSuchEntity: Policy " + w.arn("policy/none") + " was not found."},
	})
}

func TestPolicyTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arn := w.managed(t, "p", allow("s3:*", "*"))
	tag := func(kv ...string) func() string {
		in := &iam.TagPolicyInput{PolicyArn: &arn}
		for i := 0; i < len(kv); i += 2 {
			in.Tags = append(in.Tags, types.Tag{Key: &kv[i], Value: &kv[i+1]})
		}
		return check.Try(w.TagPolicy, in)
	}
	list := func() string {
		text := ""
		in := &iam.ListPolicyTagsInput{PolicyArn: &arn, MaxItems: new(int32(1))}
		for {
			page := check.Must(t, w.ListPolicyTags, in)
			for _, tag := range page.Tags {
				text += *tag.Key + "=" + *tag.Value + " "
			}
			if !page.IsTruncated {
				return text
			}
			in.Marker = page.Marker
		}
	}
	long := strings.Repeat("ü", 128)
	check.Run(t, []check.Rule{
		{"none", list, ""},
		{"two", tag("b", "1", "a", "2"), "ok"},
		{"by key", list, "a=2 b=1 "},
		{"keys have no case", tag("B", "3"), "ok"},
		{"the new key stays", list, "a=2 B=3 "},
		{"a long key", tag(long, "x"), "ok"},
		{"its marker is short enough", list, "a=2 B=3 " + long + "=x "},
		{"twice", tag("c", "1", "C", "2"), "InvalidInput: Duplicate tag keys found. Please note that Tag keys are case insensitive."},
		{"untag", check.Try(w.UntagPolicy, &iam.UntagPolicyInput{PolicyArn: &arn, TagKeys: []string{"A", long, "nobody"}}), "ok"},
		{"one is left", list, "B=3 "},
		{"of AWS", check.Try(w.ListPolicyTags, &iam.ListPolicyTagsInput{PolicyArn: new(administrator)}), "ok"},
		{"of none", check.Try(w.ListPolicyTags, &iam.ListPolicyTagsInput{PolicyArn: new(w.arn("policy/none"))}), "NoSuchEntity: Policy " + w.arn("policy/none") + " was not found."},
	})
}

// What a policy of the caller is about: the ARN with its path, the tags of the policy and of the
// request, and the condition keys of IAM.
func TestPolicyAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	blue := `"Condition":{"StringEquals":{"aws:ResourceTag/team":"blue"}}`
	ana := w.user(t, "ana",
		allow("iam:CreatePolicy", w.arn("policy/dev/*")),
		allow("iam:TagPolicy", w.arn("policy/dev/*"), `"Condition":{"StringEquals":{"aws:RequestTag/team":"blue"},"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}`),
		allow("iam:*PolicyVersion*", "*", blue),
		allow("iam:GetPolicy", "*", blue),
		allow("iam:UntagPolicy", "*", `"Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["old"]}}`),
		allow("iam:AttachUserPolicy", w.arn("user/ben"), `"Condition":{"ArnEquals":{"iam:PolicyARN":"`+w.arn("policy/dev/*")+`"}}`),
		allow("iam:PutUserPolicy", "*", `"Condition":{"StringEquals":{"iam:PermissionsBoundary":"`+readOnly+`"}}`),
	)
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ben"), PermissionsBoundary: new(readOnly)})
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("cem"), PermissionsBoundary: new(administrator)})
	some := document(allow("s3:*", "*"))
	red := w.managed(t, "red", allow("s3:*", "*"))
	denied := func(action, resource string) string {
		return "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:" + action + " on resource: " + resource + " because no identity-based policy allows the iam:" + action + " action"
	}
	team := func(value string, more ...types.Tag) []types.Tag {
		return append([]types.Tag{{Key: new("team"), Value: &value}}, more...)
	}
	mine := w.arn("policy/dev/mine")
	check.Run(t, []check.Rule{
		{"on another path", check.Try(ana.CreatePolicy, &iam.CreatePolicyInput{PolicyName: new("x"), PolicyDocument: &some}), denied("CreatePolicy", "policy x")},
		{"with a tag that is not allowed", check.Try(ana.CreatePolicy, &iam.CreatePolicyInput{PolicyName: new("mine"), Path: new("/dev/"), PolicyDocument: &some, Tags: team("red")}), denied("TagPolicy", "policy mine")},
		{"with tags, of which one is allowed", check.Try(ana.CreatePolicy, &iam.CreatePolicyInput{PolicyName: new("mine"), Path: new("/dev/"), PolicyDocument: &some, Tags: team("blue", types.Tag{Key: new("x"), Value: new("")})}), denied("TagPolicy", "policy mine")},
		{"with the one", check.Try(ana.CreatePolicy, &iam.CreatePolicyInput{PolicyName: new("mine"), Path: new("/dev/"), PolicyDocument: &some, Tags: team("blue")}), "ok"},
		{"tagged blue", check.Try(ana.GetPolicy, &iam.GetPolicyInput{PolicyArn: &mine}), "ok"},
		{"not tagged", check.Try(ana.GetPolicy, &iam.GetPolicyInput{PolicyArn: &red}), denied("GetPolicy", "policy "+red)},
		{"not there, which is not told", check.Try(ana.GetPolicy, &iam.GetPolicyInput{PolicyArn: new(w.arn("policy/none"))}), denied("GetPolicy", "policy "+w.arn("policy/none"))},
		{"a new version of a blue one", check.Try(ana.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: &mine, PolicyDocument: &some, SetAsDefault: true}), "ok"},
		{"of another", check.Try(ana.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: &red, PolicyDocument: &some}), denied("CreatePolicyVersion", "policy "+red)},
		{"tag", check.Try(ana.TagPolicy, &iam.TagPolicyInput{PolicyArn: &mine, Tags: team("green")}), denied("TagPolicy", "policy "+mine)},
		{"untag", check.Try(ana.UntagPolicy, &iam.UntagPolicyInput{PolicyArn: &mine, TagKeys: []string{"team"}}), denied("UntagPolicy", "policy "+mine)},
		{"untag what may be", check.Try(ana.UntagPolicy, &iam.UntagPolicyInput{PolicyArn: &mine, TagKeys: []string{"old"}}), "ok"},
		{"attach what may be", check.Try(ana.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("ben"), PolicyArn: &mine}), "ok"},
		{"attach to another", check.Try(ana.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("cem"), PolicyArn: &mine}), denied("AttachUserPolicy", "user cem")},
		{"attach another", check.Try(ana.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("ben"), PolicyArn: &red}), denied("AttachUserPolicy", "user ben")},
		{"under the boundary", check.Try(ana.PutUserPolicy, &iam.PutUserPolicyInput{UserName: new("ben"), PolicyName: new("p"), PolicyDocument: &some}), "ok"},
		{"under another", check.Try(ana.PutUserPolicy, &iam.PutUserPolicyInput{UserName: new("cem"), PolicyName: new("p"), PolicyDocument: &some}), denied("PutUserPolicy", "user cem")},
		{"under none", check.Try(ana.PutUserPolicy, &iam.PutUserPolicyInput{UserName: new("ana"), PolicyName: new("p"), PolicyDocument: &some}), denied("PutUserPolicy", "user ana")},
	})
}

func TestAWSManagedPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	listed := check.Must(t, w.ListPolicies, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeAws}).Policies
	check.Equal(t, "policies", len(listed), 9)
	ids := map[string]bool{}
	for _, p := range listed {
		got := check.Must(t, w.GetPolicy, &iam.GetPolicyInput{PolicyArn: p.Arn}).Policy
		check.Equal(t, "id of "+*p.PolicyName, *got.PolicyId, *p.PolicyId)
		check.Equal(t, "a description", got.Description != nil && *got.Description != "", true)
		v := check.Must(t, w.GetPolicyVersion, &iam.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: p.DefaultVersionId}).PolicyVersion
		if _, err := policy.Parse([]byte(plain(t, v.Document)), policy.Identity); err != nil {
			t.Errorf("%s: %v", *p.PolicyName, err)
		}
		if ids[*p.PolicyId] || !strings.HasPrefix(*p.PolicyId, "ANPA") || len(*p.PolicyId) != 21 || got.UpdateDate.Before(*got.CreateDate) || !v.CreateDate.Equal(*got.UpdateDate) {
			t.Errorf("%s: %+v", *p.PolicyName, got)
		}
		ids[*p.PolicyId] = true
	}
}
