// Package schedule is the rotation schedules of AWS Secrets Manager: rate() and
// cron() expressions, the windows in which a secret rotates, and the moment in
// its window at which one secret does.
//
// Everything is a function of its arguments: there is no clock and no state, so
// that what was worked out before a restart is worked out again after it.
// All times are UTC, whatever the location of a time given.
//
// Sources: "Rotation schedules" in the Secrets Manager user guide,
// RotationRulesType in its API reference.
package schedule

import (
	"fmt"
	"strings"
	"time"
)

const (
	day = 24 * time.Hour

	maxExpression = 256  // characters; the model's limit
	maxDays       = 1000 // of AutomaticallyAfterDays; the model's limit
	maxRateDays   = 999  // "The maximum rotation period is 999 days."
	minHours      = 4    // "You can rotate a secret as often as every four hours."
)

// Rules are the RotationRules of a secret. The zero value of a member is a member
// that is absent, which the model's constraints keep from meaning anything else.
type Rules struct {
	AutomaticallyAfterDays int64  // 1 to 1000
	Duration               string // the length of a window, "1h" to "24h"
	ScheduleExpression     string // rate() or cron(), at most 256 characters
}

// String says the rules as people read them: "cron(0 16 ? * SUN *) for 2h",
// "every 30 days"; empty if there are none.
func (r Rules) String() string {
	var s string
	switch {
	case r.ScheduleExpression != "":
		s = r.ScheduleExpression
	case r.AutomaticallyAfterDays == 1:
		s = "every day"
	case r.AutomaticallyAfterDays != 0:
		s = fmt.Sprintf("every %d days", r.AutomaticallyAfterDays)
	}
	if s != "" && r.Duration != "" {
		s += " for " + r.Duration
	}
	return s
}

// Schedule says when windows open and how long they are. It is immutable, made by
// Parse, and may be used by many goroutines. The zero value has no windows.
type Schedule struct {
	every  time.Duration // from one window to the next; 0 for cron
	cron   cron
	length time.Duration // of a window; 0 is until the end of the UTC day
}

// Parse checks rules as RotateSecret must before it stores them. An error is
// always an *Error, whose text is fit for InvalidParameterException.
func Parse(r Rules) (Schedule, error) {
	hours, err := parseDuration(r.Duration)
	if err != nil {
		return Schedule{}, err
	}
	switch {
	case r.AutomaticallyAfterDays != 0 && r.ScheduleExpression != "":
		return Schedule{}, &Error{Both, "You cannot specify both rotation frequency and schedule expression together."}
	case r.AutomaticallyAfterDays != 0:
		if r.AutomaticallyAfterDays < 1 || r.AutomaticallyAfterDays > maxDays {
			return Schedule{}, &Error{Value, fmt.Sprintf("The AutomaticallyAfterDays value must be between 1 and %d (inclusive).", maxDays)}
		}
		return Schedule{every: time.Duration(r.AutomaticallyAfterDays) * day, length: hours}, nil
	case r.ScheduleExpression != "":
		return parseExpression(r.ScheduleExpression, hours)
	}
	return Schedule{}, &Error{Neither, "You must specify AutomaticallyAfterDays or ScheduleExpression in RotationRules."}
}

// parseDuration returns the hours of a Duration, or 0 for none.
func parseDuration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	digits, ok := strings.CutSuffix(text, "h")
	n, isNumber := number(digits)
	if !ok || !isNumber || n < 1 || n > 24 {
		return 0, &Error{Value, "The Duration value must be a number of hours between 1h and 24h (inclusive)."}
	}
	return time.Duration(n) * time.Hour, nil
}

func parseExpression(text string, length time.Duration) (Schedule, error) {
	if len(text) > maxExpression {
		return Schedule{}, invalid(Syntax, "it is longer than %d characters", maxExpression)
	}
	// Messages repeat parts of the text, which must therefore be plain.
	if i := strings.IndexFunc(text, alien); i >= 0 {
		return Schedule{}, invalid(Syntax, "it has a character at position %d other than letters, digits, blanks and ( ) # ? * - / ,", i+1)
	}
	if body, ok := call(text, "rate"); ok {
		return parseRate(body, length)
	}
	if body, ok := call(text, "cron"); ok {
		return parseCron(body, length)
	}
	return Schedule{}, invalid(Syntax, "it must have the form rate(Value Unit) or cron(Minutes Hours Day-of-month Month Day-of-week Year)")
}

