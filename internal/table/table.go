// Package table gives the ordered store typed, sealed collections.
//
// # Rows
//
// A row's key is the collection's name and the parts of the record's key, with
// a zero byte before each part:
//
//	sm.secret 00 111122223333 00 eu-west-1 00 app/db
//
// Parts never contain a zero byte, so tuples order part by part, and a
// collection or a prefix of it is one key range. Keys are readable on disk; they
// hold ids, names and times and never a value.
//
// A row's value is the record in CBOR (RFC 8949, integer keys, decoded
// strictly), sealed under the store key with the whole key as associated data: a
// row that was moved, altered or copied from elsewhere does not open
// and is reported as [ErrDamaged]. The blob's format is drawn in package envelope.
//
// Index rows are kept by the collection itself in the transaction that writes the record.
// Their key is the index's name and its parts, their sealed value is the
// record's key.
//
// # Cache
//
// Records that were read are kept decoded in one bounded cache. An entry knows
// the version of the store it was read at; a commit removes what it
// wrote before any transaction can start that sees the commit, and an entry read
// from an old snapshot is not taken in after a newer commit. So a transaction
// that is served from the cache sees exactly its own snapshot.
// Cached records are shared: Get's result must not be changed, nor a record after
// Put. Load and Edit give a private copy to change and Put.
package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"coffer/internal/kv"
)

var (
	// ErrNotFound is returned by Get and Load for a key without a record.
	ErrNotFound = kv.ErrNotFound
	// ErrDamaged wraps every sign that a row is not what was written.
	ErrDamaged = errors.New("table: damaged row")
)

// Sealer seals row values; envelope.Sealer is the one used.
type Sealer interface {
	Seal(dst, plaintext, aad []byte) []byte
	Open(dst, blob, aad []byte) ([]byte, error)
}

// Config says what a DB is made of.
type Config struct {
	Store      kv.Store
	Sealer     Sealer
	CacheBytes int // bound of the cache of decoded records; 0 means 48 MiB, negative none
}

// DB is a store with sealed values. Safe for concurrent use.
type DB struct {
	store  kv.Store
	sealer Sealer
	cache  *cache
}

// New returns a DB over cfg.Store. It must be called before the store's first
// transaction, because the cache learns of commits from the store.
func New(cfg Config) *DB {
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = 48 << 20
	}
	db := &DB{store: cfg.Store, sealer: cfg.Sealer, cache: newCache(cfg.CacheBytes)}
	cfg.Store.OnCommit(db.cache.invalidate)
	return db
}

// Tx is a transaction over sealed collections. Not for concurrent use.
type Tx struct {
	kv    kv.Tx
	db    *DB
	dirty map[string]written // records written in this transaction

	// indexed is what stands in the indexes for records that were loaded or
	// written here, one list per index: Put and Delete need not read the record
	// a second time to find its old index rows. nil in View.
	indexed map[string][][]Key

	// scratch is room for the key of a row that is looked up. View only: an
	// Update's store keeps the keys it is asked for.
	scratch []byte
}

// ReadOnly reports whether the transaction is a View.
func (tx *Tx) ReadOnly() bool { return tx.dirty == nil }

// written is a record of this transaction; value is nil if it was deleted.
type written struct {
	value any
	size  int // of the sealed row; 0 if it is not to be cached
}

// remember takes what was written into the cache: what was just written is
// what is read or written next. It runs inside the commit, after the cache has
// dropped the older records.
func (tx *Tx) remember(version uint64) {
	for row, w := range tx.dirty {
		if w.value != nil && w.size > 0 {
			tx.db.cache.put([]byte(row), w.value, w.size, version)
		}
	}
}

// View runs f on a snapshot; see kv.Store. f may run again.
func (db *DB) View(ctx context.Context, f func(*Tx) error) error {
	v := viewers.Get().(*viewer)
	v.tx.db, v.f = db, f
	err := db.store.View(ctx, v.run)
	v.tx.kv, v.tx.db, v.f = nil, nil, nil
	viewers.Put(v)
	return err
}

// viewer is a View under way. Views are pooled, with the function that the
// store calls and room for a row's key: a read opens two and looks up three rows.
type viewer struct {
	tx  Tx
	f   func(*Tx) error
	run func(kv.Tx) error
}

var viewers = sync.Pool{New: func() any {
	v := new(viewer)
	v.tx.scratch = make([]byte, 0, 256)
	v.run = func(tx kv.Tx) error {
		v.tx.kv = tx
		return v.f(&v.tx)
	}
	return v
}}

