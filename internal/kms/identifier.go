package kms

import (
	"errors"
	"strings"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/arn"
	"coffer/internal/policy"
	"coffer/internal/table"
)

const aliasPrefix = "alias/"

// identifier is a KeyId parameter taken apart: key id, key ARN, alias name or
// alias ARN ("Key identifiers (KeyId)", KMS developer guide).
type identifier struct {
	account string // the owner
	key     string // key id, or
	alias   string // alias name with its prefix
}

// parseIdentifier reads s. What it refuses is refused for its form alone, so
// the answer says nothing about what exists.
func parseIdentifier(r *api.Request, s string, aliases bool) (identifier, error) {
	id, rest := identifier{account: r.Account}, s
	if arn.Is(s) {
		a, err := arn.Parse(s)
		if err != nil || a.Service != "kms" || !isAccount(a.Account) {
			return identifier{}, invalidKeyID(s)
		}
		if a.Region != r.Region {
			return identifier{}, kmsapi.NotFoundException("Invalid arn " + a.Region)
		}
		if a.Partition != r.Partition() {
			return identifier{}, invalidKeyID(s)
		}
		id.account = a.Account
		var isKey bool
		if rest, isKey = strings.CutPrefix(a.Resource, "key/"); !isKey && !strings.HasPrefix(rest, aliasPrefix) || isKey && !isKeyID(rest) {
			return identifier{}, invalidKeyID(s)
		}
	}
	switch {
	case isKeyID(rest):
		id.key = rest
	case aliases && isAliasName(rest):
		id.alias = rest
	default:
		return identifier{}, invalidKeyID(s)
	}
	return id, nil
}

func invalidKeyID(s string) error { return kmsapi.NotFoundException("Invalid keyId '" + s + "'") }

