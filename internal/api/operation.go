package api

import (
	"fmt"

	"coffer/internal/fault"
	"coffer/internal/policy"
)

// Service is one AWS service as its model describes it. Generated, immutable.
type Service struct {
	ID           string   // SDK service id, "Secrets Manager"
	Name         string   // our package and endpoint prefix, "secretsmanager"
	SigningName  string   // the service in a credential scope
	EventSource  string   // "secretsmanager.amazonaws.com"
	ActionPrefix string   // IAM, "secretsmanager"
	APIVersion   string   // "2017-10-17"
	XMLNamespace string   // Query
	Protocols    []string // as the model lists them: "json", "query", "rest-json", "smithy-rpc-v2-cbor"
	JSONVersion  string   // "1.1"
	TargetPrefix string   // X-Amz-Target before the dot
	MessageKey   string   // "Message" or "message": the key of error texts
	InternalCode string   // the service's own code for internal errors
	Operations   []*Operation
	Errors       []*ErrorShape
}

// ErrorShape is an error of a model.
type ErrorShape struct {
	Code       string // on the wire, and in fault.Error
	QueryCode  string // on the wire of the Query protocol; the same as Code in services that speak nothing else
	Kind       fault.Kind
	Status     int    // HTTP
	Server     bool   // true: fault of the server
	MessageKey string // its own key of the text, "Message" or "message"
	Shape      *Shape // all its members
}

// Mode says what transaction an operation runs in.
type Mode uint8

const (
	Unserved Mode = iota // in the model, not in Coffer: answers uniformly
	Read                 // a snapshot; must not write
	Write                // a read-write transaction
	Outside              // reaches outside the process; gets no transaction
)

// Operation is one operation of a model. Generated, immutable.
type Operation struct {
	Service       *Service
	Name          string
	Mode          Mode
	Input, Output *Shape // Output is an empty structure for operations without output
	NewInput      func() Struct
	NewOutput     func() Struct
	Errors        []*ErrorShape // what the model says it may answer
	Anonymous     bool          // need not be signed: the input proves who calls
	Method, URI   string        // REST binding
	Status        int           // REST: HTTP status of success; 0 means 200
	Wrapper       string        // Query: the element around the output; empty for operations without output

	action string // set by NewService
}

// Action returns the IAM action, "secretsmanager:GetSecretValue".
func (o *Operation) Action() string { return o.action }

// Op is an operation together with its Go types, so that binding a handler of
// other types does not compile. I and O are the structures; *I and *O are Structs.
type Op[I, O any] struct{ *Operation }

// Access is one thing the caller must be allowed to do for the request to be
// handled, with all that the decision needs to know of the resource. Most
// requests need one; the rest hang in Also.
type Access struct {
	Action   string // IAM action; empty means the operation's own
	Resource string // the ARN it is evaluated on; empty means "*", no resource
	Account  string // the account that owns Resource
	Region   string // that it is asked for in (aws:RequestedRegion); empty: the request's
	Named    string // the resource as the caller wrote it, for denial texts
	Denied   string // said in place of the usual denial; empty: the usual one

	Policy  *policy.Set // of the resource; nil: it has none
	Governs bool        // nothing is allowed that Policy does not allow or delegate: keys, role trust
	Open    bool        // no policy can refuse it: GetCallerIdentity

	// Grants gives the grants on a key that name the caller, and
	// EncryptionContext what they are constrained by; see policy.Policies.
	Grants            func() ([]*policy.Grant, error)
	EncryptionContext map[string]string

	// What condition keys are about: the tags on the resource
	// (aws:ResourceTag), the tags and the tag keys that the request gives
	// (aws:RequestTag, aws:TagKeys), and the service's own keys.
	Tags, RequestTags []policy.Tag
	TagKeys           []string
	Keys              Keys
	MFA               bool // a second factor came with the request (aws:MultiFactorAuthPresent)

	Also []Access
}

// Further is what a service does as its caller while it handles an operation.
type Further struct {
	Action   string // "kms:Decrypt"
	Resource string // as the service would name it
}

