// Package rotation runs the rotations of secrets: it takes those that are due, invokes
// their functions step by step, and reports what came of it.
//
// It keeps nothing: a rotation is a row (secretsmanager.Run) that says how far it is.
// A process that dies leaves its rows claimed; the next process on the store releases
// them and goes on with the step that was under way, with the same version. Steps
// are invoked at least once, never two of one secret at the same time.
//
// Due rotations are found at the head of an index. Between them the worker sleeps, until
// the next is due or somebody asks for one.
package rotation

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
	"coffer/internal/scheduler"
	"coffer/internal/secretsmanager"
	"coffer/internal/table"
)

// Gate is how the worker reaches services: as Secrets Manager itself.
type Gate interface {
	scheduler.Runner
	CallAsService(ctx context.Context, s *api.Service, source string, op *api.Operation, in api.Struct) (api.Struct, error)
}

// Config says what a Worker connects.
type Config struct {
	Gate    Gate
	Secrets *secretsmanager.Service
	DB      *table.DB // to ask when something is due
	Logger  *slog.Logger
	Metrics prometheus.Registerer

	// Most rotations at once, in all and of one function; 0: DefaultAtOnce and
	// DefaultPerFunction. One account has at most half of all, at least one: its
	// functions may take as long as they like.
	AtOnce, PerFunction int

	// Pace is how many rotations begin in a second at most; 0: DefaultPace for each
	// processor. A thousand that are due at once then leave time to the readers of
	// secrets. What has begun is not held up: between setSecret and finishSecret the
	// database has a password that readers do not know yet.
	Pace float64
}

// The usual bounds.
const (
	DefaultAtOnce      = 16
	DefaultPerFunction = 4
	DefaultPace        = 5
)

const (
	// grace is how long rotations under way may go on after the end.
	grace = 8 * time.Second
	// passEvery is how often the whole queue is looked through for functions with room.
	passEvery = 5 * time.Second
	// stepTimeout is beyond the longest a function may take, 15 minutes.
	stepTimeout = 16 * time.Minute
)

// Worker rotates secrets.
type Worker struct {
	cfg    Config
	queue  scheduler.Queue
	owner  string          // of the runs that this process claims
	freed  chan struct{}   // a rotation ended
	work   context.Context // of the rotations under way
	pace   *rate.Limiter   // of their beginnings
	passed time.Time       // when the whole queue was last looked through
	found  table.Key       // where in it there was something to claim

	mu    sync.Mutex
	busy  map[string]int // rotations at once, by function and by account
	total int
	done  sync.WaitGroup

	results *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	givenUp prometheus.Counter
}

// New returns a worker; Run works. There is one on a store.
func New(cfg Config) *Worker {
	if cfg.AtOnce == 0 {
		cfg.AtOnce = DefaultAtOnce
	}
	if cfg.PerFunction == 0 {
		cfg.PerFunction = DefaultPerFunction
	}
	if cfg.Pace == 0 {
		cfg.Pace = DefaultPace * float64(runtime.GOMAXPROCS(0))
	}
	w := &Worker{
		cfg:   cfg,
		queue: scheduler.Queue{Name: "secretsmanager.rotation", Service: smapi.Service, Runner: cfg.Gate, Logger: cfg.Logger, Trouble: "rotations cannot go on; they will be tried again"},
		owner: api.NewID(), pace: rate.NewLimiter(rate.Limit(cfg.Pace), 1), freed: make(chan struct{}, 1), busy: make(map[string]int),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_rotation_steps_total", Help: "Steps of rotations that were invoked, by step and result: succeeded, failed or busy (the function had no process free).",
		}, []string{"step", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "coffer_rotation_step_seconds", Help: "Time from a step's invocation to its answer.",
			Buckets: prometheus.ExponentialBuckets(1e-3, 4, 10),
		}, []string{"step"}),
		givenUp: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coffer_rotations_given_up_total", Help: "Rotations whose attempts have all failed. They wait for the next window, or for RotateSecret.",
		}),
	}
	running := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coffer_rotations_running", Help: "Rotations being worked on.",
	}, func() float64 { w.mu.Lock(); defer w.mu.Unlock(); return float64(w.total) })
	cfg.Metrics.MustRegister(w.results, w.seconds, w.givenUp, running)
	return w
}

// Run works until ctx ends. Rotations under way then get a little time to finish: between
// setSecret and finishSecret the database has a password that readers of the secret
// do not know yet. It returns when no step is under way any more.
func (w *Worker) Run(ctx context.Context) {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	w.work = work
	w.queue.Work(ctx, w.release, w.round, w.cfg.Secrets.Woken(), w.freed)
	finished := make(chan struct{})
	go func() { w.done.Wait(); close(finished) }()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
		stop()
		<-finished
	}
}

