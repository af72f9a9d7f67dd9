package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"

	"coffer/internal/audit"
	"coffer/internal/gateway"
	"coffer/internal/iam"
	"coffer/internal/server"
)

type whoCanOpts struct {
	*dirOpts
	account, region string
}

var whoCanCommand = command{
	name: "who-can", args: "ACTION RESOURCE", summary: "list every principal that may do something, and why",
	help: `
Lists the users, roles and roots that may do ACTION on RESOURCE, and the policy
statements that let them. RESOURCE is a secret's name or ARN, a key's id, ARN or
alias, the ARN of a role (sts:AssumeRole) or of something in IAM; "*" for actions
without a resource, and for lists. To read a secret takes the use of its key as
well: both are looked at.

What depends on the request (where it comes from, when, with which parameters, with
which session tags) is shown as a condition: the principal can "if" it holds, or
"unless" it does. A role stands for any session of it; sessions and federated users
that a policy lets in by name are listed besides. Session policies, which only take
away, and the policies of VPC endpoints are not looked at. Statements are counted from
1, with --json from 0.

  coffer who-can secretsmanager:GetSecretValue app/db
  coffer who-can kms:Decrypt alias/app --region eu-west-1 --json
  coffer who-can sts:AssumeRole arn:aws:iam::111122223333:role/deploy
`,
	flags: func(fs *flag.FlagSet) any {
		o := &whoCanOpts{dirOpts: dirOnly(fs).(*dirOpts)}
		fs.StringVar(&o.account, "account", "", "account, `ID` or name, that bare names are looked up in; default: the first one")
		fs.StringVar(&o.region, "region", "", "`REGION`; default: the server's")
		return o
	},
	run: func(ctx context.Context, e Env, opts any, args []string) error {
		o := opts.(*whoCanOpts)
		q := gateway.Question{Action: args[0], Resource: args[1], Account: o.account, Region: o.region}
		if q.Resource == "*" {
			q.Resource = ""
		}
		a, err := ask[gateway.Answer](ctx, o.dirOpts, http.MethodPost, "/who-can", q)
		if err != nil {
			return err
		}
		if o.json {
			return printJSON(e.Stdout, a)
		}
		printWhoCan(e.Stdout, a)
		return nil
	},
}

func printWhoCan(w io.Writer, a gateway.Answer) {
	fmt.Fprintf(w, "%s on %s\n\n", visible(a.Action), visible(a.Resource))
	if len(a.Found) == 0 {
		fmt.Fprintln(w, "Nobody can.")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "PRINCIPAL\tCAN\tTHROUGH")
	for _, f := range a.Found {
		can := "yes"
		if len(f.If) > 0 {
			can = "if"
		}
		first := f.Principal
		line := func(can, through string) {
			fmt.Fprintf(tw, "%s\t%s\t%s\n", visible(first), can, visible(through))
			first = ""
		}
		if len(f.Through) == 0 {
			line(can, "it takes no permission")
		}
		for _, s := range f.Through {
			line(can, statement(s, a.Action))
			can = ""
			for _, c := range s.Conditions {
				line("", "  if "+c)
			}
		}
		for _, s := range f.Unless {
			line("unless", statement(s, a.Action))
			for _, c := range s.Conditions {
				line("", "  if "+c)
			}
		}
	}
	tw.Flush()
}

// statement says where a statement stands, and for which action if that is not
// the one asked about.
func statement(s iam.StatementRef, asked string) string {
	text := s.PolicyType + " " + s.Policy
	switch {
	case s.Policy == "account root":
		text = "account root"
	case s.PolicyType == "grant": // it has no statements
	case s.Sid != "":
		text += ", statement " + s.Sid
	default:
		text += fmt.Sprintf(", statement %d", s.Statement+1)
	}
	if s.Action != asked {
		text += " (" + s.Action + ")"
	}
	return text
}

