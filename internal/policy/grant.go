package policy

import (
	"maps"
	"slices"
)

// Grant is a KMS grant as far as it decides. It only ever allows.
type Grant struct {
	ID      string
	Grantee Principal // with its unique id, if it has one
	Service string    // the service that is the grantee in place of a Grantee
	Actions []string  // "kms:Decrypt"

	// At most one of them is set; both are about requests that carry an
	// encryption context: the pairs must be exactly these, or be among them.
	ContextEquals, ContextSubset map[string]string
}

// grant finds the grant that names the caller most closely.
func (e *evaluation) grant() (found *Grant, as rank) {
	for _, g := range e.p.Grants() {
		named := g.names(&e.r.Caller)
		if named > as && g.covers(e.r.Action) && g.holds(e.p.EncryptionContext) {
			found, as = g, named
		}
	}
	return found, as
}

// names tells how closely the grant names the caller. One to an account leaves it to
// the account's identity policies, as a key policy that names the account does.
func (g *Grant) names(c *Caller) rank {
	switch {
	case g.Service == "":
		return g.Grantee.rank(c)
	case c.Type == AWSService && c.Service == g.Service:
		return direct
	}
	return unnamed
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

// Constraints shows what the grant asks of an encryption context, as people read it:
// "EncryptionContextSubset Department=IT".
func (g *Grant) Constraints() (shown []string) {
	name, pairs := "EncryptionContextEquals", g.ContextEquals
	if pairs == nil {
		name, pairs = "EncryptionContextSubset", g.ContextSubset
	}
	if pairs == nil {
		return nil
	}
	for _, k := range slices.Sorted(maps.Keys(pairs)) {
		name += " " + k + "=" + pairs[k]
	}
	return []string{name}
}
