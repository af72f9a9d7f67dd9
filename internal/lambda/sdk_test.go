package lambda_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// version publishes another version of a function.
func (f *front) version(name, description string) {
	f.Helper()
	ctx := f.Context()
	if _, err := f.UpdateFunctionConfiguration(ctx, &sdk.UpdateFunctionConfigurationInput{FunctionName: &name, Description: &description}); err != nil {
		f.Fatal(err)
	}
	if _, err := f.PublishVersion(ctx, &sdk.PublishVersionInput{FunctionName: &name}); err != nil {
		f.Fatal(err)
	}
}

func TestPermissionsThroughSDK(t *testing.T) {
	t.Parallel()
	ctx, f := t.Context(), newFront(t)
	f.create("f")
	f.version("f", "one")
	add := &sdk.AddPermissionInput{
		FunctionName: new("f"), Qualifier: new("1"), StatementId: new("s"), Action: new("lambda:InvokeFunction"), Principal: new("secretsmanager.amazonaws.com"),
		SourceAccount: &f.Credentials.Account,
	}
	added, err := f.AddPermission(ctx, add)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.GetPolicy(ctx, &sdk.GetPolicyInput{FunctionName: new("f"), Qualifier: new("1")})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"Version":"2012-10-17","Id":"default","Statement":[` + *added.Statement + `]}`; *got.Policy != want {
		t.Errorf("policy\n got %s\nwant %s", *got.Policy, want)
	}
	_, err = f.AddPermission(ctx, add)
	f.failed(err, "ResourceConflictException", "The statement id (s) provided already exists. Please provide a new statement id, or remove the existing statement.")
	_, err = f.RemovePermission(ctx, &sdk.RemovePermissionInput{FunctionName: new("f"), Qualifier: new("1"), StatementId: new("s"), RevisionId: new("0")})
	f.failed(err, "PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id")
	if _, err := f.RemovePermission(ctx, &sdk.RemovePermissionInput{FunctionName: new("f"), Qualifier: new("1"), StatementId: new("s"), RevisionId: got.RevisionId}); err != nil {
		t.Error(err)
	}
	_, err = f.GetPolicy(ctx, &sdk.GetPolicyInput{FunctionName: new("f"), Qualifier: new("1")})
	f.failed(err, "ResourceNotFoundException", "The resource you requested does not exist.")
}

// Who may change permissions can depend on whom they are for (lambda:Principal).
func TestPermissionsOfPrincipals(t *testing.T) {
	t.Parallel()
	ctx, f := t.Context(), newFront(t)
	f.create("f")
	ann := f.newUser("ann", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["lambda:AddPermission","lambda:RemovePermission"],"Resource":"`+f.arn("f")+
		`","Condition":{"StringEquals":{"lambda:Principal":"sns.amazonaws.com"}}}]}`)
	for _, tc := range []struct {
		principal string
		may       bool
	}{{"sns.amazonaws.com", true}, {"s3.amazonaws.com", false}} {
		add := &sdk.AddPermissionInput{FunctionName: new("f"), Action: new("lambda:InvokeFunction"), Principal: &tc.principal}
		add.StatementId = new(strings.ReplaceAll(tc.principal, ".", "_"))
		remove := &sdk.RemovePermissionInput{FunctionName: new("f"), StatementId: add.StatementId}
		if _, err := ann.AddPermission(ctx, add); (err == nil) != tc.may {
			t.Errorf("adds one for %s: %v", tc.principal, err)
		}
		if !tc.may {
			if _, err := f.AddPermission(ctx, add); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ann.RemovePermission(ctx, remove); (err == nil) != tc.may {
			t.Errorf("removes one for %s: %v", tc.principal, err)
		}
	}
}

