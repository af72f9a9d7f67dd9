package sqlserver

import (
	"context"
	"slices"
	"strings"
	"testing"

	"coffer/internal/rotator"
)

// script is a connection to no server: it notes statements, and answers queries by a word
// that stands in them and their first parameter.
type script struct {
	statements []string
	answers    []answer
	fails      map[string]error // by how a statement begins
}

type answer struct {
	word, arg string
	rows      [][]string
}

func (s *script) Exec(_ context.Context, statement string) error {
	if strings.HasPrefix(statement, "CREATE ") && strings.Contains(statement, "WITH PASSWORD = ") {
		before, after, _ := strings.Cut(statement, "N'")
		random, after, _ := strings.Cut(after, "'")
		if len(random) < 30 {
			return rotator.DatabaseErrorf("a password that could be guessed")
		}
		statement = before + "RANDOM" + after
	}
	s.statements = append(s.statements, statement)
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
	return nil, nil
}

const me = "dm_exec_sessions"

var (
	super   = rotator.Login{User: "sa", Secret: "arn:master", Database: "master"}
	current = rotator.Login{User: "a]p", Password: "Old'pw", Database: "or]ders"}
	asLogin = &script{answers: []answer{{me, "", [][]string{{"LOGIN", "a]p"}}}}}
	asUser  = &script{answers: []answer{{me, "", [][]string{{"USER", "a]p"}}}}}
)

// TestSetPassword is what the single user does.
func TestSetPassword(t *testing.T) {
	for _, tt := range []struct{ kind, want string }{
		{"LOGIN", `ALTER LOGIN [a]]p] WITH PASSWORD = N'new''"\%é' OLD_PASSWORD = N'Old''pw'`},
		{"USER", `ALTER USER [a]]p] WITH PASSWORD = N'new''"\%é' OLD_PASSWORD = N'Old''pw'`},
	} {
		s := &script{answers: []answer{{me, "", [][]string{{tt.kind, "a]p"}}}}}
		if err := setPassword(t.Context(), s, current, `new'"\%é`); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.statements, "|"); got != tt.want {
			t.Errorf("sent %s, want %s", got, tt.want)
		}
	}
	for _, p := range []string{"line\\\nbreak", "zero\x00", strings.Repeat("😀", 65)} {
		s := &script{answers: []answer{{me, "", [][]string{{"LOGIN", "app"}}}}}
		if err := setPassword(t.Context(), s, current, rotator.Password(p)); err == nil || len(s.statements) > 0 || strings.Contains(err.Error(), p) {
			t.Errorf("%q: %v", p, err)
		}
	}
}

