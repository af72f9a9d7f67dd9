package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"coffer/internal/server"
)

type serverOpts struct {
	cfg       server.Config
	dir       func() (server.Dir, error)
	key       func(server.Dir) server.RootKeyConfig
	logLevel  slog.Level
	logFormat string
	given     func(name string) bool // set by flag, environment or file
}

var serverCommand = command{
	name: "server", summary: "serve the AWS API",
	help: `
Serves Secrets Manager, KMS, IAM and STS until it is told to stop (SIGINT, SIGTERM).

  coffer server --data-dir /var/lib/coffer --listen 0.0.0.0:8443
  coffer server --tls-cert server.pem --tls-key server.key
  coffer server --passphrase-file /run/secrets/passphrase
  coffer server --plain-http --trusted-proxies 10.0.7.0/24
  coffer server --endpoint id=vpce-0123456789abcdef0,listen=10.0.0.5:8443,policy=apps.json

The first start makes, in the data directory, a root key, an account with root
access keys, and a CA with a server certificate; it prints what to type next.
Keep a copy of root.key somewhere else: without it the data cannot be read,
and it is not part of a backup.

With --dev everything is in memory and gone at the end, the API is plain HTTP
on 127.0.0.1:4566, and every access key is accepted as root: "test" belongs to
account 000000000000, a 12-digit access key is the account itself. This is for
tests and CI jobs, and listens on loopback addresses only.`,
	flags: func(fs *flag.FlagSet) any {
		o := &serverOpts{dir: dirFlag(fs), key: keyFlags(fs)}
		o.given = func(name string) (set bool) {
			fs.Visit(func(f *flag.Flag) { set = set || f.Name == name && f.Value.String() != f.DefValue })
			return set
		}
		fs.BoolVar(&o.cfg.Dev, "dev", false, "in memory, plain HTTP, any access key: for tests")
		fs.StringVar(&o.cfg.Listen, "listen", "", "`HOST:PORT` of the AWS API (default 127.0.0.1:8443; with --dev 127.0.0.1:4566)")
		fs.Var(&o.cfg.Endpoints, "endpoint", "a further listener that stands for a VPC endpoint, `ENDPOINT`: id=vpce-...,listen=HOST:PORT[,vpc=vpc-...][,policy=FILE]; repeatable; the policy is taken up again when it changes")
		fs.Var(&o.cfg.Proxies, "trusted-proxies", "believe what proxies at these addresses say of their clients (X-Forwarded-For, X-Forwarded-Proto): `CIDR,CIDR`")
		fs.StringVar(&o.cfg.Admin, "admin-listen", "", "`HOST:PORT` of /healthz, /readyz and /metrics, or off (default 127.0.0.1:8444; with --dev off)")
		fs.StringVar(&o.cfg.Region, "region", "us-east-1", "`REGION` that `coffer env` sets; every region of its partition is served")
		fs.StringVar(&o.cfg.CertFile, "tls-cert", "", "own certificate chain, PEM `FILE`; taken up again when it changes")
		fs.StringVar(&o.cfg.KeyFile, "tls-key", "", "key of --tls-cert, PEM `FILE`")
		fs.BoolVar(&o.cfg.PlainHTTP, "plain-http", false, "no TLS: secrets cross the network in clear unless something else encrypts them")
		fs.BoolVar(&o.cfg.RepairAudit, "repair-audit-log", false, "go on from an audit log whose end was cut or damaged; the gap is recorded for good")
		fs.DurationVar(&o.cfg.AuditSync, "audit-sync", time.Second, "sync the audit log at least every `DURATION`, such as 500ms; -1s syncs before every answer")
		fs.Func("oidc-jwks", "take the keys of an OpenID Connect issuer from a file in place of asking it: `ISSUER=FILE`; repeatable", func(v string) error {
			issuer, file, ok := strings.Cut(v, "=")
			if !ok || !strings.HasPrefix(issuer, "https://") || file == "" {
				return errors.New("write ISSUER=FILE, such as https://kubernetes.default.svc=keys.json")
			}
			if o.cfg.OIDCKeys == nil {
				o.cfg.OIDCKeys = make(map[string]string)
			}
			o.cfg.OIDCKeys[issuer] = file
			return nil
		})
		fs.BoolVar(&o.cfg.OIDCLinkLocal, "oidc-link-local", false, "ask issuers at link-local addresses, too, where clouds have their metadata")
		fs.StringVar(&o.cfg.SAMLRecipient, "saml-recipient", "", "the only `URL` that SAML assertions may be addressed to (default: AWS's sign-in endpoints)")
		fs.Var(&o.cfg.Throttle, "throttle", "calls a second of an account in a region, `QUOTA`: secretsmanager:GetSecretValue=20000 and the like, or off; repeatable; AWS's quotas unless set (with --dev none)")
		functionFlags(fs, &o.cfg.Functions)
		fs.IntVar(&o.cfg.MaxConns, "max-conns", 16384, "serve `N` connections at once; further ones wait")
		fs.IntVar(&o.cfg.CacheMiB, "cache-mib", 48, "bound the cache of decoded records to `N` MiB")
		fs.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "log at `LEVEL` and above: debug, info, warn or error")
		fs.StringVar(&o.logFormat, "log-format", "text", "`FORMAT` of the log on standard error: text or json")
		return o
	},
	run: runServer,
}

