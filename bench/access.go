package main

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// accessOptions say how access control is measured.
type accessOptions struct {
	conns, secrets, value int
	rounds                int
	slot                  time.Duration
	paced                 bool
	baseline, only        string
}

func (o *accessOptions) flags(fs *flag.FlagSet) {
	fs.IntVar(&o.conns, "conns", 32, "connections, each with one request under way")
	fs.IntVar(&o.secrets, "secrets", 1000, "secrets of each kind that are read, at random")
	fs.IntVar(&o.value, "value", 200, "bytes of a secret value")
	fs.IntVar(&o.rounds, "rounds", 9, "rounds; each measures every caller once")
	fs.DurationVar(&o.slot, "slot", 2*time.Second, "how long one caller is measured in one round")
	fs.BoolVar(&o.paced, "half", true, "also measure latency at half of the peak of root")
	fs.StringVar(&o.baseline, "baseline-binary", "", "also measure the root of this older coffer `program`, and compare with it")
	fs.StringVar(&o.only, "only", "", "of the callers after root measure those whose name this regular `expression` matches: to profile the server meanwhile")
}

// caller is whose GetSecretValue is measured.
type caller struct {
	name       string
	step       string  // what it has more than the caller before
	before     *caller // nil: a first one
	server     *accessServer
	creds      credentials
	secret     func(int) string // names of what it reads
	src        source
	peak, half []*result
	audit      values // bytes of audit log per call, by round
}

// accessServer is a server with the connections that all its callers share.
type accessServer struct {
	*coffer
	conns []*conn
}

// measureAccess compares callers of one server.
func measureAccess(ctx context.Context, env *environment, o accessOptions) (*report, error) {
	var servers []*accessServer
	defer func() {
		for _, s := range servers {
			closeAll(s.conns)
			s.kill()
		}
	}()
	serve := func(exe, dir string) (*accessServer, error) {
		env.progress("starting %s with %d secrets", filepath.Base(exe), o.secrets)
		c, err := freshCoffer(ctx, exe, env.path(dir), true, o.conns, o.secrets, o.value)
		if err != nil {
			return nil, err
		}
		s := &accessServer{coffer: c}
		servers = append(servers, s)
		s.conns, err = dialAll(ctx, c.endpoint, o.conns)
		return s, err
	}
	s, err := serve(env.coffer, "access")
	if err != nil {
		return nil, err
	}
	env.progress("making callers, and their secrets")
	callers, err := s.callers(ctx, o)
	if err != nil {
		return nil, s.explain(err)
	}
	if o.baseline != "" {
		exe, err := filepath.Abs(o.baseline)
		if err != nil {
			return nil, err
		}
		old, err := serve(exe, "access-baseline")
		if err != nil {
			return nil, err
		}
		callers = append(callers, &caller{name: olderRoot, server: old, creds: old.creds, secret: secretName})
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return nil, err
	}
	callers = slices.DeleteFunc(callers, func(c *caller) bool { return c.name != root && !only.MatchString(c.name) })
	if err := measureCallers(ctx, env, callers, o); err != nil {
		return nil, err
	}
	return accessReport(callers, o), nil
}

// Names of callers that the goals are about.
const (
	root      = "root"
	olderRoot = "root of the older program"
	fullRole  = "role session: 5 policies of 10 statements"
)

