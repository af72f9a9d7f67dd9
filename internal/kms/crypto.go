package kms

import (
	"crypto/rand"
	"errors"
	"slices"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/material"
	"coffer/internal/policy"
)

// shownAlgorithm is symmetric for answers to point to.
var shownAlgorithm = symmetric

const (
	symmetric = kmsapi.EncryptionAlgorithmSpecSymmetricDefault

	reEncryptFrom = "kms:ReEncryptFrom"
	reEncryptTo   = "kms:ReEncryptTo"
)

// translate turns what package material says into what KMS says. The rest is
// not the caller's doing and stays internal.
func translate(err error, contextPath string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, material.ErrInvalidCiphertext):
		return invalidCiphertext()
	case errors.Is(err, material.ErrContextTooLarge):
		return constraint("at '"+contextPath+"'", "have length less than or equal to 8192")
	case errors.Is(err, material.ErrSize):
		return constraint("at 'plaintext'", "have length less than or equal to 4096")
	}
	return err
}

// invalidCiphertext has no text: AWS does not say whether the blob or the
// encryption context is wrong, and neither do we.
func invalidCiphertext() error { return kmsapi.InvalidCiphertextException("") }

func dryRun(flag *bool) bool { return flag != nil && *flag }

func wouldHaveSucceeded() error {
	return kmsapi.DryRunOperationException("The request would have succeeded, but the DryRun option is set.")
}

func noEnclaves(recipient *kmsapi.RecipientInfo) error {
	if recipient != nil {
		return kmsapi.UnsupportedOperationException("Recipient is not served: there are no enclaves here to attest.")
	}
	return nil
}

// checkAlgorithm refuses the algorithms of asymmetric keys.
func checkAlgorithm(k *Key, algorithm *string) error {
	if algorithm != nil && *algorithm != symmetric {
		return kmsapi.InvalidKeyUsageException("Algorithm " + *algorithm + " is incompatible with key spec " + k.Spec + ".")
	}
	return nil
}

func resolveEncrypt(r *api.Request, in *kmsapi.EncryptInput) (target, api.Access, error) {
	t, err := locateForUse(r, *in.KeyId)
	return t, t.access(""), err
}

func (s *Service) encrypt(r *api.Request, in *kmsapi.EncryptInput, t target) (*kmsapi.EncryptOutput, error) {
	k, err := s.forUse(r, &t, r.Op.Action(), in.EncryptionAlgorithm)
	if err != nil {
		return nil, err
	}
	blob, err := s.material.Encrypt(r.Context, r.Allowed, k.ID, k.current().wrapped(), in.Plaintext, in.EncryptionContext)
	if err != nil {
		return nil, translate(err, "encryptionContext")
	}
	if dryRun(in.DryRun) {
		return nil, wouldHaveSucceeded()
	}
	return &kmsapi.EncryptOutput{CiphertextBlob: blob, KeyId: new(k.ARN), EncryptionAlgorithm: new(symmetric)}, nil
}

// forUse returns the key that shall encrypt.
func (s *Service) forUse(r *api.Request, t *target, action string, algorithm *string) (*Key, error) {
	k, err := s.foundOrMade(r, t, action)
	if err != nil {
		return nil, err
	}
	if err := k.usable(); err != nil {
		return nil, err
	}
	return k, checkAlgorithm(k, algorithm)
}

// sealed is a ciphertext and the key to open it with.
type sealed struct {
	target
	materialID string
	wrong      error // with the ciphertext; told after authorization and the key's state
	unseen     bool  // the caller asked not to look at the ciphertext
}

// textNoCiphertextKey answers who may not use the key that a ciphertext names, in
// place of a denial, which would name the key.
const textNoCiphertextKey = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."

// locateCiphertext finds the key of a blob. A blob says which key it is of, and
// is believed as far as looking that key up in the caller's own account; what
// is not found there is answered like a damaged blob, because the blob alone
// must not tell which keys there are.
func locateCiphertext(r *api.Request, blob []byte, keyID *string, dry *bool, modifiers []string) (c sealed, err error) {
	if dryRun(dry) && keyID != nil && slices.Contains(modifiers, kmsapi.DryRunModifierTypeIgnoreCiphertext) {
		c.unseen = true
		c.target, err = locate(r, *keyID, true)
		return c, err
	}
	if blob == nil {
		return c, constraint("at 'ciphertextBlob'", "not be null")
	}
	id, materialID, err := material.Parse(blob)
	if keyID == nil {
		if err != nil {
			return c, invalidCiphertext()
		}
		c.materialID = materialID
		c.target, err = locateKey(r, r.Account, id)
		if c.key == nil {
			c.absent = invalidCiphertext()
		}
		c.hidden = textNoCiphertextKey
		return c, err
	}
	if err != nil {
		c.wrong = invalidCiphertext()
	}
	c.materialID = materialID
	if c.target, err = locate(r, *keyID, true); err != nil {
		return c, err
	}
	if c.wrong == nil && c.key != nil && c.key.ID != id {
		c.wrong = kmsapi.IncorrectKeyException("The key ID in the request does not identify a CMK that can perform this operation.")
	}
	return c, nil
}

