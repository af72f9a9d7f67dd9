package sigv4_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"coffer/internal/sigv4"
)

const (
	akid   = "AKIAIOSFODNN7EXAMPLE"
	tempID = "ASIAIOSFODNN7EXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	token  = "IQoJb3JpZ2luX2VjEXAMPLE/token+with/specials=="
)

var at = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

type recorded struct {
	name string
	r    *http.Request
	body []byte
}

// mustRead reads requests out of a file: each is headed by "-- name --", what
// comes before the first is prose. The request line is kept as it is, because
// the suite has some that net/http would not read.
func mustRead(t testing.TB, file string) []recorded {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	for i, part := range strings.Split(string(data), "\n-- ") {
		if i == 0 {
			continue
		}
		name, part, ok1 := strings.Cut(part, " --\n")
		line, part, ok2 := strings.Cut(part, "\n")
		header, body, ok3 := strings.Cut(part, "\n\n")
		method, line, ok4 := strings.Cut(line, " ")
		target, ok5 := strings.CutSuffix(line, " HTTP/1.1")
		if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
			t.Fatalf("%s: %q is not a request", file, name)
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " / HTTP/1.1\n" + header + "\n\n")))
		if err != nil {
			t.Fatalf("%s: %s: %v", file, name, err)
		}
		r.RequestURI = target
		all = append(all, recorded{name, r, []byte(strings.TrimSuffix(body, "\n"))})
	}
	if len(all) == 0 {
		t.Fatalf("%s has no requests", file)
	}
	return all
}

func verify(r *http.Request, body []byte, key *sigv4.Key, now time.Time, service string) error {
	c, err := sigv4.Parse(r)
	if err != nil {
		return err
	}
	return sigv4.New(sigv4.Config{}).Verify(r, body, &c, key, now, service, nil)
}

func mustVerify(t *testing.T, r *http.Request, body []byte, key *sigv4.Key, now time.Time, service string) {
	t.Helper()
	if err := verify(r, body, key, now, service); err != nil {
		t.Errorf("%s %s: %v", r.Method, r.RequestURI, err)
	}
}

// mustRefuse wants an error of a reason, typed and with a message.
func mustRefuse(t *testing.T, err error, reason sigv4.Reason) {
	t.Helper()
	var e *sigv4.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error with reason %d", err, reason)
	}
	if e.Reason != reason || e.Message == "" {
		t.Fatalf("got reason %d (%s), want %d", e.Reason, e.Message, reason)
	}
	if strings.Contains(e.Message, secret) {
		t.Fatalf("message shows a secret: %s", e.Message)
	}
}

func key(id string) *sigv4.Key {
	k := &sigv4.Key{SecretAccessKey: secret}
	if id == tempID {
		k.SessionToken = token
		k.Expires = at.Add(time.Hour)
	}
	return k
}

