package rotator

import (
	"context"
	"strings"
)

// Generated is the rotation of a value that nobody but its readers knows: a signing key,
// a pepper, a token that two programs of one's own share. It is what AWS's generic
// template does before anyone fills it in.
//
// The whole value is replaced, unless it is a JSON object: then its key "password" is,
// or the one that the variable SECRET_KEY names.
func Generated() Rotation { return generated{} }

type generated struct{}

// Create puts a new value.
func (generated) Create(ctx context.Context, j *Job) error {
	current, ok, err := j.Value(ctx, Current)
	if err != nil {
		return err
	}
	if !ok {
		return missing(Current)
	}
	j.Conceal(current)
	if _, ok, err := j.Value(ctx, Pending); err != nil {
		return err
	} else if ok {
		j.Infof("Successfully retrieved secret for %s.", j.SecretId)
		return nil
	}
	object, key, err := generatedKey(j, current)
	if err != nil {
		return err
	}
	value, err := j.NewPassword(ctx, `/@"'\`, 32)
	if err != nil {
		return err
	}
	if object != nil {
		object.SetText(key, string(value))
		value = Password(object.JSON())
	}
	return j.Put(ctx, value)
}

// generatedKey is the object that a value is and the key in it that is renewed; nil if it
// is plain text. An object without the key is refused: to replace all of it would
// destroy what it holds.
func generatedKey(j *Job, value Password) (*Secret, string, error) {
	if !strings.HasPrefix(strings.TrimSpace(string(value)), "{") {
		return nil, "", nil
	}
	object, err := ParseSecret(j.SecretId, string(value))
	if err != nil {
		return nil, "", nil // text that begins with a brace
	}
	key := j.Getenv("SECRET_KEY", "password")
	old, err := object.Required(key)
	if err != nil {
		return nil, "", err
	}
	j.Conceal(Password(old))
	return object, key, nil
}

// Set has nothing to do: there is nobody to tell.
func (generated) Set(_ context.Context, j *Job) error {
	j.Infof("Nothing outside of Secrets Manager takes the value of secret %s.", j.SecretId)
	return nil
}

// Test wants the pending value to have the form of the current one. It may be equal: when
// rotation is set up for later (RotateImmediately=false), a copy of the current value is tested.
func (generated) Test(ctx context.Context, j *Job) error {
	current, ok, err := j.Value(ctx, Current)
	if err == nil && !ok {
		err = missing(Current)
	}
	if err != nil {
		return err
	}
	pending, ok, err := j.Value(ctx, Pending)
	if err == nil && !ok {
		err = missing(Pending)
	}
	if err != nil {
		return err
	}
	was, key, err := generatedKey(j, current)
	if err != nil {
		return err
	}
	if was != nil {
		object, err := ParseSecret(j.SecretId, string(pending))
		if err != nil {
			return err
		}
		if _, err := object.Required(key); err != nil {
			return err
		}
	}
	j.Infof("The pending value of secret %s has what the current one has.", j.SecretId)
	return nil
}
