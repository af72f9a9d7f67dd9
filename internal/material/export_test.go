package material

import "slices"

// AppendContext is the canonical encryption context.
var AppendContext = appendContext

// Cached counts the materials that s keeps unwrapped.
func Cached(s *Store) int {
	s.cache.mu.RLock()
	defer s.cache.mu.RUnlock()
	if len(s.cache.byID) != len(s.cache.ring) {
		return -1
	}
	return len(s.cache.ring)
}

// UnwrapPadded is RFC 5649.
var UnwrapPadded = unwrapPadded

// Specs are the KeySpecs there is material of.
func Specs() (specs []string) {
	for spec := range kinds {
		specs = append(specs, spec)
	}
	slices.Sort(specs)
	return specs
}

// ParseImported is what Import makes of unwrapped material, in its stored form.
func ParseImported(spec string, imported []byte) ([]byte, error) { return kinds[spec].parse(imported) }

// OpenStored reports whether material in its stored form opens.
func OpenStored(spec string, stored []byte) error {
	_, err := kinds[spec].publicKey(stored)
	return err
}
