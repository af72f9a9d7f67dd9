package lambda

import (
	"errors"
	"fmt"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/page"
	"coffer/internal/table"
)

const (
	textAliasExists = "Alias already exists: "
	textNoAlias     = "Cannot find alias arn: "
	textRevised     = "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
	textRoutes      = "Number of items in AdditionalVersionWeights cannot be greater than 1"
	textRouteTwice  = "Invalid function version %[1]s. Function version %[1]s is already included in routing configuration."
	textRouteLatest = "$LATEST is not supported for an alias pointing to more than 1 version"
	textRouteRole   = "Specified versions must be associated with the same execution role"
)

func (s *Service) aliasOperations() []api.Bound {
	return []api.Bound{
		api.Bind(lambdaapi.CreateAlias, s.resolveCreateAlias, createAlias),
		api.Bind(lambdaapi.DeleteAlias, s.resolveDeleteAlias, deleteAlias),
		api.Bind(lambdaapi.GetAlias, s.resolveGetAlias, getAlias),
		api.Bind(lambdaapi.ListAliases, s.resolveListAliases, listAliases),
		api.Bind(lambdaapi.UpdateAlias, s.resolveUpdateAlias, updateAlias),
	}
}

// Access to all of these is decided on the function ("Actions, resources, and condition
// keys for AWS Lambda").

func (s *Service) resolveCreateAlias(r *api.Request, in *lambdaapi.CreateAliasInput) (*target, api.Access, error) {
	return s.onFunction(r, in.FunctionName)
}

func (s *Service) resolveDeleteAlias(r *api.Request, in *lambdaapi.DeleteAliasInput) (*target, api.Access, error) {
	return s.onFunction(r, in.FunctionName)
}

func (s *Service) resolveGetAlias(r *api.Request, in *lambdaapi.GetAliasInput) (*target, api.Access, error) {
	return s.onFunction(r, in.FunctionName)
}

func (s *Service) resolveListAliases(r *api.Request, in *lambdaapi.ListAliasesInput) (*target, api.Access, error) {
	return s.onFunction(r, in.FunctionName)
}

func (s *Service) resolveUpdateAlias(r *api.Request, in *lambdaapi.UpdateAliasInput) (*target, api.Access, error) {
	return s.onFunction(r, in.FunctionName)
}

func createAlias(r *api.Request, in *lambdaapi.CreateAliasInput, t *target) (*lambdaapi.CreateAliasOutput, error) {
	f, err := t.existing()
	if err != nil {
		return nil, err
	}
	old, err := f.alias(r.Tx, *in.Name)
	if err != nil {
		return nil, err
	}
	if old != nil {
		return nil, lambdaapi.ResourceConflictException(textAliasExists + f.arn() + ":" + *in.Name)
	}
	a := &Alias{Account: f.Account, Region: f.Region, UID: f.UID, Name: *in.Name, Description: api.Value(in.Description), Revision: api.NewID()}
	if err := a.point(r.Tx, f, in.FunctionVersion, in.RoutingConfig); err != nil {
		return nil, err
	}
	if err := Aliases.Insert(r.Tx, a); err != nil {
		return nil, err
	}
	out := lambdaapi.CreateAliasOutput(a.shown(f))
	return &out, nil
}

func updateAlias(r *api.Request, in *lambdaapi.UpdateAliasInput, t *target) (*lambdaapi.UpdateAliasOutput, error) {
	f, old, err := t.named(*in.Name)
	if err != nil {
		return nil, err
	}
	if in.RevisionId != nil && *in.RevisionId != old.Revision {
		return nil, lambdaapi.PreconditionFailedException(textRevised)
	}
	a := *old
	if in.Description != nil {
		a.Description = *in.Description
	}
	if err := a.point(r.Tx, f, in.FunctionVersion, in.RoutingConfig); err != nil {
		return nil, err
	}
	a.Revision = api.NewID()
	if err := Aliases.Put(r.Tx, &a); err != nil {
		return nil, err
	}
	out := lambdaapi.UpdateAliasOutput(a.shown(f))
	return &out, nil
}

// deleteAlias succeeds without the alias, too: deleting is idempotent.
func deleteAlias(r *api.Request, in *lambdaapi.DeleteAliasInput, t *target) (*lambdaapi.DeleteAliasOutput, error) {
	out := &lambdaapi.DeleteAliasOutput{}
	if t.function == nil {
		return out, nil
	}
	a, err := t.function.alias(r.Tx, *in.Name)
	if err != nil || a == nil {
		return out, err
	}
	key := t.function.part(a.Name)
	if err := errors.Join(Policies.Delete(r.Tx, key), EventConfigs.Delete(r.Tx, key)); err != nil {
		return nil, err
	}
	return out, Aliases.Delete(r.Tx, key)
}

func getAlias(_ *api.Request, in *lambdaapi.GetAliasInput, t *target) (*lambdaapi.GetAliasOutput, error) {
	if t.builtIn != nil {
		return nil, t.noAlias(*in.Name)
	}
	f, a, err := t.named(*in.Name)
	if err != nil {
		return nil, err
	}
	out := lambdaapi.GetAliasOutput(a.shown(f))
	return &out, nil
}

