package sts

import (
	"fmt"
	"time"

	"coffer/internal/api"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/session"
)

// issue makes the credentials of a session that begins now.
func (s *Service) issue(r *api.Request, ses *session.Session, life time.Duration) (*stsapi.Credentials, error) {
	ses.AccessKeyID, ses.Secret = session.NewAccessKey()
	ses.Issued = r.Time.Unix()
	ses.Expires = ses.Issued + int64(life/time.Second)
	token, err := s.tokens.Seal(ses)
	if err != nil {
		return nil, fmt.Errorf("sts: session of %s: %w", ses.EntityID, err)
	}
	return &stsapi.Credentials{
		AccessKeyId: &ses.AccessKeyID, SecretAccessKey: api.Sensitive(ses.Secret.Text), SessionToken: api.Sensitive(token),
		Expiration: new(time.Unix(ses.Expires, 0).UTC()),
	}, nil
}

// packed is PackedPolicySize: how much of the room in a token the session's
// policies and tags take, in percent. An error if it is too much.
func packed(ses *session.Session) (int64, error) {
	n := ses.PackedSize()
	if n > 100 {
		return 0, tooPacked(n)
	}
	return int64(n), nil
}

// seconds is a requested duration, or one that is usual.
func seconds(n *int64, usual time.Duration) time.Duration {
	if n == nil {
		return usual
	}
	return time.Duration(*n) * time.Second
}
