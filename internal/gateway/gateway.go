// Package gateway is the one gate that every call passes: from outside over
// HTTP, and between services through api.Caller.
//
//	route     credential scope and target name service, region, operation
//	identify  the signature is verified, the access key names the principal
//	throttle  a token of the caller's account, region and group of operations
//	decode    the protocol's codec fills the input; the model's constraints hold
//	resolve   the service says which resources the call is about
//	authorize the one decision (package iam); nothing about a resource is
//	          revealed before it
//	handle    the service's function, in the transaction that resolved
//	record    the audit record: with the mutation's own commit, or written
//	          to the log before a read's or a refusal's answer leaves
//	encode    the codec writes the answer, or the error
//
// It promises: no handler runs without a decision; no answer leaves without a
// record (refusals of strangers and of callers beyond their quotas share one from a
// rate on), and when the log cannot be written calls fail closed; an error that
// is not a fault.Error is logged whole and answered without detail; a panic
// anywhere is such an error.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"coffer/internal/api"
	"coffer/internal/audit"
	"coffer/internal/fault"
	"coffer/internal/iam"
	"coffer/internal/session"
	"coffer/internal/sigv4"
	"coffer/internal/table"
)

// MaxBody is the largest request body, in bytes. AWS documents no figure for
// the JSON services; "about 1 MB" is what clients see.
const MaxBody = 1 << 20

// maxUnsigned is the largest body without a signature, in bytes: a SAML
// assertion of 100,000 characters, percent-encoded, and a session policy.
const maxUnsigned = 384 << 10

// Config says what the gate connects.
type Config struct {
	DB         *table.DB
	Directory  *iam.Directory
	KeyARN     func(tx *table.Tx, account, region, alias string) (string, error) // of package kms; see api.Directory
	Tokens     *session.Tokens
	Needs      map[*api.Service]api.Needs // of the services that WhoCan knows
	Log        *audit.Log
	Outbox     *Outbox
	Operations []api.Bound    // those that are served
	Services   []*api.Service // every service that is known
	Region     string         // of requests that do not say: those without a signature; it gives the partition of all
	Logger     *slog.Logger
	Metrics    *Metrics
	Now        func() time.Time // time.Now if nil

	// Crowded, if set, tells that most connections that can be served are taken.
	Crowded func() bool

	// Proxies are the addresses whose X-Forwarded-For and X-Forwarded-Proto are
	// believed.
	Proxies []netip.Prefix

	// Throttle is how fast accounts may call.
	Throttle Throttle

	// TrustAccount, if set, makes the gate believe an access key id that it does not know
	// without verifying a signature: a 12-digit id is the root of that account, any other
	// the root of TrustAccount. Only for `coffer server --dev`.
	TrustAccount string
}

// Gateway is an http.Handler and an api.Caller factory. Safe for concurrent use.
type Gateway struct {
	cfg       Config
	directory api.Directory
	verifier  *sigv4.Verifier
	targets   map[string]*route         // by X-Amz-Target
	prefixes  map[string]*api.Service   // by target prefix
	actions   map[action]*route         // of services that speak Query
	bound     map[*api.Operation]*route // for calls between services
	throttle  *throttle
	strangers strangers
	inFlight  atomic.Int64 // bytes of large bodies being held
}

// directory is api.Directory: principals are known to package iam, keys to
// package kms.
type directory struct {
	*iam.Directory
	g *Gateway
}

// KeyARN implements api.Directory.
func (d directory) KeyARN(tx *table.Tx, account, region, alias string) (string, error) {
	return d.g.cfg.KeyARN(tx, account, region, alias)
}

// route is one operation's way through the gate.
type route struct {
	op      *api.Operation
	bound   *api.Bound // nil: not served
	limit   *limit
	metrics opMetrics
}

