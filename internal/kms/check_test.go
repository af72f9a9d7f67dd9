package kms_test

import (
	"slices"
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
		{"no such kind", "is of a kind that there is not: SYMMETRIC_DEFAULT, SIGN_VERIFY, AWS_KMS", func(tx *table.Tx, k *kms.Key) error {
			k.Usage = kmsapi.KeyUsageTypeSignVerify
			return kms.Keys.Put(tx, k)
		}},
		{"material of another spec", "is not of HMAC_256", func(tx *table.Tx, k *kms.Key) error {
			k.Spec, k.Usage = kmsapi.KeySpecHmac256, kmsapi.KeyUsageTypeGenerateVerifyMac
			return kms.Keys.Put(tx, k)
		}},
		{"public key of another", "the public key beside material", func(tx *table.Tx, k *kms.Key) error {
			k.Materials[0].Public = []byte{1}
			return kms.Keys.Put(tx, k)
		}},
		{"imported, by its look", "is as if it were imported", func(tx *table.Tx, k *kms.Key) error {
			k.Materials[0].Expires = 1
			return kms.Keys.Put(tx, k)
		}},
		{"waits for an import it does not need", "waits for an import, but its origin is AWS_KMS", func(tx *table.Tx, k *kms.Key) error {
			k.State = kmsapi.KeyStatePendingImport
			return kms.Keys.Put(tx, k)
		}},
		{"enabled without its material", "has state Enabled, and its imported material asks for PendingImport", func(tx *table.Tx, k *kms.Key) error {
			k.Origin, k.Materials = kmsapi.OriginTypeExternal, nil
			return kms.Keys.Put(tx, k)
		}},
		{"pending alone", "waits for a rotation, out of its turn", func(tx *table.Tx, k *kms.Key) error {
			k.Origin, k.Materials[0].Pending = kmsapi.OriginTypeExternal, true
			return kms.Keys.Put(tx, k)
		}},
		{"replicas of a single key", "its id does not fit a primary region", func(tx *table.Tx, k *kms.Key) error {
			k.Replicas = []string{us}
			return kms.Keys.Put(tx, k)
		}},
		{"waits for replicas", "waits for replicas that it does not have", func(tx *table.Tx, k *kms.Key) error {
			k.State, k.Window = kmsapi.KeyStatePendingReplicaDeletion, 7
			return kms.Keys.Put(tx, k)
		}},
		{"window without waiting", "has a waiting period of 7 days for its replicas", func(tx *table.Tx, k *kms.Key) error {
			k.Window = 7
			return kms.Keys.Put(tx, k)
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

// fsck compares the keys of a set.
func TestCheckOfSets(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		damage     func(k *kms.Key)
	}{
		{"another primary", "has primary region eu-west-1 and replicas [eu-west-1], not us-east-1 and [eu-west-1]", func(k *kms.Key) { k.Primary = eu }},
		{"no place", "its set has no place for it", func(k *kms.Key) { k.Primary, k.Replicas = "eu-west-3", []string{"eu-west-2"} }},
		{"a replica too many", "its set: the key in eu-west-2: kv: not found", func(k *kms.Key) { k.Replicas = []string{eu, "eu-west-2"} }},
		{"another period", "is of another kind or rotation", func(k *kms.Key) { k.Period, k.From = 90, 1 }},
		{"less material", "has other material", func(k *kms.Key) { k.Materials = k.Materials[1:] }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.in(ours, us)
			id := c.primary(eu)
			must(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id})
			if f := w.check(); f != nil {
				t.Fatalf("sound, but: %v", f)
			}
			var before kms.Key
			put := func(change func(k *kms.Key)) {
				t.Helper()
				err := w.db.Update(t.Context(), func(tx *table.Tx) error {
					k, err := kms.Keys.Load(tx, table.K(ours, eu, id))
					if err != nil {
						return err
					}
					change(k)
					return kms.Keys.Put(tx, k)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			put(func(k *kms.Key) {
				before = *k
				before.Materials = slices.Clone(k.Materials)
				tc.damage(k)
			})
			if found := w.check(); !strings.Contains(strings.Join(found, "\n"), tc.want) {
				t.Errorf("found %q, want %q", found, tc.want)
			}
			put(func(k *kms.Key) { *k = before })
		})
	}
}
