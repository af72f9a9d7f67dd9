package iam_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	iamapi "coffer/internal/api/iam"
	"coffer/internal/coffertest/check"
	coffer "coffer/internal/iam"
	"coffer/internal/table"
)

const bucket = "arn:aws:s3:::bucket/key"

func deny(action, resource string, more ...string) string {
	return strings.Replace(allow(action, resource, more...), `"Allow"`, `"Deny"`, 1)
}

func entry(key string, kind types.ContextKeyTypeEnum, values ...string) types.ContextEntry {
	return types.ContextEntry{ContextKeyName: &key, ContextKeyType: kind, ContextKeyValues: values}
}

// told is what a simulation says of one action on one resource.
func told(r types.EvaluationResult) string {
	var parts []string
	add := func(name string, values ...string) { parts = append(parts, name+"="+strings.Join(values, ",")) }
	var matched []string
	for _, m := range r.MatchedStatements {
		matched = append(matched, *m.SourcePolicyId)
	}
	parts = append(parts, string(r.EvalDecision))
	if len(matched) > 0 {
		add("by", matched...)
	}
	missing := r.MissingContextValues
	for _, s := range r.ResourceSpecificResults {
		missing = append(missing, s.MissingContextValues...)
	}
	if len(missing) > 0 {
		add("missing", missing...)
	}
	if d := r.PermissionsBoundaryDecisionDetail; d != nil {
		add("boundary", fmt.Sprint(d.AllowedByPermissionsBoundary))
	}
	if d := r.OrganizationsDecisionDetail; d != nil {
		add("organization", fmt.Sprint(d.AllowedByOrganizations))
	}
	for _, k := range []string{"IAM Policy", "Resource Policy"} {
		if v, ok := r.EvalDecisionDetails[k]; ok {
			add(k, string(v))
		}
	}
	return strings.Join(parts, " ")
}

func TestSimulateCustomPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const secret = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-AbCdEf"
	conditional := func(operator, key, value string) []string {
		return []string{document(allow("s3:GetObject", "*", `"Condition":{"`+operator+`":{"`+key+`":"`+value+`"}}`))}
	}
	ana := "arn:aws:iam::111122223333:user/ana"
	resourcePolicy := func(principal, action, more string) *string {
		return new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"` + action + `"` + more + `}]}`)
	}
	everything := `,"Resource":"*"`
	for _, tc := range []struct {
		rule string
		in   iam.SimulateCustomPolicyInput
		want string
	}{
		{"nothing", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:Put*", "*"))}}, "implicitDeny"},
		{"allowed", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "*"))}}, "allowed by=PolicyInputList.1"},
		{"on a resource", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "arn:aws:s3:::bucket/*"))}, ResourceArns: []string{bucket}}, "allowed by=PolicyInputList.1"},
		{"not on all", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "arn:aws:s3:::bucket/*"))}}, "implicitDeny"},
		{"by several", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "*")), document(allow("ec2:*", "*")), document(allow("*", "*"), allow("s3:Get*", "*"))}}, "allowed by=PolicyInputList.1,PolicyInputList.3,PolicyInputList.3"},
		{"denied", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "*")), document(deny("s3:Get*", "*"))}}, "explicitDeny by=PolicyInputList.2"},
		{"within a boundary", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "*"))}, PermissionsBoundaryPolicyInputList: []string{document(allow("s3:Get*", "*"))}}, "allowed by=PolicyInputList.1 boundary=true"},
		{"beyond it", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "*"))}, PermissionsBoundaryPolicyInputList: []string{document(allow("ec2:*", "*"))}}, "implicitDeny boundary=false"},
		{"denied by it", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "*"))}, PermissionsBoundaryPolicyInputList: []string{document(allow("s3:*", "*"), deny("s3:GetObject", "*"))}}, "explicitDeny by=PermissionsBoundaryPolicyInputList.1 boundary=false"},

		{"a key is missing", iam.SimulateCustomPolicyInput{PolicyInputList: conditional("StringEquals", "aws:SourceVpce", "vpce-1")}, "implicitDeny missing=aws:SourceVpce"},
		{"on a resource, too", iam.SimulateCustomPolicyInput{PolicyInputList: conditional("StringEquals", "aws:SourceVpce", "vpce-1"), ResourceArns: []string{bucket}}, "implicitDeny missing=aws:SourceVpce"},
		{"a variable is missing", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "arn:aws:s3:::bucket/${aws:UserName}/*"))}, ResourceArns: []string{bucket}}, "implicitDeny missing=aws:UserName"},
		{"given", iam.SimulateCustomPolicyInput{PolicyInputList: conditional("StringEquals", "aws:SourceVpce", "vpce-1"), ContextEntries: []types.ContextEntry{entry("AWS:sourcevpce", types.ContextKeyTypeEnumString, "vpce-1")}}, "allowed by=PolicyInputList.1"},
		{"another value", iam.SimulateCustomPolicyInput{PolicyInputList: conditional("StringEquals", "aws:SourceVpce", "vpce-1"), ContextEntries: []types.ContextEntry{entry("aws:SourceVpce", types.ContextKeyTypeEnumString, "vpce-2")}}, "implicitDeny"},
		{"a number", iam.SimulateCustomPolicyInput{PolicyInputList: conditional("NumericLessThan", "s3:max-keys", "10"), ContextEntries: []types.ContextEntry{entry("s3:max-keys", types.ContextKeyTypeEnumNumeric, "9.5")}}, "allowed by=PolicyInputList.1"},
		{"a time", iam.SimulateCustomPolicyInput{PolicyInputList: conditional("DateGreaterThan", "aws:CurrentTime", "2026-01-01T00:00:00Z"), ContextEntries: []types.ContextEntry{entry("aws:CurrentTime", types.ContextKeyTypeEnumDate, "2025-12-31T00:00:00Z")}}, "implicitDeny"},
		{"an address", iam.SimulateCustomPolicyInput{PolicyInputList: conditional("IpAddress", "aws:SourceIp", "10.0.0.0/8"), ContextEntries: []types.ContextEntry{entry("aws:SourceIp", types.ContextKeyTypeEnumIp, "10.1.2.3")}}, "allowed by=PolicyInputList.1"},
		{"a truth", iam.SimulateCustomPolicyInput{PolicyInputList: conditional("Bool", "aws:SecureTransport", "true"), ContextEntries: []types.ContextEntry{entry("aws:SecureTransport", types.ContextKeyTypeEnumBoolean, "True")}}, "allowed by=PolicyInputList.1"},
		{"bytes", iam.SimulateCustomPolicyInput{PolicyInputList: conditional("BinaryEquals", "x:bytes", "QUJD"), ContextEntries: []types.ContextEntry{entry("x:bytes", types.ContextKeyTypeEnumBinary, "QUJD")}}, "allowed by=PolicyInputList.1"},
		{"a list", iam.SimulateCustomPolicyInput{PolicyInputList: conditional("ForAllValues:StringEquals", "aws:TagKeys", "a"), ContextEntries: []types.ContextEntry{entry("aws:TagKeys", types.ContextKeyTypeEnumStringList, "a", "b")}}, "implicitDeny"},

		{"the caller has a name", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "arn:aws:s3:::${aws:username}/*"))}, ResourceArns: []string{"arn:aws:s3:::ana/x"}, CallerArn: &ana}, "allowed by=PolicyInputList.1"},
		{"a resource policy that names it", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("ec2:*", "*"))}, ResourceArns: []string{bucket}, CallerArn: &ana, ResourcePolicy: resourcePolicy(`{"AWS":"`+ana+`"}`, "s3:*", everything)}, "allowed by=ResourcePolicy"},
		{"the account", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("ec2:*", "*"))}, ResourceArns: []string{bucket}, CallerArn: &ana, ResourcePolicy: resourcePolicy(`{"AWS":"111122223333"}`, "s3:*", everything)}, "implicitDeny"},
		{"another account's bucket", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "*"))}, ResourceArns: []string{bucket}, CallerArn: &ana, ResourceOwner: new("arn:aws:iam::444455556666:root")}, "implicitDeny IAM Policy=allowed Resource Policy=implicitDeny"},
		{"that allows", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "*"))}, ResourceArns: []string{bucket}, CallerArn: &ana, ResourceOwner: new("arn:aws:iam::444455556666:root"), ResourcePolicy: resourcePolicy(`{"AWS":"111122223333"}`, "s3:*", everything)}, "allowed by=PolicyInputList.1,ResourcePolicy IAM Policy=allowed Resource Policy=allowed"},
		{"without an Allow of its own", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("ec2:*", "*"))}, ResourceArns: []string{bucket}, CallerArn: &ana, ResourceOwner: new("arn:aws:iam::444455556666:root"), ResourcePolicy: resourcePolicy(`{"AWS":"`+ana+`"}`, "s3:*", everything)}, "implicitDeny IAM Policy=implicitDeny Resource Policy=allowed"},
		{"another account's secret", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("*", "*"))}, ActionNames: []string{"secretsmanager:GetSecretValue"}, ResourceArns: []string{strings.Replace(secret, "1111", "9999", 1)}, CallerArn: &ana}, "implicitDeny IAM Policy=allowed Resource Policy=implicitDeny"},

		{"a key policy governs", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("*", "*"))}, ActionNames: []string{"kms:Decrypt"}, ResourceArns: []string{"arn:aws:kms:eu-west-1:111122223333:key/1"}, CallerArn: &ana, ResourcePolicy: resourcePolicy(`{"AWS":"arn:aws:iam::111122223333:user/ben"}`, "kms:*", "")}, "implicitDeny"},
		{"and delegates", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("*", "*"))}, ActionNames: []string{"kms:Decrypt"}, ResourceArns: []string{"arn:aws:kms:eu-west-1:111122223333:key/1"}, CallerArn: &ana, ResourcePolicy: resourcePolicy(`{"AWS":"111122223333"}`, "kms:*", "")}, "allowed by=PolicyInputList.1,ResourcePolicy"},
		{"a trust policy governs", iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("*", "*"))}, ActionNames: []string{"sts:AssumeRole"}, ResourceArns: []string{"arn:aws:iam::111122223333:role/app"}, CallerArn: &ana, ResourcePolicy: resourcePolicy(`{"AWS":"arn:aws:iam::111122223333:user/ben"}`, "sts:AssumeRole", "")}, "implicitDeny"},
	} {
		if tc.in.ActionNames == nil {
			tc.in.ActionNames = []string{"s3:GetObject"}
		}
		results := check.Must(t, w.SimulateCustomPolicy, &tc.in).EvaluationResults
		if len(results) != 1 {
			t.Fatalf("%s: %d results", tc.rule, len(results))
		}
		check.Equal(t, tc.rule, told(results[0]), tc.want)
		check.Equal(t, "action", *results[0].EvalActionName, tc.in.ActionNames[0])
		specific := results[0].ResourceSpecificResults
		if len(tc.in.ResourceArns) == 0 {
			check.Equal(t, "resource", *results[0].EvalResourceName, "*")
			check.Equal(t, "no specific result", len(specific), 0)
			continue
		}
		check.Equal(t, "resource", *results[0].EvalResourceName, tc.in.ResourceArns[0])
		check.Equal(t, "specific result", len(specific) == 1 && *specific[0].EvalResourceName == tc.in.ResourceArns[0] && specific[0].EvalResourceDecision == results[0].EvalDecision, true)
	}
}

// Statements are found where AWS says they are: from the end of what is before
// one to its own end.
func TestSimulatedPositions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tc := range []struct{ document, want string }{
		{`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, "1:38-1:84"},
		{`{"Version": "2012-10-17", "Statement": {"Effect":"Allow","Action":"*","Resource":"*"}}`, "1:39-1:86"},
		{"{\n    \"Version\": \"2012-10-17\",\n    \"Statement\": [\n        {\n            \"Effect\": \"Allow\",\n            \"Action\": \"*\",\n            \"Resource\": \"*\"\n        }\n    ]\n}", "3:19-8:10"},
		{"{\"Statement\":[{\"Sid\":\"A\",\"Effect\":\"Allow\",\"Action\":\"ec2:*\",\"Resource\":\"*\"},\r\n\t{\"Effect\":\"Allow\",\"Action\":\"s3:*\",\"Resource\":\"arn:aws:s3:::\u00fc*\"},\n{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}]}", "2:66-3:47"},
	} {
		in := &iam.SimulateCustomPolicyInput{PolicyInputList: []string{tc.document}, ActionNames: []string{"s3:GetObject"}, ResourceArns: []string{bucket}}
		matched := check.Must(t, w.SimulateCustomPolicy, in).EvaluationResults[0].MatchedStatements
		if len(matched) != 1 {
			t.Fatalf("%s: %d statements", tc.document, len(matched))
		}
		m := matched[0]
		check.Equal(t, tc.document, fmt.Sprintf("%d:%d-%d:%d", m.StartPosition.Line, m.StartPosition.Column, m.EndPosition.Line, m.EndPosition.Column), tc.want)
		check.Equal(t, "type", m.SourcePolicyType, "IAM Policy")
	}
}

func TestSimulatePrincipalPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reads := w.managed(t, "reads", allow("secretsmanager:GetSecretValue", "*"))
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana"), Path: new("/dev/"), Tags: tags("team=blue")})
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ben"), Tags: tags("team=red"), PermissionsBoundary: new(readOnly)})
	check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("writers")})
	check.Must(t, w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new("writers"), UserName: new("ana")})
	check.Must(t, w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new("writers"), UserName: new("ben")})
	check.Must(t, w.PutGroupPolicy, &iam.PutGroupPolicyInput{GroupName: new("writers"), PolicyName: new("put_it"), PolicyDocument: new(document(allow("secretsmanager:PutSecretValue", "*", `"Condition":{"StringEquals":{"aws:PrincipalTag/team":"blue"}}`)))})
	check.Must(t, w.AttachUserPolicy, &iam.AttachUserPolicyInput{UserName: new("ana"), PolicyArn: &reads})
	check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: new("app"), AssumeRolePolicyDocument: new(trust(w.account))})
	check.Must(t, w.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: new("app"), PolicyName: new("own"), PolicyDocument: new(document(allow("secretsmanager:*", "*"), deny("secretsmanager:DeleteSecret", "*")))})
	check.Must(t, w.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: new("app"), PolicyArn: new(administrator)})
	ana, ben, group, role := w.arn("user/dev/ana"), w.arn("user/ben"), w.arn("group/writers"), w.arn("role/app")
	for _, tc := range []struct {
		rule string
		in   iam.SimulatePrincipalPolicyInput
		want string
	}{
		{"a managed policy", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ana, ActionNames: []string{"secretsmanager:GetSecretValue"}}, "allowed by=reads"},
		{"of the group", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ana, ActionNames: []string{"secretsmanager:PutSecretValue"}}, "allowed by=group_writers_put_it"},
		{"none", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ana, ActionNames: []string{"secretsmanager:ListSecrets"}}, "implicitDeny"},
		{"one more", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ana, ActionNames: []string{"secretsmanager:ListSecrets"}, PolicyInputList: []string{document(allow("*", "*"))}}, "allowed by=PolicyInputList.1"},
		{"tags of another", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ben, ActionNames: []string{"secretsmanager:PutSecretValue"}}, "implicitDeny boundary=false"},
		{"a boundary", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ben, ActionNames: []string{"secretsmanager:GetSecretValue"}, PolicyInputList: []string{document(allow("*", "*"))}}, "implicitDeny boundary=false"},
		{"another boundary in its place", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ben, ActionNames: []string{"secretsmanager:GetSecretValue"}, PolicyInputList: []string{document(allow("*", "*"))}, PermissionsBoundaryPolicyInputList: []string{document(allow("*", "*"))}}, "allowed by=PolicyInputList.1 boundary=true"},
		{"ben with ana's policies", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ana, CallerArn: &ben, ActionNames: []string{"secretsmanager:PutSecretValue"}}, "implicitDeny"},
		{"ana with ben's", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &ben, CallerArn: &ana, ActionNames: []string{"secretsmanager:PutSecretValue"}}, "implicitDeny boundary=false"},
		{"a group has no tags", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &group, ActionNames: []string{"secretsmanager:PutSecretValue"}}, "implicitDeny missing=aws:PrincipalTag/team"},
		{"a group", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &group, ActionNames: []string{"secretsmanager:PutSecretValue"}, ContextEntries: []types.ContextEntry{entry("aws:PrincipalTag/team", types.ContextKeyTypeEnumString, "blue")}}, "allowed by=group_writers_put_it"},
		{"a role", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &role, ActionNames: []string{"secretsmanager:GetSecretValue"}}, "allowed by=role_app_own,AdministratorAccess"},
		{"a role that is denied", iam.SimulatePrincipalPolicyInput{PolicySourceArn: &role, ActionNames: []string{"secretsmanager:DeleteSecret"}}, "explicitDeny by=role_app_own"},
	} {
		results := check.Must(t, w.SimulatePrincipalPolicy, &tc.in).EvaluationResults
		check.Equal(t, tc.rule, told(results[0]), tc.want)
	}
	// AWS's own example: AdministratorAccess, as AWS formats it.
	m := check.Must(t, w.SimulatePrincipalPolicy, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &role, ActionNames: []string{"s3:GetObject"}}).EvaluationResults[0].MatchedStatements[0]
	check.Equal(t, "position", fmt.Sprintf("%d:%d-%d:%d", m.StartPosition.Line, m.StartPosition.Column, m.EndPosition.Line, m.EndPosition.Column), "3:17-8:6")
	check.Run(t, []check.Rule{
		{"nobody", check.Try(w.SimulatePrincipalPolicy, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new(w.arn("user/nobody")), ActionNames: []string{"s3:GetObject"}}), "NoSuchEntity: The user with name nobody cannot be found."},
		{"on another path", check.Try(w.SimulatePrincipalPolicy, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new(w.arn("user/ana")), ActionNames: []string{"s3:GetObject"}}), "NoSuchEntity: The user with name ana cannot be found."},
		{"no role", check.Try(w.SimulatePrincipalPolicy, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new(w.arn("role/nobody")), ActionNames: []string{"s3:GetObject"}}), "NoSuchEntity: The role with name nobody cannot be found."},
		{"no group", check.Try(w.SimulatePrincipalPolicy, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new(w.arn("group/nobody")), ActionNames: []string{"s3:GetObject"}}), "NoSuchEntity: The group with name nobody cannot be found."},
		{"the root", check.Try(w.SimulatePrincipalPolicy, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new(w.arn("root")), ActionNames: []string{"s3:GetObject"}}), "InvalidInput: Invalid Entity Arn: " + w.arn("root") + " does not clearly define entity type and name."},
		{"a session", check.Try(w.SimulatePrincipalPolicy, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new("arn:aws:sts::" + w.account + ":assumed-role/app/x"), ActionNames: []string{"s3:GetObject"}}), "InvalidInput: Invalid Entity Arn: arn:aws:sts::" + w.account + ":assumed-role/app/x does not clearly define entity type and name."},
		{"another account", check.Try(w.SimulatePrincipalPolicy, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new("arn:aws:iam::999999999999:user/ana"), ActionNames: []string{"s3:GetObject"}}), "AccessDenied: User: " + w.arn("root") + " is not authorized to perform: iam:SimulatePrincipalPolicy on resource: arn:aws:iam::999999999999:user/ana because no resource-based policy allows the iam:SimulatePrincipalPolicy action"},
	})
}

func TestSimulationRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	some := []string{document(allow("s3:*", "*"))}
	const get = "s3:GetObject"
	simulate := func(change func(*iam.SimulateCustomPolicyInput)) func() string {
		in := &iam.SimulateCustomPolicyInput{PolicyInputList: some, ActionNames: []string{get}}
		change(in)
		return check.Try(w.SimulateCustomPolicy, in)
	}
	type in = iam.SimulateCustomPolicyInput
	context := func(e ...types.ContextEntry) func() string { return simulate(func(i *in) { i.ContextEntries = e }) }
	action := func(name string) func() string { return simulate(func(i *in) { i.ActionNames = []string{name} }) }
	ec2 := func(kinds ...string) (arns []string) {
		for _, k := range kinds {
			arns = append(arns, "arn:aws:ec2:eu-west-1:111122223333:"+k+"/x")
		}
		return arns
	}
	check.Run(t, []check.Rule{
		{"a policy that is none", simulate(func(i *in) { i.PolicyInputList = []string{some[0], `{`} }), "InvalidInput: Invalid policy PolicyInputList.2: This policy contains invalid Json"},
		{"a boundary that is none", simulate(func(i *in) { i.PermissionsBoundaryPolicyInputList = []string{`{}`} }), "InvalidInput: Invalid policy PermissionsBoundaryPolicyInputList.1: Syntax errors in policy."},
		{"two boundaries", simulate(func(i *in) { i.PermissionsBoundaryPolicyInputList = []string{some[0], some[0]} }), "InvalidInput: Only one permissions boundary policy can be simulated."},
		{"a resource policy without caller", simulate(func(i *in) { i.ResourcePolicy = new(trust("111122223333")) }), "InvalidInput: CallerArn is required when a resource policy is simulated."},
		{"a resource policy that is none", simulate(func(i *in) { i.ResourcePolicy, i.CallerArn = &some[0], new("arn:aws:iam::111122223333:user/ana") }), "InvalidInput: Invalid policy ResourcePolicy: Syntax errors in policy."},
		{"a role as caller", simulate(func(i *in) { i.CallerArn = new("arn:aws:iam::111122223333:role/ana") }), "InvalidInput: Invalid caller ARN: arn:aws:iam::111122223333:role/ana is not an IAM user."},
		{"an owner that is none", simulate(func(i *in) { i.ResourceOwner = new("111122223333") }), "InvalidInput: Invalid resource owner: 111122223333"},
		{"an action without service", action("GetObject"), "InvalidInput: Invalid Entity Action: GetObject"},
		{"wildcards in an action", action("s3:Get*"), "InvalidInput: Invalid Entity Action: s3:Get*"},
		{"two colons", action("s3:Get:Object"), "InvalidInput: Invalid Entity Action: s3:Get:Object"},
		{"a resource that is none", simulate(func(i *in) { i.ResourceArns = []string{"bucket"} }), "InvalidInput: Invalid resource ARN: bucket"},
		{"an account that is none", simulate(func(i *in) { i.ResourceArns = []string{"arn:aws:sqs:*:*:x"} }), "InvalidInput: Invalid resource ARN: arn:aws:sqs:*:*:x"},
		{"no number", context(entry("a:key", types.ContextKeyTypeEnumNumeric, "x")), "InvalidInput: Context key a:key has a value that is not of type numeric."},
		{"no time", context(entry("a:key", types.ContextKeyTypeEnumDateList, "x")), "InvalidInput: Context key a:key has a value that is not of type date."},
		{"no truth", context(entry("a:key", types.ContextKeyTypeEnumBoolean, "yes")), "InvalidInput: Context key a:key has a value that is not of type boolean."},
		{"no address", context(entry("a:key", types.ContextKeyTypeEnumIpList, "10.0.0.1", "home")), "InvalidInput: Context key a:key has a value that is not of type ip."},
		{"no base64", context(entry("a:key", types.ContextKeyTypeEnumBinary, "%")), "InvalidInput: Context key a:key has a value that is not of type binary."},
		{"several values for one", context(entry("a:key", types.ContextKeyTypeEnumString, "a", "b")), "InvalidInput: Context key a:key of type string needs one value."},
		{"a key twice", context(entry("a:key", types.ContextKeyTypeEnumString, "a"), entry("A:Key", types.ContextKeyTypeEnumString, "b")), "InvalidInput: Context key A:Key is given twice."},
		{"an unknown handling", simulate(func(i *in) { i.ResourceHandlingOption = new("EC2") }), "InvalidInput: Invalid resource handling option: EC2"},
		{"a handling without its resources", simulate(func(i *in) {
			i.ResourceHandlingOption, i.ResourceArns = new("EC2-VPC-EBS"), ec2("instance", "image", "security-group", "network-interface")
		}), "InvalidInput: EC2-VPC-EBS needs a resource of type volume."},
		{"too much of policies", simulate(func(i *in) { i.PolicyInputList = []string{ofLength(70000), ofLength(70000)} }), "InvalidInput: The policies are longer than 131072 bytes together."},
		{"too much to compare", simulate(func(i *in) {
			i.PolicyInputList = []string{ofLength(120000)}
			i.ContextEntries = []types.ContextEntry{entry("a:key", types.ContextKeyTypeEnumString, strings.Repeat("x", 100000))}
		}), "InvalidInput: The policies, resources and context values are too long to be simulated together."},
		{"a marker that is none", simulate(func(i *in) { i.Marker = new("x") }), "ValidationError: Invalid Marker."},
	})

	// Resources that are needed together are one result: all of them must be allowed.
	launch := &iam.SimulateCustomPolicyInput{
		PolicyInputList: []string{document(allow("ec2:*", "*"), deny("ec2:*", "arn:aws:ec2:*:*:subnet/*"))}, ActionNames: []string{"ec2:RunInstances"},
		ResourceHandlingOption: new("EC2-VPC-InstanceStore"), ResourceArns: ec2("instance", "image", "security-group", "network-interface"),
	}
	check.Equal(t, "launch", told(check.Must(t, w.SimulateCustomPolicy, launch).EvaluationResults[0]), "allowed by=PolicyInputList.1,PolicyInputList.1,PolicyInputList.1,PolicyInputList.1")
	launch.ResourceHandlingOption, launch.ResourceArns = new("EC2-VPC-InstanceStore-Subnet"), append(ec2("subnet"), launch.ResourceArns...)
	out := check.Must(t, w.SimulateCustomPolicy, launch).EvaluationResults
	check.Equal(t, "one result", len(out) == 1 && len(out[0].ResourceSpecificResults) == 5 && *out[0].EvalResourceName == "*", true)
	check.Equal(t, "a subnet is denied", out[0].EvalDecision, types.PolicyEvaluationDecisionTypeExplicitDeny)
	check.Equal(t, "an image is not", out[0].ResourceSpecificResults[2].EvalResourceDecision, types.PolicyEvaluationDecisionTypeAllowed)

	// Pages: each action with each resource, in order.
	in2 := &iam.SimulateCustomPolicyInput{PolicyInputList: some, ActionNames: []string{"s3:A", "s3:B", "ec2:C"}, ResourceArns: []string{"arn:aws:s3:::a", "arn:aws:s3:::b"}, MaxItems: new(int32(4))}
	var got []string
	for {
		page := check.Must(t, w.SimulateCustomPolicy, in2)
		for _, r := range page.EvaluationResults {
			got = append(got, *r.EvalActionName+(*r.EvalResourceName)[12:]+" "+string(r.EvalDecision))
		}
		if in2.Marker = page.Marker; !page.IsTruncated {
			break
		}
		check.Equal(t, "a full page", len(page.EvaluationResults), 4)
	}
	check.Equal(t, "pages", strings.Join(got, ", "), "s3:A:a allowed, s3:A:b allowed, s3:B:a allowed, s3:B:b allowed, ec2:C:a implicitDeny, ec2:C:b implicitDeny")
}

