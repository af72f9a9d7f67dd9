package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
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

// gate is a server without its listeners, and a way to sign and send it requests.
type gate struct {
	b  *testing.B
	s  *Server
	by sigv4.Signer
}

func newGate(b *testing.B) *gate {
	b.Helper()
	dir := Dir(b.TempDir())
	if err := os.Chmod(string(dir), 0o700); err != nil {
		b.Fatal(err)
	}
	s, err := New(context.Background(), Config{Dir: dir, Listen: "127.0.0.1:0", Admin: "off", PlainHTTP: true})
	if err != nil {
		b.Fatal(err)
	}
	cred, err := ReadJSON[Credentials](dir.Credentials())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		s.outbox.Run(ctx)
		close(done)
	}()
	b.Cleanup(func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return &gate{b, s, sigv4.Signer{AccessKeyID: cred.AccessKeyID, SecretAccessKey: sigv4.Secret(cred.SecretAccessKey)}}
}

func (g *gate) request(op, body string) (*http.Request, []byte) {
	r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:8443/", nil)
	if err != nil {
		g.b.Fatal(err)
	}
	r.RemoteAddr = "127.0.0.1:50000"
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "secretsmanager."+op)
	r.Header.Set("User-Agent", "aws-sdk-go-v2/1.47.7 ua/2.1 os/linux lang/go#1.26.8 md/GOOS#linux md/GOARCH#amd64 api/secretsmanager#1.50.10")
	r.ContentLength = int64(len(body))
	if err := sigv4.Sign(r, []byte(body), g.by, "eu-west-1", "secretsmanager", time.Now()); err != nil {
		g.b.Fatal(err)
	}
	return r, []byte(body)
}

func (g *gate) send(r *http.Request, body []byte) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	w := discard{h: make(http.Header)}
	g.s.gate.ServeHTTP(&w, r)
	if w.status != http.StatusOK {
		g.b.Errorf("status %d", w.status)
	}
}

func (g *gate) create(n int) {
	for i := range n {
		g.send(g.request("CreateSecret", fmt.Sprintf(`{"Name":"app/db%d","ClientRequestToken":"00000000-0000-4000-8000-%012d","SecretString":"{\"username\":\"app\",\"password\":\"0123456789abcdef0123456789abcdef\"}"}`, i, i)))
	}
}

// BenchmarkGetSecretValue is the whole gate without net/http: identify, decode,
// authorize, read, decrypt, record, encode. Profile this before believing a cause.
func BenchmarkGetSecretValue(b *testing.B) {
	g := newGate(b)
	g.create(100)
	r, body := g.request("GetSecretValue", `{"SecretId":"app/db42"}`)
	b.ReportAllocs()
	for b.Loop() {
		g.send(r, body)
	}
}

// BenchmarkPutSecretValue is the same for a synced write by 32 callers.
func BenchmarkPutSecretValue(b *testing.B) {
	g := newGate(b)
	const secrets = 4000
	g.create(secrets)
	var n atomic.Int64
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			g.send(g.request("PutSecretValue", fmt.Sprintf(`{"SecretId":"app/db%d","ClientRequestToken":"00000000-0000-4000-9000-%012d","SecretString":"{\"username\":\"app\",\"password\":\"0123456789abcdef0123456789abcdef\"}"}`, i%secrets, i)))
		}
	})
}
