// Package material keeps KMS key material. Nothing else sees it: callers hold
// it as [Wrapped], encrypted by the root key, and hand it in with each call.
//
// # Promises
//
//   - Unwrapped material never leaves the package, nor reaches an error, a log
//     or a format verb. It is cached, bounded in number, and zeroed when it is
//     evicted or forgotten: symmetric and HMAC keys, that is, and every encoded
//     copy. Go's RSA, ECC and ML-DSA keys cannot be zeroed; they are let go (see
//     package envelope for what else zeroing cannot reach).
//   - Whatever is wrong with a ciphertext blob (altered, cut, of another key,
//     other encryption context) is ErrInvalidCiphertext and nothing more: KMS
//     answers InvalidCiphertextException without a message, and a caller who
//     could tell a wrong context from a damaged blob could guess contexts.
//   - A blob tells the holder of it the key id and material id, and neither
//     account nor region.
//
// # What it does not promise
//
// It does not know key states or grants: whether a key may be used is decided
// before, and shown by a policy.Allowed for that key and a fitting action,
// without which no key is used. Nor does it keep rows: which Wrapped belongs to a blob is
// looked up by the caller with what [Parse] says, so that blobs from before a
// rotation keep decrypting as long as the old Wrapped is kept.
//
// # Ciphertext blob, version 1
//
//	 0   1       2      3         19              51          67         79
//	+---+-------+------+---------+---------------+-----------+----------+-----------------+
//	| 1 | flags | form | key id  | material id   | run id    | nonce    | ciphertext, tag |
//	|   | (0)   |      | (16)    | (32)          | (16)      | (12)     | (n + 16)        |
//	+---+-------+------+---------+---------------+-----------+----------+-----------------+
//
//	form            = 0: key id is a UUID; 1: "mrk-" and 32 hex digits (multi-Region)
//	key             = HKDF-SHA-256(secret = material, salt = run id,
//	                               info = "coffer/material/v1/encrypt")
//	associated data = 51 (4) | bytes 0 to 50 | run id | canonical context
//
// It is a blob of envelope.RunKeys, whose package doc says why keys are derived
// per run and why the header's length comes first. n is 1 to 4,096, so a blob
// has 96 to 4,191 bytes, within the 6,144 that KMS promises. An encryption with
// a region's replica of a multi-Region key opens with any other: key id,
// material id and material are shared.
//
// The canonical encryption context: nothing for an empty or absent one, else
//
//	count (2) | for each pair, sorted by the bytes of its key:
//	            len(key) (2) | key | len(value) (2) | value
//
// at most 8,192 bytes. Lengths stand before the strings, so that {"ab": "c"}
// and {"a": "bc"} differ.
//
// Asymmetric keys make no such blobs: an RSA ciphertext is what RFC 8017 says and
// nothing more, so that others can make it with the public key.
//
// # Wrapped material, version 1
//
//	+---+------------------------------------------------+
//	| 1 | RootKey.Wrap of: kind (1) | material           |
//	+---+------------------------------------------------+
//
//	associated data of the wrapping = "coffer/material/v1/wrap" |
//	                                  len(key id) (2) | key id | material id (32)
//	kind 1        = SYMMETRIC_DEFAULT: 32 bytes
//	kind 2 to 5   = HMAC_224, 256, 384, 512: as many bytes as the hash has
//	kind 6 to 8   = RSA_2048, 3072, 4096: PKCS #8 in DER, as are the rest
//	kind 9 to 11  = ECC_NIST_P256, P384, P521
//	kind 12, 13   = ECC_SECG_P256K1, ECC_NIST_EDWARDS25519
//	kind 14 to 16 = ML_DSA_44, 65, 87: with the seed
//	material id   = HKDF-SHA-256(secret = kind | material, salt = key id,
//	                             info = "coffer/material/v1/material-id"), 32 bytes, in hex;
//	                for asymmetric kinds with the SubjectPublicKeyInfo instead of the material
//
// The numbers are append-only. The
// material id commits to the material, so that AES-GCM's lack of commitment
// (one ciphertext, two keys) cannot be used even by someone who imports two
// materials of their own choosing; and importing the same material into the
// same key again gives the same id, as KMS demands.
//
// # Import token, version 1
//
//	+---+-------------------------------------------------------------------+
//	| 1 | RootKey.Wrap of: end (8) | wrapping (1) | RSA private key, PKCS #8 |
//	+---+-------------------------------------------------------------------+
//
//	associated data = "coffer/material/v1/import" | key ARN
//	end             = milliseconds since 1970
//	wrapping        = 1, 2: RSAES_OAEP_SHA_1, 256; 3, 4: RSA_AES_KEY_WRAP_SHA_1, 256
//
// It holds all that Import needs, so nothing is stored for imports that never
// come; it is good for one key, region included, until its end, as often as wanted.
package material

import "errors"

var (
	// ErrInvalidCiphertext is all that is ever said of a blob that does not
	// open: KMS's InvalidCiphertextException.
	ErrInvalidCiphertext = errors.New("material: invalid ciphertext")
	// ErrContextTooLarge means that the encryption context has more than
	// MaxContext bytes in canonical form.
	ErrContextTooLarge = errors.New("material: encryption context too large")
	// ErrSize means a plaintext of not 1 to MaxPlaintext bytes, or a data key
	// of not 1 to MaxDataKey.
	ErrSize = errors.New("material: plaintext or data key length out of range")
	// ErrNotAllowed means that the policy.Allowed is empty or for another key
	// or action: a fault of the calling code, not of the client.
	ErrNotAllowed = errors.New("material: key use without a fitting authorization")
	// ErrKeyID means a key id that is neither a UUID nor "mrk-" and 32 hex
	// digits, in lower case.
	ErrKeyID = errors.New("material: malformed key id")
	// ErrKind means a KeySpec there is no material of, or material of a kind
	// that cannot do what was asked: a fault of the calling code.
	ErrKind = errors.New("material: wrong kind of material")
	// ErrAlgorithm means an algorithm that is not for the key's spec.
	ErrAlgorithm = errors.New("material: algorithm does not fit the key")
	// ErrMessageType means a message type that the algorithm does not take.
	ErrMessageType = errors.New("material: message type does not fit the algorithm")
	// ErrDigestSize means a digest that is not as long as the algorithm's hash.
	ErrDigestSize = errors.New("material: wrong digest length")
	// ErrInvalidSignature and ErrInvalidMAC are all that is said of a signature
	// or MAC that is not the message's.
	ErrInvalidSignature = errors.New("material: invalid signature")
	ErrInvalidMAC       = errors.New("material: invalid MAC")
	// ErrUnverifiable means a message type that cannot be verified here.
	ErrUnverifiable = errors.New("material: message type cannot be verified")
	// ErrPublicKey means a peer's public key that is none, or on another curve.
	ErrPublicKey = errors.New("material: unusable public key")
	// ErrToken and ErrTokenExpired are about import tokens, ErrMaterial about
	// what was imported: not material of the key's spec.
	ErrToken        = errors.New("material: invalid import token")
	ErrTokenExpired = errors.New("material: expired import token")
	ErrMaterial     = errors.New("material: not material of the key's spec")
)

const (
	MaxPlaintext = 4096                        // bytes Encrypt takes
	MaxDataKey   = 1024                        // bytes GenerateDataKey makes
	MaxContext   = 8192                        // bytes of a canonical encryption context
	MaxBlob      = MaxPlaintext + BlobOverhead // bytes of a ciphertext blob
)
