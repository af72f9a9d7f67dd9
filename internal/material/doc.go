// Package material keeps KMS key material. Nothing else sees it: callers hold
// it as [Wrapped], encrypted by the root key, and hand it in with each call.
//
// # Promises
//
//   - Unwrapped material never leaves the package, nor reaches an error, a log
//     or a format verb. It is cached, bounded in number, and zeroed when it is
//     evicted or forgotten (see package envelope for what zeroing cannot reach).
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
// # Wrapped material, version 1
//
//	+---+------------------------------------------------+
//	| 1 | RootKey.Wrap of: kind (1) | material           |
//	+---+------------------------------------------------+
//
//	associated data of the wrapping = "coffer/material/v1/wrap" |
//	                                  len(key id) (2) | key id | material id (32)
//	kind 1      = SYMMETRIC_DEFAULT: 32 bytes
//	material id = HKDF-SHA-256(secret = kind | material, salt = key id,
//	                           info = "coffer/material/v1/material-id"), 32 bytes, in hex
//
// RSA, ECC, HMAC and other kinds get numbers of their own, append-only. The
// material id commits to the material, so that AES-GCM's lack of commitment
// (one ciphertext, two keys) cannot be used even by someone who imports two
// materials of their own choosing; and importing the same material into the
// same key again gives the same id, as KMS demands.
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
)

const (
	MaxPlaintext = 4096                        // bytes Encrypt takes
	MaxDataKey   = 1024                        // bytes GenerateDataKey makes
	MaxContext   = 8192                        // bytes of a canonical encryption context
	MaxBlob      = MaxPlaintext + BlobOverhead // bytes of a ciphertext blob
)
