package iam

import (
	"errors"
	"fmt"
	"strconv"

	iamapi "coffer/internal/api/iam"
	"coffer/internal/table"
)

// Count is how many things of a kind an account has. To count them by looking
// would take the longer the more there are.
type Count struct {
	Account string `cbor:"1,keyasint"`
	Kind    string `cbor:"2,keyasint"`
	N       int    `cbor:"3,keyasint"`
}

// Counts holds the counts by account and kind. A count of none has no row.
var Counts = table.Collection[Count]{
	Name: "iam.count",
	Key:  func(c *Count) table.Key { return table.K(c.Account, c.Kind) },
}

// counter counts the things of one kind. Each kind has a row of its own, so that
// who makes a user does not wait for who makes a role.
type counter struct {
	kind  string
	quota string // as AWS names it
	limit int
}

// The quotas are ours and wide: AWS raises its own (5,000 users, 300 groups,
// 1,000 roles and instance profiles, 1,500 policies) on request.
var (
	userCounter    = counter{"user", "UsersPerAccount", 100_000}
	groupCounter   = counter{"group", "GroupsPerAccount", 100_000}
	roleCounter    = counter{"role", "RolesPerAccount", 100_000}
	profileCounter = counter{"instance-profile", "InstanceProfilesPerAccount", 100_000}
	policyCounter  = counter{"policy", "PoliciesPerAccount", 100_000}
	versionCounter = counter{"policy-version", "PolicyVersionsInUse", 500_000}
	deviceCounter  = counter{"mfa", "VirtualMFADevicesPerAccount", 100_000}
	inUseCounter   = counter{"mfa-in-use", "MFADevicesInUse", 100_000}
)

// count is how many there are.
func (c *counter) count(tx *table.Tx, account string) (int, error) {
	row, err := Counts.Get(tx, table.K(account, c.kind))
	switch {
	case errors.Is(err, table.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return row.N, nil
}

// add counts one more, within the quota.
func (c *counter) add(tx *table.Tx, account string) error {
	n, err := c.count(tx, account)
	if err != nil {
		return err
	}
	if n >= c.limit {
		return quotaExceeded(c.quota, c.limit)
	}
	return Counts.Put(tx, &Count{Account: account, Kind: c.kind, N: n + 1})
}

// remove counts one less.
func (c *counter) remove(tx *table.Tx, account string) error {
	n, err := c.count(tx, account)
	switch {
	case err != nil:
		return err
	case n < 1:
		return fmt.Errorf("iam: account %s counts %d of %s and loses one", account, n, c.kind)
	case n == 1:
		return Counts.Delete(tx, table.K(account, c.kind))
	}
	return Counts.Put(tx, &Count{Account: account, Kind: c.kind, N: n - 1})
}

func quotaExceeded(quota string, limit int) error {
	return iamapi.LimitExceededException("Cannot exceed quota for " + quota + ": " + strconv.Itoa(limit))
}
