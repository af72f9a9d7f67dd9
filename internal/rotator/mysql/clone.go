package mysql

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"coffer/internal/rotator"
)

// row is an account as mysql.user has it.
type row struct {
	account
	plugin, hash                  string
	sslType, cipher               string
	issuer, subject               string
	queries, updates, connections string // the most of an hour; "0": as many as it likes
	atOnce                        string
}

func (s *session) accounts(ctx context.Context, user string) ([]row, error) {
	rows, err := s.Query(ctx, `SELECT User, Host, plugin, authentication_string, ssl_type, ssl_cipher, x509_issuer, x509_subject,
		max_questions, max_updates, max_connections, max_user_connections
		FROM mysql.user WHERE CAST(User AS BINARY) = CAST(? AS BINARY) AND Host <> '' ORDER BY Host`, user)
	if err != nil {
		return nil, s.may(err, "read mysql.user", "SELECT ON mysql.*")
	}
	var all []row
	for _, r := range rows {
		all = append(all, row{
			account{r[0], r[1]}, r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11],
		})
	}
	return all, nil
}

// Clone gives every account of pending.User the grants, TLS requirement and limits of
// the account of the current user at the same host, and then the password.
//
// The password comes last, and last of all on the account that the function itself
// comes in by. Until then an account that was made has a password that nobody knows, so a run
// that ended half-way is not taken for one that is done.
func (s *session) Clone(ctx context.Context, current rotator.UserSession, pending rotator.Login) error {
	user, ok := current.(*session)
	if !ok {
		return rotator.ValueErrorf("the current user is not logged in to MySQL or MariaDB")
	}
	froms, err := s.proved(ctx, user.self)
	if err != nil {
		return err
	}
	tos, err := s.accounts(ctx, pending.User)
	if err != nil {
		return err
	}
	for _, to := range tos {
		if !slices.ContainsFunc(froms, func(r row) bool { return r.host == to.host }) {
			pending.Warnf("account %s is left alone: there is no %s with the password of the secret", to, account{user.self.user, to.host})
		}
	}
	for _, from := range froms {
		exists := slices.ContainsFunc(tos, func(r row) bool { return r.host == from.host })
		if err := s.prepare(ctx, from, account{pending.User, from.host}, exists); err != nil {
			return err
		}
	}
	for _, from := range froms {
		to := row{account: account{pending.User, from.host}, plugin: from.plugin}
		if i := slices.IndexFunc(tos, func(r row) bool { return r.host == from.host }); i >= 0 {
			to.plugin = tos[i].plugin
		}
		if err := s.setPassword(ctx, to, pending.Password); err != nil {
			return err
		}
	}
	return nil
}

// setPassword changes the password of another account. SET PASSWORD keeps how the account
// authenticates besides, but wants UPDATE ON mysql.*, with which one can do anything;
// ALTER USER does without.
func (s *session) setPassword(ctx context.Context, to row, password rotator.Password) error {
	err := s.Exec(ctx, "SET PASSWORD FOR "+to.String()+" = "+s.server.password(password))
	if how, ok := s.server.identified(to.plugin, password); ok && denied(err) {
		err = s.Exec(ctx, "ALTER USER "+to.String()+" "+how)
	}
	return s.may(err, "change the password of "+to.String(), "CREATE USER ON *.*")
}

// proved is the accounts of the current user whose password the current secret has: the one it
// logged in as, last, and those of other hosts with the same password, as far as that
// can be known.
func (s *session) proved(ctx context.Context, self account) ([]row, error) {
	all, err := s.accounts(ctx, self.user)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(r row) bool { return r.account == self })
	if i < 0 {
		return nil, rotator.DatabaseErrorf("there is no account %s to clone", self)
	}
	me := all[i]
	var found []row
	for _, other := range all {
		switch {
		case other.account == self:
		case other.plugin == me.plugin && other.hash == me.hash && me.hash != "":
			found = append(found, other)
		case salted(me.plugin) || salted(other.plugin):
			return nil, rotator.DatabaseErrorf("user %s has accounts at %s and at %s, and whether they have one password cannot be known with %s: keep one of them, or use single-user rotation for each", self.user, me.host, other.host, other.plugin)
		}
	}
	return append(found, me), nil
}

// salted tells whether equal passwords have different hashes with a plugin.
func salted(plugin string) bool {
	return plugin != "mysql_native_password" && plugin != "ed25519" && plugin != "mysql_old_password" && plugin != ""
}

