package e2e_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"

	"coffer/internal/coffertest"
	"coffer/internal/coffertest/check"
	"coffer/internal/server"
)

// realm is a server with two accounts, at a time that the test sets. Who lives in it is
// made through the public API, as on AWS.
type realm struct {
	*host
	*clock
	t            testing.TB
	ours, theirs *account
}

// account is an account with its root.
type account struct {
	*party
	w  *realm
	id string
}

// party is somebody who calls: a root, a user, the session of a role, a federated user.
type party struct {
	w   *realm
	arn string // as denials show it
	cfg aws.Config
	sm  *secretsmanager.Client
	kms *kms.Client
	iam *iam.Client
	sts *sts.Client
}

// eachRealm runs a test on every driver.
func eachRealm(t *testing.T, test func(*testing.T, *realm)) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			test(t, newRealm(t, d.opts...))
		})
	}
}

func newRealm(t testing.TB, opts ...coffertest.Option) *realm {
	t.Helper()
	w := &realm{t: t, clock: &clock{}}
	w.host = start(t, append(opts, coffertest.With(func(c *server.Config) { c.Now = w.Now }))...)
	w.ours = w.of(w.Credentials)
	w.theirs = w.of(w.host.account(t, "theirs"))
	return w
}

func (w *realm) of(root server.Credentials) *account {
	return &account{w.party("arn:aws:iam::"+root.Account+":root", w.ConfigFor("eu-west-1", root)), w, root.Account}
}

// party makes the clients of somebody. They sign at the time of the realm.
func (w *realm) party(arn string, cfg aws.Config) *party {
	s := signer{v4.NewSigner(), w.clock}
	return &party{
		w: w, arn: arn, cfg: cfg,
		sm:  secretsmanager.NewFromConfig(cfg, func(o *secretsmanager.Options) { o.HTTPSignerV4 = s }),
		kms: kms.NewFromConfig(cfg, func(o *kms.Options) { o.HTTPSignerV4 = s }),
		iam: iam.NewFromConfig(cfg, func(o *iam.Options) { o.HTTPSignerV4 = s }),
		sts: sts.NewFromConfig(cfg, func(o *sts.Options) { o.HTTPSignerV4 = s }),
	}
}

// clock is the time of the server and of its clients.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// signer signs at the time of the clock.
type signer struct {
	*v4.Signer
	clock *clock
}

func (s signer) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, opts ...func(*v4.SignerOptions)) error {
	return s.Signer.SignHTTP(ctx, c, r, hash, service, region, at.Add(time.Duration(s.clock.ahead.Load())), opts...)
}

// Who there is.

// entity is the ARN of something of the account in IAM: "user/ana".
func (a *account) entity(resource string) string { return "arn:aws:iam::" + a.id + ":" + resource }

// user makes a user with an access key, and these statements as its inline policy.
func (a *account) user(name string, statements ...string) *party {
	t := a.w.t
	t.Helper()
	u := must(a.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}))(t).User
	a.grants("user", name, statements...)
	return a.w.party(*u.Arn, a.w.ConfigFor("eu-west-1", a.key(name)))
}

// key makes an access key of a user.
func (a *account) key(user string) server.Credentials {
	t := a.w.t
	t.Helper()
	k := must(a.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &user}))(t).AccessKey
	a.w.secret(*k.SecretAccessKey, "the secret access key of "+user)
	return server.Credentials{Account: a.id, AccessKeyID: *k.AccessKeyId, SecretAccessKey: *k.SecretAccessKey}
}

// grants makes the statements the inline policy "own" of a user, group or role. Without any,
// it takes that policy away.
func (a *account) grants(kind, name string, statements ...string) {
	t := a.w.t
	t.Helper()
	own, text := new("own"), new(document(statements...))
	var err error
	switch none := len(statements) == 0; {
	case kind == "user" && none:
		_, err = a.iam.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: &name, PolicyName: own})
	case kind == "user":
		_, err = a.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: own, PolicyDocument: text})
	case kind == "role" && none:
		_, err = a.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: own})
	case kind == "role":
		_, err = a.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: own, PolicyDocument: text})
	case kind == "group":
		_, err = a.iam.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: &name, PolicyName: own, PolicyDocument: text})
	}
	if err != nil && check.Outcome(err) != "NoSuchEntity: The "+kind+" policy with name own cannot be found." {
		t.Fatal(err)
	}
}

// role makes a role that trusts this principal to assume it, tag it and set its source identity, with
// these statements as its inline policy. It returns the role's ARN.
func (a *account) role(name, trusted string, statements ...string) string {
	t := a.w.t
	t.Helper()
	arn := a.trusting(name, trust(trusted))
	a.grants("role", name, statements...)
	return arn
}

