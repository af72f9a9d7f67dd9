package secretsmanager_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
	"coffer/internal/schedule"
	"coffer/internal/secretsmanager"
	"coffer/internal/table"
)

const functionARN = "arn:aws:lambda:" + region + ":" + account + ":function:rotate"

// function is what Lambda knows of one, and what it does for a step.
type function struct {
	refusesCaller, refusesService bool
	run                           func(step string, u secretsmanager.Run) error
}

// invoke is Lambda's Invoke as RotateSecret uses it: to ask whether it could.
func (w *world) invoke() api.Bound {
	w.functions = map[string]*function{functionARN: {}}
	resolve := func(*api.Request, *lambdaapi.InvokeInput) (struct{}, api.Access, error) {
		return struct{}{}, api.Access{Action: "lambda:InvokeFunction", Open: true}, nil
	}
	return api.Bind(lambdaapi.Invoke, resolve, func(r *api.Request, in *lambdaapi.InvokeInput, _ struct{}) (*lambdaapi.InvokeOutput, error) {
		f := w.functions[*in.FunctionName]
		switch service := r.Source != ""; {
		case *in.InvocationType != lambdaapi.InvocationTypeDryRun:
			return nil, errors.New("RotateSecret invoked a function in its transaction")
		case service && !strings.HasPrefix(r.Source, "arn:aws:secretsmanager:"+region+":"+account+":secret:"):
			return nil, fmt.Errorf("invoked for %q", r.Source)
		case f == nil:
			return nil, lambdaapi.ResourceNotFoundException("Function not found: " + *in.FunctionName)
		case f.refusesService && service, f.refusesCaller && !service:
			return nil, api.AccessDeniedException("not you")
		}
		return &lambdaapi.InvokeOutput{}, nil
	})
}

// transact runs work of the rotation worker in a transaction, twice if it can be.
func transact[T any](w *world, f func(r *api.Request) (T, error)) (out T) {
	w.t.Helper()
	r := &api.Request{Context: context.Background(), Time: w.time(), Caller: gate{w}}
	run := func(tx *table.Tx) (err error) {
		r.Tx = tx
		r.TakeAfter()
		r.TakeEvents()
		out, err = f(r)
		return err
	}
	w.db.Update(r.Context, func(tx *table.Tx) error { run(tx); return errAbort })
	if err := w.db.Update(r.Context, run); err != nil {
		w.t.Fatal(err)
	}
	w.commit(r)
	for _, f := range r.TakeAfter() {
		f()
	}
	return out
}

// claim takes what is due, as the worker does.
func (w *world) claim() []secretsmanager.Run {
	w.t.Helper()
	for transact(w, w.service.StartRotations) {
	}
	for transact(w, w.service.HurryRuns) {
	}
	free := func(*secretsmanager.Run) bool { return false }
	return transact(w, func(r *api.Request) ([]secretsmanager.Run, error) {
		claimed, _, err := w.service.ClaimRuns(r, "me", 100, free, "")
		return claimed, err
	})
}

// report takes in what became of a step.
func (w *world) report(u secretsmanager.Run, failure error) *secretsmanager.Run {
	w.t.Helper()
	result := secretsmanager.StepResult{Log: "START\n"}
	if failure != nil {
		result.Failed, result.Message = true, failure.Error()
	}
	return transact(w, func(r *api.Request) (*secretsmanager.Run, error) {
		next, failed, err := w.service.ReportRun(r, u, result)
		if failed != nil && next != nil {
			w.t.Errorf("failed and goes on: %+v", failed)
		}
		return next, err
	})
}

// rotate does all that is due now, and returns the steps that were invoked.
func (w *world) rotate() (steps []string) {
	w.t.Helper()
	for _, u := range w.claim() {
		for next := &u; next != nil; {
			f := w.functions[next.Function]
			steps = append(steps, next.StepName())
			var err error
			if f.run != nil {
				err = f.run(next.StepName(), *next)
			}
			next = w.report(*next, err)
		}
	}
	return steps
}

// works is a function that does what AWS's templates do to the secret.
func (c caller) works(u secretsmanager.Run, step string) error {
	switch step {
	case "createSecret":
		if _, err := c.get(u.ARN, u.Version, "AWSPENDING"); err == nil {
			return nil
		}
		_, err := call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{
			SecretId: &u.ARN, ClientRequestToken: &u.Version, SecretString: api.Sensitive("new of " + u.Version),
			VersionStages: []string{"AWSPENDING"}, RotationToken: api.Sensitive(u.Token),
		})
		return err
	case "finishSecret":
		in := &smapi.UpdateSecretVersionStageInput{SecretId: &u.ARN, VersionStage: new("AWSCURRENT"), MoveToVersionId: &u.Version}
		for id, stages := range c.describe(u.ARN).VersionIdsToStages {
			if slices.Contains(stages, "AWSCURRENT") {
				if id == u.Version {
					return nil
				}
				in.RemoveFromVersionId = &id
			}
		}
		_, err := call(c, smapi.UpdateSecretVersionStage, in)
		return err
	}
	return nil
}

// rotating is a secret s with a function that works.
func rotating(t testing.TB, change func(*smapi.RotateSecretInput)) (caller, *function) {
	t.Helper()
	c := newWorld(t).root()
	c.create("s", "1")
	f := c.functions[functionARN]
	f.run = func(step string, u secretsmanager.Run) error { return c.works(u, step) }
	if change != nil {
		c.mustRotate(change)
	}
	return c, f
}

