package runner

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Users that functions are given: far above those of distributions and containers, or
// where the user namespace has no such, between those that systemd hands out ("Users,
// Groups, UIDs and GIDs on systemd systems"). Each server takes a range of its own.
const (
	usersHigh   = 2_000_000_000
	usersLow    = 60_706
	usersRange  = 512 // the group, the user that probes, and one for each of 256 slots
	usersServer = 64  // ranges
)

// userRange is a server's users, the first being group and the second the prober.
type userRange struct{ base, count int }

func userRanges() []userRange {
	var all []userRange
	for i := range usersServer {
		all = append(all, userRange{usersHigh + i*usersRange, usersRange})
	}
	return append(all, userRange{usersLow, 61_184 - usersLow})
}

// chooseUsers finds the users of the functions. fallback is a directory for the locks where
// /run cannot be written: in a container that has this server only.
func chooseUsers(name, fallback string) (*users, error) {
	if name != "" {
		return namedUser(name)
	}
	for _, r := range userRanges() {
		if !mapped(r.base, r.count) {
			continue
		}
		claim, err := claimUsers(r.base, fallback)
		if err != nil {
			return nil, err
		}
		if claim == nil {
			continue
		}
		u := &users{first: r.base + 2, shared: r.base, probe: r.base + 1, claim: claim}
		// What is left of a server that was killed together with its supervisors.
		if err := endUsers(u.probe, r.base+r.count-1); err != nil {
			return nil, errors.Join(err, claim.Close())
		}
		return u, nil
	}
	return nil, errors.New("the server's user namespace has no users for functions, or other servers have them all")
}

// namedUser is the one of Config.User.
func namedUser(name string) (*users, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil, fmt.Errorf("the user %q of functions is not known", name)
		}
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if uid == 0 || gid == 0 {
		return nil, errors.New("functions cannot run as root")
	}
	return &users{first: uid, shared: gid, probe: uid, fixed: true}, nil
}

// claimUsers locks a range for as long as the file is open. It is nil if another has it.
func claimUsers(base int, fallback string) (*os.File, error) {
	dir := "/run/coffer-functions"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		dir = fallback
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("users-%d", base)), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, err
}

// endUsers kills all processes of the users first to last.
func endUsers(first, last int) error {
	for end := time.Now().Add(killPatience); time.Now().Before(end); pause() {
		left := processesOf(first, last)
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone
		}
	}
	return fmt.Errorf("processes of the users %d to %d cannot be killed", first, last)
}

// mapped reports whether n ids from first exist in our user namespace.
func mapped(first, n int) bool {
	for _, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		b, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // no such namespaces here
		}
		found := false
		for line := range strings.Lines(string(b)) {
			var inside, outside, count int
			if c, err := fmt.Sscan(line, &inside, &outside, &count); err == nil && c == 3 {
				found = found || first >= inside && first+n <= inside+count
			}
		}
		if !found {
			return false
		}
	}
	return true
}
