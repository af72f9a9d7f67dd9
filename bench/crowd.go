package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"time"
)

// crowdOptions say how an account with many users, roles and policies is measured.
type crowdOptions struct {
	users, roles, policies int
	readers                int
	conns, secrets, value  int
	tours, rounds          int
	slot                   time.Duration
}

func (o *crowdOptions) flags(fs *flag.FlagSet) {
	fs.IntVar(&o.users, "users", 10_000, "users of the crowded account")
	fs.IntVar(&o.roles, "roles", 2000, "roles of it")
	fs.IntVar(&o.policies, "policies", 5000, "managed policies of it")
	fs.IntVar(&o.readers, "readers", 1000, "users of it that read secrets")
	fs.IntVar(&o.conns, "conns", 32, "connections")
	fs.IntVar(&o.secrets, "secrets", 1000, "secrets of each account")
	fs.IntVar(&o.value, "value", 200, "bytes of a secret value")
	fs.IntVar(&o.tours, "tours", 200, "how often each operation is timed in each account")
	fs.IntVar(&o.rounds, "rounds", 5, "rounds of reads")
	fs.DurationVar(&o.slot, "slot", 3*time.Second, "how long each kind of reader reads in one round")
}

// measureCrowd compares a crowded account with an empty one of the same server.
func measureCrowd(ctx context.Context, env *environment, o crowdOptions) (*report, error) {
	if o.readers > o.users || o.users < 1 || o.roles < 1 || o.policies < 1 || o.readers < 1 {
		return nil, fmt.Errorf("there must be users, roles, policies and readers, and no more readers than users")
	}
	c, err := startCoffer(ctx, env.coffer, env.path("crowd"), true)
	if err != nil {
		return nil, err
	}
	defer c.kill()
	if err := c.waitReady(ctx); err != nil {
		return nil, err
	}
	s := &crowdRun{env: env, o: o, c: c, rep: &report{
		Name: "iam", Title: "A crowded account",
		Setup: fmt.Sprintf("Two accounts of one server over HTTP: one with %d users (each with an inline policy, an attached one, and a group), %d roles, %d managed policies and %d groups, made through the API; and one with %d users, roles and policies each.",
			o.users, o.roles, o.policies, crowdGroups, estateSize),
	}}
	defer func() { closeAll(s.conns) }()
	for _, step := range []func(context.Context) error{s.estates, s.crowd, s.operations, s.reads, s.whoCan} {
		if err := step(ctx); err != nil {
			return nil, c.explain(err)
		}
	}
	return s.rep, nil
}

// crowdRun is a measurement under way.
type crowdRun struct {
	env            *environment
	o              crowdOptions
	c              *coffer
	rep            *report
	empty, crowded *estate
	readers        []credentials // of the crowded account
	conns          []*conn       // to be closed
}

func (s *crowdRun) note(format string, args ...any) {
	s.rep.Notes = append(s.rep.Notes, fmt.Sprintf(format, args...))
}

const (
	estateSize  = 20 // users, roles, policies that both accounts have: two pages of each
	crowdGroups = 300
)

// estate is an account with what was made in it.
type estate struct {
	*administrator
	root   credentials
	values map[string]string      // of a tour, by the names that its steps use
	holder map[string]credentials // as well
	took   map[string]*histogram  // by operation
}

// estates makes both accounts, with a few of everything.
func (s *crowdRun) estates(ctx context.Context) (err error) {
	other, err := s.c.createAccount(ctx, "empty")
	if err != nil {
		return err
	}
	if s.empty, err = s.estate(ctx, other); err != nil {
		return err
	}
	if s.crowded, err = s.estate(ctx, s.c.creds); err != nil {
		return err
	}
	m, err := s.c.memory()
	s.note("Before the crowd came %s were resident, %s of them not backed by files.", mib(m.RSS), mib(m.Anon))
	return err
}

// estate makes a few of everything in the account of a root.
func (s *crowdRun) estate(ctx context.Context, root credentials) (*estate, error) {
	cn, err := dial(ctx, s.c.endpoint)
	if err != nil {
		return nil, err
	}
	s.conns = append(s.conns, cn)
	a, err := newAdministrator(cn, root, s.c.endpoint.addr)
	if err != nil {
		return nil, err
	}
	e := &estate{administrator: a, root: root, took: make(map[string]*histogram), holder: make(map[string]credentials)}
	for i := range estateSize {
		name := fmt.Sprintf("estate%d", i)
		if _, err := a.user(name, readAll); err != nil {
			return nil, err
		}
		if _, err := a.policy(name, readAll); err != nil {
			return nil, err
		}
		if _, err := a.role(name, "ops", nil, ""); err != nil {
			return nil, err
		}
	}
	if e.holder["reader"], err = a.user("reader", readAll); err != nil {
		return nil, err
	}
	return e, s.c.as(root).fill(ctx, s.o.conns, 0, s.o.secrets, s.o.value, nil)
}

