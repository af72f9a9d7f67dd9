package saml_test

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"coffer/internal/saml"
	"coffer/internal/saml/samltest"
)

var (
	idp   = samltest.New("https://idp.example/")
	other = samltest.New("https://idp.example/") // who knows its name, and not its key
	now   = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	login = idp.SignIn(now, "ana", "arn:aws:iam::111122223333:role/r", "arn:aws:iam::111122223333:saml-provider/p")
)

func verify(text string, certificates ...*x509.Certificate) (*saml.Assertion, error) {
	r, err := saml.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	if certificates == nil {
		certificates = []*x509.Certificate{idp.Certificate}
	}
	return r.Verify(certificates)
}

func TestWhatIsRead(t *testing.T) {
	l := login.With("PrincipalTag:team", "blue").With("TransitiveTagKeys", "team", "cost")
	l.SessionEnd = now.Add(time.Hour)
	for what, text := range map[string]string{
		"assertion signed": idp.Text(l),
		"response signed":  samltest.Encode(idp.Sign(samltest.Response(l.Assertion()))),
		"both signed":      samltest.Encode(idp.Sign(samltest.Response(idp.Sign(l.Assertion())))),
		"SHA-512":          samltest.Encode(samltest.Response(idp.SignWith(l.Assertion(), dsig.RSASHA512SignatureMethod))),
	} {
		a, err := verify(text)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if a.Issuer != idp.EntityID || a.Subject != "ana" || a.SubjectFormat != login.Format || a.Recipient != login.Recipient || a.ID == "" ||
			!a.Issued.Equal(now) || !a.NotBefore.Equal(now.Add(-time.Minute)) || !a.NotOnOrAfter.Equal(now.Add(5*time.Minute)) || !a.SessionEnd.Equal(now.Add(time.Hour)) {
			t.Errorf("%s: %+v", what, a)
		}
		if !a.For("x", "urn:amazon:webservices") || a.For("x") || a.For() {
			t.Errorf("%s: audience", what)
		}
		if got := a.Values("https://aws.amazon.com/SAML/Attributes/TransitiveTagKeys"); !slices.Equal(got, []string{"team", "cost"}) {
			t.Errorf("%s: %q", what, got)
		}
		if a.Values("https://aws.amazon.com/saml/attributes/role") != nil || len(a.Attributes()) != 4 {
			t.Errorf("%s: attributes %+v", what, a.Attributes())
		}
	}
}

func TestAnyOfSeveralCertificates(t *testing.T) {
	text := idp.Text(login)
	if _, err := verify(text, other.Certificate, idp.Certificate); err != nil {
		t.Error(err)
	}
	if _, err := verify(text, other.Certificate); !errors.Is(err, saml.ErrSignature) {
		t.Errorf("another certificate: %v", err)
	}
	r, err := saml.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Verify(nil); !errors.Is(err, saml.ErrSignature) {
		t.Errorf("no certificate: %v", err)
	}
}

