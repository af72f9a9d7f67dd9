package gateway

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"coffer/internal/api"
	"coffer/internal/audit"
	"coffer/internal/fault"
	"coffer/internal/policy"
)

// Strangers are callers that were not identified: no, wrong or unknown
// credentials. Each of their requests is refused and recorded like any other, up
// to a rate: beyond it they would fill the disk with records and so stop the
// server for everybody. What goes beyond is counted, and the count recorded once a second.
const (
	strangersBurst, strangersPerSecond = 2000, 50  // of all sources
	sourceBurst, sourcePerSecond       = 500, 20   // of one address; of IPv6, one network
	maxSources                         = 4096      // addresses told apart; further ones share the common rate
	strangerText                       = 256       // bytes of a stranger's user agent and error text that are recorded
	strangerParameters                 = 2 << 10   // bytes of request parameters; more are not recorded
	maxAccessKeyID                     = 128       // AWS: access key ids have at most 128 characters
	bodiesInFlight                     = 64 << 20  // bytes
	uploadsInFlight                    = 192 << 20 // bytes: two of the largest
)

var (
	strangersRate = newRate(strangersPerSecond, strangersBurst)
	sourceRate    = newRate(sourcePerSecond, sourceBurst)
)

type strangers struct {
	mu      sync.Mutex
	all     bucket
	sources map[string]*bucket
	dropped int
	of      map[string]struct{} // addresses whose requests were dropped; bounded like sources
}

// take reports whether a refusal may have a record of its own.
func (s *strangers) take(source string, now time.Time) bool {
	source = network(source)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.sources[source]
	if b == nil {
		if len(s.sources) >= maxSources || s.sources == nil {
			// Forgetting them all gives each a new burst; the common rate still holds.
			s.sources = make(map[string]*bucket)
		}
		b = new(bucket)
		s.sources[source] = b
	}
	if n := now.UnixNano(); b.take(sourceRate, n) && s.all.take(strangersRate, n) {
		return true
	}
	s.dropped++
	if s.of == nil {
		s.of = make(map[string]struct{})
	}
	if len(s.of) < maxSources {
		s.of[source] = struct{}{}
	}
	return false
}

// summary returns and forgets what was dropped.
func (s *strangers) summary() (requests, sources int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests, sources = s.dropped, len(s.of)
	s.dropped, s.of = 0, nil
	return requests, sources
}

// Run records once a second how many refused strangers and throttled calls have no
// record of their own, until ctx ends.
func (g *Gateway) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			g.recordStrangers()
			g.recordThrottled()
			return
		case <-tick.C:
			g.recordStrangers()
			g.recordThrottled()
		}
	}
}

func (g *Gateway) recordStrangers() {
	requests, sources := g.strangers.summary()
	if requests == 0 {
		return
	}
	rec := audit.Record{
		EventTime:           g.cfg.Now().UTC(),
		EventSource:         "coffer",
		EventName:           "RefusedRequests",
		SourceIPAddress:     "coffer",
		UserAgent:           "coffer",
		ErrorMessage:        "requests without valid credentials were refused and not recorded singly",
		AdditionalEventData: []byte(`{"requests":` + strconv.Itoa(requests) + `,"sources":` + strconv.Itoa(sources) + `}`),
		EventID:             api.NewID(),
		RequestID:           api.NewID(),
		EventType:           audit.TypeServiceEvent,
	}
	if err := g.cfg.Log.Append(rec.AppendJSON(nil)); err != nil {
		g.cfg.Logger.Error("refused requests could not be recorded", "requests", requests, "sources", sources, "error", err)
	}
	g.cfg.Logger.Warn("many requests without valid credentials were refused", "requests", requests, "sources", sources)
}

// identified reports whether the caller is one of ours. One whom an identity provider
// vouches for is not, before a role lets it in: with a provider for a public service
// that can be anybody in the world.
func (c *call) identified() bool {
	switch c.req.Principal.Type {
	case policy.Anonymous, policy.WebIdentity, policy.SAMLIdentity:
		return false
	}
	return true
}

// shorten cuts what a stranger can make long in a record.
func shorten(s string) string {
	if len(s) > strangerText {
		return s[:strangerText] + "..."
	}
	return s
}

// devGuard keeps web pages away from a --dev server, which believes every
// access key: a page of another origin cannot send the headers of an AWS request without a
// preflight that is never granted, but one whose host name was rebound to
// 127.0.0.1 can. AWS tools name a loopback host and send neither header.
func devGuard(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
	site := r.Header.Get("Sec-Fetch-Site")
	if !local || r.Header.Get("Origin") != "" || site != "" && site != "none" {
		return fault.New(fault.Denied, "AccessDeniedException",
			"A server started with --dev answers local tools only: not web pages, and only under localhost or a loopback address.")
	}
	return nil
}
