package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"coffer/internal/builtin"
	"coffer/internal/cloudwatchlogs"
	"coffer/internal/lambda"
	"coffer/internal/runner"
	"coffer/internal/table"
)

const (
	// Beyond it, loud functions wait with their logs: the store is for callers first.
	logWrites = 4

	builtInMemory = 256 // MiB

	functionsTimeout = 20 * time.Second // for events under way at shutdown
)

// functions is what runs functions: made last, as they need the API's address.
type functions struct {
	*runner.Runner
	listener net.Listener // of the AWS API, for them alone
	cert     *tls.Certificate
}

// builtIns are the functions that come with Coffer as the Lambda service takes them. They
// were modified when this program was.
func builtIns() ([]lambda.BuiltIn, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	file, err := os.Stat(program)
	if err != nil {
		return nil, err
	}
	out := make([]lambda.BuiltIn, len(builtin.Functions))
	for i, f := range builtin.Functions {
		out[i] = lambda.BuiltIn{Name: f.Name, Description: f.Summary, Timeout: f.Timeout, Memory: builtInMemory, Modified: file.ModTime()}
	}
	return out, nil
}

// openFunctions makes the runner, and the listener by which functions reach the API: one of
// this machine only, with TLS and a certificate of its own, whatever addresses and
// certificates the others have.
func (s *Server) openFunctions(ctx context.Context) (err error) {
	const host = "127.0.0.1"
	var lc net.ListenConfig
	f := s.functions
	if f.listener, err = lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0")); err != nil {
		return fmt.Errorf("cannot listen on loopback for functions: %w; --functions off does without", err)
	}
	s.closers = append(s.closers, closeListener(f.listener))
	cfg := s.cfg.Functions
	if f.cert, cfg.CA, err = memoryCertificate(host); err != nil {
		return fmt.Errorf("certificate for functions: %w", err)
	}
	if cfg.Dir, err = s.functionsDir(); err != nil {
		return err
	}
	cfg.Endpoint = "https://" + f.listener.Addr().String()
	cfg.Logs = &functionLogs{cloudwatchlogs.NewWriter(s.services.logs, s.gate, logWrites)}
	cfg.Logger, cfg.Metrics = s.cfg.Logger, runner.NewMetrics(s.registry)
	if f.Runner, err = runner.New(cfg); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // who had to be waited for was: Run did
		return f.Close(ctx)
	})
	return nil
}

// functionsDir is where unpacked code and what functions write is kept.
func (s *Server) functionsDir() (string, error) {
	if !s.cfg.Dev && s.cfg.Dir != "" {
		return filepath.Abs(s.cfg.Dir.path("functions"))
	}
	dir, err := os.MkdirTemp("", "coffer-functions-")
	if err != nil {
		return "", err
	}
	s.closers = append(s.closers, func() error { return os.RemoveAll(dir) })
	return dir, nil
}

// certificate is tls.Config.GetCertificate.
func (f *functions) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.cert, nil }

// functionLogs puts what functions print into CloudWatch Logs.
type functionLogs struct{ writer *cloudwatchlogs.Writer }

// Write implements runner.Logs.
func (l *functionLogs) Write(ctx context.Context, f *lambda.Executable, stream string, events []runner.LogEvent) error {
	in := make([]cloudwatchlogs.Event, len(events))
	for i, e := range events {
		in[i] = cloudwatchlogs.Event{Time: table.At(e.Time), Message: []byte(e.Message)}
	}
	for {
		put, err := l.writer.Write(ctx, f.Account, f.Region, f.LogGroup, stream, in)
		if err == nil || put == 0 {
			return err
		}
		in = in[put:] // some are stored: the rest is tried by itself
	}
}