func (c caller) startRotate(change func(*smapi.RotateSecretInput)) (*smapi.RotateSecretOutput, error) {
	in := &smapi.RotateSecretInput{SecretId: new("s"), ClientRequestToken: token("r1"), RotationLambdaARN: new(functionARN)}
	if change != nil {
		change(in)
	}
	return call(c, smapi.RotateSecret, in)
}

func (c caller) mustRotate(change func(*smapi.RotateSecretInput)) *smapi.RotateSecretOutput {
	c.t.Helper()
	out, err := c.startRotate(change)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

func everyDay(in *smapi.RotateSecretInput) {
	in.RotationRules = &smapi.RotationRulesType{AutomaticallyAfterDays: new(int64(1))}
}

func (c caller) takeEvents() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := strings.Join(c.events, " ")
	c.events = nil
	return s
}

func (c caller) expect(what, got, want string) {
	c.t.Helper()
	if got != want {
		c.t.Errorf("%s\ngot  %s\nwant %s", what, got, want)
	}
}

func TestRotation(t *testing.T) {
	c, _ := rotating(t, nil)
	out := c.mustRotate(everyDay)
	if *out.VersionId != *token("r1") || *out.Name != "s" || *out.ARN != *c.describe("s").ARN {
		t.Errorf("RotateSecret answered %+v", out)
	}
	// The version is there before the function is invoked, and has no value.
	c.expect("reserved", c.labels("s"), "r1[AWSPENDING] v1[AWSCURRENT]")
	_, err := c.get("s", "r1", "AWSPENDING")
	wantFault[struct{}](t, nil, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: "+*token("r1"))
	if d := c.describe("s"); !*d.RotationEnabled || *d.RotationLambdaARN != functionARN || d.LastRotatedDate != nil {
		t.Errorf("DescribeSecret shows %+v", d)
	}
	c.expect("event", c.takeEvents(), "RotationStarted")

	c.pass(time.Second)
	c.expect("steps", strings.Join(c.rotate(), " "), "createSecret setSecret testSecret finishSecret")
	c.expect("labels", c.labels("s"), "r1[AWSCURRENT] v1[AWSPREVIOUS]")
	c.expect("events", c.takeEvents(), "RotationSucceeded")
	d := c.describe("s")
	if d.LastRotatedDate == nil || !d.LastRotatedDate.Equal(c.time().Truncate(time.Second)) && !d.LastRotatedDate.Equal(c.time()) {
		t.Errorf("LastRotatedDate %v at %v", d.LastRotatedDate, c.time())
	}
	if want := time.Date(2026, 1, 3, 23, 59, 59, 0, time.UTC); d.NextRotationDate == nil || !d.NextRotationDate.Equal(want) {
		t.Errorf("NextRotationDate %v, want %v", d.NextRotationDate, want)
	}
	if len(c.rotate()) != 0 {
		t.Error("rotated again at once")
	}

	// The next day it rotates by itself, inside the window and once.
	c.pass(21 * time.Hour) // 00:04 of the next day
	n := 0
	for range 23 {
		n += len(c.rotate())
		c.pass(time.Hour)
	}
	if n != 4 {
		t.Errorf("%d steps on the next day", n)
	}
}

// The checks of spec §5.11 in their order; after each the secret is what it was.
func TestRotateSecretRefused(t *testing.T) {
	const notInvocable = "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com."
	both := func(in *smapi.RotateSecretInput) {
		in.RotationRules = &smapi.RotationRulesType{AutomaticallyAfterDays: new(int64(1)), ScheduleExpression: new("rate(1 day)")}
	}
	for _, tt := range []struct {
		name       string
		given      func(caller)
		change     func(*smapi.RotateSecretInput)
		code, text string
	}{
		{"no token", nil, func(in *smapi.RotateSecretInput) { in.ClientRequestToken = nil },
			"InvalidParameterException", "You must provide a ClientRequestToken value. We recommend a UUID-type value."},
		{"two schedules, before the function is missed", nil, func(in *smapi.RotateSecretInput) { both(in); in.RotationLambdaARN = nil },
			"InvalidParameterException", "You cannot specify both rotation frequency and schedule expression together."},
		{"no function", nil, func(in *smapi.RotateSecretInput) { in.RotationLambdaARN = nil },
			"InvalidRequestException", "No Lambda rotation function ARN is associated with this secret."},
		{"something is pending, before the function is asked", func(c caller) { c.put("s", "v2", "2", "AWSPENDING") },
			func(in *smapi.RotateSecretInput) { in.RotationLambdaARN = new(functionARN + "-not") },
			"InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted."},
		{"no such function, before the schedule is read", nil, func(in *smapi.RotateSecretInput) {
			in.RotationLambdaARN, in.RotationRules = new(functionARN+"-not"), &smapi.RotationRulesType{ScheduleExpression: new("rate(1 hour)")}
		}, "AccessDeniedException", notInvocable},
		{"a function elsewhere", nil, func(in *smapi.RotateSecretInput) {
			in.RotationLambdaARN = new(strings.Replace(functionARN, region, "us-east-1", 1))
		}, "AccessDeniedException", notInvocable},
		{"no permission of the function", func(c caller) { c.functions[functionARN].refusesService = true }, nil, "AccessDeniedException", notInvocable},
		{"no permission of the caller", func(c caller) { c.functions[functionARN].refusesCaller = true }, nil, "AccessDeniedException", notInvocable},
		{"too often", nil, func(in *smapi.RotateSecretInput) {
			in.RotationRules = &smapi.RotationRulesType{ScheduleExpression: new("rate(3 hours)")}
		}, "InvalidParameterException", scheduleText("rate(3 hours)")},
		{"a managed external secret", nil, func(in *smapi.RotateSecretInput) {
			in.ExternalSecretRotationRoleArn = new("arn:aws:iam::" + account + ":role/rotates")
		}, "InvalidParameterException", "Managed external secrets aren't supported here."},
		{"a version that exists", nil, func(in *smapi.RotateSecretInput) { in.ClientRequestToken = token("v1") },
			"InvalidRequestException", "You can't use ClientRequestToken " + *token("v1") + " because that value is already in use for a version of secret "},
		{"marked for deletion", func(c caller) {
			if _, err := c.delete("s", 7, nil); err != nil {
				t.Fatal(err)
			}
		}, nil, "InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := rotating(t, nil)
			if tt.given != nil {
				tt.given(c)
			}
			before := c.describe("s")
			out, err := c.startRotate(tt.change)
			text := tt.text
			if strings.HasSuffix(text, "secret ") {
				text += *before.ARN + "."
			}
			wantFault(t, out, err, tt.code, text)
			if after := c.describe("s"); after.RotationEnabled != nil || after.RotationRules != nil || after.RotationLambdaARN != nil || len(after.VersionIdsToStages) != len(before.VersionIdsToStages) {
				t.Errorf("stored %+v", after)
			}
			if steps := c.rotate(); len(steps) > 0 {
				t.Errorf("invoked %v", steps)
			}
		})
	}
}

