package lambda

import (
	"errors"

	"coffer/internal/api"
	"coffer/internal/table"
)

// Alias is a name for a published version of a function.
type Alias struct {
	Account     string `cbor:"1,keyasint"`
	Region      string `cbor:"2,keyasint"`
	UID         string `cbor:"3,keyasint"` // of the function
	Name        string `cbor:"4,keyasint"`
	Version     int    `cbor:"5,keyasint"`
	Description string `cbor:"6,keyasint,omitempty"`
	Revision    string `cbor:"7,keyasint"`
	HasPolicy   bool   `cbor:"8,keyasint,omitempty"`
}

// Aliases are the aliases of all functions.
var Aliases = table.Collection[Alias]{
	Name: "lambda.alias",
	Key:  func(a *Alias) table.Key { return table.K(a.Account, a.Region, a.UID, a.Name) },
}

// alias is an alias of the function, shared; nil if there is none.
func (f *Function) alias(tx *table.Tx, name string) (*Alias, error) {
	a, err := Aliases.Get(tx, f.part(name))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	return a, err
}

// uses reports whether the alias stands for a version.
func (a *Alias) uses(version int) bool { return a.Version == version }

func (s *Service) aliasOperations() []api.Bound { return nil }
