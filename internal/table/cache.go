package table

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// cache holds decoded records by row key, bounded by the bytes of their rows.
//
// Each shard remembers the newest commit that removed anything from it: a
// record read from a snapshot older than that may be stale and is not taken
// in. That is coarser than per key, and needs no memory per key.
type cache struct {
	seed   maphash.Seed
	shards [64]shard
	hits   atomic.Int64
	misses atomic.Int64
}

type shard struct {
	mu      sync.Mutex
	entries map[string]int // index into ring
	ring    []entry        // CLOCK: a hit sets used, the hand clears it and takes the first unused
	free    []int
	hand    int
	bytes   int
	limit   int
	changed uint64 // version of the newest commit that wrote a key of this shard
}

type entry struct {
	key   string
	value any
	from  uint64 // the record is what every version from here on sees
	size  int
	used  bool
}

// What an entry costs beside its row: map slot, ring slot, decoded pointers.
const entryOverhead = 256

func newCache(limit int) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].limit = limit / len(c.shards)
		c.shards[i].entries = make(map[string]int)
	}
	return c
}

func (c *cache) shard(key []byte) *shard {
	return &c.shards[maphash.Bytes(c.seed, key)%uint64(len(c.shards))]
}

// get returns the record of key if it is right for a transaction that sees
// version, and the version it is known to be right from.
func (c *cache) get(key []byte, version uint64) (any, uint64, bool) {
	s := c.shard(key)
	s.mu.Lock()
	i, ok := s.entries[string(key)]
	if !ok || s.ring[i].from > version {
		s.mu.Unlock()
		c.misses.Add(1)
		return nil, 0, false
	}
	e := &s.ring[i]
	e.used = true
	v, from := e.value, e.from
	s.mu.Unlock()
	c.hits.Add(1)
	return v, from, true
}

// put takes in a record that a transaction read from its snapshot at version.
func (c *cache) put(key []byte, value any, size int, version uint64) {
	s := c.shard(key)
	size += len(key) + entryOverhead
	s.mu.Lock()
	defer s.mu.Unlock()
	if version < s.changed || size > s.limit {
		return
	}
	if i, ok := s.entries[string(key)]; ok {
		if s.ring[i].from > version {
			s.ring[i].from = version
		}
		return
	}
	for s.bytes+size > s.limit {
		s.evict()
	}
	e := entry{key: string(key), value: value, from: version, size: size}
	i := len(s.ring)
	if n := len(s.free); n > 0 {
		i, s.free = s.free[n-1], s.free[:n-1]
		s.ring[i] = e
	} else {
		s.ring = append(s.ring, e)
	}
	s.entries[e.key] = i
	s.bytes += size
}

// evict removes the first entry not used since the hand last passed. The shard
// is not empty: bytes > 0.
func (s *shard) evict() {
	for {
		s.hand = (s.hand + 1) % len(s.ring)
		e := &s.ring[s.hand]
		if e.value == nil {
			continue
		}
		if e.used {
			e.used = false
			continue
		}
		s.remove(s.hand)
		return
	}
}

func (s *shard) remove(i int) {
	s.bytes -= s.ring[i].size
	delete(s.entries, s.ring[i].key)
	s.ring[i] = entry{}
	s.free = append(s.free, i)
}

// invalidate is the store's commit hook.
func (c *cache) invalidate(version uint64, keys [][]byte) {
	for _, k := range keys {
		s := c.shard(k)
		s.mu.Lock()
		s.changed = version
		if i, ok := s.entries[string(k)]; ok {
			s.remove(i)
		}
		s.mu.Unlock()
	}
}

func (c *cache) stats() (hits, misses, bytes int64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		bytes += int64(s.bytes)
		s.mu.Unlock()
	}
	return c.hits.Load(), c.misses.Load(), bytes
}
