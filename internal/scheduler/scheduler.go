// Package scheduler runs the services' background tasks, and has the loop of workers that
// work off a queue by themselves (Queue).
//
// Each task of a Scheduler looks for due rows through an index of its own and does a bounded
// part per transaction. A task that fails is tried again at its next turn; what it
// had committed stays. Tasks run one at a time, so that background work
// never takes more than one of the machine's processors.
package scheduler

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coffer/internal/api"
)

// Runner runs one transaction's worth of a task through the gate.
type Runner interface {
	RunTask(ctx context.Context, t *api.Task) (more bool, err error)
}

// Scheduler runs tasks until told to stop.
type Scheduler struct {
	tasks  []api.Task
	runner Runner
	logger *slog.Logger
	runs   *prometheus.CounterVec
}

// New returns a scheduler; Run works.
func New(tasks []api.Task, runner Runner, logger *slog.Logger, reg prometheus.Registerer) *Scheduler {
	s := &Scheduler{tasks: tasks, runner: runner, logger: logger, runs: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "coffer_task_runs_total", Help: "Transactions of background tasks, by task and result.",
	}, []string{"task", "result"})}
	reg.MustRegister(s.runs)
	return s
}

// Run works until ctx ends. It returns when no task is under way.
func (s *Scheduler) Run(ctx context.Context) {
	next := make([]time.Time, len(s.tasks))
	now := time.Now()
	for i, t := range s.tasks {
		// A restart must not make all tasks of all servers due in the same instant.
		next[i] = now.Add(rand.N(min(t.Every, 10*time.Second)))
	}
	for {
		first := 0
		for i := range next {
			if next[i].Before(next[first]) {
				first = i
			}
		}
		if len(s.tasks) == 0 {
			<-ctx.Done()
			return
		}
		if Pause(ctx, time.Until(next[first])); ctx.Err() != nil {
			return
		}
		s.run(ctx, &s.tasks[first])
		next[first] = time.Now().Add(s.tasks[first].Every)
	}
}

// run works off what is due of one task.
func (s *Scheduler) run(ctx context.Context, t *api.Task) {
	for ctx.Err() == nil {
		more, err := s.runner.RunTask(ctx, t)
		if err != nil {
			if ctx.Err() == nil {
				s.runs.WithLabelValues(t.Name, "failed").Inc()
				s.logger.Error("background task failed; it will be tried again", "task", t.Name, "after", t.Every, "error", err)
			}
			return
		}
		s.runs.WithLabelValues(t.Name, "done").Inc()
		if !more {
			return
		}
		if t.Pause > 0 {
			Pause(ctx, t.Pause)
		}
	}
}
