package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// postgres is a PostgreSQL server of the measurement's own. Users log in by SCRAM over
// TCP; the superuser comes in by a socket that nobody else can reach.
type postgres struct {
	*process
	dir  string
	port int
}

// errNoPostgres tells how to get what is missing.
var errNoPostgres = errors.New("PostgreSQL's programs are not installed: apt-get install postgresql")

// postgresProgram finds one where Debian puts it, or on the path.
func postgresProgram(name string) (string, error) {
	found, err := filepath.Glob(filepath.Join("/usr/lib/postgresql/*/bin", name))
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return slices.Max(found), nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", errNoPostgres
	}
	return path, nil
}

// startPostgres makes a cluster and starts it with the settings it comes with. Its
// directory is not the measurement's: PostgreSQL refuses root, and who it runs as instead
// does not get in there.
func startPostgres(ctx context.Context) (db *postgres, err error) {
	initdb, err := postgresProgram("initdb")
	if err != nil {
		return nil, err
	}
	server, err := postgresProgram("postgres")
	if err != nil {
		return nil, err
	}
	db = &postgres{}
	if db.dir, err = os.MkdirTemp("", "coffer-bench-db-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			db.close()
		}
	}()
	hba := filepath.Join(db.dir, "pg_hba.conf")
	if err := os.WriteFile(hba, []byte("local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n"), 0o644); err != nil {
		return nil, err
	}
	if err := giveAway(db.dir); err != nil {
		return nil, err
	}
	data := filepath.Join(db.dir, "data")
	// The cluster's own hba file, which trusts everybody, is not used.
	cmd := exec.CommandContext(ctx, initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	cmd.Dir = db.dir
	if cmd.SysProcAttr, err = unprivileged(); err != nil {
		return nil, err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if db.port, err = freePort(); err != nil {
		return nil, err
	}
	cmd = exec.CommandContext(ctx, server, "-D", data, "-c", "hba_file="+hba, "-c", "unix_socket_directories="+db.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", fmt.Sprint("port=", db.port))
	cmd.Dir = db.dir
	if cmd.SysProcAttr, err = unprivileged(); err != nil {
		return nil, err
	}
	if db.process, err = start(cmd); err != nil {
		return nil, err
	}
	return db, db.wait(ctx)
}

// wait waits until the superuser is let in.
func (db *postgres) wait(ctx context.Context) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := db.exec(ctx, "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-db.exited:
			return db.explain(fmt.Errorf("PostgreSQL ended at once: %w", db.state))
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if time.Now().After(end) {
			return db.explain(fmt.Errorf("PostgreSQL does not start: %w", err))
		}
	}
}

// close ends the server, if it runs, and removes its directory.
func (db *postgres) close() {
	if db.process != nil {
		db.process.stop() // whatever comes of it: nothing in there is kept
	}
	os.RemoveAll(db.dir)
}

// exec runs statements as the superuser.
func (db *postgres) exec(ctx context.Context, statements string) error {
	cfg, err := pgconn.ParseConfig(fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres", db.dir, db.port))
	if err != nil {
		return err
	}
	c, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, statements).ReadAll()
	return err
}

// makeUsers makes n users, whose names user tells, all with one password.
func (db *postgres) makeUsers(ctx context.Context, n int, user func(int) string, password string) error {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "CREATE ROLE %s LOGIN PASSWORD '%s';", user(i), password)
	}
	return db.exec(ctx, b.String())
}

// login logs a user in and out.
func (db *postgres) login(ctx context.Context, user, password string) error {
	cfg, err := pgconn.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d user=x dbname=postgres sslmode=disable", db.port))
	if err != nil {
		return err
	}
	cfg.User, cfg.Password = user, password
	c, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	return c.Close(ctx)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
