package oidc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coffer/internal/jwt"
	"coffer/internal/jwt/jwttest"
	"coffer/internal/oidc"
)

const issuer = "https://issuer.example"

// keySets are two sets, told apart by the ids of their keys: "old" and "new".
var keySets = sync.OnceValue(func() (sets [2]*jwt.Keys) {
	for i, id := range []string{"old", "new"} {
		keys, err := jwt.ParseKeys(jwttest.NewES256(id).JWKS())
		if err != nil {
			panic(err)
		}
		sets[i] = keys
	}
	return sets
})

// source is Issuers over an issuer whose answers the test sets.
type source struct {
	*oidc.Issuers
	asked atomic.Int64
	mu    sync.Mutex
	keys  *jwt.Keys
	fresh time.Duration
	err   error
}

func newSource(t *testing.T) *source {
	i, err := oidc.New(oidc.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := &source{Issuers: i, keys: keySets()[0], fresh: time.Hour}
	s.OnFetch(func(ctx context.Context, _ string) (*jwt.Keys, time.Duration, error) {
		s.asked.Add(1)
		time.Sleep(time.Second) // of the bubble's clock
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.keys, s.fresh, s.err
	})
	return s
}

func (s *source) answer(keys *jwt.Keys, fresh time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.fresh, s.err = keys, fresh, err
}

// want asks for a key and tells which set came, and how often the issuer was asked so far.
func (s *source) want(t *testing.T, id, set string, asked int64) {
	t.Helper()
	keys, err := s.Keys(t.Context(), issuer, nil, id)
	got := "error"
	switch {
	case err != nil && !errors.Is(err, jwt.ErrUnreachable):
		t.Errorf("error %v, want one that wraps ErrUnreachable", err)
	case err == nil && keys.Has("old"):
		got = "old"
	case err == nil:
		got = "new"
	}
	if got != set || s.asked.Load() != asked {
		t.Errorf("key %q: %s after %d attempts, want %s after %d", id, got, s.asked.Load(), set, asked)
	}
}

func bubble(t *testing.T, f func(t *testing.T, s *source)) {
	keySets()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		defer s.Close()
		f(t, s)
	})
}

func TestKeysAreKeptAndRefreshedByAge(t *testing.T) {
	bubble(t, func(t *testing.T, s *source) {
		s.want(t, "old", "old", 1)
		time.Sleep(59 * time.Minute)
		s.want(t, "old", "old", 1)
		s.answer(keySets()[1], time.Hour, nil)
		time.Sleep(2 * time.Minute)
		s.want(t, "new", "new", 2)
	})
}

func TestFreshnessIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, s *source) {
		s.answer(keySets()[0], time.Second, nil)
		s.want(t, "old", "old", 1)
		time.Sleep(4 * time.Minute) // at least five, whatever the issuer says
		s.want(t, "old", "old", 1)
		s.answer(keySets()[0], 1000*time.Hour, nil)
		time.Sleep(2 * time.Minute)
		s.want(t, "old", "old", 2)
		time.Sleep(23 * time.Hour)
		s.want(t, "old", "old", 2)
		time.Sleep(2 * time.Hour) // a day at most
		s.want(t, "old", "old", 3)
	})
}

func TestAnUnknownKeyIsLookedForOnceAMinute(t *testing.T) {
	bubble(t, func(t *testing.T, s *source) {
		s.want(t, "old", "old", 1)
		for range 100 {
			s.want(t, "new", "old", 1) // just asked
		}
		time.Sleep(time.Minute)
		s.want(t, "new", "old", 2)
		for range 100 {
			s.want(t, "nonsense", "old", 2)
		}
		s.answer(keySets()[1], time.Hour, nil)
		time.Sleep(time.Minute)
		s.want(t, "new", "new", 3)
	})
}