// Work is bounded by page, whatever is asked for: it goes on with the next.
func TestSimulationOfMuchComesInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := &iam.SimulateCustomPolicyInput{PolicyInputList: []string{ofLength(100000)}, MaxItems: new(int32(1000))}
	for i := range 40 {
		in.ActionNames = append(in.ActionNames, fmt.Sprintf("s3:Do%d", i))
		in.ResourceArns = append(in.ResourceArns, fmt.Sprintf("arn:aws:s3:::%s%d", strings.Repeat("b", 900), i))
	}
	first := check.Must(t, w.SimulateCustomPolicy, in)
	if n := len(first.EvaluationResults); n == 0 || n > 10 || !first.IsTruncated {
		t.Errorf("a page of %d, truncated %v", n, first.IsTruncated)
	}
	in.Marker = first.Marker
	check.Equal(t, "the next begins behind it", *check.Must(t, w.SimulateCustomPolicy, in).EvaluationResults[0].EvalResourceName, in.ResourceArns[len(first.EvaluationResults)])
}

// What is simulated is what happens.
func TestSimulationAgreesWithCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := check.Must(t, w.SecretsManager(t).CreateSecret, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: new("x")})
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana"), Tags: tags("team=blue")})
	sm := secretsmanager.NewFromConfig(w.ConfigFor("eu-west-1", w.keys(t, "ana")))
	for _, statements := range [][]string{
		{allow("secretsmanager:*", "*")},
		{allow("secretsmanager:GetSecretValue", *made.ARN)},
		{allow("secretsmanager:GetSecretValue", *made.ARN+"x")},
		{allow("secretsmanager:*", "*"), deny("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:*:*:secret:s-??????")},
		{allow("secretsmanager:*", "*", `"Condition":{"StringEquals":{"aws:PrincipalTag/team":"blue"}}`)},
		{allow("secretsmanager:*", "*", `"Condition":{"StringNotEquals":{"aws:username":"ana"}}`)},
		{allow("secretsmanager:*", "*", `"Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/an?"}}`)},
	} {
		check.Must(t, w.PutUserPolicy, &iam.PutUserPolicyInput{UserName: new("ana"), PolicyName: new("own"), PolicyDocument: new(document(statements...))})
		simulated := check.Must(t, w.SimulatePrincipalPolicy, &iam.SimulatePrincipalPolicyInput{
			PolicySourceArn: new(w.arn("user/ana")), ActionNames: []string{"secretsmanager:GetSecretValue"}, ResourceArns: []string{*made.ARN},
		}).EvaluationResults[0].EvalDecision
		called := check.Try(sm.GetSecretValue, &secretsmanager.GetSecretValueInput{SecretId: new("s")})()
		if (simulated == types.PolicyEvaluationDecisionTypeAllowed) != (called == "ok") || (simulated == types.PolicyEvaluationDecisionTypeExplicitDeny) != strings.Contains(called, "explicit deny") {
			t.Errorf("%v: simulated %s, called %s", statements, simulated, called)
		}
	}
}

func TestContextKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	condition := func(keys string) string { return `"Condition":{"StringLike":{` + keys + `}}` }
	first := document(allow("s3:*", "arn:aws:s3:::${aws:username}/${saml:sub, 'x'}/*", condition(`"aws:SourceVpce":"${aws:PrincipalTag/team}","AWS:USERNAME":"x"`)))
	second := document(deny("s3:*", "*", condition(`"aws:sourceVPCE":"x","aws:RequestTag/${aws:TagKeys}":"x"`)))
	keys := func(names []string) string { return strings.Join(names, " ") }
	got := check.Must(t, w.GetContextKeysForCustomPolicy, &iam.GetContextKeysForCustomPolicyInput{PolicyInputList: []string{first, second}}).ContextKeyNames
	check.Equal(t, "keys", keys(got), "aws:username saml:sub aws:SourceVpce aws:PrincipalTag/team aws:RequestTag/${aws:TagKeys}")
	check.Equal(t, "none", len(check.Must(t, w.GetContextKeysForCustomPolicy, &iam.GetContextKeysForCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "*"))}}).ContextKeyNames), 0)

	arn := w.managed(t, "p", allow("s3:*", "*", condition(`"s3:prefix":"x"`)))
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")})
	check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("g")})
	check.Must(t, w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new("g"), UserName: new("ana")})
	check.Must(t, w.AttachGroupPolicy, &iam.AttachGroupPolicyInput{GroupName: new("g"), PolicyArn: &arn})
	check.Must(t, w.PutUserPolicy, &iam.PutUserPolicyInput{UserName: new("ana"), PolicyName: new("own"), PolicyDocument: &first})
	of := func(source string, more ...string) string {
		names := check.Must(t, w.GetContextKeysForPrincipalPolicy, &iam.GetContextKeysForPrincipalPolicyInput{PolicySourceArn: new(w.arn(source)), PolicyInputList: more}).ContextKeyNames
		slices.Sort(names)
		return keys(names)
	}
	check.Equal(t, "of a user and its groups", of("user/ana"), "aws:PrincipalTag/team aws:SourceVpce aws:username s3:prefix saml:sub")
	check.Equal(t, "of a group and a policy", of("group/g", document(allow("s3:*", "*", condition(`"s3:max-keys":"1"`)))), "s3:max-keys s3:prefix")
	check.Run(t, []check.Rule{
		{"nobody", check.Try(w.GetContextKeysForPrincipalPolicy, &iam.GetContextKeysForPrincipalPolicyInput{PolicySourceArn: new(w.arn("role/nobody"))}), "NoSuchEntity: The role with name nobody cannot be found."},
		{"no policy", check.Try(w.GetContextKeysForCustomPolicy, &iam.GetContextKeysForCustomPolicyInput{PolicyInputList: []string{"[]"}}), "InvalidInput: Invalid policy PolicyInputList.1: Syntax errors in policy."},
	})
}

