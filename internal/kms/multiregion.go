package kms

import (
	"fmt"
	"slices"
	"strings"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/arn"
	"coffer/internal/table"
)

// A multi-Region key is a set of keys with one id in several regions of one
// account. Each has a row of its own with all it needs, so that using one never
// looks at another; what they share (material, rotation, who is primary) is
// written to all of them in one transaction.

const (
	multiRegionPrefix = "mrk-"

	// maxReplicas keeps such a transaction within its limits: a replica takes
	// three operations of the 128 there are, or four with an index, and its row
	// up to a tenth of the bytes.
	maxReplicas = 9
)

func (k *Key) multiRegion() bool { return k.Primary != "" }
func (k *Key) replica() bool     { return k.multiRegion() && k.Primary != k.Region }

func (k *Key) multiRegionType() string {
	if k.replica() {
		return kmsapi.MultiRegionKeyTypeReplica
	}
	return kmsapi.MultiRegionKeyTypePrimary
}

func notPrimary(k *Key) error {
	return kmsapi.UnsupportedOperationException(k.ARN + " is not a multi-region primary key.")
}

// arnIn is the ARN of the key of the set in another region.
func (k *Key) arnIn(region string) string {
	return arn.ARN{Partition: arn.Partition(region), Service: "kms", Region: region, Account: k.Account, Resource: "key/" + k.ID}.String()
}

// describeSet adds what metadata says of the set.
func (k *Key) describeSet(m *kmsapi.KeyMetadata) {
	if !k.multiRegion() {
		return
	}
	member := func(region string) kmsapi.MultiRegionKey {
		return kmsapi.MultiRegionKey{Arn: new(k.arnIn(region)), Region: new(region)}
	}
	c := &kmsapi.MultiRegionConfiguration{
		MultiRegionKeyType: new(k.multiRegionType()), PrimaryKey: new(member(k.Primary)), ReplicaKeys: make([]kmsapi.MultiRegionKey, 0, len(k.Replicas)),
	}
	for _, region := range k.Replicas {
		c.ReplicaKeys = append(c.ReplicaKeys, member(region))
	}
	m.MultiRegionConfiguration = c
	if k.State == pendingReplicaDeletion {
		m.PendingDeletionWindowInDays = new(int64(k.Window))
	}
}

// inOthers changes and stores the keys of k's set but k itself.
func (k *Key) inOthers(r *api.Request, change func(*Key)) error {
	if k.replica() {
		if err := k.inRegion(r, k.Primary, change); err != nil {
			return err
		}
	}
	return k.inReplicas(r, change)
}

// inReplicas changes and stores the replicas of k's set but k itself.
func (k *Key) inReplicas(r *api.Request, change func(*Key)) error {
	for _, region := range k.Replicas {
		if region == k.Region {
			continue
		}
		if err := k.inRegion(r, region, change); err != nil {
			return err
		}
	}
	return nil
}

func (k *Key) inRegion(r *api.Request, region string, change func(*Key)) error {
	other, err := Keys.Load(r.Tx, table.K(k.Account, region, k.ID))
	if err != nil {
		return fmt.Errorf("kms: key of the set of %s in %s: %w", k.ARN, region, err)
	}
	change(other)
	return Keys.Put(r.Tx, other)
}

// setSize is about what the rows of k and its replicas take.
func (k *Key) setSize(r *api.Request) (int, error) {
	n := k.size()
	for _, region := range k.Replicas {
		other, err := Keys.Get(r.Tx, table.K(k.Account, region, k.ID))
		if err != nil {
			return 0, fmt.Errorf("kms: key of the set of %s in %s: %w", k.ARN, region, err)
		}
		n += other.size()
	}
	return n, nil
}

