package kms_test

import (
	"strings"
	"testing"

	kmsapi "coffer/internal/api/kms"
	"coffer/internal/kms"
	"coffer/internal/table"
)

// fsck finds every broken reference and names the row.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		damage     func(tx *table.Tx, k *kms.Key) error
	}{
		{"policy missing", "its policy: kv: not found", func(tx *table.Tx, k *kms.Key) error {
			return kms.Policies.Delete(tx, table.K(k.Account, k.Region, k.ID))
		}},
		{"key missing, alias left", "kms.alias alias/app of 111122223333 in eu-west-1: its key", func(tx *table.Tx, k *kms.Key) error {
			return kms.Keys.Delete(tx, table.K(k.Account, k.Region, k.ID))
		}},
		{"key missing, policy left", "kms.policy of key ", func(tx *table.Tx, k *kms.Key) error {
			return kms.Keys.Delete(tx, table.K(k.Account, k.Region, k.ID))
		}},
		{"material damaged", "material ", func(tx *table.Tx, k *kms.Key) error {
			k.Materials[0].Wrapped[40] ^= 1
			return kms.Keys.Put(tx, k)
		}},
		{"material of another key", "material ", func(tx *table.Tx, k *kms.Key) error {
			for e, err := range kms.Keys.Scan(tx, table.Range{}) {
				if err != nil {
					return err
				}
				if e.Value.ID != k.ID {
					k.Materials[0] = e.Value.Materials[0]
				}
			}
			return kms.Keys.Put(tx, k)
		}},
		{"no material", "has no material", func(tx *table.Tx, k *kms.Key) error {
			k.Materials = nil
			return kms.Keys.Put(tx, k)
		}},
		{"unknown state", `has state "Sleeping"`, func(tx *table.Tx, k *kms.Key) error {
			k.State = "Sleeping"
			return kms.Keys.Put(tx, k)
		}},
		{"deletion without a date", "waits for deletion without a date", func(tx *table.Tx, k *kms.Key) error {
			k.State = kmsapi.KeyStatePendingDeletion
			return kms.Keys.Put(tx, k)
		}},
		{"date without deletion", "has a deletion date, but its state is Enabled", func(tx *table.Tx, k *kms.Key) error {
			k.Deletion = 1
			return kms.Keys.Put(tx, k)
		}},
		{"foreign ARN", "its ARN does not fit", func(tx *table.Tx, k *kms.Key) error {
			k.ARN = strings.Replace(k.ARN, ours, theirs, 1)
			return kms.Keys.Put(tx, k)
		}},
		{"policy unreadable", "kms.policy of key ", func(tx *table.Tx, k *kms.Key) error {
			return kms.Policies.Put(tx, &kms.Policy{Account: k.Account, Region: k.Region, KeyID: k.ID, Text: "{"})
		}},
		{"managed without alias", "its alias alias/aws/secretsmanager: kv: not found", func(tx *table.Tx, k *kms.Key) error {
			k.Service = "secretsmanager"
			return kms.Keys.Put(tx, k)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newWorld(t).in(ours, eu)
			m := c.createKey()
			c.createAlias("alias/app", *m.KeyId)
			c.createKey()
			if f := c.check(); f != nil {
				t.Fatalf("sound, but: %v", f)
			}
			c.material.Close() // as after a restart: nothing is unwrapped
			update := func(f func(tx *table.Tx) error) {
				t.Helper()
				if err := c.db.Update(t.Context(), f); err != nil {
					t.Fatal(err)
				}
			}
			key := table.K(ours, eu, *m.KeyId)
			var before kms.Key
			var pol *kms.Policy
			update(func(tx *table.Tx) error {
				k, err := kms.Keys.Load(tx, key)
				if err != nil {
					return err
				}
				p, err := kms.Policies.Load(tx, key)
				if err != nil {
					return err
				}
				before, pol = *k, p
				if k, err = kms.Keys.Load(tx, key); err != nil {
					return err
				}
				return tc.damage(tx, k)
			})
			found := c.check()
			if len(found) == 0 || !strings.Contains(strings.Join(found, "\n"), tc.want) {
				t.Errorf("found %q, want %q", found, tc.want)
			}
			c.material.Close()
			update(func(tx *table.Tx) error { // sound again for the check on clean-up
				if err := kms.Policies.Put(tx, pol); err != nil {
					return err
				}
				return kms.Keys.Put(tx, &before)
			})
		})
	}
}
