package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"coffer/internal/arn"
	"coffer/internal/audit"
	"coffer/internal/fault"
	"coffer/internal/gateway"
	"coffer/internal/iam"
	"coffer/internal/table"
)

// Explanation is what the audit log knows of one request: its own call, and
// those that services made on its behalf.
type Explanation struct {
	RequestID string          `json:"requestId"`
	Calls     []ExplainedCall `json:"calls"` // the caller's first

	// Names of control policies, units and accounts that the decisions tell of by id, as
	// they are now; nothing of what is gone.
	Names map[string]string `json:"names,omitempty"`
}

// ExplainedCall is one call with the decisions it took.
type ExplainedCall struct {
	Time         string                `json:"time"`
	Action       string                `json:"action"` // service and operation: "secretsmanager.amazonaws.com GetSecretValue"
	Region       string                `json:"region"`
	Principal    string                `json:"principal"`          // ARN; the name of a service that called for itself
	Account      string                `json:"account,omitempty"`  // of the principal, or for strangers the one they called
	Provider     string                `json:"provider,omitempty"` // that speaks for the holder of a foreign token
	Subject      string                `json:"subject,omitempty"`  // who that holder is to the provider
	AccessKeyID  string                `json:"accessKeyId,omitempty"`
	Through      string                `json:"through,omitempty"` // the service that made the call, for the principal or itself
	SourceIP     string                `json:"sourceIp,omitempty"`
	ErrorCode    string                `json:"errorCode,omitempty"`
	ErrorMessage string                `json:"errorMessage,omitempty"`
	Reason       string                `json:"reason,omitempty"` // what the caller was not told
	Decisions    []audit.Authorization `json:"decisions"`        // none: it was answered before anything was decided

	// Of a service event, which is no call: what it tells. Nothing is decided for it.
	Event map[string]any `json:"event,omitempty"`
}

// explainFirst is how many of the newest records are looked through first, and
// explainWindow how many at once behind them: mostly the request is of just now.
const (
	explainFirst  = 20_000
	explainWindow = 500_000
)

// explain finds the records of a request in the audit log, from the newest back.
func (s *Server) explain(ctx context.Context, id string) (Explanation, error) {
	out := Explanation{RequestID: id}
	if len(id) != 36 || strings.Trim(id, "0123456789abcdef-") != "" {
		return out, fmt.Errorf("%q is no request id: one looks like 0b1c2d3e-4f50-4617-a829-3a4b5c6d7e8f; `coffer explain --last` lists those of the last denials", id)
	}
	end := s.log.Head().Seq
	for window := uint64(explainFirst); end > 0; window = explainWindow {
		from := end - min(end, window)
		if err := s.explainIn(ctx, &out, from, end); err != nil {
			return out, err
		}
		if len(out.Calls) > 0 {
			// The records of one request stand together; a window's edge may part them.
			if err := s.explainRest(ctx, &out, from); err != nil {
				return out, err
			}
			// A call is recorded behind those made on its behalf: it ends after them.
			slices.SortStableFunc(out.Calls, func(a, b ExplainedCall) int {
				return cmp.Compare(min(len(a.Through), 1), min(len(b.Through), 1))
			})
			return out, s.nameThem(ctx, &out)
		}
		end = from
	}
	return out, fmt.Errorf("the audit log has no record of request %s", id)
}

// explainRest looks just before a window for records of the same request.
func (s *Server) explainRest(ctx context.Context, out *Explanation, end uint64) error {
	before := Explanation{RequestID: out.RequestID}
	err := s.explainIn(ctx, &before, end-min(end, 1000), end)
	out.Calls = append(before.Calls, out.Calls...)
	return err
}

