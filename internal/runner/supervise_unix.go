//go:build unix

package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// A function does not run as the server's child but as the child of a supervisor: this
// binary again, started as `coffer function-init`. The supervisor takes on what
// confines the function, starts it, and ends everything that came of it when the
// function ends or the server does. It learns of the server's end, kill -9 included,
// by its standard input, a pipe whose other end only the server has. (The parent
// death signal alone would not do: it is bound to the thread that forked, and those
// who fork twice never get it.)

// spec is what a supervisor is told, on descriptor 3. The environment is in it and not
// on the command line, where everybody could read it.
type spec struct {
	Argv    []string
	Env     []string
	Dir     string // working directory
	Private string // directory to remove at the end

	Drop     bool // to UID and GID, with Groups
	UID, GID int
	Groups   []int

	Limits     limits
	Landlock   *ruleset
	Seccomp    *filter
	Bubblewrap *bubblewrap
}

// filter is a choice of system calls.
type filter struct {
	Unix bool // sockets of the local machine may be made
	Own  bool // without those that Landlock does not know and that a file's owner may do
}

// limits are those of package syscall's Setrlimit. 0: as it is.
type limits struct {
	Data      uint64 // bytes of private memory of one process
	FileSize  uint64 // bytes of one file
	Files     uint64 // open in one process
	Processes uint64 // threads of the user
}

// ruleset is what a Landlock domain lets its processes do with files.
type ruleset struct {
	Read  []string // read and execute below; what does not exist is passed over
	Write []string // everything below but make devices
	Use   []string // files to read and write, such as devices
}

// bubblewrap is a call of bwrap. Args hold the environment too.
type bubblewrap struct {
	Path string
	Args []string
}

// ended is what a supervisor says on descriptor 4: first that the function started,
// with its process id, then how it ended.
type ended struct {
	PID    int    `json:",omitempty"`
	Error  string `json:",omitempty"` // it did not start
	Entry  bool   `json:",omitempty"` // because its program cannot be started
	Exit   *int   `json:",omitempty"` // status
	Signal string `json:",omitempty"` // "killed"
}

// Supervise is to be called first thing in main with the command line behind the
// program's name. If this process was started as a supervisor it does its work and
// returns its exit code and true.
func Supervise(args []string) (code int, yes bool) {
	if len(args) == 0 || args[0] != supervisorCommand {
		return 0, false
	}
	if len(args) > 1 {
		return 0, true // the layers are tried: that we got here is all
	}
	status := json.NewEncoder(os.NewFile(4, "status"))
	if err := supervise(os.NewFile(3, "spec"), status); err != nil {
		var entry *entryError
		_ = status.Encode(ended{Error: err.Error(), Entry: errors.As(err, &entry)}) // the server may be gone
		return 1, true
	}
	return 0, true
}

func supervise(in *os.File, status *json.Encoder) error {
	// Nothing but 0, 1 and 2 goes on to the function.
	if err := closeOnExec(3); err != nil {
		return err
	}
	var s spec
	if err := json.NewDecoder(in).Decode(&s); err != nil {
		return fmt.Errorf("what to run: %w", err)
	}
	in.Close()
	// Signals meant to end a server are not for us: our end is that of standard input.
	// Caught and not ignored, because what is ignored stays so in the function.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGUSR1, syscall.SIGUSR2)
	if err := s.Limits.set(); err != nil {
		return err
	}
	t, err := adopt()
	if err != nil {
		return err
	}
	defer func() {
		if s.Private != "" {
			_ = wipe(s.Private) // the server looks again
		}
	}()
	restore := offer()
	main, err := s.start()
	restore()
	if err != nil {
		return err
	}
	if err := status.Encode(ended{PID: main}); err != nil {
		t.end(main)
	}
	var once sync.Once
	end := func() { once.Do(func() { t.end(main) }) }
	go func() {
		// Nothing is ever written: this returns when the server is gone or closes.
		_, _ = io.Copy(io.Discard, os.Stdin)
		end()
	}()
	return reap(main, s.Bubblewrap != nil, status, end)
}

// reap waits for the function and for all that was left to us, until nothing is left.
// bwrap exits with 128 and the number of the signal that ended its child.
func reap(main int, wrapped bool, status *json.Encoder, end func()) error {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.ECHILD:
			return nil
		case err != nil:
			return err
		case pid != main || !(ws.Exited() || ws.Signaled()):
			continue
		}
		e := ended{Signal: ws.Signal().String()}
		if ws.Exited() {
			code := ws.ExitStatus()
			e = ended{Exit: &code}
			if wrapped && code > 128 && code < 128+64 {
				e = ended{Signal: syscall.Signal(code - 128).String()}
			}
		}
		_ = status.Encode(e) // the server may be gone
		go end()
	}
}

// set puts the limits on this process, and so on its children.
func (l limits) set() error {
	for _, r := range []struct {
		resource int
		value    uint64
		always   bool
	}{
		// A core would hold credentials. One byte is too little for a file, and unlike none it also
		// keeps the core from a program that core_pattern names (core(5)).
		{syscall.RLIMIT_CORE, 1, true},
		{syscall.RLIMIT_DATA, l.Data, false},
		{syscall.RLIMIT_FSIZE, l.FileSize, false},
		{syscall.RLIMIT_NOFILE, l.Files, false},
		{rlimitProcesses, l.Processes, false},
	} {
		if r.value == 0 && !r.always {
			continue
		}
		var now syscall.Rlimit
		if err := syscall.Getrlimit(r.resource, &now); err != nil {
			return fmt.Errorf("limit %d: %w", r.resource, err)
		}
		value := min(r.value, uint64(now.Max))
		if err := syscall.Setrlimit(r.resource, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("limit %d: %w", r.resource, err)
		}
	}
	return nil
}

// attributes are those of the function's process: a session of its own, the dropped
// user.
func (s *spec) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true}
	if s.Drop {
		c := &syscall.Credential{Uid: uint32(s.UID), Gid: uint32(s.GID)}
		for _, g := range s.Groups {
			c.Groups = append(c.Groups, uint32(g))
		}
		a.Credential = c
	}
	return a
}

// fork starts argv with the standard descriptors, standard input being empty, and then files.
func (s *spec) fork(argv, env []string, a *syscall.SysProcAttr, files ...*os.File) (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	fds := []uintptr{null.Fd(), 1, 2}
	for _, f := range files {
		fds = append(fds, f.Fd())
	}
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{Dir: s.Dir, Env: env, Files: fds, Sys: a})
	for _, wrong := range []error{syscall.ENOEXEC, syscall.ENOENT, syscall.EACCES, syscall.ELOOP, syscall.ENOTDIR} {
		if errors.Is(err, wrong) {
			return 0, &entryError{argv[0], err}
		}
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", argv[0], err)
	}
	return pid, nil
}

// pause lets killed processes die before one looks again.
func pause() { time.Sleep(time.Millisecond) }
