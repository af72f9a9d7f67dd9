package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"coffer/internal/api"
	"coffer/internal/envelope"
	"coffer/internal/kv/pebble"
	sm "coffer/internal/secretsmanager"
	tables "coffer/internal/table"
)

// rotationOptions say how rotation is measured.
type rotationOptions struct {
	n, scheduled, conns, looks int
	rate                       float64
	slot, before, limit, idle  time.Duration
}

func (o *rotationOptions) flags(fs *flag.FlagSet) {
	fs.IntVar(&o.n, "n", 1000, "secrets of database users that are rotated at once")
	fs.IntVar(&o.conns, "conns", 8, "connections")
	fs.Float64Var(&o.rate, "rate", 500, "paced GetSecretValue per second, before and meanwhile")
	fs.DurationVar(&o.before, "before", 20*time.Second, "how long latency is measured before the rotations")
	fs.DurationVar(&o.slot, "slot", 2*time.Second, "length of one stretch of paced reads; they go on until all is rotated")
	fs.DurationVar(&o.limit, "limit", 15*time.Minute, "give up after it")
	fs.IntVar(&o.scheduled, "scheduled", 100_000, "secrets with a schedule that are not due")
	fs.DurationVar(&o.idle, "idle", 30*time.Second, "how long a server with them, and one without, is left alone")
	fs.IntVar(&o.looks, "looks", 2000, "times that due work is looked for")
}

// What is rotated, and by what.
const (
	rotator         = "SecretsManagerRDSPostgreSQLRotationSingleUser"
	initialPassword = "initial-password"
)

func databaseUser(i int) string { return fmt.Sprintf("bench_%07d", i) }

// measureRotation rotates secrets of a real database and looks at what readers notice;
// then what many schedules cost while nothing is due.
func measureRotation(ctx context.Context, env *environment, o rotationOptions) (*report, error) {
	r := &rotationRun{env: env, o: o, rep: &report{
		Name: "rotation", Title: "Rotation",
		Setup: fmt.Sprintf("%d secrets, each of one user of a PostgreSQL server on the same machine (its own settings, SCRAM), all asked for with RotateSecret at once over HTTP "+
			"and rotated by the built-in %s: four steps each, in processes of `coffer function`, with their own logins to the database. %s GetSecretValue a second of the same secrets, "+
			"paced, before and meanwhile; latency from when a request was due.", o.n, rotator, figure(o.rate)),
	}}
	for _, step := range []func(context.Context) error{r.rotations, r.schedules, r.looks} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return r.rep, nil
}

// rotationRun is a measurement under way.
type rotationRun struct {
	env *environment
	o   rotationOptions
	rep *report
}

func (r *rotationRun) goal(name string, measured, limit float64, unit string) {
	r.rep.Goals = append(r.rep.Goals, goal{Name: name, Measured: measured, Limit: limit, Unit: unit})
}

// rotations is the first part: the database's.
func (r *rotationRun) rotations(ctx context.Context) error {
	r.env.progress("starting PostgreSQL with %d users", r.o.n)
	db, err := startPostgres(ctx)
	if err != nil {
		return err
	}
	defer db.close()
	if err := db.makeUsers(ctx, r.o.n, databaseUser, initialPassword); err != nil {
		return db.explain(err)
	}
	c, err := startCoffer(ctx, r.env.coffer, r.env.path("rotation"), true)
	if err != nil {
		return err
	}
	defer c.kill()
	if err := c.waitReady(ctx); err != nil {
		return err
	}
	err = c.each(ctx, r.o.conns, r.o.n, func(cn *conn, s *signer, i int) error {
		secret, err := json.Marshal(map[string]any{
			"engine": "postgres", "host": "127.0.0.1", "port": db.port, "dbname": "postgres", "username": databaseUser(i), "password": initialPassword, "ssl": false,
		})
		if err != nil {
			return err
		}
		cn.SetDeadline(time.Now().Add(stuck))
		_, err = cn.call(s, "CreateSecret", fmt.Appendf(nil, `{"Name":%q,"ClientRequestToken":%q,"SecretString":%q}`, secretName(i), versionID(i, 0), secret))
		return err
	})
	if err != nil {
		return err
	}
	r.env.progress("reading before rotations")
	before, err := r.read(ctx, c, r.o.before)
	if err != nil {
		return c.explain(err)
	}
	m, err := r.rotateAll(ctx, c)
	if err != nil {
		return c.explain(err)
	}
	r.env.progress("logging in with what the secrets say")
	if err := r.logins(ctx, c, db); err != nil {
		return err
	}
	r.report(before, m)
	return nil
}

