package server

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"coffer/internal/audit"
	"coffer/internal/iam"
	"coffer/internal/table"
)

// DenialsQuery asks for the most recent denials.
type DenialsQuery struct {
	Last      int    `json:"last"`      // how many, 1 to 1000
	Account   string `json:"account"`   // ID or name, of the caller or the one called; empty: any
	Principal string `json:"principal"` // ARN, or its end such as user/ana; empty: any
}

// Denial is a request that was denied.
type Denial struct {
	Time      string `json:"time"`
	RequestID string `json:"requestId"`
	Principal string `json:"principal"` // ARN; the name of a service; of the holder of a foreign token, who the provider says it is
	Action    string `json:"action"`    // that was denied; not the call's own if a service made it on the caller's behalf
	Resource  string `json:"resource"`
	ErrorCode string `json:"errorCode"`
}

// Denials are denials, the newest first.
type Denials struct {
	Denials []Denial `json:"denials"`
}

const maxDenials = 1000

// denials finds the most recent denials in the audit log, from the newest back.
func (s *Server) denials(ctx context.Context, q DenialsQuery) (Denials, error) {
	q.Last = min(max(q.Last, 1), maxDenials)
	if q.Account != "" {
		err := s.db.View(ctx, func(tx *table.Tx) error {
			a, err := iam.FindAccount(tx, q.Account)
			if err == nil {
				q.Account = a.ID
			}
			return err
		})
		if err != nil && !(s.cfg.Dev && iam.IsAccountID(q.Account)) { // with --dev every account is there
			return Denials{}, err
		}
	}
	out := Denials{Denials: []Denial{}}
	end := s.log.Head().Seq
	for window := uint64(explainFirst); end > 0 && len(out.Denials) < q.Last; window = explainWindow {
		from := end - min(end, window)
		found, err := s.denialsIn(ctx, q, from, end)
		if err != nil {
			return out, err
		}
		for _, d := range found {
			// A window's edge may part the records of one request.
			if n := len(out.Denials); n > 0 && out.Denials[n-1].RequestID == d.RequestID {
				continue
			}
			out.Denials = append(out.Denials, d)
		}
		end = from
	}
	out.Denials = out.Denials[:min(len(out.Denials), q.Last)]
	return out, nil
}

// denialsIn is the last denials behind record from, up to record to, the newest first.
func (s *Server) denialsIn(ctx context.Context, q DenialsQuery, from, to uint64) ([]Denial, error) {
	var found []Denial
	for e, err := range s.log.Read(ctx, from) {
		if err != nil {
			return nil, err
		}
		if e.Seq > to {
			break
		}
		if !bytes.Contains(e.Record, []byte(`"errorCode":"AccessDenied`)) {
			continue
		}
		rec, err := audit.ParseRecord(e.Record)
		if err != nil {
			return nil, err
		}
		d, ok, err := denialOf(&rec, q)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		// A call that failed by one made on its behalf stands behind that, which tells more.
		if n := len(found); n == 0 || found[n-1].RequestID != d.RequestID {
			found = append(found, d)
		}
		if len(found) >= 2*q.Last { // only the last count
			found = append(found[:0], found[len(found)-q.Last:]...)
		}
	}
	slices.Reverse(found)
	return found, nil
}

func denialOf(rec *audit.Record, q DenialsQuery) (d Denial, ok bool, err error) {
	if !strings.HasPrefix(rec.ErrorCode, "AccessDenied") {
		return d, false, nil // a parameter quotes it
	}
	id := &rec.UserIdentity
	d = Denial{
		Time: rec.EventTime.Format("2006-01-02T15:04:05Z"), RequestID: rec.RequestID, Principal: principalOf(id), Resource: "*", ErrorCode: rec.ErrorCode,
		Action: strings.TrimSuffix(rec.EventSource, ".amazonaws.com") + ":" + rec.EventName,
	}
	if d.Principal == "" {
		d.Principal = id.PrincipalID
	}
	if q.Account != "" && id.AccountID != q.Account && rec.RecipientAccountID != q.Account ||
		q.Principal != "" && d.Principal != q.Principal && !strings.HasSuffix(d.Principal, "/"+q.Principal) && !strings.HasSuffix(d.Principal, ":"+q.Principal) {
		return d, false, nil
	}
	decisions, _, err := rec.Decisions()
	if len(decisions) > 0 {
		d.Resource = decisions[0].Resource // of the call; it may have been refused though it was allowed
	}
	for _, of := range decisions {
		if !of.Allowed {
			d.Action, d.Resource = of.Action, of.Resource
		}
	}
	return d, true, err
}
