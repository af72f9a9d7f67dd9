package rotatortest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Host is where the servers are.
const Host = "127.0.0.1"

// Postgres is a PostgreSQL server with TLS.
type Postgres struct {
	Port     int
	Password string // of the superuser, postgres
	CA       *CA

	dir  string
	proc *process
	bin  string
}

// MustStartPostgres starts a server. Users log in by SCRAM, with TLS or without.
func MustStartPostgres(t testing.TB) *Postgres {
	t.Helper()
	const place = "/usr/lib/postgresql/*/bin"
	p := &Postgres{Password: "super 'secret' \\ marker", CA: NewCA(t), dir: directory(t)}
	p.bin = filepath.Dir(program(t, "postgresql", "postgres", place))
	initdb := program(t, "postgresql", "initdb", place)
	pw := filepath.Join(p.dir, "pw")
	if err := os.WriteFile(pw, []byte(p.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	give(t, pw)
	data := filepath.Join(p.dir, "data")
	run(t, exec.Command(initdb, "-D", data, "-U", "postgres", "--pwfile", pw, "-E", "UTF8", "--locale=C", "--no-sync", "-A", "scram-sha-256"))
	p.CA.write(t, data)
	p.hba(t, "host all all 127.0.0.1/32 scram-sha-256")
	p.Start(t)
	t.Cleanup(func() { p.proc.quit() })
	return p
}

// Start starts the server again after Stop, at the same port.
func (p *Postgres) Start(t testing.TB) {
	t.Helper()
	if p.Port == 0 {
		p.Port = freePort(t)
	}
	logFile := filepath.Join(p.dir, "log")
	f, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(filepath.Join(p.bin, "postgres"), "-D", filepath.Join(p.dir, "data"),
		"-c", "listen_addresses="+Host, "-c", fmt.Sprint("port=", p.Port), "-c", "unix_socket_directories="+p.dir,
		"-c", "fsync=off", "-c", "ssl=on", "-c", "log_statement=all", "-c", "max_connections=60")
	cmd.Stdout, cmd.Stderr = f, f
	p.proc = start(t, cmd)
	await(t, "PostgreSQL", logFile, p.proc, func() error {
		c, err := p.connect("postgres")
		if err == nil {
			c.Close(context.Background())
		}
		return err
	})
}

// Stop ends the server at once, without a checkpoint. It is not killed: its children are in
// sessions of their own, and while one is left no new server takes the data directory.
func (p *Postgres) Stop() { p.proc.quit() }

// Log is what the server has logged, with every statement.
func (p *Postgres) Log(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (p *Postgres) hba(t testing.TB, lines string) {
	t.Helper()
	file := filepath.Join(p.dir, "data", "pg_hba.conf")
	if err := os.WriteFile(file, []byte("hostssl all postgres 127.0.0.1/32 scram-sha-256\n"+lines+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	give(t, file)
}

// Admit changes who may log in how, but for the superuser over TLS, to lines of pg_hba.conf.
func (p *Postgres) Admit(t testing.TB, lines string) {
	t.Helper()
	p.hba(t, lines)
	before := p.Query(t, "SELECT pg_conf_load_time()")
	p.Exec(t, "SELECT pg_reload_conf()")
	for p.Query(t, "SELECT pg_conf_load_time()") == before {
		time.Sleep(time.Millisecond)
	}
}

func (p *Postgres) connect(database string) (*pgconn.PgConn, error) {
	cfg, err := pgconn.ParseConfig(fmt.Sprintf("host=%s port=%d user=postgres sslmode=require dbname=x", Host, p.Port))
	if err != nil {
		return nil, err
	}
	cfg.Password, cfg.Database = p.Password, database
	cfg.RuntimeParams["client_encoding"] = "UTF8"
	return pgconn.ConnectConfig(context.Background(), cfg)
}

// Exec runs statements as the superuser.
func (p *Postgres) Exec(t testing.TB, statements string) {
	t.Helper()
	p.ExecIn(t, "postgres", statements)
}

// ExecIn is Exec in a database.
func (p *Postgres) ExecIn(t testing.TB, database, statements string) {
	t.Helper()
	c, err := p.connect(database)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(context.Background(), statements).ReadAll(); err != nil {
		t.Fatalf("%v in: %s", err, statements)
	}
}

// Query is the first column of the first row, or "".
func (p *Postgres) Query(t testing.TB, statement string) string {
	t.Helper()
	c, err := p.connect("postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	results, err := c.Exec(context.Background(), statement).ReadAll()
	if err != nil {
		t.Fatalf("%v in: %s", err, statement)
	}
	if len(results[0].Rows) == 0 {
		return ""
	}
	return string(results[0].Rows[0][0])
}

// As runs a statement as another user without TLS, and returns the first column of its first row.
func (p *Postgres) As(user, password, database, statement string) (string, error) {
	cfg, err := pgconn.ParseConfig(fmt.Sprintf("host=%s port=%d user=x sslmode=disable dbname=x", Host, p.Port))
	if err != nil {
		return "", err
	}
	cfg.User, cfg.Password, cfg.Database = user, password, database
	cfg.RuntimeParams["client_encoding"] = "UTF8"
	c, err := pgconn.ConnectConfig(context.Background(), cfg)
	if err != nil {
		return "", err
	}
	defer c.Close(context.Background())
	results, err := c.Exec(context.Background(), statement).ReadAll()
	if err != nil || len(results) == 0 || len(results[len(results)-1].Rows) == 0 {
		return "", err
	}
	return string(results[len(results)-1].Rows[0][0]), nil
}
