// Package server puts Coffer together: it is the only package that knows all
// others.
//
// New opens the data directory (or a store in memory) and builds everything;
// Run serves until its context ends and then lets requests under way finish;
// Close releases what New opened. Goroutines start in Run and are waited for in
// reverse order.
package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/net/netutil"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	kmsapi "coffer/internal/api/kms"
	lambdaapi "coffer/internal/api/lambda"
	logsapi "coffer/internal/api/logs"
	smapi "coffer/internal/api/secretsmanager"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/arn"
	"coffer/internal/audit"
	"coffer/internal/builtin"
	"coffer/internal/cloudwatchlogs"
	"coffer/internal/dispatch"
	"coffer/internal/envelope"
	"coffer/internal/gateway"
	"coffer/internal/iam"
	"coffer/internal/jwt"
	"coffer/internal/kms"
	"coffer/internal/kv"
	"coffer/internal/kv/memory"
	"coffer/internal/kv/pebble"
	"coffer/internal/lambda"
	"coffer/internal/material"
	"coffer/internal/oidc"
	"coffer/internal/rotation"
	"coffer/internal/runner"
	"coffer/internal/scheduler"
	"coffer/internal/secretsmanager"
	"coffer/internal/session"
	"coffer/internal/sts"
	"coffer/internal/table"
)

// Config says how to serve. The zero value with a Dir is a usable server.
type Config struct {
	Dir    Dir    // data directory; ignored with Dev
	Dev    bool   // store in memory, plain HTTP, any access key is root, loopback only
	Listen string // host:port of the AWS API; 127.0.0.1:8443, with Dev 127.0.0.1:4566
	Admin  string // host:port of health and metrics; 127.0.0.1:8444, with Dev none; "off" for none
	Region string // the region `coffer env` names; us-east-1

	Proxies Proxies // whose X-Forwarded-For and X-Forwarded-Proto are believed

	Endpoints Endpoints // further listeners of the AWS API that policies can tell apart

	CertFile, KeyFile string // own certificate; empty: a CA and certificate made on first start
	PlainHTTP         bool   // no TLS; for a loopback address or behind a proxy

	RootKeyFile string                 // empty: root.key in Dir
	Passphrase  func() ([]byte, error) // if set, the root key comes from a passphrase

	RepairAudit bool // go on from an audit log whose end was cut or damaged; the gap is recorded

	AuditSync time.Duration // the audit log is synced at least this often; 0: 1 s; negative: before every answer

	// How holders of foreign tokens sign in: files with the keys of OpenID Connect issuers by
	// issuer URL, whether issuers may be at link-local addresses, and the only
	// Recipient of SAML assertions (empty: AWS's).
	OIDCKeys      map[string]string
	OIDCLinkLocal bool
	SAMLRecipient string

	Throttle gateway.Throttle // how fast accounts may call; with Dev nothing is limited but what Rates names

	// Functions says how functions run. Of Self the zero value runs none, and the server sets what
	// depends on it: directory, endpoint, logs.
	Functions runner.Config
	Runner    lambda.Runner // in place of Functions, for tests

	// The functions that every account has, and what their role allows (an IAM policy); those
	// of package builtin unless set.
	BuiltIns      []lambda.BuiltIn
	BuiltInPolicy string

	Store kv.Store // rows go here instead of the embedded store in Dir; for tests

	MaxConns int // connections served at once on each listener; 0: 16384
	CacheMiB int // bound of the record cache; 0: 48

	Logger *slog.Logger
	Now    func() time.Time // for tests
}

const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 5 * time.Minute // longer than SDKs keep idle connections
	shutdownTimeout   = 15 * time.Second
	maxHeader         = 64 << 10 // room for long session tokens

	devAccount = "000000000000" // what emulators answer, and tests expect
)