func TestRotateSecretRepeated(t *testing.T) {
	c, _ := rotating(t, everyDay)
	if out := c.mustRotate(everyDay); *out.VersionId != *token("r1") {
		t.Errorf("repeated, it answers %+v", out)
	}
	out, err := c.startRotate(func(in *smapi.RotateSecretInput) { in.ClientRequestToken = token("r2") })
	wantFault(t, out, err, "InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted.")
	c.rotate()
	c.mustRotate(func(in *smapi.RotateSecretInput) { in.ClientRequestToken = token("r2") })
	c.rotate()
	c.expect("labels", c.labels("s"), "r1[AWSPREVIOUS] r2[AWSCURRENT] v1[]")
}

// Rules that are not sent stay; another schedule replaces the old one and its window.
func TestRotationRules(t *testing.T) {
	c, _ := rotating(t, nil)
	rules := func() string {
		r := c.describe("s").RotationRules
		if r == nil {
			return "none"
		}
		s := ""
		if r.AutomaticallyAfterDays != nil {
			s += fmt.Sprintf("days=%d ", *r.AutomaticallyAfterDays)
		}
		if r.ScheduleExpression != nil {
			s += "expression=" + *r.ScheduleExpression + " "
		}
		if r.Duration != nil {
			s += "duration=" + *r.Duration
		}
		return strings.TrimSpace(s)
	}
	for i, tt := range []struct {
		rules *smapi.RotationRulesType
		want  string // after a rotation
		next  string
	}{
		{nil, "none", ""},
		{&smapi.RotationRulesType{AutomaticallyAfterDays: new(int64(30))}, "days=30", "2026-02-01T23:59:59Z"},
		{nil, "days=30", "2026-02-01T23:59:59Z"},
		{&smapi.RotationRulesType{Duration: new("3h")}, "days=30 duration=3h", "2026-02-01T02:59:59Z"},
		{&smapi.RotationRulesType{ScheduleExpression: new("cron(0 16 1,15 * ? *)"), Duration: new("2h")}, "days=13 expression=cron(0 16 1,15 * ? *) duration=2h", "2026-01-15T17:59:59Z"},
		{&smapi.RotationRulesType{AutomaticallyAfterDays: new(int64(7))}, "days=7", "2026-01-09T23:59:59Z"},
	} {
		c.mustRotate(func(in *smapi.RotateSecretInput) {
			in.ClientRequestToken, in.RotationRules = token(fmt.Sprint("r", i)), tt.rules
			if i > 0 {
				in.RotationLambdaARN = nil
			}
		})
		if steps := c.rotate(); len(steps) != 4 {
			t.Fatalf("steps %v", steps)
		}
		c.expect(fmt.Sprint("rules ", i), rules(), tt.want)
		next := ""
		if n := c.describe("s").NextRotationDate; n != nil {
			next = n.Format(time.RFC3339)
		}
		c.expect(fmt.Sprint("next ", i), next, tt.next)
	}
}