// Needs says what a principal must be allowed to do for the operation r.Op on a
// resource, without making the call: r has no input. The resource is named as
// the operation's own input would name it. An error is for the one who asks.
type Needs func(r *Request, resource string) (Access, []Further, error)

// Keys answers for a service's own condition keys.
type Keys interface {
	policy.Context
	// Err is what went wrong while answering: the decision is void then.
	Err() error
}

// Bound is an operation with its implementation, ready for the gateway's table.
type Bound struct {
	Op *Operation

	// MaxBody is the largest request body, in bytes; 0: what the gateway takes of any.
	MaxBody int

	prepare   func(*Request, Struct) error
	authorize func(*Request, Struct, func(*Access) error) error
	stage     func(*Request, Struct) error
	run       func(*Request, Struct, func(*Access) error) (Struct, error)
}

// Bind ties an operation to its two halves.
//
// resolve turns the input into the resources to authorize, loading what it
// needs into T so that handle need not load it again. It may fail only with
// errors that AWS gives before it authorizes (name syntax, missing token);
// existence is for handle to reveal.
//
// handle runs only after every access of resolve was allowed, in the same transaction.
// Both may run several times and must touch nothing but the transaction and their results.
func Bind[I, O, T any](op Op[I, O], resolve func(*Request, *I) (T, Access, error), handle func(*Request, *I, T) (*O, error)) Bound {
	return Bound{
		Op: op.Operation,
		authorize: func(r *Request, in Struct, authorize func(*Access) error) error {
			_, access, err := resolve(r, any(in).(*I))
			if err != nil {
				return err
			}
			return authorize(&access)
		},
		run: func(r *Request, in Struct, authorize func(*Access) error) (Struct, error) {
			i := any(in).(*I)
			t, access, err := resolve(r, i)
			if err != nil {
				return nil, err
			}
			if err := authorize(&access); err != nil {
				return nil, err
			}
			o, err := handle(r, i, t)
			if err != nil {
				return nil, err
			}
			return any(o).(Struct), nil
		},
	}
}

// Preparing returns b with a step that runs before the transaction is
// opened, and only once: slow pure work such as key generation. It runs before
// authorization and must reveal and store nothing; what it makes goes into
// Request.Prepared.
func Preparing[I any](b Bound, prepare func(*Request, *I) error) Bound {
	b.prepare = func(r *Request, in Struct) error {
		i, ok := any(in).(*I)
		if !ok {
			return fmt.Errorf("api: %s prepared with %T", b.Op.Name, in)
		}
		return prepare(r, i)
	}
	return b
}

// Staging returns b with a step that runs before the transaction is opened and after
// the call was allowed a first time: storing through Request.Write what one
// transaction cannot hold. Nothing may refer to what it stores until the transaction
// does, and what no transaction came to refer to must be found and removed. What it
// makes goes into Request.Prepared.
func Staging[I any](b Bound, stage func(*Request, *I) error) Bound {
	b.stage = func(r *Request, in Struct) error {
		i, ok := any(in).(*I)
		if !ok {
			return fmt.Errorf("api: %s staged with %T", b.Op.Name, in)
		}
		return stage(r, i)
	}
	return b
}

// Stages reports whether b has a step set by Staging.
func (b *Bound) Stages() bool { return b.stage != nil }

// Authorize resolves and authorizes only. For the gateway, before Stage.
func (b *Bound) Authorize(r *Request, in Struct, authorize func(*Access) error) error {
	return b.authorize(r, in, authorize)
}

// Stage runs the step set by Staging. For the gateway.
func (b *Bound) Stage(r *Request, in Struct) error { return b.stage(r, in) }

// Prepare runs the step set by Preparing, if any.
func (b *Bound) Prepare(r *Request, in Struct) error {
	if b.prepare == nil {
		return nil
	}
	return b.prepare(r, in)
}

// Run resolves, authorizes and handles one request. Only the gateway calls it.
func (b *Bound) Run(r *Request, in Struct, authorize func(*Access) error) (Struct, error) {
	return b.run(r, in, authorize)
}