// ready returns the key and the generation that shall decrypt: none of it if
// the ciphertext is unseen.
func (c *sealed) ready(r *api.Request, action string, algorithm *string) (*Key, *Material, error) {
	k, err := c.found(r, action)
	if err != nil {
		return nil, nil, err
	}
	if err := k.usable(); err != nil {
		return nil, nil, err
	}
	if err := checkAlgorithm(k, algorithm); err != nil {
		return nil, nil, err
	}
	if c.unseen {
		return k, nil, nil
	}
	if c.wrong != nil {
		return nil, nil, c.wrong
	}
	m := k.material(c.materialID)
	if m == nil {
		return nil, nil, invalidCiphertext()
	}
	return k, m, nil
}

func resolveDecrypt(r *api.Request, in *kmsapi.DecryptInput) (sealed, api.Access, error) {
	c, err := locateCiphertext(r, in.CiphertextBlob, in.KeyId, in.DryRun, in.DryRunModifiers)
	if err == nil {
		err = noEnclaves(in.Recipient)
	}
	return c, c.access(""), err
}

func (s *Service) decrypt(r *api.Request, in *kmsapi.DecryptInput, c sealed) (*kmsapi.DecryptOutput, error) {
	k, m, err := c.ready(r, r.Op.Action(), in.EncryptionAlgorithm)
	if err != nil {
		return nil, err
	}
	if c.unseen {
		return nil, wouldHaveSucceeded()
	}
	plaintext, err := s.material.Decrypt(r.Context, r.Allowed, k.ID, m.wrapped(), in.CiphertextBlob, in.EncryptionContext)
	if err != nil {
		return nil, translate(err, "encryptionContext")
	}
	if dryRun(in.DryRun) {
		clear(plaintext)
		return nil, wouldHaveSucceeded()
	}
	// Pointers into the shared record are fine: answers are only read.
	return &kmsapi.DecryptOutput{
		KeyId:               &k.ARN,
		Plaintext:           plaintext,
		EncryptionAlgorithm: &shownAlgorithm,
		KeyMaterialId:       &m.ID,
	}, nil
}

// reEncryption is a ciphertext on its way to another key.
type reEncryption struct {
	from sealed
	to   target
}

func resolveReEncrypt(r *api.Request, in *kmsapi.ReEncryptInput) (t reEncryption, a api.Access, err error) {
	if t.from, err = locateCiphertext(r, in.CiphertextBlob, in.SourceKeyId, in.DryRun, in.DryRunModifiers); err != nil {
		return t, a, err
	}
	if t.to, err = locate(r, *in.DestinationKeyId, true); err != nil {
		return t, a, err
	}
	t.from.peer, t.to.peer = t.to.arn, t.from.arn
	a = t.from.access(reEncryptFrom)
	a.Also = []api.Access{t.to.access(reEncryptTo)}
	return t, a, nil
}

func (s *Service) reEncrypt(r *api.Request, in *kmsapi.ReEncryptInput, t reEncryption) (*kmsapi.ReEncryptOutput, error) {
	from, m, err := t.from.ready(r, reEncryptFrom, in.SourceEncryptionAlgorithm)
	if err != nil {
		return nil, err
	}
	to, err := s.forUse(r, &t.to, reEncryptTo, in.DestinationEncryptionAlgorithm)
	if err != nil {
		return nil, err
	}
	if t.from.unseen {
		return nil, wouldHaveSucceeded()
	}
	plaintext, err := s.material.Decrypt(r.Context, r.Allowed, from.ID, m.wrapped(), in.CiphertextBlob, in.SourceEncryptionContext)
	if err != nil {
		return nil, translate(err, "sourceEncryptionContext")
	}
	defer clear(plaintext)
	// The proof for the destination is the one of the access that resolveReEncrypt
	// put in Also. material checks that it is for this key.
	var allowed policy.Allowed
	if len(r.AlsoAllowed) == 1 {
		allowed = r.AlsoAllowed[0]
	}
	blob, err := s.material.Encrypt(r.Context, allowed, to.ID, to.current().wrapped(), plaintext, in.DestinationEncryptionContext)
	if err != nil {
		return nil, translate(err, "destinationEncryptionContext")
	}
	if dryRun(in.DryRun) {
		return nil, wouldHaveSucceeded()
	}
	return &kmsapi.ReEncryptOutput{
		CiphertextBlob:                 blob,
		SourceKeyId:                    new(from.ARN),
		KeyId:                          new(to.ARN),
		SourceEncryptionAlgorithm:      new(symmetric),
		DestinationEncryptionAlgorithm: new(symmetric),
		SourceKeyMaterialId:            new(m.ID),
		DestinationKeyMaterialId:       new(to.current().ID),
	}, nil
}

