package oracle

import (
	"context"
	"strings"
	"testing"

	"coffer/internal/rotator"
)

// script is a connection to no server: it notes statements, and answers queries by a word
// that stands in them and their first parameter.
type script struct {
	statements []string
	answers    []answer
	fails      map[string]error // by how a statement or query begins
}

type answer struct {
	word, arg string
	rows      [][]string
}

func (s *script) Exec(_ context.Context, statement string) error {
	if before, after, ok := strings.Cut(statement, ` IDENTIFIED BY "x`); ok && strings.HasPrefix(statement, "CREATE USER") {
		random, rest, _ := strings.Cut(after, `"`)
		if len(random) != 29 {
			return rotator.DatabaseErrorf("a password that could be guessed, or is too long")
		}
		statement = before + " IDENTIFIED BY RANDOM" + rest
	}
	s.statements = append(s.statements, statement)
	return s.failure(statement)
}

func (s *script) failure(statement string) error {
	for begin, err := range s.fails {
		if strings.HasPrefix(statement, begin) {
			return err
		}
	}
	return nil
}

func (s *script) Query(_ context.Context, statement string, args ...string) ([][]string, error) {
	for _, a := range s.answers {
		if strings.Contains(statement, a.word) && (a.arg == "" || len(args) > 0 && args[0] == a.arg) {
			return a.rows, nil
		}
	}
	return nil, s.failure(statement)
}

var (
	super = rotator.Login{User: "system", Secret: "arn:master"}
	app   = &script{answers: []answer{{"SESSION_USER", "", [][]string{{"APP"}}}}}
	users = answer{"DEFAULT_TABLESPACE", "APP", [][]string{{"USERS", "TEMP", "DEFAULT"}}}
)