// round starts what is due, as far as there is room, and says how long to sleep.
func (w *Worker) round(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	if err := w.queue.Transact(ctx, "start", w.cfg.Secrets.StartRotations); err != nil {
		return 0, err
	}
	if err := w.queue.Transact(ctx, "hurry", w.cfg.Secrets.HurryRuns); err != nil {
		return 0, err
	}
	more, _, err := w.claim(ctx, "")
	if err != nil || more == "" {
		return w.sleep(ctx, begun, err)
	}
	// Behind those at the head, of functions that have no room, may be others: where
	// there were some, and now and then everywhere.
	if wait := passEvery - time.Since(w.passed); wait > 0 {
		if w.found != "" {
			_, _, err = w.claim(ctx, w.found)
		}
		return wait, err
	}
	w.found = ""
	for more != "" && err == nil {
		at, n := more, 0
		if more, n, err = w.claim(ctx, more); n > 0 && w.found == "" {
			w.found = at
		}
	}
	w.passed = time.Now()
	return w.sleep(ctx, begun, err)
}

// claim takes and begins what is due behind after, until there is no room or it has
// looked at as many as one claim does. more is where there may be others.
func (w *Worker) claim(ctx context.Context, after table.Key) (more table.Key, n int, err error) {
	for {
		room := w.cfg.AtOnce - w.running()
		if room == 0 {
			return "", n, nil // until one ends
		}
		var claimed []secretsmanager.Run
		err = w.queue.Transact(ctx, "claim", func(r *api.Request) (_ bool, err error) {
			claimed, more, err = w.cfg.Secrets.ClaimRuns(r, w.owner, room, w.crowded(), after)
			return false, err
		})
		if err != nil || len(claimed) == 0 {
			return more, n, err
		}
		n += len(claimed)
		for _, u := range claimed {
			w.begin(u)
		}
	}
}

// sleep is how long nothing will be due after a round, unless there was an error.
func (w *Worker) sleep(ctx context.Context, begun time.Time, failed error) (d time.Duration, err error) {
	if failed != nil {
		return 0, failed
	}
	err = w.cfg.DB.View(ctx, func(tx *table.Tx) error {
		at, err := w.cfg.Secrets.NextDue(tx)
		d = scheduler.LongestSleep
		// What was due and not claimed waits for room; who frees it tells. What has fallen
		// due during the round may have been missed.
		if err == nil && at.After(begun) {
			d = min(d, max(time.Until(at), 0))
		}
		return err
	})
	return d, err
}

func (w *Worker) release(r *api.Request) (bool, error) { return w.cfg.Secrets.ReleaseRuns(r, w.owner) }

func (w *Worker) running() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

// crowded tells, for one claim, which rotations have to wait: those of functions and
// of accounts that have no room. It counts along, so that the claim itself does not
// take more than there is.
func (w *Worker) crowded() func(*secretsmanager.Run) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := maps.Clone(w.busy)
	return func(u *secretsmanager.Run) bool {
		if taken[u.Function] >= w.cfg.PerFunction || taken[u.Account] >= max(1, w.cfg.AtOnce/2) {
			return true
		}
		taken[u.Function]++
		taken[u.Account]++
		return false
	}
}

// begin works on a claimed rotation beside others.
func (w *Worker) begin(u secretsmanager.Run) {
	w.mu.Lock()
	w.total++
	w.busy[u.Function]++
	w.busy[u.Account]++
	w.mu.Unlock()
	w.done.Go(func() {
		defer func() {
			w.mu.Lock()
			w.total--
			for _, of := range []string{u.Function, u.Account} {
				if w.busy[of]--; w.busy[of] == 0 {
					delete(w.busy, of)
				}
			}
			w.mu.Unlock()
			select {
			case w.freed <- struct{}{}:
			default:
			}
		}()
		if w.pace.Wait(w.work) == nil { // else it is the end
			w.rotate(w.work, u)
		}
	})
}

// rotate invokes step after step until there is no more to do now. At shutdown it
// leaves the row claimed: the next process releases it.
func (w *Worker) rotate(ctx context.Context, u secretsmanager.Run) {
	for next := &u; next != nil; {
		step := *next
		result, err := w.invoke(ctx, &step)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.cfg.Logger.Error("a step of a rotation could not be invoked", "secret", step.ARN, "step", step.StepName(), "error", err)
			result = secretsmanager.StepResult{Failed: true, Type: "CofferError", Message: "Coffer could not invoke the function; its own log tells more"}
		}
		var failure *secretsmanager.Failure
		next, failure = w.report(ctx, step, result)
		w.count(&step, &result, failure)
		if failure != nil {
			w.tell(&step, &result, failure)
		}
	}
}