// Whose policies may be looked at is for policies to say.
func TestSimulationAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, "ana", allow("iam:SimulatePrincipalPolicy", w.arn("user/ana")), allow("iam:GetContextKeysForPrincipalPolicy", w.arn("role/*")))
	denied := func(action, on string) string {
		return "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:" + action + " on resource: " + on + " because no identity-based policy allows the iam:" + action + " action"
	}
	source := func(of string) *iam.SimulatePrincipalPolicyInput {
		return &iam.SimulatePrincipalPolicyInput{PolicySourceArn: new(w.arn(of)), ActionNames: []string{"s3:GetObject"}}
	}
	check.Run(t, []check.Rule{
		{"the own", check.Try(ana.SimulatePrincipalPolicy, source("user/ana")), "ok"},
		{"another's", check.Try(ana.SimulatePrincipalPolicy, source("user/ben")), denied("SimulatePrincipalPolicy", w.arn("user/ben"))},
		{"custom", check.Try(ana.SimulateCustomPolicy, &iam.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("*", "*"))}, ActionNames: []string{"s3:GetObject"}}), denied("SimulateCustomPolicy", "*")},
		{"keys", check.Try(ana.GetContextKeysForPrincipalPolicy, &iam.GetContextKeysForPrincipalPolicyInput{PolicySourceArn: new(w.arn("role/app"))}), "NoSuchEntity: The role with name app cannot be found."},
	})
}

