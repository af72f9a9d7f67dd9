package iam

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/envelope"
	"coffer/internal/fault"
	"coffer/internal/kv/memory"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// The test vectors of RFC 6238 appendix B, of which six digits are asked for.
func TestCodes(t *testing.T) {
	t.Parallel()
	seed := Seed{api.Sensitive("12345678901234567890")}
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		got := seed.code(step(time.Unix(at, 0)))
		if string(got[:]) != want {
			t.Errorf("at %d: got %s, want %s", at, got, want)
		}
	}
}

func TestSeedPrintsAsPlaceholder(t *testing.T) {
	t.Parallel()
	d := &MFADevice{Name: "n", Seed: Seed{api.Sensitive("12345678901234567890")}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{d.Seed, &d.Seed, *d, d, struct{ D *MFADevice }{d}} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, "12345678") || strings.Contains(text, "3132333435") || strings.Contains(text, "49 50 51") || strings.Contains(text, "0x31") {
				t.Errorf("%s of %T shows the seed", verb, v)
			}
		}
	}
}

// second is a user with a device, and a clock.
type second struct {
	t      *testing.T
	db     *table.DB
	d      *Directory
	seed   Seed
	serial string
	user   api.Principal
	now    time.Time
}

func newSecond(t *testing.T) *second {
	t.Helper()
	sealer, err := envelope.NewSealer(envelope.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	const account = "111122223333"
	s := &second{
		t: t, db: table.New(table.Config{Store: memory.New(), Sealer: sealer}), d: NewDirectory(DirectoryConfig{}),
		seed: newSeed(), serial: "arn:aws:iam::" + account + ":mfa/x/phone", now: time.Unix(1767225600, 0),
		user: api.Principal{Caller: policy.Caller{Type: policy.IAMUser, ARN: "arn:aws:iam::" + account + ":user/ana", Account: account, ID: "AIDAANAANAANAANAANAAN"}, Name: "ana"},
	}
	s.update(func(tx *table.Tx) error {
		return MFADevices.Put(tx, &MFADevice{Account: account, Path: "/x/", Name: "phone", Seed: s.seed, User: s.user.ID})
	})
	return s
}

func (s *second) update(f func(*table.Tx) error) {
	s.t.Helper()
	if err := s.db.Update(context.Background(), f); err != nil {
		s.t.Fatal(err)
	}
}

// code is the code that the device shows when its clock is off by so many steps.
func (s *second) code(off int64) api.Sensitive {
	c := s.seed.code(step(s.now) + off)
	return c[:]
}

func (s *second) pass(d time.Duration) { s.now = s.now.Add(d) }

// verify gives a code. The transaction runs twice, as it may.
func (s *second) verify(code api.Sensitive) string {
	s.t.Helper()
	for _, last := range []bool{false, true} {
		err := s.db.Update(context.Background(), func(tx *table.Tx) error {
			if err := s.d.VerifyMFA(tx, &s.user, s.serial, code, s.now); err != nil || last {
				return err
			}
			return context.Canceled
		})
		if e, ok := fault.As(err); ok {
			if e.Code != "AccessDeniedException" {
				s.t.Errorf("code %s", e.Code)
			}
			return e.Message
		} else if last && err != nil {
			s.t.Fatal(err)
		}
	}
	return "ok"
}

const (
	wrongCode   = "MultiFactorAuthentication failed with invalid MFA one time pass code."
	wrongDevice = "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user."
	resting     = "MultiFactorAuthentication failed, too many invalid MFA one time pass codes were given. Please wait and try again."
)

func TestVerifyMFA(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		off  int64
		want string
	}{
		{"two steps ago", -2, wrongCode}, {"the step before", -1, "ok"}, {"now", 0, "ok"}, {"the step after", 1, "ok"}, {"two steps ahead", 2, wrongCode},
	} {
		s := newSecond(t)
		if got := s.verify(s.code(c.off)); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	s := newSecond(t)
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	code := s.code(0)
	check("a code", s.verify(code), "ok")
	check("the same", s.verify(code), wrongCode)
	check("one from before", s.verify(s.code(-1)), wrongCode)
	check("the next", s.verify(s.code(1)), "ok")
	check("none", s.verify(nil), wrongCode)
	check("the beginning of one", s.verify(s.code(2)[:5]), wrongCode)

	s = newSecond(t)
	someone := s.user
	s.user.ID = "AIDABOBOBOBOBOBOBOBOB"
	check("somebody else's device", s.verify(s.code(0)), wrongDevice)
	s.user = someone
	s.user.Type = policy.Root
	check("the root", s.verify(s.code(0)), wrongDevice)
	s.user = someone
	for _, serial := range []string{"arn:aws:iam::111122223333:mfa/phone", "arn:aws:iam::444455556666:mfa/x/phone", "arn:aws-cn:iam::111122223333:mfa/x/phone", "arn:aws:iam::111122223333:user/x/phone", "GAHT12345678", ""} {
		own := s.serial
		s.serial = serial
		check(serial, s.verify(s.code(0)), wrongDevice)
		s.serial = own
	}
	check("and the code is still good", s.verify(s.code(0)), "ok")
}

// A device whose clock is off is good by its own clock once it was synchronised.
func TestDrift(t *testing.T) {
	t.Parallel()
	s := newSecond(t)
	sync := func(window, off int64) (err error) {
		s.update(func(tx *table.Tx) error {
			d, e := MFADevices.Load(tx, table.K("111122223333", "/x/phone"))
			if e != nil {
				return e
			}
			if err = d.synchronise(s.now, window, s.code(off-1), s.code(off)); err != nil {
				return nil
			}
			return MFADevices.Put(tx, d)
		})
		return err
	}
	if err := sync(enableWindow, 9); err != nil {
		t.Fatal(err)
	}
	s.pass(10 * time.Minute)
	if got := s.verify(s.code(9)); got != "ok" {
		t.Errorf("by the device's clock: %s", got)
	}
	s.pass(10 * time.Minute)
	if got := s.verify(s.code(0)); got != "ok" {
		t.Errorf("by ours: %s", got)
	}
	if got := s.verify(s.code(4)); got != wrongCode {
		t.Errorf("by neither: %s", got)
	}
	s.pass(time.Hour)
	for _, c := range []struct {
		window, off int64
		good        bool
	}{{enableWindow, 11, false}, {enableWindow, -11, false}, {resyncWindow, 121, false}, {resyncWindow, -50, true}, {resyncWindow, -50, false}, {resyncWindow, 100, true}} {
		if err := sync(c.window, c.off); (err == nil) != c.good {
			t.Errorf("synchronise with %d steps within %d: %v", c.off, c.window, err)
		}
	}
}

// Who guesses is soon not listened to, and then less and less.
func TestGuesses(t *testing.T) {
	t.Parallel()
	s := newSecond(t)
	wrong := api.Sensitive("000000")
	for range freeGuesses {
		if got := s.verify(wrong); got != wrongCode {
			t.Fatal(got)
		}
		// verify runs the transaction once more only if the first run succeeded
	}
	rest := time.Duration(0)
	heard := 0
	for end := s.now.Add(24 * time.Hour); s.now.Before(end); s.pass(time.Minute) {
		switch got := s.verify(wrong); got {
		case wrongCode:
			heard++
			rest = 0
		case resting:
			rest += time.Minute
		default:
			t.Fatal(got)
		}
	}
	if heard < 24 || heard > 32 {
		t.Errorf("%d guesses of a day were heard", heard)
	}
	if got := s.verify(s.code(0)); got != resting && rest > 0 {
		t.Errorf("the right code during the rest: %s", got)
	}
	s.pass(longestRest)
	if got := s.verify(s.code(0)); got != "ok" {
		t.Errorf("the right code after it: %s", got)
	}
	if got := s.verify(wrong); got != wrongCode {
		t.Errorf("after the right code: %s", got)
	}
	s.pass(time.Minute)
	if got := s.verify(s.code(0)); got != "ok" {
		t.Errorf("one wrong code costs nothing: %s", got)
	}
}

func TestGuessesAreBounded(t *testing.T) {
	t.Parallel()
	g := guesses{of: make(map[string]map[string]*guess)}
	now := time.Unix(0, 0)
	victim := guesser{"444455556666", "ana"}
	for range freeGuesses + 1 {
		g.wrong(victim, now)
	}
	for i := range maxGuesses + 100 {
		g.wrong(guesser{"111122223333", fmt.Sprint(i)}, now)
	}
	if n := len(g.of["111122223333"]); n != maxGuesses {
		t.Errorf("%d devices of an account are remembered", n)
	}
	if !g.resting(victim, now) {
		t.Error("guesses at another account's device are forgotten for them")
	}
}
