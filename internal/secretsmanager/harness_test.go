package secretsmanager_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	kmsapi "coffer/internal/api/kms"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/envelope"
	"coffer/internal/fault"
	"coffer/internal/iam/iamtest"
	"coffer/internal/kv"
	"coffer/internal/kv/memory"
	"coffer/internal/policy"
	"coffer/internal/secretsmanager"
	"coffer/internal/table"
)

const (
	region  = "eu-west-1"
	account = "111122223333"
	other   = "444455556666"
)

// world is a service over a store in memory, behind a gate like the real one,
// with a KMS made for tests. When the test ends, Check must find nothing.
type world struct {
	t       testing.TB
	db      *table.DB
	service *secretsmanager.Service
	kms     *fakeKMS
	bound   map[*api.Operation]*api.Bound

	mu      sync.Mutex
	now     time.Time
	records []string // of inner calls: "operation code"
	events  []string // of committed requests: "event version"
	twice   bool     // every writing call is run once in vain first
	open    bool     // everybody may do everything, as resource policies will allow

	functions map[string]*function // by ARN
}

func newWorld(t testing.TB) *world { return newWorldOn(t, memory.New()) }

func newWorldOn(t testing.TB, store kv.Store) *world {
	t.Helper()
	sealer, err := envelope.NewSealer(envelope.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t:       t,
		db:      table.New(table.Config{Store: store, Sealer: sealer}),
		service: secretsmanager.New(secretsmanager.Config{}),
		kms:     newFakeKMS(),
		bound:   map[*api.Operation]*api.Bound{},
		now:     time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC),
		twice:   true,
	}
	for _, b := range append(w.service.Operations(), append(w.kms.operations(), w.invoke())...) {
		if w.bound[b.Op] != nil {
			t.Fatalf("%s is bound twice", b.Op.Name)
		}
		w.bound[b.Op] = &b
	}
	t.Cleanup(func() {
		for _, problem := range w.problems() {
			t.Errorf("check: %s", problem)
		}
		store.Close()
	})
	return w
}

// restarted is the same store with a service that remembers nothing.
func (w *world) restarted() *world {
	n := &world{
		t: w.t, db: w.db, kms: w.kms, now: w.now, twice: w.twice,
		service: secretsmanager.New(secretsmanager.Config{}), bound: map[*api.Operation]*api.Bound{},
	}
	for _, b := range append(n.service.Operations(), n.kms.operations()...) {
		n.bound[b.Op] = &b
	}
	return n
}

