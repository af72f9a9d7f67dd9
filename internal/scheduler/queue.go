package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"coffer/internal/api"
)

const (
	// LongestSleep bounds what a due date costs that a worker did not hear of: a clock
	// that was set.
	LongestSleep = time.Minute
	// AfterTrouble is the pause after a transaction that failed.
	AfterTrouble = 5 * time.Second
)

// Queue is the rows of a service that a worker of its own works off: where Scheduler looks
// at due rows from time to time, a worker is woken for them and sleeps in between.
type Queue struct {
	Name    string       // begins the names of its transactions
	Service *api.Service // whose they are
	Runner  Runner
	Logger  *slog.Logger
	Trouble string // what the log says when a round fails
}

// Transact runs a bounded transaction's worth until there is no more.
func (q *Queue) Transact(ctx context.Context, what string, run func(*api.Request) (more bool, err error)) error {
	t := api.Task{Name: q.Name + "." + what, Service: q.Service, Run: run}
	for {
		more, err := q.Runner.RunTask(ctx, &t)
		if err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		if !more {
			return nil
		}
	}
}

// Work runs rounds until ctx ends. A round takes what is due, as far as there is room, and
// says how long to sleep; woken and freed end the sleep. Before the first round release
// gives back what a process that died had claimed.
func (q *Queue) Work(ctx context.Context, release func(*api.Request) (more bool, err error), round func(context.Context) (time.Duration, error), woken, freed <-chan struct{}) {
	for released := false; ctx.Err() == nil; {
		var err error
		if !released {
			err = q.Transact(ctx, "release", release)
			released = err == nil
		}
		next := AfterTrouble
		if err == nil {
			next, err = round(ctx)
		}
		if err != nil && ctx.Err() == nil {
			q.Logger.Error(q.Trouble, "after", AfterTrouble, "error", err)
			next = AfterTrouble
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-woken:
		case <-freed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Pause waits, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
