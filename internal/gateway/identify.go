package gateway

import (
	"crypto/tls"
	"errors"
	"net/http"
	"time"

	"coffer/internal/api"
	"coffer/internal/arn"
	"coffer/internal/fault"
	"coffer/internal/iam"
	"coffer/internal/policy"
	"coffer/internal/session"
	"coffer/internal/sigv4"
	"coffer/internal/table"
)

// presignedLife is how long a presigned request to STS is good at least: those
// who prove an identity with a presigned GetCallerIdentity (Kubernetes
// authenticators) write a minute and use it for a quarter of an hour.
const presignedLife = 15 * time.Minute

// claimed looks at the head of a request: what it says of its signature, and
// whose the access key is. What fails here needs no body.
func (g *Gateway) claimed(c *call, r *http.Request) (err error) {
	g.routeHint(c, r)
	if g.cfg.TrustAccount != "" {
		if err := devGuard(r); err != nil {
			return err
		}
	}
	claim, err := sigv4.Parse(r)
	if err != nil {
		if c.mayBeUnsigned(err) {
			c.unsigned = authError(err)
			return nil
		}
		return authError(err)
	}
	c.scope = claim.Service
	if c.service == nil {
		c.service = g.signedFor(claim.Service)
	}
	if c.service != nil {
		c.query = speaksQuery(c.service) // whatever the request looks like: so its errors are read
	}
	if claim.Presigned && claim.Service == "sts" {
		claim.Expires = max(claim.Expires, presignedLife)
	}
	c.claim = claim
	// For the record of a refusal; nothing is believed yet.
	c.req.Principal.AccessKeyID = claim.AccessKeyID[:min(len(claim.AccessKeyID), maxAccessKeyID)]
	if g.serves(claim.Region) {
		c.req.Region = claim.Region
	}
	if len(claim.AccessKeyID) <= maxAccessKeyID {
		if err := c.findHolder(); err != nil {
			return err
		}
	}
	switch {
	case c.holder.key.SecretAccessKey != "":
		c.req.Account = c.holder.principal.Account // whose trail the record belongs to, valid or not
	case g.cfg.TrustAccount != "":
		if c.req.Region == "" {
			return authError(sigv4.RegionError(claim.Region))
		}
	default:
		// Verify tells of an unknown key in AWS's order: scope, key, time.
		return authError(g.verifier.Verify(r, nil, &c.claim, nil, c.start, c.signingName(), g.serves))
	}
	return nil
}

// mayBeUnsigned reports whether a request without any signature can be one of
// the operations that need none; which it is, its body tells.
func (c *call) mayBeUnsigned(err error) bool {
	var e *sigv4.Error
	return c.query && errors.As(err, &e) && e.Reason == sigv4.Missing
}

// signingName is the service that the request must be signed for; "" for any.
func (c *call) signingName() string {
	if c.service == nil {
		return ""
	}
	return c.service.SigningName
}

// identify verifies the claim against the whole request. The order of checks is
// AWS's: malformed, unknown key, clock skew, signature, session token.
func (g *Gateway) identify(c *call, r *http.Request, body []byte) error {
	if c.holder.key.SecretAccessKey == "" {
		c.trust(g.cfg.TrustAccount)
	} else if err := g.verifier.Verify(r, body, &c.claim, &c.holder.key, c.start, c.signingName(), g.serves); err != nil {
		return authError(err)
	}
	c.req.Region = c.claim.Region
	if c.service != nil && c.service.Name == "iam" {
		c.req.Region = globalRegion(c.claim.Region)
	}
	c.req.Principal = c.holder.principal
	c.req.Account = c.req.Principal.Account
	if c.holder.key.SecretAccessKey != "" {
		g.cfg.Directory.Used(&c.req.Principal, c.claim.Service, c.req.Region, c.start)
	}
	return nil
}

// globalRegion is where the services are that have no regions ("IAM endpoints
// and quotas").
func globalRegion(region string) string {
	switch arn.Partition(region) {
	case "aws-cn":
		return "cn-north-1"
	case "aws-us-gov":
		return "us-gov-west-1"
	case "aws":
		return "us-east-1"
	}
	return region
}

// trust makes whoever has an access key that we did not give the root of an
// account: a server started with --dev knows no better.
func (c *call) trust(account string) {
	id := c.claim.AccessKeyID
	if iam.IsAccountID(id) {
		account = id
	}
	c.holder.principal = rootOf(account, id, arn.Partition(c.claim.Region))
}

// holder is whom an access key belongs to, and what verifies its signatures: no
// secret, nobody.
type holder struct {
	key       sigv4.Key
	principal api.Principal
}

// findHolder looks the claim's access key up. It is served from the record cache.
func (c *call) findHolder() error { return c.g.cfg.DB.View(c.req.Context, c.methods.findingKey) }

