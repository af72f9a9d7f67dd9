// Package secretsmanager is AWS Secrets Manager: secrets, their versions and
// staging labels, values sealed under KMS data keys, resource policies, tags,
// and the deletion life cycle.
//
// It promises, within the transaction that each call gets: a staging label is
// on at most one version of a secret; AWSCURRENT is on one as soon as there is
// a value; a value is stored only sealed, under a data key of its own that KMS
// wrapped as the caller; a secret marked for deletion gives no value; nothing
// about a secret is revealed before the caller was authorized on it.
//
// It does not rotate or replicate yet, and it does not enforce the resource
// policies it keeps: the gate decides. Who reads a value is noted in memory and
// written later, one write for each secret and day; a crash loses the notes
// taken since the last [Service.FlushAccessed], that is at most a day's
// LastAccessedDate of secrets that are not read again.
//
// # Rows
//
// The parts of keys are separated by "/" here; see package table.
//
//	sm.secret            account/region/name          Secret with its labelled versions
//	  sm.secret.created    account/region/created/name
//	  sm.secret.changed    account/region/changed/name
//	  sm.secret.accessed   account/region/accessed/name
//	  sm.due               deletion date/account/region/name, only when marked
//	  sm.crowded           time/account/region/name, only with more than 100 versions
//	sm.deprecated        account/region/uid/version id  a version without labels
//	  sm.deprecated.created  account/region/uid/created/version id
//	sm.value             account/region/uid/version id  the sealed value of a version, if large
//	sm.policy            account/region/uid           resource policy
//	sm.purge             account/region/uid           what is left of a secret that is gone
//
// A secret's row holds its labelled versions and their values, as long as they are
// small (see inlineValue): reading a value is one read of one row. Larger values
// and deprecated versions live elsewhere, so that listing and describing never
// drag them along. The uid is drawn at creation: rows left behind by a
// forced deletion cannot meet those of a new secret of the same name.
//
// # Sealed values
//
// Each version has a 256-bit data key from KMS GenerateDataKey with the
// encryption context {SecretARN, SecretVersionId}; the wrapped key is kept in the
// version, the value is sealed with AES-256-GCM (NIST SP 800-38D):
//
//	 0        1           13
//	+--------+-----------+------------------+
//	| 1      | nonce(12) | ciphertext, tag  |
//	+--------+-----------+------------------+
//
//	associated data = len(ARN) (4, big-endian) | ARN | len(id) (4) | id | kind (1: text, 2: binary)
//
// One key seals one value, so the random nonce cannot meet itself. The
// associated data ties the value to its place even for a KMS that ignored the context.
package secretsmanager
