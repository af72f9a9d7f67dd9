package oidc

import (
	"context"
	"time"

	"coffer/internal/jwt"
)

// OnFetch answers in the issuers' place.
func (s *Issuers) OnFetch(f func(ctx context.Context, issuer string) (*jwt.Keys, time.Duration, error)) {
	s.fetch = func(ctx context.Context, issuer string, _ []string) (a answer, err error) {
		a.keys, a.fresh, err = f(ctx, issuer)
		return a, err
	}
}

// Permit reports whether an issuer may be at an address.
func Permit(address string, linkLocal bool) error {
	return (&client{linkLocal: linkLocal}).permit("tcp", address, nil)
}

// Known is how many issuers are kept.
func (s *Issuers) Known() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known)
}
