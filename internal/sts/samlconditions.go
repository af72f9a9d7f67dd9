package sts

import (
	"strings"

	"coffer/internal/iam"
)

// samlKeys are the condition keys for attributes, by the attribute's Name
// ("Mapping SAML attributes to AWS trust policy context keys").
var samlKeys = map[string]string{
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.1":  "edupersonaffiliation",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.2":  "edupersonnickname",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.3":  "edupersonorgdn",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.4":  "edupersonorgunitdn",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.5":  "edupersonprimaryaffiliation",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.6":  "edupersonprincipalname",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.7":  "edupersonentitlement",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.8":  "edupersonprimaryorgunitdn",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.9":  "edupersonscopedaffiliation",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.10": "edupersontargetedid",
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.11": "edupersonassurance",
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.2":  "eduorghomepageuri",
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.3":  "eduorgidentityauthnpolicyuri",
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.4":  "eduorglegalname",
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.5":  "eduorgsuperioruri",
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.6":  "eduorgwhitepagesuri",
	"urn:oid:2.5.4.3":                   "cn",

	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name":              "name",
	"http://schemas.xmlsoap.org/claims/CommonName":                            "commonname",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname":         "givenname",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname":           "surname",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress":      "mail",
	"http://schemas.microsoft.com/ws/2008/06/identity/claims/primarygroupsid": "uid",

	"2.5.4.3":                    "commonname",
	"2.5.4.4":                    "surname",
	"2.4.5.42":                   "givenname",
	"2.5.4.45":                   "x500uniqueidentifier",
	"0.9.2342.19200300100.1.1":   "uid",
	"0.9.2342.19200300100.1.3":   "mail",
	"0.9.2342.19200300.100.1.45": "organizationstatus",
}

// conditions are the condition keys of the role's trust policy. Of two attributes for
// one key the first counts.
func (i *samlIdentity) conditions(p *iam.SAMLProvider) map[string][]string {
	a := i.assertion
	keys := map[string][]string{
		"saml:aud": {a.Recipient}, "saml:iss": {a.Issuer}, "saml:sub": {a.Subject}, "saml:sub_type": {i.subjectType},
		"saml:namequalifier": {i.nameQualifier}, "saml:doc": {p.Account + "/" + p.Name},
	}
	for _, at := range a.Attributes() {
		name := samlKeys[at.Name]
		if name == "" || len(at.Values) == 0 {
			continue
		}
		if key := "saml:" + strings.ToLower(name); keys[key] == nil {
			keys[key] = at.Values
		}
	}
	return keys
}
