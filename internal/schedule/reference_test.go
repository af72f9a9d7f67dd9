package schedule_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"coffer/internal/schedule"
)

// The reference reads an expression anew for every hour it looks at, one hour
// after the other, and knows nothing of sets, surveys or calendars but what
// package time tells. It is for expressions that keep to the grammar.

var numbers = strings.NewReplacer(
	"JAN", "1", "FEB", "2", "MAR", "3", "APR", "4", "MAY", "5", "JUN", "6",
	"JUL", "7", "AUG", "8", "SEP", "9", "OCT", "10", "NOV", "11", "DEC", "12",
	"SUN", "1", "MON", "2", "TUE", "3", "WED", "4", "THU", "5", "FRI", "6", "SAT", "7",
)

// opens reports whether a window opens at the hour t.
func opens(expression string, t time.Time) bool {
	fields := strings.Fields(strings.TrimSuffix(strings.TrimPrefix(expression, "cron("), ")"))
	return listed(fields[1], func(item string) bool { return counts(item, t.Hour(), 0, 23) }) &&
		listed(fields[3], func(item string) bool { return counts(item, int(t.Month()), 1, 12) }) &&
		(fields[2] == "?" || listed(fields[2], func(item string) bool { return onMonthDay(item, t) })) &&
		(fields[4] == "?" || listed(fields[4], func(item string) bool { return onWeekday(item, t) }))
}

func listed(list string, is func(item string) bool) bool {
	return slices.ContainsFunc(strings.Split(list, ","), is)
}

func onMonthDay(item string, t time.Time) bool {
	if item == "L" {
		return t.AddDate(0, 0, 1).Day() == 1
	}
	if strings.HasSuffix(item, "L") {
		return onWeekday(item, t)
	}
	return counts(item, t.Day(), 1, 31)
}

func onWeekday(item string, t time.Time) bool {
	item, today := numbers.Replace(item), strconv.Itoa(int(t.Weekday())+1)
	switch {
	case item == "L":
		return today == "7"
	case strings.HasSuffix(item, "L"):
		return item == today+"L" && t.AddDate(0, 0, 7).Month() != t.Month()
	case strings.Contains(item, "#"):
		nth := 0
		for d := t; d.Month() == t.Month(); d = d.AddDate(0, 0, -7) {
			nth++
		}
		return item == today+"#"+strconv.Itoa(nth)
	}
	return counts(item, int(t.Weekday())+1, 1, 7)
}