// tell logs a failure. What the function said may hold anything, and stays in the status
// of the secret's rotation.
func (w *Worker) tell(u *secretsmanager.Run, result *secretsmanager.StepResult, f *secretsmanager.Failure) {
	level, text := slog.LevelWarn, "an attempt to rotate a secret failed"
	attrs := []slog.Attr{
		slog.String("secret", u.ARN), slog.String("function", u.Function), slog.String("step", f.Step),
		slog.Int("attempt", f.Attempt), slog.String("errorType", errorType(result.Type)),
	}
	switch {
	case f.Test:
		text = "a test of a secret's rotation failed"
	case f.GaveUp:
		level, text = slog.LevelError, "the rotation of a secret was given up"
	}
	if !f.Again.IsZero() {
		attrs = append(attrs, slog.Time("again", f.Again))
	}
	w.cfg.Logger.LogAttrs(context.Background(), level, text, attrs...)
}

// errorType is what a function called its error, if it is the name of a type.
func errorType(s string) string {
	switch {
	case s == "":
		return "none"
	case !typeName.MatchString(s):
		return "other"
	}
	return s
}

var typeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]{0,63}$`)

func (w *Worker) count(u *secretsmanager.Run, result *secretsmanager.StepResult, failure *secretsmanager.Failure) {
	if failure != nil && failure.GaveUp {
		w.givenUp.Inc()
	}
	switch {
	case result.Busy:
		w.results.WithLabelValues(u.StepName(), "busy").Inc()
	case result.Failed, failure != nil:
		w.results.WithLabelValues(u.StepName(), "failed").Inc()
	default:
		w.results.WithLabelValues(u.StepName(), "succeeded").Inc()
	}
}

// report stores what came of a step. It does not give up before the process ends: a
// result that is lost costs an invocation of a step that was done.
func (w *Worker) report(ctx context.Context, u secretsmanager.Run, result secretsmanager.StepResult) (next *secretsmanager.Run, failure *secretsmanager.Failure) {
	for {
		err := w.queue.Transact(ctx, "report", func(r *api.Request) (more bool, err error) {
			next, failure, err = w.cfg.Secrets.ReportRun(r, u, result)
			return false, err
		})
		if err == nil {
			return next, failure
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		w.cfg.Logger.Error("the result of a step cannot be stored; it will be tried again", "secret", u.ARN, "step", u.StepName(), "after", scheduler.AfterTrouble, "error", err)
		scheduler.Pause(ctx, scheduler.AfterTrouble)
	}
}

// event is what a rotation function is invoked with ("Lambda rotation functions",
// Secrets Manager user guide).
type event struct {
	Step               string
	SecretID           string `json:"SecretId"`
	ClientRequestToken string
	RotationToken      string
}

// invoke invokes the function for a step and says how it ended. An error is one of
// Coffer's own.
func (w *Worker) invoke(ctx context.Context, u *secretsmanager.Run) (secretsmanager.StepResult, error) {
	payload, err := json.Marshal(event{u.StepName(), u.ARN, u.Version, u.Token})
	if err != nil {
		return secretsmanager.StepResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	start := time.Now()
	answer, err := w.cfg.Gate.CallAsService(ctx, smapi.Service, u.ARN, lambdaapi.Invoke.Operation, &lambdaapi.InvokeInput{
		FunctionName: &u.Function, InvocationType: new(lambdaapi.InvocationTypeRequestResponse), LogType: new(lambdaapi.LogTypeTail), Payload: payload,
	})
	w.seconds.WithLabelValues(u.StepName()).Observe(time.Since(start).Seconds())
	if err != nil {
		return refused(err)
	}
	out, ok := answer.(*lambdaapi.InvokeOutput)
	if !ok {
		return secretsmanager.StepResult{}, fmt.Errorf("rotation: Invoke answered %T", answer)
	}
	result := secretsmanager.StepResult{Log: tail(out)}
	if out.FunctionError != nil {
		result.Failed = true
		result.Type, result.Message = failure(out.Payload)
	}
	return result, nil
}

// refused is a step that Lambda did not give to the function.
func refused(err error) (secretsmanager.StepResult, error) {
	f, ok := fault.As(err)
	switch {
	case !ok:
		return secretsmanager.StepResult{}, err
	case f.Code == codeBusy:
		return secretsmanager.StepResult{Busy: true}, nil
	case f.Kind == fault.Internal || f.Kind == fault.Unavailable:
		return secretsmanager.StepResult{}, err
	}
	return secretsmanager.StepResult{Failed: true, Type: f.Code, Message: f.Code + ": " + f.Message}, nil
}

// codeBusy is Lambda's when a function has no process free.
const codeBusy = "TooManyRequestsException"

func tail(out *lambdaapi.InvokeOutput) string {
	b, err := base64.StdEncoding.DecodeString(string(out.LogResult))
	if err != nil {
		return ""
	}
	return string(b)
}

// failure is what a function's error object says, its message in one line.
func failure(payload []byte) (kind, message string) {
	var e struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if err := json.Unmarshal(payload, &e); err != nil || e.Type == "" && e.Message == "" {
		return "", "the function failed without saying why"
	}
	if e.Type == "" {
		return "", e.Message
	}
	return e.Type, e.Type + ": " + e.Message
}
