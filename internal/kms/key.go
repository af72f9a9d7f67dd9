package kms

import (
	"strings"
	"time"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/material"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Key is a KMS key in one account and region.
type Key struct {
	Account     string       `cbor:"1,keyasint"`
	Region      string       `cbor:"2,keyasint"`
	ID          string       `cbor:"3,keyasint"`
	ARN         string       `cbor:"4,keyasint"` // kept, though it follows from the rest: every call needs it
	Created     table.Millis `cbor:"5,keyasint"`
	Description string       `cbor:"6,keyasint,omitempty"`
	Spec        string       `cbor:"7,keyasint"`
	Usage       string       `cbor:"8,keyasint"`
	Origin      string       `cbor:"9,keyasint"`
	State       string       `cbor:"10,keyasint"` // one of the KeyState constants of the model
	Deletion    table.Millis `cbor:"11,keyasint,omitempty"`
	Service     string       `cbor:"12,keyasint,omitempty"` // of an AWS managed key: "secretsmanager"
	Tags        []Tag        `cbor:"13,keyasint,omitempty"` // by key

	// Materials are all that the key has had, oldest first. New ciphertexts
	// are made with the last that is not pending; the others only decrypt.
	Materials []Material `cbor:"14,keyasint"`

	// Automatic rotation: every Period days (0: off) counted from From.
	Period int          `cbor:"15,keyasint,omitempty"`
	From   table.Millis `cbor:"16,keyasint,omitempty"`

	// Of a multi-Region key: the region of the primary key and those of its
	// replicas, in order. All keys of a set say the same.
	Primary  string   `cbor:"17,keyasint,omitempty"`
	Replicas []string `cbor:"18,keyasint,omitempty"`

	// Window is the waiting period, in days, of a primary key that is to be
	// deleted once its replicas are.
	Window int `cbor:"19,keyasint,omitempty"`

	// Grants is how many grants there are on the key, so that nobody looks for them
	// where there are none.
	Grants int `cbor:"20,keyasint,omitempty"`
}

// Material is one generation of key material.
type Material struct {
	ID       string       `cbor:"1,keyasint"`
	Wrapped  []byte       `cbor:"2,keyasint"` // nil while imported material is to be imported (again)
	Created  table.Millis `cbor:"3,keyasint"`
	Rotation string       `cbor:"4,keyasint,omitempty"` // what brought it: "AUTOMATIC", "ON_DEMAND"; empty: the key's creation
	Public   []byte       `cbor:"5,keyasint,omitempty"` // SubjectPublicKeyInfo of an asymmetric key

	// Of imported material.
	Expires     table.Millis `cbor:"6,keyasint,omitempty"` // 0: never
	Description string       `cbor:"7,keyasint,omitempty"`
	Pending     bool         `cbor:"8,keyasint,omitempty"` // waits for RotateKeyOnDemand; only the last can
}

// Tag is a tag of a key.
type Tag = policy.Tag

// The states a key can be in. Creating and Updating pass before anyone can see
// them, and Unavailable is of custom key stores.
const (
	enabled                = kmsapi.KeyStateEnabled
	disabled               = kmsapi.KeyStateDisabled
	pendingImport          = kmsapi.KeyStatePendingImport
	pendingDeletion        = kmsapi.KeyStatePendingDeletion
	pendingReplicaDeletion = kmsapi.KeyStatePendingReplicaDeletion
)

const (
	deleteIndex = "kms.due.delete"
	rotateIndex = "kms.due.rotate"
	expireIndex = "kms.due.expire"
	idIndex     = "kms.key.id"

	symmetricSpec = kmsapi.KeySpecSymmetricDefault
)

// Keys holds the keys by account, region and id.
var Keys = table.Collection[Key]{
	Name: "kms.key",
	Key:  keyKey,
	Indexes: []table.Index[Key]{
		{Name: deleteIndex, Keys: func(k *Key) []table.Key {
			if k.State != pendingDeletion {
				return nil
			}
			return []table.Key{table.K(k.Deletion.Part(), k.Account, k.Region, k.ID)}
		}},
		{Name: rotateIndex, Keys: func(k *Key) []table.Key {
			// Keys that are disabled or wait for deletion do not rotate; once
			// enabled again they are found here, overdue if they are. Replicas
			// rotate with their primary key.
			if k.Period == 0 || k.State != enabled || k.replica() {
				return nil
			}
			return []table.Key{table.K(k.nextRotation().Part(), k.Account, k.Region, k.ID)}
		}},
		{Name: expireIndex, Keys: func(k *Key) []table.Key {
			if at := k.expires(); at != 0 {
				return []table.Key{table.K(at.Part(), k.Account, k.Region, k.ID)}
			}
			return nil
		}},
		{Name: idIndex, Keys: func(k *Key) []table.Key { return []table.Key{table.K(k.Region, k.ID)} }},
	},
}

func keyKey(k *Key) table.Key { return table.K(k.Account, k.Region, k.ID) }

// over reports whether the key's waiting period has ended.
func (k *Key) over(now time.Time) bool {
	return k.State == pendingDeletion && table.At(now) >= k.Deletion
}

// current is the generation that new ciphertexts are made with; nil if nothing
// was imported ever.
func (k *Key) current() *Material {
	n := len(k.Materials)
	if n > 0 && k.Materials[n-1].Pending {
		n--
	}
	if n == 0 {
		return nil
	}
	return &k.Materials[n-1]
}

func (m *Material) wrapped() material.Wrapped {
	return material.Wrapped{ID: m.ID, Blob: m.Wrapped, Public: m.Public}
}

// material finds a generation by its id, newest first: most ciphertexts are young.
func (k *Key) material(id string) *Material {
	for i := len(k.Materials) - 1; i >= 0; i-- {
		if k.Materials[i].ID == id {
			return &k.Materials[i]
		}
	}
	return nil
}

// usable says why the key cannot be used for cryptography or rotation now.
func (k *Key) usable() error {
	switch k.State {
	case enabled:
		return nil
	case disabled:
		return kmsapi.DisabledException(k.ARN + " is disabled.")
	}
	return k.settled()
}

// settled refuses to enable or disable a key that waits for its deletion or
// for material.
func (k *Key) settled() error {
	if k.State == pendingImport {
		return kmsapi.KMSInvalidStateException(k.ARN + " is pending import.")
	}
	return k.notPending()
}

// notPending refuses changes to a key that waits for its deletion.
func (k *Key) notPending() error {
	switch k.State {
	case pendingDeletion:
		return kmsapi.KMSInvalidStateException(k.ARN + " is pending deletion.")
	case pendingReplicaDeletion:
		return kmsapi.KMSInvalidStateException(k.ARN + " is pending replica deletion.")
	}
	return nil
}

func (k *Key) metadata() *kmsapi.KeyMetadata {
	manager := kmsapi.KeyManagerTypeCustomer
	if k.Service != "" {
		manager = kmsapi.KeyManagerTypeAws
	}
	m := &kmsapi.KeyMetadata{
		AWSAccountId:          new(k.Account),
		KeyId:                 new(k.ID),
		Arn:                   new(k.ARN),
		CreationDate:          k.Created.Ptr(),
		Enabled:               new(k.State == enabled),
		Description:           new(k.Description),
		KeyUsage:              new(k.Usage),
		KeyState:              new(k.State),
		DeletionDate:          k.Deletion.Ptr(),
		Origin:                new(k.Origin),
		KeyManager:            new(manager),
		CustomerMasterKeySpec: new(k.Spec),
		KeySpec:               new(k.Spec),
		MultiRegion:           new(k.multiRegion()),

		// One of these four has something.
		EncryptionAlgorithms:   algorithms(k.Spec, k.Usage, kmsapi.KeyUsageTypeEncryptDecrypt),
		SigningAlgorithms:      algorithms(k.Spec, k.Usage, kmsapi.KeyUsageTypeSignVerify),
		MacAlgorithms:          algorithms(k.Spec, k.Usage, kmsapi.KeyUsageTypeGenerateVerifyMac),
		KeyAgreementAlgorithms: algorithms(k.Spec, k.Usage, kmsapi.KeyUsageTypeKeyAgreement),
	}
	if c := k.current(); c != nil && k.Spec == symmetricSpec {
		m.CurrentKeyMaterialId = new(c.ID)
	}
	k.describeImport(m)
	k.describeSet(m)
	return m
}

// checkSpec returns the key's spec, or what AWS refuses about spec and usage.
func checkSpec(in *kmsapi.CreateKeyInput) (string, error) {
	if in.KeySpec != nil && in.CustomerMasterKeySpec != nil {
		return "", api.ValidationException("You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
	}
	spec := kmsapi.KeySpecSymmetricDefault
	for _, s := range []*string{in.KeySpec, in.CustomerMasterKeySpec} {
		if s != nil {
			spec = *s
		}
	}
	if in.KeyUsage == nil && spec != kmsapi.KeySpecSymmetricDefault {
		return "", api.ValidationException("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	}
	if in.KeyUsage != nil && specs[keySpec{spec, *in.KeyUsage}] == nil {
		return "", api.ValidationException("KeyUsage " + *in.KeyUsage + " is not compatible with KeySpec " + spec)
	}
	return spec, nil
}

// checkServed refuses the kinds of key that AWS has and we do not.
func checkServed(in *kmsapi.CreateKeyInput, spec string) error {
	switch {
	case in.Origin != nil && *in.Origin != kmsapi.OriginTypeAwsKms && *in.Origin != kmsapi.OriginTypeExternal:
		return kmsapi.UnsupportedOperationException("Keys of origin " + *in.Origin + " are not served yet.")
	case in.CustomKeyStoreId != nil || in.XksKeyId != nil:
		return kmsapi.UnsupportedOperationException("Custom key stores are not served yet.")
	case !material.Known(spec):
		return kmsapi.UnsupportedOperationException("Keys of spec " + spec + " are available in China Regions only.")
	}
	return nil
}

// newKey is a key id with the material made for it.
type newKey struct {
	id      string
	wrapped material.Wrapped // without ID: the key waits for its import
}

// prepareCreateKey makes keys that take long to make. What is wrong with the
// request is left for createKey to say.
func (s *Service) prepareCreateKey(r *api.Request, in *kmsapi.CreateKeyInput) error {
	spec, err := checkSpec(in)
	if err != nil || checkServed(in, spec) != nil || !material.Slow(spec) {
		return nil
	}
	k := nameKey(in)
	r.Prepared = k
	return s.draw(r, in, spec, k)
}

func nameKey(in *kmsapi.CreateKeyInput) *newKey {
	id := api.NewID()
	if in.MultiRegion != nil && *in.MultiRegion {
		id = multiRegionPrefix + strings.ReplaceAll(id, "-", "")
	}
	return &newKey{id: id}
}

// draw gives k material, unless it has it already or shall have it imported.
func (s *Service) draw(r *api.Request, in *kmsapi.CreateKeyInput, spec string, k *newKey) (err error) {
	if k.wrapped.ID == "" && (in.Origin == nil || *in.Origin == kmsapi.OriginTypeAwsKms) {
		k.wrapped, err = s.material.Generate(r.Context, k.id, spec)
	}
	return err
}

func resolveCreateKey(r *api.Request, in *kmsapi.CreateKeyInput) (struct{}, api.Access, error) {
	if err := checkTags(len(in.Tags)); err != nil {
		return struct{}{}, api.Access{}, err
	}
	a := api.Access{Account: r.Account, RequestTags: requestTags(in.Tags), Keys: &target{r: r}}
	if len(in.Tags) > 0 { // "To use the Tags parameter, kms:TagResource"
		also := a
		also.Action = "kms:TagResource"
		a.Also = []api.Access{also}
	}
	return struct{}{}, a, nil
}

func (s *Service) createKey(r *api.Request, in *kmsapi.CreateKeyInput, _ struct{}) (*kmsapi.CreateKeyOutput, error) {
	spec, err := checkSpec(in)
	if err != nil {
		return nil, err
	}
	tags, err := mergeTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	made, ok := r.Prepared.(*newKey)
	if !ok {
		made = nameKey(in)
	}
	p := &Policy{Text: defaultPolicy(r)}
	if in.Policy != nil {
		p.Text = *in.Policy
		if p.Principals, err = checkPolicy(r, keyARN(r, r.Account, made.id), p.Text, in.BypassPolicyLockoutSafetyCheck); err != nil {
			return nil, err
		}
	}
	if err := checkServed(in, spec); err != nil {
		return nil, err
	}
	if err := s.draw(r, in, spec, made); err != nil {
		return nil, err
	}
	k := &Key{Spec: spec, Usage: kmsapi.KeyUsageTypeEncryptDecrypt, Tags: tags}
	if in.KeyUsage != nil {
		k.Usage = *in.KeyUsage
	}
	if in.Description != nil {
		k.Description = *in.Description
	}
	if in.MultiRegion != nil && *in.MultiRegion {
		k.Primary = r.Region
	}
	if err := put(r, made, k, p); err != nil {
		return nil, err
	}
	return &kmsapi.CreateKeyOutput{KeyMetadata: k.metadata()}, nil
}

// put completes a new key of the caller's account and stores it with its
// policy.
func put(r *api.Request, made *newKey, k *Key, p *Policy) error {
	k.Account, k.Region, k.ID, k.ARN = r.Account, r.Region, made.id, keyARN(r, r.Account, made.id)
	k.Created = table.At(r.Time)
	k.Origin, k.State = kmsapi.OriginTypeAwsKms, enabled
	if made.wrapped.ID == "" {
		k.Origin, k.State = kmsapi.OriginTypeExternal, pendingImport
	} else {
		w := made.wrapped
		k.Materials = []Material{{ID: w.ID, Wrapped: w.Blob, Public: w.Public, Created: k.Created}}
	}
	if err := Keys.Put(r.Tx, k); err != nil {
		return err
	}
	p.Account, p.Region, p.KeyID = k.Account, k.Region, k.ID
	return Policies.Put(r.Tx, p)
}

func describeKey(r *api.Request, _ *kmsapi.DescribeKeyInput, t target) (*kmsapi.DescribeKeyOutput, error) {
	k, err := t.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	return &kmsapi.DescribeKeyOutput{KeyMetadata: k.metadata()}, nil
}

func listKeys(r *api.Request, in *kmsapi.ListKeysInput, _ struct{}) (*kmsapi.ListKeysOutput, error) {
	p, err := newPage(r, in.Limit, in.Marker, 100, "")
	if err != nil {
		return nil, err
	}
	out := &kmsapi.ListKeysOutput{Keys: []kmsapi.KeyListEntry{}}
	for e, err := range Keys.Scan(r.Tx, p.Rows(table.K(r.Account, r.Region))) {
		if err != nil {
			return nil, err
		}
		if e.Value.over(r.Time) {
			continue
		}
		if len(out.Keys) == p.Limit {
			out.NextMarker = p.Next(*out.Keys[p.Limit-1].KeyId)
			break
		}
		out.Keys = append(out.Keys, kmsapi.KeyListEntry{KeyId: new(e.Value.ID), KeyArn: new(e.Value.ARN)})
	}
	out.Truncated = new(out.NextMarker != nil)
	return out, nil
}

func enableKey(r *api.Request, _ *kmsapi.EnableKeyInput, t target) (*kmsapi.EnableKeyOutput, error) {
	return &kmsapi.EnableKeyOutput{}, setState(r, &t, enabled)
}

func disableKey(r *api.Request, _ *kmsapi.DisableKeyInput, t target) (*kmsapi.DisableKeyOutput, error) {
	return &kmsapi.DisableKeyOutput{}, setState(r, &t, disabled)
}

// setState enables or disables; doing so twice is fine.
func setState(r *api.Request, t *target, state string) error {
	k, err := t.change(r)
	if err != nil {
		return err
	}
	if err := k.settled(); err != nil {
		return err
	}
	if k.State == state {
		return nil
	}
	k.State = state
	return Keys.Put(r.Tx, k)
}

func updateKeyDescription(r *api.Request, in *kmsapi.UpdateKeyDescriptionInput, t target) (*kmsapi.UpdateKeyDescriptionOutput, error) {
	k, err := t.change(r)
	if err != nil {
		return nil, err
	}
	if err := k.notPending(); err != nil {
		return nil, err
	}
	k.Description = *in.Description
	return &kmsapi.UpdateKeyDescriptionOutput{}, Keys.Put(r.Tx, k)
}
