package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"coffer/internal/server"
)

// errNoServer is returned by dial when no server runs on the data directory.
var errNoServer = errors.New("no server is running")

// controlClient talks to the control socket of a running server.
type controlClient struct{ http.Client }

// noServer says how to start the server that is missing.
func noServer(d server.Dir) error {
	start := self() + " server"
	if def, err := server.DefaultDir(); err != nil || def != d {
		start += " --data-dir " + quote(string(d))
	}
	return fmt.Errorf("%w on %s; start one with: %s", errNoServer, d, start)
}

func noDevServer(url string) error {
	return fmt.Errorf("%w at %s that was started with --dev", errNoServer, url)
}

func dial(d server.Dir) (*controlClient, error) {
	run, err := server.ReadJSON[server.Running](d.Running())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noServer(d)
	}
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.Dial("unix", run.Control)
	if err != nil {
		return nil, noServer(d)
	}
	conn.Close()
	return &controlClient{http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", run.Control)
		},
	}}}, nil
}

// do sends in as JSON, if it is not nil, and decodes the answer into out.
func (c *controlClient) do(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(out)
}

func (c *controlClient) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://coffer"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		var e server.ControlError
		if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
			return nil, fmt.Errorf("control socket: %s", resp.Status)
		}
		return nil, errors.New(e.Error)
	}
	return resp, nil
}

type dirOpts struct {
	dir func() (server.Dir, error)
	dev string // URL of a server started with --dev, in place of a data directory

	// named reports whether flags, environment or file say which server is asked.
	named func() bool

	key  func(server.Dir) server.RootKeyConfig
	json bool
}

func dirOnly(fs *flag.FlagSet) any {
	o := new(dirOpts)
	dataDir := dirFlag(fs)
	fs.StringVar(&o.dev, "dev-url", "", "ask the server started with --dev at this `URL`; `coffer env --dev` sets it in the environment")
	o.named = func() bool { return o.dev != "" || fs.Lookup("data-dir").Value.String() != "" }
	o.dir = func() (server.Dir, error) {
		switch {
		case o.dev == "":
			return dataDir()
		case fs.Lookup("data-dir").Value.String() != "":
			return "", usagef("--data-dir and --dev-url (or COFFER_DATA_DIR and COFFER_DEV_URL) name two servers; leave one out")
		}
		u, err := url.Parse(o.dev)
		if err != nil || u.Host == "" {
			return "", usagef("--dev-url %q is not a URL such as http://127.0.0.1:4566", o.dev)
		}
		return server.DevDir(u.Host)
	}
	fs.BoolVar(&o.json, "json", false, "print JSON")
	return o
}

func dirAndKey(fs *flag.FlagSet) any {
	o := &dirOpts{dir: dirFlag(fs), key: keyFlags(fs)}
	fs.BoolVar(&o.json, "json", false, "print JSON")
	return o
}

func printJSON(w io.Writer, v any) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, visibleJSON(b.String()))
	return err
}

// ask opens the control socket named by opts and sends one request.
func ask[T any](ctx context.Context, o *dirOpts, method, path string, in any) (out T, err error) {
	dir, err := o.dir()
	if err != nil {
		return out, err
	}
	if o.dev != "" {
		if err := dir.Private(); errors.Is(err, fs.ErrNotExist) {
			return out, noDevServer(o.dev)
		} else if err != nil {
			return out, err
		}
	}
	c, err := dial(dir)
	if o.dev != "" && errors.Is(err, errNoServer) {
		err = noDevServer(o.dev)
	}
	if err != nil {
		return out, err
	}
	err = c.do(ctx, method, path, in, &out)
	return out, err
}

var accountListCommand = command{
	name: "account list", summary: "list the accounts",
	help:  "Lists the accounts of the running server.",
	flags: dirOnly,
	run: func(ctx context.Context, e Env, opts any, _ []string) error {
		o := opts.(*dirOpts)
		list, err := ask[[]server.AccountInfo](ctx, o, http.MethodGet, "/accounts", nil)
		if err != nil {
			return err
		}
		if o.json {
			return printJSON(e.Stdout, list)
		}
		tw := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "ACCOUNT\tNAME\tCREATED")
		for _, a := range list {
			fmt.Fprintf(tw, "%s\t%s\t%s\n", a.ID, visible(a.Name), a.Created)
		}
		return tw.Flush()
	},
}

var accountCreateCommand = command{
	name: "account create", args: "NAME", summary: "make an account with root access keys",
	help: `
Makes an account with a random 12-digit id in the running server and prints its
root access keys. They are shown this once: keep them, or make new ones later with
coffer account keys.`,
	flags: dirOnly,
	run: func(ctx context.Context, e Env, opts any, args []string) error {
		return showKeys(ctx, e, opts.(*dirOpts), "/accounts", map[string]string{"name": args[0]})
	},
}