func (c *Config) defaults() error {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8443"
		if c.Dev {
			c.Listen = "127.0.0.1:4566"
		}
	}
	if c.Admin == "" {
		c.Admin = "127.0.0.1:8444"
		if c.Dev {
			c.Admin = "off"
		}
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.MaxConns == 0 {
		c.MaxConns = 16384
	}
	if c.BuiltIns == nil {
		var err error
		if c.BuiltIns, err = builtIns(); err != nil {
			return err
		}
		c.BuiltInPolicy = builtin.RolePolicy
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	for flag, addr := range map[string]string{"--listen": c.Listen, "--admin-listen": c.Admin} {
		if _, _, err := net.SplitHostPort(addr); err != nil && addr != "off" {
			return fmt.Errorf("%s %q is not an address; write HOST:PORT, such as 127.0.0.1:8443", flag, addr)
		}
	}
	seen := make(map[string]bool)
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		if err := e.check(); err != nil {
			return fmt.Errorf("--endpoint: %w", err)
		}
		if seen[e.ID] {
			return fmt.Errorf("--endpoint: %s is given twice; every endpoint has an id of its own", e.ID)
		}
		seen[e.ID] = true
		if c.Dev && !loopback(e.Listen) {
			return fmt.Errorf("--dev accepts every access key, so it listens on loopback addresses only, not on %s", e.Listen)
		}
	}
	if c.Dev {
		c.PlainHTTP = true
		if !loopback(c.Listen) || (c.Admin != "off" && !loopback(c.Admin)) {
			return fmt.Errorf("--dev accepts every access key, so it listens on loopback addresses only, not on %s", c.Listen)
		}
	}
	if c.SAMLRecipient != "" && !strings.HasPrefix(c.SAMLRecipient, "https://") {
		return fmt.Errorf("--saml-recipient %q is not an https URL", c.SAMLRecipient)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if c.Passphrase != nil && c.RootKeyFile != "" {
		return errors.New("the root key comes from a file or from a passphrase, not from both: give --root-key-file or a passphrase")
	}
	c.Throttle.Off = c.Throttle.Off || c.Dev
	if err := c.Throttle.Validate(served); err != nil {
		return fmt.Errorf("--throttle: %w", err)
	}
	for _, addr := range c.addresses() {
		if c.PlainHTTP && !loopback(addr) {
			c.Logger.Warn("serving without TLS on an address that others can reach: secrets cross the network in clear unless something in front encrypts them", "listen", addr)
		}
	}
	return nil
}

// addresses are those of the AWS API.
func (c *Config) addresses() []string {
	addrs := []string{c.Listen}
	for i := range c.Endpoints {
		addrs = append(addrs, c.Endpoints[i].Listen)
	}
	return addrs
}

// loopback reports whether a listen address cannot be reached from elsewhere.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Server is a whole Coffer.
type Server struct {
	cfg      Config
	store    kv.Store
	keyring  *envelope.Keyring
	db       *table.DB
	log      *audit.Log
	anchors  *anchors
	outbox   *gateway.Outbox
	gate     *gateway.Gateway
	sched    *scheduler.Scheduler
	rotation *rotation.Worker
	dispatch *dispatch.Worker
	services services
	registry *prometheus.Registry
	cert     *certificate

	listener, adminListener, controlListener net.Listener
	endpoints                                []*endpoint
	fresh                                    bool // this start made the first account
	account                                  string
	rootKeyText                              string
	ready                                    atomic.Bool
	conns                                    atomic.Int64 // of the AWS API
	functions                                *functions   // nil: none run
	closers                                  []func() error
	closeOnce                                sync.Once
	closeErr                                 error
}

// services are the floors 3 packages, and what fsck and the workers need of them.
type services struct {
	material  *material.Store
	directory *iam.Directory
	tokens    *session.Tokens
	kms       *kms.Service
	sm        *secretsmanager.Service
	iam       *iam.Service
	sts       *sts.Service
	lambda    *lambda.Service
	logs      *cloudwatchlogs.Service
}

func newServices(root envelope.RootKey, ring *envelope.Keyring, issuers jwt.Source, cfg *Config) (services, error) {
	m, err := material.New(material.Config{Root: root})
	if err != nil {
		return services{}, err
	}
	tokens, err := session.New(ring.Derive("session tokens"))
	if err != nil {
		return services{}, err
	}
	directory := iam.NewDirectory(iam.DirectoryConfig{AnyAccount: cfg.Dev})
	role := &iam.OwnRole{
		Service: lambdaapi.Service.EventSource, Name: "CofferRotation", Policy: cfg.BuiltInPolicy,
		Description: "Lets the rotation functions that come with Coffer rotate the secrets of the account",
	}
	return services{
		material:  m,
		directory: directory,
		tokens:    tokens,
		kms:       kms.New(kms.Config{Material: m}),
		sm:        secretsmanager.New(secretsmanager.Config{TokenKey: ring.Derive("page tokens").Bytes()}),
		iam:       iam.New(iam.Config{Directory: directory}),
		sts:       sts.New(sts.Config{Tokens: tokens, Directory: directory, Keys: issuers, SAMLRecipient: cfg.SAMLRecipient}),
		lambda: lambda.New(lambda.Config{
			Runner: cfg.Runner, BuiltIns: cfg.BuiltIns, MarkKey: ring.Derive("marks of environment variables").Bytes(),
			LocationKey: ring.Derive("code locations"),
			BuiltInRole: func(tx *table.Tx, account, region string, now time.Time) (string, error) {
				return role.Ensure(tx, account, arn.Partition(region), now)
			},
			BuiltInRoleARN: func(account, region string) string { return role.ARN(account, arn.Partition(region)) },
		}),
		logs: cloudwatchlogs.New(cloudwatchlogs.Config{}),
	}, nil
}

// served is the literal table of services.
var served = []*api.Service{smapi.Service, kmsapi.Service, iamapi.Service, stsapi.Service, lambdaapi.Service, logsapi.Service}

func (s *services) operations() []api.Bound {
	return slices.Concat(s.sm.Operations(), s.kms.Operations(), s.iam.Operations(), s.sts.Operations(), s.lambda.Operations(), s.logs.Operations())
}

// tuneCollector trades idle memory for time on the hot path: with a heap of a few
// MiB Go's default would collect dozens of times a second under load, which
// was a seventh of a read's CPU. Above the limit the collector works as
// often as it must. GOGC and GOMEMLIMIT win.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(384 << 20)
	}
}

