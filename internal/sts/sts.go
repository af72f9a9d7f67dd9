// Package sts is AWS Security Token Service: who am I, and temporary
// credentials.
//
// It is the other half of package iam: what it hands out stands for what is
// kept there. Credentials are made by package session and stored nowhere.
package sts

import (
	"coffer/internal/api"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/session"
)

// Config says what the service works with.
type Config struct {
	Tokens *session.Tokens // required
}

// Service serves the STS API. It holds no state but its configuration. Safe for
// concurrent use.
type Service struct {
	tokens *session.Tokens
}

// New returns the service.
func New(cfg Config) *Service { return &Service{tokens: cfg.Tokens} }

// Operations is what the gateway serves.
func (s *Service) Operations() []api.Bound {
	return []api.Bound{
		api.Bind(stsapi.GetCallerIdentity, resolveGetCallerIdentity, getCallerIdentity),
	}
}

// resolveGetCallerIdentity: "No permissions are required to perform this
// operation", not even with an explicit deny.
func resolveGetCallerIdentity(r *api.Request, _ *stsapi.GetCallerIdentityInput) (struct{}, api.Access, error) {
	return struct{}{}, api.Access{Account: r.Account, Open: true}, nil
}

func getCallerIdentity(r *api.Request, _ *stsapi.GetCallerIdentityInput, _ struct{}) (*stsapi.GetCallerIdentityOutput, error) {
	p := &r.Principal
	id := p.UserID()
	return &stsapi.GetCallerIdentityOutput{Account: &p.Account, Arn: &p.ARN, UserId: &id}, nil
}
