package gateway

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"coffer/internal/api"
	"coffer/internal/audit"
)

// Throttle says how fast an account may call. The zero value has AWS's quotas.
type Throttle struct {
	Off   bool               // no quotas but those in Rates
	Rates map[string]float64 // calls a second, by "service:Operation" or "service:group"
}

// The rates that a deployment can set, in calls a second.
const (
	minRate = 0.001
	maxRate = 1_000_000
)

// String implements flag.Value.
func (t *Throttle) String() string { return "" }

// Set implements flag.Value: "off", or "secretsmanager:GetSecretValue=20000",
// several of them separated by commas. It adds to what was set before.
func (t *Throttle) Set(s string) error {
	for word := range strings.SplitSeq(s, ",") {
		if word = strings.TrimSpace(word); word == "off" {
			t.Off = true
			continue
		}
		name, text, ok := strings.Cut(word, "=")
		rate, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil || !(rate >= minRate && rate <= maxRate) {
			return fmt.Errorf("write off, or SERVICE:OPERATION=RATE with %v to %v calls a second, such as secretsmanager:GetSecretValue=20000", minRate, maxRate)
		}
		if t.Rates == nil {
			t.Rates = make(map[string]float64)
		}
		t.Rates[name] = rate
	}
	return nil
}

// Validate reports the first name in Rates that is no operation or group of these services.
func (t *Throttle) Validate(services []*api.Service) error {
	_, err := newThrottle(t, services)
	return err
}

const (
	minBurst   = 10    // calls that the bucket of a slow group holds at least
	maxCallers = 16384 // accounts, and addresses, that are told apart
	maxRegions = 64    // of one account: callers choose their names, and must not get new buckets for new ones

	// Of the throttled calls of one account, so many have a record each. They would
	// fill the disk at whatever rate a caller with valid keys can send.
	throttledBurst, throttledPerSecond = 100, 1
)

var throttledRate = newRate(throttledPerSecond, throttledBurst)

// rate is what a bucket is filled at, and how much it holds.
type rate struct{ every, span int64 } // nanoseconds: for one token, and for all

func newRate(perSecond, burst float64) rate {
	every := int64(float64(time.Second) / perSecond)
	return rate{every: every, span: int64(burst) * every}
}

// bucket is a token bucket in one number: when it will be full (the generic cell
// rate algorithm). The zero value is a full one. Safe for concurrent use.
type bucket struct{ full atomic.Int64 }

// take takes a token if there is one.
func (b *bucket) take(r rate, now int64) bool {
	for {
		full := b.full.Load()
		if full > now+r.span { // longer than it takes to fill: the clock was set back
			b.full.CompareAndSwap(full, now+r.span)
			continue
		}
		next := max(full, now) + r.every
		if next > now+r.span {
			return false
		}
		if b.full.CompareAndSwap(full, next) {
			return true
		}
	}
}

// group is operations that share a quota.
type group struct {
	service, name string
	perSecond     float64
	off           bool
	index         int // among a caller's buckets
	rate          rate
}

// limit is where the calls of an operation take their tokens from: always the
// same group, or the one that a member of the input chooses.
type limit struct {
	group  *group
	member string // empty: always group
	choose func(value string) string
	groups map[string]*group // of the service; what is not among them is group
}

// of is the group of a call with this input, which is nil if it could not be decoded.
func (l *limit) of(in api.Struct) *group {
	if l.member == "" || in == nil {
		return l.group
	}
	value, _ := api.MemberText(in, l.member)
	if g := l.groups[l.choose(value)]; g != nil {
		return g
	}
	return l.group
}

// throttle holds the buckets: for each account, in each region, for each group.
// Callers share none of them, and so never wait for each other.
type throttle struct {
	groups    []*group
	limits    map[*api.Operation]*limit
	other     *limit  // of calls that name no known operation
	accounts  callers // by id
	addresses callers // of callers without credentials
}

// callers are whose buckets have been used.
type callers struct {
	byName sync.Map // of *caller
	n      atomic.Int64
}

// caller is the buckets of an account, or of an address.
type caller struct {
	name      string
	mu        sync.Mutex // to add a region
	regions   atomic.Pointer[map[string][]bucket]
	elsewhere []bucket // of all regions beyond maxRegions

	records bucket       // of throttled calls that have one
	dropped atomic.Int64 // throttled calls without a record, since the last count
}

