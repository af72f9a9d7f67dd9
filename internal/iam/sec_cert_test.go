package iam

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"
)

// Ten certificates with moduli of ninety thousand bits are metadata like any other, and each
// unsigned AssumeRoleWithSAML tries them all.
func TestSecHugeCertificates(t *testing.T) {
	signer, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	const n = 11700
	var text strings.Builder
	for i := range 10 {
		b := make([]byte, n)
		rand.Read(b)
		b[0] |= 0x80
		b[n-1] |= 1
		tpl := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &rsa.PublicKey{N: new(big.Int).SetBytes(b), E: 1<<31 - 1}, signer)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(`<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` + base64.StdEncoding.EncodeToString(der) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`)
	}
	doc := `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="x"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` + text.String() + `<SingleSignOnService Location="https://x/"/></IDPSSODescriptor></EntityDescriptor>`
	idp, err := parseMetadata(doc)
	if err != nil {
		t.Fatalf("refused, as it should be: %v", err)
	}
	sig := make([]byte, n)
	rand.Read(sig)
	sig[0] = 0
	start := time.Now()
	for _, der := range idp.Certificates {
		c, _ := x509.ParseCertificate(der)
		err = c.CheckSignature(x509.SHA256WithRSA, []byte("x"), sig)
	}
	t.Errorf("%d certificates accepted; to try one signature of %d bytes with them takes %v (%v)", len(idp.Certificates), n, time.Since(start), err)
}
