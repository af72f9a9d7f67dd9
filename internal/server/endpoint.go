package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"coffer/internal/api"
	"coffer/internal/policy"
)

// Endpoint is a further listener of the AWS API, with an identity that policies
// can speak of: the counterpart of a VPC endpoint.
type Endpoint struct {
	ID     string // vpce- and 8 or 17 hexadecimal digits; aws:SourceVpce
	Listen string // host:port
	VPC    string // vpc- and as many; aws:SourceVpc; empty: none
	Policy string // file with what may be done through it; empty: everything
}

// Endpoints are the endpoints of a server.
type Endpoints []Endpoint

const (
	maxEndpointPolicy = 20480       // characters, white space included ("Control access to VPC endpoints using endpoint policies")
	policyCheck       = time.Second // look for a changed policy so often
)

var (
	endpointID = regexp.MustCompile(`^vpce-[0-9a-f]{8}([0-9a-f]{9})?$`)
	vpcID      = regexp.MustCompile(`^vpc-[0-9a-f]{8}([0-9a-f]{9})?$`)
)

// String implements flag.Value.
func (es *Endpoints) String() string { return "" }

// Set implements flag.Value: it adds an endpoint, written as
// id=vpce-0123456789abcdef0,listen=10.0.0.5:8443,vpc=vpc-0abc1234,policy=FILE.
func (es *Endpoints) Set(s string) error {
	var e Endpoint
	parts := map[string]*string{"id": &e.ID, "listen": &e.Listen, "vpc": &e.VPC, "policy": &e.Policy}
	for part := range strings.SplitSeq(s, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		at := parts[name]
		switch {
		case !ok || at == nil:
			return fmt.Errorf("%q is not one of id=, listen=, vpc= and policy=", part)
		case *at != "":
			return fmt.Errorf("%s is given twice", name)
		case value == "":
			return fmt.Errorf("%s has no value", name)
		}
		*at = value
	}
	if err := e.check(); err != nil {
		return err
	}
	*es = append(*es, e)
	return nil
}

func (e *Endpoint) check() error {
	if !endpointID.MatchString(e.ID) {
		return fmt.Errorf("id %q is not vpce- and 17 hexadecimal digits, such as vpce-0123456789abcdef0", e.ID)
	}
	if e.VPC != "" && !vpcID.MatchString(e.VPC) {
		return fmt.Errorf("vpc %q is not vpc- and 17 hexadecimal digits, such as vpc-0123456789abcdef0", e.VPC)
	}
	if _, _, err := net.SplitHostPort(e.Listen); err != nil {
		return fmt.Errorf("listen %q is not an address; write HOST:PORT, such as 10.0.0.5:8443", e.Listen)
	}
	return nil
}

// endpoint is an Endpoint that listens.
type endpoint struct {
	Endpoint
	listener net.Listener
	current  atomic.Pointer[api.Endpoint]
	text     []byte // of the policy file as last looked at; nil: it could not be read
}

// load reads the policy file.
func (e *endpoint) load() (err error) {
	if e.Policy == "" {
		e.current.Store(&api.Endpoint{ID: e.ID, VPC: e.VPC})
		return nil
	}
	if e.text, err = readPolicy(e.Policy); err != nil {
		return err
	}
	return e.use(e.text)
}

// use puts a policy in force if it is one.
func (e *endpoint) use(text []byte) error {
	d, err := policy.Parse(text, policy.Resource)
	if err != nil {
		return fmt.Errorf("%s: %w", e.Policy, err)
	}
	set := policy.NewSet(policy.Attachment{Document: d, Source: e.ID})
	e.current.Store(&api.Endpoint{ID: e.ID, VPC: e.VPC, Policy: set})
	return nil
}

// readPolicy reads a file that cannot be too long.
func readPolicy(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, utf8.UTFMax*maxEndpointPolicy+1))
	if err != nil {
		return nil, err
	}
	if utf8.RuneCount(text) > maxEndpointPolicy {
		return nil, fmt.Errorf("policy %s has more than %d characters", file, maxEndpointPolicy)
	}
	return text, nil
}

// look takes up a changed policy. A file that is gone or wrong is told once, and what
// it said before stays in force.
func (e *endpoint) look(warn func(msg string, args ...any)) {
	text, err := readPolicy(e.Policy)
	if (text == nil) == (e.text == nil) && bytes.Equal(text, e.text) {
		return
	}
	e.text = text
	if err == nil {
		err = e.use(text)
	}
	if err != nil {
		warn("a changed endpoint policy cannot be used; the old one stays", "endpoint", e.ID, "error", err)
	}
}

// watchEndpoints takes up changed policies until ctx ends.
func (s *Server) watchEndpoints(ctx context.Context) {
	tick := time.NewTicker(policyCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, e := range s.endpoints {
				if e.Policy != "" {
					e.look(s.cfg.Logger.Warn)
				}
			}
		}
	}
}
