package policy

// LocksOut reports whether the document, once in force on r.Resource, would
// keep the caller of r from ever changing it again. Of r it uses Caller and
// Resource; the actions follow from the document's kind.
//
// For a policy on a secret: both secretsmanager:PutResourcePolicy and
// secretsmanager:DeleteResourcePolicy are explicitly denied. An explicit deny
// binds the account root, too. With one of the two left the caller can still
// undo the policy, so that is not a lock-out.
//
// For a key policy: no Allow gives kms:PutKeyPolicy to the caller, or a Deny
// takes it away. An Allow for the caller's account counts, as it delegates to
// IAM. ("Default key policy", "the key policy lockout safety check".)
//
// Conditions are taken not to hold, in either effect: a conditional Deny is
// not a lock-out, since it can be met later, and a conditional Allow is no way
// back in. The same goes for resources with policy variables.
func (d *Document) LocksOut(r *Request) bool {
	switch d.Kind {
	case Key:
		const put = "kms:PutKeyPolicy"
		return d.applies(Deny, r, put) || !d.applies(Allow, r, put)
	case Resource:
		return d.applies(Deny, r, "secretsmanager:PutResourcePolicy") &&
			d.applies(Deny, r, "secretsmanager:DeleteResourcePolicy")
	}
	return false
}

// applies reports whether an unconditional statement of that effect covers the
// caller, the action and the resource.
func (d *Document) applies(e Effect, r *Request, action string) bool {
	for i := range d.Statements {
		s := &d.Statements[i]
		if s.Effect == e && len(s.Conditions) == 0 && s.names(&r.Caller) != unnamed && s.coversAction(action) && s.coversResource(r.Resource) {
			return true
		}
	}
	return false
}

func (s *Statement) coversResource(resource string) bool {
	if s.Resources == nil {
		return true // a key policy speaks of its own key
	}
	unknown := false
	for i := range s.Resources {
		p := &s.Resources[i]
		if unknown = unknown || p.Variables(); !p.Variables() && p.matches(&facts{}, resource) {
			return !s.NotResource
		}
	}
	return s.NotResource && !unknown
}
