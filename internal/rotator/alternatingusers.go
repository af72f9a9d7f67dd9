package rotator

import "context"

// AlternatingUsers is the rotation in which two users take turns: a superuser, whose
// secret the key masterarn names, gives the one that is not current the rights of the
// other and a new password.
func AlternatingUsers(e Engine) Rotation { return alternatingUsers{logins{e}} }

type alternatingUsers struct{ logins }

// Create puts the current value with the other user and a new password.
func (r alternatingUsers) Create(ctx context.Context, j *Job) error {
	return r.create(ctx, j, func(current Login) (string, error) {
		return r.engine.Kind().alternate(j, current.User)
	})
}

// Set logs in as the pending user, and is done if that works; else a superuser makes
// it work.
func (r alternatingUsers) Set(ctx context.Context, j *Job) error {
	name := r.engine.Kind().Name
	current, err := r.version(ctx, j, Current)
	if err != nil {
		return err
	}
	pending, err := r.version(ctx, j, Pending)
	if err != nil {
		return err
	}
	s, _, err := login(ctx, j, r.engine, pending)
	if err != nil {
		return err
	}
	if s != nil {
		s.Close()
		j.Infof("AWSPENDING secret is already set as password in %s DB for secret arn %s.", name, j.SecretId)
		return nil
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
	user, err := r.prove(ctx, j, current, "")
	if err != nil {
		return err
	}
	defer func() { user.Close() }()
	master, err := r.master(ctx, j, current, pending)
	if err != nil {
		return err
	}
	if master.Port != current.Port || master.mode != current.mode {
		// The application's secret chose the way to the server that took its password. What
		// answers there need not be the one that the superuser's secret is for.
		user.Close()
		same := current
		same.Port, same.mode = master.Port, master.mode
		if user, err = r.prove(ctx, j, same, " at the port and in the ssl mode of master secret "+master.Secret); err != nil {
			return err
		}
	}
	super, failure, err := login(ctx, j, r.engine, master)
	if err != nil {
		return err
	}
	if failure != nil {
		return ValueErrorf("Unable to log into database using credentials in master secret %s", master.Secret)
	}
	defer super.Close()
	pending.Warnf = j.Warnf
	if err := super.Clone(ctx, user, pending); err != nil {
		return err
	}
	j.Infof("Successfully set password for %s in %s DB for secret arn %s.", pending.User, name, j.SecretId)
	return nil
}

// prove logs in as the current user. Whoever can write a secret could otherwise have
// the superuser clone any user whose name they know.
func (r alternatingUsers) prove(ctx context.Context, j *Job, current Login, where string) (Session, error) {
	s, failure, err := login(ctx, j, r.engine, current)
	if err != nil {
		return closed{}, err
	}
	if failure != nil {
		return closed{}, ValueErrorf("Unable to log into database using current credentials for secret %s%s", j.SecretId, where)
	}
	return s, nil
}

// closed stands for no session where one is to be closed.
type closed struct{ Session }

// Close does nothing.
func (closed) Close() {}

// master is the superuser of the server that current is on. Where and how it logs in
// is from its own secret alone.
func (r alternatingUsers) master(ctx context.Context, j *Job, current, pending Login) (Login, error) {
	arn, err := current.Keys.Required("masterarn")
	if err != nil {
		return Login{}, err
	}
	value, err := j.Other(ctx, arn)
	if err != nil {
		return Login{}, err
	}
	master, err := r.read(j, arn, value)
	if err != nil {
		return Login{}, err
	}
	if master.Host != current.Host {
		return Login{}, ValueErrorf("Current database host %s is not the same host as/rds replica of master %s", current.Host, master.Host)
	}
	if master.User == pending.User {
		return Login{}, ValueErrorf("Attempting to modify user %s, which is the superuser of master secret %s", pending.User, arn)
	}
	return master, nil
}
