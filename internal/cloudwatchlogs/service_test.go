package cloudwatchlogs_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coffer/internal/api"
	logsapi "coffer/internal/api/logs"
	"coffer/internal/cloudwatchlogs"
	"coffer/internal/coffertest/check"
	"coffer/internal/envelope"
	"coffer/internal/fault"
	"coffer/internal/iam/iamtest"
	"coffer/internal/kv"
	"coffer/internal/kv/memory"
	"coffer/internal/scheduler"
	"coffer/internal/table"
)

const account = "111122223333"

// store is a service over a store in memory. When the test ends, Check must find nothing.
type store struct {
	t       testing.TB
	db      *table.DB
	service *cloudwatchlogs.Service
	bound   map[*api.Operation]*api.Bound
	now     func() time.Time
}

func newStore(t testing.TB, cfg cloudwatchlogs.Config) *store {
	t.Helper()
	return newStoreOn(t, memory.New(), cfg)
}

func newStoreOn(t testing.TB, rows kv.Store, cfg cloudwatchlogs.Config) *store {
	t.Helper()
	sealer, err := envelope.NewSealer(envelope.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	s := &store{
		t: t, db: table.New(table.Config{Store: rows, Sealer: sealer}), service: cloudwatchlogs.New(cfg),
		bound: map[*api.Operation]*api.Bound{}, now: time.Now,
	}
	for _, b := range s.service.Operations() {
		s.bound[b.Op] = &b
	}
	t.Cleanup(func() {
		for _, problem := range s.problems() {
			t.Errorf("check: %s", problem)
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *store) problems() (found []string) {
	err := s.db.View(ctx, func(tx *table.Tx) error {
		found = nil
		return cloudwatchlogs.Check(ctx, tx, func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) })
	})
	if err != nil {
		found = append(found, err.Error())
	}
	return found
}

func (s *store) request() *api.Request {
	return &api.Request{
		Context: ctx, ID: api.NewID(), Time: table.At(s.now()).Time(), Principal: iamtest.Root(account, region), Account: account, Region: region,
		Directory: directory, Read: iamtest.Reader(s.db),
	}
}

// RunTask implements cloudwatchlogs.Tasker and what the scheduler needs. Like the store, it may run a task twice.
func (s *store) RunTask(ctx context.Context, t *api.Task) (more bool, err error) {
	r := s.request()
	run := func(tx *table.Tx) error {
		r.Tx = tx
		more, err = t.Run(r)
		return err
	}
	if err := s.db.Update(ctx, func(tx *table.Tx) error { return errors.Join(run(tx), errAgain) }); !errors.Is(err, errAgain) {
		return false, err
	}
	return more, s.db.Update(ctx, run)
}

var errAgain = errors.New("run again")

var directory = iamtest.NewDirectory()

// call sends a request to an operation as the root of the account.
func call[I, O any](s *store, op api.Op[I, O], in *I) (*O, error) {
	r := s.request()
	r.Op, r.Input = op.Operation, any(in).(api.Struct)
	if err := logsapi.Service.Validate(r.Input); err != nil {
		return nil, err
	}
	var out api.Struct
	run := func(tx *table.Tx) (err error) {
		r.Tx = tx
		out, err = s.bound[op.Operation].Run(r, r.Input, directory.Decider(r))
		return err
	}
	within := s.db.View
	if op.Mode == api.Write {
		within = s.db.Update
	}
	if err := within(ctx, run); err != nil {
		return nil, err
	}
	return any(out).(*O), nil
}

func (s *store) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *store) ingest(group, stream string, events ...cloudwatchlogs.Event) error {
	_, err := s.RunTask(ctx, &api.Task{Run: func(r *api.Request) (bool, error) {
		return false, s.service.Ingest(r, account, region, group, stream, events)
	}})
	return err
}

func (s *store) filtered(in logsapi.FilterLogEventsInput) (all []string) {
	s.t.Helper()
	for {
		out, err := call(s, logsapi.FilterLogEvents, &in)
		s.must(err)
		for i := range out.Events {
			all = append(all, string(out.Events[i].Message))
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return all
		}
	}
}

// rows counts the rows of all collections.
func (s *store) rows() (n int) {
	s.t.Helper()
	s.must(s.db.View(ctx, func(tx *table.Tx) error {
		return errors.Join(count(tx, &cloudwatchlogs.Chunks, &n), count(tx, &cloudwatchlogs.Streams, &n), count(tx, &cloudwatchlogs.Sizes, &n),
			count(tx, &cloudwatchlogs.Purges, &n), count(tx, &cloudwatchlogs.Groups, &n), count(tx, &cloudwatchlogs.Expiries, &n))
	}))
	return n
}

func count[T any](tx *table.Tx, c *table.Collection[T], n *int) error {
	for _, err := range c.Scan(tx, table.Range{}) {
		if err != nil {
			return err
		}
		*n++
	}
	return nil
}

func logged(at time.Time, message string) cloudwatchlogs.Event {
	return cloudwatchlogs.Event{Time: table.At(at), Message: api.Sensitive(message)}
}

// TestOnceInOrder: what was put is got, once and in order, in pages of any size and either
// direction, whatever the spans of batches, and with little work for each call.
func TestOnceInOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		s := newStore(t, cloudwatchlogs.Config{Work: 1 + int(seed%3)*200_000})
		rnd := rand.New(rand.NewPCG(seed, 1))
		start := time.Now().Add(-30 * hour)
		type put struct {
			at      int64
			n       int // of the call
			i       int
			message string
		}
		streams := map[string][]put{}
		for n := range 60 {
			name := fmt.Sprint("s", rnd.IntN(3))
			// From bursts to what covers a day, mostly later and later, and sometimes late.
			from := start.Add(time.Duration(n) * time.Second)
			if rnd.IntN(4) == 0 {
				from = start.Add(-time.Duration(rnd.IntN(3_600_000)) * time.Millisecond)
			}
			width := []int64{1, 50, 5_000, 1_000_000, 86_000_000}[rnd.IntN(5)]
			var events []cloudwatchlogs.Event
			for i := range 1 + rnd.IntN(12) {
				e := logged(from.Add(time.Duration(rnd.Int64N(width))*time.Millisecond), fmt.Sprint(name, "/", n, "/", i, strings.Repeat("·", rnd.IntN(20_000))))
				events = append(events, e)
			}
			slices.SortStableFunc(events, func(a, b cloudwatchlogs.Event) int { return cmp.Compare(a.Time, b.Time) })
			for i, e := range events {
				streams[name] = append(streams[name], put{int64(e.Time), n, i, string(e.Message)})
			}
			s.must(s.ingest("g", name, events...))
		}
		var everything []string
		for name, puts := range streams {
			slices.SortFunc(puts, func(a, b put) int {
				return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.n, b.n), cmp.Compare(a.i, b.i))
			})
			want := make([]string, len(puts))
			for i, p := range puts {
				want[i] = p.message
			}
			everything = append(everything, want...)
			limit := int64(1 + rnd.IntN(40))
			for _, head := range []bool{true, false} {
				if got := s.walk("g", name, head, limit); !slices.Equal(got, want) {
					t.Fatalf("seed %d, stream %s, from head %v, pages of %d: %d events, want %d", seed, name, head, limit, len(got), len(want))
				}
			}
			if got := s.filtered(logsapi.FilterLogEventsInput{LogGroupName: new("g"), LogStreamNames: []string{name}, Limit: &limit}); !slices.Equal(got, want) {
				t.Fatalf("seed %d, stream %s, filtered: %d events, want %d", seed, name, len(got), len(want))
			}
			from, to := puts[len(puts)/4].at, puts[3*len(puts)/4].at
			ranged := slices.DeleteFunc(slices.Clone(puts), func(p put) bool { return p.at < from || p.at > to })
			got := s.filtered(logsapi.FilterLogEventsInput{LogGroupName: new("g"), LogStreamNames: []string{name}, StartTime: &from, EndTime: &to})
			if len(got) != len(ranged) || got[0] != ranged[0].message || got[len(got)-1] != ranged[len(ranged)-1].message {
				t.Fatalf("seed %d, stream %s, range: %d events, want %d", seed, name, len(got), len(ranged))
			}
		}
		got := s.filtered(logsapi.FilterLogEventsInput{LogGroupName: new("g"), Limit: new(int64(7))})
		slices.Sort(got)
		slices.Sort(everything)
		if !slices.Equal(got, everything) {
			t.Fatalf("seed %d: %d events of the group, want %d", seed, len(got), len(everything))
		}
	}
}

