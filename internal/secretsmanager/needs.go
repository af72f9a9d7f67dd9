package secretsmanager

import (
	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
)

// Needs implements api.Needs: reading and writing values takes the use of the
// secret's key as well.
func Needs(r *api.Request, resource string) (api.Access, []api.Further, error) {
	if resource == "" {
		return everything(r), nil, nil
	}
	t, access, err := read(r, &resource)
	if err != nil {
		return access, nil, err
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
