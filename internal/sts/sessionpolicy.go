package sts

import (
	"strconv"
	"unicode/utf8"

	"coffer/internal/api"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/iam"
	"coffer/internal/policy"
	"coffer/internal/session"
	"coffer/internal/table"
)

// "You can pass up to 10 managed policy ARNs. The plaintext that you use for both
// inline and managed session policies can't exceed 2,048 characters."
const (
	maxSessionPolicies = 10
	maxPolicyText      = 2048
)

// sessionPolicies are those that a request passes.
type sessionPolicies struct {
	text string
	arns []string
}

// newSessionPolicies checks them as far as their texts go.
func newSessionPolicies(text *string, arns []stsapi.PolicyDescriptorType) (p sessionPolicies, err error) {
	if len(arns) > maxSessionPolicies {
		return p, tooLong("policyArns", maxSessionPolicies)
	}
	size := 0
	for i := range arns {
		a := api.Value(arns[i].Arn)
		size += utf8.RuneCountInString(a)
		p.arns = append(p.arns, a)
	}
	if text != nil {
		p.text = *text
		size += utf8.RuneCountInString(p.text)
	}
	if size > maxPolicyText {
		return p, tooLong("policy", maxPolicyText)
	}
	if text != nil {
		if _, err := policy.Parse([]byte(p.text), policy.Identity); err != nil {
			return p, stsapi.MalformedPolicyDocumentException(iam.MalformedPolicy(err)).Because(err)
		}
	}
	return p, nil
}

// tooLong words a failed constraint as the model's are.
func tooLong(member string, limit int) error {
	return api.ValidationException("1 validation error detected: Value at '" + member +
		"' failed to satisfy constraint: Member must have length less than or equal to " + strconv.Itoa(limit))
}

// exist checks that the managed policies are there, in the account of the session or
// among AWS's. It runs after authorization: it reveals the account's policies.
func (p *sessionPolicies) exist(tx *table.Tx, account, partition string) error {
	for _, a := range p.arns {
		ok, err := iam.HasPolicy(tx, account, partition, a)
		if err != nil {
			return err
		}
		if !ok {
			return api.ValidationException("The policy " + a + " does not exist or is not attachable.")
		}
	}
	return nil
}

// into puts the policies into a session.
func (p *sessionPolicies) into(s *session.Session) {
	s.Policy, s.PolicyARNs = p.text, p.arns
	s.Restricted = p.text != "" || len(p.arns) > 0
}
