package gateway

import (
	"net/http"
	"net/netip"
	"strings"
)

// client is where a request comes from, and whether it came encrypted: by the
// connection, or by what a trusted proxy says of the connection it forwards.
func (g *Gateway) client(r *http.Request) (ip string, secure bool) {
	ip, secure = connected(r)
	if len(g.cfg.Proxies) == 0 {
		return ip, secure
	}
	if a, ok := parseHop(ip); !ok || !g.trusted(a) {
		return ip, secure
	}
	if proto := r.Header["X-Forwarded-Proto"]; len(proto) == 1 {
		secure = strings.EqualFold(proto[0], "https")
	} else if len(proto) > 1 {
		secure = false // who wrote which cannot be told
	}
	// Each proxy appends whom it heard from. So the list is read from its end, as
	// far as the addresses are proxies of ours; whatever stands before the first that
	// is not, the client itself may have written.
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		a, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		if ip = a.String(); !g.trusted(a) {
			break
		}
	}
	return ip, secure
}

// connected is where the connection comes from, and whether it is encrypted.
func connected(r *http.Request) (ip string, secure bool) {
	return sourceIP(r.RemoteAddr), r.TLS != nil
}

// parseHop reads an address, with a port or without, as different proxies write it.
func parseHop(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		ap, e := netip.ParseAddrPort(s)
		a, err = ap.Addr(), e
	}
	return a.Unmap().WithZone(""), err == nil
}

func (g *Gateway) trusted(a netip.Addr) bool {
	for _, p := range g.cfg.Proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// sourceIP is the address without its port. Connections from IPv4 clients to a
// listener of both families are told as IPv4.
func sourceIP(remote string) string {
	if i := strings.LastIndexByte(remote, ':'); i >= 0 {
		return strings.TrimPrefix(strings.Trim(remote[:i], "[]"), "::ffff:")
	}
	return remote
}
