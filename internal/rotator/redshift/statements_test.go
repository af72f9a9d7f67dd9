package redshift

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"coffer/internal/rotator"
)

// script is a connection to no server: it notes statements, and answers queries by a word
// that stands in them and their first parameters.
type script struct {
	statements []string
	answers    []answer
	fails      string // a statement that begins so fails
}

type answer struct {
	word string
	args []string
	rows [][]string
}

func (s *script) Exec(_ context.Context, statement string) error {
	s.statements = append(s.statements, statement)
	if s.fails != "" && strings.HasPrefix(statement, s.fails) {
		return rotator.DatabaseErrorf("no")
	}
	return nil
}

func (s *script) Query(_ context.Context, statement string, args ...string) ([][]string, error) {
	for _, a := range s.answers {
		if strings.Contains(statement, a.word) && len(args) >= len(a.args) && slices.Equal(args[:len(a.args)], a.args) {
			return a.rows, nil
		}
	}
	return nil, nil
}

func users(rows map[string][]string) []answer {
	var all []answer
	for name, row := range rows {
		all = append(all, answer{"pg_user WHERE usename", []string{name}, [][]string{row}})
	}
	return all
}

var (
	super   = rotator.Login{User: "awsuser", Secret: "arn:master"}
	pending = rotator.Login{User: `o"x_clone`, Password: "Passw0rd!"}
	plain   = []string{"f", "f"}
	admin   = []string{"t", "t"}
)

var random = regexp.MustCompile("coffer_pair_[a-z0-9]{26}")

