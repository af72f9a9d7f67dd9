// Package memory is a kv driver that keeps everything in memory, for tests and
// for development servers.
//
// It promises all of the contract but one thing: stable storage. What Update
// acknowledged is gone when the process is. Everything else, conflicts and
// limits included, is the same code as in the driver on disk (kv/occ), so that
// a test that passes here means something there.
package memory

import (
	"bytes"
	"hash/maphash"

	"coffer/internal/kv"
	"coffer/internal/kv/occ"
)

// Store is a kv.Store in memory.
type Store struct{ *occ.Store }

// New returns an empty store.
func New() *Store { return &Store{occ.New(&engine{seed: maphash.MakeSeed()})} }

// engine holds the newest root of a persistent treap: a commit copies the path
// to each key it changes, so a snapshot is just a root, free to take and to
// drop. The treap (a search tree on keys, a heap on hashes of them) needs no
// rebalancing code, and its shape depends only on the set of keys.
type engine struct {
	root *node
	seed maphash.Seed
}

type node struct {
	key, value  []byte
	priority    uint64
	left, right *node
}

// Snapshot implements occ.Engine.
func (e *engine) Snapshot() (occ.Snapshot, error) { return snapshot{e.root}, nil }

// Apply implements occ.Engine. The caller owns the slices, so they are copied.
func (e *engine) Apply(_, _ uint64, writes []occ.Write) (occ.Pending, error) {
	for _, w := range writes {
		if w.Delete {
			e.root = remove(e.root, w.Key)
			continue
		}
		e.root = insert(e.root, &node{
			key:      bytes.Clone(w.Key),
			value:    append([]byte{}, w.Value...),
			priority: maphash.Bytes(e.seed, w.Key),
		})
	}
	return nil, nil
}

// Close implements occ.Engine.
func (e *engine) Close(error) error {
	e.root = nil
	return nil
}

// insert returns t with n, which is new and may be changed here.
func insert(t, n *node) *node {
	if t == nil {
		return n
	}
	c := bytes.Compare(n.key, t.key)
	if c == 0 {
		n.left, n.right = t.left, t.right
		return n
	}
	up := *t
	if c < 0 {
		up.left = insert(t.left, n)
		if l := up.left; l.priority > up.priority {
			// l is a copy made by insert, so it may be changed.
			up.left, l.right = l.right, &up
			return l
		}
	} else {
		up.right = insert(t.right, n)
		if r := up.right; r.priority > up.priority {
			up.right, r.left = r.left, &up
			return r
		}
	}
	return &up
}

func remove(t *node, key []byte) *node {
	if t == nil {
		return nil
	}
	c := bytes.Compare(key, t.key)
	if c == 0 {
		return merge(t.left, t.right)
	}
	child := t.left
	if c > 0 {
		child = t.right
	}
	next := remove(child, key)
	if next == child {
		return t // not there
	}
	up := *t
	if c < 0 {
		up.left = next
	} else {
		up.right = next
	}
	return &up
}

// merge joins two treaps, all keys of a before those of b.
func merge(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority > b.priority:
		up := *a
		up.right = merge(a.right, b)
		return &up
	default:
		up := *b
		up.left = merge(a, b.left)
		return &up
	}
}

type snapshot struct{ root *node }

// Get implements occ.Snapshot. Values never change, so no copy is needed.
func (s snapshot) Get(key []byte, _ *occ.Arena) ([]byte, error) {
	for t := s.root; t != nil; {
		switch c := bytes.Compare(key, t.key); {
		case c < 0:
			t = t.left
		case c > 0:
			t = t.right
		default:
			return t.value, nil
		}
	}
	return nil, kv.ErrNotFound
}

// Close implements occ.Snapshot.
func (snapshot) Close() error { return nil }

// Scan implements occ.Snapshot.
func (s snapshot) Scan(start, end []byte, reverse bool, _ *occ.Arena) (occ.Cursor, error) {
	c := &cursor{start: start, end: end, reverse: reverse}
	for t := s.root; t != nil; {
		if reverse {
			if end == nil || bytes.Compare(t.key, end) < 0 {
				c.stack = append(c.stack, t)
				t = t.right
			} else {
				t = t.left
			}
		} else if bytes.Compare(t.key, start) >= 0 {
			c.stack = append(c.stack, t)
			t = t.left
		} else {
			t = t.right
		}
	}
	return c, nil
}

// cursor holds the nodes still to visit whose near side is done, next on top.
type cursor struct {
	stack      []*node
	start, end []byte
	reverse    bool
}

// Next implements occ.Cursor.
func (c *cursor) Next() (kv.Row, error) {
	if len(c.stack) == 0 {
		return kv.Row{}, nil
	}
	t := c.stack[len(c.stack)-1]
	c.stack = c.stack[:len(c.stack)-1]
	if c.reverse {
		if bytes.Compare(t.key, c.start) < 0 {
			c.stack = nil
			return kv.Row{}, nil
		}
		for n := t.left; n != nil; n = n.right {
			c.stack = append(c.stack, n)
		}
	} else {
		if c.end != nil && bytes.Compare(t.key, c.end) >= 0 {
			c.stack = nil
			return kv.Row{}, nil
		}
		for n := t.right; n != nil; n = n.left {
			c.stack = append(c.stack, n)
		}
	}
	return kv.Row{Key: t.key, Value: t.value}, nil
}

// Close implements occ.Cursor.
func (c *cursor) Close() error { return nil }
