package rotation_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/envelope"
	"coffer/internal/kv/memory"
	"coffer/internal/rotation"
	"coffer/internal/secretsmanager"
	"coffer/internal/table"
)

const (
	account = "111122223333"
	region  = "eu-west-1"
)

// gate is the gate of the tests: real transactions on a store in memory, and functions
// that are Go functions.
type gate struct {
	t       *testing.T
	db      *table.DB
	secrets *secretsmanager.Service
	invoke  func(ctx context.Context, function, step, secret string) (*lambdaapi.InvokeOutput, error)

	mu      sync.Mutex
	broken  int // transactions that fail before one works
	steps   []string
	events  []string
	running map[string]int // invocations at once by function, and "" for all
	most    map[string]int
}

func newGate(t *testing.T) *gate {
	t.Helper()
	sealer, err := envelope.NewSealer(envelope.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	return &gate{
		t: t, db: table.New(table.Config{Store: store, Sealer: sealer}), secrets: secretsmanager.New(secretsmanager.Config{}),
		running: map[string]int{}, most: map[string]int{},
	}
}

func (g *gate) RunTask(ctx context.Context, task *api.Task) (more bool, err error) {
	g.mu.Lock()
	if g.broken > 0 {
		g.broken--
		g.mu.Unlock()
		return false, errors.New("the disk is full")
	}
	g.mu.Unlock()
	r := &api.Request{Context: ctx, Time: time.Now()}
	err = g.db.Update(ctx, func(tx *table.Tx) error {
		r.Tx = tx
		r.TakeEvents()
		more, err = task.Run(r)
		return err
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range r.TakeEvents() {
		g.events = append(g.events, e.Name)
	}
	return more, err
}

func (g *gate) CallAsService(ctx context.Context, s *api.Service, source string, op *api.Operation, in api.Struct) (api.Struct, error) {
	i := in.(*lambdaapi.InvokeInput)
	var e struct{ Step, SecretId, ClientRequestToken, RotationToken string }
	if err := json.Unmarshal(i.Payload, &e); err != nil {
		g.t.Errorf("payload: %v", err)
	}
	if op != lambdaapi.Invoke.Operation || s.Name != "secretsmanager" || source != e.SecretId || len(e.RotationToken) < 36 || *i.LogType != "Tail" || *i.InvocationType != "RequestResponse" {
		g.t.Errorf("%s called %s for %s with %v", s.Name, op.Name, source, e.Step)
	}
	name := (*i.FunctionName)[strings.LastIndex(*i.FunctionName, ":")+1:]
	secret := e.SecretId[strings.LastIndex(e.SecretId, ":")+1 : len(e.SecretId)-7]
	g.count(name, 1)
	defer g.count(name, -1)
	out, err := g.invoke(ctx, name, e.Step, secret)
	if err == nil && out.FunctionError == nil && e.Step == "finishSecret" {
		g.makeCurrent(strings.Split(e.SecretId, ":")[4], secret, e.ClientRequestToken)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (g *gate) count(function string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range []string{function, ""} {
		g.running[f] += n
		g.most[f] = max(g.most[f], g.running[f])
	}
}

// makeCurrent is what finishSecret asks Secrets Manager for.
func (g *gate) makeCurrent(account, secret, version string) {
	err := g.db.Update(context.Background(), func(tx *table.Tx) error {
		s, err := secretsmanager.Secrets.Load(tx, table.K(account, region, secret))
		if err != nil {
			return err
		}
		for i := range s.Versions {
			v := &s.Versions[i]
			v.Stages = slices.DeleteFunc(v.Stages, func(l string) bool { return l == "AWSCURRENT" })
			if v.ID == version {
				v.Stages = append(v.Stages, "AWSCURRENT")
			} else if len(v.Stages) == 0 {
				v.Stages = []string{"AWSPREVIOUS"}
			}
		}
		return secretsmanager.Secrets.Put(tx, s)
	})
	if err != nil {
		g.t.Errorf("finishSecret of %s: %v", secret, err)
	}
}

// scheduled makes secrets that rotate with a function, the first time after d.
func (g *gate) scheduled(function string, n int, d time.Duration) {
	g.t.Helper()
	g.scheduledIn(account, function, n, d)
}

func (g *gate) scheduledIn(account, function string, n int, d time.Duration) {
	g.t.Helper()
	for i := range n {
		name := fmt.Sprintf("%s-%04d", function, i)
		at := table.At(time.Now().Add(d))
		err := g.db.Update(g.t.Context(), func(tx *table.Tx) error {
			return secretsmanager.Secrets.Insert(tx, &secretsmanager.Secret{
				Account: account, Region: region, Name: name, UID: fmt.Sprintf("%032d", i) + function, Suffix: "aBcDeF",
				Versions: []secretsmanager.Version{{ID: strings.Repeat("v", 32), Stages: []string{"AWSCURRENT"}}},
				Rotation: &secretsmanager.Rotation{
					Enabled: true, Function: "arn:aws:lambda:" + region + ":" + account + ":function:" + function,
					Days: 1, Opens: at, At: at, Closes: at + table.Millis(time.Hour.Milliseconds()),
				},
			})
		})
		if err != nil {
			g.t.Fatal(err)
		}
	}
}

// start runs a worker until the test's bubble is done with stop.
func (g *gate) start(cfg rotation.Config) (stop func()) {
	cfg.Gate, cfg.Secrets, cfg.DB = g, g.secrets, g.db
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	ctx, cancel := context.WithCancel(g.t.Context())
	done := make(chan struct{})
	go func() { rotation.New(cfg).Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

func (g *gate) note(step string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.steps = append(g.steps, step)
}

func (g *gate) counted(event string) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		if e == event {
			n++
		}
	}
	return n
}

func ok() (*lambdaapi.InvokeOutput, error) { return &lambdaapi.InvokeOutput{}, nil }

func TestWorkerRotatesWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		g.invoke = func(_ context.Context, _, step, secret string) (*lambdaapi.InvokeOutput, error) {
			g.note(time.Now().Format("15:04:05 ") + step)
			time.Sleep(time.Second)
			return ok()
		}
		g.scheduled("f", 1, 10*time.Minute)
		stop := g.start(rotation.Config{})
		time.Sleep(20 * time.Minute)
		stop()
		want := "00:10:00 createSecret 00:10:01 setSecret 00:10:02 testSecret 00:10:03 finishSecret"
		if got := strings.Join(g.steps, " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if g.counted("RotationStarted") != 1 || g.counted("RotationSucceeded") != 1 {
			t.Errorf("events %v", g.events)
		}
	})
}

// The bounds hold, and a function without room keeps nobody else waiting for long.
func TestWorkerBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		g.invoke = func(ctx context.Context, function, _, _ string) (*lambdaapi.InvokeOutput, error) {
			d := time.Second
			if function == "a-hangs" {
				d = 15 * time.Minute
			}
			select {
			case <-time.After(d):
				return ok()
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		g.scheduled("a-hangs", 300, 0)
		g.scheduled("works", 100, time.Second)
		stop := g.start(rotation.Config{AtOnce: 16, PerFunction: 4})
		time.Sleep(4 * time.Minute)
		if n := g.counted("RotationSucceeded"); n != 100 {
			t.Errorf("%d of 100 rotated behind a function that hangs", n)
		}
		stop()
		if g.most[""] > 8 || g.most["a-hangs"] != 4 || g.most["works"] != 4 {
			t.Errorf("at once: %v", g.most)
		}
	})
}

// Rotations begin one after the other; one that has begun is not held up, not even by others
// that hang.
func TestWorkerPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		g.invoke = func(ctx context.Context, function, step, _ string) (*lambdaapi.InvokeOutput, error) {
			if function == "hangs" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			if step == "createSecret" || step == "finishSecret" {
				g.note(time.Now().Format("05.0 ") + step)
			}
			time.Sleep(time.Second)
			return ok()
		}
		g.scheduled("hangs", 2, time.Second)
		g.scheduled("works", 3, 10*time.Second)
		stop := g.start(rotation.Config{PerFunction: 3, Pace: 0.5})
		time.Sleep(time.Minute)
		stop()
		want := "10.0 createSecret, 12.0 createSecret, 13.0 finishSecret, 14.0 createSecret, 15.0 finishSecret, 17.0 finishSecret"
		if got := strings.Join(g.steps, ", "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// An account whose functions never end leaves half of the room to others.
func TestWorkerLeavesRoomToOtherAccounts(t *testing.T) {
	for atOnce, most := range map[int]int{8: 4, 3: 1} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate(t)
			g.invoke = func(ctx context.Context, function, _, _ string) (*lambdaapi.InvokeOutput, error) {
				if function == "works" {
					return ok()
				}
				g.note(function)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			g.scheduled("hangs-1", 8, 0)
			g.scheduled("hangs-2", 8, 0)
			g.scheduledIn("444455556666", "works", 3, time.Minute)
			stop := g.start(rotation.Config{AtOnce: atOnce})
			time.Sleep(10 * time.Minute)
			if n := g.counted("RotationSucceeded"); n != 3 || len(g.steps) != most {
				t.Errorf("of %d at once: %d of 3 rotated beside %d that hang, want %d", atOnce, n, len(g.steps), most)
			}
			stop()
		})
	}
}

