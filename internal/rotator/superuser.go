package rotator

import "context"

// superuser logs in as the user of the current value and as the superuser of the secret
// that its key masterarn names, to the same server.
func (d logins[S]) superuser(ctx context.Context, j *Job, current, pending Login) (user, super S, err error) {
	var none S
	user, err = d.prove(ctx, j, current)
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
		same.Port, same.mode, same.untold = master.Port, master.mode, true
		there, failure, err := login(ctx, j, d.engine, same)
		if err != nil {
			return none, none, err
		}
		if failure != nil {
			return none, none, unfit(master.Secret)
		}
		user.Close()
		user, open[0] = there, there
	}
	super, failure, err := login(ctx, j, d.engine, master)
	if err != nil {
		return none, none, err
	}
	if failure != nil {
		return none, none, unfit(master.Secret)
	}
	return user, super, nil
}

// unfit is the one error for every way in which a secret is not the superuser's. masterarn is
// chosen by whoever writes the application's secret, and the function reads more secrets than they
// may: an error that told the reason would tell them what is in any of those, piece by piece.
func unfit(arn string) error {
	return ValueErrorf("The master secret %s cannot be used: it must be one that the function's role can read, hold the working credentials of a superuser "+
		"in the form of this rotation's secrets, name the same host, spelled the same, with a port and an ssl key at which that server takes both users, "+
		"and not be of the user whose password is changed", arn)
}

// prove logs in as the current user. Whoever can write a secret could otherwise have
// the superuser change any user whose name they know.
func (d logins[S]) prove(ctx context.Context, j *Job, current Login) (S, error) {
	s, failure, err := login(ctx, j, d.engine, current)
	if err == nil && failure != nil {
		err = ValueErrorf("Unable to log into database using current credentials for secret %s", j.SecretId)
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
	if ctx.Err() != nil {
		return Login{}, ctx.Err()
	}
	if err != nil {
		return Login{}, unfit(arn)
	}
	master, err := d.read(j, arn, value)
	if err != nil || master.Host != current.Host || master.User == pending.User {
		return Login{}, unfit(arn)
	}
	master.untold = true
	return master, nil
}