// Update runs f and commits what it wrote; see kv.Store. f may run again.
func (db *DB) Update(ctx context.Context, f func(*Tx) error) error {
	return db.store.Update(ctx, func(tx kv.Tx) error {
		t := &Tx{kv: tx, db: db, dirty: make(map[string]written), indexed: make(map[string][][]Key)}
		tx.Committed(t.remember)
		return f(t)
	})
}

// CacheStats returns the hits, misses and bytes of the record cache since start.
func (db *DB) CacheStats() (hits, misses, bytes int64) { return db.cache.stats() }

// Key is the encoded tuple of a record's key, without the collection's name.
type Key string

// K builds a key from parts. A part with a zero byte makes the key invalid:
// it finds nothing and cannot be written.
func K(parts ...string) Key {
	n := len(parts)
	for _, p := range parts {
		n += len(p)
	}
	var b strings.Builder
	b.Grow(n)
	for _, p := range parts {
		b.WriteByte(0)
		if strings.IndexByte(p, 0) >= 0 {
			return invalidKey
		}
		b.WriteString(p)
	}
	return Key(b.String())
}

const invalidKey Key = "invalid"

// Parts returns the tuple.
func (k Key) Parts() []string {
	if k == "" || k[0] != 0 {
		return nil
	}
	return strings.Split(string(k[1:]), "\x00")
}

// Collection is the records of one type. Declare it as a package variable
// literal: it holds no state.
type Collection[T any] struct {
	Name    string // prefix of its rows: letters, digits and dots
	Indexes []Index[T]
	NoCache bool // for records read once

	// CacheAbsent remembers that a record is not there as well. For rows that
	// are looked for again and again and often absent; not where anybody can
	// choose the key, who could fill the cache with nothing.
	CacheAbsent bool
	// Key returns the key a record must be stored under; used by Put and fsck.
	Key func(*T) Key
	// Clone, if set, copies a record deeply enough that changing the copy does
	// not change the original; it lets Edit start from the cache.
	Clone func(*T) *T
}

// Index is an ordering of a collection's records. Keys returns the tuples that
// a record is found under: usually one, none if it is not in the index.
type Index[T any] struct {
	Name string
	Keys func(*T) []Key
}

func (c *Collection[T]) row(k Key) ([]byte, error) {
	if k == "" || k[0] != 0 {
		return nil, fmt.Errorf("table: invalid key in %s", c.Name)
	}
	b := make([]byte, 0, len(c.Name)+len(k))
	return append(append(b, c.Name...), k...), nil
}

// Get returns the record at k, shared and not to be changed, or ErrNotFound.
func (c *Collection[T]) Get(tx *Tx, k Key) (*T, error) {
	if k == "" || k[0] != 0 {
		return nil, ErrNotFound // no record can have such a key
	}
	return c.get(tx, append(append(tx.scratch[:0], c.Name...), k...))
}

// Find is Get with the parts of the key: it saves the reads of every call making one.
func (c *Collection[T]) Find(tx *Tx, parts ...string) (*T, error) {
	row := append(tx.scratch[:0], c.Name...)
	for _, p := range parts {
		if strings.IndexByte(p, 0) >= 0 {
			return nil, ErrNotFound
		}
		row = append(append(row, 0), p...)
	}
	return c.get(tx, row)
}

func (c *Collection[T]) get(tx *Tx, row []byte) (*T, error) {
	if tx.scratch != nil {
		tx.scratch = row
	}
	if tx.dirty != nil {
		if w, ok := tx.dirty[string(row)]; ok {
			if w.value == nil {
				return nil, ErrNotFound
			}
			return w.value.(*T), nil
		}
	}
	if !c.NoCache {
		if v, from, ok := tx.db.cache.get(row, tx.kv.Version()); ok {
			tx.kv.Observe(row, from)
			if v == absent {
				return nil, ErrNotFound
			}
			return v.(*T), nil
		}
	}
	v, size, err := c.read(tx, row)
	if err != nil {
		if c.CacheAbsent && errors.Is(err, ErrNotFound) {
			tx.db.cache.put(row, absent, 0, tx.kv.Version())
		}
		if len(c.Indexes) > 0 && tx.indexed != nil && errors.Is(err, ErrNotFound) {
			tx.indexed[string(row)] = nil
		}
		return nil, err
	}
	if !c.NoCache {
		tx.db.cache.put(row, v, size, tx.kv.Version())
	}
	return v, nil
}

