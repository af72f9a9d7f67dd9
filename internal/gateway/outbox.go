package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"coffer/internal/audit"
	"coffer/internal/table"
)

// pending is the audit records of one mutation, committed with it.
type pending struct {
	Time    table.Millis `cbor:"1,keyasint"`
	ID      string       `cbor:"2,keyasint"` // request id
	Records [][]byte     `cbor:"3,keyasint"`
	After   uint64       `cbor:"4,keyasint"` // the log's last record before the commit: these come behind it
}

func pendingKey(p *pending) table.Key { return table.K(p.Time.Part(), p.ID) }

// Pending holds the records that were committed with their mutation and may
// not have reached the log yet.
var Pending = table.Collection[pending]{Name: "audit.pending", NoCache: true, Key: pendingKey}

// Outbox moves the records of mutations from the store, where they were
// committed with the mutation itself, to the log. A row is removed once the log
// has its records on stable storage. A crash in between neither loses nor doubles
// a record: what is in the store at start is appended unless the log has it.
type Outbox struct {
	db     *table.DB
	log    *audit.Log
	logger *slog.Logger
	wake   chan struct{}

	mu    sync.Mutex
	queue []*pending // not in the log yet

	moved []*pending // in the log, perhaps not synced; of Run's goroutine
}

const (
	// One transaction may delete this many rows: kv.MaxOps less a margin.
	removeBatch = 100
	// moveBatch bounds what is appended at once.
	moveBatch = 1000
	// recoverBatch bounds what Recover holds in memory.
	recoverBatch = 20_000
	// maxPending bounds the mutations whose records wait for the log; beyond it
	// mutations are refused until the log takes records again.
	maxPending = 10_000
	// removeEvery is how long rows stay after they were moved: one sync of the
	// log, and a few transactions, then serve all mutations of that time. A sync per
	// batch was measured to hold up the store's own syncs.
	removeEvery = time.Second
)

var errOutboxFull = fmt.Errorf("the records of %d mutations wait for the audit log", maxPending)

// NewOutbox returns an outbox; Run moves.
func NewOutbox(db *table.DB, log *audit.Log, logger *slog.Logger) *Outbox {
	return &Outbox{db: db, log: log, logger: logger, wake: make(chan struct{}, 1)}
}

// put stores the records of a mutation in its own transaction.
func (o *Outbox) put(tx *table.Tx, now time.Time, id string, records [][]byte) error {
	if o.Len() >= maxPending {
		return errOutboxFull
	}
	return Pending.Put(tx, &pending{table.At(now), id, records, o.log.Head().Seq})
}

// committed queues what put stored, after the commit.
func (o *Outbox) committed(now time.Time, id string, records [][]byte) {
	o.mu.Lock()
	o.queue = append(o.queue, &pending{Time: table.At(now), ID: id, Records: records})
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Len is the number of mutations whose records are not in the log yet.
func (o *Outbox) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue)
}

// Recover moves what an earlier process left behind. Call it before serving.
func (o *Outbox) Recover(ctx context.Context) error {
	for {
		var rows []*pending
		err := o.db.View(ctx, func(tx *table.Tx) error {
			rows = rows[:0]
			for e, err := range Pending.Scan(tx, table.Range{}) {
				if err != nil {
					return err
				}
				if rows = append(rows, e.Value); len(rows) == recoverBatch {
					break
				}
			}
			return nil
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		missing, err := o.missing(ctx, rows)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			if err := o.log.Append(missing...); err != nil {
				return err
			}
		}
		o.moved = rows
		if err := o.remove(ctx); err != nil {
			return err
		}
	}
}

// missing returns the records of rows that the log does not have, in order.
func (o *Outbox) missing(ctx context.Context, rows []*pending) ([][]byte, error) {
	after := rows[0].After
	var ids []string
	var records [][]byte
	for _, p := range rows {
		after = min(after, p.After)
		for _, b := range p.Records {
			rec, err := audit.ParseRecord(b)
			if err != nil {
				return nil, fmt.Errorf("committed record of request %s: %w", p.ID, err)
			}
			ids = append(ids, rec.EventID)
			records = append(records, b)
		}
	}
	found, err := o.log.Contains(ctx, after, ids...)
	if err != nil {
		return nil, err
	}
	var missing [][]byte
	for i, id := range ids {
		if !found[id] {
			missing = append(missing, records[i])
		}
	}
	return missing, nil
}

// Run moves records until ctx ends, then moves what is left.
func (o *Outbox) Run(ctx context.Context) {
	var tick <-chan time.Time // runs only while there is something to do
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			o.move()
			if err := o.remove(last); err != nil {
				o.logger.Error("moved audit records cannot be removed from the store; the next start will", "error", err)
			}
			return
		case <-o.wake:
			o.move()
		case <-tick:
			tick = nil
			o.move() // again, if it failed before
			if err := o.remove(ctx); err != nil && ctx.Err() == nil {
				o.logger.Error("moved audit records cannot be removed from the store yet", "error", err)
			}
		}
		if tick == nil && (len(o.moved) > 0 || o.Len() > 0) {
			tick = time.After(removeEvery)
		}
	}
}

// move appends what is queued. What fails stays queued: it is safe in the store.
func (o *Outbox) move() {
	for {
		o.mu.Lock()
		batch := o.queue[:min(len(o.queue), moveBatch)]
		o.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		var records [][]byte
		for _, p := range batch {
			records = append(records, p.Records...)
		}
		if err := o.log.Append(records...); err != nil {
			o.logger.Error("committed audit records cannot be moved to the log; they are safe in the store and will be tried again", "pending", o.Len(), "error", err)
			return
		}
		// In the log from here on: whatever happens to the rows, they must not be
		// appended again by this process.
		for _, p := range batch {
			o.moved = append(o.moved, &pending{Time: p.Time, ID: p.ID})
		}
		o.mu.Lock()
		o.queue = append([]*pending(nil), o.queue[len(batch):]...)
		o.mu.Unlock()
	}
}

// remove deletes the rows of what was moved, once the log is synced. What
// fails stays to be removed later.
func (o *Outbox) remove(ctx context.Context) error {
	if len(o.moved) == 0 {
		return nil
	}
	if err := o.log.Sync(); err != nil {
		return err
	}
	for len(o.moved) > 0 {
		batch := o.moved[:min(len(o.moved), removeBatch)]
		err := o.db.Update(ctx, func(tx *table.Tx) error {
			for _, p := range batch {
				if err := Pending.Delete(tx, pendingKey(p)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		o.moved = o.moved[len(batch):]
	}
	o.moved = nil
	return nil
}
