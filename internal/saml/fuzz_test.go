package saml_test

import (
	"crypto/x509"
	"encoding/base64"
	"testing"

	"coffer/internal/saml"
	"coffer/internal/saml/samltest"
)

// FuzzResponse looks for a document that makes reading or verifying it panic, and for one
// that verifies and says what was not signed.
func FuzzResponse(f *testing.F) {
	idp := samltest.Fixed(idp.EntityID, 1)
	f.Add([]byte(samltest.XML(samltest.Response(idp.Sign(login.Assertion())))))
	f.Add([]byte(samltest.XML(idp.Sign(samltest.Response(login.Assertion())))))
	f.Add([]byte(samltest.XML(samltest.Response(login.Assertion()))))
	f.Add([]byte(samltest.XML(samltest.Response(login.Assertion()))[:200]))
	f.Add([]byte(`<Response xmlns="urn:oasis:names:tc:SAML:2.0:protocol"><Status><StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></Status><Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/></Response>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := saml.Parse([]byte(base64.StdEncoding.EncodeToString(b)))
		if (err == nil) == (r == nil) {
			t.Fatalf("%v, %v", r, err)
		}
		if err != nil {
			return
		}
		a, err := r.Verify([]*x509.Certificate{idp.Certificate})
		if err == nil && (a.Subject != "ana" || a.Issuer != idp.EntityID || len(a.Attributes()) != 2) {
			t.Fatalf("%s\nverifies as %+v", b, a)
		}
	})
}
