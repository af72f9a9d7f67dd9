package runner

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"coffer/internal/lambda"
)

// process is one execution environment: a child that serves events of one version
// of a function, one at a time.
type process struct {
	r       *Runner
	f       *lambda.Executable
	slot    int
	code    *image // nil for built-in functions
	opt     *image // nil without layers
	private string
	journal *journal
	child   *child
	api     *runtimeAPI
	expires time.Time // of its credentials
	since   time.Time // idle; guarded by Runner.mu

	limit   int64 // bytes of memory
	peak    int64 // bytes of memory in use, the most that was seen in this invocation
	storage int64 // bytes in its files when last looked
	looks   int
	killed  string // why the runner killed it, for its log
}

// killPatience is how long a supervisor may take to end everything.
const killPatience = 10 * time.Second

// supervisorEnv is a supervisor's whole environment. It does next to nothing.
var supervisorEnv = []string{"GOMAXPROCS=1"}

// entryError says that a program cannot be started, because of what it is.
type entryError struct {
	path string
	err  error
}

func (e *entryError) Error() string { return fmt.Sprintf("fork/exec %s: %v", e.path, e.err) }

// birth is what a new process gets of its function (lambda.Executable.Start).
type birth struct {
	environment lambda.Environment
	credentials lambda.Credentials
}

// stale reports whether the credentials could end during an event of f.
func (p *process) stale(f *lambda.Executable) bool {
	return !p.expires.IsZero() && time.Until(p.expires) < f.Timeout
}

func (p *process) gone() bool {
	select {
	case <-p.child.ended:
		return true
	default:
		return false
	}
}

// start makes a process for f that will begin to run its initialization. A *failure is
// the function's own. j is its journal, made here if it is nil, and stays open.
func (r *Runner) start(f *lambda.Executable, with *birth, slot int, j *journal) (_ *process, _ *failure, err error) {
	ctx, cancel := context.WithTimeout(r.abort, codeTimeout)
	defer cancel()
	p := &process{r: r, f: f, slot: slot, journal: j, limit: int64(f.Memory) << 20}
	if p.journal == nil {
		p.journal = newJournal(f, streamName(f, time.Now()), r.cfg.Logs, r.logger, r.metrics.dropped, newAllowance(r.processLog), r.logOf(f))
	}
	failed := true
	defer func() {
		if !failed {
			return
		}
		p.clean()
		if j == nil {
			p.journal.close()
		}
	}()
	if err := r.restore(); err != nil {
		return nil, nil, err
	}
	if err := p.fetch(ctx); err != nil {
		return nil, nil, err
	}
	s, at, fail, err := p.prepare(ctx)
	if err != nil {
		return nil, nil, err
	}
	if fail != nil {
		failed = false // p has no child, and is answered for and closed like one that has
		return p, fail, nil
	}
	p.expires = with.credentials.Expires
	if p.api, err = newRuntimeAPI(f.ARN, p.belongs, r.logger, r.metrics.strangers); err != nil {
		return nil, nil, err
	}
	s.Env = environment(&r.cfg, f, at.command, at.places, with, p.api.address, p.journal.stream)
	if err := r.confine(r.layers, s, slot, at.confinement); err != nil {
		return nil, nil, fmt.Errorf("runner: %w", err)
	}
	p.child, err = startChild(r.cfg.Self, s, p.journal.write)
	var entry *entryError
	if errors.As(err, &entry) && strings.HasPrefix(f.Runtime, "provided") {
		failed = false
		return p, &failure{"Runtime.InvalidEntrypoint", entry.Error()}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	r.metrics.starts.Inc()
	r.metrics.processes.Inc()
	r.mu.Lock()
	r.all[p] = true
	if r.abort.Err() != nil {
		p.child.kill()
	}
	r.mu.Unlock()
	p.api.serve()
	failed = false
	return p, nil, nil
}

// fetch unpacks the code.
func (p *process) fetch(ctx context.Context) (err error) {
	if p.f.BuiltIn {
		return nil
	}
	left := newRoom()
	if p.code, err = p.r.packages.get(ctx, []*lambda.Package{p.f.Code}, left); err != nil {
		return err
	}
	if len(p.f.Layers) > 0 {
		p.opt, err = p.r.packages.get(ctx, p.f.Layers, left)
	}
	return err
}

// site is where and how a function is put.
type site struct {
	command     *command
	places      places
	confinement confinement
}

// prepare makes the private directory and finds what to start.
func (p *process) prepare(ctx context.Context) (*spec, *site, *failure, error) {
	r := p.r
	random := make([]byte, 8)
	rand.Read(random)
	p.private = filepath.Join(r.dir, "run", hex.EncodeToString(random))
	if err := os.Mkdir(p.private, 0o700); err != nil {
		return nil, nil, nil, fmt.Errorf("runner: %w", err)
	}
	at := &site{confinement: confinement{
		runtime: filepath.Join(r.dir, "runtime"), private: p.private, memory: p.f.Memory, storage: p.f.Storage, shut: r.shut(),
	}}
	c := &at.confinement
	if p.code != nil {
		c.task = p.code.path
	}
	if p.opt != nil {
		c.opt = p.opt.path
	}
	wrapped := r.layers.bubblewrap != ""
	at.places = places{task: c.task, opt: c.opt, runtime: c.runtime, temp: filepath.Join(p.private, "tmp")}
	if wrapped {
		at.places = places{task: taskRoot, opt: optRoot, runtime: runtimeDir, temp: "/tmp"}
	}
	if p.f.BuiltIn {
		// It has no code; the directory of the clients stands in.
		at.places.task, at.places.opt = at.places.runtime, ""
	}
	cmd, fail, err := r.command(ctx, p.f, c.task, c.opt, at.places)
	if fail != nil || err != nil {
		return nil, nil, fail, err
	}
	at.command, c.roots = cmd, cmd.roots
	s := &spec{Argv: cmd.argv, Dir: at.places.task}
	if p.f.BuiltIn {
		c.program = cmd.argv[0]
		if wrapped {
			s.Argv[0] = ourProgram
		}
	}
	p.journal.line("INIT_START Runtime Version: %s", cmd.version)
	for _, note := range cmd.notes {
		p.journal.line("%s", note)
	}
	return s, at, nil, nil
}

// streamName is a stream for a process, as AWS names it.
func streamName(f *lambda.Executable, now time.Time) string {
	random := make([]byte, 16)
	rand.Read(random)
	return fmt.Sprintf("%s[%s]%x", now.UTC().Format("2006/01/02/"), f.Version, random)
}

// halt ends everything of the process and waits for it. The journal stays open.
func (p *process) halt() {
	if p.child == nil {
		return
	}
	p.child.kill()
	<-p.child.exited
	p.r.mu.Lock()
	here := p.r.all[p]
	delete(p.r.all, p)
	p.r.mu.Unlock()
	if here {
		p.r.metrics.processes.Dec()
	}
}

// clean takes away what start made, but the journal and the slot.
func (p *process) clean() {
	p.halt()
	p.r.endUser(p.slot)
	if p.api != nil {
		p.api.close()
	}
	for _, im := range []*image{p.code, p.opt} {
		if im != nil {
			p.r.packages.put(im)
		}
	}
	p.code, p.opt = nil, nil
	if p.private != "" {
		if err := wipe(p.private); err != nil {
			p.r.logger.Warn("what a function wrote cannot be removed", "function", p.f.ARN, "directory", p.private, "error", err)
		}
	}
}

// close ends the process for good and frees its slot.
func (p *process) close() {
	p.clean()
	p.journal.close()
	p.r.slots <- p.slot
	p.r.ends.Done()
}

// verdict is how waiting ended.
type verdict int

const (
	happened verdict = iota
	exited           // the function's process is gone
	late
)

const (
	measureEvery = 50 * time.Millisecond
	weighEvery   = 5 // measurements; a walk of the temporary directory costs more
)

// rest is how long not to measure after a measurement that took cost: every, or as long as
// keeps measuring to a twentieth of a core. A function with many processes and files would
// have the server do nothing else.
func rest(every, cost time.Duration) time.Duration { return max(every, 20*cost) }

// await waits for done, the end of the process or until, and has the process killed when
// it outgrows its memory or storage.
func (p *process) await(done <-chan struct{}, until time.Time) verdict {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	tick := time.NewTimer(measureEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return happened
		case <-p.child.ended:
			select {
			case <-done: // its last act
				return happened
			default:
				return exited
			}
		case <-timer.C:
			return late
		case <-tick.C:
			began := time.Now()
			if p.tooLarge() {
				p.child.kill()
			}
			tick.Reset(rest(measureEvery, time.Since(began)))
		}
	}
}

