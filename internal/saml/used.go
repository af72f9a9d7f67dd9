package saml

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// maxUsed bounds the assertions that are remembered of an account. Only verified ones are.
const maxUsed = 1 << 16

// ErrUsed says that an assertion was used before for the same thing, ErrFull that there is no
// room to remember it.
var (
	ErrUsed = errors.New("saml: the assertion was used before")
	ErrFull = errors.New("saml: too many assertions to remember")
)

// Used remembers which assertions were used, and for what, until they end: in
// memory, so that a restart forgets it. Each account has room of its own, since it can make itself an
// identity provider with as many assertions as it likes. The zero value is ready. Safe for concurrent use.
type Used struct {
	mu sync.Mutex
	by map[string]*used // account
}

type used struct {
	until map[[sha256.Size]byte]time.Time
	full  time.Time // until when nothing ends, if there is no room
}

// Take uses the assertion for a purpose within an account. until is when it ends, and can be forgotten.
func (u *Used) Take(account string, a *Assertion, purpose string, until, now time.Time) error {
	key := sha256.Sum256([]byte(a.Issuer + "\x00" + a.ID + "\x00" + purpose))
	u.mu.Lock()
	defer u.mu.Unlock()
	of := u.by[account]
	if of == nil {
		if u.by == nil {
			u.by = make(map[string]*used)
		}
		of = &used{until: make(map[[sha256.Size]byte]time.Time)}
		u.by[account] = of
	}
	if end, ok := of.until[key]; ok && now.Before(end) {
		return ErrUsed
	}
	if len(of.until) >= maxUsed && !of.makeRoom(now) {
		return ErrFull
	}
	of.until[key] = until
	return nil
}

// makeRoom forgets what has ended. It does not look again before something has: others wait meanwhile.
func (u *used) makeRoom(now time.Time) bool {
	if now.Before(u.full) {
		return false
	}
	u.full = time.Time{}
	for k, end := range u.until {
		if !now.Before(end) {
			delete(u.until, k)
		} else if u.full.IsZero() || end.Before(u.full) {
			u.full = end
		}
	}
	return len(u.until) < maxUsed
}
