package kms

import (
	"errors"
	"slices"
	"time"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/material"
	"coffer/internal/table"
)

const (
	tokenLife = 24 * time.Hour
	maxExpiry = 365 * day

	// expireBatch and rotateBytes bound one transaction of ExpireDue: a key takes
	// six operations of the 128 there are.
	expireBatch = 15
)

func (k *Key) external() bool { return k.Origin == kmsapi.OriginTypeExternal }

// expires is when the next of the key's imported material does; 0: none will.
func (k *Key) expires() (first table.Millis) {
	for i := range k.Materials {
		if at := k.Materials[i].Expires; at != 0 && (first == 0 || at < first) {
			first = at
		}
	}
	return first
}

// at is the key as it is now: imported material is gone at the very instant of
// its end, whether or not ExpireDue has been there. k is shared and stays.
func (k *Key) at(now time.Time) *Key {
	if !k.external() || !k.expired(now) {
		return k
	}
	c := *k
	c.Materials = slices.Clone(k.Materials)
	c.lapse(now)
	return &c
}

func (k *Key) expired(now time.Time) bool {
	at := k.expires()
	return at != 0 && table.At(now) >= at
}

// lapse takes the material whose time is over from k, a private copy. Its date
// stays, for ExpireDue to find it.
func (k *Key) lapse(now time.Time) {
	if !k.external() {
		return
	}
	for i := range k.Materials {
		if m := &k.Materials[i]; m.Expires != 0 && table.At(now) >= m.Expires {
			m.Wrapped = nil
		}
	}
	k.settle()
}

// settle sets the state that imported material, or its lack, brings about. A
// key that waits for deletion goes on waiting, and a disabled one that has all
// it needs stays disabled.
func (k *Key) settle() {
	complete := k.current() != nil
	for i := range k.Materials {
		complete = complete && (k.Materials[i].Wrapped != nil || k.Materials[i].Pending)
	}
	switch {
	case !complete && (k.State == enabled || k.State == disabled):
		k.State = pendingImport
	case complete && k.State == pendingImport:
		k.State = enabled
	}
}

// describeImport adds what metadata says of imported material.
func (k *Key) describeImport(m *kmsapi.KeyMetadata) {
	if !k.external() {
		return
	}
	var first table.Millis
	imported := false
	for i := range k.Materials {
		if g := &k.Materials[i]; g.Wrapped != nil && !g.Pending {
			imported = true
			if g.Expires != 0 && (first == 0 || g.Expires < first) {
				first = g.Expires
			}
		}
	}
	if imported {
		m.ExpirationModel, m.ValidTo = new(expirationModel(first)), first.Ptr()
	}
}

func expirationModel(expires table.Millis) string {
	if expires == 0 {
		return kmsapi.ExpirationModelTypeKeyMaterialDoesNotExpire
	}
	return kmsapi.ExpirationModelTypeKeyMaterialExpires
}

// importable refuses keys that material cannot be imported into, or whose
// parameters are not to be had, now.
func (k *Key) importable() error {
	if !k.external() {
		return invalidOrigin(k)
	}
	return k.notPending()
}

func invalidOrigin(k *Key) error {
	return kmsapi.UnsupportedOperationException(k.ARN + " origin is " + k.Origin + " which is not valid for this operation.")
}

// parameters are the answer of GetParametersForImport before it is given.
type parameters struct {
	arn string // the key that they are good for
	material.Parameters
}

// prepareParameters makes the wrapping key, which takes long, for the key that
// the request names; whether there is one is not looked at. What is wrong with
// the request is left for getParametersForImport to say.
func (s *Service) prepareParameters(r *api.Request, in *kmsapi.GetParametersForImportInput) error {
	id, err := parseIdentifier(r, *in.KeyId, false)
	if err != nil || checkWrapping(in) != nil {
		return nil
	}
	p, err := s.newParameters(r, in, keyARN(r, id.account, id.key))
	r.Prepared = p
	return err
}

func (s *Service) newParameters(r *api.Request, in *kmsapi.GetParametersForImportInput, arn string) (*parameters, error) {
	p, err := s.material.NewParameters(r.Context, arn, *in.WrappingKeySpec, *in.WrappingAlgorithm, r.Time.Add(tokenLife))
	return &parameters{arn, p}, err
}

// checkWrapping refuses what AWS has, or had, and we do not.
func checkWrapping(in *kmsapi.GetParametersForImportInput) error {
	switch {
	case *in.WrappingAlgorithm == kmsapi.AlgorithmSpecRsaesPkcs1V15:
		return kmsapi.UnsupportedOperationException("Wrapping algorithm RSAES_PKCS1_V1_5 is not supported any more.")
	case *in.WrappingAlgorithm == kmsapi.AlgorithmSpecSm2pke || *in.WrappingKeySpec == kmsapi.WrappingKeySpecSm2:
		return kmsapi.UnsupportedOperationException("SM2 is available in China Regions only.")
	}
	return nil
}