// New opens everything. On an error nothing stays open.
func New(ctx context.Context, cfg Config) (s *Server, err error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	s = &Server{cfg: cfg, registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			s.Close()
			s = nil
		}
	}()
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	if err := s.notRunning(); err != nil {
		return s, err
	}
	// Addresses and files first: a taken port must not leave a new data directory behind.
	if err := s.listen(ctx); err != nil {
		return s, err
	}
	issuers, err := oidc.New(oidc.Config{Files: cfg.OIDCKeys, LinkLocal: cfg.OIDCLinkLocal, Logger: cfg.Logger})
	if err != nil {
		return s, err
	}
	s.closers = append(s.closers, issuers.Close)
	root, err := s.openStore(ctx)
	if err != nil {
		return s, err
	}
	if err := s.openLog(ctx); err != nil {
		return s, err
	}
	s.rootKeyText = root.Describe()
	if s.cfg.Runner == nil && len(s.cfg.Functions.Self) > 0 {
		s.functions = new(functions)
		s.cfg.Runner = s.functions
	}
	if s.services, err = newServices(root, s.keyring, issuers, &s.cfg); err != nil {
		return s, err
	}
	if err := s.firstAccount(ctx); err != nil {
		return s, err
	}
	s.outbox = gateway.NewOutbox(s.db, s.log, cfg.Logger)
	if err := s.outbox.Recover(ctx); err != nil {
		return s, fmt.Errorf("audit records of an earlier run: %w", err)
	}
	gc := gateway.Config{
		DB: s.db, Log: s.log, Outbox: s.outbox, Services: served, Region: cfg.Region, Logger: cfg.Logger,
		Directory: s.services.directory, KeyARN: kms.KeyARN, Tokens: s.services.tokens,
		Needs:      map[*api.Service]api.Needs{smapi.Service: secretsmanager.Needs, kmsapi.Service: kms.Needs, lambdaapi.Service: s.services.lambda.Needs, logsapi.Service: cloudwatchlogs.Needs, iamapi.Service: iam.Needs, stsapi.Service: sts.Needs},
		Operations: s.services.operations(), Downloads: s.services.lambda.Download,
		Metrics: gateway.NewMetrics(s.registry), Now: cfg.Now,
		Throttle: cfg.Throttle, Proxies: cfg.Proxies,
		Crowded: func() bool { return s.conns.Load() > int64(cfg.MaxConns/2) },
	}
	if cfg.Dev {
		gc.TrustAccount = devAccount
	}
	if s.gate, err = gateway.New(gc); err != nil {
		return s, err
	}
	tasks := slices.Concat(s.services.sm.Tasks(), s.services.kms.Tasks(), s.services.iam.Tasks(), s.services.lambda.Tasks(), s.services.logs.Tasks())
	s.sched = scheduler.New(tasks, s.gate, cfg.Logger, s.registry)
	s.rotation = rotation.New(rotation.Config{Gate: s.gate, Secrets: s.services.sm, DB: s.db, Logger: cfg.Logger, Metrics: s.registry})
	s.dispatch = dispatch.New(dispatch.Config{Gate: s.gate, Functions: s.services.lambda, DB: s.db, Logger: cfg.Logger, Metrics: s.registry})
	s.registerMetrics()
	if err := s.openCertificate(); err != nil {
		return s, err
	}
	if s.functions != nil {
		if err := s.openFunctions(ctx); err != nil {
			return s, err
		}
	}
	if cfg.Dev {
		s.listenDev()
		return s, nil
	}
	return s, s.listenControl()
}

