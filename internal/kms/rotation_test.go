package kms_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kmsapi "coffer/internal/api/kms"
)

func (c client) rotationStatus(key string) *kmsapi.GetKeyRotationStatusOutput {
	c.Helper()
	return must(c, kmsapi.GetKeyRotationStatus, &kmsapi.GetKeyRotationStatusInput{KeyId: &key})
}

func (c client) rotations(in kmsapi.ListKeyRotationsInput) (list []kmsapi.RotationsListEntry) {
	c.Helper()
	for {
		out := must(c, kmsapi.ListKeyRotations, &in)
		list = append(list, out.Rotations...)
		if in.Marker = out.NextMarker; in.Marker == nil {
			return list
		}
	}
}

// wantRotation: next is days from now; -1 means rotation is off.
func (c client) wantRotation(key string, period int64, next time.Time) {
	c.Helper()
	s := c.rotationStatus(key)
	if period == 0 {
		if *s.KeyRotationEnabled || s.RotationPeriodInDays != nil || s.NextRotationDate != nil {
			c.Errorf("rotation is on: %v days", *s.RotationPeriodInDays)
		}
		return
	}
	if !*s.KeyRotationEnabled || *s.RotationPeriodInDays != period || !s.NextRotationDate.Equal(next) || s.OnDemandRotationStartDate != nil {
		c.Errorf("rotation is %v; want every %d days, next %v", s, period, next)
	}
	if *s.KeyId != c.arn("key/"+key) {
		c.Errorf("KeyId %s", *s.KeyId)
	}
}

func TestRotationSchedule(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	id := *c.createKey().KeyId
	c.wantRotation(id, 0, time.Time{})
	start := c.now
	must(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &id})
	c.wantRotation(id, 365, start.Add(365*dayLength))

	// A new period counts from where the old one did.
	c.now = start.Add(100 * dayLength)
	must(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: new(int64(120))})
	c.wantRotation(id, 120, start.Add(120*dayLength))

	// Rotation on demand leaves the schedule alone.
	if out := must(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id}); *out.KeyId != c.arn("key/"+id) {
		t.Errorf("KeyId %s", *out.KeyId)
	}
	c.wantRotation(id, 120, start.Add(120*dayLength))

	c.now = start.Add(120*dayLength - time.Millisecond)
	c.task(c.service.RotateDue)
	if n := len(c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id})); n != 1 {
		t.Errorf("%d rotations a millisecond early, want 1", n)
	}
	c.now = start.Add(125 * dayLength)
	c.task(c.service.RotateDue)
	c.task(c.service.RotateDue)
	list := c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id})
	if len(list) != 2 || *list[1].RotationType != "AUTOMATIC" || !list[1].RotationDate.Equal(c.now) {
		t.Errorf("rotations %+v", list)
	}
	c.wantRotation(id, 120, c.now.Add(120*dayLength))

	must(c, kmsapi.DisableKeyRotation, &kmsapi.DisableKeyRotationInput{KeyId: &id})
	c.wantRotation(id, 0, time.Time{})
	c.now = c.now.Add(1000 * dayLength)
	c.task(c.service.RotateDue)
	must(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: new(int64(90))})
	c.wantRotation(id, 90, c.now.Add(90*dayLength))
	if n := len(c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id})); n != 2 {
		t.Errorf("%d rotations, want 2", n)
	}
	for n, bound := range map[int64]string{89: "greater than or equal to 90", 2561: "less than or equal to 2560"} {
		refuse(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: &n}, "ValidationException",
			fmt.Sprintf("1 validation error detected: Value '%d' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value %s", n, bound))
	}
}

