package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"strings"
	"sync"
)

// derived is the signing key of one credential scope.
type derived struct {
	// secret is a hash of the secret access key this comes from. Access key ids
	// outlive secrets (a rotated or restored key), and a signature made with an
	// old secret must not verify for a day because its derivation is cached.
	secret [32]byte
	// macs holds HMAC states keyed with the signing key: reset, they save the
	// allocations and the two compressions of keying.
	macs sync.Pool
}

// derive is the chain of the AWS page "Create a signed AWS API request":
// HMAC(HMAC(HMAC(HMAC("AWS4"+secret, day), region), service), "aws4_request").
func derive(c Credential, secret Secret) *derived {
	key := []byte("AWS4" + string(secret))
	d := &derived{secret: fingerprint(secret)}
	for _, part := range [...]string{c.Date, c.Region, c.Service, terminator} {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		clear(key)
		key = m.Sum(nil)
	}
	d.macs.New = func() any { return hmac.New(sha256.New, key) }
	return d
}

// sign puts the signature of the string to sign in s.buf into s.hex.
func (d *derived) sign(s *scratch) {
	m := d.macs.Get().(hash.Hash)
	m.Reset()
	m.Write(s.buf)
	m.Sum(s.sum[:0])
	d.macs.Put(m)
	hex.Encode(s.hex[:], s.sum[:])
}

// fingerprint stands for a secret in the cache, which need not hold secrets:
// they have 240 random bits, so that a plain hash does not give them away.
func fingerprint(secret Secret) [32]byte {
	var b [64]byte // 40 characters are a secret's length; no allocation for it
	sum := sha256.Sum256(append(b[:0], secret...))
	clear(b[:])
	return sum
}

// cache is a bounded set of derived keys.
type cache struct {
	size int
	mu   sync.RWMutex
	m    map[Credential]*derived
}

func (c *cache) get(k Credential, secret Secret) (*derived, bool) {
	c.mu.RLock()
	d := c.m[k]
	c.mu.RUnlock()
	if d == nil {
		return nil, false
	}
	f := fingerprint(secret)
	if subtle.ConstantTimeCompare(f[:], d.secret[:]) != 1 {
		return nil, false
	}
	return d, true
}

func (c *cache) put(k Credential, d *derived) {
	if c.size <= 0 {
		return
	}
	// The strings are parts of a request's header: do not keep all of that.
	k = Credential{strings.Clone(k.AccessKeyID), strings.Clone(k.Date), strings.Clone(k.Region), strings.Clone(k.Service)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = make(map[Credential]*derived)
	}
	if _, ok := c.m[k]; !ok && len(c.m) >= c.size {
		c.evict()
	}
	c.m[k] = d
}

// evict drops the oldest day among a few entries in map order, which is
// random: yesterday's keys go first, at a cost that does not grow with size.
func (c *cache) evict() {
	var oldest Credential
	n := 0
	for k := range c.m {
		if n == 0 || k.Date < oldest.Date {
			oldest = k
		}
		if n++; n == 8 {
			break
		}
	}
	delete(c.m, oldest)
}

func (c *cache) forget(accessKeyID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.m {
		if k.AccessKeyID == accessKeyID {
			delete(c.m, k)
		}
	}
}
