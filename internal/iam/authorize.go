package iam

import (
	"errors"
	"fmt"

	"coffer/internal/api"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Verdict is a decision, and what answered for condition keys in it: one allocation, or
// none where it is used again.
type Verdict struct {
	policy.Decided
	facts facts
}

// errExhausted is of requests that cannot be decided in reasonable time. They get no
// decision: a denial would have to name a reason.
var errExhausted = errors.New("the policies and the request are too long to be compared with each other")

// Authorize decides one access of a request, without those in Also. standing is
// what Load gave for the request's principal in the same transaction. What was in out is
// forgotten.
//
// The error is for what went wrong, not for a denial: then there is no decision,
// and the call fails.
func (d *Directory) Authorize(r *api.Request, a *api.Access, standing *Standing, out *Verdict) error {
	*out = Verdict{}
	if err := beyondSession(r); err != nil {
		return err
	}
	return d.decide(r, a, standing, out)
}

// decide is Authorize with a request in out that may be one nobody has made.
func (d *Directory) decide(r *api.Request, a *api.Access, standing *Standing, out *Verdict) (err error) {
	if standing == nil {
		return errors.New("iam: nothing is known of the principal")
	}
	action, resource, account := a.Action, a.Resource, a.Account
	if action == "" {
		action = r.Op.Action()
	}
	if resource == "" || resource == "*" {
		resource, account = "*", r.Account // an operation without a resource is about the caller's account
	}
	f := &out.facts
	*f = facts{r: r, a: a, standing: standing, account: account}
	q := &out.Request
	q.Caller, q.Action, q.Resource, q.ResourceAccount, q.Named, q.Context = r.Principal.Caller, action, resource, account, a.Named, f
	p := policy.Policies{
		Identity: standing.policies,
		Boundary: standing.boundary,
		Session:  standing.session,
		Resource: a.Policy,
		Governs:  a.Governs,
		Open:     a.Open,
	}
	if r.Endpoint != nil {
		p.Endpoint = r.Endpoint.Policy
	}
	if own := standing.place; own.organization != "" && !own.management && !standing.linked {
		p.ServiceControl = own.service
	}
	// Resource control policies are about who uses what the organisation's accounts own;
	// of the management account's resources and by service-linked roles they are not, nor of
	// the right to retire a grant, nor of actions without a resource.
	if f.owner, err = d.owner(r, standing, account); err != nil {
		return err
	}
	if f.owner.organization != "" && !f.owner.management && !standing.linked && resource != "*" && action != "kms:RetireGrant" {
		p.ResourceControl = f.owner.resource
	}
	if a.Grants != nil {
		p.EncryptionContext, p.Grants = a.EncryptionContext, f.grants
	}
	out.Decision = policy.Evaluate(q, &p)
	failed := f.failed
	if failed == nil && a.Keys != nil {
		failed = a.Keys.Err()
	}
	if failed == nil && out.Exhausted {
		failed = errExhausted
	}
	if failed != nil {
		out.Decision = policy.Decision{}
		return fmt.Errorf("iam: decision on %s: %w", action, failed)
	}
	// Now, while policies and facts are those of the decision; who only wonders (Trace,
	// Unknown) does not record it.
	if !out.Decision.Allowed.Valid() && q.Trace == nil && q.Unknown == nil {
		out.Missed = policy.Miss(q, &p, &out.Decision)
	}
	return nil
}

// owner is the place of the account that owns the resource.
func (d *Directory) owner(r *api.Request, standing *Standing, account string) (*place, error) {
	if account == r.Principal.Account || standing.organization == 0 || account == "" {
		return standing.place, nil
	}
	if r.Tx == nil {
		return nil, errors.New("iam: a decision about another account without a transaction")
	}
	if p := d.places.get(account); p != nil && p.epoch == standing.organization {
		return p.place, nil
	}
	if r.Tx.ReadOnly() || r.Read == nil {
		return d.place(r.Tx, account, standing.organization)
	}
	// Up to a hundred records: a transaction that writes has no room for them. It has
	// read the epoch, and does not commit if that has changed meanwhile.
	var p *place
	err := r.Read(func(tx *table.Tx) error {
		now, err := epoch(tx, organizationsKey)
		if err != nil {
			return err
		}
		if now != standing.organization {
			return ErrChanged
		}
		p, err = d.place(tx, account, now)
		return err
	})
	return p, err
}

// Denied is the error that a denial of a is answered with.
//
// Who is not let in by the policy of another account's resource is told that alone, whatever
// else denies: by conditions of his own policies (on the resource's tags, say) a caller could
// otherwise learn of what he has no access to. The audit record has the reason.
func Denied(a *api.Access, v *Verdict) error {
	switch {
	case a.Denied != "":
		return api.AccessDeniedException(a.Denied)
	case v.Uninvited:
		return api.AccessDeniedException(v.Request.Denial(&policy.Decision{Type: policy.ResourcePolicy}))
	}
	return api.AccessDeniedException(v.Request.Denial(&v.Decision))
}