func resolveReplicateKey(r *api.Request, in *kmsapi.ReplicateKeyInput) (target, api.Access, error) {
	if err := checkTags(len(in.Tags)); err != nil {
		return target{}, api.Access{}, err
	}
	t, err := locate(r, *in.KeyId, false)
	a := t.access("")
	// The rest is asked for in the replica's region, on no resource.
	create := api.Access{Action: "kms:CreateKey", Account: r.Account, Region: *in.ReplicaRegion, RequestTags: requestTags(in.Tags), Keys: t.about()}
	a.Also = []api.Access{create}
	if len(in.Tags) > 0 {
		create.Action = "kms:TagResource"
		a.Also = append(a.Also, create)
	}
	return t, a, err
}

// replicateKey makes the key of another region. It can be used at once, though
// the answer says as AWS's does that it is being created.
func (s *Service) replicateKey(r *api.Request, in *kmsapi.ReplicateKeyInput, t target) (*kmsapi.ReplicateKeyOutput, error) {
	k, err := t.change(r)
	if err != nil {
		return nil, err
	}
	if !k.multiRegion() || k.replica() {
		return nil, notPrimary(k)
	}
	if err := k.usable(); err != nil {
		return nil, err
	}
	region := *in.ReplicaRegion
	if err := k.replicable(r, region); err != nil {
		return nil, err
	}
	tags, err := mergeTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	p := &Policy{Account: k.Account, Region: region, KeyID: k.ID, Text: defaultPolicy(r)}
	if in.Policy != nil {
		p.Text = *in.Policy
		if p.Principals, err = checkPolicy(r, k.arnIn(region), p.Text, in.BypassPolicyLockoutSafetyCheck); err != nil {
			return nil, err
		}
	}
	replicas := append(slices.Clone(k.Replicas), region)
	slices.Sort(replicas)
	if err := k.inReplicas(r, func(other *Key) { other.Replicas = replicas }); err != nil {
		return nil, err
	}
	k.Replicas = replicas
	if err := Keys.Put(r.Tx, k); err != nil {
		return nil, err
	}
	replica := k.replicate(r, region)
	replica.Tags = tags
	if in.Description != nil {
		replica.Description = *in.Description
	}
	if err := Keys.Put(r.Tx, replica); err != nil {
		return nil, err
	}
	if err := Policies.Put(r.Tx, p); err != nil {
		return nil, err
	}
	out := &kmsapi.ReplicateKeyOutput{ReplicaKeyMetadata: replica.metadata(), ReplicaPolicy: new(p.Text), ReplicaTags: []kmsapi.Tag{}}
	out.ReplicaKeyMetadata.KeyState, out.ReplicaKeyMetadata.Enabled = new(kmsapi.KeyStateCreating), new(false)
	for _, tag := range tags {
		out.ReplicaTags = append(out.ReplicaTags, kmsapi.Tag{TagKey: new(tag.Key), TagValue: new(tag.Value)})
	}
	return out, nil
}

// replicable refuses regions that cannot have a replica of k.
func (k *Key) replicable(r *api.Request, region string) error {
	if arn.Partition(region) != r.Partition() {
		return kmsapi.UnsupportedOperationException("Region " + region + " is not in the partition of the key: " + k.ARN)
	}
	if region == k.Region || slices.Contains(k.Replicas, region) {
		return kmsapi.AlreadyExistsException("The key already exists: " + k.arnIn(region))
	}
	if len(k.Replicas) >= maxReplicas {
		return kmsapi.LimitExceededException(fmt.Sprintf("The limit of %d replicas has been reached for the key: %s", maxReplicas, k.ARN))
	}
	return nil
}

// replicate is k in another region, with all that the keys of a set share. Of
// imported material it knows which, and has none.
func (k *Key) replicate(r *api.Request, region string) *Key {
	replica := &Key{
		Account: k.Account, Region: region, ID: k.ID, ARN: k.arnIn(region), Created: table.At(r.Time),
		Spec: k.Spec, Usage: k.Usage, Origin: k.Origin, State: enabled, Materials: slices.Clone(k.Materials),
		Period: k.Period, From: k.From, Primary: k.Primary, Replicas: k.Replicas,
	}
	if !k.external() {
		return replica
	}
	for i := range replica.Materials {
		m := &replica.Materials[i]
		m.Wrapped, m.Expires, m.Description = nil, 0, ""
	}
	replica.settle()
	return replica
}

