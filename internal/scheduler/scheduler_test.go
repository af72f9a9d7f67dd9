package scheduler_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coffer/internal/api"
	"coffer/internal/scheduler"
)

// runner counts runs and answers from a script.
type runner struct {
	mu   sync.Mutex
	runs map[string][]time.Time
	more map[string]int // how often to say that there is more
	err  map[string]error
}

func (r *runner) RunTask(_ context.Context, t *api.Task) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs[t.Name] = append(r.runs[t.Name], time.Now())
	if err := r.err[t.Name]; err != nil {
		return false, err
	}
	r.more[t.Name]--
	return r.more[t.Name] >= 0, nil
}

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runner{runs: map[string][]time.Time{}, more: map[string]int{"busy": 3}, err: map[string]error{"broken": errors.New("no")}}
		s := scheduler.New([]api.Task{
			{Name: "minute", Every: time.Minute},
			{Name: "busy", Every: time.Minute, Pause: time.Second},
			{Name: "broken", Every: 30 * time.Second},
		}, r, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		time.Sleep(10*time.Minute + 15*time.Second)
		cancel()
		<-done
		// Once at the start, within 10 seconds, and then every minute.
		if n := len(r.runs["minute"]); n != 11 {
			t.Errorf("minute ran %d times in ten minutes", n)
		}
		// What says that there is more is asked again at once.
		if n := len(r.runs["busy"]); n != 11+3 {
			t.Errorf("busy ran %d times", n)
		}
		if d := r.runs["busy"][3].Sub(r.runs["busy"][0]); d != 3*time.Second {
			t.Errorf("four transactions with pauses took %v", d)
		}
		// A failure waits for its next turn.
		if n := len(r.runs["broken"]); n != 21 {
			t.Errorf("broken ran %d times", n)
		}
		for i := 1; i < len(r.runs["minute"]); i++ {
			if d := r.runs["minute"][i].Sub(r.runs["minute"][i-1]); d != time.Minute {
				t.Errorf("run %d after %v", i, d)
			}
		}
	})
}

func TestNoTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			scheduler.New(nil, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry()).Run(ctx)
			close(done)
		}()
		cancel()
		<-done
	})
}
