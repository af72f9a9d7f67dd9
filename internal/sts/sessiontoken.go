package sts

import (
	"time"

	"coffer/internal/api"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/policy"
	"coffer/internal/session"
)

const (
	usualSession = 12 * time.Hour
	rootSession  = time.Hour // at most: "the session for AWS account owners defaults to one hour"
)

// life is how long the session of a user or of the root lasts.
func life(r *api.Request, duration *int64) time.Duration {
	d := seconds(duration, usualSession)
	if r.Principal.Type == policy.Root {
		d = min(d, rootSession)
	}
	return d
}

// ownSession is a session that stands for the caller, a user or the root, and ends with the
// access key that the caller has used.
func ownSession(r *api.Request, kind policy.CallerType) *session.Session {
	ses := &session.Session{Type: kind, Account: r.Principal.Account, ParentKeyID: r.Principal.AccessKeyID}
	if r.Principal.Type == policy.IAMUser {
		ses.EntityID = r.Principal.ID
	}
	return ses
}

// resolveGetSessionToken: "No permissions are required for users to perform this
// operation ... You cannot use policies to control authentication operations."
func resolveGetSessionToken(r *api.Request, _ *stsapi.GetSessionTokenInput) (struct{}, api.Access, error) {
	return struct{}{}, api.Access{Account: r.Account, Open: true}, nil
}

func (s *Service) getSessionToken(r *api.Request, in *stsapi.GetSessionTokenInput, _ struct{}) (*stsapi.GetSessionTokenOutput, error) {
	factor, err := s.verifyMFA(r, in.SerialNumber, in.TokenCode)
	if err != nil {
		return nil, err
	}
	ses := ownSession(r, r.Principal.Type)
	if factor {
		ses.MFA = r.Time.Unix()
	}
	c, err := s.issue(r, ses, life(r, in.DurationSeconds))
	return &stsapi.GetSessionTokenOutput{Credentials: c}, err
}
