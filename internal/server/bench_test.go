package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"coffer/internal/sigv4"
)

// discard is a ResponseWriter that keeps the status.
type discard struct {
	h      http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// BenchmarkGetSecretValue is the whole gate without net/http: identify, decode,
// authorize, read, decrypt, record, encode. Profile this before believing a cause.
func BenchmarkGetSecretValue(b *testing.B) {
	ctx := context.Background()
	dir := Dir(b.TempDir())
	if err := os.Chmod(string(dir), 0o700); err != nil {
		b.Fatal(err)
	}
	s, err := New(ctx, Config{Dir: dir, Listen: "127.0.0.1:0", Admin: "off", PlainHTTP: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	cred, err := ReadJSON[Credentials](dir.Credentials())
	if err != nil {
		b.Fatal(err)
	}
	by := sigv4.Signer{AccessKeyID: cred.AccessKeyID, SecretAccessKey: sigv4.Secret(cred.SecretAccessKey)}
	request := func(op, body string) (*http.Request, []byte) {
		r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:8443/", nil)
		if err != nil {
			b.Fatal(err)
		}
		r.RemoteAddr = "127.0.0.1:50000"
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "secretsmanager."+op)
		r.Header.Set("User-Agent", "aws-sdk-go-v2/1.47.7 ua/2.1 os/linux lang/go#1.26.8 md/GOOS#linux md/GOARCH#amd64 api/secretsmanager#1.50.10")
		r.ContentLength = int64(len(body))
		if err := sigv4.Sign(r, []byte(body), by, "eu-west-1", "secretsmanager", time.Now()); err != nil {
			b.Fatal(err)
		}
		return r, []byte(body)
	}
	send := func(r *http.Request, body []byte) {
		r.Body = io.NopCloser(bytes.NewReader(body))
		w := discard{h: make(http.Header)}
		s.gate.ServeHTTP(&w, r)
		if w.status != http.StatusOK {
			b.Fatalf("status %d", w.status)
		}
	}
	const secrets = 100
	for i := range secrets {
		send(request("CreateSecret", fmt.Sprintf(`{"Name":"app/db%d","ClientRequestToken":"00000000-0000-4000-8000-%012d","SecretString":"{\"username\":\"app\",\"password\":\"0123456789abcdef0123456789abcdef\"}"}`, i, i)))
	}
	r, body := request("GetSecretValue", `{"SecretId":"app/db42"}`)
	b.ReportAllocs()
	for b.Loop() {
		send(r, body)
	}
}
