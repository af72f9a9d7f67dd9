package server

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Proxies are addresses of proxies in front of the server. A request that comes
// from one is taken to come from whom the proxy says it heard.
type Proxies []netip.Prefix

// String implements flag.Value.
func (ps *Proxies) String() string { return "" }

// Set implements flag.Value: it adds ranges and single addresses, separated by commas.
func (ps *Proxies) Set(s string) error {
	for word := range strings.SplitSeq(s, ",") {
		p, err := parseProxy(strings.TrimSpace(word))
		if err != nil {
			return err
		}
		*ps = append(*ps, p)
	}
	return nil
}

func parseProxy(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, e := netip.ParseAddr(s)
		if e != nil || a.Zone() != "" {
			return p, fmt.Errorf("%q is neither an address nor a range of them, such as 10.0.0.7 or 10.0.7.0/24", s)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 { // so are connections told
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if p.Bits() == 0 {
		return p, errors.New("everybody would be a proxy, and could say to come from anywhere; name the proxies alone")
	}
	return p.Masked(), nil
}