// walk gets all events of a stream, page by page from the head or from the tail.
func (s *store) walk(group, stream string, head bool, limit int64) (all []string) {
	s.t.Helper()
	in := logsapi.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, StartFromHead: &head, Limit: &limit}
	for {
		out, err := call(s, logsapi.GetLogEvents, &in)
		s.must(err)
		var page []string
		for i := range out.Events {
			page = append(page, string(out.Events[i].Message))
		}
		next := out.NextForwardToken
		if head {
			all = append(all, page...)
		} else {
			all, next = append(page, all...), out.NextBackwardToken
		}
		if in.NextToken != nil && *next == *in.NextToken {
			return all
		}
		in.NextToken = next
	}
}

// TestConcurrentWriters: writers of one group do not lose each other's events.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	s := newStore(t, cloudwatchlogs.Config{})
	w := cloudwatchlogs.NewWriter(s.service, s, 2)
	var all sync.WaitGroup
	for n := range 6 {
		all.Go(func() {
			for i := range 20 {
				if _, err := w.Write(ctx, account, region, "g", fmt.Sprint("s", n%3), []cloudwatchlogs.Event{logged(time.Now(), fmt.Sprint(n, "/", i))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	got := s.filtered(logsapi.FilterLogEventsInput{LogGroupName: new("g"), Limit: new(int64(11))})
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != 120 {
		t.Errorf("%d events, want 120", n)
	}
}

func TestIngestLimits(t *testing.T) {
	t.Parallel()
	s := newStore(t, cloudwatchlogs.Config{})
	now := time.Now()
	many := make([]cloudwatchlogs.Event, cloudwatchlogs.MaxIngestEvents+1)
	for i := range many {
		many[i] = logged(now, "x")
	}
	large := logged(now, strings.Repeat("x", cloudwatchlogs.MaxIngestBytes/2-26))
	larger := logged(now, strings.Repeat("x", cloudwatchlogs.MaxIngestBytes/2-25))
	span := time.Duration(cloudwatchlogs.MaxIngestSpan) * time.Millisecond
	for _, c := range []struct {
		name   string
		events []cloudwatchlogs.Event
		ok     bool
	}{
		{"none", nil, true},
		{"as many as may be", many[1:], true},
		{"more", many, false},
		{"as large as may be", []cloudwatchlogs.Event{large, large}, true},
		{"larger", []cloudwatchlogs.Event{large, larger}, false},
		{"as long as may be", []cloudwatchlogs.Event{logged(now, "b"), logged(now.Add(-span), "a")}, true},
		{"longer", []cloudwatchlogs.Event{logged(now, "b"), logged(now.Add(-span-time.Millisecond), "a")}, false},
		{"before 1970", []cloudwatchlogs.Event{{Time: -1, Message: api.Sensitive("x")}}, false},
	} {
		if err := s.ingest("limits", "s", c.events...); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// What is not text is made text, and nothing is left out but what is empty; ancient is fine.
	s.must(s.ingest("g", "s", logged(now, "b\xff"), logged(now, ""), logged(now, "c"), logged(now.Add(-hour), "a")))
	s.must(s.ingest("g", "s", logged(now.Add(-1000*day), "ancient")))
	if got := fmt.Sprint(s.walk("g", "s", true, 100)); got != "[ancient a b? c]" {
		t.Error(got)
	}
	if got := fmt.Sprintf("%v %+v %s", many[0], many[:1], many[0]); strings.Contains(got, "x") {
		t.Errorf("an event prints its message: %s", got)
	}
}

// failing runs as many tasks as it has left.
type failing struct {
	*store
	left int
}

func (f *failing) RunTask(ctx context.Context, t *api.Task) (bool, error) {
	if f.left--; f.left < 0 {
		return false, io.ErrUnexpectedEOF
	}
	return f.store.RunTask(ctx, t)
}

// TestWriter: any number of events is stored in parts, and what failed is told.
func TestWriter(t *testing.T) {
	t.Parallel()
	s := newStore(t, cloudwatchlogs.Config{})
	now := time.Now()
	var events []cloudwatchlogs.Event
	for i := range 25_000 {
		events = append(events, logged(now.Add(time.Duration(i)*time.Millisecond), fmt.Sprint(i)))
	}
	events = append(events, logged(now.Add(3*day), strings.Repeat("y", 1<<20-26)), logged(now.Add(3*day), "\xff"))
	f := &failing{s, 2}
	w := cloudwatchlogs.NewWriter(s.service, f, 1)
	put, err := w.Write(ctx, account, region, "g", "s", events)
	if put != 20_000 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("%d put, %v", put, err)
	}
	f.left = 100
	if more, err := w.Write(ctx, account, region, "g", "s", events[put:]); put+more != len(events) || err != nil {
		t.Fatalf("%d put, %v", more, err)
	}
	got := s.walk("g", "s", true, 10_000)
	if len(got) != len(events) || got[24_999] != "24999" || got[25_001] != "?" {
		t.Errorf("%d events", len(got))
	}
}

// blocked waits for its context.
type blocked struct{ under chan struct{} }

func (b blocked) RunTask(ctx context.Context, _ *api.Task) (bool, error) {
	b.under <- struct{}{}
	<-ctx.Done()
	return false, ctx.Err()
}

// TestWriterWaits: beyond its slots a writer waits, as long as its context.
func TestWriterWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := blocked{make(chan struct{}, 10)}
		w := cloudwatchlogs.NewWriter(cloudwatchlogs.New(cloudwatchlogs.Config{}), b, 2)
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if put, err := w.Write(limited, account, region, "g", "s", []cloudwatchlogs.Event{logged(time.Now(), "x")}); put != 0 || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%d, %v", put, err)
				}
			})
		}
		synctest.Wait()
		if n := len(b.under); n != 2 {
			t.Errorf("%d under way, want 2", n)
		}
		all.Wait()
	})
}

