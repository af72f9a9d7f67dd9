package material

import (
	"sync"
	"sync/atomic"
)

// entry is one unwrapped material. Only secret, within, and used change after load.
type entry struct {
	keyID      string
	materialID string
	header     [headerSize]byte
	kind       *kind
	secret     secret
	public     []byte      // as in Wrapped
	used       atomic.Bool // since the clock hand last passed
}

// cache keeps the materials in use, by material id; a full one evicts by the
// clock algorithm, which unlike LRU writes nothing on a hit that the last hit
// has not written already.
type cache struct {
	drops atomic.Uint64 // calls of forget

	mu   sync.RWMutex
	byID map[string]*entry
	ring []*entry
	hand int
	max  int
}

func newCache(max int) cache {
	return cache{byID: make(map[string]*entry), max: max}
}

func (c *cache) get(materialID string) *entry {
	c.mu.RLock()
	e := c.byID[materialID]
	c.mu.RUnlock()
	if e != nil && !e.used.Load() {
		e.used.Store(true)
	}
	return e
}

// put keeps e and returns it, or the entry that another call was quicker to
// put, and then zeroes e. drops is what it was before e was loaded: if forget
// ran since, e may be of a key that is gone, so it is not kept and the caller
// zeroes it after use.
func (c *cache) put(e *entry, drops uint64) (_ *entry, kept bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drops.Load() != drops {
		return e, false
	}
	if first := c.byID[e.materialID]; first != nil {
		e.secret.destroy()
		return first, true
	}
	c.byID[e.materialID] = e
	if len(c.ring) < c.max {
		c.ring = append(c.ring, e)
		return e, true
	}
	for c.ring[c.hand].used.Swap(false) {
		c.hand = (c.hand + 1) % len(c.ring)
	}
	old := c.ring[c.hand]
	delete(c.byID, old.materialID)
	old.secret.destroy()
	c.ring[c.hand] = e
	c.hand = (c.hand + 1) % len(c.ring)
	return e, true
}

func (c *cache) forget(match func(*entry) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops.Add(1)
	kept := c.ring[:0]
	for _, e := range c.ring {
		if match(e) {
			delete(c.byID, e.materialID)
			e.secret.destroy()
		} else {
			kept = append(kept, e)
		}
	}
	clear(c.ring[len(kept):])
	c.ring, c.hand = kept, 0
}
