package lambda_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/lambda"
	"coffer/internal/table"
)

// task runs one transaction of the service's own work.
func (w *world) task(run func(*api.Request) (bool, error)) (more bool) {
	w.Helper()
	r := w.aws("lambda.amazonaws.com", "").request(nil, nil)
	err := w.db.Update(context.Background(), func(tx *table.Tx) (err error) {
		r.Tx = tx
		more, err = run(r)
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return more
}

// sound checks the store as fsck does.
func (w *world) sound() {
	w.Helper()
	for _, finding := range w.check() {
		w.Errorf("fsck: %s", finding)
	}
}

// rows is how many records a collection has.
func rows[T any](w *world, c *table.Collection[T]) (n int) {
	w.Helper()
	err := w.db.View(context.Background(), func(tx *table.Tx) error {
		n = 0
		for _, err := range c.Scan(tx, table.Range{}) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) claim(owner string) (claimed []lambda.Queued) {
	w.Helper()
	w.task(func(r *api.Request) (_ bool, err error) {
		claimed, _, err = w.service.ClaimEvents(r, owner, 4, func(string) bool { return false }, "")
		return false, err
	})
	return claimed
}

// deliver gives a claimed event to its function and settles it, as package dispatch does.
func (w *world) deliver(q lambda.Queued) lambda.Outcome {
	w.Helper()
	o, _ := w.service.Deliver(w.aws("lambda.amazonaws.com", "").request(nil, nil), &q)
	w.task(func(r *api.Request) (bool, error) { return false, w.service.Settle(r, q.ID, o) })
	return o
}

func (c client) send(name string) {
	c.Helper()
	must(c, lambdaapi.Invoke, &lambdaapi.InvokeInput{FunctionName: &name, InvocationType: new(lambdaapi.InvocationTypeEvent), Payload: api.Sensitive(`{"n":1}`)})
}

// An event is tried three times if the function fails, a minute and two minutes apart.
func TestEventRetries(t *testing.T) {
	t.Parallel()
	fails := func(lambda.Event) (*lambda.Answer, error) { return &lambda.Answer{Failed: true}, nil }
	busy := func(lambda.Event) (*lambda.Answer, error) { return nil, lambda.ErrThrottled }
	for _, tc := range []struct {
		rule    string
		answer  func(lambda.Event) (*lambda.Answer, error)
		retries *int64
		age     *int64
		after   []time.Duration // between the tries
	}{
		{"a function that works", nil, nil, nil, []time.Duration{0}},
		{"one that fails", fails, nil, nil, []time.Duration{0, time.Minute, 2 * time.Minute}},
		{"fewer retries", fails, new(int64(1)), nil, []time.Duration{0, time.Minute}},
		{"none", fails, new(int64(0)), nil, []time.Duration{0}},
		{"a shorter time", fails, nil, new(int64(90)), []time.Duration{0, time.Minute}},
		{"one that is busy", busy, nil, new(int64(60)), []time.Duration{0, 1e9, 2e9, 4e9, 8e9, 16e9}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			r := &runner{then: tc.answer}
			w := newWorld(t, lambda.Config{Runner: r})
			c := w.root()
			c.function("f")
			if tc.retries != nil || tc.age != nil {
				must(c, lambdaapi.PutFunctionEventInvokeConfig, &lambdaapi.PutFunctionEventInvokeConfigInput{FunctionName: new("f"), MaximumRetryAttempts: tc.retries, MaximumEventAgeInSeconds: tc.age})
			}
			c.send("f")
			for i, d := range tc.after {
				if d > 0 {
					w.now = w.now.Add(d - time.Millisecond)
					if q := w.claim("me"); len(q) != 0 {
						t.Fatalf("try %d is due before %v", i, d)
					}
					w.now = w.now.Add(time.Millisecond)
				}
				q := w.claim("me")
				if len(q) != 1 {
					t.Fatalf("try %d is not due after %v", i, d)
				}
				if again := w.claim("other"); len(again) != 0 {
					t.Fatal("it was claimed twice")
				}
				w.deliver(q[0])
			}
			if n := rows(w, &lambda.Events); n != 0 {
				t.Errorf("%d events are left", n)
			}
			if len(r.runs) != len(tc.after) {
				t.Errorf("%d tries, want %d", len(r.runs), len(tc.after))
			}
			for _, ran := range r.runs {
				if ran.event.RequestID != r.runs[0].event.RequestID || string(ran.event.Payload) != `{"n":1}` {
					t.Errorf("it got %s in the request %s", ran.event.Payload, ran.event.RequestID)
				}
			}
			w.sound()
		})
	}
}

// What a process that died had claimed is delivered by the next.
func TestEventsOfTheDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lambda.Config{Runner: &runner{}})
	w.root().function("f")
	for range 6 {
		w.root().send("f")
	}
	if n := len(w.claim("dead")) + len(w.claim("dead")); n != 6 {
		t.Fatalf("%d were claimed", n)
	}
	for w.task(func(r *api.Request) (bool, error) { return w.service.ReleaseEvents(r, "next") }) {
	}
	n := 0
	for q := w.claim("next"); len(q) > 0; q = w.claim("next") {
		for i := range q {
			n++
			if o := w.deliver(q[i]); o != lambda.Delivered {
				t.Errorf("outcome %v", o)
			}
		}
	}
	if n != 6 || rows(w, &lambda.Events) != 0 {
		t.Errorf("%d were delivered", n)
	}
	w.sound()
}

// An event does not reach another function of the same name.
func TestEventOfADeletedFunction(t *testing.T) {
	t.Parallel()
	r := &runner{}
	w := newWorld(t, lambda.Config{Runner: r})
	w.root().function("f")
	w.root().send("f")
	must(w.root(), lambdaapi.DeleteFunction, &lambdaapi.DeleteFunctionInput{FunctionName: new("f")})
	w.root().function("f")
	if o := w.deliver(w.claim("me")[0]); o != lambda.Dropped || len(r.runs) != 0 {
		t.Errorf("outcome %v, %d runs", o, len(r.runs))
	}
	w.sound()
}

// A deleted function leaves nothing behind, and packages that nobody has stay an hour.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lambda.Config{})
	c := w.root()
	c.function("f")
	must(c, lambdaapi.PublishVersion, &lambdaapi.PublishVersionInput{FunctionName: new("f")})
	for i := range 8 {
		must(c, lambdaapi.UpdateFunctionCode, &lambdaapi.UpdateFunctionCodeInput{FunctionName: new("f"), ZipFile: archive(t, "f.py", fmt.Sprint(i)), Publish: new(true)})
		must(c, lambdaapi.CreateAlias, &lambdaapi.CreateAliasInput{FunctionName: new("f"), Name: new(fmt.Sprint("a", i)), FunctionVersion: new(fmt.Sprint(i + 1))})
		must(c, lambdaapi.PutFunctionEventInvokeConfig, &lambdaapi.PutFunctionEventInvokeConfigInput{FunctionName: new("f"), Qualifier: new(fmt.Sprint(i + 1)), MaximumRetryAttempts: new(int64(1))})
		in := allow("f", "s")
		in.Qualifier = new(fmt.Sprint(i + 1))
		must(c, lambdaapi.AddPermission, in)
	}
	w.sound()
	if n := rows(w, &lambda.Packages); n != 9 {
		t.Fatalf("%d packages", n)
	}
	refuse(c, lambdaapi.DeleteFunction, &lambdaapi.DeleteFunctionInput{FunctionName: new("f"), Qualifier: new("3")},
		"ResourceConflictException", "Unable to delete version because the following aliases reference it: [a2]")
	must(c, lambdaapi.DeleteFunction, &lambdaapi.DeleteFunctionInput{FunctionName: new("f")})
	c.function("f") // another one, before the first is tidied up
	w.sound()
	w.work("lambda.purge")
	w.sound()
	if n := rows(w, &lambda.Versions) + rows(w, &lambda.Aliases) + rows(w, &lambda.Policies) + rows(w, &lambda.EventConfigs) + rows(w, &lambda.Purges); n != 0 {
		t.Errorf("%d rows of the function are left", n)
	}
	w.now = w.now.Add(59 * time.Minute)
	w.work("lambda.packages")
	if n := rows(w, &lambda.Packages); n != 9 {
		t.Errorf("after 59 minutes there are %d packages", n)
	}
	w.now = w.now.Add(2 * time.Minute)
	w.work("lambda.packages")
	if n, m := rows(w, &lambda.Packages), rows(w, &lambda.Chunks); n != 1 || m != 1 {
		t.Errorf("after an hour there are %d packages with %d chunks, want that of the new function", n, m)
	}
	w.sound()
}

// Code counts for every version, packages once.
func TestCodeStorage(t *testing.T) {
	t.Parallel()
	size := int64(len(archive(t, "f.py", "f")))
	w := newWorld(t, lambda.Config{MaxCode: 2*size + size/2})
	c := w.root()
	c.function("f")
	must(c, lambdaapi.PublishVersion, &lambdaapi.PublishVersionInput{FunctionName: new("f")})
	must(c, lambdaapi.UpdateFunctionConfiguration, &lambdaapi.UpdateFunctionConfigurationInput{FunctionName: new("f"), Timeout: new(int64(9))})
	refuse(c, lambdaapi.PublishVersion, &lambdaapi.PublishVersionInput{FunctionName: new("f")}, "CodeStorageExceededException", "Code storage limit exceeded.")
	// An update takes the place of what it updates.
	must(c, lambdaapi.UpdateFunctionCode, &lambdaapi.UpdateFunctionCodeInput{FunctionName: new("f"), ZipFile: archive(t, "f.py", "g")})
	w.sound()
}
