package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"coffer/internal/api"
	"coffer/internal/arn"
	"coffer/internal/iam"
	"coffer/internal/table"
)

// Question asks who may do something.
type Question struct {
	Action   string // "secretsmanager:GetSecretValue"
	Resource string // as the operation's input names it; empty for those without a resource
	Account  string // that bare names are looked up in
	Region   string
}

// Answer is who may.
type Answer struct {
	Action   string        `json:"action"`
	Resource string        `json:"resource"` // the ARN it resolved to, "*" for none
	Found    []iam.Finding `json:"principals"`
}

// WhoCan answers q with the evaluator that decides calls.
func (g *Gateway) WhoCan(ctx context.Context, q Question) (a Answer, err error) {
	op, err := g.operation(q.Action)
	if err != nil {
		return a, err
	}
	err = g.cfg.DB.View(ctx, func(tx *table.Tx) error {
		of := func(p api.Principal, account string) *api.Request {
			return &api.Request{
				Context: ctx, ID: api.NewID(), Time: g.cfg.Now(), Op: op, Principal: p, Account: account, Region: q.Region,
				Secure: true, Tx: tx, Directory: g.directory,
				Read: func(f func(*table.Tx) error) error { return f(tx) },
			}
		}
		// What it is about is found once, as a name of the account that was
		// given; every principal then asks for the ARN.
		own, further, err := g.needs(of(api.Principal{}, q.Account), q.Resource)
		if err != nil {
			return err
		}
		a = Answer{Action: op.Action(), Resource: own.Resource}
		name := own.Resource
		if own.Resource == "" {
			a.Resource = "*"
		}
		if q.Resource == "" {
			name = ""
		}
		a.Found, err = g.cfg.Directory.WhoCan(ctx, tx, arn.Partition(q.Region), func(p api.Principal) (*api.Request, []iam.Need, error) {
			account := p.Account
			if account == "" {
				account = q.Account
			}
			r := of(p, account)
			own, _, err := g.needs(r, name)
			if err != nil {
				return nil, nil, err
			}
			if own.Account == "" || name == "" {
				own.Account = q.Account
			}
			needs := []iam.Need{{Op: op, Access: own}}
			for _, f := range further {
				n, err := g.further(r, f)
				if err != nil {
					return nil, nil, err
				}
				needs = append(needs, n)
			}
			return r, needs, nil
		})
		return err
	})
	return a, err
}

// operation finds a served operation by its IAM action, in any case.
func (g *Gateway) operation(action string) (*api.Operation, error) {
	for op, rt := range g.bound {
		if strings.EqualFold(op.Action(), action) {
			if rt.bound == nil {
				return nil, fmt.Errorf("%s is not served here; docs/coverage.md lists what is", op.Action())
			}
			return op, nil
		}
	}
	return nil, fmt.Errorf("%q is no action of a service that is served here; one is: secretsmanager:GetSecretValue", action)
}

func (g *Gateway) needs(r *api.Request, resource string) (api.Access, []api.Further, error) {
	f := g.cfg.Needs[r.Op.Service]
	if f == nil {
		return api.Access{}, nil, fmt.Errorf("who can do %s is not known: its service does not say what it takes", r.Op.Action())
	}
	return f(r, resource)
}

// further is what the caller needs for a call that the service makes on its behalf.
func (g *Gateway) further(r *api.Request, f api.Further) (n iam.Need, err error) {
	if n.Op, err = g.operation(f.Action); err != nil {
		return n, err
	}
	n.Via = []string{r.Op.Service.EventSource}
	inner := *r
	inner.Op, inner.Via = n.Op, n.Via
	n.Access, _, err = g.needs(&inner, f.Resource)
	if err != nil {
		return n, errors.Join(fmt.Errorf("%s takes %s on %s", r.Op.Action(), f.Action, f.Resource), err)
	}
	return n, nil
}
