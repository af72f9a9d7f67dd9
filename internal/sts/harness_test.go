package sts_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"coffer/internal/cli"
	"coffer/internal/coffertest"
	"coffer/internal/coffertest/check"
	"coffer/internal/server"
)

var ctx = context.Background()

// world is a server whose clock the test sets, with two accounts.
type world struct {
	*coffertest.Server
	*clock
	main, other account
}

// account is an account as its root sees it.
type account struct {
	*iam.Client
	w  *world
	id string
}

// login is what somebody calls with; the zero value calls without a signature.
type login struct{ id, secret, token string }

func newWorld(t *testing.T, opts ...coffertest.Option) *world {
	t.Helper()
	w := &world{clock: &clock{}}
	w.Server = coffertest.Start(t, append([]coffertest.Option{coffertest.InMemory(), coffertest.With(func(c *server.Config) { c.Now = w.Now })}, opts...)...)
	w.main = w.account(w.Credentials)
	w.other = w.account(w.newAccount(t, "other"))
	return w
}

func (w *world) account(c server.Credentials) account {
	return account{iam.NewFromConfig(w.config(login{id: c.AccessKeyID, secret: c.SecretAccessKey}), w.iamClock), w, c.Account}
}

func (w *world) newAccount(t *testing.T, name string) server.Credentials {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := cli.Main([]string{"account", "create", name, "--json", "--data-dir", string(w.Dir)}, cli.Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr}); code != 0 {
		t.Fatalf("account create: %s", stderr.String())
	}
	var k server.AccountKeys
	if err := json.Unmarshal(stdout.Bytes(), &k); err != nil {
		t.Fatal(err)
	}
	return server.Credentials{Account: k.ID, AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey}
}

func (w *world) config(l login) aws.Config {
	c := w.Config("eu-west-1")
	c.Credentials = credentials.NewStaticCredentialsProvider(l.id, l.secret, l.token)
	if l == (login{}) {
		c.Credentials = aws.AnonymousCredentials{}
	}
	return c
}

// clock is the time of the server and of its clients.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time                    { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration)           { c.ahead.Add(int64(d)) }
func (c *clock) stsClock(o *sts.Options)           { o.HTTPSignerV4 = signer{v4.NewSigner(), c} }
func (c *clock) iamClock(o *iam.Options)           { o.HTTPSignerV4 = signer{v4.NewSigner(), c} }
func (c *clock) smClock(o *secretsmanager.Options) { o.HTTPSignerV4 = signer{v4.NewSigner(), c} }

// signer signs at the time of the clock.
type signer struct {
	*v4.Signer
	clock *clock
}

func (s signer) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, opts ...func(*v4.SignerOptions)) error {
	return s.Signer.SignHTTP(ctx, c, r, hash, service, region, at.Add(time.Duration(s.clock.ahead.Load())), opts...)
}

func (w *world) sts(l login) *sts.Client { return sts.NewFromConfig(w.config(l), w.stsClock) }
func (w *world) iam(l login) *iam.Client { return iam.NewFromConfig(w.config(l), w.iamClock) }
func (w *world) sm(l login) *secretsmanager.Client {
	return secretsmanager.NewFromConfig(w.config(l), w.smClock)
}

func (a account) root() login {
	c := a.Options().Credentials
	v, _ := c.Retrieve(ctx) // static
	return login{id: v.AccessKeyID, secret: v.SecretAccessKey}
}

// arn is the ARN of something in IAM: "user/ana".
func (a account) arn(resource string) string { return "arn:aws:iam::" + a.id + ":" + resource }

// user makes a user with these statements as its policy, and an access key.
func (a account) user(t *testing.T, name string, statements ...string) login {
	t.Helper()
	check.Must(t, a.CreateUser, &iam.CreateUserInput{UserName: &name})
	if len(statements) > 0 {
		check.Must(t, a.PutUserPolicy, &iam.PutUserPolicyInput{UserName: &name, PolicyName: new("own"), PolicyDocument: new(document(statements...))})
	}
	k := check.Must(t, a.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: &name}).AccessKey
	return login{id: *k.AccessKeyId, secret: *k.SecretAccessKey}
}

// role makes a role with a trust policy of one statement for each of trust, and
// these statements as its policy. Its sessions may last 12 hours.
func (a account) role(t *testing.T, name string, trust []string, statements ...string) string {
	t.Helper()
	out := check.Must(t, a.CreateRole, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: new(document(trust...)), MaxSessionDuration: new(int32(43200))})
	if len(statements) > 0 {
		check.Must(t, a.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: new("own"), PolicyDocument: new(document(statements...))})
	}
	return *out.Role.Arn
}

