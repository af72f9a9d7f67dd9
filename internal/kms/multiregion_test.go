package kms_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	kmsapi "coffer/internal/api/kms"
)

const ap = "ap-southeast-2"

// primary makes a multi-Region key with replicas.
func (c client) primary(regions ...string) string {
	c.Helper()
	id := *must(c, kmsapi.CreateKey, &kmsapi.CreateKeyInput{MultiRegion: new(true)}).KeyMetadata.KeyId
	for _, region := range regions {
		c.replicate(id, region)
	}
	return id
}

func (c client) replicate(id, region string) *kmsapi.ReplicateKeyOutput {
	c.Helper()
	return must(c, kmsapi.ReplicateKey, &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: &region})
}

// wantSet: all keys of the set say the same of it.
func (w *world) wantSet(id, primary string, replicas ...string) {
	w.Helper()
	arn := func(region string) string { return w.in(ours, region).arn("key/" + id) }
	for _, region := range append([]string{primary}, replicas...) {
		m := w.in(ours, region).describe(id)
		kind := "REPLICA"
		if region == primary {
			kind = "PRIMARY"
		}
		got := *m.MultiRegionConfiguration.MultiRegionKeyType + " " + *m.MultiRegionConfiguration.PrimaryKey.Arn + " " + *m.MultiRegionConfiguration.PrimaryKey.Region
		want := kind + " " + arn(primary) + " " + primary
		for _, r := range m.MultiRegionConfiguration.ReplicaKeys {
			got += " " + *r.Arn + " " + *r.Region
		}
		for _, r := range replicas {
			want += " " + arn(r) + " " + r
		}
		if got != want || !*m.MultiRegion || *m.Arn != arn(region) {
			w.Errorf("in %s the set is\n%s\nwant\n%s", region, got, want)
		}
	}
}

func TestMultiRegionKeys(t *testing.T) {
	w := newWorld(t)
	c, c2, c3 := w.in(ours, us), w.in(ours, eu), w.in(ours, ap)
	m := must(c, kmsapi.CreateKey, &kmsapi.CreateKeyInput{MultiRegion: new(true), Description: new("mine")}).KeyMetadata
	id := *m.KeyId
	if !strings.HasPrefix(id, "mrk-") || len(id) != 36 || strings.Count(id, "-") != 1 || m.MultiRegionConfiguration.ReplicaKeys == nil {
		t.Errorf("key %+v", m)
	}
	w.wantSet(id, us)
	old := c.encrypt(id, "old")
	must(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id})

	out := must(c, kmsapi.ReplicateKey, &kmsapi.ReplicateKeyInput{KeyId: m.Arn, ReplicaRegion: new(eu), Tags: tagList("a", "b")})
	r := out.ReplicaKeyMetadata
	if *r.KeyState != "Creating" || *r.Enabled || *r.Description != "" || *r.Arn != c2.arn("key/"+id) || *r.KeyId != id || len(out.ReplicaTags) != 1 ||
		!strings.Contains(*out.ReplicaPolicy, "key-default-1") || *r.CurrentKeyMaterialId != *c.describe(id).CurrentKeyMaterialId {
		t.Errorf("replica %+v, %+v", r, out)
	}
	c2.wantState(id, "Enabled")
	if got := must(c2, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: &id}); *got.Policy != *out.ReplicaPolicy {
		t.Errorf("policy %s", *got.Policy)
	}
	w.wantSet(id, us, eu)
	must(c, kmsapi.ReplicateKey, &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: new(ap), Description: new("down under"),
		Policy: new(strings.Replace(*out.ReplicaPolicy, "key-default-1", "own", 1))})
	w.wantSet(id, us, ap, eu)
	if d := c3.describe(id); *d.Description != "down under" {
		t.Errorf("description %s", *d.Description)
	}
	if got := must(c3, kmsapi.GetKeyPolicy, &kmsapi.GetKeyPolicyInput{KeyId: &id}); !strings.Contains(*got.Policy, `"own"`) {
		t.Errorf("policy %s", *got.Policy)
	}

	// Each opens what another sealed, from before the replication too.
	each := []client{c, c2, c3}
	interoperate := func() {
		t.Helper()
		for _, from := range each {
			blob := from.encrypt(id, "text", "k", "v")
			for _, to := range each {
				if to.decrypt(blob, "k", "v") != "text" || to.decrypt(old) != "old" {
					t.Errorf("%s does not open what %s sealed", to.region, from.region)
				}
				d := must(to, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: blob, KeyId: &id, EncryptionContext: pairs([]string{"k", "v"})})
				if *d.KeyId != to.arn("key/"+id) {
					t.Errorf("in %s the key is %s", to.region, *d.KeyId)
				}
			}
		}
	}
	interoperate()
	// A rotation of the primary key is one of all, at once.
	must(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id})
	lists := map[string]bool{}
	for _, each := range each {
		list := each.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id, IncludeKeyMaterial: new("ALL_KEY_MATERIAL")})
		lists[fmt.Sprint(*list[0].KeyMaterialId, *list[1].KeyMaterialId, *list[2].KeyMaterialId, *list[2].RotationType, list[2].RotationDate)] = true
		if len(list) != 3 {
			t.Errorf("%d materials in %s", len(list), each.region)
		}
	}
	if len(lists) != 1 {
		t.Errorf("rotations differ: %v", lists)
	}
	interoperate()
	synced := map[string]bool{}
	for _, e := range w.events {
		if e.Name == "SynchronizeMultiRegionKey" {
			synced[e.Region+e.Data["keyId"]] = true
		}
	}
	if !synced[eu+c2.arn("key/"+id)] || !synced[ap+c3.arn("key/"+id)] {
		t.Errorf("events %v", synced)
	}
	// The rest is each one's own.
	must(c2, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: &id})
	c.wantState(id, "Enabled")
	must(c2, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: &id})
	c.createAlias("alias/a", id)
	refuse(c2, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: new("alias/a")}, "NotFoundException", "Alias "+c2.arn("alias/a")+" is not found.")
}

