//lint:file-ignore SA1019 the model has PackedPolicySize and not its successor, SessionTokenUtilization

package sts_test

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest"
	"coffer/internal/coffertest/check"
	"coffer/internal/saml/samltest"
	"coffer/internal/server"
)

// samlWorld is a world with a SAML provider in the main account.
type samlWorld struct {
	*world
	idp      *samltest.Provider
	provider string // its ARN
}

func newSAML(t *testing.T, opts ...coffertest.Option) *samlWorld {
	t.Helper()
	w := &samlWorld{world: newWorld(t, opts...), idp: samltest.New("https://idp.example/saml")}
	w.provider = *check.Must(t, w.main.CreateSAMLProvider, &iam.CreateSAMLProviderInput{Name: new("Corp"), SAMLMetadataDocument: new(w.idp.Metadata())}).SAMLProviderArn
	return w
}

// login is a right login for a role.
func (w *samlWorld) login(role string) samltest.Login {
	return w.idp.SignIn(w.Now(), "ana", role, w.provider)
}

func (w *samlWorld) asking(role, assertion string) *sts.AssumeRoleWithSAMLInput {
	return &sts.AssumeRoleWithSAMLInput{RoleArn: &role, PrincipalArn: &w.provider, SAMLAssertion: &assertion}
}

var bySAML = []string{"sts:AssumeRoleWithSAML"}

const mayNotSAML = "AccessDenied: Not authorized to perform sts:AssumeRoleWithSAML"

func TestSAML(t *testing.T) {
	t.Parallel()
	w := newSAML(t)
	role := w.main.role(t, "r", []string{trust(federated(w.provider), append([]string{"sts:TagSession", "sts:SetSourceIdentity"}, bySAML...), condition("StringEquals", "SAML:aud", "https://signin.aws.amazon.com/saml"))},
		allow("sts:*", "*"),
		allow("secretsmanager:ListSecrets", "*", `"Condition":{"StringEquals":{"saml:sub":"ana","saml:sub_type":"persistent","aws:PrincipalTag/team":"blue","aws:SourceIdentity":"ana@corp","aws:FederatedProvider":"`+w.provider+`"}}`))
	assertion := w.idp.Text(w.login(role).With("PrincipalTag:team", "blue").With("TransitiveTagKeys", "team").With("SourceIdentity", "ana@corp"))
	out := check.Must(t, w.sts(login{}).AssumeRoleWithSAML, w.asking(role, assertion))
	sum := sha1.Sum([]byte(w.idp.EntityID + w.main.id + "/Corp"))
	qualifier := base64.StdEncoding.EncodeToString(sum[:])
	session := "arn:aws:sts::" + w.main.id + ":assumed-role/r/ana"
	check.Equal(t, "answer", strings.Join([]string{*out.Subject, *out.SubjectType, *out.Issuer, *out.Audience, *out.NameQualifier, *out.SourceIdentity, *out.AssumedRoleUser.Arn}, " "),
		strings.Join([]string{"ana", "persistent", w.idp.EntityID, "https://signin.aws.amazon.com/saml", qualifier, "ana@corp", session}, " "))
	check.Equal(t, "packed size", out.PackedPolicySize != nil && *out.PackedPolicySize > 0, true)
	l := temporary(out.Credentials)
	next := w.main.role(t, "next", []string{trust(principal(role), setting, condition("StringEquals", "aws:PrincipalTag/team", "blue"))})
	check.Run(t, []check.Rule{
		{"who", func() string { return w.who(l) }, session},
		{"claims in later conditions", check.Try(w.sm(l).ListSecrets, &secretsmanager.ListSecretsInput{}), "ok"},
		{"on to another role", check.Try(w.sts(l).AssumeRole, asking(next, "s2")), "ok"},
	})
	records, log := w.records(t, "AssumeRoleWithSAML")
	r := records[0]
	check.Equal(t, "record", fmt.Sprint(r.UserIdentity, r.RecipientAccountID, r.ReadOnly, r.RequestParameters["principalArn"]),
		fmt.Sprint(struct{ Type, PrincipalID, ARN, AccountID, UserName, IdentityProvider string }{"SAMLUser", qualifier + ":ana", "", "", "ana", w.provider}, w.main.id, true, w.provider))
	for _, secret := range []string{*out.Credentials.SecretAccessKey, *out.Credentials.SessionToken, assertion[len(assertion)/2:]} {
		check.Equal(t, "a secret in the log", strings.Contains(log, secret), false)
	}
}

