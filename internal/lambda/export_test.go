package lambda

import "coffer/internal/api"

// ParseName is for tests: the parts of a name.
func ParseName(r *api.Request, s string) (region, account, name, qualifier string, err error) {
	ref, err := parseName(r, s)
	return ref.region, ref.account, ref.name, ref.qualifier, err
}

// CheckArchive is for tests.
var CheckArchive = checkArchive
