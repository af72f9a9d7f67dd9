// Package cli is the command line: one file per subcommand, a literal table
// of them, flags over environment over file.
//
// Exit codes: 0 done; 1 it failed; 2 the command line is wrong; 3 a check
// (fsck, audit verify) found something.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/peterbourgon/ff/v3"

	"coffer/internal/server"
)

// Env is the outside of a command, so that tests can give their own.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// command is one subcommand.
type command struct {
	name    string
	args    string // of the usage line
	summary string
	help    string
	flags   func(*flag.FlagSet) any // defines the flags; what it returns goes to run
	run     func(ctx context.Context, e Env, opts any, args []string) error
}

// commands is the literal table, in the order of the help.
func commands() []command {
	return []command{
		serverCommand, envCommand,
		accountListCommand, accountCreateCommand, accountKeysCommand,
		backupCommand, restoreCommand, fsckCommand, auditVerifyCommand,
		versionCommand,
	}
}

var (
	errFound = errors.New("problems were found") // exit code 3
	errUsage = errors.New("usage")               // exit code 2
)

// Main runs the command line and returns the exit code.
func Main(args []string, e Env) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, args, e)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errFound):
		return 3
	}
	fmt.Fprintf(e.Stderr, "coffer: %v\n", err)
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

func run(ctx context.Context, args []string, e Env) error {
	if len(args) == 0 {
		overview(e.Stderr)
		return fmt.Errorf("no command given (%w)", errUsage)
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return help(e, args[1:])
	case "-version", "--version":
		args = []string{"version"}
	}
	cmd, rest, ok := find(args)
	if !ok {
		if hint := family(args[0]); hint != "" {
			return fmt.Errorf("%q needs one of: %s (%w)", args[0], hint, errUsage)
		}
		return fmt.Errorf("unknown command %q; `coffer help` lists them (%w)", strings.Join(args, " "), errUsage)
	}
	fs := flag.NewFlagSet("coffer "+cmd.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	opts := cmd.flags(fs)
	fs.String("config", "", "file with one flag per line: `name value`; the environment and flags win over it")
	rest, positional := split(fs, rest)
	err := ff.Parse(fs, rest,
		ff.WithEnvVarPrefix("COFFER"),
		ff.WithConfigFileFlag("config"),
		ff.WithConfigFileParser(ff.PlainParser),
	)
	if errors.Is(err, flag.ErrHelp) {
		usage(e.Stdout, cmd)
		return err
	}
	if err != nil {
		return fmt.Errorf("%w; see `coffer help %s` (%w)", err, cmd.name, errUsage)
	}
	if want := strings.Fields(cmd.args); len(positional) != len(want) {
		return fmt.Errorf("usage: coffer %s %s (%w)", cmd.name, cmd.args, errUsage)
	}
	return cmd.run(ctx, e, opts, positional)
}

// split lets flags stand before and behind the arguments, as people type them.
func split(fs *flag.FlagSet, args []string) (flags, positional []string) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return flags, append(positional, args[i+1:]...)
		}
		if len(a) < 2 || a[0] != '-' {
			positional = append(positional, a)
			continue
		}
		flags = append(flags, a)
		name := strings.TrimLeft(a, "-")
		if strings.Contains(name, "=") {
			continue
		}
		f := fs.Lookup(name)
		if f == nil {
			continue
		}
		if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
			continue
		}
		if i+1 < len(args) {
			i++
			flags = append(flags, args[i])
		}
	}
	return flags, positional
}

// find matches the longest command name: "audit verify" before "audit".
func find(args []string) (command, []string, bool) {
	for n := min(2, len(args)); n > 0; n-- {
		name := strings.Join(args[:n], " ")
		for _, c := range commands() {
			if c.name == name {
				return c, args[n:], true
			}
		}
	}
	return command{}, nil, false
}

// family lists the commands that begin with a word.
func family(word string) string {
	var names []string
	for _, c := range commands() {
		if strings.HasPrefix(c.name, word+" ") {
			names = append(names, "coffer "+c.name)
		}
	}
	return strings.Join(names, ", ")
}

