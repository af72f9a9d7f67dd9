package apitest

import (
	"slices"
	"testing"

	"coffer/internal/api"
	"coffer/internal/fault"
)

// Modelled fails the test for an error that is none of the operation's model, of the
// framework or of also.
func Modelled(t testing.TB, op *api.Operation, err error, also ...string) {
	t.Helper()
	f, ok := fault.As(err)
	if !ok {
		t.Errorf("%s: untyped error: %v", op.Name, err)
		return
	}
	if slices.Contains(append(also, "ValidationException", "AccessDeniedException"), f.Code) {
		return
	}
	if !slices.ContainsFunc(op.Errors, func(e *api.ErrorShape) bool { return e.Code == f.Code }) {
		t.Errorf("%s answers %s, which its model does not have", op.Name, f.Code)
	}
}

// Refused fails the test unless err is a fault with this code and text.
func Refused(t testing.TB, what string, err error, code, message string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: succeeded, want %s", what, code)
		return
	}
	if f, ok := fault.As(err); !ok || f.Code != code || f.Message != message {
		t.Errorf("%s:\n got %v\nwant %s: %s", what, err, code, message)
	}
}