func TestOldKeysServeWhileTheIssuerIsDown(t *testing.T) {
	bubble(t, func(t *testing.T, s *source) {
		s.want(t, "old", "old", 1)
		s.answer(nil, 0, fmt.Errorf("%w: down", jwt.ErrUnreachable))
		time.Sleep(90 * time.Minute)
		s.want(t, "old", "old", 2)
		s.want(t, "old", "old", 2) // not asked with every call
		time.Sleep(22 * time.Hour)
		s.want(t, "old", "old", 3)
		time.Sleep(time.Hour) // a day after the last success
		s.want(t, "old", "error", 4)
		s.answer(keySets()[0], time.Hour, nil)
		s.want(t, "old", "error", 4)
		time.Sleep(5 * time.Second)
		s.want(t, "old", "old", 5)
	})
}

func TestWhoWaitsTogetherAsksOnce(t *testing.T) {
	bubble(t, func(t *testing.T, s *source) {
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { s.want(t, "old", "old", 1) })
		}
		// One who gives up does not end the attempt for the others.
		gone, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := s.Keys(gone, issuer, nil, "old"); !errors.Is(err, context.Canceled) {
				t.Errorf("a caller that went away: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
	})
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, s *source) {
		var wg sync.WaitGroup
		for i := range 3000 {
			wg.Go(func() { s.Keys(t.Context(), fmt.Sprintf("https://%d.example", i), nil, "old") })
			if i%500 == 0 {
				wg.Wait()
			}
		}
		wg.Wait()
		if n := s.Known(); n > 1024 {
			t.Errorf("%d issuers are kept", n)
		}
	})
}

func TestThumbprintsDoNotShareKeys(t *testing.T) {
	bubble(t, func(t *testing.T, s *source) {
		s.want(t, "old", "old", 1)
		if _, err := s.Keys(t.Context(), issuer, []string{"aa", "bb"}, "old"); err != nil || s.asked.Load() != 2 {
			t.Errorf("keys that no thumbprint vouches for were taken for one that pins: %v, %d attempts", err, s.asked.Load())
		}
		if _, err := s.Keys(t.Context(), issuer, []string{"bb", "aa"}, "old"); err != nil || s.asked.Load() != 2 {
			t.Errorf("the same list in another order: %v, %d attempts", err, s.asked.Load())
		}
	})
}

func TestCloseEndsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		s.OnFetch(func(ctx context.Context, _ string) (*jwt.Keys, time.Duration, error) {
			<-ctx.Done()
			return nil, 0, fmt.Errorf("%w: %w", jwt.ErrUnreachable, ctx.Err())
		})
		done := make(chan error)
		go func() {
			_, err := s.Keys(context.Background(), issuer, nil, "old")
			done <- err
		}()
		synctest.Wait()
		start := time.Now()
		s.Close()
		if err := <-done; !errors.Is(err, jwt.ErrUnreachable) || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys.json")
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := oidc.Config{Files: map[string]string{issuer: name}, Logger: slog.New(slog.DiscardHandler)}
	if _, err := oidc.New(config); err == nil {
		t.Error("a missing file was accepted")
	}
	write([]byte(`{"keys":[]}`))
	if _, err := oidc.New(config); err == nil {
		t.Error("a file without keys was accepted")
	}
	old, fresh := jwttest.NewES256("old").JWKS(), jwttest.NewRSA("new").JWKS()
	write(old)
	synctest.Test(t, func(t *testing.T) {
		i, err := oidc.New(config)
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		i.OnFetch(func(context.Context, string) (*jwt.Keys, time.Duration, error) {
			t.Error("the issuer was asked")
			return nil, 0, jwt.ErrUnreachable
		})
		want := func(what, id string) {
			t.Helper()
			keys, err := i.Keys(t.Context(), issuer, nil, "unknown")
			if err != nil || !keys.Has(id) {
				t.Errorf("%s: keys without %s, %v", what, id, err)
			}
		}
		want("at start", "old")
		write(fresh)
		want("at once", "old")
		time.Sleep(10 * time.Second)
		want("after a look", "new")
		write([]byte("not keys"))
		time.Sleep(10 * time.Second)
		want("damaged", "new")
		os.Remove(name)
		time.Sleep(10 * time.Second)
		want("removed", "new")
		write(old)
		time.Sleep(10 * time.Second)
		want("put back", "old")
	})
}
