package lambda

import (
	"errors"
	"fmt"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/table"
)

const (
	// maxConcurrency is how many events an account's functions work on at once, and
	// minUnreserved how many of them stay for functions without a reservation
	// ("Configuring reserved concurrency").
	maxConcurrency = 1000
	minUnreserved  = 100

	textUnreserved = "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d]."
)

func (s *Service) concurrencyOperations() []api.Bound {
	return []api.Bound{
		api.Bind(lambdaapi.DeleteFunctionConcurrency, s.resolveDeleteFunctionConcurrency, deleteFunctionConcurrency),
		api.Bind(lambdaapi.GetAccountSettings, resolveGetAccountSettings, s.getAccountSettings),
		api.Bind(lambdaapi.GetFunctionConcurrency, s.resolveGetFunctionConcurrency, getFunctionConcurrency),
		api.Bind(lambdaapi.PutFunctionConcurrency, s.resolvePutFunctionConcurrency, putFunctionConcurrency),
	}
}

func (s *Service) resolvePutFunctionConcurrency(r *api.Request, in *lambdaapi.PutFunctionConcurrencyInput) (*target, api.Access, error) {
	return s.changeFunction(r, in.FunctionName)
}

func (s *Service) resolveDeleteFunctionConcurrency(r *api.Request, in *lambdaapi.DeleteFunctionConcurrencyInput) (*target, api.Access, error) {
	return s.changeFunction(r, in.FunctionName)
}

func (s *Service) resolveGetFunctionConcurrency(r *api.Request, in *lambdaapi.GetFunctionConcurrencyInput) (*target, api.Access, error) {
	return s.onFunction(r, in.FunctionName)
}

func putFunctionConcurrency(r *api.Request, in *lambdaapi.PutFunctionConcurrencyInput, t *target) (*lambdaapi.PutFunctionConcurrencyOutput, error) {
	f, err := t.existing()
	if err != nil {
		return nil, err
	}
	n := *in.ReservedConcurrentExecutions
	// Before anything is added up: n is any number.
	if n > maxConcurrency {
		return nil, tooReserved()
	}
	if err := f.reserve(r, new(int(n))); err != nil {
		return nil, err
	}
	return &lambdaapi.PutFunctionConcurrencyOutput{ReservedConcurrentExecutions: &n}, nil
}

// deleteFunctionConcurrency succeeds without a reservation, too.
func deleteFunctionConcurrency(r *api.Request, _ *lambdaapi.DeleteFunctionConcurrencyInput, t *target) (*lambdaapi.DeleteFunctionConcurrencyOutput, error) {
	f, err := t.existing()
	if err != nil {
		return nil, err
	}
	return &lambdaapi.DeleteFunctionConcurrencyOutput{}, f.reserve(r, nil)
}

func getFunctionConcurrency(_ *api.Request, _ *lambdaapi.GetFunctionConcurrencyInput, t *target) (*lambdaapi.GetFunctionConcurrencyOutput, error) {
	out := &lambdaapi.GetFunctionConcurrencyOutput{}
	if t.function == nil && t.builtIn != nil {
		return out, nil
	}
	f, err := t.existing()
	if err != nil {
		return nil, err
	}
	if f.Reserved != nil {
		out.ReservedConcurrentExecutions = new(int64(*f.Reserved))
	}
	return out, nil
}

// reserve sets how many events the function may work on at once, and keeps as many for
// it; nil for any number, of those that nobody has reserved.
func (f *Function) reserve(r *api.Request, n *int) error {
	a, err := account(r.Tx, f.Account, f.Region)
	if err != nil {
		return err
	}
	if f.Reserved != nil {
		a.Reserved -= *f.Reserved
	}
	if n != nil {
		a.Reserved += *n
		if a.Reserved > maxConcurrency-minUnreserved {
			return tooReserved()
		}
	}
	if err := Accounts.Put(r.Tx, a); err != nil {
		return err
	}
	f.Reserved = n
	return Functions.Put(r.Tx, f)
}

func tooReserved() error {
	return lambdaapi.InvalidParameterValueException(fmt.Sprintf(textUnreserved, minUnreserved))
}

func resolveGetAccountSettings(r *api.Request, _ *lambdaapi.GetAccountSettingsInput) (struct{}, api.Access, error) {
	return struct{}{}, everything(r), nil
}

func (s *Service) getAccountSettings(r *api.Request, _ *lambdaapi.GetAccountSettingsInput, _ struct{}) (*lambdaapi.GetAccountSettingsOutput, error) {
	a, err := Accounts.Get(r.Tx, table.K(r.Account, r.Region))
	if errors.Is(err, table.ErrNotFound) {
		a, err = &Account{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &lambdaapi.GetAccountSettingsOutput{
		AccountLimit: &lambdaapi.AccountLimit{
			TotalCodeSize:                  new(s.maxCode),
			CodeSizeUnzipped:               new(int64(MaxUnpacked)),
			CodeSizeZipped:                 new(int64(maxPackage)),
			ConcurrentExecutions:           new(int64(maxConcurrency)),
			UnreservedConcurrentExecutions: new(int64(maxConcurrency - a.Reserved)),
		},
		AccountUsage: &lambdaapi.AccountUsage{TotalCodeSize: &a.Code, FunctionCount: new(int64(a.Functions))},
	}, nil
}
