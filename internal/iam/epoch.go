package iam

import (
	"errors"

	"coffer/internal/table"
)

// Epoch counts the changes of what decides over an account's principals:
// policies, attachments, memberships, boundaries, tags, roles and users that go.
// Each such change writes the row; so a transaction that has read it knows that
// what was loaded at the same count still holds, and fails to commit if it does not.
//
// The row of the organisation, "organization" in place of an account, counts the
// changes of organisations: members, units, control policies.
type Epoch struct {
	Of string `cbor:"1,keyasint"`
	N  uint64 `cbor:"2,keyasint"`
}

const organizationEpoch = "organization"

// Epochs holds them by account.
var Epochs = table.Collection[Epoch]{
	Name:        "iam.epoch",
	CacheAbsent: true, // read by every call, and absent until something has changed
	Key:         func(e *Epoch) table.Key { return table.K(e.Of) },
}

var organizationsKey = table.K(organizationEpoch)

func epoch(tx *table.Tx, of table.Key) (uint64, error) {
	e, err := Epochs.Get(tx, of)
	switch {
	case errors.Is(err, table.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return e.N, nil
}

// changed counts a change. It belongs into every transaction that changes what Epoch tells of.
func changed(tx *table.Tx, of string) error {
	n, err := epoch(tx, table.K(of))
	if err != nil {
		return err
	}
	return Epochs.Put(tx, &Epoch{Of: of, N: n + 1})
}