// counts counts from the first to the last value of an item and sees whether it meets v.
func counts(item string, v, least, most int) bool {
	body, step, increments := strings.Cut(numbers.Replace(item), "/")
	first, last, isRange := strings.Cut(body, "-")
	if body == "*" || body == "" {
		first, last, isRange = strconv.Itoa(least), strconv.Itoa(most), true
	}
	from, by := atoi(first), 1
	to := from
	if isRange {
		to = atoi(last)
	} else if increments {
		to = most
	}
	if increments {
		by = atoi(step)
	}
	for ; from <= to; from += by {
		if from == v {
			return true
		}
	}
	return false
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// draw makes an expression that keeps to the grammar; not all of them make sense.
type draw struct{ *rand.Rand }

func (d draw) oneOf(s ...string) string { return s[d.IntN(len(s))] }

func (d draw) item(least, most int, names string) string {
	value := func(n int) string {
		if all := strings.Fields(names); len(all) > 0 && d.IntN(2) == 0 {
			return all[n-least]
		}
		return strconv.Itoa(n)
	}
	a := least + d.IntN(most-least+1)
	b := a + d.IntN(most-a+1)
	step := strconv.Itoa(1 + d.IntN(most))
	return d.oneOf("*", value(a), value(a), value(a), value(a)+"-"+value(b), value(a)+"/"+step, "*/"+step, "/"+step, value(a)+"-"+value(b)+"/"+step)
}

func (d draw) list(item func() string) string {
	items := []string{item()}
	for d.IntN(3) == 0 {
		items = append(items, item())
	}
	return strings.Join(items, ",")
}

func (d draw) hours() string {
	if d.IntN(3) > 0 {
		return strconv.Itoa(d.IntN(24))
	}
	if d.IntN(2) == 0 {
		return strconv.Itoa(d.IntN(24)) + "/" + strconv.Itoa(4+d.IntN(20))
	}
	return d.list(func() string { return d.item(0, 23, "") })
}

func (d draw) cron() string {
	const weekdays = "SUN MON TUE WED THU FRI SAT"
	weekday := func() string { return d.oneOf(strings.Fields(weekdays + " 1 2 3 4 5 6 7")...) }
	day, wday := "?", "?"
	if d.IntN(2) == 0 {
		day = d.list(func() string {
			if d.IntN(4) == 0 {
				return d.oneOf("L", d.oneOf(strings.Fields(weekdays)...)+"L", "28", "29", "30", "31")
			}
			return d.item(1, 31, "")
		})
	} else {
		wday = d.list(func() string {
			if d.IntN(2) == 0 {
				return d.oneOf("L", weekday()+"L", weekday()+"#"+strconv.Itoa(1+d.IntN(5)))
			}
			return d.item(1, 7, weekdays)
		})
	}
	months := d.oneOf("*", d.list(func() string {
		return d.item(1, 12, "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC")
	}))
	return strings.Join([]string{"cron(0", d.hours(), day, months, wday, "*)"}, " ")
}

// TestReference compares Next, hour by hour over three years that include a leap
// day, with the reference.
func TestReference(t *testing.T) {
	t.Parallel()
	d := draw{rand.New(rand.NewPCG(1, 2))}
	from := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	to := from.AddDate(3, 0, 0)
	taken, n := 0, 100
	if testing.Short() {
		n = 30
	}
	for range n {
		expression := d.cron()
		s, err := schedule.Parse(schedule.Rules{ScheduleExpression: expression})
		if err == nil {
			taken++
		}
		var want []time.Time
		for hour := from; hour.Before(to); hour = hour.Add(time.Hour) {
			if opens(expression, hour) {
				want = append(want, hour)
			}
		}
		switch {
		case err == nil:
			compare(t, expression, s, from, to, want)
		case errors.Is(err, schedule.Never):
			if len(want) > 0 {
				t.Errorf("%s has %v, and is refused: %v", expression, want[0], err)
			}
		case !errors.Is(err, schedule.TooOften) && !errors.Is(err, schedule.TooSeldom):
			t.Errorf("%s: %v", expression, err)
		}
	}
	if taken < n/3 {
		t.Errorf("only %d of %d expressions made sense", taken, n)
	}
}

func compare(t *testing.T, expression string, s schedule.Schedule, from, to time.Time, want []time.Time) {
	t.Helper()
	now := from.Add(-time.Nanosecond)
	for _, w := range want {
		got := s.Next(now, now)
		if !got.Start.Equal(w) {
			t.Errorf("%s after %v: %v, want %v", expression, now, got.Start, w)
			return
		}
		now = got.Start
	}
	if got := s.Next(now, now); got.Start.Before(to) {
		t.Errorf("%s after %v: %v, want none before %v", expression, now, got.Start, to)
	}
	for i := 1; i < len(want); i++ {
		if want[i].Sub(want[i-1]) < 4*time.Hour {
			t.Errorf("%s is taken, though %v follows %v", expression, want[i], want[i-1])
		}
	}
}

// TestSurvey holds the judgement of Parse, which looks at 28 years, against all
// 400 after which the calendar repeats itself. The night between 23:00 and 1:00 is
// too short, so consecutive days are too often.
func TestSurvey(t *testing.T) {
	t.Parallel()
	verdicts := map[error]bool{}
	for _, days := range []string{
		"1,L * ?", "1,L 2,4 ?", "28,1 2,3 ?", "29,1 2,3 ?", "1,31 1,12 ?", "29 2 ?", "30 2 ?", "31 4,6 ?", "29 2,3 ?",
		"? 1,12 MON#5", "? 1,12 SAT#1,FRI#5", "? 4,6 SUN#5", "? * SUN#5", "? 2 SUN#5", "? * SUN#1,SATL", "? 2,3 SUNL,MON#1",
	} {
		if testing.Short() && len(verdicts) == 4 {
			break
		}
		expression := "cron(0 1,23 " + days + " *)"
		_, err := schedule.Parse(schedule.Rules{ScheduleExpression: expression})
		var want error
		years, consecutive := surveyed(expression)
		switch {
		case years == 0:
			want = schedule.Never
		case years < 400:
			want = schedule.TooSeldom
		case consecutive:
			want = schedule.TooOften
		}
		verdicts[want] = true
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v: %d of 400 years, consecutive %v", expression, err, want, years, consecutive)
		}
	}
	if len(verdicts) < 4 {
		t.Errorf("not every verdict came up: %v", verdicts)
	}
}

// surveyed counts the years that have a day of the expression, which must have a
// window at 1:00, and tells whether two such days follow each other.
func surveyed(expression string) (years int, consecutive bool) {
	last, before := 0, false
	for t := time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC); t.Year() < 2400; t = t.AddDate(0, 0, 1) {
		is := opens(expression, t)
		if is && t.Year() != last {
			years, last = years+1, t.Year()
		}
		consecutive = consecutive || is && before
		before = is
	}
	return years, consecutive
}