// A worker that is stopped in a step leaves it to the next, which begins with it.
func TestWorkerGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		var hang atomic.Bool
		hang.Store(true)
		g.invoke = func(ctx context.Context, _, step, _ string) (*lambdaapi.InvokeOutput, error) {
			g.note(step)
			if hang.Load() && step == "setSecret" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return ok()
		}
		g.scheduled("f", 1, 0)
		stop := g.start(rotation.Config{})
		time.Sleep(time.Minute)
		stop()
		hang.Store(false)
		stop = g.start(rotation.Config{})
		time.Sleep(time.Minute)
		stop()
		want := "createSecret setSecret setSecret testSecret finishSecret"
		if got := strings.Join(g.steps, " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// A rotation under way may finish when the worker is stopped: readers would have the old
// password of a database that has the new one. Nothing new begins.
func TestWorkerFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		g.invoke = func(_ context.Context, _, step, secret string) (*lambdaapi.InvokeOutput, error) {
			g.note(secret + " " + step)
			time.Sleep(time.Second)
			return ok()
		}
		g.scheduled("f", 1, 0)
		g.scheduled("g", 1, 2*time.Second)
		stop := g.start(rotation.Config{})
		time.Sleep(1500 * time.Millisecond)
		began := time.Now()
		stop()
		want := "f-0000 createSecret f-0000 setSecret f-0000 testSecret f-0000 finishSecret"
		if got := strings.Join(g.steps, " "); got != want || time.Since(began) != 2500*time.Millisecond {
			t.Errorf("after %v: %s", time.Since(began), got)
		}
	})
}

