package rotator

import "context"

// superuser logs in as the user of the current value and as the superuser of the secret
// that its key masterarn names, to the same server.
func (d logins[S]) superuser(ctx context.Context, j *Job, current, pending Login) (user, super S, err error) {
	var none S
	user, err = d.prove(ctx, j, current, "")
	if err != nil {
		return none, none, err
	}
	open := []S{user}
	defer func() {
		if err != nil {
			for _, s := range open {
				s.Close()
			}
		}
	}()
	master, err := d.master(ctx, j, current, pending)
	if err != nil {
		return none, none, err
	}
	if master.Port != current.Port || master.mode != current.mode {
		// The application's secret chose the way to the server that took its password. What
		// answers there need not be the one that the superuser's secret is for.
		same := current
		same.Port, same.mode = master.Port, master.mode
		there, err := d.prove(ctx, j, same, " at the port and in the ssl mode of master secret "+master.Secret)
		if err != nil {
			return none, none, err
		}
		user.Close()
		user, open[0] = there, there
	}
	super, failure, err := login(ctx, j, d.engine, master)
	if err != nil {
		return none, none, err
	}
	if failure != nil {
		return none, none, ValueErrorf("Unable to log into database using credentials in master secret %s", master.Secret)
	}
	return user, super, nil
}

// prove logs in as the current user. Whoever can write a secret could otherwise have
// the superuser change any user whose name they know.
func (d logins[S]) prove(ctx context.Context, j *Job, current Login, where string) (S, error) {
	s, failure, err := login(ctx, j, d.engine, current)
	if err == nil && failure != nil {
		err = ValueErrorf("Unable to log into database using current credentials for secret %s%s", j.SecretId, where)
	}
	return s, err
}

// master is the superuser of the server that current is on. Where and how it logs in
// is from its own secret alone.
func (d logins[S]) master(ctx context.Context, j *Job, current, pending Login) (Login, error) {
	arn, err := current.Keys.Required("masterarn")
	if err != nil {
		return Login{}, err
	}
	value, err := j.Other(ctx, arn)
	if err != nil {
		return Login{}, err
	}
	master, err := d.read(j, arn, value)
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