// isKeyID reports whether s has the form of a key id: a UUID, or "mrk-" and 32
// hexadecimal digits.
func isKeyID(s string) bool {
	if digits, ok := strings.CutPrefix(s, multiRegionPrefix); ok {
		return len(digits) == 32 && isHex(digits)
	}
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' &&
		isHex(s[:8]) && isHex(s[9:13]) && isHex(s[14:18]) && isHex(s[19:23]) && isHex(s[24:])
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// isAliasName reports whether an alias of that name can exist.
func isAliasName(s string) bool {
	rest, ok := strings.CutPrefix(s, aliasPrefix)
	if !ok || rest == "" || len(s) > 256 {
		return false
	}
	for i := range len(rest) {
		c := rest[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '/' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func resourceARN(r *api.Request, account, resource string) string {
	return "arn:" + r.Partition() + ":kms:" + r.Region + ":" + account + ":" + resource
}

func keyARN(r *api.Request, account, id string) string { return resourceARN(r, account, "key/"+id) }

// target is what an identifier names. It is made before authorization, so it
// carries the bad news along instead of telling it.
type target struct {
	arn     string // of the key; of the alias while that names no key
	account string // the owner
	named   string // for denials: the caller's own words as an ARN, so that they read the same whether or not the thing exists
	alias   string // that the caller used
	key     *Key   // shared with the cache, not to be changed; nil: there is none
	absent  error  // what to say when there is none
	hidden  string // what a denial says in place of its usual text

	r      *api.Request
	action string      // that access was asked for; empty: the operation's own
	policy *policy.Set // of the key
	peer   string      // of a ReEncrypt: the key on the other side
	failed error       // met while answering for a condition key

	answers *answers // kept, as they can be asked for often; nil: none

	// The AWS managed key that is to be made at first use.
	managed *managedService
	newID   string
}

// locate looks up what name stands for.
func locate(r *api.Request, name string, aliases bool) (target, error) {
	id, err := parseIdentifier(r, name, aliases)
	if err != nil {
		return target{}, err
	}
	if id.alias == "" {
		return locateKey(r, id.account, id.key)
	}
	t := target{r: r, account: id.account, alias: id.alias, named: resourceARN(r, id.account, id.alias)}
	t.arn = t.named
	a, err := Aliases.Get(r.Tx, table.K(id.account, r.Region, id.alias))
	if err == nil {
		var of target
		if of, err = locateKey(r, id.account, a.KeyID); err != nil {
			return target{}, err
		}
		if of.key != nil {
			t.key, t.arn, t.policy = of.key, of.arn, of.policy
			return t, nil
		}
	} else if !errors.Is(err, table.ErrNotFound) {
		return target{}, err
	}
	t.absent = aliasNotFound(t.named)
	return t, nil
}

func locateKey(r *api.Request, account, id string) (target, error) {
	k, err := liveKey(r, account, id)
	if err != nil {
		return target{}, err
	}
	if k == nil {
		a := keyARN(r, account, id)
		return target{r: r, arn: a, account: account, named: a, absent: keyNotFound(a)}, nil
	}
	p, err := keyPolicy(r.Tx, k)
	return target{r: r, arn: k.ARN, account: account, named: k.ARN, key: k, policy: p}, err
}

// locateKeyAnywhere is locateKey for a key of the caller's account or, failing that, of any
// other. Ids are unique.
func locateKeyAnywhere(r *api.Request, id string) (target, error) {
	t, err := locateKey(r, r.Account, id)
	if t.key != nil || err != nil {
		return t, err
	}
	for e, err := range Keys.ScanIndex(r.Tx, idIndex, table.Range{Prefix: table.K(r.Region, id), Exact: true}) {
		if err != nil {
			return target{}, err
		}
		k, err := Keys.Get(r.Tx, e.Record)
		if err != nil {
			return target{}, err
		}
		return locateKey(r, k.Account, id)
	}
	return t, nil
}

// liveKey is the key with this id, nil if there is none or its waiting period is over.
func liveKey(r *api.Request, account, id string) (*Key, error) {
	k, err := Keys.Find(r.Tx, account, r.Region, id)
	switch {
	case errors.Is(err, table.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case k.over(r.Time):
		return nil, nil
	}
	return k.at(r.Time), nil
}

func keyNotFound(arn string) error {
	return kmsapi.NotFoundException("Key '" + arn + "' does not exist")
}
func aliasNotFound(arn string) error {
	return kmsapi.NotFoundException("Alias " + arn + " is not found.")
}

// access is what the caller must be allowed to do with the key. The key's policy
// governs: IAM policies count as far as it lets them. What does not exist has no policy; its
// owner's IAM policies decide whether the caller is told so.
func (t *target) access(action string) api.Access {
	if t.r == nil {
		return api.Access{} // nothing was located, for which the resolver fails
	}
	t.action = action
	a := api.Access{Action: action, Resource: t.arn, Account: t.account, Named: t.named, Denied: t.hidden, Keys: t}
	switch {
	case t.account != t.r.Account && !crossAccount[t.r.Op]:
		// Nothing can allow it. The key's policy is left out, and so are grants.
	case t.key != nil:
		a.Policy, a.Governs, a.Tags = t.policy, true, t.key.Tags
		if t.key.Grants > 0 {
			a.Grants, a.EncryptionContext = t.grants, t.encryptionContext()
		}
	case t.managed != nil:
		a.Policy, a.Governs = t.policy, true
	}
	return a
}

// crossAccount are the operations that can be allowed on keys of other accounts: "if you
// give a user in a different account permission for other operations, those permissions have
// no effect" ("Allowing users in other accounts to use a KMS key").
var crossAccount = map[*api.Operation]bool{
	kmsapi.CreateGrant.Operation: true, kmsapi.Decrypt.Operation: true, kmsapi.DeriveSharedSecret.Operation: true,
	kmsapi.DescribeKey.Operation: true, kmsapi.Encrypt.Operation: true, kmsapi.GenerateDataKey.Operation: true,
	kmsapi.GenerateDataKeyPair.Operation: true, kmsapi.GenerateDataKeyPairWithoutPlaintext.Operation: true,
	kmsapi.GenerateDataKeyWithoutPlaintext.Operation: true, kmsapi.GenerateMac.Operation: true,
	kmsapi.GetKeyRotationStatus.Operation: true, kmsapi.GetPublicKey.Operation: true, kmsapi.ListGrants.Operation: true,
	kmsapi.ReEncrypt.Operation: true, kmsapi.RetireGrant.Operation: true, kmsapi.RevokeGrant.Operation: true,
	kmsapi.Sign.Operation: true, kmsapi.Verify.Operation: true, kmsapi.VerifyMac.Operation: true,
}

// found returns the key to a caller whose action was authorized.
func (t *target) found(r *api.Request, _ string) (*Key, error) {
	if t.key == nil {
		return nil, t.absent
	}
	return t.key, checkGrantTokens(r.Input)
}

// change is found for operations that write: a private copy.
func (t *target) change(r *api.Request) (*Key, error) {
	k, err := t.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	if k, err = Keys.Load(r.Tx, keyKey(k)); err == nil {
		k.lapse(r.Time)
	}
	return k, err
}

// onKey resolves operations that take a key id or key ARN.
func onKey[I any](keyID func(*I) *string) func(*api.Request, *I) (target, api.Access, error) {
	return func(r *api.Request, in *I) (target, api.Access, error) {
		t, err := locate(r, *keyID(in), false)
		return t, t.access(""), err
	}
}

// onKeyOrAlias resolves operations that take an alias as well.
func onKeyOrAlias[I any](keyID func(*I) *string) func(*api.Request, *I) (target, api.Access, error) {
	return func(r *api.Request, in *I) (target, api.Access, error) {
		t, err := locate(r, *keyID(in), true)
		return t, t.access(""), err
	}
}

// KeyARN is the ARN of the key that an alias stands for, "" if there is none; see
// api.Directory.
func KeyARN(tx *table.Tx, account, region, alias string) (string, error) {
	a, err := Aliases.Get(tx, table.K(account, region, alias))
	if errors.Is(err, table.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	k, err := Keys.Get(tx, table.K(account, region, a.KeyID))
	if errors.Is(err, table.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return k.ARN, nil
}
