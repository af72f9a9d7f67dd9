// Package saml verifies the responses of SAML 2.0 identity providers.
//
// It promises: an [Assertion] holds only what a certificate of the provider signed. It
// is read from the bytes over which the signature was computed, never from the
// document that came, so that nothing put around, beside or into a signed
// element ("signature wrapping") is seen. Documents are bounded in size, depth and number of
// elements before anything is computed over them; they have no DTD. SHA-1 is not
// accepted. The package fetches nothing and reads no clock: times, audience and recipient
// are for the caller to judge.
//
// Encrypted assertions are not read.
package saml

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

// Name spaces of "Assertions and Protocols for the OASIS Security Assertion Markup
// Language (SAML) V2.0" and of XML Signature.
const (
	protocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	assertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	signature = "http://www.w3.org/2000/09/xmldsig#"
)

// MaxResponse is the longest response in base64, in bytes: AWS's limit of SAMLAssertion.
const MaxResponse = 100_000

var (
	// ErrFormat is returned for what is no usable response.
	ErrFormat = errors.New("saml: not a usable response")
	// ErrEncrypted says that the assertion is encrypted.
	ErrEncrypted = errors.New("saml: the assertion is encrypted")
	// ErrSignature says that no certificate of the provider signed the response
	// or its assertion.
	ErrSignature = errors.New("saml: the signature does not verify")
)

// Response is a response whose content is not to be believed before Verify.
type Response struct {
	root *etree.Element
}

// Parse reads a response in base64. The error wraps ErrFormat or ErrEncrypted.
func Parse(text []byte) (*Response, error) {
	if len(text) > MaxResponse {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrFormat, MaxResponse)
	}
	b, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return nil, fmt.Errorf("%w: not base64", ErrFormat)
	}
	if err := check(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(b); err != nil || doc.Root() == nil {
		return nil, fmt.Errorf("%w: not XML", ErrFormat)
	}
	root := doc.Root()
	if !is(root, protocol, "Response") {
		return nil, fmt.Errorf("%w: its root is no Response", ErrFormat)
	}
	if len(children(root, assertion, "EncryptedAssertion")) > 0 {
		return nil, ErrEncrypted
	}
	return &Response{root}, nil
}

// Verify returns the assertion, provided that the response or the assertion is
// signed with the key of one of the certificates. What the certificates say of
// themselves means nothing: the provider's metadata vouches for them. The error wraps
// ErrFormat, ErrEncrypted or ErrSignature.
func (r *Response) Verify(certificates []*x509.Certificate) (*Assertion, error) {
	if err := r.succeeded(); err != nil {
		return nil, err
	}
	if len(children(r.root, signature, "Signature")) > 0 {
		signed, err := verified(r.root, certificates)
		if err != nil {
			return nil, err
		}
		if !is(signed, protocol, "Response") {
			return nil, fmt.Errorf("%w: what is signed is no Response", ErrSignature)
		}
		if len(children(signed, assertion, "EncryptedAssertion")) > 0 {
			return nil, ErrEncrypted
		}
		a, err := only(signed, assertion, "Assertion")
		if err != nil {
			return nil, err
		}
		return readAssertion(a)
	}
	a, err := only(r.root, assertion, "Assertion")
	if err != nil {
		return nil, err
	}
	// The signature is over the assertion with the name spaces that are declared around it.
	around, err := etreeutils.NSBuildParentContext(a)
	if err != nil {
		return nil, fmt.Errorf("%w: name spaces", ErrFormat)
	}
	if a, err = etreeutils.NSDetatch(around, a); err != nil {
		return nil, fmt.Errorf("%w: name spaces", ErrFormat)
	}
	signed, err := verified(a, certificates)
	if err != nil {
		return nil, err
	}
	if !is(signed, assertion, "Assertion") {
		return nil, fmt.Errorf("%w: what is signed is no Assertion", ErrSignature)
	}
	return readAssertion(signed)
}

// succeeded reads the status, which is there for clients: a response with another
// has no assertion to believe.
func (r *Response) succeeded() error {
	status, err := only(r.root, protocol, "Status")
	if err != nil {
		return err
	}
	code, err := only(status, protocol, "StatusCode")
	if err != nil {
		return err
	}
	if v := code.SelectAttrValue("Value", ""); v != "urn:oasis:names:tc:SAML:2.0:status:Success" {
		return fmt.Errorf("%w: its status is %.100q", ErrFormat, v)
	}
	return nil
}