// Transactions that fail are tried again, whichever they are.
func TestWorkerOutlastsTrouble(t *testing.T) {
	for broken := range 20 {
		synctest.Test(t, func(t *testing.T) {
			g := newGate(t)
			n := 0
			g.invoke = func(context.Context, string, string, string) (*lambdaapi.InvokeOutput, error) {
				if n++; n == 2 {
					g.mu.Lock()
					g.broken = broken
					g.mu.Unlock()
				}
				return ok()
			}
			g.broken = broken
			g.scheduled("f", 1, 0)
			stop := g.start(rotation.Config{})
			time.Sleep(10 * time.Minute)
			stop()
			if g.counted("RotationSucceeded") != 1 || n != 4 {
				t.Errorf("%d transactions failed: %d steps, %v", broken, n, g.events)
			}
		})
	}
}

// What Lambda refuses and what the function says end up in the secret's history.
func TestWorkerReports(t *testing.T) {
	for _, tt := range []struct {
		name     string
		out      *lambdaapi.InvokeOutput
		err      error
		message  string
		log      string
		attempts int // within ten seconds
	}{
		{"the function fails", &lambdaapi.InvokeOutput{
			FunctionError: new("Unhandled"), Payload: api.Sensitive(`{"errorMessage":"no such host","errorType":"OperationalError"}`),
			LogResult: api.Sensitive(base64.StdEncoding.EncodeToString([]byte("START\nwhat it logged\n"))),
		}, nil, "OperationalError: no such host", "START\nwhat it logged\n", 1},
		{"the function says nothing", &lambdaapi.InvokeOutput{FunctionError: new("Unhandled"), Payload: api.Sensitive(`{}`)}, nil, "the function failed without saying why", "", 1},
		{"it is gone", nil, lambdaapi.ResourceNotFoundException("Function not found: f"), "ResourceNotFoundException: Function not found: f", "", 1},
		{"Coffer's own trouble", nil, errors.New("fork: no memory"), "Coffer could not invoke the function; its own log tells more", "", 1},
		{"no process is free", nil, lambdaapi.TooManyRequestsException("Rate Exceeded."), "", "", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(t)
				attempts := 0
				g.invoke = func(context.Context, string, string, string) (*lambdaapi.InvokeOutput, error) {
					attempts++
					return tt.out, tt.err
				}
				g.scheduled("f", 1, 0)
				stop := g.start(rotation.Config{})
				time.Sleep(12 * time.Second)
				stop()
				if attempts != tt.attempts {
					t.Errorf("%d attempts, want %d", attempts, tt.attempts)
				}
				var ended []secretsmanager.Outcome
				err := g.db.View(t.Context(), func(tx *table.Tx) error {
					for e, err := range secretsmanager.Histories.Scan(tx, table.Range{}) {
						if err != nil {
							return err
						}
						ended = e.Value.Ended
					}
					return nil
				})
				switch {
				case err != nil:
					t.Fatal(err)
				case tt.message == "" && len(ended) > 0:
					t.Errorf("counted as an attempt: %+v", ended)
				case tt.message == "":
				case len(ended) != 1 || ended[0].Message != tt.message || ended[0].Log != tt.log || ended[0].Step != "createSecret" || ended[0].Result != secretsmanager.Failed:
					t.Errorf("history %+v", ended)
				}
			})
		})
	}
}

