package policy

import "strings"

// Request is what a decision is about. For an operation without a resource
// (ListSecrets), Resource is empty or "*", Named is empty, and ResourceAccount
// is the account whose list would be shown.
type Request struct {
	Principal        string // the caller's ARN, also when a service forwards the call
	PrincipalAccount string
	Root             bool   // the caller is the account root
	Action           string // "secretsmanager:GetSecretValue"
	Resource         string // the ARN it resolved to, whatever form the caller sent
	ResourceAccount  string
	Named            string // the resource as the caller sent it, for the text of a denial
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

// Resource returns the ARN on which it was allowed; "" or "*" for actions
// without a resource.
func (a Allowed) Resource() string { return a.resource }

// Allows reports whether a proves that this action on this resource may
// proceed. Action names have no case.
func (a Allowed) Allows(action, resource string) bool {
	return a.valid && a.resource == resource && strings.EqualFold(a.action, action)
}

// Reason is why a request was denied.
type Reason uint8

const (
	// NoIdentityPolicy: nothing attached to the caller allows it.
	NoIdentityPolicy Reason = iota
	// NoResourcePolicy: nothing attached to the resource allows it.
	NoResourcePolicy
)

// Denial is a negative decision.
type Denial struct {
	Principal string
	Action    string
	Named     string
	Reason    Reason
}

// Message returns the text that AWS answers with.
func (d *Denial) Message() string {
	principal := d.Principal
	if principal == "" {
		principal = "anonymous"
	}
	var b strings.Builder
	b.WriteString("User: ")
	b.WriteString(principal)
	b.WriteString(" is not authorized to perform: ")
	b.WriteString(d.Action)
	if d.Named != "" {
		b.WriteString(" on resource: ")
		b.WriteString(d.Named)
	}
	switch d.Reason {
	case NoResourcePolicy:
		b.WriteString(" because no resource-based policy allows the ")
	default:
		b.WriteString(" because no identity-based policy allows the ")
	}
	b.WriteString(d.Action)
	b.WriteString(" action")
	return b.String()
}

// Error implements error with the same text.
func (d *Denial) Error() string { return d.Message() }

// Evaluate decides. Exactly one of its results is meaningful: the Allowed is
// valid when the Denial is nil.
//
// Until identities and documents are enforced, an account root may do
// everything on what belongs to its account, and nobody may do anything else.
// A root of another account would need a resource-based policy, so that is
// what its denial names.
//
// Everything that does not fit together is denied: a root ARN of another
// account than PrincipalAccount, a resource ARN of another account than
// ResourceAccount, two partitions.
func Evaluate(r *Request) (Allowed, *Denial) {
	callerPartition, ok := rootPartition(r.Principal, r.PrincipalAccount)
	if !ok || !r.Root || r.Action == "" {
		return deny(r, NoIdentityPolicy)
	}
	if r.ResourceAccount != r.PrincipalAccount {
		return deny(r, NoResourcePolicy)
	}
	if r.Resource != "" && r.Resource != "*" && !owned(r.Resource, callerPartition, r.PrincipalAccount) {
		return deny(r, NoResourcePolicy)
	}
	return Allowed{action: r.Action, resource: r.Resource, valid: true}, nil
}

func deny(r *Request, why Reason) (Allowed, *Denial) {
	return Allowed{}, &Denial{Principal: r.Principal, Action: r.Action, Named: r.Named, Reason: why}
}

// rootPartition takes arn:<partition>:iam::<account>:root apart, and reports
// whether principal is that for this account.
func rootPartition(principal, account string) (partition string, ok bool) {
	const head, mid, tail = "arn:", ":iam::", ":root"
	n := len(principal) - len(tail) - len(account) - len(mid)
	if !isAccount(account) || n <= len(head) ||
		principal[:len(head)] != head ||
		principal[n:n+len(mid)] != mid ||
		principal[n+len(mid):n+len(mid)+len(account)] != account ||
		principal[n+len(mid)+len(account):] != tail {
		return "", false
	}
	partition = principal[len(head):n]
	return partition, strings.IndexByte(partition, ':') < 0
}

// owned reports whether a is the ARN of something in that partition and
// account. It runs on every call, so it compares in place of parsing.
func owned(a, partition, account string) bool {
	const head = "arn:"
	n := len(head) + len(partition)
	if len(a) <= n || a[:len(head)] != head || a[len(head):n] != partition || a[n] != ':' {
		return false
	}
	a = a[n+1:]
	for range 2 { // service and region
		i := strings.IndexByte(a, ':')
		if i < 0 {
			return false
		}
		a = a[i+1:]
	}
	return len(a) > len(account) && a[:len(account)] == account && a[len(account)] == ':'
}
