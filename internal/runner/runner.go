// Package runner runs functions as child processes behind AWS's Lambda Runtime API
// (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
//
// Each process has a Runtime API of its own on a loopback port that only its own
// process tree may use, a supervisor that ends the tree with it or with the server,
// and as many layers of isolation as the machine has (layers.go). A process serves one
// event at a time and is kept for the next one of the same Revision; between events
// it is left running, not frozen as on AWS, so that connections stay alive.
package runner

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coffer/internal/lambda"
)

// Modes of Config.
const (
	ModeAuto       = "auto"       // functions of users run if something keeps them from Coffer's data
	ModeOff        = "off"        // no function runs, not even a built-in one
	ModeUnconfined = "unconfined" // functions of users run with whatever layers there are
)

// Config says how functions run. Dir and Self are required.
type Config struct {
	Mode string // one of the modes; empty: ModeAuto

	// Dir is the runner's own directory, for unpacked code and what processes write.
	// Where processes get users of their own and those cannot reach it, a directory below
	// /var/cache takes its place.
	Dir  string
	Self []string // command line of this program; functions are started as Self... function NAME

	Endpoint string // URL of the AWS API, for AWS_ENDPOINT_URL
	CA       []byte // PEM: the authorities that sign the endpoint's certificate; empty for plain HTTP

	User    string   // name or uid that functions run as, for a server that is root; empty: each process one of its own
	Without []string // layers that are not to be used: LayerUser, ...

	MaxProcesses int           // at once; 0: 64
	IdleTime     time.Duration // after which a process without events is ended; 0: 5 min
	CacheBytes   int64         // bound of unpacked code; 0: 2 GiB

	Logs    Logs // nil: what functions log goes nowhere but into answers
	Logger  *slog.Logger
	Metrics *Metrics // nil: none
}

const (
	initTimeout = 10 * time.Second      // AWS's, of the init phase
	codeTimeout = time.Minute           // to fetch and unpack code
	afterAnswer = 25 * time.Millisecond // in which a process asks for the next event before its answer goes out
	lookEvery   = 5 * time.Second       // at processes that are idle

	supervisorCommand = "function-init"
	programFile       = "coffer"
)

// holder is whose a process is.
type holder struct {
	account string
	builtIn bool
}

func holderOf(f *lambda.Executable) holder { return holder{f.Account, f.BuiltIn} }

// Runner runs functions. It is safe for concurrent use.
type Runner struct {
	cfg          Config
	logger       *slog.Logger
	metrics      *Metrics
	interpreters *interpreters
	initTimeout  time.Duration
	afterAnswer  time.Duration
	processLog   int
	accountLog   int

	prepared  sync.Once // what follows
	failed    error
	layers    *layers
	dir       string
	packages  *packages
	restoring sync.Mutex
	slots     chan int // free ones; a process that is being ended still has its own

	mu     sync.Mutex
	closed bool
	idle   []*process        // oldest first
	all    map[*process]bool // all that have not ended
	alive  map[holder]int    // processes that exist or are about to, but for those being ended
	busy   map[string]int    // events under way, by ARN
	logs   map[holder]*allowance
	runs   sync.WaitGroup  // events under way
	ends   sync.WaitGroup  // processes
	stop   chan struct{}   // closed by Close
	looks  chan struct{}   // closed when the look-out has ended
	abort  context.Context // ends when events under way are to be given up
	giveUp context.CancelFunc
}

var errClosed = errors.New("runner: the server is stopping")