// Keys that are disabled or wait for deletion do not rotate, and catch up once
// when they are enabled again.
func TestRotationPauses(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	id := *c.createKey().KeyId
	must(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: new(int64(90))})
	start := c.now
	must(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: &id})
	c.now = start.Add(500 * dayLength)
	c.task(c.service.RotateDue)
	c.wantRotation(id, 90, start.Add(90*dayLength))
	must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &id})
	c.wantRotation(id, 0, time.Time{})
	c.task(c.service.RotateDue)
	must(c, kmsapi.CancelKeyDeletion, &kmsapi.CancelKeyDeletionInput{KeyId: &id})
	c.wantRotation(id, 90, start.Add(90*dayLength))
	c.task(c.service.RotateDue)
	if n := len(c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id})); n != 0 {
		t.Errorf("%d rotations while disabled", n)
	}
	must(c, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: &id})
	c.task(c.service.RotateDue)
	if n := len(c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id})); n != 1 {
		t.Errorf("%d rotations after enabling, want 1", n)
	}
	c.wantRotation(id, 90, c.now.Add(90*dayLength))
}

// Everything ever encrypted decrypts, through rotations of both kinds and
// through disabling and enabling.
func TestOldCiphertextsKeepDecrypting(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	id := *m.KeyId
	must(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: new(int64(90))})
	var blobs [][]byte
	materials := []string{*m.CurrentKeyMaterialId}
	for i := range 30 {
		blobs = append(blobs, c.encrypt(id, fmt.Sprint("text ", i), "i", fmt.Sprint(i)))
		c.now = c.now.Add(45 * dayLength)
		if i%2 == 0 {
			must(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id})
		} else {
			c.task(c.service.RotateDue)
		}
		if i%7 == 0 {
			must(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: &id})
			must(c, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: &id})
		}
		if i%11 == 0 {
			c.material.Close() // forgets all it has unwrapped
		}
		materials = append(materials, *c.describe(id).CurrentKeyMaterialId)
	}
	for i, blob := range blobs {
		out := must(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"i": fmt.Sprint(i)}})
		if string(out.Plaintext) != fmt.Sprint("text ", i) || *out.KeyMaterialId != materials[i] {
			t.Errorf("blob %d: %q under material %s", i, string(out.Plaintext), *out.KeyMaterialId)
		}
	}
	slices.Sort(materials)
	if n := len(slices.Compact(materials)); n != 31 {
		t.Errorf("%d materials, want 31", n)
	}
	rotated := 0
	for _, e := range c.events {
		if e.Name == "RotateKey" && e.Data["keyId"] == *m.Arn && e.Account == ours && e.Region == eu {
			rotated++
		}
	}
	if rotated != 30 {
		t.Errorf("%d RotateKey events, want 30", rotated)
	}
}

func TestListKeyRotations(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	if out := must(c, kmsapi.ListKeyRotations, &kmsapi.ListKeyRotationsInput{KeyId: m.KeyId}); len(out.Rotations) != 0 || out.Rotations == nil || *out.Truncated {
		t.Errorf("a new key: %+v", out)
	}
	for range 5 {
		c.now = c.now.Add(time.Hour)
		must(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: m.KeyId})
	}
	current := *c.describe(*m.KeyId).CurrentKeyMaterialId
	for _, tc := range []struct {
		include *string
		want    int
	}{{nil, 5}, {new("ROTATIONS_ONLY"), 5}, {new("ALL_KEY_MATERIAL"), 6}} {
		for limit := range int64(7) {
			list := c.rotations(kmsapi.ListKeyRotationsInput{KeyId: m.KeyId, IncludeKeyMaterial: tc.include, Limit: new(limit + 1)})
			if len(list) != tc.want {
				t.Fatalf("%d rotations, want %d", len(list), tc.want)
			}
			for i, e := range list {
				first, last := tc.want == 6 && i == 0, i == len(list)-1
				if *e.KeyId != *m.KeyId || (*e.KeyMaterialState == "CURRENT") != last || (*e.KeyMaterialId == current) != last || (*e.KeyMaterialId == *m.CurrentKeyMaterialId) != first ||
					(e.RotationDate == nil) != first || (e.RotationType == nil) != first || !first && *e.RotationType != "ON_DEMAND" {
					t.Errorf("entry %d of %d: %+v", i, len(list), e)
				}
			}
		}
	}
	// A marker of one of the lists is none of the other.
	marker := must(c, kmsapi.ListKeyRotations, &kmsapi.ListKeyRotationsInput{KeyId: m.KeyId, Limit: new(int64(2))}).NextMarker
	refuse(c, kmsapi.ListKeyRotations, &kmsapi.ListKeyRotationsInput{KeyId: m.KeyId, Marker: marker, IncludeKeyMaterial: new("ALL_KEY_MATERIAL")}, "InvalidMarkerException", "The marker is not valid.")
	refuse(c, kmsapi.ListKeyRotations, &kmsapi.ListKeyRotationsInput{KeyId: c.createKey().KeyId, Marker: marker}, "InvalidMarkerException", "The marker is not valid.")
}