// TestSetPassword is what the single user does.
func TestSetPassword(t *testing.T) {
	for _, tt := range []struct{ self, old, new, want string }{
		{"APP", "old'%", `n:e?w--/*é\`, `ALTER USER "APP" IDENTIFIED BY "n:e?w--/*é\" REPLACE "old'%"`},
		{"mixed Case", `with " quote`, "new", `ALTER USER "mixed Case" IDENTIFIED BY "new"`},
	} {
		s := &script{answers: []answer{{"SESSION_USER", "", [][]string{{tt.self}}}}}
		if err := setPassword(t.Context(), s, rotator.Login{User: "app", Password: rotator.Password(tt.old)}, rotator.Password(tt.new)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.statements, "|"); got != tt.want {
			t.Errorf("sent %s, want %s", got, tt.want)
		}
	}
	for _, p := range []rotator.Password{`a" ACCOUNT LOCK --`, "line\nbreak", "zero\x00"} {
		s := &script{answers: []answer{{"SESSION_USER", "", [][]string{{"APP"}}}}}
		if err := setPassword(t.Context(), s, rotator.Login{User: "app", Password: "old"}, p); err == nil || len(s.statements) > 0 || strings.Contains(err.Error(), string(p)) {
			t.Errorf("%v after %q", err, s.statements)
		}
	}
}

// TestClone tells what is sent to a server.
func TestClone(t *testing.T) {
	refused := &rotator.ServerError{Number: errPrivileges, Text: "ORA-01031: insufficient privileges"}
	tests := []struct {
		name    string
		answers []answer
		fails   map[string]error
		want    string
		err     string
	}{
		{
			name: "a user without anything", answers: []answer{users},
			want: `CREATE USER "APP_CLONE" IDENTIFIED BY RANDOM DEFAULT TABLESPACE "USERS" TEMPORARY TABLESPACE "TEMP" PROFILE "DEFAULT"|ALTER USER "APP_CLONE" IDENTIFIED BY "it's"`,
		},
		{
			name: "a user with everything",
			answers: []answer{
				users,
				{"GRANTED_ROLE, ADMIN_OPTION", "APP", [][]string{{"CONNECT", "NO"}, {"my Role", "YES"}}},
				{"DBA_SYS_PRIVS", "APP", [][]string{{"CREATE SESSION", "NO"}, {"CREATE TABLE", "YES"}}},
				{"DBA_TAB_PRIVS", "APP", [][]string{{"SELECT", "SALES", "T", "NO", "TABLE"}, {"READ", "SYS", "DUMP", "YES", "DIRECTORY"}}},
				{"DBA_COL_PRIVS", "APP", [][]string{{"UPDATE", "C", "SALES", "T", "NO"}}},
				{"DBA_TS_QUOTAS", "APP", [][]string{{"USERS", "UNLIMITED"}, {"OTHER", "1048576"}}},
				{"DEFAULT_ROLE FROM", "APP", [][]string{{"CONNECT", "YES"}, {"my Role", "NO"}}},
			},
			want: `CREATE USER "APP_CLONE" IDENTIFIED BY RANDOM DEFAULT TABLESPACE "USERS" TEMPORARY TABLESPACE "TEMP" PROFILE "DEFAULT"` +
				`|GRANT "CONNECT" TO "APP_CLONE"|GRANT "my Role" TO "APP_CLONE" WITH ADMIN OPTION` +
				`|GRANT CREATE SESSION TO "APP_CLONE"|GRANT CREATE TABLE TO "APP_CLONE" WITH ADMIN OPTION` +
				`|GRANT SELECT ON "SALES"."T" TO "APP_CLONE"|GRANT READ ON DIRECTORY "DUMP" TO "APP_CLONE" WITH GRANT OPTION` +
				`|GRANT UPDATE ("C") ON "SALES"."T" TO "APP_CLONE"` +
				`|ALTER USER "APP_CLONE" QUOTA UNLIMITED ON "USERS"|ALTER USER "APP_CLONE" QUOTA 1048576 ON "OTHER"` +
				`|ALTER USER "APP_CLONE" DEFAULT ROLE "CONNECT"` +
				`|ALTER USER "APP_CLONE" IDENTIFIED BY "it's"`,
		},
		{
			name: "a user that exists",
			answers: []answer{
				{"SELECT USERNAME FROM DBA_USERS", "APP_CLONE", [][]string{{"APP_CLONE"}}},
				{"GRANTED_ROLE, ADMIN_OPTION", "", [][]string{{"CONNECT", "NO"}}},
				{"DEFAULT_ROLE FROM", "APP", [][]string{{"CONNECT", "YES"}}},
			},
			want: `ALTER USER "APP_CLONE" IDENTIFIED BY "it's"`,
		},
		{
			name: "a user that exists and is more powerful",
			answers: []answer{
				{"SELECT USERNAME FROM DBA_USERS", "APP_CLONE", [][]string{{"APP_CLONE"}}},
				{"GRANTED_ROLE, ADMIN_OPTION", "APP_CLONE", [][]string{{"DBA", "NO"}}},
			},
			err: "user APP_CLONE exists and has the role DBA, which APP has not: it is not taken for its clone",
		},
		{
			name: "a privilege that is no words", answers: []answer{users, {"DBA_SYS_PRIVS", "APP", [][]string{{`X" TO "PUBLIC`, "NO"}}}},
			want: `CREATE USER "APP_CLONE" IDENTIFIED BY RANDOM DEFAULT TABLESPACE "USERS" TEMPORARY TABLESPACE "TEMP" PROFILE "DEFAULT"`,
			err:  "cannot be read",
		},
		{
			name: "by a superuser who may not look", fails: map[string]error{"SELECT USERNAME": &rotator.ServerError{Number: errNoTable, Text: "ORA-00942: table or view does not exist"}},
			err: "the superuser of secret arn:master may not read DBA_USERS (ORA-00942: table or view does not exist): it needs SELECT_CATALOG_ROLE",
		},
		{
			name: "by a superuser who may not create", answers: []answer{users}, fails: map[string]error{"CREATE USER": refused},
			want: `CREATE USER "APP_CLONE" IDENTIFIED BY RANDOM DEFAULT TABLESPACE "USERS" TEMPORARY TABLESPACE "TEMP" PROFILE "DEFAULT"`,
			err:  "may not create user APP_CLONE (ORA-01031: insufficient privileges): it needs CREATE USER",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{answers: tt.answers, fails: tt.fails}
			err := clone(t.Context(), s, super, app, rotator.Login{User: "app"}, rotator.Login{User: "app_CLONE", Password: "it's"})
			if got := strings.Join(s.statements, "|"); got != tt.want {
				t.Errorf("sent\n%s\nwant\n%s", got, tt.want)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// TestService keeps a secret's dbname from naming another host.
func TestService(t *testing.T) {
	for _, name := range []string{"x)(HOST=evil", "a/b", "", "a b", "a?server=evil:1521"} {
		_, err := Engine{}.Login(t.Context(), rotator.Login{Host: "127.0.0.1", Port: 1, Database: name, User: "app", Password: "marker"})
		if err == nil || err.Error() != "dbname in the secret is no name of a service" {
			t.Errorf("%q: %v", name, err)
		}
	}
	_, err := Engine{}.Login(t.Context(), rotator.Login{Host: "127.0.0.1", Port: 1, Database: "ORCL", User: `a:b@c/d?`, Password: `p:@/?#%"'\é`})
	if err == nil || !strings.HasPrefix(err.Error(), "dial: ") {
		t.Error(err)
	}
}
