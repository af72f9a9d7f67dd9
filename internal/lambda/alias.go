package lambda

import (
	"errors"

	"coffer/internal/table"
)

// Alias is a name for a version of a function, or for two that share its calls.
type Alias struct {
	Account     string `cbor:"1,keyasint"`
	Region      string `cbor:"2,keyasint"`
	UID         string `cbor:"3,keyasint"` // of the function
	Name        string `cbor:"4,keyasint"`
	Version     int    `cbor:"5,keyasint"` // 0: $LATEST
	Description string `cbor:"6,keyasint,omitempty"`
	Revision    string `cbor:"7,keyasint"`
	HasPolicy   bool   `cbor:"8,keyasint,omitempty"`
	Also        *Route `cbor:"9,keyasint,omitempty"` // nil: all calls go to Version
}

// Route is a version that gets a part of an alias's calls.
type Route struct {
	Version int     `cbor:"1,keyasint"` // a published one
	Weight  float64 `cbor:"2,keyasint"` // 0 to 1: of all calls
}

const byVersion = "lambda.alias.version"

// Aliases are the aliases of all functions.
var Aliases = table.Collection[Alias]{
	Name: "lambda.alias",
	Key:  func(a *Alias) table.Key { return table.K(a.Account, a.Region, a.UID, a.Name) },
	Indexes: []table.Index[Alias]{{Name: byVersion, Keys: func(a *Alias) []table.Key {
		key := func(n int) table.Key { return table.K(a.Account, a.Region, a.UID, numberPart(n), a.Name) }
		if a.Also == nil {
			return []table.Key{key(a.Version)}
		}
		return []table.Key{key(a.Version), key(a.Also.Version)}
	}}},
}

// pick is the version that a call of the alias goes to; random is evenly distributed in [0, 1).
func (a *Alias) pick(random float64) int {
	if a.Also != nil && random < a.Also.Weight {
		return a.Also.Version
	}
	return a.Version
}

// alias is an alias of the function, shared; nil if there is none.
func (f *Function) alias(tx *table.Tx, name string) (*Alias, error) {
	a, err := Aliases.Get(tx, f.part(name))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	return a, err
}

// aliasesOf are the names of the aliases that mean a version, of many the first.
func (f *Function) aliasesOf(tx *table.Tx, version int) (names []string, err error) {
	for e, err := range Aliases.ScanIndex(tx, byVersion, table.Range{Prefix: f.part(numberPart(version))}) {
		if err != nil {
			return nil, err
		}
		if names = append(names, e.Key.Parts()[4]); len(names) == maxPage {
			break
		}
	}
	return names, nil
}
