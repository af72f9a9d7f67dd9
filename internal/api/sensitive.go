package api

import (
	"fmt"
	"log/slog"
)

// Sensitive is the value of a member that the AWS model marks sensitive:
// SecretString, SecretBinary, RotationToken, RandomPassword, KMS plaintexts.
// It formats, logs and marshals as a placeholder whatever the verb, so that no
// log line, error text or panic can show it by accident. Only a wire codec
// converts it to bytes. nil means the member is absent.
//
// One hole is left in package fmt: a pointer to a structure, inside another
// structure, printed with a verb that pointers do not have (%s, %q, %d), is printed
// with all methods switched off. Generated structures close it with a Format
// method; other structures that hold a Sensitive and are pointed to from a
// structure need one too.
type Sensitive []byte

const redacted = "[REDACTED]"

// Format implements fmt.Formatter for every verb.
func (Sensitive) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String returns the placeholder.
func (Sensitive) String() string { return redacted }

// LogValue implements slog.LogValuer.
func (Sensitive) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, which encoding/json and
// encoding/xml prefer to the bytes.
func (Sensitive) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON implements json.Marshaler.
func (Sensitive) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalBinary refuses: encoding/gob and the like must not carry a secret.
func (Sensitive) MarshalBinary() ([]byte, error) {
	return nil, fmt.Errorf("api: a sensitive value cannot be marshalled")
}
