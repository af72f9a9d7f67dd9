package iam

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/policy"
	"coffer/internal/session"
	"coffer/internal/table"
)

// usage is a service with some keys and a role, and a clock.
type usage struct {
	*second // its store and clock
	s       *Service
}

func newUsage(t *testing.T) *usage {
	u := &usage{second: newSecond(t)}
	u.restart()
	u.update(func(tx *table.Tx) error {
		for _, id := range []string{"AKIAONE", "AKIATWO"} {
			if err := AccessKeys.Put(tx, &AccessKey{ID: id, Account: "111122223333"}); err != nil {
				return err
			}
		}
		return Roles.Put(tx, &Role{ID: "AROAROLE", Account: "111122223333", Name: "r", Path: "/"})
	})
	return u
}

// restart forgets what is in memory.
func (u *usage) restart() {
	u.d = NewDirectory(DirectoryConfig{})
	u.s = New(Config{Directory: u.d})
}

func (u *usage) use(key, service, region string) {
	u.d.Used(&api.Principal{Caller: policy.Caller{Type: policy.IAMUser}, AccessKeyID: key}, service, region, u.now)
}

// flush runs the task as the scheduler does, and returns how many transactions it took.
func (u *usage) flush() (runs int) {
	u.t.Helper()
	for more := true; more; runs++ {
		r := &api.Request{Context: context.Background(), Time: u.now}
		u.update(func(tx *table.Tx) (err error) {
			r.TakeAfter()
			r.Tx = tx
			more, err = u.s.flushUses(r)
			return err
		})
		for _, f := range r.TakeAfter() {
			f()
		}
	}
	return runs
}

// last is the last use that is told of a key or role, and stored what its row says.
func (u *usage) last(id string) string {
	u.t.Helper()
	return u.view(func(tx *table.Tx) (*LastUse, error) { return u.d.lastUse(tx, id) })
}

func (u *usage) stored(id string) string {
	u.t.Helper()
	return u.view(func(tx *table.Tx) (*LastUse, error) { return LastUses.Get(tx, table.K(id)) })
}

func (u *usage) view(get func(*table.Tx) (*LastUse, error)) (text string) {
	u.t.Helper()
	err := u.db.View(context.Background(), func(tx *table.Tx) error {
		use, err := get(tx)
		if text = "never"; err == nil && use != nil {
			text = fmt.Sprint(use.At.Time().Format("15:04:05 "), use.Service, " ", use.Region)
		}
		if err == table.ErrNotFound {
			return nil
		}
		return err
	})
	if err != nil {
		u.t.Fatal(err)
	}
	return text
}

func TestLastUse(t *testing.T) {
	t.Parallel()
	u := newUsage(t)
	u.now = time.Date(2026, 1, 2, 10, 0, 30, 0, time.UTC)
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	check("unused", u.last("AKIAONE"), "never")
	u.use("AKIAONE", "kms", "eu-west-1")
	check("shown at once, to the minute", u.last("AKIAONE"), "10:00:00 kms eu-west-1")
	check("not written yet", u.stored("AKIAONE"), "never")
	u.flush()
	check("written", u.stored("AKIAONE"), "10:00:00 kms eu-west-1")
	u.pass(time.Minute)
	u.use("AKIAONE", "sts", "us-east-1")
	u.flush()
	check("shown", u.last("AKIAONE"), "10:01:00 sts us-east-1")
	check("not written so soon again", u.stored("AKIAONE"), "10:00:00 kms eu-west-1")
	u.pass(useEvery)
	u.flush()
	check("written in time", u.stored("AKIAONE"), "10:01:00 sts us-east-1")
	u.pass(useEvery)
	u.flush()
	if n := len(u.d.uses.of); n != 0 {
		t.Errorf("%d notes of what rests", n)
	}
	check("told from the row", u.last("AKIAONE"), "10:01:00 sts us-east-1")
	u.restart()
	check("after a restart", u.last("AKIAONE"), "10:01:00 sts us-east-1")
	check("another key", u.last("AKIATWO"), "never")

	// A clock that goes back does not make a use older.
	u.use("AKIATWO", "kms", "eu-west-1")
	u.now = u.now.Add(-time.Hour)
	u.use("AKIATWO", "sts", "us-east-1")
	check("the later one", u.last("AKIATWO"), "10:11:00 kms eu-west-1")
}