// openStore opens the rows and the keys above them, and makes both on first start.
func (s *Server) openStore(ctx context.Context) (envelope.RootKey, error) {
	if s.cfg.Dev {
		s.store = memory.New()
		s.closers = append(s.closers, s.store.Close)
		root := envelope.NewMemoryKey()
		return root, s.openTables(ctx, root)
	}
	if err := s.cfg.Dir.make(s.cfg.Logger); err != nil {
		return nil, err
	}
	if s.store = s.cfg.Store; s.store == nil {
		store, err := openPebble(s.cfg.Dir, s.cfg.Logger)
		if err != nil {
			return nil, err
		}
		s.store = store
	}
	s.closers = append(s.closers, s.store.Close)
	root, err := s.rootKey(ctx)
	if err != nil {
		return nil, err
	}
	return root, s.openTables(ctx, root)
}

// notRunning refuses a data directory that a server answers from. The store's lock is what counts,
// and comes after the addresses: that the port is taken would be told of a server started twice.
func (s *Server) notRunning() error {
	if s.cfg.Dev {
		return nil
	}
	run, err := ReadJSON[Running](s.cfg.Dir.Running())
	if err != nil {
		return nil // there is none, or it does not say so in a way we know
	}
	c, err := net.DialTimeout("unix", run.Control, time.Second)
	if err != nil {
		return nil // killed
	}
	c.Close()
	return inUse(s.cfg.Dir)
}

// openPebble opens a data directory's store, and says who has it if it is in use.
func openPebble(d Dir, logger *slog.Logger) (*pebble.Store, error) {
	store, err := pebble.Open(pebble.Config{Dir: d.Store(), Logger: logger})
	if errors.Is(err, kv.ErrLocked) {
		return nil, inUse(d)
	}
	return store, err
}

func inUse(d Dir) error {
	who := "another process has it open"
	if run, err := ReadJSON[Running](d.Running()); err == nil {
		who = fmt.Sprintf("a server runs on it (process %d, %s)", run.PID, run.URL)
	}
	return fmt.Errorf("data directory %s is in use: %s; stop that first, or choose another directory", d, who)
}

