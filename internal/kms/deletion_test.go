package kms_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	kmsapi "coffer/internal/api/kms"
	"coffer/internal/kms"
	"coffer/internal/kv"
	"coffer/internal/table"
)

func TestDeletionWindow(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	for _, tc := range []struct{ in, want int64 }{{0, 30}, {7, 7}, {8, 8}, {30, 30}} {
		m := c.createKey()
		in := &kmsapi.ScheduleKeyDeletionInput{KeyId: m.KeyId}
		if tc.in != 0 {
			in.PendingWindowInDays = &tc.in
		}
		out := must(c, kmsapi.ScheduleKeyDeletion, in)
		date := c.now.Add(time.Duration(tc.want) * dayLength)
		if *out.KeyId != *m.Arn || *out.KeyState != "PendingDeletion" || *out.PendingWindowInDays != tc.want || !out.DeletionDate.Equal(date) {
			t.Errorf("%d days: %+v", tc.in, out)
		}
		if d := c.describe(*m.KeyId); *d.KeyState != "PendingDeletion" || *d.Enabled || !d.DeletionDate.Equal(date) || d.PendingDeletionWindowInDays != nil {
			t.Errorf("described as %+v", d)
		}
	}
	m := c.createKey()
	for _, tc := range []struct {
		days int64
		must string
	}{
		{0, "greater than or equal to 1"}, {1, "greater than or equal to 7"}, {6, "greater than or equal to 7"}, {31, "less than or equal to 30"},
		{365, "less than or equal to 30"}, {366, "less than or equal to 365"},
	} {
		refuse(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: m.KeyId, PendingWindowInDays: &tc.days}, "ValidationException",
			fmt.Sprintf("1 validation error detected: Value '%d' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value %s", tc.days, tc.must))
	}
}

func TestCancelledDeletion(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m := c.createKey()
	blob := c.encrypt(*m.KeyId, "x")
	must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: m.KeyId, PendingWindowInDays: new(int64(7))})
	c.now = c.now.Add(7*dayLength - time.Millisecond)
	c.task(c.service.PurgeDue)
	if out := must(c, kmsapi.CancelKeyDeletion, &kmsapi.CancelKeyDeletionInput{KeyId: m.KeyId}); *out.KeyId != *m.Arn {
		t.Errorf("KeyId %s", *out.KeyId)
	}
	if d := c.describe(*m.KeyId); *d.KeyState != "Disabled" || d.DeletionDate != nil {
		t.Errorf("described as %+v", d)
	}
	c.now = c.now.Add(100 * dayLength)
	c.task(c.service.PurgeDue)
	must(c, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: m.KeyId})
	if c.decrypt(blob) != "x" {
		t.Error("the ciphertext does not decrypt")
	}
}