func (s *Service) getParametersForImport(r *api.Request, in *kmsapi.GetParametersForImportInput, t target) (*kmsapi.GetParametersForImportOutput, error) {
	k, err := t.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	if err := k.importable(); err != nil {
		return nil, err
	}
	if err := checkWrapping(in); err != nil {
		return nil, err
	}
	if !material.Wraps(k.Spec, *in.WrappingKeySpec, *in.WrappingAlgorithm) {
		return nil, kmsapi.UnsupportedOperationException("Wrapping algorithm " + *in.WrappingAlgorithm + " with wrapping key spec " + *in.WrappingKeySpec + " cannot wrap key material of key spec " + k.Spec + ".")
	}
	p, ok := r.Prepared.(*parameters)
	if !ok || p.arn != k.ARN {
		if p, err = s.newParameters(r, in, k.ARN); err != nil {
			return nil, err
		}
	}
	return &kmsapi.GetParametersForImportOutput{
		KeyId: new(k.ARN), PublicKey: p.PublicKey, ImportToken: p.Token, ParametersValidTo: new(r.Time.Add(tokenLife)),
	}, nil
}

// checkExpiry returns when the material shall expire; 0: never.
func checkExpiry(r *api.Request, in *kmsapi.ImportKeyMaterialInput) (table.Millis, error) {
	if in.ExpirationModel != nil && *in.ExpirationModel == kmsapi.ExpirationModelTypeKeyMaterialDoesNotExpire {
		if in.ValidTo != nil {
			return 0, api.ValidationException("A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE")
		}
		return 0, nil
	}
	if in.ValidTo == nil {
		return 0, api.ValidationException("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
	}
	at, now := table.At(*in.ValidTo), table.At(r.Time)
	if at <= now || at > now+maxExpiry {
		return 0, api.ValidationException("The validTo date must be in the future, and at most 365 days from now.")
	}
	return at, nil
}

// checkImportType returns whether the material shall be new to the key.
func checkImportType(k *Key, in *kmsapi.ImportKeyMaterialInput) (isNew bool, err error) {
	if k.Spec != symmetricSpec && (in.ImportType != nil || in.KeyMaterialId != nil || in.KeyMaterialDescription != nil) {
		return false, api.ValidationException("ImportType, KeyMaterialId and KeyMaterialDescription can be used with symmetric encryption KMS keys only.")
	}
	isNew = len(k.Materials) == 0
	if in.ImportType != nil {
		isNew = *in.ImportType == kmsapi.ImportTypeNewKeyMaterial
	}
	if isNew && in.KeyMaterialId != nil {
		return false, api.ValidationException("KeyMaterialId cannot be used with ImportType NEW_KEY_MATERIAL.")
	}
	if isNew && k.replica() {
		return false, notPrimary(k)
	}
	return isNew, nil
}

func incorrectMaterial(text string) error { return kmsapi.IncorrectKeyMaterialException(text) }

// translateImport is translate for imports.
func translateImport(err error, k *Key) error {
	switch {
	case errors.Is(err, material.ErrToken):
		return kmsapi.InvalidImportTokenException("The import token is not valid for the key: " + k.ARN)
	case errors.Is(err, material.ErrTokenExpired):
		return kmsapi.ExpiredImportTokenException("The import token has expired.")
	case errors.Is(err, material.ErrInvalidCiphertext):
		return invalidCiphertext()
	case errors.Is(err, material.ErrMaterial):
		return incorrectMaterial("The key material is not valid for key spec " + k.Spec + ".")
	}
	return err
}

func (s *Service) importKeyMaterial(r *api.Request, in *kmsapi.ImportKeyMaterialInput, t target) (*kmsapi.ImportKeyMaterialOutput, error) {
	k, err := t.change(r)
	if err != nil {
		return nil, err
	}
	if err := k.importable(); err != nil {
		return nil, err
	}
	expires, err := checkExpiry(r, in)
	if err != nil {
		return nil, err
	}
	isNew, err := checkImportType(k, in)
	if err != nil {
		return nil, err
	}
	w, err := s.material.Import(r.Context, r.Allowed, k.ID, k.Spec, in.ImportToken, in.EncryptedKeyMaterial, r.Time)
	if err != nil {
		return nil, translateImport(err, k)
	}
	m := k.material(w.ID)
	switch {
	case !isNew && m == nil:
		return nil, incorrectMaterial("The key material is not the one previously imported into the key: " + k.ARN)
	case !isNew && in.KeyMaterialId != nil && *in.KeyMaterialId != w.ID:
		return nil, incorrectMaterial("The key material does not have the key material ID " + *in.KeyMaterialId + ".")
	case isNew && m != nil:
		return nil, incorrectMaterial("The key material is already associated with the key: " + k.ARN)
	case isNew:
		if m, err = k.associate(r, w); err != nil {
			return nil, err
		}
	}
	m.Wrapped, m.Expires = w.Blob, expires
	if in.KeyMaterialDescription != nil {
		m.Description = *in.KeyMaterialDescription
	}
	k.settle()
	if err := Keys.Put(r.Tx, k); err != nil {
		return nil, err
	}
	out := &kmsapi.ImportKeyMaterialOutput{KeyId: new(k.ARN)}
	if k.Spec == symmetricSpec {
		out.KeyMaterialId = new(w.ID)
	}
	return out, nil
}

// associate ties k, a private copy, to material that it has not had: for good
// if it is the first, else as pending.
func (k *Key) associate(r *api.Request, w material.Wrapped) (*Material, error) {
	pending := len(k.Materials) > 0
	if pending && k.Spec != symmetricSpec {
		return nil, incorrectMaterial("The key material is not the one previously imported into the key: " + k.ARN)
	}
	if pending && k.Materials[len(k.Materials)-1].Pending {
		return nil, kmsapi.KMSInvalidStateException("There is key material pending rotation already for the key: " + k.ARN)
	}
	m := Material{ID: w.ID, Public: w.Public, Created: table.At(r.Time), Pending: pending}
	if err := k.inReplicas(r, func(replica *Key) { replica.Materials = append(replica.Materials, m) }); err != nil {
		return nil, err
	}
	k.Materials = append(k.Materials, m)
	return &k.Materials[len(k.Materials)-1], nil
}

// deleteImportedKeyMaterial does nothing if there is nothing to delete, and
// works on a key that waits for its own deletion.
func (s *Service) deleteImportedKeyMaterial(r *api.Request, in *kmsapi.DeleteImportedKeyMaterialInput, t target) (*kmsapi.DeleteImportedKeyMaterialOutput, error) {
	k, err := t.change(r)
	if err != nil {
		return nil, err
	}
	if !k.external() {
		return nil, invalidOrigin(k)
	}
	m := k.current()
	if in.KeyMaterialId != nil {
		if m = k.material(*in.KeyMaterialId); m == nil {
			return nil, kmsapi.NotFoundException("Key material " + *in.KeyMaterialId + " is not associated with the key: " + k.ARN)
		}
	}
	out := &kmsapi.DeleteImportedKeyMaterialOutput{KeyId: new(k.ARN)}
	if m == nil {
		return out, nil
	}
	id := m.ID
	if k.Spec == symmetricSpec {
		out.KeyMaterialId = new(id)
	}
	if err := k.remove(r, m); err != nil {
		return nil, err
	}
	r.After(func() { s.material.Forget(k.ID) })
	return out, Keys.Put(r.Tx, k)
}

// remove takes one material from k, a private copy. The key stays tied to it and
// waits for it to be imported again, unless it was pending: then its place is
// free for another, in the replicas too.
func (k *Key) remove(r *api.Request, m *Material) error {
	if !m.Pending || k.replica() {
		m.Wrapped, m.Expires = nil, 0
		k.settle()
		return nil
	}
	k.Materials = k.Materials[:len(k.Materials)-1]
	return k.inReplicas(r, func(replica *Key) {
		if n := len(replica.Materials); n > 0 && replica.Materials[n-1].Pending {
			replica.Materials = replica.Materials[:n-1]
		}
	})
}

// ExpireDue deletes imported material whose time is over, of a bounded number
// of keys. Nobody can use it since that instant; now it leaves disk and memory.
func (s *Service) ExpireDue(r *api.Request) (more bool, err error) {
	due, more, err := findDue(r, expireIndex, expireBatch)
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
		if err := s.expire(r, k); err != nil {
			return false, err
		}
		budget -= k.size()
	}
	return more, nil
}

// expire deletes what has expired from k, a private copy.
func (s *Service) expire(r *api.Request, k *Key) error {
	k.lapse(r.Time)
	for i := range k.Materials {
		m := &k.Materials[i]
		if m.Expires == 0 || table.At(r.Time) < m.Expires {
			continue
		}
		m.Expires = 0
		r.Emit(api.ServiceEvent{
			Name: "DeleteExpiredKeyMaterial", Account: k.Account, Region: k.Region,
			Data: map[string]string{"keyId": k.ARN, "keyMaterialId": m.ID},
		})
	}
	r.After(func() { s.material.Forget(k.ID) })
	return Keys.Put(r.Tx, k)
}
