package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// endpoint is where a server listens. roots is nil for plain HTTP.
type endpoint struct {
	addr  string
	roots *x509.CertPool
}

// conn is one keep-alive connection.
type conn struct {
	net.Conn
	answers *responseReader
	buf     []byte
}

// dial opens a connection. TLS is 1.3 and HTTP is 1.1 for every server.
func dial(ctx context.Context, e endpoint) (*conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	raw, err := d.DialContext(ctx, "tcp", e.addr)
	if err != nil {
		return nil, err
	}
	if e.roots != nil {
		t := tls.Client(raw, &tls.Config{RootCAs: e.roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13})
		if err := t.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		raw = t
	}
	return &conn{Conn: raw, answers: newResponseReader(raw)}, nil
}

func dialAll(ctx context.Context, e endpoint, n int) (conns []*conn, err error) {
	for range n {
		c, err := dial(ctx, e)
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		conns = append(conns, c)
	}
	return conns, nil
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		c.Close()
	}
}

// do sends a request and reads its answer.
func (c *conn) do(request []byte) (response, error) {
	if _, err := c.Write(request); err != nil {
		return response{}, err
	}
	return c.answers.next()
}

// call signs and sends one operation, and wants 200.
func (c *conn) call(s *signer, operation string, body []byte) (response, error) {
	r, _, err := c.timed(s, operation, body)
	return r, err
}

// timed is call, and tells how long the answer took.
func (c *conn) timed(s *signer, operation string, body []byte) (r response, took time.Duration, err error) {
	if c.buf, err = s.append(c.buf[:0], operation, body); err != nil {
		return r, 0, err
	}
	start := time.Now()
	r, err = c.do(c.buf)
	took = time.Since(start)
	if err == nil && r.status != 200 {
		err = fmt.Errorf("%s: status %d: %.300s", operation, r.status, r.body)
	}
	return r, took, err
}

// check makes an unexpected answer an error: a benchmark of wrong answers is
// worth nothing.
func (r response) check(want []byte) error {
	if r.status != 200 {
		return fmt.Errorf("status %d: %.300s", r.status, r.body)
	}
	if !bytes.Contains(r.body, want) {
		return fmt.Errorf("the answer does not contain %q: %.300s", want, r.body)
	}
	return nil
}

// result is what one measurement gave.
type result struct {
	hist    histogram
	elapsed time.Duration
	cpu     time.Duration // of the server
	client  time.Duration // CPU of the load generator
}

func (r *result) rate() float64 { return float64(r.hist.n) / r.elapsed.Seconds() }

// cpuPer is the server's CPU per request in microseconds.
func (r *result) cpuPer() float64 {
	return float64(r.cpu.Microseconds()) / float64(max(r.hist.n, 1))
}

// clientPer is the load generator's CPU per request in microseconds.
func (r *result) clientPer() float64 {
	return float64(r.client.Microseconds()) / float64(max(r.hist.n, 1))
}

// meter measures the CPU of the server and of the load generator over a run.
type meter struct {
	cpu            func() (time.Duration, error) // of the server so far
	server, client time.Duration
}

// begin starts measuring.
func (m *meter) begin() (err error) {
	if m.server, err = m.cpu(); err == nil {
		m.client, err = cpuTime(os.Getpid())
	}
	return err
}

// end puts what was taken since into r.
func (m *meter) end(r *result) error {
	server, err := m.cpu()
	if err != nil {
		return err
	}
	client, err := cpuTime(os.Getpid())
	r.cpu, r.client = server-m.server, client-m.client
	return err
}

// stuck is how much longer than its time a measurement may take before its
// connections are cut.
const stuck = 15 * time.Second

func setDeadlines(conns []*conn, t time.Time) {
	for _, c := range conns {
		c.SetDeadline(t)
	}
}

// closedLoop keeps one request under way on every connection for d: the most
// the server gives. cpu tells the server's CPU time so far.
func closedLoop(ctx context.Context, conns []*conn, src source, cpu func() (time.Duration, error), d time.Duration) (*result, error) {
	hists := make([]histogram, len(conns))
	errs := make([]error, len(conns))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := meter{cpu: cpu}
	if err := m.begin(); err != nil {
		return nil, err
	}
	start := time.Now()
	end := start.Add(d)
	setDeadlines(conns, end.Add(stuck))
	defer context.AfterFunc(ctx, func() { setDeadlines(conns, time.Now()) })()
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			if errs[i] = c.loop(&hists[i], src, i, end); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	r := &result{elapsed: time.Since(start)}
	err := m.end(r)
	for i := range hists {
		r.hist.add(&hists[i])
	}
	return r, errors.Join(append(errs, err)...)
}

func (c *conn) loop(h *histogram, src source, i int, end time.Time) error {
	for now := time.Now(); now.Before(end); {
		next, err := src.next(i)
		if err != nil {
			return err
		}
		r, err := c.do(next.request)
		if err != nil {
			return err
		}
		if err := r.check(next.want); err != nil {
			return err
		}
		done := time.Now()
		h.record(done.Sub(now))
		now = done
	}
	return nil
}
