package gateway

import (
	"fmt"

	"coffer/internal/api"
	"coffer/internal/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// verdicts are the decisions of one call, for its record. Two are the most that usual
// calls have.
type verdicts struct {
	own  [2]policy.Decided
	list []*policy.Decided
}

func (v *verdicts) next() *policy.Decided {
	if n := len(v.list); n < len(v.own) {
		v.list = append(v.list, &v.own[n])
	} else {
		v.list = append(v.list, new(policy.Decided))
	}
	return v.list[len(v.list)-1]
}

// forget leaves nothing of an earlier run, and keeps the memory.
func (v *verdicts) forget() {
	for i := range v.list {
		*v.list[i], v.list[i] = policy.Decided{}, nil
	}
	v.list = v.list[:0]
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
	var d policy.Decided
	allowed, err := c.decideOne(r, a, &d)
	if err != nil && r == &c.req && d.Action != "" {
		*c.verdicts.next() = d
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
func (c *call) decideOne(r *api.Request, a *api.Access, d *policy.Decided) (policy.Allowed, error) {
	if c.standing == nil {
		if err := c.load(r.Tx); err != nil {
			return policy.Allowed{}, err
		}
	}
	if err := c.g.cfg.Directory.Authorize(r, a, c.standing, d); err != nil {
		return policy.Allowed{}, err
	}
	if !d.Allowed.Valid() { // fail closed: no decision, no answer
		return policy.Allowed{}, iam.Denied(a, d)
	}
	return d.Allowed, nil
}
