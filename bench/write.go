package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"
)

// putsPerSecret stays below the 150 versions that a secret takes in a day.
const putsPerSecret = 140

// writeOptions say how writes are measured.
type writeOptions struct {
	conns, secrets, value int
	rounds                int
	slot                  time.Duration
}

func (o *writeOptions) flags(fs *flag.FlagSet) {
	fs.IntVar(&o.conns, "conns", 32, "connections, and writers of the raw store")
	fs.IntVar(&o.secrets, "secrets", 4000, "secrets that get new versions")
	fs.IntVar(&o.value, "value", 200, "bytes of a secret value")
	fs.IntVar(&o.rounds, "rounds", 5, "rounds; each measures everything once")
	fs.DurationVar(&o.slot, "slot", 3*time.Second, "how long each is measured in one round")
}

// puts is a source of PutSecretValue, signed when they are sent: each needs a
// token of its own. A connection has its own secrets, so that no two calls
// under way are about the same one.
type puts struct {
	secrets, value int
	conns          []putter
}

type putter struct {
	signer    *signer
	rng       *rand.Rand
	n         int
	body, req []byte
	want      []byte
}

func newPuts(c *coffer, o writeOptions) *puts {
	p := &puts{secrets: o.secrets / o.conns, value: o.value, conns: make([]putter, o.conns)}
	for i := range p.conns {
		p.conns[i] = putter{signer: newSigner(c.creds, c.endpoint.addr), rng: newRand(i)}
	}
	return p
}

func (p *puts) next(conn int) (call, error) {
	w := &p.conns[conn]
	secret, version := w.n%p.secrets*len(p.conns)+conn, w.n/p.secrets+1
	if version > putsPerSecret {
		return call{}, fmt.Errorf("every secret has %d versions now; measure for a shorter time or give more --secrets", version)
	}
	w.n++
	token := versionID(secret, version)
	w.body = fmt.Appendf(w.body[:0], `{"SecretId":%q,"ClientRequestToken":%q,"SecretString":%q}`, secretName(secret), token, secretValue(w.rng, p.value))
	var err error
	w.req, err = w.signer.append(w.req[:0], "PutSecretValue", w.body)
	w.want = append(w.want[:0], token...)
	return call{w.req, w.want}, err
}

// rawSide is the raw store with a number of writers.
type rawSide struct {
	writers             int
	rate, cpu, p50, p99 values
}

// measureWrite compares PutSecretValue with raw commits.
func measureWrite(ctx context.Context, env *environment, o writeOptions) (*report, error) {
	if o.secrets < o.conns {
		return nil, fmt.Errorf("--secrets must be at least --conns, %d", o.conns)
	}
	env.progress("starting Coffer with %d secrets", o.secrets)
	c, err := freshCoffer(ctx, env.coffer, env.path("write"), true, o.conns, o.secrets, o.value)
	if err != nil {
		return nil, err
	}
	defer c.kill()
	conns, err := dialAll(ctx, c.endpoint, o.conns)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	src := newPuts(c, o)

	// From the third version on each put also moves one to the deprecated ones:
	// that is where a secret in use is, and where the bytes are measured.
	env.progress("three versions of each secret")
	for src.conns[0].n < 3*src.secrets {
		if _, err := closedLoop(ctx, conns, src, c.cpu, 200*time.Millisecond); err != nil {
			return nil, c.explain(err)
		}
	}
	shape, err := shapeOfLogs(filepath.Join(c.dir, "store"))
	if err != nil {
		return nil, err
	}
	env.progress("a PutSecretValue writes %d rows and %d deletions, %d bytes", shape.Sets, shape.Deletes, shape.bytes())

	var ready string
	h, err := startHelper(ctx, kindRaw, env.path("raw"), &ready)
	if err != nil {
		return nil, err
	}
	defer h.kill()
	return writeRounds(ctx, env, o, c, conns, src, rawStore{h}, shape)
}

