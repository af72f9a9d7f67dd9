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
	// rotateBatch, rotateOps and rotateBytes bound one transaction of RotateDue:
	// a key takes six operations of the 128 there are, and three for each replica;
	// and a row has usually one kilobyte but can have two hundred, of the 1,536
	// there are.
	rotateBatch = 15
	rotateOps   = 75
	rotateBytes = 512 << 10
	// rotateMost is what a whole set may take. Only one of which every key has
	// the longest of descriptions and tags comes near, after decades.
	rotateMost = 1400 << 10
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
	if k.Spec != symmetricSpec {
		return nil, kmsapi.UnsupportedOperationException("")
	}
	if k.replica() {
		return nil, notPrimary(k)
	}
	return k, k.usable()
}

// schedule sets the automatic rotation of k, a private copy, and of its
// replicas. There is none for imported material.
func (k *Key) schedule(r *api.Request, period int, from table.Millis) error {
	set := func(each *Key) { each.Period, each.From = period, from }
	if err := k.inReplicas(r, set); err != nil {
		return err
	}
	set(k)
	return Keys.Put(r.Tx, k)
}

// scheduled is rotatable for automatic rotation.
func (t *target) scheduled(r *api.Request) (*Key, error) {
	if k := t.key; k != nil && k.external() {
		if _, err := t.found(r, r.Op.Action()); err != nil {
			return nil, err
		}
		return nil, invalidOrigin(k)
	}
	return t.rotatable(r)
}

// enableKeyRotation counts the period from now. If rotation is on already the
// new period counts from where the old one did, and may be over at once.
func enableKeyRotation(r *api.Request, in *kmsapi.EnableKeyRotationInput, t target) (*kmsapi.EnableKeyRotationOutput, error) {
	k, err := t.scheduled(r)
	if err != nil {
		return nil, err
	}
	from, period := k.From, defaultPeriod
	if k.Period == 0 {
		from = table.At(r.Time)
	}
	if in.RotationPeriodInDays != nil {
		period = int(*in.RotationPeriodInDays)
	}
	return &kmsapi.EnableKeyRotationOutput{}, k.schedule(r, period, from)
}

func disableKeyRotation(r *api.Request, _ *kmsapi.DisableKeyRotationInput, t target) (*kmsapi.DisableKeyRotationOutput, error) {
	k, err := t.scheduled(r)
	if err != nil {
		return nil, err
	}
	return &kmsapi.DisableKeyRotationOutput{}, k.schedule(r, 0, 0)
}

