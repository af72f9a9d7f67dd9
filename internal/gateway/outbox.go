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
// committed with the mutation itself, to the log. A crash between the two
// neither loses nor doubles a record: what is in the store at start is appended
// unless the log's tail has it.
type Outbox struct {
	db     *table.DB
	log    *audit.Log
	logger *slog.Logger

	mu    sync.Mutex
	queue []*pending
	wake  chan struct{}
}

// One transaction may delete this many rows: kv.MaxOps less a margin.
const moveBatch = 100

// maxPending bounds the mutations whose records wait for the log; beyond it
// mutations are refused until the log takes records again.
const maxPending = 10_000

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
				if rows = append(rows, e.Value); len(rows) == moveBatch {
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
		if err := o.append(missing); err != nil {
			return err
		}
		if err := o.remove(ctx, rows); err != nil {
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
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			o.drain(last)
			return
		case <-o.wake:
			o.drain(ctx)
		}
	}
}

// drain moves until the queue is empty or something fails. What failed stays
// queued, and is tried again after a pause.
func (o *Outbox) drain(ctx context.Context) {
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
		if err := o.append(records); err != nil {
			o.logger.Error("committed audit records cannot be moved to the log; they are safe in the store and will be tried again", "pending", o.Len(), "error", err)
			o.retry(ctx)
			return
		}
		// In the log from here on: whatever happens to the rows, they must not be
		// appended again by this process.
		o.mu.Lock()
		o.queue = o.queue[len(batch):]
		o.mu.Unlock()
		if err := o.remove(ctx, batch); err != nil {
			o.logger.Error("moved audit records cannot be removed from the store; the next start will", "error", err)
		}
	}
}

func (o *Outbox) append(records [][]byte) error {
	if len(records) == 0 {
		return nil
	}
	if err := o.log.Append(records...); err != nil {
		return err
	}
	// The rows hold these records durably; they may go only when the log does.
	return o.log.Sync()
}

func (o *Outbox) retry(ctx context.Context) {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *Outbox) remove(ctx context.Context, rows []*pending) error {
	return o.db.Update(ctx, func(tx *table.Tx) error {
		for _, p := range rows {
			if err := Pending.Delete(tx, pendingKey(p)); err != nil {
				return err
			}
		}
		return nil
	})
}
