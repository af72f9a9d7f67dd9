// Package sigv4 verifies requests signed with AWS Signature Version 4, in the
// Authorization header or in the query (presigned), and signs them.
//
// Sources: "Create a signed AWS API request" and "Troubleshoot signed requests
// for AWS APIs" in the AWS IAM user guide; RFC 2104 (HMAC); RFC 3986 (the
// unreserved characters and dot segments).
//
// # What it promises
//
// A request that Verify accepts was signed by a holder of the secret key, for
// the service, region and day of its scope, within the last five minutes (or
// the life of a presigned URL), and these are as they were signed: method,
// path, query, body, Host, every header named in SignedHeaders, and every
// x-amz-* header but the few listed below. No input makes the package panic.
//
// # What it refuses beyond the bare algorithm
//
//   - host must be signed: else the request could be replayed against another
//     server that knows the key.
//   - Every x-amz-* header that is present must be signed, because x-amz-target
//     names the operation and X-Amz-Invocation-Type and its like change one: a
//     man in the middle could turn DescribeSecret into DeleteSecret. Let through
//     unsigned are X-Amz-Date (it is in the string to sign; in a presigned
//     request it is ignored), X-Amz-Security-Token (compared with the key's
//     token), X-Amz-Content-Sha256 (compared with the body), X-Amz-User-Agent
//     and X-Amz-Cf-Id (a CDN's), which mean nothing to a service.
//   - Two Authorization, X-Amz-Date, X-Amz-Security-Token or
//     X-Amz-Content-Sha256 headers, a presigning parameter twice, and a request
//     signed both ways: each would leave open which one counts.
//   - A query with a raw ';' or a broken percent escape: net/url drops such a
//     parameter silently, so one that was signed could be made to vanish.
//   - UNSIGNED-PAYLOAD, unless Config.AllowUnsignedPayload.
//   - Limits: 8 KiB of Authorization, 100 signed headers, 64 KiB of query.
//
// # What it does not promise
//
// It does not detect replays within the window: AWS does not either. Headers
// that are neither signed nor x-amz-* are anyone's. '+' in a query is a blank,
// as net/url reads it; SDKs write %20. The canonical path has its dot segments
// and doubled slashes removed, so a router must route the path of [Target]. SigV4a
// (AWS4-ECDSA-P256-SHA256) is answered as an incomplete signature. The package
// has no clock: now is the caller's.
package sigv4

import (
	"fmt"
	"log/slog"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	// stampFormat is ISO 8601 basic, the only form AWS takes in X-Amz-Date.
	stampFormat = "20060102T150405Z"

	// MaxSkew is how far X-Amz-Date may be from now, either way.
	MaxSkew = 5 * time.Minute
	// MaxExpires is the longest life of a presigned URL: seven days, AWS's limit.
	MaxExpires = 7 * 24 * time.Hour

	maxAuthorization = 8 << 10
	maxSignedHeaders = 100
	maxQuery         = 64 << 10
	maxScopeElement  = 64
	// maxEcho bounds how much of a bad header an error message repeats.
	maxEcho = 1 << 10
)

// Secret is a secret access key or a session token. It formats, logs and
// marshals as a placeholder whatever the verb. Three places are out of its
// reach because they call no methods: unexported struct fields in fmt, pointers
// inside other values under a verb that does not fit pointers (%s of a slice of
// *Claim: fmt's bad-verb text), and string map keys in encoding/json.
type Secret string

const redacted = "[REDACTED]"

// Format implements fmt.Formatter for every verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String returns the placeholder.
func (Secret) String() string { return redacted }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, for encoding/xml.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON implements json.Marshaler.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalBinary refuses: encoding/gob must not carry a secret.
func (Secret) MarshalBinary() ([]byte, error) {
	return nil, fmt.Errorf("sigv4: a secret cannot be marshalled")
}

// Credential is the credential scope of a request: which key signed, and for
// which day (yyyymmdd), region and service. Until Verify it is only a claim.
type Credential struct {
	AccessKeyID, Date, Region, Service string
}

// Claim is what a request says of its own signature. Parse makes it, and it is
// good enough to route by and to look up the key; only Verify makes it true.
type Claim struct {
	Credential
	// Presigned: the signature is in the query, not in the Authorization header.
	Presigned bool
	// SignedHeaders is the list as sent: lower-case names joined by ';'.
	SignedHeaders string
	// Signature is 64 hexadecimal digits if it is right.
	Signature string
	// SessionToken is X-Amz-Security-Token, "" when there is none.
	SessionToken Secret
	// Time is X-Amz-Date, else the Date header.
	Time time.Time
	// Expires is X-Amz-Expires of a presigned request, MaxSkew where it has
	// none. It serves only the check of the time (the signed parameter is in
	// the query), so a gateway may raise it for a service known to be lenient.
	Expires time.Duration

	terminator string
}

// Key is what a lookup gives for an access key id.
type Key struct {
	SecretAccessKey Secret
	// SessionToken is the token a temporary key must come with; "" for a
	// long-term key, which must come without one.
	SessionToken Secret
	// Expires is when a temporary key ends. Zero: never.
	Expires time.Time
}