// TestWrapping are the attacks of "On Breaking SAML: Be Whoever You Want to Be" (Somorovsky et
// al., 2012) and later ones: a genuine signature somewhere in a document that says something
// else. None may be taken for root; what verifies must say what was signed.
func TestWrapping(t *testing.T) {
	genuine := func() *etree.Element { return idp.Sign(login.Assertion()) }
	evil := func() *etree.Element {
		l := login
		l.Subject = "root"
		return l.Assertion()
	}
	signatureOf := func(e *etree.Element) *etree.Element {
		for _, c := range e.ChildElements() {
			if c.Tag == "Signature" {
				return c
			}
		}
		t.Fatal("no signature")
		return nil
	}
	sameID := func(to, from *etree.Element) *etree.Element {
		to.CreateAttr("ID", from.SelectAttrValue("ID", ""))
		return to
	}
	for name, build := range map[string]func() *etree.Element{
		"not signed": func() *etree.Element { return samltest.Response(evil()) },
		"forged":     func() *etree.Element { return samltest.Response(other.Sign(evil())) },
		"the evil one first, the genuine one beside": func() *etree.Element {
			r := samltest.Response(evil())
			r.AddChild(genuine())
			return r
		},
		"the genuine one first": func() *etree.Element {
			r := samltest.Response(genuine())
			r.AddChild(evil())
			return r
		},
		"the genuine one within": func() *etree.Element {
			e := evil()
			e.AddChild(genuine())
			return samltest.Response(e)
		},
		"its signature moved": func() *etree.Element {
			g := genuine()
			e := sameID(evil(), g)
			e.AddChild(signatureOf(g).Copy())
			return samltest.Response(e)
		},
		"its signature moved, the genuine one in it": func() *etree.Element {
			g := genuine()
			e, s := sameID(evil(), g), signatureOf(g).Copy()
			object := etree.NewElement("Object")
			object.AddChild(g)
			s.AddChild(object)
			e.AddChild(s)
			return samltest.Response(e)
		},
		"the genuine one in an extension of the response": func() *etree.Element {
			g := genuine()
			r := samltest.Response(sameID(evil(), g))
			x := r.CreateElement("samlp:Extensions")
			x.AddChild(g)
			r.AddChild(signatureOf(g).Copy())
			return r
		},
		"changed after signing": func() *etree.Element {
			g := genuine()
			g.FindElement(".//NameID").SetText("root")
			return samltest.Response(g)
		},
		"an attribute added": func() *etree.Element {
			g := genuine()
			g.FindElement(".//AttributeStatement").AddChild(samltest.Element(`<saml:Attribute xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Name="x"/>`))
			return samltest.Response(g)
		},
		"a reference to everything": func() *etree.Element {
			g := genuine()
			g.FindElement(".//Reference").CreateAttr("URI", "")
			return samltest.Response(g)
		},
		"another transform": func() *etree.Element {
			g := genuine()
			g.FindElement(".//Transform").CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116")
			return samltest.Response(g)
		},
		"SHA-1": func() *etree.Element {
			return samltest.Response(idp.SignWith(evil(), dsig.RSASHA1SignatureMethod))
		},
		"two signatures": func() *etree.Element {
			g := genuine()
			g.AddChild(signatureOf(g).Copy())
			return samltest.Response(g)
		},
		"a response of another's key around": func() *etree.Element { return other.Sign(samltest.Response(genuine())) },
	} {
		if a, err := verify(samltest.Encode(build())); err == nil {
			t.Errorf("%s: verifies, and says %+v", name, a)
		} else if !errors.Is(err, saml.ErrSignature) && !errors.Is(err, saml.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestComments: "ana<!---->.evil" must not be read as "ana".
func TestComments(t *testing.T) {
	text := samltest.XML(samltest.Response(idp.Sign(login.Assertion())))
	a, err := verify(base64.StdEncoding.EncodeToString([]byte(strings.Replace(text, ">ana<", ">a<!-- -->na<", 1))))
	if err == nil && a.Subject != "ana" {
		t.Errorf("subject %q", a.Subject)
	}
	l := login
	l.Subject = "ana<!-- -->.evil"
	if a, err = verify(idp.Text(l)); err == nil && a.Subject != "ana.evil" {
		t.Errorf("subject %q", a.Subject)
	}
}

func TestWhatIsNoResponse(t *testing.T) {
	good := samltest.XML(samltest.Response(idp.Sign(login.Assertion())))
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	change := func(edit func(*samltest.Login)) string {
		l := login
		edit(&l)
		return idp.Text(l)
	}
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"empty":              {"", saml.ErrFormat},
		"not base64":         {"<a/>", saml.ErrFormat},
		"not XML":            {encode("hello"), saml.ErrFormat},
		"cut":                {encode(good[:len(good)/2]), saml.ErrFormat},
		"two roots":          {encode(good + good), saml.ErrFormat},
		"another root":       {encode(samltest.XML(idp.Sign(login.Assertion()))), saml.ErrFormat},
		"a DTD":              {encode(`<!DOCTYPE a [<!ENTITY b "c">]>` + good), saml.ErrFormat},
		"an entity":          {encode(strings.Replace(good, ">ana<", ">&ana;<", 1)), saml.ErrFormat},
		"a stylesheet":       {encode(`<?xml-stylesheet href="x"?>` + good), saml.ErrFormat},
		"another charset":    {encode(`<?xml version="1.0" encoding="UTF-7"?>` + good), saml.ErrFormat},
		"too deep":           {encode(strings.Repeat("<a>", 5000) + strings.Repeat("</a>", 5000)), saml.ErrFormat},
		"too many":           {encode("<a>" + strings.Repeat("<b/>", 5000) + "</a>"), saml.ErrFormat},
		"too long":           {encode("<a>" + strings.Repeat(" ", 100_000) + "</a>"), saml.ErrFormat},
		"an attribute twice": {encode(strings.Replace(good, `Version="2.0"`, `Version="2.0" Version="2.0"`, 1)), saml.ErrFormat},
		"two colons":         {encode(strings.Replace(good, `<samlp:Status>`, `<samlp:x:Status>`, 1)), saml.ErrFormat},
		"failed":             {encode(strings.Replace(good, "status:Success", "status:Responder", 1)), saml.ErrFormat},
		"encrypted":          {encode(`<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"><EncryptedAssertion xmlns="urn:oasis:names:tc:SAML:2.0:assertion"/></samlp:Response>`), saml.ErrEncrypted},
		"no subject":         {change(func(l *samltest.Login) { l.Subject = "" }), saml.ErrFormat},
		"no recipient":       {change(func(l *samltest.Login) { l.Recipient = "" }), saml.ErrFormat},
		"no end":             {change(func(l *samltest.Login) { l.NotOnOrAfter = time.Time{} }), saml.ErrFormat},
		"no beginning":       {change(func(l *samltest.Login) { l.Issued = time.Time{} }), saml.ErrFormat},
		"a second subject": {change(func(l *samltest.Login) {
			l.Extra = `<saml:Subject><saml:NameID>root</saml:NameID></saml:Subject>`
		}), saml.ErrFormat},
	} {
		if a, err := verify(c.text); !errors.Is(err, c.want) || a != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
