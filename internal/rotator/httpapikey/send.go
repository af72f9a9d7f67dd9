package httpapikey

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"
	"unicode"

	"coffer/internal/rotator"
)

const (
	requestTime = 10 * time.Second
	maxAnswer   = 1 << 20 // bytes
)

// send sends a request and returns the body of its answer. Its errors quote neither the
// request nor the answer: both hold keys.
func (c *config) send(ctx context.Context, name string, r *request, values map[string]string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	req, err := r.build(ctx, name, values)
	if err != nil {
		return nil, err
	}
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, rotator.DatabaseErrorf("%s: %s does not answer: %s", name, r.origin, rotator.NetworkError(err).Text)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, rotator.DatabaseErrorf("%s: the answer of %s broke off: %s", name, r.origin, rotator.NetworkError(err).Text)
	}
	switch {
	case name == "revoke" && (resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone):
		return nil, nil // revoked already
	case resp.StatusCode/100 == 3:
		return nil, rotator.DatabaseErrorf("%s: %s answers %d: redirects are not followed, since the request carries a key", name, r.origin, resp.StatusCode)
	case resp.StatusCode/100 != 2:
		return nil, rotator.DatabaseErrorf("%s: %s answers %d %s", name, r.origin, resp.StatusCode, http.StatusText(resp.StatusCode))
	case len(answer) > maxAnswer:
		return nil, rotator.DatabaseErrorf("%s: the answer of %s is longer than %d bytes", name, r.origin, maxAnswer)
	}
	return answer, nil
}

// client follows no redirect, keeps nothing between requests, and reaches no address of the
// machine itself or of its cloud's metadata (see refused).
func (c *config) client() (*http.Client, error) {
	pool, err := c.job.Roots()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: rotator.ConnectTime, Control: c.refuse}).DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    rotator.ConnectTime,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true,
			ForceAttemptHTTP2:      true,
		},
	}, nil
}

// AllowLoopback is the variable that, being "true", lets requests go to the machine itself: for
// tests, and for services that listen there only. It is the function's, not the secret's: whoever
// writes a secret chooses the URL, and could allow themselves what listens on the server's loopback.
const AllowLoopback = "ALLOW_LOOPBACK"

// refuse is asked after a name was resolved, so a name that points there is refused too.
func (c *config) refuse(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return refused(to.Addr(), c.job.Getenv(AllowLoopback, "") == "true")
}

// refused tells why an address is not reached. Private ranges are: services on the premises
// are there.
func refused(a netip.Addr, loopback bool) error {
	a = embedded(a.Unmap().WithZone("")).Unmap()
	switch {
	case a.IsLoopback() || a.IsUnspecified() || thisHost.Contains(a):
		if a.IsLoopback() && loopback {
			return nil
		}
		return errLoopback
	case a.IsLinkLocalUnicast(), a.IsMulticast(), metadata[a]:
		return errLinkLocal
	}
	return nil
}

// embedded is the IPv4 address that a gateway makes of an IPv6 one: NAT64 (RFC 6052, the
// well-known prefix, and RFC 8215's with 96 bits), 6to4 (RFC 3056), IPv4-compatible (RFC 4291).
func embedded(a netip.Addr) netip.Addr {
	b := a.As16()
	switch {
	case nat64.Contains(a), localNAT64.Contains(a), compatible.Contains(a) && !a.IsLoopback() && !a.IsUnspecified():
		return netip.AddrFrom4([4]byte(b[12:]))
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

var (
	thisHost   = netip.MustParsePrefix("0.0.0.0/8") // Linux takes it for the machine itself
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	compatible = netip.MustParsePrefix("::/96")
)

// metadata is where clouds hand out their machines' credentials, but for 169.254.0.0/16.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("fd00:ec2::254"):   true, // AWS
	netip.MustParseAddr("fd00:ec2::23"):    true, // AWS, EKS Pod Identity
	netip.MustParseAddr("100.100.100.200"): true, // Alibaba Cloud
	netip.MustParseAddr("168.63.129.16"):   true, // Azure
	netip.MustParseAddr("192.0.0.192"):     true, // Oracle Cloud
}

var (
	errLinkLocal = rotator.ValueErrorf("link-local addresses are not reached, nor others of a cloud's metadata")
	errLoopback  = rotator.ValueErrorf("addresses of the machine itself are not reached, unless loopback is allowed by the function's variable %s", AllowLoopback)
)

// build fills a request in.
func (r *request) build(ctx context.Context, name string, values map[string]string) (*http.Request, error) {
	target, err := r.target(name, values)
	if err != nil {
		return nil, err
	}
	body, kind, err := r.content(name, values)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(body))
	if err != nil {
		return nil, rotator.ValueErrorf("%s.method or %s.url cannot be used", name, name)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "coffer")
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for k, v := range r.headers {
		text, err := fill(name+".headers", v, values, func(s string) string { return s })
		if err != nil {
			return nil, err
		}
		if k == "" || strings.ContainsFunc(k+text, unicode.IsControl) || strings.EqualFold(k, "Host") || strings.EqualFold(k, "Content-Length") {
			return nil, rotator.ValueErrorf("%s.headers has one that cannot be sent", name)
		}
		req.Header.Set(k, text)
	}
	return req, nil
}

// target is the URL. Values cannot leave their place in it.
func (r *request) target(name string, values map[string]string) (string, error) {
	path, query, has := strings.Cut(r.url, "?")
	for k, v := range values {
		if (v == "." || v == "..") && strings.Contains(path, "{"+k+"}") {
			return "", rotator.ValueErrorf("%s must not be . or .. in secret JSON: it stands in the path of a URL", k)
		}
	}
	path, err := fill(name+".url", path, values, url.PathEscape)
	if err != nil || !has {
		return path, err
	}
	query, err = fill(name+".url", query, values, url.QueryEscape)
	return path + "?" + query, err
}

// content is the body and its type.
func (r *request) content(name string, values map[string]string) ([]byte, string, error) {
	switch {
	case r.form != nil:
		form := url.Values{}
		for k, v := range r.form {
			text, err := fill(name+".form", v, values, func(s string) string { return s })
			if err != nil {
				return nil, "", err
			}
			form.Set(k, text)
		}
		return []byte(form.Encode()), "application/x-www-form-urlencoded", nil
	case r.body != nil:
		var v any
		d := json.NewDecoder(bytes.NewReader(r.body))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			return nil, "", rotator.ValueErrorf("%s.body is no JSON", name)
		}
		v, err := fillJSON(name+".body", v, values)
		if err != nil {
			return nil, "", err
		}
		b, err := json.Marshal(v)
		return b, "application/json", err
	}
	return nil, "", nil
}

// fillJSON fills in the strings of a JSON value.
func fillJSON(where string, v any, values map[string]string) (any, error) {
	var err error
	switch v := v.(type) {
	case string:
		return fill(where, v, values, func(s string) string { return s })
	case []any:
		for i := range v {
			if v[i], err = fillJSON(where, v[i], values); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = fillJSON(where, v[k], values); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

var placeholder = regexp.MustCompile(`\{[A-Za-z][A-Za-z0-9_-]*\}`)

// fill puts values in the place of {placeholders}.
func fill(where, template string, values map[string]string, escape func(string) string) (string, error) {
	var err error
	text := placeholder.ReplaceAllStringFunc(template, func(p string) string {
		k := p[1 : len(p)-1]
		v, ok := values[k]
		if !ok {
			err = rotator.KeyErrorf("%s key is missing from secret JSON: %s has {%s}", k, where, k)
		}
		return escape(v)
	})
	return text, err
}
