package server

import (
	"context"
	"errors"
	"fmt"

	"coffer/internal/arn"
	"coffer/internal/fault"
	"coffer/internal/iam"
	"coffer/internal/secretsmanager"
	"coffer/internal/table"
)

// RotationQuestion names a secret as its users do. Account, an id or a name, and region
// are for a guessed name; the first account and the server's region unless given.
type RotationQuestion struct {
	Secret  string `json:"secret"`
	Account string `json:"account,omitempty"`
	Region  string `json:"region,omitempty"`
}

func (s *Server) rotationStatus(ctx context.Context, q RotationQuestion) (out *secretsmanager.RotationStatus, err error) {
	guessed := q.Account == "" || q.Region == ""
	err = s.db.View(ctx, func(tx *table.Tx) (err error) {
		if q.Account, q.Region, err = s.place(tx, q.Account, q.Region); err != nil {
			return err
		}
		out, err = secretsmanager.StatusOf(tx, q.Account, q.Region, q.Secret)
		return err
	})
	if errors.Is(err, secretsmanager.ErrNoSecret) {
		where := fmt.Sprintf(" in %s of account %s", q.Region, q.Account)
		switch {
		case arn.Is(q.Secret):
			where = ""
		case guessed:
			where += "; --account and --region look in others, or give its ARN"
		}
		return nil, fmt.Errorf("there is no secret %s%s", q.Secret, where)
	}
	if f, ok := fault.As(err); ok {
		return nil, errors.New(f.Message)
	}
	return out, err
}

// place is an account, an id or a name, and a region, or those that are taken for granted.
func (s *Server) place(tx *table.Tx, account, region string) (string, string, error) {
	if region == "" {
		region = s.cfg.Region
	}
	if account == "" {
		account = s.account
	}
	if iam.IsAccountID(account) {
		return account, region, nil
	}
	a, err := iam.FindAccount(tx, account)
	if err != nil {
		return "", "", err
	}
	return a.ID, region, nil
}

// RotationsQuestion asks for a page of the rotations of an account in a region: those behind the
// secret After, all or those that are failing.
type RotationsQuestion struct {
	Account string `json:"account,omitempty"`
	Region  string `json:"region,omitempty"`
	After   string `json:"after,omitempty"`
	Failing bool   `json:"failing,omitempty"`
}

// RotationsPage is a page of rotations. It may be empty and not be the last: that has no Next.
type RotationsPage struct {
	Account   string                           `json:"account"`
	Region    string                           `json:"region"`
	Rotations []secretsmanager.RotationSummary `json:"rotations"`
	Next      string                           `json:"next,omitempty"`
}

func (s *Server) rotations(ctx context.Context, q RotationsQuestion) (out RotationsPage, err error) {
	err = s.db.View(ctx, func(tx *table.Tx) (err error) {
		if out.Account, out.Region, err = s.place(tx, q.Account, q.Region); err != nil {
			return err
		}
		out.Rotations, out.Next, err = secretsmanager.RotationsOf(tx, out.Account, out.Region, q.After, q.Failing)
		return err
	})
	if f, ok := fault.As(err); ok {
		return out, errors.New(f.Message)
	}
	return out, err
}