// rootKey opens the root key, or makes it when the store is new. A store that
// holds data never gets a new root key: that would hide that the old one is missing.
func (s *Server) rootKey(ctx context.Context) (envelope.RootKey, error) {
	return OpenRootKey(ctx, s.store, RootKeyConfig{Dir: s.cfg.Dir, File: s.cfg.RootKeyFile, Passphrase: s.cfg.Passphrase, Create: true})
}

func (s *Server) openTables(ctx context.Context, root envelope.RootKey) (err error) {
	s.db, s.keyring, err = OpenTables(ctx, s.store, root, s.cfg.CacheMiB<<20)
	if err == nil {
		s.closers = append(s.closers, func() error { s.keyring.Destroy(); return nil })
	}
	return err
}

func (s *Server) openLog(ctx context.Context) (err error) {
	s.anchors = &anchors{db: s.db}
	cfg := audit.Config{Repair: s.cfg.RepairAudit, SyncEvery: s.cfg.AuditSync, Anchors: s.anchors, Key: auditKey(s.keyring), Now: s.cfg.Now, Logger: s.cfg.Logger}
	if s.cfg.Dev {
		// A dev server leaves nothing behind, its audit log included.
		if cfg.Dir, err = os.MkdirTemp("", "coffer-dev-audit-"); err != nil {
			return err
		}
		dir := cfg.Dir
		s.closers = append(s.closers, func() error { return os.RemoveAll(dir) })
	} else {
		cfg.Dir = s.cfg.Dir.Audit()
	}
	if s.log, err = audit.Open(cfg); err != nil {
		if errors.Is(err, audit.ErrTampered) || errors.Is(err, audit.ErrNoAnchor) {
			return fmt.Errorf("%w\nThe audit log is not as this server left it. `coffer audit verify` tells more. Put %s back from a backup, or go on without what is lost: --repair-audit-log starts a new segment that says so for good", err, cfg.Dir)
		}
		return err
	}
	s.closers = append(s.closers, s.log.Close)
	return nil
}

// firstAccount makes the first account and its root access keys. The keys are
// written before the account is committed: an account nobody has keys for
// would be worse than keys for no account, which the next start replaces.
func (s *Server) firstAccount(ctx context.Context) error {
	if s.cfg.Dev {
		s.account = devAccount
		return nil
	}
	// Ours is the account whose keys `coffer env` hands out, else the oldest.
	cred, err := ReadJSON[Credentials](s.cfg.Dir.Credentials())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var accounts []*iam.Account
	if err := s.db.View(ctx, func(tx *table.Tx) (err error) {
		accounts, err = iam.ListAccounts(tx)
		return err
	}); err != nil {
		return err
	}
	if len(accounts) > 0 {
		s.account = accounts[0].ID
		for _, a := range accounts {
			if here := arn.Partition(s.cfg.Region); !a.InPartition(here) {
				return fmt.Errorf("the accounts of this data directory are in partition %s, and --region %s is in partition %s: start with a region of theirs",
					cmp.Or(a.Partition, "aws"), s.cfg.Region, here)
			}
			if a.ID == cred.Account {
				s.account = a.ID
			}
		}
		return nil
	}
	err = s.db.Update(ctx, func(tx *table.Tx) error {
		account, key, err := iam.CreateAccount(tx, "main", arn.Partition(s.cfg.Region), s.cfg.Now())
		if err != nil {
			return err
		}
		s.account = account.ID
		return WriteJSON(s.cfg.Dir.Credentials(), Credentials{account.ID, key.ID, key.Secret.Reveal()})
	})
	s.fresh = err == nil
	return err
}