// What the organisation of the account allows is part of the answer about its principals.
func TestSimulationWithinAnOrganization(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	err := b.db.Update(context.Background(), func(tx *table.Tx) error {
		main, _, err := coffer.CreateAccount(tx, "main", "aws", b.now)
		if err != nil {
			return err
		}
		if err := coffer.Accounts.Put(tx, &coffer.Account{ID: benchAccount, Name: "shop", Created: table.At(b.now)}); err != nil {
			return err
		}
		org, err := coffer.CreateOrganization(tx, main.ID, b.now)
		if err != nil {
			return err
		}
		if _, err := org.AddAccount(tx, benchAccount, "/", b.now); err != nil {
			return err
		}
		if _, _, err := org.PutControlPolicy(tx, "keep", "scp", "", document(deny("s3:DeleteBucket", "*"))); err != nil {
			return err
		}
		_, err = org.AttachControlPolicy(tx, "keep", "/")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	calls(b, iamapi.ListUsers, &iamapi.ListUsersInput{}) // loads what applies to the root: a transaction that writes does not
	calls(b, iamapi.CreateUser, &iamapi.CreateUserInput{UserName: new("ana")})
	calls(b, iamapi.PutUserPolicy, &iamapi.PutUserPolicyInput{UserName: new("ana"), PolicyName: new("own"), PolicyDocument: new(document(allow("s3:*", "*")))})
	actions := []string{"s3:GetObject", "s3:DeleteBucket", "ec2:RunInstances"}
	var got []string
	for _, r := range calls(b, iamapi.SimulatePrincipalPolicy, &iamapi.SimulatePrincipalPolicyInput{PolicySourceArn: new(arnOfBench("user/ana")), ActionNames: actions}).EvaluationResults {
		got = append(got, fmt.Sprint(*r.EvalDecision, " ", *r.OrganizationsDecisionDetail.AllowedByOrganizations, " ", len(r.MatchedStatements)))
	}
	check.Equal(t, "decisions", strings.Join(got, ", "), "allowed true 1, explicitDeny false 0, implicitDeny true 0")
	// Policies given as texts are of no account.
	for _, r := range calls(b, iamapi.SimulateCustomPolicy, &iamapi.SimulateCustomPolicyInput{PolicyInputList: []string{document(allow("s3:*", "*"))}, ActionNames: actions[:2]}).EvaluationResults {
		check.Equal(t, "custom", *r.EvalDecision+fmt.Sprint(r.OrganizationsDecisionDetail == nil), "allowedtrue")
	}
}
