package kms

import (
	"errors"
	"fmt"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/fault"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Policy is the one policy of a key.
type Policy struct {
	Account string `cbor:"1,keyasint"`
	Region  string `cbor:"2,keyasint"`
	KeyID   string `cbor:"3,keyasint"`
	Text    string `cbor:"4,keyasint"` // as it was given

	// Principals are the unique ids of the users and roles that it names, by ARN.
	Principals map[string]string `cbor:"5,keyasint,omitempty"`

	compiled policy.Compiled
}

// keyPolicy is the policy of a key.
func keyPolicy(tx *table.Tx, k *Key) (*policy.Set, error) {
	p, err := Policies.Find(tx, k.Account, k.Region, k.ID)
	if err != nil {
		return nil, fmt.Errorf("kms: policy of %s: %w", k.ARN, err)
	}
	set, err := p.compiled.Set(p.Text, policy.Key, p.Principals, k.ARN)
	if err != nil {
		return nil, fmt.Errorf("kms: policy of %s: %w", k.ARN, err)
	}
	return set, nil
}

// Policies holds the key policies by account, region and key id.
var Policies = table.Collection[Policy]{
	Name: "kms.policy",
	Key:  func(p *Policy) table.Key { return table.K(p.Account, p.Region, p.KeyID) },
}

// policyName is the name of every key policy ("Key policies in AWS KMS").
const policyName = "default"

// defaultPolicy is what a key gets that is created without one: it leaves all
// to the account's IAM policies.
func defaultPolicy(r *api.Request) string {
	return fmt.Sprintf(`{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:%s:iam::%s:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`, r.Partition(), r.Account)
}

// checkPolicy refuses a policy that is broken, too long, names who does not
// exist, or would keep the caller from mending it. It returns the unique ids of the
// users and roles named.
func checkPolicy(r *api.Request, keyARN, text string, bypass *bool) (map[string]string, error) {
	const unknown = "Policy contains a statement with one or more invalid principals."
	doc, err := policy.Parse([]byte(text), policy.Key)
	if err != nil {
		if syntax, ok := errors.AsType[*policy.SyntaxError](err); ok && syntax.Fault != policy.FaultSyntax {
			return nil, kmsapi.MalformedPolicyDocumentException(unknown).Because(err)
		}
		// AWS sends no text with this, whatever is wrong with the grammar.
		return nil, kmsapi.MalformedPolicyDocumentException("").Because(err)
	}
	if policy.Length([]byte(text)) > policy.MaxKeyPolicy {
		return nil, kmsapi.LimitExceededException(fmt.Sprintf("The key policy is longer than %d characters.", policy.MaxKeyPolicy))
	}
	found, err := r.FindPrincipals(doc)
	if err != nil {
		return nil, err
	}
	if found.Unknown != "" {
		return nil, kmsapi.MalformedPolicyDocumentException(unknown).Because(fault.Reason("no such principal: " + found.Unknown))
	}
	if bypass != nil && *bypass {
		return found.IDs, nil
	}
	doc.Bind(found.IDs)
	if doc.LocksOut(&policy.Request{Caller: r.Principal.Caller, Resource: keyARN}) {
		return nil, kmsapi.MalformedPolicyDocumentException("The new key policy will not allow you to update the key policy in the future.")
	}
	return found.IDs, nil
}

func checkPolicyName(name *string) error {
	if name != nil && *name != policyName {
		return kmsapi.NotFoundException("No such policy exists")
	}
	return nil
}

func getKeyPolicy(r *api.Request, in *kmsapi.GetKeyPolicyInput, t target) (*kmsapi.GetKeyPolicyOutput, error) {
	k, err := t.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	if err := checkPolicyName(in.PolicyName); err != nil {
		return nil, err
	}
	p, err := Policies.Get(r.Tx, keyKey(k))
	if err != nil {
		return nil, fmt.Errorf("kms: policy of %s: %w", k.ARN, err)
	}
	text, err := r.ShowPolicy(r.Tx, p.Text, p.Principals)
	if err != nil {
		return nil, err
	}
	return &kmsapi.GetKeyPolicyOutput{Policy: &text, PolicyName: new(policyName)}, nil
}

func putKeyPolicy(r *api.Request, in *kmsapi.PutKeyPolicyInput, t target) (*kmsapi.PutKeyPolicyOutput, error) {
	k, err := t.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	if err := checkPolicyName(in.PolicyName); err != nil {
		return nil, err
	}
	if err := k.notPending(); err != nil {
		return nil, err
	}
	ids, err := checkPolicy(r, k.ARN, *in.Policy, in.BypassPolicyLockoutSafetyCheck)
	if err != nil {
		return nil, err
	}
	p := &Policy{Account: k.Account, Region: k.Region, KeyID: k.ID, Text: *in.Policy, Principals: ids}
	return &kmsapi.PutKeyPolicyOutput{}, Policies.Put(r.Tx, p)
}

// listKeyPolicies gives the one name there is. No page ever ends before it, so
// no marker can be ours, and like AWS's model we have no error for that.
func listKeyPolicies(r *api.Request, _ *kmsapi.ListKeyPoliciesInput, t target) (*kmsapi.ListKeyPoliciesOutput, error) {
	if _, err := t.found(r, r.Op.Action()); err != nil {
		return nil, err
	}
	return &kmsapi.ListKeyPoliciesOutput{PolicyNames: []string{policyName}, Truncated: new(false)}, nil
}
