package sts

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"coffer/internal/api"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/iam"
	"coffer/internal/policy"
	"coffer/internal/saml"
	"coffer/internal/table"
)

// redeem is how long after its making an assertion is taken: "Token must be redeemed
// within 5 minutes of issuance".
const redeem = 5 * time.Minute

const awsAttribute = "https://aws.amazon.com/SAML/Attributes/"

// samlIdentity is a role that the holder of an assertion is about to assume.
type samlIdentity struct {
	*assumption
	assertion     *saml.Assertion
	nameQualifier string
	subjectType   string
}

// resolveAssumeRoleWithSAML verifies the assertion. The texts are those of "Troubleshoot
// SAML federation with IAM", where it has one.
func (s *Service) resolveAssumeRoleWithSAML(r *api.Request, in *stsapi.AssumeRoleWithSAMLInput) (i samlIdentity, access api.Access, err error) {
	a, ok := parseRoleARN(*in.RoleArn)
	if !ok {
		return i, access, api.ValidationException("Request ARN is invalid")
	}
	response, err := saml.Parse(in.SAMLAssertion)
	switch {
	case errors.Is(err, saml.ErrEncrypted):
		return i, access, encrypted(err)
	case err != nil:
		return i, access, stsapi.InvalidIdentityTokenException("Your request included an invalid SAML response.").Because(err)
	}
	provider, err := samlProvider(r, a.Account, *in.PrincipalArn)
	if err != nil {
		return i, access, err
	}
	if i, err = s.verifySAML(r, response, provider); err != nil {
		return i, access, err
	}
	if err := s.checkSAML(r, i.assertion, provider); err != nil {
		return i, access, err
	}
	if !i.maps(*in.RoleArn, *in.PrincipalArn) {
		return i, access, api.AccessDeniedException(notAuthorized(r))
	}
	ask, err := i.ask(r, in)
	if err != nil {
		return i, access, err
	}
	if i.assumption, err = newVouched(ask, a, provider.ARN(r.Partition()), stsapi.InvalidIdentityTokenException); err != nil {
		return i, access, err
	}
	i.claims = i.conditions(provider)
	if err := r.Read(func(tx *table.Tx) error { return i.find(tx, r.Partition()) }); err != nil {
		return i, access, err
	}
	access, err = i.access(r)
	return i, access, err
}

func encrypted(cause error) error {
	return stsapi.InvalidIdentityTokenException("The SAML assertion is encrypted. Coffer does not decrypt assertions: switch encryption off at the identity provider.").Because(cause)
}

// samlProvider finds the provider, which must be one of the role's account.
func samlProvider(r *api.Request, account, text string) (p *iam.SAMLProvider, err error) {
	err = r.Read(func(tx *table.Tx) (err error) {
		p, err = iam.FindSAMLProvider(tx, text)
		return err
	})
	if errors.Is(err, table.ErrNotFound) || err == nil && (p.Account != account || p.ARN(r.Partition()) != text) {
		return nil, stsapi.InvalidIdentityTokenException("Specified provider doesn't exist")
	}
	return p, err
}

// verifySAML checks the signature. From then on the caller is known.
func (s *Service) verifySAML(r *api.Request, response *saml.Response, p *iam.SAMLProvider) (i samlIdentity, err error) {
	certificates, err := p.SigningCertificates()
	if err != nil {
		return i, err
	}
	a, err := response.Verify(certificates)
	switch {
	case errors.Is(err, saml.ErrEncrypted):
		return i, encrypted(err)
	case errors.Is(err, saml.ErrSignature):
		return i, stsapi.InvalidIdentityTokenException("Response signature invalid").Because(err)
	case err != nil:
		return i, stsapi.InvalidIdentityTokenException("Your request included an invalid SAML response.").Because(err)
	}
	sum := sha1.Sum([]byte(a.Issuer + p.Account + "/" + p.Name)) // AWS's choice; it names, and proves nothing
	i = samlIdentity{
		assertion: a, nameQualifier: base64.StdEncoding.EncodeToString(sum[:]),
		subjectType: strings.TrimPrefix(a.SubjectFormat, "urn:oasis:names:tc:SAML:2.0:nameid-format:"),
	}
	vouched(r, policy.SAMLIdentity, p.ARN(r.Partition()), p.Account, i.nameQualifier, a.Subject)
	if len(a.Subject) > maxClaims || len(a.SubjectFormat) > maxClaims {
		return i, stsapi.InvalidIdentityTokenException("The NameID is too long.")
	}
	return i, nil
}

// checkSAML checks that the assertion is this provider's, for us, and of now.
func (s *Service) checkSAML(r *api.Request, a *saml.Assertion, p *iam.SAMLProvider) error {
	switch now := r.Time; {
	case a.Issuer != p.EntityID:
		return stsapi.InvalidIdentityTokenException("Issuer not present in specified provider")
	case !now.Before(p.ValidUntil.Time()):
		return stsapi.InvalidIdentityTokenException("The metadata of the specified provider has expired")
	case !s.recipient(r.Partition(), a.Recipient):
		return stsapi.InvalidIdentityTokenException("Response does not contain the required recipient.")
	case !a.For("urn:amazon:webservices", a.Recipient):
		return stsapi.InvalidIdentityTokenException("Response does not contain the required audience.")
	case now.Add(skew).Before(a.Issued), now.Add(skew).Before(a.NotBefore):
		return stsapi.IDPRejectedClaimException("Response is not valid yet")
	case !now.Before(a.NotOnOrAfter.Add(skew)), !a.SessionEnd.IsZero() && !now.Before(a.SessionEnd):
		return stsapi.ExpiredTokenException("Response has expired")
	case !now.Before(a.Issued.Add(redeem + skew)):
		return stsapi.ExpiredTokenException("Token must be redeemed within 5 minutes of issuance")
	}
	return nil
}

