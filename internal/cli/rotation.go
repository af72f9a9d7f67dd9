package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/arn"
	sm "coffer/internal/secretsmanager"
	"coffer/internal/server"
)

const rotationHelp = `
Rotations of secrets: how they stand, and starting one.

  coffer rotation status app/db          what happens, happened and will happen
  coffer rotation run app/db --wait      rotate now, and watch it step by step
`

type rotationOpts struct {
	*dirOpts
	account, region string
	wait            bool
}

func rotationFlags(fs *flag.FlagSet) *rotationOpts {
	o := &rotationOpts{dirOpts: dirOnly(fs).(*dirOpts)}
	fs.StringVar(&o.region, "region", "", "`REGION`; default: the server's")
	return o
}

var rotationStatusCommand = command{
	name: "rotation status", args: "SECRET", summary: "show how a secret's rotation stands",
	help: `
Shows a secret's schedule, its rotation under way, and how the last ones ended: which
step failed, what the function said, its last log lines and what to do about it.
SECRET is a name or an ARN.`,
	flags: func(fs *flag.FlagSet) any {
		o := rotationFlags(fs)
		fs.StringVar(&o.account, "account", "", "account, `ID` or name, that a bare name is looked up in; default: the first one")
		return o
	},
	run: func(ctx context.Context, e Env, opts any, args []string) error {
		o := opts.(*rotationOpts)
		st, err := rotationStatus(ctx, o, args[0])
		if err != nil {
			return err
		}
		if o.json {
			return printJSON(e.Stdout, st)
		}
		printRotation(e.Stdout, st)
		return nil
	},
}

func rotationStatus(ctx context.Context, o *rotationOpts, secret string) (*sm.RotationStatus, error) {
	st, err := ask[sm.RotationStatus](ctx, o.dirOpts, http.MethodPost, "/rotation", server.RotationQuestion{Secret: secret, Account: o.account, Region: o.region})
	return &st, err
}

func printRotation(w io.Writer, st *sm.RotationStatus) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("secret", "%s", st.ARN)
	switch {
	case !st.Configured:
		row("rotation", "was never configured; RotateSecret with a RotationLambdaARN does that")
	case st.Deleted:
		row("rotation", "waits: the secret is marked for deletion")
	case st.Enabled:
		row("rotation", "on")
	default:
		row("rotation", "off: it was cancelled")
	}
	if st.Function != "" {
		row("function", "%s", st.Function)
	}
	if st.Configured {
		schedule := st.Schedule
		if schedule == "" {
			schedule = "none: it rotates when RotateSecret is called"
		}
		row("schedule", "%s", schedule)
	}
	if st.Last != nil {
		row("last rotated", "%s", shown(*st.Last))
	}
	if st.Enabled && st.Opens != nil {
		row("next window", "%s to %s", shown(*st.Opens), shown(*st.Closes))
		if st.Planned != nil {
			row("planned at", "%s", shown(*st.Planned))
		}
	}
	if st.Blocked != "" {
		row("blocked", "version %s has AWSPENDING and no rotation is making it;", st.Blocked)
		row("", "take it away: aws secretsmanager update-secret-version-stage --secret-id %s \\", quote(st.Name))
		row("", "  --version-stage AWSPENDING --remove-from-version-id %s", st.Blocked)
	}
	if u := st.Running; u != nil {
		row("under way", "version %s, %s", u.Version, describeRun(u))
	}
	tw.Flush()
	for i := range st.Ended {
		printOutcome(w, &st.Ended[i])
	}
}

func shown(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func describeRun(u *sm.RunStatus) string {
	s := fmt.Sprintf("attempt %d of %d, step %d of %d (%s)", u.Attempt, u.Attempts, u.Index, len(sm.Steps), u.Step)
	if u.Test {
		s = "testing the current value"
	}
	switch {
	case u.Working:
		return s + ": at work"
	case u.Due == nil:
		return s + ": waits until RotateSecret is called"
	}
	return s + ": goes on at " + shown(*u.Due)
}

func printOutcome(w io.Writer, o *sm.OutcomeSummary) {
	what := "rotation"
	if o.Test {
		what = "test"
	}
	fmt.Fprintf(w, "\n%s  %s %s", shown(o.Ended), what, o.Result)
	if o.Step != "" {
		fmt.Fprintf(w, " in %s", o.Step)
	}
	if o.Attempt > 1 || o.Result == sm.Failed {
		fmt.Fprintf(w, ", attempt %d", o.Attempt)
	}
	fmt.Fprintln(w)
	if o.Message != "" {
		fmt.Fprintf(w, "  said    %s\n", oneLine(o.Message))
	}
	if o.Advice != "" {
		fmt.Fprintf(w, "  advice  %s\n", o.Advice)
	}
	if o.Log != "" {
		fmt.Fprintln(w, "  log")
		for line := range strings.Lines(o.Log) {
			fmt.Fprintf(w, "    %s\n", printable(strings.TrimRight(line, "\r\n")))
		}
	}
}

// oneLine and printable keep what a function said from moving the cursor of who reads it.
func oneLine(s string) string {
	return printable(strings.Join(strings.FieldsFunc(s, func(c rune) bool { return c == '\n' || c == '\r' }), " "))
}

func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '\t' {
			return ' '
		}
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == 0x2028 || c == 0x2029 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 {
			return -1
		}
		return c
	}, s)
}