// findKey is its transaction.
func (c *call) findKey(tx *table.Tx) error {
	c.holder = holder{}
	if token := c.claim.SessionToken; token != "" {
		s, err := c.g.cfg.Tokens.Open(string(token))
		if errors.Is(err, session.ErrToken) {
			return nil
		}
		if err != nil {
			return err
		}
		return c.findSession(tx, s)
	}
	k, err := iam.AccessKeys.Find(tx, c.claim.AccessKeyID)
	if errors.Is(err, table.ErrNotFound) || err == nil && k.Inactive {
		return nil
	}
	if err != nil {
		return err
	}
	partition := arn.Partition(c.claim.Region)
	p := rootOf(k.Account, k.ID, partition)
	if k.User != "" {
		p, err = userOf(tx, k.User, k.ID, partition)
		if errors.Is(err, table.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	c.holder = holder{sigv4.Key{SecretAccessKey: k.Secret.Text}, p}
	return nil
}

// findSession makes the holder of temporary credentials. A session of
// GetSessionToken or GetFederationToken ends with the access key it came from.
func (c *call) findSession(tx *table.Tx, s *session.Session) error {
	if s.AccessKeyID != c.claim.AccessKeyID {
		return nil
	}
	if s.ParentKeyID != "" {
		k, err := iam.AccessKeys.Get(tx, table.K(s.ParentKeyID))
		if errors.Is(err, table.ErrNotFound) && s.EntityID == "" && c.g.cfg.TrustAccount != "" {
			k, err = &iam.AccessKey{Account: s.Account}, nil // one that was believed, as all are
		}
		if errors.Is(err, table.ErrNotFound) || err == nil && (k.Inactive || k.Account != s.Account || k.User != s.EntityID) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	p, err := sessionOf(tx, s, arn.Partition(c.claim.Region))
	if errors.Is(err, table.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c.holder = holder{s.Key(string(c.claim.SessionToken)), p}
	return nil
}

func rootOf(account, keyID, partition string) api.Principal {
	root := "arn:" + partition + ":iam::" + account + ":root"
	return api.Principal{
		Caller:      policy.Caller{Type: policy.Root, ARN: root, Account: account, Entity: root, ID: account},
		AccessKeyID: keyID,
	}
}

func userOf(tx *table.Tx, id, keyID, partition string) (api.Principal, error) {
	u, err := iam.Users.Find(tx, id)
	if err != nil {
		return api.Principal{}, err
	}
	a := u.ARN(partition)
	return api.Principal{
		Caller:      policy.Caller{Type: policy.IAMUser, ARN: a, Account: u.Account, Entity: a, ID: u.ID},
		Name:        u.Name,
		AccessKeyID: keyID,
	}, nil
}

// sessionOf is the principal of a session; table.ErrNotFound if its user is gone.
// Whether its role still is there is seen when its policies are loaded.
func sessionOf(tx *table.Tx, s *session.Session, partition string) (p api.Principal, err error) {
	switch s.Type {
	case policy.AssumedRole:
		names := s.Names(partition)
		p = api.Principal{Caller: policy.Caller{
			Type: s.Type, ARN: names.ARN, Account: s.Account, Entity: names.Role, ID: s.EntityID,
		}, Name: s.RoleName(), AccessKeyID: s.AccessKeyID}
	default:
		p = rootOf(s.Account, s.AccessKeyID, partition)
		if s.EntityID != "" {
			if p, err = userOf(tx, s.EntityID, s.AccessKeyID, partition); err != nil {
				return p, err
			}
		}
		if s.Type == policy.FederatedSession {
			p.Type, p.ARN = s.Type, s.Names(partition).ARN
		}
	}
	p.Session = s
	return p, nil
}

// signedFor finds a service by the name in a credential scope.
func (g *Gateway) signedFor(name string) *api.Service {
	for _, s := range g.cfg.Services {
		if s.SigningName == name {
			return s
		}
	}
	return nil
}

// authError turns a signature error into the error the JSON protocol sends. The
// cause stays with it: by it awsquery knows an error about credentials.
func authError(err error) error {
	var e *sigv4.Error
	if !errors.As(err, &e) {
		return err
	}
	return fault.New(fault.Denied, e.Reason.Code(false), e.Message).Because(e)
}

// serves reports whether calls may be signed for a region: one of the partition that this
// deployment is in. Its accounts are in no other, and so their ARNs have one form, whatever a
// caller signs for.
func (g *Gateway) serves(region string) bool {
	return validRegion(region) && arn.Partition(region) == arn.Partition(g.cfg.Region)
}

// validRegion reports whether s has the form of a region name, such as
// eu-west-1: words of lower-case letters, then a number, joined by hyphens.
func validRegion(s string) bool {
	if len(s) > 64 {
		return false
	}
	words, start := 0, 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '-' {
			continue
		}
		word := s[start:i]
		if word == "" {
			return false
		}
		if i == len(s) {
			return words > 0 && all(word, '0', '9')
		}
		if !all(word, 'a', 'z') {
			return false
		}
		words++
		start = i + 1
	}
	return false
}

func all(s string, lo, hi byte) bool {
	for i := range len(s) {
		if s[i] < lo || s[i] > hi {
			return false
		}
	}
	return true
}

func tlsDetails(r *http.Request) *api.TLS {
	if r.TLS == nil {
		return nil
	}
	return &api.TLS{Version: tlsVersion(r.TLS.Version), CipherSuite: tls.CipherSuiteName(r.TLS.CipherSuite), Host: r.Host}
}

// tlsVersion spells versions as CloudTrail does.
func tlsVersion(v uint16) string {
	switch v {
	case tls.VersionTLS12:
		return "TLSv1.2"
	case tls.VersionTLS13:
		return "TLSv1.3"
	}
	return tls.VersionName(v)
}
