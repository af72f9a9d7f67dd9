package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"coffer/internal/arn"
	"coffer/internal/policy"
	"coffer/internal/session"
	"coffer/internal/table"
)

// Principal is who makes a request.
type Principal struct {
	policy.Caller
	Name        string // of the user; of a role session, the role's
	AccessKeyID string
	Session     *session.Session // of temporary credentials; nil for a long-term key
}

// UserID is aws:userid: the unique id, with the session's name for a session of
// a role or a federated user; "anonymous" for nobody.
func (p *Principal) UserID() string {
	switch p.Type {
	case policy.Anonymous:
		return "anonymous"
	case policy.AssumedRole, policy.FederatedSession:
		if p.Session != nil {
			return p.Session.UserID()
		}
	}
	return p.ID
}

// Endpoint is a listener with an identity: the counterpart of a VPC endpoint.
type Endpoint struct {
	ID     string      // vpce-..., aws:SourceVpce
	VPC    string      // vpc-..., aws:SourceVpc; empty: none
	Policy *policy.Set // what may be done through it; nil: everything
}

// Request is one call on its way through the gate. Handlers read it; only the
// gateway makes one.
type Request struct {
	Context   context.Context
	ID        string    // x-amzn-RequestId
	Time      time.Time // the one "now" of this request
	Op        *Operation
	Input     Struct // decoded, and valid as far as the model goes
	Principal Principal
	Account   string // of the caller; bare names are looked up here
	Region    string
	SourceIP  string // of the client; for a call between services, the service that calls
	UserAgent string
	Referer   string
	Secure    bool   // the client's connection is encrypted
	Host      string // under which the client sees this server; empty in calls between services
	TLS       *TLS
	Endpoint  *Endpoint // that the request came through; nil: a plain listener

	// Source is the ARN of the resource that a service calls for, when the
	// principal is the service itself: aws:SourceArn, and its account aws:SourceAccount.
	Source string

	// Via lists the services the request came through, outermost first, as
	// "secretsmanager.amazonaws.com"; empty for a call from outside.
	Via []string

	// Tx is the transaction; nil in operations of mode Outside.
	Tx *table.Tx

	// Allowed is the proof that the operation's own access was allowed. It is
	// the zero value, which opens nothing, until then.
	Allowed policy.Allowed

	// AlsoAllowed are the proofs of the accesses in Access.Also, in their order.
	AlsoAllowed []policy.Allowed

	// Prepared is what the step set by Preparing or Staging left for the handler: nil in
	// an operation without one, and in calls between services, which skip it.
	Prepared any

	// Caller lets a service call another through the same gate and transaction.
	Caller Caller

	// Directory knows the principals that policies name.
	Directory Directory

	// Read runs f on a snapshot of its own: for what has no transaction (the step of
	// Preparing, operations of mode Outside), and for what looks up more than a
	// transaction that writes may. f may run again.
	Read func(f func(*table.Tx) error) error

	// Write is Read for a transaction that writes. It is for the step of Staging and for
	// operations of mode Outside only.
	Write func(f func(*table.Tx) error) error

	access Access // what is authorized; here, because a variable that is pointed to would be allocated
	after  []func()
	events []ServiceEvent
}

// ServiceEvent is something a service does beyond answering: a version is
// purged, a rotation fails. It becomes an audit record of type AwsServiceEvent
// in the request's own transaction.
type ServiceEvent struct {
	Name      string // "EndSecretVersionDelete"
	Account   string
	Region    string
	RequestID string            // as AWS forms it for the event; empty: the request's own
	Code      string            // errorCode of a failure that has one
	Error     string            // errorMessage of a failure
	Data      map[string]string // additionalEventData; no sensitive values
}

// Emit records e together with the request. A closure that runs again starts
// with none.
func (r *Request) Emit(e ServiceEvent) { r.events = append(r.events, e) }

// TakeEvents returns what Emit was given and forgets it. For the gateway.
func (r *Request) TakeEvents() []ServiceEvent {
	es := r.events
	r.events = nil
	return es
}

