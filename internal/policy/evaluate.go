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
}

// Policies is all that applies to a request. A nil set means that there is no
// such policy, so that it restricts nothing and grants nothing; an empty set
// restricts everything.
type Policies struct {
	Identity *Set // of the user or role, and of the user's groups
	Boundary *Set
	Session  *Set // what AssumeRole and GetFederationToken were given

	// ServiceControl and ResourceControl have one set for each level from the
	// organisation's root down to the account (of the caller; of the
	// resource): every level must allow.
	ServiceControl, ResourceControl []*Set

	Endpoint *Set // of the VPC endpoint that the request came through

	Resource *Set
	// Governs is set for KMS keys and for the trust policies of roles: without
	// an Allow in Resource nothing is allowed, and identity policies count as
	// far as Resource allows the caller's account ("Key policies in AWS KMS").
	Governs bool
	// Grants, if set, gives the grants on the key that name the caller. It is
	// asked only when no policy allows.
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

// Matched is a statement that matched a request. An empty Source and no
// Statement stand for what allows without a policy: that the caller is the
// account root, or a grant (then Source is its id).
type Matched struct {
	Type      Type
	Source    string // of the attachment
	Document  *Document
	Index     int // of the statement
	Effect    Effect
	Statement *Statement
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

// maxDeciding is one statement for each type of policy, and each level of an organisation of
// the depth that AWS has (root, five levels of units, account).
const maxDeciding = 16

// Decision is the outcome of Evaluate. The zero value is a denial.
type Decision struct {
	Allowed Allowed

	// Of a denial: the type of the policy with the Deny, or without the Allow
	// that would have been needed; and which of the two.
	Type     Type
	Explicit bool

	by [maxDeciding]Matched
	n  int
}

// Deciding returns the statements that decided: the Deny of an explicit denial,
// or one Allow of each policy that had to allow. It is empty for an implicit denial.
func (d *Decision) Deciding() []Matched { return d.by[:d.n] }

func (d *Decision) add(m Matched) {
	if d.n < len(d.by) {
		d.by[d.n] = m
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
// request without an action.
func Evaluate(r *Request, p *Policies) Decision {
	e := evaluation{r: r, p: p}
	if r.Action == "" || !r.Caller.valid() {
		return e.refuse(IdentityPolicy)
	}
	if !r.fits() {
		return e.refuse(ResourcePolicy)
	}
	if p.Open {
		return e.allow()
	}
	return e.decide()
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
	return ok && isAccount(r.ResourceAccount) && (account == r.ResourceAccount || account == "aws")
}

type evaluation struct {
	r *Request
	p *Policies
	d Decision
}

func (e *evaluation) refuse(t Type) Decision {
	e.d.Type, e.d.n = t, 0
	return e.d
}

func (e *evaluation) allow() Decision {
	e.d.Allowed = Allowed{action: e.r.Action, resource: e.r.Resource, valid: true}
	return e.d
}

// resourceType is what the resource policy is called.
func (e *evaluation) resourceType() Type {
	if e.p.Resource != nil && e.p.Resource.trust {
		return TrustPolicy
	}
	return ResourcePolicy
}

func (e *evaluation) decide() Decision {
	p := e.p
	// All sets are asked before anything is decided: any of them can deny.
	var asked [maxDeciding]answer
	limits := asked[:0]
	for _, s := range p.ServiceControl {
		limits = append(limits, s.ask(e.r, ServiceControlPolicy))
	}
	for _, s := range p.ResourceControl {
		limits = append(limits, s.ask(e.r, ResourceControlPolicy))
	}
	if p.Endpoint != nil {
		limits = append(limits, p.Endpoint.ask(e.r, EndpointPolicy))
	}
	resource := p.Resource.ask(e.r, e.resourceType())
	identity := p.Identity.ask(e.r, IdentityPolicy)
	boundary := p.Boundary.ask(e.r, BoundaryPolicy)
	session := p.Session.ask(e.r, SessionPolicy)
	for i := range limits {
		if limits[i].deny.Statement != nil {
			return e.denied(&limits[i])
		}
	}
	for _, a := range [...]*answer{&resource, &identity, &boundary, &session} {
		if a.deny.Statement != nil {
			return e.denied(a)
		}
	}
	for i := range limits {
		if limits[i].rank == unnamed {
			return e.refuse(limits[i].kind)
		}
		e.d.add(limits[i].allow)
	}
	if e.r.Caller.Type == Root && identity.rank == unnamed {
		identity.rank = direct // the root's own permissions; no policy gives them
		identity.allow = Matched{Type: IdentityPolicy, Source: "account root", Effect: Allow}
	}
	return e.granted(resource, identity, boundary, session)
}

func (e *evaluation) denied(a *answer) Decision {
	e.d.Type, e.d.Explicit, e.d.n = a.kind, true, 0
	e.d.add(a.deny)
	return e.d
}

// granted looks for what allows, and applies boundary and session policies to it.
func (e *evaluation) granted(resource, identity, boundary, session answer) Decision {
	r, p := e.r, e.p
	if resource.rank < entity && p.Grants != nil {
		if g, as := e.grant(); as > unnamed {
			resource.rank, resource.allow = as, Matched{Type: KeyGrant, Source: g.ID, Effect: Allow}
			if as == direct {
				// A grant to a principal of another account is enough by itself: so service-linked
				// roles there use a key. ("Grants in AWS KMS")
				e.d.add(resource.allow)
				return e.allow()
			}
		}
	}
	own := r.Caller.Account != "" && r.Caller.Account == r.ResourceAccount
	switch {
	case !r.Caller.identified():
		// Anonymous callers, services and holders of a foreign token have no identity
		// policies: the resource policy decides alone.
		if resource.rank != direct {
			return e.refuse(e.resourceType())
		}
		e.d.add(resource.allow)
		return e.allow()
	case !own || p.Governs:
		if resource.rank == unnamed {
			return e.refuse(e.resourceType())
		}
		e.d.add(resource.allow)
		if own && resource.rank == direct {
			return e.allow()
		}
		if own && resource.rank == entity || resource.allow.Type == KeyGrant {
			break // the role is named: identity policies need not allow
		}
		if identity.rank == unnamed {
			return e.refuse(IdentityPolicy)
		}
		e.d.add(identity.allow)
	case resource.rank == direct:
		e.d.add(resource.allow)
		return e.allow()
	case resource.rank == entity:
		e.d.add(resource.allow)
	case identity.rank == unnamed:
		return e.refuse(IdentityPolicy)
	default:
		e.d.add(identity.allow)
	}
	for _, limit := range [...]struct {
		set *Set
		a   *answer
	}{{p.Boundary, &boundary}, {p.Session, &session}} {
		if limit.set == nil {
			continue
		}
		if limit.a.rank == unnamed {
			return e.refuse(limit.a.kind)
		}
		e.d.add(limit.a.allow)
	}
	return e.allow()
}
