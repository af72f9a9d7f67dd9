package lambda

import (
	"errors"
	"fmt"
	"time"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/table"
)

// Queued is an event of an asynchronous invocation, from the answer to its caller until
// the function has dealt with it or it was tried often enough. Package dispatch takes
// them from here.
type Queued struct {
	ID            string       `cbor:"1,keyasint"` // of the request, which the function sees in every try
	Account       string       `cbor:"2,keyasint"` // of the function
	Region        string       `cbor:"3,keyasint"`
	Name          string       `cbor:"4,keyasint"`
	UID           string       `cbor:"5,keyasint,omitempty"` // of the function; empty: a built-in one
	Qualifier     string       `cbor:"6,keyasint,omitempty"`
	Payload       []byte       `cbor:"7,keyasint"`
	ClientContext string       `cbor:"8,keyasint,omitempty"`
	At            table.Millis `cbor:"9,keyasint"`
	Due           table.Millis `cbor:"10,keyasint"`
	Failed        int          `cbor:"11,keyasint,omitempty"` // tries that the function failed
	Held          int          `cbor:"12,keyasint,omitempty"` // tries in a row that it did not get the event
	Owner         string       `cbor:"13,keyasint,omitempty"` // process that works on it
	Retries       int          `cbor:"14,keyasint"`           // most tries after the first
	Until         table.Millis `cbor:"15,keyasint"`           // no try begins after
}

// Backlog counts what is queued for an account in a region.
type Backlog struct {
	Account string `cbor:"1,keyasint"`
	Region  string `cbor:"2,keyasint"`
	Events  int    `cbor:"3,keyasint"`
}

const (
	eventDue   = "lambda.event.due"
	eventOwner = "lambda.event.owner"

	// Of an event that is queued, in bytes ("Lambda quotas", as long as it was 256 KB:
	// a row of the store holds it), and how many there may be for an account.
	maxQueued = 256 << 10
	maxEvents = 10_000

	// How often and long an event is tried ("Error handling for asynchronous invocation").
	maxRetries  = 2
	maxAge      = 6 * time.Hour
	firstHold   = time.Second
	longestHold = 5 * time.Minute

	textQueued  = "%d byte payload is too large for the Event invocation type (limit %d bytes)"
	textBacklog = "Too many events of asynchronous invocations are waiting."
)

// The collections of events.
var (
	Events = table.Collection[Queued]{
		Name:    "lambda.event",
		NoCache: true,
		Key:     func(q *Queued) table.Key { return table.K(q.ID) },
		Indexes: []table.Index[Queued]{
			{Name: eventDue, Keys: func(q *Queued) []table.Key {
				if q.Owner != "" {
					return nil
				}
				return []table.Key{table.K(q.Due.Part(), q.Account, q.ID)}
			}},
			{Name: eventOwner, Keys: func(q *Queued) []table.Key {
				if q.Owner == "" {
					return nil
				}
				return []table.Key{table.K(q.Owner, q.ID)}
			}},
		},
	}
	Backlogs = table.Collection[Backlog]{
		Name: "lambda.backlog",
		Key:  func(b *Backlog) table.Key { return table.K(b.Account, b.Region) },
	}
)

// enqueue stores an event for later.
func (s *Service) enqueue(r *api.Request, t *target, e Event) error {
	if len(e.Payload) > maxQueued {
		return lambdaapi.RequestTooLargeException(fmt.Sprintf(textQueued, len(e.Payload), maxQueued))
	}
	q := &Queued{
		ID: e.RequestID, Account: t.account, Region: t.region, Name: t.name, Qualifier: t.qualifier,
		Payload: e.Payload, ClientContext: e.ClientContext, At: table.At(r.Time), Due: table.At(r.Time),
	}
	if t.function != nil {
		q.UID = t.function.UID
	}
	if r.Write == nil {
		return errors.New("lambda: an event cannot be queued inside a transaction")
	}
	err := r.Write(func(tx *table.Tx) error {
		var c *EventConfig
		if t.function != nil {
			var err error
			if c, err = t.function.eventConfig(tx, t.qualifier); err != nil {
				return err
			}
		}
		retries, age := c.limits()
		q.Retries, q.Until = retries, table.At(r.Time.Add(age))
		if err := queue(tx, q.Account, q.Region, 1); err != nil {
			return err
		}
		return Events.Insert(tx, q)
	})
	if err == nil {
		s.wake()
	}
	return err
}

// queue counts n more events.
func queue(tx *table.Tx, account, region string, n int) error {
	b, err := Backlogs.Load(tx, table.K(account, region))
	if errors.Is(err, table.ErrNotFound) {
		b, err = &Backlog{Account: account, Region: region}, nil
	}
	if err != nil {
		return err
	}
	if b.Events += n; n > 0 && b.Events > maxEvents {
		return lambdaapi.TooManyRequestsException(textBacklog).With("Reason", "CallerRateLimitExceeded")
	}
	return Backlogs.Put(tx, b)
}

func (s *Service) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// Woken tells that an event was queued.
func (s *Service) Woken() <-chan struct{} { return s.woken }

