package runner

import (
	"sync"
	"time"
)

// What functions may log. AWS keeps whatever they print, and bills it; here it is on a disk
// that secrets are on as well.
const (
	processLog = 4 << 20  // bytes of a process, at once and then in every four minutes
	accountLog = 32 << 20 // of all processes of an account, its built-in functions' apart, likewise
	logRefill  = 4 * time.Minute
)

// allowance is how many bytes may be logged: full at first, and filled in logRefill. Safe for
// concurrent use.
type allowance struct {
	full float64

	mu   sync.Mutex
	left float64
	at   time.Time // when left was right
}

func newAllowance(bytes int) *allowance {
	return &allowance{full: float64(bytes), left: float64(bytes), at: time.Now()}
}

// take takes n bytes if they are there.
func (a *allowance) take(n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.left = min(a.full, a.left+a.full*float64(now.Sub(a.at))/float64(logRefill))
	a.at = now
	if a.left < float64(n) {
		return false
	}
	a.left -= float64(n)
	return true
}
