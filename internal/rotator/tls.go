package rotator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
)

// tlsMode is how a secret wants its server to be reached.
type tlsMode int

const (
	tlsTry    tlsMode = iota // no word about it: TLS if the server has it
	tlsVerify                // TLS, and the certificate is verified
	tlsOff
)

// stricter is the mode of two that trusts less. tlsOff is the last: it gives the password to anyone.
func stricter(a, b tlsMode) tlsMode {
	for _, m := range []tlsMode{tlsVerify, tlsTry} {
		if a == m || b == m {
			return m
		}
	}
	return tlsOff
}

// modeOf reads the key ssl as the templates do: true, false, or a string of either in any
// case; anything else counts as absent.
func modeOf(raw json.RawMessage) tlsMode {
	var text string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) != nil {
		return tlsTry
	}
	if text == "" {
		text = string(raw)
	}
	switch strings.ToLower(text) {
	case "true":
		return tlsVerify
	case "false":
		return tlsOff
	}
	return tlsTry
}

// CABundle is the variable that gives the certificates by which databases are
// verified, instead of the system's: PEM text, or the name of a file.
const CABundle = "DATABASE_CA_BUNDLE"

// Roots are the certificates that the function's variables want servers to be verified
// by. A nil pool is the system's.
func (j *Job) Roots() (*x509.CertPool, error) {
	text, ok := j.LookupEnv(CABundle)
	if !ok || text == "" {
		return nil, nil
	}
	if !strings.Contains(text, "-----BEGIN") {
		b, err := os.ReadFile(text)
		if err != nil {
			return nil, ValueErrorf("%s names a file that cannot be read: %v", CABundle, err)
		}
		text = string(b)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(text)) {
		return nil, ValueErrorf("%s holds no certificate", CABundle)
	}
	return pool, nil
}

// login opens a session in the mode of l. A failed login is a nil session, and told
// in the log.
//
// Without a word about TLS in the secret, a server that has it is asked for it. Only a
// certificate that cannot be verified, or a server without TLS, makes that weaker, not
// a wrong password; and neither does when the function has certificates to verify by.
func login[S Session](ctx context.Context, j *Job, e Engine[S], l Login) (S, *LoginError, error) {
	var none S
	pool, err := j.Roots()
	if err != nil {
		return none, nil, err
	}
	verified := &tls.Config{ServerName: l.Host, RootCAs: pool, MinVersion: tls.VersionTLS12}
	unverified := &tls.Config{ServerName: l.Host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}

	tries := []*tls.Config{verified}
	switch {
	case l.mode == tlsOff:
		tries = []*tls.Config{nil}
	case l.mode == tlsTry && pool == nil:
		tries = append(tries, unverified, nil)
	}
	for {
		l.TLS = tries[0]
		s, failure := attempt(ctx, e, l)
		if failure == nil {
			j.tellLogin(l)
			return s, nil, nil
		}
		tries = next(tries, failure.Reason)
		if len(tries) == 0 {
			j.tellFailure("ERROR", l, failure)
			return none, failure, nil
		}
		j.tellFailure("WARNING", l, failure)
	}
}

// next is what may still be tried after the first of tries failed.
func next(tries []*tls.Config, why Reason) []*tls.Config {
	switch {
	case len(tries) == 1:
		return nil
	case why == Untrusted: // encrypted to whoever it is: more than the templates fall back to
		return tries[1:]
	case why == NoTLS, why == BadTLS:
		return tries[len(tries)-1:]
	}
	return nil
}

// attempt is one login within its time.
func attempt[S Session](ctx context.Context, e Engine[S], l Login) (S, *LoginError) {
	ctx, cancel := context.WithTimeout(ctx, 2*connectTime)
	defer cancel()
	s, err := e.Login(ctx, l)
	if err == nil {
		return s, nil
	}
	var none S
	var failure *LoginError
	if !errors.As(err, &failure) {
		failure = NetworkError(err)
	}
	return none, failure
}

func (j *Job) tellLogin(l Login) {
	if l.untold {
		return
	}
	how := "SSL/TLS"
	switch {
	case l.TLS == nil:
		how = "non SSL/TLS"
	case l.TLS.InsecureSkipVerify:
		how = "unverified SSL/TLS"
	}
	j.Infof("Successfully established %s connection as user '%s' with host: '%s'", how, l.User, l.Addr())
}

func (j *Job) tellFailure(level string, l Login, e *LoginError) {
	if l.untold {
		return
	}
	text := j.Foreign(e.Text)
	switch e.Reason {
	case NoTLS:
		j.logf(level, "Unable to establish SSL/TLS handshake, SSL/TLS is not enabled on the host: %s (%s)", l.Addr(), text)
	case TLSRequired:
		j.logf(level, "Unable to log in without SSL/TLS, SSL/TLS is enforced on the host: %s (%s)", l.Addr(), text)
	case Untrusted:
		j.logf(level, "The certificate of host %s cannot be verified: %s; %s names other certificates to verify by", l.Addr(), text, CABundle)
	default:
		j.logf(level, "Unable to log in as user '%s' with host: '%s': %s", l.User, l.Addr(), text)
	}
}

// NetworkError is the LoginError for what package net or tls returned, or a driver
// that passes their errors on. Engines look at their server's own errors first.
func NetworkError(err error) *LoginError {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		op        *net.OpError
		dns       *net.DNSError
	)
	switch {
	case errors.As(err, &verify), errors.As(err, &authority), errors.As(err, &name), errors.As(err, &invalid):
		return &LoginError{Untrusted, plainCertificateError(err)}
	case errors.As(err, &record), strings.Contains(err.Error(), "tls: "):
		return &LoginError{BadTLS, "the TLS handshake failed"}
	case errors.As(err, &dns):
		return &LoginError{Unreachable, "the host name cannot be resolved: " + dns.Err}
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return &LoginError{Unreachable, "no answer in time"}
	case errors.As(err, &op):
		return &LoginError{Unreachable, op.Op + ": " + op.Err.Error()}
	}
	return &LoginError{Unreachable, "the connection failed or was closed by the server"}
}

// Verifying is config for drivers that make text of TLS's errors: it verifies the same, and
// failure tells whether that was why a handshake failed.
func Verifying(config *tls.Config) (same *tls.Config, failure func() *LoginError) {
	same = config.Clone()
	var mu sync.Mutex
	var found *LoginError
	if !config.InsecureSkipVerify {
		same.InsecureSkipVerify = true // VerifyConnection does it
		same.VerifyConnection = func(s tls.ConnectionState) error {
			opts := x509.VerifyOptions{DNSName: config.ServerName, Roots: config.RootCAs, Intermediates: x509.NewCertPool()}
			for _, c := range s.PeerCertificates[1:] {
				opts.Intermediates.AddCert(c)
			}
			_, err := s.PeerCertificates[0].Verify(opts)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				found = &LoginError{Untrusted, plainCertificateError(err)}
			}
			return err
		}
	}
	return same, func() *LoginError {
		mu.Lock()
		defer mu.Unlock()
		return found
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func plainCertificateError(err error) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return "it is for another host name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it has expired or is not valid yet"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "it is signed by an unknown authority"
	}
	return "it is not valid"
}
