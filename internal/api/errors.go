package api

import "coffer/internal/fault"

// The errors that AWS's framework gives before a service sees the request, or
// in its stead. They are in no service's model; the code is the one of the JSON
// protocols, and a codec of another protocol translates it.

// UnknownOperationException says that the target names no operation. AWS
// sends no message.
func UnknownOperationException(message string) *fault.Error {
	return fault.New(fault.Invalid, "UnknownOperationException", message)
}

// NotServed is the uniform answer for an operation that AWS has and Coffer has not.
// It is no 5xx, which SDKs would repeat.
func NotServed(op *Operation) *fault.Error {
	return fault.New(fault.Unsupported, "UnknownOperationException",
		"Coffer does not serve "+op.Action()+" yet. The operations it serves are listed in docs/coverage.md.")
}

// SerializationException says that the body is not JSON or has wrong types.
func SerializationException(message string) *fault.Error {
	return fault.New(fault.Invalid, "SerializationException", message)
}

// ValidationException says that a member breaks a rule.
func ValidationException(message string) *fault.Error {
	return fault.New(fault.Invalid, "ValidationException", message)
}

// AccessDeniedException says that a policy does not allow the call.
func AccessDeniedException(message string) *fault.Error {
	return fault.New(fault.Denied, "AccessDeniedException", message)
}

// ThrottlingException says that the caller is too fast. SDKs wait and repeat.
func ThrottlingException() *fault.Error {
	return fault.New(fault.Throttled, "ThrottlingException", "Rate exceeded")
}

// ServiceUnavailableException says that the server is overloaded or stopping.
// SDKs wait and repeat.
func ServiceUnavailableException(message string) *fault.Error {
	return fault.New(fault.Unavailable, "ServiceUnavailableException", message)
}

// InternalFailure is what the caller learns of a fault of ours where no service is
// known; see [Service.Internal].
func InternalFailure(cause error) *fault.Error {
	return fault.New(fault.Internal, "InternalFailure", "The request processing has failed because of an unknown error, exception or failure.").Because(cause)
}

// RequestEntityTooLargeException says that the body is over the limit.
func RequestEntityTooLargeException() *fault.Error {
	return fault.New(fault.Invalid, "RequestEntityTooLargeException", "The request body is too large.")
}

// RequestTimeoutException says that the body did not arrive in time.
func RequestTimeoutException() *fault.Error {
	return fault.New(fault.Invalid, "RequestTimeoutException", "The request was not received in time.")
}

// Status returns the HTTP status of e in service s, which may be nil when the
// request named none. The model decides; what it does not know is a framework
// error.
func (s *Service) Status(e *fault.Error) int {
	if s != nil {
		if m := s.Error(e.Code); m != nil {
			return m.Status
		}
	}
	switch e.Code {
	case "RequestEntityTooLargeException":
		return 413
	case "ServiceUnavailableException":
		return 503
	}
	switch e.Kind {
	case fault.Internal:
		return 500
	case fault.Unavailable:
		return 503
	}
	// AWS's JSON services answer 400 to everything else, access denied included.
	return 400
}

// Error returns the modelled error with this code, nil if there is none.
func (s *Service) Error(code string) *ErrorShape {
	for _, e := range s.Errors {
		if e.Code == code {
			return e
		}
	}
	return nil
}

// Internal returns what the service answers for a fault of ours. The cause is
// for the log only.
func (s *Service) Internal(cause error) *fault.Error {
	return fault.New(fault.Internal, s.InternalCode, "An error occurred on the server side.").Because(cause)
}

// Validate is [Validate] for an operation of the service, with the code that it answers.
func (s *Service) Validate(in Struct) error {
	err := Validate(in)
	if fe, ok := fault.As(err); ok && s.InvalidCode != "" {
		return fault.New(fe.Kind, s.InvalidCode, fe.Message)
	}
	return err
}
