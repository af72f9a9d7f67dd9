package iam

import (
	"context"
	"fmt"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/table"
)

// The outcome of a deletion is kept for a week, whatever there are of them.
func TestDeletionsAreForgotten(t *testing.T) {
	t.Parallel()
	s := newSecond(t)
	service := New(Config{Directory: s.d})
	const old, fresh = 70, 5
	for i := range old + fresh {
		at := s.now
		if i >= old {
			at = at.Add(time.Minute)
		}
		s.update(func(tx *table.Tx) error {
			return RoleDeletions.Insert(tx, &RoleDeletion{Account: "111122223333", Task: fmt.Sprintf("task/%d", i), At: table.At(at)})
		})
	}
	left := func() (n int) {
		err := s.db.View(context.Background(), func(tx *table.Tx) error {
			n = 0
			for _, err := range RoleDeletions.Scan(tx, table.Range{}) {
				if err != nil {
					return err
				}
				n++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	work := func() (runs int) {
		for more := true; more; runs++ {
			s.update(func(tx *table.Tx) (err error) {
				more, err = service.forgetDeletions(&api.Request{Tx: tx, Time: s.now})
				return err
			})
		}
		return runs
	}
	s.pass(deletionsKept)
	if work(); left() != old+fresh {
		t.Errorf("%d left on the last day", left())
	}
	s.pass(time.Second)
	if runs := work(); runs != 3 || left() != fresh {
		t.Errorf("%d left after %d transactions", left(), runs)
	}
}
