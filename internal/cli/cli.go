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
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/peterbourgon/ff/v3"

	"coffer/internal/runner"
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
	about   func(w io.Writer, arg string) bool // help for what the first argument names, if it knows that; nil: none
	flags   func(*flag.FlagSet) any            // defines the flags; what it returns goes to run
	run     func(ctx context.Context, e Env, opts any, args []string) error
}

// commands is the literal table, in the order of the help.
func commands() []command {
	return slices.Concat([]command{
		serverCommand, envCommand,
		accountListCommand, accountCreateCommand, accountKeysCommand,
	}, organizationCommands(), []command{
		whoCanCommand, explainCommand,
		rotationListCommand, rotationStatusCommand, rotationRunCommand,
		functionListCommand, functionCommand,
		backupCommand, restoreCommand, fsckCommand, auditVerifyCommand,
		doctorCommand, versionCommand,
	})
}

// topic is commands that the help tells of together.
type topic struct{ name, summary, help string }

var topics = []topic{
	{"account org", "organisations: accounts in units under control policies", organizationHelp},
	{"rotation", "rotations of secrets: how they stand, and starting one", rotationHelp},
}

// topicOf finds the topic that a command belongs to.
func topicOf(command string) (topic, bool) {
	for _, t := range topics {
		if strings.HasPrefix(command, t.name+" ") {
			return t, true
		}
	}
	return topic{}, false
}

var errFound = errors.New("problems were found") // exit code 3

// usageError is what is wrong with a command line: exit code 2.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// Main runs the command line and returns the exit code.
func Main(args []string, e Env) int {
	if code, yes := runner.Supervise(args); yes {
		return code // signals and descriptors are different there
	}
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
	fmt.Fprintf(e.Stderr, "coffer: %s\n", visibleLines(err.Error()))
	var wrong usageError
	if errors.As(err, &wrong) {
		return 2
	}
	return 1
}