// document is a policy of these statements.
func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// allow is a statement of an identity policy; more are members, such as a condition.
func allow(action, resource string, more ...string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":%q%s}`, action, resource, members(more))
}

// trust lets a principal, as in `"AWS":"arn..."`, do these actions.
func trust(principal string, actions []string, more ...string) string {
	a, _ := json.Marshal(actions)
	return fmt.Sprintf(`{"Effect":"Allow","Principal":{%s},"Action":%s%s}`, principal, a, members(more))
}

func members(more []string) string {
	s := ""
	for _, m := range more {
		s += "," + m
	}
	return s
}

var (
	assume  = []string{"sts:AssumeRole"}
	setting = []string{"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"}
)

func principal(arn string) string { return fmt.Sprintf(`"AWS":%q`, arn) }

func condition(operator, key string, values ...string) string {
	v, _ := json.Marshal(values)
	return fmt.Sprintf(`"Condition":{%q:{%q:%s}}`, operator, key, v)
}

// temporary is the login of credentials that STS gave.
func temporary(c *types.Credentials) login {
	return login{*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken}
}

// assume assumes a role, which has to succeed.
func (w *world) assume(t *testing.T, as login, role, name string, edit ...func(*sts.AssumeRoleInput)) login {
	t.Helper()
	return temporary(check.Must(t, w.sts(as).AssumeRole, asking(role, name, edit...)).Credentials)
}

func asking(role, name string, edit ...func(*sts.AssumeRoleInput)) *sts.AssumeRoleInput {
	in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: &name}
	for _, e := range edit {
		e(in)
	}
	return in
}

// who is the ARN that calls are made as.
func (w *world) who(l login) string {
	out, err := w.sts(l).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return check.Outcome(err)
	}
	return *out.Arn
}

// denied is the answer to who may not assume a role.
func denied(who, action, resource string) string {
	return "AccessDenied: User: " + who + " is not authorized to perform: " + action + " on resource: " + resource
}

// device gives the user an MFA device and returns its serial number, and what it shows at a time.
func (a account) device(t *testing.T, user string) (serial string, code func(time.Time) string) {
	t.Helper()
	d := check.Must(t, a.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: &user}).VirtualMFADevice
	seed, err := base32.StdEncoding.DecodeString(string(d.Base32StringSeed))
	if err != nil {
		t.Fatal(err)
	}
	code = func(at time.Time) string { // RFC 6238
		m := hmac.New(sha1.New, seed)
		m.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Unix()/30)))
		sum := m.Sum(nil)
		n := binary.BigEndian.Uint32(sum[sum[19]&15:]) & 0x7fffffff
		return fmt.Sprintf("%06d", n%1_000_000)
	}
	now := a.w.Now()
	check.Must(t, a.EnableMFADevice, &iam.EnableMFADeviceInput{
		UserName: &user, SerialNumber: d.SerialNumber, AuthenticationCode1: new(code(now.Add(-30 * time.Second))), AuthenticationCode2: new(code(now)),
	})
	a.w.advance(time.Minute) // codes are good once
	return *d.SerialNumber, code
}

// record is what the audit log has of a call.
type record struct {
	EventName, ErrorCode, ErrorMessage, RecipientAccountID string
	ReadOnly                                               bool
	UserIdentity                                           struct{ Type, PrincipalID, ARN, AccountID, UserName, IdentityProvider string }
	RequestParameters, ResponseElements                    map[string]any
	Resources                                              []struct{ ARN, Type string }
}

// records are those of an operation, in order, and the whole log.
func (w *world) records(t *testing.T, operation string) (out []record, whole string) {
	t.Helper()
	w.Recorded(t)
	files, err := filepath.Glob(filepath.Join(w.Dir.Audit(), "audit-*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no audit log (%v)", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		whole += string(b)
		for line := range bytes.Lines(b) {
			var l struct{ Record *record }
			if bytes.HasSuffix(line, []byte("\n")) {
				if err := json.Unmarshal(line, &l); err != nil {
					t.Fatal(err)
				}
			}
			if l.Record != nil && l.Record.EventName == operation {
				out = append(out, *l.Record)
			}
		}
	}
	return out, whole
}