// NextEvent is when the next event is due; zero if none waits.
func (s *Service) NextEvent(tx *table.Tx) (time.Time, error) {
	for e, err := range Events.ScanIndex(tx, eventDue, table.Range{}) {
		if err != nil {
			return time.Time{}, err
		}
		q, err := Events.Get(tx, e.Record)
		if err != nil {
			return time.Time{}, fmt.Errorf("index %s: %w", eventDue, err)
		}
		return q.Due.Time(), nil
	}
	return time.Time{}, nil
}

// ClaimEvents gives up to n events that are due to owner, a process, but those of accounts
// that have to wait. It looks at a bounded number of them, behind after if that is given;
// next is where to go on looking, empty at the end.
func (s *Service) ClaimEvents(r *api.Request, owner string, n int, wait func(account string) bool, after table.Key) (claimed []Queued, next table.Key, err error) {
	now, looked := table.At(r.Time).Part(), 0
	var keys []table.Key
	for e, err := range Events.ScanIndex(r.Tx, eventDue, table.Range{After: after}) {
		if err != nil {
			return nil, "", err
		}
		parts := e.Key.Parts()
		if len(keys) == n || parts[0] > now {
			next = ""
			break
		}
		if looked++; looked > claimLook {
			break
		}
		next = e.Key
		if !wait(parts[1]) {
			keys = append(keys, e.Record)
		}
	}
	if looked <= claimLook {
		next = "" // that was the end, or enough
	}
	for _, k := range keys {
		q, err := Events.Load(r.Tx, k)
		if err != nil {
			return nil, "", fmt.Errorf("index %s: %w", eventDue, err)
		}
		q.Owner = owner
		if err := Events.Put(r.Tx, q); err != nil {
			return nil, "", err
		}
		claimed = append(claimed, *q)
	}
	return claimed, next, nil
}

// claimLook bounds how many events one claim looks at.
const claimLook = 500

// ReleaseEvents takes events from the processes other than owner, which are gone.
func (s *Service) ReleaseEvents(r *api.Request, owner string) (more bool, err error) {
	var keys []table.Key
	for e, err := range Events.ScanIndex(r.Tx, eventOwner, table.Range{}) {
		if err != nil {
			return false, err
		}
		if e.Key.Parts()[0] == owner {
			continue
		}
		if keys = append(keys, e.Record); len(keys) == releaseAtOnce {
			break
		}
	}
	for _, k := range keys {
		q, err := Events.Load(r.Tx, k)
		if err != nil {
			return false, fmt.Errorf("index %s: %w", eventOwner, err)
		}
		q.Owner = ""
		if err := Events.Put(r.Tx, q); err != nil {
			return false, err
		}
	}
	return len(keys) == releaseAtOnce, nil
}

// releaseAtOnce keeps a transaction within the bytes that it may write.
const releaseAtOnce = 4

// Outcome is how a try to deliver an event ended.
type Outcome uint8

const (
	Delivered Outcome = iota // the function has dealt with it
	Failed                   // the function failed
	Held                     // it did not get the event, but may later
	Dropped                  // there is nobody to get it any more
)

// String is the outcome as metrics name it.
func (o Outcome) String() string {
	return [...]string{"delivered", "failed", "held", "dropped"}[o&3]
}

// Deliver gives a claimed event to its function, for a request without a transaction. The
// error says why it was not delivered.
func (s *Service) Deliver(r *api.Request, q *Queued) (Outcome, error) {
	ref := reference{region: q.Region, account: q.Account, name: q.Name, qualifier: q.Qualifier}
	var t *target
	err := within(r, func(tx *table.Tx) (err error) {
		if t, err = s.read(r, tx, ref); err != nil {
			return err
		}
		return t.route(tx)
	})
	if err != nil {
		return Held, err
	}
	if t.version == nil || t.function != nil && t.function.UID != q.UID || t.function == nil && q.UID != "" {
		return Dropped, nil
	}
	answer, err := s.run(r, t, Event{RequestID: q.ID, InvokedARN: ref.arn(), Payload: q.Payload, ClientContext: q.ClientContext})
	switch {
	case err != nil:
		return Held, err
	case answer.Failed:
		return Failed, nil
	}
	return Delivered, nil
}

// Settle stores how a try ended: the event is gone, or will be tried again.
func (s *Service) Settle(r *api.Request, id string, o Outcome) error {
	q, err := Events.Load(r.Tx, table.K(id))
	if errors.Is(err, table.ErrNotFound) {
		return nil // settled before
	}
	if err != nil {
		return err
	}
	q.Owner = ""
	var wait time.Duration
	switch o {
	case Failed:
		q.Failed++
		q.Held = 0
		// "Lambda waits one minute before the first retry and two before the second."
		wait = time.Duration(q.Failed) * time.Minute
	case Held:
		wait = min(firstHold<<min(q.Held, 16), longestHold)
		q.Held++
	default:
		wait = -1
	}
	q.Due = table.At(r.Time.Add(wait))
	if wait < 0 || q.Failed > q.Retries || q.Due > q.Until {
		if err := queue(r.Tx, q.Account, q.Region, -1); err != nil {
			return err
		}
		return Events.Delete(r.Tx, table.K(id))
	}
	return Events.Put(r.Tx, q)
}
