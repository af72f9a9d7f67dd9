package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// scaleOptions say how the large store is measured.
type scaleOptions struct {
	n, small, conns, value int
	rounds                 int
	slot, walk             time.Duration
	data                   string
}

func (o *scaleOptions) flags(fs *flag.FlagSet) {
	fs.IntVar(&o.n, "n", 1_000_000, "secrets")
	fs.IntVar(&o.small, "small", 1000, "secrets of the set that all are compared with")
	fs.IntVar(&o.conns, "conns", 32, "connections")
	fs.IntVar(&o.value, "value", 200, "bytes of a secret value")
	fs.IntVar(&o.rounds, "rounds", 5, "rounds of reads and restarts")
	fs.DurationVar(&o.slot, "slot", 3*time.Second, "how long each set is read in one round")
	fs.DurationVar(&o.walk, "walk", 2*time.Minute, "how long to page through a listing at most")
	fs.StringVar(&o.data, "data", "", "keep the loaded store in this `directory`, or use the one that is there")
}

// signedPerSlot is how many calls are signed for one slot of reads: enough that
// few are drawn twice.
const signedPerSlot = 128 << 10

// measureScale loads a store and measures what must not get slow with its size.
func measureScale(ctx context.Context, env *environment, o scaleOptions) (*report, error) {
	dir := o.data
	if dir == "" {
		dir = env.path("scale")
	}
	rep := &report{
		Name: "scale", Title: fmt.Sprintf("%d secrets", o.n),
		Setup: fmt.Sprintf("%d secrets of %d bytes, created through the API over HTTP; %d connections.", o.n, o.value, o.conns),
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	c, err := startCoffer(ctx, env.coffer, dir, true)
	if err != nil {
		return nil, err
	}
	s := &scaleRun{env: env, o: o, c: c, rep: rep}
	defer func() { s.c.kill() }()
	for _, step := range []func(context.Context) error{s.load, s.reads, s.listings, s.prefixes, s.restarts} {
		if err := step(ctx); err != nil {
			return nil, s.c.explain(err)
		}
	}
	if o.data != "" {
		return rep, s.c.stop()
	}
	return rep, nil
}

// scaleRun is a measurement under way.
type scaleRun struct {
	env  *environment
	o    scaleOptions
	c    *coffer
	rep  *report
	peak memory // the most seen
}

func (s *scaleRun) note(format string, args ...any) {
	s.rep.Notes = append(s.rep.Notes, fmt.Sprintf(format, args...))
}

func (s *scaleRun) goal(g goal) { s.rep.Goals = append(s.rep.Goals, g) }

// watch keeps the most memory seen.
func (s *scaleRun) watch() (memory, error) {
	m, err := s.c.memory()
	s.peak.RSS, s.peak.Anon = max(s.peak.RSS, m.RSS), max(s.peak.Anon, m.Anon)
	return m, err
}

// loaded is what a kept store says of itself.
type loaded struct {
	Secrets int `json:"secrets"`
}

// load creates the secrets that are not there yet.
func (s *scaleRun) load(ctx context.Context) error {
	if err := s.c.waitReady(ctx); err != nil {
		return err
	}
	mark := filepath.Join(s.c.dir, "bench.json")
	have, err := readJSON[loaded](mark)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if have.Secrets >= s.o.n {
		s.note("The store was loaded by an earlier run.")
		return nil
	}
	start := time.Now()
	cpu, err := s.c.cpu()
	if err != nil {
		return err
	}
	var done atomic.Int64
	showing, stop := context.WithCancel(ctx)
	var shower sync.WaitGroup
	shower.Go(func() { s.showLoad(showing, &done, s.o.n-have.Secrets) })
	err = s.c.fill(ctx, s.o.conns, have.Secrets, s.o.n, s.o.value, &done)
	stop()
	shower.Wait()
	if err != nil {
		return err
	}
	took := time.Since(start)
	used, err := s.c.cpu()
	if err != nil {
		return err
	}
	created := float64(done.Load())
	m, err := s.watch()
	if err != nil {
		return err
	}
	s.note("Loading: %s CreateSecret per second over %s, %s µs of server CPU each; resident memory at the end of it %s, of which %s not backed by files.",
		figure(created/took.Seconds()), took.Round(time.Second), figure(float64((used-cpu).Microseconds())/created), mib(m.RSS), mib(m.Anon))
	b, err := json.Marshal(loaded{s.o.n})
	if err != nil {
		return err
	}
	return os.WriteFile(mark, b, 0o600)
}

func (s *scaleRun) showLoad(ctx context.Context, done *atomic.Int64, n int) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	var last int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			d := done.Load()
			m, err := s.watch()
			if err != nil {
				return
			}
			s.env.progress("%d of %d secrets created, %d/s, %s resident", d, n, (d-last)/5, mib(m.RSS))
			last = d
		}
	}
}

