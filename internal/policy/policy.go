// Package policy is the IAM policy language: its grammar, what can be said
// about a policy without a request (is it public, does it lock its author
// out), and the decision about one request.
//
// It promises: Parse accepts the whole grammar and nothing else, never panics
// and takes time linear in the text; Evaluate takes time linear in the policies
// (one pattern takes at most its own length times that of the text it is
// compared with, however long the values that variables insert) and its outcome
// does not depend on their order; a Deny that matches always wins; an [Allowed]
// exists only because Evaluate said yes. It reads no clock and no store.
//
// The language is described in "IAM JSON policy reference" of the AWS IAM user
// guide. Where that is silent, or contradicts itself, these are the choices:
//
//   - A plain operator on a key with several values does not match, even negated.
//   - A value of the request that is not of the operator's type stands in no
//     relation: positive operators fail on it, negated ones hold.
//   - To set operators and Null, a key with only empty values is as good as
//     absent; the other operators compare the empty text.
//   - IfExists holds for an absent key also after ForAnyValue.
//   - A variable without value, or with an empty or several, equals nothing and makes
//     a resource that is none. A Deny by NotResource or a negated operator then
//     applies, as the guide has it; an Allow by them does not, as it can not be
//     told what it was to leave out.
//   - Inserted values are literal: no wildcards, and no colons that divide an ARN. Only
//     in an ARN condition whose value is no ARN by itself can a variable hold a whole one.
//   - A year is not epoch seconds: 2026 is a date, and so is 1767225600.
//   - "*" and NotPrincipal name a caller as closely as its own ARN does: no
//     boundary or session policy limits what they allow within the account.
//   - NotPrincipal leaves out a session when its role, user or account is listed.
//   - A grant to a role is limited by boundary and session policy as the key policy's
//     Allow for the role is; across accounts it needs no identity policy. One to an
//     account needs one, like the key policy's Allow for the account.
//   - Of several policies that lack an Allow the denial names the first in the order
//     of [Type]; of several that deny alike, but identity policies before the resource's.
//   - Denials do not tell the ARN of the policy, and the same is said across accounts.
package policy

import (
	"fmt"
	"strings"
)

// Kind tells which elements a document must, may and must not have.
type Kind uint8

const (
	// Identity is a policy attached to users, groups and roles, and also the
	// form of boundaries, session policies and service control policies: no
	// principal, resources required.
	Identity Kind = iota
	// Resource is a policy attached to a resource such as a secret: principal
	// and resource required.
	Resource
	// Key is a KMS key policy: principal required; a missing Resource means
	// this key ("Key policies in AWS KMS": the element is optional there).
	Key
	// Trust is the trust policy of a role: principal required, no resource.
	Trust
)

var kindNames = [...]string{"identity", "resource", "key", "trust"}

// String returns the kind's name for logs and tests.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Effect is what a matching statement does.
type Effect bool

const (
	// Deny is the zero value: a statement half built refuses.
	Deny Effect = false
	// Allow permits, unless a Deny matches as well.
	Allow Effect = true
)

// String returns the word as policies write it.
func (e Effect) String() string {
	if e == Allow {
		return "Allow"
	}
	return "Deny"
}

// The two language versions. A document without Version has the old one, in
// which "${...}" is plain text.
const (
	Version2008 = "2008-10-17"
	Version2012 = "2012-10-17"
)

// Document is a parsed policy. It is not changed after Parse and Bind and may be shared.
type Document struct {
	Kind       Kind
	Version    string // Version2008 when the text names none
	ID         string
	Text       string // as it was parsed: Start and End of statements point into it
	Statements []Statement
}

// Statement is one rule. Where an element has a negated form, the list holds
// what was written and the Not field tells which form it was.
type Statement struct {
	Sid          string
	Effect       Effect
	Start, End   int         // where it stands in the text, in bytes
	Principals   *Principals // nil when the kind has none
	NotPrincipal bool
	Actions      []string // as written; compared without regard to case
	NotAction    bool
	Resources    []Pattern // nil only in key and trust policies: this resource
	NotResource  bool
	Conditions   []Condition
}

// Principals is the content of a Principal or NotPrincipal element.
type Principals struct {
	Any           bool // "*" or {"AWS": "*"}
	AWS           []Principal
	Service       []string
	Federated     []string
	CanonicalUser []string
}

// PrincipalType is the form of an AWS principal.
type PrincipalType uint8

const (
	// Account is a bare 12-digit id or the root ARN: the account as a whole.
	Account PrincipalType = iota
	// User is an IAM user.
	User
	// Role is an IAM role; its sessions match too.
	Role
	// Session is one assumed-role session.
	Session
	// FederatedUser is one GetFederationToken session.
	FederatedUser
	// UniqueID stands for a user or role by its unique id (AIDA..., AROA...),
	// which is how a stored policy shows a principal that has been deleted.
	UniqueID
)

