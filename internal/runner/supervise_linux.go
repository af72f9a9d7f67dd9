package runner

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// niceness is how far functions stand back behind the server and others.
const niceness = 10

const rlimitProcesses = unix.RLIMIT_NPROC

// closeOnExec marks all descriptors from first up.
func closeOnExec(first int) error {
	err := unix.CloseRange(uint(first), ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	for fd := first; fd < 1024; fd++ { // before Linux 5.11
		unix.CloseOnExec(fd)
	}
	return nil
}

// descent is what came of the function, as seen from its supervisor.
type descent struct{}

// adopt makes this process the one to which orphans below it fall, however often they
// forked and whatever session they made.
func adopt() (descent, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return descent{}, fmt.Errorf("becoming the reaper of orphans: %w", err)
	}
	return descent{}, nil
}

// end kills everything below this process. What is stopped cannot fork, so that
// stopping comes first: else a process that does nothing but fork could outrun us.
func (descent) end(int) {
	self := os.Getpid()
	for {
		seen := make(map[int]bool)
		for more := true; more; {
			more = false
			for _, pid := range descendants(self) {
				if !seen[pid] {
					seen[pid], more = true, true
					_ = unix.Kill(pid, unix.SIGSTOP) // it may be gone
				}
			}
		}
		if len(seen) == 0 {
			return
		}
		for pid := range seen {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		pause()
	}
}

// offer has what is started from now on chosen first when the machine runs out of memory,
// until it is called off: better a function than the server. It is one more net below the limits:
// where /proc is closed to us there is none.
func offer() (callOff func()) {
	const file = "/proc/self/oom_score_adj"
	before, err := os.ReadFile(file)
	if err != nil || os.WriteFile(file, []byte("1000"), 0) != nil {
		return func() {}
	}
	return func() { _ = os.WriteFile(file, before, 0) } // else we are as likely as the function
}

// start starts the function from a thread that is confined first: no_new_privs,
// Landlock and seccomp are a thread's, a child takes on those of the thread that
// forked it, and the supervisor's other threads stay free to end it.
func (s *spec) start() (int, error) {
	type result struct {
		pid int
		err error
	}
	c := make(chan result)
	go func() {
		// Never unlocked: the parent death signal comes when this thread ends, and so
		// with this process.
		runtime.LockOSThread()
		pid, err := s.confined()
		c <- result{pid, err}
		select {}
	}()
	r := <-c
	return r.pid, r.err
}

func (s *spec) confined() (int, error) {
	// On a busy machine callers of the server go first: a thread's, as above.
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, niceness); err != nil {
		return 0, fmt.Errorf("priority: %w", err)
	}
	a := s.attributes()
	a.Pdeathsig = syscall.SIGKILL
	if s.Bubblewrap != nil {
		// It sets no_new_privs itself, after its mounts; it may be installed setuid.
		return s.wrapped(a)
	}
	if !s.Drop {
		if err := dropCapabilities(); err != nil {
			return 0, err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("no_new_privs: %w", err)
	}
	if s.Landlock != nil {
		if err := s.Landlock.enforce(); err != nil {
			return 0, err
		}
	}
	if s.Seccomp != nil {
		if err := s.Seccomp.enforce(); err != nil {
			return 0, err
		}
	}
	return s.fork(s.Argv, s.Env, a)
}

// dropCapabilities takes root's powers from the calling thread and its later children,
// for a function that stays root. It does nothing to others, who have none.
func dropCapabilities() error {
	if os.Geteuid() != 0 {
		return nil
	}
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) { // there are no more
			break
		}
		if err != nil {
			return fmt.Errorf("capabilities: %w", err)
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	return nil
}

// wrapped starts the function within bwrap. The environment goes to bwrap on a pipe: on
// its command line everybody could read it, and in bwrap's own environment LD_PRELOAD
// would act before anything is confined.
//
// A zero byte in one of them would begin another, such as a mount of the whole machine.
func (s *spec) wrapped(a *syscall.SysProcAttr) (int, error) {
	if slices.ContainsFunc(s.Bubblewrap.Args, func(arg string) bool { return strings.ContainsRune(arg, 0) }) {
		return 0, errors.New("an argument of bwrap holds a zero byte")
	}
	args, err := memory("arguments", []byte(strings.Join(s.Bubblewrap.Args, "\x00")+"\x00"))
	if err != nil {
		return 0, err
	}
	defer args.Close()
	argv := []string{s.Bubblewrap.Path, "--args", "3"}
	files := []*os.File{args}
	if s.Seccomp != nil {
		program, err := s.Seccomp.program()
		if err != nil {
			return 0, err
		}
		file, err := memory("seccomp", program)
		if err != nil {
			return 0, err
		}
		defer file.Close()
		argv = append(argv, "--seccomp", "4")
		files = append(files, file)
	}
	argv = append(append(argv, "--"), s.Argv...)
	dir := s.Dir
	s.Dir = "/"
	defer func() { s.Dir = dir }()
	return s.fork(argv, nil, a, files...)
}

// memory is an anonymous file with content, to be read from its beginning.
func memory(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(content)
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
