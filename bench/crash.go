package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// crashOptions say how the server is killed.
type crashOptions struct {
	rounds, writers, value, every int
	soonest, latest               time.Duration
}

func (o *crashOptions) flags(fs *flag.FlagSet) {
	fs.IntVar(&o.rounds, "rounds", 200, "rounds of kill -9")
	fs.IntVar(&o.writers, "writers", 16, "connections that write")
	fs.IntVar(&o.value, "value", 200, "bytes of a secret value")
	fs.IntVar(&o.every, "check-every", 20, "rounds between coffer fsck, coffer audit verify and a look at all secrets")
	fs.DurationVar(&o.soonest, "soonest", 50*time.Millisecond, "the earliest kill after the first write")
	fs.DurationVar(&o.latest, "latest", 600*time.Millisecond, "the latest kill")
}

// crashSecret is what one secret must look like.
type crashSecret struct {
	name     string
	versions int
	acked    string // last acknowledged value; empty: none yet
	underWay string // value whose answer has not come
	touched  bool   // since it was last looked at
}

// crashWriter writes its own secrets, one call at a time, so that at most one
// write is unanswered when the server dies.
type crashWriter struct {
	id      int
	rng     *rand.Rand
	secrets []*crashSecret
	acks    []requestID // of this round, for the audit log
	writes  int
	bad     error // an answer that no crash explains
}

// violations are what must not be. Only so many are kept.
type violations struct {
	mu    sync.Mutex
	n     int
	texts []string
}

func (v *violations) add(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.n++
	if len(v.texts) < 20 {
		v.texts = append(v.texts, fmt.Sprintf(format, args...))
	}
}

// crashRun is a measurement under way.
type crashRun struct {
	env     *environment
	o       crashOptions
	dir     string
	writers []*crashWriter
	audit   *auditReader
	wrong   violations

	acked, verified, checks int
	starts                  []time.Duration
}

// measureCrash kills the server again and again and looks for what is lost.
func measureCrash(ctx context.Context, env *environment, o crashOptions) (*report, error) {
	r := &crashRun{env: env, o: o, dir: env.path("crash")}
	r.audit = newAuditReader(r.dir)
	for i := range o.writers {
		r.writers = append(r.writers, &crashWriter{id: i, rng: rand.New(rand.NewPCG(rand.Uint64(), uint64(i)))})
	}
	for round := 1; round <= o.rounds && r.wrong.n == 0; round++ {
		if err := r.round(ctx, round); err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
	}
	verdict := fmt.Sprintf("Nothing was lost: %d acknowledged writes in %d rounds of kill -9 under %d writers.", r.acked, o.rounds, o.writers)
	var err error
	if r.wrong.n > 0 {
		verdict = fmt.Sprintf("%d violations, the first of them listed below.", r.wrong.n)
		err = fmt.Errorf("crash: %d violations", r.wrong.n)
	}
	rep := &report{
		Name: "crash", Title: "Kill -9",
		Setup: fmt.Sprintf("%d rounds on one data directory: %d writers of CreateSecret and PutSecretValue over HTTP, SIGKILL at a random time %s to %s after they begin, restart, every secret written to is read, every acknowledged call looked up in the audit log. coffer fsck, coffer audit verify and a look at all secrets every %d rounds and at the end.",
			o.rounds, o.writers, o.soonest, o.latest, o.every),
		Goals: []goal{{Name: "violations", Measured: float64(r.wrong.n), Limit: 0}},
		Notes: append([]string{verdict}, r.wrong.texts...),
	}
	t := table{Title: "What was checked", Head: []string{"figure", "count"}}
	secrets := 0
	for _, w := range r.writers {
		secrets += len(w.secrets)
	}
	t.add("acknowledged writes", fmt.Sprint(r.acked))
	t.add("secrets", fmt.Sprint(secrets))
	t.add("values read back", fmt.Sprint(r.verified))
	t.add("audit records read", fmt.Sprint(r.audit.records))
	t.add("fsck and audit verify", fmt.Sprint(r.checks))
	t.add("restart until ready, ms", durations(r.starts, time.Millisecond).String())
	rep.Tables = []table{t}
	return rep, err
}

// round writes, kills, starts again and checks.
func (r *crashRun) round(ctx context.Context, round int) error {
	c, err := r.start(ctx)
	if err != nil {
		return err
	}
	if err := r.write(ctx, c); err != nil {
		c.kill()
		return err
	}
	if c, err = r.start(ctx); err != nil {
		return err
	}
	thorough := round%r.o.every == 0 || round == r.o.rounds
	err = r.readBack(ctx, c, thorough)
	if err == nil {
		err = r.audit.read(&r.wrong)
	}
	c.kill() // graceful stops have nothing to prove here
	if err != nil {
		return err
	}
	if thorough {
		return r.check(ctx, round)
	}
	return nil
}

func (r *crashRun) start(ctx context.Context) (*coffer, error) {
	began := time.Now()
	c, err := startCoffer(ctx, r.env.coffer, r.dir, true)
	if err != nil {
		return nil, err
	}
	if err := c.waitReady(ctx); err != nil {
		c.kill()
		return nil, err
	}
	r.starts = append(r.starts, time.Since(began))
	return c, nil
}

