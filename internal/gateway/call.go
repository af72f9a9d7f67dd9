package gateway

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"coffer/internal/api"
	"coffer/internal/arn"
	"coffer/internal/fault"
	"coffer/internal/iam"
	"coffer/internal/policy"
	"coffer/internal/sigv4"
	"coffer/internal/table"
	"coffer/internal/wire/awsquery"
	"coffer/internal/wire/restjson"
)

// call is one request's state in the gate, and the api.Caller that its handler
// reaches other services through.
type call struct {
	g       *Gateway
	req     api.Request
	start   time.Time
	service *api.Service // nil when even that is unknown
	route   *route       // nil when the operation is unknown
	in      api.Struct   // nil until decoded

	claim     sigv4.Claim
	holder    holder        // of the claim's access key
	unsigned  error         // why a request without signature is refused, if its operation needs one
	standing  *iam.Standing // what applies to the caller, in the transaction under way
	verdicts  verdicts
	overdrawn *caller // who has called too often; nil: nobody

	records  [][]byte // audit records in the order their calls ended
	refusals [][]byte // those of records that tell of a failure of an inner call
	arena    *[]byte  // pooled memory of a read's records; nil in a mutation, whose records live on
	recorded bool     // records are committed with the mutation
	code     string   // the error answered, empty for success
	ids      api.IDs
	protocol protocol
	form     awsquery.Form   // of a Query request
	labels   restjson.Labels // of a REST request
	scope    string          // the service it was signed for
	untimed  bool            // its connection has no deadlines

	// What the usual read needs and would allocate one by one: memory for its
	// records and its call to KMS, and its methods as functions.
	ownRecords [4][]byte
	inner      inner
	out        api.Struct
	methods    methods
}

// methods are those of a call that are passed on as functions. A call keeps its own.
type methods struct {
	findingKey  func(*table.Tx) error
	loading     func(*table.Tx) error
	running     func(*table.Tx) error
	authorizing func(*api.Access) error
	inside      func(*api.Access) error // authorizing, for the call between services
	reading     func(func(*table.Tx) error) error
}

// inner is a call between services.
type inner struct {
	c           *call
	req         api.Request
	via         [1]string
	verdicts    verdicts
	authorizing func(*api.Access) error // authorize
}

func newCall() *call {
	c := new(call)
	c.methods = methods{c.findKey, c.load, c.run, c.authorize, c.inner.authorize, c.read}
	return c
}

// begin starts a run of the handler. The transaction may run it again.
func (c *call) begin(tx *table.Tx) {
	c.req.Tx = tx
	c.req.Allowed, c.req.AlsoAllowed = policy.Allowed{}, nil
	c.req.TakeAfter()
	c.req.TakeEvents()
	c.records, c.refusals = c.records[:0], nil
	if c.arena != nil {
		*c.arena = (*c.arena)[:0]
	}
	c.standing = nil
	c.verdicts.forget()
}

// run runs the handler.
func (c *call) run(tx *table.Tx) (err error) {
	c.begin(tx)
	c.out, err = c.route.bound.Run(&c.req, c.in, c.methods.authorizing)
	return err
}

// read is api.Request.Read.
func (c *call) read(f func(*table.Tx) error) error { return c.g.cfg.DB.View(c.req.Context, f) }

// write is api.Request.Write.
func (c *call) write(f func(*table.Tx) error) error { return c.g.cfg.DB.Update(c.req.Context, f) }

// runRecorded runs the handler and stores the records of what it did in its own
// transaction.
func (c *call) runRecorded(tx *table.Tx) error {
	if err := c.run(tx); err != nil {
		// What the calls inside did is undone with the rest: only their
		// refusals are true.
		c.records = c.refusals
		return err
	}
	c.record(c.out, nil)
	if err := c.recordEvents(&c.req, c.route.op.Service); err != nil {
		return err
	}
	return c.g.cfg.Outbox.put(tx, c.req.Time, c.req.ID, c.records)
}

// Call implements api.Caller: the same gate and transaction, the same principal,
// and the service it came through.
func (c *call) Call(r *api.Request, op *api.Operation, in api.Struct) (api.Struct, error) {
	i := c.newInner(r, op, in)
	i.req.Principal, i.req.Account, i.req.Source = r.Principal, r.Account, r.Source
	i.req.Via = append(append(i.via[:0], r.Via...), i.req.SourceIP)
	return i.call(r)
}

// CallAsService implements api.Caller. Nothing of the caller comes along but the
// network it came by.
func (c *call) CallAsService(r *api.Request, source string, op *api.Operation, in api.Struct) (api.Struct, error) {
	of, err := arn.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("gateway: %s calls for %q: %w", c.serviceOf(r).Name, source, err)
	}
	i := c.newInner(r, op, in)
	i.req.Principal = servicePrincipal(c.serviceOf(r))
	i.req.Account, i.req.Source = of.Account, source
	return i.call(r)
}