func help(e Env, args []string) error {
	if len(args) == 0 {
		overview(e.Stdout)
		return nil
	}
	cmd, _, ok := find(args)
	if !ok {
		if f := family(args[0]); f != "" {
			return help2(e, args[0])
		}
		return fmt.Errorf("unknown command %q; `coffer help` lists them (%w)", strings.Join(args, " "), errUsage)
	}
	usage(e.Stdout, cmd)
	return nil
}

func help2(e Env, word string) error {
	for _, c := range commands() {
		if strings.HasPrefix(c.name, word+" ") {
			usage(e.Stdout, c)
			fmt.Fprintln(e.Stdout)
		}
	}
	return nil
}

func overview(w io.Writer) {
	fmt.Fprint(w, `Coffer is AWS Secrets Manager and KMS on your own machines: point any AWS SDK,
the AWS CLI or Terraform at its endpoint URL.

Start here:
  coffer server            in one shell; it prints what to type in another
  coffer server --dev      for tests: in memory, plain HTTP, any access key

Commands:
`)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(tw, "  %s\t%s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
	}
	tw.Flush()
	fmt.Fprint(w, "\n`coffer help COMMAND` tells more. Every flag can also be set in the environment\n(--data-dir as COFFER_DATA_DIR) or in a file named with --config.\n")
}

func usage(w io.Writer, c command) {
	fmt.Fprintf(w, "usage: coffer %s\n\n%s\n", strings.TrimSpace(c.name+" [flags] "+c.args), strings.TrimSpace(c.help))
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.flags(fs)
	fs.String("config", "", "file with one flag per line: `FILE` of lines \"name value\"")
	fmt.Fprint(w, "\nFlags:\n")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fs.VisitAll(func(f *flag.Flag) {
		arg, text := flag.UnquoteUsage(f)
		name := "--" + f.Name
		if arg != "" {
			name += " " + arg
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0s" && f.DefValue != "0" {
			text += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(tw, "  %s\t%s\n", name, text)
	})
	tw.Flush()
}

// dirFlag defines --data-dir and returns how to read it.
func dirFlag(fs *flag.FlagSet) func() (server.Dir, error) {
	dir := fs.String("data-dir", "", "data directory, `DIR`; default: $XDG_DATA_HOME/coffer or ~/.local/share/coffer")
	return func() (server.Dir, error) {
		if *dir == "" {
			return server.DefaultDir()
		}
		abs, err := filepath.Abs(*dir)
		return server.Dir(abs), err
	}
}

// keyFlags defines where the root key comes from.
func keyFlags(fs *flag.FlagSet) func(server.Dir) server.RootKeyConfig {
	file := fs.String("root-key-file", "", "root key `FILE`; default: root.key in the data directory")
	pass := fs.String("passphrase-file", "", "derive the root key from the passphrase in `FILE`; COFFER_PASSPHRASE gives the passphrase itself")
	return func(d server.Dir) server.RootKeyConfig {
		cfg := server.RootKeyConfig{Dir: d, File: *file}
		switch {
		case *pass != "":
			cfg.Passphrase = func() ([]byte, error) { return readPassphrase(*pass) }
		case os.Getenv("COFFER_PASSPHRASE") != "":
			cfg.Passphrase = func() ([]byte, error) {
				p := []byte(os.Getenv("COFFER_PASSPHRASE"))
				// Child processes and crash reporters need not see it.
				return p, os.Unsetenv("COFFER_PASSPHRASE")
			}
		}
		return cfg
	}
}

func readPassphrase(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	return []byte(strings.TrimRight(string(b), "\r\n")), nil
}

var versionCommand = command{
	name: "version", summary: "print the version",
	help:  "Prints the version, the commit it was built from and the Go version.",
	flags: func(*flag.FlagSet) any { return nil },
	run: func(_ context.Context, e Env, _ any, _ []string) error {
		fmt.Fprintln(e.Stdout, Version())
		return nil
	},
}

// Version describes this build.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "coffer (unknown build)"
	}
	version, commit := info.Main.Version, ""
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = " " + s.Value
		}
	}
	if version == "" {
		version = "(devel)"
	}
	return "coffer " + version + commit + " " + info.GoVersion
}
