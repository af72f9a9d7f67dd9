package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/coffertest/check"
	"coffer/internal/server"
)

// raw is one HTTP request as a test wants it, which is mostly wrong.
type raw struct {
	method, target, contentType, body string // POST, none, AWS JSON 1.1, ""
	service                           string // of the credential scope; secretsmanager
	creds                             *server.Credentials
	time                              time.Time
	unsigned, chunked                 bool
	change                            func(*http.Request) // after signing
}

const jsonType = "application/x-amz-json-1.1"

// request builds and signs a request.
func (h *host) request(t testing.TB, in raw) *http.Request {
	t.Helper()
	if in.method == "" {
		in.method = http.MethodPost
	}
	if in.contentType == "" {
		in.contentType = jsonType
	}
	if in.service == "" {
		in.service = "secretsmanager"
	}
	if in.time.IsZero() {
		in.time = time.Now()
	}
	if in.creds == nil {
		in.creds = &h.Credentials
	}
	r, err := http.NewRequest(in.method, h.URL()+"/", strings.NewReader(in.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", in.contentType)
	if in.target != "" {
		r.Header.Set("X-Amz-Target", in.target)
	}
	if in.chunked {
		r.Body = io.NopCloser(strings.NewReader(in.body)) // its length is neither sent nor signed
		r.ContentLength = -1
	}
	if !in.unsigned {
		if err := v4.NewSigner().SignHTTP(ctx, awsKeys(*in.creds), r, payloadHash(in.body), in.service, "eu-west-1", in.time); err != nil {
			t.Fatal(err)
		}
	}
	if in.change != nil {
		in.change(r)
	}
	return r
}

func awsKeys(c server.Credentials) aws.Credentials {
	return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey}
}

func payloadHash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// do sends a request and returns status, error code and message, and the body.
func (h *host) do(t testing.TB, r *http.Request) (status int, code, message, body string) {
	t.Helper()
	resp, err := h.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if ct := resp.Header.Get("Content-Type"); ct != jsonType {
		t.Errorf("Content-Type of the answer is %q", ct)
	}
	if resp.StatusCode != http.StatusOK {
		code, message = errorOf(b)
	}
	return resp.StatusCode, code, message, string(b)
}

// TestBadRequests: what is wrong with a request below the level of AWS's
// shapes. Status and code as in wire.md §2 and §6; never a 5xx, never a panic.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	h := start(t)
	b := h.account(t, "b")
	wrong := h.Credentials
	wrong.SecretAccessKey = strings.Repeat("x", 40)
	unknown := server.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "x"}
	const (
		get      = "secretsmanager.GetSecretValue"
		create   = "secretsmanager.CreateSecret"
		unknownO = "UnknownOperationException"
		serial   = "SerializationException"
		badSig   = "InvalidSignatureException"
		noMatch  = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
		badToken = "The security token included in the request is invalid."
		missing  = "Request is missing Authentication Token"
	)
	mib := 1 << 20
	padded := func(n int) string { return "{}" + strings.Repeat(" ", n-2) }
	for _, tc := range []struct {
		what    string
		in      raw
		status  int
		code    string
		message string // a regular expression; "" for any
	}{
		{"fine", raw{target: "secretsmanager.ListSecrets", body: "{}"}, 200, "", ""},
		{"an empty body is {}", raw{target: "secretsmanager.ListSecrets"}, 200, "", ""},
		{"a charset", raw{target: "secretsmanager.ListSecrets", body: "{}", contentType: jsonType + "; charset=utf-8"}, 200, "", ""},
		{"unknown members", raw{target: "secretsmanager.ListSecrets", body: `{"Unheard":{"of":[1]}}`}, 200, "", ""},
		{"null is absent", raw{target: "secretsmanager.ListSecrets", body: `{"MaxResults":null}`}, 200, "", ""},
		{"1 MiB", raw{target: "secretsmanager.ListSecrets", body: padded(mib)}, 200, "", ""},
		{"1 MiB, chunked", raw{target: "secretsmanager.ListSecrets", body: padded(mib), chunked: true}, 200, "", ""},
		{"1 MiB and 1", raw{target: "secretsmanager.ListSecrets", body: padded(mib + 1)}, 413, "RequestEntityTooLargeException", ""},
		{"1 MiB and 1, chunked", raw{target: "secretsmanager.ListSecrets", body: padded(mib + 1), chunked: true}, 413, "RequestEntityTooLargeException", ""},

		{"not JSON", raw{target: get, body: marker}, 400, serial, ""},
		{"cut JSON", raw{target: create, body: `{"SecretString":"` + marker}, 400, serial, ""},
		{"two values", raw{target: create, body: `{} {"SecretString":"` + marker + `"}`}, 400, serial, ""},
		{"an array", raw{target: get, body: `["` + marker + `"]`}, 400, serial, ""},
		{"a string", raw{target: get, body: `"` + marker + `"`}, 400, serial, ""},
		{"number for string", raw{target: get, body: `{"SecretId":1}`}, 400, serial, ""},
		{"object for string", raw{target: create, body: `{"Name":"n","SecretString":{"a":"` + marker + `"}}`}, 400, serial, ""},
		{"string for number", raw{target: "secretsmanager.ListSecrets", body: `{"MaxResults":"1"}`}, 400, serial, ""},
		{"fraction for number", raw{target: "secretsmanager.ListSecrets", body: `{"MaxResults":1.5}`}, 400, serial, ""},
		{"string for boolean", raw{target: "secretsmanager.DeleteSecret", body: `{"SecretId":"s","ForceDeleteWithoutRecovery":"true"}`}, 400, serial, ""},
		{"string for list", raw{target: "secretsmanager.UntagResource", body: `{"SecretId":"s","TagKeys":"a"}`}, 400, serial, ""},
		{"not base64", raw{target: create, body: `{"Name":"n","SecretBinary":"` + marker + `***"}`}, 400, serial, ""},
		{"not UTF-8", raw{target: create, body: "{\"Name\":\"n\",\"SecretString\":\"" + marker + "\xff\"}"}, 400, serial, ""},
		{"nested too deep", raw{target: get, body: strings.Repeat("[", 100_000)}, 400, serial, ""},
		{"nested too deep in what is ignored", raw{target: get, body: `{"Unheard":` + strings.Repeat("[", 100_000)}, 400, serial, ""},
		{"required", raw{target: get, body: `{}`}, 400, "ValidationException", `^1 validation error detected: Value at 'secretId' failed to satisfy constraint: Member must not be null$`},
		{"token missing", raw{target: create, body: `{"Name":"n","SecretString":"` + marker + `"}`}, 400, "InvalidRequestException", `^You must provide a ClientRequestToken value\. We recommend a UUID-type value\.$`},
		{"token missing, put", raw{target: "secretsmanager.PutSecretValue", body: `{"SecretId":"nobody","SecretString":"` + marker + `"}`}, 400, "InvalidRequestException", `^You must provide a ClientRequestToken value\. We recommend a UUID-type value\.$`},

		{"no target", raw{body: "{}"}, 400, unknownO, ""},
		{"unknown operation", raw{target: "secretsmanager.StealSecrets", body: "{}"}, 400, unknownO, ""},
		{"unknown service", raw{target: "nobody.GetSecretValue", body: "{}"}, 400, unknownO, ""},
		{"not served yet", raw{target: "secretsmanager.ReplicateSecretToRegions", body: "{}"}, 400, unknownO, ""},
		{"a target of nonsense", raw{target: "....", body: "{}"}, 400, unknownO, ""},
		{"form content type", raw{target: get, contentType: "application/x-www-form-urlencoded", body: "{}"}, 400, unknownO, ""},
		{"JSON 1.0", raw{target: get, contentType: "application/x-amz-json-1.0", body: "{}"}, 400, unknownO, ""},
		{"GET", raw{method: http.MethodGet}, 400, unknownO, ""},
		{"PUT", raw{method: http.MethodPut, target: get, body: "{}"}, 400, unknownO, ""},

		{"unsigned", raw{target: get, body: "{}", unsigned: true}, 400, "MissingAuthenticationTokenException", "^" + missing + "$"},
		{"unsigned GET", raw{method: http.MethodGet, unsigned: true}, 400, "MissingAuthenticationTokenException", "^" + missing + "$"},
		{"another path", raw{target: get, body: "{}", unsigned: true, change: func(r *http.Request) { r.URL.Path = "/2015-03-31/functions" }}, 400, "MissingAuthenticationTokenException", "^" + missing + "$"},
		{"wrong secret", raw{target: get, body: "{}", creds: &wrong}, 400, badSig, "^" + regexp.QuoteMeta(noMatch) + "$"},
		{"unknown key", raw{target: get, body: "{}", creds: &unknown}, 400, "UnrecognizedClientException", "^" + regexp.QuoteMeta(badToken) + "$"},
		{"session token with a long-term key", raw{target: get, body: "{}", change: func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "t") }}, 400, "", ""},
		{"body changed", raw{target: get, body: "{}", change: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("[]")) }}, 400, badSig, "^" + regexp.QuoteMeta(noMatch) + "$"},
		{"target changed", raw{target: get, body: "{}", change: func(r *http.Request) { r.Header.Set("X-Amz-Target", "secretsmanager.DeleteSecret") }}, 400, badSig, "^" + regexp.QuoteMeta(noMatch) + "$"},
		{"a's key id with b's signature", raw{target: get, body: "{}", creds: &server.Credentials{AccessKeyID: h.Credentials.AccessKeyID, SecretAccessKey: b.SecretAccessKey}}, 400, badSig, "^" + regexp.QuoteMeta(noMatch) + "$"},
		{"another service's scope", raw{target: get, body: "{}", service: "kms"}, 400, badSig, `^Credential should be scoped to correct service: 'secretsmanager'\. $`},
		{"clock 6 minutes slow", raw{target: get, body: "{}", time: time.Now().Add(-6 * time.Minute)}, 400, badSig, `^Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)$`},
		{"clock 6 minutes fast", raw{target: get, body: "{}", time: time.Now().Add(6 * time.Minute)}, 400, badSig, `^Signature not yet current: \d{8}T\d{6}Z is still later than \d{8}T\d{6}Z \(\d{8}T\d{6}Z \+ 5 min\.\)$`},
		{"clock 4 minutes slow", raw{target: "secretsmanager.ListSecrets", body: "{}", time: time.Now().Add(-4 * time.Minute)}, 200, "", ""},
		{"clock 4 minutes fast", raw{target: "secretsmanager.ListSecrets", body: "{}", time: time.Now().Add(4 * time.Minute)}, 200, "", ""},
		{"half an Authorization", raw{target: get, body: "{}", unsigned: true, change: func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=x") }}, 400, "IncompleteSignatureException", ""},
		{"Basic", raw{target: get, body: "{}", unsigned: true, change: func(r *http.Request) { r.SetBasicAuth("a", "b") }}, 400, "", ""},
	} {
		status, code, message, body := h.do(t, h.request(t, tc.in))
		if status != tc.status || (tc.code != "" || status == 200) && code != tc.code || !regexp.MustCompile(tc.message).MatchString(message) {
			t.Errorf("%s:\n got %d %s %q\nwant %d %s %q", tc.what, status, code, message, tc.status, tc.code, tc.message)
		}
		if strings.Contains(body, marker) {
			t.Errorf("%s: the answer repeats a sensitive value", tc.what)
		}
	}
}