// A function that fails is tried again with the same version, later each time, and
// then in the next window. The old value stays current throughout.
func TestRotationFails(t *testing.T) {
	for _, step := range secretsmanager.Steps {
		t.Run(step, func(t *testing.T) {
			c, f := rotating(t, nil)
			ok := f.run
			f.run = func(s string, u secretsmanager.Run) error {
				if s == step {
					return errors.New("no such host")
				}
				return ok(s, u)
			}
			c.mustRotate(everyDay)
			c.takeEvents()
			n := slices.Index(secretsmanager.Steps[:], step) + 1
			for _, wait := range []time.Duration{0, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute} {
				if wait > 0 {
					c.pass(wait - time.Millisecond)
					if steps := c.rotate(); len(steps) > 0 {
						t.Fatalf("tried again before %v: %v", wait, steps)
					}
					c.pass(time.Millisecond)
				}
				c.expect("before the last attempt", c.takeEvents(), "")
				if steps := c.rotate(); len(steps) != n {
					t.Fatalf("after %v: steps %v", wait, steps)
				}
				c.expect("labels", c.labels("s"), "r1[AWSPENDING] v1[AWSCURRENT]")
			}
			c.expect("after the last attempt", c.takeEvents(), "RotationFailed")
			if u := c.status("s").Running; u.GaveUp != 5 || u.Due == nil || u.Began != nil {
				t.Errorf("given up, it shows as %+v", u)
			}
			c.expect("next", c.describe("s").NextRotationDate.Format(time.RFC3339), "2026-01-03T23:59:59Z")

			c.pass(8 * time.Hour)
			if steps := c.rotate(); len(steps) > 0 {
				t.Fatalf("tried again before the window: %v", steps)
			}
			// In the next window the same version is tried, and in that one it works.
			f.run = ok
			for range 48 {
				c.pass(time.Hour)
				if len(c.rotate()) > 0 {
					break
				}
			}
			c.expect("labels", c.labels("s"), "r1[AWSCURRENT] v1[AWSPREVIOUS]")
			c.expect("events", c.takeEvents(), "RotationSucceeded")
		})
	}
}

// The back-off does not leave the window.
func TestRetriesEndWithTheWindow(t *testing.T) {
	c, f := rotating(t, nil)
	ok := f.run
	c.mustRotate(func(in *smapi.RotateSecretInput) {
		in.RotationRules = &smapi.RotationRulesType{ScheduleExpression: new("cron(0 4 * * ? *)"), Duration: new("1h")}
	})
	c.rotate()
	c.takeEvents()
	f.run = func(string, secretsmanager.Run) error { return errors.New("down") }
	c.pass(56 * time.Minute) // 04:00:06
	attempts := 0
	for c.time().Before(time.Date(2026, 1, 2, 6, 0, 0, 0, time.UTC)) {
		attempts += len(c.rotate())
		c.pass(30 * time.Second)
	}
	if attempts < 1 || attempts > 5 {
		t.Errorf("%d attempts", attempts)
	}
	c.expect("events", c.takeEvents(), "RotationStarted RotationFailed")
	f.run = ok
	c.pass(23 * time.Hour)
	c.rotate()
	c.expect("the next day", c.takeEvents(), "RotationSucceeded")
}

// A bare name is a function beside the secret, for everybody who is asked about it. ARNs
// that leave the account out mean nothing.
func TestRotateSecretNamesTheFunctionInFull(t *testing.T) {
	c := newWorld(t).root()
	c.create("s", "1")
	c.mustRotate(func(in *smapi.RotateSecretInput) { in.RotationLambdaARN = new("rotate") })
	c.expect("function", *c.describe("s").RotationLambdaARN, functionARN)
	for _, short := range []string{"arn:aws:lambda:" + region + ":function:rotate", "arn:aws:lambda:" + region + ":function:function:rotate", "arn:aws:lambda:" + region + "::function:rotate"} {
		c := newWorld(t).root()
		c.create("s", "1")
		c.functions[short] = &function{}
		if _, err := c.startRotate(func(in *smapi.RotateSecretInput) { in.RotationLambdaARN = &short }); fault.Code(err) != "AccessDeniedException" {
			t.Errorf("%s: %v", short, err)
		}
	}
}

// Who may not invoke the function cannot have an unfinished rotation tried again at once.
func TestRotateSecretHurriesForThoseWhoMayInvoke(t *testing.T) {
	c, f := rotating(t, nil)
	f.run = func(string, secretsmanager.Run) error { return errors.New("no") }
	c.mustRotate(nil)
	c.expect("fails", strings.Join(c.rotate(), " "), "createSecret")
	again := func() {
		out, err := c.startRotate(func(in *smapi.RotateSecretInput) { in.ClientRequestToken = token("r2") })
		wantFault(t, out, err, "InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted.")
	}
	f.refusesCaller = true
	again()
	c.expect("for others", strings.Join(c.rotate(), " "), "")
	f.refusesCaller = false
	again()
	c.expect("for those", strings.Join(c.rotate(), " "), "createSecret")
}

// RotateSecret on an unfinished rotation refuses, and has it tried again at once.
func TestRefusalHurries(t *testing.T) {
	c, f := rotating(t, nil)
	ok := f.run
	f.run = func(string, secretsmanager.Run) error { return errors.New("down") }
	c.mustRotate(nil)
	for range 20 {
		c.rotate()
		c.pass(time.Minute)
	}
	f.run = ok
	if steps := c.rotate(); len(steps) > 0 {
		t.Fatalf("without a schedule nothing tries again, but: %v", steps)
	}
	out, err := c.startRotate(func(in *smapi.RotateSecretInput) { in.ClientRequestToken = token("r2") })
	wantFault(t, out, err, "InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted.")
	c.rotate()
	c.expect("labels", c.labels("s"), "r1[AWSCURRENT] v1[AWSPREVIOUS]")
}