func (w *world) problems() (found []string) {
	w.t.Helper()
	err := w.db.View(context.Background(), func(tx *table.Tx) error {
		found = nil
		return w.service.Check(context.Background(), tx, func(format string, args ...any) {
			found = append(found, fmt.Sprintf(format, args...))
		})
	})
	if err != nil {
		w.t.Errorf("check: %v", err)
	}
	return found
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// caller is who calls, and from where.
type caller struct {
	*world
	account, region string
}

func (w *world) as(account string) caller { return caller{w, account, region} }
func (w *world) in(region string) caller  { return caller{w, account, region} }
func (w *world) root() caller             { return caller{w, account, region} }
func (c caller) principal() api.Principal {
	return iamtest.Root(c.account, c.region)
}

// call sends one request through the gate.
func call[I, O any](c caller, op api.Op[I, O], in *I) (*O, error) {
	w := c.world
	r := &api.Request{
		Context: context.Background(), ID: api.NewID(), Time: w.time(), Op: op.Operation,
		Principal: c.principal(), Account: c.account, Region: c.region, Caller: gate{w}, Directory: directory, Read: iamtest.Reader(w.db),
	}
	s := any(in).(api.Struct)
	r.Input = s
	if err := api.Validate(s); err != nil {
		return nil, err
	}
	b := w.bound[op.Operation]
	if b == nil {
		w.t.Fatalf("%s is not bound", op.Name)
	}
	var out api.Struct
	run := func(tx *table.Tx) (err error) {
		r.Tx = tx
		r.Allowed = policy.Allowed{}
		r.TakeAfter()
		r.TakeEvents()
		out, err = b.Run(r, s, w.decider(r))
		return err
	}
	var err error
	if op.Mode == api.Write {
		// Closures may run again, and in tests they do: what a run leaves
		// behind outside its transaction shows.
		if w.twice {
			w.db.Update(r.Context, func(tx *table.Tx) error { run(tx); return errAbort })
		}
		err = w.db.Update(r.Context, run)
	} else {
		err = w.db.View(r.Context, run)
	}
	if err != nil {
		apitest.Modelled(w.t, op.Operation, err)
		return nil, err
	}
	w.commit(r)
	for _, f := range r.TakeAfter() {
		f()
	}
	return any(out).(*O), nil
}

var errAbort = errors.New("run again")

var directory = iamtest.NewDirectory()

// decider does what the gate's decision does.
func (w *world) decider(r *api.Request) func(*api.Access) error {
	decide := directory.Decider(r)
	return func(a *api.Access) error {
		if w.open {
			r.Allowed = policy.Allowed{}
			return nil
		}
		return decide(a)
	}
}

// gate is the api.Caller of handlers.
type gate struct{ w *world }

func (g gate) Call(r *api.Request, op *api.Operation, in api.Struct) (api.Struct, error) {
	inner := *r
	inner.Via = append(slices.Clone(r.Via), r.Op.Service.EventSource)
	return g.call(r, inner, op, in)
}

// CallAsService implements api.Caller.
func (g gate) CallAsService(r *api.Request, source string, op *api.Operation, in api.Struct) (api.Struct, error) {
	inner := *r
	inner.Principal = api.Principal{Caller: policy.Caller{Type: policy.AWSService, Service: r.Op.Service.EventSource}}
	inner.Via, inner.Source = nil, source
	return g.call(r, inner, op, in)
}

// CallWith implements api.Caller: Secrets Manager has no roles.
func (gate) CallWith(*api.Request, api.Sensitive, *api.Operation, api.Struct) (api.Struct, error) {
	return nil, errors.New("Secrets Manager called with a session")
}

func (g gate) call(r *api.Request, inner api.Request, op *api.Operation, in api.Struct) (api.Struct, error) {
	inner.Op, inner.Input = op, in
	inner.Allowed = policy.Allowed{}
	inner.TakeAfter()
	b := g.w.bound[op]
	if b == nil {
		return nil, fmt.Errorf("%s is not bound", op.Name)
	}
	err := api.Validate(in)
	var out api.Struct
	if err == nil {
		out, err = b.Run(&inner, in, g.w.decider(&inner))
	}
	for _, f := range inner.TakeAfter() {
		r.After(f)
	}
	g.w.mu.Lock()
	g.w.records = append(g.w.records, strings.TrimSpace(op.Name+" "+fault.Code(err)))
	g.w.mu.Unlock()
	return out, err
}

// Authorize implements api.Caller.
func (g gate) Authorize(r *api.Request, a *api.Access) (policy.Allowed, error) {
	if g.w.open {
		return policy.Allowed{}, nil
	}
	return directory.Authorize(r, a)
}

func (w *world) commit(r *api.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range r.TakeEvents() {
		if e.Account != account || e.Region != region || !strings.HasPrefix(e.Data["SecretId"], "arn:aws:secretsmanager:"+region+":"+account+":secret:") {
			w.t.Errorf("event %+v", e)
		}
		w.events = append(w.events, strings.TrimSpace(e.Name+" "+short(e.Data["SecretVersionId"])))
	}
}

// work runs a background task until it has no more to do.
func (w *world) work(name string) {
	w.t.Helper()
	for _, task := range w.service.Tasks() {
		if task.Name != name {
			continue
		}
		for i := 0; ; i++ {
			r := &api.Request{Context: context.Background(), Time: w.time(), Caller: gate{w}}
			var more bool
			err := w.db.Update(r.Context, func(tx *table.Tx) (err error) {
				r.Tx = tx
				r.TakeAfter()
				r.TakeEvents()
				more, err = task.Run(r)
				return err
			})
			if err != nil {
				w.t.Fatalf("%s: %v", name, err)
			}
			w.commit(r)
			for _, f := range r.TakeAfter() {
				f()
			}
			if !more {
				return
			}
			if i > 1000 {
				w.t.Fatalf("%s does not end", name)
			}
		}
	}
	w.t.Fatalf("no task %s", name)
}

// wantFault checks code and text of a failed call.
func wantFault[O any](t testing.TB, out *O, err error, code, text string) {
	t.Helper()
	f, ok := fault.As(err)
	switch {
	case err == nil:
		t.Errorf("succeeded, want %s", code)
	case !ok:
		t.Errorf("untyped error %v, want %s", err, code)
	case f.Code != code || f.Message != text:
		t.Errorf("got  %s: %s\nwant %s: %s", f.Code, f.Message, code, text)
	}
	if out != nil {
		t.Errorf("an answer beside the error")
	}
}

// token makes a valid version id from a short name.
func token(name string) *string { return new(name + strings.Repeat("-", 32-min(32, len(name)))) }

func short(id string) string { return strings.TrimRight(id, "-") }

func (c caller) create(name string, value string) *smapi.CreateSecretOutput {
	c.t.Helper()
	in := &smapi.CreateSecretInput{Name: &name}
	if value != "" {
		in.ClientRequestToken, in.SecretString = token("v1"), api.Sensitive(value)
	}
	out, err := call(c, smapi.CreateSecret, in)
	if err != nil {
		c.t.Fatalf("CreateSecret %s: %v", name, err)
	}
	return out
}

func (c caller) put(id, version, value string, stages ...string) {
	c.t.Helper()
	_, err := call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{
		SecretId: &id, ClientRequestToken: token(version), SecretString: api.Sensitive(value), VersionStages: stages,
	})
	if err != nil {
		c.t.Fatalf("PutSecretValue %s %s: %v", id, version, err)
	}
}

