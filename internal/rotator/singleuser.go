package rotator

import "context"

// SingleUser is the rotation in which a user changes its own password.
func SingleUser(e Engine[UserSession]) Rotation { return singleUser{logins[UserSession]{e}} }

type singleUser struct{ logins[UserSession] }

// Create puts the current value with a new password.
func (r singleUser) Create(ctx context.Context, j *Job) error {
	return r.create(ctx, j, func(current Login) (string, error) { return current.User, nil })
}

// Set logs in with the pending password, and is done if that works; else with the
// current one, else with the previous one, and changes it to the pending one.
func (r singleUser) Set(ctx context.Context, j *Job) error {
	current, pending, done, err := r.toSet(ctx, j)
	if err != nil || done {
		return err
	}
	if current.User != pending.User {
		return ValueErrorf("Attempting to modify user %s other than current user %s", pending.User, current.User)
	}
	if current.Host != pending.Host {
		return ValueErrorf("Attempting to modify user for host %s other than current host %s", pending.Host, current.Host)
	}
	s, err := r.asBefore(ctx, j, current, pending)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.SetPassword(ctx, pending.Password); err != nil {
		return err
	}
	j.Infof("Successfully set password for user %s in %s DB for secret arn %s.", pending.User, r.engine.Kind().Name, j.SecretId)
	return nil
}

// asBefore is a session with the current or the previous password.
func (r singleUser) asBefore(ctx context.Context, j *Job, current, pending Login) (UserSession, error) {
	unable := ValueErrorf("Unable to log into database with previous, current, or pending secret of secret arn %s", j.SecretId)
	s, failure, err := login(ctx, j, r.engine, current)
	if err != nil || s != nil {
		return s, err
	}
	// The previous password helps against a wrong one only, not against a server that
	// is down.
	if failure.Reason != Refused {
		return nil, unable
	}
	previous, ok, err := r.find(ctx, j, Previous)
	if err != nil || !ok {
		if err != nil {
			j.Warnf("AWSPREVIOUS of secret %s is of no use: %v", j.SecretId, err)
		}
		return nil, unable
	}
	// Before the password goes anywhere.
	if previous.User != pending.User {
		return nil, ValueErrorf("Attempting to modify user %s other than previous valid user %s", pending.User, previous.User)
	}
	if previous.Host != pending.Host {
		return nil, ValueErrorf("Attempting to modify user for host %s other than previous host %s", pending.Host, previous.Host)
	}
	// Whoever may write the current value would otherwise have the previous password, which
	// wanted a verified server, sent to any.
	previous.mode = stricter(previous.mode, current.mode)
	s, _, err = login(ctx, j, r.engine, previous)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, unable
	}
	return s, nil
}