// TestUnservedS3: the clients of S3 show what an error says only if it is in the form of S3.
func TestUnservedS3(t *testing.T) {
	h := start(t)
	resp := must(h.HTTP.Do(h.request(t, raw{method: http.MethodGet, service: "s3"})))(t)
	defer resp.Body.Close()
	body := string(must(io.ReadAll(resp.Body))(t))
	check.Equal(t, "status", resp.StatusCode, 400)
	check.Equal(t, "content type", resp.Header.Get("Content-Type"), "application/xml")
	check.Equal(t, "body", body, "<Error><Code>UnknownOperationException</Code><Message>Coffer does not serve s3; it serves secretsmanager, kms, iam, sts, lambda and logs.</Message><RequestId>"+
		resp.Header.Get("X-Amzn-Requestid")+"</RequestId></Error>")
}

// TestErrorKeys: the key of the text is the service's own (wire.md §2).
func TestErrorKeys(t *testing.T) {
	t.Parallel()
	h := start(t, drivers[0].opts...)
	for _, tc := range []struct {
		in   raw
		key  string
		code string
	}{
		{raw{target: "secretsmanager.GetSecretValue", body: `{"SecretId":"nobody"}`}, "Message", "ResourceNotFoundException"},
		{raw{target: "TrentService.DescribeKey", service: "kms", body: `{"KeyId":"nobody"}`}, "message", "NotFoundException"},
		{raw{target: "secretsmanager.GetSecretValue", body: `{}`, unsigned: true}, "message", "MissingAuthenticationTokenException"},
	} {
		_, _, _, body := h.do(t, h.request(t, tc.in))
		var m map[string]string
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		if len(m) != 2 || m["__type"] != tc.code || m[tc.key] == "" {
			t.Errorf("%s: got %s, want __type %s and the text in %q", tc.in.target, body, tc.code, tc.key)
		}
	}
}

