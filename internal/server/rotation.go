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
	if q.Region == "" {
		q.Region = s.cfg.Region
	}
	if q.Account == "" {
		q.Account = s.account
	}
	err = s.db.View(ctx, func(tx *table.Tx) error {
		if !iam.IsAccountID(q.Account) {
			a, err := iam.FindAccount(tx, q.Account)
			if err != nil {
				return err
			}
			q.Account = a.ID
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
