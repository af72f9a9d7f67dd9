package sigv4

import (
	"net/http"
	"strings"
	"time"
)

// Reason says what is wrong with a request's authentication.
type Reason uint8

// The reasons, in the order in which they are looked for (of UnsignedHeader,
// only host's absence is noticed that early).
const (
	Missing        Reason = iota + 1 // no credentials of any kind
	Malformed                        // Authorization, X-Amz-Date or a presigning parameter cannot be read
	Unsupported                      // an algorithm other than AWS4-HMAC-SHA256, such as SigV4a
	UnsignedHeader                   // host or an x-amz-* header is not in SignedHeaders
	WrongRegion                      // scope: not a region
	WrongService                     // scope: not the service that is called
	WrongScope                       // scope: does not end in aws4_request
	DateMismatch                     // scope: the day is not that of X-Amz-Date
	UnknownKey                       // no such access key, or an inactive one
	Expired                          // signed too long ago
	NotYetCurrent                    // signed in the future
	BadSignature                     // the signature, or the hash of the body, is wrong
	BadToken                         // the session token is missing, superfluous or another key's
	ExpiredToken                     // the temporary key has ended
)

// Error is why a request is not authenticated. Its message is meant for the
// caller: it repeats what was sent where AWS does, never what was expected.
type Error struct {
	Reason  Reason
	Message string
}

func (e *Error) Error() string { return e.Message }

// Code returns AWS's error code: that of the JSON and CBOR protocols, or that
// of the Query protocol.
func (r Reason) Code(query bool) string {
	var json, q string
	switch r {
	case Missing:
		json, q = "MissingAuthenticationTokenException", "MissingAuthenticationToken"
	case Malformed, Unsupported:
		json, q = "IncompleteSignatureException", "IncompleteSignature"
	case UnknownKey, BadToken:
		json, q = "UnrecognizedClientException", "InvalidClientTokenId"
	case ExpiredToken:
		json, q = "ExpiredTokenException", "ExpiredToken"
	case UnsignedHeader, WrongRegion, WrongService, WrongScope, DateMismatch, Expired, NotYetCurrent, BadSignature:
		json, q = "InvalidSignatureException", "SignatureDoesNotMatch"
	default:
		json, q = "InternalFailure", "InternalFailure"
	}
	if query {
		return q
	}
	return json
}

// Status returns the HTTP status: 400 in the JSON and CBOR protocols; in Query
// 403 for all but a request that could not be read. (REST front ends such as
// Lambda's answer 403; that is the gateway's to know.)
func (r Reason) Status(query bool) int {
	switch {
	case r < Missing || r > ExpiredToken:
		return http.StatusInternalServerError
	case !query || r == Malformed || r == Unsupported:
		return http.StatusBadRequest
	}
	return http.StatusForbidden
}

const (
	msgMissing      = "Request is missing Authentication Token"
	msgBadToken     = "The security token included in the request is invalid."
	msgExpiredToken = "The security token included in the request is expired"
	msgBadSignature = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)

func malformed(parts ...string) *Error {
	return &Error{Malformed, strings.Join(parts, "")}
}

// unsupported answers SigV4a too: no SDK picks it by default for our services.
func unsupported(alg string) *Error {
	return &Error{Unsupported, "Unsupported AWS 'algorithm': '" + echo(alg) + "' (only " + algorithm + " for now). "}
}

func unsigned(name string) *Error {
	return &Error{UnsignedHeader, name + " must be a 'SignedHeader' in the AWS Authorization."}
}

// RegionError is for a caller that looks at a claim's region by itself.
func RegionError(region string) *Error {
	return &Error{WrongRegion, "Credential should be scoped to a valid region, not '" + echo(region) + "'. "}
}

func badSignature() *Error { return &Error{BadSignature, msgBadSignature} }

// echo shortens what an error message repeats, so that a message in an answer,
// a log and an audit record stays of bounded size.
func echo(s string) string {
	if len(s) > maxEcho {
		return s[:maxEcho] + "..."
	}
	return s
}

func stamp(t time.Time) string { return t.UTC().Format(stampFormat) }
