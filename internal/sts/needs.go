package sts

import (
	"errors"
	"fmt"

	"coffer/internal/api"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/policy"
)

// Needs implements api.Needs. What AssumeRole takes, the trust policy of the role says. Of the
// operations that only some kinds of callers can call at all, the others cannot.
func Needs(r *api.Request, resource string) (api.Access, []api.Further, error) {
	p := &r.Principal
	root, role := p.Type == policy.Root, p.Type == policy.AssumedRole
	switch r.Op {
	case stsapi.AssumeRole.Operation:
		a, err := assuming(r, resource)
		if root { // "Roles may not be assumed by root accounts."
			a.Policy = nil
		}
		return a, nil, err
	case stsapi.GetFederationToken.Operation:
		user := resource
		if user == "" {
			return api.Access{}, nil, errors.New("sts:GetFederationToken is about the federated user that it makes: give an ARN like arn:aws:sts::111122223333:federated-user/NAME")
		}
		return api.Access{Resource: user, Account: r.Account, Named: user, Governs: role}, nil, nil // not with session credentials
	case stsapi.AssumeRoleWithWebIdentity.Operation, stsapi.AssumeRoleWithSAML.Operation:
		return api.Access{}, nil, fmt.Errorf("who can do %s is said by the role's trust policy: they are no users or roles of an account", r.Op.Action())
	}
	if resource != "" {
		return api.Access{}, nil, fmt.Errorf(`%s is about no resource: ask for "*"`, r.Op.Action())
	}
	switch r.Op {
	case stsapi.GetCallerIdentity.Operation:
		return api.Access{Account: r.Account, Open: true}, nil, nil
	case stsapi.GetSessionToken.Operation:
		return api.Access{Account: r.Account, Open: !role, Governs: role}, nil, nil
	}
	return api.Access{Account: r.Account}, nil, nil
}

// assuming is the access of AssumeRole to a role, without tags or a source identity.
func assuming(r *api.Request, resource string) (api.Access, error) {
	a, ok := parseRoleARN(resource)
	if !ok {
		return api.Access{}, fmt.Errorf("sts:AssumeRole is about a role: %q is not the ARN of one", resource)
	}
	q := &assumption{arn: a, text: resource}
	if err := q.find(r.Tx, r.Partition()); err != nil {
		return api.Access{}, err
	}
	if q.role == nil {
		return api.Access{}, fmt.Errorf("there is no %s", resource)
	}
	return q.access(r)
}
