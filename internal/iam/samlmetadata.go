package iam

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// The name spaces of "Metadata for the OASIS Security Assertion Markup Language
// (SAML) V2.0" and of XML Signature.
const (
	samlMetadata = "urn:oasis:names:tc:SAML:2.0:metadata"
	samlProtocol = "urn:oasis:names:tc:SAML:2.0:protocol"
	xmlSignature = "http://www.w3.org/2000/09/xmldsig#"
)

const (
	maxMetadataDepth = 32    // of elements; real ones have a dozen
	maxCertificate   = 16384 // bytes of base64
	maxEntityID      = 1024  // characters ("SAML V2.0", section 8.3.6)
)

// identityProvider is what SAML metadata says of an identity provider.
type identityProvider struct {
	EntityID     string
	ValidUntil   time.Time // zero: the metadata does not say
	Certificates [][]byte  // DER, of the keys that sign
}

var errMetadata = errors.New("SAML metadata")

// parseMetadata reads the metadata document of an identity provider: one
// EntityDescriptor with an IDPSSODescriptor for SAML 2.0 that has at least one
// certificate for signatures and a place to sign in at. The signature that
// metadata may have is not verified: whoever may create a provider is believed.
//
// The reader takes elements by name space and place, never by name alone, and
// refuses document types, so that what it sees is what every other reader sees.
func parseMetadata(text string) (*identityProvider, error) {
	m := metadataReader{decoder: xml.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "\uFEFF")))}
	m.decoder.CharsetReader = func(label string, _ io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("%w: encoding %.32q", errMetadata, label)
	}
	for {
		t, err := m.decoder.Token()
		if err == io.EOF {
			return m.result()
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errMetadata, err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			err = m.start(t)
		case xml.EndElement:
			err = m.end()
		case xml.CharData:
			err = m.text(t)
		case xml.Directive:
			err = fmt.Errorf("%w: a document type", errMetadata)
		}
		if err != nil {
			return nil, err
		}
	}
}

type metadataReader struct {
	decoder *xml.Decoder
	path    []xml.Name // of the element at hand

	found       identityProvider
	roots       int
	descriptors int
	signIn      bool // a SingleSignOnService
	signs       bool // the KeyDescriptor at hand is for signatures
	certificate strings.Builder
}

func (m *metadataReader) start(e xml.StartElement) error {
	if len(m.path) == maxMetadataDepth {
		return fmt.Errorf("%w: nested too deep", errMetadata)
	}
	m.path = append(m.path, e.Name)
	for i, a := range e.Attr { // XML forbids it, and the decoder lets it pass
		if slices.ContainsFunc(e.Attr[:i], func(b xml.Attr) bool { return b.Name == a.Name }) {
			return fmt.Errorf("%w: an attribute twice", errMetadata)
		}
	}
	switch {
	case len(m.path) == 1:
		return m.entity(e)
	case m.at("IDPSSODescriptor"):
		if slices.Contains(strings.Fields(attribute(e, "protocolSupportEnumeration")), samlProtocol) {
			m.descriptors++
		}
	case m.at("IDPSSODescriptor", "SingleSignOnService"):
		m.signIn = m.signIn || attribute(e, "Location") != ""
	case m.at("IDPSSODescriptor", "KeyDescriptor"):
		use := attribute(e, "use")
		m.signs = use == "" || use == "signing"
	case m.inCertificate():
		m.certificate.Reset()
	}
	return nil
}

// entity reads the root element.
func (m *metadataReader) entity(e xml.StartElement) error {
	if m.roots++; m.roots > 1 || e.Name != (xml.Name{Space: samlMetadata, Local: "EntityDescriptor"}) {
		return fmt.Errorf("%w: the root is not one EntityDescriptor", errMetadata)
	}
	m.found.EntityID = attribute(e, "entityID")
	if m.found.EntityID == "" || len(m.found.EntityID) > maxEntityID {
		return fmt.Errorf("%w: no entityID, or too long a one", errMetadata)
	}
	if until := attribute(e, "validUntil"); until != "" {
		t, err := time.Parse(time.RFC3339, until)
		if err != nil {
			t, err = time.Parse("2006-01-02T15:04:05", until) // xs:dateTime without a zone; SAML means UTC
		}
		if err != nil {
			return fmt.Errorf("%w: validUntil is no time", errMetadata)
		}
		m.found.ValidUntil = t.UTC()
	}
	return nil
}

func (m *metadataReader) end() error {
	defer func() { m.path = m.path[:len(m.path)-1] }()
	if !m.inCertificate() || !m.signs {
		return nil
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(m.certificate.String()), ""))
	if err != nil {
		return fmt.Errorf("%w: a certificate that is not base64", errMetadata)
	}
	if _, err := signingCertificate(der); err != nil {
		return fmt.Errorf("%w: %w", errMetadata, err)
	}
	// One too many is kept, to be refused for.
	if len(m.found.Certificates) <= maxSAMLKeys && !slices.ContainsFunc(m.found.Certificates, func(c []byte) bool { return string(c) == string(der) }) {
		m.found.Certificates = append(m.found.Certificates, der)
	}
	return nil
}

func (m *metadataReader) text(t xml.CharData) error {
	if !m.inCertificate() {
		return nil
	}
	if m.certificate.Len()+len(t) > maxCertificate {
		return fmt.Errorf("%w: a certificate that is too long", errMetadata)
	}
	m.certificate.Write(t)
	return nil
}

// at reports whether the element at hand is at a path below the root, in the
// metadata name space.
func (m *metadataReader) at(names ...string) bool {
	if len(m.path) != 1+len(names) {
		return false
	}
	for i, name := range names {
		if m.path[1+i] != (xml.Name{Space: samlMetadata, Local: name}) {
			return false
		}
	}
	return true
}

// inCertificate reports whether the element at hand is an X509Certificate of a key of the
// identity provider.
func (m *metadataReader) inCertificate() bool {
	if len(m.path) != 6 || m.path[1] != (xml.Name{Space: samlMetadata, Local: "IDPSSODescriptor"}) || m.path[2] != (xml.Name{Space: samlMetadata, Local: "KeyDescriptor"}) {
		return false
	}
	for i, name := range [...]string{"KeyInfo", "X509Data", "X509Certificate"} {
		if m.path[3+i] != (xml.Name{Space: xmlSignature, Local: name}) {
			return false
		}
	}
	return true
}

func (m *metadataReader) result() (*identityProvider, error) {
	switch {
	case m.roots == 0:
		return nil, fmt.Errorf("%w: empty", errMetadata)
	case m.descriptors == 0:
		return nil, fmt.Errorf("%w: no IDPSSODescriptor for SAML 2.0", errMetadata)
	case !m.signIn:
		return nil, fmt.Errorf("%w: no SingleSignOnService", errMetadata)
	case len(m.found.Certificates) == 0:
		return nil, fmt.Errorf("%w: no certificate for signatures", errMetadata)
	}
	return &m.found, nil
}

// attribute is the value of an attribute without name space.
func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