// callers makes the principals. Each has what the one before it has, and one thing more.
func (s *accessServer) callers(ctx context.Context, o accessOptions) ([]*caller, error) {
	cn, err := dial(ctx, s.endpoint)
	if err != nil {
		return nil, err
	}
	defer cn.Close()
	ours, err := s.guard(ctx, cn, s.creds, o)
	if err != nil {
		return nil, err
	}
	plain := &caller{name: root, server: s, creds: s.creds, secret: secretName}
	user := &caller{name: "user with an inline policy", step: "a user's inline policy", before: plain, server: s, secret: secretName}
	if user.creds, err = ours.user("ana", document(`{"Effect":"Allow","Action":["secretsmanager:GetSecretValue","secretsmanager:DescribeSecret"],"Resource":"arn:aws:secretsmanager:*:*:secret:bench/*"}`)); err != nil {
		return nil, err
	}
	guarded := &caller{name: "root, of guarded secrets", step: "a resource policy and a customer key", before: plain, server: s, creds: s.creds, secret: guardedName}
	role := &caller{name: fullRole, step: "a session of a role with 5 policies of 10 statements", before: guarded, server: s, secret: guardedName}
	if role.creds, err = ours.session(roleKind{}); err != nil {
		return nil, err
	}
	bounded := &caller{name: "… and a permissions boundary", step: "a permissions boundary", before: role, server: s, secret: guardedName}
	if bounded.creds, err = ours.session(roleKind{bounded: true}); err != nil {
		return nil, err
	}
	session := &caller{name: "… and a session policy", step: "a session policy", before: bounded, server: s, secret: guardedName}
	if session.creds, err = ours.session(roleKind{bounded: true, sessionPolicy: true}); err != nil {
		return nil, err
	}
	shop, err := s.memberAccount(ctx)
	if err != nil {
		return nil, err
	}
	theirs, err := s.guard(ctx, cn, shop, o)
	if err != nil {
		return nil, err
	}
	controlled := &caller{name: "… and service control policies", step: "service control policies on three levels", before: session, server: s, secret: guardedName}
	if controlled.creds, err = theirs.session(roleKind{bounded: true, sessionPolicy: true}); err != nil {
		return nil, err
	}
	conditional := &caller{name: "role session whose policies have conditions", step: "conditions on tags, source address and a tag variable", before: role, server: s, secret: guardedName}
	if conditional.creds, err = ours.session(roleKind{conditions: true}); err != nil {
		return nil, err
	}
	return []*caller{plain, user, guarded, role, bounded, session, controlled, conditional}, nil
}

// guardedName is the name of a secret with a policy of its own and a customer key.
func guardedName(i int) string { return fmt.Sprintf("app/%07d", i) }

// guardedSecrets are the secrets of an account that roles read, and who makes the roles.
type guardedSecrets struct {
	*administrator
	key string // ARN
}

// guard creates an account's guarded secrets, and the administrator who makes its roles on cn.
func (s *accessServer) guard(ctx context.Context, cn *conn, root credentials, o accessOptions) (*guardedSecrets, error) {
	a, err := newAdministrator(cn, root, s.endpoint.addr)
	if err != nil {
		return nil, err
	}
	key, err := a.key()
	if err != nil {
		return nil, err
	}
	var others [2]string // that the secrets' policy is about
	for i, name := range []string{"reader", "retired"} {
		if others[i], err = a.role(name, "ops", nil, ""); err != nil {
			return nil, err
		}
	}
	policy := document(
		`{"Effect":"Allow","Principal":{"AWS":"`+others[0]+`"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}`,
		`{"Effect":"Deny","Principal":{"AWS":"`+others[1]+`"},"Action":"secretsmanager:*","Resource":"*"}`)
	return &guardedSecrets{a, key}, s.as(root).each(ctx, o.conns, o.secrets, func(cn *conn, sg *signer, i int) error {
		cn.SetDeadline(time.Now().Add(stuck))
		if _, err := cn.call(sg, "CreateSecret", fmt.Appendf(nil, `{"Name":%q,"ClientRequestToken":%q,"KmsKeyId":%q,"SecretString":%q,"Tags":[{"Key":"team","Value":"app"}]}`,
			guardedName(i), versionID(i, 0), key, secretValue(newRand(i), o.value))); err != nil {
			return err
		}
		_, err := cn.call(sg, "PutResourcePolicy", fmt.Appendf(nil, `{"SecretId":%q,"ResourcePolicy":%q}`, guardedName(i), policy))
		return err
	})
}

// roleKind is what a role has beside its five policies.
type roleKind struct{ bounded, sessionPolicy, conditions bool }

