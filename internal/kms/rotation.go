package kms

import (
	"errors"
	"strconv"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/table"
)

const (
	day table.Millis = 24 * 60 * 60 * 1000

	defaultPeriod = 365 // days
	// maxOnDemand is how often a key can be rotated on demand. AWS began with
	// 10 and raised it.
	maxOnDemand = 25
	// rotateBatch and rotateBytes bound one transaction of RotateDue: a key
	// takes six operations of the 128 there are, and its row has usually one
	// kilobyte but can have two hundred, of the 1,536 there are.
	rotateBatch = 15
	rotateBytes = 512 << 10
)

// nextRotation is when automatic rotation is due; zero when it is off.
func (k *Key) nextRotation() table.Millis {
	if k.Period == 0 {
		return 0
	}
	return k.From + table.Millis(k.Period)*day
}

// rotatable says why automatic rotation cannot be changed, or the key not be
// rotated, now.
func (t *target) rotatable(r *api.Request) (*Key, error) {
	k, err := t.change(r)
	if err != nil {
		return nil, err
	}
	return k, k.usable()
}

// enableKeyRotation counts the period from now. If rotation is on already the
// new period counts from where the old one did, and may be over at once.
func enableKeyRotation(r *api.Request, in *kmsapi.EnableKeyRotationInput, t target) (*kmsapi.EnableKeyRotationOutput, error) {
	k, err := t.rotatable(r)
	if err != nil {
		return nil, err
	}
	if k.Period == 0 {
		k.From = table.At(r.Time)
	}
	k.Period = defaultPeriod
	if in.RotationPeriodInDays != nil {
		k.Period = int(*in.RotationPeriodInDays)
	}
	return &kmsapi.EnableKeyRotationOutput{}, Keys.Put(r.Tx, k)
}

func disableKeyRotation(r *api.Request, _ *kmsapi.DisableKeyRotationInput, t target) (*kmsapi.DisableKeyRotationOutput, error) {
	k, err := t.rotatable(r)
	if err != nil {
		return nil, err
	}
	k.Period, k.From = 0, 0
	return &kmsapi.DisableKeyRotationOutput{}, Keys.Put(r.Tx, k)
}

// getKeyRotationStatus says false while the key waits for deletion, and what
// it was again if that is cancelled ("GetKeyRotationStatus", KMS API reference).
func getKeyRotationStatus(r *api.Request, _ *kmsapi.GetKeyRotationStatusInput, t target) (*kmsapi.GetKeyRotationStatusOutput, error) {
	k, err := t.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	out := &kmsapi.GetKeyRotationStatusOutput{KeyId: new(k.ARN), KeyRotationEnabled: new(false)}
	if k.Period != 0 && k.State != pendingDeletion {
		out.KeyRotationEnabled = new(true)
		out.RotationPeriodInDays = new(int64(k.Period))
		out.NextRotationDate = k.nextRotation().Ptr()
	}
	return out, nil
}

// rotateKeyOnDemand leaves the automatic schedule as it is.
func (s *Service) rotateKeyOnDemand(r *api.Request, _ *kmsapi.RotateKeyOnDemandInput, t target) (*kmsapi.RotateKeyOnDemandOutput, error) {
	k, err := t.rotatable(r)
	if err != nil {
		return nil, err
	}
	n := 0
	for i := range k.Materials {
		if k.Materials[i].Rotation == kmsapi.RotationTypeOnDemand {
			n++
		}
	}
	if n >= maxOnDemand {
		return nil, kmsapi.LimitExceededException("The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: " + k.ARN)
	}
	if err := s.rotate(r, k, kmsapi.RotationTypeOnDemand); err != nil {
		return nil, err
	}
	return &kmsapi.RotateKeyOnDemandOutput{KeyId: new(k.ARN)}, nil
}

