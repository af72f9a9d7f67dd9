// Package sts is AWS Security Token Service: who am I, and temporary
// credentials.
//
// It is the other half of package iam: what it hands out stands for what is
// kept there. Credentials are made by package session and stored nowhere.
//
// # Promises
//
//   - A role is assumed only by whom its trust policy lets in; with session tags
//     and a source identity only if it allows to set those, too.
//   - A denial does not tell whether the role exists, nor which policy denied: the
//     audit record does.
//   - A token or assertion of an identity provider is believed after it was
//     verified, and only for roles of the account that registered the provider.
//   - The operations whose callers sign are mutations: their record is on disk
//     before the credentials leave.
//
// # Modes
//
// AssumeRoleWithWebIdentity may have to ask the issuer for its keys, and
// AssumeRoleWithSAML remembers assertions: both run without a transaction, so that they
// run once.
package sts

import (
	"coffer/internal/api"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/iam"
	"coffer/internal/jwt"
	"coffer/internal/saml"
	"coffer/internal/session"
)

// Config says what the service works with.
type Config struct {
	Tokens    *session.Tokens // required
	Directory *iam.Directory  // required: it knows MFA devices
	Keys      jwt.Source      // required: keys of OpenID Connect issuers

	// SAMLRecipient is the only Recipient of SAML assertions; empty: those of AWS.
	SAMLRecipient string
}

// Service serves the STS API. Its only state is the SAML assertions that were used, which a
// restart forgets. Safe for concurrent use.
type Service struct {
	tokens        *session.Tokens
	directory     *iam.Directory
	keys          jwt.Source
	samlRecipient string
	assertions    saml.Used
}

// New returns the service.
func New(cfg Config) *Service {
	return &Service{tokens: cfg.Tokens, directory: cfg.Directory, keys: cfg.Keys, samlRecipient: cfg.SAMLRecipient}
}

// Operations is what the gateway serves.
func (s *Service) Operations() []api.Bound {
	return []api.Bound{
		api.Bind(stsapi.AssumeRole, s.resolveAssumeRole, s.assumeRole),
		api.Bind(stsapi.AssumeRoleWithSAML, s.resolveAssumeRoleWithSAML, s.assumeRoleWithSAML),
		api.Bind(stsapi.AssumeRoleWithWebIdentity, s.resolveAssumeRoleWithWebIdentity, s.assumeRoleWithWebIdentity),
		api.Bind(stsapi.DecodeAuthorizationMessage, resolveDecodeAuthorizationMessage, decodeAuthorizationMessage),
		api.Bind(stsapi.GetAccessKeyInfo, resolveGetAccessKeyInfo, getAccessKeyInfo),
		api.Bind(stsapi.GetCallerIdentity, resolveGetCallerIdentity, getCallerIdentity),
		api.Bind(stsapi.GetFederationToken, resolveGetFederationToken, s.getFederationToken),
		api.Bind(stsapi.GetSessionToken, resolveGetSessionToken, s.getSessionToken),
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
