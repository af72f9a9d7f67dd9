package iam

import (
	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/policy"
)

// beyondSession refuses what temporary credentials cannot be used for, whatever
// policies say ("Compare AWS STS credentials", GetSessionToken and
// GetFederationToken in the STS API reference). It is part of every decision:
// AWS has no permission for what it forbids here.
//
//	session of           IAM            STS
//	GetFederationToken   nothing        GetCallerIdentity
//	GetSessionToken      with MFA only  GetCallerIdentity, AssumeRole
//	a role               everything     all but GetSessionToken, GetFederationToken
func beyondSession(r *api.Request) error {
	s := r.Principal.Session
	if s == nil || len(r.Via) > 0 {
		return nil
	}
	ofRole, federated := s.Type == policy.AssumedRole, s.Type == policy.FederatedSession
	switch r.Op.Service {
	case iamapi.Service:
		if federated || !ofRole && s.MFA == 0 {
			return gone() // IAM knows no such credentials: InvalidClientTokenId
		}
	case stsapi.Service:
		allowed := ofRole
		switch r.Op {
		case stsapi.GetCallerIdentity.Operation:
			allowed = true
		case stsapi.AssumeRole.Operation:
			allowed = !federated
		case stsapi.GetSessionToken.Operation, stsapi.GetFederationToken.Operation:
			allowed = false
		}
		if !allowed {
			return api.AccessDeniedException("Cannot call " + r.Op.Name + " with session credentials")
		}
	}
	return nil
}