func writeRounds(ctx context.Context, env *environment, o writeOptions, c *coffer, conns []*conn, src *puts, raw rawStore, shape batchShape) (*report, error) {
	sides := []*rawSide{{writers: 1}, {writers: 8}, {writers: o.conns}}
	before, err := c.metrics(ctx)
	if err != nil {
		return nil, err
	}
	var results []*result
	var requests uint64
	for round := range o.rounds {
		r, err := closedLoop(ctx, conns, src, c.cpu, o.slot)
		if err != nil {
			return nil, c.explain(err)
		}
		results = append(results, r)
		requests += r.hist.n
		for _, s := range sides {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			rate, cpu, res, err := raw.run(rawTask{Writers: s.writers, Time: o.slot, Shape: shape})
			if err != nil {
				return nil, err
			}
			s.rate, s.cpu = append(s.rate, rate), append(s.cpu, cpu)
			s.p50, s.p99 = append(s.p50, float64(res.P50)/1e3), append(s.p99, float64(res.P99)/1e3)
		}
		env.progress("round %d of %d: Coffer %s/s, raw %s/s", round+1, o.rounds, figure(r.rate()), figure(sides[2].rate[round]))
	}
	after, err := c.metrics(ctx)
	if err != nil {
		return nil, err
	}
	per := func(name string) string { return figure((after[name] - before[name]) / float64(requests)) }

	rep := &report{
		Name: "write", Title: "Writes",
		Setup: fmt.Sprintf("PutSecretValue of %d bytes to %d secrets over HTTP, %d connections, each answered after its sync; and raw Pebble commits (ApplyNoSyncWait, SyncWait, the same options) of as many rows and bytes. %d rounds of %s each, alternating; medians, with the smallest and largest round.",
			o.value, o.secrets, o.conns, o.rounds, o.slot),
		Notes: []string{
			fmt.Sprintf("The load generator took %s µs of CPU per PutSecretValue on the same cores; the raw store has no clients.", each(results, (*result).clientPer)),
			fmt.Sprintf("By its write-ahead log, a PutSecretValue writes %d rows and %d deletions with %d bytes of keys and values in all, the audit outbox's row and its removal included; that is one raw batch.", shape.Sets, shape.Deletes, shape.bytes()),
			fmt.Sprintf("Per PutSecretValue Coffer made %s commits (the outbox is emptied in batches), %s audit records, %s bytes of audit log in %s writes, and %s syncs of it.",
				per("coffer_store_commits_total"), per("coffer_audit_records_total"), per("coffer_audit_bytes_total"), per("coffer_audit_writes_total"), per("coffer_audit_syncs_total")),
		},
	}
	t := table{Title: "Synced writes", Head: []string{"what", "writers", "per second", "p50 µs", "p99 µs", "CPU µs each"}}
	rate := each(results, (*result).rate)
	t.add("Coffer PutSecretValue", fmt.Sprint(o.conns), rate.String(), each(results, quantileMicros(0.50)).String(), each(results, quantileMicros(0.99)).String(), each(results, (*result).cpuPer).String())
	for _, s := range sides {
		t.add("raw Pebble commits", fmt.Sprint(s.writers), s.rate.String(), s.p50.String(), s.p99.String(), s.cpu.String())
	}
	rep.Tables = []table{t}
	rep.addSeries("Coffer PutSecretValue", results)
	for _, s := range sides {
		raw := series{Name: fmt.Sprintf("raw Pebble commits, %d writers", s.writers)}
		for i, rate := range s.rate {
			raw.Rounds = append(raw.Rounds, round{Rate: rate, P50: s.p50[i], P99: s.p99[i], CPU: s.cpu[i]})
		}
		rep.Series = append(rep.Series, raw)
	}
	rep.Goals = []goal{{Name: "PutSecretValue, times the raw commit rate", Measured: rate.median() / sides[2].rate.median(), Limit: 0.6, AtLeast: true}}
	return rep, nil
}
