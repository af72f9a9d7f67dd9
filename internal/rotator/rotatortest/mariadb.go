package rotatortest

import (
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// MariaDB is a MariaDB server with TLS.
type MariaDB struct {
	Port     int
	Password string // of the superuser, super@%
	CA       *CA

	dir  string
	args []string
	proc *process
}

// MustStartMariaDB starts a server, with further arguments such as
// --require-secure-transport=ON.
func MustStartMariaDB(t testing.TB, args ...string) *MariaDB {
	t.Helper()
	m := &MariaDB{Password: `super 'secret' \ marker`, CA: NewCA(t), dir: directory(t), args: args}
	server := program(t, "mariadb-server", "mariadbd", "/usr/sbin")
	install := program(t, "mariadb-server", "mariadb-install-db", "/usr/bin")
	data := filepath.Join(m.dir, "data")
	run(t, exec.Command(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"))
	m.CA.write(t, m.dir)
	first := filepath.Join(m.dir, "init.sql")
	text := "DELETE FROM mysql.global_priv WHERE User = '';\nFLUSH PRIVILEGES;\n" +
		"CREATE OR REPLACE USER super@'%' IDENTIFIED BY '" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(m.Password) + "';\n" +
		"GRANT ALL PRIVILEGES ON *.* TO super@'%' WITH GRANT OPTION;\nGRANT PROXY ON ''@'%' TO super@'%' WITH GRANT OPTION;\n"
	if err := os.WriteFile(first, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	give(t, first)
	m.args = append([]string{server, "--no-defaults", "--datadir=" + data, "--socket=" + filepath.Join(m.dir, "sock"), "--bind-address=" + Host,
		"--init-file=" + first, "--pid-file=" + filepath.Join(m.dir, "pid"), "--skip-name-resolve", "--plugin-load-add=auth_ed25519",
		"--ssl-ca=" + filepath.Join(m.dir, "ca.crt"), "--ssl-cert=" + filepath.Join(m.dir, "server.crt"), "--ssl-key=" + filepath.Join(m.dir, "server.key"),
		"--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=8M", "--tmpdir=" + m.dir, "--max-connect-errors=100000"}, args...)
	m.Start(t)
	t.Cleanup(func() { m.proc.stop() })
	return m
}

// Start starts the server again after Stop, at the same port.
func (m *MariaDB) Start(t testing.TB) {
	t.Helper()
	if m.Port == 0 {
		m.Port = freePort(t)
	}
	logFile := filepath.Join(m.dir, "log")
	f, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(m.args[0], append(append([]string{}, m.args[1:]...), fmt.Sprint("--port=", m.Port))...)
	cmd.Stdout, cmd.Stderr = f, f
	m.proc = start(t, cmd)
	await(t, "MariaDB", logFile, m.proc, func() error {
		db := m.open("super", m.Password, "", &tls.Config{InsecureSkipVerify: true})
		defer db.Close()
		return db.Ping()
	})
}

// Stop ends the server at once.
func (m *MariaDB) Stop() { m.proc.stop() }

func (m *MariaDB) open(user, password, database string, config *tls.Config) *sql.DB {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = user, password, "tcp", net.JoinHostPort(Host, fmt.Sprint(m.Port)), database
	cfg.TLS, cfg.Logger, cfg.MultiStatements = config, &mysql.NopLogger{}, true
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		panic(err) // the configuration has no text to parse
	}
	return sql.OpenDB(connector)
}

// Exec runs statements as the superuser.
func (m *MariaDB) Exec(t testing.TB, statements string) {
	t.Helper()
	db := m.open("super", m.Password, "", &tls.Config{InsecureSkipVerify: true})
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), statements); err != nil {
		t.Fatalf("%v in: %s", err, statements)
	}
}

// Query is the first column of the rows, one to a line.
func (m *MariaDB) Query(t testing.TB, statement string) string {
	t.Helper()
	lines, err := first(m.open("super", m.Password, "", &tls.Config{InsecureSkipVerify: true}), statement)
	if err != nil {
		t.Fatalf("%v in: %s", err, statement)
	}
	return lines
}

// As runs a statement as another user, over TLS if config is not nil, and returns the
// first column of its rows, one to a line.
func (m *MariaDB) As(user, password, database, statement string, config *tls.Config) (string, error) {
	return first(m.open(user, password, database, config), statement)
}

func first(db *sql.DB, statement string) (string, error) {
	defer db.Close()
	rows, err := db.QueryContext(context.Background(), statement)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var s sql.NullString
		if err := rows.Scan(&s); err != nil {
			return "", err
		}
		lines = append(lines, s.String)
	}
	return strings.Join(lines, "\n"), rows.Err()
}
