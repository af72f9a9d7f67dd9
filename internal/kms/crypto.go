package kms

import (
	"cmp"
	"crypto/rand"
	"errors"
	"slices"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/fault"
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

// checkContext looks at the size of an encryption context before anything is decided: decisions
// compare it with policies, and it could be as long as a request.
func checkContext(context map[string]string, path string) error {
	return translate(material.CheckContext(context), path)
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

// checkAlgorithm checks that a key can encrypt and decrypt, and returns the
// algorithm to do it by: the symmetric one if none is given.
func checkAlgorithm(r *api.Request, k *Key, given *string) (string, error) {
	algorithm := symmetric
	if given != nil {
		algorithm = *given
	}
	if algorithm == symmetric && k.Spec == symmetricSpec {
		return algorithm, nil // nearly always
	}
	return algorithm, k.fits(r, kmsapi.KeyUsageTypeEncryptDecrypt, algorithm)
}

// use is a key that encrypts or decrypts, by an algorithm that fits it, and the
// proof that it may.
type use struct {
	key       *Key
	algorithm string
	allowed   policy.Allowed
}

func resolveEncrypt(r *api.Request, in *kmsapi.EncryptInput) (target, api.Access, error) {
	if err := checkContext(in.EncryptionContext, "encryptionContext"); err != nil {
		return target{}, api.Access{}, err
	}
	t, err := locateForUse(r, *in.KeyId)
	return t, t.access(""), err
}

func (s *Service) encrypt(r *api.Request, in *kmsapi.EncryptInput, t target) (*kmsapi.EncryptOutput, error) {
	u, err := s.forUse(r, &t, r.Op.Action(), in.EncryptionAlgorithm)
	if err != nil {
		return nil, err
	}
	u.allowed = r.Allowed
	blob, err := s.seal(r, u, in.Plaintext, in.EncryptionContext, "encryptionContext")
	if err != nil {
		return nil, err
	}
	if dryRun(in.DryRun) {
		return nil, wouldHaveSucceeded()
	}
	return &kmsapi.EncryptOutput{CiphertextBlob: blob, KeyId: new(u.key.ARN), EncryptionAlgorithm: new(u.algorithm)}, nil
}

// forUse returns the key that shall encrypt; the proof is for the caller to add.
func (s *Service) forUse(r *api.Request, t *target, action string, algorithm *string) (u use, err error) {
	if u.key, err = s.foundOrMade(r, t, action); err != nil {
		return u, err
	}
	if err := u.key.usable(); err != nil {
		return u, err
	}
	u.algorithm, err = checkAlgorithm(r, u.key, algorithm)
	return u, err
}

func (s *Service) seal(r *api.Request, u use, plaintext []byte, context map[string]string, contextPath string) ([]byte, error) {
	if u.algorithm != symmetric {
		return s.encryptRSA(r, u, plaintext, context)
	}
	blob, err := s.material.Encrypt(r.Context, u.allowed, u.key.ID, u.key.current().wrapped(), plaintext, context)
	return blob, translate(err, contextPath)
}

// open decrypts with m, a generation of the key.
func (s *Service) open(r *api.Request, u use, m *Material, blob []byte, context map[string]string, contextPath string) ([]byte, error) {
	if u.algorithm != symmetric {
		return s.decryptRSA(r, u, blob, context)
	}
	plaintext, err := s.material.Decrypt(r.Context, u.allowed, u.key.ID, m.wrapped(), blob, context)
	return plaintext, translate(err, contextPath)
}

// sealed is a ciphertext and the key to open it with.
type sealed struct {
	target
	materialID string
	unknown    error // which key it is of; told in place of deciding
	wrong      error // with the ciphertext; told after authorization and the key's state
	unseen     bool  // the caller asked not to look at the ciphertext
}

// textNoCiphertextKey answers who may not use the key that a ciphertext names, in
// place of a denial, which would name the key.
const textNoCiphertextKey = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."

// unknownKey is what who names no key is answered for a ciphertext of one that is nowhere: the
// same as if the key were another account's, so that a blob does not tell which keys there are.
func unknownKey(id string) error {
	return api.AccessDeniedException(textNoCiphertextKey).Because(fault.Reason("the ciphertext is of key " + id + ", which exists in no account in this region"))
}

// locateCiphertext finds the key of a blob. A blob says which key it is of, and
// is believed as far as looking that key up, in the caller's account and then in
// the others: whether the caller may use it is decided by that key's policy before anything
// is told.
func locateCiphertext(r *api.Request, blob []byte, keyID *string, dry *bool, modifiers []string) (c *sealed, err error) {
	c = new(sealed)
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
		if c.target, err = locateKeyAnywhere(r, id); c.key == nil {
			c.unknown = unknownKey(id)
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
	switch {
	case c.key == nil:
	case c.key.asymmetric(): // its ciphertexts say nothing
		c.wrong, c.materialID = nil, ""
	case c.wrong == nil && c.key.ID != id:
		c.wrong = kmsapi.IncorrectKeyException("The key ID in the request does not identify a CMK that can perform this operation.")
	}
	return c, nil
}

// ready returns the key and the generation that shall decrypt: none of it if
// the ciphertext is unseen. The proof is for the caller to add.
func (c *sealed) ready(r *api.Request, action string, algorithm *string) (u use, m *Material, err error) {
	if u.key, err = c.found(r, action); err != nil {
		return u, nil, err
	}
	if err := u.key.usable(); err != nil {
		return u, nil, err
	}
	if u.algorithm, err = checkAlgorithm(r, u.key, algorithm); err != nil || c.unseen {
		return u, nil, err
	}
	if c.wrong != nil {
		return u, nil, c.wrong
	}
	if u.algorithm != symmetric {
		return u, u.key.current(), nil
	}
	// Nothing was ever encrypted with material that was never imported here.
	if m = u.key.material(c.materialID); m == nil || m.Wrapped == nil {
		return u, nil, invalidCiphertext()
	}
	return u, m, nil
}

func resolveDecrypt(r *api.Request, in *kmsapi.DecryptInput) (*sealed, api.Access, error) {
	if err := checkContext(in.EncryptionContext, "encryptionContext"); err != nil {
		return nil, api.Access{}, err
	}
	c, err := locateCiphertext(r, in.CiphertextBlob, in.KeyId, in.DryRun, in.DryRunModifiers)
	if err == nil {
		err = cmp.Or(noEnclaves(in.Recipient), c.unknown)
	}
	return c, c.access(""), err
}

func (s *Service) decrypt(r *api.Request, in *kmsapi.DecryptInput, c *sealed) (*kmsapi.DecryptOutput, error) {
	u, m, err := c.ready(r, r.Op.Action(), in.EncryptionAlgorithm)
	if err != nil {
		return nil, err
	}
	if c.unseen {
		return nil, wouldHaveSucceeded()
	}
	u.allowed = r.Allowed
	plaintext, err := s.open(r, u, m, in.CiphertextBlob, in.EncryptionContext, "encryptionContext")
	if err != nil {
		return nil, err
	}
	if dryRun(in.DryRun) {
		clear(plaintext)
		return nil, wouldHaveSucceeded()
	}
	// Pointers into the shared record are fine: answers are only read.
	out := &kmsapi.DecryptOutput{KeyId: &u.key.ARN, Plaintext: plaintext, EncryptionAlgorithm: &shownAlgorithm, KeyMaterialId: &m.ID}
	if u.algorithm != symmetric {
		out.EncryptionAlgorithm, out.KeyMaterialId = in.EncryptionAlgorithm, nil
	}
	return out, nil
}

// reEncryption is a ciphertext on its way to another key.
type reEncryption struct {
	from *sealed
	to   target
}

func resolveReEncrypt(r *api.Request, in *kmsapi.ReEncryptInput) (t reEncryption, a api.Access, err error) {
	if err = checkContext(in.SourceEncryptionContext, "sourceEncryptionContext"); err != nil {
		return t, a, err
	}
	if err = checkContext(in.DestinationEncryptionContext, "destinationEncryptionContext"); err != nil {
		return t, a, err
	}
	if t.from, err = locateCiphertext(r, in.CiphertextBlob, in.SourceKeyId, in.DryRun, in.DryRunModifiers); err != nil {
		return t, a, err
	}
	if t.to, err = locate(r, *in.DestinationKeyId, true); err != nil {
		return t, a, err
	}
	if t.from.unknown != nil { // last: what else is wrong is told of keys that exist, too
		return t, a, t.from.unknown
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
	// The proof for the destination is the one of the access that resolveReEncrypt
	// put in Also. material checks that it is for this key.
	from.allowed = r.Allowed
	if len(r.AlsoAllowed) == 1 {
		to.allowed = r.AlsoAllowed[0]
	}
	plaintext, err := s.open(r, from, m, in.CiphertextBlob, in.SourceEncryptionContext, "sourceEncryptionContext")
	if err != nil {
		return nil, err
	}
	defer clear(plaintext)
	blob, err := s.seal(r, to, plaintext, in.DestinationEncryptionContext, "destinationEncryptionContext")
	if err != nil {
		return nil, err
	}
	if dryRun(in.DryRun) {
		return nil, wouldHaveSucceeded()
	}
	out := &kmsapi.ReEncryptOutput{
		CiphertextBlob:                 blob,
		SourceKeyId:                    new(from.key.ARN),
		KeyId:                          new(to.key.ARN),
		SourceEncryptionAlgorithm:      new(from.algorithm),
		DestinationEncryptionAlgorithm: new(to.algorithm),
	}
	if from.algorithm == symmetric {
		out.SourceKeyMaterialId = new(m.ID)
	}
	if to.algorithm == symmetric {
		out.DestinationKeyMaterialId = new(to.key.current().ID)
	}
	return out, nil
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
	if err := checkContext(in.EncryptionContext, "encryptionContext"); err != nil {
		return target{}, api.Access{}, err
	}
	t, err := locateForUse(r, *in.KeyId)
	return t, t.access(""), err
}

func resolveGenerateDataKeyWithoutPlaintext(r *api.Request, in *kmsapi.GenerateDataKeyWithoutPlaintextInput) (target, api.Access, error) {
	if _, err := dataKeySize(in.KeySpec, in.NumberOfBytes); err != nil {
		return target{}, api.Access{}, err
	}
	if err := checkContext(in.EncryptionContext, "encryptionContext"); err != nil {
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
	u, err := s.forUse(r, t, r.Op.Action(), nil)
	if err != nil {
		return nil, nil, nil, err
	}
	k := u.key
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
