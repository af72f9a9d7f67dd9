package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"coffer/internal/audit"
	"coffer/internal/coffertest"
	"coffer/internal/server"
)

const (
	vpce = "vpce-0123456789abcdef0"
	vpc  = "vpc-0fedcba9876543210"
)

// behind starts a server with an endpoint, and returns a client that goes through it.
func behind(t *testing.T, policy string, opts ...coffertest.Option) (*coffertest.Server, *secretsmanager.Client) {
	t.Helper()
	e := server.Endpoint{ID: vpce, VPC: vpc, Listen: "127.0.0.1:0"}
	if policy != "" {
		e.Policy = filepath.Join(t.TempDir(), "policy.json")
		if err := os.WriteFile(e.Policy, []byte(policy), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := coffertest.Start(t, append([]coffertest.Option{coffertest.InMemory(), coffertest.With(func(c *server.Config) { c.Endpoints = server.Endpoints{e} })}, opts...)...)
	cfg := s.Config("eu-west-1")
	cfg.BaseEndpoint = aws.String(s.EndpointURL(vpce))
	return s, secretsmanager.NewFromConfig(cfg)
}

// read reads the secret "s".
func read(c *secretsmanager.Client) error {
	_, err := c.GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("s")})
	return err
}

func makeSecret(t *testing.T, c *secretsmanager.Client, policy string) {
	t.Helper()
	ctx := context.Background()
	if _, err := c.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("v")}); err != nil {
		t.Fatal(err)
	}
	if policy == "" {
		return
	}
	if _, err := c.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: aws.String("s"), ResourcePolicy: &policy}); err != nil {
		t.Fatal(err)
	}
}

// wantDenied wants a denial that ends so.
func wantDenied(t *testing.T, err error, end string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || !strings.HasPrefix(e.ErrorCode(), "AccessDenied") || !strings.HasSuffix(e.ErrorMessage(), end) {
		t.Errorf("got %v, want a denial %q", err, end)
	}
}

// Policies see through which endpoint a call comes, and then from no address.
func TestEndpointConditions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		condition     string
		main, through bool // the condition holds
	}{
		"the endpoint":          {`"StringEquals":{"aws:SourceVpce":"` + vpce + `"}`, false, true},
		"another endpoint":      {`"StringEquals":{"aws:SourceVpce":"vpce-00000000000000000"}`, false, false},
		"the VPC":               {`"StringEquals":{"aws:SourceVpc":"` + vpc + `"}`, false, true},
		"its address in there":  {`"IpAddress":{"aws:VpcSourceIp":"127.0.0.0/8"}`, false, true},
		"an address of no VPC":  {`"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}`, true, false},
		"no endpoint":           {`"Null":{"aws:SourceVpce":"true"}`, true, false},
		"no address":            {`"Null":{"aws:SourceIp":"true"}`, false, true},
		"no address in the VPC": {`"Null":{"aws:VpcSourceIp":"true"}`, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, through := behind(t, "")
			main := s.SecretsManager(t)
			makeSecret(t, main, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*","Condition":{`+tc.condition+`}}}`)
			for _, call := range []struct {
				name   string
				client *secretsmanager.Client
				denied bool
			}{{"the main listener", main, tc.main}, {"the endpoint", through, tc.through}} {
				if err := read(call.client); (err != nil) != call.denied {
					t.Errorf("through %s: %v, want denied %v", call.name, err, call.denied)
				}
			}
		})
	}
}

