package kms

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/page"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// Grant lets a principal use a key ("Grants in AWS KMS"). It is never changed.
type Grant struct {
	Account string       `cbor:"1,keyasint"` // of the key
	Region  string       `cbor:"2,keyasint"`
	KeyID   string       `cbor:"3,keyasint"`
	ID      string       `cbor:"4,keyasint"` // 64 hexadecimal digits
	Name    string       `cbor:"5,keyasint,omitempty"`
	Created table.Millis `cbor:"6,keyasint"`
	Issuer  string       `cbor:"7,keyasint"` // the account of whoever made it

	Grantee  Party  `cbor:"8,keyasint"`
	Retiring *Party `cbor:"9,keyasint,omitempty"`

	Operations []string `cbor:"10,keyasint"` // "Decrypt", each once, in the order they were given

	// Constraint says how Pairs compare with the encryption context of a request: one
	// of the names below, or empty for no constraint.
	Constraint string            `cbor:"11,keyasint,omitempty"`
	Pairs      map[string]string `cbor:"12,keyasint,omitempty"`
}

const (
	contextEquals = "EncryptionContextEquals" // these pairs and no other
	contextSubset = "EncryptionContextSubset" // these pairs among others
)

const (
	grantByID       = "kms.grant.id"
	grantByRetiring = "kms.grant.retiring"
	grantByDigest   = "kms.grant.same"

	// maxGrants is AWS's quota of grants per key.
	maxGrants = 50_000
	// maxGrantsOfOne bounds what a decision reads: the grants of one grantee on one key, of
	// which a caller can be three (itself, the role behind it, its account). A
	// transaction that writes may read 1,000 rows at once.
	maxGrantsOfOne = 500
)

// Grants holds the grants by key and grantee, so that a decision reads those that name
// the caller and no others; by id; by who may retire them; and those with a name by all that
// they say.
var Grants = table.Collection[Grant]{
	Name: "kms.grant",
	Key:  grantKey,
	Indexes: []table.Index[Grant]{
		{Name: grantByID, Keys: func(g *Grant) []table.Key {
			return []table.Key{table.K(g.Account, g.Region, g.KeyID, g.ID)}
		}},
		{Name: grantByRetiring, Keys: func(g *Grant) []table.Key {
			if g.Retiring == nil {
				return nil
			}
			return []table.Key{table.K(g.Retiring.ID, g.Region, g.Account, g.KeyID, g.ID)}
		}},
		{Name: grantByDigest, Keys: func(g *Grant) []table.Key {
			if g.Name == "" {
				return nil
			}
			return []table.Key{table.K(g.Account, g.Region, g.KeyID, g.digest())}
		}},
	},
}

func grantKey(g *Grant) table.Key {
	return table.K(g.Account, g.Region, g.KeyID, g.Grantee.ID, g.ID)
}