// Algorithms that signatures may use. Transforms are those that SAML allows
// ("SAML V2.0", section 5.4.4); the others have no use but to sign less than it seems.
var (
	signing = []string{
		dsig.RSASHA256SignatureMethod, dsig.RSASHA384SignatureMethod, dsig.RSASHA512SignatureMethod,
		dsig.ECDSASHA256SignatureMethod, dsig.ECDSASHA384SignatureMethod, dsig.ECDSASHA512SignatureMethod,
	}
	digests = []string{
		"http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmlenc#sha512",
	}
	canonical = []string{
		dsig.CanonicalXML10ExclusiveAlgorithmId.String(), dsig.CanonicalXML10ExclusiveWithCommentsAlgorithmId.String(),
	}
	transforms = append([]string{dsig.EnvelopedSignatureAltorithmId.String()}, canonical...)
)

// verified returns a copy of the element, read from what its signature was
// computed over.
func verified(e *etree.Element, certificates []*x509.Certificate) (*etree.Element, error) {
	if err := checkSignature(e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	err := errors.New("there is no certificate")
	for _, c := range certificates {
		v := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{c}})
		v.Clock = dsig.NewFakeClockAt(c.NotBefore) // its dates mean nothing
		signed, failed := v.Validate(e)
		if failed == nil && signed != nil {
			return signed, nil
		}
		err = failed
	}
	return nil, fmt.Errorf("%w: %w", ErrSignature, err)
}

// checkSignature asks of an element's signature what SAML asks of it: it is the
// only one, a child of what it signs, refers to just that, and uses algorithms that are
// fit for it. The verification itself is not as strict.
func checkSignature(e *etree.Element) error {
	s, err := only(e, signature, "Signature")
	if err != nil {
		return err
	}
	info, err := only(s, signature, "SignedInfo")
	if err != nil {
		return err
	}
	reference, err := only(info, signature, "Reference")
	if err != nil {
		return err
	}
	id := e.SelectAttrValue("ID", "")
	if id == "" || reference.SelectAttrValue("URI", "") != "#"+id {
		return errors.New("the signature is of something else")
	}
	for _, rule := range []struct {
		under *etree.Element
		name  string
		good  []string
	}{
		{info, "SignatureMethod", signing}, {info, "CanonicalizationMethod", canonical}, {reference, "DigestMethod", digests},
	} {
		m, err := only(rule.under, signature, rule.name)
		if err != nil {
			return err
		}
		if a := m.SelectAttrValue("Algorithm", ""); !slices.Contains(rule.good, a) {
			return fmt.Errorf("%s %.100q is not accepted", rule.name, a)
		}
	}
	list, err := only(reference, signature, "Transforms")
	if err != nil {
		return err
	}
	for _, t := range list.ChildElements() {
		if a := t.SelectAttrValue("Algorithm", ""); !slices.Contains(transforms, a) {
			return fmt.Errorf("transform %.100q is not accepted", a)
		}
	}
	return nil
}

// is reports whether an element has this name in this name space.
func is(e *etree.Element, space, name string) bool {
	return e != nil && e.Tag == name && e.NamespaceURI() == space
}

func children(e *etree.Element, space, name string) (out []*etree.Element) {
	for _, c := range e.ChildElements() {
		if is(c, space, name) {
			out = append(out, c)
		}
	}
	return out
}

// only returns the one child of a name.
func only(e *etree.Element, space, name string) (*etree.Element, error) {
	cs := children(e, space, name)
	if len(cs) != 1 {
		return nil, fmt.Errorf("%w: %d of %s in %s", ErrFormat, len(cs), name, e.Tag)
	}
	return cs[0], nil
}

// text is an element's text. ok is false if there is more than text in it: what a
// comment divides would be read as less than was signed.
func text(e *etree.Element) (s string, ok bool) {
	var b strings.Builder
	for _, c := range e.Child {
		d, ok := c.(*etree.CharData)
		if !ok {
			return "", false
		}
		b.WriteString(d.Data)
	}
	return strings.TrimSpace(b.String()), true
}

// instant reads an xs:dateTime of SAML, which is in UTC. Absent is zero.
func instant(e *etree.Element, name string) (time.Time, error) {
	v := e.SelectAttrValue(name, "")
	if v == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s of %s is no time", ErrFormat, name, e.Tag)
	}
	return t, nil
}
