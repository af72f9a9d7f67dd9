package policy

import (
	"fmt"
	"slices"
)

// Who can do something is asked of requests that nobody has made yet (Request.Unknown): what a
// statement says of them depends on what a request would bring along.

// applies reports whether the statement is about some request of the kind, and whether that
// is only assumed: others it is not about.
func (s *Statement) applies(f *facts, r *Request) (ok, assumed bool) {
	if ok, assumed = s.covers(f, r); !ok {
		return false, false
	}
	for i := range s.Conditions {
		c := &s.Conditions[i]
		switch {
		case c.open(r.Unknown):
			assumed = true
		case !c.holds(f, s.Effect):
			return false, false
		}
	}
	return true, assumed
}

// covers is matchesResource, where variables may stand for anything.
func (s *Statement) covers(f *facts, r *Request) (ok, assumed bool) {
	perhaps := false
	for i := range s.Resources {
		p := &s.Resources[i]
		switch {
		case !p.open(r.Unknown):
			if p.matches(f, r.Resource) {
				return !s.NotResource, false
			}
			if s.NotResource && s.Effect == Allow && !p.resolved(f) {
				return false, false
			}
		case p.mayMatch(f, r):
			perhaps = true
		}
	}
	return s.Resources == nil || s.NotResource || perhaps, perhaps
}

// open reports whether the condition depends on an unknown key.
func (c *Condition) open(unknown func(string) bool) bool {
	return unknown(c.key) || slices.ContainsFunc(c.Values, func(p Pattern) bool { return p.open(unknown) })
}

// open reports whether the pattern has a variable of an unknown key.
func (p *Pattern) open(unknown func(string) bool) bool {
	for _, part := range p.parts {
		for i := range part {
			if part[i].variable != "" && unknown(part[i].variable) {
				return true
			}
		}
	}
	return false
}

// mayMatch reports whether the pattern, of a Resource, could match with some value for its unknown
// variables. One that is nothing without them could.
func (p *Pattern) mayMatch(f *facts, r *Request) bool {
	if len(p.parts) == 1 {
		return true
	}
	wide := Pattern{mode: p.mode, parts: make([][]piece, len(p.parts))}
	for i, part := range p.parts {
		wide.parts[i] = slices.Clone(part)
		for j := range part {
			if part[j].variable != "" && r.Unknown(part[j].variable) {
				wide.parts[i][j] = piece{glob: starPattern}
			}
		}
	}
	return wide.matches(f, r.Resource)
}

// Open returns what of the statement depends on unknown keys, as people read it: conditions, and
// resources with variables.
func (s *Statement) Open(unknown func(string) bool) (shown []string) {
	for i := range s.Resources {
		if s.Resources[i].open(unknown) {
			shown = append(shown, s.resourceElement()+" "+s.Resources[i].Text)
		}
	}
	for i := range s.Conditions {
		if s.Conditions[i].open(unknown) {
			shown = append(shown, s.Conditions[i].String())
		}
	}
	return shown
}

// ResourceElement shows the resources as people read them: "Resource arn:... (and 2 more)";
// empty for a statement without.
func (s *Statement) ResourceElement() string {
	if len(s.Resources) == 0 {
		return ""
	}
	text := s.resourceElement() + " " + s.Resources[0].Text
	if n := len(s.Resources) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

func (s *Statement) resourceElement() string {
	if s.NotResource {
		return "NotResource"
	}
	return "Resource"
}

// MayAllow reports whether an Allow of the set is about an action, whoever asks.
func (s *Set) MayAllow(action string) bool {
	return slices.ContainsFunc(s.forAction(action), func(at ref) bool { return s.statement(at).Effect == Allow })
}
