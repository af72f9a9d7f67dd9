//go:build unix && !linux

package runner

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const rlimitProcesses = unix.RLIMIT_NPROC

func closeOnExec(first int) error {
	for fd := first; fd < 1024; fd++ {
		unix.CloseOnExec(fd)
	}
	return nil
}

// descent is the function's process group. There is no such thing as Linux's reaper
// of orphans here: what makes itself a session of its own escapes.
type descent struct{}

func adopt() (descent, error) { return descent{}, nil }

func (descent) end(main int) {
	_ = syscall.Kill(-main, syscall.SIGKILL) // it may be gone
}

func offer() (callOff func()) { return func() {} }

func (s *spec) start() (int, error) { return s.fork(s.Argv, s.Env, s.attributes()) }
