package lambda

import (
	"errors"
	"fmt"
	"strings"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/page"
	"coffer/internal/table"
)

const textOtherCode = "CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). Please try again with the CodeSHA256 in $LATEST."

func (s *Service) versionOperations() []api.Bound {
	return []api.Bound{
		api.Bind(lambdaapi.ListVersionsByFunction, s.resolveListVersionsByFunction, s.listVersionsByFunction),
		api.Bind(lambdaapi.PublishVersion, s.resolvePublishVersion, s.publishVersion),
	}
}

func (s *Service) resolvePublishVersion(r *api.Request, in *lambdaapi.PublishVersionInput) (*target, api.Access, error) {
	return s.changeFunction(r, in.FunctionName)
}

func (s *Service) publishVersion(r *api.Request, in *lambdaapi.PublishVersionInput, t *target) (*lambdaapi.PublishVersionOutput, error) {
	f, err := t.existing()
	if err != nil {
		return nil, err
	}
	if in.PublishTo != nil {
		return nil, notHere("capacity providers", "PublishTo")
	}
	if err := f.Latest.at(in.RevisionId); err != nil {
		return nil, err
	}
	if sum := f.Latest.Code.sha256(); api.Value(in.CodeSha256) != "" && *in.CodeSha256 != *sum {
		return nil, lambdaapi.InvalidParameterValueException(fmt.Sprintf(textOtherCode, *in.CodeSha256, *sum))
	}
	a, err := account(r.Tx, f.Account, f.Region)
	if err != nil {
		return nil, err
	}
	v, err := s.publish(r, a, f, in.Description)
	if err != nil {
		return nil, err
	}
	if err := Accounts.Put(r.Tx, a); err != nil {
		return nil, err
	}
	if err := Functions.Put(r.Tx, f); err != nil {
		return nil, err
	}
	out, err := s.described(r, t.as(v), v)
	if err != nil {
		return nil, err
	}
	answer := lambdaapi.PublishVersionOutput(*out)
	return &answer, nil
}

// publish makes a version of what is unpublished, unless nothing has changed since the
// last ("Lambda doesn't publish a version if the function's configuration and code haven't
// changed since the last version"). The caller stores function and account.
func (s *Service) publish(r *api.Request, a *Account, f *Function, description *string) (*Version, error) {
	if f.Published > 0 {
		last, err := f.published(r.Tx, f.Published)
		if err != nil {
			return nil, err
		}
		if last != nil && last.Content == f.Latest.Content {
			return last, nil
		}
	}
	f.Published++
	p := &Published{Account: f.Account, Region: f.Region, UID: f.UID, Name: f.Name, Version: f.Latest}
	v := &p.Version
	v.Number, v.Revision, v.Modified = f.Published, api.NewID(), table.At(r.Time)
	set(&v.Description, description)
	if err := s.take(r, a, v); err != nil {
		return nil, err
	}
	return v, Versions.Insert(r.Tx, p)
}

func (s *Service) resolveListVersionsByFunction(r *api.Request, in *lambdaapi.ListVersionsByFunctionInput) (*target, api.Access, error) {
	return s.onFunction(r, in.FunctionName)
}

func (s *Service) listVersionsByFunction(r *api.Request, in *lambdaapi.ListVersionsByFunctionInput, t *target) (*lambdaapi.ListVersionsByFunctionOutput, error) {
	out := &lambdaapi.ListVersionsByFunctionOutput{Versions: []lambdaapi.FunctionConfiguration{}}
	if t.builtIn != nil {
		ref := t.reference
		ref.qualifier = latest
		c, err := s.described(r, ref, t.version)
		if err != nil {
			return nil, err
		}
		out.Versions = append(out.Versions, *c)
		return out, nil
	}
	f, err := t.existing()
	if err != nil {
		return nil, err
	}
	p, err := newPage(r, in.MaxItems, in.Marker, f.UID)
	if err != nil {
		return nil, err
	}
	out.NextMarker, err = s.eachVersion(r, f, p.After, p.Limit, func(c *lambdaapi.FunctionConfiguration) {
		out.Versions = append(out.Versions, *c)
	})
	if out.NextMarker != nil {
		out.NextMarker = p.Next(*out.NextMarker)
	}
	return out, err
}