// New returns a runner. It looks at the machine only when the first function runs.
func New(cfg Config) (*Runner, error) {
	if cfg.Mode == "" {
		cfg.Mode = ModeAuto
	}
	if !slices.Contains([]string{ModeAuto, ModeOff, ModeUnconfined}, cfg.Mode) {
		return nil, fmt.Errorf("runner: mode %q is none of auto, off and unconfined", cfg.Mode)
	}
	for _, name := range cfg.Without {
		if !slices.Contains([]string{LayerUser, LayerLandlock, LayerSeccomp, LayerBubblewrap}, name) {
			return nil, fmt.Errorf("runner: there is no layer %q; there are user, landlock, seccomp and bubblewrap", name)
		}
	}
	if !filepath.IsAbs(cfg.Dir) || len(cfg.Self) == 0 || !filepath.IsAbs(cfg.Self[0]) {
		return nil, errors.New("runner: Dir and the program of Self are absolute paths")
	}
	if cfg.MaxProcesses == 0 {
		cfg.MaxProcesses = 64
	}
	if cfg.MaxProcesses < 1 || cfg.MaxProcesses > 256 {
		return nil, fmt.Errorf("runner: %d processes at most; it is 1 to 256", cfg.MaxProcesses)
	}
	if cfg.IdleTime == 0 {
		cfg.IdleTime = 5 * time.Minute
	}
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = 2 << 30
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	r := &Runner{
		cfg: cfg, logger: cfg.Logger, metrics: cfg.Metrics, initTimeout: initTimeout, afterAnswer: afterAnswer,
		processLog: processLog, accountLog: accountLog, logs: make(map[holder]*allowance),
		all: make(map[*process]bool), busy: make(map[string]int), alive: make(map[holder]int),
		stop: make(chan struct{}), looks: make(chan struct{}),
	}
	r.interpreters = &interpreters{path: programPath(), run: r.runProbe, shut: r.shut}
	r.abort, r.giveUp = context.WithCancel(context.Background())
	go r.lookOut()
	return r, nil
}

