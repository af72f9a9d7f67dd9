package lambda

import (
	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
)

// What tools ask of every function and what has but one answer here: no code signing,
// runtimes that are the machine's, and no watch for functions that invoke each other.

func (s *Service) managementOperations() []api.Bound {
	return []api.Bound{
		api.Bind(lambdaapi.GetFunctionCodeSigningConfig, func(r *api.Request, in *lambdaapi.GetFunctionCodeSigningConfigInput) (*target, api.Access, error) {
			return s.onFunction(r, in.FunctionName)
		}, getFunctionCodeSigningConfig),
		api.Bind(lambdaapi.GetFunctionRecursionConfig, func(r *api.Request, in *lambdaapi.GetFunctionRecursionConfigInput) (*target, api.Access, error) {
			return s.onFunction(r, in.FunctionName)
		}, getFunctionRecursionConfig),
		api.Bind(lambdaapi.GetRuntimeManagementConfig, func(r *api.Request, in *lambdaapi.GetRuntimeManagementConfigInput) (*target, api.Access, error) {
			return s.onVersion(r, in.FunctionName, in.Qualifier)
		}, getRuntimeManagementConfig),
	}
}

func getFunctionCodeSigningConfig(_ *api.Request, _ *lambdaapi.GetFunctionCodeSigningConfigInput, t *target) (*lambdaapi.GetFunctionCodeSigningConfigOutput, error) {
	if _, _, err := t.found(); err != nil {
		return nil, err
	}
	return &lambdaapi.GetFunctionCodeSigningConfigOutput{FunctionName: &t.name, CodeSigningConfigArn: new("")}, nil
}

func getFunctionRecursionConfig(_ *api.Request, _ *lambdaapi.GetFunctionRecursionConfigInput, t *target) (*lambdaapi.GetFunctionRecursionConfigOutput, error) {
	if _, _, err := t.found(); err != nil {
		return nil, err
	}
	return &lambdaapi.GetFunctionRecursionConfigOutput{RecursiveLoop: new(lambdaapi.RecursiveLoopAllow)}, nil
}

func getRuntimeManagementConfig(_ *api.Request, _ *lambdaapi.GetRuntimeManagementConfigInput, t *target) (*lambdaapi.GetRuntimeManagementConfigOutput, error) {
	_, v, err := t.found()
	if err != nil {
		return nil, err
	}
	ref := t.reference
	ref.qualifier = v.name()
	return &lambdaapi.GetRuntimeManagementConfigOutput{UpdateRuntimeOn: new(lambdaapi.UpdateRuntimeOnAuto), FunctionArn: new(ref.arn())}, nil
}
