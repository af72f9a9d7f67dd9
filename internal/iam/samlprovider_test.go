package iam_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"coffer/internal/coffertest/check"
	coffer "coffer/internal/iam"
)

// certificate is a new self-signed certificate, as metadata has it.
func certificate(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// certificateOf is a certificate of a key that need not have a private half.
func certificateOf(t testing.TB, key any) string {
	t.Helper()
	by, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key, by)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// modulus is an RSA key of so many bits, of which nobody knows whether it is one.
func modulus(bits, exponent int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: exponent}
}

func onCurve(t testing.TB, c elliptic.Curve) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

// Each unsigned AssumeRoleWithSAML has a signature tried with the provider's keys: their sizes
// are looked at when they come in, and when they are used.
func TestSAMLKeysHaveUsualSizes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, tc := range []struct {
		name string
		key  any
		ok   bool
	}{
		{"RSA 1024", modulus(1024, 65537), false},
		{"RSA 2047", modulus(2047, 65537), false},
		{"RSA 2048", modulus(2048, 65537), true},
		{"RSA 8192", modulus(8192, 1<<31-1), true},
		{"RSA 8193", modulus(8193, 65537), false},
		{"RSA 90000", modulus(90000, 65537), false},
		{"a long exponent", modulus(2048, 1<<31+1), false},
		{"P-224", onCurve(t, elliptic.P224()), false},
		{"P-256", onCurve(t, elliptic.P256()), true},
		{"P-384", onCurve(t, elliptic.P384()), true},
		{"P-521", onCurve(t, elliptic.P521()), true},
		{"Ed25519", ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)), false},
	} {
		text := certificateOf(t, tc.key)
		want := "ok"
		if !tc.ok {
			want = "InvalidInput: Could not parse metadata"
		}
		document := metadata("", keyDescriptor("signing", text))
		if got := check.Try(w.CreateSAMLProvider, &iam.CreateSAMLProviderInput{Name: new(fmt.Sprintf("p%d", i)), SAMLMetadataDocument: &document})(); got != want {
			t.Errorf("%s: %s", tc.name, got)
		}
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		stored := coffer.SAMLProvider{Certificates: [][]byte{der}}
		if _, err := stored.SigningCertificates(); (err == nil) != tc.ok {
			t.Errorf("%s, stored: %v", tc.name, err)
		}
		stored.Certificates = slices.Repeat(stored.Certificates, 11)
		if _, err := stored.SigningCertificates(); err == nil {
			t.Errorf("%s: eleven of them are used", tc.name)
		}
	}
}

func keyDescriptor(use, certificate string) string {
	if use != "" {
		use = ` use="` + use + `"`
	}
	return "<md:KeyDescriptor" + use + "><ds:KeyInfo><ds:X509Data><ds:X509Certificate>\n" + certificate + "\n</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
}

const (
	samlEntity = `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="https://idp.example/x"`
	samlIDP    = `<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">`
	samlSignOn = `<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example/sso"/>`
)

// metadata is an identity provider's, with these attributes, and these elements in its
// IDPSSODescriptor, beside padding that makes it as long as AWS asks for.
func metadata(attributes, elements string) string {
	return samlEntity + attributes + ">" + samlIDP + elements + samlSignOn + "</md:IDPSSODescriptor></md:EntityDescriptor><!--" + strings.Repeat(" ", 1000) + "-->"
}

func TestSAMLProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := certificate(t), certificate(t)
	text := "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + metadata(` validUntil="2031-02-03T04:05:06.789Z"`, keyDescriptor("signing", one)+keyDescriptor("encryption", two))
	made := check.Must(t, w.CreateSAMLProvider, &iam.CreateSAMLProviderInput{Name: new("Corp.IdP"), SAMLMetadataDocument: &text, Tags: tags("team=blue")})
	arn := *made.SAMLProviderArn
	check.Equal(t, "ARN", arn, w.arn("saml-provider/Corp.IdP"))
	check.Equal(t, "tags", texts(made.Tags), "team=blue")
	got := check.Must(t, w.GetSAMLProvider, &iam.GetSAMLProviderInput{SAMLProviderArn: &arn})
	check.Equal(t, "metadata as given", *got.SAMLMetadataDocument, text)
	check.Equal(t, "valid until", got.ValidUntil.Format(time.RFC3339), "2031-02-03T04:05:06Z")
	check.Equal(t, "UUID", len(*got.SAMLProviderUUID) >= 22 && strings.Trim(*got.SAMLProviderUUID, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == "", true)
	check.Equal(t, "tags", texts(got.Tags), "team=blue")

	other := metadata("", keyDescriptor("", two))
	check.Must(t, w.UpdateSAMLProvider, &iam.UpdateSAMLProviderInput{SAMLProviderArn: &arn, SAMLMetadataDocument: &other})
	changed := check.Must(t, w.GetSAMLProvider, &iam.GetSAMLProviderInput{SAMLProviderArn: &arn})
	check.Equal(t, "other metadata", *changed.SAMLMetadataDocument, other)
	check.Equal(t, "the same provider", *changed.SAMLProviderUUID+changed.CreateDate.String(), *got.SAMLProviderUUID+got.CreateDate.String())
	check.Equal(t, "valid for a century", changed.ValidUntil.Year()-time.Now().UTC().Year(), 100)

	tagged := func() string {
		return texts(check.Must(t, w.ListSAMLProviderTags, &iam.ListSAMLProviderTagsInput{SAMLProviderArn: &arn}).Tags)
	}
	list := func() string {
		text := ""
		for _, p := range check.Must(t, w.ListSAMLProviders, &iam.ListSAMLProvidersInput{}).SAMLProviderList {
			text += *p.Arn + " " + p.ValidUntil.Format("2006")
		}
		return text
	}
	get := check.Try(w.GetSAMLProvider, &iam.GetSAMLProviderInput{SAMLProviderArn: &arn})
	drop := check.Try(w.DeleteSAMLProvider, &iam.DeleteSAMLProviderInput{SAMLProviderArn: &arn})
	missing := "NoSuchEntity: Manifest not found for arn " + arn
	check.Run(t, []check.Rule{
		{"tag", check.Try(w.TagSAMLProvider, &iam.TagSAMLProviderInput{SAMLProviderArn: &arn, Tags: tags("a=b")}), "ok"}, {"tags", tagged, "a=b team=blue"},
		{"untag", check.Try(w.UntagSAMLProvider, &iam.UntagSAMLProviderInput{SAMLProviderArn: &arn, TagKeys: []string{"A"}}), "ok"}, {"tags", tagged, "team=blue"},
		{"list", list, arn + " " + changed.ValidUntil.Format("2006")},
		{"the name is taken", check.Try(w.CreateSAMLProvider, &iam.CreateSAMLProviderInput{Name: new("corp.idp"), SAMLMetadataDocument: &text}), "EntityAlreadyExists: Provider with name corp.idp already exists."},
		{"encrypted assertions", check.Try(w.UpdateSAMLProvider, &iam.UpdateSAMLProviderInput{SAMLProviderArn: &arn, AssertionEncryptionMode: types.AssertionEncryptionModeTypeRequired}), "InvalidInput: Coffer does not decrypt SAML assertions: AssertionEncryptionMode and private keys cannot be set."},
		{"a private key", check.Try(w.CreateSAMLProvider, &iam.CreateSAMLProviderInput{Name: new("x"), SAMLMetadataDocument: &text, AddPrivateKey: new("key")}), "InvalidInput: Coffer does not decrypt SAML assertions: AssertionEncryptionMode and private keys cannot be set."},
		{"nothing to update", check.Try(w.UpdateSAMLProvider, &iam.UpdateSAMLProviderInput{SAMLProviderArn: &arn}), "InvalidInput: There is nothing to update."},
		{"delete", drop, "ok"}, {"delete again", drop, missing}, {"it is gone", get, missing}, {"list", list, ""},
		{"no tags", check.Try(w.ListSAMLProviderTags, &iam.ListSAMLProviderTagsInput{SAMLProviderArn: &arn}), missing},
		{"no update", check.Try(w.UpdateSAMLProvider, &iam.UpdateSAMLProviderInput{SAMLProviderArn: &arn, SAMLMetadataDocument: &other}), missing},
		{"the name is free", check.Try(w.CreateSAMLProvider, &iam.CreateSAMLProviderInput{Name: new("Corp.IdP"), SAMLMetadataDocument: &text}), "ok"},
	})
}

