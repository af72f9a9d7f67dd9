package gateway

import (
	"crypto/tls"
	"errors"
	"net/http"

	"coffer/internal/api"
	"coffer/internal/arn"
	"coffer/internal/fault"
	"coffer/internal/iam"
	"coffer/internal/sigv4"
	"coffer/internal/table"
)

// claimed looks at the head of a request: what it says of its signature, and
// whether the access key exists. What fails here needs no body.
func (g *Gateway) claimed(c *call, r *http.Request) (claim sigv4.Claim, key *iam.AccessKey, err error) {
	g.routeHint(c, r)
	if g.cfg.TrustAccount != "" {
		if err := devGuard(r); err != nil {
			return claim, nil, err
		}
	}
	if claim, err = sigv4.Parse(r); err != nil {
		return claim, nil, authError(err)
	}
	c.scope = claim.Service
	if c.service == nil {
		c.service = g.signedFor(claim.Service)
	}
	// For the record of a refusal; nothing is believed yet.
	c.req.Principal.AccessKeyID = claim.AccessKeyID[:min(len(claim.AccessKeyID), maxAccessKeyID)]
	if validRegion(claim.Region) {
		c.req.Region = claim.Region
	}
	if g.cfg.TrustAccount != "" {
		account := g.cfg.TrustAccount
		if iam.IsAccountID(claim.AccessKeyID) {
			account = claim.AccessKeyID
		}
		if c.req.Region == "" {
			return claim, nil, authError(sigv4.RegionError(claim.Region))
		}
		return claim, &iam.AccessKey{ID: claim.AccessKeyID, Account: account}, nil
	}
	if len(claim.AccessKeyID) <= maxAccessKeyID {
		if key, err = c.accessKey(claim.AccessKeyID); err != nil {
			return claim, nil, err
		}
	}
	if key == nil {
		// Verify tells of an unknown key in AWS's order: scope, key, time.
		return claim, nil, authError(g.verifier.Verify(r, nil, &claim, nil, c.start, c.signingName(), validRegion))
	}
	c.req.Account = key.Account // whose trail the record belongs to, valid or not
	return claim, key, nil
}

// signingName is the service that the request must be signed for; "" for any.
func (c *call) signingName() string {
	if c.service == nil {
		return ""
	}
	return c.service.SigningName
}

// identify verifies the claim against the whole request. The order of checks is
// AWS's: malformed, unknown key, clock skew, signature.
func (g *Gateway) identify(c *call, r *http.Request, body []byte, claim sigv4.Claim, key *iam.AccessKey) error {
	if g.cfg.TrustAccount == "" {
		known := sigv4.Key{SecretAccessKey: sigv4.Secret(key.Secret.Reveal())}
		if err := g.verifier.Verify(r, body, &claim, &known, c.start, c.signingName(), validRegion); err != nil {
			return authError(err)
		}
	}
	c.req.Region = claim.Region
	c.req.Account = key.Account
	c.req.Principal = api.Principal{
		Type:        "Root",
		ARN:         arn.ARN{Partition: arn.Partition(claim.Region), Service: "iam", Account: key.Account, Resource: "root"}.String(),
		Account:     key.Account,
		ID:          key.Account,
		AccessKeyID: key.ID,
	}
	return nil
}

// accessKey finds a key by its id, nil if there is none. It is served from the
// record cache.
func (c *call) accessKey(id string) (key *iam.AccessKey, err error) {
	c.keyID = id
	err = c.g.cfg.DB.View(c.req.Context, c.findingKey)
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	return c.key, err
}

// findKey is its transaction.
func (c *call) findKey(tx *table.Tx) (err error) {
	c.key, err = iam.AccessKeys.Get(tx, table.K(c.keyID))
	return err
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
