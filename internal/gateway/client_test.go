package gateway_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/gateway"
	"coffer/internal/sigv4"
)

// Where a request comes from is what proxies of ours say, and never what others do.
func TestClient(t *testing.T) {
	t.Parallel()
	var seen api.Request
	g := newGate(t, func(r *api.Request, in *smapi.DescribeSecretInput) (*smapi.DescribeSecretOutput, error) {
		seen = *r
		return described(r, in)
	}, restored, func(cfg *gateway.Config) {
		cfg.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.7.0/24"), netip.MustParsePrefix("2001:db8:7::/64")}
	})
	for name, tc := range map[string]struct {
		from   string // the connection
		tls    bool
		header http.Header
		ip     string
		secure bool
	}{
		"no proxy":                   {"203.0.113.9:1000", true, nil, "203.0.113.9", true},
		"no proxy, in clear":         {"203.0.113.9:1000", false, nil, "203.0.113.9", false},
		"a stranger's word":          {"203.0.113.9:1000", false, http.Header{"X-Forwarded-For": {"198.51.100.1"}, "X-Forwarded-Proto": {"https"}}, "203.0.113.9", false},
		"a stranger as a proxy":      {"203.0.113.9:1000", false, http.Header{"X-Forwarded-For": {"10.0.7.1"}}, "203.0.113.9", false},
		"a proxy's word":             {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"198.51.100.1"}, "X-Forwarded-Proto": {"https"}}, "198.51.100.1", true},
		"a proxy that took no TLS":   {"10.0.7.1:1000", true, http.Header{"X-Forwarded-For": {"198.51.100.1"}, "X-Forwarded-Proto": {"http"}}, "198.51.100.1", false},
		"a proxy that says nothing":  {"10.0.7.1:1000", true, nil, "10.0.7.1", true},
		"a proxy without the scheme": {"10.0.7.1:1000", true, http.Header{"X-Forwarded-For": {"198.51.100.1"}}, "198.51.100.1", true},
		"HTTPS in capitals":          {"10.0.7.1:1000", false, http.Header{"X-Forwarded-Proto": {"HTTPS"}}, "10.0.7.1", true},
		"two schemes":                {"10.0.7.1:1000", true, http.Header{"X-Forwarded-Proto": {"https", "https"}}, "10.0.7.1", false},
		"schemes in a list":          {"10.0.7.1:1000", true, http.Header{"X-Forwarded-Proto": {"https,http"}}, "10.0.7.1", false},

		"the client wrote in front":         {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"192.0.2.66, 198.51.100.1"}}, "198.51.100.1", false},
		"the client wrote a line in front":  {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"192.0.2.66", "198.51.100.1"}}, "198.51.100.1", false},
		"the client wrote one of ours":      {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"10.0.7.9, 198.51.100.1"}}, "198.51.100.1", false},
		"the client wrote ours and a third": {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"192.0.2.66, 10.0.7.9, 198.51.100.1, 10.0.7.2"}}, "198.51.100.1", false},
		"two proxies":                       {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"198.51.100.1, 10.0.7.2"}}, "198.51.100.1", false},
		"two proxies on lines":              {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"198.51.100.1", "10.0.7.2"}}, "198.51.100.1", false},
		"proxies only":                      {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"10.0.7.3, 10.0.7.2"}}, "10.0.7.3", false},

		"garbage":                  {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"unknown"}}, "10.0.7.1", false},
		"garbage behind a proxy":   {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"198.51.100.1, garbage, 10.0.7.2"}}, "10.0.7.2", false},
		"garbage in front":         {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"'; drop, 198.51.100.1"}}, "198.51.100.1", false},
		"nothing between commas":   {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"198.51.100.1,"}}, "10.0.7.1", false},
		"an empty line":            {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {""}}, "10.0.7.1", false},
		"blanks and tabs":          {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"  198.51.100.1\t"}}, "198.51.100.1", false},
		"a port":                   {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"198.51.100.1:54321"}}, "198.51.100.1", false},
		"IPv6":                     {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"2001:db8::1"}}, "2001:db8::1", false},
		"IPv6 with a port":         {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"[2001:db8::1]:54321"}}, "2001:db8::1", false},
		"IPv6 written at length":   {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"2001:0DB8:0000::0001"}}, "2001:db8::1", false},
		"a proxy on IPv6":          {"[2001:db8:7::5]:1000", false, http.Header{"X-Forwarded-For": {"198.51.100.1"}}, "198.51.100.1", false},
		"a neighbour on IPv6":      {"[2001:db8:8::5]:1000", false, http.Header{"X-Forwarded-For": {"198.51.100.1"}}, "2001:db8:8::5", false},
		"IPv4 in IPv6":             {"[::ffff:10.0.7.1]:1000", false, http.Header{"X-Forwarded-For": {"::ffff:198.51.100.1"}}, "198.51.100.1", false},
		"a zone does not hide one": {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {"198.51.100.1, 2001:db8:7::9%eth0"}}, "198.51.100.1", false},
		"very many":                {"10.0.7.1:1000", false, http.Header{"X-Forwarded-For": {strings.Repeat("10.0.7.2,", 5000) + "10.0.7.2"}}, "10.0.7.2", false},
	} {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(onX))
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", reads)
		by := sigv4.Signer{AccessKeyID: g.key.ID, SecretAccessKey: sigv4.Secret(g.key.Secret.Reveal())}
		if err := sigv4.Sign(r, []byte(onX), by, "eu-west-1", "secretsmanager", time.Now()); err != nil {
			t.Fatal(err)
		}
		for k, v := range tc.header {
			r.Header[k] = v
		}
		r.RemoteAddr = tc.from
		if r.TLS = nil; tc.tls {
			r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13}
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("%s: answered %d %s", name, w.Code, w.Body)
		}
		if seen.SourceIP != tc.ip || seen.Secure != tc.secure {
			t.Errorf("%s: from %s, encrypted %v; want %s, %v", name, seen.SourceIP, seen.Secure, tc.ip, tc.secure)
		}
		if recs := g.records(t, w.Header().Get("x-amzn-RequestId")); len(recs) != 1 || recs[0].SourceIPAddress != tc.ip {
			t.Errorf("%s: recorded as %+v", name, recs)
		}
		// Where no proxy is in front, nobody's word counts.
		r.Body = io.NopCloser(strings.NewReader(onX))
		g.Direct().ServeHTTP(httptest.NewRecorder(), r)
		if ip := netip.MustParseAddrPort(tc.from).Addr().Unmap().String(); seen.SourceIP != ip || seen.Secure != tc.tls {
			t.Errorf("%s, directly: from %s, encrypted %v; want %s, %v", name, seen.SourceIP, seen.Secure, ip, tc.tls)
		}
	}
}

