package rotator

import "context"

// AlternatingUsers is the rotation in which two users take turns: a superuser, whose
// secret the key masterarn names, gives the one that is not current the rights of the
// other and a new password.
func AlternatingUsers(e Engine[UserSession]) Rotation {
	return alternatingUsers{logins[UserSession]{e}}
}

type alternatingUsers struct{ logins[UserSession] }

// Create puts the current value with the other user and a new password.
func (r alternatingUsers) Create(ctx context.Context, j *Job) error {
	return r.create(ctx, j, func(current Login) (string, error) {
		return r.engine.Kind().alternate(j, current.User)
	})
}

// Set logs in as the pending user, and is done if that works; else a superuser makes
// it work.
func (r alternatingUsers) Set(ctx context.Context, j *Job) error {
	current, pending, done, err := r.toSet(ctx, j)
	if err != nil || done {
		return err
	}
	other, err := r.engine.Kind().alternate(j, current.User)
	if err != nil {
		return err
	}
	if pending.User != other {
		return ValueErrorf("Attempting to modify user %s other than current user or clone %s", pending.User, current.User)
	}
	if pending.Host != current.Host {
		return ValueErrorf("Attempting to modify user for host %s other than current host %s", pending.Host, current.Host)
	}
	user, super, err := r.superuser(ctx, j, current, pending)
	if err != nil {
		return err
	}
	defer user.Close()
	defer super.Close()
	if err := super.Clone(ctx, user, pending); err != nil {
		return err
	}
	j.Infof("Successfully set password for %s in %s DB for secret arn %s.", pending.User, r.engine.Kind().Name, j.SecretId)
	return nil
}
