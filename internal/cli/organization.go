package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"

	"coffer/internal/iam"
	"coffer/internal/server"
)

const organizationHelp = `
An organisation holds accounts in units, and control policies say what at most may
be done in them, whatever the accounts' own policies allow:

  coffer account org create main               main becomes the management account
  coffer account org unit create /prod
  coffer account create shop
  coffer account org add shop --unit /prod
  coffer account org policy put no-deletion no-deletion.json
  coffer account org policy attach no-deletion /prod
  coffer account org show

no-deletion.json could be:

  {"Version": "2012-10-17", "Statement": {"Effect": "Deny",
    "Action": ["secretsmanager:DeleteSecret", "kms:ScheduleKeyDeletion"], "Resource": "*"}}

A service control policy restricts the users, roles and roots of the accounts it is
attached to or above; it must allow on every level, and FullAWSAccess, attached
everywhere at first, does. A resource control policy (--type rcp) restricts what
anybody, from any account, may do with the secrets and keys of these accounts. The
management account is restricted by neither. Changes hold for the next call.

/ is the root, /prod a unit in it, /prod/eu a unit in that; units are also
named by their ids, accounts by id or name.`

type organizationOpts struct {
	*dirOpts
	org, unit, kind, description string
}

func organizationFlags(more func(*flag.FlagSet, *organizationOpts)) func(*flag.FlagSet) any {
	return func(fs *flag.FlagSet) any {
		o := &organizationOpts{dirOpts: dirOnly(fs).(*dirOpts)}
		fs.StringVar(&o.org, "org", "", "the organisation, by id or management `ACCOUNT`; needed if there are several")
		if more != nil {
			more(fs, o)
		}
		return o
	}
}

// organizationCommand is a command that changes an organisation: request turns the
// arguments into the change, and said tells what was done.
type organizationCommand struct {
	name, args, summary, help string
	flags                     func(*flag.FlagSet, *organizationOpts)
	path                      string
	request                   func(e Env, o *organizationOpts, args []string) (server.OrganizationRequest, error)
	said                      func(c server.OrganizationChange, args []string) string
}

func (c organizationCommand) command() command {
	return command{
		name: "account org " + c.name, args: c.args, summary: c.summary, help: c.help, flags: organizationFlags(c.flags),
		run: func(ctx context.Context, e Env, opts any, args []string) error {
			o := opts.(*organizationOpts)
			in, err := c.request(e, o, args)
			if err != nil {
				return err
			}
			in.Org = o.org
			change, err := ask[server.OrganizationChange](ctx, o.dirOpts, http.MethodPost, "/organizations"+c.path, in)
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(e.Stdout, change)
			}
			_, err = fmt.Fprintln(e.Stdout, c.said(change, args))
			return err
		},
	}
}

// organizationCommands are those of organisations, in the order of the help.
func organizationCommands() []command {
	list := []command{organizationShowCommand}
	for _, c := range organizationChanges {
		list = append(list, c.command())
	}
	return append(list, policyListCommand, policyShowCommand)
}

