package api

// Value is the value of an optional member; the zero value if it is absent.
func Value[T any](member *T) T {
	if member == nil {
		var zero T
		return zero
	}
	return *member
}

// Optional is a member of an answer that is absent when it has no value.
func Optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
