package runner

import (
	"context"
	"os"
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
	first  int      // of a process in slot 0
	shared int      // group that may read unpacked code
	probe  int      // tries interpreters
	fixed  bool     // one for all: Config.User
	claim  *os.File // a lock: no other server gives these users to its functions
}

func (u *users) uid(slot int) int {
	if u.fixed {
		return u.first
	}
	return u.first + slot
}

// hidden reports whether functions cannot reach the data directory, the control socket and
// what other functions leave behind. A user alone does not keep them from each other: the next
// process in a slot has the same one, and finds what is left in /tmp and /dev/shm. Landlock
// does not keep from connecting to a socket or from shared memory, so that it counts with
// seccomp only.
func (l *layers) hidden() bool {
	return l.bubblewrap != "" || l.landlock > 0 && l.seccomp
}

// Layer is one layer of isolation.
type Layer struct {
	Name string `json:"name"`
	Used bool   `json:"used"`
	Does string `json:"does"`
	Note string `json:"note,omitempty"` // why it is not used and how to get it, or how it is
}

// What becomes of users' functions (Report.Functions).
const (
	FunctionsConfined   = "confined"
	FunctionsUnconfined = "unconfined"
	FunctionsRefused    = "refused"
	FunctionsOff        = "off"
)

// Report is what `coffer doctor` shows of functions.
type Report struct {
	Mode         string        `json:"mode"`
	Functions    string        `json:"functions"` // of users: FunctionsConfined, ...
	BuiltIn      bool          `json:"builtIn"`   // built-in functions run
	Directory    string        `json:"directory,omitempty"`
	Layers       []Layer       `json:"layers"`
	Interpreters []Interpreter `json:"interpreters"`
	Problem      string        `json:"problem,omitempty"` // why no function can run at all
}

// Report tells what isolates functions on this machine, what is missing, and what there is
// to run them with. It starts a few short processes.
func (r *Runner) Report(ctx context.Context) Report {
	report := Report{Mode: r.cfg.Mode, Functions: FunctionsOff, Interpreters: []Interpreter{}, Layers: []Layer{}}
	if err := r.prepare(); err != nil {
		report.Problem = err.Error()
		report.Functions = FunctionsRefused
		return report
	}
	l := r.layers
	report.Directory = r.dir
	report.BuiltIn = r.cfg.Mode != ModeOff
	switch {
	case r.cfg.Mode == ModeOff:
	case l.hidden():
		report.Functions = FunctionsConfined
	case r.cfg.Mode == ModeUnconfined:
		report.Functions = FunctionsUnconfined
	default:
		report.Functions = FunctionsRefused
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
