package secretsmanager

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"strings"
	"sync"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/arn"
	"coffer/internal/fault"
)

const (
	sealVersion = 1
	dataKeySize = 32
	nonceSize   = 12
	tagSize     = 16

	defaultKeyAlias = "alias/aws/secretsmanager"
	// defaultKeyShown is what ListSecretVersionIds calls the default key.
	defaultKeyShown = "DefaultEncryptionKey"
	// probeVersion stands for a version id when only access to a key is
	// checked ("Secret encryption and decryption in AWS Secrets Manager").
	probeVersion = "RequestToValidateKeyAccess"

	// The texts of DecryptionFailure and EncryptionFailure are those of the model.
	textCannotDecrypt = "Secrets Manager can't decrypt the protected secret text using the provided KMS key."
	textCannotEncrypt = "Secrets Manager can't encrypt the protected secret text using the provided KMS key. Check that the KMS key is available, enabled, and not in an invalid state."
	textKMSDenied     = "Access to KMS is not allowed"
	textNoKMSKey      = "Secrets Manager can't find the specified KMS key."
	textForeignKey    = "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key."
)

var errSealed = errors.New("secretsmanager: the sealed value does not open: damaged, or moved from another version")

// keyID is the identifier to give to KMS. It stands for the same key whoever
// calls: a bare id or alias belongs to the account of the secret, and would mean
// one of the caller's own keys in a cross-account call.
func (s *Secret) keyID() string {
	switch id := s.KMSKeyID; {
	case id == "":
		return defaultKeyAlias
	case arn.Is(id):
		return id
	case strings.HasPrefix(id, "alias/"):
		return s.kmsARN(id)
	default:
		return s.kmsARN("key/" + id)
	}
}

func (s *Secret) kmsARN(resource string) string {
	return arn.ARN{Partition: arn.Partition(s.Region), Service: "kms", Region: s.Region, Account: s.Account, Resource: resource}.String()
}

// associated is the associated data of a version's value.
func associated(secretARN, id string, kind valueKind) []byte {
	b := make([]byte, 0, 9+len(secretARN)+len(id))
	b = binary.BigEndian.AppendUint32(b, uint32(len(secretARN)))
	b = append(b, secretARN...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(id)))
	b = append(b, id...)
	return append(b, byte(kind))
}

func encryptionContext(secretARN, id string) map[string]string {
	return map[string]string{"SecretARN": secretARN, "SecretVersionId": id}
}

// seal encrypts a value under a data key of its own and fills in the version's
// key and kind. The caller stores the blob.
func seal(r *api.Request, s *Secret, v *Version, val plainValue) ([]byte, error) {
	secretARN := s.arn()
	key, err := api.Call(r, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{
		KeyId:             new(s.keyID()),
		KeySpec:           new(kmsapi.DataKeySpecAes256),
		EncryptionContext: encryptionContext(secretARN, v.ID),
	})
	if err != nil {
		return nil, encryptFault(err)
	}
	defer clear(key.Plaintext)
	aead, err := newAEAD(key.Plaintext)
	if err != nil {
		return nil, err
	}
	v.Kind, v.DataKey, v.Keys = val.kind, key.CiphertextBlob, []string{s.keyShown(api.Value(key.KeyId))}
	blob := make([]byte, 1, 1+nonceSize+len(val.bytes)+tagSize)
	blob[0] = sealVersion
	return aead.Seal(blob, nil, val.bytes, associated(secretARN, v.ID, v.Kind)), nil
}

// keyShown is how a version lists the key that KMS used.
func (s *Secret) keyShown(keyARN string) string {
	if s.KMSKeyID == "" {
		return defaultKeyShown
	}
	return keyARN
}

// open decrypts a version's value. The caller owns the bytes.
func open(r *api.Request, secretARN string, v *Version, blob []byte) ([]byte, error) {
	key, err := unwrap(r, v, secretARN)
	if err != nil {
		return nil, decryptFault(err)
	}
	defer clear(key)
	aead, err := newAEAD(key)
	if err != nil {
		return nil, smapi.DecryptionFailure(textCannotDecrypt).Because(err)
	}
	if len(blob) < 1+nonceSize+tagSize || blob[0] != sealVersion {
		return nil, smapi.DecryptionFailure(textCannotDecrypt).Because(errSealed)
	}
	plain, err := aead.Open(nil, nil, blob[1:], associated(secretARN, v.ID, v.Kind))
	if err != nil {
		return nil, smapi.DecryptionFailure(textCannotDecrypt).Because(errSealed)
	}
	return plain, nil
}