// New builds the gate's tables. It fails on an operation bound twice, or bound
// but not on the committed list of served operations, or listed but not bound.
func New(cfg Config) (*Gateway, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	g := &Gateway{
		cfg:      cfg,
		verifier: sigv4.New(sigv4.Config{}),
		targets:  make(map[string]*route),
		actions:  make(map[action]*route),
		prefixes: make(map[string]*api.Service),
		bound:    make(map[*api.Operation]*route),
	}
	g.directory = directory{cfg.Directory, g}
	var err error
	if g.throttle, err = newThrottle(&cfg.Throttle, cfg.Services); err != nil {
		return nil, err
	}
	for _, s := range cfg.Services {
		query := speaksQuery(s)
		if !query {
			g.prefixes[s.TargetPrefix] = s
		}
		for _, op := range s.Operations {
			rt := &route{op: op, metrics: cfg.Metrics.operation(op), limit: g.throttle.limits[op]}
			if query {
				g.actions[action{s, op.Name}] = rt
			} else {
				g.targets[s.TargetPrefix+"."+op.Name] = rt
			}
			g.bound[op] = rt
		}
	}
	for i := range cfg.Operations {
		b := &cfg.Operations[i]
		rt := g.bound[b.Op]
		switch {
		case rt == nil:
			return nil, fmt.Errorf("gateway: %s is bound but its service is not listed", b.Op.Action())
		case rt.bound != nil:
			return nil, fmt.Errorf("gateway: %s is bound twice", b.Op.Action())
		case b.Op.Mode == api.Unserved:
			return nil, fmt.Errorf("gateway: %s is bound but not on the list of served operations", b.Op.Action())
		}
		rt.bound = b
	}
	for op, rt := range g.bound {
		if op.Mode != api.Unserved && rt.bound == nil {
			return nil, fmt.Errorf("gateway: %s is on the list of served operations but not bound", op.Action())
		}
	}
	return g, nil
}

// calls are pooled: one is the largest thing that a read would allocate. So
// nothing may keep a *api.Request of a call from outside beyond the call.
var calls = sync.Pool{New: func() any { return newCall() }}

// ServeHTTP takes one request through the gate.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.serve(w, r, nil) }

// Through returns the gate as it is seen through an endpoint, which current
// tells for each request anew: its policy can change.
func (g *Gateway) Through(current func() *api.Endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(w, r, current()) })
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, e *api.Endpoint) {
	c := calls.Get().(*call)
	c.g, c.start = g, g.cfg.Now()
	c.records = c.ownRecords[:0]
	ip, secure := g.client(r)
	c.req = api.Request{
		Context:   r.Context(),
		ID:        c.ids.Next(),
		Time:      c.start.UTC().Truncate(time.Millisecond),
		SourceIP:  ip,
		UserAgent: r.UserAgent(),
		Referer:   r.Referer(),
		Secure:    secure,
		TLS:       tlsDetails(r),
		Endpoint:  e,
		Caller:    c,
		Directory: g.directory,
		Read:      c.methods.reading,
	}
	out, err := g.pass(c, w, r)
	if err != nil {
		c.refuse(w, err)
	} else {
		c.answer(w, out)
	}
	c.observe()
	c.release()
}

// pass runs the pipeline up to the encoded answer. A returned error has not
// been recorded yet.
func (g *Gateway) pass(c *call, w http.ResponseWriter, r *http.Request) (out api.Struct, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = g.panicked(c, v)
		}
	}()
	// Who has no valid access key id is refused by the head of the request: it
	// takes no body's memory and no reading. What needs no signature is short.
	if err := g.claimed(c, r); err != nil {
		return nil, err
	}
	limit := MaxBody
	if c.unsigned != nil {
		limit = maxUnsigned
	}
	body, err := g.readBody(w, r, limit)
	defer g.releaseBody(body)
	if err != nil {
		return nil, err
	}
	if c.unsigned == nil {
		if err := g.identify(c, r, *body); err != nil {
			return nil, err
		}
	}
	if err := c.routed(r, *body); err != nil {
		return nil, err
	}
	if err := api.Validate(c.in); err != nil {
		return nil, err
	}
	return g.handle(c)
}

