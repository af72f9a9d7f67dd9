// Package mysql changes the passwords of MySQL's and MariaDB's users.
//
// A user there is an account, a name with the hosts that it may come from
// ('app'@'10.%'), and accounts of one name are different users who may have
// different passwords. Statements take effect one by one: there are no transactions for users.
package mysql

import (
	"context"
	"strconv"
	"strings"

	"coffer/internal/rotator"
)

// Engine is MySQL, from 5.7 on.
type Engine struct{}

// MariaDB is MariaDB, from 10.2 on.
type MariaDB struct{}

// Kind is what is fixed about MySQL. Servers take names of 32 characters; 16 is what AWS's
// template says, which has the variable for the rest.
func (Engine) Kind() rotator.Kind {
	return rotator.Kind{
		Name: "MySQL", Engines: []string{"mysql", "aurora-mysql"}, Port: 3306, Exclude: `/@"'\`,
		Suffix: "_clone", MaxUser: 16, MaxUserVariable: "USERNAME_CHARACTER_LIMIT",
	}
}

// Kind is what is fixed about MariaDB.
func (MariaDB) Kind() rotator.Kind {
	return rotator.Kind{
		Name: "MariaDB", Engines: []string{"mariadb"}, Port: 3306, Exclude: `/@"'\`,
		Suffix: "_clone", MaxUser: 80,
	}
}

// Login opens a session.
func (Engine) Login(ctx context.Context, l rotator.Login) (rotator.UserSession, error) {
	return login(ctx, l)
}

// Login opens a session.
func (MariaDB) Login(ctx context.Context, l rotator.Login) (rotator.UserSession, error) {
	return login(ctx, l)
}

// server is what depends on a server's kind and version.
type server struct{ version string }

func (v server) mariadb() bool { return strings.Contains(v.version, "MariaDB") }

// before tells whether a MySQL server is older than a version.
func (v server) before(major, minor, patch int) bool {
	var n [3]int
	number, _, _ := strings.Cut(v.version, "-")
	for i, part := range strings.SplitN(number, ".", 3) {
		n[i], _ = strconv.Atoi(part) // what is no number counts as 0
	}
	for i, want := range [3]int{major, minor, patch} {
		if n[i] != want {
			return n[i] < want
		}
	}
	return false
}

// password is the right side of SET PASSWORD, which keeps the account's plugin. The
// templates ask for versions that begin with 8; MySQL 9 has no PASSWORD() either.
func (v server) password(p rotator.Password) string {
	if v.mariadb() || v.before(5, 7, 6) {
		return "PASSWORD(" + literal(string(p)) + ")"
	}
	return literal(string(p))
}

// identified is the clause of CREATE USER for an account that authenticates by plugin.
func (v server) identified(plugin string, p rotator.Password) (string, bool) {
	switch {
	case plugin == "" || plugin == "mysql_native_password" && v.mariadb():
		return "IDENTIFIED BY " + literal(string(p)), true
	case v.mariadb() && (plugin == "ed25519" || plugin == "parsec"):
		return "IDENTIFIED VIA " + plugin + " USING PASSWORD(" + literal(string(p)) + ")", true
	case !v.mariadb() && (plugin == "mysql_native_password" || plugin == "caching_sha2_password" || plugin == "sha256_password"):
		return "IDENTIFIED WITH " + plugin + " BY " + literal(string(p)), true
	}
	return "", false
}

// account is a user name with the hosts it may come from.
type account struct{ user, host string }

func (a account) String() string { return literal(a.user) + "@" + literal(a.host) }

// literal quotes a string for a session with NO_BACKSLASH_ESCAPES, as ours are: only
// the quote itself is special then.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Check asks for the time.
func (s *session) Check(ctx context.Context) error {
	_, err := s.Query(ctx, "SELECT NOW()")
	return err
}

// SetPassword changes the password of the account that the session is: the one that
// the server chose for the user and the host the function runs on.
func (s *session) SetPassword(ctx context.Context, password rotator.Password) error {
	statement := "SET PASSWORD = " + s.server.password(password)
	err := s.Exec(ctx, statement)
	if rotator.ErrorNumber(err) == errCurrentPasswordMissing { // password_require_current
		err = s.Exec(ctx, statement+" REPLACE "+literal(string(s.Login().Password)))
	}
	return err
}
