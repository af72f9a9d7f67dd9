package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Config is how to verify. Its zero value is usable.
type Config struct {
	// CacheSize is how many derived keys to keep: one is needed for each access
	// key, day, region and service in use. 0: 4096. Negative: none.
	CacheSize int
	// AllowUnsignedPayload accepts X-Amz-Content-Sha256: UNSIGNED-PAYLOAD, which
	// leaves the body to the protection of TLS. No SDK sends it to our services.
	AllowUnsignedPayload bool
}

// Verifier verifies requests. It is safe for concurrent use.
type Verifier struct {
	config Config
	cache  cache
}

// New returns a Verifier.
func New(config Config) *Verifier {
	if config.CacheSize == 0 {
		config.CacheSize = 4096
	}
	return &Verifier{config: config, cache: cache{size: config.CacheSize}}
}

// Forget drops what is derived from an access key. Verify never accepts a
// signature made with another secret than the key it is given, so this only
// shortens the time that a deleted key's derivations stay in memory.
func (v *Verifier) Forget(accessKeyID string) { v.cache.forget(accessKeyID) }

const unsignedPayload = "UNSIGNED-PAYLOAD"

// Verify checks that the claim, which Parse made of r, is true: that r with
// this body was signed by key for the service wantService ("" is any service)
// in a region that validRegion accepts (nil: any that is lower-case letters,
// digits and hyphens, which is asked in any case). A nil key stands for an access key that does not exist or is inactive, so that
// all errors come in AWS's order: scope, unknown key, time, signature, token.
// The error is an *Error.
func (v *Verifier) Verify(r *http.Request, body []byte, c *Claim, key *Key, now time.Time, wantService string, validRegion func(string) bool) error {
	var stampBuf [len(stampFormat)]byte
	stamp := string(appendStamp(stampBuf[:0], c.Time))
	if err := c.checkScope(stamp, wantService, validRegion); err != nil {
		return err
	}
	// A key without a secret is a lookup's mistake, and anyone could sign with it.
	if key == nil || key.SecretAccessKey == "" {
		return &Error{UnknownKey, msgBadToken}
	}
	if err := c.checkTime(now); err != nil {
		return err
	}
	if err := checkSigned(r.Header, c.SignedHeaders); err != nil {
		return err
	}

	s := scratches.Get().(*scratch)
	defer s.free()

	payload, ok := v.payload(s, r.Header, body)
	if !ok {
		return badSignature()
	}
	path, query := target(r)
	if !s.canonical(r, path, query, c.Presigned, c.SignedHeaders, payload) {
		return badSignature()
	}
	s.toSign(sha256.Sum256(s.buf), stamp, c.Date, c.Region, c.Service)

	e, cached := v.cache.get(c.Credential, key.SecretAccessKey)
	if !cached {
		e = derive(c.Credential, key.SecretAccessKey)
	}
	e.sign(s)
	// AWS's signatures are lower-case hexadecimal. How far two agree must not
	// show in the time it takes, or a signature could be found digit by digit.
	if len(c.Signature) != len(s.sent) {
		return badSignature()
	}
	copy(s.sent[:], c.Signature)
	if subtle.ConstantTimeCompare(s.sent[:], s.hex[:]) != 1 {
		return badSignature()
	}
	// Only a key's holder gets this far, so that nobody else can fill the cache.
	if !cached {
		v.cache.put(c.Credential, e)
	}
	return key.checkToken(c.SessionToken, now)
}

// checkScope reports all that is wrong with the scope in one message, as AWS
// does; the reason is the first.
func (c *Claim) checkScope(stamp, wantService string, validRegion func(string) bool) error {
	region := element(c.Region)
	if region && validRegion != nil {
		region = validRegion(c.Region)
	}
	service := element(c.Service) && (wantService == "" || wantService == c.Service)
	day := stamp[:len("yyyymmdd")]
	if region && service && c.terminator == terminator && c.Date == day {
		return nil
	}
	var e Error
	add := func(reason Reason, parts ...string) {
		if e.Reason == 0 {
			e.Reason = reason
		}
		e.Message += strings.Join(parts, "")
	}
	if !region {
		add(WrongRegion, RegionError(c.Region).Message)
	}
	if !service {
		add(WrongService, "Credential should be scoped to correct service: '", wantService, "'. ")
	}
	if c.terminator != terminator {
		add(WrongScope, "Credential should be scoped with a valid terminator: '", terminator, "', not '", echo(c.terminator), "'. ")
	}
	if c.Date != day {
		add(DateMismatch, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '",
			echo(c.Date), "' != '", day, "', from '", stamp, "'.")
	}
	return &e
}

// element reports whether s is what regions and services are named with.
func element(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= maxScopeElement
}

func (c *Claim) checkTime(now time.Time) error {
	life := MaxSkew
	if c.Presigned {
		life = c.Expires
	}
	if oldest := now.Add(-life); c.Time.Before(oldest.Truncate(time.Second)) {
		return &Error{Expired, "Signature expired: " + stamp(c.Time) + " is now earlier than " + stamp(oldest) +
			" (" + stamp(now) + " - " + minutes(life) + ")"}
	}
	if newest := now.Add(MaxSkew); c.Time.After(newest) {
		return &Error{NotYetCurrent, "Signature not yet current: " + stamp(c.Time) + " is still later than " + stamp(newest) +
			" (" + stamp(now) + " + " + minutes(MaxSkew) + ")"}
	}
	return nil
}

func minutes(d time.Duration) string {
	if d%time.Minute != 0 {
		return strconv.Itoa(int(d/time.Second)) + " sec."
	}
	return strconv.Itoa(int(d/time.Minute)) + " min."
}

// checkSigned refuses x-amz-* headers that are not signed. See the package
// comment for the ones let through.
func checkSigned(h http.Header, signed string) error {
	for name := range h {
		if len(name) < 6 || !strings.EqualFold(name[:6], "x-amz-") {
			continue
		}
		switch name {
		case "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "X-Amz-User-Agent", "X-Amz-Cf-Id":
			continue
		}
		if !listed(signed, name) {
			return unsigned("'" + echo(name) + "'")
		}
	}
	return nil
}

// payload returns the last line of the canonical request: the body's hash in
// hexadecimal, or UNSIGNED-PAYLOAD. false: the header speaks of another body.
func (v *Verifier) payload(s *scratch, h http.Header, body []byte) (string, bool) {
	sum := sha256.Sum256(body)
	hex.Encode(s.hex[:], sum[:])
	switch sent := h["X-Amz-Content-Sha256"]; {
	case len(sent) == 0:
		return string(s.hex[:]), true
	case len(sent) > 1:
		return "", false
	case sent[0] == string(s.hex[:]): // hashes of a body the sender has: no secret to time
		return sent[0], true
	default:
		return sent[0], sent[0] == unsignedPayload && v.config.AllowUnsignedPayload
	}
}

// checkToken: a temporary key's token is part of the credential, and a
// long-term key has none.
func (k *Key) checkToken(token Secret, now time.Time) error {
	if subtle.ConstantTimeCompare([]byte(token), []byte(k.SessionToken)) != 1 {
		return &Error{BadToken, msgBadToken}
	}
	if !k.Expires.IsZero() && !now.Before(k.Expires) {
		return &Error{ExpiredToken, msgExpiredToken}
	}
	return nil
}