// A function that calls RotateSecret for the secret that it rotates is refused in each step,
// after AWSCURRENT has moved as well, and is not invoked again before its time: neither
// for ever, nor with another version.
func TestFunctionThatRotatesItself(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("fails ", fails), func(t *testing.T) {
			c, f := rotating(t, nil)
			n := 0
			f.run = func(step string, u secretsmanager.Run) error {
				if err := c.works(u, step); err != nil {
					return err
				}
				for _, change := range []func(*smapi.RotateSecretInput){func(*smapi.RotateSecretInput) {}, later} {
					n++
					out, err := c.startRotate(func(in *smapi.RotateSecretInput) { in.ClientRequestToken = token(fmt.Sprint("x", n)); change(in) })
					wantFault(t, out, err, "InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted.")
				}
				if fails && step == "finishSecret" {
					return errors.New("refused")
				}
				return nil
			}
			c.mustRotate(nil)
			c.expect("steps", strings.Join(c.rotate(), " "), "createSecret setSecret testSecret finishSecret")
			c.expect("steps at once", strings.Join(c.rotate(), " "), "")
			if !fails {
				c.expect("labels", c.labels("s"), "r1[AWSCURRENT] v1[AWSPREVIOUS]")
				c.expect("events", c.takeEvents(), "RotationStarted RotationSucceeded")
				return
			}
			c.pass(time.Minute)
			c.expect("steps after a minute", strings.Join(c.rotate(), " "), "createSecret setSecret testSecret finishSecret")
			c.expect("labels", c.labels("s"), "r1[AWSCURRENT,AWSPENDING] v1[AWSPREVIOUS]")
			c.expect("events", c.takeEvents(), "RotationStarted")
		})
	}
}

// Who rotates after a function has failed behind the move of AWSCURRENT gets another rotation;
// the first is complete, and recorded.
func TestRotateSecretCompletesWhatIsCurrent(t *testing.T) {
	for _, tt := range []struct {
		change func(*smapi.RotateSecretInput)
		labels string
		events string
	}{
		{nil, "r1[AWSPREVIOUS] r2[AWSCURRENT] v1[]", "RotationStarted RotationSucceeded RotationStarted RotationSucceeded"},
		{later, "r1[AWSCURRENT] v1[AWSPREVIOUS]", "RotationStarted RotationSucceeded TestRotationStarted TestRotationSucceeded"},
	} {
		c, f := rotating(t, nil)
		f.run = func(step string, u secretsmanager.Run) error {
			if err := c.works(u, step); err != nil || step != "finishSecret" {
				return err
			}
			return errors.New("what comes behind it")
		}
		c.mustRotate(nil)
		c.rotate()
		c.expect("labels", c.labels("s"), "r1[AWSCURRENT,AWSPENDING] v1[AWSPREVIOUS]")
		f.run = func(step string, u secretsmanager.Run) error { return c.works(u, step) }
		c.mustRotate(func(in *smapi.RotateSecretInput) {
			in.ClientRequestToken = token("r2")
			if tt.change != nil {
				tt.change(in)
			}
		})
		c.rotate()
		c.expect("labels", c.labels("s"), tt.labels)
		c.expect("events", c.takeEvents(), tt.events)
	}
}

func later(in *smapi.RotateSecretInput) { everyDay(in); in.RotateImmediately = new(false) }

// With RotateImmediately=false the function tests a copy of the current value.
func TestRotateLater(t *testing.T) {
	for _, tt := range []struct {
		name, events string
		fail         error
	}{
		{"succeeds", "TestRotationStarted TestRotationSucceeded", nil},
		{"fails", "TestRotationStarted TestRotationFailed", errors.New("cannot log in")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, f := rotating(t, nil)
			f.run = func(step string, u secretsmanager.Run) error {
				if v, err := c.get("s", u.Version, "AWSPENDING"); err != nil || v != "1" {
					t.Errorf("the version under test: %v", err)
				}
				return tt.fail
			}
			if out := c.mustRotate(later); out.VersionId != nil {
				t.Errorf("VersionId %s", *out.VersionId)
			}
			c.expect("steps", strings.Join(c.rotate(), " "), "testSecret")
			c.expect("labels", c.labels("s"), "v1[AWSCURRENT]")
			c.expect("events", c.takeEvents(), tt.events)
			d := c.describe("s")
			if d.LastRotatedDate != nil || !*d.RotationEnabled {
				t.Errorf("DescribeSecret shows %+v", d)
			}
			c.expect("next", d.NextRotationDate.Format(time.RFC3339), "2026-01-03T23:59:59Z")
		})
	}
	t.Run("a secret without a value", func(t *testing.T) {
		c := newWorld(t).root()
		c.create("s", "")
		c.mustRotate(later)
		c.expect("steps", strings.Join(c.rotate(), " "), "")
	})
	t.Run("a new value meanwhile", func(t *testing.T) {
		c, f := rotating(t, nil)
		f.run = func(string, secretsmanager.Run) error { c.put("s", "v2", "2"); return nil }
		c.mustRotate(later)
		c.rotate()
		// PutSecretValue takes AWSPENDING from wherever it is.
		c.expect("events", c.takeEvents(), "TestRotationStarted TestRotationFailed")
		c.expect("labels", c.labels("s")[strings.Index(c.labels("s"), "v1"):], "v1[AWSPREVIOUS] v2[AWSCURRENT]")
	})
}