// TestClone tells what is sent to a server.
func TestClone(t *testing.T) {
	refused := &rotator.ServerError{Number: errNoPermission, Text: "User does not have permission to perform this action. (error 15247)"}
	tests := []struct {
		name    string
		user    *script
		answers []answer
		fails   map[string]error
		want    string
		err     string
	}{
		{
			name: "a login without anything", user: asLogin,
			answers: []answer{{"default_database_name", "a]p", [][]string{{"orders", "us_english"}}}},
			want:    `CREATE LOGIN [a]]p_clone] WITH PASSWORD = RANDOM, DEFAULT_DATABASE = [orders], DEFAULT_LANGUAGE = [us_english]|USE [or]]ders]|ALTER LOGIN [a]]p_clone] WITH PASSWORD = N'it''s'`,
		},
		{
			name: "a login with roles and permissions", user: asLogin,
			answers: []answer{
				{"default_database_name", "a]p", [][]string{{"orders", ""}}},
				{"server_role_members", "a]p", [][]string{{"proc]ess"}}},
				{"server_permissions", "a]p", [][]string{{"G", "VIEW SERVER STATE"}, {"D", "ALTER TRACE"}}},
				{"u.sid", "a]p", [][]string{{"app user", "sal]es"}}},
				{"database_role_members", "app user", [][]string{{"db_datareader"}}},
				{"database_permissions", "app user", [][]string{
					{"G", "CREATE TABLE", "DATABASE", "", "", ""},
					{"W", "EXECUTE", "SCHEMA", "sal]es", "", ""},
					{"G", "SELECT", "OBJECT_OR_COLUMN", "sales", "t]", "c]"},
					{"D", "DELETE", "OBJECT_OR_COLUMN", "sales", "t", ""},
					{"G", "CONTROL", "ASSEMBLY", "", "", ""},
					{"G", "SELECT", "OBJECT_OR_COLUMN", "", "", ""},
				}},
			},
			want: `CREATE LOGIN [a]]p_clone] WITH PASSWORD = RANDOM, DEFAULT_DATABASE = [orders]` +
				`|ALTER SERVER ROLE [proc]]ess] ADD MEMBER [a]]p_clone]` +
				`|GRANT VIEW SERVER STATE TO [a]]p_clone]|DENY ALTER TRACE TO [a]]p_clone]` +
				`|USE [or]]ders]|CREATE USER [a]]p_clone] FOR LOGIN [a]]p_clone]` +
				`|ALTER USER [a]]p_clone] WITH DEFAULT_SCHEMA = [sal]]es]` +
				`|ALTER ROLE [db_datareader] ADD MEMBER [a]]p_clone]` +
				`|GRANT CREATE TABLE TO [a]]p_clone]` +
				`|GRANT EXECUTE ON SCHEMA::[sal]]es] TO [a]]p_clone] WITH GRANT OPTION` +
				`|GRANT SELECT ON OBJECT::[sales].[t]]] ([c]]]) TO [a]]p_clone]` +
				`|DENY DELETE ON OBJECT::[sales].[t] TO [a]]p_clone]` +
				`|ALTER LOGIN [a]]p_clone] WITH PASSWORD = N'it''s'`,
		},
		{
			name: "a login that exists", user: asLogin,
			answers: []answer{
				{"SELECT name, type FROM sys.server_principals", "a]p_clone", [][]string{{"a]p_clone", "S"}}},
				{"server_role_members", "", [][]string{{"processadmin"}}},
			},
			want: `USE [or]]ders]|ALTER LOGIN [a]]p_clone] WITH PASSWORD = N'it''s'`,
		},
		{
			name: "a login that exists and is more powerful", user: asLogin,
			answers: []answer{
				{"SELECT name, type FROM sys.server_principals", "a]p_clone", [][]string{{"a]p_clone", "S"}}},
				{"server_role_members", "a]p_clone", [][]string{{"sysadmin"}}},
			},
			err: "a]p_clone exists and has the server role sysadmin, which a]p has not: it is not taken for its clone",
		},
		{
			name: "a login that exists and owns the database", user: asLogin,
			answers: []answer{
				{"SELECT name, type FROM sys.server_principals", "a]p_clone", [][]string{{"a]p_clone", "S"}}},
				{"u.sid", "a]p", [][]string{{"app", "dbo"}}},
				{"u.sid", "a]p_clone", [][]string{{"dbo", "dbo"}}},
			},
			want: `USE [or]]ders]`, err: "owns database or]ders",
		},
		{
			name: "a name that is taken", user: asLogin,
			answers: []answer{{"SELECT name, type FROM sys.server_principals", "a]p_clone", [][]string{{"a]p_clone", "R"}}}},
			err:     "is taken by something that has no password",
		},
		{
			name: "the owner of the database", user: asLogin,
			answers: []answer{{"default_database_name", "a]p", [][]string{{"orders", ""}}}, {"u.sid", "a]p", [][]string{{"dbo", "dbo"}}}},
			want: `CREATE LOGIN [a]]p_clone] WITH PASSWORD = RANDOM, DEFAULT_DATABASE = [orders]|USE [or]]ders]|CREATE USER [a]]p_clone] FOR LOGIN [a]]p_clone]` +
				`|ALTER USER [a]]p_clone] WITH DEFAULT_SCHEMA = [dbo]|ALTER ROLE [db_owner] ADD MEMBER [a]]p_clone]|ALTER LOGIN [a]]p_clone] WITH PASSWORD = N'it''s'`,
		},
		{
			name: "a user of a contained database", user: asUser,
			answers: []answer{{"u.name = @p1", "a]p", [][]string{{"a]p", "dbo"}}}, {"database_role_members", "a]p", [][]string{{"db_datawriter"}}}},
			want: `USE [or]]ders]|CREATE USER [a]]p_clone] WITH PASSWORD = RANDOM|ALTER USER [a]]p_clone] WITH DEFAULT_SCHEMA = [dbo]` +
				`|ALTER ROLE [db_datawriter] ADD MEMBER [a]]p_clone]|ALTER USER [a]]p_clone] WITH PASSWORD = N'it''s'`,
		},
		{
			name: "by a superuser who may not", user: asLogin,
			answers: []answer{{"default_database_name", "a]p", [][]string{{"orders", ""}}}},
			fails:   map[string]error{"CREATE LOGIN": refused},
			want:    `CREATE LOGIN [a]]p_clone] WITH PASSWORD = RANDOM, DEFAULT_DATABASE = [orders]`,
			err:     "the superuser of secret arn:master may not create LOGIN [a]]p_clone]",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{answers: tt.answers, fails: tt.fails}
			warned := 0
			pending := rotator.Login{User: "a]p_clone", Password: "it's", Warnf: func(string, ...any) { warned++ }}
			err := clone(t.Context(), s, super, tt.user, current, pending)
			if got := strings.Join(s.statements, "|"); got != tt.want {
				t.Errorf("sent\n%s\nwant\n%s", got, tt.want)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if unknown := slices.ContainsFunc(tt.answers, func(a answer) bool { return len(a.rows) == 6 }); unknown != (warned > 0) {
				t.Errorf("warned %d times", warned)
			}
		})
	}
}

// TestPlain sends no password without TLS unless the secret says so.
func TestPlain(t *testing.T) {
	_, err := Engine{}.Login(t.Context(), rotator.Login{Host: "127.0.0.1", Port: 1, User: "sa", Password: "marker"})
	if err == nil || !strings.Contains(err.Error(), `only with "ssl": false`) {
		t.Error(err)
	}
}
