// Package check states what calls of SDK clients must come to.
//
//	out := check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ann")})
//	check.Run(t, []check.Rule{
//		{"the name is taken", check.Try(w.CreateUser, in), "EntityAlreadyExists: User with name ann already exists."},
//	})
package check

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/smithy-go"
)

// Must is one call that has to succeed.
func Must[I, O, F any](t testing.TB, call func(context.Context, *I, ...F) (*O, error), in *I) *O {
	t.Helper()
	out, err := call(context.Background(), in)
	if err != nil {
		t.Fatalf("%T: %v", in, err)
	}
	return out
}

// Try is a call whose Outcome is asked for later.
func Try[I, O, F any](call func(context.Context, *I, ...F) (*O, error), in *I) func() string {
	return func() string { return Now(call, in) }
}

// Now is the Outcome of a call.
func Now[I, O, F any](call func(context.Context, *I, ...F) (*O, error), in *I) string {
	_, err := call(context.Background(), in)
	return Outcome(err)
}

// Outcome is what a call came to: "ok", or code and text of the error.
func Outcome(err error) string {
	var e smithy.APIError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &e):
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return err.Error()
}

// Rule is a case: what a call comes to.
type Rule = struct {
	Name string
	Call func() string
	Want string
}

// Run goes through cases in their order: each may depend on those before.
func Run(t *testing.T, rules []Rule) {
	t.Helper()
	for _, r := range rules {
		if got := r.Call(); got != r.Want {
			t.Errorf("%s:\n got %s\nwant %s", r.Name, got, r.Want)
		}
	}
}

// Equal compares one thing with what it must be.
func Equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}