// trusting makes a role with a trust policy of these statements.
func (a *account) trusting(name string, statements ...string) string {
	a.w.t.Helper()
	return *must(a.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: new(document(statements...))}))(a.w.t).Role.Arn
}

// managed makes a managed policy and returns its ARN.
func (a *account) managed(name string, statements ...string) string {
	a.w.t.Helper()
	return *must(a.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: new(document(statements...))}))(a.w.t).Policy.Arn
}

// assume is p as a session of a role.
func (p *party) assume(role, name string, edit ...func(*sts.AssumeRoleInput)) *party {
	t := p.w.t
	t.Helper()
	out := must(p.sts.AssumeRole(ctx, assuming(role, name, edit...)))(t)
	return p.w.temporary(*out.AssumedRoleUser.Arn, out.Credentials)
}

// mayAssume is what it comes to that p assumes a role.
func (p *party) mayAssume(role, name string, edit ...func(*sts.AssumeRoleInput)) string {
	return check.Now(p.sts.AssumeRole, assuming(role, name, edit...))
}

func assuming(role, name string, edit ...func(*sts.AssumeRoleInput)) *sts.AssumeRoleInput {
	in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: &name}
	for _, e := range edit {
		e(in)
	}
	return in
}

// only, tagged and the like are what a session is assumed with.
func only(statements ...string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.Policy = new(document(statements...)) }
}

func onlyManaged(arns ...string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) {
		for _, a := range arns {
			in.PolicyArns = append(in.PolicyArns, ststypes.PolicyDescriptorType{Arn: &a})
		}
	}
}

func tagged(key, value string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.Tags = append(in.Tags, ststypes.Tag{Key: &key, Value: &value}) }
}

func externalID(id string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.ExternalId = &id }
}

func source(id string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.SourceIdentity = &id }
}

func factor(serial, code string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) { in.SerialNumber, in.TokenCode = &serial, &code }
}

// federate is a federated user of p, with these statements as its session policy.
func (p *party) federate(name string, statements ...string) *party {
	t := p.w.t
	t.Helper()
	in := &sts.GetFederationTokenInput{Name: &name}
	if len(statements) > 0 {
		in.Policy = new(document(statements...))
	}
	out := must(p.sts.GetFederationToken(ctx, in))(t)
	return p.w.temporary(*out.FederatedUser.Arn, out.Credentials)
}

func (w *realm) temporary(arn string, c *ststypes.Credentials) *party {
	w.secret(*c.SecretAccessKey, "a secret access key of "+arn)
	w.secret(*c.SessionToken, "a session token of "+arn)
	return w.with(arn, *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
}

// with is who calls with these credentials.
func (w *realm) with(arn, id, secret, token string) *party {
	cfg := w.Config("eu-west-1")
	cfg.Credentials = credentials.NewStaticCredentialsProvider(id, secret, token)
	return w.party(arn, cfg)
}

// from is p behind a trusted proxy that says where p is.
func (p *party) from(ip string) *party {
	cfg := p.cfg.Copy()
	cfg.HTTPClient = &http.Client{Transport: forwarded{p.w.HTTP.Transport, ip}}
	return p.w.party(p.arn, cfg)
}

type forwarded struct {
	next http.RoundTripper
	ip   string
}

func (f forwarded) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", f.ip)
	r.Header.Set("X-Forwarded-Proto", "https")
	return f.next.RoundTrip(r)
}

// through is p at another address of the server.
func (p *party) through(url string) *party {
	cfg := p.cfg.Copy()
	cfg.BaseEndpoint = &url
	return p.w.party(p.arn, cfg)
}

// device gives a user of the account an MFA device: its serial number, and what it shows.
func (a *account) device(user string) (serial string, code func() string) {
	t := a.w.t
	t.Helper()
	d := must(a.iam.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: &user}))(t).VirtualMFADevice
	a.w.secret(string(d.Base32StringSeed), "the seed of an MFA device")
	seed, err := base32.StdEncoding.DecodeString(string(d.Base32StringSeed))
	if err != nil {
		t.Fatal(err)
	}
	code = func() string { // RFC 6238; a code is good once, so each is of a new step
		a.w.advance(30 * time.Second)
		m := hmac.New(sha1.New, seed)
		m.Write(binary.BigEndian.AppendUint64(nil, uint64(a.w.Now().Unix()/30)))
		sum := m.Sum(nil)
		n := binary.BigEndian.Uint32(sum[sum[19]&15:]) & 0x7fffffff
		return fmt.Sprintf("%06d", n%1_000_000)
	}
	must(a.iam.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{UserName: &user, SerialNumber: d.SerialNumber, AuthenticationCode1: new(code()), AuthenticationCode2: new(code())}))(t)
	return *d.SerialNumber, code
}

