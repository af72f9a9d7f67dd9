package material

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
