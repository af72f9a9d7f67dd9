// Package coffertest starts a whole server in a test and hands out AWS SDK
// clients for it.
//
//	s := coffertest.Start(t)
//	sm := s.SecretsManager(t)
//
// The server checks signatures, keeps its audit log and speaks TLS, like a real
// one. When the test ends it is stopped, and everything it stored is checked as
// `coffer fsck` would: a test that leaves a damaged store fails.
package coffertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/gateway"
	"coffer/internal/kv"
	"coffer/internal/kv/memory"
	"coffer/internal/server"
)

// Server is a running server.
type Server struct {
	*server.Server
	Dir         server.Dir
	Credentials server.Credentials
	HTTP        *http.Client // trusts the server's CA

	stop func() error
}

// Option changes how a server is started.
type Option func(*server.Config)

// InMemory keeps the rows in memory. The data directory still holds keys and log.
func InMemory() Option { return func(c *server.Config) { c.Store = memory.New() } }

// OnStore keeps the rows in store.
func OnStore(store kv.Store) Option { return func(c *server.Config) { c.Store = store } }

// InDir uses a data directory that the test owns, instead of a new one.
func InDir(d server.Dir) Option { return func(c *server.Config) { c.Dir = d } }

// With changes the configuration freely.
func With(f func(*server.Config)) Option { return f }

// Start starts a server and stops it when the test ends. By default it uses the
// embedded store in a new directory.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	cfg := server.Config{
		Dir: server.Dir(t.TempDir()), Listen: "127.0.0.1:0", Admin: "127.0.0.1:0",
		Throttle: gateway.Throttle{Off: true}, // tests are faster than AWS's quotas
		Logger:   slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	for _, o := range opts {
		o(&cfg)
	}
	if !cfg.Dev {
		if err := os.Chmod(string(cfg.Dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	srv, err := server.New(ctx, cfg)
	if err != nil {
		cancel()
		t.Fatalf("start server: %v", err)
	}
	s := &Server{Server: srv, Dir: cfg.Dir, HTTP: &http.Client{Timeout: time.Minute}}
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	s.stop = sync.OnceValue(func() error {
		s.HTTP.CloseIdleConnections() // an open HTTP/2 connection makes a graceful stop wait for a second
		cancel()
		err := <-done
		if e := srv.Check(context.Background(), func(where, what string) { t.Errorf("fsck: %s: %s", where, what) }); err == nil {
			err = e
		}
		if e := srv.Close(); err == nil {
			err = e
		}
		return err
	})
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("stop server: %v", err)
		}
	})
	if cfg.Dev {
		s.Credentials = server.Credentials{Account: "000000000000", AccessKeyID: "test", SecretAccessKey: "test"}
		return s
	}
	if s.Credentials, err = server.ReadJSON[server.Credentials](cfg.Dir.Credentials()); err != nil {
		t.Fatal(err)
	}
	if !cfg.PlainHTTP && cfg.CertFile == "" {
		pem, err := os.ReadFile(cfg.Dir.CA())
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			t.Fatal("the server's CA is not a certificate")
		}
		s.HTTP.Transport = &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: pool},
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 64,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		}
	}
	return s
}

// Stop stops the server before the test ends.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Fatalf("stop server: %v", err)
	}
}

// Recorded waits until the audit log has the records of all calls that were answered:
// those of a mutation are in the store when it is answered, and reach the log's files
// a moment later.
func (s *Server) Recorded(t testing.TB) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(time.Minute); ; {
		resp, err := client.Get("http://" + s.AdminAddr() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			t.Fatal(err)
		case bytes.Contains(b, []byte("\ncoffer_audit_pending 0\n")):
			return
		case time.Now().After(deadline):
			t.Fatal("the audit log does not get the records of mutations")
		}
		time.Sleep(time.Millisecond)
	}
}

// Config is an SDK configuration for the root of the first account in region.
// Calls are not repeated by the SDK: a test sees what the server answers.
func (s *Server) Config(region string) aws.Config { return s.ConfigFor(region, s.Credentials) }

// ConfigFor is Config for other access keys.
func (s *Server) ConfigFor(region string, c server.Credentials) aws.Config {
	return aws.Config{
		Region:       region,
		BaseEndpoint: aws.String(s.URL()),
		Credentials:  credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, ""),
		HTTPClient:   s.HTTP,
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// SecretsManager is a client in eu-west-1.
func (s *Server) SecretsManager(testing.TB) *secretsmanager.Client {
	return secretsmanager.NewFromConfig(s.Config("eu-west-1"))
}

// KMS is a client in eu-west-1.
func (s *Server) KMS(testing.TB) *kms.Client { return kms.NewFromConfig(s.Config("eu-west-1")) }

// Lambda is a client in eu-west-1.
func (s *Server) Lambda(testing.TB) *lambda.Client {
	return lambda.NewFromConfig(s.Config("eu-west-1"))
}

// IAM is a client of the root of the first account.
func (s *Server) IAM(testing.TB) *iam.Client { return iam.NewFromConfig(s.Config("us-east-1")) }

// CloudWatchLogs is a client in eu-west-1.
func (s *Server) CloudWatchLogs(testing.TB) *cloudwatchlogs.Client {
	return cloudwatchlogs.NewFromConfig(s.Config("eu-west-1"))
}

// STS is a client of the root of the first account, in eu-west-1.
func (s *Server) STS(testing.TB) *sts.Client { return sts.NewFromConfig(s.Config("eu-west-1")) }

// testWriter sends the server's log to the test's.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	defer func() { recover() }() // the test may have ended; its log is closed then
	w.t.Logf("server: %s", b)
	return len(b), nil
}