// Automatic rotation is set on the primary key, shown by all, and turns all.
func TestMultiRegionRotation(t *testing.T) {
	w := newWorld(t)
	c, c2 := w.in(ours, us), w.in(ours, eu)
	id := c.primary(eu)
	start := w.now
	notPrimary := c2.arn("key/"+id) + " is not a multi-region primary key."
	for _, err := range []error{
		errOf(call(c2, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &id})),
		errOf(call(c2, kmsapi.DisableKeyRotation, &kmsapi.DisableKeyRotationInput{KeyId: &id})),
		errOf(call(c2, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id})),
	} {
		apitest.Refused(t, "on a replica", err, "UnsupportedOperationException", notPrimary)
	}
	must(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: new(int64(90))})
	c.replicate(id, ap)
	for _, region := range []string{us, eu, ap} {
		w.in(ours, region).wantRotation(id, 90, start.Add(90*dayLength))
	}
	w.now = start.Add(90 * dayLength)
	w.task(w.service.RotateDue)
	for _, region := range []string{us, eu, ap} {
		c := w.in(ours, region)
		if n := len(c.rotations(kmsapi.ListKeyRotationsInput{KeyId: &id})); n != 1 {
			t.Errorf("%d rotations in %s, want 1", n, region)
		}
		c.wantRotation(id, 90, w.now.Add(90*dayLength))
	}
	// The schedule moves with the primary key.
	c = w.in(ours, us)
	must(c, kmsapi.UpdatePrimaryRegion, &kmsapi.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: new(eu)})
	w.now = w.now.Add(90 * dayLength)
	w.task(w.service.RotateDue)
	if n := len(w.in(ours, us).rotations(kmsapi.ListKeyRotationsInput{KeyId: &id})); n != 2 {
		t.Errorf("%d rotations after the move, want 2", n)
	}
	must(w.in(ours, eu), kmsapi.DisableKeyRotation, &kmsapi.DisableKeyRotationInput{KeyId: &id})
	w.in(ours, us).wantRotation(id, 0, start)
}

func errOf(_ any, err error) error { return err }