func TestUseOfSessions(t *testing.T) {
	t.Parallel()
	u := newUsage(t)
	for _, c := range []struct {
		kind policy.CallerType
		id   string
		want bool
	}{{policy.AssumedRole, "AROAROLE", true}, {policy.IAMUser, "AIDAX", false}, {policy.FederatedSession, "AIDAY", false}, {policy.Root, "111122223333", false}} {
		u.d.Used(&api.Principal{Caller: policy.Caller{Type: c.kind, ID: c.id}, AccessKeyID: "ASIA" + c.id, Session: new(session.Session)}, "kms", "eu-west-1", u.now)
		if got := u.last(c.id) != "never"; got != c.want {
			t.Errorf("session of type %d: use of the one behind it %v", c.kind, got)
		}
		if u.last("ASIA"+c.id) != "never" {
			t.Errorf("session of type %d: its key is noted", c.kind)
		}
	}
	role := func() (out string) {
		err := u.db.View(context.Background(), func(tx *table.Tx) error {
			l, err := u.d.roleLastUsed(&api.Request{Tx: tx, Time: u.now}, "AROAROLE")
			if out = "none"; err == nil && l.LastUsedDate != nil {
				out = *l.Region
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := role(); got != "eu-west-1" {
		t.Errorf("role: %s", got)
	}
	u.flush()
	if got := u.stored("AROAROLE"); got == "never" {
		t.Error("the role's use is not written")
	}
	u.pass(useTracked + time.Hour)
	if got := role(); got != "none" {
		t.Errorf("role after 400 days: %s", got)
	}
}

// What is deleted meanwhile stays deleted, and much is written in small transactions.
func TestFlushUses(t *testing.T) {
	t.Parallel()
	u := newUsage(t)
	const n = 3*useBatch - 5
	for from := 0; from < n; from += 20 {
		u.update(func(tx *table.Tx) error {
			for i := from; i < min(from+20, n); i++ {
				if err := AccessKeys.Put(tx, &AccessKey{ID: fmt.Sprintf("AKIA%03d", i), Account: "111122223333"}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for i := range n {
		u.use(fmt.Sprintf("AKIA%03d", i), "kms", "eu-west-1")
	}
	u.update(func(tx *table.Tx) error { return deleteKey(tx, "AKIA000") })
	if runs := u.flush(); runs != 3 {
		t.Errorf("%d transactions", runs)
	}
	for i := range n {
		id := fmt.Sprintf("AKIA%03d", i)
		if got := u.stored(id) != "never"; got != (i > 0) {
			t.Errorf("%s: written %v", id, got)
		}
	}
	if runs := u.flush(); runs != 1 {
		t.Errorf("%d transactions with nothing to do", runs)
	}
}

func TestUsesAreBounded(t *testing.T) {
	t.Parallel()
	u := newUsage(t)
	for i := range maxUses + 10 {
		u.use(fmt.Sprint("AKIA", i), "kms", "eu-west-1")
	}
	if n := len(u.d.uses.of); n != maxUses {
		t.Errorf("%d notes", n)
	}
}

func TestUsedConcurrently(t *testing.T) {
	t.Parallel()
	u := newUsage(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 1000 {
				at := u.now.Add(time.Duration(j) * time.Second)
				u.d.Used(&api.Principal{AccessKeyID: []string{"AKIAONE", "AKIATWO"}[j%2]}, []string{"kms", "sts"}[i%2], "eu-west-1", at)
				if j%100 == 0 {
					batch, _ := u.d.uses.due(at)
					u.d.uses.flushed(batch, at)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range []string{"AKIAONE", "AKIATWO"} {
		if got, want := u.d.uses.get(id).At, table.At(u.now.Add(999*time.Second).Truncate(useGrain)); got != want {
			t.Errorf("%s: last used %v, want %v", id, got.Time(), want.Time())
		}
	}
}

// The note of a use that says nothing new costs next to nothing.
func TestUsedAllocatesNothing(t *testing.T) {
	u := newUsage(t)
	p := &api.Principal{AccessKeyID: "AKIAONE"}
	if n := testing.AllocsPerRun(1000, func() { u.d.Used(p, "kms", "eu-west-1", u.now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkUsed(b *testing.B) {
	d := NewDirectory(DirectoryConfig{})
	now := time.Unix(1767225600, 0)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		p := &api.Principal{AccessKeyID: "AKIAONE"}
		for pb.Next() {
			d.Used(p, "kms", "eu-west-1", now)
		}
	})
}