var organizationChanges = []organizationCommand{
	{
		name: "create", args: "ACCOUNT", summary: "make an organisation; ACCOUNT is its management account",
		help: `
Makes an organisation with a root and in it ACCOUNT, named by id or name, as the
management account: control policies do not restrict that one, so keep nothing in it
that they should guard. An account is in one organisation at most.`,
		request: func(_ Env, _ *organizationOpts, args []string) (server.OrganizationRequest, error) {
			return server.OrganizationRequest{Account: args[0]}, nil
		},
		said: func(c server.OrganizationChange, _ []string) string {
			return fmt.Sprintf("Organisation %s, with %s as its management account. Next: `coffer account org unit create /NAME`, `coffer account org add ACCOUNT`.", c.Organization, c.ID)
		},
	},
	{
		name: "add", args: "ACCOUNT", summary: "take an account into the organisation",
		help: `
Takes an account into the organisation, in the root or the unit named with --unit.
From the next call on the control policies above it restrict it.`,
		path: "/add",
		flags: func(fs *flag.FlagSet, o *organizationOpts) {
			fs.StringVar(&o.unit, "unit", "/", "`UNIT` to put it in, such as /prod")
		},
		request: func(_ Env, o *organizationOpts, args []string) (server.OrganizationRequest, error) {
			return server.OrganizationRequest{Account: args[0], To: o.unit}, nil
		},
		said: func(c server.OrganizationChange, _ []string) string {
			return fmt.Sprintf("Account %s (%s) is in organisation %s.", c.ID, c.Name, c.Organization)
		},
	},
	{
		name: "move", args: "ACCOUNT UNIT", summary: "move an account to another unit",
		help: "Moves an account of the organisation into UNIT, such as /prod; / is the root.",
		path: "/move",
		request: func(_ Env, _ *organizationOpts, args []string) (server.OrganizationRequest, error) {
			return server.OrganizationRequest{Account: args[0], To: args[1]}, nil
		},
		said: func(c server.OrganizationChange, args []string) string {
			return fmt.Sprintf("Account %s (%s) is in %s.", c.ID, c.Name, args[1])
		},
	},
	{
		name: "remove", args: "ACCOUNT", summary: "take an account out of the organisation",
		help: `
Takes an account out of the organisation, with the control policies attached to it:
nothing restricts it any more. The account itself stays.`,
		path: "/remove",
		request: func(_ Env, _ *organizationOpts, args []string) (server.OrganizationRequest, error) {
			return server.OrganizationRequest{Account: args[0]}, nil
		},
		said: func(c server.OrganizationChange, _ []string) string {
			return fmt.Sprintf("Account %s (%s) is not in organisation %s any more.", c.ID, c.Name, c.Organization)
		},
	},
	{
		name: "delete", summary: "delete the organisation",
		help: `
Deletes an organisation that has no units, no control policies and no accounts but
the management account. The accounts themselves stay.`,
		path: "/delete",
		request: func(Env, *organizationOpts, []string) (server.OrganizationRequest, error) {
			return server.OrganizationRequest{}, nil
		},
		said: func(c server.OrganizationChange, _ []string) string {
			return fmt.Sprintf("Organisation %s is deleted.", c.Organization)
		},
	},
	{
		name: "unit create", args: "UNIT", summary: "make a unit: /prod, /prod/eu",
		help: `
Makes a unit in the root (/prod) or in another unit (/prod/eu). Units go five levels
deep. A new unit has the control policy FullAWSAccess.`,
		path: "/unit/create",
		request: func(_ Env, _ *organizationOpts, args []string) (server.OrganizationRequest, error) {
			return server.OrganizationRequest{Unit: args[0]}, nil
		},
		said: func(c server.OrganizationChange, args []string) string {
			return fmt.Sprintf("Unit %s (%s).", args[0], c.ID)
		},
	},
	{
		name: "unit rename", args: "UNIT NAME", summary: "give a unit another name",
		help: "Gives a unit another NAME in the same place. Its id stays.",
		path: "/unit/rename",
		request: func(_ Env, _ *organizationOpts, args []string) (server.OrganizationRequest, error) {
			return server.OrganizationRequest{Unit: args[0], Name: args[1]}, nil
		},
		said: func(c server.OrganizationChange, _ []string) string {
			return fmt.Sprintf("Unit %s is called %s.", c.ID, c.Name)
		},
	},
	{
		name: "unit move", args: "UNIT TO", summary: "move a unit, with all in it, into another one",
		help: "Moves a unit, with the units and accounts in it, into the unit TO; / is the root.",
		path: "/unit/move",
		request: func(_ Env, _ *organizationOpts, args []string) (server.OrganizationRequest, error) {
			return server.OrganizationRequest{Unit: args[0], To: args[1]}, nil
		},
		said: func(c server.OrganizationChange, args []string) string {
			return fmt.Sprintf("Unit %s (%s) is in %s.", c.Name, c.ID, args[1])
		},
	},
	{
		name: "unit delete", args: "UNIT", summary: "delete a unit that nothing is in",
		help: "Deletes a unit. Move its accounts and delete its units first.",
		path: "/unit/delete",
		request: func(_ Env, _ *organizationOpts, args []string) (server.OrganizationRequest, error) {
			return server.OrganizationRequest{Unit: args[0]}, nil
		},
		said: func(c server.OrganizationChange, args []string) string {
			return fmt.Sprintf("Unit %s is deleted.", args[0])
		},
	},
	{
		name: "policy put", args: "NAME FILE", summary: "make or change a control policy",
		help: `
Makes a control policy from a JSON file ("-" is standard input), or gives the policy
of this name another document, which holds for the next call wherever it is
attached. A new one restricts nothing until it is attached.

A service control policy (scp) is like an identity policy, of at most 10,240
characters. A resource control policy (rcp) of at most 5,120 can only deny:
"Effect": "Deny", "Principal": "*", and actions of named services, as in

  {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*",
    "Action": "secretsmanager:*", "Resource": "*", "Condition":
      {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-..."}}}}

White space counts: jq -c . FILE takes it out.`,
		path: "/policy/put",
		flags: func(fs *flag.FlagSet, o *organizationOpts) {
			fs.StringVar(&o.kind, "type", "", "`TYPE` of a new policy: scp (default) or rcp")
			fs.StringVar(&o.description, "description", "", "`TEXT` for those who come later")
		},
		request: func(e Env, o *organizationOpts, args []string) (in server.OrganizationRequest, err error) {
			text, err := readDocument(e, args[1])
			return server.OrganizationRequest{Policy: args[0], Type: o.kind, Description: o.description, Document: text}, err
		},
		said: func(c server.OrganizationChange, _ []string) string {
			if c.Fresh {
				return fmt.Sprintf("Control policy %s (%s) is made. It restricts nothing yet: attach it with `coffer account org policy attach %s TARGET`.", c.Name, c.ID, quote(c.Name))
			}
			return fmt.Sprintf("Control policy %s (%s) is changed.", c.Name, c.ID)
		},
	},
	{
		name: "policy attach", args: "NAME TARGET", summary: "attach a control policy to a unit, an account or the root",
		help: `
Attaches a control policy, by name or id, to TARGET: / is the root, /prod a unit, an
id or a name an account. It holds for all accounts there and below.

An Allow widens nothing while FullAWSAccess is attached beside it: to allow only
what a policy lists, attach it and then detach FullAWSAccess.`,
		path: "/policy/attach",
		request: func(_ Env, _ *organizationOpts, args []string) (server.OrganizationRequest, error) {
			return server.OrganizationRequest{Policy: args[0], To: args[1]}, nil
		},
		said: func(c server.OrganizationChange, args []string) string {
			return fmt.Sprintf("Control policy %s is attached to %s.", args[0], attachedTo(c.ID, args[1]))
		},
	},
	{
		name: "policy detach", args: "NAME TARGET", summary: "detach a control policy",
		help: `
Detaches a control policy from TARGET. At least one service control policy stays on
every root, unit and account.`,
		path: "/policy/detach",
		request: func(_ Env, _ *organizationOpts, args []string) (server.OrganizationRequest, error) {
			return server.OrganizationRequest{Policy: args[0], To: args[1]}, nil
		},
		said: func(c server.OrganizationChange, args []string) string {
			return fmt.Sprintf("Control policy %s is not attached to %s any more.", args[0], attachedTo(c.ID, args[1]))
		},
	},
	{
		name: "policy delete", args: "NAME", summary: "delete a control policy that is attached nowhere",
		help: "Deletes a control policy. Detach it everywhere first; coffer account org policy list tells where it is.",
		path: "/policy/delete",
		request: func(_ Env, _ *organizationOpts, args []string) (server.OrganizationRequest, error) {
			return server.OrganizationRequest{Policy: args[0]}, nil
		},
		said: func(_ server.OrganizationChange, args []string) string {
			return fmt.Sprintf("Control policy %s is deleted.", args[0])
		},
	},
}

