package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"coffer/internal/rotator/rotatortest"
)

// TestExistingUser: a user of the clone's name is taken only if it may do no more than the first.
func TestExistingUser(t *testing.T) {
	b := newBench(t)
	const refused = "it is not taken for its clone"
	b.Exec(t, "CREATE SCHEMA pay; CREATE ROLE readers")
	b.Exec(t, "CREATE DATABASE other")
	tests := []struct{ name, setup, want string }{
		{"nothing of its own", "", ""},
		{"a member of the first", "GRANT $1 TO $2", ""},
		{"a member of the first, and an administrator", "GRANT $1 TO $2; ALTER ROLE $2 CREATEROLE", refused},
		{"a member of the first that does not see row security", "GRANT $1 TO $2; ALTER ROLE $2 BYPASSRLS", refused},
		{"a member of the first and of another role", "GRANT $1 TO $2; GRANT pg_execute_server_program TO $2", refused},
		{"the same roles", "GRANT readers TO $1; GRANT readers TO $2", ""},
		{"the same roles, and their administrator", "GRANT readers TO $1; GRANT readers TO $2 WITH ADMIN OPTION", refused},
		{"the first is a member of it", "GRANT $2 TO $1; ALTER ROLE $2 CREATEDB; GRANT ALL ON SCHEMA pay TO $2", ""},
		{"a grant on an object", "GRANT USAGE ON SCHEMA pay TO $2", refused},
		{"a grant on an object, and a member of the first", "GRANT $1 TO $2; GRANT USAGE ON SCHEMA pay TO $2", refused},
		{"a grant on an object of the first", "CREATE TABLE $1_t (n int); ALTER TABLE $1_t OWNER TO $1; GRANT SELECT ON $1_t TO $2", ""},
		{"an object of its own", "CREATE TABLE $2_t (n int); ALTER TABLE $2_t OWNER TO $2", refused},
		{"another database of its own", "GRANT CREATE ON DATABASE other TO $2", refused},
		{"a comment that is another's", "GRANT USAGE ON SCHEMA pay TO $2; COMMENT ON ROLE $2 IS 'coffer: clone of role 10'", refused},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first := fmt.Sprint("f", i)
			second := first + "_clone"
			b.role(t, first, "marker-first")
			b.role(t, second, "marker-second")
			b.Exec(t, strings.NewReplacer("$1", first, "$2", second).Replace(tt.setup))
			f := b.Rotate(alternating, b.Create(first, b.withMaster(first, "marker-first")), rotatortest.NewToken())
			if tt.want == "" && f != nil || tt.want != "" && (f == nil || !strings.Contains(f.Message, tt.want)) {
				t.Errorf("%+v, want %q", f, tt.want)
			}
			if b.works(second, "marker-second") != (tt.want != "") {
				t.Error("the password changed, or not, against that")
			}
		})
	}
}

// TestMarkedClone: one that Coffer made stays the clone when it is granted something itself,
// but not when it becomes an administrator.
func TestMarkedClone(t *testing.T) {
	b := newBench(t)
	b.role(t, "app", "marker-first")
	arn := b.Create("app", b.withMaster("app", "marker-first"))
	b.MustRotate(alternating, arn)
	b.Exec(t, "CREATE SCHEMA pay; GRANT USAGE ON SCHEMA pay TO app_clone")
	b.MustRotate(alternating, arn)
	if user := b.MustRotate(alternating, arn)["username"]; user != "app_clone" {
		t.Errorf("the user is %v", user)
	}
	b.MustRotate(alternating, arn)
	b.Exec(t, "ALTER ROLE app_clone CREATEROLE")
	if f := b.Rotate(alternating, arn, rotatortest.NewToken()); f == nil || !strings.Contains(f.Message, "it is not taken for its clone") {
		t.Errorf("%+v", f)
	}
}