// CallWith implements api.Caller.
func (c *call) CallWith(r *api.Request, token api.Sensitive, op *api.Operation, in api.Struct) (api.Struct, error) {
	s, err := c.g.cfg.Tokens.Open(string(token))
	switch {
	case err != nil:
		return nil, fmt.Errorf("gateway: %s calls with a session: %w", c.serviceOf(r).Name, err)
	case s.Type != policy.AssumedRole || s.Expired(r.Time):
		return nil, fmt.Errorf("gateway: %s calls with a session that is over, or of no role", c.serviceOf(r).Name)
	}
	p, err := sessionOf(r.Tx, s, r.Partition())
	if err != nil {
		return nil, err
	}
	i := c.newInner(r, op, in)
	i.req.Principal, i.req.Account = p, p.Account
	i.req.Via = append(i.via[:0], i.req.SourceIP)
	return i.call(r)
}

// servicePrincipal is a service that calls for itself.
func servicePrincipal(s *api.Service) api.Principal {
	return api.Principal{Caller: policy.Caller{Type: policy.AWSService, Service: s.EventSource}}
}

// serviceOf is the service that handles r, or whose worker makes it.
func (c *call) serviceOf(r *api.Request) *api.Service {
	if r.Op != nil {
		return r.Op.Service
	}
	return c.service
}

// newInner begins a call from r's service to another. A read has room for one at a
// time, used again and again. A mutation's may be kept by what After registers.
func (c *call) newInner(r *api.Request, op *api.Operation, in api.Struct) *inner {
	i := &c.inner
	i.authorizing = c.methods.inside
	if c.arena == nil || i.req.Op != nil {
		i = new(inner)
		i.authorizing = i.authorize
	}
	from := c.serviceOf(r).EventSource
	i.c = c
	i.req = api.Request{
		Context:   r.Context,
		ID:        r.ID,
		Time:      r.Time,
		Op:        op,
		Input:     in,
		Region:    r.Region,
		SourceIP:  from,
		UserAgent: from,
		Secure:    r.Secure,
		Directory: r.Directory,
		Read:      r.Read,
		Write:     r.Write,
		Tx:        r.Tx,
		Caller:    c,
	}
	return i
}

// call makes the call and its record: in r's transaction, or in one of its own for a
// caller that has none.
func (i *inner) call(r *api.Request) (out api.Struct, err error) {
	c, op, in := i.c, i.req.Op, i.req.Input
	rt := c.g.bound[op]
	if rt == nil || rt.bound == nil {
		return nil, fmt.Errorf("gateway: %s called %s, which is not served", c.serviceOf(r).Name, op.Action())
	}
	if err = op.Service.Validate(in); err == nil {
		switch {
		case r.Tx != nil, op.Mode == api.Outside:
			out, err = rt.bound.Run(&i.req, in, i.authorizing)
		case op.Mode == api.Write:
			return i.update(r, rt.bound)
		default:
			out, err = i.read(rt.bound)
		}
	}
	i.end(r)
	var fe *fault.Error
	if err != nil {
		fe = c.fault(op.Service, err)
	}
	c.appendRecord(&i.req, in, out, fe, &i.verdicts)
	*i = inner{}
	if fe != nil {
		c.refusals = append(c.refusals, c.records[len(c.records)-1])
	}
	return out, err
}

// read runs a read in a transaction of its own. It is apart from call, whose results would
// else be on the heap for every read, GetSecretValue's Decrypt the first of them.
func (i *inner) read(b *api.Bound) (out api.Struct, err error) {
	err = i.req.Read(func(tx *table.Tx) error {
		i.begin(tx)
		out, err = b.Run(&i.req, i.req.Input, i.authorizing)
		return err
	})
	return out, err
}

// update makes a call that changes something for a caller without a transaction: one
// that reaches outside, or a worker. Its records are committed with it.
func (i *inner) update(r *api.Request, b *api.Bound) (out api.Struct, err error) {
	c, in := i.c, i.req.Input
	id := api.NewID() // the caller's own is that of its own records
	outer := c.records
	var own [][]byte
	err = c.g.updating(c, func(tx *table.Tx) error {
		i.begin(tx)
		c.records, c.refusals = nil, nil
		if out, err = b.Run(&i.req, in, i.authorizing); err != nil {
			return err
		}
		c.appendRecord(&i.req, in, out, nil, &i.verdicts)
		if err := c.recordEvents(&i.req, i.req.Op.Service); err != nil {
			return err
		}
		own = c.records
		return c.g.cfg.Outbox.put(tx, i.req.Time, id, own)
	})
	c.records = outer
	if err != nil {
		c.appendRecord(&i.req, in, nil, c.fault(i.req.Op.Service, err), &i.verdicts)
		return nil, err
	}
	c.g.cfg.Outbox.committed(i.req.Time, id, own)
	i.end(r)
	return out, nil
}