// unwrap has KMS decrypt a version's data key. The error is KMS's own.
func unwrap(r *api.Request, v *Version, secretARN string) ([]byte, error) {
	in := decryptInputs.Get().(*kmsapi.DecryptInput)
	in.CiphertextBlob, in.KeyId = v.DataKey, v.keyARN()
	in.EncryptionContext["SecretARN"], in.EncryptionContext["SecretVersionId"] = secretARN, v.ID
	out, err := api.Call(r, kmsapi.Decrypt, in)
	in.CiphertextBlob, in.KeyId = nil, nil
	clear(in.EncryptionContext)
	decryptInputs.Put(in)
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

// keyARN is the customer key that wraps the version's data key: a key of another
// account is not found by the ciphertext alone. nil for the default key, which
// is used within its account only.
func (v *Version) keyARN() *string {
	if len(v.Keys) == 0 || v.defaultKey() {
		return nil
	}
	return &v.Keys[len(v.Keys)-1]
}

// decryptInputs are pooled because every read needs one, and its map is half a
// kilobyte. Nothing keeps an input beyond the call, which has recorded it.
var decryptInputs = sync.Pool{New: func() any { return &kmsapi.DecryptInput{EncryptionContext: make(map[string]string, 2)} }}

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != dataKeySize {
		return nil, errors.New("secretsmanager: KMS gave a data key of the wrong size")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// probeKey checks, as the service documents it, that the caller may use the
// secret's key: it generates a data key for no version and decrypts it. It
// returns how versions list the key.
func probeKey(r *api.Request, s *Secret) (shown string, err error) {
	ctx := encryptionContext(s.arn(), probeVersion)
	key, err := api.Call(r, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{
		KeyId: new(s.keyID()), KeySpec: new(kmsapi.DataKeySpecAes256), EncryptionContext: ctx,
	})
	if err != nil {
		return "", encryptFault(err)
	}
	defer clear(key.Plaintext)
	again, err := api.Call(r, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: key.CiphertextBlob, EncryptionContext: ctx})
	if err != nil {
		return "", decryptFault(err)
	}
	clear(again.Plaintext)
	return s.keyShown(api.Value(key.KeyId)), nil
}

// rewrap moves a version's data key under the secret's present key. It needs
// kms:Decrypt on the old and kms:Encrypt on the new key; a caller without
// either leaves the version as it is (API reference of UpdateSecret). So does
// an old key that cannot be used any more: otherwise a secret whose key
// was disabled could not be given another. The value itself stays as it
// is sealed: only its key is wrapped anew.
func rewrap(r *api.Request, s *Secret, v *Version, shown string) error {
	if v.Kind == noValue || len(v.Keys) > 0 && v.Keys[len(v.Keys)-1] == shown {
		return nil
	}
	secretARN := s.arn()
	key, err := unwrap(r, v, secretARN)
	if err != nil {
		return keepIfRefused(err)
	}
	defer clear(key)
	out, err := api.Call(r, kmsapi.Encrypt, &kmsapi.EncryptInput{
		KeyId: new(s.keyID()), Plaintext: key, EncryptionContext: encryptionContext(secretARN, v.ID),
	})
	if err != nil {
		return keepIfRefused(err)
	}
	v.DataKey = out.CiphertextBlob
	// "Two entries after a key change" (spec §5.8): the key it was under, then the present one.
	if n := len(v.Keys); n > 1 {
		v.Keys = v.Keys[n-1:]
	}
	v.Keys = append(v.Keys[:len(v.Keys):len(v.Keys)], shown)
	return nil
}

func keepIfRefused(err error) error {
	if f, ok := fault.As(err); ok && !ours(f) {
		return nil
	}
	return kmsFault(err, nil)
}

// ours reports whether a fault is not the caller's doing.
func ours(f *fault.Error) bool {
	switch f.Kind {
	case fault.Internal, fault.Unavailable, fault.Throttled, fault.Unsupported:
		return true
	}
	return false
}

// kmsFault translates an error of KMS, once, to what Secrets Manager answers:
// other than denials it is the failure given. KMS's texts stay in the log: they
// name keys that the reader of a secret need not know.
func kmsFault(err error, failure *fault.Error) error {
	f, ok := fault.As(err)
	switch {
	case !ok:
		return err
	case ours(f):
		return smapi.Service.Internal(err)
	case f.Kind == fault.Denied:
		return api.AccessDeniedException(textKMSDenied).Because(err)
	case failure == nil:
		return err
	}
	return failure.Because(err)
}

func decryptFault(err error) error { return kmsFault(err, smapi.DecryptionFailure(textCannotDecrypt)) }

// encryptFault: a key that does not exist, or an identifier that is none, is a
// wrong parameter (seen in boto/boto3#1533); a key in the wrong state or of
// the wrong kind is an EncryptionFailure.
func encryptFault(err error) error {
	if f, ok := fault.As(err); ok {
		switch f.Code {
		case "NotFoundException", "InvalidArnException", "ValidationException":
			return smapi.InvalidParameterException(textNoKMSKey).Because(err)
		}
	}
	return kmsFault(err, smapi.EncryptionFailure(textCannotEncrypt))
}