func TestSAMLMetadata(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := certificate(t)
	signing := keyDescriptor("signing", one)
	pad := "<!--" + strings.Repeat(" ", 1000) + "-->"
	const invalid = "InvalidInput: Could not parse metadata"
	n := 0
	create := func(text string) string {
		n++
		return check.Try(w.CreateSAMLProvider, &iam.CreateSAMLProviderInput{Name: new(fmt.Sprintf("p%d", n)), SAMLMetadataDocument: &text})()
	}
	var eleven string
	for range 11 {
		eleven += keyDescriptor("signing", certificate(t))
	}
	for _, tc := range []struct{ rule, text, want string }{
		{"as it should be", metadata("", signing), "ok"},
		{"a default name space", strings.NewReplacer("xmlns:md", "xmlns", "md:", "").Replace(metadata("", signing)), "ok"},
		{"with a byte order mark", "\uFEFF" + metadata("", signing), "ok"},
		{"a key for everything", metadata("", keyDescriptor("", one)), "ok"},
		{"white space and comments in the certificate", metadata("", keyDescriptor("signing", one[:20]+"\r\n <!-- x --> "+one[20:])), "ok"},
		{"signed metadata", metadata("", signing+"<md:Extensions><ds:Signature><ds:KeyInfo><ds:X509Data><ds:X509Certificate>AAAA</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature></md:Extensions>"), "ok"},
		{"the certificate of a service provider besides", strings.Replace(metadata("", signing), "</md:EntityDescriptor>", "<md:SPSSODescriptor>"+keyDescriptor("signing", "AAAA")+"</md:SPSSODescriptor></md:EntityDescriptor>", 1), "ok"},
		{"a time without zone", metadata(` validUntil="2031-02-03T04:05:06"`, signing), "ok"},
		{"ten keys", metadata("", eleven[:strings.LastIndex(eleven, "<md:KeyDescriptor")]), "ok"},
		{"eleven", metadata("", eleven), "LimitExceeded: Cannot exceed quota for KeysPerSAMLProvider: 10"},

		{"no XML", strings.Repeat("x", 1000), invalid},
		{"cut off", metadata("", signing)[:700], "ValidationError: 1 validation error detected: Value "},
		{"cut off, and long", pad + metadata("", signing)[:700], invalid},
		{"another root", strings.ReplaceAll(metadata("", signing), "EntityDescriptor", "EntitiesDescriptor"), invalid},
		{"another name space", strings.Replace(metadata("", signing), "SAML:2.0:metadata", "SAML:1.1:metadata", 1), invalid},
		{"two roots", metadata("", signing) + metadata("", signing), invalid},
		{"no entity id", strings.Replace(metadata("", signing), "entityID", "entity", 1), invalid},
		{"an attribute twice", metadata(` entityID="other"`, signing), invalid},
		{"no identity provider", strings.ReplaceAll(metadata("", signing), "IDPSSODescriptor", "SPSSODescriptor"), invalid},
		{"not for SAML 2.0", strings.Replace(metadata("", signing), "SAML:2.0:protocol", "SAML:1.1:protocol", 1), invalid},
		{"nowhere to sign in", strings.Replace(metadata("", signing), samlSignOn, "", 1), invalid},
		{"no keys", metadata("", ""), invalid},
		{"a key for encryption only", metadata("", keyDescriptor("encryption", one)), invalid},
		{"a certificate that is not base64", metadata("", keyDescriptor("signing", "!"+one)), invalid},
		{"a certificate that is none", metadata("", keyDescriptor("signing", "QUJD")), invalid},
		{"a certificate that is too long", metadata("", keyDescriptor("signing", strings.Repeat("A", 16400))), invalid},
		{"a certificate without name space", metadata("", strings.ReplaceAll(signing, "ds:", "md:")), invalid},
		{"a document type", "<!DOCTYPE x [<!ENTITY e \"x\">]>" + metadata("", signing), invalid},
		{"an entity", metadata("", signing+"&e;"), invalid},
		{"another encoding", `<?xml version="1.0" encoding="UTF-16"?>` + metadata("", signing), invalid},
		{"no time", metadata(` validUntil="tomorrow"`, signing), invalid},
		{"too deep", metadata("", signing+strings.Repeat("<a>", 40)+strings.Repeat("</a>", 40)), invalid},
	} {
		got := create(tc.text)
		if strings.HasPrefix(tc.want, "ValidationError") {
			got = got[:min(len(got), len(tc.want))]
		}
		check.Equal(t, tc.rule, got, tc.want)
	}
}

func TestSAMLProviderRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := metadata("", keyDescriptor("signing", certificate(t)))
	for i := range 100 {
		check.Must(t, w.CreateSAMLProvider, &iam.CreateSAMLProviderInput{Name: new(fmt.Sprintf("p%d", i)), SAMLMetadataDocument: &text})
	}
	ana := w.user(t, "ana", allow("iam:GetSAMLProvider", w.arn("saml-provider/p1?")), allow("iam:CreateSAMLProvider", "*"))
	denied := func(action, name string) string {
		return "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:" + action + " on resource: " + w.arn("saml-provider/"+name) + " because no identity-based policy allows the iam:" + action + " action"
	}
	broken := strings.Repeat("x", 1000)
	check.Run(t, []check.Rule{
		{"the 101st", check.Try(w.CreateSAMLProvider, &iam.CreateSAMLProviderInput{Name: new("more"), SAMLMetadataDocument: &text}), "LimitExceeded: Cannot exceed quota for SAMLProvidersPerAccount: 100"},
		{"get what may be", check.Try(ana.GetSAMLProvider, &iam.GetSAMLProviderInput{SAMLProviderArn: new(w.arn("saml-provider/p12"))}), "ok"},
		{"and what may not", check.Try(ana.GetSAMLProvider, &iam.GetSAMLProviderInput{SAMLProviderArn: new(w.arn("saml-provider/p2"))}), denied("GetSAMLProvider", "p2")},
		{"nor with tags", check.Try(ana.CreateSAMLProvider, &iam.CreateSAMLProviderInput{Name: new("x"), SAMLMetadataDocument: &text, Tags: tags("a=b")}), denied("TagSAMLProvider", "x")},
		{"whether metadata is good is told to those who may", check.Try(ana.UpdateSAMLProvider, &iam.UpdateSAMLProviderInput{SAMLProviderArn: new(w.arn("saml-provider/p2")), SAMLMetadataDocument: &broken}), denied("UpdateSAMLProvider", "p2")},
		{"no ARN", check.Try(w.GetSAMLProvider, &iam.GetSAMLProviderInput{SAMLProviderArn: new("this-is-not-an-arn-at-all")}), "ValidationError: Invalid ARN:  Could not be parsed!"},
	})
}