func TestSAMLDuration(t *testing.T) {
	t.Parallel()
	w := newSAML(t)
	role := w.main.role(t, "r", []string{trust(federated(w.provider), bySAML)})
	for _, c := range []struct {
		name    string
		login   func() samltest.Login
		asked   *int32
		want    time.Duration
		refused string
	}{
		{"usual", func() samltest.Login { return w.login(role) }, nil, time.Hour, ""},
		{"asked", func() samltest.Login { return w.login(role) }, new(int32(7200)), 2 * time.Hour, ""},
		{"the provider shortens", func() samltest.Login { return w.login(role).With("SessionDuration", "1800") }, new(int32(7200)), 30 * time.Minute, ""},
		{"the provider does not lengthen", func() samltest.Login { return w.login(role).With("SessionDuration", "7200") }, nil, time.Hour, ""},
		{"until the provider's session ends", func() samltest.Login {
			l := w.login(role)
			l.SessionEnd = w.Now().Add(20 * time.Minute)
			return l
		}, nil, 20 * time.Minute, ""},
		{"no number", func() samltest.Login { return w.login(role).With("SessionDuration", "soon") }, nil, 0, "InvalidIdentityToken: SessionDuration in AuthnResponse must be a number of seconds from 900 to 43200"},
	} {
		in := w.asking(role, w.idp.Text(c.login()))
		in.DurationSeconds = c.asked
		out, err := w.sts(login{}).AssumeRoleWithSAML(ctx, in)
		if c.refused != "" {
			check.Equal(t, c.name, check.Outcome(err), c.refused)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := out.Credentials.Expiration.Sub(w.Now()); got < c.want-5*time.Second || got > c.want+time.Second {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestBadAssertions(t *testing.T) {
	t.Parallel()
	w := newSAML(t)
	role := w.main.role(t, "r", []string{trust(federated(w.provider), bySAML, condition("StringEquals", "saml:sub", "ana"))})
	foreign := w.other.role(t, "r", []string{trust(federated(w.provider), bySAML)})
	second := w.main.role(t, "second", []string{trust(federated(w.provider), bySAML)})
	unmapped := w.main.role(t, "unmapped", []string{trust(federated(w.provider), bySAML)})
	as := func(role string, l samltest.Login) func() string {
		return check.Try(w.sts(login{}).AssumeRoleWithSAML, w.asking(role, w.idp.Text(l)))
	}
	raw := func(role, text string) func() string {
		return check.Try(w.sts(login{}).AssumeRoleWithSAML, w.asking(role, text))
	}
	change := func(edit func(*samltest.Login)) samltest.Login {
		l := w.login(role)
		edit(&l)
		return l
	}
	const (
		invalid = "InvalidIdentityToken: Your request included an invalid SAML response."
		forged  = "InvalidIdentityToken: Response signature invalid"
		nobody  = "InvalidIdentityToken: Specified provider doesn't exist"
		name    = "InvalidIdentityToken: RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"
	)
	missing := w.asking(role, w.idp.Text(w.login(role)))
	missing.PrincipalArn = new(w.main.arn("saml-provider/None"))
	both := w.login(role).With("Role", w.provider+","+role, second+" , "+w.provider)
	twice := w.idp.Text(both)
	rules := []check.Rule{
		{"genuine", as(role, w.login(role)), "ok"},
		{"once", raw(role, twice), "ok"},
		{"replayed", raw(role, twice), "InvalidIdentityToken: The SAML assertion was used before"},
		{"the same for its other role", raw(second, twice), "ok"},
		{"replayed for that", raw(second, twice), "InvalidIdentityToken: The SAML assertion was used before"},
		{"no response", raw(role, "hello"), invalid},
		{"truncated", raw(role, twice[:len(twice)/2]), invalid},
		{"forged", raw(role, samltest.New(w.idp.EntityID).Text(w.login(role))), forged},
		{"not signed", raw(role, samltest.Encode(samltest.Response(w.login(role).Assertion()))), forged},
		{"encrypted", raw(role, base64.StdEncoding.EncodeToString([]byte(`<Response xmlns="urn:oasis:names:tc:SAML:2.0:protocol"><EncryptedAssertion xmlns="urn:oasis:names:tc:SAML:2.0:assertion"/></Response>`))),
			"InvalidIdentityToken: The SAML assertion is encrypted. Coffer does not decrypt assertions: switch encryption off at the identity provider."},
		{"another issuer", as(role, change(func(l *samltest.Login) { l.Issuer = "https://other.example" })), "InvalidIdentityToken: Issuer not present in specified provider"},
		{"another audience", as(role, change(func(l *samltest.Login) { l.Audience = "urn:other" })), "InvalidIdentityToken: Response does not contain the required audience."},
		{"no audience", as(role, change(func(l *samltest.Login) { l.Audience = "" })), "InvalidIdentityToken: Response does not contain the required audience."},
		{"the endpoint as audience", as(role, change(func(l *samltest.Login) { l.Audience = "https://signin.aws.amazon.com/saml" })), "ok"},
		{"another recipient", as(role, change(func(l *samltest.Login) { l.Recipient = "https://evil.example/saml" })), "InvalidIdentityToken: Response does not contain the required recipient."},
		{"a recipient that looks right", as(role, change(func(l *samltest.Login) { l.Recipient = "https://evil.example/.signin.aws.amazon.com/saml" })), "InvalidIdentityToken: Response does not contain the required recipient."},
		{"a regional recipient", as(role, change(func(l *samltest.Login) { l.Recipient = "https://eu-west-1.signin.aws.amazon.com/saml" })), "ok"},
		{"six minutes old", as(role, change(func(l *samltest.Login) {
			l.Issued, l.NotOnOrAfter = w.Now().Add(-6*time.Minute), w.Now().Add(time.Hour)
		})), "ExpiredTokenException: Token must be redeemed within 5 minutes of issuance"},
		{"ended", as(role, change(func(l *samltest.Login) { l.NotOnOrAfter = w.Now().Add(-time.Minute) })), "ExpiredTokenException: Response has expired"},
		{"its session ended", as(role, change(func(l *samltest.Login) { l.SessionEnd = w.Now().Add(-time.Second) })), "ExpiredTokenException: Response has expired"},
		{"of tomorrow", as(role, change(func(l *samltest.Login) { l.NotBefore = w.Now().Add(2 * time.Minute) })), "IDPRejectedClaim: Response is not valid yet"},
		{"made tomorrow", as(role, change(func(l *samltest.Login) { l.Issued = w.Now().Add(2 * time.Minute) })), "IDPRejectedClaim: Response is not valid yet"},
		{"no session name", as(role, w.login(role).With("RoleSessionName")), "InvalidIdentityToken: RoleSessionName is required in AuthnResponse"},
		{"a session name with blanks", as(role, w.login(role).With("RoleSessionName", "Ana Bo")), name},
		{"a session name too short", as(role, w.login(role).With("RoleSessionName", "a")), name},
		{"a source identity", as(role, w.login(role).With("SourceIdentity", "aws:x")), `InvalidIdentityToken: Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"`},
		{"a source identity that may not be set", as(role, w.login(role).With("SourceIdentity", "ana")), mayNotSAML},
		{"tags that may not be set", as(role, w.login(role).With("PrincipalTag:a", "b")), mayNotSAML},
		{"a tag with two values", as(role, w.login(role).With("PrincipalTag:a", "b", "c")), "InvalidIdentityToken: A session tag must have one value."},
		{"a transitive tag that is none", as(role, w.login(role).With("TransitiveTagKeys", "a")), "InvalidParameterValue: The specified transitive tag key must be included in the requested tags."},
		{"a role that it does not name", as(unmapped, w.login(role)), mayNotSAML},
		{"no role at all", as(role, w.login(role).With("Role")), mayNotSAML},
		{"another subject", as(role, change(func(l *samltest.Login) { l.Subject = "bo" })), mayNotSAML},
		{"a role that does not exist", as(w.main.arn("role/none"), w.login(w.main.arn("role/none"))), mayNotSAML},
		{"a role of another account", as(foreign, w.login(foreign)), nobody},
		{"a provider that does not exist", check.Try(w.sts(login{}).AssumeRoleWithSAML, missing), nobody},
		{"no role ARN", as(w.main.arn("user/r"), w.login(role)), "ValidationError: Request ARN is invalid"},
		{"a subject that is too long", as(role, change(func(l *samltest.Login) { l.Subject = strings.Repeat("s", 5000) })), "InvalidIdentityToken: The NameID is too long."},
	}
	check.Run(t, rules)
	records, _ := w.records(t, "AssumeRoleWithSAML")
	for _, r := range records {
		unknown := r.ErrorMessage == "Response signature invalid" || strings.Contains(r.ErrorMessage, "invalid SAML response") || strings.Contains(r.ErrorMessage, "encrypted") ||
			r.ErrorMessage == "Specified provider doesn't exist" || r.ErrorCode == "ValidationError"
		if unknown == (r.UserIdentity.Type == "SAMLUser") {
			t.Errorf("record of %s %q: identity %+v", r.ErrorCode, r.ErrorMessage, r.UserIdentity)
		}
	}
	check.Equal(t, "records", len(records), len(rules))
}

func TestSAMLKeys(t *testing.T) {
	t.Parallel()
	w := newSAML(t)
	role := w.main.role(t, "r", []string{trust(federated(w.provider), bySAML)})
	sum := sha1.Sum([]byte(w.idp.EntityID + w.main.id + "/Corp"))
	for c, want := range map[string]bool{
		condition("StringEquals", "saml:aud", "https://signin.aws.amazon.com/saml"):                true,
		condition("StringEquals", "SAML:iss", w.idp.EntityID):                                      true,
		condition("StringEquals", "saml:sub", "ana"):                                               true,
		condition("StringEquals", "saml:sub_type", "persistent"):                                   true,
		condition("StringEquals", "saml:doc", w.main.id+"/Corp"):                                   true,
		condition("StringEquals", "saml:namequalifier", base64.StdEncoding.EncodeToString(sum[:])): true,
		condition("ForAnyValue:StringEquals", "saml:eduPersonAffiliation", "staff"):                true,
		condition("ForAllValues:StringEquals", "saml:edupersonaffiliation", "staff"):               false,
		condition("ForAllValues:StringLike", "saml:edupersonaffiliation", "staff", "faculty"):      true,
		condition("StringEquals", "saml:mail", "ana@corp.example"):                                 true,
		condition("StringEquals", "saml:cn", "ana"):                                                false,
		condition("StringEquals", "sts:RoleSessionName", "ana"):                                    true,
		condition("StringEquals", "aws:FederatedProvider", w.provider):                             true,
	} {
		check.Must(t, w.main.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: new("r"), PolicyDocument: new(document(trust(federated(w.provider), bySAML, c)))})
		l := w.login(role)
		l.Attributes = append(l.Attributes, samltest.Attribute{Name: "urn:oid:1.3.6.1.4.1.5923.1.1.1.1", Values: []string{"staff", "faculty"}},
			samltest.Attribute{Name: "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress", Values: []string{"ana@corp.example"}},
			samltest.Attribute{Name: "0.9.2342.19200300100.1.3", Values: []string{"second@corp.example"}})
		got := check.Try(w.sts(login{}).AssumeRoleWithSAML, w.asking(role, w.idp.Text(l)))()
		if got != "ok" && got != mayNotSAML || (got == "ok") != want {
			t.Errorf("%s: %s", c, got)
		}
	}
}

// TestSAMLRecipient: a server that has an address of its own for assertions takes none that are
// meant for AWS.
func TestSAMLRecipient(t *testing.T) {
	t.Parallel()
	const own = "https://coffer.corp.example/saml"
	w := newSAML(t, coffertest.With(func(c *server.Config) { c.SAMLRecipient = own }))
	role := w.main.role(t, "r", []string{trust(federated(w.provider), bySAML, condition("StringEquals", "saml:aud", own))})
	as := func(recipient, audience string) func() string {
		l := w.login(role)
		l.Recipient, l.Audience = recipient, audience
		return check.Try(w.sts(login{}).AssumeRoleWithSAML, w.asking(role, w.idp.Text(l)))
	}
	check.Run(t, []check.Rule{
		{"its own", as(own, own), "ok"},
		{"its own, audience as on AWS", as(own, "urn:amazon:webservices"), "ok"},
		{"AWS's", as("https://signin.aws.amazon.com/saml", "urn:amazon:webservices"), "InvalidIdentityToken: Response does not contain the required recipient."},
	})
}