// The log of the server has a line for each attempt that failed, and an error at the end. It
// tells what kind of error there was, not what the function said, which may be anything.
func TestWorkerTellsOfFailures(t *testing.T) {
	for _, tt := range []struct{ kind, shown string }{
		{"OperationalError", "OperationalError"}, {"", "none"}, {"the password is hunter2", "other"},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate(t)
			payload, err := json.Marshal(map[string]string{"errorType": tt.kind, "errorMessage": "the password is hunter2"})
			if err != nil {
				t.Fatal(err)
			}
			g.invoke = func(context.Context, string, string, string) (*lambdaapi.InvokeOutput, error) {
				return &lambdaapi.InvokeOutput{FunctionError: new("Unhandled"), Payload: api.Sensitive(payload), LogResult: api.Sensitive(base64.StdEncoding.EncodeToString([]byte("hunter2")))}, nil
			}
			g.scheduled("f", 1, 0)
			var log bytes.Buffer
			metrics := prometheus.NewRegistry()
			stop := g.start(rotation.Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), Metrics: metrics})
			time.Sleep(time.Hour)
			stop()
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if len(lines) != 5 || strings.Contains(log.String(), "hunter2") {
				t.Fatalf("the log:\n%s", &log)
			}
			for i, line := range lines {
				level := "WARN"
				if i == 4 {
					level = `ERROR msg="the rotation of a secret was given up"`
				}
				for _, want := range []string{"level=" + level, " secret=arn:aws:secretsmanager:", " function=", " step=createSecret attempt=" + fmt.Sprint(i+1) + " errorType=" + tt.shown + " again="} {
					if !strings.Contains(line, want) {
						t.Errorf("line %d lacks %q: %s", i, want, line)
					}
				}
			}
			families, err := metrics.Gather()
			if err != nil {
				t.Fatal(err)
			}
			given := 0.0
			for _, f := range families {
				if f.GetName() == "coffer_rotations_given_up_total" {
					given = f.GetMetric()[0].GetCounter().GetValue()
				}
			}
			if given != 1 {
				t.Errorf("%v rotations are counted as given up", given)
			}
		})
	}
}

// An idle worker looks at the store once a minute.
func TestWorkerSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		g.scheduled("f", 3, 48*time.Hour)
		stop := g.start(rotation.Config{})
		time.Sleep(time.Hour)
		stop()
		if len(g.events) > 0 {
			t.Errorf("events %v", g.events)
		}
	})
}
