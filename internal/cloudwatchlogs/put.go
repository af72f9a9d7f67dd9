package cloudwatchlogs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"coffer/internal/api"
	logsapi "coffer/internal/api/logs"
	"coffer/internal/table"
)

const (
	tooOld = 14 * day
	tooNew = 2 * hour

	textOrder      = "Log events in a single PutLogEvents request must be in chronological order."
	textSpan       = "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
	textBatchSize  = "Upload too large: %d bytes exceeds limit of %d"
	textEventSize  = "Log event too large: %d bytes exceeds limit of %d"
	textTimeBeyond = "The timestamp of a log event is out of range."
)

func resolvePutLogEvents(r *api.Request, in *logsapi.PutLogEventsInput) (*target, api.Access, error) {
	return onStream(r, in.LogGroupName, nil, in.LogStreamName)
}

func putLogEvents(r *api.Request, in *logsapi.PutLogEventsInput, t *target) (*logsapi.PutLogEventsOutput, error) {
	events, err := batch(in.LogEvents)
	if err != nil {
		return nil, err
	}
	g, s, err := t.existingStream(r, *in.LogStreamName)
	if err != nil {
		return nil, err
	}
	out := &logsapi.PutLogEventsOutput{}
	if events, out.RejectedLogEventsInfo = g.accept(events, table.At(r.Time)); len(events) > 0 {
		if events[len(events)-1].Time-events[0].Time > maxBatchSpan {
			return nil, invalid(textSpan)
		}
		if s, err = Streams.Edit(r.Tx, Streams.Key(s)); err != nil {
			return nil, err
		}
		if err := s.append(r, events); err != nil {
			return nil, err
		}
	}
	out.NextSequenceToken = new(s.token())
	return out, nil
}

// batch checks the events of a call as far as their group does not matter.
func batch(in []logsapi.InputLogEventSensitive) ([]Event, error) {
	events := make([]Event, len(in))
	size := int64(0)
	for i := range in {
		e := Event{table.Millis(*in[i].Timestamp), in[i].Message}
		switch {
		case e.size() > maxEventSize:
			return nil, invalid(fmt.Sprintf(textEventSize, e.size(), maxEventSize))
		case e.Time > maxTime:
			return nil, invalid(textTimeBeyond)
		case i > 0 && e.Time < events[i-1].Time:
			return nil, invalid(textOrder)
		}
		events[i] = e
		size += e.size()
	}
	if size > maxBatchSize {
		return nil, invalid(fmt.Sprintf(textBatchSize, size, maxBatchSize))
	}
	return events, nil
}

// accept leaves out what is too old, expired or too new, and says where that ends or begins.
func (g *Group) accept(events []Event, now table.Millis) ([]Event, *logsapi.RejectedLogEventsInfo) {
	var info logsapi.RejectedLogEventsInfo
	before := func(t table.Millis) int {
		n, _ := slices.BinarySearchFunc(events, t, func(e Event, t table.Millis) int { return cmp.Compare(e.Time, t) })
		return n
	}
	from, to := 0, before(now+tooNew+1)
	if n := before(now - tooOld); n > 0 {
		from, info.TooOldLogEventEndIndex = n, new(int64(n))
	}
	if n := before(g.horizon(now)); n > from {
		from, info.ExpiredLogEventEndIndex = n, new(int64(n))
	}
	if to < len(events) {
		info.TooNewLogEventStartIndex = new(int64(to))
	}
	if from == 0 && to == len(events) {
		return events, nil
	}
	return events[min(from, to):to], &info
}

// append stores sorted events that fit one transaction: maxBatchSize, maxBatch and
// maxBatchSpan hold. s is a private copy.
func (s *Stream) append(r *api.Request, events []Event) error {
	now := table.At(r.Time)
	size := int64(0)
	for _, c := range s.chunks(events, now) {
		// No two calls have the same number, so there is none with this key.
		if err := Chunks.Insert(r.Tx, c); err != nil {
			return err
		}
		size += c.Size
	}
	if s.Puts == 0 || events[0].Time < s.First {
		s.First = events[0].Time
	}
	s.Last = max(s.Last, events[len(events)-1].Time)
	s.Ingested = now
	s.Puts++
	return errors.Join(Streams.Put(r.Tx, s), grow(r.Tx, s.Account, s.Region, s.Group, s.UID, size))
}

// token is a sequence token. Nobody has to send it.
func (s *Stream) token() string {
	return digits(place{time: s.Last, ingested: s.Ingested, stream: s.UID, order: uint64(s.Puts) << orderBits})
}

// What one call of Ingest takes: events, bytes of their messages with 26 more for each event, and
// milliseconds between the first and the last.
const (
	MaxIngestEvents = maxBatch
	MaxIngestBytes  = maxBatchSize
	MaxIngestSpan   = int64(maxBatchSpan)
)

// Ingest appends events to a stream in r's transaction, and makes the stream and its group if
// need be. It is for services whose own output it is: nobody is asked for permission, and no
// event is too old. The events are sorted by time; those at the same time keep their order. What is
// not UTF-8 in a message is replaced, and empty messages are left out. More than
// MaxIngestEvents, MaxIngestBytes or MaxIngestSpan is an error, and two calls do not fit in one
// transaction when they are large: splitting is the caller's.
func (s *Service) Ingest(r *api.Request, account, region, group, stream string, events []Event) error {
	events = slices.Clone(events)
	size := int64(0)
	for i := range events {
		events[i].Message = bytes.ToValidUTF8(events[i].Message, []byte("?")) // no longer than what it replaces
		size += events[i].size()
	}
	events = slices.DeleteFunc(events, func(e Event) bool { return len(e.Message) == 0 })
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.Time, b.Time) })
	switch n := len(events); {
	case n == 0:
		return nil
	case n > maxBatch, size > maxBatchSize, events[n-1].Time-events[0].Time > maxBatchSpan, events[0].Time < 0, events[n-1].Time > maxTime:
		return fmt.Errorf("cloudwatchlogs: %d events of %d bytes from %d to %d do not go into one call", n, size, events[0].Time, events[n-1].Time)
	}
	g, err := Groups.Get(r.Tx, table.K(account, region, group))
	if errors.Is(err, table.ErrNotFound) {
		g = &Group{Account: account, Region: region, Name: group, UID: newUID(), Created: table.At(r.Time), Class: logsapi.LogGroupClassStandard}
		err = Groups.Put(r.Tx, g)
	}
	if err != nil {
		return err
	}
	st, err := Streams.Edit(r.Tx, g.part(stream))
	if errors.Is(err, table.ErrNotFound) {
		st, err = g.fresh(stream, table.At(r.Time)), nil
	}
	if err != nil {
		return err
	}
	return st.append(r, events)
}
