package sts

import (
	"coffer/internal/api"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/policy"
)

// federation is a federated user about to get credentials.
type federation struct {
	policies sessionPolicies
	tags     sessionTags
}

func resolveGetFederationToken(r *api.Request, in *stsapi.GetFederationTokenInput) (f federation, a api.Access, err error) {
	if f.policies, err = newSessionPolicies(in.Policy, in.PolicyArns); err != nil {
		return f, a, err
	}
	if f.tags, err = newSessionTags(in.Tags, nil, nil); err != nil {
		return f, a, err
	}
	user := "arn:" + r.Partition() + ":sts::" + r.Account + ":federated-user/" + *in.Name
	a = api.Access{Resource: user, Account: r.Account, Named: user, RequestTags: f.tags.passed}
	if len(f.tags.passed) > 0 {
		tag := a
		tag.Action = "sts:TagSession"
		a.Also = []api.Access{tag}
	}
	return f, a, nil
}

// getFederationToken: "If you do not pass a policy, the resulting federated user session has no
// permissions", but those that resource policies give it.
func (s *Service) getFederationToken(r *api.Request, in *stsapi.GetFederationTokenInput, f federation) (*stsapi.GetFederationTokenOutput, error) {
	if err := f.policies.exist(r.Tx, r.Account, r.Partition()); err != nil {
		return nil, err
	}
	ses := ownSession(r, policy.FederatedSession)
	ses.Name, ses.Tags = *in.Name, f.tags.all()
	f.policies.into(ses)
	ses.Restricted = true
	size, err := packed(ses)
	if err != nil {
		return nil, err
	}
	c, err := s.issue(r, ses, life(r, in.DurationSeconds))
	if err != nil {
		return nil, err
	}
	names := ses.Names(r.Partition())
	return &stsapi.GetFederationTokenOutput{
		Credentials: c, FederatedUser: &stsapi.FederatedUser{Arn: &names.ARN, FederatedUserId: &names.UserID}, PackedPolicySize: &size,
	}, nil
}
