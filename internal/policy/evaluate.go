package policy

import "strings"

// Request is what a decision is about. For an operation without a resource
// (ListSecrets), Resource is "*", Named is empty, and ResourceAccount is the
// account whose list would be shown.
type Request struct {
	Caller          Caller
	Action          string // "secretsmanager:GetSecretValue"
	Resource        string // the ARN it resolved to, whatever form the caller sent
	ResourceAccount string
	Named           string  // the resource as the caller sent it, for the text of a denial
	Context         Context // nil: no condition key is present

	// Trace, if set, is told of every statement that matches, not only of
	// those that decide.
	Trace func(Matched)

	// Unknown, if set, makes the request one that nobody has made yet: it reports
	// the condition keys (in lower case) that Context cannot answer for and a real
	// request may have. A Deny that depends on such a key, by a condition or a variable, does
	// not apply, and is told to Trace as Assumed; an Allow applies only if Hopeful.
	Unknown func(key string) bool
	Hopeful bool
}

// Policies is all that applies to a request. A nil set means that there is no
// such policy, so that it restricts nothing and grants nothing; an empty set
// restricts everything.
type Policies struct {
	Identity *Set // of the user or role, and of the user's groups
	Boundary *Set
	// Session is what AssumeRole and GetFederationToken were given. A federated
	// session without one has only what resource policies give it ("GetFederationToken").
	Session *Set

	// ServiceControl and ResourceControl have one set for each level from the
	// organisation's root down to the account (of the caller; of the
	// resource): every level must allow, so a nil one allows nothing.
	ServiceControl, ResourceControl []*Set

	Endpoint *Set // of the VPC endpoint that the request came through

	Resource *Set
	// Governs is set for KMS keys and for the trust policies of roles: without
	// an Allow in Resource nothing is allowed, and identity policies count as
	// far as Resource allows the caller's account ("Key policies in AWS KMS").
	Governs bool
	// Grants, if set, gives the grants on the key that name the caller. It is
	// asked only when the policies do not allow and none denies.
	Grants func() []*Grant
	// EncryptionContext is what grants are constrained by: not nil for
	// operations that take one, even when the request has none.
	EncryptionContext map[string]string
	// Open is set for sts:GetCallerIdentity, which no policy can refuse.
	Open bool
}

// Type is the type of a policy: where it hangs, and what it can do.
type Type uint8

// The types in the order in which a request passes them. A denial for want of
// an Allow names the first that has none (the order is not documented; it is that of
// "Policy evaluation logic").
const (
	NoPolicy Type = iota
	ServiceControlPolicy
	ResourceControlPolicy
	EndpointPolicy
	ResourcePolicy
	TrustPolicy
	KeyGrant
	IdentityPolicy
	BoundaryPolicy
	SessionPolicy
)

var typeNames = [...]string{
	NoPolicy: "policy", ServiceControlPolicy: "service control policy", ResourceControlPolicy: "resource control policy",
	EndpointPolicy: "VPC endpoint policy", ResourcePolicy: "resource-based policy", TrustPolicy: "role trust policy", KeyGrant: "grant",
	IdentityPolicy: "identity-based policy", BoundaryPolicy: "permissions boundary", SessionPolicy: "session policy",
}

// String returns the name that denials use.
func (t Type) String() string { return typeNames[t] }

// Matched is a statement that matched a request. No Statement
// stands for what allows without a policy: that the caller is the
// account root (Source says so), or a grant (Source is its id).
type Matched struct {
	Type      Type
	Source    string // of the attachment
	Document  *Document
	Index     int // of the statement
	Effect    Effect
	Statement *Statement
	Grant     *Grant // behind a KeyGrant
	Assumed   bool   // matches only if unknown keys have the right values
}

// Allowed is the proof that Evaluate allowed an action on a resource. What is
// dangerous asks for one. It cannot be made elsewhere; the zero value proves
// nothing.
type Allowed struct {
	action, resource string
	valid            bool
}

