package e2e_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"coffer/internal/server"
)

// process is `coffer server` as a process of its own, which can be killed.
type process struct {
	dir    server.Dir
	cmd    *exec.Cmd
	output *syncBuffer
	done   chan struct{} // closed when the process has ended
	err    error         // of its end
	creds  server.Credentials
	url    string
	client *http.Client
}

// spawn starts a process and waits until it serves, or has ended.
func spawn(t testing.TB, dir server.Dir, flags ...string) *process {
	t.Helper()
	p := &process{dir: dir, output: &syncBuffer{}, done: make(chan struct{})}
	p.cmd = coffer(t, append([]string{"server", "--data-dir", string(dir), "--listen", "127.0.0.1:0", "--admin-listen", "off", "--log-level", "debug", "--throttle", "off"}, flags...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() { p.kill() })
	eventually(t, "the server is ready or has ended", func() bool { return p.ended() || bytes.Contains(p.output.Bytes(), []byte("Coffer is ready.")) })
	if p.ended() {
		return p
	}
	run := must(server.ReadJSON[server.Running](dir.Running()))(t)
	p.creds = must(server.ReadJSON[server.Credentials](dir.Credentials()))(t)
	p.url = run.URL
	pem := must(os.ReadFile(run.CA))(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	p.client = &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true},
	}
	return p
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill is kill -9.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
}

// stop asks the process to end and wants exit code 0.
func (p *process) stop(t testing.TB) {
	t.Helper()
	p.client.CloseIdleConnections()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Fatal("the server does not stop")
	}
	if p.err != nil {
		t.Fatalf("the server ended with %v\n%s", p.err, p.output.Bytes())
	}
}

// refused checks that the process did not start, that it says why, and that it
// says no secret.
func (p *process) refused(t testing.TB, code int, want string) {
	t.Helper()
	if !p.ended() {
		t.Fatalf("the server has started, want: %s", want)
	}
	out := string(p.output.Bytes())
	if got := p.cmd.ProcessState.ExitCode(); got != code || !strings.Contains(out, want) {
		t.Errorf("exit code %d, output:\n%s\nwant exit code %d and: %s", got, out, code, want)
	}
	if strings.Contains(out, "goroutine ") || strings.Contains(out, marker) {
		t.Errorf("output:\n%s", out)
	}
}

// config is an SDK configuration for the process.
func (p *process) config() aws.Config {
	return aws.Config{
		Region:       "eu-west-1",
		BaseEndpoint: &p.url,
		Credentials:  credentials.NewStaticCredentialsProvider(p.creds.AccessKeyID, p.creds.SecretAccessKey, ""),
		HTTPClient:   p.client,
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// newDir is a data directory that does not exist yet.
func newDir(t testing.TB) server.Dir {
	t.Helper()
	return server.Dir(fmt.Sprint(t.TempDir(), "/data"))
}
