package cloudwatchlogs

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"coffer/internal/api"
	logsapi "coffer/internal/api/logs"
)

// Tasker runs one transaction of a service; the gateway is one.
type Tasker interface {
	RunTask(ctx context.Context, t *api.Task) (more bool, err error)
}

// Writer puts what services log themselves, such as Lambda for functions, into their streams: as
// the system, so that a function's log does not depend on its role's policy. Safe for concurrent use.
type Writer struct {
	service *Service
	tasker  Tasker
	slots   chan struct{}
}

// NewWriter returns a Writer that has at most atOnce transactions under way. Who comes
// then has to wait: many loud functions must not take the store from callers.
func NewWriter(s *Service, t Tasker, atOnce int) *Writer {
	return &Writer{s, t, make(chan struct{}, atOnce)}
}

// Write puts events into a stream, and makes the stream and its group if need be; see
// Ingest. There may be any number of them: each part of them that Ingest takes is a
// transaction. put is how many are stored when an error ends it, those with the oldest times: whoever
// tries again leaves out as many. It waits until ctx ends for a slot.
func (w *Writer) Write(ctx context.Context, account, region, group, stream string, events []Event) (put int, err error) {
	events = slices.Clone(events)
	for i := range events {
		events[i].Message = bytes.ToValidUTF8(events[i].Message, []byte("?"))
	}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.Time, b.Time) })
	for put < len(events) {
		part := events[put : put+fitting(events[put:])]
		if err := w.ingest(ctx, account, region, group, stream, part); err != nil {
			return put, err
		}
		put += len(part)
	}
	return put, nil
}

func (w *Writer) ingest(ctx context.Context, account, region, group, stream string, events []Event) error {
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-w.slots }()
	_, err := w.tasker.RunTask(ctx, &api.Task{Name: "logs.write", Service: logsapi.Service, Run: func(r *api.Request) (bool, error) {
		return false, w.service.Ingest(r, account, region, group, stream, events)
	}})
	return err
}

// fitting is how many of sorted events go into one call of Ingest, at least one.
func fitting(events []Event) int {
	size := int64(0)
	for i := range events {
		size += events[i].size()
		if i > 0 && (i == maxBatch || size > maxBatchSize || events[i].Time-events[0].Time > maxBatchSpan) {
			return i
		}
	}
	return len(events)
}
