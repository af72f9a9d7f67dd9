package gateway

import (
	"context"
	"encoding/json"
	"fmt"

	"coffer/internal/api"
	"coffer/internal/audit"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// RunTask runs one transaction's worth of a service's background task, and
// commits the records of what it did with it.
func (g *Gateway) RunTask(ctx context.Context, t *api.Task) (more bool, err error) {
	if err := g.cfg.Log.Err(); err != nil {
		return false, fmt.Errorf("the audit log cannot be written: %w", err)
	}
	c := newCall()
	c.g, c.start, c.service = g, g.cfg.Now(), t.Service
	source := t.Service.EventSource
	c.req = api.Request{
		Context:   ctx,
		ID:        api.NewID(),
		Time:      table.At(c.start).Time(),
		SourceIP:  source,
		UserAgent: source,
		Principal: api.Principal{Caller: policy.Caller{Type: policy.AWSService, Service: source}},
		Secure:    true,
		Caller:    c,
		Directory: g.directory,
		Read:      c.methods.reading,
	}
	defer func() {
		if v := recover(); v != nil {
			err = g.panicked(c, v)
		}
	}()
	err = g.cfg.DB.Update(ctx, func(tx *table.Tx) error {
		c.begin(tx)
		more, err = t.Run(&c.req)
		if err != nil {
			return err
		}
		if err := c.recordEvents(t.Service); err != nil {
			return err
		}
		if len(c.records) == 0 {
			return nil
		}
		return g.cfg.Outbox.put(tx, c.req.Time, c.req.ID, c.records)
	})
	if err != nil {
		return false, err
	}
	if len(c.records) > 0 {
		g.cfg.Outbox.committed(c.req.Time, c.req.ID, c.records)
	}
	for _, f := range c.req.TakeAfter() {
		f()
	}
	return more, nil
}

// recordEvents renders the service events of the request.
func (c *call) recordEvents(s *api.Service) error {
	for _, e := range c.req.TakeEvents() {
		id := e.RequestID
		if id == "" {
			id = c.req.ID
		}
		data, err := json.Marshal(e.Data)
		if err != nil {
			return err
		}
		rec := audit.Record{
			UserIdentity:        audit.Identity{AccountID: e.Account, InvokedBy: s.EventSource},
			EventTime:           c.req.Time,
			EventSource:         s.EventSource,
			EventName:           e.Name,
			AWSRegion:           e.Region,
			SourceIPAddress:     s.EventSource,
			UserAgent:           s.EventSource,
			ErrorMessage:        e.Error,
			AdditionalEventData: data,
			RequestID:           id,
			EventID:             api.NewID(),
			EventType:           audit.TypeServiceEvent,
			RecipientAccountID:  e.Account,
		}
		c.records = append(c.records, rec.AppendJSON(nil))
	}
	return nil
}
