package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"coffer/internal/arn"
	sm "coffer/internal/secretsmanager"
	"coffer/internal/server"
)

type rotationListOpts struct {
	*rotationOpts
	failing bool
}

var rotationListCommand = command{
	name: "rotation list", summary: "list the secrets that rotate, and how that stands",
	help: `
Lists the secrets of an account and region for which rotation was configured: function,
when the next rotation begins or is tried again, and how the last one ended.

With --failing only those that somebody has to look after: the last rotation failed, or
attempts at it do; it was missed or abandoned; or AWSPENDING is in its way.`,
	flags: func(fs *flag.FlagSet) any {
		o := &rotationListOpts{rotationOpts: rotationFlags(fs)}
		accountFlag(fs, &o.account)
		fs.BoolVar(&o.failing, "failing", false, "only those that somebody has to look after")
		return o
	},
	run: func(ctx context.Context, e Env, opts any, _ []string) error {
		o := opts.(*rotationListOpts)
		list := []sm.RotationSummary{}
		question := server.RotationsQuestion{Account: o.account, Region: o.region, Failing: o.failing}
		for {
			page, err := ask[server.RotationsPage](ctx, o.dirOpts, http.MethodPost, "/rotations", question)
			if err != nil {
				return err
			}
			list = append(list, page.Rotations...)
			if question.After = page.Next; page.Next != "" {
				continue
			}
			if o.json {
				return printJSON(e.Stdout, list)
			}
			if len(list) == 0 {
				what := "rotates"
				if o.failing {
					what = "fails to rotate"
				}
				_, err = fmt.Fprintf(e.Stderr, "No secret %s in %s of account %s.\n", what, page.Region, page.Account)
				return err
			}
			return printRotations(e.Stdout, list)
		}
	},
}

func printRotations(w io.Writer, list []sm.RotationSummary) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SECRET\tFUNCTION\tNEXT\tLAST")
	for i := range list {
		r := &list[i]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", visible(r.Name), visible(functionName(r)), nextRotation(r), lastRotation(r))
	}
	return tw.Flush()
}

// functionName is the name of a function, or its ARN if it is another account's.
func functionName(r *sm.RotationSummary) string {
	f, err := arn.Parse(r.Function)
	s, err2 := arn.Parse(r.ARN)
	name, ok := strings.CutPrefix(f.Resource, "function:")
	if err != nil || err2 != nil || !ok || f.Account != s.Account {
		return r.Function
	}
	return name
}

func nextRotation(r *sm.RotationSummary) string {
	switch {
	case r.Deleted:
		return "marked for deletion"
	case !r.Enabled:
		return "off"
	case r.Next == nil:
		return "when asked for"
	}
	return shown(*r.Next)
}

func lastRotation(r *sm.RotationSummary) string {
	s := string(r.State)
	switch r.State {
	case sm.NeverRotated:
		return "none yet"
	case sm.UnderWay:
		s = "under way"
	case sm.Retrying:
		s = "failed " + r.Step + ", being tried again"
	case sm.GivenUp:
		s = "failed " + r.Step + ", given up"
	case sm.Blocked:
		s = "blocked by AWSPENDING"
	case sm.Failed:
		s = "failed " + r.Step
	}
	if r.Test {
		s = "test " + s
	}
	return s
}
