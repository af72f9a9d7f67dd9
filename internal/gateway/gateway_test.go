package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/audit"
	"coffer/internal/envelope"
	"coffer/internal/fault"
	"coffer/internal/gateway"
	"coffer/internal/iam"
	"coffer/internal/kv/memory"
	"coffer/internal/session"
	"coffer/internal/sigv4"
	"coffer/internal/table"
)

// note is what the toy service stores.
type note struct {
	Name string `cbor:"1,keyasint"`
	Runs int    `cbor:"2,keyasint"`
}

var notes = table.Collection[note]{Name: "toy.note", Key: func(n *note) table.Key { return table.K(n.Name) }}

// gate is a gateway over a toy service that borrows operations of Secrets Manager.
type gate struct {
	*gateway.Gateway
	db     *table.DB
	log    *audit.Log
	outbox *gateway.Outbox
	logs   *bytes.Buffer
	key    *iam.AccessKey
	dir    string
	store  *memory.Store

	service *api.Service
	crowded bool
}

// operation finds an operation of the toy service.
func (g *gate) operation(name string) *api.Operation {
	for _, op := range g.service.Operations {
		if op.Name == name {
			return op
		}
	}
	return nil
}

type (
	describe = func(*api.Request, *smapi.DescribeSecretInput) (*smapi.DescribeSecretOutput, error)
	restore  = func(*api.Request, *smapi.RestoreSecretInput) (*smapi.RestoreSecretOutput, error)
)

