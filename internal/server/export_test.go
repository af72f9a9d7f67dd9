package server

import (
	"context"
	"fmt"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/gateway"
	"coffer/internal/iam"
	"coffer/internal/session"
	"coffer/internal/table"
)

// CreateAccounts makes accounts as the control socket does.
func (s *Server) CreateAccounts(t *testing.T, n int) {
	t.Helper()
	for range n {
		err := s.db.Update(context.Background(), func(tx *table.Tx) error {
			_, _, err := iam.CreateAccount(tx, fmt.Sprint("a", api.NewID()), "aws", time.Now())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Reissue makes a new server certificate.
var Reissue = issue

// LookAgain makes the next handshake look for changed certificates.
func LookAgain(s *Server) {
	s.cert.mu.Lock()
	defer s.cert.mu.Unlock()
	s.cert.checked = time.Time{}
}

// Change changes rows of the running server as nothing but a test may.
func (s *Server) Change(t testing.TB, f func(*table.Tx) error) {
	t.Helper()
	if err := s.db.Update(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

// Seal makes the session token of temporary credentials.
func (s *Server) Seal(t testing.TB, of *session.Session) string {
	t.Helper()
	token, err := s.services.tokens.Seal(of)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// WhoCan answers as `coffer who-can` asks.
func (s *Server) WhoCan(t testing.TB, action, resource, region string) map[string]iam.Finding {
	t.Helper()
	a, err := s.whoCan(context.Background(), gateway.Question{Action: action, Resource: resource, Region: region})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]iam.Finding{}
	for _, f := range a.Found {
		if _, twice := found[f.Principal]; twice {
			t.Errorf("%s is found twice", f.Principal)
		}
		found[f.Principal] = f
	}
	return found
}
