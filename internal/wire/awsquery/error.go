package awsquery

import (
	"errors"

	"coffer/internal/api"
	"coffer/internal/fault"
	"coffer/internal/sigv4"
)

// framework has the errors that AWS's framework gives in a service's stead, as
// Query clients know them ("Common errors" in the IAM and STS API references).
var framework = map[string]struct {
	code   string
	status int
}{
	"AccessDeniedException":               {"AccessDenied", 403},
	"ExpiredTokenException":               {"ExpiredToken", 403},
	"IncompleteSignatureException":        {"IncompleteSignature", 400},
	"InternalFailure":                     {"InternalFailure", 500},
	"InvalidSignatureException":           {"SignatureDoesNotMatch", 403},
	"MalformedQueryString":                {"MalformedQueryString", 404},
	"MissingAuthenticationTokenException": {"MissingAuthenticationToken", 403},
	"RequestEntityTooLargeException":      {"RequestEntityTooLarge", 413},
	"RequestTimeoutException":             {"RequestTimeout", 400},
	"SerializationException":              {"MalformedInput", 400},
	"ServiceUnavailableException":         {"ServiceUnavailable", 503},
	"ThrottlingException":                 {"Throttling", 400},
	"UnknownOperationException":           {"InvalidAction", 400},
	"UnrecognizedClientException":         {"InvalidClientTokenId", 403},
	"ValidationException":                 {"ValidationError", 400},
}

// wire returns code and status of e in svc, which may be nil.
//
// Who made the error is looked at before its code: STS has an
// ExpiredTokenException of its own (400), about a token in the input, while
// credentials that have expired are ExpiredToken (403) there as everywhere.
func wire(svc *api.Service, e *fault.Error) (code string, status int) {
	if s, ok := errors.AsType[*sigv4.Error](e.Err); ok {
		return s.Reason.Code(true), s.Reason.Status(true)
	}
	if svc != nil {
		if m := svc.Error(e.Code); m != nil {
			return m.QueryCode, m.Status
		}
	}
	if f, ok := framework[e.Code]; ok {
		return f.code, f.status
	}
	switch e.Kind {
	case fault.Denied:
		return e.Code, 403
	case fault.Internal:
		return e.Code, 500
	case fault.Unavailable:
		return e.Code, 503
	}
	return e.Code, 400
}

// Code returns what Query clients call e: the model's code for an error of svc,
// the common code for one of the framework's, e.Code for any other. svc is nil
// when the request named no service.
func Code(svc *api.Service, e *fault.Error) string {
	code, _ := wire(svc, e)
	return code
}

// Status returns the HTTP status of e: the model's for an error of svc. svc may
// be nil.
func Status(svc *api.Service, e *fault.Error) int {
	_, status := wire(svc, e)
	return status
}

// noService is the name space of errors that AWS's front end gives before it knows
// the service.
const noService = "http://webservices.amazon.com/AWSFault/2005-15-09"

// AppendError appends the body of an error; svc may be nil. An empty text is
// left out. The cause of e is not sent.
func AppendError(dst []byte, svc *api.Service, e *fault.Error, requestID string) []byte {
	code, status := wire(svc, e)
	namespace, party := noService, "Sender"
	if svc != nil && svc.XMLNamespace != "" {
		namespace = svc.XMLNamespace
	}
	if status >= 500 {
		party = "Receiver"
	}
	dst = append(dst, `<ErrorResponse xmlns="`...)
	dst = append(dst, namespace...)
	dst = append(dst, `"><Error>`...)
	dst = appendField(dst, "Type", party)
	dst = appendField(dst, "Code", code)
	if e.Message != "" {
		dst = appendField(dst, "Message", e.Message)
	}
	dst = append(dst, "</Error>"...)
	dst = appendField(dst, "RequestId", requestID)
	return append(dst, "</ErrorResponse>"...)
}

// AppendS3Error appends an error in the form of S3, which has no envelope ("Error responses" in
// the S3 API reference).
func AppendS3Error(dst []byte, e *fault.Error, requestID string) []byte {
	dst = append(dst, "<Error>"...)
	dst = appendField(dst, "Code", e.Code)
	dst = appendField(dst, "Message", e.Message)
	dst = appendField(dst, "RequestId", requestID)
	return append(dst, "</Error>"...)
}

func appendField(dst []byte, name, text string) []byte {
	dst = appendStart(dst, name)
	content := len(dst)
	return appendEnd(appendText(dst, text), name, content)
}

// Error returns the body and the HTTP status of e for a request that named no
// service that is known.
func Error(e *fault.Error, requestID string) (body []byte, status int) {
	return AppendError(nil, nil, e, requestID), Status(nil, e)
}