var accountKeysCommand = command{
	name: "account keys", args: "ACCOUNT", summary: "rotate the root access keys of an account",
	help: `
Makes a new root access key for an account, named by id or name, prints it, and
deletes the older ones: calls signed with them are refused from now on. For the
first account the file that coffer env reads is brought up to date too.`,
	flags: dirOnly,
	run: func(ctx context.Context, e Env, opts any, args []string) error {
		return showKeys(ctx, e, opts.(*dirOpts), "/accounts/keys", map[string]string{"account": args[0]})
	},
}

func showKeys(ctx context.Context, e Env, o *dirOpts, path string, in any) error {
	k, err := ask[server.AccountKeys](ctx, o, http.MethodPost, path, in)
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(e.Stdout, k)
	}
	tw := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "account\t%s (%s)\n", k.ID, visible(k.Name))
	fmt.Fprintf(tw, "access key id\t%s\n", k.AccessKeyID)
	fmt.Fprintf(tw, "secret access key\t%s\n", k.SecretAccessKey)
	for _, id := range k.Deleted {
		fmt.Fprintf(tw, "deleted\t%s\n", id)
	}
	if k.Warning != "" {
		fmt.Fprintf(e.Stderr, "warning: %s\n", k.Warning)
	}
	return tw.Flush()
}

var backupCommand = command{
	name: "backup", args: "FILE", summary: "write a sealed backup of the running server",
	help: `
Writes a consistent backup of everything in the running server, without stopping
it, to a new file. The backup is encrypted under the root key, which is not in
it: keep a copy of the root key file (or the passphrase) apart from the backups.`,
	flags: dirOnly,
	run:   runBackup,
}

