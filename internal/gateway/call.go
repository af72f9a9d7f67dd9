package gateway

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"coffer/internal/api"
	"coffer/internal/arn"
	"coffer/internal/audit"
	"coffer/internal/fault"
	"coffer/internal/iam"
	"coffer/internal/policy"
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

	resource string   // the ARN the operation's own access was decided on
	records  [][]byte // audit records in the order their calls ended
	refusals [][]byte // those of records that tell of a failure of an inner call
	arena    *[]byte  // pooled memory of a read's records; nil in a mutation, whose records live on
	recorded bool     // records are committed with the mutation
	code     string   // the error answered, empty for success
	ids      api.IDs
	query    bool   // the request speaks the Query protocol
	scope    string // the service it was signed for

	// What the usual read needs and would allocate one by one: memory for its
	// records and its call to KMS, and its methods as functions.
	ownRecords  [4][]byte
	inner       inner
	out         api.Struct
	keyID       string
	key         *iam.AccessKey
	findingKey  func(*table.Tx) error
	running     func(*table.Tx) error
	authorizing func(*api.Access) error
}

// inner is a call between services.
type inner struct {
	req         api.Request
	via         [1]string
	resource    string
	authorizing func(*api.Access) error
}

func newCall() *call {
	c := new(call)
	c.findingKey, c.running, c.authorizing, c.inner.authorizing = c.findKey, c.run, c.authorize, c.inner.authorize
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
	c.resource = ""
}

// run runs the handler.
func (c *call) run(tx *table.Tx) (err error) {
	c.begin(tx)
	c.out, err = c.route.bound.Run(&c.req, c.in, c.authorizing)
	return err
}

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

// authorize is the one place where calls from outside are decided.
func (c *call) authorize(a *api.Access) error {
	c.resource = a.Resource
	return authorize(&c.req, a)
}

func (i *inner) authorize(a *api.Access) error {
	i.resource = a.Resource
	return authorize(&i.req, a)
}

// authorize decides an access and all that hang on it, and leaves the proofs in
// the request only if every one of them is allowed.
func authorize(r *api.Request, a *api.Access) error {
	allowed, err := decide(r, a)
	if err != nil {
		return err
	}
	var also []policy.Allowed
	for i := range a.Also {
		if len(a.Also[i].Also) > 0 { // fail closed: what is not looked at is not allowed
			return fmt.Errorf("gateway: nested accesses of %s", r.Op.Action())
		}
		p, err := decide(r, &a.Also[i])
		if err != nil {
			return err
		}
		also = append(also, p)
	}
	r.Allowed, r.AlsoAllowed = allowed, also
	return nil
}

