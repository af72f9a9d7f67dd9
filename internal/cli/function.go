package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"coffer/internal/builtin"
	"coffer/internal/rotator/functions"
)

var functionCommand = command{
	name: "function", args: "NAME", summary: "run a built-in function; Coffer does that itself",
	help: `
Runs a built-in function behind the Lambda Runtime API that the environment names
(AWS_LAMBDA_RUNTIME_API). Coffer starts it when a secret is rotated; by hand it is
of use only behind a Lambda runtime of one's own.

` + "`coffer function list`" + ` shows the functions, ` + "`coffer function NAME --help`" + `
how a secret is rotated with one.`,
	about: func(w io.Writer, name string) bool {
		f, ok := builtin.Find(name)
		if ok {
			io.WriteString(w, functions.About(f))
		}
		return ok
	},
	flags: func(*flag.FlagSet) any { return nil },
	run: func(ctx context.Context, e Env, _ any, args []string) error {
		return functions.Run(ctx, args[0], os.LookupEnv, e.Stdout)
	},
}

type functionListOpts struct{ json bool }

var functionListCommand = command{
	name: "function list", args: "[NAME]", summary: "list the built-in functions and the secrets they rotate",
	help: `
Lists the functions that rotate secrets without being deployed, or the one NAME, with
the secret that each expects:

  aws secretsmanager rotate-secret --secret-id NAME \
    --rotation-lambda-arn arn:aws:lambda:REGION:ACCOUNT:function:FUNCTION

They have the names of AWS's rotation function templates.`,
	flags: func(fs *flag.FlagSet) any {
		o := &functionListOpts{}
		fs.BoolVar(&o.json, "json", false, "print a JSON array instead")
		return o
	},
	run: func(_ context.Context, e Env, opts any, args []string) error {
		list := builtin.Functions
		if len(args) == 1 {
			f, ok := builtin.Find(args[0])
			if !ok {
				return fmt.Errorf("there is no built-in function %q; `coffer function list` shows them", args[0])
			}
			list = []builtin.Function{f}
		}
		if opts.(*functionListOpts).json {
			return printFunctionsJSON(e.Stdout, list)
		}
		return printFunctions(e.Stdout, list)
	},
}

// printFunctions prints a table of the functions, and the secrets and variables of each.
func printFunctions(w io.Writer, list []builtin.Function) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "FUNCTION\tTESTED\tWHAT IT DOES")
	for _, f := range list {
		tested := "live"
		if !f.Live {
			tested = "statements"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", f.Name, tested, f.Summary)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprint(w, `
live: the tests run it against a real server. statements: they check what it would send
to one; it was not run against a live server.
`)
	for _, f := range list {
		fmt.Fprintf(w, "\n%s (%s)\n  secret: %s\n", f.Name, f.Timeout, f.Secret)
		if f.Master != "" {
			fmt.Fprintf(w, "  master: %s\n", f.Master)
		}
		fmt.Fprintf(w, "  reads:  %s\n", strings.Join(variables(f), " "))
	}
	return nil
}

func variables(f builtin.Function) []string {
	var names []string
	for _, v := range f.Variables {
		names = append(names, v.Name)
	}
	return names
}

func printFunctionsJSON(w io.Writer, of []builtin.Function) error {
	type variable struct{ Name, Meaning string }
	type function struct {
		Name, Summary  string
		Secret         string
		MasterSecret   string `json:",omitempty"`
		Variables      []variable
		TimeoutSeconds int
		LiveTested     bool
	}
	list := []function{}
	for _, f := range of {
		out := function{Name: f.Name, Summary: f.Summary, Secret: f.Secret, MasterSecret: f.Master, TimeoutSeconds: int(f.Timeout.Seconds()), LiveTested: f.Live}
		for _, v := range f.Variables {
			out.Variables = append(out.Variables, variable(v))
		}
		list = append(list, out)
	}
	return printJSON(w, list)
}
