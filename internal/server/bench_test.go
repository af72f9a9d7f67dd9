package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coffer/internal/gateway"
	"coffer/internal/iam"
	"coffer/internal/policy"
	"coffer/internal/session"
	"coffer/internal/sigv4"
	"coffer/internal/table"
)

// discard is a ResponseWriter that keeps the status.
type discard struct {
	h      http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// gate is a server without its listeners, and a way to sign and send it requests.
type gate struct {
	b    *testing.B
	dir  Dir
	s    *Server
	stop func()
	by   sigv4.Signer
}

func newGate(b *testing.B) *gate {
	b.Helper()
	g := &gate{b: b, dir: Dir(b.TempDir())}
	if err := os.Chmod(string(g.dir), 0o700); err != nil {
		b.Fatal(err)
	}
	g.start()
	b.Cleanup(func() { g.stop() })
	cred, err := ReadJSON[Credentials](g.dir.Credentials())
	if err != nil {
		b.Fatal(err)
	}
	g.by = sigv4.Signer{AccessKeyID: cred.AccessKeyID, SecretAccessKey: sigv4.Secret(cred.SecretAccessKey)}
	return g
}

// start starts the server, of what is on the disk.
func (g *gate) start() {
	g.b.Helper()
	s, err := New(context.Background(), Config{Dir: g.dir, Listen: "127.0.0.1:0", Admin: "off", PlainHTTP: true, Throttle: gateway.Throttle{Off: true}})
	if err != nil {
		g.b.Fatal(err)
	}
	g.s = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		s.outbox.Run(ctx)
		close(done)
	}()
	g.stop = func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			g.b.Error(err)
		}
	}
}

func (g *gate) request(op, body string) (*http.Request, []byte) {
	return g.requestTo("secretsmanager", "secretsmanager."+op, body)
}

func (g *gate) requestTo(service, target, body string) (*http.Request, []byte) {
	r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:8443/", nil)
	if err != nil {
		g.b.Fatal(err)
	}
	r.RemoteAddr = "127.0.0.1:50000"
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("User-Agent", "aws-sdk-go-v2/1.47.7 ua/2.1 os/linux lang/go#1.26.8 md/GOOS#linux md/GOARCH#amd64 api/secretsmanager#1.50.10")
	r.ContentLength = int64(len(body))
	if err := sigv4.Sign(r, []byte(body), g.by, "eu-west-1", service, time.Now()); err != nil {
		g.b.Fatal(err)
	}
	return r, []byte(body)
}

func (g *gate) send(r *http.Request, body []byte) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	w := discard{h: make(http.Header)}
	g.s.gate.ServeHTTP(&w, r)
	if w.status != http.StatusOK {
		g.b.Errorf("status %d", w.status)
	}
}

