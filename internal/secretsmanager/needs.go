package secretsmanager

import (
	"strings"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
)

// Needs implements api.Needs: reading and writing values takes the use of the
// secret's key as well. What CreateSecret is about need not be there.
func Needs(r *api.Request, resource string) (api.Access, []api.Further, error) {
	if resource == "" {
		return everything(r), nil, nil
	}
	if r.Op == smapi.CreateSecret.Operation {
		// The ARN that the access of an earlier question had is as good as a name.
		resource = strings.TrimSuffix(resource, anySuffix)
	}
	t, access, err := read(r, &resource)
	if err != nil {
		return access, nil, err
	}
	if r.Op == smapi.CreateSecret.Operation {
		t.secret, t.arn = nil, arnPrefix(r.Partition(), r.Region, t.account)+t.name+anySuffix
		return api.Access{Resource: t.arn, Account: t.account, Named: t.name, Keys: t}, nil, nil
	}
	s, err := t.existing()
	if err != nil {
		return access, nil, err
	}
	switch r.Op {
	case smapi.GetSecretValue.Operation:
		key := s.kmsARN(defaultKeyAlias)
		v := s.holder(current)
		if v == nil {
			return access, nil, nil // it has no value yet
		}
		if of := v.keyARN(); of != nil {
			key = *of
		}
		return access, []api.Further{{Action: "kms:Decrypt", Resource: key}}, nil
	case smapi.PutSecretValue.Operation, smapi.UpdateSecret.Operation:
		key := s.keyID()
		if s.KMSKeyID == "" {
			key = s.kmsARN(defaultKeyAlias)
		}
		return access, []api.Further{{Action: "kms:GenerateDataKey", Resource: key}}, nil
	}
	return access, nil, nil
}
