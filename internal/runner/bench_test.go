package runner_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"coffer/internal/lambda"
	"coffer/internal/runner"
)

// measured reports the median and the 99th percentile beside the mean.
func measured(b *testing.B, run func()) {
	var all []time.Duration
	for b.Loop() {
		began := time.Now()
		run()
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkWarm is an invocation of a function that does nothing, in a process that waits.
func BenchmarkWarm(b *testing.B) {
	for _, l := range layouts[:2] {
		for _, kind := range []struct {
			name string
			f    *lambda.Executable
		}{
			{"builtin", built("echo")},
			{"python", python(b, "def lambda_handler(event, context):\n    return event\n")},
			{"node", node(b, "exports.handler = async (event) => event;")},
		} {
			b.Run(l.name+"/"+kind.name, func(b *testing.B) {
				r := start(b, func(c *runner.Config) { c.Without = l.without })
				r.works(kind.f, `1`, `1`)
				measured(b, func() { r.works(kind.f, `1`, `1`) })
			})
		}
	}
}

// BenchmarkCold is an invocation with the start of a process: of the supervisor, which is this
// test binary, and of the function.
func BenchmarkCold(b *testing.B) {
	for _, l := range layouts {
		for _, kind := range []string{"builtin", "python", "node"} {
			b.Run(l.name+"/"+kind, func(b *testing.B) {
				r := start(b, func(c *runner.Config) { c.Without, c.MaxProcesses = l.without, 8 })
				f := map[string]*lambda.Executable{
					"builtin": built("echo"),
					"python":  python(b, "def lambda_handler(event, context):\n    return event\n"),
					"node":    node(b, "exports.handler = async (event) => event;"),
				}[kind]
				r.works(f, `1`, `1`)
				n := 1
				measured(b, func() {
					n++
					next := *f
					next.Revision = strconv.Itoa(n)
					r.works(&next, `1`, `1`)
				})
			})
		}
	}
}

// BenchmarkColdCoffer starts the coffer program itself as supervisor, with all that starts in
// it: what a built-in function costs before its own first line, but for the second start.
func BenchmarkColdCoffer(b *testing.B) {
	program := filepath.Join(directory(b), "coffer")
	build := exec.Command("go", "build", "-o", program, "coffer/cmd/coffer")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	if err := os.Chmod(program, 0o755); err != nil {
		b.Fatal(err)
	}
	r := start(b, func(c *runner.Config) { c.Self = []string{program} })
	f := function("provided.al2023", "any", zipped(b, map[string]string{"bootstrap*": "#!/bin/sh\nexit 9\n"}))
	measured(b, func() {
		if a, err := r.Run(context.Background(), f, event(`1`)); err != nil || !a.Failed {
			b.Fatal(err)
		}
	})
}
