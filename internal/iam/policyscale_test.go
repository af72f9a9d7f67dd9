package iam_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	iamapi "coffer/internal/api/iam"
	"coffer/internal/iam"
	"coffer/internal/table"
)

// usePolicies makes every policy of the crowd one that is used.
func (b *bench) usePolicies() {
	b.t.Helper()
	for from := 1; from < 5000; from += 20 {
		err := b.db.Update(context.Background(), func(tx *table.Tx) error {
			for i := from; i < min(from+20, 5000); i++ {
				u := &iam.PolicyUse{Account: benchAccount, ARN: fmt.Sprintf("arn:aws:iam::%s:policy/crowd%d", benchAccount, i), Attached: 1, Boundaries: 1}
				if err := iam.PolicyUses.Insert(tx, u); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// walkPolicies calls every operation on policies and identity providers.
func (b *bench) walkPolicies() {
	arn := func(resource string) *string { return new("arn:aws:iam::" + benchAccount + ":" + resource) }
	tag := []iamapi.Tag{{Key: new("a"), Value: new("1")}}
	two := new(int64(2))
	doc, path := new(document(allow("s3:*", "*", `"Condition":{"StringEquals":{"aws:username":"x"}}`))), new("/p/")
	u, g, r, name := new("ana"), new("devs"), new("deploy"), new("own")
	calls(b, iamapi.CreateUser, &iamapi.CreateUserInput{UserName: u, Path: path})
	calls(b, iamapi.CreateGroup, &iamapi.CreateGroupInput{GroupName: g, Path: path})
	calls(b, iamapi.CreateRole, &iamapi.CreateRoleInput{RoleName: r, Path: path, AssumeRolePolicyDocument: new(trust(benchAccount))})
	var arns []*string // enough of them for a page that is not the last
	for i := range 3 {
		arns = append(arns, calls(b, iamapi.CreatePolicy, &iamapi.CreatePolicyInput{PolicyName: new(fmt.Sprint("p", i)), Path: path, PolicyDocument: doc, Tags: tag}).Policy.Arn)
	}
	p := arns[0]
	calls(b, iamapi.GetPolicy, &iamapi.GetPolicyInput{PolicyArn: p})
	calls(b, iamapi.CreatePolicyVersion, &iamapi.CreatePolicyVersionInput{PolicyArn: p, PolicyDocument: doc, SetAsDefault: new(true)})
	calls(b, iamapi.GetPolicyVersion, &iamapi.GetPolicyVersionInput{PolicyArn: p, VersionId: new("v2")})
	calls(b, iamapi.ListPolicyVersions, &iamapi.ListPolicyVersionsInput{PolicyArn: p})
	calls(b, iamapi.SetDefaultPolicyVersion, &iamapi.SetDefaultPolicyVersionInput{PolicyArn: p, VersionId: new("v1")})
	calls(b, iamapi.DeletePolicyVersion, &iamapi.DeletePolicyVersionInput{PolicyArn: p, VersionId: new("v2")})
	calls(b, iamapi.TagPolicy, &iamapi.TagPolicyInput{PolicyArn: p, Tags: tag})
	calls(b, iamapi.ListPolicyTags, &iamapi.ListPolicyTagsInput{PolicyArn: p})
	calls(b, iamapi.UntagPolicy, &iamapi.UntagPolicyInput{PolicyArn: p, TagKeys: []string{"a"}})
	for _, a := range arns {
		calls(b, iamapi.AttachUserPolicy, &iamapi.AttachUserPolicyInput{UserName: u, PolicyArn: a})
		calls(b, iamapi.AttachGroupPolicy, &iamapi.AttachGroupPolicyInput{GroupName: g, PolicyArn: a})
		calls(b, iamapi.AttachRolePolicy, &iamapi.AttachRolePolicyInput{RoleName: r, PolicyArn: a})
		calls(b, iamapi.PutUserPermissionsBoundary, &iamapi.PutUserPermissionsBoundaryInput{UserName: u, PermissionsBoundary: a})
	}
	calls(b, iamapi.ListAttachedUserPolicies, &iamapi.ListAttachedUserPoliciesInput{UserName: u})
	calls(b, iamapi.ListAttachedGroupPolicies, &iamapi.ListAttachedGroupPoliciesInput{GroupName: g})
	calls(b, iamapi.ListAttachedRolePolicies, &iamapi.ListAttachedRolePoliciesInput{RoleName: r})
	calls(b, iamapi.ListEntitiesForPolicy, &iamapi.ListEntitiesForPolicyInput{PolicyArn: p})
	calls(b, iamapi.ListEntitiesForPolicy, &iamapi.ListEntitiesForPolicyInput{PolicyArn: p, MaxItems: two})
	for _, scope := range []string{"All", "AWS", "Local"} {
		calls(b, iamapi.ListPolicies, &iamapi.ListPoliciesInput{Scope: &scope, MaxItems: two})
		calls(b, iamapi.ListPolicies, &iamapi.ListPoliciesInput{Scope: &scope, MaxItems: two, OnlyAttached: new(true)})
		calls(b, iamapi.ListPolicies, &iamapi.ListPoliciesInput{Scope: &scope, MaxItems: two, PathPrefix: path})
		calls(b, iamapi.ListPolicies, &iamapi.ListPoliciesInput{Scope: &scope, PathPrefix: path, PolicyUsageFilter: new("PermissionsBoundary")})
	}
	calls(b, iamapi.PutUserPolicy, &iamapi.PutUserPolicyInput{UserName: u, PolicyName: name, PolicyDocument: doc})
	calls(b, iamapi.PutGroupPolicy, &iamapi.PutGroupPolicyInput{GroupName: g, PolicyName: name, PolicyDocument: doc})
	calls(b, iamapi.PutRolePolicy, &iamapi.PutRolePolicyInput{RoleName: r, PolicyName: name, PolicyDocument: doc})
	calls(b, iamapi.GetUserPolicy, &iamapi.GetUserPolicyInput{UserName: u, PolicyName: name})
	calls(b, iamapi.GetGroupPolicy, &iamapi.GetGroupPolicyInput{GroupName: g, PolicyName: name})
	calls(b, iamapi.GetRolePolicy, &iamapi.GetRolePolicyInput{RoleName: r, PolicyName: name})
	calls(b, iamapi.ListUserPolicies, &iamapi.ListUserPoliciesInput{UserName: u})
	calls(b, iamapi.ListGroupPolicies, &iamapi.ListGroupPoliciesInput{GroupName: g})
	calls(b, iamapi.ListRolePolicies, &iamapi.ListRolePoliciesInput{RoleName: r})
	action := []string{"s3:GetObject", "s3:PutObject"}
	calls(b, iamapi.SimulateCustomPolicy, &iamapi.SimulateCustomPolicyInput{PolicyInputList: []string{*doc}, ActionNames: action})
	for _, source := range []string{"user/p/ana", "group/p/devs", "role/p/deploy"} {
		calls(b, iamapi.SimulatePrincipalPolicy, &iamapi.SimulatePrincipalPolicyInput{PolicySourceArn: arn(source), ActionNames: action})
		calls(b, iamapi.GetContextKeysForPrincipalPolicy, &iamapi.GetContextKeysForPrincipalPolicyInput{PolicySourceArn: arn(source)})
	}
	calls(b, iamapi.GetContextKeysForCustomPolicy, &iamapi.GetContextKeysForCustomPolicyInput{PolicyInputList: []string{*doc}})
	calls(b, iamapi.GenerateCredentialReport, &iamapi.GenerateCredentialReportInput{})
	calls(b, iamapi.GenerateCredentialReport, &iamapi.GenerateCredentialReportInput{})
	calls(b, iamapi.DeleteUserPolicy, &iamapi.DeleteUserPolicyInput{UserName: u, PolicyName: name})
	calls(b, iamapi.DeleteGroupPolicy, &iamapi.DeleteGroupPolicyInput{GroupName: g, PolicyName: name})
	calls(b, iamapi.DeleteRolePolicy, &iamapi.DeleteRolePolicyInput{RoleName: r, PolicyName: name})
	calls(b, iamapi.DeleteUserPermissionsBoundary, &iamapi.DeleteUserPermissionsBoundaryInput{UserName: u})
	for _, a := range arns {
		calls(b, iamapi.DetachUserPolicy, &iamapi.DetachUserPolicyInput{UserName: u, PolicyArn: a})
		calls(b, iamapi.DetachGroupPolicy, &iamapi.DetachGroupPolicyInput{GroupName: g, PolicyArn: a})
		calls(b, iamapi.DetachRolePolicy, &iamapi.DetachRolePolicyInput{RoleName: r, PolicyArn: a})
		calls(b, iamapi.DeletePolicy, &iamapi.DeletePolicyInput{PolicyArn: a})
	}
	provider := calls(b, iamapi.CreateOpenIDConnectProvider, &iamapi.CreateOpenIDConnectProviderInput{Url: new("https://a.example")}).OpenIDConnectProviderArn
	calls(b, iamapi.GetOpenIDConnectProvider, &iamapi.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: provider})
	calls(b, iamapi.ListOpenIDConnectProviders, &iamapi.ListOpenIDConnectProvidersInput{})
	calls(b, iamapi.AddClientIDToOpenIDConnectProvider, &iamapi.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: provider, ClientID: new("x")})
	calls(b, iamapi.RemoveClientIDFromOpenIDConnectProvider, &iamapi.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: provider, ClientID: new("x")})
	calls(b, iamapi.UpdateOpenIDConnectProviderThumbprint, &iamapi.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: provider})
	calls(b, iamapi.TagOpenIDConnectProvider, &iamapi.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: provider, Tags: tag})
	calls(b, iamapi.ListOpenIDConnectProviderTags, &iamapi.ListOpenIDConnectProviderTagsInput{OpenIDConnectProviderArn: provider})
	calls(b, iamapi.UntagOpenIDConnectProvider, &iamapi.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: provider, TagKeys: []string{"a"}})
	calls(b, iamapi.DeleteOpenIDConnectProvider, &iamapi.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: provider})
	metadata, err := os.ReadFile("testdata/metadata.xml")
	if err != nil {
		b.t.Fatal(err)
	}
	text := new(string(metadata))
	provider = calls(b, iamapi.CreateSAMLProvider, &iamapi.CreateSAMLProviderInput{Name: name, SAMLMetadataDocument: text}).SAMLProviderArn
	calls(b, iamapi.GetSAMLProvider, &iamapi.GetSAMLProviderInput{SAMLProviderArn: provider})
	calls(b, iamapi.ListSAMLProviders, &iamapi.ListSAMLProvidersInput{})
	calls(b, iamapi.UpdateSAMLProvider, &iamapi.UpdateSAMLProviderInput{SAMLProviderArn: provider, SAMLMetadataDocument: text})
	calls(b, iamapi.TagSAMLProvider, &iamapi.TagSAMLProviderInput{SAMLProviderArn: provider, Tags: tag})
	calls(b, iamapi.ListSAMLProviderTags, &iamapi.ListSAMLProviderTagsInput{SAMLProviderArn: provider})
	calls(b, iamapi.UntagSAMLProvider, &iamapi.UntagSAMLProviderInput{SAMLProviderArn: provider, TagKeys: []string{"a"}})
	calls(b, iamapi.DeleteSAMLProvider, &iamapi.DeleteSAMLProviderInput{SAMLProviderArn: provider})
}