// get returns the caller of this name.
func (c *callers) get(name string) *caller {
	if v, ok := c.byName.Load(name); ok {
		return v.(*caller)
	}
	if c.n.Load() >= maxCallers {
		// Each gets a new burst. Accounts are made by operators, and that many addresses
		// are worth more than the burst.
		c.byName.Clear()
		c.n.Store(0)
	}
	fresh := &caller{name: strings.Clone(name)}
	fresh.regions.Store(new(map[string][]bucket))
	v, was := c.byName.LoadOrStore(fresh.name, fresh)
	if !was {
		c.n.Add(1)
	}
	return v.(*caller)
}

// in returns the caller's buckets in a region, one for each group.
func (c *caller) in(region string, groups int) []bucket {
	if b, ok := (*c.regions.Load())[region]; ok {
		return b
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := *c.regions.Load()
	if b, ok := known[region]; ok {
		return b
	}
	if len(known) >= maxRegions {
		if c.elsewhere == nil {
			c.elsewhere = make([]bucket, groups)
		}
		return c.elsewhere
	}
	next := make(map[string][]bucket, len(known)+1)
	for k, v := range known {
		next[k] = v
	}
	b := make([]bucket, groups)
	next[strings.Clone(region)] = b
	c.regions.Store(&next)
	return b
}

// noted reports whether a throttled call gets a record of its own.
func (c *caller) noted(now time.Time) bool {
	if c.records.take(throttledRate, now.UnixNano()) {
		return true
	}
	c.dropped.Add(1)
	return false
}

// take takes a token of an account's, or of an address's. If there is none it
// returns whose it would have been.
func (t *throttle) take(g *group, of, region string, identified bool, now time.Time) (overdrawn *caller) {
	if g.off {
		return nil
	}
	from := &t.addresses
	if identified {
		from = &t.accounts
	}
	c := from.get(of)
	if c.in(region, len(t.groups))[g.index].take(g.rate, now.UnixNano()) {
		return nil
	}
	return c
}

// network is what an address is counted as: of IPv6 its /64, as everybody has so
// many addresses in one.
func network(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil || a.Is4() {
		return ip
	}
	p, _ := a.WithZone("").Prefix(64) // 64 suits every IPv6 address
	return p.String()
}

// limit is what the call counts against.
func (c *call) limit() *limit {
	if c.route == nil {
		return c.g.throttle.other
	}
	return c.route.limit
}

// count takes a token of the caller's for the call.
func (c *call) count(g *group) error {
	of := c.req.Account
	if !c.identified() {
		of = network(c.req.SourceIP)
	}
	c.overdrawn = c.g.throttle.take(g, of, c.req.Region, c.identified(), c.start)
	if c.overdrawn == nil {
		return nil
	}
	c.g.cfg.Metrics.throttled.WithLabelValues(g.service, g.name).Inc()
	return api.ThrottlingException()
}

// recordThrottled records how many throttled calls of each account have no record
// of their own.
func (g *Gateway) recordThrottled() {
	for _, v := range g.throttle.accounts.byName.Range {
		c := v.(*caller)
		n := c.dropped.Swap(0)
		if n == 0 {
			continue
		}
		rec := audit.Record{
			UserIdentity:        audit.Identity{AccountID: c.name},
			EventTime:           g.cfg.Now().UTC(),
			EventSource:         "coffer",
			EventName:           "ThrottledRequests",
			SourceIPAddress:     "coffer",
			UserAgent:           "coffer",
			ErrorMessage:        "requests beyond the account's quotas were refused and not recorded singly",
			AdditionalEventData: []byte(`{"requests":` + strconv.FormatInt(n, 10) + `}`),
			EventID:             api.NewID(),
			RequestID:           api.NewID(),
			EventType:           audit.TypeServiceEvent,
			RecipientAccountID:  c.name,
		}
		if err := g.cfg.Log.Append(rec.AppendJSON(nil)); err != nil {
			g.cfg.Logger.Error("throttled requests could not be recorded", "account", c.name, "requests", n, "error", err)
		}
		g.cfg.Logger.Warn("an account sends more requests than its quotas allow", "account", c.name, "requests", n)
	}
}