// What there is.

// makes makes a secret, with a resource policy if there are statements, and returns its ARN.
func (p *party) makes(name string, statements ...string) string {
	p.w.t.Helper()
	return p.makesUnder("", name, statements...)
}

// makesUnder is makes under a key of one's own.
func (p *party) makesUnder(key, name string, statements ...string) string {
	t := p.w.t
	t.Helper()
	in := &secretsmanager.CreateSecretInput{Name: &name, SecretString: value(name)}
	if key != "" {
		in.KmsKeyId = &key
	}
	arn := *must(p.sm.CreateSecret(ctx, in))(t).ARN
	if len(statements) > 0 {
		if got := p.shares(arn, statements...); got != ok {
			t.Fatal(got)
		}
	}
	return arn
}

// makesKey makes a KMS key: with the default policy, or one of these statements.
func (p *party) makesKey(statements ...string) string {
	t := p.w.t
	t.Helper()
	in := &kms.CreateKeyInput{}
	if len(statements) > 0 {
		in.Policy = new(document(statements...))
	}
	return *must(p.kms.CreateKey(ctx, in))(t).KeyMetadata.Arn
}

// What p tries, and what it comes to.

const ok = "ok"

func (p *party) gets(id string) string {
	return check.Now(p.sm.GetSecretValue, &secretsmanager.GetSecretValueInput{SecretId: &id})
}

func (p *party) describes(id string) string {
	return check.Now(p.sm.DescribeSecret, &secretsmanager.DescribeSecretInput{SecretId: &id})
}

func (p *party) puts(id string) string {
	return check.Now(p.sm.PutSecretValue, &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: value("put")})
}

func (p *party) lists() string {
	out, err := p.sm.ListSecrets(ctx, &secretsmanager.ListSecretsInput{})
	if err != nil {
		return check.Outcome(err)
	}
	var names []string
	for _, s := range out.SecretList {
		names = append(names, *s.Name)
	}
	return strings.Join(names, " ")
}

// creates takes tags as "key=value".
func (p *party) creates(name string, tags ...string) string {
	return check.Now(p.sm.CreateSecret, &secretsmanager.CreateSecretInput{Name: &name, SecretString: value(name), Tags: tagList(tags)})
}

func (p *party) tags(id string, tags ...string) string {
	return check.Now(p.sm.TagResource, &secretsmanager.TagResourceInput{SecretId: &id, Tags: tagList(tags)})
}

func (p *party) untags(id string, keys ...string) string {
	return check.Now(p.sm.UntagResource, &secretsmanager.UntagResourceInput{SecretId: &id, TagKeys: keys})
}

func tagList(tags []string) (out []smtypes.Tag) {
	for _, tag := range tags {
		k, v, _ := strings.Cut(tag, "=")
		out = append(out, smtypes.Tag{Key: &k, Value: &v})
	}
	return out
}

func (p *party) deletes(id string) string {
	return check.Now(p.sm.DeleteSecret, &secretsmanager.DeleteSecretInput{SecretId: &id, ForceDeleteWithoutRecovery: new(true)})
}

// shares puts a resource policy of these statements; unshares takes it away.
func (p *party) shares(id string, statements ...string) string {
	return check.Now(p.sm.PutResourcePolicy, &secretsmanager.PutResourcePolicyInput{SecretId: &id, ResourcePolicy: new(document(statements...))})
}

func (p *party) unshares(id string) string {
	return check.Now(p.sm.DeleteResourcePolicy, &secretsmanager.DeleteResourcePolicyInput{SecretId: &id})
}

// batch is what a batch comes to, secret by secret.
func (p *party) batch(ids ...string) string {
	out, err := p.sm.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: ids})
	if err != nil {
		return check.Outcome(err)
	}
	var each []string
	for _, v := range out.SecretValues {
		each = append(each, *v.Name+" "+ok)
	}
	for _, e := range out.Errors {
		each = append(each, *e.SecretId+" "+*e.ErrorCode+": "+*e.Message)
	}
	return strings.Join(each, "\n")
}

func (p *party) encrypts(key string) string {
	return check.Now(p.kms.Encrypt, &kms.EncryptInput{KeyId: &key, Plaintext: []byte(marker)})
}

// locks puts a key policy of these statements.
func (p *party) locks(key string, statements ...string) string {
	return check.Now(p.kms.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: &key, Policy: new(document(statements...))})
}

// lends grants the use of a key, and returns the grant's id.
func (p *party) lends(key, to string, operations ...kmstypes.GrantOperation) string {
	p.w.t.Helper()
	return *must(p.kms.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &to, Operations: operations}))(p.w.t).GrantId
}

