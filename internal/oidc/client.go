package oidc

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"coffer/internal/jwt"
)

const maxAnswer = 1 << 20 // bytes of a document

// client asks issuers.
type client struct {
	linkLocal bool
	proxy     func(*http.Request) (*url.URL, error)
}

// keys follows OpenID Connect Discovery 1.0, sections 4 and 3: the issuer's
// configuration, and from where that says the keys.
func (c *client) keys(ctx context.Context, issuer string, thumbprints []string) (a answer, err error) {
	body, _, err := c.get(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", thumbprints)
	if err != nil {
		return a, err
	}
	var configuration struct {
		Issuer  string `json:"issuer"`
		KeysURL string `json:"jwks_uri"`
	}
	if json.Unmarshal(body, &configuration) != nil {
		return a, fmt.Errorf("%w: the configuration is not JSON", jwt.ErrIssuer)
	}
	// "The issuer value returned MUST be identical to the Issuer URL that was used as
	// the prefix": else one tenant of a server could answer for another.
	if configuration.Issuer != issuer {
		return a, fmt.Errorf("%w: the configuration is of issuer %.200q", jwt.ErrIssuer, configuration.Issuer)
	}
	body, header, err := c.get(ctx, configuration.KeysURL, thumbprints)
	if err != nil {
		return a, err
	}
	if a.keys, err = jwt.ParseKeys(body); err != nil {
		return a, fmt.Errorf("%w: %w", jwt.ErrIssuer, err)
	}
	a.fresh = maxAge(header)
	return a, nil
}

// get fetches one document. Each has a connection of its own: there are few, and
// none may be verified under the thumbprints of another.
func (c *client) get(ctx context.Context, text string, thumbprints []string) ([]byte, http.Header, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return nil, nil, fmt.Errorf("%w: %.200q is not an HTTPS URL", jwt.ErrIssuer, text)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, text, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", jwt.ErrIssuer, err)
	}
	request.Header.Set("Accept", "application/json")
	response, err := c.http(u.Hostname(), thumbprints).Do(request)
	switch {
	case errors.Is(err, jwt.ErrCertificate), errors.Is(err, jwt.ErrIssuer):
		return nil, nil, err
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", jwt.ErrUnreachable, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", jwt.ErrUnreachable, err)
	case response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests:
		return nil, nil, fmt.Errorf("%w: %s answers %s", jwt.ErrUnreachable, text, response.Status)
	case response.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("%w: %s answers %s", jwt.ErrIssuer, text, response.Status)
	case len(body) > maxAnswer:
		return nil, nil, fmt.Errorf("%w: %s answers more than %d bytes", jwt.ErrIssuer, text, maxAnswer)
	}
	return body, response.Header, nil
}

func (c *client) http(host string, thumbprints []string) *http.Client {
	proxy := c.proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	dialer := net.Dialer{Timeout: timeout, Control: c.permit}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  proxy,
			DialContext:            dialer.DialContext,
			DisableKeepAlives:      true,
			TLSHandshakeTimeout:    timeout,
			ResponseHeaderTimeout:  timeout,
			MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig: &tls.Config{
				MinVersion: tls.VersionTLS12,
				ServerName: host,
				// Verified below: by the public authorities or by thumbprint, which the
				// default verification does not know.
				InsecureSkipVerify: true,
				VerifyConnection:   func(cs tls.ConnectionState) error { return verify(cs.PeerCertificates, host, thumbprints) },
			},
		},
		// A redirect would ask somebody whom nobody registered.
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			return fmt.Errorf("%w: it redirects to %s", jwt.ErrIssuer, r.URL.Host)
		},
	}
}

// verify believes a server whose certificate the system's authorities vouch for, or
// one with a registered thumbprint does: its own, or one above it ("Obtain the
// thumbprint for an OpenID Connect identity provider"). Name and dates must be
// right in either case.
func verify(chain []*x509.Certificate, host string, thumbprints []string) error {
	options := x509.VerifyOptions{DNSName: host, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(options)
	if err == nil {
		return nil
	}
	for _, c := range chain {
		sum := sha1.Sum(c.Raw)
		if !slices.Contains(thumbprints, hex.EncodeToString(sum[:])) {
			continue
		}
		options.Roots = x509.NewCertPool()
		options.Roots.AddCert(c)
		if _, err := chain[0].Verify(options); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: %w", jwt.ErrCertificate, err)
}

// metadata are the addresses of cloud metadata services outside the link-local ranges.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"),
}

// permit refuses addresses where an issuer has no business to be: who may
// register providers must not use the server to reach its machine's metadata service. It
// sees the address that a name was resolved to.
func (c *client) permit(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", jwt.ErrIssuer, err)
	}
	a := embedded(to.Addr().Unmap().WithZone(""))
	never := a.IsUnspecified() || a.IsMulticast()
	local := a.IsLinkLocalUnicast() || slices.Contains(metadata, a)
	if never || local && !c.linkLocal {
		return fmt.Errorf("%w: it is at %s, a link-local or metadata address", jwt.ErrIssuer, a)
	}
	return nil
}

// The prefixes under which IPv6 addresses stand for IPv4 ones: NAT64 (RFC 6052) and 6to4 (RFC 3056).
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

// embedded is the IPv4 address that a translator or relay on the way would make of a.
func embedded(a netip.Addr) netip.Addr {
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// maxAge is how long an answer says it is good.
func maxAge(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
			return time.Duration(n) * time.Second
		}
	}
	return freshFor
}
