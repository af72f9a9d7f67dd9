package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// readOptions say how reads are measured.
type readOptions struct {
	conns, secrets, value int
	rounds                int
	slot                  time.Duration
	paced                 bool
	coffer                bool
	transports            string // both, http or tls
}

func (o *readOptions) flags(fs *flag.FlagSet) {
	fs.IntVar(&o.conns, "conns", 32, "connections, each with one request under way")
	fs.IntVar(&o.secrets, "secrets", 1000, "secrets that are read, at random")
	fs.IntVar(&o.value, "value", 200, "bytes of a secret value")
	fs.IntVar(&o.rounds, "rounds", 5, "rounds; each measures every server once")
	fs.DurationVar(&o.slot, "slot", 3*time.Second, "how long one server is measured in one round")
	fs.BoolVar(&o.paced, "half", true, "also measure latency at half of each server's peak")
	fs.BoolVar(&o.coffer, "coffer", true, "measure Coffer; without it only the two yardsticks")
	fs.StringVar(&o.transports, "transport", "both", "http, tls or both")
}

// readTarget is one server under one transport.
type readTarget struct {
	name, transport string
	endpoint        endpoint
	creds           credentials
	want            string // in every answer; empty: each secret's own version
	process         *process
	coffer          *coffer    // nil for a yardstick
	answer          readSample // of coffer
	conns           []*conn
	src             source
	peak, half      []*result
}

// measureRead compares GetSecretValue with the two yardsticks.
func measureRead(ctx context.Context, env *environment, o readOptions) (*report, error) {
	var targets []*readTarget
	defer func() {
		for _, t := range targets {
			closeAll(t.conns)
			t.process.kill()
		}
	}()
	for _, transport := range []string{"HTTP", "TLS 1.3"} {
		useTLS := transport != "HTTP"
		if o.transports == "http" && useTLS || o.transports == "tls" && !useTLS {
			continue
		}
		sample := exampleRead(o.value)
		var last *readTarget
		if o.coffer {
			env.progress("starting Coffer over %s with %d secrets", transport, o.secrets)
			c, err := freshCoffer(ctx, env.coffer, env.path("read-"+transport[:3]), !useTLS, o.conns, o.secrets, o.value)
			if err != nil {
				return nil, err
			}
			last = &readTarget{name: "Coffer", transport: transport, endpoint: c.endpoint, creds: c.creds, process: c.process, coffer: c}
			if sample, err = sampleRead(ctx, c); err != nil {
				c.kill()
				return nil, err
			}
			last.answer = sample
		}
		for _, kind := range []string{kindBare, kindCeiling} {
			t, err := startBaseline(ctx, env, kind, useTLS, sample, o)
			if err != nil {
				if last != nil {
					last.process.kill()
				}
				return nil, err
			}
			t.transport = transport
			targets = append(targets, t)
		}
		if last != nil {
			targets = append(targets, last)
		}
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("--transport is http, tls or both, not %q", o.transports)
	}
	var logged auditLoad
	if err := logged.count(ctx, targets, -1); err != nil {
		return nil, err
	}
	if err := measureTargets(ctx, env, targets, o); err != nil {
		return nil, err
	}
	if err := logged.count(ctx, targets, 1); err != nil {
		return nil, err
	}
	r := readReport(targets, o)
	for _, t := range targets {
		if t.coffer != nil {
			r.Notes = append(r.Notes, fmt.Sprintf("Over %s an answer has %d bytes and its own audit record %d.", t.transport, len(t.answer.Answer), t.answer.AuditLine))
		}
	}
	if logged.calls > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("Coffer wrote %s audit records with %s bytes per call: KMS's Decrypt has one of its own, which the ceiling is spared.", figure(logged.records/logged.calls), figure(logged.bytes/logged.calls)))
	}
	return r, nil
}

// auditLoad is what Coffer logged during a measurement.
type auditLoad struct{ calls, records, bytes float64 }

// count adds the counters of all Coffers so far, times sign.
func (a *auditLoad) count(ctx context.Context, targets []*readTarget, sign float64) error {
	for _, t := range targets {
		if t.coffer == nil {
			continue
		}
		m, err := t.coffer.metrics(ctx)
		if err != nil {
			return err
		}
		a.calls += sign * m["coffer_calls_total"]
		a.records += sign * m["coffer_audit_records_total"]
		a.bytes += sign * m["coffer_audit_bytes_total"]
	}
	return nil
}