// Load returns a private copy of the record at k, to be changed and Put, or
// ErrNotFound.
func (c *Collection[T]) Load(tx *Tx, k Key) (*T, error) {
	row, err := c.row(k)
	if err != nil {
		return nil, ErrNotFound
	}
	v, _, err := c.read(tx, row)
	if len(c.Indexes) > 0 && tx.indexed != nil {
		switch {
		case err == nil:
			tx.indexed[string(row)] = c.indexKeys(v)
		case errors.Is(err, ErrNotFound):
			tx.indexed[string(row)] = nil
		}
	}
	return v, err
}

// Edit is Load through the cache, for records that are often read and then
// written. The collection must have a Clone.
func (c *Collection[T]) Edit(tx *Tx, k Key) (*T, error) {
	v, err := c.Get(tx, k)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if row, rerr := c.row(k); rerr == nil && len(c.Indexes) > 0 && tx.indexed != nil {
		if _, known := tx.indexed[string(row)]; !known {
			tx.indexed[string(row)] = c.indexKeys(v)
		}
	}
	if err != nil {
		return nil, err
	}
	return c.Clone(v), nil
}

// absent stands in the cache for a record that is not there.
var absent any = new(struct{ _ byte })

// indexKeys is where v stands in each index; nil for no record.
func (c *Collection[T]) indexKeys(v *T) [][]Key {
	if v == nil {
		return nil
	}
	keys := make([][]Key, len(c.Indexes))
	for i := range c.Indexes {
		keys[i] = c.Indexes[i].Keys(v)
	}
	return keys
}

func (c *Collection[T]) read(tx *Tx, row []byte) (*T, int, error) {
	blob, err := tx.kv.Get(row)
	if err != nil {
		return nil, 0, err
	}
	v, err := c.decode(tx.db, row, blob)
	return v, len(blob), err
}

func (c *Collection[T]) decode(db *DB, row, blob []byte) (*T, error) {
	plain, err := db.sealer.Open(nil, blob, row)
	if err != nil {
		return nil, fmt.Errorf("%w %q: %w", ErrDamaged, row, err)
	}
	v := new(T)
	if err := decMode.Unmarshal(plain, v); err != nil {
		return nil, fmt.Errorf("%w %q: %w", ErrDamaged, row, err)
	}
	return v, nil
}

// Put stores v under its key and brings the indexes in line. v must not be
// changed afterwards.
func (c *Collection[T]) Put(tx *Tx, v *T) error {
	row, err := c.row(c.Key(v))
	if err != nil {
		return err
	}
	if err := c.reindex(tx, row, c.Key(v), v); err != nil {
		return err
	}
	plain, err := encMode.Marshal(v)
	if err != nil {
		return fmt.Errorf("table: encode %s: %w", c.Name, err)
	}
	blob := tx.db.sealer.Seal(nil, plain, row)
	if err := tx.kv.Put(row, blob); err != nil {
		return err
	}
	w := written{value: v, size: len(blob)}
	if c.NoCache {
		w.size = 0
	}
	tx.dirty[string(row)] = w
	return nil
}

// Insert is Put for a record that is known not to exist: it does not look. If it
// exists after all, index rows of the old one are left behind, which fsck finds.
func (c *Collection[T]) Insert(tx *Tx, v *T) error {
	if row, err := c.row(c.Key(v)); err == nil && tx.indexed != nil {
		tx.indexed[string(row)] = nil
	}
	return c.Put(tx, v)
}

// Delete removes the record at k and its index rows; an absent one is fine.
func (c *Collection[T]) Delete(tx *Tx, k Key) error {
	row, err := c.row(k)
	if err != nil {
		return err
	}
	if err := c.reindex(tx, row, k, nil); err != nil {
		return err
	}
	if err := tx.kv.Delete(row); err != nil {
		return err
	}
	tx.dirty[string(row)] = written{}
	return nil
}

// reindex replaces the index rows of the record under row by those of now, nil
// for none.
func (c *Collection[T]) reindex(tx *Tx, row []byte, k Key, now *T) error {
	if len(c.Indexes) == 0 {
		return nil
	}
	was, known := tx.indexed[string(row)]
	if !known {
		if _, err := c.Load(tx, k); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		was = tx.indexed[string(row)]
	}
	is := c.indexKeys(now)
	for i := range c.Indexes {
		ix := &c.Indexes[i]
		var old, fresh []Key
		if was != nil {
			old = was[i]
		}
		if is != nil {
			fresh = is[i]
		}
		for _, k := range old {
			if has(fresh, k) {
				continue
			}
			if err := tx.kv.Delete(ix.row(k)); err != nil {
				return err
			}
		}
		for _, k := range fresh {
			if has(old, k) {
				continue
			}
			if k == "" || k[0] != 0 {
				return fmt.Errorf("table: invalid key in index %s", ix.Name)
			}
			r := ix.row(k)
			if err := tx.kv.Put(r, tx.db.sealer.Seal(nil, row, r)); err != nil {
				return err
			}
		}
	}
	if tx.indexed != nil {
		tx.indexed[string(row)] = is
	}
	return nil
}

