// Package fault is the one error type that crosses package boundaries on its
// way to a client.
//
// A service builds an [Error] with the constructors generated from its AWS
// model, so that Code is always one of AWS's. Whatever reaches the gateway and
// is not an *Error is internal: it is logged whole under the request id and
// answered without detail.
//
// Kinds are append-only: they are counted in metrics under their names.
package fault

import (
	"errors"
	"fmt"
	"maps"
)

// Kind classifies an error independently of the service that made it.
type Kind uint8

const (
	Internal    Kind = iota // a fault of ours; detail stays in the log
	Invalid                 // the request is wrong and will stay wrong
	Denied                  // the caller is unknown or may not do this
	NotFound                // the named thing does not exist
	Exists                  // the named thing exists already
	Conflict                // the state of the thing forbids this now
	Limit                   // a quota is used up
	Throttled               // too many calls; try later
	Unavailable             // something we depend on does not answer
	Unsupported             // AWS has it, we do not
)

var kindNames = [...]string{"internal", "invalid", "denied", "not found", "exists", "conflict", "limit", "throttled", "unavailable", "unsupported"}

// String returns the kind's name as used in metrics and logs.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Error is a failure with the code and message that the client will see.
// Neither may contain secret material.
type Error struct {
	Kind    Kind
	Code    string // AWS's error code, e.g. "ResourceNotFoundException"
	Message string // AWS's text; may be empty (some KMS errors have none)
	Err     error  // the cause, for the log only; never sent

	// Members are further members of the error's shape, by name, for protocols that
	// carry them.
	Members map[string]string
}

// Reason is a cause that administrators may be told, and the caller not: it is recorded with the
// call. It contains nothing secret.
type Reason string

// Error implements error.
func (r Reason) Error() string { return string(r) }

// New returns an error without a cause.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Error implements error. The cause is included, so the text is for logs.
func (e *Error) Error() string {
	s := e.Code
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Because returns a copy of e that carries cause for the log.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Err = cause
	return &c
}

// With returns a copy of e with one more member.
func (e *Error) With(member, value string) *Error {
	c := *e
	c.Members = maps.Clone(e.Members)
	if c.Members == nil {
		c.Members = make(map[string]string, 1)
	}
	c.Members[member] = value
	return &c
}

// As returns err as an *Error if one is in its chain.
func As(err error) (*Error, bool) {
	return errors.AsType[*Error](err)
}

// Code returns the AWS error code of err, or "" when err is nil or untyped.
func Code(err error) string {
	if e, ok := As(err); ok {
		return e.Code
	}
	return ""
}
