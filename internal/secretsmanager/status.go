package secretsmanager

import (
	"errors"
	"strings"
	"time"

	"coffer/internal/api"
	"coffer/internal/arn"
	"coffer/internal/table"
)

// RotationStatus is what those who run Coffer are told of a secret's rotation, beyond
// what DescribeSecret tells its users. It holds no value and no token; messages and log
// lines are the function's own words.
type RotationStatus struct {
	ARN        string           `json:"arn"`
	Name       string           `json:"name"`
	Account    string           `json:"account"`
	Region     string           `json:"region"`
	Configured bool             `json:"configured"`
	Enabled    bool             `json:"enabled"`
	Deleted    bool             `json:"markedForDeletion,omitempty"`
	Function   string           `json:"function,omitempty"`
	Schedule   string           `json:"schedule,omitempty"`
	Last       *time.Time       `json:"lastRotated,omitempty"`
	Opens      *time.Time       `json:"nextWindowOpens,omitempty"`
	Closes     *time.Time       `json:"nextWindowCloses,omitempty"`
	Planned    *time.Time       `json:"planned,omitempty"` // the moment in the window
	Blocked    string           `json:"blockedBy,omitempty"`
	Running    *RunStatus       `json:"running,omitempty"`
	Ended      []OutcomeSummary `json:"ended"` // newest first
}

// RunStatus is a rotation under way, or waiting for its next attempt.
type RunStatus struct {
	Version  string     `json:"version"`
	Test     bool       `json:"test,omitempty"`
	Step     string     `json:"step"` // the one that is or will be invoked
	Index    int        `json:"stepNumber"`
	Attempt  int        `json:"attempt"`
	Attempts int        `json:"attempts"` // most in one window
	Started  time.Time  `json:"started"`
	Working  bool       `json:"working"`        // a process is at work on it now
	Due      *time.Time `json:"next,omitempty"` // when it goes on by itself
	Done     []StepTime `json:"done"`           // the steps of this attempt that have succeeded
}

// StepTime is how long a step took, from the end of the one before.
type StepTime struct {
	Step    string  `json:"step"`
	Seconds float64 `json:"seconds"`
}

func stepTimes(test bool, began table.Millis, done []table.Millis) []StepTime {
	out := []StepTime{}
	for i, at := range done {
		if test {
			i = testStep
		}
		out = append(out, StepTime{Steps[i], float64(at-began) / 1000})
		began = at
	}
	return out
}

// OutcomeSummary is how an attempt ended.
type OutcomeSummary struct {
	Version string    `json:"version,omitempty"`
	Test    bool      `json:"test,omitempty"`
	Attempt int       `json:"attempt,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Result  string    `json:"result"`
	Step    string    `json:"step,omitempty"`
	Message string    `json:"message,omitempty"`
	Log     string    `json:"log,omitempty"`
	Advice  string    `json:"advice,omitempty"`

	Done []StepTime `json:"done"` // its steps that succeeded
}

// ErrNoSecret says that there is no such secret.
var ErrNoSecret = errors.New("there is no such secret")

// StatusOf tells of the rotation of a secret, named as users name it.
func StatusOf(tx *table.Tx, account, region, id string) (*RotationStatus, error) {
	if a, err := arn.Parse(id); err == nil {
		region = a.Region
	}
	ref, err := parseSecretID(id, &api.Request{Account: account, Region: region})
	if err != nil {
		return nil, err
	}
	s, err := Secrets.Load(tx, table.K(ref.account, region, ref.name))
	if errors.Is(err, table.ErrNotFound) || err == nil && ref.suffix != "" && ref.suffix != s.Suffix {
		return nil, ErrNoSecret
	}
	if err != nil {
		return nil, err
	}
	out := &RotationStatus{ARN: s.arn(), Name: s.Name, Account: s.Account, Region: s.Region, Deleted: s.Deleted != 0, Ended: []OutcomeSummary{}}
	r := s.Rotation
	if r == nil {
		return out, nil
	}
	out.Configured, out.Enabled, out.Function, out.Last = true, r.Enabled, r.Function, r.Last.Ptr()
	out.Schedule = r.rules().String()
	out.Opens, out.Closes, out.Planned = r.Opens.Ptr(), r.Closes.Ptr(), r.At.Ptr()
	if p := s.holder(pending); p != nil && !p.has(current) && p.ID != r.Running {
		out.Blocked = p.ID
	}
	if r.Running != "" {
		u, err := Runs.Load(tx, s.part())
		if err != nil {
			return nil, err
		}
		out.Running = &RunStatus{
			Version: u.Version, Test: u.Test, Step: u.StepName(), Index: u.Step + 1, Attempt: u.Attempt, Attempts: maxAttempts,
			Started: u.Started.Time(), Working: u.Owner != "", Due: u.Due.Ptr(),
			Done: stepTimes(u.Test, u.Claimed, u.Done),
		}
	}
	h, err := Histories.Load(tx, s.part())
	if errors.Is(err, table.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for i := range h.Ended {
		o := &h.Ended[i]
		out.Ended = append(out.Ended, OutcomeSummary{
			Version: o.Version, Test: o.Test, Attempt: o.Attempt, Started: o.Started.Time(), Ended: o.Ended.Time(),
			Result: o.Result, Step: o.Step, Message: o.Message, Log: o.Log, Advice: o.advice(),
			Done: stepTimes(o.Test, o.Claimed, o.Done),
		})
	}
	return out, nil
}

// advice is what to do about an attempt that did not succeed.
func (o *Outcome) advice() string {
	switch o.Result {
	case Missed:
		return "No server ran while the window was open. Rotate now, or wait for the next window."
	case Abandoned:
		return "Another writer made a new current version, or took AWSPENDING away. If the database already has the new password, set it right by hand, then rotate again."
	case Failed:
	default:
		return ""
	}
	for _, a := range advices {
		if (a.step == "" || a.step == o.Step) && strings.Contains(o.Message, a.says) {
			return a.text
		}
	}
	return ""
}

// advices are looked through in order: first what the message tells, then what the
// step does.
var advices = []struct{ step, says, text string }{
	{"", "ResourceNotFoundException: Function not found", "The rotation function is gone. Create it again, or give RotateSecret another one."},
	{"", "Task timed out", "The function took longer than its timeout. See whether the database answers from this machine; raise the function's Timeout if it is only slow."},
	{"", "AccessDenied", "The function's role, or Secrets Manager for the function, lacks a permission. `coffer who-can` tells who has it; `coffer explain` tells of one call."},
	{"", "Runtime.ImportModuleError", "The function's package lacks a module. Put it into the package or a layer."},
	{"", "Runtime.ExitError", "The function's process died. Its log group tells more."},
	{"", "KMS", "The key of the secret, or of the function's variables, refuses its use or is not enabled."},
	{"createSecret", "", "The new value could not be made or stored; the database has not been touched. See that the secret's JSON has what the function expects."},
	{"setSecret", "", "The database did not take the new password, or not for sure; the current one stays in the secret. See that host, port and current password are right and that the function reaches the database."},
	{"testSecret", "", "The new password was set, and logging in with it failed. It is tried again with the same version; the current value stays in the secret."},
	{"finishSecret", "", "The new password is set and tested; only the label could not be moved. It is tried again with the same version."},
}