// eachVersion shows $LATEST and then the published versions in their order, behind the
// one that after names (as numberPart does) and at most limit. more names the last one
// shown if there are others.
func (s *Service) eachVersion(r *api.Request, f *Function, after string, limit int, show func(*lambdaapi.FunctionConfiguration)) (more *string, err error) {
	ref := reference{region: f.Region, account: f.Account, name: f.Name}
	last := after
	one := func(v *Version) error {
		ref.qualifier = v.name()
		c, err := s.described(r, ref, v)
		if err != nil {
			return err
		}
		show(c)
		last = numberPart(v.Number)
		limit--
		return nil
	}
	if after == "" {
		if err := one(&f.Latest); err != nil {
			return nil, err
		}
	}
	rng := table.Range{Prefix: f.part()}
	if last != "" {
		rng.After = f.part(last)
	}
	for e, err := range Versions.Scan(r.Tx, rng) {
		if err != nil {
			return nil, err
		}
		if limit == 0 {
			return &last, nil
		}
		if err := one(&e.Value.Version); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func resolveListFunctions(r *api.Request, _ *lambdaapi.ListFunctionsInput) (struct{}, api.Access, error) {
	return struct{}{}, everything(r), nil
}

// listFunctions lists the functions that the account has made, by name. Those that come
// with Coffer are not among them: nobody would want to tidy them up.
func (s *Service) listFunctions(r *api.Request, in *lambdaapi.ListFunctionsInput, _ struct{}) (*lambdaapi.ListFunctionsOutput, error) {
	all := api.Value(in.FunctionVersion) == lambdaapi.FunctionVersionAll
	p, err := newPage(r, in.MaxItems, in.Marker, api.Value(in.FunctionVersion))
	if err != nil {
		return nil, err
	}
	out := &lambdaapi.ListFunctionsOutput{Functions: []lambdaapi.FunctionConfiguration{}}
	at, version := cutPosition(p.After)
	if version != "" { // in the middle of a function's versions
		f, err := Functions.Get(r.Tx, table.K(r.Account, r.Region, at))
		switch {
		case err == nil:
			if more, err := s.listVersions(r, p, out, f, version); more || err != nil {
				return out, err
			}
		case !errors.Is(err, table.ErrNotFound):
			return nil, err
		}
	}
	prefix := table.K(r.Account, r.Region)
	rng := table.Range{Prefix: prefix}
	if at != "" {
		rng.After = prefix + table.K(at)
	}
	for e, err := range Functions.Scan(r.Tx, rng) {
		if err != nil {
			return nil, err
		}
		if len(out.Functions) == p.Limit {
			out.NextMarker = p.Next(at)
			return out, nil
		}
		f := e.Value
		at = f.Name
		if all {
			if more, err := s.listVersions(r, p, out, f, ""); more || err != nil {
				return out, err
			}
			continue
		}
		c, err := s.described(r, reference{region: f.Region, account: f.Account, name: f.Name}, &f.Latest)
		if err != nil {
			return nil, err
		}
		out.Functions = append(out.Functions, *c)
	}
	return out, nil
}

// listVersions adds versions of a function to a page of ListFunctions, and reports
// whether the page ended before them.
func (s *Service) listVersions(r *api.Request, p *page.Page, out *lambdaapi.ListFunctionsOutput, f *Function, after string) (more bool, err error) {
	last, err := s.eachVersion(r, f, after, p.Limit-len(out.Functions), func(c *lambdaapi.FunctionConfiguration) {
		out.Functions = append(out.Functions, *c)
	})
	if last != nil {
		out.NextMarker = p.Next(f.Name + ":" + *last)
	}
	return last != nil, err
}

// cutPosition takes a position of ListFunctions apart: a function, or one of its versions.
func cutPosition(s string) (name, version string) {
	name, version, _ = strings.Cut(s, ":")
	return name, version
}