func (c caller) get(id, version, stage string) (string, error) {
	in := &smapi.GetSecretValueInput{SecretId: &id}
	if version != "" {
		in.VersionId = token(version)
	}
	if stage != "" {
		in.VersionStage = &stage
	}
	out, err := call(c, smapi.GetSecretValue, in)
	if err != nil {
		return "", err
	}
	return string(out.SecretString), nil
}

func (c caller) describe(id string) *smapi.DescribeSecretOutput {
	c.t.Helper()
	out, err := call(c, smapi.DescribeSecret, &smapi.DescribeSecretInput{SecretId: &id})
	if err != nil {
		c.t.Fatalf("DescribeSecret %s: %v", id, err)
	}
	return out
}

// labels draws a secret's versions as the spec does: "v1[AWSPREVIOUS] v2[AWSCURRENT]".
func (c caller) labels(id string) string {
	c.t.Helper()
	out, err := call(c, smapi.ListSecretVersionIds, &smapi.ListSecretVersionIdsInput{SecretId: &id, IncludeDeprecated: new(true)})
	if err != nil {
		c.t.Fatalf("ListSecretVersionIds %s: %v", id, err)
	}
	var vs []string
	for _, v := range out.Versions {
		stages := slices.Clone(v.VersionStages)
		slices.Sort(stages)
		vs = append(vs, short(*v.VersionId)+"["+strings.Join(stages, ",")+"]")
	}
	slices.Sort(vs)
	return strings.Join(vs, " ")
}

// fakeKMS wraps data keys with AES-GCM and the context as associated data.
// It keeps nothing in the transaction.
type fakeKMS struct {
	mu     sync.Mutex
	keys   map[string]*fakeKey // by ARN
	alias  map[string]string   // alias ARN to key ARN
	denied map[string]bool     // "kms:Encrypt arn"
	calls  []string            // "GenerateDataKey key version"
}

type fakeKey struct {
	arn   string
	state *fault.Error // nil: usable
	aead  cipher.AEAD
}

func newFakeKMS() *fakeKMS {
	return &fakeKMS{keys: map[string]*fakeKey{}, alias: map[string]string{}, denied: map[string]bool{}}
}

func keyARN(account, id string) string { return "arn:aws:kms:" + region + ":" + account + ":key/" + id }

func (k *fakeKMS) add(account, id string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.addLocked(account, id)
}

func (k *fakeKMS) addLocked(account, id string) string {
	raw := make([]byte, 32)
	rand.Read(raw)
	block, _ := aes.NewCipher(raw)
	aead, _ := cipher.NewGCMWithRandomNonce(block)
	a := keyARN(account, id)
	k.keys[a] = &fakeKey{arn: a, aead: aead}
	return a
}

func (k *fakeKMS) deny(action, key string) { k.denied["kms:"+action+" "+key] = true }

// find resolves an identifier in the caller's account.
func (k *fakeKMS) find(r *api.Request, id string) (*fakeKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	full := id
	if !strings.HasPrefix(id, "arn:") {
		if !strings.HasPrefix(id, "alias/") {
			id = "key/" + id
		}
		full = "arn:aws:kms:" + r.Region + ":" + r.Account + ":" + id
	}
	if key, ok := k.alias[full]; ok {
		full = key
	} else if strings.HasSuffix(full, ":alias/aws/secretsmanager") && strings.Contains(full, r.Account) && len(r.Via) > 0 {
		full = keyARN(r.Account, "managed")
		if k.keys[full] == nil {
			k.addLocked(r.Account, "managed")
		}
	}
	if key := k.keys[full]; key != nil {
		return key, nil
	}
	return nil, kmsapi.NotFoundException("Key '" + full + "' does not exist")
}