// TestClone tells what is sent to a server.
func TestClone(t *testing.T) {
	const inside, quoted = `SET search_path TO pg_catalog|BEGIN|`, `"o""x_clone"`
	tests := []struct {
		name  string
		users map[string][]string
		more  []answer
		want  string
		err   string
	}{
		{
			name: "a new user", users: map[string][]string{"awsuser": admin, `o"x`: plain},
			want: inside + `CREATE USER ` + quoted + ` PASSWORD 'Passw0rd!'|CREATE GROUP "coffer_pair_x" WITH USER "o""x", ` + quoted + `|COMMIT`,
		},
		{
			name: "with what the other one may do", users: map[string][]string{"awsuser": admin, `o"x`: {"t", "f"}},
			more: []answer{
				{"pg_database", []string{`o"x`, "TEMPORARY"}, [][]string{{"dev"}}},
				{"pg_namespace WHERE", []string{`o"x`, "USAGE"}, [][]string{{`a"b`}, {"public"}}},
				{"pg_class", []string{`o"x`, "SELECT"}, [][]string{{"public", "t"}, {"public", `u".v`}}},
				{"pg_group", []string{`o"x`}, [][]string{{"readers"}}},
				{"svv_user_grants", []string{`o"x`}, [][]string{{"r1", "f"}, {"r2", "t"}}},
			},
			want: inside + `CREATE USER ` + quoted + ` PASSWORD 'Passw0rd!' CREATEDB` +
				`|GRANT TEMPORARY ON DATABASE "dev" TO ` + quoted +
				`|GRANT USAGE ON SCHEMA "a""b", "public" TO ` + quoted +
				`|GRANT SELECT ON TABLE "public"."t", "public"."u"".v" TO ` + quoted +
				`|ALTER GROUP "readers" ADD USER ` + quoted +
				`|GRANT ROLE "r1" TO ` + quoted + `|GRANT ROLE "r2" TO ` + quoted + ` WITH ADMIN OPTION|CREATE GROUP "coffer_pair_x" WITH USER "o""x", ` + quoted + `|COMMIT`,
		},
		{
			name: "of a superuser", users: map[string][]string{"awsuser": admin, `o"x`: admin},
			want: inside + `CREATE USER ` + quoted + ` PASSWORD 'Passw0rd!' CREATEDB CREATEUSER|CREATE GROUP "coffer_pair_x" WITH USER "o""x", ` + quoted + `|COMMIT`,
		},
		{
			name: "that exists", users: map[string][]string{"awsuser": admin, `o"x`: plain, pending.User: plain},
			want: inside + `ALTER USER ` + quoted + ` PASSWORD 'Passw0rd!'|COMMIT`,
		},
		{
			name: "that exists with more power", users: map[string][]string{"awsuser": admin, `o"x`: plain, pending.User: admin},
			want: strings.TrimSuffix(inside, "|"), err: "it is not taken for its clone",
		},
		{
			name: "that exists with a table", users: map[string][]string{"awsuser": admin, `o"x`: plain, pending.User: plain},
			more: []answer{{"has_table", []string{pending.User, "SELECT"}, [][]string{{"pay", "t"}}}},
			want: strings.TrimSuffix(inside, "|"), err: "it is not taken for its clone",
		},
		{
			name: "that exists with a table of its own", users: map[string][]string{"awsuser": admin, `o"x`: plain, pending.User: plain},
			more: []answer{{"relowner", []string{pending.User}, [][]string{{"pay", "t"}}}},
			want: strings.TrimSuffix(inside, "|"), err: "it is not taken for its clone",
		},
		{
			name: "that exists with a group", users: map[string][]string{"awsuser": admin, `o"x`: plain, pending.User: plain},
			more: []answer{{"pg_group", []string{pending.User}, [][]string{{"g"}}}},
			want: strings.TrimSuffix(inside, "|"), err: "it is not taken for its clone",
		},
		{
			name: "that exists with a role", users: map[string][]string{"awsuser": admin, `o"x`: plain, pending.User: plain},
			more: []answer{{"svv_user_grants", []string{pending.User}, [][]string{{"r", "f"}}}},
			want: strings.TrimSuffix(inside, "|"), err: "it is not taken for its clone",
		},
		{
			name: "that exists with the table that the first has", users: map[string][]string{"awsuser": admin, `o"x`: plain, pending.User: plain},
			more: []answer{{"has_table", []string{pending.User, "SELECT"}, [][]string{{"pay", "t"}}}, {"has_table", []string{`o"x`, "SELECT"}, [][]string{{"pay", "t"}}}},
			want: inside + `ALTER USER ` + quoted + ` PASSWORD 'Passw0rd!'|COMMIT`,
		},
		{
			name: "that exists with the mark", users: map[string][]string{"awsuser": admin, `o"x`: plain, pending.User: plain},
			more: []answer{{"has_table", []string{pending.User, "SELECT"}, [][]string{{"pay", "t"}}}, {"pg_group", []string{pending.User}, [][]string{{"coffer_pair_1"}}}, {"pg_group", []string{`o"x`}, [][]string{{"coffer_pair_1"}}}},
			want: inside + `ALTER USER ` + quoted + ` PASSWORD 'Passw0rd!'|COMMIT`,
		},
		{
			name: "by a user who may not", users: map[string][]string{"awsuser": plain, `o"x`: plain},
			want: strings.TrimSuffix(inside, "|"), err: `the superuser of secret arn:master is none: ALTER USER it CREATEUSER`,
		},
		{
			name: "of nobody", users: map[string][]string{"awsuser": admin},
			want: strings.TrimSuffix(inside, "|"), err: `there is no user o"x to clone`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{answers: append(users(tt.users), tt.more...)}
			err := clone(t.Context(), s, super, `o"x`, pending)
			got := random.ReplaceAllString(strings.Join(s.statements, "|"), "coffer_pair_x")
			if got != tt.want {
				t.Errorf("sent\n%s\nwant\n%s", got, tt.want)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// TestManyGrants keeps statements short.
func TestManyGrants(t *testing.T) {
	var tables [][]string
	for i := range 450 {
		tables = append(tables, []string{"public", fmt.Sprint("t", i)})
	}
	s := &script{answers: append(users(map[string][]string{"awsuser": admin, "app": plain}), answer{"pg_class", []string{"app", "DELETE"}, tables})}
	if err := clone(t.Context(), s, super, "app", rotator.Login{User: "app_clone", Password: "Passw0rd!"}); err != nil {
		t.Fatal(err)
	}
	grants := slices.DeleteFunc(s.statements, func(s string) bool { return !strings.HasPrefix(s, "GRANT DELETE ON TABLE ") })
	if len(grants) != 3 || !strings.HasSuffix(grants[2], `"public"."t449" TO "app_clone"`) {
		t.Errorf("%d statements", len(grants))
	}
}

// TestFailure ends the transaction with the session: nothing is committed.
func TestFailure(t *testing.T) {
	s := &script{answers: users(map[string][]string{"awsuser": admin, "app": plain}), fails: "CREATE USER"}
	err := clone(t.Context(), s, super, "app", rotator.Login{User: "app_clone", Password: "Passw0rd!"})
	if !errors.As(err, new(rotator.DatabaseError)) || slices.Contains(s.statements, "COMMIT") {
		t.Errorf("%v after %d statements", err, len(s.statements))
	}
}

// TestSetPassword is what the single user does.
func TestSetPassword(t *testing.T) {
	s := &script{}
	if err := setPassword(t.Context(), s, `a"; DROP`, "Passw0rd;--"); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(s.statements, "|"), `SET search_path TO pg_catalog|BEGIN|ALTER USER "a""; DROP" PASSWORD 'Passw0rd;--'|COMMIT`; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}

// TestPasswords are those that Redshift would refuse, or that would need another quoting.
func TestPasswords(t *testing.T) {
	for password, ok := range map[string]bool{
		"Passw0rd": true, "~!#$%^&*()Aa1": true, strings.Repeat("aA1", 21): true,
		"passw0rd": false, "PASSW0RD": false, "Password": false, "aA1": false, strings.Repeat("aA1", 22): false,
		"Passw0rd'": false, `Passw0rd\`: false, "Passw0rd ": false, "Passw0rdé": false, "Passw0rd\n": false,
		`Passw0rd"`: false, "Passw0rd/": false, "Passw0rd@": false,
	} {
		s := &script{}
		err := setPassword(t.Context(), s, "app", rotator.Password(password))
		if (err == nil) != ok {
			t.Errorf("%q: %v", password, err)
		}
		if err != nil && (slices.Contains(s.statements, "COMMIT") || strings.Contains(err.Error(), password)) {
			t.Errorf("%q: %v after %q", password, err, s.statements)
		}
	}
}