var explainCommand = command{
	name: "explain", args: "[REQUEST-ID]", summary: "show why a call was allowed or denied",
	help: `
Shows the decision about a call from the audit log: who asked, what for, and the
policy statements that allowed or denied it, together with the calls that services
made on the caller's behalf. Of a denial for want of an Allow it shows which policies
have none, and which statements came close: by which condition, resource or principal
they missed. Statements and conditions are those of the time of the call; names of
control policies, units and accounts are today's. Statements are counted from 1, with
--json from 0.

With --last it lists the most recent denials with their request ids:

  coffer explain --last                            the last 10
  coffer explain --last 50 --principal user/ana --account 111122223333

The AWS CLI v2 and the SDKs for Go, Java and JavaScript show the request id with an
error. boto3 has it in error.response["ResponseMetadata"]["RequestId"], the AWS CLI v1
only with --debug.
`,
	flags: func(fs *flag.FlagSet) any {
		o := &explainOpts{dirOpts: dirOnly(fs).(*dirOpts)}
		fs.Var(&o.last, "last", "list the last `N` denials (10 if no number is given) in place of explaining one")
		fs.StringVar(&o.account, "account", "", "with --last: only of this account, `ID` or name")
		fs.StringVar(&o.principal, "principal", "", "with --last: only of this principal, `ARN` or its end, such as user/ana")
		return o
	},
	run: func(ctx context.Context, e Env, opts any, args []string) error {
		o := opts.(*explainOpts)
		if o.last > 0 {
			return lastDenials(ctx, e, o, args)
		}
		if len(args) != 1 {
			return usagef("usage: coffer explain REQUEST-ID, or coffer explain --last [N] for the most recent denials")
		}
		if o.account != "" || o.principal != "" {
			return usagef("--account and --principal go with --last; see `coffer help explain`")
		}
		x, err := ask[server.Explanation](ctx, o.dirOpts, http.MethodPost, "/explain", struct{ RequestID string }{args[0]})
		if err != nil {
			return err
		}
		if o.json {
			return printJSON(e.Stdout, x)
		}
		for i, c := range x.Calls {
			if i > 0 {
				fmt.Fprintln(e.Stdout)
			}
			printCall(e.Stdout, c, x.Names)
		}
		return nil
	},
}

func printCall(w io.Writer, c server.ExplainedCall, names map[string]string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(tw, "%s\t%s\n", name, visible(value))
		}
	}
	event := c.Principal == "" && c.Through != ""
	if event {
		row("event", c.Action+" in "+c.Region)
	} else {
		row("call", c.Action+" in "+c.Region)
	}
	row("time", c.Time)
	row("principal", c.Principal)
	row("provider", c.Provider)
	row("subject", c.Subject)
	row("access key", c.AccessKeyID)
	row("source", c.SourceIP)
	switch {
	case event:
		row("account", c.Account)
		for _, k := range slices.Sorted(maps.Keys(c.Event)) {
			row(k, fmt.Sprint(c.Event[k]))
		}
	case c.Through != "" && c.Through != c.Principal:
		row("made by", c.Through+" on the principal's behalf")
	}
	if c.ErrorCode != "" || c.ErrorMessage != "" {
		row("answer", strings.TrimSpace(c.ErrorCode+" "+c.ErrorMessage))
	} else {
		row("answer", "success")
	}
	row("reason", c.Reason)
	if len(c.Decisions) == 0 && !event {
		row("decision", "none: it was answered before anything was decided")
	}
	for _, d := range c.Decisions {
		row("decision", verdict(d)+" "+d.Action+" on "+d.Resource)
		for _, s := range d.By {
			row("  by", recorded(s, names))
		}
		for _, l := range d.Lacking {
			row("  lacking", lack(l, names))
		}
		for _, n := range d.Near {
			row("  close", recorded(n.Statement, names)+": "+strings.Join(misses(n), "; "))
		}
	}
	tw.Flush()
}

func verdict(d audit.Authorization) string {
	switch {
	case d.Allowed:
		return "allowed:"
	case d.Explicit:
		return "explicitly denied:"
	}
	return "denied, no " + d.PolicyType + " allows it:"
}
