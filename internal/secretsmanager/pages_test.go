package secretsmanager

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/envelope"
	"coffer/internal/kv/memory"
	"coffer/internal/table"
)

func newTable(t testing.TB) *table.DB {
	t.Helper()
	sealer, err := envelope.NewSealer(envelope.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	return table.New(table.Config{Store: store, Sealer: sealer})
}

func putSecret(t testing.TB, db *table.DB, s *Secret) {
	t.Helper()
	s.Account, s.Region = "111122223333", "eu-west-1"
	if err := db.Update(t.Context(), func(tx *table.Tx) error { return Secrets.Put(tx, s) }); err != nil {
		t.Fatal(err)
	}
}

func (l *listing) pageOf(t testing.TB, db *table.DB) (found []*Secret, next *position) {
	t.Helper()
	err := db.View(t.Context(), func(tx *table.Tx) (err error) {
		found, next, err = l.page(t.Context(), tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, next
}

// Whatever ends a page - its size, the rows, the work, what gathering may take -
// each secret that is there throughout and matches is listed exactly once, in
// order, while others come and go.
func TestPagesUnderAnyLimits(t *testing.T) {
	rounds := 120
	if testing.Short() {
		rounds = 50
	}
	cut, empty, swapped, whole := 0, 0, 0, 0
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 7))
		db := newTable(t)
		draw := func(name string) *Secret {
			s := &Secret{Name: name, UID: name, Created: table.Millis(1 + r.IntN(30)), Changed: table.Millis(1 + r.IntN(30)), Accessed: table.Millis(r.IntN(3))}
			s.Description = strings.Repeat("some words ", r.IntN(40))
			for i := range r.IntN(4) {
				s.Tags = append(s.Tags, Tag{Key: fmt.Sprint("k", i), Value: strings.Repeat("x y ", r.IntN(20))})
			}
			s.Versions = []Version{{ID: "v", Value: make([]byte, r.IntN(3000)), DataKey: make([]byte, 100), Stages: []string{"AWSCURRENT"}}}
			return s
		}
		var stay []*Secret
		for i := range 50 {
			s := draw(fmt.Sprintf("%c/stay%d", 'a'+r.IntN(6), i))
			stay = append(stay, s)
			putSecret(t, db, s)
		}
		l := listing{
			account: "111122223333", region: "eu-west-1",
			by:    []string{smapi.SortByTypeName, smapi.SortByTypeCreatedDate, smapi.SortByTypeLastChangedDate, smapi.SortByTypeLastAccessedDate}[seed%4],
			desc:  r.IntN(2) == 0,
			limit: 1 + r.IntN(12),
			limits: limits{
				visited:  1 + r.IntN(60),
				work:     1 + r.IntN(200_000),
				gathered: r.IntN(120),
				held:     r.IntN(60_000),
			},
		}
		if r.IntN(4) == 0 {
			l.limits.work = 1 // one secret at a time
		}
		var filters []searchFilter
		if r.IntN(3) > 0 {
			filters = append(filters, searchFilter{"name", []string{"a", "b", "c/", "d/s", "e"}})
		}
		switch r.IntN(3) {
		case 0:
			filters = append(filters, searchFilter{"all", []string{"some wor", "y x"}})
		case 1:
			filters = append(filters, searchFilter{"description", []string{"!some"}})
		}
		seen := map[string]int{}
		var come []string
		var before *position
		for n := 0; ; n++ {
			l.match = mustCompileFilters(t, filters...)
			found, next := l.pageOf(t, db)
			for _, s := range found {
				seen[s.Name]++
				at := l.position(s)
				if before != nil && l.compare(*before, at) >= 0 {
					t.Fatalf("seed %d: %q listed behind %q", seed, at, *before)
				}
				before = &at
				if len(s.Versions) != 1 || s.Versions[0].Value != nil || s.Versions[0].DataKey != nil || s.Versions[0].Stages == nil {
					t.Fatalf("seed %d: versions %+v", seed, s.Versions)
				}
			}
			if len(found) > l.limit {
				t.Fatalf("seed %d: a page of %d, want %d", seed, len(found), l.limit)
			}
			if next == nil {
				break
			}
			if len(found) < l.limit {
				cut++
			} else {
				whole++
			}
			if len(found) == 0 {
				empty++
			}
			if l.from != nil && l.compare(*next, *l.from) <= 0 {
				t.Fatalf("seed %d: the next page starts at %q, this one at %q", seed, *next, *l.from)
			}
			l.from = next
			if r.IntN(4) == 0 { // the limits are no part of the question
				l.limits.work = 1 + r.IntN(200_000)
				l.limits.gathered = r.IntN(120)
				swapped++
			}
			for range r.IntN(3) {
				if len(come) > 0 && r.IntN(2) == 0 {
					i := r.IntN(len(come))
					err := db.Update(t.Context(), func(tx *table.Tx) error {
						return Secrets.Delete(tx, table.K(l.account, l.region, come[i]))
					})
					if err != nil {
						t.Fatal(err)
					}
					come = slices.Delete(come, i, i+1)
					continue
				}
				if len(come) < 30 {
					come = append(come, fmt.Sprintf("%c/come%d-%d", 'a'+r.IntN(6), n, r.IntN(1000)))
					putSecret(t, db, draw(come[len(come)-1]))
				}
			}
		}
		for _, s := range stay {
			want := 0
			if l.match = mustCompileFilters(t, filters...); l.wants(s) {
				want = 1
			}
			if seen[s.Name] != want {
				t.Errorf("seed %d by %s: %s listed %d times, want %d", seed, l.by, s.Name, seen[s.Name], want)
			}
		}
	}
	if cut < 100 || empty < 100 || swapped < 100 || whole < 100 {
		t.Errorf("%d short pages, %d empty, %d after other limits, %d full: the draw tests nothing", cut, empty, swapped, whole)
	}
}

// heavyTable has secrets with as many and as large tags as there may be.
func heavyTable(t testing.TB, n int, h searchSubject) *table.DB {
	db := newTable(t)
	for i := range n {
		putSecret(t, db, &Secret{Name: fmt.Sprintf("app/%05d", i), UID: fmt.Sprint(i), Created: table.Millis(i), Description: h.Description, Tags: h.Tags})
	}
	return db
}

// A call does a bounded piece of work, not only a bounded number of rows; and
// what it does is the same every time.
func TestPageEndsByWork(t *testing.T) {
	secrets, work := 20, 1<<22
	db := heavyTable(t, secrets, heavyCases()["letters"].subject)
	for _, by := range []string{smapi.SortByTypeName, smapi.SortByTypeCreatedDate} {
		for _, named := range []bool{false, true} {
			l := listing{account: "111122223333", region: "eu-west-1", by: by, limit: maxPage, limits: pageLimits}
			l.limits.work = work
			filters := heavyCases()["letters"].filters
			if named {
				filters = append([]searchFilter{{"name", []string{"app/"}}}, filters[1:]...)
			}
			pages := 0
			for ; ; pages++ {
				l.match = mustCompileFilters(t, filters...)
				found, next := l.pageOf(t, db)
				did := l.match.work
				if len(found) > 0 {
					t.Fatal("a match")
				}
				// At most one secret more than allowed.
				if most := work + work/2; did > most {
					t.Errorf("work of %d, want at most %d", did, most)
				}
				l.match = mustCompileFilters(t, filters...)
				if _, again := l.pageOf(t, db); (again == nil) != (next == nil) || next != nil && *again != *next || l.match.work != did {
					t.Errorf("the same page ends at %v and at %v, after work of %d and %d", next, again, did, l.match.work)
				}
				if next == nil {
					break
				}
				l.from = next
			}
			if pages < secrets/5 || pages > secrets {
				t.Errorf("by %s: %d pages", by, pages)
			}
		}
	}
}

// fading is a caller who goes away after a while.
type fading struct {
	context.Context
	left int
}

func (f *fading) Err() error {
	if f.left--; f.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestListingStopsWithItsCaller(t *testing.T) {
	db := newTable(t)
	for i := range 100 {
		putSecret(t, db, &Secret{Name: fmt.Sprintf("s%03d", i), UID: fmt.Sprint(i), Created: table.Millis(i)})
	}
	for _, by := range []string{smapi.SortByTypeName, smapi.SortByTypeCreatedDate} {
		for _, filter := range []searchFilter{{"name", []string{"s"}}, {"name", []string{"!s"}}} {
			for _, held := range []int{0, 1 << 20} {
				for _, left := range []int{0, 1, 50, 99, 1000} {
					l := listing{account: "111122223333", region: "eu-west-1", by: by, limit: maxPage, limits: pageLimits, match: mustCompileFilters(t, filter)}
					l.limits.held = held
					ctx := &fading{t.Context(), left}
					err := db.View(t.Context(), func(tx *table.Tx) error {
						found, next, err := l.page(ctx, tx)
						if err != nil && (found != nil || next != nil) {
							t.Error("a page beside the error")
						}
						return err
					})
					if left < 100 && !errors.Is(err, context.Canceled) || left >= 100 && err != nil {
						t.Errorf("by %s, gone after %d: %v", by, left, err)
					}
					if left < 100 && ctx.left != -1 {
						t.Errorf("by %s, gone after %d: went on for %d rows", by, left, -1-ctx.left)
					}
				}
			}
		}
	}
}

// The worst that one call can be made to do.
func BenchmarkHeavyPage(b *testing.B) {
	for _, name := range []string{"letters", "pairs", "nonascii"} {
		db := heavyTable(b, 2000, heavyCases()[name].subject)
		for _, by := range []string{smapi.SortByTypeName, smapi.SortByTypeCreatedDate} {
			b.Run(name+"/"+by, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					l := listing{account: "111122223333", region: "eu-west-1", by: by, limit: maxPage, limits: pageLimits}
					l.match = mustCompileFilters(b, heavyCases()[name].filters...)
					l.pageOf(b, db)
				}
			})
		}
	}
}