// recipient reports whether an assertion is addressed to us: by the URL that was
// configured, or as identity providers are configured for AWS.
func (s *Service) recipient(partition, url string) bool {
	if s.samlRecipient != "" {
		return url == s.samlRecipient
	}
	host := "signin.aws.amazon.com"
	switch partition {
	case "aws-cn":
		host = "signin.amazonaws.cn"
	case "aws-us-gov":
		host = "signin.amazonaws-us-gov.com"
	}
	rest, ok := strings.CutPrefix(url, "https://")
	if !ok {
		return false
	}
	rest, ok = strings.CutSuffix(rest, host+"/saml")
	if !ok {
		return false
	}
	region, dotted := strings.CutSuffix(rest, ".")
	return rest == "" || dotted && region != "" && strings.Trim(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// maps reports whether the provider maps the user to the role: a pair of ARNs, in
// either order.
func (i *samlIdentity) maps(role, provider string) bool {
	return slices.ContainsFunc(i.assertion.Values(awsAttribute+"Role"), func(pair string) bool {
		one, two, ok := strings.Cut(pair, ",")
		one, two = strings.TrimSpace(one), strings.TrimSpace(two)
		return ok && (one == role && two == provider || one == provider && two == role)
	})
}

// ask makes what the assertion and the request ask for.
func (i *samlIdentity) ask(r *api.Request, in *stsapi.AssumeRoleWithSAMLInput) (*stsapi.AssumeRoleInput, error) {
	ask := &stsapi.AssumeRoleInput{RoleArn: in.RoleArn, PolicyArns: in.PolicyArns, Policy: in.Policy, DurationSeconds: in.DurationSeconds}
	var err error
	if ask.RoleSessionName, err = i.name("RoleSessionName", `RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}`); err != nil {
		return nil, err
	}
	if ask.RoleSessionName == nil {
		return nil, stsapi.InvalidIdentityTokenException("RoleSessionName is required in AuthnResponse")
	}
	if ask.SourceIdentity, err = i.name("SourceIdentity", `Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"`); err != nil {
		return nil, err
	}
	ask.TransitiveTagKeys = i.assertion.Values(awsAttribute + "TransitiveTagKeys")
	for _, a := range i.assertion.Attributes() {
		key, ok := strings.CutPrefix(a.Name, awsAttribute+"PrincipalTag:")
		if !ok {
			continue
		}
		if len(a.Values) != 1 {
			return nil, stsapi.InvalidIdentityTokenException("A session tag must have one value.")
		}
		ask.Tags = append(ask.Tags, stsapi.Tag{Key: &key, Value: &a.Values[0]})
	}
	return ask, i.shorten(r, ask)
}

// shorten applies what ends the session earlier: "it can be used to shorten the
// duration of the session", and SessionNotOnOrAfter, "whichever is shorter".
func (i *samlIdentity) shorten(r *api.Request, ask *stsapi.AssumeRoleInput) error {
	vs := i.assertion.Values(awsAttribute + "SessionDuration")
	if len(vs) == 0 {
		return nil
	}
	n, err := strconv.ParseInt(vs[0], 10, 32)
	if err != nil || n < 900 || n > 43200 {
		return stsapi.InvalidIdentityTokenException("SessionDuration in AuthnResponse must be a number of seconds from 900 to 43200")
	}
	if seconds(&n, 0) < seconds(ask.DurationSeconds, usualRoleSession) {
		ask.DurationSeconds = &n
	}
	return nil
}

// name reads an attribute that is a name of 2 to 64 characters; nil if it is absent.
func (i *samlIdentity) name(attribute, wrong string) (*string, error) {
	vs := i.assertion.Values(awsAttribute + attribute)
	if len(vs) == 0 {
		return nil, nil
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-"
	if v := vs[0]; len(vs) == 1 && len(v) >= 2 && len(v) <= 64 && strings.Trim(v, letters) == "" {
		return &v, nil
	}
	return nil, stsapi.InvalidIdentityTokenException(wrong)
}

func (s *Service) assumeRoleWithSAML(r *api.Request, _ *stsapi.AssumeRoleWithSAMLInput, i samlIdentity) (*stsapi.AssumeRoleWithSAMLOutput, error) {
	ses, life, err := i.session(r, r.Read)
	if err != nil {
		return nil, err
	}
	a := i.assertion
	if !a.SessionEnd.IsZero() {
		life = min(life, a.SessionEnd.Sub(r.Time).Truncate(time.Second))
	}
	ses.Claims = map[string][]string{"saml:namequalifier": {i.nameQualifier}, "saml:sub": {a.Subject}, "saml:sub_type": {i.subjectType}}
	out, err := s.take(r, ses, life)
	if err != nil {
		return nil, err
	}
	// An assertion is good once for each role that it names: who can read it on its way
	// cannot use it after its holder did.
	switch err := s.assertions.Take(ses.Account, a, i.text, a.Issued.Add(redeem+2*skew), r.Time); {
	case errors.Is(err, saml.ErrUsed):
		return nil, stsapi.InvalidIdentityTokenException("The SAML assertion was used before").Because(err)
	case err != nil:
		return nil, api.ServiceUnavailableException("Too many SAML assertions are in use. Please try again.").Because(err)
	}
	return &stsapi.AssumeRoleWithSAMLOutput{
		Credentials: out.credentials, AssumedRoleUser: out.user, PackedPolicySize: out.packed, SourceIdentity: out.sourceIdentity,
		Subject: &a.Subject, SubjectType: &i.subjectType, Issuer: &a.Issuer, Audience: &a.Recipient, NameQualifier: &i.nameQualifier,
	}, nil
}