// startBaseline starts a yardstick.
func startBaseline(ctx context.Context, env *environment, kind string, useTLS bool, s readSample, o readOptions) (*readTarget, error) {
	dir := env.path(fmt.Sprintf("%s-%t", kind, useTLS))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	creds := credentials{AccessKeyID: "AKIABENCHBENCHBENCHX", SecretAccessKey: "benchbenchbenchbenchbenchbenchbenchbench"}
	var ready baselineReady
	h, err := startHelper(ctx, kind, baselineConfig{
		TLS: useTLS, Credentials: creds, Answer: s.Answer, AuditLine: s.AuditLine, Value: o.value, Dir: dir,
	}, &ready)
	if err != nil {
		return nil, err
	}
	t := &readTarget{name: map[string]string{kindBare: "bare net/http", kindCeiling: "honest ceiling"}[kind],
		endpoint: endpoint{addr: ready.Addr}, creds: creds, want: "VersionId", process: h.process}
	if useTLS {
		t.endpoint.roots = x509.NewCertPool()
		t.endpoint.roots.AppendCertsFromPEM(ready.Cert)
	}
	return t, nil
}

// readSample is what the yardsticks imitate.
type readSample struct {
	Answer    []byte
	AuditLine int
}

// exampleRead is used when Coffer is not measured.
func exampleRead(value int) readSample {
	return readSample{
		Answer: fmt.Appendf(nil, `{"ARN":"arn:aws:secretsmanager:us-east-1:123456789012:secret:%s-AbCdEf","CreatedDate":1790000000.123,"Name":%q,"SecretString":%q,"VersionId":%q,"VersionStages":["AWSCURRENT"]}`,
			secretName(0), secretName(0), secretValue(newRand(0), value), versionID(0, 0)),
		AuditLine: 900,
	}
}

// sampleRead takes an answer and its audit line from Coffer.
func sampleRead(ctx context.Context, c *coffer) (readSample, error) {
	conn, err := dial(ctx, c.endpoint)
	if err != nil {
		return readSample{}, err
	}
	defer conn.Close()
	r, err := c.get(conn, newSigner(c.creds, c.endpoint.addr), 0)
	if err != nil {
		return readSample{}, err
	}
	s := readSample{Answer: bytes.Clone(r.body)}
	segments, err := auditSegments(c.dir)
	if err != nil {
		return s, err
	}
	for _, name := range slices.Backward(segments) {
		b, err := os.ReadFile(name)
		if err != nil {
			return s, err
		}
		for line := range bytes.Lines(b) {
			if bytes.Contains(line, r.requestID) && bytes.Contains(line, []byte(`"eventName":"GetSecretValue"`)) {
				s.AuditLine = len(line)
				return s, nil
			}
		}
	}
	return s, errors.New("the audit log has no record of a GetSecretValue that was answered")
}

// auditSegments are the files of a data directory's audit log, oldest first.
func auditSegments(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "audit", "audit-*.jsonl"))
	slices.Sort(names)
	return names, err
}

// measureTargets runs the rounds: every server in turn, so that what disturbs
// the machine disturbs all alike.
func measureTargets(ctx context.Context, env *environment, targets []*readTarget, o readOptions) (err error) {
	for _, t := range targets {
		if t.conns, err = dialAll(ctx, t.endpoint, o.conns); err != nil {
			return err
		}
	}
	for round := range o.rounds + 1 {
		for _, t := range targets {
			// Signatures live five minutes.
			if err := t.sign(o); err != nil {
				return err
			}
			slot := o.slot
			if round == 0 { // warms connections, caches and the collector's pace up
				slot = min(slot, time.Second)
			}
			r, err := closedLoop(ctx, t.conns, t.src, t.process.cpu, slot)
			if err != nil {
				return fmt.Errorf("%s over %s: %w", t.name, t.transport, t.process.explain(err))
			}
			if round > 0 {
				t.peak = append(t.peak, r)
				env.progress("round %d of %d: %s over %s: %s requests/s, %s µs CPU", round, o.rounds, t.name, t.transport, figure(r.rate()), figure(r.cpuPer()))
			}
		}
	}
	if !o.paced {
		return nil
	}
	for round := range o.rounds {
		for _, t := range targets {
			if err := t.sign(o); err != nil {
				return err
			}
			r, err := openLoop(ctx, t.conns, t.src, t.process.cpu, t.rates().median()/2, o.slot)
			if err != nil {
				return fmt.Errorf("%s over %s at half load: %w", t.name, t.transport, t.process.explain(err))
			}
			t.half = append(t.half, r)
			env.progress("half load, round %d of %d: %s over %s: p99 %s", round+1, o.rounds, t.name, t.transport, micros(r.hist.quantile(0.99)))
		}
	}
	return nil
}