// shut lists the directories that no function may see, symbolic links resolved: the data
// directory, in which Dir is, our own, and the server's home.
func (r *Runner) shut() []string {
	var dirs []string
	for _, dir := range []string{filepath.Dir(r.cfg.Dir), r.cfg.Dir, r.dir, os.Getenv("HOME")} {
		if !filepath.IsAbs(dir) {
			continue
		}
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		// That of a system's user such as daemon, /usr/sbin: everybody sees it anyway.
		if dir == os.Getenv("HOME") && below(dir, "/usr") {
			continue
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

// prepare finds the layers and makes the directories, once.
func (r *Runner) prepare() error {
	r.prepared.Do(func() { r.failed = r.open() })
	return r.failed
}

func (r *Runner) open() (err error) {
	if r.layers, err = r.findLayers(); err != nil {
		return err
	}
	if r.dir, err = r.place(r.layers); err != nil {
		return err
	}
	group := -1
	if r.layers.users != nil {
		group = r.layers.users.shared
	}
	if r.packages, err = openPackages(filepath.Join(r.dir, "packages"), r.cfg.CacheBytes, group, time.Now); err != nil {
		return fmt.Errorf("runner: %w", err)
	}
	if group >= 0 {
		if err := passable(filepath.Join(r.dir, "packages"), group); err != nil {
			return err
		}
	}
	r.slots = make(chan int, r.cfg.MaxProcesses)
	for slot := range r.cfg.MaxProcesses {
		r.slots <- slot
	}
	return r.writeClients()
}

// place makes the runner's directory: Dir, or if the functions' users cannot get
// there one of its own in /var/cache. What processes of an earlier run left is removed.
func (r *Runner) place(l *layers) (string, error) {
	dir := r.cfg.Dir
	if l.users != nil && !passableByAll(filepath.Dir(dir)) {
		sum := sha256.Sum256([]byte(dir))
		dir = filepath.Join(cacheDir, hex.EncodeToString(sum[:6]))
		if err := os.MkdirAll(cacheDir, 0o755); err != nil {
			return "", fmt.Errorf("runner: no directory that functions can reach: %w", err)
		}
		if err := sweep(cacheDir); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("runner: %w", err)
	}
	if err := ours(dir); err != nil {
		return "", err
	}
	if err := wipe(filepath.Join(dir, "run")); err != nil {
		return "", fmt.Errorf("runner: %w", err)
	}
	return dir, r.furnish(dir, l)
}

const (
	cacheDir = "/var/cache/coffer-functions" // a directory in it for each data directory
	ofFile   = "of"                          // in that: the Dir that it stands for
)

// sweep removes what stood for data directories that are gone, with the code of functions that
// is in it. One whose data directory is there is for that server's next start.
func sweep(cache string) error {
	all, err := os.ReadDir(cache)
	if err != nil {
		return fmt.Errorf("runner: %w", err)
	}
	for _, e := range all {
		dir := filepath.Join(cache, e.Name())
		of, err := os.ReadFile(filepath.Join(dir, ofFile))
		if err != nil || !filepath.IsAbs(string(of)) || ours(dir) != nil {
			continue // another server is about to make it, or it is none of ours
		}
		if _, err := os.Lstat(filepath.Dir(string(of))); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := wipe(dir); err != nil {
			return fmt.Errorf("runner: %w", err)
		}
	}
	return nil
}

// furnish makes what is in the runner's directory, where it is not there.
func (r *Runner) furnish(dir string, l *layers) error {
	if dir != r.cfg.Dir {
		if err := replace(filepath.Join(dir, ofFile), []byte(r.cfg.Dir), 0o600); err != nil {
			return fmt.Errorf("runner: %w", err)
		}
	}
	run := filepath.Join(dir, "run")
	if err := errors.Join(os.MkdirAll(run, 0o700), os.MkdirAll(filepath.Join(dir, "runtime"), 0o755)); err != nil {
		return fmt.Errorf("runner: %w", err)
	}
	for _, d := range []string{dir, run} {
		if l.users == nil {
			if err := os.Chmod(d, 0o700); err != nil {
				return fmt.Errorf("runner: %w", err)
			}
		} else if err := passable(d, l.users.shared); err != nil {
			return err
		}
	}
	return nil
}

// restore makes again what somebody removed while the server ran: what cleans /tmp or
// /var/cache, say. Processes that run lost their own files and are not helped.
func (r *Runner) restore() error {
	r.restoring.Lock()
	defer r.restoring.Unlock()
	whole := true
	for _, path := range []string{"run", "packages", "runtime/" + pythonClient, "runtime/" + nodeClient} {
		_, err := os.Lstat(filepath.Join(r.dir, path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("runner: %w", err)
		}
		whole = whole && err == nil
	}
	if whole {
		return nil
	}
	r.logger.Warn("the directory of functions was removed, and is made again", "directory", r.dir)
	if r.dir != r.cfg.Dir {
		if err := os.MkdirAll(filepath.Dir(r.dir), 0o755); err != nil {
			return fmt.Errorf("runner: %w", err)
		}
	}
	// Where everybody may write, somebody may have been faster.
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return fmt.Errorf("runner: %w", err)
	}
	if err := ours(r.dir); err != nil {
		return err
	}
	if err := r.furnish(r.dir, r.layers); err != nil {
		return err
	}
	dir := filepath.Join(r.dir, "packages")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("runner: %w", err)
	}
	if u := r.layers.users; u != nil {
		if err := passable(dir, u.shared); err != nil {
			return err
		}
	}
	return r.writeClients()
}

// ours refuses a directory that is somebody else's, or none.
func ours(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("runner: %w", err)
	}
	if uid, known := owner(info); !info.IsDir() || known && uid != os.Geteuid() {
		return fmt.Errorf("runner: %s is somebody else's", dir)
	}
	return nil
}

// passable lets a group through a directory without showing what is in it.
func passable(dir string, group int) error {
	if err := errors.Join(os.Chown(dir, -1, group), os.Chmod(dir, 0o710)); err != nil {
		return fmt.Errorf("runner: %w", err)
	}
	return nil
}

// passableByAll reports whether everybody can get into a directory.
func passableByAll(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil && info.Mode().Perm()&0o001 == 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// reachable is the path of this program as functions can start it: its own, or a
// copy's where their users cannot get.
func (r *Runner) reachable(l *layers, dir string) (string, error) {
	path := r.cfg.Self[0]
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if l.users == nil || info.Mode().Perm()&0o005 == 0o005 && passableByAll(filepath.Dir(path)) {
		return path, nil
	}
	copied := filepath.Join(dir, "runtime", programFile)
	if c, err := os.Stat(copied); err == nil && c.Size() == info.Size() && c.ModTime().Equal(info.ModTime()) {
		return copied, nil
	}
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	b, err := io.ReadAll(in)
	if err != nil {
		return "", err
	}
	if err := replace(copied, b, 0o755); err != nil {
		return "", err
	}
	return copied, os.Chtimes(copied, info.ModTime(), info.ModTime())
}

func (r *Runner) program() (string, error) { return r.reachable(r.layers, r.dir) }

// replace writes a file whole or not at all. Nothing forks meanwhile: a child has our open
// files until it is the other program, and what is open for writing cannot be executed.
func replace(path string, b []byte, mode fs.FileMode) (err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

//go:embed client/bootstrap.py client/bootstrap.mjs
var clients embed.FS

// writeClients puts our runtime clients and the certificates where functions find them.
func (r *Runner) writeClients() error {
	dir := filepath.Join(r.dir, "runtime")
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("runner: %w", err)
	}
	files := map[string][]byte{caFile: r.cfg.CA, bundleFile: bundle(r.cfg.CA)}
	for _, name := range []string{pythonClient, nodeClient} {
		b, err := clients.ReadFile("client/" + name)
		if err != nil {
			return err
		}
		files[name] = b
	}
	for name, b := range files {
		if err := replace(filepath.Join(dir, name), b, 0o644); err != nil {
			return fmt.Errorf("runner: %w", err)
		}
	}
	return nil
}

// allowed says whether f may run here at all.
func (r *Runner) allowed(f *lambda.Executable) error {
	if r.cfg.Mode == ModeOff {
		return fmt.Errorf("%w (--functions off)", lambda.ErrOff)
	}
	if err := r.prepare(); err != nil {
		return err
	}
	if !f.BuiltIn && r.cfg.Mode != ModeUnconfined && !r.layers.hidden() {
		return fmt.Errorf("%w but for built-in ones: nothing on this machine would keep them from Coffer's own data and from each other; "+
			"install bubblewrap, or use a kernel with Landlock and seccomp, or run them regardless with --functions unconfined (coffer doctor tells more)", lambda.ErrOff)
	}
	return nil
}

// Run implements lambda.Runner. It does not wait for a process to become free: beyond
// f.Concurrency or MaxProcesses it returns lambda.ErrThrottled at once, unless a process
// that is idle can be ended to make room.
func (r *Runner) Run(ctx context.Context, f *lambda.Executable, event lambda.Event) (*lambda.Answer, error) {
	if err := r.allowed(f); err != nil {
		r.metrics.invocations.WithLabelValues(resultRefused).Inc()
		return nil, err
	}
	p, err := r.take(f)
	if err != nil {
		if errors.Is(err, lambda.ErrThrottled) {
			r.metrics.throttled.Inc()
		}
		r.metrics.invocations.WithLabelValues(resultRefused).Inc()
		return nil, err
	}
	var with *birth
	if p == nil {
		with = &birth{}
		if f.Start != nil {
			if with.environment, with.credentials, err = f.Start(ctx); err != nil {
				r.untake(f)
				r.metrics.invocations.WithLabelValues(resultRefused).Inc()
				return nil, err
			}
		}
	}
	type outcome struct {
		answer *lambda.Answer
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		defer r.runs.Done()
		answer, result, err := r.invoke(f, event, p, with)
		r.done(f) // before the caller can come again
		r.metrics.invocations.WithLabelValues(result).Inc()
		done <- outcome{answer, err}
	}()
	select {
	case o := <-done:
		return o.answer, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// take counts one more event of f and finds a process for it: one that is idle, or nil
// and room for a new one.
func (r *Runner) take(f *lambda.Executable) (*process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil, errClosed
	case f.Concurrency > 0 && r.busy[f.ARN] >= f.Concurrency:
		return nil, lambda.ErrThrottled
	}
	var found *process
	for _, p := range slices.Backward(slices.Clone(r.idle)) { // the newest is the warmest
		if p.f.ARN != f.ARN || p.f.Version != f.Version {
			continue
		}
		switch {
		case p.f.Revision != f.Revision || p.stale(f):
			r.retire(p)
		case found == nil:
			found = p
		}
	}
	switch {
	case found != nil:
		r.idle = slices.DeleteFunc(r.idle, func(p *process) bool { return p == found })
	case !r.makeRoom(f):
		return nil, lambda.ErrThrottled
	default:
		r.alive[holderOf(f)]++
	}
	r.busy[f.ARN]++
	r.runs.Add(1)
	return found, nil
}

// makeRoom reports whether f may have one more process, and ends idle ones for it. An account
// has half of all, so that none keeps the others out, and an eighth of either is for
// built-in functions: secrets are rotated whatever users' functions do. r.mu is held.
func (r *Runner) makeRoom(f *lambda.Executable) bool {
	anyone := func(holder) bool { return true }
	account := func(h holder) bool { return h.account == f.Account }
	users := func(h holder) bool { return !h.builtIn }
	all, share := r.cfg.MaxProcesses, max(1, r.cfg.MaxProcesses/2)
	if !f.BuiltIn && !(r.within(share-share/8, func(h holder) bool { return account(h) && users(h) }) && r.within(all-all/8, users)) {
		return false
	}
	return r.within(share, account) && r.within(all, anyone)
}

// within reports whether there are fewer than bound processes of those holders, if need be after
// it ended the one that was idle longest.
func (r *Runner) within(bound int, of func(holder) bool) bool {
	n := 0
	for h, alive := range r.alive {
		if of(h) {
			n += alive
		}
	}
	if n < bound {
		return true
	}
	i := slices.IndexFunc(r.idle, func(p *process) bool { return of(holderOf(p.f)) })
	if i < 0 {
		return false
	}
	r.retire(r.idle[i])
	return true
}

// leave counts a process of f as ended. r.mu is held.
func (r *Runner) leave(f *lambda.Executable) {
	h := holderOf(f)
	if r.alive[h]--; r.alive[h] == 0 {
		delete(r.alive, h)
	}
}

// logOf is what the processes of f's holder may log together.
func (r *Runner) logOf(f *lambda.Executable) *allowance {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := holderOf(f)
	if r.logs[h] == nil {
		r.logs[h] = newAllowance(r.accountLog)
	}
	return r.logs[h]
}

// done counts the event of f as answered: another may come.
func (r *Runner) done(f *lambda.Executable) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[f.ARN]--; r.busy[f.ARN] == 0 {
		delete(r.busy, f.ARN)
	}
}

// untake takes back a take that found no process.
func (r *Runner) untake(f *lambda.Executable) {
	r.mu.Lock()
	r.leave(f)
	r.mu.Unlock()
	r.done(f)
	r.runs.Done()
}

// retire ends an idle process. r.mu is held.
func (r *Runner) retire(p *process) {
	r.idle = slices.DeleteFunc(r.idle, func(q *process) bool { return p == q })
	r.leave(p.f)
	go p.close()
}

// keep makes p idle, or ends it if it cannot serve again.
func (r *Runner) keep(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.since = time.Now()
	r.idle = append(r.idle, p)
	if r.closed || p.gone() {
		r.retire(p)
	}
}

// discard ends p, which had an event.
func (r *Runner) discard(p *process) {
	r.mu.Lock()
	r.leave(p.f)
	r.mu.Unlock()
	p.close()
}

// lookOut ends idle processes in time, and those that grew while idle.
func (r *Runner) lookOut() {
	defer close(r.looks)
	every := min(lookEvery, max(r.cfg.IdleTime/4, time.Millisecond))
	tick := time.NewTimer(every)
	defer tick.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-tick.C:
		}
		began := time.Now()
		r.mu.Lock()
		idle := slices.Clone(r.idle)
		r.mu.Unlock()
		var over []*process
		for _, p := range idle {
			// Not under the lock. One that is taken meanwhile is measured by its event.
			if limit := p.limit; p.memory(limit) > limit || p.stored() > int64(p.f.Storage)<<20 {
				over = append(over, p)
			}
		}
		r.mu.Lock()
		for _, p := range slices.Clone(r.idle) {
			if p.gone() || time.Since(p.since) >= r.cfg.IdleTime || p.stale(p.f) || slices.Contains(over, p) {
				r.retire(p)
			}
		}
		r.mu.Unlock()
		tick.Reset(rest(every, time.Since(began)))
	}
}

// Close ends idle processes, waits for events under way until ctx ends, then ends their
// processes too. When it returns, no process of any function is left. Run returns an
// error from its beginning.
func (r *Runner) Close(ctx context.Context) error {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.stop)
	}
	for _, p := range slices.Clone(r.idle) {
		r.retire(p)
	}
	r.mu.Unlock()
	<-r.looks
	served := make(chan struct{})
	go func() {
		r.runs.Wait()
		close(served)
	}()
	select {
	case <-served:
	case <-ctx.Done():
	}
	r.giveUp()
	r.mu.Lock()
	for p := range r.all {
		p.child.kill()
	}
	r.mu.Unlock()
	<-served
	r.ends.Wait()
	return r.release()
}

// release gives the users of functions back. Nothing runs any more.
func (r *Runner) release() error {
	var err error
	r.prepared.Do(func() { r.failed = errClosed }) // else a late Report would take them
	if l := r.layers; l != nil && l.users != nil && l.users.claim != nil {
		err = l.users.claim.Close()
		l.users.claim = nil
	}
	return err
}