func TestSuite(t *testing.T) {
	now := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	for _, rec := range mustRead(t, "suite.txt") {
		t.Run(rec.name, func(t *testing.T) {
			k := &sigv4.Key{SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
			k.SessionToken = sigv4.Secret(rec.r.Header.Get("X-Amz-Security-Token"))
			mustVerify(t, rec.r, rec.body, k, now, "service")
			mustBreak(t, rec, k, now, "service")
		})
	}
}

func TestBotocore(t *testing.T) {
	for _, rec := range mustRead(t, "botocore.txt") {
		t.Run(rec.name, func(t *testing.T) {
			c, err := sigv4.Parse(rec.r)
			if err != nil {
				t.Fatal(err)
			}
			mustVerify(t, rec.r, rec.body, key(c.AccessKeyID), at, c.Service)
			mustBreak(t, rec, key(c.AccessKeyID), at, c.Service)
		})
	}
}

// mustBreak changes a request in ways that the signature must notice.
func mustBreak(t *testing.T, rec recorded, k *sigv4.Key, now time.Time, service string) {
	t.Helper()
	for name, change := range map[string]func(*http.Request, *[]byte){
		"body":   func(_ *http.Request, body *[]byte) { *body = append((*body)[:len(*body):len(*body)], ' ') },
		"method": func(r *http.Request, _ *[]byte) { r.Method = "PATCH" },
		"host":   func(r *http.Request, _ *[]byte) { r.Host += ":8443" },
		"path": func(r *http.Request, _ *[]byte) {
			path, query, _ := strings.Cut(r.RequestURI, "?")
			r.RequestURI = path + "x?" + query
		},
		"query": func(r *http.Request, _ *[]byte) {
			if !strings.Contains(r.RequestURI, "?") {
				r.RequestURI += "?"
			}
			r.RequestURI += "&a=b"
		},
		"an added header": func(r *http.Request, _ *[]byte) { r.Header.Set("X-Amz-Target", "kms.ScheduleKeyDeletion") },
	} {
		r, body := rec.r.Clone(context.Background()), rec.body
		change(r, &body)
		if err := verify(r, body, k, now, service); err == nil {
			t.Errorf("accepted with another %s", name)
		}
	}
	wrong := *k
	wrong.SecretAccessKey += "x"
	if verify(rec.r, rec.body, &wrong, now, service) == nil {
		t.Error("accepted with another secret")
	}
}

// received sends a request through HTTP's text form, as a server sees it.
func received(t testing.TB, r *http.Request, body []byte) *http.Request {
	t.Helper()
	var wire bytes.Buffer
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func sdkCredentials(id string) aws.Credentials {
	c := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	if id == tempID {
		c.SessionToken = token
	}
	return c
}

// sdkSign signs with the AWS SDK for Go, in the header or the query.
func sdkSign(t testing.TB, r *http.Request, body []byte, id, service string, presign bool) *http.Request {
	t.Helper()
	ctx, signer := context.Background(), v4.NewSigner()
	r.ContentLength = int64(len(body))
	if !presign {
		if err := signer.SignHTTP(ctx, sdkCredentials(id), r, hash(body), service, "us-east-1", at); err != nil {
			t.Fatal(err)
		}
		return received(t, r, body)
	}
	signed, header, err := signer.PresignHTTP(ctx, sdkCredentials(id), r, hash(body), service, "us-east-1", at)
	if err != nil {
		t.Fatal(err)
	}
	p, err := http.NewRequest(r.Method, signed, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Header, p.ContentLength = header, r.ContentLength
	return received(t, p, body)
}

// TestGolden signs the golden requests that the AWS SDK for Go ships with its
// clients. The snapshots have no Host and no credentials; those are added.
func TestGolden(t *testing.T) {
	for service, module := range map[string]string{
		"secretsmanager": "github.com/aws/aws-sdk-go-v2/service/secretsmanager",
		"kms":            "github.com/aws/aws-sdk-go-v2/service/kms",
	} {
		dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", module, err)
		}
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "request_snapshot", "*.snap"))
		if err != nil || len(files) < 10 {
			t.Fatalf("%s: %d golden requests (run go mod download %s?)", service, len(files), module)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			line, rest, _ := strings.Cut(string(data), "\n")
			header, body, _ := strings.Cut(strings.TrimPrefix(rest, "\n"), "\n\n")
			method, path, ok := strings.Cut(strings.TrimSpace(line), " ")
			if !ok {
				t.Fatalf("%s: %q", file, line)
			}
			build := func() *http.Request {
				r, err := http.NewRequest(method, "https://"+service+".us-east-1.amazonaws.com"+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range strings.Split(strings.TrimSpace(header), "\n") {
					name, value, ok := strings.Cut(h, ": ")
					if !ok {
						t.Fatalf("%s: header %q", file, h)
					}
					r.Header.Add(name, value)
				}
				return r
			}
			for _, id := range []string{akid, tempID} {
				for _, presign := range []bool{false, true} {
					r := sdkSign(t, build(), []byte(body), id, service, presign)
					rec := recorded{file, r, []byte(body)}
					mustVerify(t, r, rec.body, key(id), at, service)
					mustBreak(t, rec, key(id), at, service)
				}
			}
		}
	}
}

// TestSign holds our signer against our verifier, and against the SDK's signer.
func TestSign(t *testing.T) {
	body := []byte(`{"SecretId":"a"}`)
	build := func() *http.Request {
		r, _ := http.NewRequest("POST", "http://localhost:4566/a%2Fb/c?x=1&b=%20&b=", nil)
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue")
		return r
	}
	for _, id := range []string{akid, tempID} {
		by := sigv4.Signer{AccessKeyID: id, SecretAccessKey: secret}
		if id == tempID {
			by.SessionToken = token
		}
		ours := build()
		for range 2 { // signing again replaces the first signature
			if err := sigv4.Sign(ours, body, by, "us-east-1", "secretsmanager", at); err != nil {
				t.Fatal(err)
			}
		}
		theirs := build()
		if err := v4.NewSigner().SignHTTP(context.Background(), sdkCredentials(id), theirs, hash(body), "secretsmanager", "us-east-1", at); err != nil {
			t.Fatal(err)
		}
		if got, want := ours.Header.Get("Authorization"), theirs.Header.Get("Authorization"); got != want {
			t.Errorf("Authorization\n got %s\nwant %s", got, want)
		}
		mustVerify(t, received(t, ours, body), body, key(id), at, "secretsmanager")

		pre := build()
		for range 2 {
			if err := sigv4.Presign(pre, body, by, "us-east-1", "secretsmanager", at, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		r := received(t, pre, body)
		mustVerify(t, r, body, key(id), at.Add(59*time.Minute), "secretsmanager")
		c, _ := sigv4.Parse(r)
		if !c.Presigned || c.Expires != time.Hour {
			t.Errorf("claim of a presigned request: %#v", c)
		}
	}
	if sigv4.Presign(build(), nil, sigv4.Signer{}, "r", "s", at, 8*24*time.Hour) == nil {
		t.Error("presigned for eight days")
	}
	bad := build()
	bad.URL.RawQuery = "a=%zz"
	if sigv4.Sign(bad, nil, sigv4.Signer{}, "r", "s", at) == nil || sigv4.Presign(bad, nil, sigv4.Signer{}, "r", "s", at, time.Hour) == nil {
		t.Error("signed a query that cannot be read")
	}
}

// signed is a typical request of an SDK.
func signed(t testing.TB, id string) (*http.Request, []byte) {
	t.Helper()
	body := []byte(`{"SecretId":"arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/database/primary-AbCdEf","V":1}`)
	r, _ := http.NewRequest("POST", "https://secretsmanager.us-east-1.amazonaws.com/", nil)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue")
	r.Header.Set("Amz-Sdk-Invocation-Id", "a1f91738-9224-4383-92e7-fc1755734f98")
	r.Header.Set("Amz-Sdk-Request", "attempt=1; max=3")
	r.Header.Set("User-Agent", "aws-sdk-go-v2/1.47.7 os/linux lang/go#1.26")
	r.Header.Set("Accept-Encoding", "gzip")
	return sdkSign(t, r, body, id, "secretsmanager", false), body
}

func presigned(t testing.TB, id string) *http.Request {
	t.Helper()
	r, _ := http.NewRequest("GET", "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=900", nil)
	return sdkSign(t, r, nil, id, "sts", true)
}

func TestErrors(t *testing.T) {
	header := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	replace := func(name, old, new string) func(*http.Request) {
		return func(r *http.Request) {
			v := r.Header.Get(name)
			if !strings.Contains(v, old) {
				t.Fatalf("%s has no %q", name, old)
			}
			r.Header.Set(name, strings.Replace(v, old, new, 1))
		}
	}
	const scope = akid + "/20260314/us-east-1/secretsmanager/aws4_request"
	const mismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	const invalid = "The security token included in the request is invalid."
	type kind struct {
		reason      sigv4.Reason
		json, query string
		status      int // of Query; JSON's is always 400
	}
	var (
		missing     = kind{sigv4.Missing, "MissingAuthenticationTokenException", "MissingAuthenticationToken", 403}
		malformed   = kind{sigv4.Malformed, "IncompleteSignatureException", "IncompleteSignature", 400}
		unsupported = kind{sigv4.Unsupported, "IncompleteSignatureException", "IncompleteSignature", 400}
		unknown     = kind{sigv4.UnknownKey, "UnrecognizedClientException", "InvalidClientTokenId", 403}
		badToken    = kind{sigv4.BadToken, "UnrecognizedClientException", "InvalidClientTokenId", 403}
		expiredKey  = kind{sigv4.ExpiredToken, "ExpiredTokenException", "ExpiredToken", 403}
		wrong       = func(r sigv4.Reason) kind {
			return kind{r, "InvalidSignatureException", "SignatureDoesNotMatch", 403}
		}
	)
	none := func(*http.Request) {}
	for _, test := range []struct {
		name    string
		id      string // tempID for a temporary key
		change  func(*http.Request)
		key     func(*sigv4.Key) *sigv4.Key
		now     time.Time
		service string
		region  func(string) bool
		want    kind
		message string
	}{
		{name: "no credentials", change: func(r *http.Request) { r.Header.Del("Authorization") }, want: missing,
			message: "Request is missing Authentication Token"},
		{name: "another scheme, whose text is not repeated", change: header("Bearer hunter2"), want: missing,
			message: "Request is missing Authentication Token"},
		{name: "empty AWS4", change: func(r *http.Request) { r.Header.Del("X-Amz-Date"); header("AWS4-HMAC-SHA256")(r) }, want: malformed,
			message: "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256"},
		{name: "no Credential and no Signature", change: header("AWS4-HMAC-SHA256 SignedHeaders=host"), want: malformed,
			message: "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization=AWS4-HMAC-SHA256 SignedHeaders=host"},
		{name: "no equal-sign", change: header("AWS4-HMAC-SHA256 Credential=" + scope + ", x, Signature=1"), want: malformed,
			message: "'x' not a valid key=value pair (missing equal-sign) in Authorization header: 'AWS4-HMAC-SHA256 Credential=" + scope + ", x, Signature=1'."},
		{name: "a blank in the key", change: header("AWS4-HMAC-SHA256 Credential=not valid/20180109/us-east-1/sts/aws4_request"), want: malformed,
			message: "'valid/20180109/us-east-1/sts/aws4_request' not a valid key=value pair (missing equal-sign) in Authorization header: 'AWS4-HMAC-SHA256 Credential=not valid/20180109/us-east-1/sts/aws4_request'."},
		{name: "a parameter twice", change: replace("Authorization", "Signature=", "Signature=1, Signature="), want: malformed,
			message: "Authorization header has more than one 'Signature' parameter."},
		{name: "two Authorization headers", change: func(r *http.Request) { r.Header.Add("Authorization", "Basic x") }, want: malformed,
			message: "Request has more than one Authorization header."},
		{name: "two dates", change: func(r *http.Request) { r.Header.Add("X-Amz-Date", "20260314T150926Z") }, want: malformed,
			message: "Request has more than one X-Amz-Date header."},
		{name: "two tokens", id: tempID, change: func(r *http.Request) { r.Header.Add("X-Amz-Security-Token", "x") }, want: malformed,
			message: "Request has more than one X-Amz-Security-Token header."},
		{name: "signed in both ways", change: func(r *http.Request) { r.RequestURI = presigned(t, akid).RequestURI }, want: malformed,
			message: "Request is signed both in the Authorization header and in the query string."},
		{name: "long header", change: header("AWS4-HMAC-SHA256 " + strings.Repeat("a=b, ", 2000)), want: malformed,
			message: "Authorization header is too long."},
		{name: "too many signed headers", change: replace("Authorization", "SignedHeaders=", "SignedHeaders="+strings.Repeat("a;", 100)), want: malformed,
			message: "Authorization has too many SignedHeaders."},
		{name: "date", change: func(r *http.Request) { r.Header.Set("X-Amz-Date", "201") }, want: malformed,
			message: "Date must be in ISO-8601 'basic format'. Got '201'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{name: "31 February", change: func(r *http.Request) { r.Header.Set("X-Amz-Date", "20260231T000000Z") }, want: malformed,
			message: "Date must be in ISO-8601 'basic format'. Got '20260231T000000Z'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{name: "RFC 9110 date in X-Amz-Date", change: func(r *http.Request) { r.Header.Set("X-Amz-Date", "Sat, 14 Mar 2026 15:09:26 GMT") }, want: malformed,
			message: "Date must be in ISO-8601 'basic format'. Got 'Sat, 14 Mar 2026 15:09:26 GMT'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{name: "SigV4a", change: replace("Authorization", "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), want: unsupported,
			message: "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256' (only AWS4-HMAC-SHA256 for now). "},
		{name: "four elements", change: replace("Authorization", "/us-east-1", ""), want: malformed,
			message: "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + akid + "/20260314/secretsmanager/aws4_request'"},
		{name: "host not signed", change: replace("Authorization", ";host;", ";"), want: wrong(sigv4.UnsignedHeader),
			message: "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{name: "target not signed", change: replace("Authorization", ";x-amz-target", ""), want: wrong(sigv4.UnsignedHeader),
			message: "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."},
		{name: "region", change: replace("Authorization", "us-east-1", "US"), want: wrong(sigv4.WrongRegion),
			message: "Credential should be scoped to a valid region, not 'US'. "},
		{name: "region unknown to the configuration", change: none, region: func(r string) bool { return r == "eu-west-1" }, want: wrong(sigv4.WrongRegion),
			message: "Credential should be scoped to a valid region, not 'us-east-1'. "},
		{name: "service", change: none, service: "kms", want: wrong(sigv4.WrongService),
			message: "Credential should be scoped to correct service: 'kms'. "},
		{name: "terminator", change: replace("Authorization", "aws4_request", "aws5_request"), want: wrong(sigv4.WrongScope),
			message: "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'. "},
		{name: "scope date", change: replace("Authorization", "20260314", "20260313"), want: wrong(sigv4.DateMismatch),
			message: "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260313' != '20260314', from '20260314T150926Z'."},
		{name: "all of the scope, before the unknown key", change: replace("Authorization", scope, "b/d/R/s/t"), service: "kms", want: wrong(sigv4.WrongRegion),
			key:     func(*sigv4.Key) *sigv4.Key { return nil },
			message: "Credential should be scoped to a valid region, not 'R'. Credential should be scoped to correct service: 'kms'. Credential should be scoped with a valid terminator: 'aws4_request', not 't'. Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: 'd' != '20260314', from '20260314T150926Z'."},
		{name: "unknown key, before the date", change: none, key: func(*sigv4.Key) *sigv4.Key { return nil }, now: at.Add(time.Hour), want: unknown, message: invalid},
		{name: "a key without a secret", change: func(r *http.Request) {
			if err := sigv4.Sign(r, nil, sigv4.Signer{AccessKeyID: akid}, "us-east-1", "secretsmanager", at); err != nil {
				t.Fatal(err)
			}
		}, key: func(*sigv4.Key) *sigv4.Key { return &sigv4.Key{} }, want: unknown, message: invalid},
		{name: "too old, before the signature", change: replace("Authorization", "Signature=", "Signature=0"), now: at.Add(5*time.Minute + 68*time.Second), want: wrong(sigv4.Expired),
			message: "Signature expired: 20260314T150926Z is now earlier than 20260314T151034Z (20260314T151534Z - 5 min.)"},
		{name: "in the future", change: none, now: at.Add(-6 * time.Minute), want: wrong(sigv4.NotYetCurrent),
			message: "Signature not yet current: 20260314T150926Z is still later than 20260314T150826Z (20260314T150326Z + 5 min.)"},
		{name: "secret", change: none, key: func(k *sigv4.Key) *sigv4.Key { k.SecretAccessKey += "x"; return k }, want: wrong(sigv4.BadSignature), message: mismatch},
		{name: "signature of another length", change: replace("Authorization", "Signature=", "Signature=0"), want: wrong(sigv4.BadSignature), message: mismatch},
		{name: "unsorted headers", change: replace("Authorization", "content-type;host", "host;content-type"), want: wrong(sigv4.BadSignature), message: mismatch},
		{name: "upper-case headers", change: replace("Authorization", "content-type;", "Content-Type;"), want: wrong(sigv4.BadSignature), message: mismatch},
		{name: "a signed header that is not there", change: func(r *http.Request) { r.Header.Del("Content-Type") }, want: wrong(sigv4.BadSignature), message: mismatch},
		{name: "hash of the body", change: func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", hash(nil)) }, want: wrong(sigv4.BadSignature), message: mismatch},
		{name: "unsigned payload", change: func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }, want: wrong(sigv4.BadSignature), message: mismatch},
		{name: "broken query escape", change: func(r *http.Request) { r.RequestURI = "/?a=%2" }, want: wrong(sigv4.BadSignature), message: mismatch},
		{name: "semicolon in the query", change: func(r *http.Request) { r.RequestURI = "/?a=1;b=2" }, want: wrong(sigv4.BadSignature), message: mismatch},
		{name: "no token", id: tempID, change: none, key: func(k *sigv4.Key) *sigv4.Key { k.SessionToken = "x"; return k }, want: badToken, message: invalid},
		{name: "token of a long-term key", id: tempID, change: none, key: func(k *sigv4.Key) *sigv4.Key { k.SessionToken = ""; return k }, want: badToken, message: invalid},
		{name: "temporary key without its token", change: none, key: func(k *sigv4.Key) *sigv4.Key { k.SessionToken = token; return k }, want: badToken, message: invalid},
		{name: "signature before the token's end", id: tempID, change: none, want: wrong(sigv4.BadSignature), message: mismatch,
			key: func(k *sigv4.Key) *sigv4.Key { k.SecretAccessKey, k.Expires = "x", at; return k }},
		{name: "expired key", id: tempID, change: none, key: func(k *sigv4.Key) *sigv4.Key { k.Expires = at; return k }, want: expiredKey,
			message: "The security token included in the request is expired"},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := akid
			if test.id != "" {
				id = test.id
			}
			r, body := signed(t, id)
			test.change(r)
			k := key(id)
			if test.key != nil {
				k = test.key(k)
			}
			now, service := at, "secretsmanager"
			if !test.now.IsZero() {
				now = test.now
			}
			if test.service != "" {
				service = test.service
			}
			c, err := sigv4.Parse(r)
			if err == nil {
				err = sigv4.New(sigv4.Config{}).Verify(r, body, &c, k, now, service, test.region)
			}
			mustRefuse(t, err, test.want.reason)
			e := err.(*sigv4.Error)
			if e.Message != test.message {
				t.Errorf("message\n got %q\nwant %q", e.Message, test.message)
			}
			if got := e.Reason.Code(false); got != test.want.json || e.Reason.Status(false) != 400 {
				t.Errorf("JSON: %d %s, want 400 %s", e.Reason.Status(false), got, test.want.json)
			}
			if got := e.Reason.Code(true); got != test.want.query || e.Reason.Status(true) != test.want.status {
				t.Errorf("Query: %d %s, want %d %s", e.Reason.Status(true), got, test.want.status, test.want.query)
			}
		})
	}
}

func TestPresignedErrors(t *testing.T) {
	drop := func(name string) func(url.Values) { return func(q url.Values) { q.Del(name) } }
	set := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
	for _, test := range []struct {
		name    string
		change  func(url.Values)
		now     time.Time
		reason  sigv4.Reason
		message string
	}{
		{"no signature", drop("X-Amz-Signature"), at, sigv4.Malformed, "AWS query-string parameters must include 'X-Amz-Signature'. Re-examine the query-string parameters."},
		{"no credential and date", func(q url.Values) { q.Del("X-Amz-Credential"); q.Del("X-Amz-Date") }, at, sigv4.Malformed,
			"AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters."},
		{"twice", func(q url.Values) { q.Add("X-Amz-Signature", "x") }, at, sigv4.Malformed, "Query string has more than one 'X-Amz-Signature' parameter."},
		{"SigV4a", set("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256"), at, sigv4.Unsupported, "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256' (only AWS4-HMAC-SHA256 for now). "},
		{"expires 0", set("X-Amz-Expires", "0"), at, sigv4.Malformed, "X-Amz-Expires must be a number of seconds between 1 and 604800."},
		{"expires too late", set("X-Amz-Expires", "604801"), at, sigv4.Malformed, "X-Amz-Expires must be a number of seconds between 1 and 604800."},
		{"expires not a number", set("X-Amz-Expires", "-1"), at, sigv4.Malformed, "X-Amz-Expires must be a number of seconds between 1 and 604800."},
		{"a longer life than signed", set("X-Amz-Expires", "604800"), at.Add(time.Hour), sigv4.BadSignature, ""},
		{"host not signed", set("X-Amz-SignedHeaders", "x-amz-date"), at, sigv4.UnsignedHeader, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{"another action", set("Action", "GetSessionToken"), at, sigv4.BadSignature, ""},
		{"expired", func(url.Values) {}, at.Add(901 * time.Second), sigv4.Expired,
			"Signature expired: 20260314T150926Z is now earlier than 20260314T150927Z (20260314T152427Z - 15 min.)"},
		{"not yet", func(url.Values) {}, at.Add(-301 * time.Second), sigv4.NotYetCurrent,
			"Signature not yet current: 20260314T150926Z is still later than 20260314T150925Z (20260314T150425Z + 5 min.)"},
		{"another token", set("X-Amz-Security-Token", "x"), at, sigv4.BadSignature, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := presigned(t, tempID)
			q := r.URL.Query()
			test.change(q)
			r.RequestURI = "/?" + q.Encode()
			err := verify(r, nil, key(tempID), test.now, "sts")
			mustRefuse(t, err, test.reason)
			if e := err.(*sigv4.Error); test.message != "" && e.Message != test.message {
				t.Errorf("message\n got %q\nwant %q", e.Message, test.message)
			}
		})
	}
	r := presigned(t, tempID)
	mustVerify(t, r, nil, key(tempID), at.Add(900*time.Second), "sts")
	mustRefuse(t, verify(r, nil, &sigv4.Key{SecretAccessKey: secret}, at, "sts"), sigv4.BadToken)
	r.Header.Set("Authorization", "Bearer x") // some other party's; the query still counts
	mustVerify(t, r, nil, key(tempID), at, "sts")
}

func TestWindow(t *testing.T) {
	r, body := signed(t, akid)
	for _, d := range []time.Duration{-5 * time.Minute, 0, 5*time.Minute + 999*time.Millisecond} {
		mustVerify(t, r, body, key(akid), at.Add(d), "")
	}
}

// TestDateHeader: Date dates a request without X-Amz-Date, in either format.
// (botocore.txt has one such request with its signature.)
func TestDateHeader(t *testing.T) {
	for _, format := range []string{http.TimeFormat, "20060102T150405Z"} {
		r, _ := signed(t, akid)
		r.Header.Del("X-Amz-Date")
		r.Header.Set("Date", at.Format(format))
		c, err := sigv4.Parse(r)
		if err != nil || !c.Time.Equal(at) {
			t.Errorf("%s: %v %v", format, c.Time, err)
		}
	}
}

func TestUnsignedPayload(t *testing.T) {
	r, _ := http.NewRequest("PUT", "https://lambda.us-east-1.amazonaws.com/x", nil)
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	if err := v4.NewSigner().SignHTTP(context.Background(), sdkCredentials(akid), r, "UNSIGNED-PAYLOAD", "lambda", "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	c, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("anything")
	if err := sigv4.New(sigv4.Config{AllowUnsignedPayload: true}).Verify(r, body, &c, key(akid), at, "lambda", nil); err != nil {
		t.Error(err)
	}
	mustRefuse(t, sigv4.New(sigv4.Config{}).Verify(r, body, &c, key(akid), at, "lambda", nil), sigv4.BadSignature)
}

// TestRotated: a secret that was replaced no longer verifies, whatever is cached.
func TestRotated(t *testing.T) {
	v := sigv4.New(sigv4.Config{})
	r, body := signed(t, akid)
	c, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	rotated := &sigv4.Key{SecretAccessKey: "another"}
	for range 3 {
		if err := v.Verify(r, body, &c, key(akid), at, "", nil); err != nil {
			t.Fatal(err)
		}
		mustRefuse(t, v.Verify(r, body, &c, rotated, at, "", nil), sigv4.BadSignature)
	}
	v.Forget(akid)
	mustRefuse(t, v.Verify(r, body, &c, rotated, at, "", nil), sigv4.BadSignature)
	if err := v.Verify(r, body, &c, key(akid), at, "", nil); err != nil {
		t.Fatal(err)
	}
}

// TestCacheBound verifies with many more keys than the cache holds, at once.
func TestCacheBound(t *testing.T) {
	for _, size := range []int{-1, 1, 4} {
		v := sigv4.New(sigv4.Config{CacheSize: size})
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 25 {
					r, _ := http.NewRequest("GET", "http://localhost/", nil)
					by := sigv4.Signer{AccessKeyID: fmt.Sprint("AKIA", (g+i)%7), SecretAccessKey: secret}
					if err := sigv4.Sign(r, nil, by, "us-east-1", "kms", at); err != nil {
						t.Error(err)
					}
					c, err := sigv4.Parse(r)
					if err == nil {
						err = v.Verify(r, nil, &c, key(akid), at, "kms", nil)
					}
					if err != nil {
						t.Error(err)
					}
					if i%10 == 9 {
						v.Forget(by.AccessKeyID)
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestServer verifies behind a real server, where net/http has taken Host,
// Content-Length and Transfer-Encoding out of the header map.
func TestServer(t *testing.T) {
	v := sigv4.New(sigv4.Config{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c, err := sigv4.Parse(r)
		if err == nil {
			err = v.Verify(r, body, &c, key(akid), at, "lambda", nil)
		}
		if err != nil {
			http.Error(w, err.Error(), 400)
		}
	}))
	defer server.Close()
	for _, path := range []string{"", "/", "/functions/arn%3Aaws%3Alambda/x?Qualifier=%24LATEST&b&a=%C3%BC+x", "/a%20b/c/%E1%88%B4/"} {
		for _, body := range []string{"", `{"a":1}`} {
			r, err := http.NewRequest("POST", server.URL+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Add("X-Amz-Meta", " a   b ")
			r.Header.Add("X-Amz-Meta", "c")
			if err := v4.NewSigner().SignHTTP(context.Background(), sdkCredentials(akid), r, hash([]byte(body)), "lambda", "us-east-1", at); err != nil {
				t.Fatal(err)
			}
			resp, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			msg, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Errorf("%q: %s", path, msg)
			}
		}
	}
}

// Requests with the same signature have the same target.
func TestTarget(t *testing.T) {
	for _, tt := range []struct{ uri, path, query string }{
		{"/", "/", ""},
		{"/functions/arn%3Aaws/x?a=%20&b", "/functions/arn%3Aaws/x", "a=%20&b"},
		{"/a/?", "/a/", ""},
		{"//a///b//", "/a/b/", ""},
		{"/a/./b/../c", "/a/c", ""},
		{"/a/b/..", "/a", ""},
		{"/a/b/../", "/a/", ""},
		{"/../..//.", "/", ""},
		{"/a/%2e%2e/.b/..c/d..", "/a/%2e%2e/.b/..c/d..", ""},
	} {
		path, query := sigv4.Target(&http.Request{RequestURI: tt.uri})
		if path != tt.path || query != tt.query {
			t.Errorf("%s: %s, %s", tt.uri, path, query)
		}
	}
	if path, query := sigv4.Target(&http.Request{URL: &url.URL{Path: "/a//b c", RawQuery: "q"}}); path != "/a/b%20c" || query != "q" {
		t.Errorf("of a URL: %s, %s", path, query)
	}
}

func TestSecret(t *testing.T) {
	k := sigv4.Key{SecretAccessKey: "hunter2", SessionToken: "hunter2"}
	by := sigv4.Signer{SecretAccessKey: "hunter2", SessionToken: "hunter2"}
	c := sigv4.Claim{SessionToken: "hunter2"}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s", "%T%[1]v"} {
		fmt.Fprintf(&out, verb, k.SecretAccessKey)
		fmt.Fprintf(&out, verb, k)
		fmt.Fprintf(&out, verb, &k)
		fmt.Fprintf(&out, verb, by)
		fmt.Fprintf(&out, verb, c)
		fmt.Fprintf(&out, verb, []any{k, by, c, map[sigv4.Secret]int{k.SecretAccessKey: 1}})
	}
	fmt.Fprintln(&out, k, by, c, k.SecretAccessKey.String())
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "secret", k.SecretAccessKey, "key", k, "by", by, "claim", c)
	}
	for _, v := range []any{k, by, c, []sigv4.Secret{k.SecretAccessKey}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	for _, leak := range []string{"hunter", "68756e", "68756E"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("a secret shows as %s in %s", leak, out.String())
		}
	}
	if _, err := k.SecretAccessKey.MarshalBinary(); err == nil {
		t.Error("a secret can be marshalled")
	}
}

// TestEcho: what an error repeats of a request is bounded.
func TestEcho(t *testing.T) {
	long := strings.Repeat("x", 7000)
	for _, auth := range []string{
		"AWS4-" + long, "AWS4-HMAC-SHA256 " + long, "AWS4-" + long + " Credential=a/b/c/d/e, SignedHeaders=host, Signature=1",
		"AWS4-HMAC-SHA256 Credential=" + long + ", SignedHeaders=host, Signature=1",
		"AWS4-HMAC-SHA256 Credential=a/" + long + "/" + strings.ToUpper(long)[:900] + "/d/e, SignedHeaders=host, Signature=1",
	} {
		r, body := signed(t, akid)
		r.Header.Set("Authorization", auth)
		if err := verify(r, body, nil, at, ""); err == nil || len(err.Error()) > 4000 {
			t.Errorf("%.40s: %d bytes of error", auth, len(err.Error()))
		}
	}
}

func TestReasonOutOfRange(t *testing.T) {
	for _, r := range []sigv4.Reason{0, 200} {
		if r.Code(true) != "InternalFailure" || r.Status(false) != 500 {
			t.Errorf("%d: %s %d", r, r.Code(true), r.Status(false))
		}
	}
	if err := sigv4.New(sigv4.Config{}).Verify(&http.Request{}, nil, &sigv4.Claim{}, key(akid), at, "", nil); err == nil {
		t.Error("an empty claim verifies")
	}
}