func TestTagsThroughSDK(t *testing.T) {
	t.Parallel()
	ctx, f := t.Context(), newFront(t)
	f.create("f")
	arn := f.arn("f")
	if _, err := f.TagResource(ctx, &sdk.TagResourceInput{Resource: &arn, Tags: map[string]string{"a b": "1", "c": "", "d": "2"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.UntagResource(ctx, &sdk.UntagResourceInput{Resource: &arn, TagKeys: []string{"a b", "d"}}); err != nil {
		t.Fatal(err)
	}
	got, err := f.ListTags(ctx, &sdk.ListTagsInput{Resource: &arn})
	if err != nil || !maps.Equal(got.Tags, map[string]string{"c": ""}) {
		t.Errorf("%v %v", got, err)
	}
	_, err = f.ListTags(ctx, &sdk.ListTagsInput{Resource: new(arn + "x")})
	f.failed(err, "ResourceNotFoundException", "Function not found: "+arn+"x")
	// Tags decide who may tag.
	ann := f.newUser("ann", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:TagResource","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"a"},"ForAllValues:StringEquals":{"aws:TagKeys":["x"]}}}]}`)
	tag := func(key string) error {
		_, err := ann.TagResource(ctx, &sdk.TagResourceInput{Resource: &arn, Tags: map[string]string{key: "1"}})
		return err
	}
	if tag("x") == nil {
		t.Error("tags what is of no team")
	}
	if _, err := f.TagResource(ctx, &sdk.TagResourceInput{Resource: &arn, Tags: map[string]string{"team": "a"}}); err != nil {
		t.Fatal(err)
	}
	if err := tag("x"); err != nil {
		t.Error(err)
	}
	if tag("y") == nil {
		t.Error("gives a tag that it may not")
	}
}

func TestAliasesThroughSDK(t *testing.T) {
	t.Parallel()
	ctx, f := t.Context(), newFront(t)
	f.create("f")
	f.version("f", "one")
	f.version("f", "two")
	made, err := f.CreateAlias(ctx, &sdk.CreateAliasInput{
		FunctionName: new("f"), Name: new("live"), FunctionVersion: new("1"),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": 0.125}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if *made.AliasArn != f.arn("f")+":live" || made.RoutingConfig.AdditionalVersionWeights["2"] != 0.125 {
		t.Errorf("made %v", made)
	}
	if _, err := f.UpdateAlias(ctx, &sdk.UpdateAliasInput{FunctionName: new("f"), Name: new("live"), RoutingConfig: &types.AliasRoutingConfiguration{
		AdditionalVersionWeights: map[string]float64{}}, RevisionId: made.RevisionId}); err != nil {
		t.Fatal(err)
	}
	got, err := f.GetAlias(ctx, &sdk.GetAliasInput{FunctionName: new("f"), Name: new("live")})
	if err != nil || got.RoutingConfig != nil || *got.FunctionVersion != "1" {
		t.Errorf("%v %v", got, err)
	}
	list, err := f.ListAliases(ctx, &sdk.ListAliasesInput{FunctionName: new("f"), FunctionVersion: new("1")})
	if err != nil || len(list.Aliases) != 1 || *list.Aliases[0].Name != "live" {
		t.Errorf("%v %v", list, err)
	}
	out, err := f.Invoke(ctx, &sdk.InvokeInput{FunctionName: new("f"), Qualifier: new("live")})
	if err != nil || *out.ExecutedVersion != "1" || f.runner.last(t).event.InvokedARN != f.arn("f")+":live" {
		t.Errorf("%v %v", out, err)
	}
	if _, err := f.DeleteAlias(ctx, &sdk.DeleteAliasInput{FunctionName: new("f"), Name: new("live")}); err != nil {
		t.Error(err)
	}
	_, err = f.GetAlias(ctx, &sdk.GetAliasInput{FunctionName: new("f"), Name: new("live")})
	f.failed(err, "ResourceNotFoundException", "Cannot find alias arn: "+f.arn("f")+":live")
}

func TestConcurrencyThroughSDK(t *testing.T) {
	t.Parallel()
	ctx, f := t.Context(), newFront(t)
	f.create("f")
	if _, err := f.PutFunctionConcurrency(ctx, &sdk.PutFunctionConcurrencyInput{FunctionName: new("f"), ReservedConcurrentExecutions: new(int32(7))}); err != nil {
		t.Fatal(err)
	}
	got, err := f.GetFunctionConcurrency(ctx, &sdk.GetFunctionConcurrencyInput{FunctionName: new("f")})
	if err != nil || *got.ReservedConcurrentExecutions != 7 {
		t.Errorf("%v %v", got, err)
	}
	if _, err := f.Invoke(ctx, &sdk.InvokeInput{FunctionName: new("f")}); err != nil || f.runner.last(t).f.Concurrency != 7 {
		t.Errorf("the runner is told %d: %v", f.runner.last(t).f.Concurrency, err)
	}
	settings, err := f.GetAccountSettings(ctx, &sdk.GetAccountSettingsInput{})
	if err != nil || *settings.AccountLimit.UnreservedConcurrentExecutions != 993 || settings.AccountUsage.FunctionCount != 1 {
		t.Errorf("%v %v", settings, err)
	}
	if _, err := f.DeleteFunctionConcurrency(ctx, &sdk.DeleteFunctionConcurrencyInput{FunctionName: new("f")}); err != nil {
		t.Error(err)
	}
}

func TestLayersThroughSDK(t *testing.T) {
	t.Parallel()
	ctx, f := t.Context(), newFront(t)
	made, err := f.PublishLayerVersion(ctx, &sdk.PublishLayerVersionInput{
		LayerName: new("l"), Content: &types.LayerVersionContentInput{ZipFile: archive(t, "python/l.py", "")}, CompatibleRuntimes: []types.Runtime{types.RuntimePython312},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.create("f", func(in *sdk.CreateFunctionInput) { in.Layers = []string{*made.LayerVersionArn} })
	byARN, err := f.GetLayerVersionByArn(ctx, &sdk.GetLayerVersionByArnInput{Arn: made.LayerVersionArn})
	if err != nil || byARN.Version != 1 || !slices.Equal(byARN.CompatibleRuntimes, made.CompatibleRuntimes) || *byARN.Content.CodeSha256 != *made.Content.CodeSha256 {
		t.Errorf("%v %v", byARN, err)
	}
	byName, err := f.GetLayerVersion(ctx, &sdk.GetLayerVersionInput{LayerName: made.LayerArn, VersionNumber: new(int64(1))})
	if err != nil || *byName.LayerVersionArn != *made.LayerVersionArn {
		t.Errorf("%v %v", byName, err)
	}
	layers, err := f.ListLayers(ctx, &sdk.ListLayersInput{CompatibleRuntime: types.RuntimePython312})
	if err != nil || len(layers.Layers) != 1 || layers.Layers[0].LatestMatchingVersion.Version != 1 {
		t.Errorf("%v %v", layers, err)
	}
	versions, err := f.ListLayerVersions(ctx, &sdk.ListLayerVersionsInput{LayerName: new("l")})
	if err != nil || len(versions.LayerVersions) != 1 {
		t.Errorf("%v %v", versions, err)
	}
	permitted, err := f.AddLayerVersionPermission(ctx, &sdk.AddLayerVersionPermissionInput{
		LayerName: new("l"), VersionNumber: new(int64(1)), StatementId: new("s"), Action: new("lambda:GetLayerVersion"), Principal: new("*"),
	})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := f.GetLayerVersionPolicy(ctx, &sdk.GetLayerVersionPolicyInput{LayerName: new("l"), VersionNumber: new(int64(1))})
	if want := fmt.Sprintf(`{"Version":"2012-10-17","Id":"default","Statement":[%s]}`, *permitted.Statement); err != nil || *policy.Policy != want {
		t.Errorf("%v %v", policy, err)
	}
	if _, err := f.RemoveLayerVersionPermission(ctx, &sdk.RemoveLayerVersionPermissionInput{
		LayerName: new("l"), VersionNumber: new(int64(1)), StatementId: new("s"), RevisionId: policy.RevisionId,
	}); err != nil {
		t.Error(err)
	}
	if _, err := f.DeleteLayerVersion(ctx, &sdk.DeleteLayerVersionInput{LayerName: new("l"), VersionNumber: new(int64(1))}); err != nil {
		t.Error(err)
	}
	_, err = f.GetLayerVersion(ctx, &sdk.GetLayerVersionInput{LayerName: new("l"), VersionNumber: new(int64(1))})
	f.failed(err, "ResourceNotFoundException", "The resource you requested does not exist.")
	if _, err := f.Invoke(ctx, &sdk.InvokeInput{FunctionName: new("f")}); err != nil || len(f.runner.last(t).f.Layers) != 1 {
		t.Errorf("without its layer: %v", err)
	}
}
