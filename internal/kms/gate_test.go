package kms_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/envelope"
	"coffer/internal/iam"
	"coffer/internal/iam/iamtest"
	"coffer/internal/kms"
	"coffer/internal/kv/memory"
	"coffer/internal/material"
	"coffer/internal/policy"
	"coffer/internal/table"
)

const (
	us, eu     = "us-east-1", "eu-west-1"
	ours       = "111122223333"
	theirs     = "444455556666"
	throughSM  = "secretsmanager.amazonaws.com"
	dayLength  = 24 * time.Hour
	incorrect  = "The key ID in the request does not identify a CMK that can perform this operation."
	dryRunText = "The request would have succeeded, but the DryRun option is set."
)

// world is a KMS of its own on a store in memory.
type world struct {
	testing.TB
	store    *memory.Store
	db       *table.DB
	service  *kms.Service
	material *material.Store
	bound    map[*api.Operation]*api.Bound
	now      time.Time
	events   []api.ServiceEvent // of committed requests
}

func newWorld(t testing.TB) *world {
	t.Helper()
	m, err := material.New(material.Config{Root: envelope.NewMemoryKey()})
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := envelope.NewSealer(envelope.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New()
	w := &world{
		TB:       t,
		store:    store,
		db:       table.New(table.Config{Store: store, Sealer: sealer}),
		service:  kms.New(kms.Config{Material: m}),
		material: m,
		bound:    make(map[*api.Operation]*api.Bound),
		now:      time.Date(2026, 1, 31, 10, 20, 30, 123_000_000, time.UTC),
	}
	ops := w.service.Operations()
	for i := range ops {
		w.bound[ops[i].Op] = &ops[i]
	}
	t.Cleanup(func() {
		for _, finding := range w.check() {
			t.Errorf("fsck: %s", finding)
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

// client is who calls, from where, through what.
type client struct {
	*world
	account, region string
	via             []string
	user            string // an IAM user's name; empty: the account root
	writing         bool   // run reads in a read-write transaction, as a writing service does
}

func (w *world) in(account, region string) client {
	return client{world: w, account: account, region: region}
}

// with is c for a test within the test.
func (c client) with(t testing.TB) client {
	w := *c.world
	w.TB, c.world = t, &w
	return c
}

// through is c as Secrets Manager forwards its calls while it handles a write.
func (c client) through(service string) client {
	c.via, c.writing = []string{service}, true
	return c
}

func (c client) arn(resource string) string {
	return "arn:aws:kms:" + c.region + ":" + c.account + ":" + resource
}

func (c client) request() *api.Request {
	p := iamtest.Root(c.account, c.region)
	if c.user != "" {
		p = c.userPrincipal()
	}
	r := &api.Request{
		Context: context.Background(), ID: api.NewID(), Time: c.now,
		Principal: p, Account: c.account, Region: c.region, Via: c.via, Directory: directory, Read: iamtest.Reader(c.db),
	}
	r.Caller = gate{c.world}
	return r
}

// gate decides as the gateway does and keeps its rules.
type gate struct{ *world }

func (g gate) run(r *api.Request, op *api.Operation, in api.Struct) (api.Struct, error) {
	b := g.bound[op]
	if b == nil {
		return nil, fmt.Errorf("%s is not served", op.Name)
	}
	r.Op = op
	if err := api.Validate(in); err != nil {
		return nil, err
	}
	r.Input = in
	decide := directory.Decider(r)
	return b.Run(r, in, func(a *api.Access) error {
		if a.Named != "" && !strings.HasPrefix(a.Named, "arn:") || a.Account == "" {
			return fmt.Errorf("odd access %+v", a)
		}
		return decide(a)
	})
}

// CallAsService implements api.Caller: KMS calls nobody.
func (gate) CallAsService(*api.Request, string, *api.Operation, api.Struct) (api.Struct, error) {
	return nil, errors.New("KMS called another service")
}

// CallWith implements api.Caller: KMS calls nobody.
func (gate) CallWith(*api.Request, api.Sensitive, *api.Operation, api.Struct) (api.Struct, error) {
	return nil, errors.New("KMS called another service")
}

// directory knows nobody but roots, and the users and roles of the world.
var directory = func() iamtest.Directory {
	d := iamtest.NewDirectory()
	d.Keys = kms.KeyARN
	return d
}()

func (c client) userID() string {
	return "AIDA" + c.account + strings.ToUpper(c.user)
}

// as is c as a user of the account.
func (c client) as(user string) client {
	c.user = user
	return c
}

// userPrincipal makes the user if need be: one without policies.
func (c client) userPrincipal() api.Principal {
	c.Helper()
	u := &iam.User{ID: c.userID(), Account: c.account, Name: c.user, Path: "/"}
	err := c.db.Update(context.Background(), func(tx *table.Tx) error {
		if _, err := iam.Users.Get(tx, table.K(u.ID)); err == nil {
			return nil
		}
		return iam.Users.Put(tx, u)
	})
	if err != nil {
		c.Fatal(err)
	}
	p := api.Principal{Caller: policy.Caller{Type: policy.IAMUser, ARN: u.ARN("aws"), Account: c.account, Entity: u.ARN("aws"), ID: u.ID}, Name: u.Name}
	// Loaded before, as the gateway does: a transaction that writes loads nothing.
	if err := c.db.View(context.Background(), func(tx *table.Tx) error { _, err := directory.Load(tx, &p); return err }); err != nil {
		c.Fatal(err)
	}
	return p
}

// Authorize implements api.Caller.
func (g gate) Authorize(r *api.Request, a *api.Access) (policy.Allowed, error) {
	return directory.Authorize(r, a)
}

// Call implements api.Caller.
func (g gate) Call(r *api.Request, op *api.Operation, in api.Struct) (api.Struct, error) {
	inner := *r
	inner.Allowed, inner.AlsoAllowed, inner.Prepared = policy.Allowed{}, nil, nil
	return g.run(&inner, op, in)
}

var errAgain = errors.New("run again")

// call runs one operation. Writing closures run twice, the first time for nothing.
func call[I, O any](c client, op api.Op[I, O], in *I) (*O, error) {
	c.Helper()
	r := c.request()
	r.Op = op.Operation
	if b := c.bound[op.Operation]; b != nil && api.Validate(any(in).(api.Struct)) == nil {
		if err := b.Prepare(r, any(in).(api.Struct)); err != nil {
			return nil, err
		}
	}
	var out api.Struct
	run := func(tx *table.Tx) (err error) {
		r.Tx, r.Allowed = tx, policy.Allowed{}
		r.TakeAfter()
		r.TakeEvents()
		out, err = gate{c.world}.run(r, op.Operation, any(in).(api.Struct))
		return err
	}
	var err error
	if op.Mode == api.Read && !c.writing {
		err = c.db.View(r.Context, run)
	} else {
		err = c.db.Update(r.Context, func(tx *table.Tx) error {
			if err := run(tx); err != nil {
				return err
			}
			return errAgain
		})
		if err == errAgain {
			err = c.db.Update(r.Context, run)
		}
	}
	if err != nil {
		// AWS has the parameters that we refuse as unsupported; the model does not say that
		// they can be refused.
		apitest.Modelled(c, op.Operation, err, "NotAuthorizedException", "UnsupportedOperationException")
		return nil, err
	}
	for _, f := range r.TakeAfter() {
		f()
	}
	c.events = append(c.events, r.TakeEvents()...)
	return any(out).(*O), nil
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

func (c client) createKey() *kmsapi.KeyMetadata {
	c.Helper()
	return must(c, kmsapi.CreateKey, &kmsapi.CreateKeyInput{}).KeyMetadata
}

func (c client) encrypt(key, text string, context ...string) []byte {
	c.Helper()
	return must(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: &key, Plaintext: api.Sensitive(text), EncryptionContext: pairs(context)}).CiphertextBlob
}

func (c client) decrypt(blob []byte, context ...string) string {
	c.Helper()
	return string(must(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionContext: pairs(context)}).Plaintext)
}

func (c client) createAlias(name, key string) {
	c.Helper()
	must(c, kmsapi.CreateAlias, &kmsapi.CreateAliasInput{AliasName: &name, TargetKeyId: &key})
}

func (c client) describe(key string) *kmsapi.KeyMetadata {
	c.Helper()
	return must(c, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: &key}).KeyMetadata
}

// task runs background work until there is no more, and returns the turns.
func (w *world) task(run func(*api.Request) (bool, error)) (turns int) {
	w.Helper()
	for more := true; more; turns++ {
		r := &api.Request{Context: context.Background(), ID: api.NewID(), Time: w.now, Principal: api.Principal{Caller: policy.Caller{Type: policy.AWSService, Service: "kms.amazonaws.com"}}}
		err := w.db.Update(r.Context, func(tx *table.Tx) (err error) {
			r.Tx = tx
			r.TakeAfter()
			r.TakeEvents()
			more, err = run(r)
			return err
		})
		if err != nil {
			w.Fatal(err)
		}
		for _, f := range r.TakeAfter() {
			f()
		}
		w.events = append(w.events, r.TakeEvents()...)
	}
	return turns
}

func pairs(kv []string) map[string]string {
	if len(kv) == 0 {
		return nil
	}
	m := make(map[string]string)
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}
