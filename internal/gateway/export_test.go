package gateway

import (
	"net/http"
	"net/netip"
	"time"

	"coffer/internal/api"
)

// Quotas tells which group an operation's calls count against and at what rate, given
// the value of the member that chooses it, if one does.
func Quotas(cfg Throttle, services []*api.Service) (func(op *api.Operation, value string) (group string, perSecond float64), error) {
	t, err := newThrottle(&cfg, services)
	return func(op *api.Operation, value string) (string, float64) {
		l := t.limits[op]
		g := l.group
		if l.member != "" && l.groups[l.choose(value)] != nil {
			g = l.groups[l.choose(value)]
		}
		if g.off {
			return g.name, 0
		}
		return g.name, g.perSecond
	}, err
}

// Member is the member that chooses the operation's group, "" if none does.
func Member(op *api.Operation) string {
	if c := choiceOf(op); c != nil {
		return c.member
	}
	return ""
}

// QuotaPatterns are the operations that the table of quotas names, by service.
func QuotaPatterns() map[string][]string {
	m := make(map[string][]string)
	for _, q := range quotas {
		m[q.service] = append(m[q.service], q.of)
	}
	for _, c := range choices {
		m[c.service] = append(m[c.service], c.of...)
	}
	return m
}

// Bucket is a token bucket.
type Bucket struct {
	b bucket
	r rate
}

// NewBucket returns a full one.
func NewBucket(perSecond, burst float64) *Bucket { return &Bucket{r: newRate(perSecond, burst)} }

// Take takes a token at an instant.
func (b *Bucket) Take(now time.Time) bool { return b.b.take(b.r, now.UnixNano()) }

// Taker takes tokens as the gate does, for a call of op by an account in a region.
func Taker(cfg Throttle, services []*api.Service, op *api.Operation) func(account, region string, now time.Time) bool {
	t, err := newThrottle(&cfg, services)
	if err != nil {
		panic(err)
	}
	return func(account, region string, now time.Time) bool {
		return t.take(t.limits[op].group, account, region, true, now) == nil
	}
}

// Client is where a request comes from, behind these proxies.
func Client(proxies []netip.Prefix, r *http.Request) (ip string, secure bool) {
	return (&Gateway{cfg: Config{Proxies: proxies}}).client(r)
}

// Network is what an address is counted as.
var Network = network

// Recorded is how many of n refused requests have a record of their own that come from the sources
// in turn, all at once.
func Recorded(n int, sources ...string) (recorded int) {
	var s strangers
	for i := range n {
		if s.take(sources[i%len(sources)], time.Unix(0, 0)) {
			recorded++
		}
	}
	return recorded
}