// Whatever a client writes in front, the address that the proxy appends is the one
// that counts; and whatever comes, the result is an address.
func FuzzClient(f *testing.F) {
	for _, s := range []string{"", ",", "198.51.100.1", "10.0.7.1, 10.0.7.2", "[2001:db8::1]:1", "::ffff:10.0.7.1", "fe80::1%eth0", "unknown, for=\"_x\"", "1.2.3.4:5:6"} {
		f.Add(s, "https")
	}
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.7.0/24")}
	f.Fuzz(func(t *testing.T, header, proto string) {
		r := &http.Request{RemoteAddr: "10.0.7.1:1000", Header: http.Header{"X-Forwarded-For": {header}, "X-Forwarded-Proto": {proto}}}
		ip, secure := gateway.Client(proxies, r)
		if _, err := netip.ParseAddr(ip); err != nil {
			t.Errorf("%q: from %q", header, ip)
		}
		if secure != strings.EqualFold(proto, "https") {
			t.Errorf("%q: encrypted %v", proto, secure)
		}
		for _, lines := range [][]string{{header + ", 198.51.100.1"}, {header, "198.51.100.1"}, {header, "198.51.100.1", "10.0.7.2"}} {
			r.Header["X-Forwarded-For"] = lines
			if ip, _ := gateway.Client(proxies, r); ip != "198.51.100.1" {
				t.Errorf("%q: from %s", lines, ip)
			}
		}
		r.RemoteAddr = "203.0.113.9:1000"
		if ip, secure := gateway.Client(proxies, r); ip != "203.0.113.9" || secure {
			t.Errorf("%q: a stranger is believed: %s, %v", header, ip, secure)
		}
	})
}