// dataKeySize applies the rule of exactly one.
func dataKeySize(spec *string, bytes *int64) (int, error) {
	switch {
	case (spec == nil) == (bytes == nil):
		return 0, api.ValidationException("Please specify either number of bytes or key spec.")
	case bytes != nil:
		return int(*bytes), nil
	case *spec == kmsapi.DataKeySpecAes128:
		return 16, nil
	}
	return 32, nil
}

func resolveGenerateDataKey(r *api.Request, in *kmsapi.GenerateDataKeyInput) (target, api.Access, error) {
	if _, err := dataKeySize(in.KeySpec, in.NumberOfBytes); err != nil {
		return target{}, api.Access{}, err
	}
	if err := noEnclaves(in.Recipient); err != nil {
		return target{}, api.Access{}, err
	}
	t, err := locateForUse(r, *in.KeyId)
	return t, t.access(""), err
}

func resolveGenerateDataKeyWithoutPlaintext(r *api.Request, in *kmsapi.GenerateDataKeyWithoutPlaintextInput) (target, api.Access, error) {
	if _, err := dataKeySize(in.KeySpec, in.NumberOfBytes); err != nil {
		return target{}, api.Access{}, err
	}
	t, err := locateForUse(r, *in.KeyId)
	return t, t.access(""), err
}

func (s *Service) generateDataKey(r *api.Request, in *kmsapi.GenerateDataKeyInput, t target) (*kmsapi.GenerateDataKeyOutput, error) {
	k, plaintext, blob, err := s.dataKey(r, &t, in.KeySpec, in.NumberOfBytes, in.EncryptionContext, in.DryRun)
	if err != nil {
		return nil, err
	}
	return &kmsapi.GenerateDataKeyOutput{
		CiphertextBlob: blob,
		Plaintext:      plaintext,
		KeyId:          new(k.ARN),
		KeyMaterialId:  new(k.current().ID),
	}, nil
}

func (s *Service) generateDataKeyWithoutPlaintext(r *api.Request, in *kmsapi.GenerateDataKeyWithoutPlaintextInput, t target) (*kmsapi.GenerateDataKeyWithoutPlaintextOutput, error) {
	k, plaintext, blob, err := s.dataKey(r, &t, in.KeySpec, in.NumberOfBytes, in.EncryptionContext, in.DryRun)
	if err != nil {
		return nil, err
	}
	clear(plaintext)
	return &kmsapi.GenerateDataKeyWithoutPlaintextOutput{
		CiphertextBlob: blob,
		KeyId:          new(k.ARN),
		KeyMaterialId:  new(k.current().ID),
	}, nil
}

func (s *Service) dataKey(r *api.Request, t *target, spec *string, bytes *int64, context map[string]string, dry *bool) (*Key, []byte, []byte, error) {
	n, err := dataKeySize(spec, bytes)
	if err != nil {
		return nil, nil, nil, err
	}
	k, err := s.forUse(r, t, r.Op.Action(), nil)
	if err != nil {
		return nil, nil, nil, err
	}
	plaintext, blob, err := s.material.GenerateDataKey(r.Context, r.Allowed, k.ID, k.current().wrapped(), n, context)
	if err != nil {
		return nil, nil, nil, translate(err, "encryptionContext")
	}
	if dryRun(dry) {
		clear(plaintext)
		return nil, nil, nil, wouldHaveSucceeded()
	}
	return k, plaintext, blob, nil
}

func resolveGenerateRandom(r *api.Request, in *kmsapi.GenerateRandomInput) (struct{}, api.Access, error) {
	var err error
	if in.NumberOfBytes == nil {
		err = api.ValidationException("NumberOfBytes is required.")
	} else {
		err = noEnclaves(in.Recipient)
	}
	return struct{}{}, api.Access{Account: r.Account, Keys: &target{r: r}}, err
}

func generateRandom(_ *api.Request, in *kmsapi.GenerateRandomInput, _ struct{}) (*kmsapi.GenerateRandomOutput, error) {
	if in.CustomKeyStoreId != nil {
		return nil, kmsapi.CustomKeyStoreNotFoundException("Custom key store '" + *in.CustomKeyStoreId + "' is not found.")
	}
	b := make([]byte, *in.NumberOfBytes)
	rand.Read(b) // never fails
	return &kmsapi.GenerateRandomOutput{Plaintext: b}, nil
}