// write has the writers write until the server is killed.
func (r *crashRun) write(ctx context.Context, c *coffer) error {
	conns, err := dialAll(ctx, c.endpoint, len(r.writers))
	if err != nil {
		return err
	}
	defer closeAll(conns)
	setDeadlines(conns, time.Now().Add(r.o.latest+stuck))
	after := r.o.soonest + rand.N(max(r.o.latest-r.o.soonest, 1))
	timer := time.AfterFunc(after, func() { c.cmd.Process.Kill() })
	defer timer.Stop()
	var wg sync.WaitGroup
	for i, w := range r.writers {
		wg.Go(func() { w.writeOn(conns[i], newSigner(c.creds, c.endpoint.addr), r.o.value) })
	}
	wg.Wait()
	c.kill()
	for _, w := range r.writers {
		if w.bad != nil {
			r.wrong.add("writer %d: %v", w.id, c.explain(w.bad))
		}
		r.acked += w.writes
		r.audit.expect(w.acks)
		w.acks, w.writes, w.bad = w.acks[:0], 0, nil
	}
	return ctx.Err()
}

// writeOn writes until the connection breaks.
func (w *crashWriter) writeOn(cn *conn, sg *signer, size int) {
	for {
		s, operation := w.pick()
		value := secretValue(w.rng, size)
		token := fmt.Sprintf("%08x-%04x-4000-8000-%012x", w.rng.Uint32(), s.versions, w.rng.Uint64()>>16)
		s.underWay, s.touched = value, true
		s.versions++
		field := "Name"
		if operation == "PutSecretValue" {
			field = "SecretId"
		}
		var err error
		if cn.buf, err = sg.append(cn.buf[:0], operation, fmt.Appendf(nil, `{%q:%q,"ClientRequestToken":%q,"SecretString":%q}`, field, s.name, token, value)); err != nil {
			w.bad = err
			return
		}
		r, err := cn.do(cn.buf)
		if err != nil {
			return // the server is dead, or its answer cut off: not acknowledged
		}
		if err := r.check([]byte(token)); err != nil {
			w.bad = fmt.Errorf("%s %s: %w", operation, s.name, err)
			return
		}
		s.acked, s.underWay = value, ""
		w.acks = append(w.acks, idOf(r.requestID))
		w.writes++
	}
}

// pick takes one of the writer's secrets for a put, or makes a new one: in one
// of ten calls, and when the one drawn cannot take more versions.
func (w *crashWriter) pick() (*crashSecret, string) {
	if len(w.secrets) > 0 && w.rng.IntN(10) > 0 {
		if s := w.secrets[w.rng.IntN(len(w.secrets))]; s.versions < putsPerSecret && s.acked != "" {
			return s, "PutSecretValue"
		}
	}
	s := &crashSecret{name: fmt.Sprintf("crash/%d/%d", w.id, len(w.secrets))}
	w.secrets = append(w.secrets, s)
	return s, "CreateSecret"
}

// readBack reads the secrets written to, or all, and compares.
func (r *crashRun) readBack(ctx context.Context, c *coffer, everything bool) error {
	var look []*crashSecret
	for _, w := range r.writers {
		for _, s := range w.secrets {
			if everything || s.touched {
				look = append(look, s)
			}
		}
	}
	var mu sync.Mutex
	var acks []requestID
	err := c.each(ctx, len(r.writers), len(look), func(cn *conn, sg *signer, i int) error {
		s := look[i]
		cn.SetDeadline(time.Now().Add(stuck))
		var err error
		if cn.buf, err = sg.append(cn.buf[:0], "GetSecretValue", fmt.Appendf(nil, `{"SecretId":%q}`, s.name)); err != nil {
			return err
		}
		resp, err := cn.do(cn.buf)
		if err != nil {
			return err
		}
		if resp.status == 200 {
			mu.Lock()
			acks = append(acks, idOf(resp.requestID))
			mu.Unlock()
		}
		s.settle(resp, &r.wrong)
		return nil
	})
	r.audit.expect(acks)
	r.verified += len(look)
	return err
}

// settle compares what was read with what must be there, and takes it from
// there: a write that was under way has happened or not, for good.
func (s *crashSecret) settle(r response, wrong *violations) {
	has := func(value string) bool {
		return value != "" && r.check([]byte(`"SecretString":"`+value+`"`)) == nil
	}
	switch {
	case has(s.underWay):
		s.acked = s.underWay
	case has(s.acked):
	case s.acked == "" && r.status == 400:
		// Its creation was never acknowledged; the name is not used again.
	default:
		wrong.add("%s does not have its last acknowledged value: status %d: %.200s", s.name, r.status, r.body)
	}
	s.underWay, s.touched = "", false
}

// check runs the tools on the stopped server's directory.
func (r *crashRun) check(ctx context.Context, round int) error {
	for _, args := range [][]string{{"fsck", r.dir}, {"audit", "verify", "--data-dir", r.dir}} {
		said, err := tool(ctx, r.env.coffer, args...)
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if err != nil {
			r.wrong.add("round %d: %v", round, err)
		}
		r.env.progress("round %d: coffer %s: %s", round, args[0], lastLine(said))
	}
	r.checks++
	r.env.progress("round %d of %d: %d acknowledged writes, %d values read back, %d violations", round, r.o.rounds, r.acked, r.verified, r.wrong.n)
	return nil
}