func runBackup(ctx context.Context, e Env, opts any, args []string) (err error) {
	o := opts.(*dirOpts)
	if o.dev != "" {
		return usagef("a server started with --dev keeps nothing, so there is nothing to back up; leave --dev-url (or COFFER_DEV_URL) out")
	}
	dir, err := o.dir()
	if err != nil {
		return err
	}
	c, err := dial(dir)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(args[0]); err == nil {
		return fmt.Errorf("%s exists already; a backup goes to a new file", args[0])
	}
	to, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	resp, err := c.send(ctx, http.MethodGet, "/backup?to="+url.QueryEscape(to), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// Under its own name only when it is whole.
	f, err := os.CreateTemp(filepath.Dir(args[0]), "."+filepath.Base(args[0])+"-") // 0600
	if err != nil {
		return fmt.Errorf("no file can be made in %s: %w", filepath.Dir(args[0]), errors.Unwrap(err))
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	p := newProgress(e.Stderr, "written")
	n, err := io.Copy(io.MultiWriter(f, p), resp.Body)
	p.end()
	if err != nil {
		return fmt.Errorf("the backup broke off: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), args[0]); err != nil {
		return err
	}
	if o.json {
		return printJSON(e.Stdout, map[string]any{"file": args[0], "bytes": n})
	}
	key := " --root-key-file ROOT-KEY-FILE"
	if _, err := os.Stat(dir.Passphrase()); err == nil {
		key = " --passphrase-file FILE"
	} else if _, err := os.Stat(dir.RootKey()); err == nil {
		key = " --root-key-file " + quote(dir.RootKey())
	}
	fmt.Fprintf(e.Stdout, "%s: %d bytes. Restore with: %s restore %s NEW-DIR%s\n", args[0], n, self(), quote(args[0]), key)
	return nil
}

var restoreCommand = command{
	name: "restore", args: "FILE DIR", summary: "restore a backup into a new data directory",
	help: `
Restores a backup into a directory that does not exist yet. Nothing appears
there unless the whole backup was read and is genuine. Needs the root key file
or passphrase that the backup was made under.`,
	flags: func(fs *flag.FlagSet) any {
		o := &dirOpts{key: keyFlags(fs)}
		fs.BoolVar(&o.json, "json", false, "print JSON")
		return o
	},
	run: func(ctx context.Context, e Env, opts any, args []string) error {
		o := opts.(*dirOpts)
		dir, err := filepath.Abs(args[1])
		if err != nil {
			return err
		}
		key := o.key(server.Dir(dir))
		r, err := server.Restore(ctx, args[0], server.Dir(dir), key)
		if err != nil {
			return err
		}
		if o.json {
			return printJSON(e.Stdout, r)
		}
		fmt.Fprintf(e.Stdout, "Restored %s and %s as of %s.\nCheck it:  %s fsck %s%s\nStart it:  %s server --data-dir %s%s\n",
			count(r.Rows, "row"), count(r.Files, "file"), r.Created, self(), quote(dir), keyArg(key), self(), quote(dir), keyArg(key))
		return nil
	},
}

// keyArg repeats where the root key came from.
func keyArg(k server.RootKeyConfig) string {
	switch {
	case k.File != "":
		return " --root-key-file " + quote(k.File)
	case k.PassphraseFile != "":
		return " --passphrase-file " + quote(k.PassphraseFile)
	}
	return ""
}

// count puts a number before a noun.
func count[N int | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

var fsckCommand = command{
	name: "fsck", args: "DIR", summary: "verify every row, reference and audit record of a data directory",
	help: `
Reads everything in a data directory whose server is stopped: the store's files
block by block, every row and index and what they refer to, and the audit log.
Prints what is wrong and where; exit code 3 if anything is.`,
	flags: func(fs *flag.FlagSet) any {
		o := &dirOpts{key: keyFlags(fs)}
		fs.BoolVar(&o.json, "json", false, "print JSON")
		return o
	},
	run: func(ctx context.Context, e Env, opts any, args []string) error {
		o := opts.(*dirOpts)
		logger, err := newLogger(e.Stderr, "text", 4)
		if err != nil {
			return err
		}
		dir, err := filepath.Abs(args[0])
		if err != nil {
			return err
		}
		r, err := server.Fsck(ctx, o.key(server.Dir(dir)), logger, func(step string) {
			if !o.json {
				fmt.Fprintln(e.Stderr, step+" ...")
			}
		})
		if err != nil {
			return err
		}
		if o.json {
			err = printJSON(e.Stdout, r)
		} else {
			for _, p := range r.Problems {
				fmt.Fprintf(e.Stdout, "%s: %s\n", visible(p.Where), visible(p.What))
			}
			fmt.Fprintf(e.Stdout, "%s, %s, %s\n", count(r.Rows, "row"), count(r.AuditRecords, "audit record"), count(len(r.Problems), "problem"))
		}
		if err == nil && len(r.Problems) > 0 {
			err = errFound
		}
		return err
	},
}

var auditVerifyCommand = command{
	name: "audit verify", summary: "verify the audit log's hash chain",
	help: `
Verifies that no record of the audit log was removed, altered, inserted or moved.
Asks the running server; if none runs, reads the data directory itself. Exit
code 3 if anything is wrong.`,
	flags: dirAndKey,
	run: func(ctx context.Context, e Env, opts any, _ []string) error {
		o := opts.(*dirOpts)
		r, err := ask[server.VerifyReport](ctx, o, http.MethodGet, "/audit/verify", nil)
		if errors.Is(err, errNoServer) {
			r, err = verifyOffline(ctx, e, o)
		}
		if err != nil {
			return err
		}
		if o.json {
			err = printJSON(e.Stdout, r)
		} else {
			for _, p := range r.Problems {
				fmt.Fprintln(e.Stdout, visible(p))
			}
			fmt.Fprintf(e.Stdout, "%s in %s, %s\n", count(r.Records, "record"), count(r.Segments, "segment"), count(len(r.Problems), "problem"))
		}
		if err == nil && len(r.Problems) > 0 {
			err = errFound
		}
		return err
	},
}

func verifyOffline(ctx context.Context, e Env, o *dirOpts) (server.VerifyReport, error) {
	dir, err := o.dir()
	if err != nil {
		return server.VerifyReport{}, err
	}
	logger, err := newLogger(e.Stderr, "text", 4)
	if err != nil {
		return server.VerifyReport{}, err
	}
	off, err := server.OpenOffline(ctx, o.key(dir), logger)
	if err != nil {
		return server.VerifyReport{}, err
	}
	defer off.Close()
	return off.VerifyAudit(ctx, dir)
}

// progress shows on a terminal how far a long copy is.
type progress struct {
	w    io.Writer
	what string
	n    int64
	last time.Time
	tty  bool
}

func newProgress(w io.Writer, what string) *progress {
	p := &progress{w: w, what: what}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.tty = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

func (p *progress) Write(b []byte) (int, error) {
	p.n += int64(len(b))
	if now := time.Now(); p.tty && now.Sub(p.last) > 200*time.Millisecond {
		p.last = now
		fmt.Fprintf(p.w, "\r%.1f MiB %s", float64(p.n)/(1<<20), p.what)
	}
	return len(b), nil
}

func (p *progress) end() {
	if p.tty {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
