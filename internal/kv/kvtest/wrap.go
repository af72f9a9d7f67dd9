package kvtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"coffer/internal/kv"
)

// errDiscard ends a trial run of a closure.
var errDiscard = errors.New("kvtest: trial run")

// Twice returns a store that runs every closure twice and keeps what the
// second run did. Code that counts on running once shows here.
func Twice(s kv.Store) kv.Store { return twice{s} }

type twice struct{ kv.Store }

// View implements kv.Store.
func (t twice) View(ctx context.Context, f func(kv.Tx) error) error {
	return t.Store.View(ctx, func(tx kv.Tx) error {
		_ = f(tx)
		return f(tx)
	})
}

// Update implements kv.Store.
func (t twice) Update(ctx context.Context, f func(kv.Tx) error) error {
	err := t.Store.Update(ctx, func(tx kv.Tx) error {
		_ = f(tx)
		return errDiscard
	})
	if !errors.Is(err, errDiscard) {
		return err // the store refuses before or after the closure: closed, ctx, poisoned
	}
	return t.Store.Update(ctx, f)
}

// ErrInjected is the failure Flaky injects.
var ErrInjected = errors.New("kvtest: injected failure")

// Faults says how often Flaky interferes, each from 0 to 1.
type Faults struct {
	Seed     uint64
	Conflict float64 // the closure runs, loses, and runs again
	Refuse   float64 // the closure runs, nothing is written, Update returns ErrInjected
	Lose     float64 // the closure runs, all is written, Update returns ErrInjected all the same
}

// Flaky returns a store whose Updates fail as in faults.
func Flaky(s kv.Store, faults Faults) kv.Store {
	return &flaky{Store: s, faults: faults, rand: rand.New(rand.NewPCG(faults.Seed, 0))}
}

type flaky struct {
	kv.Store
	faults Faults
	mu     sync.Mutex
	rand   *rand.Rand
}

func (f *flaky) hit(p float64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rand.Float64() < p
}

// Update implements kv.Store.
func (f *flaky) Update(ctx context.Context, fn func(kv.Tx) error) error {
	discard := func() error {
		err := f.Store.Update(ctx, func(tx kv.Tx) error {
			_ = fn(tx)
			return errDiscard
		})
		if errors.Is(err, errDiscard) {
			return nil
		}
		return err
	}
	for f.hit(f.faults.Conflict) {
		if err := discard(); err != nil {
			return err
		}
	}
	if f.hit(f.faults.Refuse) {
		if err := discard(); err != nil {
			return err
		}
		return ErrInjected
	}
	err := f.Store.Update(ctx, fn)
	if err == nil && f.hit(f.faults.Lose) {
		return ErrInjected
	}
	return err
}
