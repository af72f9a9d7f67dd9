package oidc_test

import (
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"coffer/internal/jwt"
	"coffer/internal/jwt/jwttest"
	"coffer/internal/oidc"
)

// server is an issuer over HTTPS. Paths that the test does not answer itself are
// answered rightly.
func server(t *testing.T, override map[string]http.HandlerFunc) (url string, ca, leaf string) {
	t.Helper()
	pki := jwttest.NewPKI("127.0.0.1")
	keys := jwttest.NewES256("k").JWKS()
	var s *httptest.Server
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := override[r.URL.Path]; h != nil {
			h(w, r)
			return
		}
		switch r.URL.Path {
		case "/tenant/.well-known/openid-configuration":
			json.NewEncoder(w).Encode(map[string]string{"issuer": s.URL + "/tenant", "jwks_uri": s.URL + "/keys"})
		case "/keys":
			w.Write(keys)
		default:
			http.NotFound(w, r)
		}
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pki.Server}}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.StartTLS()
	t.Cleanup(s.Close)
	print := func(i int) string {
		sum := sha1.Sum(pki.Server.Certificate[i])
		return hex.EncodeToString(sum[:])
	}
	return s.URL, print(1), print(0)
}

func keysOf(t *testing.T, issuer string, thumbprints ...string) error {
	t.Helper()
	i, err := oidc.New(oidc.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	keys, err := i.Keys(t.Context(), issuer, thumbprints, "k")
	if err == nil && !keys.Has("k") {
		t.Error("keys without the key")
	}
	return err
}

func TestCertificates(t *testing.T) {
	url, ca, leaf := server(t, nil)
	for _, c := range []struct {
		name        string
		issuer      string
		thumbprints []string
		want        error
	}{
		{"thumbprint of the authority", url + "/tenant", []string{ca}, nil},
		{"thumbprint of the server's own", url + "/tenant", []string{leaf}, nil},
		{"one of several", url + "/tenant", []string{strings.Repeat("0", 40), ca}, nil},
		{"no thumbprint, unknown authority", url + "/tenant", nil, jwt.ErrCertificate},
		{"another thumbprint", url + "/tenant", []string{strings.Repeat("a", 40)}, jwt.ErrCertificate},
		{"thumbprint right, name wrong", strings.Replace(url, "127.0.0.1", "localhost", 1) + "/tenant", []string{ca}, jwt.ErrCertificate},
	} {
		if err := keysOf(t, c.issuer, c.thumbprints...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestIssuersThatAnswerWrongly(t *testing.T) {
	const discovery, keys = "/tenant/.well-known/openid-configuration", "/keys"
	status := func(n int) http.HandlerFunc { return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) } }
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) }
	}
	for _, c := range []struct {
		name, path string
		answer     http.HandlerFunc
		want       error
	}{
		{"no configuration", discovery, status(404), jwt.ErrIssuer},
		{"down", discovery, status(503), jwt.ErrUnreachable},
		{"busy", keys, status(429), jwt.ErrUnreachable},
		{"not JSON", discovery, text("<html>"), jwt.ErrIssuer},
		{"another issuer", discovery, text(`{"issuer":"https://other.example","jwks_uri":"https://other.example/keys"}`), jwt.ErrIssuer},
		{"no issuer", discovery, text(`{"jwks_uri":"https://other.example/keys"}`), jwt.ErrIssuer},
		{"endless", discovery, text(strings.Repeat(" ", 2<<20)), jwt.ErrIssuer},
		{"no keys", keys, text(`{"keys":[]}`), jwt.ErrIssuer},
		{"shared secrets only", keys, text(`{"keys":[{"kty":"oct","kid":"k","k":"AAAA"}]}`), jwt.ErrIssuer},
		{"endless keys", keys, text(strings.Repeat(" ", 2<<20)), jwt.ErrIssuer},
		{"configuration elsewhere", discovery, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/", http.StatusFound)
		}, jwt.ErrIssuer},
		{"cut off", keys, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"keys":`)
		}, jwt.ErrUnreachable},
	} {
		url, ca, _ := server(t, map[string]http.HandlerFunc{c.path: c.answer})
		if err := keysOf(t, url+"/tenant", ca); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestKeysInClearAreNotFetched(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked over HTTP") }))
	defer plain.Close()
	var url string
	url, ca, _ := server(t, map[string]http.HandlerFunc{"/tenant/.well-known/openid-configuration": func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"issuer": url + "/tenant", "jwks_uri": plain.URL + "/keys"})
	}})
	if err := keysOf(t, url+"/tenant", ca); !errors.Is(err, jwt.ErrIssuer) {
		t.Errorf("keys at an HTTP address: %v", err)
	}
	if err := keysOf(t, plain.URL); !errors.Is(err, jwt.ErrIssuer) {
		t.Errorf("issuer at an HTTP address: %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	s.Close()
	if err := keysOf(t, s.URL); !errors.Is(err, jwt.ErrUnreachable) {
		t.Errorf("a closed port: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string][2]bool{ // allowed; allowed with link-local addresses
		"127.0.0.1:443":              {true, true},
		"10.1.2.3:6443":              {true, true},
		"[fd00::1]:443":              {true, true},
		"192.0.2.7:443":              {true, true},
		"169.254.169.254:443":        {false, true},
		"169.254.170.2:443":          {false, true},
		"[::ffff:169.254.169.254]:1": {false, true},
		"[fe80::1]:443":              {false, true},
		"[fd00:ec2::254]:443":        {false, true},
		"100.100.100.200:443":        {false, true},
		"168.63.129.16:443":          {false, true},
		"[64:ff9b::a9fe:a9fe]:443":   {false, true}, // NAT64 of 169.254.169.254
		"[64:ff9b::6464:64c8]:443":   {false, true}, // of 100.100.100.200
		"[64:ff9b::e000:1]:443":      {false, false},
		"[64:ff9b::c000:207]:443":    {true, true},
		"[2002:a9fe:a9fe::1]:443":    {false, true}, // 6to4
		"[2002::1]:443":              {false, false},
		"[2002:c000:207::1]:443":     {true, true},
		"0.0.0.0:443":                {false, false},
		"[::]:443":                   {false, false},
		"224.0.0.1:443":              {false, false},
		"nonsense":                   {false, false},
	} {
		for i, linkLocal := range []bool{false, true} {
			if err := oidc.Permit(address, linkLocal); (err == nil) != want[i] || err != nil && !errors.Is(err, jwt.ErrIssuer) {
				t.Errorf("%s, link-local %v: %v", address, linkLocal, err)
			}
		}
	}
}
