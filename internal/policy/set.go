package policy

import (
	"maps"
	"strings"
	"sync/atomic"
)

// Attachment is a document where it hangs.
type Attachment struct {
	Document *Document
	// Source tells people where the document hangs: the ARN of a managed
	// policy or of a resource, or "inline policy NAME of user PATH/NAME".
	Source string
}

// Set is policies that apply together: of one caller, one resource, one level
// of an organisation. It remembers which statements are about an action, so that a
// decision looks only at those. Immutable, for concurrent use.
type Set struct {
	attachments []Attachment
	trust       bool
	at          string
	about       atomic.Pointer[map[string][]ref]
}

// ref is a statement of a set.
type ref struct{ attachment, statement int32 }

// NewSet returns a set of the attachments. One without any allows nothing.
func NewSet(attachments ...Attachment) *Set {
	s := &Set{attachments: attachments}
	for _, a := range attachments {
		s.trust = s.trust || a.Document.Kind == Trust
	}
	return s
}

// NewLevel returns the set of control policies that are attached to a root, unit or account,
// whose id is at.
func NewLevel(at string, attachments ...Attachment) *Set {
	s := NewSet(attachments...)
	s.at = at
	return s
}

// Attachments returns what the set was made of. Not to be changed.
func (s *Set) Attachments() []Attachment {
	if s == nil {
		return nil
	}
	return s.attachments
}

// maxRemembered bounds the actions that a set remembers. There are more operations
// than that, but nobody uses them all; what is not remembered is looked for.
const maxRemembered = 128

// forAction returns the statements whose Action or NotAction covers the action.
func (s *Set) forAction(action string) []ref {
	known := s.about.Load()
	if known != nil {
		if refs, ok := (*known)[action]; ok {
			return refs
		}
	}
	var refs []ref
	for i := range s.attachments {
		d := s.attachments[i].Document
		for j := range d.Statements {
			if d.Statements[j].coversAction(action) {
				refs = append(refs, ref{int32(i), int32(j)})
			}
		}
	}
	if known != nil && len(*known) >= maxRemembered {
		return refs
	}
	// A copy for each new action: readers never wait. Losing a race means that
	// the action is looked for once more.
	next := make(map[string][]ref, 8)
	if known != nil {
		maps.Copy(next, *known)
	}
	next[strings.Clone(action)] = refs
	s.about.CompareAndSwap(known, &next)
	return refs
}

// answer is what one set says of a request.
type answer struct {
	denied      bool
	rank        rank // of the Allow; unnamed without one
	assumed     bool // of it
	deny, allow ref
}

// ask looks through the statements about the request. A nil set says nothing.
func (s *Set) ask(r *Request, f *facts, kind Type) (a answer) {
	if s == nil {
		return a
	}
	for _, at := range s.forAction(r.Action) {
		if f.exhausted() {
			return answer{}
		}
		st := s.statement(at)
		if st.Effect == Allow && a.rank == direct && r.Trace == nil {
			continue // only a Deny can change anything
		}
		named := st.names(&r.Caller)
		if named == unnamed || st.Effect == Allow && named <= a.rank && r.Trace == nil {
			continue
		}
		assumed := false
		if r.Unknown == nil {
			if !st.matchesResource(f, r.Resource) || !st.holds(f) {
				continue
			}
		} else {
			var ok bool
			if ok, assumed = st.applies(f, r); !ok {
				continue
			}
		}
		if r.Trace != nil {
			m := s.matched(kind, at)
			m.Assumed = assumed
			r.Trace(m)
		}
		if assumed && (st.Effect == Deny || !r.Hopeful) {
			continue
		}
		switch {
		case st.Effect == Allow && (named > a.rank || named == a.rank && a.assumed && !assumed):
			a.rank, a.allow, a.assumed = named, at, assumed
		case st.Effect == Deny && !a.denied:
			if a.denied, a.deny = true, at; r.Trace == nil {
				return a
			}
		}
	}
	return a
}

// invites reports whether an Allow applies to the request, whatever is denied.
func (s *Set) invites(r *Request, f *facts) bool {
	if s == nil {
		return false
	}
	for _, at := range s.forAction(r.Action) {
		st := s.statement(at)
		if st.Effect == Allow && st.names(&r.Caller) != unnamed && st.matchesResource(f, r.Resource) && st.holds(f) {
			return true
		}
	}
	return false
}

func (s *Set) statement(at ref) *Statement {
	return &s.attachments[at.attachment].Document.Statements[at.statement]
}

func (s *Set) matched(kind Type, at ref) Matched {
	of, st := &s.attachments[at.attachment], s.statement(at)
	return Matched{Type: kind, Source: of.Source, Document: of.Document, Index: int(at.statement), Effect: st.Effect, Statement: st}
}

func (s *Statement) coversAction(action string) bool {
	for _, a := range s.Actions {
		if MatchAction(a, action) {
			return !s.NotAction
		}
	}
	return s.NotAction
}

// matchesResource reports whether the statement is about the request's resource.
// A resource with a variable that the request has no value for is none. So a Deny with
// NotResource covers it; an Allow does not apply, as it can not be told what it was to leave out.
func (s *Statement) matchesResource(f *facts, resource string) bool {
	if s.Resources == nil {
		return true // a key or trust policy speaks of what it hangs on
	}
	for i := range s.Resources {
		if s.Resources[i].matches(f, resource) {
			return !s.NotResource
		}
		if s.NotResource && s.Effect == Allow && !s.Resources[i].resolved(f) {
			return false
		}
	}
	return s.NotResource
}