// No operation on policies looks at more rows because the account has many
// users, roles and policies, and all of them are used.
func TestCrowdedPolicies(t *testing.T) {
	t.Parallel()
	empty, crowded := newBench(t), newBench(t)
	empty.walkPolicies()
	crowded.crowd()
	crowded.usePolicies()
	crowded.walkPolicies()
	if len(empty.took) != len(crowded.took) || len(empty.took) < 97 {
		t.Fatalf("%d and %d calls", len(empty.took), len(crowded.took))
	}
	for i, a := range empty.took {
		if b := crowded.took[i]; 10*b.rows > 12*a.rows {
			t.Errorf("%s (call %d): %d rows in an empty account, %d in a crowded one", a.name, i, a.rows, b.rows)
		}
	}
	// A page of everything costs what is on it, wherever it begins.
	kinds := []string{"User", "Role", "Group", "LocalManagedPolicy"}
	for _, kind := range kinds {
		in := &iamapi.GetAccountAuthorizationDetailsInput{Filter: []string{kind}, MaxItems: new(int64(10))}
		for range 5 {
			in.Marker = calls(crowded, iamapi.GetAccountAuthorizationDetails, in).Marker
			if rows := crowded.took[len(crowded.took)-1].rows; in.Marker == nil || rows > 150 {
				t.Errorf("a page of ten %ss: %d rows, marker %v", kind, rows, in.Marker)
			}
		}
	}
}
