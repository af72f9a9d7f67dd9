package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
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

  coffer rotation list --failing         those that somebody has to look after
  coffer rotation status app/db          what happens, happened and will happen
  coffer rotation run app/db --wait      rotate now, and watch it step by step
`

type rotationOpts struct {
	*dirOpts
	account, region string
	wait, all       bool
}

func rotationFlags(fs *flag.FlagSet) *rotationOpts {
	o := &rotationOpts{dirOpts: dirOnly(fs).(*dirOpts)}
	fs.StringVar(&o.region, "region", "", "`REGION`; default: the server's")
	return o
}

func accountFlag(fs *flag.FlagSet, account *string) {
	fs.StringVar(account, "account", "", "account, `ID` or name; default: the first one")
}

var rotationStatusCommand = command{
	name: "rotation status", args: "SECRET", summary: "show how a secret's rotation stands",
	help: `
Shows a secret's schedule, its rotation under way, and how the last attempts ended: of the
newest which step failed, what the function said, its last log lines and what to do about
it; the others in a line each, unless --all wants them in full. SECRET is a name or an ARN.`,
	flags: func(fs *flag.FlagSet) any {
		o := rotationFlags(fs)
		accountFlag(fs, &o.account)
		fs.BoolVar(&o.all, "all", false, "show every attempt that is kept in full")
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
		printRotation(e.Stdout, st, o.all)
		return nil
	},
}

func rotationStatus(ctx context.Context, o *rotationOpts, secret string) (*sm.RotationStatus, error) {
	st, err := ask[sm.RotationStatus](ctx, o.dirOpts, http.MethodPost, "/rotation", server.RotationQuestion{Secret: secret, Account: o.account, Region: o.region})
	return &st, err
}

// printRotation prints a status: of the attempts that have ended the newest in full, or all.
func printRotation(w io.Writer, st *sm.RotationStatus, all bool) {
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
		what := "under way"
		if u.GaveUp > 0 {
			what = "given up"
		}
		row(what, "version %s, %s", u.Version, describeRun(st))
		if u.GaveUp > 0 && !st.Deleted {
			row("", "try it again now: %s rotation run %s", self(), quote(st.Name))
		}
	}
	tw.Flush()
	for i := range st.Ended {
		lines := shortLog
		if all {
			lines = math.MaxInt
		} else if i == 1 {
			fmt.Fprintln(w, "\nbefore that (--all shows them in full)")
		}
		if i > 0 && !all {
			fmt.Fprintf(w, "  %s\n", outcomeLine(&st.Ended[i]))
			continue
		}
		printOutcome(w, &st.Ended[i], lines)
	}
}

// shortLog is how many lines of a log are shown, the last ones.
const shortLog = 30

func shown(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// describeRun is how far a rotation is and what it waits for.
func describeRun(st *sm.RotationStatus) string {
	u := st.Running
	attempt := fmt.Sprintf("attempt %d of %d", u.Attempt, u.Attempts)
	at := fmt.Sprintf("%s, step %d of %d (%s)", attempt, u.Index, len(sm.Steps), u.Step)
	if u.Test {
		at = "testing the current value"
	}
	switch {
	case u.Working:
		return at + ": at work"
	case st.Deleted:
		return at + ": waits, as the secret is marked for deletion"
	case u.GaveUp > 0 && u.Due == nil:
		return fmt.Sprintf("after %s; it waits until RotateSecret is called", attempts(u.GaveUp))
	case u.GaveUp > 0:
		return fmt.Sprintf("after %s; tried again in the next window, at %s", attempts(u.GaveUp), shown(*u.Due))
	case u.Due == nil:
		return at + ": waits until RotateSecret is called"
	case u.Began == nil && !u.Test:
		return fmt.Sprintf("%s: tried again as a whole at %s, from %s", attempt, shown(*u.Due), sm.Steps[0])
	}
	return at + ": goes on at " + shown(*u.Due)
}

func attempts(n int) string { return count(n, "failed attempt") }

// outcomeLine tells in one line how an attempt ended.
func outcomeLine(o *sm.OutcomeSummary) string {
	s := headline(o)
	if o.Message != "" {
		s += ": " + oneLine(o.Message)
	}
	if r := []rune(s); len(r) > longestLine {
		s = string(r[:longestLine]) + "..."
	}
	return s
}

const longestLine = 140 // characters

func headline(o *sm.OutcomeSummary) string {
	what := "rotation"
	if o.Test {
		what = "test"
	}
	s := fmt.Sprintf("%s  %s %s", shown(o.Ended), what, o.Result)
	if o.Step != "" {
		s += " in " + o.Step
	}
	if !o.Test && (o.Attempt > 1 || o.Result == sm.Failed) {
		s += fmt.Sprintf(", attempt %d", o.Attempt)
	}
	return s
}

// printOutcome tells how an attempt ended, with the last lines of its log.
func printOutcome(w io.Writer, o *sm.OutcomeSummary, lines int) {
	fmt.Fprintf(w, "\n%s\n", headline(o))
	if o.Message != "" {
		fmt.Fprintf(w, "  said    %s\n", oneLine(o.Message))
	}
	if o.Advice != "" {
		fmt.Fprintf(w, "  advice  %s\n", oneLine(o.Advice))
	}
	if o.Log == "" {
		return
	}
	log := strings.Split(strings.TrimRight(o.Log, "\r\n"), "\n")
	fmt.Fprintln(w, "  log")
	if before := len(log) - lines; before > 0 {
		fmt.Fprintf(w, "    ... %s before these\n", count(before, "line"))
		log = log[before:]
	}
	for _, line := range log {
		fmt.Fprintf(w, "    %s\n", printable(strings.TrimRight(line, "\r")))
	}
}

// whatNext is what becomes of a rotation whose attempt has failed.
func whatNext(u *sm.RunStatus) string {
	switch {
	case u.Working:
		return fmt.Sprintf("is being tried again: attempt %d", u.Attempt)
	case u.GaveUp > 0 && u.Due == nil:
		return fmt.Sprintf("was given up after %s; this command tries it again", attempts(u.GaveUp))
	case u.GaveUp > 0:
		return fmt.Sprintf("was given up after %s; it is tried again in the next window, at %s", attempts(u.GaveUp), shown(*u.Due))
	case u.Due == nil:
		return "waits until RotateSecret is called"
	}
	return fmt.Sprintf("is tried again as a whole at %s, from %s", shown(*u.Due), sm.Steps[0])
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
	var before *sm.RotationStatus
	if o.wait || o.named() { // the two commands must mean one server
		if before, err = statusOf(ctx, o, secret); err != nil {
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
		if o.wait {
			tellWork(e.Stderr, before)
		}
	default:
		return awsError(err)
	}
	if !o.wait {
		if o.json {
			return printJSON(e.Stdout, map[string]string{"arn": secret, "version": version})
		}
		fmt.Fprintf(e.Stdout, "%s is rotating to version %s; see: %s\n", aws.ToString(described.Name), version, statusCommand(o, args[0], secret))
		return nil
	}
	return follow(ctx, e, o, secret, version, lastEnd(before))
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

// statusOf is rotationStatus of a secret named by its ARN.
func statusOf(ctx context.Context, o *rotationOpts, secret string) (*sm.RotationStatus, error) {
	if a, err := arn.Parse(secret); err == nil {
		o.account, o.region = a.Account, a.Region
	}
	return rotationStatus(ctx, o, secret)
}

// lastEnd is when the last attempt at a rotation ended. What is followed ends later: an
// attempt at the same version may have failed a moment ago.
func lastEnd(st *sm.RotationStatus) time.Time {
	if len(st.Ended) == 0 {
		return time.Time{}
	}
	return st.Ended[0].Ended
}

// tellWork tells of an attempt that had begun before a rotation was asked for. It may be at
// work with what the function, or the secret, was then.
func tellWork(w io.Writer, st *sm.RotationStatus) {
	if u := st.Running; u != nil && u.Working && u.Began != nil {
		fmt.Fprintf(w, "attempt %d is at work since %s; following it\n", u.Attempt, shown(*u.Began))
	}
}

// statusCommand is the command that shows the rotation of a secret that was named so, with
// the account and region that the server would not take for granted.
func statusCommand(o *rotationOpts, name, secret string) string {
	cmd := self() + " rotation status " + quote(name)
	a, err := arn.Parse(secret)
	if err != nil || arn.Is(name) {
		return cmd
	}
	dir, err := o.dir()
	if err != nil {
		return cmd
	}
	if cred, err := server.ReadJSON[server.Credentials](dir.Credentials()); err == nil && cred.Account != a.Account {
		cmd += " --account " + a.Account
	}
	if run, err := server.ReadJSON[server.Running](dir.Running()); err == nil && run.Region != a.Region {
		cmd += " --region " + a.Region
	}
	return cmd
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
			return fmt.Errorf("the rotation of %s to version %s ended without a result: it was cancelled; see: %s", st.Name, version, statusCommand(o, st.Name, st.ARN))
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
		printOutcome(e.Stderr, ended, shortLog)
		if u := st.Running; u != nil {
			fmt.Fprintf(e.Stderr, "\nIt %s.\n", whatNext(u))
		}
	}
	if ended.Result != sm.Succeeded {
		return fmt.Errorf("%w: the current value of %s is what it was", errRotationFailed, st.Name)
	}
	return nil
}