// own is the access to a thing of the caller's own account.
func own(r *api.Request, name string) api.Access {
	return api.Access{
		Resource: "arn:aws:secretsmanager:" + r.Region + ":" + r.Account + ":secret:" + name,
		Account:  r.Account, Named: name,
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	*bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func newGate(t *testing.T, read describe, write restore, options ...func(*gateway.Config)) *gate {
	t.Helper()
	ctx := context.Background()
	ring, _, err := envelope.NewKeyring(ctx, envelope.NewMemoryKey())
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{dir: t.TempDir(), logs: new(bytes.Buffer), store: memory.New()}
	t.Cleanup(func() { g.store.Close() })
	g.db = table.New(table.Config{Store: g.store, Sealer: ring.Sealer()})
	logger := slog.New(slog.NewTextHandler(&lockedBuffer{Buffer: g.logs}, nil))
	if g.log, err = audit.Open(audit.Config{Dir: g.dir, Logger: logger}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.log.Close() })
	if err := g.db.Update(ctx, func(tx *table.Tx) error { _, g.key, err = iam.CreateAccount(tx, "main", "aws", time.Now()); return err }); err != nil {
		t.Fatal(err)
	}
	g.outbox = gateway.NewOutbox(g.db, g.log, logger)
	d, r := *smapi.DescribeSecret.Operation, *smapi.RestoreSecret.Operation
	svc := *smapi.Service
	svc.Operations = []*api.Operation{&d, &r}
	service := api.NewService(svc)
	g.service = service
	tokens, err := session.New(ring.Derive("session tokens"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := gateway.Config{
		Throttle:  gateway.Throttle{Off: true},
		Directory: iam.NewDirectory(iam.DirectoryConfig{}), Tokens: tokens,
		DB: g.db, Log: g.log, Outbox: g.outbox, Services: []*api.Service{service}, Logger: logger,
		Metrics: gateway.NewMetrics(prometheus.NewRegistry()),
		Crowded: func() bool { return g.crowded },
		Operations: []api.Bound{
			api.Bind(api.Op[smapi.DescribeSecretInput, smapi.DescribeSecretOutput]{Operation: &d},
				func(r *api.Request, in *smapi.DescribeSecretInput) (struct{}, api.Access, error) {
					return struct{}{}, own(r, *in.SecretId), nil
				},
				func(r *api.Request, in *smapi.DescribeSecretInput, _ struct{}) (*smapi.DescribeSecretOutput, error) {
					return read(r, in)
				}),
			api.Bind(api.Op[smapi.RestoreSecretInput, smapi.RestoreSecretOutput]{Operation: &r},
				func(r *api.Request, in *smapi.RestoreSecretInput) (struct{}, api.Access, error) {
					a := own(r, *in.SecretId)
					if *in.SecretId == "foreign" {
						a.Account = "999999999999"
						a.Resource = "arn:aws:secretsmanager:" + r.Region + ":999999999999:secret:foreign"
					}
					return struct{}{}, a, nil
				},
				func(r *api.Request, in *smapi.RestoreSecretInput, _ struct{}) (*smapi.RestoreSecretOutput, error) {
					return write(r, in)
				}),
		},
	}
	for _, o := range options {
		o(&cfg)
	}
	if g.Gateway, err = gateway.New(cfg); err != nil {
		t.Fatal(err)
	}
	return g
}

// call signs and sends one request.
func (g *gate) call(t *testing.T, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	return g.callIn(t, "eu-west-1", g.key, target, body)
}

// callIn is call in a region, with the keys of an account.
func (g *gate) callIn(t *testing.T, region string, key *iam.AccessKey, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target)
	by := sigv4.Signer{AccessKeyID: key.ID, SecretAccessKey: sigv4.Secret(key.Secret.Reveal())}
	if err := sigv4.Sign(r, []byte(body), by, region, "secretsmanager", time.Now()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

// records are the records in the log of one request.
func (g *gate) records(t *testing.T, requestID string) (out []audit.Record) {
	t.Helper()
	for e, err := range g.log.Read(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := audit.ParseRecord(e.Record)
		if err != nil {
			t.Fatal(err)
		}
		if rec.RequestID == requestID {
			out = append(out, rec)
		}
	}
	return out
}

func wantError(t *testing.T, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	if w.Code != status || !strings.Contains(w.Body.String(), `"__type":"`+code+`"`) {
		t.Errorf("answered %d %s, want %d %s", w.Code, w.Body, status, code)
	}
}

func described(*api.Request, *smapi.DescribeSecretInput) (*smapi.DescribeSecretOutput, error) {
	return &smapi.DescribeSecretOutput{Name: new("x")}, nil
}

func restored(r *api.Request, in *smapi.RestoreSecretInput) (*smapi.RestoreSecretOutput, error) {
	n, err := notes.Load(r.Tx, table.K(*in.SecretId))
	if errors.Is(err, table.ErrNotFound) {
		n, err = &note{Name: *in.SecretId}, nil
	}
	if err != nil {
		return nil, err
	}
	n.Runs++
	return &smapi.RestoreSecretOutput{Name: in.SecretId}, notes.Put(r.Tx, n)
}

func (g *gate) note(t *testing.T, name string) (runs int) {
	t.Helper()
	err := g.db.View(context.Background(), func(tx *table.Tx) error {
		n, err := notes.Get(tx, table.K(name))
		if err == nil {
			runs = n.Runs
		}
		return err
	})
	if err != nil && !errors.Is(err, table.ErrNotFound) {
		t.Fatal(err)
	}
	return runs
}

const (
	reads  = "secretsmanager.DescribeSecret"
	writes = "secretsmanager.RestoreSecret"
	onX    = `{"SecretId":"x"}`
)

func TestReadLeavesOneRecord(t *testing.T) {
	g := newGate(t, described, restored)
	w := g.call(t, reads, onX)
	if w.Code != 200 {
		t.Fatalf("answered %d %s", w.Code, w.Body)
	}
	recs := g.records(t, w.Header().Get("x-amzn-RequestId"))
	if len(recs) != 1 || recs[0].EventName != "DescribeSecret" || !recs[0].ReadOnly || recs[0].ErrorCode != "" ||
		recs[0].UserIdentity.AccessKeyID != g.key.ID || string(recs[0].RequestParameters) != `{"secretId":"x"}` {
		t.Errorf("records %+v", recs)
	}
}

// The record of a mutation is in the store with it, reaches the log once, and a
// mover that was killed in between neither loses nor doubles it.
func TestMutationRecordMoves(t *testing.T) {
	g := newGate(t, described, restored)
	var ids []string
	for range 5 {
		w := g.call(t, writes, onX)
		if w.Code != 200 {
			t.Fatalf("answered %d %s", w.Code, w.Body)
		}
		ids = append(ids, w.Header().Get("x-amzn-RequestId"))
	}
	// Nobody moved anything yet: Recover must. A second Recover must not repeat.
	for round := range 2 {
		if err := g.outbox.Recover(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if n := len(g.records(t, id)); n != 1 {
				t.Errorf("round %d: %d records of %s", round, n, id)
			}
		}
	}
	// Appended but not removed, as after a kill: the rows are back, the log has them.
	w := g.call(t, writes, onX)
	id := w.Header().Get("x-amzn-RequestId")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g.outbox.Run(ctx) // moves the queue in its final drain
	if n := len(g.records(t, id)); n != 1 {
		t.Errorf("%d records after the mover ran", n)
	}
	if err := g.outbox.Recover(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := len(g.records(t, id)); n != 1 {
		t.Errorf("%d records after a recovery", n)
	}
}

// When the log cannot be written nobody gets an answer, and nothing is changed.
func TestNoRecordNoAnswer(t *testing.T) {
	g := newGate(t, described, restored)
	g.log.Close()
	wantError(t, g.call(t, reads, onX), 500, "InternalServiceError")
	wantError(t, g.call(t, writes, onX), 500, "InternalServiceError")
	if n := g.note(t, "x"); n != 0 {
		t.Errorf("a write that could not be recorded ran %d times", n)
	}
	if !strings.Contains(g.logs.String(), "audit log cannot be written") {
		t.Errorf("the server's log does not say why: %s", g.logs)
	}
}

// A refused caller learns the same of what exists and what does not, the handler
// never runs, and the refusal is recorded.
func TestDeniedBeforeAnythingElse(t *testing.T) {
	ran := false
	g := newGate(t, described, func(*api.Request, *smapi.RestoreSecretInput) (*smapi.RestoreSecretOutput, error) {
		ran = true
		return nil, nil
	})
	w := g.call(t, writes, `{"SecretId":"foreign"}`)
	wantError(t, w, 400, "AccessDeniedException")
	if ran {
		t.Error("the handler ran")
	}
	recs := g.records(t, w.Header().Get("x-amzn-RequestId"))
	if len(recs) != 1 || recs[0].ErrorCode != "AccessDeniedException" {
		t.Errorf("records %+v", recs)
	}
}

// What goes wrong inside is logged whole and answered without detail.
func TestInternalErrorsTellNothing(t *testing.T) {
	const marker = "marker-of-an-inner-detail"
	for name, f := range map[string]describe{
		"an untyped error": func(*api.Request, *smapi.DescribeSecretInput) (*smapi.DescribeSecretOutput, error) {
			return nil, fmt.Errorf("disk: %s", marker)
		},
		"a panic": func(*api.Request, *smapi.DescribeSecretInput) (*smapi.DescribeSecretOutput, error) {
			var a []int
			_ = a[len(marker)]
			return nil, nil
		},
		"a typed error with a cause": func(*api.Request, *smapi.DescribeSecretInput) (*smapi.DescribeSecretOutput, error) {
			return nil, smapi.InternalServiceError("").Because(errors.New(marker))
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, f, restored)
			w := g.call(t, reads, onX)
			wantError(t, w, 500, "InternalServiceError")
			if strings.Contains(w.Body.String(), marker) || strings.Contains(w.Body.String(), "index out of range") {
				t.Errorf("the answer tells: %s", w.Body)
			}
			id := w.Header().Get("x-amzn-RequestId")
			if !strings.Contains(g.logs.String(), id) {
				t.Errorf("the log does not name the request: %s", g.logs)
			}
			if recs := g.records(t, id); len(recs) != 1 || recs[0].ErrorCode != "InternalServiceError" {
				t.Errorf("records %+v", recs)
			}
		})
	}
	// The value of a panic may hold a secret; only the runtime's own are logged.
	g := newGate(t, func(*api.Request, *smapi.DescribeSecretInput) (*smapi.DescribeSecretOutput, error) { panic(marker) }, restored)
	wantError(t, g.call(t, reads, onX), 500, "InternalServiceError")
	if strings.Contains(g.logs.String(), marker) {
		t.Error("the value of a panic is in the log")
	}
}

// A failed write leaves nothing, and one record that says it failed.
func TestFailedWrite(t *testing.T) {
	g := newGate(t, described, func(r *api.Request, in *smapi.RestoreSecretInput) (*smapi.RestoreSecretOutput, error) {
		if _, err := restored(r, in); err != nil {
			return nil, err
		}
		return nil, smapi.InvalidRequestException("no")
	})
	w := g.call(t, writes, onX)
	wantError(t, w, 400, "InvalidRequestException")
	if n := g.note(t, "x"); n != 0 {
		t.Errorf("a failed write stored %d", n)
	}
	if recs := g.records(t, w.Header().Get("x-amzn-RequestId")); len(recs) != 1 || recs[0].ErrorCode != "InvalidRequestException" {
		t.Errorf("records %+v", recs)
	}
}

// Effects registered with After happen for what succeeded, and only then.
func TestAfter(t *testing.T) {
	n := 0
	fail := true
	g := newGate(t, func(r *api.Request, _ *smapi.DescribeSecretInput) (*smapi.DescribeSecretOutput, error) {
		r.After(func() { n++ })
		if fail {
			return nil, smapi.InvalidRequestException("no")
		}
		return &smapi.DescribeSecretOutput{}, nil
	}, restored)
	g.call(t, reads, onX)
	if n != 0 {
		t.Error("an effect of a failed call happened")
	}
	fail = false
	g.call(t, reads, onX)
	if n != 1 {
		t.Errorf("effect happened %d times", n)
	}
}

// Concurrent writers of one row conflict and run again: every acknowledged write counts
// once, and has one record.
func TestConflictsCountOnce(t *testing.T) {
	g := newGate(t, described, restored)
	const writers, each = 8, 25
	var wg sync.WaitGroup
	ids := make(chan string, writers*each)
	for range writers {
		wg.Go(func() {
			for range each {
				w := g.call(t, writes, onX)
				if w.Code != 200 {
					t.Errorf("answered %d %s", w.Code, w.Body)
				}
				ids <- w.Header().Get("x-amzn-RequestId")
			}
		})
	}
	wg.Wait()
	close(ids)
	if n := g.note(t, "x"); n != writers*each {
		t.Errorf("stored %d, acknowledged %d", n, writers*each)
	}
	if err := g.outbox.Recover(context.Background()); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for e, err := range g.log.Read(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := audit.ParseRecord(e.Record)
		if err != nil {
			t.Fatal(err)
		}
		count[rec.RequestID]++
	}
	for id := range ids {
		if count[id] != 1 {
			t.Errorf("%d records of %s", count[id], id)
		}
	}
}

// A background task's events are recorded with what it did.
func TestTask(t *testing.T) {
	g := newGate(t, described, restored)
	task := &api.Task{Name: "toy", Service: smapi.Service, Run: func(r *api.Request) (bool, error) {
		r.Emit(api.ServiceEvent{Name: "EndSecretVersionDelete", Account: "111122223333", Region: "eu-west-1", Data: map[string]string{"SecretId": "x"}})
		return true, notes.Put(r.Tx, &note{Name: "task", Runs: 1})
	}}
	more, err := g.RunTask(context.Background(), task)
	if err != nil || !more || g.note(t, "task") != 1 {
		t.Fatalf("more %v, error %v", more, err)
	}
	if err := g.outbox.Recover(context.Background()); err != nil {
		t.Fatal(err)
	}
	found := 0
	for e, err := range g.log.Read(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := audit.ParseRecord(e.Record)
		if err != nil {
			t.Fatal(err)
		}
		if rec.EventType == audit.TypeServiceEvent && rec.EventName == "EndSecretVersionDelete" && string(rec.AdditionalEventData) == `{"SecretId":"x"}` {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d records of the task's event", found)
	}
	task.Run = func(*api.Request) (bool, error) { return false, fault.New(fault.Internal, "X", "") }
	if _, err := g.RunTask(context.Background(), task); err == nil {
		t.Error("a failed task looks done")
	}
}
