package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what a measurement found.
type report struct {
	Name   string   `json:"name"`
	Title  string   `json:"title"`
	Setup  string   `json:"setup"` // what was measured, in a sentence or two
	Tables []table  `json:"tables"`
	Goals  []goal   `json:"goals,omitempty"`
	Notes  []string `json:"notes,omitempty"`
	Series []series `json:"series,omitempty"` // every round of the tables' medians; in JSON only
}

// series is one thing measured, round by round.
type series struct {
	Name   string  `json:"name"`
	Rounds []round `json:"rounds"`
}

// round is what one measurement gave; times are microseconds.
type round struct {
	Rate   float64 `json:"perSecond"`
	P50    float64 `json:"p50"`
	P99    float64 `json:"p99"`
	Max    float64 `json:"max,omitempty"`
	CPU    float64 `json:"serverCPU"`
	Client float64 `json:"loadGeneratorCPU,omitempty"`
}

// addSeries keeps the rounds of a load.
func (r *report) addSeries(name string, results []*result) {
	s := series{Name: name}
	for _, res := range results {
		s.Rounds = append(s.Rounds, round{
			Rate: res.rate(), P50: quantileMicros(0.50)(res), P99: quantileMicros(0.99)(res), Max: quantileMicros(1)(res),
			CPU: res.cpuPer(), Client: res.clientPer(),
		})
	}
	r.Series = append(r.Series, s)
}

type table struct {
	Title string     `json:"title"`
	Head  []string   `json:"head"`
	Rows  [][]string `json:"rows"`
}

func (t *table) add(cells ...string) { t.Rows = append(t.Rows, cells) }

// goal is a figure that Coffer is to reach.
type goal struct {
	Name     string  `json:"name"`
	Measured float64 `json:"measured"`
	Limit    float64 `json:"limit"`
	AtLeast  bool    `json:"atLeast"` // else at most
	Unit     string  `json:"unit,omitempty"`
}

func (g goal) met() bool {
	if g.AtLeast {
		return g.Measured >= g.Limit
	}
	return g.Measured <= g.Limit
}

// machine is where it was measured. It names no host and no path.
func machine() string {
	return fmt.Sprintf("%s, %d cores, %s, %s %s/%s", cpuModel(), runtime.NumCPU(), kernel(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// output prints reports in the form asked for.
type output struct {
	w              io.Writer
	json, markdown bool
}

func (o output) print(reports ...*report) error {
	switch {
	case o.json:
		enc := json.NewEncoder(o.w)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			Machine string    `json:"machine"`
			Reports []*report `json:"reports"`
		}{machine(), reports})
	case o.markdown:
		fmt.Fprintf(o.w, "Machine: %s. Measured on %s; load generator and server share the cores.\n", machine(), time.Now().UTC().Format(time.DateOnly))
		for _, r := range reports {
			r.writeMarkdown(o.w)
		}
		return nil
	}
	fmt.Fprintln(o.w, machine())
	for _, r := range reports {
		r.writeText(o.w)
	}
	return nil
}

// all are the report's tables, the goals as the last one.
func (r *report) all() []table {
	if len(r.Goals) == 0 {
		return r.Tables
	}
	t := table{Title: "Goals", Head: []string{"figure", "measured", "goal", ""}}
	for _, g := range r.Goals {
		sign, verdict := "at most", "missed"
		if g.AtLeast {
			sign = "at least"
		}
		if g.met() {
			verdict = "met"
		}
		t.add(g.Name, strings.TrimSpace(figure(g.Measured)+" "+g.Unit), strings.TrimSpace(sign+" "+figure(g.Limit)+" "+g.Unit), verdict)
	}
	return append(slices.Clip(r.Tables), t)
}

func (r *report) writeText(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n%s\n", r.Title, r.Setup)
	for _, t := range r.all() {
		fmt.Fprintf(w, "\n%s\n", t.Title)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{t.Head}, t.Rows...) {
			fmt.Fprintln(tw, "  "+strings.Join(row, "\t"))
		}
		tw.Flush()
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "\n"+n)
	}
}

func (r *report) writeMarkdown(w io.Writer) {
	fmt.Fprintf(w, "\n## %s\n\n%s\n", r.Title, r.Setup)
	for _, t := range r.all() {
		fmt.Fprintf(w, "\n%s:\n\n| %s |\n|%s\n", t.Title, strings.Join(t.Head, " | "), strings.Repeat(" --- |", len(t.Head)))
		for _, row := range t.Rows {
			fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "\n%s\n", n)
	}
}

// figure writes a number with three significant digits, or all it has before
// the point; a whole number without a point.
func figure(v float64) string {
	switch {
	case v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 100 || v <= -100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func millis(d time.Duration) string {
	return figure(float64(d)/float64(time.Millisecond)) + " ms"
}

func micros(d time.Duration) string {
	return figure(float64(d)/float64(time.Microsecond)) + " µs"
}

func mib(n int64) string { return figure(float64(n)/(1<<20)) + " MiB" }

// values are one figure over the rounds.
type values []float64

func (v values) median() float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// String is the median with the smallest and the largest.
func (v values) String() string {
	if len(v) < 2 {
		return figure(v.median())
	}
	return fmt.Sprintf("%s (%s–%s)", figure(v.median()), figure(slices.Min(v)), figure(slices.Max(v)))
}

func durations(ds []time.Duration, unit time.Duration) values {
	v := make(values, len(ds))
	for i, d := range ds {
		v[i] = float64(d) / float64(unit)
	}
	return v
}
