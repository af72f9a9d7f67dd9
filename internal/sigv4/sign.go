package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signer is who signs: an access key, with its token if it is temporary.
type Signer struct {
	AccessKeyID     string
	SecretAccessKey Secret
	SessionToken    Secret
}

var errNoCanonicalForm = errors.New("sigv4: the request has a header or query that cannot be signed")

// Sign sets X-Amz-Date, X-Amz-Security-Token and Authorization of a client's
// request, whose body the caller has read. It signs host, content-type and all
// x-amz-* headers.
func Sign(r *http.Request, body []byte, by Signer, region, service string, now time.Time) error {
	at := stamp(now)
	r.Header.Del("Authorization")
	r.Header.Del("X-Amz-Security-Token")
	r.Header.Set("X-Amz-Date", at)
	if by.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", string(by.SessionToken))
	}
	names := headersToSign(r.Header)
	scope := Credential{by.AccessKeyID, at[:8], region, service}
	signature, err := sign(r, body, by, scope, names, at, false)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", algorithm+" Credential="+scope.text()+", SignedHeaders="+names+", Signature="+signature)
	return nil
}

// Presign puts a signature into the query of a client's request, good for
// expires (1 second to MaxExpires). All x-amz-* headers and content-type must
// then be sent as they are now.
func Presign(r *http.Request, body []byte, by Signer, region, service string, now time.Time, expires time.Duration) error {
	if expires < time.Second || expires > MaxExpires {
		return errors.New("sigv4: a presigned request lives from one second to seven days")
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return errNoCanonicalForm
	}
	at := stamp(now)
	for _, name := range [...]string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"} {
		r.Header.Del(name)
	}
	names := headersToSign(r.Header)
	scope := Credential{by.AccessKeyID, at[:8], region, service}
	q.Set("X-Amz-Algorithm", algorithm)
	q.Set("X-Amz-Credential", scope.text())
	q.Set("X-Amz-Date", at)
	q.Set("X-Amz-Expires", strconv.Itoa(int(expires/time.Second)))
	q.Set("X-Amz-SignedHeaders", names)
	q.Del("X-Amz-Signature")
	q.Del("X-Amz-Security-Token")
	if by.SessionToken != "" {
		q.Set("X-Amz-Security-Token", string(by.SessionToken))
	}
	r.URL.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	signature, err := sign(r, body, by, scope, names, at, true)
	if err != nil {
		return err
	}
	r.URL.RawQuery += "&X-Amz-Signature=" + signature
	return nil
}

// text returns the credential as requests write it.
func (c Credential) text() string {
	return c.AccessKeyID + "/" + c.Date + "/" + c.Region + "/" + c.Service + "/" + terminator
}

func headersToSign(h http.Header) string {
	names := []string{"host"}
	for name := range h {
		if n := strings.ToLower(name); n == "content-type" || strings.HasPrefix(n, "x-amz-") {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ";")
}

func sign(r *http.Request, body []byte, by Signer, scope Credential, names, at string, presigned bool) (string, error) {
	s := scratches.Get().(*scratch)
	defer s.free()
	payload := r.Header.Get("X-Amz-Content-Sha256")
	if payload == "" {
		sum := sha256.Sum256(body)
		payload = hex.EncodeToString(sum[:])
	}
	if !s.canonical(r, r.URL.EscapedPath(), r.URL.RawQuery, presigned, names, payload) {
		return "", errNoCanonicalForm
	}
	s.toSign(sha256.Sum256(s.buf), at, scope.Date, scope.Region, scope.Service)
	derive(scope, by.SecretAccessKey).sign(s)
	return string(s.hex[:]), nil
}
