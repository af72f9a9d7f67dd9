package gateway

import (
	"context"
	"encoding/json"
	"fmt"

	"coffer/internal/api"
	"coffer/internal/arn"
	"coffer/internal/audit"
	"coffer/internal/table"
)

// RunTask runs one transaction's worth of a service's background task, and
// commits the records of what it did with it.
func (g *Gateway) RunTask(ctx context.Context, t *api.Task) (more bool, err error) {
	if err := g.cfg.Log.Err(); err != nil {
		return false, fmt.Errorf("the audit log cannot be written: %w", err)
	}
	c := g.own(ctx, t.Service)
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
		if err := c.recordEvents(&c.req, t.Service); err != nil {
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

// own begins a call of a service's worker.
func (g *Gateway) own(ctx context.Context, s *api.Service) *call {
	c := newCall()
	c.g, c.start, c.service = g, g.cfg.Now(), s
	c.req = api.Request{
		Context:   ctx,
		ID:        api.NewID(),
		Time:      table.At(c.start).Time(),
		SourceIP:  s.EventSource,
		UserAgent: s.EventSource,
		Principal: servicePrincipal(s),
		Secure:    true,
		Caller:    c,
		Directory: g.directory,
		Read:      c.methods.reading,
	}
	return c
}

// CallAsService makes a call for a worker of the service s, as s itself and on behalf
// of the resource source, in a transaction of the call's own.
func (g *Gateway) CallAsService(ctx context.Context, s *api.Service, source string, op *api.Operation, in api.Struct) (out api.Struct, err error) {
	a, err := arn.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("gateway: %s calls for %q: %w", s.Name, source, err)
	}
	err = g.Work(ctx, s, a.Region, func(r *api.Request) (err error) {
		out, err = r.Caller.CallAsService(r, source, op, in)
		return err
	})
	return out, err
}

// Work runs f for a worker of the service s, as s itself, in a region and without a
// transaction: what f calls and stores has transactions of its own.
func (g *Gateway) Work(ctx context.Context, s *api.Service, region string, f func(*api.Request) error) (err error) {
	if err := g.cfg.Log.Err(); err != nil {
		return fmt.Errorf("the audit log cannot be written: %w", err)
	}
	c := g.own(ctx, s)
	c.req.Region, c.req.Write = region, c.write
	defer func() {
		if v := recover(); v != nil {
			err = g.panicked(c, v)
		}
	}()
	err = f(&c.req)
	if len(c.records) > 0 { // those of mutations are committed with them
		if failed := g.cfg.Log.Append(c.records...); failed != nil {
			return failed
		}
	}
	for _, f := range c.req.TakeAfter() {
		f()
	}
	return err
}

// recordEvents renders the service events of a request.
func (c *call) recordEvents(r *api.Request, s *api.Service) error {
	for _, e := range r.TakeEvents() {
		id := e.RequestID
		if id == "" {
			id = r.ID
		}
		data, err := json.Marshal(e.Data)
		if err != nil {
			return err
		}
		rec := audit.Record{
			UserIdentity:        audit.Identity{AccountID: e.Account, InvokedBy: s.EventSource},
			EventTime:           r.Time,
			EventSource:         s.EventSource,
			EventName:           e.Name,
			AWSRegion:           e.Region,
			SourceIPAddress:     s.EventSource,
			UserAgent:           s.EventSource,
			ErrorCode:           e.Code,
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