// Sets of full size, all due at once, rotate within a transaction's limits.
func TestRotateDueOfFullSets(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, us)
	var tags []string
	for i := range 50 {
		tags = append(tags, fmt.Sprintf("%02d", i)+strings.Repeat("\U0001f511", 126), strings.Repeat("\U0001f511", 256))
	}
	var ids []string
	for i := range 4 {
		var regions []string
		for j := range 9 {
			regions = append(regions, fmt.Sprintf("eu-west-%d", j+1))
		}
		id := c.primary(regions...)
		if i == 0 { // one of them as large as it gets
			for _, region := range append(regions, us) {
				must(w.in(ours, region), kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: &id, Tags: tagList(tags...)})
				must(w.in(ours, region), kmsapi.UpdateKeyDescription, &kmsapi.UpdateKeyDescriptionInput{KeyId: &id, Description: new(strings.Repeat("\U0001f511", 8192))})
			}
		}
		must(c, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: &id})
		ids = append(ids, id)
	}
	refuse(c, kmsapi.ReplicateKey, &kmsapi.ReplicateKeyInput{KeyId: &ids[0], ReplicaRegion: new(ap)}, "LimitExceededException", "The limit of 9 replicas has been reached for the key: "+c.arn("key/"+ids[0]))
	w.now = w.now.Add(365 * dayLength)
	w.task(w.service.RotateDue)
	for _, id := range ids {
		if n := len(w.in(ours, "eu-west-9").rotations(kmsapi.ListKeyRotationsInput{KeyId: &id})); n != 1 {
			t.Errorf("%d rotations, want 1", n)
		}
	}
	// And are deleted within them.
	for j := range 9 {
		must(w.in(ours, fmt.Sprintf("eu-west-%d", j+1)), kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &ids[0]})
	}
	w.now = w.now.Add(30 * dayLength)
	w.task(w.service.PurgeDue)
	w.wantSet(ids[0], us)
}

func TestReplicateRefusals(t *testing.T) {
	w := newWorld(t)
	c, c2 := w.in(ours, us), w.in(ours, eu)
	id, single := c.primary(eu), c.createKey()
	arn := c.arn("key/" + id)
	pending := c.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", true)
	for _, tc := range []struct {
		name          string
		c             client
		key, region   string
		code, message string
	}{
		{"a key of one region", c, *single.KeyId, eu, "UnsupportedOperationException", *single.Arn + " is not a multi-region primary key."},
		{"a replica", c2, id, ap, "UnsupportedOperationException", c2.arn("key/"+id) + " is not a multi-region primary key."},
		{"where it is", c, id, us, "AlreadyExistsException", "The key already exists: " + arn},
		{"where a replica is", c, id, eu, "AlreadyExistsException", "The key already exists: " + c2.arn("key/"+id)},
		{"another partition", c, id, "cn-north-1", "UnsupportedOperationException", "Region cn-north-1 is not in the partition of the key: " + arn},
		{"no region", c, id, "nowhere", "ValidationException", "1 validation error detected: Value 'nowhere' at 'replicaRegion' failed to satisfy constraint: Member must satisfy regular expression pattern: ^([a-z]+-){2,3}\\d+$"},
		{"no material", c, *pending.KeyId, eu, "KMSInvalidStateException", *pending.Arn + " is pending import."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			refuse(tc.c.with(t), kmsapi.ReplicateKey, &kmsapi.ReplicateKeyInput{KeyId: &tc.key, ReplicaRegion: &tc.region}, tc.code, tc.message)
		})
	}
	refuse(c, kmsapi.ReplicateKey, &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: new(ap), Tags: tagList("aws:x", "")}, "TagException", "Tags beginning with aws: are reserved")
	refuse(c, kmsapi.ReplicateKey, &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: new(ap), Policy: new("{")}, "MalformedPolicyDocumentException", "")
	must(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: &id})
	refuse(c, kmsapi.ReplicateKey, &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: new(ap)}, "DisabledException", arn+" is disabled.")
	w.wantSet(id, us, eu)
	refuse(w.in(ours, ap), kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: &id}, "NotFoundException", "Key '"+w.in(ours, ap).arn("key/"+id)+"' does not exist")
}