// prepare makes the account to, or uses the one there is, and gives it what from has.
func (s *session) prepare(ctx context.Context, from row, to account, exists bool) error {
	grants, err := s.grants(ctx, from.account)
	if err != nil {
		return err
	}
	if exists {
		if err := s.fit(ctx, from.account, to, grants); err != nil {
			return err
		}
	} else if err := s.create(ctx, from, to); err != nil {
		return err
	}
	for _, late := range []bool{false, true} {
		for _, g := range grants {
			if g.isNothing() || g.isDefaultRole() != late {
				continue
			}
			if err := s.may(s.Exec(ctx, g.statement(to)), "grant what "+from.String()+" has", "GRANT OPTION on it"); err != nil {
				return err
			}
		}
	}
	if err := s.defaultRoles(ctx, from.account, to); err != nil {
		return err
	}
	return s.may(s.Exec(ctx, "ALTER USER "+to.String()+from.requirements()), "alter "+to.String(), "CREATE USER ON *.*")
}

// create makes an account that nobody can log in to yet.
func (s *session) create(ctx context.Context, from row, to account) error {
	// It meets the usual policies on passwords, and has 128 bits from rand.Text.
	how, ok := s.server.identified(from.plugin, rotator.Password(rand.Text()+"-aA1"))
	if !ok {
		return rotator.DatabaseErrorf("account %s authenticates by %s, which has no password to rotate", from, from.plugin)
	}
	return s.may(s.Exec(ctx, "CREATE USER "+to.String()+" "+how), "create "+to.String(), "CREATE USER ON *.*")
}

// fit refuses an account that is not the alternate of from in anything but name: who
// holds the password of from is about to get it, with all that it may do.
func (s *session) fit(ctx context.Context, from, to account, of []grant) error {
	others, err := s.grants(ctx, to)
	if err != nil {
		return err
	}
	if p := exceeds(others, of); p != "" {
		return rotator.DatabaseErrorf("account %s exists and has %s, which %s has not: it is not taken for its clone; REVOKE that, or GRANT it to %s", to, p, from, from)
	}
	return nil
}

// grants is what an account may do.
func (s *session) grants(ctx context.Context, a account) ([]grant, error) {
	rows, err := s.Query(ctx, "SHOW GRANTS FOR "+a.String())
	if err != nil {
		return nil, s.may(err, "read the grants of "+a.String(), "SELECT ON mysql.*")
	}
	var all []grant
	for _, r := range rows {
		g, mine, err := parseGrant(r[0], a)
		if err != nil {
			return nil, err
		}
		if mine {
			all = append(all, g)
		}
	}
	return all, nil
}

// defaultRoles copies the roles that are active after a login. MariaDB shows them with the
// grants; older MySQL has none.
func (s *session) defaultRoles(ctx context.Context, from, to account) error {
	if s.server.mariadb() || s.server.before(8, 0, 0) {
		return nil
	}
	rows, err := s.Query(ctx, "SELECT DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST FROM mysql.default_roles WHERE CAST(USER AS BINARY) = CAST(? AS BINARY) AND HOST = ?", from.user, from.host)
	if err != nil {
		return s.may(err, "read mysql.default_roles", "SELECT ON mysql.*")
	}
	if len(rows) == 0 {
		return nil
	}
	return s.may(s.Exec(ctx, setDefaultRoles(rows, to)), "set the default roles of "+to.String(), "CREATE USER ON *.*")
}

func setDefaultRoles(rows [][]string, to account) string {
	var roles []string
	for _, r := range rows {
		roles = append(roles, account{r[0], r[1]}.String())
	}
	return "SET DEFAULT ROLE " + strings.Join(roles, ", ") + " TO " + to.String()
}

// requirements is what ALTER USER takes to require the same TLS and set the same limits.
func (r row) requirements() string {
	require := "NONE"
	switch r.sslType {
	case "ANY":
		require = "SSL"
	case "X509":
		require = "X509"
	case "SPECIFIED":
		var parts []string
		for _, p := range []struct{ name, value string }{{"CIPHER", r.cipher}, {"ISSUER", r.issuer}, {"SUBJECT", r.subject}} {
			if p.value != "" {
				parts = append(parts, p.name+" "+literal(p.value))
			}
		}
		require = strings.Join(parts, " AND ")
	}
	return fmt.Sprintf(" REQUIRE %s WITH MAX_QUERIES_PER_HOUR %s MAX_UPDATES_PER_HOUR %s MAX_CONNECTIONS_PER_HOUR %s MAX_USER_CONNECTIONS %s",
		require, r.queries, r.updates, r.connections, r.atOnce)
}

// may turns the server's refusal into what to do about it.
func (s *session) may(err error, what, privilege string) error {
	if denied(err) {
		return rotator.DatabaseErrorf("the superuser of secret %s may not %s (%v): it needs %s", s.Login().Secret, what, err, privilege)
	}
	return err
}

// denied tells whether the server refused for want of a privilege.
func denied(err error) bool {
	switch rotator.ErrorNumber(err) {
	case errDatabaseDenied, errAccessDenied, errTableDenied, errColumnDenied, errSpecificDenied, errRoutineDenied:
		return true
	}
	return false
}