// attachedTo names a target as it was written, with its id.
func attachedTo(id, written string) string {
	if id == written {
		return id
	}
	return written + " (" + id + ")"
}

const maxDocument = 48 << 10 // bytes; more than any policy, and fits into a control request

// readDocument reads a policy from a file or standard input.
func readDocument(e Env, file string) (string, error) {
	from := e.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, maxDocument+1))
	if err == nil && len(b) > maxDocument {
		err = fmt.Errorf("%s has more than %d bytes; a control policy has at most 10,240 characters", file, maxDocument)
	}
	return string(b), err
}

var organizationShowCommand = command{
	name: "account org show", summary: "show organisations, their units and accounts, and what is attached to them",
	help: `
Shows the organisations as trees: units, the accounts in them, and the control
policies attached to each.`,
	flags: dirOnly,
	run: func(ctx context.Context, e Env, opts any, _ []string) error {
		o := opts.(*dirOpts)
		list, err := ask[[]server.OrganizationInfo](ctx, o, http.MethodGet, "/organizations", nil)
		if err != nil {
			return err
		}
		if o.json {
			return printJSON(e.Stdout, list)
		}
		if len(list) == 0 {
			fmt.Fprintln(e.Stdout, "There is no organisation. `coffer account org create ACCOUNT` makes one; `coffer help account org` tells more.")
		}
		for i := range list {
			if i > 0 {
				fmt.Fprintln(e.Stdout)
			}
			printOrganization(e.Stdout, &list[i])
		}
		return nil
	},
}