// Principal is one entry of {"AWS": ...} other than "*".
type Principal struct {
	Type      PrincipalType
	Text      string // as written
	Partition string // empty for a bare account id and for unique ids
	Account   string // empty for unique ids
	Name      string // what follows the first slash: user/path/NAME -> path/NAME

	// ID is the unique id of a user or role, filled in by Bind; empty where it is
	// not known, and then the ARN decides alone.
	ID string
}

// SetOp is the quantifier in front of a condition operator.
type SetOp uint8

const (
	// Plain has no quantifier.
	Plain SetOp = iota
	// ForAllValues holds when every request value matches, hence also when
	// there is none.
	ForAllValues
	// ForAnyValue holds when at least one request value matches.
	ForAnyValue
)

// Family groups the operators that compare the same type.
type Family uint8

const (
	StringFamily  Family = iota // text, exact, folded or with wildcards
	NumericFamily               // decimals
	DateFamily                  // ISO 8601 or epoch seconds
	BoolFamily                  // "true" or "false" in any case
	BinaryFamily                // base64
	IPFamily                    // addresses and CIDR ranges
	ARNFamily                   // ARNs part by part, with wildcards
	NullFamily                  // not a comparison: is the key there
)

// Operator is a condition operator taken apart: "ForAnyValue:StringLikeIfExists"
// is {ForAnyValue, StringLike, IfExists}.
type Operator struct {
	Set      SetOp
	Name     string // without quantifier and suffix, e.g. "StringNotLike"
	Family   Family
	Negated  bool // holds when the key is absent; values combine by NOR
	IfExists bool // holds when the key is absent
}

// String returns the operator as policies write it: "ForAnyValue:StringLikeIfExists".
func (o *Operator) String() string {
	s := o.Name
	switch o.Set {
	case ForAllValues:
		s = "ForAllValues:" + s
	case ForAnyValue:
		s = "ForAnyValue:" + s
	}
	if o.IfExists {
		s += "IfExists"
	}
	return s
}

// Condition is one key under one operator. A statement's conditions are
// AND-ed; the values of one condition are OR-ed, or NOR-ed when negated.
type Condition struct {
	Operator Operator
	Key      string // as written; compared without regard to case
	Values   []Pattern

	key      string    // in lower case
	operands []operand // Values, for operators other than on strings and ARNs
}

// String shows the condition as people read it: "IpAddress aws:SourceIp 10.0.0.0/8".
func (c *Condition) String() string {
	var b strings.Builder
	b.WriteString(c.Operator.String() + " " + c.Key)
	for i := range c.Values {
		if i > 0 {
			b.WriteString(" or")
		}
		b.WriteString(" " + c.Values[i].Text)
	}
	return b.String()
}

// operators lists every operator by its name without quantifier and suffix.
// Source: "IAM JSON policy elements: Condition operators".
var operators = map[string]Operator{
	"StringEquals":              {Family: StringFamily},
	"StringNotEquals":           {Family: StringFamily, Negated: true},
	"StringEqualsIgnoreCase":    {Family: StringFamily},
	"StringNotEqualsIgnoreCase": {Family: StringFamily, Negated: true},
	"StringLike":                {Family: StringFamily},
	"StringNotLike":             {Family: StringFamily, Negated: true},
	"NumericEquals":             {Family: NumericFamily},
	"NumericNotEquals":          {Family: NumericFamily, Negated: true},
	"NumericLessThan":           {Family: NumericFamily},
	"NumericLessThanEquals":     {Family: NumericFamily},
	"NumericGreaterThan":        {Family: NumericFamily},
	"NumericGreaterThanEquals":  {Family: NumericFamily},
	"DateEquals":                {Family: DateFamily},
	"DateNotEquals":             {Family: DateFamily, Negated: true},
	"DateLessThan":              {Family: DateFamily},
	"DateLessThanEquals":        {Family: DateFamily},
	"DateGreaterThan":           {Family: DateFamily},
	"DateGreaterThanEquals":     {Family: DateFamily},
	"Bool":                      {Family: BoolFamily},
	"BinaryEquals":              {Family: BinaryFamily},
	"IpAddress":                 {Family: IPFamily},
	"NotIpAddress":              {Family: IPFamily, Negated: true},
	"ArnEquals":                 {Family: ARNFamily},
	"ArnLike":                   {Family: ARNFamily},
	"ArnNotEquals":              {Family: ARNFamily, Negated: true},
	"ArnNotLike":                {Family: ARNFamily, Negated: true},
	"Null":                      {Family: NullFamily},
}

// Tag is a tag of a resource, principal or session. Keys and values have case;
// the CBOR form is the one that services store.
type Tag struct {
	Key   string `cbor:"1,keyasint"`
	Value string `cbor:"2,keyasint,omitempty"`
}