// Valid reports whether a came from a positive decision.
func (a Allowed) Valid() bool { return a.valid }

// Action returns the action that was allowed, or "".
func (a Allowed) Action() string { return a.action }

// Resource returns the ARN on which it was allowed; "*" for actions without a
// resource.
func (a Allowed) Resource() string { return a.resource }

// Allows reports whether a proves that this action on this resource may
// proceed. Action names have no case.
func (a Allowed) Allows(action, resource string) bool {
	return a.valid && a.resource == resource && equalFold(a.action, action)
}

// maxDeciding is one statement for each type of policy, and for both kinds of control
// policies each level of an organisation as deep as AWS has them (root, five levels of
// units, account).
const maxDeciding = 2*7 + 5

// Decision is the outcome of Evaluate. The zero value is a denial.
type Decision struct {
	Allowed Allowed

	// Of a denial: the type of the policy with the Deny, or without the Allow
	// that would have been needed; and which of the two.
	Type     Type
	Explicit bool

	// Uninvited is set in a denial about another account's resource whose policy does not
	// let the caller in: what the caller is told must not depend on whether it exists.
	Uninvited bool

	// Exhausted is set if the policies and the request were too long to be compared with each
	// other. Nothing was decided then, and nothing is allowed.
	Exhausted bool

	by    [maxDeciding]deciding
	n     int
	grant *Grant // behind KeyGrant
}

type deciding struct {
	kind Type
	set  *Set // nil for what allows without a policy
	at   ref
}

// same reports whether two levels of an organisation decided by one statement.
func (by *deciding) same(other *deciding) bool {
	return other.set != nil && by.kind == other.kind && by.set.statement(by.at) == other.set.statement(other.at)
}

// Deciding returns the statements that decided: the Deny of an explicit denial,
// or one Allow of each policy that had to allow; once, where several levels of an
// organisation allow by the same. It is empty for an implicit denial.
func (d *Decision) Deciding() []Matched { return d.AppendDeciding(nil) }

// AppendDeciding appends what Deciding returns to out.
func (d *Decision) AppendDeciding(out []Matched) []Matched {
	for i, by := range d.by[:d.n] {
		switch {
		case by.set != nil:
			if i == 0 || !by.same(&d.by[i-1]) {
				out = append(out, by.set.matched(by.kind, by.at))
			}
		case by.kind == KeyGrant:
			out = append(out, Matched{Type: KeyGrant, Source: d.grant.ID, Grant: d.grant, Effect: Allow})
		default:
			out = append(out, Matched{Type: by.kind, Source: "account root", Effect: Allow})
		}
	}
	return out
}

func (d *Decision) add(kind Type, set *Set, at ref) {
	if d.n < len(d.by) {
		d.by[d.n] = deciding{kind, set, at}
		d.n++
	}
}

// rank is how closely an Allow of a resource policy names the caller. It tells
// what else has to allow ("Policy evaluation for requests within a single
// account"; iam.md §4 in our words):
//
//	direct    the user, the session, everybody: nothing else
//	entity    the role behind a session, the user behind a federated session:
//	          boundary and session policy
//	delegated the account: identity policies as well
type rank uint8

const (
	unnamed rank = iota
	delegated
	entity
	direct
)

