package rotator

import (
	"errors"
	"fmt"

	"github.com/aws/smithy-go"
)

// ValueError says that a secret or a rotation is not as it must be. The names of
// these types are those that AWS's templates, in Python, show as errorType.
type ValueError string

// Error returns the text.
func (e ValueError) Error() string { return string(e) }

// KeyError says that the secret's JSON lacks something.
type KeyError string

// Error returns the text.
func (e KeyError) Error() string { return string(e) }

// DatabaseError is what a server said to a statement. The text holds no statement.
type DatabaseError string

// Error returns the text.
func (e DatabaseError) Error() string { return string(e) }

// ValueErrorf makes a ValueError.
func ValueErrorf(format string, args ...any) error { return ValueError(fmt.Sprintf(format, args...)) }

// KeyErrorf makes a KeyError.
func KeyErrorf(format string, args ...any) error { return KeyError(fmt.Sprintf(format, args...)) }

// DatabaseErrorf makes a DatabaseError.
func DatabaseErrorf(format string, args ...any) error {
	return DatabaseError(fmt.Sprintf(format, args...))
}

// ServerError is a DatabaseError that the server numbered. The text holds no statement.
type ServerError struct {
	Number int // the engine's own
	Text   string
}

// Error returns the text.
func (e *ServerError) Error() string { return e.Text }

// As lets it pass as a DatabaseError.
func (e *ServerError) As(target any) bool {
	d, ok := target.(*DatabaseError)
	if ok {
		*d = DatabaseError(e.Text)
	}
	return ok
}

// ErrorNumber is the server's number of an error, 0 if it gave none.
func ErrorNumber(err error) int {
	var e *ServerError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// Lost is the error of a statement without an answer.
func Lost(err error) error {
	return DatabaseErrorf("the connection to the server was lost: %s", NetworkError(err).Text)
}

// failure is err with type and text as AWS's Python runtime words them, without passwords.
func (j *Job) failure(err error) Failure {
	var (
		value    ValueError
		key      KeyError
		database DatabaseError
		call     *smithy.OperationError
		refusal  smithy.APIError
	)
	switch {
	case errors.As(err, &value):
		return Failure{Type: "ValueError", Message: j.Redact(err.Error())}
	case errors.As(err, &key):
		return Failure{Type: "KeyError", Message: j.Redact(err.Error())}
	case errors.As(err, &database):
		return Failure{Type: "DatabaseError", Message: j.Foreign(err.Error())}
	case errors.As(err, &refusal) && errors.As(err, &call):
		return Failure{Type: refusal.ErrorCode(), Message: j.Foreign(fmt.Sprintf(
			"An error occurred (%s) when calling the %s operation: %s", refusal.ErrorCode(), call.OperationName, refusal.ErrorMessage()))}
	}
	return Failure{Type: "Exception", Message: j.Foreign(err.Error())}
}
