package kms

import (
	"errors"
	"strings"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
	"coffer/internal/page"
	"coffer/internal/table"
)

// Alias is a name for a key of the same account and region.
type Alias struct {
	Account string       `cbor:"1,keyasint"`
	Region  string       `cbor:"2,keyasint"`
	Name    string       `cbor:"3,keyasint"` // with "alias/"
	KeyID   string       `cbor:"4,keyasint"`
	Created table.Millis `cbor:"5,keyasint"`
	Updated table.Millis `cbor:"6,keyasint"`
}

const aliasIndex = "kms.alias.key"

// Aliases holds the aliases by account, region and name, and by key.
var Aliases = table.Collection[Alias]{
	Name: "kms.alias",
	Key:  aliasKey,
	Indexes: []table.Index[Alias]{{Name: aliasIndex, Keys: func(a *Alias) []table.Key {
		return []table.Key{table.K(a.Account, a.Region, a.KeyID, a.Name)}
	}}},
}

func aliasKey(a *Alias) table.Key { return table.K(a.Account, a.Region, a.Name) }

// maxAliases is AWS's quota of aliases per key.
const maxAliases = 50

// checkAliasName holds the rules that the model's pattern does not.
func checkAliasName(name string) error {
	rest, ok := strings.CutPrefix(name, aliasPrefix)
	switch {
	case !ok || rest == "":
		return api.ValidationException(`Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`)
	case strings.HasPrefix(name, reservedPrefix):
		return notAuthorized()
	case strings.Contains(name, ":"):
		return api.ValidationException(name + " contains invalid characters for an alias")
	}
	return nil
}

// naming is what an alias operation is about.
type naming struct {
	arn   string // of the alias
	alias *Alias // shared; nil: there is none
	key   target // that it shall have
}

func locateAlias(r *api.Request, name string) (naming, error) {
	n := naming{arn: resourceARN(r, r.Account, name)}
	if err := checkAliasName(name); err != nil {
		return n, err
	}
	a, err := Aliases.Get(r.Tx, table.K(r.Account, r.Region, name))
	if err != nil && !errors.Is(err, table.ErrNotFound) {
		return n, err
	}
	if a == nil {
		return n, nil
	}
	// The aliases of a key that is gone are gone with it, though their rows
	// wait for PurgeDue.
	k, err := liveKey(r, r.Account, a.KeyID)
	if k != nil {
		n.alias = a
	}
	return n, err
}

// access is on the alias and on every key whose aliases change ("Controlling
// access to aliases", KMS developer guide). An alias has no policy of its own.
func (n *naming) access(r *api.Request, keys ...*target) api.Access {
	a := api.Access{Resource: n.arn, Account: r.Account, Named: n.arn, Keys: &target{r: r}}
	for _, k := range keys {
		a.Also = append(a.Also, k.access(""))
	}
	return a
}

func resolveCreateAlias(r *api.Request, in *kmsapi.CreateAliasInput) (n naming, a api.Access, err error) {
	if n, err = locateAlias(r, *in.AliasName); err != nil {
		return n, a, err
	}
	if n.key, err = locate(r, *in.TargetKeyId, false); err != nil {
		return n, a, err
	}
	return n, n.access(r, &n.key), nil
}

func resolveUpdateAlias(r *api.Request, in *kmsapi.UpdateAliasInput) (n naming, a api.Access, err error) {
	if n, err = locateAlias(r, *in.AliasName); err != nil {
		return n, a, err
	}
	if n.key, err = locate(r, *in.TargetKeyId, false); err != nil {
		return n, a, err
	}
	if n.alias == nil {
		return n, n.access(r, &n.key), nil
	}
	old, err := locateKey(r, r.Account, n.alias.KeyID)
	return n, n.access(r, &old, &n.key), err
}

func resolveDeleteAlias(r *api.Request, in *kmsapi.DeleteAliasInput) (n naming, a api.Access, err error) {
	if n, err = locateAlias(r, *in.AliasName); err != nil {
		return n, a, err
	}
	if n.alias == nil {
		return n, n.access(r), nil
	}
	of, err := locateKey(r, r.Account, n.alias.KeyID)
	return n, n.access(r, &of), err
}

// newTarget checks the key that an alias shall name.
func (n *naming) newTarget(r *api.Request) (*Key, error) {
	k, err := n.key.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	if err := k.notPending(); err != nil {
		return nil, err
	}
	count := 0
	for _, err := range Aliases.ScanIndex(r.Tx, aliasIndex, table.Range{Prefix: table.K(k.Account, k.Region, k.ID)}) {
		if err != nil {
			return nil, err
		}
		count++
	}
	if count >= maxAliases && (n.alias == nil || n.alias.KeyID != k.ID) {
		return nil, kmsapi.LimitExceededException("The limit of 50 aliases per key has been reached for the key: " + k.ARN)
	}
	return k, nil
}