func runServer(ctx context.Context, e Env, opts any, _ []string) error {
	o := opts.(*serverOpts)
	logger, err := newLogger(e.Stderr, o.logFormat, o.logLevel)
	if err != nil {
		return err
	}
	cfg := o.cfg
	cfg.Logger = logger
	if cfg.Dev {
		for _, name := range devRivals {
			if o.given(name) {
				return usagef("--dev keeps nothing and speaks plain HTTP: it does not go with --%s (%s in the environment)", name, variable(name))
			}
		}
	}
	if cfg.Dir, err = o.dir(); err != nil && !cfg.Dev {
		return err
	}
	key := o.key(cfg.Dir)
	cfg.RootKeyFile, cfg.Passphrase = key.File, key.Passphrase
	if err := noCoreDumps(); err != nil {
		logger.Warn("core dumps cannot be switched off; one would hold keys", "error", err)
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cfg.Functions.Self = []string{program}
	s, err := server.New(ctx, cfg)
	if err != nil {
		return err
	}
	greet(e.Stdout, s, cfg)
	err = s.Run(ctx)
	if e := s.Close(); err == nil {
		err = e
	}
	logger.Info("stopped")
	return err
}

func newLogger(w io.Writer, format string, level slog.Level) (*slog.Logger, error) {
	opts := &slog.HandlerOptions{Level: level}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, usagef("--log-format is text or json, not %q", format)
}

// greet tells what serves where, and the lines to paste next.
func greet(w io.Writer, s *server.Server, cfg server.Config) {
	account, fresh := s.Account()
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "Coffer is ready.")
	everywhere := ""
	if s.Everywhere() {
		everywhere = " (and on every address of this machine)"
	}
	fmt.Fprintf(tw, "  endpoint\t%s%s\n", s.URL(), everywhere)
	for _, e := range cfg.Endpoints {
		about := ""
		if e.VPC != "" {
			about += ", " + e.VPC
		}
		if e.Policy != "" {
			about += ", policy " + e.Policy
		}
		fmt.Fprintf(tw, "  %s\t%s%s\n", e.ID, s.EndpointURL(e.ID), about)
	}
	if a := s.AdminAddr(); a != "" {
		fmt.Fprintf(tw, "  health, metrics\thttp://%s/healthz, /readyz, /metrics\n", a)
	}
	env := self() + " env"
	if cfg.Dev {
		fmt.Fprintf(tw, "  store\tin memory; gone when this process ends\n")
		fmt.Fprintf(tw, "  account\t%s; any access key is its root, a 12-digit one names another account\n", account)
		env += " --dev"
		if s.Addr() != "127.0.0.1:4566" {
			env += " --url " + s.URL()
		}
	} else {
		fmt.Fprintf(tw, "  data\t%s\n", cfg.Dir)
		if fresh {
			fmt.Fprintf(tw, "  account\t%s, made now; its root access keys are in %s\n", account, cfg.Dir.Credentials())
		} else {
			fmt.Fprintf(tw, "  account\t%s\n", account)
		}
		fmt.Fprintf(tw, "  root key\t%s; keep a copy elsewhere: without it nothing can be read\n", s.RootKey())
		if d, err := server.DefaultDir(); err != nil || d != cfg.Dir {
			env += " --data-dir " + quote(string(cfg.Dir))
		}
	}
	tw.Flush()
	fmt.Fprintf(w, "\nIn another shell:\n  eval \"$(%s)\"\n", env)
	if fresh || cfg.Dev {
		fmt.Fprint(w, "  aws secretsmanager create-secret --name hello --secret-string world\n  aws secretsmanager get-secret-value --secret-id hello\n\n")
	} else {
		fmt.Fprint(w, "  aws secretsmanager list-secrets\n\n")
	}
}

// self is how to call this program again: by name if that finds it, by go run
// if it was started so, else by its path.
func self() string {
	exe, err := os.Executable()
	if err != nil {
		return "coffer"
	}
	if strings.Contains(exe, "go-build") {
		if _, err := os.Stat(filepath.Join("cmd", "coffer")); err == nil {
			return "go run ./cmd/coffer"
		}
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.Join(dir, filepath.Base(exe)) == exe {
			return filepath.Base(exe)
		}
	}
	return quote(exe)
}

// quote makes a word safe for a POSIX shell.
func quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:=+@,", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
