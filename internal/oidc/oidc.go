// Package oidc finds the public keys of OpenID Connect issuers: from the issuer
// itself over HTTPS, or from a file where there is no way to it.
//
// It promises: an issuer's keys are asked for once, however many calls wait for
// them, kept for as long as the issuer says within bounds, and looked for anew
// when a token names a key that is not among them, at most once a minute. When an
// issuer cannot be reached its old keys serve for a day. What one list of
// thumbprints made credible is used for that list only: an account that pins a
// certificate of its own cannot answer for the issuer of another.
//
// It asks whom it is told to ask; that an issuer is registered is for the caller
// to see to.
package oidc

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"coffer/internal/jwt"
)

const (
	freshFor  = time.Hour        // if the issuer does not say
	minFresh  = 5 * time.Minute  // whatever it says
	maxFresh  = 24 * time.Hour   // whatever it says
	keptFor   = 24 * time.Hour   // after the last success, while the issuer cannot be reached
	pause     = time.Minute      // between two attempts while there are keys
	firstWait = 5 * time.Second  // between two attempts while there are none
	timeout   = 10 * time.Second // of one attempt
	maxKnown  = 1024             // issuers whose keys are kept
)

// Config says where keys come from.
type Config struct {
	Files     map[string]string // JSON Web Key Sets by issuer URL; those issuers are never asked
	LinkLocal bool              // issuers may be at link-local addresses, where clouds have their metadata
	Logger    *slog.Logger      // required
}

// Issuers is a jwt.Source. Safe for concurrent use.
type Issuers struct {
	logger *slog.Logger
	files  map[string]*file
	fetch  func(ctx context.Context, issuer string, thumbprints []string) (answer, error)

	ctx  context.Context // of fetching
	stop context.CancelFunc
	busy sync.WaitGroup

	mu    sync.Mutex
	known map[string]*entry // by issuer and thumbprints
}

// answer is what an issuer gave.
type answer struct {
	keys  *jwt.Keys
	fresh time.Duration // how long they are good
}

// entry is what is known of an issuer. Guarded by Issuers.mu.
type entry struct {
	keys     *jwt.Keys     // nil: none yet
	fetched  time.Time     // when they were
	fresh    time.Time     // until when they are
	tried    time.Time     // when the last attempt ended
	err      error         // of that attempt
	underway chan struct{} // closed when an attempt ends; nil if none is under way
}

// New returns Issuers. Every file must be there and hold keys.
func New(cfg Config) (*Issuers, error) {
	s := &Issuers{logger: cfg.Logger, files: make(map[string]*file), known: make(map[string]*entry)}
	s.fetch = (&client{linkLocal: cfg.LinkLocal}).keys
	for issuer, name := range cfg.Files {
		f := &file{name: name, logger: cfg.Logger}
		if _, err := f.get(); err != nil {
			return nil, fmt.Errorf("keys of %s: %w", issuer, err)
		}
		s.files[issuer] = f
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Close ends attempts under way.
func (s *Issuers) Close() error {
	s.stop()
	s.busy.Wait()
	return nil
}

// Keys implements jwt.Source.
func (s *Issuers) Keys(ctx context.Context, issuer string, thumbprints []string, id string) (*jwt.Keys, error) {
	if f := s.files[issuer]; f != nil {
		return f.get()
	}
	e, wait := s.look(issuer, thumbprints, id)
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.usable() {
		return e.keys, nil
	}
	return nil, e.err
}

// look finds the issuer's entry, and begins an attempt to get its keys if there
// is reason to and none under way. wait is what the caller has to wait for.
func (s *Issuers) look(issuer string, thumbprints []string, id string) (e *entry, wait <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := issuer + " " + strings.Join(slices.Sorted(slices.Values(thumbprints)), ",")
	if e = s.known[key]; e == nil {
		s.makeRoom()
		e = new(entry)
		s.known[key] = e
	}
	switch {
	case e.usable() && time.Now().Before(e.fresh) && e.keys.Has(id), e.underway == nil && e.tooSoon():
		return e, nil
	case e.underway == nil:
		e.underway = make(chan struct{})
		s.busy.Go(func() { s.attempt(e, issuer, thumbprints) })
	}
	return e, e.underway
}

// usable reports whether the keys may be used.
func (e *entry) usable() bool { return e.keys != nil && time.Since(e.fetched) < keptFor }

// tooSoon reports whether the last attempt was just now. Whoever can send a token
// can name a key that does not exist.
func (e *entry) tooSoon() bool {
	if e.tried.IsZero() {
		return false
	}
	if e.usable() {
		return time.Since(e.tried) < pause
	}
	return time.Since(e.tried) < firstWait
}

// attempt asks the issuer. It runs apart from the calls that wait for it, none of
// which can end it for the others.
func (s *Issuers) attempt(e *entry, issuer string, thumbprints []string) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	got, err := s.fetch(ctx, issuer, thumbprints)
	if err != nil && s.ctx.Err() == nil {
		s.logger.Warn("the keys of an OpenID Connect issuer cannot be had", "issuer", issuer, "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	e.tried, e.err = now, err
	if err == nil {
		e.keys, e.fetched = got.keys, now
		e.fresh = now.Add(min(max(got.fresh, minFresh), maxFresh))
	}
	close(e.underway)
	e.underway = nil
}

// makeRoom forgets an issuer if there are too many. The map's order is random.
func (s *Issuers) makeRoom() {
	for key, e := range s.known {
		if len(s.known) < maxKnown {
			return
		}
		if e.underway == nil {
			delete(s.known, key)
		}
	}
}