func (k *fakeKMS) use(r *api.Request, key *fakeKey) error {
	if k.denied["kms:"+r.Op.Name+" "+key.arn] {
		return api.AccessDeniedException("User is not authorized to perform: kms:" + r.Op.Name)
	}
	if key.state != nil {
		return key.state
	}
	return nil
}

func (k *fakeKMS) note(r *api.Request, key *fakeKey, context map[string]string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls = append(k.calls, r.Op.Name+" "+key.arn[strings.LastIndexByte(key.arn, '/')+1:]+" "+short(context["SecretVersionId"]))
}

// since returns the calls made since the last time it was asked.
func (k *fakeKMS) since() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := strings.Join(k.calls, ", ")
	k.calls = nil
	return s
}

func contextAAD(m map[string]string) []byte {
	var b []byte
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = fmt.Appendf(b, "%d %s %d %s ", len(k), k, len(m[k]), m[k])
	}
	return b
}

func (k *fakeKMS) wrap(key *fakeKey, plain []byte, context map[string]string) []byte {
	blob := append([]byte(key.arn), 0)
	return key.aead.Seal(blob, nil, plain, contextAAD(context))
}

func (k *fakeKMS) operations() []api.Bound {
	anyKey := func(r *api.Request) api.Access {
		return api.Access{Resource: keyARN(r.Account, "any"), Account: r.Account}
	}
	return []api.Bound{
		api.Bind(kmsapi.GenerateDataKey,
			func(r *api.Request, in *kmsapi.GenerateDataKeyInput) (struct{}, api.Access, error) {
				return struct{}{}, anyKey(r), nil
			},
			func(r *api.Request, in *kmsapi.GenerateDataKeyInput, _ struct{}) (*kmsapi.GenerateDataKeyOutput, error) {
				key, err := k.find(r, *in.KeyId)
				if err != nil {
					return nil, err
				}
				if err := k.use(r, key); err != nil {
					return nil, err
				}
				k.note(r, key, in.EncryptionContext)
				plain := make([]byte, 32)
				rand.Read(plain)
				return &kmsapi.GenerateDataKeyOutput{KeyId: &key.arn, Plaintext: plain, CiphertextBlob: k.wrap(key, plain, in.EncryptionContext)}, nil
			}),
		api.Bind(kmsapi.Encrypt,
			func(r *api.Request, in *kmsapi.EncryptInput) (struct{}, api.Access, error) {
				return struct{}{}, anyKey(r), nil
			},
			func(r *api.Request, in *kmsapi.EncryptInput, _ struct{}) (*kmsapi.EncryptOutput, error) {
				key, err := k.find(r, *in.KeyId)
				if err != nil {
					return nil, err
				}
				if err := k.use(r, key); err != nil {
					return nil, err
				}
				k.note(r, key, in.EncryptionContext)
				return &kmsapi.EncryptOutput{KeyId: &key.arn, CiphertextBlob: k.wrap(key, in.Plaintext, in.EncryptionContext)}, nil
			}),
		api.Bind(kmsapi.Decrypt,
			func(r *api.Request, in *kmsapi.DecryptInput) (struct{}, api.Access, error) {
				return struct{}{}, anyKey(r), nil
			},
			func(r *api.Request, in *kmsapi.DecryptInput, _ struct{}) (*kmsapi.DecryptOutput, error) {
				arn, blob, ok := strings.Cut(string(in.CiphertextBlob), "\x00")
				if !ok {
					return nil, kmsapi.InvalidCiphertextException("")
				}
				key, err := k.find(r, arn)
				if err != nil {
					return nil, err
				}
				if err := k.use(r, key); err != nil {
					return nil, err
				}
				k.note(r, key, in.EncryptionContext)
				plain, err := key.aead.Open(nil, nil, []byte(blob), contextAAD(in.EncryptionContext))
				if err != nil {
					return nil, kmsapi.InvalidCiphertextException("").Because(errors.New("context"))
				}
				return &kmsapi.DecryptOutput{KeyId: &key.arn, Plaintext: plain}, nil
			}),
	}
}
