package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"

	"coffer/internal/audit"
	"coffer/internal/server"
)

type explainOpts struct {
	*dirOpts
	last               lastFlag
	account, principal string
}

// lastFlag is --last, --last=N or --last N: the number behind it may be left out, so to the
// flags it is one without a value, and to the command the number is an argument.
type lastFlag int

const defaultLast = 10

func (l *lastFlag) String() string   { return strconv.Itoa(int(*l)) }
func (l *lastFlag) IsBoolFlag() bool { return true }

func (l *lastFlag) Set(s string) error {
	switch s {
	case "true":
		*l = defaultLast
		return nil
	case "false":
		*l = 0
		return nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 1000 {
		return fmt.Errorf("--last takes a number from 1 to 1000, not %q", s)
	}
	*l = lastFlag(n)
	return nil
}

func lastDenials(ctx context.Context, e Env, o *explainOpts, args []string) error {
	if len(args) == 1 {
		if err := o.last.Set(args[0]); err != nil {
			return usageError(err.Error())
		}
	}
	d, err := ask[server.Denials](ctx, o.dirOpts, http.MethodPost, "/denials", server.DenialsQuery{Last: int(o.last), Account: o.account, Principal: o.principal})
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(e.Stdout, d)
	}
	printDenials(e.Stdout, d)
	return nil
}

func printDenials(w io.Writer, d server.Denials) {
	if len(d.Denials) == 0 {
		fmt.Fprintln(w, "No denial is recorded.")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TIME\tREQUEST ID\tPRINCIPAL\tACTION\tRESOURCE")
	for _, x := range d.Denials {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", x.Time, x.RequestID, visible(x.Principal), visible(x.Action), visible(x.Resource))
	}
	tw.Flush()
	fmt.Fprintln(w, "\n`coffer explain REQUEST-ID` tells why.")
}

// recorded says where a statement of the audit log stands.
func recorded(s audit.Statement, names map[string]string) string {
	at := s.PolicyType + " " + named(s.Policy, names)
	switch {
	case s.Policy == "account root":
		at = "account root"
	case s.Policy == s.PolicyType: // "session policy"
		at = s.Policy
	}
	switch {
	case s.Sid != "":
		at += ", statement " + s.Sid
	case s.Statement != nil:
		at += fmt.Sprintf(", statement %d", *s.Statement+1)
	}
	return at
}

// named is an id with the name that people know it by.
func named(id string, names map[string]string) string {
	if name := names[id]; name != "" {
		return id + " (" + name + ")"
	}
	return id
}

// lack says which policies have no Allow.
func lack(l audit.Lack, names map[string]string) string {
	of := l.PolicyType
	if l.At != "" {
		of += " at " + named(l.At, names)
	}
	if len(l.Policies) == 0 {
		return "no Allow: there is no " + of
	}
	policies := make([]string, len(l.Policies))
	for i, p := range l.Policies {
		policies[i] = named(p, names)
	}
	if policies[0] == of {
		return "no Allow in the " + of
	}
	return "no Allow in the " + of + ": " + strings.Join(policies, ", ")
}

// misses says by what a statement came close and did not apply.
func misses(n audit.Near) (by []string) {
	if n.OtherPrincipal {
		by = append(by, "it is for other principals")
	}
	if n.OtherResource != "" {
		by = append(by, "it is for "+n.OtherResource)
	}
	for _, c := range n.Conditions {
		why := "does not hold"
		if c.Absent {
			why = "fails: the request does not have the key"
		}
		by = append(by, "condition "+c.Operator+" "+c.Key+" "+why)
	}
	return by
}
