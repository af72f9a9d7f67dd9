package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"coffer/internal/sigv4"
)

const (
	region   = "us-east-1"
	jsonType = "application/x-amz-json-1.1"
	// userAgent is as long as an SDK's: it goes into every audit record.
	userAgent = "aws-sdk-go-v2/1.47.7 ua/2.1 os/linux lang/go#1.26 md/GOOS#linux md/GOARCH#amd64 api/secretsmanager#1.50.10 coffer-bench"
)

// credentials is what a data directory's credentials.json holds, or what a caller
// was given.
type credentials struct {
	Account         string `json:"account"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"-"`
}

// service is what a signer must know of a service.
type service struct {
	name    string // in a credential scope
	target  string // X-Amz-Target before the operation; empty: it speaks Query
	version string // of its API, in Query
}

var (
	secretsManager = service{name: "secretsmanager", target: "secretsmanager."}
	kmsService     = service{name: "kms", target: "TrentService."}
	iamService     = service{name: "iam", version: "2010-05-08"}
	stsService     = service{name: "sts", version: "2011-06-15"}
)

func (s *service) contentType() string {
	if s.target == "" {
		return "application/x-www-form-urlencoded; charset=utf-8"
	}
	return jsonType
}

// signer makes the bytes of signed requests to one service of one host. One
// goroutine uses it.
type signer struct {
	by  sigv4.Signer
	to  service
	req http.Request
}

// newSigner returns a signer of requests to Secrets Manager.
func newSigner(c credentials, host string) *signer {
	by := sigv4.Signer{AccessKeyID: c.AccessKeyID, SecretAccessKey: sigv4.Secret(c.SecretAccessKey), SessionToken: sigv4.Secret(c.SessionToken)}
	return (&signer{by: by, req: http.Request{Host: host}}).of(secretsManager)
}

// of returns a signer like s of requests to another service.
func (s *signer) of(to service) *signer {
	return &signer{by: s.by, to: to, req: http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/"}, Host: s.req.Host, Header: http.Header{"Content-Type": {to.contentType()}},
	}}
}

// append appends a request of an operation, as it goes over the wire, to dst. body
// is JSON, or the operation's parameters as a form.
func (s *signer) append(dst []byte, operation string, body []byte) ([]byte, error) {
	target := s.to.target + operation
	if s.to.target != "" {
		s.req.Header["X-Amz-Target"] = []string{target}
	} else {
		body = fmt.Appendf(nil, "Action=%s&Version=%s&%s", operation, s.to.version, body)
	}
	if err := sigv4.Sign(&s.req, body, s.by, region, s.to.name, time.Now()); err != nil {
		return dst, err
	}
	dst = append(dst, "POST / HTTP/1.1\r\nHost: "...)
	dst = append(dst, s.req.Host...)
	dst = append(dst, "\r\nUser-Agent: "+userAgent+"\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\nAuthorization: "...)
	dst = append(dst, s.req.Header["Authorization"][0]...)
	dst = append(dst, "\r\nContent-Type: "...)
	dst = append(dst, s.to.contentType()...)
	dst = append(dst, "\r\nX-Amz-Date: "...)
	dst = append(dst, s.req.Header["X-Amz-Date"][0]...)
	if s.to.target != "" {
		dst = append(dst, "\r\nX-Amz-Target: "...)
		dst = append(dst, target...)
	}
	if s.by.SessionToken != "" {
		dst = append(dst, "\r\nX-Amz-Security-Token: "...)
		dst = append(dst, s.by.SessionToken...)
	}
	dst = append(dst, "\r\nAccept-Encoding: identity\r\n\r\n"...)
	return append(dst, body...), nil
}

// secretName is the name of a benchmark's secret.
func secretName(i int) string { return fmt.Sprintf("bench/%07d", i) }

// versionID is the ClientRequestToken of version v of secret i, in the form of
// a UUID: who knows the secret knows what a right answer must contain.
func versionID(i, v int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", i, v) }

// secretValue is a value of n characters that compression could not shrink much.
func secretValue(rng *rand.Rand, n int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	b := make([]byte, n)
	var bits uint64
	for i := range b {
		if i%10 == 0 { // sixty bits are ten characters
			bits = rng.Uint64()
		}
		b[i] = alphabet[bits&63]
		bits >>= 6
	}
	return string(b)
}

// newRand returns a generator of its own for each stream of one seed, so that a
// run can be repeated.
func newRand(stream int) *rand.Rand { return rand.New(rand.NewPCG(1, uint64(stream))) }

// call is one request and what an answer of 200 must contain.
type call struct {
	request []byte
	want    []byte
}

// source gives each connection its next call. A connection has its own stream:
// next is called for one connection by one goroutine at a time.
type source interface {
	next(conn int) (call, error)
}

// signed is a source of calls signed beforehand, drawn at random. Their
// signatures hold for five minutes, longer than any measurement.
type signed struct {
	calls []call
	rngs  []*rand.Rand
}

// signGets signs GetSecretValue of n secrets drawn at random from the first
// `of`, or of each of them once when n is at least as many.
func signGets(c credentials, host string, name func(int) string, of, n, conns int) (*signed, error) {
	s := &signed{}
	for i := range conns {
		s.rngs = append(s.rngs, newRand(i))
	}
	sg, rng := newSigner(c, host), newRand(of)
	for i := range min(of, n) {
		if n < of {
			i = rng.IntN(of)
		}
		req, err := sg.append(nil, "GetSecretValue", fmt.Appendf(nil, `{"SecretId":%q}`, name(i)))
		if err != nil {
			return nil, err
		}
		s.calls = append(s.calls, call{bytes.Clone(req), []byte(versionID(i, 0))})
	}
	return s, nil
}

func (s *signed) next(conn int) (call, error) {
	return s.calls[s.rngs[conn].IntN(len(s.calls))], nil
}

// expect makes every answer to contain the same text, for servers that give the
// same answer to everything.
func (s *signed) expect(want string) *signed {
	for i := range s.calls {
		s.calls[i].want = []byte(want)
	}
	return s
}
