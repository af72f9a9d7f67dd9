package sts

import (
	"coffer/internal/api"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/policy"
	"coffer/internal/table"
)

func (s *Service) resolveAssumeRole(r *api.Request, in *stsapi.AssumeRoleInput) (*assumption, api.Access, error) {
	q, err := s.checkAssumeRole(r, in)
	if err != nil {
		return nil, api.Access{}, err
	}
	a, err := q.access(r)
	return q, a, err
}

func (s *Service) checkAssumeRole(r *api.Request, in *stsapi.AssumeRoleInput) (*assumption, error) {
	if r.Principal.Type == policy.Root {
		return nil, api.AccessDeniedException("Roles may not be assumed by root accounts.")
	}
	a, ok := parseRoleARN(*in.RoleArn)
	if !ok {
		return nil, api.ValidationException(*in.RoleArn + " is invalid")
	}
	if len(in.ProvidedContexts) > 0 {
		return nil, api.ValidationException("Coffer does not take ProvidedContexts.")
	}
	from := r.Principal.Session
	q, err := newAssumption(in, a, from)
	if err != nil {
		return nil, err
	}
	if from != nil && from.SourceIdentity != "" {
		// "If the user attempts to set a source identity that is different from the
		// value set [before], the assume role request will be denied."
		if q.sourceIdentity != "" && q.sourceIdentity != from.SourceIdentity {
			return nil, api.AccessDeniedException(denied(r, "sts:SetSourceIdentity", q.text))
		}
		q.sourceIdentity = from.SourceIdentity
	}
	if q.mfa, err = s.verifyMFA(r, in.SerialNumber, in.TokenCode); err != nil {
		return nil, err
	}
	return q, q.find(r.Tx, r.Partition())
}

func (s *Service) assumeRole(r *api.Request, _ *stsapi.AssumeRoleInput, q *assumption) (*stsapi.AssumeRoleOutput, error) {
	ses, life, err := q.session(r, func(f func(*table.Tx) error) error { return f(r.Tx) })
	if err != nil {
		return nil, err
	}
	out, err := s.take(r, ses, life)
	if err != nil {
		return nil, err
	}
	return &stsapi.AssumeRoleOutput{
		Credentials: out.credentials, AssumedRoleUser: out.user, PackedPolicySize: out.packed, SourceIdentity: out.sourceIdentity,
	}, nil
}

// verifyMFA reports whether the caller proves a second factor, and takes its
// code: each is good once.
func (s *Service) verifyMFA(r *api.Request, serial *string, code api.Sensitive) (bool, error) {
	switch {
	case serial == nil && code == nil:
		return false, nil
	case serial == nil || code == nil:
		return false, api.AccessDeniedException("MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.")
	}
	err := s.directory.VerifyMFA(r.Tx, &r.Principal, *serial, code, r.Time)
	return err == nil, err
}
