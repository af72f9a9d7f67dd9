package lambda_test

import (
	"context"
	"testing"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go/middleware"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
)

// seen notes which operations succeeded.
type seen map[string]bool

func (s seen) watch(o *sdk.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("seen", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			out, meta, err := next.HandleInitialize(ctx, in)
			if err == nil {
				s[awsmiddleware.GetOperationName(ctx)] = true
			}
			return out, meta, err
		}), middleware.After)
	})
}

// TestEveryOperation calls every served operation with the SDK, which reads every answer.
func TestEveryOperation(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	calls := seen{}
	c := sdk.New(f.Client.Options(), calls.watch)
	name, version := new("f"), new("1")
	zip := archive(t, "f.py", "")
	ctx := t.Context()
	ok := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	layer, err := c.PublishLayerVersion(ctx, &sdk.PublishLayerVersionInput{LayerName: new("l"), Content: &types.LayerVersionContentInput{ZipFile: zip}})
	if err != nil {
		t.Fatal(err)
	}
	in := f.input("f")
	in.Layers = []string{*layer.LayerVersionArn}
	ok(c.CreateFunction(ctx, in))
	arn := new(f.arn("f"))
	ok(c.GetFunction(ctx, &sdk.GetFunctionInput{FunctionName: name}))
	ok(c.GetFunctionConfiguration(ctx, &sdk.GetFunctionConfigurationInput{FunctionName: name}))
	ok(c.ListFunctions(ctx, &sdk.ListFunctionsInput{}))
	ok(c.UpdateFunctionCode(ctx, &sdk.UpdateFunctionCodeInput{FunctionName: name, ZipFile: zip}))
	ok(c.UpdateFunctionConfiguration(ctx, &sdk.UpdateFunctionConfigurationInput{FunctionName: name, Description: new("d")}))
	ok(c.PublishVersion(ctx, &sdk.PublishVersionInput{FunctionName: name}))
	ok(c.ListVersionsByFunction(ctx, &sdk.ListVersionsByFunctionInput{FunctionName: name}))
	ok(c.Invoke(ctx, &sdk.InvokeInput{FunctionName: name}))
	ok(c.CreateAlias(ctx, &sdk.CreateAliasInput{FunctionName: name, Name: new("a"), FunctionVersion: version}))
	ok(c.GetAlias(ctx, &sdk.GetAliasInput{FunctionName: name, Name: new("a")}))
	ok(c.ListAliases(ctx, &sdk.ListAliasesInput{FunctionName: name}))
	ok(c.UpdateAlias(ctx, &sdk.UpdateAliasInput{FunctionName: name, Name: new("a"), Description: new("d")}))
	ok(c.DeleteAlias(ctx, &sdk.DeleteAliasInput{FunctionName: name, Name: new("a")}))
	ok(c.AddPermission(ctx, &sdk.AddPermissionInput{FunctionName: name, StatementId: new("s"), Action: new("lambda:InvokeFunction"), Principal: new("secretsmanager.amazonaws.com")}))
	ok(c.GetPolicy(ctx, &sdk.GetPolicyInput{FunctionName: name}))
	ok(c.RemovePermission(ctx, &sdk.RemovePermissionInput{FunctionName: name, StatementId: new("s")}))
	ok(c.TagResource(ctx, &sdk.TagResourceInput{Resource: arn, Tags: map[string]string{"a": "b"}}))
	ok(c.ListTags(ctx, &sdk.ListTagsInput{Resource: arn}))
	ok(c.UntagResource(ctx, &sdk.UntagResourceInput{Resource: arn, TagKeys: []string{"a"}}))
	ok(c.PutFunctionConcurrency(ctx, &sdk.PutFunctionConcurrencyInput{FunctionName: name, ReservedConcurrentExecutions: new(int32(2))}))
	ok(c.GetFunctionConcurrency(ctx, &sdk.GetFunctionConcurrencyInput{FunctionName: name}))
	ok(c.DeleteFunctionConcurrency(ctx, &sdk.DeleteFunctionConcurrencyInput{FunctionName: name}))
	ok(c.GetAccountSettings(ctx, &sdk.GetAccountSettingsInput{}))
	ok(c.GetFunctionCodeSigningConfig(ctx, &sdk.GetFunctionCodeSigningConfigInput{FunctionName: name}))
	ok(c.GetFunctionRecursionConfig(ctx, &sdk.GetFunctionRecursionConfigInput{FunctionName: name}))
	ok(c.GetRuntimeManagementConfig(ctx, &sdk.GetRuntimeManagementConfigInput{FunctionName: name}))

	put, err := c.PutFunctionEventInvokeConfig(ctx, &sdk.PutFunctionEventInvokeConfigInput{FunctionName: name, MaximumRetryAttempts: new(int32(0))})
	if err != nil || *put.FunctionArn != *arn+":$LATEST" {
		t.Errorf("event configuration: %v, %v", put, err)
	}
	changed, err := c.UpdateFunctionEventInvokeConfig(ctx, &sdk.UpdateFunctionEventInvokeConfigInput{FunctionName: name, MaximumEventAgeInSeconds: new(int32(60))})
	if err != nil || *changed.MaximumRetryAttempts != 0 || *changed.MaximumEventAgeInSeconds != 60 {
		t.Errorf("event configuration: %v, %v", changed, err)
	}
	ok(c.GetFunctionEventInvokeConfig(ctx, &sdk.GetFunctionEventInvokeConfigInput{FunctionName: name}))
	list, err := c.ListFunctionEventInvokeConfigs(ctx, &sdk.ListFunctionEventInvokeConfigsInput{FunctionName: name})
	if err != nil || len(list.FunctionEventInvokeConfigs) != 1 {
		t.Errorf("event configurations: %v, %v", list, err)
	}
	ok(c.DeleteFunctionEventInvokeConfig(ctx, &sdk.DeleteFunctionEventInvokeConfigInput{FunctionName: name}))
	_, err = c.GetFunctionEventInvokeConfig(ctx, &sdk.GetFunctionEventInvokeConfigInput{FunctionName: name})
	f.failed(err, "ResourceNotFoundException", "doesn't have an EventInvokeConfig")

	ok(c.GetLayerVersion(ctx, &sdk.GetLayerVersionInput{LayerName: new("l"), VersionNumber: new(int64(1))}))
	ok(c.GetLayerVersionByArn(ctx, &sdk.GetLayerVersionByArnInput{Arn: layer.LayerVersionArn}))
	ok(c.ListLayers(ctx, &sdk.ListLayersInput{}))
	ok(c.ListLayerVersions(ctx, &sdk.ListLayerVersionsInput{LayerName: new("l")}))
	ok(c.AddLayerVersionPermission(ctx, &sdk.AddLayerVersionPermissionInput{LayerName: new("l"), VersionNumber: new(int64(1)), StatementId: new("s"), Action: new("lambda:GetLayerVersion"), Principal: new("*")}))
	ok(c.GetLayerVersionPolicy(ctx, &sdk.GetLayerVersionPolicyInput{LayerName: new("l"), VersionNumber: new(int64(1))}))
	ok(c.RemoveLayerVersionPermission(ctx, &sdk.RemoveLayerVersionPermissionInput{LayerName: new("l"), VersionNumber: new(int64(1)), StatementId: new("s")}))
	ok(c.DeleteLayerVersion(ctx, &sdk.DeleteLayerVersionInput{LayerName: new("l"), VersionNumber: new(int64(1))}))
	ok(c.DeleteFunction(ctx, &sdk.DeleteFunctionInput{FunctionName: name}))

	for _, op := range lambdaapi.Service.Operations {
		if op.Mode != api.Unserved && !calls[op.Name] {
			t.Errorf("%s was never called with success", op.Name)
		}
	}
}
