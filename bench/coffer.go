package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// buildCoffer builds the server and returns the program's path.
func buildCoffer(ctx context.Context, dir string) (string, error) {
	exe := filepath.Join(dir, "coffer")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", exe, "coffer/cmd/coffer").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build coffer/cmd/coffer: %w\n%s", err, out)
	}
	return exe, nil
}

// coffer is a running server.
type coffer struct {
	*process
	exe, dir string
	plain    bool
	creds    credentials
	endpoint endpoint
	admin    string
	control  string // socket
}

// running is a data directory's server.json.
type running struct {
	PID     int    `json:"pid"`
	URL     string `json:"url"`
	Admin   string `json:"admin"`
	Control string `json:"control"`
	CA      string `json:"caBundle"`
}

// startCoffer starts a server on a data directory and returns when it says
// where it listens; it may not be ready yet.
func startCoffer(ctx context.Context, exe, dir string, plain bool) (*coffer, error) {
	args := []string{"server", "--data-dir", dir, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-level", "warn"}
	if plain {
		args = append(args, "--plain-http")
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	// No flag: the older programs that one may compare with do not know it.
	cmd.Env = append(os.Environ(), "COFFER_THROTTLE=off")
	p, err := start(cmd)
	if err != nil {
		return nil, err
	}
	c := &coffer{process: p, exe: exe, dir: dir, plain: plain}
	run, err := c.waitRunning(ctx)
	if err == nil {
		c.creds, err = readJSON[credentials](filepath.Join(dir, "credentials.json"))
	}
	if err == nil {
		c.admin, c.control = run.Admin, run.Control
		c.endpoint, err = endpointOf(run)
	}
	if err != nil {
		p.kill()
		return nil, p.explain(err)
	}
	return c, nil
}

// waitRunning waits until server.json is this process's own.
func (c *coffer) waitRunning(ctx context.Context) (running, error) {
	for {
		run, err := readJSON[running](filepath.Join(c.dir, "server.json"))
		if err == nil && run.PID == c.pid() {
			return run, nil
		}
		select {
		case <-c.exited:
			return running{}, fmt.Errorf("coffer server ended at once: %w", c.state)
		case <-ctx.Done():
			return running{}, ctx.Err()
		case <-time.After(500 * time.Microsecond):
		}
	}
}

func endpointOf(run running) (endpoint, error) {
	scheme, addr, _ := strings.Cut(run.URL, "://")
	e := endpoint{addr: addr}
	if scheme == "http" {
		return e, nil
	}
	ca, err := os.ReadFile(run.CA)
	if err != nil {
		return e, err
	}
	e.roots = x509.NewCertPool()
	if !e.roots.AppendCertsFromPEM(ca) {
		return e, fmt.Errorf("%s holds no certificate", run.CA)
	}
	return e, nil
}

func readJSON[T any](path string) (v T, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(b, &v)
}

// waitReady waits until the server says that it is ready.
func (c *coffer) waitReady(ctx context.Context) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.admin+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-c.exited:
			return c.explain(fmt.Errorf("coffer server ended: %w", c.state))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// metrics reads the server's figures by name, those with labels also summed up.
func (c *coffer) metrics(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.admin+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return parseMetrics(resp.Body)
}

func parseMetrics(r io.Reader) (map[string]float64, error) {
	m := make(map[string]float64)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		if bare, _, labelled := strings.Cut(name, "{"); labelled {
			m[bare] += v
		}
		m[name] += v
	}
	return m, lines.Err()
}

// ask sends a request to the control socket, which speaks JSON over HTTP.
func (c *coffer) ask(ctx context.Context, path string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://coffer"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	socket := http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.control)
	}}
	resp, err := socket.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("control socket, %s: %s", path, text)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, answer)
}

// createAccount makes a further account and returns its root's keys.
func (c *coffer) createAccount(ctx context.Context, name string) (root credentials, err error) {
	err = c.ask(ctx, "/accounts", map[string]string{"name": name}, &root)
	return root, err
}

// as is the same server for a caller with other credentials.
func (c *coffer) as(of credentials) *coffer {
	other := *c
	other.creds = of
	return &other
}

// each runs f for every i below n, on as many connections as asked for.
func (c *coffer) each(ctx context.Context, conns, n int, f func(cn *conn, s *signer, i int) error) error {
	clients, err := dialAll(ctx, c.endpoint, conns)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { setDeadlines(clients, time.Now()) })()
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, cn := range clients {
		wg.Go(func() {
			s := newSigner(c.creds, c.endpoint.addr)
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				if err := f(cn, s, i); err != nil {
					cancel(fmt.Errorf("secret %d: %w", i, err))
					return
				}
			}
		})
	}
	wg.Wait()
	return c.explain(context.Cause(ctx))
}

// fill creates secrets from to n-1. done counts them, for a progress line. Values
// follow from the number, so that a fill that was broken off can be repeated.
func (c *coffer) fill(ctx context.Context, conns, from, n, valueSize int, done *atomic.Int64) error {
	return c.each(ctx, conns, n-from, func(cn *conn, s *signer, i int) error {
		i += from
		cn.SetDeadline(time.Now().Add(stuck))
		_, err := cn.call(s, "CreateSecret", fmt.Appendf(nil, `{"Name":%q,"ClientRequestToken":%q,"SecretString":%q}`,
			secretName(i), versionID(i, 0), secretValue(newRand(i), valueSize)))
		if err == nil && done != nil {
			done.Add(1)
		}
		return err
	})
}

// freshCoffer starts a server on a new directory and creates n secrets.
func freshCoffer(ctx context.Context, exe, dir string, plain bool, conns, n, valueSize int) (*coffer, error) {
	c, err := startCoffer(ctx, exe, dir, plain)
	if err != nil {
		return nil, err
	}
	if err = c.waitReady(ctx); err == nil {
		err = c.fill(ctx, conns, 0, n, valueSize, nil)
	}
	if err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// get reads one secret and checks the answer.
func (c *coffer) get(cn *conn, s *signer, i int) (response, error) {
	cn.SetDeadline(time.Now().Add(stuck))
	r, err := cn.call(s, "GetSecretValue", fmt.Appendf(nil, `{"SecretId":%q}`, secretName(i)))
	if err == nil {
		err = r.check([]byte(versionID(i, 0)))
	}
	return r, err
}

// tool runs one of coffer's other commands on the data directory of a stopped
// server and returns what it printed.
func tool(ctx context.Context, exe string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, exe, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return text, fmt.Errorf("coffer %s: %w\n%s", args[0], err, text)
	}
	return text, err
}
