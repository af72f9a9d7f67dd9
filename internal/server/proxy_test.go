package server_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/coffertest"
	"coffer/internal/server"
)

// spoof adds what a client may write itself.
type spoof struct{ header http.Header }

func (s spoof) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for k, v := range s.header {
		r.Header[k] = v
	}
	return http.DefaultTransport.RoundTrip(r)
}

// proxied starts a plain server behind a proxy at 127.0.0.2 that takes TLS or not, and
// returns a client, at 127.0.0.1, that writes headers itself.
func proxied(t *testing.T, trusted string, encrypted bool, header http.Header) (*coffertest.Server, *secretsmanager.Client) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("127.0.0.2 is an address of this machine on Linux only")
	}
	s := coffertest.Start(t, coffertest.InMemory(), coffertest.With(func(c *server.Config) {
		c.PlainHTTP = true
		if trusted != "" {
			c.Proxies = server.Proxies{netip.MustParsePrefix(trusted)}
		}
	}))
	to, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	out := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext}
	t.Cleanup(out.CloseIdleConnections)
	proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{Transport: out, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // it is signed
		r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
		r.SetXForwarded()
	}})
	transport := http.RoundTripper(spoof{header})
	if encrypted {
		proxy.StartTLS()
		transport = proxy.Client().Transport
	} else {
		proxy.Start()
	}
	t.Cleanup(proxy.Close)
	cfg := s.Config("eu-west-1")
	cfg.BaseEndpoint, cfg.HTTPClient = aws.String(proxy.URL), &http.Client{Transport: transport}
	return s, secretsmanager.NewFromConfig(cfg)
}

// Conditions on the address and on encryption are about the client in front of
// the proxy, whatever it writes itself.
func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	const (
		here     = `"IpAddress":{"aws:SourceIp":"127.0.0.1"}`
		proxy    = `"IpAddress":{"aws:SourceIp":"127.0.0.2"}`
		pretends = `"IpAddress":{"aws:SourceIp":"203.0.113.7"}`
		inClear  = `"Bool":{"aws:SecureTransport":"false"}`
	)
	lies := http.Header{"X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Proto": {"https"}}
	for name, tc := range map[string]struct {
		trusted   string
		encrypted bool
		header    http.Header
		condition string // of a Deny
		denied    bool
	}{
		"the client's address":                  {"127.0.0.2/32", false, nil, here, true},
		"not the proxy's":                       {"127.0.0.2/32", false, nil, proxy, false},
		"not what the client says":              {"127.0.0.2/32", false, lies, pretends, false},
		"but where it is":                       {"127.0.0.2/32", false, lies, here, true},
		"in clear to the proxy":                 {"127.0.0.2/32", false, lies, inClear, true},
		"encrypted to the proxy":                {"127.0.0.2/32", true, nil, inClear, false},
		"a proxy that nobody trusts":            {"", false, nil, proxy, true},
		"its word on encryption counts nothing": {"", true, nil, inClear, true},
		"another proxy is trusted":              {"127.0.0.3/32", false, lies, proxy, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := proxied(t, tc.trusted, tc.encrypted, tc.header)
			makeSecret(t, s.SecretsManager(t), `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*","Condition":{`+tc.condition+`}}}`)
			err := read(c)
			if !tc.denied && err != nil {
				t.Error(err)
			}
			if tc.denied {
				wantDenied(t, err, "with an explicit deny in a resource-based policy")
			}
		})
	}
}

// The audit log has the client's address, not the proxy's.
func TestProxiedAuditRecords(t *testing.T) {
	t.Parallel()
	s, c := proxied(t, "127.0.0.2/32", false, http.Header{"X-Forwarded-For": {"203.0.113.7, garbage"}})
	if _, err := c.ListSecrets(context.Background(), &secretsmanager.ListSecretsInput{}); err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	found := false
	for _, r := range auditLog(t, s.Dir) {
		if r.EventName == "ListSecrets" {
			found = true
			if r.SourceIPAddress != "127.0.0.1" {
				t.Errorf("recorded as from %s", r.SourceIPAddress)
			}
		}
	}
	if !found {
		t.Error("there is no record")
	}
}

// What can be named as proxies.
func TestProxySettings(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"10.0.7.0/24":                "10.0.7.0/24",
		"10.0.7.9/24":                "10.0.7.0/24",
		"10.0.7.9":                   "10.0.7.9/32",
		"10.0.7.0/24, 2001:db8::/64": "10.0.7.0/24 2001:db8::/64",
		"2001:db8::9":                "2001:db8::9/128",
		"::ffff:10.0.7.0/120":        "10.0.7.0/24",
		"::ffff:10.0.7.9":            "10.0.7.9/32",
		"0.0.0.0/0":                  "everybody would be a proxy",
		"::/0":                       "everybody would be a proxy",
		"::ffff:0:0/96":              "everybody would be a proxy",
		"10.0.7.0/24,10.0.7.1/0":     "everybody would be a proxy",
		"proxy.internal":             `"proxy.internal" is neither an address nor a range`,
		"10.0.7.0/33":                "is neither an address",
		"fe80::1%eth0":               "is neither an address",
		"":                           `"" is neither an address`,
		"10.0.7.1,":                  `"" is neither an address`,
		"10.0.7.1:80":                "is neither an address",
		"10.0.7.1 10.0.7.2":          "is neither an address",
		strings.Repeat("1", 300):     "is neither an address",
	} {
		var ps server.Proxies
		err := ps.Set(s)
		var got []string
		for _, p := range ps {
			got = append(got, p.String())
		}
		if err == nil && strings.Join(got, " ") != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %s", s, got, err, want)
		}
	}
}
