// Command bench measures Coffer against what it cannot be faster than, and
// checks that it loses nothing when it is killed. `go run ./bench help` tells
// how; docs/benchmarks.md has figures.
//
// Every server measured is a child process, so that its CPU time is its own;
// the load generator is made cheap (signed beforehand, raw connections, its own
// response parser), because it shares the machine. Everything listens on
// 127.0.0.1, and everything is removed at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == childFlag {
		if err := runChild(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if api := os.Getenv(runtimeAPIVariable); api != "" {
		fmt.Fprintln(os.Stderr, serveEvents(api))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

var errUsage = errors.New("see `go run ./bench help`")

// command is one measurement.
type command struct {
	name, summary, help string
	// flags defines the flags and returns what to run after parsing.
	flags func(*flag.FlagSet) measurement
}

// measurement runs one or more measurements.
type measurement func(context.Context, *environment) ([]*report, error)

// one adapts a function that makes one report.
func one[O any](o O, f func(context.Context, *environment, O) (*report, error)) measurement {
	return func(ctx context.Context, env *environment) ([]*report, error) {
		r, err := f(ctx, env, o)
		if r == nil {
			return nil, err
		}
		return []*report{r}, err
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || args[0] == "help" && len(args) == 1 || args[0] == "-h" || args[0] == "--help" || args[0] == "-help" {
		overview(stdout)
		return nil
	}
	explain := args[0] == "help"
	if explain {
		args = args[1:]
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		var out output
		fs.BoolVar(&out.json, "json", false, "print JSON")
		fs.BoolVar(&out.markdown, "markdown", false, "print a section for docs/benchmarks.md")
		tmp := fs.String("tmp", "", "where to put the temporary `directory`; it should be on the disk that is to be measured")
		exe := fs.String("exe", "", "measure this coffer `program` instead of building ./cmd/coffer")
		measure := c.flags(fs)
		if explain {
			usage(stdout, c, fs)
			return nil
		}
		switch err := fs.Parse(args[1:]); {
		case errors.Is(err, flag.ErrHelp):
			usage(stdout, c, fs)
			return nil
		case err != nil:
			return fmt.Errorf("%w (%w)", err, errUsage)
		case fs.NArg() > 0:
			return fmt.Errorf("unexpected argument %q (%w)", fs.Arg(0), errUsage)
		}
		out.w = stdout
		return runMeasurement(ctx, measure, out, *tmp, *exe, stderr)
	}
	return fmt.Errorf("unknown measurement %q (%w)", args[0], errUsage)
}

func runMeasurement(ctx context.Context, measure measurement, out output, tmp, exe string, stderr io.Writer) error {
	ctx, cancel := context.WithCancel(ctx) // kills children that are left
	defer cancel()
	env, err := newEnvironment(tmp, exe, stderr)
	if err != nil {
		return err
	}
	defer env.close()
	reports, err := measure(ctx, env)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(reports) > 0 {
		err = errors.Join(out.print(reports...), err)
	}
	return err
}

// environment is where measurements run.
type environment struct {
	dir    string // temporary
	coffer string // the program; built when it is first needed
	log    io.Writer
	start  time.Time
}

func newEnvironment(tmp, exe string, log io.Writer) (*environment, error) {
	dir, err := os.MkdirTemp(tmp, "coffer-bench-")
	if err != nil {
		return nil, err
	}
	if exe != "" {
		if exe, err = filepath.Abs(exe); err != nil {
			return nil, err
		}
	}
	return &environment{dir: dir, coffer: exe, log: log, start: time.Now()}, nil
}

// close removes everything. Children must have ended.
func (e *environment) close() { os.RemoveAll(e.dir) }

// build makes sure that there is a program to measure.
func (e *environment) build(ctx context.Context) (err error) {
	if e.coffer == "" {
		e.progress("building Coffer")
		e.coffer, err = buildCoffer(ctx, e.dir)
	}
	return err
}

// path is a new name in the temporary directory.
func (e *environment) path(name string) string { return filepath.Join(e.dir, name) }

func (e *environment) progress(format string, args ...any) {
	fmt.Fprintf(e.log, "%6.1fs  "+format+"\n", append([]any{time.Since(e.start).Seconds()}, args...)...)
}

func overview(w io.Writer) {
	fmt.Fprint(w, `Measures Coffer. Nothing else should run on the machine meanwhile: compare only
figures of one run.

usage: go run ./bench MEASUREMENT [flags]

`)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(tw, "  %s\t%s\n", c.name, c.summary)
	}
	tw.Flush()
	fmt.Fprint(w, `
go run ./bench help MEASUREMENT tells what it does and what can be set. Tables go to
standard output (--json, --markdown for other forms), progress to standard error.
The exit code is 1 if a measurement could not be made, or found data lost.
`)
}

func usage(w io.Writer, c command, fs *flag.FlagSet) {
	fmt.Fprintf(w, "usage: go run ./bench %s [flags]\n\n%s\n\nFlags:\n", c.name, strings.TrimSpace(c.help))
	fs.SetOutput(w)
	fs.PrintDefaults()
}