func TestUpdatePrimaryRegion(t *testing.T) {
	w := newWorld(t)
	c, c2 := w.in(ours, us), w.in(ours, eu)
	id := c.primary(eu, ap)
	update := func(c client, region string) error {
		return errOf(call(c, kmsapi.UpdatePrimaryRegion, &kmsapi.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: &region}))
	}
	if err := update(c, eu); err != nil {
		t.Fatal(err)
	}
	w.wantSet(id, eu, ap, us)
	c.wantState(id, "Enabled")
	apitest.Refused(t, "by a replica", update(c, ap), "UnsupportedOperationException", c.arn("key/"+id)+" is not a multi-region primary key.")
	apitest.Refused(t, "to itself", update(c2, eu), "UnsupportedOperationException", c2.arn("key/"+id)+" is the multi-region primary key already.")
	apitest.Refused(t, "where none is", update(c2, "eu-west-2"), "NotFoundException", "Key 'arn:aws:kms:eu-west-2:"+ours+":key/"+id+"' does not exist")
	// A region that the key never was in replicates from the new primary key.
	c2.replicate(id, "eu-west-2")
	w.wantSet(id, eu, ap, "eu-west-2", us)
	must(c, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: &id})
	apitest.Refused(t, "to a disabled one", update(c2, us), "DisabledException", c.arn("key/"+id)+" is disabled.")
	must(c, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: &id})
	must(c2, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: &id})
	apitest.Refused(t, "from a disabled one", update(c2, us), "DisabledException", c2.arn("key/"+id)+" is disabled.")
	must(c2, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: &id})
	if err := update(c2, us); err != nil {
		t.Fatal(err)
	}
	w.wantSet(id, us, ap, eu, "eu-west-2")
	single := c.createKey()
	refuse(c, kmsapi.UpdatePrimaryRegion, &kmsapi.UpdatePrimaryRegionInput{KeyId: single.KeyId, PrimaryRegion: new(eu)}, "UnsupportedOperationException", *single.Arn+" is not a multi-region primary key.")
}

// A primary key waits for its replicas, and then for its own time.
func TestDeletionOfSets(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, us)
	id := c.primary(eu, ap)
	arn := c.arn("key/" + id)
	out := must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: new(int64(8))})
	if *out.KeyState != "PendingReplicaDeletion" || out.DeletionDate != nil || *out.PendingWindowInDays != 8 || *out.KeyId != arn {
		t.Errorf("scheduled: %+v", out)
	}
	m := c.describe(id)
	if *m.KeyState != "PendingReplicaDeletion" || *m.Enabled || m.DeletionDate != nil || *m.PendingDeletionWindowInDays != 8 {
		t.Errorf("described: %+v", m)
	}
	const waiting = " is pending replica deletion."
	refuse(c, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: &id, Plaintext: api.Sensitive("x")}, "KMSInvalidStateException", arn+waiting)
	refuse(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &id}, "KMSInvalidStateException", arn+waiting)
	refuse(c, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: &id}, "KMSInvalidStateException", arn+waiting)
	refuse(c, kmsapi.ReplicateKey, &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: new("eu-west-2")}, "KMSInvalidStateException", arn+waiting)
	refuse(c, kmsapi.UpdatePrimaryRegion, &kmsapi.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: new(eu)}, "KMSInvalidStateException", arn+waiting)
	w.in(ours, eu).encrypt(id, "replicas go on")
	must(c, kmsapi.CancelKeyDeletion, &kmsapi.CancelKeyDeletionInput{KeyId: &id})
	c.wantState(id, "Disabled")
	must(c, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: new(int64(8))})

	for _, region := range []string{eu, ap} {
		r := w.in(ours, region)
		r.createAlias("alias/"+region, id)
		if out := must(r, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: new(int64(7))}); *out.KeyState != "PendingDeletion" || out.DeletionDate == nil {
			t.Errorf("replica: %+v", out)
		}
		w.now = w.now.Add(7 * dayLength)
		// Until the worker has been there, no replica can take the place.
		refuse(w.in(ours, us), kmsapi.ReplicateKey, &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: &region}, "KMSInvalidStateException", arn+waiting)
		w.task(w.service.PurgeDue)
	}
	c = w.in(ours, us)
	m = c.describe(id)
	if *m.KeyState != "PendingDeletion" || !m.DeletionDate.Equal(w.now.Add(8*dayLength)) || m.PendingDeletionWindowInDays != nil || len(m.MultiRegionConfiguration.ReplicaKeys) != 0 {
		t.Errorf("after the replicas: %+v", m)
	}
	w.now = w.now.Add(8 * dayLength)
	c = w.in(ours, us)
	refuse(c, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: &id}, "NotFoundException", "Key '"+arn+"' does not exist")
	w.task(w.service.PurgeDue)
}

