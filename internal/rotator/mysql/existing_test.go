package mysql_test

import (
	"fmt"
	"strings"
	"testing"

	"coffer/internal/rotator/rotatortest"
)

// TestExistingUser: an account of the clone's name is taken only if all that it has, on a
// schema or a table too, is something that the first has.
func TestExistingUser(t *testing.T) {
	b := newBench(t)
	b.Exec(t, "CREATE DATABASE pay; CREATE TABLE pay.t (n int)")
	for i, tt := range []struct {
		name, setup string
		taken       bool
	}{
		{"nothing", "DO 1", true},
		{"the same", "GRANT SELECT ON pay.* TO $1; GRANT SELECT ON pay.* TO $2", true},
		{"less", "GRANT SELECT ON pay.* TO $1; GRANT SELECT (n) ON pay.t TO $2", true},
		{"a schema", "GRANT ALL PRIVILEGES ON pay.* TO $2 WITH GRANT OPTION", false},
		{"a table", "GRANT SELECT ON pay.t TO $2", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first := fmt.Sprint("f", i)
			second := first + "_clone"
			b.user(t, first, "marker-first")
			b.user(t, second, "marker-second")
			b.Exec(t, strings.NewReplacer("$1", first+"@'%'", "$2", second+"@'%'").Replace(tt.setup))
			f := b.Rotate(alternating, b.Create(first, b.alternating(first, "marker-first")), rotatortest.NewToken())
			if tt.taken != (f == nil) || f != nil && !strings.Contains(f.Message, "it is not taken for its clone") {
				t.Errorf("%+v", f)
			}
			if b.works(second, "marker-second") == tt.taken {
				t.Error("the password changed, or not, against that")
			}
		})
	}
}