// listen takes the addresses, so that a taken port fails New and not Run.
func (s *Server) listen(ctx context.Context) (err error) {
	var lc net.ListenConfig
	if s.listener, err = lc.Listen(ctx, "tcp", s.cfg.Listen); err != nil {
		return fmt.Errorf("cannot listen on %s: %w; choose another address with --listen", s.cfg.Listen, err)
	}
	s.closers = append(s.closers, closeListener(s.listener))
	if s.cfg.Admin != "off" {
		if s.adminListener, err = lc.Listen(ctx, "tcp", s.cfg.Admin); err != nil {
			return fmt.Errorf("cannot listen on %s for health and metrics: %w; choose another address with --admin-listen, or off", s.cfg.Admin, err)
		}
		s.closers = append(s.closers, closeListener(s.adminListener))
	}
	for _, cfg := range s.cfg.Endpoints {
		e := &endpoint{Endpoint: cfg}
		if err := e.load(); err != nil {
			return fmt.Errorf("policy of endpoint %s: %w", e.ID, err)
		}
		if e.listener, err = lc.Listen(ctx, "tcp", e.Listen); err != nil {
			return fmt.Errorf("endpoint %s cannot listen on %s: %w", e.ID, e.Listen, err)
		}
		s.endpoints = append(s.endpoints, e)
		s.closers = append(s.closers, closeListener(e.listener))
	}
	for i, l := range s.listeners() {
		if ip := l.Addr().(*net.TCPAddr).IP; s.cfg.Dev && !ip.IsLoopback() {
			return fmt.Errorf("--dev listens on loopback addresses only, and %s means %s here", s.cfg.addresses()[i], ip)
		}
	}
	return nil
}

// listeners are those of the AWS API, in the order of Config.addresses.
func (s *Server) listeners() []net.Listener {
	ls := []net.Listener{s.listener}
	for _, e := range s.endpoints {
		ls = append(ls, e.listener)
	}
	return ls
}

// openCertificate loads the certificate that was given, or our own.
func (s *Server) openCertificate() (err error) {
	switch {
	case s.cfg.PlainHTTP:
		return nil
	case s.cfg.CertFile != "":
		s.cert = &certificate{certFile: s.cfg.CertFile, keyFile: s.cfg.KeyFile}
		err = s.cert.load()
		if info, e := os.Stat(s.cfg.KeyFile); e == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			s.cfg.Logger.Warn("the key of the TLS certificate can be read by others", "file", s.cfg.KeyFile, "mode", info.Mode().Perm())
		}
	default:
		s.cert, err = ownCertificate(s.cfg.Dir, serverHosts(s.cfg.addresses()...))
	}
	if err == nil {
		s.cert.warn = s.cfg.Logger.Warn
	}
	return err
}