// moving is a set on its way to another primary.
type moving struct {
	from, to target
}

func resolveUpdatePrimaryRegion(r *api.Request, in *kmsapi.UpdatePrimaryRegionInput) (m moving, a api.Access, err error) {
	if m.from, err = locate(r, *in.KeyId, false); err != nil {
		return m, a, err
	}
	a = m.from.access("")
	// The permission is needed on both keys. Which the other is follows from the
	// form of the request, so that the answer says nothing of what exists.
	id := m.from.arn[strings.LastIndexByte(m.from.arn, '/')+1:]
	there := *r
	there.Region = *in.PrimaryRegion
	m.to, err = locateKey(&there, m.from.account, id)
	other := m.to.access("")
	other.Region = *in.PrimaryRegion // where it is asked for: aws:RequestedRegion
	a.Also = []api.Access{other}
	return m, a, err
}

// updatePrimaryRegion makes a replica the primary key and the primary key a
// replica. Both are back to what they were before anyone can see them Updating.
func updatePrimaryRegion(r *api.Request, in *kmsapi.UpdatePrimaryRegionInput, m moving) (*kmsapi.UpdatePrimaryRegionOutput, error) {
	k, err := m.from.change(r)
	if err != nil {
		return nil, err
	}
	if !k.multiRegion() || k.replica() {
		return nil, notPrimary(k)
	}
	if err := k.usable(); err != nil {
		return nil, err
	}
	region := *in.PrimaryRegion
	if region == k.Region {
		return nil, kmsapi.UnsupportedOperationException(k.ARN + " is the multi-region primary key already.")
	}
	// Nobody but a replica can have the id there: it is random.
	to, err := m.to.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	if err := to.usable(); err != nil {
		return nil, err
	}
	replicas := slices.DeleteFunc(slices.Clone(k.Replicas), func(s string) bool { return s == region })
	replicas = append(replicas, k.Region)
	slices.Sort(replicas)
	swap := func(each *Key) { each.Primary, each.Replicas = region, replicas }
	if err := k.inReplicas(r, swap); err != nil {
		return nil, err
	}
	swap(k)
	return &kmsapi.UpdatePrimaryRegionOutput{}, Keys.Put(r.Tx, k)
}

// leave takes k, which is being deleted, from its set. When it was the last
// replica of a primary key that waits for that, the primary key's own waiting
// period begins now: not when k should have been gone, which may be weeks ago if
// nothing ran, and would leave nobody the time to change their mind.
func (k *Key) leave(r *api.Request) error {
	if !k.replica() {
		return nil
	}
	replicas := slices.DeleteFunc(slices.Clone(k.Replicas), func(s string) bool { return s == k.Region })
	return k.inOthers(r, func(other *Key) {
		other.Replicas = replicas
		if other.State == pendingReplicaDeletion && len(replicas) == 0 {
			other.State, other.Deletion = pendingDeletion, table.At(r.Time)+table.Millis(other.Window)*day
			other.Window = 0
		}
	})
}

// importedEverywhere reports whether every key of k's set has the material.
func (k *Key) importedEverywhere(r *api.Request, id string) (bool, error) {
	regions := []string{k.Region} // of a key that is alone
	if k.multiRegion() {
		regions = append(slices.Clone(k.Replicas), k.Primary)
	}
	for _, region := range regions {
		other, err := Keys.Get(r.Tx, table.K(k.Account, region, k.ID))
		if err != nil {
			return false, fmt.Errorf("kms: key of the set of %s in %s: %w", k.ARN, region, err)
		}
		if m := other.at(r.Time).material(id); m == nil || m.Wrapped == nil {
			return false, nil
		}
	}
	return true, nil
}
