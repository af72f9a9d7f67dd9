package schedule_test

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
	"unicode"

	"coffer/internal/schedule"
)

// hold checks what is true of every schedule at any time.
func hold(t testing.TB, r schedule.Rules, s schedule.Schedule, after, base time.Time) {
	t.Helper()
	w := s.Next(after, base)
	if !w.Start.After(after) || !w.Start.After(base) {
		t.Fatalf("%+v: %v is not after %v and %v", r, w.Start, after, base)
	}
	if w.Start.Truncate(time.Hour) != w.Start || w.End.Truncate(time.Hour) != w.End {
		t.Fatalf("%+v: %v is not from hour to hour", r, w)
	}
	if length := w.End.Sub(w.Start); length < time.Hour || length > 24*time.Hour || r.Duration != "" && length.Hours() != float64(atoi(r.Duration[:len(r.Duration)-1])) {
		t.Fatalf("%+v: %v is %v long", r, w, length)
	}
	if w.Contains(after) || !w.Contains(w.Start) || !w.Contains(w.NextRotationDate()) || w.Contains(w.End) {
		t.Fatalf("%+v: %v contains what it should not", r, w)
	}

	// The same answer up to the opening, and another from then on.
	if again := s.Next(w.Start.Add(-time.Nanosecond), base); again != w {
		t.Fatalf("%+v: just before %v the next window is %v", r, w, again)
	}
	following := s.Next(w.Start, base)
	if following.Start.Before(w.End) || following.Start.Sub(w.Start) < 4*time.Hour {
		t.Fatalf("%+v: %v follows %v", r, following, w)
	}

	// A rotation at its moment in the window makes a new base, and is followed by another window.
	m := schedule.Moment(w, "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-Xy12Zw")
	if !w.Contains(m) || m.After(w.NextRotationDate()) {
		t.Fatalf("%+v: %v is not in %v", r, m, w)
	}
	rotated := s.Next(m, m)
	if rotated.Start.Before(w.End) || rotated.Start.Sub(w.Start) < 4*time.Hour || rotated.NextRotationDate().Before(w.NextRotationDate()) {
		t.Fatalf("%+v: rotated at %v in %v, next %v", r, m, w, rotated)
	}
	if days := s.AutomaticallyAfterDays(m); days < 1 || days > 1000 {
		t.Fatalf("%+v: %d days", r, days)
	}
}

// drawRules draws rules that keep to the grammar.
func (d draw) rules() schedule.Rules {
	var r schedule.Rules
	switch d.IntN(4) {
	case 0:
		r.AutomaticallyAfterDays = 1 + d.Int64N(1000)
	case 1:
		r.ScheduleExpression = "rate(" + strconv.Itoa(1+d.IntN(999)) + " days)"
	case 2:
		r.ScheduleExpression = "rate(" + strconv.Itoa(4+d.IntN(60)) + " hours)"
	default:
		r.ScheduleExpression = d.cron()
	}
	if d.IntN(2) == 0 {
		r.Duration = strconv.Itoa(1+d.IntN(24)) + "h"
	}
	return r
}

func (d draw) time() time.Time {
	zone := time.FixedZone("", (d.IntN(27)-12)*3600)
	return time.Date(1950+d.IntN(200), 1, 1+d.IntN(366), d.IntN(24), d.IntN(60), d.IntN(60), d.IntN(1e9), zone)
}

func TestProperties(t *testing.T) {
	t.Parallel()
	d := draw{rand.New(rand.NewPCG(5, 6))}
	taken := 0
	for range 3000 {
		r := d.rules()
		s, err := schedule.Parse(r)
		if err != nil {
			continue
		}
		taken++
		for range 3 {
			hold(t, r, s, d.time(), d.time())
		}
	}
	if taken < 1000 {
		t.Errorf("only %d of 3000 rules made sense", taken)
	}
}

