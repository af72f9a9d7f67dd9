package server_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"coffer/internal/coffertest"
	"coffer/internal/server"
)

func newConfig(t *testing.T) server.Config {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return server.Config{Dir: server.Dir(dir), Listen: "127.0.0.1:0", Admin: "off"}
}

// What cannot be served is refused with the words that help, and a refused
// start leaves nothing behind.
func TestRefusedConfigurations(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*server.Config)
		want   string
	}{
		"dev for others":        {func(c *server.Config) { c.Dev, c.Listen = true, "0.0.0.0:0" }, "loopback addresses only"},
		"no port":               {func(c *server.Config) { c.Listen = "localhost" }, "write HOST:PORT"},
		"half a certificate":    {func(c *server.Config) { c.CertFile = "x" }, "go together"},
		"two root keys":         {func(c *server.Config) { c.RootKeyFile, c.Passphrase = "x", func() ([]byte, error) { return nil, nil } }, "not from both"},
		"an unknown quota":      {func(c *server.Config) { c.Throttle.Rates = map[string]float64{"kms:Frobnicate": 1} }, "--throttle: there is no operation"},
		"an address of nobody":  {func(c *server.Config) { c.Listen = "203.0.113.1:1" }, "choose another address"},
		"a missing certificate": {func(c *server.Config) { c.CertFile, c.KeyFile = "/nope.pem", "/nope.key" }, "/nope.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := newConfig(t)
			tc.change(&cfg)
			s, err := server.New(context.Background(), cfg)
			if err == nil {
				s.Close()
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q does not say %q", err, tc.want)
			}
			if name != "a missing certificate" { // by then the store is made
				if left, _ := os.ReadDir(string(cfg.Dir)); len(left) > 0 {
					t.Errorf("%d files were left behind", len(left))
				}
			}
		})
	}
}

// A directory that others may enter is closed to them.
func TestDirectoryIsClosed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	cfg := newConfig(t)
	if err := os.Chmod(string(cfg.Dir), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := server.New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(string(cfg.Dir), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A store that holds data never gets a new root key.
func TestRootKeyIsNotReplaced(t *testing.T) {
	cfg := newConfig(t)
	s, err := server.New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(cfg.Dir.RootKey(), cfg.Dir.RootKey()+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := server.New(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("start without the root key: %v", err)
	}
	if _, err := os.Stat(cfg.Dir.RootKey()); err == nil {
		t.Error("a new root key was made")
	}
}

// The account of `coffer env` stays the same over restarts, whatever ids later
// accounts have.
func TestFirstAccountStays(t *testing.T) {
	cfg := newConfig(t)
	var first string
	for range 4 {
		s, err := server.New(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		id, fresh := s.Account()
		if first == "" {
			if first = id; !fresh {
				t.Error("the first start does not say that it made the account")
			}
		} else if id != first || fresh {
			t.Errorf("account %s, fresh %v; want %s", id, fresh, first)
		}
		s.CreateAccounts(t, 3)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A renewed certificate is taken up without a restart; a broken one is not.
func TestCertificateReload(t *testing.T) {
	a := coffertest.Start(t)
	serial := func() string {
		conn, err := tls.Dial("tcp", a.Addr(), &tls.Config{InsecureSkipVerify: true}) // only to look at it
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	if err := server.Reissue(a.Dir, []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	server.LookAgain(a.Server)
	after := serial()
	if after == before {
		t.Error("the new certificate is not served")
	}
	if err := os.WriteFile(filepath.Join(a.Dir.TLS(), "server.pem"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(a.Dir.TLS(), "server.pem"), time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	server.LookAgain(a.Server)
	if got := serial(); got != after {
		t.Error("a broken certificate took the place of a good one")
	}
}

// A web page cannot use a --dev server, not even with a rebound host name.
func TestDevGuard(t *testing.T) {
	s := coffertest.Start(t, coffertest.With(func(c *server.Config) { c.Dev, c.Admin = true, "off" }))
	for name, tc := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"a tool":             {func(r *http.Request) {}, 200},
		"under localhost":    {func(r *http.Request) { r.Host = "localhost:4566" }, 200},
		"under IPv6":         {func(r *http.Request) { r.Host = "[::1]:4566" }, 200},
		"under a name below": {func(r *http.Request) { r.Host = "secretsmanager.localhost" }, 200},
		"a rebound name":     {func(r *http.Request) { r.Host = "evil.example:4566" }, 400},
		"a web page":         {func(r *http.Request) { r.Header.Set("Origin", "http://localhost") }, 400},
		"a same-site page":   {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }, 400},
	} {
		r, err := http.NewRequest(http.MethodPost, s.URL(), strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "secretsmanager.ListSecrets")
		r.Header.Set("X-Amz-Date", "20260102T030405Z")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260102/us-east-1/secretsmanager/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature="+strings.Repeat("0", 64))
		tc.change(r)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.want {
			t.Errorf("%s: status %d, want %d", name, resp.StatusCode, tc.want)
		}
	}
}
