package kms_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/fault"
	"coffer/internal/table"
)

// TestHistories runs random histories and foretells every answer from a model
// of a few lines: what a key is, what an alias names, what was encrypted where.
func TestHistories(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { history(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func history(t *testing.T, rnd *rand.Rand) {
	type modelKey struct {
		id, state string
		deadline  time.Time
	}
	type cipher struct {
		key        *modelKey
		blob       []byte
		text, with string
	}
	c := newWorld(t).in(ours, eu)
	var keys []*modelKey
	var blobs []cipher
	aliases := map[string]*modelKey{}
	gone := func(k *modelKey) bool { return k.state == "PendingDeletion" && !c.now.Before(k.deadline) }
	crypto := func(k *modelKey) string {
		switch {
		case gone(k):
			return "NotFoundException"
		case k.state == "Disabled":
			return "DisabledException"
		case k.state == "PendingDeletion":
			return "KMSInvalidStateException"
		}
		return ""
	}
	change := func(k *modelKey) string {
		if code := crypto(k); code != "DisabledException" {
			return code
		}
		return ""
	}
	expect := func(what, want string, err error) bool {
		t.Helper()
		if got := fault.Code(err); got != want {
			t.Fatalf("%s: %v, want %q", what, err, want)
		}
		return err == nil
	}
	for range 400 {
		c.now = c.now.Add(time.Duration(rnd.Int64N(int64(dayLength))))
		if len(keys) == 0 || rnd.IntN(25) == 0 {
			keys = append(keys, &modelKey{id: *c.createKey().KeyId, state: "Enabled"})
		}
		k := keys[rnd.IntN(len(keys))]
		name := fmt.Sprintf("alias/%d", rnd.IntN(6))
		named := aliases[name]
		if named != nil && gone(named) {
			named = nil
		}
		switch rnd.IntN(13) {
		case 0:
			_, err := call(c, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: &k.id})
			if expect("EnableKey", change(k), err) {
				k.state = "Enabled"
			}
		case 1:
			_, err := call(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: &k.id})
			if expect("DisableKey", change(k), err) {
				k.state = "Disabled"
			}
		case 2:
			if rnd.IntN(3) > 0 {
				continue
			}
			_, err := call(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &k.id, PendingWindowInDays: new(int64(7))})
			if expect("ScheduleKeyDeletion", change(k), err) {
				k.state, k.deadline = "PendingDeletion", c.now.Add(7*dayLength)
			}
		case 3:
			want := "KMSInvalidStateException"
			if gone(k) {
				want = "NotFoundException"
			} else if k.state == "PendingDeletion" {
				want = ""
			}
			_, err := call(c, kmsapi.CancelKeyDeletion, &kmsapi.CancelKeyDeletionInput{KeyId: &k.id})
			if expect("CancelKeyDeletion", want, err) {
				k.state = "Disabled"
			}
		case 4:
			_, err := call(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &k.id})
			expect("RotateKeyOnDemand", crypto(k), err)
		case 5:
			_, err := call(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &k.id, RotationPeriodInDays: new(int64(90))})
			expect("EnableKeyRotation", crypto(k), err)
		case 6:
			want := change(k)
			if named != nil {
				want = "AlreadyExistsException"
			}
			_, err := call(c, kmsapi.CreateAlias, &kmsapi.CreateAliasInput{AliasName: &name, TargetKeyId: &k.id})
			if expect("CreateAlias", want, err) {
				aliases[name] = k
			}
		case 7:
			want := change(k)
			if named == nil {
				want = "NotFoundException"
			}
			_, err := call(c, kmsapi.UpdateAlias, &kmsapi.UpdateAliasInput{AliasName: &name, TargetKeyId: &k.id})
			if expect("UpdateAlias", want, err) {
				aliases[name] = k
			}
		case 8:
			want := ""
			if named == nil {
				want = "NotFoundException"
			}
			_, err := call(c, kmsapi.DeleteAlias, &kmsapi.DeleteAliasInput{AliasName: &name})
			if expect("DeleteAlias", want, err) {
				delete(aliases, name)
			}
		case 9, 10:
			id, of, want := k.id, k, crypto(k)
			if rnd.IntN(2) == 0 {
				if id, of, want = name, named, "NotFoundException"; of != nil {
					want = crypto(of)
				}
			}
			e := cipher{key: of, text: fmt.Sprint(rnd.Uint64()), with: fmt.Sprint(rnd.IntN(3))}
			out, err := call(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: &id, Plaintext: api.Sensitive(e.text), EncryptionContext: map[string]string{"c": e.with}})
			if expect("Encrypt", want, err) {
				e.blob = out.CiphertextBlob
				blobs = append(blobs, e)
			}
		case 11:
			c.task(c.service.RotateDue)
			if rnd.IntN(4) == 0 {
				c.material.Close()
			}
		case 12:
			c.task(c.service.PurgeDue)
		}
		if len(blobs) == 0 {
			continue
		}
		b := blobs[rnd.IntN(len(blobs))]
		with, want := fmt.Sprint(rnd.IntN(3)), crypto(b.key)
		switch {
		case gone(b.key):
			want = "AccessDeniedException"
		case want == "" && with != b.with:
			want = "InvalidCiphertextException"
		}
		out, err := call(c, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: b.blob, EncryptionContext: map[string]string{"c": with}})
		if expect("Decrypt", want, err) && string(out.Plaintext) != b.text {
			t.Fatalf("decrypted %q, want %q", string(out.Plaintext), b.text)
		}
	}
	var want, got []string
	for _, k := range keys {
		if !gone(k) {
			want = append(want, k.id)
		}
	}
	for _, k := range must(c, kmsapi.ListKeys, &kmsapi.ListKeysInput{Limit: new(int64(1000))}).Keys {
		got = append(got, *k.KeyId)
	}
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
	want = nil
	for name, k := range aliases {
		if !gone(k) {
			want = append(want, name)
		}
	}
	if slices.Sort(want); !slices.Equal(c.aliases(kmsapi.ListAliasesInput{}), want) {
		t.Errorf("aliases %v, want %v", c.aliases(kmsapi.ListAliasesInput{}), want)
	}
}

// Of many who create one alias at once, exactly one wins.
func TestOneAliasIsCreatedOnce(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, eu)
	var ids []string
	for range 16 {
		ids = append(ids, *c.createKey().KeyId)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(ids))
	for i := range ids {
		wg.Go(func() {
			r := c.request()
			errs[i] = w.db.Update(r.Context, func(tx *table.Tx) error {
				r.Tx = tx
				_, err := gate{w}.run(r, kmsapi.CreateAlias.Operation, &kmsapi.CreateAliasInput{AliasName: new("alias/app"), TargetKeyId: &ids[i]})
				return err
			})
		})
	}
	wg.Wait()
	won := 0
	for i, err := range errs {
		if err == nil {
			won++
			if d := c.describe("alias/app"); *d.KeyId != ids[i] {
				t.Errorf("alias/app is %s, %s won", *d.KeyId, ids[i])
			}
		} else if fault.Code(err) != "AlreadyExistsException" {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d won, want 1", won)
	}
}
