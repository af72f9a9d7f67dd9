package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"coffer/internal/runner"
)

type doctorOpts struct {
	functions     runner.Config
	json, verbose bool
}

var doctorCommand = command{
	name: "doctor", summary: "what this machine can do for Coffer, and what is missing",
	help: `
Looks at what Lambda functions can be run with and what isolates them on this
machine, and says how to get what is missing. It tries the layers in processes of
its own; a server that runs is not touched. Run it as the server's user.

The exit code is 3 if functions cannot run as they are configured.`,
	flags: func(fs *flag.FlagSet) any {
		o := &doctorOpts{}
		functionFlags(fs, &o.functions)
		fs.BoolVar(&o.verbose, "verbose", false, "list each interpreter that cannot be used")
		fs.BoolVar(&o.json, "json", false, "print a JSON object instead")
		return o
	},
	run: func(ctx context.Context, e Env, opts any, _ []string) error {
		o := opts.(*doctorOpts)
		report, err := examine(ctx, o.functions)
		if err != nil {
			return err
		}
		if o.json {
			err = printJSON(e.Stdout, report)
		} else {
			err = printReport(e.Stdout, report, o.verbose)
		}
		if err == nil && (report.Problem != "" || report.Functions == runner.FunctionsRefused) {
			err = errFound
		}
		return err
	},
}

// functionFlags defines the flags of the server and of doctor that say how functions run.
func functionFlags(fs *flag.FlagSet, cfg *runner.Config) {
	fs.StringVar(&cfg.Mode, "functions", runner.ModeAuto, "run Lambda functions, `MODE`: auto (users' functions only where bubblewrap, or Landlock with seccomp, keeps them from Coffer's own data and from each other), unconfined or off")
	fs.StringVar(&cfg.User, "functions-user", "", "`USER` that functions run as, for a server that is root (default: each process a user of its own)")
	fs.Func("functions-without", "isolate functions without a `LAYER`: user, landlock, seccomp or bubblewrap; repeatable", func(name string) error {
		cfg.Without = append(cfg.Without, name)
		return nil
	})
	fs.IntVar(&cfg.MaxProcesses, "functions-max", 64, "run up to `N` processes of functions at once, 256 at most")
}

// examine tries what there is, in a directory that is removed.
func examine(ctx context.Context, cfg runner.Config) (report runner.Report, err error) {
	program, err := os.Executable()
	if err != nil {
		return report, err
	}
	dir, err := os.MkdirTemp("", "coffer-doctor-")
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// Functions' users must get there; it is empty.
	if err := os.Chmod(dir, 0o711); err != nil {
		return report, err
	}
	cfg.Dir, cfg.Self = filepath.Join(dir, "functions"), []string{program}
	r, err := runner.New(cfg)
	if err != nil {
		return report, usageError(strings.TrimPrefix(err.Error(), "runner: "))
	}
	defer func() { err = errors.Join(err, r.Close(ctx)) }()
	report = r.Report(ctx)
	report.Directory = "" // ours is gone; the server's is another
	return report, nil
}

func printReport(w io.Writer, r runner.Report, verbose bool) error {
	what := map[string]string{
		runner.FunctionsConfined:   "run, isolated as below",
		runner.FunctionsUnconfined: "run, though they may get at Coffer's own data and at each other",
		runner.FunctionsRefused:    "are refused: it takes bubblewrap, or Landlock with seccomp, to keep them from Coffer's own data and from each other (built-in ones run)",
		runner.FunctionsOff:        "are switched off, built-in ones too",
	}[r.Functions]
	if r.Problem != "" {
		what = "cannot run: " + strings.TrimPrefix(r.Problem, "runner: ")
	}
	fmt.Fprintf(w, "Functions %s.\n", what)
	if r.Problem != "" {
		return nil
	}
	fmt.Fprint(w, "\nIsolation:\n")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range r.Layers {
		mark := "no"
		if l.Used {
			mark = "yes"
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", l.Name, mark, l.Does)
		if l.Note != "" {
			fmt.Fprintf(tw, "\t\t(%s)\n", l.Note)
		}
	}
	tw.Flush()
	fmt.Fprint(w, "\nRuntimes:\n")
	printInterpreters(tw, r.Interpreters, verbose)
	fmt.Fprint(tw, "  provided\tyes\tprograms for this machine: provided.al2, provided.al2023\n")
	return tw.Flush()
}

// printInterpreters tells of those that cannot be used in one line for a language, unless
// verbose: version managers put one behind each version's name.
func printInterpreters(w io.Writer, all []runner.Interpreter, verbose bool) {
	useless := make(map[string][]runner.Interpreter)
	for _, in := range all {
		if in.Problem != "" {
			useless[in.Language] = append(useless[in.Language], in)
		}
	}
	for _, in := range all {
		if in.Problem == "" {
			printInterpreter(w, in)
			continue
		}
		same := useless[in.Language]
		if verbose || len(same) == 1 {
			fmt.Fprintf(w, "  %s\tno\t%s: %s\n", in.Language, in.Path, in.Problem)
		} else if same[0].Path == in.Path {
			fmt.Fprintf(w, "  %s\tno\t%s: %s\n\t\t(%s; --verbose lists them)\n", in.Language, in.Path, in.Problem,
				count(len(same)-1, "more program")+" that cannot be used")
		}
	}
}

func printInterpreter(w io.Writer, in runner.Interpreter) {
	sdk := map[string]string{"python": "boto3"}[in.Language]
	if sdk == "" {
		sdk = "the AWS SDK"
	}
	switch {
	case !in.AWS:
		sdk = "without " + sdk + ": functions bring it along"
	case in.SDK != "":
		sdk = "with " + sdk + " " + in.SDK
	default:
		sdk = "with " + sdk
	}
	fmt.Fprintf(w, "  %s\t%s\t%s, %s\n", in.Language, in.Version, in.Path, sdk)
	runs := strings.Join(in.Runtimes, ", ")
	switch {
	case runs == "" && len(in.InPlace) == 0:
		runs = "nothing: another of its version comes first"
	case runs == "":
		runs = "with a warning, in place of their own versions, " + strings.Join(in.InPlace, ", ")
	case len(in.InPlace) > 0:
		runs += "; with a warning, in place of their own versions, also " + strings.Join(in.InPlace, ", ")
	}
	fmt.Fprintf(w, "\t\t(runs %s)\n", runs)
}
