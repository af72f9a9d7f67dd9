package lambda

import (
	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
)

func (s *Service) resolveUpdateFunctionCode(r *api.Request, in *lambdaapi.UpdateFunctionCodeInput) (*target, api.Access, error) {
	return s.changeFunction(r, in.FunctionName)
}

func (s *Service) stageUpdateFunctionCode(r *api.Request, in *lambdaapi.UpdateFunctionCodeInput) error {
	if in.PublishTo != nil {
		return notHere("capacity providers", "PublishTo")
	}
	ref, err := parseUnqualified(r, *in.FunctionName)
	if err != nil {
		return err
	}
	return s.stage(r, ref.account, upload{zip: in.ZipFile, bucket: first(in.S3Bucket, in.S3Key, in.S3ObjectVersion), image: in.ImageUri})
}

func (s *Service) updateFunctionCode(r *api.Request, in *lambdaapi.UpdateFunctionCodeInput, t *target) (*lambdaapi.UpdateFunctionCodeOutput, error) {
	f, err := t.existing()
	if err != nil {
		return nil, err
	}
	if err := f.Latest.at(in.RevisionId); err != nil {
		return nil, err
	}
	code, err := staged(r)
	if err != nil {
		return nil, err
	}
	before := f.Latest
	f.Latest.Code = *code
	if len(in.Architectures) > 0 {
		f.Latest.Architecture = in.Architectures[0]
	}
	if f.Latest.unpacked() >= MaxUnpacked {
		return nil, lambdaapi.InvalidParameterValueException(textUnpackedLayers)
	}
	f.touch(r, &before)
	shown := &f.Latest
	if !api.Value(in.DryRun) {
		if shown, err = s.replace(r, f, &before, api.Value(in.Publish)); err != nil {
			return nil, err
		}
	}
	out, err := s.described(r, t.as(shown), shown)
	if err != nil {
		return nil, err
	}
	answer := lambdaapi.UpdateFunctionCodeOutput(*out)
	return &answer, nil
}

// replace stores the function with what is now its unpublished version, and publishes it
// if asked. It returns the version to show.
func (s *Service) replace(r *api.Request, f *Function, before *Version, publish bool) (*Version, error) {
	a, err := account(r.Tx, f.Account, f.Region)
	if err != nil {
		return nil, err
	}
	// The old is given up first: a small update must be possible in a full account.
	if err := drop(r, a, before); err != nil {
		return nil, err
	}
	if err := s.take(r, a, &f.Latest); err != nil {
		return nil, err
	}
	shown := &f.Latest
	if publish {
		if shown, err = s.publish(r, a, f, nil); err != nil {
			return nil, err
		}
	}
	if err := Accounts.Put(r.Tx, a); err != nil {
		return nil, err
	}
	return shown, Functions.Put(r.Tx, f)
}

func (s *Service) resolveUpdateFunctionConfiguration(r *api.Request, in *lambdaapi.UpdateFunctionConfigurationInput) (*target, api.Access, error) {
	t, a, err := s.changeFunction(r, in.FunctionName)
	if err != nil {
		return nil, a, err
	}
	err = t.further(&a, api.Value(in.Role), in.Layers, in.LoggingConfig)
	return t, a, err
}

func (s *Service) updateFunctionConfiguration(r *api.Request, in *lambdaapi.UpdateFunctionConfigurationInput, t *target) (*lambdaapi.UpdateFunctionConfigurationOutput, error) {
	f, err := t.existing()
	if err != nil {
		return nil, err
	}
	c := updated(in)
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := f.Latest.at(in.RevisionId); err != nil {
		return nil, err
	}
	before := f.Latest
	if err := s.configure(r, f, c); err != nil {
		return nil, err
	}
	f.touch(r, &before)
	if c.layers == nil {
		err = Functions.Put(r.Tx, f)
	} else {
		_, err = s.replace(r, f, &before, false)
	}
	if err != nil {
		return nil, err
	}
	out, err := s.described(r, t.as(&f.Latest), &f.Latest)
	if err != nil {
		return nil, err
	}
	answer := lambdaapi.UpdateFunctionConfigurationOutput(*out)
	return &answer, nil
}

// at checks that the caller knows the latest revision, if it says which it knows.
func (v *Version) at(revision *string) error {
	if revision != nil && *revision != v.Revision {
		return lambdaapi.PreconditionFailedException(textRevision)
	}
	return nil
}

// unpacked is what the version's code and layers take.
func (v *Version) unpacked() (total int64) {
	for _, code := range v.uses() {
		total += code.Unpacked
	}
	return total
}