// Evaluate decides. It is pure: the same request and policies give the same
// decision, whatever the order of documents and statements.
//
// The rules are those of "Policy evaluation logic" in the IAM user guide. An
// explicit Deny in any policy wins. Then the organisation's control policies and
// the endpoint's policy must allow; then, within one account, the identity
// policies or the resource policy, and across accounts both; then the boundary
// and the session policies, unless the resource policy names the caller directly.
//
// Whatever does not fit together is denied: a caller without an account, a
// request without an action. So is what takes too many steps (Decision.Exhausted).
func Evaluate(r *Request, p *Policies) (d Decision) {
	var f facts
	e := evaluation{r: r, p: p, d: &d, facts: &f}
	switch {
	case r.Action == "" || !r.Caller.valid():
		e.refuse(IdentityPolicy)
	case !r.fits():
		e.refuse(ResourcePolicy)
	case p.Open:
		e.allow()
	default:
		f = gather(r.Context)
		e.decide()
		if f.exhausted() {
			d = Decision{Exhausted: true}
		}
		if !d.Allowed.valid && r.Caller.identified() && r.Caller.Account != r.ResourceAccount {
			f.steps = 0
			if d.Uninvited = !p.Resource.invites(r, &f); d.Uninvited && d.Exhausted {
				// With long policies of his own a caller could else measure what there is of
				// the resource to compare them with.
				d = Decision{Type: ResourcePolicy, Uninvited: true}
			}
		}
		f.release()
	}
	return d
}

// fits reports whether the resource is one of its account, in the caller's
// partition: partitions are worlds apart. AWS's own policies belong to everybody.
// It runs on every call, so it compares in place of parsing.
func (r *Request) fits() bool {
	if r.Resource == "*" {
		return isAccount(r.ResourceAccount)
	}
	const head = "arn:"
	partition := partitionOf(r.Resource)
	if partition == "" || r.Resource[:len(head)] != head || r.Caller.ARN != "" && partition != partitionOf(r.Caller.ARN) {
		return false
	}
	a := r.Resource[len(head)+len(partition)+1:]
	for range 2 { // service and region
		i := strings.IndexByte(a, ':')
		if i < 0 {
			return false
		}
		a = a[i+1:]
	}
	account, _, ok := strings.Cut(a, ":")
	return ok && isAccount(r.ResourceAccount) && (account == r.ResourceAccount || account == "aws" || account == "")
}

// evaluation is a decision under way. All of it is pointers: what a condition key is asked
// for leaves the compiler's sight, and would else take the policies and the decision to the heap.
type evaluation struct {
	r     *Request
	p     *Policies
	d     *Decision
	facts *facts
}

func (e *evaluation) refuse(t Type) { e.d.Type, e.d.n = t, 0 }

func (e *evaluation) allow() {
	e.d.Allowed = Allowed{action: e.r.Action, resource: e.r.Resource, valid: true}
}

// resourceType is what the resource policy is called.
func (e *evaluation) resourceType() Type {
	if e.p.Resource != nil && e.p.Resource.trust {
		return TrustPolicy
	}
	return ResourcePolicy
}

// ask puts the request to a set. over means that it is denied and nobody wants to
// know of further statements.
func (e *evaluation) ask(s *Set, kind Type) (a answer, over bool) {
	a = s.ask(e.r, e.facts, kind)
	if a.denied && !e.d.Explicit {
		e.d.Type, e.d.Explicit, e.d.n = kind, true, 0
		e.d.add(kind, s, a.deny)
	}
	return a, e.d.Explicit && e.r.Trace == nil
}

// decide asks all sets before anything is allowed: any of them can deny. Which of
// several that deny is named is not documented; identity policies are before
// those of the resource, as was seen.
func (e *evaluation) decide() {
	p := e.p
	lacking, over := e.control()
	if over {
		return
	}
	identity, over := e.ask(p.Identity, IdentityPolicy)
	if over {
		return
	}
	resource, over := e.ask(p.Resource, e.resourceType())
	if over {
		return
	}
	boundary, over := e.ask(p.Boundary, BoundaryPolicy)
	if over {
		return
	}
	session, _ := e.ask(p.Session, SessionPolicy)
	if e.d.Explicit {
		return
	}
	controls := e.d.n
	if lacking == NoPolicy {
		lacking = e.granted(&identity, &resource, &boundary, &session)
		if lacking != NoPolicy && p.Grants != nil {
			e.d.n = controls
			lacking = e.grantedByKey(lacking, &identity, &boundary, &session)
		}
	}
	if lacking != NoPolicy {
		e.refuse(lacking)
		return
	}
	e.allow()
}