// reads compares reads of few secrets with reads of all.
func (s *scaleRun) reads(ctx context.Context) error {
	conns, err := dialAll(ctx, s.c.endpoint, s.o.conns)
	if err != nil {
		return err
	}
	defer closeAll(conns)
	sizes := []int{min(s.o.small, s.o.n), s.o.n}
	results := make([][]*result, len(sizes))
	for round := range s.o.rounds + 1 { // the first one warms up
		for i, size := range sizes {
			src, err := signGets(s.c.creds, s.c.endpoint.addr, secretName, size, signedPerSlot, s.o.conns)
			if err != nil {
				return err
			}
			r, err := closedLoop(ctx, conns, src, s.c.cpu, s.o.slot)
			if err != nil {
				return err
			}
			if round > 0 {
				results[i] = append(results[i], r)
				s.env.progress("reads of %d secrets, round %d of %d: %s/s", size, round, s.o.rounds, figure(r.rate()))
			}
		}
	}
	t := table{Title: "GetSecretValue at random, alternating", Head: []string{"secrets", "requests/s", "p50 µs", "p99 µs", "server CPU µs/request"}}
	for i, size := range sizes {
		s.rep.addSeries(fmt.Sprintf("GetSecretValue over %d secrets", size), results[i])
		t.add(fmt.Sprint(size), each(results[i], (*result).rate).String(), each(results[i], quantileMicros(0.50)).String(),
			each(results[i], quantileMicros(0.99)).String(), each(results[i], (*result).cpuPer).String())
	}
	s.rep.Tables = append(s.rep.Tables, t)
	few, all := each(results[0], (*result).rate).median(), each(results[1], (*result).rate).median()
	s.goal(goal{Name: fmt.Sprintf("GetSecretValue over %d secrets, times the throughput over %d", sizes[1], sizes[0]), Measured: all / few, Limit: 0.85, AtLeast: true})
	m, err := s.watch()
	s.note("After the reads %s were resident, %s of them not backed by files.", mib(m.RSS), mib(m.Anon))
	return err
}

// page is one answer of ListSecrets.
type page struct {
	Secrets int
	Next    string
}

func listPage(cn *conn, sg *signer, body string) (p page, took time.Duration, err error) {
	cn.SetDeadline(time.Now().Add(2 * stuck))
	start := time.Now()
	r, err := cn.call(sg, "ListSecrets", []byte(body))
	took = time.Since(start)
	if err != nil {
		return p, took, err
	}
	var out struct {
		SecretList []struct{ Name string }
		NextToken  string
	}
	err = json.Unmarshal(r.body, &out)
	return page{len(out.SecretList), out.NextToken}, took, err
}

// listings pages through everything, for each sort key.
func (s *scaleRun) listings(ctx context.Context) error {
	cn, err := dial(ctx, s.c.endpoint)
	if err != nil {
		return err
	}
	defer cn.Close()
	defer context.AfterFunc(ctx, func() { cn.Close() })()
	sg := newSigner(s.c.creds, s.c.endpoint.addr)
	t := table{Title: "ListSecrets, pages of 100 in the order of each key, one at a time", Head: []string{"sorted by", "pages", "first page ms", "first 50: median ms", "middle 50", "last 50", "p99 ms", "slowest ms"}}
	var slowest time.Duration
	for _, key := range []string{"created-date", "name", "last-changed-date", "last-accessed-date"} {
		pages, seen, err := walk(ctx, cn, sg, key, s.o.walk)
		if err != nil {
			return err
		}
		if total := s.o.n; seen != total {
			s.note("By %s, paging was ended after %d of %d secrets.", key, seen, total)
		}
		var h histogram
		for _, d := range pages {
			h.record(d)
		}
		ms := func(ds []time.Duration) string { return figure(durations(ds, time.Millisecond).median()) }
		n, some := len(pages), min(50, len(pages))
		mid := (n - some) / 2
		t.add(key, fmt.Sprint(n), ms(pages[:1]), ms(pages[:some]), ms(pages[mid:mid+some]), ms(pages[n-some:]), ms([]time.Duration{h.quantile(0.99)}), ms([]time.Duration{h.max}))
		slowest = max(slowest, h.quantile(0.99))
		s.env.progress("%d pages by %s, slowest %s", n, key, millis(h.max))
	}
	s.rep.Tables = append(s.rep.Tables, t)
	s.goal(goal{Name: "p99 of a page of 100 at any depth, by the slowest sort key", Measured: durations([]time.Duration{slowest}, time.Millisecond).median(), Limit: 50, Unit: "ms"})
	_, err = s.watch()
	return err
}

