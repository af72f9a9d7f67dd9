package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Layers of isolation that can be left out (Config.Without).
const (
	LayerUser       = "user"
	LayerLandlock   = "landlock"
	LayerSeccomp    = "seccomp"
	LayerBubblewrap = "bubblewrap"
)

// layers is what keeps functions in on this machine, found out once.
type layers struct {
	users      *users // nil: functions run as the server's user
	landlock   int    // its version; 0: not used
	seccomp    bool
	bubblewrap string // path of bwrap; "": not used
	missing    map[string]string
}

// users are those that functions run as. Unless configured, every process has a user of
// its own, one that nobody else is: not nobody, whom other services share.
type users struct {
	first  int  // of a process in slot 0
	shared int  // group that may read unpacked code
	fixed  bool // one for all: Config.User
}

func (u *users) uid(slot int) int {
	if u.fixed {
		return u.first
	}
	return u.first + slot
}

// Users that functions are given: far above those of distributions and containers, or
// where the user namespace has no such, between those that systemd hands out ("Users,
// Groups, UIDs and GIDs on systemd systems").
const (
	usersHigh = 2_000_000_000
	usersLow  = 60_706
)

// chooseUsers finds the users of the functions, for n processes.
func chooseUsers(name string, n int) (*users, error) {
	if name != "" {
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
		return &users{first: uid, shared: gid, fixed: true}, nil
	}
	for _, first := range []int{usersHigh, usersLow} {
		if mapped(first, n+1) {
			return &users{first: first + 1, shared: first}, nil
		}
	}
	return nil, fmt.Errorf("the server's user namespace has no users for functions")
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

// hidden reports whether functions cannot reach the data directory and the control
// socket. Landlock alone does not keep from connecting to a socket, so that it counts
// with seccomp only.
func (l *layers) hidden() bool {
	return l.users != nil || l.bubblewrap != "" || l.landlock > 0 && l.seccomp
}

// Layer is one layer of isolation.
type Layer struct {
	Name string `json:"name"`
	Used bool   `json:"used"`
	Does string `json:"does"`
	Note string `json:"note,omitempty"` // why it is not used and how to get it, or how it is
}

// Report is what `coffer doctor` shows of functions.
type Report struct {
	Mode         string        `json:"mode"`
	Functions    string        `json:"functions"` // of users: "confined", "unconfined", "refused", "off"
	BuiltIn      bool          `json:"builtIn"`   // built-in functions run
	Directory    string        `json:"directory,omitempty"`
	Layers       []Layer       `json:"layers"`
	Interpreters []Interpreter `json:"interpreters"`
	Problem      string        `json:"problem,omitempty"` // why no function can run at all
}

// Layers tells what isolates functions on this machine, what is missing, and what there is
// to run them with. It starts a few short processes.
func (r *Runner) Layers(ctx context.Context) Report {
	report := Report{Mode: r.cfg.Mode, Functions: "off", Interpreters: []Interpreter{}, Layers: []Layer{}}
	if err := r.prepare(); err != nil {
		report.Problem = err.Error()
		report.Functions = "refused"
		return report
	}
	l := r.layers
	report.Directory = r.dir
	report.BuiltIn = r.cfg.Mode != ModeOff
	switch {
	case r.cfg.Mode == ModeOff:
	case l.hidden():
		report.Functions = "confined"
	case r.cfg.Mode == ModeUnconfined:
		report.Functions = "unconfined"
	default:
		report.Functions = "refused"
	}
	report.Layers = l.describe()
	report.Interpreters = append(report.Interpreters, r.interpreters.all(ctx)...)
	return report
}

// note is why a layer is not used.
func (l *layers) note(name string, used bool, note string) string {
	if used {
		return note
	}
	return l.missing[name]
}