// takesBack revokes a grant.
func (p *party) takesBack(key, grant string) string {
	return check.Now(p.kms.RevokeGrant, &kms.RevokeGrantInput{KeyId: &key, GrantId: &grant})
}

// Why not.
const (
	noIdentity = "because no identity-based policy allows the %s action"
	noResource = "because no resource-based policy allows the %s action"
	noBoundary = "because no permissions boundary allows the %s action"
	noSession  = "because no session policy allows the %s action"
	noSCP      = "because no service control policy allows the %s action"
	noEndpoint = "because no VPC endpoint policy allows the %s action"

	denyIdentity = "with an explicit deny in an identity-based policy"
	denyResource = "with an explicit deny in a resource-based policy"
	denyBoundary = "with an explicit deny in a permissions boundary"
	denySession  = "with an explicit deny in a session policy"
	denySCP      = "with an explicit deny in a service control policy"
	denyRCP      = "with an explicit deny in a resource control policy"
	denyEndpoint = "with an explicit deny in a VPC endpoint policy"

	noReason = "" // STS gives none

	noKMS     = "AccessDeniedException: Access to KMS is not allowed"
	noSecret  = "ResourceNotFoundException: " + textNoSecret
	noForeign = "InvalidRequestException: You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key."
	noUser    = "UnrecognizedClientException: The security token included in the request is invalid."
)

// Short names of actions.
const (
	getSecret   = "secretsmanager:GetSecretValue"
	describe    = "secretsmanager:DescribeSecret"
	putSecret   = "secretsmanager:PutSecretValue"
	listSecrets = "secretsmanager:ListSecrets"
	create      = "secretsmanager:CreateSecret"
	tag         = "secretsmanager:TagResource"
	untag       = "secretsmanager:UntagResource"
)

// no is the denial of an action to p, on a resource as p wrote it ("" for none).
func (p *party) no(action, on, why string) string {
	code := "AccessDeniedException"
	if strings.HasPrefix(action, "iam:") || strings.HasPrefix(action, "sts:") {
		code = "AccessDenied" // of the Query protocol
	}
	text := code + ": User: " + p.arn + " is not authorized to perform: " + action
	if on != "" {
		text += " on resource: " + on
	}
	if strings.Contains(why, "%s") {
		why = fmt.Sprintf(why, action)
	}
	return strings.TrimSpace(text + " " + why)
}

// fact is what something came to, and what it should.
type fact struct{ what, got, want string }

// hold goes through facts, which came to be in their order.
func hold(t testing.TB, facts []fact) {
	t.Helper()
	for _, f := range facts {
		if f.got != f.want {
			t.Errorf("%s:\n got %s\nwant %s", f.what, f.got, f.want)
		}
	}
}

// The words of policies.

// document is a policy of these statements.
func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// allow and deny are statements of identity policies; more are further members, such as a condition.
func allow(action, resource string, more ...string) string {
	return statement("Allow", `"Action":`+list(action)+`,"Resource":`+list(resource), more)
}

func deny(action, resource string, more ...string) string {
	return statement("Deny", `"Action":`+list(action)+`,"Resource":`+list(resource), more)
}

// allowTo and denyTo are statements of resource and key policies about AWS principals.
func allowTo(principal, action string, more ...string) string {
	return statement("Allow", `"Principal":{"AWS":`+list(principal)+`},"Action":`+list(action)+`,"Resource":"*"`, more)
}

func denyTo(principal, action string, more ...string) string {
	return statement("Deny", `"Principal":{"AWS":`+list(principal)+`},"Action":`+list(action)+`,"Resource":"*"`, more)
}

// trust is a statement of a trust policy: all that sessions can be made with.
func trust(principal string, more ...string) string {
	return statement("Allow", `"Principal":{"AWS":`+list(principal)+`},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`, more)
}

// when is a condition.
func when(operator, key string, values ...string) string {
	b, _ := json.Marshal(values) // strings
	return fmt.Sprintf(`"Condition":{%q:{%q:%s}}`, operator, key, b)
}

func statement(effect, members string, more []string) string {
	return `{"Effect":"` + effect + `",` + strings.Join(append([]string{members}, more...), ",") + `}`
}

// list is one text, or those between blanks, in JSON.
func list(words string) string {
	b, _ := json.Marshal(strings.Fields(words)) // strings
	return string(b)
}

// secretARN is the ARN of our secrets of this name, without suffix or with a pattern for it.
func (a *account) secretARN(name string) string {
	return "arn:aws:secretsmanager:eu-west-1:" + a.id + ":secret:" + name
}