func TestOnDemandRotationLimit(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	must(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: m.KeyId, RotationPeriodInDays: new(int64(90))})
	c.now = c.now.Add(90 * dayLength)
	c.task(c.service.RotateDue) // does not count
	for range 25 {
		must(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: m.KeyId})
	}
	refuse(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: m.KeyId}, "LimitExceededException",
		"The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: "+*m.Arn)
	c.now = c.now.Add(90 * dayLength)
	c.task(c.service.RotateDue)
	if n := len(c.rotations(kmsapi.ListKeyRotationsInput{KeyId: m.KeyId})); n != 27 {
		t.Errorf("%d rotations, want 27", n)
	}
}

// Many keys due at once are rotated in several bounded transactions.
func TestRotateDueIsBounded(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for i := range 50 {
		c := w.in(fmt.Sprintf("%012d", i%3+1), []string{us, eu}[i%2])
		id := *c.createKey().KeyId
		ids = append(ids, id)
		must(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: new(int64(90))})
	}
	w.now = w.now.Add(200 * dayLength)
	if turns := w.task(w.service.RotateDue); turns != 4 {
		t.Errorf("%d turns, want 4", turns)
	}
	for i, id := range ids {
		c := w.in(fmt.Sprintf("%012d", i%3+1), []string{us, eu}[i%2])
		if n := len(c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id})); n != 1 {
			t.Errorf("key %d: %d rotations, want 1", i, n)
		}
	}
}

// A century of automatic rotation fits in a row and stays fast to read.
func TestDecadesOfRotation(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	id := *c.createKey().KeyId
	must(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: new(int64(90))})
	first := c.encrypt(id, "first")
	for range 400 {
		c.now = c.now.Add(90 * dayLength)
		c.task(c.service.RotateDue)
	}
	if c.decrypt(first) != "first" || c.decrypt(c.encrypt(id, "last")) != "last" {
		t.Error("ciphertexts do not decrypt")
	}
	if n := len(c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id})); n != 400 {
		t.Errorf("%d rotations, want 400", n)
	}
}

// Rows as large as they get, due all at once, stay within a transaction's bytes.
func TestRotateDueOfLargeKeys(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	var tags []string
	for i := range 50 {
		tags = append(tags, fmt.Sprintf("%02d", i)+strings.Repeat("\U0001f511", 126), strings.Repeat("\U0001f511", 256))
	}
	var ids []string
	for range 30 {
		m := must(c, kmsapi.CreateKey, &kmsapi.CreateKeyInput{Description: new(strings.Repeat("\U0001f511", 8192)), Tags: tagList(tags...)}).KeyMetadata
		must(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: m.KeyId})
		ids = append(ids, *m.KeyId)
	}
	c.now = c.now.Add(365 * dayLength)
	c.task(c.service.RotateDue)
	for _, id := range ids {
		if n := len(c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id})); n != 1 {
			t.Errorf("%d rotations, want 1", n)
		}
	}
}
