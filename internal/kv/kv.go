// Package kv is the storage contract: an ordered, transactional map of byte
// keys to byte values that every driver satisfies in the same way.
//
// # Promises
//
//   - Transactions are serializable. Update validates at commit everything its
//     closure read (keys and ranges); when another commit changed any of it the
//     closure runs again, so a closure must touch nothing but the transaction
//     and variables it sets anew on every run.
//   - When Update returns nil, its writes are on stable storage. Concurrent
//     writers share syncs.
//   - View sees one snapshot, and returns nil only when everything it read is on
//     stable storage: nobody is told of a write that a crash can take back.
//     A View closure too may run again.
//   - A value damaged on disk is reported as [ErrCorrupt], never returned.
//   - Keys order by bytes. Keys are 1 to [MaxKey] bytes, values 0 to [MaxValue].
//
// # Limits
//
// The contract is written from the weakest driver to come (etcd's defaults):
// one transaction does at most [MaxOps] gets, puts, deletes and scans and
// writes at most [MaxTxBytes] of keys and values. A driver refuses more with
// [ErrTooLarge], so that code that works on one driver works on all.
// In Update a scan visits at most [MaxUpdateScan] rows, then yields
// [ErrTooLarge]; in View a scan is not bounded.
package kv

import (
	"context"
	"errors"
	"iter"
)

const (
	MaxKey        = 4 << 10    // bytes in a key
	MaxValue      = 1 << 20    // bytes in a value
	MaxOps        = 128        // gets, puts, deletes and scans in one Update
	MaxTxBytes    = 1536 << 10 // bytes of keys and values written in one Update
	MaxUpdateScan = 1000       // rows one scan may visit inside Update
)

var (
	// ErrNotFound is returned by Get for a key that has no value.
	ErrNotFound = errors.New("kv: not found")
	// ErrConflict is returned by Update when the closure kept losing against
	// other writers until the driver gave up.
	ErrConflict = errors.New("kv: conflict")
	// ErrTooLarge is returned when a key, value, transaction or scan passes a limit.
	ErrTooLarge = errors.New("kv: too large")
	// ErrReadOnly is returned by Put and Delete inside View.
	ErrReadOnly = errors.New("kv: read-only transaction")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("kv: closed")
	// ErrCorrupt wraps what a driver found to be damaged, with the file and place.
	ErrCorrupt = errors.New("kv: corrupt")
	// ErrLocked is returned by a driver's Open when another process has the directory.
	ErrLocked = errors.New("kv: in use by another process")
)

// Store is an ordered transactional map. All methods may be called
// concurrently.
type Store interface {
	// View runs f on a read-only snapshot. The error of f is returned as it is.
	View(ctx context.Context, f func(Tx) error) error

	// Update runs f and commits what it wrote. If f returns an error nothing is
	// written and the error is returned as it is, once what f read is durable.
	// A limit that a Put, Delete or Scan ran into makes Update fail even if f
	// overlooked it. ctx bounds waiting and retries (then the error is
	// ErrConflict and ctx's cause); once a commit has begun, it is waited for.
	// A commit whose sync fails poisons the store: this and every later Update
	// fails. An Update must not run inside another one.
	Update(ctx context.Context, f func(Tx) error) error

	// OnCommit registers f to be called in commit order for every commit,
	// after its success is certain except for the sync, and before any
	// transaction can start that sees it. f gets the commit's version and the
	// keys it wrote; it must not keep the slice, block, or call the store.
	// Register before the first transaction.
	OnCommit(f func(version uint64, keys [][]byte))

	// Close waits for transactions under way and releases the store.
	Close() error
}

// Tx is one transaction. It is not for concurrent use, and not for use after
// its closure has returned. Byte slices returned by Get and Scan are valid
// until the closure returns and must not be changed; slices given to Put and
// Delete must not be changed until then.
type Tx interface {
	// Get returns the value of key, or ErrNotFound. It sees the
	// transaction's own writes.
	Get(key []byte) ([]byte, error)

	// Put sets key to value at commit.
	Put(key, value []byte) error

	// Delete removes key at commit; absent keys are fine.
	Delete(key []byte) error

	// Scan yields the rows with start <= key < end in key order, or in
	// reverse order if reverse is set. A nil end means the end of the
	// store. It sees the transaction's own writes made before the call.
	// An error ends the sequence. The loop may stop early; in
	// Update only the range that was really visited is validated at commit.
	Scan(start, end []byte, reverse bool) iter.Seq2[Row, error]

	// Version is the version of the newest commit this transaction sees.
	// Versions grow by at least one with every commit and survive nothing:
	// they start anew when the store is opened.
	Version() uint64

	// Observe records that the caller used what key held at version
	// without reading it here (it came from a cache, filled by a
	// transaction that saw version <= Version()). In Update, the key joins what is validated
	// at commit. In View, the transaction waits on return until version is durable.
	Observe(key []byte, version uint64)

	// Committed sets f to be called with the version of this transaction's own
	// commit, after the store's OnCommit hooks and under their rules. A second call
	// replaces the first; in View, and when nothing is committed, f is not called.
	Committed(f func(version uint64))
}

// Row is one key and its value.
type Row struct {
	Key, Value []byte
}