// At the end of the window the key is gone, whether or not the worker has been
// there; afterwards nothing is left of it.
func TestDeletedKeyIsGone(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	m, other := c.createKey(), c.createKey()
	blob := c.encrypt(*m.KeyId, "x")
	for i := range 50 {
		c.createAlias(fmt.Sprintf("alias/%02d", i), *m.KeyId)
	}
	c.createAlias("alias/other", *other.KeyId)
	must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: m.KeyId, PendingWindowInDays: new(int64(7))})
	c.now = c.now.Add(7 * dayLength)

	gone := func(when string) {
		t.Helper()
		text := "Key '" + *m.Arn + "' does not exist"
		refuse(c, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: m.KeyId}, "NotFoundException", text)
		refuse(c, kmsapi.CancelKeyDeletion, &kmsapi.CancelKeyDeletionInput{KeyId: m.KeyId}, "NotFoundException", text)
		refuse(c, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: m.KeyId}, "NotFoundException", text)
		refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob}, "AccessDeniedException", noCiphertextKey)
		refuse(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, KeyId: m.KeyId}, "NotFoundException", text)
		refuse(c, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: new("alias/07")}, "NotFoundException", "Alias "+c.arn("alias/07")+" is not found.")
		if out := must(c, kmsapi.ListKeys, &kmsapi.ListKeysInput{}); len(out.Keys) != 1 || *out.Keys[0].KeyId != *other.KeyId {
			t.Errorf("%s: keys %v", when, out.Keys)
		}
	}
	gone("before the worker")
	if names := c.aliases(kmsapi.ListAliasesInput{}); len(names) != 1 || names[0] != "alias/other" {
		t.Errorf("aliases before the worker: %v", names)
	}
	refuse(c, kmsapi.DeleteAlias, &kmsapi.DeleteAliasInput{AliasName: new("alias/08")}, "NotFoundException", "Alias "+c.arn("alias/08")+" is not found.")
	c.createAlias("alias/08", *other.KeyId) // the name is free
	must(c, kmsapi.DeleteAlias, &kmsapi.DeleteAliasInput{AliasName: new("alias/08")})
	if turns := c.task(c.service.PurgeDue); turns != 5 {
		t.Errorf("%d turns, want 5", turns)
	}
	gone("after the worker")
	if names := c.aliases(kmsapi.ListAliasesInput{}); len(names) != 1 || names[0] != "alias/other" {
		t.Errorf("aliases left: %v", names)
	}
	if e := c.events[len(c.events)-1]; e.Name != "DeleteKey" || e.Account != ours || e.Region != eu || e.Data["keyId"] != *m.Arn {
		t.Errorf("event %+v", e)
	}
	err := c.db.View(t.Context(), func(tx *table.Tx) error {
		for _, name := range []string{"kms.due.delete", "kms.due.rotate"} {
			for e, err := range kms.Keys.ScanIndex(tx, name, table.Range{}) {
				t.Errorf("%s still has %q, %v", name, e.Key, err)
			}
		}
		for e, err := range kms.Policies.Scan(tx, table.Range{}) {
			if err != nil || e.Value.KeyID != *other.KeyId {
				t.Errorf("policy left of %s, %v", e.Value.KeyID, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	c.createAlias("alias/07", *other.KeyId)
}

func TestManyKeysDueForDeletion(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		c := w.in(fmt.Sprintf("%012d", i+1), eu)
		must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: c.createKey().KeyId, PendingWindowInDays: new(int64(7 + i%20))})
	}
	w.now = w.now.Add(100 * dayLength)
	w.task(w.service.PurgeDue)
	deleted := 0
	for _, e := range w.events {
		if e.Name == "DeleteKey" {
			deleted++
		}
	}
	if deleted != 40 {
		t.Errorf("%d keys deleted, want 40", deleted)
	}
}

// A damaged row holds up nobody else's deletion or rotation, and fsck tells of it.
func TestDamagedKeyHoldsUpNobody(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, eu)
	var rows [][]byte
	var ids []string
	for range 3 {
		id := *c.createKey().KeyId
		must(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: new(int64(90))})
		ids, rows = append(ids, id), append(rows, []byte("kms.key\x00"+ours+"\x00"+eu+"\x00"+id))
		c.now = c.now.Add(time.Hour)
	}
	damage := func(row []byte) (undo func()) {
		t.Helper()
		var sound []byte
		change := func(f func(tx kv.Tx) error) {
			if err := w.store.Update(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		change(func(tx kv.Tx) error {
			v, err := tx.Get(row)
			if err != nil {
				return err
			}
			sound = bytes.Clone(v)
			bad := bytes.Clone(v)
			bad[len(bad)/2] ^= 1
			return tx.Put(row, bad)
		})
		return func() { change(func(tx kv.Tx) error { return tx.Put(row, sound) }) }
	}
	undo := damage(rows[0])
	w.now = w.now.Add(100 * dayLength)
	w.task(w.service.RotateDue)
	if found := w.check(); len(found) == 0 || !strings.Contains(found[0], "damaged row") {
		t.Errorf("fsck found %q", found)
	}
	refuse(c, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: new("alias/none")}, "NotFoundException", "Alias "+c.arn("alias/none")+" is not found.")
	undo()
	for i, want := range []int{0, 1, 1} {
		if n := len(c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &ids[i]})); n != want {
			t.Errorf("key %d: %d rotations, want %d", i, n, want)
		}
	}
	for i := range ids {
		must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &ids[i], PendingWindowInDays: new(int64(7 + i))})
	}
	w.now = w.now.Add(10 * dayLength)
	undo = damage(rows[0])
	w.task(w.service.PurgeDue)
	undo()
	left := 0
	if err := w.db.View(t.Context(), func(tx *table.Tx) error {
		left = 0
		for e, err := range kms.Keys.Scan(tx, table.Range{}) {
			if err != nil || e.Value.ID != ids[0] {
				t.Errorf("left: %v, %v", e.Key, err)
			}
			left++
		}
		return nil
	}); err != nil || left != 1 {
		t.Errorf("%d keys left, %v", left, err)
	}
	w.task(w.service.PurgeDue)
}

func TestTasks(t *testing.T) {
	w := newWorld(t)
	for _, task := range w.service.Tasks() {
		if !strings.HasPrefix(task.Name, "kms.") || task.Service != kmsapi.Service || task.Every <= 0 {
			t.Errorf("%+v", task)
		}
		if turns := w.task(task.Run); turns != 1 {
			t.Errorf("%s: %d turns with nothing to do", task.Name, turns)
		}
	}
}