// readAll lets a user read the secrets of its account.
var readAll = document(`{"Sid":"Read","Effect":"Allow","Action":["secretsmanager:GetSecretValue","secretsmanager:DescribeSecret"],"Resource":"*"}`)

// crowd fills the crowded account.
func (s *crowdRun) crowd(ctx context.Context) error {
	account := s.crowded.root.Account
	other := document(`{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::home/${aws:username}/*"}`)
	policyARN := func(i int) string {
		return fmt.Sprintf("arn:aws:iam::%s:policy/crowd/crowd%d", account, i%s.o.policies)
	}
	path := func(i int) string { return fmt.Sprintf("/crowd/%d/", i%10) }
	s.readers = make([]credentials, s.o.readers)
	start := time.Now()
	for _, kind := range []struct {
		name string
		n    int
		make func(a *administrator, i int, name string) error
	}{
		{"policies", s.o.policies, func(a *administrator, i int, name string) error {
			_, err := a.query(a.iam, "CreatePolicy", "PolicyName", name, "Path", "/crowd/", "PolicyDocument",
				document(`{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:aws:dynamodb:*:*:table/`+name+`"}`))
			return err
		}},
		{"groups", crowdGroups, func(a *administrator, i int, name string) error {
			if _, err := a.query(a.iam, "CreateGroup", "GroupName", name, "Path", path(i)); err != nil {
				return err
			}
			_, err := a.query(a.iam, "AttachGroupPolicy", "GroupName", name, "PolicyArn", policyARN(i))
			return err
		}},
		{"roles", s.o.roles, func(a *administrator, i int, name string) error {
			if _, err := a.query(a.iam, "CreateRole", "RoleName", name, "Path", path(i), "AssumeRolePolicyDocument", trust(account)); err != nil {
				return err
			}
			_, err := a.query(a.iam, "AttachRolePolicy", "RoleName", name, "PolicyArn", policyARN(i))
			return err
		}},
		{"users", s.o.users, func(a *administrator, i int, name string) error {
			own := other
			if i < s.o.readers {
				own = readAll
			}
			for _, call := range [][]string{
				{"CreateUser", "UserName", name, "Path", path(i)},
				{"PutUserPolicy", "UserName", name, "PolicyName", "own", "PolicyDocument", own},
				{"AttachUserPolicy", "UserName", name, "PolicyArn", policyARN(i)},
				{"AddUserToGroup", "UserName", name, "GroupName", fmt.Sprintf("crowd%d", i%crowdGroups)},
			} {
				if _, err := a.query(a.iam, call[0], call[1:]...); err != nil {
					return err
				}
			}
			if i >= s.o.readers {
				return nil
			}
			var err error
			s.readers[i], err = a.keyIn(a.query(a.iam, "CreateAccessKey", "UserName", name))
			return err
		}},
	} {
		began := time.Now()
		err := s.c.as(s.crowded.root).each(ctx, s.o.conns, kind.n, func(cn *conn, sg *signer, i int) error {
			a := &administrator{cn: cn, creds: s.crowded.root, iam: sg.of(iamService)}
			return kind.make(a, i, fmt.Sprintf("crowd%d", i))
		})
		if err != nil {
			return err
		}
		s.env.progress("%d %s made in %s", kind.n, kind.name, time.Since(began).Round(time.Millisecond))
	}
	m, err := s.c.memory()
	s.note("The crowd was made in %s over %d connections; then %s were resident, %s of them not backed by files.", time.Since(start).Round(time.Second), s.o.conns, mib(m.RSS), mib(m.Anon))
	return err
}

// trust lets an account's users assume a role.
func trust(account string) string {
	return document(`{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole"}`)
}