// As time goes by, or as the base moves on, the NextRotationDate never goes back.
func TestNextIsMonotonic(t *testing.T) {
	t.Parallel()
	d := draw{rand.New(rand.NewPCG(7, 8))}
	for range 300 {
		r := d.rules()
		s, err := schedule.Parse(r)
		if err != nil {
			continue
		}
		now := d.time()
		base := now
		fixed, moving := s.Next(now, base), s.Next(now, now)
		for range 50 {
			now = now.Add(time.Duration(d.Int64N(int64(60 * time.Hour))))
			f, m := s.Next(now, base), s.Next(now, now)
			if f.NextRotationDate().Before(fixed.NextRotationDate()) || f.Start.Before(fixed.End) && f != fixed {
				t.Fatalf("%+v, base %v: %v after %v", r, base, f, fixed)
			}
			if m.NextRotationDate().Before(moving.NextRotationDate()) {
				t.Fatalf("%+v, base moving: %v after %v", r, m, moving)
			}
			fixed, moving = f, m
		}
	}
}

func TestMoment(t *testing.T) {
	t.Parallel()
	open := time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC)
	w := schedule.Window{Start: open, End: open.Add(4 * time.Hour)}
	const arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-"

	// Written down: a restart, or a new release, must not move a moment.
	if m, want := schedule.Moment(w, arn+"Xy12Zw"), "2026-03-05T01:30:59.139Z"; m.Format(time.RFC3339Nano) != want {
		t.Errorf("the moment is %s, want %s", m.Format(time.RFC3339Nano), want)
	}

	// Ten thousand secrets spread evenly: each sixteenth of nine tenths of the window gets 625, give or take.
	var parts [16]int
	for i := range 10000 {
		m := schedule.Moment(w, arn+strconv.Itoa(i))
		if !w.Contains(m) || m.After(w.NextRotationDate()) || m.Truncate(time.Millisecond) != m {
			t.Fatalf("%v is not in %v", m, w)
		}
		parts[int(m.Sub(open)/(13*time.Minute+30*time.Second))]++
	}
	for i, n := range parts {
		if n < 525 || n > 725 {
			t.Errorf("%d of 10000 in part %d", n, i)
		}
	}

	// One secret has another place in each window.
	places := map[time.Duration]bool{}
	for i := range 100 {
		day := schedule.Window{Start: open.AddDate(0, 0, i), End: open.AddDate(0, 0, i+1)}
		places[schedule.Moment(day, arn).Sub(day.Start)] = true
	}
	if len(places) < 95 {
		t.Errorf("only %d places in 100 windows", len(places))
	}

	// A window of no length has its start.
	if m := schedule.Moment(schedule.Window{Start: open, End: open}, arn); m != open {
		t.Errorf("the moment of nothing is %v", m)
	}
}

func FuzzParse(f *testing.F) {
	for _, row := range table(f, "rules.txt", 5, 1) {
		r := rules(f, row[1], row[2], row[3])
		f.Add(r.AutomaticallyAfterDays, r.ScheduleExpression, r.Duration, int64(1_770_000_000), int64(1_760_000_000))
	}
	f.Fuzz(func(t *testing.T, days int64, expression, duration string, after, base int64) {
		r := schedule.Rules{AutomaticallyAfterDays: days, ScheduleExpression: expression, Duration: duration}
		s, err := schedule.Parse(r)
		if err != nil {
			var e *schedule.Error
			if !errors.As(err, &e) || e.Error() == "" || len(e.Error()) > 600 {
				t.Fatalf("%+v: %v", r, err)
			}
			for _, c := range e.Error() {
				if c > unicode.MaxASCII || !unicode.IsPrint(c) {
					t.Fatalf("%+v: %q", r, err)
				}
			}
			return
		}
		const span = 8000 * 365 * 86400 // seconds; times up to the year 9999
		hold(t, r, s, time.Unix(after%span, after&(1<<29)).UTC(), time.Unix(base%(1900*365*86400), 0))
		s.Next(time.Unix(after, 0), time.Unix(base, 0)) // beyond the years that are promised, it still ends
	})
}
