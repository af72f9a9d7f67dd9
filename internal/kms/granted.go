package kms

import (
	"slices"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// grants are those on the key that name the caller and can allow what it asks for; of
// nobody, all of them. They are looked up only when the policies do not allow it.
func (t *target) grants() ([]*policy.Grant, error) {
	child, _ := t.r.Input.(*kmsapi.CreateGrantInput)
	var out []*policy.Grant
	key := table.K(t.key.Account, t.key.Region, t.key.ID)
	prefixes := []table.Key{key} // of a question about everybody
	if t.r.Principal.Type != policy.Anonymous {
		prefixes = nil
		for _, id := range partyIDs(&t.r.Principal) {
			prefixes = append(prefixes, key+table.K(id))
		}
	}
	for _, prefix := range prefixes {
		for e, err := range Grants.Scan(t.r.Tx, table.Range{Prefix: prefix}) {
			if err != nil {
				return nil, err
			}
			if child == nil || e.Value.covers(child) {
				out = append(out, e.Value.rule(t.r.Op))
			}
		}
	}
	return out, nil
}

// covers reports whether CreateGrant, allowed by g, may make a grant like child: one of no
// more operations, and as strict a constraint ("Granting CreateGrant permission").
func (g *Grant) covers(child *kmsapi.CreateGrantInput) bool {
	for _, op := range child.Operations {
		if !slices.Contains(g.Operations, op) {
			return false
		}
	}
	if g.Constraint == "" {
		return true
	}
	name, pairs := requestedConstraint(child.Constraints)
	if name == "" || g.Constraint == contextEquals && (name != contextEquals || len(pairs) != len(g.Pairs)) {
		return false
	}
	for k, v := range g.Pairs {
		if got, ok := pairs[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// rule is the grant as a decision on op takes it. Constraints "are not applied to operations
// that do not support an encryption context".
func (g *Grant) rule(op *api.Operation) *policy.Grant {
	actions := make([]string, len(g.Operations))
	for i, o := range g.Operations {
		actions[i] = "kms:" + o
	}
	p := g.Grantee.grant(g.ID, actions...)
	switch {
	case !contextual[op]:
	case g.Constraint == contextEquals:
		p.ContextEquals = g.pairs()
	case g.Constraint == contextSubset:
		p.ContextSubset = g.pairs()
	}
	return p
}

// contextual are the operations that take an encryption context.
var contextual = map[*api.Operation]bool{
	kmsapi.Encrypt.Operation: true, kmsapi.Decrypt.Operation: true, kmsapi.ReEncrypt.Operation: true,
	kmsapi.GenerateDataKey.Operation: true, kmsapi.GenerateDataKeyWithoutPlaintext.Operation: true,
	kmsapi.GenerateDataKeyPair.Operation: true, kmsapi.GenerateDataKeyPairWithoutPlaintext.Operation: true,
}

// retirement is a grant that is to be retired.
type retirement struct {
	target
	id    string // of the grant
	grant *Grant // shared; nil: there is none
}

// resolveRetireGrant finds the grant, by a token or by key and id.
func resolveRetireGrant(r *api.Request, in *kmsapi.RetireGrantInput) (t retirement, a api.Access, err error) {
	switch {
	case in.GrantToken != nil && in.KeyId == nil && in.GrantId == nil:
		var n grantName
		if n, err = parseGrantToken(*in.GrantToken); err != nil {
			return t, a, err
		}
		if n.region != r.Region {
			return t, a, invalidGrantToken()
		}
		t.id = n.grant
		t.target, err = locateKey(r, n.account, n.key)
	case in.GrantToken == nil && in.KeyId != nil && in.GrantId != nil:
		t.id = *in.GrantId
		t.target, err = locate(r, *in.KeyId, false)
	default:
		err = api.ValidationException("Specify either a grant token, or a key ID and a grant ID.")
	}
	if err != nil {
		return t, a, err
	}
	if t.key != nil {
		if t.grant, err = firstGrant(r.Tx, grantByID, table.K(t.key.Account, t.key.Region, t.key.ID, t.id)); err != nil {
			return t, a, err
		}
	}
	// The grant determines who can retire it; of the policies only the caller's own count,
	// in the account of the key: kms:RetireGrant "is not effective in a key policy"
	// ("Retiring and revoking grants").
	a = t.access("")
	a.Policy, a.Governs, a.Grants = nil, false, nil
	if t.grant != nil {
		a.Grants = t.retirers
	}
	return t, a, nil
}

// retirers says in grants who may retire the grant: the retiring principal, the grantee if
// it may, and the account that made it.
func (t *retirement) retirers() ([]*policy.Grant, error) {
	const action = "kms:RetireGrant"
	g := t.grant
	issuer := Party{Name: policy.RootARN(t.r.Partition(), g.Issuer), ID: g.Issuer}
	out := []*policy.Grant{issuer.grant(g.ID, action)}
	if g.Retiring != nil {
		out = append(out, g.Retiring.grant(g.ID, action))
	}
	if slices.Contains(g.Operations, kmsapi.GrantOperationRetireGrant) {
		out = append(out, g.Grantee.grant(g.ID, action))
	}
	return out, nil
}

func retireGrant(r *api.Request, in *kmsapi.RetireGrantInput, t retirement) (*kmsapi.RetireGrantOutput, error) {
	return &kmsapi.RetireGrantOutput{}, t.removeGrant(r, t.id, in.DryRun)
}