func (t *readTarget) sign(o readOptions) error {
	s, err := signGets(t.creds, t.endpoint.addr, secretName, o.secrets, o.secrets, o.conns)
	if err == nil && t.want != "" {
		s.expect(t.want)
	}
	t.src = s
	return err
}

func each(rs []*result, f func(*result) float64) values {
	var v values
	for _, r := range rs {
		v = append(v, f(r))
	}
	return v
}

func (t *readTarget) rates() values { return each(t.peak, (*result).rate) }

func quantileMicros(q float64) func(*result) float64 {
	return func(r *result) float64 { return float64(r.hist.quantile(q)) / 1e3 }
}

func readReport(targets []*readTarget, o readOptions) *report {
	r := &report{
		Name: "read", Title: "Reads",
		Setup: fmt.Sprintf("GetSecretValue of one of %d secrets of %d bytes, %d keep-alive connections over HTTP/1.1. %d rounds of %s per server, alternating; medians, with the smallest and largest round. "+
			"\"Bare\" reads the body and returns the same bytes; the ceiling also verifies the signature, opens two AES-256-GCM ciphertexts and buffers an audit line of the same size.",
			o.secrets, o.value, o.conns, o.rounds, o.slot),
	}
	peak := table{Title: "At peak load", Head: []string{"server", "transport", "requests/s", "p50 µs", "p99 µs", "server CPU µs/request", "CPU, of the ceiling's", "rate, of the ceiling's", "load generator CPU µs"}}
	half := table{Title: "At half of each server's own peak, paced, latency from when a request was due", Head: []string{"server", "transport", "requests/s", "p50 µs", "p99 µs", "p99, of the ceiling's", "server CPU µs/request"}}
	for _, t := range targets {
		r.addSeries(t.name+" over "+t.transport+", peak", t.peak)
		if o.paced {
			r.addSeries(t.name+" over "+t.transport+", half of peak", t.half)
		}
		ceiling := t
		for _, c := range targets {
			if c.transport == t.transport && c.name == "honest ceiling" {
				ceiling = c
			}
		}
		cpu, rate := each(t.peak, (*result).cpuPer), t.rates()
		ratio := cpu.median() / each(ceiling.peak, (*result).cpuPer).median()
		peak.add(t.name, t.transport, rate.String(), each(t.peak, quantileMicros(0.50)).String(), each(t.peak, quantileMicros(0.99)).String(),
			cpu.String(), figure(ratio), figure(rate.median()/ceiling.rates().median()), each(t.peak, (*result).clientPer).String())
		if t.name == "Coffer" {
			r.Goals = append(r.Goals, goal{Name: "server CPU per GetSecretValue over " + t.transport + ", times the ceiling's", Measured: ratio, Limit: 1.6})
		}
		if !o.paced {
			continue
		}
		p99 := each(t.half, quantileMicros(0.99))
		lag := p99.median() / each(ceiling.half, quantileMicros(0.99)).median()
		half.add(t.name, t.transport, each(t.half, (*result).rate).String(), each(t.half, quantileMicros(0.50)).String(), p99.String(), figure(lag), each(t.half, (*result).cpuPer).String())
		if t.name == "Coffer" {
			r.Goals = append(r.Goals, goal{Name: "p99 at half of peak load over " + t.transport + ", times the ceiling's", Measured: lag, Limit: 5})
		}
	}
	r.Tables = []table{peak}
	if o.paced {
		r.Tables = append(r.Tables, half)
	}
	return r
}
