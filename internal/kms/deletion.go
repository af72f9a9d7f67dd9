package kms

import (
	"errors"
	"strconv"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/table"
)

const (
	minWindow, maxWindow = 7, 30 // days; the model's 1 to 365 is not what AWS takes

	// purgeAliases bounds one transaction of PurgeDue: an alias takes up to
	// four operations of the 128 there are, a key and its policy about ten, and
	// each other key of its set three.
	purgeAliases = 12

	// purgeGrantsAtOnce does so for grants, which take up to five operations each, and the
	// key with its count of them about six.
	purgeGrantsAtOnce = 20
)

func scheduleKeyDeletion(r *api.Request, in *kmsapi.ScheduleKeyDeletionInput, t target) (*kmsapi.ScheduleKeyDeletionOutput, error) {
	days := int64(maxWindow)
	if in.PendingWindowInDays != nil {
		days = *in.PendingWindowInDays
	}
	subject := "'" + strconv.FormatInt(days, 10) + "' at 'pendingWindowInDays'"
	switch {
	case days < minWindow:
		return nil, constraint(subject, "have value greater than or equal to 7")
	case days > maxWindow:
		return nil, constraint(subject, "have value less than or equal to 30")
	}
	k, err := t.change(r)
	if err != nil {
		return nil, err
	}
	if err := k.notPending(); err != nil {
		return nil, err
	}
	if len(k.Replicas) > 0 && !k.replica() {
		k.State, k.Window = pendingReplicaDeletion, int(days)
	} else {
		k.State, k.Deletion = pendingDeletion, table.At(r.Time)+table.Millis(days)*day
	}
	if err := Keys.Put(r.Tx, k); err != nil {
		return nil, err
	}
	return &kmsapi.ScheduleKeyDeletionOutput{
		KeyId:               new(k.ARN),
		DeletionDate:        k.Deletion.Ptr(),
		KeyState:            new(k.State),
		PendingWindowInDays: new(days),
	}, nil
}

// cancelKeyDeletion leaves the key disabled: whoever wants it back says so
// with EnableKey, or imports what material it lacks.
func cancelKeyDeletion(r *api.Request, _ *kmsapi.CancelKeyDeletionInput, t target) (*kmsapi.CancelKeyDeletionOutput, error) {
	k, err := t.change(r)
	if err != nil {
		return nil, err
	}
	if k.notPending() == nil {
		return nil, kmsapi.KMSInvalidStateException(k.ARN + " is not pending deletion.")
	}
	k.State, k.Deletion, k.Window = disabled, 0, 0
	if k.external() {
		k.settle() // its material may be gone by now
	}
	if err := Keys.Put(r.Tx, k); err != nil {
		return nil, err
	}
	return &kmsapi.CancelKeyDeletionOutput{KeyId: new(k.ARN)}, nil
}

// PurgeDue removes one key whose waiting period is over, with its grants, its aliases
// and its policy. A key with many of them takes several calls; it goes last, so
// that nothing ever refers to what is not there.
func (s *Service) PurgeDue(r *api.Request) (more bool, err error) {
	due, more, err := findDue(r, deleteIndex, maxDamaged)
	if err != nil {
		return false, err
	}
	for i, key := range due {
		k, err := Keys.Load(r.Tx, key)
		if errors.Is(err, table.ErrDamaged) {
			continue // fsck tells of it; the others must not wait for that
		}
		if err != nil {
			return false, err
		}
		done, err := s.purge(r, k)
		return !done || more || i+1 < len(due), err
	}
	return false, nil
}

// maxDamaged is how many keys PurgeDue looks at to find one it can read.
const maxDamaged = 16

func (s *Service) purge(r *api.Request, k *Key) (done bool, err error) {
	if some, err := k.purgeGrants(r); some || err != nil {
		return false, err
	}
	var names []table.Key
	done = true
	for e, err := range Aliases.ScanIndex(r.Tx, aliasIndex, table.Range{Prefix: table.K(k.Account, k.Region, k.ID)}) {
		if err != nil {
			return false, err
		}
		if len(names) == purgeAliases {
			done = false
			break
		}
		names = append(names, e.Record)
	}
	for _, name := range names {
		if err := Aliases.Delete(r.Tx, name); err != nil {
			return false, err
		}
	}
	if !done {
		return false, nil
	}
	if err := k.leave(r); err != nil {
		return false, err
	}
	if err := Policies.Delete(r.Tx, keyKey(k)); err != nil {
		return false, err
	}
	if err := Keys.Delete(r.Tx, keyKey(k)); err != nil {
		return false, err
	}
	r.Emit(api.ServiceEvent{Name: "DeleteKey", Account: k.Account, Region: k.Region, Data: map[string]string{"keyId": k.ARN}})
	r.After(func() { s.material.Forget(k.ID) })
	return true, nil
}
