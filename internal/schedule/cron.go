package schedule

import (
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cron is the set of hours at which windows open. A day belongs to it when its
// month does and any of the four ways to name a day names it.
type cron struct {
	hours   uint64    // bit h
	months  uint64    // bit m, 1 is January
	days    uint64    // bit d of the month
	nth     [5]uint64 // bit w of nth[i]: the weekday w that is the (i+1)th of its month; 1 is Sunday
	lastOf  uint64    // bit w: the last weekday w of the month
	lastDay bool      // the last day of the month
}

// field is one field of a cron expression.
type field struct {
	name     string // as AWS's documentation has it
	min, max int
	names    []string // names[i] is another way to write min+i
	takes    string   // for messages
}

var (
	hoursField    = field{"Hours", 0, 23, nil, "0-23"}
	daysField     = field{"Day-of-month", 1, 31, nil, "1-31, L, and SUNL to SATL"}
	monthsField   = field{"Month", 1, 12, strings.Fields("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"), "1-12 or JAN-DEC"}
	weekdaysField = field{"Day-of-week", 1, 7, strings.Fields("SUN MON TUE WED THU FRI SAT"), "1-7 or SUN-SAT"}
)

// parseCron takes the six fields of a cron expression.
func parseCron(fields []string, length time.Duration) (Schedule, error) {
	var c cron
	err := c.parse(fields)
	if err != nil {
		return Schedule{}, err
	}
	consecutive, err := c.survey()
	if err != nil {
		return Schedule{}, err
	}
	if bits.OnesCount64(c.hours) == 1 { // a schedule in days
		hour := bits.TrailingZeros64(c.hours)
		if time.Duration(hour)*time.Hour+length > day {
			return Schedule{}, overnight(length, hour)
		}
		return Schedule{cron: c, length: length}, nil
	}
	gap := c.gap(consecutive)
	if gap < minHours*time.Hour {
		return Schedule{}, errTooOften
	}
	if length > gap {
		return Schedule{}, overlap(length, gap)
	}
	return Schedule{cron: c, length: max(length, time.Hour)}, nil
}

func (c *cron) parse(fields []string) error {
	if len(fields) != 6 {
		return invalid(Syntax, "cron() takes six fields: Minutes Hours Day-of-month Month Day-of-week Year")
	}
	if n, ok := number(fields[0]); !ok || n != 0 {
		return invalid(Value, "the Minutes field must be 0, because rotation windows open on the hour")
	}
	if fields[5] != "*" {
		return invalid(Value, "the Year field must be *")
	}
	if (fields[2] == "?") == (fields[4] == "?") {
		return invalid(Syntax, "exactly one of the Day-of-month and Day-of-week fields must be ?")
	}
	type list struct {
		text string
		add  func(item string) error
	}
	lists := []list{
		{fields[1], c.addHour},
		{fields[3], c.addMonth},
		{fields[2], c.addDay},
	}
	if fields[2] == "?" {
		lists[2] = list{fields[4], c.addWeekday}
	}
	for _, l := range lists {
		for item := range strings.SplitSeq(strings.ToUpper(l.text), ",") {
			if err := l.add(item); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *cron) addHour(item string) error { return hoursField.add(&c.hours, item) }

func (c *cron) addMonth(item string) error { return monthsField.add(&c.months, item) }

// addDay takes what the Day-of-month field takes: also L, and SUNL.
func (c *cron) addDay(item string) error {
	if item == "L" {
		c.lastDay = true
		return nil
	}
	// By name only: 1L could be taken for the last first of the month.
	if name, ok := strings.CutSuffix(item, "L"); ok && slices.Contains(weekdaysField.names, name) {
		return weekdaysField.addOne(&c.lastOf, name)
	}
	return daysField.add(&c.days, item)
}

// addWeekday takes what the Day-of-week field takes: also L, 1L, and SUN#1.
func (c *cron) addWeekday(item string) error {
	if item == "L" {
		item = "SAT" // "the last day of the week"
	}
	if day, ok := strings.CutSuffix(item, "L"); ok {
		return weekdaysField.addOne(&c.lastOf, day)
	}
	if day, nth, ok := strings.Cut(item, "#"); ok {
		n, isNumber := number(nth)
		if !isNumber || n < 1 || n > 5 {
			return invalid(Value, "'%s' must have a number from 1 to 5 after the #", item)
		}
		return weekdaysField.addOne(&c.nth[n-1], day)
	}
	for i := range c.nth {
		if err := weekdaysField.add(&c.nth[i], item); err != nil {
			return err
		}
	}
	return nil
}

// add puts the values of one item of a list into set: *, a, a-b, and any of them
// with /n for every nth value; a/n goes on to the end, and /n begins at the least.
func (f *field) add(set *uint64, item string) error {
	body, increment, increments := strings.Cut(item, "/")
	first, last, step := f.min, f.max, 1
	if increments {
		var ok bool
		if step, ok = number(increment); !ok || step < 1 || step > f.max {
			return invalid(Value, "'%s' in the %s field must have a number from 1 to %d after the /", item, f.name, f.max)
		}
	}
	if body != "*" && (body != "" || !increments) {
		from, to, isRange := strings.Cut(body, "-")
		var err error
		if first, err = f.value(from); err != nil {
			return err
		}
		if isRange {
			if last, err = f.value(to); err != nil {
				return err
			}
		} else if !increments {
			last = first
		}
		if first > last {
			return invalid(Value, "the range '%s' in the %s field runs backwards", body, f.name)
		}
	}
	for v := first; v <= last; v += step {
		*set |= 1 << v
	}
	return nil
}

// addOne puts a single value into set, where a range would make no sense.
func (f *field) addOne(set *uint64, text string) error {
	v, err := f.value(text)
	if err == nil {
		*set |= 1 << v
	}
	return err
}

// value reads one number or name.
func (f *field) value(text string) (int, error) {
	if i := slices.Index(f.names, text); i >= 0 {
		return f.min + i, nil
	}
	n, ok := number(text)
	if !ok || n < f.min || n > f.max {
		return 0, invalid(Value, "'%s' is not a value of the %s field, which takes %s", text, f.name, f.takes)
	}
	return n, nil
}

// number reads up to five digits.
func number(text string) (int, bool) {
	if text == "" || len(text) > 5 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// has reports whether windows open on a day of a month of n days. Weekdays and
// months count from 1.
func (c *cron) has(month, day, n, weekday int) bool {
	return c.months>>month&1 != 0 &&
		(c.days>>day&1 != 0 ||
			c.nth[(day-1)/7]>>weekday&1 != 0 ||
			day == n && c.lastDay ||
			day > n-7 && c.lastOf>>weekday&1 != 0)
}

// survey looks at 28 years, in which every kind of year meets every kind of
// neighbour. It refuses days that some year lacks, because the service "does not
// support rotation schedules that are more than a year apart"; so next never looks
// far. It reports whether there are windows on two consecutive days.
func (c *cron) survey() (consecutive bool, err error) {
	const saturday = 7
	weekday, before := saturday, false // 1 January 2000
	years := 0
	for year := 2000; year < 2028; year++ {
		found := false
		for month := 1; month <= 12; month++ {
			n := daysIn(year, time.Month(month))
			for day := 1; day <= n; day++ {
				has := c.has(month, day, n, weekday)
				consecutive = consecutive || has && before
				found = found || has
				before = has
				weekday = weekday%7 + 1
			}
		}
		if found {
			years++
		}
	}
	switch years {
	case 28:
		return consecutive, nil
	case 0:
		return false, invalid(Never, "there is no such day")
	}
	return false, invalid(TooSeldom, "there are years without such a day, and schedules more than a year apart are not supported")
}

// gap is the least time from one window's opening to the next's. There are
// several a day.
func (c *cron) gap(consecutive bool) time.Duration {
	first := bits.TrailingZeros64(c.hours)
	least, before := 24, first
	for hour := first + 1; hour < 24; hour++ {
		if c.hours>>hour&1 != 0 {
			least = min(least, hour-before)
			before = hour
		}
	}
	if consecutive {
		least = min(least, first+24-before)
	}
	return time.Duration(least) * time.Hour
}

// next returns the first opening after t. There is one within two years in every
// cron that survey let pass, and none in the zero value.
func (c *cron) next(t time.Time) (time.Time, bool) {
	for today, i := midnight(t), 0; i < 2*366; today, i = today.Add(day), i+1 {
		year, month, d := today.Date()
		if !c.has(int(month), d, daysIn(year, month), int(today.Weekday())+1) {
			continue
		}
		for hours := c.hours; hours != 0; hours &= hours - 1 {
			opening := today.Add(time.Duration(bits.TrailingZeros64(hours)) * time.Hour)
			if opening.After(t) {
				return opening, true
			}
		}
	}
	return time.Time{}, false
}

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
