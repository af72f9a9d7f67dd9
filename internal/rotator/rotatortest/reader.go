package rotatortest

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Reader logs in all the time.
type Reader struct {
	mu       sync.Mutex
	once     *sync.Cond
	stopped  bool
	done     chan struct{}
	logins   int
	failures []Failed
}

// Failed is a login that failed: its password was read at From and refused at To.
type Failed struct {
	From, To time.Time
	Err      error
}

// Read starts a reader that reads the secret's current value and logs in with it, again
// and again, until Stop.
func (v *Vault) Read(arn string, login func(value map[string]any) error) *Reader {
	r := &Reader{done: make(chan struct{})}
	r.once = sync.NewCond(&r.mu)
	go func() {
		defer close(r.done)
		for {
			from := time.Now()
			out, err := v.SM.GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{SecretId: &arn})
			var value map[string]any
			if err == nil {
				err = json.Unmarshal([]byte(*out.SecretString), &value)
			}
			if err == nil {
				err = login(value)
			}
			if r.count(from, err) {
				return
			}
		}
	}()
	return r
}

func (r *Reader) count(from time.Time, err error) (stopped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logins++
	if err != nil {
		r.failures = append(r.failures, Failed{from, time.Now(), err})
	}
	r.once.Broadcast()
	return r.stopped
}

// Await waits until the reader has logged in with what it read after the call. Between two
// rotations it stands for the time that a program may go on with what it has read.
func (r *Reader) Await() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := r.logins + 2; r.logins < n; {
		r.once.Wait()
	}
}

// Stop ends the reader and returns how often it logged in and what failed of that.
func (r *Reader) Stop() (logins int, failures []Failed) {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	<-r.done
	return r.logins, r.failures
}

// Rotations is how many rotations a reader lives through.
func Rotations() int {
	if testing.Short() {
		return 5
	}
	return 50
}

// WantFailures wants a reader's logins to have failed only between the times from and
// to of one of them, if at all.
func WantFailures(t testing.TB, logins int, failures []Failed, from, to []time.Time, some bool) {
	t.Helper()
	if logins < 2*len(from) {
		t.Errorf("%d logins in %d rotations", logins, len(from))
	}
	for _, f := range failures {
		inside := false
		for i := range from {
			inside = inside || f.From.Before(to[i]) && f.To.After(from[i])
		}
		if !some || !inside {
			t.Errorf("a login failed from %s to %s: %v", f.From, f.To, f.Err)
		}
	}
	t.Logf("%d of %d logins failed", len(failures), logins)
}
