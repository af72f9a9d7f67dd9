// Package jwt reads the tokens of OpenID Connect providers and verifies them.
//
// It promises: a token is believed only after its signature was verified with a
// key that the caller gives, under one of the algorithms listed here, none of
// which is "none" or takes a shared secret; keys and URLs that a token brings
// along are not looked at. It fetches nothing and reads no clock.
//
// Tokens are JWS in compact form (RFC 7515, RFC 7519). Encrypted ones are not
// read, as AWS does not.
package jwt

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// MaxToken is the longest token, in bytes: AWS's limit of WebIdentityToken.
const MaxToken = 20000

// algorithms are those that AWS lists for OpenID Connect providers, and PSS with
// the same hashes.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
}

var (
	// ErrFormat is returned for what is no token, or one that could never be verified.
	ErrFormat = errors.New("jwt: not a JSON Web Token")
	// ErrKey says that the keys given have none that the token names.
	ErrKey = errors.New("jwt: no key of this id")
	// ErrSignature says that the signature is not one of the key.
	ErrSignature = errors.New("jwt: the signature does not verify")
)

// Token is a token whose claims are not to be believed before Verify.
type Token struct {
	Issuer string // as it claims: says whose keys to ask for
	KeyID  string // "": it names none

	algorithm string
	signed    *jose.JSONWebSignature
}

// Parse reads a token. The error is ErrFormat, with a cause for the log that
// holds nothing of the token.
func Parse(text string) (*Token, error) {
	if len(text) > MaxToken {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrFormat, MaxToken)
	}
	// The parser passes over white space: one token would have many forms.
	if strings.ContainsAny(text, " \t\r\n") {
		return nil, fmt.Errorf("%w: white space in it", ErrFormat)
	}
	signed, err := jose.ParseSignedCompact(text, algorithms)
	if err != nil {
		if e, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
			return nil, fmt.Errorf("%w: algorithm %.16q", ErrFormat, e.Got)
		}
		return nil, fmt.Errorf("%w: malformed", ErrFormat)
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		return nil, fmt.Errorf("%w: its claims are no JSON object", ErrFormat)
	}
	h := signed.Signatures[0].Protected
	return &Token{Issuer: claims.Issuer, KeyID: h.KeyID, algorithm: h.Algorithm, signed: signed}, nil
}

// Claims are what a verified token says.
type Claims struct {
	Issuer          string   `json:"iss"`
	Subject         string   `json:"sub"`
	Audience        Texts    `json:"aud"`
	AuthorizedParty string   `json:"azp"`
	Expires         *Seconds `json:"exp"`
	NotBefore       *Seconds `json:"nbf"`
	IssuedAt        *Seconds `json:"iat"`
	Methods         Texts    `json:"amr"`
	Email           string   `json:"email"`

	// Tags and SourceIdentity are for AWS: "Passing session tags using
	// AssumeRoleWithWebIdentity", "Using source identity with AssumeRoleWithWebIdentity".
	Tags struct {
		Principal  map[string]Texts `json:"principal_tags"`
		Transitive []string         `json:"transitive_tag_keys"`
	} `json:"https://aws.amazon.com/tags"`
	SourceIdentity string `json:"https://aws.amazon.com/source_identity"`
}

// Texts is a claim that is a text or a list of texts.
type Texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = Texts{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// Seconds is a time in seconds since 1970; fractions are cut.
type Seconds int64

// UnmarshalJSON implements json.Unmarshaler.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	var f float64
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	// Beyond, the conversion would wrap a far future into the past.
	if f < 0 || f > 1<<40 {
		return errors.New("jwt: a time out of range")
	}
	*s = Seconds(f)
	return nil
}

// Time returns the instant.
func (s Seconds) Time() time.Time { return time.Unix(int64(s), 0) }

// Verify checks the signature with the key that the token names, and returns
// what it says. A token that names none is tried with all of them. The error is
// ErrKey, ErrSignature or ErrFormat.
func (t *Token) Verify(keys *Keys) (*Claims, error) {
	err := ErrKey
	for i := range keys.keys {
		k := &keys.keys[i]
		if t.KeyID != "" && k.KeyID != t.KeyID || k.Algorithm != "" && k.Algorithm != t.algorithm {
			continue
		}
		err = ErrSignature
		payload, failed := t.signed.Verify(k.Key)
		if failed != nil {
			continue
		}
		c := new(Claims)
		if err := json.Unmarshal(payload, c); err != nil {
			return nil, fmt.Errorf("%w: a claim of the wrong type", ErrFormat)
		}
		return c, nil
	}
	return nil, err
}