// decide evaluates one access.
func decide(r *api.Request, a *api.Access) (policy.Allowed, error) {
	action := a.Action
	if action == "" {
		action = r.Op.Action()
	}
	account := a.Account
	if a.Resource == "" {
		account = r.Account // an operation without a resource is about the caller's account
	}
	allowed, denial := policy.Evaluate(&policy.Request{
		Principal:        r.Principal.ARN,
		PrincipalAccount: r.Principal.Account,
		Root:             r.Principal.Type == "Root",
		Action:           action,
		Resource:         a.Resource,
		ResourceAccount:  account,
		Named:            a.Named,
	})
	if denial != nil {
		return policy.Allowed{}, api.AccessDeniedException(denial.Message())
	}
	if !allowed.Valid() { // fail closed: no decision, no answer
		return policy.Allowed{}, fmt.Errorf("gateway: no decision on %s", action)
	}
	return allowed, nil
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
	i := &c.inner
	if c.arena == nil || i.req.Op != nil {
		i = new(inner)
		i.authorizing = i.authorize
	}
	i.req = api.Request{
		Context:   r.Context,
		ID:        r.ID,
		Time:      r.Time,
		Op:        op,
		Principal: r.Principal,
		Account:   r.Account,
		Region:    r.Region,
		SourceIP:  r.Op.Service.EventSource,
		UserAgent: r.Op.Service.EventSource,
		Via:       append(append(i.via[:0], r.Via...), r.Op.Service.EventSource),
		Tx:        r.Tx,
		Caller:    c,
	}
	err := api.Validate(in)
	var out api.Struct
	if err == nil {
		out, err = rt.bound.Run(&i.req, in, i.authorizing)
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
	c.appendRecord(&i.req, in, out, fe, i.resource)
	*i = inner{authorizing: i.authorizing}
	if fe != nil {
		c.refusals = append(c.refusals, c.records[len(c.records)-1])
	}
	return out, err
}

// record renders the outer call's own record behind those of its inner calls.
func (c *call) record(out api.Struct, fe *fault.Error) {
	c.appendRecord(&c.req, c.in, out, fe, c.resource)
}

// fault makes err fit to be sent.
func (c *call) fault(s *api.Service, err error) *fault.Error {
	if fe, ok := fault.As(err); ok {
		return fe
	}
	return internalError(s, err)
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
	b := awsjson.Append((*buf)[:0], out)
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
		c.record(nil, &short)
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
	if c.query {
		body, status := awsquery.Error(fe, c.req.ID)
		c.write(w, status, body)
		return
	}
	c.write(w, awsjson.Status(c.service, fe), awsjson.AppendError(nil, c.service, fe))
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

// arenas are the memory that the records of reads are rendered into: written to
// the log before the answer leaves, they are of no use afterwards.
var arenas = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

const pooledArena = 16 << 10

// appendRecord renders a record and keeps it until the call is recorded.
func (c *call) appendRecord(r *api.Request, in, out api.Struct, fe *fault.Error, resource string) {
	if c.arena == nil {
		params := make([]byte, 0, 256)
		if in != nil {
			params = api.AppendRedacted(params, in)
		}
		c.records = append(c.records, appendRecord(make([]byte, 0, 1536), r, c.ids.Next(), params, out, fe, resource))
		return
	}
	// Growing moves the arena; what was rendered before stays where it is.
	start := len(*c.arena)
	if in != nil {
		*c.arena = api.AppendRedacted(*c.arena, in)
	}
	end := len(*c.arena)
	*c.arena = appendRecord(*c.arena, r, c.ids.Next(), (*c.arena)[start:end:end], out, fe, resource)
	c.records = append(c.records, (*c.arena)[end:len(*c.arena):len(*c.arena)])
}

// release gives back what is pooled, once the call is recorded and answered.
func (c *call) release() {
	if c.arena != nil && cap(*c.arena) <= pooledArena {
		*c.arena = (*c.arena)[:0]
		arenas.Put(c.arena)
	}
	*c = call{findingKey: c.findingKey, running: c.running, authorizing: c.authorizing, inner: inner{authorizing: c.inner.authorizing}}
	calls.Put(c)
}

// appendRecord renders the CloudTrail record of one call.
func appendRecord(dst []byte, r *api.Request, id string, params []byte, out api.Struct, fe *fault.Error, resource string) []byte {
	rec := audit.Record{
		EventTime:          r.Time,
		AWSRegion:          r.Region,
		SourceIPAddress:    r.SourceIP,
		UserAgent:          r.UserAgent,
		RequestID:          r.ID,
		EventID:            id,
		RecipientAccountID: r.Account,
		UserIdentity: audit.Identity{
			Type:        r.Principal.Type,
			PrincipalID: r.Principal.ID,
			ARN:         r.Principal.ARN,
			AccountID:   r.Principal.Account,
			AccessKeyID: r.Principal.AccessKeyID,
		},
	}
	if r.Op != nil {
		rec.EventSource, rec.EventName = r.Op.Service.EventSource, r.Op.Name
		rec.ReadOnly = r.Op.Mode == api.Read
	}
	if n := len(r.Via); n > 0 {
		rec.UserIdentity.InvokedBy = r.Via[n-1]
	}
	if r.TLS != nil {
		rec.TLSDetails = &audit.TLSDetails{TLSVersion: r.TLS.Version, CipherSuite: r.TLS.CipherSuite, ClientProvidedHostHeader: r.TLS.Host}
	}
	rec.RequestParameters = params
	if fe != nil {
		rec.ErrorCode, rec.ErrorMessage = fe.Code, fe.Message
	} else if out != nil && !rec.ReadOnly && len(out.Shape().Members) > 0 {
		rec.ResponseElements = api.AppendRedacted(nil, out)
	}
	// Not for a denial: what an alias of another account leads to is not the caller's to know.
	if a, err := arn.Parse(resource); err == nil && a.Service == "kms" && (fe == nil || fe.Kind != fault.Denied) {
		rec.Resources = []audit.Resource{{ARN: resource, AccountID: a.Account, Type: "AWS::KMS::Key"}}
	}
	return rec.AppendJSON(dst)
}
