package policy

// Grant is a KMS grant as far as it decides. It only ever allows.
type Grant struct {
	ID      string
	Grantee Principal // with its unique id, if it has one
	Actions []string  // "kms:Decrypt"

	// At most one of them is set; both are about requests that carry an
	// encryption context: the pairs must be exactly these, or be among them.
	ContextEquals, ContextSubset map[string]string
}

// grant finds the grant that names the caller most closely. One for the account as
// a whole names nobody: KMS takes no account as grantee.
func (e *evaluation) grant() (found *Grant, as rank) {
	for _, g := range e.p.Grants() {
		named := g.Grantee.rank(&e.r.Caller)
		if named > max(as, delegated) && g.covers(e.r.Action) && g.holds(e.p.EncryptionContext) {
			found, as = g, named
		}
	}
	return found, as
}

func (g *Grant) covers(action string) bool {
	for _, a := range g.Actions {
		if equalFold(a, action) {
			return true
		}
	}
	return false
}

// holds applies the constraints to the encryption context of the request. They
// are no concern of operations that take none: DescribeKey, RetireGrant, Sign.
// Keys and values have case.
func (g *Grant) holds(context map[string]string) bool {
	want := g.ContextEquals
	if want == nil {
		want = g.ContextSubset
	}
	if want == nil || context == nil {
		return true
	}
	if g.ContextEquals != nil && len(context) != len(want) {
		return false
	}
	for k, v := range want {
		if got, ok := context[k]; !ok || got != v {
			return false
		}
	}
	return true
}
