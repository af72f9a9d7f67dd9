package schedule

import (
	"fmt"
	"time"
)

// Reason classifies why rules are refused. It is an error so that errors.Is(err,
// schedule.Both) tells one from another; its text is for tests and logs.
type Reason string

const (
	Both      Reason = "both"       // AutomaticallyAfterDays and ScheduleExpression are given
	Neither   Reason = "neither"    // neither of them is
	Syntax    Reason = "syntax"     // the expression is not of the grammar
	Value     Reason = "value"      // a number or name is out of its range
	TooOften  Reason = "too often"  // windows open less than four hours apart
	TooSeldom Reason = "too seldom" // some years have no window
	Never     Reason = "never"      // no year has one: 30 February
	Overrun   Reason = "overrun"    // the window runs into the next day or window
)

// Error implements error.
func (r Reason) Error() string { return string(r) }

// Error says what is wrong with rules. Its text is a sentence for the caller of
// the API; it holds nothing but parts of the rules in printable ASCII.
type Error struct {
	Reason Reason
	text   string
}

// Error implements error.
func (e *Error) Error() string { return e.text }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Reason }

// AWS's texts about expressions are not known; these are ours.
func invalid(reason Reason, format string, args ...any) *Error {
	return &Error{reason, "The ScheduleExpression is not valid: " + fmt.Sprintf(format, args...) + "."}
}

var errTooOften = invalid(TooOften, "a secret can be rotated every %d hours at most", minHours)

func overlap(length, gap time.Duration) *Error {
	return &Error{Overrun, fmt.Sprintf("The rotation window must not extend into the next rotation window: the Duration is %dh, and windows open %d hours apart.", length/time.Hour, gap/time.Hour)}
}

func overnight(length time.Duration, hour int) *Error {
	return &Error{Overrun, fmt.Sprintf("The rotation window must not extend into the next UTC day: the Duration is %dh, and the window opens at %d:00.", length/time.Hour, hour)}
}
