package rotator

import "context"

// TwoPasswords is the rotation of a user who has the current and the pending password
// at once, so that nobody is refused who has read either. What was valid before is
// taken away. A superuser does it, whose secret the key masterarn names, or without
// that key the user itself.
func TwoPasswords(e Engine[PasswordsSession]) Rotation {
	return twoPasswords{logins[PasswordsSession]{e}}
}

type twoPasswords struct{ logins[PasswordsSession] }

// Create puts the current value with a new password.
func (r twoPasswords) Create(ctx context.Context, j *Job) error {
	return r.create(ctx, j, func(current Login) (string, error) { return current.User, nil })
}

// Set gives the user both passwords. That the pending one works already is no reason not to:
// it does for a user who gets in with any.
func (r twoPasswords) Set(ctx context.Context, j *Job) error {
	current, err := r.version(ctx, j, Current)
	if err != nil {
		return err
	}
	pending, err := r.version(ctx, j, Pending)
	if err != nil {
		return err
	}
	if current.User != pending.User {
		return ValueErrorf("Attempting to modify user %s other than current user %s", pending.User, current.User)
	}
	if current.Host != pending.Host {
		return ValueErrorf("Attempting to modify user for host %s other than current host %s", pending.Host, current.Host)
	}
	var s PasswordsSession
	if current.Keys.Has("masterarn") {
		user, super, err := r.superuser(ctx, j, current, pending)
		if err != nil {
			return err
		}
		user.Close()
		s = super
	} else if s, err = r.prove(ctx, j, current); err != nil {
		return err
	}
	defer s.Close()
	if err := s.SetPasswords(ctx, pending.User, current.Password, pending.Password); err != nil {
		return err
	}
	j.Infof("Successfully set password for user %s in %s for secret arn %s.", pending.User, r.engine.Kind().Name, j.SecretId)
	return nil
}
