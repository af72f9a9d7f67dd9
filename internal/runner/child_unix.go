//go:build unix

package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is a function's process with its supervisor, as the server has them.
type child struct {
	supervisor *exec.Cmd
	control    *os.File // the supervisor lives as long as this is open
	output     *os.File // what the function writes
	sink       func([]byte)

	reading sync.Mutex    // of output
	read    chan struct{} // closed when there is no more
	killing sync.Once

	ended  chan struct{} // closed when the function's own process is gone; end says how
	end    ended
	exited chan struct{} // closed when nothing of it is left and all output was read
}

// startChild starts what s says below a supervisor. self is the command line of this
// program, sink gets what the function writes.
func startChild(self []string, s *spec, sink func([]byte)) (_ *child, err error) {
	var open []*os.File
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	pipe := func() (r, w *os.File) {
		if err != nil {
			return nil, nil
		}
		if r, w, err = os.Pipe(); err == nil {
			open = append(open, r, w)
		}
		return r, w
	}
	control, controlW := pipe()
	specR, specW := pipe()
	statusR, statusW := pipe()
	output, outputW := pipe()
	if err != nil {
		return nil, fmt.Errorf("runner: %w", err)
	}
	argv := append(append([]string{}, self...), supervisorCommand)
	c := &child{
		supervisor: &exec.Cmd{
			Path: self[0], Args: argv, Dir: "/", Env: supervisorEnv,
			Stdin: control, Stdout: outputW, Stderr: outputW,
			ExtraFiles:  []*os.File{specR, statusW},
			SysProcAttr: &syscall.SysProcAttr{Setsid: true}, // Ctrl-C at the server is not for it
		},
		control: controlW, output: output, sink: sink,
		read: make(chan struct{}), ended: make(chan struct{}), exited: make(chan struct{}),
	}
	if err := c.supervisor.Start(); err != nil {
		return nil, fmt.Errorf("runner: %w", err)
	}
	for _, f := range []*os.File{control, specR, statusW, outputW} {
		f.Close()
	}
	open = nil
	written := json.NewEncoder(specW).Encode(s)
	specW.Close()
	status := json.NewDecoder(statusR)
	_ = statusR.SetReadDeadline(time.Now().Add(killPatience)) // pipes have deadlines
	var first ended
	if err := errors.Join(written, status.Decode(&first)); err != nil {
		first = ended{Error: fmt.Sprintf("the supervisor does not say that it started: %v", err)}
		c.kill()
	}
	go c.listen()
	if first.Error != "" {
		c.end = first
		close(c.ended)
		statusR.Close()
		c.wait()
		if first.Entry {
			return nil, &entryError{s.Argv[0], errors.New(first.Error[strings.LastIndex(first.Error, ": ")+2:])}
		}
		return nil, fmt.Errorf("runner: %s", first.Error)
	}
	_ = statusR.SetReadDeadline(time.Time{})
	go c.follow(status, statusR)
	return c, nil
}

// follow waits for the end of the function, then of its supervisor.
func (c *child) follow(status *json.Decoder, pipe *os.File) {
	defer pipe.Close()
	if err := status.Decode(&c.end); err != nil {
		c.end = ended{Error: "the supervisor was killed"}
	}
	close(c.ended)
	c.wait()
}

// wait waits for the supervisor and closes what is ours. It is called once.
func (c *child) wait() {
	_ = c.supervisor.Wait() // how it ended, its status pipe tells
	c.kill()
	// All writers are gone, but for what escaped a supervisor that was killed itself.
	_ = c.output.SetReadDeadline(time.Now().Add(time.Second))
	<-c.read
	c.output.Close()
	close(c.exited)
}

// kill has the supervisor end everything; exited is closed when it has. One that does
// not is killed, too.
func (c *child) kill() {
	c.killing.Do(func() {
		c.control.Close()
		time.AfterFunc(killPatience, func() {
			select {
			case <-c.exited:
			default:
				_ = c.supervisor.Process.Kill() // it may end just now
			}
		})
	})
}

// listen hands output on as it comes. The read itself happens under the lock, so that
// who has it knows that nothing is between the pipe and the sink.
func (c *child) listen() {
	defer close(c.read)
	raw, err := c.output.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 64<<10)
	for {
		var n int
		var err error
		wait := raw.Read(func(fd uintptr) bool {
			c.reading.Lock()
			defer c.reading.Unlock()
			n, err = syscall.Read(int(fd), buf)
			if n > 0 {
				c.sink(buf[:n])
			}
			return err != syscall.EAGAIN
		})
		if wait != nil || (err != nil && err != syscall.EINTR) || (n == 0 && err == nil) {
			return
		}
	}
}

// drain hands on what is in the pipe now: all that the function wrote before its answer.
func (c *child) drain() {
	raw, err := c.output.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // fails when closed, and then all was read
		c.reading.Lock()
		defer c.reading.Unlock()
		left, err := unix.IoctlGetInt(int(fd), ioctlReadable)
		if err != nil {
			return
		}
		buf := make([]byte, min(left, 64<<10))
		for left > 0 {
			n, err := syscall.Read(int(fd), buf[:min(left, len(buf))])
			if n <= 0 || err != nil {
				return
			}
			c.sink(buf[:n])
			left -= n
		}
	})
}

// reason says how the function's process ended, in Lambda's words.
func (e ended) reason() string {
	switch {
	case e.Signal != "":
		return "Runtime exited with error: signal: " + e.Signal
	case e.Exit != nil && *e.Exit != 0:
		return fmt.Sprintf("Runtime exited with error: exit status %d", *e.Exit)
	case e.Exit != nil:
		return "Runtime exited without providing a reason"
	}
	return "Runtime exited with error: " + e.Error
}
