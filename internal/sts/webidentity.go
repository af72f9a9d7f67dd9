package sts

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"coffer/internal/api"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/arn"
	"coffer/internal/fault"
	"coffer/internal/iam"
	"coffer/internal/jwt"
	"coffer/internal/policy"
	"coffer/internal/table"
)

const (
	skew      = time.Minute // by which clocks of identity providers may differ from ours
	maxClaims = 4 << 10     // bytes of what a session keeps of a token or assertion
)

// The texts are AWS's, as clients have reported them, and as its model explains
// the errors.
const (
	textNotJWT     = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
	textNoKey      = "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"
	textThumbprint = "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint"
	textAudience   = "Incorrect token audience"
	textInvalid    = "The web identity token that was passed could not be validated by Amazon Web Services. Get a new identity token from the identity provider and then retry the request."
	textNoAnswer   = "The request could not be fulfilled because the identity provider (IDP) that was asked to verify the incoming identity token could not be reached. This is often a transient error caused by network conditions."
)

// webIdentity is a role that the holder of a token is about to assume.
type webIdentity struct {
	*assumption
	subject, audience string
}

// resolveAssumeRoleWithWebIdentity verifies the token: in the order in which each
// step says whom to ask next, and so that nothing of an account is told to one whose
// token is not genuine, but that it does not know the issuer.
func (s *Service) resolveAssumeRoleWithWebIdentity(r *api.Request, in *stsapi.AssumeRoleWithWebIdentityInput) (w webIdentity, access api.Access, err error) {
	a, ok := parseRoleARN(*in.RoleArn)
	if !ok {
		return w, access, api.ValidationException("Request ARN is invalid")
	}
	if in.ProviderId != nil {
		return w, access, api.ValidationException("ProviderId is for OAuth 2.0 access tokens, which Coffer does not take.")
	}
	token, err := jwt.Parse(string(in.WebIdentityToken))
	if err != nil {
		return w, access, stsapi.InvalidIdentityTokenException(textNotJWT).Because(err)
	}
	provider, err := oidcProvider(r, a.Account, token.Issuer)
	if err != nil {
		return w, access, err
	}
	claims, err := s.verify(r, token, provider)
	if err != nil {
		return w, access, err
	}
	audience, err := checkClaims(r, claims, provider)
	if err != nil {
		return w, access, err
	}
	w, err = newWebIdentity(in, a, claims, provider, r.Partition(), audience)
	if err != nil {
		return w, access, err
	}
	if err := r.Read(func(tx *table.Tx) error { return w.find(tx, r.Partition()) }); err != nil {
		return w, access, err
	}
	access, err = w.access(r)
	return w, access, err
}

// oidcProvider finds the provider that the role's account has registered for the
// issuer. No other issuer is ever asked for its keys.
func oidcProvider(r *api.Request, account, issuer string) (p *iam.OIDCProvider, err error) {
	err = r.Read(func(tx *table.Tx) (err error) {
		p, err = iam.FindOIDCProvider(tx, account, issuer)
		return err
	})
	if errors.Is(err, table.ErrNotFound) {
		return nil, stsapi.InvalidIdentityTokenException(fmt.Sprintf("No OpenIDConnect provider found in your account for %.255s", issuer))
	}
	return p, err
}

// verify checks the token's signature. From then on the caller is known.
func (s *Service) verify(r *api.Request, token *jwt.Token, p *iam.OIDCProvider) (*jwt.Claims, error) {
	keys, err := s.keys.Keys(r.Context, p.Issuer(), p.Thumbprints, token.KeyID)
	switch {
	case errors.Is(err, jwt.ErrUnreachable):
		return nil, stsapi.IDPCommunicationErrorException(textNoAnswer).Because(err)
	case errors.Is(err, jwt.ErrCertificate):
		return nil, stsapi.InvalidIdentityTokenException(textThumbprint).Because(err)
	case errors.Is(err, jwt.ErrIssuer):
		return nil, stsapi.InvalidIdentityTokenException(textNoKey).Because(err)
	case err != nil:
		return nil, err
	}
	claims, err := token.Verify(keys)
	switch {
	case errors.Is(err, jwt.ErrKey):
		return nil, stsapi.InvalidIdentityTokenException(textNoKey).Because(err)
	case err != nil:
		return nil, stsapi.InvalidIdentityTokenException(textInvalid).Because(err)
	}
	provider := p.ARN(r.Partition())
	vouched(r, policy.WebIdentity, provider, p.Account, provider+":"+strings.Join(claims.Audience, ","), claims.Subject)
	return claims, nil
}

// vouched makes the caller one whom an identity provider vouches for, in the account that
// trusts the provider. space and subject together say who it is, for the record.
func vouched(r *api.Request, kind policy.CallerType, provider, account, space, subject string) {
	const most = 256 // bytes: whoever writes tokens must not fill the log
	clip := func(s string) string { return s[:min(len(s), most)] }
	r.Principal = api.Principal{
		Caller: policy.Caller{Type: kind, Provider: provider, ID: clip(space) + ":" + clip(subject)},
		Name:   clip(subject),
	}
	r.Account = account
}