// read is paced reads of the secrets.
func (r *rotationRun) read(ctx context.Context, c *coffer, d time.Duration) (*result, error) {
	conns, err := dialAll(ctx, c.endpoint, r.o.conns)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	total := &result{}
	for begun := time.Now(); time.Since(begun) < d; {
		res, err := r.slot(ctx, c, conns)
		if err != nil {
			return nil, err
		}
		total.and(res)
	}
	return total, nil
}

// slot is one stretch of them, signed anew: signatures live five minutes.
func (r *rotationRun) slot(ctx context.Context, c *coffer, conns []*conn) (*result, error) {
	src, err := signGets(c.creds, c.endpoint.addr, secretName, r.o.n, r.o.n, len(conns))
	if err != nil {
		return nil, err
	}
	return openLoop(ctx, conns, src.expect(`"SecretString":"{`), c.cpu, r.o.rate, r.o.slot)
}

// and adds a further stretch of the same load.
func (r *result) and(o *result) {
	r.hist.add(&o.hist)
	r.elapsed, r.cpu, r.client = r.elapsed+o.elapsed, r.cpu+o.cpu, r.client+o.client
}

// rotated is what rotating everything gave.
type rotated struct {
	reads  result
	asked  time.Duration // until the last RotateSecret was answered
	took   time.Duration // until the last rotation had ended
	before map[string]float64
	after  map[string]float64
	cpu    time.Duration // of the server, its functions not included
}

// steps counts invocations of a step with a result.
func (m *rotated) steps(step, result string) float64 {
	name := fmt.Sprintf("coffer_rotation_steps_total{result=%q,step=%q}", result, step)
	return m.after[name] - m.before[name]
}

func (m *rotated) allSteps(result string) (n float64) {
	for _, step := range sm.Steps {
		n += m.steps(step, result)
	}
	return n
}

// rotateAll asks for all rotations, and reads until all have ended.
func (r *rotationRun) rotateAll(ctx context.Context, c *coffer) (*rotated, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.o.limit, fmt.Errorf("not all secrets were rotated within %s", r.o.limit))
	defer cancel()
	m := &rotated{}
	var err error
	if m.before, err = c.metrics(ctx); err != nil {
		return nil, err
	}
	conns, err := dialAll(ctx, c.endpoint, r.o.conns)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	cpu, err := c.cpu()
	if err != nil {
		return nil, err
	}
	r.env.progress("rotating")
	var (
		group sync.WaitGroup
		ended atomic.Bool
		fail  error
	)
	start := time.Now()
	group.Go(func() {
		defer ended.Store(true)
		fail = c.each(ctx, r.o.conns, r.o.n, func(cn *conn, s *signer, i int) error {
			cn.SetDeadline(time.Now().Add(stuck))
			_, err := cn.call(s, "RotateSecret", fmt.Appendf(nil, `{"SecretId":%q,"ClientRequestToken":%q,"RotationLambdaARN":"arn:aws:lambda:%s:%s:function:%s","RotationRules":{"AutomaticallyAfterDays":30}}`,
				secretName(i), versionID(i, 1), region, c.creds.Account, rotator))
			return err
		})
		m.asked = time.Since(start)
		if fail == nil {
			fail = r.await(ctx, c, m)
		}
		m.took = time.Since(start)
	})
	for err == nil && !ended.Load() {
		var res *result
		if res, err = r.slot(ctx, c, conns); err == nil {
			m.reads.and(res)
		}
	}
	if err != nil {
		cancel()
	}
	group.Wait()
	if err := errors.Join(fail, err); err != nil {
		return nil, err
	}
	after, err := c.cpu()
	m.cpu = after - cpu
	return m, err
}