func run(ctx context.Context, args []string, e Env) error {
	if len(args) == 0 {
		overview(e.Stderr)
		return usagef("no command given")
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return help(e, args[1:])
	case "-version", "--version":
		args = []string{"version"}
	}
	cmd, rest, ok := find(args)
	if !ok {
		if words, members := family(args); words != "" {
			return unknownMember(args, words, members)
		}
		return usagef("unknown command %q; `coffer help` lists them", args[0])
	}
	fs := flag.NewFlagSet("coffer "+cmd.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	opts := cmd.flags(fs)
	fs.String("config", "", "`FILE` of lines \"name value\"")
	rest, positional, typed := split(fs, rest)
	options := []ff.Option{
		ff.WithEnvVarPrefix("COFFER"),
		ff.WithConfigFileFlag("config"),
		ff.WithConfigFileParser(ff.PlainParser),
	}
	if cmd.name != "server" {
		// The server's file serves all commands; what is the server's alone is passed over.
		options = append(options, ff.WithIgnoreUndefined(true))
	}
	err := ff.Parse(fs, rest, options...)
	if errors.Is(err, flag.ErrHelp) {
		if cmd.about == nil || len(positional) == 0 || !cmd.about(e.Stdout, positional[0]) {
			usage(e.Stdout, cmd)
		}
		return err
	}
	if err != nil {
		return usagef("%s; see `coffer help %s`", plainFlagError(err), cmd.name)
	}
	if err := giveWay(fs, typed); err != nil {
		return err
	}
	want := strings.Fields(cmd.args)
	optional := strings.Count(cmd.args, "[") // these are the last
	switch {
	case len(want) == 0 && len(positional) > 0:
		return usagef("%s takes no argument %q; see `coffer help %s`", cmd.name, positional[0], cmd.name)
	case len(positional) > len(want) || len(positional) < len(want)-optional:
		return usagef("usage: coffer %s %s", cmd.name, cmd.args)
	}
	return cmd.run(ctx, e, opts, positional)
}

// plainFlagError says what package flag and ff mean, in our words.
func plainFlagError(err error) string {
	s := strings.TrimPrefix(err.Error(), "error parsing commandline arguments: ")
	s = strings.Replace(s, "flag provided but not defined: -", "unknown flag --", 1)
	if name, ok := strings.CutPrefix(s, "config file flag "); ok {
		s = "the file named with --config has an unknown line " + strings.Replace(name, " not defined in flag set", "; lines are \"name value\", such as: listen 127.0.0.1:8443", 1)
	}
	if rest, ok := strings.CutPrefix(s, "open "); ok {
		s = "the file named with --config cannot be read: " + rest
	}
	s = strings.Replace(s, " for flag -", " for --", 1)
	return strings.Replace(s, ": parse error", "", 1)
}

// rivals are flags that do not go together.
var rivals = map[string][]string{
	"dev":      devRivals,
	"dev-url":  {"data-dir"},
	"data-dir": {"dev", "dev-url"},
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "COFFER_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// devRivals are what a server has no use for that keeps nothing and speaks plain HTTP.
var devRivals = []string{"data-dir", "root-key-file", "passphrase-file", "tls-cert", "tls-key", "repair-audit-log"}

// giveWay has what the environment or the file says give way to what was typed, also where
// that says it by another flag.
func giveWay(fs *flag.FlagSet, typed []string) error {
	for _, name := range typed {
		if f := fs.Lookup(name); f == nil || f.Value.String() == f.DefValue {
			continue // --dev=false
		}
		for _, rival := range rivals[name] {
			f := fs.Lookup(rival)
			if f == nil || slices.Contains(typed, rival) {
				continue
			}
			if err := f.Value.Set(f.DefValue); err != nil {
				return fmt.Errorf("--%s: %w", rival, err)
			}
		}
	}
	return nil
}

// split lets flags stand before and behind the arguments, as people type them. typed are
// the names of the flags.
func split(fs *flag.FlagSet, args []string) (flags, positional, typed []string) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return flags, append(positional, args[i+1:]...), typed
		}
		if len(a) < 2 || a[0] != '-' {
			positional = append(positional, a)
			continue
		}
		flags = append(flags, a)
		name, _, valued := strings.Cut(strings.TrimLeft(a, "-"), "=")
		typed = append(typed, name)
		if valued {
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
	return flags, positional, typed
}

// maxWords is how many words a command's name has at most.
const maxWords = 4

// find matches the longest command name: "audit verify" before "audit".
func find(args []string) (command, []string, bool) {
	for n := min(maxWords, len(args)); n > 0; n-- {
		name := strings.Join(args[:n], " ")
		for _, c := range commands() {
			if c.name == name {
				return c, args[n:], true
			}
		}
	}
	return command{}, nil, false
}

// family finds the first words of args with which commands begin, as many of them as any
// begins with, and the words that may follow.
func family(args []string) (words string, members []string) {
	for n := min(maxWords, len(args)); n > 0; n-- {
		words = strings.Join(args[:n], " ")
		for _, c := range commands() {
			if rest, ok := strings.CutPrefix(c.name, words+" "); ok {
				next, _, _ := strings.Cut(rest, " ")
				members = append(members, next)
			}
		}
		if len(members) > 0 {
			slices.Sort(members)
			return words, slices.Compact(members)
		}
	}
	return "", nil
}

// unknownMember is the error for words that begin commands, and are followed by none that
// goes on with one.
func unknownMember(args []string, words string, members []string) error {
	rest := args[len(strings.Fields(words)):]
	if len(rest) == 0 || strings.HasPrefix(rest[0], "-") {
		return usagef("%q is not a command by itself; there are: %s", words, strings.Join(members, ", "))
	}
	return usagef("there is no %q; there are: %s", words+" "+rest[0], strings.Join(members, ", "))
}

func help(e Env, args []string) error {
	if len(args) == 0 || args[0] == "help" {
		overview(e.Stdout)
		return nil
	}
	if cmd, rest, ok := find(args); ok && len(rest) == 0 {
		usage(e.Stdout, cmd)
		return nil
	} else if ok && cmd.about != nil && len(rest) == 1 && cmd.about(e.Stdout, rest[0]) {
		return nil
	}
	asked := strings.Join(args, " ")
	if words, _ := family(args); words != asked {
		return usagef("unknown command %q; `coffer help` lists them", asked)
	}
	for _, t := range topics {
		if t.name == asked {
			t.print(e.Stdout)
			return nil
		}
	}
	for _, c := range commands() {
		// A topic has a page of its own.
		if _, in := topicOf(c.name); strings.HasPrefix(c.name, asked+" ") && (!in || len(args) > 2) {
			usage(e.Stdout, c)
			fmt.Fprintln(e.Stdout)
		}
	}
	for _, t := range topics {
		if strings.HasPrefix(t.name, asked+" ") {
			fmt.Fprintf(e.Stdout, "coffer help %s: %s\n", t.name, t.summary)
		}
	}
	return nil
}

// print prints the topic's page.
func (t topic) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n\nCommands:\n", strings.TrimSpace(t.help))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		if strings.HasPrefix(c.name, t.name+" ") {
			fmt.Fprintf(tw, "  %s\t%s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
		}
	}
	tw.Flush()
	fmt.Fprint(w, "\n`coffer help COMMAND` tells more.\n")
}

func overview(w io.Writer) {
	fmt.Fprint(w, `Coffer is AWS Secrets Manager, KMS, IAM and STS on your own machines: point any
AWS SDK, the AWS CLI or Terraform at its endpoint URL.

Start here:
  coffer server            in one shell; it prints what to type in another
  coffer server --dev      for tests: in memory, plain HTTP, any access key

Commands:
`)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	last := ""
	for _, c := range commands() {
		t, ok := topicOf(c.name)
		switch {
		case !ok:
			fmt.Fprintf(tw, "  %s\t%s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
		case t.name != last:
			last = t.name
			fmt.Fprintf(tw, "  %s ...\t%s; see `coffer help %s`\n", t.name, t.summary, t.name)
		}
	}
	tw.Flush()
	fmt.Fprint(w, "\n`coffer help COMMAND` tells more. Every flag can also be set in the environment\n(--data-dir as COFFER_DATA_DIR) or in a file named with --config, one for all\ncommands.\n")
}

func usage(w io.Writer, c command) {
	fmt.Fprintf(w, "usage: coffer %s\n\n%s\n", strings.TrimSpace(c.name+" [flags] "+c.args), strings.TrimSpace(c.help))
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.flags(fs)
	fs.String("config", "", "`FILE` of lines \"name value\"; the environment and flags win over it")
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
			cfg.PassphraseFile = *pass
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

// readPassphrase reads a passphrase file, which must be as private as a root key.
func readPassphrase(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("passphrase file: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("passphrase file %s can be read by others (mode %04o); run: chmod 600 %s", file, info.Mode().Perm(), file)
	}
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
	version := info.Main.Version
	if version == "" {
		version = "(devel)"
	}
	return "coffer " + version + ", " + info.GoVersion
}