// walk pages through a listing and returns how long each page took.
func walk(ctx context.Context, cn *conn, sg *signer, key string, limit time.Duration) (pages []time.Duration, seen int, err error) {
	end := time.Now().Add(limit)
	token := ""
	for time.Now().Before(end) {
		body := fmt.Sprintf(`{"MaxResults":100,"SortBy":%q,"SortOrder":"asc"`, key)
		if token != "" {
			next, err := json.Marshal(token)
			if err != nil {
				return nil, 0, err
			}
			body += `,"NextToken":` + string(next)
		}
		p, took, err := listPage(cn, sg, body+"}")
		if err != nil {
			return nil, 0, errors.Join(err, context.Cause(ctx))
		}
		pages = append(pages, took)
		seen += p.Secrets
		if token = p.Next; token == "" {
			break
		}
	}
	return pages, seen, nil
}

// prefixes filters by name prefixes that match ten secrets each.
func (s *scaleRun) prefixes(ctx context.Context) error {
	cn, err := dial(ctx, s.c.endpoint)
	if err != nil {
		return err
	}
	defer cn.Close()
	sg, rng := newSigner(s.c.creds, s.c.endpoint.addr), newRand(7)
	var h histogram
	for range 200 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		name := secretName(rng.IntN(s.o.n))
		prefix := name[:len(name)-1]
		p, took, err := listPage(cn, sg, fmt.Sprintf(`{"MaxResults":100,"Filters":[{"Key":"name","Values":[%q]}]}`, prefix))
		if err != nil {
			return err
		}
		if p.Secrets == 0 || p.Secrets > 10 || p.Next != "" {
			return fmt.Errorf("prefix %s matched %d secrets", prefix, p.Secrets)
		}
		h.record(took)
	}
	s.note("ListSecrets with a name prefix that matches ten: p50 %s, p99 %s, slowest of 200 %s.", millis(h.quantile(0.5)), millis(h.quantile(0.99)), millis(h.max))
	s.goal(goal{Name: "p99 of a listing with a prefix that matches ten", Measured: float64(h.quantile(0.99)) / 1e6, Limit: 50, Unit: "ms"})
	return nil
}

// restarts measures the time from starting the program to readiness and to the
// first value, after kill -9 and after a graceful stop.
func (s *scaleRun) restarts(ctx context.Context) error {
	t := table{Title: "Restart", Head: []string{"after", "until ready ms", "until the first value ms"}}
	var worst float64
	var rss memory
	for _, how := range []string{"kill -9", "SIGINT"} {
		var ready, value []time.Duration
		for range s.o.rounds {
			if how == "kill -9" {
				if err := s.dirty(ctx); err != nil {
					return err
				}
				s.c.kill()
			} else if err := s.c.stop(); err != nil {
				return err
			}
			start := time.Now()
			c, err := startCoffer(ctx, s.c.exe, s.c.dir, true)
			if err != nil {
				return err
			}
			s.c = c
			if err := c.waitReady(ctx); err != nil {
				return err
			}
			ready = append(ready, time.Since(start))
			cn, err := dial(ctx, c.endpoint)
			if err != nil {
				return err
			}
			_, err = c.get(cn, newSigner(c.creds, c.endpoint.addr), s.o.n/2)
			cn.Close()
			if err != nil {
				return err
			}
			value = append(value, time.Since(start))
			if rss, err = s.watch(); err != nil {
				return err
			}
		}
		t.add(how, durations(ready, time.Millisecond).String(), durations(value, time.Millisecond).String())
		worst = max(worst, durations(value, time.Second).median())
	}
	s.rep.Tables = append(s.rep.Tables, t)
	s.goal(goal{Name: "restart until the first value", Measured: worst, Limit: 2, Unit: "s"})
	s.goal(goal{Name: "most resident memory seen", Measured: float64(s.peak.RSS) / (1 << 20), Limit: 600, Unit: "MiB"})
	s.note("Just after a restart %s were resident; the most seen at any time was %s, %s not backed by files.", mib(rss.RSS), mib(s.peak.RSS), mib(s.peak.Anon))
	return nil
}

// dirty leaves a write-ahead log for the next start to replay.
func (s *scaleRun) dirty(ctx context.Context) error {
	token := fmt.Sprintf("%d", time.Now().UnixNano())
	return s.c.each(ctx, s.o.conns, 1000, func(cn *conn, sg *signer, i int) error {
		cn.SetDeadline(time.Now().Add(stuck))
		r, err := cn.call(sg, "UpdateSecret", fmt.Appendf(nil, `{"SecretId":%q,"Description":"touched %s"}`, secretName(i%s.o.n), token))
		if err == nil && !bytes.Contains(r.body, []byte("ARN")) {
			err = errors.New("UpdateSecret answered without an ARN")
		}
		return err
	})
}
