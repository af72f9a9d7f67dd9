package iam

import (
	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/policy"
)

func (s *Service) contextKeyOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.GetContextKeysForCustomPolicy, onNothing[iamapi.GetContextKeysForCustomPolicyInput], getContextKeysForCustomPolicy),
		api.Bind(iamapi.GetContextKeysForPrincipalPolicy, resolveGetContextKeysForPrincipalPolicy, s.getContextKeysForPrincipalPolicy),
	}
}

func getContextKeysForCustomPolicy(_ *api.Request, in *iamapi.GetContextKeysForCustomPolicyInput, _ struct{}) (*iamapi.GetContextKeysForCustomPolicyOutput, error) {
	names, err := contextKeys(noPolicies, in.PolicyInputList)
	return &iamapi.GetContextKeysForCustomPolicyOutput{ContextKeyNames: names}, err
}

func resolveGetContextKeysForPrincipalPolicy(r *api.Request, in *iamapi.GetContextKeysForPrincipalPolicyInput) (sourceTarget, api.Access, error) {
	return locateSource(r, *in.PolicySourceArn)
}

func (s *Service) getContextKeysForPrincipalPolicy(r *api.Request, in *iamapi.GetContextKeysForPrincipalPolicyInput, t sourceTarget) (*iamapi.GetContextKeysForPrincipalPolicyOutput, error) {
	standing, _, err := s.standing(r, &t)
	if err != nil {
		return nil, err
	}
	names, err := contextKeys(standing.policies, in.PolicyInputList)
	return &iamapi.GetContextKeysForPrincipalPolicyOutput{ContextKeyNames: names}, err
}

// contextKeys are the condition keys that policies refer to: those of the set,
// and those that a request brings.
func contextKeys(set *policy.Set, inputs []string) ([]string, error) {
	sim := &simulation{}
	if err := sim.givePolicies(&scenario{policies: inputs}, &Standing{policies: set}); err != nil {
		return nil, err
	}
	names, seen := []string{}, map[string]bool{}
	for _, a := range sim.identity.Attachments() {
		for _, key := range a.Document.ContextKeys() {
			if !seen[fold(key)] {
				seen[fold(key)] = true
				names = append(names, key)
			}
		}
	}
	return names, nil
}
