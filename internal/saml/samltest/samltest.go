// Package samltest is a SAML identity provider for tests.
package samltest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// Provider is an identity provider with a key.
type Provider struct {
	EntityID    string
	Certificate *x509.Certificate
	key         crypto.Signer
}

// New makes one with a new RSA key.
func New(entityID string) *Provider {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	return newProvider(entityID, key)
}

// Fixed makes one with the ECDSA key of this number, the same in every process.
func Fixed(entityID string, number byte) *Provider {
	raw := make([]byte, 32)
	raw[31] = number
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	must(err)
	return newProvider(entityID, key)
}

// newProvider makes the certificate. It expired long ago, which means nothing.
func newProvider(entityID string, key crypto.Signer) *Provider {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"},
		NotBefore: time.Unix(1_000_000_000, 0), NotAfter: time.Unix(1_100_000_000, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	c, err := x509.ParseCertificate(der)
	must(err)
	return &Provider{entityID, c, key}
}

// Metadata is the provider's metadata document.
func (p *Provider) Metadata() string {
	return `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + p.EntityID + `">` +
		`<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor use="signing">` +
		`<KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` +
		base64.StdEncoding.EncodeToString(p.Certificate.Raw) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor>` +
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example/sso"/>` +
		`</IDPSSODescriptor></EntityDescriptor>`
}

// Login is what a response tells of one who signed in.
type Login struct {
	Issuer, Subject, Format, Recipient, Audience string
	Issued, NotBefore, NotOnOrAfter, SessionEnd  time.Time
	Attributes                                   []Attribute
	Extra                                        string // XML, at the assertion's end
}

// Attribute is one of its attributes.
type Attribute struct {
	Name   string
	Values []string
}

const attributes = "https://aws.amazon.com/SAML/Attributes/"

// SignIn is a login as AWS wants it.
func (p *Provider) SignIn(now time.Time, subject, role, provider string) Login {
	return Login{
		Issuer: p.EntityID, Subject: subject, Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
		Recipient: "https://signin.aws.amazon.com/saml", Audience: "urn:amazon:webservices",
		Issued: now, NotBefore: now.Add(-time.Minute), NotOnOrAfter: now.Add(5 * time.Minute),
		Attributes: []Attribute{
			{attributes + "Role", []string{role + "," + provider}},
			{attributes + "RoleSessionName", []string{subject}},
		},
	}
}

// With is the login with one more of AWS's attributes; With("Role") replaces what is there.
func (l Login) With(name string, values ...string) Login {
	var kept []Attribute
	for _, a := range l.Attributes {
		if a.Name != attributes+name {
			kept = append(kept, a)
		}
	}
	if len(values) > 0 {
		kept = append(kept, Attribute{attributes + name, values})
	}
	l.Attributes = kept
	return l
}

// Assertion is the assertion of a login, not signed.
func (l Login) Assertion() *etree.Element {
	var b strings.Builder
	at := func(name string, t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return fmt.Sprintf(" %s=%q", name, t.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	fmt.Fprintf(&b, `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Version="2.0" ID="_%s"%s>`, id(), at("IssueInstant", l.Issued))
	fmt.Fprintf(&b, `<saml:Issuer>%s</saml:Issuer><saml:Subject><saml:NameID Format="%s">%s</saml:NameID>`, l.Issuer, l.Format, l.Subject)
	fmt.Fprintf(&b, `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData%s Recipient="%s"/></saml:SubjectConfirmation></saml:Subject>`,
		at("NotOnOrAfter", l.NotOnOrAfter), l.Recipient)
	fmt.Fprintf(&b, `<saml:Conditions%s%s>`, at("NotBefore", l.NotBefore), at("NotOnOrAfter", l.NotOnOrAfter))
	if l.Audience != "" {
		fmt.Fprintf(&b, `<saml:AudienceRestriction><saml:Audience>%s</saml:Audience></saml:AudienceRestriction>`, l.Audience)
	}
	fmt.Fprintf(&b, `</saml:Conditions><saml:AuthnStatement AuthnInstant="2000-01-01T00:00:00Z"%s/><saml:AttributeStatement>`, at("SessionNotOnOrAfter", l.SessionEnd))
	for _, a := range l.Attributes {
		fmt.Fprintf(&b, `<saml:Attribute Name="%s">`, a.Name)
		for _, v := range a.Values {
			fmt.Fprintf(&b, `<saml:AttributeValue>%s</saml:AttributeValue>`, v)
		}
		b.WriteString(`</saml:Attribute>`)
	}
	b.WriteString(`</saml:AttributeStatement>` + l.Extra + `</saml:Assertion>`)
	return Element(b.String())
}

// Response puts an assertion into a response, not signed.
func Response(assertion *etree.Element) *etree.Element {
	r := Element(`<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" Version="2.0" ID="_` + id() + `">` +
		`<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status></samlp:Response>`)
	r.AddChild(assertion)
	return r
}

// Sign signs an element as an enveloped signature.
func (p *Provider) Sign(e *etree.Element) *etree.Element {
	if _, ok := p.key.(*ecdsa.PrivateKey); ok {
		return p.SignWith(e, dsig.ECDSASHA256SignatureMethod)
	}
	return p.SignWith(e, dsig.RSASHA256SignatureMethod)
}

// SignWith signs under an algorithm.
func (p *Provider) SignWith(e *etree.Element, algorithm string) *etree.Element {
	ctx, err := dsig.NewSigningContext(p.key, [][]byte{p.Certificate.Raw})
	must(err)
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	must(ctx.SetSignatureMethod(algorithm))
	signed, err := ctx.SignEnveloped(e)
	must(err)
	return signed
}

// Text is the response to a login, with its assertion signed, as a client sends it.
func (p *Provider) Text(l Login) string { return Encode(Response(p.Sign(l.Assertion()))) }

// Encode is an element's XML in base64.
func Encode(e *etree.Element) string { return base64.StdEncoding.EncodeToString([]byte(XML(e))) }

// XML is an element's XML.
func XML(e *etree.Element) string {
	doc := etree.NewDocument()
	doc.SetRoot(e.Copy())
	s, err := doc.WriteToString()
	must(err)
	return s
}

// Element reads XML.
func Element(s string) *etree.Element {
	doc := etree.NewDocument()
	must(doc.ReadFromString(s))
	return doc.Root()
}

func id() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
