package lambda

import (
	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
)

// Values implements policy.Context for Lambda's own condition keys ("Actions,
// resources, and condition keys for AWS Lambda").
func (t *target) Values(dst []string, key string) ([]string, bool) {
	some := func(vs []string) ([]string, bool) { return append(dst, vs...), len(vs) > 0 }
	one := func(p *string) ([]string, bool) {
		if p == nil {
			return dst, false
		}
		return append(dst, *p), true
	}
	switch in := t.r.Input.(type) {
	case *lambdaapi.CreateFunctionInput:
		switch key {
		case "lambda:layer":
			return some(in.Layers)
		case "lambda:codesigningconfigarn":
			return one(in.CodeSigningConfigArn)
		}
		return network(dst, in.VpcConfig, key)
	case *lambdaapi.UpdateFunctionConfigurationInput:
		if key == "lambda:layer" {
			return some(in.Layers)
		}
		return network(dst, in.VpcConfig, key)
	case *lambdaapi.AddPermissionInput:
		switch key {
		case "lambda:principal":
			return one(in.Principal)
		case "lambda:functionurlauthtype":
			return one(in.FunctionUrlAuthType)
		}
	case *lambdaapi.RemovePermissionInput:
		if key == "lambda:principal" {
			return t.removedPrincipal(dst, *in.StatementId)
		}
	}
	return dst, false
}

func network(dst []string, in *lambdaapi.VpcConfig, key string) ([]string, bool) {
	if in == nil {
		return dst, false
	}
	switch key {
	case "lambda:subnetids":
		return append(dst, in.SubnetIds...), len(in.SubnetIds) > 0
	case "lambda:securitygroupids":
		return append(dst, in.SecurityGroupIds...), len(in.SecurityGroupIds) > 0
	}
	return dst, false
}

// removedPrincipal is whom the statement is for that is to be removed.
func (t *target) removedPrincipal(dst []string, sid string) ([]string, bool) {
	if t.function == nil {
		return dst, false
	}
	p, err := t.function.permissions(t.tx, t.qualifier)
	if err != nil {
		t.failed = err
		return dst, false
	}
	if p == nil {
		return dst, false
	}
	if i := p.index(sid); i >= 0 {
		return append(dst, p.Statements[i].Principal), true
	}
	return dst, false
}

// Err implements api.Keys.
func (t *target) Err() error { return t.failed }

// passing answers for the condition keys of iam:PassRole.
type passing struct{ function string }

// Values implements policy.Context.
func (p passing) Values(dst []string, key string) ([]string, bool) {
	switch key {
	case "iam:passedtoservice":
		return append(dst, lambdaapi.Service.EventSource), true
	case "iam:associatedresourcearn":
		return append(dst, p.function), true
	}
	return dst, false
}

// Err implements api.Keys: nothing is looked up.
func (passing) Err() error { return nil }

var _ api.Keys = passing{}