func printOrganization(w io.Writer, o *server.OrganizationInfo) {
	fmt.Fprintf(w, "organisation %s, management account %s\n", o.ID, o.Management)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\tID\tCONTROL POLICIES")
	printNode(tw, o.Root, "", "")
	tw.Flush()
}

// printNode prints a node behind branch, and what is in it behind indent.
func printNode(w io.Writer, n *iam.OrganizationNode, branch, indent string) {
	name := n.Name
	if n.Type == "unit" {
		name += "/"
	}
	if n.Management {
		name += " (management account)"
	}
	fmt.Fprintf(w, "%s%s\t%s\t%s\n", branch, visible(name), n.ID, visible(strings.Join(n.Policies, ", ")))
	for i, in := range n.In {
		if i == len(n.In)-1 {
			printNode(w, in, indent+"└─ ", indent+"   ")
		} else {
			printNode(w, in, indent+"├─ ", indent+"│  ")
		}
	}
}

var policyListCommand = command{
	name: "account org policy list", summary: "list the control policies and where they are attached",
	help:  "Lists the control policies of all organisations, and the ids of what each is attached to.",
	flags: dirOnly,
	run: func(ctx context.Context, e Env, opts any, _ []string) error {
		o := opts.(*dirOpts)
		list, err := ask[[]server.ControlPolicyInfo](ctx, o, http.MethodGet, "/organizations/policies", nil)
		if err != nil {
			return err
		}
		if o.json {
			return printJSON(e.Stdout, list)
		}
		if len(list) == 0 {
			fmt.Fprintln(e.Stdout, "There are no control policies but FullAWSAccess. `coffer account org policy put NAME FILE` makes one, once there is an organisation.")
			return nil
		}
		tw := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "NAME\tTYPE\tID\tORGANISATION\tATTACHED TO")
		for _, p := range list {
			to := strings.Join(p.AttachedTo, ", ")
			if len(p.AttachedTo) == 0 {
				to = "nothing"
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", visible(p.Name), p.Type, p.ID, p.Organization, to)
		}
		return tw.Flush()
	},
}

var policyShowCommand = command{
	name: "account org policy show", args: "NAME", summary: "print a control policy's document",
	help: `
Prints the document of a control policy, by name or id, as it was given; with --json
all that is known of it.`,
	flags: organizationFlags(nil),
	run: func(ctx context.Context, e Env, opts any, args []string) error {
		o := opts.(*organizationOpts)
		list, err := ask[[]server.ControlPolicyInfo](ctx, o.dirOpts, http.MethodGet, "/organizations/policies", nil)
		if err != nil {
			return err
		}
		var found []server.ControlPolicyInfo
		for _, p := range list {
			if (p.Name == args[0] || p.ID == args[0]) && (o.org == "" || p.Organization == o.org) {
				found = append(found, p)
			}
		}
		switch {
		case len(found) == 0:
			return fmt.Errorf("there is no control policy %q; `coffer account org policy list` shows those that there are", args[0])
		case len(found) > 1 && found[0].Document != found[1].Document:
			return fmt.Errorf("several organisations have a control policy %q; name one with --org", args[0])
		case o.json:
			return printJSON(e.Stdout, found[0])
		}
		_, err = fmt.Fprintln(e.Stdout, strings.TrimRight(found[0].Document, "\n"))
		return err
	},
}