func has(ks []Key, k Key) bool {
	for _, x := range ks {
		if x == k {
			return true
		}
	}
	return false
}

func (ix *Index[T]) row(k Key) []byte {
	b := make([]byte, 0, len(ix.Name)+len(k))
	return append(append(b, ix.Name...), k...)
}

// Range is a part of a collection or index, in key order.
type Range struct {
	Prefix  Key  // rows whose key has all of these parts; the last part may be cut short only if Partial
	Partial bool // Prefix's last part is itself a prefix
	Exact   bool // only the row whose key is Prefix itself
	After   Key  // start behind this key (in the scan's direction); empty: from the beginning
	Reverse bool
}

func (r Range) bounds(name string) (start, end []byte) {
	start = append([]byte(name), r.Prefix...)
	if r.Exact {
		return start, append(append([]byte(nil), start...), 0)
	}
	if !r.Partial {
		start = append(start, 0)
	}
	end = successor(start)
	if r.After != "" {
		// After may come from a client's token: it narrows the range, never widens it.
		after := append([]byte(name), r.After...)
		if r.Reverse {
			if end == nil || bytes.Compare(after, end) < 0 {
				end = after
			}
		} else if after = append(after, 0); bytes.Compare(after, start) > 0 {
			start = after
		}
	}
	return start, end
}

// successor is the first key behind every key that starts with b.
func successor(b []byte) []byte {
	end := append([]byte(nil), b...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

// Entry is a record met by a scan, with the key it was met under.
type Entry[T any] struct {
	Key   Key
	Value *T
}

// Scan yields the records of a range in key order. Records are private copies.
func (c *Collection[T]) Scan(tx *Tx, r Range) iter.Seq2[Entry[T], error] {
	return func(yield func(Entry[T], error) bool) {
		start, end := r.bounds(c.Name)
		for row, err := range tx.kv.Scan(start, end, r.Reverse) {
			if err != nil {
				yield(Entry[T]{}, err)
				return
			}
			v, err := c.decode(tx.db, row.Key, row.Value)
			if err != nil {
				yield(Entry[T]{}, err)
				return
			}
			if !yield(Entry[T]{Key(row.Key[len(c.Name):]), v}, nil) {
				return
			}
		}
	}
}

// ScanIndex yields the index keys of a range with the keys of their records, in
// order; Get fetches the records. The index row is authenticated.
func (c *Collection[T]) ScanIndex(tx *Tx, index string, r Range) iter.Seq2[IndexEntry, error] {
	return func(yield func(IndexEntry, error) bool) {
		start, end := r.bounds(index)
		for row, err := range tx.kv.Scan(start, end, r.Reverse) {
			if err != nil {
				yield(IndexEntry{}, err)
				return
			}
			primary, err := tx.db.sealer.Open(nil, row.Value, row.Key)
			if err != nil || !strings.HasPrefix(string(primary), c.Name) {
				yield(IndexEntry{}, fmt.Errorf("%w %q in index %s", ErrDamaged, row.Key, index))
				return
			}
			if !yield(IndexEntry{Key(row.Key[len(index):]), Key(primary[len(c.Name):])}, nil) {
				return
			}
		}
	}
}

// IndexEntry is a row of an index: its own key and the key of the record.
type IndexEntry struct {
	Key, Record Key
}

var (
	encMode = must(cbor.EncOptions{Sort: cbor.SortNone, IndefLength: cbor.IndefLengthForbidden}.EncMode())
	// Strict: a row that we would not have written is not ours.
	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   16,
	}.DecMode())
)

// MarshalBytes is the CBOR of a byte string, for types that store bytes under a
// guard of their own.
func MarshalBytes(b []byte) ([]byte, error) { return encMode.Marshal(b) }

// UnmarshalBytes is the inverse of MarshalBytes.
func UnmarshalBytes(p []byte) ([]byte, error) {
	var b []byte
	err := decMode.Unmarshal(p, &b)
	return b, err
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // a wrong option literal; any test finds it
	}
	return v
}