// TestTasks: retention and deletion, as time goes by.
func TestTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, cloudwatchlogs.Config{})
		tasks, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			scheduler.New(s.service.Tasks(), s, slog.New(slog.DiscardHandler), prometheus.NewRegistry()).Run(tasks)
			close(done)
		}()
		defer func() { cancel(); <-done }()

		for i := range 100 { // in chunks of their own
			s.must(s.ingest("kept", "s", logged(time.Now(), fmt.Sprint("k", i))))
			s.must(s.ingest("short", fmt.Sprint("s", i%20), logged(time.Now(), fmt.Sprint("e", i))))
		}
		_, err := call(s, logsapi.PutRetentionPolicy, &logsapi.PutRetentionPolicyInput{LogGroupName: new("short"), RetentionInDays: new(int64(1))})
		s.must(err)
		visible := func(group string) int {
			return len(s.filtered(logsapi.FilterLogEventsInput{LogGroupName: &group}))
		}
		held := func(group string) int64 {
			out, err := call(s, logsapi.DescribeLogGroups, &logsapi.DescribeLogGroupsInput{LogGroupNamePrefix: &group})
			s.must(err)
			return *out.LogGroups[0].StoredBytes
		}
		time.Sleep(day - time.Second)
		s.must(s.ingest("short", "s0", logged(time.Now(), "young")))
		check.Equal(t, "a second before", visible("short"), 101)
		time.Sleep(2 * time.Second)
		// Out of sight at once, removed a little later.
		check.Equal(t, "expired", visible("short"), 1)
		check.Equal(t, "the first that is left", *s.stream("short", "s0").FirstEventTimestamp, time.Now().Add(-2*time.Second).UnixMilli())
		if first := s.stream("short", "s1").FirstEventTimestamp; first != nil {
			t.Errorf("a stream whose events are gone begins at %d", *first)
		}
		time.Sleep(2*hour + time.Minute)
		check.Equal(t, "removed", held("short"), 5+26)
		check.Equal(t, "of the other group", visible("kept"), 100)

		_, err = call(s, logsapi.DeleteLogGroup, &logsapi.DeleteLogGroupInput{LogGroupName: new("short")})
		s.must(err)
		_, err = call(s, logsapi.DeleteLogStream, &logsapi.DeleteLogStreamInput{LogGroupName: new("kept"), LogStreamName: new("s")})
		s.must(err)
		check.Equal(t, "deleted", visible("kept"), 0)
		time.Sleep(2 * time.Minute)
		check.Equal(t, "bytes of a deleted stream", held("kept"), 0)
		_, err = call(s, logsapi.DeleteLogGroup, &logsapi.DeleteLogGroupInput{LogGroupName: new("kept")})
		s.must(err)
		time.Sleep(2 * time.Minute)
		check.Equal(t, "rows left", s.rows(), 0)
	})
}