// A replica that is gone can be made again, once nothing is left of it.
func TestReplicaComesBack(t *testing.T) {
	w := newWorld(t)
	c := w.in(ours, us)
	id := c.primary(eu)
	blob := w.in(ours, eu).encrypt(id, "text")
	w.in(ours, eu).createAlias("alias/a", id)
	must(w.in(ours, eu), kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: new(int64(7))})
	w.now = w.now.Add(7 * dayLength)
	c = w.in(ours, us)
	refuse(c, kmsapi.ReplicateKey, &kmsapi.ReplicateKeyInput{KeyId: &id, ReplicaRegion: new(eu)}, "AlreadyExistsException", "The key already exists: "+w.in(ours, eu).arn("key/"+id))
	refuse(c, kmsapi.UpdatePrimaryRegion, &kmsapi.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: new(eu)}, "NotFoundException", "Key '"+w.in(ours, eu).arn("key/"+id)+"' does not exist")
	w.task(w.service.PurgeDue)
	w.wantSet(id, us)
	c.replicate(id, eu)
	if w.in(ours, eu).decrypt(blob) != "text" {
		t.Error("the ciphertext of the replica before does not decrypt")
	}
	if names := w.in(ours, eu).aliases(kmsapi.ListAliasesInput{}); len(names) != 0 {
		t.Errorf("aliases of the replica before: %v", names)
	}
}

// Asymmetric and HMAC keys are one in all regions.
func TestMultiRegionPairs(t *testing.T) {
	w := newWorld(t)
	c, c2 := w.in(ours, us), w.in(ours, eu)
	for spec, usage := range map[string]string{"RSA_2048": "SIGN_VERIFY", "ECC_NIST_P256": "SIGN_VERIFY", "HMAC_256": "GENERATE_VERIFY_MAC"} {
		id := *must(c, kmsapi.CreateKey, &kmsapi.CreateKeyInput{MultiRegion: new(true), KeySpec: &spec, KeyUsage: &usage}).KeyMetadata.KeyId
		c.replicate(id, eu)
		if spec == "HMAC_256" {
			mac := must(c, kmsapi.GenerateMac, &kmsapi.GenerateMacInput{KeyId: &id, Message: api.Sensitive("m"), MacAlgorithm: new("HMAC_SHA_256")}).Mac
			must(c2, kmsapi.VerifyMac, &kmsapi.VerifyMacInput{KeyId: &id, Message: api.Sensitive("m"), MacAlgorithm: new("HMAC_SHA_256"), Mac: mac})
			continue
		}
		one, two := must(c, kmsapi.GetPublicKey, &kmsapi.GetPublicKeyInput{KeyId: &id}), must(c2, kmsapi.GetPublicKey, &kmsapi.GetPublicKeyInput{KeyId: &id})
		if !bytes.Equal(one.PublicKey, two.PublicKey) || !reflect.DeepEqual(one.SigningAlgorithms, two.SigningAlgorithms) {
			t.Errorf("%s: public keys differ", spec)
		}
		algorithm := one.SigningAlgorithms[0]
		s := must(c, kmsapi.Sign, &kmsapi.SignInput{KeyId: &id, Message: api.Sensitive("m"), SigningAlgorithm: &algorithm}).Signature
		must(c2, kmsapi.Verify, &kmsapi.VerifyInput{KeyId: &id, Message: api.Sensitive("m"), SigningAlgorithm: &algorithm, Signature: s})
	}
}