// operations times every operation of the tour, in both accounts in turn.
func (s *crowdRun) operations(ctx context.Context) error {
	both := []*estate{s.empty, s.crowded}
	for n := range s.o.tours + 1 { // the first one warms up
		for _, e := range both {
			e.begin(n)
		}
		for i := range tour {
			for _, e := range both {
				if err := e.step(&tour[i], n > 0); err != nil {
					return err
				}
			}
		}
		slices.Reverse(both)
		if n%50 == 0 {
			s.env.progress("%d of %d tours through %d operations", n, s.o.tours, len(tour))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	t := table{Title: "One call at a time, each in the empty and in the crowded account in turn",
		Head: []string{"operation", "empty: median ms", "p99 ms", "crowded: median ms", "p99 ms", "medians' ratio"}}
	worst := goal{Limit: 1.2}
	for i := range tour {
		name := tour[i].name()
		a, b := s.empty.took[name], s.crowded.took[name]
		ms := func(h *histogram, q float64) string { return figure(float64(h.quantile(q)) / 1e6) }
		ratio := float64(b.quantile(0.5)) / float64(max(a.quantile(0.5), 1))
		t.add(name, ms(a, 0.5), ms(a, 0.99), ms(b, 0.5), ms(b, 0.99), figure(ratio))
		if ratio > worst.Measured {
			worst.Measured, worst.Name = ratio, name+" in the crowded account, times the empty one's: the largest ratio of "+fmt.Sprint(len(tour))+" operations"
		}
	}
	s.rep.Tables, s.rep.Goals = append(s.rep.Tables, t), append(s.rep.Goals, worst)
	return nil
}

// reads compares reading by users of both accounts.
func (s *crowdRun) reads(ctx context.Context) error {
	conns, err := dialAll(ctx, s.c.endpoint, s.o.conns)
	if err != nil {
		return err
	}
	defer closeAll(conns)
	kinds := []struct {
		name    string
		readers []credentials
		results []*result
	}{
		{name: "a user of the empty account", readers: []credentials{s.empty.holder["reader"]}},
		{name: "a user of the crowded account", readers: []credentials{s.crowded.holder["reader"]}},
		{name: fmt.Sprintf("%d users of the crowded account", len(s.readers)), readers: s.readers},
	}
	for round := range s.o.rounds + 1 { // the first one warms up
		for i := range kinds {
			k := &kinds[i]
			src := new(signed)
			for j, of := range k.readers {
				n := s.o.secrets / len(k.readers)
				one, err := signGets(of, s.c.endpoint.addr, func(i int) string { return secretName((i + j) % s.o.secrets) }, max(n, 1), max(n, 1), s.o.conns)
				if err != nil {
					return err
				}
				src.calls, src.rngs = append(src.calls, one.expect("VersionId").calls...), one.rngs
			}
			r, err := closedLoop(ctx, conns, src, s.c.cpu, s.o.slot)
			if err != nil {
				return err
			}
			if round > 0 {
				k.results = append(k.results, r)
				s.env.progress("reads by %s, round %d of %d: %s/s", k.name, round, s.o.rounds, figure(r.rate()))
			}
		}
	}
	t := table{Title: fmt.Sprintf("GetSecretValue at peak load, %d connections, alternating", s.o.conns), Head: []string{"by", "requests/s", "p50 µs", "p99 µs", "server CPU µs/request", "CPU, of the first's"}}
	for i := range kinds {
		k := &kinds[i]
		s.rep.addSeries("GetSecretValue by "+k.name, k.results)
		t.add(k.name, each(k.results, (*result).rate).String(), each(k.results, quantileMicros(0.50)).String(), each(k.results, quantileMicros(0.99)).String(),
			each(k.results, (*result).cpuPer).String(), figure(each(k.results, (*result).cpuPer).median()/each(kinds[0].results, (*result).cpuPer).median()))
	}
	s.rep.Tables = append(s.rep.Tables, t)
	m, err := s.c.memory()
	s.note("After the reads %s were resident, %s of them not backed by files.", mib(m.RSS), mib(m.Anon))
	return err
}

// whoCan asks who can read a secret of the crowded account.
func (s *crowdRun) whoCan(ctx context.Context) error {
	var took []time.Duration
	var found int
	for range max(s.o.rounds, 2) {
		var answer struct{ Principals []any }
		start := time.Now()
		if err := s.c.ask(ctx, "/who-can", map[string]string{"action": "secretsmanager:GetSecretValue", "resource": secretName(0), "account": s.crowded.root.Account}, &answer); err != nil {
			return err
		}
		took, found = append(took, time.Since(start)), len(answer.Principals)
	}
	if found < s.o.readers {
		return fmt.Errorf("who-can found %d principals, but %d users read the secret", found, s.o.readers)
	}
	s.note("who-can secretsmanager:GetSecretValue in the crowded account found %d principals: at first in %s, then in %s ms.", found, millis(took[0]), durations(took[1:], time.Millisecond))
	s.rep.Goals = append(s.rep.Goals, goal{Name: "who-can in the crowded account, the first time", Measured: took[0].Seconds(), Limit: 2, Unit: "s"})
	m, err := s.c.memory()
	s.note("At the end %s were resident, %s of them not backed by files.", mib(m.RSS), mib(m.Anon))
	return err
}
