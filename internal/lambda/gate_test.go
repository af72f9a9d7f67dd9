package lambda_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	lambdaapi "coffer/internal/api/lambda"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/envelope"
	"coffer/internal/iam"
	"coffer/internal/iam/iamtest"
	"coffer/internal/kv/memory"
	"coffer/internal/lambda"
	"coffer/internal/policy"
	"coffer/internal/table"
)

const (
	here, elsewhere = "eu-west-1", "us-east-1"
	ours            = "111122223333"
	theirs          = "444455556666"
	role            = "arn:aws:iam::" + ours + ":role/runs"
	prefix          = "arn:aws:lambda:" + here + ":" + ours + ":"
)

// world is a Lambda of its own on a store in memory, behind what decides and keeps the
// gateway's rules.
type world struct {
	testing.TB
	db      *table.DB
	service *lambda.Service
	bound   map[*api.Operation]*api.Bound
	now     time.Time
	damaged bool // on purpose
}

func newWorld(t testing.TB, cfg lambda.Config) *world {
	t.Helper()
	sealer, err := envelope.NewSealer(envelope.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New()
	w := &world{
		TB: t, db: table.New(table.Config{Store: store, Sealer: sealer}), service: lambda.New(cfg),
		bound: make(map[*api.Operation]*api.Bound), now: time.Date(2026, 1, 31, 10, 20, 30, 123_000_000, time.UTC),
	}
	ops := w.service.Operations()
	for i := range ops {
		w.bound[ops[i].Op] = &ops[i]
	}
	t.Cleanup(func() {
		for _, finding := range w.check() {
			if !w.damaged {
				t.Errorf("fsck: %s", finding)
			}
		}
		store.Close()
	})
	return w
}

func (w *world) check() (findings []string) {
	w.Helper()
	err := w.db.View(context.Background(), func(tx *table.Tx) error {
		findings = nil
		return w.service.Check(context.Background(), tx, func(format string, args ...any) {
			findings = append(findings, fmt.Sprintf(format, args...))
		})
	})
	if err != nil {
		w.Fatal(err)
	}
	return findings
}

// work runs a background task until it has no more to do.
func (w *world) work(name string) {
	w.Helper()
	for _, task := range w.service.Tasks() {
		if task.Name != name {
			continue
		}
		for more := true; more; {
			r := &api.Request{Context: context.Background(), Time: w.now, Caller: gate{w}}
			err := w.db.Update(r.Context, func(tx *table.Tx) (err error) {
				r.Tx = tx
				more, err = task.Run(r)
				return err
			})
			if err != nil {
				w.Fatalf("%s: %v", name, err)
			}
		}
		return
	}
	w.Fatalf("no task %s", name)
}

// client is who calls, and from where.
type client struct {
	*world
	account string
	region  string
	service string // in place of an account: a service, for the resource source
	source  string
	user    *iam.User // nil: the account root
}

func (w *world) as(account string) client { return client{world: w, account: account, region: here} }

// root is the account that the tests are about.
func (w *world) root() client { return w.as(ours) }

// aws is a service that calls for a resource.
func (w *world) aws(service, source string) client {
	return client{world: w, region: here, service: service, source: source}
}

func (c client) principal() api.Principal {
	switch {
	case c.service != "":
		return api.Principal{Caller: policy.Caller{Type: policy.AWSService, Service: c.service}}
	case c.user != nil:
		u := c.user
		return api.Principal{Caller: policy.Caller{Type: policy.IAMUser, ARN: u.ARN("aws"), Account: u.Account, Entity: u.ARN("aws"), ID: u.ID}, Name: u.Name}
	}
	return iamtest.Root(c.account, c.region)
}

// named makes a user of the account, without policies, or gives the one with the number
// another name. It is who calls.
func (c client) named(name string, number int) client {
	c.Helper()
	c.user = &iam.User{ID: fmt.Sprintf("AIDA%017d", number), Account: c.account, Name: name, Path: "/"}
	if err := c.db.Update(context.Background(), func(tx *table.Tx) error { return iam.Users.Put(tx, c.user) }); err != nil {
		c.Fatal(err)
	}
	return c
}

// gone removes the user.
func (c client) gone() {
	c.Helper()
	if err := c.db.Update(context.Background(), func(tx *table.Tx) error { return iam.Users.Delete(tx, table.K(c.user.ID)) }); err != nil {
		c.Fatal(err)
	}
}

var directory = iamtest.NewDirectory()

func (c client) request(op *api.Operation, in api.Struct) *api.Request {
	return &api.Request{
		Context: context.Background(), ID: api.NewID(), Time: c.now, Op: op, Input: in,
		Principal: c.principal(), Account: c.account, Region: c.region, Source: c.source, Directory: directory, Caller: gate{c.world},
		Read:  iamtest.Reader(c.db),
		Write: func(f func(*table.Tx) error) error { return c.db.Update(context.Background(), f) },
	}
}

// decide decides an access, in a transaction of its own where the request has none.
func (w *world) decide(r *api.Request) func(*api.Access) error {
	return func(a *api.Access) error {
		if r.Tx != nil {
			return directory.Decider(r)(a)
		}
		return r.Read(func(tx *table.Tx) error {
			r.Tx = tx
			defer func() { r.Tx = nil }()
			return directory.Decider(r)(a)
		})
	}
}

var errAgain = errors.New("run again")

// call runs one operation. Writing closures run twice, the first time for nothing.
func call[I, O any](c client, op api.Op[I, O], in *I) (*O, error) {
	c.Helper()
	s := any(in).(api.Struct)
	r := c.request(op.Operation, s)
	out, err := c.run(r, op.Operation, s)
	if err != nil {
		apitest.Modelled(c, op.Operation, err)
		return nil, err
	}
	for _, f := range r.TakeAfter() {
		f()
	}
	return any(out).(*O), nil
}

func (w *world) run(r *api.Request, op *api.Operation, in api.Struct) (out api.Struct, err error) {
	b := w.bound[op]
	if b == nil {
		return nil, fmt.Errorf("%s is not bound", op.Name)
	}
	if err := api.Validate(in); err != nil {
		return nil, err
	}
	once := func(tx *table.Tx) (err error) {
		r.Tx, r.Allowed, r.AlsoAllowed = tx, policy.Allowed{}, nil
		r.TakeAfter()
		r.TakeEvents()
		out, err = b.Run(r, in, w.decide(r))
		return err
	}
	switch op.Mode {
	case api.Outside:
		return out, once(nil)
	case api.Read:
		return out, w.db.View(r.Context, once)
	}
	if b.Stages() {
		authorize := func(tx *table.Tx) error {
			r.Tx = tx
			defer func() { r.Tx = nil }()
			return b.Authorize(r, in, w.decide(r))
		}
		if err := w.db.View(r.Context, authorize); err != nil {
			return nil, err
		}
		if err := b.Stage(r, in); err != nil {
			return nil, err
		}
	}
	err = w.db.Update(r.Context, func(tx *table.Tx) error { return errors.Join(once(tx), errAgain) })
	if !errors.Is(err, errAgain) {
		return nil, err
	}
	return out, w.db.Update(r.Context, once)
}

// gate is the api.Caller of handlers.
type gate struct{ *world }

// Call implements api.Caller.
func (gate) Call(_ *api.Request, op *api.Operation, _ api.Struct) (api.Struct, error) {
	return nil, fmt.Errorf("called %s as its caller", op.Action())
}

// CallAsService implements api.Caller: Lambda may assume every role of the account but one.
func (gate) CallAsService(r *api.Request, source string, op *api.Operation, in api.Struct) (api.Struct, error) {
	assume, ok := in.(*stsapi.AssumeRoleInput)
	if !ok || op != stsapi.AssumeRole.Operation || !strings.HasPrefix(source, "arn:aws:lambda:") {
		return nil, fmt.Errorf("called %s as itself", op.Action())
	}
	if strings.HasSuffix(*assume.RoleArn, "/untrusting") {
		return nil, api.AccessDeniedException("no")
	}
	return &stsapi.AssumeRoleOutput{Credentials: &stsapi.Credentials{
		AccessKeyId: new("ASIAEXAMPLE"), SecretAccessKey: api.Sensitive("secret"), SessionToken: api.Sensitive("token"), Expiration: new(r.Time.Add(time.Hour)),
	}}, nil
}

// CallWith implements api.Caller.
func (gate) CallWith(_ *api.Request, _ api.Sensitive, op *api.Operation, _ api.Struct) (api.Struct, error) {
	return nil, fmt.Errorf("called %s with a role", op.Action())
}

// Authorize implements api.Caller.
func (gate) Authorize(r *api.Request, a *api.Access) (policy.Allowed, error) {
	return directory.Authorize(r, a)
}

// must calls an operation that has to succeed.
func must[I, O any](c client, op api.Op[I, O], in *I) *O {
	c.Helper()
	out, err := call(c, op, in)
	if err != nil {
		c.Fatalf("%s: %v", op.Name, err)
	}
	return out
}

// refuse calls an operation that has to fail with this code and text.
func refuse[I, O any](c client, op api.Op[I, O], in *I, code, message string) {
	c.Helper()
	_, err := call(c, op, in)
	apitest.Refused(c, op.Name, err, code, message)
}

// archive is a package of files, by name and content.
func archive(t testing.TB, files ...string) api.Sensitive {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// function creates a function.
func (c client) function(name string, layers ...string) {
	c.Helper()
	must(c, lambdaapi.CreateFunction, &lambdaapi.CreateFunctionInput{
		FunctionName: &name, Role: new(role), Runtime: new("python3.12"), Handler: new("f.handler"), Layers: layers,
		Code: &lambdaapi.FunctionCode{ZipFile: archive(c, "f.py", name)},
	})
}

// publish changes a function and publishes it.
func (c client) publish(name, description string) {
	c.Helper()
	must(c, lambdaapi.UpdateFunctionConfiguration, &lambdaapi.UpdateFunctionConfigurationInput{FunctionName: &name, Description: &description})
	must(c, lambdaapi.PublishVersion, &lambdaapi.PublishVersionInput{FunctionName: &name})
}

// in is w for a test within the test.
func (w *world) in(t testing.TB) *world {
	inner := *w
	inner.TB = t
	return &inner
}

// packages is how many deployment packages are stored.
func (w *world) packages() (n int) {
	w.Helper()
	err := w.db.View(context.Background(), func(tx *table.Tx) error {
		n = 0
		for _, err := range lambda.Packages.Scan(tx, table.Range{}) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return n
}
