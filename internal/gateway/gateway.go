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
	"coffer/internal/wire/restjson"
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

	// Downloads, if set, knows what is below api.DownloadPath.
	Downloads api.Downloads

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
	paths     *restjson.Router          // of services that speak REST-JSON
	bound     map[*api.Operation]*route // for calls between services
	throttle  *throttle
	strangers strangers

	downloading downloading
	inFlight    atomic.Int64 // bytes of large bodies being held
	uploads     atomic.Int64 // bytes of bodies being held that may be larger than MaxBody
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
	var rest []*api.Service
	for _, s := range cfg.Services {
		speaks := protocolOf(s)
		switch speaks {
		case jsonProtocol:
			g.prefixes[s.TargetPrefix] = s
		case restProtocol:
			rest = append(rest, s)
		}
		for _, op := range s.Operations {
			rt := &route{op: op, metrics: cfg.Metrics.operation(op), limit: g.throttle.limits[op]}
			switch speaks {
			case jsonProtocol:
				g.targets[s.TargetPrefix+"."+op.Name] = rt
			case queryProtocol:
				g.actions[action{s, op.Name}] = rt
			}
			g.bound[op] = rt
		}
	}
	if g.paths, err = restjson.NewRouter(rest...); err != nil {
		return nil, err
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
		Host:      r.Host,
		TLS:       tlsDetails(r),
		Endpoint:  e,
		Caller:    c,
		Directory: g.directory,
		Read:      c.methods.reading,
	}
	if g.isDownload(r) {
		g.download(c, w, r)
		c.release()
		return
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
	limit := c.maxBody(w)
	body, err := g.readBody(w, r, limit)
	defer g.releaseBody(body, limit)
	if err != nil {
		return nil, c.tooLarge(err)
	}
	if c.unsigned == nil {
		if err := g.identify(c, r, *body); err != nil {
			return nil, err
		}
	}
	if err := c.routed(r, *body); err != nil {
		return nil, err
	}
	if err := c.service.Validate(c.in); err != nil {
		return nil, err
	}
	return g.handle(c, w)
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
	err = c.decode(r, body)
	if l.member != "" {
		if err := c.count(l.of(c.in)); err != nil {
			return err
		}
	}
	return err
}

// maxBody is the most that the body of the call may have, in bytes. Large ones get
// the time they need.
func (c *call) maxBody(w http.ResponseWriter) int {
	switch {
	case c.unsigned != nil:
		return maxUnsigned
	case c.route == nil || c.route.bound == nil || c.route.bound.MaxBody <= MaxBody:
		return MaxBody
	}
	limit := c.route.bound.MaxBody
	// A connection that cannot be given more time keeps what it has.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(uploadGrace + time.Duration(limit/uploadRate)*time.Second))
	return limit
}

// tooLarge puts the refusal of a large body into the words of the operation.
func (c *call) tooLarge(err error) error {
	if fault.Code(err) == "RequestEntityTooLargeException" && c.route != nil && c.route.bound != nil && c.route.bound.TooLarge != nil {
		return c.route.bound.TooLarge.Because(err)
	}
	return err
}

// Uploads beyond MaxBody may take half a minute and as long as a slow line needs.
const (
	uploadGrace = 30 * time.Second
	uploadRate  = 512 << 10 // bytes a second
)

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
func (g *Gateway) handle(c *call, w http.ResponseWriter) (out api.Struct, err error) {
	if err := g.cfg.Log.Err(); err != nil {
		return nil, fmt.Errorf("the audit log cannot be written: %w", err)
	}
	b := c.route.bound
	if err := b.Prepare(&c.req, c.in); err != nil {
		return nil, err
	}
	if b.Stages() {
		if err := g.stage(c); err != nil {
			return nil, err
		}
	}
	ctx := c.req.Context
	switch b.Op.Mode {
	case api.Read:
		c.arena = arenas.Get().(*[]byte)
		err = g.cfg.DB.View(ctx, c.methods.running)
	case api.Write:
		err = g.update(c)
	case api.Outside:
		c.req.Write = c.write
		c.unhurried(w)
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

// stage runs the step that stores what one transaction cannot hold, for a caller who
// may make the call at all.
func (g *Gateway) stage(c *call) error {
	b := c.route.bound
	err := g.cfg.DB.View(c.req.Context, func(tx *table.Tx) error {
		c.begin(tx)
		return b.Authorize(&c.req, c.in, c.methods.authorizing)
	})
	c.req.Tx = nil
	if err != nil {
		return err
	}
	c.req.Write = c.write
	defer func() { c.req.Write = nil }()
	return b.Stage(&c.req, c.in)
}

// maxUpdates bounds how often a mutation is begun again because its caller's
// policies changed meanwhile.
const maxUpdates = 10

// update runs a mutation of a call from outside.
func (g *Gateway) update(c *call) error {
	err := g.updating(c, func(tx *table.Tx) error {
		c.records = nil // the outbox keeps them
		c.out = nil
		return c.runRecorded(tx)
	})
	if err != nil && c.out != nil {
		c.records = nil // they tell of a success that did not happen
	}
	return err
}

// updating runs a transaction that writes. What applies to its caller is loaded
// before, because such a transaction has no room for it; it makes sure that what was
// loaded still holds.
func (g *Gateway) updating(c *call, run func(*table.Tx) error) (err error) {
	for range maxUpdates {
		if err := g.cfg.DB.View(c.req.Context, c.methods.loading); err != nil {
			return err
		}
		err = g.cfg.DB.Update(c.req.Context, run)
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
// together hold a bounded number of bytes.
func (g *Gateway) readBody(w http.ResponseWriter, r *http.Request, limit int) (*[]byte, error) {
	buf := bodies.Get().(*[]byte)
	b := (*buf)[:0]
	inFlight, most := g.budget(limit)
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
			grown := make([]byte, len(b), min(2*cap(b), max(limit+1, cap(b)+1)))
			copy(grown, b)
			clear(b) // it may hold a secret
			if cap(grown) > pooledBody {
				held := int64(cap(grown))
				if cap(b) > pooledBody {
					held -= int64(cap(b))
				}
				inFlight.Add(held)
			}
			b = grown
			*buf = b
			if inFlight.Load() > most {
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

// budget is where the bytes of bodies up to limit are counted, and the most there may
// be. Uploads have one of their own: a few must not keep out what is usual.
func (g *Gateway) budget(limit int) (inFlight *atomic.Int64, most int64) {
	if limit > MaxBody {
		return &g.uploads, uploadsInFlight
	}
	return &g.inFlight, bodiesInFlight
}

// unhurried takes the deadlines off a connection whose operation reaches outside and
// sets its own, up to a quarter of an hour; reply gives the answer its time.
func (c *call) unhurried(w http.ResponseWriter) {
	rc := http.NewResponseController(w)
	if rc.SetReadDeadline(time.Time{}) != nil || rc.SetWriteDeadline(time.Time{}) != nil {
		return // it keeps those it has
	}
	c.untimed = true
}

// releaseBody wipes a buffer, which may have held a secret, and returns it.
func (g *Gateway) releaseBody(buf *[]byte, limit int) {
	if buf == nil {
		return
	}
	clear(*buf)
	if cap(*buf) > pooledBody {
		inFlight, _ := g.budget(limit)
		inFlight.Add(-int64(cap(*buf)))
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
