// Package gateway is the one gate that every call passes: from outside over
// HTTP, and between services through api.Caller.
//
//	route     credential scope and target name service, region, operation
//	identify  the signature is verified, the access key names the principal
//	decode    the protocol's codec fills the input; the model's constraints hold
//	resolve   the service says which resources the call is about
//	authorize the one decision; nothing about a resource is revealed before it
//	handle    the service's function, in the transaction that resolved
//	record    the audit record: with the mutation's own commit, or written
//	          to the log before a read's or a refusal's answer leaves
//	encode    the codec writes the answer, or the error
//
// It promises: no handler runs without a decision; no answer leaves without a
// record, and when the log cannot be written calls fail closed; an error that
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
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"coffer/internal/api"
	"coffer/internal/audit"
	"coffer/internal/fault"
	"coffer/internal/sigv4"
	"coffer/internal/table"
	"coffer/internal/wire/awsjson"
)

// MaxBody is the largest request body, in bytes. AWS documents no figure for
// the JSON services; "about 1 MB" is what clients see.
const MaxBody = 1 << 20

// Config says what the gate connects.
type Config struct {
	DB         *table.DB
	Log        *audit.Log
	Outbox     *Outbox
	Operations []api.Bound    // those that are served
	Services   []*api.Service // every service whose target prefix is known
	Logger     *slog.Logger
	Metrics    *Metrics
	Now        func() time.Time // time.Now if nil

	// Crowded, if set, tells that most connections that can be served are taken.
	Crowded func() bool

	// TrustAccount, if set, makes the gate believe every access key id without
	// verifying a signature: a 12-digit id is its account, any other belongs
	// to TrustAccount. Only for `coffer server --dev`.
	TrustAccount string
}

// Gateway is an http.Handler and an api.Caller factory. Safe for concurrent use.
type Gateway struct {
	cfg       Config
	verifier  *sigv4.Verifier
	targets   map[string]*route         // by X-Amz-Target
	prefixes  map[string]*api.Service   // by target prefix
	bound     map[*api.Operation]*route // for calls between services
	strangers strangers
	inFlight  atomic.Int64 // bytes of large bodies being held
}

// route is one operation's way through the gate.
type route struct {
	op      *api.Operation
	bound   *api.Bound // nil: not served
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
		prefixes: make(map[string]*api.Service),
		bound:    make(map[*api.Operation]*route),
	}
	for _, s := range cfg.Services {
		g.prefixes[s.TargetPrefix] = s
		for _, op := range s.Operations {
			rt := &route{op: op, metrics: cfg.Metrics.operation(op)}
			g.targets[s.TargetPrefix+"."+op.Name] = rt
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
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := calls.Get().(*call)
	c.g, c.start = g, g.cfg.Now()
	c.records = c.ownRecords[:0]
	c.req = api.Request{
		Context:   r.Context(),
		ID:        c.ids.Next(),
		Time:      c.start.UTC().Truncate(time.Millisecond),
		SourceIP:  sourceIP(r.RemoteAddr),
		UserAgent: r.UserAgent(),
		TLS:       tlsDetails(r),
		Caller:    c,
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
	// takes no body's memory and no reading.
	claim, key, err := g.claimed(c, r)
	if err != nil {
		return nil, err
	}
	body, err := g.readBody(w, r)
	defer g.releaseBody(body)
	if err != nil {
		return nil, err
	}
	if err := g.identify(c, r, *body, claim, key); err != nil {
		return nil, err
	}
	if err := g.route(c, r); err != nil {
		return nil, err
	}
	c.in = c.route.op.NewInput()
	if err := awsjson.Decode(*body, c.in); err != nil {
		c.in = nil
		return nil, err
	}
	if err := api.Validate(c.in); err != nil {
		return nil, err
	}
	return g.handle(c)
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

// route finds the operation of an identified request.
func (g *Gateway) route(c *call, r *http.Request) error {
	if c.service == nil && validService(c.scope) {
		names := make([]string, len(g.cfg.Services))
		for i, s := range g.cfg.Services {
			names[i] = s.SigningName
		}
		return api.UnknownOperationException("Coffer does not serve " + c.scope + "; it serves " + strings.Join(names, " and ") + ".")
	}
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return api.UnknownOperationException("")
	}
	if !jsonContent(r.Header.Get("Content-Type")) {
		return api.UnknownOperationException("")
	}
	if c.route == nil {
		return api.UnknownOperationException("")
	}
	if c.route.bound == nil {
		return api.NotServed(c.route.op)
	}
	return nil
}

// routeHint looks at the target without believing it: errors found before
// the operation is known are still answered in the service's own form.
func (g *Gateway) routeHint(c *call, r *http.Request) {
	target := r.Header["X-Amz-Target"]
	if len(target) != 1 {
		c.query = strings.HasPrefix(r.Header.Get("Content-Type"), queryContent)
		return
	}
	c.route = g.targets[target[0]]
	if c.route != nil {
		c.service = c.route.op.Service
		c.req.Op = c.route.op
		return
	}
	if prefix, _, ok := strings.Cut(target[0], "."); ok {
		c.service = g.prefixes[prefix]
	}
}

// validService reports whether s can be the name of a service, and so be said in
// an answer.
func validService(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// queryContent is the content type of the Query protocol, which CLIs use for
// services that are not here.
const queryContent = "application/x-www-form-urlencoded"

// jsonContent reports whether a Content-Type is AWS JSON 1.1, the protocol of
// every service served so far.
func jsonContent(ct string) bool {
	if ct == "application/x-amz-json-1.1" {
		return true
	}
	ct, _, _ = strings.Cut(ct, ";")
	return strings.EqualFold(strings.TrimSpace(ct), "application/x-amz-json-1.1")
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
		err = g.cfg.DB.View(ctx, c.running)
	case api.Write:
		c.records = nil // the outbox keeps them
		err = g.cfg.DB.Update(ctx, c.runRecorded)
		if err != nil && c.out != nil {
			c.records = nil // they tell of a success that did not happen
		}
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

var bodies = sync.Pool{New: func() any { return new([]byte) }}

// Bodies that grew beyond this are left to the collector rather than pooled,
// and count among the bytes in flight.
const pooledBody = 16 << 10

// readBody reads the whole body into a pooled buffer, at most MaxBody. Memory
// grows with what has arrived, not with what was announced, and all large bodies
// together hold at most bodiesInFlight bytes.
func (g *Gateway) readBody(w http.ResponseWriter, r *http.Request) (*[]byte, error) {
	buf := bodies.Get().(*[]byte)
	b := (*buf)[:0]
	if r.ContentLength > MaxBody {
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
		case len(b) > MaxBody:
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

func sourceIP(remote string) string {
	if i := strings.LastIndexByte(remote, ':'); i >= 0 {
		return strings.Trim(remote[:i], "[]")
	}
	return remote
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