// tooLarge measures, and says so in the log the first time the process is too large.
func (p *process) tooLarge() bool {
	p.measure()
	switch {
	case p.killed != "":
		return true
	case p.peak > p.limit:
		p.killed = fmt.Sprintf("more memory is in use than the %d MB that the function may use", p.f.Memory)
	case p.storage > int64(p.f.Storage)<<20:
		p.killed = fmt.Sprintf("more than the %d MB that the function may write are in its temporary directory", p.f.Storage)
	default:
		return false
	}
	p.journal.line("[ERROR] The process was killed: %s", p.killed)
	return true
}

// measure looks at memory, and now and then at storage.
func (p *process) measure() {
	p.peak = max(p.peak, p.memory(p.limit))
	if p.looks++; p.looks%weighEvery == 0 {
		p.storage = p.stored()
	}
}

// milliseconds as Lambda prints them.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// report writes END and REPORT. status is empty for success.
func (p *process) report(id string, took, init time.Duration, status, errorType string) {
	p.journal.line("END RequestId: %s", id)
	var b strings.Builder
	fmt.Fprintf(&b, "REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t",
		id, milliseconds(took), int64(math.Ceil(milliseconds(took+init))), p.f.Memory, (p.peak+1<<20-1)>>20)
	if init > 0 {
		fmt.Fprintf(&b, "Init Duration: %.2f ms\t", milliseconds(init))
	}
	if status != "" {
		fmt.Fprintf(&b, "Status: %s", status)
		if errorType != "" {
			fmt.Fprintf(&b, "\tError Type: %s", errorType)
		}
	}
	p.journal.line("%s", b.String())
}

var errNoSlot = errors.New("runner: a process that was to be ended is still there")

// slot takes a free slot. One is there or will be: it was counted.
func (r *Runner) slot() (int, error) {
	select {
	case s := <-r.slots:
		return s, nil
	case <-time.After(2 * killPatience):
		return 0, errNoSlot
	}
}
