package saml

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// maxUsed bounds the assertions that are remembered. Only verified ones are.
const maxUsed = 1 << 16

// ErrUsed says that an assertion was used before for the same thing, ErrFull that there is no
// room to remember it.
var (
	ErrUsed = errors.New("saml: the assertion was used before")
	ErrFull = errors.New("saml: too many assertions to remember")
)

// Used remembers which assertions were used, and for what, until they end: in
// memory, so that a restart forgets it. The zero value is ready. Safe for concurrent use.
type Used struct {
	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
}

// Take uses the assertion for a purpose. until is when it ends, and can be forgotten.
func (u *Used) Take(a *Assertion, purpose string, until, now time.Time) error {
	key := sha256.Sum256([]byte(a.Issuer + "\x00" + a.ID + "\x00" + purpose))
	u.mu.Lock()
	defer u.mu.Unlock()
	if end, ok := u.until[key]; ok && now.Before(end) {
		return ErrUsed
	}
	if len(u.until) >= maxUsed {
		for k, end := range u.until {
			if !now.Before(end) {
				delete(u.until, k)
			}
		}
		if len(u.until) >= maxUsed {
			return ErrFull
		}
	}
	if u.until == nil {
		u.until = make(map[[sha256.Size]byte]time.Time)
	}
	u.until[key] = until
	return nil
}
