package gateway

import (
	"fmt"

	"coffer/internal/api"
	"coffer/internal/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// verdicts are the decisions of one call, for its record. Usual calls have one.
type verdicts struct {
	list  []*policy.Decided
	own   iam.Verdict // the first of them
	first [1]*policy.Decided
}

func (v *verdicts) next() *iam.Verdict {
	if len(v.list) == 0 {
		v.list = append(v.first[:0], &v.own.Decided)
		return &v.own
	}
	more := new(iam.Verdict)
	v.list = append(v.list, &more.Decided)
	return more
}

// forget leaves nothing of an earlier run.
func (v *verdicts) forget() {
	if v.list != nil {
		*v = verdicts{}
	}
}

// resource is the ARN that the operation's own access was decided on.
func (v *verdicts) resource() string {
	if len(v.list) == 0 {
		return ""
	}
	return v.list[0].Resource
}

// authorize is the one place where calls from outside are decided.
func (c *call) authorize(a *api.Access) error { return c.decide(&c.req, a, &c.verdicts) }

// authorize decides calls between services: as the same principal.
func (i *inner) authorize(a *api.Access) error { return i.c.decide(&i.req, a, &i.verdicts) }

// load is the transaction that loads what applies to the caller.
func (c *call) load(tx *table.Tx) (err error) {
	c.standing, err = c.g.cfg.Directory.Load(tx, &c.req.Principal)
	return err
}

// Authorize implements api.Caller. A refusal is told by the record of the call: it may be
// all that speaks against it.
func (c *call) Authorize(r *api.Request, a *api.Access) (policy.Allowed, error) {
	v := new(iam.Verdict)
	allowed, err := c.decideOne(r, a, v)
	if err != nil && r == &c.req && v.Request.Action != "" {
		*c.verdicts.next() = *v
	}
	return allowed, err
}

// decide decides an access and all that hang on it, and leaves the proofs in
// the request only if every one of them is allowed.
func (c *call) decide(r *api.Request, a *api.Access, v *verdicts) error {
	if r.Tx == nil {
		// An operation that reaches outside has no transaction of its own.
		return r.Read(func(tx *table.Tx) error {
			r.Tx = tx
			defer func() { r.Tx = nil }()
			c.standing = nil
			return c.decide(r, a, v)
		})
	}
	v.forget()
	allowed, err := c.decideOne(r, a, v.next())
	if err != nil {
		return err
	}
	var also []policy.Allowed
	for i := range a.Also {
		if len(a.Also[i].Also) > 0 { // fail closed: what is not looked at is not allowed
			return fmt.Errorf("gateway: nested accesses of %s", r.Op.Action())
		}
		p, err := c.decideOne(r, &a.Also[i], v.next())
		if err != nil {
			return err
		}
		also = append(also, p)
	}
	r.Allowed, r.AlsoAllowed = allowed, also
	return nil
}

// decideOne decides one access.
func (c *call) decideOne(r *api.Request, a *api.Access, v *iam.Verdict) (policy.Allowed, error) {
	standing, err := c.standingOf(r)
	if err != nil {
		return policy.Allowed{}, err
	}
	if err := c.g.cfg.Directory.Authorize(r, a, standing, v); err != nil {
		return policy.Allowed{}, err
	}
	if !v.Allowed.Valid() { // fail closed: no decision, no answer
		return policy.Allowed{}, iam.Denied(a, v)
	}
	return v.Allowed, nil
}

// standingOf is what applies to who makes the request: the caller of all of them, or
// another for whom a service calls, about whom there is nothing to remember.
func (c *call) standingOf(r *api.Request) (*iam.Standing, error) {
	if r.Source != "" || r.Principal.Session != c.req.Principal.Session {
		return c.g.cfg.Directory.Load(r.Tx, &r.Principal)
	}
	if c.standing == nil {
		if err := c.load(r.Tx); err != nil {
			return nil, err
		}
	}
	return c.standing, nil
}
