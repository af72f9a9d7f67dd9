package runner_test

import (
	"testing"
	"time"

	"coffer/internal/runner"
)

// Memory counts however it is had, and files count with or without a name.
func TestSharedMemoryCounts(t *testing.T) {
	need(t, "python3")
	for name, code := range map[string]string{
		"anonymous": `
import mmap
def take():
    m = mmap.mmap(-1, 300 << 20)   # MAP_SHARED|MAP_ANONYMOUS
    for at in range(0, 300 << 20, 4096):
        m[at] = 1
    return m
`,
		"nameless": `
import os, tempfile
def take():
    block, fds = b"x" * (1 << 20), []
    for i in range(3):             # 3 x 30 of 64 MB
        path = tempfile.gettempdir() + "/f%d" % i
        fds.append(os.open(path, os.O_RDWR | os.O_CREAT))
        os.unlink(path)
        for _ in range(30):
            try: os.write(fds[-1], block)
            except OSError: os._exit(9)   # /tmp itself is bounded: that is as good
    return fds
`,
	} {
		code += `
import time
def lambda_handler(event, context):
    keep = take()
    time.sleep(50)
    return "done"
`
		t.Run(name, func(t *testing.T) {
			for _, l := range layouts[:2] {
				t.Run(l.name, func(t *testing.T) {
					l.check(t)
					b := start(t, func(c *runner.Config) { c.Without = append(c.Without, l.without...) })
					f := python(t, code)
					f.Memory, f.Storage, f.Timeout = 128, 64, 60*time.Second
					b.fails(f, "{}", "Runtime.ExitError")
				})
			}
		})
	}
}

// A memfd is memory that is in no sum; and when the machine has none left, the kernel
// takes a function first.
func TestMemoryOutsideTheSum(t *testing.T) {
	need(t, "python3")
	for _, l := range layouts[:2] {
		t.Run(l.name, func(t *testing.T) {
			l.check(t)
			b := start(t, func(c *runner.Config) { c.Without = append(c.Without, l.without...) })
			b.works(python(t, `
import os
def lambda_handler(event, context):
    try: os.memfd_create("m")
    except OSError as e: return [e.strerror, open("/proc/self/oom_score_adj").read().strip()]
`), "{}", `["Function not implemented", "1000"]`)
		})
	}
}

// Watching a function takes a twentieth of a core at most, however long one look takes.
func TestWatchingIsBounded(t *testing.T) {
	t.Parallel()
	for cost, want := range map[time.Duration]time.Duration{
		0: 50 * time.Millisecond, time.Millisecond: 50 * time.Millisecond,
		10 * time.Millisecond: 200 * time.Millisecond, time.Second: 20 * time.Second,
	} {
		if got := runner.Rest(50*time.Millisecond, cost); got != want {
			t.Errorf("after %v of work it rests %v, want %v", cost, got, want)
		}
	}
}

// A function has 256 processes at most.
func TestProcessesOfAFunction(t *testing.T) {
	need(t, "python3")
	for _, l := range layouts[:2] {
		t.Run(l.name, func(t *testing.T) {
			l.check(t)
			b := start(t, func(c *runner.Config) { c.Without = append(c.Without, l.without...) })
			b.works(python(t, `
import os, time
def lambda_handler(event, context):
    n = 0
    try:
        while n < 300:
            if os.fork() == 0:
                time.sleep(100); os._exit(0)
            n += 1
    except BlockingIOError: pass
    return 200 < n < 257
`), "{}", "true")
		})
	}
}