func closeListener(l net.Listener) func() error {
	return func() error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// Addr is the address of the AWS API.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// AdminAddr is the address of health and metrics, "" for none.
func (s *Server) AdminAddr() string {
	if s.adminListener == nil {
		return ""
	}
	return s.adminListener.Addr().String()
}

// URL is what clients on this machine set as their endpoint.
func (s *Server) URL() string { return s.url(s.listener) }

// EndpointURL is URL for one of Config.Endpoints, "" if there is none with this id.
func (s *Server) EndpointURL(id string) string {
	for _, e := range s.endpoints {
		if e.ID == id {
			return s.url(e.listener)
		}
	}
	return ""
}

func (s *Server) url(l net.Listener) string {
	tcp := l.Addr().(*net.TCPAddr)
	addr := tcp.String()
	if tcp.IP.IsUnspecified() {
		addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	if s.cfg.PlainHTTP {
		return "http://" + addr
	}
	return "https://" + addr
}

// Everywhere reports whether the API is served on all addresses of the machine.
func (s *Server) Everywhere() bool { return s.listener.Addr().(*net.TCPAddr).IP.IsUnspecified() }

// RootKey describes the root key: where it is kept, and its id.
func (s *Server) RootKey() string { return s.rootKeyText }

// Account is the id of the first account. Fresh reports whether this start made it.
func (s *Server) Account() (id string, fresh bool) { return s.account, s.fresh }

// Run serves until ctx ends, then finishes requests under way, at most 15 s.
func (s *Server) Run(ctx context.Context) error {
	tuneCollector()
	// Workers outlive the listeners: the records of the last mutations are still to be moved.
	workers, stopWorkers := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.outbox.Run(workers) })
	wg.Go(func() { s.gate.Run(workers) })
	sched, stopSched := context.WithCancel(context.WithoutCancel(ctx))
	var schedDone sync.WaitGroup
	schedDone.Go(func() { s.sched.Run(sched) })
	rotating, stopRotating := context.WithCancel(context.WithoutCancel(ctx))
	var rotationDone sync.WaitGroup
	rotationDone.Go(func() { s.rotation.Run(rotating) })
	rotationDone.Go(func() { s.dispatch.Run(rotating) })
	defer func() {
		stopSched()
		schedDone.Wait()
		stopWorkers()
		wg.Wait()
	}()

	var servers []*http.Server
	failed := make(chan error, 4+len(s.endpoints))
	serve := func(srv *http.Server, l net.Listener) {
		servers = append(servers, srv)
		wg.Go(func() {
			if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	serve(s.apiServer(s.gate, s.listener))
	for _, e := range s.endpoints {
		serve(s.apiServer(s.gate.Through(e.current.Load), e.listener))
	}
	wg.Go(func() { s.watchEndpoints(workers) })
	if s.functions != nil {
		srv, l := s.limited(s.gate.Direct(), s.functions.listener)
		serve(withTLS(srv, l, s.functions.certificate))
	}
	if s.adminListener != nil {
		serve(s.httpServer(s.adminHandler()), s.adminListener)
	}
	if s.controlListener != nil {
		control := s.httpServer(s.controlHandler())
		control.ConnContext = withPeer
		control.ReadTimeout, control.WriteTimeout = 0, 0 // backups and verifications take their time
		serve(control, s.controlListener)
		defer os.Remove(s.cfg.Dir.Running())
	}
	s.ready.Store(true)
	s.cfg.Logger.Info("serving", "endpoint", s.URL(), "admin", s.AdminAddr(), "root key", s.rootKeyText)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	case <-s.stopped():
		// The store can write no more. Reads could go on, but their records, and
		// everything else, need it: better an orderly end that a service manager sees.
		err = fmt.Errorf("the store has stopped: %w", s.store.(*pebble.Store).Err())
	}
	s.ready.Store(false)
	// While the API is still served: functions call it.
	stopRotating()
	rotationDone.Wait()
	if s.functions != nil {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), functionsTimeout)
		if e := s.functions.Close(end); e != nil {
			s.cfg.Logger.Warn("functions did not end in order", "error", e)
		}
		cancel()
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	var stopping sync.WaitGroup
	for _, srv := range servers {
		stopping.Go(func() {
			if e := srv.Shutdown(end); e != nil {
				s.cfg.Logger.Warn("requests were cut off at shutdown", "error", e)
				srv.Close()
			}
		})
	}
	stopping.Wait()
	return err
}

// apiServer serves the AWS API on a listener.
func (s *Server) apiServer(h http.Handler, l net.Listener) (*http.Server, net.Listener) {
	srv, l := s.limited(h, l)
	if s.cert == nil {
		return srv, l
	}
	return withTLS(srv, l, s.cert.get)
}

func (s *Server) limited(h http.Handler, l net.Listener) (*http.Server, net.Listener) {
	srv := s.httpServer(h)
	srv.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.conns.Add(1)
		case http.StateClosed, http.StateHijacked:
			s.conns.Add(-1)
		}
	}
	// Each listener has its own share: who fills one does not keep others out of the next.
	return srv, netutil.LimitListener(l, s.cfg.MaxConns)
}

func withTLS(srv *http.Server, l net.Listener, get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) (*http.Server, net.Listener) {
	srv.TLSConfig = tlsConfig(get)
	return srv, tls.NewListener(l, srv.TLSConfig)
}

// stopped is closed when the embedded store cannot write any more.
func (s *Server) stopped() <-chan struct{} {
	if store, ok := s.store.(*pebble.Store); ok {
		return store.Stopped()
	}
	return nil
}

func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 100, MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: 256 << 10},
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
}

// Close releases what New opened, in reverse order. Call it after Run.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		for i := len(s.closers) - 1; i >= 0; i-- {
			s.closeErr = errors.Join(s.closeErr, s.closers[i]())
		}
	})
	return s.closeErr
}