// digest is the same for grants that say the same: by it a repeated request is known.
func (g *Grant) digest() string {
	var b strings.Builder
	say := func(parts ...string) {
		for _, p := range parts {
			fmt.Fprintf(&b, "%d:%s", len(p), p)
		}
	}
	say(g.Name, g.Issuer, g.Grantee.ID, g.Constraint)
	if g.Retiring != nil {
		say("retiring", g.Retiring.ID)
	}
	say(slices.Sorted(slices.Values(g.Operations))...)
	say("pairs")
	for _, k := range slices.Sorted(maps.Keys(g.Pairs)) {
		say(k, g.Pairs[k])
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// grantable are the operations that a grant can allow on any key, and those for a
// usage; symmetric keys have some of their own ("Grant operations").
var (
	grantableAlways    = []string{"CreateGrant", "RetireGrant", "DescribeKey"}
	grantableSymmetric = []string{"GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"}
	grantableFor       = map[string][]string{
		kmsapi.KeyUsageTypeEncryptDecrypt:    {"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo"},
		kmsapi.KeyUsageTypeSignVerify:        {"Sign", "Verify"},
		kmsapi.KeyUsageTypeGenerateVerifyMac: {"GenerateMac", "VerifyMac"},
		kmsapi.KeyUsageTypeKeyAgreement:      {"DeriveSharedSecret"},
	}
)

// grantable reports whether a grant on k can allow the operation.
func (k *Key) grantable(operation string) bool {
	return slices.Contains(grantableAlways, operation) || slices.Contains(grantableFor[k.Usage], operation) ||
		k.Spec == symmetricSpec && slices.Contains(grantableSymmetric, operation) ||
		k.asymmetric() && operation == kmsapi.GrantOperationGetPublicKey
}

// grantOperations are the operations of a new grant on k, each once.
func (k *Key) grantOperations(given []string) (out []string, err error) {
	for _, op := range given {
		if !k.grantable(op) {
			return nil, api.ValidationException("The operation " + op + " cannot be granted on a key of spec " + k.Spec + " and usage " + k.Usage + ": " + k.ARN)
		}
		if !slices.Contains(out, op) {
			out = append(out, op)
		}
	}
	switch {
	case len(out) == 0:
		return nil, api.ValidationException("Grants must contain at least one operation.")
	case len(out) == 1 && out[0] == kmsapi.GrantOperationCreateGrant:
		return nil, api.ValidationException("Grants must not contain only the CreateGrant operation.")
	}
	return out, nil
}

const (
	maxPairs    = 8   // of a constraint
	maxPairText = 384 // characters of a key and of a value in it
)

// constrain sets the constraint of a new grant on k.
func (g *Grant) constrain(k *Key, in *kmsapi.GrantConstraints) error {
	if in == nil || in.EncryptionContextEquals == nil && in.EncryptionContextSubset == nil {
		return nil
	}
	if in.EncryptionContextEquals != nil && in.EncryptionContextSubset != nil {
		return api.ValidationException("More than one constraint supplied")
	}
	if k.Spec != symmetricSpec {
		return api.ValidationException("Encryption context constraints are for symmetric encryption keys only: " + k.ARN)
	}
	g.Constraint, g.Pairs = requestedConstraint(in)
	return nil
}

// checkPairs looks at the size of a constraint before anything is decided.
func checkPairs(in *kmsapi.GrantConstraints) error {
	name, pairs := requestedConstraint(in)
	if name == "" {
		return nil
	}
	path := "constraints." + strings.ToLower(name[:1]) + name[1:]
	if len(pairs) > maxPairs {
		return constraint("at '"+path+"'", fmt.Sprintf("have length less than or equal to %d", maxPairs))
	}
	tooLong := func(what string) error {
		return api.ValidationException(fmt.Sprintf("1 validation error detected: Value at '%s' failed to satisfy constraint: %s must satisfy constraint: [Member must have length less than or equal to %d]", path, what, maxPairText))
	}
	for key, value := range pairs {
		if utf8.RuneCountInString(key) > maxPairText {
			return tooLong("Map keys")
		}
		if utf8.RuneCountInString(value) > maxPairText {
			return tooLong("Map value")
		}
	}
	return nil
}

// requestedConstraint is the constraint of a request that has at most one.
func requestedConstraint(in *kmsapi.GrantConstraints) (name string, pairs map[string]string) {
	switch {
	case in == nil:
	case in.EncryptionContextEquals != nil:
		return contextEquals, in.EncryptionContextEquals
	case in.EncryptionContextSubset != nil:
		return contextSubset, in.EncryptionContextSubset
	}
	return "", nil
}

func resolveCreateGrant(r *api.Request, in *kmsapi.CreateGrantInput) (target, api.Access, error) {
	if err := checkPairs(in.Constraints); err != nil {
		return target{}, api.Access{}, err
	}
	t, err := locate(r, *in.KeyId, false)
	return t, t.access(""), err
}

func createGrant(r *api.Request, in *kmsapi.CreateGrantInput, t target) (*kmsapi.CreateGrantOutput, error) {
	k, err := t.change(r)
	if err != nil {
		return nil, err
	}
	if err := k.usable(); err != nil {
		return nil, err
	}
	g, err := newGrant(r, in, k)
	if err != nil {
		return nil, err
	}
	same, err := g.repeated(r)
	if err != nil {
		return nil, err
	}
	if same == nil {
		if err := k.roomFor(r, g); err != nil {
			return nil, err
		}
	}
	if dryRun(in.DryRun) {
		return nil, wouldHaveSucceeded()
	}
	if same != nil {
		return &kmsapi.CreateGrantOutput{GrantId: new(same.ID), GrantToken: new(newGrantToken(same))}, nil
	}
	k.Grants++
	if err := Keys.Put(r.Tx, k); err != nil {
		return nil, err
	}
	return &kmsapi.CreateGrantOutput{GrantId: new(g.ID), GrantToken: new(newGrantToken(g))}, Grants.Insert(r.Tx, g)
}

// newGrant is the grant that a request asks for.
func newGrant(r *api.Request, in *kmsapi.CreateGrantInput, k *Key) (g *Grant, err error) {
	var id [32]byte
	rand.Read(id[:]) // never fails
	g = &Grant{Account: k.Account, Region: k.Region, KeyID: k.ID, ID: hex.EncodeToString(id[:]), Created: table.At(r.Time), Issuer: r.Account}
	if in.Name != nil {
		g.Name = *in.Name
	}
	if g.Operations, err = k.grantOperations(in.Operations); err != nil {
		return nil, err
	}
	if err := g.constrain(k, in.Constraints); err != nil {
		return nil, err
	}
	grantee, err := findParty(r, *in.GranteePrincipal)
	if err != nil {
		return nil, err
	}
	g.Grantee = *grantee
	if in.RetiringPrincipal != nil {
		g.Retiring, err = findParty(r, *in.RetiringPrincipal)
	}
	return g, err
}

// repeated is the grant that says the same as g, nil if there is none. Only names make
// grants alike: "all CreateGrant requests without a Name result in a new grant".
func (g *Grant) repeated(r *api.Request) (*Grant, error) {
	if g.Name == "" {
		return nil, nil
	}
	return firstGrant(r.Tx, grantByDigest, table.K(g.Account, g.Region, g.KeyID, g.digest()))
}

// roomFor refuses one grant too many.
func (k *Key) roomFor(r *api.Request, g *Grant) error {
	if k.Grants >= maxGrants {
		return kmsapi.LimitExceededException(fmt.Sprintf("The limit of %d grants has been reached for the key: %s", maxGrants, k.ARN))
	}
	if k.Grants < maxGrantsOfOne {
		return nil
	}
	n := 0
	for _, err := range Grants.Scan(r.Tx, table.Range{Prefix: table.K(k.Account, k.Region, k.ID, g.Grantee.ID)}) {
		if err != nil {
			return err
		}
		if n++; n >= maxGrantsOfOne {
			return kmsapi.LimitExceededException(fmt.Sprintf("The limit of %d grants to one principal has been reached for the key: %s", maxGrantsOfOne, k.ARN))
		}
	}
	return nil
}

// firstGrant is the grant of an index row, nil if there is none.
func firstGrant(tx *table.Tx, index string, key table.Key) (*Grant, error) {
	for e, err := range Grants.ScanIndex(tx, index, table.Range{Prefix: key, Exact: true}) {
		if err != nil {
			return nil, err
		}
		return Grants.Get(tx, e.Record)
	}
	return nil, nil
}

// findGrant is the grant on k with this id, which must have the form of one.
func findGrant(r *api.Request, k *Key, id string) (*Grant, error) {
	if len(id) != 64 || !isHex(id) {
		return nil, kmsapi.InvalidGrantIdException("The grant ID " + id + " is not valid.")
	}
	g, err := firstGrant(r.Tx, grantByID, table.K(k.Account, k.Region, k.ID, id))
	if g == nil && err == nil {
		err = kmsapi.NotFoundException("Grant " + id + " does not exist on the key: " + k.ARN)
	}
	return g, err
}

func revokeGrant(r *api.Request, in *kmsapi.RevokeGrantInput, t target) (*kmsapi.RevokeGrantOutput, error) {
	return &kmsapi.RevokeGrantOutput{}, t.removeGrant(r, *in.GrantId, in.DryRun)
}

// removeGrant works in every state of the key.
func (t *target) removeGrant(r *api.Request, id string, dry *bool) error {
	k, err := t.change(r)
	if err != nil {
		return err
	}
	g, err := findGrant(r, k, id)
	if err != nil {
		return err
	}
	if dryRun(dry) {
		return wouldHaveSucceeded()
	}
	k.Grants--
	if err := Keys.Put(r.Tx, k); err != nil {
		return err
	}
	return Grants.Delete(r.Tx, grantKey(g))
}

// purgeGrants deletes the first grants of k, a private copy, and reports whether there were any.
func (k *Key) purgeGrants(r *api.Request) (any bool, err error) {
	var keys []table.Key
	for e, err := range Grants.Scan(r.Tx, table.Range{Prefix: table.K(k.Account, k.Region, k.ID)}) {
		if err != nil {
			return false, err
		}
		if keys = append(keys, e.Key); len(keys) == purgeGrantsAtOnce {
			break
		}
	}
	for _, key := range keys {
		if err := Grants.Delete(r.Tx, key); err != nil {
			return false, err
		}
	}
	if len(keys) == 0 {
		return false, nil
	}
	k.Grants = max(k.Grants-len(keys), 0)
	return true, Keys.Put(r.Tx, k)
}

// shown is the grant as answers show it.
func (g *Grant) shown(r *api.Request) (e kmsapi.GrantListEntry, err error) {
	e = kmsapi.GrantListEntry{
		KeyId: new(keyARN(r, g.Account, g.KeyID)), GrantId: new(g.ID), Name: new(g.Name), CreationDate: g.Created.Ptr(),
		IssuingAccount: new("arn:" + r.Partition() + ":iam::" + g.Issuer + ":root"), Operations: g.Operations,
	}
	switch g.Constraint {
	case contextEquals:
		e.Constraints = &kmsapi.GrantConstraints{EncryptionContextEquals: g.pairs()}
	case contextSubset:
		e.Constraints = &kmsapi.GrantConstraints{EncryptionContextSubset: g.pairs()}
	}
	if e.GranteePrincipal, err = g.Grantee.shown(r); err == nil && g.Retiring != nil {
		e.RetiringPrincipal, err = g.Retiring.shown(r)
	}
	return e, err
}

// pairs are those of the constraint: not nil, though a row keeps none as nil.
func (g *Grant) pairs() map[string]string {
	if g.Pairs == nil {
		return map[string]string{}
	}
	return g.Pairs
}

// grantList is a page of grants under way.
type grantList struct {
	*page.Page
	r       *api.Request
	entries []kmsapi.GrantListEntry
	last    string // position of the last entry
	marker  *string
}

func newGrantList(r *api.Request, limit *int64, marker *string, filter string) (*grantList, error) {
	p, err := newPage(r, limit, marker, 50, filter)
	return &grantList{Page: p, r: r, entries: []kmsapi.GrantListEntry{}}, err
}

// under is the range of the page's rows under prefix: what follows it is the position.
func (l *grantList) under(prefix table.Key) table.Range {
	rows := table.Range{Prefix: prefix}
	if l.After != "" {
		rows.After = prefix + table.K(strings.Split(l.After, "/")...)
	}
	return rows
}

// add adds the grant that stands at key; more is false behind the end of the page.
func (l *grantList) add(rows table.Range, key table.Key, g *Grant) (more bool, err error) {
	if len(l.entries) == l.Limit {
		l.marker = l.Next(l.last)
		return false, nil
	}
	l.last = strings.Join(key[len(rows.Prefix):].Parts(), "/")
	e, err := g.shown(l.r)
	l.entries = append(l.entries, e)
	return true, err
}

// indexed lists the grants of an index.
func (l *grantList) indexed(index string, prefix table.Key) error {
	rows := l.under(prefix)
	for e, err := range Grants.ScanIndex(l.r.Tx, index, rows) {
		if err != nil {
			return err
		}
		g, err := Grants.Get(l.r.Tx, e.Record)
		if err != nil {
			return err
		}
		if k, err := liveKey(l.r, g.Account, g.KeyID); err != nil {
			return err
		} else if k == nil {
			continue // gone with its key, though its row waits for PurgeDue
		}
		if more, err := l.add(rows, e.Key, g); err != nil || !more {
			return err
		}
	}
	return nil
}

// listGrants lists the grants of a key by id: all, those to a grantee, or one.
func listGrants(r *api.Request, in *kmsapi.ListGrantsInput, t target) (*kmsapi.ListGrantsOutput, error) {
	k, err := t.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	var grantee string
	if in.GranteePrincipal != nil {
		if grantee, err = partyID(r, *in.GranteePrincipal); err != nil {
			return nil, err
		}
	}
	l, err := newGrantList(r, in.Limit, in.Marker, k.ID+" "+grantee)
	if err != nil {
		return nil, err
	}
	key := table.K(k.Account, k.Region, k.ID)
	switch {
	case in.GrantId != nil:
		var g *Grant
		if g, err = findGrant(r, k, *in.GrantId); err == nil && (grantee == "" || grantee == g.Grantee.ID) {
			_, err = l.add(table.Range{}, "", g)
		}
	case grantee != "":
		err = l.granted(key + table.K(grantee))
	default:
		err = l.indexed(grantByID, key)
	}
	if err != nil {
		return nil, err
	}
	return &kmsapi.ListGrantsOutput{Grants: l.entries, NextMarker: l.marker, Truncated: new(l.marker != nil)}, nil
}

// granted lists the grants to one grantee on a key.
func (l *grantList) granted(prefix table.Key) error {
	rows := l.under(prefix)
	for e, err := range Grants.Scan(l.r.Tx, rows) {
		if err != nil {
			return err
		}
		if more, err := l.add(rows, e.Key, e.Value); err != nil || !more {
			return err
		}
	}
	return nil
}

// listRetirableGrants lists what a principal of the caller's account may retire, on
// whoever's keys.
func listRetirableGrants(r *api.Request, in *kmsapi.ListRetirableGrantsInput, _ struct{}) (*kmsapi.ListRetirableGrantsOutput, error) {
	if p, ok := policy.ParsePrincipal(*in.RetiringPrincipal); !ok || p.Account != r.Account {
		return nil, noSuchParty(*in.RetiringPrincipal)
	}
	p, err := findParty(r, *in.RetiringPrincipal)
	if err != nil {
		return nil, err
	}
	l, err := newGrantList(r, in.Limit, in.Marker, p.ID)
	if err != nil {
		return nil, err
	}
	if err := l.indexed(grantByRetiring, table.K(p.ID, r.Region)); err != nil {
		return nil, err
	}
	return &kmsapi.ListRetirableGrantsOutput{Grants: l.entries, NextMarker: l.marker, Truncated: new(l.marker != nil)}, nil
}
