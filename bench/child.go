package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Every server that is measured is a process of its own, so that its CPU time
// is its own.

// memory is a process's resident memory in bytes.
type memory struct {
	RSS  int64 `json:"rss"`
	Anon int64 `json:"anon"` // not backed by files
}

// process is a child. Its standard error is kept to explain a failure.
type process struct {
	cmd    *exec.Cmd
	stderr tail
	exited chan struct{} // closed when it has ended
	state  error         // of Wait; read after exited
}

// start starts a child that ends with this process.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{})}
	cmd.Stderr = &p.stderr
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = dieWithParent()
	}
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.state = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) cpu() (time.Duration, error) { return cpuTime(p.pid()) }

func (p *process) memory() (memory, error) { return memoryOf(p.pid()) }

// kill ends the process as kill -9 does, and waits for it.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// stop ends the process gracefully, or not if that takes too long.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.kill()
		return nil
	}
	select {
	case <-p.exited:
		return p.explain(p.state)
	case <-time.After(20 * time.Second):
		p.kill()
		return errors.New("the server did not stop within 20 s of SIGINT")
	}
}

// explain adds what the process last said.
func (p *process) explain(err error) error {
	if err == nil {
		return nil
	}
	if said := p.stderr.String(); said != "" {
		return fmt.Errorf("%w; it said last:\n%s", err, said)
	}
	return err
}

// tail is a writer that keeps the last few kilobytes.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - 4<<10; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}

// childFlag makes this program one of its own children.
const childFlag = "child-server"

// helper is this program run as one of its own children. It talks in lines of
// JSON over stdin and stdout and ends with its stdin.
type helper struct {
	*process
	in  io.WriteCloser
	out *bufio.Reader
}

// startHelper starts a child of the given kind and exchanges the first lines.
func startHelper(ctx context.Context, kind string, config, ready any) (*helper, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe, childFlag, kind)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Not StdoutPipe: Wait, which runs from the start, would close it.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	p, err := start(cmd)
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	h := &helper{process: p, in: in, out: bufio.NewReader(r)}
	if err := h.ask(config, ready); err != nil {
		h.kill()
		return nil, fmt.Errorf("%s server: %w", kind, p.explain(err))
	}
	return h, nil
}

// childEnv marks a child's environment, for the test binary, which cannot tell
// by its arguments.
const childEnv = "COFFER_BENCH_CHILD"

// ask sends a line and reads the answer.
func (h *helper) ask(question, answer any) error {
	b, err := json.Marshal(question)
	if err != nil {
		return err
	}
	if _, err := h.in.Write(append(b, '\n')); err != nil {
		return err
	}
	line, err := h.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, answer)
}

// runChild is a child's main.
func runChild(kind string) error {
	in := bufio.NewReader(os.Stdin)
	switch kind {
	case kindBare, kindCeiling:
		return serveBaseline(kind, in, os.Stdout)
	case kindRaw:
		return serveRaw(in, os.Stdout)
	}
	return fmt.Errorf("no such child: %q", kind)
}

func readLine(in *bufio.Reader, v any) error {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}