// Who else writes a current value, or takes AWSPENDING away, ends the rotation.
func TestRotationAbandoned(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(c caller) error
		want string
	}{
		{"PutSecretValue", func(c caller) error { c.put("s", "v2", "2"); return nil }, "r1[] v1[AWSPREVIOUS] v2[AWSCURRENT]"},
		{"UpdateSecret", func(c caller) error {
			_, err := call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: new("s"), ClientRequestToken: token("v2"), SecretString: api.Sensitive("2")})
			return err
		}, "r1[] v1[AWSPREVIOUS] v2[AWSCURRENT]"},
		{"AWSPENDING taken away", func(c caller) error { _, err := c.stage("AWSPENDING", "r1", ""); return err }, "r1[] v1[AWSCURRENT]"},
		{"AWSPENDING put elsewhere", func(c caller) error { c.put("s", "v2", "2", "AWSPENDING"); return nil }, "r1[] v1[AWSCURRENT] v2[AWSPENDING]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, f := rotating(t, everyDay)
			c.takeEvents()
			f.run = func(step string, u secretsmanager.Run) error {
				if step == "setSecret" {
					return tt.do(c)
				}
				return c.works(u, step)
			}
			c.expect("steps", strings.Join(c.rotate(), " "), "createSecret setSecret")
			c.expect("labels", c.labels("s"), tt.want)
			c.expect("events", c.takeEvents(), "RotationAbandoned")
			if list, _ := c.rotations(true); len(list) != 1 || list[0].State != secretsmanager.Abandoned && list[0].State != secretsmanager.Blocked {
				t.Errorf("those that fail: %+v", list)
			}
			c.pass(10 * time.Minute)
			if steps := c.rotate(); len(steps) > 0 {
				t.Errorf("it went on: %v", steps)
			}
		})
	}
	t.Run("another label changes nothing", func(t *testing.T) {
		c, f := rotating(t, everyDay)
		f.run = func(step string, u secretsmanager.Run) error {
			if step == "setSecret" {
				c.put("s", "v2", "2", "mine")
			}
			return c.works(u, step)
		}
		c.rotate()
		c.expect("labels", c.labels("s"), "r1[AWSCURRENT] v1[AWSPREVIOUS] v2[mine]")
	})
}

// The copy that a test is of goes with the test: it is not in the way of the next rotation.
func TestCancelTest(t *testing.T) {
	c, _ := rotating(t, later)
	if _, err := call(c, smapi.CancelRotateSecret, &smapi.CancelRotateSecretInput{SecretId: new("s")}); err != nil {
		t.Fatal(err)
	}
	c.expect("labels", c.labels("s"), "v1[AWSCURRENT]")
	c.mustRotate(everyDay)
	c.rotate()
	c.expect("rotated", c.labels("s"), "r1[AWSCURRENT] v1[AWSPREVIOUS]")
}

func TestCancelRotateSecret(t *testing.T) {
	c, f := rotating(t, nil)
	cancel := func() (*smapi.CancelRotateSecretOutput, error) {
		return call(c, smapi.CancelRotateSecret, &smapi.CancelRotateSecretInput{SecretId: new("s")})
	}
	out, err := cancel()
	wantFault(t, out, err, "InvalidRequestException", "You can't cancel the rotation of a secret for which rotation was never configured.")

	f.run = func(string, secretsmanager.Run) error { return errors.New("down") }
	c.mustRotate(everyDay)
	c.rotate()
	if out, err = cancel(); err != nil || out.VersionId == nil || *out.VersionId != *token("r1") {
		t.Errorf("cancelled a rotation under way: %+v, %v", out, err)
	}
	c.pass(72 * time.Hour)
	if steps := c.rotate(); len(steps) > 0 {
		t.Errorf("it went on: %v", steps)
	}
	c.expect("labels", c.labels("s"), "r1[AWSPENDING] v1[AWSCURRENT]")
	d := c.describe("s")
	if *d.RotationEnabled || d.NextRotationDate != nil || *d.RotationLambdaARN != functionARN || *d.RotationRules.AutomaticallyAfterDays != 1 {
		t.Errorf("DescribeSecret shows %+v", d)
	}
	if out, err = cancel(); err != nil || out.VersionId != nil {
		t.Errorf("cancelled again: %+v, %v", out, err)
	}
	// Taking the label away makes it possible to rotate again.
	if _, err := c.stage("AWSPENDING", "r1", ""); err != nil {
		t.Fatal(err)
	}
	f.run = func(step string, u secretsmanager.Run) error { return c.works(u, step) }
	c.mustRotate(func(in *smapi.RotateSecretInput) { in.ClientRequestToken, in.RotationLambdaARN = token("r2"), nil })
	c.rotate()
	c.expect("labels", c.labels("s"), "r2[AWSCURRENT] v1[AWSPREVIOUS]")
}

// A report of a step that somebody cancelled meanwhile changes nothing.
func TestLateReport(t *testing.T) {
	c, _ := rotating(t, everyDay)
	u := c.claim()[0]
	if _, err := call(c, smapi.CancelRotateSecret, &smapi.CancelRotateSecretInput{SecretId: new("s")}); err != nil {
		t.Fatal(err)
	}
	if next := c.report(u, nil); next != nil {
		t.Errorf("it goes on with %s", next.StepName())
	}
	c.expect("labels", c.labels("s"), "r1[AWSPENDING] v1[AWSCURRENT]")
}