func (s *store) stream(group, name string) logsapi.LogStream {
	s.t.Helper()
	out, err := call(s, logsapi.DescribeLogStreams, &logsapi.DescribeLogStreamsInput{LogGroupName: &group, LogStreamNamePrefix: &name})
	s.must(err)
	return out.LogStreams[0]
}

// FuzzTokens: a token that nobody gave is refused, or shows what is there.
func FuzzTokens(f *testing.F) {
	s := newStore(f, cloudwatchlogs.Config{})
	s.must(s.ingest("g", "s", logged(time.Now(), "a"), logged(time.Now(), "b")))
	get, err := call(s, logsapi.GetLogEvents, &logsapi.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s")})
	s.must(err)
	filter, err := call(s, logsapi.FilterLogEvents, &logsapi.FilterLogEventsInput{LogGroupName: new("g"), Limit: new(int64(1))})
	s.must(err)
	for _, token := range []string{*get.NextForwardToken, *get.NextBackwardToken, *filter.NextToken, "f/", "b/AQ", "", "f/" + *filter.NextToken} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		limit := new(int64(1))
		for _, err := range []error{
			outcomeOf(call(s, logsapi.GetLogEvents, &logsapi.GetLogEventsInput{LogGroupName: new("g"), LogStreamName: new("s"), NextToken: &token})),
			outcomeOf(call(s, logsapi.FilterLogEvents, &logsapi.FilterLogEventsInput{LogGroupName: new("g"), NextToken: &token})),
			outcomeOf(call(s, logsapi.DescribeLogGroups, &logsapi.DescribeLogGroupsInput{NextToken: &token, Limit: limit})),
			outcomeOf(call(s, logsapi.DescribeLogStreams, &logsapi.DescribeLogStreamsInput{LogGroupName: new("g"), NextToken: &token, Limit: limit})),
			outcomeOf(call(s, logsapi.DescribeLogStreams, &logsapi.DescribeLogStreamsInput{LogGroupName: new("g"), NextToken: &token, OrderBy: new("LastEventTime")})),
		} {
			if fe, ok := fault.As(err); err != nil && (!ok || fe.Code != "InvalidParameterException") {
				t.Errorf("%q: %v", token, err)
			}
		}
	})
}

func outcomeOf[O any](_ *O, err error) error { return err }
