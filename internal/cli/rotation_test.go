package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	sm "coffer/internal/secretsmanager"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// failedRotation is a secret of which four attempts have failed.
func failedRotation() *sm.RotationStatus {
	st := &sm.RotationStatus{ARN: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app-a1B2c3", Name: "app", Configured: true, Enabled: true, Function: "f"}
	var log strings.Builder
	for i := range 100 {
		fmt.Fprintf(&log, "line %d of it\n", i)
	}
	for n := 4; n > 0; n-- {
		st.Ended = append(st.Ended, sm.OutcomeSummary{Version: "v", Attempt: n, Ended: noon.Add(time.Duration(n) * time.Minute), Result: sm.Failed, Step: "setSecret",
			Message: "Error: " + strings.Repeat("long ", 100), Log: log.String(), Advice: "do this"})
	}
	return st
}

// The status is a page: the newest attempt with the end of its log, the others in a line each.
func TestStatusIsShort(t *testing.T) {
	t.Parallel()
	st := failedRotation()
	print := func(all bool) string {
		var b strings.Builder
		printRotation(&b, st, all)
		return b.String()
	}
	short := print(false)
	for _, want := range []string{
		"2026-01-02 12:04:00Z  rotation failed in setSecret, attempt 4\n  said ", "  advice  do this\n  log\n    ... 70 lines before these\n    line 70 of it\n", "    line 99 of it\n",
		"\n  2026-01-02 12:03:00Z  rotation failed in setSecret, attempt 3: Error: long ", "...\n  2026-01-02 12:02:00Z", "--all",
	} {
		if !strings.Contains(short, want) {
			t.Errorf("the status lacks %q", want)
		}
	}
	if n := strings.Count(short, "\n"); n > 50 || t.Failed() {
		t.Errorf("%d lines:\n%s", n, short)
	}
	if all := print(true); strings.Count(all, "line 0 of it") != 4 || strings.Count(all, "advice  do this") != 4 {
		t.Errorf("--all shows not all:\n%s", all)
	}
	st.Ended = st.Ended[:1]
	st.Ended[0].Test, st.Ended[0].Attempt, st.Ended[0].Step = true, 1, "testSecret"
	if got := print(false); !strings.Contains(got, "test failed in testSecret\n") {
		t.Errorf("a test shows as an attempt:\n%s", got)
	}
}

// What a rotation waits for, and what gets it going again.
func TestWhatARotationWaitsFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		run        sm.RunStatus
		want, next string
	}{
		{sm.RunStatus{Attempt: 2, Due: &noon}, "under way  version v, attempt 2 of 5: tried again as a whole at 2026-01-02 12:00:00Z, from createSecret\n",
			"is tried again as a whole at 2026-01-02 12:00:00Z, from createSecret"},
		{sm.RunStatus{Attempt: 2, Began: &noon, Due: &noon}, "under way  version v, attempt 2 of 5, step 1 of 4 (createSecret): goes on at 2026-01-02 12:00:00Z\n", ""},
		{sm.RunStatus{Attempt: 2, Began: &noon, Working: true}, "under way  version v, attempt 2 of 5, step 1 of 4 (createSecret): at work\n", "is being tried again: attempt 2"},
		{sm.RunStatus{Attempt: 1, GaveUp: 5}, "given up  version v, after 5 failed attempts; it waits until RotateSecret is called\n          try it again now: " + self() + " rotation run app\n",
			"was given up after 5 failed attempts; this command tries it again"},
		{sm.RunStatus{Attempt: 1, GaveUp: 1, Due: &noon}, "given up  version v, after 1 failed attempt; tried again in the next window, at 2026-01-02 12:00:00Z\n", "it is tried again in the next window, at 2026-01-02 12:00:00Z"},
		{sm.RunStatus{Attempt: 1, Test: true, Began: &noon, Working: true}, "testing the current value: at work\n", ""},
	} {
		tt.run.Version, tt.run.Step, tt.run.Index, tt.run.Attempts = "v", "createSecret", 1, 5
		st := failedRotation()
		st.Running = &tt.run
		var b strings.Builder
		printRotation(&b, st, false)
		// Columns are as wide as the widest.
		if got := strings.Join(strings.Fields(b.String()), " "); !strings.Contains(got, strings.Join(strings.Fields(tt.want), " ")) {
			t.Errorf("the status lacks %q:\n%s", tt.want, b.String())
		}
		if got := whatNext(&tt.run); !strings.Contains(got, tt.next) {
			t.Errorf("what is next: %q, want in it %q", got, tt.next)
		}
	}
}

// An attempt that had begun before is named: what it ran may be what has just been mended.
func TestFollowingAnAttemptAtWork(t *testing.T) {
	t.Parallel()
	st := failedRotation()
	var b strings.Builder
	tellWork(&b, st)
	st.Running = &sm.RunStatus{Attempt: 2, Due: &noon}
	tellWork(&b, st)
	st.Running = &sm.RunStatus{Attempt: 3, Began: &noon, Working: true}
	tellWork(&b, st)
	if got, want := b.String(), "attempt 3 is at work since 2026-01-02 12:00:00Z; following it\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A list of rotations is a table.
func TestPrintRotations(t *testing.T) {
	t.Parallel()
	summary := func(name, account string, state sm.RotationState, change func(*sm.RotationSummary)) sm.RotationSummary {
		s := sm.RotationSummary{ARN: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:" + name, Name: name, Enabled: true, State: state, Step: "setSecret", Next: &noon,
			Function: "arn:aws:lambda:eu-west-1:" + account + ":function:Rotator"}
		if change != nil {
			change(&s)
		}
		return s
	}
	var b strings.Builder
	err := printRotations(&b, []sm.RotationSummary{
		summary("given-up", "111122223333", sm.GivenUp, func(s *sm.RotationSummary) { s.Next = nil }),
		summary("again", "111122223333", sm.Retrying, nil),
		summary("tested", "111122223333", sm.Failed, func(s *sm.RotationSummary) { s.Test, s.Step = true, "testSecret" }),
		summary("off", "111122223333", sm.Succeeded, func(s *sm.RotationSummary) { s.Enabled = false }),
		summary("x", "444455556666", sm.UnderWay, nil),
	})
	const want = `SECRET    FUNCTION                                                NEXT                  LAST
given-up  Rotator                                                 when asked for        failed setSecret, given up
again     Rotator                                                 2026-01-02 12:00:00Z  failed setSecret, being tried again
tested    Rotator                                                 2026-01-02 12:00:00Z  test failed testSecret
off       Rotator                                                 off                   succeeded
x         arn:aws:lambda:eu-west-1:444455556666:function:Rotator  2026-01-02 12:00:00Z  under way
`
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, &b)
	}
}
