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

` + "`coffer function list`" + ` shows the functions.`,
	flags: func(*flag.FlagSet) any { return nil },
	run: func(ctx context.Context, e Env, _ any, args []string) error {
		return functions.Run(ctx, args[0], os.LookupEnv, e.Stdout)
	},
}

type functionListOpts struct{ json bool }

var functionListCommand = command{
	name: "function list", summary: "list the built-in functions and the secrets they rotate",
	help: `
Lists the functions that rotate secrets without being deployed, with the secret that
each expects:

  aws secretsmanager rotate-secret --secret-id NAME \
    --rotation-lambda-arn arn:aws:lambda:REGION:ACCOUNT:function:FUNCTION

They have the names of AWS's rotation function templates.`,
	flags: func(fs *flag.FlagSet) any {
		o := &functionListOpts{}
		fs.BoolVar(&o.json, "json", false, "print a JSON array instead")
		return o
	},
	run: func(_ context.Context, e Env, opts any, _ []string) error {
		if opts.(*functionListOpts).json {
			return printFunctionsJSON(e.Stdout)
		}
		printFunctions(e.Stdout)
		return nil
	},
}

func printFunctions(w io.Writer) {
	for i, f := range builtin.Functions {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s\n", f.Name)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		line := func(what, text string) { fmt.Fprintf(tw, "  %s\t%s\n", what, text) }
		line("what", f.Summary)
		line("secret", f.Secret)
		if f.Master != "" {
			line("master", f.Master)
		}
		line("reads", strings.Join(variables(f), " "))
		line("timeout", f.Timeout.String())
		tw.Flush()
	}
}

func variables(f builtin.Function) []string {
	var names []string
	for _, v := range f.Variables {
		names = append(names, v.Name)
	}
	return names
}

func printFunctionsJSON(w io.Writer) error {
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
	for _, f := range builtin.Functions {
		out := function{Name: f.Name, Summary: f.Summary, Secret: f.Secret, MasterSecret: f.Master, TimeoutSeconds: int(f.Timeout.Seconds()), LiveTested: f.Live}
		for _, v := range f.Variables {
			out.Variables = append(out.Variables, variable(v))
		}
		list = append(list, out)
	}
	return printJSON(w, list)
}