func listAliases(r *api.Request, in *lambdaapi.ListAliasesInput, t *target) (*lambdaapi.ListAliasesOutput, error) {
	out := &lambdaapi.ListAliasesOutput{Aliases: []lambdaapi.AliasConfiguration{}}
	if t.function == nil && t.builtIn != nil {
		return out, nil
	}
	f, err := t.existing()
	if err != nil {
		return nil, err
	}
	p, err := newPage(r, in.MaxItems, in.Marker, f.UID, api.Value(in.FunctionVersion))
	if err != nil {
		return nil, err
	}
	for a, err := range f.aliases(r.Tx, in.FunctionVersion, p) {
		if err != nil {
			return nil, err
		}
		if len(out.Aliases) == p.Limit {
			out.NextMarker = p.Next(*out.Aliases[p.Limit-1].Name)
			break
		}
		out.Aliases = append(out.Aliases, a.shown(f))
	}
	return out, nil
}

// aliases goes through the aliases of the function from where the page starts, or
// through those that mean a version.
func (f *Function) aliases(tx *table.Tx, version *string, p *page.Page) func(yield func(*Alias, error) bool) {
	return func(yield func(*Alias, error) bool) {
		if version == nil {
			for e, err := range Aliases.Scan(tx, p.Rows(f.part())) {
				if !yield(e.Value, err) {
					return
				}
			}
			return
		}
		n, ok := number(*version)
		if !ok && *version != latest {
			return
		}
		for e, err := range Aliases.ScanIndex(tx, byVersion, p.Rows(f.part(numberPart(n)))) {
			var a *Alias
			if err == nil {
				a, err = Aliases.Get(tx, e.Record)
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// named is the alias of the target with a name. It is shared.
func (t *target) named(alias string) (*Function, *Alias, error) {
	f, err := t.existing()
	if err != nil {
		return nil, nil, err
	}
	a, err := f.alias(t.tx, alias)
	if err == nil && a == nil {
		err = t.noAlias(alias)
	}
	return f, a, err
}

func (t *target) noAlias(alias string) error {
	return lambdaapi.ResourceNotFoundException(textNoAlias + t.reference.function() + ":" + alias)
}

// point has the alias mean the versions that a request gives; nil leaves each as it is.
func (a *Alias) point(tx *table.Tx, f *Function, version *string, routing *lambdaapi.AliasRoutingConfiguration) error {
	if version != nil {
		v, err := f.versionNamed(tx, *version)
		if err != nil {
			return err
		}
		a.Version = v.Number
	}
	if routing != nil {
		var err error
		if a.Also, err = f.route(tx, routing.AdditionalVersionWeights); err != nil {
			return err
		}
	}
	return a.checkRoutes(tx, f)
}

// route is what an alias's additional weights say; nil for none.
func (f *Function) route(tx *table.Tx, weights map[string]float64) (*Route, error) {
	if len(weights) > 1 {
		return nil, lambdaapi.InvalidParameterValueException(textRoutes)
	}
	for name, weight := range weights {
		v, err := f.versionNamed(tx, name)
		if err != nil {
			return nil, err
		}
		return &Route{Version: v.Number, Weight: weight}, nil
	}
	return nil, nil
}

// checkRoutes refuses two versions that cannot share calls ("Implement Lambda canary
// deployments using a weighted alias").
func (a *Alias) checkRoutes(tx *table.Tx, f *Function) error {
	switch {
	case a.Also == nil:
		return nil
	case a.Version == 0:
		return lambdaapi.InvalidParameterValueException(textRouteLatest)
	case a.Version == a.Also.Version:
		return lambdaapi.InvalidParameterValueException(fmt.Sprintf(textRouteTwice, versionName(a.Version)))
	}
	one, err := f.versionNamed(tx, versionName(a.Version))
	if err != nil {
		return err
	}
	other, err := f.versionNamed(tx, versionName(a.Also.Version))
	if err != nil {
		return err
	}
	if one.Role != other.Role {
		return lambdaapi.InvalidParameterValueException(textRouteRole)
	}
	return nil
}

// versionNamed is a version that must exist.
func (f *Function) versionNamed(tx *table.Tx, name string) (*Version, error) {
	n, ok := number(name)
	if ok || name == latest {
		v, err := f.published(tx, n)
		if err != nil || v != nil {
			return v, err
		}
	}
	return nil, lambdaapi.ResourceNotFoundException(textNoFunction + f.arn() + ":" + name)
}

func (a *Alias) shown(f *Function) lambdaapi.AliasConfiguration {
	out := lambdaapi.AliasConfiguration{
		AliasArn:        new(f.arn() + ":" + a.Name),
		Name:            new(a.Name),
		FunctionVersion: new(versionName(a.Version)),
		Description:     new(a.Description),
		RevisionId:      new(a.Revision),
	}
	if a.Also != nil {
		out.RoutingConfig = &lambdaapi.AliasRoutingConfiguration{
			AdditionalVersionWeights: map[string]float64{versionName(a.Also.Version): a.Also.Weight},
		}
	}
	return out
}
