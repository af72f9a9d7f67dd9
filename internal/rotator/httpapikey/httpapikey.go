// Package httpapikey rotates keys of services that have an HTTP API to make them. The
// secret says how:
//
//	{
//	  "apiKey": "...", "apiKeyId": "...",
//	  "create": {"method": "POST", "url": "https://api.example.com/keys",
//	             "headers": {"Authorization": "Bearer {apiKey}"}, "body": {"name": "orders {versionId}"},
//	             "apiKey": "/key/secret", "apiKeyId": "/key/id"},
//	  "test":   {"url": "https://api.example.com/me", "headers": {"Authorization": "Bearer {apiKey}"}},
//	  "revoke": {"method": "DELETE", "url": "https://api.example.com/keys/{oldApiKeyId}",
//	             "headers": {"Authorization": "Bearer {apiKey}"}}
//	}
//
// createSecret first revokes the key of AWSPREVIOUS and then makes a new one; testSecret
// tries that. So a key lives on for one rotation after it was replaced: programs that
// have it cached go on working, and a service that allows two keys is enough.
package httpapikey

import (
	"bytes"
	"context"

	"coffer/internal/rotator"
)

// Rotation is the rotation of such keys.
type Rotation struct{}

// maxKey is how long a key or its id may be, in bytes. Secrets have 64 KiB in all.
const maxKey = 16 << 10

// Create revokes the key before the current one, and makes a new one.
func (Rotation) Create(ctx context.Context, j *rotator.Job) error {
	current, ok, err := read(ctx, j, rotator.Current)
	if err != nil {
		return err
	}
	if !ok {
		return missing(rotator.Current)
	}
	if _, ok, err := j.Value(ctx, rotator.Pending); err != nil {
		return err
	} else if ok {
		j.Infof("Successfully retrieved secret for %s.", j.SecretId)
		return nil
	}
	if current.test == nil {
		return rotator.KeyErrorf("test key is missing from secret JSON") // before there is a key that cannot be tried
	}
	if err := revokePrevious(ctx, j, current); err != nil {
		return err
	}
	answer, err := current.send(ctx, "create", current.create, current.values())
	if err != nil {
		return err
	}
	pending := current.secret.Clone()
	key, err := text(answer, current.create.key)
	if err != nil {
		return rotator.ValueErrorf("The answer to create has no key at %q: %v", current.create.key, err)
	}
	j.Conceal(rotator.Password(key))
	if key == current.key {
		return rotator.ValueErrorf("The answer to create has the current key at %q, not a new one", current.create.key)
	}
	pending.SetText("apiKey", key)
	if current.create.id != "" {
		id, err := text(answer, current.create.id)
		if err != nil {
			return rotator.ValueErrorf("The answer to create has no key id at %q: %v", current.create.id, err)
		}
		pending.SetText("apiKeyId", id)
	}
	return j.Put(ctx, rotator.Password(pending.JSON()))
}

// revokePrevious revokes the key of AWSPREVIOUS, which two rotations have replaced.
func revokePrevious(ctx context.Context, j *rotator.Job, current *config) error {
	if current.revoke == nil {
		j.Warnf("Secret %s says nothing about how to revoke keys: old ones stay valid.", j.SecretId)
		return nil
	}
	previous, ok, err := read(ctx, j, rotator.Previous)
	if err != nil {
		j.Warnf("No key is revoked: AWSPREVIOUS of secret %s is of no use: %v", j.SecretId, err)
		return nil
	}
	switch {
	case !ok, previous.key == current.key, previous.id != "" && previous.id == current.id:
		return nil // the value was changed in something else
	case !previous.reaches(current.revoke.origin):
		// Whoever can write the secret, but not read it, could otherwise have a key sent to them.
		j.Warnf("The key of AWSPREVIOUS is not revoked: its secret knows no request to %s", current.revoke.origin)
		return nil
	}
	values := current.values()
	delete(values, "oldApiKey")
	if previous.id != "" {
		values["oldApiKeyId"] = previous.id
	}
	if bytes.Equal(previous.secret.Raw("revoke"), current.secret.Raw("revoke")) {
		values["oldApiKey"] = previous.key
	} else if _, err := current.revoke.build(ctx, "revoke", values); err != nil {
		// The same host does not do: what a request puts there may be for its author to read.
		j.Warnf("The key of AWSPREVIOUS is not revoked: its secret has another request for that, and this one cannot do without the key")
		return nil
	}
	if _, err := current.send(ctx, "revoke", current.revoke, values); err != nil {
		return err
	}
	j.Infof("Successfully revoked the key of AWSPREVIOUS of secret %s.", j.SecretId)
	return nil
}

// Set has nothing to do: the service knows its key.
func (Rotation) Set(_ context.Context, j *rotator.Job) error {
	j.Infof("The service has made the key of secret %s and knows it.", j.SecretId)
	return nil
}

// Test sends the request "test" with the pending key.
func (Rotation) Test(ctx context.Context, j *rotator.Job) error {
	pending, ok, err := read(ctx, j, rotator.Pending)
	if err != nil {
		return err
	}
	if !ok {
		return missing(rotator.Pending)
	}
	if pending.test == nil {
		return rotator.KeyErrorf("test key is missing from secret JSON")
	}
	if _, err := pending.send(ctx, "test", pending.test, pending.values()); err != nil {
		return err
	}
	j.Infof("The service takes the AWSPENDING key of secret %s.", j.SecretId)
	return nil
}

func missing(label string) error {
	return rotator.ValueErrorf("Secrets Manager can't find the specified secret value for staging label: %s", label)
}