// What an endpoint's policy does not allow is refused there and nowhere else; the
// audit log says through which endpoint a call came.
func TestEndpointPolicy(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, through := behind(t, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":"*","Action":["secretsmanager:Get*","secretsmanager:CreateSecret"],"Resource":"*"},
		{"Effect":"Deny","Principal":"*","Action":"secretsmanager:GetRandomPassword","Resource":"*"}]}`)
	makeSecret(t, through, "")
	if err := read(through); err != nil {
		t.Error(err)
	}
	_, err := through.ListSecrets(ctx, &secretsmanager.ListSecretsInput{})
	wantDenied(t, err, "is not authorized to perform: secretsmanager:ListSecrets because no VPC endpoint policy allows the secretsmanager:ListSecrets action")
	_, err = through.GetRandomPassword(ctx, &secretsmanager.GetRandomPasswordInput{})
	wantDenied(t, err, "is not authorized to perform: secretsmanager:GetRandomPassword with an explicit deny in a VPC endpoint policy")
	if _, err := s.SecretsManager(t).ListSecrets(ctx, &secretsmanager.ListSecretsInput{}); err != nil {
		t.Errorf("through the main listener: %v", err)
	}
	s.Stop(t)
	ids := make(map[string][]string)
	for _, r := range auditLog(t, s.Dir) {
		ids[r.EventName] = append(ids[r.EventName], r.VPCEndpointID)
	}
	for event, want := range map[string]string{
		"CreateSecret": "[" + vpce + "]", "GetSecretValue": "[" + vpce + "]", "GetRandomPassword": "[" + vpce + "]",
		"ListSecrets": "[" + vpce + " ]", "Decrypt": "[]",
	} {
		if got := fmt.Sprint(ids[event]); got != want {
			t.Errorf("%s: endpoints %s, want %s", event, got, want)
		}
	}
}

// An endpoint is for whom its policy names.
func TestEndpointPrincipals(t *testing.T) {
	t.Parallel()
	s, through := behind(t, `{"Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"*","Resource":"*"}}`)
	makeSecret(t, s.SecretsManager(t), "")
	wantDenied(t, read(through), "because no VPC endpoint policy allows the secretsmanager:GetSecretValue action")
}

// The policy file is taken up when it changes; one that is wrong or gone leaves the
// policy as it was, and the log says so.
func TestEndpointPolicyReload(t *testing.T) {
	t.Parallel()
	open := `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`
	closed := `{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}`
	var log logBuffer
	var file string
	s, through := behind(t, open, coffertest.With(func(c *server.Config) {
		c.Logger, file = slog.New(slog.NewTextHandler(&log, nil)), c.Endpoints[0].Policy
	}))
	makeSecret(t, s.SecretsManager(t), "")
	becomes := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not after 20 s: %s", what)
			}
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	warnings := func() int { return strings.Count(log.String(), "a changed endpoint policy cannot be used") }

	write(closed)
	becomes("closed", func() bool { return read(through) != nil })
	write(`{"Statement":`)
	becomes("a warning", func() bool { return warnings() == 1 })
	wantDenied(t, read(through), "with an explicit deny in a VPC endpoint policy")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	becomes("a second warning", func() bool { return warnings() == 2 })
	wantDenied(t, read(through), "with an explicit deny in a VPC endpoint policy")
	write(open)
	becomes("open", func() bool { return read(through) == nil })
	if n := warnings(); n != 2 {
		t.Errorf("%d warnings, want 2", n)
	}
}

// What is no endpoint is told in words that help.
func TestEndpointSettings(t *testing.T) {
	t.Parallel()
	good := "id=" + vpce + ",listen=10.0.0.5:8443"
	for s, wrong := range map[string]string{
		good: "",
		good + ",vpc=" + vpc + ",policy=/etc/coffer/policy.json": "",
		"id=vpce-0a1b2c3d, listen=[::1]:8443":                    "",
		"listen=10.0.0.5:8443":                                   `id "" is not vpce- and 17 hexadecimal digits, such as vpce-`,
		"id=vpce-012,listen=10.0.0.5:8443":                       `id "vpce-012" is not`,
		"id=vpce-0123456789ABCDEF0,listen=10.0.0.5:8443":         "is not vpce- and 17",
		"id=" + vpce:                           `listen "" is not an address; write HOST:PORT`,
		"id=" + vpce + ",listen=10.0.0.5":      `listen "10.0.0.5" is not an address`,
		good + ",vpc=default":                  `vpc "default" is not vpc- and 17`,
		good + ",listen=10.0.0.6:1":            "listen is given twice",
		good + ",policy=":                      "policy has no value",
		good + ",port=1":                       `"port=1" is not one of id=, listen=, vpc= and policy=`,
		"":                                     `"" is not one of id=`,
		strings.ReplaceAll(good, "id=", "id:"): "is not one of",
	} {
		var es server.Endpoints
		err := es.Set(s)
		if wrong == "" && (err != nil || len(es) != 1 || es[0].ID == "") || wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)) {
			t.Errorf("%q: %v, want %q", s, err, wrong)
		}
	}
}