// session makes a role and assumes it.
func (g *guardedSecrets) session(k roleKind) (c credentials, err error) {
	name := fmt.Sprintf("app-%t-%t-%t", k.bounded, k.sessionPolicy, k.conditions)
	read := `{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:` + g.creds.Account + `:secret:app/*"}`
	decrypt := `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"` + g.key + `"}`
	if k.conditions {
		read = `{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:` + g.creds.Account + `:secret:${aws:PrincipalTag/team}/*",
			"Condition":{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"},"IpAddress":{"aws:SourceIp":["10.0.0.0/8","127.0.0.0/8"]}}}`
		decrypt = `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"` + g.key + `",
			"Condition":{"StringEquals":{"aws:PrincipalTag/team":"app"},"StringLike":{"kms:ViaService":"secretsmanager.*.amazonaws.com"}}}`
	}
	var policies []string
	for i, p := range fivePolicies(g.creds.Account, read, decrypt) {
		arn, err := g.policy(fmt.Sprintf("%s-%d", name, i), p)
		if err != nil {
			return c, err
		}
		policies = append(policies, arn)
	}
	boundary, own := "", ""
	if k.bounded {
		if boundary, err = g.policy(name+"-boundary", document(
			`{"Effect":"Allow","Action":["s3:*","dynamodb:*","sqs:*"],"Resource":"*"}`,
			`{"Effect":"Allow","Action":["secretsmanager:Get*","secretsmanager:Describe*","secretsmanager:List*"],"Resource":"*"}`,
			`{"Effect":"Allow","Action":["kms:Decrypt","kms:GenerateDataKey"],"Resource":"*"}`,
			`{"Effect":"Deny","Action":["iam:*","organizations:*","account:*"],"Resource":"*"}`)); err != nil {
			return c, err
		}
	}
	if k.sessionPolicy {
		own = document(`{"Effect":"Allow","Action":["secretsmanager:GetSecretValue","kms:Decrypt"],"Resource":"*"}`)
	}
	arn, err := g.role(name, "app", policies, boundary)
	if err != nil {
		return c, err
	}
	return g.administrator.session(arn, own)
}

// fivePolicies are policies of ten statements: of the fifty, eleven are about reading secrets,
// and the last two that are given allow what is measured.
func fivePolicies(account, read, decrypt string) []string {
	out := make([]string, 5)
	for i := range out {
		statements := make([]string, 10)
		for j := range statements {
			actions, resource := fmt.Sprintf(`"s3:Get%c*","dynamodb:*Item"`, 'A'+j), fmt.Sprintf("arn:aws:s3:::bucket-%d-%d/*", i, j)
			switch j {
			case 3:
				actions, resource = `"secretsmanager:Get*"`, fmt.Sprintf("arn:aws:secretsmanager:*:%s:secret:other%d/*", account, i)
			case 6:
				actions, resource = `"secretsmanager:*"`, fmt.Sprintf("arn:aws:secretsmanager:us-east-1:%s:secret:svc-%d-??????", account, i)
			}
			statements[j] = `{"Effect":"Allow","Action":[` + actions + `],"Resource":"` + resource + `"}`
		}
		if i == len(out)-1 {
			statements[8], statements[9] = read, decrypt
		}
		out[i] = document(statements...)
	}
	return out
}

// document is a policy of these statements.
func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// memberAccount makes an organisation with service control policies on its root and a unit,
// and an account in that. It returns its root.
func (s *accessServer) memberAccount(ctx context.Context) (credentials, error) {
	shop, err := s.createAccount(ctx, "shop")
	if err != nil {
		return shop, err
	}
	type in map[string]string
	regions := document(`{"Effect":"Deny","NotAction":["iam:*","sts:*"],"Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":["us-east-1","eu-west-1"]}}}`)
	guard := document(`{"Effect":"Deny","Action":["secretsmanager:DeleteSecret","kms:ScheduleKeyDeletion"],"Resource":"*"}`)
	for _, step := range []struct {
		path string
		in   in
	}{
		{"", in{"account": s.creds.Account}},
		{"/unit/create", in{"unit": "/prod"}},
		{"/add", in{"account": shop.Account, "to": "/prod"}},
		{"/policy/put", in{"policy": "regions", "type": "scp", "document": regions}},
		{"/policy/put", in{"policy": "guard", "type": "scp", "document": guard}},
		{"/policy/attach", in{"policy": "regions", "to": "/"}},
		{"/policy/attach", in{"policy": "guard", "to": "/prod"}},
	} {
		var changed struct{ ID string }
		if err := s.ask(ctx, "/organizations"+step.path, step.in, &changed); err != nil {
			return shop, err
		}
	}
	return shop, nil
}

