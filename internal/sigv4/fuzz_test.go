package sigv4_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"coffer/internal/sigv4"
)

// FuzzParse: no header and no query makes Parse or Verify panic, and nothing
// verifies that was not signed.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"suite.txt", "botocore.txt"} {
		for _, rec := range mustRead(f, file) {
			f.Add(rec.r.Method, rec.r.RequestURI, rec.r.Header.Get("Authorization"), rec.r.Header.Get("X-Amz-Date"), rec.body)
		}
	}
	f.Add("GET", "*", "AWS4-HMAC-SHA256 Credential=////,SignedHeaders=;;host,Signature=", "00000101T000000Z", []byte{0})
	f.Add("GET", "/%?%=%&;", "AWS4-", "99991231T235959Z", []byte(nil))
	f.Fuzz(func(t *testing.T, method, uri, auth, date string, body []byte) {
		r := &http.Request{Method: method, RequestURI: uri, Host: "h", Header: http.Header{}}
		if auth != "" {
			r.Header["Authorization"] = []string{auth}
		}
		if date != "" {
			r.Header["X-Amz-Date"] = []string{date}
		}
		c, err := sigv4.Parse(r)
		if err != nil {
			var e *sigv4.Error
			if !errors.As(err, &e) || e.Reason.Code(true) == "InternalFailure" || e.Message == "" {
				t.Fatalf("%#v", err)
			}
			return
		}
		k := &sigv4.Key{SecretAccessKey: "a secret that the fuzzer does not know"}
		if sigv4.New(sigv4.Config{}).Verify(r, body, &c, k, c.Time, "", nil) == nil {
			t.Fatalf("verified: %+v", c)
		}
	})
}

// printable keeps what any HTTP client could send as a header value: the
// signers differ over tabs (see appendTrimmed), and net/http refuses the rest.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, s)
}

// FuzzCanonical: what the SDK signs, Verify accepts, and not with any one
// byte of the body or the signature changed.
func FuzzCanonical(f *testing.F) {
	f.Add("", "", "", "", []byte(nil), uint(0), true)
	f.Add("/a:b/c d", "q ü+", "v&=;%", " a   b ", []byte("{}"), uint(7), false)
	f.Add("/2015-03-31/functions/arn:aws:lambda:us-east-1:1:function:f", "TagKeys", "\x00\xff", "x,  y", []byte("x"), uint(63), true)
	f.Fuzz(func(t *testing.T, path, name, value, header string, body []byte, pos uint, presign bool) {
		u := &url.URL{Scheme: "https", Host: "localhost:8443", Path: "/" + strings.TrimPrefix(path, "/")}
		u.RawQuery = url.Values{name: {value, name}, "b": {""}, "a": {value}}.Encode()
		for seg := range strings.SplitSeq(u.EscapedPath()[1:], "/") {
			if seg == "." || seg == ".." || seg == "" && u.Path != "/" {
				t.Skip("the SDK for Go does not normalize paths; the suite's vectors cover that")
			}
		}
		if strings.HasPrefix(strings.ToLower(name), "x-amz-") {
			t.Skip("a presigning parameter")
		}
		r := &http.Request{Method: "POST", URL: u, Host: u.Host, Header: http.Header{}}
		r.Header.Add("X-Amz-Meta-A", printable(header))
		r.Header.Add("X-Amz-Meta-A", "second")
		r.Header.Add("My-Header", printable(header))
		got := sdkSign(t, r, body, akid, "lambda", presign)

		v := sigv4.New(sigv4.Config{})
		c, err := sigv4.Parse(got)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(got, body, &c, key(akid), at, "lambda", nil); err != nil {
			t.Fatalf("%s: %v\nSignedHeaders=%s", got.RequestURI, err, c.SignedHeaders)
		}
		bad := c
		sig := []byte(c.Signature)
		sig[pos%64] ^= 1 << (pos % 7)
		bad.Signature = string(sig)
		if v.Verify(got, body, &bad, key(akid), at, "lambda", nil) == nil {
			t.Fatalf("verifies with the signature %s for %s", bad.Signature, c.Signature)
		}
		if len(body) > 0 {
			changed := append([]byte(nil), body...)
			changed[pos%uint(len(body))] ^= 1 << (pos % 8)
			if v.Verify(got, changed, &c, key(akid), at, "lambda", nil) == nil {
				t.Fatal("verifies with another body")
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, id := range []string{akid, tempID} {
		b.Run(id[:4], func(b *testing.B) {
			v := sigv4.New(sigv4.Config{})
			r, body := signed(b, id)
			k := key(id)
			b.ReportAllocs()
			for b.Loop() {
				c, err := sigv4.Parse(r)
				if err == nil {
					err = v.Verify(r, body, &c, k, at, "secretsmanager", nil)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyPresigned(b *testing.B) {
	v := sigv4.New(sigv4.Config{})
	r := presigned(b, akid)
	k := key(akid)
	b.ReportAllocs()
	for b.Loop() {
		c, err := sigv4.Parse(r)
		if err == nil {
			err = v.Verify(r, nil, &c, k, at, "sts", nil)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyUncached(b *testing.B) {
	v := sigv4.New(sigv4.Config{CacheSize: -1})
	r, body := signed(b, akid)
	k := key(akid)
	c, err := sigv4.Parse(r)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Verify(r, body, &c, k, at, "", nil); err != nil {
			b.Fatal(err)
		}
	}
}