// Task is background work of a service: it looks for due rows through an index
// and does a bounded part of it in one read-write transaction. The scheduler
// runs it through the gateway, with the service as principal.
type Task struct {
	Name    string // "secretsmanager.purge", for logs and metrics
	Service *Service
	Every   time.Duration // between looks when nothing is due
	Pause   time.Duration // between two transactions of one look, so that bulk work leaves the machine to callers
	// Run does one transaction's worth. more asks to be called again at once.
	Run func(*Request) (more bool, err error)
}

// TLS is what an audit record says of the connection.
type TLS struct {
	Version, CipherSuite, Host string
}

// Caller is how services and workers reach services: the same gate, the same
// transaction, the principal of r plus the service it came through.
type Caller interface {
	// Call runs op as r's principal through r's service.
	Call(r *Request, op *Operation, in Struct) (Struct, error)
	// CallAsService runs op as r's service itself, on behalf of the resource
	// source. The one called decides by its resource policy alone.
	CallAsService(r *Request, source string, op *Operation, in Struct) (Struct, error)
	// CallWith runs op as the holder of temporary credentials, through r's service: as
	// a service does what it was given a role for. token is the session token.
	CallWith(r *Request, token Sensitive, op *Operation, in Struct) (Struct, error)
	// Authorize decides one more access of r, which only its handler knows of. A
	// refusal is the handler's to return.
	Authorize(r *Request, a *Access) (policy.Allowed, error)
}

// Directory knows the accounts of the deployment, their users and roles, and
// what the aliases of keys stand for. Reading it costs a look-up or two of the
// transaction for each question.
type Directory interface {
	// PrincipalID returns the unique id of the user or role with this ARN, and of the role
	// of an assumed-role session's ARN; "" if there is none.
	PrincipalID(tx *table.Tx, arn string) (string, error)
	// PrincipalARN returns the ARN of the user or role with this unique id, "" if there is none any more.
	PrincipalARN(tx *table.Tx, id, partition string) (string, error)
	// HasAccount reports whether the account exists.
	HasAccount(tx *table.Tx, id string) (bool, error)
	// KeyARN returns the ARN of the KMS key that an alias stands for, "" if there is none.
	KeyARN(tx *table.Tx, account, region, alias string) (string, error)
}

// Call calls op with typed input and output.
func Call[I, O any](r *Request, op Op[I, O], in *I) (*O, error) {
	out, err := r.Caller.Call(r, op.Operation, any(in).(Struct))
	if err != nil {
		return nil, err
	}
	return any(out).(*O), nil
}

// Partition is the ARN partition of the request's region.
func (r *Request) Partition() string { return arn.Partition(r.Region) }

// After registers f to run once the request has succeeded and its transaction,
// if any, has committed. A closure that runs again starts with none.
func (r *Request) After(f func()) { r.after = append(r.after, f) }

// TakeAfter returns what After registered and forgets it. For the gateway.
func (r *Request) TakeAfter() []func() {
	fs := r.after
	r.after = nil
	return fs
}

// NewID returns a random UUID (version 4, RFC 9562).
func NewID() string {
	var u [16]byte
	rand.Read(u[:]) // never fails (Go 1.24)
	var b [idLength]byte
	putID(&b, &u)
	return string(b[:])
}

// IDs hands out random UUIDs, drawn a few at a time: a read takes three, which
// so cost one call of the random source and one allocation. The zero value is ready.
type IDs struct{ left string }

// Next returns an ID that nobody else has.
func (s *IDs) Next() string {
	if s.left == "" {
		var u [3 * 16]byte
		rand.Read(u[:])
		var b [3 * idLength]byte
		for i := range 3 {
			putID((*[idLength]byte)(b[i*idLength:]), (*[16]byte)(u[i*16:]))
		}
		s.left = string(b[:])
	}
	id := s.left[:idLength]
	s.left = s.left[idLength:]
	return id
}

const idLength = 36

// putID writes random bytes as a UUID.
func putID(b *[idLength]byte, u *[16]byte) {
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	hex.Encode(b[0:8], u[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], u[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], u[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], u[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], u[10:16])
}
