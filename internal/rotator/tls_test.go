package rotator_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"

	"coffer/internal/rotator"
)

// TestVerifying refuses what the configuration it is made from refuses, and tells why.
func TestVerifying(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	known := x509.NewCertPool()
	known.AddCert(s.Certificate())
	for _, tt := range []struct {
		name   string
		config *tls.Config
		why    string // "" if it is taken
	}{
		{"known", &tls.Config{RootCAs: known, ServerName: "example.com"}, ""},
		{"known by its address", &tls.Config{RootCAs: known, ServerName: "127.0.0.1"}, ""},
		{"unknown", &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "example.com"}, "it is signed by an unknown authority"},
		{"unknown to the system", &tls.Config{ServerName: "example.com"}, "it is signed by an unknown authority"},
		{"another name", &tls.Config{RootCAs: known, ServerName: "example.org"}, "it is for another host name"},
		{"no name", &tls.Config{RootCAs: known, ServerName: "evil"}, "it is for another host name"},
		{"unverified", &tls.Config{InsecureSkipVerify: true, ServerName: "example.org"}, ""},
	} {
		config, failure := rotator.Verifying(tt.config)
		c, err := tls.Dial("tcp", s.Listener.Addr().String(), config)
		if err == nil {
			c.Close()
		}
		if (err == nil) != (tt.why == "") {
			t.Errorf("%s: %v", tt.name, err)
		}
		if e := failure(); (e == nil) != (tt.why == "") || e != nil && (e.Text != tt.why || e.Reason != rotator.Untrusted) {
			t.Errorf("%s: %+v, want %q", tt.name, e, tt.why)
		}
		if plain, err := tls.Dial("tcp", s.Listener.Addr().String(), tt.config); (err == nil) != (tt.why == "") {
			t.Errorf("%s: the configuration itself: %v", tt.name, err)
		} else if err == nil {
			plain.Close()
		}
	}
}