// await waits until all rotations have ended.
func (r *rotationRun) await(ctx context.Context, c *coffer, m *rotated) (err error) {
	for said := time.Now(); ; {
		if m.after, err = c.metrics(ctx); err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		done := m.steps("finishSecret", "succeeded")
		if int(done) >= r.o.n {
			return nil
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			r.env.progress("%s of %d rotated", figure(done), r.o.n)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// logins logs in with every secret's current value, which must be a new one.
func (r *rotationRun) logins(ctx context.Context, c *coffer, db *postgres) error {
	return c.each(ctx, r.o.conns, r.o.n, func(cn *conn, s *signer, i int) error {
		cn.SetDeadline(time.Now().Add(stuck))
		answer, err := cn.call(s, "GetSecretValue", fmt.Appendf(nil, `{"SecretId":%q}`, secretName(i)))
		if err != nil {
			return err
		}
		var value struct{ SecretString, VersionId string }
		var secret struct{ Username, Password string }
		if err := json.Unmarshal(answer.body, &value); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(value.SecretString), &secret); err != nil {
			return errors.New("the secret is no JSON") // the error could quote it
		}
		if value.VersionId == versionID(i, 0) || secret.Password == initialPassword {
			return errors.New("its rotation succeeded, but the value is the old one")
		}
		return db.login(ctx, secret.Username, secret.Password)
	})
}

func (r *rotationRun) report(before *result, m *rotated) {
	n := float64(r.o.n)
	p99 := func(h *histogram) float64 { return float64(h.quantile(0.99)) / float64(time.Millisecond) }
	reads := table{Title: "Paced GetSecretValue", Head: []string{"when", "requests", "p50 ms", "p99 ms", "slowest ms", "server CPU µs/request"}}
	for _, row := range []struct {
		name string
		of   *result
	}{{"before", before}, {"while all are rotated", &m.reads}} {
		ms := func(q float64) string { return figure(float64(row.of.hist.quantile(q)) / float64(time.Millisecond)) }
		reads.add(row.name, fmt.Sprint(row.of.hist.n), ms(0.50), ms(0.99), ms(1), figure(row.of.cpuPer()))
	}
	steps := table{Title: "Steps of the rotations, from the invocation to the answer", Head: []string{"step", "succeeded", "failed", "no process free", "mean ms"}}
	for _, step := range sm.Steps {
		label := fmt.Sprintf("{step=%q}", step)
		delta := func(name string) float64 { return m.after[name+label] - m.before[name+label] }
		mean := delta("coffer_rotation_step_seconds_sum") / max(delta("coffer_rotation_step_seconds_count"), 1) * 1000
		steps.add(step, figure(m.steps(step, "succeeded")), figure(m.steps(step, "failed")), figure(m.steps(step, "busy")), figure(mean))
	}
	r.rep.Tables = append(r.rep.Tables, reads, steps)
	r.goal(fmt.Sprintf("until %d secrets are rotated", r.o.n), m.took.Seconds(), 600, "s")
	r.goal("failed steps", m.allSteps("failed"), 0, "")
	r.goal("GetSecretValue p99 meanwhile, times that before", p99(&m.reads.hist)/p99(&before.hist), 5, "")
	r.rep.Notes = append(r.rep.Notes, fmt.Sprintf("%s rotations a second; the %d calls of RotateSecret took %s s of the %s s. The server itself took %s ms of CPU per rotation, the paced reads included; "+
		"its functions' processes (%s started) and PostgreSQL took theirs. Afterwards every secret had a new value, and its user logged in with it.",
		figure(n/m.took.Seconds()), r.o.n, figure(m.asked.Seconds()), figure(m.took.Seconds()), figure(m.cpu.Seconds()*1000/n),
		figure(m.after["coffer_function_cold_starts_total"]-m.before["coffer_function_cold_starts_total"])))
}

// schedules is the second part: a server with many schedules, none due, beside one without.
func (r *rotationRun) schedules(ctx context.Context) error {
	full, err := startCoffer(ctx, r.env.coffer, r.env.path("scheduled"), true)
	if err != nil {
		return err
	}
	defer func() { full.kill() }()
	if err := full.waitReady(ctx); err != nil {
		return err
	}
	r.env.progress("scheduling %d secrets", r.o.scheduled)
	start := time.Now()
	// Without a value there is nothing that RotateImmediately=false would have tested.
	err = full.each(ctx, 4*r.o.conns, r.o.scheduled, func(cn *conn, s *signer, i int) error {
		cn.SetDeadline(time.Now().Add(stuck))
		if _, err := cn.call(s, "CreateSecret", fmt.Appendf(nil, `{"Name":%q,"ClientRequestToken":%q}`, secretName(i), versionID(i, 0))); err != nil {
			return err
		}
		_, err := cn.call(s, "RotateSecret", fmt.Appendf(nil, `{"SecretId":%q,"ClientRequestToken":%q,"RotationLambdaARN":"arn:aws:lambda:%s:%s:function:%s","RotateImmediately":false,"RotationRules":{"ScheduleExpression":"rate(%d days)"}}`,
			secretName(i), versionID(i, 1), region, full.creds.Account, rotator, 30+i%300))
		return err
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	// What loading left to do is not the schedules' cost.
	if err := full.stop(); err != nil {
		return err
	}
	if full, err = startCoffer(ctx, r.env.coffer, full.dir, true); err != nil {
		return err
	}
	empty, err := startCoffer(ctx, r.env.coffer, r.env.path("unscheduled"), true)
	if err != nil {
		return err
	}
	defer empty.kill()
	if err := errors.Join(full.waitReady(ctx), empty.waitReady(ctx)); err != nil {
		return err
	}
	r.env.progress("leaving both servers alone for %s", r.o.idle)
	spent, err := idle(ctx, r.o.idle, full, empty)
	if err != nil {
		return err
	}
	r.rep.Notes = append(r.rep.Notes, fmt.Sprintf("With %d scheduled secrets (created and scheduled in %s s) an idle server took %.3f %% of a core over %s, and one without any, at the same time, %.3f %%.",
		r.o.scheduled, figure(took.Seconds()), spent[0], r.o.idle, spent[1]))
	r.goal(fmt.Sprintf("idle CPU of a server with %d scheduled secrets, less that of one without", r.o.scheduled), max(spent[0]-spent[1], 0), 1, "%")
	return nil
}

// idle leaves servers alone and returns what each took of a core in percent, after a
// while for what starting left to do.
func idle(ctx context.Context, d time.Duration, servers ...*coffer) (percent []float64, err error) {
	wait := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := wait(min(d, 5*time.Second)); err != nil {
		return nil, err
	}
	start := time.Now()
	before := make([]time.Duration, len(servers))
	for i, c := range servers {
		if before[i], err = c.cpu(); err != nil {
			return nil, err
		}
	}
	if err := wait(d); err != nil {
		return nil, err
	}
	for i, c := range servers {
		after, err := c.cpu()
		if err != nil {
			return nil, err
		}
		percent = append(percent, 100*float64(after-before[i])/float64(time.Since(start)))
	}
	return percent, nil
}

// looks is the third part: what one look for due work takes of the CPU, by the worker's
// own transactions on a store of its own in this process.
func (r *rotationRun) looks(ctx context.Context) error {
	sealer, err := envelope.NewSealer(envelope.NewKey())
	if err != nil {
		return err
	}
	store, err := pebble.Open(pebble.Config{Dir: r.env.path("looks"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer store.Close()
	db := tables.New(tables.Config{Store: store, Sealer: sealer})
	r.env.progress("storing %d schedules", r.o.scheduled)
	now := time.Now()
	const batch = 5 // a transaction takes 128 operations
	for i := 0; i < r.o.scheduled; i += batch {
		err := db.Update(ctx, func(tx *tables.Tx) error {
			for k := i; k < min(i+batch, r.o.scheduled); k++ {
				if err := sm.Secrets.Insert(tx, scheduledSecret(k, tables.At(now.Add(time.Hour+time.Duration(k)*time.Second)))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	r.env.progress("looking for due work")
	service := sm.New(sm.Config{})
	before, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	for range r.o.looks {
		if err := look(ctx, db, service, now); err != nil {
			return err
		}
	}
	after, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	r.goal(fmt.Sprintf("CPU of a look for due work among %d scheduled secrets", r.o.scheduled), float64(after-before)/float64(r.o.looks)/float64(time.Millisecond), 1, "ms")
	return nil
}

func scheduledSecret(i int, at tables.Millis) *sm.Secret {
	const account = "111122223333"
	return &sm.Secret{
		Account: account, Region: region, Name: secretName(i), UID: versionID(i, 0), Suffix: "aBcDeF",
		Versions: []sm.Version{{ID: versionID(i, 1), Stages: []string{"AWSCURRENT"}}},
		Rotation: &sm.Rotation{
			Enabled: true, Function: "arn:aws:lambda:" + region + ":" + account + ":function:" + rotator,
			Days: 30, Opens: at, At: at, Closes: at + tables.Millis(time.Hour.Milliseconds()),
		},
	}
}

// look is a round of the rotation worker with nothing due: start, hurry, claim, and when
// to look next.
func look(ctx context.Context, db *tables.DB, s *sm.Service, now time.Time) error {
	for _, run := range []func(*api.Request) (bool, error){
		s.StartRotations, s.HurryRuns,
		func(r *api.Request) (bool, error) {
			claimed, next, err := s.ClaimRuns(r, "bench", 16, func(*sm.Run) bool { return false }, "")
			if err == nil && (len(claimed) > 0 || next != "") {
				err = errors.New("something is due that should not be")
			}
			return false, err
		},
	} {
		more := false
		err := db.Update(ctx, func(tx *tables.Tx) (err error) {
			more, err = run(&api.Request{Context: ctx, Time: now, Tx: tx})
			return err
		})
		if err == nil && more {
			err = errors.New("there is more to do, with nothing due")
		}
		if err != nil {
			return err
		}
	}
	return db.View(ctx, func(tx *tables.Tx) error {
		at, err := s.NextDue(tx)
		if err == nil && !at.After(now) {
			err = errors.New("the next rotation is not the first scheduled")
		}
		return err
	})
}