// checkClaims checks what every token must say, and returns the audience that it is
// accepted for: one of the provider's client ids. A token with an authorized party is
// for that one (as AWS has it for Google's, and practice shows for others).
func checkClaims(r *api.Request, c *jwt.Claims, p *iam.OIDCProvider) (audience string, err error) {
	for _, required := range []struct {
		name    string
		missing bool
	}{
		{"sub", c.Subject == ""}, {"aud", len(c.Audience) == 0}, {"exp", c.Expires == nil}, {"iat", c.IssuedAt == nil},
	} {
		if required.missing {
			return "", stsapi.InvalidIdentityTokenException("Missing a required claim: " + required.name)
		}
	}
	candidates := []string(c.Audience)
	if c.AuthorizedParty != "" {
		candidates = []string{c.AuthorizedParty}
	}
	i := slices.IndexFunc(candidates, func(a string) bool { return slices.Contains(p.ClientIDs, a) })
	if i < 0 {
		return "", stsapi.InvalidIdentityTokenException(textAudience)
	}
	if !r.Time.Before(c.Expires.Time().Add(skew)) {
		return "", stsapi.ExpiredTokenException(fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d", r.Time.Unix(), *c.Expires))
	}
	for _, from := range []*jwt.Seconds{c.IssuedAt, c.NotBefore} {
		if from != nil && r.Time.Add(skew).Before(from.Time()) {
			return "", stsapi.IDPRejectedClaimException(fmt.Sprintf("Token not yet valid: current date/time %d must not be before %d", r.Time.Unix(), *from))
		}
	}
	return candidates[i], nil
}

// newWebIdentity makes what the token and the request ask for.
func newWebIdentity(in *stsapi.AssumeRoleWithWebIdentityInput, a arn.ARN, c *jwt.Claims, p *iam.OIDCProvider, partition, audience string) (w webIdentity, err error) {
	conditions := map[string][]string{"sub": {c.Subject}, "aud": {audience}, "oaud": c.Audience, "amr": c.Methods}
	if c.AuthorizedParty != "" {
		conditions["azp"] = []string{c.AuthorizedParty}
	}
	if c.Email != "" {
		conditions["email"] = []string{c.Email}
	}
	ask := &stsapi.AssumeRoleInput{
		RoleArn: in.RoleArn, RoleSessionName: in.RoleSessionName, PolicyArns: in.PolicyArns, Policy: in.Policy, DurationSeconds: in.DurationSeconds,
		TransitiveTagKeys: c.Tags.Transitive,
	}
	for _, key := range sorted(c.Tags.Principal) {
		if len(c.Tags.Principal[key]) != 1 {
			return w, stsapi.IDPRejectedClaimException("A session tag must have one value.")
		}
		ask.Tags = append(ask.Tags, stsapi.Tag{Key: &key, Value: &c.Tags.Principal[key][0]})
	}
	if c.SourceIdentity != "" {
		ask.SourceIdentity = &c.SourceIdentity
	}
	if w.assumption, err = newVouched(ask, a, p.ARN(partition), stsapi.IDPRejectedClaimException); err != nil {
		return w, err
	}
	// Condition keys are named after the issuer: "issuer.example/path:sub".
	w.claims = make(map[string][]string)
	size := 0
	for name, values := range conditions {
		for _, v := range values {
			size += len(v)
		}
		if len(values) > 0 {
			w.claims[strings.ToLower(p.URL)+":"+name] = values
		}
	}
	if size > maxClaims {
		return w, stsapi.IDPRejectedClaimException("The claims that condition keys are about are too long.")
	}
	w.subject, w.audience = c.Subject, audience
	return w, nil
}

// newVouched is newAssumption for what an identity provider asks: its tags and
// source identity are held to the model as those of a request are, and told of by wrong.
func newVouched(ask *stsapi.AssumeRoleInput, a arn.ARN, provider string, wrong func(string) *fault.Error) (*assumption, error) {
	if err := api.Validate(ask); err != nil {
		if fe, ok := fault.As(err); ok {
			return nil, wrong(fe.Message)
		}
		return nil, err
	}
	q, err := newAssumption(ask, a, nil)
	if err != nil {
		return nil, err
	}
	q.provider = provider
	return q, nil
}

func (s *Service) assumeRoleWithWebIdentity(r *api.Request, _ *stsapi.AssumeRoleWithWebIdentityInput, w webIdentity) (*stsapi.AssumeRoleWithWebIdentityOutput, error) {
	ses, life, err := w.session(r, r.Read)
	if err != nil {
		return nil, err
	}
	ses.Claims = w.claims
	out, err := s.take(r, ses, life)
	if err != nil {
		return nil, err
	}
	return &stsapi.AssumeRoleWithWebIdentityOutput{
		Credentials: out.credentials, AssumedRoleUser: out.user, PackedPolicySize: out.packed, SourceIdentity: out.sourceIdentity,
		SubjectFromWebIdentityToken: &w.subject, Audience: &w.audience, Provider: &w.provider,
	}, nil
}
