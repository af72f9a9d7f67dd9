package kms

import (
	"errors"
	"fmt"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/kv"
	"coffer/internal/policy"
	"coffer/internal/table"
)

const (
	reservedPrefix = aliasPrefix + "aws/"
	managedPeriod  = 365 // days; "AWS managed keys rotate every year"
)

// managedService is a service with an AWS managed key: one key per account and
// region under the alias alias/aws/<name>, made when the service first needs it.
type managedService struct {
	name        string // "secretsmanager", also in kms:ViaService
	title       string // in the policy's Sid
	description string // of the key
}

func (m *managedService) source() string { return m.name + ".amazonaws.com" }

var managedServices = []managedService{{
	name:        "secretsmanager",
	title:       "AWS Secrets Manager",
	description: "Default key that protects my Secrets Manager data when no other key is defined",
}, {
	name:        "lambda",
	title:       "AWS Lambda",
	description: "Default key that protects my Lambda functions when no other key is defined",
}}

// through reports whether the request was forwarded by the service.
func (m *managedService) through(r *api.Request) bool {
	return len(r.Via) > 0 && r.Via[len(r.Via)-1] == m.source()
}

// locateForUse is locate for operations that make ciphertexts. When a service
// names its managed key in the caller's own account before that exists, the
// target is the key that handle will make.
func locateForUse(r *api.Request, name string) (target, error) {
	t, err := locate(r, name, true)
	if err != nil || t.key != nil {
		return t, err
	}
	for i := range managedServices {
		m := &managedServices[i]
		if m.through(r) && t.named == resourceARN(r, r.Account, reservedPrefix+m.name) {
			t.managed, t.newID = m, api.NewID()
			t.arn = keyARN(r, r.Account, t.newID)
			var c policy.Compiled
			if t.policy, err = c.Set(m.policy(r), policy.Key, nil, t.arn); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

// foundOrMade is found for targets of locateForUse. It comes after the
// authorization, so a refused caller leaves no key behind.
func (s *Service) foundOrMade(r *api.Request, t *target, action string) (*Key, error) {
	if t.key == nil && t.managed != nil {
		k, err := s.makeManaged(r, t.managed, t.newID)
		if errors.Is(err, kv.ErrReadOnly) {
			return nil, t.absent
		}
		if err != nil {
			return nil, err
		}
		t.key = k
	}
	return t.found(r, action)
}

func (s *Service) makeManaged(r *api.Request, m *managedService, id string) (*Key, error) {
	w, err := s.material.Generate(r.Context, id, symmetricSpec)
	if err != nil {
		return nil, err
	}
	k := &Key{
		Service: m.name, Description: m.description, Period: managedPeriod, From: table.At(r.Time),
		Spec: symmetricSpec, Usage: kmsapi.KeyUsageTypeEncryptDecrypt,
	}
	if err := put(r, &newKey{id: id, wrapped: w}, k, &Policy{Text: m.policy(r)}); err != nil {
		return nil, err
	}
	a := &Alias{Account: r.Account, Region: r.Region, Name: reservedPrefix + m.name, KeyID: id, Created: k.Created, Updated: k.Created}
	return k, Aliases.Put(r.Tx, a)
}

// policy is the key policy that AWS gives its Secrets Manager key ("Secret
// encryption and decryption in AWS Secrets Manager", the first form of it; the
// later one, auto-secretsmanager-2, has two statements of one Sid).
func (m *managedService) policy(r *api.Request) string {
	return fmt.Sprintf(`{
  "Version" : "2012-10-17",
  "Id" : "auto-%[1]s-1",
  "Statement" : [ {
    "Sid" : "Allow access through %[2]s for all principals in the account that are authorized to use %[2]s",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "*"
    },
    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey" ],
    "Resource" : "*",
    "Condition" : {
      "StringEquals" : {
        "kms:ViaService" : "%[1]s.%[3]s.amazonaws.com",
        "kms:CallerAccount" : "%[4]s"
      }
    }
  }, {
    "Sid" : "Allow direct access to key metadata to the account",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:%[5]s:iam::%[4]s:root"
    },
    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant" ],
    "Resource" : "*"
  } ]
}`, m.name, m.title, r.Region, r.Account, r.Partition())
}
