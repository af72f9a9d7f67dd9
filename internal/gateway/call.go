package gateway

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"coffer/internal/api"
	"coffer/internal/fault"
	"coffer/internal/iam"
	"coffer/internal/policy"
	"coffer/internal/sigv4"
	"coffer/internal/table"
	"coffer/internal/wire/awsjson"
	"coffer/internal/wire/awsquery"
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
	query    bool          // the request speaks the Query protocol
	form     awsquery.Form // of a Query request
	scope    string        // the service it was signed for

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
	c        *call
	req      api.Request
	via      [1]string
	verdicts verdicts
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
	if err := c.recordEvents(c.route.op.Service); err != nil {
		return err
	}
	return c.g.cfg.Outbox.put(tx, c.req.Time, c.req.ID, c.records)
}

// Call implements api.Caller: the same gate and transaction, the same principal,
// and the service it came through.
func (c *call) Call(r *api.Request, op *api.Operation, in api.Struct) (api.Struct, error) {
	rt := c.g.bound[op]
	if rt == nil || rt.bound == nil {
		return nil, fmt.Errorf("gateway: %s called %s, which is not served", r.Op.Action(), op.Action())
	}
	// A read has room for one at a time, used again and again. A mutation's may
	// be kept by what After registers.
	i, authorizing := &c.inner, c.methods.inside
	if c.arena == nil || i.req.Op != nil {
		i = new(inner)
		authorizing = i.authorize
	}
	i.c = c
	i.req = api.Request{
		Context:   r.Context,
		ID:        r.ID,
		Time:      r.Time,
		Op:        op,
		Input:     in,
		Principal: r.Principal,
		Account:   r.Account,
		Region:    r.Region,
		SourceIP:  r.Op.Service.EventSource,
		UserAgent: r.Op.Service.EventSource,
		Secure:    r.Secure,
		Directory: r.Directory,
		Read:      r.Read,
		Via:       append(append(i.via[:0], r.Via...), r.Op.Service.EventSource),
		Tx:        r.Tx,
		Caller:    c,
	}
	err := api.Validate(in)
	var out api.Struct
	if err == nil {
		out, err = rt.bound.Run(&i.req, in, authorizing)
	}
	for _, f := range i.req.TakeAfter() {
		r.After(f)
	}
	for _, e := range i.req.TakeEvents() {
		r.Emit(e)
	}
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
	if s == nil && c.query || s != nil && speaksQuery(s) {
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
	if c.query {
		b = awsquery.Append(b, c.route.op, out, c.req.ID)
	} else {
		b = awsjson.Append(b, out)
	}
	c.write(w, http.StatusOK, b)
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
	if c.service == nil && c.scope == "s3" {
		// Not served, but its clients show the text that says so only in their own form.
		c.writeAs(w, "application/xml", awsjson.Status(nil, fe), awsquery.AppendS3Error(nil, fe, c.req.ID))
		return
	}
	if c.query {
		c.write(w, awsquery.Status(c.service, fe), awsquery.AppendError(nil, c.service, fe, c.req.ID))
		return
	}
	c.write(w, awsjson.Status(c.service, fe), awsjson.AppendError(nil, c.service, fe))
}

// writeAs is write of another content type.
func (c *call) writeAs(w http.ResponseWriter, contentType string, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Amzn-Requestid", c.req.ID)
	w.WriteHeader(status)
	w.Write(body) // a client that went away is not our error
}

func (c *call) write(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	// Assigned, not Set: these are the canonical forms already.
	h["Content-Type"] = contentType
	if c.query {
		h["Content-Type"] = queryContentType
	}
	h["X-Amzn-Requestid"] = []string{c.req.ID}
	if len(body) > lengthKnown {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	w.Write(body) // a client that went away is not our error
}

// lengthKnown is the length of body up to which net/http finds it out by itself
// (it buffers as much), and cheaper: without copying a header.
const lengthKnown = 2 << 10

var (
	contentType      = []string{"application/x-amz-json-1.1"}
	queryContentType = []string{awsquery.ContentType}
)

func (c *call) action() string {
	if c.req.Op != nil {
		return c.req.Op.Action()
	}
	return "unknown"
}