// alien reports what the model's pattern for a ScheduleExpression leaves out.
func alien(r rune) bool {
	return !('0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || strings.ContainsRune("()#?*-/, ", r))
}

// call returns the fields between the parentheses of name(...).
func call(text, name string) ([]string, bool) {
	body, ok := strings.CutPrefix(text, name+"(")
	if !ok {
		return nil, false
	}
	body, ok = strings.CutSuffix(body, ")")
	return strings.Fields(body), ok
}

// parseRate takes "N unit". The unit may be singular or plural with any N.
func parseRate(fields []string, length time.Duration) (Schedule, error) {
	if len(fields) != 2 {
		return Schedule{}, invalid(Syntax, "rate() takes a value and a unit, such as rate(10 days)")
	}
	n, ok := number(fields[0])
	if !ok {
		return Schedule{}, invalid(Syntax, "'%s' is not a positive integer", fields[0])
	}
	switch fields[1] {
	case "day", "days":
		if n < 1 || n > maxRateDays {
			return Schedule{}, invalid(Value, "a rate in days must be between 1 and %d", maxRateDays)
		}
		return Schedule{every: time.Duration(n) * day, length: length}, nil
	case "hour", "hours":
		if n < 1 || n > maxRateDays*24 {
			return Schedule{}, invalid(Value, "a rate in hours must be between %d and %d", minHours, maxRateDays*24)
		}
		if n < minHours {
			return Schedule{}, errTooOften
		}
		every := time.Duration(n) * time.Hour
		if length > every {
			return Schedule{}, overlap(length, every)
		}
		return Schedule{every: every, length: max(length, time.Hour)}, nil
	}
	return Schedule{}, invalid(Syntax, "'%s' is not a unit: use hour, hours, day or days", fields[1])
}

// Next returns the first window that opens after both after and base. A window
// that is open at that time is not it: whoever rotates in it asks for the next.
//
// base is the time of the last change of the secret's value that counts as a
// rotation: by a rotation, by PutSecretValue or by UpdateSecret. The zero time
// stands for after. It matters to a rate in whole days (also to one in hours that
// make up whole days): its windows open at midnight of the base's day plus one,
// two, three times the rate.
//
// Other rates in hours are counted from midnight of 1 January 1970. So the windows
// of 4, 6, 8 and 12 hours open at midnight of every day and from there on, and a
// rotation late in its window does not shift those that follow.
//
// cron() windows open at the times that match.
//
// For a fixed base the windows do not overlap, and a later after never gives an
// earlier window. Times are expected within the years 1 to 9999.
func (s Schedule) Next(after, base time.Time) Window {
	if base.IsZero() {
		base = after
	}
	if base.After(after) {
		after = base
	}
	var start time.Time
	if s.every > 0 {
		start = s.nextRate(after, base)
	} else {
		var ok bool
		if start, ok = s.cron.next(after); !ok {
			return Window{}
		}
	}
	if s.length == 0 {
		return Window{start, midnight(start).Add(day)}
	}
	return Window{start, start.Add(s.length)}
}

// nextRate counts in seconds: a time.Duration holds less than three centuries.
func (s Schedule) nextRate(after, base time.Time) time.Time {
	var origin int64
	if s.every%day == 0 {
		origin = midnight(base).Unix()
	}
	step := int64(s.every / time.Second)
	return time.Unix(origin+(floorDiv(after.Unix()-origin, step)+1)*step, 0).UTC()
}

// AutomaticallyAfterDays returns the number of days that the service reports under
// this name after a successful rotation: from the day of the rotation to that of
// the next window, at least 1.
func (s Schedule) AutomaticallyAfterDays(rotated time.Time) int64 {
	next := s.Next(rotated, rotated).Start
	return max(1, (next.Unix()-midnight(rotated).Unix())/int64(day/time.Second))
}

// midnight is when the UTC day of t began.
func midnight(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
