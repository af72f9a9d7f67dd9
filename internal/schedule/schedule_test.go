package schedule_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"coffer/internal/schedule"
)

// table reads testdata/name: lines of columns separated by " | ". The last column
// is preceded by its place, so that it can name the case.
func table(t testing.TB, name string, columns, least int) [][]string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.Split(line, " | ")
		if len(row) != columns {
			t.Fatalf("%s:%d: %d columns, want %d", name, i+1, len(row), columns)
		}
		rows = append(rows, append(row, fmt.Sprintf("%s:%d: %s", name, i+1, row[columns-1])))
	}
	if len(rows) < least {
		t.Fatalf("%s: only %d cases", name, len(rows))
	}
	return rows
}

var fill = regexp.MustCompile(`<(\d+) (blanks|x)>`)

// rules reads three columns.
func rules(t testing.TB, days, expression, duration string) schedule.Rules {
	t.Helper()
	var r schedule.Rules
	if days != "-" {
		n, err := strconv.ParseInt(days, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		r.AutomaticallyAfterDays = n
	}
	if expression != "-" {
		r.ScheduleExpression = fill.ReplaceAllStringFunc(expression, func(s string) string {
			m := fill.FindStringSubmatch(s)
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			return strings.Repeat(strings.ReplaceAll(m[2], "blanks", " "), n)
		})
	}
	if duration != "-" {
		r.Duration = duration
	}
	return r
}

// parsed reads "30", "rate(1 day)" or "rate(1 day) for 2h".
func parsed(t testing.TB, text string) schedule.Schedule {
	t.Helper()
	when, duration, ok := strings.Cut(text, " for ")
	if !ok {
		duration = "-"
	}
	days, expression := "-", when
	if !strings.Contains(when, "(") {
		days, expression = when, "-"
	}
	s, err := schedule.Parse(rules(t, days, expression, duration))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	tm, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

func TestParse(t *testing.T) {
	t.Parallel()
	reasons := map[string]int{}
	for _, row := range table(t, "rules.txt", 5, 240) {
		verdict, name := row[0], row[5]
		_, err := schedule.Parse(rules(t, row[1], row[2], row[3]))
		if err == nil {
			if verdict != "ok" {
				t.Errorf("%s\n%s, %s is taken, want %s", name, row[2], row[3], verdict)
			}
			continue
		}
		if verdict == "ok" || !errors.Is(err, schedule.Reason(verdict)) {
			t.Errorf("%s\n%s, %s: %v (%v), want %s", name, row[2], row[3], err, errors.Unwrap(err), verdict)
		}
		if e := (*schedule.Error)(nil); !errors.As(err, &e) || string(e.Reason) != verdict {
			t.Errorf("%s\n%v is no Error of reason %s", name, err, verdict)
		}
		reasons[verdict]++
	}
	for _, r := range []schedule.Reason{
		schedule.Both, schedule.Neither, schedule.Syntax, schedule.Value,
		schedule.TooOften, schedule.TooSeldom, schedule.Never, schedule.Overrun,
	} {
		if reasons[r.Error()] == 0 {
			t.Errorf("no case of %v", r)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	for _, row := range table(t, "texts.txt", 4, 15) {
		_, err := schedule.Parse(rules(t, row[0], row[1], row[2]))
		if err == nil || err.Error() != row[3] {
			t.Errorf("%s, %s, %s:\n%v\nwant\n%s", row[0], row[1], row[2], err, row[3])
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	for _, row := range table(t, "windows.txt", 6, 100) {
		s, name := parsed(t, row[0]), row[6]
		after := at(t, row[2])
		base := after
		switch row[1] {
		case "-":
		case "0":
			base = time.Time{}
		default:
			base = at(t, row[1])
		}
		w := s.Next(after, base)
		if opens := w.Start.Format(time.RFC3339); opens != row[3] {
			t.Errorf("%s\n%s after %s opens %s, want %s", name, row[0], row[2], opens, row[3])
		}
		if date := w.NextRotationDate().Format(time.RFC3339); date != row[4] {
			t.Errorf("%s\n%s after %s has the date %s, want %s", name, row[0], row[2], date, row[4])
		}
	}
}

func TestAutomaticallyAfterDays(t *testing.T) {
	t.Parallel()
	for _, row := range table(t, "days.txt", 4, 15) {
		got := parsed(t, row[0]).AutomaticallyAfterDays(at(t, row[1]))
		if strconv.FormatInt(got, 10) != row[2] {
			t.Errorf("%s\n%s rotated %s: %d days, want %s", row[4], row[0], row[1], got, row[2])
		}
	}
}

// The zero Schedule has no windows, rather than one that is always open.
func TestZero(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-02-03T17:42:00Z")
	w := schedule.Schedule{}.Next(now, now)
	if w != (schedule.Window{}) || w.Contains(now) {
		t.Errorf("the next window of nothing is %v", w)
	}
}
