package cloudwatchlogs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"coffer/internal/api"
	logsapi "coffer/internal/api/logs"
	"coffer/internal/table"
)

// retentions are the days that a policy may name ("PutRetentionPolicy").
var retentions = []int64{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// sweepEvery is how long ExpireDue leaves a group alone that has nothing to remove.
const sweepEvery = hour

// Expiry is a group with a retention policy, for ExpireDue. Apart from the group's own row,
// which every call reads.
type Expiry struct {
	Account string       `cbor:"1,keyasint"`
	Region  string       `cbor:"2,keyasint"`
	Name    string       `cbor:"3,keyasint"`
	Due     table.Millis `cbor:"4,keyasint"` // when it is to be looked at
}

const expiryIndex = "logs.expiry.due"

// Expiries are the groups with a retention policy.
var Expiries = table.Collection[Expiry]{
	Name:    "logs.expiry",
	NoCache: true,
	Key:     func(e *Expiry) table.Key { return table.K(e.Account, e.Region, e.Name) },
	Indexes: []table.Index[Expiry]{{Name: expiryIndex, Keys: func(e *Expiry) []table.Key {
		return []table.Key{table.K(e.Due.Part(), e.Account, e.Region, e.Name)}
	}}},
}

func putRetentionPolicy(r *api.Request, in *logsapi.PutRetentionPolicyInput, t *target) (*logsapi.PutRetentionPolicyOutput, error) {
	if !slices.Contains(retentions, *in.RetentionInDays) {
		all := strings.Trim(strings.ReplaceAll(fmt.Sprint(retentions), " ", ", "), "[]")
		return nil, invalid(fmt.Sprintf("1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [%s]", *in.RetentionInDays, all))
	}
	g, err := t.change(r)
	if err != nil {
		return nil, err
	}
	g.Retention = int(*in.RetentionInDays)
	return &logsapi.PutRetentionPolicyOutput{}, errors.Join(
		Groups.Put(r.Tx, g),
		Expiries.Put(r.Tx, &Expiry{Account: g.Account, Region: g.Region, Name: g.Name, Due: table.At(r.Time)}),
	)
}

// deleteRetentionPolicy also succeeds where there is none.
func deleteRetentionPolicy(r *api.Request, _ *logsapi.DeleteRetentionPolicyInput, t *target) (*logsapi.DeleteRetentionPolicyOutput, error) {
	g, err := t.change(r)
	if err != nil {
		return nil, err
	}
	g.Retention = 0
	return &logsapi.DeleteRetentionPolicyOutput{}, errors.Join(Groups.Put(r.Tx, g), Expiries.Delete(r.Tx, Groups.Key(g)))
}

// sweepAtOnce bounds one transaction of ExpireDue: a chunk takes three operations of the 128 there
// are, and the count of its stream's bytes up to two, of 16 such counts.
const sweepAtOnce = 24

// ExpireDue removes chunks of one group whose events have all been kept long enough. A chunk that
// covers much time stays until its newest event could have expired, up to 37 hours longer.
func (s *Service) ExpireDue(r *api.Request) (more bool, err error) {
	var due *Expiry
	for e, err := range Expiries.ScanIndex(r.Tx, expiryIndex, table.Range{}) {
		if err != nil {
			return false, err
		}
		if e.Key.Parts()[0] <= table.At(r.Time).Part() {
			if due, err = Expiries.Load(r.Tx, e.Record); err != nil {
				return false, err
			}
		}
		break
	}
	if due == nil {
		return false, nil
	}
	g, err := Groups.Get(r.Tx, Expiries.Key(due))
	if err != nil {
		return false, err // they are deleted together
	}
	if done, err := g.sweep(r); !done || err != nil {
		return true, err
	}
	due.Due = table.At(r.Time) + sweepEvery
	return true, Expiries.Put(r.Tx, due)
}

// sweep removes up to sweepAtOnce chunks behind the horizon; done: there are no more.
func (g *Group) sweep(r *api.Request) (done bool, err error) {
	horizon := g.horizon(table.At(r.Time))
	if horizon <= 0 {
		return true, nil
	}
	var gone []*Chunk
	for class, span := range spans {
		for e, err := range Chunks.Scan(r.Tx, table.Range{Prefix: g.part(classPart(class))}) {
			if errors.Is(err, table.ErrDamaged) {
				break // fsck tells of it; the other classes must not wait for that
			}
			if err != nil {
				return false, err
			}
			if e.Value.First+span >= horizon || len(gone) == sweepAtOnce {
				break
			}
			gone = append(gone, e.Value)
		}
	}
	return len(gone) < sweepAtOnce, removeChunks(r.Tx, gone)
}
