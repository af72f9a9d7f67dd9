package policy

import "slices"

// CallerType is what kind of principal calls.
type CallerType uint8

const (
	// Anonymous has no credentials.
	Anonymous CallerType = iota
	// Root is the root user of an account.
	Root
	// IAMUser is a user, with a long-term key or a GetSessionToken session.
	IAMUser
	// AssumedRole is a session of a role.
	AssumedRole
	// FederatedSession is a GetFederationToken session of a user or of the root.
	FederatedSession
	// AWSService is a service that calls for itself.
	AWSService
	// WebIdentity holds a token of an OpenID Connect provider, and SAMLIdentity an
	// assertion of a SAML provider; both only assume roles.
	WebIdentity
	SAMLIdentity
)

// Caller is who makes a request.
type Caller struct {
	Type    CallerType
	ARN     string // as denials show it: of the user, the session, the root
	Account string // empty for Anonymous, AWSService, WebIdentity and SAMLIdentity
	// Entity is the ARN of the user or role behind a session, and ID its unique
	// id; of a user its own. Of a root and its federated sessions, the root's ARN and
	// the account.
	Entity, ID string
	// Service is the principal of an AWSService, Provider the ARN or name of the provider of
	// a WebIdentity or SAMLIdentity.
	Service, Provider string
}

// identified reports whether the caller is a principal of an account, which may
// have identity policies.
func (c *Caller) identified() bool {
	return c.Type == Root || c.Type == IAMUser || c.Type == AssumedRole || c.Type == FederatedSession
}

func (c *Caller) valid() bool {
	switch {
	case c.Type == Root:
		return isAccount(c.Account) && isRoot(c.ARN, c.Account) && c.Entity == c.ARN
	case c.identified():
		return isAccount(c.Account) && partitionOf(c.ARN) != "" && c.Entity != "" && c.ID != ""
	case c.Account != "":
		return false
	case c.Type == AWSService:
		return c.Service != ""
	case c.Type == WebIdentity || c.Type == SAMLIdentity:
		return c.Provider != ""
	}
	return c.Type == Anonymous
}

// names tells how closely the statement's Principal names the caller. A
// statement without one is about whom it is attached to.
func (s *Statement) names(c *Caller) rank {
	if s.Principals == nil {
		return direct
	}
	named := s.Principals.rank(c)
	if !s.NotPrincipal {
		return named
	}
	if named == unnamed {
		return direct
	}
	return unnamed
}

func (p *Principals) rank(c *Caller) rank {
	if p.Any {
		return direct
	}
	switch c.Type {
	case AWSService:
		if slices.Contains(p.Service, c.Service) {
			return direct
		}
	case WebIdentity, SAMLIdentity:
		if slices.Contains(p.Federated, c.Provider) {
			return direct
		}
	}
	best := unnamed
	for i := range p.AWS {
		best = max(best, p.AWS[i].rank(c))
	}
	return best
}

// rank tells how closely p names the caller. A user or role whose unique id is
// known is named by that alone: a renamed user is the same, and one made anew under
// the name of another is another.
func (p *Principal) rank(c *Caller) rank {
	if !c.identified() {
		return unnamed
	}
	switch p.Type {
	case Account:
		if p.Account == c.Account && (p.Partition == "" || p.Partition == partitionOf(c.ARN)) {
			return delegated
		}
		return unnamed
	case Session, FederatedUser:
		if p.Text == c.ARN && (p.ID == "" || p.ID == c.ID) { // the session's name, and its role's id
			return direct
		}
		return unnamed
	case UniqueID:
		if p.Text != c.ID {
			return unnamed
		}
	case User, Role:
		if p.ID != "" && p.ID != c.ID || p.ID == "" && p.Text != c.Entity {
			return unnamed
		}
	}
	if c.Type == IAMUser {
		return direct
	}
	return entity
}

// partitionOf returns the partition of an ARN.
func partitionOf(arn string) string {
	if len(arn) < 4 {
		return ""
	}
	for i := 4; i < len(arn); i++ {
		if arn[i] == ':' {
			return arn[4:i]
		}
	}
	return ""
}

// isRoot reports whether an ARN is that of the account's root user.
func isRoot(arn, account string) bool {
	const head, mid, tail = "arn:", ":iam::", ":root"
	partition := partitionOf(arn)
	n := len(head) + len(partition)
	return partition != "" && len(arn) == n+len(mid)+len(account)+len(tail) && arn[:len(head)] == head &&
		arn[n:n+len(mid)] == mid && arn[n+len(mid):n+len(mid)+len(account)] == account && arn[n+len(mid)+len(account):] == tail
}
