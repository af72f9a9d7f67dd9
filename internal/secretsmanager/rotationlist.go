package secretsmanager

import (
	"fmt"
	"time"

	"coffer/internal/table"
)

// RotationSummary is how the rotation of a secret stands, in a line.
type RotationSummary struct {
	ARN      string        `json:"arn"`
	Name     string        `json:"name"`
	Function string        `json:"function"` // ARN
	Enabled  bool          `json:"enabled"`
	Deleted  bool          `json:"markedForDeletion,omitempty"`
	State    RotationState `json:"state"`
	Step     string        `json:"step,omitempty"` // that failed
	Test     bool          `json:"test,omitempty"` // the state is that of a test of the current value
	Next     *time.Time    `json:"next,omitempty"` // when it begins, or is tried again, by itself
}

// RotationState is how the last rotation of a secret ended, or that one has not.
type RotationState string

// The states beside [Succeeded], [Failed], [Abandoned] and [Missed].
const (
	NeverRotated RotationState = "never"
	UnderWay     RotationState = "underWay"
	Retrying     RotationState = "retrying" // an attempt has failed, another follows or is at work
	GivenUp      RotationState = "givenUp"  // all attempts have failed
	Blocked      RotationState = "blocked"  // AWSPENDING is on a version that no rotation makes
)

// Failing tells whether somebody has to look after the rotation.
func (s *RotationSummary) Failing() bool {
	switch s.State {
	case NeverRotated, UnderWay, Succeeded:
		return false
	case Blocked: // rotation is off, perhaps, by the cancel that left it so
		return !s.Deleted
	}
	return s.Enabled && !s.Deleted
}

// listRows bounds how many secrets one page of rotations looks at.
const listRows = 1000

// RotationsOf lists the rotations of an account's secrets in a region by name, those behind after:
// of all secrets for which rotation was configured, or of those that are failing. It looks at a
// bounded number of secrets; next is where to go on, empty at the end.
func RotationsOf(tx *table.Tx, account, region, after string, failing bool) (list []RotationSummary, next string, err error) {
	list = []RotationSummary{}
	rows := table.Range{Prefix: table.K(account, region)}
	if after != "" {
		rows.After = table.K(account, region, after)
	}
	looked := 0
	for e, err := range Secrets.Scan(tx, rows) {
		if err != nil {
			return nil, "", err
		}
		if looked++; looked > listRows {
			return list, next, nil
		}
		s := e.Value
		if next = s.Name; s.Rotation == nil {
			continue
		}
		sum, err := s.rotationSummary(tx)
		if err != nil {
			return nil, "", err
		}
		if !failing || sum.Failing() {
			list = append(list, *sum)
		}
	}
	return list, "", nil
}

func (s *Secret) rotationSummary(tx *table.Tx) (*RotationSummary, error) {
	r := s.Rotation
	out := &RotationSummary{
		ARN: s.arn(), Name: s.Name, Function: r.Function, Enabled: r.Enabled, Deleted: s.Deleted != 0,
		State: RotationState(r.Result), Step: r.Step, Test: r.Tested, Next: r.At.Ptr(),
	}
	if r.Running != "" {
		u, err := Runs.Load(tx, s.part())
		if err != nil {
			return nil, fmt.Errorf("rotation of %s: %w", s.arn(), err)
		}
		out.Step, out.Test, out.Next = u.Failed, u.Test, u.Due.Ptr()
		switch {
		case u.GaveUp > 0:
			out.State = GivenUp
		case u.Failed != "":
			out.State = Retrying
		default:
			out.State = UnderWay
		}
		return out, nil
	}
	if s.blocked() != "" {
		out.State, out.Step, out.Test = Blocked, "", false
	}
	if out.State == "" && r.Last != 0 {
		out.State = Succeeded
	} else if out.State == "" {
		out.State = NeverRotated
	}
	return out, nil
}

// blocked is the version that has AWSPENDING and is made by no rotation; empty: none. As long
// as there is one, no rotation begins.
func (s *Secret) blocked() string {
	if p := s.holder(pending); p != nil && !p.has(current) && (s.Rotation == nil || p.ID != s.Rotation.Running) {
		return p.ID
	}
	return ""
}