var rotationRunCommand = command{
	name: "rotation run", args: "SECRET", summary: "rotate a secret now",
	help: `
Calls RotateSecret as whoever the environment's AWS variables name, or as the root of
the first account when there are none. A rotation that is unfinished is tried again.

With --wait it follows the rotation step by step until it has succeeded or an attempt
has failed; then the exit code is 1.`,
	flags: func(fs *flag.FlagSet) any {
		o := rotationFlags(fs)
		fs.BoolVar(&o.wait, "wait", false, "follow the rotation until it ends")
		return o
	},
	run: runRotation,
}

func runRotation(ctx context.Context, e Env, opts any, args []string) error {
	o := opts.(*rotationOpts)
	client, err := secretsClient(ctx, o)
	if err != nil {
		return err
	}
	described, err := client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &args[0]})
	if err != nil {
		return awsError(err)
	}
	secret := aws.ToString(described.ARN)
	var before time.Time
	if o.wait || o.named() { // the two commands must mean one server
		if before, err = lastEnd(ctx, o, secret); err != nil {
			return twoServers(err)
		}
	}
	started, err := client.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: &secret})
	version := ""
	switch {
	case err == nil:
		version = aws.ToString(started.VersionId)
	case strings.Contains(err.Error(), "previous rotation isn't complete"):
		// It is being tried again, with the version that it began with.
		for id, stages := range described.VersionIdsToStages {
			if contains(stages, "AWSPENDING") {
				version = id
			}
		}
	default:
		return awsError(err)
	}
	if !o.wait {
		if o.json {
			return printJSON(e.Stdout, map[string]string{"arn": secret, "version": version})
		}
		fmt.Fprintf(e.Stdout, "%s is rotating to version %s; see: %s rotation status %s\n", aws.ToString(described.Name), version, self(), quote(args[0]))
		return nil
	}
	return follow(ctx, e, o, secret, version, before)
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// followEvery is how often the server is asked how far the rotation is.
const followEvery = 100 * time.Millisecond

// lastEnd is when the last attempt at a rotation of a secret, an ARN, ended. What is
// followed ends later: an attempt at the same version may have failed a moment ago.
func lastEnd(ctx context.Context, o *rotationOpts, secret string) (time.Time, error) {
	if a, err := arn.Parse(secret); err == nil {
		o.account, o.region = a.Account, a.Region
	}
	st, err := rotationStatus(ctx, o, secret)
	if err != nil || len(st.Ended) == 0 {
		return time.Time{}, err
	}
	return st.Ended[0].Ended, nil
}

// follow shows a rotation step by step, until an attempt of it has ended after before.
func follow(ctx context.Context, e Env, o *rotationOpts, secret, version string, before time.Time) error {
	p := stepLines{w: e.Stderr}
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		st, err := rotationStatus(ctx, o, secret)
		if err != nil {
			return err
		}
		var ended *sm.OutcomeSummary
		if len(st.Ended) > 0 && st.Ended[0].Version == version && st.Ended[0].Ended.After(before) {
			ended = &st.Ended[0]
		}
		switch u := st.Running; {
		case ended != nil:
			return p.end(e, o, st, ended)
		case u == nil || u.Version != version:
			return fmt.Errorf("the rotation of %s to version %s ended without a result: it was cancelled; see `%s rotation status`", st.Name, version, self())
		default:
			p.show(u.Done)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// stepLines prints a line for each step of the attempt, once it is done.
type stepLines struct {
	w     io.Writer
	shown int
}

func (p *stepLines) show(done []sm.StepTime) {
	for ; p.shown < len(done); p.shown++ {
		fmt.Fprintf(p.w, "%-13s done  %7.2f s\n", done[p.shown].Step, done[p.shown].Seconds)
	}
}

var errRotationFailed = errors.New("the rotation failed")

func (p *stepLines) end(e Env, o *rotationOpts, st *sm.RotationStatus, ended *sm.OutcomeSummary) error {
	p.show(ended.Done)
	if o.json {
		if err := printJSON(e.Stdout, st); err != nil {
			return err
		}
	} else if ended.Result == sm.Succeeded {
		fmt.Fprintf(e.Stdout, "%s has rotated to version %s\n", st.Name, ended.Version)
	} else {
		printOutcome(e.Stderr, ended)
		if u := st.Running; u != nil && u.Due != nil {
			fmt.Fprintf(e.Stderr, "\nIt is tried again at %s.\n", shown(*u.Due))
		}
	}
	if ended.Result != sm.Succeeded {
		return fmt.Errorf("%w: the current value of %s is what it was", errRotationFailed, st.Name)
	}
	return nil
}