// A server does not start with an endpoint that is not what was meant.
func TestRefusedEndpoints(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	for name, tc := range map[string]struct {
		endpoints server.Endpoints
		want      string
	}{
		"no such file":       {server.Endpoints{{ID: vpce, Listen: "127.0.0.1:0", Policy: "/nowhere.json"}}, "policy of endpoint " + vpce + ": open /nowhere.json"},
		"no JSON":            {server.Endpoints{{ID: vpce, Listen: "127.0.0.1:0", Policy: file("a", "{")}}, filepath.Join(dir, "a") + ": policy: "},
		"no principal":       {server.Endpoints{{ID: vpce, Listen: "127.0.0.1:0", Policy: file("b", `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)}}, "Principal"},
		"too long":           {server.Endpoints{{ID: vpce, Listen: "127.0.0.1:0", Policy: file("c", strings.Repeat(" ", 20481))}}, "more than 20480 characters"},
		"far too long":       {server.Endpoints{{ID: vpce, Listen: "127.0.0.1:0", Policy: file("d", strings.Repeat(" ", 1<<20))}}, "more than 20480 characters"},
		"two of one id":      {server.Endpoints{{ID: vpce, Listen: "127.0.0.1:0"}, {ID: vpce, Listen: "127.0.0.1:0"}}, "given twice"},
		"an address of none": {server.Endpoints{{ID: vpce, Listen: "203.0.113.1:1"}}, "endpoint " + vpce + " cannot listen on 203.0.113.1:1"},
	} {
		cfg := newConfig(t)
		cfg.Endpoints = tc.endpoints
		s, err := server.New(context.Background(), cfg)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
		if left, _ := os.ReadDir(string(cfg.Dir)); len(left) > 0 {
			t.Errorf("%s: %d files were left behind", name, len(left))
		}
	}
	cfg := newConfig(t)
	cfg.Dev, cfg.Listen, cfg.Endpoints = true, "127.0.0.1:0", server.Endpoints{{ID: vpce, Listen: "0.0.0.0:0"}}
	if s, err := server.New(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "loopback addresses only") {
		t.Errorf("--dev for others: %v", err)
		s.Close()
	}
}

// The server's own certificate names the addresses of the endpoints.
func TestEndpointCertificate(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("127.0.0.9 is an address of this machine on Linux only")
	}
	t.Parallel()
	s, _ := behind(t, "", coffertest.With(func(c *server.Config) { c.Endpoints[0].Listen = "127.0.0.9:0" }))
	cfg := s.Config("eu-west-1")
	cfg.BaseEndpoint = aws.String(s.EndpointURL(vpce))
	if !strings.HasPrefix(*cfg.BaseEndpoint, "https://127.0.0.9:") {
		t.Errorf("the endpoint is at %s", *cfg.BaseEndpoint)
	}
	if _, err := sts.NewFromConfig(cfg).GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{}); err != nil {
		var unknown *tls.CertificateVerificationError
		t.Errorf("a call through the endpoint: %v (certificate: %v)", err, errors.As(err, &unknown))
	}
}

// logBuffer is a log that a test reads while the server writes.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// auditLog reads all records of a data directory.
func auditLog(t *testing.T, d server.Dir) (all []audit.Record) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(d.Audit(), "audit-*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no audit log in %s (%v)", d, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			var l struct{ Record json.RawMessage }
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if l.Record == nil {
				continue // the header
			}
			r, err := audit.ParseRecord(l.Record)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all = append(all, r)
		}
	}
	return all
}
