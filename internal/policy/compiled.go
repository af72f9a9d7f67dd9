package policy

import "sync/atomic"

// Compiled keeps what a stored policy was parsed to beside its text, so that a
// policy is parsed once however often it decides. Make it a field of the
// stored record that is not itself stored. Safe for concurrent use.
type Compiled struct{ set atomic.Pointer[Set] }

// Kept returns what Set returned before, nil if it was not called yet.
func (c *Compiled) Kept() *Set { return c.set.Load() }

// Set returns the policy as a set of one attachment. ids binds the users and
// roles it names; see Document.Bind. The text, kind, ids and source must be the
// same in every call. An error means that the text was not checked before it was stored.
func (c *Compiled) Set(text string, kind Kind, ids map[string]string, source string) (*Set, error) {
	if s := c.set.Load(); s != nil {
		return s, nil
	}
	d, err := Parse([]byte(text), kind)
	if err != nil {
		return nil, err
	}
	d.Bind(ids)
	s := NewSet(Attachment{Document: d, Source: source})
	c.set.Store(s)
	return s, nil
}
