package lambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/table"
)

const (
	maxPayload = 6 << 20 // bytes, of an event and of an answer ("Lambda quotas")
	maxContext = 3583    // bytes of ClientContext

	textPayload  = "Could not parse request body into json: the payload is not a JSON text."
	textContext  = "Client context must be a valid Base64-encoded JSON object."
	textOff      = "Functions are switched off on this server."
	textBusy     = "Rate Exceeded."
	textNotCode  = "Lambda could not unzip the deployment package: "
	textNoTenant = "Coffer does not have %s: leave out %s."

	unhandled = "Unhandled"

	// The reasons of TooManyRequestsException.
	reasonReserved = "ReservedFunctionConcurrentInvocationLimitExceeded"
	reasonAccount  = "ConcurrentInvocationLimitExceeded"
)

func (s *Service) invokeOperations() []api.Bound {
	invoke := api.Bind(lambdaapi.Invoke, s.resolveInvoke, s.invoke)
	invoke.MaxBody = maxPayload
	invoke.TooLarge = lambdaapi.RequestTooLargeException(fmt.Sprintf(textTooBig, maxPayload, "InvokeFunction"))
	return []api.Bound{invoke}
}

// within runs f in the request's transaction, or in a snapshot for one that has none.
func within(r *api.Request, f func(*table.Tx) error) error {
	if r.Tx != nil {
		return f(r.Tx)
	}
	return r.Read(f)
}

// resolveInvoke: access is decided on the function, version or alias as it was named.
func (s *Service) resolveInvoke(r *api.Request, in *lambdaapi.InvokeInput) (t *target, a api.Access, err error) {
	ref, err := parseQualified(r, *in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, a, err
	}
	err = within(r, func(tx *table.Tx) (err error) {
		if t, err = s.read(r, tx, ref); err != nil {
			return err
		}
		t.qualified()
		if a, err = t.access(); err != nil {
			return err
		}
		return t.route(tx)
	})
	return t, a, err
}

// route picks one of the two versions that an alias may have.
func (t *target) route(tx *table.Tx) (err error) {
	if t.alias != nil && t.alias.Also != nil {
		t.version, err = t.function.published(tx, t.alias.pick(rand.Float64()))
	}
	return err
}

func (s *Service) invoke(r *api.Request, in *lambdaapi.InvokeInput, t *target) (*lambdaapi.InvokeOutput, error) {
	_, v, err := t.found()
	if err != nil {
		return nil, err
	}
	e, err := newEvent(r, in, t)
	if err != nil {
		return nil, err
	}
	if api.Value(in.InvocationType) == lambdaapi.InvocationTypeDryRun {
		return &lambdaapi.InvokeOutput{StatusCode: new(int64(204))}, nil
	}
	if t.builtIn != nil && !t.builtIn.calledFor(r, e.Payload) {
		return nil, t.builtIn.reserved()
	}
	switch api.Value(in.InvocationType) {
	case lambdaapi.InvocationTypeEvent:
		if s.runner == nil {
			return nil, off(nil)
		}
		if err := s.enqueue(r, t, e); err != nil {
			return nil, err
		}
		return &lambdaapi.InvokeOutput{StatusCode: new(int64(202))}, nil
	}
	answer, err := s.run(r, t, e)
	if err != nil {
		return nil, err
	}
	out := &lambdaapi.InvokeOutput{StatusCode: new(int64(200)), ExecutedVersion: new(v.name()), Payload: answer.Payload}
	if answer.Failed {
		out.FunctionError = new(unhandled)
	}
	if api.Value(in.LogType) == lambdaapi.LogTypeTail {
		out.LogResult = api.Sensitive(base64.StdEncoding.EncodeToString(answer.Log))
	}
	return out, nil
}

// newEvent is what the function gets.
func newEvent(r *api.Request, in *lambdaapi.InvokeInput, t *target) (Event, error) {
	e := Event{RequestID: r.ID, InvokedARN: t.reference.arn(), Payload: in.Payload}
	switch {
	case api.Value(in.TenantId) != "":
		return e, lambdaapi.InvalidParameterValueException(fmt.Sprintf(textNoTenant, "tenants", "TenantId"))
	case api.Value(in.DurableExecutionName) != "":
		return e, lambdaapi.InvalidParameterValueException(fmt.Sprintf(textNoTenant, "durable executions", "DurableExecutionName"))
	case len(e.Payload) > maxPayload:
		return e, lambdaapi.RequestTooLargeException(fmt.Sprintf(textTooBig, maxPayload, "InvokeFunction"))
	case len(e.Payload) == 0:
		e.Payload = []byte("{}")
	case !json.Valid(e.Payload):
		return e, lambdaapi.InvalidRequestContentException(textPayload)
	}
	if len(in.ClientContext) > 0 {
		b, err := base64.StdEncoding.DecodeString(string(in.ClientContext))
		if err != nil || len(in.ClientContext) > maxContext || !json.Valid(b) {
			return e, lambdaapi.InvalidRequestContentException(textContext)
		}
		e.ClientContext = string(b)
	}
	return e, nil
}

