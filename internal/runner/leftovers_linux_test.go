package runner_test

import (
	"os"
	"strings"
	"testing"

	"coffer/internal/runner"
)

// What a function leaves does not reach the next one in its slot, another account's, which has
// the same user. With a user alone that holds for shared memory only, and so users' functions
// do not run there unless that is asked for.
func TestNothingIsLeftToAnother(t *testing.T) {
	need(t, "python3")
	const common = `
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
def segment(flags):
    n = libc.shmget(0x5ec5, 1 << 20, flags)
    p = None if n < 0 else libc.shmat(n, None, 0)
    return None if p == 2**64 - 1 else p
`
	leave := common + `
def lambda_handler(event, context):
    p = segment(0o1600)
    if p: ctypes.memmove(p, b"of account one", 15)
    for dir in event:
        try:
            with open(dir + "/coffer-left", "w") as f: f.write("of account one")
        except OSError: pass
`
	find := common + `
def lambda_handler(event, context):
    p = segment(0)
    out = [ctypes.string_at(p, 14).decode()] if p else []
    for dir in event:
        try: out.append(dir + ": " + open(dir + "/coffer-left").read())
        except OSError: pass
    return out
`
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			l.check(t)
			dirs := `["/tmp", "/var/tmp", "/dev/shm", "."]`
			b := start(t, func(c *runner.Config) {
				c.Without, c.MaxProcesses = append(c.Without, l.without...), 1
				if l.name == "user" {
					c.Mode, dirs = runner.ModeUnconfined, `[]`
				}
			})
			one, two := python(t, leave), python(t, find)
			one.Account, two.Account = "111111111111", "222222222222"
			b.works(one, dirs, `null`)
			b.works(two, dirs, `[]`)
		})
	}
	if b, err := os.ReadFile("/proc/sysvipc/shm"); err == nil && strings.Contains(string(b), " 24261 ") {
		t.Errorf("shared memory stays:\n%s", b)
	}
}
