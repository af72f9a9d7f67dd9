package policy

import "slices"

// Missed is what a request that was denied for want of an Allow came close to: for
// administrators. It says which policies should have allowed and did not, and which
// statements would have with another principal, resource or condition.
type Missed struct {
	Lacks []Lack
	Near  []Near // those that miss least first
}

// Lack is policies that apply together, and none of which allows.
type Lack struct {
	Type     Type
	At       string   // the root, unit or account of control policies; else empty
	Policies []string // their sources, the first few
}

// Near is an Allow about the action that does not apply.
type Near struct {
	Matched
	Principal bool     // it is for others
	Resource  bool     // it is about other resources
	Failed    []Failed // conditions that do not hold
}

// Failed is a condition that does not hold.
type Failed struct {
	Condition *Condition
	Absent    bool // the request does not have the key
}

// Bounds of what is told of one denial: it is recorded.
const (
	maxNear         = 5
	maxFailed       = 4
	maxLackPolicies = 5
)

// Miss tells what a denial by Evaluate came close to, nil if it is none or a Deny decided. It
// looks through the policies once more, grants apart.
func Miss(r *Request, p *Policies, d *Decision) *Missed {
	if d.Allowed.valid || d.Explicit || r.Action == "" || !r.Caller.valid() || !r.fits() {
		return nil
	}
	m := missing{r: r, facts: gather(r.Context)}
	defer m.facts.release()
	for _, s := range p.ServiceControl {
		m.look(s, ServiceControlPolicy, true)
	}
	for _, s := range p.ResourceControl {
		m.look(s, ResourceControlPolicy, true)
	}
	m.look(p.Endpoint, EndpointPolicy, p.Endpoint != nil)
	e := evaluation{p: p}
	c := &r.Caller
	m.look(p.Resource, e.resourceType(), p.Governs || !c.identified() || c.Account != r.ResourceAccount)
	if c.identified() {
		m.look(p.Identity, IdentityPolicy, c.Type != Root)
		m.look(p.Boundary, BoundaryPolicy, p.Boundary != nil)
		m.look(p.Session, SessionPolicy, p.Session != nil || c.Type == FederatedSession)
	}
	slices.SortStableFunc(m.Near, func(a, b Near) int { return a.distance() - b.distance() })
	m.Near = slices.Clip(m.Near[:min(len(m.Near), maxNear)])
	return &m.Missed
}

// distance orders what misses: a condition is closer than who or what.
func (n *Near) distance() int {
	d := len(n.Failed)
	if n.Resource {
		d += 100
	}
	if n.Principal {
		d += 200
	}
	return d
}

type missing struct {
	Missed
	r     *Request
	facts facts
}

// look looks for the statements of a set that come close, unless one applies. must
// means that the set would have had to allow.
func (m *missing) look(s *Set, kind Type, must bool) {
	if s.ask(m.r, &m.facts, kind).rank != unnamed {
		return
	}
	if must {
		m.lack(s, kind)
	}
	if s == nil {
		return
	}
	for _, at := range s.forAction(m.r.Action) {
		st := s.statement(at)
		if st.Effect != Allow {
			continue
		}
		n := Near{Principal: st.names(&m.r.Caller) == unnamed, Resource: !st.matchesResource(&m.facts, m.r.Resource)}
		if n.Principal && n.Resource {
			continue
		}
		n.Failed = st.failed(&m.facts)
		n.Matched = s.matched(kind, at)
		m.keep(n)
	}
}

// keep keeps the nearest: of policies with thousands of statements only so many at a time.
func (m *missing) keep(n Near) {
	if len(m.Near) < maxNear {
		m.Near = append(m.Near, n)
		return
	}
	far := 0
	for i := range m.Near {
		if m.Near[i].distance() >= m.Near[far].distance() {
			far = i
		}
	}
	if n.distance() < m.Near[far].distance() {
		m.Near[far] = n
	}
}

func (m *missing) lack(s *Set, kind Type) {
	l := Lack{Type: kind}
	if s != nil {
		l.At = s.at
		for i := range s.attachments[:min(len(s.attachments), maxLackPolicies)] {
			l.Policies = append(l.Policies, s.attachments[i].Source)
		}
	}
	m.Lacks = append(m.Lacks, l)
}

func (s *Statement) failed(f *facts) (out []Failed) {
	for i := range s.Conditions {
		c := &s.Conditions[i]
		if len(out) < maxFailed && !c.holds(f, s.Effect) {
			out = append(out, Failed{Condition: c, Absent: len(f.values(c.key)) == 0})
		}
	}
	return out
}