// TestPresigned: signatures in the query string.
func TestPresigned(t *testing.T) {
	t.Parallel()
	h := start(t, drivers[0].opts...)
	presign := func(at time.Time, expires string) *http.Request {
		body := "{}"
		u := h.URL() + "/?" + url.Values{"X-Amz-Expires": {expires}}.Encode()
		r, err := http.NewRequest(http.MethodPost, u, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", jsonType)
		r.Header.Set("X-Amz-Target", "secretsmanager.ListSecrets")
		signed, header, err := v4.NewSigner().PresignHTTP(ctx, awsKeys(h.Credentials), r, payloadHash(body), "secretsmanager", "eu-west-1", at,
			func(o *v4.SignerOptions) { o.DisableHeaderHoisting = true })
		if err != nil {
			t.Fatal(err)
		}
		out, err := http.NewRequest(http.MethodPost, signed, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		out.Header = header
		out.Header.Set("Content-Type", jsonType)
		return out
	}
	for _, tc := range []struct {
		what string
		r    *http.Request
		code string
	}{
		{"valid", presign(time.Now(), "60"), ""},
		{"an hour old, good for a day", presign(time.Now().Add(-time.Hour), "86400"), ""},
		{"expired", presign(time.Now().Add(-20*time.Minute), "60"), "InvalidSignatureException"},
		{"from the future", presign(time.Now().Add(time.Hour), "60"), "InvalidSignatureException"},
		{"longer than a week", presign(time.Now(), "604801"), "IncompleteSignatureException"},
		{"changed", func() *http.Request {
			r := presign(time.Now(), "60")
			r.Header.Set("X-Amz-Target", "secretsmanager.GetRandomPassword")
			return r
		}(), "InvalidSignatureException"},
	} {
		if _, code, message, _ := h.do(t, tc.r); code != tc.code {
			t.Errorf("%s: got %s %q, want %s", tc.what, code, message, tc.code)
		}
	}
}

// TestProtocols: HTTP/1.1 and HTTP/2 over TLS, and what TLS is refused.
func TestProtocols(t *testing.T) {
	t.Parallel()
	h := start(t)
	base := h.watch.next.(*http.Transport)
	for proto, next := range map[string][]string{"HTTP/1.1": {"http/1.1"}, "HTTP/2.0": {"h2"}} {
		tr := base.Clone()
		tr.TLSClientConfig.NextProtos = next
		tr.ForceAttemptHTTP2 = proto == "HTTP/2.0"
		resp, err := tr.RoundTrip(h.request(t, raw{target: "secretsmanager.ListSecrets", body: "{}"}))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		check.Equal(t, proto, fmt.Sprint(resp.Proto, resp.StatusCode), proto+"200")
		tr.CloseIdleConnections()
	}
	for what, tc := range map[string]struct {
		change func(*tls.Config)
		ok     bool
	}{
		"TLS 1.0": {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }, false},
		"TLS 1.1": {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, false},
		"TLS 1.2": {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true},
		"TLS 1.3": {func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, true},
		"no forward secrecy": {func(c *tls.Config) {
			c.MaxVersion = tls.VersionTLS12
			c.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA}
		}, false},
		"no AEAD": {func(c *tls.Config) {
			c.MaxVersion = tls.VersionTLS12
			c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
		}, false},
	} {
		cfg := base.TLSClientConfig.Clone()
		tc.change(cfg)
		conn, err := tls.Dial("tcp", h.Addr(), cfg)
		if err == nil {
			conn.Close()
		}
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v, want success %v", what, err, tc.ok)
		}
	}
	// Plain HTTP on the TLS port gets an answer that tells why, and nothing else.
	resp, err := http.Get("http://" + h.Addr() + "/")
	if err == nil {
		resp.Body.Close()
		check.Equal(t, "plain HTTP", resp.StatusCode, http.StatusBadRequest)
	}
}