// explainIn adds what stands behind record from, up to record to.
func (s *Server) explainIn(ctx context.Context, out *Explanation, from, to uint64) error {
	want := []byte(`"requestID":"` + out.RequestID + `"`)
	for e, err := range s.log.Read(ctx, from) {
		if err != nil {
			return err
		}
		if e.Seq > to {
			return nil
		}
		if !bytes.Contains(e.Record, want) {
			continue
		}
		rec, err := audit.ParseRecord(e.Record)
		if err != nil {
			return err
		}
		if rec.RequestID != out.RequestID { // another's parameters quote it
			continue
		}
		decisions, reason, err := rec.Decisions()
		if err != nil {
			return fmt.Errorf("record %d: %w", e.Seq, err)
		}
		if decisions == nil {
			decisions = []audit.Authorization{}
		}
		c := explained(&rec, decisions, reason)
		if rec.EventType == audit.TypeServiceEvent {
			c.Event = map[string]any{}
			if len(rec.AdditionalEventData) > 0 {
				if err := json.Unmarshal(rec.AdditionalEventData, &c.Event); err != nil {
					return fmt.Errorf("record %d: %w", e.Seq, err)
				}
			}
		}
		out.Calls = append(out.Calls, c)
	}
	return nil
}

func explained(rec *audit.Record, decisions []audit.Authorization, reason string) ExplainedCall {
	id := &rec.UserIdentity
	c := ExplainedCall{
		Time: rec.EventTime.Format("2006-01-02T15:04:05Z"), Action: rec.EventSource + " " + rec.EventName, Region: rec.AWSRegion,
		Principal: principalOf(id), Account: cmp.Or(id.AccountID, rec.RecipientAccountID), AccessKeyID: id.AccessKeyID, Through: id.InvokedBy,
		SourceIP: rec.SourceIPAddress, ErrorCode: rec.ErrorCode, ErrorMessage: rec.ErrorMessage, Reason: reason, Decisions: decisions,
	}
	if id.Type == audit.TypeWebIdentityUser || id.Type == audit.TypeSAMLUser {
		c.Provider, c.Subject = id.IdentityProvider, id.UserName
	}
	return c
}

// principalOf is who made a call: its ARN if it has one.
func principalOf(id *audit.Identity) string {
	if id.Type == audit.TypeAWSService {
		return id.InvokedBy
	}
	return id.ARN
}

// nameThem finds the names of what people know by name and the record has by id.
func (s *Server) nameThem(ctx context.Context, out *Explanation) error {
	return s.db.View(ctx, func(tx *table.Tx) error {
		out.Names = make(map[string]string)
		name := func(id string) error {
			name, err := iam.NameOf(tx, id)
			if name != "" {
				out.Names[id] = name
			}
			return err
		}
		var err error
		for _, c := range out.Calls {
			for _, d := range c.Decisions {
				for _, s := range d.By {
					err = errors.Join(err, name(s.Policy))
				}
				for _, n := range d.Near {
					err = errors.Join(err, name(n.Policy))
				}
				for _, l := range d.Lacking {
					err = errors.Join(err, name(l.At))
					for _, p := range l.Policies {
						err = errors.Join(err, name(p))
					}
				}
			}
		}
		return err
	})
}

// whoCan answers a question of the command line, in which the account may be
// named and left out.
func (s *Server) whoCan(ctx context.Context, q gateway.Question) (gateway.Answer, error) {
	if q.Region == "" {
		q.Region = s.cfg.Region
	}
	if here := arn.Partition(s.cfg.Region); arn.Partition(q.Region) != here {
		return gateway.Answer{}, fmt.Errorf("region %s is not served here: this server is in partition %s", q.Region, here)
	}
	if q.Account == "" {
		q.Account = s.account
	}
	if !iam.IsAccountID(q.Account) {
		err := s.db.View(ctx, func(tx *table.Tx) error {
			a, err := iam.FindAccount(tx, q.Account)
			if err == nil {
				q.Account = a.ID
			}
			return err
		})
		if err != nil {
			return gateway.Answer{}, err
		}
	}
	a, err := s.gate.WhoCan(ctx, q)
	if fe, ok := fault.As(err); ok && fe.Kind == fault.NotFound {
		return a, s.notThere(ctx, q, fe)
	}
	return a, err
}

// notThere says where something was looked for.
func (s *Server) notThere(ctx context.Context, q gateway.Question, fe *fault.Error) error {
	name := ""
	if err := s.db.View(ctx, func(tx *table.Tx) (err error) { name, err = iam.NameOf(tx, q.Account); return err }); err != nil {
		return err
	}
	account := q.Account
	if name != "" {
		account += " (" + name + ")"
	}
	return fmt.Errorf("%s There is no %q in account %s, region %s; --account and --region say where to look", fe.Message, q.Resource, account, q.Region)
}