// control asks what must allow whatever else does: the levels of the organisations, and the
// endpoint. lacking is the type of the first without an Allow.
func (e *evaluation) control() (lacking Type, over bool) {
	for _, s := range e.p.ServiceControl {
		if over = e.must(s, ServiceControlPolicy, &lacking); over {
			return lacking, true
		}
	}
	for _, s := range e.p.ResourceControl {
		if over = e.must(s, ResourceControlPolicy, &lacking); over {
			return lacking, true
		}
	}
	if e.p.Endpoint != nil {
		over = e.must(e.p.Endpoint, EndpointPolicy, &lacking)
	}
	return lacking, over
}

func (e *evaluation) must(s *Set, kind Type, lacking *Type) (over bool) {
	a, over := e.ask(s, kind)
	switch {
	case a.rank == unnamed && *lacking == NoPolicy:
		*lacking = kind
	case a.rank != unnamed && !e.d.Explicit:
		e.d.add(kind, s, a.allow)
	}
	return over
}

// granted looks for what allows, and applies boundary and session policies to it. It returns
// the type of the policy without the Allow that is needed, or NoPolicy.
func (e *evaluation) granted(identity, resource, boundary, session *answer) (lacking Type) {
	c, p := &e.r.Caller, e.p
	if !c.identified() {
		// Anonymous callers, services and holders of a foreign token have no identity
		// policies: the resource policy decides alone.
		if resource.rank != direct {
			return e.resourceType()
		}
		e.d.add(e.resourceType(), p.Resource, resource.allow)
		return NoPolicy
	}
	own := c.Account == e.r.ResourceAccount
	must := !own || p.Governs // identity policies do not suffice
	if must && resource.rank == unnamed {
		return e.resourceType()
	}
	alone := own && resource.rank >= entity // the resource policy does
	if must || alone {
		e.d.add(e.resourceType(), p.Resource, resource.allow)
	}
	if alone && resource.rank == direct {
		return NoPolicy
	}
	if !alone && !e.ownRight(identity) {
		return IdentityPolicy
	}
	return e.limited(boundary, session)
}

// ownRight reports whether the caller may by what it has itself: by its identity policies,
// or as the root, whose permissions no policy gives.
func (e *evaluation) ownRight(identity *answer) bool {
	switch {
	case identity.rank != unnamed:
		e.d.add(IdentityPolicy, e.p.Identity, identity.allow)
	case e.r.Caller.Type == Root:
		e.d.add(IdentityPolicy, nil, ref{})
	default:
		return false
	}
	return true
}

// limited applies what only ever limits.
func (e *evaluation) limited(boundary, session *answer) (lacking Type) {
	if s := e.p.Boundary; s != nil {
		if boundary.rank == unnamed {
			return BoundaryPolicy
		}
		e.d.add(BoundaryPolicy, s, boundary.allow)
	}
	if s := e.p.Session; s != nil || e.r.Caller.Type == FederatedSession {
		if session.rank == unnamed {
			return SessionPolicy
		}
		e.d.add(SessionPolicy, s, session.allow)
	}
	return NoPolicy
}

// grantedByKey looks for a grant where the policies lack something. Like the key policy, it
// may name the role, the session or the account; unlike it, it is enough by itself across
// accounts, too: so service-linked roles there use a key ("Grants in AWS KMS").
func (e *evaluation) grantedByKey(lacking Type, identity, boundary, session *answer) Type {
	g, as := e.grant()
	if as == unnamed {
		return lacking
	}
	e.d.grant = g
	e.d.add(KeyGrant, nil, ref{})
	switch {
	case as == direct:
		return NoPolicy
	case as == delegated && !e.ownRight(identity):
		return lacking
	}
	return e.limited(boundary, session)
}

// Decided is a decision with the request that it was about, for those who tell of it.
type Decided struct {
	Request
	Decision
	Missed *Missed // of a denial for want of an Allow; may be nil
}