// measureCallers runs the rounds: every caller in turn.
func measureCallers(ctx context.Context, env *environment, callers []*caller, o accessOptions) (err error) {
	for round := range o.rounds + 1 {
		for _, c := range callers {
			slot := o.slot
			if round == 0 { // warms caches and the collector's pace up
				slot = min(slot, time.Second)
			}
			r, bytes, err := c.measure(ctx, o, func() (*result, error) { return closedLoop(ctx, c.server.conns, c.src, c.server.cpu, slot) })
			if err != nil {
				return err
			}
			if round > 0 {
				c.peak, c.audit = append(c.peak, r), append(c.audit, bytes)
				env.progress("round %d of %d: %s: %s requests/s, %s µs CPU", round, o.rounds, c.name, figure(r.rate()), figure(r.cpuPer()))
			}
		}
	}
	if !o.paced {
		return nil
	}
	rate := each(callers[0].peak, (*result).rate).median() / 2
	for round := range o.rounds {
		for _, c := range callers {
			r, _, err := c.measure(ctx, o, func() (*result, error) { return openLoop(ctx, c.server.conns, c.src, c.server.cpu, rate, o.slot) })
			if err != nil {
				return err
			}
			c.half = append(c.half, r)
			env.progress("half load, round %d of %d: %s: p99 %s", round+1, o.rounds, c.name, micros(r.hist.quantile(0.99)))
		}
	}
	return nil
}

// measure runs one load of a caller, and tells how many bytes of audit log a call took.
func (c *caller) measure(ctx context.Context, o accessOptions, load func() (*result, error)) (r *result, audit float64, err error) {
	// Signatures live five minutes.
	if c.src, err = signGets(c.creds, c.server.endpoint.addr, c.secret, o.secrets, o.secrets, o.conns); err != nil {
		return nil, 0, err
	}
	before, err := c.server.metrics(ctx)
	if err != nil {
		return nil, 0, err
	}
	if r, err = load(); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", c.name, c.server.explain(err))
	}
	after, err := c.server.metrics(ctx)
	return r, (after[auditBytes] - before[auditBytes]) / float64(max(r.hist.n, 1)), err
}

const auditBytes = "coffer_audit_bytes_total"

// over is what c takes more than another caller, round by round: what disturbs the machine
// disturbs the slots of a round alike.
func (c *caller) over(other *caller) values {
	var v values
	for i := range min(len(c.peak), len(other.peak)) {
		v = append(v, c.peak[i].cpuPer()-other.peak[i].cpuPer())
	}
	return v
}

func accessReport(callers []*caller, o accessOptions) *report {
	r := &report{
		Name: "access", Title: "Access control",
		Setup: fmt.Sprintf("GetSecretValue of one of %d secrets of %d bytes over HTTP, %d keep-alive connections, by callers of one server in turn. %d rounds of %s per caller; "+
			"medians, with the smallest and largest round; differences are taken round by round. Guarded secrets have a resource policy of two statements and a customer key.",
			o.secrets, o.value, o.conns, o.rounds, o.slot),
	}
	peak := table{Title: "At peak load", Head: []string{"caller", "requests/s", "p50 µs", "p99 µs", "server CPU µs/request", "more than root's, µs", "audit log, bytes/request"}}
	steps := table{Title: "What each step costs", Head: []string{"step", "server CPU µs"}}
	half := table{Title: "At half of root's peak, paced, latency from when a request was due", Head: []string{"caller", "requests/s", "p50 µs", "p99 µs", "server CPU µs/request"}}
	first := callers[0]
	for _, c := range callers {
		r.addSeries(c.name+", peak", c.peak)
		peak.add(c.name, each(c.peak, (*result).rate).String(), each(c.peak, quantileMicros(0.50)).String(), each(c.peak, quantileMicros(0.99)).String(),
			each(c.peak, (*result).cpuPer).String(), c.over(first).String(), figure(c.audit.median()))
		if c.before != nil && c.before.peak != nil {
			steps.add(c.step, c.over(c.before).String())
		}
		if o.paced {
			r.addSeries(c.name+", half of root's peak", c.half)
			half.add(c.name, each(c.half, (*result).rate).String(), each(c.half, quantileMicros(0.50)).String(), each(c.half, quantileMicros(0.99)).String(), each(c.half, (*result).cpuPer).String())
		}
		if c.name == fullRole {
			for _, other := range callers {
				if other.name == root || other.name == olderRoot {
					r.Goals = append(r.Goals, goal{Name: "server CPU that the role session takes more than " + other.name, Measured: c.over(other).median(), Limit: 15, Unit: "µs"})
				}
			}
		}
	}
	r.Tables = []table{peak, steps}
	if o.paced {
		r.Tables = append(r.Tables, half)
	}
	return r
}