// getKeyRotationStatus says false while the key waits for deletion, and what
// it was again if that is cancelled ("GetKeyRotationStatus", KMS API reference).
// Of keys that never rotate by themselves it says so.
func getKeyRotationStatus(r *api.Request, _ *kmsapi.GetKeyRotationStatusInput, t target) (*kmsapi.GetKeyRotationStatusOutput, error) {
	k, err := t.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	out := &kmsapi.GetKeyRotationStatusOutput{KeyId: new(k.ARN), KeyRotationEnabled: new(false)}
	if k.Period != 0 && k.notPending() == nil {
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
	if k.external() {
		err = promote(r, k)
	} else {
		err = s.rotate(r, k, kmsapi.RotationTypeOnDemand)
	}
	if err != nil {
		return nil, err
	}
	return &kmsapi.RotateKeyOnDemandOutput{KeyId: new(k.ARN)}, nil
}

// promote makes the material that was imported for it the current one of k, a
// private copy, and of its replicas.
func promote(r *api.Request, k *Key) error {
	m := &k.Materials[len(k.Materials)-1] // k is usable, so it has some
	ready := m.Pending && m.Wrapped != nil
	if ready {
		var err error
		if ready, err = k.importedEverywhere(r, m.ID); err != nil {
			return err
		}
	}
	if !ready {
		return kmsapi.KMSInvalidStateException("No available key material pending rotation for the key: " + k.ARN)
	}
	turn := func(each *Key) {
		last := &each.Materials[len(each.Materials)-1]
		last.Pending, last.Created, last.Rotation = false, table.At(r.Time), kmsapi.RotationTypeOnDemand
	}
	if err := k.inReplicas(r, turn); err != nil {
		return err
	}
	turn(k)
	k.rotated(r)
	return Keys.Put(r.Tx, k)
}

// rotate gives k, a private copy, and its replicas new material and stores them.
func (s *Service) rotate(r *api.Request, k *Key, how string) error {
	w, err := s.material.Generate(r.Context, k.ID, k.Spec)
	if err != nil {
		return err
	}
	m := Material{ID: w.ID, Wrapped: w.Blob, Created: table.At(r.Time), Rotation: how}
	if err := k.inReplicas(r, func(replica *Key) {
		replica.Materials, replica.From = append(replica.Materials, m), k.From
	}); err != nil {
		return err
	}
	k.Materials = append(k.Materials, m)
	k.rotated(r)
	return Keys.Put(r.Tx, k)
}

// rotated tells the audit log, also in the regions of the replicas.
func (k *Key) rotated(r *api.Request) {
	m := k.current()
	r.Emit(api.ServiceEvent{
		Name: "RotateKey", Account: k.Account, Region: k.Region,
		Data: map[string]string{"keyId": k.ARN, "rotationType": m.Rotation, "currentKeyMaterialId": m.ID},
	})
	for _, region := range k.Replicas {
		r.Emit(api.ServiceEvent{
			Name: "SynchronizeMultiRegionKey", Account: k.Account, Region: region,
			Data: map[string]string{"keyId": k.arnIn(region), "currentKeyMaterialId": m.ID},
		})
	}
}

// RotateDue rotates keys whose period is over, the longest overdue first, a
// bounded number of them. The next period counts from now, not from when it was
// due: a key that was disabled for years rotates once.
func (s *Service) RotateDue(r *api.Request) (more bool, err error) {
	due, more, err := findDue(r, rotateIndex, rotateBatch)
	if err != nil {
		return false, err
	}
	budget, ops := rotateBytes, rotateOps
	for _, key := range due {
		if budget <= 0 || ops <= 0 {
			return true, nil
		}
		k, err := Keys.Load(r.Tx, key)
		if errors.Is(err, table.ErrDamaged) {
			continue // fsck tells of it; the others must not wait for that
		}
		if err != nil {
			return false, err
		}
		size, err := k.setSize(r)
		if err != nil {
			return false, err
		}
		if size > budget && budget < rotateBytes {
			return true, nil // in a transaction of its own
		}
		if size > rotateMost {
			continue
		}
		k.From = table.At(r.Time)
		if err := s.rotate(r, k, kmsapi.RotationTypeAutomatic); err != nil {
			return false, err
		}
		budget -= size
		ops -= 6 + 3*len(k.Replicas)
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
// the material that the key began with and what waits for a rotation.
func listKeyRotations(r *api.Request, in *kmsapi.ListKeyRotationsInput, t target) (*kmsapi.ListKeyRotationsOutput, error) {
	k, err := t.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	if k.Spec != symmetricSpec {
		return nil, kmsapi.UnsupportedOperationException("")
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
	if p.After != "" {
		// Materials are only ever added at the end, so a number is a place. The
		// last may be gone if it was pending.
		last, err := strconv.Atoi(p.After)
		if err != nil || last < 0 || last > len(k.Materials) {
			return nil, invalidMarker()
		}
		from = last + 1
	}
	out := &kmsapi.ListKeyRotationsOutput{Rotations: []kmsapi.RotationsListEntry{}}
	for i := from; i < len(k.Materials) && (all || !k.Materials[i].Pending); i++ {
		if len(out.Rotations) == p.Limit {
			out.NextMarker = p.Next(strconv.Itoa(i - 1))
			break
		}
		e, err := k.rotation(r, &k.Materials[i])
		if err != nil {
			return nil, err
		}
		out.Rotations = append(out.Rotations, e)
	}
	out.Truncated = new(out.NextMarker != nil)
	return out, nil
}

// rotation is m, one of k's, in a list of them.
func (k *Key) rotation(r *api.Request, m *Material) (kmsapi.RotationsListEntry, error) {
	e := kmsapi.RotationsListEntry{KeyId: new(k.ID), KeyMaterialId: new(m.ID), KeyMaterialState: new(kmsapi.KeyMaterialStateNonCurrent)}
	switch {
	case m.Pending:
		e.KeyMaterialState = new(kmsapi.KeyMaterialStatePendingRotation)
		everywhere, err := k.importedEverywhere(r, m.ID)
		if err != nil {
			return e, err
		}
		if k.multiRegion() && !everywhere {
			e.KeyMaterialState = new(kmsapi.KeyMaterialStatePendingMultiRegionImportAndRotation)
		}
	case m == k.current():
		e.KeyMaterialState = new(kmsapi.KeyMaterialStateCurrent)
	}
	if m.Rotation != "" {
		e.RotationDate, e.RotationType = m.Created.Ptr(), new(m.Rotation)
	}
	if !k.external() {
		return e, nil
	}
	e.ImportState = new(kmsapi.ImportStatePendingImport)
	if m.Wrapped != nil {
		e.ImportState = new(kmsapi.ImportStateImported)
		e.ExpirationModel, e.ValidTo = new(expirationModel(m.Expires)), m.Expires.Ptr()
	}
	if m.Description != "" {
		e.KeyMaterialDescription = new(m.Description)
	}
	return e, nil
}