// run has the runner run what t means. What the runner gets of the request is good until
// it answers.
func (s *Service) run(r *api.Request, t *target, e Event) (*Answer, error) {
	switch {
	case s.runner == nil:
		return nil, off(nil)
	case r.Tx != nil:
		return nil, errors.New("lambda: a function cannot run inside a transaction")
	case t.function != nil && t.function.Reserved != nil && *t.function.Reserved == 0:
		return nil, busy(reasonReserved)
	}
	x := &execution{s: s, r: r, t: t}
	defer x.end()
	f, err := x.executable()
	if err != nil {
		return nil, err
	}
	answer, err := s.runner.Run(r.Context, f, e)
	if err != nil {
		return nil, notRun(err, f)
	}
	return answer, nil
}

// notRun puts into Lambda's words why a function did not get its event.
func notRun(err error, f *Executable) error {
	if code, ok := errors.AsType[*CodeError](err); ok {
		return lambdaapi.InvalidZipFileException(textNotCode + code.Text).Because(err)
	}
	if missing, ok := errors.AsType[*RuntimeError](err); ok {
		return lambdaapi.InvalidRuntimeException(missing.Text).Because(err)
	}
	switch {
	case errors.Is(err, ErrOff):
		return off(err)
	case errors.Is(err, ErrThrottled) && f.Concurrency > 0:
		return busy(reasonReserved)
	case errors.Is(err, ErrThrottled):
		return busy(reasonAccount)
	}
	return err
}

// off is no 5xx, which SDKs would repeat.
func off(why error) error {
	text := textOff
	if why != nil && why.Error() != ErrOff.Error() {
		text += " " + why.Error()
	}
	return lambdaapi.InvalidParameterValueException(text).Because(errors.Join(ErrOff, why))
}

func busy(reason string) error {
	return lambdaapi.TooManyRequestsException(textBusy).With("Reason", reason)
}

// execution is one run of a version of a function.
type execution struct {
	s *Service
	r *api.Request
	t *target

	mu   sync.RWMutex // held while the request is read by
	over bool         // the request may be somebody else's by now
}

var errOver = errors.New("lambda: the invocation is over")

func (x *execution) open() error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.over {
		return errOver
	}
	return nil
}

// read is the request's Read until the end of it, which waits for what is being read: a look
// before would not do.
func (x *execution) read(f func(*table.Tx) error) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.over {
		return errOver
	}
	return x.r.Read(f)
}

func (x *execution) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
}

// executable is the version as the runner needs it.
func (x *execution) executable() (*Executable, error) {
	t, v := x.t, x.t.version
	f := &Executable{
		ARN: t.reference.function(), Account: t.account, Region: t.region, Name: t.name, Version: v.name(), Revision: v.Content + ":" + v.name(),
		Runtime: v.Runtime, Handler: v.Handler, BuiltIn: t.builtIn != nil,
		Timeout: time.Duration(v.Timeout) * time.Second, Memory: v.Memory, Storage: v.Storage, LogGroup: v.Logging.Group,
		Start: x.start,
	}
	if f.BuiltIn {
		return f, nil
	}
	if t.function.Reserved != nil {
		f.Concurrency = *t.function.Reserved
	}
	for i, code := range v.uses() {
		p, err := code.packaged(t.region, x.read, x.open)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			f.Code = p
		} else {
			f.Layers = append(f.Layers, p)
		}
	}
	return f, nil
}

// start is Executable.Start: a session of the role, and the variables, which the role
// must be allowed to decrypt.
func (x *execution) start(context.Context) (Environment, Credentials, error) {
	if err := x.open(); err != nil {
		return nil, Credentials{}, err
	}
	role, err := x.role()
	if err != nil {
		return nil, Credentials{}, err
	}
	arn := x.t.reference.function()
	c, err := x.s.assume(x.r, arn, role, x.t.name)
	if f, ok := refusal(err); ok {
		return nil, Credentials{}, api.AccessDeniedException(textNotAssumed).Because(f)
	}
	if err != nil {
		return nil, Credentials{}, err
	}
	creds := Credentials{AccessKeyID: api.Value(c.AccessKeyId), SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken, Expires: *c.Expiration}
	sealed := x.t.version.Environment
	if sealed == nil {
		return nil, creds, nil
	}
	out, err := x.r.Caller.CallWith(x.r, creds.SessionToken, kmsapi.Decrypt.Operation, sealed.decryptInput(arn))
	if err != nil {
		return nil, Credentials{}, notOpened(err)
	}
	plain, ok := out.(*kmsapi.DecryptOutput)
	if !ok {
		return nil, Credentials{}, fmt.Errorf("lambda: Decrypt answered %T", out)
	}
	variables, err := unmarshalVariables(plain.Plaintext)
	return variables, creds, err
}

// role is the role of the version; for built-in functions one that the account has for
// them, made when it is first needed.
func (x *execution) role() (arn string, err error) {
	if x.t.builtIn == nil {
		return x.t.version.Role, nil
	}
	if x.s.builtInRole == nil {
		return "", errors.New("lambda: there is no role for built-in functions")
	}
	err = x.r.Write(func(tx *table.Tx) (err error) {
		arn, err = x.s.builtInRole(tx, x.t.account, x.t.region, x.r.Time)
		return err
	})
	return arn, err
}