// Imported material goes into each key of a set, the same into all.
func TestImportIntoSets(t *testing.T) {
	w := newWorld(t)
	c, c2, c3 := w.in(ours, us), w.in(ours, eu), w.in(ours, ap)
	id := *c.external("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", true).KeyId
	first := c.bring(id, secretOf(1), "")
	if out := c.replicate(id, eu); *out.ReplicaKeyMetadata.KeyState != "Creating" {
		t.Errorf("replica %+v", out.ReplicaKeyMetadata)
	}
	c.replicate(id, ap)
	c2.wantState(id, "PendingImport")
	c.wantState(id, "Enabled")
	in := c2.wrapped(id, secretOf(9))
	refuse(c2, kmsapi.ImportKeyMaterial, &in, "IncorrectKeyMaterialException", "The key material is not the one previously imported into the key: "+c2.arn("key/"+id))
	in.ImportType = new(isNew)
	refuse(c2, kmsapi.ImportKeyMaterial, &in, "UnsupportedOperationException", c2.arn("key/"+id)+" is not a multi-region primary key.")
	// A token is good for the key of its region.
	in = c.wrapped(id, secretOf(1))
	refuse(c2, kmsapi.ImportKeyMaterial, &in, "InvalidImportTokenException", "The import token is not valid for the key: "+c2.arn("key/"+id))
	for _, each := range []client{c2, c3} {
		if got := each.bring(id, secretOf(1), isOld); got != first {
			t.Errorf("material id %s, want %s", got, first)
		}
	}
	blob := c.encrypt(id, "text")
	if c2.decrypt(blob) != "text" || c3.decrypt(c2.encrypt(id, "text")) != "text" {
		t.Error("the keys do not open each other's ciphertexts")
	}

	// New material: into the primary key, then into the replicas, then turn.
	const everywhere, partly = "PENDING_ROTATION", "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
	none := "No available key material pending rotation for the key: " + c.arn("key/"+id)
	second := c.bring(id, secretOf(2), isNew)
	c.wantList(id, "CURRENT IMPORTED", partly+" IMPORTED")
	c2.wantList(id, "CURRENT IMPORTED", partly+" PENDING_IMPORT")
	c2.wantState(id, "Enabled")
	refuse(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id}, "KMSInvalidStateException", none)
	c2.bring(id, secretOf(2), isOld)
	refuse(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id}, "KMSInvalidStateException", none)
	c3.bring(id, secretOf(2), isOld)
	for _, each := range []client{c, c2, c3} {
		each.wantList(id, "CURRENT IMPORTED", everywhere+" IMPORTED")
	}
	// A replica loses its own only; the primary key's loss is everybody's.
	must(c3, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id, KeyMaterialId: &second})
	c3.wantState(id, "Enabled")
	c3.wantList(id, "CURRENT IMPORTED", partly+" PENDING_IMPORT")
	c.wantList(id, "CURRENT IMPORTED", partly+" IMPORTED")
	must(c, kmsapi.DeleteImportedKeyMaterial, &kmsapi.DeleteImportedKeyMaterialInput{KeyId: &id, KeyMaterialId: &second})
	for _, each := range []client{c, c2, c3} {
		each.wantList(id, "CURRENT IMPORTED")
	}
	c.bring(id, secretOf(3), isNew)
	c2.bring(id, secretOf(3), isOld)
	c3.bring(id, secretOf(3), isOld)
	must(c, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: &id})
	for _, each := range []client{c, c2, c3} {
		each.wantList(id, "NON_CURRENT IMPORTED", "CURRENT IMPORTED ON_DEMAND")
		if each.decrypt(blob) != "text" {
			t.Errorf("%s does not open an old ciphertext", each.region)
		}
	}
	// A key that joins now has all of it to import.
	c.replicate(id, "eu-west-2")
	late := w.in(ours, "eu-west-2")
	late.wantList(id, "NON_CURRENT PENDING_IMPORT", "CURRENT PENDING_IMPORT ON_DEMAND")
	late.bring(id, secretOf(3), "")
	late.wantState(id, "PendingImport")
	late.bring(id, secretOf(1), "")
	late.wantState(id, "Enabled")
	if late.decrypt(blob) != "text" {
		t.Error("the late one does not open an old ciphertext")
	}
}