// A secret marked for deletion waits, and goes on when it is restored.
func TestRotationOfDeletedSecret(t *testing.T) {
	c, _ := rotating(t, everyDay)
	u := c.claim()[0]
	if _, err := c.delete("s", 7, nil); err != nil {
		t.Fatal(err)
	}
	if next := c.report(u, nil); next != nil {
		t.Errorf("it goes on with %s", next.StepName())
	}
	c.pass(48 * time.Hour)
	if steps := c.rotate(); len(steps) > 0 {
		t.Fatalf("steps %v", steps)
	}
	if _, err := call(c, smapi.RestoreSecret, &smapi.RestoreSecretInput{SecretId: new("s")}); err != nil {
		t.Fatal(err)
	}
	if steps := c.rotate(); len(steps) != 4 {
		t.Errorf("restored, steps %v", steps)
	}
	c.expect("labels", c.labels("s"), "r1[AWSCURRENT] v1[AWSPREVIOUS]")
	if _, err := c.delete("s", 0, new(true)); err != nil {
		t.Fatal(err)
	}
	c.work("secretsmanager.purge")
}

func TestRotationToken(t *testing.T) {
	c, _ := rotating(t, everyDay)
	u := c.claim()[0]
	put := func(token string) error {
		_, err := call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{
			SecretId: new("s"), ClientRequestToken: &u.Version, SecretString: api.Sensitive("2"), VersionStages: []string{"AWSPENDING"}, RotationToken: api.Sensitive(token)})
		return err
	}
	wantFault[struct{}](t, nil, put(api.NewID()), "InvalidRequestException", "The RotationToken value isn't valid for the rotation of this secret.")
	if err := put(u.Token); err != nil {
		t.Error(err)
	}
	if err := put(u.Token); err != nil {
		t.Errorf("repeated: %v", err)
	}
}

// A change by hand moves the next date (spec §6).
func TestValueByHandMovesTheDate(t *testing.T) {
	c, _ := rotating(t, func(in *smapi.RotateSecretInput) {
		in.RotationRules = &smapi.RotationRulesType{AutomaticallyAfterDays: new(int64(30))}
	})
	c.rotate()
	c.pass(5 * 24 * time.Hour)
	c.put("s", "v2", "2")
	c.expect("next", c.describe("s").NextRotationDate.Format(time.RFC3339), "2026-02-06T23:59:59Z")
}

// A window in which no process ran is missed, and said to be.
func TestMissedWindow(t *testing.T) {
	c, _ := rotating(t, func(in *smapi.RotateSecretInput) {
		in.RotationRules = &smapi.RotationRulesType{ScheduleExpression: new("cron(0 4 1 * ? *)"), Duration: new("2h")}
	})
	c.rotate()
	c.pass(60 * 24 * time.Hour)
	if steps := c.rotate(); len(steps) > 0 {
		t.Errorf("outside its window: %v", steps)
	}
	c.expect("history", c.history(), "missed succeeded")
	c.expect("next", c.describe("s").NextRotationDate.Format(time.RFC3339), "2026-04-01T05:59:59Z")
}