// routed finds the call's operation and decodes its input, if the caller has not
// called too often: whatever is wrong with a call, it counts. That is known before
// the input is decoded, except where the quota depends on it.
func (c *call) routed(r *http.Request, body []byte) error {
	err := c.g.route(c, r, body)
	if err != nil && !c.identified() {
		return err // strangers are refused anyway
	}
	l := c.limit()
	if err != nil || l.member == "" {
		if err := c.count(l.group); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	err = c.decode(body)
	if l.member != "" {
		if err := c.count(l.of(c.in)); err != nil {
			return err
		}
	}
	return err
}

func (g *Gateway) panicked(c *call, v any) error {
	// A panic's value may hold request data; only the runtime's own errors
	// are known to be free of it.
	what := fmt.Sprintf("%T", v)
	if re, ok := v.(runtime.Error); ok {
		what = re.Error()
	}
	g.cfg.Logger.Error("panic in a request", "request", c.req.ID, "operation", c.action(), "panic", what, "stack", string(debug.Stack()))
	return fmt.Errorf("panic: %s", what)
}

// handle runs the operation in the transaction its mode asks for.
func (g *Gateway) handle(c *call) (out api.Struct, err error) {
	if err := g.cfg.Log.Err(); err != nil {
		return nil, fmt.Errorf("the audit log cannot be written: %w", err)
	}
	b := c.route.bound
	if err := b.Prepare(&c.req, c.in); err != nil {
		return nil, err
	}
	ctx := c.req.Context
	switch b.Op.Mode {
	case api.Read:
		c.arena = arenas.Get().(*[]byte)
		err = g.cfg.DB.View(ctx, c.methods.running)
	case api.Write:
		err = g.update(c)
	case api.Outside:
		err = c.run(nil)
	default:
		err = fmt.Errorf("gateway: %s has mode %d", b.Op.Action(), b.Op.Mode)
	}
	c.req.Tx = nil
	if err != nil {
		return nil, err
	}
	if b.Op.Mode == api.Write {
		c.recorded = true
		g.cfg.Outbox.committed(c.req.Time, c.req.ID, c.records)
	}
	for _, f := range c.req.TakeAfter() {
		f()
	}
	return c.out, nil
}

// maxUpdates bounds how often a mutation is begun again because its caller's
// policies changed meanwhile.
const maxUpdates = 10

// update runs a mutation. What applies to its caller is loaded before, because
// a transaction that writes has no room for it; the transaction makes sure that
// it still holds.
func (g *Gateway) update(c *call) (err error) {
	for range maxUpdates {
		if err := g.cfg.DB.View(c.req.Context, c.methods.loading); err != nil {
			return err
		}
		c.records = nil // the outbox keeps them
		c.out = nil
		err = g.cfg.DB.Update(c.req.Context, c.runRecorded)
		if err != nil && c.out != nil {
			c.records = nil // they tell of a success that did not happen
		}
		if !errors.Is(err, iam.ErrChanged) {
			return err
		}
	}
	return api.ServiceUnavailableException("The policies that apply to the caller keep changing. Please try again.").Because(err)
}

var bodies = sync.Pool{New: func() any { return new([]byte) }}

// Bodies that grew beyond this are left to the collector rather than pooled,
// and count among the bytes in flight.
const pooledBody = 16 << 10

// readBody reads the whole body into a pooled buffer, at most limit bytes. Memory
// grows with what has arrived, not with what was announced, and all large bodies
// together hold at most bodiesInFlight bytes.
func (g *Gateway) readBody(w http.ResponseWriter, r *http.Request, limit int) (*[]byte, error) {
	buf := bodies.Get().(*[]byte)
	b := (*buf)[:0]
	if r.ContentLength > int64(limit) {
		w.Header().Set("Connection", "close")
		return buf, api.RequestEntityTooLargeException()
	}
	if cap(b) == 0 {
		b = make([]byte, 0, 1024)
		*buf = b
	}
	for {
		if len(b) == cap(b) {
			grown := make([]byte, len(b), 2*cap(b))
			copy(grown, b)
			clear(b) // it may hold a secret
			if cap(grown) > pooledBody {
				held := int64(cap(grown))
				if cap(b) > pooledBody {
					held -= int64(cap(b))
				}
				g.inFlight.Add(held)
			}
			b = grown
			*buf = b
			if g.inFlight.Load() > bodiesInFlight {
				w.Header().Set("Connection", "close")
				return buf, api.ServiceUnavailableException("Too many large requests are under way. Please try again.")
			}
		}
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		*buf = b
		switch {
		case len(b) > limit:
			w.Header().Set("Connection", "close")
			return buf, api.RequestEntityTooLargeException()
		case err == io.EOF:
			return buf, nil
		case err != nil:
			w.Header().Set("Connection", "close")
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return buf, api.RequestTimeoutException()
			}
			return buf, api.SerializationException("The request body ended before its declared length.").Because(err)
		}
	}
}

// releaseBody wipes a buffer, which may have held a secret, and returns it.
func (g *Gateway) releaseBody(buf *[]byte) {
	if buf == nil {
		return
	}
	clear(*buf)
	if cap(*buf) > pooledBody {
		g.inFlight.Add(-int64(cap(*buf)))
		return
	}
	*buf = (*buf)[:0]
	bodies.Put(buf)
}

// internalError is what the client sees of an untyped error: no detail.
func internalError(s *api.Service, cause error) *fault.Error {
	switch {
	case errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded):
		return api.ServiceUnavailableException("The request was not finished in time.").Because(cause)
	case s == nil:
		return api.InternalFailure(cause)
	}
	return s.Internal(cause)
}