// rotate gives k, a private copy, new material and stores it.
func (s *Service) rotate(r *api.Request, k *Key, how string) error {
	w, err := s.material.Generate(r.Context, k.ID)
	if err != nil {
		return err
	}
	k.Materials = append(k.Materials, Material{ID: w.ID, Wrapped: w.Blob, Created: table.At(r.Time), Rotation: how})
	if err := Keys.Put(r.Tx, k); err != nil {
		return err
	}
	r.Emit(api.ServiceEvent{
		Name: "RotateKey", Account: k.Account, Region: k.Region,
		Data: map[string]string{"keyId": k.ARN, "rotationType": how, "currentKeyMaterialId": w.ID},
	})
	return nil
}

// RotateDue rotates keys whose period is over, the longest overdue first, a
// bounded number of them. The next period counts from now, not from when it was
// due: a key that was disabled for years rotates once.
func (s *Service) RotateDue(r *api.Request) (more bool, err error) {
	due, more, err := findDue(r, rotateIndex, rotateBatch)
	if err != nil {
		return false, err
	}
	budget := rotateBytes
	for _, key := range due {
		if budget <= 0 {
			return true, nil
		}
		k, err := Keys.Load(r.Tx, key)
		if errors.Is(err, table.ErrDamaged) {
			continue // fsck tells of it; the others must not wait for that
		}
		if err != nil {
			return false, err
		}
		k.From = table.At(r.Time)
		if err := s.rotate(r, k, kmsapi.RotationTypeAutomatic); err != nil {
			return false, err
		}
		budget -= k.size()
	}
	return more, nil
}

// size is about what the key's row takes, rounded up.
func (k *Key) size() int {
	n := 1024 + len(k.Description) + 256*len(k.Materials)
	for i := range k.Tags {
		n += 16 + len(k.Tags[i].Key) + len(k.Tags[i].Value)
	}
	return n
}

// findDue returns the first keys of an index that begins with a time, up to
// now, and whether there are more.
func findDue(r *api.Request, index string, most int) (due []table.Key, more bool, err error) {
	now := table.At(r.Time).Part()
	for e, err := range Keys.ScanIndex(r.Tx, index, table.Range{}) {
		if err != nil {
			return nil, false, err
		}
		if e.Key.Parts()[0] > now {
			break
		}
		if len(due) == most {
			return due, true, nil
		}
		due = append(due, e.Record)
	}
	return due, false, nil
}

// listKeyRotations lists what rotations brought, oldest first; on request also
// the material that the key began with.
func listKeyRotations(r *api.Request, in *kmsapi.ListKeyRotationsInput, t target) (*kmsapi.ListKeyRotationsOutput, error) {
	k, err := t.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	all := in.IncludeKeyMaterial != nil && *in.IncludeKeyMaterial == kmsapi.IncludeKeyMaterialAllKeyMaterial
	filter := k.ID
	if all {
		filter += " all"
	}
	p, err := newPage(r, in.Limit, in.Marker, 100, filter)
	if err != nil {
		return nil, err
	}
	from := 0
	if !all {
		from = 1
	}
	if p.after != "" {
		// Materials are only ever added at the end, so a number is a place.
		last, err := strconv.Atoi(p.after)
		if err != nil || last < 0 || last >= len(k.Materials) {
			return nil, invalidMarker()
		}
		from = last + 1
	}
	out := &kmsapi.ListKeyRotationsOutput{Rotations: []kmsapi.RotationsListEntry{}}
	for i := from; i < len(k.Materials); i++ {
		if len(out.Rotations) == p.limit {
			out.NextMarker = p.next(strconv.Itoa(i - 1))
			break
		}
		m := &k.Materials[i]
		e := kmsapi.RotationsListEntry{KeyId: new(k.ID), KeyMaterialId: new(m.ID), KeyMaterialState: new(kmsapi.KeyMaterialStateNonCurrent)}
		if m == k.current() {
			e.KeyMaterialState = new(kmsapi.KeyMaterialStateCurrent)
		}
		if m.Rotation != "" {
			e.RotationDate, e.RotationType = m.Created.Ptr(), new(m.Rotation)
		}
		out.Rotations = append(out.Rotations, e)
	}
	out.Truncated = new(out.NextMarker != nil)
	return out, nil
}