func (c caller) status(secret string) (out *secretsmanager.RotationStatus) {
	c.t.Helper()
	err := c.db.View(context.Background(), func(tx *table.Tx) (err error) {
		out, err = secretsmanager.StatusOf(tx, account, region, secret)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// A function that does nothing fails in the last step, which is then not among those that were
// done; the status says whether there was anything to make current.
func TestFunctionThatDoesNothing(t *testing.T) {
	for _, tt := range []struct{ skips, said string }{
		{"", "the version has no value: createSecret did not store one"},
		{"finishSecret", "the function finished without moving AWSCURRENT to the new version"},
	} {
		c, f := rotating(t, nil)
		f.run = func(step string, u secretsmanager.Run) error {
			if tt.skips == "" || step == tt.skips {
				return nil
			}
			return c.works(u, step)
		}
		c.mustRotate(nil)
		c.rotate()
		last := c.status("s").Ended[0]
		c.expect("what it said", last.Message, tt.said)
		c.expect("step", last.Step, "finishSecret")
		if n := len(last.Done); n != 3 {
			t.Errorf("%d steps are said to be done: %+v", n, last.Done)
		}
	}
}

// Asked for again, what was given up is under way.
func TestGivenUpIsTriedAgain(t *testing.T) {
	c, f := rotating(t, nil)
	f.run = func(string, secretsmanager.Run) error { return errors.New("down") }
	c.mustRotate(nil)
	for range 5 {
		c.rotate()
		c.pass(10 * time.Minute)
	}
	if u := c.status("s").Running; u.GaveUp != 5 || u.Due != nil {
		t.Errorf("given up, it shows as %+v", u)
	}
	if _, err := c.startRotate(nil); err != nil { // the token that it has
		t.Fatal(err)
	}
	if _, err := c.startRotate(func(in *smapi.RotateSecretInput) { in.ClientRequestToken = token("r2") }); err == nil {
		t.Fatal("another rotation began")
	}
	c.claim()
	if u := c.status("s").Running; u.GaveUp != 0 || !u.Working || u.Began == nil || u.Attempt != 1 {
		t.Errorf("tried again, it shows as %+v", u)
	}
}

func (c caller) history() string {
	c.t.Helper()
	var results []string
	err := c.db.View(context.Background(), func(tx *table.Tx) error {
		for e, err := range secretsmanager.Histories.Scan(tx, table.Range{}) {
			if err != nil {
				return err
			}
			for _, o := range e.Value.Ended {
				results = append(results, o.Result)
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.Join(results, " ")
}

// A process that is killed leaves a rotation where it stood: another goes on with the
// same version and token, whatever the step.
func TestRotationSurvivesItsProcess(t *testing.T) {
	for at, step := range secretsmanager.Steps {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s done=%v", step, done), func(t *testing.T) {
				c, _ := rotating(t, everyDay)
				u := &c.claim()[0]
				for range at {
					if err := c.works(*u, u.StepName()); err != nil {
						t.Fatal(err)
					}
					u = c.report(*u, nil)
				}
				if done {
					if err := c.works(*u, u.StepName()); err != nil {
						t.Fatal(err)
					}
				}
				// Killed here. Nobody else takes it until it is released.
				if again := c.claim(); len(again) > 0 {
					t.Fatalf("two have it: %v", again)
				}
				for transact(c.world, func(r *api.Request) (bool, error) { return c.service.ReleaseRuns(r, "another") }) {
				}
				again := c.claim()
				if len(again) != 1 || again[0].Version != u.Version || again[0].Token != u.Token || again[0].Step != at {
					t.Fatalf("released: %v", again)
				}
				for next := &again[0]; next != nil; {
					if err := c.works(*next, next.StepName()); err != nil {
						t.Fatal(err)
					}
					next = c.report(*next, nil)
				}
				c.expect("labels", c.labels("s"), "r1[AWSCURRENT] v1[AWSPREVIOUS]")
			})
		}
	}
}

// Whatever users do around rotations, and whenever steps fail, the rows agree (newWorld
// checks them at the end), AWSCURRENT has a value, and nothing is invoked twice at once.
func TestRotationsAmongWrites(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		c, f := rotating(t, everyDay)
		c.twice = false
		var n int
		act := func() {
			n++
			id := fmt.Sprint("t", n)
			switch rnd.IntN(9) {
			case 0:
				c.startRotate(func(in *smapi.RotateSecretInput) { in.ClientRequestToken = token(id) })
			case 1:
				c.startRotate(func(in *smapi.RotateSecretInput) {
					in.ClientRequestToken, in.RotateImmediately = token(id), new(false)
				})
			case 2:
				call(c, smapi.CancelRotateSecret, &smapi.CancelRotateSecretInput{SecretId: new("s")})
			case 3:
				call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{SecretId: new("s"), ClientRequestToken: token(id), SecretString: api.Sensitive(id)})
			case 4:
				call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{SecretId: new("s"), ClientRequestToken: token(id), SecretString: api.Sensitive(id), VersionStages: []string{"AWSPENDING"}})
			case 5:
				for v, stages := range c.describe("s").VersionIdsToStages {
					if slices.Contains(stages, "AWSPENDING") {
						call(c, smapi.UpdateSecretVersionStage, &smapi.UpdateSecretVersionStageInput{SecretId: new("s"), VersionStage: new("AWSPENDING"), RemoveFromVersionId: &v})
					}
				}
			case 6:
				c.delete("s", 7, nil)
			case 7:
				call(c, smapi.RestoreSecret, &smapi.RestoreSecretInput{SecretId: new("s")})
			case 8:
				c.pass(time.Duration(rnd.IntN(86400)) * time.Second)
			}
		}
		f.run = func(step string, u secretsmanager.Run) error {
			if rnd.IntN(4) == 0 {
				act()
			}
			if rnd.IntN(3) == 0 {
				return errors.New("down")
			}
			return c.works(u, step)
		}
		for range 60 {
			act()
			if rnd.IntN(3) == 0 {
				c.rotate()
			}
			for _, problem := range c.problems() {
				t.Fatalf("seed %d: %s", seed, problem)
			}
		}
	}
}

// scheduleText is what package schedule says of a bad expression.
func scheduleText(expression string) string {
	_, err := schedule.Parse(schedule.Rules{ScheduleExpression: expression})
	return err.Error()
}

// A secret whose labels leave no room for AWSPENDING is its owner's trouble: the rotations of
// others, which begin in the same transaction, begin all the same.
func TestRotationWithoutRoomForItsLabel(t *testing.T) {
	c, _ := rotating(t, later)
	c.rotate()
	var stages []string
	for i := range 19 {
		stages = append(stages, fmt.Sprintf("l%d", i))
	}
	c.put("s", "v2", "2", stages...)
	c.create("other", "1")
	c.mustRotate(func(in *smapi.RotateSecretInput) { later(in); in.SecretId = new("other") })
	c.rotate()
	c.takeEvents()

	next := *c.describe("s").NextRotationDate
	c.pass(next.Sub(c.time()))
	c.expect("steps", strings.Join(c.rotate(), " "), strings.Join(secretsmanager.Steps[:], " "))
	events := strings.Fields(c.takeEvents()) // of the two in either order
	slices.Sort(events)
	c.expect("events", strings.Join(events, " "), "RotationFailed RotationStarted RotationSucceeded")
	if after := *c.describe("s").NextRotationDate; !after.After(next) {
		t.Errorf("it is tried again on %v", after)
	}
	results := strings.Fields(c.history())
	slices.Sort(results)
	c.expect("history", strings.Join(results, " "), "failed succeeded succeeded succeeded")
}
