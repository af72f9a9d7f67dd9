package secretsmanager

import (
	"cmp"
	"errors"
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
	Began    *time.Time `json:"attemptBegan,omitempty"` // none: it waits to be tried as a whole
	Working  bool       `json:"working"`                // a process is at work on it now
	GaveUp   int        `json:"gaveUpAfter,omitempty"`  // failed attempts, after which it waits for the next window or for RotateSecret
	Due      *time.Time `json:"next,omitempty"`         // when it goes on by itself
	Done     []StepTime `json:"done"`                   // the steps of this attempt that have succeeded
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
	out.Blocked = s.blocked()
	if r.Running != "" {
		u, err := Runs.Load(tx, s.part())
		if err != nil {
			return nil, err
		}
		out.Running = &RunStatus{
			Version: u.Version, Test: u.Test, Step: u.StepName(), Index: u.Step + 1, Attempt: u.Attempt, Attempts: maxAttempts,
			Started: u.Started.Time(), Began: u.Claimed.Ptr(), Working: u.Owner != "", GaveUp: u.GaveUp, Due: u.Due.Ptr(),
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
		o.Function = cmp.Or(o.Function, r.Function)
		out.Ended = append(out.Ended, OutcomeSummary{
			Version: o.Version, Test: o.Test, Attempt: o.Attempt, Started: o.Started.Time(), Ended: o.Ended.Time(),
			Result: o.Result, Step: o.Step, Message: o.Message, Log: o.Log, Advice: o.advice(),
			Done: stepTimes(o.Test, o.Claimed, o.Done),
		})
	}
	return out, nil
}
