// Package envelope holds the root key and seals stored bytes under keys that
// the root key wraps.
//
//	root key (key file, passphrase, later an external KMS or HSM)
//	  wraps -> keyring: store keys and the derivation secret
//	             seal  -> rows of table          ([Sealer])
//	             give  -> subkeys by label       ([Keyring.Derive])
//	  wraps -> KMS key material                  (package material)
//
// # Promises
//
//   - Sealed bytes are AES-256-GCM (NIST SP 800-38D). Any change to a blob, to
//     its associated data or to the key makes Open fail with [ErrCorrupt] or
//     [ErrWrongKey]; no input makes it panic.
//   - A key wears out at no rate that a store can reach, see "Run keys".
//   - A wrong root key or passphrase is [ErrWrongKey], damage is [ErrCorrupt].
//   - Keys print, log and marshal as a placeholder; errors name paths and key
//     ids, never content.
//
// # What it does not promise
//
//   - It does not notice that an old, valid blob was put back in place of a
//     newer one under the same associated data. That needs state outside.
//   - The length of a plaintext shows in the blob.
//   - AES-GCM does not commit to its key: who knows two keys can make a blob
//     that opens under both. Nobody outside the process knows ours, and every
//     blob names its key inside the associated data.
//   - Destroy zeroes the key bytes we hold. Expanded AES keys inside the
//     standard library, and copies the garbage collector has not reused yet,
//     are beyond our reach; core dumps are the server's to switch off.
//
// # Run keys
//
// A random 96-bit nonce may be drawn 2^32 times under one key before the
// chance of a repeat passes 2^-32 (SP 800-38D, 8.3), and one repeat gives away
// the authentication key. A store that seals 10,000 rows a second is there in
// five days. So no long-lived key seals anything: each [RunKeys] draws a
// 16-byte run id when it first seals, and again after 2^30 seals, and seals
// under
//
//	run key = HKDF-SHA-256(secret = key, salt = run id, info = label)   (RFC 5869)
//
// With 2^30 nonces the chance of a repeat within a run is 2^-37, and run ids
// would have to collide in 128 bits for two runs to share a key. Nothing needs
// to be counted across restarts.
//
// # Stored formats
//
// Integers are big-endian. Every format starts with a version byte (or tag),
// and a reader refuses what a writer would not write.
//
// A sealed value and a blob wrapped by a local root key are alike; the label
// of the run keys ("coffer/envelope/v1/seal", ".../wrap") tells them apart:
//
//	 0        1            9            25         37
//	+--------+------------+------------+----------+------------------+
//	| 1      | key id (8) | run id (16)| nonce(12)| ciphertext, tag  |
//	+--------+------------+------------+----------+------------------+
//
//	associated data = len(header) (4) | header | run id | caller's
//	header          = bytes 0 to 8
//	key id          = HKDF-SHA-256(key, no salt, "coffer/envelope/v1/key-id"), 8 bytes
//
// The header's length comes first and the run id's is fixed, so no byte can
// move between header, run id and the caller's associated data.
//
// The keyring, a row or file of its own:
//
//	+--------+---------------------------------------------------+
//	| 1      | RootKey.Wrap of: derivation secret (32),          |
//	|        |                  store keys (32 each), oldest first|
//	+--------+---------------------------------------------------+
//	associated data of the wrapping = "coffer/envelope/v1/keyring"
//
// The key file is one line, mode 0600:
//
//	coffer-root-key-v1:<base64 of key (32) and SHA-256("coffer-root-key-v1:" | key)[:4]>\n
//
// The checksum tells a mistyped or torn copy from the key of another store.
//
// The passphrase header, kept beside the store, not secret:
//
//	 0        1      5              9     10        26               58            62
//	+--------+------+--------------+-----+---------+----------------+-------------+
//	| 1      | time | memory (KiB) | par | salt    | check (32)     | checksum (4)|
//	+--------+------+--------------+-----+---------+----------------+-------------+
//
//	key      = Argon2id(passphrase, salt, time, memory, par), 32 bytes   (RFC 9106)
//	check    = HKDF-SHA-256(key, no salt, "coffer/envelope/v1/passphrase-check")
//	checksum = SHA-256(bytes 0 to 57)[:4]
package envelope

import "errors"

var (
	// ErrCorrupt means that bytes are damaged, forged, or stand in a place
	// (associated data) that they were not sealed for.
	ErrCorrupt = errors.New("envelope: damaged or altered")
	// ErrWrongKey means that the bytes look intact but belong to another root
	// key or passphrase than the one given.
	ErrWrongKey = errors.New("envelope: wrong root key")
	// ErrNoKey means that a key is the zero value or was destroyed.
	ErrNoKey = errors.New("envelope: the key is zero or was destroyed")
	// ErrKeyFile means that a root key file exists but must not be used as it
	// is: its permissions, owner or kind are wrong. The text says what to do.
	ErrKeyFile = errors.New("envelope: root key file refused")
	// ErrPassphrase means that a passphrase or its cost parameters are outside
	// the accepted range.
	ErrPassphrase = errors.New("envelope: passphrase or parameters out of range")
)
