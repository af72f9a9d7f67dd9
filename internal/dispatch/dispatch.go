// Package dispatch delivers the events of asynchronous invocations to their functions.
//
// It keeps nothing: an event is a row (lambda.Queued). A process that dies leaves its rows
// claimed; the next process on the store releases them and delivers them again. So each is
// delivered at least once, as on AWS.
package dispatch

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/fault"
	"coffer/internal/lambda"
	"coffer/internal/scheduler"
	"coffer/internal/table"
)

// Gate is how the worker reaches the store and functions: as Lambda itself.
type Gate interface {
	scheduler.Runner
	Work(ctx context.Context, s *api.Service, region string, f func(*api.Request) error) error
}

// Config says what a Worker connects.
type Config struct {
	Gate      Gate
	Functions *lambda.Service
	DB        *table.DB // to ask when something is due
	Logger    *slog.Logger
	Metrics   prometheus.Registerer

	// Most events at once; 0: DefaultAtOnce. One account has at most half of them, at
	// least one: its functions may take as long as they like.
	AtOnce int
}

// DefaultAtOnce is the usual bound on events at once. It leaves processes to those who
// wait for an answer.
const DefaultAtOnce = 8

const (
	// claimAtOnce keeps a transaction within the bytes that it may write.
	claimAtOnce = 4
)

// Worker delivers events.
type Worker struct {
	cfg   Config
	queue scheduler.Queue
	owner string        // of the events that this process claims
	room  chan struct{} // one for each event under way
	freed chan struct{} // one ended
	done  sync.WaitGroup

	mu   sync.Mutex
	busy map[string]int // events under way, by account

	results *prometheus.CounterVec
}

// New returns a worker; Run works. There is one on a store.
func New(cfg Config) *Worker {
	if cfg.AtOnce == 0 {
		cfg.AtOnce = DefaultAtOnce
	}
	w := &Worker{
		cfg:   cfg,
		queue: scheduler.Queue{Name: "lambda.events", Service: lambdaapi.Service, Runner: cfg.Gate, Logger: cfg.Logger, Trouble: "events of functions cannot be delivered; it will be tried again"},
		owner: api.NewID(), room: make(chan struct{}, cfg.AtOnce), freed: make(chan struct{}, 1), busy: make(map[string]int),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_function_events_total", Help: "Tries to deliver events of asynchronous invocations, by result: delivered, failed, held (the function could not get it now) or dropped.",
		}, []string{"result"}),
	}
	cfg.Metrics.MustRegister(w.results)
	return w
}

// Run works until ctx ends, and returns when no delivery is under way any more.
func (w *Worker) Run(ctx context.Context) {
	defer w.done.Wait()
	w.queue.Work(ctx, func(r *api.Request) (bool, error) { return w.cfg.Functions.ReleaseEvents(r, w.owner) }, w.round, w.cfg.Functions.Woken(), w.freed)
}

// round delivers what is due, as far as there is room, and says how long to sleep.
func (w *Worker) round(ctx context.Context) (time.Duration, error) {
	var after table.Key
	for {
		n := min(cap(w.room)-len(w.room), claimAtOnce)
		if n == 0 {
			return scheduler.LongestSleep, nil // until one ends
		}
		var (
			claimed []lambda.Queued
			next    table.Key
		)
		err := w.queue.Transact(ctx, "claim", func(r *api.Request) (_ bool, err error) {
			claimed, next, err = w.cfg.Functions.ClaimEvents(r, w.owner, n, w.crowded(), after)
			return false, err
		})
		if err != nil {
			return 0, err
		}
		after = next // where those that wait have been passed
		if len(claimed) == 0 && after == "" {
			return w.sleep(ctx)
		}
		for i := range claimed {
			w.room <- struct{}{} // only this goroutine fills it
			w.count(claimed[i].Account, 1)
			w.done.Go(func() {
				w.deliver(ctx, &claimed[i])
				w.count(claimed[i].Account, -1)
				<-w.room
				select {
				case w.freed <- struct{}{}:
				default:
				}
			})
		}
	}
}

func (w *Worker) count(account string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy[account] += n; w.busy[account] == 0 {
		delete(w.busy, account)
	}
}

// crowded tells, for one claim, which accounts have no room, and counts along.
func (w *Worker) crowded() func(account string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := maps.Clone(w.busy)
	return func(account string) bool {
		if taken[account] >= max(1, w.cfg.AtOnce/2) {
			return true
		}
		taken[account]++
		return false
	}
}

// sleep is how long nothing will be due.
func (w *Worker) sleep(ctx context.Context) (time.Duration, error) {
	d := scheduler.LongestSleep
	err := w.cfg.DB.View(ctx, func(tx *table.Tx) error {
		at, err := w.cfg.Functions.NextEvent(tx)
		d = scheduler.LongestSleep
		// What is due already waits for its account to have room; who frees it tells.
		if err == nil && !at.IsZero() {
			d = min(d, max(time.Until(at), time.Second))
		}
		return err
	})
	return d, err
}

// deliver gives an event to its function and stores what came of it. At shutdown it leaves
// the row claimed: the next process releases it.
func (w *Worker) deliver(ctx context.Context, q *lambda.Queued) {
	outcome := lambda.Held
	err := w.cfg.Gate.Work(ctx, lambdaapi.Service, q.Region, func(r *api.Request) (err error) {
		outcome, err = w.cfg.Functions.Deliver(r, q)
		return err
	})
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		outcome = lambda.Held // also when its records could not be written
		if f, ok := fault.As(err); !ok || f.Kind == fault.Internal || f.Kind == fault.Unavailable {
			w.cfg.Logger.Error("an event could not be given to its function; it will be tried again", "account", q.Account, "region", q.Region, "function", q.Name, "request", q.ID, "error", err)
		}
	}
	w.results.WithLabelValues(outcome.String()).Inc()
	for {
		err := w.queue.Transact(ctx, "settle", func(r *api.Request) (bool, error) {
			return false, w.cfg.Functions.Settle(r, q.ID, outcome)
		})
		if err == nil || ctx.Err() != nil {
			return
		}
		w.cfg.Logger.Error("what came of an event cannot be stored; it will be tried again", "request", q.ID, "after", scheduler.AfterTrouble, "error", err)
		scheduler.Pause(ctx, scheduler.AfterTrouble)
	}
}