// begin starts a run in a transaction of the inner call's own.
func (i *inner) begin(tx *table.Tx) {
	i.req.Tx = tx
	i.req.Allowed, i.req.AlsoAllowed = policy.Allowed{}, nil
	i.req.TakeAfter()
	i.req.TakeEvents()
	i.verdicts.forget()
	i.c.standing = nil
}

// end hands on what is to come after the transaction.
func (i *inner) end(r *api.Request) {
	i.req.Tx = r.Tx
	for _, f := range i.req.TakeAfter() {
		r.After(f)
	}
	for _, e := range i.req.TakeEvents() {
		r.Emit(e)
	}
}

// record renders the outer call's own record behind those of its inner calls.
func (c *call) record(out api.Struct, fe *fault.Error) {
	c.appendRecord(&c.req, c.in, out, fe, &c.verdicts)
}

// fault makes err fit to be sent, and recorded: in the codes of the service.
func (c *call) fault(s *api.Service, err error) *fault.Error {
	fe, ok := fault.As(err)
	if !ok {
		fe = internalError(s, err)
	}
	if s == nil && c.protocol == queryProtocol || s != nil && protocolOf(s) == queryProtocol {
		translated := *fe
		translated.Code = awsquery.Code(s, fe)
		return &translated
	}
	return fe
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

const pooledAnswer = 16 << 10

// answer records a successful read and sends the output.
func (c *call) answer(w http.ResponseWriter, out api.Struct) {
	if !c.recorded {
		c.record(out, nil)
		if err := c.g.cfg.Log.Append(c.records...); err != nil {
			c.records = nil
			c.g.cfg.Logger.Error("the audit log cannot be written; calls are refused", "request", c.req.ID, "error", err)
			c.send(w, c.fault(c.service, err))
			return
		}
	}
	buf := buffers.Get().(*[]byte)
	b := (*buf)[:0]
	b, status := c.encode(b, w.Header(), out)
	c.reply(w, status, b)
	clear(b) // it may have held a secret
	if cap(b) <= pooledAnswer {
		*buf = b[:0]
		buffers.Put(buf)
	}
}

// refuse records a failed call and sends its error.
func (c *call) refuse(w http.ResponseWriter, err error) {
	fe := c.fault(c.service, err)
	if fe.Kind == fault.Internal || fe.Kind == fault.Unavailable {
		c.g.cfg.Logger.Error("request failed", "request", c.req.ID, "operation", c.action(), "code", fe.Code, "error", err)
	}
	if !c.identified() {
		// A stranger: what it sends is recorded short, and when connections are
		// scarce it must not hold one that others need.
		if c.g.cfg.Crowded != nil && c.g.cfg.Crowded() {
			w.Header().Set("Connection", "close")
		}
		if !c.g.strangers.take(c.req.SourceIP, c.start) {
			c.send(w, fe)
			return
		}
		c.req.UserAgent = shorten(c.req.UserAgent)
		if c.req.TLS != nil {
			c.req.TLS.Host = shorten(c.req.TLS.Host)
		}
		short := *fe
		short.Message = shorten(fe.Message)
		if c.in != nil && len(api.AppendRedacted(nil, c.in)) > strangerParameters {
			c.in = nil
		}
		c.record(nil, &short)
	} else if c.overdrawn != nil && !c.overdrawn.noted(c.start) {
		c.send(w, fe)
		return
	} else {
		c.record(nil, fe)
	}
	if err := c.g.cfg.Log.Append(c.records...); err != nil && fe.Kind != fault.Internal {
		// No record, no answer: not even why it was refused.
		c.g.cfg.Logger.Error("the audit log cannot be written; calls are refused", "request", c.req.ID, "error", err)
		fe = internalError(c.service, err)
	}
	c.send(w, fe)
}

func (c *call) send(w http.ResponseWriter, fe *fault.Error) {
	c.code = fe.Code
	body, status := c.encodeError(w.Header(), fe)
	c.reply(w, status, body)
}

func (c *call) reply(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["X-Amzn-Requestid"] = []string{c.req.ID}
	if len(body) > lengthKnown {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	if c.untimed {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout)) // it could be taken off
	}
	w.WriteHeader(status)
	if len(body) == 0 {
		return // some statuses may have none
	}
	w.Write(body) // a client that went away is not our error
}

// answerTimeout is how long the client of an operation that reaches outside has to take
// the answer in.
const answerTimeout = time.Minute

// lengthKnown is the length of body up to which net/http finds it out by itself
// (it buffers as much), and cheaper: without copying a header.
const lengthKnown = 2 << 10

func (c *call) action() string {
	if c.req.Op != nil {
		return c.req.Op.Action()
	}
	return "unknown"
}