// dial opens a TLS connection for HTTP/1.1.
func (h *host) dial(t testing.TB) (*tls.Conn, error) {
	t.Helper()
	cfg := h.watch.next.(*http.Transport).TLSClientConfig.Clone()
	cfg.NextProtos = []string{"http/1.1"}
	return tls.DialWithDialer(&net.Dialer{Timeout: 30 * time.Second}, "tcp", h.Addr(), cfg)
}

// wire is a signed request as it goes over an HTTP/1.1 connection.
func (h *host) wire(t testing.TB, in raw) string {
	t.Helper()
	var b bytes.Buffer
	if err := h.request(t, in).Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestBodyCutOff: the client goes away, or says so, in the middle of a body.
func TestBodyCutOff(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, chunked := range []bool{false, true} {
		w := h.wire(t, raw{target: "secretsmanager.CreateSecret", chunked: chunked, body: `{"Name":"half","ClientRequestToken":"` + *token("v1") + `","SecretString":"` + *value(strings.Repeat("x", 1000)) + `"}`})
		conn := must(h.dial(t))(t)
		must(io.WriteString(conn, w[:len(w)-500]))(t)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(15 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("chunked %v: no answer: %v", chunked, err)
		}
		b, _ := io.ReadAll(resp.Body)
		code, _ := errorOf(b)
		check.Equal(t, fmt.Sprint("chunked ", chunked), fmt.Sprint(resp.StatusCode, code, resp.Header.Get("X-Amzn-Requestid") != ""), "400SerializationExceptiontrue")
		conn.Close()

		// Gone without a word.
		conn = must(h.dial(t))(t)
		must(io.WriteString(conn, w[:len(w)-500]))(t)
		conn.NetConn().Close()
	}
	fails(t, "nothing was made of it", smCalls{h.sm("eu-west-1")}.get("half"), "ResourceNotFoundException", textNoSecret)
}

// TestSlowClients: who does not send is cut off in time, and takes nobody else down.
func TestSlowClients(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the server's timeouts")
	}
	t.Parallel()
	h := start(t)
	full := h.wire(t, raw{target: "secretsmanager.ListSecrets", body: "{}"})
	header := full[:len(full)-len("{}")]
	// The server's limits are 10 s for a handshake and a header, 30 s for a
	// request; the margin is for a busy machine.
	const margin = 15 * time.Second
	var wg sync.WaitGroup
	for what, tc := range map[string]struct {
		conn  func() (net.Conn, error)
		send  string // at once
		drip  string // then byte by byte
		limit time.Duration
	}{
		"silent before the handshake": {func() (net.Conn, error) { return net.Dial("tcp", h.Addr()) }, "", "", 10 * time.Second},
		"silent after the handshake":  {func() (net.Conn, error) { return h.dial(t) }, "", "", 10 * time.Second},
		"half a header":               {func() (net.Conn, error) { return h.dial(t) }, header[:40], "", 10 * time.Second},
		"a dripping header":           {func() (net.Conn, error) { return h.dial(t) }, header[:len(header)-2], strings.Repeat("X", 100), 10 * time.Second},
		"no body":                     {func() (net.Conn, error) { return h.dial(t) }, header, "", 30 * time.Second},
		"a dripping body":             {func() (net.Conn, error) { return h.dial(t) }, strings.Replace(header, "Content-Length: 2", "Content-Length: 1000", 1), strings.Repeat(" ", 1000), 30 * time.Second},
	} {
		conn, err := tc.conn()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer conn.Close()
			began := time.Now()
			io.WriteString(conn, tc.send)
			done := make(chan struct{})
			defer close(done)
			go func() {
				tick := time.NewTicker(200 * time.Millisecond)
				defer tick.Stop()
				for i := range tc.drip {
					select {
					case <-done:
						return
					case <-tick.C:
						io.WriteString(conn, tc.drip[i:i+1])
					}
				}
			}()
			conn.SetReadDeadline(began.Add(tc.limit + margin))
			answer, err := io.ReadAll(conn)
			if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
				t.Errorf("%s: still open after %s", what, time.Since(began))
			}
			if bytes.Contains(answer, []byte(" 200 ")) || bytes.Contains(answer, []byte(" 500 ")) {
				t.Errorf("%s: answered %q", what, answer)
			}
		})
	}
	// Others are served meanwhile.
	must(h.sm("eu-west-1").ListSecrets(ctx, &secretsmanager.ListSecretsInput{}))(t)
	wg.Wait()
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// TestIdleConnections: thousands of idle connections cost others nothing.
func TestIdleConnections(t *testing.T) {
	n := 5_000
	if testing.Short() {
		n = 500
	}
	if limit := fileLimit(); limit < 2*n+500 {
		t.Skipf("%d connections need %d open files, the limit is %d", n, 2*n+500, limit)
	}
	h := start(t)
	// A connection counts as idle after its first request; before, it counts as
	// a slow client and is cut off (see TestSlowClients).
	request := h.wire(t, raw{method: http.MethodGet, unsigned: true})
	conns := make([]*tls.Conn, n)
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				conn, err := h.dial(t)
				if err != nil {
					t.Error(err)
					continue
				}
				conns[i] = conn
				if err := roundTrip(conn, request); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.NetConn().Close()
			}
		}
	}()
	if t.Failed() {
		return
	}
	sm := h.sm("eu-west-1")
	limited, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	must(sm.CreateSecret(limited, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: value("s")}))(t)
	must(sm.GetSecretValue(limited, &secretsmanager.GetSecretValueInput{SecretId: new("s")}))(t)
	// And the first and last of them are still good.
	for _, i := range []int{0, n / 2, n - 1} {
		if err := roundTrip(conns[i], request); err != nil {
			t.Errorf("connection %d: %v", i, err)
		}
	}
}

// roundTrip sends one request over a connection and reads its answer.
func roundTrip(conn net.Conn, request string) error {
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// TestConnectionReuse: errors that leave the connection whole do not close it,
// or every mistake would cost its client a handshake.
func TestConnectionReuse(t *testing.T) {
	t.Parallel()
	h := start(t, drivers[0].opts...)
	tr := h.watch.next.(*http.Transport).Clone()
	tr.TLSClientConfig.NextProtos = []string{"http/1.1"}
	tr.ForceAttemptHTTP2 = false
	defer tr.CloseIdleConnections()
	for i, in := range []raw{
		{target: "secretsmanager.ListSecrets", body: "{}"},
		{target: "secretsmanager.GetSecretValue", body: "{"},
		{target: "secretsmanager.GetSecretValue", body: "{}", unsigned: true},
		{target: "secretsmanager.ListSecrets", body: "{}"},
	} {
		reused := false
		r := h.request(t, in)
		r = r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}))
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if i > 0 && !reused {
			t.Errorf("request %d came over a new connection", i)
		}
	}
}