// answer sends a request and returns what came back.
func (g *gate) answer(r *http.Request, body []byte) string {
	r.Body = io.NopCloser(bytes.NewReader(body))
	w := httptest.NewRecorder()
	g.s.gate.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		g.b.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// role makes a role with five attached policies of ten statements each, of which
// one allows all that reading a secret takes, and returns a session of it.
func (g *gate) role() sigv4.Signer {
	now := table.At(time.Now())
	r := &iam.Role{ID: "AROAEXAMPLEEXAMPLE111", Account: g.s.account, Name: "app", Path: "/", Created: now, MaxSession: 3600,
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + g.s.account + `"},"Action":"sts:AssumeRole"}]}`}
	err := g.s.db.Update(context.Background(), func(tx *table.Tx) error {
		r.Attached = nil
		for i := range 5 {
			var statements []string
			for j := range 10 {
				statements = append(statements, fmt.Sprintf(`{"Sid":"S%d","Effect":"Allow","Action":["secretsmanager:DescribeSecret","secretsmanager:List*","s3:Get*"],"Resource":"arn:aws:secretsmanager:*:*:secret:team%d/%d-*"}`, j, i, j))
			}
			if i == 4 {
				statements[9] = `{"Sid":"Read","Effect":"Allow","Action":["secretsmanager:GetSecretValue","kms:Decrypt"],"Resource":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"` + g.s.account + `"}}}`
			}
			p := &iam.ManagedPolicy{ID: fmt.Sprintf("ANPAEXAMPLE%d", i), Account: g.s.account, Name: fmt.Sprintf("p%d", i), Path: "/", Created: now, Updated: now,
				Default: 1, Next: 2, Versions: []iam.PolicyVersion{{Number: 1, Created: now}}}
			d := &iam.PolicyDocument{PolicyID: p.ID, Number: 1, Text: `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`}
			r.Attached = append(r.Attached, p.ARN("aws"))
			if err := iam.ManagedPolicies.Put(tx, p); err != nil {
				return err
			}
			if err := iam.PolicyDocuments.Put(tx, d); err != nil {
				return err
			}
		}
		return iam.Roles.Put(tx, r)
	})
	if err != nil {
		g.b.Fatal(err)
	}
	token, err := g.s.services.tokens.Seal(&session.Session{Type: policy.AssumedRole, AccessKeyID: "ASIAEXAMPLE", Account: g.s.account,
		Secret: session.Secret{Text: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}, EntityID: r.ID, Entity: "app", Name: "job",
		Issued: time.Now().Unix(), Expires: time.Now().Add(time.Hour).Unix()})
	if err != nil {
		g.b.Fatal(err)
	}
	return sigv4.Signer{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", SessionToken: sigv4.Secret(token)}
}

// key makes a KMS key and returns its ARN.
func (g *gate) key() string {
	return regexp.MustCompile(`arn:aws:kms:[^"]*`).FindString(g.answer(g.requestTo("kms", "TrentService.CreateKey", `{}`)))
}

func (g *gate) create(n int) {
	for i := range n {
		g.send(g.request("CreateSecret", fmt.Sprintf(`{"Name":"app/db%d","ClientRequestToken":"00000000-0000-4000-8000-%012d","SecretString":"{\"username\":\"app\",\"password\":\"0123456789abcdef0123456789abcdef\"}"}`, i, i)))
	}
}

// BenchmarkGetSecretValue is the whole gate without net/http: identify, decode,
// authorize, read, decrypt, record, encode. Profile this before believing a cause.
//
// The caller of role is a session of a role with five policies of ten statements, and the
// secret has a policy and a customer key: what access control costs is the
// difference to root.
func BenchmarkGetSecretValue(b *testing.B) {
	g := newGate(b)
	g.create(100)
	r, body := g.request("GetSecretValue", `{"SecretId":"app/db42"}`)
	b.Run("root", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			g.send(r, body)
		}
	})
	key := g.key()
	g.send(g.request("CreateSecret", `{"Name":"guarded","ClientRequestToken":"00000000-0000-4000-8000-000000000000","SecretString":"{\"username\":\"app\",\"password\":\"0123456789abcdef0123456789abcdef\"}","KmsKeyId":"`+key+`"}`))
	g.send(g.request("PutResourcePolicy", `{"SecretId":"guarded","ResourcePolicy":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"secretsmanager:*\",\"Resource\":\"*\",\"Condition\":{\"StringNotEquals\":{\"aws:PrincipalAccount\":\"`+g.s.account+`\"}}}]}"}`))
	g.by = g.role()
	r, body = g.request("GetSecretValue", `{"SecretId":"guarded"}`)
	b.Run("role", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			g.send(r, body)
		}
	})
}

// BenchmarkPutSecretValue is the same for a synced write by 32 callers.
func BenchmarkPutSecretValue(b *testing.B) {
	g := newGate(b)
	const secrets = 4000
	g.create(secrets)
	var n atomic.Int64
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			g.send(g.request("PutSecretValue", fmt.Sprintf(`{"SecretId":"app/db%d","ClientRequestToken":"00000000-0000-4000-9000-%012d","SecretString":"{\"username\":\"app\",\"password\":\"0123456789abcdef0123456789abcdef\"}"}`, i%secrets, i)))
		}
	})
}