func createAlias(r *api.Request, in *kmsapi.CreateAliasInput, n naming) (*kmsapi.CreateAliasOutput, error) {
	if n.alias != nil {
		return nil, kmsapi.AlreadyExistsException("An alias with the name " + n.arn + " already exists")
	}
	k, err := n.newTarget(r)
	if err != nil {
		return nil, err
	}
	now := table.At(r.Time)
	a := &Alias{Account: r.Account, Region: r.Region, Name: *in.AliasName, KeyID: k.ID, Created: now, Updated: now}
	return &kmsapi.CreateAliasOutput{}, Aliases.Put(r.Tx, a)
}

// updateAlias points an alias to another key, which must be of the same type and
// usage: "this restriction prevents errors in code that uses aliases".
func updateAlias(r *api.Request, _ *kmsapi.UpdateAliasInput, n naming) (*kmsapi.UpdateAliasOutput, error) {
	if n.alias == nil {
		return nil, aliasNotFound(n.arn)
	}
	k, err := n.newTarget(r)
	if err != nil {
		return nil, err
	}
	old, err := Keys.Get(r.Tx, table.K(n.alias.Account, n.alias.Region, n.alias.KeyID))
	if err != nil {
		return nil, err
	}
	if old.Usage != k.Usage || old.asymmetric() != k.asymmetric() {
		return nil, api.ValidationException("Alias " + n.arn + " can be associated only with a key of the type and usage of its present key.")
	}
	a := *n.alias
	a.KeyID, a.Updated = k.ID, table.At(r.Time)
	return &kmsapi.UpdateAliasOutput{}, Aliases.Put(r.Tx, &a)
}

// deleteAlias works in every state of the key.
func deleteAlias(r *api.Request, _ *kmsapi.DeleteAliasInput, n naming) (*kmsapi.DeleteAliasOutput, error) {
	if n.alias == nil {
		return nil, aliasNotFound(n.arn)
	}
	return &kmsapi.DeleteAliasOutput{}, Aliases.Delete(r.Tx, aliasKey(n.alias))
}

// listAliases lists those of the account and region, or of one key. Like in
// AWS it is authorized without a resource, so a key of another account is
// simply not there.
func listAliases(r *api.Request, in *kmsapi.ListAliasesInput, _ struct{}) (*kmsapi.ListAliasesOutput, error) {
	out := &kmsapi.ListAliasesOutput{Aliases: []kmsapi.AliasListEntry{}}
	add := func(p *page.Page, a *Alias) (more bool, err error) {
		if k, err := liveKey(r, a.Account, a.KeyID); err != nil || k == nil {
			return true, err // gone with its key
		}
		if len(out.Aliases) == p.Limit {
			out.NextMarker = p.Next(*out.Aliases[p.Limit-1].AliasName)
			return false, nil
		}
		out.Aliases = append(out.Aliases, kmsapi.AliasListEntry{
			AliasName:       new(a.Name),
			AliasArn:        new(resourceARN(r, a.Account, a.Name)),
			TargetKeyId:     new(a.KeyID),
			CreationDate:    a.Created.Ptr(),
			LastUpdatedDate: a.Updated.Ptr(),
		})
		return true, nil
	}
	if in.KeyId == nil {
		p, err := newPage(r, in.Limit, in.Marker, 50, "")
		if err != nil {
			return nil, err
		}
		for e, err := range Aliases.Scan(r.Tx, p.Rows(table.K(r.Account, r.Region))) {
			if err != nil {
				return nil, err
			}
			if more, err := add(p, e.Value); err != nil {
				return nil, err
			} else if !more {
				break
			}
		}
	} else {
		t, err := locate(r, *in.KeyId, false)
		if err != nil {
			return nil, err
		}
		if t.account != r.Account {
			return nil, keyNotFound(t.arn)
		}
		if t.key == nil {
			return nil, t.absent
		}
		p, err := newPage(r, in.Limit, in.Marker, 50, t.key.ID)
		if err != nil {
			return nil, err
		}
		for e, err := range Aliases.ScanIndex(r.Tx, aliasIndex, p.Rows(table.K(r.Account, r.Region, t.key.ID))) {
			if err != nil {
				return nil, err
			}
			a, err := Aliases.Get(r.Tx, e.Record)
			if err != nil {
				return nil, err
			}
			if more, err := add(p, a); err != nil {
				return nil, err
			} else if !more {
				break
			}
		}
	}
	out.Truncated = new(out.NextMarker != nil)
	return out, nil
}
